//! The table of a next hop's states, and the set of next hops against one made anew.

use proptest::prelude::*;

use super::*;
use crate::config::{Carrier, CarrierPolicy, CarrierRoute, CarrierTls, Host, Target, Transport};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::Prefix;
use crate::shard::snapshot::{Located, Origination, OriginationRoute, Snapshot, VoiceConnector};
use crate::sip::locate::Place;

#[test]
fn every_state_with_every_outcome() {
    use State::{Down, Up};
    let settings = Settings {
        down_after: 3,
        up_after: 2,
        ..Settings::default()
    };
    for (state, if_answered, if_not) in [
        (
            Up { unanswered: 0 },
            Up { unanswered: 0 },
            Up { unanswered: 1 },
        ),
        (
            Up { unanswered: 1 },
            Up { unanswered: 0 },
            Up { unanswered: 2 },
        ),
        (
            Up { unanswered: 2 },
            Up { unanswered: 0 },
            Down { answered: 0 },
        ),
        (
            Down { answered: 0 },
            Down { answered: 1 },
            Down { answered: 0 },
        ),
        (
            Down { answered: 1 },
            Up { unanswered: 0 },
            Down { answered: 0 },
        ),
    ] {
        assert_eq!(state.after(true, &settings), if_answered, "{state:?}");
        assert_eq!(state.after(false, &settings), if_not, "{state:?}");
        let is_well = state == Up { unanswered: 0 };
        assert_eq!(state.interval(&settings) == settings.interval, is_well);
    }
}

#[test]
fn with_too_many_next_hops_the_interval_is_longer() {
    let mut health = Health::new();
    let interval = Duration::from_secs(2);
    for count in 0..4_000u32 {
        assert_eq!(
            health.roomy(interval),
            interval.max(Duration::from_millis(count.into()))
        );
        let entry = health.hops.vacant_entry();
        entry.insert(Pinged {
            generation: 0,
            hop: next_hop(Transport::Udp, ([192, 0, 2, 1], 1).into(), None, None),
            uri: Arc::from(""),
            state: State::Up { unanswered: 0 },
            outstanding: None,
            sent: Instant::ORIGIN,
            timer: crate::shard::wheel::Wheel::new(Instant::ORIGIN).insert(Instant::ORIGIN, ()),
        });
    }
}

/// The differences of large sets, which share most of what they hold.
#[test]
fn differences_of_large_sets_are_exact() {
    let mut random = crate::shard::random::Random::new([7; 16]);
    let mut hops = NextHops::default();
    let mut counts = std::collections::BTreeMap::new();
    for step in 0..20_000 {
        let port = 1 + random.below(4_000) as u16;
        let hop = next_hop(Transport::Udp, ([192, 0, 2, 1], port).into(), None, None);
        let target = Target {
            host: Host::from("192.0.2.1"),
            port: Some(port),
            transport: Some(Transport::Udp),
            tls: None,
        };
        let before = hops.clone();
        let count: &mut u32 = counts.entry(port).or_default();
        // More and more of them, then fewer and fewer.
        let is_one_more = *count == 0 || random.below(20_000) > step;
        let is_changed = match is_one_more {
            true => {
                hops.add(&target, None, None);
                *count += 1;
                *count == 1
            }
            false => {
                hops.remove(&target, None, None);
                *count -= 1;
                *count == 0
            }
        };
        let expected = is_changed.then_some(hop);
        let found = hops.changed_since(&before);
        assert!(found.iter().eq(&expected), "step {step}: {found:?}");
        assert_eq!(hops.uri(&hop).is_some(), *count > 0);
    }
}

