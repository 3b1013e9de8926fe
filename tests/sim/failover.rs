//! Places tried one after another, failures passed on, timer C.

use trunkline::sip::message::Method;

use crate::agent::call::State;
use crate::agent::plan::{Act, Plan, When};
use crate::cast::{
    CARRIER, CARRIER_SPARE, OUTSIDE, OWN, PBX, PBX_SPARE, PLAIN, inbound, play, through,
};
use crate::world::World;

/// Caller, first place, second place, Request-URI.
fn ways() -> [(usize, usize, usize, String); 2] {
    [
        (PBX, CARRIER, CARRIER_SPARE, through(PLAIN, OUTSIDE)),
        (CARRIER, PBX, PBX_SPARE, inbound(OWN)),
    ]
}

/// Plays both ways, with these plans at the first and the second place.
fn places(first: &Plan, second: &Plan, scenario: impl Fn(&mut World, [usize; 3], &str)) {
    for (caller, one, two, to) in ways() {
        play(|world| {
            world.agents[one].plan = first.clone();
            world.agents[two].plan = second.clone();
            scenario(world, [caller, one, two], &to);
        });
    }
}

#[test]
fn failures_reach_the_caller() {
    for status in [
        400, 403, 404, 405, 410, 415, 433, 486, 488, 501, 600, 603, 604, 606,
    ] {
        places(
            &Plan::says(status),
            &Plan::answers(),
            |world, [caller, one, two], to| {
                let a = world.call(caller, to, Plan::idle());
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(status));
                assert_eq!(world.agents[one].calls.len(), 1);
                assert!(world.agents[two].calls.is_empty(), "{status} is final");
            },
        );
    }
}

#[test]
fn what_is_between_the_gateway_and_the_place_stays_there() {
    for (said, heard) in [(302, 480), (401, 502), (407, 502)] {
        places(
            &Plan::says(said),
            &Plan::answers(),
            |world, [caller, ..], to| {
                let a = world.call(caller, to, Plan::idle());
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(heard));
            },
        );
    }
}

#[test]
fn places_out_of_service_are_passed_over() {
    for status in [408, 430, 480, 500, 502, 503, 504] {
        places(
            &Plan::says(status),
            &Plan::answers(),
            |world, [caller, one, two], to| {
                let a = world.call(caller, to, Plan::idle());
                world.run(3_000);
                assert_eq!(world.at_call(a).state, State::Talking);
                assert_eq!(world.agents[one].calls[0].status(), Some(status));
                assert_eq!(world.agents[two].calls.len(), 1);
                world.act(a, Act::Bye);
            },
        );
    }
}

#[test]
fn a_place_that_rings_and_then_fails_is_passed_over() {
    let plan = Plan::idle().then(When::Invited, 100, Act::EarlyMedia).then(
        When::Invited,
        2_000,
        Act::Answer(503),
    );
    places(&plan, &Plan::answers(), |world, [caller, _, two], to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(6_000);
        let b = world.last_call(two);
        assert_eq!(world.at_call(a).state, State::Talking);
        assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
        world.act(b, Act::Bye);
    });
}

