//! Proxy sessions.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::MutexGuard;

use super::Control;
use super::time::ShardTime;
use crate::connector_id::VoiceConnectorId;
use crate::shard::snapshot::{ProxySession, ProxySessions, Snapshot};
use crate::store::{Document, Key, SessionRecord, SessionStatus, Store, StoreError};

/// Rounds of [`Control::change_session`]: each is lost only where somebody else's change was made.
const ROUNDS_MAX: usize = 16;

impl Control {
    /// `CreateProxySession`, with the numbers that the document says.
    pub async fn create_session(
        &self,
        writing: &MutexGuard<'_, ()>,
        mut new: Document,
        account: &str,
    ) -> Result<Document, StoreError> {
        // As the store keeps it: the end is the same for whoever reads it there.
        let created = new.created.as_millisecond();
        new.created = Timestamp::from_millisecond(created)
            .map_err(|_| StoreError::Corrupt("a proxy session's time"))?;
        let record = SessionRecord::of(&new)?;
        let key = key(account, &new.id);
        let put = self
            .store
            .put_proxy_session(key, record.connector, &new.body, new.created)
            .await?;
        self.publish_session(writing, record, new.created);
        Ok(put)
    }

    /// Changes a session, whoever does so meanwhile; `None` leaves it as it is.
    ///
    /// # Errors
    ///
    /// What `change` says; [`StoreError::UnknownSession`] where it is gone.
    pub async fn change_session<E: From<StoreError>>(
        &self,
        writing: &MutexGuard<'_, ()>,
        (account, id): (&str, &str),
        now: Timestamp,
        change: impl Fn(&Document) -> Result<Option<Map<String, Value>>, E>,
    ) -> Result<Document, E> {
        let key = key(account, id);
        for _ in 0..ROUNDS_MAX {
            let before = self.store.document(key).await.map_err(E::from)?;
            let before = before.ok_or(StoreError::UnknownSession)?;
            let Some(body) = change(&before)? else {
                return Ok(before);
            };
            let after = Document {
                body: Value::Object(body),
                updated: now,
                ..before.clone()
            };
            // Before it is durable: nothing that can fail keeps it from calls then.
            let record = SessionRecord::of(&after)?;
            let replaced = self.store.replace_document(key, &before, &after.body, now);
            if replaced.await.map_err(E::from)? {
                self.publish_session(writing, record, now);
                return Ok(after);
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Takes a session out that has ended.
    pub async fn forget_session(
        &self,
        writing: &MutexGuard<'_, ()>,
        account: &str,
        id: &str,
    ) -> Result<(), StoreError> {
        self.store.delete_document(key(account, id)).await?;
        self.publish(writing, |snapshot| snapshot.proxy_sessions.forget(id));
        Ok(())
    }

    /// A call or message was put through: keeps that the session is in progress.
    pub async fn use_session(
        &self,
        connector: VoiceConnectorId,
        id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_known = |snapshot: &Snapshot| {
            let session = snapshot.proxy_sessions.get(id);
            session.is_none_or(|session| session.in_progress)
        };
        if is_known(&self.snapshot.load()) {
            return Ok(());
        }
        let account = self.store.whole_connector(connector).await?.record.account;
        let writing = self.writing.lock().await;
        let change = |before: &Document| {
            let record = SessionRecord::of(before)?;
            Ok::<_, StoreError>(match record.status(now) {
                SessionStatus::InProgress | SessionStatus::Closed => None,
                SessionStatus::Open => {
                    let mut body = before.body.as_object().cloned().unwrap_or_default();
                    body.insert(SessionRecord::USED.into(), true.into());
                    Some(body)
                }
            })
        };
        let session = (account.as_str(), id);
        self.change_session(&writing, session, now, change).await?;
        Ok(())
    }

    /// Takes the sessions whose time is over out of what calls look through. They do not depend on it: a session says
    /// when it ends.
    pub async fn end_sessions(&self) {
        let now = self.time.clock().now();
        if self.snapshot.load().proxy_sessions.expired(now).is_empty() {
            return;
        }
        let writing = self.writing.lock().await;
        self.publish(&writing, |snapshot| {
            for id in snapshot.proxy_sessions.expired(now) {
                snapshot.proxy_sessions.end(&id);
            }
        });
    }

    /// Reads and publishes all sessions again: when the wall clock was set, what is left of them is another time.
    pub async fn publish_sessions(&self) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        let sessions = self.store.proxy_sessions().await?;
        self.publish(&writing, |snapshot| {
            snapshot.proxy_sessions = sessions_for_calls(sessions, &self.time, Timestamp::now());
        });
        Ok(())
    }

    /// Publishes what another node has written.
    pub(super) async fn read_session(
        &self,
        writing: &MutexGuard<'_, ()>,
        account: &str,
        id: &str,
    ) -> Result<(), StoreError> {
        match self.store.proxy_session(account, id).await? {
            Some(record) => self.publish_session(writing, record, Timestamp::now()),
            None => self.publish(writing, |snapshot| snapshot.proxy_sessions.forget(id)),
        }
        Ok(())
    }

    fn publish_session(&self, writing: &MutexGuard<'_, ()>, record: SessionRecord, now: Timestamp) {
        self.publish(writing, |snapshot| {
            put(&mut snapshot.proxy_sessions, record, &self.time, now);
        });
    }
}

/// All of them; others there are none.
pub(super) fn sessions_for_calls(
    records: Vec<SessionRecord>,
    time: &ShardTime,
    now: Timestamp,
) -> ProxySessions {
    let mut sessions = ProxySessions::default();
    for record in records {
        put(&mut sessions, record, time, now);
    }
    sessions
}

fn put(sessions: &mut ProxySessions, record: SessionRecord, time: &ShardTime, now: Timestamp) {
    let has_ended = record.ended(now).is_some();
    let session = ProxySession {
        id: Arc::from(record.id),
        connector: record.connector,
        participants: record.participants,
        voice: record.voice,
        sms: record.sms,
        in_progress: record.is_used,
        ends: record.ends.map(|end| time.instant(end)),
    };
    match has_ended {
        true => sessions.put_ended(session),
        false => sessions.put(session),
    }
}

fn key<'a>(account: &'a str, id: &'a str) -> Key<'a> {
    Key {
        kind: Store::PROXY_SESSION,
        account,
        id,
    }
}
