//! The phone numbers of an account, and the connectors they belong to.

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest, NotFound};
use super::inventory::{number_type, pool_of};
use super::members::{connector_id, e164_list, iso8601, next_token, page_length};
use super::request::{ApiRequest, ApiResponse, Member, Members};
use crate::config::NumberPool;
use crate::numbering::E164;
use crate::store::{NumberError, NumberFilter, NumberProblem, Page, PhoneNumberRecord};

/// Numbers of one association; the models give no limit.
const NUMBERS_MAX: usize = 1_000;

/// `PhoneNumberProductType` of both models.
const PRODUCT_TYPES: &[&str] = &[
    "BusinessCalling",
    "VoiceConnector",
    "SipMediaApplicationDialIn",
];

/// `PhoneNumberStatus`; numbers of pools are only ever `Unassigned` and `Assigned`.
const STATUSES: &[&str] = &[
    "Cancelled",
    "PortinCancelRequested",
    "PortinInProgress",
    "AcquireInProgress",
    "AcquireFailed",
    UNASSIGNED,
    ASSIGNED,
    "ReleaseInProgress",
    "DeleteInProgress",
    "ReleaseFailed",
    "DeleteFailed",
];
const UNASSIGNED: &str = "Unassigned";
const ASSIGNED: &str = "Assigned";

/// `PhoneNumberAssociationName` of both models.
const ASSOCIATION_NAMES: &[&str] = &[
    "AccountId",
    "UserId",
    VOICE_CONNECTOR_ID,
    "VoiceConnectorGroupId",
    "SipRuleId",
];
const VOICE_CONNECTOR_ID: &str = "VoiceConnectorId";

/// `GetPhoneNumber`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let number = number_of_id(id)?;
    let record = state
        .control
        .store()
        .phone_number(request.account, number)
        .await?;
    let output = Output {
        phone_number: phone_number(&record, &state.number_pools),
    };
    ApiResponse::json(&output)
}

/// `ListPhoneNumbers`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
) -> Result<ApiResponse, ApiError> {
    let most = page_length(request)?;
    let page = match filter(request)? {
        Some(filter) => {
            let store = state.control.store();
            if let Some(id) = filter.voice_connector {
                store.voice_connector(request.account, id).await?;
            }
            store
                .phone_numbers(request.account, &filter, next_token(request), most)
                .await?
        }
        None => Page {
            rows: Vec::new(),
            next: None,
        },
    };
    let rows = page.rows.iter();
    let output = ListOutput {
        phone_numbers: rows
            .map(|record| phone_number(record, &state.number_pools))
            .collect(),
        next_token: page.next,
    };
    ApiResponse::json(&output)
}

/// `AssociatePhoneNumbersWithVoiceConnector`
pub(super) async fn associate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let body = request.body()?;
    let members = body.members();
    let numbers = numbers(&members)?;
    let force = members
        .optional("ForceAssociate")
        .map_or(Ok(false), Member::boolean)?;
    let errors = state
        .control
        .associate_numbers(request.account, id, &numbers, force)
        .await?;
    respond_errors(&errors)
}

/// `DisassociatePhoneNumbersFromVoiceConnector`
pub(super) async fn disassociate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let numbers = numbers(&request.body()?.members())?;
    let errors = state
        .control
        .disassociate_numbers(request.account, id, &numbers)
        .await?;
    respond_errors(&errors)
}

fn numbers(members: &Members<'_>) -> Result<Vec<E164>, BadRequest> {
    let numbers = e164_list(members.required("E164PhoneNumbers")?, NUMBERS_MAX)?;
    Ok(numbers.into_iter().map(|(_, number)| number).collect())
}

/// `None` where nothing that this service has can match.
fn filter(request: &ApiRequest<'_>) -> Result<Option<NumberFilter>, ApiError> {
    let one_of = |member, values| {
        request
            .parameter(member)
            .map(|text| text.one_of(values))
            .transpose()
    };
    let product_type = one_of("ProductType", PRODUCT_TYPES)?.map(str::to_owned);
    let associated = match one_of("Status", STATUSES)? {
        None => None,
        Some(ASSIGNED) => Some(true),
        Some(UNASSIGNED) => Some(false),
        Some(_) => return Ok(None),
    };
    let missing = |member: &str| BadRequest::Missing {
        member: member.to_owned(),
    };
    let association = one_of("FilterName", ASSOCIATION_NAMES)?;
    let value = request.parameter("FilterValue");
    let voice_connector = match (association, value) {
        (None, None) => None,
        (None, Some(_)) => return Err(missing("FilterName").into()),
        (Some(_), None) => return Err(missing("FilterValue").into()),
        (Some(VOICE_CONNECTOR_ID), Some(value)) => Some(connector_id(value.as_str())?),
        (Some(_), Some(_)) => return Ok(None),
    };
    Ok(Some(NumberFilter {
        voice_connector,
        associated,
        product_type,
    }))
}

