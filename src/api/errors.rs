//! What the API answers when it does not do what was asked.
//!
//! The names and statuses are those of the service models' exceptions. No variant holds a value of a
//! request except ids and numbers that the message must name.

mod messages;

use std::fmt;

use axum::http::{Method, StatusCode};

pub(super) use self::messages::said;
use super::model::Range;
use super::workable::{BOTH_ENABLED, OVER_TCP};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::store::{NumberProblem, Resource, StoreError};

/// An exception of the service, or a refusal of the request's signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApiError {
    /// 400: the request is not what the operation takes.
    BadRequest(BadRequest),
    /// 404: what the request names is not there.
    NotFound(NotFound),
    /// 409: the resource's state does not allow it.
    Conflict(Conflict),
    /// 403: the access key may only read.
    Forbidden,
    /// 401: the caller is not known to this account.
    UnauthorizedClient,
    /// 400: there are as many as there may be.
    ResourceLimitExceeded {
        /// Of what, as it begins a sentence.
        what: &'static str,
        /// The most.
        most: usize,
    },
    /// 500: our fault; the cause is in the log.
    ServiceFailure,
    /// 503: to be tried again later.
    ServiceUnavailable,
    /// 429: the caller calls too often.
    ThrottledClient,
    /// 404: no operation has this method and path.
    UnknownOperation {
        /// The request's method.
        method: Method,
        /// The request's path, decoded.
        path: String,
    },
    /// 403: the request has no signature.
    MissingAuthenticationToken,
    /// 400: the signature lacks a part.
    IncompleteSignature,
    /// 403: no such access key.
    InvalidClientTokenId,
    /// 403: the signature is not the one that the access key's secret gives.
    SignatureDoesNotMatch,
    /// 403: the request was signed too long ago, or in the future.
    RequestExpired,
}

/// What is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadRequest {
    /// The body is not JSON.
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// The body is JSON, but no object.
    NotAnObject,
    /// A required member is not there.
    Missing {
        /// As in `Origination.Routes[0].Host`.
        member: String,
    },
    /// A member is not what the model says.
    Invalid {
        /// As in `Origination.Routes[0].Port`.
        member: String,
        /// What would have been right.
        expected: Expected,
    },
    /// An ordered number that no pool of the node holds.
    NumberInNoPool {
        /// As in `E164PhoneNumbers[0]`.
        member: String,
        /// The number.
        number: E164,
    },
    /// The connector would have more credentials than it may.
    TooManyCredentials {
        /// The most it may have.
        most: usize,
    },
    /// A `NextToken` that no answer gave.
    InvalidToken,
    /// A call that a SIP media application was to place.
    NoApplicationCalls,
    /// The connector's proxy makes no new sessions.
    ProxyDisabled,
    /// Termination or origination is to be turned off under an emergency calling configuration.
    EmergencyConfigured,
    /// A proxy session that is to be changed has ended.
    ProxySessionClosed,
    /// Every number that could stand for a participant stands for it already.
    NoProxyNumber {
        /// As in `ParticipantPhoneNumbers[0]`.
        member: String,
    },
    /// An update that is not of one property alone.
    OneProperty {
        /// The member that holds the properties, with a dot behind it; empty where the request itself does.
        within: String,
    },
    /// What was asked cannot be done with the number as it is.
    PhoneNumber {
        /// The number.
        number: E164,
        /// What stands in the way.
        problem: NumberProblem,
    },
    /// The account's default calling name was changed not long ago.
    CallingNameUpdated {
        /// When it may be changed again, in ISO 8601.
        again: String,
    },
    /// A text with a NUL, which the store does not keep.
    NulInText,
    /// A number for a user that is somebody's already.
    NumberTaken {
        /// The number.
        number: E164,
    },
    /// A meeting to call out of.
    UnknownMeeting,
}

/// What a member should have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// A JSON object.
    Object,
    /// A JSON array with so many elements.
    List {
        /// The fewest.
        fewest: usize,
        /// The most.
        most: usize,
    },
    /// A JSON string.
    String,
    /// A JSON boolean.
    Boolean,
    /// An integer of a range.
    Integer {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A JSON array.
    Array,
    /// A JSON array with so many elements.
    Elements(Range),
    /// An object with so many members.
    Entries(Range),
    /// A string of so many characters.
    Characters(Range),
    /// A whole number of a range.
    Whole(Range),
    /// A time.
    Time,
    /// One of an enum's values.
    OneOf(&'static [&'static str]),
    /// A string of a form, described as it completes "expected …".
    Form(&'static str),
}

