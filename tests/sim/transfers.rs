//! REFER as a transfer by the gateway (RFC 3515, RFC 5589).

use trunkline::sip::message::{HeaderName, Message, Method};
use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::{By, Call, State};
use crate::agent::plan::{Act, Plan, Session, ToReinvite, When};
use crate::cast::{
    CARRIER, CARRIER_SPARE, CARRIER_TCP_V6, OUTSIDE, OUTSIDE_TCP_V6, OWN, OWN_TCP, PBX, PBX_SPARE,
    PBX_TCP, PLAIN, inbound, play_with, through, ways,
};
use crate::network::Network;
use crate::world::{CallRef, World};

/// A call that one side is about to transfer.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    /// Who transfers.
    pub(crate) one: CallRef,
    /// Who remains.
    pub(crate) other: CallRef,
    /// Whom to.
    pub(crate) target: usize,
    pub(crate) number: &'static str,
}

/// Plays for calls both ways, and in each for both sides as the transferor.
pub(crate) fn each_side(scenario: impl Fn(&mut World, Scene)) {
    for (caller, called, to) in ways() {
        for by_caller in [true, false] {
            with_transfers(|world| {
                let (a, b) = world.establish(caller, called, &to);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                let (target, number) = match one.agent {
                    PBX => (CARRIER_TCP_V6, OUTSIDE_TCP_V6),
                    _ => (PBX_TCP, OWN_TCP),
                };
                let scene = Scene {
                    one,
                    other,
                    target,
                    number,
                };
                scenario(world, scene);
            });
        }
    }
}

pub(crate) fn with_transfers(scenario: impl Fn(&mut World)) {
    play_with(|gateway| gateway.transfers = true, |_| {}, scenario);
}

pub(crate) fn refer_with(world: &mut World, from: CallRef, fields: &[(&str, String)]) {
    world.with_agent(from.agent, |agent, hands| {
        agent.send_refer(from.call, fields, hands)
    });
}

pub(crate) fn refer_to(world: &mut World, from: CallRef, to: &str) {
    refer_with(world, from, &[("Refer-To", to.to_owned())]);
}

pub(crate) fn refer(world: &mut World, scene: Scene) {
    let to = format!("<sip:{}@198.51.100.1;user=phone>", scene.number);
    refer_to(world, scene.one, &to);
}

/// The responses to REFERs.
pub(crate) fn answers(call: &Call) -> Vec<u16> {
    let heard = call.heard.iter().filter_map(|message| match message {
        Message::Response(response) if response.cseq().unwrap().method == Method::Refer => {
            Some(response.status)
        }
        Message::Response(_) | Message::Request(_) => None,
    });
    heard.collect()
}

/// Event, Subscription-State up to its parameters, and body of the NOTIFYs that came, each once and in their
/// order.
pub(crate) fn notices(call: &Call) -> Vec<(String, String, String)> {
    let heard = call.heard.iter().filter_map(|message| match message {
        Message::Request(request) if request.method == Method::Notify => Some(request),
        Message::Request(_) | Message::Response(_) => None,
    });
    let mut notices: Vec<_> = heard
        .map(|notify| {
            let content_type = notify.header(HeaderName::ContentType);
            assert_eq!(content_type, Some("message/sipfrag;version=2.0"));
            assert!(notify.contact().unwrap().is_some());
            let state = notify.header(HeaderName::SubscriptionState).unwrap();
            let state = state.split(';').next().unwrap().to_owned();
            let event = notify.header(HeaderName::Event).unwrap().to_owned();
            let body = String::from_utf8(notify.body().to_vec()).unwrap();
            (notify.cseq().unwrap().number, (event, state, body))
        })
        .collect();
    notices.sort();
    notices.dedup();
    notices.into_iter().map(|(_, notice)| notice).collect()
}

pub(crate) fn told(outcome: &str) -> Vec<(String, String, String)> {
    let notice = |state: &str, line: &str| {
        (
            "refer".to_owned(),
            state.to_owned(),
            format!("SIP/2.0 {line}\r\n"),
        )
    };
    vec![
        notice("active", "100 Trying"),
        notice("terminated", outcome),
    ]
}

/// Audio goes from either to the other.
pub(crate) fn talk(world: &mut World, one: CallRef, other: CallRef) {
    for (from, to) in [(one, other), (other, one)] {
        let before = world.at_call(to).packets;
        assert!(world.send_rtp(from).is_some());
        assert_eq!(world.at_call(to).packets, before + 1);
    }
}

fn outcomes(world: &World) -> Vec<u16> {
    let outcomes = world.events.iter().filter_map(|event| match event {
        Event::CallTransferred { status, .. } => Some(*status),
        _ => None,
    });
    outcomes.collect()
}

