//! Texts between people who reach each other by numbers that stand for them (RFC 3428).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trunkline::config::{
    CarrierCredentials, CarrierPolicy, Limits, Secret, SpendingLimits, TerminationPolicy,
};
use trunkline::gateway::Cause;
use trunkline::instant::Instant;
use trunkline::shard::snapshot::{ProxyParticipant, ProxySession, Snapshot, VoiceConnector};
use trunkline::sip::digest::Algorithm;
use trunkline::sip::message::{HeaderName, Method, Request};
use trunkline::telemetry::Event;

use crate::agent::messaging::Letter;
use crate::agent::plan::{Demand, Plan};
use crate::cast::{
    CARRIER, CARRIER_SPARE, OUTSIDE, OWN, PBX, PLAIN, connector_id, inbound, play_with, through,
};
use crate::proxy_sessions::{ANNA, BORIS, FALLBACK, FOR_ANNA, FOR_BORIS, STRANGER, TELLING};
use crate::proxy_sessions::{Change, with_termination_disabled, without_termination};
use crate::proxy_sessions::{session, with, with_connector, with_number_gone};
use crate::world::{CallRef, World};

const TEXT: &str = "Grüße,\r\n\r\nMESSAGE sip:x SIP/2.0\r\n\t🙂";

/// A session for texts alone.
fn texts() -> ProxySession {
    ProxySession {
        voice: false,
        sms: true,
        ..session()
    }
}

/// Texts come from the spare carrier and go to the other one; to the spare one when that one fails.
fn play(scenario: impl Fn(&mut World)) {
    play_with(|_| {}, with(texts(), None), scenario);
}

/// The same with one carrier to send to.
fn play_one_way(scenario: impl Fn(&mut World)) {
    let one_way = |snapshot: &mut Snapshot| {
        with(texts(), None)(snapshot);
        change_carriers(snapshot, |policy| policy, 1);
    };
    play_with(|_| {}, one_way, scenario);
}

fn change_carriers(
    snapshot: &mut Snapshot,
    change: impl Fn(CarrierPolicy) -> CarrierPolicy,
    routes: usize,
) {
    let mut carriers = snapshot.carriers().to_vec();
    for carrier in &mut carriers {
        carrier.policy = Arc::new(change((*carrier.policy).clone()));
        carrier.routes.truncate(routes);
    }
    snapshot.set_carriers(carriers);
}

fn write(world: &mut World, from: &'static str, number: &str) -> CallRef {
    world.write(CARRIER_SPARE, &inbound(number), &Letter::of(from, TEXT))
}

/// What the sender of one was told in the end.
fn told(world: &mut World, letter: &Letter) -> Option<u16> {
    let at = world.write(CARRIER_SPARE, &inbound(FOR_BORIS), letter);
    world.run(1_000);
    world.at_call(at).answers().last().copied()
}

fn relayed(world: &World) -> Vec<u16> {
    let events = world.events.iter().filter_map(|event| match event {
        Event::MessageRelayed { facts, status, .. } => {
            assert_eq!(facts.connector, connector_id(PLAIN));
            Some(*status)
        }
        _ => None,
    });
    events.collect()
}

/// The copies of a MESSAGE that an agent has got, in all.
fn copies(world: &World, agent: usize) -> usize {
    let calls = world.agents[agent].calls.iter();
    calls.map(|call| call.count(Method::Message)).sum()
}

