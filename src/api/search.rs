//! `SearchAvailablePhoneNumbers`: numbers of the node's pools that no account has.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::inventory::Wanted;
use super::members::{invalid, next_token};
use super::model::Input;
use super::request::ApiResponse;
use crate::numbering::E164;
use crate::store::Store;

const RESULTS_MAX: usize = 500;

/// Numbers asked for at once whether somebody has them: a pool may be large and taken as a whole.
const WINDOW: u64 = 10_000;

/// `SearchAvailablePhoneNumbers`
pub(super) async fn available_phone_numbers(
    state: &ApiState,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let ranges = wanted(input)?.ranges(&state.number_pools);
    let most = input.integer("MaxResults");
    let most = most.and_then(|most| usize::try_from(most).ok());
    let most = most.unwrap_or(RESULTS_MAX);
    let from = first_of_page(input)?;
    // One more tells whether there is another page.
    let mut found = free_numbers(state.control.store(), ranges, from, most + 1).await?;
    let next = found.split_off(most.min(found.len()));
    let output = Output {
        e164_phone_numbers: found.iter().map(E164::to_string).collect(),
        next_token: next.first().map(|number| number.digits().to_string()),
    };
    ApiResponse::json(&output)
}

fn wanted(input: &Input) -> Result<Wanted<'_>, BadRequest> {
    let text = |member| input.text_if_any(member);
    // Area codes are those of the North American Numbering Plan, as the model says.
    let area_code = text("AreaCode").map(|digits| digits.parse().ok());
    let area_code = area_code.map(|code| code.filter(|code| (200..=999).contains(code)));
    let prefix = text("TollFreePrefix").and_then(|digits| digits.parse().ok());
    Ok(Wanted {
        area_code: match area_code {
            Some(None) => return Err(invalid("AreaCode", "an integer from 200 to 999")),
            Some(code) => code,
            None => None,
        },
        city: text("City"),
        country: text("Country"),
        state: text("State"),
        toll_free_prefix: prefix,
        number_type: text("PhoneNumberType"),
    })
}

/// The token is the first number of its page.
fn first_of_page(input: &Input) -> Result<u64, BadRequest> {
    next_token(input).map_or(Ok(0), |token| {
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
