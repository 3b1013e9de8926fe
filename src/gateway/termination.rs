//! Calls from a customer's hosts to the PSTN: the checks, in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::authentication::{Asked, BackOffs, authenticate};
use super::call::anchor::session_in;
use super::caller_id;
use super::emergency::Emergency;
use super::limiter::{Booking, CallLimiter, Spending, Urgency};
use super::refusal::Warning;
use super::routing::{Candidate, carrier_candidates, emergency_candidates};
use super::trace::Trace;
use super::{Admission, Cause, Refusal, destination};
use crate::config::Transport;
use crate::instant::Instant;
use crate::numbering::dialling::DiallingRules;
use crate::numbering::{Country, E164};
use crate::sdp::{NoStream, Security, SessionDescription};
use crate::shard::io::{Flow, Output};
use crate::shard::random::Random;
use crate::shard::snapshot::{Snapshot, Termination, VoiceConnector};
use crate::sip::digest::Nonces;
use crate::sip::message::Request;
use crate::sip::telephone::{Number, Telephone, TelephoneError};
use crate::sip::uri::Uri;
use crate::telemetry::{CallKind, Direction, Event};

/// What the checks need besides the request.
pub struct Context<'a> {
    /// Routing data.
    pub snapshot: &'a Snapshot,
    /// Nonces of this shard.
    pub nonces: &'a mut Nonces,
    /// Randomness of this shard.
    pub random: &'a mut Random,
    /// Sources that have answered wrongly.
    pub back_offs: &'a mut BackOffs,
    /// Outputs of this shard.
    pub outputs: &'a mut VecDeque<Output>,
    /// Counts calls.
    pub limiter: &'a Arc<dyn CallLimiter>,
    /// What is found on the way.
    pub trace: Trace,
    /// Now.
    pub now: Instant,
}

/// A request on its way through the checks, and what they find out for those that follow.
struct Checked<'a, 'c> {
    connector: &'a Arc<VoiceConnector>,
    termination: &'a Termination,
    request: &'a Request,
    uri: &'a Uri<'a>,
    flow: &'a Flow,
    asked: Asked,
    context: &'a mut Context<'c>,
    /// A call for help passes the limits, and goes where help is.
    emergency: Option<Emergency>,
    authenticated_as: Option<String>,
    /// `None` for an emergency number that is no telephone number.
    destination: Option<E164>,
    /// The destination's.
    country: Option<Country>,
    caller: Option<E164>,
    candidates: Vec<Candidate>,
    /// What it has taken of limits.
    booking: Booking,
}

/// A check by its name in explanations.
type Check = (
    &'static str,
    fn(&mut Checked<'_, '_>) -> Result<(), Refusal>,
);

/// Whether somebody may speak to the connector at all. Whoever fails here is a stranger.
const ENTRY: [Check; 4] = [
    ("termination enabled", is_enabled),
    ("encryption", is_encrypted),
    ("source address", comes_from_allowed_source),
    ("credentials", is_authenticated),
];

/// Whether somebody known may make this call, and where it goes.
const CALL: [Check; 7] = [
    ("calls per second", is_within_rate),
    ("concurrent calls", is_within_concurrent_calls),
    ("destination", has_destination),
    ("destination policy", has_allowed_destination),
    ("calls per hour", is_within_spending),
    ("caller ID", has_caller),
    ("carriers", has_candidates),
];

/// Decides over an INVITE for this connector. Each refusal has its own reason phrase and counter.
pub fn admit(
    connector: &Arc<VoiceConnector>,
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let about = (request, uri, flow);
    let mut checked = Checked::of(connector, about, Asked::AsProxy, context)?;
    checked.emergency = Emergency::of(uri, connector);
    checked.booking.urgency = match checked.emergency {
        Some(_) => Urgency::Emergency,
        None => Urgency::Routine,
    };
    run(&ENTRY, &mut checked)?;
    run(&CALL, &mut checked).map_err(Refusal::remembered)?;
    Ok(checked.admission())
}

/// Decides over a REGISTER: whoever may call may also say so.
pub fn admit_registration(
    connector: &Arc<VoiceConnector>,
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
    context: &mut Context<'_>,
) -> Result<(), Refusal> {
    let about = (request, uri, flow);
    let mut checked = Checked::of(connector, about, Asked::AsServer, context)?;
    run(&ENTRY, &mut checked)
}

/// Runs the checks until one refuses.
fn run(checks: &[Check], checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    for (name, check) in checks {
        check(checked).inspect_err(|refusal| {
            checked.context.trace.note(name, || refused(refusal));
        })?;
    }
    Ok(())
}

