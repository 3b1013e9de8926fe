//! Resources and configurations as the API has them, each a JSON object of a kind. Calls read few of them.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row, Transaction};

use super::records::{Page, StoreError};
use super::{Change, Store, WholeConnector, after_created, timestamp};
use crate::connector_id::VoiceConnectorId;

/// A resource or a configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// Its id among those of its kind and account.
    pub id: String,
    /// The id of what it belongs to; empty for what belongs to the account.
    pub parent: String,
    /// What it says.
    pub body: Value,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// Which document: its kind, its account, and its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key<'a> {
    /// What it is, as in `sip-rule`.
    pub kind: &'static str,
    /// The AWS account that owns it.
    pub account: &'a str,
    /// Its id among those of its kind and account.
    pub id: &'a str,
}

impl Key<'_> {
    /// What other nodes are told of a write of it on its own: most documents they read when they are asked for.
    fn change(&self) -> Option<Change> {
        let is_session = self.kind == Store::PROXY_SESSION;
        is_session.then(|| Change::ProxySession {
            account: self.account.to_owned(),
            id: self.id.to_owned(),
        })
    }
}

impl Document {
    /// Where a list goes on behind it.
    pub fn token(&self) -> String {
        format!("{}.{}", self.created.as_millisecond(), self.id)
    }
}

impl Store {
    /// Puts a document in, or in the place of the one with its key; that keeps its time of creation.
    pub async fn put_document(
        &self,
        key: Key<'_>,
        parent: &str,
        body: &Value,
        now: Timestamp,
    ) -> Result<Document, StoreError> {
        // A row may be answered before a statement on its own is committed.
        let mut transaction = self.begin().await?;
        let put = Self::put_document_within(&mut transaction, key, parent, body, now).await?;
        self.commit(transaction, key.change()).await?;
        Ok(put)
    }

    pub(super) async fn put_document_within(
        transaction: &mut Transaction<'static, Any>,
        key: Key<'_>,
        parent: &str,
        body: &Value,
        now: Timestamp,
    ) -> Result<Document, StoreError> {
        let row = sqlx::query(
            "INSERT INTO document (kind, account, id, parent, body, created, updated) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (kind, account, id) \
             DO UPDATE SET body = excluded.body, updated = excluded.updated RETURNING *",
        )
        .bind(key.kind)
        .bind(key.account)
        .bind(key.id)
        .bind(parent)
        .bind(body.to_string())
        .bind(now.as_millisecond())
        .fetch_one(&mut **transaction)
        .await?;
        document(&row)
    }

    /// Changes a document where it is what it was when it was read; false where somebody else came first.
    pub async fn replace_document(
        &self,
        key: Key<'_>,
        before: &Document,
        body: &Value,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let done = Self::replace_document_within(&mut transaction, key, before, body, now).await?;
        self.commit(transaction, key.change()).await?;
        Ok(done)
    }

    pub(super) async fn replace_document_within(
        transaction: &mut Transaction<'static, Any>,
        key: Key<'_>,
        before: &Document,
        body: &Value,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE document SET body = $1, updated = $2 \
             WHERE kind = $3 AND account = $4 AND id = $5 AND body = $6",
        )
        .bind(body.to_string())
        .bind(now.as_millisecond())
        .bind(key.kind)
        .bind(key.account)
        .bind(key.id)
        .bind(before.body.to_string())
        .execute(&mut **transaction)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A document; `None` where there is none with this key.
    pub async fn document(&self, key: Key<'_>) -> Result<Option<Document>, StoreError> {
        Self::document_within(&self.pool, key).await
    }

