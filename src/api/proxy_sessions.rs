//! Proxy sessions: two participants, and the numbers of a connector that stand for each before the other.
//!
//! A session ends when it is deleted or when its minutes have passed since its creation; that is worked out when
//! it is read, so that there is nothing to be done at that time.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::ApiState;
use super::configurations::{PROXY, existing};
use super::errors::{ApiError, BadRequest, NotFound};
use super::inventory::pool_of;
use super::members::{invalid, iso8601};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::resources::{Kind, members};
use crate::numbering::E164;
use crate::store::{Document, Holder, Key, NumberFilter};

/// The kind of the documents.
pub(super) const KIND: &str = SESSION.kind;

const SESSION: Kind = Kind {
    kind: "proxy-session",
    name: "ProxySession",
};

/// Numbers of a connector that one choice looks at.
const CANDIDATES_MAX: usize = 10_000;

/// The kept member that says when a session was deleted, in milliseconds.
const ENDED: &str = "Ended";

/// `CreateProxySession`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let pair = participants(input)?;
    let _writing = state.control.hold_writes().await;
    let connector = existing(state, request, input).await?;
    let proxy = proxy(state, request, &connector).await?;
    let now = (state.now)();
    let sessions = with_room(state, request, &connector, now).await?;
    let candidates = candidates(state, request, &connector, &proxy, pair).await?;
    let choice = Choice::new(input, pair, &sessions, now);
    let [first, second] = choice.choose(&candidates)?;

    let kept = [
        "Name",
        "Capabilities",
        "NumberSelectionBehavior",
        "GeoMatchLevel",
        "GeoMatchParams",
    ];
    let mut body = input.some_of(&kept);
    let minutes = input.integer("ExpiryMinutes");
    let minutes = minutes.or_else(|| proxy.get("DefaultSessionExpiryMinutes")?.as_i64());
    // A default of none, or of 0, is no end.
    if let Some(minutes) = minutes.filter(|minutes| *minutes > 0) {
        body.insert("ExpiryMinutes".into(), minutes.into());
    }
    let participant = |number: E164, proxy: E164| {
        json!({
            "PhoneNumber": number.to_string(),
            "ProxyPhoneNumber": proxy.to_string(),
        })
    };
    let participants = json!([participant(pair[0], first), participant(pair[1], second)]);
    body.insert("Participants".into(), participants);
    let id = uuid::Uuid::new_v4().to_string();
    let key = SESSION.key(request.account, &id);
    let store = state.control.store();
    let document = store
        .put_document(key, &connector, &Value::Object(body), now)
        .await?;
    respond(&document, now)
}

/// `GetProxySession`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    respond(&of_connector(state, request, input).await?, (state.now)())
}

/// `ListProxySessions`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let connector = existing(state, request, input).await?;
    let now = (state.now)();
    let status = input.text_if_any("Status");
    let wanted = |session: &Document| status.is_none_or(|status| status == status_of(session, now));
    let page = SESSION
        .page(state, (request, input), &connector, wanted)
        .await?;
    let sessions: Vec<Value> = page.rows.iter().map(|row| session(row, now)).collect();
    ApiResponse::json(&json!({"ProxySessions": sessions, "NextToken": page.next}))
}

/// `UpdateProxySession`: new capabilities, and where they are given other minutes since the session's creation.
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = of_connector(state, request, input).await?.id;
    let now = (state.now)();
    let change = |before: &Document| {
        if ended(before, now).is_some() {
            return Err(BadRequest::ProxySessionClosed.into());
        }
        let mut body = members(before);
        body.extend(input.some_of(&["Capabilities", "ExpiryMinutes"]));
        Ok(Value::Object(body))
    };
    let document = SESSION.change(state, request.account, &id, change).await?;
    respond(&document, now)
}

