//! Countries, as `CallingRegions` name them.

use std::fmt;
use std::str::FromStr;

use super::plan;

/// Countries and territories of ISO 3166-1 that have no numbers of their own: they may be named, and no number
/// is theirs.
const WITHOUT_NUMBERS: [&[u8; 2]; 6] = [b"BV", b"GS", b"HM", b"PN", b"TF", b"UM"];

/// A country or territory by its ISO 3166-1 alpha-2 code, in capitals; also `AC`, `TA` and `XK`, which are in
/// use for places with telephone numbers and without a code of the standard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// The text names no country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownCountry;

impl fmt::Display for UnknownCountry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a country is its ISO 3166-1 alpha-2 code, such as US")
    }
}

impl std::error::Error for UnknownCountry {}

impl Country {
    /// The United States.
    pub const US: Self = Self(*b"US");
    /// Not a country: the numbers that none has, as far as something is counted by country. No number is of it.
    pub const NONE: Self = Self(*b"ZZ");
    /// Canada.
    pub const CA: Self = Self(*b"CA");

    /// The code's two letters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// A country by its two capitals, known or not.
    pub(super) fn of_letters(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        let are_capitals = letters.iter().all(u8::is_ascii_uppercase);
        are_capitals.then_some(Self(letters))
    }
}

/// In capitals or not.
impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        let country = Self::of_letters(&text.to_ascii_uppercase()).ok_or(UnknownCountry)?;
        let is_known = WITHOUT_NUMBERS.contains(&&country.0) || plan::has(country);
        is_known.then_some(country).ok_or(UnknownCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_read_and_written() {
        for code in ["US", "CA", "PR", "GG", "AQ", "TF", "XK"] {
            assert_eq!(code.parse::<Country>().unwrap().to_string(), code);
        }
        assert_eq!("us".parse::<Country>(), Ok(Country::US));
    }

    #[test]
    fn what_names_no_country_is_refused() {
        for text in ["", "U", "USA", "U1", "XX", "ZZ", "UK", "+1", "Ü"] {
            assert_eq!(text.parse::<Country>(), Err(UnknownCountry), "{text}");
        }
    }
}
