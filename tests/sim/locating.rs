//! Host names of routes, redirections and dialogs (RFC 3263); what the DNS says is told as the control plane
//! would tell it.

use std::sync::Arc;

use trunkline::config::{CarrierPolicy, Host, SipTls, Transport};
use trunkline::shard::snapshot::{Located, Snapshot};
use trunkline::sip::locate::Place;
use trunkline::sip::message::Method;
use trunkline::telemetry::Event;

use crate::agent::plan::{Act, Plan};
use crate::cast::{
    CARRIER, CARRIER_SPARE, OUTSIDE, PBX, PBX_TLS, PLAIN, play_with, snapshot, through,
};
use crate::world::World;

/// One place: rank, transport, port, addresses.
fn place(rank: u16, transport: Transport, port: u16, addresses: &[&str]) -> Place {
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    Place {
        rank,
        weight: 0,
        transport,
        port,
        addresses: addresses.collect(),
    }
}

fn learn(
    snapshot: &mut Snapshot,
    name: &str,
    (port, transport): (Option<u16>, Option<Transport>),
    places: &[Place],
) {
    let located = Located {
        port,
        transport,
        places: places.into(),
        is_route: true,
    };
    snapshot.set_located(name.into(), Some([located].into()));
}

/// The carriers' only route is to `trunk.example`, wherever that is.
fn by_name(snapshot: &mut Snapshot, redirect: bool) {
    let mut carriers = snapshot.carriers().to_vec();
    let mut route = carriers[0].routes[0].clone();
    route.target.host = Host::from("trunk.example");
    (route.target.port, route.target.transport) = (None, None);
    snapshot.secure(&mut route.target, &SipTls::default().customers());
    carriers[0].routes = vec![route];
    carriers[0].policy = Arc::new(CarrierPolicy {
        redirect,
        ..CarrierPolicy::default()
    });
    snapshot.set_carriers(carriers);
}

/// Plays with the carrier at these places.
fn at(places: &[Place], scenario: impl Fn(&mut World)) {
    let change = |snapshot: &mut Snapshot| {
        by_name(snapshot, false);
        learn(snapshot, "trunk.example", (None, None), places);
    };
    play_with(|_| {}, change, scenario);
}

#[test]
fn rfc3263_places_are_tried_in_the_order_of_srv_until_one_answers() {
    let places = [
        place(2, Transport::Udp, 5080, &["192.0.2.102"]),
        place(1, Transport::Udp, 5080, &["192.0.2.101"]),
        // Nobody lives there.
        place(0, Transport::Udp, 5080, &["192.0.2.250", "192.0.2.251"]),
    ];
    at(&places, |world| {
        world.agents[CARRIER].plan = Plan::says(503);
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(15_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        let silent: Vec<String> = world
            .sent_to_strangers
            .iter()
            .map(|(address, _)| address.to_string())
            .collect();
        for address in ["192.0.2.250:5080", "192.0.2.251:5080"] {
            assert!(silent.contains(&address.to_owned()), "{silent:?}");
        }
        assert_eq!(world.agents[CARRIER].calls.len(), 1);
        // RFC 3263 §4: the URI names what was asked for, not what was found.
        let invite = world
            .at_call(world.last_call(CARRIER_SPARE))
            .request(Method::Invite);
        assert_eq!(invite.uri(), format!("sip:{OUTSIDE}@trunk.example"));
        world.act(a, Act::Bye);
    });
}

#[test]
fn rfc3263_a_name_that_is_nowhere_is_no_route() {
    at(&[], |world| {
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(503));
    });
}

#[test]
fn rfc3263_naptr_leads_to_tls_and_the_routes_host_is_expected_there() {
    let places = [place(0, Transport::Tls, 5061, &["203.0.113.108"])];
    at(&places, |world| {
        // The one who speaks TLS plays the carrier, which is offered RTP; the world sees to it that somebody is
        // expected.
        world.agents[PBX_TLS].srtp = None;
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        let invite = world
            .at_call(world.last_call(PBX_TLS))
            .request(Method::Invite);
        assert_eq!(invite.uri(), format!("sip:{OUTSIDE}@trunk.example"));
        world.act(a, Act::Bye);
    });
}

