//! What the text of one key means.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

use super::carrier::{is_carried, is_own};
use super::problem::Problem;
use super::{Host, LogFormat, LogLevel, SrtpMode, StoreUrl, Suite, Transport};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::dialling::{CountryCode, Form, InternationalPrefix, NationalPrefix, Plain};
use crate::numbering::{E164, Prefix};

pub(super) const ACCESS_KEY_ID: &str = "an access key id: 16 to 128 letters, digits or _";
pub(super) const ACCOUNT: &str = "an AWS account id: 12 digits";
pub(super) const ADDRESS: &str = "an IPv4 or IPv6 address";
pub(super) const CONNECTOR_ID: &str =
    "the id of a voice connector: 22 characters of a to z and 0 to 9";
pub(super) const COUNTRY: &str = "a country of two capital letters (ISO 3166-1), such as US";
pub(super) const HOST: &str = "a host name or an address";
pub(super) const NAME: &str = "a name";
pub(super) const NUMBER: &str = "a number in E.164 form, such as +12065550100";
pub(super) const PEM_FILE: &str = "the name of a PEM file";
pub(super) const SOCKET_ADDRESS: &str = "ADDRESS:PORT, such as 127.0.0.1:5060 or [::1]:5060";
pub(super) const TRANSPORT: &str = "udp, tcp or tls";

fn wrong(written: &str, expected: &'static str) -> Problem {
    Problem::Value {
        written: written.to_owned(),
        expected,
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Problem> {
    match text.is_empty() {
        true => Err(wrong(text, "a directory")),
        false => Ok(PathBuf::from(text)),
    }
}

pub(super) fn user(text: &str) -> Result<String, Problem> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [account, user] if !account.is_empty() && !user.is_empty() => Ok(text.to_owned()),
        _ => Err(wrong(
            text,
            "ACCOUNT/USER, the ids of an account and a user",
        )),
    }
}

pub(super) fn table(text: &str) -> Result<PathBuf, Problem> {
    match text.is_empty() {
        true => Err(wrong(
            text,
            "a file with an address a line, its columns between tabs",
        )),
        false => Ok(PathBuf::from(text)),
    }
}

pub(super) fn declared_file(text: &str) -> Result<PathBuf, Problem> {
    match text.is_empty() {
        true => Err(wrong(text, "a TOML file of resources")),
        false => Ok(PathBuf::from(text)),
    }
}

pub(super) fn file(text: &str) -> Result<PathBuf, Problem> {
    match text.is_empty() {
        true => Err(wrong(text, PEM_FILE)),
        false => Ok(PathBuf::from(text)),
    }
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| wrong(text, SOCKET_ADDRESS))
}

/// As [`socket_address`], with a port that peers can be told.
pub(super) fn peer_address(text: &str) -> Result<SocketAddr, Problem> {
    socket_address(text).and_then(|address| match address.port() {
        0 => Err(wrong(
            text,
            "an address with the port that peers send to, such as 5060",
        )),
        1.. => Ok(address),
    })
}

/// As [`socket_address`], at port 53 where none is said.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, Problem> {
    let address = text.parse().map(|address| SocketAddr::new(address, 53));
    address
        .or_else(|_| text.parse())
        .ok()
        .filter(|address| address.port() > 0)
        .ok_or_else(|| {
            wrong(
                text,
                "a name server's address, such as 192.0.2.53 or 127.0.0.1:5353",
            )
        })
}

pub(super) fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| wrong(text, ADDRESS))
}

/// What is wrong with the advertised address; `given` tells whether the file names it.
pub(super) fn advertise_problem(bind: IpAddr, advertise: IpAddr, given: bool) -> Option<Problem> {
    match given {
        false if bind.is_unspecified() => Some(Problem::WildcardWithoutAdvertise),
        true if bind.is_ipv4() != advertise.is_ipv4() => Some(Problem::FamilyMismatch { bind }),
        true if advertise.is_unspecified() => Some(Problem::WildcardAdvertised),
        true | false => None,
    }
}

/// A DNS name, in lower case.
pub(super) fn host_name(text: &str) -> Result<String, Problem> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    // RFC 3696 §2: a top label of digits would be taken for an IPv4 address.
    let is_name = text.len() <= 253
        && text.split('.').all(is_label)
        && !text.rsplit('.').next().is_some_and(numeric);
    match is_name {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(wrong(text, "a host name")),
    }
}

pub(super) fn host(text: &str) -> Result<Host, Problem> {
    match Host::from(text) {
        Host::Name(name) => host_name(&name)
            .map(Host::Name)
            .map_err(|_| wrong(text, HOST)),
        address @ Host::Address(_) => Ok(address),
    }
}