/// `DeleteProxySession` ends it; one that has ended stays as it is.
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let session = of_connector(state, request, input).await?;
    let now = (state.now)();
    if ended(&session, now).is_some() {
        return Ok(ApiResponse::no_content());
    }
    let change = |before: &Document| {
        let mut body = members(before);
        // Somebody else may have ended it in this moment.
        if ended(before, now).is_none() {
            body.insert(ENDED.into(), now.as_millisecond().into());
        }
        Ok(Value::Object(body))
    };
    let account = request.account;
    SESSION.change(state, account, &session.id, change).await?;
    Ok(ApiResponse::no_content())
}

/// The session that the request is about, which has to be one of the connector's.
async fn of_connector(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<Document, ApiError> {
    let connector = existing(state, request, input).await?;
    let id = input.text("ProxySessionId");
    let session = SESSION.existing(state, request.account, id).await?;
    match session.parent == connector {
        true => Ok(session),
        false => Err(SESSION.missing(id)),
    }
}

/// The two participants.
fn participants(input: &Input) -> Result<[E164; 2], BadRequest> {
    let mut numbers = [None, None];
    for (number, text) in numbers
        .iter_mut()
        .zip(input.texts("ParticipantPhoneNumbers"))
    {
        *number = text.parse::<E164>().ok();
    }
    match numbers {
        [Some(first), Some(second)] if first != second => Ok([first, second]),
        [_, _] => Err(invalid(
            "ParticipantPhoneNumbers",
            "two different E.164 numbers",
        )),
    }
}

/// The connector's proxy configuration, which has to allow new sessions.
async fn proxy(
    state: &ApiState,
    request: &ApiRequest<'_>,
    connector: &str,
) -> Result<Value, ApiError> {
    let key = Key {
        kind: PROXY.kind(),
        account: request.account,
        id: connector,
    };
    let document = state.control.store().document(key).await?;
    let proxy = document.ok_or(NotFound::Configuration(PROXY.kind()))?.body;
    match proxy.get("Disabled") == Some(&Value::Bool(true)) {
        true => Err(BadRequest::ProxyDisabled.into()),
        false => Ok(proxy),
    }
}

/// The connector's sessions, with room made for one more: those that ended first make it.
async fn with_room(
    state: &ApiState,
    request: &ApiRequest<'_>,
    connector: &str,
    now: Timestamp,
) -> Result<Vec<Document>, ApiError> {
    let mut sessions = SESSION.all(state, request.account, connector).await?;
    let most = state.quotas.proxy_sessions;
    while sessions.len() >= most {
        let oldest = sessions.iter().position(|row| ended(row, now).is_some());
        let Some(oldest) = oldest else {
            return Err(ApiError::ResourceLimitExceeded {
                what: "Open proxy sessions of a VoiceConnector",
                most,
            });
        };
        let gone = sessions.remove(oldest);
        let key = SESSION.key(request.account, &gone.id);
        state.control.store().delete_document(key).await?;
    }
    Ok(sessions)
}

/// A number that may stand for participants.
struct Candidate<'a> {
    number: E164,
    country: &'a str,
}

/// The connector's numbers in the proxy's countries; a participant's own number stands for nobody.
async fn candidates<'a>(
    state: &'a ApiState,
    request: &ApiRequest<'_>,
    connector: &str,
    proxy: &Value,
    pair: [E164; 2],
) -> Result<Vec<Candidate<'a>>, ApiError> {
    let filter = NumberFilter {
        holder: connector.parse().ok().map(Holder::VoiceConnector),
        ..NumberFilter::default()
    };
    let countries = proxy.get("PhoneNumberCountries").and_then(Value::as_array);
    let is_allowed = |country: &str| {
        countries.is_some_and(|allowed| allowed.iter().any(|allowed| allowed == country))
    };
    let mut candidates = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let store = state.control.store();
        let page = store
            .phone_numbers(request.account, &filter, after.as_deref(), 1000)
            .await?;
        for number in page.rows.iter().map(|row| row.number) {
            let Some(pool) = pool_of(&state.number_pools, number) else {
                continue;
            };
            if is_allowed(&pool.country) && !pair.contains(&number) {
                let country = pool.country.as_str();
                candidates.push(Candidate { number, country });
            }
        }
        match page.next {
            Some(next) if candidates.len() < CANDIDATES_MAX => after = Some(next),
            Some(_) | None => return Ok(candidates),
        }
    }
}

