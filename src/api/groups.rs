//! Voice connector groups.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::ApiState;
use super::errors::{ApiError, BadRequest, Expected, NotFound};
use super::members::{connector_id, iso8601, next_token, page_length};
use super::model::{Input, Range};
use super::request::{ApiRequest, ApiResponse};
use crate::store::{GroupItem, GroupRecord};

const ITEMS: &str = "VoiceConnectorItems";
/// `Priority` of a connector for which none is given.
const DEFAULT_PRIORITY: u8 = 1;

/// A group is in no region; its ARN has one as every ARN of the service.
const ARN_REGION: &str = "us-east-1";

/// `CreateVoiceConnectorGroup`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let now = (state.now)();
    let group = GroupRecord {
        id: Uuid::new_v4(),
        account: request.account.to_owned(),
        name: input.text("Name").to_owned(),
        call_distribution_type: input.text_if_any("CallDistributionType").map(str::to_owned),
        items: items(state, input)?,
        created: now,
        updated: now,
    };
    let most = state.quotas.voice_connector_groups;
    state.control.create_group(&group, most).await?;
    respond(&group)
}

/// `GetVoiceConnectorGroup`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = group_id(id)?;
    respond(&state.control.store().group(request.account, id).await?)
}

/// `ListVoiceConnectorGroups`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let most = page_length(input);
    let page = state
        .control
        .store()
        .groups(request.account, next_token(input), most)
        .await?;
    let output = ListOutput {
        voice_connector_groups: page.rows.iter().map(VoiceConnectorGroup::from).collect(),
        next_token: page.next,
    };
    ApiResponse::json(&output)
}

/// `UpdateVoiceConnectorGroup`
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = group_id(input.text("VoiceConnectorGroupId"))?;
    let items = items(state, input)?;
    let distribution = input.text_if_any("CallDistributionType");
    let group = state
        .control
        .update_group(
            request.account,
            id,
            input.text("Name"),
            distribution,
            &items,
            (state.now)(),
        )
        .await?;
    respond(&group)
}

/// `DeleteVoiceConnectorGroup`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = group_id(id)?;
    state.control.delete_group(request.account, id).await?;
    Ok(ApiResponse::no_content())
}

/// The id of a path. What cannot be an id is an id that no group has.
pub(super) fn group_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse()
        .map_err(|_| NotFound::VoiceConnectorGroup(text.to_owned()).into())
}

fn items(state: &ApiState, input: &Input) -> Result<Vec<GroupItem>, ApiError> {
    let most = state.quotas.group_voice_connectors;
    group_items(ITEMS, input.list(ITEMS), most)
}

/// The connectors of a group, which stand at `path`; at most so many.
pub(super) fn group_items(
    path: &str,
    list: &[Value],
    most: usize,
) -> Result<Vec<GroupItem>, ApiError> {
    if list.len() > most {
        let most = i64::try_from(most).ok();
        let expected = Expected::Elements(Range { least: None, most });
        let member = path.to_owned();
        return Err(BadRequest::Invalid { member, expected }.into());
    }
    let mut seen = HashSet::new();
    let item = |(index, item): (usize, &Value)| {
        let id = item.get("VoiceConnectorId").and_then(Value::as_str);
        let id = connector_id(id.unwrap_or_default())?;
        if !seen.insert(id) {
            let member = format!("{path}[{index}].VoiceConnectorId");
            let expected = Expected::Form("each VoiceConnector once");
            return Err(BadRequest::Invalid { member, expected }.into());
        }
        let priority = item.get("Priority").and_then(Value::as_u64);
        let priority = priority.and_then(|priority| u8::try_from(priority).ok());
        Ok(GroupItem {
            voice_connector: id,
            priority: priority.unwrap_or(DEFAULT_PRIORITY),
        })
    };
    list.iter().enumerate().map(item).collect()
}

fn respond(group: &GroupRecord) -> Result<ApiResponse, ApiError> {
    let output = Output {
        voice_connector_group: group.into(),
    };
    ApiResponse::json(&output)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    voice_connector_group: VoiceConnectorGroup<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput<'a> {
    voice_connector_groups: Vec<VoiceConnectorGroup<'a>>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VoiceConnectorGroup<'a> {
    voice_connector_group_id: String,
    name: &'a str,
    voice_connector_items: Vec<VoiceConnectorItem<'a>>,
    created_timestamp: String,
    updated_timestamp: String,
    voice_connector_group_arn: String,
    call_distribution_type: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VoiceConnectorItem<'a> {
    voice_connector_id: &'a str,
    priority: u8,
}

impl<'a> From<&'a GroupRecord> for VoiceConnectorGroup<'a> {
    fn from(group: &'a GroupRecord) -> Self {
        let items = group.items.iter().map(|item| VoiceConnectorItem {
            voice_connector_id: item.voice_connector.as_str(),
            priority: item.priority,
        });
        Self {
            voice_connector_group_id: group.id.to_string(),
            name: &group.name,
            voice_connector_items: items.collect(),
            created_timestamp: iso8601(group.created),
            updated_timestamp: iso8601(group.updated),
            voice_connector_group_arn: format!(
                "arn:aws:chime:{ARN_REGION}:{}:vc-group/{}",
                group.account, group.id
            ),
            call_distribution_type: group.call_distribution_type.as_deref(),
        }
    }
}
