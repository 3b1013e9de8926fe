//! Keys of the forks of one INVITE, and of the next place.

use trunkline::config::Suite;

use crate::agent::call::State;
use crate::agent::plan::{Act, Plan, Session, ToReinvite, When};
use crate::cast::{CARRIER_SPARE, PBX, PBX_SPARE};
use crate::packets::Kind;
use crate::srtp::{ENCRYPTED, PLAIN, play_parties};
use crate::world::{CallRef, World};

#[test]
fn a_fork_that_answers_later_has_keys_of_its_own() {
    for (customer, carrier) in [(ENCRYPTED, PLAIN), (ENCRYPTED, ENCRYPTED)] {
        play_parties(customer, carrier, |world, caller, called, to| {
            world.agents[called].plan = Plan::idle()
                .then(When::Invited, 100, Act::EarlyMedia)
                .then(When::Invited, 500, Act::ForkedMedia)
                .then(When::Invited, 2_000, Act::Answer(200));
            let a = world.call(caller, to, Plan::idle());
            world.run(300);
            let b = world.last_call(called);
            world.assert_talk(a, b);
            world.run(700);
            world.assert_talk(a, b);
            world.run(2_000);
            assert_eq!(world.at_call(a).state, State::Talking);
            world.assert_talk(a, b);
            world.act(a, Act::Bye);
        });
    }
}

/// A call whose first fork has answered for sure, before anybody takes it; the caller does this with an UPDATE.
fn in_early_dialog(
    world: &mut World,
    (caller, called, to): (usize, usize, &str),
    to_update: ToReinvite,
) -> (CallRef, CallRef) {
    let mut plan = Plan::idle().then(When::Invited, 100, Act::Reliable(183));
    plan.takes_update = true;
    world.agents[called].plan = plan;
    let mut plan = Plan::idle();
    plan.takes_update = true;
    plan.to_reinvite = to_update;
    plan.extra.push(("Supported", "100rel".to_owned()));
    let a = world.call(caller, to, plan);
    world.run(500);
    (a, world.last_call(called))
}

#[test]
fn forks_that_only_ring_take_nobody_s_place() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        let (a, b) = in_early_dialog(world, (caller, called, to), ToReinvite::Accept);
        for _ in 0..20 {
            world.act(b, Act::ForkedRinging);
            world.run(50);
        }
        world.act(b, Act::ForkedMedia);
        world.run(500);
        world.assert_talk(a, b);
        world.act(a, Act::Cancel);
        world.run(40_000);
    });
}

#[test]
fn a_fork_is_spoken_with_by_the_keys_it_was_offered_whatever_another_has_changed() {
    for customer in [ENCRYPTED, PLAIN] {
        play_parties(customer, ENCRYPTED, |world, caller, called, to| {
            let (a, b) = in_early_dialog(world, (caller, called, to), ToReinvite::Accept);
            world.act(b, Act::Update(Session::Rekeyed));
            world.run(500);
            assert_eq!(world.at_call(b).update_answers, [200]);
            world.assert_talk(a, b);
            world.act(b, Act::ForkedMedia);
            world.run(500);
            world.assert_talk(a, b);
            // The first one takes the call, and goes on with what it has changed.
            world.act(b, Act::BareOk);
            world.run(500);
            assert_eq!(world.at_call(a).state, State::Talking);
            world.assert_talk(a, b);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn an_offer_on_its_way_ends_with_its_fork() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        let (a, b) = in_early_dialog(world, (caller, called, to), ToReinvite::Ignore);
        world.act(b, Act::Update(Session::Rekeyed));
        world.run(200);
        assert!(world.at_call(b).update_answers.is_empty());
        world.act(b, Act::ForkedMedia);
        world.run(500);
        assert_eq!(world.at_call(b).update_answers, [491]);
        world.assert_talk(a, b);
        world.act(a, Act::Cancel);
        world.run(40_000);
    });
}

#[test]
fn the_next_place_gets_keys_of_its_own() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        world.agents[called].plan = Plan::idle().then(When::Invited, 100, Act::EarlyMedia).then(
            When::Invited,
            1_000,
            Act::Answer(503),
        );
        let a = world.call(caller, to, Plan::idle());
        world.run(500);
        let first = world.last_call(called);
        world.assert_talk(a, first);
        let seen = |world: &World, at: CallRef| {
            let theirs = &world.at_call(at).security.theirs;
            let keys = theirs.iter().map(|line| line.key.bytes().to_vec());
            keys.collect::<Vec<_>>()
        };
        let told = seen(world, first);
        world.run(2_500);
        let spare = if called == PBX {
            PBX_SPARE
        } else {
            CARRIER_SPARE
        };
        let b = world.last_call(spare);
        assert_eq!(world.at_call(a).state, State::Talking);
        let keys = seen(world, b);
        assert!(keys.len() == Suite::ALL.len() && keys.iter().all(|key| !told.contains(key)));
        world.assert_talk(a, b);
        assert!(!world.is_heard(first, a, Kind::AUDIO), "who has failed");
        world.act(a, Act::Bye);
    });
}
