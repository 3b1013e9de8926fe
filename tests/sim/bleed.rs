//! Who is heard, and who hears: strangers at the ports of a call, peers behind translators, addresses that are none.

use std::net::SocketAddr;

use crate::agent::plan::{Act, Plan, Rewrite, Session};
use crate::cast::{CARRIER, OUTSIDE, PBX_NAT, play, through, ways};
use crate::packets::Kind;
use crate::srtp::{ENCRYPTED, play_parties};
use crate::world::{CallRef, World};

const STRANGER: &str = "10.66.66.66:40404";

fn stranger() -> SocketAddr {
    STRANGER.parse().unwrap()
}

/// What a stranger does that has found the ports of a call (RTP Bleed): it is neither heard nor does it hear.
fn attack(world: &mut World, one: CallRef, other: CallRef) {
    for at in [one, other] {
        let port = world.at_call(at).remote_media.unwrap();
        for _ in 0..20 {
            assert_eq!(world.send_packet(stranger(), port, 0), None);
            assert_eq!(world.send_packet(stranger(), port, 1), None);
        }
    }
}

#[test]
fn a_stranger_neither_hears_nor_is_heard() {
    for (caller, called, to) in ways() {
        play(|world| {
            let (a, b) = world.establish(caller, called, &to);
            // Before the first packet of anybody, between them, and after.
            attack(world, a, b);
            assert!(world.is_heard(a, b, Kind::AUDIO));
            attack(world, a, b);
            world.assert_talk(a, b);
            world.run(5_000);
            attack(world, a, b);
            world.assert_talk(a, b);
            world.act(a, Act::Reinvite(Session::Moved));
            world.run(15);
            attack(world, a, b);
            world.run(1_000);
            attack(world, a, b);
            world.assert_talk(a, b);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_stranger_neither_hears_nor_is_heard_on_an_encrypted_leg() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        attack(world, a, b);
        world.assert_talk(a, b);
        attack(world, a, b);
        // Nor is who has a packet of the peer's: it came already.
        let packet = world.packet(a, Kind::AUDIO);
        let sealed = world.seal(a, &packet, Kind::AUDIO);
        let port = world.at_call(a).remote_media.unwrap();
        assert!(world.send_from(a, &sealed, Kind::AUDIO).is_some());
        assert_eq!(world.send_bytes(stranger(), port, &sealed), None);
        world.assert_talk(a, b);
        // A peer that has got another address is known by its key.
        let packet = world.packet(a, Kind::AUDIO);
        let sealed = world.seal(a, &packet, Kind::AUDIO);
        assert!(world.send_bytes(stranger(), port, &sealed).is_some());
        assert_eq!(world.send_rtp(b), Some(stranger()));
        world.act(a, Act::Bye);
    });
}

#[test]
fn the_ports_of_a_call_that_is_over_are_no_way_into_the_next() {
    for (caller, called, to) in ways() {
        play(|world| {
            let (a, b) = world.establish(caller, called, &to);
            world.assert_talk(a, b);
            world.act(a, Act::Bye);
            world.run(1_000);
            let (c, d) = world.establish(caller, called, &to);
            assert_ne!(world.at_call(a).remote_media, world.at_call(c).remote_media);
            for at in [a, b] {
                let packet = world.packet(at, Kind::AUDIO);
                assert_eq!(world.send_from(at, &packet, Kind::AUDIO), None);
            }
            world.assert_talk(c, d);
            world.act(c, Act::Bye);
        });
    }
}

#[test]
fn a_peer_behind_a_translator_is_heard_from_where_its_signalling_comes() {
    play(|world| {
        let a = world.call(PBX_NAT, &through(crate::cast::PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        let b = world.last_call(CARRIER);
        let port = world.at_call(a).remote_media.unwrap();
        attack(world, a, b);
        let outside: SocketAddr = "10.9.9.109:40404".parse().unwrap();
        let other: SocketAddr = "10.9.9.109:50505".parse().unwrap();
        assert!(world.send_packet(outside, port, 0).is_some());
        assert_eq!(world.send_rtp(b), Some(outside));
        // Who is known stays who it is, even to its neighbour.
        assert_eq!(world.send_packet(other, port, 0), None);
        attack(world, a, b);
        // RTCP has a place of its own.
        assert!(world.send_packet(other, port, 1).is_some());
        let packet = world.packet(b, Kind::Rtcp);
        let arrived = world.send_from(b, &packet, Kind::Rtcp).unwrap();
        assert_eq!(arrived.at, other);
        world.act(b, Act::Bye);
    });
}

/// Plays for calls both ways in which the caller says this of where it wants its media.
fn with_description(rewrite: Rewrite, scenario: impl Fn(&mut World, CallRef, usize)) {
    for (caller, called, to) in ways() {
        play(|world| {
            let plan = Plan {
                rewrite: Some(rewrite),
                ..Plan::idle()
            };
            let a = world.call(caller, &to, plan);
            world.run(3_000);
            scenario(world, a, called);
            world.act(a, Act::Bye);
        });
    }
}

/// With another address in the place of the agent's.
fn at(description: &str, address: &str) -> String {
    let lines = description.split_inclusive("\r\n");
    let moved = |line: &str| match line.starts_with("c=") {
        true => format!("c=IN IP4 {address}\r\n"),
        false => line.to_owned(),
    };
    lines.map(moved).collect()
}

#[test]
fn media_is_not_sent_where_nobody_is() {
    let rewrites: [Rewrite; 5] = [
        |sdp| at(&sdp, "0.0.0.0"),
        |sdp| at(&sdp, "224.2.1.1/127"),
        |sdp| at(&sdp, "255.255.255.255"),
        |sdp| at(&sdp, "nowhere.example"),
        |sdp| {
            sdp.split_inclusive("\r\n")
                .filter(|line| !line.starts_with("c="))
                .collect()
        },
    ];
    for rewrite in rewrites {
        with_description(rewrite, |world, a, called| {
            assert_eq!(world.at_call(a).status(), Some(200));
            let b = world.last_call(called);
            assert_eq!(world.send_rtp(b), None);
            // Whoever speaks from where the signalling comes from is where it says nothing of.
            let from = SocketAddr::new(world.agents[a.agent].source.ip(), 7_000);
            let port = world.at_call(a).remote_media.unwrap();
            assert_eq!(world.send_packet(stranger(), port, 0), None);
            assert!(world.send_packet(from, port, 0).is_some());
            assert_eq!(world.send_rtp(b), Some(from));
        });
    }
}

#[test]
fn a_stream_without_a_port_is_none() {
    let rewrites: [(Rewrite, u16); 2] = [
        (|sdp| with_port(&sdp, "0"), 488),
        (|sdp| with_port(&sdp, "70000"), 488),
    ];
    for (rewrite, status) in rewrites {
        with_description(rewrite, |world, a, called| {
            assert_eq!(world.at_call(a).status(), Some(status));
            assert!(world.agents[called].calls.is_empty());
        });
    }
}

fn with_port(description: &str, port: &str) -> String {
    let lines = description.split_inclusive("\r\n");
    let moved = |line: &str| match line.strip_prefix("m=audio ") {
        Some(rest) => {
            let (_, rest) = rest.split_once(' ').unwrap();
            format!("m=audio {port} {rest}")
        }
        None => line.to_owned(),
    };
    lines.map(moved).collect()
}

#[test]
fn a_description_that_is_too_much_is_refused_and_one_that_is_much_is_not() {
    let rewrites: [(Rewrite, u16); 4] = [
        (|sdp| sdp + &"m=video 0 RTP/AVP 31\r\n".repeat(60), 200),
        (|sdp| sdp + &"m=video 4000 RTP/AVP 31\r\n".repeat(199), 488),
        (
            |sdp| sdp + &format!("a=x:{}\r\n", "y".repeat(1_000)).repeat(40),
            200,
        ),
        (|sdp| sdp + &"a=x\r\n".repeat(12_000), 488),
    ];
    for (rewrite, status) in rewrites {
        with_description(rewrite, |world, a, called| {
            assert_eq!(world.at_call(a).status(), Some(status));
            match status {
                200 => {
                    let b = world.last_call(called);
                    world.assert_talk(a, b);
                }
                _ => assert!(world.agents[called].calls.is_empty()),
            }
        });
    }
}

#[test]
fn a_description_of_more_than_a_message_may_have_is_refused() {
    with_description(
        |sdp| sdp + &"a=x\r\n".repeat(14_000),
        |world, a, called| {
            assert_eq!(world.at_call(a).status(), Some(513));
            assert!(world.agents[called].calls.is_empty());
        },
    );
}

#[test]
fn every_stream_but_one_is_declined() {
    with_description(
        |sdp| sdp + "m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVP 0\r\n",
        |world, a, called| {
            let b = world.last_call(called);
            for at in [a, b] {
                let (_, _, text) = world.at_call(at).remote_session.as_ref().unwrap();
                let media: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
                assert_eq!(media.len(), 3, "{text}");
                assert!(media[1].starts_with("m=video 0 ") && media[2].starts_with("m=audio 0 "));
            }
            world.assert_talk(a, b);
        },
    );
}

/// Descriptions that name ports of the gateway: the first two of either shard.
const OWN_PORTS: [(u16, Rewrite); 4] = [
    (20_000, |sdp| with_port(&at(&sdp, "198.51.100.2"), "20000")),
    (20_002, |sdp| with_port(&at(&sdp, "198.51.100.2"), "20002")),
    (20_080, |sdp| with_port(&at(&sdp, "198.51.100.2"), "20080")),
    (20_082, |sdp| with_port(&at(&sdp, "198.51.100.2"), "20082")),
];

#[test]
fn a_call_sends_nothing_to_its_own_ports() {
    for (caller, called, to) in ways() {
        play(|world| {
            let (a, b) = world.establish(caller, called, &to);
            let own = [a, b].map(|at| world.at_call(at).remote_media.unwrap().port());
            let named = OWN_PORTS.iter().filter(|(port, _)| own.contains(port));
            assert_eq!(named.clone().count(), 2, "{own:?}");
            for (_, rewrite) in named {
                for (one, other) in [(a, b), (b, a)] {
                    world.assert_talk(one, other);
                    world.agents[one.agent].calls[one.call].plan.rewrite = Some(*rewrite);
                    world.act(one, Act::Reinvite(Session::Direction("sendrecv")));
                    world.run(1_000);
                    assert_eq!(world.send_rtp(other), None);
                    world.agents[one.agent].calls[one.call].plan.rewrite = None;
                    world.act(one, Act::Reinvite(Session::Direction("sendrecv")));
                    world.run(1_000);
                }
            }
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_call_sends_nothing_to_ports_of_its_own_that_its_caller_has_guessed() {
    for (port, rewrite) in OWN_PORTS {
        with_description(rewrite, |world, a, called| {
            assert_eq!(world.at_call(a).status(), Some(200));
            let b = world.last_call(called);
            let own = [a, b].map(|at| world.at_call(at).remote_media.unwrap().port());
            if own.contains(&port) {
                assert_eq!(world.send_rtp(b), None);
            }
        });
    }
}
