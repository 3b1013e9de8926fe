//! The table against itself, against numbers that everybody knows, and against a second opinion.

use std::collections::BTreeSet;

use super::*;

mod second_opinion;

fn of(number: &str) -> (Option<String>, Class) {
    let number: E164 = number.parse().unwrap();
    let country = number.country().map(|country| country.to_string());
    (country, number.class())
}

fn is(number: &str, country: &str, class: Class) {
    let country = (country != "-").then(|| country.to_owned());
    assert_eq!(of(number), (country, class), "{number}");
}

#[test]
fn every_line_of_the_table_is_read() {
    let mut seen = BTreeSet::new();
    for line in lines(TABLE) {
        let (prefix, line) = line.unwrap_or_else(|line| panic!("plan.txt: {line}"));
        assert!(seen.insert(prefix), "plan.txt: {prefix} twice");
        assert_ne!(
            line.assignment.class,
            Class::Unassigned,
            "plan.txt: {prefix}"
        );
    }
    assert!(seen.len() > 1_000, "{} lines", seen.len());
    assert_eq!(seen.len(), PLAN.len());
}

#[test]
fn every_line_says_what_no_shorter_prefix_does() {
    for (prefix, line) in PLAN.iter() {
        let shorter = PLAN.iter().filter(|(other, _)| {
            let (own, other) = (prefix.to_string(), other.to_string());
            own.len() > other.len() && own.starts_with(&other)
        });
        let said = shorter.max_by_key(|(prefix, _)| prefix.len());
        assert_ne!(
            said.map(|(_, line)| line.assignment),
            Some(line.assignment),
            "{prefix}"
        );
    }
}

#[test]
fn a_line_that_is_wrong_is_handed_back() {
    for wrong in [
        "1206 US",
        "1206 USA ordinary",
        "1206 us ordinary",
        "0 US ordinary",
        "+ US ordinary",
        "1206 US cheap",
        "1206 US ordinary x",
        "1206 US ordinary 5 6",
        "12a US ordinary",
    ] {
        assert_eq!(lines(wrong).next(), Some(Err(wrong)));
    }
    assert_eq!(lines("\n# remark\n").next(), None);
}

#[test]
fn an_area_code_of_north_america_is_a_countrys() {
    for (area, country) in [
        ("206", "US"),
        ("907", "US"),
        ("808", "US"),
        ("416", "CA"),
        ("867", "CA"),
        ("787", "PR"),
        ("939", "PR"),
        ("340", "VI"),
        ("671", "GU"),
        ("684", "AS"),
        ("670", "MP"),
        ("242", "BS"),
        ("246", "BB"),
        ("264", "AI"),
        ("268", "AG"),
        ("284", "VG"),
        ("345", "KY"),
        ("441", "BM"),
        ("473", "GD"),
        ("649", "TC"),
        ("664", "MS"),
        ("658", "JM"),
        ("876", "JM"),
        ("721", "SX"),
        ("758", "LC"),
        ("767", "DM"),
        ("784", "VC"),
        ("809", "DO"),
        ("829", "DO"),
        ("849", "DO"),
        ("868", "TT"),
        ("869", "KN"),
    ] {
        is(&format!("+1{area}5550100"), country, Class::Ordinary);
    }
    is("+12005550100", "-", Class::Unassigned);
    is("+19995550100", "-", Class::Unassigned);
}

#[test]
fn codes_of_several_countries_are_split() {
    for (number, country) in [
        ("+74955550100", "RU"),
        ("+77172550100", "KZ"),
        ("+442071838750", "GB"),
        ("+441481550100", "GG"),
        ("+441534550100", "JE"),
        ("+441624550100", "IM"),
        ("+447781550100", "GG"),
        ("+390655501000", "IT"),
        ("+390669812345", "VA"),
        ("+4721550100", "NO"),
        ("+4779021234", "SJ"),
        ("+358955501000", "FI"),
        ("+3581815550", "AX"),
        ("+61255501000", "AU"),
        ("+61891621234", "CC"),
        ("+61891641234", "CX"),
        ("+212522555010", "MA"),
        ("+212528855501", "EH"),
        ("+262262555010", "RE"),
        ("+262269555010", "YT"),
        ("+590590201234", "GP"),
        ("+590590871234", "MF"),
        ("+590590271234", "BL"),
        ("+59994151234", "CW"),
        ("+5997151234", "BQ"),
        ("+29022222", "SH"),
        ("+2908999", "TA"),
        ("+24762888", "AC"),
        ("+672312345", "NF"),
        ("+672112345", "AQ"),
        ("+38344555010", "XK"),
    ] {
        is(number, country, Class::Ordinary);
    }
}

#[test]
fn what_costs_more_or_less_is_told() {
    for (number, country, class) in [
        ("+19005550100", "US", Class::PremiumRate),
        ("+12069765000", "US", Class::PremiumRate),
        ("+14169765000", "CA", Class::PremiumRate),
        ("+18769765000", "JM", Class::Ordinary),
        ("+12469765000", "BB", Class::PremiumRate),
        ("+120697650001", "US", Class::Ordinary),
        ("+18005550100", "US", Class::TollFree),
        ("+18885550100", "US", Class::TollFree),
        ("+15005550100", "US", Class::Personal),
        ("+449098790123", "GB", Class::PremiumRate),
        ("+448712345678", "GB", Class::PremiumRate),
        ("+448451234567", "GB", Class::SharedCost),
        ("+448081570000", "GB", Class::TollFree),
        ("+447012345678", "GB", Class::Personal),
        ("+33899701234", "FR", Class::PremiumRate),
        ("+33801234567", "FR", Class::TollFree),
        ("+33806123456", "FR", Class::Ordinary),
        ("+499001123456", "DE", Class::PremiumRate),
        ("+491378123456", "DE", Class::PremiumRate),
        ("+498001234567", "DE", Class::TollFree),
        ("+39899123456", "IT", Class::PremiumRate),
        ("+34803123456", "ES", Class::PremiumRate),
        ("+34905123456", "ES", Class::PremiumRate),
        ("+61190123456", "AU", Class::PremiumRate),
        ("+3531590123456", "IE", Class::PremiumRate),
        ("+35315862489", "IE", Class::Ordinary),
        ("+80012345678", "-", Class::TollFree),
        ("+80812345678", "-", Class::SharedCost),
        ("+870773111632", "-", Class::Satellite),
        ("+881612345678", "-", Class::Satellite),
        ("+8821612345678", "-", Class::Satellite),
        ("+8823456789012", "-", Class::Network),
        ("+883510001234567", "-", Class::Network),
        ("+878101234567890", "-", Class::Personal),
        ("+979112345678", "-", Class::PremiumRate),
        ("+88812345678901", "-", Class::Network),
        ("+210123456789", "-", Class::Unassigned),
    ] {
        is(number, country, class);
    }
}

#[test]
fn classes_are_read_as_they_are_written() {
    for class in Class::ALL {
        assert_eq!(class.to_string().parse(), Ok(class));
    }
    assert_eq!("premium".parse::<Class>(), Err(UnknownClass));
    assert!(
        UnknownClass
            .to_string()
            .ends_with("satellite, network, unassigned")
    );
}
