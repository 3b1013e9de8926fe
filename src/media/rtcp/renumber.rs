//! Sequence numbers in what a receiver says, put back to those of the sender.

use super::{
    FEEDBACK, GENERIC_NACK, HEADER_BYTES, RECEIVER_REPORT, REPORT_BLOCK_BYTES, SENDER_INFO_BYTES,
    SENDER_REPORT, SSRC_BYTES,
};

/// Where a report block has the highest sequence number.
const HIGHEST_SEQUENCE: usize = 8;

/// Takes from each sequence number of a stream what was added to it on its way to who reports: from the highest
/// ones in SR and RR (RFC 3550 §6.4.1), and from those in generic NACKs (RFC 4585 §6.2.1). Other packets stay as
/// they are. `shift_of` tells what was added, by the stream's SSRC.
///
/// The datagram is one that [`Compound::read`](super::Compound::read) has read.
pub fn renumber(datagram: &mut [u8], shift_of: impl Fn(u32) -> u16) {
    let mut rest = datagram;
    while let Some((&mut [first, packet_type, high, low], after)) =
        rest.split_first_chunk_mut::<HEADER_BYTES>()
    {
        let bytes = usize::from(u16::from_be_bytes([high, low])) * 4;
        let Some((content, others)) = after.split_at_mut_checked(bytes) else {
            return;
        };
        let count = first & 0x1f;
        match packet_type {
            SENDER_REPORT => blocks(content, SSRC_BYTES + SENDER_INFO_BYTES, count, &shift_of),
            RECEIVER_REPORT => blocks(content, SSRC_BYTES, count, &shift_of),
            FEEDBACK if count == GENERIC_NACK => nack(content, &shift_of),
            _ => {}
        }
        rest = others;
    }
}

fn blocks(content: &mut [u8], start: usize, count: u8, shift_of: impl Fn(u32) -> u16) {
    let blocks = content.get_mut(start..).unwrap_or_default();
    for block in blocks
        .chunks_exact_mut(REPORT_BLOCK_BYTES)
        .take(count.into())
    {
        let shift = word(block, 0).map_or(0, &shift_of);
        let highest = word(block, HIGHEST_SEQUENCE);
        let place = block.get_mut(HIGHEST_SEQUENCE..HIGHEST_SEQUENCE + 4);
        if let (Some(highest), Some(place)) = (highest, place) {
            // With the carry: a stream that was shifted down wraps later than it did at its sender.
            let own = highest.wrapping_add(u32::from(shift.wrapping_neg()));
            place.copy_from_slice(&own.to_be_bytes());
        }
    }
}

/// After the SSRCs of both, pairs of a lost packet's number and a mask of those that follow it.
fn nack(content: &mut [u8], shift_of: impl Fn(u32) -> u16) {
    let shift = word(content, SSRC_BYTES).map_or(0, shift_of);
    let lost = content.get_mut(2 * SSRC_BYTES..).unwrap_or_default();
    for entry in lost.chunks_exact_mut(4) {
        if let Some(number) = entry.first_chunk_mut::<2>() {
            *number = u16::from_be_bytes(*number)
                .wrapping_sub(shift)
                .to_be_bytes();
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}
