//! The calls of an hour, for the spending guard.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::{Store, StoreError};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::Country;

/// Calls of a connector in an hour, in all or to a country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpendingRow {
    /// Whose calls they are.
    pub connector: VoiceConnectorId,
    /// The calls to this country; `None` for all.
    pub country: Option<Country>,
    /// Hours since 1970.
    pub hour: i64,
    /// So many; where they are added, below zero takes away.
    pub calls: i64,
    /// How much of the limit was told; the more that any node has told.
    pub told: i64,
}

impl Store {
    /// What was counted in an hour.
    pub async fn spending(&self, hour: i64) -> Result<Vec<SpendingRow>, StoreError> {
        let query = "SELECT * FROM spending WHERE hour = $1";
        let rows = sqlx::query(query).bind(hour).fetch_all(&self.pool).await?;
        rows.iter().map(spending_row).collect()
    }

    /// Adds calls to what was counted, and returns what that makes. Nodes that add at once have their rows in one
    /// order: that of connector and country.
    pub async fn add_spending(
        &self,
        added: &[SpendingRow],
    ) -> Result<Vec<SpendingRow>, StoreError> {
        let mut transaction = self.begin().await?;
        let mut totals = Vec::with_capacity(added.len());
        for row in added {
            totals.push(add_row(&mut transaction, row).await?);
        }
        self.commit(transaction, []).await?;
        Ok(totals)
    }

    /// Hours before this one are of no matter any more.
    pub async fn forget_spending(&self, before: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM spending WHERE hour < $1")
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

async fn add_row(
    transaction: &mut Transaction<'static, Any>,
    added: &SpendingRow,
) -> Result<SpendingRow, StoreError> {
    let country = added.country.as_ref().map_or("", Country::as_str);
    let row = sqlx::query(
        "INSERT INTO spending (voice_connector, country, hour, calls, told) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (hour, voice_connector, country) DO UPDATE SET calls = spending.calls + excluded.calls, \
         told = CASE WHEN excluded.told > spending.told THEN excluded.told ELSE spending.told END RETURNING *",
    )
    .bind(added.connector.as_str())
    .bind(country)
    .bind(added.hour)
    .bind(added.calls)
    .bind(added.told)
    .fetch_one(&mut **transaction)
    .await?;
    spending_row(&row)
}

fn spending_row(row: &AnyRow) -> Result<SpendingRow, StoreError> {
    let connector: String = row.try_get("voice_connector")?;
    let country: String = row.try_get("country")?;
    let corrupt = StoreError::Corrupt;
    let country = match country.as_str() {
        "" => None,
        none if none == Country::NONE.as_str() => Some(Country::NONE),
        letters => Some(letters.parse().map_err(|_| corrupt("spending.country"))?),
    };
    Ok(SpendingRow {
        connector: connector
            .parse()
            .map_err(|_| StoreError::Corrupt("spending.voice_connector"))?,
        country,
        hour: row.try_get("hour")?,
        calls: row.try_get("calls")?,
        told: row.try_get("told")?,
    })
}
