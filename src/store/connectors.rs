//! Voice connectors and their configurations.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row, Transaction};

use super::records::{
    EmergencyRecord, NewVoiceConnector, OriginationRecord, Page, ProxyRecord, RouteProtocol,
    StoreError, TerminationRecord, VoiceConnectorRecord,
};
use super::{Change, Key, Store, timestamp};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::shard::snapshot::Credential;

/// A connector with all that calls need to know of it.
#[derive(Debug)]
pub struct WholeConnector {
    /// The connector.
    pub record: VoiceConnectorRecord,
    /// Termination, where it was put.
    pub termination: Option<TerminationRecord>,
    /// Origination, where it was put.
    pub origination: Option<OriginationRecord>,
    /// Credentials, by user name.
    pub credentials: Vec<Credential>,
    /// Number masking, where it was put.
    pub proxy: Option<ProxyRecord>,
    /// Emergency calling, where it was put.
    pub emergency: Option<EmergencyRecord>,
}

impl Store {
    /// Adds a connector, where the account has fewer than `most`; `None` spares the count.
    pub async fn insert_voice_connector(
        &self,
        id: VoiceConnectorId,
        new: NewVoiceConnector,
        outbound_host_name: String,
        most: Option<usize>,
        now: Timestamp,
    ) -> Result<WholeConnector, StoreError> {
        let mut transaction = self.begin().await?;
        if let Some(most) = most {
            let count = "SELECT count(*) FROM voice_connector WHERE account = $1";
            let what = "VoiceConnectors of an account";
            Self::has_room(&mut transaction, count, &new.account, (what, most)).await?;
        }
        Self::insert_connector_within(&mut transaction, id, new, outbound_host_name, now).await?;
        self.commit_connector(transaction, id).await
    }

    pub(super) async fn insert_connector_within(
        transaction: &mut Transaction<'static, Any>,
        id: VoiceConnectorId,
        new: NewVoiceConnector,
        outbound_host_name: String,
        now: Timestamp,
    ) -> Result<VoiceConnectorRecord, StoreError> {
        let NewVoiceConnector {
            account,
            name,
            aws_region,
            require_encryption,
            network_type,
            integration_type,
        } = new;
        let row = sqlx::query(
            "INSERT INTO voice_connector (id, account, name, aws_region, outbound_host_name, require_encryption, \
             network_type, integration_type, created, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) RETURNING *",
        )
        .bind(id.as_str())
        .bind(&account)
        .bind(&name)
        .bind(&aws_region)
        .bind(&outbound_host_name)
        .bind(i64::from(require_encryption))
        .bind(&network_type)
        .bind(&integration_type)
        .bind(now.as_millisecond())
        .fetch_one(&mut **transaction)
        .await?;
        record(&row)
    }

