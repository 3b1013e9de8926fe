//! Session descriptions (RFC 8866) and what a gateway does with them in offer/answer (RFC 3264).
//!
//! [`SessionDescription`] is what a peer says of its media. [`LocalDescription`] is what one leg of ours
//! says: never a peer's text with addresses replaced, but our own description, into which only what
//! describes the codecs is taken over. What is not known to be harmless is left out, so nothing of one
//! side's topology, and no key, reaches the other. Each leg has its own keys ([`CryptoLine`]) and its own
//! numbers for encodings ([`payload_map`]).
//!
//! One stream is anchored ([`SessionDescription::choose`]): audio over RTP or SRTP, else fax by T.38. Every
//! other medium keeps its place and is declined with port 0. Of the anchored audio's formats those cross that
//! [`Codecs`] lets through.

mod choice;
mod codecs;
mod crypto;
mod direction;
mod error;
mod fields;
mod format;
mod local;
mod payload;
mod reader;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub use choice::{NoStream, Security};
pub use codecs::Codecs;
pub use crypto::{CRYPTO_LINES_MAX, CryptoFault, CryptoLine};
pub use direction::Direction;
pub use error::SdpError;
pub use format::Format;
pub use local::{Crypto, LocalDescription, Ours};
pub use payload::{PAYLOAD_PAIRS_MAX, PayloadMap, payload_map};
pub use session::{MEDIA_MAX, SDP_BYTES_MAX, SDP_LINES_MAX, SessionDescription};
pub use stream::{RemoteStream, Transport};
