//! Tags, global settings and regions.

use super::sip_applications::application;
use super::*;

async fn tag(api: &Api, operation: &str, body: Value) -> Result<Value, ApiError> {
    let path = format!("/tags?operation={operation}");
    api.post(StatusCode::NO_CONTENT, &path, body).await
}

async fn tags(api: &Api, arn: &str) -> Result<Value, ApiError> {
    let mut output = api.get(&format!("/tags?arn={arn}")).await?;
    Ok(output["Tags"].take())
}

fn pair(key: &str, value: &str) -> Value {
    json!({"Key": key, "Value": value})
}

/// The paths and ARNs of a connector and an application, each created with a tag.
async fn tagged(api: &Api) -> [(String, String); 2] {
    let with = json!([pair("team", "voice")]);
    let connector = json!({"Name": "pbx", "RequireEncryption": false, "Tags": with});
    let application = json!({
        "Name": "ivr",
        "AwsRegion": "us-west-2",
        "Endpoints": [{"LambdaArn": format!("arn:aws:lambda:us-west-2:{ACCOUNT}:function:ivr")}],
        "Tags": with,
    });
    let connector = api.post(StatusCode::CREATED, "/voice-connectors", connector);
    let connector = connector.await.unwrap()["VoiceConnector"].take();
    let application = api.post(StatusCode::CREATED, "/sip-media-applications", application);
    let application = application.await.unwrap()["SipMediaApplication"].take();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    [
        (
            format!("/voice-connectors/{}", text(&connector["VoiceConnectorId"])),
            text(&connector["VoiceConnectorArn"]),
        ),
        (
            format!(
                "/sip-media-applications/{}",
                text(&application["SipMediaApplicationId"])
            ),
            text(&application["SipMediaApplicationArn"]),
        ),
    ]
}

#[tokio::test]
async fn tags_are_kept_from_creation_on_changed_and_gone_with_their_resource() {
    let api = Api::open().await;
    for (path, arn) in tagged(&api).await {
        assert_eq!(
            tags(&api, &arn).await.unwrap(),
            json!([pair("team", "voice")])
        );
        let more = json!([pair("cost", "7"), pair("team", "trunks")]);
        tag(
            &api,
            "tag-resource",
            json!({"ResourceARN": arn, "Tags": more}),
        )
        .await
        .unwrap();
        let expected = json!([pair("team", "trunks"), pair("cost", "7")]);
        assert_eq!(tags(&api, &arn).await.unwrap(), expected);
        let keys = json!({"ResourceARN": arn, "TagKeys": ["team", "never"]});
        tag(&api, "untag-resource", keys.clone()).await.unwrap();
        assert_eq!(tags(&api, &arn).await.unwrap(), json!([pair("cost", "7")]));

        api.delete(&path).await.unwrap();
        let gone = not_found(&format!("Could not find resource with Id '{arn}'"));
        assert_eq!(refused(tags(&api, &arn).await), gone);
        assert_eq!(refused(tag(&api, "untag-resource", keys).await), gone);
        let body = json!({"ResourceARN": arn, "Tags": more});
        assert_eq!(refused(tag(&api, "tag-resource", body).await), gone);
        let kept = has_tags(&api, path.rsplit('/').next().unwrap()).await;
        assert!(!kept, "{path}");
    }
}

/// Whether the store has tags of the resource.
async fn has_tags(api: &Api, id: &str) -> bool {
    let key = crate::store::Key {
        kind: crate::api::tags::KIND,
        account: ACCOUNT,
        id,
    };
    api.state
        .control
        .store()
        .document(key)
        .await
        .unwrap()
        .is_some()
}

#[tokio::test]
async fn a_resource_without_tags_has_an_empty_list() {
    let api = Api::open().await;
    let application = application(&api, "us-east-1").await;
    let arn = application["SipMediaApplicationArn"].as_str().unwrap();
    assert_eq!(tags(&api, arn).await.unwrap(), json!([]));
}

