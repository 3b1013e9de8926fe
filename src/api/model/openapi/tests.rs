use axum::http::Method;
use proptest::prelude::*;
use regex_lite::Regex;

use super::*;
use crate::api::ApiError;
use crate::api::errors::{BadRequest, Conflict, NotFound};

fn description() -> Value {
    serde_json::from_str(openapi().unwrap()).unwrap()
}

/// What a `$ref` leads to, or the value itself.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap();
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn every_operation_is_described_under_its_method_and_path() {
    let document = description();
    let mut names = BTreeSet::new();
    for (key, item) in document["paths"].as_object().unwrap() {
        for (method, described) in item.as_object().unwrap() {
            let name = described["operationId"].as_str().unwrap();
            let model = model().unwrap();
            let operation = model.operations.iter().find(|one| one.name == name);
            let operation = operation.unwrap();
            assert_eq!(method, &operation.method.to_lowercase(), "{name}");
            // Key and required parameters make a request that is routed to the operation.
            let (path, fragment) = key.split_once('#').unwrap_or((key, ""));
            let fixed = described["parameters"].as_array().unwrap().iter();
            let fixed: Vec<(String, String)> = fixed
                .filter_map(|parameter| {
                    let [value] = *texts(parameter["schema"].get("enum")?) else {
                        panic!("{name}: a selector with a choice");
                    };
                    assert_eq!(
                        (&parameter["in"], &parameter["required"]),
                        (&json!("query"), &json!(true))
                    );
                    Some((parameter["name"].as_str()?.to_owned(), value.to_owned()))
                })
                .collect();
            let pairs: Vec<String> = fixed
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(pairs.join("&"), fragment, "{name}");
            let segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
            let routed = model.route(operation.method, &segments, &fixed);
            assert_eq!(routed.unwrap().0.name, name);
            names.insert(name.to_owned());
        }
    }
    assert_eq!(names.len(), 81);
}

#[test]
fn every_member_is_described_where_it_stands() {
    let document = description();
    for operation in &model().unwrap().operations {
        let name = operation.name;
        let described = &document["paths"][key(operation)][operation.method.to_lowercase()];
        let parameters = described["parameters"].as_array().unwrap();
        let body = &described["requestBody"]["content"]["application/json"]["schema"];
        let mut in_body = 0;
        for (member, place) in &operation.input {
            let (place_name, within) = match place {
                Place::Path(label) => (*label, "path"),
                Place::Query(key) => (*key, "query"),
                Place::Body => {
                    in_body += 1;
                    check_property(body, member, name);
                    assert_eq!(described["requestBody"]["required"], true, "{name}");
                    continue;
                }
            };
            let parameter = parameters
                .iter()
                .find(|one| one["name"] == place_name && one["in"] == within)
                .unwrap_or_else(|| panic!("{name}.{}", member.name));
            assert_eq!(
                parameter["required"], member.is_required,
                "{name}.{}",
                member.name
            );
            assert_eq!(
                parameter["schema"],
                reference(member.shape),
                "{name}.{}",
                member.name
            );
        }
        let properties = body["properties"].as_object().map_or(0, Map::len);
        assert_eq!(properties, in_body, "{name}");
        let answer = &described["responses"][operation.status.to_string()];
        let output = &answer["content"]["application/json"]["schema"];
        assert_eq!(output.is_object(), operation.status != 204, "{name}");
        for member in &operation.output {
            let shape = model().unwrap().shape(member.shape).unwrap();
            if let Shape::List { of, .. } = shape {
                let list = json!({"type": ["array", "null"], "items": reference(of)});
                assert_eq!(output["properties"][member.name], list, "{name}");
            } else {
                check_property(output, member, name);
            }
        }
    }
}

fn check_property(object: &Value, member: &Member, of: &str) {
    let schema = &object["properties"][member.name];
    let reference = match member.is_required {
        true => schema,
        false => {
            assert_eq!(
                schema["anyOf"][1],
                json!({"type": "null"}),
                "{of}.{}",
                member.name
            );
            &schema["anyOf"][0]
        }
    };
    assert_eq!(
        reference["$ref"],
        format!("#/components/schemas/{}", member.shape),
        "{of}.{}",
        member.name
    );
    let required = texts(&object["required"]);
    assert_eq!(
        required.contains(&member.name),
        member.is_required,
        "{of}.{}",
        member.name
    );
}

