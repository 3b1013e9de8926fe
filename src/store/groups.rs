//! Voice connector groups.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row, Transaction};
use uuid::Uuid;

use super::records::{Page, StoreError};
use super::{Change, Store, after_created, timestamp};
use crate::connector_id::VoiceConnectorId;

/// A voice connector group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRecord {
    /// The id.
    pub id: Uuid,
    /// The AWS account that owns it.
    pub account: String,
    /// `Name`, 1 to 256 characters.
    pub name: String,
    /// `CallDistributionType`, where one was given.
    pub call_distribution_type: Option<String>,
    /// `VoiceConnectorItems`, as given: each connector once.
    pub items: Vec<GroupItem>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// `VoiceConnectorItem`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupItem {
    /// The connector.
    pub voice_connector: VoiceConnectorId,
    /// 1 to 99; 1 is tried first.
    pub priority: u8,
}

impl Store {
    /// Adds a group, where the account has fewer than `most`.
    pub async fn insert_group(&self, group: &GroupRecord, most: usize) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let count = "SELECT count(*) FROM voice_connector_group WHERE account = $1";
        let what = "VoiceConnectorGroups of an account";
        Self::has_room(&mut transaction, count, &group.account, (what, most)).await?;
        sqlx::query(
            "INSERT INTO voice_connector_group (id, account, name, call_distribution_type, created, updated) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(group.id.to_string())
        .bind(&group.account)
        .bind(&group.name)
        .bind(&group.call_distribution_type)
        .bind(group.created.as_millisecond())
        .bind(group.updated.as_millisecond())
        .execute(&mut *transaction)
        .await?;
        Self::insert_items(&mut transaction, &group.account, group.id, &group.items).await?;
        let change = Change::VoiceConnectorGroup(group.id);
        self.commit(transaction, [change]).await?;
        Ok(())
    }

    /// One group of an account.
    pub async fn group(&self, account: &str, id: Uuid) -> Result<GroupRecord, StoreError> {
        let row = sqlx::query("SELECT * FROM voice_connector_group WHERE id = $1 AND account = $2")
            .bind(id.to_string())
            .bind(account)
            .fetch_optional(&self.pool)
            .await?;
        group_of(&self.pool, &row.ok_or(StoreError::UnknownGroup(id))?).await
    }

