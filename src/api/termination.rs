//! A connector's termination: who may call the PSTN through it, and how often.

use ipnetwork::IpNetwork;
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::members::{connector_id, e164, iso8601};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse, Member, Members};
use super::workable::is_country;
use crate::store::{HealthRecord, TerminationRecord};

/// As many as there are countries, and to spare.
const CALLING_REGIONS_MAX: usize = 300;
const CIDRS_MAX: usize = 1_000;
const DEFAULT_CPS_LIMIT: u32 = 1;

/// `PutVoiceConnectorTermination`
pub(super) async fn put(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    let record = termination(&input.members())?;
    state
        .control
        .put_termination(request.account, id, &record)
        .await?;
    respond(&record)
}

/// `GetVoiceConnectorTermination`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let record = state
        .control
        .store()
        .termination(request.account, id)
        .await?;
    respond(&record)
}

/// `DeleteVoiceConnectorTermination`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    state
        .control
        .delete_termination(request.account, id)
        .await?;
    Ok(ApiResponse::no_content())
}

/// `GetVoiceConnectorTerminationHealth`: both members are `null` until an OPTIONS has come.
pub(super) async fn health(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let record = state
        .control
        .store()
        .termination_health(request.account, id)
        .await?;
    let output = HealthOutput {
        termination_health: record.as_ref().into(),
    };
    ApiResponse::json(&output)
}

/// The `Termination` of these members.
pub(super) fn termination(members: &Members<'_>) -> Result<TerminationRecord, BadRequest> {
    let members = members.required("Termination")?.members()?;
    let default_phone_number = members
        .optional("DefaultPhoneNumber")
        .map(e164)
        .transpose()?;
    Ok(TerminationRecord {
        cps_limit: members
            .optional("CpsLimit")
            .map_or(Ok(DEFAULT_CPS_LIMIT), |limit| {
                limit.integer(1..=i32::MAX as u64)
            })?,
        default_phone_number: default_phone_number.map(|number| number.to_string()),
        calling_regions: list(&members, "CallingRegions", CALLING_REGIONS_MAX, region)?,
        cidr_allowed_list: list(&members, "CidrAllowedList", CIDRS_MAX, cidr)?,
        disabled: members
            .optional("Disabled")
            .map_or(Ok(false), Member::boolean)?,
    })
}

fn list<T>(
    members: &Members<'_>,
    name: &str,
    most: usize,
    element: impl Fn(Member<'_>) -> Result<T, BadRequest>,
) -> Result<Vec<T>, BadRequest> {
    match members.optional(name) {
        Some(member) => member.list(0..=most)?.into_iter().map(element).collect(),
        None => Ok(Vec::new()),
    }
}

fn region(member: Member<'_>) -> Result<String, BadRequest> {
    member.clone().text()?.matching(
        "an ISO 3166-1 alpha-2 country, two capital letters",
        |text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
    )?;
    member
        .text()?
        .matching("an ISO 3166-1 alpha-2 country that exists", is_country)
        .map(str::to_owned)
}

fn cidr(member: Member<'_>) -> Result<IpNetwork, BadRequest> {
    member
        .text()?
        .parsed("an IP address or a network in CIDR form, as 198.51.100.0/27")
}

fn respond(record: &TerminationRecord) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({"Termination": answered(record)}))
}

/// `Termination`, as it is answered.
pub(super) fn answered(record: &TerminationRecord) -> Value {
    json!({
        "CpsLimit": record.cps_limit,
        "DefaultPhoneNumber": record.default_phone_number,
        "CallingRegions": record.calling_regions,
        "CidrAllowedList": record.cidr_allowed_list,
        "Disabled": record.disabled,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthOutput {
    termination_health: TerminationHealth,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TerminationHealth {
    timestamp: Option<String>,
    source: Option<String>,
}

impl From<Option<&HealthRecord>> for TerminationHealth {
    fn from(record: Option<&HealthRecord>) -> Self {
        Self {
            timestamp: record.map(|record| iso8601(record.at)),
            source: record.map(|record| record.source.to_string()),
        }
    }
}
