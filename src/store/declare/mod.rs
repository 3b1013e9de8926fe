//! Resources that files declare: put as they are declared, all in one transaction.
//!
//! What is as declared already is not written. A resource that is not declared any more stays as it is.

mod connector;
mod document;
mod group;
mod number;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sqlx::{Any, Transaction};
use uuid::Uuid;

pub use self::connector::{DeclaredConnector, DeclaredCredential, Proof};
pub use self::document::DeclaredDocument;
pub use self::group::DeclaredGroup;
pub use self::number::DeclaredNumber;
use self::number::numbers_among;
use super::changes::NUMBERS_MAX;
use super::records::{Holder, OrderedNumber, Resource, StoreError};
use super::{Change, GroupItem, NumberInService, Store, WholeConnector};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;

/// Everything that files declare.
#[derive(Default)]
pub struct Declaration {
    /// Voice connectors.
    pub connectors: Vec<DeclaredConnector>,
    /// Voice connector groups.
    pub groups: Vec<DeclaredGroup>,
    /// Phone numbers.
    pub numbers: Vec<DeclaredNumber>,
    /// What is kept of connectors, SIP media applications and SIP rules as documents.
    pub documents: Vec<DeclaredDocument>,
}

/// What was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It was not there.
    Created,
    /// It was not as declared.
    Updated,
}

/// What a declaration has changed.
pub struct Done {
    /// What was not as declared.
    pub put: BTreeMap<Resource, Put>,
    /// Of these, the connectors, as calls need them.
    pub connectors: Vec<WholeConnector>,
    /// Of these, the groups, with their connectors.
    pub groups: Vec<(Uuid, Vec<GroupItem>)>,
    /// Of these, the numbers.
    pub numbers: Vec<E164>,
    /// Of the numbers, those that are in service.
    pub in_service: Vec<NumberInService>,
}

/// Why nothing was put.
#[derive(Debug)]
pub enum DeclareError {
    /// Another account has the resource.
    NotYours(Resource),
    /// The resource names a connector that the account does not have.
    NoConnector(Resource, VoiceConnectorId),
    /// The resource names a group that the account does not have.
    NoGroup(Resource, Uuid),
    /// The connector's `DefaultPhoneNumber` is neither its own nor that of a group that it is in.
    DefaultPhoneNumber(VoiceConnectorId, E164),
    /// The store.
    Store(StoreError),
}

impl<T: Into<StoreError>> From<T> for DeclareError {
    fn from(error: T) -> Self {
        Self::Store(error.into())
    }
}

/// A declaration while it is put.
struct Putting<'d> {
    transaction: Transaction<'static, Any>,
    declaration: &'d Declaration,
    now: Timestamp,
    done: BTreeMap<Resource, Put>,
}

impl Store {
    /// Puts everything as it is declared.
    pub async fn declare(
        &self,
        declaration: &Declaration,
        now: Timestamp,
    ) -> Result<Done, DeclareError> {
        let mut putting = Putting {
            transaction: self.begin().await?,
            declaration,
            now,
            done: BTreeMap::new(),
        };
        // Groups, connectors, numbers: the order in which all writers lock them.
        putting.lock_groups().await?;
        putting.put_connectors().await?;
        putting.put_groups().await?;
        putting.put_numbers().await?;
        putting.check_default_numbers().await?;
        putting.put_documents().await?;
        // Once it is durable, nothing may keep it from calls.
        let connectors = putting.connectors_for_calls().await?;
        let numbers = putting.numbers_put();
        let in_service = Self::in_service_within(&mut putting.transaction, &numbers).await?;
        let groups = putting.groups_put();
        let changes = changes(&putting.done);
        self.commit(putting.transaction, changes).await?;
        Ok(Done {
            put: putting.done,
            connectors,
            groups,
            numbers,
            in_service,
        })
    }
}

/// What other nodes are told.
fn changes(done: &BTreeMap<Resource, Put>) -> Vec<Change> {
    let (mut changes, mut numbers) = (Vec::new(), Vec::new());
    for resource in done.keys() {
        match resource {
            Resource::VoiceConnector(id) => changes.push(Change::VoiceConnector(*id)),
            Resource::PhoneNumber(number) => numbers.push(*number),
            Resource::VoiceConnectorGroup(id) => changes.push(Change::VoiceConnectorGroup(*id)),
            Resource::SipMediaApplication(_) | Resource::SipRule(_) => {}
        }
    }
    let numbers = numbers.chunks(NUMBERS_MAX);
    changes.extend(numbers.map(|numbers| Change::PhoneNumbers(numbers.to_vec())));
    changes
}

