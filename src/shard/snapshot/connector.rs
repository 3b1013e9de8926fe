//! Voice connectors as calls see them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::address_of;
use crate::config::{Target, TerminationPolicy};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::{Country, E164};
use crate::sip::digest::{self, Algorithm};

/// A voice connector as calls see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoiceConnector {
    /// The id.
    pub id: VoiceConnectorId,
    /// `{id}.{sip.domain}`, lower case; also the realm of its digest challenges.
    pub outbound_host_name: Arc<str>,
    /// TLS and SRTP on the customer's side.
    pub require_encryption: bool,
    /// Calls from the customer's hosts to the PSTN; `None` where it was never put.
    pub termination: Option<Termination>,
    /// Calls from the PSTN to the customer's hosts; `None` where it was never put.
    pub origination: Option<Origination>,
    /// Digest credentials for termination; empty for none needed.
    pub credentials: Vec<Credential>,
    /// Number masking; `None` where it was never put.
    pub proxy: Option<ProxyPolicy>,
    /// What the config says of its customer's calls.
    pub policy: Arc<TerminationPolicy>,
    /// `DNIS` of its emergency calling configuration; empty where it was never put.
    pub emergency: Vec<EmergencyNumber>,
}

impl VoiceConnector {
    /// A connector as it is created, without configurations.
    pub fn new(id: VoiceConnectorId, outbound_host_name: &str) -> Self {
        Self {
            id,
            outbound_host_name: outbound_host_name.to_ascii_lowercase().into(),
            require_encryption: false,
            termination: None,
            origination: None,
            credentials: Vec::new(),
            proxy: None,
            policy: Arc::default(),
            emergency: Vec::new(),
        }
    }

    pub(super) fn allowed_networks(&self) -> &[IpNetwork] {
        let termination = self.termination.as_ref();
        termination.map_or(&[], |termination| &termination.cidr_allowed_list)
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &OriginationRoute> {
        let origination = self.origination.iter();
        origination.flat_map(|origination| &origination.routes)
    }

    /// Where calls go, unless there are none.
    pub(super) fn targets_in_use(&self) -> impl Iterator<Item = &Target> {
        let origination = self.origination.iter();
        let enabled = origination.filter(|origination| !origination.disabled);
        let routes = enabled.flat_map(|origination| &origination.routes);
        routes.map(|route| &route.target)
    }

    pub(super) fn route_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.routes().filter_map(|route| address_of(&route.target))
    }
}

/// `PutVoiceConnectorTermination`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Termination {
    /// No outbound calls.
    pub disabled: bool,
    /// The customer's hosts.
    pub cidr_allowed_list: Vec<IpNetwork>,
    /// Countries that may be called.
    pub calling_regions: Vec<Country>,
    /// New calls a second, at least 1.
    pub cps_limit: u32,
    /// Caller ID that replaces an invalid one.
    pub default_phone_number: Option<E164>,
}

/// `PutVoiceConnectorOrigination`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origination {
    /// No inbound calls.
    pub disabled: bool,
    /// The customer's hosts.
    pub routes: Vec<OriginationRoute>,
}

/// One of a connector's origination routes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginationRoute {
    /// Where to send.
    pub target: Target,
    /// 1 is tried first.
    pub priority: u8,
    /// Share within a priority.
    pub weight: u8,
}

/// `PutVoiceConnectorProxy`, as far as calls go by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyPolicy {
    /// No new sessions; those that there are go on.
    pub disabled: bool,
    /// `FallBackPhoneNumber`: where calls to a proxy number go that belong to no open session.
    pub fallback: Option<E164>,
}

/// `DNISEmergencyCallingConfiguration`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmergencyNumber {
    /// `EmergencyPhoneNumber`: where an emergency call goes.
    pub number: E164,
    /// `TestPhoneNumber`: where a test call goes.
    pub test: Option<E164>,
}

/// A digest credential as it is kept: never the password, only `H(username:realm:password)`
/// (RFC 7616 §3.4.2) for both algorithms, as lower-case hex.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user name.
    pub username: String,
    /// `MD5(username:realm:password)`, 32 characters.
    pub ha1_md5: String,
    /// `SHA-256(username:realm:password)`, 64 characters.
    pub ha1_sha256: String,
}

impl Credential {
    /// Of a user and a password; the realm is the outbound host name of the connector.
    pub fn hashed(username: &str, realm: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            ha1_md5: digest::ha1(Algorithm::Md5, username, realm, password),
            ha1_sha256: digest::ha1(Algorithm::Sha256, username, realm, password),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
