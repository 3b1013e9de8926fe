//! Messages out of a stream (RFC 3261 §18.3): Content-Length delimits them, nothing else is read.
//!
//! What is inside a message is the parser's concern. The framer only has to be certain where one
//! ends: whatever makes that doubtful is a [`FramingError`], after which the stream has no meaning
//! and the connection is closed.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use crate::config::Limits;

/// What a stream carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One message, headers and body.
    Message(Bytes),
    /// A double CRLF between messages, to be answered with a CRLF (RFC 5626 §3.5.1).
    Ping,
}

/// The peer's bytes cannot be framed. The connection is closed without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FramingError {
    /// The header section alone is longer than a message may be.
    HeadersTooLong {
        /// `sip_message_bytes_max`.
        bytes_max: usize,
    },
    /// Headers and announced body together are longer than a message may be.
    MessageTooLong {
        /// What was announced; saturated.
        bytes: usize,
        /// `sip_message_bytes_max`.
        bytes_max: usize,
    },
    /// No Content-Length; on a stream it is mandatory (RFC 3261 §18.3).
    ContentLengthMissing,
    /// A Content-Length that is not a number.
    ContentLengthMalformed,
    /// Two Content-Length values that differ.
    ContentLengthContradictory,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeadersTooLong { bytes_max } => {
                write!(f, "header section of more than {bytes_max} bytes")
            }
            Self::MessageTooLong { bytes, bytes_max } => {
                write!(f, "message of {bytes} bytes, at most {bytes_max} are taken")
            }
            Self::ContentLengthMissing => f.write_str("no Content-Length on a stream"),
            Self::ContentLengthMalformed => f.write_str("Content-Length is not a number"),
            Self::ContentLengthContradictory => f.write_str("two different Content-Lengths"),
        }
    }
}

impl std::error::Error for FramingError {}

/// Cuts one stream into frames.
///
/// [`push`](Self::push) what was read, then call [`next`](Self::next) until it returns `None`; the
/// buffer then holds less than one message.
#[derive(Debug)]
pub struct Framer {
    bytes_max: usize,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between messages; `crlf` is whether one CRLF of a possible ping was seen.
    Between { crlf: bool },
    /// In a header section whose first `searched` bytes do not hold its end.
    Headers { searched: usize },
    /// The message is known to be this long.
    Body { message_bytes: usize },
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.sip_message_bytes_max,
            buffer: BytesMut::new(),
            state: State::Between { crlf: false },
        }
    }

    /// Appends what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` when more bytes are needed. After an error the framer is of no use.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would end at None; a framer goes on after the next push"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        loop {
            match self.state {
                State::Between { crlf } => match self.buffer.as_ref() {
                    [] => {
                        // Given back, so that an idle connection holds no memory.
                        self.buffer = BytesMut::new();
                        return Ok(None);
                    }
                    [b'\r'] => return Ok(None),
                    [b'\r', b'\n', ..] => {
                        self.buffer.advance(2);
                        self.state = State::Between { crlf: !crlf };
                        if crlf {
                            return Ok(Some(Frame::Ping));
                        }
                    }
                    [_, ..] => self.state = State::Headers { searched: 0 },
                },
                State::Headers { searched } => match self.header_bytes(searched)? {
                    None => return Ok(None),
                    Some(header_bytes) => {
                        let message_bytes = self.message_bytes(header_bytes)?;
                        self.state = State::Body { message_bytes };
                    }
                },
                State::Body { message_bytes } => {
                    let Some(message) = self.buffer.get(..message_bytes) else {
                        return Ok(None);
                    };
                    // A copy, so that a message that is kept does not keep its neighbours.
                    let message = Bytes::copy_from_slice(message);
                    self.buffer.advance(message_bytes);
                    self.state = State::Between { crlf: false };
                    return Ok(Some(Frame::Message(message)));
                }
            }
        }
    }

    /// Length of the header section with the empty line that ends it, once that has arrived.
    fn header_bytes(&mut self, searched: usize) -> Result<Option<usize>, FramingError> {
        let unsearched = self.buffer.get(searched..).unwrap_or_default();
        let end = memmem::find(unsearched, b"\r\n\r\n").map(|at| searched + at + 4);
        if end.unwrap_or(self.buffer.len()) > self.bytes_max {
            return Err(FramingError::HeadersTooLong {
                bytes_max: self.bytes_max,
            });
        }
        if end.is_none() {
            // The last three bytes may be the first three of the end.
            let searched = self.buffer.len().saturating_sub(3);
            self.state = State::Headers { searched };
        }
        Ok(end)
    }

    fn message_bytes(&self, header_bytes: usize) -> Result<usize, FramingError> {
        let headers = self.buffer.get(..header_bytes).unwrap_or_default();
        let bytes = header_bytes.saturating_add(content_length(headers)?);
        if bytes > self.bytes_max {
            return Err(FramingError::MessageTooLong {
                bytes,
                bytes_max: self.bytes_max,
            });
        }
        Ok(bytes)
    }
}