#[test]
fn every_declared_constraint_is_described() {
    let document = description();
    let shapes = model().unwrap().shapes_of_operations();
    for (name, shape) in &shapes {
        let schema = &document["components"]["schemas"][name];
        let is_bounded = |range: &Range, [least, most]: [&str; 2]| {
            assert_eq!(
                schema.get(least).and_then(Value::as_i64),
                range.least,
                "{name}"
            );
            assert_eq!(
                schema.get(most).and_then(Value::as_i64),
                range.most,
                "{name}"
            );
        };
        let kind = match shape {
            Shape::Structure(members) => {
                for member in members {
                    check_property(schema, member, name);
                }
                "object"
            }
            Shape::List { of, length } => {
                is_bounded(length, ["minItems", "maxItems"]);
                assert_eq!(schema["items"], reference(of), "{name}");
                "array"
            }
            Shape::Map {
                keys,
                values,
                length,
            } => {
                is_bounded(length, ["minProperties", "maxProperties"]);
                assert_eq!(schema["propertyNames"], reference(keys), "{name}");
                assert_eq!(schema["additionalProperties"], reference(values), "{name}");
                "object"
            }
            Shape::Text {
                length, patterns, ..
            } => {
                is_bounded(length, ["minLength", "maxLength"]);
                assert_eq!(
                    schema.get("pattern").is_some(),
                    !patterns.is_empty(),
                    "{name}"
                );
                "string"
            }
            Shape::Enum(values) => {
                assert_eq!(&texts(&schema["enum"]), values, "{name}");
                "string"
            }
            Shape::Integer(range) => {
                is_bounded(range, ["minimum", "maximum"]);
                "integer"
            }
            Shape::Boolean => "boolean",
            Shape::Timestamp => {
                assert_eq!(schema["format"], "date-time", "{name}");
                "string"
            }
        };
        assert_eq!(schema["type"], kind, "{name}");
    }
    // Of those that operations do not have there are none, and one more is that of errors.
    let described = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(described.len(), shapes.len() + 1);
}

#[test]
fn every_exception_is_described_with_its_status() {
    let document = description();
    for operation in &model().unwrap().operations {
        let name = operation.name;
        let described = &document["paths"][key(operation)][operation.method.to_lowercase()];
        for error in &operation.errors {
            let (_, status, _) = EXCEPTIONS
                .iter()
                .find(|(exception, _, _)| exception == error)
                .unwrap_or_else(|| panic!("{name}: {error} has no status"));
            let answer = resolved(&document, &described["responses"][status.to_string()]);
            let types = texts(&answer["headers"]["x-amzn-ErrorType"]["schema"]["enum"]);
            assert!(
                types.contains(&format!("{error}Exception").as_str()),
                "{name}: {error}"
            );
            let schema = &answer["content"]["application/json"]["schema"];
            assert_eq!(
                texts(&resolved(&document, schema)["required"]),
                ["Code", "Message", "RequestId"]
            );
        }
    }
}

#[test]
fn the_exceptions_have_the_statuses_that_are_answered() {
    let path = String::new();
    let method = Method::GET;
    let answered = [
        ApiError::BadRequest(BadRequest::NotAnObject),
        ApiError::NotFound(NotFound::PhoneNumberOrder),
        ApiError::Conflict(Conflict::EmergencyConfiguration),
        ApiError::Forbidden,
        ApiError::UnauthorizedClient,
        ApiError::ResourceLimitExceeded { what: "", most: 0 },
        ApiError::ServiceFailure,
        ApiError::ServiceUnavailable,
        ApiError::ThrottledClient,
        ApiError::UnknownOperation { method, path },
        ApiError::MissingAuthenticationToken,
        ApiError::IncompleteSignature,
        ApiError::InvalidClientTokenId,
        ApiError::SignatureDoesNotMatch,
        ApiError::RequestExpired,
    ];
    let described = EXCEPTIONS.iter().map(|(name, status, _)| (*name, *status));
    let described: Vec<(&str, u16)> = described.chain([UNKNOWN_OPERATION]).collect();
    for error in answered {
        let name = error.exception().trim_end_matches("Exception");
        assert!(
            described.contains(&(name, error.status().as_u16())),
            "{error:?}"
        );
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        resolved(document, value);
        match value {
            Value::Object(object) => object.values().for_each(|value| walk(document, value)),
            Value::Array(list) => list.iter().for_each(|value| walk(document, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = description();
    walk(&document, &document);
}

#[test]
fn a_pattern_is_written_for_ecma_262() {
    for (pattern, expected) in [
        (r".*\S.*", r"[\s\S]*[^\t\n\v\f\r ][\s\S]*"),
        (r"^\+?[1-9]\d{1,14}$", r"^\+?[1-9][0-9]{1,14}$"),
        (r"^arn[\/\:\-\_\.\d]+$", r"^arn[\/:\-_\.0-9]+$"),
        (r"[a-z]\,[\,.]", r"[a-z],[,.]"),
    ] {
        assert_eq!(ecma262(pattern), expected);
    }
}

/// A described pattern, and those that are declared.
type Patterns = (Regex, &'static [(&'static str, Regex)]);

static PATTERNS: LazyLock<Vec<Patterns>> = LazyLock::new(|| {
    let of_shape = |shape: &'static Shape| {
        let Shape::Text { patterns, .. } = shape else {
            return None;
        };
        let described = Regex::new(schema(shape).get("pattern")?.as_str()?).unwrap();
        Some((described, patterns.as_slice()))
    };
    let shapes = model().unwrap().shapes.values();
    shapes.filter_map(of_shape).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// With texts near what the patterns are about.
    #[test]
    fn a_pattern_means_what_it_meant(
        text in r"(\PC|[+,._a-zA-Z0-9 \n\t-]){0,12}|[\n\s]{0,3}|\+?[0-9]{1,16}|arn:aws:lambda:us-east-1:[0-9]{12}:function:[a-z-]{1,3}",
    ) {
        prop_assert!(!PATTERNS.is_empty());
        for (described, declared) in PATTERNS.iter() {
            let is_declared = declared.iter().any(|(_, regex)| regex.is_match(&text));
            prop_assert_eq!(described.is_match(&text), is_declared, "{}", described);
        }
    }
}
