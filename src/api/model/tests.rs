use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::api::errors::Expected;

/// The service models, where there are some: `None` where the corpus is not at hand.
fn service_models() -> Option<[(&'static str, Value); 2]> {
    let Ok(corpus) = std::env::var("TRUNKLINE_CORPUS") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "TRUNKLINE_CORPUS is not set"
        );
        println!(
            "TRUNKLINE_CORPUS is not set: the declarations are not compared with the service models"
        );
        return None;
    };
    let read = |file: &str| {
        let path = PathBuf::from(&corpus).join("../api").join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        serde_json::from_str(&text).unwrap()
    };
    Some([
        ("chime", read("chime-2018-05-01.json")),
        ("chime-sdk-voice", read("chime-sdk-voice-2022-08-03.json")),
    ])
}

/// What is said of one thing by each model that knows it.
fn each<'m>(models: &'m [(&'static str, Value)], pointer: &str) -> Vec<&'m Value> {
    models
        .iter()
        .filter_map(|(_, model)| model.pointer(pointer))
        .collect()
}

fn names(values: &[&Value], key: &str) -> BTreeSet<String> {
    let objects = values
        .iter()
        .filter_map(|value| value.get(key)?.as_object());
    objects.flat_map(|object| object.keys().cloned()).collect()
}

/// The texts of a list that every one of the values has; a value without the list has none.
fn in_all(values: &[&Value], key: &str) -> BTreeSet<String> {
    let list = |value: &&Value| -> BTreeSet<String> {
        let list = value.get(key).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let mut lists = values.iter().map(list);
    let first = lists.next().unwrap_or_default();
    lists.fold(first, |all, list| {
        all.intersection(&list).cloned().collect()
    })
}

fn shape_name<'m>(values: &[&'m Value], pointer: &str) -> Option<&'m str> {
    values
        .iter()
        .find_map(|value| value.pointer(pointer)?.as_str())
}

#[test]
fn every_operation_member_and_exception_of_both_models_is_declared() {
    let model = model().unwrap();
    let Some(models) = service_models() else {
        return;
    };
    let all: BTreeSet<String> = names(
        &models.iter().map(|(_, model)| model).collect::<Vec<_>>(),
        "operations",
    );
    let declared: BTreeSet<String> = model
        .operations
        .iter()
        .map(|one| one.name.to_owned())
        .collect();
    assert_eq!(declared, all);
    assert_eq!(declared.len(), 81);
    for operation in &model.operations {
        let name = operation.name;
        let in_models = each(&models, &format!("/operations/{name}"));
        let one = models
            .iter()
            .filter(|(_, model)| model.pointer(&format!("/operations/{name}")).is_some());
        let namespaces: Vec<&str> = one.map(|(namespace, _)| *namespace).collect();
        assert_eq!(
            operation.namespace,
            (namespaces.len() == 1).then(|| namespaces[0]),
            "{name}"
        );
        for (_, service) in &models {
            let Some(there) = service.pointer(&format!("/operations/{name}")) else {
                continue;
            };
            assert_eq!(there["http"]["method"], operation.method, "{name}");
            assert_eq!(there["http"]["requestUri"], uri(operation), "{name}");
            let status = there["http"]
                .get("responseCode")
                .and_then(Value::as_u64)
                .unwrap_or(200);
            assert_eq!(status, u64::from(operation.status), "{name}");
            for error in there["errors"].as_array().unwrap() {
                let exception = error["shape"]
                    .as_str()
                    .unwrap()
                    .trim_end_matches("Exception");
                assert!(operation.errors.contains(&exception), "{name}: {exception}");
            }
        }
        compare_members(
            &models,
            name,
            &in_models,
            "input",
            operation.input.iter().map(|(member, _)| *member).collect(),
        );
        compare_members(
            &models,
            name,
            &in_models,
            "output",
            operation.output.clone(),
        );
        for (member, place) in &operation.input {
            for (_, service) in &models {
                let Some(input) = service.pointer(&format!("/operations/{name}/input/shape"))
                else {
                    continue;
                };
                let path = format!(
                    "/shapes/{}/members/{}",
                    input.as_str().unwrap(),
                    member.name
                );
                let Some(there) = service.pointer(&path) else {
                    continue;
                };
                let expected = match there.get("location").and_then(Value::as_str) {
                    Some("uri") => format!("uri {}", there["locationName"].as_str().unwrap()),
                    Some(_) => format!("querystring {}", there["locationName"].as_str().unwrap()),
                    None => String::new(),
                };
                let declared = match place {
                    Place::Path(label) => format!("uri {label}"),
                    Place::Query(key) => format!("querystring {key}"),
                    Place::Body => String::new(),
                };
                assert_eq!(declared, expected, "{name}.{}", member.name);
            }
        }
    }
}

