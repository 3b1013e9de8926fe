//! One address that calls may be sent to.

use std::net::SocketAddr;

use super::{TlsPeerId, Transport};

/// Where a request goes and how it gets there: what a [`super::Target`] comes down to once the DNS was asked. Targets with
/// the same next hop stand or fall together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NextHop {
    /// How it is spoken with.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
    /// Over TLS, whom to expect there.
    pub tls: Option<TlsPeerId>,
    /// The `bind` of the listener that a carrier's section names; `None` for the nearest.
    pub listener: Option<SocketAddr>,
}