pub(super) fn transport(text: &str) -> Result<Transport, Problem> {
    match text {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        "tls" => Ok(Transport::Tls),
        _ => Err(wrong(text, TRANSPORT)),
    }
}

pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, Problem> {
    let problem = || {
        wrong(
            text,
            "FIRST-LAST, two ports between 1024 and 65535, the lower one first, such as 20000-29999",
        )
    };
    let (first, last) = text.split_once('-').ok_or_else(problem)?;
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first @ 1024..), Ok(last)) if first < last => Ok(first..=last),
        (_, _) => Err(problem()),
    }
}

pub(super) fn name(text: &str) -> Result<String, Problem> {
    let is_name = !text.trim().is_empty() && text.len() <= 128 && !text.contains(char::is_control);
    match is_name {
        true => Ok(text.to_owned()),
        false => Err(wrong(text, NAME)),
    }
}

pub(super) fn network(text: &str) -> Result<IpNetwork, Problem> {
    text.parse()
        .map_err(|_| wrong(text, "a network or an address, such as 203.0.113.0/24"))
}

/// Digits, without the `+` they may be written with.
pub(super) fn prefix(text: &str) -> Result<Prefix, Problem> {
    let expected = "the first digits of E.164 numbers, such as 1206; empty for all";
    text.parse().map_err(|_| wrong(text, expected))
}

pub(super) fn voice_connector_id(text: &str) -> Result<VoiceConnectorId, Problem> {
    text.parse().map_err(|_| wrong(text, CONNECTOR_ID))
}

/// Whether a class of numbers may be called.
pub(super) fn is_allowed(text: &str) -> Result<bool, Problem> {
    match text {
        "refuse" => Ok(false),
        "allow" => Ok(true),
        _ => Err(wrong(text, "refuse or allow")),
    }
}

pub(super) fn country_code(text: &str) -> Result<CountryCode, Problem> {
    let expected = "a country code, such as 1 or 44";
    text.parse().map_err(|_| wrong(text, expected))
}

/// What is dialled in front of a number; a `+` need not be named.
pub(super) fn international_prefix(text: &str) -> Result<InternationalPrefix, Problem> {
    let expected = "two to five digits, such as 00 or 011";
    text.parse().map_err(|_| wrong(text, expected))
}

pub(super) fn national_prefix(text: &str) -> Result<NationalPrefix, Problem> {
    let expected = "one or two digits, such as 0 or 1; empty for none";
    text.parse().map_err(|_| wrong(text, expected))
}

pub(super) fn plain_digits(text: &str) -> Result<Plain, Problem> {
    match text {
        "refuse" => Ok(Plain::Refused),
        "e164" => Ok(Plain::E164),
        "national" => Ok(Plain::National),
        _ => Err(wrong(text, "refuse, e164 or national")),
    }
}

pub(super) fn country(text: &str) -> Result<String, Problem> {
    match text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err(wrong(text, COUNTRY)),
    }
}

/// The API's `PhoneNumberType`.
pub(super) fn is_toll_free(text: &str) -> Result<bool, Problem> {
    match text {
        "Local" => Ok(false),
        "TollFree" => Ok(true),
        _ => Err(wrong(text, "Local or TollFree")),
    }
}

/// A state or a city; may be empty.
pub(super) fn search_key(text: &str) -> Result<String, Problem> {
    match text.len() <= 128 && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(wrong(text, "a state or city as the API's search names it")),
    }
}

/// An E.164 number as an integer; it has no leading zero, so nothing is lost.
pub(super) fn number(text: &str) -> Result<u64, Problem> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    match (text.parse::<E164>(), digits.parse()) {
        (Ok(_), Ok(number)) => Ok(number),
        (_, _) => Err(wrong(text, NUMBER)),
    }
}

pub(super) fn access_key_id(text: &str) -> Result<String, Problem> {
    let is_id = (16..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match is_id {
        true => Ok(text.to_owned()),
        false => Err(wrong(text, ACCESS_KEY_ID)),
    }
}

pub(super) fn secret(text: &str) -> Result<String, Problem> {
    match text.is_empty() {
        true => Err(Problem::SecretEmpty),
        false => Ok(text.to_owned()),
    }
}

/// A token (RFC 3261 §25.1).
fn is_token(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_of_token)
}

