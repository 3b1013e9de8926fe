//! A request as its operation's declaration reads it: every member checked, wherever it stood.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::{Member, Model, Operation, Place, Range, Shape};
use crate::api::errors::{BadRequest, Expected};
use crate::api::request::{ApiRequest, Members};

/// The members of a request by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    members: Map<String, Value>,
}

impl Input {
    /// Reads a request; a refusal names the member and what would have been right.
    pub(super) fn read(
        model: &'static Model,
        operation: &Operation,
        request: &ApiRequest<'_>,
        labels: &[(&str, &str)],
    ) -> Result<Self, BadRequest> {
        let takes_body = operation
            .input
            .iter()
            .any(|(_, place)| *place == Place::Body);
        let mut body = match takes_body {
            true => request.json()?,
            false => Map::new(),
        };
        let mut input = Self::default();
        for (member, place) in &operation.input {
            let value = match place {
                Place::Body => body.remove(member.name).filter(|value| !value.is_null()),
                Place::Path(label) => labels
                    .iter()
                    .find(|(name, _)| name == label)
                    .map(|(_, text)| Value::from(*text)),
                Place::Query(key) => request
                    .query_value(key)
                    .filter(|text| !text.is_empty())
                    .map(|text| of_query(model, member, text)),
            };
            match value {
                Some(mut value) => {
                    check(model, member.shape, member.name, &value)?;
                    prune(model, member.shape, &mut value);
                    input.members.insert(member.name.to_owned(), value);
                }
                None if member.is_required => {
                    return Err(BadRequest::Missing {
                        member: member.name.to_owned(),
                    });
                }
                None => {}
            }
        }
        Ok(input)
    }

