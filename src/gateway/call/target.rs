//! The target of a transfer: its leg, place after place, and how it is joined with the party that remains.
//!
//! The target's INVITE offers what the remaining party has said last; its answer goes to that party as the
//! offer of a re-INVITE. The media runs through the gateway, so neither has to know the other's address
//! before. The target's leg stands among the attempts, before the last, which is leg B.

use std::collections::VecDeque;

use super::exchange::Unanswerable;
use super::exchange::write_ack;
use super::invitation::{Invitation, Session, flow_to, over_a_stream};
use super::limits::book_carrier;
use super::offer_answer::Event as OfferEvent;
use super::reinvite::Purpose;
use super::security::SdpRole;
use super::setup::{for_caller, is_retried_elsewhere};
use super::tried::{Tried, is_among};
use super::unattended::Unattended;
use super::{Attempt, Call, CallTimer, Leg, Outcome, Progress, Side};
use crate::gateway::Refusal;
use crate::gateway::headers::Privacy;
use crate::gateway::limiter::{CarrierBooking, Urgency};
use crate::gateway::routing::Candidate;
use crate::instant::Instant;
use crate::sdp::SessionDescription;
use crate::shard::core::Core;
use crate::shard::io::Flow;
use crate::shard::transactions::User;
use crate::shard::wheel::TimerId;
use crate::sip::message::{Method, Request, Response};
use crate::sip::writer::reason_phrase;
use crate::telemetry::CallFacts;

/// The target of a transfer.
pub(super) struct Target {
    /// The REFER.
    request: Request,
    privacy: Privacy,
    is_sips: bool,
    /// What the remaining party has said last.
    session: SessionDescription,
    candidates: VecDeque<Candidate>,
    /// Where its INVITE was sent.
    tried: Vec<Tried>,
    /// The failure that came first.
    failure: Option<Refusal>,
    /// Its leg's number.
    leg: Option<u8>,
    /// What identifies its call in records.
    pub(super) facts: CallFacts,
    answered: Option<Answered>,
}

/// The target's 2xx, which is acknowledged.
struct Answered {
    success: Response,
    session: SessionDescription,
    /// Until when it may wait for the remaining party, and when to look again.
    until: Instant,
    timer: Option<TimerId>,
}

impl Target {
    pub(super) fn new(
        core: &mut Core,
        (request, facts): (Request, CallFacts),
        mut candidates: Vec<Candidate>,
        privacy: Privacy,
        is_sips: bool,
        session: SessionDescription,
    ) -> Self {
        let now = core.now;
        core.resting
            .put_last(&mut candidates, |candidate| candidate.address, now);
        Self {
            request,
            facts,
            privacy,
            is_sips,
            session,
            candidates: candidates.into(),
            tried: Vec::new(),
            failure: None,
            leg: None,
            answered: None,
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }
}

impl Call {
    fn target_mut(&mut self) -> Option<&mut Target> {
        self.transfer.as_mut().map(|transfer| &mut transfer.target)
    }

    /// Whether this is the leg of a target that has not answered.
    pub(super) fn is_target(&self, leg: u8) -> bool {
        let target = self.transfer.as_ref().map(|transfer| &transfer.target);
        target.is_some_and(|target| target.leg == Some(leg) && target.answered.is_none())
    }

    /// The leg of the target, answered or not.
    pub(super) fn target_leg(&self) -> Option<&Leg> {
        let number = self.transfer.as_ref()?.target.leg?;
        let mut legs = self.attempts.iter().map(|attempt| &attempt.leg);
        legs.find(|leg| leg.number == number)
    }

    /// Whether the remaining party has a re-INVITE for the target.
    pub(super) fn is_joining(&self) -> bool {
        let purpose = self.reinvite.as_ref().map(|reinvite| reinvite.purpose);
        purpose == Some(Purpose::Transfer)
    }

    /// Whether a target has answered and waits for the remaining party.
    pub(super) fn is_joined_soon(&self) -> bool {
        let transfer = self.transfer.as_ref();
        transfer.is_some_and(|transfer| transfer.target.is_answered())
    }

    pub(super) fn invitation_of_target(&self) -> Option<Invitation<'_>> {
        let transfer = self.transfer.as_ref()?;
        let target = &transfer.target;
        Some(Invitation {
            request: &target.request,
            caller: &target.facts.caller,
            called: &target.facts.called,
            kind: target.facts.kind,
            source: self.leg(transfer.from)?.policy.as_deref(),
            codecs: self.codecs_of(transfer.from.other()),
            privacy: target.privacy,
            is_sips: target.is_sips,
            session: Session::Renewed(&target.session),
            endpoint: self.media.target(),
        })
    }

