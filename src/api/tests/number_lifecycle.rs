//! What becomes of a number: its properties, the deletion queue, and the way back.

use super::numbers::{associate, order};
use super::*;
use crate::numbering::E164;
use crate::store::DELETION_QUEUE;

const NUMBER: &str = "/phone-numbers/%2B12065550100";

async fn number(api: &Api) -> Value {
    api.get(NUMBER).await.unwrap()["PhoneNumber"].take()
}

async fn update(api: &Api, body: Value) -> Result<Value, ApiError> {
    let output = api.post(StatusCode::OK, NUMBER, body).await?;
    Ok(output["PhoneNumber"].clone())
}

async fn restore(api: &Api) -> Result<Value, ApiError> {
    let path = format!("{NUMBER}?operation=restore");
    let output = api.post(StatusCode::OK, &path, Value::Null).await?;
    Ok(output["PhoneNumber"].clone())
}

/// The errors of a batch, as id and code.
async fn batch(api: &Api, operation: &str, body: Value) -> Vec<(String, String)> {
    let path = format!("/phone-numbers?operation={operation}");
    let output = api.post(StatusCode::OK, &path, body).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = output["PhoneNumberErrors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            assert!(!text(&error["ErrorMessage"]).is_empty());
            (text(&error["PhoneNumberId"]), text(&error["ErrorCode"]))
        })
        .collect()
}

fn errors(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(id, code): &(&str, &str)| ((*id).to_owned(), (*code).to_owned());
    expected.iter().map(owned).collect()
}

async fn purge(api: &Api) -> u64 {
    let store = api.state.control.store();
    store.purge_numbers(clock()).await.unwrap()
}

#[tokio::test]
async fn one_property_of_a_number_is_updated_at_a_time() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    assert_eq!(number(&api).await["CallingNameStatus"], "Unassigned");

    let named = update(&api, json!({"CallingName": "Trunk 7"}))
        .await
        .unwrap();
    assert_eq!(named["CallingName"], "Trunk 7");
    assert_eq!(named["CallingNameStatus"], "UpdateSucceeded");
    let named = update(&api, json!({"Name": "front desk"})).await.unwrap();
    assert_eq!(named["Name"], "front desk");
    assert_eq!(named["CallingName"], "Trunk 7");
    let sold = update(&api, json!({"ProductType": "BusinessCalling"}))
        .await
        .unwrap();
    assert_eq!(sold["ProductType"], "BusinessCalling");
    assert_eq!(number(&api).await, sold);

    let unnamed = update(&api, json!({"CallingName": ""})).await.unwrap();
    assert_eq!(unnamed["CallingName"], Value::Null);
    assert_eq!(unnamed["CallingNameStatus"], "Unassigned");
    let unnamed = update(&api, json!({"Name": ""})).await.unwrap();
    assert_eq!(unnamed["Name"], Value::Null);
}

#[tokio::test]
async fn an_update_that_is_wrong_is_refused_by_name_and_changes_nothing() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+18005550100"]).await;
    let before = number(&api).await;
    let one =
        "Expected one of ProductType, CallingName and Name: one property is updated at a time";
    for (body, message) in [
        (json!({}), one),
        (json!({"CallingName": "abc", "Name": "abc"}), one),
        (
            json!({"CallingName": "a"}),
            "CallingName: expected 2 to 15 letters, digits and spaces, or nothing",
        ),
        (
            json!({"ProductType": "Fax"}),
            "ProductType: expected one of VoiceConnector, SipMediaApplicationDialIn, BusinessCalling",
        ),
    ] {
        assert_eq!(refused(update(&api, body).await), bad_request(message));
    }
    let path = "/phone-numbers/%2B18005550100";
    let business = json!({"ProductType": "BusinessCalling"});
    assert_eq!(
        refused(api.post(StatusCode::OK, path, business).await),
        bad_request(
            "ProductType: expected another product type than BusinessCalling, which toll-free numbers and numbers \
             outside the US cannot have"
        )
    );
    assert_eq!(number(&api).await, before);
    let path = "/phone-numbers/%2B12065550109";
    let result = api.post(StatusCode::OK, path, json!({"Name": "x"})).await;
    assert_eq!(
        refused(result),
        not_found("Could not find PhoneNumber with Id '%2B12065550109'")
    );
    let another = api.call_as("999999999999", Method::POST, NUMBER, br#"{"Name": "x"}"#);
    assert_eq!(another.await.unwrap_err().exception(), "NotFoundException");
}

