//! A file of declared resources: from text to sections that are of their shape.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{DeclaredError, Fault};
use super::resources::{self, Section};
use super::{Declared, Owner};
use crate::api::errors::ApiError;
use crate::api::model::{self, Model};
use crate::config::OwnPlaces;

/// The sections of a file, with the shape of each, in the order in which they are read.
const SECTIONS: [(&str, &str); 5] = [
    ("VoiceConnector", "DeclaredVoiceConnector"),
    ("VoiceConnectorGroup", "DeclaredVoiceConnectorGroup"),
    ("PhoneNumber", "DeclaredPhoneNumber"),
    ("SipMediaApplication", "DeclaredSipMediaApplication"),
    ("SipRule", "DeclaredSipRule"),
];

/// Adds what a file declares, and returns what is wrong with it.
pub(super) fn read(declared: &mut Declared, path: &Path, own: &OwnPlaces) -> Vec<DeclaredError> {
    let file: Arc<Path> = path.into();
    let whole = |fault, line| {
        vec![DeclaredError {
            file: Some(Arc::clone(&file)),
            line,
            fault,
        }]
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return whole(Fault::Unreadable(error.kind()), None),
    };
    let places = Places::of(&text);
    let table: toml::Table = match toml::from_str(&text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map(|span| places.line_at(span.start));
            return whole(Fault::Syntax(error.message().to_owned()), line);
        }
    };
    let (Ok(model), Ok(Value::Object(table))) = (model::model(), serde_json::to_value(table))
    else {
        return whole(Fault::Refused(ApiError::ServiceFailure), None);
    };
    let mut errors = Vec::new();
    let mut note = |fault: Fault, key: &str| {
        let line = places.line_of(fault.key().unwrap_or(key));
        errors.extend(whole(fault, line));
    };
    let account = match account(model, &table) {
        Ok(account) => account,
        Err(fault) => {
            note(fault, "Account");
            return errors;
        }
    };
    for (name, shape) in SECTIONS {
        let sections = table.get(name).and_then(Value::as_array);
        for (index, section) in sections.into_iter().flatten().enumerate() {
            let key = format!("{name}[{index}]");
            let owner = Owner {
                account: account.clone(),
                file: Arc::clone(&file),
                line: places.line_of(&key).unwrap_or(1),
            };
            let read = section_of(model, shape, &key, section)
                .map(|members| Section {
                    key: &key,
                    owner: &owner,
                    own,
                    members,
                })
                .and_then(|section| resources::add(declared, name, &section));
            if let Err(fault) = read {
                note(fault, &key);
            }
        }
    }
    errors
}

/// The file's account; what stands at its top is looked at first.
fn account(model: &'static Model, table: &Map<String, Value>) -> Result<String, Fault> {
    let names = SECTIONS.map(|(name, _)| name);
    let is_known = |key: &str| key == "Account" || names.contains(&key);
    if let Some(key) = table.keys().find(|key| !is_known(key)) {
        let known = std::iter::once("Account").chain(names).collect();
        let key = key.clone();
        return Err(Fault::UnknownKey { key, known });
    }
    // The sections are looked at one by one.
    let of_list = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Array(_) => Value::Array(Vec::new()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => value.clone(),
        };
        (name.clone(), value)
    };
    let top: Value = table.iter().map(of_list).collect::<Map<_, _>>().into();
    model.check("DeclaredResources", "", &top)?;
    let account = table.get("Account").and_then(Value::as_str);
    Ok(account.unwrap_or_default().to_owned())
}

fn section_of<'v>(
    model: &'static Model,
    shape: &str,
    key: &str,
    section: &'v Value,
) -> Result<&'v Map<String, Value>, Fault> {
    if let Some((key, known)) = model.unknown(shape, key, section) {
        return Err(Fault::UnknownKey { key, known });
    }
    model.check(shape, key, section)?;
    // A section that is of its shape is an object.
    section
        .as_object()
        .ok_or(Fault::Refused(ApiError::ServiceFailure))
}

/// Where the keys of a file stand.
struct Places<'t> {
    whole: DeTable<'t>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'t> Places<'t> {
    /// Of a text that is TOML.
    fn of(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let whole = DeTable::parse(text);
        Self {
            whole: whole.map_or_else(|_| DeTable::new(), Spanned::into_inner),
            lines: std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
        }
    }

    /// The line, counted from 1, where a key stands, or what it is within where it is not there.
    fn line_of(&self, key: &str) -> Option<usize> {
        let mut at: Option<usize> = None;
        let mut here: Option<&DeValue<'_>> = None;
        for part in key.split(['.', '[']) {
            let found = match (here, part.strip_suffix(']')) {
                (None, _) => self.whole.get_key_value(part),
                (Some(DeValue::Table(table)), None) => table.get_key_value(part),
                (Some(DeValue::Array(elements)), Some(index)) => {
                    let index: Option<usize> = index.parse().ok();
                    let Some(element) = index.and_then(|index| elements.get(index)) else {
                        break;
                    };
                    at = Some(element.span().start);
                    here = Some(element.get_ref());
                    continue;
                }
                (Some(_), _) => None,
            };
            let Some((name, value)) = found else { break };
            at = Some(name.span().start);
            here = Some(value.get_ref());
        }
        at.map(|offset| self.line_at(offset))
    }

    /// The line that a byte of the text is in.
    fn line_at(&self, offset: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= offset)
    }
}
