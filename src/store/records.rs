//! What the store keeps, as the API and the publisher see it.

use std::fmt;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connector_id::VoiceConnectorId;
use crate::numbering::{E164, Masked};

/// A voice connector without its configurations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoiceConnectorRecord {
    /// The id.
    pub id: VoiceConnectorId,
    /// The AWS account that owns it.
    pub account: String,
    /// `Name`, 1 to 256 characters.
    pub name: String,
    /// `AwsRegion`, as asked for.
    pub aws_region: String,
    /// `{id}.{sip.domain}` at its creation; the realm of its credentials.
    pub outbound_host_name: String,
    /// TLS and SRTP on the customer's side.
    pub require_encryption: bool,
    /// `NetworkType`.
    pub network_type: String,
    /// `IntegrationType`, where one was given.
    pub integration_type: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// What a voice connector is created from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewVoiceConnector {
    /// The AWS account that will own it.
    pub account: String,
    /// `Name`
    pub name: String,
    /// `AwsRegion`
    pub aws_region: String,
    /// `RequireEncryption`
    pub require_encryption: bool,
    /// `NetworkType`
    pub network_type: String,
    /// `IntegrationType`
    pub integration_type: Option<String>,
}

/// `Termination`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TerminationRecord {
    /// `CpsLimit`, at least 1.
    pub cps_limit: u32,
    /// `DefaultPhoneNumber`, in `+` form.
    pub default_phone_number: Option<String>,
    /// `CallingRegions`, ISO 3166-1 alpha-2.
    pub calling_regions: Vec<String>,
    /// `CidrAllowedList`
    pub cidr_allowed_list: Vec<IpNetwork>,
    /// `Disabled`
    pub disabled: bool,
}

/// `Origination`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OriginationRecord {
    /// `Routes`
    pub routes: Vec<RouteRecord>,
    /// `Disabled`
    pub disabled: bool,
}

/// `OriginationRoute`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteRecord {
    /// `Host`: FQDN or IP address.
    pub host: String,
    /// `Port`
    pub port: u16,
    /// `Protocol`
    pub protocol: RouteProtocol,
    /// `Priority`, 1 to 100.
    pub priority: u8,
    /// `Weight`, 1 to 100.
    pub weight: u8,
}

/// `OriginationRouteProtocol`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RouteProtocol {
    /// TCP; TLS where the connector requires encryption.
    Tcp,
    /// UDP
    Udp,
}

/// `Proxy`, as its document has it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProxyRecord {
    /// `Disabled`
    pub disabled: Option<bool>,
    /// `FallBackPhoneNumber`, with or without `+`.
    pub fall_back_phone_number: Option<String>,
    /// `DefaultSessionExpiryMinutes`; 0 for sessions without an end.
    pub default_session_expiry_minutes: Option<i64>,
    /// `PhoneNumberCountries`, ISO 3166-1 alpha-2.
    pub phone_number_countries: Option<Vec<String>>,
}

/// `EmergencyCallingConfiguration`, as its document has it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct EmergencyRecord {
    /// `DNIS`
    #[serde(rename = "DNIS")]
    pub dnis: Option<Vec<DnisRecord>>,
}

/// `DNISEmergencyCallingConfiguration`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DnisRecord {
    /// `EmergencyPhoneNumber`, with or without `+`.
    pub emergency_phone_number: String,
    /// `TestPhoneNumber`, with or without `+`.
    pub test_phone_number: Option<String>,
    /// `CallingCountry`
    pub calling_country: String,
}

/// The last OPTIONS that came from a customer's host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthRecord {
    /// Where from.
    pub source: std::net::IpAddr,
    /// When.
    pub at: Timestamp,
}

