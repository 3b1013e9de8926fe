//! Which listener a peer is sent to from, where a node has several of a transport and family: an inside and an
//! outside one, say.

use std::net::{IpAddr, SocketAddr};

use crate::config::{SipListener, Transport};

/// Common bits of public addresses that say nothing: nets of different owners (IPv4, IPv6).
const PUBLIC_PREFIX_MIN: (u32, u32) = (16, 32);

/// The listener of this transport and the peer's family that is on the peer's side: a private one for a private
/// address and a public one for a public address (by what it is advertised as, as behind a translator that is
/// the side it is on), and of these the one whose network is nearest; the config's first where that does not
/// decide.
pub(crate) fn nearest(
    listeners: &[SipListener],
    transport: Transport,
    remote: SocketAddr,
) -> Option<u8> {
    let mut best: Option<(usize, (bool, u32))> = None;
    for (index, listener) in of(listeners, transport, remote) {
        let own = listener.advertise.ip();
        let is_on_its_side = is_private(own) == is_private(remote.ip());
        let nearness = (is_on_its_side, common_bits(own, remote.ip()));
        if best.is_none_or(|(_, so_far)| nearness > so_far) {
            best = Some((index, nearness));
        }
    }
    best.and_then(|(index, _)| u8::try_from(index).ok())
}

/// The listener of this transport that is bound at `place`, or else at its IP address.
pub(crate) fn at(
    listeners: &[SipListener],
    transport: Transport,
    remote: SocketAddr,
    place: SocketAddr,
) -> Option<u8> {
    let mut all = of(listeners, transport, remote);
    let exact = all.find(|(_, listener)| listener.bind == place);
    let (index, _) = exact.or_else(|| {
        of(listeners, transport, remote).find(|(_, listener)| listener.bind.ip() == place.ip())
    })?;
    u8::try_from(index).ok()
}

/// Whether an address means something only within its own network.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // RFC 6598: between a provider's network and its subscribers'.
            let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
            address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

fn of(
    listeners: &[SipListener],
    transport: Transport,
    remote: SocketAddr,
) -> impl Iterator<Item = (usize, &SipListener)> {
    listeners.iter().enumerate().filter(move |(_, listener)| {
        listener.transport == transport && listener.bind.is_ipv4() == remote.is_ipv4()
    })
}

/// How many first bits two addresses share, where that says that they are near.
fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    let (bits, least) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let differing = one.to_bits() ^ other.to_bits();
            (differing.leading_zeros(), PUBLIC_PREFIX_MIN.0)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let differing = one.to_bits() ^ other.to_bits();
            (differing.leading_zeros(), PUBLIC_PREFIX_MIN.1)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => (0, 1),
    };
    match bits >= least || is_private(one) {
        true => bits,
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dscp;

    fn listeners(places: &[(Transport, &str, &str)]) -> Vec<SipListener> {
        let listener = |(transport, bind, advertise): &(Transport, &str, &str)| SipListener {
            transport: *transport,
            bind: bind.parse().unwrap(),
            advertise: advertise.parse().unwrap(),
            dscp: Dscp::CS3,
        };
        places.iter().map(listener).collect()
    }

    #[test]
    fn a_peer_is_sent_to_from_its_own_side() {
        use Transport::{Tcp, Udp};
        let all = listeners(&[
            (Udp, "10.0.0.5:5060", "10.0.0.5:5060"),
            (Udp, "192.168.7.5:5060", "192.168.7.5:5060"),
            // Behind a translator.
            (Udp, "10.9.0.5:5060", "198.51.100.5:5060"),
            (Udp, "203.0.113.5:5060", "203.0.113.5:5060"),
            (Tcp, "10.0.0.5:5060", "10.0.0.5:5060"),
            (Udp, "[2001:db8::5]:5060", "[2001:db8::5]:5060"),
            (Udp, "[fd00::5]:5060", "[fd00::5]:5060"),
        ]);
        for (transport, remote, listener) in [
            (Udp, "10.2.3.4:5060", Some(0)),
            (Udp, "192.168.7.9:5060", Some(1)),
            (Udp, "172.16.0.1:5060", Some(1)),
            // No network is near: the first on that side.
            (Udp, "20.0.0.1:5060", Some(2)),
            (Udp, "203.9.0.1:5060", Some(2)),
            (Udp, "203.0.113.9:5060", Some(3)),
            (Tcp, "20.0.0.1:5060", Some(4)),
            (Udp, "[2001:db8:7::1]:5060", Some(5)),
            (Udp, "[fd00:1::1]:5060", Some(6)),
            (Tcp, "[fd00:1::1]:5060", None),
        ] {
            let chosen = nearest(&all, transport, remote.parse().unwrap());
            assert_eq!(chosen, listener, "{transport} {remote}");
        }
    }

    #[test]
    fn a_place_is_a_listener_or_another_transport_at_its_address() {
        use Transport::{Tcp, Tls, Udp};
        let all = listeners(&[
            (Udp, "10.0.0.5:5060", "10.0.0.5:5060"),
            (Udp, "203.0.113.5:5062", "203.0.113.5:5062"),
            (Udp, "203.0.113.5:5060", "203.0.113.5:5060"),
            (Tls, "203.0.113.5:5061", "203.0.113.5:5061"),
        ]);
        let remote = "20.0.0.1:5060".parse().unwrap();
        let place = "203.0.113.5:5060".parse().unwrap();
        assert_eq!(at(&all, Udp, remote, place), Some(2));
        assert_eq!(at(&all, Tls, remote, place), Some(3));
        assert_eq!(at(&all, Tcp, remote, place), None);
    }
}
