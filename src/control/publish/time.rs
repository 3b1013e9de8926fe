//! The time of the shards and that of the wall clock: the store keeps the one, calls go by the other.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::instant::Instant;
use crate::net::sys::Clock;

/// Both clocks run at the same speed, for both are slewed alike; so where they differ by more than two readings may, the
/// wall clock was set, or the machine was asleep.
const STEP_MIN: Duration = Duration::from_millis(5);
/// Readings that are this far apart are of one moment.
const APART_MAX: Duration = Duration::from_micros(200);
/// How often a reading is tried that nobody interrupts.
const READINGS_MAX: usize = 8;

/// Which moment of the wall clock is which of the shards' clock. That stays as it is until somebody looks again, so that
/// two readings of one timestamp are one instant.
#[derive(Debug)]
pub struct ShardTime {
    clock: Clock,
    /// The shards' origin, in microseconds since the Unix epoch.
    origin: AtomicI64,
}

impl ShardTime {
    /// Of a clock, by the wall clock of this moment.
    pub(super) fn of(clock: Clock) -> Self {
        let origin = AtomicI64::new(origin(clock));
        Self { clock, origin }
    }

    /// The shards' clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// A moment as the shards count it; one before their origin is the origin.
    pub fn instant(&self, at: Timestamp) -> Instant {
        let since = at.as_microsecond() - self.origin.load(Ordering::Relaxed);
        Instant::from_micros(u64::try_from(since).unwrap_or(0))
    }

    /// Looks at both clocks again; true where the wall clock was set since, and instants are others from now on.
    pub fn look(&self) -> bool {
        self.take(origin(self.clock))
    }

    fn take(&self, origin: i64) -> bool {
        let step = origin.abs_diff(self.origin.load(Ordering::Relaxed));
        let is_step = u128::from(step) > STEP_MIN.as_micros();
        if is_step {
            self.origin.store(origin, Ordering::Relaxed);
        }
        is_step
    }
}

/// What the wall clock says, or said, at the origin of the clock.
fn origin(clock: Clock) -> i64 {
    let mut best = (Duration::MAX, 0);
    for _ in 0..READINGS_MAX {
        let before = clock.now();
        let wall = Timestamp::now().as_microsecond();
        let apart = clock.now().since(before);
        let middle = before + apart / 2;
        let since = i64::try_from(middle.as_micros()).unwrap_or(i64::MAX);
        if apart < best.0 {
            best = (apart, wall.saturating_sub(since));
        }
        if apart <= APART_MAX {
            break;
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_the_instant_that_is_as_far_away() {
        let clock = Clock::start();
        let time = ShardTime::of(clock);
        let (wall, now) = (Timestamp::now(), clock.now());
        let in_an_hour = time.instant(wall + Duration::from_secs(3_600));
        let away = in_an_hour.since(now);
        let error = away.abs_diff(Duration::from_secs(3_600));
        assert!(error < Duration::from_millis(1), "{error:?}");
        assert_eq!(time.instant(Timestamp::UNIX_EPOCH), Instant::ORIGIN);
        let ahead = time.instant(Timestamp::MAX);
        assert!(ahead > in_an_hour);
    }

    #[test]
    fn instants_move_when_the_wall_clock_was_set_and_not_otherwise() {
        let time = ShardTime::of(Clock::start());
        let wall = Timestamp::now() + Duration::from_secs(60);
        let before = time.instant(wall);
        assert!(!time.take(time.origin.load(Ordering::Relaxed) + 4_000));
        assert_eq!(time.instant(wall), before);
        // The wall clock is put forward by ten seconds: what it calls 60 s ahead is nearer.
        assert!(time.take(time.origin.load(Ordering::Relaxed) + 10_000_000));
        assert_eq!(before.since(time.instant(wall)), Duration::from_secs(10));
    }
}
