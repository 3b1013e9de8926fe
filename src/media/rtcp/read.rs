//! Reading.

use super::{
    BYE, HEADER_BYTES, RECEIVER_REPORT, REPORT_BLOCK_BYTES, ReportBlock, RtcpError, SDES_END,
    SENDER_INFO_BYTES, SENDER_REPORT, SOURCE_DESCRIPTION, SSRC_BYTES, SenderInfo,
};

/// A compound packet whose lengths are true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Compound<'a> {
    /// Reads a datagram (RFC 3550 §6.1, appendix A.2): packets of version 2 whose lengths add up to that of
    /// the datagram, padded in the last at most, and with room for what they count. The first may be of any
    /// type (RFC 5506).
    pub fn read(datagram: &'a [u8]) -> Result<Self, RtcpError> {
        let mut rest = datagram;
        loop {
            let (packet, after) = split_packet(rest)?;
            if packet.padding > 0 && !after.is_empty() {
                return Err(RtcpError::Padding);
            }
            packet.check_content()?;
            rest = after;
            if rest.is_empty() {
                return Ok(Self(datagram));
            }
        }
    }

    /// The packets in their order.
    pub fn packets(&self) -> Packets<'a> {
        Packets(self.0)
    }
}

/// The packets of a compound packet.
#[derive(Clone, Debug)]
pub struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (packet, rest) = split_packet(self.0).ok()?;
        self.0 = rest;
        packet.typed()
    }
}

/// One packet of a compound packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// SR (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// RR (RFC 3550 §6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// BYE (RFC 3550 §6.6).
    Bye(Bye<'a>),
    /// Another one.
    Other {
        /// Its type, 192 to 223.
        packet_type: u8,
    },
}

/// A sender's report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// Of its own stream.
    pub info: SenderInfo,
    /// Of the streams that it receives.
    pub blocks: ReportBlocks<'a>,
}

/// The report of one who sends nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// Of the streams that it receives.
    pub blocks: ReportBlocks<'a>,
}

/// Report blocks, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let mut words = Words(self.0);
        let ssrc = words.next()?;
        let loss = words.next()?;
        let block = ReportBlock {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            // The sign of 24 bits.
            lost: (loss << 8).cast_signed() >> 8,
            highest_sequence: words.next()?,
            jitter: words.next()?,
            last_sender_report: words.next()?,
            delay_since_last_sender_report: words.next()?,
        };
        self.0 = words.0;
        Some(block)
    }
}

/// Who leaves: SSRCs, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bye<'a>(Words<'a>);

impl Iterator for Bye<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0.next()
    }
}

/// A packet by its header.
struct Framed<'a> {
    packet_type: u8,
    /// What the header counts: report blocks, chunks, SSRCs.
    count: usize,
    /// Bytes of padding.
    padding: usize,
    /// After the header, without padding.
    content: &'a [u8],
}

/// The first packet, and what is after it.
fn split_packet(bytes: &[u8]) -> Result<(Framed<'_>, &[u8]), RtcpError> {
    let Some((&[first, packet_type, high, low], after)) = bytes.split_first_chunk() else {
        return Err(RtcpError::Truncated);
    };
    if first >> 6 != 2 {
        return Err(RtcpError::Version(first >> 6));
    }
    if !(192..=223).contains(&packet_type) {
        return Err(RtcpError::PacketType(packet_type));
    }
    let bytes = usize::from(u16::from_be_bytes([high, low])) * 4;
    let Some((content, rest)) = after.split_at_checked(bytes) else {
        return Err(RtcpError::Length(packet_type));
    };
    let padding = match (first & 0x20, content.last()) {
        (0, _) => 0,
        (_, Some(&padding)) if padding != 0 && padding.is_multiple_of(4) => usize::from(padding),
        (_, Some(_) | None) => return Err(RtcpError::Padding),
    };
    let unpadded = content.len().checked_sub(padding);
    let content = unpadded.and_then(|bytes| content.get(..bytes));
    let packet = Framed {
        packet_type,
        count: usize::from(first & 0x1f),
        padding,
        content: content.ok_or(RtcpError::Padding)?,
    };
    Ok((packet, rest))
}

