//! Proxy sessions: documents that calls read.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sqlx::Row;

use super::documents::document;
use super::records::StoreError;
use super::{Document, Key, Store};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::shard::snapshot::ProxyParticipant;

/// What a document of a proxy session says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRecord {
    /// `ProxySessionId`
    pub id: String,
    /// Whose numbers it uses.
    pub connector: VoiceConnectorId,
    /// `Participants`
    pub participants: [ProxyParticipant; 2],
    /// `Voice` is one of its `Capabilities`.
    pub voice: bool,
    /// `SMS` is.
    pub sms: bool,
    /// When it ends or has ended; `None` where it has no end.
    pub ends: Option<Timestamp>,
    /// A call or message was put through.
    pub is_used: bool,
}

/// Where a proxy session is in its life (`ProxySessionStatus`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionStatus {
    /// Created.
    Open,
    /// A call or message was put through.
    InProgress,
    /// Deleted or expired.
    Closed,
}

impl SessionStatus {
    /// `ProxySessionStatus`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::InProgress => "InProgress",
            Self::Closed => "Closed",
        }
    }
}

impl SessionRecord {
    /// The member that says when it was deleted, in milliseconds.
    pub const ENDED: &str = "Ended";
    /// The member that is there once a call or message was put through.
    pub const USED: &str = "Used";

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`], where it is no session.
    pub fn of(document: &Document) -> Result<Self, StoreError> {
        let body = &document.body;
        let corrupt = StoreError::Corrupt;
        let capabilities = body.get("Capabilities").and_then(Value::as_array);
        let can = |capability: &str| {
            capabilities.is_some_and(|all| all.iter().any(|one| one == capability))
        };
        Ok(Self {
            id: document.id.clone(),
            connector: document
                .parent
                .parse()
                .map_err(|_| corrupt("a proxy session without a connector"))?,
            participants: participants(body)
                .ok_or(corrupt("a proxy session without participants"))?,
            voice: can("Voice"),
            sms: can("SMS"),
            ends: ends(document),
            is_used: body.get(Self::USED).is_some(),
        })
    }

    /// Where it is in its life.
    pub fn status(&self, now: Timestamp) -> SessionStatus {
        match self.ended(now) {
            Some(_) => SessionStatus::Closed,
            None if self.is_used => SessionStatus::InProgress,
            None => SessionStatus::Open,
        }
    }

    /// When it ended, where it has.
    pub fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        self.ends.filter(|end| *end <= now)
    }
}

fn participants(body: &Value) -> Option<[ProxyParticipant; 2]> {
    let participants = body.get("Participants")?.as_array()?;
    let participant = |participant: &Value| {
        let number = |member: &str| -> Option<E164> {
            let text = participant.get(member)?.as_str()?;
            text.parse().ok()
        };
        Some(ProxyParticipant {
            number: number("PhoneNumber")?,
            proxy: number("ProxyPhoneNumber")?,
        })
    };
    match participants.as_slice() {
        [first, second] => Some([participant(first)?, participant(second)?]),
        _ => None,
    }
}

/// It was deleted, or its minutes since its creation are over. An end beyond all times is no end.
fn ends(document: &Document) -> Option<Timestamp> {
    let member = |name: &str| document.body.get(name).and_then(Value::as_i64);
    let deleted = member(SessionRecord::ENDED);
    let deleted = deleted.and_then(|at| Timestamp::from_millisecond(at).ok());
    let expires = || {
        let seconds = member("ExpiryMinutes")?.checked_mul(60)?;
        let length = SignedDuration::from_secs(seconds);
        document.created.checked_add(length).ok()
    };
    deleted.or_else(expires)
}

impl Store {
    /// The kind of the documents.
    pub const PROXY_SESSION: &str = "proxy-session";

    /// Every session of every account that is kept, ended or not.
    pub async fn proxy_sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        const PAGE: i64 = 10_000;
        let mut sessions = Vec::new();
        let mut after = (String::new(), String::new());
        loop {
            let rows = sqlx::query(
                "SELECT * FROM document WHERE kind = $1 AND (account, id) > ($2, $3) \
                 ORDER BY account, id LIMIT $4",
            )
            .bind(Self::PROXY_SESSION)
            .bind(&after.0)
            .bind(&after.1)
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await?;
            for row in &rows {
                sessions.push(SessionRecord::of(&document(row)?)?);
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE as usize => {
                    after = (last.try_get("account")?, last.try_get("id")?);
                }
                Some(_) | None => return Ok(sessions),
            }
        }
    }

    /// A session of an account; `None` where there is no such one.
    pub async fn proxy_session(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let kind = Self::PROXY_SESSION;
        let document = self.document(Key { kind, account, id }).await?;
        document.as_ref().map(SessionRecord::of).transpose()
    }

    /// The sessions of a connector, ended or not, that these two are or were in, in the order of their creation.
    pub async fn proxy_sessions_between(
        &self,
        account: &str,
        connector: &str,
        pair: [E164; 2],
    ) -> Result<Vec<SessionRecord>, StoreError> {
        // A quote within a text is escaped: nothing else looks so.
        let [one, other] = pair.map(|number| format!(r#"%"PhoneNumber":"{number}"%"#));
        let rows = sqlx::query(
            "SELECT * FROM document WHERE kind = $1 AND account = $2 AND parent = $3 \
             AND body LIKE $4 AND body LIKE $5 ORDER BY created, id",
        )
        .bind(Self::PROXY_SESSION)
        .bind(account)
        .bind(connector)
        .bind(one)
        .bind(other)
        .fetch_all(&self.pool)
        .await?;
        let session = |row| SessionRecord::of(&document(row)?);
        rows.iter().map(session).collect()
    }
}
