//! CANCEL and its races.

use trunkline::sip::message::{HeaderName, Message, Method};
use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::{By, State};
use crate::agent::plan::{Act, Plan, When};
use crate::agent::wire;
use crate::cast::{CARRIER, OUTSIDE, PBX, PLAIN, both_ways, play, through, ways};

fn rings() -> Plan {
    Plan::idle().then(When::Invited, 100, Act::Answer(180))
}

#[test]
fn a_ringing_call_is_cancelled() {
    both_ways(&rings(), |world, caller, called, to| {
        let a = world.call(
            caller,
            to,
            Plan::idle().then(When::Invited, 2_000, Act::Cancel),
        );
        world.run(3_000);
        let b = world.last_call(called);
        assert_eq!(world.at_call(a).status(), Some(487));
        assert_eq!(world.at_call(b).status(), Some(487));
        assert_eq!(world.at_call(b).count(Method::Cancel), 1);
        assert_eq!(world.at_call(b).count(Method::Ack), 1);
        let ended = world.events.last().unwrap();
        assert!(
            matches!(
                ended,
                Event::CallEnded {
                    cause: EndCause::Cancelled,
                    talked: None,
                    ..
                }
            ),
            "{ended:?}"
        );
    });
}

#[test]
fn a_call_that_was_not_heard_of_yet_is_cancelled_when_it_is() {
    both_ways(&rings(), |world, caller, called, to| {
        world.lose = Some(Box::new(move |number, to_gateway, bytes| {
            // The first responses of the called side get lost.
            number < 12 && to_gateway && bytes.starts_with(b"SIP/2.0 180")
        }));
        let a = world.call(
            caller,
            to,
            Plan::idle().then(When::Invited, 50, Act::Cancel),
        );
        world.run(300);
        let b = world.last_call(called);
        assert_eq!(world.at_call(a).status(), Some(487));
        assert_eq!(world.at_call(b).count(Method::Cancel), 0, "RFC 3261 §9.1");
        world.run(8_000);
        assert_eq!(world.at_call(b).count(Method::Cancel), 1);
        assert_eq!(world.at_call(b).status(), Some(487));
    });
}

#[test]
fn a_cancel_that_crosses_the_200_hangs_up_on_the_called_side() {
    // 10 ms a way: the 200 is sent while the gateway's CANCEL is under way.
    for answered_at in 485..=520 {
        let plan = rings().then(When::Invited, answered_at, Act::Answer(200));
        let (caller, called, to) = &ways()[0];
        play(|world| {
            world.agents[*called].plan = plan.clone();
            let cancels = Plan::idle().then(When::Invited, 500, Act::Cancel);
            let a = world.call(*caller, to, cancels);
            world.run(2_000);
            let b = world.last_call(*called);
            assert_eq!(world.at_call(a).state, State::Over);
            match world.at_call(a).status() {
                Some(487) => {}
                Some(200) => assert_eq!(world.at_call(a).hung_up, Some(By::Us)),
                other => panic!("{other:?}"),
            }
            if world.at_call(b).status() == Some(200) {
                assert!(world.at_call(b).acknowledged);
                assert_eq!(world.at_call(b).hung_up, Some(By::Them));
                assert_eq!(world.at_call(b).count(Method::Bye), 1);
            }
        });
    }
}

#[test]
fn a_cancelled_invite_that_is_never_answered_is_given_up() {
    both_ways(&rings(), |world, caller, called, to| {
        let a = world.call(
            caller,
            to,
            Plan::idle().then(When::Invited, 1_000, Act::Cancel),
        );
        world.run(900);
        // From now on the called side says nothing.
        let b = world.last_call(called);
        world.agents[called].calls[b.call].plan.deaf = true;
        world.run(2_000);
        assert_eq!(world.at_call(a).status(), Some(487));
        world.run(40_000);
        assert_eq!(world.occupancy().calls, 0);
        assert!(world.at_call(b).count(Method::Cancel) > 5);
    });
}

#[test]
fn a_bye_before_the_answer_ends_the_callers_attempt() {
    both_ways(&rings(), |world, caller, called, to| {
        let a = world.call(caller, to, Plan::idle());
        world.run(1_000);
        world.with_agent(caller, |agent, hands| agent.hang_up_early(a.call, hands));
        world.run(1_000);
        let b = world.last_call(called);
        assert_eq!(world.at_call(a).bye_answer, Some(200));
        assert_eq!(world.at_call(a).status(), Some(487));
        assert_eq!(world.at_call(b).status(), Some(487));
    });
}

