//! Two legs, their peers, and everybody else who can send a datagram.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Endpoint, Forward, Media, MediaPort, MediaSocket, PacketCounters, StreamCounters};
use crate::instant::Instant;

const RTP: [u8; 172] = {
    let mut packet = [0; 172];
    packet[0] = 0x80;
    packet
};
const RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 1];
const NOW: Instant = Instant::ORIGIN;

const SDP_A: &str = "10.0.0.1:4000";
const SDP_B: &str = "10.0.0.2:5000";
const NAT_A: &str = "203.0.113.1:61000";
const STRANGER: &str = "192.0.2.66:666";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn media(ports: u32) -> Media {
    let mut media = Media::new(Duration::ZERO);
    for number in 0..ports {
        media.add_port(port(number, "198.51.100.7"));
    }
    media
}

fn port(number: u32, ip: &str) -> MediaPort {
    let rtp = 20_000 + 2 * u16::try_from(number).unwrap();
    MediaPort {
        socket: MediaSocket(2 * number),
        advertise: SocketAddr::new(ip.parse().unwrap(), rtp),
    }
}

/// Leg A on sockets 0 and 1, leg B on 2 and 3; both peers' SDP known.
fn call() -> (Media, Endpoint, Endpoint) {
    let mut media = media(3);
    let a = media.allocate(false, NOW).unwrap();
    let b = media.allocate(false, NOW).unwrap();
    media.connect(a.id, b.id);
    media.expect(a.id, Some(at(SDP_A)), Some(at("10.0.0.1:4001")));
    media.expect(b.id, Some(at(SDP_B)), Some(at("10.0.0.2:5001")));
    (media, a, b)
}

fn to(socket: u32, address: &str) -> Option<Forward> {
    Some(Forward {
        socket: MediaSocket(socket),
        to: at(address),
    })
}

fn rtp(media: &mut Media, socket: u32, from: &str) -> Option<Forward> {
    media.relay(MediaSocket(socket), at(from), &RTP)
}

#[test]
fn packets_go_where_sdp_says_until_one_has_come_back() {
    let (mut media, ..) = call();
    assert_eq!(rtp(&mut media, 0, SDP_A), to(2, SDP_B));
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
}

#[test]
fn a_peer_behind_nat_gets_its_packets_where_it_sends_from() {
    let (mut media, ..) = call();
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    assert_eq!(rtp(&mut media, 0, NAT_A), to(2, SDP_B));
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn rtp_and_rtcp_latch_separately() {
    let (mut media, ..) = call();
    rtp(&mut media, 0, NAT_A);
    let rtcp = media.relay(MediaSocket(3), at("10.0.0.2:5001"), &RTCP);
    assert_eq!(rtcp, to(1, "10.0.0.1:4001"));
    let rtcp = media.relay(MediaSocket(1), at("203.0.113.1:62000"), &RTCP);
    assert_eq!(rtcp, to(3, "10.0.0.2:5001"));
    let rtcp = media.relay(MediaSocket(3), at("10.0.0.2:5001"), &RTCP);
    assert_eq!(rtcp, to(1, "203.0.113.1:62000"));
}

#[test]
fn after_the_latch_a_stranger_neither_speaks_nor_listens() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, NAT_A);
    assert_eq!(rtp(&mut media, 0, STRANGER), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
    assert_eq!(media.counters(a.id).dropped.foreign_source, 1);
    assert_eq!(media.totals().dropped.foreign_source, 1);
}

#[test]
fn the_address_of_sdp_takes_over_from_a_guess_and_keeps_it() {
    let (mut media, ..) = call();
    rtp(&mut media, 0, STRANGER);
    assert_eq!(rtp(&mut media, 0, SDP_A), to(2, SDP_B));
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    assert_eq!(rtp(&mut media, 0, STRANGER), None);
    assert_eq!(rtp(&mut media, 0, NAT_A), None);
}

#[test]
fn what_is_not_rtp_does_not_latch() {
    let (mut media, a, _) = call();
    let stun = [0u8; 20];
    assert_eq!(media.relay(MediaSocket(0), at(STRANGER), &stun), None);
    assert_eq!(media.relay(MediaSocket(1), at(STRANGER), &RTP), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    assert_eq!(media.counters(a.id).dropped.malformed, 2);
}

#[test]
fn without_a_known_peer_or_partner_packets_are_dropped_and_counted() {
    let mut media = media(2);
    let a = media.allocate(false, NOW).unwrap();
    let b = media.allocate(false, NOW).unwrap();
    assert_eq!(rtp(&mut media, 0, SDP_A), None, "not connected");
    media.connect(a.id, b.id);
    assert_eq!(rtp(&mut media, 0, SDP_A), None, "nothing known of B");
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A), "A has latched");
    let counters = media.counters(a.id);
    assert_eq!(counters.dropped.no_destination, 2);
    assert_eq!(counters.rtp.packets, 2, "received all the same");
}

#[test]
fn a_free_or_unknown_socket_drops() {
    let mut media = media(1);
    assert_eq!(rtp(&mut media, 0, SDP_A), None);
    assert_eq!(rtp(&mut media, 4_000_000_000, SDP_A), None);
    assert_eq!(media.totals().free_port, 2);
}

#[test]
fn a_peer_that_moves_is_latched_anew() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, NAT_A);
    let new = at("10.0.0.9:4400");
    media.expect(a.id, Some(new), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, "10.0.0.9:4400"));
    // Under way when it moved: passed on, but not taken for its new place.
    assert_eq!(rtp(&mut media, 0, NAT_A), to(2, SDP_B));
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, "10.0.0.9:4400"));
    assert_eq!(rtp(&mut media, 0, "203.0.113.1:61999"), to(2, SDP_B));
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, "203.0.113.1:61999"));
    assert_eq!(rtp(&mut media, 0, NAT_A), None);
}

