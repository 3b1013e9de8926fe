//! The phone numbers of an account, and the connectors they belong to.

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest, NotFound, said};
use super::groups::group_id;
use super::inventory::{number_type, pool_of};
use super::members::{connector_id, e164_list, iso8601, next_token, page_length};
use super::model::{Input, Range};
use super::request::{ApiRequest, ApiResponse};
use crate::config::NumberPool;
use crate::numbering::E164;
use crate::store::{
    Holder, NumberError, NumberFilter, NumberProblem, NumberStatus, Page, PhoneNumberRecord,
};

/// Numbers of one association; the models give no limit.
const NUMBERS: Range = Range {
    least: Some(1),
    most: Some(1_000),
};

/// Of `PhoneNumberAssociationName`.
const ACCOUNT_ID: &str = "AccountId";
const USER_ID: &str = "UserId";
const VOICE_CONNECTOR_ID: &str = "VoiceConnectorId";
const VOICE_CONNECTOR_GROUP_ID: &str = "VoiceConnectorGroupId";

/// The statuses that numbers of pools have; with another one there is none.
const STATUSES: [NumberStatus; 3] = [
    NumberStatus::Unassigned,
    NumberStatus::Assigned,
    NumberStatus::InDeletionQueue,
];

/// `CallingNameStatus`: a calling name is there at once, for no registry has to be told.
const CALLING_NAME_SET: &str = "UpdateSucceeded";
const CALLING_NAME_UNSET: &str = "Unassigned";

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
    respond(&record, &state.number_pools)
}

