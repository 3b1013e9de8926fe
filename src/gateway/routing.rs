//! The order in which places are tried: by priority, and within one by weight without replacement.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Party;
use crate::config::{Carrier, CarrierPolicy, CarrierRoute, Host, Target, Transport};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::shard::health::next_hop;
use crate::shard::random::Random;
use crate::shard::snapshot::{Origination, Snapshot};
use crate::sip::locate::Place;

/// Places tried for one call at most.
pub const CANDIDATES_MAX: usize = 16;

/// A place to send a call to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// As it was configured.
    pub target: Target,
    /// How it is spoken with.
    pub transport: Transport,
    /// One of the addresses of its host.
    pub address: SocketAddr,
    /// Whose host it is.
    pub party: Party,
    /// Where it is a carrier's: how that is dealt with.
    pub policy: Option<Arc<CarrierPolicy>>,
    /// A request goes there over UDP however large it is: a stream was tried (RFC 3261 §18.1.1).
    pub udp_at_any_size: bool,
}

impl Candidate {
    fn is_down(&self, snapshot: &Snapshot) -> bool {
        let listener = self.policy.as_ref().and_then(|policy| policy.listener);
        let hop = next_hop(self.transport, self.address, self.target.tls, listener);
        snapshot.next_hops.is_down(&hop)
    }
}

/// The routes of a connector, in the order to be tried.
pub fn origination_candidates(
    connector: VoiceConnectorId,
    origination: &Origination,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    let ranked = origination.routes.iter().map(|route| Ranked {
        is_last_resort: false,
        prefix_digits: Reverse(0),
        priority: route.priority,
        cost: 0,
        weight: route.weight,
        target: &route.target,
        policy: None,
    });
    let party = Party::Customer(connector);
    in_order(ranked.collect(), party, snapshot, random)
}

/// The carriers' routes for a destination: longest prefix first, then priority, then cost, then weight.
pub fn carrier_candidates(
    destination: E164,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    let routes = snapshot.carrier_routes(destination);
    let ranked = routes.map(|(carrier, route)| ranked(carrier, route));
    in_order(ranked.collect(), Party::Carrier, snapshot, random)
}

/// The same for a call for help: the routes of the carriers that take such calls, before all others where there is
/// a telephone number that others lead to as well.
pub fn emergency_candidates(
    destination: Option<E164>,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    let ranked: Vec<Ranked<'_>> = match destination {
        Some(number) => {
            let routes = snapshot.carrier_routes(number);
            let helpers_first = routes.map(|(carrier, route)| Ranked {
                is_last_resort: !carrier.policy.emergency,
                ..ranked(carrier, route)
            });
            helpers_first.collect()
        }
        // A short number has no prefix of any plan.
        None => {
            let carriers = snapshot.carriers().iter();
            let helpers = carriers.filter(|carrier| carrier.policy.emergency);
            let routes = helpers.flat_map(|carrier| {
                let routes = carrier.routes.iter();
                routes.map(move |route| ranked(carrier, route))
            });
            routes.collect()
        }
    };
    let (mut up, down) = up_and_down(ranked, Party::Carrier, snapshot, random);
    // Pings may be wrong, and nobody else may be of help.
    up.extend(down);
    up.truncate(CANDIDATES_MAX);
    up
}

fn ranked<'a>(carrier: &'a Carrier, route: &'a CarrierRoute) -> Ranked<'a> {
    Ranked {
        is_last_resort: false,
        prefix_digits: Reverse(route.prefix.len()),
        priority: route.priority,
        cost: route.cost,
        weight: route.weight,
        target: &route.target,
        policy: Some(&carrier.policy),
    }
}

/// A route, the lowest rank first.
struct Ranked<'a> {
    is_last_resort: bool,
    prefix_digits: Reverse<u32>,
    priority: u8,
    cost: u32,
    weight: u8,
    target: &'a Target,
    policy: Option<&'a Arc<CarrierPolicy>>,
}

impl Ranked<'_> {
    fn rank(&self) -> (bool, Reverse<u32>, u8, u32) {
        (
            self.is_last_resort,
            self.prefix_digits,
            self.priority,
            self.cost,
        )
    }
}

