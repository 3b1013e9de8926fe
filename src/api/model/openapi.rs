//! The declarations as an OpenAPI 3.1 description, for tools that read one.
//!
//! Some operations of the service share a method and a path and differ by a fixed pair of the query, as
//! `operation=restore`; OpenAPI tells operations apart by method and path alone. Such an operation stands under its path
//! with the pair as a fragment (`/phone-numbers/{phoneNumberId}#operation=restore`), and the pair is a required query
//! parameter with one value. No client sends a fragment, so what a tool builds from key and parameter is the request as
//! the service defines it; a `?` in the key would be there twice. Published descriptions of AWS services do the same.
//!
//! A member that need not be there may be null, in requests and in answers. What an operation asks for beyond its
//! declaration (that a number is of the account, say) is not in here: a request that the description allows may get
//! a BadRequestException. `/status` and the description itself are no operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{Member, Model, Operation, Place, Range, Segment, Shape, model};

/// Every exception: its name without `Exception`, its status, and whether any request may be answered with it.
const EXCEPTIONS: [(&str, u16, bool); 17] = [
    ("AccessDenied", 403, false),
    ("BadRequest", 400, true),
    ("Conflict", 409, false),
    ("Forbidden", 403, true),
    ("IncompleteSignature", 400, true),
    ("InvalidClientTokenId", 403, true),
    ("MissingAuthenticationToken", 403, true),
    ("NotFound", 404, false),
    ("RequestEntityTooLarge", 413, true),
    ("RequestExpired", 403, true),
    ("RequestTimeout", 408, true),
    ("ResourceLimitExceeded", 400, false),
    ("ServiceFailure", 500, true),
    ("ServiceUnavailable", 503, true),
    ("SignatureDoesNotMatch", 403, true),
    ("ThrottledClient", 429, true),
    ("UnauthorizedClient", 401, false),
];

/// What the HTTP server says before a request is read, without a body.
const BEFORE_READING: [(u16, &str); 2] = [
    (414, "The request's target has more than 65534 bytes."),
    (
        431,
        "The request has more than 100 header fields, or they are too long.",
    ),
];

/// Where no operation has the request's method, path and query; a wrong value of a fixed pair comes to this.
const UNKNOWN_OPERATION: (&str, u16) = ("UnknownOperation", 404);

static DOCUMENT: LazyLock<Result<String, &'static str>> =
    LazyLock::new(|| model().map(|model| document(model).to_string()));

/// The description, as JSON.
///
/// # Errors
///
/// The declarations cannot be read; the text says where.
pub fn openapi() -> Result<&'static str, &'static str> {
    DOCUMENT
        .as_ref()
        .map(String::as_str)
        .map_err(|fault| *fault)
}

fn document(model: &'static Model) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut responses = Map::new();
    for operation in &model.operations {
        let item = paths.entry(key(operation)).or_default();
        let method = operation.method.to_ascii_lowercase();
        item.insert(method, described(model, operation, &mut responses));
    }
    let mut schemas: Map<String, Value> = model
        .shapes_of_operations()
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), schema(shape)))
        .collect();
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The Amazon Chime Voice Connector API as Trunkline serves it: the operations of the \
                service models chime (2018-05-01) and chime-sdk-voice (2022-08-03). A + in a query is a plus: a \
                space is written as %20.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "security": [{"sigv4": []}],
        "components": {
            "schemas": schemas,
            "responses": responses,
            "headers": {
                "RequestId": {
                    "description": "Names the request in the log.",
                    "required": true,
                    "schema": {"type": "string", "format": "uuid"},
                },
            },
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "AWS Signature Version 4, for the service chime.",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                },
            },
        },
    })
}

/// The path, with a fixed pair of the query as its fragment.
fn key(operation: &Operation) -> String {
    let mut key = String::new();
    for segment in &operation.path {
        match segment {
            Segment::Fixed(text) => key += &format!("/{text}"),
            Segment::Label(label) => key += &format!("/{{{label}}}"),
        }
    }
    if let Some((name, value)) = operation.query {
        key += &format!("#{name}={value}");
    }
    key
}

