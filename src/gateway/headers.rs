//! Which header fields of one leg's messages the other leg's carry: one table, the same for INVITE, INFO,
//! BYE and their responses. What is not in it stays on its leg.

use crate::config::CarrierPolicy;
use crate::numbering::E164;
use crate::sip::header::NameAddr;
use crate::sip::message::{Fields, HeaderName};
use crate::sip::telephone::{Number, Telephone};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::writer::Writer;

/// Fields carried across at most.
const CARRIED_MAX: usize = 32;
/// Bytes of one carried value at most; a longer one stays behind.
const CARRIED_VALUE_BYTES_MAX: usize = 1_024;

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Towards {
    /// From a customer to a carrier, or to the PSTN.
    Carrier,
    /// From a carrier to a customer.
    Customer,
}

/// What becomes of a header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Treatment {
    /// Copied as it stands.
    Passed,
    /// Copied as it stands, unless the caller wants something kept from others (RFC 3323 §4.1): it says who
    /// calls, or what about.
    Open,
    /// The number of each URI is kept, its host becomes ours; a value without a number stays behind.
    Rewritten,
    /// As [`Self::Rewritten`], from a trusted carrier only, and not where Privacy keeps it (RFC 3325 §7).
    Believed,
    /// To a trusted carrier the caller that was admitted, whatever the customer claims (RFC 3325 §5).
    Asserted,
    /// Stays on its leg.
    Dropped,
}

/// Header fields that are told apart by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// One that the parser knows.
    Known(HeaderName),
    /// One that it does not.
    Other(&'static str),
    /// All that begin so, and do not begin with one of these.
    Extension(&'static str, &'static [&'static str]),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which fields.
    pub name: Name,
    /// What becomes of them towards a carrier.
    pub to_carrier: Treatment,
    /// What becomes of them towards a customer.
    pub to_customer: Treatment,
}

const fn row(name: Name, to_carrier: Treatment, to_customer: Treatment) -> Row {
    Row {
        name,
        to_carrier,
        to_customer,
    }
}

/// The table. A field that no row names is dropped: what a leg needs for itself is written anew, and what
/// nobody has looked at may tell one side of the other's network.
pub const TABLE: [Row; 19] = {
    use HeaderName::{
        AcceptLanguage, AlertInfo, CallInfo, Diversion, Geolocation, GeolocationRouting,
        HistoryInfo, Identity, Organization, PAssertedIdentity, PPreferredIdentity, Priority,
        Privacy, Reason, RemotePartyId, Subject, UserToUser,
    };
    use Name::{Extension, Known, Other};
    use Treatment::{Asserted, Believed, Dropped, Open, Passed, Rewritten};
    [
        row(Known(PAssertedIdentity), Asserted, Believed),
        // Hints of a user to its own proxy, and what identity was before RFC 3325.
        row(Known(PPreferredIdentity), Dropped, Dropped),
        row(Known(RemotePartyId), Dropped, Dropped),
        row(Known(Privacy), Passed, Passed),
        row(Known(Diversion), Rewritten, Rewritten),
        row(Known(HistoryInfo), Rewritten, Rewritten),
        row(Known(UserToUser), Passed, Passed),
        // Where the caller is concerns those who send help, and nobody whom it calls.
        row(Known(Geolocation), Passed, Dropped),
        row(Known(GeolocationRouting), Passed, Dropped),
        // A signature over numbers (RFC 8224) is of use as it stands or not at all.
        row(Known(Identity), Open, Open),
        row(Other("Session-ID"), Passed, Passed),
        row(Known(Reason), Passed, Passed),
        row(Known(Subject), Open, Open),
        row(Known(Priority), Passed, Passed),
        row(Known(AcceptLanguage), Passed, Passed),
        // URIs of one side's network that the other side's phones would fetch.
        row(Known(AlertInfo), Dropped, Dropped),
        row(Known(CallInfo), Dropped, Dropped),
        row(Known(Organization), Dropped, Dropped),
        row(
            Extension("X-", &["X-VoiceConnector-", "X-Amzn-"]),
            Passed,
            Passed,
        ),
    ]
};

/// What decides over fields besides the table.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Where the message goes.
    pub towards: Towards,
    /// Where it comes from a carrier: how that is dealt with.
    pub source: Option<&'a CarrierPolicy>,
    /// Where it goes to a carrier: how that is dealt with.
    pub target: Option<&'a CarrierPolicy>,
    /// Our host on the leg that the message goes out on.
    pub host: &'a str,
    /// The caller that was admitted, in an INVITE.
    pub caller: Option<E164>,
    /// What the call's INVITE wants kept from others.
    pub privacy: Privacy,
    /// The participants of the call are hidden from each other: nothing of what one's side writes itself passes.
    pub is_masked: bool,
}

impl Passage<'_> {
    /// Whether the carrier that is told something, or has said it, is trusted.
    fn carrier_is_trusted(&self) -> bool {
        let carrier = match self.towards {
            Towards::Carrier => self.target,
            Towards::Customer => self.source,
        };
        carrier.is_some_and(|policy| policy.trusted)
    }

    /// Whether a carrier's rules keep a field from crossing.
    fn keeps_back(&self, name: &str) -> bool {
        let removes = |carrier: Option<&CarrierPolicy>| {
            carrier.is_some_and(|policy| policy.headers.removes(name))
        };
        let adds = |policy: &CarrierPolicy| policy.headers.adds(name);
        removes(self.source) || removes(self.target) || self.target.is_some_and(adds)
    }
}

