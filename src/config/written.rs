//! The config file as it is written: its sections and keys, nothing about what they mean.
//!
//! Every value keeps its place in the text, so that whatever turns out to be wrong with it later can be
//! shown with its line. Keys are optional here; `settle` knows which must be there.
//! Nothing here is `Debug`: the file holds secrets.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::problem::{ConfigError, Problem, line_at};

/// The whole file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct File {
    pub(super) node: Option<Spanned<Node>>,
    pub(super) sip: Option<Spanned<Sip>>,
    pub(super) media: Option<Spanned<Media>>,
    #[serde(default)]
    pub(super) carrier: Vec<Spanned<Carrier>>,
    pub(super) termination: Option<Spanned<Termination>>,
    #[serde(default)]
    pub(super) number_pool: Vec<Spanned<NumberPool>>,
    pub(super) api: Option<Spanned<Api>>,
    pub(super) declared: Option<Spanned<Declared>>,
    pub(super) dns: Option<Spanned<Dns>>,
    pub(super) health: Option<Spanned<Health>>,
    pub(super) store: Option<Spanned<Store>>,
    pub(super) quotas: Option<Spanned<Quotas>>,
    pub(super) limits: Option<Spanned<Limits>>,
    pub(super) log: Option<Spanned<Log>>,
}

/// A text as written.
pub(super) type Text = Option<Spanned<String>>;

