//! Provisional responses that are made sure of (RFC 3262), and the early dialogs of forks.

use trunkline::sip::message::{HeaderName, Message, Method};
use trunkline::telemetry::Event;

use crate::agent::call::{Call, State};
use crate::agent::plan::{Act, Plan, Session, When};
use crate::cast::{CARRIER, CARRIER_SPARE, OUTSIDE, PBX, PLAIN, both_ways, play, through, ways};
use crate::network::Network;
use crate::world::{CallRef, World};

/// A caller whose INVITE says so of 100rel: `Supported`, `Require`, or nothing.
fn caller(field: Option<&'static str>) -> Plan {
    let mut plan = Plan::idle();
    plan.extra
        .extend(field.map(|field| (field, "100rel".to_owned())));
    plan
}

fn answers_with(first: Act) -> Plan {
    Plan::idle()
        .then(When::Invited, 100, first)
        .then(When::Invited, 1_000, Act::Answer(200))
}

/// The reliable responses that came to a caller: status and whether there was a session in it.
fn reliable(call: &Call) -> Vec<(u16, bool)> {
    let responses = call.heard.iter().filter_map(|message| match message {
        Message::Response(response) if response.header(HeaderName::RSeq).is_some() => {
            Some((response.status, !response.body().is_empty()))
        }
        Message::Response(_) | Message::Request(_) => None,
    });
    let mut all: Vec<_> = responses.collect();
    all.dedup();
    all
}

fn bodies_of_2xx(call: &Call) -> Vec<bool> {
    let responses = call.heard.iter().filter_map(|message| match message {
        Message::Response(response) if response.status == 200 => {
            let invite = response.cseq().unwrap().method == Method::Invite;
            invite.then(|| !response.body().is_empty())
        }
        Message::Response(_) | Message::Request(_) => None,
    });
    responses.collect()
}

fn talk_and_hang_up(world: &mut World, a: CallRef, b: CallRef) {
    assert_eq!(world.at_call(a).status(), Some(200));
    assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
    world.act(a, Act::Bye);
}

#[test]
fn a_reliable_answer_is_acknowledged_on_both_legs_and_given_once() {
    both_ways(
        &answers_with(Act::Reliable(183)),
        |world, from, called, to| {
            let a = world.call(from, to, caller(Some("Supported")));
            world.run(500);
            let b = world.last_call(called);
            assert_eq!(world.at_call(b).count(Method::Prack), 1);
            assert_eq!(reliable(world.at_call(a)), [(183, true)]);
            // Early media both ways.
            assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
            world.run(2_000);
            assert_eq!(bodies_of_2xx(world.at_call(a)), [false]);
            talk_and_hang_up(world, a, b);
        },
    );
}

#[test]
fn a_caller_that_does_not_know_100rel_gets_plain_responses() {
    both_ways(
        &answers_with(Act::Reliable(183)),
        |world, from, called, to| {
            let a = world.call(from, to, caller(None));
            world.run(3_000);
            let b = world.last_call(called);
            assert_eq!(world.at_call(b).count(Method::Prack), 1);
            assert_eq!(reliable(world.at_call(a)), []);
            assert_eq!(world.at_call(a).statuses(), [100, 183, 200]);
            assert_eq!(bodies_of_2xx(world.at_call(a)), [true]);
            talk_and_hang_up(world, a, b);
        },
    );
}

#[test]
fn a_caller_that_demands_100rel_gets_every_ringing_reliably() {
    for first in [Act::Answer(180), Act::Reliable(180), Act::EarlyMedia] {
        let has_session = first == Act::EarlyMedia;
        let status = if has_session { 183 } else { 180 };
        both_ways(&answers_with(first), |world, from, called, to| {
            let a = world.call(from, to, caller(Some("Require")));
            world.run(3_000);
            let b = world.last_call(called);
            assert_eq!(reliable(world.at_call(a)), [(status, has_session)]);
            talk_and_hang_up(world, a, b);
        });
    }
}

