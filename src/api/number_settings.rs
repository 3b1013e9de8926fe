//! What holds for all phone numbers of an account, and where there are some.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::inventory::{number_type, pool_allows};
use super::members::iso8601;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use crate::store::{Key, Store};

/// How long the default calling name stays as it was updated.
const CALLING_NAME_STAYS: SignedDuration = SignedDuration::from_hours(7 * 24);

const CALLING_NAME: &str = "CallingName";

/// `GetPhoneNumberSettings`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<ApiResponse, ApiError> {
    let settings = state.control.store().document(key(request)).await?;
    let output = Output {
        calling_name: settings
            .as_ref()
            .and_then(|settings| settings.body.get(CALLING_NAME)?.as_str()),
        calling_name_updated_timestamp: settings.as_ref().map(|settings| iso8601(settings.updated)),
    };
    ApiResponse::json(&output)
}

/// `UpdatePhoneNumberSettings`
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let now = (state.now)();
    let body = json!({ CALLING_NAME: input.text(CALLING_NAME) });
    let before = state.control.store().document(key(request)).await?;
    if let Some(before) = &before {
        // To ask for the name that is there changes nothing.
        if before.body == body {
            return Ok(ApiResponse::no_content());
        }
        let again = before.updated + CALLING_NAME_STAYS;
        if now < again {
            let again = iso8601(again);
            return Err(BadRequest::CallingNameUpdated { again }.into());
        }
    }
    let control = &state.control;
    let put = control.put_number_settings(request.account, before.as_ref(), &body, now);
    match put.await? {
        true => Ok(ApiResponse::no_content()),
        // Somebody updated it in this moment.
        false => {
            let again = iso8601(now + CALLING_NAME_STAYS);
            Err(BadRequest::CallingNameUpdated { again }.into())
        }
    }
}

/// `ListSupportedPhoneNumberCountries`: those of the node's number pools.
pub(super) fn countries(state: &ApiState, input: &Input) -> Result<ApiResponse, ApiError> {
    let product_type = input.text("ProductType");
    let mut countries: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pool in &state.number_pools {
        if pool_allows(pool, product_type) {
            let types = countries.entry(&pool.country).or_default();
            types.insert(number_type(pool));
        }
    }
    let countries: Vec<Value> = countries
        .iter()
        .map(|(country, types)| json!({"CountryCode": country, "SupportedPhoneNumberTypes": types}))
        .collect();
    ApiResponse::json(&json!({ "PhoneNumberCountries": countries }))
}

fn key<'a>(request: &ApiRequest<'a>) -> Key<'a> {
    Key {
        kind: Store::NUMBER_SETTINGS,
        account: request.account,
        id: "account",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    calling_name: Option<&'a str>,
    calling_name_updated_timestamp: Option<String>,
}
