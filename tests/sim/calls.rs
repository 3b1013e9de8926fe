//! Calls that are set up, both ways.

use trunkline::sip::message::{HeaderName, Message, Method};
use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::{By, State};
use crate::agent::plan::{Acks, Act, Plan, When};
use crate::cast::{
    CARRIER, OUTSIDE, OWN, OWN_TCP, PBX, PBX_TCP, PLAIN, both_ways, connector_id, play,
};

#[test]
fn a_call_rings_and_is_answered_and_hung_up() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        assert_eq!(world.at_call(a).statuses(), [100, 180, 200]);
        assert!(world.at_call(b).acknowledged);
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        assert_eq!(world.at_call(b).count(Method::Invite), 1);
        let facts: Vec<&Event> = world.events.iter().collect();
        assert!(
            matches!(
                facts[..],
                [
                    Event::CallStarted(_),
                    Event::CallAnswered(_),
                    Event::CallEnded { .. }
                ]
            ),
            "{facts:?}"
        );
    });
}

#[test]
fn early_media_reaches_the_caller_before_the_answer() {
    let plan = Plan::idle().then(When::Invited, 100, Act::EarlyMedia).then(
        When::Invited,
        2_000,
        Act::Answer(200),
    );
    both_ways(&plan, |world, caller, called, to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(500);
        assert_eq!(world.at_call(a).statuses(), [100, 183]);
        let b = world.last_call(called);
        assert!(
            world.send_rtp(b).is_some(),
            "early media goes to the caller"
        );
        assert!(world.send_rtp(a).is_some(), "and back");
        assert_eq!(world.at_call(a).packets, 1);
        world.run(3_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        world.act(b, Act::Bye);
    });
}

#[test]
fn the_answer_of_early_media_holds_where_the_200_has_none() {
    let plan = Plan::idle().then(When::Invited, 100, Act::EarlyMedia).then(
        When::Invited,
        1_000,
        Act::BareOk,
    );
    both_ways(&plan, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_call_is_answered_at_once() {
    both_ways(&Plan::says(200), |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        assert_eq!(world.at_call(a).statuses(), [100, 200]);
        assert_eq!(world.at_call(b).count(Method::Ack), 1);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_200_without_an_answer_ends_the_call_on_both_sides() {
    let plan = Plan::idle().then(When::Invited, 100, Act::BareOk);
    both_ways(&plan, |world, caller, called, to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(1_000);
        let b = world.last_call(called);
        let said = "The Answer Has No Audio Stream That Can Be Relayed";
        // The caller has done nothing wrong, and the log says who has.
        let told = format!("Called Side: {said}");
        assert_eq!(world.at_call(a).outcome, Some((502, told.clone())));
        let Some(Event::CallEnded { cause, reason, .. }) = world.events.last() else {
            panic!("{:?}", world.events.last());
        };
        assert_eq!(
            (*cause, reason.as_deref()),
            (EndCause::Failed(502), Some(&*told))
        );
        let bye = world.at_call(b).request(Method::Bye);
        let reason = format!("SIP;cause=488;text=\"{said}\"");
        assert_eq!(bye.header(HeaderName::Reason), Some(&*reason));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        assert!(world.at_call(b).acknowledged);
    });
}

#[test]
fn a_late_offer_is_made_by_the_called_side_and_answered_in_the_ack() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let plan = Plan {
            late_offer: true,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(3_000);
        let b = world.last_call(called);
        assert!(world.at_call(b).request(Method::Invite).body().is_empty());
        assert!(!world.at_call(b).request(Method::Ack).body().is_empty());
        assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
    });
}

#[test]
fn a_late_offer_that_is_not_answered_ends_the_call() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let plan = Plan {
            late_offer: true,
            acks: Acks::WithoutBody,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(3_000);
        let b = world.last_call(called);
        assert!(world.at_call(b).acknowledged);
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
    });
}

#[test]
fn each_leg_has_identifiers_of_its_own() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        let invite = world.at_call(b).request(Method::Invite);
        assert_eq!(invite.values(HeaderName::Via).count(), 1);
        assert_ne!(invite.call_id(), world.at_call(a).id);
        assert_eq!(invite.max_forwards(), Ok(Some(69)));
        let of_connector: Vec<&str> = invite.named("X-VoiceConnector-ID").collect();
        match called == PBX {
            true => assert_eq!(of_connector, [connector_id(PLAIN).as_str()]),
            false => assert!(of_connector.is_empty()),
        }
        world.act(a, Act::Bye);
    });
}

#[test]
fn the_callers_number_and_name_reach_the_other_side() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        let from = world.at_call(b).request(Method::Invite).from().unwrap();
        assert_eq!(from.display_name().as_deref(), Some("Somebody"));
        assert!(from.uri.starts_with("sip:+12065550100@"), "{}", from.uri);
        world.act(a, Act::Bye);
    });
}

