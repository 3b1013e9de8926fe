//! Thousands of calls in which both sides do what they like, over a network of any weather.
//!
//! Nothing may be left at the end, no shard may have panicked, every caller got a final response, and
//! who was in an answered call was hung up on.

use std::sync::Arc;
use std::time::Duration;

use trunkline::sip::message::Method;
use trunkline::telemetry::Event;

use crate::agent::call::State;
use crate::agent::plan::{Acks, Act, Plan, Session, ToReinvite, When};
use crate::cast::{
    CARRIER, CARRIER_TCP_V6, OUTSIDE, OUTSIDE_TCP_V6, OWN, OWN_SECRET, OWN_TCP, OWN_V6, PASSWORD,
    PBX, PBX_NAT, PBX_TCP, PBX_V6, PLAIN, SECRET, TCP, USERNAME, V6, agents, inbound, snapshot,
    through,
};
use crate::gateway::Gateway;
use crate::network::{Network, Rng};
use crate::srtp::{ENCRYPTED, set_srtp};
use crate::world::{CallRef, World, seed};

const CALLS: usize = 1_000;
/// Agents hang up at the latest after this long; who has to was forgotten by the gateway.
const PATIENCE_MILLIS: u64 = 600_000;

#[test]
fn calm_weather_one_shard() {
    play(1, 1, Network::CALM);
}

#[test]
fn calm_weather_two_shards() {
    play(2, 2, Network::CALM);
}

#[test]
fn bad_weather_one_shard() {
    play(3, 1, weather(100));
}

#[test]
fn bad_weather_two_shards() {
    play(4, 2, weather(50));
}

#[test]
fn a_storm_over_two_shards() {
    play(5, 2, weather(200));
}

/// Nothing of it is in the clear, which the world looks at.
#[test]
fn bad_weather_for_encrypted_calls() {
    let (gateway, mut snapshot) = (gateway(2), snapshot());
    let gateway = Gateway {
        srtp: ENCRYPTED.policy(),
        ..gateway
    };
    set_srtp(&mut snapshot, &ENCRYPTED.policy());
    let seed = seed().wrapping_add(6);
    let mut world = World::new(&gateway, seed, &Arc::new(snapshot), agents());
    world.network = weather(50);
    for agent in &mut world.agents {
        agent.srtp = ENCRYPTED.srtp;
    }
    let calls = make_calls(&mut world, CALLS / 4, |_| {});
    world.finish();
    check(&world, &calls);
}

/// One table after the other is too small, and peers cannot be reached now and then.
#[test]
fn a_gateway_that_is_full_of_calls() {
    play_short(1, 25, |gateway| gateway.limits.calls_max = 25);
    play_short(2, 24, |gateway| gateway.limits.calls_max = 12);
}

#[test]
fn a_gateway_that_is_full_of_transactions() {
    // An INVITE and a BYE on each leg: four transactions a call.
    play_short(1, 25, |gateway| gateway.limits.transactions_max = 100);
    play_short(2, 30, |gateway| gateway.limits.transactions_max = 60);
}

#[test]
fn a_gateway_that_is_full_of_media() {
    // A port pair on each leg, in either family.
    play_short(1, 30, |gateway| gateway.media_ports = 60);
    play_short(2, 30, |gateway| gateway.media_ports = 30);
}

/// `room` is how many calls have room at once in what is scarce. It is filled within the first calls and stays
/// full for most of the play, so that more are answered than that only as far as calls end.
fn play_short(shards: u8, room: usize, scarce: impl Fn(&mut Gateway)) {
    let mut gateway = gateway(shards);
    scarce(&mut gateway);
    let mut world = World::new(&gateway, seed(), &Arc::new(snapshot()), agents());
    world.network = weather(50);
    let calls = make_calls(&mut world, CALLS, |world| {
        let somebody = world.rng.below(world.agents.len() as u64) as usize;
        world.agents[somebody].unreachable = world.rng.chance(100);
    });
    for agent in &mut world.agents {
        agent.unreachable = false;
    }
    world.finish();
    let count = |status| {
        let calls = calls.iter();
        calls
            .filter(|call| world.at_call(**call).status() == status)
            .count()
    };
    assert!(count(Some(503)) > CALLS / 50, "nothing was scarce");
    // As in `check`: peers answer more than a quarter of what reaches them.
    let answered = count(Some(200));
    assert!(answered > room / 4, "{answered} answered, room for {room}");
    // A final response that could not be sent is not sent again (RFC 3261 §17.2.1).
    assert!(count(None) < CALLS / 10, "callers have no final response");
}

