//! Within a masked call: what each side says of itself stays on its side.

use trunkline::config::CarrierPolicy;
use trunkline::sip::message::{HeaderName, Message, Method};

use crate::agent::call::Call;
use crate::agent::plan::{Act, Plan, Session, ToReinvite};
use crate::cast::{CARRIER, CARRIER_SPARE, OUTSIDE, OWN, PBX, PLAIN, inbound, play_with, through};
use crate::proxy_sessions::{ANNA, BORIS, FOR_ANNA, FOR_BORIS, session, with};
use crate::transfers::{answers, refer_to};
use crate::world::{CallRef, World};

/// The numbers of the participants, as they stand in whatever each side says.
const NUMBERS: [&str; 2] = ["4930901820", "442071838701"];
const SPEAKS: [&str; 2] = ["Anna +4930901820", "Boris +442071838701"];

/// Plays for calls of either participant, and in each for both sides as the one that sends. Every message of a side
/// tells its number, and whoever is asked something answers so.
fn each_side(
    takes_update: bool,
    answer: ToReinvite,
    info: Option<u16>,
    scenario: impl Fn(&mut World, CallRef, CallRef),
) {
    for caller in [0, 1] {
        for by_caller in [true, false] {
            play_with(
                |gateway| gateway.transfers = true,
                with(session(), None),
                |world| {
                    let called = 1 - caller;
                    let (a, b) = masked_call(world, caller, takes_update, answer, info);
                    let (one, other) = if by_caller { (a, b) } else { (b, a) };
                    scenario(world, one, other);
                    tells_nothing(world.at_call(a), NUMBERS[called]);
                    tells_nothing(world.at_call(b), NUMBERS[caller]);
                    world.act(one, Act::Bye);
                    world.run(1_000);
                    tells_nothing(world.at_call(a), NUMBERS[called]);
                    tells_nothing(world.at_call(b), NUMBERS[caller]);
                },
            );
        }
    }
}

fn masked_call(
    world: &mut World,
    caller: usize,
    takes_update: bool,
    answer: ToReinvite,
    info: Option<u16>,
) -> (CallRef, CallRef) {
    let side = |who: usize, plan: Plan| {
        let telling = ["X-Self", "Subject", "Recv-Info", "User-to-User"]
            .map(|name| (name, NUMBERS[who].to_owned()));
        let reason = ("Reason", format!("SIP;text=\"{}\";cause=200", SPEAKS[who]));
        Plan {
            from: [ANNA, BORIS][who],
            takes_update,
            to_reinvite: answer,
            info,
            phrase: Some(SPEAKS[who]),
            with_answers: telling.to_vec(),
            with_requests: telling.into_iter().chain([reason]).collect(),
            ..plan
        }
    };
    let dialled = [FOR_BORIS, FOR_ANNA][caller];
    world.agents[CARRIER].plan = side(1 - caller, Plan::answers());
    let a = world.call(CARRIER_SPARE, &inbound(dialled), side(caller, Plan::idle()));
    world.run(3_000);
    assert_eq!(world.at_call(a).status(), Some(200));
    (a, world.last_call(CARRIER))
}

/// No message that came to this side has the number, in its start line, its fields or its body.
fn tells_nothing(call: &Call, number: &str) {
    for message in &call.heard {
        let (head, fields) = match message {
            Message::Request(request) => (request.head(), &request.fields),
            Message::Response(response) => (response.head(), &response.fields),
        };
        assert!(!head.contains(number), "{head}");
        let body = String::from_utf8_lossy(fields.body());
        assert!(!body.contains(number), "{head}{body}");
    }
}

fn info(world: &mut World, from: CallRef, payload: (&str, &str)) {
    world.with_agent(from.agent, |agent, hands| {
        agent.send_info_of(from.call, payload, hands)
    });
    world.run(1_000);
}

fn answers_to_info(call: &Call) -> Vec<u16> {
    let heard = call.heard.iter().filter_map(|message| match message {
        Message::Response(response) if response.cseq().unwrap().method == Method::Info => {
            Some(response.status)
        }
        Message::Response(_) | Message::Request(_) => None,
    });
    heard.collect()
}

#[test]
fn a_reinvite_and_its_answer_tell_nothing() {
    for (answer, status) in [
        (ToReinvite::Accept, 200),
        (ToReinvite::Refuse(488), 488),
        (ToReinvite::Refuse(500), 500),
    ] {
        each_side(false, answer, None, |world, one, other| {
            world.act(one, Act::Reinvite(Session::Direction("sendonly")));
            world.run(1_000);
            assert_eq!(world.at_call(one).reinvite_answers, [status]);
            assert_eq!(world.at_call(other).reinvites, 1);
        });
    }
}

#[test]
fn an_update_and_its_answer_tell_nothing() {
    for takes_update in [true, false] {
        for (answer, status) in [(ToReinvite::Accept, 200), (ToReinvite::Refuse(488), 488)] {
            each_side(takes_update, answer, None, |world, one, _| {
                world.act(one, Act::Update(Session::Direction("sendonly")));
                world.run(1_000);
                assert_eq!(world.at_call(one).update_answers, [status]);
            });
        }
    }
}

