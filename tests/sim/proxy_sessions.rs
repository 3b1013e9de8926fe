//! Number masking: two people who reach each other by numbers that stand for them.

use std::sync::Arc;
use std::time::Duration;

use trunkline::config::CarrierPolicy;
use trunkline::instant::Instant;
use trunkline::shard::snapshot::{
    GroupMember, NumberHolder, ProxyParticipant, ProxyPolicy, ProxySession, Snapshot,
    VoiceConnector,
};
use trunkline::sip::message::{HeaderName, Method};
use trunkline::telemetry::{CallKind, Event};
use uuid::Uuid;

use crate::agent::plan::{Act, Plan};
use crate::cast::{
    CARRIER, CARRIER_SPARE, PBX, PBX_TCP, PLAIN, TCP, connector_id, inbound, play_with,
};
use crate::world::World;

/// Two participants, and what stands for the first and the second one.
pub(crate) const ANNA: &str = "+4930901820";
pub(crate) const BORIS: &str = "+442071838701";
pub(crate) const FOR_ANNA: &str = "+12065550180";
pub(crate) const FOR_BORIS: &str = "+12065550181";
pub(crate) const STRANGER: &str = "+442071838750";
pub(crate) const FALLBACK: &str = "+442071838799";

pub(crate) fn session() -> ProxySession {
    let participant = |number: &str, proxy: &str| ProxyParticipant {
        number: number.parse().unwrap(),
        proxy: proxy.parse().unwrap(),
    };
    ProxySession {
        id: "5a5ea7b0-0000-4000-8000-000000000001".into(),
        connector: connector_id(PLAIN),
        // What a participant dials is its own proxy number.
        participants: [participant(ANNA, FOR_BORIS), participant(BORIS, FOR_ANNA)],
        voice: true,
        sms: false,
        in_progress: false,
        ends: Some(Instant::ORIGIN + Duration::from_secs(60)),
    }
}

pub(crate) fn with(session: ProxySession, fallback: Option<&str>) -> impl Fn(&mut Snapshot) {
    let fallback = fallback.map(|number| number.parse().unwrap());
    move |snapshot| {
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        connector.proxy = Some(ProxyPolicy {
            disabled: false,
            fallback,
        });
        // Where the second participant is.
        let termination = connector.termination.as_mut().unwrap();
        termination.calling_regions.push("AU".parse().unwrap());
        snapshot.put_connector(connector);
        for number in [FOR_ANNA, FOR_BORIS] {
            let holder = NumberHolder::Connector(connector_id(PLAIN));
            snapshot.numbers.insert(number.parse().unwrap(), holder);
        }
        let sessions = &mut snapshot.proxy_sessions;
        sessions.put(session.clone());
    }
}

