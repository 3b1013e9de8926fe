//! Voice connector groups.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::Control;
use crate::shard::snapshot::{GroupMember, Snapshot};
use crate::store::{GroupItem, GroupRecord, StoreError};

impl Control {
    /// `CreateVoiceConnectorGroup`, where the account has fewer than so many.
    pub async fn create_group(&self, group: &GroupRecord, most: usize) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        self.store.insert_group(group, most).await?;
        self.publish(&writing, |snapshot| {
            put_group(snapshot, group.id, &group.items);
        });
        Ok(())
    }

    /// `UpdateVoiceConnectorGroup`
    pub async fn update_group(
        &self,
        account: &str,
        id: Uuid,
        name: &str,
        call_distribution_type: Option<&str>,
        items: &[GroupItem],
        now: Timestamp,
    ) -> Result<GroupRecord, StoreError> {
        let writing = self.writing.lock().await;
        let group = self
            .store
            .update_group(account, id, name, call_distribution_type, items, now)
            .await?;
        self.publish(&writing, |snapshot| put_group(snapshot, id, &group.items));
        Ok(group)
    }

    /// `DeleteVoiceConnectorGroup`
    pub async fn delete_group(&self, account: &str, id: Uuid) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        self.store.delete_group(account, id).await?;
        self.publish(&writing, |snapshot| remove_group(snapshot, id));
        Ok(())
    }
}

/// Puts a group in, or what it is now in the place of what it was.
pub(super) fn put_group(snapshot: &mut Snapshot, id: Uuid, items: &[GroupItem]) {
    let members = items.iter().map(|item| GroupMember {
        connector: item.voice_connector,
        priority: item.priority,
    });
    let mut members: Vec<_> = members.collect();
    // Those of one priority stay as they were given.
    members.sort_by_key(|member| member.priority);
    snapshot.groups.insert(id, members.into());
}

pub(super) fn remove_group(snapshot: &mut Snapshot, id: Uuid) {
    snapshot.groups.remove(&id);
}

/// Puts all groups in; others there are none.
pub(super) fn set_groups(snapshot: &mut Snapshot, groups: HashMap<Uuid, Vec<GroupItem>>) {
    snapshot.groups.clear();
    for (id, items) in groups {
        put_group(snapshot, id, &items);
    }
}
