//! TCP, IPv6, and peers behind translators.

use trunkline::config::Transport;
use trunkline::shard::snapshot::NumberHolder;
use trunkline::sip::message::{HeaderName, Message, Method};

use crate::agent::call::{By, State};
use crate::agent::plan::{Act, Plan, Session, When};
use crate::cast::{
    CARRIER, CARRIER_TCP_V6, ENCRYPTED, OUTSIDE, OUTSIDE_TCP_V6, OWN_TCP, OWN_TLS, OWN_V6, PBX,
    PBX_NAT, PBX_TCP, PBX_TLS, PBX_V6, PLAIN, TCP, V6, both_ways, inbound, play, play_with,
    through,
};
use crate::world::World;

/// Caller and its number, called side, Request-URI: every pair of transports and families.
fn pairs() -> [(usize, &'static str, usize, String); 8] {
    [
        (PBX_TCP, OWN_TCP, CARRIER, through(TCP, OUTSIDE)),
        (
            PBX_TCP,
            OWN_TCP,
            CARRIER_TCP_V6,
            through(TCP, OUTSIDE_TCP_V6),
        ),
        (PBX_V6, OWN_V6, CARRIER, through(V6, OUTSIDE)),
        (PBX_V6, OWN_V6, CARRIER_TCP_V6, through(V6, OUTSIDE_TCP_V6)),
        (CARRIER, "+4930901820", PBX_TCP, inbound(OWN_TCP)),
        (PBX_TLS, OWN_TLS, CARRIER, through(ENCRYPTED, OUTSIDE)),
        (CARRIER, "+4930901820", PBX_TLS, inbound(OWN_TLS)),
        (
            CARRIER_TCP_V6,
            "+33142685300",
            PBX_V6,
            format!("sip:{OWN_V6}@[2001:db8:1::1]"),
        ),
    ]
}

#[test]
fn calls_pass_between_transports_and_address_families() {
    for (caller, number, called, to) in pairs() {
        for by_caller in [true, false] {
            play(|world| {
                let plan = Plan {
                    from: number,
                    ..Plan::idle()
                };
                let a = world.call(caller, &to, plan);
                world.run(3_000);
                let b = world.last_call(called);
                assert_eq!(world.at_call(a).state, State::Talking, "{to}");
                assert!(world.at_call(b).acknowledged);
                assert!(world.send_rtp(a).is_some() && world.send_rtp(b).is_some());
                for at in [a, b] {
                    let ours = world.at_call(at).remote_media.unwrap();
                    let family = world.agents[at.agent].address.is_ipv6();
                    assert_eq!(ours.is_ipv6(), family, "media of the peer's own family");
                }
                world.act(b, Act::Reinvite(Session::Moved));
                world.run(1_000);
                assert_eq!(world.at_call(b).reinvite_answers, [200]);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                world.act(one, Act::Bye);
                world.run(1_000);
                assert_eq!(world.at_call(one).bye_answer, Some(200));
                assert_eq!(world.at_call(other).hung_up, Some(By::Them));
            });
        }
    }
}

#[test]
fn calls_over_tcp_are_cancelled() {
    for (caller, number, called, to) in pairs() {
        play(|world| {
            world.agents[called].plan = Plan::idle().then(When::Invited, 100, Act::Answer(180));
            let plan = Plan {
                from: number,
                ..Plan::idle().then(When::Invited, 1_000, Act::Cancel)
            };
            let a = world.call(caller, &to, plan);
            world.run(2_000);
            assert_eq!(world.at_call(a).status(), Some(487));
            assert_eq!(world.agents[called].calls[0].status(), Some(487));
        });
    }
}

#[test]
fn nothing_is_sent_twice_over_tcp() {
    play(|world| {
        let plan = Plan {
            from: OWN_TCP,
            ..Plan::idle()
        };
        let rings = Plan::idle().then(When::Invited, 4_000, Act::Answer(486));
        world.agents[CARRIER_TCP_V6].plan = rings;
        let a = world.call(PBX_TCP, &through(TCP, OUTSIDE_TCP_V6), plan);
        world.run(60_000);
        assert_eq!(world.at_call(a).status(), Some(486));
        let messages: Vec<u16> = world.at_call(a).statuses();
        assert_eq!(messages.len(), world.at_call(a).heard.len());
        let invites = world.agents[CARRIER_TCP_V6].calls[0].heard.len();
        assert_eq!(invites, 2, "INVITE and ACK");
    });
}

#[test]
fn a_peer_behind_a_translator_is_answered_and_called_back_where_it_is() {
    play(|world| {
        let a = world.call(PBX_NAT, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        let b = world.last_call(CARRIER);
        assert_eq!(world.at_call(a).state, State::Talking);
        let Message::Response(response) = world.at_call(a).heard.last().unwrap() else {
            panic!("no response");
        };
        let via = response.via().unwrap();
        assert_eq!(via.received(), Some("10.9.9.109"));
        assert_eq!(via.params.value("rport"), Some("1024"));
        world.act(b, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(b).reinvite_answers, [200]);
        world.act(b, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(
            world.undeliverable, 0,
            "nothing goes to the private address"
        );
    });
}

#[test]
fn a_private_contact_of_a_public_peer_is_not_believed() {
    for by_caller in [true, false] {
        both_ways(&Plan::answers(), |world, caller, called, to| {
            world.agents[caller].contact = Some("10.1.1.1:5060".parse().unwrap());
            world.agents[called].contact = Some("10.2.2.2:5060".parse().unwrap());
            let (a, b) = world.establish(caller, called, to);
            assert!(world.at_call(b).acknowledged);
            let (one, other) = if by_caller { (a, b) } else { (b, a) };
            world.act(one, Act::Bye);
            world.run(1_000);
            assert_eq!(world.at_call(other).hung_up, Some(By::Them));
            assert_eq!(world.undeliverable, 0);
        });
    }
}

#[test]
fn without_rport_the_answer_goes_to_the_port_of_sent_by() {
    play(|world| {
        let options = "OPTIONS sip:gateway.example SIP/2.0\r\n\
            Via: SIP/2.0/UDP pbx.example:5060;branch=z9hG4bK776\r\nMax-Forwards: 70\r\n\
            From: <sip:a@b>;tag=1\r\nTo: <sip:gateway.example>\r\nCall-ID: 1\r\n\
            CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        world.inject("203.0.113.101:61000".parse().unwrap(), options);
        world.run(1_000);
        let answers = world.strays(crate::cast::PBX);
        assert_eq!(answers.len(), 1);
        let via = answers[0].1.header(HeaderName::Via).unwrap();
        assert!(via.ends_with(";received=203.0.113.101"), "{via}");
    });
}

#[test]
fn an_invite_that_is_too_large_for_udp_goes_over_tcp_and_where_that_fails_over_udp() {
    let large = |world: &mut World| {
        let mut plan = Plan::idle();
        plan.extra.push(("X-Large", "x".repeat(900)));
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), plan);
        world.run(3_000);
        let b = world.last_call(CARRIER);
        let invites = world.at_call(b).count(Method::Invite);
        let via = world
            .at_call(b)
            .request(Method::Invite)
            .via()
            .unwrap()
            .transport
            .to_owned();
        assert_eq!(world.at_call(a).status(), Some(200));
        world.act(a, Act::Bye);
        (via, invites)
    };
    // The carrier speaks UDP only: its stream does not come up.
    play_with(
        |gateway| gateway.udp_mtu = 1_500,
        |_| {},
        |world| assert_eq!(large(world), ("UDP".to_owned(), 1)),
    );
    // One that speaks TCP at the same address gets it so.
    play_with(
        |gateway| gateway.udp_mtu = 1_500,
        |_| {},
        |world| {
            world.agents[CARRIER].transport = Transport::Tcp;
            assert_eq!(large(world), ("TCP".to_owned(), 1));
        },
    );
    play(|world| assert_eq!(large(world), ("UDP".to_owned(), 1)));
}

#[test]
fn a_sips_call_is_taken_over_tls_and_goes_over_tls_or_not_at_all() {
    let to = through(ENCRYPTED, OUTSIDE).replace("sip:", "sips:");
    // The carrier has no route over TLS.
    play(|world| {
        let a = world.call(
            PBX_TLS,
            &to,
            Plan {
                from: OWN_TLS,
                ..Plan::idle()
            },
        );
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(480));
        assert!(world.agents[CARRIER].calls.is_empty());
    });
    // A customer's call to another customer's number would have to come back; a carrier over TLS has one.
    play_with(
        |_| {},
        |snapshot| {
            let mut carriers = snapshot.carriers().to_vec();
            let mut route = carriers[0].routes[0].clone();
            route.target.transport = Some(Transport::Tls);
            snapshot.secure(
                &mut route.target,
                &trunkline::config::SipTls::default().customers(),
            );
            carriers[0].routes = vec![route];
            snapshot.set_carriers(carriers);
        },
        |world| {
            world.agents[CARRIER].transport = Transport::Tls;
            world.agents[CARRIER].gateway = world.agents[PBX_TLS].gateway;
            let a = world.call(
                PBX_TLS,
                &to,
                Plan {
                    from: OWN_TLS,
                    ..Plan::idle()
                },
            );
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            let contact = world.at_call(a).response_header(200, HeaderName::Contact);
            assert!(contact.unwrap().starts_with("<sips:"));
            let b = world.last_call(CARRIER);
            let invite = world.at_call(b).request(Method::Invite);
            assert!(invite.uri().starts_with("sips:"));
            assert!(
                invite
                    .header(HeaderName::Contact)
                    .unwrap()
                    .starts_with("<sips:")
            );
            world.act(a, Act::Bye);
        },
    );
}

