//! Calls from the PSTN: to a customer's hosts, or back to the PSTN in a proxy session.

use std::collections::VecDeque;
use std::sync::Arc;

use super::limiter::{Booking, CallLimiter, Spending};
use super::routing::{Candidate, carrier_candidates, origination_candidates, pass_over_down};
use super::termination::dialled_number;
use super::trace::Trace;
use super::{Admission, Cause, Refusal, caller_id, destination, termination};
use crate::config::Carrier;
use crate::instant::Instant;
use crate::numbering::{Country, E164};
use crate::shard::io::Output;
use crate::shard::random::Random;
use crate::shard::snapshot::{NumberHolder, ProxySession, Snapshot, Termination, VoiceConnector};
use crate::sip::message::{HeaderName, Request};
use crate::sip::uri::Uri;
use crate::telemetry::{CallKind, Direction, Event};

/// What the decision needs besides the request.
pub struct Context<'a> {
    /// Routing data.
    pub snapshot: &'a Snapshot,
    /// Randomness of this shard.
    pub random: &'a mut Random,
    /// Counts calls.
    pub limiter: &'a Arc<dyn CallLimiter>,
    /// Where alerts go.
    pub outputs: &'a mut VecDeque<Output>,
    /// What is found on the way.
    pub trace: Trace,
    /// Now.
    pub now: Instant,
}

impl Context<'_> {
    fn refused(&mut self, check: &'static str, refusal: &Refusal) {
        self.trace.note(check, || termination::refused(refusal));
    }
}

/// Decides over an INVITE that a carrier sent. Its refusals are remembered: carriers are known.
pub fn admit(
    carrier: &Carrier,
    request: &Request,
    uri: &Uri<'_>,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let number = dialled(carrier, uri)
        .ok_or_else(|| Refusal::from(Cause::DialledNotE164).remembered())
        .inspect_err(|refusal| context.refused("dialled number", refusal))?;
    context.trace.note("dialled number", || number.to_string());
    let admission = match context.snapshot.masking_connector(number) {
        Some(owner) => admit_to_participant(carrier, request, (number, owner), context),
        None => admit_to_customer(carrier, request, number, context),
    };
    let admission = admission
        .map_err(Refusal::remembered)
        .inspect_err(|refusal| context.refused("number", refusal))?;
    Ok(Admission {
        policy: Some(carrier.policy.clone()),
        ..admission
    })
}

/// The number that a carrier asks for.
pub(super) fn dialled(carrier: &Carrier, uri: &Uri<'_>) -> Option<E164> {
    dialled_number(uri, &carrier.policy.numbers).ok()
}

/// A call to a number of a connector or of a group.
fn admit_to_customer(
    carrier: &Carrier,
    request: &Request,
    number: E164,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let (connector, candidates) = match context.snapshot.numbers.get(&number) {
        Some(NumberHolder::Connector(id)) => {
            let connector = context.snapshot.connectors.get(id);
            let connector = connector.ok_or(Cause::NumberNotInService)?;
            context
                .trace
                .note("number", || format!("of voice connector {id}"));
            (connector.clone(), candidates_of(connector, context)?)
        }
        Some(NumberHolder::Group(group)) => candidates_of_group(*group, context)?,
        None => return Err(Cause::NumberNotInService.into()),
    };
    Ok(Admission {
        direction: Direction::Origination,
        kind: CallKind::Ordinary,
        connector,
        caller: caller_id::of_carrier(request, &carrier.policy),
        called: number.to_string(),
        candidates,
        policy: None,
        authenticated_as: None,
        proxy_session: None,
        booking: Booking::default(),
    })
}

/// Where a connector's calls go.
fn candidates_of(
    connector: &VoiceConnector,
    context: &mut Context<'_>,
) -> Result<Vec<Candidate>, Refusal> {
    let origination = connector.origination.as_ref();
    let origination = origination.ok_or(Cause::NoOrigination)?;
    if origination.disabled {
        return Err(Cause::OriginationDisabled.into());
    }
    if origination.routes.is_empty() {
        return Err(Cause::NoOriginationRoute.into());
    }
    let (snapshot, random) = (context.snapshot, &mut *context.random);
    let candidates = origination_candidates(connector.id, origination, snapshot, random);
    match candidates.is_empty() {
        true => Err(Refusal::from(Cause::NoOriginationAddress).for_seconds(30)),
        false => Ok(candidates),
    }
}

/// The places of all members of a group, one member's after the other's, with the member that is first.
fn candidates_of_group(
    group: uuid::Uuid,
    context: &mut Context<'_>,
) -> Result<(Arc<VoiceConnector>, Vec<Candidate>), Refusal> {
    let snapshot = context.snapshot;
    context
        .trace
        .note("number", || format!("of voice connector group {group}"));
    let members = snapshot.groups.get(&group).into_iter();
    let members = members.flat_map(|members| members.iter());
    let mut first = None;
    let mut all = Vec::new();
    for member in members {
        let Some(connector) = snapshot.connectors.get(&member.connector) else {
            continue;
        };
        match candidates_of(connector, context) {
            Ok(candidates) => {
                let (id, priority) = (connector.id, member.priority);
                context
                    .trace
                    .note("group member", || format!("{id}, priority {priority}"));
                first.get_or_insert_with(|| connector.clone());
                all.extend(candidates);
            }
            Err(refusal) => context.trace.note("group member", || {
                format!("{}: {} {}", connector.id, refusal.status, refusal.reason)
            }),
        }
    }
    let first = first.ok_or(Cause::GroupHasNoOrigination)?;
    // A member of whom nobody is there does not hold up the others' calls.
    pass_over_down(&mut all, snapshot);
    Ok((first, all))
}

