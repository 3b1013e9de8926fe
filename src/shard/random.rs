//! Randomness as an input: a keyed pseudo-random function over a counter.

use std::fmt;
use std::hash::Hasher;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use zeroize::Zeroizing;

/// Unpredictable numbers from a secret seed; the same seed gives the same numbers.
#[derive(Clone)]
pub struct Random {
    key: [u8; 16],
    counter: u64,
}

impl Random {
    /// From a seed that nobody else knows (tests print theirs).
    pub fn new(key: [u8; 16]) -> Self {
        Self { key, counter: 0 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter += 1;
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(self.counter);
        hasher.finish()
    }

    /// 256 random bits.
    pub fn next_bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next_u64().to_be_bytes());
        }
        bytes
    }

    /// A number below `bound`, which is small against 2^64 (the bias is below 2^-32 then); 0 for a bound
    /// of 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = (self.next_u64() >> 32) * u64::from(bound);
        (wide >> 32) as u32
    }
}

/// What keys are made of: HMAC-SHA-256 over a counter, by a state that each draw replaces, so that who sees the
/// state learns nothing of keys that were made before.
pub struct KeyMaterial {
    state: Zeroizing<[u8; 32]>,
}

impl KeyMaterial {
    /// From a seed that nobody else knows.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            state: Zeroizing::new(seed),
        }
    }

    /// Fills the bytes, up to 255 times 32.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for (number, part) in (1..).zip(bytes.chunks_mut(32)) {
            let block = self.block(number);
            for (byte, random) in part.iter_mut().zip(*block) {
                *byte = random;
            }
        }
        self.state = self.block(0);
    }

    fn block(&self, number: u8) -> Zeroizing<[u8; 32]> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.state) else {
            unreachable!("HMAC takes a key of any length");
        };
        mac.update(&[number]);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_alike_and_a_seed_gives_the_same_ones() {
        let draws = |seed| {
            let mut material = KeyMaterial::new([seed; 32]);
            let mut draws = [[0; 46]; 8];
            for draw in &mut draws {
                material.fill(draw);
            }
            draws
        };
        let first = draws(7);
        assert_eq!(first, draws(7));
        let all: std::collections::BTreeSet<_> = first.iter().chain(&draws(8)).copied().collect();
        assert_eq!(all.len(), 16);
        assert_ne!(first[0][..14], first[0][32..]);
    }
}
