//! Whom a call is said to come from.
//!
//! A customer's claims count as far as they name a number of its connector. From says what is to be shown; where a PBX
//! shows something else there, an extension or the caller of a forwarded call, P-Asserted-Identity (RFC 3325) or
//! Remote-Party-ID tells whose the call is.

use super::headers::number_of;
use super::{Cause, Refusal};
use crate::config::CarrierPolicy;
use crate::numbering::E164;
use crate::shard::snapshot::{Snapshot, Termination, VoiceConnector};
use crate::sip::header::NameAddr;
use crate::sip::message::{HeaderName, Request};
use crate::sip::uri::Uri;

/// Header fields that tell whose a call is, the first before the others.
const IDENTITIES: [HeaderName; 2] = [HeaderName::PAssertedIdentity, HeaderName::RemotePartyId];

/// The number that From names, as whoever has sent it writes numbers: a carrier, or a customer.
pub(super) fn from_number(request: &Request, source: Option<&CarrierPolicy>) -> Option<E164> {
    number_of(request.from().ok()?.uri, source)
}

/// The number that a header field names. RFC 3325 §9.1 allows a `sip:` and a `tel:` value: they mean the same
/// caller, or nobody knows whom.
pub(super) fn identity(
    request: &Request,
    name: HeaderName,
    source: Option<&CarrierPolicy>,
) -> Result<Option<E164>, Refusal> {
    let mut number = None;
    for value in request.values(name) {
        let named = NameAddr::parse(value).ok();
        let named = named.and_then(|address| number_of(address.uri, source));
        match (number, named) {
            (Some(one), Some(other)) if one != other => {
                return Err(Cause::IdentitiesDisagree.into());
            }
            (_, named) => number = number.or(named),
        }
    }
    Ok(number)
}

/// The caller ID of a customer's call: the first number claimed that the connector owns, else its default, else a
/// refusal in the words of the hosted service.
pub(super) fn of_customer(
    connector: &VoiceConnector,
    termination: &Termination,
    request: &Request,
    snapshot: &Snapshot,
) -> Result<E164, Refusal> {
    let from = from_number(request, None);
    let mut owned = from.filter(|number| snapshot.is_number_of(*number, connector.id));
    for name in IDENTITIES {
        let claimed = identity(request, name, None)?;
        owned = owned.or(claimed.filter(|number| snapshot.is_number_of(*number, connector.id)));
    }
    // The default may have gone to somebody else since it was set.
    let default = termination.default_phone_number;
    let default = default.filter(|number| snapshot.is_number_of(*number, connector.id));
    owned.or(default).ok_or_else(|| match from {
        Some(number) => Refusal {
            reason: format!("Caller Id {number} is not valid"),
            ..Cause::CallerIdNotValid.into()
        },
        None => Cause::CallerIdNotValid.into(),
    })
}

/// What a carrier's call is said to come from: the number in `+` form where From has one, else From's user part
/// where that is plain, else `anonymous` (RFC 3323 §4.1.1.3).
pub(super) fn of_carrier(request: &Request, source: &CarrierPolicy) -> String {
    let from = request
        .from()
        .ok()
        .and_then(|from| Uri::parse(from.uri).ok());
    if let Some(number) = from_number(request, Some(source)) {
        return number.to_string();
    }
    let plain = |user: &&str| {
        user.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+*#".contains(&byte))
    };
    from.and_then(|from| from.user)
        .filter(plain)
        .filter(|user| !user.is_empty())
        .unwrap_or("anonymous")
        .to_owned()
}
