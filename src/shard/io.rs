//! What goes into a shard and what comes out of it.

use std::net::SocketAddr;

use bytes::Bytes;

use super::guard::Ban;
use crate::config::{CarrierId, TlsPeerId, Transport};
use crate::gateway::authentication::BackOff;
use crate::media::{Connect, Forward, MediaPort};
use crate::telemetry::Event;

/// Where a SIP message came from, or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// Index into the config's listeners: where it was received, or whose address it is sent from.
    pub listener: u8,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection it was received on, or should be sent on while that is open. When it is closed,
    /// or `None` on a stream transport, `net` uses or opens a connection to `remote`.
    pub connection: Option<ConnectionId>,
    /// Over TLS, whom to expect where a connection has to be opened; `None` on one that the peer opened,
    /// where only its address is known.
    pub tls: Option<TlsPeerId>,
    /// The carrier that the peer has proven to be by its certificate, on a connection that it has opened.
    pub carrier: Option<CarrierId>,
}

/// A SIP connection: the shard whose thread holds its socket, and its place there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId {
    /// The shard whose worker holds the socket.
    pub shard: u8,
    /// Slot in that worker's table.
    pub slot: u32,
    /// Tells a slot's occupants apart.
    pub generation: u32,
}

/// The transaction an output belongs to, so that a transport error finds its way back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TransactionId {
    /// Slot in the shard's transaction table.
    pub slot: u32,
    /// Tells a slot's occupants apart.
    pub generation: u32,
}

/// An input to a shard.
#[derive(Debug)]
pub enum Input {
    /// One datagram, or one message framed from a stream.
    Message {
        /// Where from.
        flow: Flow,
        /// The bytes, not parsed yet.
        bytes: Bytes,
    },
    /// An [`Output::Send`] of this transaction could not be sent (RFC 3261 §18.4).
    TransportError {
        /// Whose message it was.
        transaction: TransactionId,
    },
    /// Another shard has decided that a source is not to be listened to.
    Ban(Ban),
    /// Another shard has decided that a source is refused by a connector.
    BackOff(BackOff),
    /// A pair of bound media sockets that the shard may use from now on. Sockets are numbered by the
    /// worker; a pair's RTCP socket is its RTP socket plus one.
    MediaPort(MediaPort),
}

/// An output of a shard. Packets that are relayed do not come this way: [`super::Shard::relay`] returns them.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message.
    Send {
        /// Where to.
        flow: Flow,
        /// The message.
        bytes: Bytes,
        /// Whom to tell when it cannot be sent.
        transaction: Option<TransactionId>,
    },
    /// Send a media packet of our own; nobody is told where it cannot be sent.
    Media {
        /// From which socket, and where to.
        forward: Forward,
        /// The packet.
        bytes: Bytes,
    },
    /// Connect or disconnect a media socket before anything more is read from it.
    Connect(Connect),
    /// Every shard is to stop listening to a source.
    Ban(Ban),
    /// Every shard is to refuse a source that does not know a connector's password.
    BackOff(BackOff),
    /// A fact for logs, metrics and records.
    Event(Event),
}
