//! Within a masked call: what each side says of itself stays on its side.

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
