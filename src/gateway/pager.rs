//! A MESSAGE on its way from one participant of a proxy session to the other (RFC 3428, pager model): a server
//! transaction on the sender's side, and towards the carriers one client transaction after another.
//!
//! There is no dialog, so it is no call: nothing is left of it once the sender has its answer. Nobody can take back
//! what was sent: a place that says nothing may have delivered it all the same. So it is not sent there again once the
//! next place is tried, and a 2xx that comes from there late is the answer.

mod admission;
mod request;

use std::net::SocketAddr;
use std::time::Duration;
use std::vec;

pub(crate) use self::admission::{PagerAdmission, admit};
use super::Refusal;
use super::call::carrier_auth::Authorization;
use super::call::invitation::flow_to;
use super::call::next_hop::carrier_over_tls;
use super::call::setup::{
    SILENT_PLACE_RESTS_S, for_caller, is_retried_elsewhere, keep_best, tells_when,
};
use super::routing::Candidate;
use crate::config::SipTimers;
use crate::instant::Instant;
use crate::shard::core::{Core, finished, message_buffer, response_flow};
use crate::shard::identifiers::MessageId;
use crate::shard::io::{Flow, TransactionId};
use crate::shard::transactions::{Report, User};
use crate::shard::wheel::TimerId;
use crate::sip::message::{Method, Request, Response};
use crate::sip::response::write_response;
use crate::sip::transaction::Timer;
use crate::sip::writer::reason_phrase;
use crate::telemetry::{Event, MessageFacts};

/// What the timers of a MESSAGE are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MessageTimer {
    /// The sender is told that it takes long.
    Trying,
    /// A place has said nothing.
    Route,
    /// The sender waits no longer.
    Deadline,
}

/// A MESSAGE that was admitted and is not answered yet.
pub(crate) struct PagerMessage {
    id: MessageId,
    facts: MessageFacts,
    request: Request,
    flow: Flow,
    server: TransactionId,
    /// What the body is, as the receiver is told it; `None` where there is none.
    content_type: Option<String>,
    is_sips: bool,
    began: Instant,
    candidates: vec::IntoIter<Candidate>,
    /// The place that is asked now.
    attempt: Option<Attempt>,
    /// What places that have said nothing were asked.
    silent: Vec<TransactionId>,
    best_failure: Option<Refusal>,
    trying: Option<TimerId>,
    route: Option<TimerId>,
    deadline: Option<TimerId>,
    is_finished: bool,
}

/// One place that is asked to deliver it.
struct Attempt {
    candidate: Candidate,
    flow: Flow,
    transaction: TransactionId,
    call_id: String,
    from_tag: String,
    cseq: u32,
    authorization: Option<Authorization>,
}

impl PagerMessage {
    /// Takes an admitted MESSAGE on; [`Self::start`] lets it go.
    pub(crate) fn begin(
        core: &mut Core,
        id: MessageId,
        request: &Request,
        flow: Flow,
        admission: PagerAdmission,
    ) -> Result<Self, Refusal> {
        let PagerAdmission {
            session,
            caller,
            called,
            candidates,
            content_type,
            is_sips,
            booking,
        } = admission;
        let back = Flow {
            tls: carrier_over_tls(&core.snapshot, &flow),
            ..response_flow(request, &flow)
        };
        // Nobody has to hear that the answer could not be sent: there is nothing to be done about it.
        let server = core.transactions.start_server(request, back, User::Nobody);
        let server = server.ok_or_else(|| Refusal::unavailable("Too Many Transactions", 5))?;
        let (_, alerts) = booking.confirm();
        for alert in alerts {
            core.event(Event::Spending(alert));
        }
        core.event(Event::ProxySessionUsed {
            connector: session.connector,
            session: session.id.clone(),
        });
        let mut candidates = candidates;
        let now = core.now;
        core.resting
            .put_last(&mut candidates, |candidate| candidate.address, now);
        Ok(Self {
            id,
            facts: MessageFacts {
                call_id: request.call_id().to_owned(),
                connector: session.connector,
                session: session.id.clone(),
                caller,
                called,
            },
            request: request.clone(),
            flow,
            server,
            content_type,
            is_sips,
            began: now,
            candidates: candidates.into_iter(),
            attempt: None,
            silent: Vec::new(),
            best_failure: None,
            trying: None,
            route: None,
            deadline: None,
            is_finished: false,
        })
    }

    /// Sends it to the first place.
    pub(crate) fn start(&mut self, core: &mut Core) {
        let (id, timers) = (self.id, core.settings.timers);
        let (trying, deadline) = (trying_after(&timers), answered_within(&timers));
        self.trying = Some(core.start_message_timer(trying, id, MessageTimer::Trying));
        self.deadline = Some(core.start_message_timer(deadline, id, MessageTimer::Deadline));
        self.try_next_place(core);
    }

