//! A declared voice connector.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{Any, Transaction};

use super::Put;
use crate::config::Secret;
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::shard::snapshot::Credential;
use crate::store::connectors::{by_username, credential, whole};
use crate::store::records::{
    NewVoiceConnector, OriginationRecord, StoreError, TerminationRecord, VoiceConnectorRecord,
};
use crate::store::{Store, WholeConnector};

/// A voice connector. What it does not have is taken away from the one that is there.
pub struct DeclaredConnector {
    /// The id.
    pub id: VoiceConnectorId,
    /// What it is created from.
    pub new: NewVoiceConnector,
    /// `OutboundHostName`, where it is created; one that is there keeps its own.
    pub outbound_host_name: String,
    /// `Termination`
    pub termination: Option<TerminationRecord>,
    /// `Origination`
    pub origination: Option<OriginationRecord>,
    /// Credentials of termination, no user name twice.
    pub credentials: Vec<DeclaredCredential>,
}

/// A credential of termination.
pub struct DeclaredCredential {
    /// `Username`
    pub username: String,
    /// What proves the user.
    pub proof: Proof,
}

/// See [`DeclaredCredential`].
pub enum Proof {
    /// `Password`
    Password(Secret),
    /// What a password of it is in the store.
    Hashes {
        /// `MD5(username:realm:password)`
        ha1_md5: Secret,
        /// `SHA-256(username:realm:password)`
        ha1_sha256: Secret,
    },
}

impl DeclaredCredential {
    fn hashed(&self, realm: &str) -> Credential {
        match &self.proof {
            Proof::Password(password) => Credential::hashed(&self.username, realm, &password.0),
            Proof::Hashes {
                ha1_md5,
                ha1_sha256,
            } => Credential {
                username: self.username.clone(),
                ha1_md5: ha1_md5.0.clone(),
                ha1_sha256: ha1_sha256.0.clone(),
            },
        }
    }
}

impl DeclaredConnector {
    /// `DefaultPhoneNumber`
    pub(super) fn default_phone_number(&self) -> Option<E164> {
        let termination = self.termination.as_ref()?;
        termination.default_phone_number.as_deref()?.parse().ok()
    }

    /// Puts it, and locks it; `UnknownVoiceConnector` where it is another account's.
    pub(super) async fn put(
        &self,
        transaction: &mut Transaction<'static, Any>,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        let before = self.before(transaction).await?;
        let realm = match &before {
            Some(before) if before.record.account != self.new.account => {
                return Err(StoreError::UnknownVoiceConnector(self.id));
            }
            Some(before) => &before.record.outbound_host_name,
            None => &self.outbound_host_name,
        };
        let credentials = self.credentials.iter();
        let credentials = by_username(credentials.map(|one| one.hashed(realm)).collect());
        match &before {
            None => self.insert(transaction, now).await?,
            Some(before) if self.is(before) && before.credentials == credentials => {
                return Ok(None);
            }
            Some(_) => self.update(transaction, now).await?,
        }
        let kept = before.as_ref().map(|before| &before.credentials);
        if kept != Some(&credentials) {
            self.replace_credentials(transaction, &credentials).await?;
        }
        Ok(Some(match before {
            Some(_) => Put::Updated,
            None => Put::Created,
        }))
    }

    async fn before(
        &self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<Option<WholeConnector>, StoreError> {
        let row =
            sqlx::query("UPDATE voice_connector SET updated = updated WHERE id = $1 RETURNING *")
                .bind(self.id.as_str())
                .fetch_optional(&mut **transaction)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let credentials =
            sqlx::query("SELECT * FROM termination_credential WHERE voice_connector = $1")
                .bind(self.id.as_str())
                .fetch_all(&mut **transaction)
                .await?;
        let credentials: Vec<Credential> = credentials
            .iter()
            .map(credential)
            .collect::<Result<_, _>>()?;
        whole(&row, by_username(credentials)).map(Some)
    }

    /// But for the credentials.
    fn is(&self, before: &WholeConnector) -> bool {
        let VoiceConnectorRecord {
            id: _,
            account: _,
            name,
            aws_region,
            outbound_host_name: _,
            require_encryption,
            network_type,
            integration_type,
            created: _,
            updated: _,
        } = &before.record;
        *name == self.new.name
            && *aws_region == self.new.aws_region
            && *require_encryption == self.new.require_encryption
            && *network_type == self.new.network_type
            && *integration_type == self.new.integration_type
            && before.termination == self.termination
            && before.origination == self.origination
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'static, Any>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let host = self.outbound_host_name.clone();
        Store::insert_connector_within(transaction, self.id, self.new.clone(), host, now).await?;
        self.update(transaction, now).await
    }

    async fn update(
        &self,
        transaction: &mut Transaction<'static, Any>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE voice_connector SET name = $1, aws_region = $2, require_encryption = $3, network_type = $4, \
             integration_type = $5, termination = $6, origination = $7, updated = $8 WHERE id = $9",
        )
        .bind(&self.new.name)
        .bind(&self.new.aws_region)
        .bind(i64::from(self.new.require_encryption))
        .bind(&self.new.network_type)
        .bind(&self.new.integration_type)
        .bind(json(self.termination.as_ref())?)
        .bind(json(self.origination.as_ref())?)
        .bind(now.as_millisecond())
        .bind(self.id.as_str())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    async fn replace_credentials(
        &self,
        transaction: &mut Transaction<'static, Any>,
        credentials: &[Credential],
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM termination_credential WHERE voice_connector = $1")
            .bind(self.id.as_str())
            .execute(&mut **transaction)
            .await?;
        Store::put_credentials_within(transaction, self.id, credentials).await
    }
}

fn json<T: Serialize>(configuration: Option<&T>) -> Result<Option<String>, StoreError> {
    let text = configuration.map(serde_json::to_string).transpose();
    text.map_err(|_| StoreError::Corrupt("a configuration that is no JSON"))
}
