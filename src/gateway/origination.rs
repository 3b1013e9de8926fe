//! Calls from the PSTN to a customer's hosts.

use super::routing::origination_candidates;
use super::termination::number_in;
use super::{Admission, Refusal};
use crate::config::Carrier;
use crate::shard::random::Random;
use crate::shard::snapshot::{NumberHolder, Snapshot};
use crate::sip::message::Request;
use crate::sip::uri::Uri;
use crate::telemetry::Direction;

/// Digits of the shortest number that is taken without a `+`: shorter ones are local or services.
const DIGITS_MIN: u64 = 1_000_000;

/// Decides over an INVITE that a carrier sent. Its refusals are remembered: carriers are known.
pub fn admit(
    carrier: &Carrier,
    request: &Request,
    uri: &Uri<'_>,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Result<Admission, Refusal> {
    admit_known(carrier, request, uri, snapshot, random).map_err(Refusal::remembered)
}

fn admit_known(
    carrier: &Carrier,
    request: &Request,
    uri: &Uri<'_>,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Result<Admission, Refusal> {
    let number = number_in(uri)
        .filter(|number| number.digits() >= DIGITS_MIN)
        .ok_or_else(|| Refusal::new(484, "Dialled Number Is Not An E.164 Number"))?;
    let connector = match snapshot.numbers.get(&number) {
        Some(NumberHolder::Connector(id)) => snapshot.connectors.get(id),
        Some(NumberHolder::Group(_)) | None => None,
    };
    let connector = connector.ok_or_else(|| Refusal::new(404, "Number Not In Service"))?;
    let origination = connector.origination.as_ref();
    let origination =
        origination.ok_or_else(|| Refusal::new(404, "Voice Connector Has No Origination"))?;
    if origination.disabled {
        return Err(Refusal::new(403, "Origination Disabled"));
    }
    if origination.routes.is_empty() {
        return Err(Refusal::new(
            404,
            "Voice Connector Has No Origination Route",
        ));
    }
    let candidates = origination_candidates(origination, snapshot, random);
    if candidates.is_empty() {
        return Err(Refusal::unavailable(
            "No Origination Route Resolves To An Address",
            30,
        ));
    }
    Ok(Admission {
        direction: Direction::Origination,
        connector: connector.clone(),
        caller: caller(request),
        called: number.to_string(),
        candidates,
        policy: Some(carrier.policy.clone()),
        authenticated_as: None,
    })
}

/// The caller's number in `+` form where From has one, else From's user part where it is plain, else
/// `anonymous` (RFC 3323 §4.1.1.3).
fn caller(request: &Request) -> String {
    let from = request
        .from()
        .ok()
        .and_then(|from| Uri::parse(from.uri).ok());
    if let Some(number) = from.as_ref().and_then(number_in) {
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
