//! Where the parts of a packet are.

use super::SrtpError;

/// RTP's fixed header, in bytes (RFC 3550 §5.1).
const RTP_HEADER_BYTES: usize = 12;
/// The part of an RTCP packet that stays clear: its first header and the SSRC (RFC 3711 §3.4).
pub(super) const RTCP_HEADER_BYTES: usize = 8;
/// The E flag and the SRTCP index (RFC 3711 §3.4).
pub(super) const RTCP_INDEX_BYTES: usize = 4;
/// The E flag: the packet is encrypted.
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// What SRTP needs to know of an RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RtpHeader {
    pub(super) sequence: u16,
    pub(super) ssrc: u32,
    /// The header with CSRC list and extension: what stays clear.
    pub(super) bytes: usize,
}

impl RtpHeader {
    /// The packet is without its trailer.
    #[inline]
    pub(super) fn read(packet: &[u8]) -> Result<Self, SrtpError> {
        let Some((fixed, rest)) = packet.split_first_chunk::<RTP_HEADER_BYTES>() else {
            return Err(SrtpError::Malformed);
        };
        let [first, _, s0, s1, _, _, _, _, ssrc @ ..] = *fixed;
        if first >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let extras = match first & 0x1f {
            0 => 0,
            _ => extras_bytes(first, rest).ok_or(SrtpError::Malformed)?,
        };
        Ok(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes(ssrc),
            bytes: RTP_HEADER_BYTES + extras,
        })
    }
}

/// CSRC list (4 bytes each) and extension (4 bytes, then as many words as its second half says), where
/// they fit.
fn extras_bytes(first: u8, rest: &[u8]) -> Option<usize> {
    let csrc = usize::from(first & 0x0f) * 4;
    let after_csrc = rest.get(csrc..)?;
    if first & 0x10 == 0 {
        return Some(csrc);
    }
    let &[_, _, high, low] = after_csrc.first_chunk()?;
    let extension = 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
    (after_csrc.len() >= extension).then_some(csrc + extension)
}

/// Writes another sequence number into an RTP packet.
#[inline]
pub(super) fn set_sequence(packet: &mut [u8], sequence: u16) {
    if let Some(place) = packet.get_mut(2..4) {
        place.copy_from_slice(&sequence.to_be_bytes());
    }
}

/// The SSRC of the sender of an RTCP packet of version 2.
#[inline]
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    match packet.first_chunk::<RTCP_HEADER_BYTES>() {
        Some(&[first, _, _, _, a, b, c, d]) if first >> 6 == 2 => {
            Ok(u32::from_be_bytes([a, b, c, d]))
        }
        _ => Err(SrtpError::Malformed),
    }
}

/// Where the parts of a protected packet begin, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Trailer {
    /// The end of header and payload.
    pub(super) body: usize,
    /// SRTCP's E flag and index.
    pub(super) index: usize,
    pub(super) mki: usize,
    pub(super) tag: usize,
}
