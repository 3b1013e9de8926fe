//! Whether settings can work together: what could only be found by a caller is refused when it is written.

use serde_json::Value;

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::members::invalid;
use super::model::Input;
use super::proxy_sessions::{country_of, numbers_of};
use super::request::ApiRequest;
use crate::numbering::{Class, Country, E164};
use crate::store::{OriginationRecord, RouteProtocol};

pub(super) const BOTH_ENABLED: &str =
    "Termination and Origination, neither of them Disabled, where emergency calling is configured";
pub(super) const OVER_TCP: &str = "TCP, for the VoiceConnector requires encryption";

/// Whether a code of two capitals is one of a country that there is.
pub(super) fn is_country(code: &str) -> bool {
    let are_capitals = code.bytes().all(|byte| byte.is_ascii_uppercase());
    are_capitals && code.parse::<Country>().is_ok()
}

/// An encrypted connector has no route over UDP: `path` is that of its `Origination`.
pub(super) fn over_tcp_where_encrypted(
    path: &str,
    record: &OriginationRecord,
    require_encryption: bool,
) -> Result<(), BadRequest> {
    let over_udp = |route: &crate::store::RouteRecord| route.protocol == RouteProtocol::Udp;
    let over_udp = record.routes.iter().position(over_udp);
    match over_udp.filter(|_| require_encryption) {
        Some(index) => Err(invalid(
            format!("{path}.Routes[{index}].Protocol"),
            OVER_TCP,
        )),
        None => Ok(()),
    }
}

/// Each country calls for help once. `path` is that of the `EmergencyCallingConfiguration`.
pub(super) fn emergency(path: &str, configuration: &Value) -> Result<(), BadRequest> {
    let dnis = configuration.get("DNIS").and_then(Value::as_array);
    let countries = dnis.into_iter().flatten().map(|dnis| {
        let country = dnis.get("CallingCountry").and_then(Value::as_str);
        country.unwrap_or_default()
    });
    for (index, dnis) in dnis.into_iter().flatten().enumerate() {
        for name in ["EmergencyPhoneNumber", "TestPhoneNumber"] {
            let number = dnis.get(name).and_then(Value::as_str);
            if number.is_some_and(|number| !is_reachable(number)) {
                return Err(invalid(format!("{path}.DNIS[{index}].{name}"), REACHABLE));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (index, country) in countries.enumerate() {
        let member = || format!("{path}.DNIS[{index}].CallingCountry");
        if !is_country(country) {
            return Err(invalid(
                member(),
                "an ISO 3166-1 alpha-2 country that exists",
            ));
        }
        if !seen.insert(country) {
            return Err(invalid(member(), "each country once"));
        }
    }
    Ok(())
}

const REACHABLE: &str =
    "an ordinary or toll-free E.164 number with its country code, such as +12065550100";

/// Whether a number can be called from everywhere, and costs no more than others.
fn is_reachable(number: &str) -> bool {
    let number = number.parse::<E164>().ok();
    number.is_some_and(|number| {
        let is_plain = matches!(number.class(), Class::Ordinary | Class::TollFree);
        number.digit_count() >= REACHABLE_DIGITS_MIN && number.country().is_some() && is_plain
    })
}

/// Digits of the shortest numbers that there are, with their country code.
const REACHABLE_DIGITS_MIN: u32 = 7;

/// What a `Proxy` says by itself, with the name that its countries have here. `path` is empty or ends with a dot.
pub(super) fn proxy(path: &str, countries: &str, proxy: &Value) -> Result<(), BadRequest> {
    let minutes = proxy.get("DefaultSessionExpiryMinutes");
    if minutes
        .and_then(Value::as_i64)
        .is_some_and(|minutes| minutes < 0)
    {
        let member = format!("{path}DefaultSessionExpiryMinutes");
        return Err(invalid(member, "minutes, or 0 for sessions without an end"));
    }
    let fallback = proxy.get("FallBackPhoneNumber").and_then(Value::as_str);
    // The model allows an empty one.
    if fallback.is_some_and(|number| !number.is_empty() && !is_reachable(number)) {
        return Err(invalid(format!("{path}FallBackPhoneNumber"), REACHABLE));
    }
    for (index, country) in countries_of(proxy).enumerate() {
        // The model allows an empty one.
        if !country.is_empty() && !is_country(country) {
            let member = format!("{path}{countries}[{index}]");
            return Err(invalid(member, "an ISO 3166-1 alpha-2 country that exists"));
        }
    }
    Ok(())
}

pub(super) const IN_COUNTRIES: &str =
    "a country of which the VoiceConnector has a phone number; associate one first";

/// `PhoneNumberCountries` of a `Proxy`.
pub(super) fn countries_of(proxy: &Value) -> impl Iterator<Item = &str> {
    let countries = proxy.get("PhoneNumberCountries").and_then(Value::as_array);
    countries.into_iter().flatten().filter_map(Value::as_str)
}

/// A connector's `Proxy` has numbers to choose from, and what it falls back on leads nobody back to it.
pub(super) async fn proxy_of(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
    body: &Value,
) -> Result<(), ApiError> {
    proxy("", "PhoneNumberPoolCountries", body)?;
    let fallback = input.text_if_any("FallBackPhoneNumber");
    let fallback: Option<E164> = fallback.and_then(|number| number.parse().ok());
    let snapshot = state.control.snapshot();
    if fallback.is_some_and(|number| snapshot.masking_connector(number).is_some()) {
        let expected =
            "a number that stands for no participant of a proxy session: its calls would come back";
        return Err(invalid("FallBackPhoneNumber", expected).into());
    }
    let is_wanted = |number: E164| {
        let country = country_of(state, number);
        country.is_some_and(|country| countries_of(body).any(|wanted| wanted == country))
    };
    let connector = input.text("VoiceConnectorId");
    match numbers_of(state, request, connector, 1, is_wanted)
        .await?
        .is_empty()
    {
        true => Err(invalid("PhoneNumberPoolCountries", IN_COUNTRIES).into()),
        false => Ok(()),
    }
}
