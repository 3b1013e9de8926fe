//! Who sends from an address: carriers, networks that connectors allow, and the places that routes lead to.
//!
//! A look-up costs as much as there are prefix lengths in use, not as there are carriers or connectors, however long
//! their lists are.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::config::CarrierId;
use crate::connector_id::VoiceConnectorId;

/// Whose a network is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Owner {
    /// A place where calls are sent to; before all connectors.
    Place,
    /// A carrier that it is a source of.
    Carrier(CarrierId),
    /// A connector that allows it.
    Connector(VoiceConnectorId),
}

/// Networks and addresses from which somebody known sends. Persistent, as all of a snapshot.
#[derive(Clone, Default, Debug)]
pub(super) struct Sources {
    /// The owners of networks, and how often each has it. One tree, for nearly every network has one owner.
    owners: imbl::OrdMap<(IpNetwork, Owner), u32>,
    /// The prefix lengths in use (of IPv4, of IPv6), and by how many networks.
    lengths: imbl::OrdMap<(bool, u8), u32>,
}

impl Sources {
    pub(super) fn add_connector(&mut self, connector: VoiceConnectorId, networks: &[IpNetwork]) {
        for network in networks {
            self.add(*network, Owner::Connector(connector));
        }
    }

    pub(super) fn remove_connector(&mut self, connector: VoiceConnectorId, networks: &[IpNetwork]) {
        for network in networks {
            self.remove(*network, Owner::Connector(connector));
        }
    }

    pub(super) fn add_carrier(&mut self, carrier: CarrierId, networks: &[IpNetwork]) {
        for network in networks {
            self.add(*network, Owner::Carrier(carrier));
        }
    }

    pub(super) fn remove_carrier(&mut self, carrier: CarrierId, networks: &[IpNetwork]) {
        for network in networks {
            self.remove(*network, Owner::Carrier(carrier));
        }
    }

    pub(super) fn add_place(&mut self, address: IpAddr) {
        self.add(address.to_canonical().into(), Owner::Place);
    }

    pub(super) fn remove_place(&mut self, address: IpAddr) {
        self.remove(address.to_canonical().into(), Owner::Place);
    }

    /// Whether anybody sends from this address.
    pub(super) fn knows(&self, address: IpAddr) -> bool {
        self.of(address).next().is_some()
    }

    /// The carrier that sends from this address; of several the first.
    pub(super) fn carrier(&self, address: IpAddr) -> Option<CarrierId> {
        let carriers = self.of(address).filter_map(|owner| match owner {
            Owner::Carrier(carrier) => Some(*carrier),
            Owner::Place | Owner::Connector(_) => None,
        });
        carriers.min()
    }

    /// Whether the connector allows this address.
    pub(super) fn allows(&self, connector: VoiceConnectorId, address: IpAddr) -> bool {
        let owner = Owner::Connector(connector);
        let mut networks = self.networks_of(address);
        networks.any(|network| self.owners.contains_key(&(network, owner)))
    }

    /// The connector that allows this address, where it is one and no more.
    pub(super) fn only_connector(&self, address: IpAddr) -> Option<VoiceConnectorId> {
        let mut only = None;
        for owner in self.of(address) {
            match (owner, only) {
                (Owner::Place | Owner::Carrier(_), _) => {}
                (Owner::Connector(connector), None) => only = Some(*connector),
                (Owner::Connector(connector), Some(other)) if *connector == other => {}
                (Owner::Connector(_), Some(_)) => return None,
            }
        }
        only
    }

    /// The owners of every network that holds this address.
    fn of(&self, address: IpAddr) -> impl Iterator<Item = &Owner> {
        let networks = self.networks_of(address);
        networks.flat_map(|network| self.of_network(network))
    }

    /// The networks that hold this address, of the lengths in use.
    fn networks_of(&self, address: IpAddr) -> impl Iterator<Item = IpNetwork> {
        let is_ipv4 = address.is_ipv4();
        let lengths = self
            .lengths
            .keys()
            .filter(move |(ipv4, _)| *ipv4 == is_ipv4);
        let networks = lengths.filter_map(move |(_, length)| IpNetwork::new(address, *length).ok());
        networks.map(canonical)
    }

    fn of_network(&self, network: IpNetwork) -> impl Iterator<Item = &Owner> {
        let owners = self.owners.range((network, Owner::Place)..);
        owners
            .map(|(key, _)| key)
            .take_while(move |(of, _)| *of == network)
            .map(|(_, owner)| owner)
    }

