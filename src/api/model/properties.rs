//! Random requests of every operation: valid ones are read, and what breaks a declared constraint is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::arbitrary::{Broken, Constraint, Extent, broken, members};
use super::*;
use crate::api::ApiError;

/// The members of a request by their names.
type Given = Map<String, Value>;

/// A request of each operation that takes members, in the order of the declarations.
fn requests(extent: Extent) -> impl Strategy<Value = Vec<Given>> {
    let model = model().unwrap();
    let of_operation = |operation: &Operation| {
        let declared: Vec<Member> = operation.input.iter().map(|(member, _)| *member).collect();
        members(model, &declared, extent)
    };
    model
        .operations
        .iter()
        .map(of_operation)
        .collect::<Vec<_>>()
}

/// Reads a request that has its members where the declaration says.
fn read(operation: &'static Operation, given: &Given) -> Result<Input, BadRequest> {
    let mut body = json!({"Foreign": {"of": "a newer client"}});
    let mut query: Vec<(String, String)> = Vec::new();
    let mut in_path: BTreeMap<&str, String> = BTreeMap::new();
    query.extend(
        operation
            .query
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    for (member, place) in &operation.input {
        let Some(value) = given.get(member.name) else {
            continue;
        };
        match place {
            Place::Body => body[member.name] = value.clone(),
            Place::Path(label) => drop(in_path.insert(label, text(value))),
            Place::Query(key) => query.push(((*key).to_owned(), text(value))),
        }
    }
    let segment = |segment: &Segment| match segment {
        Segment::Fixed(text) => (*text).to_owned(),
        Segment::Label(label) => in_path[label].clone(),
    };
    let segments: Vec<String> = operation.path.iter().map(segment).collect();
    let body = body.to_string();
    let request = ApiRequest {
        method: &Method::from_bytes(operation.method.as_bytes()).unwrap(),
        segments: segments.clone(),
        query,
        body: body.as_bytes(),
        account: "111122223333",
    };
    let model = model().unwrap();
    let (routed, labels) = model
        .route(operation.method, &segments, &request.query)
        .unwrap();
    assert_eq!(routed.name, operation.name);
    model.read(routed, &request, &labels)
}

/// A value as a path or a query has it.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Every request with one constraint broken; what a path or a query cannot say is left out.
fn breakages(operation: &'static Operation, given: &Given) -> Vec<(Given, Broken)> {
    let model = model().unwrap();
    let mut all = Vec::new();
    for (member, place) in &operation.input {
        let value = &given[member.name];
        for one in broken(model, member.shape, member.name, value) {
            // Empty in a query is not there, and everything in a path or a query is a text.
            let can_be_said = match (place, &one.value) {
                (Place::Body, _) => true,
                (Place::Path(_), value) => value.is_string(),
                (Place::Query(_), value) => {
                    one.constraint != Constraint::Type && (value != "" || member.is_required)
                }
            };
            if can_be_said {
                let mut given = given.clone();
                given.insert(member.name.to_owned(), one.value.clone());
                all.push((given, one));
            }
        }
        if member.is_required && !matches!(place, Place::Path(_)) {
            let mut given = given.clone();
            given.remove(member.name);
            let path = member.name.to_owned();
            let value = Value::Null;
            all.push((
                given,
                Broken {
                    constraint: Constraint::Required,
                    path,
                    value,
                },
            ));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_request_of_any_operation_is_read(all in requests(Extent::Any)) {
        for (operation, given) in model().unwrap().operations.iter().zip(all) {
            let input = read(operation, &given);
            prop_assert!(input.is_ok(), "{}: {:?}", operation.name, input);
            let input = input.unwrap();
            for (member, place) in &operation.input {
                // Empty in a query is not there.
                let expected = given.get(member.name).filter(|value| *place == Place::Body || *value != "" || matches!(place, Place::Path(_)));
                prop_assert_eq!(input.value(member.name), expected, "{}.{}", operation.name, member.name);
            }
            prop_assert_eq!(input.value("Foreign"), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn a_request_that_breaks_a_constraint_is_refused_by_the_members_name(all in requests(Extent::Full)) {
        let mut seen = BTreeSet::new();
        for (operation, given) in model().unwrap().operations.iter().zip(all) {
            for (given, broken) in breakages(operation, &given) {
                let refused = read(operation, &given).err().map(ApiError::from);
                let Some(refused) = refused else {
                    return Err(TestCaseError::fail(format!("{}: {broken:?} was read", operation.name)));
                };
                prop_assert_eq!(refused.exception(), "BadRequestException");
                let message = refused.message();
                let named = [format!("{}: expected ", broken.path), format!("{} is required", broken.path)];
                prop_assert!(named.iter().any(|named| message.starts_with(named)), "{}: {:?}: {}", operation.name, broken, message);
                seen.insert(broken.constraint);
            }
        }
        prop_assert_eq!(seen.into_iter().collect::<Vec<_>>(), Constraint::ALL);
    }
}
