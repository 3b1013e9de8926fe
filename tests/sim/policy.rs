//! Policy as a table: for each cause of a refusal a call that meets it, and nothing else; and each setting with a call
//! that goes otherwise when it changes.

use std::sync::Arc;

use trunkline::config::{Host, SpendingLimits, TerminationPolicy};
use trunkline::gateway::Cause;
use trunkline::numbering::dialling::{DiallingRules, Parts, Plain};
use trunkline::shard::snapshot::{
    EmergencyNumber, GroupMember, NumberHolder, Origination, ProxyParticipant, ProxyPolicy,
    ProxySession, Snapshot, Termination, VoiceConnector,
};
use trunkline::sip::message::{HeaderName, Method};
use uuid::Uuid;

use crate::agent::plan::{Act, Plan};
use crate::cast::{
    BARE, CARRIER, CARRIER_SPARE, DISABLED, ENCRYPTED, OUTSIDE, OWN, OWN_SECRET, OWN_TLS, PASSWORD,
    PBX, PBX_SPARE, PBX_TLS, PLAIN, SECRET, SLOW, USERNAME, connector_id, host, inbound, play_with,
    through,
};
use crate::world::World;

fn change(snapshot: &mut Snapshot, connector: u8, change: impl FnOnce(&mut VoiceConnector)) {
    let mut changed = (*snapshot.connectors[&connector_id(connector)]).clone();
    change(&mut changed);
    snapshot.put_connector(changed);
}

fn termination(connector: &mut VoiceConnector) -> &mut Termination {
    connector.termination.as_mut().expect("termination")
}

fn origination(connector: &mut VoiceConnector) -> &mut Origination {
    connector.origination.as_mut().expect("origination")
}

fn policy(connector: &mut VoiceConnector) -> &mut TerminationPolicy {
    Arc::make_mut(&mut connector.policy)
}

/// A call that is refused for a cause.
struct Case {
    cause: Cause,
    change: Box<dyn Fn(&mut Snapshot)>,
    agent: usize,
    to: String,
    plan: Plan,
    /// The last of so many calls is the one that is refused so.
    calls: usize,
    warning: Option<&'static str>,
}

/// A call of the customer's PBX to the PSTN, in a world that is changed.
fn outbound(cause: Cause, change_plain: impl Fn(&mut VoiceConnector) + 'static) -> Case {
    Case {
        cause,
        change: Box::new(move |snapshot| change(snapshot, PLAIN, &change_plain)),
        agent: PBX,
        to: through(PLAIN, OUTSIDE),
        plan: Plan::idle(),
        calls: 1,
        warning: None,
    }
}

/// The same with nothing changed.
fn plain(cause: Cause, agent: usize, to: String) -> Case {
    Case {
        agent,
        to,
        ..outbound(cause, |_| {})
    }
}

fn with_extra(name: &'static str, value: &str) -> Plan {
    let mut plan = Plan::idle();
    plan.extra.push((name, value.to_owned()));
    plan
}

/// What an agent with keys would say without.
fn without_keys(description: String) -> String {
    let lines = description.split_inclusive("\r\n");
    let kept: String = lines
        .filter(|line| !line.starts_with("a=crypto:"))
        .collect();
    kept.replace("RTP/SAVP", "RTP/AVP")
}

fn with_account(password: &'static str) -> Plan {
    Plan {
        account: Some((USERNAME, password, "MD5")),
        from: OWN_SECRET,
        ..Plan::idle()
    }
}

fn spending(limits: SpendingLimits) -> impl Fn(&mut VoiceConnector) {
    move |connector| policy(connector).spending = limits
}

const ANNA: &str = "+4930901820";
const STANDS_FOR: &str = "+12065550180";

fn session(voice: bool) -> impl Fn(&mut Snapshot) {
    move |snapshot| {
        let participant = |number: &str| ProxyParticipant {
            number: number.parse().unwrap(),
            proxy: STANDS_FOR.parse().unwrap(),
        };
        let session = ProxySession {
            id: "session".into(),
            connector: connector_id(PLAIN),
            participants: [participant(ANNA), participant("+442071838750")],
            voice,
            sms: false,
            in_progress: false,
            ends: None,
        };
        let holder = NumberHolder::Connector(connector_id(PLAIN));
        snapshot.numbers.insert(STANDS_FOR.parse().unwrap(), holder);
        snapshot.proxy_sessions.put(session);
    }
}

