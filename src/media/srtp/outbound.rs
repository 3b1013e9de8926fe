//! What leaves by one key.

use std::fmt;

use super::cipher::{Cipher, Packet};
use super::derivation::Protocol;
use super::layout::{RTCP_HEADER_BYTES, RtpHeader, rtcp_ssrc, set_sequence};
use super::replay::{ReplayWindow, WINDOW};
use super::sources::Sources;
use super::suite::MasterKey;
use super::{PACKET_BYTES_MAX, SrtpError};
use crate::media::MISORDER_MAX;

/// A key remembers every SSRC it has protected, so that none starts anew under it; for one more there is
/// no room.
const SSRCS_MAX: usize = 512;
// What is late can be told from what has left before.
const _: () = assert!((MISORDER_MAX as u64) < WINDOW);
/// The highest SRTP index: 32 bits of roll-over counter, 16 of sequence number.
const INDEX_MAX: u64 = (1 << 48) - 1;
/// The highest SRTCP index.
const RTCP_INDEX_MAX: u32 = (1 << 31) - 1;

/// Protects packets with one key.
///
/// No two packets are encrypted under the same SSRC and index (RFC 3711 §9.1), whatever the sequence
/// numbers are that come in: they are another peer's. They are shifted where that is needed, by the
/// same number for as long as they go on, so what is lost or reordered before stays lost or reordered.
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    pub(super) sources: Sources<Source>,
    /// Of the next SRTCP packet.
    pub(super) rtcp_index: u32,
    /// SRTCP packets that the key may yet protect.
    pub(super) rtcp_left: u32,
}

/// An SSRC's numbering.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Of the indices as they are sent.
    pub(super) sent: ReplayWindow,
    /// What is added to a sequence number.
    shift: u16,
}

impl Outbound {
    /// From index 0 on, as SDES has it (RFC 4568 §6.4).
    pub fn new(key: &MasterKey) -> Self {
        Self {
            rtp: Cipher::new(key, Protocol::Rtp),
            rtcp: Cipher::new(key, Protocol::Rtcp),
            sources: Sources::new(),
            rtcp_index: 0,
            rtcp_left: 1 << 31,
        }
    }

    /// Goes on with another key: roll-over counters, sequence numbers and the SRTCP index continue
    /// (RFC 3711 §3.3.1, §3.2.1).
    pub fn rekeyed(&self, key: &MasterKey) -> Self {
        Self {
            sources: self.sources.clone(),
            rtcp_index: self.rtcp_index,
            ..Self::new(key)
        }
    }

    /// Protects the RTP packet in the first `length` bytes of the buffer in place and returns its new
    /// length; the rest of the buffer is room for it ([`OVERHEAD_BYTES_MAX`](super::OVERHEAD_BYTES_MAX)).
    /// The sequence number may change.
    ///
    /// # Errors
    ///
    /// Packet and state are as they were.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let packet = packet_of(buffer, length)?;
        let header = RtpHeader::read(packet)?;
        let (next, index) = match self.sources.get(header.ssrc) {
            Some(source) => source.next(header.sequence)?,
            None if self.sources.len() >= SSRCS_MAX => return Err(SrtpError::KeyExhausted),
            None => Source::first(header.sequence),
        };
        if index > INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        let packet = Packet {
            ssrc: header.ssrc,
            index,
            clear: header.bytes,
        };
        if buffer.len() < length + self.rtp.added_bytes() {
            return Err(SrtpError::NoRoom);
        }
        set_sequence(buffer, index as u16);
        let sealed = self.rtp.seal(&packet, buffer, length)?;
        self.keep(header.ssrc, next);
        Ok(sealed)
    }

    /// What is added to the sequence numbers of an SSRC.
    pub fn shift_of(&self, ssrc: u32) -> u16 {
        self.sources.get(ssrc).map_or(0, |source| source.shift)
    }

    /// Protects the RTCP packet in the first `length` bytes of the buffer in place and returns its new
    /// length.
    ///
    /// # Errors
    ///
    /// Packet and state are as they were.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let packet = Packet {
            ssrc: rtcp_ssrc(packet_of(buffer, length)?)?,
            index: u64::from(self.rtcp_index),
            clear: RTCP_HEADER_BYTES,
        };
        let left = self.rtcp_left.checked_sub(1);
        let left = left.ok_or(SrtpError::KeyExhausted)?;
        let sealed = self.rtcp.seal(&packet, buffer, length)?;
        self.rtcp_left = left;
        self.rtcp_index = (self.rtcp_index + 1) & RTCP_INDEX_MAX;
        Ok(sealed)
    }

    #[inline]
    fn keep(&mut self, ssrc: u32, source: Source) {
        match self.sources.get_mut(ssrc) {
            Some(kept) => *kept = source,
            None => self.sources.insert(ssrc, source, SSRCS_MAX),
        }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Outbound").finish_non_exhaustive()
    }
}

impl Source {
    /// A first sequence number is below 2^15: a receiver that loses the first packets would not see the
    /// roll-over of a higher one (RFC 4568 §6.4).
    fn first(sequence: u16) -> (Self, u64) {
        let shift = sequence & 0x8000;
        let index = u64::from(sequence.wrapping_add(shift));
        let source = Self {
            sent: ReplayWindow::starting_at(index),
            shift,
        };
        (source, index)
    }

    /// The numbering after a packet, and the packet's index. One that is too far behind to be late is the first of
    /// a new numbering, which goes on from the last: [`Reception`](crate::media::Reception) has let it through.
    #[inline]
    fn next(&self, sequence: u16) -> Result<(Self, u64), SrtpError> {
        let highest = self.sent.highest();
        let shifted = sequence.wrapping_add(self.shift);
        let distance = i64::from(shifted.wrapping_sub(highest as u16) as i16);
        let mut next = *self;
        let index = if distance > -i64::from(MISORDER_MAX) {
            let index = highest.checked_add_signed(distance);
            index.ok_or(SrtpError::Replayed)?
        } else {
            next.shift = (highest as u16).wrapping_add(1).wrapping_sub(sequence);
            highest + 1
        };
        if !self.sent.is_new(index) {
            return Err(SrtpError::Replayed);
        }
        next.sent.record(index);
        Ok((next, index))
    }
}

fn packet_of(buffer: &[u8], length: usize) -> Result<&[u8], SrtpError> {
    if length > PACKET_BYTES_MAX {
        return Err(SrtpError::Malformed);
    }
    buffer.get(..length).ok_or(SrtpError::Malformed)
}