#[tokio::test]
async fn an_associated_number_keeps_its_product_type() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    let connector = api.connector().await;
    associate(
        &api,
        &connector,
        json!({"E164PhoneNumbers": ["+12065550100"]}),
    )
    .await;
    let dial_in = json!({"ProductType": "SipMediaApplicationDialIn"});
    let (exception, message) = refused(update(&api, dial_in.clone()).await);
    assert_eq!(exception, "ConflictException");
    let id = connector.rsplit('/').next().unwrap();
    assert!(message.contains(id), "{message}");
    update(&api, json!({"ProductType": "VoiceConnector"}))
        .await
        .unwrap();

    let path = format!("{connector}?operation=disassociate-phone-numbers");
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    api.post(StatusCode::OK, &path, numbers.clone())
        .await
        .unwrap();
    update(&api, dial_in).await.unwrap();
    let errors = associate(&api, &connector, numbers).await;
    assert_eq!(errors[0]["ErrorCode"], "PreconditionFailed");
    let message = errors[0]["ErrorMessage"].as_str().unwrap();
    assert!(message.contains("ProductType"), "{message}");
}

#[tokio::test]
async fn a_batch_of_updates_says_what_it_did_not_do() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550101", "+18005550100"]).await;
    let item = |id: &str, name: &str, value: &str| json!({"PhoneNumberId": id, name: value});
    let items = json!({"UpdatePhoneNumberRequestItems": [
        item("%2B18005550100", "ProductType", "BusinessCalling"),
        item("%2B12065550101", "CallingName", "one"),
        item("abc", "CallingName", "two"),
        item("%2B12065550109", "CallingName", "three"),
        item("%2B12065550100", "CallingName", "four"),
        {"PhoneNumberId": "%2B12065550100"},
        item("%2B12065550100", "Name", "five"),
    ]});
    assert_eq!(
        batch(&api, "batch-update", items).await,
        errors(&[
            ("%2B18005550100", "BadRequest"),
            ("abc", "NotFound"),
            ("%2B12065550109", "NotFound"),
            ("%2B12065550100", "BadRequest"),
        ])
    );
    let number = number(&api).await;
    assert_eq!(
        (&number["CallingName"], &number["Name"]),
        (&json!("four"), &json!("five"))
    );
    let other = api.get("/phone-numbers/%2B12065550101").await.unwrap();
    assert_eq!(other["PhoneNumber"]["CallingName"], "one");

    let wrong = json!({"UpdatePhoneNumberRequestItems": [{"CallingName": "one"}]});
    let path = "/phone-numbers?operation=batch-update";
    assert_eq!(
        refused(api.post(StatusCode::OK, path, wrong).await),
        bad_request("UpdatePhoneNumberRequestItems[0].PhoneNumberId is required")
    );
    let none = json!({"UpdatePhoneNumberRequestItems": []});
    assert_eq!(
        refused(api.post(StatusCode::OK, path, none).await),
        bad_request("UpdatePhoneNumberRequestItems: expected a list of 1 to 1000 elements")
    );
}

#[tokio::test]
async fn a_deleted_number_waits_for_seven_days_and_is_anybodys_then() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    api.delete(NUMBER).await.unwrap();
    let deleted = number(&api).await;
    assert_eq!(deleted["Status"], "DeleteInProgress");
    assert!(deleted["DeletionTimestamp"].is_string());
    for (status, count) in [("DeleteInProgress", 1), ("Unassigned", 0), ("Assigned", 0)] {
        let page = api.get(&format!("/phone-numbers?status={status}")).await;
        let listed = page.unwrap()["PhoneNumbers"].as_array().unwrap().len();
        assert_eq!(listed, count, "{status}");
    }
    // Nobody may have it yet.
    assert_eq!(order(&api, &["+12065550100"]).await["Status"], "Failed");

    pass(24);
    // Deleting it once more does not begin the week again.
    api.delete(NUMBER).await.unwrap();
    assert_eq!(number(&api).await, deleted);
    pass(6 * 24 - 1);
    assert_eq!(purge(&api).await, 0);
    pass(1);
    assert_eq!(
        refused(restore(&api).await),
        not_found("Could not find PhoneNumber with Id '%2B12065550100'")
    );
    assert_eq!(purge(&api).await, 1);
    assert_eq!(refused(api.get(NUMBER).await).0, "NotFoundException");
    assert_eq!(refused(api.delete(NUMBER).await).0, "NotFoundException");
    assert_eq!(order(&api, &["+12065550100"]).await["Status"], "Successful");
    assert_eq!(DELETION_QUEUE.as_hours(), 7 * 24);
}

#[tokio::test]
async fn a_number_comes_back_from_the_deletion_queue_unassigned() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    update(&api, json!({"CallingName": "Trunk"})).await.unwrap();
    assert_eq!(
        refused(restore(&api).await),
        bad_request("+12065550100: The phone number is not in the deletion queue")
    );
    api.delete(NUMBER).await.unwrap();
    pass(7 * 24 - 1);
    let restored = restore(&api).await.unwrap();
    assert_eq!(restored["Status"], "Unassigned");
    assert_eq!(restored["DeletionTimestamp"], Value::Null);
    assert_eq!(restored["CallingName"], "Trunk");
    pass(24);
    assert_eq!(purge(&api).await, 0);
    assert_eq!(number(&api).await, restored);
    let unknown = "/phone-numbers/%2B12065550109?operation=restore";
    let result = api.post(StatusCode::OK, unknown, Value::Null).await;
    assert_eq!(refused(result).0, "NotFoundException");
}

