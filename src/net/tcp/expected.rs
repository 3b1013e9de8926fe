//! Whom a connection has to lead to.

use bytes::Bytes;
use rustls::pki_types::ServerName;

use crate::config::{Host, Limits, TlsPeerId, TlsPolicy, Transport};
use crate::net::tls::server_name;
use crate::shard::io::Flow;
use crate::shard::snapshot::TlsPeers;
use crate::sip::message::Message;
use crate::sip::reuse::sought_name;

/// Whom a message may be given to. A connection that was opened for one of these serves no other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Expected {
    /// Over TCP nobody proves who he is.
    Anybody,
    /// The peer that a route names.
    Peer(TlsPeerId),
    /// A customer's host that no route names.
    Host(Host),
}

impl Expected {
    /// Whom the flow expects. Where it leaves that open, the peer had come to us: then it is the name that
    /// the peer has given itself and that the message seeks, or else its address.
    pub(super) fn of(flow: &Flow, message: &Bytes, limits: &Limits) -> Self {
        match (flow.transport, flow.tls) {
            (Transport::Udp | Transport::Tcp, _) => Self::Anybody,
            (Transport::Tls, Some(peer)) => Self::Peer(peer),
            (Transport::Tls, None) => {
                let named = Message::parse(message.clone(), limits)
                    .ok()
                    .and_then(|message| sought_name(&message));
                Self::Host(named.unwrap_or(Host::Address(flow.remote.ip())))
            }
        }
    }

    /// How it is to be verified, and by which name; `None` over TCP, for a peer that is no longer known, and
    /// for a name that no certificate can hold.
    pub(super) fn proof<'a>(
        &self,
        peers: &'a TlsPeers,
        customers: &'a TlsPolicy,
    ) -> Option<(&'a TlsPolicy, ServerName<'static>)> {
        match self {
            Self::Anybody => None,
            Self::Peer(id) => {
                let peer = peers.get(*id)?;
                Some((&peer.policy, server_name(&peer.server_name)?))
            }
            Self::Host(host) => Some((customers, server_name(host)?)),
        }
    }
}
