//! Limits: calls a second over shards and sources, calls at once, calls an hour, carriers' own; and sources that guess
//! passwords.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline::config::{Carrier, CarrierPolicy, SpendingLimits, TerminationPolicy};
use trunkline::connector_id::VoiceConnectorId;
use trunkline::gateway::limiter::Counted;
use trunkline::instant::Instant;
use trunkline::shard::snapshot::{Snapshot, VoiceConnector};
use trunkline::sip::digest::Challenge;
use trunkline::sip::message::HeaderName;
use trunkline::telemetry::{Event, SpendingAlert};

use crate::agent::acting::answer_to;
use crate::agent::call::State;
use crate::agent::plan::{Act, Plan, When};
use crate::cast::{
    CARRIER, CARRIER_SPARE, OUTSIDE, OUTSIDE_TCP_V6, OWN, OWN_SECRET, PASSWORD, PBX, PBX_SPARE,
    PLAIN, SECRET, SLOW, USERNAME, agents, connector_id, play, play_with, snapshot, through,
};
use crate::gateway::Gateway;
use crate::network::Rng;
use crate::transfers::refer_to;
use crate::world::{CallRef, World, seed};

fn change(snapshot: &mut Snapshot, connector: u8, change: impl FnOnce(&mut VoiceConnector)) {
    let mut changed = (*snapshot.connectors[&connector_id(connector)]).clone();
    change(&mut changed);
    snapshot.put_connector(changed);
}

fn with_policy(policy: &TerminationPolicy, scenario: impl Fn(&mut World)) {
    let policy = Arc::new(policy.clone());
    let put = |snapshot: &mut Snapshot| {
        change(snapshot, PLAIN, |connector| {
            connector.policy = Arc::clone(&policy);
        });
    };
    play_with(|gateway| gateway.transfers = true, put, scenario);
}

fn with_carriers(policy: &CarrierPolicy, scenario: impl Fn(&mut World)) {
    let put = |snapshot: &mut Snapshot| {
        let limited = |carrier: &Carrier| Carrier {
            policy: Arc::new(CarrierPolicy {
                carrier: carrier.name.as_str().into(),
                ..policy.clone()
            }),
            ..carrier.clone()
        };
        let carriers: Vec<Carrier> = snapshot.carriers().iter().map(limited).collect();
        snapshot.set_carriers(carriers);
    };
    play_with(|_| {}, put, scenario);
}

fn of(connector: u8) -> Counted {
    Counted::Connector(connector_id(connector))
}

fn call(world: &mut World) -> CallRef {
    let call = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
    world.run(3_000);
    call
}

fn assert_refused(world: &World, call: CallRef, status: u16, reason: &str) {
    let expected = (status, reason.to_owned());
    assert_eq!(world.at_call(call).outcome, Some(expected));
}

#[test]
fn no_second_has_more_calls_than_the_limit_whatever_the_shard_and_the_source() {
    const LIMIT: usize = 10;
    let mut routing = snapshot();
    change(&mut routing, PLAIN, |connector| {
        if let Some(termination) = &mut connector.termination {
            termination.cps_limit = LIMIT as u32;
        }
    });
    let routing = Arc::new(routing);
    for seed in [seed(), 1, 2, 3] {
        let mut settings = Gateway::new(4);
        settings.media_ports = 200;
        let mut world = World::new(&settings, seed, &routing, agents());
        let mut rng = Rng::new(seed);
        let mut begun: Vec<Instant> = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..4_000 {
            if rng.below(12) == 0 {
                let source = [PBX, PBX_SPARE][rng.below(2) as usize];
                // Some are refused by a later check, and are no calls.
                let number = ["alice", OUTSIDE, OUTSIDE][rng.below(3) as usize];
                calls.push(world.call(source, &through(PLAIN, number), Plan::idle()));
            }
            world.run(1);
            let news = world.calls_begun() as usize - begun.len();
            begun.extend(std::iter::repeat_n(world.now, news));
        }
        let second = Duration::from_secs(1);
        let over = begun
            .windows(LIMIT + 1)
            .find(|calls| calls[LIMIT].since(calls[0]) < second);
        assert_eq!(over, None, "seed {seed}");
        let unused = begun
            .windows(LIMIT + 1)
            .find(|calls| calls[LIMIT].since(calls[0]) > second + second / 5);
        assert_eq!(unused, None, "seed {seed}: there are calls enough");
        assert!(begun.len() >= 3 * LIMIT, "seed {seed}");
        let is_spread = world.shards.iter().all(|shard| shard.counters().calls > 0);
        assert!(is_spread, "seed {seed}");
        world.run(3_000);
        for call in calls {
            world.act(call, Act::Bye);
        }
        world.finish();
    }
}