/// What is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotFound {
    /// No connector of the account has this id; any text may be asked for.
    VoiceConnector(String),
    /// The connector has no such configuration.
    Configuration(&'static str),
    /// No number of the account has this id.
    PhoneNumber(String),
    /// No order of the account has the id.
    PhoneNumberOrder,
    /// The account has none of this kind with this id; any text may be asked for.
    Resource {
        /// As in `SipRule`.
        kind: &'static str,
        /// As asked for.
        id: String,
    },
    /// The proxy session was there a moment ago.
    ProxySession,
    /// The config does not have this user, `ACCOUNT/USER`.
    User(String),
    /// The SIP media application has no logging configuration.
    ApplicationLogging,
    /// No voice connector group of the account has this id; any text may be asked for.
    VoiceConnectorGroup(String),
}

/// What stands in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The connector to delete has numbers.
    NumbersAssociated(u64),
    /// The connector to delete has an emergency calling configuration.
    EmergencyConfiguration,
    /// A SIP rule targets the SIP media application to delete.
    TargetOfRule {
        /// The rule's id.
        rule: String,
    },
    /// A SIP rule has the trigger already.
    TriggerTaken {
        /// The rule's id.
        rule: String,
    },
    /// The SIP rule to delete is not disabled.
    RuleEnabled {
        /// The rule's id.
        rule: String,
    },
    /// A SIP rule is triggered by the host of the connector to delete.
    ConnectorInRule {
        /// The rule's id.
        rule: String,
    },
    /// The connector to delete is in a group.
    ConnectorInGroup {
        /// The group's id.
        id: String,
        /// The group's name.
        name: String,
    },
    /// The group to delete has numbers.
    GroupHasNumbers(u64),
    /// The group to delete has connectors.
    GroupHasConnectors(u64),
    /// The number cannot be changed as it is.
    PhoneNumber {
        /// The number.
        number: E164,
        /// What stands in the way.
        problem: NumberProblem,
    },
    /// A config file declares what the request would write.
    Declared {
        /// What it is.
        resource: Resource,
        /// The file.
        file: String,
    },
}

impl ApiError {
    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_)
            | Self::ResourceLimitExceeded { .. }
            | Self::IncompleteSignature => StatusCode::BAD_REQUEST,
            Self::UnauthorizedClient => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::MissingAuthenticationToken
            | Self::InvalidClientTokenId
            | Self::SignatureDoesNotMatch
            | Self::RequestExpired => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::UnknownOperation { .. } => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::ThrottledClient => StatusCode::TOO_MANY_REQUESTS,
            Self::ServiceFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The exception's name, by which the SDKs choose a class.
    pub fn exception(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "BadRequestException",
            Self::NotFound(_) => "NotFoundException",
            Self::Conflict(_) => "ConflictException",
            Self::Forbidden => "ForbiddenException",
            Self::UnauthorizedClient => "UnauthorizedClientException",
            Self::ResourceLimitExceeded { .. } => "ResourceLimitExceededException",
            Self::ServiceFailure => "ServiceFailureException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::ThrottledClient => "ThrottledClientException",
            Self::UnknownOperation { .. } => "UnknownOperationException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidClientTokenId => "InvalidClientTokenIdException",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatchException",
            Self::RequestExpired => "RequestExpiredException",
        }
    }

    /// `ErrorCode`, in the body.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "BadRequest",
            Self::NotFound(_) => "NotFound",
            Self::Conflict(_) => "Conflict",
            Self::Forbidden => "Forbidden",
            Self::UnauthorizedClient => "Unauthorized",
            Self::ResourceLimitExceeded { .. } => "ResourceLimitExceeded",
            Self::ServiceFailure => "ServiceFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::ThrottledClient => "Throttled",
            Self::UnknownOperation { .. } => "UnknownOperation",
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::IncompleteSignature => "IncompleteSignature",
            Self::InvalidClientTokenId => "InvalidClientTokenId",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::RequestExpired => "RequestExpired",
        }
    }

    /// What the caller reads.
    pub fn message(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRequest(problem) => return problem.fmt(f),
            Self::NotFound(missing) => return missing.fmt(f),
            Self::Conflict(conflict) => return conflict.fmt(f),
            Self::ResourceLimitExceeded { what, most } => {
                return write!(f, "{what}: there may be at most {most}");
            }
            Self::UnknownOperation { method, path } => {
                return write!(f, "No operation is {method} {path}");
            }
            Self::Forbidden => "The access key has the role read-only: it may call GET operations only",
            Self::UnauthorizedClient => "The caller is not authorized in this account",
            Self::ServiceFailure => "The service failed; its log says why",
            Self::ServiceUnavailable => "The service is unavailable; try again later",
            Self::ThrottledClient => "Too many requests; try again later",
            Self::MissingAuthenticationToken => {
                "The request is not signed: it has no AWS Signature Version 4 Authorization header"
            }
            Self::IncompleteSignature => {
                "The Authorization header or the headers it needs are incomplete or malformed"
            }
            Self::InvalidClientTokenId => {
                "No access key has this id: access keys are declared as [[api.access_key]] in the config"
            }
            Self::SignatureDoesNotMatch => {
                "The signature does not match: check the secret access key and the signing method"
            }
            Self::RequestExpired => {
                "The request's signature has expired or is not yet valid: check the clock"
            }
        })
    }
}