    /// What it is about.
    pub(crate) fn facts(&self) -> &MessageFacts {
        &self.facts
    }

    /// The sender has its answer.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Answers the sender before the shard goes, or because a fault of ours has come up.
    pub(crate) fn abort(&mut self, core: &mut Core) {
        self.conclude(core, Refusal::new(500, reason_phrase(500)));
    }

    pub(crate) fn on_timer(&mut self, core: &mut Core, timer: MessageTimer) {
        match timer {
            MessageTimer::Trying => {
                self.trying = None;
                self.answer_trying(core);
            }
            MessageTimer::Route => {
                self.route = None;
                self.on_silence(core);
            }
            MessageTimer::Deadline => {
                self.deadline = None;
                keep_best(
                    &mut self.best_failure,
                    Refusal::new(408, reason_phrase(408)),
                );
                self.give_up(core);
            }
        }
    }

    /// A response of one of the places.
    pub(crate) fn on_response(
        &mut self,
        core: &mut Core,
        transaction: TransactionId,
        response: &Response,
    ) {
        let is_current = self.is_current(transaction);
        if !is_current && !self.silent.contains(&transaction) {
            return;
        }
        match response.status {
            ..200 if is_current => core.cancel_timer(&mut self.route),
            ..200 => {}
            200..300 => {
                self.forget_attempt(transaction);
                // RFC 3428 §7: accepted for delivery, or delivered.
                let status = if response.status == 202 { 202 } else { 200 };
                self.conclude(core, Refusal::new(status, reason_phrase(status)));
            }
            401 | 407 if is_current && self.answer_challenge(core, response) => {}
            300.. => {
                let place = self.attempt.as_ref().map(|attempt| attempt.flow.remote);
                let failure = failure_in(core, response, place.filter(|_| is_current));
                self.on_failure(core, transaction, failure);
            }
        }
    }

    /// What a transaction says in the place of a response.
    pub(crate) fn on_report(
        &mut self,
        core: &mut Core,
        transaction: TransactionId,
        report: Report,
    ) {
        // RFC 3261 §8.1.3.1
        let status = match report {
            Report::Deliver => return,
            Report::Timeout => 408,
            Report::TransportError => 503,
        };
        let failure = Refusal::new(status, reason_phrase(status));
        self.on_failure(core, transaction, failure);
    }

    fn on_failure(&mut self, core: &mut Core, transaction: TransactionId, failure: Refusal) {
        let is_current = self.is_current(transaction);
        self.forget_attempt(transaction);
        let status = failure.status;
        let failure = for_caller(failure);
        match (is_current, is_retried_elsewhere(status)) {
            (true, false) => self.conclude(core, failure),
            (true, true) => {
                keep_best(&mut self.best_failure, failure);
                self.try_next_place(core);
            }
            (false, _) => keep_best(&mut self.best_failure, failure),
        }
    }

    /// The place has said nothing at all: the next one, where there is one. The last one has the rest of the time.
    fn on_silence(&mut self, core: &mut Core) {
        if self.candidates.as_slice().is_empty() {
            return;
        }
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let (place, now) = (attempt.flow.remote, core.now);
        core.resting.rest(place, SILENT_PLACE_RESTS_S, now);
        core.transactions
            .quiet(attempt.transaction, &mut core.wheel);
        self.silent.push(attempt.transaction);
        keep_best(
            &mut self.best_failure,
            Refusal::new(408, reason_phrase(408)),
        );
        self.try_next_place(core);
    }

    fn try_next_place(&mut self, core: &mut Core) {
        core.cancel_timer(&mut self.route);
        while let Some(candidate) = self.candidates.next() {
            match self.try_place(core, candidate) {
                Ok(()) => return,
                Err(refusal) => keep_best(&mut self.best_failure, refusal),
            }
        }
        self.give_up(core);
    }

    fn try_place(&mut self, core: &mut Core, candidate: Candidate) -> Result<(), Refusal> {
        let flow = flow_to(core, &candidate)?;
        let random = |core: &mut Core| format!("{:016x}", core.random.next_u64());
        let attempt = Attempt {
            candidate,
            flow,
            transaction: self.server,
            call_id: random(core) + &random(core),
            from_tag: random(core),
            cseq: 1,
            authorization: None,
        };
        self.send(core, attempt)
    }

    /// Sends a request of ours, and waits for what it is answered.
    fn send(&mut self, core: &mut Core, mut attempt: Attempt) -> Result<(), Refusal> {
        let ticket = core
            .ticket()
            .ok_or_else(|| Refusal::unavailable("Too Many Transactions", 5))?;
        let request = self.write_request(core, &mut attempt, &ticket.branch)?;
        let (flow, user) = (attempt.flow, User::Message(self.id));
        attempt.transaction = ticket.id;
        self.attempt = Some(attempt);
        core.send_request(&ticket, Method::Message, flow, request, user);
        let patience = core.settings.timers.route_timeout;
        self.route = Some(core.start_message_timer(patience, self.id, MessageTimer::Route));
        Ok(())
    }

