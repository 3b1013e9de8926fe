//! The numbers that the node's pools hold, as search and orders see them.

use std::ops::RangeInclusive;

use super::errors::{BadRequest, Expected};
use crate::config::NumberPool;
use crate::numbering::E164;

const BUSINESS_CALLING: &str = "BusinessCalling";
const LOCAL: &str = "Local";
const TOLL_FREE: &str = "TollFree";

/// Digits of a number of the North American Numbering Plan after the area code.
const SUBSCRIBER_NUMBERS: u64 = 10_000_000;

/// The pool that holds a number.
pub(super) fn pool_of(pools: &[NumberPool], number: E164) -> Option<&NumberPool> {
    pools
        .iter()
        .find(|pool| pool.numbers.contains(&number.digits()))
}

/// A pool's `PhoneNumberType`.
pub(super) fn number_type(pool: &NumberPool) -> &'static str {
    match pool.toll_free {
        true => TOLL_FREE,
        false => LOCAL,
    }
}

/// Whether a pool's numbers may be of a product type: Business Calling has neither toll-free numbers nor numbers outside
/// the United States.
pub(super) fn pool_allows(pool: &NumberPool, product_type: &str) -> bool {
    product_type != BUSINESS_CALLING || (!pool.toll_free && pool.country == "US")
}

/// What [`pool_allows`] does not allow.
pub(super) fn wrong_product_type(member: String) -> BadRequest {
    let expected = Expected::Form(
        "another product type than BusinessCalling, which toll-free numbers and numbers outside the US cannot have",
    );
    BadRequest::Invalid { member, expected }
}

/// Which numbers a search wants; `None` wants all.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// Three digits.
    pub(super) area_code: Option<u64>,
    pub(super) city: Option<&'a str>,
    pub(super) country: Option<&'a str>,
    pub(super) state: Option<&'a str>,
    /// Three digits.
    pub(super) toll_free_prefix: Option<u64>,
    /// `PhoneNumberType`
    pub(super) number_type: Option<&'a str>,
}

impl Wanted<'_> {
    /// The numbers of the pools that are wanted, in ascending order of their beginnings.
    pub(super) fn ranges(&self, pools: &[NumberPool]) -> Vec<RangeInclusive<u64>> {
        let mut ranges: Vec<_> = pools
            .iter()
            .filter(|pool| self.wants(pool))
            .map(|pool| self.narrowed(pool))
            .filter(|range| !range.is_empty())
            .collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        ranges
    }

    fn wants(&self, pool: &NumberPool) -> bool {
        let is = |wanted: Option<&str>, has: &str| {
            wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(has))
        };
        is(self.city, &pool.city)
            && is(self.country, &pool.country)
            && is(self.state, &pool.state)
            && is(self.number_type, number_type(pool))
            && (self.toll_free_prefix.is_none() || pool.toll_free)
    }

    fn narrowed(&self, pool: &NumberPool) -> RangeInclusive<u64> {
        let codes = [self.area_code, self.toll_free_prefix];
        codes
            .into_iter()
            .flatten()
            .map(numbers_of_area_code)
            .fold(pool.numbers.clone(), |range, area| {
                *range.start().max(area.start())..=*range.end().min(area.end())
            })
    }
}

/// +1, the area code, seven digits.
fn numbers_of_area_code(code: u64) -> RangeInclusive<u64> {
    let first = (1_000 + code) * SUBSCRIBER_NUMBERS;
    first..=first + (SUBSCRIBER_NUMBERS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(
        numbers: RangeInclusive<u64>,
        country: &str,
        state: &str,
        toll_free: bool,
    ) -> NumberPool {
        NumberPool {
            numbers,
            country: country.into(),
            state: state.into(),
            city: String::new(),
            toll_free,
        }
    }

    #[test]
    fn a_search_narrows_pools_to_what_is_wanted() {
        let pools = [
            pool(18_005_550_100..=18_005_550_199, "US", "", true),
            pool(12_069_999_990..=12_070_000_009, "US", "WA", false),
            pool(442_071_838_700..=442_071_838_799, "GB", "", false),
        ];
        let area = Wanted {
            area_code: Some(206),
            ..Wanted::default()
        };
        assert_eq!(area.ranges(&pools), [12_069_999_990..=12_069_999_999]);
        let state = Wanted {
            state: Some("wa"),
            ..Wanted::default()
        };
        assert_eq!(state.ranges(&pools), [12_069_999_990..=12_070_000_009]);
        let toll_free = Wanted {
            toll_free_prefix: Some(800),
            ..Wanted::default()
        };
        assert_eq!(toll_free.ranges(&pools), [18_005_550_100..=18_005_550_199]);
        let absent = Wanted {
            toll_free_prefix: Some(888),
            ..Wanted::default()
        };
        assert_eq!(absent.ranges(&pools), []);
        let local = Wanted {
            country: Some("GB"),
            number_type: Some(LOCAL),
            ..Wanted::default()
        };
        assert_eq!(local.ranges(&pools), [442_071_838_700..=442_071_838_799]);
        assert_eq!(Wanted::default().ranges(&pools).len(), 3);
    }
}
