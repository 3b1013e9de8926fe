//! RTCP packets, read in place and written into a caller's buffer (RFC 3550 §6).
//!
//! A compound packet is read as a whole or not at all: every length in it has to be true
//! ([`Compound::read`]). It may begin with any packet, for reduced-size RTCP (RFC 5506) is not told from a
//! compound packet by its bytes.
//!
//! Written is what a gateway says for itself: one report, its CNAME, and BYE.
//!
//! Deliberately absent: most feedback, extended reports and application packets, which are passed over; SRTCP.

mod read;
mod renumber;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Bye, Compound, Packet, Packets, ReceiverReport, ReportBlocks, SenderReport};
pub use renumber::renumber;
pub use write::{NoRoom, OwnReport};

/// Packet types of RTCP (RFC 3550 §12.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// RTPFB (RFC 4585 §6.1).
const FEEDBACK: u8 = 205;

/// The format of RTPFB that names lost packets (RFC 4585 §6.2.1).
const GENERIC_NACK: u8 = 1;

/// SDES item types (RFC 3550 §12.2).
const SDES_END: u8 = 0;
const SDES_CNAME: u8 = 1;

const HEADER_BYTES: usize = 4;
const SSRC_BYTES: usize = 4;
const SENDER_INFO_BYTES: usize = 20;
const REPORT_BLOCK_BYTES: usize = 24;

/// What one packet can count: report blocks, chunks, SSRCs (5 bits).
const COUNT_MAX: usize = 31;

/// Why bytes are no RTCP compound packet. They are to be dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpError {
    /// No packet, or an end that is no whole header.
    Truncated,
    /// Not version 2.
    Version(u8),
    /// Not a packet type of RTCP (RFC 5761 §4: 192 to 223).
    PacketType(u8),
    /// A packet of this type is longer than the bytes there are.
    Length(u8),
    /// A packet that is not the last is padded, or padding is longer than its packet, or not of whole words.
    Padding,
    /// A packet of this type is too short for what it counts, or an item in it is longer than its packet.
    Content(u8),
}

/// What a sender says of its stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInfo {
    /// Wall-clock time in seconds since 1900, as 32.32 bits fixed point; 0 where the sender has no clock.
    pub ntp: u64,
    /// The same moment as a timestamp of the stream.
    pub rtp_timestamp: u32,
    /// Packets sent, wrapping.
    pub packets: u32,
    /// Bytes of payload sent, wrapping.
    pub bytes: u32,
}

impl SenderInfo {
    /// The middle half of the NTP timestamp, in units of 1/65,536 s: what a report block calls LSR.
    pub fn ntp_middle(&self) -> u32 {
        ((self.ntp >> 16) & u64::from(u32::MAX)) as u32
    }
}

/// What a receiver says of one stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlock {
    /// Whose stream.
    pub ssrc: u32,
    /// Part of the packets that was lost since the report before, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, -2^23 to 2^23 - 1; below 0 where duplicates came.
    pub lost: i32,
    /// Highest sequence number received, the times it has wrapped above it.
    pub highest_sequence: u32,
    /// Interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// The middle half of the NTP timestamp of the last sender report received; 0: there was none.
    pub last_sender_report: u32,
    /// How long ago that was, in units of 1/65,536 s.
    pub delay_since_last_sender_report: u32,
}