fn described(
    model: &'static Model,
    operation: &Operation,
    components: &mut Map<String, Value>,
) -> Value {
    let family = match operation.path.first() {
        Some(Segment::Fixed(text) | Segment::Label(text)) => *text,
        None => "",
    };
    let mut described = Map::new();
    let mut set = |name: &str, value: Value| described.insert(name.to_owned(), value);
    set("operationId", operation.name.into());
    set("tags", json!([family]));
    if let Some(namespace) = operation.namespace {
        set("description", format!("Of {namespace} alone.").into());
    }
    set("parameters", parameters(operation).into());
    let body = operation
        .input
        .iter()
        .filter(|(_, place)| *place == Place::Body);
    let body: Vec<Member> = body.map(|(member, _)| *member).collect();
    if !body.is_empty() {
        let content = json!({"application/json": {"schema": object(&body)}});
        set("requestBody", json!({"required": true, "content": content}));
    }
    set("responses", responses(model, operation, components));
    Value::Object(described)
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let fixed = operation.query.map(|(name, value)| {
        let schema = json!({"type": "string", "enum": [value]});
        json!({"name": name, "in": "query", "required": true, "schema": schema})
    });
    let members = operation.input.iter().filter_map(|(member, place)| {
        let (name, within) = match place {
            Place::Path(label) => (label, "path"),
            Place::Query(key) => (key, "query"),
            Place::Body => return None,
        };
        Some(json!({
            "name": name,
            "in": within,
            "required": member.is_required,
            "description": member.name,
            "schema": reference(member.shape),
        }))
    });
    fixed.into_iter().chain(members).collect()
}

/// The answer of success, and those of exceptions by their statuses.
fn responses(
    model: &'static Model,
    operation: &Operation,
    components: &mut Map<String, Value>,
) -> Value {
    let mut success = json!({
        "description": "Done.",
        "headers": {"x-amzn-RequestId": {"$ref": "#/components/headers/RequestId"}},
    });
    if operation.status != 204 {
        let answer = answer(model, &operation.output);
        success["content"] = json!({"application/json": {"schema": answer}});
    }
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), success);
    for (status, names) in exceptions(operation) {
        let names: Vec<&str> = names.into_iter().collect();
        let component = names.join("Or");
        let answer = json!({"$ref": format!("#/components/responses/{component}")});
        responses.insert(status.to_string(), answer);
        components
            .entry(component)
            .or_insert_with(|| refusal(&names));
    }
    for (status, meaning) in BEFORE_READING {
        responses.insert(status.to_string(), json!({"description": meaning}));
    }
    Value::Object(responses)
}

/// The exceptions that a request of this operation may be answered with, by status.
fn exceptions(operation: &Operation) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut exceptions: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    let (name, status) = UNKNOWN_OPERATION;
    exceptions.entry(status).or_default().insert(name);
    for (name, status, is_anybodys) in EXCEPTIONS {
        if is_anybodys || operation.errors.contains(&name) {
            exceptions.entry(status).or_default().insert(name);
        }
    }
    exceptions
}

fn refusal(names: &[&str]) -> Value {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("{name}Exception"))
        .collect();
    json!({
        "description": names.join(", "),
        "headers": {
            "x-amzn-RequestId": {"$ref": "#/components/headers/RequestId"},
            "x-amzn-ErrorType": {
                "description": "The exception.",
                "required": true,
                "schema": {"type": "string", "enum": names},
            },
        },
        "content": {"application/json": {"schema": reference("Error")}},
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "Code": {"type": "string", "minLength": 1, "description": "The exception's error code."},
            "Message": {"type": "string", "minLength": 1, "description": "What was wrong, for a reader."},
            "RequestId": {"type": "string", "format": "uuid"},
        },
        "required": ["Code", "Message", "RequestId"],
    })
}

