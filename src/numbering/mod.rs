//! Telephone numbers: E.164 numbers, whose they are ([`plan`]), how the ends of a trunk write them ([`dialling`]),
//! and tables by their first digits ([`prefix`]).
//!
//! Nothing here allocates, locks or waits when a number is looked up.

pub mod country;
pub mod dialling;
pub mod plan;
pub mod prefix;

pub use country::Country;
pub use plan::{Assignment, Class};
pub use prefix::{Prefix, PrefixMap, PrefixSet};

use std::fmt;
use std::str::FromStr;

/// Digits of the longest number (ITU-T E.164 §6.2.1).
const E164_DIGITS_MAX: u32 = 15;

/// An E.164 number: up to fifteen digits, the first not zero (ITU-T E.164; the API reference's pattern
/// `^\+?[1-9]\d{1,14}$`). Written with a leading `+`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164 {
    /// The digits as a number; no leading zero, so nothing is lost.
    digits: u64,
}

/// Why a text is not an [`E164`] number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// Fewer than two digits or more than fifteen.
    Length,
    /// The first digit is zero.
    LeadingZero,
    /// Something other than a digit after the optional `+`.
    NotADigit,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "an E.164 number has 2 to 15 digits",
            Self::LeadingZero => "an E.164 number does not begin with 0",
            Self::NotADigit => "an E.164 number is an optional + and digits",
        })
    }
}

impl std::error::Error for NumberError {}

impl FromStr for E164 {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let text = text.strip_prefix('+').unwrap_or(text);
        if text.bytes().any(|byte| !byte.is_ascii_digit()) {
            return Err(NumberError::NotADigit);
        }
        if !(2..=15).contains(&text.len()) {
            return Err(NumberError::Length);
        }
        if text.starts_with('0') {
            return Err(NumberError::LeadingZero);
        }
        text.parse()
            .map(|digits| Self { digits })
            .map_err(|_| NumberError::NotADigit)
    }
}

impl E164 {
    /// The digits as a number.
    pub const fn digits(self) -> u64 {
        self.digits
    }

    /// The number with these digits; `None` where they are not 2 to 15.
    pub const fn from_digits(digits: u64) -> Option<Self> {
        match digits {
            10..=999_999_999_999_999 => Some(Self { digits }),
            0..10 | 1_000_000_000_000_000.. => None,
        }
    }

    /// How many digits there are: 2 to 15.
    pub const fn digit_count(self) -> u32 {
        self.digits.ilog10() + 1
    }

    /// The digits' values, the first one first.
    pub(crate) const fn each_digit(self) -> Digits {
        Digits::of(self.digits, self.digit_count())
    }

    /// Whether the number begins with these digits; `prefix` may have a leading `+`.
    pub fn starts_with(self, prefix: &str) -> bool {
        let mut text = [0u8; 20];
        self.write_digits(&mut text)
            .starts_with(prefix.strip_prefix('+').unwrap_or(prefix).as_bytes())
    }

    /// The digits, most significant first, without the `+`, in the front of `buffer`.
    fn write_digits(self, buffer: &mut [u8; 20]) -> &[u8] {
        let mut length = 0;
        let mut rest = self.digits;
        let mut reversed = [0u8; 20];
        while rest > 0 {
            reversed[length] = b'0' + (rest % 10) as u8;
            rest /= 10;
            length += 1;
        }
        for index in 0..length {
            buffer[index] = reversed[length - 1 - index];
        }
        &buffer[..length]
    }
}

/// Digits of a number that are still to be read.
#[derive(Clone, Copy)]
pub(crate) struct Digits {
    /// What is left, so that the next digit is that of 10^14.
    rest: u64,
    left: u32,
}

impl Digits {
    const TOP: u64 = 100_000_000_000_000;

    /// The last `length` digits of a number that has no more, 15 at most; with its leading zeros.
    const fn of(digits: u64, length: u32) -> Self {
        Self {
            rest: digits * 10u64.pow(E164_DIGITS_MAX - length),
            left: length,
        }
    }
}

impl Iterator for Digits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let digit = self.rest / Self::TOP;
        self.rest = self.rest % Self::TOP * 10;
        Some(digit as usize)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.digits)
    }
}

/// Masked: a number in a debug dump shows its first and last digits only.
impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Masked(*self))
    }
}

/// A number as logs show it: country digits and the last two, the rest as `*`.
#[derive(Clone, Copy)]
pub struct Masked(pub E164);

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0u8; 20];
        let digits = self.0.write_digits(&mut buffer);
        f.write_str("+")?;
        for (index, digit) in digits.iter().enumerate() {
            let shown = index < 2 || index + 2 >= digits.len();
            write!(f, "{}", if shown { char::from(*digit) } else { '*' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_plus() {
        let number: E164 = "+12065550100".parse().unwrap();
        assert_eq!("12065550100".parse(), Ok(number));
        assert_eq!(number.to_string(), "+12065550100");
    }

    #[test]
    fn what_is_no_number_is_refused_by_name() {
        assert_eq!("".parse::<E164>(), Err(NumberError::Length));
        assert_eq!("+1".parse::<E164>(), Err(NumberError::Length));
        assert_eq!("1234567890123456".parse::<E164>(), Err(NumberError::Length));
        assert_eq!("0123".parse::<E164>(), Err(NumberError::LeadingZero));
        assert_eq!("+1-206".parse::<E164>(), Err(NumberError::NotADigit));
    }

    #[test]
    fn prefixes_match_digits() {
        let number: E164 = "+442071838750".parse().unwrap();
        assert!(number.starts_with("+44"));
        assert!(number.starts_with("4420"));
        assert!(number.starts_with(""));
        assert!(!number.starts_with("45"));
        assert!(!number.starts_with("4420718387500"));
    }

    #[test]
    fn debug_masks_the_middle() {
        let number: E164 = "+12065550100".parse().unwrap();
        assert_eq!(format!("{number:?}"), "+12*******00");
    }
}
