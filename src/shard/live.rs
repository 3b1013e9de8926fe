//! What a shard tells of its calls while they are up.

use super::Shard;
use crate::gateway::call::Call;
use crate::instant::Instant;
use crate::media::MediaCounters;
use crate::telemetry::{CallsWanted, LiveCall};

impl Shard {
    /// The answered calls that are wanted, and their media as of `now`.
    pub fn live_calls(&self, wanted: &CallsWanted, now: Instant) -> Vec<LiveCall> {
        let calls = self.calls.iter().filter_map(|(_, held)| held.call.as_ref());
        if wanted.connectors.is_empty() {
            return Vec::new();
        }
        let is_wanted = |call: &Call| wanted.connectors.contains(call.connector());
        let calls = calls.filter(|call| is_wanted(call));
        let live = calls.filter_map(|call| call.live(&self.core, now));
        live.take(wanted.max).collect()
    }

    /// What all media sockets have received since the start.
    pub fn media_totals(&self) -> MediaCounters {
        self.core.media.totals()
    }
}