/// What crosses where participants are hidden from each other.
const UNTELLING: [HeaderName; 2] = [HeaderName::AcceptLanguage, HeaderName::Priority];

/// Privacy (RFC 3323 §4.2, RFC 3325 §9.3) of a call.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Privacy {
    /// `id`: the asserted identity.
    pub id: bool,
    /// `user` or `header`: what From says.
    pub user: bool,
}

impl Privacy {
    /// What a message asks for.
    pub fn of(message: &Fields) -> Self {
        let asks = |value: &str| {
            let wanted = message.headers(HeaderName::Privacy);
            wanted
                .flat_map(|header| header.split([';', ',']))
                .any(|one| one.trim().eq_ignore_ascii_case(value))
        };
        Self {
            id: asks("id"),
            user: asks("user") || asks("header"),
        }
    }

    /// What an INVITE asks for: a From that names nobody (RFC 3323 §4.1.1.3) asks for `user`, with or without a
    /// Privacy beside it.
    pub fn of_caller(invite: &Fields) -> Self {
        let from = invite.from().ok();
        let uri = from.and_then(|from| Uri::parse(from.uri).ok());
        let is_anonymous = uri.is_some_and(|uri| {
            let names_nobody = |user: &str| user.eq_ignore_ascii_case("anonymous");
            uri.user.is_some_and(names_nobody) || uri.host.eq_ignore_ascii_case("anonymous.invalid")
        });
        let asked = Self::of(invite);
        Self {
            user: asked.user || is_anonymous,
            ..asked
        }
    }
}

/// Copies what is carried from the message of one leg to that of the other.
pub fn carry(from: &Fields, passage: &Passage<'_>, writer: &mut Writer<'_>) {
    for (name, value) in carried(from, passage) {
        writer.raw_field(&name, &value);
    }
}

/// What is carried of a message: names and values.
pub fn carried(from: &Fields, passage: &Passage<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut carried: Vec<(Box<str>, Box<str>)> = Vec::new();
    let asserted = HeaderName::PAssertedIdentity.as_str();
    if let (Towards::Carrier, true, Some(caller)) = (
        passage.towards,
        passage.carrier_is_trusted() && !passage.keeps_back(asserted),
        passage.caller,
    ) {
        let value = format!("<{}>", uri_of(caller, passage));
        carried.push((asserted.into(), value.into()));
        let privacy = HeaderName::Privacy;
        let says_so = from.header(privacy).is_some() || passage.keeps_back(privacy.as_str());
        if passage.privacy.user && !says_so {
            // Or the carrier would show the number that it is trusted with (RFC 3325 §7).
            carried.push((privacy.as_str().into(), "id".into()));
        }
    }
    let fields = from
        .all()
        .filter(|(_, _, value)| value.len() <= CARRIED_VALUE_BYTES_MAX)
        .filter(|(_, known, _)| !passage.is_masked || UNTELLING.contains(known))
        .filter(|(written, known, _)| {
            !passage.keeps_back(written) && !passage.keeps_back(known.as_str())
        })
        .filter_map(|(written, known, value)| {
            Some((written, value, treatment(written, known, passage.towards)?))
        });
    for (written, value, treatment) in fields.take(CARRIED_MAX) {
        let is_written_on = match treatment {
            Treatment::Open if passage.privacy.id || passage.privacy.user => false,
            Treatment::Passed | Treatment::Open => {
                carried.push((written.into(), value.into()));
                false
            }
            Treatment::Rewritten => true,
            Treatment::Believed => passage.carrier_is_trusted() && !passage.privacy.id,
            Treatment::Asserted | Treatment::Dropped => false,
        };
        if is_written_on && let Some(value) = with_our_host(value, passage) {
            carried.push((written.into(), value.into()));
        }
    }
    carried
}

