//! What a network does to a stream is what is counted.

use super::*;
use crate::shard::random::Random;

const CLOCK: u32 = 8_000;
/// Timestamp units of a packet of 20 ms.
const STEP: u32 = 160;
const PACKET_MICROS: u64 = 20_000;
const SSRC: u32 = 0x1234_5678;
/// Seeds of every test with chance in it; a failure names its seed.
const SEEDS: std::ops::Range<u64> = 0..20;

/// The packet with this number in a stream that begins near the wrap of sequence numbers and timestamps.
fn packet(number: u32) -> RtpHeader {
    RtpHeader {
        marker: number == 0,
        payload_type: 0,
        sequence: (65_500 + number) as u16,
        timestamp: 0xffff_f000_u32.wrapping_add(number * STEP),
        ssrc: SSRC,
    }
}

fn at(micros: u64) -> Instant {
    Instant::from_micros(3_600_000_000 + micros)
}

/// When the packet with this number is sent.
fn sent(number: u32) -> u64 {
    u64::from(number) * PACKET_MICROS
}

/// Receives packets by their numbers, each when it was sent.
fn receive(reception: &mut Reception, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        let found = reception.receive(packet(number), at(sent(number)), CLOCK);
        assert_eq!(found, Plausibility::Plausible, "packet {number}");
    }
}

fn random(seed: u64) -> Random {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    Random::new(key)
}

#[test]
fn a_clean_stream_has_lost_nothing() {
    let mut reception = Reception::default();
    assert_eq!(reception.figures(), ReceptionFigures::default());
    assert_eq!(reception.ssrc(), None);
    assert_eq!(reception.report_block(&reception.figures()), None);
    // Through many wraps of the sequence number.
    receive(&mut reception, 0..200_000);
    let expected = ReceptionFigures {
        expected: 200_000,
        received: 200_000,
        ..ReceptionFigures::default()
    };
    assert_eq!(reception.figures(), expected);
    assert_eq!(reception.ssrc(), Some(SSRC));
}

#[test]
fn loss_is_counted_exactly() {
    for seed in SEEDS {
        let mut random = random(seed);
        let mut reception = Reception::default();
        let mut lost = 0;
        for number in 0..10_000 {
            // What is lost before the first and after the last packet nobody can know.
            if number % 9_999 != 0 && random.below(100) < 5 {
                lost += 1;
            } else {
                receive(&mut reception, [number]);
            }
        }
        let figures = reception.figures();
        assert_eq!(
            (figures.expected, figures.lost()),
            (10_000, lost),
            "seed {seed}"
        );
        assert!((0.04..0.06).contains(&figures.loss()), "seed {seed}");
    }
}

#[test]
fn duplicates_and_reordering_are_counted_exactly() {
    for seed in SEEDS {
        let mut random = random(seed);
        // By the time of arrival: some come up to a second late, some twice.
        let mut arrivals = Vec::new();
        let mut duplicates = 0;
        for number in 0..10_000 {
            let mut arrive = |random: &mut Random, late: bool| {
                let delay = if late { 1 + random.below(900_000) } else { 0 };
                arrivals.push((sent(number) + u64::from(delay), number));
            };
            let is_late = number > 0 && random.below(100) < 10;
            arrive(&mut random, is_late);
            if random.below(100) < 3 {
                duplicates += 1;
                arrive(&mut random, true);
            }
        }
        arrivals.sort_unstable();
        let mut reception = Reception::default();
        let (mut highest, mut reordered) = (0, 0);
        let mut seen = vec![false; 10_000];
        for (micros, number) in arrivals {
            let was_seen = std::mem::replace(&mut seen[number as usize], true);
            reordered += u32::from(!was_seen && number < highest);
            highest = highest.max(number);
            let expected = match was_seen {
                true => Plausibility::Duplicate,
                false => Plausibility::Plausible,
            };
            let found = reception.receive(packet(number), at(micros), CLOCK);
            assert_eq!(found, expected, "packet {number}, seed {seed}");
        }
        let figures = reception.figures();
        assert_eq!(figures.lost(), 0, "seed {seed}");
        assert_eq!(figures.duplicates, duplicates, "seed {seed}");
        assert_eq!(figures.reordered, reordered, "seed {seed}");
        assert!(duplicates > 200 && reordered > 500, "seed {seed}");
    }
}

