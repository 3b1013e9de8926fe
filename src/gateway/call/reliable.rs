//! Provisional responses that are made sure of (RFC 3262), on each leg by itself, and the forks that
//! they come from.
//!
//! Leg B offers 100rel with an INVITE that has an offer, so a reliable response never brings one, and is
//! acknowledged at once. Leg A gets one where its INVITE demands it, or takes it and leg B's was one.

use std::time::Duration;

use bytes::Bytes;

use super::offer_answer::{Event, State as Negotiation};
use super::security::{DialogKeys, SdpRole};
use super::unattended::Unattended;
use super::{Attempt, Call, CallTimer, Side, State};
use crate::gateway::Refusal;
use crate::instant::Instant;
use crate::sdp::SessionDescription;
use crate::shard::core::Core;
use crate::shard::io::Flow;
use crate::shard::wheel::TimerId;
use crate::sip::header::OPTION_100REL;
use crate::sip::message::{HeaderName, Method, Request, Response};
use crate::sip::writer::reason_phrase;
use crate::telemetry::EndCause;

/// Early dialogs of one INVITE that are told apart; what comes of further forks is not heard before their
/// 2xx.
const EARLY_DIALOGS_MAX: usize = 8;

/// One early dialog of an attempt (RFC 3261 §13.2.2.4: each fork makes its own).
pub(super) struct Early {
    /// The fork's tag.
    tag: Box<str>,
    /// RSeq of its last reliable response.
    rseq: Option<u32>,
    /// The last answer of a provisional response, or what came after it.
    pub(super) answer: Option<SessionDescription>,
    /// Whether a reliable response brought it: then it is the answer, whatever a 2xx says.
    is_settled: bool,
    /// Its keys while another one is the leg's.
    keys: DialogKeys,
}

/// Whether leg A's INVITE takes reliable responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Demand {
    Unknown,
    Supported,
    Required,
}

/// What leg A was told before its final response.
pub(super) struct Provisionals {
    demand: Demand,
    /// RSeq of the next one.
    next: u32,
    /// The one that waits for its PRACK.
    sent: Option<Sent>,
    /// The next one, which must not be sent before that.
    waiting: Option<Waiting>,
    /// The 2xx that must not be sent before that.
    held: Option<Held>,
    /// The early dialog of leg B (attempt and tag) that leg A's tag stands for.
    source: Option<(u8, Box<str>)>,
}

struct Sent {
    rseq: u32,
    status: u16,
    response: Bytes,
    has_session: bool,
    interval: Duration,
    deadline: Instant,
    timer: Option<TimerId>,
}

struct Waiting {
    status: u16,
    reason: String,
    body: Bytes,
}

/// What [`Call::answer_success`] was called with.
struct Held {
    body: Bytes,
    late_offer: Option<SessionDescription>,
    other_cseq: u32,
}

impl Provisionals {
    /// For this INVITE; `start` is random.
    pub(super) fn new(invite: &Request, start: u32) -> Self {
        let demand = if invite.lists(HeaderName::Require, OPTION_100REL) {
            Demand::Required
        } else if invite.lists(HeaderName::Supported, OPTION_100REL) {
            Demand::Supported
        } else {
            Demand::Unknown
        };
        Self {
            demand,
            // RFC 3262 §3: below 2^31, and not 0.
            next: (start >> 2) + 1,
            sent: None,
            waiting: None,
            held: None,
            source: None,
        }
    }

    fn is_reliable(&self, is_on_leg_b: bool) -> bool {
        match self.demand {
            Demand::Unknown => false,
            Demand::Supported => is_on_leg_b,
            Demand::Required => true,
        }
    }
}

/// What a provisional response of leg B is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    Plain,
    Reliable,
    /// One that was seen already, came before its turn, or is of one fork too many.
    Unheard,
}

