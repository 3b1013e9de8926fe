use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::connector_id::VoiceConnectorId;
use crate::gateway::limiter::{CallLease, RatePermit};

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn connector(letter: u8) -> Counted {
    Counted::Connector(VoiceConnectorId::from_random(
        [letter; VoiceConnectorId::LENGTH],
    ))
}

fn carrier(name: &str) -> Counted {
    Counted::Carrier(name.into())
}

fn admits(limiter: &NodeLimiter, who: &Counted, per_second: u32, now: Instant) -> bool {
    let at = limiter.take_rate(who, per_second, Urgency::Routine, now);
    at.is_some()
}

/// A small generator, for tests that print their seed.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[test]
fn no_second_has_more_calls_than_the_limit() {
    let limiter = NodeLimiter::default();
    let admitted: Vec<u64> = (0..5_000)
        .step_by(10)
        .filter(|now| admits(&limiter, &connector(1), 7, at(*now)))
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
fn refused_calls_do_not_count_and_nobody_shares() {
    let limiter = NodeLimiter::default();
    for who in [connector(1), carrier("one")] {
        assert!(admits(&limiter, &who, 1, at(0)));
        assert!((1..1_000).all(|now| !admits(&limiter, &who, 1, at(now))));
    }
    assert!(admits(&limiter, &connector(2), 1, at(500)));
    assert!(admits(&limiter, &carrier("two"), 1, at(500)));
    assert!(admits(&limiter, &connector(1), 1, at(1_000)));
}

#[test]
fn a_shard_whose_clock_is_behind_opens_no_gap() {
    let limiter = NodeLimiter::default();
    let who = connector(1);
    assert!(admits(&limiter, &who, 2, at(2_000)));
    assert!(admits(&limiter, &who, 2, at(1_990)));
    assert!(!admits(&limiter, &who, 2, at(2_995)));
    assert!(admits(&limiter, &who, 2, at(3_000)));
}

#[test]
fn what_is_given_back_opens_no_gap_for_a_clock_that_is_behind() {
    let limiter: Arc<dyn CallLimiter> = Arc::new(NodeLimiter::default());
    let take = |now| RatePermit::take(&limiter, connector(1), 1, Urgency::Routine, at(now));
    take(0).unwrap().confirm();
    // The first is over for this one, which comes to nothing; with it goes all that is remembered.
    let lease = CallLease::take(&limiter, connector(1), 0, Urgency::Routine);
    drop(take(1_000).unwrap());
    drop(lease);
    let behind = take(995).expect("there is room");
    behind.confirm();
    assert!(take(1_999).is_none(), "it counts from 1000");
    assert!(take(2_000).is_some());
}

#[test]
fn a_permit_that_is_dropped_never_counted() {
    let limiter: Arc<dyn CallLimiter> = Arc::new(NodeLimiter::default());
    let take = |now| RatePermit::take(&limiter, connector(1), 2, Urgency::Routine, at(now));
    for now in 0..100 {
        let (one, two) = (take(now), take(now));
        assert!(one.is_some() && two.is_some());
        assert!(take(now).is_none());
    }
    take(100).unwrap().confirm();
    take(100).unwrap().confirm();
    assert!(take(1_099).is_none());
    assert!(take(1_100).is_some());
}

#[test]
fn an_emergency_is_admitted_always_and_counts_for_others() {
    let limiter = NodeLimiter::default();
    let who = connector(1);
    for _ in 0..3 {
        let at = limiter.take_rate(&who, 1, Urgency::Emergency, at(0));
        assert!(at.is_some());
        assert!(limiter.take_call(&who, 2, Urgency::Emergency));
    }
    assert!(!admits(&limiter, &who, 3, at(999)));
    assert!(admits(&limiter, &who, 3, at(1_000)));
    assert!(!limiter.take_call(&who, 3, Urgency::Routine));
    limiter.return_call(&who);
    assert!(limiter.take_call(&who, 3, Urgency::Routine));
}

#[test]
fn without_a_limit_calls_at_once_are_counted_and_rates_are_not() {
    let limiter = NodeLimiter::default();
    let who = carrier("one");
    assert!((0..10_000).all(|_| admits(&limiter, &who, 0, at(0))));
    assert_eq!(limiter.remembered(), 0);
    assert!((0..10).all(|_| limiter.take_call(&who, 0, Urgency::Routine)));
    assert!(!limiter.take_call(&who, 10, Urgency::Routine));
    for _ in 0..10 {
        limiter.return_call(&who);
    }
    assert_eq!((limiter.calls(), limiter.remembered()), (0, 0));
}

#[test]
fn who_is_idle_is_not_remembered() {
    let limiter = NodeLimiter::default();
    let ids = (0..20_000u64).map(|number| {
        let mut random = [0; VoiceConnectorId::LENGTH];
        let digits = format!("{number:022}");
        random.copy_from_slice(digits.as_bytes());
        Counted::Connector(VoiceConnectorId::from_random(random))
    });
    let ids: Vec<Counted> = ids.collect();
    for (number, who) in ids.iter().enumerate() {
        assert!(admits(&limiter, who, 1, at(number as u64 * 10)));
    }
    let remembered = limiter.remembered();
    assert!(remembered < 2_500, "{remembered} after 10 calls a second");
}

/// Threads with clocks that are read now and then, as shards' are, calls that are refused later, and a clock that
/// runs much faster than the wall's: whatever they do, no second has more calls than the limit, and it is used in
/// full.
#[test]
fn threads_admit_exactly_the_limit() {
    for seed in [1u64, 20_260_220, 0xdead_beef] {
        eprintln!("seed {seed}");
        let limit = 50;
        let limiter = NodeLimiter::default();
        let clock = AtomicU64::new(0);
        let end = 10_000_000;
        let is_over = AtomicBool::new(false);
        let admitted = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let shard = |number: u64| {
                let mut rng = Rng(seed.wrapping_mul(number + 1) | 1);
                let mut own = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    // The time of a turn, in which several calls come.
                    let now =
                        Instant::from_micros(clock.fetch_add(rng.below(900), Ordering::SeqCst));
                    if now.as_micros() >= end {
                        is_over.store(true, Ordering::Relaxed);
                    }
                    for _ in 0..rng.below(4) {
                        let who = connector(1);
                        let at = limiter.take_rate(&who, limit, Urgency::Routine, now);
                        match at {
                            Some(at) if rng.below(3) > 0 => own.push(at),
                            // A later check refuses it.
                            Some(at) => limiter.return_rate(&who, at),
                            None => {}
                        }
                    }
                }
                admitted.lock().unwrap().extend(own);
            };
            for number in 0..4 {
                scope.spawn(move || shard(number));
            }
        });
        let mut admitted = admitted.into_inner().unwrap();
        admitted.sort_unstable();
        let over = admitted
            .windows(limit as usize + 1)
            .find(|calls| calls[limit as usize].since(calls[0]) < WINDOW);
        assert_eq!(over, None, "seed {seed}");
        // A thread that the system does not let run may hold one that it will give back.
        let unused = admitted
            .windows(limit as usize + 1 - 4)
            .find(|calls| calls[limit as usize - 4].since(calls[0]) > WINDOW * 102 / 100);
        assert_eq!(unused, None, "seed {seed}");
        assert!(admitted.len() >= 9 * limit as usize, "seed {seed}");
    }
}

