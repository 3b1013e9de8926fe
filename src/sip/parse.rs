//! From bytes to [`Message`].
//!
//! One pass over the head finds the header fields; what an answer and a lookup need is then checked, and
//! everything else is left for whoever asks. The first fault found is the one that is told.

use bytes::{Buf, Bytes};
use bytestring::ByteString;
use memchr::memchr_iter;

use super::header::{self, HeaderName};
use super::message::{Field, Fields, Message, Rejected, Request, Response, Span, Unparsed};
use super::method::Method;
use super::parse_error::ParseError;
use super::parse_token::{self as lexical, TOKEN, looks_like_uri, number, split_at_sign, token};
use crate::config::Limits;

/// What a response copies from its request (RFC 3261 §8.2.6.2), and so every message has.
const MANDATORY: [HeaderName; 5] = [
    HeaderName::Via,
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
];

/// Header fields that two readers of one message must not be able to read two ways.
const SINGLE: [HeaderName; 7] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::ContentLength,
    HeaderName::ContentType,
];

impl Message {
    /// Reads one whole message: a datagram, or what framing cut from a stream. Line ends before the start
    /// line are skipped (RFC 3261 §7.5), bytes after Content-Length ignored (§18.3).
    ///
    /// Of a message that is given back, these are sure: the start line; every line of the head is a
    /// header field, in UTF-8; Via, From, To, Call-ID and CSeq are there, the topmost Via and the others
    /// well formed; CSeq names the start line's method; no header field that may stand only once stands
    /// twice; Content-Length and Max-Forwards are right where they stand.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Message, Rejected> {
        let received = without_leading_line_ends(bytes);
        if received.is_empty() {
            return Err(Rejected {
                error: ParseError::Empty,
                request: None,
            });
        }
        // Spans are 32 bits wide.
        if u32::try_from(received.len()).is_err() {
            return Err(Rejected {
                error: ParseError::TooLarge,
                request: None,
            });
        }
        let size = received.len();
        let (fields, found) = read_head(received, limits);
        match check(fields, &found, size, limits) {
            Ok(message) => Ok(message),
            Err((error, fields)) => Err(Rejected {
                error,
                request: is_answerable(&fields, &found).then_some(Unparsed { fields }),
            }),
        }
    }
}

/// What one pass over a head found beside the header fields themselves.
struct Found {
    index: Vec<Field>,
    start_line: Span,
    /// Bytes of the head, blank line included.
    length: usize,
    /// A set of [`HeaderName`]s.
    seen: u128,
    folded: bool,
    fault: Option<ParseError>,
}

/// The head's header fields, whatever is wrong with it, and all that follows it.
fn read_head(mut head: Bytes, limits: &Limits) -> (Fields, Found) {
    let fields_max = limits.sip_headers_max;
    let mut found = find_fields(&head, fields_max);
    if found.folded {
        let unfolded = unfold(&head);
        found = find_fields(&unfolded, fields_max);
        head = Bytes::from(unfolded);
    }
    let body = head.split_off(found.length);
    // A clone counts a reference; the bytes would be lost with the error.
    let head = ByteString::try_from(head.clone()).unwrap_or_else(|_| {
        // Enough to answer with; what is told is that it is not UTF-8.
        let lossy = String::from_utf8_lossy(&head).into_owned();
        found = find_fields(lossy.as_bytes(), fields_max);
        found.fault = Some(ParseError::NotUtf8);
        ByteString::from(lossy)
    });
    let index = std::mem::take(&mut found.index);
    (
        Fields {
            head,
            body,
            index,
            checked: false,
        },
        found,
    )
}