impl Attempt {
    /// The early dialog or the dialog that a response belongs to becomes the leg's.
    pub(super) fn switch_to(&mut self, response: &Response, offered: bool) {
        let before = self.leg.dialog.remote_tag.clone();
        self.leg.dialog.confirm(response);
        self.switch_keys(before.as_deref());
        self.leg.hear_capabilities(response);
        self.leg.end_challenges();
        let is_settled = self.early().is_some_and(|early| early.is_settled);
        self.leg.negotiation = match (offered, is_settled) {
            (true, false) => Negotiation::OfferSent,
            (true, true) | (false, _) => Negotiation::Idle,
        };
    }

    /// Keeps the keys of the early dialog before, where that is another, and takes up those of this one.
    fn switch_keys(&mut self, before: Option<&str>) {
        let now = self.leg.dialog.remote_tag.as_deref();
        let Some(before) = before.filter(|tag| Some(*tag) != now) else {
            return;
        };
        let now = now.map(Box::<str>::from).unwrap_or_default();
        let keys = self
            .known(&now)
            .map(|early| std::mem::take(&mut early.keys));
        let left = self.leg.keying.switch(keys.unwrap_or_default());
        // Who has never answered has no keys to be kept.
        if let Some(early) = self.known(before) {
            early.keys = left;
        }
    }

    /// The early dialog that is the leg's now.
    pub(super) fn early(&self) -> Option<&Early> {
        let tag = self.leg.dialog.remote_tag.as_deref()?;
        self.early.iter().find(|early| *early.tag == *tag)
    }

    fn early_mut(&mut self) -> Option<&mut Early> {
        let tag = self.leg.dialog.remote_tag.as_deref()?;
        if !self.early.iter().any(|early| *early.tag == *tag) {
            if self.early.len() == EARLY_DIALOGS_MAX {
                return None;
            }
            self.early.push(Early {
                tag: tag.into(),
                rseq: None,
                answer: None,
                is_settled: false,
                keys: DialogKeys::default(),
            });
        }
        self.early.iter_mut().find(|early| *early.tag == *tag)
    }

    /// What the early dialog that is the leg's now has said last: as an answer, should leg A hear of it anew.
    pub(super) fn remember(&mut self, description: &SessionDescription) {
        let tag = self.leg.dialog.remote_tag.clone().unwrap_or_default();
        if let Some(early) = self.known(&tag) {
            early.answer = Some(description.clone());
        }
    }

    fn known(&mut self, tag: &str) -> Option<&mut Early> {
        self.early.iter_mut().find(|early| *early.tag == *tag)
    }

    /// RFC 3262 §4: reliable responses of a dialog count up by one from whatever the first has.
    fn arrival(&mut self, response: &Response) -> Arrival {
        let rseq = match response.lists(HeaderName::Require, OPTION_100REL) {
            true => response.rseq().ok().flatten(),
            false => return Arrival::Plain,
        };
        match (rseq, self.early_mut()) {
            (Some(rseq), Some(early))
                if early
                    .rseq
                    .is_none_or(|last| last.checked_add(1) == Some(rseq)) =>
            {
                early.rseq = Some(rseq);
                Arrival::Reliable
            }
            (Some(_) | None, _) => Arrival::Unheard,
        }
    }
}