    /// An account's groups in the order of their creation, at most `most`, from behind the token on.
    pub async fn groups(
        &self,
        account: &str,
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<GroupRecord>, StoreError> {
        let (created, id) = after_created(after)?;
        let rows = sqlx::query(
            "SELECT * FROM voice_connector_group WHERE account = $1 AND (created, id) > ($2, $3) \
             ORDER BY created, id LIMIT $4",
        )
        .bind(account)
        .bind(created)
        .bind(id)
        .bind(i64::from(most) + 1)
        .fetch_all(&self.pool)
        .await?;
        let mut groups = Vec::with_capacity(rows.len());
        for row in &rows {
            groups.push(group_of(&self.pool, row).await?);
        }
        let token = |last: &GroupRecord| format!("{}.{}", last.created.as_millisecond(), last.id);
        Ok(Page::of(groups, most, token))
    }

    /// Changes a group's name and connectors, and how calls are distributed where that is given.
    pub async fn update_group(
        &self,
        account: &str,
        id: Uuid,
        name: &str,
        call_distribution_type: Option<&str>,
        items: &[GroupItem],
        now: Timestamp,
    ) -> Result<GroupRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE voice_connector_group SET name = $1, \
             call_distribution_type = coalesce($2, call_distribution_type), updated = $3 \
             WHERE id = $4 AND account = $5",
        )
        .bind(name)
        .bind(call_distribution_type)
        .bind(now.as_millisecond())
        .bind(id.to_string())
        .bind(account)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::UnknownGroup(id));
        }
        Self::replace_items(&mut transaction, account, id, items).await?;
        let group = Self::group_within(&mut transaction, id).await?;
        let group = group.ok_or(StoreError::UnknownGroup(id))?;
        let change = Change::VoiceConnectorGroup(id);
        self.commit(transaction, [change]).await?;
        Ok(group)
    }

    /// Takes a group out that has neither numbers nor connectors.
    pub async fn delete_group(&self, account: &str, id: Uuid) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        Self::lock_group(&mut transaction, account, id).await?;
        let numbers = "SELECT count(*) FROM phone_number WHERE voice_connector_group = $1";
        let numbers = count(&mut transaction, numbers, id).await?;
        if numbers > 0 {
            return Err(StoreError::GroupHasNumbers(numbers));
        }
        let items =
            "SELECT count(*) FROM voice_connector_group_item WHERE voice_connector_group = $1";
        let items = count(&mut transaction, items, id).await?;
        if items > 0 {
            return Err(StoreError::GroupHasConnectors(items));
        }
        sqlx::query("DELETE FROM voice_connector_group WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        let change = Change::VoiceConnectorGroup(id);
        self.commit(transaction, [change]).await?;
        Ok(())
    }

    /// The connectors of a group of any account; `None` where there is no such group.
    pub async fn group_items(&self, id: Uuid) -> Result<Option<Vec<GroupItem>>, StoreError> {
        let row = sqlx::query("SELECT * FROM voice_connector_group WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        match row {
            Some(row) => Ok(Some(group_of(&self.pool, &row).await?.items)),
            None => Ok(None),
        }
    }

    /// The connectors of every group of every account.
    pub async fn all_group_items(&self) -> Result<HashMap<Uuid, Vec<GroupItem>>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, voice_connector, priority FROM voice_connector_group \
             LEFT JOIN voice_connector_group_item ON voice_connector_group = id ORDER BY id, place",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut groups: HashMap<Uuid, Vec<GroupItem>> = HashMap::new();
        for row in &rows {
            let items = groups.entry(id_in(row)?).or_default();
            let connector: Option<String> = row.try_get("voice_connector")?;
            // A group without connectors has a row as well.
            if connector.is_some() {
                items.push(item(row)?);
            }
        }
        Ok(groups)
    }

    /// Locks a group until the transaction ends, as [`Self::lock_connector`] does a connector.
    pub(super) async fn lock_group(
        transaction: &mut Transaction<'static, Any>,
        account: &str,
        id: Uuid,
    ) -> Result<(), StoreError> {
        let locked = sqlx::query(
            "UPDATE voice_connector_group SET updated = updated WHERE id = $1 AND account = $2",
        )
        .bind(id.to_string())
        .bind(account)
        .execute(&mut **transaction)
        .await?;
        match locked.rows_affected() {
            0 => Err(StoreError::UnknownGroup(id)),
            1.. => Ok(()),
        }
    }

    pub(super) async fn replace_items(
        transaction: &mut Transaction<'static, Any>,
        account: &str,
        group: Uuid,
        items: &[GroupItem],
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM voice_connector_group_item WHERE voice_connector_group = $1")
            .bind(group.to_string())
            .execute(&mut **transaction)
            .await?;
        Self::insert_items(transaction, account, group, items).await
    }

    async fn insert_items(
        transaction: &mut Transaction<'static, Any>,
        account: &str,
        group: Uuid,
        items: &[GroupItem],
    ) -> Result<(), StoreError> {
        // All writers lock connectors in this order: none waits for one that waits for it.
        let mut connectors: Vec<_> = items.iter().map(|item| item.voice_connector).collect();
        connectors.sort_unstable();
        for connector in connectors {
            Self::lock_connector(transaction, account, connector).await?;
        }
        for (place, item) in (0_i64..).zip(items) {
            sqlx::query(
                "INSERT INTO voice_connector_group_item (voice_connector_group, place, voice_connector, priority) \
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(group.to_string())
            .bind(place)
            .bind(item.voice_connector.as_str())
            .bind(i64::from(item.priority))
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }

    /// A group of any account, locked until the transaction ends.
    pub(super) async fn group_within(
        transaction: &mut Transaction<'static, Any>,
        id: Uuid,
    ) -> Result<Option<GroupRecord>, StoreError> {
        let row = sqlx::query(
            "UPDATE voice_connector_group SET updated = updated WHERE id = $1 RETURNING *",
        )
        .bind(id.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
        match row {
            Some(row) => group_of(&mut **transaction, &row).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn group_of(
    executor: impl Executor<'_, Database = Any>,
    row: &AnyRow,
) -> Result<GroupRecord, StoreError> {
    let id = id_in(row)?;
    let items = sqlx::query(
        "SELECT voice_connector, priority FROM voice_connector_group_item \
         WHERE voice_connector_group = $1 ORDER BY place",
    )
    .bind(id.to_string())
    .fetch_all(executor)
    .await?;
    Ok(GroupRecord {
        id,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        call_distribution_type: row.try_get("call_distribution_type")?,
        items: items.iter().map(item).collect::<Result<_, _>>()?,
        created: timestamp(row.try_get("created")?)?,
        updated: timestamp(row.try_get("updated")?)?,
    })
}

fn id_in(row: &AnyRow) -> Result<Uuid, StoreError> {
    let id: String = row.try_get("id")?;
    id.parse()
        .map_err(|_| StoreError::Corrupt("voice_connector_group.id"))
}

async fn count(
    transaction: &mut Transaction<'static, Any>,
    query: &'static str,
    group: Uuid,
) -> Result<u64, StoreError> {
    let row = sqlx::query(query)
        .bind(group.to_string())
        .fetch_one(&mut **transaction)
        .await?;
    let count: i64 = row.try_get(0)?;
    Ok(count.unsigned_abs())
}

fn item(row: &AnyRow) -> Result<GroupItem, StoreError> {
    let id: String = row.try_get("voice_connector")?;
    let priority: i64 = row.try_get("priority")?;
    let corrupt = StoreError::Corrupt;
    Ok(GroupItem {
        voice_connector: id
            .parse()
            .map_err(|_| corrupt("voice_connector_group_item.voice_connector"))?,
        priority: u8::try_from(priority)
            .map_err(|_| corrupt("voice_connector_group_item.priority"))?,
    })
}
