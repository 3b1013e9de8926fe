//! What is known of one RTP stream by what was received of it: loss, duplicates, reordering, jitter, and
//! whether a packet belongs to it at all (RFC 3550 appendix A.1, A.3, A.8).
//!
//! Loss goes by sequence numbers alone, so silence that was not sent and events that repeat their timestamp
//! are no loss. Figures are those of the whole stream: they go on when the sender changes its SSRC or
//! begins its numbers anew, and what was in between is not counted as lost.
//!
//! Deliberately absent: bytes, and packets that were refused (who calls counts them).

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::MISORDER_MAX;
use super::rtcp::ReportBlock;
use crate::instant::Instant;

/// A sequence number may be this far ahead of the highest one (RFC 3550 appendix A.1).
const DROPOUT_MAX: u16 = 3_000;
/// Sequence numbers up to the highest one of which it is known whether they came.
const WINDOW: u16 = 64;
/// A stream that goes on for so many packets after a change was expected has not changed: five seconds of audio.
const UNCHANGED_MAX: u16 = 250;
/// No payload type.
const NONE: u8 = u8::MAX;
/// Silence before a marked packet from which on its timestamp is taken as a new beginning.
const PAUSE_MICROS: u32 = 100_000;
const MICROS_PER_SECOND: u64 = 1_000_000;
/// The most that a report can say was lost: 24 bits with a sign (RFC 3550 §6.4.1).
const REPORTED_LOST_MAX: u32 = 0x7f_ffff;

/// The facts of an RTP packet's fixed header (RFC 3550 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpHeader {
    /// Marker: with audio, the first packet after silence (RFC 3551 §4.1).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the payload type's clock.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
}

impl RtpHeader {
    /// Of a packet; `None` for one that is too short. The version is not looked at.
    #[inline]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let &[_, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = packet.first_chunk()?;
        Some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
        })
    }
}

/// Whether a packet belongs to its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plausibility {
    /// It does.
    Plausible,
    /// It does, and has come before.
    Duplicate,
    /// It has another SSRC or a number from far away, and nothing says yet that the sender has changed: to be dropped.
    Implausible,
}

/// One received stream: one cache line.
#[derive(Default, Debug)]
#[repr(align(64))]
pub struct Reception {
    /// Bit n: the packet n before the highest sequence number has come.
    window: u64,
    ssrc: u32,
    /// Highest sequence number, the times it has wrapped above it.
    highest: u32,
    /// Of the last implausible packet; meaningful in [`Trust::Doubtful`].
    candidate_ssrc: u32,
    /// Packets that should have come, since the beginning. 0: nothing has come.
    expected: u32,
    /// Different packets that have come, since the beginning.
    received: u32,
    duplicates: u32,
    reordered: u32,
    /// What was lost before the SSRC was this one.
    lost_before: u32,
    /// 16 times the jitter, in units of `clock_rate`.
    jitter: u32,
    /// When the packet came that the next one's jitter is measured by: µs, wrapping.
    arrival: u32,
    /// That packet's timestamp.
    timestamp: u32,
    /// That packet's clock, in Hz. 0: there is no such packet yet.
    clock_rate: u32,
    /// In [`Trust::Doubtful`], the number that would confirm the last implausible packet; in [`Trust::Open`], packets
    /// that have gone on with the stream since the change was expected.
    candidate_sequence: u16,
    payload_type: u8,
    /// Sequence numbers before the highest one that are of this run of numbers; not counted on after
    /// [`MISORDER_MAX`].
    behind: u8,
    trust: Trust,
}

const _: () = assert!(size_of::<Reception>() == 64);

/// What becomes of a packet that does not continue the stream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Trust {
    /// It is believed: the first one, and the first soon after call control has expected a change.
    #[default]
    Open,
    /// It is not believed, but remembered.
    Settled,
    /// One is remembered; it is believed if it is the one after that.
    Doubtful,
}

impl Reception {
    /// Takes a packet in. `clock_rate` is its payload type's, in Hz; 0 where it is not known, and the packet
    /// then says nothing of jitter.
    #[inline]
    pub fn receive(&mut self, header: RtpHeader, now: Instant, clock_rate: u32) -> Plausibility {
        if header.ssrc == self.ssrc && self.expected > 0 {
            let ahead = header.sequence.wrapping_sub(self.highest_sequence());
            if ahead != 0 && ahead < DROPOUT_MAX {
                self.advance(ahead);
                self.measure_jitter(header, now, clock_rate);
                return Plausibility::Plausible;
            }
            let behind = ahead.wrapping_neg();
            if behind < MISORDER_MAX {
                return self.receive_late(behind, header, now, clock_rate);
            }
        }
        self.receive_strange(header, now, clock_rate)
    }

    /// An offer or an answer has said something new: the next SSRC, or the next jump of the sequence numbers,
    /// is believed at once.
    pub fn expect_change(&mut self) {
        self.trust = Trust::Open;
        self.candidate_sequence = 0;
    }

