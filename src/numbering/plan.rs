//! Whose a number is: the country and the class of every range that is assigned, by the table `plan.txt` (ITU-T
//! E.164, the plans of its members, NANPA).
//!
//! A range without a country belongs to no `CallingRegions`. A number in a known country may still be in no use:
//! the table tells what a call would cost whom, not whether somebody answers.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::prefix::{Prefix, PrefixMap};
use super::{Country, E164};

const TABLE: &str = include_str!("plan.txt");

/// Lines that are wrong are left out, and there is none: a test reads them all.
static PLAN: LazyLock<PrefixMap<Line>> = LazyLock::new(|| lines(TABLE).flatten().collect());

/// What a call to a number is, to whoever pays for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Class {
    /// A subscriber of a country, at a place or mobile.
    Ordinary,
    /// The called one pays.
    TollFree,
    /// Both pay, or the caller a little more than for an ordinary call.
    SharedCost,
    /// The called one earns by the call.
    PremiumRate,
    /// A number that follows a person anywhere, at any price: UPT, +44 70, 1-5XX.
    Personal,
    /// A satellite phone.
    Satellite,
    /// A network that no country has: +882, +883, +888.
    Network,
    /// No plan knows the number's first digits.
    Unassigned,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 8] = [
        Self::Ordinary,
        Self::TollFree,
        Self::SharedCost,
        Self::PremiumRate,
        Self::Personal,
        Self::Satellite,
        Self::Network,
        Self::Unassigned,
    ];

    /// The class as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::TollFree => "toll-free",
            Self::SharedCost => "shared-cost",
            Self::PremiumRate => "premium-rate",
            Self::Personal => "personal",
            Self::Satellite => "satellite",
            Self::Network => "network",
            Self::Unassigned => "unassigned",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no [`Class`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownClass;

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a class of numbers is one of ")?;
        for (index, class) in Class::ALL.into_iter().enumerate() {
            write!(f, "{}{class}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownClass {}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        let mut classes = Self::ALL.into_iter();
        let found = classes.find(|class| class.as_str() == text);
        found.ok_or(UnknownClass)
    }
}

/// What the plan says of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// Whose plan the number belongs to.
    pub country: Option<Country>,
    /// What a call to it is.
    pub class: Class,
}

/// A line of the table, without its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Line {
    assignment: Assignment,
    /// Shorter numbers are left to a shorter prefix.
    digits_min: u32,
}

impl E164 {
    /// Country and class together: one look-up.
    #[inline]
    pub fn assignment(self) -> Assignment {
        let assignment = self.planned().unwrap_or(Assignment {
            country: None,
            class: Class::Unassigned,
        });
        let is_ordinary = assignment.class == Class::Ordinary;
        match is_ordinary && self.is_mass_announcement(assignment.country) {
            true => Assignment {
                class: Class::PremiumRate,
                ..assignment
            },
            false => assignment,
        }
    }

    /// The country or territory whose number it is; `None` where it is nobody's or an international service's.
    #[inline]
    pub fn country(self) -> Option<Country> {
        self.assignment().country
    }

    /// What a call to the number is.
    #[inline]
    pub fn class(self) -> Class {
        self.assignment().class
    }

    #[inline]
    fn planned(self) -> Option<Assignment> {
        let is_about = |line: &Line| self.digit_count() >= line.digits_min;
        let (_, longest) = PLAN.longest_match(self)?;
        if is_about(longest) {
            return Some(longest.assignment);
        }
        let mut lines = PLAN.matches(self);
        let (_, line) = lines.find(|(_, line)| is_about(line))?;
        Some(line.assignment)
    }

    /// 1-NPA-976-XXXX, pay-per-call in every area code of the United States and Canada.
    fn is_mass_announcement(self, country: Option<Country>) -> bool {
        let area_has_them = country == Some(Country::US) || country == Some(Country::CA);
        area_has_them && self.digit_count() == 11 && self.digits() / 10_000 % 1_000 == 976
    }
}

/// Whether any number is the country's.
pub(super) fn has(country: Country) -> bool {
    let mut lines = PLAN.iter();
    lines.any(|(_, line)| line.assignment.country == Some(country))
}

/// The table's lines, but empty ones and remarks. A wrong one is handed back.
fn lines(table: &str) -> impl Iterator<Item = Result<(Prefix, Line), &str>> {
    let lines = table.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|text| line(text).ok_or(text))
}

fn line(text: &str) -> Option<(Prefix, Line)> {
    let mut words = text.split_ascii_whitespace();
    let prefix: Prefix = words.next()?.parse().ok()?;
    let country = match words.next()? {
        "-" => None,
        letters => Some(Country::of_letters(letters)?),
    };
    let class = words.next()?.parse().ok()?;
    let digits_min = words.next().map_or(Some(0), |word| word.parse().ok())?;
    let is_whole = words.next().is_none() && !prefix.is_empty();
    let line = Line {
        assignment: Assignment { country, class },
        digits_min,
    };
    is_whole.then_some((prefix, line))
}

#[cfg(test)]
mod tests;
