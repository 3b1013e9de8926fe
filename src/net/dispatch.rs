//! One shard's core as the worker drives it: panics are caught, what another shard owns is handed
//! over, events go to the control plane.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

use super::Core;
use super::gauges::{NetGauges, SharedGauges};
use super::mailbox::{Mail, Mailbox, Origin};
use crate::instant::Instant;
use crate::media::{Datagram, Forward, MediaSocket};
use crate::shard::io::{Flow, Input, Output};
use crate::shard::snapshot::Snapshot;
use crate::telemetry::{CallsWanted, Event, LiveCall};

pub(super) struct Dispatch<C> {
    pub(super) shard: u8,
    pub(super) counts: NetGauges,
    core: C,
    mailboxes: Arc<[Mailbox]>,
    events: Arc<ArrayQueue<Event>>,
}

impl<C: Core> Dispatch<C> {
    pub(super) fn new(
        shard: u8,
        core: C,
        mailboxes: Arc<[Mailbox]>,
        events: Arc<ArrayQueue<Event>>,
    ) -> Self {
        Self {
            shard,
            counts: NetGauges::default(),
            core,
            mailboxes,
            events,
        }
    }

    /// This shard's mailbox.
    pub(super) fn mailbox(&self) -> Option<&Mailbox> {
        self.mailboxes.get(usize::from(self.shard))
    }

    /// Gives a message from a socket to its owner, here or on another shard; returns whether its source is
    /// listened to.
    pub(super) fn deliver(&mut self, flow: Flow, bytes: Bytes, now: Instant) -> bool {
        if self.guarded(|core| core.admits(&flow, now)) == Some(false) {
            return false;
        }
        let here = self.shard;
        let owner = if self.mailboxes.len() > 1 {
            self.guarded(|core| core.owner(&bytes)).unwrap_or(here)
        } else {
            here
        };
        if owner == here || usize::from(owner) >= self.mailboxes.len() {
            self.handle(Input::Message { flow, bytes }, now);
        } else if self.post(owner, Mail::Message { flow, bytes }).is_ok() {
            self.counts.handed_over += 1;
        }
        true
    }

    /// Tells every other shard what each can also do without: a shard whose mailbox is full finds out by
    /// itself whom not to listen to, and opens a connection of its own.
    pub(super) fn spread(&mut self, mail: impl Fn() -> Mail) {
        for shard in 0..self.mailboxes.len() {
            if shard != usize::from(self.shard)
                && let Ok(shard) = u8::try_from(shard)
            {
                self.post(shard, mail()).ok();
            }
        }
    }

    /// Whether a connection from this address is to be accepted.
    pub(super) fn accepts(&self, source: IpAddr, now: Instant) -> bool {
        self.core.accepts(source, now)
    }

    pub(super) fn set_lag(&mut self, lag: Duration) {
        self.guarded(|core| core.set_lag(lag));
    }

    /// Puts mail into another shard's mailbox; a drop is counted and the mail returned.
    pub(super) fn post(&mut self, shard: u8, mail: Mail) -> Result<(), Mail> {
        let result = match self.mailboxes.get(usize::from(shard)) {
            Some(mailbox) => mailbox.put(mail),
            None => Err(mail),
        };
        if result.is_err() {
            self.counts.mailbox_drops += 1;
        }
        result
    }

    /// Tells a transaction, here or on another shard, that its message was not sent.
    pub(super) fn transport_error(&mut self, origin: Origin, now: Instant) {
        let transaction = origin.transaction;
        if origin.shard == self.shard {
            self.handle(Input::TransportError { transaction }, now);
        } else {
            // When even this is lost, the transaction's own timer ends it.
            self.post(origin.shard, Mail::TransportError { transaction })
                .ok();
        }
    }

    pub(super) fn handle(&mut self, input: Input, now: Instant) {
        self.guarded(|core| core.handle(input, now));
    }

    /// Returns whether the core came through.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.guarded(|core| core.handle_timeout(now)).is_some()
    }

    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        self.guarded(C::next_timeout).flatten()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.guarded(C::poll_output).flatten()
    }

    pub(super) fn relay(
        &mut self,
        socket: MediaSocket,
        from: std::net::SocketAddr,
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Option<Forward> {
        self.guarded(|core| core.relay(socket, from, packet, now))
            .flatten()
    }

    pub(super) fn set_snapshot(&mut self, snapshot: Arc<Snapshot>, now: Instant) {
        self.guarded(|core| core.set_snapshot(snapshot, now));
    }

    pub(super) fn live_calls(&mut self, wanted: &CallsWanted, now: Instant) -> Vec<LiveCall> {
        let calls = self.guarded(|core| core.live_calls(wanted, now));
        calls.unwrap_or_default()
    }

    pub(super) fn media_ports_wanted(&self) -> usize {
        self.core.media_ports_wanted()
    }

    /// Makes the core's figures public, and those of the dispatch.
    pub(super) fn publish(&self, to: &SharedGauges) {
        to.publish(&self.core.gauges(), &self.core.refused(), &self.counts);
    }

    /// Lets the core say good-bye.
    pub(super) fn shutdown(&mut self, now: Instant) {
        self.guarded(|core| core.shutdown(now));
    }

    pub(super) fn publish_event(&mut self, event: Event) {
        if self.events.push(event).is_err() {
            self.counts.event_drops += 1;
        }
    }

    /// Runs a step of the core; a panic in it ends the step, not the thread. What the core had half
    /// done is its own to bear: its tables are reached by id, and a stale id is dropped.
    fn guarded<R>(&mut self, step: impl FnOnce(&mut C) -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| step(&mut self.core))) {
            Ok(result) => Some(result),
            Err(_) => {
                self.counts.panics += 1;
                // The panic hook has written the place.
                tracing::error!(shard = self.shard, "panic in the core, the shard goes on");
                None
            }
        }
    }
}
