//! What is known of a call's media, in figures.

use std::time::Duration;

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
    /// From the peer, as we receive it.
    pub from_peer: StreamQuality,
    /// To the peer; loss and jitter are what the peer has reported.
    pub to_peer: StreamQuality,
    /// RTP packets that came once more.
    pub duplicates: u64,
    /// RTP packets that came after a later one.
    pub reordered: u64,
    /// RTP and RTCP packets that came and were not passed on.
    pub dropped: u64,
    /// To the peer and back; `None` where no report of the peer told.
    pub round_trip: Option<Duration>,
    /// Mean opinion score (ITU-T G.107) of the worse of both directions, in hundredths, 100 to 440; `None` where
    /// nothing was heard.
    pub mos: Option<u16>,
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
