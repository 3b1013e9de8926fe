//! How a carrier is spoken with: what its keys mean, and which are refused.

use trunkline::config::{Carrier, Host};
use trunkline::numbering::dialling::DiallingRules;

use crate::{SMALLEST, assert_refused, load};

/// A file with one carrier; its keys begin at line 6.
fn carrier(keys: &str) -> String {
    format!("{SMALLEST}[[carrier]]\nname = \"x\"\n{keys}\n")
}

fn loaded(keys: &str) -> Carrier {
    load(&carrier(keys)).unwrap().carriers.remove(0)
}

#[test]
fn a_carrier_of_whom_nothing_is_said_writes_numbers_as_most_do() {
    let rules = loaded("").policy.numbers.clone();
    assert_eq!(rules, DiallingRules::carrier());
    assert_eq!(loaded("[carrier.numbers]").policy.numbers, rules);
}

#[test]
fn a_carriers_numbers_are_what_its_section_says() {
    let policy = loaded(
        "[carrier.numbers]\ncountry_code = \"44\"\nnational_prefix = \"0\"\n\
         international_prefixes = [\"00\"]\ndigits = \"national\"\nform = \"00\"\nnational = true",
    )
    .policy;
    let rules = &policy.numbers;
    let london = "+442071838750".parse().unwrap();
    for dialled in [
        "+442071838750",
        "00442071838750",
        "02071838750",
        "2071838750",
    ] {
        assert_eq!(rules.read(dialled), Ok(london), "{dialled}");
    }
    assert_eq!(rules.write(london).to_string(), "02071838750");
    let seattle = "+12065550100".parse().unwrap();
    assert_eq!(rules.write(seattle).to_string(), "0012065550100");

    let digits = loaded("[carrier.numbers]\nform = \"digits\"\ndigits = \"refuse\"").policy;
    assert_eq!(digits.numbers.write(seattle).to_string(), "12065550100");
    assert!(digits.numbers.read("12065550100").is_err());
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    for (keys, place, words) in [
        (
            "country_code = \"044\"",
            "7: key `carrier[0].numbers.country_code`",
            "such as 1 or 44",
        ),
        (
            "national_prefix = \"0\"",
            "6: key `carrier[0].numbers.country_code`",
            "missing",
        ),
        (
            "national = true",
            "6: key `carrier[0].numbers.country_code`",
            "missing",
        ),
        (
            "digits = \"national\"",
            "6: key `carrier[0].numbers.country_code`",
            "missing",
        ),
        (
            "digits = \"local\"",
            "7: key `carrier[0].numbers.digits`",
            "refuse, e164 or national",
        ),
        (
            "form = \"0\"",
            "7: key `carrier[0].numbers.form`",
            "such as 00",
        ),
        (
            "international_prefixes = [\"00\", \"+\"]",
            "7: key `carrier[0].numbers.international_prefixes[1]`",
            "two to five digits",
        ),
        (
            "international_prefixes = [\"00\", \"01\", \"02\", \"03\", \"04\", \"05\", \"06\", \"07\", \"08\"]",
            "6: key `carrier[0].numbers.international_prefixes`",
            "at most 8",
        ),
    ] {
        let text = carrier(&format!("[carrier.numbers]\n{keys}"));
        assert_refused(&text, place, words);
    }
}

#[test]
fn a_carriers_codecs_are_a_list_that_somebody_can_speak_with() {
    assert_eq!(loaded("").policy.codecs, None);
    assert_eq!(loaded("codecs = []").policy.codecs, None);
    let policy = loaded("codecs = [\"PCMU\", \"telephone-event\"]").policy;
    let list = policy.codecs.as_ref().unwrap();
    assert_eq!(list.place_of(b"pcmu"), Some(0));
    assert_eq!(list.place_of(b"telephone-event"), Some(1));
    assert_eq!(list.place_of(b"PCMA"), None);
    for (codecs, place, words) in [
        (
            "\"PCMU/8000\"",
            "6: key `carrier[0].codecs[0]`",
            "encoding name",
        ),
        (
            "\"PCMU\", \"pcmu\"",
            "6: key `carrier[0].codecs[1]`",
            "the same codec",
        ),
        (
            "\"telephone-event\", \"CN\"",
            "6: key `carrier[0].codecs`",
            "to speak with",
        ),
    ] {
        assert_refused(&carrier(&format!("codecs = [{codecs}]")), place, words);
    }
    let many: Vec<String> = (0..33).map(|number| format!("\"C{number}\"")).collect();
    let text = carrier(&format!("codecs = [{}]", many.join(", ")));
    assert_refused(&text, "6: key `carrier[0].codecs`", "at most 32");
}

