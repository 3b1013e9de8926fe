//! How a carrier is spoken with, as its section of the config says: numbers, codecs, header fields; and how it is known by
//! its certificate.

use std::sync::Arc;

use trunkline::config::{Carrier, CarrierId, CarrierPolicy, CodecList, HeaderRules};
use trunkline::gateway::Cause;
use trunkline::numbering::dialling::{DiallingRules, Form, Home, Parts, Plain};
use trunkline::shard::snapshot::Snapshot;
use trunkline::sip::message::{Fields, HeaderName, Message, Method, Request};

use crate::agent::call::Call;
use crate::agent::plan::{Act, Plan, Session, When};
use crate::cast::{
    CARRIER, CARRIER_TCP_V6, OUTSIDE, OUTSIDE_TCP_V6, OWN, PBX, PBX_TCP, PBX_TLS, PLAIN, inbound,
    play_with, through,
};
use crate::gateway::{GATEWAY_TLS, Gateway};
use crate::world::World;

/// The host of the gateway as agents see it.
const GATEWAY: &str = "198.51.100.1";

/// Plays with this policy for the carrier of this name.
fn with_policy(name: &str, policy: &CarrierPolicy, scenario: impl Fn(&mut World)) {
    let change = |snapshot: &mut Snapshot| {
        let with_policy = |carrier: &Carrier| Carrier {
            policy: match carrier.name == name {
                true => Arc::new(policy.clone()),
                false => carrier.policy.clone(),
            },
            ..carrier.clone()
        };
        let carriers: Vec<Carrier> = snapshot.carriers().iter().map(with_policy).collect();
        snapshot.set_carriers(carriers);
    };
    let transfers = |gateway: &mut Gateway| gateway.transfers = true;
    play_with(transfers, change, scenario);
}

fn numbers(country_code: &str, national_prefix: &str, form: Form) -> CarrierPolicy {
    let home = Home {
        country_code: country_code.parse().unwrap(),
        national_prefix: national_prefix.parse().unwrap(),
    };
    let rules = DiallingRules::new(Parts {
        home: Some(home),
        international_prefixes: vec!["00".parse().unwrap(), "011".parse().unwrap()],
        plain: Plain::Refused,
        digits_min: 7,
        form,
        national_at_home: true,
    });
    CarrierPolicy {
        numbers: rules.unwrap(),
        ..CarrierPolicy::default()
    }
}

fn north_american() -> CarrierPolicy {
    numbers("1", "1", Form::International("011".parse().unwrap()))
}

fn with_extra(from: &'static str, extra: &[(&'static str, &str)]) -> Plan {
    let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    Plan {
        from,
        extra: extra.iter().map(own).collect(),
        ..Plan::idle()
    }
}

/// The INVITE that a call brings to the other side.
fn invite(world: &mut World, (from, to): (usize, usize), uri: &str, plan: Plan) -> Request {
    let a = world.call(from, uri, plan);
    world.run(3_000);
    assert_eq!(world.at_call(a).status(), Some(200));
    let invite = world.at_call(world.last_call(to)).request(Method::Invite);
    let invite = invite.clone();
    world.act(a, Act::Bye);
    world.run(1_000);
    invite
}

fn shown(number: &str) -> String {
    format!("sip:{number}@{GATEWAY}")
}

fn values(request: &Request, name: HeaderName) -> Vec<&str> {
    request.headers(name).collect()
}

