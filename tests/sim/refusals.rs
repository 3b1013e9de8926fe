//! INVITEs that may not pass, each with its status and reason.

use std::time::Duration;

use trunkline::sip::digest::Challenge;
use trunkline::sip::message::{HeaderName, Message, Method};
use trunkline::telemetry::Event;

use crate::agent::acting::answer_to;
use crate::agent::call::State;
use crate::agent::plan::{Act, Plan, Session};
use crate::cast::{
    BARE, CARRIER, DISABLED, OUTSIDE, OWN, OWN_SECRET, PASSWORD, PBX, PLAIN, SECRET, SLOW,
    USERNAME, connector_id, host, inbound, play, play_with, through,
};
use crate::world::World;

/// An agent calls and is refused so, and nobody else hears of it.
fn refused(agent: usize, to: &str, plan: &Plan, status: u16, reason: &str) {
    play(|world| {
        expect_refusal(world, agent, to, plan, status, reason);
        let others = world.agents.iter().map(|agent| agent.calls.len());
        assert_eq!(others.sum::<usize>(), 1);
        assert_eq!(world.calls_begun(), 0);
    });
}

fn expect_refusal(
    world: &mut World,
    agent: usize,
    to: &str,
    plan: &Plan,
    status: u16,
    reason: &str,
) {
    let a = world.call(agent, to, plan.clone());
    world.run(1_000);
    let expected = (status, reason.to_owned());
    assert_eq!(world.at_call(a).outcome.as_ref(), Some(&expected), "{to}");
    let id = &world.at_call(a).id;
    let told = world.events.iter().any(|event| {
        matches!(event, Event::CallRefused { call_id, status: s, reason: r, .. }
            if call_id == id && *s == status && r == reason)
    });
    assert!(told, "no event says so");
}

fn from(number: &'static str) -> Plan {
    Plan {
        from: number,
        ..Plan::idle()
    }
}

fn with_account(password: &'static str, algorithm: &'static str) -> Plan {
    Plan {
        account: Some((USERNAME, password, algorithm)),
        ..from(OWN_SECRET)
    }
}

#[test]
fn a_host_that_is_no_connectors_is_not_found() {
    let to = format!("sip:{OUTSIDE}@{}", host(33));
    refused(
        PBX,
        &to,
        &Plan::idle(),
        404,
        "No Voice Connector At This Host",
    );
    let to = format!("sip:{OUTSIDE}@somewhere.example");
    refused(
        PBX,
        &to,
        &Plan::idle(),
        404,
        "No Voice Connector At This Host",
    );
}

#[test]
fn the_log_is_told_whether_a_stranger_was_refused() {
    let strange = format!("sip:{OUTSIDE}@{}", host(33));
    let cases = [
        (PBX, strange, false),
        (CARRIER, inbound("+12065550142"), true),
    ];
    for (agent, to, expected) in cases {
        play(|world| {
            world.call(agent, &to, Plan::idle());
            world.run(1_000);
            let mut told = world.events.iter().filter_map(|event| match event {
                Event::CallRefused { is_known, .. } => Some(*is_known),
                _ => None,
            });
            assert_eq!(told.next(), Some(expected), "{to}");
            assert_eq!(told.next(), None);
        });
    }
}

#[test]
fn a_connector_without_termination_is_not_found() {
    let to = through(BARE, OUTSIDE);
    refused(
        PBX,
        &to,
        &Plan::idle(),
        404,
        "Voice Connector Has No Termination",
    );
}

#[test]
fn a_disabled_connector_is_forbidden() {
    refused(
        PBX,
        &through(DISABLED, OUTSIDE),
        &Plan::idle(),
        403,
        "Termination Disabled",
    );
}

#[test]
fn a_connector_that_wants_encryption_refuses_plain_transports() {
    let encrypted = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        connector.require_encryption = true;
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        encrypted,
        |world| {
            let to = through(PLAIN, OUTSIDE);
            expect_refusal(world, PBX, &to, &Plan::idle(), 403, "Encryption Required");
        },
    );
}

