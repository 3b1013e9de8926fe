//! How an end of a trunk writes numbers: a PBX or a carrier that says `+12065550100`, `12065550100`,
//! `0012065550100`, `01112065550100`, or `2065550100` at home.
//!
//! Nothing is guessed. What is dialled is read by the first of these that fits it, and by none after that one even
//! where the rest is no number then:
//!
//! 1. `+`: what follows is an E.164 number;
//! 2. an international prefix, the longest that fits: what follows is an E.164 number;
//! 3. the national prefix: what follows is a national number, to be preceded by the own country code;
//! 4. digits without any of these: what [`Plain`] says.

use std::fmt;
use std::str::FromStr;

use super::E164;

/// Digits of an international prefix at most; the longest in use (Colombia's, with a carrier's code) have 5.
const INTERNATIONAL_PREFIX_MAX: usize = 5;

/// International prefixes of one end at most.
pub const INTERNATIONAL_PREFIXES_MAX: usize = 8;

/// Digits of a national number of the North American Numbering Plan: area code, exchange, line.
const NANP_DIGITS: usize = 10;

/// What an end writes in front of a country code: `00`, `011`, `0011`; 2 to 5 digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InternationalPrefix(Box<str>);

/// A country code of ITU-T E.164, 1 to 3 digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountryCode(u16);

/// What an end writes in front of a national number (trunk prefix): nothing, or one or two digits, such as `0`
/// in most of Europe, `1` in North America.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NationalPrefix(Box<str>);

/// Digits that stand for a part of a number, and are too few, too many, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartError {
    /// Not 2 to 5 digits.
    InternationalPrefix,
    /// Not 1 to 3 digits, the first not 0.
    CountryCode,
    /// Not 0 to 2 digits.
    NationalPrefix,
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InternationalPrefix => {
                "an international prefix has 2 to 5 digits, such as 00 or 011"
            }
            Self::CountryCode => "a country code has 1 to 3 digits, the first not 0, such as 44",
            Self::NationalPrefix => "a national prefix has at most 2 digits, such as 0",
        })
    }
}

impl std::error::Error for PartError {}

fn are_digits(text: &str, count: std::ops::RangeInclusive<usize>) -> bool {
    count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for InternationalPrefix {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let fits = are_digits(text, 2..=INTERNATIONAL_PREFIX_MAX);
        fits.then(|| Self(text.into()))
            .ok_or(PartError::InternationalPrefix)
    }
}

/// With or without a `+` in front.
impl FromStr for CountryCode {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let fits = are_digits(text, 1..=3) && !text.starts_with('0');
        let code = fits.then(|| text.parse().ok()).flatten();
        code.map(Self).ok_or(PartError::CountryCode)
    }
}

impl FromStr for NationalPrefix {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let fits = are_digits(text, 0..=2);
        fits.then(|| Self(text.into()))
            .ok_or(PartError::NationalPrefix)
    }
}

impl CountryCode {
    /// North America's.
    const NANP: Self = Self(1);

    /// The national number of a number in this code.
    fn national_of(self, number: E164) -> Option<u64> {
        let length = self.0.ilog10() + 1;
        let power = 10u64.pow(number.digit_count().checked_sub(length)?);
        (number.digits() / power == u64::from(self.0)).then_some(number.digits() % power)
    }
}

/// The plan that an end is at home in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    /// Its country code.
    pub country_code: CountryCode,
    /// What it puts in front of a national number. Where nothing, national numbers are known by
    /// [`Plain::National`] only.
    pub national_prefix: NationalPrefix,
}

/// What digits are that begin with no prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plain {
    /// No number: nobody knows whether `2025550123` is in Washington or in Cairo.
    Refused,
    /// An E.164 number that has lost its `+`.
    E164,
    /// A national number of the end's home.
    National,
}

/// The form that numbers are written in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// `+` and the number.
    Plus,
    /// The number without `+`.
    Digits,
    /// An international prefix and the number.
    International(InternationalPrefix),
}

