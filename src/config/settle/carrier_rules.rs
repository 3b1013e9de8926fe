//! How a carrier wants to be spoken with: `[carrier.numbers]`, `codecs`, `[carrier.headers]`.

use std::sync::Arc;

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::{CodecList, HeaderRules, value, written};
use crate::numbering::dialling::{DiallingRules, Form, Parts};

impl Settler<'_> {
    /// `[carrier.numbers]`
    pub(super) fn carrier_numbers(
        &mut self,
        path: &str,
        written: Option<Spanned<written::CarrierNumbers>>,
    ) -> Option<DiallingRules> {
        let (section, numbers) = self.open(path, written);
        let keys = written::Dialling {
            country_code: numbers.country_code,
            international_prefixes: numbers.international_prefixes,
            national_prefix: numbers.national_prefix,
            digits: numbers.digits,
        };
        let parts = self.dialling(&section, keys, &DiallingRules::carrier());
        let form = self.optional(&section, "form", numbers.form, Form::Plus, value::form);
        let parts = Parts {
            form: form?.value,
            national_at_home: numbers.national.unwrap_or(false),
            ..parts?
        };
        self.dialling_rules(&section, parts)
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
}
