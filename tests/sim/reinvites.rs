//! Re-INVITEs from either side: hold, resume, moved media, glare, refusal, CANCEL.

use std::time::Duration;

use trunkline::sip::message::{HeaderName, Method};

use crate::agent::call::{By, State};
use crate::agent::plan::{Acks, Act, Plan, Session, ToReinvite};
use crate::cast::{CARRIER_SPARE, both_ways, play, play_with, ways};
use crate::world::{CallRef, World};

/// Plays for calls both ways, and in each for both sides as the one that sends the re-INVITE.
fn each_side(scenario: impl Fn(&mut World, CallRef, CallRef)) {
    each_side_with(Plan::answers(), scenario);
}

fn each_side_with(called_side: Plan, scenario: impl Fn(&mut World, CallRef, CallRef)) {
    for (caller, called, to) in ways() {
        for by_caller in [true, false] {
            play(|world| {
                world.agents[called].plan = called_side.clone();
                let (a, b) = world.establish(caller, called, &to);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                world.agents[a.agent].calls[a.call].plan.to_reinvite = called_side.to_reinvite;
                scenario(world, one, other);
                world.act(one, Act::Bye);
            });
        }
    }
}

#[test]
fn hold_and_resume() {
    each_side(|world, one, other| {
        world.act(one, Act::Reinvite(Session::Direction("sendonly")));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [200]);
        assert_eq!(world.at_call(other).remote_direction, "sendonly");
        assert_eq!(world.at_call(one).remote_direction, "recvonly");
        world.act(one, Act::Reinvite(Session::Direction("sendrecv")));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [200, 200]);
        assert_eq!(world.at_call(other).remote_direction, "sendrecv");
        assert_eq!(world.at_call(one).remote_direction, "sendrecv");
        assert_eq!(world.at_call(other).reinvites, 2);
        assert!(world.send_rtp(one).is_some() && world.send_rtp(other).is_some());
    });
}

#[test]
fn media_follows_to_another_port() {
    each_side(|world, one, other| {
        assert!(world.send_rtp(one).is_some() && world.send_rtp(other).is_some());
        let before = world.at_call(one).media_port;
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        let after = world.at_call(one).media_port;
        assert_ne!(before, after);
        let to = world.send_rtp(other).expect("media goes on");
        assert_eq!(to.port(), after);
        assert!(world.send_rtp(one).is_some());
    });
}

#[test]
fn a_late_offer_is_carried_across() {
    each_side(|world, one, other| {
        world.act(one, Act::Reinvite(Session::Late));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [200]);
        let acks = world.at_call(other).count(Method::Ack);
        assert!(acks >= 1);
        assert!(world.at_call(other).acknowledged);
        assert!(world.send_rtp(one).is_some() && world.send_rtp(other).is_some());
    });
}

#[test]
fn of_two_that_meet_one_waits_in_the_gateway_and_gets_through() {
    each_side(|world, one, other| {
        let before = world.now;
        world.act(one, Act::Reinvite(Session::Moved));
        world.act(other, Act::Reinvite(Session::Direction("sendonly")));
        world.run(1);
        while world.at_call(one).reinvite_answers.is_empty() {
            world.run(10);
        }
        // RFC 3261 §14.1: 2.1 to 4 s on a leg whose Call-ID is ours, 0 to 2 s on the other.
        let waited = world.now.since(before).as_millis();
        assert!(waited < 4_100, "{waited} ms");
        assert_eq!(world.at_call(one).reinvite_answers, [200]);
        assert_eq!(world.at_call(other).reinvite_answers, [491]);
        assert_eq!(world.at_call(other).reinvites, 2);
        assert_eq!(world.at_call(one).state, State::Talking);
    });
}

#[test]
fn one_that_meets_another_again_and_again_is_told_so() {
    let plan = Plan {
        to_reinvite: ToReinvite::Refuse(491),
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(9_000);
        assert_eq!(world.at_call(one).reinvite_answers, [491]);
        assert_eq!(world.at_call(other).reinvites, 3);
        assert_eq!(world.at_call(other).hung_up, None);
    });
}

