//! From the INVITE to its final response: legs, places tried one after another, what they answer.

use bytes::Bytes;

use super::anchor::{Anchor, description_in};
use super::codecs::has_speech;
use super::exchange::Unanswerable;
use super::invitation::{flow_to, over_a_stream};
use super::limits::{book_carrier, confirm};
use super::next_hop;
use super::offer_answer::{Event as OfferEvent, State as Negotiation};
use super::reliable::{Arrival, Provisionals};
use super::security::{Keying, SdpRole, srtp_policy};
use super::tried::{Tried, is_among};
use super::{
    Attempt, Call, CallTimer, Exchange, LEG_A, Leg, Outcome, Party, Progress, Side, State,
    session_timer,
};
use crate::gateway::headers::Privacy;
use crate::gateway::limiter::CarrierBooking;
use crate::gateway::routing::Candidate;
use crate::gateway::{Admission, Refusal};
use crate::sdp::Codecs;
use crate::shard::core::{Core, finished, message_buffer, response_flow};
use crate::shard::identifiers::{CallId, Minted};
use crate::shard::io::Flow;
use crate::shard::transactions::User;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Method, Request, Response};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::writer::reason_phrase;
use crate::telemetry::{CallFacts, CallKind, Direction, EndCause, Event};

/// Seconds for which a place that said nothing at all is tried after the others.
pub(in crate::gateway) const SILENT_PLACE_RESTS_S: u64 = 30;
/// Bytes of a peer's reason phrase that are passed on at most.
const REASON_BYTES_MAX: usize = 120;

impl Call {
    /// Takes an admitted INVITE on; [`Self::start`] lets it go.
    pub(crate) fn begin(
        core: &mut Core,
        id: CallId,
        request: Request,
        flow: Flow,
        admission: Admission,
    ) -> Result<Self, Refusal> {
        session_timer::check(&request, &core.settings.timers)?;
        let party = match admission.direction {
            Direction::Termination => Party::Customer(admission.connector.id),
            Direction::Origination => Party::Carrier,
        };
        let srtp = srtp_policy(core, party, admission.policy.as_deref());
        let offer = description_in(&request, &Keying::new(srtp.clone()), SdpRole::Offer)?;
        let codecs = Codecs {
            to: None,
            from: admission
                .policy
                .as_ref()
                .and_then(|policy| policy.codecs.clone()),
        };
        has_speech(offer.as_ref(), &codecs)?;
        let secret = core.random.next_u64();
        let tag = Minted {
            shard: core.settings.shard,
            slot: id.slot,
            leg: LEG_A,
            secret,
        }
        .tag();
        let dialog = Dialog::from_request(&request, &tag)
            .map_err(|_| Refusal::new(400, "Missing Contact"))?;
        let mut media = Anchor::default();
        media.allocate(core, Side::A, flow.remote.ip())?;
        let callback = next_hop::caller_over_tls(&core.snapshot, &flow, &admission);
        let back = Flow {
            tls: callback,
            ..response_flow(&request, &flow)
        };
        let Some(server) = core
            .transactions
            .start_server(&request, back, User::Leg(id, LEG_A))
        else {
            media.release(core);
            return Err(Refusal::unavailable("Too Many Transactions", 5));
        };
        let facts = CallFacts {
            call_id: request.call_id().to_owned(),
            direction: admission.direction,
            kind: admission.kind,
            connector: admission.connector.id,
            caller: admission.caller,
            called: admission.called,
        };
        if let Some(session) = &admission.proxy_session {
            core.event(Event::ProxySessionUsed {
                connector: session.connector,
                session: session.id.clone(),
            });
        }
        let session_id = core.random.next_u64();
        let mut a = Leg::new((LEG_A, secret), party, dialog, flow, (session_id, srtp));
        a.hear_request(&request, flow);
        a.callback = callback;
        if offer.is_some() {
            a.note(OfferEvent::ReceiveOffer);
        }
        a.policy = admission.policy;
        a.is_sips = is_sips(&request);
        let privacy = match facts.kind {
            // Who is hidden anyway is called back by the number that is shown.
            CallKind::Proxy => Privacy::default(),
            CallKind::Ordinary => Privacy::of_caller(&request),
            // Those who send help call back by what they are shown.
            CallKind::Emergency => Privacy::of(&request),
        };
        let mut candidates = admission.candidates;
        let now = core.now;
        // Whoever takes calls for help is asked first, whatever it said to others.
        if facts.kind != CallKind::Emergency {
            core.resting
                .put_last(&mut candidates, |candidate| candidate.address, now);
        }
        let holding = confirm(core, admission.booking);
        let provisionals = Provisionals::new(&request, core.random.next_u64() as u32);
        Ok(Self {
            id,
            facts,
            privacy,
            state: State::Setup,
            a,
            attempts: Vec::with_capacity(1),
            candidates: candidates.into_iter(),
            tried: Vec::with_capacity(1),
            redirections: 0,
            redirection: None,
            best_failure: None,
            failure: None,
            exchange: Some(Exchange {
                from: Side::A,
                request,
                flow,
                server,
                offer,
                answered: None,
            }),
            reinvite: None,
            update: None,
            sent_update: None,
            refresh: None,
            glare: None,
            transfer: None,
            legs: LEG_A,
            infos: Vec::new(),
            waiting: Vec::new(),
            carried: Vec::new(),
            reasons: Vec::new(),
            glares: 0,
            provisionals,
            media,
            answered: None,
            holding,
            ring_timer: None,
            route_timer: None,
        })
    }

