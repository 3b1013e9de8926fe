//! The lexical rules that header fields and URIs share (RFC 3261 §25.1), as nom parsers.
//!
//! They are a little wider than the RFC where peers are known to be: a parameter's value may hold any
//! visible character that ends nothing.

use nom::combinator::opt;
use nom::sequence::preceded;
use nom::{Err, IResult, Parser};

/// What a lexical parser gives. Which rule failed does not matter: the caller names the header field.
pub(super) type Lexed<'a, T> = IResult<&'a str, T, ()>;

/// `token`
pub(super) const TOKEN: u8 = 1;
/// `host`, without the brackets of an IPv6 address; with `_`, which host names in use have.
pub(super) const HOST: u8 = 1 << 1;
/// `user` and `password`, unescaped and `%`; with `#`, which feature codes in use have.
pub(super) const USER: u8 = 1 << 2;
/// The name of a parameter of a header field or a URI.
pub(super) const PARAM_NAME: u8 = 1 << 3;
/// The value of a parameter, where it is not quoted.
pub(super) const PARAM_VALUE: u8 = 1 << 4;
/// The value of a parameter of credentials, where it is not quoted: a URI for instance.
pub(super) const CREDENTIAL: u8 = 1 << 5;

/// The classes that each byte belongs to.
static CLASSES: [u8; 256] = classify();

const fn classify() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        if value.is_ascii_alphanumeric() {
            classes[byte] |= TOKEN | HOST | USER | PARAM_NAME;
        }
        if is_uri_byte(value) {
            if value != b',' {
                classes[byte] |= CREDENTIAL;
            }
            if !matches!(value, b';' | b',') {
                classes[byte] |= PARAM_VALUE;
            }
        }
        byte += 1;
    }
    add(&mut classes, b"-.!%*_+`'~", TOKEN | PARAM_NAME);
    add(&mut classes, b"-._", HOST);
    add(&mut classes, b"-_.!~*'()%&=+$,;?/#", USER);
    add(&mut classes, b"[]/:&$()", PARAM_NAME);
    classes
}

/// What may stand in a URI at all, escaped or not.
#[inline]
const fn is_uri_byte(byte: u8) -> bool {
    (byte > b' ') & (byte != 0x7f) & (byte != b'<') & (byte != b'>') & (byte != b'"')
}

const fn add(classes: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut next = 0;
    while next < bytes.len() {
        classes[bytes[next] as usize] |= class;
        next += 1;
    }
}

/// Whether a byte is of a class.
#[inline]
pub(super) fn is(class: u8, byte: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether every byte is of a class.
#[inline]
pub(super) fn all(class: u8, text: &str) -> bool {
    text.bytes().all(|byte| is(class, byte))
}

/// The longest run of a class, not empty.
#[inline]
pub(super) fn run<'a>(class: u8) -> impl Fn(&'a str) -> Lexed<'a, &'a str> {
    move |input| {
        let end = input
            .bytes()
            .position(|byte| !is(class, byte))
            .unwrap_or(input.len());
        if end == 0 {
            Err(Err::Error(()))
        } else {
            cut(input, end)
        }
    }
}

/// `token`
#[inline]
pub(super) fn token(input: &str) -> Lexed<'_, &str> {
    run(TOKEN)(input)
}

/// `SWS`: white space or nothing. Line ends are no matter here: the head is unfolded by then.
#[inline]
pub(super) fn sws(input: &str) -> Lexed<'_, ()> {
    match input.as_bytes().first() {
        Some(b' ' | b'\t') => Ok((input.trim_start_matches(is_blank), ())),
        Some(_) | None => Ok((input, ())),
    }
}

/// A separator with white space on both sides (`SEMI`, `EQUAL`, `SLASH`, `COLON`).
#[inline]
pub(super) fn separator<'a>(sign: u8) -> impl Fn(&'a str) -> Lexed<'a, ()> {
    move |input| {
        let (input, ()) = sws(input)?;
        let rest = after_sign(input, sign).ok_or(Err::Error(()))?;
        sws(rest)
    }
}