#[test]
fn packets_sent_before_the_first_that_came_are_not_lost() {
    let mut reception = Reception::default();
    receive(&mut reception, [5, 2, 3, 6]);
    let figures = reception.figures();
    assert_eq!((figures.expected, figures.received), (4, 4));
    assert_eq!(figures.reordered, 2);
    receive(&mut reception, [100, 50]);
    assert_eq!(reception.figures().lost(), 92);
}

#[test]
fn jitter_is_the_mean_difference_of_delays() {
    for (clock, step) in [(8_000, 160), (48_000, 960), (90_000, 1_800)] {
        for seed in SEEDS {
            let mut random = random(seed);
            let mut reception = Reception::default();
            let mut sum = Duration::ZERO;
            for number in 0..10_000u32 {
                // Uniform from 0 to 9 ms: two of them differ by a third of that in the mean.
                let delay = u64::from(random.below(9_001));
                let header = RtpHeader {
                    timestamp: number.wrapping_mul(step),
                    ..packet(number)
                };
                reception.receive(header, at(sent(number) + delay), clock);
                if number >= 100 {
                    sum += reception.jitter();
                }
            }
            let mean = sum / 9_900;
            let within = Duration::from_micros(2_700)..Duration::from_micros(3_300);
            assert!(
                within.contains(&mean),
                "{mean:?} at {clock} Hz, seed {seed}"
            );
            let figures = reception.figures();
            assert_eq!(figures.lost(), 0);
            let block = reception.report_block(&figures).unwrap();
            let micros = u64::from(block.jitter) * 1_000_000 / u64::from(clock);
            let jitter = figures.jitter.as_micros() as u64;
            assert!(micros.abs_diff(jitter) <= 1_000_000 / u64::from(clock));
        }
    }
}

#[test]
fn a_steady_clock_that_is_read_rarely_makes_no_more_jitter_than_its_step() {
    let mut reception = Reception::default();
    for number in 0..1_000 {
        let read = sent(number) / 7_000 * 7_000;
        reception.receive(packet(number), at(read), CLOCK);
    }
    assert!(reception.jitter() < Duration::from_millis(7));
}

#[test]
fn an_event_is_neither_loss_nor_jitter() {
    let mut reception = Reception::default();
    receive(&mut reception, 0..50);
    // RFC 4733 §2.5: one timestamp, the end three times at once.
    for number in 50..60 {
        let event = RtpHeader {
            marker: number == 50,
            payload_type: 101,
            timestamp: packet(50).timestamp,
            ..packet(number)
        };
        let now = at(sent(number.min(57)));
        assert_eq!(
            reception.receive(event, now, CLOCK),
            Plausibility::Plausible
        );
    }
    for number in 60..200 {
        let header = RtpHeader {
            timestamp: packet(number - 2).timestamp,
            ..packet(number)
        };
        reception.receive(header, at(sent(number - 2)), CLOCK);
    }
    let figures = reception.figures();
    assert_eq!((figures.expected, figures.lost()), (200, 0));
    assert_eq!(figures.jitter, Duration::ZERO);
}

#[test]
fn silence_is_neither_loss_nor_jitter() {
    let mut reception = Reception::default();
    for spurt in 0..20u32 {
        for number in 0..50 {
            // 3 s of silence before each spurt, which the sender's timestamps have as 2.5 s.
            let index = spurt * 50 + number;
            let header = RtpHeader {
                marker: number == 0,
                timestamp: index * STEP + spurt * 20_000,
                ..packet(index)
            };
            let now = at(sent(index) + u64::from(spurt) * 3_000_000);
            reception.receive(header, now, CLOCK);
        }
    }
    let figures = reception.figures();
    assert_eq!((figures.expected, figures.lost()), (1_000, 0));
    assert_eq!(figures.jitter, Duration::ZERO);
}

#[test]
fn a_jump_of_the_timestamps_or_another_clock_is_no_jitter() {
    let mut reception = Reception::default();
    receive(&mut reception, 0..50);
    for number in 50..100 {
        let header = RtpHeader {
            timestamp: packet(number).timestamp.wrapping_add(0x7654_3210),
            ..packet(number)
        };
        reception.receive(header, at(sent(number)), CLOCK);
    }
    assert_eq!(reception.jitter(), Duration::ZERO);
    for number in 100..150 {
        let header = RtpHeader {
            payload_type: 111,
            timestamp: number * 960,
            ..packet(number)
        };
        reception.receive(header, at(sent(number)), 48_000);
    }
    assert_eq!(reception.jitter(), Duration::ZERO);
}

