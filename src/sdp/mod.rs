//! Session descriptions (RFC 8866) and what a gateway does with them in offer/answer (RFC 3264).
//!
//! [`SessionDescription`] is what a peer says of its media. [`LocalDescription`] is what one leg of ours
//! says: never a peer's text with addresses replaced, but our own description, into which only what
//! describes the codecs is taken over. What is not known to be harmless is left out, so nothing of one
//! side's topology, and no key, reaches the other.
//!
//! The audio is anchored: the first `m=audio` that is in use and plain RTP. Every other medium keeps
//! its place and is declined with port 0. Of the anchored audio's formats those cross that [`Codecs`] lets through.

mod codecs;
mod direction;
mod error;
mod fields;
mod local;
mod session;
#[cfg(test)]
mod tests;

pub use codecs::Codecs;
pub use direction::Direction;
pub use error::SdpError;
pub use local::LocalDescription;
pub use session::{Audio, MEDIA_MAX, SDP_BYTES_MAX, SDP_LINES_MAX, SessionDescription};