fn uri(operation: &Operation) -> String {
    let mut uri = String::new();
    for segment in &operation.path {
        match segment {
            Segment::Fixed(text) => uri += &format!("/{text}"),
            Segment::Label(label) => uri += &format!("/{{{label}}}"),
        }
    }
    if let Some((key, value)) = operation.query {
        uri += &format!("?{key}={value}");
    }
    uri
}

/// The members of an operation's input or output: all that any model has, required where all say so.
fn compare_members(
    models: &[(&'static str, Value)],
    name: &str,
    in_models: &[&Value],
    direction: &str,
    declared: Vec<Member>,
) {
    let mut shapes = Vec::new();
    for (_, service) in models {
        let shape = service.pointer(&format!("/operations/{name}/{direction}/shape"));
        if let Some(shape) = shape.and_then(Value::as_str) {
            shapes.push(service.pointer(&format!("/shapes/{shape}")).unwrap());
        }
    }
    let expected = names(&shapes, "members");
    let ours: BTreeSet<String> = declared
        .iter()
        .map(|member| member.name.to_owned())
        .collect();
    assert_eq!(ours, expected, "{name} {direction}");
    if direction == "input" && shapes.len() == in_models.len() {
        let required = in_all(&shapes, "required");
        let ours = declared.iter().filter(|member| member.is_required);
        let ours: BTreeSet<String> = ours.map(|member| member.name.to_owned()).collect();
        assert_eq!(ours, required, "{name} {direction}");
    }
    for member in declared {
        let shape = shape_name(&shapes, &format!("/members/{}/shape", member.name));
        let is_one_of = shapes.iter().any(|there| {
            there
                .pointer(&format!("/members/{}/shape", member.name))
                .and_then(Value::as_str)
                == Some(member.shape)
        });
        assert!(
            is_one_of,
            "{name}.{}: {} is not {shape:?}",
            member.name, member.shape
        );
    }
}

#[test]
fn every_constraint_of_both_models_is_declared() {
    let model = model().unwrap();
    let Some(models) = service_models() else {
        return;
    };
    for (name, shape) in &model.shapes_of_operations() {
        let there = each(&models, &format!("/shapes/{name}"));
        assert!(!there.is_empty(), "{name} is in no model");
        // The wider of both counts: a bound that one does not have is none.
        let bound = |key: &str, wider: fn(i64, i64) -> i64| {
            let bounds: Option<Vec<i64>> =
                there.iter().map(|value| value.get(key)?.as_i64()).collect();
            bounds.and_then(|bounds| bounds.into_iter().reduce(wider))
        };
        let range = Range {
            least: bound("min", i64::min),
            most: bound("max", i64::max),
        };
        let kind = there[0]["type"].as_str().unwrap();
        match shape {
            Shape::Structure(members) => {
                assert_eq!(kind, "structure", "{name}");
                let ours: BTreeSet<String> = members
                    .iter()
                    .map(|member| member.name.to_owned())
                    .collect();
                assert_eq!(ours, names(&there, "members"), "{name}");
                let required = members.iter().filter(|member| member.is_required);
                let required: BTreeSet<String> =
                    required.map(|member| member.name.to_owned()).collect();
                assert_eq!(required, in_all(&there, "required"), "{name}");
            }
            Shape::List { of, length } => {
                assert_eq!((kind, *length), ("list", range), "{name}");
                assert!(
                    there.iter().any(|value| value["member"]["shape"] == *of),
                    "{name}"
                );
            }
            Shape::Map {
                keys,
                values,
                length,
            } => {
                assert_eq!((kind, *length), ("map", range), "{name}");
                assert!(
                    there.iter().any(|value| value["key"]["shape"] == *keys),
                    "{name}"
                );
                assert!(
                    there.iter().any(|value| value["value"]["shape"] == *values),
                    "{name}"
                );
            }
            Shape::Enum(values) => {
                let ours: BTreeSet<&str> = values.iter().copied().collect();
                let theirs = there
                    .iter()
                    .flat_map(|value| value["enum"].as_array().unwrap());
                assert_eq!(
                    ours,
                    theirs.map(|value| value.as_str().unwrap()).collect(),
                    "{name}"
                );
            }
            Shape::Text {
                length, patterns, ..
            } => {
                assert_eq!((kind, *length), ("string", range), "{name}");
                let theirs: Option<BTreeSet<&str>> = there
                    .iter()
                    .map(|value| value.get("pattern")?.as_str())
                    .collect();
                let ours: BTreeSet<&str> = patterns.iter().map(|(pattern, _)| *pattern).collect();
                // Names that begin or end in a way of their own are refused where they are used.
                let theirs = theirs.unwrap_or_default();
                let theirs = theirs.iter().map(|one| {
                    one.trim_start_matches("(?!(^xn--|.+-s3alias$))^")
                        .trim_end_matches(if *name == "S3BucketName" {
                            "$"
                        } else {
                            "\u{0}"
                        })
                });
                assert_eq!(ours, theirs.collect(), "{name}");
            }
            Shape::Integer(ours) => assert_eq!((kind, *ours), ("integer", range), "{name}"),
            Shape::Boolean => assert_eq!(kind, "boolean", "{name}"),
            Shape::Timestamp => assert_eq!(kind, "timestamp", "{name}"),
        }
    }
}

fn read(
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    body: &Value,
) -> Result<(String, Input), BadRequest> {
    let body = body.to_string();
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let request = ApiRequest {
        method: &method,
        segments: path.split('/').map(str::to_owned).collect(),
        query: query.iter().map(pair).collect(),
        body: body.as_bytes(),
        account: "111122223333",
    };
    let model = model().unwrap();
    let (operation, labels) = model
        .route(method.as_str(), &request.segments, &request.query)
        .unwrap_or_else(|| panic!("{path} is no operation"));
    let input = model.read(operation, &request, &labels)?;
    Ok((operation.name.to_owned(), input))
}

#[test]
fn a_request_is_read_by_path_query_and_body() {
    let (name, input) = read(
        Method::PUT,
        "voice-connectors/abc/origination",
        &[],
        &json!({"Origination": {"Disabled": true}, "Foreign": 1}),
    )
    .unwrap();
    assert_eq!(name, "PutVoiceConnectorOrigination");
    assert_eq!(input.text("VoiceConnectorId"), "abc");
    assert_eq!(input.value("Origination"), Some(&json!({"Disabled": true})));
    assert_eq!(input.value("Foreign"), None);
    let query = [("max-results", "7"), ("next-token", "")];
    let (name, input) = read(Method::GET, "voice-connectors", &query, &json!({})).unwrap();
    assert_eq!(name, "ListVoiceConnectors");
    assert_eq!(
        (input.integer("MaxResults"), input.value("NextToken")),
        (Some(7), None)
    );
}

#[test]
fn operations_of_one_path_are_told_apart_by_their_query() {
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    for (query, expected) in [
        (
            "associate-phone-numbers",
            "AssociatePhoneNumbersWithVoiceConnector",
        ),
        (
            "disassociate-phone-numbers",
            "DisassociatePhoneNumbersFromVoiceConnector",
        ),
    ] {
        let (name, _) = read(
            Method::POST,
            "voice-connectors/abc",
            &[("operation", query)],
            &numbers,
        )
        .unwrap();
        assert_eq!(name, expected);
    }
    let model = model().unwrap();
    let segments = ["voice-connectors".to_owned(), "abc".to_owned()];
    let other = [("operation".to_owned(), "no-such".to_owned())];
    assert!(model.route("POST", &segments, &other).is_none());
    assert!(model.route("GET", &segments, &other).is_none());
}

#[test]
fn a_member_that_is_wrong_is_named_with_what_would_be_right() {
    let cases = [
        (json!({}), "Name is required"),
        (
            json!({"Name": 1, "RequireEncryption": true}),
            "Name: expected a string",
        ),
        (
            json!({"Name": "x".repeat(257), "RequireEncryption": true}),
            "Name: expected a string of 1 to 256 characters",
        ),
        (
            json!({"Name": "x", "RequireEncryption": "yes"}),
            "RequireEncryption: expected true or false",
        ),
        (
            json!({"Name": "x", "RequireEncryption": true, "NetworkType": "IPV5"}),
            "NetworkType: expected one of IPV4_ONLY, DUAL_STACK",
        ),
        (
            json!({"Name": "x", "RequireEncryption": true, "Tags": [{"Key": "a"}]}),
            "Tags[0].Value is required",
        ),
        (
            json!({"Name": "x", "RequireEncryption": true, "Tags": []}),
            "Tags: expected a list of 1 to 50 elements",
        ),
    ];
    for (body, expected) in cases {
        let refused = read(Method::POST, "voice-connectors", &[], &body).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    let refused = read(
        Method::GET,
        "voice-connectors",
        &[("max-results", "0")],
        &json!({}),
    )
    .unwrap_err();
    let expected = Range {
        least: Some(1),
        most: Some(100),
    };
    assert_eq!(
        refused,
        BadRequest::Invalid {
            member: "MaxResults".to_owned(),
            expected: Expected::Whole(expected)
        }
    );
}