/// Finds the start line and the header fields; stops early, with `folded`, at the first folded line.
fn find_fields(bytes: &[u8], fields_max: usize) -> Found {
    let mut found = Found {
        index: Vec::with_capacity(fields_max.min(24)),
        start_line: Span::default(),
        length: bytes.len(),
        seen: 0,
        folded: false,
        fault: Some(ParseError::HeadUnfinished),
    };
    let mut fault = None;
    let mut repeated = None;
    let (mut start, mut returns) = (0, 0);
    for line_feed in memchr_iter(b'\n', bytes) {
        let mut end = line_feed;
        if end > start && bytes.get(end - 1) == Some(&b'\r') {
            end -= 1;
            returns += 1;
        }
        if start == 0 {
            found.start_line = span(0, end);
        } else if start == end {
            found.length = line_feed + 1;
            found.fault = None;
            break;
        }
        if matches!(bytes.get(line_feed + 1), Some(b' ' | b'\t')) {
            found.folded = true;
            return found;
        }
        if start > 0 {
            match find_field(bytes, start, end) {
                _ if found.index.len() >= fields_max => {
                    fault = fault.or(Some(ParseError::TooManyFields));
                }
                None => fault = fault.or(Some(ParseError::FieldSyntax)),
                Some(field) => {
                    let bit = bit(field.name);
                    if found.seen & bit != 0 && SINGLE.contains(&field.name) {
                        repeated = repeated.or(Some(ParseError::Repeated(field.name)));
                    }
                    found.seen |= bit;
                    found.index.push(field);
                }
            }
        }
        start = line_feed + 1;
    }
    let head = bytes.get(..found.length).unwrap_or_default();
    if memchr_iter(b'\r', head).count() != returns {
        fault = fault.or(Some(ParseError::BareCarriageReturn));
    }
    found.fault = found.fault.or(fault).or(repeated);
    found
}

/// `name HCOLON value` between two places.
#[inline]
fn find_field(bytes: &[u8], start: usize, end: usize) -> Option<Field> {
    let line = bytes.get(start..end)?;
    let name_length = line.iter().position(|byte| !lexical::is(TOKEN, *byte))?;
    let (name, rest) = line.split_at_checked(name_length)?;
    let blanks = rest.iter().position(|byte| !is_blank(*byte))?;
    if name.is_empty() || rest.get(blanks) != Some(&b':') {
        return None;
    }
    let value_start = name_length + blanks + 1;
    let value = line.get(value_start..)?;
    let after_value = value
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(0, |at| at + 1);
    let before_value = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(0);
    Some(Field {
        name: HeaderName::from_bytes(name),
        name_written: span(start, start + name_length),
        value: span(
            start + value_start + before_value,
            start + value_start + after_value,
        ),
    })
}

/// The head with the line end before every continuation line replaced by spaces (RFC 3261 §7.3.1), so
/// that no byte changes its place.
fn unfold(bytes: &[u8]) -> Vec<u8> {
    let mut unfolded = bytes.to_vec();
    let mut start = 0;
    for line_feed in memchr_iter(b'\n', bytes) {
        let with_return = line_feed > start && bytes.get(line_feed - 1) == Some(&b'\r');
        let end = if with_return {
            line_feed - 1
        } else {
            line_feed
        };
        if end == start {
            break;
        }
        if matches!(bytes.get(line_feed + 1), Some(b' ' | b'\t'))
            && let Some(line_end) = unfolded.get_mut(end..=line_feed)
        {
            line_end.fill(b' ');
        }
        start = line_feed + 1;
    }
    unfolded
}

/// Everything that is checked at once, in the order in which faults are told.
fn check(
    mut fields: Fields,
    found: &Found,
    size: usize,
    limits: &Limits,
) -> Result<Message, (ParseError, Fields)> {
    let checked = check_head(&fields, found, size, limits)
        .and_then(|start| Ok((start, body_length(&fields)?)));
    match checked {
        Err(error) => Err((error, fields)),
        Ok((start, body_length)) => {
            fields.body.truncate(body_length);
            fields.checked = true;
            Ok(match start {
                StartLine::Request { method, uri } => Message::Request(Request {
                    method,
                    fields,
                    uri,
                }),
                StartLine::Response { status, reason } => Message::Response(Response {
                    status,
                    fields,
                    reason,
                }),
            })
        }
    }
}

fn check_head(
    fields: &Fields,
    found: &Found,
    size: usize,
    limits: &Limits,
) -> Result<StartLine, ParseError> {
    if size > limits.sip_message_bytes_max {
        return Err(ParseError::TooLarge);
    }
    let line = fields.text(found.start_line);
    let start = StartLine::parse(line)?;
    if let Some(fault) = found.fault {
        return Err(fault);
    }
    for name in MANDATORY {
        if found.seen & bit(name) == 0 {
            return Err(ParseError::Missing(name));
        }
    }
    fields.via()?;
    fields.from()?;
    fields.to()?;
    if !header::is_call_id(fields.call_id()) {
        return Err(ParseError::Malformed(HeaderName::CallId));
    }
    let cseq = fields.cseq()?;
    if let StartLine::Request { uri, .. } = start {
        let method = line.get(..uri.start as usize).unwrap_or_default();
        if method.strip_suffix(' ') != Some(cseq.token) {
            return Err(ParseError::CSeqMethod);
        }
        fields.max_forwards()?;
    }
    Ok(start)
}

