//! Requests as operations read them: every member is turned into its domain type here, once, and a
//! refusal names the member's path.

use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::errors::{ApiError, BadRequest, Expected};

/// An authenticated request, as an operation sees it.
#[derive(Clone)]
pub struct ApiRequest<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path's segments, percent-decoded.
    pub segments: Vec<String>,
    /// The query's pairs, decoded.
    pub query: Vec<(String, String)>,
    /// The body as it came; it may hold passwords.
    pub body: &'a [u8],
    /// The AWS account id that the caller acts for.
    pub account: &'a str,
}

/// What an operation answers.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiResponse {
    /// The status of success, which the operation's declaration says.
    pub status: StatusCode,
    /// JSON, where the operation has an output.
    pub body: Option<Value>,
}

impl ApiResponse {
    /// A response with an output.
    pub(super) fn json(output: &impl Serialize) -> Result<Self, ApiError> {
        match serde_json::to_value(output) {
            Ok(body) => Ok(Self {
                status: StatusCode::OK,
                body: Some(body),
            }),
            Err(error) => {
                tracing::error!(%error, "an output cannot be written as JSON");
                Err(ApiError::ServiceFailure)
            }
        }
    }

    /// A response without an output.
    pub(super) fn no_content() -> Self {
        Self {
            status: StatusCode::OK,
            body: None,
        }
    }
}

impl ApiRequest<'_> {
    /// The body as a JSON object.
    pub(super) fn json(&self) -> Result<Map<String, Value>, BadRequest> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            ) => Err(BadRequest::NotAnObject),
            Err(error) => Err(BadRequest::NotJson {
                line: error.line(),
                column: error.column(),
            }),
        }
    }

    /// The query's value for a key, as it came.
    pub(super) fn query_value(&self, key: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }
}

/// The members of an object.
pub(super) struct Members<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    /// Those of the object at `path`.
    pub(super) fn of(path: String, members: &'a Map<String, Value>) -> Self {
        Self { path, members }
    }

    pub(super) fn required(&self, name: &str) -> Result<Member<'a>, BadRequest> {
        self.optional(name).ok_or_else(|| BadRequest::Missing {
            member: self.path_of(name),
        })
    }

    /// `null` counts as none.
    pub(super) fn optional(&self, name: &str) -> Option<Member<'a>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(Member {
            path: self.path_of(name),
            value,
        })
    }

    fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

/// A member of a body, or an element of a list, with its path.
#[derive(Clone)]
pub(super) struct Member<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Member<'a> {
    pub(super) fn members(self) -> Result<Members<'a>, BadRequest> {
        match self.value.as_object() {
            Some(members) => Ok(Members {
                path: self.path,
                members,
            }),
            None => Err(self.invalid(Expected::Object)),
        }
    }

    pub(super) fn list(self, length: RangeInclusive<usize>) -> Result<Vec<Member<'a>>, BadRequest> {
        match self.value.as_array() {
            Some(elements) if length.contains(&elements.len()) => Ok(elements
                .iter()
                .enumerate()
                .map(|(index, value)| Member {
                    path: format!("{}[{index}]", self.path),
                    value,
                })
                .collect()),
            Some(_) | None => Err(self.invalid(Expected::List {
                fewest: *length.start(),
                most: *length.end(),
            })),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, BadRequest> {
        self.value
            .as_bool()
            .ok_or_else(|| self.invalid(Expected::Boolean))
    }

    pub(super) fn integer<T: TryFrom<u64>>(
        self,
        range: RangeInclusive<u64>,
    ) -> Result<T, BadRequest> {
        within(self.value.as_u64(), &range).ok_or_else(|| self.invalid(integer_of(&range)))
    }

    pub(super) fn text(self) -> Result<Text<'a>, BadRequest> {
        match self.value.as_str() {
            Some(text) => Ok(Text {
                path: self.path,
                text,
            }),
            None => Err(self.invalid(Expected::String)),
        }
    }

    fn invalid(self, expected: Expected) -> BadRequest {
        BadRequest::Invalid {
            member: self.path,
            expected,
        }
    }
}

/// A string, with its path.
pub(super) struct Text<'a> {
    path: String,
    text: &'a str,
}

