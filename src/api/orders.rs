//! Orders of phone numbers: from the node's pools into an account's inventory.

use std::collections::HashSet;

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest, Expected};
use super::inventory::{pool_allows, pool_of, wrong_product_type};
use super::members::{e164_list, iso8601, next_token, page_length};
use super::model::{Input, Range};
use super::request::{ApiRequest, ApiResponse};
use crate::config::NumberPool;
use crate::numbering::E164;
use crate::store::OrderRecord;

/// Numbers of one order.
const NUMBERS: Range = Range {
    least: Some(1),
    most: Some(50),
};

/// `CreatePhoneNumberOrder`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let product_type = input.text("ProductType");
    let numbers = numbers(input, product_type, &state.number_pools)?;
    let name = input.text_if_any("Name").filter(|name| !name.is_empty());
    let record = state
        .control
        .order_numbers(request.account, product_type, name, &numbers)
        .await?;
    respond(&record)
}

/// `ListPhoneNumberOrders`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let most = page_length(input);
    let page = state
        .control
        .store()
        .orders(request.account, next_token(input), most)
        .await?;
    let output = ListOutput {
        phone_number_orders: page.rows.iter().map(PhoneNumberOrder::from).collect(),
        next_token: page.next,
    };
    ApiResponse::json(&output)
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

fn numbers(
    input: &Input,
    product_type: &str,
    pools: &[NumberPool],
) -> Result<Vec<E164>, BadRequest> {
    let mut seen = HashSet::new();
    let mut numbers = Vec::new();
    for (member, number) in e164_list(input, "E164PhoneNumbers", NUMBERS)? {
        let Some(pool) = pool_of(pools, number) else {
            return Err(BadRequest::NumberInNoPool { member, number });
        };
        if !pool_allows(pool, product_type) {
            return Err(wrong_product_type("ProductType".to_owned()));
        }
        if !seen.insert(number) {
            let expected = Expected::Form("each number once");
            return Err(BadRequest::Invalid { member, expected });
        }
        numbers.push(number);
    }
    Ok(numbers)
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
struct ListOutput<'a> {
    phone_number_orders: Vec<PhoneNumberOrder<'a>>,
    next_token: Option<String>,
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
