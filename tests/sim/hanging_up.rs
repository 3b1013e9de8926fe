//! BYE from either side, and 2xx that nobody acknowledges.

use trunkline::sip::message::Method;
use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::By;
use crate::agent::plan::{Acks, Act, Plan, When};
use crate::cast::both_ways;
use crate::world::World;

fn cause(world: &World) -> EndCause {
    match world.events.last().unwrap() {
        Event::CallEnded { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_called_side_hangs_up() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(b).bye_answer, Some(200));
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(cause(world), EndCause::CalledHungUp);
    });
}

#[test]
fn both_hang_up_at_once() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(a, Act::Bye);
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
        let other = world.at_call(b).bye_answer;
        assert!(matches!(other, Some(200 | 481)), "{other:?}");
    });
}

#[test]
fn a_bye_that_comes_before_the_ack_waits_for_it_on_the_other_side() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        // The first two ACKs of the caller get lost.
        let mut lost = 0;
        let mark = world.agents[caller].mark.clone();
        world.lose = Some(Box::new(move |_, to_gateway, bytes| {
            let from_caller = memchr::memmem::find(bytes, mark.as_bytes()).is_some();
            let is_lost = to_gateway && from_caller && bytes.starts_with(b"ACK") && lost < 2;
            lost += usize::from(is_lost);
            is_lost
        }));
        let (a, b) = world.establish_unacknowledged(caller, called, to);
        world.act(b, Act::Bye);
        world.run(100);
        assert_eq!(world.at_call(b).bye_answer, Some(200));
        assert_eq!(world.at_call(a).count(Method::Bye), 0, "RFC 3261 §15");
        world.run(5_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
    });
}

#[test]
fn nothing_more_is_sent_to_a_caller_that_hung_up_without_acknowledging() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let plan = Plan {
            acks: Acks::None,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(1_100);
        let b = world.last_call(called);
        world.act(b, Act::Bye);
        world.run(100);
        world.act(a, Act::Bye);
        world.run(100);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
        let before = world.at_call(a).heard.len();
        world.run(60_000);
        assert_eq!(world.at_call(a).heard.len(), before);
    });
}

#[test]
fn a_lost_ack_brings_the_200_again() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let mut lost = 0;
        world.lose = Some(Box::new(move |_, to_gateway, bytes| {
            let is_lost = to_gateway && bytes.starts_with(b"ACK") && lost < 3;
            lost += usize::from(is_lost);
            is_lost
        }));
        let a = world.call(caller, to, Plan::idle());
        world.run(20_000);
        let b = world.last_call(called);
        let successes = world.at_call(a).heard.iter().filter(|message| {
            matches!(message, trunkline::sip::message::Message::Response(response)
                if response.status == 200)
        });
        assert_eq!(successes.count(), 4);
        assert_eq!(world.at_call(b).hung_up, None);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_200_that_is_never_acknowledged_ends_the_call_on_both_sides() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let plan = Plan {
            acks: Acks::None,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(32_500);
        let b = world.last_call(called);
        assert_eq!(world.at_call(b).hung_up, None);
        world.run(3_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        assert_eq!(cause(world), EndCause::NoAck);
    });
}

#[test]
fn a_late_offer_that_is_never_acknowledged_leaves_no_side_behind() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let plan = Plan {
            acks: Acks::None,
            late_offer: true,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(40_000);
        let b = world.last_call(called);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert!(world.at_call(b).hung_up.is_some());
    });
}

#[test]
fn the_called_side_that_hears_no_ack_hangs_up() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        world.lose = Some(Box::new(|_, to_gateway, bytes| {
            !to_gateway && bytes.starts_with(b"ACK")
        }));
        let a = world.call(caller, to, Plan::idle());
        world.run(40_000);
        let b = world.last_call(called);
        assert_eq!(world.at_call(b).hung_up, Some(By::Us));
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
    });
}

#[test]
fn a_bye_within_no_dialog_is_answered_481() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (a, _) = world.establish(caller, called, to);
        world.act(a, Act::Bye);
        world.run(60_000);
        world.with_agent(caller, |agent, hands| agent.hang_up_early(a.call, hands));
        world.run(1_000);
        assert_eq!(world.at_call(a).bye_answer, Some(481));
    });
}

#[test]
fn hanging_up_while_a_reinvite_is_under_way_ends_both() {
    let plan = Plan {
        to_reinvite: crate::agent::plan::ToReinvite::Ring,
        ..Plan::answers()
    };
    both_ways(&plan, |world, caller, called, to| {
        let held = Act::Reinvite(crate::agent::plan::Session::Direction("sendonly"));
        let plan = Plan::idle().then(When::Answered, 1_000, held);
        let a = world.call(caller, to, plan);
        world.run(3_000);
        let b = world.last_call(called);
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).reinvite_answers, [487]);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
    });
}
