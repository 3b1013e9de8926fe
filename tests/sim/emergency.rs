//! Calls for help.

use std::sync::Arc;
use std::time::Duration;

use trunkline::config::{Carrier, CarrierPolicy};
use trunkline::shard::reserve::RESERVED_CALLS_MAX;
use trunkline::shard::snapshot::{EmergencyNumber, Snapshot};
use trunkline::sip::message::{HeaderName, Method};
use trunkline::sip::multipart;
use trunkline::telemetry::{CallKind, Event};

use crate::agent::call::State;
use crate::agent::plan::{Act, Plan};
use crate::cast::{
    CARRIER, CARRIER_TCP_V6, OUTSIDE, PBX, PBX_V6, PLAIN, SLOW, connector_id, inbound, play_with,
    through,
};
use crate::world::World;

const DESK: &str = "+13125550142";
const TEST_DESK: &str = "+13125550143";

/// The carrier over TCP takes emergency calls.
fn with_emergency_carrier(snapshot: &mut Snapshot) {
    let emergency = Arc::new(CarrierPolicy {
        emergency: true,
        ..CarrierPolicy::default()
    });
    let marked = |carrier: &Carrier| match carrier.name.as_str() {
        "six" => Carrier {
            policy: emergency.clone(),
            ..carrier.clone()
        },
        _ => carrier.clone(),
    };
    let carriers: Vec<Carrier> = snapshot.carriers().iter().map(marked).collect();
    snapshot.set_carriers(carriers);
}

/// `DNIS` of every connector.
fn configured(test: Option<&'static str>) -> impl Fn(&mut Snapshot) {
    move |snapshot| {
        for id in [PLAIN, SLOW].map(connector_id) {
            let mut connector = (*snapshot.connectors[&id]).clone();
            connector.emergency = vec![EmergencyNumber {
                number: DESK.parse().unwrap(),
                test: test.map(|number| number.parse().unwrap()),
            }];
            snapshot.put_connector(connector);
        }
    }
}

/// Where a call to `dialled` arrived, and as whose number.
fn arrived(change: impl Fn(&mut Snapshot), dialled: &str, at: usize) -> String {
    let uri = std::cell::RefCell::new(String::new());
    play_with(
        |_| {},
        change,
        |world| {
            let a = world.call(PBX, &through(PLAIN, dialled), Plan::idle());
            world.run(2_000);
            assert_eq!(world.at_call(a).status(), Some(200), "{dialled}");
            let b = world.last_call(at);
            let invite = world.at_call(b).request(Method::Invite);
            *uri.borrow_mut() = invite.uri().split('@').next().unwrap().to_owned();
            let is_marked = world.events.iter().any(|event| {
            matches!(event, Event::CallStarted(facts) if facts.kind == CallKind::Emergency)
        });
            assert!(is_marked);
            world.act(a, Act::Bye);
        },
    );
    uri.into_inner()
}

#[test]
fn help_is_called_as_it_was_dialled_at_the_carrier_for_it() {
    for dialled in ["911", "933", "+911"] {
        let short = dialled.trim_start_matches('+');
        let arrived = arrived(with_emergency_carrier, dialled, CARRIER_TCP_V6);
        assert_eq!(arrived, format!("sip:{short}"));
    }
}

#[test]
fn help_is_called_at_the_connectors_number_and_tests_at_its_test_number() {
    let both = |snapshot: &mut Snapshot| {
        with_emergency_carrier(snapshot);
        configured(Some(TEST_DESK))(snapshot);
    };
    for (dialled, number) in [
        ("911", DESK),
        ("933", TEST_DESK),
        (DESK, DESK),
        (TEST_DESK, TEST_DESK),
    ] {
        assert_eq!(arrived(both, dialled, CARRIER), format!("sip:{number}"));
    }
    let one = |snapshot: &mut Snapshot| {
        with_emergency_carrier(snapshot);
        configured(None)(snapshot);
    };
    assert_eq!(arrived(one, "911", CARRIER), format!("sip:{DESK}"));
    assert_eq!(arrived(one, "933", CARRIER_TCP_V6), "sip:933");
}

#[test]
fn help_is_called_beyond_the_limits_and_with_any_caller_id() {
    play_with(
        |_| {},
        with_emergency_carrier,
        |world| {
            let mut calls = Vec::new();
            for _ in 0..2 {
                calls.push(world.call(
                    PBX,
                    &through(SLOW, OUTSIDE),
                    Plan {
                        from: "+12065550104",
                        ..Plan::idle()
                    },
                ));
            }
            for _ in 0..4 {
                calls.push(world.call(
                    PBX,
                    &through(SLOW, "911"),
                    Plan {
                        from: "+442071838750",
                        ..Plan::idle()
                    },
                ));
            }
            let over = world.call(
                PBX,
                &through(SLOW, OUTSIDE),
                Plan {
                    from: "+12065550104",
                    ..Plan::idle()
                },
            );
            world.run(3_000);
            assert_eq!(world.at_call(over).status(), Some(503));
            for call in calls {
                assert_eq!(world.at_call(call).status(), Some(200));
                world.act(call, Act::Bye);
            }
        },
    );
}

