//! How a carrier wants to be spoken with: `[carrier.numbers]`, `codecs`, `[carrier.headers]`.

use std::sync::Arc;

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::{CodecList, HeaderRules, value, written};
use crate::numbering::dialling::{
    CountryCode, DiallingRules, Form, Home, INTERNATIONAL_PREFIXES_MAX, NationalPrefix, Parts,
    Plain, RulesError,
};

/// Digits of a number at least: shorter ones are local, or services.
const DIGITS_MIN: u32 = 7;

const COUNTRY_CODE: &str = "the country code that its national numbers are of, such as 44";

impl Settler<'_> {
    /// `[carrier.numbers]`
    pub(super) fn carrier_numbers(
        &mut self,
        path: &str,
        written: Option<Spanned<written::CarrierNumbers>>,
    ) -> Option<DiallingRules> {
        let (section, numbers) = self.open(path, written);
        let errors_before = self.errors.len();
        let home = self.home(&section, numbers.country_code, numbers.national_prefix);
        let prefixes = self.values(
            &section,
            "international_prefixes",
            numbers.international_prefixes,
            value::international_prefix,
        );
        let plain = self.optional(
            &section,
            "digits",
            numbers.digits,
            Plain::E164,
            value::plain_digits,
        );
        let form = self.optional(&section, "form", numbers.form, Form::Plus, value::form);
        let (home, plain, form) = (home?, plain?.value, form?.value);
        if self.errors.len() > errors_before {
            return None;
        }
        let rules = DiallingRules::new(Parts {
            home,
            international_prefixes: prefixes.into_iter().map(|prefix| prefix.value).collect(),
            plain,
            digits_min: DIGITS_MIN,
            form,
            national_at_home: numbers.national.unwrap_or(false),
        });
        let (key, problem) = match rules {
            Ok(rules) => return Some(rules),
            Err(RulesError::NoCountryCode | RulesError::DigitsMin) => {
                let expected = COUNTRY_CODE;
                ("country_code", Problem::Missing { expected })
            }
            Err(RulesError::TooManyPrefixes) => {
                let (what, max) = ("international prefixes", INTERNATIONAL_PREFIXES_MAX);
                ("international_prefixes", Problem::TooMany { what, max })
            }
        };
        self.refuse(section.key(key), section.line, problem);
        None
    }

    /// `codecs`
    pub(super) fn carrier_codecs(
        &mut self,
        section: &Section,
        written: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Option<Option<Arc<CodecList>>> {
        let Some(written) = written.filter(|written| !written.get_ref().is_empty()) else {
            return Some(None);
        };
        let (key, line) = (section.key("codecs"), self.line(&written));
        let errors_before = self.errors.len();
        let names = self.values(
            section,
            "codecs",
            Some(written.into_inner()),
            value::encoding_name,
        );
        self.only_once(&names, "codec");
        if names.len() > CodecList::MAX {
            let (what, max) = ("codecs", CodecList::MAX);
            self.refuse(key.clone(), line, Problem::TooMany { what, max });
        }
        if self.errors.len() > errors_before {
            return None;
        }
        let list = CodecList::new(names.into_iter().map(|name| name.value));
        if list.is_none() {
            let expected = "a codec to speak with, such as PCMU, beside telephone-event and CN";
            self.refuse(key, line, Problem::Missing { expected });
        }
        list.map(|list| Some(Arc::new(list)))
    }

    /// `[carrier.headers]`
    pub(super) fn carrier_headers(
        &mut self,
        path: &str,
        written: Option<Spanned<written::CarrierHeaders>>,
    ) -> Option<HeaderRules> {
        let (section, headers) = self.open(path, written);
        let errors_before = self.errors.len();
        let remove = self.values(&section, "remove", headers.remove, value::carried_field);
        self.only_once(&remove, "field");
        let (mut names, mut add) = (Vec::new(), Vec::new());
        for (name, written) in headers.add.unwrap_or_default() {
            let key = format!("{}.{name}", section.key("add"));
            let line = self.line(&written);
            match value::added_field(&name) {
                Ok(value) => names.push(Placed {
                    value,
                    key: key.clone(),
                    line,
                }),
                Err(problem) => self.refuse(key.clone(), line, problem),
            }
            let value = self.value(key, written, value::field_value);
            add.extend(value.map(|value| (name.into(), value.value)));
        }
        self.only_once(&names, "field");
        for (name, count) in [("remove", remove.len()), ("add", add.len())] {
            if count > HeaderRules::MAX {
                let (what, max) = ("fields", HeaderRules::MAX);
                self.refuse(
                    section.key(name),
                    section.line,
                    Problem::TooMany { what, max },
                );
            }
        }
        (self.errors.len() == errors_before).then(|| HeaderRules {
            remove: remove.into_iter().map(|name| name.value).collect(),
            add: add.into(),
        })
    }

    /// Refuses names that stand in a list before, in whatever case.
    fn only_once(&mut self, names: &[Placed<Box<str>>], what: &'static str) {
        for (index, name) in names.iter().enumerate() {
            let mut before = names.iter().take(index);
            if let Some(first) = before.find(|first| first.value.eq_ignore_ascii_case(&name.value))
            {
                let first = first.line;
                self.errors
                    .push(name.refused(Problem::Duplicate { what, first }));
            }
        }
    }

    /// A national prefix is that of a country.
    fn home(
        &mut self,
        section: &Section,
        country_code: written::Text,
        national_prefix: written::Text,
    ) -> Option<Option<Home>> {
        let has_prefix = national_prefix
            .as_ref()
            .is_some_and(|prefix| !prefix.get_ref().is_empty());
        let national_prefix = self.optional(
            section,
            "national_prefix",
            national_prefix,
            NationalPrefix::default(),
            value::national_prefix,
        );
        let country_code: Option<CountryCode> = match (country_code, has_prefix) {
            (None, false) => None,
            (country_code, _) => {
                let parse = value::country_code;
                let code =
                    self.required(section, "country_code", country_code, COUNTRY_CODE, parse);
                Some(code?.value)
            }
        };
        let national_prefix = national_prefix?.value;
        Some(country_code.map(|country_code| Home {
            country_code,
            national_prefix,
        }))
    }
}
