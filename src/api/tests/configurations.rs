use super::*;

#[tokio::test]
async fn origination_is_put_read_and_deleted() {
    let api = Api::open().await;
    let path = format!("{}/origination", api.connector().await);
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
    let routes = json!([
        {"Host": "pbx.example.com", "Port": 5070, "Protocol": "TCP", "Priority": 2, "Weight": 30},
        {"Host": "192.0.2.1", "Port": 0, "Protocol": "UDP", "Priority": 1, "Weight": 100},
        {"Host": "2001:db8::1"},
    ]);
    let output = api
        .put(&path, json!({"Origination": {"Routes": routes}}))
        .await
        .unwrap();
    let expected = json!({"Origination": {"Disabled": false, "Routes": [
        {"Host": "pbx.example.com", "Port": 5070, "Protocol": "TCP", "Priority": 2, "Weight": 30},
        {"Host": "192.0.2.1", "Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 100},
        {"Host": "2001:db8::1", "Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 1},
    ]}});
    assert_eq!(output, expected);
    assert_eq!(api.get(&path).await.unwrap(), expected);
    api.put(&path, json!({"Origination": {"Disabled": true}}))
        .await
        .unwrap();
    assert_eq!(
        api.get(&path).await.unwrap(),
        json!({"Origination": {"Disabled": true, "Routes": []}})
    );
    api.delete(&path).await.unwrap();
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
}

#[tokio::test]
async fn a_route_of_an_encrypted_connector_is_tcp_by_default() {
    let api = Api::open().await;
    let path = api.connector().await;
    api.put(&path, json!({"Name": "pbx", "RequireEncryption": true}))
        .await
        .unwrap();
    let body = json!({"Origination": {"Routes": [{"Host": "pbx.example"}]}});
    let output = api.put(&format!("{path}/origination"), body).await.unwrap();
    assert_eq!(output["Origination"]["Routes"][0]["Protocol"], "TCP");
}

#[tokio::test]
async fn what_origination_may_not_be_is_refused_by_name() {
    let api = Api::open().await;
    let path = format!("{}/origination", api.connector().await);
    let many: Vec<Value> = (0..21).map(|_| json!({"Host": "a"})).collect();
    for (origination, message) in [
        (json!([]), "Origination: expected an object"),
        (json!({}), "Origination.Routes is required"),
        (
            json!({"Routes": many}),
            "Origination.Routes: expected a list of 0 to 20 elements",
        ),
        (
            json!({"Routes": [{"Port": 1}]}),
            "Origination.Routes[0].Host is required",
        ),
        (
            json!({"Routes": [{"Host": "a"}, {"Host": "a_b"}]}),
            "Origination.Routes[1].Host: expected a fully qualified domain name or an IP address",
        ),
        (
            json!({"Routes": [{"Host": "a", "Port": 65536}]}),
            "Origination.Routes[0].Port: expected an integer from 0 to 65535",
        ),
        (
            json!({"Routes": [{"Host": "a", "Protocol": "TLS"}]}),
            "Origination.Routes[0].Protocol: expected one of TCP, UDP",
        ),
        (
            json!({"Routes": [{"Host": "a", "Priority": 0}]}),
            "Origination.Routes[0].Priority: expected an integer from 1 to 100",
        ),
        (
            json!({"Routes": [{"Host": "a", "Weight": 101}]}),
            "Origination.Routes[0].Weight: expected an integer from 1 to 100",
        ),
    ] {
        let result = api.put(&path, json!({"Origination": origination})).await;
        assert_eq!(refused(result), bad_request(message));
    }
    assert_eq!(
        refused(api.put(&path, json!({})).await),
        bad_request("Origination is required")
    );
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
}

#[tokio::test]
async fn termination_is_put_read_and_deleted() {
    let api = Api::open().await;
    let connector = api.connector().await;
    let path = format!("{connector}/termination");
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
    let whole = json!({"Termination": {
        "CpsLimit": 5,
        "DefaultPhoneNumber": "+12065550100",
        "CallingRegions": ["US", "CA"],
        "CidrAllowedList": ["192.0.2.0/27", "2001:db8::/32"],
        "Disabled": true,
    }});
    let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550100"]});
    api.post(StatusCode::CREATED, "/phone-number-orders", order)
        .await
        .unwrap();
    // It is the account's, and not the connector's.
    assert_eq!(
        refused(api.put(&path, whole.clone()).await),
        bad_request(
            "Termination.DefaultPhoneNumber: expected a number of the VoiceConnector, or of a group that it is in; \
             associate it first"
        )
    );
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    let errors = super::numbers::associate(&api, &connector, numbers).await;
    assert_eq!(errors, json!([]));
    assert_eq!(api.put(&path, whole.clone()).await.unwrap(), whole);
    assert_eq!(api.get(&path).await.unwrap(), whole);
    let defaults = json!({"Termination": {
        "CpsLimit": 1,
        "DefaultPhoneNumber": null,
        "CallingRegions": ["US"],
        "CidrAllowedList": ["192.0.2.7/32"],
        "Disabled": false,
    }});
    let few = json!({"Termination": {
        "CallingRegions": ["US"],
        "CidrAllowedList": ["192.0.2.7"],
    }});
    assert_eq!(api.put(&path, few).await.unwrap(), defaults);
    api.delete(&path).await.unwrap();
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
}

#[tokio::test]
async fn what_termination_may_not_be_is_refused_by_name() {
    let api = Api::open().await;
    let path = format!("{}/termination", api.connector().await);
    for (termination, message) in [
        (
            json!({"CpsLimit": 0}),
            "Termination.CpsLimit: expected an integer, at least 1",
        ),
        (
            json!({"DefaultPhoneNumber": "555-0100"}),
            "Termination.DefaultPhoneNumber: expected an E.164 number: an optional + and 2 to 15 \
             digits, the first not 0",
        ),
        (
            json!({"CallingRegions": ["US", "usa"]}),
            "Termination.CallingRegions[1]: expected an ISO 3166-1 alpha-2 country, two capital \
             letters",
        ),
        (
            json!({"CallingRegions": ["US", "XX"]}),
            "Termination.CallingRegions[1]: expected an ISO 3166-1 alpha-2 country that exists",
        ),
        (
            json!({"CidrAllowedList": ["192.0.2.0/27", "192.0.2.0/33"]}),
            "Termination.CidrAllowedList[1]: expected an IP address or a network in CIDR form, as \
             198.51.100.0/27",
        ),
        (
            json!({"Disabled": 1}),
            "Termination.Disabled: expected true or false",
        ),
    ] {
        let result = api.put(&path, json!({"Termination": termination})).await;
        assert_eq!(refused(result), bad_request(message));
    }
    assert_eq!(
        refused(api.put(&path, json!({"Termination": null})).await),
        bad_request("Termination is required")
    );
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
}

#[tokio::test]
async fn termination_health_is_null_before_the_first_options() {
    let api = Api::open().await;
    let path = format!("{}/termination/health", api.connector().await);
    assert_eq!(
        api.get(&path).await.unwrap(),
        json!({"TerminationHealth": {"Timestamp": null, "Source": null}})
    );
}

#[tokio::test]
async fn credentials_are_put_listed_by_name_and_deleted() {
    let api = Api::open().await;
    let path = format!("{}/termination/credentials", api.connector().await);
    let put = format!("{path}?operation=put");
    let body = json!({"Credentials": [
        {"Username": "alice", "Password": "first secret"},
        {"Username": "bob", "Password": "p:a\"ss"},
    ]});
    for _ in 0..2 {
        api.post(StatusCode::NO_CONTENT, &put, body.clone())
            .await
            .unwrap();
    }
    assert_eq!(
        api.get(&path).await.unwrap(),
        json!({"Usernames": ["alice", "bob"]})
    );
    let delete = format!("{path}?operation=delete");
    api.post(
        StatusCode::NO_CONTENT,
        &delete,
        json!({"Usernames": ["alice"]}),
    )
    .await
    .unwrap();
    assert_eq!(api.get(&path).await.unwrap(), json!({"Usernames": ["bob"]}));
    let result = api.post(StatusCode::NO_CONTENT, &delete, json!({})).await;
    assert_eq!(refused(result), bad_request("Usernames is required"));
}

#[tokio::test]
async fn an_eleventh_credential_is_refused() {
    let api = Api::open().await;
    let path = format!("{}/termination/credentials", api.connector().await);
    let put = format!("{path}?operation=put");
    let named = |names: std::ops::Range<u8>| {
        let credentials = names.map(|n| json!({"Username": format!("u{n}"), "Password": "p"}));
        json!({"Credentials": credentials.collect::<Vec<_>>()})
    };
    let result = api.post(StatusCode::NO_CONTENT, &put, named(0..11)).await;
    let message = "Credentials: expected a list of 1 to 10 elements";
    assert_eq!(refused(result), bad_request(message));
    api.post(StatusCode::NO_CONTENT, &put, named(0..10))
        .await
        .unwrap();
    let result = api.post(StatusCode::NO_CONTENT, &put, named(10..11)).await;
    let (exception, message) = refused(result);
    assert_eq!(exception, "BadRequestException");
    assert!(message.contains("at most 10"), "{message}");
}

#[tokio::test]
async fn no_refusal_echoes_a_password() {
    let api = Api::open().await;
    let path = format!(
        "{}/termination/credentials?operation=put",
        api.connector().await
    );
    for (credential, member) in [
        (
            json!({"Username": "hunter2:", "Password": "hunter2"}),
            "Credentials[0].Username",
        ),
        (
            json!({"Username": "", "Password": "hunter2"}),
            "Credentials[0].Username",
        ),
        (
            json!({"Username": "a", "Password": "hunter2\n"}),
            "Credentials[0].Password",
        ),
        (
            json!({"Username": "a", "Password": ["hunter2"]}),
            "Credentials[0].Password",
        ),
        (json!({"Username": "a"}), "Credentials[0].Password"),
        (json!("hunter2"), "Credentials[0]"),
    ] {
        let body = json!({"Credentials": [credential]});
        let result = api.post(StatusCode::NO_CONTENT, &path, body).await;
        let (exception, message) = refused(result);
        assert_eq!(exception, "BadRequestException");
        assert!(message.starts_with(member), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}
