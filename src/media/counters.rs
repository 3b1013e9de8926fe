//! What is counted: per endpoint, and per shard.

use std::ops::AddAssign;

/// Packets and their payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PacketCounters {
    /// Datagrams.
    pub packets: u64,
    /// UDP payload bytes, RTP or RTCP headers included.
    pub bytes: u64,
}

impl PacketCounters {
    #[inline]
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }
}

/// Packets that were not passed on, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drops {
    /// Not RTP on an RTP socket, not RTCP on an RTCP socket.
    pub malformed: u64,
    /// From another source than the one the socket has latched on.
    pub foreign_source: u64,
    /// The endpoint is not connected, or where the other leg wants its media is not known.
    pub no_destination: u64,
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Drops) {
        self.malformed += other.malformed;
        self.foreign_source += other.foreign_source;
        self.no_destination += other.no_destination;
    }
}

/// What one endpoint has received since it was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamCounters {
    /// RTP from the leg's own source; those dropped for want of a destination are in it.
    pub rtp: PacketCounters,
    /// RTCP, counted in the same way.
    pub rtcp: PacketCounters,
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
    NoDestination,
}