impl<'a> Text<'a> {
    pub(super) fn as_str(&self) -> &'a str {
        self.text
    }

    /// The text, where it has the form that `expected` describes.
    pub(super) fn matching(
        self,
        expected: &'static str,
        matches: impl FnOnce(&str) -> bool,
    ) -> Result<&'a str, BadRequest> {
        match matches(self.text) {
            true => Ok(self.text),
            false => Err(self.invalid(Expected::Form(expected))),
        }
    }

    /// What the text says, where it has the form that `expected` describes.
    pub(super) fn parsed<T: FromStr>(self, expected: &'static str) -> Result<T, BadRequest> {
        self.text
            .parse()
            .map_err(|_| self.invalid(Expected::Form(expected)))
    }

    pub(super) fn one_of(
        self,
        values: &'static [&'static str],
    ) -> Result<&'static str, BadRequest> {
        values
            .iter()
            .find(|value| **value == self.text)
            .copied()
            .ok_or_else(|| self.invalid(Expected::OneOf(values)))
    }

    fn invalid(self, expected: Expected) -> BadRequest {
        BadRequest::Invalid {
            member: self.path,
            expected,
        }
    }
}

fn within<T: TryFrom<u64>>(number: Option<u64>, range: &RangeInclusive<u64>) -> Option<T> {
    number
        .filter(|number| range.contains(number))
        .and_then(|number| T::try_from(number).ok())
}

fn integer_of(range: &RangeInclusive<u64>) -> Expected {
    Expected::Integer {
        least: *range.start(),
        most: *range.end(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_refusal_names_the_path_to_the_member() {
        let object = object(json!({"A": {"B": [{"C": 1}, {"C": "x"}]}}));
        let elements = Members::of(String::new(), &object)
            .required("A")
            .and_then(Member::members)
            .and_then(|members| members.required("B"))
            .and_then(|member| member.list(0..=2))
            .unwrap();
        let refused: Vec<BadRequest> = elements
            .into_iter()
            .filter_map(|element| {
                let members = element.members().unwrap();
                members
                    .required("C")
                    .unwrap()
                    .integer::<u16>(1..=9)
                    .and_then(|_| members.required("D").map(|_| 0))
                    .err()
            })
            .collect();
        assert_eq!(
            refused,
            [
                BadRequest::Missing {
                    member: "A.B[0].D".into()
                },
                BadRequest::Invalid {
                    member: "A.B[1].C".into(),
                    expected: Expected::Integer { least: 1, most: 9 }
                }
            ]
        );
        let within = Members::of("Section[0]".to_owned(), &object);
        assert_eq!(
            within.required("C").err(),
            Some(BadRequest::Missing {
                member: "Section[0].C".into()
            })
        );
    }

    #[test]
    fn integers_are_integers_of_their_range() {
        for (value, expected) in [
            (json!(0), None),
            (json!(1), Some(1)),
            (json!(9), Some(9)),
            (json!(10), None),
            (json!(-1), None),
            (json!(1.0), None),
            (json!("1"), None),
            (json!(true), None),
            (json!(1e20), None),
        ] {
            let object = object(json!({"N": value}));
            let members = Members::of(String::new(), &object);
            let number = members.required("N").unwrap().integer::<u8>(1..=9);
            assert_eq!(number.ok(), expected, "{value}");
        }
    }

    #[test]
    fn null_is_a_member_that_is_not_there() {
        let object = object(json!({"Name": null}));
        let members = Members::of(String::new(), &object);
        assert!(members.optional("Name").is_none());
        assert!(members.required("Name").is_err());
    }

    #[test]
    fn what_is_no_object_is_refused_without_an_echo() {
        let json = |body: &[u8]| {
            let request = ApiRequest {
                method: &Method::PUT,
                segments: Vec::new(),
                query: Vec::new(),
                body,
                account: "111122223333",
            };
            request.json().err()
        };
        assert_eq!(json(b"[]"), Some(BadRequest::NotAnObject));
        assert_eq!(
            json(b"{\"Password\": hunter2"),
            Some(BadRequest::NotJson {
                line: 1,
                column: 14
            })
        );
        assert!(json(b"").is_some());
    }
}
