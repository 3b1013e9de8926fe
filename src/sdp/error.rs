//! What can be wrong with a peer's description.

use std::fmt;

/// A peer's fault in a session description; the message that carried it is answered 400 (an offer) or
/// its call ended (an answer). Lines are numbered from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdpError {
    /// Longer than [`super::SDP_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More lines than [`super::SDP_LINES_MAX`].
    TooManyLines,
    /// More media than [`super::MEDIA_MAX`].
    TooManyMedia {
        /// Of the first medium too many.
        line: u32,
    },
    /// The first line is not `v=0`, or a later one is a `v=`.
    Version {
        /// Where.
        line: u32,
    },
    /// Not of the form `x=value`.
    NotAField {
        /// Where.
        line: u32,
    },
    /// A type letter that RFC 8866 does not know (§5: the description must be refused).
    UnknownType {
        /// Where.
        line: u32,
    },
    /// A NUL, or a CR inside the line.
    ForbiddenByte {
        /// Where.
        line: u32,
    },
    /// `c=` without its three parts.
    Connection {
        /// Where.
        line: u32,
    },
    /// `m=` without its parts.
    Media {
        /// Where.
        line: u32,
    },
    /// A port that is not 0 to 65535.
    Port {
        /// Where.
        line: u32,
    },
    /// Audio in use without a format, or with one that is not an RTP payload type (0 to 127).
    PayloadType {
        /// Where.
        line: u32,
    },
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, what) = match *self {
            SdpError::TooLong { bytes } => {
                return write!(f, "{bytes} bytes of SDP, more than are read");
            }
            SdpError::TooManyLines => return f.write_str("more lines of SDP than are read"),
            SdpError::TooManyMedia { line } => (line, "more media than are read"),
            SdpError::Version { line } => (line, "expected v=0, and only as the first line"),
            SdpError::NotAField { line } => (line, "not of the form x=value"),
            SdpError::UnknownType { line } => (line, "unknown type letter"),
            SdpError::ForbiddenByte { line } => (line, "NUL or CR in the line"),
            SdpError::Connection { line } => (line, "c= needs network, address type, address"),
            SdpError::Media { line } => (line, "m= needs media, port, protocol, formats"),
            SdpError::Port { line } => (line, "port is not 0 to 65535"),
            SdpError::PayloadType { line } => (line, "payload type is not 0 to 127"),
        };
        write!(f, "SDP line {line}: {what}")
    }
}

impl std::error::Error for SdpError {}