fn terminations() -> Vec<Case> {
    use Cause::*;
    let secret = |cause, plan| Case {
        plan,
        ..plain(cause, PBX, through(SECRET, OUTSIDE))
    };
    vec![
        plain(NoVoiceConnector, PBX, through(33, OUTSIDE)),
        plain(NoTermination, PBX, through(BARE, OUTSIDE)),
        plain(TerminationDisabled, PBX, through(DISABLED, OUTSIDE)),
        Case {
            warning: Some("399 198.51.100.1:5060 \"Encryption is required: call over TLS\""),
            ..outbound(EncryptionRequired, |connector| {
                connector.require_encryption = true;
            })
        },
        Case {
            plan: Plan {
                from: OWN_TLS,
                rewrite: Some(without_keys),
                ..Plan::idle()
            },
            warning: Some("399 198.51.100.1:5061 \"SRTP is required: offer SDES keys\""),
            ..plain(SdesRequired, PBX_TLS, through(ENCRYPTED, OUTSIDE))
        },
        plain(SourceNotAllowed, CARRIER, through(PLAIN, OUTSIDE)),
        secret(
            CredentialsMalformed,
            with_extra("Proxy-Authorization", "Digest username=\"alice"),
        ),
        secret(
            CredentialsWanted,
            Plan {
                from: OWN_SECRET,
                ..Plan::idle()
            },
        ),
        secret(CredentialsWrong, with_account("looking-glass")),
        Case {
            // So many that every shard knows.
            calls: 8,
            ..secret(CredentialsGuessed, with_account("looking-glass"))
        },
        secret(
            CredentialsElsewhere,
            Plan {
                digest_uri: Some(format!("sip:+442071838750@{}", host(SECRET))),
                ..with_account(PASSWORD)
            },
        ),
        Case {
            plan: Plan {
                from: "+12065550104",
                ..Plan::idle()
            },
            calls: 3,
            ..plain(CpsLimit, PBX, through(SLOW, OUTSIDE))
        },
        Case {
            calls: 2,
            ..outbound(ConcurrentCallLimit, |connector| {
                policy(connector).concurrent_calls = 1
            })
        },
        plain(
            DestinationMalformed,
            PBX,
            format!("sip:+4930x@{};user=phone", host(PLAIN)),
        ),
        plain(DestinationNotE164, PBX, through(PLAIN, "0301234567")),
        outbound(CountryNotAllowed, |connector| {
            termination(connector).calling_regions = vec!["US".parse().unwrap()];
        }),
        plain(PremiumRate, PBX, through(PLAIN, "+19005550100")),
        plain(Satellite, PBX, through(PLAIN, "+881612345678")),
        outbound(PrefixNotAllowed, |connector| {
            policy(connector).deny_prefixes =
                ["4930".parse::<trunkline::numbering::Prefix>().unwrap()]
                    .into_iter()
                    .collect();
        }),
        Case {
            calls: 3,
            ..outbound(
                CallsPerHour,
                spending(SpendingLimits {
                    calls_per_hour: 2,
                    ..SpendingLimits::default()
                }),
            )
        },
        Case {
            calls: 2,
            ..outbound(
                CallsPerHourToCountry,
                spending(SpendingLimits {
                    calls_per_hour_to_country: 1,
                    ..SpendingLimits::default()
                }),
            )
        },
        Case {
            plan: with_extra(
                "P-Asserted-Identity",
                "<sip:+12065550100@x>, <tel:+12065550199>",
            ),
            ..outbound(IdentitiesDisagree, |_| {})
        },
        Case {
            plan: Plan {
                from: "anonymous",
                ..Plan::idle()
            },
            ..outbound(CallerIdNotValid, |_| {})
        },
        Case {
            change: Box::new(|snapshot| snapshot.set_carriers([])),
            ..outbound(NoCarrier, |_| {})
        },
        plain(NoEmergencyCarrier, PBX, through(PLAIN, "911")),
        Case {
            plan: Plan {
                from: OWN_TLS,
                ..Plan::idle()
            },
            ..plain(
                NoRouteOverTls,
                PBX_TLS,
                through(ENCRYPTED, OUTSIDE).replace("sip:", "sips:"),
            )
        },
    ]
}

