//! SIP on the wire (RFC 3261): messages, their header fields, URIs and digest credentials.
//!
//! Reading keeps the received bytes: a [`Message`] is a list of spans into them, and a header field is
//! given a type only when somebody asks for it. What [`Message::parse`] checks at once is what an answer
//! or a lookup needs (start line, framing, Via, From, To, Call-ID, CSeq), so that a bad message is
//! refused before any state is made for it. [`Writer`] is the way back.
//!
//! Nothing here does I/O, reads a clock or panics on what a peer sent.

pub(crate) mod derived;
pub mod dialog;
pub mod digest;
pub mod framing;
pub mod header;
pub mod locate;
pub mod message;
pub mod method;
pub mod multipart;
pub mod response;
pub mod reuse;
pub mod telephone;
pub mod transaction;
pub mod uri;
pub mod writer;

mod parse;
mod parse_error;
mod parse_token;

/// The elements of a comma-separated list (RFC 3261 §7.3.1), quoted texts and URIs in brackets whole.
pub fn elements(list: &str) -> impl Iterator<Item = &str> {
    parse_token::Elements::new(list)
}

pub use header::{CSeq, HeaderName, NameAddr, Params, Via};
pub use message::{Fields, Message, Rejected, Request, Response, Unparsed};
pub use method::Method;
pub use parse_error::ParseError;
pub use uri::{Scheme, Uri, unescape};
pub use writer::{Writer, reason_phrase};
