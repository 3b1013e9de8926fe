//! Answers on their way back, and their ACKs.

use std::time::Duration;

use bytes::Bytes;

use super::offer_answer::{Event, State as Negotiation};
use super::security::SdpRole;
use super::{Answered, Call, CallTimer, Exchange, Leg, Side, State, session_timer};
use crate::gateway::Refusal;
use crate::sdp::SessionDescription;
use crate::shard::core::{Core, OPTION_TAGS, finished, message_buffer};
use crate::shard::io::Flow;
use crate::sip::message::{HeaderName, Method, Request, Response};
use crate::sip::response::write_response;
use crate::telemetry::EndCause;

/// A 2xx from which no answer can be made for the other side, and what that is told.
pub(super) struct Unanswerable(pub(super) Refusal);

impl Default for Unanswerable {
    fn default() -> Self {
        let reason = "The Answer Has No Audio Stream That Can Be Relayed";
        Self(Refusal::new(488, reason))
    }
}

impl Call {
    /// A 2xx came from the side that is not `exchange.from`: acknowledges it unless its ACK has to wait
    /// for an answer, and passes it on.
    pub(super) fn pass_success(
        &mut self,
        core: &mut Core,
        response: &Response,
    ) -> Result<(), Unanswerable> {
        let Some(exchange) = &self.exchange else {
            return Err(Unanswerable::default());
        };
        let (from, other) = (exchange.from, exchange.from.other());
        let offer = exchange.offer.clone();
        let other_cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let role = match offer.is_some() {
            true => SdpRole::Answer,
            false => SdpRole::Offer,
        };
        let heard = self.session_in(other, response, role);
        let description = heard.as_ref().ok().cloned().flatten();
        let answer = match self.is_settled(other) {
            // RFC 3262 §5: what a reliable response said is the answer.
            true => self.early_answer_of_current(),
            false => description
                .clone()
                .or_else(|| self.early_answer_of_current()),
        };

        let (body, late_offer) = match (offer, answer, description) {
            (Some(offer), Some(answer), _) => {
                self.acknowledge(core, other, other_cseq, None);
                self.note(other, Event::ReceiveAnswer);
                let body = match self.is_settled(from) {
                    true => None,
                    false => self.answer_for(core, from, &offer, &answer),
                };
                self.note(from, Event::SendAnswer);
                (body, None)
            }
            (None, _, Some(offer)) => {
                self.note(other, Event::ReceiveOffer);
                self.note(from, Event::SendOffer);
                (self.offer_for(core, from, &offer), Some(offer))
            }
            (Some(_), None, _) | (None, _, None) => {
                self.acknowledge(core, other, other_cseq, None);
                return Err(heard.err().map(Unanswerable).unwrap_or_default());
            }
        };
        self.answer_success(core, &body.unwrap_or_default(), late_offer, other_cseq);
        Ok(())
    }

    /// Whether the first INVITE's offer was answered on this leg before the 2xx.
    fn is_settled(&self, side: Side) -> bool {
        let negotiation = self.leg(side).map(|leg| leg.negotiation);
        self.state == State::Setup && negotiation == Some(Negotiation::Idle)
    }

    pub(super) fn early_answer_of_current(&self) -> Option<SessionDescription> {
        match self.state {
            State::Setup => {
                let answer = self.attempts.last()?.early()?.answer.clone()?;
                answer.has_speech(&self.codecs(Side::A)).then_some(answer)
            }
            State::Established | State::Ended => None,
        }
    }

    /// The answer that `to` gets for its offer, and both descriptions take effect.
    pub(super) fn answer_for(
        &mut self,
        core: &mut Core,
        to: Side,
        offer: &SessionDescription,
        answer: &SessionDescription,
    ) -> Option<Bytes> {
        self.apply_description(core, to, offer, SdpRole::Offer);
        self.apply_description(core, to.other(), answer, SdpRole::Answer);
        self.translate(core, to, offer, answer);
        let ours = self.endpoint(to)?.advertise;
        let codecs = self.codecs(to);
        Some(self.leg_mut(to)?.answer(offer, answer, (ours, &codecs)))
    }