    /// Answers 100 and sends the INVITE to the first place.
    pub(crate) fn start(&mut self, core: &mut Core) {
        core.event(Event::CallStarted(Box::new(self.facts.clone())));
        if let Some(exchange) = &self.exchange {
            let trying = write_trying(exchange);
            core.respond(exchange.server, 100, &trying);
        }
        if let Some(offer) = self
            .exchange
            .as_ref()
            .and_then(|exchange| exchange.offer.clone())
        {
            // Early media reaches the caller before any answer does.
            self.apply_description(core, Side::A, &offer, SdpRole::Offer);
        }
        if let Some(endpoint) = self.endpoint(Side::A) {
            core.media
                .protect(endpoint.id, &self.a.keying.protection(false));
        }
        // Whether the caller's next hop is known is of no matter yet: it will be when it is wanted.
        self.a.next_hops(core);
        self.try_next_place(core);
    }

    /// Sends the INVITE to the next place that it can be sent to, or ends the call.
    pub(super) fn try_next_place(&mut self, core: &mut Core) {
        core.cancel_timer(&mut self.ring_timer);
        core.cancel_timer(&mut self.route_timer);
        while let Some(candidate) = self.candidates.next() {
            if is_among(&self.tried, &candidate) {
                continue;
            }
            match self.try_place(core, &candidate) {
                Ok(()) => return,
                Err(refusal) => self.note_failure(refusal),
            }
        }
        let best = self.best_failure.take();
        let best = best.unwrap_or_else(|| Refusal::unavailable("No Place To Send To", 5));
        self.fail(core, &best);
    }

    fn try_place(&mut self, core: &mut Core, candidate: &Candidate) -> Result<(), Refusal> {
        let booking = book_carrier(core, candidate, self.holding.urgency)?;
        let flow = flow_to(core, candidate)?;
        self.has_codec_for(core, self.invitation(None), candidate)?;
        self.media.allocate(core, Side::B, candidate.address.ip())?;
        let ticket = core
            .ticket()
            .ok_or_else(|| Refusal::unavailable("Too Many Transactions", 5))?;
        let number = self.next_leg();
        let Some(invitation) = self.invitation(None) else {
            return Err(Refusal::new(500, reason_phrase(500)));
        };
        let mut leg = self.new_leg(core, number, candidate, flow, &invitation);
        let invite = self.write_invite(core, &mut leg, &flow, &ticket.branch, &invitation);
        if let Some(stream) = over_a_stream(core, candidate, invite.len()) {
            drop(booking);
            self.tried.push(Tried::from(candidate));
            // Should the stream not come up, UDP is tried all the same.
            let again = Candidate {
                udp_at_any_size: true,
                ..candidate.clone()
            };
            let rest = std::mem::take(&mut self.candidates);
            self.candidates = std::iter::once(again)
                .chain(rest)
                .collect::<Vec<_>>()
                .into_iter();
            return self.try_place(core, &stream);
        }
        if let Party::Customer(connector) = candidate.party {
            self.facts.connector = connector;
        }
        let user = User::Leg(self.id, leg.number);
        leg.lease = booking.map(CarrierBooking::confirm);
        if let Some(endpoint) = self.endpoint(Side::B) {
            core.media
                .protect(endpoint.id, &leg.keying.protection(false));
        }
        self.attempts.push(Attempt::new(leg, Some(ticket.id)));
        self.tried.push(Tried::from(candidate));
        core.send_request(&ticket, Method::Invite, flow, invite, user);
        let timers = core.settings.timers;
        self.ring_timer = Some(core.start_call_timer(timers.timer_c, self.id, CallTimer::Ring));
        self.route_timer =
            Some(core.start_call_timer(timers.route_timeout, self.id, CallTimer::Route));
        Ok(())
    }