/// What a choice of numbers goes by.
struct Choice<'a> {
    pair: [E164; 2],
    /// Participant and number of every open session of the connector: a call between the two says which
    /// session it belongs to.
    taken: HashSet<(E164, E164)>,
    /// The numbers of earlier sessions of the same two, the last session's last.
    before: Vec<[E164; 2]>,
    behaviour: Option<&'a str>,
    level: Option<&'a str>,
    country: Option<&'a str>,
    area_code: Option<u64>,
}

impl<'a> Choice<'a> {
    fn new(input: &'a Input, pair: [E164; 2], sessions: &[Document], now: Timestamp) -> Self {
        let mut taken = HashSet::new();
        let mut before = Vec::new();
        for session in sessions {
            let legs = legs(session);
            if ended(session, now).is_none() {
                taken.extend(legs.iter().copied());
            }
            let proxy_of = |participant: E164| {
                let leg = legs.iter().find(|(number, _)| *number == participant);
                leg.map(|(_, proxy)| *proxy)
            };
            if let (Some(first), Some(second)) = (proxy_of(pair[0]), proxy_of(pair[1])) {
                before.push([first, second]);
            }
        }
        let params = |name: &str| {
            let value = input.value("GeoMatchParams")?.get(name)?.as_str()?;
            Some(value).filter(|value| !value.is_empty())
        };
        Self {
            pair,
            taken,
            before,
            behaviour: input.text_if_any("NumberSelectionBehavior"),
            level: input.text_if_any("GeoMatchLevel"),
            country: params("Country"),
            area_code: params("AreaCode")
                .and_then(|code| code.parse().ok())
                .or_else(|| area_code(pair[0])),
        }
    }

