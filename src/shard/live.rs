//! What a shard tells of its calls while they are up.

use super::Shard;
use crate::instant::Instant;
use crate::media::MediaCounters;
use crate::telemetry::LiveCall;

impl Shard {
    /// Its answered calls and their media as of `now`, so many at most.
    pub fn live_calls(&self, max: usize, now: Instant) -> Vec<LiveCall> {
        let calls = self.calls.iter().filter_map(|(_, held)| held.call.as_ref());
        let live = calls.filter_map(|call| call.live(&self.core, now));
        live.take(max).collect()
    }

    /// What all media sockets have received since the start.
    pub fn media_totals(&self) -> MediaCounters {
        self.core.media.totals()
    }
}
