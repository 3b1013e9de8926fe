//! What the table costs for a packet, without sockets: 400 streams in turn, all of which fit the caches.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkline::instant::Instant;
use trunkline::media::{
    Datagram, EndpointId, Media, MediaPort, MediaSocket, PayloadFormat, Peer, Rules,
};

/// Each is one direction of a call's audio.
const STREAMS: u16 = 400;

fn relay(criterion: &mut Criterion) {
    let mut media = calls();
    let mut packet = [0u8; 172];
    packet[0] = 0x80;
    let mut now = Instant::ORIGIN;
    let mut sequence = 0u16;
    let mut group = criterion.benchmark_group("relay");
    group.throughput(Throughput::Elements(u64::from(STREAMS)));
    group.bench_function("400 streams, a packet each", |bencher| {
        bencher.iter(|| {
            now += Duration::from_millis(20);
            sequence = sequence.wrapping_add(1);
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
            for stream in 0..STREAMS {
                let socket = MediaSocket(2 * u32::from(stream));
                let mut packet = Datagram {
                    buffer: black_box(&mut packet),
                    length: 172,
                };
                let forward = media.relay(socket, peer(stream), &mut packet, now);
                assert!(black_box(forward).is_some());
            }
        });
    });
    group.finish();
}

/// Two streams a call.
fn calls() -> Media {
    let mut media = Media::new(Rules::default());
    for stream in 0..STREAMS {
        media.add_port(MediaPort {
            socket: MediaSocket(2 * u32::from(stream)),
            advertise: SocketAddr::from(([198, 51, 100, 7], 20_000 + 2 * stream)),
        });
    }
    let endpoints: Vec<EndpointId> = (0..STREAMS)
        .filter_map(|_| media.allocate(false, Instant::ORIGIN))
        .map(|endpoint| endpoint.id)
        .collect();
    for (stream, id) in (0..).zip(&endpoints) {
        let peer = Peer {
            rtp: Some(peer(stream)),
            rtcp: None,
            signalling: peer(stream).ip(),
            rtcp_mux: false,
            is_udptl: false,
        };
        media.expect(*id, &peer, Instant::ORIGIN);
        media.formats(*id, [PayloadFormat::new(0, 8_000, "PCMU")]);
    }
    for legs in endpoints.chunks_exact(2) {
        media.join(legs[0], legs[1]);
    }
    media
}

fn peer(stream: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 30_000 + 2 * stream))
}

criterion_group!(benches, relay);
criterion_main!(benches);
