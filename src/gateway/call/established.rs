//! Requests within the call's dialogs: BYE, re-INVITE, OPTIONS.

use super::anchor::description_in;
use super::exchange::Unanswerable;
use super::setup::write_trying;
use super::{Call, Exchange, Outcome, Side, State};
use crate::gateway::Refusal;
use crate::shard::core::{ALLOW, Core, message_buffer, response_flow};
use crate::shard::io::Flow;
use crate::shard::transactions::User;
use crate::sip::message::{HeaderName, Method, Request, Response};
use crate::sip::response::behind_nat;
use crate::sip::writer::reason_phrase;
use crate::telemetry::EndCause;

impl Call {
    /// A request came within the dialog of `side`; it belongs to no transaction yet.
    pub(crate) fn on_request(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        if request.method == Method::Ack {
            self.on_ack(core, side, &request);
            return;
        }
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let in_order = self
            .leg_mut(side)
            .is_some_and(|leg| leg.dialog.accept_cseq(number));
        if !in_order {
            // RFC 3261 §12.2.2
            core.reply(&request, &flow, &Refusal::new(500, "CSeq Out Of Order"));
            return;
        }
        match request.method {
            Method::Bye => self.on_bye(core, side, &request, &flow),
            Method::Invite => self.on_reinvite(core, side, request, flow),
            Method::Options => core.reply(&request, &flow, &Refusal::new(200, "OK")),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Refer
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
        let cause = match side {
            Side::A => EndCause::CallerHungUp,
            Side::B => EndCause::CalledHungUp,
        };
        match self.state {
            State::Established => self.end_established(core, cause, Some(side)),
            // RFC 3261 §15: a caller may send BYE on an early dialog, a callee may not.
            State::Setup if side == Side::A => {
                self.end_setup(core, 487, reason_phrase(487), EndCause::Cancelled)
            }
            State::Setup | State::Ended => {}
        }
    }

    fn on_reinvite(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        if let Some(exchange) = &self.exchange {
            // RFC 3261 §14.2: one of its own is under way, or one of ours.
            let refusal = match exchange.from == side {
                true => Refusal {
                    retry_after: Some(1),
                    ..Refusal::new(500, "Another INVITE Is In Progress")
                },
                false => Refusal::new(491, reason_phrase(491)),
            };
            self.refuse_invite(core, side, &request, &flow, &refusal);
            return;
        }
        let offer = match description_in(&request) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_invite(core, side, &request, &flow, &refusal),
        };
        let id = self.id;
        let Some(leg) = self.leg_mut(side) else {
            return;
        };
        leg.dialog.refresh_target(&request);
        leg.flow = flow;
        leg.behind_nat = request.via().is_ok_and(|via| behind_nat(&via, flow.remote));
        let user = User::Leg(id, leg.number);
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
            client: None,
            answered: None,
        };
        core.respond(server, 100, &write_trying(&exchange));
        self.exchange = Some(exchange);
        self.pass_reinvite(core, side.other());
    }

    /// Sends the exchange's re-INVITE to the other leg.
    fn pass_reinvite(&mut self, core: &mut Core, to: Side) {
        let Some(ticket) = core.ticket() else {
            self.answer_failure(core, 500, "Too Many Transactions");
            return;
        };
        let offer = self
            .exchange
            .as_ref()
            .and_then(|exchange| exchange.offer.clone());
        let ours = self.endpoint(to).map(|endpoint| endpoint.advertise);
        let call = self.id;
        let Some(leg) = self.leg_mut(to) else { return };
        leg.dialog.local_cseq += 1;
        let body = offer
            .zip(ours)
            .map(|(offer, ours)| leg.local.offer(&offer, ours));
        let flow = leg.request_flow(core);
        let user = User::Leg(call, leg.number);
        let mut out = message_buffer();
        let cseq = leg.dialog.local_cseq;
        let mut writer = core.write_in_dialog(
            &mut out,
            &leg.dialog,
            Method::Invite,
            cseq,
            &flow,
            &ticket.branch,
        );
        core.write_contact(&mut writer, &flow);
        writer.field(HeaderName::Allow, &[ALLOW]);
        match &body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.end(),
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.client = Some(ticket.id);
        }
        core.send_request(&ticket, Method::Invite, flow, out.into(), user);
    }

    /// The other leg answered a re-INVITE, or did not.
    pub(super) fn on_reinvite_outcome(&mut self, core: &mut Core, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Response(response) if response.status < 200 => {}
            Outcome::Response(response) if response.status < 300 => {
                self.on_reinvite_success(core, response)
            }
            Outcome::Response(response) => {
                let reason = response.reason().to_owned();
                self.on_reinvite_failure(core, response.status, &reason);
            }
            Outcome::Timeout => self.on_reinvite_failure(core, 408, reason_phrase(408)),
            Outcome::TransportError => self.on_reinvite_failure(core, 503, "Transport Error"),
        }
    }

    fn on_reinvite_success(&mut self, core: &mut Core, response: &Response) {
        let Some(side) = self.exchange.as_ref().map(|exchange| exchange.from.other()) else {
            return;
        };
        if let Some(leg) = self.leg_mut(side) {
            leg.dialog.refresh_target(response);
        }
        if let Err(Unanswerable) = self.pass_success(core, response) {
            self.answer_failure(
                core,
                488,
                "The Answer Has No Audio Stream That Can Be Relayed",
            );
        }
    }

    /// The session stays as it was (RFC 3261 §14.1); 408 and 481 say that the leg is gone (§12.2.1.2).
    fn on_reinvite_failure(&mut self, core: &mut Core, status: u16, reason: &str) {
        let lost = matches!(status, 408 | 481)
            .then(|| self.exchange.as_ref().map(|exchange| exchange.from.other()));
        let status_for_peer = if matches!(status, 300..=399 | 401 | 407 | 503) {
            500
        } else {
            status
        };
        self.answer_failure(core, status_for_peer, reason);
        if let Some(lost) = lost {
            self.end_established(core, EndCause::LegLost, lost);
        }
    }

    /// Answers the exchange's INVITE with a failure, which ends the exchange.
    pub(super) fn answer_failure(&mut self, core: &mut Core, status: u16, reason: &str) {
        let Some(from) = self.exchange.as_ref().map(|exchange| exchange.from) else {
            return;
        };
        let failure = self.write_answer(core, from, status, reason, &bytes::Bytes::new());
        if let Some(exchange) = self.exchange.take() {
            core.respond(exchange.server, status, &failure);
        }
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