/// A call that idles, to be answered within three seconds if it ever is.
fn calls(world: &mut World, agent: usize, to: &str, count: usize) -> Vec<Option<u16>> {
    let calls: Vec<_> = (0..count)
        .map(|_| world.call(agent, to, Plan::idle()))
        .collect();
    world.run(3_000);
    calls
        .into_iter()
        .map(|call| world.at_call(call).status())
        .collect()
}

fn in_table(world: &World) -> Vec<usize> {
    let shards = world.shards.iter();
    shards.map(|shard| shard.occupancy().calls).collect()
}

#[test]
fn help_is_called_while_a_shard_is_behind_and_by_customers_alone() {
    play_with(
        |_| {},
        with_emergency_carrier,
        |world| {
            for shard in &mut world.shards {
                shard.set_lag(Duration::from_millis(250));
            }
            for (agent, to, expected) in [
                (PBX, through(PLAIN, OUTSIDE), 503),
                (PBX, through(PLAIN, "911"), 200),
                (PBX, through(PLAIN, "933"), 200),
                // Not from a host that the connector does not allow, nor from the PSTN.
                (PBX_V6, through(PLAIN, "911"), 503),
                (CARRIER, through(PLAIN, "911"), 503),
                (CARRIER, inbound("911"), 503),
            ] {
                assert_eq!(calls(world, agent, &to, 1), [Some(expected)], "{to}");
            }
            world.shut_down();
        },
    );
}

#[test]
fn help_is_called_where_the_table_of_calls_is_full() {
    let both = |snapshot: &mut Snapshot| {
        with_emergency_carrier(snapshot);
        configured(Some(TEST_DESK))(snapshot);
    };
    play_with(
        |gateway| gateway.limits.calls_max = 1,
        both,
        |world| {
            let filled = calls(world, PBX, &through(PLAIN, OUTSIDE), 16);
            assert!(filled.contains(&Some(503)));
            assert!(in_table(world).iter().all(|calls| *calls == 1));
            for number in ["911", "933", DESK, TEST_DESK] {
                let answers = calls(world, PBX, &through(PLAIN, number), 4);
                assert_eq!(answers, [Some(200); 4], "{number}");
            }
            assert_eq!(
                calls(world, PBX, &through(PLAIN, OUTSIDE), 1),
                [Some(503)],
                "what help has taken is nobody else's"
            );
            world.shut_down();
        },
    );
}

#[test]
fn the_room_that_is_kept_for_help_has_an_end_and_is_given_back() {
    play_with(
        |gateway| {
            gateway.limits.calls_max = 0;
            gateway.media_ports = 2_000;
        },
        with_emergency_carrier,
        |world| {
            let to = through(PLAIN, "911");
            let most = RESERVED_CALLS_MAX * world.shards.len();
            for _ in 0..2 {
                // Twice as many as there is room for fill every shard.
                let answers = calls(world, PBX, &to, 2 * most);
                let taken = answers.iter().filter(|answer| **answer == Some(200));
                assert_eq!(taken.count(), most);
                assert!(
                    in_table(world)
                        .iter()
                        .all(|calls| *calls == RESERVED_CALLS_MAX)
                );
                world.shut_down();
                world.run(40_000);
                assert!(in_table(world).iter().all(|calls| *calls == 0));
            }
        },
    );
}

#[test]
fn nobody_takes_an_emergency_call_by_chance() {
    play_with(
        |_| {},
        |_| {},
        |world| {
            let a = world.call(PBX, &through(PLAIN, "911"), Plan::idle());
            world.run(2_000);
            let refused = (503, "No Carrier For Emergency Calls".to_owned());
            assert_eq!(world.at_call(a).outcome.as_ref(), Some(&refused));
        },
    );
}

const LOCATION: &str = "Content-Type: application/pidf+xml\r\nContent-ID: <a@pbx.example>\r\n\r\n\
    <?xml version=\"1.0\"?>\r\n<presence entity=\"pres:a@pbx.example\"/>\r\n";

