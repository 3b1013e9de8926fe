//! OPTIONS outside a dialog: answered to anybody, remembered of nobody.

use trunkline::sip::message::HeaderName;
use trunkline::telemetry::Event;

use crate::cast::{CARRIER, PBX, PBX_NAT, SECRET, connector_id, host, play};

#[test]
fn options_to_a_connectors_host_is_answered_and_recorded() {
    play(|world| {
        let options = options(&format!("sip:{}", host(SECRET)), 70);
        world.inject("10.9.9.109:1024".parse().unwrap(), options);
        world.run(1_000);
        let answers = world.strays(PBX_NAT);
        assert_eq!(answers[0].0, 200);
        assert!(
            answers[0]
                .1
                .header(HeaderName::Allow)
                .unwrap()
                .contains("INVITE")
        );
        let recorded = Event::OptionsReceived {
            connector: connector_id(SECRET),
            source: "10.9.9.109:1024".parse().unwrap(),
        };
        assert_eq!(world.events, [recorded]);
    });
}

#[test]
fn options_to_the_gateway_itself_is_a_ping_and_to_a_stranger_not_found() {
    play(|world| {
        for (uri, status) in [
            ("sip:gateway.example", 200),
            ("sip:198.51.100.1:5060", 200),
            ("sip:elsewhere.example", 404),
        ] {
            for (agent, source) in [(PBX, "203.0.113.101:5060"), (CARRIER, "192.0.2.101:5080")] {
                world.inject(source.parse().unwrap(), options(uri, 70));
                world.run(40_000);
                assert_eq!(world.strays(agent).last().unwrap().0, status, "{uri}");
            }
        }
        assert!(world.events.is_empty());
    });
}

#[test]
fn a_request_without_hops_left_goes_no_further() {
    play(|world| {
        world.inject(
            "203.0.113.101:5060".parse().unwrap(),
            options(&format!("sip:{}", host(SECRET)), 0),
        );
        world.run(1_000);
        assert_eq!(world.strays(PBX)[0].0, 483);
        assert!(world.events.is_empty());
    });
}

#[test]
fn options_of_a_stranger_is_answered_and_not_recorded() {
    play(|world| {
        let options = options(&format!("sip:{}", host(SECRET)), 70);
        world.inject("192.0.2.101:5080".parse().unwrap(), options);
        world.run(1_000);
        let answers = world.strays(CARRIER);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, 200);
        assert!(answers[0].1.header(HeaderName::Allow).is_some());
        assert!(world.events.is_empty());
    });
}

#[test]
fn options_leaves_nothing_behind() {
    play(|world| {
        let before = world.occupancy();
        let uri = format!("sip:{}", host(SECRET));
        for number in 0..1_000 {
            let branch = format!("branch=z9hG4bK{number}-");
            let options = options(&uri, 70).replace("branch=z9hG4bK", &branch);
            world.inject("10.66.66.66:5060".parse().unwrap(), options);
            // Slower than one source may send.
            world.run(10);
            assert_eq!(world.occupancy(), before);
        }
        assert_eq!(world.undeliverable, 1_000, "every one is answered");
        world.inject("10.9.9.109:1024".parse().unwrap(), options(&uri, 70));
        world.run(0);
        assert_eq!(world.occupancy(), before, "not even of a customer");
    });
}

fn options(uri: &str, hops: u8) -> String {
    format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.2.3;rport;branch=z9hG4bK{hops}x\r\n\
         Max-Forwards: {hops}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <{uri}>\r\nCall-ID: {uri}\r\n\
         CSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}
