//! Where this node itself is: nobody sends a call from here to there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Host, Sip};

/// The places that lead to this node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnPlaces {
    /// `sip.domain`, lower case; every name under it is a connector's.
    domain: String,
    /// `sip.aliases`, lower case.
    aliases: BTreeSet<String>,
    /// Where the listeners are, and what they tell of themselves.
    listeners: BTreeSet<SocketAddr>,
}

impl OwnPlaces {
    /// Of a node with these settings.
    pub fn of(sip: &Sip) -> Self {
        let listeners = sip.listeners.iter();
        let listeners = listeners.flat_map(|listener| [listener.bind, listener.advertise]);
        Self {
            domain: sip.domain.clone(),
            aliases: sip.aliases.iter().cloned().collect(),
            listeners: listeners.collect(),
        }
    }

    /// `sip.domain`
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Their names and addresses, lower case, without ports.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let addresses = self.listeners.iter();
        let addresses = addresses.map(|address| Host::Address(address.ip()).to_string());
        let aliases = self.aliases.iter().cloned();
        addresses.chain(aliases).chain([self.domain.clone()])
    }

    /// Whether a host leads to this node at a port; whatever the transport, for a listener of another one may follow.
    pub fn hold(&self, host: &str, port: u16) -> bool {
        let of_port = self
            .listeners
            .iter()
            .filter(|listener| listener.port() == port);
        let mut addresses = of_port.map(|listener| listener.ip()).peekable();
        if addresses.peek().is_none() {
            return false;
        }
        let name = host.to_ascii_lowercase();
        if self.aliases.contains(&name) || self.is_of_domain(&name) {
            return true;
        }
        match host.parse::<IpAddr>() {
            Ok(address) => addresses.any(|listener| is_at(listener, address.to_canonical())),
            Err(_) => false,
        }
    }

    fn is_of_domain(&self, name: &str) -> bool {
        let Some(labels) = name.strip_suffix(&self.domain) else {
            return false;
        };
        !self.domain.is_empty() && (labels.is_empty() || labels.ends_with('.'))
    }
}

/// A listener at all addresses is at those of the machine itself; which others it has is not known here.
fn is_at(listener: IpAddr, address: IpAddr) -> bool {
    let all_v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let all_v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    listener.to_canonical() == address
        || (address.is_loopback() || address.is_unspecified())
            && (listener == all_v6 || listener == all_v4 && address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_where_its_listeners_are_under_all_its_names() {
        let listeners = ["0.0.0.0:5060", "198.51.100.1:5060", "[2001:db8::1]:5061"];
        let own = OwnPlaces {
            domain: "vc.example".to_owned(),
            aliases: ["sip.example".to_owned(), "203.0.113.9".to_owned()].into(),
            listeners: listeners.map(|text| text.parse().unwrap()).into(),
        };
        for (host, port) in [
            ("198.51.100.1", 5060),
            ("127.0.0.1", 5060),
            ("127.0.0.2", 5060),
            ("0.0.0.0", 5060),
            ("2001:DB8::1", 5061),
            ("::ffff:198.51.100.1", 5060),
            ("SIP.example", 5061),
            ("203.0.113.9", 5060),
            ("vc.example", 5060),
            ("seattle000000000000000.VC.example", 5060),
        ] {
            assert!(own.hold(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("198.51.100.1", 5061),
            ("127.0.0.1", 5070),
            ("127.0.0.1", 5061),
            ("::1", 5060),
            ("198.51.100.2", 5060),
            ("sip.example", 5080),
            ("pbx.sip.example", 5060),
            ("myvc.example", 5060),
            ("vc.example.org", 5060),
        ] {
            assert!(!own.hold(host, port), "{host}:{port}");
        }
        assert!(!OwnPlaces::default().hold("", 5060));
    }
}
