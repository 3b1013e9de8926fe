//! Proxy sessions: two participants, and the numbers of a connector that stand for each before the other.
//!
//! A session ends when it is deleted or when its minutes have passed since its creation; that is worked out when
//! it is read, so that there is nothing to be done at that time. It is in progress once a call or message was put through,
//! which the shards tell.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::MutexGuard;

use super::ApiState;
use super::configurations::{PROXY, existing};
use super::errors::{ApiError, BadRequest, NotFound};
use super::inventory::pool_of;
use super::members::{invalid, iso8601};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::resources::{Kind, members};
use super::workable::countries_of;
use crate::instant::Instant;
use crate::numbering::E164;
use crate::shard::snapshot::{ProxySessions, Snapshot};
use crate::store::{Document, Holder, Key, NumberFilter, SessionRecord, Store, StoreError};

/// The kind of the documents.
pub(super) const KIND: &str = SESSION.kind;

const SESSION: Kind = Kind {
    kind: Store::PROXY_SESSION,
    name: "ProxySession",
};

/// Numbers of a connector that one choice looks at.
const CANDIDATES_MAX: usize = 10_000;

/// `CreateProxySession`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let pair = participants(input)?;
    let writing = state.control.hold_writes().await;
    let connector = existing(state, request, input).await?;
    let proxy = proxy(state, request, &connector).await?;
    let now = (state.now)();
    make_room(state, &writing, (request.account, &connector), now).await?;
    let snapshot = state.control.snapshot();
    let sessions = &snapshot.proxy_sessions;
    refuse_proxies(pair, &snapshot)?;
    let candidates = candidates(state, request, &connector, &proxy, sessions).await?;
    let before = before(state, request, input, (&connector, pair)).await?;
    let at = state.control.time().instant(now);
    let choice = Choice::new(input, pair, before, (sessions, at));
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
    let new = Document {
        id: uuid::Uuid::new_v4().to_string(),
        parent: connector,
        body: Value::Object(body),
        created: now,
        updated: now,
    };
    let control = &state.control;
    let made = control.create_session(&writing, new, request.account);
    respond(&made.await?, now)
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
    let is_of = |session: &Document, status: &str| {
        SessionRecord::of(session).is_ok_and(|session| session.status(now).as_str() == status)
    };
    let wanted = |session: &Document| status.is_none_or(|status| is_of(session, status));
    let page = SESSION
        .page(state, (request, input), &connector, wanted)
        .await?;
    let sessions = page.rows.iter().map(|row| session(row, now));
    let sessions: Vec<Value> = sessions.collect::<Result<_, _>>()?;
    ApiResponse::json(&json!({"ProxySessions": sessions, "NextToken": page.next}))
}

/// `UpdateProxySession`: new capabilities, and where they are given other minutes since the session's creation.
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = of_connector(state, request, input).await?.id;
    let writing = state.control.hold_writes().await;
    let now = (state.now)();
    let change = |before: &Document| {
        if SessionRecord::of(before)?.ended(now).is_some() {
            return Err(ApiError::from(BadRequest::ProxySessionClosed));
        }
        let mut body = members(before);
        body.extend(input.some_of(&["Capabilities", "ExpiryMinutes"]));
        let after = Document {
            body: Value::Object(body.clone()),
            ..before.clone()
        };
        // It was open until now, whatever is said of it afterwards.
        if SessionRecord::of(&after)?.ended(now).is_some() {
            body.insert(SessionRecord::ENDED.into(), now.as_millisecond().into());
        }
        Ok(Some(body))
    };
    let session = (request.account, id.as_str());
    let control = &state.control;
    let document = control.change_session(&writing, session, now, change);
    respond(&document.await?, now)
}

/// `DeleteProxySession` ends it; one that has ended stays as it is.
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = of_connector(state, request, input).await?.id;
    let writing = state.control.hold_writes().await;
    let now = (state.now)();
    let change = |before: &Document| {
        let has_ended = SessionRecord::of(before)?.ended(now).is_some();
        Ok::<_, ApiError>((!has_ended).then(|| {
            let mut body = members(before);
            body.insert(SessionRecord::ENDED.into(), now.as_millisecond().into());
            body
        }))
    };
    let session = (request.account, id.as_str());
    let control = &state.control;
    let changed = control.change_session(&writing, session, now, change);
    changed.await?;
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

