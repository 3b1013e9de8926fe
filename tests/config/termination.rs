//! `[termination]`: the node's policy, and a connector's with what it says besides; carriers' limits.

use trunkline::config::{SpendingLimits, TerminationPolicy};
use trunkline::numbering::PrefixSet;

use super::{SMALLEST, assert_refused, load};

const ONE: &str = "abcdefghij0123456789ab";
const OTHER: &str = "bbcdefghij0123456789ab";

fn prefixes(texts: &[&str]) -> PrefixSet {
    texts
        .iter()
        .map(|text| text.parse::<trunkline::numbering::Prefix>().unwrap())
        .collect()
}

fn with(text: &str) -> String {
    format!("{SMALLEST}{text}")
}

#[test]
fn a_connector_has_the_nodes_policy_but_for_what_its_section_says() {
    let text = with(
        r#"
[termination]
concurrent_calls = 10
calls_per_hour = 100
alert_percent = 50
premium_rate = "allow"
deny_prefixes = ["+1900", "881"]
country_code = "+44"
international_prefixes = ["00"]
national_prefix = "0"
[[termination.connector]]
id = "abcdefghij0123456789ab"
concurrent_calls = 0
calls_per_hour_to_country = 7
satellite = "allow"
premium_rate = "refuse"
allow_prefixes = ["44"]
deny_prefixes = []
country_code = "1"
digits = "national"
"#,
    );
    let policies = load(&text).unwrap().termination;
    let node = policies.policy_of(OTHER.parse().unwrap());
    assert_eq!(node.concurrent_calls, 10);
    assert_eq!(node.spending.calls_per_hour, 100);
    assert_eq!(node.spending.calls_per_hour_to_country, 0);
    assert_eq!(node.spending.alert_percent, 50);
    assert!(node.premium_rate && !node.satellite);
    assert_eq!(node.deny_prefixes, prefixes(&["1900", "881"]));
    let dialled = |policy: &TerminationPolicy, text: &str| policy.dialling.read(text).ok();
    let london = "+442071838750".parse().ok();
    assert_eq!(dialled(node, "02071838750"), london);
    assert_eq!(dialled(node, "00442071838750"), london);
    assert_eq!(dialled(node, "2071838750"), None);

    let connector = policies.policy_of(ONE.parse().unwrap());
    let expected = TerminationPolicy {
        concurrent_calls: 0,
        spending: SpendingLimits {
            calls_per_hour_to_country: 7,
            ..node.spending
        },
        satellite: true,
        premium_rate: false,
        allow_prefixes: prefixes(&["44"]),
        deny_prefixes: prefixes(&[]),
        dialling: connector.dialling.clone(),
    };
    assert_eq!(**connector, expected);
    let seattle = "+12065550100".parse().ok();
    // The national prefix and the international one are the node's.
    assert_eq!(dialled(connector, "2065550100"), seattle);
    assert_eq!(dialled(connector, "02065550100"), seattle);
    assert_eq!(dialled(connector, "00442071838750"), london);
}

#[test]
fn a_policy_that_cannot_be_is_refused_where_it_stands() {
    let connector = |keys: &str| format!("[[termination.connector]]\nid = \"{ONE}\"\n{keys}");
    let cases = [
        (
            "[termination]\nalert_percent = 0".to_owned(),
            "5: key `termination.alert_percent`",
            "1 to 100",
        ),
        (
            "[termination]\npremium_rate = \"yes\"".to_owned(),
            "5: key `termination.premium_rate`",
            "refuse or allow",
        ),
        (
            "[termination]\nallow_prefixes = [\"1\", \"x\"]".to_owned(),
            "5: key `termination.allow_prefixes[1]`",
            "first digits",
        ),
        (
            "[termination]\ninternational_prefixes = [\"+\"]".to_owned(),
            "5: key `termination.international_prefixes[0]`",
            "00 or 011",
        ),
        (
            "[termination]\ncountry_code = \"4420\"".to_owned(),
            "5: key `termination.country_code`",
            "such as 1 or 44",
        ),
        (
            "[termination]\ndigits = \"national\"".to_owned(),
            "4: key `termination.country_code`",
            "add it",
        ),
        (
            "[termination]\nnational_prefix = \"0\"".to_owned(),
            "4: key `termination.country_code`",
            "add it",
        ),
        (
            connector("digits = \"national\""),
            "4: key `termination.connector[0].country_code`",
            "add it",
        ),
        (
            connector("digits = \"any\""),
            "6: key `termination.connector[0].digits`",
            "refuse, e164 or national",
        ),
        (
            "[[termination.connector]]\nid = \"short\"".to_owned(),
            "5: key `termination.connector[0].id`",
            "22 characters",
        ),
        (
            "[[termination.connector]]\nconcurrent_calls = 1".to_owned(),
            "4: key `termination.connector[0].id`",
            "missing",
        ),
        (
            format!("{}{}", connector(""), connector("")),
            "7: key `termination.connector[1].id`",
            "voice connector id",
        ),
    ];
    for (text, place, words) in cases {
        assert_refused(&with(&text), place, words);
    }
}

#[test]
fn a_carrier_has_limits_of_its_own() {
    let carrier = |keys: &str| with(&format!("[[carrier]]\nname = \"one\"\n{keys}\n"));
    let config = load(&carrier("cps = 5\nconcurrent_calls = 30")).unwrap();
    let policy = &config.carriers[0].policy;
    assert_eq!((&*policy.carrier, policy.cps), ("one", 5));
    assert_eq!(policy.concurrent_calls, 30);
    let without = load(&carrier("")).unwrap();
    let policy = &without.carriers[0].policy;
    assert_eq!((policy.cps, policy.concurrent_calls), (0, 0));
    assert_refused(
        &carrier("cps = -1"),
        "6: key `carrier[0].cps`",
        "0 to 1000000",
    );
}
