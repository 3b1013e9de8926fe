//! Addresses for emergency calls: written in one way, and looked up where the operator has a table of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::ApiState;
use super::errors::ApiError;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};

/// Suggestions that an answer has at most.
const CANDIDATES_MAX: usize = 5;

/// Directions as the postal service writes them, and in full.
const DIRECTIONS: [(&str, &str); 8] = [
    ("N", "NORTH"),
    ("S", "SOUTH"),
    ("E", "EAST"),
    ("W", "WEST"),
    ("NE", "NORTHEAST"),
    ("NW", "NORTHWEST"),
    ("SE", "SOUTHEAST"),
    ("SW", "SOUTHWEST"),
];

/// Street suffixes as the postal service writes them (USPS Publication 28, appendix C1), and how else.
const SUFFIXES: [(&str, &[&str]); 20] = [
    ("ALY", &["ALLEY"]),
    ("AVE", &["AVENUE", "AV", "AVEN"]),
    ("BLVD", &["BOULEVARD", "BOUL"]),
    ("CIR", &["CIRCLE", "CIRC"]),
    ("CT", &["COURT"]),
    ("CRES", &["CRESCENT"]),
    ("DR", &["DRIVE", "DRIV"]),
    ("EXPY", &["EXPRESSWAY", "EXPW"]),
    ("HWY", &["HIGHWAY", "HIWAY"]),
    ("LN", &["LANE"]),
    ("LOOP", &["LOOPS"]),
    ("PKWY", &["PARKWAY", "PKY"]),
    ("PL", &["PLACE"]),
    ("PLZ", &["PLAZA"]),
    ("RD", &["ROAD"]),
    ("SQ", &["SQUARE", "SQR"]),
    ("ST", &["STREET", "STR"]),
    ("TER", &["TERRACE", "TERR"]),
    ("TRL", &["TRAIL"]),
    ("WAY", &["WY"]),
];

/// An address in the one way that it is written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Address {
    country: String,
    state: String,
    city: String,
    postal_code: String,
    plus_four: String,
    pre_directional: String,
    street_name: String,
    street_suffix: String,
    post_directional: String,
    street_number: String,
}

impl Address {
    fn new(
        number: &str,
        street: &str,
        (city, state): (&str, &str),
        postal_code: &str,
        country: &str,
    ) -> Self {
        let street = plain(street);
        let mut words: Vec<&str> = street.split(' ').collect();
        // A street may be called after a direction, or Avenue: something has to be left for its name.
        let mut taken = |from_front: bool, known: fn(&str) -> Option<&'static str>| {
            let word = if from_front {
                words.first()
            } else {
                words.last()
            };
            let found = word.copied().and_then(known).filter(|_| words.len() > 1);
            match (found, from_front) {
                (Some(_), true) => drop(words.remove(0)),
                (Some(_), false) => drop(words.pop()),
                (None, _) => {}
            }
            found.unwrap_or_default().to_owned()
        };
        let post_directional = taken(false, direction);
        let street_suffix = taken(false, suffix);
        let pre_directional = taken(true, direction);
        let postal_code = plain(postal_code);
        let (postal_code, plus_four) = postal_code.split_once('-').unwrap_or((&postal_code, ""));
        Self {
            country: plain(country),
            state: plain(state),
            city: plain(city),
            postal_code: postal_code.to_owned(),
            plus_four: plus_four.to_owned(),
            pre_directional,
            street_name: words.join(" "),
            street_suffix,
            post_directional,
            street_number: plain(number),
        }
    }

    fn of(input: &Input) -> Self {
        Self::new(
            input.text("StreetNumber"),
            input.text("StreetInfo"),
            (input.text("City"), input.text("State")),
            input.text("PostalCode"),
            input.text("Country"),
        )
    }

    /// `N MAIN ST`
    fn street(&self) -> String {
        let parts = [
            &self.pre_directional,
            &self.street_name,
            &self.street_suffix,
            &self.post_directional,
        ];
        let parts: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        let there = parts.into_iter().filter(|part| !part.is_empty());
        there.collect::<Vec<_>>().join(" ")
    }

    /// The same address, whatever is known of the last four digits of its postal code.
    fn is(&self, other: &Self) -> bool {
        let without = |address: &Self| Self {
            plus_four: String::new(),
            ..address.clone()
        };
        without(self) == without(other)
    }

    /// Whether the request wrote it so, capitals aside.
    fn is_as_sent(&self, input: &Input) -> bool {
        let postal_code = match self.plus_four.is_empty() {
            true => self.postal_code.clone(),
            false => format!("{}-{}", self.postal_code, self.plus_four),
        };
        [
            ("StreetNumber", &self.street_number),
            ("StreetInfo", &self.street()),
            ("City", &self.city),
            ("State", &self.state),
            ("Country", &self.country),
            ("PostalCode", &postal_code),
        ]
        .iter()
        .all(|(member, ours)| input.text(member).eq_ignore_ascii_case(ours))
    }

    /// An id that says nothing of the address, and is the same each time.
    fn external_id(&self) -> String {
        let digest = Sha256::digest(format!("{self:?}"));
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Capitals, single spaces, no punctuation.
fn plain(text: &str) -> String {
    let without = text.replace(['.', ','], " ").to_uppercase();
    without.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn direction(word: &str) -> Option<&'static str> {
    let mut all = DIRECTIONS.iter();
    all.find(|(short, full)| [*short, *full].contains(&word))
        .map(|(short, _)| *short)
}

fn suffix(word: &str) -> Option<&'static str> {
    let mut all = SUFFIXES.iter();
    all.find(|(short, others)| *short == word || others.contains(&word))
        .map(|(short, _)| *short)
}

