//! UPDATE (RFC 3311) from either side, with and without an offer.

use trunkline::sip::message::{HeaderName, Method};

use crate::agent::call::By;
use crate::agent::plan::{Act, Plan, Session, ToReinvite};
use crate::cast::{play, ways};
use crate::network::Network;
use crate::world::{CallRef, World};

/// Plays for calls both ways, and in each for both sides as the one that sends; `takes_update` is what
/// the side that is sent to says of itself.
fn each_side(
    takes_update: bool,
    answer: ToReinvite,
    scenario: impl Fn(&mut World, CallRef, CallRef),
) {
    for (caller, called, to) in ways() {
        for by_caller in [true, false] {
            play(|world| {
                let plan = Plan {
                    takes_update,
                    to_reinvite: answer,
                    ..Plan::answers()
                };
                world.agents[called].plan = plan.clone();
                let a = world.call(
                    caller,
                    &to,
                    Plan {
                        steps: Vec::new(),
                        ..plan
                    },
                );
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(200));
                let b = world.last_call(called);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                scenario(world, one, other);
                world.act(one, Act::Bye);
            });
        }
    }
}

#[test]
fn an_offer_reaches_a_peer_that_takes_update_as_one() {
    each_side(true, ToReinvite::Accept, |world, one, other| {
        world.act(one, Act::Update(Session::Direction("sendonly")));
        world.run(1_000);
        assert_eq!(world.at_call(one).update_answers, [200]);
        assert_eq!(world.at_call(one).remote_direction, "recvonly");
        assert_eq!(world.at_call(other).remote_direction, "sendonly");
        assert_eq!(world.at_call(other).count(Method::Update), 1);
        assert_eq!(world.at_call(other).reinvites, 0);
        world.act(one, Act::Update(Session::Moved));
        world.run(1_000);
        let to = world.send_rtp(other).expect("media goes on");
        assert_eq!(to.port(), world.at_call(one).media_port);
    });
}

#[test]
fn an_offer_reaches_a_peer_that_does_not_take_update_as_a_reinvite() {
    each_side(false, ToReinvite::Accept, |world, one, other| {
        world.act(one, Act::Update(Session::Direction("sendonly")));
        world.run(1_000);
        assert_eq!(world.at_call(one).update_answers, [200]);
        assert_eq!(world.at_call(one).remote_direction, "recvonly");
        assert_eq!(world.at_call(other).count(Method::Update), 0);
        assert_eq!(world.at_call(other).reinvites, 1);
        assert!(world.at_call(other).acknowledged);
    });
}

#[test]
fn one_without_an_offer_stays_on_its_leg() {
    each_side(true, ToReinvite::Accept, |world, one, other| {
        world.act(one, Act::Update(Session::Late));
        world.run(1_000);
        assert_eq!(world.at_call(one).update_answers, [200]);
        assert_eq!(world.at_call(other).count(Method::Update), 0);
        let allow = world.at_call(one).last_response_header(HeaderName::Allow);
        assert!(allow.is_some_and(|allow| allow.contains("UPDATE")));
    });
}

#[test]
fn a_refusal_comes_back_and_changes_nothing() {
    for takes_update in [true, false] {
        each_side(
            takes_update,
            ToReinvite::Refuse(488),
            |world, one, other| {
                let port = world.at_call(one).media_port;
                world.act(one, Act::Update(Session::Moved));
                world.run(1_000);
                assert_eq!(world.at_call(one).update_answers, [488]);
                assert_eq!(world.send_rtp(other).expect("media goes on").port(), port);
            },
        );
    }
}

#[test]
fn a_peer_that_says_nothing_to_one_is_gone() {
    each_side(true, ToReinvite::Ignore, |world, one, other| {
        world.act(one, Act::Update(Session::Moved));
        world.run(40_000);
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        assert_eq!(world.at_call(other).hung_up, Some(By::Them));
    });
}

#[test]
fn offers_of_both_sides_that_meet_do_not_hold_each_other_up() {
    for takes_update in [true, false] {
        each_side(takes_update, ToReinvite::Accept, |world, one, other| {
            world.act(one, Act::Update(Session::Direction("sendonly")));
            world.act(other, Act::Update(Session::Moved));
            world.run(10_000);
            assert_eq!(world.at_call(one).update_answers, [200]);
            assert_eq!(world.at_call(other).update_answers, [491]);
            world.act(other, Act::Update(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(other).update_answers, [491, 200]);
        });
    }
}

#[test]
fn one_meets_a_reinvite() {
    each_side(true, ToReinvite::Accept, |world, one, other| {
        world.act(one, Act::Update(Session::Direction("sendonly")));
        world.act(other, Act::Reinvite(Session::Moved));
        world.run(10_000);
        assert_eq!(world.at_call(one).update_answers, [200]);
        assert_eq!(world.at_call(other).reinvite_answers, [491]);
    });
}

#[test]
fn one_before_the_answer_has_to_wait_for_it() {
    for (caller, called, to) in ways() {
        play(|world| {
            world.agents[called].plan = Plan {
                takes_update: true,
                ..Plan::idle().then(crate::agent::plan::When::Invited, 100, Act::EarlyMedia)
            };
            let a = world.call(
                caller,
                &to,
                Plan {
                    takes_update: true,
                    ..Plan::idle()
                },
            );
            world.run(1_000);
            // The answer so far is a foretaste: the offer of the INVITE is not settled.
            world.act(a, Act::Update(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(a).update_answers, [500]);
            let b = world.last_call(called);
            world.act(b, Act::Update(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(b).update_answers, [491]);
            world.act(b, Act::Answer(200));
            world.run(1_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_lossy_network_delays_them_and_no_more() {
    for takes_update in [true, false] {
        each_side(takes_update, ToReinvite::Accept, |world, one, other| {
            world.network = Network {
                loss: 200,
                duplication: 100,
                reordering: 200,
                ..Network::CALM
            };
            for _ in 0..10 {
                world.act(one, Act::Update(Session::Moved));
                world.run(40_000);
            }
            let answered = &world.at_call(one).update_answers;
            assert!(
                answered.iter().filter(|status| **status == 200).count() >= 8,
                "{answered:?}"
            );
            assert_eq!(world.at_call(other).hung_up, None);
            world.network = Network::CALM;
        });
    }
}