#[test]
fn a_carrier_is_written_to_in_its_own_form() {
    with_policy("example", &north_american(), |world| {
        let diverted = "<sip:+12065550177@pbx.example>;reason=user-busy";
        let plan = with_extra(OWN, &[("Diversion", diverted)]);
        let invite = invite(world, (PBX, CARRIER), &through(PLAIN, OUTSIDE), plan);
        assert_eq!(invite.uri(), "sip:0114930901820@192.0.2.101:5080");
        assert_eq!(invite.to().unwrap().uri, "sip:0114930901820@192.0.2.101");
        assert_eq!(invite.from().unwrap().uri, shown("12065550100"));
        let asserted = format!("<{}>", shown("12065550100"));
        assert_eq!(values(&invite, HeaderName::PAssertedIdentity), [asserted]);
        let diverted = format!("<{}>;reason=user-busy", shown("12065550177"));
        assert_eq!(values(&invite, HeaderName::Diversion), [diverted]);
    });
    let digits = numbers("49", "0", Form::Digits);
    with_policy("example", &digits, |world| {
        let plan = with_extra(OWN, &[]);
        let invite = invite(world, (PBX, CARRIER), &through(PLAIN, OUTSIDE), plan);
        // Its own country's are national ones, all others not.
        assert_eq!(invite.uri(), "sip:030901820@192.0.2.101:5080");
        assert_eq!(invite.from().unwrap().uri, shown("12065550100"));
    });
}

#[test]
fn what_has_no_number_goes_as_it_is() {
    with_policy("example", &north_american(), |world| {
        let plan = with_extra(OWN, &[("Privacy", "id")]);
        let invite = invite(world, (PBX, CARRIER), &through(PLAIN, OUTSIDE), plan);
        let anonymous = "sip:anonymous@anonymous.invalid";
        assert_eq!(invite.from().unwrap().uri, anonymous);
    });
    let emergency = CarrierPolicy {
        emergency: true,
        ..north_american()
    };
    with_policy("example", &emergency, |world| {
        let plan = with_extra(OWN, &[]);
        let invite = invite(world, (PBX, CARRIER), &through(PLAIN, "911"), plan);
        assert_eq!(invite.uri(), "sip:911@192.0.2.101:5080");
        assert_eq!(invite.from().unwrap().uri, shown("12065550100"));
    });
}

#[test]
fn a_carriers_numbers_are_read_as_it_writes_them() {
    with_policy("example", &north_american(), |world| {
        for dialled in ["12065550100", "+12065550100", "01112065550100"] {
            let own = [
                ("P-Asserted-Identity", "<sip:12125550123@carrier.example>"),
                ("Diversion", "<sip:011493090182@carrier.example>"),
            ];
            let plan = with_extra("01133142685300", &own);
            let invite = invite(world, (CARRIER, PBX), &inbound(dialled), plan);
            assert_eq!(invite.uri(), "sip:+12065550100@203.0.113.101:5060");
            assert_eq!(invite.from().unwrap().uri, shown("+33142685300"));
            let asserted = format!("<{}>", shown("+12125550123"));
            assert_eq!(values(&invite, HeaderName::PAssertedIdentity), [asserted]);
            let diverted = format!("<{}>", shown("+493090182"));
            assert_eq!(values(&invite, HeaderName::Diversion), [diverted]);
        }
        for dialled in ["2065550100", "0012", "112065550100"] {
            let a = world.call(CARRIER, &inbound(dialled), Plan::idle());
            world.run(1_000);
            assert_eq!(world.at_call(a).status(), Some(484), "{dialled}");
        }
    });
}

#[test]
fn a_transfer_reads_and_writes_numbers_as_a_call_does() {
    // The target's carrier is written to in its form.
    let french = numbers("33", "0", Form::Digits);
    with_policy("six", &french, |world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        world.act(a, Act::Refer(OUTSIDE_TCP_V6));
        world.run(3_000);
        let target = world.last_call(CARRIER_TCP_V6);
        let invite = world.at_call(target).request(Method::Invite);
        assert!(
            invite.uri().starts_with("sip:0142685300@"),
            "{}",
            invite.uri()
        );
        world.act(b, Act::Bye);
        world.run(1_000);
    });
    // What a carrier dials in a REFER is in its own form.
    with_policy("example", &north_american(), |world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        world.act(b, Act::Refer("12065550101"));
        world.run(3_000);
        let target = world.last_call(PBX_TCP);
        let invite = world.at_call(target).request(Method::Invite);
        assert!(
            invite.uri().starts_with("sip:+12065550101@"),
            "{}",
            invite.uri()
        );
        world.act(a, Act::Bye);
        world.run(1_000);
    });
}

