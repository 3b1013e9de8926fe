//! Strangers: how much is taken from them, when they are not listened to, and what they get back. And a
//! shard that is behind.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline::shard::snapshot::Snapshot;
use trunkline::sip::message::Message;
use trunkline::telemetry::Event;

use crate::agent::call::State;
use crate::agent::plan::{Act, Plan};
use crate::cast::{
    CARRIER, OUTSIDE, OWN, OWN_V6, PBX, PBX_V6, PLAIN, V6, connector_id, inbound, play, play_with,
    through,
};
use crate::network::Rng;
use crate::world::World;

const STRANGER: &str = "203.0.113.250:5060";

fn request(method: &str, number: u32, host: &str, agent: &str) -> String {
    format!(
        "{method} sip:100@{host} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@x>;tag={number}\r\nTo: <sip:100@{host}>\r\nCall-ID: {number}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:100@{STRANGER}>\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// What is sent to the stranger, who is nobody's agent.
fn answered(world: &mut World, text: String) -> bool {
    let before = world.undeliverable;
    world.inject(STRANGER.parse().unwrap(), text);
    world.run(100);
    world.undeliverable > before
}

fn bans(world: &World) -> usize {
    let is_ban = |event: &&Event| matches!(event, Event::SourceBanned { .. });
    world.events.iter().filter(is_ban).count()
}

fn releases(world: &World) -> usize {
    let is_release = |event: &&Event| matches!(event, Event::SourceReleased { .. });
    world.events.iter().filter(is_release).count()
}

#[test]
fn a_scanner_is_not_answered_any_more_until_its_time_is_over() {
    play(|world| {
        let mut sent = 0;
        while answered(world, request("INVITE", sent, "1.2.3.4", "asterisk")) {
            sent += 1;
            assert!(sent < 60, "it goes on for ever");
        }
        assert!(sent >= 9, "after {sent} already");
        assert_eq!(bans(world), 1);
        assert!(!answered(
            world,
            request("OPTIONS", 900, "gateway.example", "x")
        ));
        world.run(61_000);
        assert!(answered(
            world,
            request("OPTIONS", 901, "gateway.example", "x")
        ));
        assert_eq!(
            releases(world),
            world.shards.len().min(releases(world)).max(1)
        );
    });
}

#[test]
fn one_that_says_what_it_is_has_one_try() {
    play(|world| {
        assert!(answered(
            world,
            request("INVITE", 1, "1.2.3.4", "friendly-scanner")
        ));
        assert!(!answered(
            world,
            request("OPTIONS", 2, "gateway.example", "x")
        ));
    });
}

#[test]
fn whoever_sends_rubbish_or_tries_methods_is_a_scanner_too() {
    for method in ["REGISTER", "SUBSCRIBE", "BREW", "rubbish"] {
        play(|world| {
            let mut sent = 0;
            loop {
                let text = match method {
                    "rubbish" => request("INVITE", sent, "x", "y").replace("CSeq: 1", "CSeq: x"),
                    _ => request(method, sent, "gateway.example", "y"),
                };
                if !answered(world, text) {
                    break;
                }
                sent += 1;
                assert!(sent < 100, "{method} goes on for ever");
            }
            assert_eq!(bans(world), 1);
        });
    }
}

#[test]
fn a_known_source_is_listened_to_whatever_is_sent_in_its_name() {
    play(|world| {
        let carrier: SocketAddr = world.agents[CARRIER].source;
        for number in 0..200 {
            world.inject(
                carrier,
                request("INVITE", number, "1.2.3.4", "friendly-scanner"),
            );
            world.run(10);
        }
        assert_eq!(bans(world), 0);
        let (a, _) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_flood_from_one_source_is_cut_before_it_is_read() {
    play_with(
        |gateway| {
            gateway.limits.source_messages_per_second = 50;
            gateway.limits.ban = Duration::ZERO;
        },
        |_| {},
        |world| {
            for number in 0..2_000 {
                world.inject(
                    STRANGER.parse().unwrap(),
                    request("OPTIONS", number, "gateway.example", "x"),
                );
            }
            world.run(1);
            let shards = world.shards.len();
            assert!(
                world.undeliverable <= 50 * shards,
                "{}",
                world.undeliverable
            );
            let dropped = world
                .shards
                .iter()
                .map(|shard| shard.guard_counters().too_many);
            assert!(dropped.sum::<u64>() >= 2_000 - 50 * shards as u64);
            // Meanwhile calls of others go through.
            let (a, _) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
            world.act(a, Act::Bye);
        },
    );
}

/// RFC 3261 §18.2.2, and no amplifier: for a stranger's request one response at most, to where the request
/// came from, and not again.
#[test]
fn a_stranger_gets_one_response_for_a_request_and_nobody_else_gets_any() {
    let methods = [
        "INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "INFO", "UPDATE", "PRACK", "ACK", "BREW",
    ];
    play_with(
        |gateway| gateway.limits.ban = Duration::ZERO,
        |_| {},
        |world| {
            let mut rng = Rng::new(crate::world::seed());
            let (mut bytes_in, requests) = (0, 300);
            let before = world.sent_to_strangers.len();
            for number in 0..requests {
                let method = *rng.pick(&methods);
                let host = *rng.pick(&["gateway.example", "1.2.3.4", "[::1]"]);
                let mut text = request(method, number, host, "x");
                for (from, to) in [
                    (
                        format!("UDP {STRANGER}"),
                        "UDP 198.51.100.77:9999".to_owned(),
                    ),
                    (
                        format!("UDP {STRANGER}"),
                        format!("UDP {STRANGER};maddr=198.51.100.77;received=198.51.100.77"),
                    ),
                    ("Max-Forwards: 70".to_owned(), "Max-Forwards: 0".to_owned()),
                    (
                        "Max-Forwards: 70".to_owned(),
                        "Max-Forwards: 70\r\nRequire: nothing".to_owned(),
                    ),
                    (
                        "Content-Length: 0".to_owned(),
                        "Content-Length: 7".to_owned(),
                    ),
                    ("CSeq: 1 ".to_owned(), "CSeq: 2 X".to_owned()),
                ] {
                    if rng.chance(250) {
                        text = text.replace(&from, &to);
                    }
                }
                bytes_in += text.len();
                world.inject(STRANGER.parse().unwrap(), text);
                world.run(300);
            }
            // Time for everything that might be sent again.
            world.run(60_000);
            let sent = &world.sent_to_strangers[before..];
            let bytes_out: usize = sent.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(sent.len() <= requests as usize, "{} responses", sent.len());
            assert!(
                sent.len() > requests as usize / 2,
                "hardly anything was answered"
            );
            for (to, bytes) in sent {
                let source: SocketAddr = STRANGER.parse().unwrap();
                assert_eq!(to.ip(), source.ip());
                let parsed = Message::parse(bytes.clone(), &Default::default());
                assert!(matches!(parsed, Ok(Message::Response(_))));
            }
            assert!(
                bytes_out < bytes_in * 3 / 2,
                "{bytes_out} bytes for {bytes_in}"
            );
        },
    );
}

fn set_lag(world: &mut World, millis: u64) {
    for shard in &mut world.shards {
        shard.set_lag(Duration::from_millis(millis));
    }
}

#[test]
fn a_shard_that_is_behind_refuses_new_calls_and_keeps_those_it_has() {
    play(|world| {
        let to = through(PLAIN, OUTSIDE);
        let (a, b) = world.establish(PBX, CARRIER, &to);
        set_lag(world, 250);
        let refused = world.call(PBX, &to, Plan::idle());
        world.run(1_000);
        assert_eq!(world.at_call(refused).status(), Some(503));
        let after = world
            .at_call(refused)
            .response_header(503, trunkline::sip::message::HeaderName::RetryAfter);
        assert!(after.is_some());
        // What belongs to a call is handled.
        world.act(a, Act::Reinvite(crate::agent::plan::Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(a).reinvite_answers, [200]);
        assert_eq!(world.at_call(b).state, State::Talking);
        // Not before it has caught up.
        set_lag(world, 100);
        let still = world.call(PBX, &to, Plan::idle());
        world.run(1_000);
        assert_eq!(world.at_call(still).status(), Some(503));
        set_lag(world, 0);
        let (c, _) = world.establish(PBX, CARRIER, &to);
        for call in [a, c] {
            world.act(call, Act::Bye);
        }
    });
}

#[test]
fn strangers_wait_while_a_shard_is_far_behind() {
    play(|world| {
        assert!(answered(
            world,
            request("OPTIONS", 1, "gateway.example", "x")
        ));
        set_lag(world, 900);
        assert!(!answered(
            world,
            request("OPTIONS", 2, "gateway.example", "x")
        ));
        set_lag(world, 0);
        assert!(answered(
            world,
            request("OPTIONS", 3, "gateway.example", "x")
        ));
        let busy = world.shards.iter().map(|shard| shard.guard_counters().busy);
        assert_eq!(busy.sum::<u64>(), 1);
    });
}

/// A request that is refused, and looks as if it came from there.
fn forged(world: &mut World, source: SocketAddr, number: u32) {
    let text = format!(
        "REGISTER sip:gateway.example SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1@x>;tag={number}\r\nTo: <sip:1@x>\r\nCall-ID: forged-{number}\r\n\
         CSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    world.inject(source, text);
    world.run(10);
}

#[test]
fn nobody_gets_a_place_that_routes_lead_to_banned() {
    // The PBX is called, and allowed to call nobody.
    let only_called = |snapshot: &mut Snapshot| {
        let connectors: Vec<_> = snapshot.connectors.values().cloned().collect();
        for connector in connectors {
            let mut connector = (*connector).clone();
            if let Some(termination) = &mut connector.termination {
                termination.cidr_allowed_list = vec!["198.18.0.0/32".parse().unwrap()];
            }
            if let Some(origination) = &mut connector.origination {
                origination.routes.truncate(1);
            }
            snapshot.put_connector(connector);
        }
    };
    play_with(
        |_| {},
        only_called,
        |world| {
            let pbx = world.agents[PBX].source;
            for number in 0..60 {
                forged(world, pbx, number);
            }
            assert_eq!(bans(world), 0);
            let a = world.call(CARRIER, &inbound(OWN), Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn a_neighbour_of_a_known_host_is_banned_alone() {
    let one_host = |snapshot: &mut Snapshot| {
        let mut connector = (*snapshot.connectors[&connector_id(V6)]).clone();
        if let Some(termination) = &mut connector.termination {
            termination.cidr_allowed_list = vec!["2001:db8:2::104/128".parse().unwrap()];
        }
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        one_host,
        |world| {
            for number in 0..60 {
                forged(world, "[2001:db8:2::bad]:5060".parse().unwrap(), number);
            }
            assert!(bans(world) > 0);
            let plan = Plan {
                from: OWN_V6,
                ..Plan::idle()
            };
            let a = world.call(PBX_V6, &through(V6, OUTSIDE), plan);
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn points_add_up_whichever_shard_hears_of_them() {
    play(|world| {
        // More than a hundred seconds after the first of all messages.
        forged(world, STRANGER.parse().unwrap(), 1_000);
        world.run(200_000);
        for number in 0..40 {
            forged(world, STRANGER.parse().unwrap(), number);
        }
        assert!(bans(world) > 0);
    });
}