    fn add(&mut self, network: IpNetwork, owner: Owner) {
        let network = canonical(network);
        if self.of_network(network).next().is_none() {
            *self.lengths.entry(length_of(network)).or_default() += 1;
        }
        *self.owners.entry((network, owner)).or_default() += 1;
    }

    fn remove(&mut self, network: IpNetwork, owner: Owner) {
        let network = canonical(network);
        match self.owners.get_mut(&(network, owner)) {
            None => return,
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.owners.remove(&(network, owner));
            }
        }
        if self.of_network(network).next().is_some() {
            return;
        }
        let length = length_of(network);
        match self.lengths.get_mut(&length) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                self.lengths.remove(&length);
            }
        }
    }
}

/// The network by its first address: whatever host somebody wrote it with, it is one key.
fn canonical(network: IpNetwork) -> IpNetwork {
    IpNetwork::new(network.network(), network.prefix()).unwrap_or(network)
}

fn length_of(network: IpNetwork) -> (bool, u8) {
    (network.is_ipv4(), network.prefix())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(number: u8) -> VoiceConnectorId {
        VoiceConnectorId::from_random([number; VoiceConnectorId::LENGTH])
    }

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn only(sources: &Sources, address: &str) -> Option<VoiceConnectorId> {
        sources.only_connector(address.parse().unwrap())
    }

    #[test]
    fn an_address_leads_to_all_networks_that_hold_it() {
        let mut sources = Sources::default();
        let one = networks(&["203.0.113.77/24", "203.0.113.7/32", "2001:db8::/32"]);
        sources.add_connector(connector(1), &one);
        assert_eq!(only(&sources, "203.0.113.7"), Some(connector(1)));
        assert_eq!(only(&sources, "2001:db8:9::1"), Some(connector(1)));
        assert_eq!(only(&sources, "198.51.100.1"), None);
        sources.add_connector(connector(2), &networks(&["203.0.113.0/28", "0.0.0.0/0"]));
        assert_eq!(only(&sources, "203.0.113.7"), None, "two allow it");
        assert_eq!(only(&sources, "198.51.100.1"), Some(connector(2)));
        assert_eq!(only(&sources, "2001:db8::1"), Some(connector(1)));
        sources.remove_connector(connector(1), &one);
        assert_eq!(only(&sources, "203.0.113.7"), Some(connector(2)));
        assert!(!sources.knows("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_carriers_sources_and_a_connectors_list_are_found_however_many_there_are() {
        let mut sources = Sources::default();
        let carrier = |number| CarrierId(number);
        for number in 0..1_000 {
            let [high, low] = (number as u16).to_be_bytes();
            let networks = networks(&[&format!("10.{high}.{low}.0/24"), "2001:db8::/32"]);
            sources.add_carrier(carrier(number), &networks);
        }
        let at = |sources: &Sources, text: &str| sources.carrier(text.parse().unwrap());
        assert_eq!(at(&sources, "10.3.231.9"), Some(carrier(999)));
        assert_eq!(at(&sources, "10.4.0.9"), None);
        assert_eq!(at(&sources, "2001:db8::9"), Some(carrier(0)), "the first");
        sources.remove_carrier(carrier(0), &networks(&["10.0.0.0/24", "2001:db8::/32"]));
        assert_eq!(at(&sources, "10.0.0.9"), None);
        assert_eq!(at(&sources, "2001:db8::9"), Some(carrier(1)));
        assert_eq!(
            only(&sources, "10.0.1.9"),
            None,
            "a carrier is no connector"
        );
        assert!(sources.knows("10.0.1.9".parse().unwrap()));

        sources.add_connector(connector(1), &networks(&["10.0.0.0/16", "2001:db8:9::/48"]));
        let allows = |number, text: &str| sources.allows(connector(number), text.parse().unwrap());
        assert!(allows(1, "10.0.1.9") && allows(1, "2001:db8:9::1"));
        assert!(!allows(1, "10.1.0.1") && !allows(1, "2001:db8::1") && !allows(2, "10.0.1.9"));
    }

    #[test]
    fn a_place_is_known_as_long_as_any_route_leads_there() {
        let mut sources = Sources::default();
        let place: IpAddr = "192.0.2.1".parse().unwrap();
        sources.add_place(place);
        sources.add_place("::ffff:192.0.2.1".parse().unwrap());
        sources.remove_place(place);
        assert!(sources.knows(place));
        assert_eq!(sources.only_connector(place), None);
        sources.remove_place(place);
        assert!(!sources.knows(place));
        assert!(sources.lengths.is_empty() && sources.owners.is_empty());
    }
}
