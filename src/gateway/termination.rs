//! Calls from a customer's hosts to the PSTN: the checks, in their order.

use std::sync::Arc;

use super::authentication::{Asked, authenticate};
use super::caller_id;
use super::emergency::Emergency;
use super::limiter::CallLimiter;
use super::routing::{Candidate, carrier_candidates, emergency_candidates};
use super::trace::Trace;
use super::{Admission, Cause, Refusal};
use crate::config::Transport;
use crate::instant::Instant;
use crate::numbering::E164;
use crate::shard::io::Flow;
use crate::shard::random::Random;
use crate::shard::snapshot::{Snapshot, Termination, VoiceConnector};
use crate::sip::digest::Nonces;
use crate::sip::message::Request;
use crate::sip::uri::{Uri, unescape};
use crate::telemetry::{CallKind, Direction};

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
    caller: Option<E164>,
    candidates: Vec<Candidate>,
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
const CALL: [Check; 4] = [
    ("calls per second", is_within_rate),
    ("destination", has_destination),
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
    let termination = termination_of(connector, context)?;
    let mut checked = Checked {
        connector,
        termination,
        request,
        uri,
        flow,
        asked: Asked::AsProxy,
        emergency: Emergency::of(uri, connector),
        context,
        authenticated_as: None,
        destination: None,
        caller: None,
        candidates: Vec::new(),
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
    let termination = termination_of(connector, context)?;
    let mut checked = Checked {
        connector,
        termination,
        request,
        uri,
        flow,
        asked: Asked::AsServer,
        emergency: None,
        context,
        authenticated_as: None,
        destination: None,
        caller: None,
        candidates: Vec::new(),
    };
    run(&ENTRY, &mut checked)
}

fn termination_of<'a>(
    connector: &'a VoiceConnector,
    context: &mut Context<'_>,
) -> Result<&'a Termination, Refusal> {
    let termination = connector.termination.as_ref();
    termination.ok_or_else(|| {
        let refusal = Refusal::from(Cause::NoTermination);
        context.trace.note("termination", || refused(&refusal));
        refusal
    })
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

impl Checked<'_, '_> {
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
    checked.passed("encryption", || match is_required {
        true => "required, and the call comes over TLS".to_owned(),
        false => "not required".to_owned(),
    });
    Ok(())
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
    checked.authenticated_as = authenticate(connector, request, asked, checked.context)?;
    Ok(())
}

fn is_within_rate(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (id, limit) = (checked.connector.id, checked.termination.cps_limit);
    if checked.emergency.is_some() {
        checked.passed("calls per second", || "an emergency call passes".to_owned());
        return Ok(());
    }
    let context = &checked.context;
    if !context.limiter.admit(id, limit, context.now) {
        return Err(Refusal::from(Cause::CpsLimit).for_seconds(1));
    }
    checked.passed("calls per second", || format!("at most {limit}"));
    Ok(())
}

/// The number dialled: with its `+`, for without one nobody knows whether `2025550123` is in Washington
/// or in Cairo.
fn has_destination(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    checked.destination = match checked.emergency {
        Some(Emergency::Dialled(short)) => {
            checked.passed("destination", || format!("{short}, an emergency call"));
            return Ok(());
        }
        Some(Emergency::Configured(number)) => {
            checked.passed("destination", || format!("{number}, an emergency call"));
            Some(number)
        }
        None => dialled_number(checked.uri),
    };
    let number = checked.destination.ok_or(Cause::DestinationNotE164)?;
    checked.passed("destination", || number.to_string());
    Ok(())
}

/// Help comes to a caller whose number is not known, too.
fn has_caller(checked: &mut Checked<'_, '_>) -> Result<(), Refusal> {
    let (connector, termination) = (checked.connector, checked.termination);
    let (request, snapshot) = (checked.request, checked.context.snapshot);
    let caller = caller_id::of_customer(connector, termination, request, snapshot);
    checked.caller = match (caller, checked.emergency) {
        (Err(_), Some(_)) => caller_id::from_number(request, None),
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

fn dialled_number(uri: &Uri<'_>) -> Option<E164> {
    let has_plus = unescape(uri.user?)?.starts_with('+');
    number_in(uri).filter(|_| has_plus)
}

/// The E.164 number that a URI's user part is, with `+` or without.
pub fn number_in(uri: &Uri<'_>) -> Option<E164> {
    dialled_in(uri)?.parse().ok()
}

/// What a URI's user part dials, without visual separators (RFC 3966 §5.1.1).
pub(super) fn dialled_in(uri: &Uri<'_>) -> Option<String> {
    let user = unescape(uri.user?)?;
    // Parameters of a telephone-subscriber (RFC 3261 §19.1.6) follow the first semicolon.
    let number = user.split(';').next().unwrap_or_default();
    let is_said = |letter: &char| !matches!(letter, '-' | '.' | '(' | ')');
    Some(number.chars().filter(is_said).collect())
}