#[test]
fn one_that_waits_can_be_cancelled() {
    let plan = Plan {
        to_reinvite: ToReinvite::Refuse(491),
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        while world.at_call(other).reinvites == 0 {
            world.run(1);
        }
        world.run(25);
        world.act(one, Act::Cancel);
        world.run(9_000);
        assert_eq!(world.at_call(one).reinvite_answers, [487]);
        assert_eq!(world.at_call(other).hung_up, None);
    });
}

#[test]
fn one_that_waits_gives_way_to_the_other_sides() {
    each_side(|world, one, other| {
        world.agents[other.agent].calls[other.call].plan.to_reinvite = ToReinvite::Refuse(491);
        world.act(one, Act::Reinvite(Session::Moved));
        while world.at_call(other).reinvites == 0 {
            world.run(1);
        }
        world.run(22);
        world.act(other, Act::Reinvite(Session::Direction("sendonly")));
        world.run(9_000);
        let outcomes = (
            world.at_call(one).reinvite_answers.clone(),
            world.at_call(other).reinvite_answers.clone(),
        );
        assert_eq!(outcomes, (vec![491], vec![200]));
    });
}

#[test]
fn one_that_says_the_same_again_does_not_reach_the_other_side() {
    each_side(|world, one, other| {
        world.act(one, Act::Reinvite(Session::Same));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [200]);
        assert_eq!(world.at_call(other).reinvites, 0);
        assert!(world.send_rtp(one).is_some() && world.send_rtp(other).is_some());
        // What has changed since is no repetition any more.
        world.act(one, Act::Reinvite(Session::Direction("sendonly")));
        world.run(1_000);
        assert_eq!(world.at_call(other).reinvites, 1);
    });
}

#[test]
fn one_that_is_refused_changes_nothing() {
    let plan = Plan {
        to_reinvite: ToReinvite::Refuse(488),
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        let port = world.at_call(one).media_port;
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [488]);
        assert_eq!(world.at_call(other).hung_up, None);
        assert_eq!(world.send_rtp(other).expect("media goes on").port(), port);
    });
}

#[test]
fn a_503_to_one_does_not_say_that_the_gateway_is_out_of_service() {
    let plan = Plan {
        to_reinvite: ToReinvite::Refuse(503),
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [500]);
        assert_eq!(world.at_call(other).hung_up, None);
    });
}

#[test]
fn one_that_finds_no_dialog_ends_the_call() {
    let plan = Plan {
        to_reinvite: ToReinvite::Refuse(481),
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        assert_eq!(world.at_call(other).count(Method::Bye), 0);
        // What is gone at the gateway is not gone at the agent that only says so.
        world.act(other, Act::Bye);
    });
}

#[test]
fn one_that_is_never_answered_ends_the_call_on_both_sides() {
    let plan = Plan {
        to_reinvite: ToReinvite::Ignore,
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(40_000);
        assert_eq!(world.at_call(one).reinvite_answers, [408]);
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        assert_eq!(world.at_call(other).hung_up, Some(By::Them));
    });
}

#[test]
fn one_that_only_rings_is_cancelled_by_timer_c() {
    let plan = Plan {
        to_reinvite: ToReinvite::Ring,
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(180_000);
        assert!(world.at_call(one).reinvite_answers.is_empty());
        world.run(10_000);
        assert_eq!(world.at_call(one).reinvite_answers, [487]);
        assert_eq!(world.at_call(other).count(Method::Cancel), 1);
        assert_eq!(world.at_call(other).hung_up, None);
    });
}

#[test]
fn one_that_is_cancelled_is_cancelled_on_the_other_side() {
    let plan = Plan {
        to_reinvite: ToReinvite::Ring,
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        world.act(one, Act::Cancel);
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [487]);
        assert_eq!(world.at_call(other).count(Method::Cancel), 1);
        assert_eq!(world.at_call(one).state, State::Talking);
        assert_eq!(world.at_call(other).hung_up, None);
    });
}