fn wanted(world: &World) -> Vec<(String, Option<u16>, Option<Transport>)> {
    let mut wanted = Vec::new();
    for event in &world.events {
        if let Event::LocationWanted {
            name,
            port,
            transport,
        } = event
        {
            wanted.push((name.to_string(), *port, *transport));
        }
    }
    wanted.dedup();
    wanted
}

/// Plays with a carrier that sends calls to `moved.example`.
fn redirected(scenario: impl Fn(&mut World, &Snapshot)) {
    let changed = |snapshot: &mut Snapshot| {
        by_name(snapshot, true);
        let here = [place(0, Transport::Udp, 5080, &["192.0.2.101"])];
        learn(snapshot, "trunk.example", (None, None), &here);
    };
    play_with(
        |_| {},
        changed,
        |world| {
            world.agents[CARRIER].plan = Plan {
                with_failures: vec![("Contact", "<sip:+1@Moved.Example>".to_owned())],
                ..Plan::says(302)
            };
            let mut known = snapshot();
            changed(&mut known);
            scenario(world, &known);
        },
    );
}

#[test]
fn rfc3263_a_redirection_waits_until_its_host_is_located() {
    redirected(|world, known| {
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(1_000);
        assert_eq!(wanted(world), [("moved.example".to_owned(), None, None)]);
        assert_eq!(world.at_call(a).statuses(), [100]);
        // Something else is published first.
        world.publish(known.clone());
        world.run(1_000);
        assert_eq!(world.at_call(a).statuses(), [100]);
        let mut known = known.clone();
        let there = [place(0, Transport::Udp, 5080, &["192.0.2.102"])];
        learn(&mut known, "moved.example", (None, None), &there);
        world.publish(known);
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(200));
        assert_eq!(world.agents[CARRIER_SPARE].calls.len(), 1);
        world.act(a, Act::Bye);
    });
}

#[test]
fn rfc3263_a_redirection_to_nowhere_fails_and_one_without_dns_in_time() {
    redirected(|world, known| {
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(1_000);
        let mut known = known.clone();
        learn(&mut known, "moved.example", (None, None), &[]);
        world.publish(known);
        world.run(1_000);
        assert_eq!(world.at_call(a).status(), Some(480));
    });
    redirected(|world, _| {
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(4_000);
        assert_eq!(world.at_call(a).statuses(), [100]);
        world.run(2_000);
        assert_eq!(world.at_call(a).status(), Some(480));
    });
}

#[test]
fn rfc3263_a_caller_may_give_up_while_a_redirection_is_located() {
    redirected(|world, known| {
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(1_000);
        world.act(a, Act::Cancel);
        world.run(1_000);
        assert_eq!(world.at_call(a).status(), Some(487));
        let mut known = known.clone();
        let there = [place(0, Transport::Udp, 5080, &["192.0.2.102"])];
        learn(&mut known, "moved.example", (None, None), &there);
        world.publish(known);
        world.run(1_000);
        assert!(world.agents[CARRIER_SPARE].calls.is_empty());
    });
}

#[test]
fn rfc3263_a_contacts_host_is_located_before_it_is_needed() {
    let both: &[(usize, usize)] = &[(PBX, CARRIER), (CARRIER, PBX)];
    for (caller, called) in both {
        play_with(
            |_| {},
            |_| {},
            |world| {
                let to = match *caller {
                    PBX => through(PLAIN, OUTSIDE),
                    _ => crate::cast::inbound(crate::cast::OWN),
                };
                let address = world.agents[*caller].address;
                world.agents[*caller].contact = Some(format!("Caller.example:{}", address.port()));
                let (a, b) = world.establish(*caller, *called, &to);
                let port = Some(address.port());
                let expected = ("caller.example".to_owned(), port, Some(Transport::Udp));
                assert_eq!(wanted(world), [expected]);
                // From now on it is at another address than the one it called from.
                let mut known = snapshot();
                let there = [place(0, Transport::Udp, 5090, &["192.0.2.77"])];
                learn(
                    &mut known,
                    "caller.example",
                    (port, Some(Transport::Udp)),
                    &there,
                );
                world.publish(known);
                world.act(b, Act::Bye);
                world.run(1_000);
                let (to, bye) = world.sent_to_strangers.first().unwrap();
                assert_eq!(to.to_string(), "192.0.2.77:5090");
                assert!(bye.starts_with(b"BYE sip:"));
                world.act(a, Act::Bye);
                world.sent_to_strangers.clear();
            },
        );
    }
}