    /// RFC 3261 §22.2: the same request with credentials.
    fn answer_challenge(&mut self, core: &mut Core, response: &Response) -> bool {
        let Some(attempt) = self.attempt.take() else {
            return false;
        };
        let policy = attempt.candidate.policy.as_deref();
        let before = attempt.authorization.as_ref();
        let Some(authorization) = Authorization::after(before, policy, response) else {
            self.attempt = Some(attempt);
            return false;
        };
        core.cancel_timer(&mut self.route);
        let again = Attempt {
            authorization: Some(authorization),
            cseq: attempt.cseq + 1,
            ..attempt
        };
        if let Err(refusal) = self.send(core, again) {
            keep_best(&mut self.best_failure, refusal);
            self.try_next_place(core);
        }
        true
    }

    /// There is nowhere else to send it to, or no time to.
    fn give_up(&mut self, core: &mut Core) {
        let best = self.best_failure.take();
        let best = best.unwrap_or_else(|| Refusal::unavailable("No Place To Send To", 5));
        self.conclude(core, best);
    }

    /// RFC 4320 §4.1: who sends over UDP would send again and again.
    fn answer_trying(&mut self, core: &mut Core) {
        let mut out = message_buffer();
        let source = self.flow.remote;
        write_response(&mut out, &self.request, source, 100, "Trying", None).end();
        core.respond(self.server, 100, &finished(out));
    }

    /// Answers the sender, and lets go of everything.
    fn conclude(&mut self, core: &mut Core, answer: Refusal) {
        if self.is_finished {
            return;
        }
        for timer in [&mut self.trying, &mut self.route, &mut self.deadline] {
            core.cancel_timer(timer);
        }
        let asked = self.attempt.take().map(|attempt| attempt.transaction);
        for transaction in asked.into_iter().chain(self.silent.drain(..)) {
            core.transactions.forget(transaction, &mut core.wheel);
        }
        let answer = for_sender(answer);
        let response = core.write_refusal(&self.request, &self.flow, &answer);
        core.respond(self.server, answer.status, &response);
        core.event(Event::MessageRelayed {
            facts: Box::new(self.facts.clone()),
            status: answer.status,
            waited: core.now.since(self.began),
        });
        self.is_finished = true;
    }

    fn is_current(&self, transaction: TransactionId) -> bool {
        let asked = self.attempt.as_ref().map(|attempt| attempt.transaction);
        asked == Some(transaction)
    }

    /// A transaction has its final response, or ended without one.
    fn forget_attempt(&mut self, transaction: TransactionId) {
        if self.is_current(transaction) {
            self.attempt = None;
        }
        self.silent.retain(|silent| *silent != transaction);
    }
}

/// A failure response of the place that is asked, with our own phrase: a carrier's may tell who it is about.
fn failure_in(core: &mut Core, response: &Response, place: Option<SocketAddr>) -> Refusal {
    let retry_after = response.retry_after();
    if let (503, Some(seconds), Some(place)) = (response.status, retry_after, place) {
        let now = core.now;
        core.resting.rest(place, seconds.into(), now);
    }
    Refusal {
        retry_after: retry_after.filter(|_| tells_when(response.status)),
        ..Refusal::new(response.status, reason_phrase(response.status))
    }
}

/// RFC 4320 §4.2: a 408 to anything but an INVITE only ever comes too late, and a sender that gets one takes us for dead.
fn for_sender(answer: Refusal) -> Refusal {
    match answer.status {
        408 => Refusal::new(504, reason_phrase(504)),
        _ => answer,
    }
}

/// When a sender over UDP has come to its longest interval between retransmissions: 3.5 s (RFC 4320 §4.1).
fn trying_after(timers: &SipTimers) -> Duration {
    let mut interval = timers.t1;
    let mut after = interval;
    loop {
        let next = Timer::E.next_interval(interval, timers);
        if next >= timers.t2 || next <= interval {
            return after;
        }
        interval = next;
        after += interval;
    }
}

/// Three quarters of the time that the sender waits for: its timer F began to run before the first copy came through,
/// and an answer that is lost is sent again when the next copy comes.
fn answered_within(timers: &SipTimers) -> Duration {
    timers.t1 * 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_told_to_wait_when_it_asks_least_often() {
        let after = |t1, t2| {
            let timers = SipTimers {
                t1: Duration::from_millis(t1),
                t2: Duration::from_millis(t2),
                ..SipTimers::default()
            };
            trying_after(&timers).as_millis()
        };
        assert_eq!(after(500, 4_000), 3_500);
        assert_eq!(after(500, 5_000), 7_500);
        assert_eq!(after(500, 500), 500);
        assert_eq!(after(500, 100), 500);
        assert_eq!(after(0, 4_000), 0);
    }
}