    /// The offer that `to` gets for the other side's.
    fn offer_for(
        &mut self,
        core: &mut Core,
        to: Side,
        offer: &SessionDescription,
    ) -> Option<Bytes> {
        // It takes effect with its answer.
        let ours = self.endpoint(to)?.advertise;
        let codecs = self.codecs(to);
        Some(self.leg_mut(to)?.offer(core, offer, (ours, &codecs)))
    }

    /// Sends our 2xx, and again until its ACK comes.
    pub(super) fn answer_success(
        &mut self,
        core: &mut Core,
        body: &Bytes,
        late_offer: Option<SessionDescription>,
        other_cseq: u32,
    ) {
        let Some(from) = self.exchange.as_ref().map(|exchange| exchange.from) else {
            return;
        };
        if self.hold_success(body, &late_offer, other_cseq) {
            return;
        }
        self.end_provisionals(core);
        let request = self
            .exchange
            .as_ref()
            .map(|exchange| exchange.request.clone());
        let agreed = request.and_then(|request| self.agree_with_client(core, from, &request));
        let extra = session_timer::fields(&agreed);
        let success = self.write_answer(core, from, (200, "OK"), body, &extra);
        let t1 = core.settings.timers.t1;
        let timer = Some(core.start_call_timer(t1, self.id, CallTimer::Success));
        let deadline = core.now + t1 * 64;
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        core.respond(exchange.server, 200, &success);
        exchange.answered = Some(Answered {
            success,
            interval: t1,
            deadline,
            timer,
            late_offer,
            other_cseq,
        });
    }

    /// A response of leg `side` to the exchange's INVITE: with our Contact, and a body where there is one.
    pub(super) fn write_answer(
        &self,
        core: &Core,
        side: Side,
        line: (u16, &str),
        body: &Bytes,
        extra: &[(HeaderName, &str)],
    ) -> Bytes {
        let Some(Exchange { request, flow, .. }) = &self.exchange else {
            return Bytes::new();
        };
        let carried = self.carried.iter();
        let carried = carried.map(|(name, value)| (&**name, &**value));
        let extra = extra.iter().map(|(name, value)| (name.as_str(), *value));
        let extra: Vec<_> = extra.chain(carried).collect();
        self.write_answer_to(core, side, (request, flow), line, body, &extra)
    }

    /// A provisional or success response of leg `side` to a request that came so.
    pub(super) fn write_answer_to(
        &self,
        core: &Core,
        side: Side,
        (request, flow): (&Request, &Flow),
        (status, reason): (u16, &str),
        body: &Bytes,
        extra: &[(&str, &str)],
    ) -> Bytes {
        let Some(leg) = self.leg(side) else {
            return Bytes::new();
        };
        let mut out = message_buffer();
        let tag = leg.tag(self.id, core.settings.shard);
        let mut writer = write_response(&mut out, request, flow.remote, status, reason, Some(&tag));
        for value in request.headers(HeaderName::RecordRoute) {
            writer.field(HeaderName::RecordRoute, &[value]);
        }
        core.write_capabilities(&mut writer, flow, leg.is_sips);
        if status >= 200 {
            writer.field(HeaderName::Supported, &[&OPTION_TAGS.join(", ")]);
        }
        for (name, value) in extra {
            writer.raw_field(name, value);
        }
        match body.is_empty() {
            true => writer.end(),
            false => writer.body("application/sdp", body),
        }
        finished(out)
    }

