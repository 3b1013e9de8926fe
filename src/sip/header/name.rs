//! The names of header fields.

use std::fmt;

macro_rules! header_names {
    ($($variant:ident $canonical:literal $rfc:literal),+ $(,)?) => {
        /// A header field's name, whatever its case and form on the wire.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = $rfc] $variant,)+
            /// Every other name; the message keeps it as it was written.
            Other,
        }

        impl HeaderName {
            const KNOWN: &[HeaderName] = &[$(Self::$variant),+];

            /// The name as we write it; empty for [`HeaderName::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $canonical,)+
                    Self::Other => "",
                }
            }

            pub(in crate::sip) const fn missing(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("Missing ", $canonical),)+
                    Self::Other => "Missing Header Field",
                }
            }

            pub(in crate::sip) const fn repeated(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("Repeated ", $canonical),)+
                    Self::Other => "Repeated Header Field",
                }
            }

            pub(in crate::sip) const fn malformed(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("Malformed ", $canonical),)+
                    Self::Other => "Malformed Header Field",
                }
            }
        }
    };
}

header_names! {
    Via "Via" "RFC 3261 §20.42",
    From "From" "RFC 3261 §20.20",
    To "To" "RFC 3261 §20.39",
    CallId "Call-ID" "RFC 3261 §20.8",
    CSeq "CSeq" "RFC 3261 §20.16",
    Contact "Contact" "RFC 3261 §20.10",
    MaxForwards "Max-Forwards" "RFC 3261 §20.22",
    ContentLength "Content-Length" "RFC 3261 §20.14",
    ContentType "Content-Type" "RFC 3261 §20.15",
    ContentDisposition "Content-Disposition" "RFC 3261 §20.11",
    ContentEncoding "Content-Encoding" "RFC 3261 §20.12",
    ContentLanguage "Content-Language" "RFC 3261 §20.13",
    RecordRoute "Record-Route" "RFC 3261 §20.30",
    Route "Route" "RFC 3261 §20.34",
    Require "Require" "RFC 3261 §20.32",
    ProxyRequire "Proxy-Require" "RFC 3261 §20.29",
    Supported "Supported" "RFC 3261 §20.37",
    Unsupported "Unsupported" "RFC 3261 §20.40",
    Allow "Allow" "RFC 3261 §20.5",
    AllowEvents "Allow-Events" "RFC 6665 §8.2.2",
    Accept "Accept" "RFC 3261 §20.1",
    AcceptEncoding "Accept-Encoding" "RFC 3261 §20.2",
    AcceptLanguage "Accept-Language" "RFC 3261 §20.3",
    AcceptContact "Accept-Contact" "RFC 3841 §9.2",
    RejectContact "Reject-Contact" "RFC 3841 §9.2",
    RequestDisposition "Request-Disposition" "RFC 3841 §9.1",
    Authorization "Authorization" "RFC 3261 §20.7",
    ProxyAuthorization "Proxy-Authorization" "RFC 3261 §20.28",
    ProxyAuthenticate "Proxy-Authenticate" "RFC 3261 §20.27",
    WwwAuthenticate "WWW-Authenticate" "RFC 3261 §20.44",
    AuthenticationInfo "Authentication-Info" "RFC 3261 §20.6",
    Expires "Expires" "RFC 3261 §20.19",
    MinExpires "Min-Expires" "RFC 3261 §20.23",
    RetryAfter "Retry-After" "RFC 3261 §20.33",
    Warning "Warning" "RFC 3261 §20.43",
    Reason "Reason" "RFC 3326",
    UserAgent "User-Agent" "RFC 3261 §20.41",
    Server "Server" "RFC 3261 §20.35",
    PAssertedIdentity "P-Asserted-Identity" "RFC 3325 §9.1",
    PPreferredIdentity "P-Preferred-Identity" "RFC 3325 §9.2",
    PChargingVector "P-Charging-Vector" "RFC 7315 §4.6",
    PAccessNetworkInfo "P-Access-Network-Info" "RFC 7315 §4.4",
    PEarlyMedia "P-Early-Media" "RFC 5009",
    Privacy "Privacy" "RFC 3323 §4.2",
    Diversion "Diversion" "RFC 5806",
    HistoryInfo "History-Info" "RFC 7044",
    UserToUser "User-to-User" "RFC 7433",
    SessionExpires "Session-Expires" "RFC 4028 §4",
    MinSe "Min-SE" "RFC 4028 §5",
    RSeq "RSeq" "RFC 3262 §7.1",
    RAck "RAck" "RFC 3262 §7.2",
    Date "Date" "RFC 3261 §20.17",
    Timestamp "Timestamp" "RFC 3261 §20.38",
    Subject "Subject" "RFC 3261 §20.36",
    Organization "Organization" "RFC 3261 §20.25",
    Priority "Priority" "RFC 3261 §20.26",
    RemotePartyId "Remote-Party-ID" "draft-ietf-sip-privacy-04",
    Geolocation "Geolocation" "RFC 6442 §4.1",
    GeolocationRouting "Geolocation-Routing" "RFC 6442 §4.2",
    GeolocationError "Geolocation-Error" "RFC 6442 §4.3",
    Event "Event" "RFC 6665 §8.2.1",
    SubscriptionState "Subscription-State" "RFC 6665 §8.2.3",
    ReferTo "Refer-To" "RFC 3515 §2.1",
    ReferredBy "Referred-By" "RFC 3892 §3",
    Replaces "Replaces" "RFC 3891 §6.1",
    Join "Join" "RFC 3911 §7.1",
    Identity "Identity" "RFC 8224 §4",
    IdentityInfo "Identity-Info" "RFC 4474 §9",
    Path "Path" "RFC 3327 §4",
    ServiceRoute "Service-Route" "RFC 3608 §5",
    AlertInfo "Alert-Info" "RFC 3261 §20.4",
    CallInfo "Call-Info" "RFC 3261 §20.9",
    ErrorInfo "Error-Info" "RFC 3261 §20.18",
    InReplyTo "In-Reply-To" "RFC 3261 §20.21",
    MimeVersion "MIME-Version" "RFC 3261 §20.24",
    ReplyTo "Reply-To" "RFC 3261 §20.31",
    SipEtag "SIP-ETag" "RFC 3903 §11.3",
    SipIfMatch "SIP-If-Match" "RFC 3903 §11.3",
}

