//! Random values of the declared shapes, and values that break one declared constraint each.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

use super::openapi::ecma262;
use super::{Member, Model, Range, Shape};

/// Elements of a list or a map beyond the fewest that there may be.
const MORE_MAX: i64 = 3;
/// Characters of a text that may be longer, unless it is as long as it may be.
const TEXT_MAX: i64 = 40;
/// Characters of a text that are chosen.
const SOME: usize = 20;

/// What a member's value is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Extent {
    /// Members that may be missing are there or not.
    Any,
    /// All members are there, and no list is empty that may have an element.
    Full,
}

/// Values of a shape.
pub(in crate::api) fn valid(
    model: &'static Model,
    shape: &str,
    extent: Extent,
) -> BoxedStrategy<Value> {
    match model.shape(shape).unwrap() {
        Shape::Structure(declared) => members(model, declared, extent)
            .prop_map(Value::Object)
            .boxed(),
        Shape::List { of, length } => {
            let element = valid(model, of, extent);
            let elements = prop::collection::vec(element, counts(*length, extent));
            elements.prop_map(Value::Array).boxed()
        }
        Shape::Map {
            keys,
            values,
            length,
        } => {
            let entry = (valid(model, keys, extent), valid(model, values, extent));
            let entries = prop::collection::vec(entry, counts(*length, extent));
            entries.prop_map(object).boxed()
        }
        Shape::Text {
            length, patterns, ..
        } if patterns.is_empty() => {
            // NUL is what no text may have that is kept.
            let character = prop_oneof![
                proptest::char::range(' ', '~'),
                any::<char>().prop_filter("NUL", |character| *character != '\0'),
            ];
            let (least, most) = (length.least.unwrap_or(0), length.most.unwrap_or(TEXT_MAX));
            let lengths = prop_oneof![
                8 => least..=most.min(least + TEXT_MAX),
                1 => Just(least),
                1 => Just(most),
            ];
            // A long text is a short one again and again.
            let some = prop::collection::vec(character, 1..=SOME);
            let text = (some, lengths).prop_map(|(some, length)| {
                let characters = some.iter().cycle();
                Value::from(String::from_iter(
                    characters.take(usize::try_from(length).unwrap()),
                ))
            });
            text.boxed()
        }
        Shape::Text {
            length, patterns, ..
        } => {
            let patterns: Vec<String> = patterns
                .iter()
                .map(|(one, _)| without_anchors(one))
                .collect();
            let text = string_regex(&patterns.join("|")).unwrap();
            let fits =
                move |text: &String| length.contains(i64::try_from(text.chars().count()).unwrap());
            let text = text.prop_filter("length", fits);
            text.prop_filter("NUL", |text| !text.contains('\0'))
                .prop_map(Value::from)
                .boxed()
        }
        Shape::Enum(values) => select(values.clone()).prop_map(Value::from).boxed(),
        Shape::Integer(range) => {
            let (least, most) = (
                range.least.unwrap_or(i64::MIN),
                range.most.unwrap_or(i64::MAX),
            );
            let number = prop_oneof![
                least..=most,
                least..=most.min(least.saturating_add(100)),
                Just(most)
            ];
            number.prop_map(Value::from).boxed()
        }
        Shape::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Timestamp => (0..4_000_000_000_i64)
            .prop_map(|second| {
                jiff::Timestamp::from_second(second)
                    .unwrap()
                    .to_string()
                    .into()
            })
            .boxed(),
    }
}

/// Objects of members.
pub(in crate::api) fn members(
    model: &'static Model,
    declared: &[Member],
    extent: Extent,
) -> BoxedStrategy<Map<String, Value>> {
    let member = |member: &Member| {
        let value = valid(model, member.shape, extent);
        let name = member.name;
        let given = value.prop_map(move |value| (name.to_owned(), value));
        match member.is_required || extent == Extent::Full {
            true => given.prop_map(Some).boxed(),
            false => prop::option::of(given).boxed(),
        }
    };
    let members: Vec<_> = declared.iter().map(member).collect();
    members
        .prop_map(|members| members.into_iter().flatten().collect())
        .boxed()
}

