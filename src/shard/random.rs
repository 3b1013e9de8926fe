//! Randomness as an input: a keyed pseudo-random function over a counter.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

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
