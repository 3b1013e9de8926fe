//! Messages: spans into the received bytes, typed on demand.
//!
//! [`Message::parse`] (in `parse`) makes them; what it guarantees stands there.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

use super::header::{self, CSeq, NameAddr, Via};
use super::parse_token::Elements;

pub use super::header::HeaderName;
pub use super::method::Method;
pub use super::parse_error::ParseError;

/// A SIP message.
#[derive(Clone, Debug)]
pub enum Message {
    /// RFC 3261 §7.1
    Request(Request),
    /// RFC 3261 §7.2
    Response(Response),
}

impl Message {
    /// Header fields and body.
    pub fn fields(&self) -> &Fields {
        match self {
            Self::Request(request) => &request.fields,
            Self::Response(response) => &response.fields,
        }
    }
}

/// A request; its header fields and body are those of [`Fields`].
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Header fields and body.
    pub fields: Fields,
    /// Where the Request-URI stands in the head; the method stands before it, one space between.
    pub(super) uri: Span,
}

impl Request {
    /// The Request-URI as written.
    pub fn uri(&self) -> &str {
        self.fields.text(self.uri)
    }

    /// The method as written.
    pub fn method_token(&self) -> &str {
        let end = self.uri.start.saturating_sub(1);
        self.fields.text(Span { start: 0, end })
    }
}

impl Deref for Request {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

/// A response; its header fields and body are those of [`Fields`].
#[derive(Clone, Debug)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    /// Header fields and body.
    pub fields: Fields,
    /// Where the reason phrase stands in the head.
    pub(super) reason: Span,
}

impl Response {
    /// The reason phrase as written; may be empty.
    pub fn reason(&self) -> &str {
        self.fields.text(self.reason)
    }
}

impl Deref for Response {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

/// Why a message was refused, and what is left of it.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What is wrong.
    pub error: ParseError,
    /// What an answer can be written from: `Some` where the message is a request other than ACK and its
    /// Via, From, To, Call-ID and CSeq are all there. `None` means that nothing may be sent.
    pub request: Option<Unparsed>,
}

/// The header fields of a request that was refused. Of the five that a response copies each is there;
/// nothing says that they are well formed.
#[derive(Clone, Debug)]
pub struct Unparsed {
    pub(super) fields: Fields,
}

impl Deref for Unparsed {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

/// The header fields and the body of a message.
///
/// A clone shares the bytes and copies the index (20 bytes a header field).
#[derive(Clone)]
pub struct Fields {
    /// Start line and header fields, up to and with the blank line. Folded lines were made one, by
    /// spaces in the place of the line ends; everything else is as received.
    pub(super) head: ByteString,
    pub(super) body: Bytes,
    pub(super) index: Vec<Field>,
    /// Whether the topmost Via, From and To were found well formed, so that they need not be looked at
    /// byte by byte again.
    pub(super) checked: bool,
}

/// A part of the head, in bytes; it begins and ends between characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Where a header field stands in the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: HeaderName,
    pub(super) name_written: Span,
    /// Without white space at its ends.
    pub(super) value: Span,
}

impl Fields {
    /// The value of the first header field of that name.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        let field = self.index.iter().find(|field| field.name == name)?;
        Some(self.text(field.value))
    }

    /// The value of every header field of that name, in order.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.index
            .iter()
            .filter(move |field| field.name == name)
            .map(|field| self.text(field.value))
    }

    /// The elements of a comma-separated list over all header fields of that name (RFC 3261 §7.3.1).
    /// Not for values in which a comma separates nothing: Date, Subject, the credentials.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.headers(name).flat_map(Elements::new)
    }

    /// Whether a comma-separated list holds a token, in any case.
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        self.values(name)
            .any(|value| value.eq_ignore_ascii_case(token))
    }

    /// The value of every header field whose name is none of ours; compared in any case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all()
            .filter(move |(written, ..)| written.eq_ignore_ascii_case(name))
            .map(|(_, _, value)| value)
    }

    /// Every header field in order: the name as written, its meaning, the value.
    pub fn all(&self) -> impl Iterator<Item = (&str, HeaderName, &str)> {
        self.index.iter().map(|field| {
            let written = self.text(field.name_written);
            (written, field.name, self.text(field.value))
        })
    }

    /// Start line and header fields as received, but for folding; with the blank line at the end.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The body; as long as Content-Length says where there is one.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via<'_>, ParseError> {
        let missing = ParseError::Missing(HeaderName::Via);
        let topmost = self.values(HeaderName::Via).next().ok_or(missing)?;
        if self.checked {
            Via::parse_again(topmost)
        } else {
            Via::parse(topmost)
        }
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'_>, ParseError> {
        self.address(HeaderName::From)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'_>, ParseError> {
        self.address(HeaderName::To)
    }

    /// The first contact.
    pub fn contact(&self) -> Result<Option<NameAddr<'_>>, ParseError> {
        let first = self.values(HeaderName::Contact).next();
        first
            .map(|value| NameAddr::read(value, HeaderName::Contact))
            .transpose()
    }

    /// Call-ID; empty only in an [`Unparsed`].
    pub fn call_id(&self) -> &str {
        self.header(HeaderName::CallId).unwrap_or_default()
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq<'_>, ParseError> {
        CSeq::parse(self.required(HeaderName::CSeq)?)
    }

    /// Max-Forwards, which RFC 2543 did not have.
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        self.header(HeaderName::MaxForwards)
            .map(header::max_forwards)
            .transpose()
    }

    fn address(&self, name: HeaderName) -> Result<NameAddr<'_>, ParseError> {
        let value = self.required(name)?;
        if self.checked {
            NameAddr::read_again(value, name)
        } else {
            NameAddr::read(value, name)
        }
    }

    fn required(&self, name: HeaderName) -> Result<&str, ParseError> {
        self.header(name).ok_or(ParseError::Missing(name))
    }

    #[inline]
    pub(super) fn text(&self, span: Span) -> &str {
        let text: &str = &self.head;
        text.get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Fields {
    /// Sizes only: a message holds credentials, keys and phone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("fields", &self.index.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
