//! Voice connectors.

use serde::Serialize;

use super::errors::ApiError;
use super::members::{connector_id, invalid, iso8601, next_token, page_length};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::{ApiState, configurations, proxy_sessions, tags};
use crate::store::{NewVoiceConnector, StoreError, VoiceConnectorRecord};

pub(super) const AWS_REGIONS: &[&str] = &[
    "us-east-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "ap-northeast-2",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
];
pub(super) const DEFAULT_AWS_REGION: &str = "us-east-1";

pub(super) const DEFAULT_NETWORK_TYPE: &str = "IPV4_ONLY";

const NOT_OVER_UDP: &str = "false while the VoiceConnector's origination has a route over UDP; put its routes over TCP first";

/// `CreateVoiceConnector`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let new = new_connector(request, input);
    let most = state.quotas.voice_connectors;
    let record = state.control.create_voice_connector(new, most).await?;
    tags::keep(state, request.account, record.id.as_str(), input).await?;
    respond(&record)
}

/// `GetVoiceConnector`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let record = state
        .control
        .store()
        .voice_connector(request.account, id)
        .await?;
    respond(&record)
}

/// `ListVoiceConnectors`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let most = page_length(input);
    let page = state
        .control
        .store()
        .voice_connectors(request.account, next_token(input), most)
        .await?;
    let output = ListOutput {
        voice_connectors: page.rows.iter().map(VoiceConnector::from).collect(),
        next_token: page.next,
    };
    ApiResponse::json(&output)
}

/// `UpdateVoiceConnector`
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    let (name, require_encryption) = (input.text("Name"), input.boolean("RequireEncryption"));
    let control = &state.control;
    let updated = control.update_voice_connector(request.account, id, name, require_encryption);
    let record = match updated.await {
        Err(StoreError::UdpWithEncryption { .. }) => {
            return Err(invalid("RequireEncryption", NOT_OVER_UDP).into());
        }
        updated => updated?,
    };
    respond(&record)
}

/// `DeleteVoiceConnector`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    let mut kinds = configurations::ALL
        .map(configurations::Configuration::kind)
        .to_vec();
    kinds.extend([tags::KIND, proxy_sessions::KIND]);
    let holding = configurations::EMERGENCY.kind();
    state
        .control
        .delete_voice_connector(request.account, id, &kinds, holding)
        .await?;
    Ok(ApiResponse::no_content())
}

fn new_connector(request: &ApiRequest<'_>, input: &Input) -> NewVoiceConnector {
    let or = |member: &str, default: &str| {
        let given = input.text_if_any(member);
        given.unwrap_or(default).to_owned()
    };
    NewVoiceConnector {
        account: request.account.to_owned(),
        name: input.text("Name").to_owned(),
        aws_region: or("AwsRegion", DEFAULT_AWS_REGION),
        require_encryption: input.boolean("RequireEncryption"),
        network_type: or("NetworkType", DEFAULT_NETWORK_TYPE),
        integration_type: input.text_if_any("IntegrationType").map(str::to_owned),
    }
}

/// `VoiceConnectorArn`
pub(super) fn arn(record: &VoiceConnectorRecord) -> String {
    format!(
        "arn:aws:chime:{}:{}:vc/{}",
        record.aws_region, record.account, record.id
    )
}

fn respond(record: &VoiceConnectorRecord) -> Result<ApiResponse, ApiError> {
    let output = Output {
        voice_connector: record.into(),
    };
    ApiResponse::json(&output)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    voice_connector: VoiceConnector<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput<'a> {
    voice_connectors: Vec<VoiceConnector<'a>>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VoiceConnector<'a> {
    voice_connector_id: &'a str,
    aws_region: &'a str,
    name: &'a str,
    outbound_host_name: &'a str,
    require_encryption: bool,
    created_timestamp: String,
    updated_timestamp: String,
    voice_connector_arn: String,
    integration_type: Option<&'a str>,
    network_type: &'a str,
}

impl<'a> From<&'a VoiceConnectorRecord> for VoiceConnector<'a> {
    fn from(record: &'a VoiceConnectorRecord) -> Self {
        Self {
            voice_connector_id: record.id.as_str(),
            aws_region: &record.aws_region,
            name: &record.name,
            outbound_host_name: &record.outbound_host_name,
            require_encryption: record.require_encryption,
            created_timestamp: iso8601(record.created),
            updated_timestamp: iso8601(record.updated),
            voice_connector_arn: arn(record),
            integration_type: record.integration_type.as_deref(),
            network_type: &record.network_type,
        }
    }
}
