//! Voice connector groups and the numbers that belong to them.

use super::numbers::{associate, order};
use super::*;
use crate::shard::snapshot::NumberHolder;

const GROUPS: &str = "/voice-connector-groups";

async fn group(api: &Api, name: &str, items: Value) -> Value {
    let body = json!({"Name": name, "VoiceConnectorItems": items});
    let output = api.post(StatusCode::CREATED, GROUPS, body).await.unwrap();
    output["VoiceConnectorGroup"].clone()
}

fn path_of(group: &Value) -> String {
    format!(
        "{GROUPS}/{}",
        group["VoiceConnectorGroupId"].as_str().unwrap()
    )
}

async fn update(api: &Api, path: &str, body: Value) -> Result<Value, ApiError> {
    api.expect(StatusCode::ACCEPTED, Method::PUT, path, body)
        .await
}

fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_group_is_created_read_updated_and_deleted() {
    let api = Api::open().await;
    let (one, two) = (api.connector().await, api.connector().await);
    let items = json!([
        {"VoiceConnectorId": id_of(&one), "Priority": 2},
        {"VoiceConnectorId": id_of(&two)},
    ]);
    let created = group(&api, "branches", items).await;
    assert_eq!(
        created["VoiceConnectorItems"],
        json!([
            {"VoiceConnectorId": id_of(&one), "Priority": 2},
            {"VoiceConnectorId": id_of(&two), "Priority": 1},
        ])
    );
    assert_eq!(created["CallDistributionType"], Value::Null);
    let arn = created["VoiceConnectorGroupArn"].as_str().unwrap();
    assert!(arn.contains(ACCOUNT) && arn.ends_with(id_of(&path_of(&created))));
    let path = path_of(&created);
    let read = json!({"VoiceConnectorGroup": created});
    assert_eq!(api.get(&path).await.unwrap(), read);

    let body = json!({
        "Name": "headquarters",
        "VoiceConnectorItems": [{"VoiceConnectorId": id_of(&two), "Priority": 99}],
        "CallDistributionType": "LoadBalancedDistribution",
    });
    let updated = update(&api, &path, body.clone()).await.unwrap();
    let updated = &updated["VoiceConnectorGroup"];
    assert_eq!(updated["Name"], "headquarters");
    assert_eq!(updated["VoiceConnectorItems"], body["VoiceConnectorItems"]);
    assert_eq!(updated["CallDistributionType"], "LoadBalancedDistribution");
    assert_eq!(updated["CreatedTimestamp"], created["CreatedTimestamp"]);
    let empty = json!({"Name": "headquarters", "VoiceConnectorItems": []});
    let emptied = update(&api, &path, empty).await.unwrap();
    let emptied = &emptied["VoiceConnectorGroup"];
    assert_eq!(emptied["VoiceConnectorItems"], json!([]));
    assert_eq!(emptied["CallDistributionType"], "LoadBalancedDistribution");
    api.delete(&path).await.unwrap();
    let message = format!(
        "Could not find VoiceConnectorGroup with Id '{}'",
        id_of(&path)
    );
    assert_eq!(refused(api.get(&path).await), not_found(&message));
}

#[tokio::test]
async fn a_group_is_seen_by_its_account_alone() {
    let api = Api::open().await;
    let path = path_of(&group(&api, "branches", json!([])).await);
    let body = br#"{"Name": "x", "VoiceConnectorItems": []}"#;
    let numbers = br#"{"E164PhoneNumbers": ["+12065550100"]}"#;
    let associations =
        ["", "dis"].map(|dis| format!("{path}?operation={dis}associate-phone-numbers"));
    for (method, path, body) in [
        (Method::GET, &path, &b""[..]),
        (Method::PUT, &path, body),
        (Method::DELETE, &path, b""),
        (Method::POST, &associations[0], numbers),
        (Method::POST, &associations[1], numbers),
    ] {
        let another = api.call_as("999999999999", method, path, body).await;
        assert_eq!(
            another.unwrap_err().exception(),
            "NotFoundException",
            "{path}"
        );
    }
    let another = api.call_as("999999999999", Method::GET, GROUPS, b"").await;
    assert_eq!(another.unwrap().1["VoiceConnectorGroups"], json!([]));
    for id in ["x", "00000000-0000-0000-0000-000000000000"] {
        let result = api.get(&format!("{GROUPS}/{id}")).await;
        let message = format!("Could not find VoiceConnectorGroup with Id '{id}'");
        assert_eq!(refused(result), not_found(&message));
    }
}

