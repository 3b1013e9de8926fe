//! The time to a peer and back, from the sender reports that go to it and what it says of them in its own
//! reports (RFC 3550 §6.4.1).
//!
//! Whoever's reports they are, those of the other leg that are relayed or our own: the time is counted from
//! when a report went out here.

use std::time::Duration;

use crate::instant::Instant;

/// Sender reports that are remembered: a peer that answers later than after this many is not measured by it.
const REMEMBERED: usize = 4;
/// A longer way to a peer and back is a mistake in somebody's report.
const PLAUSIBLE_MAX: Duration = Duration::from_secs(60);
/// By so much the peer's clock and ours may disagree on a way that takes no time: it is counted as zero.
const DISAGREEMENT_MAX: Duration = Duration::from_millis(5);

/// Round-trip time to one peer.
#[derive(Default, Debug)]
pub struct RoundTrip {
    /// The sender reports that went to the peer last, in a ring.
    passed: [Passed; REMEMBERED],
    /// Where in the ring the next one is put.
    next: usize,
    last: Option<Duration>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Passed {
    /// The middle half of its NTP timestamp. 0: none.
    stamp: u32,
    at: Instant,
}

impl RoundTrip {
    /// A sender report goes to the peer; `stamp` is the middle half of its NTP timestamp
    /// ([`SenderInfo::ntp_middle`](super::rtcp::SenderInfo::ntp_middle)).
    pub fn sender_report_passed(&mut self, stamp: u32, now: Instant) {
        if let Some(place) = self.passed.get_mut(self.next) {
            *place = Passed { stamp, at: now };
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// The peer reports: `last_sender_report` and `delay` are LSR and DLSR of its report block, the delay in
    /// units of 1/65,536 s. The time that this measures; `None` where it does not measure any.
    pub fn reported(
        &mut self,
        last_sender_report: u32,
        delay: u32,
        now: Instant,
    ) -> Option<Duration> {
        // RFC 3550 §6.4.1: zero says that the peer has received no sender report.
        if last_sender_report == 0 {
            return None;
        }
        let mut passed = self.passed.iter();
        let passed = passed.find(|passed| passed.stamp == last_sender_report)?;
        let delay = Duration::from_micros(u64::from(delay) * 1_000_000 / 65_536);
        let gone = now.since(passed.at);
        if delay > gone + DISAGREEMENT_MAX {
            return None;
        }
        let measured = gone.saturating_sub(delay);
        if measured >= PLAUSIBLE_MAX {
            return None;
        }
        self.last = Some(measured);
        self.last
    }

    /// The last time that was measured.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In units of 1/65,536 s.
    fn delay(millis: u32) -> u32 {
        millis * 65_536 / 1_000
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn millis(measured: Option<Duration>) -> Option<u128> {
        // A unit of the delay is 15 µs.
        measured.map(|measured| (measured + Duration::from_micros(16)).as_millis())
    }

    #[test]
    fn the_time_that_the_peer_kept_the_report_is_not_on_the_way() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.last(), None);
        round_trip.sender_report_passed(7, at(1_000));
        let measured = round_trip.reported(7, delay(2_500), at(3_580));
        assert_eq!(millis(measured), Some(80));
        assert_eq!(round_trip.last(), measured);
    }

    #[test]
    fn a_peer_may_answer_the_report_before_the_last() {
        let mut round_trip = RoundTrip::default();
        for report in 1..=5 {
            round_trip.sender_report_passed(report, at(u64::from(report) * 5_000));
        }
        let measured = round_trip.reported(2, delay(1_000), at(11_040));
        assert_eq!(millis(measured), Some(40));
        let forgotten = round_trip.reported(1, delay(1_000), at(11_040));
        assert_eq!(forgotten, None);
        assert_eq!(millis(round_trip.last()), Some(40), "stays");
    }

    #[test]
    fn what_cannot_be_is_not_measured() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(
            round_trip.reported(0, 0, at(1)),
            None,
            "no report had passed"
        );
        round_trip.sender_report_passed(0, at(0));
        round_trip.sender_report_passed(9, at(0));
        assert_eq!(round_trip.reported(0, 0, at(1)), None, "received no report");
        assert_eq!(round_trip.reported(8, 0, at(1)), None, "another's report");
        assert_eq!(
            round_trip.reported(9, delay(2_000), at(1_000)),
            None,
            "kept it before it had it"
        );
        assert_eq!(round_trip.reported(9, u32::MAX, at(1_000)), None);
        assert_eq!(round_trip.reported(9, 0, at(60_000)), None, "a minute");
        assert_eq!(round_trip.last(), None);
    }

    #[test]
    fn clocks_that_disagree_a_little_make_no_time() {
        let mut round_trip = RoundTrip::default();
        round_trip.sender_report_passed(9, at(0));
        let measured = round_trip.reported(9, delay(1_003), at(1_000));
        assert_eq!(measured, Some(Duration::ZERO));
    }
}