#[test]
fn digits_cross_in_info_and_nothing_else_of_it_does() {
    for (written, status) in [
        ("application/dtmf-relay", None),
        ("Application/DTMF-Relay;from=4930901820", Some(405)),
        ("application/dtmf", Some(503)),
    ] {
        each_side(false, ToReinvite::Accept, status, |world, one, other| {
            info(world, one, (written, "Signal=5\r\n"));
            assert_eq!(answers_to_info(world.at_call(one)), [status.unwrap_or(200)]);
            let info = world.at_call(other).request(Method::Info);
            assert_eq!(&info.body()[..], b"Signal=5\r\n");
            let canonical = written.split(';').next().unwrap().to_ascii_lowercase();
            assert_eq!(
                info.header(HeaderName::ContentType),
                Some(canonical.as_str())
            );
            for name in ["Info-Package", "Recv-Info", "Content-Disposition"] {
                assert_eq!(info.named(name).next(), None);
            }
        });
    }
    for written in ["application/sdp", "text/plain", "application/dtmf-relay2"] {
        each_side(false, ToReinvite::Accept, None, |world, one, other| {
            info(world, one, (written, "Signal=5\r\n"));
            assert_eq!(answers_to_info(world.at_call(one)), [415], "{written}");
            assert_eq!(world.at_call(other).count(Method::Info), 0);
        });
    }
}

#[test]
fn nobody_is_transferred_to_a_proxy_number() {
    play_with(
        |gateway| gateway.transfers = true,
        with(session(), None),
        |world| {
            let plan = Plan {
                from: ANNA,
                ..Plan::answers()
            };
            // Anna calls a customer, who would reach Boris by her hand.
            let a = world.call(CARRIER_SPARE, &inbound(OWN), plan);
            world.run(3_000);
            refer_to(world, a, &format!("sip:{FOR_BORIS}@198.51.100.1"));
            world.run(2_000);
            assert_eq!(answers(world.at_call(a)), [403]);
            let said = world.at_call(a).heard.iter().any(|message| {
                matches!(message, Message::Response(response)
                    if response.reason() == "No Transfer To A Proxy Session")
            });
            assert!(said);
            assert!(world.agents[CARRIER].calls.is_empty());
            world.act(a, Act::Bye);
            world.run(1_000);
        },
    );
}

/// What a carrier hears of a customer's call with this From and these fields: From's URI, P-Asserted-Identity and
/// Privacy.
fn heard_by(
    from: &'static str,
    fields: &[(&'static str, &str)],
    trusted: bool,
) -> (String, Option<String>, Option<String>) {
    let heard = std::cell::RefCell::new(None);
    play_with(
        |_| {},
        |snapshot| {
            let mut carriers = crate::cast::carriers();
            for carrier in &mut carriers {
                carrier.policy = std::sync::Arc::new(CarrierPolicy {
                    trusted,
                    ..(*carrier.policy).clone()
                });
            }
            snapshot.set_carriers(carriers);
            let id = crate::cast::connector_id(PLAIN);
            let mut connector = (*snapshot.connectors[&id]).clone();
            let termination = connector.termination.as_mut().unwrap();
            termination.default_phone_number = Some(OWN.parse().unwrap());
            snapshot.put_connector(connector);
        },
        |world| {
            let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
            let plan = Plan {
                from,
                extra: fields.iter().map(own).collect(),
                ..Plan::idle()
            };
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), plan);
            world.run(3_000);
            let b = world.last_call(CARRIER);
            let invite = world.at_call(b).request(Method::Invite);
            let field = |name| invite.header(name).map(str::to_owned);
            *heard.borrow_mut() = Some((
                invite.from().unwrap().uri.to_owned(),
                field(HeaderName::PAssertedIdentity),
                field(HeaderName::Privacy),
            ));
            world.act(a, Act::Bye);
        },
    );
    heard.into_inner().unwrap()
}

#[test]
fn who_calls_anonymously_stays_so() {
    let hidden = "sip:anonymous@anonymous.invalid".to_owned();
    let number = Some(format!("<sip:{OWN}@198.51.100.1>"));
    let asserted = format!("<sip:{OWN}@pbx.example>");
    let asserted = [("P-Asserted-Identity", asserted.as_str())];
    // With a number that it asserts, and with the connector's default.
    for fields in [&asserted[..], &[]] {
        let id = Some("id".to_owned());
        let expected = (hidden.clone(), number.clone(), id);
        assert_eq!(heard_by("anonymous", fields, true), expected);
        assert_eq!(heard_by("Anonymous", fields, true), expected);
        let doubted = (hidden.clone(), None, None);
        assert_eq!(heard_by("anonymous", fields, false), doubted);
    }
    // Who is not valid but asks for nothing is shown as the default.
    let shown = format!("sip:{OWN}@198.51.100.1");
    assert_eq!(heard_by("101", &[], true), (shown, number, None));
}
