//! UPDATE (RFC 3311): a new session or target without an INVITE, before or after the answer.
//!
//! One with an offer goes on to the other leg, as UPDATE where its peer takes that, as a re-INVITE where
//! it does not and the call is answered. One without changes only what its own leg knows of its peer.

use bytes::Bytes;

use super::exchange::Unanswerable;
use super::offer_answer::{Event, Fault};
use super::reinvite::Purpose;
use super::security::SdpRole;
use super::{Call, Outcome, Side, State, session_timer};
use crate::gateway::Refusal;
use crate::sdp::SessionDescription;
use crate::shard::core::{Core, finished, message_buffer, response_flow};
use crate::shard::io::{Flow, TransactionId};
use crate::shard::transactions::User;
use crate::sip::message::{Method, Request, Response};
use crate::sip::writer::reason_phrase;

/// An offer outside an INVITE, on its way through the call.
pub(super) struct Update {
    pub(super) from: Side,
    request: Request,
    /// How the request came.
    flow: Flow,
    server: TransactionId,
    offer: SessionDescription,
}

/// An UPDATE of ours that has no final response.
#[derive(Clone, Copy)]
pub(super) struct SentUpdate {
    pub(super) transaction: TransactionId,
    /// The leg it was sent on.
    side: Side,
}

impl Call {
    /// An UPDATE came within the dialog of `side`.
    pub(super) fn on_update(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        let checked = session_timer::check(&request, &core.settings.timers);
        let offer = checked.and_then(|()| self.offer_in(side, &request));
        let offer = match (self.state, offer) {
            (State::Ended, _) => Err(Refusal::new(481, reason_phrase(481))),
            (State::Setup | State::Established, offer) => offer,
        };
        match offer {
            Err(refusal) => core.reply(&request, &flow, &refusal),
            Ok(None) => {
                self.hear(side, &request, flow);
                let agreed = match self.state {
                    State::Established => self.agree_with_client(core, side, &request),
                    State::Setup | State::Ended => None,
                };
                let came = (&request, &flow);
                let extra = session_timer::named_fields(&agreed);
                let body = Bytes::new();
                let answer = self.write_answer_to(core, side, came, (200, "OK"), &body, &extra);
                core.reply_with(&request, &flow, 200, answer);
            }
            Ok(Some(offer)) => self.take_offer(core, side, request, flow, offer),
        }
    }

    /// Takes an offer that came in an UPDATE or a PRACK.
    pub(super) fn take_offer(
        &mut self,
        core: &mut Core,
        side: Side,
        request: Request,
        flow: Flow,
        offer: SessionDescription,
    ) {
        self.give_way_to(core, side);
        if let Some(refusal) = self.offer_collision(side) {
            core.reply(&request, &flow, &refusal);
            return;
        }
        self.hear(side, &request, flow);
        let Some(leg) = self.leg(side) else { return };
        let user = User::Leg(self.id, leg.number);
        let back = response_flow(&request, &flow);
        let Some(server) = core.transactions.start_server(&request, back, user) else {
            let refusal = Refusal::unavailable("Too Many Transactions", 5);
            core.reply_stateless(&request, &flow, &refusal);
            return;
        };
        self.note(side, Event::ReceiveOffer);
        self.glares = 0;
        self.update = Some(Update {
            from: side,
            request,
            flow,
            server,
            offer,
        });
        self.pass_update(core);
    }

    /// Why no offer may come from this side now: one is under way, on this leg or on the other.
    pub(super) fn offer_collision(&self, side: Side) -> Option<Refusal> {
        if self.holds_offers(side) {
            return Some(Fault::Ours.refusal());
        }
        let own = self.leg(side)?.negotiation;
        if let Err(fault) = own.step(Event::ReceiveOffer) {
            return Some(fault.refusal());
        }
        if let Some(exchange) = &self.exchange
            && self.state == State::Established
            && exchange.answered.is_none()
        {
            // An INVITE that may still bring an offer.
            let fault = match exchange.from == side {
                true => Fault::Theirs,
                false => Fault::Ours,
            };
            return Some(fault.refusal());
        }
        let other = self.leg(side.other())?.negotiation;
        let is_free = self.update.is_none() && other.step(Event::SendOffer).is_ok();
        (!is_free).then(|| Fault::Ours.refusal())
    }

    /// Sends the offer of the UPDATE at hand to the other leg.
    pub(super) fn pass_update(&mut self, core: &mut Core) {
        let Some(update) = &self.update else { return };
        let (to, offer) = (update.from.other(), update.offer.clone());
        let takes_update = self.leg(to).is_some_and(|leg| leg.takes_update);
        match (takes_update, self.state) {
            (true, _) => self.send_update(core, to, &offer),
            (false, State::Established) => {
                self.send_reinvite(core, to, Some(&offer), Purpose::Update)
            }
            // RFC 3311 §5.2: what cannot be done without asking somebody. Before the answer there is no
            // other way to bring an offer to this leg.
            (false, State::Setup | State::Ended) => {
                self.refuse_update(core, &Refusal::new(504, "The Other Side Takes No UPDATE"));
            }
        }
    }