fn codecs(names: &[&str]) -> CarrierPolicy {
    let names = names.iter().map(|name| (*name).into());
    CarrierPolicy {
        codecs: Some(Arc::new(CodecList::new(names).unwrap())),
        ..CarrierPolicy::default()
    }
}

fn speaking(formats: &'static [u8], plan: Plan) -> Plan {
    Plan { formats, ..plan }
}

/// The payload types of a message's audio.
fn formats(message: &Fields) -> Option<String> {
    let body = std::str::from_utf8(message.body()).unwrap();
    let mut lines = body.lines();
    let media = lines.find_map(|line| line.strip_prefix("m=audio "))?;
    let formats = media.split_once(" RTP/AVP ").unwrap().1;
    Some(formats.to_owned())
}

/// The payload types of everything that an agent was told, each once in a row.
fn heard_formats(call: &Call) -> Vec<String> {
    let messages = call.heard.iter().map(|message| match message {
        Message::Request(request) => formats(request),
        Message::Response(response) => formats(response),
    });
    let mut all: Vec<String> = messages.flatten().collect();
    all.dedup();
    all
}

const ALL: &[u8] = &[96, 18, 8, 101, 0];

#[test]
fn a_carrier_hears_of_its_own_codecs_only() {
    let policy = codecs(&["PCMU", "PCMA", "telephone-event"]);
    with_policy("example", &policy, |world| {
        world.agents[CARRIER].plan = speaking(ALL, Plan::answers());
        let calling = Plan {
            takes_update: true,
            ..speaking(ALL, Plan::idle())
        };
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), calling);
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        let b = world.last_call(CARRIER);
        for side in [a, b] {
            world.act(side, Act::Reinvite(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(side).reinvite_answers, [200]);
            world.act(side, Act::Update(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(side).update_answers, [200]);
        }
        // Offers in the order of the list, answers in that of the one who answers.
        let heard = heard_formats(world.at_call(b));
        assert_eq!(heard, ["0 8 101", "8 101 0"]);
        // Nor is the other side told of what its peer must not use.
        assert_eq!(heard_formats(world.at_call(a)), ["8 101 0"]);
        world.act(a, Act::Bye);
        world.run(1_000);
    });
}

#[test]
fn an_answer_has_the_numbers_of_its_offer() {
    with_policy("example", &CarrierPolicy::default(), |world| {
        // Key presses are 97 for the carrier, 101 for the PBX.
        world.agents[CARRIER].plan = speaking(&[0, 97], Plan::answers());
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        let b = world.last_call(CARRIER);
        assert_eq!(heard_formats(world.at_call(a)), ["0 101"]);
        assert_eq!(heard_formats(world.at_call(b)), ["0 101"]);
        world.act(b, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(b).reinvite_answers, [200]);
        assert_eq!(heard_formats(world.at_call(b)), ["0 101", "0 97"]);
        world.act(a, Act::Bye);
        world.run(1_000);
    });
}

#[test]
fn a_carriers_own_offer_keeps_to_its_list_too() {
    let policy = codecs(&["PCMU", "telephone-event"]);
    with_policy("example", &policy, |world| {
        world.agents[PBX].plan = speaking(ALL, Plan::answers());
        for late_offer in [false, true] {
            let plan = Plan {
                late_offer,
                ..speaking(ALL, Plan::idle())
            };
            let a = world.call(CARRIER, &inbound(OWN), plan);
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            let b = world.last_call(PBX);
            assert!(
                heard_formats(world.at_call(a))
                    .iter()
                    .all(|one| one == "101 0" || one == "0 101")
            );
            assert_eq!(heard_formats(world.at_call(b)), ["101 0"]);
            world.act(a, Act::Bye);
            world.run(1_000);
        }
        // Nothing of its own to speak with.
        let a = world.call(CARRIER, &inbound(OWN), speaking(&[8, 101], Plan::idle()));
        world.run(1_000);
        let call = world.at_call(a);
        assert_eq!(call.outcome, Some((488, "No Common Codec".to_owned())));
        assert_eq!(world.refused_for(Cause::NoCommonCodec), 1);
    });
}

