//! Media: ports, streams, relay.
//!
//! [`Media`] holds the media sockets of one shard. Call control allocates an [`Endpoint`] for each leg
//! of a call, says what the leg's SDP says ([`Media::expect`]) and joins the two legs
//! ([`Media::connect`]). From then on [`Media::relay`] tells for every packet where it goes: at most two
//! cache lines touched, nothing allocated, no clock read, no hash computed.
//!
//! Peers behind NAT are served by symmetric RTP (RFC 4961): see [`Media::relay`] for who is believed.
//!
//! Deliberately absent: sockets (`net` owns them; here they are numbers), timers (call control
//! compares [`Media::counters`] from time to time to notice that media has stopped), transcoding.

mod counters;
mod packet;
mod ports;
mod relay;
pub mod srtp;
mod stream;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use counters::{Drops, MediaCounters, PacketCounters, StreamCounters};
pub use ports::PORT_REST;
pub use relay::Media;

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

/// Names one allocation of a pair of sockets; once that is released the id names nothing, also when
/// the same pair is allocated again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EndpointId {
    pair: u32,
    generation: u32,
}

/// An allocated pair of sockets: where one leg of a call sends its media.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The allocation.
    pub id: EndpointId,
    /// The RTP address to show in SDP; RTCP is on the next port.
    pub advertise: SocketAddr,
}

/// Where a received packet goes, unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The socket to send from.
    pub socket: MediaSocket,
    /// The address to send to.
    pub to: SocketAddr,
}
