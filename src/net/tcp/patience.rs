//! How long a connection may stay as it is, and when its peer is taken for mute.
//!
//! A peer that has opened its connection may be told of the end of a call on that one alone: nothing says that
//! a new one would reach it. So one that a carrier or a customer has opened, and on which messages have passed,
//! is not closed for being idle. The kernel asks whether the host is still there, and that suffices: an answer
//! to a ping (RFC 5626 §3.5.1) proves no more, and those who do not know pings ignore them (RFC 3261 §7.5).
//! Where the table or the source's share is full, the idlest of them makes room.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mio::Registry;

use super::Connections;
use super::admission::Rank;
use super::connection::{End, Outgoing, State};
use crate::instant::Instant;
use crate::net::gauges::NetGauges;
use crate::shard::io::ConnectionId;

/// How long a peer may take to accept a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an accepted connection may stay without one message that is listened to, and a mute one for what
/// is under way on it: 64 × T1.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(32);

/// Connections on which requests went out that nothing was read after.
pub(super) struct Watched {
    /// How long a peer may stay mute: as long as a route may.
    pub(super) timeout: Duration,
    entries: BinaryHeap<Reverse<(Instant, usize, u32)>>,
}

impl Watched {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            entries: BinaryHeap::new(),
        }
    }
}

impl Connections {
    /// When [`expire`](Self::expire) is due.
    pub(in crate::net) fn next_deadline(&self) -> Option<Instant> {
        let due = |entries: &BinaryHeap<Reverse<(Instant, usize, u32)>>| {
            entries.peek().map(|Reverse((due, _, _))| *due)
        };
        let both = [due(&self.deadlines), due(&self.watched.entries)];
        both.into_iter().flatten().min()
    }

    /// Closes the connections whose time is over.
    pub(in crate::net) fn expire(
        &mut self,
        registry: &Registry,
        now: Instant,
        counts: &mut NetGauges,
    ) {
        self.retire_mute(now);
        while let Some(Reverse((due, slot, generation))) = self.deadlines.peek().copied() {
            if due > now {
                break;
            }
            self.deadlines.pop();
            let Some(connection) = self.slots.get(slot) else {
                continue;
            };
            if connection.generation != generation {
                continue;
            }
            if connection.deadline > now {
                let entry = Reverse((connection.deadline, slot, generation));
                self.deadlines.push(entry);
            } else if connection.rank != Rank::Known || connection.state != State::Established {
                let end = match connection.state {
                    State::Connecting => End::Lost,
                    State::Handshaking => End::Hesitant,
                    State::Accepted | State::Established => End::Idle,
                };
                self.close(registry, slot, end, counts);
            }
        }
        self.count(counts);
    }

    /// How long a connection may stay in a state.
    pub(super) fn patience(&self, state: State) -> Duration {
        match state {
            State::Connecting => CONNECT_TIMEOUT,
            State::Handshaking => self.tls.handshake_timeout,
            State::Accepted => TRANSACTION_TIMEOUT,
            State::Established => self.limits.connection_idle,
        }
    }

    /// Puts a connection into a state, with the time it may stay there. A shorter time gets an entry of
    /// its own, for entries must not be later than deadlines.
    pub(super) fn enter(&mut self, slot: usize, state: State, now: Instant) {
        let deadline = now + self.patience(state);
        if let Some(connection) = self.slots.get_mut(slot) {
            connection.state = state;
            connection.deadline = deadline;
            self.deadlines
                .push(Reverse((deadline, slot, connection.generation)));
            if connection.is_up() && connection.queue.iter().any(wants_answer) {
                self.watch(slot, now);
            }
        }
    }

    /// A message from this connection is listened to: it is no longer on probation. `rank` tells whose it is.
    pub(in crate::net) fn listen(
        &mut self,
        connection: Option<ConnectionId>,
        rank: impl FnOnce() -> Rank,
        now: Instant,
    ) {
        let Some(slot) = self.slot_of(connection) else {
            return;
        };
        if let Some(connection) = self.slots.get_mut(slot)
            && connection.state == State::Accepted
        {
            connection.rank = rank();
            self.enter(slot, State::Established, now);
        }
    }

