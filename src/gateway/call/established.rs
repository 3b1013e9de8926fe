//! Requests that come within the call's dialogs: BYE, re-INVITE, OPTIONS; UPDATE has a file of its own.

use bytes::Bytes;

use super::offer_answer::{Event, Fault};
use super::setup::write_trying;
use super::{Call, Exchange, Side, State, session_timer};
use crate::gateway::Refusal;
use crate::shard::core::{Core, finished, message_buffer, response_flow, unsupported_options};
use crate::shard::io::Flow;
use crate::shard::transactions::User;
use crate::sip::message::{HeaderName, Method, Request};
use crate::sip::response::write_response;
use crate::sip::writer::reason_phrase;
use crate::telemetry::EndCause;

impl Call {
    /// A request came within the dialog of this leg; it belongs to no transaction yet.
    pub(crate) fn on_request(&mut self, core: &mut Core, leg: u8, request: Request, flow: Flow) {
        let side = self.side_of(leg);
        if request.method == Method::Ack {
            if let Some(side) = side {
                self.on_ack(core, side, &request);
            }
            return;
        }
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let leg = match side {
            Some(side) => self.leg_mut(side),
            None => self.attempt_mut(leg).map(|attempt| &mut attempt.leg),
        };
        let in_order = leg.is_some_and(|leg| leg.dialog.accept_cseq(number));
        if !in_order {
            // RFC 3261 §12.2.2
            core.reply(&request, &flow, &Refusal::new(500, "CSeq Out Of Order"));
            return;
        }
        // RFC 3261 §8.2.2.3
        if unsupported_options(&request).next().is_some() {
            core.reply(&request, &flow, &Refusal::new(420, reason_phrase(420)));
            return;
        }
        let Some(side) = side else {
            self.on_target_request(core, &request, &flow);
            return;
        };
        if self.has_left(side) && request.method != Method::Bye {
            core.reply(&request, &flow, &Refusal::new(481, reason_phrase(481)));
            return;
        }
        match request.method {
            Method::Bye => self.on_bye(core, side, &request, &flow),
            Method::Invite => self.on_reinvite(core, side, request, flow),
            Method::Options => core.reply(&request, &flow, &Refusal::new(200, "OK")),
            Method::Update => self.on_update(core, side, request, flow),
            Method::Info => self.on_info(core, side, request, flow),
            Method::Prack => self.on_prack(core, side, request, flow),
            Method::Refer => self.on_refer(core, side, request, flow),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Subscribe
            | Method::Notify
            | Method::Message
            | Method::Publish
            | Method::Unknown => {
                core.reply(&request, &flow, &Refusal::new(405, reason_phrase(405)))
            }
        }
    }

    fn on_bye(&mut self, core: &mut Core, side: Side, request: &Request, flow: &Flow) {
        core.reply(request, flow, &Refusal::new(200, "OK"));
        self.hear_reasons(request);
        let cause = match side {
            Side::A => EndCause::CallerHungUp,
            Side::B => EndCause::CalledHungUp,
        };
        match self.state {
            State::Established => {
                if !self.leave(core, side) {
                    self.end_established(core, cause, Some(side));
                }
            }
            // RFC 3261 §15: a caller may send BYE on an early dialog, a callee may not.
            State::Setup if side == Side::A => self.end_setup(
                core,
                &Refusal::new(487, reason_phrase(487)),
                EndCause::Cancelled,
            ),
            State::Setup => {}
            State::Ended => self.stop_waiting_for_ack(core, side),
        }
    }

    /// A side that hung up sends no ACK any more, and needs no BYE.
    fn stop_waiting_for_ack(&mut self, core: &mut Core, side: Side) {
        let waiting = self.exchange.take_if(|exchange| exchange.from == side);
        if let Some(mut answered) = waiting.and_then(|exchange| exchange.answered) {
            core.cancel_timer(&mut answered.timer);
        }
    }

