//! Transfers that are none, or that whoever asks for one may not have.

use trunkline::sip::digest::Challenge;
use trunkline::sip::message::HeaderName;

use crate::agent::acting::answer_for;
use crate::agent::call::{Call, State};
use crate::agent::plan::{Act, Plan, When};
use crate::cast::{
    CARRIER, OUTSIDE, OWN, OWN_SECRET, PASSWORD, PBX, PLAIN, SECRET, USERNAME, inbound, play,
    play_with, through,
};
use crate::transfers::{
    Scene, answers, each_side, notices, refer, refer_to, refer_with, talk, told, with_transfers,
};

#[test]
fn nobody_is_reached_by_a_transfer_who_could_not_be_called() {
    with_transfers(|world| {
        // A carrier may reach numbers in service, a customer numbers outside, both with what it takes.
        for (number, allowed) in [("+4930901821", false), (OWN_SECRET, true)] {
            let (_, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
            refer_to(world, b, &format!("sip:{number}@198.51.100.1"));
            world.run(3_000);
            let expected = if allowed { 202 } else { 403 };
            assert_eq!(answers(world.at_call(b)), [expected], "{number}");
            world.act(b, Act::Bye);
            world.run(2_000);
            if allowed {
                let target = world.last_call(PBX);
                world.act(target, Act::Bye);
                world.run(2_000);
            }
        }
        for to in [
            "sip:200@203.0.113.101",
            "sip:4930901820@198.51.100.1",
            "tel:4930901820;phone-context=example.com",
            "sips:+4930901820@198.51.100.1",
        ] {
            let (a, b) = world.establish(CARRIER, PBX, &inbound(OWN));
            refer_to(world, b, to);
            world.run(1_000);
            assert_eq!(answers(world.at_call(b)), [403], "{to}");
            assert!(notices(world.at_call(b)).is_empty());
            talk(world, a, b);
            world.act(a, Act::Bye);
            world.run(1_000);
        }
    });
}

#[test]
fn who_has_to_say_who_calls_has_to_say_who_transfers() {
    with_transfers(|world| {
        let (a, b) = world.establish(CARRIER, PBX, &inbound(OWN_SECRET));
        refer_to(world, b, &format!("<{}>", through(SECRET, OUTSIDE)));
        world.run(1_000);
        assert_eq!(answers(world.at_call(b)), [407]);
        let challenge = world
            .at_call(b)
            .last_response_header(HeaderName::ProxyAuthenticate);
        let challenge = Challenge::parse(&challenge.unwrap()).unwrap().into_owned();
        talk(world, a, b);
        for (password, nc, status) in [("wrong", 1, 403), (PASSWORD, 2, 202)] {
            let account = (USERNAME, password);
            let value = answer_for("REFER", &challenge, account, "sip:198.51.100.1", nc);
            let fields = [
                ("Refer-To", format!("<{}>", through(SECRET, OUTSIDE))),
                ("Proxy-Authorization", value),
            ];
            refer_with(world, b, &fields);
            world.run(1_000);
            assert_eq!(answers(world.at_call(b)).last(), Some(&status));
        }
        world.run(2_000);
        let target = world.last_call(CARRIER);
        talk(world, a, target);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_customers_rate_of_calls_counts_transfers() {
    let slow = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        let id = crate::cast::connector_id(PLAIN);
        let mut connector = (*snapshot.connectors[&id]).clone();
        connector.termination.as_mut().unwrap().cps_limit = 1;
        snapshot.put_connector(connector);
    };
    play_with(
        |gateway| gateway.transfers = true,
        slow,
        |world| {
            let (a, b) = world.establish(CARRIER, PBX, &inbound(OWN));
            let one = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
            world.run(100);
            refer_to(world, b, &format!("sip:{OUTSIDE}@198.51.100.1"));
            world.run(100);
            assert_eq!(answers(world.at_call(b)), [503]);
            world.run(3_000);
            world.act(a, Act::Bye);
            world.act(one, Act::Bye);
        },
    );
}

#[test]
fn one_transfer_at_a_time() {
    each_side(|world, scene| {
        let Scene { one, other, .. } = scene;
        refer(world, scene);
        world.run(200);
        refer(world, scene);
        world.run(200);
        assert_eq!(answers(world.at_call(one)), [202, 491]);
        refer(
            world,
            Scene {
                one: other,
                ..scene
            },
        );
        world.run(200);
        assert_eq!(answers(world.at_call(other)), [491]);
        world.run(3_000);
        assert_eq!(notices(world.at_call(one)), told("200 OK"));
        world.act(other, Act::Bye);
    });
}

#[test]
fn what_is_no_call_to_a_number_is_refused() {
    let fields = |values: &[&str]| -> Vec<(&str, String)> {
        let field = |value: &&str| ("Refer-To", (*value).to_owned());
        values.iter().map(field).collect()
    };
    let number = format!("<sip:{OUTSIDE}@198.51.100.1>");
    for (values, status) in [
        (&[][..], 400),
        (&[&*number, &*number], 400),
        (&["<sip:+49@[>"], 400),
        (&["\"unclosed <sip:a@b>"], 400),
        (&["<http://example.com>"], 403),
        (&[&format!("<sip:{OUTSIDE}@198.51.100.1;method=BYE>")], 403),
        (
            &[&format!(
                "<sip:{OUTSIDE}@198.51.100.1?Subject=x&replaces=1%40a%3Bto-tag%3Db>"
            )],
            501,
        ),
    ] {
        with_transfers(|world| {
            let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
            refer_with(world, a, &fields(values));
            world.run(1_000);
            assert_eq!(answers(world.at_call(a)), [status], "{values:?}");
            assert!(notices(world.at_call(a)).is_empty());
            talk(world, a, b);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn without_the_operators_word_there_is_no_transfer() {
    play(|world| {
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        let says_so = |call: &Call| {
            let allow = call.last_response_header(HeaderName::Allow).unwrap();
            allow.contains("REFER")
        };
        assert!(!says_so(world.at_call(a)));
        refer_to(world, a, &format!("<sip:{OUTSIDE}@198.51.100.1>"));
        world.run(1_000);
        assert_eq!(answers(world.at_call(a)), [405]);
        assert!(!says_so(world.at_call(a)));
        talk(world, a, b);
        world.act(a, Act::Bye);
    });
    with_transfers(|world| {
        let (a, _) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        let allow = world.at_call(a).last_response_header(HeaderName::Allow);
        assert!(allow.unwrap().contains("REFER"));
        world.act(a, Act::Bye);
    });
}

#[test]
fn nobody_is_transferred_before_the_caller_knows_of_the_answer() {
    with_transfers(|world| {
        world.agents[CARRIER].plan = Plan::idle()
            .then(When::Invited, 100, Act::Reliable(183))
            .then(When::Invited, 500, Act::Answer(200));
        let calling = Plan {
            extra: vec![("Supported", "100rel".to_owned())],
            no_prack: true,
            ..Plan::idle()
        };
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), calling);
        world.run(1_000);
        let b = world.last_call(CARRIER);
        assert_eq!(world.at_call(b).state, State::Talking);
        refer_to(world, b, &format!("<tel:{OWN}>"));
        world.run(1_000);
        assert_eq!(answers(world.at_call(b)), [491]);
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).state, State::Over);
    });
}
