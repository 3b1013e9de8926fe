//! Telephone numbers in URIs: a `tel:` URI (RFC 3966), or the user of a `sip:` or `sips:` URI that is written as one
//! (RFC 3261 §19.1.6), with `user=phone` or without.
//!
//! With `tel:` or `user=phone` the grammar of RFC 3966 §3 is asked for, but for the `phone-context` that a local
//! number should have: few who dial `911` write it. Without them a user that is no number is a name.

use std::borrow::Cow;
use std::fmt;

use super::uri::{Scheme, Uri, unescape};
use crate::numbering::E164;

/// Digits of the shortest number that a context makes whole: `911;phone-context=+1` is no number of North America.
const COMPLETED_DIGITS_MIN: u32 = 7;

/// A `telephone-subscriber`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Telephone {
    /// The number.
    pub number: Number,
    /// `ext`: whom to ask for behind the number; digits.
    pub extension: Option<String>,
    /// `isub`: an ISDN subaddress, as written.
    pub subaddress: Option<String>,
}

/// A number, without its visual separators (RFC 3966 §5.1.1).
#[derive(Clone, PartialEq, Eq)]
pub enum Number {
    /// With `+`, or made whole by a context with `+`.
    Global(E164),
    /// One that means something where it is dialled.
    Local {
        /// Digits, `*`, `#`, and, with `tel:` or `user=phone`, `A` to `F`; at least one.
        digits: String,
        /// Where that is.
        context: Option<Context>,
    },
}

/// Where a local number is dialled (`phone-context`, RFC 3966 §5.1.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Context {
    /// The digits that follow `+`.
    Prefix(String),
    /// A domain.
    Domain(String),
}

/// Why there is no telephone number in a URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TelephoneError {
    /// It should be one by its form and is against the grammar: 400.
    Malformed,
    /// It has none, or one that cannot be E.164: 484.
    NotANumber,
}

impl fmt::Display for TelephoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the telephone number is not written as RFC 3966 says",
            Self::NotANumber => "the URI has no telephone number",
        })
    }
}

impl std::error::Error for TelephoneError {}

/// The digits of a local number are not shown.
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global(number) => write!(f, "{number:?}"),
            Self::Local { digits, context } => {
                write!(f, "{} local digits in {context:?}", digits.len())
            }
        }
    }
}

impl Telephone {
    /// The telephone number that a URI is or has as its user.
    pub fn of(uri: &Uri<'_>) -> Result<Self, TelephoneError> {
        let user = uri.user.ok_or(TelephoneError::NotANumber)?;
        match uri.scheme {
            Scheme::Tel => read(user, uri.params.iter(), Writing::ByGrammar),
            Scheme::Sip | Scheme::Sips => {
                let is_phone = uri.params.value("user");
                let writing = match is_phone.is_some_and(|kind| kind.eq_ignore_ascii_case("phone"))
                {
                    true => Writing::ByGrammar,
                    false => Writing::OrName,
                };
                let mut parts = user.split(';');
                let number = parts.next().unwrap_or_default();
                let params = parts.map(|part| match part.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (part, None),
                });
                read(number, params, writing)
            }
            Scheme::Other => Err(TelephoneError::NotANumber),
        }
    }
}

/// What a text is that is no number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Wrong.
    ByGrammar,
    /// Somebody's name.
    OrName,
}

impl Writing {
    fn error(self) -> TelephoneError {
        match self {
            Self::ByGrammar => TelephoneError::Malformed,
            Self::OrName => TelephoneError::NotANumber,
        }
    }
}

fn read<'a>(
    number: &str,
    params: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    writing: Writing,
) -> Result<Telephone, TelephoneError> {
    let number = unescaped(number)?;
    let digits = match number.strip_prefix('+') {
        Some(global) => digits_of(global, |byte| byte.is_ascii_digit()),
        None => digits_of(&number, |byte| is_local_digit(byte, writing)),
    };
    let digits = digits.ok_or(writing.error())?;
    let params = Params::read(params, writing.error())?;
    Ok(Telephone {
        number: match number.starts_with('+') {
            true => Number::Global(digits.parse().map_err(|_| TelephoneError::NotANumber)?),
            false => local(digits, params.context)?,
        },
        extension: params.extension,
        subaddress: params.subaddress,
    })
}

/// `phonedigit-hex` without separators; in what may be a name no letters.
fn is_local_digit(byte: u8, writing: Writing) -> bool {
    match writing {
        Writing::ByGrammar => byte.is_ascii_hexdigit() || b"*#".contains(&byte),
        Writing::OrName => byte.is_ascii_digit() || b"*#".contains(&byte),
    }
}

