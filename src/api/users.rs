//! Phone numbers of users, and calls out of meetings. Users and meetings are made elsewhere: users are known by the
//! config, and no meeting is.

use serde_json::{Map, json};

use super::ApiState;
use super::errors::{ApiError, BadRequest, NotFound};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use crate::numbering::E164;
use crate::store::{Document, Key, StoreError};

const KIND: &str = "user-phone-number";

/// `AssociatePhoneNumberWithUser`; a user has one number, a number one user.
pub(super) async fn associate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let user = known_user(state, input)?;
    let number = number_of_account(state, request, input.text("E164PhoneNumber")).await?;
    let _writing = state.control.hold_writes().await;
    let store = state.control.store();
    let record = store.phone_number(request.account, number).await?;
    if record.holder().is_some() {
        return Err(BadRequest::NumberTaken { number }.into());
    }
    let others = associations(state, request).await?;
    let is_anothers = |other: &Document| {
        other.id != user && other.body.get("E164PhoneNumber") == Some(&json!(number.to_string()))
    };
    if others.iter().any(is_anothers) {
        return Err(BadRequest::NumberTaken { number }.into());
    }
    let body = json!({"E164PhoneNumber": number.to_string()});
    store
        .put_document(key(request, &user), "", &body, (state.now)())
        .await?;
    ApiResponse::json(&Map::new())
}

/// `DisassociatePhoneNumberFromUser`; a user without a number is no error.
pub(super) async fn disassociate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let user = known_user(state, input)?;
    let store = state.control.store();
    store.delete_document(key(request, &user)).await?;
    ApiResponse::json(&Map::new())
}

/// `CreateMeetingDialOut`: there is no meeting that a call could be let into.
pub(super) async fn dial_out(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    number_of_account(state, request, input.text("FromPhoneNumber")).await?;
    Err(BadRequest::UnknownMeeting.into())
}

fn key<'a>(request: &'a ApiRequest<'_>, user: &'a str) -> Key<'a> {
    Key {
        kind: KIND,
        account: request.account,
        id: user,
    }
}

/// `ACCOUNT/USER` of the path, where the config knows it.
fn known_user(state: &ApiState, input: &Input) -> Result<String, ApiError> {
    let user = format!("{}/{}", input.text("AccountId"), input.text("UserId"));
    match state.users.contains(&user) {
        true => Ok(user),
        false => Err(NotFound::User(user).into()),
    }
}

async fn number_of_account(
    state: &ApiState,
    request: &ApiRequest<'_>,
    text: &str,
) -> Result<E164, ApiError> {
    // The declaration has let nothing else through.
    let number: E164 = text.parse().map_err(|_| ApiError::ServiceFailure)?;
    match state
        .control
        .store()
        .phone_number(request.account, number)
        .await
    {
        Ok(_) => Ok(number),
        Err(StoreError::UnknownNumber(_)) => Err(BadRequest::NotYourNumber { number }.into()),
        Err(error) => Err(error.into()),
    }
}

async fn associations(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<Vec<Document>, ApiError> {
    let store = state.control.store();
    Ok(store.all_documents(KIND, request.account, "").await?)
}
