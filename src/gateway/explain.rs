//! What would happen to a call, and why: the decision over it without the call.

use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;
use crate::shard::io::Flow;
use crate::shard::random::Random;
use crate::shard::snapshot::Snapshot;
use crate::sip::digest::Nonces;
use crate::sip::message::Request;
use crate::sip::uri::Uri;

use super::classify::{Classified, classify};
use super::limiter::CallLimiter;
use super::trace::{Step, Trace};
use super::{Admission, Refusal, origination, termination};

/// A decision, with the way to it.
pub struct Explanation {
    /// What was found, in the order in which it is looked at.
    pub steps: Vec<Step>,
    /// Where the call would go, or what it would be answered.
    pub outcome: Result<Admission, Refusal>,
}

/// Decides over an INVITE as a shard would, with nobody asked for a password and nothing counted.
pub fn explain(
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
    snapshot: &Snapshot,
    random: &mut Random,
    now: Instant,
) -> Explanation {
    let mut trace = Trace::recording();
    let outcome = decide(request, uri, flow, (snapshot, random, now), &mut trace);
    Explanation {
        steps: trace.into_steps(),
        outcome,
    }
}

fn decide(
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
    (snapshot, random, now): (&Snapshot, &mut Random, Instant),
    trace: &mut Trace,
) -> Result<Admission, Refusal> {
    let classified = classify(uri, flow, snapshot).inspect_err(|refusal| {
        trace.note("which call is it", || termination::refused(refusal));
    })?;
    let taken = std::mem::take(trace);
    let (outcome, taken) = match classified {
        Classified::Termination(connector) => {
            let mut context = termination::Context {
                snapshot,
                nonces: &mut Nonces::new(random.next_bytes(), std::time::Duration::ZERO, 0),
                random,
                limiter: &Unlimited,
                trace: taken,
                now,
            };
            let id = connector.id;
            context
                .trace
                .note("which call is it", || format!("termination of {id}"));
            let outcome = termination::admit(&connector, request, uri, flow, &mut context);
            (outcome, context.trace)
        }
        Classified::Origination(carrier) => {
            let mut context = origination::Context {
                snapshot,
                random,
                trace: taken,
                now,
            };
            let name = &carrier.name;
            context.trace.note("which call is it", || {
                format!(
                    "origination: {} is one of the sources of carrier {name}",
                    flow.remote.ip()
                )
            });
            let outcome = origination::admit(carrier, request, uri, &mut context);
            (outcome, context.trace)
        }
    };
    *trace = taken;
    outcome?.for_scheme(uri.scheme)
}

/// How many calls there are is the running node's affair.
struct Unlimited;

impl CallLimiter for Unlimited {
    fn admit(&self, _connector: VoiceConnectorId, _per_second: u32, _now: Instant) -> bool {
        true
    }
}