fn originations() -> Vec<Case> {
    use Cause::*;
    let to_own = |cause, change_plain: fn(&mut VoiceConnector)| Case {
        agent: CARRIER,
        to: inbound(OWN),
        ..outbound(cause, change_plain)
    };
    vec![
        plain(DialledNotE164, CARRIER, inbound("0301234567")),
        plain(NumberNotInService, CARRIER, inbound("+12065550142")),
        Case {
            change: Box::new(|snapshot| {
                let group = Uuid::from_u128(7);
                let member = GroupMember {
                    connector: connector_id(BARE),
                    priority: 1,
                };
                snapshot.groups.insert(group, [member].into());
                let number = "+12065550170".parse().unwrap();
                snapshot.numbers.insert(number, NumberHolder::Group(group));
            }),
            ..plain(GroupHasNoOrigination, CARRIER, inbound("+12065550170"))
        },
        to_own(NoOrigination, |connector| connector.origination = None),
        to_own(OriginationDisabled, |connector| {
            origination(connector).disabled = true
        }),
        to_own(NoOriginationRoute, |connector| {
            origination(connector).routes.clear()
        }),
        to_own(NoOriginationAddress, |connector| {
            for route in &mut origination(connector).routes {
                route.target.host = Host::from("nowhere.example");
            }
        }),
        Case {
            change: Box::new(session(true)),
            plan: Plan {
                from: "+33142685300",
                ..Plan::idle()
            },
            ..plain(NoProxySession, CARRIER, inbound(STANDS_FOR))
        },
        Case {
            change: Box::new(session(false)),
            plan: Plan {
                from: ANNA,
                ..Plan::idle()
            },
            ..plain(ProxyWithoutVoice, CARRIER, inbound(STANDS_FOR))
        },
    ]
}

/// What no call meets is in `messages`; what descriptions do in `bad_input`, `srtp` and `carrier_rules`.
const MET_ELSEWHERE: [Cause; 7] = [
    Cause::ProxyWithoutSms,
    Cause::DescriptionMalformed,
    Cause::DescriptionUnusable,
    Cause::NoAudio,
    Cause::EncryptedMediaNotTaken,
    Cause::NoUsableCrypto,
    Cause::NoCommonCodec,
];

#[test]
fn every_cause_has_its_status_its_phrase_and_its_count() {
    let cases: Vec<Case> = terminations().into_iter().chain(originations()).collect();
    for cause in Cause::ALL {
        let is_told = cases.iter().any(|case| case.cause == cause);
        assert!(
            is_told || MET_ELSEWHERE.contains(&cause),
            "no call meets {cause:?}"
        );
    }
    for case in &cases {
        play_with(|_| {}, &case.change, |world| meets(world, case));
    }
}

fn meets(world: &mut World, case: &Case) {
    let cause = case.cause;
    let mut calls = Vec::new();
    for _ in 0..case.calls {
        calls.push(world.call(case.agent, &case.to, case.plan.clone()));
        world.run(150);
    }
    world.run(1_500);
    let refused = world.at_call(*calls.last().unwrap());
    let mut phrase = cause.reason().to_owned();
    // The hosted service's words have the number in their middle, where there is one.
    if cause == Cause::CallerIdNotValid && case.plan.from.starts_with('+') {
        phrase = format!("Caller Id {} is not valid", case.plan.from);
    }
    assert_eq!(refused.outcome, Some((cause.status(), phrase)), "{cause:?}");
    let warning = refused.last_response_header(HeaderName::Warning);
    assert_eq!(warning.as_deref(), case.warning, "{cause:?}");
    assert!(world.refused_for(cause) >= 1, "{cause:?} is not counted");
    for call in calls {
        if world.at_call(call).status() == Some(200) {
            world.act(call, Act::Bye);
        }
    }
    world.run(500);
}

/// What becomes of a call: its status, who was called, and the INVITE that reached him.
fn outcome(
    change: impl Fn(&mut Snapshot),
    agent: usize,
    to: &str,
    plan: &Plan,
) -> (Option<u16>, Option<(usize, String, String)>) {
    let result = std::cell::RefCell::new((None, None));
    play_with(
        |_| {},
        change,
        |world| {
            let a = world.call(agent, to, plan.clone());
            world.run(2_500);
            let status = world.at_call(a).status();
            let called = (0..world.agents.len())
                .find(|other| *other != agent && !world.agents[*other].calls.is_empty());
            let invite = called.map(|other| {
                let b = world.last_call(other);
                let invite = world.at_call(b).request(Method::Invite);
                let from = invite.from().unwrap().uri.to_owned();
                (other, invite.uri().to_owned(), from)
            });
            if status == Some(200) {
                world.act(a, Act::Bye);
            }
            *result.borrow_mut() = (status, invite);
        },
    );
    result.into_inner()
}