/// What follows an ASCII sign, where the text begins with it. (`str::strip_prefix` with a `char` calls
/// `memcmp`, too slow for the hot path.)
#[inline]
pub(super) fn after_sign(text: &str, sign: u8) -> Option<&str> {
    match text.as_bytes().first() {
        Some(first) if *first == sign => text.get(1..),
        Some(_) | None => None,
    }
}

/// `quoted-string`, given with its quotes.
pub(super) fn quoted(input: &str) -> Lexed<'_, &str> {
    let mut bytes = input.bytes().enumerate();
    if !matches!(bytes.next(), Some((_, b'"'))) {
        return Err(Err::Error(()));
    }
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return cut(input, at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    Err(Err::Error(()))
}

/// `SEMI generic-param`: a parameter's name and its value, a quoted one with its quotes.
#[inline]
pub(super) fn param(input: &str) -> Lexed<'_, (&str, Option<&str>)> {
    let (input, ()) = separator(b';')(input)?;
    let (input, name) = run(PARAM_NAME)(input)?;
    match separator(b'=')(input) {
        Ok((input, ())) => {
            let (input, value) = param_value(input)?;
            Ok((input, (name, Some(value))))
        }
        Err(_) => Ok((input, (name, None))),
    }
}

#[inline]
fn param_value(input: &str) -> Lexed<'_, &str> {
    let bytes = input.as_bytes();
    if bytes.first() == Some(&b'"') {
        return quoted(input);
    }
    // Nearly every value ends here and is plain, which is seen many bytes at once.
    let end = memchr::memchr3(b';', b',', b' ', bytes).unwrap_or(bytes.len());
    match cut(input, end) {
        Ok((rest, value)) if end > 0 && is_uri_text(value) => Ok((rest, value)),
        Ok(_) | Err(_) => run(PARAM_VALUE)(input),
    }
}

/// A host and a port: `[2001:db8::1]:5060`, `example.com`.
pub(super) fn hostport(input: &str) -> Lexed<'_, (&str, Option<u16>)> {
    let (input, host) = host(input)?;
    let (input, port) = opt(preceded(separator(b':'), port)).parse(input)?;
    Ok((input, (host, port)))
}

fn host(input: &str) -> Lexed<'_, &str> {
    if input.as_bytes().first() != Some(&b'[') {
        return run(HOST)(input);
    }
    let (before, _) = split_at_sign(input, b']').ok_or(Err::Error(()))?;
    let address = before.get(1..).unwrap_or_default();
    match address.parse::<std::net::Ipv6Addr>() {
        Ok(_) => cut(input, before.len() + 1),
        Err(_) => Err(Err::Error(())),
    }
}

fn port(input: &str) -> Lexed<'_, u16> {
    let end = input
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(input.len());
    let (rest, digits) = cut(input, end)?;
    match digits.parse::<u16>() {
        Ok(port) => Ok((rest, port)),
        Err(_) => Err(Err::Error(())),
    }
}

/// Whether there are only characters that may stand in a URI: no white space, control characters, quotes or
/// angle brackets. Looks at every byte without a branch, so that the compiler takes many at once.
#[inline]
fn is_uri_text(text: &str) -> bool {
    text.bytes()
        .fold(true, |so_far, byte| so_far & is_uri_byte(byte))
}

/// Whether a text begins with a URI's `scheme ":"` and holds only what a URI may.
#[inline]
pub(super) fn looks_like_uri(text: &str) -> bool {
    if text.starts_with("sip:") {
        return text.len() > 4 && is_uri_text(text);
    }
    let scheme_end = text
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')));
    let begins = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let colon = scheme_end.and_then(|at| text.as_bytes().get(at)) == Some(&b':');
    begins && colon && scheme_end.is_some_and(|at| at + 1 < text.len()) && is_uri_text(text)
}