#[test]
fn each_participant_writes_to_the_other_as_the_number_that_stands_for_it() {
    for (from, dialled, to, shown) in [
        (ANNA, FOR_BORIS, BORIS, FOR_ANNA),
        (BORIS, FOR_ANNA, ANNA, FOR_BORIS),
    ] {
        play(|world| {
            let mut plan = Plan::takes_messages(Some(202));
            plan.with_answers = vec![("P-Asserted-Identity", format!("<sip:{to}@x.example>"))];
            world.agents[CARRIER].plan = plan;
            let own = |(name, value): &(&'static str, &str)| {
                (*name, value.replace(&ANNA[1..], &from[1..]))
            };
            let mut extra: Vec<_> = TELLING.iter().map(own).collect();
            extra.push(("Contact", format!("<sip:{from}@x.example>")));
            extra.push(("Reply-To", format!("<sip:{from}@x.example>")));
            extra.push(("Date", "Sat, 13 Nov 2010 23:29:00 GMT".to_owned()));
            extra.push(("Priority", "urgent".to_owned()));
            let letter = Letter {
                content_type: Some("Text/Plain ; charset=\"UTF-8\"; name=\"+4930901820\""),
                extra,
                ..Letter::of(from, TEXT)
            };
            let a = world.write(CARRIER_SPARE, &inbound(dialled), &letter);
            world.run(1_000);

            let letters = world.agents[CARRIER].letters();
            let [sent] = letters.as_slice() else {
                panic!("{} came", letters.len());
            };
            assert_eq!(sent.uri(), format!("sip:{to}@192.0.2.101:5080"));
            let own = format!("sip:{shown}@198.51.100.1");
            assert_eq!(sent.from().unwrap().uri, own);
            let asserted = format!("<{own}>");
            let head = sent.head();
            for (name, value) in [
                (HeaderName::PAssertedIdentity, Some(asserted.as_str())),
                (HeaderName::ContentType, Some("text/plain;charset=UTF-8")),
                (HeaderName::Priority, Some("urgent")),
                (HeaderName::MaxForwards, Some("69")),
                // RFC 3428 §4
                (HeaderName::Contact, None),
            ] {
                assert_eq!(sent.header(name), value, "{head}");
            }
            let telling = [&from[1..], "Somebody", "x.example", "2010", "b3439"];
            assert!(!telling.iter().any(|text| head.contains(text)), "{head}");
            assert_eq!(sent.body(), TEXT.as_bytes());

            let call = world.at_call(a);
            assert_eq!(call.answers(), [202]);
            for name in [HeaderName::PAssertedIdentity, HeaderName::Contact] {
                assert_eq!(call.response_header(202, name), None);
            }
            assert_eq!(relayed(world), [202]);
            let used = world.events.iter().filter(|event| {
                matches!(event, Event::ProxySessionUsed { connector, session }
                    if *connector == connector_id(PLAIN) && *session == texts().id)
            });
            assert_eq!(used.count(), 1);
        });
    }
}

#[test]
fn a_text_goes_where_a_call_would_go_next() {
    for status in [408, 430, 480, 500, 502, 503, 504] {
        play(|world| {
            world.agents[CARRIER].plan = Plan::takes_messages(Some(status));
            let a = write(world, ANNA, FOR_BORIS);
            world.run(1_000);
            assert_eq!(world.at_call(a).answers(), [200], "{status}");
            assert_eq!(world.agents[CARRIER_SPARE].letters().len(), 1);
            assert_eq!(relayed(world), [200]);
        });
    }
    // A challenge and a redirection are between us and the carrier.
    for (status, heard) in [(404, 404), (486, 486), (603, 603), (302, 480), (407, 502)] {
        play(|world| {
            world.agents[CARRIER].plan = Plan::takes_messages(Some(status));
            let a = write(world, ANNA, FOR_BORIS);
            world.run(1_000);
            assert_eq!(world.at_call(a).answers(), [heard], "{status}");
            assert!(world.agents[CARRIER_SPARE].letters().is_empty());
            assert_eq!(relayed(world), [heard]);
        });
    }
    play(|world| {
        world.agents[CARRIER].unreachable = true;
        let a = write(world, ANNA, FOR_BORIS);
        world.run(1_000);
        assert_eq!(world.at_call(a).answers(), [200]);
    });
}

