//! What can be wrong with a SIP message.

use std::fmt;

use super::header::HeaderName;

/// Why a message, a header field or a URI was refused. The variant's doc says what the peer is answered
/// (nothing, where the message is a response or an ACK).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// No start line: only line ends, a keep-alive of RFC 5626 §3.5.1 for instance. Not answered.
    Empty,
    /// More than `limits.sip_message_bytes_max`. 513.
    TooLarge,
    /// The start line is neither a Request-Line nor a Status-Line (RFC 3261 §7.1, §7.2). 400.
    StartLine,
    /// The Request-URI is no URI, or is written in angle brackets or with white space. 400.
    RequestUri,
    /// The Status-Line's code is not within 100..=699. Never answered.
    StatusCode,
    /// A SIP version other than 2.0. 505.
    Version,
    /// The head is not UTF-8 (RFC 3261 §7). 400.
    NotUtf8,
    /// A carriage return that ends no line. 400.
    BareCarriageReturn,
    /// The blank line after the header fields is missing. 400.
    HeadUnfinished,
    /// A line that is no `name: value` (RFC 3261 §7.3.1). 400.
    FieldSyntax,
    /// More header fields than `limits.sip_headers_max`. 400.
    TooManyFields,
    /// A header field that has to be there is not (RFC 3261 §8.1.1). 400.
    Missing(HeaderName),
    /// A header field that may stand only once stands several times (RFC 3261 §7.3.1). 400.
    Repeated(HeaderName),
    /// A header field's value breaks its grammar or range. 400.
    Malformed(HeaderName),
    /// Content-Length counts more bytes than there are (RFC 3261 §18.3). 400.
    BodyUnfinished,
    /// CSeq names another method than the start line (RFC 3261 §8.1.1.5). 400.
    CSeqMethod,
    /// A URI breaks its grammar (RFC 3261 §19.1.1, RFC 3966). 400.
    Uri,
}

impl ParseError {
    /// The status code of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TooLarge => 513,
            Self::Empty
            | Self::StartLine
            | Self::RequestUri
            | Self::StatusCode
            | Self::NotUtf8
            | Self::BareCarriageReturn
            | Self::HeadUnfinished
            | Self::FieldSyntax
            | Self::TooManyFields
            | Self::Missing(_)
            | Self::Repeated(_)
            | Self::Malformed(_)
            | Self::BodyUnfinished
            | Self::CSeqMethod
            | Self::Uri => 400,
        }
    }

    /// The reason phrase of the answer: what is wrong.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "Empty Message",
            Self::TooLarge => "Message Too Large",
            Self::StartLine => "Malformed Start Line",
            Self::RequestUri => "Malformed Request-URI",
            Self::StatusCode => "Malformed Status Code",
            Self::Version => "Version Not Supported",
            Self::NotUtf8 => "Header Fields Not UTF-8",
            Self::BareCarriageReturn => "Carriage Return Without Line Feed",
            Self::HeadUnfinished => "Missing Blank Line",
            Self::FieldSyntax => "Malformed Header Field",
            Self::TooManyFields => "Too Many Header Fields",
            Self::Missing(name) => name.missing(),
            Self::Repeated(name) => name.repeated(),
            Self::Malformed(name) => name.malformed(),
            Self::BodyUnfinished => "Content-Length Exceeds Message",
            Self::CSeqMethod => "CSeq Method Mismatch",
            Self::Uri => "Malformed URI",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ParseError {}