    /// Notes that a message goes out which wants an answer, on a connection that stands for its peer's address.
    pub(super) fn watch(&mut self, slot: usize, now: Instant) {
        let Some(connection) = self.slots.get_mut(slot) else {
            return;
        };
        let is_shared = connection.expected.is_some() || connection.alias.is_some();
        if connection.asked.is_some() || !connection.is_up() || !is_shared {
            return;
        }
        connection.asked = Some(now);
        if !connection.is_watched {
            connection.is_watched = true;
            let entry = (now + self.watched.timeout, slot, connection.generation);
            self.watched.entries.push(Reverse(entry));
        }
    }

    /// Notes that something has come in: the peer is not mute. One of ours that was taken for mute serves
    /// again, unless another has taken its place.
    pub(super) fn hear(&mut self, slot: usize, now: Instant) {
        let Some(connection) = self.slots.get_mut(slot) else {
            return;
        };
        connection.asked = None;
        if connection.is_retired
            && let Some(expected) = &connection.expected
        {
            let key = (connection.listener, connection.remote, expected.clone());
            let place = self.by_remote.entry(key).or_insert(slot);
            connection.is_retired = *place != slot;
            let more = match connection.is_retired {
                true => TRANSACTION_TIMEOUT,
                false => self.limits.connection_idle,
            };
            connection.deadline = connection.deadline.max(now + more);
        }
    }

    /// Takes the connections out of use whose peers owe an answer for too long.
    fn retire_mute(&mut self, now: Instant) {
        while let Some(Reverse((due, slot, generation))) = self.watched.entries.peek().copied() {
            if due > now {
                break;
            }
            self.watched.entries.pop();
            let Some(connection) = self.slots.get_mut(slot) else {
                continue;
            };
            if connection.generation != generation {
                continue;
            }
            let silent_at = connection.asked.map(|asked| asked + self.watched.timeout);
            match silent_at {
                Some(silent_at) if silent_at <= now => {
                    connection.is_watched = false;
                    self.retire(slot, now);
                }
                Some(later) => self
                    .watched
                    .entries
                    .push(Reverse((later, slot, generation))),
                None => connection.is_watched = false,
            }
        }
    }

    /// Lets nothing new go on a connection because of its peer's address. What is under way on it may still be
    /// answered; one that the peer has opened is the peer's to close.
    fn retire(&mut self, slot: usize, now: Instant) {
        let Some(connection) = self.slots.get_mut(slot) else {
            return;
        };
        // The next request is watched anew.
        connection.asked = None;
        if let Some(alias) = connection.alias.take() {
            self.aliases.remove(&alias);
            self.withdrawn.push(alias);
        }
        if let Some(expected) = &connection.expected
            && !connection.is_retired
        {
            let key = (connection.listener, connection.remote, expected.clone());
            if self.by_remote.get(&key) == Some(&slot) {
                self.by_remote.remove(&key);
            }
            connection.is_retired = true;
            connection.deadline = now + TRANSACTION_TIMEOUT;
            let entry = (connection.deadline, slot, connection.generation);
            self.deadlines.push(Reverse(entry));
            tracing::warn!(
                remote = %connection.remote,
                seconds = self.watched.timeout.as_secs_f32(),
                "peer answers nothing on its connection, the next request goes on a new one"
            );
        }
    }
}

/// Whether a peer owes something for this message: for a request that a transaction looks after, but for the
/// ACK of a failure (RFC 3261 §17.1.1.3).
pub(super) fn wants_answer(message: &Outgoing) -> bool {
    let begins = |with: &[u8]| message.bytes.starts_with(with);
    message.origin.is_some() && !begins(b"SIP/2.0 ") && !begins(b"ACK ")
}