/// Whether the topmost Via of the last request of a kind asks for the connection to be reused.
fn has_alias(world: &World, at: crate::world::CallRef, method: Method) -> bool {
    let via = world.at_call(at).request(method).via().unwrap();
    via.params.get("alias").is_some()
}

#[test]
fn connections_that_the_gateway_opens_are_offered_for_requests_the_other_way() {
    for (caller, number, called, to, is_offered) in [
        (CARRIER, "+4930901820", PBX_TLS, inbound(OWN_TLS), true),
        (CARRIER, "+4930901820", PBX_TCP, inbound(OWN_TCP), true),
        (
            PBX_TLS,
            OWN_TLS,
            CARRIER,
            through(ENCRYPTED, OUTSIDE),
            false,
        ),
    ] {
        play(|world| {
            let plan = Plan {
                from: number,
                ..Plan::idle()
            };
            let a = world.call(caller, &to, plan);
            world.run(3_000);
            let b = world.last_call(called);
            assert_eq!(has_alias(world, b, Method::Invite), is_offered, "{to}");
            assert_eq!(has_alias(world, b, Method::Ack), is_offered, "{to}");
            world.act(b, Act::Bye);
            world.run(1_000);
            // The caller's connection is the caller's, and over UDP there is none.
            assert!(!has_alias(world, a, Method::Bye), "{to}");
        });
    }
}

