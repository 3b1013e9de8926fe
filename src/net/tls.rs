//! TLS 1.2 and 1.3 over SIP's streams (RFC 3261 §26.2.1, RFC 5922): what it is spoken with, and one
//! connection's session.
//!
//! A session does no I/O: bytes of the stream go in, plaintext comes out, and the other way round.
//! It holds no buffer while nothing is under way, so that an idle connection is cheap. [`Material`] is
//! what sessions begin with: it is read from files, replaced as a whole, and looked at once for each
//! connection, so that new ones use new certificates and those that are up keep theirs.
//!
//! Deliberately absent: common names (a certificate names its owner in subjectAltName or not at all,
//! RFC 5922 §7.1), revocation lists, early data.

mod material;
mod remedy;
mod session;
mod verification;

pub use material::{Material, MaterialError, file_fault, material_files};
pub(super) use remedy::remedy;
pub(super) use session::{Failure, Session, server_name};
pub(super) use verification::holds_name;
