//! How many resources there may be, as the config says.

use super::*;
use crate::config::Quotas;

fn exceeded(message: &str) -> (&'static str, String) {
    ("ResourceLimitExceededException", message.to_owned())
}

#[tokio::test]
async fn one_resource_more_than_the_quota_is_refused() {
    let mut api = Api::open().await;
    api.state.quotas = Quotas {
        voice_connectors: 1,
        voice_connector_groups: 1,
        sip_media_applications: 1,
        sip_rules: 1,
        ..Quotas::default()
    };
    let function = "arn:aws:lambda:us-east-1:111122223333:function:menu";
    let created = StatusCode::CREATED;
    let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550100", "+12065550101"]});
    let ordered = api.post(created, "/phone-number-orders", order).await;
    ordered.unwrap();

    let connector = || json!({"Name": "x", "RequireEncryption": false});
    let group = || json!({"Name": "x"});
    let application =
        || json!({"Name": "x", "AwsRegion": "us-east-1", "Endpoints": [{"LambdaArn": function}]});
    let path = "/sip-media-applications";
    let answer = api.post(created, path, application()).await.unwrap();
    let id = answer["SipMediaApplication"]["SipMediaApplicationId"].clone();
    let rule = |number: &str| {
        json!({
            "Name": "x", "TriggerType": "ToPhoneNumber", "TriggerValue": number,
            "TargetApplications": [{"SipMediaApplicationId": id, "Priority": 1}],
        })
    };
    api.post(created, "/voice-connectors", connector())
        .await
        .unwrap();
    api.post(created, "/voice-connector-groups", group())
        .await
        .unwrap();
    api.post(created, "/sip-rules", rule("+12065550100"))
        .await
        .unwrap();
    for (path, body, what) in [
        (
            "/voice-connectors",
            connector(),
            "VoiceConnectors of an account",
        ),
        (
            "/voice-connector-groups",
            group(),
            "VoiceConnectorGroups of an account",
        ),
        (
            "/sip-media-applications",
            application(),
            "SIP media applications of an account",
        ),
        (
            "/sip-rules",
            rule("+12065550101"),
            "SIP rules of an account",
        ),
    ] {
        let message = format!("{what}: there may be at most 1");
        let answer = api.post(created, path, body).await;
        assert_eq!(refused(answer), exceeded(&message));
    }
    // Another account has a quota of its own.
    let body = connector().to_string();
    let answer = api.call_as(
        "999999999999",
        Method::POST,
        "/voice-connectors",
        body.as_bytes(),
    );
    assert_eq!(answer.await.unwrap().0, created);
}

#[tokio::test]
async fn lists_of_a_resource_are_as_long_as_the_quota_lets_them() {
    let mut api = Api::open().await;
    api.state.quotas = Quotas {
        group_voice_connectors: 1,
        origination_routes: 1,
        termination_credentials: 1,
        ..Quotas::default()
    };
    let path = api.connector().await;
    let other = api.connector().await;
    let route = json!({"Host": "192.0.2.1"});
    let origination = json!({"Origination": {"Routes": [route, route]}});
    assert_eq!(
        refused(api.put(&format!("{path}/origination"), origination).await),
        bad_request("Origination.Routes: expected a list of 0 to 1 elements")
    );
    let credential = |name: &str| json!({"Username": name, "Password": "secret"});
    let credentials = json!({"Credentials": [credential("a"), credential("b")]});
    let credentials_path = format!("{path}/termination/credentials?operation=put");
    let status = StatusCode::NO_CONTENT;
    assert_eq!(
        refused(api.post(status, &credentials_path, credentials).await),
        bad_request("Credentials: expected a list of 1 to 1 elements")
    );
    for (name, is_taken) in [("a", true), ("b", false)] {
        let one = json!({"Credentials": [credential(name)]});
        let put = api.post(status, &credentials_path, one).await;
        assert_eq!(put.is_ok(), is_taken);
    }
    let items = [&path, &other].map(|path| {
        let id = path.rsplit('/').next();
        json!({"VoiceConnectorId": id, "Priority": 1})
    });
    let group = json!({"Name": "x", "VoiceConnectorItems": items});
    let path = "/voice-connector-groups";
    assert_eq!(
        refused(api.post(StatusCode::CREATED, path, group).await),
        bad_request("VoiceConnectorItems: expected a list of elements, at most 1")
    );
}
