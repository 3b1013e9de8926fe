//! Put, Get and DeleteVoiceConnectorTermination, its credentials and its health.

use serde_json::{Value, json};

use crate::{assert_refused, bad, create_connector, node, order, published};

#[test]
fn termination_is_put_read_and_deleted() {
    let (_directory, node, client) = node();
    let id = create_connector(&client, "outbound");
    let path = format!("/voice-connectors/{id}/termination");
    client.call("GET", &path, None).refused(404, "NotFound");

    let body = json!({"Termination": {
        "CpsLimit": 2,
        "DefaultPhoneNumber": "+12065550100",
        "CallingRegions": ["US", "CA"],
        "CidrAllowedList": ["203.0.113.0/28", "2001:db8::/64"],
        "Disabled": false,
    }});
    let somebody_elses = client.call("PUT", &path, Some(body.clone()));
    somebody_elses.refused(400, "BadRequest");
    order(&client, &["+12065550100"]);
    let not_its_own = client.call("PUT", &path, Some(body.clone()));
    not_its_own.refused(400, "BadRequest");
    let associate = format!("/voice-connectors/{id}?operation=associate-phone-numbers");
    let number = json!({"E164PhoneNumbers": ["+12065550100"]});
    client.call("POST", &associate, Some(number)).ok(200);
    let put = client.call("PUT", &path, Some(body.clone())).ok(200);
    assert_eq!(put, body);
    assert_eq!(client.call("GET", &path, None).ok(200), body);
    let connector = published(&node, &id);
    let snapshot = node.state.control.snapshot();
    let allows = |source: &str| snapshot.allows_source(connector.id, source.parse().unwrap());
    assert!(allows("203.0.113.5") && allows("2001:db8::5"));
    assert!(!allows("203.0.113.16") && !allows("2001:db8:0:1::5"));
    assert_eq!(connector.termination.as_ref().unwrap().cps_limit, 2);

    assert_eq!(client.call("DELETE", &path, None).ok(204), Value::Null);
    client.call("GET", &path, None).refused(404, "NotFound");
    assert!(published(&node, &id).termination.is_none());
}

#[test]
fn what_termination_cannot_be_is_refused_by_member() {
    let (_directory, _node, client) = node();
    let path = format!(
        "/voice-connectors/{}/termination",
        create_connector(&client, "outbound")
    );
    let with = |name: &str, value: Value, member| {
        let mut termination = json!({
            "CallingRegions": ["US"],
            "CidrAllowedList": ["203.0.113.0/28"],
        });
        termination[name] = value;
        bad("PUT", &path, json!({"Termination": termination}), member)
    };
    assert_refused(
        &client,
        [
            bad("PUT", &path, json!({}), "Termination"),
            bad("PUT", &path, json!({"Termination": []}), "Termination"),
            with("CpsLimit", json!(0), "Termination.CpsLimit"),
            with("CpsLimit", json!("2"), "Termination.CpsLimit"),
            with(
                "DefaultPhoneNumber",
                json!("12-34"),
                "Termination.DefaultPhoneNumber",
            ),
            with("CallingRegions", json!("US"), "Termination.CallingRegions"),
            with(
                "CallingRegions",
                json!(["US", "USA"]),
                "Termination.CallingRegions[1]",
            ),
            with(
                "CidrAllowedList",
                json!(["203.0.113.0/33"]),
                "Termination.CidrAllowedList[0]",
            ),
            with(
                "CidrAllowedList",
                json!([false]),
                "Termination.CidrAllowedList[0]",
            ),
            with("Disabled", json!("no"), "Termination.Disabled"),
        ],
    );
    client.call("GET", &path, None).refused(404, "NotFound");
}

#[test]
fn credentials_are_put_listed_and_deleted() {
    let (_directory, node, client) = node();
    let id = create_connector(&client, "outbound");
    let path = format!("/voice-connectors/{id}/termination/credentials");
    let put = |credentials: Value| {
        let body = json!({"Credentials": credentials});
        client.call("POST", &format!("{path}?operation=put"), Some(body))
    };
    let usernames = || client.call("GET", &path, None).ok(200)["Usernames"].clone();
    assert_eq!(usernames(), json!([]));

    let two = json!([
        {"Username": "pbx-1", "Password": "first secret"},
        {"Username": "pbx-2", "Password": "second secret"},
    ]);
    assert_eq!(put(two).ok(204), Value::Null);
    assert_eq!(usernames(), json!(["pbx-1", "pbx-2"]));
    let hash = || {
        let connector = published(&node, &id);
        let mut credentials = connector.credentials.iter();
        let first = credentials.find(|one| one.username == "pbx-1");
        first.unwrap().ha1_sha256.clone()
    };
    let before = hash();
    put(json!([{"Username": "pbx-1", "Password": "another"}])).ok(204);
    assert_ne!(hash(), before);
    assert_eq!(usernames(), json!(["pbx-1", "pbx-2"]));

    let body = json!({"Usernames": ["pbx-2"]});
    let delete = format!("{path}?operation=delete");
    assert_eq!(
        client.call("POST", &delete, Some(body)).ok(204),
        Value::Null
    );
    assert_eq!(usernames(), json!(["pbx-1"]));
    assert_eq!(published(&node, &id).credentials.len(), 1);
}