/// Plays calls whose caller names these places as its Contact's host, and hangs up from the other side; where
/// the BYE went.
fn byes(places: &[(u16, &str)], contact: &str, calls: usize) -> Vec<String> {
    let all = std::cell::RefCell::new(Vec::new());
    play_with(
        |_| {},
        |_| {},
        |world| {
            let own = world.agents[PBX].address;
            world.agents[PBX].contact = Some(contact.to_owned());
            for _ in 0..calls {
                let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
                let mut known = snapshot();
                let there: Vec<Place> = places
                    .iter()
                    .map(|(rank, address)| place(*rank, Transport::Udp, own.port(), &[address]))
                    .collect();
                learn(
                    &mut known,
                    "caller.example",
                    (None, Some(Transport::Udp)),
                    &there,
                );
                world.publish(known);
                world.act(b, Act::Bye);
                world.run(100);
                let elsewhere = world.sent_to_strangers.iter();
                all.borrow_mut()
                    .extend(elsewhere.map(|(to, _)| to.to_string()));
                world.sent_to_strangers.clear();
                if world.at_call(a).hung_up.is_none() {
                    world.act(a, Act::Bye);
                }
                world.run(40_000);
                world.sent_to_strangers.clear();
            }
        },
    );
    all.into_inner()
}

#[test]
fn rfc3263_of_several_hosts_the_one_that_has_the_dialog_is_spoken_with() {
    // The call came from 203.0.113.101.
    let twins = [(0, "203.0.113.55"), (0, "203.0.113.101")];
    assert_eq!(byes(&twins, "caller.example", 10), [""; 0]);
    let dead_first = [(0, "203.0.113.55"), (1, "203.0.113.101")];
    assert_eq!(byes(&dead_first, "caller.example", 3), [""; 0]);
    // Where it is none of them, it is always the same.
    let moved = [(0, "203.0.113.55"), (0, "203.0.113.56")];
    let byes = byes(&moved, "caller.example", 5);
    assert!(!byes.is_empty());
    assert!(byes.iter().all(|to| to == "203.0.113.55:5060"), "{byes:?}");
}

#[test]
fn a_place_that_is_no_peer_is_not_sent_to() {
    for contact in [
        "0.0.0.0:8080",
        "224.0.0.1:5060",
        "255.255.255.255:5060",
        "100.64.0.1:5060",
        "127.0.0.1:5060",
        "198.51.100.1:5060",
    ] {
        assert_eq!(byes(&[], contact, 1), [""; 0], "{contact}");
    }
}

#[test]
fn what_goes_over_tls_is_not_redirected_into_the_clear() {
    let changed = |snapshot: &mut Snapshot| {
        by_name(snapshot, true);
        let here = [place(0, Transport::Tls, 5061, &["203.0.113.108"])];
        learn(snapshot, "trunk.example", (None, None), &here);
    };
    play_with(
        |_| {},
        changed,
        |world| {
            world.agents[PBX_TLS].plan = Plan {
                with_failures: vec![(
                    "Contact",
                    "<sip:+1@192.0.2.102:5080;transport=udp>".to_owned(),
                )],
                ..Plan::says(302)
            };
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
            world.run(10_000);
            assert_eq!(world.at_call(a).status(), Some(480));
            assert!(world.agents[CARRIER_SPARE].calls.is_empty());
        },
    );
}
