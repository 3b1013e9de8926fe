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
    /// Not RTP on an RTP socket, not RTCP on an RTCP socket; headers and lengths that do not fit.
    pub malformed: u64,
    /// From a source that is not the peer's.
    pub foreign_source: u64,
    /// More packets in a second than a stream may have.
    pub too_many: u64,
    /// SRTP that its key did not make, or that came before its key.
    pub not_authentic: u64,
    /// SRTP that has come before.
    pub replayed: u64,
    /// RTP of another SSRC, or far from its sequence, that nothing bears out yet.
    pub implausible: u64,
    /// The endpoint is not connected, or where the other leg wants its media is not known.
    pub no_destination: u64,
}

impl Drops {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self {
            malformed,
            foreign_source,
            too_many,
            not_authentic,
            replayed,
            implausible,
            no_destination,
        } = self;
        malformed
            + foreign_source
            + too_many
            + not_authentic
            + replayed
            + implausible
            + no_destination
    }

    pub(super) fn count(&mut self, reason: DropReason) {
        let place = match reason {
            DropReason::FreePort => return,
            DropReason::Malformed => &mut self.malformed,
            DropReason::ForeignSource => &mut self.foreign_source,
            DropReason::TooMany => &mut self.too_many,
            DropReason::NotAuthentic => &mut self.not_authentic,
            DropReason::Replayed => &mut self.replayed,
            DropReason::Implausible => &mut self.implausible,
            DropReason::NoDestination => &mut self.no_destination,
        };
        *place += 1;
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Drops) {
        self.malformed += other.malformed;
        self.foreign_source += other.foreign_source;
        self.too_many += other.too_many;
        self.not_authentic += other.not_authentic;
        self.replayed += other.replayed;
        self.implausible += other.implausible;
        self.no_destination += other.no_destination;
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
