//! Tables by the first digits of a number. The cost of a look-up is that of the number's digits, however much the
//! table holds.

use std::fmt;
use std::str::FromStr;

use super::{Digits, E164, E164_DIGITS_MAX};

/// The first digits of numbers: none, which all numbers begin with, up to fifteen, the first not zero.
///
/// Prefixes are ordered as the words of a dictionary are, so that each is followed by those that begin with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    digits: u64,
    length: u32,
}

/// Why a text is not a [`Prefix`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrefixError {
    /// More than fifteen digits.
    Length,
    /// The first digit is zero.
    LeadingZero,
    /// Something other than a digit after the optional `+`.
    NotADigit,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a prefix has at most 15 digits",
            Self::LeadingZero => "a prefix is the begin of an E.164 number, and none begins with 0",
            Self::NotADigit => "a prefix is an optional + and digits",
        })
    }
}

impl std::error::Error for PrefixError {}

impl Prefix {
    /// What all numbers begin with.
    pub const ANY: Self = Self {
        digits: 0,
        length: 0,
    };

    /// How many digits there are: 0 to 15.
    pub const fn len(self) -> u32 {
        self.length
    }

    /// Whether this is [`Self::ANY`].
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Whether the number begins with these digits.
    pub const fn holds(self, number: E164) -> bool {
        match number.digit_count().checked_sub(self.length) {
            Some(further) => number.digits() / 10u64.pow(further) == self.digits,
            None => false,
        }
    }

    const fn each_digit(self) -> Digits {
        Digits::of(self.digits, self.length)
    }
}

/// With or without a `+` in front.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let text = text.strip_prefix('+').unwrap_or(text);
        if text.bytes().any(|byte| !byte.is_ascii_digit()) {
            return Err(PrefixError::NotADigit);
        }
        if text.starts_with('0') {
            return Err(PrefixError::LeadingZero);
        }
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if length > E164_DIGITS_MAX {
            return Err(PrefixError::Length);
        }
        let digits = if text.is_empty() { Ok(0) } else { text.parse() };
        digits
            .map(|digits| Self { digits, length })
            .map_err(|_| PrefixError::NotADigit)
    }
}

impl From<E164> for Prefix {
    fn from(number: E164) -> Self {
        Self {
            digits: number.digits(),
            length: number.digit_count(),
        }
    }
}

impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.each_digit().cmp(other.each_digit())
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// With a `+`.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_empty() {
            true => f.write_str("+"),
            false => write!(f, "+{}", self.digits),
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Values by prefix. A trie with a node for each digit of each prefix: 44 bytes a node.
#[derive(Clone)]
pub struct PrefixMap<T> {
    nodes: Vec<Node>,
    entries: Vec<(Prefix, T)>,
}

/// Prefixes alone.
pub type PrefixSet = PrefixMap<()>;

#[derive(Clone)]
struct Node {
    /// The nodes of the prefixes with one digit more; 0, the root, for none.
    children: [u32; 10],
    /// The place of this prefix's entry; [`NO_ENTRY`] for none.
    entry: u32,
}

const NO_ENTRY: u32 = u32::MAX;

const EMPTY: Node = Node {
    children: [0; 10],
    entry: NO_ENTRY,
};

impl<T> PrefixMap<T> {
    /// An empty map.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a value in, and returns the one that the prefix had.
    pub fn insert(&mut self, prefix: Prefix, value: T) -> Option<T> {
        let entry = self.node_for(prefix).entry;
        if let Some((_, held)) = self.entries.get_mut(entry as usize) {
            return Some(std::mem::replace(held, value));
        }
        self.node_for(prefix).entry = self.entries.len() as u32;
        self.entries.push((prefix, value));
        None
    }

    /// The value of exactly this prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&T> {
        let mut walk = self.walk(prefix.each_digit());
        let node = walk.nth(prefix.len() as usize)?;
        self.entry(node).map(|(_, value)| value)
    }

    /// The longest of the prefixes that the number begins with.
    #[inline]
    pub fn longest_match(&self, number: E164) -> Option<(Prefix, &T)> {
        let nodes = self.walk(number.each_digit());
        let entry = nodes
            .map(|node| node.entry)
            .filter(|entry| *entry != NO_ENTRY)
            .last()?;
        let (prefix, value) = self.entries.get(entry as usize)?;
        Some((*prefix, value))
    }

    /// All prefixes that the number begins with, the longest first.
    pub fn matches(&self, number: E164) -> Matches<'_, T> {
        let mut matches = Matches {
            entries: &self.entries,
            found: [NO_ENTRY; MATCHES_MAX],
            left: 0,
        };
        for node in self.walk(number.each_digit()) {
            if node.entry != NO_ENTRY {
                matches.found[matches.left] = node.entry;
                matches.left += 1;
            }
        }
        matches
    }

    /// All that was put in, each prefix where it was put first.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &T)> {
        self.entries.iter().map(|(prefix, value)| (*prefix, value))
    }

    /// The nodes that the digits lead through: the root, if there is any, and one a digit.
    #[inline]
    fn walk(&self, mut digits: Digits) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.nodes.first(), move |node| {
            match node.children[digits.next()?] {
                0 => None,
                child => self.nodes.get(child as usize),
            }
        })
    }

    fn entry(&self, node: &Node) -> Option<&(Prefix, T)> {
        self.entries.get(node.entry as usize)
    }

    /// The node of a prefix, made where there is none.
    fn node_for(&mut self, prefix: Prefix) -> &mut Node {
        if self.nodes.is_empty() {
            self.nodes.push(EMPTY);
        }
        let mut at = 0;
        for digit in prefix.each_digit() {
            let next = self.nodes.len();
            let child = &mut self.nodes[at].children[digit];
            if *child == 0 {
                *child = next as u32;
                self.nodes.push(EMPTY);
                at = next;
            } else {
                at = *child as usize;
            }
        }
        &mut self.nodes[at]
    }
}

