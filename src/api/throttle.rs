//! How often an access key may call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// A bucket for each access key, which holds a second's requests.
#[derive(Default)]
pub struct Throttle {
    per_second: u32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    /// Thousandths of a request.
    tokens: i64,
    filled: Timestamp,
}

impl Throttle {
    /// So many requests a second for each key; 0 for no bound.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: Mutex::default(),
        }
    }

    /// Whether a key that is known may have one more request.
    pub(super) fn admits(&self, key: &str, now: Timestamp) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let full = i64::from(self.per_second) * 1_000;
        // What a panic left behind is a bucket like any other.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket {
            tokens: full,
            filled: now,
        });
        let passed = now.as_millisecond() - bucket.filled.as_millisecond();
        let earned = passed.clamp(0, 1_000) * i64::from(self.per_second);
        bucket.tokens = (bucket.tokens + earned).min(full);
        bucket.filled = now;
        let is_admitted = bucket.tokens >= 1_000;
        if is_admitted {
            bucket.tokens -= 1_000;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    #[test]
    fn a_key_has_a_seconds_requests_at_once_and_then_its_rate() {
        let throttle = Throttle::new(10);
        let admitted = |key, millis, tries| {
            (0..tries)
                .filter(|_| throttle.admits(key, at(millis)))
                .count()
        };
        assert_eq!(admitted("a", 0, 20), 10);
        assert_eq!(admitted("b", 0, 20), 10, "another key has its own");
        assert_eq!(admitted("a", 100, 20), 1);
        assert_eq!(admitted("a", 600, 20), 5);
        assert_eq!(admitted("a", 60_000, 20), 10);
        // A clock that is set back gives nothing, and takes nothing.
        assert_eq!(admitted("a", 0, 20), 0);
        assert_eq!(admitted("a", 100, 20), 1);
    }

    #[test]
    fn no_bound_is_none() {
        let throttle = Throttle::new(0);
        assert!((0..10_000).all(|_| throttle.admits("a", at(0))));
    }
}
