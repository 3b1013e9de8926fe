//! INFO (RFC 6086), relayed both ways.

use trunkline::sip::message::{HeaderName, Message, Method};

use crate::agent::call::{By, Call};
use crate::agent::plan::{Act, Plan};
use crate::cast::{play, ways};
use crate::network::Network;
use crate::world::{CallRef, World};

/// Plays for calls both ways, and in each for both sides as the one that sends; the other one answers so.
fn each_side(answer: Option<u16>, scenario: impl Fn(&mut World, CallRef, CallRef)) {
    for (caller, called, to) in ways() {
        for by_caller in [true, false] {
            play(|world| {
                let (a, b) = world.establish(caller, called, &to);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                world.agents[other.agent].calls[other.call].plan.info = answer;
                scenario(world, one, other);
                world.act(one, Act::Bye);
            });
        }
    }
}

fn send(world: &mut World, from: CallRef, body: &str) {
    world.with_agent(from.agent, |agent, hands| {
        agent.send_info(from.call, body, hands)
    });
}

fn answers(call: &Call) -> Vec<u16> {
    let heard = call.heard.iter().filter_map(|message| match message {
        Message::Response(response) if response.cseq().unwrap().method == Method::Info => {
            Some(response.status)
        }
        Message::Response(_) | Message::Request(_) => None,
    });
    heard.collect()
}

#[test]
fn one_crosses_with_its_body_and_so_does_its_answer() {
    for status in [200, 405, 469, 503] {
        each_side(Some(status), |world, one, other| {
            send(world, one, "Signal=5\r\nDuration=160\r\n");
            world.run(1_000);
            let info = world.at_call(other).request(Method::Info);
            assert_eq!(&info.body()[..], b"Signal=5\r\nDuration=160\r\n");
            assert_eq!(
                info.header(HeaderName::ContentType),
                Some("application/sdp")
            );
            assert_eq!(info.named("Info-Package").next(), Some("dtmf"));
            assert_eq!(answers(world.at_call(one)), [status]);
        });
    }
}

#[test]
fn several_cross_at_once_up_to_a_bound() {
    each_side(Some(0), |world, one, other| {
        for digit in 0..6 {
            send(world, one, &format!("Signal={digit}"));
        }
        world.run(400);
        assert_eq!(world.at_call(other).count(Method::Info), 4);
        assert_eq!(answers(world.at_call(one)), [500, 500]);
        world.run(40_000);
        assert_eq!(answers(world.at_call(one)), [500, 500, 408, 408, 408, 408]);
        assert_eq!(world.at_call(other).hung_up, None);
    });
}

#[test]
fn one_that_finds_no_dialog_ends_the_call() {
    each_side(Some(481), |world, one, other| {
        send(world, one, "Signal=5");
        world.run(1_000);
        assert_eq!(answers(world.at_call(one)), [481]);
        assert_eq!(world.at_call(one).hung_up, Some(By::Them));
        world.act(other, Act::Bye);
    });
}

#[test]
fn one_that_is_too_large_is_refused() {
    each_side(None, |world, one, other| {
        send(world, one, &"x".repeat(5_000));
        world.run(1_000);
        assert_eq!(answers(world.at_call(one)), [413]);
        assert_eq!(world.at_call(other).count(Method::Info), 0);
    });
}

#[test]
fn one_under_way_when_the_call_ends_is_answered() {
    each_side(Some(0), |world, one, other| {
        send(world, one, "Signal=5");
        world.run(100);
        world.act(other, Act::Bye);
        world.run(1_000);
        assert_eq!(answers(world.at_call(one)), [481]);
    });
}

#[test]
fn one_before_the_answer_crosses_where_there_is_a_dialog() {
    for (caller, called, to) in ways() {
        play(|world| {
            world.agents[called].plan = Plan::answers();
            let a = world.call(caller, &to, Plan::idle());
            world.run(500);
            send(world, a, "Signal=5");
            world.run(300);
            assert_eq!(answers(world.at_call(a)), [200]);
            world.run(2_000);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_lossy_network_does_not_double_them() {
    each_side(None, |world, one, other| {
        world.network = Network {
            loss: 200,
            duplication: 200,
            reordering: 200,
            ..Network::CALM
        };
        for digit in 0..10 {
            send(world, one, &format!("Signal={digit}"));
            world.run(20_000);
        }
        world.network = Network::CALM;
        let mut numbers: Vec<u32> = world
            .at_call(other)
            .heard
            .iter()
            .filter_map(|message| match message {
                Message::Request(request) if request.method == Method::Info => {
                    Some(request.cseq().unwrap().number)
                }
                Message::Request(_) | Message::Response(_) => None,
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 10);
    });
}