#[tokio::test]
async fn a_number_that_is_in_use_is_not_deleted() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    let connector = api.connector().await;
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    associate(&api, &connector, numbers.clone()).await;
    let (exception, message) = refused(api.delete(NUMBER).await);
    assert_eq!(exception, "BadRequestException");
    let id = connector.rsplit('/').next().unwrap();
    assert!(
        message.contains(&format!("associated with the VoiceConnector '{id}'")),
        "{message}"
    );
    assert_eq!(number(&api).await["Status"], "Assigned");
    let path = format!("{connector}?operation=disassociate-phone-numbers");
    api.post(StatusCode::OK, &path, numbers).await.unwrap();
    api.delete(NUMBER).await.unwrap();
}

#[tokio::test]
async fn a_number_in_the_deletion_queue_takes_no_calls_and_no_changes() {
    let api = Api::open().await;
    order(&api, &["+12065550100"]).await;
    let connector = api.connector().await;
    api.delete(NUMBER).await.unwrap();
    let forced = json!({"E164PhoneNumbers": ["+12065550100"], "ForceAssociate": true});
    let errors = associate(&api, &connector, forced).await;
    assert_eq!(errors[0]["ErrorCode"], "PreconditionFailed");
    let message = errors[0]["ErrorMessage"].as_str().unwrap();
    assert!(message.contains("RestorePhoneNumber"), "{message}");
    let deleted: E164 = "+12065550100".parse().unwrap();
    assert!(!api.state.control.snapshot().numbers.contains_key(&deleted));
    let (exception, message) = refused(update(&api, json!({"Name": "x"})).await);
    assert_eq!(exception, "ConflictException");
    assert!(message.contains("RestorePhoneNumber"), "{message}");
}

#[tokio::test]
async fn a_batch_of_deletions_says_what_it_did_not_do() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550101", "+12065550102"]).await;
    let connector = api.connector().await;
    associate(
        &api,
        &connector,
        json!({"E164PhoneNumbers": ["+12065550101"]}),
    )
    .await;
    let ids = json!({"PhoneNumberIds": [
        "%2B12065550102", "%2B12065550101", "x", "%2B12065550100", "%2B12065550109",
    ]});
    assert_eq!(
        batch(&api, "batch-delete", ids).await,
        errors(&[
            ("%2B12065550101", "PhoneNumberAssociationsExist"),
            ("x", "NotFound"),
            ("%2B12065550109", "NotFound"),
        ])
    );
    let page = api.get("/phone-numbers?status=DeleteInProgress").await;
    assert_eq!(page.unwrap()["PhoneNumbers"].as_array().unwrap().len(), 2);
    let path = "/phone-numbers?operation=batch-delete";
    let result = api
        .post(StatusCode::OK, path, json!({"PhoneNumberIds": []}))
        .await;
    let message = "PhoneNumberIds: expected a list of elements, at least 1";
    assert_eq!(refused(result), bad_request(message));
    // A PhoneNumberError could not name it: its PhoneNumberId is a NonEmptyString.
    for blank in ["", " "] {
        let ids = json!({"PhoneNumberIds": ["%2B12065550102", blank]});
        let result = api.post(StatusCode::OK, path, ids).await;
        let message = "PhoneNumberIds[1]: expected a string that is not blank";
        assert_eq!(refused(result), bad_request(message));
    }
}

#[tokio::test]
async fn orders_are_listed_in_pages_and_name_their_numbers() {
    let api = Api::open().await;
    let body = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550100"], "Name": "main line"});
    let output = api
        .post(StatusCode::CREATED, "/phone-number-orders", body)
        .await
        .unwrap();
    assert_eq!(number(&api).await["Name"], "main line");
    let mut placed = vec![output["PhoneNumberOrder"].clone()];
    for number in ["+12065550101", "+12065550102"] {
        placed.push(order(&api, &[number]).await);
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/phone-number-orders?max-results=2&next-token={token}");
        let page = api.get(&path).await.unwrap();
        let orders = page["PhoneNumberOrders"].as_array().unwrap();
        assert!(orders.len() <= 2);
        listed.extend(orders.iter().cloned());
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let by_id = |order: &Value| order["PhoneNumberOrderId"].as_str().unwrap().to_owned();
    // Orders of one millisecond come in the order of their ids.
    placed.sort_by_key(by_id);
    listed.sort_by_key(by_id);
    assert_eq!(listed, placed);
    for (query, message) in [
        (
            "max-results=0",
            "MaxResults: expected an integer from 1 to 100",
        ),
        (
            "next-token=x",
            "NextToken: expected the NextToken of an earlier answer",
        ),
    ] {
        let result = api.get(&format!("/phone-number-orders?{query}")).await;
        assert_eq!(refused(result), bad_request(message));
    }
    let path = "/phone-number-orders";
    let another = api.call_as("999999999999", Method::GET, path, b"").await;
    assert_eq!(another.unwrap().1["PhoneNumberOrders"], json!([]));
}