/// The operator's addresses, by postal code.
#[derive(Default, Debug)]
pub struct AddressTable {
    by_postal_code: BTreeMap<String, Vec<Address>>,
}

impl AddressTable {
    /// Reads a table: a line each with street number, street, city, state, postal code and country between tabs.
    /// A line that begins with `#` is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line does not have six columns: a text that says which.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|line| {
            format!(
                "{}: line {line}: expected street number, street, city, state, postal code and country, with tabs between them",
                path.display()
            )
        })
    }

    fn parse(text: &str) -> Result<Self, usize> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let [number, street, city, state, postal_code, country] = columns[..] else {
                return Err(index + 1);
            };
            let address = Address::new(number, street, (city, state), postal_code, country);
            let of_code = table.by_postal_code.entry(address.postal_code.clone());
            of_code.or_default().push(address);
        }
        Ok(table)
    }

    fn is_empty(&self) -> bool {
        self.by_postal_code.is_empty()
    }

    fn find(&self, wanted: &Address) -> Option<&Address> {
        let near = self.by_postal_code.get(&wanted.postal_code)?;
        near.iter().find(|address| address.is(wanted))
    }

    /// Addresses that may have been meant: of the same street first, the nearest number first.
    fn candidates(&self, wanted: &Address) -> Vec<&Address> {
        let of_code = self.by_postal_code.get(&wanted.postal_code);
        let number = |address: &Address| address.street_number.parse::<i64>().unwrap_or_default();
        let mut near: Vec<&Address> = of_code.into_iter().flatten().collect();
        near.sort_by_key(|address| {
            let is_other_street = address.street_name != wanted.street_name;
            (is_other_street, (number(address) - number(wanted)).abs())
        });
        near.truncate(CANDIDATES_MAX);
        near
    }
}

/// `ValidateE911Address`. Without a table an address counts as it is written: nobody here knows better.
pub(super) fn validate(
    state: &ApiState,
    _request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let sent = Address::of(input);
    let known = match state.e911_addresses.is_empty() {
        true => Some(&sent),
        false => state.e911_addresses.find(&sent),
    };
    let Some(address) = known else {
        let candidates = state.e911_addresses.candidates(&sent);
        let candidates: Vec<_> = candidates
            .into_iter()
            .map(|address| {
                json!({
                    "streetInfo": address.street(),
                    "streetNumber": address.street_number,
                    "city": address.city,
                    "state": address.state,
                    "postalCode": address.postal_code,
                    "postalCodePlus4": some(&address.plus_four),
                    "country": address.country,
                })
            })
            .collect();
        return ApiResponse::json(&json!({
            "ValidationResult": 2,
            "CandidateAddressList": candidates,
        }));
    };
    ApiResponse::json(&json!({
        "ValidationResult": u8::from(!address.is_as_sent(input)),
        "AddressExternalId": address.external_id(),
        "Address": {
            "streetName": address.street_name,
            "streetSuffix": some(&address.street_suffix),
            "postDirectional": some(&address.post_directional),
            "preDirectional": some(&address.pre_directional),
            "streetNumber": address.street_number,
            "city": address.city,
            "state": address.state,
            "postalCode": address.postal_code,
            "postalCodePlus4": some(&address.plus_four),
            "country": address.country,
        },
        "CandidateAddressList": [],
    }))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: &str, street: &str) -> Address {
        Address::new(number, street, ("Seattle", "wa"), "98101-1234", "us")
    }

    #[test]
    fn a_street_has_one_way_to_be_written() {
        for street in ["North Main Street", "n. main st.", "  N  Main  STR "] {
            assert_eq!(address("12", street).street(), "N MAIN ST", "{street}");
        }
        let parts = address("12", "Lake Washington Boulevard Northeast");
        assert_eq!(parts.street_name, "LAKE WASHINGTON");
        assert_eq!(parts.street_suffix, "BLVD");
        assert_eq!(parts.post_directional, "NE");
        assert_eq!(
            (parts.postal_code.as_str(), parts.plus_four.as_str()),
            ("98101", "1234")
        );
        // What is left of a name is the name.
        assert_eq!(address("1", "Avenue").street_name, "AVENUE");
        assert_eq!(address("1", "North Street").street_name, "NORTH");
        assert_eq!(address("1", "8th Ave").street(), "8TH AVE");
    }

    #[test]
    fn a_table_is_read_and_its_faults_told() {
        let table =
            AddressTable::parse("# all\n\n12\tN Main St\tSeattle\tWA\t98101\tUS\n").unwrap();
        assert!(table.find(&address("12", "North Main Street")).is_some());
        assert!(table.find(&address("13", "North Main Street")).is_none());
        assert_eq!(
            AddressTable::parse("# all\n12\tN Main St\n").unwrap_err(),
            2
        );
    }

    #[test]
    fn candidates_are_those_nearby() {
        let lines = ["2\tOak St", "100\tMain St", "14\tMain St", "10\tMain St"];
        let text: String = lines
            .iter()
            .map(|line| format!("{line}\tSeattle\tWA\t98101\tUS\n"))
            .collect();
        let table = AddressTable::parse(&text).unwrap();
        let wanted = address("12", "Main Street");
        let found: Vec<String> = table
            .candidates(&wanted)
            .iter()
            .map(|address| format!("{} {}", address.street_number, address.street()))
            .collect();
        assert_eq!(
            found,
            ["14 MAIN ST", "10 MAIN ST", "100 MAIN ST", "2 OAK ST"]
        );
    }
}