/// How much of what follows the head is the body: by Content-Length; without one, all of it
/// (RFC 3261 §18.3).
fn body_length(fields: &Fields) -> Result<usize, ParseError> {
    let Some(value) = fields.header(HeaderName::ContentLength) else {
        return Ok(fields.body.len());
    };
    let malformed = ParseError::Malformed(HeaderName::ContentLength);
    match usize::try_from(number(value).ok_or(malformed)?) {
        Ok(length) if length <= fields.body.len() => Ok(length),
        Ok(_) | Err(_) => Err(ParseError::BodyUnfinished),
    }
}

enum StartLine {
    Request { method: Method, uri: Span },
    Response { status: u16, reason: Span },
}

impl StartLine {
    fn parse(line: &str) -> Result<Self, ParseError> {
        if is_status_line(line) {
            Self::parse_status(line)
        } else {
            Self::parse_request(line)
        }
    }

    /// RFC 3261 §7.1: exactly one space between the three parts.
    fn parse_request(line: &str) -> Result<Self, ParseError> {
        let (rest, method) = token(line).map_err(|_| ParseError::StartLine)?;
        let rest = lexical::after_sign(rest, b' ').ok_or(ParseError::StartLine)?;
        let (uri, version) = split_at_sign(rest, b' ').ok_or(ParseError::StartLine)?;
        check_version(version)?;
        if !looks_like_uri(uri) {
            return Err(ParseError::RequestUri);
        }
        let uri_start = method.len() + 1;
        Ok(Self::Request {
            method: Method::from_token(method),
            uri: span(uri_start, uri_start + uri.len()),
        })
    }

    /// RFC 3261 §7.2; the space before an empty reason phrase may be missing.
    fn parse_status(line: &str) -> Result<Self, ParseError> {
        let (version, rest) = split_at_sign(line, b' ').ok_or(ParseError::StartLine)?;
        check_version(version)?;
        let (code, reason) = split_at_sign(rest, b' ').unwrap_or((rest, ""));
        let status = match number(code).and_then(|status| u16::try_from(status).ok()) {
            Some(status @ 100..=699) if code.len() == 3 => status,
            Some(_) | None => return Err(ParseError::StatusCode),
        };
        Ok(Self::Response {
            status,
            reason: span(line.len() - reason.len(), line.len()),
        })
    }
}

/// `/` is in no method, so nothing else begins so.
fn is_status_line(line: &str) -> bool {
    line.get(..4)
        .is_some_and(|begin| begin.eq_ignore_ascii_case("SIP/"))
}

fn check_version(version: &str) -> Result<(), ParseError> {
    if version.eq_ignore_ascii_case("SIP/2.0") {
        return Ok(());
    }
    let is_version = is_status_line(version)
        && version
            .get(4..)
            .and_then(|numbers| numbers.split_once('.'))
            .is_some_and(|(major, minor)| number(major).is_some() && number(minor).is_some());
    Err(if is_version {
        ParseError::Version
    } else {
        ParseError::StartLine
    })
}

/// Whether a response to what was refused may and can be sent.
fn is_answerable(fields: &Fields, found: &Found) -> bool {
    let line = fields.text(found.start_line);
    let is_request = match token(line) {
        Ok((rest, method)) => {
            method != "ACK" && !is_status_line(line) && rest.starts_with([' ', '\t'])
        }
        Err(_) => false,
    };
    is_request && MANDATORY.iter().all(|name| found.seen & bit(*name) != 0)
}

fn without_leading_line_ends(mut bytes: Bytes) -> Bytes {
    let line_ends = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    bytes.advance(line_ends);
    bytes
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn bit(name: HeaderName) -> u128 {
    1 << (name as u8)
}

const _: () = assert!(
    (HeaderName::Other as u8) < 128,
    "a set of names is 128 bits wide"
);

/// Both fit: [`Message::parse`] takes nothing longer than 32 bits count.
fn span(start: usize, end: usize) -> Span {
    Span {
        start: start as u32,
        end: end as u32,
    }
}