/// How an end of a trunk writes numbers. The parts as they are said; [`DiallingRules`] are the ones that fit together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    /// The plan that it is at home in.
    pub home: Option<Home>,
    /// What it may write instead of `+`; 8 at most.
    pub international_prefixes: Vec<InternationalPrefix>,
    /// What digits without a prefix are.
    pub plain: Plain,
    /// Digits of a number at least, with the country code: fewer are a service or part of a number.
    pub digits_min: u32,
    /// How a number is written to it.
    pub form: Form,
    /// Whether a number of its home is written as a national one instead, with the national prefix.
    pub national_at_home: bool,
}

/// How an end of a trunk writes numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiallingRules(Parts);

/// Parts that do not fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RulesError {
    /// National numbers are to be read or written, and the country code is not said.
    NoCountryCode,
    /// More than 8 international prefixes.
    TooManyPrefixes,
    /// Numbers have at most 15 digits.
    DigitsMin,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCountryCode => "national numbers need a country code",
            Self::TooManyPrefixes => "there are at most 8 international prefixes",
            Self::DigitsMin => "a number has at most 15 digits: no more can be asked for",
        })
    }
}

impl std::error::Error for RulesError {}

/// Why what was dialled is no number by the rules; the peer is answered 484.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialError {
    /// Nothing, or something besides digits and a leading `+`.
    NotDigits,
    /// Digits without a prefix, which the rules do not read.
    NoPrefix,
    /// Fewer digits than a number has.
    TooShort,
    /// More digits than a number has.
    TooLong,
    /// The country code, or North America's area code, begins with a digit that none begins with.
    NoSuchCode,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDigits => "what is dialled is not made of digits",
            Self::NoPrefix => "what is dialled has no prefix that tells what it is",
            Self::TooShort => "what is dialled is too short for a number",
            Self::TooLong => "what is dialled is too long for a number",
            Self::NoSuchCode => "what is dialled has no country or area code",
        })
    }
}

impl std::error::Error for DialError {}

