//! SIP media applications and SIP rules.

use super::numbers::order;
use super::*;

const NO_UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn function(region: &str) -> Value {
    json!([{"LambdaArn": format!("arn:aws:lambda:{region}:{ACCOUNT}:function:ivr")}])
}

/// Creates an application and returns what was answered.
pub(super) async fn application(api: &Api, region: &str) -> Value {
    let body = json!({"Name": "ivr", "AwsRegion": region, "Endpoints": function(region)});
    let output = api.post(StatusCode::CREATED, "/sip-media-applications", body);
    output.await.unwrap()["SipMediaApplication"].take()
}

fn id_of(application: &Value) -> String {
    application["SipMediaApplicationId"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn path_of(application: &Value) -> String {
    format!("/sip-media-applications/{}", id_of(application))
}

fn target(application: &Value, priority: u32) -> Value {
    json!({"SipMediaApplicationId": id_of(application), "Priority": priority})
}

fn number_rule(number: &str, targets: Value) -> Value {
    json!({
        "Name": "reception",
        "TriggerType": "ToPhoneNumber",
        "TriggerValue": number,
        "TargetApplications": targets,
    })
}

async fn create_rule(api: &Api, body: Value) -> Result<Value, ApiError> {
    let mut output = api.post(StatusCode::CREATED, "/sip-rules", body).await?;
    Ok(output["SipRule"].take())
}

fn rule_path(rule: &Value) -> String {
    format!("/sip-rules/{}", rule["SipRuleId"].as_str().unwrap())
}

async fn update_rule(api: &Api, path: &str, body: Value) -> Result<Value, ApiError> {
    let mut output = api
        .expect(StatusCode::ACCEPTED, Method::PUT, path, body)
        .await?;
    Ok(output["SipRule"].take())
}

#[tokio::test]
async fn an_application_is_created_read_listed_changed_and_deleted() {
    let api = Api::open().await;
    let created = application(&api, "us-west-2").await;
    let path = path_of(&created);
    assert_eq!(created["Name"], "ivr");
    assert_eq!(created["AwsRegion"], "us-west-2");
    assert_eq!(created["Endpoints"], function("us-west-2"));
    assert_eq!(
        created["SipMediaApplicationArn"],
        format!("arn:aws:chime:us-west-2:{ACCOUNT}:sma/{}", id_of(&created))
    );
    assert!(id_of(&created).parse::<uuid::Uuid>().is_ok());
    let read = api.get(&path).await.unwrap();
    assert_eq!(read["SipMediaApplication"], created);

    let body = json!({"Name": "switchboard"});
    let changed = api.put(&path, body).await.unwrap()["SipMediaApplication"].take();
    assert_eq!(changed["Name"], "switchboard");
    assert_eq!(changed["Endpoints"], created["Endpoints"]);
    assert_eq!(changed["CreatedTimestamp"], created["CreatedTimestamp"]);

    let second = application(&api, "us-east-1").await;
    let list = |query: &'static str| {
        let api = &api;
        async move {
            let path = format!("/sip-media-applications{query}");
            api.get(&path).await.unwrap()
        }
    };
    // In the order of their creation; those of one millisecond in the order of their ids.
    let mut both = [changed, second];
    both.sort_by_key(|row| format!("{}{}", row["CreatedTimestamp"], id_of(row)));
    let [one, other] = both;
    let all = list("").await;
    assert_eq!(all["SipMediaApplications"], json!([one, other]));
    assert_eq!(all["NextToken"], Value::Null);
    let first_page = list("?max-results=1").await;
    assert_eq!(first_page["SipMediaApplications"], json!([one]));
    let token = first_page["NextToken"].as_str().unwrap();
    let rest = format!("/sip-media-applications?next-token={token}");
    assert_eq!(
        api.get(&rest).await.unwrap()["SipMediaApplications"],
        json!([other])
    );

    let another = api.call_as("999999999999", Method::GET, &path, b"").await;
    assert_eq!(another.unwrap_err().exception(), "NotFoundException");
    api.delete(&path).await.unwrap();
    let gone = not_found(&format!(
        "Could not find SipMediaApplication with Id '{}'",
        id_of(&created)
    ));
    assert_eq!(refused(api.get(&path).await), gone);
    assert_eq!(refused(api.put(&path, json!({"Name": "x"})).await), gone);
    assert_eq!(refused(api.delete(&path).await), gone);
}

#[tokio::test]
async fn an_application_that_is_wrong_is_refused_by_name() {
    let api = Api::open().await;
    let elsewhere = "Endpoints[0].LambdaArn: expected the ARN of a Lambda function in the AwsRegion of the SIP media \
                     application";
    for (body, message) in [
        (
            json!({"Name": "", "AwsRegion": "us-east-1", "Endpoints": function("us-east-1")}),
            "Name: expected a string of 1 to 256 characters",
        ),
        (
            json!({"Name": "a", "AwsRegion": "here", "Endpoints": function("us-east-1")}),
            "AwsRegion: expected an AWS Region, as in us-east-1",
        ),
        (
            json!({"Name": "a", "AwsRegion": "us-east-1", "Endpoints": function("us-west-2")}),
            elsewhere,
        ),
    ] {
        let output = api.post(StatusCode::CREATED, "/sip-media-applications", body);
        assert_eq!(refused(output.await), bad_request(message));
    }
    let created = application(&api, "us-east-1").await;
    let body = json!({"Endpoints": function("us-west-2")});
    let moved = api.put(&path_of(&created), body).await;
    assert_eq!(refused(moved), bad_request(elsewhere));
}

#[tokio::test]
async fn logging_of_an_application_is_put_and_read_and_goes_with_it() {
    let api = Api::open().await;
    let created = application(&api, "us-east-1").await;
    let path = format!("{}/logging-configuration", path_of(&created));
    let missing = not_found("The SipMediaApplication has no logging configuration");
    assert_eq!(refused(api.get(&path).await), missing);
    let member = "SipMediaApplicationLoggingConfiguration";
    let body = json!({member: {"EnableSipMediaApplicationMessageLogs": true}});
    assert_eq!(api.put(&path, body.clone()).await.unwrap(), body);
    assert_eq!(api.get(&path).await.unwrap(), body);
    let wrong = json!({member: {"EnableSipMediaApplicationMessageLogs": "yes"}});
    let message = format!("{member}.EnableSipMediaApplicationMessageLogs: expected true or false");
    assert_eq!(refused(api.put(&path, wrong).await), bad_request(&message));
    api.delete(&path_of(&created)).await.unwrap();
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
    assert_eq!(refused(api.put(&path, body).await).0, "NotFoundException");
}

#[tokio::test]
async fn a_call_of_an_application_is_checked_and_refused_for_what_it_is() {
    let api = Api::open().await;
    let path = path_of(&application(&api, "us-east-1").await);
    order(&api, &["+12065550100"]).await;
    let call = |path: String, from: &'static str| {
        let body = json!({"FromPhoneNumber": from, "ToPhoneNumber": "+12065550199"});
        let api = &api;
        async move {
            let path = format!("{path}/calls");
            refused(api.post(StatusCode::CREATED, &path, body).await)
        }
    };
    let nowhere = format!("/sip-media-applications/{NO_UUID}");
    assert_eq!(
        call(nowhere.clone(), "+12065550100").await,
        bad_request("SipMediaApplicationId: expected a SIP media application of the account")
    );
    assert_eq!(
        call(path.clone(), "+12065550101").await,
        bad_request(
            "FromPhoneNumber: expected a phone number of the account: order it with CreatePhoneNumberOrder first"
        )
    );
    assert_eq!(
        call(path.clone(), "+12065550100").await,
        bad_request(
            "SIP media applications place no calls on this node: it invokes no AWS Lambda functions"
        )
    );
    let update = |path: &str, body| {
        let path = format!("{path}/calls/{NO_UUID}");
        let api = &api;
        async move { refused(api.post(StatusCode::ACCEPTED, &path, body).await) }
    };
    let arguments = json!({"Arguments": {"a": "b"}});
    let unknown = format!("Could not find SipMediaApplicationCall with Id '{NO_UUID}'");
    assert_eq!(update(&path, arguments.clone()).await, not_found(&unknown));
    let unknown = format!("Could not find SipMediaApplication with Id '{NO_UUID}'");
    assert_eq!(update(&nowhere, arguments).await, not_found(&unknown));
    assert_eq!(
        update(&path, json!({})).await,
        bad_request("Arguments is required")
    );
}

