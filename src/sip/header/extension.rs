//! Header fields of the extensions that are served: 100rel (RFC 3262) and timer (RFC 4028).

use super::Params;
use crate::sip::message::{Fields, HeaderName};
use crate::sip::method::Method;
use crate::sip::parse_error::ParseError;
use crate::sip::parse_token as lexical;

/// The option tag of reliable provisional responses (RFC 3262).
pub const OPTION_100REL: &str = "100rel";
/// The option tag of session timers (RFC 4028).
pub const OPTION_TIMER: &str = "timer";

/// Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    /// Seconds.
    pub interval: u32,
    /// Who refreshes, where it says so.
    pub refresher: Option<Refresher>,
}

/// The `refresher` parameter: the side of the request that carries it, or that it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answers it.
    Uas,
}

/// RAck (RFC 3262 §7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RAck {
    /// The response's RSeq.
    pub rseq: u32,
    /// Number of the response's CSeq.
    pub cseq: u32,
    /// Method of the response's CSeq.
    pub method: Method,
}

impl Fields {
    /// Session-Expires.
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, ParseError> {
        self.typed(HeaderName::SessionExpires, |text| {
            let (interval, params) = seconds(text)?;
            let refresher = match params.value("refresher") {
                Some(side) if side.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
                Some(side) if side.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
                Some(_) => return None,
                None => None,
            };
            Some(SessionExpires {
                interval,
                refresher,
            })
        })
    }

    /// Min-SE, in seconds (RFC 4028 §5).
    pub fn min_se(&self) -> Result<Option<u32>, ParseError> {
        self.typed(HeaderName::MinSe, |text| {
            seconds(text).map(|(seconds, _)| seconds)
        })
    }

    /// The seconds of Retry-After (RFC 3261 §20.33), which may stand before a comment and parameters.
    pub fn retry_after(&self) -> Option<u32> {
        let text = self.header(HeaderName::RetryAfter)?;
        let end = text.bytes().position(|byte| !byte.is_ascii_digit());
        number(text.get(..end.unwrap_or(text.len()))?)
    }

    /// RSeq (RFC 3262 §7.1).
    pub fn rseq(&self) -> Result<Option<u32>, ParseError> {
        self.typed(HeaderName::RSeq, number)
    }

    /// RAck.
    pub fn rack(&self) -> Result<Option<RAck>, ParseError> {
        self.typed(HeaderName::RAck, |text| {
            let mut words = text.split_ascii_whitespace();
            let rack = RAck {
                rseq: number(words.next()?)?,
                cseq: number(words.next()?)?,
                method: Method::from_token(words.next()?),
            };
            words.next().is_none().then_some(rack)
        })
    }

    fn typed<T>(
        &self,
        name: HeaderName,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ParseError> {
        match self.header(name) {
            None => Ok(None),
            Some(text) => match read(text) {
                Some(value) => Ok(Some(value)),
                None => Err(ParseError::Malformed(name)),
            },
        }
    }
}

fn number(text: &str) -> Option<u32> {
    u32::try_from(lexical::number(text)?).ok()
}

/// `delta-seconds` with parameters.
fn seconds(text: &str) -> Option<(u32, Params<'_>)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, params) = text.split_at_checked(end)?;
    Some((number(digits)?, Params::read_all(lexical::trim(params))?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::Limits;
    use crate::sip::message::Message;

    fn message(field: &str) -> Fields {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{field}\r\nContent-Length: 0\r\n\r\n"
        );
        let parsed = Message::parse(Bytes::from(text), &Limits::default());
        parsed.expect("a good message").fields().clone()
    }

    #[test]
    fn session_expires_has_an_interval_and_maybe_a_refresher() {
        for (text, interval, refresher) in [
            ("Session-Expires: 1800", 1_800, None),
            ("x: 90;refresher=uac", 90, Some(Refresher::Uac)),
            (
                "Session-Expires: 4000 ; a=b ; Refresher = UAS",
                4_000,
                Some(Refresher::Uas),
            ),
        ] {
            let expected = SessionExpires {
                interval,
                refresher,
            };
            assert_eq!(
                message(text).session_expires(),
                Ok(Some(expected)),
                "{text}"
            );
        }
        assert_eq!(message("X-Y: 1").session_expires(), Ok(None));
        for text in [
            "",
            "soon",
            "-1",
            "99999999999",
            "90;refresher=both",
            "90 90",
        ] {
            let fields = message(&format!("Session-Expires: {text}"));
            assert!(fields.session_expires().is_err(), "{text}");
        }
    }

    #[test]
    fn rack_names_one_response() {
        let expected = RAck {
            rseq: 776_656,
            cseq: 1,
            method: Method::Invite,
        };
        assert_eq!(message("RAck: 776656  1 INVITE").rack(), Ok(Some(expected)));
        for text in ["1 1", "1 1 INVITE 1", "x 1 INVITE", "1 4294967296 INVITE"] {
            assert!(message(&format!("RAck: {text}")).rack().is_err(), "{text}");
        }
        assert_eq!(message("RSeq: 4294967295").rseq(), Ok(Some(u32::MAX)));
        assert_eq!(message("Min-SE: 90;x=y").min_se(), Ok(Some(90)));
    }
}
