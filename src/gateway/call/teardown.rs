//! The end: BYE, CANCEL, attempts that are not wanted any more.

use super::exchange::write_ack;
use super::unattended::Unattended;
use super::{Call, CallTimer, Fork, Outcome, Progress, Side, State};
use crate::gateway::Refusal;
use crate::shard::core::Core;
use crate::sip::message::{Fields, HeaderName, Request, Response};
use crate::sip::writer::reason_phrase;
use crate::telemetry::{CallKind, EndCause, Event};

/// Forks of one INVITE that are hung up at most; a peer with more finds out by its own timers.
const FORKS_MAX: usize = 8;
/// Reason values that are passed on, and bytes of one.
const REASONS_MAX: usize = 4;
const REASON_BYTES_MAX: usize = 256;

impl Call {
    /// An INVITE that waits for its final response was cancelled; the CANCEL itself is answered already.
    pub(crate) fn on_cancel(&mut self, core: &mut Core, request: &Request) {
        self.hear_reasons(request);
        match self.state {
            State::Setup => {
                let terminated = Refusal::new(487, "Request Terminated");
                self.end_setup(core, &terminated, EndCause::Cancelled);
            }
            // Its 2xx has not gone out: the call was not answered yet, as far as leg A knows.
            State::Established if self.is_success_held() => {
                self.answer_failure(core, &Refusal::new(487, "Request Terminated"));
                self.end_established(core, EndCause::Cancelled, Some(Side::A));
            }
            // A re-INVITE: the other leg decides, its final response comes back.
            State::Established => {
                let terminated = Refusal::new(487, "Request Terminated");
                if !self.end_glare(core, &terminated) {
                    self.abandon_reinvite(core);
                }
            }
            State::Ended => {}
        }
    }

    /// A server transaction of this call could not deliver its final response.
    pub(crate) fn on_response_lost(&mut self, core: &mut Core) {
        // A failure response that nobody acknowledged changes nothing. A 2xx is sent again by the
        // exchange until it is acknowledged or given up.
        if self.state == State::Setup {
            self.end_setup(
                core,
                &Refusal::new(500, "Transport Error"),
                EndCause::LegLost,
            );
        }
    }

    /// Ends a call from our side: whatever can still be told is told.
    pub(crate) fn abort(&mut self, core: &mut Core, cause: EndCause) {
        match self.state {
            State::Setup => {
                let failure = Refusal::new(500, reason_phrase(500));
                self.end_setup(core, &failure, cause);
            }
            State::Established => self.end_established(core, cause, None),
            State::Ended => {}
        }
    }

    /// Ends a call that was not answered: leg A hears the failure, leg B is not wanted any more.
    pub(super) fn end_setup(&mut self, core: &mut Core, refusal: &Refusal, cause: EndCause) {
        self.answer_failure(core, refusal);
        self.abandon_current(core);
        self.finish(core, cause);
    }

    /// Ends an answered call; `gone` is the side that need not be told.
    pub(super) fn end_established(&mut self, core: &mut Core, cause: EndCause, gone: Option<Side>) {
        if self.state != State::Established {
            return;
        }
        self.reasons.extend(reason_of(cause).map(Into::into));
        let left = self.end_transfer(core);
        // A called side does not end an early dialog by BYE (RFC 3261 §15): its INVITE fails.
        let unanswered = self.is_success_held().then_some(Side::A);
        self.drop_exchange(core, gone);
        for side in [Side::A, Side::B] {
            if ![gone, left, unanswered].contains(&Some(side)) {
                self.send_bye(core, side);
            }
        }
        self.finish(core, cause);
    }

    /// Settles the exchange that is under way when the call ends. One whose 2xx was not acknowledged
    /// stays where its leg still has to be sent a BYE: that waits for the ACK (RFC 3261 §15).
    pub(super) fn drop_exchange(&mut self, core: &mut Core, gone: Option<Side>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let from = exchange.from;
        let Some(answered) = &mut exchange.answered else {
            self.answer_failure(core, &Refusal::new(487, "Request Terminated"));
            self.abandon_reinvite(core);
            return;
        };
        let other_awaits_ack = answered.late_offer.take().map(|_| answered.other_cseq);
        if gone == Some(from)
            && let Some(mut answered) = self.exchange.take().and_then(|exchange| exchange.answered)
        {
            core.cancel_timer(&mut answered.timer);
        }
        if let Some(cseq) = other_awaits_ack {
            self.acknowledge(core, from.other(), cseq, None);
        }
    }