/// A refusal as explanations tell it.
pub(super) fn refused(refusal: &Refusal) -> String {
    format!("refused: {} {}", refusal.status, refusal.reason)
}

impl<'a, 'c> Checked<'a, 'c> {
    /// A request of which nothing is known yet but that the connector has a termination.
    fn of(
        connector: &'a Arc<VoiceConnector>,
        (request, uri, flow): (&'a Request, &'a Uri<'a>, &'a Flow),
        asked: Asked,
        context: &'a mut Context<'c>,
    ) -> Result<Self, Refusal> {
        let Some(termination) = &connector.termination else {
            let refusal = Refusal::from(Cause::NoTermination);
            context.trace.note("termination", || refused(&refusal));
            return Err(refusal);
        };
        Ok(Self {
            connector,
            termination,
            request,
            uri,
            flow,
            asked,
            context,
            emergency: None,
            authenticated_as: None,
            destination: None,
            country: None,
            caller: None,
            candidates: Vec::new(),
            booking: Booking::default(),
        })
    }

    /// The check passed.
    fn passed(&mut self, check: &'static str, found: impl FnOnce() -> String) {
        self.context.trace.note(check, found);
    }

    fn admission(self) -> Admission {
        let called = match (self.destination, self.emergency) {
            (Some(number), _) => number.to_string(),
            (None, Some(Emergency::Dialled(short))) => short.to_owned(),
            (None, Some(Emergency::Configured(number))) => number.to_string(),
            // `has_destination` lets nothing else through.
            (None, None) => String::new(),
        };
        let caller = match self.caller {
            Some(number) => number.to_string(),
            None => "anonymous".to_owned(),
        };
        Admission {
            direction: Direction::Termination,
            kind: match self.emergency {
                Some(_) => CallKind::Emergency,
                None => CallKind::Ordinary,
            },
            connector: self.connector.clone(),
            caller,
            called,
            candidates: self.candidates,
            policy: None,
            authenticated_as: self.authenticated_as,
            proxy_session: None,
            booking: self.booking,
        }
    }
}

fn is_enabled(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    if checked.termination.disabled {
        return Err(Cause::TerminationDisabled.into());
    }
    checked.passed("termination", || "enabled".to_owned());
    Ok(())
}

fn is_encrypted(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let transport = checked.flow.transport;
    let is_required = checked.connector.require_encryption;
    if is_required && transport != Transport::Tls {
        return Err(Cause::EncryptionRequired.into());
    }
    if is_required && is_without_sdes(checked.request)? {
        return Err(Refusal {
            warning: Some(Warning::EncryptionRequired),
            ..Cause::SdesRequired.into()
        });
    }
    checked.passed("encryption", || match is_required {
        true => "required, and the call comes over TLS".to_owned(),
        false => "not required".to_owned(),
    });
    Ok(())
}

/// Whether a request offers media that nothing encrypts. Without an offer it is ours that says how.
fn is_without_sdes(request: &Request) -> Result<bool, Refusal> {
    let Some(text) = session_in(request)? else {
        return Ok(false);
    };
    // What cannot be read is refused for that.
    let chosen =
        SessionDescription::parse(text).map(|mut it| it.choose(Security::Required, |_| true));
    Ok(chosen == Ok(Err(NoStream::EncryptionWanted)))
}

fn comes_from_allowed_source(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let source = checked.flow.remote.ip().to_canonical();
    let snapshot = checked.context.snapshot;
    if !snapshot.allows_source(checked.connector.id, source) {
        return Err(Cause::SourceNotAllowed.into());
    }
    checked.passed("source address", || format!("{source} is allowed"));
    Ok(())
}

fn is_authenticated(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (connector, request, asked) = (checked.connector, checked.request, checked.asked);
    if checked.context.trace.is_recording() {
        checked.passed("credentials", || match connector.credentials.len() {
            0 => "none are asked for".to_owned(),
            users => format!("407 first: one of {users} users has to answer the challenge"),
        });
        return Ok(());
    }
    let source = checked.flow.remote.ip();
    let (whom, urgency) = ((asked, source), checked.booking.urgency);
    checked.authenticated_as = authenticate(connector, request, whom, urgency, checked.context)?;
    Ok(())
}

fn is_within_rate(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (id, limit) = (checked.connector.id, checked.termination.cps_limit);
    let (limiter, now) = (checked.context.limiter, checked.context.now);
    checked.booking.take_rate(limiter, id, limit, now)?;
    let is_emergency = checked.emergency.is_some();
    checked.passed("calls per second", || at_most(limit, is_emergency));
    Ok(())
}

