//! Why a request is not served, and the response that says so.

use std::borrow::Cow;

use crate::sdp::SdpError;

/// Declares the policy's refusals: each with its status, its reason phrase and its name in counters.
macro_rules! causes {
    ($( $(#[$doc:meta])* $cause:ident = $status:literal $reason:literal $name:literal, )*) => {
        /// Why policy refuses an INVITE outside a dialog. Each is counted by itself.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Cause { $( $(#[$doc])* $cause, )* }

        impl Cause {
            /// All of them, in the order of their counters.
            pub const ALL: [Self; [$( $status ),*].len()] = [$( Self::$cause ),*];

            /// The SIP status that it is answered with.
            pub const fn status(self) -> u16 {
                match self { $( Self::$cause => $status, )* }
            }

            /// The reason phrase that it is answered with; each has its own.
            pub const fn reason(self) -> &'static str {
                match self { $( Self::$cause => $reason, )* }
            }

            /// Its name in counters.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$cause => $name, )* }
            }
        }
    };
}

causes! {
    /// The host is no connector's, and the source is nobody's.
    NoVoiceConnector = 404 "No Voice Connector At This Host" "no_voice_connector",
    /// Termination was never put.
    NoTermination = 404 "Voice Connector Has No Termination" "no_termination",
    /// `Disabled`
    TerminationDisabled = 403 "Termination Disabled" "termination_disabled",
    /// `RequireEncryption`, and the request did not come over TLS.
    EncryptionRequired = 403 "Encryption Required" "encryption_required",
    /// `RequireEncryption`, and no key for SRTP was offered (RFC 4568).
    SdesRequired = 488 "Encryption Required: No SDES Offer" "sdes_required",
    /// SDP that cannot be read.
    DescriptionMalformed = 400 "Malformed SDP" "description_malformed",
    /// SDP that is too long, or with a port that is none.
    DescriptionUnusable = 488 "Session Description Cannot Be Used" "description_unusable",
    /// Neither audio over RTP nor fax over UDPTL is offered.
    NoAudio = 488 "No Audio Stream That Can Be Relayed" "no_audio",
    /// Nothing but SRTP is offered to a leg without (`srtp = "off"`).
    EncryptedMediaNotTaken = 488 "Encrypted Media Not Taken" "encrypted_media_not_taken",
    /// Keys are offered, and none can be used.
    NoUsableCrypto = 488 "No Usable Crypto Attribute" "no_usable_crypto",
    /// The lists of codecs leave nothing to speak with.
    NoCommonCodec = 488 "No Common Codec" "no_common_codec",
    /// Not in `CidrAllowedList`.
    SourceNotAllowed = 403 "Source Address Not Allowed" "source_not_allowed",
    /// Credentials that cannot be read.
    CredentialsMalformed = 400 "Malformed Credentials" "credentials_malformed",
    /// Who calls has to say who it is.
    CredentialsWanted = 407 "Proxy Authentication Required" "credentials_wanted",
    /// An unknown user, or a wrong password.
    CredentialsWrong = 403 "Wrong Credentials" "credentials_wrong",
    /// Too many wrong answers in a row from this source; refused for a while, whatever it answers.
    CredentialsGuessed = 403 "Too Many Wrong Credentials" "credentials_guessed",
    /// An answer to a challenge that names another user part than the request's.
    CredentialsElsewhere = 403 "Credentials Are For Another Request" "credentials_elsewhere",
    /// `CpsLimit`
    CpsLimit = 503 "Calls Per Second Limit Reached" "cps_limit",
    /// `concurrent_calls`
    ConcurrentCallLimit = 503 "Concurrent Call Limit Reached" "concurrent_call_limit",
    /// The user part follows no grammar (RFC 3966).
    DestinationMalformed = 400 "Malformed Telephone Number" "destination_malformed",
    /// Not an E.164 number by the connector's rules.
    DestinationNotE164 = 484 "Destination Is Not An E.164 Number" "destination_not_e164",
    /// Of a country that `CallingRegions` does not have, or of none.
    CountryNotAllowed = 403 "Destination Country Not Allowed" "country_not_allowed",
    /// `premium_rate`
    PremiumRate = 403 "Premium Rate Destination Not Allowed" "premium_rate",
    /// `satellite`
    Satellite = 403 "Satellite Destination Not Allowed" "satellite",
    /// `allow_prefixes`, `deny_prefixes`
    PrefixNotAllowed = 403 "Destination Prefix Not Allowed" "prefix_not_allowed",
    /// `calls_per_hour`
    CallsPerHour = 403 "Calls Per Hour Limit Reached" "calls_per_hour",
    /// `calls_per_hour_to_country`
    CallsPerHourToCountry = 403 "Calls Per Hour To This Country Limit Reached" "calls_per_hour_to_country",
    /// Two values of an identity header field name different numbers.
    IdentitiesDisagree = 400 "Asserted Identities Disagree" "identities_disagree",
    /// No number of the connector, and no `DefaultPhoneNumber`. The phrase has the number where there is one.
    CallerIdNotValid = 403 "Caller Id is not valid" "caller_id_not_valid",
    /// No route of a carrier leads there.
    NoCarrier = 503 "No Carrier For This Destination" "no_carrier",
    /// No carrier takes emergency calls.
    NoEmergencyCarrier = 503 "No Carrier For Emergency Calls" "no_emergency_carrier",
    /// `sips:`, and no route over TLS (RFC 5630 §4.1.3).
    NoRouteOverTls = 480 "SIPS Not Allowed: No Route Over TLS" "no_route_over_tls",
    /// Not an E.164 number by the carrier's rules.
    DialledNotE164 = 484 "Dialled Number Is Not An E.164 Number" "dialled_not_e164",
    /// A number of nobody.
    NumberNotInService = 404 "Number Not In Service" "number_not_in_service",
    /// A number of a group without connectors that take calls.
    GroupHasNoOrigination = 404 "Voice Connector Group Has No Origination" "group_has_no_origination",
    /// Origination was never put.
    NoOrigination = 404 "Voice Connector Has No Origination" "no_origination",
    /// `Disabled`
    OriginationDisabled = 403 "Origination Disabled" "origination_disabled",
    /// `Routes` is empty.
    NoOriginationRoute = 404 "Voice Connector Has No Origination Route" "no_origination_route",
    /// No name of a route has an address.
    NoOriginationAddress = 503 "No Origination Route Resolves To An Address" "no_origination_address",
    /// The number stands for somebody else's partner, or the session is over, and there is no `FallBackPhoneNumber`.
    NoProxySession = 404 "No Proxy Session For This Caller" "no_proxy_session",
    /// The session lacks the capability.
    ProxyWithoutVoice = 403 "Proxy Session Without Voice" "proxy_without_voice",
    /// The session lacks the capability.
    ProxyWithoutSms = 403 "Proxy Session Without SMS" "proxy_without_sms",
}