    /// A response, or its absence, for one of the attempts.
    pub(super) fn on_attempt_outcome(&mut self, core: &mut Core, leg: u8, outcome: Outcome<'_>) {
        let wanted = self.is_current(leg) && self.state == State::Setup;
        let progress = self.attempt_mut(leg).map(|attempt| attempt.progress);
        let abandoned = matches!(progress, Some(Progress::Abandoned | Progress::Cancelled));
        if !abandoned && self.is_target(leg) {
            self.on_target_outcome(core, leg, outcome);
            return;
        }
        if abandoned || !wanted {
            self.on_unwanted_outcome(core, leg, outcome);
            return;
        }
        match outcome {
            Outcome::Response(response) if response.status < 200 => {
                self.on_provisional(core, leg, response)
            }
            Outcome::Response(response) if response.status < 300 => {
                self.on_success(core, leg, response)
            }
            Outcome::Response(response) => self.on_failure_response(core, leg, response),
            // RFC 3261 §8.1.3.1
            Outcome::Timeout | Outcome::TransportError => {
                let (status, reason) = outcome.failure();
                self.on_attempt_failed(core, leg, Refusal::new(status, reason), true);
            }
        }
    }

    fn on_failure_response(&mut self, core: &mut Core, leg: u8, response: &Response) {
        let is_sent_again = match response.status {
            401 | 407 => self.answer_challenge(core, response),
            422 => self.ask_for_longer_session(core, response),
            0..=400 | 402..=406 | 408..=421 | 423.. => false,
        };
        if is_sent_again {
            return;
        }
        if (300..400).contains(&response.status) && self.hear_redirection(response) {
            self.end_attempt(leg);
            core.cancel_timer(&mut self.ring_timer);
            core.cancel_timer(&mut self.route_timer);
            self.follow_redirection(core);
            return;
        }
        let retry_after = response.retry_after();
        if let (503, Some(seconds), Some(place)) = (
            response.status,
            retry_after,
            self.tried.last().map(|tried| tried.address),
        ) {
            let now = core.now;
            core.resting.rest(place, seconds.into(), now);
        }
        let reason = self.passed_reason(response.status, response.reason());
        let failure = Refusal {
            retry_after: retry_after.filter(|_| tells_when(response.status)),
            reasons: self.reasons_in(response),
            ..Refusal::new(response.status, reason)
        };
        self.on_attempt_failed(core, leg, failure, false);
    }

    /// RFC 3261 §22.2: the same INVITE with credentials.
    fn answer_challenge(&mut self, core: &mut Core, response: &Response) -> bool {
        let leg = self.attempts.last().map(|attempt| attempt.leg.number);
        self.may_authenticate(Side::B, response)
            && leg.is_some_and(|leg| self.send_invite_again(core, leg))
    }

    fn on_provisional(&mut self, core: &mut Core, leg: u8, response: &Response) {
        core.cancel_timer(&mut self.route_timer);
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        attempt.progress = Progress::Proceeding;
        if response.status == 100 {
            return;
        }
        // RFC 3261 §16.7 step 2: timer C starts again.
        core.cancel_timer(&mut self.ring_timer);
        self.ring_timer =
            Some(core.start_call_timer(core.settings.timers.timer_c, self.id, CallTimer::Ring));
        self.hear_fields(core, response);
        let has_tag = response.to().is_ok_and(|to| to.tag().is_some());
        let arrival = match has_tag {
            true => self.hear_provisional(core, leg, response),
            false => Arrival::Plain,
        };
        if arrival == Arrival::Unheard {
            return;
        }
        let attempt = self.attempts.last();
        let described = attempt.map(|it| it.leg.description_in(response, SdpRole::Answer));
        let body = match described {
            Some(Ok(Some(_))) if has_tag => self.early_answer(core),
            Some(Ok(_) | Err(_)) | None => None,
        };
        let reason = self.passed_reason(response.status, response.reason());
        let body = body.unwrap_or_default();
        self.pass_provisional(core, response.status, reason, body, arrival);
    }

