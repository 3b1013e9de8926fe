//! Phone numbers.

use jiff::Timestamp;
use serde_json::Value;

use super::Control;
use crate::numbering::E164;
use crate::shard::snapshot::Snapshot;
use crate::store::{
    Document, Holder, NumberChange, NumberError, NumberInService, NumberProblem, NumberWrite,
    OrderRecord, StoreError,
};

impl Control {
    /// `CreatePhoneNumberOrder`: a number that somebody has is not acquired.
    pub async fn order_numbers(
        &self,
        account: &str,
        product_type: &str,
        name: Option<&str>,
        numbers: &[E164],
    ) -> Result<OrderRecord, StoreError> {
        let id = uuid::Uuid::new_v4().to_string();
        let _writing = self.writing.lock().await;
        self.store
            .order_numbers(id, account, product_type, name, numbers, Timestamp::now())
            .await
    }

    /// `AssociatePhoneNumbersWithVoiceConnector` and `AssociatePhoneNumbersWithVoiceConnectorGroup`
    pub async fn associate_numbers(
        &self,
        account: &str,
        to: impl Into<Holder>,
        numbers: &[E164],
        force: bool,
    ) -> Result<Vec<NumberError>, StoreError> {
        let writing = self.writing.lock().await;
        let now = Timestamp::now();
        let write = self
            .store
            .associate_numbers(account, to, numbers, force, now)
            .await?;
        Ok(self.publish_numbers(&writing, write))
    }

    /// `DisassociatePhoneNumbersFromVoiceConnector` and `DisassociatePhoneNumbersFromVoiceConnectorGroup`
    pub async fn disassociate_numbers(
        &self,
        account: &str,
        from: impl Into<Holder>,
        numbers: &[E164],
    ) -> Result<Vec<NumberError>, StoreError> {
        let writing = self.writing.lock().await;
        let write = self
            .store
            .disassociate_numbers(account, from, numbers, Timestamp::now())
            .await?;
        Ok(self.publish_numbers(&writing, write))
    }

    /// `UpdatePhoneNumber` and `BatchUpdatePhoneNumber`
    pub async fn change_numbers(
        &self,
        account: &str,
        changes: &[(E164, NumberChange<'_>)],
        now: Timestamp,
    ) -> Result<Vec<Result<(), NumberProblem>>, StoreError> {
        let writing = self.writing.lock().await;
        let write = self.store.change_numbers(account, changes, now).await?;
        Ok(self.publish_numbers(&writing, write))
    }

    /// `UpdatePhoneNumberSettings`, where they are what they were when they were read; false where somebody else came
    /// first.
    pub async fn put_number_settings(
        &self,
        account: &str,
        before: Option<&Document>,
        body: &Value,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let writing = self.writing.lock().await;
        let put = self
            .store
            .put_number_settings(account, before, body, now)
            .await?;
        let Some(in_service) = put else {
            return Ok(false);
        };
        self.publish(&writing, |snapshot| put_numbers(snapshot, &[], in_service));
        Ok(true)
    }

    fn publish_numbers<T>(
        &self,
        writing: &tokio::sync::MutexGuard<'_, ()>,
        write: NumberWrite<T>,
    ) -> T {
        self.publish(writing, |snapshot| {
            put_numbers(snapshot, &write.changed, write.in_service);
        });
        write.outcome
    }
}

/// Puts numbers as they are now: of those that were changed, calls know the ones that are in service.
pub(super) fn put_numbers(
    snapshot: &mut Snapshot,
    changed: &[E164],
    in_service: Vec<NumberInService>,
) {
    for number in changed {
        snapshot.numbers.remove(number);
        snapshot.calling_names.remove(number);
    }
    for number in in_service {
        snapshot.numbers.insert(number.number, number.holder);
        match number.calling_name {
            Some(name) => snapshot.calling_names.insert(number.number, name),
            None => snapshot.calling_names.remove(&number.number),
        };
    }
}

/// Puts all numbers in; others there are none.
pub(super) fn set_numbers(snapshot: &mut Snapshot, in_service: Vec<NumberInService>) {
    snapshot.numbers.clear();
    snapshot.calling_names.clear();
    put_numbers(snapshot, &[], in_service);
}