#[test]
fn a_silent_place_is_passed_over_and_cancelled_when_it_wakes() {
    places(
        &Plan::deaf(),
        &Plan::answers(),
        |world, [caller, one, two], to| {
            let a = world.call(caller, to, Plan::idle());
            world.run(4_900);
            assert!(world.agents[two].calls.is_empty());
            world.run(3_000);
            assert_eq!(world.at_call(a).state, State::Talking);
            assert!(world.agents[one].calls[0].count(Method::Invite) > 2);
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn a_place_that_answers_after_it_was_passed_over_is_hung_up() {
    let late = Plan::idle().then(When::Invited, 5_500, Act::Answer(200));
    places(&late, &Plan::answers(), |world, [caller, one, two], to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(10_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        let late = &world.agents[one].calls[0];
        assert_eq!(late.status(), Some(200));
        assert!(late.acknowledged);
        assert_eq!(late.count(Method::Bye), 1);
        assert_eq!(world.agents[two].calls[0].state, State::Talking);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_place_that_rings_after_it_was_passed_over_is_cancelled() {
    let late = Plan::idle().then(When::Invited, 5_500, Act::Answer(180));
    places(&late, &Plan::answers(), |world, [caller, one, _], to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(10_000);
        assert_eq!(world.agents[one].calls[0].count(Method::Cancel), 1);
        assert_eq!(world.agents[one].calls[0].status(), Some(487));
        assert_eq!(world.at_call(a).state, State::Talking);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_place_that_cannot_be_reached_is_passed_over() {
    places(
        &Plan::answers(),
        &Plan::answers(),
        |world, [caller, one, _], to| {
            world.agents[one].unreachable = true;
            let a = world.call(caller, to, Plan::idle());
            world.run(2_000);
            assert_eq!(world.at_call(a).state, State::Talking);
            assert!(world.agents[one].calls.is_empty());
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn when_every_place_has_failed_the_best_failure_is_told() {
    let cases = [
        ((503, 480), 480),
        ((480, 503), 480),
        ((503, 503), 500),
        ((500, 486), 486),
    ];
    for ((first, second), told) in cases {
        places(
            &Plan::says(first),
            &Plan::says(second),
            |world, [caller, ..], to| {
                let a = world.call(caller, to, Plan::idle());
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(told), "{first} {second}");
            },
        );
    }
}

#[test]
fn silence_everywhere_is_a_timeout() {
    places(&Plan::deaf(), &Plan::deaf(), |world, [caller, ..], to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(9_000);
        assert_eq!(world.at_call(a).status(), None);
        world.run(2_000);
        assert_eq!(world.at_call(a).status(), Some(408));
    });
}

#[test]
fn timer_c_ends_a_call_that_only_rings() {
    let rings = Plan::idle().then(When::Invited, 100, Act::Answer(180));
    places(&rings, &Plan::answers(), |world, [caller, one, two], to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(184_000);
        assert_eq!(world.at_call(a).status(), None);
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(408));
        assert_eq!(world.agents[one].calls[0].status(), Some(487));
        assert!(world.agents[two].calls.is_empty());
    });
}

#[test]
fn every_provisional_response_starts_timer_c_again() {
    let mut plan = Plan::idle();
    for minute in 0..9 {
        plan = plan.then(When::Invited, minute * 60_000 + 100, Act::Answer(180));
    }
    let plan = plan.then(When::Invited, 600_000, Act::Answer(200));
    places(&plan, &Plan::answers(), |world, [caller, ..], to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(601_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        world.act(a, Act::Bye);
    });
}

/// Two routes of one carrier lead to its first host: one for a prefix, one for all numbers.
fn with_two_routes(gateway: impl Fn(&mut crate::gateway::Gateway), scenario: impl Fn(&mut World)) {
    crate::cast::play_with(
        gateway,
        |snapshot| {
            let mut carriers = crate::cast::carriers();
            let catch_all = carriers[0].routes[0].clone();
            let german = trunkline::config::CarrierRoute {
                prefix: "49".parse().unwrap(),
                ..catch_all
            };
            carriers[0].routes.insert(0, german);
            snapshot.set_carriers(carriers);
        },
        scenario,
    );
}

#[test]
fn a_place_of_two_routes_is_tried_once() {
    for status in [503, 480] {
        with_two_routes(
            |_| {},
            |world| {
                world.agents[CARRIER].plan = Plan::says(status);
                world.agents[CARRIER_SPARE].plan = Plan::answers();
                let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(200));
                assert_eq!(world.agents[CARRIER].calls.len(), 1);
                world.act(a, Act::Bye);
            },
        );
    }
}

#[test]
fn a_transfer_tries_a_place_of_two_routes_once() {
    with_two_routes(
        |gateway| gateway.transfers = true,
        |world| {
            world.agents[CARRIER].plan = Plan::says(480);
            world.agents[CARRIER_SPARE].plan = Plan::answers();
            let (a, b) = world.establish(CARRIER_SPARE, PBX, &inbound(OWN));
            crate::transfers::refer_to(world, b, &format!("sip:{OUTSIDE}@198.51.100.1"));
            world.run(3_000);
            assert_eq!(world.agents[CARRIER].calls.len(), 1);
            assert_eq!(world.agents[CARRIER_SPARE].calls.len(), 2);
            world.act(a, Act::Bye);
            world.run(1_000);
        },
    );
}