/// A local number, made whole where its context can do that.
fn local(digits: String, context: Option<Context>) -> Result<Number, TelephoneError> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(Context::Prefix(prefix)) = &context
        && is_plain
        && prefix.len() + digits.len() >= COMPLETED_DIGITS_MIN as usize
    {
        let whole = format!("{prefix}{digits}").parse();
        return whole
            .map(Number::Global)
            .map_err(|_| TelephoneError::NotANumber);
    }
    Ok(Number::Local { digits, context })
}

/// The parameters that say something of the number.
#[derive(Default)]
struct Params {
    context: Option<Context>,
    extension: Option<String>,
    subaddress: Option<String>,
}

impl Params {
    /// Each stands once at most (RFC 3966 §3); others count for nothing.
    fn read<'a>(
        params: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        wrong: TelephoneError,
    ) -> Result<Self, TelephoneError> {
        let mut read = Self::default();
        for (name, value) in params {
            let value = unescaped(value.unwrap_or_default())?;
            let is_first = if name.eq_ignore_ascii_case("phone-context") {
                read.context
                    .replace(context(&value).ok_or(wrong)?)
                    .is_none()
            } else if name.eq_ignore_ascii_case("ext") {
                let digits = digits_of(&value, |byte| byte.is_ascii_digit());
                read.extension.replace(digits.ok_or(wrong)?).is_none()
            } else if name.eq_ignore_ascii_case("isub") {
                let subaddress = (!value.is_empty()).then(|| value.into_owned());
                read.subaddress.replace(subaddress.ok_or(wrong)?).is_none()
            } else {
                !name.is_empty()
            };
            if !is_first {
                return Err(wrong);
            }
        }
        Ok(read)
    }
}

fn context(value: &str) -> Option<Context> {
    match value.strip_prefix('+') {
        Some(prefix) => digits_of(prefix, |byte| byte.is_ascii_digit()).map(Context::Prefix),
        None => is_domain(value).then(|| Context::Domain(value.to_owned())),
    }
}

/// `domainname`: labels, the last one begins with a letter.
fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let has_letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(has_letters)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = text.rsplit('.').next().unwrap_or_default();
    text.split('.').all(is_label) && top.starts_with(|letter: char| letter.is_ascii_alphabetic())
}

/// The digits of a text of digits and visual separators; `None` where there is no digit or something else.
fn digits_of(text: &str, is_digit: impl Fn(u8) -> bool) -> Option<String> {
    let is_separator = |byte: u8| b"-.()".contains(&byte);
    let is_number = text
        .bytes()
        .all(|byte| is_digit(byte) || is_separator(byte));
    let digits: String = text
        .chars()
        .filter(|letter| !matches!(letter, '-' | '.' | '(' | ')'))
        .collect();
    (is_number && !digits.is_empty()).then_some(digits)
}

