//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966), borrowed.

use std::borrow::Cow;

use super::header::Params;
use super::parse_error::ParseError;
use super::parse_token::{self as lexical, USER, hostport};
use crate::config::Host;

/// The scheme of a URI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// RFC 3261 §19.1
    Sip,
    /// RFC 3261 §19.1
    Sips,
    /// RFC 3966
    Tel,
    /// A URI that we do not route.
    Other,
}

/// A URI in its parts, each as it was written: nothing is unescaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The user; the number of a tel URI.
    pub user: Option<&'a str>,
    /// The password of RFC 3261 §19.1.1, which nobody should send.
    pub password: Option<&'a str>,
    /// The host, an IPv6 address with brackets; empty for tel and others.
    pub host: &'a str,
    /// The port, where written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    /// What follows the question mark.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads a URI. One of a foreign scheme is not looked into.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let (scheme, rest) = lexical::split_at_sign(text, b':').ok_or(ParseError::Uri)?;
        if !lexical::looks_like_uri(text) {
            return Err(ParseError::Uri);
        }
        let parsed = if scheme.eq_ignore_ascii_case("sip") {
            Self::parse_sip(Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case("sips") {
            Self::parse_sip(Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case("tel") {
            Self::parse_tel(rest)
        } else {
            Some(Self::bare(Scheme::Other))
        };
        parsed.ok_or(ParseError::Uri)
    }

    /// The host as a name or an address.
    pub fn host_value(&self) -> Host {
        Host::from(self.host)
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&'a str> {
        self.params.value("transport")
    }

    fn bare(scheme: Scheme) -> Self {
        Self {
            scheme,
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
        }
    }

    fn parse_sip(scheme: Scheme, text: &'a str) -> Option<Self> {
        let mut uri = Self::bare(scheme);
        let mut rest = text;
        // The only place for an unescaped `@` is after the user, which may itself hold `;` and `?`.
        if let Some((userinfo, after)) = lexical::split_at_sign(text, b'@') {
            let (user, password) = match lexical::split_at_sign(userinfo, b':') {
                Some((user, password)) => (user, Some(password)),
                None => (userinfo, None),
            };
            let plain = !user.is_empty()
                && lexical::all(USER, user)
                && password.is_none_or(|password| lexical::all(USER, password))
                && !after.contains('@');
            if !plain {
                return None;
            }
            (uri.user, uri.password, rest) = (Some(user), password, after);
        }
        if let Some((before, headers)) = lexical::split_at_sign(rest, b'?') {
            (rest, uri.headers) = (before, Some(headers));
        }
        let (rest, (host, port)) = hostport(rest).ok()?;
        (uri.host, uri.port) = (host, port);
        uri.params = Params::read_all(rest)?;
        Some(uri)
    }

    fn parse_tel(text: &'a str) -> Option<Self> {
        let end = text.find(';').unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        let digits = number.strip_prefix('+').unwrap_or(number);
        let is_number = !digits.is_empty()
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || b"*#-.()".contains(&byte));
        let mut uri = Self::bare(Scheme::Tel);
        uri.user = Some(number);
        uri.params = Params::read_all(rest)?;
        is_number.then_some(uri)
    }
}

/// A user part, or another part of a URI, with its `%XX` escapes replaced; `None` where an escape is
/// incomplete or the result is not UTF-8.
pub fn unescape(user: &str) -> Option<Cow<'_, str>> {
    if !user.contains('%') {
        return Some(Cow::Borrowed(user));
    }
    let mut plain = Vec::with_capacity(user.len());
    let mut bytes = user.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' {
            let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
            high << 4 | low
        } else {
            byte
        });
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_of_a_sip_uri() {
        let uri = Uri::parse("SIP:alice:secret@[2001:db8::1]:5070;Transport=TCP;lr?Subject=x&y=z")
            .unwrap();
        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!(uri.user, Some("alice"));
        assert_eq!(uri.password, Some("secret"));
        assert_eq!(uri.host, "[2001:db8::1]");
        assert_eq!(
            uri.host_value(),
            Host::Address("2001:db8::1".parse().unwrap())
        );
        assert_eq!(uri.port, Some(5070));
        assert_eq!(uri.transport(), Some("TCP"));
        assert_eq!(uri.params.get("lr"), Some(None));
        assert_eq!(uri.headers, Some("Subject=x&y=z"));
    }

    #[test]
    fn the_user_may_hold_semicolons_and_question_marks() {
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user, Some("user;par=u%40example.net"));
        assert_eq!(uri.host, "example.com");
        let uri = Uri::parse("sips:it$/crazy?,/;;*@Example.COM").unwrap();
        assert_eq!(uri.user, Some("it$/crazy?,/;;*"));
        assert_eq!(uri.host_value(), Host::Name("example.com".into()));
    }

    #[test]
    fn a_number_is_the_user_of_a_tel_uri() {
        let uri = Uri::parse("tel:+1-206-555-0100;phone-context=example.com").unwrap();
        assert_eq!(uri.scheme, Scheme::Tel);
        assert_eq!(uri.user, Some("+1-206-555-0100"));
        assert_eq!(uri.host, "");
        assert_eq!(uri.params.value("phone-context"), Some("example.com"));
    }

    #[test]
    fn foreign_schemes_are_not_looked_into() {
        let uri = Uri::parse("nobodyKnowsThisScheme:totallyopaquecontent").unwrap();
        assert_eq!(uri, Uri::bare(Scheme::Other));
    }

    #[test]
    fn malformed_uris_are_refused() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a@b@c",
            "sip:a@b:",
            "sip:a@b:70000",
            "sip:a@b;;",
            "sip:a@b;x=",
            "sip:a b@c",
            "<sip:a@b>",
            "sip:\"a\"@b",
            "sip:a@b/c",
            "sip:a@[::1",
            "tel:",
            "tel:+",
            "tel:12x4",
            "sip:ü@b",
        ] {
            assert_eq!(Uri::parse(text), Err(ParseError::Uri), "{text}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("plain").unwrap(), "plain");
        assert_eq!(unescape("%75se%72").unwrap(), "user");
        assert_eq!(unescape("null-%00-null").unwrap(), "null-\0-null");
        assert_eq!(unescape("%C3%bc").unwrap(), "ü");
        for text in ["%", "%4", "%ZZ", "%ff", "%+1"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