#[test]
fn where_the_caller_is_reaches_the_carrier_byte_for_byte() {
    let mut plan = Plan {
        location: Some(LOCATION),
        ..Plan::idle()
    };
    let cid = "<cid:a@pbx.example>;inserted-by=\"pbx.example\"";
    plan.extra.push(("Geolocation", cid.to_owned()));
    plan.extra.push(("Geolocation-Routing", "yes".to_owned()));
    for (dialled, at) in [("911", CARRIER_TCP_V6), (OUTSIDE, CARRIER)] {
        play_with(
            |_| {},
            with_emergency_carrier,
            |world| {
                let a = world.call(PBX, &through(PLAIN, dialled), plan.clone());
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(200));
                let b = world.last_call(at);
                let invite = world.at_call(b).request(Method::Invite);
                assert_eq!(invite.header(HeaderName::Geolocation), Some(cid));
                assert_eq!(invite.header(HeaderName::GeolocationRouting), Some("yes"));
                let content_type = invite.header(HeaderName::ContentType).unwrap();
                let parts = multipart::parts(content_type, invite.body()).unwrap();
                assert_eq!(parts.len(), 2);
                assert!(parts[0].is("application/sdp"));
                // The media address is ours.
                assert!(parts[0].content.starts_with(b"v=0\r\no=trunkline "));
                assert_eq!(parts[1].whole, LOCATION.as_bytes());
                assert!(world.at_call(a).state == State::Talking);
                world.act(a, Act::Bye);
            },
        );
    }
}

#[test]
fn a_configured_number_is_one_however_it_is_written() {
    let both = |snapshot: &mut Snapshot| {
        with_emergency_carrier(snapshot);
        configured(Some(TEST_DESK))(snapshot);
    };
    for dialled in ["+1-312-555-0142", "+1(312)555.0142", "%2B13125550142"] {
        assert_eq!(arrived(both, dialled, CARRIER), format!("sip:{DESK}"));
    }
}

#[test]
fn a_configuration_is_no_way_around_the_policy() {
    let costly = |snapshot: &mut Snapshot| {
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        connector.emergency = vec![EmergencyNumber {
            number: "+19005550142".parse().unwrap(),
            test: "+881612345678".parse().ok(),
        }];
        snapshot.put_connector(connector);
    };
    for (dialled, status) in [("+19005550142", 403), ("+881612345678", 403), ("911", 503)] {
        play_with(
            |_| {},
            costly,
            |world| {
                let a = world.call(PBX, &through(PLAIN, dialled), Plan::idle());
                world.run(2_000);
                assert_eq!(world.at_call(a).status(), Some(status), "{dialled}");
                assert!(world.agents[CARRIER].calls.is_empty());
            },
        );
    }
}

#[test]
fn nobody_is_called_for_help_in_another_ones_name() {
    play_with(
        |_| {},
        with_emergency_carrier,
        |world| {
            let plan = Plan {
                from: "+442071838750",
                ..Plan::idle()
            };
            let a = world.call(PBX, &through(PLAIN, "911"), plan);
            world.run(2_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            let b = world.last_call(CARRIER_TCP_V6);
            let head = world.at_call(b).request(Method::Invite).head().to_owned();
            assert!(!head.contains("442071838750"), "{head}");
            world.act(a, Act::Bye);
        },
    );
}

#[test]
fn help_is_not_kept_from_an_address_for_wrong_passwords() {
    use crate::cast::{PASSWORD, SECRET, USERNAME};
    let with_account = |password| Plan {
        account: Some((USERNAME, password, "MD5")),
        ..Plan::idle()
    };
    play_with(
        |_| {},
        with_emergency_carrier,
        |world| {
            for _ in 0..8 {
                world.call(PBX, &through(SECRET, OUTSIDE), with_account("wrong"));
                world.run(500);
            }
            let ordinary = world.call(PBX, &through(SECRET, OUTSIDE), with_account(PASSWORD));
            let help = world.call(PBX, &through(SECRET, "911"), with_account(PASSWORD));
            world.run(2_500);
            assert_eq!(world.at_call(ordinary).status(), Some(403));
            assert_eq!(world.at_call(help).status(), Some(200));
            world.act(help, Act::Bye);
        },
    );
}

#[test]
fn who_takes_calls_for_help_is_asked_first_whatever_it_said_to_others() {
    let both = |snapshot: &mut Snapshot| {
        with_emergency_carrier(snapshot);
        let desk = |connector: &mut trunkline::shard::snapshot::VoiceConnector| {
            connector.emergency = vec![EmergencyNumber {
                number: "+33142685399".parse().unwrap(),
                test: None,
            }];
        };
        let mut connector = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        desk(&mut connector);
        snapshot.put_connector(connector);
    };
    play_with(
        |_| {},
        both,
        |world| {
            // It asks to be left alone, and is by ordinary calls.
            let mut busy = Plan::says(503);
            busy.with_failures.push(("Retry-After", "60".to_owned()));
            world.agents[CARRIER_TCP_V6].plan = busy;
            let first = world.call(PBX, &through(PLAIN, "+33142685300"), Plan::idle());
            world.run(3_000);
            world.act(first, Act::Bye);
            world.agents[CARRIER_TCP_V6].plan = Plan::answers();
            let before = world.agents[CARRIER_TCP_V6].calls.len();
            let help = world.call(PBX, &through(PLAIN, "911"), Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(help).status(), Some(200));
            assert_eq!(world.agents[CARRIER_TCP_V6].calls.len(), before + 1);
            world.act(help, Act::Bye);
        },
    );
}
