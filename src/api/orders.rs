//! Orders of phone numbers: from the node's pools into an account's inventory.

use std::collections::HashSet;

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest, Expected};
use super::inventory::pool_of;
use super::members::{e164_list, iso8601};
use super::request::{ApiRequest, ApiResponse};
use crate::config::NumberPool;
use crate::numbering::E164;
use crate::store::OrderRecord;

/// `PhoneNumberProductType` of `chime-sdk-voice`: what can be ordered.
const PRODUCT_TYPES: &[&str] = &["VoiceConnector", "SipMediaApplicationDialIn"];
const NUMBERS_MAX: usize = 50;
const NAME: &str = "at most 256 letters, digits, spaces and characters of ,._-";

/// `CreatePhoneNumberOrder`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<ApiResponse, ApiError> {
    let (product_type, numbers) = order(request, &state.number_pools)?;
    let record = state
        .control
        .order_numbers(request.account, product_type, &numbers)
        .await?;
    respond(&record)
}

/// `GetPhoneNumberOrder`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let record = state.control.store().order(request.account, id).await?;
    respond(&record)
}

fn order(
    request: &ApiRequest<'_>,
    pools: &[NumberPool],
) -> Result<(&'static str, Vec<E164>), BadRequest> {
    let body = request.body()?;
    let members = body.members();
    let product_type = members
        .required("ProductType")?
        .text()?
        .one_of(PRODUCT_TYPES)?;
    if let Some(name) = members.optional("Name") {
        name.text()?.matching(NAME, is_name)?;
    }
    let mut seen = HashSet::new();
    let mut numbers = Vec::new();
    for (member, number) in e164_list(members.required("E164PhoneNumbers")?, NUMBERS_MAX)? {
        if pool_of(pools, number).is_none() {
            return Err(BadRequest::NumberInNoPool { member, number });
        }
        if !seen.insert(number) {
            let expected = Expected::Form("each number once");
            return Err(BadRequest::Invalid { member, expected });
        }
        numbers.push(number);
    }
    Ok((product_type, numbers))
}

/// `PhoneNumberName`: words between spaces.
fn is_name(text: &str) -> bool {
    text.chars().count() <= 256
        && text.trim() == text
        && text.chars().all(|character| {
            character.is_ascii_alphanumeric()
                || character.is_whitespace()
                || ",._-".contains(character)
        })
}

fn respond(record: &OrderRecord) -> Result<ApiResponse, ApiError> {
    let output = Output {
        phone_number_order: record.into(),
    };
    ApiResponse::json(&output)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    phone_number_order: PhoneNumberOrder<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneNumberOrder<'a> {
    phone_number_order_id: &'a str,
    product_type: &'a str,
    status: &'static str,
    order_type: &'static str,
    ordered_phone_numbers: Vec<OrderedPhoneNumber<'a>>,
    created_timestamp: String,
    updated_timestamp: String,
    foc_date: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderedPhoneNumber<'a> {
    e164_phone_number: &'a str,
    status: &'static str,
}

impl<'a> From<&'a OrderRecord> for PhoneNumberOrder<'a> {
    fn from(record: &'a OrderRecord) -> Self {
        let numbers = record.numbers.iter().map(|number| OrderedPhoneNumber {
            e164_phone_number: &number.number,
            status: if number.acquired {
                "Acquired"
            } else {
                "Failed"
            },
        });
        Self {
            phone_number_order_id: &record.id,
            product_type: &record.product_type,
            status: status(record),
            order_type: "New",
            ordered_phone_numbers: numbers.collect(),
            // An order is settled when it is placed.
            created_timestamp: iso8601(record.created),
            updated_timestamp: iso8601(record.created),
            foc_date: None,
        }
    }
}

/// `PhoneNumberOrderStatus`
fn status(record: &OrderRecord) -> &'static str {
    let acquired = record.numbers.iter().filter(|number| number.acquired);
    match acquired.count() {
        0 => "Failed",
        count if count == record.numbers.len() => "Successful",
        _ => "Partial",
    }
}