/// What the table says of a field; `None` for one that stays behind.
fn treatment(written: &str, known: HeaderName, towards: Towards) -> Option<Treatment> {
    let begins = |prefix: &str| {
        let start = written.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let row = TABLE.iter().find(|row| match row.name {
        Name::Known(name) => name == known,
        Name::Other(name) => name.eq_ignore_ascii_case(written),
        Name::Extension(prefix, ours) => {
            known == HeaderName::Other
                && begins(prefix)
                && !ours.iter().any(|prefix| begins(prefix))
        }
    })?;
    let treatment = match towards {
        Towards::Carrier => row.to_carrier,
        Towards::Customer => row.to_customer,
    };
    (treatment != Treatment::Dropped).then_some(treatment)
}

/// The list's values that name a number, at our host. Parameters of the URI stay behind; those of the field
/// are plain tokens or quoted texts by its grammar, and are kept.
fn with_our_host(list: &str, passage: &Passage<'_>) -> Option<String> {
    let rewritten: Vec<String> = crate::sip::elements(list)
        .filter_map(|value| {
            let address = NameAddr::parse(value).ok()?;
            let number = number_of(address.uri, passage.source)?;
            let uri = uri_of(number, passage);
            Some(format!("<{uri}>{}", address.params.as_str()))
        })
        .collect();
    (!rewritten.is_empty()).then(|| rewritten.join(", "))
}

/// A number at our host, as it is written where the message goes.
fn uri_of(number: E164, passage: &Passage<'_>) -> String {
    let host = passage.host;
    match passage.target {
        Some(carrier) => format!("sip:{}@{host}", carrier.numbers.write(number)),
        None => format!("sip:{number}@{host}"),
    }
}

/// A user part as it is written to a carrier, or to a customer: a number in its form, anything else as it is.
pub fn user_for(user: &str, target: Option<&CarrierPolicy>) -> String {
    let number = user.starts_with('+').then(|| user.parse().ok()).flatten();
    match (number, target) {
        (Some(number), Some(carrier)) => carrier.numbers.write(number).to_string(),
        (None, _) | (_, None) => user.to_owned(),
    }
}

/// The number of a `sip:` or `tel:` URI, as a carrier writes it, or a customer: one may leave the `+` out of a `sip:` URI.
pub(super) fn number_of(uri: &str, source: Option<&CarrierPolicy>) -> Option<E164> {
    let uri = Uri::parse(uri).ok()?;
    match (Telephone::of(&uri).ok()?.number, source) {
        (Number::Global(number), _) => Some(number),
        (Number::Local { digits, .. }, Some(carrier)) => carrier.numbers.read(&digits).ok(),
        (Number::Local { digits, .. }, None) => match uri.scheme {
            Scheme::Sip | Scheme::Sips => digits.parse().ok(),
            // RFC 3966 §5.1.4: it means something where it is dialled.
            Scheme::Tel | Scheme::Other => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::{CARRIED_FIELDS, HeaderRules, Limits};
    use crate::numbering::dialling::{DiallingRules, Form, Home, Parts, Plain};
    use crate::sip::message::Message;

    /// A passage to a carrier that is dealt with so, or from it.
    fn passage(towards: Towards, carrier: &CarrierPolicy) -> Passage<'_> {
        let (source, target) = match towards {
            Towards::Carrier => (None, Some(carrier)),
            Towards::Customer => (Some(carrier), None),
        };
        Passage {
            towards,
            source,
            target,
            host: "198.51.100.1",
            caller: None,
            privacy: Privacy::default(),
            is_masked: false,
        }
    }

    fn doubted() -> CarrierPolicy {
        CarrierPolicy {
            trusted: false,
            ..CarrierPolicy::default()
        }
    }

    /// What is carried of these fields.
    fn carried_of(fields: &str, passage: &Passage<'_>) -> String {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{fields}Content-Length: 0\r\n\r\n"
        );
        let message = Message::parse(Bytes::from(text), &Limits::default()).unwrap();
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, "X", "y");
        carry(message.fields(), passage, &mut writer);
        writer.end();
        let text = String::from_utf8(out).unwrap();
        let body = text.strip_prefix("X y SIP/2.0\r\n").unwrap();
        body.strip_suffix("Content-Length: 0\r\n\r\n")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn identity_is_what_was_admitted_and_only_for_those_who_are_trusted() {
        let claim = "P-Asserted-Identity: <sip:+15550000000@evil.example>\r\n";
        let (trusted, doubted) = (CarrierPolicy::default(), doubted());
        let admitted = Passage {
            caller: "+12065550100".parse().ok(),
            ..passage(Towards::Carrier, &trusted)
        };
        let asserted = "P-Asserted-Identity: <sip:+12065550100@198.51.100.1>\r\n";
        assert_eq!(carried_of(claim, &admitted), asserted);
        let untrusted = Passage {
            target: Some(&doubted),
            ..admitted
        };
        assert_eq!(carried_of(claim, &untrusted), "");

        let inbound = passage(Towards::Customer, &trusted);
        let both =
            "P-Asserted-Identity: \"A\" <sip:+12065550100@c.example;x=y>, <tel:+12065550100>\r\n";
        let kept = "P-Asserted-Identity: <sip:+12065550100@198.51.100.1>, <sip:+12065550100@198.51.100.1>\r\n";
        assert_eq!(carried_of(both, &inbound), kept);
        let from_doubted = passage(Towards::Customer, &doubted);
        assert_eq!(carried_of(both, &from_doubted), "");
        let private = Passage {
            privacy: Privacy {
                id: true,
                user: false,
            },
            ..inbound
        };
        assert_eq!(carried_of(both, &private), "");
    }

    #[test]
    fn numbers_cross_and_hosts_do_not() {
        let fields = "Diversion: <sip:+12065550101@10.0.0.7:5060;user=phone>;reason=user-busy;counter=1\r\n\
                      History-Info: <sip:+12065550101@10.0.0.7?Reason=SIP>;index=1, <sip:bob@10.0.0.7>;index=1.1\r\n";
        let kept = "Diversion: <sip:+12065550101@198.51.100.1>;reason=user-busy;counter=1\r\n\
                    History-Info: <sip:+12065550101@198.51.100.1>;index=1\r\n";
        let carrier = CarrierPolicy::default();
        let outbound = passage(Towards::Carrier, &carrier);
        assert_eq!(carried_of(fields, &outbound), kept);
    }

    /// As France writes numbers.
    fn french() -> CarrierPolicy {
        let home = Home {
            country_code: "33".parse().unwrap(),
            national_prefix: "0".parse().unwrap(),
        };
        let numbers = DiallingRules::new(Parts {
            home: Some(home),
            international_prefixes: vec!["00".parse().unwrap()],
            plain: Plain::Refused,
            digits_min: 7,
            form: Form::International("00".parse().unwrap()),
            national_at_home: true,
        });
        CarrierPolicy {
            numbers: numbers.unwrap(),
            ..CarrierPolicy::default()
        }
    }

    #[test]
    fn numbers_are_read_and_written_as_the_carrier_does() {
        let french = french();
        let outbound = Passage {
            caller: "+33142685300".parse().ok(),
            ..passage(Towards::Carrier, &french)
        };
        let fields = "Diversion: <sip:+33142685301@10.0.0.7>;counter=1\r\nHistory-Info: <tel:+12065550101>;index=1\r\n";
        let written = "P-Asserted-Identity: <sip:0142685300@198.51.100.1>\r\n\
                       Diversion: <sip:0142685301@198.51.100.1>;counter=1\r\n\
                       History-Info: <sip:0012065550101@198.51.100.1>;index=1\r\n";
        assert_eq!(carried_of(fields, &outbound), written);

        let inbound = passage(Towards::Customer, &french);
        let fields = "P-Asserted-Identity: <sip:0142685300@c.example>\r\nDiversion: <sip:0012065550101@c.example>\r\n\
                      Diversion: <sip:12065550101@c.example>\r\n";
        let read = "P-Asserted-Identity: <sip:+33142685300@198.51.100.1>\r\n\
                    Diversion: <sip:+12065550101@198.51.100.1>\r\n";
        assert_eq!(carried_of(fields, &inbound), read);

        assert_eq!(user_for("+33142685300", Some(&french)), "0142685300");
        assert_eq!(user_for("911", Some(&french)), "911");
        assert_eq!(user_for("anonymous", Some(&french)), "anonymous");
        assert_eq!(user_for("+33142685300", None), "+33142685300");
    }

    #[test]
    fn what_no_row_names_stays_and_what_is_too_much_too() {
        let fields = "Route: <sip:a@b;lr>\r\nServer: x\r\nFoo: bar\r\nX-VoiceConnector-ID: mine\r\nx-amzn-target: y\r\n\
                      Alert-Info: <http://10.0.0.1/ring>\r\nGeolocation: <cid:a@b>\r\nSession-ID: 1\r\nx-call: 5\r\n";
        let kept = "Geolocation: <cid:a@b>\r\nSession-ID: 1\r\nx-call: 5\r\n";
        let carrier = CarrierPolicy::default();
        let outbound = passage(Towards::Carrier, &carrier);
        assert_eq!(carried_of(fields, &outbound), kept);
        let inbound = passage(Towards::Customer, &carrier);
        assert_eq!(
            carried_of(fields, &inbound),
            "Session-ID: 1\r\nx-call: 5\r\n"
        );

        let long = format!("X-Long: {}\r\n", "x".repeat(CARRIED_VALUE_BYTES_MAX + 1));
        assert_eq!(carried_of(&long, &outbound), "");
        let many = "X-Many: 1\r\n".repeat(CARRIED_MAX + 5);
        assert_eq!(carried_of(&many, &outbound).lines().count(), CARRIED_MAX);
    }

    /// The table as `ARCHITECTURE.md` has it.
    fn rendered() -> Vec<String> {
        let name = |name: Name| match name {
            Name::Known(name) => name.as_str().to_owned(),
            Name::Other(name) => name.to_owned(),
            Name::Extension(prefix, ours) => format!("{prefix}… but {}…", ours.join("…, ")),
        };
        let word = |treatment| match treatment {
            Treatment::Passed => "passed",
            Treatment::Open => "passed, without Privacy",
            Treatment::Rewritten => "its number passed",
            Treatment::Believed => "from a trusted carrier, without Privacy: id",
            Treatment::Asserted => "the admitted caller, to a trusted carrier",
            Treatment::Dropped => "dropped",
        };
        let line = |row: &Row| {
            let (carrier, customer) = (word(row.to_carrier), word(row.to_customer));
            format!("| {} | {carrier} | {customer} |", name(row.name))
        };
        TABLE.iter().map(line).collect()
    }

    #[test]
    fn a_carriers_rules_keep_fields_from_crossing_either_way() {
        let remove = ["user-to-user", "x-account", "Subject"].map(Into::into);
        let rules = CarrierPolicy {
            headers: HeaderRules {
                remove: remove.into(),
                add: [("X-Trunk".into(), "17".into())].into(),
            },
            ..CarrierPolicy::default()
        };
        // `s` is Subject.
        let fields = "User-to-User: 1\r\nX-ACCOUNT: 2\r\ns: 3\r\nX-trunk: 4\r\nX-Other: 5\r\n";
        let outbound = passage(Towards::Carrier, &rules);
        assert_eq!(carried_of(fields, &outbound), "X-Other: 5\r\n");
        let inbound = passage(Towards::Customer, &rules);
        let kept = "X-trunk: 4\r\nX-Other: 5\r\n";
        assert_eq!(carried_of(fields, &inbound), kept);

        let silent = CarrierPolicy {
            headers: HeaderRules {
                remove: ["P-Asserted-Identity".into()].into(),
                ..HeaderRules::default()
            },
            ..CarrierPolicy::default()
        };
        let admitted = Passage {
            caller: "+12065550100".parse().ok(),
            ..passage(Towards::Carrier, &silent)
        };
        assert_eq!(carried_of("", &admitted), "");
    }

    #[test]
    fn the_config_knows_what_is_carried() {
        let is_carried = |row: &&Row| {
            (row.to_carrier, row.to_customer) != (Treatment::Dropped, Treatment::Dropped)
        };
        let names = TABLE.iter().filter(is_carried).map(|row| match row.name {
            Name::Known(name) => name.as_str(),
            Name::Other(name) => name,
            Name::Extension(prefix, _) => prefix,
        });
        assert_eq!(names.collect::<Vec<_>>(), CARRIED_FIELDS);
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
        let text = std::fs::read_to_string(path).unwrap();
        let after =
            text.split("| header field | to the carrier | to the customer |\n|---|---|---|\n");
        let documented: Vec<&str> = after
            .last()
            .unwrap()
            .lines()
            .take_while(|line| line.starts_with('|'))
            .collect();
        let rendered = rendered();
        assert_eq!(documented, rendered, "\n{}\n", rendered.join("\n"));
    }
}