/// Of a customer's call.
fn sent(
    change_plain: impl Fn(&mut VoiceConnector),
    to: &str,
    plan: &Plan,
) -> (Option<u16>, String, String) {
    let put = |snapshot: &mut Snapshot| change(snapshot, PLAIN, &change_plain);
    let (status, invite) = outcome(put, PBX, &through(PLAIN, to), plan);
    let (_, uri, from) = invite.unwrap_or_default();
    let user = |uri: &str| {
        let user = uri.split('@').next().unwrap_or_default();
        user.trim_start_matches("sip:").to_owned()
    };
    (status, user(&uri), user(&from))
}

#[test]
fn each_setting_of_termination_decides() {
    let plan = Plan::idle();
    let passes = |change_plain: &dyn Fn(&mut VoiceConnector)| sent(change_plain, OUTSIDE, &plan).0;
    assert_eq!(passes(&|_| {}), Some(200));
    assert_eq!(
        passes(&|connector| termination(connector).disabled = true),
        Some(403)
    );
    assert_eq!(
        passes(&|connector| termination(connector).cidr_allowed_list =
            vec!["203.0.113.200/32".parse().unwrap()]),
        Some(403)
    );
    assert_eq!(
        passes(&|connector| termination(connector).calling_regions = vec!["FR".parse().unwrap()]),
        Some(403)
    );
    // CpsLimit is told in limits.rs, call by call. A foreign caller ID is refused, or replaced.
    let foreign = Plan {
        from: "+442071838750",
        ..Plan::idle()
    };
    assert_eq!(sent(|_| {}, OUTSIDE, &foreign).0, Some(403));
    let with_default = |connector: &mut VoiceConnector| {
        termination(connector).default_phone_number = OWN.parse().ok();
    };
    assert_eq!(
        sent(with_default, OUTSIDE, &foreign),
        (Some(200), OUTSIDE.to_owned(), OWN.to_owned())
    );
}

#[test]
fn each_setting_of_origination_decides() {
    let called = |change_plain: &dyn Fn(&mut VoiceConnector)| {
        let put = |snapshot: &mut Snapshot| change(snapshot, PLAIN, change_plain);
        let (status, invite) = outcome(put, CARRIER, &inbound(OWN), &Plan::idle());
        (status, invite.map(|(agent, ..)| agent))
    };
    assert_eq!(called(&|_| {}), (Some(200), Some(PBX)));
    assert_eq!(
        called(&|connector| origination(connector).disabled = true),
        (Some(403), None)
    );
    assert_eq!(
        called(&|connector| origination(connector).routes.clear()),
        (Some(404), None)
    );
    // Priority
    let turned = |connector: &mut VoiceConnector| {
        for route in &mut origination(connector).routes {
            route.priority = 3 - route.priority;
        }
    };
    assert_eq!(called(&turned), (Some(200), Some(PBX_SPARE)));
    // Host and port; the weight is told in gateway/routing.rs.
    let elsewhere = |connector: &mut VoiceConnector| {
        let routes = &mut origination(connector).routes;
        routes.remove(0);
    };
    assert_eq!(called(&elsewhere), (Some(200), Some(PBX_SPARE)));
}

#[test]
fn each_setting_of_the_emergency_configuration_decides() {
    let configured = |number: &'static str, test: Option<&'static str>| {
        move |connector: &mut VoiceConnector| {
            connector.emergency = vec![EmergencyNumber {
                number: number.parse().unwrap(),
                test: test.map(|test| test.parse().unwrap()),
            }];
        }
    };
    let plan = Plan::idle();
    for number in ["+13125550142", "+13125550143"] {
        assert_eq!(sent(configured(number, None), "911", &plan).1, number);
        assert_eq!(
            sent(configured("+13125550100", Some(number)), "933", &plan).1,
            number
        );
    }
    assert_eq!(sent(|_| {}, "911", &plan).0, Some(503));
}

#[test]
fn each_setting_of_the_proxy_decides() {
    let stranger = Plan {
        from: "+33142685300",
        ..Plan::idle()
    };
    let anna = Plan {
        from: ANNA,
        ..Plan::idle()
    };
    let called = |proxy: Option<ProxyPolicy>, plan: &Plan| {
        let put = move |snapshot: &mut Snapshot| {
            session(true)(snapshot);
            change(snapshot, PLAIN, |connector| connector.proxy = proxy);
        };
        let (status, invite) = outcome(put, CARRIER_SPARE, &inbound(STANDS_FOR), plan);
        (
            status,
            invite.map(|(_, uri, _)| uri.split('@').next().unwrap().to_owned()),
        )
    };
    let proxy = |disabled, fallback: Option<&str>| {
        Some(ProxyPolicy {
            disabled,
            fallback: fallback.map(|number| number.parse().unwrap()),
        })
    };
    assert_eq!(called(proxy(false, None), &stranger), (Some(404), None));
    for number in ["+442071838791", "+442071838792"] {
        let to = Some(format!("sip:{number}"));
        assert_eq!(called(proxy(false, Some(number)), &stranger).1, to);
    }
    // No new sessions; this one goes on.
    assert_eq!(
        called(proxy(true, None), &anna).1.as_deref(),
        Some("sip:+442071838750")
    );
}

