//! What is known of a call's media, in figures.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use crate::config::Suite;

/// The media of a call's two legs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallQuality {
    /// Between us and leg A's peer.
    pub a: LegQuality,
    /// Between us and leg B's peer.
    pub b: LegQuality,
}

/// The media between us and one leg's peer, since the leg has its ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LegQuality {
    /// What protects the packets in both directions; `None`: nothing, they are RTP.
    pub srtp: Option<Suite>,
    /// From the peer, as we receive it.
    pub from_peer: StreamQuality,
    /// To the peer; loss and jitter are what the peer has reported.
    pub to_peer: StreamQuality,
    /// RTP packets that came once more.
    pub duplicates: u64,
    /// RTP packets that came after a later one.
    pub reordered: u64,
    /// RTP and RTCP packets that came and were not passed on.
    pub dropped: Drops,
    /// To the peer and back; `None` where no report of the peer told.
    pub round_trip: Option<Duration>,
    /// Mean opinion score (ITU-T G.107) of the worse of both directions, in hundredths, 100 to 440; `None` where
    /// nothing was heard.
    pub mos: Option<u16>,
}

/// Packets that were not passed on, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drops {
    /// Not RTP on an RTP socket, not RTCP on an RTCP socket; headers and lengths that do not fit.
    pub malformed: u64,
    /// From a source that is not the peer's.
    pub foreign_source: u64,
    /// More packets in a second than a stream may have.
    pub too_many: u64,
    /// SRTP that its key did not make, or that came before its key.
    pub not_authentic: u64,
    /// SRTP that has come before, or a packet that has gone to an SRTP leg before.
    pub replayed: u64,
    /// RTP of another SSRC, or far from its sequence, that nothing bears out yet.
    pub implausible: u64,
    /// The endpoint has no partner, or where the other leg wants its media is not known.
    pub no_destination: u64,
}

impl Drops {
    /// Each reason by its name.
    pub fn by_reason(&self) -> [(&'static str, u64); 7] {
        let Self {
            malformed,
            foreign_source,
            too_many,
            not_authentic,
            replayed,
            implausible,
            no_destination,
        } = *self;
        [
            ("malformed", malformed),
            ("foreign_source", foreign_source),
            ("too_many", too_many),
            ("not_authentic", not_authentic),
            ("replayed", replayed),
            ("implausible", implausible),
            ("no_destination", no_destination),
        ]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }
}

/// The reasons that there were, with their numbers.
impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there_were = self.by_reason().into_iter().filter(|(_, count)| *count > 0);
        for (index, (reason, count)) in there_were.enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{reason}={count}")?;
        }
        Ok(())
    }
}

impl Add for Drops {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            malformed: self.malformed + other.malformed,
            foreign_source: self.foreign_source + other.foreign_source,
            too_many: self.too_many + other.too_many,
            not_authentic: self.not_authentic + other.not_authentic,
            replayed: self.replayed + other.replayed,
            implausible: self.implausible + other.implausible,
            no_destination: self.no_destination + other.no_destination,
        }
    }
}

/// One direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamQuality {
    /// RTP (or UDPTL) packets that came and were the peer's, or that were sent.
    pub rtp_packets: u64,
    /// Bytes of them, headers included.
    pub rtp_bytes: u64,
    /// RTCP packets in the same way.
    pub rtcp_packets: u64,
    /// Bytes of them.
    pub rtcp_bytes: u64,
    /// RTP packets lost on the way between us and the peer; `None` where nobody knows.
    pub packets_lost: Option<u64>,
    /// Interarrival jitter (RFC 3550 §6.4.1) at the end; `None` where nobody knows.
    pub jitter: Option<Duration>,
}

impl LegQuality {
    /// These figures with those of ports that the leg had before: what is counted adds up.
    pub fn after(self, before: &Self) -> Self {
        Self {
            srtp: self.srtp,
            from_peer: self.from_peer.after(&before.from_peer),
            to_peer: self.to_peer.after(&before.to_peer),
            duplicates: self.duplicates + before.duplicates,
            reordered: self.reordered + before.reordered,
            dropped: self.dropped + before.dropped,
            round_trip: self.round_trip.or(before.round_trip),
            mos: self.mos.or(before.mos),
        }
    }
}

impl StreamQuality {
    fn after(self, before: &Self) -> Self {
        let lost = match (self.packets_lost, before.packets_lost) {
            (None, None) => None,
            (now, before) => Some(now.unwrap_or(0) + before.unwrap_or(0)),
        };
        Self {
            rtp_packets: self.rtp_packets + before.rtp_packets,
            rtp_bytes: self.rtp_bytes + before.rtp_bytes,
            rtcp_packets: self.rtcp_packets + before.rtcp_packets,
            rtcp_bytes: self.rtcp_bytes + before.rtcp_bytes,
            packets_lost: lost,
            jitter: self.jitter.or(before.jitter),
        }
    }
}