impl DiallingRules {
    /// The rules, where the parts fit together.
    pub fn new(mut parts: Parts) -> Result<Self, RulesError> {
        let is_national = parts.plain == Plain::National || parts.national_at_home;
        if is_national && parts.home.is_none() {
            return Err(RulesError::NoCountryCode);
        }
        if parts.international_prefixes.len() > INTERNATIONAL_PREFIXES_MAX {
            return Err(RulesError::TooManyPrefixes);
        }
        if parts.digits_min > super::E164_DIGITS_MAX {
            return Err(RulesError::DigitsMin);
        }
        let prefixes = &mut parts.international_prefixes;
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.0.len()));
        Ok(Self(parts))
    }

    /// What the rules were made of.
    pub const fn parts(&self) -> &Parts {
        &self.0
    }

    /// A customer of whom nothing is said: with `+`, both ways.
    pub const fn customer() -> Self {
        Self(Parts {
            home: None,
            international_prefixes: Vec::new(),
            plain: Plain::Refused,
            digits_min: 2,
            form: Form::Plus,
            national_at_home: false,
        })
    }

    /// A carrier of whom nothing is said: it may leave the `+` out, is written to with it, and a number has
    /// seven digits at least.
    pub const fn carrier() -> Self {
        Self(Parts {
            home: None,
            international_prefixes: Vec::new(),
            plain: Plain::E164,
            digits_min: 7,
            form: Form::Plus,
            national_at_home: false,
        })
    }

    /// The number that was dialled: digits, with or without `+`, visual separators taken out.
    pub fn read(&self, dialled: &str) -> Result<E164, DialError> {
        let rules = &self.0;
        let digits = dialled.strip_prefix('+').unwrap_or(dialled);
        if digits.is_empty() || digits.bytes().any(|byte| !byte.is_ascii_digit()) {
            return Err(DialError::NotDigits);
        }
        if digits.len() < dialled.len() {
            return self.international(digits);
        }
        let mut prefixes = rules.international_prefixes.iter();
        if let Some(rest) = prefixes.find_map(|prefix| digits.strip_prefix(&*prefix.0)) {
            return self.international(rest);
        }
        let with_prefix = rules.home.as_ref().and_then(|home| {
            let prefix = &*home.national_prefix.0;
            let rest = digits.strip_prefix(prefix)?;
            (!prefix.is_empty()).then_some((home, rest))
        });
        if let Some((home, rest)) = with_prefix {
            return self.national(home, rest);
        }
        match (rules.plain, &rules.home) {
            (Plain::E164, _) => self.international(digits),
            (Plain::National, Some(home)) => self.national(home, digits),
            (Plain::Refused, _) | (Plain::National, None) => Err(DialError::NoPrefix),
        }
    }

    /// The number as it is written to this end; to be displayed.
    pub fn write(&self, number: E164) -> Written<'_> {
        Written {
            rules: self,
            number,
        }
    }

    fn international(&self, digits: &str) -> Result<E164, DialError> {
        if digits.starts_with('0') {
            return Err(DialError::NoSuchCode);
        }
        let value = digits.parse().map_err(|_| match digits.is_empty() {
            true => DialError::TooShort,
            false => DialError::TooLong,
        })?;
        self.whole(value)
    }

    /// In North America ten digits, an area code first that begins with 2 to 9; elsewhere as long as they are.
    fn national(&self, home: &Home, digits: &str) -> Result<E164, DialError> {
        if home.country_code == CountryCode::NANP {
            match digits.len().cmp(&NANP_DIGITS) {
                std::cmp::Ordering::Less => return Err(DialError::TooShort),
                std::cmp::Ordering::Greater => return Err(DialError::TooLong),
                std::cmp::Ordering::Equal if digits.starts_with(['0', '1']) => {
                    return Err(DialError::NoSuchCode);
                }
                std::cmp::Ordering::Equal => {}
            }
        }
        let length = u32::try_from(digits.len()).unwrap_or(u32::MAX);
        let power = 10u64.checked_pow(length).ok_or(DialError::TooLong)?;
        let national: u64 = match digits.is_empty() {
            true => return Err(DialError::TooShort),
            false => digits.parse().map_err(|_| DialError::TooLong)?,
        };
        let value = u64::from(home.country_code.0).checked_mul(power);
        let value = value.and_then(|code| code.checked_add(national));
        self.whole(value.ok_or(DialError::TooLong)?)
    }

    fn whole(&self, digits: u64) -> Result<E164, DialError> {
        let number = E164::from_digits(digits).ok_or(match digits {
            0..10 => DialError::TooShort,
            10.. => DialError::TooLong,
        })?;
        let is_whole = number.digit_count() >= self.0.digits_min;
        is_whole.then_some(number).ok_or(DialError::TooShort)
    }
}

