//! One socket of a pair: where its peer is, and whom it believes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::counters::PacketCounters;
use super::{MediaSocket, Trust};
use crate::instant::Instant;
use crate::telemetry::Drops;

/// After the peer has moved, this many packets from where it was are passed on without latching: they
/// were under way. A peer that only says so and stays where it was is latched again after them. A
/// second of audio; RTCP comes every few seconds, so one packet.
const RTP_STRAGGLERS_MAX: u8 = 50;
const RTCP_STRAGGLERS_MAX: u8 = 1;

/// For so long the places where a peer is likely to be have time to answer for themselves before a packet
/// from elsewhere is taken for the peer's, where such packets are taken at all.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Packets a second of unknown sources whose authenticity is looked at: what strangers send must not cost more.
const TRIALS_MAX: u16 = 50;

/// What relaying a packet needs of a socket: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Stream {
    /// Where the peer is; meaningful in [`Latch::Expected`] and [`Latch::Latched`].
    pub(super) remote: SocketAddr,
    /// Sent to the peer.
    pub(super) sent: PacketCounters,
    /// The socket of the other leg, which its packets leave from.
    pub(super) partner: Option<MediaSocket>,
    pub(super) latch: Latch,
    pub(super) kind: Kind,
}

const _: () = assert!(size_of::<Stream>() == 64);

/// What is said through a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Kind {
    /// UDPTL instead of RTP.
    pub(super) is_udptl: bool,
    /// RTCP comes and goes on the RTP socket (RFC 5761).
    pub(super) is_muxed: bool,
    /// Packets of this leg are SRTP and SRTCP, or nothing.
    pub(super) is_secure: bool,
    /// The other leg knows some payload types by other numbers.
    pub(super) is_translated: bool,
}

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

/// Whether a packet is the peer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recognition {
    /// From where the peer is or is believed to be.
    Peer,
    /// If its key says so, then that is where the peer is now.
    IfAuthentic,
    /// From where the peer was.
    Straggler,
    Stranger,
}

/// What is received on a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Incoming {
    pub(super) received: PacketCounters,
    /// Which second it is, and the packets that came in it.
    rate: Rate,
}

impl Incoming {
    /// Whether one packet more may come now.
    #[inline]
    pub(super) fn admits(&mut self, now: Instant, packets_max: u16) -> bool {
        self.rate.admits(now, packets_max)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    second: u32,
    packets: u16,
}

impl Rate {
    /// Seconds of 2^20 microseconds will do, and cost no division.
    #[inline]
    fn admits(&mut self, now: Instant, packets_max: u16) -> bool {
        let second = (now.as_micros() >> 20) as u32;
        if self.second != second {
            *self = Self { second, packets: 0 };
        }
        if self.packets >= packets_max {
            return false;
        }
        self.packets += 1;
        true
    }
}

/// What a socket needs besides, away from the hot path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    /// What SDP says.
    expected: Option<SocketAddr>,
    /// Where the peer's signalling comes from.
    signalling: Option<IpAddr>,
    /// When that was said.
    since: Instant,
    /// A description has said where the peer is, or that it does not say so.
    is_described: bool,
    /// What was latched before SDP said that the peer has moved.
    former: Option<SocketAddr>,
    /// Packets from `former` that may still come without latching.
    stragglers: u8,
    trials: Rate,
    /// The kernel hands over what comes from the peer only.
    pub(super) is_connected: bool,
    pub(super) dropped: Drops,
}

