//! How a carrier is spoken with.

/// Codecs that a carrier is offered and answered with, by their encoding names (RFC 8866 §6.6), the preferred one
/// first; at least one of them carries speech.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodecList(Box<[Box<str>]>);

impl CodecList {
    /// Names of one list at most.
    pub const MAX: usize = 32;

    /// The list of these names; `None` where nobody could be heard with it.
    pub fn new(names: impl IntoIterator<Item = Box<str>>) -> Option<Self> {
        let names: Box<[Box<str>]> = names.into_iter().collect();
        let has_speech = names.iter().any(|name| carries_speech(name.as_bytes()));
        has_speech.then_some(Self(names))
    }

    /// The place of an encoding name in the list; names are compared without case (RFC 4855 §3).
    pub fn place_of(&self, name: &[u8]) -> Option<usize> {
        let mut names = self.0.iter().map(|listed| listed.as_bytes());
        names.position(|listed| listed.eq_ignore_ascii_case(name))
    }
}

/// Whether a codec is one to speak with, neither for key presses (RFC 4733) nor for comfort noise (RFC 3389).
pub fn carries_speech(name: &[u8]) -> bool {
    !name.eq_ignore_ascii_case(b"telephone-event") && !name.eq_ignore_ascii_case(b"CN")
}

/// Fields that cross the gateway from one leg to the other, unless a carrier's rules remove them; all that begin
/// with `X-` do too.
pub const CARRIED_FIELDS: [&str; 14] = [
    "P-Asserted-Identity",
    "Privacy",
    "Diversion",
    "History-Info",
    "User-to-User",
    "Geolocation",
    "Geolocation-Routing",
    "Identity",
    "Session-ID",
    "Reason",
    "Subject",
    "Priority",
    "Accept-Language",
    "X-",
];

/// Fields that the gateway writes itself, or that would make another request of its INVITE.
const OWN_FIELDS: [&str; 34] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Route",
    "Record-Route",
    "Path",
    "Service-Route",
    "Require",
    "Proxy-Require",
    "Supported",
    "Unsupported",
    "Allow",
    "Accept",
    "Authorization",
    "Proxy-Authorization",
    "Authentication-Info",
    "Proxy-Authenticate",
    "WWW-Authenticate",
    "Session-Expires",
    "Min-SE",
    "RSeq",
    "RAck",
    "MIME-Version",
    "Event",
    "Subscription-State",
    "Refer-To",
    "Replaces",
    "Join",
    "Expires",
    "Retry-After",
];

/// `[carrier.headers]`: fields that are not carried across, and fields that INVITEs to the carrier have besides.
/// Names are compared without case (RFC 3261 §7.3.1).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HeaderRules {
    /// Names that are carried neither to the carrier nor from it.
    pub remove: Box<[Box<str>]>,
    /// Names and values; what would be carried to it under such a name is not.
    pub add: Box<[(Box<str>, Box<str>)]>,
}

impl HeaderRules {
    /// Names of either list at most.
    pub const MAX: usize = 32;

    /// Whether a field of this name is not carried across.
    pub fn removes(&self, name: &str) -> bool {
        self.remove.iter().any(|one| one.eq_ignore_ascii_case(name))
    }

    /// Whether the carrier is told something of ours in a field of this name.
    pub fn adds(&self, name: &str) -> bool {
        let mut names = self.add.iter().map(|(name, _)| name);
        names.any(|one| one.eq_ignore_ascii_case(name))
    }
}

/// Whether a field of this name is carried across at all.
pub(super) fn is_carried(name: &str) -> bool {
    let is_extension =
        name.len() > 2 && name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("X-"));
    let mut names = CARRIED_FIELDS.iter().filter(|one| !one.ends_with('-'));
    is_extension || names.any(|one| one.eq_ignore_ascii_case(name))
}

/// Whether nobody but the gateway writes a field of this name.
pub(super) fn is_own(name: &str) -> bool {
    let content = name
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
    content || OWN_FIELDS.iter().any(|one| one.eq_ignore_ascii_case(name))
}
