//! The Amazon Chime Voice Connector API, as the `chime` and `chime-sdk-voice` service models define it.
//!
//! One file a family of resources, all of one shape: an operation parses its request into domain types
//! ([`request`]), asks the control plane, and writes the answer from a struct with the model's member
//! names. What an operation is, and what its requests hold, is declared in `model`. HTTP and signatures are not known here.

pub mod errors;
pub mod request;
pub mod server;
pub mod sigv4;

mod configurations;
mod credentials;
pub mod declared;
mod e911;
mod groups;
mod inventory;
mod members;
mod model;
mod number_lifecycle;
mod number_settings;
mod orders;
mod origination;
mod phone_numbers;
mod proxy_sessions;
mod resources;
mod search;
mod settings;
mod sip_media_applications;
mod sip_rules;
mod tags;
mod termination;
mod throttle;
mod users;
mod voice_connectors;
mod workable;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use tokio::sync::RwLock;

use self::declared::Owners;
use self::members::connector_id;
use self::model::Input;
use crate::config::{AccessKey, NumberPool, Quotas};
use crate::control::publish::Control;
pub use e911::AddressTable;
pub use errors::ApiError;
pub use model::openapi;
pub use request::{ApiRequest, ApiResponse};
pub use throttle::Throttle;

/// What the API answers from.
pub struct ApiState {
    /// The store and the publisher.
    pub control: Arc<Control>,
    /// The numbers that may be searched and ordered.
    pub number_pools: Vec<NumberPool>,
    /// The operator's addresses; none where the operator has no table of them.
    pub e911_addresses: AddressTable,
    /// The users that numbers may be given to, as `ACCOUNT/USER`.
    pub users: BTreeSet<String>,
    /// How often they may.
    pub throttle: Throttle,
    /// Who may call.
    pub access_keys: Vec<AccessKey>,
    /// How many resources it makes.
    pub quotas: Quotas,
    /// What files declare.
    pub declared: Arc<RwLock<Owners>>,
    /// The clock.
    pub now: fn() -> jiff::Timestamp,
    /// What the node says of itself.
    pub status: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// What the node says of an account's answered calls, so many at most.
    pub calls: Box<AskCalls>,
}

/// By the account and how many calls at most.
pub type AskCalls = dyn Fn(&str, usize) -> Answer + Send + Sync;

/// What is answered once others have told.
pub type Answer =
    Pin<Box<dyn Future<Output = Result<serde_json::Value, crate::store::StoreError>> + Send>>;

/// Performs the operation that the request's method, path and query name.
///
/// # Errors
///
/// The exceptions that the operation's model declares, and [`ApiError::UnknownOperation`].
pub async fn dispatch(state: &ApiState, request: ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let model = model::model().map_err(|fault| {
        tracing::error!(fault, "the declarations of the API cannot be read");
        ApiError::ServiceFailure
    })?;
    let method = request.method.as_str();
    let routed = model.route(method, &request.segments, &request.query);
    let (operation, labels) = routed.ok_or_else(|| unknown_operation(&request))?;
    let input = model.read(operation, &request, &labels)?;
    // Held until a write is done, so that no file begins to declare what it is about.
    let declared = match operation.method == Method::GET.as_str() {
        true => None,
        false => Some(state.declared.read().await),
    };
    if let Some(declared) = &declared {
        declared.refuse(operation, request.account, &input)?;
    }
    let mut response = perform(operation.name, state, &request, &input).await?;
    response.status = StatusCode::from_u16(operation.status).unwrap_or_default();
    Ok(response)
}