    /// A number for each participant: one number for both where one is free for both.
    fn choose(&self, candidates: &[Candidate<'_>]) -> Result<[E164; 2], BadRequest> {
        if let Some(again) = self.sticky(candidates) {
            return Ok(again);
        }
        let best = |is_free: &dyn Fn(E164) -> bool| {
            let free = candidates
                .iter()
                .filter(|candidate| is_free(candidate.number));
            let best = free.min_by_key(|candidate| self.rank(candidate));
            best.map(|candidate| candidate.number)
        };
        let [first, second] = self.pair;
        let is_free_for = |participant, number| !self.taken.contains(&(participant, number));
        let is_free = |number| is_free_for(first, number) && is_free_for(second, number);
        if let Some(both) = best(&is_free) {
            return Ok([both, both]);
        }
        let none = |index: usize| BadRequest::NoProxyNumber {
            member: format!("ParticipantPhoneNumbers[{index}]"),
        };
        Ok([
            best(&|number| is_free_for(first, number)).ok_or_else(|| none(0))?,
            best(&|number| is_free_for(second, number)).ok_or_else(|| none(1))?,
        ])
    }

    /// The numbers that the two had last and can have again, where they prefer them.
    fn sticky(&self, candidates: &[Candidate<'_>]) -> Option<[E164; 2]> {
        let is_there = |number| {
            candidates
                .iter()
                .any(|candidate| candidate.number == number)
        };
        let can_be = |numbers: &&[E164; 2]| {
            let mut legs = self.pair.into_iter().zip(**numbers);
            legs.all(|leg| is_there(leg.1) && !self.taken.contains(&leg))
        };
        match self.behaviour {
            Some("PreferSticky") => self.before.iter().rev().find(can_be).copied(),
            Some(_) | None => None,
        }
    }

    /// The least is the best: a match of place first, then one that the two did not have before where they
    /// prefer that.
    fn rank(&self, candidate: &Candidate<'_>) -> (bool, bool, bool, E164) {
        let number = candidate.number;
        let is_of_country = match self.country {
            Some(country) => candidate.country == country,
            None => country_code(number) == country_code(self.pair[0]),
        };
        let is_of_area = is_of_country && area_code(number) == self.area_code;
        let (is_abroad, is_far) = match self.level {
            Some("AreaCode") => (!is_of_country, !is_of_area),
            Some(_) => (!is_of_country, false),
            None => (false, false),
        };
        let is_again = self.behaviour == Some("AvoidSticky")
            && self.before.iter().any(|numbers| numbers.contains(&number));
        (is_abroad, is_far, is_again, number)
    }
}

/// Participants and the numbers that stand for them.
fn legs(session: &Document) -> Vec<(E164, E164)> {
    let participants = session.body.get("Participants").and_then(Value::as_array);
    let number = |participant: &Value, member: &str| -> Option<E164> {
        participant.get(member)?.as_str()?.parse().ok()
    };
    let participants = participants.into_iter().flatten();
    participants
        .filter_map(|leg| {
            Some((
                number(leg, "PhoneNumber")?,
                number(leg, "ProxyPhoneNumber")?,
            ))
        })
        .collect()
}

/// The area code of a number of the North American Numbering Plan.
fn area_code(number: E164) -> Option<u64> {
    let digits = number.digits();
    (digits / 10_000_000_000 == 1).then_some(digits / 10_000_000 % 1_000)
}

/// ITU-T E.164 country codes have one digit in the zones 1 and 7, and two or three in the others.
fn country_code(number: E164) -> u64 {
    let mut digits = number.digits();
    let mut leading = [0; 3];
    let mut count = 0;
    while digits > 0 {
        leading = [digits, leading[0], leading[1]];
        digits /= 10;
        count += 1;
    }
    let [one, two, three] = leading;
    match two {
        _ if count < 3 || matches!(one, 1 | 7) => one,
        20
        | 27
        | 30..=34
        | 36
        | 39..=41
        | 43..=49
        | 51..=58
        | 60..=66
        | 81
        | 82
        | 84
        | 86
        | 90..=95
        | 98 => two,
        _ => three,
    }
}

/// When a session ended, where it has.
fn ended(session: &Document, now: Timestamp) -> Option<Timestamp> {
    let deleted = session.body.get(ENDED).and_then(Value::as_i64);
    let deleted = deleted.and_then(|at| Timestamp::from_millisecond(at).ok());
    let minutes = session.body.get("ExpiryMinutes").and_then(Value::as_i64);
    // An end beyond all times is no end.
    let expires = minutes
        .and_then(|minutes| minutes.checked_mul(60))
        .and_then(|seconds| {
            session
                .created
                .checked_add(SignedDuration::from_secs(seconds))
                .ok()
        });
    deleted.or(expires).filter(|end| *end <= now)
}

fn status_of(session: &Document, now: Timestamp) -> &'static str {
    match ended(session, now) {
        Some(_) => "Closed",
        None => "Open",
    }
}

fn respond(document: &Document, now: Timestamp) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({SESSION.name: session(document, now)}))
}

fn session(document: &Document, now: Timestamp) -> Value {
    let member = |name: &str| document.body.get(name);
    json!({
        "VoiceConnectorId": document.parent,
        "ProxySessionId": document.id,
        "Name": member("Name"),
        "Status": status_of(document, now),
        "ExpiryMinutes": member("ExpiryMinutes"),
        "Capabilities": member("Capabilities"),
        "CreatedTimestamp": iso8601(document.created),
        "UpdatedTimestamp": iso8601(document.updated),
        "EndedTimestamp": ended(document, now).map(iso8601),
        "Participants": member("Participants"),
        "NumberSelectionBehavior": member("NumberSelectionBehavior"),
        "GeoMatchLevel": member("GeoMatchLevel"),
        "GeoMatchParams": member("GeoMatchParams"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_codes_have_one_to_three_digits() {
        for (number, code) in [
            ("+12065550100", 1),
            ("+74951234567", 7),
            ("+442071838700", 44),
            ("+35315550100", 353),
            ("+12", 1),
        ] {
            assert_eq!(country_code(number.parse().unwrap()), code, "{number}");
        }
    }
}