/// Nobody reaches a participant at a number that stands for others: calls to it are theirs.
fn refuse_proxies(pair: [E164; 2], snapshot: &Snapshot) -> Result<(), BadRequest> {
    let stands_for_somebody = |number: &E164| snapshot.masking_connector(*number).is_some();
    match pair.iter().position(stands_for_somebody) {
        Some(index) => Err(invalid(
            format!("ParticipantPhoneNumbers[{index}]"),
            "a number that stands for no participant of another proxy session",
        )),
        None => Ok(()),
    }
}

/// Makes room for one more session of a connector: those that ended first make it.
async fn make_room(
    state: &ApiState,
    writing: &MutexGuard<'_, ()>,
    (account, connector): (&str, &str),
    now: Timestamp,
) -> Result<(), ApiError> {
    const READ: u32 = 1_000;
    let store = state.control.store();
    let most = state.quotas.proxy_sessions;
    let count = store.count_documents(KIND, account, connector).await?;
    let mut gone = 0;
    let mut after: Option<String> = None;
    while count >= most + gone {
        let of = (KIND, account, connector);
        let page = store.documents(of, after.as_deref(), READ).await?;
        for session in &page.rows {
            if count < most + gone {
                break;
            }
            if SessionRecord::of(session)?.ended(now).is_some() {
                let control = &state.control;
                control
                    .forget_session(writing, account, &session.id)
                    .await?;
                gone += 1;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None if count < most + gone => {}
            None => {
                return Err(ApiError::ResourceLimitExceeded {
                    what: "Open proxy sessions of a VoiceConnector",
                    most,
                });
            }
        }
    }
    Ok(())
}

/// The numbers of earlier sessions of the same two, the last session's last, where the choice goes by them.
async fn before(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
    (connector, pair): (&str, [E164; 2]),
) -> Result<Vec<[E164; 2]>, ApiError> {
    if input.text_if_any("NumberSelectionBehavior").is_none() {
        return Ok(Vec::new());
    }
    let store = state.control.store();
    let sessions = store.proxy_sessions_between(request.account, connector, pair);
    let numbers = |session: SessionRecord| {
        let [one, other] = session.participants;
        match one.number == pair[0] {
            true => [one.proxy, other.proxy],
            false => [other.proxy, one.proxy],
        }
    };
    Ok(sessions.await?.into_iter().map(numbers).collect())
}

/// A number that may stand for participants.
struct Candidate {
    number: E164,
    country: String,
}

/// The connector's numbers in the proxy's countries. A participant's own number stands for nobody, nor does the one that
/// calls to no session go to: they would come back.
async fn candidates(
    state: &ApiState,
    request: &ApiRequest<'_>,
    connector: &str,
    proxy: &Value,
    sessions: &ProxySessions,
) -> Result<Vec<Candidate>, ApiError> {
    let fallback = proxy.get("FallBackPhoneNumber").and_then(Value::as_str);
    let fallback: Option<E164> = fallback.and_then(|number| number.parse().ok());
    let is_free = |number| Some(number) != fallback && !sessions.has_participant(number);
    let is_candidate = |number: E164| {
        let country = country_of(state, number);
        let is_allowed = |country| countries_of(proxy).any(|allowed| allowed == country);
        country.is_some_and(is_allowed) && is_free(number)
    };
    let numbers = numbers_of(state, request, connector, CANDIDATES_MAX, is_candidate);
    let candidates = numbers.await?.into_iter().filter_map(|number| {
        let country = country_of(state, number)?;
        Some(Candidate { number, country })
    });
    Ok(candidates.collect())
}

/// The country of a number: its pool's, or else by the numbering plan.
pub(super) fn country_of(state: &ApiState, number: E164) -> Option<String> {
    match pool_of(&state.number_pools, number) {
        Some(pool) => Some(pool.country.clone()),
        None => number.country().map(|country| country.to_string()),
    }
}

/// At least `enough` of a connector's numbers that are wanted, where it has as many.
pub(super) async fn numbers_of(
    state: &ApiState,
    request: &ApiRequest<'_>,
    connector: &str,
    enough: usize,
    is_wanted: impl Fn(E164) -> bool,
) -> Result<Vec<E164>, ApiError> {
    let filter = NumberFilter {
        holder: connector.parse().ok().map(Holder::VoiceConnector),
        ..NumberFilter::default()
    };
    let mut numbers = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let store = state.control.store();
        let page = store
            .phone_numbers(request.account, &filter, after.as_deref(), 1000)
            .await?;
        let rows = page.rows.iter().map(|row| row.number);
        numbers.extend(rows.filter(|number| is_wanted(*number)));
        match page.next {
            Some(next) if numbers.len() < enough => after = Some(next),
            Some(_) | None => return Ok(numbers),
        }
    }
}

