//! One shard: a share of the calls with everything that belongs to them, as a sans-IO machine.
//!
//! Call [`Shard::handle`] for each input, [`Shard::handle_timeout`] when [`Shard::next_timeout`] has
//! come, and after either [`Shard::poll_output`] until `None`. [`Shard::relay`] is the packet path: it
//! queues nothing, it answers where the packet goes. Time is an argument and must not run backwards.
//! A shard shares nothing but the immutable [`snapshot::Snapshot`] and the call limiter.

pub mod core;
pub mod guard;
pub mod health;
pub mod identifiers;
pub mod io;
pub(crate) mod listeners;
mod live;
mod owner;
mod pager_messages;
pub mod random;
mod registrations;
pub mod reserve;
mod resting;
pub mod snapshot;
mod sources;
mod suspicion;
mod tls_peers;
pub(crate) mod transactions;
pub mod wheel;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;

pub use self::core::Settings;
use self::core::{Core, unsupported_options};
use self::guard::{Guard, GuardCounters, Verdict};
use self::health::{HealthCounters, NextHops, PingId};
use self::identifiers::{CallId, MessageId, Minted};
use self::io::{Flow, Input, Output, TransactionId};
use self::pager_messages::PagerMessages;
use self::snapshot::Snapshot;
use self::suspicion::{MALFORMED_POINTS, points_of};
use self::transactions::{Report, User};
use crate::config::Transport;
use crate::gateway::call::{Call, CallTimer, Outcome};
use crate::gateway::classify::{Classified, classify};
use crate::gateway::limiter::CallLimiter;
use crate::gateway::pager::MessageTimer;
use crate::gateway::refusal::RefusalCounts;
use crate::gateway::{Admission, Cause, Refusal};
use crate::instant::Instant;
use crate::media::{Datagram, Forward, MediaSocket};
use crate::sip::message::{Message, Method, ParseError, Rejected, Request, Response};
use crate::sip::transaction::Timer;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::writer::reason_phrase;
use crate::telemetry::{CALL_ID_CHARS, EndCause, Event, PingFailure};

/// Seconds after which a call that was refused for lag may come again.
const OVERLOAD_RETRY_AFTER: u32 = 5;
/// Strangers are not listened to at so many times the lag at which calls are refused.
const STRANGERS_LAG: u32 = 4;

/// Media ports ready for a call below which a shard asks for more.
const MEDIA_PORTS_LOW: usize = 512;

/// What the timers of a shard are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ShardTimer {
    Transaction(TransactionId, Timer),
    Call(CallId, CallTimer),
    Ping(PingId),
    Message(MessageId, MessageTimer),
}

/// One shard.
pub struct Shard {
    core: Core,
    guard: Guard,
    /// How far the shard is behind, as its worker sees it; and whether new calls are refused for it.
    lag: Duration,
    is_overloaded: bool,
    calls: Slab<Held>,
    /// Places of the reserve that calls have.
    reserved: usize,
    generation: u32,
    pager: PagerMessages,
    /// Alive in all calls.
    dialogs: usize,
    counters: Counters,
}

struct Held {
    generation: u32,
    /// It has a place of the reserve.
    is_reserved: bool,
    /// Taken out while the call is at work.
    call: Option<Box<Call>>,
}

/// What a shard counts; only ever up.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Messages received.
    pub messages: u64,
    /// Messages that could not be parsed.
    pub malformed: u64,
    /// Messages that belonged to nothing (late responses, stray ACKs).
    pub stray: u64,
    /// INVITEs that were refused before they became a call.
    pub refused: u64,
    /// Of these, and of other requests, those that policy refused.
    pub refused_for: RefusalCounts,
    /// INVITEs that were refused because the call table was full.
    pub refused_full: u64,
    /// INVITEs that were refused because the shard was behind.
    pub refused_lag: u64,
    /// Calls begun.
    pub calls: u64,
    /// MESSAGEs that were sent on.
    pub pager_messages: u64,
    /// MESSAGEs that were refused because there were too many.
    pub pager_messages_refused_full: u64,
    /// Panics in the handling of a call or of a MESSAGE; each ended it.
    pub panics: u64,
}