impl Call {
    /// A provisional response with a tag came for an attempt: takes what it says of its early dialog, and
    /// acknowledges it where it is reliable.
    pub(super) fn hear_provisional(
        &mut self,
        core: &mut Core,
        leg: u8,
        response: &Response,
    ) -> Arrival {
        let offered = self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.offer.is_some());
        self.leave_fork(core, leg, response);
        let Some(attempt) = self.attempt_mut(leg) else {
            return Arrival::Unheard;
        };
        attempt.switch_to(response, offered);
        let arrival = attempt.arrival(response);
        if arrival == Arrival::Unheard {
            return arrival;
        }
        let answer = attempt.leg.description_in(response, SdpRole::Answer);
        if let Some(answer) = answer.ok().flatten()
            && let Some(early) = attempt.early_mut()
            && offered
            && !early.is_settled
        {
            early.answer = Some(answer);
            early.is_settled = arrival == Arrival::Reliable;
            if early.is_settled {
                attempt.leg.note(Event::ReceiveAnswer);
            }
        }
        if arrival == Arrival::Reliable {
            self.send_prack(core, leg, response);
        }
        arrival
    }

    /// Before a response of another fork makes that one the leg's peer: an offer under way to or from the one before
    /// is none of its own.
    pub(super) fn leave_fork(&mut self, core: &mut Core, leg: u8, response: &Response) {
        let is_another = self.attempt_mut(leg).is_some_and(|attempt| {
            let now = response.to().ok();
            let now = now.as_ref().and_then(|to| to.tag());
            let before = attempt.leg.dialog.remote_tag.as_deref();
            before.is_some() && before != now
        });
        if is_another && self.update.is_some() {
            self.forget_update(Side::A);
            self.forget_update(Side::B);
            self.refuse_update(core, &Refusal::new(491, reason_phrase(491)));
        }
    }

    /// What comes of a PRACK changes nothing: a peer that did not get it says its response again, and gives up
    /// by itself.
    fn send_prack(&mut self, core: &mut Core, leg: u8, response: &Response) {
        let (Ok(Some(rseq)), Ok(cseq)) = (response.rseq(), response.cseq()) else {
            return;
        };
        let call = self.id;
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        let rack = format!("{rseq} {} {}", cseq.number, cseq.token);
        let request = Unattended {
            method: Method::Prack,
            fields: vec![(HeaderName::RAck, rack.into())],
            body: None,
        };
        let waiting = attempt.leg.send_unattended(core, call, request);
        self.await_challenge(waiting);
    }

    /// Tells leg A what leg B says before it answers.
    pub(super) fn pass_provisional(
        &mut self,
        core: &mut Core,
        status: u16,
        reason: String,
        body: Bytes,
        arrival: Arrival,
    ) {
        match self.provisionals.is_reliable(arrival == Arrival::Reliable) {
            false => {
                let response = self.write_answer(core, Side::A, (status, &reason), &body, &[]);
                if let Some(exchange) = &self.exchange {
                    core.respond(exchange.server, status, &response);
                }
            }
            true if self.provisionals.sent.is_some() => {
                let before = self.provisionals.waiting.take();
                let body = match (body.is_empty(), before) {
                    (true, Some(before)) => before.body,
                    (true, None) | (false, _) => body,
                };
                self.provisionals.waiting = Some(Waiting {
                    status,
                    reason,
                    body,
                });
            }
            true => self.send_reliably(core, status, &reason, &body),
        }
    }

    /// RFC 3262 §3
    fn send_reliably(&mut self, core: &mut Core, status: u16, reason: &str, body: &Bytes) {
        let rseq = self.provisionals.next;
        self.provisionals.next += 1;
        let number = rseq.to_string();
        let extra = [
            (HeaderName::Require, OPTION_100REL),
            (HeaderName::RSeq, number.as_str()),
        ];
        let response = self.write_answer(core, Side::A, (status, reason), body, &extra);
        let has_session = !body.is_empty();
        if has_session {
            self.note(Side::A, Event::SendAnswer);
        }
        let t1 = core.settings.timers.t1;
        let timer = Some(core.start_call_timer(t1, self.id, CallTimer::Provisional));
        let deadline = core.now + t1 * 64;
        if let Some(exchange) = &self.exchange {
            core.respond(exchange.server, status, &response);
        }
        self.provisionals.sent = Some(Sent {
            rseq,
            status,
            response,
            has_session,
            interval: t1,
            deadline,
            timer,
        });
    }

    /// Once more, doubling without a bound; after 64*T1 the INVITE fails.
    pub(super) fn on_provisional_timer(&mut self, core: &mut Core) {
        let (Some(sent), Some(exchange)) = (&mut self.provisionals.sent, &self.exchange) else {
            return;
        };
        sent.timer = None;
        if core.now < sent.deadline {
            sent.interval *= 2;
            let wait = sent.interval.min(sent.deadline.since(core.now));
            sent.timer = Some(core.start_call_timer(wait, self.id, CallTimer::Provisional));
            core.respond(exchange.server, sent.status, &sent.response);
            return;
        }
        let refusal = Refusal::new(504, "No PRACK Came");
        match self.state {
            State::Setup => self.end_setup(core, &refusal, EndCause::NoAck),
            State::Established => {
                self.answer_failure(core, &refusal);
                self.end_established(core, EndCause::NoAck, Some(Side::A));
            }
            State::Ended => {}
        }
    }

    /// A PRACK came within the dialog of `side`.
    pub(super) fn on_prack(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        let invite = self.exchange.as_ref().map(|exchange| &exchange.request);
        let invite = invite.and_then(|invite| invite.cseq().ok());
        let is_awaited = match (request.rack(), &self.provisionals.sent, invite) {
            (Ok(Some(rack)), Some(sent), Some(cseq)) => {
                side == Side::A
                    && rack.method == Method::Invite
                    && (rack.rseq, rack.cseq) == (sent.rseq, cseq.number)
            }
            (Ok(_) | Err(_), _, _) => false,
        };
        if !is_awaited {
            core.reply(&request, &flow, &Refusal::new(481, reason_phrase(481)));
            return;
        }
        if let Some(mut sent) = self.provisionals.sent.take() {
            core.cancel_timer(&mut sent.timer);
        }
        match self.offer_in(side, &request) {
            // RFC 3262 §5: the answer has been given, so this is an offer.
            Ok(Some(offer)) => self.take_offer(core, side, request, flow, offer),
            Ok(None) => core.reply(&request, &flow, &Refusal::new(200, "OK")),
            Err(refusal) => core.reply(&request, &flow, &refusal),
        }
        if let Some(held) = self.provisionals.held.take() {
            self.provisionals.waiting = None;
            self.answer_success(core, &held.body, held.late_offer, held.other_cseq);
            self.begin_talk(core);
        } else if let Some(waiting) = self.provisionals.waiting.take() {
            self.send_reliably(core, waiting.status, &waiting.reason, &waiting.body);
        }
    }

    /// RFC 3262 §3: no 2xx before the session of a reliable response is acknowledged. True where this one
    /// waits.
    pub(super) fn hold_success(
        &mut self,
        body: &Bytes,
        late_offer: &Option<SessionDescription>,
        other_cseq: u32,
    ) -> bool {
        let waits = self.provisionals.sent.as_ref();
        let waits = waits.is_some_and(|sent| sent.has_session);
        if waits {
            self.provisionals.held = Some(Held {
                body: body.clone(),
                late_offer: late_offer.clone(),
                other_cseq,
            });
        }
        waits
    }

    /// Whether leg B has answered, and leg A is not told yet.
    pub(super) fn is_success_held(&self) -> bool {
        self.provisionals.held.is_some()
    }

    /// The INVITE has its final response: nothing provisional is said any more.
    pub(super) fn end_provisionals(&mut self, core: &mut Core) {
        if let Some(mut sent) = self.provisionals.sent.take() {
            core.cancel_timer(&mut sent.timer);
        }
        self.provisionals.waiting = None;
        self.provisionals.held = None;
    }

    /// What leg A hears next comes from the early dialog that is leg B's now. Where it has heard an answer
    /// of another one, it hears of another dialog (RFC 3261 §13.2.2.4): a caller may take what belongs to
    /// one tag as one session.
    pub(super) fn speak_for_current(&mut self, core: &mut Core) {
        let Some(attempt) = self.attempts.last() else {
            return;
        };
        let Some(tag) = attempt.leg.dialog.remote_tag.clone() else {
            return;
        };
        let source = (attempt.leg.number, tag);
        let is_another = self
            .provisionals
            .source
            .as_ref()
            .is_some_and(|before| *before != source);
        self.provisionals.source = Some(source);
        if !is_another {
            return;
        }
        self.end_provisionals(core);
        self.a.secret = core.random.next_u64();
        let tag = self.a.tag(self.id, core.settings.shard);
        if let Some(exchange) = &self.exchange {
            self.a.dialog.set_local_tag(&exchange.request, &tag);
            self.a.negotiation = match exchange.offer.is_some() {
                true => Negotiation::OfferReceived,
                false => Negotiation::Idle,
            };
        }
    }
}
