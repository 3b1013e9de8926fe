//! Where a request within a dialog goes (RFC 3261 §12.2.1.1, RFC 3263).

use std::net::{IpAddr, SocketAddr};

use super::Leg;
use crate::config::Target;
use crate::shard::core::Core;
use crate::shard::io::Flow;

impl Leg {
    /// Where a request within the dialog goes: the next hop where that is an address we may believe, otherwise
    /// where the peer was reached last.
    pub(super) fn request_flow(&self, core: &mut Core) -> Flow {
        if self.behind_nat {
            return self.flow;
        }
        let reached = self.flow.remote;
        // A private address that a public peer names is of its own network.
        let is_believed = |address: &SocketAddr| {
            address.is_ipv4() == reached.is_ipv4()
                && (!is_private(address.ip()) || is_private(reached.ip()))
        };
        match self.next_hops(core).into_iter().find(is_believed) {
            Some(remote) => Flow {
                remote,
                ..self.flow
            },
            None => self.flow,
        }
    }

    /// The next hop's addresses over the leg's transport. Where its name has not been located yet that is asked
    /// for, and there are none for now.
    pub(super) fn next_hops(&self, core: &mut Core) -> Vec<SocketAddr> {
        let Some(uri) = self.dialog.next_hop() else {
            return Vec::new();
        };
        let target = Target {
            host: uri.host_value(),
            port: uri.port,
            transport: Some(self.flow.transport),
            tls: None,
        };
        let places = core.places(&target).unwrap_or_default();
        places.into_iter().map(|(_, address)| address).collect()
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}