/// The Content-Length of a header section (RFC 3261 §20.14, §7.3.1 for folding and case).
fn content_length(headers: &[u8]) -> Result<usize, FramingError> {
    let mut found = None;
    let mut rest = after_line(headers);
    while !rest.is_empty() {
        let (header, following) = split_header(rest);
        rest = following;
        let Some(value) = content_length_value(header) else {
            continue;
        };
        let length = parse_length(value).ok_or(FramingError::ContentLengthMalformed)?;
        if found.is_some_and(|earlier| earlier != length) {
            return Err(FramingError::ContentLengthContradictory);
        }
        found = Some(length);
    }
    found.ok_or(FramingError::ContentLengthMissing)
}

/// What follows the first CRLF.
fn after_line(text: &[u8]) -> &[u8] {
    memmem::find(text, b"\r\n")
        .and_then(|end| text.get(end + 2..))
        .unwrap_or_default()
}

/// The first header with its continuation lines, and what follows it.
fn split_header(text: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = after_line(text);
    while let [b' ' | b'\t', ..] = rest {
        rest = after_line(rest);
    }
    (
        text.get(..text.len() - rest.len()).unwrap_or_default(),
        rest,
    )
}

/// The value of a header if its name is `Content-Length` or `l`.
fn content_length_value(header: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', header)?;
    let (name, value) = header.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    let is_content_length =
        name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l");
    is_content_length.then(|| value.get(1..).unwrap_or_default().trim_ascii())
}