fn object(entries: Vec<(Value, Value)>) -> Value {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.as_str().unwrap().to_owned(), value));
    Value::Object(entries.collect())
}

fn counts(length: Range, extent: Extent) -> std::ops::RangeInclusive<usize> {
    let most = length.most.unwrap_or(i64::MAX);
    let least = length
        .least
        .unwrap_or(0)
        .max(i64::from(extent == Extent::Full))
        .min(most);
    let most = most.min(least + MORE_MAX);
    usize::try_from(least).unwrap()..=usize::try_from(most).unwrap()
}

/// A pattern matches all of a text anyway, and texts are not made from anchors.
fn without_anchors(pattern: &str) -> String {
    let mut written = String::new();
    let mut is_in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '^' | '$' if !is_in_class => continue,
            '[' => is_in_class = true,
            ']' => is_in_class = false,
            _ => {}
        }
        written.push(character);
        if character == '\\' {
            written.extend(characters.next());
        }
    }
    ecma262(&written)
}

/// The constraints that a value can break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Constraint {
    Required,
    Type,
    Shortest,
    Longest,
    Pattern,
    Enum,
    Least,
    Most,
    Fewest,
    MostElements,
    MostEntries,
}

impl Constraint {
    pub(super) const ALL: [Self; 11] = [
        Self::Required,
        Self::Type,
        Self::Shortest,
        Self::Longest,
        Self::Pattern,
        Self::Enum,
        Self::Least,
        Self::Most,
        Self::Fewest,
        Self::MostElements,
        Self::MostEntries,
    ];
}

/// A value with one thing wrong.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) constraint: Constraint,
    /// Of the member that is wrong, as a refusal has to name it.
    pub(super) path: String,
    pub(super) value: Value,
}

/// Every way in which a valid value can break one of its constraints.
pub(super) fn broken(model: &'static Model, shape: &str, path: &str, value: &Value) -> Vec<Broken> {
    let mut all: Vec<Broken> = of_itself(model.shape(shape).unwrap(), value)
        .into_iter()
        .map(|(constraint, value)| Broken {
            constraint,
            path: path.to_owned(),
            value,
        })
        .collect();
    match (model.shape(shape).unwrap(), value) {
        (Shape::Structure(members), Value::Object(object)) => {
            all.extend(
                members
                    .iter()
                    .flat_map(|member| of_member(model, member, path, object)),
            );
        }
        (Shape::List { of, .. }, Value::Array(elements)) => {
            for (index, element) in elements.iter().enumerate() {
                all.extend(
                    broken(model, of, &format!("{path}[{index}]"), element)
                        .into_iter()
                        .map(|mut one| {
                            let mut elements = elements.clone();
                            elements[index] = one.value;
                            one.value = Value::Array(elements);
                            one
                        }),
                );
            }
        }
        (Shape::Map { values, .. }, Value::Object(object)) => {
            for (key, value) in object {
                all.extend(
                    broken(model, values, &format!("{path}.{key}"), value)
                        .into_iter()
                        .map(|mut one| {
                            let mut object = object.clone();
                            object.insert(key.clone(), one.value);
                            one.value = Value::Object(object);
                            one
                        }),
                );
            }
        }
        (_, _) => {}
    }
    all
}

/// The ways that go through a member of an object.
fn of_member(
    model: &'static Model,
    member: &Member,
    path: &str,
    object: &Map<String, Value>,
) -> Vec<Broken> {
    let Some(value) = object.get(member.name) else {
        return Vec::new();
    };
    let path = format!("{path}.{}", member.name);
    let with = |value: Option<Value>| {
        let mut object = object.clone();
        match value {
            Some(value) => object.insert(member.name.to_owned(), value),
            None => object.remove(member.name),
        };
        Value::Object(object)
    };
    let mut all = broken(model, member.shape, &path, value);
    for one in &mut all {
        one.value = with(Some(one.value.take()));
    }
    if member.is_required {
        for value in [None, Some(Value::Null)] {
            let value = with(value);
            all.push(Broken {
                constraint: Constraint::Required,
                path: path.clone(),
                value,
            });
        }
    }
    all
}

