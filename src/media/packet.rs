//! Is this RTP, RTCP (RFC 3550 appendix A.1, A.2), UDPTL? Judged by the header alone, so that a stray
//! or forged datagram of another protocol neither latches a stream nor reaches the other leg.

/// RTP's fixed header, in bytes (RFC 3550 §5.1).
const RTP_HEADER_BYTES: usize = 12;
/// An RTCP header and the SSRC after it, in bytes (RFC 3550 §6.4).
const RTCP_BYTES_MIN: usize = 8;

/// Version 2, and the fixed header, CSRC list and header extension fit.
///
/// Padding is not looked at: in SRTP it is encrypted.
#[inline]
pub(super) fn is_rtp(packet: &[u8]) -> bool {
    let Some((header, rest)) = packet.split_at_checked(RTP_HEADER_BYTES) else {
        return false;
    };
    let Some(&first) = header.first() else {
        return false;
    };
    if first >> 6 != 2 {
        return false;
    }
    // Neither CSRC nor extension: nearly every packet.
    first & 0x1f == 0 || extras_fit(first, rest)
}

/// RTP in the clear: where it has padding, that is within the payload (RFC 3550 §5.1).
#[inline]
pub(super) fn is_rtp_whole(packet: &[u8]) -> bool {
    is_rtp(packet)
        && (packet.first().is_some_and(|first| first & 0x20 == 0) || padding_fits(packet))
}

fn padding_fits(packet: &[u8]) -> bool {
    let Some(payload) = packet.get(header_bytes(packet)..) else {
        return false;
    };
    let padding = payload.last().copied().map_or(0, usize::from);
    padding != 0 && padding <= payload.len()
}

/// Of a packet that [`is_rtp`].
fn header_bytes(packet: &[u8]) -> usize {
    let first = packet.first().copied().unwrap_or_default();
    let fixed = RTP_HEADER_BYTES + usize::from(first & 0x0f) * 4;
    match (first & 0x10, packet.get(fixed + 2..fixed + 4)) {
        (0, _) | (_, None) => fixed,
        (_, Some(words)) => {
            let words = words
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            fixed + 4 + words * 4
        }
    }
}

/// CSRC list (4 bytes each) and extension (4 bytes, then as many words as its second half says).
fn extras_fit(first: u8, rest: &[u8]) -> bool {
    let Some(after_csrc) = rest.get(usize::from(first & 0x0f) * 4..) else {
        return false;
    };
    if first & 0x10 == 0 {
        return true;
    }
    match after_csrc {
        [_, _, high, low, words @ ..] => {
            words.len() >= usize::from(u16::from_be_bytes([*high, *low])) * 4
        }
        _ => false,
    }
}

/// Version 2, an RTCP packet type (RFC 5761 §4: 192 to 223), and the first packet of the compound fits.
/// What follows it is not judged: SRTCP's trailer is not a packet.
#[inline]
pub(super) fn is_rtcp(packet: &[u8]) -> bool {
    match packet {
        [first, 192..=223, high, low, ..] => {
            let words = usize::from(u16::from_be_bytes([*high, *low])) + 1;
            first >> 6 == 2 && packet.len() >= RTCP_BYTES_MIN && packet.len() >= words * 4
        }
        _ => false,
    }
}

/// RTCP where it shares a port with RTP (RFC 5761 §4): RTP with the marker does not have these payload types.
#[inline]
pub(super) fn looks_like_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [_, 192..=223, ..])
}

/// A UDPTL packet's sequence number, and something behind it (ITU-T T.38 §9.1).
#[inline]
pub(super) fn is_udptl(packet: &[u8]) -> bool {
    packet.len() > 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(first: u8, bytes: usize) -> Vec<u8> {
        let mut packet = vec![0; bytes];
        packet[0] = first;
        packet
    }

    #[test]
    fn rtp_needs_version_two_and_a_whole_header() {
        assert!(is_rtp(&rtp(0x80, 12)));
        assert!(is_rtp(&rtp(0xa0, 172)), "padding is not judged");
        assert!(!is_rtp_whole(&rtp(0xa0, 172)), "no padding has no length");
        assert!(!is_rtp(&rtp(0x80, 11)));
        assert!(!is_rtp(&rtp(0x40, 172)));
        assert!(!is_rtp(&rtp(0x00, 172)), "STUN");
        assert!(!is_rtp(&[]));
    }

    #[test]
    fn rtp_csrc_list_must_fit() {
        assert!(is_rtp(&rtp(0x8f, 12 + 60)));
        assert!(!is_rtp(&rtp(0x8f, 12 + 59)));
    }

    #[test]
    fn rtp_extension_must_fit() {
        let mut packet = rtp(0x91, 12 + 4 + 4 + 8);
        packet[12 + 4 + 3] = 2;
        assert!(is_rtp(&packet));
        packet[12 + 4 + 3] = 3;
        assert!(!is_rtp(&packet));
        assert!(!is_rtp(&rtp(0x90, 15)));
    }

    #[test]
    fn padding_is_within_the_payload() {
        for (first, header) in [(0xa0, 12), (0xa2, 20), (0xb1, 12 + 4 + 4 + 8)] {
            let mut packet = rtp(first, header + 20);
            if first & 0x10 != 0 {
                packet[12 + 4 + 3] = 2;
            }
            for (padding, is_whole) in [(0, false), (1, true), (20, true), (21, false)] {
                packet[header + 19] = padding;
                assert_eq!(is_rtp_whole(&packet), is_whole, "{first:x} {padding}");
            }
        }
        assert!(!is_rtp_whole(&rtp(0xa0, 12)), "no room for padding");
    }

    #[test]
    fn rtcp_needs_version_type_and_length() {
        assert!(is_rtcp(&[0x80, 201, 0, 1, 1, 2, 3, 4]));
        assert!(is_rtcp(&[0x80, 192, 0, 1, 1, 2, 3, 4, 9, 9]), "a trailer");
        assert!(
            !is_rtcp(&[0x80, 201, 0, 2, 1, 2, 3, 4]),
            "longer than it is"
        );
        assert!(!is_rtcp(&[0x80, 191, 0, 1, 1, 2, 3, 4]));
        assert!(!is_rtcp(&[0x80, 224, 0, 1, 1, 2, 3, 4]));
        assert!(!is_rtcp(&[0x40, 201, 0, 1, 1, 2, 3, 4]));
        assert!(!is_rtcp(&[0x80, 201, 0, 0]));
    }
}