    pub(super) fn on_success_timer(&mut self, core: &mut Core) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let Some(answered) = &mut exchange.answered else {
            return;
        };
        if core.now < answered.deadline {
            answered.interval = (answered.interval * 2).min(core.settings.timers.t2);
            let wait = answered
                .interval
                .min(answered.deadline.since(core.now))
                .max(Duration::from_millis(1));
            answered.timer = Some(core.start_call_timer(wait, self.id, CallTimer::Success));
            core.respond(exchange.server, 200, &answered.success);
            return;
        }
        answered.timer = None;
        self.give_up_on_ack(core);
    }

    /// Our 2xx was not acknowledged in time: RFC 3261 §13.3.1.4 says BYE.
    fn give_up_on_ack(&mut self, core: &mut Core) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        if let Some(Answered {
            late_offer: Some(_),
            other_cseq,
            ..
        }) = exchange.answered
        {
            self.acknowledge(core, exchange.from.other(), other_cseq, None);
        }
        match self.state {
            State::Ended => self.send_bye(core, exchange.from),
            State::Setup | State::Established => self.end_established(core, EndCause::NoAck, None),
        }
    }

    /// An ACK came within the dialog of `side`.
    pub(super) fn on_ack(&mut self, core: &mut Core, side: Side, request: &Request) {
        let acknowledged = |number| request.cseq().is_ok_and(|cseq| cseq.number == number);
        let is_awaited = self.exchange.as_ref().is_some_and(|exchange| {
            let number = exchange.request.cseq().map_or(0, |cseq| cseq.number);
            exchange.from == side && exchange.answered.is_some() && acknowledged(number)
        });
        if !is_awaited {
            return;
        }
        let Some(Answered {
            mut timer,
            late_offer,
            other_cseq,
            ..
        }) = self.exchange.take().and_then(|exchange| exchange.answered)
        else {
            return;
        };
        core.cancel_timer(&mut timer);
        if let Some(offer) = late_offer {
            let answer = self.session_in(side, request, SdpRole::Answer);
            let answer = answer.unwrap_or_default();
            let is_answered = answer.is_some();
            self.note(side, Event::ReceiveAnswer);
            let body =
                answer.and_then(|answer| self.answer_for(core, side.other(), &offer, &answer));
            self.note(side.other(), Event::SendAnswer);
            self.acknowledge(core, side.other(), other_cseq, body.as_ref());
            if !is_answered && self.state == State::Established {
                self.end_established(core, EndCause::LegLost, None);
            }
        }
        let bye_is_due = self
            .leg_mut(side)
            .is_some_and(|leg| std::mem::take(&mut leg.bye_after_ack));
        if bye_is_due {
            self.send_bye(core, side);
        }
    }

    /// Sends the ACK of a 2xx (RFC 3261 §13.2.2.4), a transaction of its own that nobody looks after.
    pub(super) fn acknowledge(
        &mut self,
        core: &mut Core,
        side: Side,
        cseq: u32,
        body: Option<&Bytes>,
    ) {
        let branch = self.one_way_branch(core);
        let Some(leg) = self.leg_mut(side) else {
            return;
        };
        let (flow, ack) = write_ack(core, leg, cseq, &branch, body);
        leg.last_ack = Some((cseq, flow, ack.clone()));
        core.send_plain(flow, ack);
    }

    /// A branch for a request that gets no response: it names no transaction.
    pub(super) fn one_way_branch(&self, core: &mut Core) -> String {
        format!("z9hG4bK{:016x}", core.random.next_u64())
    }

    /// Whether the response is a 2xx that was acknowledged before; its ACK goes out again.
    pub(super) fn acknowledge_again(
        &mut self,
        core: &mut Core,
        leg: u8,
        response: &Response,
    ) -> bool {
        let number = match response.cseq() {
            Ok(cseq) if cseq.method == Method::Invite && (200..300).contains(&response.status) => {
                cseq.number
            }
            Ok(_) | Err(_) => return false,
        };
        let known =
            std::iter::once(&self.a).chain(self.attempts.iter().map(|attempt| &attempt.leg));
        let Some(leg) = known.into_iter().find(|known| known.number == leg) else {
            return false;
        };
        let same_tag = response
            .to()
            .is_ok_and(|to| to.tag() == leg.dialog.remote_tag.as_deref());
        match &leg.last_ack {
            Some((acknowledged, flow, ack)) if *acknowledged == number && same_tag => {
                core.send_plain(*flow, ack.clone());
                true
            }
            Some(_) | None => false,
        }
    }
}

/// An ACK within a leg's dialog, and where it goes.
pub(super) fn write_ack(
    core: &mut Core,
    leg: &mut Leg,
    cseq: u32,
    branch: &str,
    body: Option<&Bytes>,
) -> (Flow, Bytes) {
    let flow = leg.request_flow(core);
    let mut out = message_buffer();
    let writer = leg.write_in_dialog(core, &mut out, Method::Ack, (cseq, &flow, branch));
    match body.filter(|body| !body.is_empty()) {
        Some(body) => writer.body("application/sdp", body),
        None => writer.end(),
    }
    (flow, finished(out))
}