/// A whole number as written.
pub(super) type Number = Option<Spanned<i64>>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Node {
    pub(super) data_dir: Text,
    pub(super) shards: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Declared {
    pub(super) files: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Dns {
    pub(super) servers: Option<Vec<Spanned<String>>>,
    pub(super) stale_s: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Health {
    pub(super) interval_s: Number,
    pub(super) down_interval_s: Number,
    pub(super) timeout_ms: Number,
    pub(super) down_after: Number,
    pub(super) up_after: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Sip {
    pub(super) domain: Text,
    pub(super) aliases: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) listener: Vec<Spanned<SipListener>>,
    pub(super) udp_mtu: Number,
    pub(super) refer: Text,
    pub(super) register: Text,
    pub(super) timers: Option<Spanned<SipTimers>>,
    pub(super) tls: Option<Spanned<SipTls>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct SipListener {
    pub(super) transport: Text,
    pub(super) bind: Option<Spanned<OneOrMore>>,
    pub(super) advertise: Option<Spanned<OneOrMore>>,
    pub(super) dscp: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct SipTimers {
    pub(super) t1_ms: Number,
    pub(super) t2_ms: Number,
    pub(super) t4_ms: Number,
    pub(super) timer_c_s: Number,
    pub(super) session_expires_s: Number,
    pub(super) min_se_s: Number,
    pub(super) route_timeout_ms: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct SipTls {
    #[serde(default)]
    pub(super) certificate: Vec<Spanned<Certificate>>,
    pub(super) client_ca: Text,
    pub(super) require_client_certificate: Option<Spanned<bool>>,
    pub(super) ca: Text,
    pub(super) verify_customers: Option<bool>,
    pub(super) handshake_timeout_s: Number,
    pub(super) handshakes_per_turn: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Certificate {
    pub(super) certificate: Text,
    pub(super) key: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Media {
    pub(super) bind: Option<Spanned<OneOrMore>>,
    pub(super) advertise: Option<Spanned<OneOrMore>>,
    pub(super) ports: Text,
    pub(super) timeout_s: Number,
    pub(super) dscp: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Carrier {
    pub(super) name: Text,
    pub(super) sources: Option<Vec<Spanned<String>>>,
    pub(super) certificate_names: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) route: Vec<Spanned<CarrierRoute>>,
    pub(super) tls: Option<Spanned<CarrierTls>>,
    pub(super) credentials: Option<Spanned<CarrierCredentials>>,
    pub(super) trusted: Option<bool>,
    pub(super) redirect: Text,
    pub(super) listener: Text,
    pub(super) emergency: Option<bool>,
    pub(super) cps: Number,
    pub(super) concurrent_calls: Number,
    pub(super) numbers: Option<Spanned<CarrierNumbers>>,
    pub(super) codecs: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) headers: Option<Spanned<CarrierHeaders>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct CarrierHeaders {
    pub(super) remove: Option<Vec<Spanned<String>>>,
    pub(super) add: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct CarrierNumbers {
    pub(super) country_code: Text,
    pub(super) international_prefixes: Option<Vec<Spanned<String>>>,
    pub(super) national_prefix: Text,
    pub(super) digits: Text,
    pub(super) form: Text,
    pub(super) national: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct CarrierCredentials {
    pub(super) username: Text,
    pub(super) password: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct CarrierTls {
    pub(super) ca: Text,
    pub(super) client_certificate: Text,
    pub(super) client_key: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct CarrierRoute {
    pub(super) host: Text,
    pub(super) port: Number,
    pub(super) transport: Text,
    pub(super) prefix: Text,
    pub(super) priority: Number,
    pub(super) weight: Number,
    pub(super) cost: Number,
    pub(super) verify: Option<bool>,
}

/// Declares a section with the keys of a [`TerminationPolicy`] and some of its own. They stand side by side in the
/// file, and serde's `flatten` would lose their places and the check for unknown ones.
macro_rules! termination_section {
    ($name:ident, { $($(#[$attribute:meta])* $own:ident: $kind:ty,)* }) => {
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, expecting = "a section")]
        pub(super) struct $name {
            $($(#[$attribute])* pub(super) $own: $kind,)*
            concurrent_calls: Number,
            calls_per_hour: Number,
            calls_per_hour_to_country: Number,
            alert_percent: Number,
            premium_rate: Text,
            satellite: Text,
            allow_prefixes: Option<Vec<Spanned<String>>>,
            deny_prefixes: Option<Vec<Spanned<String>>>,
            country_code: Text,
            international_prefixes: Option<Vec<Spanned<String>>>,
            national_prefix: Text,
            digits: Text,
        }

        impl $name {
            /// The keys that every such section has.
            pub(super) fn policy(self) -> TerminationPolicy {
                TerminationPolicy {
                    concurrent_calls: self.concurrent_calls,
                    calls_per_hour: self.calls_per_hour,
                    calls_per_hour_to_country: self.calls_per_hour_to_country,
                    alert_percent: self.alert_percent,
                    premium_rate: self.premium_rate,
                    satellite: self.satellite,
                    allow_prefixes: self.allow_prefixes,
                    deny_prefixes: self.deny_prefixes,
                    dialling: Dialling {
                        country_code: self.country_code,
                        international_prefixes: self.international_prefixes,
                        national_prefix: self.national_prefix,
                        digits: self.digits,
                    },
                }
            }
        }
    };
}

termination_section!(Termination, {
    #[serde(default)]
    connector: Vec<Spanned<TerminationConnector>>,
});

termination_section!(TerminationConnector, {
    id: Text,
});

/// The keys of `[termination]` and of `[[termination.connector]]`.
pub(super) struct TerminationPolicy {
    pub(super) concurrent_calls: Number,
    pub(super) calls_per_hour: Number,
    pub(super) calls_per_hour_to_country: Number,
    pub(super) alert_percent: Number,
    pub(super) premium_rate: Text,
    pub(super) satellite: Text,
    pub(super) allow_prefixes: Option<Vec<Spanned<String>>>,
    pub(super) deny_prefixes: Option<Vec<Spanned<String>>>,
    pub(super) dialling: Dialling,
}

/// How an end of a trunk writes numbers.
pub(super) struct Dialling {
    pub(super) country_code: Text,
    pub(super) international_prefixes: Option<Vec<Spanned<String>>>,
    pub(super) national_prefix: Text,
    pub(super) digits: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct NumberPool {
    pub(super) country: Text,
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) first: Text,
    pub(super) last: Text,
    pub(super) state: Text,
    pub(super) city: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Api {
    pub(super) bind: Text,
    pub(super) tls: Option<Spanned<Certificate>>,
    pub(super) e911_addresses: Text,
    pub(super) users: Option<Vec<Spanned<String>>>,
    pub(super) requests_per_second: Number,
    #[serde(default)]
    pub(super) access_key: Vec<Spanned<AccessKey>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct AccessKey {
    pub(super) id: Text,
    pub(super) secret: Text,
    pub(super) account: Text,
    pub(super) role: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Store {
    pub(super) url: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Quotas {
    pub(super) voice_connectors: Number,
    pub(super) voice_connector_groups: Number,
    pub(super) group_voice_connectors: Number,
    pub(super) origination_routes: Number,
    pub(super) termination_credentials: Number,
    pub(super) sip_media_applications: Number,
    pub(super) sip_rules: Number,
    pub(super) proxy_sessions: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Limits {
    pub(super) calls_max: Number,
    pub(super) transactions_max: Number,
    pub(super) sip_message_bytes_max: Number,
    pub(super) sip_headers_max: Number,
    pub(super) connections_max: Number,
    pub(super) source_connections_max: Number,
    pub(super) known_source_connections_max: Number,
    pub(super) connection_idle_s: Number,
    pub(super) mailbox_max: Number,
    pub(super) source_messages_per_second: Number,
    pub(super) known_source_messages_per_second: Number,
    pub(super) ban_s: Number,
    pub(super) ban_max_s: Number,
    pub(super) lag_refuse_ms: Number,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a section")]
pub(super) struct Log {
    pub(super) level: Text,
    pub(super) format: Text,
}

/// A text, or a list of texts.
pub(super) struct OneOrMore(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> serde::de::Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![text.to_owned()]))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(OneOrMore(texts))
    }
}

/// Reads the file's sections and keys.
///
/// # Errors
///
/// Every syntax error; or the first key that is unknown or has a value of the wrong type.
pub(super) fn parse(text: &str) -> Result<File, Vec<ConfigError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(text, error)).collect());
    }
    File::deserialize(Deserializer::from(table.clone()))
        .map_err(|error| vec![shape(text, table.get_ref(), &error)])
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError {
        line: error.span().map(|span| line_at(text, span.start)),
        key: None,
        problem: Problem::Syntax {
            message: error.message().to_owned(),
        },
    }
}

/// What serde has against the file. Its messages are the only place where it says which keys it knows
/// and which type it wanted.
fn shape(text: &str, table: &DeTable<'_>, error: &toml::de::Error) -> ConfigError {
    let span = error.span();
    let key = span
        .as_ref()
        .and_then(|span| key_in_table(table, span))
        .unwrap_or_default();
    let message = error.message();
    let problem = if message.starts_with("unknown field") {
        let mut words = message.split('`').skip(1).step_by(2).map(str::to_owned);
        let written = words.next().unwrap_or_default();
        Problem::unknown_key(written, words.collect())
    } else {
        let (found, expected) = message
            .strip_prefix("invalid type: ")
            .and_then(|rest| rest.rsplit_once(", expected "))
            .unwrap_or((message, "another value"));
        Problem::WrongType {
            // The value of a secret must not be shown, whatever it is.
            found: match key.ends_with("secret") || key.ends_with("password") {
                true => "not shown",
                false => found,
            }
            .to_owned(),
            expected: expected.to_owned(),
        }
    };
    ConfigError {
        line: span.map(|span| line_at(text, span.start)),
        key: Some(key).filter(|key| !key.is_empty()),
        problem,
    }
}

/// The path of the innermost key whose name or value holds the start of `span`.
fn key_in_table(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        if key.span().contains(&span.start) {
            return Some(name.to_string());
        }
        if let Some(inner) = key_in_value(value.get_ref(), span) {
            return Some(join(name, &inner));
        }
        holds(&value.span(), span).then(|| name.to_string())
    })
}

/// As [`key_in_table`], for what is in a value; a list's items are counted from 0.
fn key_in_value(value: &DeValue<'_>, span: &Range<usize>) -> Option<String> {
    if let Some(table) = value.as_table() {
        return key_in_table(table, span);
    }
    value
        .as_array()?
        .iter()
        .enumerate()
        .find_map(|(index, item)| match key_in_value(item.get_ref(), span) {
            Some(inner) => Some(join(&format!("[{index}]"), &inner)),
            None => holds(&item.span(), span).then(|| format!("[{index}]")),
        })
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.contains(&inner.start) && inner.end <= outer.end
}

fn join(outer: &str, inner: &str) -> String {
    match inner.starts_with('[') {
        true => format!("{outer}{inner}"),
        false => format!("{outer}.{inner}"),
    }
}