impl HeaderName {
    /// The name that the bytes before a field's colon mean: any case, full or compact form.
    pub fn from_bytes(name: &[u8]) -> Self {
        match name {
            [] => Self::Other,
            [letter] => Self::from_compact(*letter),
            [first, .., last] => {
                let mut at = slot(name.len(), *first, *last);
                loop {
                    let (text, known) = SLOTS[at % SLOT_COUNT];
                    if known == Self::Other || is_same_name(text, name) {
                        return known;
                    }
                    at += 1;
                }
            }
        }
    }

    /// The compact forms of the IANA registry.
    const fn from_compact(letter: u8) -> Self {
        match letter.to_ascii_lowercase() {
            b'a' => Self::AcceptContact,
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'd' => Self::RequestDisposition,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'j' => Self::RejectContact,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'n' => Self::IdentityInfo,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b's' => Self::Subject,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Over three times the names, so that the probing ends (there is always a free slot) and is short.
const SLOT_COUNT: usize = 256;

/// An open-addressed table of the names, made at compile time; `Other` marks a free slot.
static SLOTS: [(&[u8], HeaderName); SLOT_COUNT] = fill_slots();

/// Compares without the case bit. Our names are letters and `-`, and no other sign of a token becomes
/// one of those without it.
#[inline]
fn is_same_name(known: &[u8], written: &[u8]) -> bool {
    // Nearly every peer writes our case.
    known == written
        || known.len() == written.len()
            && known
                .iter()
                .zip(written)
                .all(|(known, written)| known | 0x20 == written | 0x20)
}

/// Length, first and last letter tell nearly all names apart and cost nothing to read.
const fn slot(length: usize, first: u8, last: u8) -> usize {
    let letters = (first | 0x20) as usize * 7 + (last | 0x20) as usize * 13;
    (length * 31 + letters) % SLOT_COUNT
}

const fn fill_slots() -> [(&'static [u8], HeaderName); SLOT_COUNT] {
    let mut slots: [(&[u8], HeaderName); SLOT_COUNT] = [(b"", HeaderName::Other); SLOT_COUNT];
    let mut next = 0;
    while next < HeaderName::KNOWN.len() {
        let name = HeaderName::KNOWN[next];
        let text = name.as_str().as_bytes();
        let mut at = slot(text.len(), text[0], text[text.len() - 1]);
        while !matches!(slots[at % SLOT_COUNT].1, HeaderName::Other) {
            at += 1;
        }
        slots[at % SLOT_COUNT] = (text, name);
        next += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in HeaderName::KNOWN {
            let text = name.as_str();
            for written in [text.to_owned(), text.to_uppercase(), text.to_lowercase()] {
                assert_eq!(
                    HeaderName::from_bytes(written.as_bytes()),
                    *name,
                    "{written}"
                );
            }
        }
    }

    #[test]
    fn compact_forms_are_found_in_any_case() {
        assert_eq!(HeaderName::from_bytes(b"v"), HeaderName::Via);
        assert_eq!(HeaderName::from_bytes(b"V"), HeaderName::Via);
        assert_eq!(HeaderName::from_bytes(b"x"), HeaderName::SessionExpires);
        assert_eq!(HeaderName::from_bytes(b"z"), HeaderName::Other);
    }

    #[test]
    fn near_misses_are_other() {
        for name in [
            "",
            "Vim",
            "Call_ID",
            "Contact ",
            "C%6Fntact",
            "Tos",
            "X-VoiceConnector-ID",
        ] {
            assert_eq!(
                HeaderName::from_bytes(name.as_bytes()),
                HeaderName::Other,
                "{name}"
            );
        }
    }
}
