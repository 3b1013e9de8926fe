//! Calls from a customer's hosts to the PSTN: the checks, in their order.

use std::sync::Arc;

use super::authentication::{Asked, authenticate};
use super::limiter::CallLimiter;
use super::routing::carrier_candidates;
use super::{Admission, Refusal};
use crate::config::Transport;
use crate::instant::Instant;
use crate::numbering::E164;
use crate::shard::io::Flow;
use crate::shard::random::Random;
use crate::shard::snapshot::{Snapshot, Termination, VoiceConnector};
use crate::sip::digest::Nonces;
use crate::sip::message::Request;
use crate::sip::uri::{Uri, unescape};
use crate::telemetry::Direction;

/// What the checks need besides the request.
pub struct Context<'a> {
    /// Routing data.
    pub snapshot: &'a Snapshot,
    /// Nonces of this shard.
    pub nonces: &'a mut Nonces,
    /// Randomness of this shard.
    pub random: &'a mut Random,
    /// Counts calls.
    pub limiter: &'a dyn CallLimiter,
    /// Now.
    pub now: Instant,
}

/// Decides over an INVITE for this connector. Each refusal has its own reason phrase.
pub fn admit(
    connector: &Arc<VoiceConnector>,
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let termination = open_to(connector, flow)?;
    let authenticated_as = authenticate(connector, request, Asked::AsProxy, context)?;
    admit_known(connector, termination, request, uri, context)
        .map(|admission| Admission {
            authenticated_as,
            ..admission
        })
        .map_err(Refusal::remembered)
}

/// Decides over a REGISTER: whoever may call may also say so.
pub fn admit_registration(
    connector: &VoiceConnector,
    request: &Request,
    flow: &Flow,
    context: &mut Context<'_>,
) -> Result<(), Refusal> {
    open_to(connector, flow)?;
    authenticate(connector, request, Asked::AsServer, context).map(|_| ())
}

/// The connector's termination, where it is open to somebody at this address.
fn open_to<'a>(connector: &'a VoiceConnector, flow: &Flow) -> Result<&'a Termination, Refusal> {
    let termination = connector.termination.as_ref();
    let termination =
        termination.ok_or_else(|| Refusal::new(404, "Voice Connector Has No Termination"))?;
    if termination.disabled {
        return Err(Refusal::new(403, "Termination Disabled"));
    }
    if connector.require_encryption && flow.transport != Transport::Tls {
        return Err(Refusal::new(403, "Encryption Required"));
    }
    if !connector.allows_source(flow.remote.ip().to_canonical()) {
        return Err(Refusal::new(403, "Source Address Not Allowed"));
    }
    Ok(termination)
}

/// The checks on a caller that is who it should be.
fn admit_known(
    connector: &Arc<VoiceConnector>,
    termination: &Termination,
    request: &Request,
    uri: &Uri<'_>,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    if !context
        .limiter
        .admit(connector.id, termination.cps_limit, context.now)
    {
        return Err(Refusal::unavailable("Calls Per Second Limit Reached", 1));
    }
    let destination = dialled_number(uri)
        .ok_or_else(|| Refusal::new(484, "Destination Is Not An E.164 Number"))?;
    let caller = caller_id(connector, termination, request, context.snapshot)?;
    let candidates = carrier_candidates(
        context.snapshot.carriers(),
        destination,
        context.snapshot,
        context.random,
    );
    if candidates.is_empty() {
        return Err(Refusal::unavailable("No Carrier For This Destination", 60));
    }
    Ok(Admission {
        direction: Direction::Termination,
        connector: connector.clone(),
        caller: caller.to_string(),
        called: destination.to_string(),
        candidates,
        policy: None,
        authenticated_as: None,
    })
}

/// The number dialled: with its `+`, for without one nobody knows whether `2025550123` is in Washington
/// or in Cairo, and `911` anywhere at all.
fn dialled_number(uri: &Uri<'_>) -> Option<E164> {
    let has_plus = unescape(uri.user?)?.starts_with('+');
    number_in(uri).filter(|_| has_plus)
}

/// The E.164 number that a URI's user part is; visual separators (RFC 3966 §5.1.1) do not count.
pub fn number_in(uri: &Uri<'_>) -> Option<E164> {
    let user = unescape(uri.user?)?;
    // Parameters of a telephone-subscriber (RFC 3261 §19.1.6) follow the first semicolon.
    let number = user.split(';').next().unwrap_or_default();
    let digits: String = number
        .chars()
        .filter(|letter| !matches!(letter, '-' | '.' | '(' | ')'))
        .collect();
    digits.parse().ok()
}

/// The caller ID: From's number where the connector owns it, else its default, else a refusal in the
/// words of the hosted service.
fn caller_id(
    connector: &VoiceConnector,
    termination: &Termination,
    request: &Request,
    snapshot: &Snapshot,
) -> Result<E164, Refusal> {
    let from = request
        .from()
        .ok()
        .and_then(|from| Uri::parse(from.uri).ok());
    let claimed = from.as_ref().and_then(number_in);
    let owned = claimed.filter(|number| snapshot.is_number_of(*number, connector.id));
    owned
        .or(termination.default_phone_number)
        .ok_or_else(|| match claimed {
            Some(number) => Refusal::new(403, format!("Caller Id {number} is not valid")),
            None => Refusal::new(403, "Caller Id is not valid"),
        })
}
