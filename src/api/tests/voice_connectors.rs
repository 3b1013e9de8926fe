use super::*;

#[tokio::test]
async fn a_connector_is_created_with_the_models_defaults() {
    let api = Api::open().await;
    let body = json!({"Name": "pbx", "RequireEncryption": true});
    let output = api
        .post(StatusCode::CREATED, "/voice-connectors", body)
        .await
        .unwrap();
    let connector = &output["VoiceConnector"];
    let id = connector["VoiceConnectorId"].as_str().unwrap();
    assert_eq!(connector["AwsRegion"], "us-east-1");
    assert_eq!(connector["NetworkType"], "IPV4_ONLY");
    assert_eq!(connector["RequireEncryption"], true);
    assert_eq!(connector["OutboundHostName"], format!("{id}.vc.example"));
    assert_eq!(
        connector["VoiceConnectorArn"],
        format!("arn:aws:chime:us-east-1:{ACCOUNT}:vc/{id}")
    );
    assert_eq!(connector.get("IntegrationType"), Some(&Value::Null));
    assert!(
        connector["CreatedTimestamp"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let read = api.get(&format!("/voice-connectors/{id}")).await.unwrap();
    assert_eq!(read, output);
}

#[tokio::test]
async fn what_a_connector_may_not_be_is_refused_by_name() {
    let api = Api::open().await;
    let name = "Name: expected a string of 1 to 256 characters";
    let tags: Vec<Value> = (0..51).map(|_| json!({"Key": "k", "Value": ""})).collect();
    for (body, message) in [
        (json!({"RequireEncryption": false}), "Name is required"),
        (json!({"Name": "a"}), "RequireEncryption is required"),
        (
            json!({"Name": 1, "RequireEncryption": false}),
            "Name: expected a string",
        ),
        (json!({"Name": "", "RequireEncryption": false}), name),
        (
            json!({"Name": "a".repeat(257), "RequireEncryption": false}),
            name,
        ),
        (
            json!({"Name": "a", "RequireEncryption": "no"}),
            "RequireEncryption: expected true or false",
        ),
        (
            json!({"Name": "a", "RequireEncryption": false, "NetworkType": "IPV6"}),
            "NetworkType: expected one of IPV4_ONLY, DUAL_STACK",
        ),
        (
            json!({"Name": "a", "RequireEncryption": false, "Tags": tags}),
            "Tags: expected a list of 1 to 50 elements",
        ),
        (
            json!({"Name": "a", "RequireEncryption": false, "Tags": [{"Key": "k"}]}),
            "Tags[0].Value is required",
        ),
    ] {
        let result = api
            .post(StatusCode::CREATED, "/voice-connectors", body)
            .await;
        assert_eq!(refused(result), bad_request(message));
    }
    let region = json!({"Name": "a", "RequireEncryption": false, "AwsRegion": "mars"});
    let result = api
        .post(StatusCode::CREATED, "/voice-connectors", region)
        .await;
    assert!(
        refused(result)
            .1
            .starts_with("AwsRegion: expected one of us-east-1,")
    );
    let listed = api.get("/voice-connectors").await.unwrap();
    assert_eq!(listed, json!({"VoiceConnectors": [], "NextToken": null}));
}

#[tokio::test]
async fn a_connector_is_updated_and_deleted() {
    let api = Api::open().await;
    let path = api.connector().await;
    let body = json!({"Name": "other", "RequireEncryption": true});
    let output = api.put(&path, body).await.unwrap();
    assert_eq!(output["VoiceConnector"]["Name"], "other");
    assert_eq!(output["VoiceConnector"]["RequireEncryption"], true);
    assert_eq!(api.get(&path).await.unwrap(), output);
    assert_eq!(
        refused(api.put(&path, json!({"Name": "other"})).await),
        bad_request("RequireEncryption is required")
    );
    api.delete(&path).await.unwrap();
    assert_eq!(refused(api.get(&path).await).0, "NotFoundException");
    assert_eq!(refused(api.delete(&path).await).0, "NotFoundException");
}

#[tokio::test]
async fn connectors_are_listed_in_pages_until_the_token_is_null() {
    let api = Api::open().await;
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(api.connector().await);
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/voice-connectors?max-results=2&next-token={token}");
        let page = api.get(&path).await.unwrap();
        let rows = page["VoiceConnectors"].as_array().unwrap();
        assert!((1..=2).contains(&rows.len()));
        for row in rows {
            let id = row["VoiceConnectorId"].as_str().unwrap();
            listed.push(format!("/voice-connectors/{id}"));
        }
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    created.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, created);
    for most in ["0", "101", "x"] {
        let result = api
            .get(&format!("/voice-connectors?max-results={most}"))
            .await;
        let message = "MaxResults: expected an integer from 1 to 100";
        assert_eq!(refused(result), bad_request(message));
    }
}

#[tokio::test]
async fn the_connectors_of_another_account_are_not_found() {
    let api = Api::open().await;
    let path = api.connector().await;
    let id = path.rsplit('/').next().unwrap();
    let other = api.call_as("999999999999", Method::GET, &path, b"").await;
    assert_eq!(
        refused(other.map(|(_, output)| output)),
        not_found(&format!("Could not find VoiceConnector with Id '{id}'"))
    );
    assert!(api.get(&path).await.is_ok());
}

#[tokio::test]
async fn every_operation_of_a_connector_that_is_not_there_is_not_found() {
    let api = Api::open().await;
    let connector = json!({"Name": "a", "RequireEncryption": false});
    let origination = json!({"Origination": {"Disabled": true}});
    let termination = json!({"Termination": {}});
    let credentials = json!({"Credentials": [{"Username": "a", "Password": "b"}]});
    let usernames = json!({"Usernames": ["a"]});
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    for id in [NOBODY, "short"] {
        for (method, path, body) in [
            (Method::GET, "", &Value::Null),
            (Method::PUT, "", &connector),
            (Method::DELETE, "", &Value::Null),
            (Method::GET, "/origination", &Value::Null),
            (Method::PUT, "/origination", &origination),
            (Method::DELETE, "/origination", &Value::Null),
            (Method::GET, "/termination", &Value::Null),
            (Method::PUT, "/termination", &termination),
            (Method::DELETE, "/termination", &Value::Null),
            (Method::GET, "/termination/health", &Value::Null),
            (Method::GET, "/termination/credentials", &Value::Null),
            (
                Method::POST,
                "/termination/credentials?operation=put",
                &credentials,
            ),
            (
                Method::POST,
                "/termination/credentials?operation=delete",
                &usernames,
            ),
            (Method::POST, "?operation=associate-phone-numbers", &numbers),
            (
                Method::POST,
                "?operation=disassociate-phone-numbers",
                &numbers,
            ),
        ] {
            let path = format!("/voice-connectors/{id}{path}");
            let body = body.to_string();
            let result = api.call_as(ACCOUNT, method, &path, body.as_bytes()).await;
            assert_eq!(
                refused(result.map(|(_, output)| output)),
                not_found(&format!("Could not find VoiceConnector with Id '{id}'")),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_still_named_is_not_deleted() {
    let api = Api::open().await;
    let created = StatusCode::CREATED;
    let numbers = json!(["+12065550100", "+12065550101"]);
    let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": numbers});
    let ordered = api.post(created, "/phone-number-orders", order).await;
    ordered.unwrap();
    let path = api.connector().await;
    let connector = api.get(&path).await.unwrap()["VoiceConnector"].clone();
    let id = connector["VoiceConnectorId"].as_str().unwrap();
    let function = "arn:aws:lambda:us-east-1:111122223333:function:menu";
    let application =
        json!({"Name": "x", "AwsRegion": "us-east-1", "Endpoints": [{"LambdaArn": function}]});
    let application = api
        .post(created, "/sip-media-applications", application)
        .await;
    let application = application.unwrap()["SipMediaApplication"]["SipMediaApplicationId"].clone();
    let rule = async |kind: &str, value: &str| {
        let rule = json!({
            "Name": "x", "TriggerType": kind, "TriggerValue": value, "Disabled": true,
            "TargetApplications": [{"SipMediaApplicationId": application, "Priority": 1}],
        });
        let made = api.post(created, "/sip-rules", rule).await.unwrap();
        made["SipRule"]["SipRuleId"].as_str().unwrap().to_owned()
    };
    let termination = |number: Option<&str>| json!({"Termination": {"DefaultPhoneNumber": number}});
    let termination_path = format!("{path}/termination");
    let put = |number| api.put(&termination_path, termination(number));
    let number_path = |last: u8| format!("/phone-numbers/%2B1206555010{last}");

    let one = json!({"E164PhoneNumbers": ["+12065550100"]});
    for dis in ["", "dis"] {
        let path = format!("{path}?operation={dis}associate-phone-numbers");
        api.post(StatusCode::OK, &path, one.clone()).await.unwrap();
        if dis.is_empty() {
            put(Some("+12065550100")).await.unwrap();
        }
    }
    assert_eq!(
        refused(api.delete(&number_path(0)).await),
        bad_request(&format!(
            "+12065550100: The phone number is the DefaultPhoneNumber of the VoiceConnector '{id}'; put a \
             termination without it with PutVoiceConnectorTermination first"
        ))
    );
    put(None).await.unwrap();
    api.delete(&number_path(0)).await.unwrap();
    assert_eq!(
        refused(put(Some("+12065550100")).await),
        bad_request(
            "Termination.DefaultPhoneNumber: expected a number of the VoiceConnector, or of a group that it is in; \
             associate it first"
        )
    );

    let of_number = rule("ToPhoneNumber", "+12065550101").await;
    let batch = json!({"PhoneNumberIds": ["+12065550101"]});
    let errors = api
        .post(
            StatusCode::OK,
            "/phone-numbers?operation=batch-delete",
            batch,
        )
        .await;
    let errors = errors.unwrap();
    let error = &errors["PhoneNumberErrors"][0];
    assert_eq!(error["ErrorCode"], "PreconditionFailed");
    assert_eq!(
        error["ErrorMessage"],
        format!(
            "The SipRule with Id '{of_number}' is triggered by the phone number; delete it with DeleteSipRule first"
        )
    );
    let host = connector["OutboundHostName"].as_str().unwrap();
    let of_host = rule("RequestUriHostname", host).await;
    let held = refused(api.delete(&path).await);
    assert_eq!(held.0, "ConflictException");
    assert_eq!(
        held.1,
        format!(
            "The SipRule with Id '{of_host}' is triggered by the VoiceConnector's OutboundHostName; delete it with \
             DeleteSipRule first"
        )
    );
    for rule in [of_number, of_host] {
        api.delete(&format!("/sip-rules/{rule}")).await.unwrap();
    }
    api.delete(&number_path(1)).await.unwrap();
    api.delete(&path).await.unwrap();
}