#[tokio::test]
async fn a_rule_for_a_number_is_created_read_changed_and_once_disabled_deleted() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    let east = application(&api, "us-east-1").await;
    let west = application(&api, "us-west-2").await;
    // The number comes without its +, and is answered with it.
    let body = number_rule("12065550100", json!([target(&east, 2), target(&west, 1)]));
    let rule = create_rule(&api, body).await.unwrap();
    let path = rule_path(&rule);
    assert_eq!(rule["TriggerValue"], "+12065550100");
    assert_eq!(rule["Disabled"], false);
    assert_eq!(rule["TargetApplications"][0]["AwsRegion"], "us-east-1");
    assert_eq!(rule["TargetApplications"][1]["Priority"], 1);
    assert!(rule["CreatedTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(api.get(&path).await.unwrap()["SipRule"], rule);

    let enabled = refused(api.delete(&path).await);
    assert_eq!(enabled.0, "ConflictException");
    assert!(enabled.1.contains(rule["SipRuleId"].as_str().unwrap()));
    assert!(enabled.1.contains("disable it with UpdateSipRule first"));
    let in_use = refused(api.delete(&path_of(&west)).await);
    assert_eq!(in_use.0, "ConflictException");
    assert!(
        in_use.1.contains(rule["SipRuleId"].as_str().unwrap()),
        "{}",
        in_use.1
    );

    let body =
        json!({"Name": "closed", "Disabled": true, "TargetApplications": [target(&east, 1)]});
    let changed = update_rule(&api, &path, body).await.unwrap();
    assert_eq!(changed["Name"], "closed");
    assert_eq!(changed["Disabled"], true);
    assert_eq!(changed["TriggerValue"], "+12065550100");
    api.delete(&path_of(&west)).await.unwrap();
    let renamed = update_rule(&api, &path, json!({"Name": "night"}))
        .await
        .unwrap();
    assert_eq!(renamed["Disabled"], true);
    assert_eq!(renamed["TargetApplications"], changed["TargetApplications"]);

    api.delete(&path).await.unwrap();
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
    assert_eq!(refused(api.delete(&path).await).0, "NotFoundException");
    let update = update_rule(&api, &path, json!({"Name": "x"})).await;
    assert_eq!(refused(update).0, "NotFoundException");
    api.delete(&path_of(&east)).await.unwrap();
}

#[tokio::test]
async fn a_rule_for_a_host_name_is_for_a_connector_of_the_account() {
    let api = Api::open().await;
    let connector = api.connector().await;
    let host = api.get(&connector).await.unwrap()["VoiceConnector"]["OutboundHostName"].take();
    let application = application(&api, "us-east-1").await;
    let body = |host: &str| {
        json!({
            "Name": "pbx",
            "TriggerType": "RequestUriHostname",
            "TriggerValue": host,
            "TargetApplications": [target(&application, 1)],
        })
    };
    let host = host.as_str().unwrap();
    let refusal = bad_request(
        "TriggerValue: expected the OutboundHostName of a VoiceConnector of the account",
    );
    for other in [
        "pbx.example".to_owned(),
        format!("{NOBODY}.vc.example"),
        host.replace("vc.example", "other.example"),
    ] {
        assert_eq!(
            refused(create_rule(&api, body(&other)).await),
            refusal,
            "{other}"
        );
    }
    let rule = create_rule(&api, body(&host.to_uppercase())).await.unwrap();
    assert_eq!(rule["TriggerValue"], host);
    let (exception, message) = refused(create_rule(&api, body(host)).await);
    assert_eq!(exception, "ConflictException");
    assert!(
        message.contains(rule["SipRuleId"].as_str().unwrap()),
        "{message}"
    );
}

#[tokio::test]
async fn a_rule_that_is_wrong_is_refused_by_name() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    let east = application(&api, "us-east-1").await;
    let too = application(&api, "us-east-1").await;
    let west = application(&api, "us-west-2").await;
    let unknown = json!({"SipMediaApplicationId": NO_UUID, "Priority": 1});
    let mut elsewhere = target(&east, 1);
    elsewhere["AwsRegion"] = "us-west-2".into();
    let mut unordered = target(&east, 1);
    unordered.as_object_mut().unwrap().remove("Priority");
    let number = "+12065550100";
    for (body, message) in [
        (
            number_rule("reception", json!([target(&east, 1)])),
            "TriggerValue: expected an E.164 number",
        ),
        (
            number_rule("+12065550101", json!([target(&east, 1)])),
            "TriggerValue: expected a phone number of the account: order it with CreatePhoneNumberOrder first",
        ),
        (
            number_rule(number, json!([])),
            "TargetApplications: expected a list of 1 to 25 elements",
        ),
        (
            number_rule(number, json!([unknown])),
            "TargetApplications[0].SipMediaApplicationId: expected the id of a SIP media application of the account",
        ),
        (
            number_rule(number, json!([unordered])),
            "TargetApplications[0].Priority is required",
        ),
        (
            number_rule(number, json!([elsewhere])),
            "TargetApplications[0].AwsRegion: expected the AwsRegion of the SIP media application",
        ),
        (
            number_rule(number, json!([target(&east, 1), target(&too, 2)])),
            "TargetApplications[1].SipMediaApplicationId: expected a SIP media application of another region than \
             the others'",
        ),
        (
            number_rule(number, json!([target(&east, 1), target(&west, 1)])),
            "TargetApplications[1].Priority: expected a priority that no other target has",
        ),
    ] {
        assert_eq!(refused(create_rule(&api, body).await), bad_request(message));
    }
    let all = api.get("/sip-rules").await.unwrap();
    assert_eq!(all, json!({"SipRules": [], "NextToken": null}));
}