/// How often policy has refused, for each cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusalCounts([u64; Cause::ALL.len()]);

impl Default for RefusalCounts {
    fn default() -> Self {
        Self([0; Cause::ALL.len()])
    }
}

impl RefusalCounts {
    /// One more.
    pub fn add(&mut self, cause: Cause) {
        if let Some(count) = self.0.get_mut(cause as usize) {
            *count += 1;
        }
    }

    /// How often for this cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.0.get(cause as usize).copied().unwrap_or(0)
    }

    /// All counts, in the order of [`Cause::ALL`].
    pub fn all(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

/// What a response may warn of (RFC 3261 §20.43).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warning {
    /// 302: RTP where SRTP is wanted, or the other way round.
    IncompatibleTransportProtocol,
    /// 304: nothing that could be relayed.
    MediaTypeNotAvailable,
    /// 305: none of the formats of a medium will do.
    IncompatibleMediaFormat,
    /// 399: SDP that cannot be read, or is more than is read.
    Description(SdpError),
    /// 399: TLS is required.
    TlsRequired,
    /// 399: SRTP is required, and no key was offered.
    EncryptionRequired,
    /// 399: no `a=crypto` can be read.
    CryptoMalformed,
    /// 399: no crypto suite will do.
    CryptoSuiteUnknown,
    /// 399: no `a=crypto` is without a parameter that is not served.
    CryptoParameterUnsupported,
}

