//! What the patterns of the crate `phonenumber` say of the same numbers.
//!
//! Its own parser drops the zero that an Italian number begins with, and takes the first of several countries; so
//! its patterns are asked: all countries that a number may be of, and its class in each.

use std::sync::LazyLock;

use phonenumber::Type;
use phonenumber::metadata::{DATABASE, Descriptor};
use regex_lite::Regex;

use super::*;
use crate::shard::random::Random;

struct Region {
    code: String,
    id: String,
    leading: Option<Regex>,
    general: Regex,
    kinds: Vec<(Type, Regex, Option<String>)>,
}

static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let of_countries = DATABASE.iter().filter(|region| region.id() != "001");
    let services = (800..1_000u16).filter_map(|code| DATABASE.by_code(&code));
    let services = services.flatten().filter(|region| region.id() == "001");
    of_countries.chain(services).map(region).collect()
});

fn region(found: &phonenumber::Metadata) -> Region {
    // In the order in which one that fits two of them is told.
    let kinds = [
        Type::PremiumRate,
        Type::TollFree,
        Type::SharedCost,
        Type::Voip,
        Type::PersonalNumber,
        Type::Pager,
        Type::Uan,
        Type::Voicemail,
        Type::FixedLine,
        Type::Mobile,
    ];
    // The patterns are laid out over lines.
    let packed = |text: &str| text.split_whitespace().collect::<String>();
    let whole = |text: &str| Regex::new(&format!("^(?:{})$", packed(text))).unwrap();
    let pattern = |one: &Descriptor| whole(one.national_number().as_str());
    let descriptors = found.descriptors();
    let described = kinds.into_iter().filter_map(|kind| {
        let one = descriptors.get(kind)?;
        Some((kind, pattern(one), one.example().map(str::to_owned)))
    });
    Region {
        code: found.country_code().to_string(),
        id: found.id().to_owned(),
        leading: found
            .leading_digits()
            .map(|text| Regex::new(&format!("^(?:{})", packed(text.as_str()))).unwrap()),
        general: pattern(descriptors.general()),
        kinds: described.collect(),
    }
}

impl Region {
    fn kind_of(&self, national: &str) -> Option<Type> {
        let leading = self.leading.as_ref();
        let may_be = leading.is_none_or(|leading| leading.is_match(national))
            && self.general.is_match(national);
        let mut kinds = self.kinds.iter();
        let fits = kinds.find(|(_, pattern, _)| may_be && pattern.is_match(national))?;
        Some(fits.0)
    }

    /// The country as the plan has it.
    fn country(&self) -> Option<Country> {
        (self.id != "001").then(|| self.id.parse().unwrap())
    }
}

/// The countries that a number may be of, with its class there.
fn opinions(code: &str, national: &str) -> Vec<(Option<Country>, Type)> {
    let regions = REGIONS.iter().filter(|region| region.code == code);
    let told = regions.filter_map(|region| Some((region.country(), region.kind_of(national)?)));
    told.collect()
}

/// Numbers on which the plan is of another mind, `x` for any digit, and why.
const DISAGREEMENTS: [(&str, &str); 12] = [
    (
        "1310",
        "310-XXXX is dialled within Canada, without an area code; 1-310 is Los Angeles",
    ),
    (
        "1xxx976",
        "pay-per-call in all of the United States and Canada, also where it is not in use",
    ),
    (
        "18001",
        "a toll-free number is counted to the US, also one that only the Dominican Republic reaches",
    ),
    (
        "4484",
        "84 costs a little more than a call and is shared-cost; premium rate begins with 87 and 9",
    ),
    (
        "449",
        "premium rate is counted to GB, whichever of the islands shows it",
    ),
    (
        "447924",
        "Manx Telecom's, and left out of the leading digits of the Isle of Man",
    ),
    (
        "49137",
        "137 calls to shows and votes cost up to 1 EUR, whatever their sharing is called",
    ),
    (
        "6721",
        "Australia's stations in Antarctica, which the patterns count to Norfolk Island",
    ),
    (
        "618",
        "blocks that Christmas and the Cocos Islands have among those of Perth are counted to Australia",
    ),
    (
        "6788",
        "toll-free numbers of Vanuatu have five digits, and mobile ones begin with the same and have seven",
    ),
    (
        "68180",
        "the voice mail of Wallis and Futuna is reached in a range of toll-free numbers",
    ),
    (
        "59059",
        "blocks that Saint-Martin and Saint-Barthélemy share are counted to the larger one",
    ),
];

