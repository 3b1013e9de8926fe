//! Session timers (RFC 4028) on either leg, with either refresher, over an hour.

use std::time::Duration;

use trunkline::sip::message::{HeaderName, Message, Method};
use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::{By, Call, State};
use crate::agent::plan::{Act, Plan, Session, ToReinvite};
use crate::cast::{both_ways, play_with, ways};
use crate::network::Network;
use crate::world::{CallRef, World};

const MINUTE: u64 = 60_000;

/// A caller that asks so.
fn caller(expires: Option<&str>, takes_update: bool) -> Plan {
    let mut plan = Plan::idle();
    plan.takes_update = takes_update;
    plan.extra.push(("Supported", "timer".to_owned()));
    if let Some(expires) = expires {
        plan.extra.push(("Session-Expires", expires.to_owned()));
    }
    plan
}

/// A called side that agrees so.
fn called(expires: &'static str, takes_update: bool) -> Plan {
    Plan {
        takes_update,
        session: Some((expires, 90)),
        ..Plan::answers()
    }
}

/// How often the gateway has refreshed the session of a call.
fn refreshes(call: &Call) -> usize {
    call.count(Method::Update) + call.reinvites as usize
}

fn still_talk(world: &mut World, a: CallRef, b: CallRef) {
    for at in [a, b] {
        assert_eq!(world.at_call(at).hung_up, None);
        assert_eq!(world.at_call(at).state, State::Talking);
        assert!(world.send_rtp(at).is_some());
    }
    world.act(a, Act::Bye);
}

fn expired(world: &World) -> bool {
    let is_that = |event: &Event| {
        matches!(
            event,
            Event::CallEnded {
                cause: EndCause::SessionExpired,
                ..
            }
        )
    };
    world.events.iter().any(is_that)
}

/// [`both_ways`] in which media never is what ends a call.
fn over_an_hour(plan: &Plan, scenario: impl Fn(&mut World, usize, usize, &str)) {
    for (from, to_agent, to) in ways() {
        play_with(
            |gateway| gateway.media_timeout = Duration::from_secs(86_400),
            |_| {},
            |world| {
                world.agents[to_agent].plan = plan.clone();
                scenario(world, from, to_agent, &to);
            },
        );
    }
}

#[test]
fn the_gateway_refreshes_a_caller_that_leaves_it_to_it() {
    for takes_update in [true, false] {
        over_an_hour(&Plan::answers(), |world, from, _, to| {
            let a = world.call(from, to, caller(Some("1800;refresher=uas"), takes_update));
            world.run(61 * MINUTE);
            let call = world.at_call(a);
            let agreed = call.response_header(200, HeaderName::SessionExpires);
            assert_eq!(agreed.as_deref(), Some("1800;refresher=uas"));
            // Every quarter of an hour.
            assert_eq!(refreshes(call), 4);
            assert_eq!(call.count(Method::Update) > 0, takes_update);
            let b = world.last_call(if from == 0 { 2 } else { 0 });
            still_talk(world, a, b);
        });
    }
}

#[test]
fn the_gateway_refreshes_a_called_side_that_leaves_it_to_it() {
    for takes_update in [true, false] {
        for expires in ["1800;refresher=uac", "1800"] {
            over_an_hour(
                &called(expires, takes_update),
                |world, from, to_agent, to| {
                    let a = world.call(from, to, Plan::idle());
                    world.run(61 * MINUTE);
                    let b = world.last_call(to_agent);
                    let asked = world.at_call(b).request(Method::Invite).session_expires();
                    assert_eq!(asked.unwrap().unwrap().interval, 1_800);
                    assert_eq!(refreshes(world.at_call(b)), 4);
                    still_talk(world, a, b);
                },
            );
        }
    }
}

#[test]
fn a_caller_that_refreshes_keeps_its_call() {
    for session in [None, Some(Session::Same), Some(Session::Late)] {
        over_an_hour(&Plan::answers(), |world, from, to_agent, to| {
            let a = world.call(from, to, caller(Some("900"), true));
            world.run(5_000);
            let agreed = world
                .at_call(a)
                .response_header(200, HeaderName::SessionExpires);
            assert_eq!(agreed.as_deref(), Some("900;refresher=uac"));
            let required = world.at_call(a).response_header(200, HeaderName::Require);
            assert_eq!(required.as_deref(), Some("timer"));
            for _ in 0..9 {
                world.run(7 * MINUTE);
                let act = match session {
                    None => Act::Update(Session::Late),
                    Some(session) => Act::Reinvite(session),
                };
                world.act(a, act);
            }
            world.run(1_000);
            let b = world.last_call(to_agent);
            still_talk(world, a, b);
        });
    }
}

#[test]
fn a_peer_that_should_refresh_and_does_not_is_hung_up_on() {
    over_an_hour(&Plan::answers(), |world, from, _, to| {
        let a = world.call(from, to, caller(Some("900"), true));
        // A third of the interval, or 32 s, before the end (RFC 4028 §10).
        world.run(1_000 + 14 * MINUTE);
        assert_eq!(world.at_call(a).hung_up, None);
        world.run(MINUTE);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert!(expired(world));
    });
    over_an_hour(
        &called("900;refresher=uas", true),
        |world, from, to_agent, to| {
            let a = world.call(from, to, Plan::idle());
            world.run(1_000 + 14 * MINUTE);
            assert_eq!(world.at_call(a).hung_up, None);
            world.run(MINUTE);
            let b = world.last_call(to_agent);
            assert_eq!(world.at_call(a).hung_up, Some(By::Them));
            assert_eq!(world.at_call(b).hung_up, Some(By::Them));
            assert!(expired(world));
        },
    );
}

