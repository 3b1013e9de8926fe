//! `SearchAvailablePhoneNumbers`: numbers of the node's pools that no account has.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::inventory::{NUMBER_TYPES, Wanted};
use super::members::next_token;
use super::request::{ApiRequest, ApiResponse, Text};
use crate::numbering::E164;
use crate::store::Store;

const RESULTS_MAX: usize = 500;
const TOLL_FREE_PREFIXES: &[&str] = &["800", "833", "844", "855", "866", "877", "888"];

/// Numbers asked for at once whether somebody has them: a pool may be large and taken as a whole.
const WINDOW: u64 = 10_000;

/// `SearchAvailablePhoneNumbers`
pub(super) async fn available_phone_numbers(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<ApiResponse, ApiError> {
    let ranges = wanted(request)?.ranges(&state.number_pools);
    let most = request
        .parameter("MaxResults")
        .map_or(Ok(RESULTS_MAX), |most| most.integer(1..=RESULTS_MAX as u64))?;
    let from = first_of_page(request)?;
    // One more tells whether there is another page.
    let mut found = free_numbers(state.control.store(), ranges, from, most + 1).await?;
    let next = found.split_off(most.min(found.len()));
    let output = Output {
        e164_phone_numbers: found.iter().map(E164::to_string).collect(),
        next_token: next.first().map(|number| number.digits().to_string()),
    };
    ApiResponse::json(&output)
}

fn wanted<'a>(request: &'a ApiRequest<'_>) -> Result<Wanted<'a>, BadRequest> {
    let text = |member| {
        request
            .parameter(member)
            .map(|text: Text<'a>| text.as_str())
    };
    Ok(Wanted {
        area_code: request.parameter("AreaCode").map(area_code).transpose()?,
        city: text("City"),
        country: request
            .parameter("Country")
            .map(|country| country.matching(COUNTRY, is_country))
            .transpose()?,
        state: text("State"),
        toll_free_prefix: request
            .parameter("TollFreePrefix")
            .map(|prefix| prefix.one_of(TOLL_FREE_PREFIXES))
            .transpose()?
            .and_then(|prefix| prefix.parse().ok()),
        number_type: request
            .parameter("PhoneNumberType")
            .map(|number_type| number_type.one_of(NUMBER_TYPES))
            .transpose()?,
    })
}

const COUNTRY: &str = "an ISO 3166-1 alpha-2 country, two capital letters";

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Area codes are those of the North American Numbering Plan, as the model says.
fn area_code(text: Text<'_>) -> Result<u64, BadRequest> {
    text.integer(200..=999)
}

/// The token is the first number of its page.
fn first_of_page(request: &ApiRequest<'_>) -> Result<u64, BadRequest> {
    next_token(request).map_or(Ok(0), |token| {
        token.parse().map_err(|_| BadRequest::InvalidToken)
    })
}

/// `ranges` in ascending order of their beginnings; where they overlap, a number comes once.
async fn free_numbers(
    store: &Store,
    ranges: Vec<RangeInclusive<u64>>,
    from: u64,
    most: usize,
) -> Result<Vec<E164>, ApiError> {
    let mut found = Vec::new();
    let mut next = from;
    for range in ranges {
        next = next.max(*range.start());
        while next <= *range.end() && found.len() < most {
            let last = range.end().min(&(next + WINDOW - 1)).to_owned();
            found.extend(free_of_window(store, next..=last).await?);
            next = last + 1;
        }
    }
    found.truncate(most);
    Ok(found)
}

async fn free_of_window(store: &Store, window: RangeInclusive<u64>) -> Result<Vec<E164>, ApiError> {
    let numbers: Vec<E164> = window.filter_map(E164::from_digits).collect();
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Ok(Vec::new());
    };
    let taken = store.numbers_taken(*first, *last).await?;
    let is_free = |number: &E164| taken.binary_search(number).is_err();
    Ok(numbers.into_iter().filter(is_free).collect())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    e164_phone_numbers: Vec<String>,
    next_token: Option<String>,
}
