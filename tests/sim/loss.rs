//! Every single message of a call lost in turn, and every one twice.

use crate::agent::call::{By, State};
use crate::agent::plan::{Act, Plan, Session, When};
use crate::cast::{OUTSIDE, OWN_SECRET, PASSWORD, PBX, SECRET, USERNAME, play, through, ways};
use crate::world::{CallRef, World};

/// Plays a call again and again, each time with another message lost, until there is none left to lose.
fn with_every_message_lost(
    caller: usize,
    to: &str,
    called_side: (usize, &Plan),
    calling: &Plan,
    check: impl Fn(&mut World, CallRef),
) {
    let mut lost = 0;
    loop {
        let sent = std::cell::Cell::new(0);
        play(|world| {
            let (called, plan) = called_side;
            world.agents[called].plan = plan.clone();
            world.lose = Some(Box::new(move |number, _, _| number == lost));
            let a = world.call(caller, to, calling.clone());
            world.run(90_000);
            check(world, a);
            world.run_until_quiet();
            sent.set(world.datagrams);
        });
        lost += 1;
        if lost > sent.get() {
            break;
        }
    }
    assert!(lost > 8, "there were messages to lose");
}

#[test]
fn a_whole_call_survives_the_loss_of_any_message() {
    for (caller, called, to) in ways() {
        for late_offer in [false, true] {
            let calling = Plan {
                late_offer,
                ..Plan::idle()
                    .then(
                        When::Answered,
                        10_000,
                        Act::Reinvite(Session::Direction("sendonly")),
                    )
                    .then(When::Answered, 30_000, Act::Bye)
            };
            let called_side =
                Plan::answers().then(When::Answered, 20_000, Act::Reinvite(Session::Moved));
            with_every_message_lost(caller, &to, (called, &called_side), &calling, |world, a| {
                let b = world.last_call(called);
                assert_eq!(world.agents[called].calls.len(), 1);
                assert_eq!(world.at_call(a).status(), Some(200));
                assert_eq!(world.at_call(a).reinvite_answers, [200]);
                assert_eq!(world.at_call(b).reinvite_answers, [200]);
                assert_eq!(world.at_call(a).bye_answer, Some(200));
                assert_eq!(world.at_call(b).hung_up, Some(By::Them));
            });
        }
    }
}

#[test]
fn a_cancelled_call_survives_the_loss_of_any_message() {
    for (caller, called, to) in ways() {
        let called_side = Plan::idle().then(When::Invited, 100, Act::Answer(180));
        let calling = Plan::idle().then(When::Invited, 1_000, Act::Cancel);
        with_every_message_lost(caller, &to, (called, &called_side), &calling, |world, a| {
            let b = world.last_call(called);
            assert_eq!(world.at_call(a).status(), Some(487));
            assert_eq!(world.at_call(b).status(), Some(487));
        });
    }
}

#[test]
fn a_refused_call_survives_the_loss_of_any_message() {
    for (caller, called, to) in ways() {
        let calling = Plan::idle();
        with_every_message_lost(caller, &to, (called, &busy()), &calling, |world, a| {
            assert_eq!(world.at_call(a).status(), Some(486));
            assert_eq!(world.agents[called].calls.len(), 1);
        });
    }
}

fn busy() -> Plan {
    Plan::idle()
        .then(When::Invited, 100, Act::Answer(180))
        .then(When::Invited, 1_000, Act::Answer(486))
}

#[test]
fn a_challenged_call_survives_the_loss_of_any_message() {
    let (_, called, _) = ways()[0];
    let calling = Plan {
        account: Some((USERNAME, PASSWORD, "SHA-256")),
        from: OWN_SECRET,
        ..Plan::idle().then(When::Answered, 5_000, Act::Bye)
    };
    let to = through(SECRET, OUTSIDE);
    with_every_message_lost(
        PBX,
        &to,
        (called, &Plan::answers()),
        &calling,
        |world, a| {
            assert_eq!(world.at_call(a).status(), Some(200));
            assert_eq!(world.at_call(a).bye_answer, Some(200));
        },
    );
}

#[test]
fn a_network_that_delivers_everything_twice_changes_nothing() {
    for (caller, called, to) in ways() {
        play(|world| {
            world.network.duplication = 1_000;
            let (a, b) = world.establish(caller, called, &to);
            world.act(a, Act::Reinvite(Session::Moved));
            world.run(1_000);
            world.act(b, Act::Reinvite(Session::Late));
            world.run(1_000);
            assert_eq!(world.at_call(a).reinvite_answers, [200]);
            assert_eq!(world.at_call(b).reinvite_answers, [200]);
            assert_eq!(world.at_call(a).reinvites, 1);
            world.act(b, Act::Bye);
            world.run(1_000);
            assert_eq!(world.at_call(a).state, State::Over);
            assert_eq!(world.agents[called].calls.len(), 1);
            let calls = world.shards.iter().map(|shard| shard.counters().calls);
            assert_eq!(calls.sum::<u64>(), 1);
        });
    }
}