#[test]
fn more_calls_a_second_than_agreed_are_told_to_come_later() {
    play(|world| {
        let to = through(SLOW, OUTSIDE);
        let calls: Vec<_> = (0..3).map(|_| world.call(PBX, &to, from_slow())).collect();
        world.run(500);
        let refused: Vec<_> = calls
            .iter()
            .filter(|call| world.at_call(**call).status() == Some(503))
            .collect();
        let [one] = refused[..] else {
            panic!("{} of three were refused", refused.len());
        };
        let (_, reason) = world.at_call(*one).outcome.clone().unwrap();
        assert_eq!(reason, "Calls Per Second Limit Reached");
        let after = world
            .at_call(*one)
            .response_header(503, HeaderName::RetryAfter);
        assert_eq!(after.as_deref(), Some("1"));
        world.run(600);
        let later = world.call(PBX, &to, from_slow());
        world.run(3_000);
        assert_eq!(world.at_call(later).state, State::Talking);
        for call in calls.into_iter().chain([later]) {
            world.act(call, Act::Bye);
        }
    });
}

#[test]
fn one_call_too_many_at_once_is_refused_until_one_is_over() {
    let policy = TerminationPolicy {
        concurrent_calls: 2,
        ..TerminationPolicy::default()
    };
    with_policy(&policy, |world| {
        let [one, two, three] = [(); 3].map(|()| call(world));
        assert_refused(world, three, 503, "Concurrent Call Limit Reached");
        let after = world
            .at_call(three)
            .response_header(503, HeaderName::RetryAfter);
        assert_eq!(after.as_deref(), Some("5"));
        // Calls from the PSTN do not count.
        let (inbound, _) = world.establish(CARRIER, PBX, &crate::cast::inbound(OWN));
        world.act(one, Act::Bye);
        world.run(1_000);
        let four = call(world);
        assert_eq!(world.at_call(four).state, State::Talking);
        for call in [two, four, inbound] {
            world.act(call, Act::Bye);
        }
    });
}

#[test]
fn a_call_that_comes_to_nothing_counts_no_longer() {
    let policy = TerminationPolicy {
        concurrent_calls: 1,
        ..TerminationPolicy::default()
    };
    let cancels = || Plan::idle().then(When::Invited, 300, Act::Cancel);
    let to = through(PLAIN, OUTSIDE);
    with_policy(&policy, |world| {
        for _ in 0..3 {
            // Cancelled while it rings, refused at once, and refused by both places.
            world.call(PBX, &to, cancels());
            world.run(3_000);
            assert_eq!(world.limiter.calls_of(&of(PLAIN)), 0);
            for (status, places) in [(486, 1), (503, 2)] {
                world.agents[CARRIER].plan = Plan::says(status);
                world.agents[CARRIER_SPARE].plan = Plan::says(status);
                let before = world.agents[CARRIER_SPARE].calls.len();
                call(world);
                assert_eq!(world.limiter.calls(), 0, "{status}");
                let after = world.agents[CARRIER_SPARE].calls.len();
                assert_eq!(after - before + 1, places);
            }
            world.agents[CARRIER].plan = Plan::answers();
        }
        let last = call(world);
        assert_eq!(world.at_call(last).state, State::Talking);
        world.shut_down();
        assert_eq!(world.limiter.calls(), 0);
        world.run(1_000);
    });
}

#[test]
fn a_transfer_is_one_call_more_until_two_are_one() {
    let policy = TerminationPolicy {
        concurrent_calls: 2,
        ..TerminationPolicy::default()
    };
    with_policy(&policy, |world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        let carrier = |name: &str| Counted::Carrier(name.into());
        assert_eq!(world.limiter.calls_of(&of(PLAIN)), 1);
        // All carriers of this world have the same name: none.
        assert_eq!(world.limiter.calls_of(&carrier("")), 1);
        refer_to(world, a, &format!("<sip:{OUTSIDE_TCP_V6}@198.51.100.1>"));
        world.run(500);
        assert_eq!(world.limiter.calls_of(&of(PLAIN)), 2);
        assert_eq!(world.limiter.calls_of(&carrier("")), 2);
        let third = call(world);
        assert_refused(world, third, 503, "Concurrent Call Limit Reached");
        world.run(5_000);
        assert_eq!(world.at_call(a).state, State::Over, "it was replaced");
        assert_eq!(world.limiter.calls_of(&of(PLAIN)), 1);
        assert_eq!(world.limiter.calls_of(&carrier("")), 2);
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.limiter.calls(), 0);
    });
}

