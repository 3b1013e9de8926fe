//! What would happen to a call, and why: the decision over it without the call.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::instant::Instant;
use crate::shard::io::Flow;
use crate::shard::random::Random;
use crate::shard::snapshot::Snapshot;
use crate::sip::digest::Nonces;
use crate::sip::message::Request;
use crate::sip::uri::Uri;
use crate::telemetry::SpendingAlert;

use super::authentication::BackOffs;
use super::classify::{Classified, classify};
use super::limiter::{CallLimiter, Counted, Overspent, Spending, Urgency};
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
    let limiter: Arc<dyn CallLimiter> = Arc::new(Unlimited);
    let (outcome, taken) = match classified {
        Classified::Termination(connector) => {
            let mut context = termination::Context {
                snapshot,
                nonces: &mut Nonces::new(random.next_bytes(), std::time::Duration::ZERO, 0),
                random,
                back_offs: &mut BackOffs::default(),
                outputs: &mut VecDeque::new(),
                limiter: &limiter,
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
                limiter: &limiter,
                outputs: &mut VecDeque::new(),
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
    fn take_rate(&self, _: &Counted, _: u32, _: Urgency, now: Instant) -> Option<Instant> {
        Some(now)
    }

    fn return_rate(&self, _: &Counted, _: Instant) {}

    fn take_call(&self, _: &Counted, _: u32, _: Urgency) -> bool {
        true
    }

    fn return_call(&self, _: &Counted) {}

    fn spend(&self, _: &Spending) -> Result<i64, Overspent> {
        Ok(0)
    }

    fn return_spent(&self, _: &Spending, _: i64) {}

    fn confirm_spent(&self, _: &Spending, _: i64) -> Vec<SpendingAlert> {
        Vec::new()
    }
}
