//! What the module promises, suite by suite.

mod hostile;
mod keys;
mod numbering;
mod rfc7714;
mod vectors;

use super::{Inbound, MasterKey, OVERHEAD_BYTES_MAX, Outbound, SrtpError, Suite};

const SSRC: u32 = 0x5EED_CAFE;

fn key(suite: Suite) -> MasterKey {
    let bytes: Vec<u8> = (0..)
        .map(|n: u8| n.wrapping_mul(37).wrapping_add(11))
        .take(suite.master_bytes())
        .collect();
    MasterKey::new(suite, &bytes).unwrap()
}

/// A key that no packet was sealed with.
fn other_key(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &vec![0x5a; suite.master_bytes()]).unwrap()
}

fn pair(suite: Suite) -> (Outbound, Inbound) {
    (Outbound::new(&key(suite)), Inbound::new(&key(suite), &[]))
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160u16).map(|n| (n ^ sequence) as u8));
    packet
}

/// A receiver report and a source description.
fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 202, 0, 3]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(*b"\x01\x04a@b.\0\0");
    packet
}

fn protect(outbound: &mut Outbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    with_room(packet, |buffer, length| {
        outbound.protect_rtp(buffer, length)
    })
}

fn protect_rtcp(outbound: &mut Outbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    with_room(packet, |buffer, length| {
        outbound.protect_rtcp(buffer, length)
    })
}

fn with_room(
    packet: &[u8],
    protect: impl FnOnce(&mut [u8], usize) -> Result<usize, SrtpError>,
) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_BYTES_MAX, 0xee);
    let before = buffer.clone();
    match protect(&mut buffer, packet.len()) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(error) => {
            assert_eq!(buffer, before, "left as it was");
            Err(error)
        }
    }
}

fn unprotect(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    in_place(packet, |packet| inbound.unprotect_rtp(packet))
}

fn unprotect_rtcp(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    in_place(packet, |packet| inbound.unprotect_rtcp(packet))
}

fn in_place(
    packet: &[u8],
    unprotect: impl FnOnce(&mut [u8]) -> Result<usize, SrtpError>,
) -> Result<Vec<u8>, SrtpError> {
    let mut bytes = packet.to_vec();
    match unprotect(&mut bytes) {
        Ok(length) => {
            bytes.truncate(length);
            Ok(bytes)
        }
        Err(error) => {
            assert_eq!(bytes, packet, "left as it was");
            Err(error)
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
