//! Where a request within a dialog goes (RFC 3261 §12.2.1.1, RFC 3263).

use std::net::{IpAddr, SocketAddr};

use super::Leg;
use crate::config::{Host, Target, TlsPeerId, Transport};
use crate::gateway::Admission;
use crate::shard::core::Core;
use crate::shard::io::Flow;
use crate::shard::listeners::is_private;
use crate::shard::snapshot::Snapshot;
use crate::telemetry::Direction;

impl Leg {
    /// Where a request within the dialog goes: the next hop where that is an address we may believe, otherwise
    /// where the peer was reached last.
    pub(super) fn request_flow(&self, core: &mut Core) -> Flow {
        let flow = Flow {
            tls: self.flow.tls.or(self.callback),
            ..self.flow
        };
        if self.behind_nat {
            return flow;
        }
        let reached = self.flow.remote;
        let transport = self.next_transport();
        let hops = self.next_hops(core);
        let believed = |hop: &SocketAddr| {
            hop.is_ipv4() == reached.is_ipv4() && may_be_sent_to(core, *hop, reached)
        };
        let mut hops: Vec<SocketAddr> = hops.into_iter().filter(believed).collect();
        // Of several hosts the one that has the dialog is where the peer was reached; of others always the same.
        hops.sort_by_key(|hop| (hop.ip() != reached.ip(), *hop));
        match hops.first().copied() {
            Some(remote) if transport == flow.transport => Flow { remote, ..flow },
            Some(remote) => match core.listener_beside(flow.listener, transport, remote) {
                Some(listener) => Flow {
                    transport,
                    listener,
                    remote,
                    connection: None,
                    tls: None,
                    carrier: None,
                },
                None => flow,
            },
            None => flow,
        }
    }

    /// The transport that the next hop's URI names, where the leg is not one over TLS; without a name the one
    /// that the peer was reached by last.
    fn next_transport(&self) -> Transport {
        let reached = self.flow.transport;
        let uri = self.dialog.next_hop();
        let named = uri.as_ref().and_then(|uri| uri.transport());
        match (reached, named) {
            (Transport::Tls, _) | (_, None) => reached,
            (_, Some(named)) if named.eq_ignore_ascii_case("udp") => Transport::Udp,
            (_, Some(named)) if named.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            (_, Some(_)) => reached,
        }
    }

    /// The next hop's addresses. Where its name has not been located yet that is asked for, and there are none
    /// for now.
    pub(super) fn next_hops(&self, core: &mut Core) -> Vec<SocketAddr> {
        let Some(uri) = self.dialog.next_hop() else {
            return Vec::new();
        };
        let target = Target {
            host: uri.host_value(),
            port: uri.port,
            transport: Some(self.next_transport()),
            tls: None,
        };
        let places = core.places(&target).unwrap_or_default();
        places.into_iter().map(|(_, address)| address).collect()
    }
}

/// Whom to expect over TLS at a caller that has to be connected to, as its connection is closed: whom the route
/// names that leads to where it came from, and of a carrier the first route that there is. `None` leaves it to
/// the name that the caller gives itself.
pub(super) fn caller_over_tls(
    snapshot: &Snapshot,
    flow: &Flow,
    admission: &Admission,
) -> Option<TlsPeerId> {
    match (admission.direction, flow.transport) {
        (Direction::Origination, _) => carrier_over_tls(snapshot, flow),
        (Direction::Termination, Transport::Tls) => {
            let source = flow.remote.ip().to_canonical();
            let routes = &admission.connector.origination.as_ref()?.routes;
            let targets = routes.iter().map(|route| &route.target);
            let mut secured = targets.filter(|target| target.tls.is_some());
            secured
                .find(|target| leads_to(snapshot, target, source))?
                .tls
        }
        (Direction::Termination, Transport::Udp | Transport::Tcp) => None,
    }
}

/// The same at a carrier.
pub(in crate::gateway) fn carrier_over_tls(snapshot: &Snapshot, flow: &Flow) -> Option<TlsPeerId> {
    if flow.transport != Transport::Tls {
        return None;
    }
    let source = flow.remote.ip().to_canonical();
    let routes = &snapshot.carrier_of(flow)?.routes;
    let secured = || {
        let targets = routes.iter().map(|route| &route.target);
        targets.filter(|target| target.tls.is_some())
    };
    let first = || secured().next();
    let there = secured().find(|target| leads_to(snapshot, target, source));
    there.or_else(first)?.tls
}

fn leads_to(snapshot: &Snapshot, target: &Target, source: IpAddr) -> bool {
    match &target.host {
        Host::Address(address) => *address == source,
        Host::Name(name) => {
            let places = snapshot.places(name, target.port, target.transport);
            let mut places = places.unwrap_or_default().iter();
            places.any(|place| place.addresses.contains(&source))
        }
    }
}

/// Whether a place that a peer has named may be sent to, a peer that was reached there: never ourselves, never
/// a place that is no host, and a private or loopback address only where the peer has such a one itself.
pub(super) fn may_be_sent_to(core: &Core, place: SocketAddr, reached: SocketAddr) -> bool {
    let (ip, reached_ip) = (place.ip().to_canonical(), reached.ip().to_canonical());
    let is_host = match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    let is_ours = core
        .settings
        .listeners
        .iter()
        .any(|listener| listener.bind == place || listener.advertise == place);
    let is_near = (!is_private(ip) || is_private(reached_ip))
        && (!ip.is_loopback() || reached_ip.is_loopback());
    is_host && !is_ours && is_near && place.port() > 0
}
