//! Header field values with a type, borrowed from the message.

mod extension;
mod name;

use std::borrow::Cow;
use std::fmt;

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::sequence::{preceded, terminated};

use super::method::Method;
use super::parse_error::ParseError;
use super::parse_token::{
    self as lexical, Lexed, hostport, looks_like_uri, param, quoted, separator, sws, token,
};
use super::uri::Uri;

pub use extension::{OPTION_100REL, OPTION_TIMER, RAck, Refresher, SessionExpires};
pub use name::HeaderName;

/// The parameters of a header field or a URI, as they were written: `;name=value;name`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Params<'a> {
    text: &'a str,
}

impl<'a> Params<'a> {
    /// The value of the first parameter of that name, in any case: `None` where there is none,
    /// `Some(None)` where it has no value. A quoted value keeps its quotes.
    pub fn get(&self, name: &str) -> Option<Option<&'a str>> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of the first parameter of that name; `None` also where it has no value.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).flatten()
    }

    /// Every parameter in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            let (after, found) = param(rest).ok()?;
            rest = after;
            Some(found)
        })
    }

    /// The parameters as they were written, from the first semicolon on; empty where there are none.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Parameters and nothing else.
    #[inline]
    pub(super) fn read_all(input: &'a str) -> Option<Self> {
        if input.is_empty() {
            return Some(Self::default());
        }
        let (rest, params) = Self::read(input).ok()?;
        lexical::trim(rest).is_empty().then_some(params)
    }

    /// Parameters that [`Params::read_all`] has accepted before.
    pub(super) fn known(input: &'a str) -> Self {
        Self {
            text: lexical::trim(input),
        }
    }

    /// As many parameters as there are at the input's begin.
    pub(super) fn read(input: &'a str) -> Lexed<'a, Self> {
        let mut rest = input;
        while let Ok((after, _)) = param(rest) {
            rest = after;
        }
        let length = input.len() - rest.len();
        Ok((rest, Self::known(input.get(..length).unwrap_or_default())))
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// `name-addr` or `addr-spec` with parameters: From, To, Contact, Route, P-Asserted-Identity and the
/// like (RFC 3261 §20.10).
///
/// Liberal in one point: a display name that is neither quoted nor made of tokens is taken as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, with its quotes; not empty.
    pub display: Option<&'a str>,
    /// The URI, without angle brackets.
    pub uri: &'a str,
    /// The header field's parameters; those of the URI belong to the URI only where it stands in angle
    /// brackets (RFC 3261 §20).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value, no list. The error is [`ParseError::Malformed`] of [`HeaderName::Other`];
    /// the accessors of a message name the field.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(text, HeaderName::Other)
    }

    /// [`NameAddr::parse`] with the name of the field for the error.
    pub(super) fn read(text: &'a str, name: HeaderName) -> Result<Self, ParseError> {
        match Self::lex(lexical::trim(text), Params::read_all) {
            Some(value) if looks_like_uri(value.uri) => Ok(value),
            Some(_) | None => Err(ParseError::Malformed(name)),
        }
    }

    /// [`NameAddr::read`] for a value that it has accepted before: only finds the parts.
    pub(super) fn read_again(text: &'a str, name: HeaderName) -> Result<Self, ParseError> {
        let value = Self::lex(text, |text| Some(Params::known(text)));
        value.ok_or(ParseError::Malformed(name))
    }

    #[inline]
    fn lex(text: &'a str, params: impl Fn(&'a str) -> Option<Params<'a>>) -> Option<Self> {
        let (rest, display, uri) = if text.as_bytes().first() == Some(&b'"') {
            let (rest, display) = quoted(text).ok()?;
            let (rest, uri) = bracketed(lexical::trim(rest))?;
            (rest, Some(display), uri)
        } else {
            match memchr::memchr2(b'<', b'"', text.as_bytes()) {
                Some(at) if text.as_bytes().get(at) == Some(&b'<') => {
                    let (display, rest) = text.split_at_checked(at)?;
                    let (rest, uri) = bracketed(rest)?;
                    (rest, Some(lexical::trim(display)), uri)
                }
                Some(_) | None => {
                    let (rest, uri) = bare(text)?;
                    (rest, None, uri)
                }
            }
        };
        let params = params(rest)?;
        let display = display.filter(|display| !display.is_empty());
        Some(Self {
            display,
            uri,
            params,
        })
    }

    /// The `tag` parameter (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag")
    }

    /// The URI in its parts.
    pub fn uri_parsed(&self) -> Result<Uri<'a>, ParseError> {
        Uri::parse(self.uri)
    }

    /// The display name without its quotes and escapes.
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        self.display.map(unquote)
    }
}

/// `<uri>`
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (uri, rest) = lexical::split_at_sign(lexical::after_sign(text, b'<')?, b'>')?;
    Some((rest, uri))
}

