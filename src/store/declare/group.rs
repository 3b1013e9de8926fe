//! A declared voice connector group.

use jiff::Timestamp;
use sqlx::{Any, Transaction};
use uuid::Uuid;

use super::Put;
use crate::store::records::StoreError;
use crate::store::{GroupItem, GroupRecord, Store};

/// A voice connector group.
pub struct DeclaredGroup {
    /// The id.
    pub id: Uuid,
    /// The AWS account that owns it.
    pub account: String,
    /// `Name`
    pub name: String,
    /// `CallDistributionType`
    pub call_distribution_type: Option<String>,
    /// `VoiceConnectorItems`
    pub items: Vec<GroupItem>,
}

impl DeclaredGroup {
    /// Puts it; `UnknownGroup` where it is another account's.
    pub(super) async fn put(
        &self,
        transaction: &mut Transaction<'static, Any>,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        let before = Store::group_within(transaction, self.id).await?;
        let put = match before {
            Some(before) if before.account != self.account => {
                return Err(StoreError::UnknownGroup(self.id));
            }
            Some(before) if self.is(&before) => return Ok(None),
            Some(_) => Put::Updated,
            None => Put::Created,
        };
        sqlx::query(
            "INSERT INTO voice_connector_group (id, account, name, call_distribution_type, created, updated) \
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
             call_distribution_type = excluded.call_distribution_type, updated = excluded.updated",
        )
        .bind(self.id.to_string())
        .bind(&self.account)
        .bind(&self.name)
        .bind(&self.call_distribution_type)
        .bind(now.as_millisecond())
        .execute(&mut **transaction)
        .await?;
        Store::replace_items(transaction, &self.account, self.id, &self.items).await?;
        Ok(Some(put))
    }

    fn is(&self, before: &GroupRecord) -> bool {
        before.name == self.name
            && before.call_distribution_type == self.call_distribution_type
            && before.items == self.items
    }
}