#[test]
fn a_carriers_header_rules_name_fields_that_may_come_and_go() {
    let policy = loaded(
        "[carrier.headers]\nremove = [\"User-to-User\", \"x-account\"]\nadd = { X-Trunk = \" 17 \", P-Asserted-Identity = \"<sip:17@x>\" }",
    )
    .policy;
    let rules = &policy.headers;
    assert!(rules.removes("user-to-user") && rules.removes("X-Account") && !rules.removes("X-"));
    let added = [
        ("P-Asserted-Identity".into(), "<sip:17@x>".into()),
        ("X-Trunk".into(), "17".into()),
    ];
    assert_eq!(*rules.add, added);
    for (keys, key, words) in [
        ("remove = [\"Via\"]", "remove[0]", "carried across"),
        ("remove = [\"User-Agent\"]", "remove[0]", "carried across"),
        ("remove = [\"X-\"]", "remove[0]", "carried across"),
        ("remove = [\"X-A\", \"x-a\"]", "remove[1]", "the same field"),
        ("add = { via = \"x\" }", "add.via", "the gateway writes"),
        (
            "add = { content-type = \"x\" }",
            "add.content-type",
            "the gateway writes",
        ),
        (
            "add = { Proxy-Authorization = \"x\" }",
            "add.Proxy-Authorization",
            "the gateway writes",
        ),
        ("add = { v = \"x\" }", "add.v", "full name"),
        ("add = { \"X Y\" = \"x\" }", "add.X Y", "full name"),
        ("add = { X-A = \"1\\r\\nVia: y\" }", "add.X-A", "one line"),
        ("add = { X-A = \" \" }", "add.X-A", "one line"),
        (
            "add = { X-A = \"1\", x-a = \"2\" }",
            "add.x-a",
            "the same field",
        ),
    ] {
        let text = carrier(&format!("[carrier.headers]\n{keys}"));
        assert_refused(&text, &format!("7: key `carrier[0].headers.{key}`"), words);
    }
}

#[test]
fn certificate_names_count_where_certificates_are_asked_for_and_are_one_carriers() {
    let asked = "[sip.tls]\nclient_ca = \"peers.pem\"\n";
    let named = |names: &str| format!("{asked}{}", carrier(names));
    let config = load(&named(
        "certificate_names = [\"SBC.carrier.example\", \"192.0.2.1\"]",
    ))
    .unwrap();
    let names = &config.carriers[0].tls.names;
    assert_eq!(
        *names,
        [Host::from("sbc.carrier.example"), Host::from("192.0.2.1")]
    );
    assert!(config.carriers[0].sources.is_empty());

    let unasked = carrier("certificate_names = [\"a.example\"]");
    assert_refused(
        &unasked,
        "6: key `carrier[0].certificate_names[0]`",
        "client_ca",
    );
    let wrong = named("certificate_names = [\"a example\"]");
    assert_refused(
        &wrong,
        "8: key `carrier[0].certificate_names[0]`",
        "is not valid",
    );
    let twice = format!(
        "{}[[carrier]]\nname = \"y\"\ncertificate_names = [\"b.example\", \"a.example\"]\n",
        named("certificate_names = [\"a.example\"]")
    );
    assert_refused(
        &twice,
        "11: key `carrier[1].certificate_names[1]`",
        "the same certificate name",
    );
}