/// How full the tables of a shard are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Occupancy {
    /// Calls, including those that only wait for a last response.
    pub calls: usize,
    /// Dialogs that are alive.
    pub dialogs: usize,
    /// MESSAGEs on their way.
    pub pager_messages: usize,
    /// Transactions.
    pub transactions: usize,
    /// Timers.
    pub timers: usize,
    /// Media port pairs that calls hold.
    pub media_ports: usize,
    /// Media port pairs that no call holds.
    pub media_ports_free: usize,
}

impl Shard {
    /// A shard without calls.
    pub fn new(
        settings: Settings,
        snapshot: Arc<Snapshot>,
        limiter: Arc<dyn CallLimiter>,
        now: Instant,
    ) -> Self {
        let guard = Guard::new(settings.limits);
        let mut core = Core::new(settings, snapshot, limiter, now);
        core.follow_next_hops(&NextHops::default());
        Self {
            guard,
            lag: Duration::ZERO,
            is_overloaded: false,
            core,
            calls: Slab::new(),
            reserved: 0,
            generation: 0,
            pager: PagerMessages::default(),
            dialogs: 0,
            counters: Counters::default(),
        }
    }

    /// Routing data for everything that begins from now on.
    pub fn set_snapshot(&mut self, snapshot: Arc<Snapshot>, now: Instant) {
        self.core.now = now;
        let before = std::mem::replace(&mut self.core.snapshot, snapshot);
        self.core.follow_next_hops(&before.next_hops);
        self.guard.renew();
        for call in std::mem::take(&mut self.core.locating) {
            self.with_call(call, Call::follow_redirection);
        }
    }

    /// Whether a message that came so is to be handled; asked of the shard that received it, before anything is
    /// read.
    pub fn admits(&mut self, flow: &Flow, now: Instant) -> bool {
        let source = flow.remote.ip();
        if flow.carrier.is_some() {
            self.guard.is_carriers(source, now);
        }
        let limit = self.core.settings.limits.lag_refuse * STRANGERS_LAG;
        let snapshot = &self.core.snapshot;
        let (verdict, released) = self.guard.admit(source, self.lag >= limit, now, snapshot);
        if released {
            self.core.event(Event::SourceReleased { source });
        }
        verdict == Verdict::Pass
    }

    /// Whether a connection from this address is to be accepted.
    pub fn accepts(&self, source: IpAddr, now: Instant) -> bool {
        !self.guard.is_banned(source, now) || self.core.snapshot.knows_source(source.to_canonical())
    }

    /// How far the shard is behind with what has reached it. New calls are the first to be refused, so that
    /// those that there are stay whole; much later strangers are not listened to.
    pub fn set_lag(&mut self, lag: Duration) {
        self.lag = lag;
        let limit = self.core.settings.limits.lag_refuse;
        // It has to catch up before it takes calls again.
        let is_overloaded = match self.is_overloaded {
            true => lag > limit / 4,
            false => lag >= limit,
        };
        if is_overloaded != self.is_overloaded {
            self.is_overloaded = is_overloaded;
            let shard = self.core.settings.shard;
            self.core.event(Event::Overload {
                shard,
                began: is_overloaded,
            });
        }
    }

    /// What the guard has counted.
    pub fn guard_counters(&self) -> GuardCounters {
        self.guard.counters
    }