#[test]
fn jitter_stays_the_same_time_on_another_clock() {
    let mut reception = Reception::default();
    for number in 0..500 {
        let delay = u64::from(number % 2) * 4_000;
        reception.receive(packet(number), at(sent(number) + delay), CLOCK);
    }
    let before = reception.jitter();
    assert!(before > Duration::from_micros(3_500));
    reception.receive(packet(500), at(sent(500)), 48_000);
    let after = reception.jitter();
    assert!(before.abs_diff(after) < Duration::from_micros(10));
}

#[test]
fn an_unknown_clock_says_nothing_of_jitter() {
    let mut reception = Reception::default();
    for number in 0..100 {
        let delay = u64::from(number % 2) * 4_000;
        reception.receive(packet(number), at(sent(number) + delay), 0);
    }
    assert_eq!(reception.figures().received, 100);
    assert_eq!(reception.jitter(), Duration::ZERO);
}

fn of_another(number: u32) -> RtpHeader {
    RtpHeader {
        ssrc: SSRC + 1,
        sequence: (7 + number) as u16,
        ..packet(number)
    }
}

#[test]
fn another_ssrc_is_believed_when_two_packets_follow_each_other() {
    let mut reception = Reception::default();
    receive(&mut reception, 0..100);
    let now = at(sent(100));
    for number in [0, 2, 4, 3, 9] {
        let found = reception.receive(of_another(number), now, CLOCK);
        assert_eq!(found, Plausibility::Implausible, "{number}");
    }
    receive(&mut reception, 100..110);
    assert_eq!(reception.figures().expected, 110, "the stream goes on");
    let found = reception.receive(of_another(10), now, CLOCK);
    assert_eq!(found, Plausibility::Plausible);
    for number in 11..20 {
        let found = reception.receive(of_another(number), now, CLOCK);
        assert_eq!(found, Plausibility::Plausible);
    }
    assert_eq!(reception.ssrc(), Some(SSRC + 1));
    let figures = reception.figures();
    assert_eq!((figures.expected, figures.lost()), (120, 0));
    let back = reception.receive(packet(110), now, CLOCK);
    assert_eq!(back, Plausibility::Implausible);
}

#[test]
fn a_jump_is_believed_when_two_packets_follow_each_other() {
    // The last number of the stream is 99.
    for (jump, is_far) in [(98 + 3_000, false), (99 + 3_000, true), (40_000, true)] {
        let mut reception = Reception::default();
        receive(&mut reception, 0..100);
        let now = at(sent(100));
        let found = reception.receive(packet(jump), now, CLOCK);
        assert_eq!(found == Plausibility::Implausible, is_far, "{jump}");
        let found = reception.receive(packet(jump + 1), now, CLOCK);
        assert_eq!(found, Plausibility::Plausible, "{jump}");
        let lost = if is_far { 0 } else { 2_998 };
        assert_eq!(reception.figures().lost(), lost, "{jump}");
    }
}

#[test]
fn what_is_long_past_is_not_believed() {
    let mut reception = Reception::default();
    receive(&mut reception, (0..200).filter(|number| *number != 101));
    let now = at(sent(200));
    let found = reception.receive(packet(99), now, CLOCK);
    assert_eq!(found, Plausibility::Implausible);
    let found = reception.receive(packet(101), now, CLOCK);
    assert_eq!(found, Plausibility::Plausible);
    assert_eq!(reception.figures().lost(), 0);
}

#[test]
fn a_change_that_is_expected_is_believed_at_once_and_once() {
    let mut reception = Reception::default();
    receive(&mut reception, 0..100);
    reception.expect_change();
    receive(&mut reception, 100..110);
    let now = at(sent(110));
    let found = reception.receive(of_another(0), now, CLOCK);
    assert_eq!(found, Plausibility::Plausible);
    let found = reception.receive(packet(110), now, CLOCK);
    assert_eq!(found, Plausibility::Implausible);
    reception.expect_change();
    let found = reception.receive(of_another(30_000), now, CLOCK);
    assert_eq!(found, Plausibility::Plausible);
    assert_eq!(reception.figures().lost(), 0);
}

