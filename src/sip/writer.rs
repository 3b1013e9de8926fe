//! Writing messages.

use super::header::HeaderName;
use super::message::Fields;

/// Appends one message to a buffer: the start line first, header fields in the order of the calls, then
/// [`Writer::body`] or [`Writer::end`].
///
/// No line can be smuggled in: a CR or LF in anything but a body is written as a space.
#[must_use = "a message is whole only after `body` or `end`"]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Begins a request.
    pub fn request(out: &'a mut Vec<u8>, method: &str, uri: &str) -> Self {
        let mut writer = Self { out };
        writer.text(method);
        writer.out.push(b' ');
        writer.text(uri);
        writer.out.extend_from_slice(b" SIP/2.0\r\n");
        writer
    }

    /// Begins a response.
    pub fn response(out: &'a mut Vec<u8>, status: u16, reason: &str) -> Self {
        let mut writer = Self { out };
        writer.out.extend_from_slice(b"SIP/2.0 ");
        writer.digits(u64::from(status));
        writer.out.push(b' ');
        writer.text(reason);
        writer.out.extend_from_slice(b"\r\n");
        writer
    }

    /// A header field whose value is the pieces put together. [`HeaderName::Other`] has no name to write:
    /// [`Writer::raw_field`] is for those.
    pub fn field(&mut self, name: HeaderName, pieces: &[&str]) -> &mut Self {
        debug_assert_ne!(name, HeaderName::Other);
        self.begin(name.as_str());
        for piece in pieces {
            self.text(piece);
        }
        self.line_end()
    }

    /// A header field of any name.
    pub fn raw_field(&mut self, name: &str, value: &str) -> &mut Self {
        self.begin(name);
        self.text(value);
        self.line_end()
    }

    /// A header field with a decimal number.
    pub fn number(&mut self, name: HeaderName, value: u64) -> &mut Self {
        debug_assert_ne!(name, HeaderName::Other);
        self.begin(name.as_str());
        self.digits(value);
        self.line_end()
    }

    /// Every header field of that name from another message, values byte for byte.
    pub fn copy(&mut self, fields: &Fields, name: HeaderName) -> &mut Self {
        for value in fields.headers(name) {
            self.field(name, &[value]);
        }
        self
    }

    /// Content-Type, Content-Length and the body.
    pub fn body(mut self, content_type: &str, body: &[u8]) {
        self.field(HeaderName::ContentType, &[content_type]);
        self.number(HeaderName::ContentLength, body.len() as u64);
        self.line_end();
        self.out.extend_from_slice(body);
    }

    /// Content-Length 0 and the end of the head.
    pub fn end(mut self) {
        self.number(HeaderName::ContentLength, 0);
        self.line_end();
    }

    fn begin(&mut self, name: &str) {
        self.text(name);
        self.out.extend_from_slice(b": ");
    }

    fn line_end(&mut self) -> &mut Self {
        self.out.extend_from_slice(b"\r\n");
        self
    }

    fn text(&mut self, text: &str) {
        let start = self.out.len();
        self.out.extend_from_slice(text.as_bytes());
        if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_some() {
            for byte in self.out.iter_mut().skip(start) {
                if matches!(byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
    }

    fn digits(&mut self, value: u64) {
        let mut digits = [0; 20];
        let mut rest = value;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let written = digits.get(digits.len() - count..).unwrap_or_default();
        self.out.extend_from_slice(written);
    }
}

/// The reason phrase that the RFCs give a status code; that of its class (RFC 3261 §8.1.3.2) for a code
/// that we do not know.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        555 => "Push Notification Service Not Supported",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => match status / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Multiple Choices",
            5 => "Server Internal Error",
            6 => "Busy Everywhere",
            _ => "Bad Request",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_body() {
        let mut out = b"before".to_vec();
        let mut writer = Writer::request(&mut out, "INVITE", "sip:a@b");
        writer
            .field(HeaderName::To, &["<", "sip:a@b", ">"])
            .raw_field("X-VoiceConnector-ID", "abc")
            .number(HeaderName::MaxForwards, 70);
        writer.body("application/sdp", b"v=0\r\n");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "beforeINVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\nX-VoiceConnector-ID: abc\r\n\
             Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
    }

    #[test]
    fn no_line_can_be_smuggled_in() {
        let bad = "x\r\nInjected: 1\r\n\r\nbody\r\n";
        let mut out = Vec::new();
        let mut writer = Writer::response(&mut out, 200, bad);
        writer
            .field(HeaderName::Subject, &["a", bad])
            .raw_field(bad, bad);
        writer.body(bad, b"");
        let mut plain = Vec::new();
        let mut writer = Writer::request(&mut plain, bad, bad);
        writer.field(HeaderName::Subject, &["\n", "\r", "\r\n"]);
        writer.end();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().count(), 6, "{out}");
        assert_eq!(out.matches('\r').count(), out.matches("\r\n").count());
        assert_eq!(out.matches('\n').count(), out.matches("\r\n").count());
        let plain = String::from_utf8(plain).unwrap();
        assert_eq!(plain.lines().count(), 4, "{plain}");
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 4_294_967_296, u64::MAX] {
            let mut out = Vec::new();
            Writer { out: &mut out }.digits(value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn unknown_codes_have_the_phrase_of_their_class() {
        assert_eq!(reason_phrase(486), "Busy Here");
        assert_eq!(reason_phrase(499), "Bad Request");
        assert_eq!(reason_phrase(599), "Server Internal Error");
        assert_eq!(reason_phrase(299), "OK");
    }
}