/// A number in the form of an end of a trunk.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    rules: &'a DiallingRules,
    number: E164,
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = &self.rules.0;
        let home = rules.home.as_ref().filter(|_| rules.national_at_home);
        if let Some(home) = home
            && let Some(national) = home.country_code.national_of(self.number)
        {
            // A national number may begin with a zero (Italy's).
            let code_digits = home.country_code.0.ilog10() + 1;
            let width = (self.number.digit_count() - code_digits) as usize;
            return write!(f, "{}{national:0width$}", home.national_prefix.0);
        }
        let digits = self.number.digits();
        match &rules.form {
            Form::Plus => write!(f, "+{digits}"),
            Form::Digits => write!(f, "{digits}"),
            Form::International(prefix) => write!(f, "{}{digits}", prefix.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn home(country_code: &str, national_prefix: &str) -> Option<Home> {
        Some(Home {
            country_code: country_code.parse().unwrap(),
            national_prefix: national_prefix.parse().unwrap(),
        })
    }

    fn rules(home: Option<Home>, prefixes: &[&str], plain: Plain) -> DiallingRules {
        let prefixes = prefixes.iter().map(|prefix| prefix.parse().unwrap());
        let parts = Parts {
            home,
            international_prefixes: prefixes.collect(),
            plain,
            digits_min: 7,
            form: Form::Plus,
            national_at_home: false,
        };
        DiallingRules::new(parts).unwrap()
    }

    fn reads(rules: &DiallingRules, dialled: &str, number: &str) {
        assert_eq!(
            rules.read(dialled),
            Ok(number.parse().unwrap()),
            "{dialled}"
        );
    }

    fn refuses(rules: &DiallingRules, dialled: &str, why: DialError) {
        assert_eq!(rules.read(dialled), Err(why), "{dialled}");
    }

    #[test]
    fn a_customer_dials_plus_and_a_carrier_may_leave_it_out() {
        let customer = DiallingRules::customer();
        reads(&customer, "+12065550100", "+12065550100");
        reads(&customer, "+12", "+12");
        refuses(&customer, "12065550100", DialError::NoPrefix);
        refuses(&customer, "0012065550100", DialError::NoPrefix);
        refuses(&customer, "911", DialError::NoPrefix);
        let carrier = DiallingRules::carrier();
        reads(&carrier, "+12065550100", "+12065550100");
        reads(&carrier, "12065550100", "+12065550100");
        reads(&carrier, "1234567", "+1234567");
        refuses(&carrier, "123456", DialError::TooShort);
        refuses(&carrier, "+123456", DialError::TooShort);
        refuses(&carrier, "0012065550100", DialError::NoSuchCode);
        for rules in [customer, carrier] {
            for (dialled, why) in [
                ("", DialError::NotDigits),
                ("+", DialError::NotDigits),
                ("++1206", DialError::NotDigits),
                ("1206555a100", DialError::NotDigits),
                ("*72", DialError::NotDigits),
                ("+0123456789", DialError::NoSuchCode),
                ("+1234567890123456", DialError::TooLong),
                ("+99999999999999999999999", DialError::TooLong),
                ("+5", DialError::TooShort),
            ] {
                refuses(&rules, dialled, why);
            }
        }
    }

    #[test]
    fn a_pbx_in_london() {
        let rules = rules(home("44", "0"), &["00"], Plain::Refused);
        reads(&rules, "02071838750", "+442071838750");
        reads(&rules, "0012065550100", "+12065550100");
        reads(&rules, "+12065550100", "+12065550100");
        refuses(&rules, "2071838750", DialError::NoPrefix);
        refuses(&rules, "0", DialError::TooShort);
        refuses(&rules, "00", DialError::TooShort);
        refuses(&rules, "0999", DialError::TooShort);
        refuses(&rules, "02071838750123456", DialError::TooLong);
        refuses(&rules, "01234567890123456789012345", DialError::TooLong);
    }

    #[test]
    fn a_pbx_in_seattle() {
        let rules = rules(home("1", "1"), &["011"], Plain::National);
        reads(&rules, "2065550100", "+12065550100");
        reads(&rules, "12065550100", "+12065550100");
        reads(&rules, "011442071838750", "+442071838750");
        refuses(&rules, "5550100", DialError::TooShort);
        refuses(&rules, "911", DialError::TooShort);
        refuses(&rules, "120655501001", DialError::TooLong);
        refuses(&rules, "0065550100", DialError::NoSuchCode);
        refuses(&rules, "11065550100", DialError::NoSuchCode);
    }

    #[test]
    fn the_zero_of_an_italian_number_stays() {
        let reading = rules(home("39", ""), &["00"], Plain::National);
        reads(&reading, "0669812345", "+390669812345");
        reads(&reading, "0012065550100", "+12065550100");
        let writing = DiallingRules::new(Parts {
            national_at_home: true,
            ..reading.0
        })
        .unwrap();
        let number = "+390669812345".parse().unwrap();
        assert_eq!(writing.write(number).to_string(), "0669812345");
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        // 011 is also Turin and Leeds at home: the international prefix comes first.
        let rules = rules(home("44", "0"), &["00", "011", "0011"], Plain::E164);
        reads(&rules, "01134567890", "+34567890");
        reads(&rules, "001134567890", "+34567890");
        refuses(&rules, "01102345678", DialError::NoSuchCode);
        reads(&rules, "02071838750", "+442071838750");
        reads(&rules, "442071838750", "+442071838750");
    }

    #[test]
    fn a_number_is_written_as_an_end_wants_it() {
        let number = "+442071838750".parse().unwrap();
        let london = rules(home("44", "0"), &[], Plain::E164).0;
        for (form, at_home, written) in [
            (Form::Plus, false, "+442071838750"),
            (Form::Digits, false, "442071838750"),
            (
                Form::International("00".parse().unwrap()),
                false,
                "00442071838750",
            ),
            (
                Form::International("011".parse().unwrap()),
                false,
                "011442071838750",
            ),
            (Form::Digits, true, "02071838750"),
        ] {
            let rules = DiallingRules::new(Parts {
                form,
                national_at_home: at_home,
                ..london.clone()
            });
            assert_eq!(rules.unwrap().write(number).to_string(), written);
        }
        let abroad = DiallingRules::new(Parts {
            national_at_home: true,
            ..london
        })
        .unwrap();
        assert_eq!(
            abroad.write("+33123456789".parse().unwrap()).to_string(),
            "+33123456789"
        );
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let parts = DiallingRules::carrier().0;
        let new = |parts| DiallingRules::new(parts).err();
        assert_eq!(new(parts.clone()), None);
        let plain = Parts {
            plain: Plain::National,
            ..parts.clone()
        };
        assert_eq!(new(plain), Some(RulesError::NoCountryCode));
        let at_home = Parts {
            national_at_home: true,
            ..parts.clone()
        };
        assert_eq!(new(at_home), Some(RulesError::NoCountryCode));
        let long = Parts {
            digits_min: 16,
            ..parts.clone()
        };
        assert_eq!(new(long), Some(RulesError::DigitsMin));
        let prefixes = vec!["00".parse().unwrap(); INTERNATIONAL_PREFIXES_MAX + 1];
        let many = Parts {
            international_prefixes: prefixes,
            ..parts
        };
        assert_eq!(new(many), Some(RulesError::TooManyPrefixes));
        for text in ["0", "123456", "+00", ""] {
            assert_eq!(
                text.parse::<InternationalPrefix>(),
                Err(PartError::InternationalPrefix)
            );
        }
        for text in ["0", "1234", "", "4x"] {
            assert_eq!(text.parse::<CountryCode>(), Err(PartError::CountryCode));
        }
        assert_eq!(
            "123".parse::<NationalPrefix>(),
            Err(PartError::NationalPrefix)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            number in "(44|1[2-9]|39|880)[0-9]{9}", code in "44|1|39|880", form in 0..4, at_home: bool,
        ) {
            let number: E164 = number.parse().unwrap();
            let form = match form {
                0 => Form::Plus,
                1 => Form::Digits,
                2 => Form::International("00".parse().unwrap()),
                _ => Form::International("011".parse().unwrap()),
            };
            // Two digits that no number of these begins with.
            let mut parts = rules(home(&code, "07"), &["00", "011"], Plain::E164).0;
            (parts.form, parts.national_at_home) = (form, at_home);
            let rules = DiallingRules::new(parts).unwrap();
            let written = rules.write(number).to_string();
            prop_assert_eq!(rules.read(&written), Ok(number), "{}", written);
        }

        #[test]
        fn whatever_is_dialled_is_a_number_or_an_error(
            dialled in "(\\+|0|00|011|1)?[0-9*#a+]{0,24}", code in "[1-9][0-9]{0,2}", national in "[01]?", plain in 0..3usize,
        ) {
            let plain = [Plain::Refused, Plain::E164, Plain::National][plain];
            let rules = rules(home(&code, &national), &["00", "011"], plain);
            if let Ok(number) = rules.read(&dialled) {
                prop_assert!(number.digit_count() >= 7);
                let digits = number.digits().to_string();
                let tail = &digits[digits.len() - 3..];
                prop_assert!(dialled.ends_with(tail), "{} of {}", number, dialled);
            }
        }
    }
}
