//! REGISTER of PBXs that insist on it (RFC 3261 §10).

use trunkline::sip::digest::Challenge;
use trunkline::sip::message::{Fields, HeaderName};

use crate::agent::acting::answer_for;
use crate::cast::{
    BARE, CARRIER, DISABLED, PASSWORD, PBX, PLAIN, SECRET, TCP, USERNAME, host, play, play_with,
};
use crate::world::World;

fn accepting(scenario: impl Fn(&mut World)) {
    play_with(|gateway| gateway.registers = true, |_| {}, scenario);
}

fn register(agent: usize, uri: &str, number: u32, fields: &str) -> String {
    let source = &crate::cast::agents()[agent].source;
    format!(
        "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK-{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:trunk@x>;tag=1\r\nTo: <sip:trunk@x>\r\nCall-ID: registration\r\n\
         CSeq: {number} REGISTER\r\n{fields}Content-Length: 0\r\n\r\n"
    )
}

/// What the agent is answered, and how often.
fn send<'a>(world: &'a mut World, agent: usize, text: &str) -> Vec<(u16, &'a Fields)> {
    let before = world.strays(agent).len();
    world.inject(world.agents[agent].source, text.to_owned());
    world.run(100);
    world.strays(agent).split_off(before)
}

fn through(connector: u8) -> String {
    format!("sip:{}", host(connector))
}

#[test]
fn a_customers_host_is_told_that_it_is_registered() {
    for (fields, expected) in [
        (
            "Contact: <sip:trunk@203.0.113.101:5060>\r\nExpires: 600\r\n",
            &["<sip:trunk@203.0.113.101:5060>;expires=600"][..],
        ),
        (
            "Contact: \"X\" <sip:a@10.0.0.1;x=y>;expires=90000;q=0.5, <sip:b@10.0.0.2>\r\n",
            &[
                "<sip:a@10.0.0.1;x=y>;expires=3600",
                "<sip:b@10.0.0.2>;expires=3600",
            ],
        ),
        (
            "Contact: <sip:a@10.0.0.1>;expires=0, <sip:b@10.0.0.2>;expires=99999999999\r\n",
            &["<sip:b@10.0.0.2>;expires=3600"],
        ),
        ("Contact: *\r\nExpires: 0\r\n", &[]),
        ("", &[]),
    ] {
        accepting(|world| {
            let text = register(PBX, &through(PLAIN), 1, fields);
            let answers = send(world, PBX, &text);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].0, 200);
            let contacts: Vec<&str> = answers[0].1.values(HeaderName::Contact).collect();
            assert_eq!(contacts, expected);
        });
    }
}

#[test]
fn calls_do_not_follow_a_registration() {
    accepting(|world| {
        let fields = "Contact: <sip:trunk@192.0.2.77>\r\n";
        send(world, PBX, &register(PBX, &through(PLAIN), 1, fields));
        let (a, b) = world.establish(CARRIER, PBX, &crate::cast::inbound(crate::cast::OWN));
        assert_eq!(b.agent, PBX);
        assert!(world.sent_to_strangers.is_empty());
        world.act(a, crate::agent::plan::Act::Bye);
    });
}

#[test]
fn who_has_to_say_who_calls_has_to_say_who_registers() {
    accepting(|world| {
        let fields = "Contact: <sip:trunk@203.0.113.101>\r\n";
        let uri = through(SECRET);
        let answers = send(world, PBX, &register(PBX, &uri, 1, fields));
        assert_eq!(answers[0].0, 401);
        let challenge = answers[0].1.header(HeaderName::WwwAuthenticate).unwrap();
        let challenge = Challenge::parse(challenge).unwrap().into_owned();
        for (number, password, status) in [(2, "wrong", 403), (3, PASSWORD, 200)] {
            let value = answer_for("REGISTER", &challenge, (USERNAME, password), &uri, number);
            let fields = format!("Authorization: {value}\r\n{fields}");
            let text = register(PBX, &uri, number, &fields);
            assert_eq!(send(world, PBX, &text)[0].0, status);
            // The same again is the same request, not the same credentials for another one.
            assert_eq!(send(world, PBX, &text)[0].0, status);
        }
    });
}

#[test]
fn nobody_else_is_told_more_than_before() {
    for (agent, uri, status) in [
        (CARRIER, through(PLAIN), 405),
        (CARRIER, "sip:198.51.100.1".to_owned(), 405),
        (PBX, through(TCP), 405),
        (PBX, "sip:elsewhere.example".to_owned(), 405),
        (PBX, through(BARE), 405),
        (PBX, through(DISABLED), 403),
    ] {
        accepting(|world| {
            let text = register(agent, &uri, 1, "Contact: <sip:x@y>\r\n");
            assert_eq!(send(world, agent, &text)[0].0, status, "{uri}");
        });
    }
    accepting(|world| {
        for (number, fields) in [
            (1, "Contact: *\r\n"),
            (2, "Contact: <sip:a@b>\r\nExpires: soon\r\n"),
            (3, "Contact: <sip:a@b\r\n"),
        ] {
            let text = register(PBX, &through(PLAIN), number, fields);
            assert_eq!(send(world, PBX, &text)[0].0, 400, "{fields}");
        }
    });
    play(|world| {
        let text = register(PBX, &through(PLAIN), 1, "Contact: <sip:x@y>\r\n");
        let answers = send(world, PBX, &text);
        assert_eq!(answers[0].0, 405);
        assert!(answers[0].1.header(HeaderName::Allow).is_some());
    });
}