/// A call to a number of a connector that stands for somebody: the other participant of the caller's session, else whoever takes
/// the calls of all others.
fn admit_to_participant(
    carrier: &Carrier,
    request: &Request,
    (number, owner): (E164, &Arc<VoiceConnector>),
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let caller = caller_of(carrier, request)?;
    let session = caller.and_then(|caller| {
        let session = context.snapshot.open_session(caller, number, context.now)?;
        Some((session, session.other(caller)))
    });
    if let Some((session, other)) = session {
        if !session.voice {
            return Err(Cause::ProxyWithoutVoice.into());
        }
        let connector = context.snapshot.connectors.get(&session.connector);
        let connector = connector.ok_or(Cause::NoProxySession)?.clone();
        let called = (other.proxy, other.number);
        context.trace.note("proxy session", || {
            let (id, shown, number) = (&session.id, other.proxy, other.number);
            format!("{id}: to its other participant {number}, from {shown}")
        });
        return admit_out(connector, called, Some(session.clone()), context);
    }
    let fallback = owner.proxy.and_then(|proxy| proxy.fallback);
    let fallback = fallback.ok_or(Cause::NoProxySession)?;
    context.trace.note("proxy session", || {
        format!("none that is open for this caller: to FallBackPhoneNumber {fallback}")
    });
    // One of our own customers' numbers is not called through the PSTN.
    match context.snapshot.numbers.contains_key(&fallback) {
        true => admit_to_customer(carrier, request, fallback, context),
        false => admit_out(owner.clone(), (number, fallback), None, context),
    }
}

/// Who calls, as far as the network says so: whom a trusted carrier vouches for, else the number that is shown. What
/// a caller shows is its own claim.
pub(super) fn caller_of(carrier: &Carrier, request: &Request) -> Result<Option<E164>, Refusal> {
    let policy = Some(&*carrier.policy);
    let asserted = match carrier.policy.trusted {
        true => caller_id::identity(request, HeaderName::PAssertedIdentity, policy)?,
        false => None,
    };
    Ok(asserted.or_else(|| caller_id::from_number(request, policy)))
}

/// Back to the PSTN, from one number to another: a call that the connector pays for, within all that holds for its
/// calls there.
fn admit_out(
    connector: Arc<VoiceConnector>,
    (caller, called): (E164, E164),
    proxy_session: Option<Arc<ProxySession>>,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let booking = book_call(&connector, called, context)?;
    let candidates = carrier_candidates(called, context.snapshot, context.random);
    if candidates.is_empty() {
        return Err(Refusal::from(Cause::NoCarrier).for_seconds(60));
    }
    Ok(Admission {
        direction: Direction::Origination,
        kind: CallKind::Proxy,
        connector,
        caller: caller.to_string(),
        called: called.to_string(),
        candidates,
        policy: None,
        authenticated_as: None,
        proxy_session,
        booking,
    })
}

/// What a call to the PSTN takes of its connector's limits, where it may go there.
fn book_call(
    connector: &VoiceConnector,
    called: E164,
    context: &mut Context<'_>,
) -> Result<Booking, Refusal> {
    let mut booking = Booking::default();
    let termination = take_rate(&mut booking, connector, context)?;
    let most = connector.policy.concurrent_calls;
    booking.take_call(context.limiter, connector.id, most)?;
    spend(&mut booking, (connector, termination), called, context)?;
    Ok(booking)
}

/// The same for a text, which is over at once.
pub(super) fn book_text(
    connector: &VoiceConnector,
    called: E164,
    context: &mut Context<'_>,
) -> Result<Booking, Refusal> {
    let mut booking = Booking::default();
    let termination = take_rate(&mut booking, connector, context)?;
    spend(&mut booking, (connector, termination), called, context)?;
    Ok(booking)
}

/// A connector reaches the PSTN as its termination says, and not at all without.
fn take_rate<'a>(
    booking: &mut Booking,
    connector: &'a VoiceConnector,
    context: &Context<'_>,
) -> Result<&'a Termination, Refusal> {
    let termination = connector.termination.as_ref();
    let termination = termination.ok_or(Cause::NoTermination)?;
    if termination.disabled {
        return Err(Cause::TerminationDisabled.into());
    }
    let (limiter, cps, now) = (context.limiter, termination.cps_limit, context.now);
    booking.take_rate(limiter, connector.id, cps, now)?;
    Ok(termination)
}

fn spend(
    booking: &mut Booking,
    (connector, termination): (&VoiceConnector, &Termination),
    called: E164,
    context: &mut Context<'_>,
) -> Result<(), Refusal> {
    let regions = Some(&*termination.calling_regions);
    let spending = Spending {
        connector: connector.id,
        country: destination::check(called, regions, &connector.policy)?
            .country
            .unwrap_or(Country::NONE),
        limits: connector.policy.spending,
    };
    booking.spend(context.limiter, spending, |alert| {
        let event = Event::Spending(alert);
        context.outputs.push_back(Output::Event(event));
    })
}