fn weather(loss: u64) -> Network {
    Network {
        loss,
        duplication: loss / 4,
        reordering: loss,
        latency: Duration::from_millis(30),
    }
}

fn play(number: u64, shards: u8, network: Network) {
    let gateway = gateway(shards);
    let seed = seed().wrapping_add(number);
    let mut world = World::new(&gateway, seed, &Arc::new(snapshot()), agents());
    world.network = network;
    let calls = make_calls(&mut world, CALLS, |_| {});
    world.finish();
    check(&world, &calls);
}

fn gateway(shards: u8) -> Gateway {
    Gateway {
        media_ports: 1_500,
        media_timeout: Duration::from_secs(120),
        transfers: true,
        ..Gateway::new(shards)
    }
}

/// One call after the other, and something between them.
fn make_calls(world: &mut World, count: usize, between: impl Fn(&mut World)) -> Vec<CallRef> {
    for agent in &mut world.agents {
        agent.random_plan = Some(called_plan);
    }
    let mut calls: Vec<CallRef> = Vec::with_capacity(count);
    for _ in 0..count {
        let call = random_call(world);
        calls.push(call);
        between(world);
        let pause = world.rng.below(60);
        world.run(pause);
        for _ in 0..4 {
            let somebody = *world.rng.pick(&calls);
            world.send_rtp(somebody);
        }
    }
    calls
}

fn check(world: &World, calls: &[CallRef]) {
    let count = calls.len();
    let mut answered = 0;
    for call in calls {
        let call = world.at_call(*call);
        assert!(call.outcome.is_some(), "{} has no final response", call.id);
        answered += usize::from(call.status() == Some(200));
    }
    assert!(answered > count / 4, "only {answered} calls were answered");
    let is_transfer = |event: &&Event| matches!(event, Event::CallTransferred { status: 200, .. });
    let transfers = world.events.iter().filter(is_transfer).count();
    assert!(transfers > count / 200, "only {transfers} transfers");
    let everybody = world.agents.iter().flat_map(|agent| &agent.calls);
    let mut forgotten = 0;
    for call in everybody.filter(|call| call.answered_at.is_some()) {
        assert_eq!(call.state, State::Over);
        assert!(call.hung_up.is_some(), "{} was not hung up", call.id);
        // A call on hold may last; but where the gateway knows no call any more, its BYE should have
        // come. All eleven copies of one may get lost, rarely.
        let in_vain = call.patience_ended && call.bye_answer != Some(200);
        forgotten += usize::from(in_vain && call.count(Method::Bye) == 0);
    }
    assert!(
        forgotten <= count.div_ceil(500),
        "{forgotten} were forgotten"
    );
}