    /// One connector of an account.
    pub async fn voice_connector(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<VoiceConnectorRecord, StoreError> {
        self.connector_row(account, id)
            .await
            .and_then(|row| record(&row))
    }

    pub(super) async fn connector_row(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<AnyRow, StoreError> {
        let row = sqlx::query("SELECT * FROM voice_connector WHERE id = $1 AND account = $2")
            .bind(id.as_str())
            .bind(account)
            .fetch_optional(&self.pool)
            .await?;
        row.ok_or(StoreError::UnknownVoiceConnector(id))
    }

    /// Locks a connector until the transaction ends, so that what is decided over it and its numbers and credentials
    /// stays true. A write that changes nothing does that in both databases.
    pub(super) async fn lock_connector(
        transaction: &mut Transaction<'static, Any>,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<(), StoreError> {
        let locked = sqlx::query(
            "UPDATE voice_connector SET updated = updated WHERE id = $1 AND account = $2",
        )
        .bind(id.as_str())
        .bind(account)
        .execute(&mut **transaction)
        .await?;
        match locked.rows_affected() {
            0 => Err(StoreError::UnknownVoiceConnector(id)),
            1.. => Ok(()),
        }
    }

    /// An account's connectors in the order of their creation, at most `most`, from behind the token on.
    pub async fn voice_connectors(
        &self,
        account: &str,
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<VoiceConnectorRecord>, StoreError> {
        let (created, id) = match after {
            Some(token) => token.split_once('-').ok_or(StoreError::InvalidToken)?,
            None => ("-1", ""),
        };
        let created: i64 = created.parse().map_err(|_| StoreError::InvalidToken)?;
        let rows = sqlx::query(
            "SELECT * FROM voice_connector WHERE account = $1 AND (created, id) > ($2, $3) ORDER BY created, id LIMIT $4",
        )
        .bind(account)
        .bind(created)
        .bind(id)
        .bind(i64::from(most) + 1)
        .fetch_all(&self.pool)
        .await?;
        let rows: Vec<VoiceConnectorRecord> = rows.iter().map(record).collect::<Result<_, _>>()?;
        let token =
            |last: &VoiceConnectorRecord| format!("{}-{}", last.created.as_millisecond(), last.id);
        Ok(Page::of(rows, most, token))
    }

    /// The ids of an account's connectors.
    pub async fn voice_connector_ids(
        &self,
        account: &str,
    ) -> Result<HashSet<VoiceConnectorId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM voice_connector WHERE account = $1")
            .bind(account)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(connector_id).collect()
    }

    /// Changes a connector's name and encryption.
    pub async fn update_voice_connector(
        &self,
        account: &str,
        id: VoiceConnectorId,
        name: &str,
        require_encryption: bool,
        now: Timestamp,
    ) -> Result<WholeConnector, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE voice_connector SET name = $1, require_encryption = $2, updated = $3 \
             WHERE id = $4 AND account = $5",
        )
        .bind(name)
        .bind(i64::from(require_encryption))
        .bind(now.as_millisecond())
        .bind(id.as_str())
        .bind(account)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::UnknownVoiceConnector(id));
        }
        refuse_udp(&Self::whole_within(&mut transaction, id).await?)?;
        self.commit_connector(transaction, id).await
    }

    /// Takes a connector out, with its documents of these kinds, if no number is associated with it, no group has it, no
    /// SIP rule names its host, and no document of the kind `holding` is there.
    pub async fn delete_voice_connector(
        &self,
        account: &str,
        id: VoiceConnectorId,
        kinds: &[&'static str],
        holding: &'static str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_connector(&mut transaction, account, id).await?;
        let key = Key {
            kind: holding,
            account,
            id: id.as_str(),
        };
        if Self::document_within(&mut *transaction, key)
            .await?
            .is_some()
        {
            return Err(StoreError::Configured(holding));
        }
        let host = Self::whole_within(&mut transaction, id).await?.record;
        let host = ("RequestUriHostname", host.outbound_host_name.as_str());
        if let Some(rule) = Self::rule_triggered_by(&mut transaction, account, host).await? {
            return Err(StoreError::ConnectorInRule { rule });
        }
        let row = sqlx::query("SELECT count(*) FROM phone_number WHERE voice_connector = $1")
            .bind(id.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        let numbers: i64 = row.try_get(0)?;
        if numbers > 0 {
            return Err(StoreError::NumbersAssociated(numbers.unsigned_abs()));
        }
        let row = sqlx::query(
            "SELECT voice_connector_group.id, voice_connector_group.name FROM voice_connector_group_item \
             JOIN voice_connector_group ON voice_connector_group.id = voice_connector_group_item.voice_connector_group \
             WHERE voice_connector = $1 LIMIT 1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = row {
            return Err(StoreError::ConnectorInGroup {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
            });
        }
        Self::delete_documents_within(&mut transaction, kinds, account, id.as_str()).await?;
        sqlx::query("DELETE FROM voice_connector WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, [Change::VoiceConnector(id)])
            .await?;
        Ok(())
    }

    /// The connector's termination.
    pub async fn termination(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<TerminationRecord, StoreError> {
        let row = self.connector_row(account, id).await?;
        configuration(&row, "termination")?.ok_or(StoreError::NotConfigured("termination"))
    }

    /// The connector's origination.
    pub async fn origination(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<OriginationRecord, StoreError> {
        let row = self.connector_row(account, id).await?;
        configuration(&row, "origination")?.ok_or(StoreError::NotConfigured("origination"))
    }

    /// Puts the connector's termination, or takes it away. Its `DefaultPhoneNumber` has to be the connector's, or that of
    /// a group that it is in.
    pub async fn set_termination(
        &self,
        account: &str,
        id: VoiceConnectorId,
        termination: Option<&TerminationRecord>,
        now: Timestamp,
    ) -> Result<WholeConnector, StoreError> {
        let number = termination.and_then(|record| record.default_phone_number.as_deref());
        let number: Option<E164> = number.and_then(|number| number.parse().ok());
        let sql = "UPDATE voice_connector SET termination = $1, updated = $2 WHERE id = $3 AND account = $4";
        let mut transaction = self.begin().await?;
        Self::configure(&mut transaction, sql, account, id, termination, now).await?;
        if termination.is_none_or(|termination| termination.disabled) {
            refuse_emergency(&Self::whole_within(&mut transaction, id).await?)?;
        }
        if let Some(number) = number {
            // Locked: who deletes it sees this connector first.
            if !Self::lock_number_of(&mut transaction, id, number).await? {
                return Err(StoreError::DefaultPhoneNumber);
            }
        }
        self.commit_connector(transaction, id).await
    }

    /// Locks a number until the transaction ends; false where it is neither the connector's nor that of a group that the
    /// connector is in.
    pub(super) async fn lock_number_of(
        transaction: &mut Transaction<'static, Any>,
        id: VoiceConnectorId,
        number: E164,
    ) -> Result<bool, StoreError> {
        let locked = sqlx::query(
            "UPDATE phone_number SET updated = updated WHERE number = $1 AND (voice_connector = $2 \
             OR voice_connector_group IN (SELECT voice_connector_group FROM voice_connector_group_item \
             WHERE voice_connector = $2))",
        )
        .bind(number.digits() as i64)
        .bind(id.as_str())
        .execute(&mut **transaction)
        .await?;
        Ok(locked.rows_affected() == 1)
    }

    /// Puts the connector's origination, or takes it away.
    pub async fn set_origination(
        &self,
        account: &str,
        id: VoiceConnectorId,
        origination: Option<&OriginationRecord>,
        now: Timestamp,
    ) -> Result<WholeConnector, StoreError> {
        let sql = "UPDATE voice_connector SET origination = $1, updated = $2 WHERE id = $3 AND account = $4";
        let mut transaction = self.begin().await?;
        Self::configure(&mut transaction, sql, account, id, origination, now).await?;
        let whole = Self::whole_within(&mut transaction, id).await?;
        if origination.is_none_or(|origination| origination.disabled) {
            refuse_emergency(&whole)?;
        }
        refuse_udp(&whole)?;
        self.commit_connector(transaction, id).await
    }

    async fn configure<T: Serialize>(
        transaction: &mut Transaction<'static, Any>,
        sql: &'static str,
        account: &str,
        id: VoiceConnectorId,
        configuration: Option<&T>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text = configuration.map(serde_json::to_string).transpose();
        let text = text.map_err(|_| StoreError::Corrupt("a configuration that is no JSON"))?;
        let done = sqlx::query(sql)
            .bind(text)
            .bind(now.as_millisecond())
            .bind(id.as_str())
            .bind(account)
            .execute(&mut **transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::UnknownVoiceConnector(id));
        }
        Ok(())
    }

    /// Adds credentials, or replaces those of the same user name; up to `most` in all.
    pub async fn put_credentials(
        &self,
        account: &str,
        id: VoiceConnectorId,
        credentials: &[Credential],
        most: usize,
    ) -> Result<WholeConnector, StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_connector(&mut transaction, account, id).await?;
        Self::put_credentials_within(&mut transaction, id, credentials).await?;
        let row =
            sqlx::query("SELECT count(*) FROM termination_credential WHERE voice_connector = $1")
                .bind(id.as_str())
                .fetch_one(&mut *transaction)
                .await?;
        let count: i64 = row.try_get(0)?;
        if count > i64::try_from(most).unwrap_or(i64::MAX) {
            return Err(StoreError::TooManyCredentials { most });
        }
        self.commit_connector(transaction, id).await
    }

    pub(super) async fn put_credentials_within(
        transaction: &mut Transaction<'static, Any>,
        id: VoiceConnectorId,
        credentials: &[Credential],
    ) -> Result<(), StoreError> {
        for credential in credentials {
            sqlx::query(
                "INSERT INTO termination_credential (voice_connector, username, ha1_md5, ha1_sha256) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (voice_connector, username) \
                 DO UPDATE SET ha1_md5 = excluded.ha1_md5, ha1_sha256 = excluded.ha1_sha256",
            )
            .bind(id.as_str())
            .bind(&credential.username)
            .bind(&credential.ha1_md5)
            .bind(&credential.ha1_sha256)
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }

    /// Takes the credentials of these user names away; a name that has none is no error.
    pub async fn delete_credentials(
        &self,
        account: &str,
        id: VoiceConnectorId,
        usernames: &[String],
    ) -> Result<WholeConnector, StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_connector(&mut transaction, account, id).await?;
        for username in usernames {
            sqlx::query(
                "DELETE FROM termination_credential WHERE voice_connector = $1 AND username = $2",
            )
            .bind(id.as_str())
            .bind(username)
            .execute(&mut *transaction)
            .await?;
        }
        self.commit_connector(transaction, id).await
    }

    /// The user names that have credentials, in order.
    pub async fn credential_usernames(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<Vec<String>, StoreError> {
        self.connector_row(account, id).await?;
        let credentials = credentials(&self.pool, id).await?;
        Ok(credentials
            .into_iter()
            .map(|credential| credential.username)
            .collect())
    }

    /// One connector as calls need it.
    pub async fn whole_connector(
        &self,
        id: VoiceConnectorId,
    ) -> Result<WholeConnector, StoreError> {
        let row = sqlx::query(WHOLE)
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let row = row.ok_or(StoreError::UnknownVoiceConnector(id))?;
        let mut connector = whole(&row, credentials(&self.pool, id).await?)?;
        connector.configure(&configurations(&self.pool, &connector.record).await?)?;
        Ok(connector)
    }

    /// One connector as the transaction leaves it.
    pub(super) async fn whole_within(
        transaction: &mut Transaction<'static, Any>,
        id: VoiceConnectorId,
    ) -> Result<WholeConnector, StoreError> {
        let row = sqlx::query(WHOLE)
            .bind(id.as_str())
            .fetch_optional(&mut **transaction)
            .await?;
        let row = row.ok_or(StoreError::UnknownVoiceConnector(id))?;
        let mut connector = whole(&row, credentials(&mut **transaction, id).await?)?;
        connector.configure(&configurations(&mut **transaction, &connector.record).await?)?;
        Ok(connector)
    }

    /// Commits a write of a connector. What calls need is read before: once it is durable, nothing may keep it from
    /// them.
    pub(super) async fn commit_connector(
        &self,
        mut transaction: Transaction<'static, Any>,
        id: VoiceConnectorId,
    ) -> Result<WholeConnector, StoreError> {
        let whole = Self::whole_within(&mut transaction, id).await?;
        self.commit(transaction, [Change::VoiceConnector(id)])
            .await?;
        Ok(whole)
    }

    /// Every connector of every account, as calls need it.
    pub async fn whole_connectors(&self) -> Result<Vec<WholeConnector>, StoreError> {
        let mut by_connector = std::collections::HashMap::<String, Vec<Credential>>::new();
        let rows = sqlx::query("SELECT * FROM termination_credential")
            .fetch_all(&self.pool)
            .await?;
        for row in &rows {
            by_connector
                .entry(row.try_get("voice_connector")?)
                .or_default()
                .push(credential(row)?);
        }
        let documents = sqlx::query(CONFIGURATIONS).fetch_all(&self.pool).await?;
        let mut configured = std::collections::HashMap::<String, Vec<AnyRow>>::new();
        for row in documents {
            configured.entry(row.try_get("id")?).or_default().push(row);
        }
        let rows = sqlx::query("SELECT * FROM voice_connector")
            .fetch_all(&self.pool)
            .await?;
        let with_the_rest = |row: &AnyRow| {
            let id: String = row.try_get("id")?;
            let credentials = by_connector.remove(&id).unwrap_or_default();
            let mut connector = whole(row, by_username(credentials))?;
            connector.configure(configured.get(&id).map_or(&[], Vec::as_slice))?;
            Ok(connector)
        };
        rows.iter().map(with_the_rest).collect()
    }
}

/// An encrypted connector has no route over UDP.
fn refuse_udp(connector: &WholeConnector) -> Result<(), StoreError> {
    let origination = connector.origination.as_ref();
    let mut routes = origination
        .iter()
        .flat_map(|origination| &origination.routes);
    let over_udp = routes.position(|route| route.protocol == RouteProtocol::Udp);
    match over_udp.filter(|_| connector.record.require_encryption) {
        Some(route) => Err(StoreError::UdpWithEncryption { route }),
        None => Ok(()),
    }
}

/// Emergency calling "must be deleted prior to" turning termination or origination off
/// (`DeleteVoiceConnectorTermination`).
fn refuse_emergency(connector: &WholeConnector) -> Result<(), StoreError> {
    match connector.emergency {
        Some(_) => Err(StoreError::EmergencyConfigured),
        None => Ok(()),
    }
}

impl WholeConnector {
    /// Whether calls may go out and come in, as emergency calling needs it.
    pub(super) fn is_enabled(&self) -> bool {
        let termination = self.termination.as_ref();
        let origination = self.origination.as_ref();
        termination.is_some_and(|termination| !termination.disabled)
            && origination.is_some_and(|origination| !origination.disabled)
    }
}

/// Configurations that are documents, of whichever account; the id is the connector's.
const CONFIGURATIONS: &str =
    "SELECT kind, id, body FROM document WHERE kind IN ('proxy', 'emergency-calling')";

async fn configurations(
    executor: impl Executor<'_, Database = Any>,
    connector: &VoiceConnectorRecord,
) -> Result<Vec<AnyRow>, StoreError> {
    let statement = format!("{CONFIGURATIONS} AND account = $1 AND id = $2");
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(connector.account.clone())
        .bind(connector.id.to_string())
        .fetch_all(executor)
        .await?;
    Ok(rows)
}

impl WholeConnector {
    /// Takes what documents say of it.
    fn configure(&mut self, documents: &[AnyRow]) -> Result<(), StoreError> {
        for row in documents {
            let kind: String = row.try_get("kind")?;
            match kind.as_str() {
                Store::PROXY => self.proxy = configuration(row, "body")?,
                _ => self.emergency = configuration(row, "body")?,
            }
        }
        Ok(())
    }
}

const WHOLE: &str = "SELECT * FROM voice_connector WHERE id = $1";

async fn credentials(
    executor: impl Executor<'_, Database = Any>,
    id: VoiceConnectorId,
) -> Result<Vec<Credential>, StoreError> {
    let rows = sqlx::query("SELECT * FROM termination_credential WHERE voice_connector = $1")
        .bind(id.to_string())
        .fetch_all(executor)
        .await?;
    let credentials: Result<Vec<_>, _> = rows.iter().map(credential).collect();
    credentials.map(by_username)
}

/// In the order of their bytes: each database has a collation of its own.
pub(super) fn by_username(mut credentials: Vec<Credential>) -> Vec<Credential> {
    credentials.sort_by(|one, other| one.username.cmp(&other.username));
    credentials
}

/// Without what is a document.
pub(super) fn whole(
    row: &AnyRow,
    credentials: Vec<Credential>,
) -> Result<WholeConnector, StoreError> {
    Ok(WholeConnector {
        record: record(row)?,
        termination: configuration(row, "termination")?,
        origination: configuration(row, "origination")?,
        credentials,
        proxy: None,
        emergency: None,
    })
}

fn connector_id(row: &AnyRow) -> Result<VoiceConnectorId, StoreError> {
    let id: &str = row.try_get("id")?;
    id.parse()
        .map_err(|_| StoreError::Corrupt("voice_connector.id"))
}

fn record(row: &AnyRow) -> Result<VoiceConnectorRecord, StoreError> {
    Ok(VoiceConnectorRecord {
        id: connector_id(row)?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        aws_region: row.try_get("aws_region")?,
        outbound_host_name: row.try_get("outbound_host_name")?,
        require_encryption: row.try_get::<i64, _>("require_encryption")? != 0,
        network_type: row.try_get("network_type")?,
        integration_type: row.try_get("integration_type")?,
        created: timestamp(row.try_get("created")?)?,
        updated: timestamp(row.try_get("updated")?)?,
    })
}

fn configuration<T: DeserializeOwned>(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|_| StoreError::Corrupt(column))
}

pub(super) fn credential(row: &AnyRow) -> Result<Credential, StoreError> {
    Ok(Credential {
        username: row.try_get("username")?,
        ha1_md5: row.try_get("ha1_md5")?,
        ha1_sha256: row.try_get("ha1_sha256")?,
    })
}