    /// What is counted of pings.
    pub fn health_counters(&self) -> HealthCounters {
        self.core.health.counters()
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.core.now = now;
        match input {
            Input::Message { flow, bytes } => self.on_message(flow, bytes),
            Input::TransportError { transaction } => {
                let report = self.core.with_transactions(|all, around| {
                    let user = all.user(transaction);
                    Some((user, all.transport_error(transaction, around)?))
                });
                if let Some((user, report)) = report {
                    self.on_report(transaction, user, report);
                }
            }
            Input::Ban(ban) => self.guard.ban(&ban, now),
            Input::BackOff(back_off) => self.core.back_offs.learn(&back_off, now),
            Input::MediaPort(port) => self.core.media.add_port(port),
        }
    }

    /// Runs the timers whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.now = now;
        while let Some(timer) = self.core.wheel.expire(now) {
            match timer {
                ShardTimer::Transaction(id, timer) => {
                    let user = self.core.transactions.user(id);
                    if let Some(report) = self
                        .core
                        .with_transactions(|all, around| all.fire(id, timer, around))
                    {
                        self.on_report(id, user, report);
                    }
                }
                ShardTimer::Call(id, timer) => {
                    self.with_call(id, |call, core| call.on_timer(core, timer))
                }
                ShardTimer::Ping(id) => self.core.on_ping_timer(id, self.is_overloaded),
                ShardTimer::Message(id, timer) => {
                    self.with_pager_message(id, |message, core| message.on_timer(core, timer))
                }
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.core.wheel.next_deadline()
    }

    /// The next output; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.core.outputs.pop_front();
        output.or_else(|| self.core.media.poll_connect().map(Output::Connect))
    }

    /// Where a media packet goes; `None` where it is dropped (and counted).
    pub fn relay(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Option<Forward> {
        self.core.media.relay(socket, from, packet, now)
    }

    /// How many more media ports should be ready for calls.
    pub fn media_ports_wanted(&self) -> usize {
        MEDIA_PORTS_LOW.saturating_sub(self.core.media.ports_ready(self.core.now))
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How full the tables are.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            calls: self.calls.len(),
            dialogs: self.dialogs,
            pager_messages: self.pager.len(),
            transactions: self.core.transactions.len(),
            timers: self.core.wheel.len(),
            media_ports: self.core.media.ports_in_use(),
            media_ports_free: self.core.media.ports_free(),
        }
    }

    /// Ends every call, telling both legs: the last thing before the shard goes.
    pub fn shutdown(&mut self, now: Instant) {
        self.core.now = now;
        let id = |(slot, held): (usize, &Held)| CallId {
            slot: slot as u32,
            generation: held.generation,
        };
        let all: Vec<CallId> = self.calls.iter().map(id).collect();
        for id in all {
            self.with_call(id, |call, core| call.abort(core, EndCause::Shutdown));
        }
        self.abort_pager_messages();
    }

    /// The shard that a message belongs to: what we minted says so, anything else goes by Call-ID.
    pub fn owner(&self, message: &[u8]) -> u8 {
        owner::of(message, &self.core.settings)
    }

    fn on_message(&mut self, flow: Flow, bytes: Bytes) {
        self.counters.messages += 1;
        match Message::parse(bytes, &self.core.settings.limits) {
            Ok(Message::Request(request)) => self.on_request(flow, request),
            Ok(Message::Response(response)) => self.on_response(&response),
            Err(rejected) => self.on_rejected(flow, &rejected),
        }
    }

    /// A request that cannot be read is answered where that is possible (RFC 3261 §21.4.1), a response
    /// never.
    fn on_rejected(&mut self, flow: Flow, rejected: &Rejected) {
        self.counters.malformed += 1;
        self.suspect(&flow, MALFORMED_POINTS);
        let Rejected { error, request } = rejected;
        if let Some(request) = request {
            self.core
                .reply_stateless(request, &flow, &refusal_of(error));
        }
    }

