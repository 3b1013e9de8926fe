//! Two legs, their peers, and everybody else who can send a datagram.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    Connect, Datagram, Endpoint, Forward, Media, MediaPort, MediaSocket, PacketCounters, Peer,
    Protection, Rules, StreamCounters, Trust,
};
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
    let mut media = Media::new(Rules {
        rest: Duration::ZERO,
        ..Rules::default()
    });
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
    media.join(a.id, b.id);
    media.expect(a.id, &peer(Some(at(SDP_A)), Some(at("10.0.0.1:4001"))), NOW);
    media.expect(b.id, &peer(Some(at(SDP_B)), Some(at("10.0.0.2:5001"))), NOW);
    (media, a, b)
}

fn to(socket: u32, address: &str) -> Option<Forward> {
    Some(Forward {
        socket: MediaSocket(socket),
        to: at(address),
    })
}

fn rtp(media: &mut Media, socket: u32, from: &str) -> Option<Forward> {
    relay(media, MediaSocket(socket), at(from), &RTP)
}

fn relay(
    media: &mut Media,
    socket: MediaSocket,
    from: SocketAddr,
    packet: &[u8],
) -> Option<Forward> {
    let mut buffer = packet.to_vec();
    let mut packet = Datagram {
        length: buffer.len(),
        buffer: &mut buffer,
    };
    media.relay(socket, from, &mut packet, NOW)
}

/// Somebody whose signalling comes from where [`NAT_A`] is.
fn peer(rtp: Option<SocketAddr>, rtcp: Option<SocketAddr>) -> Peer {
    Peer {
        rtp,
        rtcp,
        signalling: at(NAT_A).ip(),
        rtcp_mux: false,
        is_udptl: false,
    }
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
    let rtcp = relay(&mut media, MediaSocket(3), at("10.0.0.2:5001"), &RTCP);
    assert_eq!(rtcp, to(1, "10.0.0.1:4001"));
    let rtcp = relay(&mut media, MediaSocket(1), at("203.0.113.1:62000"), &RTCP);
    assert_eq!(rtcp, to(3, "10.0.0.2:5001"));
    let rtcp = relay(&mut media, MediaSocket(3), at("10.0.0.2:5001"), &RTCP);
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

/// The next socket that is to be connected, to whom; the empty text for nobody.
fn connect(socket: u32, peer: &str) -> Option<Connect> {
    Some(Connect {
        socket: MediaSocket(socket),
        peer: (!peer.is_empty()).then(|| at(peer)),
    })
}

#[test]
fn a_socket_is_connected_once_its_peer_speaks_from_where_sdp_says() {
    let (mut media, a, b) = call();
    let settle = |media: &mut Media| {
        media.settle(a.id);
        media.settle(b.id);
        media.poll_connect()
    };
    assert_eq!(settle(&mut media), None);
    // Behind NAT SDP's address may still show up and take over.
    rtp(&mut media, 0, NAT_A);
    assert_eq!(settle(&mut media), None);
    rtp(&mut media, 2, SDP_B);
    assert_eq!(settle(&mut media), connect(2, SDP_B));
    assert_eq!(settle(&mut media), None, "it is");
    media.protect(a.id, &Protection::Awaited);
    rtp(&mut media, 0, SDP_A);
    assert_eq!(settle(&mut media), None, "the key tells whose a packet is");
}

#[test]
fn a_socket_is_disconnected_by_whatever_may_bring_somebody_else() {
    type Change = fn(&mut Media, Endpoint);
    let changes: [Change; 4] = [
        |media, b| media.expect(b.id, &peer(Some(at(SDP_B)), None), NOW),
        |media, b| media.meet(b.id, at(SDP_B).ip(), NOW),
        |media, b| media.protect(b.id, &Protection::Awaited),
        |media, b| {
            media.release(b.id, NOW);
        },
    ];
    for change in changes {
        let (mut media, _, b) = call();
        rtp(&mut media, 2, SDP_B);
        media.settle(b.id);
        assert_eq!(media.poll_connect(), connect(2, SDP_B));
        change(&mut media, b);
        assert_eq!(media.poll_connect(), connect(2, ""));
        assert_eq!(media.poll_connect(), None);
    }
}

#[test]
fn the_address_of_sdp_takes_over_from_a_guess_and_keeps_it() {
    let (mut media, ..) = call();
    rtp(&mut media, 0, NAT_A);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
    assert_eq!(rtp(&mut media, 0, SDP_A), to(2, SDP_B));
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    assert_eq!(rtp(&mut media, 0, NAT_A), None);
}

#[test]
fn what_is_not_rtp_does_not_latch() {
    let (mut media, a, _) = call();
    let stun = [0u8; 20];
    assert_eq!(relay(&mut media, MediaSocket(0), at(STRANGER), &stun), None);
    assert_eq!(relay(&mut media, MediaSocket(1), at(STRANGER), &RTP), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    assert_eq!(media.counters(a.id).dropped.malformed, 2);
}

#[test]
fn without_a_known_peer_or_partner_packets_are_dropped_and_counted() {
    let mut media = media(2);
    let a = media.allocate(false, NOW).unwrap();
    let b = media.allocate(false, NOW).unwrap();
    media.meet(a.id, at(SDP_A).ip(), NOW);
    media.meet(b.id, at(SDP_B).ip(), NOW);
    assert_eq!(rtp(&mut media, 0, SDP_A), None, "not joined");
    media.join(a.id, b.id);
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
    media.expect(a.id, &peer(Some(new), None), NOW);
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
    media.expect(a.id, &peer(Some(at("10.0.0.9:4400")), None), NOW);
    for _ in 0..51 {
        assert_eq!(rtp(&mut media, 0, NAT_A), to(2, SDP_B));
    }
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn the_same_address_again_keeps_the_latch() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, NAT_A);
    media.expect(a.id, &peer(Some(at(SDP_A)), None), NOW);
    assert_eq!(rtp(&mut media, 0, STRANGER), None);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn early_media_from_behind_nat_is_latched_again_by_its_next_packet() {
    let mut media = media(2);
    let a = media.allocate(false, NOW).unwrap();
    media.meet(a.id, at(NAT_A).ip(), NOW);
    let b = media.allocate(false, NOW).unwrap();
    media.join(a.id, b.id);
    media.expect(b.id, &peer(Some(at(SDP_B)), None), NOW);
    assert_eq!(rtp(&mut media, 0, NAT_A), to(2, SDP_B), "before the answer");
    media.expect(a.id, &peer(Some(at(SDP_A)), None), NOW);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    rtp(&mut media, 0, NAT_A);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, NAT_A));
}

