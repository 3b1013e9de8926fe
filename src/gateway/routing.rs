//! The order in which places are tried: by priority, and within one by weight without replacement.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::{Carrier, CarrierPolicy, Host, Target};
use crate::numbering::E164;
use crate::shard::random::Random;
use crate::shard::snapshot::{Origination, Snapshot};

/// Places tried for one call at most.
pub const CANDIDATES_MAX: usize = 16;

/// A place to send a call to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// As it was configured.
    pub target: Target,
    /// One of the addresses of its host.
    pub address: SocketAddr,
    /// Where it is a carrier's: how that is dealt with.
    pub policy: Option<Arc<CarrierPolicy>>,
    /// A request goes there over UDP however large it is: a stream was tried (RFC 3261 §18.1.1).
    pub udp_at_any_size: bool,
}

/// The routes of a connector, in the order to be tried.
pub fn origination_candidates(
    origination: &Origination,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    let ranked = origination.routes.iter().map(|route| Ranked {
        rank: u32::from(route.priority),
        weight: route.weight,
        target: &route.target,
        policy: None,
    });
    in_order(ranked.collect(), snapshot, random)
}

/// The carriers' routes for a destination: longest prefix first, then priority, then weight.
pub fn carrier_candidates(
    carriers: &[Carrier],
    destination: E164,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    let routes = carriers.iter().flat_map(|carrier| {
        let routes = carrier.routes.iter();
        routes.map(|route| (route, &carrier.policy))
    });
    let ranked = routes
        .filter(|(route, _)| destination.starts_with(&route.prefix))
        .map(|(route, policy)| {
            // A prefix has 15 digits at most: the longest comes out lowest.
            let shortness = 16 - route.prefix.len().min(16) as u32;
            Ranked {
                rank: shortness << 8 | u32::from(route.priority),
                weight: route.weight,
                target: &route.target,
                policy: Some(policy),
            }
        });
    in_order(ranked.collect(), snapshot, random)
}

/// A route, the lowest rank first.
struct Ranked<'a> {
    rank: u32,
    weight: u8,
    target: &'a Target,
    policy: Option<&'a Arc<CarrierPolicy>>,
}

fn in_order(
    mut ranked: Vec<Ranked<'_>>,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    ranked.sort_by_key(|route| route.rank);
    let mut candidates = Vec::with_capacity(ranked.len());
    for group in ranked.chunk_by_mut(|one, other| one.rank == other.rank) {
        draw_by_weight(group, random);
        for route in group {
            let addresses = addresses_of(route.target, snapshot);
            candidates.extend(addresses.map(|address| Candidate {
                target: route.target.clone(),
                address,
                policy: route.policy.cloned(),
                udp_at_any_size: false,
            }));
        }
        candidates.truncate(CANDIDATES_MAX);
    }
    candidates
}

/// Puts the group in a random order in which a route comes before another as its weight says.
fn draw_by_weight(group: &mut [Ranked<'_>], random: &mut Random) {
    for first in 0..group.len() {
        let rest = group.get_mut(first..).unwrap_or_default();
        let total: u32 = rest.iter().map(|route| u32::from(route.weight)).sum();
        let mut ticket = random.below(total);
        let drawn = rest.iter().position(|route| {
            let drawn = ticket < u32::from(route.weight);
            ticket = ticket.saturating_sub(u32::from(route.weight));
            drawn
        });
        rest.swap(0, drawn.unwrap_or(0));
    }
}

fn addresses_of<'a>(
    target: &'a Target,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = SocketAddr> + 'a {
    let (literal, named): (Option<IpAddr>, &[IpAddr]) = match &target.host {
        Host::Address(address) => (Some(*address), &[]),
        Host::Name(name) => (
            None,
            snapshot
                .addresses
                .get(name.as_str())
                .map_or(&[], |addresses| addresses),
        ),
    };
    literal
        .into_iter()
        .chain(named.iter().copied())
        .map(|address| SocketAddr::new(address, target.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CarrierRoute, CarrierTls, Transport};
    use crate::shard::snapshot::OriginationRoute;

    fn target(port: u16) -> Target {
        Target {
            host: Host::from("192.0.2.1"),
            port,
            transport: Transport::Udp,
            tls: None,
        }
    }

    fn ports(candidates: &[Candidate]) -> Vec<u16> {
        candidates
            .iter()
            .map(|candidate| candidate.address.port())
            .collect()
    }

    fn route(port: u16, priority: u8, weight: u8) -> OriginationRoute {
        OriginationRoute {
            target: target(port),
            priority,
            weight,
        }
    }

    #[test]
    fn priorities_come_in_order_and_every_route_once() {
        let origination = Origination {
            disabled: false,
            routes: vec![route(3, 2, 1), route(1, 1, 9), route(2, 1, 1)],
        };
        let mut random = Random::new([7; 16]);
        for _ in 0..100 {
            let mut order = ports(&origination_candidates(
                &origination,
                &Snapshot::default(),
                &mut random,
            ));
            assert_eq!(order.pop(), Some(3));
            order.sort_unstable();
            assert_eq!(order, [1, 2]);
        }
    }

    #[test]
    fn weights_share_out_the_first_place() {
        let origination = Origination {
            disabled: false,
            routes: vec![route(1, 1, 30), route(2, 1, 10)],
        };
        let mut random = Random::new([1; 16]);
        let first = (0..4_000)
            .filter(|_| {
                ports(&origination_candidates(
                    &origination,
                    &Snapshot::default(),
                    &mut random,
                ))[0]
                    == 1
            })
            .count();
        assert!(
            (2_850..3_150).contains(&first),
            "3 of 4 expected, {first} of 4000 came"
        );
    }

    #[test]
    fn the_longest_prefix_goes_before_priority() {
        let carrier_route = |port, prefix: &str, priority| CarrierRoute {
            target: target(port),
            prefix: prefix.into(),
            priority,
            weight: 1,
            verify: true,
        };
        let carriers = [
            Carrier {
                name: "a".into(),
                sources: vec![],
                routes: vec![carrier_route(1, "", 1), carrier_route(2, "1206", 5)],
                tls: CarrierTls::default(),
                policy: Arc::default(),
            },
            Carrier {
                name: "b".into(),
                sources: vec![],
                routes: vec![carrier_route(3, "1", 2), carrier_route(4, "44", 1)],
                tls: CarrierTls::default(),
                policy: Arc::default(),
            },
        ];
        let destination = "+12065550100".parse().unwrap();
        let candidates = carrier_candidates(
            &carriers,
            destination,
            &Snapshot::default(),
            &mut Random::new([0; 16]),
        );
        assert_eq!(ports(&candidates), [2, 3, 1]);
    }

    #[test]
    fn names_stand_for_their_addresses_and_unknown_names_for_none() {
        let mut snapshot = Snapshot::default();
        snapshot.addresses.insert(
            "pbx.example".into(),
            vec!["192.0.2.8".parse().unwrap(), "2001:db8::8".parse().unwrap()].into(),
        );
        let named = |host: &str| OriginationRoute {
            target: Target {
                host: Host::from(host),
                port: 5060,
                transport: Transport::Udp,
                tls: None,
            },
            priority: 1,
            weight: 1,
        };
        let origination = Origination {
            disabled: false,
            routes: vec![named("pbx.example"), named("gone.example")],
        };
        let candidates = origination_candidates(&origination, &snapshot, &mut Random::new([0; 16]));
        let addresses: Vec<String> = candidates
            .iter()
            .map(|candidate| candidate.address.to_string())
            .collect();
        assert_eq!(addresses, ["192.0.2.8:5060", "[2001:db8::8]:5060"]);
    }
}
