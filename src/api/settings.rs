//! Settings of an account, and the regions that a connector may say it is in.

use serde_json::{Value, json};

use super::ApiState;
use super::errors::ApiError;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::voice_connectors::AWS_REGIONS;
use crate::store::{Document, Key};

const MEMBERS: [&str; 2] = ["BusinessCalling", "VoiceConnector"];

/// `GetGlobalSettings`; a bucket that was never set is `null`.
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<ApiResponse, ApiError> {
    let settings = settings(state, request).await?;
    let bucket = |member: &str| {
        let kept = settings
            .as_ref()
            .and_then(|settings| settings.body.get(member));
        json!({"CdrBucket": kept.and_then(|kept| kept.get("CdrBucket"))})
    };
    let [business_calling, voice_connector] = MEMBERS.map(bucket);
    ApiResponse::json(&json!({
        "BusinessCalling": business_calling,
        "VoiceConnector": voice_connector,
    }))
}

/// `UpdateGlobalSettings`; a member that is not given stays as it is.
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let before = settings(state, request).await?;
    let mut body = match before.map(|before| before.body) {
        Some(Value::Object(body)) => body,
        Some(_) | None => serde_json::Map::new(),
    };
    body.extend(input.some_of(&MEMBERS));
    state
        .control
        .store()
        .put_document(key(request), "", &Value::Object(body), (state.now)())
        .await?;
    Ok(ApiResponse::no_content())
}

/// `ListAvailableVoiceConnectorRegions`
pub(super) fn regions() -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({"VoiceConnectorRegions": AWS_REGIONS}))
}

async fn settings(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<Option<Document>, ApiError> {
    Ok(state.control.store().document(key(request)).await?)
}

/// An account has one.
fn key<'a>(request: &ApiRequest<'a>) -> Key<'a> {
    Key {
        kind: "global-settings",
        account: request.account,
        id: "",
    }
}