#[test]
fn a_caller_over_tls_is_called_back_as_whom_its_route_names() {
    let to = through(ENCRYPTED, OUTSIDE);
    let call = |world: &mut World| {
        let plan = Plan {
            from: OWN_TLS,
            ..Plan::idle()
        };
        world.call(PBX_TLS, &to, plan);
        world.run(3_000);
        let answered = world.agents[PBX_TLS].reached.unwrap();
        let b = world.last_call(CARRIER);
        world.act(b, Act::Bye);
        world.run(1_000);
        let flow = world.agents[PBX_TLS].reached.unwrap();
        // Not the port that the connection came from: nobody listens there.
        assert_eq!(flow.remote, world.agents[PBX_TLS].address);
        assert_eq!(answered.tls, flow.tls);
        flow.tls
    };
    play(|world| assert!(call(world).is_some()));
    // No route leads to it: there is nothing but the name that it gives itself.
    let without_routes = |snapshot: &mut trunkline::shard::snapshot::Snapshot| {
        let own: trunkline::numbering::E164 = OWN_TLS.parse().unwrap();
        let NumberHolder::Connector(id) = snapshot.numbers[&own] else {
            panic!("a group's number");
        };
        let mut connector = (*snapshot.connectors[&id]).clone();
        connector.origination = None;
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        without_routes,
        |world| assert_eq!(call(world), None),
    );
}

#[test]
fn a_called_side_that_came_back_over_a_connection_of_its_own_is_still_whom_its_route_names() {
    play(|world| {
        let a = world.call(CARRIER, &inbound(OWN_TLS), Plan::idle());
        world.run(3_000);
        let invited = world.agents[PBX_TLS].reached.unwrap();
        assert!(invited.tls.is_some() && invited.connection.is_none());
        let b = world.last_call(PBX_TLS);
        world.act(b, Act::Reinvite(Session::Moved));
        world.run(1_000);
        world.act(a, Act::Bye);
        world.run(1_000);
        let ended = world.agents[PBX_TLS].reached.unwrap();
        assert!(ended.connection.is_some());
        assert_eq!(ended.tls, invited.tls);
    });
}