fn random_call(world: &mut World) -> CallRef {
    let ways: [(usize, &'static str, String); 10] = [
        (PBX, OWN, through(PLAIN, OUTSIDE)),
        (PBX, OWN, through(PLAIN, OUTSIDE_TCP_V6)),
        (PBX, OWN_SECRET, through(SECRET, OUTSIDE)),
        (PBX_TCP, OWN_TCP, through(TCP, OUTSIDE)),
        (PBX_V6, OWN_V6, through(V6, OUTSIDE_TCP_V6)),
        (PBX_NAT, OWN, through(PLAIN, OUTSIDE)),
        (CARRIER, OUTSIDE, inbound(OWN)),
        (CARRIER, OUTSIDE, inbound(OWN_TCP)),
        (CARRIER, OUTSIDE, inbound(OWN_V6)),
        (CARRIER_TCP_V6, OUTSIDE_TCP_V6, inbound(OWN)),
    ];
    let (agent, from, to) = world.rng.pick(&ways).clone();
    let mut plan = calling_plan(&mut world.rng);
    plan.from = from;
    if from == OWN_SECRET {
        let algorithm = *world.rng.pick(&["MD5", "SHA-256"]);
        plan.account = Some((USERNAME, PASSWORD, algorithm));
    }
    world.call(agent, &to, plan)
}

fn calling_plan(rng: &mut Rng) -> Plan {
    let mut plan = talking_plan(rng);
    plan.late_offer = rng.chance(150);
    if rng.chance(400) {
        let field = *rng.pick(&["Supported", "Require"]);
        plan.extra.push((field, "100rel".to_owned()));
        plan.no_prack = rng.chance(50);
    }
    if rng.chance(200) {
        let after = rng.below(4_000);
        plan = plan.then(When::Invited, after, Act::Cancel);
    }
    if rng.chance(30) {
        plan.acks = Acks::None;
    }
    plan.then(When::Invited, PATIENCE_MILLIS, Act::Leave)
}

fn called_plan(rng: &mut Rng) -> Plan {
    let mut plan = talking_plan(rng);
    if rng.chance(50) {
        plan.deaf = true;
        return plan;
    }
    for _ in 0..rng.below(3) {
        let after = rng.below(3_000);
        let act = rng
            .pick(&[
                Act::Answer(180),
                Act::Answer(100),
                Act::EarlyMedia,
                Act::ForkedMedia,
                Act::Reliable(180),
                Act::Reliable(183),
            ])
            .clone();
        plan = plan.then(When::Invited, after, act);
    }
    let failures = [400, 404, 480, 486, 488, 500, 503, 600, 603];
    let last = match rng.below(100) {
        0..70 => Act::Answer(200),
        70..73 => Act::BareOk,
        73..95 => Act::Answer(*rng.pick(&failures)),
        // Rings until somebody has had enough.
        _ => Act::Answer(180),
    };
    let after = rng.below(7_000);
    plan.then(When::Invited, after, last)
        .then(When::Invited, PATIENCE_MILLIS, Act::Answer(480))
}

/// What either side may do once the call is answered.
fn talking_plan(rng: &mut Rng) -> Plan {
    let mut plan = Plan::idle();
    plan.record_route = rng.chance(200);
    plan.takes_update = rng.chance(500);
    plan.to_reinvite = match rng.below(100) {
        0..80 => ToReinvite::Accept,
        80..90 => ToReinvite::Refuse(*rng.pick(&[488, 491, 500, 503, 408])),
        90..95 => ToReinvite::Ring,
        _ => ToReinvite::Ignore,
    };
    for _ in 0..rng.below(4) {
        let session = *rng.pick(&[
            Session::Direction("sendonly"),
            Session::Direction("inactive"),
            Session::Direction("sendrecv"),
            Session::Moved,
            Session::Late,
            Session::Same,
            Session::Rekeyed,
        ]);
        // Often at the same time on both sides.
        let after = 1_000 * rng.below(20) + rng.below(40);
        let act = match rng.chance(300) {
            true => Act::Update(session),
            false => Act::Reinvite(session),
        };
        plan = plan.then(When::Answered, after, act);
    }
    if rng.chance(50) {
        let after = rng.below(10_000);
        plan = plan.then(When::Answered, after, Act::Cancel);
    }
    if rng.chance(150) {
        let after = 1_000 * rng.below(20) + rng.below(40);
        let number = *rng.pick(&[OUTSIDE, OUTSIDE_TCP_V6, OWN, OWN_TCP]);
        plan = plan.then(When::Answered, after, Act::Refer(number));
    }
    if rng.chance(600) {
        let after = rng.below(40_000);
        plan = plan.then(When::Answered, after, Act::Bye);
    }
    plan.then(When::Answered, PATIENCE_MILLIS, Act::Leave)
}