impl PrefixSet {
    /// Whether the number begins with one of the prefixes.
    pub fn holds(&self, number: E164) -> bool {
        self.longest_match(number).is_some()
    }
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Of two values for a prefix the later one stays.
impl<T> FromIterator<(Prefix, T)> for PrefixMap<T> {
    fn from_iter<I: IntoIterator<Item = (Prefix, T)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (prefix, value) in entries {
            map.insert(prefix, value);
        }
        map
    }
}

impl FromIterator<Prefix> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        prefixes.into_iter().map(|prefix| (prefix, ())).collect()
    }
}

/// The same prefixes with the same values, in whatever order they came.
impl<T: PartialEq> PartialEq for PrefixMap<T> {
    fn eq(&self, other: &Self) -> bool {
        let mut entries = self.iter();
        self.len() == other.len() && entries.all(|(prefix, value)| other.get(prefix) == Some(value))
    }
}

impl<T: Eq> Eq for PrefixMap<T> {}

impl<T: fmt::Debug> fmt::Debug for PrefixMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Prefixes that a number may begin with: of each length one, and the empty one.
const MATCHES_MAX: usize = E164_DIGITS_MAX as usize + 1;

/// The prefixes that a number begins with, the longest first, with their values.
pub struct Matches<'a, T> {
    entries: &'a [(Prefix, T)],
    /// The shortest first.
    found: [u32; MATCHES_MAX],
    left: usize,
}

impl<'a, T> Iterator for Matches<'a, T> {
    type Item = (Prefix, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (prefix, value) = self.entries.get(self.found[self.left] as usize)?;
        Some((*prefix, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_read_and_written() {
        assert_eq!(prefix("+1206").to_string(), "+1206");
        assert_eq!(prefix("1206"), prefix("+1206"));
        assert_eq!(prefix(""), Prefix::ANY);
        assert_eq!(prefix("+").to_string(), "+");
        assert_eq!("0".parse::<Prefix>(), Err(PrefixError::LeadingZero));
        assert_eq!("1-2".parse::<Prefix>(), Err(PrefixError::NotADigit));
        let long = "1234567890123456".parse::<Prefix>();
        assert_eq!(long, Err(PrefixError::Length));
    }

    #[test]
    fn prefixes_are_in_the_order_of_a_dictionary() {
        let ordered = ["", "1", "12", "120", "13", "2", "20"].map(prefix);
        assert!(ordered.is_sorted());
    }

    #[test]
    fn the_longest_is_found_and_then_the_shorter_ones() {
        let texts = ["1", "1206", "", "12065550100", "44", "1207"];
        let mut map: PrefixMap<&str> = texts.map(|text| (prefix(text), text)).into_iter().collect();
        let number = "+12065550100".parse().unwrap();
        let found: Vec<&str> = map.matches(number).map(|(_, text)| *text).collect();
        assert_eq!(found, ["12065550100", "1206", "1", ""]);
        let other = "+12065550101".parse().unwrap();
        assert_eq!(map.longest_match(other), Some((prefix("1206"), &"1206")));
        assert_eq!(map.insert(prefix("1206"), "new"), Some("1206"));
        assert_eq!(map.get(prefix("1206")), Some(&"new"));
        assert_eq!(map.get(prefix("120")), None);
        assert_eq!(map.len(), texts.len());
    }

    #[test]
    fn an_empty_map_holds_nothing() {
        let set = PrefixSet::new();
        let number = "+12065550100".parse().unwrap();
        assert!(!set.holds(number) && set.matches(number).next().is_none());
        assert!(PrefixSet::from_iter([Prefix::ANY]).holds(number));
    }

    proptest! {
        #[test]
        fn a_map_finds_what_a_list_does(
            prefixes in proptest::collection::vec("([1-3][0-3]{0,6})?", 0..60),
            number in "[1-3][0-3]{1,14}",
        ) {
            let number: E164 = number.parse().unwrap();
            let map: PrefixMap<usize> =
                prefixes.iter().map(|text| prefix(text)).zip(0..).collect();
            let mut held: Vec<(Prefix, usize)> = prefixes.iter().enumerate()
                .filter(|(index, text)| number.starts_with(text) && !prefixes[index + 1..].contains(text))
                .map(|(index, text)| (prefix(text), index))
                .collect();
            held.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            let found: Vec<_> = map.matches(number).map(|(prefix, value)| (prefix, *value)).collect();
            prop_assert_eq!(&found, &held);
            prop_assert_eq!(map.longest_match(number).map(|(prefix, _)| prefix), held.first().map(|(prefix, _)| *prefix));
            prop_assert!(held.iter().all(|(prefix, _)| prefix.holds(number)));
            let sorted: std::collections::BTreeMap<Prefix, usize> =
                map.iter().map(|(prefix, value)| (prefix, *value)).collect();
            prop_assert_eq!(&map, &sorted.into_iter().collect());
        }

        #[test]
        fn a_prefix_holds_the_numbers_that_begin_with_it(text in "[1-9][0-9]{0,14}", number in "[1-9][0-9]{1,14}") {
            let number: E164 = number.parse().unwrap();
            prop_assert_eq!(prefix(&text).holds(number), number.starts_with(&text));
            prop_assert!(Prefix::from(number).holds(number));
        }
    }
}