fn reference(shape: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{shape}")})
}

fn schema(shape: &Shape) -> Value {
    match shape {
        Shape::Structure(members) => object(members),
        Shape::List { of, length } => bounded(
            json!({"type": "array", "items": reference(of)}),
            *length,
            ["minItems", "maxItems"],
        ),
        Shape::Map {
            keys,
            values,
            length,
        } => bounded(
            json!({
                "type": "object",
                "propertyNames": reference(keys),
                "additionalProperties": reference(values),
            }),
            *length,
            ["minProperties", "maxProperties"],
        ),
        Shape::Text {
            length,
            meaning,
            patterns,
        } => {
            let mut schema = json!({"type": "string"});
            if !patterns.is_empty() {
                let patterns: Vec<String> = patterns.iter().map(|(one, _)| ecma262(one)).collect();
                schema["pattern"] = format!("^(?:{})$", patterns.join("|")).into();
                schema["description"] = (*meaning).into();
            }
            bounded(schema, *length, ["minLength", "maxLength"])
        }
        Shape::Enum(values) => json!({"type": "string", "enum": values}),
        Shape::Integer(range) => bounded(
            json!({"type": "integer", "format": "int64"}),
            *range,
            ["minimum", "maximum"],
        ),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Timestamp => json!({"type": "string", "format": "date-time"}),
    }
}

/// The object of an answer. Its lists may be empty where a request's may not: a resource without tags has none.
fn answer(model: &'static Model, members: &[Member]) -> Value {
    let mut schema = object(members);
    for member in members {
        if let Some(Shape::List { of, .. }) = model.shape(member.shape) {
            let list = json!({"type": ["array", "null"], "items": reference(of)});
            schema["properties"][member.name] = list;
        }
    }
    schema
}

fn object(members: &[Member]) -> Value {
    let property = |member: &Member| {
        let schema = match member.is_required {
            true => reference(member.shape),
            false => json!({"anyOf": [reference(member.shape), {"type": "null"}]}),
        };
        (member.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = members.iter().map(property).collect();
    let required = members.iter().filter(|member| member.is_required);
    let required: Vec<&str> = required.map(|member| member.name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn bounded(mut schema: Value, range: Range, [least, most]: [&str; 2]) -> Value {
    for (name, bound) in [(least, range.least), (most, range.most)] {
        if let Some(bound) = bound {
            schema[name] = bound.into();
        }
    }
    schema
}

/// A pattern as ECMA-262 with the flag `u` reads it, the dialect of JSON Schema: there `.` ends at a line's end, `\d`
/// and `\s` may mean more than ASCII, and only what has a meaning is escaped.
pub(super) fn ecma262(pattern: &str) -> String {
    const SPACES: &str = r"\t\n\v\f\r ";
    let mut written = String::new();
    let mut is_in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match (character, is_in_class) {
            ('\\', _) => match (characters.next(), is_in_class) {
                (Some('d'), true) => written += "0-9",
                (Some('d'), false) => written += "[0-9]",
                (Some('s'), true) => written += SPACES,
                (Some('s'), false) => written += &format!("[{SPACES}]"),
                (Some('S'), false) => written += &format!("[^{SPACES}]"),
                (Some(one), _) => {
                    let is_special = r"^$\.*+?()[]{}|/".contains(one);
                    if is_special || one.is_ascii_alphanumeric() || (one == '-' && is_in_class) {
                        written.push('\\');
                    }
                    written.push(one);
                }
                (None, _) => written.push('\\'),
            },
            ('.', false) => written += r"[\s\S]",
            (one, _) => {
                is_in_class = match one {
                    '[' => true,
                    ']' => false,
                    _ => is_in_class,
                };
                written.push(one);
            }
        }
    }
    written
}

#[cfg(test)]
mod tests;