#[test]
fn a_peer_that_is_gone_ends_the_call_at_its_refresh() {
    for answer in [ToReinvite::Ignore, ToReinvite::Refuse(481)] {
        let plan = Plan {
            to_reinvite: answer,
            ..called("1800;refresher=uac", true)
        };
        over_an_hour(&plan, |world, from, _, to| {
            let a = world.call(from, to, Plan::idle());
            world.run(14 * MINUTE);
            assert_eq!(world.at_call(a).hung_up, None);
            world.run(2 * MINUTE);
            assert_eq!(world.at_call(a).hung_up, Some(By::Them));
            let called = if from == 0 { 2 } else { 0 };
            let b = world.last_call(called);
            world.act(b, Act::Bye);
        });
    }
}

#[test]
fn a_refresh_that_is_refused_for_the_moment_is_tried_again_until_the_session_expires() {
    for takes_update in [true, false] {
        let plan = Plan {
            to_reinvite: ToReinvite::Refuse(500),
            ..called("600;refresher=uac", takes_update)
        };
        over_an_hour(&plan, |world, from, to_agent, to| {
            let a = world.call(from, to, Plan::idle());
            world.run(9 * MINUTE);
            assert_eq!(world.at_call(a).hung_up, None);
            world.run(MINUTE);
            assert_eq!(world.at_call(a).hung_up, Some(By::Them));
            assert!(expired(world));
            let b = world.last_call(to_agent);
            assert!(refreshes(world.at_call(b)) > 10);
        });
    }
}

#[test]
fn a_session_that_is_too_short_is_refused_with_what_would_do() {
    both_ways(&Plan::answers(), |world, from, _, to| {
        let a = world.call(from, to, caller(Some("60"), true));
        world.run(1_000);
        assert_eq!(world.at_call(a).status(), Some(422));
        let least = world.at_call(a).response_header(422, HeaderName::MinSe);
        assert_eq!(least.as_deref(), Some("90"));
        // Who does not know timers cannot be told: somebody on the way has asked.
        let mut plan = Plan::idle();
        plan.extra.push(("Session-Expires", "60".to_owned()));
        let b = world.call(from, to, plan);
        world.run(3_000);
        assert_eq!(world.at_call(b).status(), Some(200));
        let agreed = world
            .at_call(b)
            .response_header(200, HeaderName::SessionExpires);
        assert_eq!(agreed.as_deref(), Some("90;refresher=uas"));
        world.act(b, Act::Bye);
        let c = world.call(from, to, caller(Some("soon"), true));
        world.run(1_000);
        assert_eq!(world.at_call(c).status(), Some(400));
    });
}

#[test]
fn a_called_side_that_wants_longer_sessions_gets_them() {
    let plan = Plan {
        session: Some(("3600;refresher=uac", 3_600)),
        ..Plan::answers()
    };
    both_ways(&plan, |world, from, to_agent, to| {
        let a = world.call(from, to, Plan::idle());
        world.run(5_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        let b = world.last_call(to_agent);
        let asked: Vec<u32> = world
            .at_call(b)
            .heard
            .iter()
            .filter_map(|message| match message {
                Message::Request(request) if request.method == Method::Invite => {
                    Some(request.session_expires().unwrap()?.interval)
                }
                Message::Request(_) | Message::Response(_) => None,
            })
            .collect();
        assert_eq!(asked, [1_800, 3_600]);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_caller_that_knows_timers_and_does_not_ask_is_refreshed() {
    both_ways(&Plan::answers(), |world, from, _, to| {
        let a = world.call(from, to, caller(None, true));
        world.run(3_000);
        let agreed = world
            .at_call(a)
            .response_header(200, HeaderName::SessionExpires);
        assert_eq!(agreed.as_deref(), Some("1800;refresher=uas"));
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_lossy_network_does_not_cost_the_session() {
    over_an_hour(
        &called("600;refresher=uac", true),
        |world, from, to_agent, to| {
            let a = world.call(from, to, caller(Some("600;refresher=uas"), false));
            world.run(3_000);
            world.network = Network {
                loss: 300,
                duplication: 100,
                reordering: 300,
                ..Network::CALM
            };
            world.run(60 * MINUTE);
            world.network = Network::CALM;
            world.run(MINUTE);
            let b = world.last_call(to_agent);
            assert!(refreshes(world.at_call(b)) >= 11);
            still_talk(world, a, b);
        },
    );
}

#[test]
fn an_offer_that_was_refused_does_not_come_back_with_a_refresh() {
    let settings = |gateway: &mut crate::gateway::Gateway| {
        gateway.media_timeout = Duration::from_secs(86_400);
    };
    for (from, called, to) in ways() {
        play_with(
            settings,
            |_| {},
            |world| {
                world.agents[called].plan = Plan {
                    session: Some(("1800;refresher=uac", 90)),
                    to_reinvite: ToReinvite::Refuse(488),
                    ..Plan::answers()
                };
                let (a, b) = world.establish(from, called, &to);
                world.act(a, Act::Reinvite(Session::Direction("sendonly")));
                world.run(2_000);
                assert_eq!(world.at_call(a).reinvite_answers, [488]);
                world.agents[called].calls[b.call].plan.to_reinvite = ToReinvite::Accept;
                let before = world.at_call(b).reinvites;
                world.run(16 * MINUTE);
                assert!(world.at_call(b).reinvites > before, "it was refreshed");
                assert_eq!(world.at_call(b).remote_direction, "sendrecv");
                world.act(a, Act::Bye);
            },
        );
    }
}