#[test]
fn threads_never_have_more_calls_at_once_than_the_limit() {
    for seed in [2, 20_260_220] {
        eprintln!("seed {seed}");
        let limit = 20;
        let counts = Arc::new(NodeLimiter::default());
        let limiter: Arc<dyn CallLimiter> = counts.clone();
        let (now, full) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for number in 0..4u64 {
                let (limiter, now, full) = (&limiter, &now, &full);
                scope.spawn(move || {
                    let mut rng = Rng(seed + 7 * number);
                    let mut held = Vec::new();
                    for _ in 0..20_000 {
                        if rng.below(2) == 0 {
                            let lease =
                                CallLease::take(limiter, carrier("one"), limit, Urgency::Routine);
                            match lease {
                                Some(lease) => {
                                    let calls = now.fetch_add(1, Ordering::SeqCst) + 1;
                                    assert!(calls <= u64::from(limit), "seed {seed}: {calls}");
                                    held.push(lease);
                                }
                                None => {
                                    full.fetch_add(1, Ordering::SeqCst);
                                }
                            }
                        } else if !held.is_empty() {
                            now.fetch_sub(1, Ordering::SeqCst);
                            let place = rng.below(held.len() as u64) as usize;
                            held.swap_remove(place);
                        }
                    }
                    now.fetch_sub(held.len() as u64, Ordering::SeqCst);
                });
            }
        });
        assert!(full.into_inner() > 0, "the limit was reached");
        assert_eq!((counts.calls(), counts.remembered()), (0, 0));
    }
}