    fn on_response(&mut self, response: &Response) {
        let Some(id) = self.core.transactions.find_client(response) else {
            self.counters.stray += 1;
            return;
        };
        let user = self.core.transactions.user(id);
        let report = self
            .core
            .with_transactions(|all, around| all.receive_response(id, response, around));
        match (report, user) {
            (Some(Report::Deliver), User::Leg(call, leg)) => {
                self.with_call(call, |call, core| {
                    call.on_outcome(core, id, leg, Outcome::Response(response))
                });
            }
            (Some(Report::Deliver), User::Ping(id)) => {
                self.core.on_ping_response(id, response.status)
            }
            (Some(Report::Deliver), User::Message(message)) => self
                .with_pager_message(message, |message, core| {
                    message.on_response(core, id, response)
                }),
            (Some(report), user) => self.on_report(id, user, report),
            (None, _) => {}
        }
    }

    fn on_report(&mut self, id: TransactionId, user: User, report: Report) {
        let (call, leg) = match (user, report) {
            (User::Leg(call, leg), _) => (call, leg),
            (User::Ping(id), Report::Timeout) => {
                return self.core.on_ping_failed(id, PingFailure::Timeout);
            }
            (User::Ping(id), Report::TransportError) => {
                return self.core.on_ping_failed(id, PingFailure::NotSent);
            }
            (User::Message(message), report) => {
                return self.with_pager_message(message, |message, core| {
                    message.on_report(core, id, report)
                });
            }
            (User::Ping(_), Report::Deliver) | (User::Nobody, _) => return,
        };
        self.with_call(call, |call, core| match report {
            Report::Timeout => call.on_outcome(core, id, leg, Outcome::Timeout),
            Report::TransportError => call.on_transport_error(core, id, leg),
            Report::Deliver => {}
        });
    }

    fn on_request(&mut self, flow: Flow, request: Request) {
        if let Some(id) = self.core.transactions.find_server(&request, request.method) {
            let report = self
                .core
                .with_transactions(|all, around| all.receive_again(id, request.method, around));
            // An ACK with the INVITE's branch, after a 2xx: some agents do that.
            if report == Some(Report::Deliver) {
                self.on_request_in_dialog(flow, request);
            }
            return;
        }
        if request.method == Method::Cancel {
            self.on_cancel(flow, &request);
            return;
        }
        match request.to().is_ok_and(|to| to.tag().is_some()) {
            true => self.on_request_in_dialog(flow, request),
            false => self.on_request_outside_dialog(flow, request),
        }
    }

    /// RFC 3261 §9.2
    fn on_cancel(&mut self, flow: Flow, request: &Request) {
        let invite = self.core.transactions.find_server(request, Method::Invite);
        let Some(invite) = invite else {
            self.core
                .reply_stateless(request, &flow, &Refusal::new(481, reason_phrase(481)));
            return;
        };
        self.core.reply(request, &flow, &Refusal::new(200, "OK"));
        if let (User::Leg(call, _), true) = (
            self.core.transactions.user(invite),
            self.core.transactions.awaits_final_response(invite),
        ) {
            self.with_call(call, |call, core| call.on_cancel(core, request));
        }
    }

    fn on_request_in_dialog(&mut self, flow: Flow, request: Request) {
        let tag = request.to().ok().and_then(|to| Minted::from_tag(to.tag()?));
        let id = tag.and_then(|tag| self.call_id(tag.slot));
        let place = tag.zip(id).and_then(|(tag, id)| {
            let call = self.calls.get(id.slot as usize)?.call.as_ref()?;
            Some((id, call.leg_of(&tag, &request)?))
        });
        match place {
            // A transfer is a new call too.
            Some(_) if request.method == Method::Refer && self.is_overloaded => {
                let refusal = Refusal::unavailable("Too Busy For New Calls", OVERLOAD_RETRY_AFTER);
                self.core.reply_stateless(&request, &flow, &refusal);
            }
            Some((id, leg)) => {
                self.with_call(id, |call, core| call.on_request(core, leg, request, flow))
            }
            // No response to an ACK, ever.
            None if request.method == Method::Ack => self.counters.stray += 1,
            None => {
                self.core
                    .reply_stateless(&request, &flow, &Refusal::new(481, reason_phrase(481)))
            }
        }
    }