#[tokio::test]
async fn a_resource_has_at_most_50_tags() {
    let api = Api::open().await;
    let [(_, arn), _] = tagged(&api).await;
    let many: Vec<Value> = (0..49).map(|n| pair(&format!("k{n}"), "")).collect();
    tag(
        &api,
        "tag-resource",
        json!({"ResourceARN": arn, "Tags": many}),
    )
    .await
    .unwrap();
    let one_more = json!({"ResourceARN": arn, "Tags": [pair("last", "")]});
    assert_eq!(
        refused(tag(&api, "tag-resource", one_more).await),
        (
            "ResourceLimitExceededException",
            "Tags of a resource: there may be at most 50".to_owned()
        )
    );
    // A key that is there takes no more room.
    let again = json!({"ResourceARN": arn, "Tags": [pair("k0", "new")]});
    tag(&api, "tag-resource", again).await.unwrap();
    assert_eq!(
        tags(&api, &arn).await.unwrap().as_array().unwrap().len(),
        50
    );
}

#[tokio::test]
async fn an_arn_that_is_nobodys_is_not_found_and_a_wrong_request_refused_by_name() {
    let api = Api::open().await;
    let [(_, arn), (_, application)] = tagged(&api).await;
    for other in [
        arn.replace("us-east-1", "us-west-2"),
        arn.replace(ACCOUNT, "999999999999"),
        arn.replace(":vc/", ":meeting/"),
        format!("arn:aws:chime:us-east-1:{ACCOUNT}:vc/{NOBODY}"),
        format!("arn:aws:chime:us-east-1:{ACCOUNT}:vc/x"),
        application.replace(":sma/", ":sma/0"),
        "arn:aws:s3".into(),
    ] {
        let message = format!("Could not find resource with Id '{other}'");
        assert_eq!(refused(tags(&api, &other).await), not_found(&message));
    }
    let path = format!("/tags?arn={arn}");
    let another = api.call_as("999999999999", Method::GET, &path, b"").await;
    assert_eq!(another.unwrap_err().exception(), "NotFoundException");
    for (operation, body, message) in [
        (
            "tag-resource",
            json!({"ResourceARN": arn}),
            "Tags is required",
        ),
        (
            "untag-resource",
            json!({"ResourceARN": arn, "TagKeys": []}),
            "TagKeys: expected a list of 1 to 50 elements",
        ),
        (
            "tag-resource",
            json!({"ResourceARN": "vc", "Tags": [pair("a", "b")]}),
            "ResourceARN: expected an ARN",
        ),
    ] {
        assert_eq!(
            refused(tag(&api, operation, body).await),
            bad_request(message)
        );
    }
    assert_eq!(
        refused(api.get("/tags").await),
        bad_request("ResourceARN is required")
    );
}

#[tokio::test]
async fn global_settings_are_kept_each_for_itself_and_for_its_account() {
    let api = Api::open().await;
    let unset = json!({
        "BusinessCalling": {"CdrBucket": null},
        "VoiceConnector": {"CdrBucket": null},
    });
    assert_eq!(api.get("/settings").await.unwrap(), unset);
    for body in [
        json!({"VoiceConnector": {"CdrBucket": "cdrs"}}),
        json!({"BusinessCalling": {"CdrBucket": "bills"}}),
        json!({}),
    ] {
        let put = api.expect(StatusCode::NO_CONTENT, Method::PUT, "/settings", body);
        put.await.unwrap();
    }
    let set = json!({
        "BusinessCalling": {"CdrBucket": "bills"},
        "VoiceConnector": {"CdrBucket": "cdrs"},
    });
    assert_eq!(api.get("/settings").await.unwrap(), set);
    let another = api
        .call_as("999999999999", Method::GET, "/settings", b"")
        .await;
    assert_eq!(another.unwrap().1, unset);
    let wrong = json!({"VoiceConnector": {"CdrBucket": 1}});
    let output = api.put("/settings", wrong).await;
    assert_eq!(
        refused(output),
        bad_request("VoiceConnector.CdrBucket: expected a string")
    );
    assert_eq!(api.get("/settings").await.unwrap(), set);
}

#[tokio::test]
async fn every_region_that_is_listed_is_one_a_connector_may_say() {
    let api = Api::open().await;
    let output = api.get("/voice-connector-regions").await.unwrap();
    let regions = output["VoiceConnectorRegions"].as_array().unwrap();
    assert_eq!(regions.len(), 10);
    for region in regions {
        let body = json!({"Name": "a", "RequireEncryption": false, "AwsRegion": region});
        api.post(StatusCode::CREATED, "/voice-connectors", body)
            .await
            .unwrap();
    }
}
