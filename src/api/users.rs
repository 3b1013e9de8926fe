//! Phone numbers of users, and calls out of meetings. Users and meetings are made elsewhere: users are known by the
//! config, and no meeting is.

use serde_json::Map;

use super::ApiState;
use super::errors::{ApiError, BadRequest, NotFound};
use super::members::own_number;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use crate::store::NumberProblem;

/// `AssociatePhoneNumberWithUser`; a user has one number, a number one user.
pub(super) async fn associate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let user = known_user(state, input)?;
    let number = own_number(state, request, input, "E164PhoneNumber").await?;
    let store = state.control.store();
    let problem = store
        .associate_user(request.account, &user, number, (state.now)())
        .await?;
    match problem {
        None => ApiResponse::json(&Map::new()),
        Some(NumberProblem::AssociatedElsewhere) => Err(BadRequest::NumberTaken { number }.into()),
        Some(problem) => Err(BadRequest::PhoneNumber { number, problem }.into()),
    }
}

/// `DisassociatePhoneNumberFromUser`; a user without a number is no error.
pub(super) async fn disassociate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let user = known_user(state, input)?;
    let store = state.control.store();
    store
        .disassociate_user(request.account, &user, (state.now)())
        .await?;
    ApiResponse::json(&Map::new())
}

/// `CreateMeetingDialOut`: there is no meeting that a call could be let into.
pub(super) async fn dial_out(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    own_number(state, request, input, "FromPhoneNumber").await?;
    Err(BadRequest::UnknownMeeting.into())
}

/// `ACCOUNT/USER` of the path, where the config knows it.
fn known_user(state: &ApiState, input: &Input) -> Result<String, ApiError> {
    let user = format!("{}/{}", input.text("AccountId"), input.text("UserId"));
    match state.users.contains(&user) {
        true => Ok(user),
        false => Err(NotFound::User(user).into()),
    }
}
