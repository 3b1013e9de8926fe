//! The media path allocates nothing: counted, not promised.
#![allow(
    unsafe_code,
    reason = "a counting global allocator cannot be written without it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use trunkline::instant::Instant;
use trunkline::media::srtp::{Inbound, MasterKey, OVERHEAD_BYTES_MAX, Outbound, Suite};
use trunkline::media::{Datagram, Media, MediaPort, MediaSocket, PayloadFormat, Peer, Rules};

thread_local! {
    /// Of this thread alone: the test harness allocates on its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is the one System asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from System, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the pointer came from System, with this layout.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn relaying_ten_thousand_packets_allocates_nothing() {
    let mut media = Media::new(Rules::default());
    for number in 0..2u16 {
        media.add_port(MediaPort {
            socket: MediaSocket(2 * u32::from(number)),
            advertise: SocketAddr::from(([198, 51, 100, 7], 20_000 + 2 * number)),
        });
    }
    let a = media.allocate(false, Instant::ORIGIN).unwrap();
    let b = media.allocate(false, Instant::ORIGIN).unwrap();
    let peer_a = SocketAddr::from(([10, 0, 0, 1], 4000));
    let peer_b = SocketAddr::from(([10, 0, 0, 2], 5000));
    media.join(a.id, b.id);
    for (id, rtp) in [(a.id, peer_a), (b.id, peer_b)] {
        let peer = Peer {
            rtp: Some(rtp),
            rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
            signalling: rtp.ip(),
            rtcp_mux: false,
            is_udptl: false,
        };
        media.expect(id, &peer, Instant::ORIGIN);
        media.formats(id, [PayloadFormat::new(0, 8_000, "PCMU")]);
    }
    let mut packet = [0u8; 172];
    packet[0] = 0x80;
    let mut now = Instant::ORIGIN;
    let mut receiver_report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let mut relay = |socket: u32, from: SocketAddr| {
        now += Duration::from_millis(10);
        // Each peer sends every third of all.
        let sequence = (now.as_millis() / 30) as u16;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        let mut packet = match socket % 2 {
            0 => Datagram {
                buffer: &mut packet,
                length: 172,
            },
            _ => Datagram {
                buffer: &mut receiver_report,
                length: 8,
            },
        };
        u32::from(
            media
                .relay(MediaSocket(socket), from, &mut packet, now)
                .is_some(),
        )
    };
    let stranger = SocketAddr::from(([192, 0, 2, 66], 666));

    let before = ALLOCATIONS.get();
    let mut forwarded = 0;
    for _ in 0..5_000 {
        forwarded += relay(0, peer_a);
        forwarded += relay(2, peer_b);
        forwarded += relay(0, stranger);
    }
    for _ in 0..50 {
        forwarded += relay(1, SocketAddr::new(peer_a.ip(), 4001));
    }
    let allocated = ALLOCATIONS.get() - before;

    assert_eq!(forwarded, 10_050);
    assert_eq!(allocated, 0);
    assert!(before > 0, "the allocator counts");
}

#[test]
fn protecting_and_unprotecting_allocate_nothing() {
    for suite in Suite::ALL {
        let key = MasterKey::new(suite, &vec![7; suite.master_bytes()]).unwrap();
        let (mut outbound, mut inbound) = (Outbound::new(&key), Inbound::new(&key, &[]));
        let mut report = [0; 52 + OVERHEAD_BYTES_MAX];

        let before = ALLOCATIONS.get();
        for sequence in 0..1_000u16 {
            let mut packet = [0; 172 + OVERHEAD_BYTES_MAX];
            packet[0] = 0x80;
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            let length = outbound.protect_rtp(&mut packet, 172).unwrap();
            assert_eq!(inbound.unprotect_rtp(&mut packet[..length]), Ok(172));
            inbound.unprotect_rtp(&mut packet[..length]).unwrap_err();
            report[..2].copy_from_slice(&[0x80, 200]);
            let length = outbound.protect_rtcp(&mut report, 52).unwrap();
            assert_eq!(inbound.unprotect_rtcp(&mut report[..length]), Ok(52));
        }
        let allocated = ALLOCATIONS.get() - before;

        assert_eq!(allocated, 0, "{suite:?}");
        assert!(before > 0, "the allocator counts");
    }
}
