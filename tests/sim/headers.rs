//! Header fields across the gateway: identity, privacy, reasons, and what is nobody else's business.

use std::sync::Arc;

use trunkline::config::{Carrier, CarrierPolicy};
use trunkline::shard::snapshot::Snapshot;
use trunkline::sip::message::{Fields, HeaderName, Message, Method, Request};

use crate::agent::plan::{Act, Plan, When};
use crate::cast::{
    CARRIER, OUTSIDE, OWN, PBX, PLAIN, both_ways, inbound, play, play_with, through,
};

fn with_extra(extra: &[(&'static str, &str)]) -> Plan {
    let mut plan = Plan::idle();
    let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    plan.extra.extend(extra.iter().map(own));
    plan
}

/// The INVITE that reaches the called side, where the carrier is trusted or not.
fn invite_of(from: usize, extra: &[(&'static str, &str)], trusted: bool, check: impl Fn(&Request)) {
    let change = |snapshot: &mut Snapshot| {
        let policy = Arc::new(CarrierPolicy {
            trusted,
            ..CarrierPolicy::default()
        });
        let with_policy = |carrier: &Carrier| Carrier {
            policy: policy.clone(),
            ..carrier.clone()
        };
        let carriers: Vec<Carrier> = snapshot.carriers().iter().map(with_policy).collect();
        snapshot.set_carriers(carriers);
    };
    let (called, to) = match from {
        PBX => (CARRIER, through(PLAIN, OUTSIDE)),
        _ => (PBX, inbound(OWN)),
    };
    play_with(
        |_| {},
        change,
        |world| {
            world.agents[called].plan = Plan::answers();
            let a = world.call(from, &to, with_extra(extra));
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            let b = world.last_call(called);
            check(world.at_call(b).request(Method::Invite));
            world.act(a, Act::Bye);
        },
    );
}

fn identities(message: &Fields) -> Vec<String> {
    let all = message.headers(HeaderName::PAssertedIdentity);
    all.map(str::to_owned).collect()
}

const CLAIM: (&str, &str) = ("P-Asserted-Identity", "<sip:+15550000000@pbx.example>");

#[test]
fn a_carrier_is_told_the_admitted_caller_and_not_the_claimed_one() {
    invite_of(PBX, &[CLAIM], true, |invite| {
        assert_eq!(identities(invite), ["<sip:+12065550100@198.51.100.1>"]);
    });
    invite_of(PBX, &[CLAIM], false, |invite| {
        assert_eq!(identities(invite), [""; 0]);
    });
}

#[test]
fn a_callers_privacy_holds_and_a_trusted_carrier_knows_it_all_the_same() {
    for value in ["id", "user", "header;id", "user; critical"] {
        invite_of(PBX, &[("Privacy", value)], true, |invite| {
            let from = invite.from().unwrap();
            assert_eq!(from.uri, "sip:anonymous@anonymous.invalid");
            assert!(
                !invite
                    .header(HeaderName::From)
                    .unwrap()
                    .contains("Somebody")
            );
            assert_eq!(identities(invite), ["<sip:+12065550100@198.51.100.1>"]);
            assert_eq!(invite.header(HeaderName::Privacy), Some(value));
        });
        invite_of(PBX, &[("Privacy", value)], false, |invite| {
            let head = invite.head();
            assert!(!head.contains("12065550100"), "{head}");
        });
    }
}

#[test]
fn a_customer_is_told_what_a_trusted_carrier_asserts_unless_the_caller_minds() {
    let asserted = (
        "P-Asserted-Identity",
        "\"X\" <sip:+4930901820@sbc.carrier.example;x=1>",
    );
    invite_of(CARRIER, &[asserted], true, |invite| {
        assert_eq!(identities(invite), ["<sip:+4930901820@198.51.100.1>"]);
    });
    invite_of(CARRIER, &[asserted], false, |invite| {
        assert_eq!(identities(invite), [""; 0]);
    });
    invite_of(CARRIER, &[asserted, ("Privacy", "id")], true, |invite| {
        assert_eq!(identities(invite), [""; 0]);
    });
}

#[test]
fn diversions_cross_as_numbers_and_extensions_as_they_stand() {
    let extra = [
        ("Diversion", "<sip:+12065550199@10.1.2.3>;reason=user-busy"),
        ("X-Call", "17"),
        ("X-Amzn-TargetArn", "arn"),
        ("User-to-User", "00;encoding=hex"),
        ("Call-Info", "<http://10.1.2.3/>"),
        ("P-Charging-Vector", "icid-value=1"),
        ("Foo", "bar"),
    ];
    for from in [PBX, CARRIER] {
        invite_of(from, &extra, true, |invite| {
            assert_eq!(
                invite.header(HeaderName::Diversion),
                Some("<sip:+12065550199@198.51.100.1>;reason=user-busy")
            );
            assert_eq!(invite.named("X-Call").next(), Some("17"));
            assert_eq!(
                invite.header(HeaderName::UserToUser),
                Some("00;encoding=hex")
            );
            for absent in ["X-Amzn-TargetArn", "Call-Info", "P-Charging-Vector", "Foo"] {
                assert_eq!(invite.named(absent).next(), None, "{absent}");
            }
        });
    }
}

#[test]
fn answers_carry_as_requests_do() {
    let plan = Plan {
        with_answers: vec![
            ("X-Answered-By", "17".to_owned()),
            ("Server", "secret/1".to_owned()),
        ],
        ..Plan::answers()
    };
    both_ways(&plan, |world, from, _, to| {
        let a = world.call(from, to, Plan::idle());
        world.run(3_000);
        for message in &world.at_call(a).heard {
            if let Message::Response(response) = message
                && response.status > 100
            {
                assert_eq!(response.named("X-Answered-By").next(), Some("17"));
                assert_eq!(response.header(HeaderName::Server), None);
            }
        }
        world.act(a, Act::Bye);
    });
}

const REASON: &str = "Q.850;cause=16;text=\"Terminated\"";

#[test]
fn a_bye_says_to_the_other_side_why() {
    for by_caller in [true, false] {
        both_ways(&Plan::answers(), |world, from, called, to| {
            let (a, b) = world.establish(from, called, to);
            let (one, other) = if by_caller { (a, b) } else { (b, a) };
            let plan = &mut world.agents[one.agent].calls[one.call].plan;
            plan.with_requests = vec![("Reason", REASON.to_owned())];
            world.act(one, Act::Bye);
            world.run(1_000);
            let bye = world.at_call(other).request(Method::Bye);
            assert_eq!(bye.header(HeaderName::Reason), Some(REASON));
        });
    }
}

#[test]
fn a_cancel_and_a_failure_say_so_too() {
    both_ways(
        &Plan::idle().then(When::Invited, 100, Act::Answer(180)),
        |world, from, called, to| {
            let mut plan = Plan::idle().then(When::Invited, 1_000, Act::Cancel);
            plan.with_requests = vec![(
                "Reason",
                "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned(),
            )];
            world.call(from, to, plan);
            world.run(3_000);
            let b = world.last_call(called);
            let cancel = world.at_call(b).request(Method::Cancel);
            assert!(
                cancel
                    .header(HeaderName::Reason)
                    .unwrap()
                    .contains("elsewhere")
            );
        },
    );
    let plan = Plan {
        with_failures: vec![("Reason", REASON.to_owned())],
        ..Plan::says(404)
    };
    both_ways(&plan, |world, from, _, to| {
        let a = world.call(from, to, Plan::idle());
        world.run(3_000);
        let reason = world.at_call(a).response_header(404, HeaderName::Reason);
        assert_eq!(reason.as_deref(), Some(REASON));
    });
}

#[test]
fn what_the_gateway_ends_it_explains() {
    play_with(
        |gateway| gateway.media_timeout = std::time::Duration::from_secs(10),
        |_| {},
        |world| {
            let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
            world.run(30_000);
            for at in [a, b] {
                let bye = world.at_call(at).request(Method::Bye);
                let reason = bye.header(HeaderName::Reason);
                assert_eq!(reason, Some("SIP;cause=408;text=\"No Media\""));
            }
        },
    );
}

#[test]
fn reasons_without_end_are_cut() {
    play(|world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        let plan = &mut world.agents[a.agent].calls[a.call].plan;
        plan.with_requests = vec![("Reason", format!("SIP;text=\"{}\"", "x".repeat(300)))];
        plan.with_requests
            .extend((0..9).map(|cause| ("Reason", format!("Q.850;cause={cause}"))));
        world.act(a, Act::Bye);
        world.run(1_000);
        let bye = world.at_call(b).request(Method::Bye);
        let reasons: Vec<&str> = bye.headers(HeaderName::Reason).collect();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
    });
}

#[test]
fn a_caller_who_wants_privacy_is_not_told_by_a_signature_or_a_subject() {
    let identity = (
        "Identity",
        "eyJhbGciOiJFUzI1NiJ9.e30.sig;info=<https://c.example/c.pem>",
    );
    let subject = ("Subject", "from Alice");
    for (privacy, passes) in [
        ("none", true),
        ("id", false),
        ("user", false),
        ("id;user", false),
    ] {
        for from in [CARRIER, PBX] {
            let extra = [("Privacy", privacy), identity, subject];
            invite_of(from, &extra, true, |invite| {
                for name in [HeaderName::Identity, HeaderName::Subject] {
                    assert_eq!(invite.header(name).is_some(), passes, "{privacy} {name:?}");
                }
            });
        }
    }
}