/// What may happen to routes.
#[derive(Clone, Debug)]
enum Change {
    /// A connector has routes to these targets, enabled or not.
    Put(u8, bool, Vec<(u8, bool)>),
    Remove(u8),
    /// A name is at these addresses.
    Locate(u8, Option<Vec<u8>>),
    /// The carrier's routes, and its listener.
    Carrier(bool, Vec<(u8, bool)>),
    /// A next hop is down.
    Down(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let targets = || prop::collection::vec((0u8..4, any::<bool>()), 0..4);
    let addresses = prop::option::of(prop::collection::vec(0u8..4, 0..3));
    prop_oneof![
        3 => (0u8..4, any::<bool>(), targets()).prop_map(|(id, on, all)| Change::Put(id, on, all)),
        1 => (0u8..4).prop_map(Change::Remove),
        2 => (0u8..4, addresses).prop_map(|(name, all)| Change::Locate(name, all)),
        1 => (any::<bool>(), targets()).prop_map(|(own, all)| Change::Carrier(own, all)),
        1 => (0usize..8).prop_map(Change::Down),
    ]
}

fn target((number, is_name): (u8, bool)) -> Target {
    let host = match is_name {
        true => format!("h{number}.example"),
        false => format!("192.0.2.{number}"),
    };
    Target {
        host: Host::from(&*host),
        port: Some(5060),
        transport: Some(Transport::Udp),
        tls: None,
    }
}

fn apply(snapshot: &mut Snapshot, change: &Change) {
    match change {
        Change::Put(id, is_on, targets) => {
            let route = |target| OriginationRoute {
                target,
                priority: 1,
                weight: 1,
            };
            let routes = targets.iter().copied().map(target).map(route);
            let number = VoiceConnectorId::from_random([*id; VoiceConnectorId::LENGTH]);
            let mut connector = VoiceConnector::new(number, &format!("{id}.example"));
            connector.origination = Some(Origination {
                disabled: !is_on,
                routes: routes.collect(),
            });
            snapshot.put_connector(connector);
        }
        Change::Remove(id) => {
            snapshot.remove_connector(VoiceConnectorId::from_random(
                [*id; VoiceConnectorId::LENGTH],
            ));
        }
        Change::Locate(name, addresses) => {
            let located = addresses.as_ref().map(|addresses| {
                let addresses = addresses.iter().map(|last| [192, 0, 2, *last].into());
                let place = Place {
                    rank: 0,
                    weight: 0,
                    transport: Transport::Udp,
                    port: 5060,
                    addresses: addresses.collect(),
                };
                let located = Located {
                    port: Some(5060),
                    transport: Some(Transport::Udp),
                    places: [place].into(),
                    is_route: true,
                };
                Arc::from([located])
            });
            snapshot.set_located(format!("h{name}.example").into(), located);
        }
        Change::Carrier(has_listener, targets) => {
            let route = |target| CarrierRoute {
                target,
                prefix: Prefix::ANY,
                priority: 1,
                weight: 1,
                cost: 0,
                verify: true,
            };
            snapshot.set_carriers([Carrier {
                name: "carrier".to_owned(),
                sources: Vec::new(),
                routes: targets.iter().copied().map(target).map(route).collect(),
                tls: CarrierTls::default(),
                policy: Arc::new(CarrierPolicy {
                    listener: has_listener.then(|| ([192, 0, 2, 100], 5060).into()),
                    ..CarrierPolicy::default()
                }),
            }]);
        }
        Change::Down(index) => {
            let all = snapshot.next_hops.changed_since(&NextHops::default());
            if let Some(hop) = all.into_iter().nth(*index) {
                snapshot.next_hops.set_down(hop, true);
            }
        }
    }
}

/// The same connectors, carriers and places, put into an empty snapshot.
fn made_anew(changes: &[Change]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (index, change) in changes.iter().enumerate() {
        let later = &changes[index + 1..];
        let is_overtaken = later.iter().any(|later| match (change, later) {
            (Change::Put(one, ..), Change::Put(other, ..) | Change::Remove(other)) => one == other,
            (Change::Locate(one, _), Change::Locate(other, _)) => one == other,
            (Change::Carrier(..), Change::Carrier(..)) => true,
            (_, _) => false,
        });
        match change {
            Change::Put(..) | Change::Locate(..) | Change::Carrier(..) if !is_overtaken => {
                apply(&mut snapshot, change);
            }
            Change::Put(..) | Change::Locate(..) | Change::Carrier(..) => {}
            Change::Remove(_) | Change::Down(_) => {}
        }
    }
    snapshot
}

proptest! {
    /// Whatever changes in whatever order: the next hops are those of what there is now, the differences
    /// between two versions lead from one to the other, and nobody is down to whom no route leads.
    #[test]
    fn next_hops_follow_the_routes(changes in prop::collection::vec(change(), 1..30)) {
        let empty = NextHops::default();
        let (mut snapshot, mut followed) = (Snapshot::default(), std::collections::BTreeMap::new());
        for (index, change) in changes.iter().enumerate() {
            let before = snapshot.clone();
            apply(&mut snapshot, change);
            for hop in snapshot.next_hops.changed_since(&before.next_hops) {
                match snapshot.next_hops.uri(&hop) {
                    Some(uri) => followed.insert(hop, Arc::clone(uri)),
                    None => followed.remove(&hop),
                };
            }
            let anew = made_anew(&changes[..=index]).next_hops;
            let expected = anew.changed_since(&empty).into_iter();
            let expected = expected.filter_map(|hop| Some((hop, Arc::clone(anew.uri(&hop)?))));
            prop_assert_eq!(&followed, &expected.collect());
            let down = followed.keys().filter(|hop| snapshot.next_hops.is_down(hop)).count();
            prop_assert_eq!(down, snapshot.next_hops.down());
        }
    }
}