    /// Calls the target at the next place that it can be called at, or gives the transfer up.
    pub(super) fn try_next_target(&mut self, core: &mut Core) {
        core.cancel_timer(&mut self.ring_timer);
        core.cancel_timer(&mut self.route_timer);
        while let Some(candidate) = self.next_target_place() {
            match self.try_target(core, candidate) {
                Ok(()) => return,
                Err(refusal) => self.note_target_failure(refusal),
            }
        }
        let failure = self.target_mut().and_then(|target| target.failure.take());
        let failure = failure.unwrap_or_else(|| Refusal::unavailable("No Place To Send To", 5));
        self.fail_transfer(core, &failure);
    }

    fn next_target_place(&mut self) -> Option<Candidate> {
        let Target {
            candidates, tried, ..
        } = self.target_mut()?;
        std::iter::from_fn(|| candidates.pop_front()).find(|candidate| !is_among(tried, candidate))
    }

    fn note_target_failure(&mut self, failure: Refusal) {
        if let Some(target) = self.target_mut() {
            target.failure.get_or_insert(failure);
        }
    }

    fn try_target(&mut self, core: &mut Core, candidate: Candidate) -> Result<(), Refusal> {
        let transfer = self.transfer.as_ref();
        let urgency = transfer.map_or(Urgency::Routine, |transfer| transfer.holding.urgency);
        let booking = book_carrier(core, &candidate, urgency)?;
        let flow = flow_to(core, &candidate)?;
        self.has_codec_for(core, self.invitation_of_target(), &candidate)?;
        self.media.allocate_target(core, candidate.address.ip())?;
        let ticket = core
            .ticket()
            .ok_or_else(|| Refusal::unavailable("Too Many Transactions", 5))?;
        let number = self.next_leg();
        let Some(invitation) = self.invitation_of_target() else {
            return Err(Refusal::new(500, reason_phrase(500)));
        };
        let mut leg = self.new_leg(core, number, &candidate, flow, &invitation);
        let invite = self.write_invite(core, &mut leg, &flow, &ticket.branch, &invitation);
        if let Some(stream) = over_a_stream(core, &candidate, invite.len()) {
            drop(booking);
            let place = Tried::from(&candidate);
            // Should the stream not come up, UDP is tried all the same.
            let again = Candidate {
                udp_at_any_size: true,
                ..candidate
            };
            if let Some(target) = self.target_mut() {
                target.tried.push(place);
                target.candidates.push_front(again);
            }
            return self.try_target(core, stream);
        }
        if let Some(endpoint) = self.media.target() {
            core.media
                .protect(endpoint.id, &leg.keying.protection(false));
        }
        let user = User::Leg(self.id, number);
        leg.lease = booking.map(CarrierBooking::confirm);
        let before_b = self.attempts.len().saturating_sub(1);
        self.attempts
            .insert(before_b, Attempt::new(leg, Some(ticket.id)));
        if let Some(target) = self.target_mut() {
            target.leg = Some(number);
            target.tried.push(Tried::from(&candidate));
        }
        core.send_request(&ticket, Method::Invite, flow, invite, user);
        let timers = core.settings.timers;
        self.ring_timer = Some(core.start_call_timer(timers.timer_c, self.id, CallTimer::Ring));
        self.route_timer =
            Some(core.start_call_timer(timers.route_timeout, self.id, CallTimer::Route));
        Ok(())
    }

