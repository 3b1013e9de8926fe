//! Put, Get and DeleteVoiceConnectorOrigination.

use serde_json::{Value, json};

use crate::{assert_refused, bad, create_connector, node, published};

#[test]
fn origination_is_put_read_and_deleted() {
    let (_directory, node, client) = node();
    let id = create_connector(&client, "inbound");
    let path = format!("/voice-connectors/{id}/origination");
    client.call("GET", &path, None).refused(404, "NotFound");

    let body = json!({"Origination": {
        "Routes": [
            {"Host": "pbx.example.com", "Port": 5070, "Protocol": "TCP", "Priority": 1, "Weight": 10},
            {"Host": "192.0.2.1", "Port": 5060, "Protocol": "UDP", "Priority": 2, "Weight": 1},
        ],
        "Disabled": false,
    }});
    let put = client.call("PUT", &path, Some(body.clone())).ok(200);
    assert_eq!(put, body);
    assert_eq!(client.call("GET", &path, None).ok(200), body);
    let connector = published(&node, &id);
    let origination = connector.origination.as_ref().unwrap();
    assert_eq!(origination.routes.len(), 2);
    assert_eq!(origination.routes[1].priority, 2);

    assert_eq!(client.call("DELETE", &path, None).ok(204), Value::Null);
    client.call("GET", &path, None).refused(404, "NotFound");
    assert!(published(&node, &id).origination.is_none());
}

#[test]
fn what_origination_cannot_be_is_refused_by_member() {
    let (_directory, _node, client) = node();
    let path = format!(
        "/voice-connectors/{}/origination",
        create_connector(&client, "inbound")
    );
    let put = |body, member| bad("PUT", &path, body, member);
    let second = |name: &str, value: Value| {
        let mut route = json!({"Host": "192.0.2.1"});
        route[name] = value;
        json!({"Origination": {"Routes": [{"Host": "192.0.2.1"}, route]}})
    };
    let many = vec![json!({"Host": "192.0.2.1"}); 21];
    assert_refused(
        &client,
        [
            put(json!({}), "Origination"),
            put(json!({"Origination": "on"}), "Origination"),
            put(json!({"Origination": {}}), "Origination.Routes"),
            put(
                json!({"Origination": {"Routes": many}}),
                "Origination.Routes",
            ),
            put(
                json!({"Origination": {"Routes": [{}]}}),
                "Origination.Routes[0].Host",
            ),
            put(second("Host", json!("a b")), "Origination.Routes[1].Host"),
            put(second("Port", json!(65_536)), "Origination.Routes[1].Port"),
            put(second("Port", json!("5060")), "Origination.Routes[1].Port"),
            put(
                second("Protocol", json!("SCTP")),
                "Origination.Routes[1].Protocol",
            ),
            put(
                second("Priority", json!(0)),
                "Origination.Routes[1].Priority",
            ),
            put(
                second("Priority", json!(101)),
                "Origination.Routes[1].Priority",
            ),
            put(second("Weight", json!(1.5)), "Origination.Routes[1].Weight"),
            put(
                json!({"Origination": {"Routes": [], "Disabled": 0}}),
                "Origination.Disabled",
            ),
        ],
    );
    client.call("GET", &path, None).refused(404, "NotFound");
}

#[test]
fn origination_of_an_unknown_connector_is_not_found() {
    let (_directory, _node, client) = node();
    let path = "/voice-connectors/abcdefghij0123456789ab/origination";
    let body = json!({"Origination": {"Routes": []}});
    for (method, body) in [("GET", None), ("PUT", Some(body)), ("DELETE", None)] {
        client.call(method, path, body).refused(404, "NotFound");
    }
}