/// One of the session's numbers is called, through the spare carrier; the other carrier takes calls out.
fn dial(
    world: &mut World,
    from: &'static str,
    number: &str,
    extra: &[(&'static str, &str)],
) -> Option<u16> {
    let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    let mut plan = Plan {
        from,
        ..Plan::idle()
    };
    plan.extra.extend(extra.iter().map(own));
    let a = world.call(CARRIER_SPARE, &inbound(number), plan);
    world.run(2_000);
    let status = world.at_call(a).status();
    if status == Some(200) {
        world.act(a, Act::Bye);
        world.run(1_000);
    }
    status
}

/// Whom the carrier was asked to call last, and the whole head of that INVITE.
fn called(world: &World) -> (String, String) {
    let b = world.last_call(CARRIER);
    let invite = world.at_call(b).request(Method::Invite);
    (invite.uri().to_owned(), invite.head().to_owned())
}

pub(crate) const TELLING: [(&str, &str); 9] = [
    (
        "P-Asserted-Identity",
        "\"Anna\" <sip:+4930901820@x.example>",
    ),
    ("Remote-Party-ID", "<sip:+4930901820@x.example>"),
    ("Diversion", "<sip:+4930901820@x.example>"),
    ("History-Info", "<sip:+4930901820@x.example>;index=1"),
    ("Subject", "+4930901820"),
    ("X-Caller", "+4930901820"),
    ("User-to-User", "2b34393330393031383230;encoding=hex"),
    ("Session-ID", "4930901820"),
    ("Privacy", "none"),
];

#[test]
fn each_participant_reaches_the_other_and_shows_the_number_that_stands_for_it() {
    play_with(
        |_| {},
        with(session(), None),
        |world| {
            assert_eq!(dial(world, ANNA, FOR_BORIS, &TELLING), Some(200));
            let (uri, head) = called(world);
            assert_eq!(uri, format!("sip:{BORIS}@192.0.2.101:5080"));
            assert!(!head.contains("4930901820"), "{head}");
            assert!(!head.contains("Somebody"), "{head}");
            let b = world.last_call(CARRIER);
            let invite = world.at_call(b).request(Method::Invite);
            // What Boris calls to reach Anna.
            let own = format!("sip:{FOR_ANNA}@198.51.100.1");
            assert_eq!(invite.from().unwrap().uri, own);
            assert_eq!(
                invite.header(HeaderName::PAssertedIdentity),
                Some(format!("<{own}>").as_str())
            );
            assert_eq!(dial(world, BORIS, FOR_ANNA, &[]), Some(200));
            let (uri, head) = called(world);
            assert_eq!(uri, format!("sip:{ANNA}@192.0.2.101:5080"));
            assert!(head.contains(FOR_BORIS) && !head.contains(BORIS), "{head}");
            let used = world.events.iter().filter(|event| {
                matches!(event, Event::ProxySessionUsed { connector, session: id }
                if *connector == connector_id(PLAIN) && *id == session().id)
            });
            assert_eq!(used.count(), 2);
            let marked = world.events.iter().filter(|event| {
            matches!(event, Event::CallEnded { facts, .. } if facts.kind == CallKind::Proxy)
        });
            assert_eq!(marked.count(), 2);
        },
    );
}

#[test]
fn what_the_other_one_answers_tells_nothing_either() {
    play_with(
        |_| {},
        with(session(), None),
        |world| {
            let mut plan = Plan::answers();
            plan.with_answers
                .push(("P-Asserted-Identity", format!("<sip:{BORIS}@x.example>")));
            plan.with_answers.push(("X-Called", BORIS.to_owned()));
            world.agents[CARRIER].plan = plan;
            let a = world.call(
                CARRIER_SPARE,
                &inbound(FOR_BORIS),
                Plan {
                    from: ANNA,
                    ..Plan::idle()
                },
            );
            world.run(2_000);
            let call = world.at_call(a);
            assert_eq!(call.status(), Some(200));
            for name in [HeaderName::PAssertedIdentity, HeaderName::Other] {
                assert_eq!(call.response_header(200, name), None);
            }
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn a_third_persons_call_goes_to_the_fallback_or_nowhere() {
    for (from, number) in [
        (STRANGER, FOR_ANNA),
        // It stands for Anna herself, and Boris dials it.
        (ANNA, FOR_ANNA),
    ] {
        play_with(
            |_| {},
            with(session(), None),
            |world| {
                assert_eq!(dial(world, from, number, &[]), Some(404));
                assert!(world.agents[CARRIER].calls.is_empty());
            },
        );
        play_with(
            |_| {},
            with(session(), Some(FALLBACK)),
            |world| {
                assert_eq!(dial(world, from, number, &[]), Some(200));
                let (uri, head) = called(world);
                assert_eq!(uri, format!("sip:{FALLBACK}@192.0.2.101:5080"));
                assert!(
                    head.contains(number) && !head.contains(from) || from == ANNA,
                    "{head}"
                );
            },
        );
    }
}

#[test]
fn a_session_ends_at_its_second() {
    play_with(
        |_| {},
        with(session(), None),
        |world| {
            world.run(57_000);
            assert_eq!(dial(world, ANNA, FOR_BORIS, &[]), Some(200));
            assert_eq!(dial(world, ANNA, FOR_BORIS, &[]), Some(404));
        },
    );
}

#[test]
fn a_session_without_voice_takes_no_calls() {
    let silent = ProxySession {
        voice: false,
        ..session()
    };
    play_with(
        |_| {},
        with(silent, Some(FALLBACK)),
        |world| {
            assert_eq!(dial(world, ANNA, FOR_BORIS, &[]), Some(403));
            assert!(world.agents[CARRIER].calls.is_empty());
        },
    );
}

/// The session, after one of its numbers went to another connector.
pub(crate) fn with_number_gone(session: ProxySession, number: &str) -> impl Fn(&mut Snapshot) {
    let number = number.parse().unwrap();
    move |snapshot| {
        with(session.clone(), Some(FALLBACK))(snapshot);
        let holder = NumberHolder::Connector(connector_id(TCP));
        snapshot.numbers.insert(number, holder);
    }
}

#[test]
fn a_number_that_went_to_somebody_else_takes_their_calls() {
    for from in [ANNA, STRANGER] {
        play_with(
            |_| {},
            with_number_gone(session(), FOR_BORIS),
            |world| {
                assert_eq!(dial(world, from, FOR_BORIS, &[]), Some(200));
                assert_eq!(world.agents[PBX_TCP].calls.len(), 1);
                assert!(world.agents[CARRIER].calls.is_empty());
            },
        );
        let to_group = |snapshot: &mut Snapshot| {
            with(session(), Some(FALLBACK))(snapshot);
            let group = Uuid::from_u128(7);
            let member = GroupMember {
                connector: connector_id(TCP),
                priority: 1,
            };
            snapshot.groups.insert(group, [member].into());
            let number = FOR_BORIS.parse().unwrap();
            snapshot.numbers.insert(number, NumberHolder::Group(group));
        };
        play_with(
            |_| {},
            to_group,
            |world| {
                assert_eq!(dial(world, from, FOR_BORIS, &[]), Some(200));
                assert_eq!(world.agents[PBX_TCP].calls.len(), 1);
            },
        );
    }
}

#[test]
fn a_participant_is_not_shown_as_a_number_of_somebody_else() {
    // The one that is dialled is still the connector's.
    play_with(
        |_| {},
        with_number_gone(session(), FOR_ANNA),
        |world| {
            assert_eq!(dial(world, ANNA, FOR_BORIS, &[]), Some(200));
            let (uri, _) = called(world);
            assert_eq!(uri, format!("sip:{FALLBACK}@192.0.2.101:5080"));
        },
    );
}

#[test]
fn who_calls_is_whom_a_trusted_carrier_asserts() {
    let one = "<sip:+442071838750@x.example>";
    let other = "<tel:+4930901820>";
    let both = format!("{one}, {other}");
    for (trusted, from, asserted, status) in [
        (true, STRANGER, None, 404),
        (true, ANNA, None, 200),
        (true, ANNA, Some(one), 404),
        (true, STRANGER, Some(other), 200),
        (true, ANNA, Some(&*both), 400),
        (false, ANNA, Some(one), 200),
        (false, STRANGER, Some(other), 404),
    ] {
        let trusting = |snapshot: &mut Snapshot| {
            with(session(), None)(snapshot);
            let mut carriers = snapshot.carriers().to_vec();
            for carrier in &mut carriers {
                carrier.policy = Arc::new(CarrierPolicy {
                    trusted,
                    ..(*carrier.policy).clone()
                });
            }
            snapshot.set_carriers(carriers);
        };
        let asserted = asserted.map(|value| ("P-Asserted-Identity", value));
        let extra: Vec<_> = asserted.into_iter().collect();
        play_with(
            |_| {},
            trusting,
            |world| {
                let heard = dial(world, from, FOR_BORIS, &extra);
                assert_eq!(heard, Some(status), "{trusted} {from} {extra:?}");
            },
        );
    }
}

/// How a connector differs.
pub(crate) type Change = fn(&mut VoiceConnector);

/// The session, of a connector that differs so.
pub(crate) fn with_connector(
    session: ProxySession,
    change: impl Fn(&mut VoiceConnector),
) -> impl Fn(&mut Snapshot) {
    move |snapshot| {
        with(session.clone(), Some(FALLBACK))(snapshot);
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        change(&mut connector);
        snapshot.put_connector(connector);
    }
}

pub(crate) fn without_termination(connector: &mut VoiceConnector) {
    connector.termination = None;
}

pub(crate) fn with_termination_disabled(connector: &mut VoiceConnector) {
    connector.termination.as_mut().unwrap().disabled = true;
}

#[test]
fn who_may_not_call_the_pstn_masks_nobody_there() {
    let changes: [(Change, u16); 2] =
        [(without_termination, 404), (with_termination_disabled, 403)];
    for (change, status) in changes {
        play_with(
            |_| {},
            with_connector(session(), change),
            |world| {
                for from in [ANNA, STRANGER] {
                    assert_eq!(dial(world, from, FOR_BORIS, &[]), Some(status));
                }
                assert!(world.agents[CARRIER].calls.is_empty());
                assert!(world.agents[PBX].calls.is_empty());
            },
        );
    }
}