#[test]
fn a_source_outside_the_allowed_networks_is_forbidden() {
    let to = through(PLAIN, OUTSIDE);
    refused(
        CARRIER,
        &to,
        &Plan::idle(),
        403,
        "Source Address Not Allowed",
    );
}

#[test]
fn a_caller_with_the_right_password_passes() {
    for algorithm in ["MD5", "SHA-256"] {
        play(|world| {
            let a = world.call(
                PBX,
                &through(SECRET, OUTSIDE),
                with_account(PASSWORD, algorithm),
            );
            world.run(3_000);
            assert_eq!(
                world.at_call(a).statuses(),
                [407, 100, 180, 200],
                "{algorithm}"
            );
            let b = world.last_call(CARRIER);
            let invite = world.at_call(b).request(Method::Invite);
            assert_eq!(invite.header(HeaderName::ProxyAuthorization), None);
            world.act(a, Act::Reinvite(Session::Moved));
            world.run(1_000);
            assert_eq!(
                world.at_call(a).reinvite_answers,
                [200],
                "no challenge within the call"
            );
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_challenge_offers_both_algorithms_for_the_connectors_realm() {
    play(|world| {
        let a = world.call(PBX, &through(SECRET, OUTSIDE), from(OWN_SECRET));
        world.run(1_000);
        assert_eq!(world.at_call(a).status(), Some(407));
        let challenges = challenges(world, a);
        assert_eq!(challenges.len(), 2);
        for value in &challenges {
            let challenge = Challenge::parse(value).unwrap();
            assert_eq!(challenge.realm, host(SECRET));
            assert!(challenge.qop_auth && !challenge.stale);
        }
        let known: Vec<_> = challenges
            .iter()
            .map(|value| Challenge::parse(value).unwrap().algorithm.token())
            .collect();
        assert!(
            known.contains(&"MD5") && known.contains(&"SHA-256"),
            "{known:?}"
        );
        let refusals = world.events.iter();
        assert_eq!(refusals.count(), 0, "a challenge is no refusal");
    });
}

fn challenges(world: &World, at: crate::world::CallRef) -> Vec<String> {
    let Some(Message::Response(response)) = world.at_call(at).heard.last() else {
        panic!("no response");
    };
    let values = response.headers(HeaderName::ProxyAuthenticate);
    values.map(str::to_owned).collect()
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_forbidden_alike() {
    for algorithm in ["MD5", "SHA-256"] {
        let to = through(SECRET, OUTSIDE);
        refused(
            PBX,
            &to,
            &with_account("looking-glass", algorithm),
            403,
            "Wrong Credentials",
        );
        let stranger = Plan {
            account: Some(("mallory", PASSWORD, algorithm)),
            ..from(OWN_SECRET)
        };
        refused(PBX, &to, &stranger, 403, "Wrong Credentials");
    }
}

#[test]
fn credentials_that_are_used_again_are_challenged_as_stale() {
    play(|world| {
        let to = through(SECRET, OUTSIDE);
        let a = world.call(PBX, &to, with_account(PASSWORD, "MD5"));
        world.run(3_000);
        world.act(a, Act::Bye);
        world.run(1_000);
        // Overheard and sent again, within another call of the same Call-ID: the same shard.
        let invite = world.agents[PBX].calls[a.call].invite.as_ref().unwrap();
        let text = String::from_utf8(invite.bytes.to_vec()).unwrap();
        let again = text.replace("branch=z9hG4bK", "branch=z9hG4bKagain");
        world.inject("203.0.113.101:5060".parse().unwrap(), again);
        world.run(1_000);
        assert_eq!(world.agents[CARRIER].calls.len(), 1);
        for value in challenges(world, a) {
            assert!(Challenge::parse(&value).unwrap().stale, "{value}");
        }
    });
}

fn with_digest_uri(uri: String) -> Plan {
    Plan {
        digest_uri: Some(uri),
        ..with_account(PASSWORD, "SHA-256")
    }
}

#[test]
fn credentials_for_another_destination_are_forbidden() {
    let plan = with_digest_uri(through(SECRET, "+4930901821"));
    let reason = "Credentials Are For Another Request";
    refused(PBX, &through(SECRET, OUTSIDE), &plan, 403, reason);
}

#[test]
fn credentials_may_write_host_and_parameters_in_their_own_way() {
    let written = format!("sip:{OUTSIDE}@gateway.example;user=phone");
    for uri in [written, format!("sip:{}", host(SECRET))] {
        play(|world| {
            let plan = with_digest_uri(uri.clone());
            let a = world.call(PBX, &through(SECRET, OUTSIDE), plan);
            world.run(3_000);
            assert_eq!(world.at_call(a).state, State::Talking, "{uri}");
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_nonce_that_has_expired_is_challenged_as_stale_and_then_passes() {
    play(|world| {
        let to = through(SECRET, OUTSIDE);
        let a = world.call(PBX, &to, from(OWN_SECRET));
        world.run(1_000);
        let value = challenges(world, a).remove(0);
        world.run(301_000);
        let credentials = answer_to(
            &Challenge::parse(&value).unwrap(),
            USERNAME,
            PASSWORD,
            &to,
            1,
        );
        let plan = Plan {
            extra: vec![("Proxy-Authorization", credentials)],
            ..from(OWN_SECRET)
        };
        let b = world.call(PBX, &to, plan);
        world.run(1_000);
        assert_eq!(world.at_call(b).status(), Some(407));
        assert!(Challenge::parse(&challenges(world, b)[0]).unwrap().stale);
    });
}

#[test]
fn a_destination_that_is_no_e164_number_is_incomplete() {
    for number in ["alice", "0301234567", "+1", "+1234567890123456", "%2b"] {
        let reason = "Destination Is Not An E.164 Number";
        refused(PBX, &through(PLAIN, number), &Plan::idle(), 484, reason);
    }
}

#[test]
fn a_number_that_is_against_the_grammar_is_malformed() {
    for (user, parameter) in [
        ("bob", ";user=phone"),
        ("+4930x", ";user=phone"),
        ("+%zz", ""),
    ] {
        let to = format!("{}{parameter}", through(PLAIN, user));
        refused(PBX, &to, &Plan::idle(), 400, "Malformed Telephone Number");
    }
}

#[test]
fn a_number_may_be_written_with_separators_and_parameters() {
    for number in [
        "+49-30-90.18(20)",
        "%2B4930901820",
        "+4930901820;npdi",
        "30-90-1820;phone-context=+49",
    ] {
        play(|world| {
            let a = world.call(PBX, &through(PLAIN, number), Plan::idle());
            world.run(3_000);
            let b = world.last_call(CARRIER);
            let uri = world.at_call(b).request(Method::Invite).uri().to_owned();
            assert!(uri.starts_with("sip:+4930901820@"), "{uri}");
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_number_without_plus_is_no_destination() {
    for number in ["4930901820", "2025550123", "5550123"] {
        let reason = "Destination Is Not An E.164 Number";
        refused(PBX, &through(PLAIN, number), &Plan::idle(), 484, reason);
    }
}

#[test]
fn a_caller_id_of_somebody_else_is_forbidden() {
    let to = through(PLAIN, OUTSIDE);
    refused(
        PBX,
        &to,
        &from("+12065550199"),
        403,
        "Caller Id +12065550199 is not valid",
    );
    refused(
        PBX,
        &to,
        &from(OWN_SECRET),
        403,
        "Caller Id +12065550103 is not valid",
    );
    refused(PBX, &to, &from("anonymous"), 403, "Caller Id is not valid");
}

#[test]
fn a_default_number_takes_the_place_of_a_caller_id_that_is_not_valid() {
    let with_default = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        if let Some(termination) = &mut connector.termination {
            termination.default_phone_number = Some(OWN.parse().unwrap());
        }
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        with_default,
        |world| {
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), from("+12065550199"));
            world.run(3_000);
            let b = world.last_call(CARRIER);
            let from = world.at_call(b).request(Method::Invite).from().unwrap();
            assert!(from.uri.starts_with("sip:+12065550100@"), "{}", from.uri);
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn a_destination_without_a_carrier_is_unavailable() {
    let no_carrier = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        snapshot.set_carriers([]);
    };
    play_with(
        |_| {},
        no_carrier,
        |world| {
            let to = through(PLAIN, OUTSIDE);
            expect_refusal(
                world,
                PBX,
                &to,
                &Plan::idle(),
                503,
                "No Carrier For This Destination",
            );
        },
    );
}

#[test]
fn a_number_that_nobody_has_is_not_found() {
    refused(
        CARRIER,
        &inbound("+12065550142"),
        &Plan::idle(),
        404,
        "Number Not In Service",
    );
}

#[test]
fn a_number_of_a_connector_without_origination_is_not_found() {
    let reason = "Voice Connector Has No Origination";
    refused(
        CARRIER,
        &inbound("+12065550105"),
        &Plan::idle(),
        404,
        reason,
    );
}

#[test]
fn a_pbx_that_knows_no_host_name_is_known_by_its_address() {
    let only_one = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        for number in [SECRET, DISABLED, SLOW] {
            snapshot.remove_connector(connector_id(number));
        }
    };
    play_with(
        |_| {},
        only_one,
        |world| {
            let a = world.call(PBX, &inbound(OUTSIDE), Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(a).state, State::Talking);
            world.act(a, Act::Bye);
        },
    );
    // Where several connectors allow the address, nobody can tell.
    refused(
        PBX,
        &inbound(OUTSIDE),
        &Plan::idle(),
        404,
        "No Voice Connector At This Host",
    );
}

#[test]
fn a_full_table_of_calls_is_told_to_come_later() {
    play_with(
        |gateway| gateway.limits.calls_max = 2,
        |_| {},
        |world| {
            let shards = world.shards.len();
            let calls: Vec<_> = (0..2 * shards + 4)
                .map(|_| world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle()))
                .collect();
            world.run(3_000);
            let refused = calls
                .iter()
                .filter(|call| world.at_call(**call).status() == Some(503));
            let refused: Vec<_> = refused.copied().collect();
            assert!(refused.len() >= 4);
            for call in &refused {
                let outcome = world.at_call(*call).outcome.clone().unwrap();
                assert_eq!(outcome.1, "Too Many Calls");
                let after = world
                    .at_call(*call)
                    .response_header(503, HeaderName::RetryAfter);
                assert!(after.is_some());
            }
            assert!(
                world
                    .shards
                    .iter()
                    .all(|shard| shard.occupancy().calls <= 2)
            );
            for call in calls {
                world.act(call, Act::Bye);
            }
        },
    );
}

#[test]
fn a_call_that_finds_no_media_port_is_told_to_come_later() {
    // With three pairs the second call finds one for leg A and none for leg B.
    for ports in [0, 1, 3] {
        play_with(
            |gateway| {
                gateway.media_ports = ports;
                gateway.media_addresses.truncate(1);
            },
            |_| {},
            |world| {
                let to = through(PLAIN, OUTSIDE);
                let calls: Vec<_> = (0..6).map(|_| world.call(PBX, &to, Plan::idle())).collect();
                world.run(3_000);
                let mut refused = 0;
                for call in calls {
                    let Some((503, reason)) = world.at_call(call).outcome.clone() else {
                        world.act(call, Act::Bye);
                        continue;
                    };
                    assert_eq!(reason, "No Media Port Free");
                    let after = world
                        .at_call(call)
                        .response_header(503, HeaderName::RetryAfter);
                    assert!(after.is_some());
                    refused += 1;
                }
                assert!(refused >= 1, "{ports} pairs a shard");
            },
        );
    }
}

#[test]
fn a_full_table_of_transactions_is_told_to_come_later() {
    for transactions in 0..8 {
        play_with(
            |gateway| gateway.limits.transactions_max = transactions,
            |_| {},
            |world| {
                let calls: Vec<_> = (0..8)
                    .map(|_| world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle()))
                    .collect();
                world.run(5_000);
                for call in calls {
                    match world.at_call(call).status() {
                        Some(200) => world.act(call, Act::Bye),
                        Some(503) => {
                            let after = world
                                .at_call(call)
                                .response_header(503, HeaderName::RetryAfter);
                            assert!(after.is_some());
                        }
                        other => panic!("{other:?}"),
                    }
                }
                // A BYE that found no place in the table is not sent.
                world.run(60_000);
                for agent in &mut world.agents {
                    for call in &mut agent.calls {
                        call.state = State::Over;
                    }
                }
            },
        );
    }
}

#[test]
fn an_invite_that_demands_an_extension_is_refused() {
    for name in ["Require", "Proxy-Require"] {
        let plan = Plan {
            extra: vec![(name, "precondition".to_owned())],
            ..Plan::idle()
        };
        play(|world| {
            let to = through(PLAIN, OUTSIDE);
            expect_refusal(world, PBX, &to, &plan, 420, "Bad Extension");
            let a = world.last_call(PBX);
            let unsupported = world
                .at_call(a)
                .response_header(420, HeaderName::Unsupported);
            assert_eq!(unsupported.as_deref(), Some("precondition"));
        });
    }
}

/// No response with this status arrives before the caller has sent its INVITE again.
fn lose_first(world: &mut World, status: &'static str) {
    world.lose = Some(Box::new(move |_, to_gateway, bytes| {
        !to_gateway && bytes.starts_with(format!("SIP/2.0 {status} ").as_bytes())
    }));
}

#[test]
fn a_call_over_the_limit_is_refused_again_when_the_limit_would_admit_it() {
    let one_a_second = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        let mut connector = (*snapshot.connectors[&connector_id(SLOW)]).clone();
        if let Some(termination) = &mut connector.termination {
            termination.cps_limit = 1;
        }
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        one_a_second,
        |world| {
            lose_first(world, "503");
            let to = through(SLOW, OUTSIDE);
            let calls = [(); 2].map(|()| world.call(PBX, &to, from("+12065550104")));
            world.run(1_200);
            world.lose = None;
            let statuses = calls.map(|call| world.at_call(call).status());
            assert!(statuses.contains(&Some(200)) && statuses.contains(&None));
            // The INVITE comes again after 1.5 seconds, when the second is over.
            world.run(3_000);
            let refused = calls.map(|call| world.at_call(call).status() == Some(503));
            assert_eq!(refused.iter().filter(|refused| **refused).count(), 1);
            assert_eq!(world.calls_begun(), 1);
            assert_eq!(world.agents[CARRIER].calls.len(), 1);
            let talking = calls[usize::from(refused[0])];
            world.act(talking, Act::Bye);
        },
    );
}

#[test]
fn a_refusal_after_the_right_password_is_told_again_and_not_challenged() {
    play(|world| {
        lose_first(world, "403");
        let plan = Plan {
            from: OWN,
            ..with_account(PASSWORD, "SHA-256")
        };
        let a = world.call(PBX, &through(SECRET, OUTSIDE), plan);
        // The INVITE with credentials was sent after 20 ms, and again half a second later.
        world.run(1_200);
        assert_eq!(world.at_call(a).status(), None);
        world.lose = None;
        world.run(3_000);
        let expected = (403, format!("Caller Id {OWN} is not valid"));
        assert_eq!(world.at_call(a).outcome, Some(expected));
        assert_eq!(world.at_call(a).statuses(), [407, 403]);
    });
}

#[test]
fn a_refusal_that_got_lost_is_told_again() {
    play(|world| {
        let mut lost = 0;
        world.lose = Some(Box::new(move |_, to_gateway, _| {
            lost += usize::from(!to_gateway);
            !to_gateway && lost <= 2
        }));
        let a = world.call(PBX, &through(DISABLED, OUTSIDE), Plan::idle());
        world.run(Duration::from_secs(5).as_millis() as u64);
        assert_eq!(world.at_call(a).status(), Some(403));
    });
}