#[tokio::test]
async fn groups_are_listed_in_pages() {
    let api = Api::open().await;
    let mut names = Vec::new();
    for name in ["a", "b", "c"] {
        group(&api, name, json!([])).await;
        pass(1);
    }
    let mut token = String::new();
    loop {
        let path = format!("{GROUPS}?max-results=2&next-token={token}");
        let page = api.get(&path).await.unwrap();
        let groups = page["VoiceConnectorGroups"].as_array().unwrap().iter();
        names.extend(groups.map(|group| group["Name"].clone()));
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    let result = api.get(&format!("{GROUPS}?next-token=x")).await;
    let message = "NextToken: expected the NextToken of an earlier answer";
    assert_eq!(refused(result), bad_request(message));
}

#[tokio::test]
async fn a_group_that_is_wrong_is_refused_by_name() {
    let api = Api::open().await;
    let mut connectors = Vec::new();
    for _ in 0..4 {
        let path = api.connector().await;
        connectors.push(json!({"VoiceConnectorId": id_of(&path)}));
    }
    let path = path_of(&group(&api, "branches", json!([])).await);
    let one = &connectors[0]["VoiceConnectorId"];
    for (items, expected) in [
        (
            json!(connectors),
            bad_request("VoiceConnectorItems: expected a list of elements, at most 3"),
        ),
        (
            json!([{"VoiceConnectorId": one}, {"VoiceConnectorId": one}]),
            bad_request(
                "VoiceConnectorItems[1].VoiceConnectorId: expected each VoiceConnector once",
            ),
        ),
        (
            json!([{"VoiceConnectorId": one, "Priority": 100}]),
            bad_request("VoiceConnectorItems[0].Priority: expected an integer from 1 to 99"),
        ),
        (
            json!([{"Priority": 1}]),
            bad_request("VoiceConnectorItems[0].VoiceConnectorId is required"),
        ),
        (
            json!([{"VoiceConnectorId": NOBODY}]),
            not_found(&format!("Could not find VoiceConnector with Id '{NOBODY}'")),
        ),
    ] {
        let body = json!({"Name": "wrong", "VoiceConnectorItems": items});
        let result = api.post(StatusCode::CREATED, GROUPS, body.clone()).await;
        assert_eq!(refused(result), expected);
        assert_eq!(refused(update(&api, &path, body).await), expected);
    }
    let missing = update(&api, &path, json!({"Name": "x"})).await;
    assert_eq!(
        refused(missing),
        bad_request("VoiceConnectorItems is required")
    );
    let groups = api.get(GROUPS).await.unwrap();
    let groups = groups["VoiceConnectorGroups"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["Name"], "branches");
}

#[tokio::test]
async fn a_number_belongs_to_a_connector_or_to_a_group() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550101"]).await;
    let connector = api.connector().await;
    let path = path_of(&group(&api, "branches", json!([])).await);
    let one = json!({"E164PhoneNumbers": ["+12065550100"]});
    let forced = json!({"E164PhoneNumbers": ["+12065550100"], "ForceAssociate": true});
    let number: crate::numbering::E164 = "+12065550100".parse().unwrap();
    let holder = || {
        let snapshot = api.state.control.snapshot();
        match snapshot.numbers.get(&number) {
            Some(NumberHolder::Connector(id)) => id.to_string(),
            Some(NumberHolder::Group(id)) => id.to_string(),
            None => String::new(),
        }
    };

    assert_eq!(associate(&api, &connector, one.clone()).await, json!([]));
    assert_eq!(holder(), id_of(&connector));
    let errors = associate(&api, &path, one.clone()).await;
    assert_eq!(errors[0]["ErrorCode"], "PhoneNumberAssociationsExist");
    assert_eq!(associate(&api, &path, forced.clone()).await, json!([]));
    assert_eq!(holder(), id_of(&path));
    let shown = api.get("/phone-numbers/%2B12065550100").await.unwrap();
    let shown = &shown["PhoneNumber"];
    assert_eq!(shown["Status"], "Assigned");
    assert_eq!(shown["Associations"].as_array().unwrap().len(), 1);
    assert_eq!(shown["Associations"][0]["Name"], "VoiceConnectorGroupId");
    assert_eq!(shown["Associations"][0]["Value"], id_of(&path));

    let filter = |name: &str, path: &str| {
        format!(
            "/phone-numbers?filter-name={name}&filter-value={}",
            id_of(path)
        )
    };
    let listed = api.get(&filter("VoiceConnectorGroupId", &path)).await;
    assert_eq!(listed.unwrap()["PhoneNumbers"], json!([shown]));
    let listed = api.get(&filter("VoiceConnectorId", &connector)).await;
    assert_eq!(listed.unwrap()["PhoneNumbers"], json!([]));
    let nowhere = api.get(&filter("VoiceConnectorGroupId", "x")).await;
    assert_eq!(refused(nowhere).0, "NotFoundException");

    let errors = associate(&api, &connector, one.clone()).await;
    assert_eq!(errors[0]["ErrorCode"], "PhoneNumberAssociationsExist");
    let disassociate = format!("{path}?operation=disassociate-phone-numbers");
    let both = json!({"E164PhoneNumbers": ["+12065550100", "+12065550101"]});
    let output = api.post(StatusCode::OK, &disassociate, both).await.unwrap();
    let errors = output["PhoneNumberErrors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["PhoneNumberId"], "%2B12065550101");
    assert_eq!(errors[0]["ErrorCode"], "BadRequest");
    assert_eq!(associate(&api, &path, one).await, json!([]));
    assert_eq!(associate(&api, &connector, forced).await, json!([]));
    assert_eq!(holder(), id_of(&connector));
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_deletion_is_named() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    let connector = api.connector().await;
    let items = json!([{"VoiceConnectorId": id_of(&connector)}]);
    let path = path_of(&group(&api, "branches", items).await);
    let one = json!({"E164PhoneNumbers": ["+12065550100"]});
    associate(&api, &path, one.clone()).await;

    let (exception, message) = refused(api.delete("/phone-numbers/%2B12065550100").await);
    assert_eq!(exception, "BadRequestException");
    assert!(
        message.contains(&format!("VoiceConnectorGroup '{}'", id_of(&path))),
        "{message}"
    );
    let (exception, message) = refused(api.delete(&connector).await);
    assert_eq!(exception, "ConflictException");
    assert!(
        message.contains("'branches'") && message.contains(id_of(&path)),
        "{message}"
    );
    let (exception, message) = refused(api.delete(&path).await);
    assert_eq!(exception, "ConflictException");
    assert!(message.contains("1 associated phone number;"), "{message}");

    let disassociate = format!("{path}?operation=disassociate-phone-numbers");
    api.post(StatusCode::OK, &disassociate, one).await.unwrap();
    let (exception, message) = refused(api.delete(&path).await);
    assert_eq!(exception, "ConflictException");
    assert!(message.contains("1 VoiceConnector;"), "{message}");

    let empty = json!({"Name": "branches", "VoiceConnectorItems": []});
    update(&api, &path, empty).await.unwrap();
    api.delete(&path).await.unwrap();
    api.delete(&connector).await.unwrap();
}
