//! What streams are made of: one port for RTP and RTCP, fax in the place of audio, numbers of payload types that
//! each leg has for itself.

use crate::agent::plan::{Act, Plan, Session};
use crate::cast::{CARRIER, PBX, play_with, ways};
use crate::packets::Kind;
use crate::srtp::{ENCRYPTED, PLAIN, play_parties};
use crate::world::{CallRef, World};

/// Plays for calls both ways in which only these agents want RTP and RTCP on one port, and the gateway offers it
/// or not.
fn with_mux(agents: &[usize], is_offered: bool, scenario: impl Fn(&mut World, usize, usize, &str)) {
    for (caller, called, to) in ways() {
        play_with(
            |gateway| gateway.offer_rtcp_mux = is_offered,
            |_| {},
            |world| {
                for agent in agents {
                    world.agents[*agent].rtcp_mux = true;
                }
                scenario(world, caller, called, &to);
            },
        );
    }
}

#[test]
fn one_port_is_enough_where_a_peer_offers_it() {
    for agents in [&[PBX][..], &[CARRIER], &[PBX, CARRIER]] {
        with_mux(agents, false, |world, caller, called, to| {
            let (a, b) = world.establish(caller, called, to);
            assert_eq!(world.at_call(a).is_muxed, agents.contains(&caller));
            assert!(!world.at_call(b).is_muxed, "it was not offered");
            world.assert_talk(a, b);
            // The other port is as good as closed towards who has one.
            if world.at_call(a).is_muxed {
                let arrived = rtcp_to(world, b);
                assert_eq!(arrived, Some(world.at_call(a).media_port));
            }
            world.act(a, Act::Bye);
        });
    }
}

/// The port that RTCP of a call goes to on the other side.
fn rtcp_to(world: &mut World, from: CallRef) -> Option<u16> {
    let packet = world.packet(from, Kind::Rtcp);
    let arrived = world.send_from(from, &packet, Kind::Rtcp)?;
    Some(arrived.at.port())
}

#[test]
fn one_port_is_offered_where_that_is_wanted_and_two_do_where_it_is_not_taken() {
    for agents in [&[PBX][..], &[CARRIER], &[PBX, CARRIER], &[]] {
        with_mux(agents, true, |world, caller, called, to| {
            let (a, b) = world.establish(caller, called, to);
            assert_eq!(world.at_call(a).is_muxed, agents.contains(&caller));
            assert_eq!(world.at_call(b).is_muxed, agents.contains(&called));
            world.assert_talk(a, b);
            // It stays so over a re-INVITE of either side.
            for (one, other) in [(a, b), (b, a)] {
                world.act(one, Act::Reinvite(Session::Moved));
                world.run(1_000);
                assert_eq!(world.at_call(one).reinvite_answers, [200]);
                world.assert_talk(one, other);
            }
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn one_port_is_enough_for_srtp_too() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        world.agents[caller].rtcp_mux = true;
        let (a, b) = world.establish(caller, called, to);
        assert!(world.at_call(a).is_muxed && !world.at_call(b).is_muxed);
        world.assert_talk(a, b);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_call_changes_to_fax_and_back() {
    for (customer, carrier) in [(PLAIN, PLAIN), (ENCRYPTED_WHERE_OFFERED, PLAIN)] {
        for by_caller in [true, false] {
            play_parties(customer, carrier, |world, caller, called, to| {
                let (a, b) = world.establish(caller, called, to);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                world.assert_talk(one, other);
                world.act(one, Act::Reinvite(Session::Fax));
                world.run(1_000);
                assert_eq!(world.at_call(one).reinvite_answers, [200]);
                assert!(world.at_call(other).is_fax);
                assert!(world.is_heard(one, other, Kind::Udptl));
                assert!(world.is_heard(other, one, Kind::Udptl));
                assert_eq!(world.protection(), [None, None], "fax is in the clear");
                world.act(one, Act::Reinvite(Session::Audio));
                world.run(1_000);
                assert_eq!(world.at_call(one).reinvite_answers, [200, 200]);
                assert!(!world.at_call(other).is_fax);
                world.assert_talk(one, other);
                world.act(one, Act::Bye);
            });
        }
    }
}

/// SRTP where somebody asks for it, and nobody needs to.
const ENCRYPTED_WHERE_OFFERED: crate::srtp::Party = crate::srtp::Party {
    mode: trunkline::config::SrtpMode::Optional,
    srtp: Some(crate::agent::security::Srtp::BEST_EFFORT),
    ..PLAIN
};

#[test]
fn fax_is_no_way_around_srtp() {
    for by_caller in [true, false] {
        play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
            let (a, b) = world.establish(caller, called, to);
            let (one, other) = if by_caller { (a, b) } else { (b, a) };
            world.act(one, Act::Reinvite(Session::Fax));
            world.run(1_000);
            assert_eq!(world.at_call(one).reinvite_answers, [488]);
            assert_eq!(world.at_call(other).reinvites, 0);
            world.assert_talk(one, other);
            world.act(one, Act::Bye);
        });
    }
}

/// What a digit of one is to the other.
fn digit(world: &mut World, from: CallRef, to: CallRef, number: u8) -> Option<u8> {
    let packet = world.packet(from, Kind::Rtp(number));
    let sealed = world.seal(from, &packet, Kind::Rtp(number));
    let heard = world.is_heard_as(from, to, &sealed, Kind::Rtp(number))?;
    assert_eq!(heard[12..], packet[12..]);
    Some(heard[1])
}

#[test]
fn digits_have_the_number_that_each_leg_knows_them_by() {
    const MARKER: u8 = 0x80;
    for (customer, carrier) in [(PLAIN, PLAIN), (ENCRYPTED, PLAIN), (ENCRYPTED, ENCRYPTED)] {
        play_parties(customer, carrier, |world, caller, called, to| {
            world.agents[called].plan.formats = &[0, 97];
            let (a, b) = world.establish(caller, called, to);
            for (marker, at_a, at_b) in [(0, 101, 97), (MARKER, 101, 97), (0, 0, 0), (0, 8, 8)] {
                let (of_a, of_b) = (marker | at_a, marker | at_b);
                assert_eq!(digit(world, a, b, of_a), Some(of_b));
                assert_eq!(digit(world, b, a, of_b), Some(of_a));
            }
            // RTCP's types are none of RTP's.
            world.assert_talk(a, b);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_reinvite_of_whoever_has_answered_keeps_the_numbers_of_the_digits() {
    for by_caller in [true, false] {
        play_parties(PLAIN, PLAIN, |world, caller, called, to| {
            world.agents[called].plan.formats = &[0, 97];
            let (a, b) = world.establish(caller, called, to);
            let one = if by_caller { a } else { b };
            world.act(one, Act::Reinvite(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(one).reinvite_answers, [200]);
            assert_eq!(digit(world, a, b, 101), Some(97));
            assert_eq!(digit(world, b, a, 97), Some(101));
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn the_same_number_on_both_legs_stays() {
    play_parties(PLAIN, PLAIN, |world, caller, called, to| {
        let a = world.call(
            caller,
            to,
            Plan {
                formats: &[0, 97],
                ..Plan::idle()
            },
        );
        world.agents[called].plan.formats = &[0, 97];
        world.run(3_000);
        let b = world.last_call(called);
        assert_eq!(digit(world, a, b, 97), Some(97));
        assert_eq!(digit(world, b, a, 97), Some(97));
        world.act(a, Act::Bye);
    });
}