impl Stream {
    pub(super) const FREE: Stream = Stream {
        remote: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        sent: PacketCounters {
            packets: 0,
            bytes: 0,
        },
        partner: None,
        latch: Latch::Free,
        kind: Kind {
            is_udptl: false,
            is_muxed: false,
            is_secure: false,
            is_translated: false,
        },
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

    /// Whose a plausible packet is that comes from a source that is not latched.
    #[cold]
    pub(super) fn recognise(
        &self,
        source: &mut Source,
        from: SocketAddr,
        trust: Trust,
        now: Instant,
    ) -> Recognition {
        if self.kind.is_secure && !self.kind.is_udptl {
            if source.is_straggler(from) {
                source.stragglers -= 1;
                return Recognition::Straggler;
            }
            // The key tells, wherever it comes from; within bounds where it is not likely, for looking costs.
            let is_tried = source.is_near(from);
            return match is_tried || source.trials.admits(now, TRIALS_MAX) {
                true => Recognition::IfAuthentic,
                false => Recognition::Stranger,
            };
        }
        match self.latch {
            Latch::Free => Recognition::Stranger,
            // The word of SDP beats a guess. It can do so once: what is latched then is what SDP says.
            Latch::Latched if source.expects(from) => Recognition::Peer,
            Latch::Latched => Recognition::Stranger,
            Latch::Unknown | Latch::Expected if source.is_straggler(from) => {
                source.stragglers -= 1;
                Recognition::Straggler
            }
            Latch::Unknown | Latch::Expected if source.is_likely(from, trust, now) => {
                Recognition::Peer
            }
            Latch::Unknown | Latch::Expected => Recognition::Stranger,
        }
    }

    #[cold]
    pub(super) fn latch_on(&mut self, source: &mut Source, from: SocketAddr) {
        self.remote = from;
        self.latch = Latch::Latched;
        source.former = None;
    }

    pub(super) fn meet(&mut self, source: &mut Source, signalling: IpAddr, now: Instant) {
        self.latch = Latch::Unknown;
        self.kind = Kind::default();
        *source = Source {
            signalling: Some(signalling),
            since: now,
            dropped: source.dropped,
            ..Source::default()
        };
    }

    /// SDP says where the peer is; `is_rtcp` where this is the RTCP socket. Its signalling comes from `signalling`.
    pub(super) fn expect(
        &mut self,
        source: &mut Source,
        to: Option<SocketAddr>,
        signalling: IpAddr,
        (is_rtcp, now): (bool, Instant),
    ) {
        let latched = self.latch == Latch::Latched;
        let before = source.signalling.replace(signalling);
        // Behind a translator SDP says the same wherever the peer is.
        let has_roamed = latched && !source.expects(self.remote) && before != Some(signalling);
        source.is_described = true;
        if source.expected == to && !has_roamed {
            return;
        }
        source.since = now;
        let moved = source.expected.is_some() && to.is_some();
        source.expected = to;
        if latched && source.expects(self.remote) {
            return;
        }
        if moved && latched {
            source.former = Some(self.remote);
            source.stragglers = match is_rtcp {
                true => RTCP_STRAGGLERS_MAX,
                false => RTP_STRAGGLERS_MAX,
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

    /// SDP has not said where the peer is after all.
    pub(super) fn forget(&mut self, source: &mut Source) {
        source.expected = None;
        self.latch = Latch::Unknown;
    }
}

impl Source {
    /// By address and port: a received link-local address has a scope that SDP cannot say.
    pub(super) fn expects(&self, from: SocketAddr) -> bool {
        self.expected
            .is_some_and(|to| to.ip() == from.ip() && to.port() == from.port())
    }

    /// Where a peer is likely to be: at SDP's address, at another port of it, or behind the translator that its
    /// signalling came through. Anywhere else only where that is wanted, and once none of these has spoken.
    fn is_likely(&self, from: SocketAddr, trust: Trust, now: Instant) -> bool {
        let is_elsewhere_taken = match trust {
            Trust::Signalling => false,
            Trust::Anywhere => self.is_described && now.since(self.since) >= GRACE,
        };
        is_elsewhere_taken || self.is_near(from)
    }

    fn is_near(&self, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        self.expected.is_some_and(|to| to.ip().to_canonical() == ip)
            || self.signalling.is_some_and(|at| at.to_canonical() == ip)
            || self.former == Some(from)
    }

    fn is_straggler(&self, from: SocketAddr) -> bool {
        self.stragglers > 0 && self.former == Some(from) && !self.expects(from)
    }
}