fn in_order(
    ranked: Vec<Ranked<'_>>,
    party: Party,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Vec<Candidate> {
    let (up, down) = up_and_down(ranked, party, snapshot, random);
    // Pings may be wrong about all of them.
    match up.is_empty() {
        true => down,
        false => up,
    }
}

/// The places in order, apart those that pings say are down.
fn up_and_down(
    mut ranked: Vec<Ranked<'_>>,
    party: Party,
    snapshot: &Snapshot,
    random: &mut Random,
) -> (Vec<Candidate>, Vec<Candidate>) {
    ranked.sort_by_key(Ranked::rank);
    let mut candidates = Vec::with_capacity(ranked.len());
    let mut down = Vec::new();
    for group in ranked.chunk_by_mut(|one, other| one.rank() == other.rank()) {
        draw_by_weight(group, random, |route| u32::from(route.weight));
        for route in group {
            let places = places_of(route.target, snapshot, random).unwrap_or_default();
            let places = places.into_iter().map(|(transport, address)| Candidate {
                target: route.target.clone(),
                transport,
                address,
                party,
                policy: route.policy.cloned(),
                udp_at_any_size: false,
            });
            for candidate in places.take(CANDIDATES_MAX) {
                match candidate.is_down(snapshot) {
                    true => down.push(candidate),
                    false => candidates.push(candidate),
                }
            }
        }
        candidates.truncate(CANDIDATES_MAX);
        down.truncate(CANDIDATES_MAX);
    }
    (candidates, down)
}

/// Leaves out who is down while somebody else remains.
pub fn pass_over_down(candidates: &mut Vec<Candidate>, snapshot: &Snapshot) {
    if candidates
        .iter()
        .any(|candidate| !candidate.is_down(snapshot))
    {
        candidates.retain(|candidate| !candidate.is_down(snapshot));
    }
}

/// Puts the group in a random order in which one comes before another as its weight says (RFC 2782).
fn draw_by_weight<T>(group: &mut [T], random: &mut Random, weight: impl Fn(&T) -> u32) {
    // RFC 2782: a weight of 0 has a small chance among others, and an equal one among its like.
    let share = |one: &T| (weight(one) << 8).max(1);
    for first in 0..group.len() {
        let rest = group.get_mut(first..).unwrap_or_default();
        let total: u32 = rest.iter().map(share).sum();
        let mut ticket = random.below(total);
        let drawn = rest.iter().position(|one| {
            let drawn = ticket < share(one);
            ticket = ticket.saturating_sub(share(one));
            drawn
        });
        rest.swap(0, drawn.unwrap_or(0));
    }
}

/// The addresses of a target, in the order in which they are to be tried now; `None` where its name has not
/// been located yet.
pub fn places_of(
    target: &Target,
    snapshot: &Snapshot,
    random: &mut Random,
) -> Option<Vec<(Transport, SocketAddr)>> {
    let name = match &target.host {
        Host::Name(name) => name,
        Host::Address(address) => {
            let transport = target.transport.unwrap_or(Transport::Udp);
            let port = target.port.unwrap_or(transport.default_port());
            return Some(vec![(transport, SocketAddr::new(*address, port))]);
        }
    };
    let places = snapshot.places(name, target.port, target.transport)?;
    let mut places: Vec<&Place> = places.iter().collect();
    places.sort_by_key(|place| place.rank);
    for group in places.chunk_by_mut(|one, other| one.rank == other.rank) {
        draw_by_weight(group, random, |place| u32::from(place.weight));
    }
    let mut addresses = Vec::with_capacity(places.len());
    for place in places {
        // A host's addresses share its calls.
        let count = place.addresses.len();
        let start = random.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
        let from_start = place.addresses.iter().cycle().skip(start).take(count);
        addresses.extend(
            from_start.map(|address| (place.transport, SocketAddr::new(*address, place.port))),
        );
    }
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{CarrierRoute, CarrierTls};
    use crate::shard::snapshot::{Located, OriginationRoute};

    fn target(port: u16) -> Target {
        Target {
            host: Host::from("192.0.2.1"),
            port: Some(port),
            transport: Some(Transport::Udp),
            tls: None,
        }
    }

    fn connector() -> VoiceConnectorId {
        VoiceConnectorId::from_random([0; VoiceConnectorId::LENGTH])
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
                connector(),
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
                    connector(),
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

    /// Pearson's chi-square of counts against the shares that their weights make expected.
    fn chi_square(counts: &[u32], weights: &[u8]) -> f64 {
        let drawn: f64 = counts.iter().copied().map(f64::from).sum();
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let terms = counts.iter().zip(weights).map(|(count, weight)| {
            let expected = drawn * f64::from(*weight) / total;
            (f64::from(*count) - expected).powi(2) / expected
        });
        terms.sum()
    }

    /// The first place by weight; and, once that is gone, the second by the weights of those that are left.
    #[test]
    fn a_thousand_seeds_share_out_places_by_weight() {
        const WEIGHTS: [u8; 5] = [1, 3, 10, 30, 56];
        /// A chi-square with 4 degrees of freedom is above this once in a million draws of seeds: a draw that does
        /// not heed weights is far above it.
        const BOUND: f64 = 33.4;
        let routes = (1..)
            .zip(WEIGHTS)
            .map(|(port, weight)| route(port, 1, weight));
        let origination = Origination {
            disabled: false,
            routes: routes.collect(),
        };
        let mut first = [0u32; 5];
        let mut second_after_heaviest = [0u32; 4];
        for seed in 0..1_000u64 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&seed.to_be_bytes());
            let mut random = Random::new(key);
            for _ in 0..20 {
                let snapshot = Snapshot::default();
                let order = ports(&origination_candidates(
                    connector(),
                    &origination,
                    &snapshot,
                    &mut random,
                ));
                first[usize::from(order[0]) - 1] += 1;
                if order[0] == 5 {
                    second_after_heaviest[usize::from(order[1]) - 1] += 1;
                }
            }
        }
        let spread = chi_square(&first, &WEIGHTS);
        assert!(spread < BOUND, "{spread}: {first:?}");
        let spread = chi_square(&second_after_heaviest, &WEIGHTS[..4]);
        assert!(spread < BOUND, "{spread}: {second_after_heaviest:?}");
        assert!(
            chi_square(&first, &[1; 5]) > 1_000.0,
            "the bound tells weights from none"
        );
    }

    #[test]
    fn the_longest_prefix_goes_before_priority() {
        let carrier_route = |port, prefix: &str, priority| CarrierRoute {
            target: target(port),
            prefix: prefix.parse().unwrap(),
            priority,
            weight: 1,
            verify: true,
            cost: 0,
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
        let mut snapshot = Snapshot::default();
        snapshot.set_carriers(carriers);
        let random = &mut Random::new([0; 16]);
        let candidates = carrier_candidates(destination, &snapshot, random);
        assert_eq!(ports(&candidates), [2, 3, 1]);
    }

    fn place(rank: u16, weight: u16, port: u16, addresses: &[&str]) -> Place {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        Place {
            rank,
            weight,
            transport: Transport::Tcp,
            port,
            addresses: addresses.collect(),
        }
    }

    /// The addresses that a route to `host` is tried at, where `pbx.example` has these places.
    fn tried(host: &str, places: Vec<Place>, random: &mut Random) -> Vec<String> {
        let mut snapshot = Snapshot::default();
        let located = Located {
            port: None,
            transport: None,
            places: places.into(),
            is_route: true,
        };
        snapshot.set_located("pbx.example".into(), Some([located].into()));
        let route = OriginationRoute {
            target: Target {
                host: Host::from(host),
                port: None,
                transport: None,
                tls: None,
            },
            priority: 1,
            weight: 1,
        };
        let origination = Origination {
            disabled: false,
            routes: vec![route],
        };
        let candidates = origination_candidates(connector(), &origination, &snapshot, random);
        let addresses = candidates.iter().map(|candidate| {
            assert_eq!(candidate.transport, Transport::Tcp);
            candidate.address.to_string()
        });
        addresses.collect()
    }

    #[test]
    fn names_stand_for_all_their_addresses_and_unknown_names_for_none() {
        let random = &mut Random::new([0; 16]);
        let places = vec![
            place(2, 0, 5062, &["192.0.2.9"]),
            place(1, 0, 5060, &["192.0.2.8", "2001:db8::8"]),
        ];
        let mut firsts = BTreeSet::new();
        for _ in 0..100 {
            let mut tried = tried("pbx.example", places.clone(), random);
            assert_eq!(tried.pop().unwrap(), "192.0.2.9:5062");
            firsts.insert(tried[0].clone());
            tried.sort_unstable();
            assert_eq!(tried, ["192.0.2.8:5060", "[2001:db8::8]:5060"]);
        }
        assert_eq!(firsts.len(), 2, "a host's addresses share its calls");
        assert_eq!(tried("gone.example", places, random), [""; 0]);
    }

    #[test]
    fn srv_weights_share_out_the_first_place_anew_for_every_call() {
        let mut random = Random::new([3; 16]);
        let places = vec![
            place(1, 0, 1, &["192.0.2.1"]),
            place(1, 100, 2, &["192.0.2.1"]),
            place(1, 300, 3, &["192.0.2.1"]),
        ];
        let mut firsts = [0; 4];
        for _ in 0..4_000 {
            let tried = tried("pbx.example", places.clone(), &mut random);
            assert_eq!(tried.len(), 3);
            let port = tried[0].rsplit(':').next().unwrap();
            firsts[port.parse::<usize>().unwrap()] += 1;
        }
        assert!(firsts[1] < 10, "a weight of 0 is drawn rarely: {firsts:?}");
        assert!(
            (900..1_100).contains(&firsts[2]),
            "1 of 4 expected: {firsts:?}"
        );
    }
}