impl Warning {
    /// Its code, and its text.
    pub fn code_and_text(self) -> (&'static str, Cow<'static, str>) {
        let (code, text) = match self {
            Self::IncompatibleTransportProtocol => ("302", "Incompatible transport protocol"),
            Self::MediaTypeNotAvailable => (
                "304",
                "No audio over RTP/AVP, over RTP/SAVP with SDES keys, or fax over UDPTL",
            ),
            Self::IncompatibleMediaFormat => ("305", "Incompatible media format"),
            Self::Description(error) => return ("399", error.to_string().into()),
            Self::TlsRequired => ("399", "Encryption is required: call over TLS"),
            Self::EncryptionRequired => ("399", "SRTP is required: offer SDES keys"),
            Self::CryptoMalformed => ("399", "No crypto attribute can be read"),
            Self::CryptoSuiteUnknown => ("399", "No crypto suite in common"),
            Self::CryptoParameterUnsupported => ("399", "Crypto session parameter not supported"),
        };
        (code, text.into())
    }
}

/// Why a request is not served, as the response that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// SIP status code.
    pub status: u16,
    /// Reason phrase; each cause has its own.
    pub reason: String,
    /// Where policy refuses: what is counted.
    pub cause: Option<Cause>,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
    /// Reason values (RFC 3326).
    pub reasons: Vec<Box<str>>,
    /// What the caller is warned of (RFC 3261 §20.43).
    pub warning: Option<Warning>,
    /// Min-SE, in seconds (RFC 4028 §5).
    pub min_se: Option<u32>,
    /// Proxy-Authenticate values; WWW-Authenticate in a 401.
    pub challenges: Vec<String>,
    /// The decision depends on the moment, and the peer is known: a retransmission must get this answer
    /// again instead of a decision of its own. Other refusals keep nothing, so that strangers cannot
    /// fill a table.
    pub is_remembered: bool,
}

impl Refusal {
    /// A refusal without further headers.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            cause: None,
            retry_after: None,
            reasons: Vec::new(),
            warning: None,
            min_se: None,
            challenges: Vec::new(),
            is_remembered: false,
        }
    }

    /// The same, to be given to every retransmission.
    pub fn remembered(self) -> Self {
        Self {
            is_remembered: true,
            ..self
        }
    }

    /// 503 for now, with the seconds after which another try is welcome.
    pub fn unavailable(reason: &str, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(503, reason)
        }
    }

    /// The same refusal, for so many seconds.
    pub fn for_seconds(self, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..self
        }
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self {
            cause: Some(cause),
            warning: (cause == Cause::EncryptionRequired).then_some(Warning::TlsRequired),
            ..Self::new(cause.status(), cause.reason())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_warning_about_a_description_says_where() {
        let warning = Warning::Description(SdpError::Port { line: 6 });
        let said = ("399", "SDP line 6: port is not 0 to 65535".into());
        assert_eq!(warning.code_and_text(), said);
    }

    #[test]
    fn every_cause_has_a_phrase_and_a_name_of_its_own() {
        let phrases: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.reason()).collect();
        let names: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(phrases.len(), Cause::ALL.len());
        assert_eq!(names.len(), Cause::ALL.len());
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
            assert!((400..700).contains(&cause.status()), "{cause:?}");
        }
    }
}
