//! Media: ports, streams, relay.

use std::net::SocketAddr;

/// Number of a media socket in its shard: dense, from 0; RTP sockets are even, the RTCP socket of the
/// same pair is the next number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MediaSocket(pub u32);

/// A bound pair of media sockets, RTP and RTCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaPort {
    /// The RTP socket's number; the RTCP socket's is one more.
    pub socket: MediaSocket,
    /// The address that SDP shows for RTP (even port); RTCP is on the next port.
    pub advertise: SocketAddr,
}

/// Where a relayed packet goes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The socket it is sent from.
    pub socket: MediaSocket,
    /// The peer it is sent to.
    pub to: SocketAddr,
}