#[test]
fn a_transferred_call_goes_on_with_the_target() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        talk(world, one, other);
        refer(world, scene);
        world.run(500);
        assert_eq!(answers(world.at_call(one)), [202]);
        // Until the target answers the call is what it was.
        talk(world, one, other);
        world.run(2_000);
        let target = world.last_call(scene.target);
        assert_eq!(world.at_call(target).state, State::Talking);
        assert_eq!(notices(world.at_call(one)), told("200 OK"));
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        assert_eq!(world.at_call(other).reinvites, 1);
        assert!(world.at_call(other).acknowledged);
        talk(world, other, target);
        let invite = world.at_call(target).request(Method::Invite);
        assert!(invite.uri().starts_with(&format!("sip:{}@", scene.number)));
        assert_eq!(outcomes(world), [200]);
        // From now on they are in a call like any other.
        for (from, to) in [(target, other), (other, target)] {
            world.act(from, Act::Reinvite(Session::Direction("sendonly")));
            world.run(1_000);
            assert_eq!(world.at_call(from).reinvite_answers, [200]);
            assert_eq!(world.at_call(to).remote_direction, "sendonly");
            world.act(from, Act::Reinvite(Session::Direction("sendrecv")));
            world.run(1_000);
        }
        talk(world, other, target);
        world.act(target, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(other).hung_up, Some(By::Them));
    });
}

#[test]
fn a_transferred_call_may_be_transferred_again() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        refer(world, scene);
        world.run(3_000);
        let second = world.last_call(scene.target);
        // The target is of the other kind than the transferor, and calls as its own kind.
        let (third, number) = match scene.target {
            CARRIER_TCP_V6 => (PBX, OWN),
            _ => (CARRIER, OUTSIDE),
        };
        refer_to(world, second, &format!("<tel:{number}>"));
        world.run(3_000);
        assert_eq!(notices(world.at_call(second)), told("200 OK"));
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        assert_eq!(world.at_call(second).hung_up, Some(By::Them));
        let third = world.last_call(third);
        talk(world, other, third);
        world.act(other, Act::Bye);
    });
}

#[test]
fn a_party_on_hold_is_heard_again_after_the_transfer() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        world.act(one, Act::Reinvite(Session::Direction("sendonly")));
        world.run(1_000);
        assert_eq!(world.at_call(other).remote_direction, "sendonly");
        refer(world, scene);
        world.run(3_000);
        let target = world.last_call(scene.target);
        assert_eq!(world.at_call(other).remote_direction, "sendrecv");
        assert_eq!(world.at_call(target).remote_direction, "sendrecv");
        talk(world, other, target);
        world.act(other, Act::Bye);
    });
}

#[test]
fn a_target_that_cannot_be_had_leaves_the_call_whole() {
    for (plan, outcome, wait) in [
        (Plan::says(486), "486 Busy Here", 2_000),
        (Plan::says(302), "480 Temporarily Unavailable", 2_000),
        (
            Plan::idle().then(When::Invited, 10, Act::BareOk),
            "488 The Answer Has No Audio Stream That Can Be Relayed",
            2_000,
        ),
        (Plan::deaf(), "408 Request Timeout", 60_000),
    ] {
        each_side(|world, scene| {
            let Scene { one, other, .. } = scene;
            world.agents[scene.target].plan = plan.clone();
            world.agents[CARRIER].plan = plan.clone();
            world.agents[CARRIER_SPARE].plan = plan.clone();
            refer(world, scene);
            world.run(wait);
            assert_eq!(notices(world.at_call(one)), told(outcome));
            talk(world, one, other);
            assert_eq!(world.at_call(other).reinvites, 0);
            // Another try is another transfer, told from the first (RFC 3515 §2.4.6).
            world.agents[scene.target].plan = Plan::answers();
            refer(world, scene);
            world.run(3_000);
            let notices = notices(world.at_call(one));
            assert!(notices[2].0.starts_with("refer;id="), "{notices:?}");
            assert_eq!(notices[3].2, "SIP/2.0 200 OK\r\n");
            let target = world.last_call(scene.target);
            talk(world, other, target);
            world.act(other, Act::Bye);
        });
    }
}

#[test]
fn a_transferor_that_hangs_up_leaves_the_other_two() {
    for after in [10, 400, 1_020] {
        each_side(|world, scene| {
            let Scene { one, other, .. } = scene;
            refer(world, scene);
            world.run(after);
            world.act(one, Act::Bye);
            // Nobody can be asked for a new session meanwhile.
            world.run(100);
            assert_eq!(world.at_call(one).bye_answer, Some(200));
            assert_eq!(world.at_call(other).state, State::Talking);
            world.run(3_000);
            let target = world.last_call(scene.target);
            talk(world, other, target);
            assert_eq!(outcomes(world), [200]);
            world.act(target, Act::Bye);
            world.run(1_000);
            assert_eq!(world.at_call(other).hung_up, Some(By::Them));
        });
    }
}