#[test]
fn record_routes_of_both_sides_are_followed_and_stay_there() {
    let plan = Plan {
        record_route: true,
        ..Plan::answers()
    };
    both_ways(&plan, |world, caller, called, to| {
        let a = world.call(caller, to, plan_with_route());
        world.run(3_000);
        let b = world.last_call(called);
        world.act(a, Act::Reinvite(crate::agent::plan::Session::Moved));
        world.run(2_000);
        world.act(b, Act::Reinvite(crate::agent::plan::Session::Moved));
        world.run(2_000);
        world.act(b, Act::Bye);
        world.run(1_000);
        for at in [a, b] {
            let proxy = format!("<sip:{}-proxy@", world.agents[at.agent].mark);
            let requests = world.at_call(at).heard.iter();
            let within = requests.filter_map(|message| match message {
                Message::Request(request) => Some(request),
                Message::Response(_) => None,
            });
            let within = within.filter(|request| request.to().unwrap().tag().is_some());
            let mut checked = 0;
            for request in within {
                let route = request.header(HeaderName::Route).unwrap_or_default();
                assert!(
                    route.starts_with(&proxy),
                    "{} {route}",
                    request.method_token()
                );
                checked += 1;
            }
            assert!(checked >= 2, "{checked} requests within the dialog");
        }
    });
}

fn plan_with_route() -> Plan {
    Plan {
        record_route: true,
        ..Plan::idle()
    }
}

#[test]
fn a_retransmitted_invite_makes_one_call() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let mut copies = 0;
        world.lose = Some(Box::new(move |_, to_gateway, bytes| {
            // The caller hears nothing at first and sends its INVITE again and again.
            let lost = !to_gateway && bytes.starts_with(b"SIP/2.0 100") && copies < 3;
            copies += usize::from(lost);
            lost
        }));
        world.network.duplication = 1_000;
        let a = world.call(caller, to, Plan::idle());
        world.run(8_000);
        world.network.duplication = 0;
        assert_eq!(world.at_call(a).state, State::Talking);
        assert_eq!(world.agents[called].calls.len(), 1);
        assert_eq!(
            world
                .shards
                .iter()
                .map(|shard| shard.counters().calls)
                .sum::<u64>(),
            1
        );
        world.act(a, Act::Bye);
    });
}

#[test]
fn another_fork_that_answers_too_is_acknowledged_and_hung_up() {
    let plan = Plan::answers().then(When::Answered, 200, Act::ForkedOk);
    both_ways(&plan, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        world.run(1_000);
        // The fake agent sees both forks as one call: two ACKs to two tags, a BYE to one.
        let tags = |method: Method| {
            let requests = world.at_call(b).heard.iter();
            let of_method = requests.filter_map(move |message| match message {
                Message::Request(request) if request.method == method => {
                    request.to().unwrap().tag().map(str::to_owned)
                }
                Message::Request(_) | Message::Response(_) => None,
            });
            of_method.collect::<Vec<String>>()
        };
        let (acks, byes) = (tags(Method::Ack), tags(Method::Bye));
        assert_eq!(acks.len(), 2);
        assert_ne!(acks[0], acks[1]);
        assert_eq!(byes, acks[1..]);
        assert_eq!(
            world.at_call(a).state,
            State::Talking,
            "the first one goes on"
        );
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(b).count(Method::Bye), 2);
    });
}

#[test]
fn another_fork_that_answers_again_and_again_is_hung_up_once() {
    let plan = Plan::answers().then(When::Answered, 200, Act::ForkedOk);
    both_ways(&plan, |world, caller, called, to| {
        let (a, b) = world.establish_unacknowledged(caller, called, to);
        world.network.duplication = 1_000;
        world.run(1_000);
        world.network.duplication = 0;
        let byes = world.at_call(b).requests.len() - 1;
        assert_eq!(byes, 1);
        assert_eq!(world.at_call(a).state, State::Talking);
        world.act(a, Act::Bye);
    });
}

#[test]
fn an_ack_that_reuses_the_branch_of_its_invite_is_taken() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let plan = Plan {
            acks: Acks::SameBranch,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(40_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        let b = world.last_call(called);
        world.act(b, Act::Bye);
    });
}

#[test]
fn an_invite_of_rfc_2543_makes_one_call_too() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        world.network.duplication = 1_000;
        let plan = Plan {
            old_branch: true,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(5_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        assert_eq!(world.agents[called].calls.len(), 1);
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
    });
}

#[test]
fn a_tel_uri_is_a_number_like_any_other() {
    play(|world| {
        world.agents[PBX].plan = Plan::answers();
        let a = world.call(CARRIER, &format!("tel:{OWN}"), Plan::idle());
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        world.act(a, Act::Bye);
    });
    // A customer's host that one connector alone allows.
    play(|world| {
        world.agents[CARRIER].plan = Plan::answers();
        let plan = Plan {
            from: OWN_TCP,
            ..Plan::idle()
        };
        let a = world.call(PBX_TCP, &format!("tel:{OUTSIDE}"), plan);
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        world.act(a, Act::Bye);
    });
}
