//! When customers' hosts were heard of last.

use std::net::IpAddr;

use jiff::Timestamp;
use sqlx::Row;

use super::records::{HealthRecord, StoreError};
use super::{Store, timestamp};
use crate::connector_id::VoiceConnectorId;

impl Store {
    /// Notes that OPTIONS came from a customer's host; those of a connector that is gone are forgotten.
    pub async fn record_options(
        &self,
        id: VoiceConnectorId,
        source: IpAddr,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "INSERT INTO termination_health (voice_connector, source, at) \
             SELECT id, $1, $2 FROM voice_connector WHERE id = $3 \
             ON CONFLICT (voice_connector) DO UPDATE SET source = excluded.source, at = excluded.at",
        )
        .bind(source.to_string())
        .bind(at.as_millisecond())
        .bind(id.as_str())
        .execute(&self.pool)
        .await;
        match done {
            // The connector was deleted in the same moment.
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// The last OPTIONS from the customer's hosts.
    pub async fn termination_health(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<Option<HealthRecord>, StoreError> {
        self.connector_row(account, id).await?;
        let row =
            sqlx::query("SELECT source, at FROM termination_health WHERE voice_connector = $1")
                .bind(id.as_str())
                .fetch_optional(&self.pool)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let source: String = row.try_get("source")?;
        let source = source
            .parse()
            .map_err(|_| StoreError::Corrupt("termination_health.source"))?;
        Ok(Some(HealthRecord {
            source,
            at: timestamp(row.try_get("at")?)?,
        }))
    }
}