    /// The answer of the current early dialog, as leg A hears it; nothing where leg A has it for sure.
    fn early_answer(&mut self, core: &mut Core) -> Option<Bytes> {
        let offer = self.exchange.as_ref()?.offer.clone()?;
        let answer = self.early_answer_of_current()?;
        self.speak_for_current(core);
        match self.a.negotiation {
            Negotiation::OfferReceived => self.answer_for(core, Side::A, &offer, &answer),
            Negotiation::Idle | Negotiation::OfferSent => None,
        }
    }

    fn on_success(&mut self, core: &mut Core, leg: u8, response: &Response) {
        core.cancel_timer(&mut self.ring_timer);
        core.cancel_timer(&mut self.route_timer);
        let offered = self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.offer.is_some());
        self.leave_fork(core, leg, response);
        let Some(attempt) = self.attempt_mut(leg) else {
            return;
        };
        attempt.progress = Progress::Answered;
        attempt.switch_to(response, offered);
        self.speak_for_current(core);
        self.hear_fields(core, response);
        match self.pass_success(core, response) {
            Ok(()) => {
                self.state = State::Established;
                self.agree_with_server(core, Side::B, response);
                if !self.is_success_held() {
                    self.begin_talk(core);
                }
            }
            Err(Unanswerable(Refusal { status, reason, .. })) => {
                let said = format!("SIP;cause={status};text=\"{reason}\"");
                self.reasons.push(said.into());
                self.send_bye(core, Side::B);
                // The caller has done nothing wrong.
                self.fail(core, &Refusal::new(502, format!("Called Side: {reason}")));
            }
        }
    }

    /// Both sides know that the call is answered.
    pub(super) fn begin_talk(&mut self, core: &mut Core) {
        self.answered = Some(core.now);
        self.watch_media(core);
        core.event(Event::CallAnswered(Box::new(self.facts.clone())));
    }

    /// RFC 4028 §7.3: the same INVITE with the Session-Expires that the peer takes.
    fn ask_for_longer_session(&mut self, core: &mut Core, response: &Response) -> bool {
        let attempt = self.attempts.last_mut();
        let leg = attempt.and_then(|attempt| {
            let is_more = attempt.leg.hear_min_se(response);
            is_more.then_some(attempt.leg.number)
        });
        leg.is_some_and(|leg| self.send_invite_again(core, leg))
    }

    /// Sends an attempt's INVITE once more, after a failure response that tells what to change; false where
    /// that cannot be.
    pub(super) fn send_invite_again(&mut self, core: &mut Core, leg: u8) -> bool {
        let Some(ticket) = core.ticket() else {
            return false;
        };
        let is_meant = |attempt: &Attempt| {
            attempt.leg.number == leg && attempt.leg.dialog.remote_tag.is_none()
        };
        let Some(place) = self.attempts.iter().position(is_meant) else {
            return false;
        };
        let mut attempt = self.attempts.remove(place);
        let flow = attempt.leg.flow;
        attempt.leg.dialog.local_cseq += 1;
        attempt.leg.note(OfferEvent::Reject);
        let invite = self.invitation(Some(leg)).map(|invitation| {
            self.write_invite(core, &mut attempt.leg, &flow, &ticket.branch, &invitation)
        });
        let user = User::Leg(self.id, leg);
        if invite.is_some() {
            attempt.invite = Some(ticket.id);
            attempt.progress = Progress::Calling;
        }
        self.attempts.insert(place, attempt);
        let Some(invite) = invite else { return false };
        core.send_request(&ticket, Method::Invite, flow, invite, user);
        true
    }

    /// `is_unheard` tells that the place has not answered anything.
    fn on_attempt_failed(&mut self, core: &mut Core, leg: u8, failure: Refusal, is_unheard: bool) {
        self.end_attempt(leg);
        if !is_unheard {
            self.drop_udp_again();
        }
        let status = failure.status;
        let failure = for_caller(failure);
        match is_retried_elsewhere(status) {
            true => {
                self.note_failure(failure);
                self.try_next_place(core);
            }
            false => self.fail(core, &failure),
        }
    }

    /// The place has answered over a stream: it need not be tried over UDP.
    fn drop_udp_again(&mut self) {
        let is_again = |candidate: &Candidate| candidate.udp_at_any_size;
        if self.candidates.as_slice().first().is_some_and(is_again) {
            self.candidates.next();
        }
    }

    fn end_attempt(&mut self, leg: u8) {
        if let Some(attempt) = self.attempt_mut(leg) {
            attempt.progress = Progress::Failed;
            attempt.invite = None;
        }
    }

    pub(super) fn note_failure(&mut self, failure: Refusal) {
        keep_best(&mut self.best_failure, failure);
    }

    pub(super) fn on_route_timer(&mut self, core: &mut Core) {
        self.route_timer = None;
        match self.state {
            State::Setup => {
                if let Some(place) = self.tried.last().map(|tried| tried.address) {
                    let now = core.now;
                    core.resting.rest(place, SILENT_PLACE_RESTS_S, now);
                }
                self.note_failure(Refusal::new(408, reason_phrase(408)));
                self.abandon_current(core);
                self.try_next_place(core);
            }
            State::Established => self.on_target_silent(core),
            State::Ended => {}
        }
    }

    pub(super) fn on_ring_timer(&mut self, core: &mut Core) {
        self.ring_timer = None;
        let timeout = Refusal::new(408, reason_phrase(408));
        match self.state {
            State::Setup => self.fail(core, &timeout),
            State::Established => self.fail_transfer(core, &timeout),
            State::Ended => {}
        }
    }

    /// Ends the set-up with a failure response.
    fn fail(&mut self, core: &mut Core, refusal: &Refusal) {
        self.failure = Some(refusal.reason.as_str().into());
        self.end_setup(core, refusal, EndCause::Failed(refusal.status));
    }
}