#[tokio::test]
async fn rules_are_listed_by_application_in_pages() {
    let api = Api::open().await;
    order(
        &api,
        &[
            "+12065550100",
            "+12065550101",
            "+12065550102",
            "+12065550103",
        ],
    )
    .await;
    let one = application(&api, "us-east-1").await;
    let other = application(&api, "us-east-1").await;
    let mut of_one = Vec::new();
    for (number, application) in [
        ("+12065550100", &one),
        ("+12065550101", &other),
        ("+12065550102", &other),
        ("+12065550103", &one),
    ] {
        let body = number_rule(number, json!([target(application, 1)]));
        let rule = create_rule(&api, body).await.unwrap();
        if std::ptr::eq(application, &one) {
            of_one.push(rule);
        }
    }
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!(
            "/sip-rules?sip-media-application={}&max-results=1&next-token={token}",
            id_of(&one)
        );
        let page = api.get(&path).await.unwrap();
        let rules = page["SipRules"].as_array().unwrap();
        assert_eq!(rules.len(), 1);
        found.extend(rules.iter().cloned());
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let numbers = |rules: &[Value]| -> Vec<Value> {
        let mut numbers: Vec<Value> = rules
            .iter()
            .map(|rule| rule["TriggerValue"].clone())
            .collect();
        numbers.sort_by_key(Value::to_string);
        numbers
    };
    assert_eq!(numbers(&found), numbers(&of_one));
    let all = api.get("/sip-rules").await.unwrap();
    assert_eq!(all["SipRules"].as_array().unwrap().len(), 4);
    let unknown = api
        .get(&format!("/sip-rules?sip-media-application={NO_UUID}"))
        .await;
    assert_eq!(refused(unknown).0, "NotFoundException");
}
