//! How an end of a trunk writes numbers: the keys of `[termination]` and of `[carrier.numbers]`.

use super::{Section, Settler};
use crate::config::problem::Problem;
use crate::config::{value, written};
use crate::numbering::dialling::{
    DiallingRules, Home, INTERNATIONAL_PREFIXES_MAX, NationalPrefix, Parts, Plain, RulesError,
};

/// Digits of a number that may be dialled without `+`, at least: fewer are an extension, or a service.
const DIGITS_MIN: u32 = 7;

impl Settler<'_> {
    /// The keys that both have; what they do not say is as in `default`.
    pub(super) fn dialling(
        &mut self,
        section: &Section,
        keys: written::Dialling,
        default: &DiallingRules,
    ) -> Option<Parts> {
        let default = default.parts();
        let home = default.home.as_ref();
        let country_code = self.optional(
            section,
            "country_code",
            keys.country_code,
            home.map(|home| home.country_code),
            |text| value::country_code(text).map(Some),
        );
        let international_prefixes = match keys.international_prefixes {
            Some(written) => {
                let name = "international_prefixes";
                let read = self.values(section, name, Some(written), value::international_prefix);
                read.into_iter().map(|prefix| prefix.value).collect()
            }
            None => default.international_prefixes.clone(),
        };
        let national_prefix = self.optional(
            section,
            "national_prefix",
            keys.national_prefix,
            home.map(|home| home.national_prefix.clone())
                .unwrap_or_default(),
            value::national_prefix,
        );
        let plain = self.optional(
            section,
            "digits",
            keys.digits,
            default.plain,
            value::plain_digits,
        );
        let (country_code, national_prefix) = (country_code?.value, national_prefix?.value);
        let plain = plain?.value;
        // A national number is one of a country: without its code nobody could call it.
        if country_code.is_none() && national_prefix != NationalPrefix::default() {
            let problem = Problem::NationalWithoutCountryCode;
            self.refuse(section.key("country_code"), section.line, problem);
            return None;
        }
        Some(Parts {
            home: country_code.map(|country_code| Home {
                country_code,
                national_prefix,
            }),
            international_prefixes,
            plain,
            digits_min: match plain {
                Plain::Refused => default.digits_min,
                Plain::E164 | Plain::National => DIGITS_MIN,
            },
            ..default.clone()
        })
    }

    /// The rules that the parts make.
    pub(super) fn dialling_rules(
        &mut self,
        section: &Section,
        parts: Parts,
    ) -> Option<DiallingRules> {
        let (key, problem) = match DiallingRules::new(parts) {
            Ok(rules) => return Some(rules),
            Err(RulesError::NoCountryCode) => ("country_code", Problem::NationalWithoutCountryCode),
            Err(RulesError::TooManyPrefixes | RulesError::DigitsMin) => {
                let (what, max) = ("international prefixes", INTERNATIONAL_PREFIXES_MAX);
                ("international_prefixes", Problem::TooMany { what, max })
            }
        };
        self.refuse(section.key(key), section.line, problem);
        None
    }
}