#[test]
fn a_place_that_says_nothing_is_not_asked_again_and_may_still_have_delivered() {
    play(|world| {
        for carrier in [CARRIER, CARRIER_SPARE] {
            world.agents[carrier].plan = Plan::takes_messages(None);
        }
        let a = write(world, ANNA, FOR_BORIS);
        world.run(4_900);
        // At 0, 0.5, 1.5 and 3.5 s.
        assert_eq!(copies(world, CARRIER), 4);
        assert_eq!(copies(world, CARRIER_SPARE), 0);
        world.run(5_100);
        assert_eq!(copies(world, CARRIER), 4);
        assert_eq!(copies(world, CARRIER_SPARE), 4);
        let first = world.last_call(CARRIER).call;
        world.with_agent(CARRIER, |agent, hands| {
            agent.answer_message(first, 200, hands);
        });
        world.run(1_000);
        assert_eq!(world.at_call(a).answers().last(), Some(&200));
        world.run(60_000);
        assert_eq!(copies(world, CARRIER_SPARE), 4);
        assert_eq!(relayed(world), [200]);
    });
}

#[test]
fn a_text_that_takes_long_is_answered_100_and_never_408() {
    play_one_way(|world| {
        world.agents[CARRIER].plan = Plan::takes_messages(None);
        let a = write(world, ANNA, FOR_BORIS);
        world.run(3_500);
        assert!(world.at_call(a).answers().is_empty());
        world.run(100);
        assert_eq!(world.at_call(a).answers().first(), Some(&100));
        world.run(20_400);
        let answers = world.at_call(a).answers();
        assert!(answers.iter().all(|status| *status == 100), "{answers:?}");
        world.run(100);
        assert_eq!(world.at_call(a).answers().last(), Some(&504));
        assert_eq!(relayed(world), [504]);
        // The place had the whole time, and has it no longer.
        let before = copies(world, CARRIER);
        assert!(before > 6);
        world.run(60_000);
        assert_eq!(copies(world, CARRIER), before);
    });
    play_one_way(|world| {
        world.agents[CARRIER].plan = Plan::takes_messages(Some(408));
        assert_eq!(told(world, &Letter::of(ANNA, TEXT)), Some(504));
    });
}

#[test]
fn a_carrier_that_asks_who_writes_is_told() {
    let credentials = |policy| CarrierPolicy {
        credentials: Some(CarrierCredentials {
            username: "trunk".to_owned(),
            password: Secret("secret".to_owned()),
        }),
        ..policy
    };
    for (password, status, heard) in [("secret", 401, 200), ("secret", 407, 200), ("x", 407, 502)] {
        let change = |snapshot: &mut Snapshot| {
            with(texts(), None)(snapshot);
            change_carriers(snapshot, credentials, 1);
        };
        play_with(
            |_| {},
            change,
            |world| {
                let mut plan = Plan::takes_messages(Some(200));
                plan.demands = Some(Demand {
                    status,
                    algorithms: &[Algorithm::Md5, Algorithm::Sha256],
                    username: "trunk",
                    password,
                    uses: 1,
                    always: false,
                });
                world.agents[CARRIER].plan = plan;
                assert_eq!(told(world, &Letter::of(ANNA, TEXT)), Some(heard));
                let letters = world.agents[CARRIER].letters();
                let [again] = letters.as_slice() else {
                    panic!("{} came", letters.len());
                };
                assert_eq!(again.cseq().unwrap().number, 2);
            },
        );
    }
}

#[test]
fn a_text_is_delivered_once_whatever_gets_lost() {
    let mut lost = 0;
    let datagrams = std::cell::Cell::new(usize::MAX);
    while lost < datagrams.get() {
        play_one_way(|world| {
            world.lose = Some(Box::new(move |number, _, _| number == lost));
            let a = write(world, ANNA, FOR_BORIS);
            world.run(40_000);
            assert_eq!(world.at_call(a).answers().last(), Some(&200));
            assert_eq!(world.agents[CARRIER].letters().len(), 1);
            datagrams.set(world.datagrams);
        });
        lost += 1;
    }
    assert!(lost >= 4, "there was something to lose");
}