    fn on_request_outside_dialog(&mut self, flow: Flow, request: Request) {
        let outcome = match request.method {
            Method::Ack => {
                self.counters.stray += 1;
                return;
            }
            Method::Invite if self.is_overloaded && !self.has_reserve_for(&flow, &request) => {
                self.counters.refused_lag += 1;
                let refusal = Refusal::unavailable("Too Busy For New Calls", OVERLOAD_RETRY_AFTER);
                self.core.reply_stateless(&request, &flow, &refusal);
                return;
            }
            Method::Invite => self.begin_call(flow, request.clone()),
            Method::Options => self.answer_options(flow, &request),
            Method::Message => self.begin_pager_message(flow, &request),
            Method::Bye
            | Method::Cancel
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Notify => Err(Refusal::new(481, reason_phrase(481))),
            // A transfer of nothing.
            Method::Refer if self.core.settings.transfers => {
                Err(Refusal::new(403, "REFER Outside A Call"))
            }
            Method::Register if self.core.settings.registers => {
                self.answer_register(flow, &request)
            }
            Method::Register | Method::Refer | Method::Subscribe | Method::Publish => {
                Err(Refusal::new(405, reason_phrase(405)))
            }
            Method::Unknown => Err(Refusal::new(501, reason_phrase(501))),
        };
        if let Err(refusal) = outcome {
            if let Some(cause) = refusal.cause {
                self.counters.refused_for.add(cause);
            }
            if request.method == Method::Invite {
                self.counters.refused += 1;
                let (status, reason) = (refusal.status, refusal.reason.clone());
                // A challenge is a step on the way, not a refusal worth a line in a log.
                if status != 407 {
                    self.core.event(Event::CallRefused {
                        source: flow.remote,
                        is_known: refusal.is_remembered,
                        call_id: request.call_id().chars().take(CALL_ID_CHARS).collect(),
                        status,
                        reason,
                        warning: refusal.warning.map(|it| it.code_and_text().1),
                    });
                }
            }
            match refusal.is_remembered {
                true => self.core.reply(&request, &flow, &refusal),
                false => {
                    self.suspect(&flow, points_of(&request, &refusal));
                    self.core.reply_stateless(&request, &flow, &refusal);
                }
            }
        }
    }

    fn begin_call(&mut self, flow: Flow, request: Request) -> Result<(), Refusal> {
        if self.core.transactions.is_merged(&request) {
            return Err(Refusal::new(482, reason_phrase(482)));
        }
        check_request(&request)?;
        let is_full = self.calls.len() >= self.core.settings.limits.calls_max;
        if is_full && !self.has_reserve_for(&flow, &request) {
            self.counters.refused_full += 1;
            return Err(Refusal::unavailable("Too Many Calls", 5));
        }
        let admission = self.admit(&flow, &request)?;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let is_reserved = is_full || self.is_overloaded;
        self.reserved += usize::from(is_reserved);
        let slot = self.calls.insert(Held {
            generation,
            is_reserved,
            call: None,
        });
        let id = CallId {
            slot: slot as u32,
            generation,
        };
        match Call::begin(&mut self.core, id, request, flow, admission) {
            Ok(call) => {
                self.counters.calls += 1;
                self.put_back(id, Box::new(call));
                self.with_call(id, |call, core| call.start(core));
                Ok(())
            }
            Err(refusal) => {
                self.release(slot);
                Err(refusal.remembered())
            }
        }
    }

    fn admit(&mut self, flow: &Flow, request: &Request) -> Result<Admission, Refusal> {
        let uri = request_uri(request, flow)?;
        let snapshot = self.core.snapshot.clone();
        match classify(&uri, flow, &snapshot)? {
            Classified::Termination(connector) => self
                .core
                .admit_from_customer(&connector, request, &uri, flow),
            Classified::Origination(carrier) => {
                self.core.admit_from_carrier(carrier, request, &uri)
            }
        }
    }