#[test]
fn a_carrier_without_a_common_codec_is_passed_over() {
    let policy = codecs(&["G722", "telephone-event"]);
    // The carrier of the longer prefix cannot be spoken with; the other one takes the call.
    with_policy("six", &policy, |world| {
        let (a, _) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE_TCP_V6));
        assert_eq!(world.agents[CARRIER_TCP_V6].calls.len(), 0);
        world.act(a, Act::Bye);
        world.run(1_000);
    });
    with_policy("example", &policy, |world| {
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(1_000);
        let call = world.at_call(a);
        assert_eq!(call.outcome, Some((488, "No Common Codec".to_owned())));
        let warning = call.heard.iter().find_map(|message| match message {
            Message::Response(response) => response.header(HeaderName::Warning),
            Message::Request(_) => None,
        });
        let expected = format!("305 {GATEWAY}:5060 \"Incompatible media format\"");
        assert_eq!(warning, Some(expected.as_str()));
        assert_eq!(world.agents[CARRIER].calls.len(), 0);
    });
}

#[test]
fn an_offer_or_an_answer_without_a_common_codec_ends_no_call_that_stands() {
    let policy = codecs(&["PCMU", "telephone-event"]);
    with_policy("example", &policy, |world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        for side in [a, b] {
            let call = &mut world.agents[side.agent].calls[side.call];
            call.plan.formats = &[8, 101];
            world.act(side, Act::Reinvite(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(side).reinvite_answers, [488]);
            let call = &mut world.agents[side.agent].calls[side.call];
            call.plan.formats = &[0, 101];
        }
        world.act(a, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(a).reinvite_answers, [488, 200]);
        world.act(a, Act::Bye);
        world.run(1_000);
    });
    // One that answers with something else than it was offered cannot be spoken with.
    with_policy("example", &policy, |world| {
        world.agents[CARRIER].plan = speaking(&[8], Plan::answers());
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        let told = "Called Side: No Common Codec".to_owned();
        assert_eq!(world.at_call(a).outcome, Some((502, told)));
    });
    // Nor is early media of that kind heard.
    with_policy("example", &policy, |world| {
        let plan = Plan::idle().then(When::Invited, 10, Act::EarlyMedia).then(
            When::Invited,
            100,
            Act::Answer(486),
        );
        world.agents[CARRIER].plan = speaking(&[8], plan);
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(486));
        assert_eq!(heard_formats(world.at_call(a)), [""; 0]);
    });
}

#[test]
fn the_target_of_a_transfer_is_offered_its_own_codecs_only() {
    let policy = codecs(&["PCMU", "telephone-event"]);
    with_policy("six", &policy, |world| {
        let plan = speaking(ALL, Plan::answers());
        world.agents[CARRIER].plan = plan.clone();
        world.agents[CARRIER_TCP_V6].plan = plan;
        let calling = speaking(ALL, Plan::idle());
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), calling);
        world.run(3_000);
        let b = world.last_call(CARRIER);
        world.act(a, Act::Refer(OUTSIDE_TCP_V6));
        world.run(3_000);
        let target = world.last_call(CARRIER_TCP_V6);
        assert_eq!(heard_formats(world.at_call(target)), ["0 101"]);
        let told = heard_formats(world.at_call(b));
        assert_eq!(told.last().map(String::as_str), Some("101 0"));
        world.act(b, Act::Bye);
        world.run(1_000);
    });
}

const KEPT_BACK: (&str, &str) = ("User-to-User", "3a;encoding=hex");