    /// All members, for what reads them into types of its own.
    pub(crate) fn members(&self) -> Members<'_> {
        Members::of(String::new(), &self.members)
    }

    /// A member as it came.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// A member that is a text; one that is not there is empty: the declaration says which may be missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.text_if_any(name).unwrap_or_default()
    }

    /// A member that is a text, where it is there.
    pub(crate) fn text_if_any(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }

    /// A member that is a number, where it is there.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.members.get(name).and_then(Value::as_i64)
    }

    /// A member that is true or false; one that is not there is false.
    pub(crate) fn boolean(&self, name: &str) -> bool {
        self.members
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// The texts of a list; a list that is not there has none.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.members.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// The elements of a list; a list that is not there has none.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        let list = self.members.get(name).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    /// Those of the named members that are there, as they came.
    pub(crate) fn some_of(&self, names: &[&str]) -> Map<String, Value> {
        let there = names.iter().filter_map(|name| {
            let value = self.members.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        there.collect()
    }
}

/// A text of a query as the JSON that a body would have for it.
fn of_query(model: &'static Model, member: &Member, text: &str) -> Value {
    match model.shape(member.shape) {
        Some(Shape::Integer(_)) => text
            .parse::<i64>()
            .map_or_else(|_| text.into(), Value::from),
        Some(Shape::Boolean) => text
            .parse::<bool>()
            .map_or_else(|_| text.into(), Value::from),
        Some(
            Shape::Structure(_)
            | Shape::List { .. }
            | Shape::Map { .. }
            | Shape::Text { .. }
            | Shape::Enum(_)
            | Shape::Timestamp,
        )
        | None => text.into(),
    }
}

/// Takes out of objects what their declaration does not name: it is not kept, and not given back.
fn prune(model: &'static Model, shape: &str, value: &mut Value) {
    match (model.shape(shape), value) {
        (Some(Shape::Structure(members)), Value::Object(object)) => {
            object.retain(|name, value| {
                !value.is_null() && members.iter().any(|member| member.name == name)
            });
            for member in members {
                if let Some(value) = object.get_mut(member.name) {
                    prune(model, member.shape, value);
                }
            }
        }
        (Some(Shape::List { of, .. }), Value::Array(elements)) => {
            for element in elements {
                prune(model, of, element);
            }
        }
        (Some(_) | None, _) => {}
    }
}

/// Whether a value is of its shape. A member of a structure that no declaration names is not looked at: a newer
/// client may send it.
pub(super) fn check(
    model: &'static Model,
    shape: &str,
    path: &str,
    value: &Value,
) -> Result<(), BadRequest> {
    let refused = |expected| {
        Err(BadRequest::Invalid {
            member: path.to_owned(),
            expected,
        })
    };
    match model.shape(shape) {
        Some(Shape::Structure(members)) => match value.as_object() {
            Some(object) => check_members(model, members, path, object),
            None => refused(Expected::Object),
        },
        Some(Shape::List { of, length }) => match value.as_array() {
            Some(elements) if length.contains(count(elements.len())) => {
                for (index, element) in elements.iter().enumerate() {
                    check(model, of, &format!("{path}[{index}]"), element)?;
                }
                Ok(())
            }
            Some(_) => refused(Expected::Elements(*length)),
            None => refused(Expected::Array),
        },
        Some(Shape::Map {
            keys,
            values,
            length,
        }) => match value.as_object() {
            Some(object) if length.contains(count(object.len())) => {
                for (key, value) in object {
                    let path = format!("{path}.{key}");
                    check(model, keys, &path, &Value::from(key.as_str()))?;
                    check(model, values, &path, value)?;
                }
                Ok(())
            }
            Some(_) => refused(Expected::Entries(*length)),
            None => refused(Expected::Object),
        },
        Some(Shape::Text {
            length,
            meaning,
            patterns,
        }) => match value.as_str() {
            None => refused(Expected::String),
            Some(text) if !length.contains(count(text.chars().count())) => {
                refused(Expected::Characters(*length))
            }
            Some(text) => {
                let matches = |(_, regex): &(&str, Regex)| regex.is_match(text);
                match patterns.is_empty() || patterns.iter().any(matches) {
                    true => Ok(()),
                    false => refused(Expected::Form(meaning)),
                }
            }
        },
        Some(Shape::Enum(allowed)) => match value.as_str() {
            Some(text) if allowed.contains(&text) => Ok(()),
            Some(_) | None => refused(Expected::OneOf(allowed)),
        },
        Some(Shape::Integer(range)) => match value.as_i64() {
            Some(number) if range.contains(number) => Ok(()),
            Some(_) | None => refused(Expected::Whole(*range)),
        },
        Some(Shape::Boolean) => match value.is_boolean() {
            true => Ok(()),
            false => refused(Expected::Boolean),
        },
        Some(Shape::Timestamp) => match value.as_str().map(str::parse::<jiff::Timestamp>) {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => refused(Expected::Time),
        },
        // The declarations were checked when they were read.
        None => Ok(()),
    }
}

fn check_members(
    model: &'static Model,
    members: &[Member],
    path: &str,
    object: &Map<String, Value>,
) -> Result<(), BadRequest> {
    for member in members {
        let path = within(path, member.name);
        match object.get(member.name).filter(|value| !value.is_null()) {
            Some(value) => check(model, member.shape, &path, value)?,
            None if member.is_required => return Err(BadRequest::Missing { member: path }),
            None => {}
        }
    }
    Ok(())
}

/// The path of a member of what is at `path`.
fn within(path: &str, member: &str) -> String {
    match path {
        "" => member.to_owned(),
        path => format!("{path}.{member}"),
    }
}

/// The first member, however deep, that its structure's declaration does not name, and those that it does name.
pub(super) fn unknown(
    model: &'static Model,
    shape: &str,
    path: &str,
    value: &Value,
) -> Option<(String, Vec<&'static str>)> {
    match (model.shape(shape)?, value) {
        (Shape::Structure(members), Value::Object(object)) => {
            let mut entries = object.iter();
            entries.find_map(|(name, value)| {
                let path = within(path, name);
                match members.iter().find(|member| member.name == name) {
                    Some(member) => unknown(model, member.shape, &path, value),
                    None => Some((path, members.iter().map(|member| member.name).collect())),
                }
            })
        }
        (Shape::List { of, .. }, Value::Array(elements)) => {
            let mut elements = elements.iter().enumerate();
            elements.find_map(|(index, element)| {
                unknown(model, of, &format!("{path}[{index}]"), element)
            })
        }
        (_, _) => None,
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Range {
    /// As it completes "expected …", with what is counted.
    pub(crate) fn of(self, what: &str) -> String {
        match (self.least, self.most) {
            (Some(least), Some(most)) if least == most => format!("{least} {what}"),
            (Some(least), Some(most)) => format!("{least} to {most} {what}"),
            (Some(least), None) => format!("{what}, at least {least}"),
            (None, Some(most)) => format!("{what}, at most {most}"),
            (None, None) => what.to_owned(),
        }
    }
}