/// An escape that is none is wrong in any user.
fn unescaped(text: &str) -> Result<Cow<'_, str>, TelephoneError> {
    unescape(text).ok_or(TelephoneError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(uri: &str) -> Result<Telephone, TelephoneError> {
        Telephone::of(&Uri::parse(uri).unwrap())
    }

    fn global(uri: &str, number: &str) {
        let expected = Number::Global(number.parse().unwrap());
        assert_eq!(of(uri).map(|found| found.number), Ok(expected), "{uri}");
    }

    fn is_local(uri: &str, expected: &str, in_context: Option<Context>) {
        let Ok(Telephone {
            number: Number::Local { digits, context },
            ..
        }) = of(uri)
        else {
            panic!("{uri}: {:?}", of(uri));
        };
        assert_eq!((digits.as_str(), context), (expected, in_context), "{uri}");
    }

    #[test]
    fn visual_separators_do_not_count() {
        for uri in [
            "tel:+12065550100",
            "tel:+1-206-555-0100",
            "tel:+1.(206)555-0100;foo=bar",
            "TEL:+12065550100",
            "sip:+12065550100@h",
            "sip:+1(206)555.0100@h;user=phone",
            "sips:%2B1206555%30100@h",
            "sip:+12065550100;npdi;rn=+12065550199@h;user=Phone",
            "sip:+12065550100:secret@h",
        ] {
            global(uri, "+12065550100");
        }
    }

    #[test]
    fn a_context_with_plus_makes_a_local_number_whole() {
        global("tel:555-0100;phone-context=+1-206", "+12065550100");
        global(
            "sip:5550100;phone-context=+1206@h;user=phone",
            "+12065550100",
        );
        global("sip:5550100;Phone-Context=%2B1206@h", "+12065550100");
        let context = || Some(Context::Prefix("1".to_owned()));
        is_local("tel:911;phone-context=+1", "911", context());
        is_local("tel:*72#;phone-context=+1", "*72#", context());
        let long = "tel:12345678901;phone-context=+12065";
        assert_eq!(of(long), Err(TelephoneError::NotANumber));
    }

    #[test]
    fn a_local_number_stays_one() {
        let domain = || Some(Context::Domain("pbx.example.com".to_owned()));
        is_local("tel:7042;phone-context=pbx.example.com", "7042", domain());
        is_local(
            "sip:20-42;phone-context=pbx.example.com@h;user=phone",
            "2042",
            domain(),
        );
        is_local("tel:911", "911", None);
        is_local("sip:12065550100@h", "12065550100", None);
        is_local("sip:*72@h", "*72", None);
        is_local("tel:12AB#", "12AB#", None);
    }

    #[test]
    fn extension_and_subaddress_are_kept_apart() {
        let found = of("tel:+12065550100;isub=12%2F5;ext=40-2").unwrap();
        assert_eq!(
            found.number,
            Number::Global("+12065550100".parse().unwrap())
        );
        assert_eq!(found.extension.as_deref(), Some("402"));
        assert_eq!(found.subaddress.as_deref(), Some("12/5"));
        let found = of("sip:+12065550100;EXT=7@h;user=phone").unwrap();
        assert_eq!(found.extension.as_deref(), Some("7"));
    }

    #[test]
    fn what_should_be_a_number_and_is_written_wrong_is_malformed() {
        for uri in [
            "sip:bob@h;user=phone",
            "sip:+@h;user=phone",
            "sip:--@h;user=phone",
            "sip:+12x4@h;user=phone",
            "sip:+1206*@h;user=phone",
            "sip:1206%205550100@h;user=phone",
            "sip:+12065550100;ext=@h;user=phone",
            "tel:+12065550100;ext=5;ext=6",
            "tel:+12065550100;ext=x",
            "tel:+12065550100;isub",
            "tel:5550100;phone-context=+",
            "tel:5550100;phone-context=a..b",
            "tel:5550100;phone-context=1.2",
            "tel:5550100;phone-context",
            "sip:5550100;phone-context=-a@h;user=phone",
            "sip:+12065550100;@h;user=phone",
            "sip:%zz@h",
            "sip:+12065550100;ext=%ff@h",
            "tel:-",
            "tel:+-",
        ] {
            assert_eq!(of(uri), Err(TelephoneError::Malformed), "{uri}");
        }
    }

    #[test]
    fn what_is_no_number_is_told_from_that() {
        for uri in [
            "sip:bob@h",
            "sip:h",
            "sip:abe@h",
            "sip:+12x4@h",
            "sip:+@h",
            "sip:bob;phone-context=+1@h",
            "sip:+12065550100;ext=x@h",
            "sip:+0206555@h",
            "tel:+0206555",
            "tel:+1234567890123456",
            "tel:+1",
            "http://+12065550100",
            "urn:service:sos",
        ] {
            assert_eq!(of(uri), Err(TelephoneError::NotANumber), "{uri}");
        }
    }

    #[test]
    fn a_local_number_is_not_shown() {
        let shown = format!("{:?}", of("tel:2065550100").unwrap());
        assert!(!shown.contains("206"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_number_is_the_same_however_it_is_laid_out(
            digits in "[1-9][0-9]{1,14}", separators in proptest::collection::vec("[-.()]{0,2}", 15),
        ) {
            let laid_out: String =
                digits.chars().zip(&separators).map(|(digit, after)| format!("{digit}{after}")).collect();
            let number: E164 = digits.parse().unwrap();
            for uri in [format!("tel:+{laid_out}"), format!("sip:+{laid_out}@h"), format!("sip:+{laid_out}@h;user=phone")] {
                prop_assert_eq!(of(&uri).map(|found| found.number), Ok(Number::Global(number)), "{}", uri);
            }
        }

        #[test]
        fn whatever_a_user_is_there_is_an_answer(user in "[-+0-9a-f.()*#%;=]{1,24}|[ -~]{1,16}", phone: bool) {
            for uri in [format!("tel:{user}"), format!("sip:{user}@h{}", if phone { ";user=phone" } else { "" })] {
                let Ok(uri) = Uri::parse(&uri) else { continue };
                if let Ok(Telephone { number: Number::Local { digits, .. }, .. }) = Telephone::of(&uri) {
                    prop_assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || b"*#".contains(&byte)));
                }
            }
        }
    }
}
