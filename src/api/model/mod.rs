//! The declarations of the API: one for each operation, from which routing, the reading of requests, the list
//! of operations and the OpenAPI description follow. They are the two text files of this folder, read once.

mod input;
mod openapi;
mod read;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

pub(super) use self::input::Input;
pub use self::openapi::openapi;
use super::errors::BadRequest;
use super::request::ApiRequest;

/// All declarations.
pub(super) struct Model {
    /// In the order of their names.
    pub(super) operations: Vec<Operation>,
    shapes: BTreeMap<&'static str, Shape>,
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// As in `CreateVoiceConnector`.
    pub(super) name: &'static str,
    /// The HTTP method.
    pub(super) method: &'static str,
    /// The path.
    pub(super) path: Vec<Segment>,
    /// A pair that the query has to hold.
    pub(super) query: Option<(&'static str, &'static str)>,
    /// The HTTP status of success.
    pub(super) status: u16,
    /// The namespace, where only one of the two has it.
    pub(super) namespace: Option<&'static str>,
    /// What a request holds.
    pub(super) input: Vec<(Member, Place)>,
    /// What an answer holds.
    pub(super) output: Vec<Member>,
    /// The exceptions, without `Exception`.
    pub(super) errors: Vec<&'static str>,
}

/// A part of a path between slashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Segment {
    /// Stands there as it is.
    Fixed(&'static str),
    /// Stands for a member.
    Label(&'static str),
}

/// A member of a request, an answer or a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: &'static str,
    /// Its shape's name.
    pub(super) shape: &'static str,
    /// Whether it has to be there.
    pub(super) is_required: bool,
}

/// Where a request has a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the JSON body.
    Body,
    /// In the path, by the label of this name.
    Path(&'static str),
    /// In the query, by this key.
    Query(&'static str),
}

/// What a value has to be.
#[derive(Debug)]
pub(super) enum Shape {
    /// An object with these members; others are not looked at.
    Structure(Vec<Member>),
    /// An array.
    List {
        /// The shape of its elements.
        of: &'static str,
        /// How many there may be.
        length: Range,
    },
    /// An object with any keys.
    Map {
        /// The shape of its keys.
        keys: &'static str,
        /// The shape of its values.
        values: &'static str,
        /// How many there may be.
        length: Range,
    },
    /// A string.
    Text {
        /// Characters.
        length: Range,
        /// What the patterns mean.
        meaning: &'static str,
        /// One of these has to match all of it, where there is one.
        patterns: Vec<(&'static str, Regex)>,
    },
    /// One of these strings.
    Enum(Vec<&'static str>),
    /// A whole number.
    Integer(Range),
    /// True or false.
    Boolean,
    /// A time, in ISO 8601.
    Timestamp,
}

impl Shape {
    /// The shapes that it is made of.
    fn parts(&self) -> Vec<&'static str> {
        match self {
            Self::Structure(members) => members.iter().map(|member| member.shape).collect(),
            Self::List { of, .. } => vec![of],
            Self::Map { keys, values, .. } => vec![keys, values],
            Self::Text { .. }
            | Self::Enum(_)
            | Self::Integer(_)
            | Self::Boolean
            | Self::Timestamp => Vec::new(),
        }
    }
}

/// Bounds, each of which may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// The least that is allowed.
    pub least: Option<i64>,
    /// The most that is allowed.
    pub most: Option<i64>,
}

impl Range {
    pub(super) fn contains(self, number: i64) -> bool {
        self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
    }
}

static MODEL: LazyLock<Result<Model, String>> = LazyLock::new(|| {
    let shapes = concat!(
        include_str!("shapes.txt"),
        "\n",
        include_str!("../declared/shapes.txt")
    );
    read::read(include_str!("operations.txt"), shapes)
});

/// The declarations; a fault in them is the text that says where.
pub(super) fn model() -> Result<&'static Model, &'static str> {
    MODEL.as_ref().map_err(String::as_str)
}

/// What the path of a request says, by the labels of its operation.
pub(super) type Labels<'r> = Vec<(&'static str, &'r str)>;

impl Model {
    /// A shape that a declaration names; reading has seen to it that there is one.
    fn shape(&'static self, name: &str) -> Option<&'static Shape> {
        self.shapes.get(name)
    }

    /// The shapes that requests and answers are made of, by their names.
    fn shapes_of_operations(&self) -> BTreeMap<&'static str, &Shape> {
        let mut found = BTreeMap::new();
        let mut named: Vec<&'static str> = Vec::new();
        for operation in &self.operations {
            named.extend(operation.input.iter().map(|(member, _)| member.shape));
            named.extend(operation.output.iter().map(|member| member.shape));
        }
        while let Some(name) = named.pop() {
            let Some(shape) = self.shapes.get(name) else {
                continue;
            };
            if found.insert(name, shape).is_some() {
                continue;
            }
            named.extend(shape.parts());
        }
        found
    }

    /// Reads a request of this operation.
    pub(super) fn read(
        &'static self,
        operation: &Operation,
        request: &ApiRequest<'_>,
        labels: &Labels<'_>,
    ) -> Result<Input, BadRequest> {
        Input::read(self, operation, request, labels)
    }

    /// Whether a value, which stands at `path`, is of a shape.
    pub(super) fn check(
        &'static self,
        shape: &str,
        path: &str,
        value: &Value,
    ) -> Result<(), BadRequest> {
        input::check(self, shape, path, value)
    }

    /// The first member of a value that its shape does not name, and those that there are in its place.
    pub(super) fn unknown(
        &'static self,
        shape: &str,
        path: &str,
        value: &Value,
    ) -> Option<(String, Vec<&'static str>)> {
        input::unknown(self, shape, path, value)
    }

    /// The operation of a request, and what its path says.
    pub(super) fn route<'r>(
        &self,
        method: &str,
        segments: &'r [String],
        query: &[(String, String)],
    ) -> Option<(&Operation, Labels<'r>)> {
        let has = |(key, value): (&str, &str)| {
            query
                .iter()
                .any(|(one, other)| (one.as_str(), other.as_str()) == (key, value))
        };
        let asks_for_another = query.iter().any(|(key, _)| key == "operation");
        let fits = |operation: &&Operation| {
            operation.method == method
                && operation.path.len() == segments.len()
                && match operation.query {
                    Some(pair) => has(pair),
                    None => !asks_for_another,
                }
        };
        let labels = |operation: &Operation| {
            let mut labels = Vec::new();
            for (declared, segment) in operation.path.iter().zip(segments) {
                match declared {
                    Segment::Fixed(text) if text == segment => {}
                    Segment::Fixed(_) => return None,
                    Segment::Label(name) => labels.push((*name, segment.as_str())),
                }
            }
            Some(labels)
        };
        let mut operations = self.operations.iter().filter(fits);
        operations.find_map(|operation| Some((operation, labels(operation)?)))
    }
}

#[cfg(test)]
pub(super) mod arbitrary;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