#[test]
fn a_change_that_does_not_come_is_not_expected_any_more() {
    for (unchanged, expected) in [
        (249, Plausibility::Plausible),
        (250, Plausibility::Implausible),
    ] {
        let mut reception = Reception::default();
        receive(&mut reception, 0..100);
        reception.expect_change();
        receive(&mut reception, 100..100 + unchanged);
        let now = at(sent(100 + unchanged));
        let found = reception.receive(of_another(0), now, CLOCK);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_report_is_of_the_ssrc_and_its_fraction_of_the_interval() {
    let mut reception = Reception::default();
    let every_fourth_is_lost = |range: std::ops::Range<u32>| range.filter(|n| n % 4 != 2);
    receive(&mut reception, every_fourth_is_lost(0..100));
    let first = reception
        .report_block(&ReceptionFigures::default())
        .unwrap();
    assert_eq!(
        (first.ssrc, first.lost, first.fraction_lost),
        (SSRC, 25, 64)
    );
    assert_eq!(first.highest_sequence, 65_500 + 99);

    let before = reception.figures();
    receive(&mut reception, 100..200);
    let second = reception.report_block(&before).unwrap();
    assert_eq!((second.lost, second.fraction_lost), (25, 0));

    let before = reception.figures();
    receive(&mut reception, [202, 201, 203]);
    let third = reception.figures().since(&before);
    assert_eq!((third.expected, third.received, third.lost()), (4, 3, 1));
    assert_eq!((third.reordered, third.duplicates), (1, 0));

    reception.expect_change();
    for number in [0, 1, 2, 4] {
        reception.receive(of_another(number), at(sent(300)), CLOCK);
    }
    let block = reception.report_block(&before).unwrap();
    assert_eq!((block.ssrc, block.lost), (SSRC + 1, 1));
    assert_eq!(reception.figures().lost(), 27);
}

#[test]
fn a_packet_that_comes_in_a_later_interval_makes_no_negative_loss() {
    let mut reception = Reception::default();
    receive(&mut reception, [0, 1, 3]);
    let before = reception.figures();
    assert_eq!(before.lost(), 1);
    receive(&mut reception, [2, 4]);
    let since = reception.figures().since(&before);
    assert_eq!((since.expected, since.received), (1, 2));
    assert_eq!((since.lost(), since.fraction_lost()), (0, 0));
    assert_eq!(reception.figures().lost(), 0);
    assert_eq!(ReceptionFigures::default().loss(), 0.0);
}

#[test]
fn a_stream_of_which_nearly_all_is_lost_has_a_fraction() {
    let mut reception = Reception::default();
    receive(&mut reception, [0, 2_999]);
    assert_eq!(reception.figures().fraction_lost(), 255);
}

#[test]
fn whatever_comes_is_counted_once() {
    for seed in SEEDS {
        let mut random = random(seed);
        let mut reception = Reception::default();
        let mut now = at(0);
        let mut sequence = 0u16;
        let (mut plausible, mut duplicates) = (0, 0);
        for _ in 0..10_000 {
            let step = match random.below(20) {
                0 => random.next_u64() as u16,
                1..5 => (random.below(120) as u16).wrapping_neg(),
                _ => 1 + random.below(3) as u16,
            };
            sequence = sequence.wrapping_add(step);
            now += Duration::from_micros(random.next_u64() >> (20 + random.below(40)));
            let header = RtpHeader {
                marker: random.below(2) == 0,
                payload_type: random.below(3) as u8,
                sequence,
                timestamp: (random.next_u64() >> (32 + random.below(32))) as u32,
                ssrc: u32::from(random.below(20) == 0),
            };
            let clock = [0, 1, 8_000, 48_000, u32::MAX][random.below(5) as usize];
            match reception.receive(header, now, clock) {
                Plausibility::Plausible => plausible += 1,
                Plausibility::Duplicate => duplicates += 1,
                Plausibility::Implausible => {}
            }
            if random.below(50) == 0 {
                reception.expect_change();
            }
            let _ = reception.report_block(&ReceptionFigures::default());
        }
        let figures = reception.figures();
        assert_eq!(figures.received, plausible, "seed {seed}");
        assert_eq!(figures.duplicates, duplicates, "seed {seed}");
        let found = (plausible, duplicates);
        assert!(
            plausible > 1_000 && duplicates > 100,
            "{found:?}, seed {seed}"
        );
    }
}

#[test]
fn a_header_is_read_from_twelve_bytes() {
    let bytes = [0x80, 0xe5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    let header = RtpHeader {
        marker: true,
        payload_type: 101,
        sequence: 0x0102,
        timestamp: 0x0304_0506,
        ssrc: 0x0708_090a,
    };
    assert_eq!(RtpHeader::read(&bytes), Some(header));
    assert_eq!(RtpHeader::read(&bytes[..12]), Some(header));
    assert_eq!(RtpHeader::read(&bytes[..11]), None);
}
