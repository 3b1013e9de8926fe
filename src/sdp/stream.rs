//! A stream that could be relayed, as its peer describes it.

use std::net::SocketAddr;

use super::Direction;
use super::crypto::{CryptoLine, CryptoLines};
use super::fields::{Connection, RtcpField};
use super::format::Format;
use super::session::Span;

/// How a stream is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// RTP over UDP, in one of four profiles.
    Rtp {
        /// RTP/SAVP or RTP/SAVPF: nothing but SRTP (RFC 3711, RFC 5124).
        secure: bool,
        /// RTP/AVPF or RTP/SAVPF: with RTCP feedback (RFC 4585).
        feedback: bool,
    },
    /// Fax by T.38 in UDPTL packets.
    Udptl,
}

impl Transport {
    /// How audio, or an image that is fax, is carried; `None` for what is not served, DTLS-SRTP among it.
    pub(super) fn of(kind: &[u8], protocol: &[u8], formats: &[u8]) -> Option<Self> {
        let rtp = |secure, feedback| Some(Transport::Rtp { secure, feedback });
        match (kind, protocol.to_ascii_uppercase().as_slice()) {
            (b"audio", b"RTP/AVP") => rtp(false, false),
            (b"audio", b"RTP/AVPF") => rtp(false, true),
            (b"audio", b"RTP/SAVP") => rtp(true, false),
            (b"audio", b"RTP/SAVPF") => rtp(true, true),
            (b"image", b"UDPTL") if formats.eq_ignore_ascii_case(b"t38") => Some(Transport::Udptl),
            _ => None,
        }
    }

    /// The profile's name in an `m=` line.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Transport::Rtp { secure, feedback } => match (secure, feedback) {
                (false, false) => "RTP/AVP",
                (false, true) => "RTP/AVPF",
                (true, false) => "RTP/SAVP",
                (true, true) => "RTP/SAVPF",
            },
            Transport::Udptl => "udptl",
        }
    }

    /// Any profile of RTP.
    pub fn is_rtp(self) -> bool {
        match self {
            Transport::Rtp { .. } => true,
            Transport::Udptl => false,
        }
    }

    pub(super) fn is_secure(self) -> bool {
        match self {
            Transport::Rtp { secure, .. } => secure,
            Transport::Udptl => false,
        }
    }
}

/// The stream that was chosen of a peer's description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteStream {
    /// How it is carried.
    pub transport: Transport,
    /// Where it wants RTP, or UDPTL; `None` where it does not say so in a way we can use: `c=` is a host
    /// name, multicast, missing, or 0.0.0.0 (the hold of RFC 2543).
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP on a port of its own.
    rtcp: Option<SocketAddr>,
    /// It would have RTP and RTCP on one port (`a=rtcp-mux`, RFC 5761).
    pub rtcp_mux: bool,
    /// The stream's own direction, else the session's; 0.0.0.0 counts as not receiving.
    pub direction: Direction,
    /// In order of preference; none of UDPTL.
    pub formats: Vec<Format>,
    /// Its keys that can be used, in order of preference: none where it was chosen to be plain RTP.
    pub crypto: Vec<CryptoLine>,
}

impl RemoteStream {
    /// Where it wants RTCP: with RTP where both ends have agreed on that (RFC 5761), else where `a=rtcp`
    /// says (RFC 3605), else on the port after RTP's. `None` also for UDPTL.
    pub fn rtcp(&self, is_muxed: bool) -> Option<SocketAddr> {
        match self.transport {
            Transport::Rtp { .. } if is_muxed => self.rtp,
            Transport::Rtp { .. } => self.rtcp,
            Transport::Udptl => None,
        }
    }
}

/// An `m=` line that is in use and that could be relayed, with the lines that belong to it.
#[derive(Clone)]
pub(super) struct Stream {
    /// Its place among the media.
    pub(super) index: usize,
    pub(super) port: u16,
    pub(super) transport: Transport,
    pub(super) formats: Vec<Format>,
    pub(super) connection: Option<Connection>,
    pub(super) rtcp: Option<RtcpField>,
    pub(super) rtcp_mux: bool,
    pub(super) direction: Option<Direction>,
    /// `b=` lines.
    pub(super) bandwidth: Vec<Span>,
    /// `a=` lines that are taken over.
    pub(super) attributes: Vec<Span>,
    pub(super) crypto: CryptoLines,
}

impl Stream {
    pub(super) fn direction(&self) -> Direction {
        let direction = self.direction.unwrap_or(Direction::SendRecv);
        if self.connection == Some(Connection::Nowhere) {
            direction.not_receiving()
        } else {
            direction
        }
    }

    /// What there is to know of it; its keys where it is to be SRTP.
    pub(super) fn remote(&self, with_keys: bool) -> RemoteStream {
        let rtcp = match (self.rtcp, self.transport.is_rtp()) {
            (_, false) => None,
            (Some(rtcp), _) => usable(rtcp.connection.or(self.connection), Some(rtcp.port)),
            (None, _) => usable(self.connection, self.port.checked_add(1)),
        };
        RemoteStream {
            transport: self.transport,
            rtp: usable(self.connection, Some(self.port)),
            rtcp,
            rtcp_mux: self.rtcp_mux,
            direction: self.direction(),
            formats: self.formats.clone(),
            crypto: match with_keys {
                true => self.crypto.usable.clone(),
                false => Vec::new(),
            },
        }
    }
}

fn usable(connection: Option<Connection>, port: Option<u16>) -> Option<SocketAddr> {
    match connection {
        Some(Connection::Unicast(ip)) => Some(SocketAddr::new(ip, port.filter(|&p| p != 0)?)),
        Some(Connection::Nowhere | Connection::Unusable) | None => None,
    }
}