/// A number of an account's inventory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PhoneNumberRecord {
    /// The number.
    pub number: E164,
    /// The AWS account that ordered it.
    pub account: String,
    /// `ProductType`, as ordered.
    pub product_type: String,
    /// The voice connector it is associated with.
    pub voice_connector: Option<VoiceConnectorId>,
    /// The voice connector group it is associated with; never beside a connector.
    pub voice_connector_group: Option<Uuid>,
    /// The user it is associated with, as `ACCOUNT/USER`; never beside one of the others.
    pub user: Option<String>,
    /// When it was associated.
    pub associated: Option<Timestamp>,
    /// `Name`, where it has one.
    pub name: Option<String>,
    /// `CallingName`, where it has one of its own.
    pub calling_name: Option<String>,
    /// When it was put into the deletion queue, where it is there; it is associated with nothing then.
    pub deleted: Option<Timestamp>,
    /// The order it came with.
    pub order: String,
    /// When it was ordered.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl PhoneNumberRecord {
    /// What it is associated with.
    pub fn holder(&self) -> Option<Holder> {
        let connector = self.voice_connector.map(Holder::VoiceConnector);
        let group = self.voice_connector_group.map(Holder::VoiceConnectorGroup);
        let user = || self.user.clone().map(Holder::User);
        connector.or(group).or_else(user)
    }

    /// Where it is in its life.
    pub fn status(&self) -> NumberStatus {
        match (self.deleted, self.holder()) {
            (Some(_), _) => NumberStatus::InDeletionQueue,
            (None, Some(_)) => NumberStatus::Assigned,
            (None, None) => NumberStatus::Unassigned,
        }
    }
}

/// What a number is associated with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A voice connector.
    VoiceConnector(VoiceConnectorId),
    /// A voice connector group.
    VoiceConnectorGroup(Uuid),
    /// A user, as `ACCOUNT/USER`, who has no other number.
    User(String),
}

impl From<VoiceConnectorId> for Holder {
    fn from(id: VoiceConnectorId) -> Self {
        Self::VoiceConnector(id)
    }
}

impl From<Uuid> for Holder {
    fn from(group: Uuid) -> Self {
        Self::VoiceConnectorGroup(group)
    }
}

/// Where a number of an account's inventory is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberStatus {
    /// Associated with nothing.
    Unassigned,
    /// Associated.
    Assigned,
    /// Deleted, and to be had back for a while.
    InDeletionQueue,
}

impl NumberStatus {
    /// `PhoneNumberStatus`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "Unassigned",
            Self::Assigned => "Assigned",
            Self::InDeletionQueue => "DeleteInProgress",
        }
    }
}

/// `PhoneNumberOrder`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRecord {
    /// `PhoneNumberOrderId`, a UUID.
    pub id: String,
    /// The AWS account that ordered.
    pub account: String,
    /// `ProductType`
    pub product_type: String,
    /// The numbers, and whether each was acquired.
    pub numbers: Vec<OrderedNumber>,
    /// When it was placed.
    pub created: Timestamp,
}

/// A number of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderedNumber {
    /// In `+` form.
    pub number: String,
    /// Whether it went into the account's inventory; not where somebody has it already.
    pub acquired: bool,
}

/// Which numbers a list has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberFilter {
    /// Associated with this.
    pub holder: Option<Holder>,
    /// Associated with a user of this account.
    pub user_account: Option<String>,
    /// Associated with a user of this id, in whichever account.
    pub user_id: Option<String>,
    /// Of this status.
    pub status: Option<NumberStatus>,
    /// Of this product type.
    pub product_type: Option<String>,
}

/// What could not be done with a number; it was done with the others of the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberError {
    /// The number.
    pub number: E164,
    /// What is wrong with it.
    pub problem: NumberProblem,
}

/// See [`NumberError`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NumberProblem {
    /// Not in the account's inventory.
    NotInInventory,
    /// Associated with another connector or group, and `ForceAssociate` was not set.
    AssociatedElsewhere,
    /// Not associated with this connector or group.
    NotAssociated,
    /// Associated with this, and only to be done with a number that is not associated.
    Associated(Holder),
    /// Of another product type than `VoiceConnector`.
    OtherProductType,
    /// In the deletion queue.
    InDeletionQueue,
    /// Not in the deletion queue.
    NotInDeletionQueue,
    /// The `DefaultPhoneNumber` of this connector's termination.
    DefaultOf(VoiceConnectorId),
    /// The trigger of this SIP rule.
    TriggerOf(String),
}

