//! What is counted: per endpoint, and per shard.

use crate::telemetry::Drops;

/// Packets and their payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PacketCounters {
    /// Datagrams.
    pub packets: u64,
    /// UDP payload bytes, RTP or RTCP headers included; of a leg without what SRTP adds.
    pub bytes: u64,
}

impl PacketCounters {
    #[inline]
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }
}

/// What one endpoint has received and sent since it was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamCounters {
    /// RTP (or UDPTL) from the leg's own source; those dropped for want of a destination are in it.
    pub rtp: PacketCounters,
    /// RTCP, counted in the same way.
    pub rtcp: PacketCounters,
    /// RTP (or UDPTL) sent to the leg.
    pub rtp_sent: PacketCounters,
    /// RTCP sent to the leg.
    pub rtcp_sent: PacketCounters,
    /// RTP and RTCP not passed on.
    pub dropped: Drops,
}

/// What all sockets of a shard have received since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MediaCounters {
    /// RTP and RTCP passed on.
    pub relayed: PacketCounters,
    /// Packets for a socket that belongs to no call.
    pub free_port: u64,
    /// Packets for a call's socket that were not passed on.
    pub dropped: Drops,
}

/// Why a packet is not passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DropReason {
    FreePort,
    Malformed,
    ForeignSource,
    TooMany,
    NotAuthentic,
    Replayed,
    Implausible,
    NoDestination,
}

impl DropReason {
    /// Adds one to the drops of a call's packets.
    pub(super) fn count(self, drops: &mut Drops) {
        let place = match self {
            DropReason::FreePort => return,
            DropReason::Malformed => &mut drops.malformed,
            DropReason::ForeignSource => &mut drops.foreign_source,
            DropReason::TooMany => &mut drops.too_many,
            DropReason::NotAuthentic => &mut drops.not_authentic,
            DropReason::Replayed => &mut drops.replayed,
            DropReason::Implausible => &mut drops.implausible,
            DropReason::NoDestination => &mut drops.no_destination,
        };
        *place += 1;
    }
}