impl Putting<'_> {
    /// Notes what was done; what is created once stays so.
    fn note(&mut self, resource: Resource, put: Put) {
        self.done.entry(resource).or_insert(put);
    }

    /// Locks every group that is declared or holds a declared number. Those that are not there yet nobody else can
    /// have.
    async fn lock_groups(&mut self) -> Result<(), DeclareError> {
        let declared = self.declaration.groups.iter().map(|group| group.id);
        let numbers = self.declaration.numbers.iter();
        let holders = numbers.filter_map(|number| match &number.holder {
            Some(Holder::VoiceConnectorGroup(id)) => Some(*id),
            Some(Holder::VoiceConnector(_) | Holder::User(_)) | None => None,
        });
        for id in declared.chain(holders).collect::<BTreeSet<Uuid>>() {
            sqlx::query("UPDATE voice_connector_group SET updated = updated WHERE id = $1")
                .bind(id.to_string())
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Puts the declared connectors, and locks those that the others name.
    async fn put_connectors(&mut self) -> Result<(), DeclareError> {
        let connectors = self.declaration.connectors.iter();
        let mut wanted: BTreeMap<VoiceConnectorId, Wanted<'_>> = connectors
            .map(|connector| (connector.id, Wanted::Declared(connector)))
            .collect();
        for group in &self.declaration.groups {
            for item in &group.items {
                let by = Resource::VoiceConnectorGroup(group.id);
                let named = Wanted::Named(by, &group.account);
                wanted.entry(item.voice_connector).or_insert(named);
            }
        }
        for number in &self.declaration.numbers {
            if let Some(Holder::VoiceConnector(id)) = number.holder {
                let by = Resource::PhoneNumber(number.number);
                let named = Wanted::Named(by, &number.account);
                wanted.entry(id).or_insert(named);
            }
        }
        for (id, wanted) in wanted {
            match wanted {
                Wanted::Declared(connector) => {
                    let resource = Resource::VoiceConnector(id);
                    match connector.put(&mut self.transaction, self.now).await {
                        Ok(None) => {}
                        Ok(Some(put)) => self.note(resource, put),
                        Err(StoreError::UnknownVoiceConnector(_)) => {
                            return Err(DeclareError::NotYours(resource));
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Wanted::Named(by, account) => {
                    match Store::lock_connector(&mut self.transaction, account, id).await {
                        Err(StoreError::UnknownVoiceConnector(_)) => {
                            return Err(DeclareError::NoConnector(by, id));
                        }
                        locked => locked?,
                    }
                }
            }
        }
        Ok(())
    }

    async fn put_groups(&mut self) -> Result<(), DeclareError> {
        for group in &self.declaration.groups {
            let resource = Resource::VoiceConnectorGroup(group.id);
            match group.put(&mut self.transaction, self.now).await {
                Ok(None) => {}
                Ok(Some(put)) => self.note(resource, put),
                Err(StoreError::UnknownGroup(_)) => return Err(DeclareError::NotYours(resource)),
                Err(StoreError::UnknownVoiceConnector(id)) => {
                    return Err(DeclareError::NoConnector(resource, id));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut known = BTreeSet::new();
        for number in &self.declaration.numbers {
            let Some(Holder::VoiceConnectorGroup(id)) = number.holder else {
                continue;
            };
            if !known.insert((&number.account, id)) {
                continue;
            }
            match Store::lock_group(&mut self.transaction, &number.account, id).await {
                Err(StoreError::UnknownGroup(_)) => {
                    let by = Resource::PhoneNumber(number.number);
                    return Err(DeclareError::NoGroup(by, id));
                }
                locked => locked?,
            }
        }
        Ok(())
    }

    /// Numbers that nobody has come with an order of their own.
    async fn put_numbers(&mut self) -> Result<(), DeclareError> {
        let mut declared: Vec<&DeclaredNumber> = self.declaration.numbers.iter().collect();
        declared.sort_by_key(|number| number.number);
        let mut missing: BTreeMap<&str, Vec<&DeclaredNumber>> = BTreeMap::new();
        for chunk in declared.chunks(NUMBERS_MAX) {
            let list: Vec<E164> = chunk.iter().map(|number| number.number).collect();
            let there = numbers_among(&mut self.transaction, &list).await?;
            for number in chunk {
                let resource = Resource::PhoneNumber(number.number);
                match there.get(&number.number) {
                    None => missing.entry(&number.account).or_default().push(number),
                    Some(before) if before.account != number.account => {
                        return Err(DeclareError::NotYours(resource));
                    }
                    Some(before) if number.is(before) => {}
                    Some(before) => {
                        let is_there = number
                            .update(&mut self.transaction, before, self.now)
                            .await?;
                        match is_there {
                            true => self.note(resource, Put::Updated),
                            // It has left the deletion queue meanwhile.
                            false => missing.entry(&number.account).or_default().push(number),
                        }
                    }
                }
            }
        }
        for (account, numbers) in missing {
            self.acquire(account, &numbers).await?;
        }
        Ok(())
    }

    async fn acquire(
        &mut self,
        account: &str,
        numbers: &[&DeclaredNumber],
    ) -> Result<(), DeclareError> {
        // As `CreatePhoneNumberOrder`, of one product type.
        let mut by_type: BTreeMap<&str, Vec<&DeclaredNumber>> = BTreeMap::new();
        for number in numbers {
            let of_type = by_type.entry(&number.product_type).or_default();
            of_type.push(number);
        }
        for (product_type, numbers) in by_type {
            let order = Uuid::new_v4().to_string();
            let ordered = numbers.iter().map(|number| OrderedNumber {
                number: number.number.to_string(),
                acquired: true,
            });
            let text = serde_json::to_string(&ordered.collect::<Vec<_>>())
                .map_err(|_| StoreError::Corrupt("an order that is no JSON"))?;
            sqlx::query(
                "INSERT INTO phone_number_order (id, account, product_type, numbers, created) \
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&order)
            .bind(account)
            .bind(product_type)
            .bind(text)
            .bind(self.now.as_millisecond())
            .execute(&mut *self.transaction)
            .await?;
            for number in numbers {
                number
                    .insert(&mut self.transaction, &order, self.now)
                    .await?;
                self.note(Resource::PhoneNumber(number.number), Put::Created);
            }
        }
        Ok(())
    }

    async fn check_default_numbers(&mut self) -> Result<(), DeclareError> {
        for connector in &self.declaration.connectors {
            let Some(number) = connector.default_phone_number() else {
                continue;
            };
            let id = connector.id;
            if !Store::lock_number_of(&mut self.transaction, id, number).await? {
                return Err(DeclareError::DefaultPhoneNumber(connector.id, number));
            }
        }
        Ok(())
    }

    async fn connectors_for_calls(&mut self) -> Result<Vec<WholeConnector>, DeclareError> {
        let mut connectors = Vec::new();
        for resource in self.done.keys() {
            if let Resource::VoiceConnector(id) = resource {
                connectors.push(Store::whole_within(&mut self.transaction, *id).await?);
            }
        }
        Ok(connectors)
    }

    fn numbers_put(&self) -> Vec<E164> {
        let numbers = self.declaration.numbers.iter().map(|number| number.number);
        let is_put = |number: &E164| self.done.contains_key(&Resource::PhoneNumber(*number));
        numbers.filter(is_put).collect()
    }

    fn groups_put(&self) -> Vec<(Uuid, Vec<GroupItem>)> {
        let groups = self.declaration.groups.iter();
        let put = groups.filter(|group| {
            let resource = Resource::VoiceConnectorGroup(group.id);
            self.done.contains_key(&resource)
        });
        put.map(|group| (group.id, group.items.clone())).collect()
    }

    async fn put_documents(&mut self) -> Result<(), DeclareError> {
        for document in &self.declaration.documents {
            if let Some(put) = document.put(&mut self.transaction, self.now).await? {
                // A part of a resource that was created is no news.
                self.note(document.of.clone(), put);
            }
        }
        Ok(())
    }
}

/// A connector of a declaration.
enum Wanted<'d> {
    /// Declared.
    Declared(&'d DeclaredConnector),
    /// Named by this resource, and not declared.
    Named(Resource, &'d str),
}