#[test]
fn what_a_transferor_leaves_unanswered_holds_nothing_up() {
    for request in [
        Act::Reinvite(Session::Moved),
        Act::Update(Session::Moved),
        Act::Reinvite(Session::Late),
    ] {
        each_side(|world, scene| {
            let Scene { one, other, .. } = scene;
            let plan = &mut world.agents[one.agent].calls[one.call].plan;
            plan.to_reinvite = ToReinvite::Ignore;
            refer(world, scene);
            world.run(100);
            world.act(other, request.clone());
            world.with_agent(other.agent, |agent, hands| {
                agent.send_info(other.call, "Signal=1\r\n", hands)
            });
            world.run(100);
            world.act(one, Act::Bye);
            world.agents[one.agent].calls[one.call].plan.deaf = true;
            world.run(3_000);
            let call = world.at_call(other);
            let answers = [&call.reinvite_answers[..], &call.update_answers].concat();
            assert!(answers == [487] || answers == [491], "{answers:?}");
            assert_eq!(notices(world.at_call(one)), told("200 OK"));
            let target = world.last_call(scene.target);
            talk(world, other, target);
            world.run(60_000);
            assert_eq!(world.at_call(other).state, State::Talking);
            world.act(target, Act::Bye);
        });
    }
}

#[test]
fn where_the_transferor_has_left_and_the_target_fails_the_call_is_over() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        world.agents[scene.target].plan = Plan::idle().then(When::Invited, 900, Act::Answer(603));
        refer(world, scene);
        world.run(300);
        world.act(one, Act::Bye);
        world.run(200);
        world.act(other, Act::Reinvite(Session::Moved));
        world.run(2_000);
        assert_eq!(world.at_call(other).reinvite_answers, [491]);
        assert_eq!(world.at_call(other).hung_up, Some(By::Them));
        assert_eq!(outcomes(world), [603]);
    });
}

#[test]
fn a_party_that_hangs_up_meanwhile_ends_it_all() {
    for after in [10, 400, 1_015, 1_035, 1_200] {
        each_side(|world, scene| {
            let Scene { one, other, .. } = scene;
            refer(world, scene);
            world.run(after);
            world.act(other, Act::Bye);
            world.run(3_000);
            assert_eq!(world.at_call(one).hung_up, Some(By::Them));
            let target = world.last_call(scene.target);
            assert_eq!(world.at_call(target).state, State::Over);
            let ended = world.events.iter().filter(|event| {
                matches!(
                    event,
                    Event::CallEnded {
                        cause: EndCause::CallerHungUp | EndCause::CalledHungUp,
                        ..
                    }
                )
            });
            assert_eq!(ended.count(), 1);
        });
    }
}

#[test]
fn a_target_that_hangs_up_before_it_is_joined_leaves_the_call_whole() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        world.agents[other.agent].calls[other.call].plan.to_reinvite = ToReinvite::Ring;
        refer(world, scene);
        world.run(1_500);
        let target = world.last_call(scene.target);
        assert_eq!(world.at_call(target).state, State::Talking);
        world.act(target, Act::Bye);
        world.run(2_000);
        assert_eq!(
            notices(world.at_call(one)),
            told("480 Temporarily Unavailable")
        );
        talk(world, one, other);
        world.act(one, Act::Bye);
    });
}

#[test]
fn a_party_that_takes_no_new_session_stays_in_its_call() {
    for status in [488, 491] {
        each_side(|world, scene| {
            let Scene { one, other, .. } = scene;
            let plan = &mut world.agents[other.agent].calls[other.call].plan;
            plan.to_reinvite = ToReinvite::Refuse(status);
            refer(world, scene);
            world.run(15_000);
            let outcome = format!("{status} {}", trunkline::sip::reason_phrase(status));
            assert_eq!(notices(world.at_call(one)), told(&outcome));
            let target = world.last_call(scene.target);
            assert_eq!(world.at_call(target).hung_up, Some(By::Them));
            let reinvites = if status == 491 { 3 } else { 1 };
            assert_eq!(world.at_call(other).reinvites, reinvites);
            talk(world, one, other);
            world.act(one, Act::Bye);
        });
    }
}

#[test]
fn a_target_does_not_wait_for_ever_for_who_does_not_make_up_its_mind() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        let plan = &mut world.agents[other.agent].calls[other.call].plan;
        plan.to_reinvite = ToReinvite::Ring;
        refer(world, scene);
        world.run(30_000);
        let target = world.last_call(scene.target);
        assert_eq!(world.at_call(target).state, State::Talking);
        world.run(10_000);
        assert_eq!(world.at_call(target).hung_up, Some(By::Them));
        let outcome = told("500 The Other Side Takes No Offer");
        assert_eq!(notices(world.at_call(one)), outcome);
        talk(world, one, other);
        world.act(one, Act::Bye);
    });
}