    fn finish(&mut self, core: &mut Core, cause: EndCause) {
        self.state = State::Ended;
        let over = Refusal::new(481, reason_phrase(481));
        self.end_glare(core, &over);
        self.refuse_update(core, &over);
        self.end_infos(core, &over);
        self.end_provisionals(core);
        for side in [Side::A, Side::B] {
            self.stop_session_timer(core, side);
        }
        core.cancel_timer(&mut self.ring_timer);
        core.cancel_timer(&mut self.route_timer);
        self.end_redirection(core);
        let quality = self.media.release(core);
        let talked = self.answered.map(|answered| core.now.since(answered));
        core.event(Event::CallEnded {
            facts: Box::new(self.facts.clone()),
            cause,
            reason: self.failure.take(),
            talked,
            quality: Box::new(quality),
        });
    }

    /// Sends BYE on a leg, or notes that it is due once the leg has acknowledged our 2xx.
    pub(super) fn send_bye(&mut self, core: &mut Core, side: Side) {
        let ack_is_due = self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.from == side && exchange.answered.is_some());
        let (call, bye) = (self.id, Unattended::bye(&self.reasons));
        let Some(leg) = self.leg_mut(side) else {
            return;
        };
        if ack_is_due {
            leg.bye_after_ack = true;
            return;
        }
        let waiting = leg.send_unattended(core, call, bye);
        self.await_challenge(waiting);
    }

    /// Takes why a peer ends the call, for the other one (RFC 3326).
    pub(super) fn hear_reasons(&mut self, message: &Fields) {
        self.reasons = self.reasons_in(message);
    }

    /// Gives the current attempt up: CANCEL where it was heard of, and where not as soon as it is.
    pub(super) fn abandon_current(&mut self, core: &mut Core) {
        if let Some(leg) = self.attempts.last().map(|attempt| attempt.leg.number) {
            self.abandon(core, leg);
        }
    }

    pub(super) fn abandon(&mut self, core: &mut Core, leg: u8) {
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        match attempt.progress {
            Progress::Calling => attempt.progress = Progress::Abandoned,
            Progress::Proceeding => self.cancel(core, leg),
            Progress::Answered | Progress::Failed | Progress::Abandoned | Progress::Cancelled => {}
        }
    }

    fn cancel(&mut self, core: &mut Core, leg: u8) {
        let call = self.id;
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        attempt.progress = Progress::Cancelled;
        let Some(invite) = attempt.invite else { return };
        let reasons = &self.reasons;
        core.with_transactions(|transactions, around| transactions.cancel(invite, reasons, around));
        let wait = core.settings.timers.t1 * 64;
        let timer = core.start_call_timer(wait, call, CallTimer::Cancel(leg));
        if let Some(attempt) = self.attempt_mut(leg) {
            attempt.cancel_timer = Some(timer);
        }
    }

    /// RFC 3261 §9.1: without a final response in 64*T1 the INVITE counts as cancelled.
    pub(super) fn on_cancel_timer(&mut self, core: &mut Core, leg: u8) {
        if let Some(attempt) = self.attempt_mut(leg) {
            attempt.cancel_timer = None;
            if let Some(invite) = attempt.invite.take() {
                core.transactions.forget(invite, &mut core.wheel);
            }
        }
    }

    /// Something came for an attempt that is not wanted any more.
    pub(super) fn on_unwanted_outcome(&mut self, core: &mut Core, leg: u8, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Response(response) if response.status < 200 => {
                let waits = self
                    .attempt_mut(leg)
                    .is_some_and(|attempt| attempt.progress == Progress::Abandoned);
                if waits {
                    self.cancel(core, leg);
                }
            }
            Outcome::Response(response) if response.status < 300 => {
                self.hang_up_on(core, leg, response)
            }
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportError => {}
        }
        let Some(attempt) = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.leg.number == leg)
        else {
            return;
        };
        if attempt.progress == Progress::Answered {
            return;
        }
        match outcome {
            Outcome::Response(response) if response.status < 200 => {}
            // Other forks may answer for as long as the transaction lives, and a 2xx whose ACK was lost comes
            // again (RFC 3261 §13.2.2.4, RFC 6026 §7.2).
            Outcome::Response(response) if response.status < 300 => {
                core.cancel_timer(&mut attempt.cancel_timer);
                let wait = core.settings.timers.t1 * 64;
                attempt.cancel_timer =
                    Some(core.start_call_timer(wait, self.id, CallTimer::Cancel(leg)));
            }
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportError => {
                attempt.invite = None;
                core.cancel_timer(&mut attempt.cancel_timer);
            }
        }
    }

    /// A 2xx that came too late, or from another fork than the one that was taken: ACK, then BYE
    /// (RFC 3261 §13.2.2.4).
    fn hang_up_on(&mut self, core: &mut Core, leg: u8, response: &Response) {
        let branch = self.one_way_branch(core);
        let (number, call) = (response.cseq().map_or(1, |cseq| cseq.number), self.id);
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        let tag = response.to().ok().and_then(|to| to.tag());
        let is_taken = tag == attempt.leg.dialog.remote_tag.as_deref();
        if attempt.progress == Progress::Answered && is_taken {
            // The 2xx we have, again: its ACK waits for leg A's.
            return;
        }
        let tag = tag.unwrap_or_default();
        if let Some(fork) = attempt.forks.iter().find(|fork| *fork.tag == *tag) {
            core.send_plain(fork.flow, fork.ack.clone());
            return;
        }
        if attempt.forks.len() == FORKS_MAX {
            return;
        }
        let kept = attempt.leg.dialog.clone();
        attempt.leg.dialog.confirm(response);
        let (flow, ack) = write_ack(core, &mut attempt.leg, number, &branch, None);
        core.send_plain(flow, ack.clone());
        let leg = &mut attempt.leg;
        let waiting = leg.send_unattended_to_fork(core, call, Unattended::bye(&[]));
        if attempt.progress == Progress::Answered {
            attempt.leg.dialog = kept;
        }
        attempt.forks.push(Fork {
            tag: tag.into(),
            flow,
            ack,
        });
        self.await_challenge(waiting);
    }
}

