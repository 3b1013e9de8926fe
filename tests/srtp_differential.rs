//! webrtc-srtp as a second opinion: each opens what the other seals, and both seal the same bytes.

use proptest::prelude::*;
use trunkline::media::srtp::{Inbound, MasterKey, OVERHEAD_BYTES_MAX, Outbound, Suite};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

/// Packets of a stream as they are sent, and which of them arrive in which order.
#[derive(Debug)]
struct Stream {
    packets: Vec<Vec<u8>>,
    arrivals: Vec<usize>,
}

/// Version 2 with CSRC list, extension, marker and payload of any kind.
fn packet(ssrc: u32, sequence: u16) -> impl Strategy<Value = Vec<u8>> {
    let extension = proptest::option::of(proptest::collection::vec(any::<u32>(), 0..6));
    let csrc = proptest::collection::vec(any::<u32>(), 0..16);
    let payload = proptest::collection::vec(any::<u8>(), 1..400);
    let parts = (any::<u8>(), any::<u32>(), csrc, extension, payload);
    parts.prop_map(move |(payload_type, timestamp, csrc, extension, payload)| {
        let flag = if extension.is_some() { 0x10 } else { 0 };
        let mut packet = vec![0x80 | flag | csrc.len() as u8, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(csrc.iter().flat_map(|csrc| csrc.to_be_bytes()));
        if let Some(words) = extension {
            // A profile that is neither of RFC 8285's.
            packet.extend([0x12, 0x34, 0, words.len() as u8]);
            packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        packet.extend(payload);
        packet
    })
}

/// Sixty packets from a number in the lower half on, nearly once around; after two jumps some are lost,
/// and each is delayed by up to eight places.
fn stream() -> impl Strategy<Value = Stream> {
    let start = prop_oneof![0..0x8000u16, 0x1e00..0x2000u16];
    (any::<u32>(), start).prop_flat_map(|(ssrc, start)| {
        let offsets = [0, 0x7000]
            .into_iter()
            .chain((0..58).map(|n| 0xe000 + n * 12));
        let packets: Vec<_> = offsets
            .map(|offset| packet(ssrc, start.wrapping_add(offset)))
            .collect();
        let delays = proptest::collection::vec(proptest::option::weighted(0.8, 0..8usize), 60);
        (packets, delays).prop_map(|(packets, delays)| {
            let mut arrivals: Vec<(usize, usize)> = delays
                .iter()
                .enumerate()
                .filter_map(|(at, delay)| delay.map(|delay| (at + delay, at)))
                .collect();
            arrivals.retain(|(_, at)| *at > 2);
            arrivals.extend([(0, 0), (0, 1), (0, 2)]);
            arrivals.sort();
            let arrivals = arrivals.into_iter().map(|(_, at)| at).collect();
            Stream { packets, arrivals }
        })
    })
}

fn suite() -> impl Strategy<Value = (Suite, Vec<u8>)> {
    proptest::sample::select(Suite::ALL.to_vec()).prop_flat_map(|suite| {
        let bytes = proptest::collection::vec(any::<u8>(), suite.master_bytes());
        bytes.prop_map(move |bytes| (suite, bytes))
    })
}

proptest! {
    #[test]
    fn rtp_is_the_same_both_ways((suite, bytes) in suite(), stream in stream()) {
        let key = MasterKey::new(suite, &bytes).unwrap();
        let mut outbound = Outbound::new(&key);
        let mut their_outbound = context(suite, &bytes);
        let mut sealed = Vec::new();
        for packet in &stream.packets {
            let mut buffer = packet.clone();
            buffer.resize(packet.len() + OVERHEAD_BYTES_MAX, 0);
            let length = outbound.protect_rtp(&mut buffer, packet.len()).unwrap();
            buffer.truncate(length);
            prop_assert_eq!(&buffer[..], &their_outbound.encrypt_rtp(packet).unwrap()[..]);
            sealed.push(buffer);
        }
        let mut inbound = Inbound::new(&key, &[]);
        let mut their_inbound = context(suite, &bytes);
        for at in &stream.arrivals {
            let mut buffer = sealed[*at].clone();
            let length = inbound.unprotect_rtp(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..length], &stream.packets[*at][..]);
            let theirs = their_inbound.decrypt_rtp(&sealed[*at]).unwrap();
            prop_assert_eq!(&theirs[..], &stream.packets[*at][..]);
        }
    }

    #[test]
    fn rtcp_is_the_same_both_ways(
        (suite, bytes) in suite(),
        ssrc in any::<u32>(),
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 4..200), 1..20),
    ) {
        let key = MasterKey::new(suite, &bytes).unwrap();
        let (mut outbound, mut inbound) = (Outbound::new(&key), Inbound::new(&key, &[]));
        let mut their_outbound = context(suite, &bytes);
        let mut their_inbound = context(suite, &bytes);
        for mut body in bodies {
            body.truncate(body.len() / 4 * 4);
            let mut packet = vec![0x80, 201, 0, 1 + body.len() as u8 / 4];
            packet.extend(ssrc.to_be_bytes());
            packet.extend(&body);
            let mut buffer = packet.clone();
            buffer.resize(packet.len() + OVERHEAD_BYTES_MAX, 0);
            let length = outbound.protect_rtcp(&mut buffer, packet.len()).unwrap();
            prop_assert_eq!(&their_inbound.decrypt_rtcp(&buffer[..length]).unwrap()[..], &packet[..]);

            let mut theirs = their_outbound.encrypt_rtcp(&packet).unwrap().to_vec();
            let length = inbound.unprotect_rtcp(&mut theirs).unwrap();
            prop_assert_eq!(&theirs[..length], &packet[..]);
        }
    }
}

fn context(suite: Suite, bytes: &[u8]) -> Context {
    let profile = match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm256HmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256HmacSha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let (key, salt) = bytes.split_at(profile.key_len());
    match Context::new(key, salt, profile, None, None) {
        Ok(context) => context,
        Err(error) => panic!("{error}"),
    }
}