/// What a choice of numbers goes by.
struct Choice<'a> {
    pair: [E164; 2],
    /// The sessions that there are at this moment: participant and number tell which one a call belongs to.
    open: (&'a ProxySessions, Instant),
    /// The numbers of earlier sessions of the same two, the last session's last.
    before: Vec<[E164; 2]>,
    behaviour: Option<&'a str>,
    level: Option<&'a str>,
    country: Option<&'a str>,
    area_code: Option<u64>,
}

impl<'a> Choice<'a> {
    fn new(
        input: &'a Input,
        pair: [E164; 2],
        before: Vec<[E164; 2]>,
        open: (&'a ProxySessions, Instant),
    ) -> Self {
        let params = |name: &str| {
            let value = input.value("GeoMatchParams")?.get(name)?.as_str()?;
            Some(value).filter(|value| !value.is_empty())
        };
        Self {
            pair,
            open,
            before,
            behaviour: input.text_if_any("NumberSelectionBehavior"),
            level: input.text_if_any("GeoMatchLevel"),
            country: params("Country"),
            area_code: params("AreaCode")
                .and_then(|code| code.parse().ok())
                .or_else(|| area_code(pair[0])),
        }
    }

    /// Whether a number may stand for a participant: none of the two is another one's, and no open session has them.
    fn is_free_for(&self, participant: E164, number: E164) -> bool {
        let (sessions, at) = self.open;
        !self.pair.contains(&number) && sessions.find(participant, number, at).is_none()
    }

    /// A number for each participant: one number for both where one is free for both.
    fn choose(&self, candidates: &[Candidate]) -> Result<[E164; 2], BadRequest> {
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
        let is_free = |number| self.is_free_for(first, number) && self.is_free_for(second, number);
        if let Some(both) = best(&is_free) {
            return Ok([both, both]);
        }
        let none = |index: usize| BadRequest::NoProxyNumber {
            member: format!("ParticipantPhoneNumbers[{index}]"),
        };
        Ok([
            best(&|number| self.is_free_for(first, number)).ok_or_else(|| none(0))?,
            best(&|number| self.is_free_for(second, number)).ok_or_else(|| none(1))?,
        ])
    }

    /// The numbers that the two had last and can have again, where they prefer them.
    fn sticky(&self, candidates: &[Candidate]) -> Option<[E164; 2]> {
        let is_there = |number| {
            candidates
                .iter()
                .any(|candidate| candidate.number == number)
        };
        let can_be = |numbers: &&[E164; 2]| {
            let mut legs = self.pair.into_iter().zip(**numbers);
            legs.all(|leg| is_there(leg.1) && self.is_free_for(leg.0, leg.1))
        };
        match self.behaviour {
            Some("PreferSticky") => self.before.iter().rev().find(can_be).copied(),
            Some(_) | None => None,
        }
    }

    /// The least is the best: a match of place first, then one that the two did not have before where they
    /// prefer that.
    fn rank(&self, candidate: &Candidate) -> (bool, bool, bool, E164) {
        let number = candidate.number;
        let is_of_country = match self.country {
            Some(country) => candidate.country == country,
            None => self.pair[0]
                .country()
                .is_some_and(|country| candidate.country == country.as_str()),
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

/// The area code of a number of the North American Numbering Plan.
fn area_code(number: E164) -> Option<u64> {
    let digits = number.digits();
    (digits / 10_000_000_000 == 1).then_some(digits / 10_000_000 % 1_000)
}

fn respond(document: &Document, now: Timestamp) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({SESSION.name: session(document, now)?}))
}

fn session(document: &Document, now: Timestamp) -> Result<Value, StoreError> {
    let record = SessionRecord::of(document)?;
    let member = |name: &str| document.body.get(name);
    Ok(json!({
        "VoiceConnectorId": document.parent,
        "ProxySessionId": document.id,
        "Name": member("Name"),
        "Status": record.status(now).as_str(),
        "ExpiryMinutes": member("ExpiryMinutes"),
        "Capabilities": member("Capabilities"),
        "CreatedTimestamp": iso8601(document.created),
        "UpdatedTimestamp": iso8601(document.updated),
        "EndedTimestamp": record.ended(now).map(iso8601),
        "Participants": member("Participants"),
        "NumberSelectionBehavior": member("NumberSelectionBehavior"),
        "GeoMatchLevel": member("GeoMatchLevel"),
        "GeoMatchParams": member("GeoMatchParams"),
    }))
}
