//! Tags of connectors and SIP media applications. A resource's are one document, which goes with it.

use serde_json::{Value, json};

use super::errors::{ApiError, NotFound};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::{ApiState, sip_media_applications, voice_connectors};
use crate::store::{Key, StoreError};

/// The kind of the documents.
pub(super) const KIND: &str = "tags";

/// Tags of one resource.
const TAGS_MAX: usize = 50;

/// `TagResource`
pub(super) async fn tag(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let id = resource(state, request, input).await?;
    let mut tags = read(state, request.account, &id).await?;
    add(&mut tags, input);
    if tags.len() > TAGS_MAX {
        return Err(ApiError::ResourceLimitExceeded {
            what: "Tags of a resource",
            most: TAGS_MAX,
        });
    }
    write(state, request.account, &id, tags).await?;
    Ok(ApiResponse::no_content())
}

/// `UntagResource`; a key that is not there is no error.
pub(super) async fn untag(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let id = resource(state, request, input).await?;
    let mut tags = read(state, request.account, &id).await?;
    tags.retain(|tag| !input.texts("TagKeys").any(|key| tag_key(tag) == Some(key)));
    write(state, request.account, &id, tags).await?;
    Ok(ApiResponse::no_content())
}

/// `ListTagsForResource`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = resource(state, request, input).await?;
    let tags = read(state, request.account, &id).await?;
    ApiResponse::json(&json!({"Tags": tags}))
}

/// Keeps the tags of a request that created the resource.
pub(super) async fn keep(
    state: &ApiState,
    account: &str,
    id: &str,
    input: &Input,
) -> Result<(), ApiError> {
    let mut tags = Vec::new();
    add(&mut tags, input);
    match tags.is_empty() {
        true => Ok(()),
        false => write(state, account, id, tags).await,
    }
}

/// The last value that a key was given stands, where the first did.
fn add(tags: &mut Vec<Value>, input: &Input) {
    for new in input.list("Tags") {
        match tags.iter_mut().find(|tag| tag_key(tag) == tag_key(new)) {
            Some(tag) => *tag = new.clone(),
            None => tags.push(new.clone()),
        }
    }
}

fn tag_key(tag: &Value) -> Option<&str> {
    tag.get("Key").and_then(Value::as_str)
}

/// The id of the resource that the request is about, which has to be one of the account's.
async fn resource(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<String, ApiError> {
    let arn = input.text("ResourceARN");
    let unknown = || NotFound::Resource {
        kind: "resource",
        id: arn.to_owned(),
    };
    let (kind, id) = arn
        .rsplit_once(':')
        .and_then(|(_, name)| name.split_once('/'))
        .ok_or_else(unknown)?;
    let store = state.control.store();
    let of_resource = match kind {
        "vc" => {
            let id = id.parse().map_err(|_| unknown())?;
            match store.voice_connector(request.account, id).await {
                Ok(record) => voice_connectors::arn(&record),
                Err(StoreError::UnknownVoiceConnector(_)) => return Err(unknown().into()),
                Err(error) => return Err(error.into()),
            }
        }
        "sma" => {
            let key = sip_media_applications::KIND.key(request.account, id);
            let document = store.document(key).await?.ok_or_else(unknown)?;
            sip_media_applications::arn(request.account, &document)
        }
        _ => return Err(unknown().into()),
    };
    // An ARN of another account or region is not the resource's.
    match of_resource == arn {
        true => Ok(id.to_owned()),
        false => Err(unknown().into()),
    }
}

async fn read(state: &ApiState, account: &str, id: &str) -> Result<Vec<Value>, ApiError> {
    let document = state.control.store().document(key(account, id)).await?;
    let tags = document.and_then(|document| document.body.as_array().cloned());
    Ok(tags.unwrap_or_default())
}

async fn write(
    state: &ApiState,
    account: &str,
    id: &str,
    tags: Vec<Value>,
) -> Result<(), ApiError> {
    let store = state.control.store();
    let body = Value::Array(tags);
    store
        .put_document(key(account, id), id, &body, (state.now)())
        .await?;
    Ok(())
}

fn key<'a>(account: &'a str, id: &'a str) -> Key<'a> {
    Key {
        kind: KIND,
        account,
        id,
    }
}