#[test]
fn a_peer_that_only_says_it_moved_is_latched_again() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, NAT_A);
    media.expect(a.id, Some(at("10.0.0.9:4400")), None);
    for _ in 0..51 {
        assert_eq!(rtp(&mut media, 0, NAT_A), to(2, SDP_B));
    }
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn the_same_address_again_keeps_the_latch() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, NAT_A);
    media.expect(a.id, Some(at(SDP_A)), None);
    assert_eq!(rtp(&mut media, 0, STRANGER), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn early_media_from_behind_nat_is_latched_again_by_its_next_packet() {
    let mut media = media(2);
    let a = media.allocate(false, NOW).unwrap();
    let b = media.allocate(false, NOW).unwrap();
    media.connect(a.id, b.id);
    media.expect(b.id, Some(at(SDP_B)), None);
    assert_eq!(rtp(&mut media, 0, NAT_A), to(2, SDP_B), "before the answer");
    media.expect(a.id, Some(at(SDP_A)), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    rtp(&mut media, 0, NAT_A);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn a_peer_that_wants_nothing_gets_nothing() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, SDP_A);
    media.expect(a.id, None, None);
    assert_eq!(rtp(&mut media, 2, SDP_B), None);
    media.expect(a.id, Some(at(SDP_A)), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
}

#[test]
fn release_parts_the_legs_and_returns_the_counters() {
    let (mut media, a, b) = call();
    rtp(&mut media, 0, SDP_A);
    rtp(&mut media, 0, SDP_A);
    media.relay(MediaSocket(1), at(SDP_A), &RTCP);
    assert_eq!(media.ports_in_use(), 2);
    let counters = media.release(a.id, NOW);
    let expected = StreamCounters {
        rtp: PacketCounters {
            packets: 2,
            bytes: 344,
        },
        rtcp: PacketCounters {
            packets: 1,
            bytes: 8,
        },
        ..StreamCounters::default()
    };
    assert_eq!(counters, expected);
    assert_eq!(
        media.totals().relayed,
        PacketCounters {
            packets: 3,
            bytes: 352
        }
    );
    assert_eq!(rtp(&mut media, 2, SDP_B), None, "A is gone");
    assert_eq!(media.counters(b.id).dropped.no_destination, 1);
    media.release(b.id, NOW);
    assert_eq!(
        (
            media.ports_in_use(),
            media.ports_free(),
            media.ports_total()
        ),
        (0, 3, 3)
    );
}

#[test]
fn a_stale_id_does_nothing() {
    let mut media = media(2);
    let old = media.allocate(false, NOW).unwrap();
    let b = media.allocate(false, NOW).unwrap();
    media.release(old.id, NOW);
    let new = media.allocate(false, NOW).unwrap();
    assert_eq!(new.advertise, old.advertise);
    assert_ne!(new.id, old.id);
    media.connect(new.id, b.id);
    media.expect(b.id, Some(at(SDP_B)), None);
    media.expect(new.id, Some(at(SDP_A)), None);
    rtp(&mut media, 0, SDP_A);

    media.expect(old.id, Some(at(STRANGER)), None);
    media.connect(old.id, b.id);
    assert_eq!(media.counters(old.id), StreamCounters::default());
    assert_eq!(media.release(old.id, NOW), StreamCounters::default());
    assert_eq!(media.ports_in_use(), 2);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
}

#[test]
fn connecting_to_another_leg_leaves_the_first_alone() {
    let (mut media, a, _) = call();
    let other = media.allocate(false, NOW).unwrap();
    media.expect(other.id, Some(at("10.0.0.3:6000")), None);
    media.connect(a.id, other.id);
    assert_eq!(rtp(&mut media, 0, SDP_A), to(4, "10.0.0.3:6000"));
    assert_eq!(rtp(&mut media, 2, SDP_B), None);
}

#[test]
fn the_port_released_longest_ago_comes_first() {
    let mut media = media(3);
    let all: Vec<Endpoint> = (0..3)
        .map(|_| media.allocate(false, NOW).unwrap())
        .collect();
    assert_eq!(media.allocate(false, NOW), None);
    for index in [1, 2, 0] {
        media.release(all[index].id, NOW);
    }
    media.add_port(port(3, "198.51.100.7"));
    let again: Vec<SocketAddr> = (0..4)
        .map(|_| media.allocate(false, NOW).unwrap().advertise)
        .collect();
    let new = port(3, "198.51.100.7").advertise;
    assert_eq!(
        again,
        [new, all[1].advertise, all[2].advertise, all[0].advertise]
    );
}

#[test]
fn a_released_port_rests() {
    let mut media = Media::new(Duration::from_millis(500));
    media.add_port(port(0, "198.51.100.7"));
    let endpoint = media.allocate(false, NOW).unwrap();
    media.release(endpoint.id, NOW);
    assert_eq!(media.ports_free(), 1);
    assert_eq!(
        media.allocate(false, NOW + Duration::from_millis(499)),
        None
    );
    assert!(
        media
            .allocate(false, NOW + Duration::from_millis(500))
            .is_some()
    );
}

#[test]
fn families_have_their_own_ports_and_a_port_is_added_once() {
    let mut media = media(1);
    assert_eq!(media.allocate(true, NOW), None);
    media.add_port(port(1, "2001:db8::7"));
    media.add_port(port(1, "2001:db8::7"));
    assert_eq!(media.ports_total(), 2);
    let endpoint = media.allocate(true, NOW).unwrap();
    assert_eq!(endpoint.advertise, at("[2001:db8::7]:20002"));
    assert_eq!(media.allocate(true, NOW), None);
}