#[test]
fn a_peer_that_wants_nothing_gets_nothing() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, SDP_A);
    media.expect(a.id, &peer(None, None), NOW);
    assert_eq!(rtp(&mut media, 2, SDP_B), None);
    media.expect(a.id, &peer(Some(at(SDP_A)), None), NOW);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
}

#[test]
fn release_parts_the_legs_and_returns_the_counters() {
    let (mut media, a, b) = call();
    rtp(&mut media, 0, SDP_A);
    rtp(&mut media, 0, SDP_A);
    relay(&mut media, MediaSocket(1), at(SDP_A), &RTCP);
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
    media.join(new.id, b.id);
    media.expect(b.id, &peer(Some(at(SDP_B)), None), NOW);
    media.expect(new.id, &peer(Some(at(SDP_A)), None), NOW);
    rtp(&mut media, 0, SDP_A);

    media.expect(old.id, &peer(Some(at(STRANGER)), None), NOW);
    media.join(old.id, b.id);
    assert_eq!(media.counters(old.id), StreamCounters::default());
    assert_eq!(media.release(old.id, NOW), StreamCounters::default());
    assert_eq!(media.ports_in_use(), 2);
    assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
}

#[test]
fn joining_another_leg_leaves_the_first_alone() {
    let (mut media, a, _) = call();
    let other = media.allocate(false, NOW).unwrap();
    media.expect(other.id, &peer(Some(at("10.0.0.3:6000")), None), NOW);
    media.join(a.id, other.id);
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
    let mut media = Media::new(Rules {
        rest: Duration::from_millis(500),
        ..Rules::default()
    });
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

/// What A and B say of themselves, but for one thing.
fn say(media: &mut Media, (a, b): (Endpoint, Endpoint), of_a: Peer, of_b: Peer) {
    media.expect(a.id, &of_a, NOW);
    media.expect(b.id, &of_b, NOW);
}

fn peer_a() -> Peer {
    peer(Some(at(SDP_A)), Some(at("10.0.0.1:4001")))
}

fn peer_b() -> Peer {
    peer(Some(at(SDP_B)), Some(at("10.0.0.2:5001")))
}

#[test]
fn who_sprays_packets_at_a_port_hears_nothing() {
    let (mut media, a, _) = call();
    for port in 1..=400 {
        let stranger = SocketAddr::new(at(STRANGER).ip(), port);
        assert_eq!(relay(&mut media, MediaSocket(0), stranger, &RTP), None);
        assert_eq!(relay(&mut media, MediaSocket(1), stranger, &RTCP), None);
        assert_eq!(rtp(&mut media, 2, SDP_B), to(0, SDP_A));
    }
    assert_eq!(media.counters(a.id).dropped.foreign_source, 800);
    assert_eq!(media.counters(a.id).rtp.packets, 0);
}

#[test]
fn anywhere_is_believed_once_nobody_has_spoken_for_a_second_and_only_where_that_is_wanted() {
    let mut media = Media::new(Rules {
        trust: Trust::Anywhere,
        ..Rules::default()
    });
    media.add_port(port(0, "198.51.100.7"));
    media.add_port(port(1, "198.51.100.7"));
    let a = media.allocate(false, NOW).unwrap();
    let b = media.allocate(false, NOW).unwrap();
    media.join(a.id, b.id);
    say(&mut media, (a, b), peer_a(), peer_b());
    let mut spray = |after: u64, from: &str| {
        let mut buffer = RTP;
        let mut packet = Datagram {
            length: buffer.len(),
            buffer: &mut buffer,
        };
        let now = NOW + Duration::from_millis(after);
        media.relay(MediaSocket(0), at(from), &mut packet, now)
    };
    assert_eq!(spray(999, STRANGER), None);
    assert_eq!(spray(1_000, "192.0.2.7:7000"), to(2, SDP_B));
    assert_eq!(spray(1_001, STRANGER), None);
    assert_eq!(spray(1_002, SDP_A), to(2, SDP_B), "the word of SDP");
    assert_eq!(spray(1_003, "192.0.2.7:7000"), None);
}

#[test]
fn rtcp_goes_with_rtp_on_the_leg_that_has_agreed_to_it_alone() {
    let (mut media, a, b) = call();
    let muxed = Peer {
        rtcp: Some(at(SDP_A)),
        rtcp_mux: true,
        ..peer_a()
    };
    say(&mut media, (a, b), muxed, peer_b());
    let rtcp_of_a = relay(&mut media, MediaSocket(0), at(SDP_A), &RTCP);
    assert_eq!(rtcp_of_a, to(3, "10.0.0.2:5001"));
    let rtcp_of_b = relay(&mut media, MediaSocket(3), at("10.0.0.2:5001"), &RTCP);
    assert_eq!(rtcp_of_b, to(0, SDP_A));
    assert_eq!(relay(&mut media, MediaSocket(2), at(SDP_B), &RTCP), None);
    assert_eq!(rtp(&mut media, 0, SDP_A), to(2, SDP_B));
    let counters = media.counters(a.id);
    let packets = [counters.rtp, counters.rtcp, counters.rtcp_sent].map(|one| one.packets);
    assert_eq!(packets, [1, 1, 1]);
}

#[test]
fn fax_is_passed_as_it_is_between_two_that_speak_it() {
    let (mut media, a, b) = call();
    let fax = |of: Peer| Peer {
        rtcp: None,
        is_udptl: true,
        ..of
    };
    let indicator = [0, 1, 2, 3, 4, 5];
    say(&mut media, (a, b), fax(peer_a()), peer_b());
    assert_eq!(
        relay(&mut media, MediaSocket(0), at(SDP_A), &indicator),
        None
    );
    say(&mut media, (a, b), fax(peer_a()), fax(peer_b()));
    let passed = relay(&mut media, MediaSocket(0), at(SDP_A), &indicator);
    assert_eq!(passed, to(2, SDP_B));
    assert_eq!(
        relay(&mut media, MediaSocket(0), at(STRANGER), &indicator),
        None
    );
    assert_eq!(
        relay(&mut media, MediaSocket(0), at(SDP_A), &[0, 1, 0]),
        None
    );
    say(&mut media, (a, b), peer_a(), peer_b());
    assert_eq!(
        relay(&mut media, MediaSocket(0), at(SDP_A), &indicator),
        None
    );
    assert_eq!(rtp(&mut media, 0, SDP_A), to(2, SDP_B));
}

#[test]
fn the_other_leg_s_payload_types_are_written_the_marker_stays() {
    let (mut media, a, _) = call();
    media.translate(a.id, [(101, 96)]);
    let payload_types = |media: &mut Media, socket, from: &str, byte: u8| {
        let mut buffer = RTP;
        buffer[1] = byte;
        let mut packet = Datagram {
            length: buffer.len(),
            buffer: &mut buffer,
        };
        assert!(media.relay(socket, at(from), &mut packet, NOW).is_some());
        buffer[1]
    };
    assert_eq!(payload_types(&mut media, MediaSocket(0), SDP_A, 101), 96);
    assert_eq!(
        payload_types(&mut media, MediaSocket(0), SDP_A, 0x80 | 101),
        0x80 | 96
    );
    assert_eq!(payload_types(&mut media, MediaSocket(0), SDP_A, 0), 0);
    assert_eq!(payload_types(&mut media, MediaSocket(2), SDP_B, 101), 101);
    media.translate(a.id, []);
    assert_eq!(payload_types(&mut media, MediaSocket(0), SDP_A, 101), 101);
}

#[test]
fn a_stream_has_so_many_packets_a_second() {
    let (mut media, a, _) = call();
    let passed = (0..1_000).filter(|_| rtp(&mut media, 0, SDP_A).is_some());
    assert_eq!(passed.count(), usize::from(Rules::default().packets_max));
    assert_eq!(media.counters(a.id).dropped.too_many, 500);
    assert!(rtp(&mut media, 2, SDP_B).is_some(), "each by itself");
    let mut buffer = RTP;
    let mut packet = Datagram {
        length: buffer.len(),
        buffer: &mut buffer,
    };
    let later = NOW + Duration::from_millis(1_100);
    let again = media.relay(MediaSocket(0), at(SDP_A), &mut packet, later);
    assert!(again.is_some());
}

#[test]
fn who_comes_next_is_met_anew() {
    let (mut media, a, _) = call();
    rtp(&mut media, 0, SDP_A);
    media.meet(a.id, at(STRANGER).ip(), NOW);
    assert_eq!(rtp(&mut media, 2, SDP_B), None);
    assert_eq!(rtp(&mut media, 0, SDP_A), None);
    assert_eq!(rtp(&mut media, 0, STRANGER), to(2, SDP_B));
    assert_eq!(media.counters(a.id).rtp.packets, 2);
}

#[test]
fn what_waits_for_its_key_is_not_heard() {
    let (mut media, a, _) = call();
    media.protect(a.id, &Protection::Awaited);
    assert_eq!(rtp(&mut media, 0, SDP_A), None);
    assert_eq!(
        rtp(&mut media, 2, SDP_B),
        None,
        "nor spoken to in the clear"
    );
    assert_eq!(media.counters(a.id).dropped.not_authentic, 1);
    media.protect(a.id, &Protection::None);
    assert_eq!(rtp(&mut media, 0, SDP_A), to(2, SDP_B));
}