/// A `PhoneNumberId` is the number with its `+` percent-encoded; clients send it encoded once more, or
/// send the number.
fn number_of_id(id: &str) -> Result<E164, ApiError> {
    let digits = id
        .strip_prefix("%2B")
        .or_else(|| id.strip_prefix("%2b"))
        .unwrap_or(id);
    digits
        .parse()
        .map_err(|_| NotFound::PhoneNumber(id.to_owned()).into())
}

fn id_of_number(number: E164) -> String {
    format!("%2B{}", number.digits())
}

fn respond_errors(errors: &[NumberError]) -> Result<ApiResponse, ApiError> {
    let output = ErrorsOutput {
        phone_number_errors: errors.iter().map(PhoneNumberError::from).collect(),
    };
    ApiResponse::json(&output)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    phone_number: PhoneNumber<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput<'a> {
    phone_numbers: Vec<PhoneNumber<'a>>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorsOutput {
    phone_number_errors: Vec<PhoneNumberError>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneNumber<'a> {
    phone_number_id: String,
    e164_phone_number: String,
    phone_number_arn: Option<String>,
    country: Option<&'a str>,
    r#type: Option<&'static str>,
    product_type: &'a str,
    status: &'static str,
    capabilities: PhoneNumberCapabilities,
    associations: Vec<PhoneNumberAssociation>,
    calling_name: Option<&'a str>,
    calling_name_status: &'static str,
    created_timestamp: String,
    updated_timestamp: String,
    deletion_timestamp: Option<String>,
    order_id: &'a str,
    name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneNumberCapabilities {
    inbound_call: bool,
    outbound_call: bool,
    #[serde(rename = "InboundSMS")]
    inbound_sms: bool,
    #[serde(rename = "OutboundSMS")]
    outbound_sms: bool,
    #[serde(rename = "InboundMMS")]
    inbound_mms: bool,
    #[serde(rename = "OutboundMMS")]
    outbound_mms: bool,
}

/// Calls both ways, no messages.
const CAPABILITIES: PhoneNumberCapabilities = PhoneNumberCapabilities {
    inbound_call: true,
    outbound_call: true,
    inbound_sms: false,
    outbound_sms: false,
    inbound_mms: false,
    outbound_mms: false,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneNumberAssociation {
    value: String,
    name: &'static str,
    associated_timestamp: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneNumberError {
    phone_number_id: String,
    error_code: &'static str,
    error_message: &'static str,
}

/// `Country` and `Type` are the pool's: `null` once the config has the pool no more.
fn phone_number<'a>(record: &'a PhoneNumberRecord, pools: &'a [NumberPool]) -> PhoneNumber<'a> {
    let pool = pool_of(pools, record.number);
    let associations = record.voice_connector.map(|id| PhoneNumberAssociation {
        value: id.to_string(),
        name: VOICE_CONNECTOR_ID,
        associated_timestamp: record.associated.map(iso8601),
    });
    PhoneNumber {
        phone_number_id: id_of_number(record.number),
        e164_phone_number: record.number.to_string(),
        phone_number_arn: None,
        country: pool.map(|pool| pool.country.as_str()),
        r#type: pool.map(number_type),
        product_type: &record.product_type,
        status: match record.voice_connector {
            Some(_) => ASSIGNED,
            None => UNASSIGNED,
        },
        capabilities: CAPABILITIES,
        associations: associations.into_iter().collect(),
        calling_name: None,
        calling_name_status: UNASSIGNED,
        created_timestamp: iso8601(record.created),
        updated_timestamp: iso8601(record.updated),
        deletion_timestamp: None,
        order_id: &record.order,
        name: None,
    }
}

impl From<&NumberError> for PhoneNumberError {
    fn from(error: &NumberError) -> Self {
        let (error_code, error_message) = match error.problem {
            NumberProblem::NotInInventory => (
                "NotFound",
                "The account has no such phone number: order it first",
            ),
            NumberProblem::AssociatedElsewhere => (
                "PhoneNumberAssociationsExist",
                "The phone number is associated with another VoiceConnector: set ForceAssociate to move it",
            ),
            NumberProblem::NotAssociated => (
                "BadRequest",
                "The phone number is not associated with this VoiceConnector",
            ),
        };
        Self {
            phone_number_id: id_of_number(error.number),
            error_code,
            error_message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_id_is_read_in_all_its_forms() {
        let number: E164 = "+12065550100".parse().unwrap();
        for id in ["+12065550100", "12065550100", "%2B12065550100"] {
            assert_eq!(number_of_id(id), Ok(number), "{id}");
        }
        assert_eq!(number_of_id(&id_of_number(number)), Ok(number));
        assert!(number_of_id("abc").is_err());
    }
}