/// The ways that do not go through an element or a member.
fn of_itself(shape: &Shape, value: &Value) -> Vec<(Constraint, Value)> {
    let mut all: Vec<(Constraint, Value)> = wrong_types(shape)
        .into_iter()
        .map(|value| (Constraint::Type, value))
        .collect();
    let size = |count: i64| usize::try_from(count).unwrap();
    match shape {
        Shape::Text {
            length, patterns, ..
        } => {
            if let Some(least) = length.least.filter(|least| *least > 0) {
                all.push((Constraint::Shortest, "a".repeat(size(least - 1)).into()));
            }
            if let Some(most) = length.most {
                all.push((Constraint::Longest, "a".repeat(size(most + 1)).into()));
            }
            let is_wrong = |text: &&str| {
                length.contains(i64::try_from(text.chars().count()).unwrap())
                    && !patterns.iter().any(|(_, regex)| regex.is_match(text))
            };
            // Blank, a character too many, and what is like a match but is none.
            let candidates = [
                "   ",
                "",
                "\n",
                "!!!",
                "é",
                "usa",
                "12",
                "+1206555010a",
                "555",
                "+0206",
                "arn:",
                "0-0",
                "a, b",
                "\t\t",
            ];
            if !patterns.is_empty() {
                let wrong: Vec<&str> = candidates.into_iter().filter(is_wrong).collect();
                assert!(!wrong.is_empty(), "no text breaks {patterns:?}");
                all.extend(
                    wrong
                        .into_iter()
                        .map(|text| (Constraint::Pattern, text.into())),
                );
            }
        }
        Shape::Enum(values) => {
            let known: BTreeSet<&str> = values.iter().copied().collect();
            let lower = values[0].to_lowercase();
            let unknown = ["Unknown", "", lower.as_str()]
                .into_iter()
                .filter(|value| !known.contains(value));
            all.extend(unknown.map(|value| (Constraint::Enum, value.into())));
        }
        Shape::Integer(range) => {
            all.push((
                Constraint::Least,
                range
                    .least
                    .map_or(json!(-9.3e18), |least| (least - 1).into()),
            ));
            all.push((
                Constraint::Most,
                range
                    .most
                    .map_or(json!(1_u64 << 63), |most| (most + 1).into()),
            ));
        }
        Shape::List { length, .. } => {
            let elements = value.as_array().unwrap();
            if let Some(least) = length.least.filter(|least| *least > 0) {
                all.push((Constraint::Fewest, elements[..size(least - 1)].into()));
            }
            if let Some(most) = length.most {
                let elements: Vec<&Value> = elements.iter().cycle().take(size(most + 1)).collect();
                all.push((Constraint::MostElements, json!(elements)));
            }
        }
        Shape::Map { length, .. } => {
            if let Some(most) = length.most {
                let entries = (0..=most).map(|index| (index.to_string(), "x".into()));
                all.push((Constraint::MostEntries, Value::Object(entries.collect())));
            }
        }
        Shape::Structure(_) | Shape::Boolean | Shape::Timestamp => {}
    }
    all
}

fn wrong_types(shape: &Shape) -> Vec<Value> {
    match shape {
        Shape::Structure(_) | Shape::Map { .. } => {
            vec![json!("x"), json!([]), json!(1), json!(true)]
        }
        Shape::List { .. } => vec![json!("x"), json!({}), json!(1), json!(false)],
        Shape::Text { .. } | Shape::Enum(_) => vec![json!(1), json!([]), json!({}), json!(true)],
        Shape::Integer(_) => vec![json!("1"), json!(1.5), json!([]), json!({}), json!(true)],
        Shape::Boolean => vec![json!("true"), json!(0), json!([]), json!({})],
        Shape::Timestamp => vec![json!(0), json!("yesterday"), json!([]), json!({})],
    }
}
