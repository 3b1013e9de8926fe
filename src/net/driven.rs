//! The core that workers drive in the product: a shard.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Gauges};
use crate::gateway::refusal::RefusalCounts;
use crate::instant::Instant;
use crate::media::{Datagram, Forward, MediaSocket};
use crate::shard::Shard;
use crate::shard::io::{Flow, Input, Output};
use crate::shard::snapshot::Snapshot;
use crate::telemetry::{CallsWanted, LiveCall};

impl Core for Shard {
    fn handle(&mut self, input: Input, now: Instant) {
        Self::handle(self, input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        Self::next_timeout(self)
    }

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn relay(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Option<Forward> {
        Self::relay(self, socket, from, packet, now)
    }

    fn admits(&mut self, flow: &Flow, now: Instant) -> bool {
        Self::admits(self, flow, now)
    }

    fn accepts(&self, source: IpAddr, now: Instant) -> bool {
        Self::accepts(self, source, now)
    }

    fn set_lag(&mut self, lag: Duration) {
        Self::set_lag(self, lag);
    }

    fn owner(&self, message: &[u8]) -> u8 {
        Self::owner(self, message)
    }

    fn media_ports_wanted(&self) -> usize {
        Self::media_ports_wanted(self)
    }

    fn shutdown(&mut self, now: Instant) {
        Self::shutdown(self, now);
    }

    fn set_snapshot(&mut self, snapshot: Arc<Snapshot>, now: Instant) {
        Self::set_snapshot(self, snapshot, now);
    }

    fn refused(&self) -> RefusalCounts {
        self.counters().refused_for
    }

    fn live_calls(&self, wanted: &CallsWanted, now: Instant) -> Vec<LiveCall> {
        Self::live_calls(self, wanted, now)
    }

    fn gauges(&self) -> Gauges {
        let (held, counted) = (self.occupancy(), self.counters());
        let guard = self.guard_counters();
        let health = self.health_counters();
        let media = self.media_totals();
        Gauges {
            calls: held.calls as u64,
            dialogs: held.dialogs as u64,
            transactions: held.transactions as u64,
            timers: held.timers as u64,
            media_ports_in_use: held.media_ports as u64,
            media_ports_free: held.media_ports_free as u64,
            pager_messages: held.pager_messages as u64,
            pager_messages_begun: counted.pager_messages,
            pager_messages_refused_full: counted.pager_messages_refused_full,
            messages: counted.messages,
            messages_malformed: counted.malformed,
            messages_stray: counted.stray,
            calls_begun: counted.calls,
            calls_refused: counted.refused,
            calls_refused_full: counted.refused_full,
            calls_refused_lag: counted.refused_lag,
            messages_over_rate: guard.too_many,
            messages_from_banned: guard.from_banned,
            messages_while_busy: guard.busy,
            sources_banned: guard.banned,
            next_hops: health.hops as u64,
            next_hops_down: health.down as u64,
            pings_sent: health.sent,
            pings_unanswered: health.unanswered,
            media_packets_relayed: media.relayed.packets,
            media_bytes_relayed: media.relayed.bytes,
            media_free_port: media.free_port,
            media_malformed: media.dropped.malformed,
            media_foreign_source: media.dropped.foreign_source,
            media_too_many: media.dropped.too_many,
            media_not_authentic: media.dropped.not_authentic,
            media_replayed: media.dropped.replayed,
            media_implausible: media.dropped.implausible,
            media_no_destination: media.dropped.no_destination,
            call_panics: counted.panics,
        }
    }
}
