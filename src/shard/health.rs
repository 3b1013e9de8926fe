//! Pings: whether those who calls are sent to are there (OPTIONS, RFC 3261 §11).
//!
//! Every next hop is one shard's to ping, each at a moment of its own within the interval. What a shard finds
//! out it tells; the control plane puts it in the snapshot, where every shard's calls see it. A shard that is
//! behind pings nobody and takes nobody's silence amiss: it may be its own.

mod next_hops;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use siphasher::sip::SipHasher13;
use slab::Slab;

use super::ShardTimer;
use super::core::{ACCEPT, Core, OPTION_TAGS, finished, message_buffer};
use super::io::{Flow, TransactionId};
use super::transactions::User;
use super::wheel::TimerId;
use crate::config::{Health as Settings, NextHop};
use crate::instant::Instant;
use crate::sip::message::{HeaderName, Method};
use crate::sip::writer::Writer;
use crate::telemetry::{Event, PingFailure};
pub use next_hops::NextHops;
pub(crate) use next_hops::next_hop;

/// Pings that one shard sends in a second at most: with more next hops the interval is longer.
const PINGS_PER_SECOND_MAX: u32 = 1_000;

/// Moves from one moment within the interval to the next so that any number of them lie evenly: the golden
/// ratio's fraction, of 2⁶⁴.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whom a shard pings.
pub(crate) struct Health {
    hops: Slab<Pinged>,
    by_hop: HashMap<NextHop, u32>,
    generation: u32,
    /// Where in the interval the next one begins, of 2⁶⁴; `None` before the first.
    phase: Option<u64>,
    counters: HealthCounters,
}

/// What is counted of pings.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct HealthCounters {
    /// Next hops that this shard pings now.
    pub hops: usize,
    /// Those of them that are down now.
    pub down: usize,
    /// Pings sent.
    pub sent: u64,
    /// Pings that were not answered, or with a 503 or 408.
    pub unanswered: u64,
}

/// A next hop that this shard pings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PingId {
    slot: u32,
    generation: u32,
}

struct Pinged {
    generation: u32,
    hop: NextHop,
    /// Who is asked.
    uri: Arc<str>,
    state: State,
    /// The ping that has no answer yet.
    outstanding: Option<TransactionId>,
    /// When the last ping was sent.
    sent: Instant,
    /// Until the next ping, or until the one that is outstanding is given up.
    timer: TimerId,
}

/// What pings say of a next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It answers; so many pings in a row it did not.
    Up { unanswered: u8 },
    /// It does not; so many in a row it did.
    Down { answered: u8 },
}

impl State {
    fn after(self, is_answered: bool, settings: &Settings) -> Self {
        let (down_after, up_after) = (settings.down_after, settings.up_after);
        match (self, is_answered) {
            (Self::Up { .. }, true) => Self::Up { unanswered: 0 },
            (Self::Up { unanswered }, false) if unanswered + 1 >= down_after => {
                Self::Down { answered: 0 }
            }
            (Self::Up { unanswered }, false) => Self::Up {
                unanswered: unanswered + 1,
            },
            (Self::Down { answered }, true) if answered + 1 >= up_after => {
                Self::Up { unanswered: 0 }
            }
            (Self::Down { answered }, true) => Self::Down {
                answered: answered + 1,
            },
            (Self::Down { .. }, false) => Self::Down { answered: 0 },
        }
    }

    fn is_down(self) -> bool {
        match self {
            Self::Up { .. } => false,
            Self::Down { .. } => true,
        }
    }

    /// How long until the next ping.
    fn interval(self, settings: &Settings) -> Duration {
        match self {
            Self::Up { unanswered: 0 } => settings.interval,
            Self::Up { .. } | Self::Down { .. } => settings.down_interval,
        }
    }
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            hops: Slab::new(),
            by_hop: HashMap::new(),
            generation: 0,
            phase: None,
            counters: HealthCounters::default(),
        }
    }

    pub(crate) fn counters(&self) -> HealthCounters {
        HealthCounters {
            hops: self.hops.len(),
            ..self.counters
        }
    }

    fn get_mut(&mut self, id: PingId) -> Option<&mut Pinged> {
        let pinged = self.hops.get_mut(id.slot as usize)?;
        (pinged.generation == id.generation).then_some(pinged)
    }

    /// An interval in which so many pings find room.
    fn roomy(&self, interval: Duration) -> Duration {
        let hops = u32::try_from(self.hops.len()).unwrap_or(u32::MAX);
        interval.max(Duration::from_secs(1) * hops / PINGS_PER_SECOND_MAX)
    }
}