/// `ListPhoneNumbers`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let most = page_length(input);
    let page = match filter(input)? {
        Some(filter) => {
            let store = state.control.store();
            if let Some(holder) = &filter.holder {
                store.holder_exists(request.account, holder).await?;
            }
            store
                .phone_numbers(request.account, &filter, next_token(input), most)
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

/// `AssociatePhoneNumbersWithVoiceConnector` and `AssociatePhoneNumbersWithVoiceConnectorGroup`
pub(super) async fn associate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
    to: Holder,
) -> Result<ApiResponse, ApiError> {
    let numbers = numbers(input)?;
    let force = input.boolean("ForceAssociate");
    let errors = state
        .control
        .associate_numbers(request.account, to, &numbers, force)
        .await?;
    respond_errors(&errors)
}

/// `DisassociatePhoneNumbersFromVoiceConnector` and `DisassociatePhoneNumbersFromVoiceConnectorGroup`
pub(super) async fn disassociate(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
    from: Holder,
) -> Result<ApiResponse, ApiError> {
    let numbers = numbers(input)?;
    let errors = state
        .control
        .disassociate_numbers(request.account, from, &numbers)
        .await?;
    respond_errors(&errors)
}

fn numbers(input: &Input) -> Result<Vec<E164>, BadRequest> {
    let numbers = e164_list(input, "E164PhoneNumbers", NUMBERS)?;
    Ok(numbers.into_iter().map(|(_, number)| number).collect())
}

/// `None` where nothing that this service has can match.
fn filter(input: &Input) -> Result<Option<NumberFilter>, ApiError> {
    let product_type = input.text_if_any("ProductType").map(str::to_owned);
    let status = match input.text_if_any("Status") {
        None => None,
        Some(text) => match STATUSES.iter().find(|one| one.as_str() == text) {
            Some(status) => Some(*status),
            None => return Ok(None),
        },
    };
    let missing = |member: &str| BadRequest::Missing {
        member: member.to_owned(),
    };
    let association = input.text_if_any("FilterName");
    let value = input.text_if_any("FilterValue");
    let mut filter = NumberFilter {
        status,
        product_type,
        ..NumberFilter::default()
    };
    let (association, value) = match (association, value) {
        (None, None) => return Ok(Some(filter)),
        (None, Some(_)) => return Err(missing("FilterName").into()),
        (Some(_), None) => return Err(missing("FilterValue").into()),
        (Some(association), Some(value)) => (association, value),
    };
    match association {
        VOICE_CONNECTOR_ID => filter.holder = Some(connector_id(value)?.into()),
        VOICE_CONNECTOR_GROUP_ID => filter.holder = Some(group_id(value)?.into()),
        ACCOUNT_ID => filter.user_account = Some(value.to_owned()),
        USER_ID => filter.user_id = Some(value.to_owned()),
        // No number is a SIP rule's.
        _ => return Ok(None),
    }
    Ok(Some(filter))
}

/// A `PhoneNumberId` is the number with its `+` percent-encoded; clients send it encoded once more, or
/// send the number.
pub(super) fn number_of_id(id: &str) -> Result<E164, ApiError> {
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

pub(super) fn respond(
    record: &PhoneNumberRecord,
    pools: &[NumberPool],
) -> Result<ApiResponse, ApiError> {
    let output = Output {
        phone_number: phone_number(record, pools),
    };
    ApiResponse::json(&output)
}

fn respond_errors(errors: &[NumberError]) -> Result<ApiResponse, ApiError> {
    let errors = errors
        .iter()
        .map(|error| PhoneNumberError::of(error.number, &error.problem));
    respond_phone_number_errors(errors.collect())
}

pub(super) fn respond_phone_number_errors(
    phone_number_errors: Vec<PhoneNumberError>,
) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&ErrorsOutput {
        phone_number_errors,
    })
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
pub(super) struct PhoneNumberError {
    pub(super) phone_number_id: String,
    pub(super) error_code: &'static str,
    pub(super) error_message: String,
}

/// `Country` and `Type` are the pool's: `null` once the config has the pool no more.
fn phone_number<'a>(record: &'a PhoneNumberRecord, pools: &'a [NumberPool]) -> PhoneNumber<'a> {
    let pool = pool_of(pools, record.number);
    let associations = associated(record).into_iter();
    let associations = associations.map(|(name, value)| PhoneNumberAssociation {
        value,
        name,
        associated_timestamp: record.associated.map(iso8601),
    });
    PhoneNumber {
        phone_number_id: id_of_number(record.number),
        e164_phone_number: record.number.to_string(),
        phone_number_arn: None,
        country: pool.map(|pool| pool.country.as_str()),
        r#type: pool.map(number_type),
        product_type: &record.product_type,
        status: record.status().as_str(),
        capabilities: CAPABILITIES,
        associations: associations.collect(),
        calling_name: record.calling_name.as_deref(),
        calling_name_status: match record.calling_name {
            Some(_) => CALLING_NAME_SET,
            None => CALLING_NAME_UNSET,
        },
        created_timestamp: iso8601(record.created),
        updated_timestamp: iso8601(record.updated),
        deletion_timestamp: record.deleted.map(iso8601),
        order_id: &record.order,
        name: record.name.as_deref(),
    }
}

/// What the number is associated with, by the names of `PhoneNumberAssociationName`.
fn associated(record: &PhoneNumberRecord) -> Vec<(&'static str, String)> {
    match record.holder() {
        Some(Holder::VoiceConnector(id)) => vec![(VOICE_CONNECTOR_ID, id.to_string())],
        Some(Holder::VoiceConnectorGroup(id)) => vec![(VOICE_CONNECTOR_GROUP_ID, id.to_string())],
        Some(Holder::User(user)) => {
            let (account, id) = user.split_once('/').unwrap_or_default();
            vec![(ACCOUNT_ID, account.to_owned()), (USER_ID, id.to_owned())]
        }
        None => Vec::new(),
    }
}

impl PhoneNumberError {
    pub(super) fn of(number: E164, problem: &NumberProblem) -> Self {
        Self {
            phone_number_id: id_of_number(number),
            error_code: match problem {
                NumberProblem::NotInInventory => "NotFound",
                NumberProblem::AssociatedElsewhere | NumberProblem::Associated(_) => {
                    "PhoneNumberAssociationsExist"
                }
                NumberProblem::NotAssociated => "BadRequest",
                NumberProblem::OtherProductType
                | NumberProblem::InDeletionQueue
                | NumberProblem::NotInDeletionQueue
                | NumberProblem::DefaultOf(_)
                | NumberProblem::TriggerOf(_) => "PreconditionFailed",
            },
            error_message: said(problem),
        }
    }

    /// For an id that is not that of a number.
    pub(super) fn not_found(id: &str) -> Self {
        Self {
            phone_number_id: id.to_owned(),
            error_code: "NotFound",
            error_message: said(&NumberProblem::NotInInventory),
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