/// A field that is carried across, where nobody removes it.
pub(super) fn carried_field(text: &str) -> Result<Box<str>, Problem> {
    match is_token(text) && is_carried(text) {
        true => Ok(text.into()),
        false => Err(wrong(
            text,
            "a header field that is carried across: X-…, or one of those that ARCHITECTURE.md lists, such as User-to-User",
        )),
    }
}

/// The full name of a field that an INVITE may have besides.
pub(super) fn added_field(text: &str) -> Result<Box<str>, Problem> {
    match is_token(text) && text.len() > 1 {
        true if is_own(text) => Err(Problem::OwnField),
        true => Ok(text.into()),
        false => Err(wrong(
            text,
            "the full name of a header field, such as X-Trunk",
        )),
    }
}

pub(super) fn field_value(text: &str) -> Result<Box<str>, Problem> {
    let is_line = (1..=1_024).contains(&text.trim().len()) && !text.contains(char::is_control);
    match is_line {
        true => Ok(text.trim().into()),
        false => {
            let expected = "one line of 1 to 1024 bytes, without control characters";
            Err(wrong(&text.escape_debug().to_string(), expected))
        }
    }
}

pub(super) fn encoding_name(text: &str) -> Result<Box<str>, Problem> {
    match is_token(text) {
        true => Ok(text.into()),
        false => Err(wrong(text, "the encoding name of a codec, such as PCMU")),
    }
}

/// The form that numbers are written in.
pub(super) fn form(text: &str) -> Result<Form, Problem> {
    let expected = "+, digits, or an international prefix such as 00";
    match text {
        "+" => Ok(Form::Plus),
        "digits" => Ok(Form::Digits),
        prefix => prefix
            .parse()
            .map(Form::International)
            .map_err(|_| wrong(text, expected)),
    }
}

pub(super) fn srtp_mode(text: &str) -> Result<SrtpMode, Problem> {
    match text {
        "off" => Ok(SrtpMode::Off),
        "accept" => Ok(SrtpMode::Accept),
        "optional" => Ok(SrtpMode::Optional),
        "required" => Ok(SrtpMode::Required),
        _ => Err(wrong(text, "off, accept, optional or required")),
    }
}

pub(super) fn suite(text: &str) -> Result<Suite, Problem> {
    let expected = "AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, \
        AES_256_CM_HMAC_SHA1_32, AEAD_AES_128_GCM or AEAD_AES_256_GCM";
    Suite::from_name(text).ok_or_else(|| wrong(text, expected))
}

/// Whether a peer's media is believed from anywhere.
pub(super) fn latch(text: &str) -> Result<bool, Problem> {
    match text {
        "signalling" => Ok(false),
        "anywhere" => Ok(true),
        _ => Err(wrong(text, "signalling or anywhere")),
    }
}

/// Whether redirections are followed.
pub(super) fn redirect(text: &str) -> Result<bool, Problem> {
    match text {
        "refuse" => Ok(false),
        "follow" => Ok(true),
        _ => Err(wrong(text, "refuse or follow")),
    }
}

/// Whether an access key may only read.
pub(super) fn is_read_only(text: &str) -> Result<bool, Problem> {
    match text {
        "full" => Ok(false),
        "read-only" => Ok(true),
        _ => Err(wrong(text, "full or read-only")),
    }
}

/// Whether a REFER is a transfer.
pub(super) fn refer(text: &str) -> Result<bool, Problem> {
    match text {
        "refuse" => Ok(false),
        "transfer" => Ok(true),
        _ => Err(wrong(text, "refuse or transfer")),
    }
}

/// Whether REGISTER is accepted.
pub(super) fn register(text: &str) -> Result<bool, Problem> {
    match text {
        "refuse" => Ok(false),
        "accept" => Ok(true),
        _ => Err(wrong(text, "refuse or accept")),
    }
}

pub(super) fn account(text: &str) -> Result<String, Problem> {
    match text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err(wrong(text, ACCOUNT)),
    }
}

pub(super) fn store_url(text: &str) -> Result<StoreUrl, Problem> {
    StoreUrl::parse(text).ok_or_else(|| {
        // With a user or parameters, anything behind the scheme may be a password.
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        match text.contains(['@', '?']) {
            true => wrong(&format!("{scheme}://***"), StoreUrl::EXPECTED),
            false => wrong(text, StoreUrl::EXPECTED),
        }
    })
}

pub(super) fn log_level(text: &str) -> Result<LogLevel, Problem> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err(wrong(text, "error, warn, info, debug or trace")),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Problem> {
    match text {
        "compact" => Ok(LogFormat::Compact),
        "json" => Ok(LogFormat::Json),
        _ => Err(wrong(text, "compact or json")),
    }
}