/// A decimal number: digits only, no sign (`1*DIGIT`); `None` also where it does not fit.
#[inline]
pub(super) fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// The texts before and after the first of an ASCII sign. (`str::split_once` takes several times as long
/// on texts of this size, and this is the hot path.)
#[inline]
pub(super) fn split_at_sign(text: &str, sign: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(sign, text.as_bytes())?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// White space off both ends.
#[inline]
pub(super) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => text.trim_matches(is_blank),
        _ => text,
    }
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

/// The elements of a comma-separated list; commas in quotes and in angle brackets separate nothing.
/// Empty elements are left out.
pub(super) struct Elements<'a> {
    rest: &'a str,
}

impl<'a> Elements<'a> {
    pub(super) fn new(value: &'a str) -> Self {
        Self { rest: value }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let end = element_end(self.rest);
            let (element, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.strip_prefix(',').unwrap_or(rest);
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

fn element_end(text: &str) -> usize {
    if memchr::memchr(b',', text.as_bytes()).is_none() {
        return text.len();
    }
    let (mut in_quotes, mut in_brackets) = (false, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if in_quotes => drop(bytes.next()),
            b'"' if !in_brackets => in_quotes = !in_quotes,
            b'<' if !in_quotes => in_brackets = true,
            b'>' if !in_quotes => in_brackets = false,
            b',' if !in_quotes && !in_brackets => return at,
            _ => {}
        }
    }
    text.len()
}

/// `end` stands at an ASCII byte or the end, so the cut never falls into a character.
#[inline]
fn cut(input: &str, end: usize) -> Lexed<'_, &str> {
    match input.split_at_checked(end) {
        Some((taken, rest)) => Ok((rest, taken)),
        None => Err(Err::Error(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_separate_nothing() {
        let list = r#""Bell, \"A\", X" <sip:a,b@x>;q=1 , <sip:c@x>,, sip:d@x"#;
        let elements: Vec<_> = Elements::new(list).collect();
        assert_eq!(
            elements,
            [
                r#""Bell, \"A\", X" <sip:a,b@x>;q=1"#,
                "<sip:c@x>",
                "sip:d@x"
            ]
        );
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number("0009"), Some(9));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", "1 ", "18446744073709551616", "1e3", "٣"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn quoted_strings_end_at_an_unescaped_quote() {
        assert_eq!(quoted(r#""a\"b\\" c"#), Ok((" c", r#""a\"b\\""#)));
        assert!(quoted(r#""a\""#).is_err());
        assert!(quoted("a").is_err());
        assert_eq!(quoted("\"\\é\"x"), Ok(("x", "\"\\é\"")));
    }

    #[test]
    fn hosts_with_ports() {
        assert_eq!(hostport("[::1]:5060;x"), Ok((";x", ("[::1]", Some(5060)))));
        assert_eq!(hostport("a-b.c_d"), Ok(("", ("a-b.c_d", None))));
        assert_eq!(hostport("a : 7 x"), Ok((" x", ("a", Some(7)))));
        assert_eq!(hostport("a:65536"), Ok((":65536", ("a", None))));
        for text in ["", "[::1", "[1.2.3.4]", ":5060"] {
            assert!(hostport(text).is_err(), "{text}");
        }
    }

    #[test]
    fn uris_begin_with_a_scheme() {
        for text in [
            "sip:a@b",
            "soap.beep://192.0.2.103:3002",
            "isbn:2983792873",
            "tel:+1",
        ] {
            assert!(looks_like_uri(text), "{text}");
        }
        for text in [
            "",
            "sip:",
            "alan@jasomi.com",
            ":x",
            "1a:b",
            "sip:a b",
            "<sip:a>",
            "sip:a\u{7f}",
        ] {
            assert!(!looks_like_uri(text), "{text}");
        }
    }
}