fn is_within_concurrent_calls(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let connector = checked.connector;
    let limit = connector.policy.concurrent_calls;
    let limiter = checked.context.limiter;
    checked.booking.take_call(limiter, connector.id, limit)?;
    let is_emergency = checked.emergency.is_some();
    checked.passed("concurrent calls", || at_most(limit, is_emergency));
    Ok(())
}

/// A limit as explanations tell it.
fn at_most(limit: u32, is_emergency: bool) -> String {
    match (is_emergency, limit) {
        (true, _) => "an emergency call passes".to_owned(),
        (false, 0) => "no limit".to_owned(),
        (false, limit) => format!("at most {limit}"),
    }
}

fn is_within_spending(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    if checked.emergency.is_some() {
        checked.passed("calls per hour", || "an emergency call passes".to_owned());
        return Ok(());
    }
    let limits = checked.connector.policy.spending;
    let spending = Spending {
        connector: checked.connector.id,
        country: checked.country.unwrap_or(Country::NONE),
        limits,
    };
    let context = &mut *checked.context;
    checked.booking.spend(context.limiter, spending, |alert| {
        let event = Event::Spending(alert);
        context.outputs.push_back(Output::Event(event));
    })?;
    checked.passed("calls per hour", || {
        let all = at_most(limits.calls_per_hour, false);
        let to_country = at_most(limits.calls_per_hour_to_country, false);
        format!("{all}; to one country: {to_country}")
    });
    Ok(())
}

/// The number dialled, by the connector's rules.
fn has_destination(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let number = match checked.emergency {
        Some(Emergency::Dialled(short)) => {
            checked.passed("destination", || format!("{short}, an emergency call"));
            return Ok(());
        }
        Some(Emergency::Configured(number)) => {
            checked.passed("destination", || format!("{number}, an emergency call"));
            checked.destination = Some(number);
            return Ok(());
        }
        None => dialled_number(checked.uri, &checked.connector.policy.dialling)?,
    };
    checked.destination = Some(number);
    checked.passed("destination", || number.to_string());
    Ok(())
}

/// What costs most, or is in another country than the customer's, is called only where that is allowed. Help is.
fn has_allowed_destination(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (Some(number), None) = (checked.destination, checked.emergency) else {
        return Ok(());
    };
    let regions = &checked.termination.calling_regions;
    let found = destination::check(number, Some(regions), &checked.connector.policy)?;
    checked.country = found.country;
    checked.passed("destination policy", || {
        let country = found.country.map(|country| country.to_string());
        let country = country.as_deref().unwrap_or("no country");
        format!("{country}, {}: allowed", found.class.as_str())
    });
    Ok(())
}

/// Help comes to a caller whose number is not known, too; nobody is called in another one's name.
fn has_caller(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (connector, termination) = (checked.connector, checked.termination);
    let (request, snapshot) = (checked.request, checked.context.snapshot);
    let caller = caller_id::of_customer(connector, termination, request, snapshot);
    checked.caller = match (caller, checked.emergency) {
        (Err(_), Some(_)) => None,
        (caller, _) => Some(caller?),
    };
    let caller = checked.caller;
    checked.passed("caller ID", || match caller {
        Some(number) => number.to_string(),
        None => "none".to_owned(),
    });
    Ok(())
}

fn has_candidates(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (snapshot, random) = (checked.context.snapshot, &mut *checked.context.random);
    let (candidates, none) = match (checked.emergency, checked.destination) {
        (Some(_), destination) => {
            let candidates = emergency_candidates(destination, snapshot, random);
            (candidates, Cause::NoEmergencyCarrier)
        }
        (None, Some(destination)) => {
            let candidates = carrier_candidates(destination, snapshot, random);
            (candidates, Cause::NoCarrier)
        }
        (None, None) => (Vec::new(), Cause::NoCarrier),
    };
    if candidates.is_empty() {
        return Err(Refusal::from(none).for_seconds(60));
    }
    checked.candidates = candidates;
    Ok(())
}

/// The number that a URI means to somebody who dials by these rules. What it says of its context has been heeded.
pub(super) fn dialled_number(uri: &Uri<'_>, rules: &DiallingRules) -> Result<E164, Cause> {
    match Telephone::of(uri).map(|telephone| telephone.number) {
        Ok(Number::Global(number)) => Ok(number),
        Ok(Number::Local { digits, .. }) => {
            rules.read(&digits).map_err(|_| Cause::DestinationNotE164)
        }
        Err(TelephoneError::NotANumber) => Err(Cause::DestinationNotE164),
        Err(TelephoneError::Malformed) => Err(Cause::DestinationMalformed),
    }
}
