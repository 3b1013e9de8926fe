//! Other nodes' writes: what a notification names is read and published.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::groups::{put_group, remove_group, set_groups};
use super::numbers::{put_numbers, set_numbers};
use super::sessions::sessions_for_calls;
use super::{Control, for_calls, put_connector};
use crate::store::{Change, ChangeFeed, News, StoreError};

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Control {
    /// Publishes what any node writes to a shared store, for as long as it is not aborted; returns where the store
    /// is this node's own. When the connection is lost, everything is read again once there is one.
    pub async fn follow(&self) {
        let mut changes = self.changes.lock().await.take();
        while let Some(listening) = changes {
            self.publish_changes(listening).await;
            changes = self.listen_at_last().await;
        }
    }

    /// Returns when there may be changes that were not published.
    async fn publish_changes(&self, mut changes: ChangeFeed) {
        loop {
            let published = match changes.next().await {
                Ok(Some(News::Changed(change))) => self.publish_change(change).await,
                Ok(Some(News::Unknown) | None) => return,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = published {
                tracing::warn!(
                    ?error,
                    "a write was not published; everything is read again"
                );
                return;
            }
        }
    }

    async fn publish_change(&self, change: Change) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        match change {
            Change::VoiceConnector(id) => {
                self.publish_connector(&writing, id).await?;
            }
            Change::PhoneNumbers(numbers) => {
                let in_service = self.store.numbers_in_service_among(&numbers).await?;
                self.publish(&writing, |snapshot| {
                    put_numbers(snapshot, &numbers, in_service);
                });
            }
            Change::NumberSettings(account) => {
                let in_service = self.store.numbers_in_service_of(&account).await?;
                self.publish(&writing, |snapshot| put_numbers(snapshot, &[], in_service));
            }
            Change::ProxySession { account, id } => {
                self.read_session(&writing, &account, &id).await?;
            }
            Change::VoiceConnectorGroup(id) => {
                let items = self.store.group_items(id).await?;
                self.publish(&writing, |snapshot| match items {
                    Some(items) => put_group(snapshot, id, &items),
                    None => remove_group(snapshot, id),
                });
            }
        }
        Ok(())
    }

    /// Tries until there is a connection and everything was read.
    async fn listen_at_last(&self) -> Option<ChangeFeed> {
        let mut again = tokio::time::interval(RETRY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            again.tick().await;
            match self.listen_again().await {
                Ok(changes) => {
                    tracing::info!("other nodes' writes are heard of again; the store was read");
                    return changes;
                }
                Err(error) => {
                    tracing::warn!(?error, "other nodes' writes are not heard of");
                }
            }
        }
    }

    /// Listens, then reads everything, so that nothing is missed between the two.
    pub(super) async fn listen_again(&self) -> Result<Option<ChangeFeed>, StoreError> {
        let changes = self.store.changes().await?;
        let writing = self.writing.lock().await;
        let connectors = self.store.whole_connectors().await?;
        let numbers = self.store.numbers_in_service().await?;
        let groups = self.store.all_group_items().await?;
        let sessions = self.store.proxy_sessions().await?;
        self.publish(&writing, |snapshot| {
            let kept: HashSet<_> = connectors.iter().map(|whole| whole.record.id).collect();
            let known: Vec<_> = snapshot.connectors.keys().copied().collect();
            for gone in known.into_iter().filter(|id| !kept.contains(id)) {
                snapshot.remove_connector(gone);
            }
            for connector in connectors {
                put_connector(
                    snapshot,
                    for_calls(connector, &self.policies),
                    &self.customers,
                );
            }
            set_numbers(snapshot, numbers);
            set_groups(snapshot, groups);
            snapshot.proxy_sessions = sessions_for_calls(sessions, &self.time, Timestamp::now());
        });
        self.names_changed.notify_one();
        Ok(changes)
    }
}