    /// OPTIONS to a connector's host name, from one of its customer's hosts, is health; to a host name of
    /// ours a ping. Answered without a challenge, and without keeping anything: anybody may ask.
    fn answer_options(&mut self, flow: Flow, request: &Request) -> Result<(), Refusal> {
        check_request(request)?;
        let uri = request_uri(request, &flow)?;
        let host = uri.host.to_ascii_lowercase();
        let source = flow.remote;
        let connector = self.core.snapshot.connector_by_host(&host).cloned();
        if let Some(connector) = connector {
            let connector = connector.id;
            let snapshot = &self.core.snapshot;
            if snapshot.allows_source(connector, source.ip().to_canonical()) {
                self.core
                    .event(Event::OptionsReceived { connector, source });
            }
        } else if !self.core.snapshot.own_hosts.contains(host.as_str()) {
            return Err(Cause::NoVoiceConnector.into());
        }
        self.core
            .reply_stateless(request, &flow, &Refusal::new(200, "OK"));
        Ok(())
    }

    fn call_id(&self, slot: u32) -> Option<CallId> {
        let generation = self.calls.get(slot as usize)?.generation;
        Some(CallId { slot, generation })
    }

    /// Lets a call work, if it is still there, and lets go of it when it is finished. A panic in there
    /// is a fault of ours: it ends this call and no other.
    fn with_call(&mut self, id: CallId, work: impl FnOnce(&mut Call, &mut Core)) {
        let held = self
            .calls
            .get_mut(id.slot as usize)
            .filter(|held| held.generation == id.generation);
        let Some(mut call) = held.and_then(|held| held.call.take()) else {
            return;
        };
        self.dialogs -= call.dialogs();
        let core = &mut self.core;
        if catch_unwind(AssertUnwindSafe(|| work(&mut call, core))).is_err() {
            self.counters.panics += 1;
            let aborted = catch_unwind(AssertUnwindSafe(|| call.abort(core, EndCause::Internal)));
            if aborted.is_err() {
                self.counters.panics += 1;
                self.release(id.slot as usize);
                return;
            }
        }
        self.put_back(id, call);
    }

    fn put_back(&mut self, id: CallId, mut call: Box<Call>) {
        call.release_leases();
        self.dialogs += call.dialogs();
        if call.is_finished() {
            self.release(id.slot as usize);
        } else if let Some(held) = self.calls.get_mut(id.slot as usize) {
            held.call = Some(call);
        }
    }
}

fn refusal_of(error: &ParseError) -> Refusal {
    Refusal::new(error.status(), error.reason())
}

/// RFC 3261 §8.2.2.3 and §16.3: hops left, nothing demanded that is not served.
fn check_request(request: &Request) -> Result<(), Refusal> {
    if request.max_forwards().ok().flatten() == Some(0) {
        return Err(Refusal::new(483, reason_phrase(483)));
    }
    match unsupported_options(request).next() {
        Some(_) => Err(Refusal::new(420, reason_phrase(420))),
        None => Ok(()),
    }
}

/// The Request-URI; 416 for a scheme that is not served (RFC 3261 §8.2.2.1), `sips:` without TLS among them.
fn request_uri<'a>(request: &'a Request, flow: &Flow) -> Result<Uri<'a>, Refusal> {
    let uri = Uri::parse(request.uri()).map_err(|error| refusal_of(&error))?;
    match (uri.scheme, flow.transport) {
        (Scheme::Sip | Scheme::Tel, _) | (Scheme::Sips, Transport::Tls) => Ok(uri),
        (Scheme::Sips, Transport::Udp | Transport::Tcp) | (Scheme::Other, _) => {
            Err(Refusal::new(416, reason_phrase(416)))
        }
    }
}
