//! What becomes of an account's phone numbers: their properties, the deletion queue, and the way back from it.

use serde_json::Value;

use super::ApiState;
use super::errors::{ApiError, BadRequest, Conflict, Expected, NotFound};
use super::inventory::{pool_allows, pool_of, wrong_product_type};
use super::members::few;
use super::model::{Input, Range};
use super::phone_numbers::{PhoneNumberError, number_of_id, respond, respond_phone_number_errors};
use super::request::{ApiRequest, ApiResponse};
use crate::config::NumberPool;
use crate::numbering::E164;
use crate::store::{NumberChange, NumberProblem};

/// Numbers of one request; the models give no limit.
const NUMBERS: Range = Range {
    least: Some(1),
    most: Some(1_000),
};

/// What an update may be of.
const PROPERTIES: [&str; 3] = ["ProductType", "CallingName", "Name"];

/// `UpdatePhoneNumber`
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = input.text("PhoneNumberId");
    let number = number_of_id(id)?;
    let properties = Value::Object(input.some_of(&PROPERTIES));
    let change = change(&properties, "", number, &state.number_pools)?;
    let outcomes = state
        .control
        .change_numbers(request.account, &[(number, change)], (state.now)())
        .await?;
    settled(id, &outcomes, |problem| {
        Conflict::PhoneNumber { number, problem }.into()
    })?;
    let store = state.control.store();
    let record = store.phone_number(request.account, number).await?;
    respond(&record, &state.number_pools)
}

/// `BatchUpdatePhoneNumber`
pub(super) async fn batch_update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    const ITEMS: &str = "UpdatePhoneNumberRequestItems";
    let items = input.list(ITEMS);
    few(ITEMS, items.len(), NUMBERS)?;
    let changes = items.iter().enumerate().map(|(index, item)| {
        let id = item.get("PhoneNumberId").and_then(Value::as_str);
        let id = id.unwrap_or_default();
        let number = number_of_id(id).map_err(|_| PhoneNumberError::not_found(id))?;
        let within = format!("{ITEMS}[{index}].");
        match change(item, &within, number, &state.number_pools) {
            Ok(change) => Ok((number, change)),
            Err(problem) => Err(PhoneNumberError {
                phone_number_id: id.to_owned(),
                error_code: "BadRequest",
                error_message: problem.to_string(),
            }),
        }
    });
    let changes: Vec<Result<(E164, NumberChange<'_>), PhoneNumberError>> = changes.collect();
    let wanted: Vec<_> = changes
        .iter()
        .filter_map(|change| change.as_ref().ok().copied())
        .collect();
    let outcomes = state
        .control
        .change_numbers(request.account, &wanted, (state.now)())
        .await?;
    let numbers = changes
        .into_iter()
        .map(|change| change.map(|(number, _)| number));
    respond_outcomes(numbers, outcomes)
}

/// `DeletePhoneNumber`; one that is in the deletion queue already is no error.
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = input.text("PhoneNumberId");
    let number = number_of_id(id)?;
    // No rule is made of it meanwhile.
    let _writing = state.control.hold_writes().await;
    let outcomes = state
        .control
        .store()
        .delete_numbers(request.account, &[number], (state.now)())
        .await?;
    settled(id, &outcomes, |problem| {
        BadRequest::PhoneNumber { number, problem }.into()
    })?;
    Ok(ApiResponse::no_content())
}

/// `BatchDeletePhoneNumber`
pub(super) async fn batch_delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    const IDS: &str = "PhoneNumberIds";
    few(IDS, input.list(IDS).len(), NUMBERS)?;
    // An error could not name it: `PhoneNumberError$PhoneNumberId` is not blank.
    if let Some(index) = input.texts(IDS).position(|id| id.trim().is_empty()) {
        return Err(BadRequest::Invalid {
            member: format!("{IDS}[{index}]"),
            expected: Expected::Form("a string that is not blank"),
        }
        .into());
    }
    let numbers = input
        .texts(IDS)
        .map(|id| number_of_id(id).map_err(|_| PhoneNumberError::not_found(id)));
    let numbers: Vec<Result<E164, PhoneNumberError>> = numbers.collect();
    let wanted: Vec<E164> = numbers
        .iter()
        .filter_map(|number| number.as_ref().ok().copied())
        .collect();
    // No rule is made of them meanwhile.
    let _writing = state.control.hold_writes().await;
    let outcomes = state
        .control
        .store()
        .delete_numbers(request.account, &wanted, (state.now)())
        .await?;
    respond_outcomes(numbers, outcomes)
}

/// `RestorePhoneNumber`
pub(super) async fn restore(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = input.text("PhoneNumberId");
    let number = number_of_id(id)?;
    let store = state.control.store();
    let outcomes = store
        .restore_number(request.account, number, (state.now)())
        .await?;
    settled(id, &outcomes, |problem| {
        BadRequest::PhoneNumber { number, problem }.into()
    })?;
    let record = store.phone_number(request.account, number).await?;
    respond(&record, &state.number_pools)
}

/// The one property that is to be changed; `within` is the path to it.
fn change<'a>(
    properties: &'a Value,
    within: &str,
    number: E164,
    pools: &[NumberPool],
) -> Result<NumberChange<'a>, BadRequest> {
    let [product_type, calling_name, name] =
        PROPERTIES.map(|name| properties.get(name).and_then(Value::as_str));
    match (product_type, calling_name, name) {
        (Some(product_type), None, None) => {
            let pool = pool_of(pools, number);
            if pool.is_some_and(|pool| !pool_allows(pool, product_type)) {
                return Err(wrong_product_type(format!("{within}ProductType")));
            }
            Ok(NumberChange::ProductType(product_type))
        }
        (None, Some(name), None) => Ok(NumberChange::CallingName(name)),
        (None, None, Some(name)) => Ok(NumberChange::Name(name)),
        (_, _, _) => Err(BadRequest::OneProperty {
            within: within.to_owned(),
        }),
    }
}

/// The refusal of a request for one number, where there is one.
fn settled(
    id: &str,
    outcomes: &[Result<(), NumberProblem>],
    refused: impl Fn(NumberProblem) -> ApiError,
) -> Result<(), ApiError> {
    for outcome in outcomes {
        outcome.clone().map_err(|problem| match problem {
            NumberProblem::NotInInventory => NotFound::PhoneNumber(id.to_owned()).into(),
            NumberProblem::AssociatedElsewhere
            | NumberProblem::NotAssociated
            | NumberProblem::Associated(_)
            | NumberProblem::OtherProductType
            | NumberProblem::InDeletionQueue
            | NumberProblem::NotInDeletionQueue
            | NumberProblem::DefaultOf(_)
            | NumberProblem::TriggerOf(_) => refused(problem),
        })?;
    }
    Ok(())
}

/// The errors of a request for several numbers: of those that could be asked for, there are outcomes.
fn respond_outcomes(
    numbers: impl IntoIterator<Item = Result<E164, PhoneNumberError>>,
    outcomes: Vec<Result<(), NumberProblem>>,
) -> Result<ApiResponse, ApiError> {
    let mut outcomes = outcomes.into_iter();
    let errors = numbers.into_iter().filter_map(|number| match number {
        Ok(number) => {
            let problem = outcomes.next()?.err()?;
            Some(PhoneNumberError::of(number, &problem))
        }
        Err(error) => Some(error),
    });
    respond_phone_number_errors(errors.collect())
}