/// Which function performs which operation; for what it reads the declaration has spoken already.
async fn perform(
    operation: &'static str,
    s: &ApiState,
    r: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let connector = input.text("VoiceConnectorId");
    let group = input.text("VoiceConnectorGroupId");
    match operation {
        "CreateVoiceConnector" => voice_connectors::create(s, r, input).await,
        "ListVoiceConnectors" => voice_connectors::list(s, r, input).await,
        "GetVoiceConnector" => voice_connectors::get(s, r, connector).await,
        "UpdateVoiceConnector" => voice_connectors::update(s, r, input).await,
        "DeleteVoiceConnector" => voice_connectors::delete(s, r, input).await,

        "AssociatePhoneNumbersWithVoiceConnector" => {
            phone_numbers::associate(s, r, input, connector_id(connector)?.into()).await
        }
        "DisassociatePhoneNumbersFromVoiceConnector" => {
            phone_numbers::disassociate(s, r, input, connector_id(connector)?.into()).await
        }

        "PutVoiceConnectorOrigination" => origination::put(s, r, input).await,
        "GetVoiceConnectorOrigination" => origination::get(s, r, connector).await,
        "DeleteVoiceConnectorOrigination" => origination::delete(s, r, connector).await,

        "PutVoiceConnectorTermination" => termination::put(s, r, input).await,
        "GetVoiceConnectorTermination" => termination::get(s, r, connector).await,
        "DeleteVoiceConnectorTermination" => termination::delete(s, r, connector).await,
        "GetVoiceConnectorTerminationHealth" => termination::health(s, r, connector).await,

        "PutVoiceConnectorTerminationCredentials" => credentials::put(s, r, input).await,
        "DeleteVoiceConnectorTerminationCredentials" => credentials::delete(s, r, input).await,
        "ListVoiceConnectorTerminationCredentials" => credentials::list(s, r, connector).await,

        "PutVoiceConnectorStreamingConfiguration" => {
            configurations::STREAMING.put(s, r, input).await
        }
        "GetVoiceConnectorStreamingConfiguration" => {
            configurations::STREAMING.get(s, r, input).await
        }
        "DeleteVoiceConnectorStreamingConfiguration" => {
            configurations::STREAMING.delete(s, r, input).await
        }
        "PutVoiceConnectorLoggingConfiguration" => configurations::LOGGING.put(s, r, input).await,
        "GetVoiceConnectorLoggingConfiguration" => configurations::LOGGING.get(s, r, input).await,
        "PutVoiceConnectorEmergencyCallingConfiguration" => {
            configurations::EMERGENCY.put(s, r, input).await
        }
        "GetVoiceConnectorEmergencyCallingConfiguration" => {
            configurations::EMERGENCY.get(s, r, input).await
        }
        "DeleteVoiceConnectorEmergencyCallingConfiguration" => {
            configurations::EMERGENCY.delete(s, r, input).await
        }
        "PutVoiceConnectorExternalSystemsConfiguration" => {
            configurations::EXTERNAL_SYSTEMS.put(s, r, input).await
        }
        "GetVoiceConnectorExternalSystemsConfiguration" => {
            configurations::EXTERNAL_SYSTEMS.get(s, r, input).await
        }
        "DeleteVoiceConnectorExternalSystemsConfiguration" => {
            configurations::EXTERNAL_SYSTEMS.delete(s, r, input).await
        }
        "PutVoiceConnectorProxy" => configurations::PROXY.put(s, r, input).await,
        "GetVoiceConnectorProxy" => configurations::PROXY.get(s, r, input).await,
        "DeleteVoiceConnectorProxy" => configurations::PROXY.delete(s, r, input).await,

        "SearchAvailablePhoneNumbers" => search::available_phone_numbers(s, input).await,
        "CreatePhoneNumberOrder" => orders::create(s, r, input).await,
        "ListPhoneNumberOrders" => orders::list(s, r, input).await,
        "GetPhoneNumberOrder" => orders::get(s, r, input.text("PhoneNumberOrderId")).await,
        "ListPhoneNumbers" => phone_numbers::list(s, r, input).await,
        "GetPhoneNumber" => phone_numbers::get(s, r, input.text("PhoneNumberId")).await,
        "UpdatePhoneNumber" => number_lifecycle::update(s, r, input).await,
        "BatchUpdatePhoneNumber" => number_lifecycle::batch_update(s, r, input).await,
        "DeletePhoneNumber" => number_lifecycle::delete(s, r, input).await,
        "BatchDeletePhoneNumber" => number_lifecycle::batch_delete(s, r, input).await,
        "RestorePhoneNumber" => number_lifecycle::restore(s, r, input).await,
        "GetPhoneNumberSettings" => number_settings::get(s, r).await,
        "UpdatePhoneNumberSettings" => number_settings::update(s, r, input).await,
        "ListSupportedPhoneNumberCountries" => number_settings::countries(s, input),

        "CreateVoiceConnectorGroup" => groups::create(s, r, input).await,
        "GetVoiceConnectorGroup" => groups::get(s, r, group).await,
        "ListVoiceConnectorGroups" => groups::list(s, r, input).await,
        "UpdateVoiceConnectorGroup" => groups::update(s, r, input).await,
        "DeleteVoiceConnectorGroup" => groups::delete(s, r, group).await,
        "AssociatePhoneNumbersWithVoiceConnectorGroup" => {
            phone_numbers::associate(s, r, input, groups::group_id(group)?.into()).await
        }
        "DisassociatePhoneNumbersFromVoiceConnectorGroup" => {
            phone_numbers::disassociate(s, r, input, groups::group_id(group)?.into()).await
        }

        "ValidateE911Address" => e911::validate(s, r, input),

        "AssociatePhoneNumberWithUser" => users::associate(s, r, input).await,
        "DisassociatePhoneNumberFromUser" => users::disassociate(s, r, input).await,
        "CreateMeetingDialOut" => users::dial_out(s, r, input).await,

        "CreateSipMediaApplication" => sip_media_applications::create(s, r, input).await,
        "ListSipMediaApplications" => sip_media_applications::list(s, r, input).await,
        "GetSipMediaApplication" => sip_media_applications::get(s, r, input).await,
        "UpdateSipMediaApplication" => sip_media_applications::update(s, r, input).await,
        "DeleteSipMediaApplication" => sip_media_applications::delete(s, r, input).await,
        "PutSipMediaApplicationLoggingConfiguration" => {
            sip_media_applications::put_logging(s, r, input).await
        }
        "GetSipMediaApplicationLoggingConfiguration" => {
            sip_media_applications::get_logging(s, r, input).await
        }
        "CreateSipMediaApplicationCall" => sip_media_applications::create_call(s, r, input).await,
        "UpdateSipMediaApplicationCall" => sip_media_applications::update_call(s, r, input).await,

        "CreateSipRule" => sip_rules::create(s, r, input).await,
        "ListSipRules" => sip_rules::list(s, r, input).await,
        "GetSipRule" => sip_rules::get(s, r, input).await,
        "UpdateSipRule" => sip_rules::update(s, r, input).await,
        "DeleteSipRule" => sip_rules::delete(s, r, input).await,

        "CreateProxySession" => proxy_sessions::create(s, r, input).await,
        "ListProxySessions" => proxy_sessions::list(s, r, input).await,
        "GetProxySession" => proxy_sessions::get(s, r, input).await,
        "UpdateProxySession" => proxy_sessions::update(s, r, input).await,
        "DeleteProxySession" => proxy_sessions::delete(s, r, input).await,

        "TagResource" => tags::tag(s, r, input).await,
        "UntagResource" => tags::untag(s, r, input).await,
        "ListTagsForResource" => tags::list(s, r, input).await,

        "GetGlobalSettings" => settings::get(s, r).await,
        "UpdateGlobalSettings" => settings::update(s, r, input).await,
        "ListAvailableVoiceConnectorRegions" => settings::regions(),

        _ => Err(unknown_operation(r)),
    }
}

fn unknown_operation(request: &ApiRequest<'_>) -> ApiError {
    let mut path = format!("/{}", request.segments.join("/"));
    for key in ["operation", "type"] {
        if let Some(value) = request.query_value(key) {
            let separator = if path.contains('?') { '&' } else { '?' };
            path.push(separator);
            path.push_str(&format!("{key}={value}"));
        }
    }
    ApiError::UnknownOperation {
        method: request.method.clone(),
        path,
    }
}