#[test]
fn a_carrier_at_its_limit_is_passed_by() {
    let policies = [
        (
            CarrierPolicy {
                concurrent_calls: 1,
                ..CarrierPolicy::default()
            },
            "Carrier Concurrent Call Limit Reached",
        ),
        (
            CarrierPolicy {
                cps: 1,
                ..CarrierPolicy::default()
            },
            "Carrier Calls Per Second Limit Reached",
        ),
    ];
    for (policy, reason) in policies {
        with_carriers(&policy, |world| {
            let to = through(PLAIN, OUTSIDE);
            let calls = [(); 2].map(|()| world.call(PBX, &to, Plan::idle()));
            // The other carrier takes other numbers only, and has room.
            let six = through(PLAIN, OUTSIDE_TCP_V6);
            let other = world.call(PBX, &six, Plan::idle());
            world.run(500);
            let refused = calls
                .iter()
                .filter(|call| world.at_call(**call).status() == Some(503));
            let [refused] = refused.collect::<Vec<_>>()[..] else {
                panic!("one of two is refused");
            };
            assert_refused(world, *refused, 503, reason);
            world.run(3_000);
            assert_eq!(world.at_call(other).state, State::Talking);
            for call in calls.into_iter().chain([other]) {
                world.act(call, Act::Bye);
            }
            world.run(1_000);
            let later = call(world);
            assert_eq!(world.at_call(later).state, State::Talking);
            world.act(later, Act::Bye);
        });
    }
}

fn alerts(world: &World) -> Vec<SpendingAlert> {
    let alerts = world.events.iter().filter_map(|event| match event {
        Event::Spending(alert) => Some(*alert),
        _ => None,
    });
    alerts.collect()
}

#[test]
fn the_spending_guard_warns_and_refuses() {
    let spending = |all, to_country| TerminationPolicy {
        spending: SpendingLimits {
            calls_per_hour: all,
            calls_per_hour_to_country: to_country,
            alert_percent: 60,
        },
        ..TerminationPolicy::default()
    };
    let cases = [
        (spending(3, 0), None, "Calls Per Hour Limit Reached"),
        (
            spending(0, 3),
            Some("DE"),
            "Calls Per Hour To This Country Limit Reached",
        ),
    ];
    for (policy, country, reason) in cases {
        with_policy(&policy, |world| {
            // One that is refused later counts nowhere.
            let wrong = Plan {
                from: "+12065550199",
                ..Plan::idle()
            };
            for _ in 0..9 {
                world.call(PBX, &through(PLAIN, OUTSIDE), wrong.clone());
            }
            world.run(1_000);
            for _ in 0..3 {
                let call = call(world);
                assert_eq!(world.at_call(call).state, State::Talking);
                world.act(call, Act::Bye);
            }
            for _ in 0..2 {
                let refused = call(world);
                assert_refused(world, refused, 403, reason);
            }
            let alert = |calls, is_reached| SpendingAlert {
                connector: connector_id(PLAIN),
                country: country.map(|country: &str| country.parse().unwrap()),
                calls,
                limit: 3,
                is_reached,
            };
            assert_eq!(alerts(world), [alert(2, false), alert(3, true)]);
            let elsewhere = world.call(PBX, &through(PLAIN, OUTSIDE_TCP_V6), Plan::idle());
            world.run(3_000);
            let is_talking = world.at_call(elsewhere).state == State::Talking;
            assert_eq!(is_talking, country.is_some());
            world.act(elsewhere, Act::Bye);
        });
    }
}

fn with_password(password: &'static str) -> Plan {
    Plan {
        account: Some((USERNAME, password, "SHA-256")),
        from: OWN_SECRET,
        ..Plan::idle()
    }
}

fn try_password(world: &mut World, agent: usize, password: &'static str) -> CallRef {
    let call = world.call(agent, &through(SECRET, OUTSIDE), with_password(password));
    world.run(2_500);
    call
}

