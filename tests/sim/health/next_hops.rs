//! Who is pinged: whom routes lead to, as they are now.

use super::*;

/// The number leads to `pbx.example` only.
fn by_name(snapshot: &mut Snapshot) {
    let mut plain = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
    plain.origination = Some(Origination {
        disabled: false,
        routes: vec![OriginationRoute {
            target: Target {
                host: Host::from("pbx.example"),
                port: Some(5070),
                transport: Some(Transport::Udp),
                tls: None,
            },
            priority: 1,
            weight: 1,
        }],
    });
    snapshot.put_connector(plain);
}

/// `pbx.example` is at these addresses.
fn locate(snapshot: &mut Snapshot, addresses: &[&str]) {
    let places = addresses.iter().map(|address| {
        let address: SocketAddr = address.parse().unwrap();
        Place {
            rank: 1,
            weight: 1,
            transport: Transport::Udp,
            port: address.port(),
            addresses: [address.ip()].into(),
        }
    });
    let located = Located {
        port: Some(5070),
        transport: Some(Transport::Udp),
        places: places.collect(),
        is_route: true,
    };
    snapshot.set_located("pbx.example".into(), Some([located].into()));
}

#[test]
fn a_name_with_two_addresses_loses_one_of_them() {
    let change = |snapshot: &mut Snapshot| {
        by_name(snapshot);
        locate(snapshot, &["203.0.113.101:5060", "203.0.113.102:5062"]);
    };
    play_changed(HEALTH, change, |world, control| {
        control.run(world, 31_000);
        // The PBX has another route that leads there, with another name for it.
        let uris: BTreeSet<&str> = [PBX, PBX_SPARE]
            .into_iter()
            .flat_map(|agent| world.agents[agent].pings.iter())
            .map(|(_, ping, _)| ping.uri())
            .collect();
        assert_eq!(
            uris,
            BTreeSet::from(["sip:203.0.113.101:5060", "sip:pbx.example:5070"])
        );
        world.agents[PBX].ping_status = None;
        control.run_until(world, PBX, true);
        for _ in 0..10 {
            assert_eq!(call_in(world).map(|came| came.is_some()), [false, true]);
        }
        // It moves, and what was found out of those who stay is kept.
        control.change(world, |snapshot| {
            locate(snapshot, &["203.0.113.101:5060", "203.0.113.199:5060"]);
        });
        let spare_was_pinged = pings(world, PBX_SPARE).len();
        control.run(world, 60_000);
        assert_eq!(pings(world, PBX_SPARE).len(), spare_was_pinged);
        assert_eq!(changes(world, PBX), [true]);
        let newcomer: SocketAddr = "203.0.113.199:5060".parse().unwrap();
        let mut sent = world.sent_to_strangers.iter();
        assert!(sent.any(|(to, bytes)| *to == newcomer && bytes.starts_with(b"OPTIONS ")));
    });
}

#[test]
fn pings_follow_the_routes() {
    play(|world, control| {
        control.run(world, 40_000);
        let spare = pings(world, PBX_SPARE).len();
        // One of the connectors that lead to the PBX is left, none of those that lead to its spare.
        control.change(world, |snapshot| {
            snapshot.remove_connector(connector_id(PLAIN));
        });
        control.run(world, 60_000);
        assert_eq!(pings(world, PBX_SPARE).len(), spare);
        assert_eq!(pings(world, PBX).len(), 3);
        assert_eq!(counted(world)[0], PINGED.len() as u64 - 1);

        let put = |control: &mut Control, world: &mut World, disabled: bool| {
            control.change(world, |snapshot| {
                let mut plain = (*crate::cast::snapshot().connectors[&connector_id(PLAIN)]).clone();
                if let Some(origination) = &mut plain.origination {
                    origination.disabled = disabled;
                }
                snapshot.put_connector(plain);
            });
        };
        put(control, world, true);
        control.run(world, 60_000);
        assert_eq!(pings(world, PBX_SPARE).len(), spare, "it is not in use");
        put(control, world, false);
        // Published again and again, as with every write, it is the same.
        for _ in 0..30 {
            put(control, world, false);
            control.run(world, 1_000);
        }
        assert_eq!(pings(world, PBX_SPARE).len(), spare + 1);
    });
}

#[test]
fn a_next_hop_that_comes_back_with_a_route_begins_anew() {
    play(|world, control| {
        world.agents[PBX_SPARE].ping_status = None;
        control.run_until(world, PBX_SPARE, true);
        assert_eq!(control.snapshot.next_hops.down(), 1);
        let plain = (*control.snapshot.connectors[&connector_id(PLAIN)]).clone();
        control.change(world, |snapshot| snapshot.remove_connector(plain.id));
        assert_eq!(control.snapshot.next_hops.down(), 0);
        assert_eq!(counted(world)[1], 0);
        control.change(world, |snapshot| snapshot.put_connector(plain));
        control.run(world, 30_000);
        assert_eq!(changes(world, PBX_SPARE), [true]);
        control.run(world, 30_000);
        assert_eq!(changes(world, PBX_SPARE), [true, true]);
    });
}

#[test]
fn over_tls_another_certificate_is_another_next_hop() {
    let change = |snapshot: &mut Snapshot| {
        let mut plain = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        let mut target = Target {
            host: Host::from("pbx.example"),
            port: Some(5070),
            transport: Some(Transport::Tls),
            tls: None,
        };
        snapshot.secure(&mut target, &SipTls::default().customers());
        let place = Place {
            rank: 1,
            weight: 1,
            transport: Transport::Tls,
            port: 5061,
            addresses: ["203.0.113.108".parse().unwrap()].into(),
        };
        let located = Located {
            port: Some(5070),
            transport: Some(Transport::Tls),
            places: [place].into(),
            is_route: true,
        };
        snapshot.set_located("pbx.example".into(), Some([located].into()));
        if let Some(origination) = &mut plain.origination {
            origination.routes[0].target = target.clone();
        }
        snapshot.put_connector(plain);
    };
    play_changed(HEALTH, change, |world, control| {
        control.run(world, 31_000);
        let uris: BTreeSet<&str> = world.agents[PBX_TLS]
            .pings
            .iter()
            .map(|(_, ping, _)| ping.uri())
            .collect();
        let expected = [
            "sip:203.0.113.108:5061;transport=tls",
            "sip:pbx.example:5070;transport=tls",
        ];
        assert_eq!(uris, BTreeSet::from(expected));
    });
}