    /// Payload types may stand for something else from now on.
    pub fn renumber(&mut self) {
        self.payload_type = NONE;
    }

    /// A payload type's clock, in Hz, where the packet before had that payload type; `None` where it is to be looked
    /// up.
    #[inline]
    pub fn clock_of(&self, payload_type: u8) -> Option<u32> {
        (self.payload_type == payload_type && self.clock_rate != 0).then_some(self.clock_rate)
    }

    /// The stream's clock as of now, in Hz; `None` where it is not known.
    pub fn clock_rate(&self) -> Option<u32> {
        (self.clock_rate != 0).then_some(self.clock_rate)
    }

    /// What the timestamp of a packet would be that came now; `None` where the clock is not known.
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let elapsed = u64::from(micros(now).wrapping_sub(self.arrival));
        let elapsed = elapsed * u64::from(self.clock_rate()?) / MICROS_PER_SECOND;
        let elapsed = u32::try_from(elapsed).unwrap_or(u32::MAX);
        Some(self.timestamp.wrapping_add(elapsed))
    }

    /// What was lost of the stream that has the SSRC of now.
    pub fn lost(&self) -> u32 {
        self.figures().lost().saturating_sub(self.lost_before)
    }

    /// The figures since the beginning.
    pub fn figures(&self) -> ReceptionFigures {
        ReceptionFigures {
            expected: self.expected,
            received: self.received,
            duplicates: self.duplicates,
            reordered: self.reordered,
            jitter: self.jitter(),
        }
    }

    /// Interarrival jitter as of now (RFC 3550 §6.4.1), as time.
    pub fn jitter(&self) -> Duration {
        if self.clock_rate == 0 {
            return Duration::ZERO;
        }
        let scaled = u64::from(self.jitter) * MICROS_PER_SECOND / u64::from(self.clock_rate);
        Duration::from_micros(scaled / 16)
    }

    /// The SSRC of the stream now; `None` as long as nothing has come.
    pub fn ssrc(&self) -> Option<u32> {
        (self.expected > 0).then_some(self.ssrc)
    }

    /// What a report says of the stream (RFC 3550 §6.4.1), with the fraction lost since the figures were
    /// `before`, those of the report before; `None` as long as nothing has come. The sender report that was
    /// received last is the caller's to fill in.
    pub fn report_block(&self, before: &ReceptionFigures) -> Option<ReportBlock> {
        let figures = self.figures();
        Some(ReportBlock {
            ssrc: self.ssrc()?,
            fraction_lost: figures.since(before).fraction_lost(),
            lost: self.lost().min(REPORTED_LOST_MAX).cast_signed(),
            highest_sequence: self.highest,
            jitter: self.jitter / 16,
            last_sender_report: 0,
            delay_since_last_sender_report: 0,
        })
    }

    #[inline]
    fn highest_sequence(&self) -> u16 {
        (self.highest & 0xffff) as u16
    }

    #[inline]
    fn advance(&mut self, ahead: u16) {
        self.highest = self.highest.wrapping_add(u32::from(ahead));
        self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
        self.behind = self
            .behind
            .saturating_add(u8::try_from(ahead).unwrap_or(u8::MAX));
        self.expected = self.expected.wrapping_add(u32::from(ahead));
        self.received = self.received.wrapping_add(1);
        if self.trust == Trust::Open {
            self.go_on_unchanged();
        }
    }

    #[cold]
    fn go_on_unchanged(&mut self) {
        self.candidate_sequence += 1;
        if self.candidate_sequence >= UNCHANGED_MAX {
            self.trust = Trust::Settled;
        }
    }

    /// A packet at, or before, the highest number.
    #[cold]
    fn receive_late(
        &mut self,
        behind: u16,
        header: RtpHeader,
        now: Instant,
        clock_rate: u32,
    ) -> Plausibility {
        // What is older than the window is not known to have come: it counts as only late.
        if behind < WINDOW {
            let bit = 1 << behind;
            if self.window & bit != 0 {
                self.duplicates = self.duplicates.wrapping_add(1);
                return Plausibility::Duplicate;
            }
            self.window |= bit;
        }
        if behind > u16::from(self.behind) {
            // Sent before the packet that the stream began with here.
            self.expected = self.expected.wrapping_add(1);
        }
        self.received = self.received.wrapping_add(1);
        self.reordered = self.reordered.wrapping_add(1);
        self.measure_jitter(header, now, clock_rate);
        Plausibility::Plausible
    }

    /// A packet that does not continue the stream.
    #[cold]
    fn receive_strange(
        &mut self,
        header: RtpHeader,
        now: Instant,
        clock_rate: u32,
    ) -> Plausibility {
        let is_believed = match self.trust {
            Trust::Open => true,
            Trust::Settled => false,
            Trust::Doubtful => {
                header.ssrc == self.candidate_ssrc && header.sequence == self.candidate_sequence
            }
        };
        if is_believed {
            self.restart(header, now, clock_rate);
            return Plausibility::Plausible;
        }
        self.trust = Trust::Doubtful;
        self.candidate_ssrc = header.ssrc;
        self.candidate_sequence = header.sequence.wrapping_add(1);
        Plausibility::Implausible
    }

    fn restart(&mut self, header: RtpHeader, now: Instant, clock_rate: u32) {
        if header.ssrc != self.ssrc {
            self.lost_before = self.figures().lost();
        }
        self.ssrc = header.ssrc;
        self.highest = u32::from(header.sequence);
        self.window = 1;
        self.behind = 0;
        self.trust = Trust::Settled;
        self.expected = self.expected.wrapping_add(1);
        self.received = self.received.wrapping_add(1);
        if clock_rate != 0 {
            self.measure_from(header, now, clock_rate);
        }
    }

    /// RFC 3550 appendix A.8, but where the difference of two timestamps says nothing of the network.
    #[inline]
    fn measure_jitter(&mut self, header: RtpHeader, now: Instant, clock_rate: u32) {
        if clock_rate != self.clock_rate || header.payload_type != self.payload_type {
            // Another codec may have a timeline of its own.
            if clock_rate != 0 {
                self.measure_from(header, now, clock_rate);
            }
            return;
        }
        if header.timestamp == self.timestamp {
            // The packets of one event (RFC 4733 §2.5.1) are sent one after the other all the same.
            return;
        }
        let waited = micros(now).wrapping_sub(self.arrival);
        let elapsed = header.timestamp.wrapping_sub(self.timestamp).cast_signed();
        self.arrival = micros(now);
        self.timestamp = header.timestamp;
        if header.marker && waited >= PAUSE_MICROS {
            return;
        }
        let waited = u64::from(waited) * u64::from(clock_rate) / MICROS_PER_SECOND;
        let difference = waited
            .cast_signed()
            .saturating_sub(i64::from(elapsed))
            .unsigned_abs();
        // A second and more is a jump of the timestamps.
        if let Ok(difference) = u32::try_from(difference)
            && difference < clock_rate
        {
            let decay = self.jitter.saturating_add(8) / 16;
            self.jitter = self.jitter.saturating_sub(decay).saturating_add(difference);
        }
    }

    /// The next packet's jitter is measured by this one.
    fn measure_from(&mut self, header: RtpHeader, now: Instant, clock_rate: u32) {
        if clock_rate != self.clock_rate {
            let rescaled = (u64::from(self.jitter) * u64::from(clock_rate))
                .checked_div(u64::from(self.clock_rate));
            self.jitter = rescaled.map_or(0, |jitter| u32::try_from(jitter).unwrap_or(u32::MAX));
            self.clock_rate = clock_rate;
        }
        self.payload_type = header.payload_type;
        self.timestamp = header.timestamp;
        self.arrival = micros(now);
    }
}

