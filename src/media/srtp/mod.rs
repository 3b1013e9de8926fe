//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714), keyed by SDES (RFC 4568): packets are sealed and
//! opened in place, and nothing is allocated for a packet of a source that is known.
//!
//! [`Outbound`] is what leaves by one key, [`Inbound`] what arrives by one; a leg has one of each, and a
//! re-keyed leg gets new ones from the old ([`Outbound::rekeyed`], [`Inbound::rekeyed`]).
//!
//! A packet is authenticated before anything else happens: one that is refused leaves the buffer and the
//! state as they were, so a caller may try another key on it. Key schedules and the inner and outer
//! states of HMAC are made with the key; they and the keys are wiped when dropped.
//!
//! Deliberately absent: key derivation rates other than 0, encrypted header extensions (RFC 6904), a
//! choice among several master keys by MKI.

mod cipher;
mod counter_mode;
mod derivation;
mod gcm;
mod inbound;
mod layout;
mod outbound;
mod replay;
mod sources;
mod suite;
#[cfg(test)]
mod tests;

use std::fmt;

pub use inbound::Inbound;
pub use outbound::Outbound;
pub use suite::{MasterKey, Suite};

/// The most bytes that protecting a packet adds: SRTCP under AES-GCM, a tag of 16 bytes and the index.
pub const OVERHEAD_BYTES_MAX: usize = 20;

/// The most bytes of a packet: what a UDP datagram carries at most.
const PACKET_BYTES_MAX: usize = 65_535;

/// Why a packet was neither protected nor unprotected; packet and state are as they were.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpError {
    /// Not RTP or RTCP of version 2, or too short for its header, its trailer or what it says it holds.
    Malformed,
    /// Not sealed with this key, or changed on the way.
    BadTag,
    /// Seen before, or too old to know (RFC 3711 §3.3.2). Outbound: its index has been used, or its
    /// sequence number is far from the last one and no second packet has confirmed it.
    Replayed,
    /// Another master key identifier than the expected one.
    WrongMki,
    /// The buffer has no room for what protecting adds.
    NoRoom,
    /// The key has protected all it may (RFC 3711 §9.2), or has seen too many SSRCs to keep apart.
    KeyExhausted,
}

impl fmt::Display for SrtpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "malformed packet",
            Self::BadTag => "wrong authentication tag",
            Self::Replayed => "replayed packet",
            Self::WrongMki => "wrong master key identifier",
            Self::NoRoom => "no room for the tag",
            Self::KeyExhausted => "key exhausted",
        })
    }
}

impl std::error::Error for SrtpError {}