fn header_rules() -> CarrierPolicy {
    CarrierPolicy {
        headers: HeaderRules {
            remove: ["User-to-User", "Reason"].map(Into::into).into(),
            add: [("X-Trunk".into(), "17".into())].into(),
        },
        ..CarrierPolicy::default()
    }
}

#[test]
fn what_a_carriers_rules_remove_does_not_cross_and_what_they_add_is_there() {
    let own = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let extra = [KEPT_BACK, ("X-Trunk", "mine"), ("X-Other", "5")];
    with_policy("example", &header_rules(), |world| {
        let answers = Plan {
            with_answers: vec![own(KEPT_BACK), own(("X-Answer", "6"))],
            ..Plan::answers()
        };
        world.agents[CARRIER].plan = answers.clone();
        world.agents[PBX].plan = answers;
        for (from, to, uri, trunk) in [
            (PBX, CARRIER, through(PLAIN, OUTSIDE), "17"),
            (CARRIER, PBX, inbound(OWN), "mine"),
        ] {
            let a = world.call(from, &uri, with_extra(OWN, &extra));
            world.run(3_000);
            let b = world.last_call(to);
            let invite = world.at_call(b).request(Method::Invite);
            assert_eq!(invite.header(HeaderName::UserToUser), None);
            assert_eq!(invite.named("X-Trunk").collect::<Vec<_>>(), [trunk]);
            assert_eq!(invite.named("X-Other").collect::<Vec<_>>(), ["5"]);
            let mut heard = world.at_call(a).heard.iter();
            let answer = heard.find_map(|message| match message {
                Message::Response(response) if response.status == 200 => Some(response),
                Message::Response(_) | Message::Request(_) => None,
            });
            let answer = answer.unwrap();
            assert_eq!(answer.header(HeaderName::UserToUser), None);
            assert_eq!(answer.named("X-Answer").collect::<Vec<_>>(), ["6"]);
            let call = &mut world.agents[a.agent].calls[a.call];
            call.plan.with_requests = vec![own(("Reason", "Q.850;cause=16"))];
            world.act(a, Act::Bye);
            world.run(1_000);
            let bye = world.at_call(b).request(Method::Bye);
            assert_eq!(bye.header(HeaderName::Reason), None);
        }
    });
}

#[test]
fn a_carrier_that_has_shown_its_certificate_is_one_wherever_it_comes_from() {
    // The agent of the encrypted customer: without a proof it is that one, who may not dial so.
    for (proven, status) in [
        (Some(CarrierId(0)), 200),
        (Some(CarrierId(7)), 484),
        (None, 484),
    ] {
        play_with(
            |gateway| gateway.transfers = true,
            |snapshot| {
                let policy = north_american();
                let nowhere = |carrier: &Carrier| Carrier {
                    sources: Vec::new(),
                    policy: Arc::new(policy.clone()),
                    ..carrier.clone()
                };
                let carriers: Vec<Carrier> = snapshot.carriers().iter().map(nowhere).collect();
                snapshot.set_carriers(carriers);
            },
            |world| {
                world.agents[PBX_TLS].carrier = proven;
                let to = format!("sip:12065550100@{GATEWAY_TLS}");
                let a = world.call(PBX_TLS, &to, Plan::idle());
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(status));
                if status != 200 {
                    return;
                }
                // Its requests within the call are its own too.
                let b = world.last_call(PBX);
                world.act(a, Act::Reinvite(Session::Moved));
                world.run(1_000);
                assert_eq!(world.at_call(a).reinvite_answers, [200]);
                world.act(a, Act::Refer("12065550101"));
                world.run(3_000);
                let target = world.last_call(PBX_TCP);
                let invite = world.at_call(target).request(Method::Invite);
                assert!(invite.uri().starts_with("sip:+12065550101@"));
                world.act(b, Act::Bye);
                world.run(1_000);
            },
        );
    }
}