/// `addr-spec`: a semicolon after it begins the header field's parameters, and a comma or a question
/// mark may not stand in it (RFC 3261 §20).
fn bare(text: &str) -> Option<(&str, &str)> {
    let end = text
        .bytes()
        .position(|byte| matches!(byte, b';' | b' ' | b'\t'))
        .unwrap_or(text.len());
    let (uri, rest) = text.split_at_checked(end)?;
    let plain = memchr::memchr2(b',', b'?', uri.as_bytes()).is_none();
    plain.then_some((rest, uri))
}

/// The text of a `quoted-string`; a text without quotes as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        None => Cow::Borrowed(text),
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(inner) => {
            let mut plain = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(next) = chars.next() {
                plain.extend(if next == '\\' {
                    chars.next()
                } else {
                    Some(next)
                });
            }
            Cow::Owned(plain)
        }
    }
}

/// One value of Via (RFC 3261 §20.42).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The transport token as written: `UDP`, `TCP`, `TLS`, or one that we do not know.
    pub transport: &'a str,
    /// Host of the sent-by; an IPv6 address with brackets.
    pub host: &'a str,
    /// Port of the sent-by.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    sent_by: &'a str,
}

impl<'a> Via<'a> {
    /// Reads one value, no list.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::lex(lexical::trim(text), Params::read_all)
            .ok_or(ParseError::Malformed(HeaderName::Via))
    }

    /// [`Via::parse`] for a value that it has accepted before: only finds the parts.
    pub(super) fn parse_again(text: &'a str) -> Result<Self, ParseError> {
        Self::lex(text, |text| Some(Params::known(text)))
            .ok_or(ParseError::Malformed(HeaderName::Via))
    }

    #[inline]
    fn lex(input: &'a str, params: impl Fn(&'a str) -> Option<Params<'a>>) -> Option<Self> {
        let (input, transport) = sent_protocol(input).ok()?;
        let (after, (host, port)) = hostport(input).ok()?;
        let sent_by = input.get(..input.len() - after.len()).unwrap_or_default();
        let params = params(after)?;
        Some(Self {
            transport,
            host,
            port,
            params,
            sent_by,
        })
    }

    /// The `branch` parameter (RFC 3261 §8.1.1.7).
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }

    /// The `received` parameter (RFC 3261 §18.2.1).
    pub fn received(&self) -> Option<&'a str> {
        self.params.value("received")
    }

    /// Whether the client asked for the response at its source port: `rport` without a value
    /// (RFC 3581 §3).
    pub fn wants_rport(&self) -> bool {
        self.params.get("rport") == Some(None)
    }

    /// Host and port as written.
    pub fn sent_by(&self) -> &'a str {
        self.sent_by
    }
}

/// `sent-protocol LWS`: gives the transport.
fn sent_protocol(input: &str) -> Lexed<'_, &str> {
    if let Some(rest) = input.strip_prefix("SIP/2.0/") {
        return terminated(token, lws).parse(rest);
    }
    let version = (
        tag_no_case("SIP"),
        separator(b'/'),
        tag_no_case("2.0"),
        separator(b'/'),
    );
    terminated(preceded(version, token), lws).parse(input)
}

fn lws(input: &str) -> Lexed<'_, ()> {
    match input.as_bytes().first() {
        Some(b' ' | b'\t') => sws(input),
        Some(_) | None => Err(nom::Err::Error(())),
    }
}

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// Less than 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
    /// The method as written.
    pub token: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads the value.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::lex(lexical::trim(text)).ok_or(ParseError::Malformed(HeaderName::CSeq))
    }

    fn lex(text: &'a str) -> Option<Self> {
        let blank = text.bytes().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (digits, token) = text.split_at_checked(blank)?;
        let token = lexical::trim(token);
        let number = u32::try_from(lexical::number(digits)?).ok()?;
        let in_range = number < 1 << 31;
        let is_token = !token.is_empty() && lexical::all(lexical::TOKEN, token);
        let method = Method::from_token(token);
        (in_range && is_token).then_some(Self {
            number,
            method,
            token,
        })
    }
}

/// Whether a text can be a Call-ID: something, without white space. Wider than RFC 3261 §25.1, because
/// all that is ever done with one is to compare it.
pub(super) fn is_call_id(text: &str) -> bool {
    !text.is_empty() && memchr::memchr2(b' ', b'\t', text.as_bytes()).is_none()
}

/// Max-Forwards (RFC 3261 §20.22): 0 to 255.
pub(super) fn max_forwards(text: &str) -> Result<u8, ParseError> {
    lexical::number(text)
        .and_then(|hops| u8::try_from(hops).ok())
        .ok_or(ParseError::Malformed(HeaderName::MaxForwards))
}

#[cfg(test)]
mod tests;
