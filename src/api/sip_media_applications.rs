//! SIP media applications. They are kept; calls of theirs are not placed, for a node runs no Lambda functions.

use serde_json::{Value, json};

use super::errors::{ApiError, BadRequest, Conflict, NotFound};
use super::members::{invalid, iso8601, own_number};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::resources::{Kind, members, text};
use super::{ApiState, sip_rules, tags};
use crate::store::Document;

/// SIP media applications.
pub(super) const KIND: Kind = Kind {
    kind: "sip-media-application",
    name: "SipMediaApplication",
};

pub(super) const LOGGING: Kind = Kind {
    kind: "sip-media-application-logging",
    name: "SipMediaApplicationLoggingConfiguration",
};

/// `CreateSipMediaApplication`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let region = input.text("AwsRegion");
    if !is_region(region) {
        let expected = "an AWS Region, as in us-east-1";
        return Err(invalid("AwsRegion", expected).into());
    }
    check_endpoints(input, region)?;
    let _writing = state.control.hold_writes().await;
    let store = state.control.store();
    let most = state.quotas.sip_media_applications;
    let count = store
        .count_documents(KIND.kind, request.account, "")
        .await?;
    if count >= most {
        return Err(ApiError::ResourceLimitExceeded {
            what: "SIP media applications of an account",
            most,
        });
    }
    let id = uuid::Uuid::new_v4().to_string();
    let body = Value::Object(input.some_of(&["AwsRegion", "Name", "Endpoints"]));
    let document = state
        .control
        .store()
        .put_document(KIND.key(request.account, &id), "", &body, (state.now)())
        .await?;
    tags::keep(state, request.account, &id, input).await?;
    respond(request, &document)
}

/// `GetSipMediaApplication`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    respond(request, &existing(state, request, input).await?)
}

/// `ListSipMediaApplications`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let page = KIND.page(state, (request, input), "", |_| true).await?;
    let applications: Vec<Value> = page
        .rows
        .iter()
        .map(|document| application(request, document))
        .collect();
    ApiResponse::json(&json!({"SipMediaApplications": applications, "NextToken": page.next}))
}

/// `UpdateSipMediaApplication`; a member that is not given stays as it is.
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = input.text("SipMediaApplicationId");
    let change = |before: &Document| {
        check_endpoints(input, text(before, "AwsRegion"))?;
        let mut body = members(before);
        body.extend(input.some_of(&["Name", "Endpoints"]));
        Ok(Value::Object(body))
    };
    let document = KIND.change(state, request.account, id, change).await?;
    respond(request, &document)
}

/// `DeleteSipMediaApplication`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let id = existing(state, request, input).await?.id;
    let rules = sip_rules::KIND.all(state, request.account, "").await?;
    if let Some(rule) = rules.into_iter().find(|rule| sip_rules::targets(rule, &id)) {
        return Err(Conflict::TargetOfRule { rule: rule.id }.into());
    }
    let store = state.control.store();
    store
        .delete_documents_of(&[tags::KIND, LOGGING.kind], request.account, &id)
        .await?;
    store
        .delete_document(KIND.key(request.account, &id))
        .await?;
    Ok(ApiResponse::no_content())
}

/// `PutSipMediaApplicationLoggingConfiguration`
pub(super) async fn put_logging(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let id = existing(state, request, input).await?.id;
    let body = input.value(LOGGING.name).cloned();
    let body = body.unwrap_or_else(|| json!({}));
    let key = LOGGING.key(request.account, &id);
    let store = state.control.store();
    store.put_document(key, &id, &body, (state.now)()).await?;
    ApiResponse::json(&json!({LOGGING.name: body}))
}

/// `GetSipMediaApplicationLoggingConfiguration`
pub(super) async fn get_logging(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = existing(state, request, input).await?.id;
    let key = LOGGING.key(request.account, &id);
    match state.control.store().document(key).await? {
        Some(document) => ApiResponse::json(&json!({LOGGING.name: document.body})),
        None => Err(NotFound::ApplicationLogging.into()),
    }
}

/// `CreateSipMediaApplicationCall`: what is wrong with the request is said first, then that no call is placed.
/// That is no `ServiceUnavailable`, which SDKs would try again.
pub(super) async fn create_call(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = input.text("SipMediaApplicationId");
    let store = state.control.store();
    // The operation declares no NotFound.
    if store
        .document(KIND.key(request.account, id))
        .await?
        .is_none()
    {
        let expected = "a SIP media application of the account";
        return Err(invalid("SipMediaApplicationId", expected).into());
    }
    own_number(state, request, input, "FromPhoneNumber").await?;
    Err(BadRequest::NoApplicationCalls.into())
}

/// `UpdateSipMediaApplicationCall`: no call is there to update.
pub(super) async fn update_call(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    existing(state, request, input).await?;
    Err(NotFound::Resource {
        kind: "SipMediaApplicationCall",
        id: input.text("TransactionId").to_owned(),
    }
    .into())
}

/// `SipMediaApplicationArn`
pub(super) fn arn(account: &str, document: &Document) -> String {
    let region = text(document, "AwsRegion");
    format!("arn:aws:chime:{region}:{account}:sma/{}", document.id)
}

async fn existing(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<Document, ApiError> {
    let id = input.text("SipMediaApplicationId");
    KIND.existing(state, request.account, id).await
}

/// A function is in its application's region.
fn check_endpoints(input: &Input, region: &str) -> Result<(), BadRequest> {
    endpoints_in_region("Endpoints", input.list("Endpoints"), region)
}

/// The functions that stand at `path` are in the region.
pub(super) fn endpoints_in_region(
    path: &str,
    endpoints: &[Value],
    region: &str,
) -> Result<(), BadRequest> {
    for (index, endpoint) in endpoints.iter().enumerate() {
        let function = endpoint.get("LambdaArn").and_then(Value::as_str);
        if function.is_some_and(|arn| arn.split(':').nth(3) != Some(region)) {
            let member = format!("{path}[{index}].LambdaArn");
            let expected =
                "the ARN of a Lambda function in the AwsRegion of the SIP media application";
            return Err(invalid(member, expected));
        }
    }
    Ok(())
}

/// As in `us-east-1`, `us-gov-west-1`.
pub(super) fn is_region(text: &str) -> bool {
    let mut parts = text.rsplit('-');
    let number = parts.next().unwrap_or_default();
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = parts.collect();
    matches!(number.as_bytes(), [b'1'..=b'9'])
        && (2..=3).contains(&words.len())
        && words.into_iter().all(is_word)
}

fn respond(request: &ApiRequest<'_>, document: &Document) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({KIND.name: application(request, document)}))
}

fn application(request: &ApiRequest<'_>, document: &Document) -> Value {
    let member = |name: &str| document.body.get(name);
    json!({
        "SipMediaApplicationId": document.id,
        "AwsRegion": member("AwsRegion"),
        "Name": member("Name"),
        "Endpoints": member("Endpoints"),
        "CreatedTimestamp": iso8601(document.created),
        "UpdatedTimestamp": iso8601(document.updated),
        "SipMediaApplicationArn": arn(request.account, document),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_told_from_other_words() {
        for region in ["us-east-1", "us-gov-west-1", "ap-northeast-2"] {
            assert!(is_region(region), "{region}");
        }
        for other in [
            "",
            "us",
            "us-east",
            "us-east-1a",
            "US-EAST-1",
            "-east-1",
            "a-b-c-d-1",
        ] {
            assert!(!is_region(other), "{other}");
        }
    }
}