#[test]
fn a_storm_delivers_nothing_twice_and_no_sender_is_told_what_is_not_so() {
    play_one_way(|world| {
        world.network.loss = 300;
        world.network.duplication = 200;
        world.network.reordering = 200;
        let mut sent = Vec::new();
        for number in 0..60 {
            let text = format!("number {number}");
            let (from, dialled) = match number % 2 {
                0 => (ANNA, FOR_BORIS),
                _ => (BORIS, FOR_ANNA),
            };
            let letter = Letter::of(from, &text);
            let at = world.write(CARRIER_SPARE, &inbound(dialled), &letter);
            sent.push((at, text));
            world.run(3_000);
        }
        world.run(60_000);
        let text_of = |letter: &&Request| String::from_utf8(letter.body().to_vec()).unwrap();
        let came: Vec<String> = world.agents[CARRIER]
            .letters()
            .iter()
            .map(text_of)
            .collect();
        let once: BTreeSet<&String> = came.iter().collect();
        assert_eq!(came.len(), once.len(), "something came twice");
        let mut well = 0;
        for (at, text) in &sent {
            let answers = world.at_call(*at).answers();
            if answers.last() == Some(&200) {
                assert!(once.contains(text), "{text} never came");
                well += 1;
            }
        }
        assert!(well > 0, "nothing came through");
    });
}

#[test]
fn a_text_that_comes_on_two_ways_is_delivered_once() {
    play(|world| {
        let source = world.agents[CARRIER_SPARE].source;
        for branch in ["one", "two"] {
            let text = format!(
                "MESSAGE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{branch};rport\r\n\
                 From: <sip:{ANNA}@{source}>;tag=1\r\nTo: <{uri}>\r\nCall-ID: forked\r\nCSeq: 1 MESSAGE\r\n\
                 Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
                uri = inbound(FOR_BORIS),
            );
            world.inject(source, text);
            world.run(1_000);
        }
        let heard = world.strays(CARRIER_SPARE);
        let heard: Vec<u16> = heard.iter().map(|(status, _)| *status).collect();
        assert_eq!(heard, [200, 482]);
        assert_eq!(world.agents[CARRIER].letters().len(), 1);
    });
}

#[test]
fn a_session_takes_no_texts_from_its_last_second_on() {
    play(|world| {
        // They are on their way for ten milliseconds.
        world.run(58_989);
        let in_time = write(world, ANNA, FOR_BORIS);
        world.run(1);
        let too_late = write(world, ANNA, FOR_BORIS);
        assert_eq!(world.now, Instant::ORIGIN + Duration::from_millis(59_990));
        world.run(1_000);
        assert_eq!(world.at_call(in_time).answers(), [200]);
        assert_eq!(world.at_call(too_late).answers(), [404]);
        assert_eq!(world.agents[CARRIER].letters().len(), 1);
    });
}

/// How often policy has refused for this cause.
fn refused(world: &World, cause: Cause) -> u64 {
    let shards = world.shards.iter();
    shards
        .map(|shard| shard.counters().refused_for.of(cause))
        .sum()
}

#[test]
fn nobody_else_writes_through_a_session() {
    // Nobody who answers calls in its place gets the texts.
    for (from, number) in [(STRANGER, FOR_ANNA), (ANNA, FOR_ANNA), (BORIS, FOR_BORIS)] {
        play_with(
            |_| {},
            with(texts(), Some(FALLBACK)),
            |world| {
                let a = write(world, from, number);
                world.run(1_000);
                assert_eq!(world.at_call(a).answers(), [404]);
                assert_eq!(refused(world, Cause::NoProxySession), 1);
                assert!(world.agents[CARRIER].calls.is_empty());
                assert!(relayed(world).is_empty());
            },
        );
    }
    play_with(
        |_| {},
        with(session(), None),
        |world| {
            let a = write(world, ANNA, FOR_BORIS);
            world.run(1_000);
            assert_eq!(world.at_call(a).answers(), [403]);
            assert_eq!(refused(world, Cause::ProxyWithoutSms), 1);
        },
    );
}