impl<'a> Framed<'a> {
    fn check_content(&self) -> Result<(), RtcpError> {
        let fits = match self.packet_type {
            SENDER_REPORT => self.has(SSRC_BYTES + SENDER_INFO_BYTES, REPORT_BLOCK_BYTES),
            RECEIVER_REPORT => self.has(SSRC_BYTES, REPORT_BLOCK_BYTES),
            SOURCE_DESCRIPTION => chunks_fit(self.content, self.count),
            BYE => self.has(0, SSRC_BYTES) && reason_fits(self.content, self.count),
            // All others begin with an SSRC.
            _ => self.content.len() >= SSRC_BYTES,
        };
        match fits {
            true => Ok(()),
            false => Err(RtcpError::Content(self.packet_type)),
        }
    }

    /// Whether there is room for a beginning and what is counted.
    fn has(&self, beginning: usize, each: usize) -> bool {
        self.content.len() >= beginning + self.count * each
    }

    fn typed(&self) -> Option<Packet<'a>> {
        let mut words = Words(self.content);
        Some(match self.packet_type {
            SENDER_REPORT => Packet::SenderReport(SenderReport {
                ssrc: words.next()?,
                info: SenderInfo {
                    ntp: u64::from(words.next()?) << 32 | u64::from(words.next()?),
                    rtp_timestamp: words.next()?,
                    packets: words.next()?,
                    bytes: words.next()?,
                },
                blocks: self.blocks(words.0)?,
            }),
            RECEIVER_REPORT => Packet::ReceiverReport(ReceiverReport {
                ssrc: words.next()?,
                blocks: self.blocks(words.0)?,
            }),
            BYE => {
                let ssrcs = self.content.get(..self.count * SSRC_BYTES)?;
                Packet::Bye(Bye(Words(ssrcs)))
            }
            packet_type => Packet::Other { packet_type },
        })
    }

    /// What follows them is an extension of some profile (RFC 3550 §6.4.3).
    fn blocks(&self, after_beginning: &'a [u8]) -> Option<ReportBlocks<'a>> {
        let bytes = self.count * REPORT_BLOCK_BYTES;
        after_beginning.get(..bytes).map(ReportBlocks)
    }
}

/// Whether chunks and their items end within the packet (RFC 3550 §6.5). That zeros are missing at the very
/// end is not minded.
fn chunks_fit(content: &[u8], count: usize) -> bool {
    let mut rest = content;
    for _ in 0..count {
        let Some(items) = rest.get(SSRC_BYTES..) else {
            return false;
        };
        let Some(bytes) = items_bytes(items) else {
            return false;
        };
        // Chunks begin at words; SSRC and header are one each.
        let bytes = SSRC_BYTES + bytes.next_multiple_of(HEADER_BYTES);
        rest = rest.get(bytes..).unwrap_or_default();
    }
    true
}

/// The bytes of a chunk's items with the zero that ends them; `None` where an item is longer than the rest.
fn items_bytes(items: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&item) = items.get(at) {
        if item == SDES_END {
            return Some(at + 1);
        }
        at += 2 + usize::from(*items.get(at + 1)?);
    }
    (at == items.len()).then_some(at)
}

/// Whether the reason after the SSRCs, if there is one, is as long as it says.
fn reason_fits(content: &[u8], count: usize) -> bool {
    match content.get(count * SSRC_BYTES..) {
        Some([length, reason @ ..]) => reason.len() >= usize::from(*length),
        Some([]) => true,
        None => false,
    }
}

/// Words of 32 bits in network order.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Words<'a>(&'a [u8]);

impl Iterator for Words<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }
}