fn guesses(world: &World) -> Vec<(VoiceConnectorId, Duration)> {
    let told = world.events.iter().filter_map(|event| match event {
        Event::PasswordGuessed {
            connector, length, ..
        } => Some((*connector, *length)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_source_that_guesses_is_refused_for_longer_each_time() {
    play(|world| {
        let mut tries = 0;
        while guesses(world).is_empty() {
            let wrong = try_password(world, PBX, "looking-glass");
            assert_refused(world, wrong, 403, "Wrong Credentials");
            tries += 1;
        }
        let shards = world.shards.len();
        assert!((4..=3 * shards + 1).contains(&tries), "{tries}");
        assert_eq!(
            guesses(world),
            [(connector_id(SECRET), Duration::from_secs(8))]
        );
        // On every shard, even with the right password.
        for _ in 0..8 {
            let right = world.call(PBX, &through(SECRET, OUTSIDE), with_password(PASSWORD));
            world.run(100);
            assert_refused(world, right, 403, "Too Many Wrong Credentials");
            let after = world
                .at_call(right)
                .response_header(403, HeaderName::RetryAfter);
            let after: u32 = after.unwrap().parse().unwrap();
            assert!((1..=8).contains(&after));
        }
        // Others are others.
        let spare = try_password(world, PBX_SPARE, PASSWORD);
        assert_eq!(world.at_call(spare).state, State::Talking);
        let plain = call(world);
        assert_eq!(world.at_call(plain).state, State::Talking);
        world.run(8_000);
        let wrong = try_password(world, PBX, "looking-glass");
        assert_refused(world, wrong, 403, "Wrong Credentials");
        assert_eq!(guesses(world)[1].1, Duration::from_secs(16));
        world.run(16_000);
        let right = try_password(world, PBX, PASSWORD);
        assert_eq!(world.at_call(right).state, State::Talking);
        for call in [spare, plain, right] {
            world.act(call, Act::Bye);
        }
    });
}

#[test]
fn nobody_is_locked_out_by_datagrams_in_his_name() {
    play(|world| {
        let to = through(SECRET, OUTSIDE);
        // A neighbour has a nonce, and answers it in another's name with whatever he likes.
        let asked = world.call(PBX_SPARE, &to, from_secret());
        world.run(1_000);
        let challenge = challenge(world, asked);
        let challenge = Challenge::parse(&challenge).unwrap();
        let victim: SocketAddr = world.agents[PBX].source;
        world.unchecked = true;
        for number in 0..50 {
            let answer = answer_to(&challenge, USERNAME, "looking-glass", &to, number + 1);
            let made_up = answer.replace(&*challenge.nonce, "0123456789abcdef");
            for answer in [answer, made_up] {
                world.inject(victim, forged(&to, victim, number, &answer));
            }
        }
        world.run(2_000);
        assert_eq!(guesses(world), []);
        let refusals = world.events.iter();
        let told = refusals.filter(|event| matches!(event, Event::CallRefused { .. }));
        assert_eq!(told.count(), 0, "each was challenged again");
        let stale = world.agents[PBX].strays.len();
        assert_eq!(stale, 100, "and the victim got that");
        let right = try_password(world, PBX, PASSWORD);
        assert_eq!(world.at_call(right).state, State::Talking);
        world.act(right, Act::Bye);
    });
}

#[test]
fn a_nonce_of_somebody_else_is_no_way_to_try_a_password() {
    play(|world| {
        let to = through(SECRET, OUTSIDE);
        let asked = world.call(PBX_SPARE, &to, from_secret());
        world.run(1_000);
        let value = challenge(world, asked);
        let challenge_of_spare = Challenge::parse(&value).unwrap();
        let mut seen = Vec::new();
        for password in [PASSWORD, "looking-glass"] {
            let answer = answer_to(&challenge_of_spare, USERNAME, password, &to, 1);
            let plan = Plan {
                extra: vec![("Proxy-Authorization", answer)],
                ..from_secret()
            };
            let call = world.call(PBX, &to, plan);
            world.run(1_000);
            assert!(Challenge::parse(&challenge(world, call)).unwrap().stale);
            seen.push(world.at_call(call).outcome.clone());
        }
        assert_eq!(seen[0], seen[1], "right and wrong look alike");
    });
}

#[test]
fn a_wrong_answer_that_comes_again_is_one_wrong_answer() {
    play(|world| {
        // The refusal is lost a few times, and the request is sent again.
        let mut lost = 0;
        world.lose = Some(Box::new(move |_, to_gateway, bytes| {
            let is_refusal = !to_gateway && bytes.starts_with(b"SIP/2.0 403");
            lost += usize::from(is_refusal);
            is_refusal && lost % 4 != 0
        }));
        for _ in 0..3 {
            let wrong = world.call(PBX, &through(SECRET, OUTSIDE), with_password("no"));
            world.run(10_000);
            assert_refused(world, wrong, 403, "Wrong Credentials");
        }
        assert_eq!(guesses(world), []);
    });
}

fn from_slow() -> Plan {
    Plan {
        from: "+12065550104",
        ..Plan::idle()
    }
}

fn from_secret() -> Plan {
    Plan {
        from: OWN_SECRET,
        ..Plan::idle()
    }
}

fn challenge(world: &World, at: CallRef) -> String {
    let name = HeaderName::ProxyAuthenticate;
    world.at_call(at).response_header(407, name).unwrap()
}

/// An INVITE with an answer, as if `from` had sent it.
fn forged(to: &str, from: SocketAddr, number: u32, answer: &str) -> String {
    let hash = answer.len();
    format!(
        "INVITE {to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKforged{number}-{hash}\r\nMax-Forwards: 70\r\n\
         From: <sip:{OWN_SECRET}@x>;tag={number}\r\nTo: <{to}>\r\nCall-ID: forged{number}-{hash}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@{from}>\r\nProxy-Authorization: {answer}\r\nContent-Length: 0\r\n\r\n"
    )
}
