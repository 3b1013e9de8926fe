//! Numbers of users, and dialling out of meetings.

use super::*;

const USER: &str = "/accounts/team/users/ada";
const OTHER: &str = "/accounts/team/users/bob";

async fn with_users() -> Api {
    let mut api = Api::open().await;
    api.state.users = ["team/ada".to_owned(), "team/bob".to_owned()].into();
    let order = json!({
        "ProductType": "VoiceConnector",
        "E164PhoneNumbers": ["+12065550100", "+12065550101"],
    });
    api.post(StatusCode::CREATED, "/phone-number-orders", order)
        .await
        .unwrap();
    api
}

async fn associate(api: &Api, user: &str, number: &str) -> Result<Value, ApiError> {
    let path = format!("{user}?operation=associate-phone-number");
    api.post(StatusCode::OK, &path, json!({"E164PhoneNumber": number}))
        .await
}

async fn disassociate(api: &Api, user: &str) -> Result<Value, ApiError> {
    let path = format!("{user}?operation=disassociate-phone-number");
    api.post(StatusCode::OK, &path, json!({})).await
}

#[tokio::test]
async fn a_number_is_one_users_at_a_time() {
    let api = with_users().await;
    assert_eq!(
        associate(&api, USER, "+12065550100").await.unwrap(),
        json!({})
    );
    associate(&api, USER, "+12065550100").await.unwrap();
    let taken = refused(associate(&api, OTHER, "+12065550100").await);
    assert_eq!(taken.0, "BadRequestException");
    assert!(taken.1.contains("+12065550100"), "{}", taken.1);
    disassociate(&api, USER).await.unwrap();
    disassociate(&api, USER).await.unwrap();
    associate(&api, OTHER, "+12065550100").await.unwrap();
}

#[tokio::test]
async fn a_users_number_is_told_and_held() {
    let api = with_users().await;
    associate(&api, USER, "+12065550100").await.unwrap();
    let path = "/phone-numbers/%2B12065550100";
    let number = api.get(path).await.unwrap();
    let number = &number["PhoneNumber"];
    assert_eq!(number["Status"], "Assigned");
    let names = [0, 1].map(|index| {
        let association = &number["Associations"][index];
        format!("{}={}", association["Name"], association["Value"])
    });
    assert_eq!(names, [r#""AccountId"="team""#, r#""UserId"="ada""#]);
    for (filter, count) in [
        ("UserId&filter-value=ada", 1),
        ("UserId&filter-value=bob", 0),
    ] {
        let listed = api
            .get(&format!("/phone-numbers?filter-name={filter}"))
            .await;
        let listed = listed.unwrap();
        assert_eq!(listed["PhoneNumbers"].as_array().unwrap().len(), count);
    }
    let held = refused(api.delete(path).await);
    assert_eq!(
        held,
        bad_request(
            "+12065550100: The phone number is associated with User 'team/ada'; disassociate it with \
             DisassociatePhoneNumberFromUser first"
        )
    );
    let connector = api.connector().await;
    let path_to = format!("{connector}?operation=associate-phone-numbers");
    let numbers = |force| json!({"E164PhoneNumbers": ["+12065550100"], "ForceAssociate": force});
    let errors = api
        .post(StatusCode::OK, &path_to, numbers(false))
        .await
        .unwrap();
    let error = &errors["PhoneNumberErrors"][0];
    assert_eq!(error["ErrorCode"], "PhoneNumberAssociationsExist");
    let errors = api
        .post(StatusCode::OK, &path_to, numbers(true))
        .await
        .unwrap();
    assert_eq!(errors["PhoneNumberErrors"], json!([]));
}

#[tokio::test]
async fn users_and_numbers_have_to_be_known_and_free() {
    let api = with_users().await;
    let unknown = refused(associate(&api, "/accounts/team/users/eve", "+12065550100").await);
    assert_eq!(
        unknown,
        not_found("Could not find User 'team/eve': the users of a node are its config's api.users")
    );
    assert_eq!(
        refused(disassociate(&api, "/accounts/x/users/ada").await).0,
        "NotFoundException"
    );
    let foreign = refused(associate(&api, USER, "+12065550109").await);
    assert_eq!(foreign.0, "BadRequestException");
    let connector = api.connector().await;
    let path = format!("{connector}?operation=associate-phone-numbers");
    let numbers = json!({"E164PhoneNumbers": ["+12065550101"]});
    api.post(StatusCode::OK, &path, numbers).await.unwrap();
    assert_eq!(
        refused(associate(&api, USER, "+12065550101").await).0,
        "BadRequestException"
    );
}

#[tokio::test]
async fn no_call_goes_out_of_a_meeting_that_is_not_here() {
    let api = with_users().await;
    let path = "/meetings/00000000-0000-0000-0000-000000000000/dial-outs";
    let call = |from: &str| json!({"FromPhoneNumber": from, "ToPhoneNumber": "+4930901820", "JoinToken": "abc"});
    let result = api
        .post(StatusCode::CREATED, path, call("+12065550100"))
        .await;
    assert_eq!(
        refused(result),
        bad_request("MeetingId: no meeting is held on this node, so nobody can be called into one")
    );
    let result = api
        .post(StatusCode::CREATED, path, call("+12065550109"))
        .await;
    assert_eq!(
        refused(result),
        bad_request(
            "FromPhoneNumber: expected a phone number of the account: order it with CreatePhoneNumberOrder first"
        )
    );
    let mut without = call("+12065550100");
    without["JoinToken"] = json!("");
    let result = api.post(StatusCode::CREATED, path, without).await;
    assert_eq!(
        refused(result),
        bad_request("JoinToken: expected a string of 2 to 2048 characters")
    );
}

#[tokio::test]
async fn every_operation_is_served() {
    let api = Api::open().await;
    for operation in &crate::api::model::model().unwrap().operations {
        let path: String = operation
            .path
            .iter()
            .map(|segment| match segment {
                crate::api::model::Segment::Fixed(text) => format!("/{text}"),
                crate::api::model::Segment::Label(_) => "/x".to_owned(),
            })
            .collect();
        let query = operation
            .query
            .map(|(key, value)| format!("?{key}={value}"));
        let path = path + &query.unwrap_or_default();
        let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
        let answer = api.call_as(ACCOUNT, method, &path, b"{}").await;
        let is_unknown = matches!(answer, Err(ApiError::UnknownOperation { .. }));
        assert!(!is_unknown, "{}", operation.name);
    }
}
