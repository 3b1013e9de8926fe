//! RTP and RTCP through the gateway, and calls that carry none.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::By;
use crate::agent::plan::{Act, Plan, Session};
use crate::cast::{CARRIER, OUTSIDE, PBX_NAT, PLAIN, play, play_with, through, ways};
use crate::world::World;

fn both_ways(scenario: impl Fn(&mut World, usize, usize, &str)) {
    for (caller, called, to) in ways() {
        play_with(
            |gateway| gateway.media_timeout = Duration::from_secs(30),
            |_| {},
            |world| scenario(world, caller, called, &to),
        );
    }
}

fn last_end(world: &World) -> (EndCause, u64, u64) {
    match world.events.last().unwrap() {
        Event::CallEnded { cause, quality, .. } => (
            *cause,
            quality.a.from_peer.rtp_packets,
            quality.b.from_peer.rtp_packets,
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn audio_flows_both_ways_and_is_counted() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        for _ in 0..50 {
            assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
            world.run(20);
        }
        assert!(world.send_rtp(a).is_some());
        assert_eq!(world.at_call(a).packets, 50);
        assert_eq!(world.at_call(b).packets, 51);
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(last_end(world), (EndCause::CallerHungUp, 51, 50));
    });
}

#[test]
fn a_socket_is_connected_to_a_peer_that_is_where_it_says_until_that_may_change() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        let peers = |world: &World| {
            let mut peers: Vec<_> = world.connected.values().copied().collect();
            peers.sort();
            peers
        };
        let places = |world: &World| {
            let mut places = [a, b].map(|at| {
                let agent = &world.agents[at.agent];
                SocketAddr::new(agent.source.ip(), agent.calls[at.call].media_port)
            });
            places.sort();
            places
        };
        let talk = |world: &mut World| {
            for _ in 0..6 {
                world.run(1_000);
                assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
            }
        };
        assert_eq!(peers(world), []);
        talk(world);
        assert_eq!(peers(world), places(world));
        for one in [a, b] {
            world.act(one, Act::Reinvite(Session::Moved));
            world.run(1_000);
            let is_open = peers(world).len() < 2;
            assert!(is_open, "the one that moves is heard wherever it is now");
            talk(world);
            assert_eq!(peers(world), places(world));
        }
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(peers(world), []);
    });
}

#[test]
fn rtcp_has_the_next_port() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        for (one, other) in [(a, b), (b, a)] {
            let next = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
            let source = |at: crate::world::CallRef| {
                let agent = &world.agents[at.agent];
                SocketAddr::new(agent.source.ip(), agent.calls[at.call].media_port)
            };
            let (from, expected) = (next(source(one)), next(source(other)));
            let to = world.at_call(one).remote_media.unwrap();
            assert_eq!(world.send_packet(from, to, 1), Some(expected));
        }
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_caller_behind_a_translator_is_found_by_its_packets() {
    play(|world| {
        let a = world.call(PBX_NAT, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        let b = world.last_call(CARRIER);
        let latched: SocketAddr = "10.9.9.109:40404".parse().unwrap();
        let port = world.at_call(a).remote_media.unwrap();
        assert!(world.send_packet(latched, port, 0).is_some());
        assert_eq!(world.send_rtp(b), Some(latched));
        let stranger: SocketAddr = "10.66.66.66:40404".parse().unwrap();
        assert_eq!(world.send_packet(stranger, port, 0), None);
        assert_eq!(world.send_rtp(b), Some(latched));
        world.act(b, Act::Bye);
    });
}

#[test]
fn a_call_without_media_is_ended_on_both_sides() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        for _ in 0..60 {
            assert!(world.send_rtp(a).is_some());
            world.run(1_000);
        }
        assert_eq!(world.at_call(a).hung_up, None);
        world.run(29_000);
        assert_eq!(world.at_call(a).hung_up, None);
        world.run(10_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        assert_eq!(last_end(world), (EndCause::MediaTimeout, 60, 0));
    });
}

#[test]
fn a_call_on_hold_may_be_silent() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(b, Act::Reinvite(Session::Direction("sendonly")));
        world.run(600_000);
        assert_eq!(world.at_call(a).hung_up, None);
        world.act(b, Act::Reinvite(Session::Direction("sendrecv")));
        world.run(40_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
    });
}

#[test]
fn a_call_that_is_taken_off_hold_gets_its_time_anew() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(b, Act::Reinvite(Session::Direction("sendonly")));
        world.run(600_000);
        world.act(b, Act::Reinvite(Session::Direction("sendrecv")));
        world.run(25_000);
        assert_eq!(world.at_call(a).hung_up, None);
        assert!(world.send_rtp(a).is_some());
        world.run(25_000);
        assert_eq!(world.at_call(a).hung_up, None);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_call_on_hold_that_nobody_comes_back_to_ends_after_eight_hours() {
    const HOUR: u64 = 3_600_000;
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(b, Act::Reinvite(Session::Direction("sendonly")));
        world.run(8 * HOUR - 60_000);
        assert_eq!(world.at_call(a).hung_up, None);
        assert_eq!(world.at_call(b).hung_up, None);
        world.run(120_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        assert_eq!(last_end(world), (EndCause::MediaTimeout, 0, 0));
    });
}

#[test]
fn the_ports_of_a_call_that_is_over_pass_nothing_on() {
    both_ways(|world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.send_rtp(a), None);
        assert_eq!(world.send_rtp(b), None);
    });
}