/// Whether a request is for a `sips:` URI.
fn is_sips(request: &Request) -> bool {
    Uri::parse(request.uri()).is_ok_and(|uri| uri.scheme == Scheme::Sips)
}

/// RFC 3261 §16.7 step 6: a 6xx before all, else the lowest class; in a class the first that came.
pub(in crate::gateway) fn keep_best(best: &mut Option<Refusal>, failure: Refusal) {
    let rank = |failure: &Refusal| match failure.status {
        600.. => 0,
        status => status / 100,
    };
    if best.as_ref().is_none_or(|best| rank(&failure) < rank(best)) {
        *best = Some(failure);
    }
}

/// The failures after which the next place is tried.
pub(in crate::gateway) fn is_retried_elsewhere(status: u16) -> bool {
    matches!(status, 408 | 430 | 480 | 500 | 502 | 503 | 504)
}

/// A failure as leg A hears it. A challenge or a redirection is between the gateway and leg B; a 503
/// would say that the gateway itself is out of service (RFC 3261 §16.7 step 6).
pub(in crate::gateway) fn for_caller(failure: Refusal) -> Refusal {
    match failure.status {
        300..400 => Refusal::new(480, reason_phrase(480)),
        401 | 407 => Refusal::new(502, reason_phrase(502)),
        503 => Refusal {
            status: 500,
            ..failure
        },
        0..300 | 400 | 402..=406 | 408..=502 | 504.. => failure,
    }
}

/// The failures in which Retry-After means something to a caller (RFC 3261 §20.33).
pub(in crate::gateway) fn tells_when(status: u16) -> bool {
    matches!(status, 480 | 486 | 500 | 503 | 600 | 603)
}

impl Call {
    /// A peer's reason phrase as the other side is told it: where participants are hidden from each other, ours.
    pub(super) fn passed_reason(&self, status: u16, reason: &str) -> String {
        match self.facts.kind {
            CallKind::Proxy => reason_phrase(status).to_owned(),
            CallKind::Ordinary | CallKind::Emergency => passed_reason(status, reason),
        }
    }
}

/// A peer's reason phrase within bounds, ours where it has none.
fn passed_reason(status: u16, reason: &str) -> String {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    match reason
        .get(..end)
        .map(str::trim)
        .filter(|reason| !reason.is_empty())
    {
        Some(reason) => reason.to_owned(),
        None => reason_phrase(status).to_owned(),
    }
}

/// 100 Trying has no To tag (RFC 3261 §8.2.6.2).
pub(super) fn write_trying(exchange: &Exchange) -> Bytes {
    let mut out = message_buffer();
    crate::sip::response::write_response(
        &mut out,
        &exchange.request,
        exchange.flow.remote,
        100,
        "Trying",
        None,
    )
    .end();
    finished(out)
}