/// What a config file may declare.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Resource {
    /// A voice connector, with its configurations, credentials and tags.
    VoiceConnector(VoiceConnectorId),
    /// A voice connector group.
    VoiceConnectorGroup(Uuid),
    /// A phone number, with what it is associated with.
    PhoneNumber(E164),
    /// A SIP media application, by its id.
    SipMediaApplication(String),
    /// A SIP rule, by its id.
    SipRule(String),
}

impl Resource {
    /// For the log: a phone number is not written out.
    pub fn masked(&self) -> String {
        match self {
            Self::PhoneNumber(number) => format!("PhoneNumber {}", Masked(*number)),
            Self::VoiceConnector(_)
            | Self::VoiceConnectorGroup(_)
            | Self::SipMediaApplication(_)
            | Self::SipRule(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VoiceConnector(id) => write!(f, "VoiceConnector {id}"),
            Self::VoiceConnectorGroup(id) => write!(f, "VoiceConnectorGroup {id}"),
            Self::PhoneNumber(number) => write!(f, "PhoneNumber {number}"),
            Self::SipMediaApplication(id) => write!(f, "SipMediaApplication {id}"),
            Self::SipRule(id) => write!(f, "SipRule {id}"),
        }
    }
}

/// A part of a list, and where the next part begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Opaque; `None` at the end. Stable when rows are added.
    pub next: Option<String>,
}

/// Why the store did not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// No such connector in this account. 404.
    UnknownVoiceConnector(VoiceConnectorId),
    /// The connector's configuration of this name was never put. 404.
    NotConfigured(&'static str),
    /// No such number in this account. 404.
    UnknownNumber(E164),
    /// No such order in this account. 404.
    UnknownOrder,
    /// The connector still has this many numbers. 409.
    NumbersAssociated(u64),
    /// The connector is in this group. 409.
    ConnectorInGroup {
        /// The group's id.
        id: String,
        /// The group's name.
        name: String,
    },
    /// A SIP rule is triggered by the connector's host. 409.
    ConnectorInRule {
        /// The rule's id.
        rule: String,
    },
    /// The connector still has a configuration of this kind. 409.
    Configured(&'static str),
    /// The `DefaultPhoneNumber` of a termination is neither the connector's nor that of a group that it is in. 400.
    DefaultPhoneNumber,
    /// No such voice connector group in this account. 404.
    UnknownGroup(Uuid),
    /// The connector requires encryption, and this route of its origination is over UDP. 400.
    UdpWithEncryption {
        /// Counted from 0.
        route: usize,
    },
    /// Emergency calling is configured, and needs what was to be taken away. 400.
    EmergencyConfigured,
    /// Emergency calling needs termination and origination, which are not there or disabled. 400.
    NotEnabled,
    /// No such proxy session in this account. 404.
    UnknownSession,
    /// Others changed the resource again and again in this moment. 503.
    Contended,
    /// The group still has this many numbers. 409.
    GroupHasNumbers(u64),
    /// The group still has this many connectors. 409.
    GroupHasConnectors(u64),
    /// The account has as many as it may have. 400.
    TooMany {
        /// Of what, as it begins a sentence.
        what: &'static str,
        /// The most it may have.
        most: usize,
    },
    /// More credentials than one connector may have. 400.
    TooManyCredentials {
        /// The most it may have.
        most: usize,
    },
    /// A next-token that this store did not give out. 400.
    InvalidToken,
    /// A text with a NUL, which PostgreSQL does not keep. 400.
    NulInText,
    /// The database failed. 500.
    Database(sqlx::Error),
    /// A row holds what this program did not write. 500.
    Corrupt(&'static str),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// `character_not_in_repertoire`: our texts are UTF-8, so nothing but a NUL can be meant.
        const NUL: &str = "22021";
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() == Some(NUL) {
            true => Self::NulInText,
            false => Self::Database(error),
        }
    }
}