#[test]
fn what_credentials_cannot_be_is_refused_without_the_password() {
    let (_directory, _node, client) = node();
    let path = format!(
        "/voice-connectors/{}/termination/credentials",
        create_connector(&client, "outbound")
    );
    let put = |body, member| bad("POST", format!("{path}?operation=put"), body, member);
    let delete = |body, member| bad("POST", format!("{path}?operation=delete"), body, member);
    let users: Vec<Value> = (0..11)
        .map(|number| json!({"Username": format!("user {number}"), "Password": "p"}))
        .collect();
    let ten = json!({"Credentials": users[..10]});
    assert_refused(
        &client,
        [
            put(json!({}), "Credentials"),
            put(json!({"Credentials": users}), "Credentials"),
            put(
                json!({"Credentials": [{"Username": 1, "Password": "p"}]}),
                "Credentials[0].Username",
            ),
            put(
                json!({"Credentials": [{"Username": "a:b", "Password": "p"}]}),
                "Credentials[0].Username",
            ),
            put(
                json!({"Credentials": [{"Username": "a"}]}),
                "Credentials[0].Password",
            ),
            delete(json!({}), "Usernames"),
            delete(json!({"Usernames": "a"}), "Usernames"),
            delete(json!({"Usernames": [1]}), "Usernames[0]"),
        ],
    );
    let secret = json!({"Credentials": [{"Username": "a", "Password": "hunter2\n"}]});
    let target = format!("{path}?operation=put");
    let message = client
        .call("POST", &target, Some(secret))
        .refused(400, "BadRequest");
    assert!(message.starts_with("Credentials[0].Password"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");

    client.call("POST", &target, Some(ten)).ok(204);
    assert_refused(
        &client,
        [put(
            json!({"Credentials": [{"Username": "one more", "Password": "p"}]}),
            "Credentials",
        )],
    );
    client
        .call("POST", &path, Some(json!({})))
        .refused(404, "UnknownOperation");
}

#[test]
fn health_is_the_last_options_of_the_customers_hosts() {
    let (_directory, node, client) = node();
    let id = create_connector(&client, "outbound");
    let path = format!("/voice-connectors/{id}/termination/health");
    let unknown = client.call("GET", &path, None).ok(200);
    assert_eq!(unknown["TerminationHealth"]["Source"], Value::Null);

    let at = "2026-03-01T11:59:30Z".parse().unwrap();
    let store = node.state.control.store();
    let source = "203.0.113.5".parse().unwrap();
    node.block_on(store.record_options(id.parse().unwrap(), source, at))
        .unwrap();
    let health = client.call("GET", &path, None).ok(200);
    assert_eq!(health["TerminationHealth"]["Source"], "203.0.113.5");
    assert_eq!(
        health["TerminationHealth"]["Timestamp"],
        "2026-03-01T11:59:30.000Z"
    );
}

#[test]
fn termination_of_an_unknown_connector_is_not_found() {
    let (_directory, _node, client) = node();
    let path = "/voice-connectors/abcdefghij0123456789ab/termination";
    let termination = json!({"Termination": {
        "CallingRegions": ["US"], "CidrAllowedList": ["203.0.113.0/28"]}});
    let credentials = json!({"Credentials": [{"Username": "a", "Password": "p"}]});
    for (method, suffix, body) in [
        ("GET", "", None),
        ("PUT", "", Some(termination)),
        ("DELETE", "", None),
        ("GET", "/health", None),
        ("GET", "/credentials", None),
        ("POST", "/credentials?operation=put", Some(credentials)),
        (
            "POST",
            "/credentials?operation=delete",
            Some(json!({"Usernames": ["a"]})),
        ),
    ] {
        client
            .call(method, &format!("{path}{suffix}"), body)
            .refused(404, "NotFound");
    }
}