/// What was received of a stream, from its beginning or between two moments.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReceptionFigures {
    /// Packets that should have come, by their sequence numbers.
    pub expected: u32,
    /// Different packets that have come.
    pub received: u32,
    /// Packets that came once more; they are not in `received`.
    pub duplicates: u32,
    /// Packets that came after one with a higher sequence number; they are in `received`.
    pub reordered: u32,
    /// Interarrival jitter (RFC 3550 §6.4.1) at the end.
    pub jitter: Duration,
}

impl ReceptionFigures {
    /// Packets that have not come.
    pub fn lost(&self) -> u32 {
        self.expected.saturating_sub(self.received)
    }

    /// What there was after `before`, earlier figures of the same stream. A packet that was lost then and
    /// comes now makes up for one that is lost now.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            expected: self.expected.wrapping_sub(before.expected),
            received: self.received.wrapping_sub(before.received),
            duplicates: self.duplicates.wrapping_sub(before.duplicates),
            reordered: self.reordered.wrapping_sub(before.reordered),
            jitter: self.jitter,
        }
    }

    /// Part of the expected packets that was lost, in 256ths (RFC 3550 appendix A.3).
    pub fn fraction_lost(&self) -> u8 {
        let fraction = (u64::from(self.lost()) * 256).checked_div(u64::from(self.expected));
        u8::try_from(fraction.unwrap_or(0)).unwrap_or(u8::MAX)
    }

    /// Part of the expected packets that was lost, 0 to 1.
    pub fn loss(&self) -> f32 {
        match self.expected {
            0 => 0.0,
            expected => self.lost() as f32 / expected as f32,
        }
    }
}

/// The low half of the microseconds: intervals of up to 71 minutes.
#[inline]
fn micros(now: Instant) -> u32 {
    (now.as_micros() & u64::from(u32::MAX)) as u32
}
