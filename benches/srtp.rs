//! What SRTP costs a packet of 172 bytes, G.711 at 20 ms, and what webrtc-srtp takes for the same.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use trunkline::media::srtp::{Inbound, MasterKey, OVERHEAD_BYTES_MAX, Outbound, Suite};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

const PACKET_BYTES: usize = 172;
/// Packets of a round, so that the clock is read seldom.
const ROUND: u16 = 1000;

fn srtp(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let bytes: Vec<u8> = (0..).take(suite.master_bytes()).collect();
        let Some(key) = MasterKey::new(suite, &bytes) else {
            continue;
        };
        ours(criterion, &key);
        theirs(criterion, suite, &bytes);
    }
}

fn ours(criterion: &mut Criterion, key: &MasterKey) {
    let mut group = criterion.benchmark_group(key.suite().name());
    group.throughput(criterion::Throughput::Elements(u64::from(ROUND)));
    let mut outbound = Outbound::new(key);
    let mut sequence = 0;
    let mut buffer = [0; PACKET_BYTES + OVERHEAD_BYTES_MAX];
    group.bench_function("protect", |bencher| {
        bencher.iter(|| {
            for _ in 0..ROUND {
                write_header(&mut buffer, sequence);
                sequence = sequence.wrapping_add(1);
                let sealed = outbound.protect_rtp(black_box(&mut buffer), PACKET_BYTES);
                assert!(black_box(sealed).is_ok());
            }
        });
    });
    let mut outbound = Outbound::new(key);
    let sealed: Vec<Vec<u8>> = (0..ROUND)
        .map(|sequence| {
            write_header(&mut buffer, sequence);
            let sealed = outbound.protect_rtp(&mut buffer, PACKET_BYTES);
            buffer[..sealed.unwrap_or(0)].to_vec()
        })
        .collect();
    group.bench_function("unprotect", |bencher| {
        bencher.iter_batched_ref(
            || (Inbound::new(key, &[]), sealed.clone()),
            |(inbound, packets)| {
                for packet in packets {
                    assert!(black_box(inbound.unprotect_rtp(black_box(packet))).is_ok());
                }
            },
            BatchSize::LargeInput,
        );
    });
}

fn theirs(criterion: &mut Criterion, suite: Suite, bytes: &[u8]) {
    let mut group = criterion.benchmark_group(suite.name());
    group.throughput(criterion::Throughput::Elements(u64::from(ROUND)));
    let mut outbound = context(suite, bytes);
    let mut sequence = 0;
    let mut buffer = [0; PACKET_BYTES];
    group.bench_function("protect by webrtc-srtp", |bencher| {
        bencher.iter(|| {
            for _ in 0..ROUND {
                write_header(&mut buffer, sequence);
                sequence = sequence.wrapping_add(1);
                assert!(black_box(outbound.encrypt_rtp(black_box(&buffer))).is_ok());
            }
        });
    });
    let mut outbound = context(suite, bytes);
    let sealed: Vec<_> = (0..ROUND)
        .map(|sequence| {
            write_header(&mut buffer, sequence);
            outbound.encrypt_rtp(&buffer).unwrap_or_default()
        })
        .collect();
    group.bench_function("unprotect by webrtc-srtp", |bencher| {
        bencher.iter_batched_ref(
            || context(suite, bytes),
            |inbound| {
                for packet in &sealed {
                    assert!(black_box(inbound.decrypt_rtp(black_box(packet))).is_ok());
                }
            },
            BatchSize::LargeInput,
        );
    });
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
    let replay = (srtp_replay_protection(128), srtcp_replay_protection(128));
    match Context::new(key, salt, profile, Some(replay.0), Some(replay.1)) {
        Ok(context) => context,
        Err(error) => panic!("{error}"),
    }
}

fn write_header(packet: &mut [u8], sequence: u16) {
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
}

criterion_group!(benches, srtp);
criterion_main!(benches);