#[test]
fn a_text_goes_to_no_country_that_calls_may_not_go_to() {
    let at_home = |snapshot: &mut Snapshot| {
        with(texts(), None)(snapshot);
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        let termination = connector.termination.as_mut().unwrap();
        termination.calling_regions = vec!["DE".parse().unwrap()];
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        at_home,
        |world| {
            let abroad = write(world, ANNA, FOR_BORIS);
            let home = write(world, BORIS, FOR_ANNA);
            world.run(1_000);
            assert_eq!(world.at_call(abroad).answers(), [403]);
            assert_eq!(refused(world, Cause::CountryNotAllowed), 1);
            assert_eq!(world.at_call(home).answers(), [200]);
        },
    );
}

#[test]
fn a_number_that_went_to_somebody_else_carries_no_texts() {
    for (gone, status) in [(FOR_BORIS, 405), (FOR_ANNA, 404)] {
        play_with(
            |_| {},
            with_number_gone(texts(), gone),
            |world| {
                assert_eq!(told(world, &Letter::of(ANNA, TEXT)), Some(status));
                assert!(world.agents[CARRIER].letters().is_empty());
            },
        );
    }
}

#[test]
fn a_text_goes_where_the_connector_may_call_and_no_oftener() {
    let changes: [(Change, Cause); 2] = [
        (without_termination, Cause::NoTermination),
        (with_termination_disabled, Cause::TerminationDisabled),
    ];
    for (change, cause) in changes {
        play_with(
            |_| {},
            with_connector(texts(), change),
            |world| {
                let heard = told(world, &Letter::of(ANNA, TEXT));
                assert_eq!(heard, Some(cause.status()));
                assert_eq!(refused(world, cause), 1);
            },
        );
    }
    let slow = |connector: &mut VoiceConnector| {
        connector.termination.as_mut().unwrap().cps_limit = 1;
    };
    play_with(
        |_| {},
        with_connector(texts(), slow),
        |world| {
            let html = Letter {
                content_type: Some("text/html"),
                ..Letter::of(ANNA, TEXT)
            };
            let refused = world.write(CARRIER_SPARE, &inbound(FOR_BORIS), &html);
            let taken = write(world, ANNA, FOR_BORIS);
            world.run(500);
            let too_soon = write(world, BORIS, FOR_ANNA);
            world.run(600);
            let later = write(world, BORIS, FOR_ANNA);
            world.run(500);
            for (at, status) in [(refused, 415), (taken, 200), (too_soon, 503), (later, 200)] {
                assert_eq!(world.at_call(at).answers(), [status]);
            }
        },
    );
    let thrifty = |connector: &mut VoiceConnector| {
        connector.policy = Arc::new(TerminationPolicy {
            spending: SpendingLimits {
                calls_per_hour: 2,
                ..SpendingLimits::default()
            },
            ..TerminationPolicy::default()
        });
    };
    play_with(
        |_| {},
        with_connector(texts(), thrifty),
        |world| {
            for heard in [200, 200, 403] {
                assert_eq!(told(world, &Letter::of(ANNA, TEXT)), Some(heard));
            }
            assert_eq!(refused(world, Cause::CallsPerHour), 1);
            let mut alerts = world.events.iter().filter_map(|event| match event {
                Event::Spending(alert) => Some((alert.calls, alert.is_reached)),
                _ => None,
            });
            assert_eq!(alerts.next_back(), Some((2, true)));
        },
    );
}

#[test]
fn numbers_that_stand_for_nobody_and_customers_take_and_send_none() {
    play(|world| {
        for (agent, to) in [
            (CARRIER_SPARE, inbound(OWN)),
            (CARRIER_SPARE, inbound(OUTSIDE)),
            (PBX, through(PLAIN, FOR_BORIS)),
            (PBX, through(PLAIN, OUTSIDE)),
        ] {
            let a = world.write(agent, &to, &Letter::of(ANNA, TEXT));
            world.run(1_000);
            let call = world.at_call(a);
            assert_eq!(call.answers(), [405], "{to}");
            let allow = call.response_header(405, HeaderName::Allow).unwrap();
            assert!(!allow.contains("MESSAGE"), "{allow}");
        }
        assert!(world.agents[CARRIER].calls.is_empty());
    });
}

