//! Media: ports, streams, relay.
//!
//! [`Media`] holds the media sockets of one shard. Call control allocates an [`Endpoint`] for each leg
//! of a call, says what the leg's SDP says ([`Media::expect`]) and joins the two legs
//! ([`Media::join`]). From then on [`Media::relay`] tells for every packet where it goes: a few
//! cache lines touched, nothing allocated, no clock read, no hash computed.
//!
//! Peers behind NAT are served by symmetric RTP (RFC 4961): see [`Media::relay`] for who is believed.
//!
//! Deliberately absent: sockets (`net` owns them; here they are numbers), timers (call control
//! compares [`Media::counters`] from time to time to notice that media has stopped), transcoding.

mod connected;
mod counters;
mod mos;
mod packet;
mod ports;
mod protection;
mod reception;
mod relay;
mod reports;
mod round_trip;
pub mod rtcp;
pub mod srtp;
mod stream;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

pub use connected::Connect;
pub use counters::{MediaCounters, PacketCounters, StreamCounters};
pub use mos::{Conditions, Impairment, Mos};
pub use ports::PORT_REST;
pub use reception::{Plausibility, Reception, ReceptionFigures, RtpHeader};
pub use relay::{Media, Rules};
pub use reports::{PayloadFormat, REPORT_INTERVAL, Reporter};
pub use round_trip::RoundTrip;

use srtp::MasterKey;

/// A sequence number that is not so far behind the highest one is late; another one is the first of a new numbering, if
/// it is believed at all (RFC 3550 appendix A.1).
const MISORDER_MAX: u16 = 100;

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

/// What an offer or an answer says of where a peer wants its media, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// RTP (or UDPTL); `None` where SDP does not say so in a usable way.
    pub rtp: Option<SocketAddr>,
    /// RTCP, in the same way.
    pub rtcp: Option<SocketAddr>,
    /// Where the peer's signalling comes from.
    pub signalling: IpAddr,
    /// Both ends have agreed that RTCP comes and goes with RTP (RFC 5761).
    pub rtcp_mux: bool,
    /// UDPTL instead of RTP (ITU-T T.38).
    pub is_udptl: bool,
}

/// Where a peer is believed to be that does not speak from where its SDP says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// At another port of SDP's address, or at the address that its signalling comes from.
    Signalling,
    /// Anywhere, once a second has passed in which neither of these has spoken. Whoever sends to the port first is
    /// heard then, and hears.
    Anywhere,
}

/// What protects the packets of a leg.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protection<'a> {
    /// Nothing: RTP and RTCP.
    None,
    /// SRTP it will be, once the keys are agreed on; nothing passes until then.
    Awaited,
    /// SRTP and SRTCP.
    Agreed {
        /// Of what we send.
        ours: &'a MasterKey,
        /// Of what the peer sends.
        theirs: &'a MasterKey,
        /// The identifier of the peer's key that is in each of its packets; empty for none.
        their_mki: &'a [u8],
        /// The peer wants its media at another place than before: under a new key of ours its packets are numbered
        /// from the start (RFC 4568 §7.1.4).
        is_new_place: bool,
    },
}

/// A received packet, rewritten in place. Behind its bytes there should be room for what SRTP adds
/// ([`srtp::OVERHEAD_BYTES_MAX`]).
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The packet, and the room.
    pub buffer: &'a mut [u8],
    /// Bytes of the packet.
    pub length: usize,
}

impl Datagram<'_> {
    /// The packet.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

/// Where a received packet goes, as its [`Datagram`] is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The socket to send from.
    pub socket: MediaSocket,
    /// The address to send to.
    pub to: SocketAddr,
}