    /// A response of the target, or its absence.
    pub(super) fn on_target_outcome(&mut self, core: &mut Core, leg: u8, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Response(response) if response.status < 200 => {
                self.on_target_provisional(core, leg, response.status)
            }
            Outcome::Response(response) if response.status < 300 => {
                self.on_target_answer(core, leg, response)
            }
            Outcome::Response(response) if self.may_ask_again(core, leg, response) => {}
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportError => {
                self.on_target_failure(core, leg, &outcome)
            }
        }
    }

    /// What the target says before it answers is not heard: the remaining party is still in its call.
    fn on_target_provisional(&mut self, core: &mut Core, leg: u8, status: u16) {
        core.cancel_timer(&mut self.route_timer);
        if let Some(attempt) = self.attempt_mut(leg) {
            attempt.progress = Progress::Proceeding;
        }
        if status > 100 {
            // RFC 3261 §16.7 step 2: timer C starts again.
            core.cancel_timer(&mut self.ring_timer);
            let timer_c = core.settings.timers.timer_c;
            self.ring_timer = Some(core.start_call_timer(timer_c, self.id, CallTimer::Ring));
        }
    }

    /// Sends the target's INVITE again with what a failure response asks for.
    fn may_ask_again(&mut self, core: &mut Core, leg: u8, response: &Response) -> bool {
        let Some(attempt) = self.attempt_mut(leg) else {
            return false;
        };
        let may = match response.status {
            401 | 407 => attempt.leg.take_challenge(response),
            422 => attempt.leg.hear_min_se(response),
            0..=400 | 402..=406 | 408..=421 | 423.. => false,
        };
        may && self.send_invite_again(core, leg)
    }

    fn on_target_failure(&mut self, core: &mut Core, leg: u8, outcome: &Outcome<'_>) {
        let now = core.now;
        if let Some(attempt) = self.attempt_mut(leg) {
            attempt.progress = Progress::Failed;
            attempt.invite = None;
            let place = attempt.leg.flow.remote;
            if let Outcome::Response(response) = outcome {
                if let (503, Some(seconds)) = (response.status, response.retry_after()) {
                    core.resting.rest(place, seconds.into(), now);
                }
                self.drop_target_again();
            }
        }
        let (status, reason) = outcome.failure();
        let failure = Refusal::new(status, self.passed_reason(status, &reason));
        let failure = for_caller(failure);
        match is_retried_elsewhere(status) {
            true => {
                self.note_target_failure(failure);
                self.try_next_target(core);
            }
            false => self.fail_transfer(core, &failure),
        }
    }

    /// The place has answered over a stream: it need not be tried over UDP.
    fn drop_target_again(&mut self) {
        if let Some(target) = self.target_mut() {
            let first = target.candidates.front();
            if first.is_some_and(|candidate| candidate.udp_at_any_size) {
                target.candidates.pop_front();
            }
        }
    }

    /// The target's place has said nothing at all.
    pub(super) fn on_target_silent(&mut self, core: &mut Core) {
        let Some(leg) = self.transfer.as_ref().and_then(|it| it.target.leg) else {
            return;
        };
        self.note_target_failure(Refusal::new(408, reason_phrase(408)));
        self.abandon(core, leg);
        self.try_next_target(core);
    }

    fn on_target_answer(&mut self, core: &mut Core, leg: u8, response: &Response) {
        core.cancel_timer(&mut self.ring_timer);
        core.cancel_timer(&mut self.route_timer);
        let branch = self.one_way_branch(core);
        let number = response.cseq().map_or(1, |cseq| cseq.number);
        let Some(stays) = self.transfer.as_ref().map(|it| it.from.other()) else {
            return;
        };
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        attempt.progress = Progress::Answered;
        attempt.switch_to(response, true);
        attempt.leg.note(OfferEvent::ReceiveAnswer);
        let (flow, ack) = write_ack(core, &mut attempt.leg, number, &branch, None);
        attempt.leg.last_ack = Some((number, flow, ack.clone()));
        core.send_plain(flow, ack);
        let until = core.now + core.settings.timers.t1 * 64;
        let codecs = self.codecs_of_target(stays);
        let heard = match self.attempt_mut(leg) {
            Some(attempt) => attempt.leg.description_in(response, SdpRole::Answer),
            None => return,
        };
        let answered = match heard {
            Ok(Some(session)) if session.has_speech(&codecs) => Some(Answered {
                success: response.clone(),
                session,
                until,
                timer: None,
            }),
            Ok(Some(_) | None) | Err(_) => None,
        };
        let Some(target) = self.target_mut() else {
            return;
        };
        target.answered = answered;
        match target.answered.is_some() {
            true => self.join(core),
            false => {
                let reason = "The Answer Has No Audio Stream That Can Be Relayed";
                self.fail_transfer(core, &Refusal::new(488, reason));
            }
        }
    }

    /// Offers the remaining party what the target has answered, as soon as its leg is free for that.
    pub(super) fn join(&mut self, core: &mut Core) {
        let is_busy = self.exchange.is_some()
            || self.reinvite.is_some()
            || self.update.is_some()
            || self.sent_update.is_some()
            || self.refresh.is_some()
            || self.glare.is_some();
        let call = self.id;
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let stays = transfer.from.other();
        let Some(answered) = &mut transfer.target.answered else {
            return;
        };
        core.cancel_timer(&mut answered.timer);
        let left = answered.until.since(core.now);
        if left.is_zero() {
            let refusal = Refusal::new(500, "The Other Side Takes No Offer");
            self.fail_transfer(core, &refusal);
            return;
        }
        let look_again = match is_busy {
            true => left.min(core.settings.timers.t1),
            false => left,
        };
        answered.timer = Some(core.start_call_timer(look_again, call, CallTimer::Join));
        if !is_busy {
            let session = answered.session.clone();
            self.send_reinvite(core, stays, Some(&session), Purpose::Transfer);
        }
    }

    /// The remaining party comes with an offer of its own: that one first.
    pub(super) fn join_later(&mut self, core: &mut Core) {
        self.end_join_glare(core);
        let (t1, call) = (core.settings.timers.t1, self.id);
        let answered = self.target_mut().and_then(|it| it.answered.as_mut());
        if let Some(answered) = answered {
            core.cancel_timer(&mut answered.timer);
            answered.timer = Some(core.start_call_timer(t1, call, CallTimer::Join));
        }
    }

    /// The remaining party accepted the target's session.
    pub(super) fn on_joined(&mut self, core: &mut Core, stays: Side, response: &Response) {
        let number = response.cseq().map_or(0, |cseq| cseq.number);
        self.acknowledge(core, stays, number, None);
        self.note(stays, OfferEvent::ReceiveAnswer);
        let answered = self
            .target_mut()
            .and_then(|target| target.answered.as_ref());
        let offer = answered.map(|answered| answered.session.clone());
        match (offer, self.description_in(stays, response, SdpRole::Answer)) {
            (Some(offer), Ok(Some(answer))) => {
                self.apply_description(core, stays, &answer, SdpRole::Answer);
                self.complete_transfer(core);
                self.translate(core, stays.other(), &offer, &answer);
            }
            (_, Err(refusal)) => self.fail_transfer(core, &refusal),
            (None, _) | (_, Ok(None)) => self.fail_transfer(core, &Unanswerable::default().0),
        }
    }

    /// Puts the target's leg in the place of the transferor's, and its media too.
    pub(super) fn replace_leg(&mut self, core: &mut Core, from: Side, target: Target) {
        let is_meant = |attempt: &Attempt| Some(attempt.leg.number) == target.leg;
        let place = self.attempts.iter().position(is_meant);
        let (Some(place), Some(answered)) = (place, target.answered) else {
            return;
        };
        let attempt = self.attempts.remove(place);
        match from {
            Side::B => self.attempts.push(attempt),
            Side::A => {
                // Other forks of the target may still answer, and are hung up by what stays here.
                let Leg {
                    number,
                    secret,
                    party,
                    flow,
                    ..
                } = attempt.leg;
                let dialog = attempt.leg.dialog.clone();
                let mut shadow =
                    Leg::new((number, secret), party, dialog, flow, Default::default());
                shadow.policy = attempt.leg.policy.clone();
                let before = std::mem::replace(&mut self.a, attempt.leg);
                let forks = Attempt {
                    leg: shadow,
                    ..attempt
                };
                self.attempts.insert(0, forks);
                let left = Attempt {
                    progress: Progress::Answered,
                    ..Attempt::new(before, None)
                };
                self.attempts.insert(0, left);
            }
        }
        self.media.replace(core, from);
        self.apply_description(core, from, &answered.session, SdpRole::Answer);
        self.agree_with_server(core, from, &answered.success);
    }

    /// A request of the target before it is joined.
    pub(super) fn on_target_request(&mut self, core: &mut Core, request: &Request, flow: &Flow) {
        match request.method {
            Method::Ack => {}
            Method::Bye => {
                core.reply(request, flow, &Refusal::new(200, "OK"));
                let leg = self.transfer.as_ref().and_then(|it| it.target.leg);
                if let Some(attempt) = leg.and_then(|leg| self.attempt_mut(leg))
                    && attempt.progress == Progress::Answered
                {
                    attempt.progress = Progress::Failed;
                    attempt.invite = None;
                }
                self.fail_transfer(core, &Refusal::new(480, reason_phrase(480)));
            }
            Method::Options => core.reply(request, flow, &Refusal::new(200, "OK")),
            Method::Invite | Method::Update | Method::Refer => {
                core.reply(request, flow, &Refusal::new(491, reason_phrase(491)))
            }
            Method::Info => core.reply(request, flow, &super::transfer::busy()),
            Method::Cancel
            | Method::Prack
            | Method::Register
            | Method::Subscribe
            | Method::Notify
            | Method::Message
            | Method::Publish
            | Method::Unknown => core.reply(request, flow, &Refusal::new(405, reason_phrase(405))),
        }
    }

    /// The target is not wanted any more, whatever it has said.
    pub(super) fn drop_target(&mut self, core: &mut Core, target: &mut Target) {
        core.cancel_timer(&mut self.ring_timer);
        core.cancel_timer(&mut self.route_timer);
        if let Some(answered) = &mut target.answered {
            core.cancel_timer(&mut answered.timer);
        }
        if self.is_joining() {
            self.abandon_reinvite(core);
        }
        self.end_join_glare(core);
        self.media.release_target(core);
        let Some(leg) = target.leg else { return };
        let call = self.id;
        match self.attempt_mut(leg) {
            Some(attempt) if attempt.progress == Progress::Answered => {
                let leg = &mut attempt.leg;
                let waiting = leg.send_unattended(core, call, Unattended::bye(&[]));
                self.await_challenge(waiting);
            }
            Some(_) => self.abandon(core, leg),
            None => {}
        }
    }
}