    fn send_update(&mut self, core: &mut Core, to: Side, offer: &SessionDescription) {
        let ours = self.endpoint(to).map(|endpoint| endpoint.advertise);
        let codecs = self.codecs(to);
        let body = ours.and_then(|ours| {
            let leg = self.leg_mut(to)?;
            leg.note(Event::SendOffer);
            Some(leg.offer(core, offer, (ours, &codecs)))
        });
        match self.send_update_with(core, to, body) {
            Some(transaction) => {
                let side = to;
                self.sent_update = Some(SentUpdate { transaction, side });
            }
            None => self.refuse_update(core, &Refusal::unavailable("Too Many Transactions", 5)),
        }
    }

    /// Sends an UPDATE with this body; `None` where the table of transactions is full.
    pub(super) fn send_update_with(
        &mut self,
        core: &mut Core,
        to: Side,
        body: Option<Bytes>,
    ) -> Option<TransactionId> {
        let ticket = core.ticket()?;
        let call = self.id;
        let leg = self.leg_mut(to)?;
        leg.dialog.local_cseq += 1;
        let flow = leg.request_flow(core);
        let user = User::Leg(call, leg.number);
        let mut out = message_buffer();
        let place = (leg.dialog.local_cseq, &flow, ticket.branch.as_str());
        let mut writer = leg.write_in_dialog(core, &mut out, Method::Update, place);
        core.write_capabilities(&mut writer, &flow, leg.is_sips);
        leg.write_session_timer(&mut writer);
        match body {
            Some(body) => writer.body("application/sdp", &body),
            None => writer.end(),
        }
        core.send_request(&ticket, Method::Update, flow, finished(out), user);
        Some(ticket.id)
    }

    /// Nobody waits for what comes of an UPDATE on this side any more.
    pub(super) fn forget_update(&mut self, side: Side) {
        self.sent_update.take_if(|sent| sent.side == side);
    }

    /// The other leg answered our UPDATE, or did not.
    pub(super) fn on_update_outcome(&mut self, core: &mut Core, outcome: Outcome<'_>) {
        let Some(sent) = self.sent_update else { return };
        match outcome {
            Outcome::Response(response) if response.status < 200 => return,
            Outcome::Response(response) if response.status < 300 => {
                self.sent_update = None;
                if let Some(leg) = self.leg_mut(sent.side) {
                    leg.hear_answer(response);
                }
                if self.state == State::Established {
                    self.agree_with_server(core, sent.side, response);
                }
                self.answer_update(core, response);
                return;
            }
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportError => {}
        }
        self.sent_update = None;
        if let Outcome::Response(response) = outcome
            && self.update.is_some()
            && self.may_authenticate(sent.side, response)
        {
            self.send_passed_again(core, sent.side, Purpose::Update);
            return;
        }
        let (status, reason) = outcome.failure();
        if self.update.is_some() {
            self.on_passed_failed(core, sent.side, Purpose::Update, status, &reason);
        }
    }

    /// The other side's 2xx to the offer of the UPDATE at hand; where it is a re-INVITE's, its ACK is
    /// sent already.
    pub(super) fn answer_update(&mut self, core: &mut Core, response: &Response) {
        let Some(update) = self.update.take() else {
            return;
        };
        let from = update.from;
        let answer = self.session_in(from.other(), response, SdpRole::Answer);
        let fault = answer.as_ref().err().cloned().map(Unanswerable);
        let body = answer.unwrap_or_default().and_then(|answer| {
            self.note(from.other(), Event::ReceiveAnswer);
            let body = self.answer_for(core, from, &update.offer, &answer);
            self.note(from, Event::SendAnswer);
            body
        });
        let Some(body) = body else {
            let Unanswerable(refusal) = fault.unwrap_or_default();
            self.update = Some(update);
            self.refuse_update(core, &refusal);
            return;
        };
        let agreed = match (self.state, update.request.method) {
            (State::Established, Method::Update) => {
                self.agree_with_client(core, from, &update.request)
            }
            (State::Established | State::Setup | State::Ended, _) => None,
        };
        let came = (&update.request, &update.flow);
        let extra = session_timer::named_fields(&agreed);
        let success = self.write_answer_to(core, from, came, (200, "OK"), &body, &extra);
        core.respond(update.server, 200, &success);
    }

    /// The UPDATE at hand comes to nothing: the session stays as it was.
    pub(super) fn refuse_update(&mut self, core: &mut Core, refusal: &Refusal) {
        let Some(update) = self.update.take() else {
            return;
        };
        self.note(update.from, Event::Reject);
        self.note(update.from.other(), Event::Reject);
        let response = core.write_refusal(&update.request, &update.flow, refusal);
        core.respond(update.server, refusal.status, &response);
    }
}