#[test]
fn only_plain_text_of_bounded_length_is_relayed() {
    let of = |content_type, body: usize| Letter {
        content_type,
        body: vec![b'a'; body],
        ..Letter::of(ANNA, "")
    };
    play(|world| {
        for (letter, status) in [
            (of(Some("text/plain"), 10), 200),
            (of(None, 0), 200),
            (of(Some("text/plain"), 700), 200),
            // With what stands before it, it is too large (RFC 3428 §8).
            (of(Some("text/plain"), 1_200), 413),
            (of(Some("text/plain"), 1_301), 413),
            (of(Some("text/plain;charset=\"a b\""), 10), 415),
            (of(Some("text/html"), 10), 415),
            (of(Some("message/cpim"), 10), 415),
            (of(Some("application/vnd.3gpp.sms"), 10), 415),
            (of(Some("multipart/mixed;boundary=x"), 10), 415),
            (of(None, 10), 415),
        ] {
            let at = world.write(CARRIER_SPARE, &inbound(FOR_BORIS), &letter);
            world.run(1_000);
            let call = world.at_call(at);
            assert_eq!(call.answers(), [status], "{letter:?}");
            if status == 415 {
                let accept = call.response_header(415, HeaderName::Accept);
                assert_eq!(accept.as_deref(), Some("text/plain"));
            }
        }
        for (name, value, status) in [
            ("Content-Encoding", "gzip", 415),
            ("Content-Encoding", "identity", 200),
            ("Require", "foo", 420),
        ] {
            let mut letter = Letter::of(ANNA, TEXT);
            letter.extra.push((name, value.to_owned()));
            assert_eq!(told(world, &letter), Some(status), "{name}");
        }
    });
}

#[test]
fn texts_on_their_way_are_bounded() {
    const RECEIVERS: u64 = 126;
    let number = |first: u64, at: u64| format!("+{}", first + at).parse().unwrap();
    let crowd = |snapshot: &mut Snapshot| {
        let hasty = |connector: &mut VoiceConnector| {
            connector.termination.as_mut().unwrap().cps_limit = 10_000;
        };
        with_connector(texts(), hasty)(snapshot);
        for at in 0..RECEIVERS {
            let participant = |first| ProxyParticipant {
                number: number(first, at),
                proxy: FOR_BORIS.parse().unwrap(),
            };
            snapshot.proxy_sessions.put(ProxySession {
                id: format!("session {at}").into(),
                participants: [participant(4_930_000_000), participant(6_129_000_000)],
                ..texts()
            });
        }
    };
    play_with(
        |_| {},
        crowd,
        |world| {
            world.agents[CARRIER].plan = Plan::takes_messages(None);
            let mut sent = Vec::new();
            for at in 0..RECEIVERS {
                let from: &'static str = format!("+{}", 4_930_000_000 + at).leak();
                sent.extend((0..9).map(|_| write(world, from, FOR_BORIS)));
            }
            world.run(1_000);
            let answers = sent.iter().flat_map(|at| world.at_call(*at).answers());
            let answers: Vec<u16> = answers.collect();
            let count = |status| answers.iter().filter(|it| **it == status).count();
            if world.shards.len() == 1 {
                // Of the last but one receiver eight make a thousand.
                assert_eq!((count(480), count(503)), (124, 10));
                assert_eq!(world.occupancy().pager_messages, 1_000);
                let full = world.shards[0].counters().pager_messages_refused_full;
                assert_eq!(full, 134);
            }
        },
    );
}

#[test]
fn a_node_that_stops_or_is_behind_says_so() {
    play(|world| {
        world.agents[CARRIER].plan = Plan::takes_messages(None);
        let a = write(world, ANNA, FOR_BORIS);
        world.run(1_000);
        assert_eq!(world.occupancy().pager_messages, 1);
        world.shut_down();
        world.run(100);
        assert_eq!(world.at_call(a).answers(), [500]);
        assert_eq!(world.occupancy().pager_messages, 0);
        for shard in &mut world.shards {
            shard.set_lag(Limits::default().lag_refuse);
        }
        assert_eq!(told(world, &Letter::of(ANNA, TEXT)), Some(503));
    });
}