#[test]
fn a_caller_is_whom_the_first_number_of_the_connector_names() {
    let own = "+12065550100";
    let foreign = "+442071838750";
    let with = |from: &'static str, fields: &[(&'static str, &str)]| {
        let mut plan = Plan {
            from,
            ..Plan::idle()
        };
        plan.extra.extend(
            fields
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let (status, _, from) = sent(|_| {}, OUTSIDE, &plan);
        (status, from)
    };
    let passed = (Some(200), own.to_owned());
    let asserted = format!("<sip:{own}@pbx.example;user=phone>");
    let tel = format!("<tel:{own}>");
    assert_eq!(
        with(
            "+12065550100",
            &[("P-Asserted-Identity", "<sip:+442071838750@x>")]
        ),
        passed
    );
    assert_eq!(with("101", &[("P-Asserted-Identity", &asserted)]), passed);
    // It is admitted, and shown to nobody.
    let hidden = (Some(200), "anonymous".to_owned());
    assert_eq!(with("anonymous", &[("P-Asserted-Identity", &tel)]), hidden);
    assert_eq!(with("101", &[("Remote-Party-ID", &asserted)]), passed);
    // Of a forwarded call the caller is somebody else's number.
    assert_eq!(with(foreign, &[("P-Asserted-Identity", &asserted)]), passed);
    assert_eq!(
        with("101", &[("P-Preferred-Identity", &asserted)]).0,
        Some(403)
    );
    assert_eq!(with("101", &[]).0, Some(403));
    let both = format!("{asserted}, {tel}");
    assert_eq!(with("101", &[("P-Asserted-Identity", &both)]), passed);
}

#[test]
fn a_customer_dials_by_its_own_rules() {
    let german = |connector: &mut VoiceConnector| {
        let rules = DiallingRules::customer();
        policy(connector).dialling = DiallingRules::new(Parts {
            home: Some(trunkline::numbering::dialling::Home {
                country_code: "49".parse().unwrap(),
                national_prefix: "0".parse().unwrap(),
            }),
            international_prefixes: vec!["00".parse().unwrap()],
            ..rules.parts().clone()
        })
        .unwrap();
    };
    let plan = Plan::idle();
    for dialled in ["+4930901820", "004930901820", "030901820", "030-90.18(20)"] {
        assert_eq!(sent(german, dialled, &plan).1, OUTSIDE, "{dialled}");
    }
    assert_eq!(sent(german, "30901820", &plan).0, Some(484));
    let american = |connector: &mut VoiceConnector| {
        let rules = DiallingRules::customer();
        policy(connector).dialling = DiallingRules::new(Parts {
            home: Some(trunkline::numbering::dialling::Home {
                country_code: "1".parse().unwrap(),
                national_prefix: "1".parse().unwrap(),
            }),
            international_prefixes: vec!["011".parse().unwrap()],
            plain: Plain::National,
            ..rules.parts().clone()
        })
        .unwrap();
    };
    for dialled in ["2065550142", "12065550142", "+12065550142"] {
        assert_eq!(
            sent(american, dialled, &plan).1,
            "+12065550142",
            "{dialled}"
        );
    }
    assert_eq!(sent(american, "0114930901820", &plan).1, OUTSIDE);
}

#[test]
fn a_numbers_calling_name_is_shown_to_the_pstn() {
    let named = |snapshot: &mut Snapshot| {
        snapshot
            .calling_names
            .insert(OWN.parse().unwrap(), "North Campus".into());
    };
    for (change, shown) in [
        (&named as &dyn Fn(&mut Snapshot), "\"North Campus\" <sip:"),
        (&|_: &mut Snapshot| {}, "Somebody"),
    ] {
        play_with(
            |_| {},
            change,
            |world| {
                let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
                world.run(2_500);
                let b = world.last_call(CARRIER);
                let invite = world.at_call(b).request(Method::Invite);
                let from = invite
                    .header(trunkline::sip::message::HeaderName::From)
                    .unwrap();
                assert!(from.contains(shown), "{from}");
                world.act(a, Act::Bye);
            },
        );
    }
}