    fn on_reinvite(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        if self.state == State::Ended {
            self.refuse_invite(
                core,
                side,
                &request,
                &flow,
                &Refusal::new(481, reason_phrase(481)),
            );
            return;
        }
        self.give_way_to(core, side);
        if let Some(refusal) = self.invite_collision(side) {
            self.refuse_invite(core, side, &request, &flow, &refusal);
            return;
        }
        let checked = session_timer::check(&request, &core.settings.timers);
        let offer = match checked.and_then(|()| self.offer_in(side, &request)) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_invite(core, side, &request, &flow, &refusal),
        };
        self.hear(side, &request, flow);
        let Some(leg) = self.leg(side) else { return };
        let user = User::Leg(self.id, leg.number);
        let Some(server) =
            core.transactions
                .start_server(&request, response_flow(&request, &flow), user)
        else {
            core.reply_stateless(
                &request,
                &flow,
                &Refusal::unavailable("Too Many Transactions", 5),
            );
            return;
        };
        let exchange = Exchange {
            from: side,
            request,
            flow,
            server,
            offer,
            answered: None,
        };
        core.respond(server, 100, &write_trying(&exchange));
        let has_offer = exchange.offer.is_some();
        self.exchange = Some(exchange);
        self.glares = 0;
        self.carried.clear();
        if has_offer {
            self.note(side, Event::ReceiveOffer);
        }
        match self.session_again(side) {
            Some(session) => self.answer_session_again(core, side, &session),
            None => self.pass_reinvite(core, side.other()),
        }
    }

    /// Why no re-INVITE may come from this side now (RFC 3261 §14.2).
    fn invite_collision(&self, side: Side) -> Option<Refusal> {
        match &self.exchange {
            Some(exchange) if exchange.from == side => Some(Fault::Theirs.refusal()),
            Some(_) => Some(Fault::Ours.refusal()),
            None => self.offer_collision(side),
        }
    }

    /// What we agreed on on this leg, where the exchange's offer is the peer's last description to the
    /// letter: the peer refreshes its session, and the other leg has nothing to do with that.
    fn session_again(&mut self, side: Side) -> Option<Bytes> {
        let offer = self.exchange.as_ref()?.offer.clone()?;
        let address = self.endpoint(side)?.advertise;
        let codecs = self.codecs(side);
        let other = self.leg(side.other())?.remote_session();
        let leg = self.leg_mut(side)?;
        if *offer.as_bytes() != leg.remote {
            return None;
        }
        // What was agreed on may be what we have offered.
        let again = leg.local.agreed_answer_again();
        again.or_else(|| Some(leg.answer(&offer, &other?, (address, &codecs))))
    }

    fn answer_session_again(&mut self, core: &mut Core, side: Side, session: &Bytes) {
        self.note(side, Event::SendAnswer);
        self.answer_success(core, session, None, 0);
    }

    /// Answers the exchange's INVITE with a failure, which ends the exchange.
    pub(super) fn answer_failure(&mut self, core: &mut Core, refusal: &Refusal) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        self.end_provisionals(core);
        for side in [Side::A, Side::B] {
            self.note(side, Event::Reject);
        }
        let Some(leg) = self.leg(exchange.from) else {
            return;
        };
        let mut out = message_buffer();
        let tag = leg.tag(self.id, core.settings.shard);
        let mut writer = write_response(
            &mut out,
            &exchange.request,
            exchange.flow.remote,
            refusal.status,
            &refusal.reason,
            Some(&tag),
        );
        if let Some(seconds) = refusal.retry_after {
            writer.number(HeaderName::RetryAfter, u64::from(seconds));
        }
        for reason in &refusal.reasons {
            writer.field(HeaderName::Reason, &[reason]);
        }
        core.write_warning(&mut writer, &exchange.flow, refusal);
        writer.end();
        core.respond(exchange.server, refusal.status, &finished(out));
    }

    /// Refuses a re-INVITE without touching the exchange that is under way.
    fn refuse_invite(
        &mut self,
        core: &mut Core,
        side: Side,
        request: &Request,
        flow: &Flow,
        refusal: &Refusal,
    ) {
        // The dialog's CSeq has moved on; the refusal needs no state but its transaction.
        debug_assert!(self.leg(side).is_some(), "a re-INVITE came within a dialog");
        core.reply(request, flow, refusal);
    }
}
