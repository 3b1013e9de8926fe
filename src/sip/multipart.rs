//! Bodies of several parts (RFC 2046 §5.1, RFC 5621): which parts there are, each to be passed on byte for byte.

use super::header::Params;
use super::parse_token as lexical;

/// Parts of one body that are looked at; one with more is refused.
const PARTS_MAX: usize = 16;
/// Characters of a boundary (RFC 2046 §5.1.1).
const BOUNDARY_MAX: usize = 70;

/// The body is not what its Content-Type says. 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// A part of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// The part as it was sent: its header fields, an empty line, and what it holds.
    pub whole: &'a [u8],
    /// Header fields.
    head: &'a str,
    /// What it holds.
    pub content: &'a [u8],
}

impl<'a> Part<'a> {
    fn read(whole: &'a [u8]) -> Option<Self> {
        // A part without header fields begins with the empty line.
        let (head, content) = match whole.strip_prefix(b"\r\n") {
            Some(content) => (&b""[..], content),
            None => {
                let end = memchr::memmem::find(whole, b"\r\n\r\n")?;
                (whole.get(..end)?, whole.get(end + 4..)?)
            }
        };
        Some(Self {
            whole,
            head: std::str::from_utf8(head).ok()?,
            content,
        })
    }

    /// The value of a header field of the part.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let fields = self
            .head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    /// Whether it is of this media type. What says nothing is text (RFC 2046 §5.1).
    pub fn is(&self, media_type: &str) -> bool {
        is_of(
            self.header("Content-Type").unwrap_or("text/plain"),
            media_type,
        )
    }

    /// Whether it says itself that whoever does not understand it has to refuse the request (RFC 5621 §8). Without a
    /// word of it RFC 3261 §20.11 has it so for every part, but agents do not mean that by the parts that they add.
    pub fn is_required(&self) -> bool {
        let disposition = self.header("Content-Disposition");
        let params = disposition.and_then(params_of);
        let handling = params.and_then(|params| params.value("handling"));
        handling.is_some_and(|handling| handling.eq_ignore_ascii_case("required"))
    }
}

/// Whether a Content-Type is of this media type, whatever its parameters.
pub fn is_of(content_type: &str, media_type: &str) -> bool {
    let named = content_type.split(';').next().unwrap_or_default();
    named.trim().eq_ignore_ascii_case(media_type)
}

/// Whether a Content-Type is one of several parts.
pub fn is_multipart(content_type: &str) -> bool {
    let kind = content_type.trim_start().get(..10);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"))
}

/// The parts of a body with this Content-Type.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, Malformed> {
    let boundary = params_of(content_type).and_then(|params| params.value("boundary"));
    let boundary = boundary
        .map(|text| text.trim_matches('"'))
        .ok_or(Malformed)?;
    if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        return Err(Malformed);
    }
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut begin = None;
    let mut at = 0;
    // Every delimiter stands at the begin of a line.
    while let Some(found) =
        memchr::memmem::find(body.get(at..).unwrap_or_default(), delimiter.as_bytes())
    {
        let start = at + found;
        at = start + delimiter.len();
        let rest = body.get(at..).unwrap_or_default();
        let is_at_line = start == 0 || body.get(start - 1) == Some(&b'\n');
        let is_last = rest.starts_with(b"--");
        if !is_at_line || !(is_last || is_line_end(rest)) {
            continue;
        }
        if let Some(begin) = begin {
            // The line end before a delimiter is the delimiter's.
            let part = body.get(begin..start.saturating_sub(2)).ok_or(Malformed)?;
            parts.push(Part::read(part).ok_or(Malformed)?);
        }
        if is_last {
            return Ok(parts);
        }
        if parts.len() == PARTS_MAX {
            return Err(Malformed);
        }
        let line = memchr::memchr(b'\n', rest).ok_or(Malformed)?;
        begin = Some(at + line + 1);
    }
    Err(Malformed)
}

/// Only white space up to the end of the line (RFC 2046 §5.1.1, transport padding).
fn is_line_end(rest: &[u8]) -> bool {
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    let after = rest.get(padding.count()..).unwrap_or_default();
    after.starts_with(b"\r\n")
}

/// The parameters of a Content-Type or a Content-Disposition.
pub fn params_of(value: &str) -> Option<Params<'_>> {
    let at = value.find(';')?;
    Params::read_all(lexical::trim(value.get(at..)?))
}

/// A body of parts, each with its header fields; `boundary` must not occur in any of them.
pub fn mixed<'a>(boundary: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(b"--");
        body.extend_from_slice(boundary.as_bytes());
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--");
    body.extend_from_slice(boundary.as_bytes());
    body.extend_from_slice(b"--\r\n");
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = "ignored\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b1x\r\n\r\n--b1 \r\n\
                        content-type: Application/PIDF+xml;charset=\"utf-8\"\r\nContent-ID: <a@b>\r\n\
                        Content-Disposition: render;handling=required\r\n\r\n<presence/>\r\n--b1\r\n\r\nplain\r\n--b1--\r\nignored";

    #[test]
    fn parts_are_found_with_what_they_are_and_hold() {
        for content_type in [
            "multipart/mixed;boundary=b1",
            "Multipart/Mixed; charset=x; BOUNDARY=\"b1\"",
        ] {
            assert!(is_multipart(content_type));
            let parts = parts(content_type, BODY.as_bytes()).unwrap();
            assert_eq!(parts.len(), 3);
            assert!(parts[0].is("application/sdp") && !parts[0].is_required());
            assert_eq!(parts[0].content, b"v=0\r\n--b1x\r\n");
            assert!(parts[1].is("application/pidf+xml") && parts[1].is_required());
            assert_eq!(parts[1].header("Content-Id"), Some("<a@b>"));
            assert_eq!(parts[1].content, b"<presence/>");
            assert!(parts[2].is("text/plain"));
            assert_eq!(parts[2].content, b"plain");
        }
    }

    #[test]
    fn bodies_that_are_not_what_they_say_are_malformed() {
        let type_of = "multipart/mixed;boundary=b1";
        let many = format!("{}--b1--", "--b1\r\n\r\n\r\n".repeat(PARTS_MAX + 1));
        for body in [
            "",
            "no delimiter",
            "--b1\r\nContent-Type: x/y\r\n\r\nnever ends\r\n",
            "--b1\r\nno empty line\r\n--b1--",
            "--b1\r\n--b1--",
            &many,
        ] {
            assert_eq!(parts(type_of, body.as_bytes()), Err(Malformed), "{body}");
        }
        for type_of in [
            "multipart/mixed",
            "multipart/mixed;boundary=",
            "multipart/mixed;boundary=\"\"",
        ] {
            assert_eq!(parts(type_of, BODY.as_bytes()), Err(Malformed), "{type_of}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(contents in prop::collection::vec("[a-z\r\n -]{0,40}", 1..5)) {
            let wholes: Vec<String> = contents
                .iter()
                .map(|content| format!("Content-Type: x/y\r\n\r\n{content}"))
                .collect();
            let body = mixed("Qboundary7", wholes.iter().map(String::as_bytes));
            let read = parts("multipart/mixed;boundary=Qboundary7", &body).unwrap();
            let read: Vec<&[u8]> = read.iter().map(|part| part.content).collect();
            let written: Vec<&[u8]> = contents.iter().map(String::as_bytes).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), boundary in "[-b1\r\n;\"]{0,4}") {
            let read = parts(&format!("multipart/mixed;boundary={boundary}"), &body);
            prop_assert!(read.is_err() || read.is_ok_and(|parts| parts.len() <= PARTS_MAX));
        }
    }
}
