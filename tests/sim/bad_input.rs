//! Bytes that are no good messages, and messages that belong to nothing.

use trunkline::gateway::Cause;
use trunkline::sip::message::HeaderName;
use trunkline::telemetry::{CALL_ID_CHARS, Event};

use crate::agent::plan::{Act, Plan};
use crate::cast::{CARRIER, OUTSIDE, PBX, PLAIN, play, through};
use crate::network::Rng;
use crate::world::World;

const SOURCE: &str = "203.0.113.101:5060";

fn send(world: &mut World, text: &str) -> Vec<u16> {
    let before = world.strays(PBX).len();
    world.inject(SOURCE.parse().unwrap(), text.to_owned());
    world.run(100);
    let answers = world.strays(PBX);
    answers[before..]
        .iter()
        .map(|(status, _)| *status)
        .collect()
}

fn request(method: &str, body: &str) -> String {
    format!(
        "{method} sip:{OUTSIDE}@gateway.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.101:5060;branch=z9hG4bK-{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:{OUTSIDE}@x>;tag=1\r\nTo: <sip:y@z>\r\nCall-ID: {method}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:{SOURCE}>\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_request_that_cannot_be_read_is_answered_400() {
    play(|world| {
        let good = request("INVITE", "");
        for bad in [
            good.replace("Max-Forwards: 70", "Max-Forwards: many"),
            good.replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"),
            good.replace("Content-Length: 0", "Content-Length: 10"),
            good.replace("Contact", "Con tact"),
        ] {
            assert_eq!(send(world, &bad), [400], "{bad}");
        }
        // What is wrong with To is wrong with the answer's To.
        send(world, &good.replace("To: <sip:y@z>", "To: <sip:y@z"));
        let garbled = std::mem::take(&mut world.agents[PBX].garbled);
        assert_eq!(garbled.len(), 1);
        assert!(garbled[0].starts_with(b"SIP/2.0 400 "));
        assert_eq!(
            send(world, &good.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia")),
            [505]
        );
        let malformed = world.shards.iter().map(|shard| shard.counters().malformed);
        assert_eq!(malformed.sum::<u64>(), 6);
    });
}

#[test]
fn responses_and_acks_are_never_answered() {
    play(|world| {
        let ack = request("ACK", "");
        let response = ack.replacen(
            "ACK sip:+4930901820@gateway.example SIP/2.0",
            "SIP/2.0 200 OK",
            1,
        );
        for silent in [
            ack.clone(),
            ack.replace("CSeq: 1 ACK", "CSeq: one ACK"),
            ack.replace(
                "To: <sip:y@z>",
                "To: <sip:y@z>;tag=tk0000000000000000000000000000",
            ),
            response.clone(),
            response.replace("Call-ID", "Call ID"),
            response.replace("200 OK", "999 Never"),
            response.replace("z9hG4bK-", "z9hG4bKtk0000000000000000000000000000"),
            "\r\n\r\n".to_owned(),
            "hello".to_owned(),
            String::new(),
        ] {
            assert!(send(world, &silent).is_empty(), "{silent}");
        }
    });
}

#[test]
fn methods_that_are_not_served_are_named() {
    play(|world| {
        for (method, status) in [
            ("REGISTER", 405),
            ("SUBSCRIBE", 405),
            ("MESSAGE", 405),
            ("PUBLISH", 405),
            ("REFER", 405),
            ("BYE", 481),
            ("UPDATE", 481),
            ("INFO", 481),
            ("PRACK", 481),
            ("NOTIFY", 481),
            ("BREW", 501),
        ] {
            assert_eq!(send(world, &request(method, "")), [status], "{method}");
            if status == 405 {
                let answers = world.strays(PBX);
                assert!(
                    answers
                        .last()
                        .unwrap()
                        .1
                        .header(HeaderName::Allow)
                        .is_some()
                );
            }
        }
    });
}

#[test]
fn a_scheme_that_is_not_served_is_named() {
    play(|world| {
        let text = request("INVITE", "");
        for uri in [
            "mailto:+4930901820@gateway.example",
            "sips:+4930901820@gateway.example",
        ] {
            let of_scheme = text.replace("sip:+4930901820@gateway.example", uri);
            assert_eq!(send(world, &of_scheme), [416], "{uri}");
        }
        assert_eq!(world.occupancy().transactions, 0);
    });
}

#[test]
fn bodies_that_are_no_session_are_refused() {
    refused_bodies(&[
        ("text/plain", "hello", 415, None),
        (
            "application/sdp",
            "hello",
            400,
            Some(Cause::DescriptionMalformed),
        ),
        (
            "application/sdp",
            "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\n",
            488,
            Some(Cause::NoAudio),
        ),
        (
            "application/sdp",
            "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n",
            488,
            Some(Cause::NoAudio),
        ),
    ]);
}

#[test]
fn sessions_with_nothing_to_relay_are_refused() {
    refused_bodies(&[
        (
            "application/sdp",
            "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 9 RTP/SAVP 0\r\n",
            488,
            Some(Cause::SdesRequired),
        ),
        (
            "application/sdp",
            "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 70000 RTP/AVP 0\r\n",
            488,
            Some(Cause::DescriptionUnusable),
        ),
    ]);
}

#[test]
fn bodies_of_several_parts_are_refused_where_they_are_none_or_not_understood() {
    refused_bodies(&[
        ("multipart/mixed", "--b\r\n\r\nhello\r\n--b--", 400, None),
        ("multipart/mixed;boundary=b", "--b\r\n\r\nhello", 400, None),
        (
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Disposition: x;handling=required\r\n\r\nhello\r\n--b--",
            415,
            None,
        ),
    ]);
}

/// An INVITE with a body of this type is refused with this status, and counted for this cause.
fn refused_bodies(cases: &[(&str, &str, u16, Option<Cause>)]) {
    play(|world| {
        let to = through(PLAIN, OUTSIDE);
        for (number, (kind, body, status, cause)) in cases.iter().enumerate() {
            // The peer is known, so each refusal is remembered by its branch.
            let text = request("INVITE", body)
                .replace("z9hG4bK-", &format!("z9hG4bK-{number}-"))
                .replace("sip:+4930901820@gateway.example", &to)
                .replace("From: <sip:+4930901820@x>", "From: <sip:+12065550100@x>")
                .replace(
                    "Content-Length",
                    &format!("Content-Type: {kind}\r\nContent-Length"),
                );
            let counted = |world: &World| cause.map_or(0, |cause| world.refused_for(cause));
            let before = counted(world);
            assert_eq!(send(world, &text), [*status], "{body}");
            let more = counted(world) - before;
            assert_eq!(more, u64::from(cause.is_some()), "{body}");
        }
        assert!(world.agents[CARRIER].calls.is_empty());
    });
}

#[test]
fn so_much_is_told_of_the_call_id_of_a_refused_call() {
    play(|world| {
        let long = format!("Call-ID: {}", "i".repeat(5_000));
        let text = request("INVITE", "").replace("Call-ID: INVITE", &long);
        assert_eq!(send(world, &text), [404]);
        let told = world.events.iter().find_map(|event| match event {
            Event::CallRefused { call_id, .. } => Some(call_id.as_str()),
            _ => None,
        });
        assert_eq!(told, Some("i".repeat(CALL_ID_CHARS).as_str()));
    });
}

#[test]
fn requests_in_a_call_that_are_not_served_leave_it_alone() {
    play(|world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        for method in ["REFER", "MESSAGE", "OPTIONS", "BREW"] {
            for at in [a, b] {
                world.with_agent(at.agent, |agent, hands| {
                    agent.send_in_dialog(at.call, method, hands);
                });
            }
        }
        world.run(1_000);
        for at in [a, b] {
            let statuses: Vec<u16> = world
                .at_call(at)
                .heard
                .iter()
                .filter_map(|message| match message {
                    trunkline::sip::message::Message::Response(response)
                        if response.cseq().unwrap().token != "INVITE" =>
                    {
                        Some(response.status)
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(statuses, [405, 405, 200, 405]);
        }
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_stranger_cannot_end_a_call() {
    play(|world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        let call = world.at_call(a);
        let our_tag = call.remote_tag.clone().unwrap();
        for (tag, id) in [
            (our_tag.as_str(), "another-call-id"),
            ("tk0000000000000000000000000000", call.id.clone().as_str()),
        ] {
            let bye = request("BYE", "")
                .replace("To: <sip:y@z>", &format!("To: <sip:y@z>;tag={tag}"))
                .replace("Call-ID: BYE", &format!("Call-ID: {id}"));
            world.inject("192.0.2.102:5080".parse().unwrap(), bye);
            world.run(100);
        }
        assert_eq!(world.at_call(a).hung_up, None);
        assert_eq!(world.at_call(b).hung_up, None);
        world.act(a, Act::Bye);
    });
}

#[test]
fn messages_with_bytes_changed_break_nothing() {
    play(|world| {
        let mut rng = Rng::new(world.rng.next());
        let to = through(PLAIN, OUTSIDE);
        let a = world.call(PBX, &to, Plan::idle());
        world.run(3_000);
        let b = world.last_call(CARRIER);
        // What passed in a call, as material.
        let mut material: Vec<Vec<u8>> = Vec::new();
        for at in [a, b] {
            for message in &world.at_call(at).heard {
                let fields = message.fields();
                let mut bytes = fields.head().as_bytes().to_vec();
                bytes.extend_from_slice(fields.body());
                material.push(bytes);
            }
        }
        let invite = world.at_call(a).invite.as_ref().unwrap();
        material.push(invite.bytes.to_vec());
        material.push(crate::agent::wire::cancel(&invite.bytes).to_vec());
        for _ in 0..3_000 {
            let mut bytes = rng.pick(&material).clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(4) {
                    0 => bytes[at] = rng.next() as u8,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, *rng.pick(b"\r\n:;<>\"=, \0z9")),
                    _ => {
                        bytes.remove(at);
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b'x');
                }
            }
            world.inject("192.0.2.102:5080".parse().unwrap(), bytes);
        }
        world.unchecked = true;
        world.run(1_000);
        world.act(a, Act::Bye);
        world.run(400_000);
        for agent in &mut world.agents {
            for call in &mut agent.calls {
                call.plan.deaf = true;
            }
        }
    });
}

#[test]
fn an_invite_that_comes_on_two_ways_becomes_one_call() {
    play(|world| {
        let first = request("INVITE", "")
            .replace("sip:+4930901820@gateway.example", &through(PLAIN, OUTSIDE))
            .replace("From: <sip:+4930901820@x>", "From: <sip:+12065550100@x>");
        let second = first.replace("z9hG4bK-", "z9hG4bK-other-way-");
        // RFC 3261 §8.2.2.2: while the first is being answered, the second is refused.
        let answers = send(world, &first);
        assert_eq!(answers.first(), Some(&100), "{answers:?}");
        assert_eq!(send(world, &second).first(), Some(&482));
        assert_eq!(world.calls_begun(), 1);
        // A later request of that sender is one of its own.
        let later = second.replace("CSeq: 1 ", "CSeq: 2 ");
        assert_eq!(send(world, &later).first(), Some(&100));
        assert_eq!(world.calls_begun(), 2);
    });
}