#[test]
fn a_party_with_an_offer_of_its_own_is_joined_after_it() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        refer(world, scene);
        world.run(1_005);
        world.act(one, Act::Reinvite(Session::Moved));
        world.act(other, Act::Reinvite(Session::Moved));
        world.run(9_000);
        let target = world.last_call(scene.target);
        talk(world, other, target);
        assert_eq!(notices(world.at_call(one)), told("200 OK"));
        world.act(other, Act::Bye);
    });
}

#[test]
fn who_wants_no_notices_gets_none() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        let to = format!("<sip:{}@gateway.example>", scene.number);
        let fields = [
            ("Refer-To", to),
            ("Refer-Sub", "false".to_owned()),
            ("Require", "norefersub".to_owned()),
        ];
        refer_with(world, one, &fields);
        world.run(3_000);
        assert_eq!(answers(world.at_call(one)), [202]);
        assert!(notices(world.at_call(one)).is_empty());
        let target = world.last_call(scene.target);
        talk(world, other, target);
        world.act(other, Act::Bye);
    });
}

#[test]
fn the_next_place_is_tried_for_a_target_too() {
    with_transfers(|world| {
        world.agents[CARRIER].plan = Plan::answers();
        let (a, b) = world.establish(CARRIER, PBX, &inbound(OWN));
        world.agents[CARRIER].plan = Plan::says(503);
        refer_to(world, b, &format!("<tel:{OUTSIDE}>"));
        world.run(3_000);
        let target = world.last_call(CARRIER_SPARE);
        talk(world, a, target);
        // Its caller is the number that was called, which is the customer's.
        let invite = world.at_call(target).request(Method::Invite);
        assert!(invite.from().unwrap().uri.contains(OWN));
        world.act(a, Act::Bye);
    });
    with_transfers(|world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        world.agents[PBX].plan = Plan::deaf();
        refer_to(world, b, &format!("<tel:{OWN}>"));
        world.run(9_000);
        let target = world.last_call(PBX_SPARE);
        talk(world, a, target);
        let id = world.at_call(target).request(Method::Invite);
        let id = id.named("X-VoiceConnector-ID").next().unwrap();
        assert_eq!(id, crate::cast::connector_id(PLAIN).as_str());
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_transfer_survives_the_loss_of_any_message() {
    for (caller, called, to) in ways() {
        for by_caller in [true, false] {
            let mut lost = 0;
            loop {
                let sent = std::cell::Cell::new(0);
                with_transfers(|world| {
                    world.lose = Some(Box::new(move |number, _, _| number == lost));
                    let a = world.call(caller, &to, Plan::idle());
                    world.run(40_000);
                    let b = world.last_call(called);
                    let (one, other) = if by_caller { (a, b) } else { (b, a) };
                    let number = if one.agent == PBX { OUTSIDE } else { OWN };
                    refer_to(world, one, &format!("<tel:{number}>"));
                    world.run(90_000);
                    let agent = if one.agent == PBX { CARRIER } else { PBX };
                    let target = world.last_call(agent);
                    assert_eq!(notices(world.at_call(one)), told("200 OK"));
                    assert_eq!(world.at_call(one).hung_up, Some(By::Them));
                    talk(world, other, target);
                    world.act(other, Act::Bye);
                    world.run_until_quiet();
                    assert_eq!(world.at_call(target).hung_up, Some(By::Them));
                    sent.set(world.datagrams);
                });
                lost += 1;
                if lost > sent.get() {
                    break;
                }
            }
            assert!(lost > 20, "there were messages to lose");
        }
    }
}

#[test]
fn transfers_get_through_bad_weather_and_leave_nothing() {
    for round in 0..20 {
        each_side(|world, scene| {
            let Scene { one, other, .. } = scene;
            world.network = Network {
                loss: 100,
                duplication: 100,
                reordering: 100,
                ..Network::CALM
            };
            for _ in 0..round {
                world.rng.next();
            }
            let wait = world.rng.below(2_500);
            refer(world, scene);
            world.run(wait);
            match round % 4 {
                0 => world.act(one, Act::Bye),
                1 => world.act(other, Act::Bye),
                2 => world.act(other, Act::Reinvite(Session::Moved)),
                _ => {}
            }
            world.run(120_000);
            for agent in [one.agent, other.agent, scene.target] {
                for call in 0..world.agents[agent].calls.len() {
                    world.act(CallRef { agent, call }, Act::Leave);
                }
            }
        });
    }
}