impl Core {
    /// Pings from now on whom the snapshot has, and no longer whom it had before.
    pub(crate) fn follow_next_hops(&mut self, before: &NextHops) {
        if self.settings.health.interval.is_zero() {
            return;
        }
        let snapshot = Arc::clone(&self.snapshot);
        for hop in snapshot.next_hops.changed_since(before) {
            match snapshot.next_hops.uri(&hop) {
                Some(uri) if self.is_ours(&hop) => self.watch(hop, uri),
                Some(_) => {}
                None => self.unwatch(&hop),
            }
        }
    }

    /// Whether a next hop is this shard's to ping.
    fn is_ours(&self, hop: &NextHop) -> bool {
        let mut hasher = SipHasher13::new_with_key(&self.settings.secret);
        hop.hash(&mut hasher);
        let shards = u64::from(self.settings.shards.max(1));
        hasher.finish() % shards == u64::from(self.settings.shard)
    }

    fn watch(&mut self, hop: NextHop, uri: &Arc<str>) {
        let known = self.health.by_hop.get(&hop);
        if let Some(pinged) = known.and_then(|slot| self.health.hops.get_mut(*slot as usize)) {
            pinged.uri = Arc::clone(uri);
            return;
        }
        let phase = self.health.phase.unwrap_or_else(|| self.random.next_u64());
        self.health.phase = Some(phase.wrapping_add(GOLDEN));
        let interval = self.settings.health.interval.as_micros();
        let delay = (interval * u128::from(phase)) >> 64;
        let due = self.now + Duration::from_micros(u64::try_from(delay).unwrap_or(0));
        self.health.generation = self.health.generation.wrapping_add(1);
        let generation = self.health.generation;
        let entry = self.health.hops.vacant_entry();
        let slot = entry.key() as u32;
        let id = PingId { slot, generation };
        entry.insert(Pinged {
            generation,
            hop,
            uri: Arc::clone(uri),
            state: State::Up { unanswered: 0 },
            outstanding: None,
            sent: self.now,
            timer: self.wheel.insert(due, ShardTimer::Ping(id)),
        });
        self.health.by_hop.insert(hop, slot);
    }

    fn unwatch(&mut self, hop: &NextHop) {
        let Some(slot) = self.health.by_hop.remove(hop) else {
            return;
        };
        let pinged = self.health.hops.remove(slot as usize);
        self.wheel.cancel(pinged.timer);
        if let Some(outstanding) = pinged.outstanding {
            self.transactions.forget(outstanding, &mut self.wheel);
        }
        self.health.counters.down -= usize::from(pinged.state.is_down());
    }

    /// It is time for the next ping, or the last one has waited long enough.
    pub(crate) fn on_ping_timer(&mut self, id: PingId, is_overloaded: bool) {
        let Some(pinged) = self.health.get_mut(id) else {
            return;
        };
        match pinged.outstanding.take() {
            Some(outstanding) => {
                self.transactions.forget(outstanding, &mut self.wheel);
                match is_overloaded {
                    true => self.ping_again(id),
                    false => self.on_ping_failed(id, PingFailure::Timeout),
                }
            }
            None if is_overloaded => self.ping_again(id),
            None => self.ping(id),
        }
    }

    /// A response to a ping.
    pub(crate) fn on_ping_response(&mut self, id: PingId, status: u16) {
        match status {
            ..200 => {}
            // It is not there for calls, or speaks for somebody who is not there.
            408 | 503 => self.on_ping_failed(id, PingFailure::Status(status)),
            200..=407 | 409..=502 | 504.. => self.conclude_ping(id, Ok(status)),
        }
    }

    /// A ping was not answered, or could not be sent.
    pub(crate) fn on_ping_failed(&mut self, id: PingId, failure: PingFailure) {
        self.health.counters.unanswered += 1;
        self.conclude_ping(id, Err(failure));
    }

