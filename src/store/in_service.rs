//! Phone numbers as calls need them: those that are associated with a connector or a group.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row, Transaction};

use super::changes::NUMBERS_MAX;
use super::numbers::{connector_in, number_in};
use super::records::StoreError;
use super::{Change, Document, Key, Store};
use crate::numbering::E164;
use crate::shard::snapshot::NumberHolder;

/// A number that calls know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberInService {
    /// The number.
    pub number: E164,
    /// What it is associated with.
    pub holder: NumberHolder,
    /// `CallingName`, its own or else its account's; `None` where neither has one.
    pub calling_name: Option<Arc<str>>,
}

/// What a write of numbers did, and what calls need to know of it.
#[derive(PartialEq, Eq, Debug)]
pub struct NumberWrite<T> {
    /// What the caller is answered.
    pub outcome: T,
    /// The numbers that it changed.
    pub changed: Vec<E164>,
    /// Those of them that are in service after it.
    pub in_service: Vec<NumberInService>,
}

/// A document without a parent says what holds for all numbers of an account.
const IN_SERVICE: &str = "SELECT number, voice_connector, voice_connector_group, calling_name, document.body AS settings \
     FROM phone_number LEFT JOIN document ON document.kind = 'phone-number-settings' \
     AND document.account = phone_number.account AND document.id = 'account' \
     WHERE (voice_connector IS NOT NULL OR voice_connector_group IS NOT NULL)";

impl Store {
    /// The kind of the document that says what holds for all numbers of an account; its id is `account`.
    pub const NUMBER_SETTINGS: &str = "phone-number-settings";

    /// Every number of every account that is in service.
    pub async fn numbers_in_service(&self) -> Result<Vec<NumberInService>, StoreError> {
        let rows = sqlx::query(IN_SERVICE).fetch_all(&self.pool).await?;
        in_service(&rows)
    }

    /// Those of an account that are in service.
    pub async fn numbers_in_service_of(
        &self,
        account: &str,
    ) -> Result<Vec<NumberInService>, StoreError> {
        in_service_of(&self.pool, account).await
    }

    /// Those of the numbers that are in service, whoever's they are.
    pub async fn numbers_in_service_among(
        &self,
        numbers: &[E164],
    ) -> Result<Vec<NumberInService>, StoreError> {
        let mut found = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(NUMBERS_MAX) {
            found.extend(in_service_among(&self.pool, numbers).await?);
        }
        Ok(found)
    }

    /// As the transaction leaves them.
    pub(super) async fn in_service_within(
        transaction: &mut Transaction<'static, Any>,
        numbers: &[E164],
    ) -> Result<Vec<NumberInService>, StoreError> {
        let mut found = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(NUMBERS_MAX) {
            found.extend(in_service_among(&mut **transaction, numbers).await?);
        }
        Ok(found)
    }

    /// Commits a write of numbers. What calls need is read before: once it is durable, nothing may keep it from them.
    pub(super) async fn commit_numbers<T>(
        &self,
        mut transaction: Transaction<'static, Any>,
        changed: Vec<E164>,
        outcome: T,
    ) -> Result<NumberWrite<T>, StoreError> {
        let in_service = Self::in_service_within(&mut transaction, &changed).await?;
        let changes: Vec<Change> = changed
            .chunks(NUMBERS_MAX)
            .map(|numbers| Change::PhoneNumbers(numbers.to_vec()))
            .collect();
        self.commit(transaction, changes).await?;
        Ok(NumberWrite {
            outcome,
            changed,
            in_service,
        })
    }

    /// Puts what holds for all numbers of an account, where it is what it was when it was read, and returns those of
    /// them that are in service; `None` where somebody else came first.
    pub async fn put_number_settings(
        &self,
        account: &str,
        before: Option<&Document>,
        body: &Value,
        now: Timestamp,
    ) -> Result<Option<Vec<NumberInService>>, StoreError> {
        let key = Key {
            kind: Self::NUMBER_SETTINGS,
            account,
            id: "account",
        };
        let mut transaction = self.begin().await?;
        match before {
            Some(before) => {
                let replaced =
                    Self::replace_document_within(&mut transaction, key, before, body, now);
                if !replaced.await? {
                    return Ok(None);
                }
            }
            None => {
                Self::put_document_within(&mut transaction, key, "", body, now).await?;
            }
        }
        let numbers = in_service_of(&mut *transaction, account).await?;
        let change = Change::NumberSettings(account.to_owned());
        self.commit(transaction, [change]).await?;
        Ok(Some(numbers))
    }
}

async fn in_service_of(
    executor: impl Executor<'_, Database = Any>,
    account: &str,
) -> Result<Vec<NumberInService>, StoreError> {
    let statement = format!("{IN_SERVICE} AND phone_number.account = $1");
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(account.to_owned())
        .fetch_all(executor)
        .await?;
    in_service(&rows)
}

async fn in_service_among(
    executor: impl Executor<'_, Database = Any>,
    numbers: &[E164],
) -> Result<Vec<NumberInService>, StoreError> {
    // Digits: they need no parameters, of which there would be another number each time.
    let list: Vec<String> = numbers
        .iter()
        .map(|number| number.digits().to_string())
        .collect();
    let statement = format!("{IN_SERVICE} AND number IN ({})", list.join(", "));
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .persistent(false)
        .fetch_all(executor)
        .await?;
    in_service(&rows)
}

/// One copy of a name that all numbers of an account have.
fn in_service(rows: &[AnyRow]) -> Result<Vec<NumberInService>, StoreError> {
    let mut defaults: HashMap<String, Option<Arc<str>>> = HashMap::new();
    let mut numbers = Vec::with_capacity(rows.len());
    for row in rows {
        let own: Option<String> = row.try_get("calling_name")?;
        let settings: Option<String> = row.try_get("settings")?;
        let calling_name = match (own, settings) {
            (Some(own), _) => Some(own.into()),
            (None, Some(settings)) => match defaults.get(&settings) {
                Some(known) => known.clone(),
                None => {
                    let name = default_name(&settings)?;
                    defaults.insert(settings, name.clone());
                    name
                }
            },
            (None, None) => None,
        };
        let number = number_in(row)?;
        let holder = holder_in(row)?;
        numbers.push(NumberInService {
            number,
            holder,
            calling_name,
        });
    }
    Ok(numbers)
}

/// An empty name takes it away.
fn default_name(settings: &str) -> Result<Option<Arc<str>>, StoreError> {
    let settings: Value = serde_json::from_str(settings)
        .map_err(|_| StoreError::Corrupt("the settings of an account's numbers"))?;
    let name = settings.get("CallingName").and_then(Value::as_str);
    Ok(name.filter(|name| !name.is_empty()).map(Arc::from))
}

fn holder_in(row: &AnyRow) -> Result<NumberHolder, StoreError> {
    if let Some(connector) = connector_in(row)? {
        return Ok(NumberHolder::Connector(connector));
    }
    let group: String = row.try_get("voice_connector_group")?;
    let group = group.parse();
    group
        .map(NumberHolder::Group)
        .map_err(|_| StoreError::Corrupt("phone_number.voice_connector_group"))
}
