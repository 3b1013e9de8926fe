//! The fuzz bodies on what was found before, and on random bytes.
//!
//! TRUNKLINE_FUZZ_SEQUENCES is how many random sequences are played, TRUNKLINE_FUZZ_SEED the first one's seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fault in a fuzz body is what the test is for"
)]

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.next() % (most + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a decimal number"))
}

/// Plays a body on random bytes; a failure names the seed that shows it again.
fn play(count: u64, most: u64, body: fn(&[u8])) {
    let first = setting("TRUNKLINE_FUZZ_SEED", 1);
    for seed in first..first + count {
        let data = Random(seed).bytes(most);
        if std::panic::catch_unwind(|| body(&data)).is_err() {
            panic!("TRUNKLINE_FUZZ_SEED={seed} TRUNKLINE_FUZZ_SEQUENCES=1");
        }
    }
}

#[test]
fn random_sequences_leave_nothing_behind() {
    play(
        setting("TRUNKLINE_FUZZ_SEQUENCES", 3_000),
        300,
        bodies::sequence,
    );
}

#[test]
fn random_bytes_do_no_harm() {
    for body in [bodies::message, bodies::description, bodies::framing] {
        play(2_000, 200, body);
    }
}

#[test]
fn what_was_found_before_does_no_harm_any_more() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut replayed = 0;
    type Body = fn(&[u8]);
    let bodies: [(&str, Body); 4] = [
        ("message", bodies::message),
        ("description", bodies::description),
        ("framing", bodies::framing),
        ("sequence", bodies::sequence),
    ];
    for (name, body) in bodies {
        for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            replayed += 1;
        }
    }
    assert!(replayed >= bodies.len(), "the corpus is not there");
}