/// `1*DIGIT`; a number too large for the machine saturates, as it is over every limit anyway.
fn parse_length(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |length, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(length.saturating_mul(10).saturating_add(digit as usize))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(bytes_max: usize) -> Limits {
        Limits {
            sip_message_bytes_max: bytes_max,
            ..Limits::default()
        }
    }

    fn framer() -> Framer {
        Framer::new(&Limits::default())
    }

    fn drain(framer: &mut Framer) -> Result<Vec<Frame>, FramingError> {
        let mut frames = Vec::new();
        while let Some(frame) = framer.next()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn frames(stream: &[u8]) -> Result<Vec<Frame>, FramingError> {
        let mut framer = framer();
        framer.push(stream);
        drain(&mut framer)
    }

    fn message(bytes: &'static [u8]) -> Frame {
        Frame::Message(Bytes::from_static(bytes))
    }

    const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody";
    const BYE: &[u8] = b"BYE sip:a SIP/2.0\r\nl:0\r\n\r\n";

    #[test]
    fn byte_by_byte_a_message_appears_with_its_last_byte() {
        let mut framer = framer();
        for (at, byte) in OPTIONS.iter().enumerate() {
            assert_eq!(framer.next(), Ok(None), "before byte {at}");
            framer.push(&[*byte]);
        }
        assert_eq!(framer.next(), Ok(Some(message(OPTIONS))));
        assert_eq!(framer.next(), Ok(None));
    }

    #[test]
    fn pipelined_messages_come_apart() {
        let stream = [OPTIONS, BYE, OPTIONS].concat();
        assert_eq!(
            frames(&stream),
            Ok(vec![message(OPTIONS), message(BYE), message(OPTIONS)])
        );
    }

    #[test]
    fn a_double_crlf_is_a_ping_and_a_single_one_is_nothing() {
        assert_eq!(frames(b"\r\n\r\n"), Ok(vec![Frame::Ping]));
        assert_eq!(frames(b"\r\n"), Ok(vec![]));
        let stream = [b"\r\n".as_slice(), BYE, b"\r\n", BYE, b"\r\n\r\n"].concat();
        assert_eq!(
            frames(&stream),
            Ok(vec![message(BYE), message(BYE), Frame::Ping])
        );
    }

    #[test]
    fn weird_headers_are_read_as_the_grammar_has_them() {
        for header in [
            "CONTENT-LENGTH : 3",
            "content-length:\t003  ",
            "Content-Length:\r\n 3",
            "Content-Length: 3\r\n \t",
            "L\t:3",
            "Subject: no\r\n Content-Length: 9\r\nl: 3",
            "Content-Length: 3\r\nl: 3",
            "Subject: l: 7\r\nl: 3",
        ] {
            let text = format!("BYE sip:a;l:5 SIP/2.0\r\n{header}\r\nTo: b\r\n\r\nabc");
            let expected = Frame::Message(Bytes::from(text.clone()));
            assert_eq!(frames(text.as_bytes()), Ok(vec![expected]), "{header}");
        }
    }

    #[test]
    fn a_message_whose_end_is_doubtful_is_refused() {
        for (headers, error) in [
            ("To: b", FramingError::ContentLengthMissing),
            ("Content-Length:", FramingError::ContentLengthMalformed),
            ("Content-Length: -1", FramingError::ContentLengthMalformed),
            ("Content-Length: +1", FramingError::ContentLengthMalformed),
            ("Content-Length: 1 2", FramingError::ContentLengthMalformed),
            ("Content-Length: 1, 1", FramingError::ContentLengthMalformed),
            ("Content-Length: 0x1", FramingError::ContentLengthMalformed),
            ("l: 1\r\nl: 2", FramingError::ContentLengthContradictory),
        ] {
            let text = format!("BYE sip:a SIP/2.0\r\n{headers}\r\n\r\n");
            assert_eq!(frames(text.as_bytes()), Err(error), "{headers}");
        }
    }

    #[test]
    fn messages_over_the_limit_are_refused_as_soon_as_it_shows() {
        let text = b"BYE sip:a SIP/2.0\r\nl: 60\r\n\r\n";
        let mut exact = Framer::new(&limits(text.len() + 60));
        exact.push(text);
        exact.push(&[b'x'; 60]);
        assert_eq!(drain(&mut exact).map(|frames| frames.len()), Ok(1));

        let mut over = Framer::new(&limits(text.len() + 59));
        over.push(text);
        assert_eq!(
            over.next(),
            Err(FramingError::MessageTooLong {
                bytes: text.len() + 60,
                bytes_max: text.len() + 59
            })
        );

        let mut endless = Framer::new(&limits(100));
        endless.push(&[b'x'; 100]);
        assert_eq!(endless.next(), Ok(None));
        endless.push(b"x");
        assert_eq!(
            endless.next(),
            Err(FramingError::HeadersTooLong { bytes_max: 100 })
        );

        let huge = b"BYE sip:a SIP/2.0\r\nl: 99999999999999999999999999\r\n\r\n";
        assert!(matches!(
            frames(huge),
            Err(FramingError::MessageTooLong { .. })
        ));
    }

    #[test]
    fn an_idle_framer_holds_no_memory() {
        let mut framer = framer();
        framer.push(format!("BYE sip:a SIP/2.0\r\nl: 9000\r\n\r\n{:9000}", "").as_bytes());
        assert_eq!(drain(&mut framer).map(|frames| frames.len()), Ok(1));
        framer.push(b"BYE");
        assert!(framer.buffer.capacity() < 9_000, "a new, small buffer");
    }

    proptest! {
        #[test]
        fn the_cut_of_the_reads_does_not_matter(
            parts in prop::collection::vec(0..4usize, 1..12),
            cuts in prop::collection::vec(1..40usize, 1..40),
        ) {
            let parts = parts.iter().map(|part| match part {
                0 => OPTIONS,
                1 => BYE,
                2 => b"\r\n\r\n",
                _ => b"INVITE sip:b SIP/2.0\r\nSubject: x\r\n y\r\nContent-length :\r\n 7\r\n\r\n\r\n\r\n..\n",
            });
            let stream = parts.collect::<Vec<_>>().concat();
            let whole = frames(&stream);
            prop_assert!(whole.is_ok());

            let mut framer = framer();
            let mut pieces = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (piece, following) = rest.split_at((*cut).min(rest.len()));
                framer.push(piece);
                pieces.extend(drain(&mut framer)?);
                rest = following;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(Ok(pieces), whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut framer = Framer::new(&limits(100));
            framer.push(&bytes);
            let _ = drain(&mut framer);
        }
    }
}