impl std::error::Error for ApiError {}

impl From<BadRequest> for ApiError {
    fn from(problem: BadRequest) -> Self {
        Self::BadRequest(problem)
    }
}

impl From<Conflict> for ApiError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<NotFound> for ApiError {
    fn from(missing: NotFound) -> Self {
        Self::NotFound(missing)
    }
}

impl From<StoreError> for ApiError {
    /// What is our fault is written to the log here, since the answer does not say it.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownVoiceConnector(id) => unknown_connector(id).into(),
            StoreError::NotConfigured(name) => NotFound::Configuration(name).into(),
            StoreError::UnknownNumber(number) => NotFound::PhoneNumber(number.to_string()).into(),
            StoreError::UnknownOrder => NotFound::PhoneNumberOrder.into(),
            StoreError::ConnectorInRule { rule } => {
                Self::Conflict(Conflict::ConnectorInRule { rule })
            }
            StoreError::Configured(_) => Self::Conflict(Conflict::EmergencyConfiguration),
            StoreError::DefaultPhoneNumber => BadRequest::Invalid {
                member: "Termination.DefaultPhoneNumber".to_owned(),
                expected: Expected::Form("a number of the VoiceConnector, or of a group that it is in; associate it first"),
            }
            .into(),
            StoreError::NumbersAssociated(count) => {
                Self::Conflict(Conflict::NumbersAssociated(count))
            }
            StoreError::ConnectorInGroup { id, name } => {
                Conflict::ConnectorInGroup { id, name }.into()
            }
            StoreError::UnknownGroup(id) => NotFound::VoiceConnectorGroup(id.to_string()).into(),
            StoreError::UdpWithEncryption { route } => BadRequest::Invalid {
                member: format!("Origination.Routes[{route}].Protocol"),
                expected: Expected::Form(OVER_TCP),
            }
            .into(),
            StoreError::EmergencyConfigured => BadRequest::EmergencyConfigured.into(),
            StoreError::NotEnabled => BadRequest::Invalid {
                member: "EmergencyCallingConfiguration".to_owned(),
                expected: Expected::Form(BOTH_ENABLED),
            }
            .into(),
            StoreError::UnknownSession => NotFound::ProxySession.into(),
            StoreError::Contended => Self::ServiceUnavailable,
            StoreError::GroupHasNumbers(count) => Conflict::GroupHasNumbers(count).into(),
            StoreError::GroupHasConnectors(count) => Conflict::GroupHasConnectors(count).into(),
            StoreError::TooMany { what, most } => Self::ResourceLimitExceeded { what, most },
            StoreError::TooManyCredentials { most } => {
                BadRequest::TooManyCredentials { most }.into()
            }
            StoreError::InvalidToken => BadRequest::InvalidToken.into(),
            StoreError::NulInText => BadRequest::NulInText.into(),
            StoreError::Database(error) => {
                tracing::error!(%error, "the database failed");
                Self::ServiceFailure
            }
            StoreError::Corrupt(row) => {
                tracing::error!(row, "the database holds what this program did not write");
                Self::ServiceFailure
            }
        }
    }
}

fn unknown_connector(id: VoiceConnectorId) -> NotFound {
    NotFound::VoiceConnector(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_member_is_named_with_what_was_expected() {
        let error = ApiError::from(BadRequest::Invalid {
            member: "Origination.Routes[1].Port".into(),
            expected: Expected::Integer {
                least: 0,
                most: 65_535,
            },
        });
        assert_eq!(
            error.message(),
            "Origination.Routes[1].Port: expected an integer from 0 to 65535"
        );
        assert_eq!(error.exception(), "BadRequestException");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn deleting_a_connector_with_numbers_says_how_many_and_what_to_do() {
        let one = ApiError::from(StoreError::NumbersAssociated(1));
        let three = ApiError::from(StoreError::NumbersAssociated(3));
        assert_eq!(one.status(), StatusCode::CONFLICT);
        assert!(one.message().contains("1 associated phone number;"));
        assert!(three.message().contains("3 associated phone numbers;"));
        assert!(
            three
                .message()
                .contains("DisassociatePhoneNumbersFromVoiceConnector")
        );
    }

    #[test]
    fn our_faults_do_not_reach_the_caller() {
        let error = ApiError::from(StoreError::Database(sqlx::Error::PoolTimedOut));
        assert_eq!(error, ApiError::ServiceFailure);
        assert!(!error.message().contains("pool"));
    }
}
