//! The call limiter of one process: an exact sliding second for each connector, shared by its shards.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::connector_id::VoiceConnectorId;
use crate::gateway::limiter::CallLimiter;
use crate::instant::Instant;

const WINDOW: Duration = Duration::from_secs(1);

/// Remembers when each connector's last calls were admitted, no more of them than its limit.
#[derive(Default)]
pub struct SlidingWindow {
    /// A lock per call set-up, not per packet; it is held for a few instructions.
    admitted: Mutex<HashMap<VoiceConnectorId, VecDeque<Instant>>>,
}

impl CallLimiter for SlidingWindow {
    fn admit(&self, connector: VoiceConnectorId, per_second: u32, now: Instant) -> bool {
        let mut all = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = all.entry(connector).or_default();
        // Shards read their clocks once a turn, so that `now` may be a little behind the newest entry.
        while admitted
            .front()
            .is_some_and(|oldest| now.since(*oldest) >= WINDOW)
        {
            admitted.pop_front();
        }
        if admitted.len() >= per_second as usize {
            return false;
        }
        let newest = admitted.back().copied().unwrap_or(now);
        admitted.push_back(newest.max(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn connector(letter: u8) -> VoiceConnectorId {
        VoiceConnectorId::from_random([letter; VoiceConnectorId::LENGTH])
    }

    #[test]
    fn no_second_has_more_calls_than_the_limit() {
        let limiter = SlidingWindow::default();
        let admitted: Vec<u64> = (0..5_000)
            .step_by(10)
            .filter(|now| limiter.admit(connector(1), 7, at(*now)))
            .collect();
        assert!(
            admitted
                .windows(8)
                .all(|eight| eight[7] - eight[0] >= 1_000),
            "{admitted:?}"
        );
        assert_eq!(admitted.len(), 5 * 7, "the limit is used in full");
    }

    #[test]
    fn refused_calls_do_not_count_and_connectors_do_not_share() {
        let limiter = SlidingWindow::default();
        assert!(limiter.admit(connector(1), 1, at(0)));
        assert!((1..1_000).all(|now| !limiter.admit(connector(1), 1, at(now))));
        assert!(limiter.admit(connector(2), 1, at(500)));
        assert!(limiter.admit(connector(1), 1, at(1_000)));
    }

    #[test]
    fn a_shard_whose_clock_is_behind_opens_no_gap() {
        let limiter = SlidingWindow::default();
        assert!(limiter.admit(connector(1), 2, at(2_000)));
        assert!(limiter.admit(connector(1), 2, at(1_990)));
        assert!(!limiter.admit(connector(1), 2, at(2_995)));
        assert!(limiter.admit(connector(1), 2, at(3_000)));
    }
}
