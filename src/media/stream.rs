//! One socket of a pair: where its peer is, and whom it believes.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::MediaSocket;
use super::counters::{Drops, PacketCounters};

/// After the peer has moved, this many packets from where it was are passed on without latching: they
/// were under way. A peer that only says so and stays where it was is latched again after them. A
/// second of audio; RTCP comes every few seconds, so one packet.
const RTP_STRAGGLERS_MAX: u8 = 50;
const RTCP_STRAGGLERS_MAX: u8 = 1;

/// What relaying a packet needs of a socket: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Stream {
    /// Where the peer is; meaningful in [`Latch::Expected`] and [`Latch::Latched`].
    pub(super) remote: SocketAddr,
    /// Received from the peer.
    pub(super) received: PacketCounters,
    /// The socket of the other leg, which its packets leave from.
    pub(super) partner: Option<MediaSocket>,
    pub(super) latch: Latch,
}

const _: () = assert!(size_of::<Stream>() == 64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Latch {
    /// The socket belongs to no call.
    Free,
    /// Neither SDP nor a packet has said where the peer is.
    Unknown,
    /// SDP has said it.
    Expected,
    /// A packet has shown it; others are not believed.
    Latched,
}

/// What a socket needs besides, away from the hot path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    /// What SDP says.
    expected: Option<SocketAddr>,
    /// What was latched before SDP said that the peer has moved.
    former: Option<SocketAddr>,
    /// Packets from `former` that may still come without latching.
    stragglers: u8,
    pub(super) dropped: Drops,
}

impl Stream {
    pub(super) const FREE: Stream = Stream {
        remote: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        received: PacketCounters {
            packets: 0,
            bytes: 0,
        },
        partner: None,
        latch: Latch::Free,
    };

    pub(super) const ALLOCATED: Stream = Stream {
        latch: Latch::Unknown,
        ..Stream::FREE
    };

    #[inline]
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        match self.latch {
            Latch::Expected | Latch::Latched => Some(self.remote),
            Latch::Free | Latch::Unknown => None,
        }
    }

    #[inline]
    pub(super) fn is_latched_on(&self, from: SocketAddr) -> bool {
        self.latch == Latch::Latched && self.remote == from
    }

    /// Whether a plausible packet from a source that is not latched is the peer's; latches it if so.
    #[cold]
    pub(super) fn admit(&mut self, source: &mut Source, from: SocketAddr) -> bool {
        match self.latch {
            Latch::Free => false,
            // The word of SDP beats a guess. It can do so once: what is latched then is what SDP says.
            Latch::Latched if !source.expects(from) => false,
            Latch::Unknown | Latch::Expected if source.is_straggler(from) => {
                source.stragglers -= 1;
                true
            }
            Latch::Unknown | Latch::Expected | Latch::Latched => {
                self.remote = from;
                self.latch = Latch::Latched;
                source.former = None;
                true
            }
        }
    }

    /// SDP says where the peer is; `rtcp` where this is the RTCP socket.
    pub(super) fn expect(&mut self, source: &mut Source, to: Option<SocketAddr>, rtcp: bool) {
        if source.expected == to {
            return;
        }
        let moved = source.expected.is_some() && to.is_some();
        source.expected = to;
        let latched = self.latch == Latch::Latched;
        if latched && source.expects(self.remote) {
            return;
        }
        if moved && latched {
            source.former = Some(self.remote);
            source.stragglers = if rtcp {
                RTCP_STRAGGLERS_MAX
            } else {
                RTP_STRAGGLERS_MAX
            };
        }
        match to {
            Some(to) => {
                self.remote = to;
                self.latch = Latch::Expected;
            }
            None => self.latch = Latch::Unknown,
        }
    }
}

impl Source {
    /// By address and port: a received link-local address has a scope that SDP cannot say.
    fn expects(&self, from: SocketAddr) -> bool {
        self.expected
            .is_some_and(|to| to.ip() == from.ip() && to.port() == from.port())
    }

    fn is_straggler(&self, from: SocketAddr) -> bool {
        self.stragglers > 0 && self.former == Some(from) && !self.expects(from)
    }
}