#[test]
fn a_second_one_before_the_first_is_answered_is_told_to_wait() {
    let plan = Plan {
        to_reinvite: ToReinvite::Ring,
        ..Plan::answers()
    };
    each_side_with(plan, |world, one, other| {
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        // The fake agent would not do it: this one forgets its first.
        world.agents[one.agent].calls[one.call].invite = None;
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [500]);
        let after = world
            .at_call(one)
            .response_header(500, HeaderName::RetryAfter);
        assert!(after.is_some());
        assert_eq!(world.at_call(other).reinvites, 1);
    });
}

#[test]
fn one_whose_200_is_never_acknowledged_ends_the_call() {
    each_side(|world, one, other| {
        world.agents[one.agent].calls[one.call].plan.acks = Acks::None;
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(40_000);
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        assert_eq!(world.at_call(other).hung_up, Some(By::Them));
    });
}

#[test]
fn one_that_demands_an_extension_is_refused() {
    each_side(|world, one, other| {
        let extra = vec![("Require", "precondition".to_owned())];
        world.agents[one.agent].calls[one.call].plan.extra = extra;
        world.act(one, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(one).reinvite_answers, [420]);
        let unsupported = world
            .at_call(one)
            .response_header(420, HeaderName::Unsupported);
        assert_eq!(unsupported.as_deref(), Some("precondition"));
        assert_eq!(world.at_call(other).reinvites, 0);
    });
}

#[test]
fn one_in_a_call_that_is_over_finds_no_dialog() {
    let (caller, called, to) = &ways()[0];
    play(|world| {
        for place in [*called, CARRIER_SPARE] {
            world.agents[place].plan = Plan::deaf();
        }
        let a = world.call(*caller, to, Plan::idle());
        world.run(15_000);
        assert_eq!(world.at_call(a).status(), Some(408));
        assert_eq!(
            world.occupancy().calls,
            1,
            "the last INVITE has no final response"
        );
        let call = &mut world.agents[*caller].calls[a.call];
        call.state = State::Talking;
        let failure = call.heard.last().unwrap().fields();
        let to = failure.header(HeaderName::To).unwrap().to_owned();
        call.remote = to;
        world.act(a, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(a).reinvite_answers, [481]);
        world.agents[*caller].calls[a.call].state = State::Over;
    });
}

#[test]
fn media_stays_while_a_reinvite_is_under_way() {
    play_with(
        |gateway| gateway.media_timeout = Duration::from_secs(30),
        |_| {},
        |world| {
            let (caller, called, to) = &ways()[0];
            let (a, b) = world.establish(*caller, *called, to);
            for _ in 0..100 {
                assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
                world.run(700);
                world.act(b, Act::Reinvite(Session::Direction("sendrecv")));
                world.run(5);
            }
            assert_eq!(world.at_call(a).hung_up, None);
            world.run(1_000);
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn one_over_more_proxies_than_a_message_may_have_fields_is_acknowledged() {
    for (caller, called, to) in ways() {
        play(|world| {
            world.agents[called].plan = Plan {
                record_route: true,
                proxies: 200,
                to_reinvite: ToReinvite::Refuse(488),
                ..Plan::answers()
            };
            let (a, b) = world.establish(caller, called, &to);
            world.act(a, Act::Reinvite(Session::Moved));
            world.run(3_000);
            assert_eq!(world.at_call(a).reinvite_answers, [488]);
            assert_eq!(world.at_call(b).count(Method::Ack), 2);
            assert_eq!(world.at_call(b).reinvites, 1);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_refresh_is_answered_with_what_was_agreed_and_not_with_what_was_refused() {
    let refuses = Plan {
        to_reinvite: ToReinvite::Refuse(488),
        ..Plan::answers()
    };
    both_ways(&refuses, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.act(a, Act::Reinvite(Session::Direction("inactive")));
        world.run(2_000);
        assert_eq!(world.at_call(a).reinvite_answers, [488]);
        world.act(b, Act::Reinvite(Session::Same));
        world.run(2_000);
        assert_eq!(world.at_call(b).reinvite_answers, [200]);
        assert_eq!(world.at_call(b).remote_direction, "sendrecv");
        world.act(a, Act::Bye);
    });
}