#[test]
fn a_cancel_of_nothing_is_answered_481() {
    play(|world| {
        let cancel = "CANCEL sip:+4930901820@gateway.example SIP/2.0\r\n\
            Via: SIP/2.0/UDP 203.0.113.101:5060;branch=z9hG4bKqpbxq;rport\r\n\
            Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=qpbxq\r\nTo: <sip:c@d>\r\n\
            Call-ID: qpbxq-none\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n";
        world.inject("203.0.113.101:5060".parse().unwrap(), cancel);
        world.run(1_000);
        let answers = world.strays(PBX);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, 481);
        assert!(
            answers[0]
                .1
                .header(HeaderName::To)
                .unwrap()
                .contains(";tag=")
        );
    });
}

#[test]
fn a_cancel_of_another_call_with_the_same_branch_is_answered_481() {
    play(|world| {
        world.agents[CARRIER].plan = rings();
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(1_000);
        let b = world.last_call(CARRIER);
        let call = world.at_call(a);
        let cancel = wire::cancel(&call.invite.as_ref().unwrap().bytes);
        let cancel = std::str::from_utf8(&cancel).unwrap();
        // Of the same length, so that a match of part of it would be found out too.
        let other_id = cancel.replace(&call.id, &format!("x{}", &call.id[1..]));
        let other_tag = cancel.replace(";tag=", ";tag=x");
        for other in [other_id, other_tag] {
            assert_ne!(other, cancel);
            world.inject(world.agents[PBX].source, other);
        }
        world.run(1_000);
        let of_cancel = |heard: &Message| match heard {
            Message::Response(response) if response.cseq().unwrap().method == Method::Cancel => {
                Some(response.status)
            }
            _ => None,
        };
        let call = world.at_call(a).heard.iter().filter_map(of_cancel);
        let strays = world.agents[PBX].strays.iter().filter_map(of_cancel);
        assert_eq!(call.chain(strays).collect::<Vec<_>>(), [481, 481]);
        assert_eq!(world.at_call(a).status(), None);
        assert_eq!(world.at_call(b).count(Method::Cancel), 0);
        world.act(b, Act::Answer(200));
        world.run(1_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        world.act(a, Act::Bye);
    });
}

fn answers_at_the_last_moment() -> Plan {
    rings().then(When::Invited, 1_000, Act::Answer(200))
}

#[test]
fn every_fork_that_answers_after_the_cancel_is_acknowledged_and_hung_up() {
    play(|world| {
        world.agents[CARRIER].plan =
            answers_at_the_last_moment().then(When::Invited, 1_002, Act::ForkedOk);
        // The CANCEL crosses both.
        let plan = Plan::idle().then(When::Invited, 1_012, Act::Cancel);
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), plan);
        world.run(10_000);
        assert_eq!(world.at_call(a).status(), Some(487));
        let heard = &world.at_call(world.last_call(CARRIER)).heard;
        for method in [Method::Ack, Method::Bye] {
            let tags = heard.iter().filter_map(|message| match message {
                Message::Request(request) if request.method == method => {
                    request.to().unwrap().tag().map(str::to_owned)
                }
                _ => None,
            });
            let tags: std::collections::BTreeSet<String> = tags.collect();
            assert_eq!(tags.len(), 2, "{method:?}");
        }
    });
}

#[test]
fn the_ack_of_a_late_2xx_is_sent_again() {
    play(|world| {
        world.agents[CARRIER].plan = answers_at_the_last_moment();
        // The first ACK and the first BYE get lost, so the 2xx comes again before the BYE does.
        let mut lost = Vec::new();
        world.lose = Some(Box::new(move |_, to_gateway, bytes| {
            let method = bytes.get(..3).unwrap_or_default().to_vec();
            let is_lost =
                !to_gateway && [b"ACK", b"BYE"].contains(&&method[..].try_into().unwrap());
            let is_first = is_lost && !lost.contains(&method);
            lost.push(method);
            is_first
        }));
        let plan = Plan::idle().then(When::Invited, 1_012, Act::Cancel);
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), plan);
        world.run(10_000);
        assert_eq!(world.at_call(a).status(), Some(487));
        let b = world.at_call(world.last_call(CARRIER));
        assert!(b.count(Method::Ack) >= 1);
        assert_eq!(b.hung_up, Some(By::Them));
    });
}