/// Reason values of a message, as far as they are passed on.
impl Call {
    /// The Reason values of a peer's message, as the other side is told them.
    pub(super) fn reasons_in(&self, message: &Fields) -> Vec<Box<str>> {
        let is_masked = self.facts.kind == CallKind::Proxy;
        let policies = [Side::A, Side::B].map(|side| self.leg(side)?.policy.as_ref());
        let mut rules = policies.iter().flatten().map(|policy| &policy.headers);
        let is_removed = rules.any(|rules| rules.removes(HeaderName::Reason.as_str()));
        message
            .values(HeaderName::Reason)
            .filter(|_| !is_removed)
            .filter(|value| value.len() <= REASON_BYTES_MAX)
            .take(REASONS_MAX)
            .filter_map(|value| match is_masked {
                true => untelling(value).map(Into::into),
                false => Some(value.into()),
            })
            .collect()
    }
}

/// A Reason value without a peer's free text: the protocol and its cause, where they are what RFC 3326 §2 says.
fn untelling(value: &str) -> Option<String> {
    let mut parts = value.split(';').map(str::trim);
    let protocol = parts.next()?;
    let known = ["SIP", "Q.850"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(protocol))?;
    let cause: u16 = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_cause = name.trim_end().eq_ignore_ascii_case("cause");
        is_cause.then(|| value.trim_start().parse().ok()).flatten()
    })?;
    (cause < 1_000).then(|| format!("{known};cause={cause}"))
}

/// What both sides are told where it is the gateway that ends a call.
fn reason_of(cause: EndCause) -> Option<&'static str> {
    match cause {
        EndCause::NoAck => Some("SIP;cause=408;text=\"No ACK Came\""),
        EndCause::MediaTimeout => Some("SIP;cause=408;text=\"No Media\""),
        EndCause::SessionExpired => Some("SIP;cause=408;text=\"Session Timer Expired\""),
        EndCause::LegLost => Some("SIP;cause=481;text=\"The Other Side Is Gone\""),
        EndCause::Internal => Some("SIP;cause=500;text=\"Gateway Fault\""),
        EndCause::Shutdown => Some("SIP;cause=503;text=\"Gateway Stops\""),
        EndCause::CallerHungUp
        | EndCause::CalledHungUp
        | EndCause::Cancelled
        | EndCause::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::untelling;

    #[test]
    fn a_reason_is_left_its_protocol_and_its_cause() {
        for (said, told) in [
            ("Q.850;cause=16;text=\"Anna\"", Some("Q.850;cause=16")),
            ("sip ; text=\"Anna\" ; Cause = 486", Some("SIP;cause=486")),
            ("SIP;text=\"+4930901820\"", None),
            ("+4930901820;cause=16", None),
            ("SIP;cause=4930", None),
            ("SIP;cause=+4930901820", None),
            ("", None),
        ] {
            assert_eq!(untelling(said).as_deref(), told, "{said}");
        }
    }
}