#[test]
fn an_answer_waits_for_the_prack_of_a_session() {
    let plan = Plan::idle()
        .then(When::Invited, 100, Act::Reliable(183))
        .then(When::Invited, 101, Act::Answer(200));
    both_ways(&plan, |world, from, _, to| {
        let a = world.call(from, to, caller(Some("Supported")));
        let mut pracks_lost = 3;
        world.lose = Some(Box::new(move |_, to_gateway, bytes| {
            let lost = to_gateway && bytes.starts_with(b"PRACK") && pracks_lost > 0;
            pracks_lost -= i32::from(lost);
            lost
        }));
        world.run(1_000);
        assert_eq!(world.at_call(a).status(), None);
        world.run(5_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        world.act(a, Act::Bye);
    });
}

#[test]
fn without_a_prack_the_call_fails() {
    for answered in [false, true] {
        let mut plan = Plan::idle().then(When::Invited, 100, Act::Reliable(183));
        if answered {
            plan = plan.then(When::Invited, 200, Act::Answer(200));
        }
        both_ways(&plan, |world, from, called, to| {
            let mut plan = caller(Some("Supported"));
            plan.no_prack = true;
            let a = world.call(from, to, plan);
            world.run(40_000);
            assert_eq!(world.at_call(a).status(), Some(504));
            let b = world.last_call(called);
            assert_eq!(world.at_call(b).state, State::Over);
        });
    }
}

#[test]
fn several_reliable_responses_come_one_after_the_other() {
    let plan = Plan::idle()
        .then(When::Invited, 100, Act::Reliable(180))
        .then(When::Invited, 101, Act::Reliable(183))
        .then(When::Invited, 3_000, Act::Answer(200));
    both_ways(&plan, |world, from, called, to| {
        let a = world.call(from, to, caller(Some("Supported")));
        world.run(4_000);
        let b = world.last_call(called);
        assert_eq!(world.at_call(b).count(Method::Prack), 2);
        assert_eq!(reliable(world.at_call(a)), [(180, false), (183, true)]);
        talk_and_hang_up(world, a, b);
    });
}

#[test]
fn a_lossy_network_does_not_confuse_them() {
    let plan = Plan::idle()
        .then(When::Invited, 100, Act::Reliable(180))
        .then(When::Invited, 2_000, Act::Reliable(183))
        .then(When::Invited, 9_000, Act::Answer(200));
    both_ways(&plan, |world, from, called, to| {
        world.network = Network {
            loss: 250,
            duplication: 200,
            reordering: 300,
            ..Network::CALM
        };
        let calls: Vec<CallRef> = (0..10)
            .map(|_| world.call(from, to, caller(Some("Require"))))
            .collect();
        world.run(60_000);
        let answered = calls
            .iter()
            .filter(|call| world.at_call(**call).status() == Some(200));
        assert!(answered.count() >= 8);
        world.network = Network::CALM;
        let all = world.agents[called].calls.len();
        for call in 0..all {
            world.act(
                CallRef {
                    agent: called,
                    call,
                },
                Act::Bye,
            );
        }
        for call in calls {
            world.act(call, Act::Bye);
        }
    });
}

#[test]
fn a_prack_of_nothing_finds_nothing() {
    for (from, called, to) in ways() {
        both_ways(&answers_with(Act::Answer(180)), |_, _, _, _| {});
        crate::cast::play(|world| {
            let (a, b) = world.establish(from, called, &to);
            for at in [a, b] {
                world.with_agent(at.agent, |agent, hands| {
                    agent.send_in_dialog(at.call, "PRACK", hands);
                });
                world.run(100);
                let heard = world.at_call(at).heard.last().unwrap();
                assert!(matches!(heard, Message::Response(response) if response.status == 481));
            }
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn both_sides_change_their_session_before_the_answer() {
    for by_caller in [true, false] {
        let mut plan = Plan::idle().then(When::Invited, 100, Act::Reliable(183));
        plan.takes_update = true;
        both_ways(&plan, |world, from, called, to| {
            let mut plan = caller(Some("Supported"));
            plan.takes_update = true;
            let a = world.call(from, to, plan);
            world.run(1_000);
            let b = world.last_call(called);
            let (one, other) = if by_caller { (a, b) } else { (b, a) };
            world.act(one, Act::Update(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(one).update_answers, [200]);
            assert_eq!(world.at_call(other).count(Method::Update), 1);
            let to = world.send_rtp(other).expect("early media goes on");
            assert_eq!(to.port(), world.at_call(one).media_port);
            world.act(b, Act::Answer(200));
            world.run(1_000);
            assert_eq!(bodies_of_2xx(world.at_call(a)), [false]);
            talk_and_hang_up(world, a, b);
        });
    }
}

#[test]
fn an_update_before_the_answer_to_a_peer_that_takes_none_is_refused() {
    both_ways(
        &Plan::idle().then(When::Invited, 100, Act::Reliable(183)),
        |world, from, called, to| {
            let a = world.call(from, to, caller(Some("Supported")));
            world.run(1_000);
            world.act(a, Act::Update(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(a).update_answers, [504]);
            let b = world.last_call(called);
            world.act(b, Act::Answer(200));
            world.run(1_000);
            world.act(a, Act::Bye);
        },
    );
}

/// The tags in which answers came to a caller, in order.
fn tags(call: &Call) -> Vec<String> {
    let mut tags = Vec::new();
    for message in &call.heard {
        if let Message::Response(response) = message
            && !response.body().is_empty()
        {
            let tag = response.to().unwrap().tag().unwrap().to_owned();
            if tags.last() != Some(&tag) {
                tags.push(tag);
            }
        }
    }
    tags
}

#[test]
fn another_forks_session_comes_in_another_dialog() {
    let plan = Plan::idle()
        .then(When::Invited, 100, Act::ForkedMedia)
        .then(When::Invited, 200, Act::EarlyMedia)
        .then(When::Invited, 1_000, Act::Answer(200));
    both_ways(&plan, |world, from, called, to| {
        let a = world.call(from, to, caller(None));
        world.run(2_000);
        let tags = tags(world.at_call(a));
        assert_eq!(tags.len(), 2, "{tags:?}");
        assert_ne!(tags[0], tags[1]);
        assert_eq!(world.at_call(a).remote_tag.as_ref(), tags.last());
        let b = world.last_call(called);
        talk_and_hang_up(world, a, b);
    });
}

#[test]
fn the_fork_that_rang_first_may_answer_last() {
    let plan = Plan::idle()
        .then(When::Invited, 100, Act::Reliable(183))
        .then(When::Invited, 300, Act::ForkedMedia)
        .then(When::Invited, 1_000, Act::BareOk);
    for field in [None, Some("Supported")] {
        both_ways(&plan, |world, from, called, to| {
            // The 200 has no session: it was in the fork's own reliable response.
            let a = world.call(from, to, caller(field));
            world.run(2_000);
            let b = world.last_call(called);
            assert_eq!(bodies_of_2xx(world.at_call(a)), [true]);
            talk_and_hang_up(world, a, b);
        });
    }
}

/// Plays with a first carrier that fails after early media, and this plan at the second; the caller takes 100rel.
fn failing_over(second: &Plan, scenario: impl Fn(&mut World, CallRef)) {
    play(|world| {
        world.agents[CARRIER].plan = Plan::idle()
            .then(When::Invited, 100, Act::Reliable(183))
            .then(When::Invited, 1_000, Act::Answer(503));
        world.agents[CARRIER_SPARE].plan = second.clone();
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), caller(Some("Supported")));
        world.run(5_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        scenario(world, a);
    });
}

#[test]
fn a_caller_counts_anew_in_the_dialog_of_the_next_place() {
    let with_media = answers_with(Act::Reliable(183));
    failing_over(&with_media, |world, a| {
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
    });
    let without = Plan::idle().then(When::Invited, 1_000, Act::Answer(200));
    failing_over(&without, |world, a| {
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
        let b = world.last_call(CARRIER_SPARE);
        assert!(world.at_call(b).hung_up.is_some());
    });
}

/// Plays for calls of a caller that never sends a PRACK, up to where the 2xx waits for one.
fn held_success(scenario: impl Fn(&mut World, CallRef, CallRef)) {
    for (from, called, to) in ways() {
        play(|world| {
            world.agents[called].plan = answers_with(Act::Reliable(183));
            let plan = Plan {
                no_prack: true,
                ..caller(Some("Require"))
            };
            let a = world.call(from, &to, plan);
            world.run(3_000);
            let b = world.last_call(called);
            assert_eq!(world.at_call(a).status(), None);
            assert!(
                !world
                    .events
                    .iter()
                    .any(|event| matches!(event, Event::CallAnswered(_))),
                "the caller does not know of an answer"
            );
            scenario(world, a, b);
        });
    }
}

#[test]
fn a_caller_may_cancel_while_the_2xx_waits_for_its_prack() {
    held_success(|world, a, b| {
        world.act(a, Act::Cancel);
        world.run(2_000);
        assert_eq!(world.at_call(a).status(), Some(487));
        assert!(world.at_call(b).hung_up.is_some());
    });
}

#[test]
fn a_called_side_may_hang_up_while_the_2xx_waits_for_its_prack() {
    held_success(|world, a, b| {
        world.act(b, Act::Bye);
        world.run(2_000);
        assert_eq!(world.at_call(b).bye_answer, Some(200));
        assert_eq!(world.at_call(a).status(), Some(487));
        assert_eq!(world.at_call(a).count(Method::Bye), 0, "RFC 3261 §15");
    });
}

#[test]
fn reliable_responses_without_an_offer_in_the_invite_are_declined() {
    both_ways(&Plan::answers(), |world, from, called, to| {
        let mut plan = caller(Some("Require"));
        plan.late_offer = true;
        let a = world.call(from, to, plan);
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(420));
        let unsupported = world
            .at_call(a)
            .response_header(420, HeaderName::Unsupported);
        assert_eq!(unsupported.as_deref(), Some("100rel"), "RFC 3262 §3");
        assert!(world.agents[called].calls.is_empty());
    });
}
