//! Randomness and the weather of the network.

use std::time::Duration;

/// Pseudo-random numbers (splitmix64): the same seed gives the same world.
#[derive(Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in that many of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_micros() as u64;
        low + Duration::from_micros(self.below(span + 1))
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// What the network does to datagrams; streams only take their time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Datagrams that get lost, in a thousand.
    pub(crate) loss: u64,
    /// Datagrams that come twice, in a thousand.
    pub(crate) duplication: u64,
    /// Datagrams that are overtaken by later ones, in a thousand.
    pub(crate) reordering: u64,
    /// One way.
    pub(crate) latency: Duration,
}

impl Network {
    /// Nothing goes wrong.
    pub(crate) const CALM: Network = Network {
        loss: 0,
        duplication: 0,
        reordering: 0,
        latency: Duration::from_millis(10),
    };

    /// When the copies of a datagram arrive, after it was sent.
    pub(crate) fn arrivals(&self, rng: &mut Rng) -> Vec<Duration> {
        let copies = 1 + usize::from(rng.chance(self.duplication));
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            let late = rng.chance(self.reordering);
            let delay = if late {
                rng.between(Duration::ZERO, Duration::from_millis(700))
            } else {
                Duration::ZERO
            };
            if !rng.chance(self.loss) {
                arrivals.push(self.latency + delay);
            }
        }
        arrivals
    }
}