    pub(super) async fn document_within(
        executor: impl Executor<'_, Database = Any>,
        key: Key<'_>,
    ) -> Result<Option<Document>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM document WHERE kind = $1 AND account = $2 AND id = $3")
                .bind(key.kind)
                .bind(key.account.to_owned())
                .bind(key.id.to_owned())
                .fetch_optional(executor)
                .await?;
        row.as_ref().map(document).transpose()
    }

    /// The documents of a kind that belong to `parent`, in the order of their creation, at most `most`, from
    /// behind the token on.
    pub async fn documents(
        &self,
        (kind, account, parent): (&'static str, &str, &str),
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<Document>, StoreError> {
        let (created, id) = after_created(after)?;
        let rows = sqlx::query(
            "SELECT * FROM document WHERE kind = $1 AND account = $2 AND parent = $3 \
             AND (created, id) > ($4, $5) ORDER BY created, id LIMIT $6",
        )
        .bind(kind)
        .bind(account)
        .bind(parent)
        .bind(created)
        .bind(id)
        .bind(i64::from(most) + 1)
        .fetch_all(&self.pool)
        .await?;
        let rows: Vec<Document> = rows.iter().map(document).collect::<Result<_, _>>()?;
        Ok(Page::of(rows, most, Document::token))
    }

    /// All documents of a kind that belong to `parent`, in the order of their creation.
    pub async fn all_documents(
        &self,
        kind: &'static str,
        account: &str,
        parent: &str,
    ) -> Result<Vec<Document>, StoreError> {
        const PAGE: u32 = 1_000;
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let of = (kind, account, parent);
            let page = self.documents(of, after.as_deref(), PAGE).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// How many documents of a kind belong to `parent`.
    pub async fn count_documents(
        &self,
        kind: &'static str,
        account: &str,
        parent: &str,
    ) -> Result<usize, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FROM document WHERE kind = $1 AND account = $2 AND parent = $3",
        )
        .bind(kind)
        .bind(account)
        .bind(parent)
        .fetch_one(&self.pool)
        .await?;
        let count: i64 = row.try_get(0)?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Takes a document out; false where there was none.
    pub async fn delete_document(&self, key: Key<'_>) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let is_gone = Self::delete_document_within(&mut *transaction, key).await?;
        self.commit(transaction, key.change()).await?;
        Ok(is_gone)
    }

    pub(super) async fn delete_document_within(
        executor: impl Executor<'_, Database = Any>,
        key: Key<'_>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM document WHERE kind = $1 AND account = $2 AND id = $3")
            .bind(key.kind)
            .bind(key.account.to_owned())
            .bind(key.id.to_owned())
            .execute(executor)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The kind of the document that is a connector's `Proxy`; its id is the connector's.
    pub const PROXY: &str = "proxy";
    /// The kind of the document that is a connector's `EmergencyCallingConfiguration`; its id is the connector's.
    pub const EMERGENCY: &str = "emergency-calling";

    /// Puts what goes with a connector, which has to be there, and returns it with the connector as it is then.
    pub async fn put_of_connector(
        &self,
        key: Key<'_>,
        connector: VoiceConnectorId,
        body: &Value,
        now: Timestamp,
    ) -> Result<(Document, WholeConnector), StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_connector(&mut transaction, key.account, connector).await?;
        let parent = connector.as_str();
        let put = Self::put_document_within(&mut transaction, key, parent, body, now).await?;
        let is_emergency = key.kind == Self::EMERGENCY;
        if is_emergency
            && !Self::whole_within(&mut transaction, connector)
                .await?
                .is_enabled()
        {
            return Err(StoreError::NotEnabled);
        }
        let connector = self.commit_connector(transaction, connector).await?;
        Ok((put, connector))
    }

    /// Puts a proxy session of a connector in, which has to be there.
    pub async fn put_proxy_session(
        &self,
        key: Key<'_>,
        connector: VoiceConnectorId,
        body: &Value,
        now: Timestamp,
    ) -> Result<Document, StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_connector(&mut transaction, key.account, connector).await?;
        let parent = connector.as_str();
        let put = Self::put_document_within(&mut transaction, key, parent, body, now).await?;
        self.commit(transaction, key.change()).await?;
        Ok(put)
    }

    /// Takes out what goes with a connector, which has to be there, and returns the connector as it is then.
    pub async fn delete_of_connector(
        &self,
        key: Key<'_>,
        connector: VoiceConnectorId,
    ) -> Result<WholeConnector, StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_connector(&mut transaction, key.account, connector).await?;
        Self::delete_document_within(&mut *transaction, key).await?;
        self.commit_connector(transaction, connector).await
    }

    /// The SIP rule of an account that has this trigger: its type and value.
    pub(super) async fn rule_triggered_by(
        transaction: &mut Transaction<'static, Any>,
        account: &str,
        (kind, value): (&str, &str),
    ) -> Result<Option<String>, StoreError> {
        // Members stand in the order of their names, and a quote within a text is escaped: nothing else looks so.
        let trigger = format!(r#"%"TriggerType":"{kind}","TriggerValue":"{value}"%"#);
        let row = sqlx::query(
            "SELECT id FROM document WHERE kind = 'sip-rule' AND account = $1 AND body LIKE $2 LIMIT 1",
        )
        .bind(account)
        .bind(trigger)
        .fetch_optional(&mut **transaction)
        .await?;
        row.map(|row| row.try_get("id").map_err(StoreError::from))
            .transpose()
    }

    /// Takes out all documents of these kinds that belong to `parent`.
    pub async fn delete_documents_of(
        &self,
        kinds: &[&'static str],
        account: &str,
        parent: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        Self::delete_documents_within(&mut transaction, kinds, account, parent).await?;
        self.commit(transaction, []).await?;
        Ok(())
    }

    pub(super) async fn delete_documents_within(
        transaction: &mut Transaction<'static, Any>,
        kinds: &[&'static str],
        account: &str,
        parent: &str,
    ) -> Result<(), StoreError> {
        for kind in kinds {
            sqlx::query("DELETE FROM document WHERE kind = $1 AND account = $2 AND parent = $3")
                .bind(*kind)
                .bind(account)
                .bind(parent)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }
}

pub(super) fn document(row: &AnyRow) -> Result<Document, StoreError> {
    let body: String = row.try_get("body")?;
    Ok(Document {
        id: row.try_get("id")?,
        parent: row.try_get("parent")?,
        body: serde_json::from_str(&body).map_err(|_| StoreError::Corrupt("document.body"))?,
        created: timestamp(row.try_get("created")?)?,
        updated: timestamp(row.try_get("updated")?)?,
    })
}