    fn ping(&mut self, id: PingId) {
        let now = self.now;
        let Some(pinged) = self.health.get_mut(id) else {
            return;
        };
        pinged.sent = now;
        let hop = pinged.hop;
        let listener = self.listener_towards(hop.transport, hop.address, hop.listener);
        let Some(listener) = listener else {
            return self.on_ping_failed(id, PingFailure::NotSent);
        };
        let flow = Flow {
            transport: hop.transport,
            listener,
            remote: hop.address,
            connection: None,
            tls: hop.tls,
            carrier: None,
        };
        // A full table says nothing about anybody.
        let Some(ticket) = self.ticket() else {
            return self.ping_again(id);
        };
        let timeout = self.settings.health.timeout;
        let timer = self.wheel.insert(now + timeout, ShardTimer::Ping(id));
        let Some(pinged) = self.health.get_mut(id) else {
            return;
        };
        (pinged.outstanding, pinged.timer) = (Some(ticket.id), timer);
        let uri = Arc::clone(&pinged.uri);
        let request = self.write_ping(&uri, &flow, &ticket.branch);
        self.health.counters.sent += 1;
        self.send_request(&ticket, Method::Options, flow, request, User::Ping(id));
    }

    /// RFC 3261 §11.1
    fn write_ping(&mut self, uri: &str, flow: &Flow, branch: &str) -> Bytes {
        let mut random = || self.random.next_u64();
        let call_id = format!("{:016x}{:016x}", random(), random());
        let tag = format!("{:016x}", random());
        let mut out = message_buffer();
        let mut writer = Writer::request(&mut out, Method::Options.as_str(), uri);
        let sent_by = self.advertised(flow.listener);
        self.write_via(&mut writer, flow, branch);
        writer
            .number(HeaderName::MaxForwards, 70)
            .field(HeaderName::From, &["<sip:", sent_by, ">;tag=", &tag])
            .field(HeaderName::To, &["<", uri, ">"])
            .field(HeaderName::CallId, &[&call_id])
            .field(HeaderName::CSeq, &["1 ", Method::Options.as_str()]);
        self.write_capabilities(&mut writer, flow, false);
        writer
            .field(HeaderName::Accept, &[ACCEPT])
            .field(HeaderName::Supported, &[&OPTION_TAGS.join(", ")]);
        writer.end();
        finished(out)
    }

    /// What became of a ping.
    fn conclude_ping(&mut self, id: PingId, outcome: Result<u16, PingFailure>) {
        let settings = self.settings.health;
        let now = self.now;
        let Some(pinged) = self.health.get_mut(id) else {
            return;
        };
        pinged.outstanding = None;
        let was_down = pinged.state.is_down();
        pinged.state = pinged.state.after(outcome.is_ok(), &settings);
        let is_down = pinged.state.is_down();
        let (hop, uri, waited) = (pinged.hop, Arc::clone(&pinged.uri), now.since(pinged.sent));
        match (was_down, is_down) {
            (false, true) => self.health.counters.down += 1,
            (true, false) => self.health.counters.down -= 1,
            (true, true) | (false, false) => {}
        }
        self.event(Event::Pinged {
            hop,
            outcome,
            waited,
        });
        // What was told when it changed may have been lost on the way.
        let is_known = self.snapshot.next_hops.is_down(&hop) == is_down;
        if was_down != is_down || !is_known {
            self.event(Event::HealthChanged {
                hop,
                uri,
                is_down,
                outcome,
            });
        }
        self.ping_again(id);
    }

    /// Sets the time of the next ping.
    fn ping_again(&mut self, id: PingId) {
        let settings = self.settings.health;
        let Some(pinged) = self.health.get_mut(id) else {
            return;
        };
        let (timer, sent) = (pinged.timer, pinged.sent);
        let interval = pinged.state.interval(&settings);
        self.wheel.cancel(timer);
        let due = sent + self.health.roomy(interval);
        // A shard that was behind may have let it pass.
        let due = match due > self.now {
            true => due,
            false => self.now + interval,
        };
        let timer = self.wheel.insert(due, ShardTimer::Ping(id));
        if let Some(pinged) = self.health.get_mut(id) {
            pinged.timer = timer;
        }
    }
}