fn is_disagreed_on(number: E164) -> bool {
    let digits = number.digits().to_string();
    let mut patterns = DISAGREEMENTS.iter();
    patterns.any(|(pattern, _)| {
        let mut pairs = pattern.bytes().zip(digits.bytes());
        pattern.len() <= digits.len() && pairs.all(|(one, other)| one == b'x' || one == other)
    })
}

/// What is wrong with the plan's view of a number, by the second opinion; `None` where that has none.
fn compare(code: &str, national: &str) -> Option<Result<(), String>> {
    let opinions = opinions(code, national);
    let number: E164 = format!("{code}{national}").parse().ok()?;
    if opinions.is_empty() {
        return None;
    }
    let Assignment { country, class } = number.assignment();
    let agrees = opinions.iter().any(|(other, kind)| {
        *other == country
            && (*kind == Type::PremiumRate) == (class == Class::PremiumRate)
            && (*kind == Type::TollFree) == (class == Class::TollFree)
    });
    let objection = || format!("+{code} {national}: {country:?} {class}, not {opinions:?}");
    Some(match agrees || is_disagreed_on(number) {
        true => Ok(()),
        false => Err(objection()),
    })
}

/// An example of every kind of number of every country; what several have in common once.
fn examples() -> BTreeSet<(&'static str, &'static str)> {
    let examples = REGIONS.iter().flat_map(|region| {
        let examples = region
            .kinds
            .iter()
            .filter_map(|(_, _, example)| example.as_deref());
        examples.map(|example| (region.code.as_str(), example))
    });
    examples.collect()
}

#[test]
fn on_the_example_of_every_kind_in_every_country() {
    let compared: Vec<_> = examples()
        .into_iter()
        .filter_map(|(code, national)| compare(code, national))
        .collect();
    assert!(compared.len() > 1_000, "{} compared", compared.len());
    let objections: Vec<_> = compared.into_iter().filter_map(Result::err).collect();
    assert!(objections.is_empty(), "{objections:#?}");
}

#[test]
fn on_every_area_code_of_north_america() {
    let mut objections = Vec::new();
    for area in 200..1_000 {
        let exchanges = [223, 300, 334, 445, 456, 567, 678, 763, 789, 800, 962, 976];
        let nationals = exchanges.map(|exchange| format!("{area}{exchange}2345"));
        let compared: Vec<_> = nationals
            .iter()
            .filter_map(|national| compare("1", national))
            .collect();
        let country = of(&format!("+1{area}2232345")).0;
        // A small country uses a few exchanges only.
        let is_in_use = !compared.is_empty()
            || country.is_some()
                && (200..1_000)
                    .any(|exchange| compare("1", &format!("{area}{exchange}2345")).is_some());
        // Non-geographic ones that the patterns leave out.
        if is_in_use != country.is_some() && ![600, 710].contains(&area) {
            objections.push(format!("+1 {area}: {country:?}, in use: {is_in_use}"));
        }
        objections.extend(compared.into_iter().filter_map(Result::err));
    }
    assert!(objections.is_empty(), "{objections:#?}");
}

/// `TRUNKLINE_NUMBERS_SEED` overrides the seed, which a failure prints.
#[test]
fn on_numbers_at_random() {
    let given = std::env::var("TRUNKLINE_NUMBERS_SEED").ok();
    let seed: u64 = given.map_or(20_260_220, |seed| seed.parse().unwrap());
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = Random::new(key);
    let mut compared = 0;
    let mut objections = Vec::new();
    for (code, example) in examples() {
        for _ in 0..10 {
            // The example's first digits, and the others at random.
            let kept = random.below(example.len() as u32) as usize;
            let mut national = example[..kept].to_owned();
            while national.len() < example.len() {
                national.push(char::from(b'0' + random.below(10) as u8));
            }
            if let Some(result) = compare(code, &national) {
                compared += 1;
                objections.extend(result.err());
            }
        }
    }
    assert!(compared > 3_000, "{compared} compared, seed {seed}");
    assert!(objections.is_empty(), "seed {seed}: {objections:#?}");
}
