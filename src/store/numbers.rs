//! Phone numbers and their orders.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::records::{
    Holder, NumberError, NumberFilter, NumberProblem, NumberStatus, OrderRecord, OrderedNumber,
    Page, PhoneNumberRecord, StoreError,
};
use super::{NumberWrite, Store, after_created, timestamp};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;

impl Store {
    /// Takes the numbers that nobody has into the account's inventory, each with `name`, and keeps the order.
    pub async fn order_numbers(
        &self,
        id: String,
        account: &str,
        product_type: &str,
        name: Option<&str>,
        numbers: &[E164],
        now: Timestamp,
    ) -> Result<OrderRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let now_millis = now.as_millisecond();
        // The order stands first, for the numbers refer to it; what came of it is written last.
        sqlx::query("INSERT INTO phone_number_order (id, account, product_type, numbers, created) VALUES ($1, $2, $3, '[]', $4)")
            .bind(&id)
            .bind(account)
            .bind(product_type)
            .bind(now_millis)
            .execute(&mut *transaction)
            .await?;
        let mut ordered = Vec::with_capacity(numbers.len());
        for (place, number) in ascending(numbers) {
            let done = sqlx::query(
                "INSERT INTO phone_number (number, account, product_type, number_order, created, updated, name) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (number) DO NOTHING",
            )
            .bind(number.digits() as i64)
            .bind(account)
            .bind(product_type)
            .bind(&id)
            .bind(now_millis)
            .bind(now_millis)
            .bind(name)
            .execute(&mut *transaction)
            .await?;
            let number = number.to_string();
            let acquired = done.rows_affected() == 1;
            ordered.push((place, OrderedNumber { number, acquired }));
        }
        let ordered = as_asked(ordered);
        let text = serde_json::to_string(&ordered)
            .map_err(|_| StoreError::Corrupt("an order that is no JSON"))?;
        sqlx::query("UPDATE phone_number_order SET numbers = $1 WHERE id = $2")
            .bind(text)
            .bind(&id)
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, []).await?;
        Ok(OrderRecord {
            id,
            account: account.to_owned(),
            product_type: product_type.to_owned(),
            numbers: ordered,
            created: timestamp(now_millis)?,
        })
    }

    /// One order of an account.
    pub async fn order(&self, account: &str, id: &str) -> Result<OrderRecord, StoreError> {
        let row = sqlx::query("SELECT * FROM phone_number_order WHERE id = $1 AND account = $2")
            .bind(id)
            .bind(account)
            .fetch_optional(&self.pool)
            .await?;
        order(&row.ok_or(StoreError::UnknownOrder)?)
    }

    /// An account's orders as they were placed, at most `most`, from behind the token on.
    pub async fn orders(
        &self,
        account: &str,
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<OrderRecord>, StoreError> {
        let (created, id) = after_created(after)?;
        let rows = sqlx::query(
            "SELECT * FROM phone_number_order WHERE account = $1 AND (created, id) > ($2, $3) \
             ORDER BY created, id LIMIT $4",
        )
        .bind(account)
        .bind(created)
        .bind(id)
        .bind(i64::from(most) + 1)
        .fetch_all(&self.pool)
        .await?;
        let rows: Vec<OrderRecord> = rows.iter().map(order).collect::<Result<_, _>>()?;
        let token = |last: &OrderRecord| format!("{}.{}", last.created.as_millisecond(), last.id);
        Ok(Page::of(rows, most, token))
    }

    /// One number of an account.
    pub async fn phone_number(
        &self,
        account: &str,
        number: E164,
    ) -> Result<PhoneNumberRecord, StoreError> {
        let row = sqlx::query("SELECT * FROM phone_number WHERE number = $1 AND account = $2")
            .bind(number.digits() as i64)
            .bind(account)
            .fetch_optional(&self.pool)
            .await?;
        record(&row.ok_or(StoreError::UnknownNumber(number))?)
    }

    /// An account's numbers in ascending order, at most `most`, from behind the token on.
    pub async fn phone_numbers(
        &self,
        account: &str,
        filter: &NumberFilter,
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<PhoneNumberRecord>, StoreError> {
        let after: i64 = after
            .unwrap_or("0")
            .parse()
            .map_err(|_| StoreError::InvalidToken)?;
        let holder = match &filter.holder {
            Some(Holder::VoiceConnector(_)) => "voice_connector = $3",
            Some(Holder::VoiceConnectorGroup(_)) => "voice_connector_group = $3",
            Some(Holder::User(_)) => "phone_user = $3",
            None => "$3 IS NULL",
        };
        // What stands in an index's own words lets the databases use it.
        let status = match filter.status {
            None => "TRUE",
            Some(NumberStatus::InDeletionQueue) => "deleted IS NOT NULL",
            Some(NumberStatus::Unassigned) => {
                "voice_connector IS NULL AND voice_connector_group IS NULL AND phone_user IS NULL AND deleted IS NULL"
            }
            Some(NumberStatus::Assigned) => {
                "(voice_connector IS NOT NULL OR voice_connector_group IS NOT NULL OR phone_user IS NOT NULL)"
            }
        };
        let [connector, group, user] = columns(filter.holder.as_ref());
        let statement = format!(
            "SELECT * FROM phone_number WHERE account = $1 AND number > $2 AND {holder} AND {status} \
             AND ($4 IS NULL OR substr(phone_user, 1, length($4) + 1) = $4 || '/') \
             AND ($5 IS NULL OR substr(phone_user, length(phone_user) - length($5)) = '/' || $5) \
             AND ($6 IS NULL OR product_type = $6) ORDER BY number LIMIT $7"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(account)
            .bind(after)
            .bind(connector.or(group).or(user))
            .bind(&filter.user_account)
            .bind(&filter.user_id)
            .bind(&filter.product_type)
            .bind(i64::from(most) + 1)
            .fetch_all(&self.pool)
            .await?;
        let rows: Vec<PhoneNumberRecord> = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(Page::of(rows, most, |last| {
            last.number.digits().to_string()
        }))
    }

    /// The numbers from `first` to `last` that any account has, ascending.
    pub async fn numbers_taken(&self, first: E164, last: E164) -> Result<Vec<E164>, StoreError> {
        let rows = sqlx::query(
            "SELECT number FROM phone_number WHERE number BETWEEN $1 AND $2 ORDER BY number",
        )
        .bind(first.digits() as i64)
        .bind(last.digits() as i64)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(number_in).collect()
    }

    /// Associates numbers with a connector or a group; what could not be is returned, the rest is done.
    pub async fn associate_numbers(
        &self,
        account: &str,
        to: impl Into<Holder>,
        numbers: &[E164],
        force: bool,
        now: Timestamp,
    ) -> Result<NumberWrite<Vec<NumberError>>, StoreError> {
        let to = to.into();
        let may = |number: &PhoneNumberRecord| match number.holder() {
            _ if number.deleted.is_some() => Err(NumberProblem::InDeletionQueue),
            _ if number.product_type != "VoiceConnector" => Err(NumberProblem::OtherProductType),
            Some(holder) if holder != to && !force => Err(NumberProblem::AssociatedElsewhere),
            Some(_) | None => Ok(()),
        };
        self.reassign(account, &to, numbers, Some(&to), now, may)
            .await
    }

    /// Takes numbers away from a connector or a group; what could not be is returned, the rest is done.
    pub async fn disassociate_numbers(
        &self,
        account: &str,
        from: impl Into<Holder>,
        numbers: &[E164],
        now: Timestamp,
    ) -> Result<NumberWrite<Vec<NumberError>>, StoreError> {
        let from: Holder = from.into();
        let may = |number: &PhoneNumberRecord| {
            if number.holder().as_ref() == Some(&from) {
                Ok(())
            } else {
                Err(NumberProblem::NotAssociated)
            }
        };
        self.reassign(account, &from, numbers, None, now, may).await
    }

    /// Gives a number to a user, whose number it is alone from then on, where nobody else has it.
    pub async fn associate_user(
        &self,
        account: &str,
        user: &str,
        number: E164,
        now: Timestamp,
    ) -> Result<Option<NumberProblem>, StoreError> {
        let user = Holder::User(user.to_owned());
        let may = |number: &PhoneNumberRecord| match number.holder() {
            _ if number.deleted.is_some() => Err(NumberProblem::InDeletionQueue),
            Some(holder) if holder != user => Err(NumberProblem::AssociatedElsewhere),
            Some(_) | None => Ok(()),
        };
        let write = self
            .reassign(account, &user, &[number], Some(&user), now, may)
            .await?;
        Ok(write.outcome.into_iter().next().map(|error| error.problem))
    }

    /// Takes a user's number away; a user without one is no error.
    pub async fn disassociate_user(
        &self,
        account: &str,
        user: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        release_user(&mut transaction, account, user, None, now).await?;
        self.commit(transaction, []).await?;
        Ok(())
    }

    /// Refuses where the account has no such connector or group.
    pub async fn holder_exists(&self, account: &str, holder: &Holder) -> Result<(), StoreError> {
        match holder {
            Holder::VoiceConnector(id) => self.voice_connector(account, *id).await.map(drop),
            Holder::VoiceConnectorGroup(id) => self.group(account, *id).await.map(drop),
            // Users are the config's.
            Holder::User(_) => Ok(()),
        }
    }

    /// Gives numbers to a connector, a group or a user, or to none, where `may` allows it with whoever holds them.
    async fn reassign(
        &self,
        account: &str,
        asked: &Holder,
        numbers: &[E164],
        to: Option<&Holder>,
        now: Timestamp,
        may: impl Fn(&PhoneNumberRecord) -> Result<(), NumberProblem>,
    ) -> Result<NumberWrite<Vec<NumberError>>, StoreError> {
        let [connector, group, user] = columns(to);
        let mut transaction = self.begin().await?;
        match asked {
            Holder::VoiceConnector(id) => {
                Self::lock_connector(&mut transaction, account, *id).await?;
            }
            Holder::VoiceConnectorGroup(id) => {
                Self::lock_group(&mut transaction, account, *id).await?;
            }
            Holder::User(user) => {
                lock_users_number(&mut transaction, account, user, numbers).await?;
            }
        }
        let mut errors = Vec::new();
        let mut changed = Vec::with_capacity(numbers.len());
        for (place, number) in ascending(numbers) {
            // The write that changes nothing locks the number: who holds it now holds it until the commit.
            let row = sqlx::query(
                "UPDATE phone_number SET updated = updated WHERE number = $1 AND account = $2 \
                 RETURNING *",
            )
            .bind(number.digits() as i64)
            .bind(account)
            .fetch_optional(&mut *transaction)
            .await?;
            let before = row.as_ref().map(record).transpose()?;
            let allowed = before
                .as_ref()
                .ok_or(NumberProblem::NotInInventory)
                .and_then(&may);
            if let Err(problem) = allowed {
                errors.push((place, NumberError { number, problem }));
                continue;
            }
            if let Some(Holder::User(user)) = to {
                release_user(&mut transaction, account, user, Some(number), now).await?;
            }
            sqlx::query(
                "UPDATE phone_number SET voice_connector = $1, voice_connector_group = $2, phone_user = $3, \
                 associated = $4, updated = $5 WHERE number = $6",
            )
            .bind(&connector)
            .bind(&group)
            .bind(&user)
            .bind(to.map(|_| now.as_millisecond()))
            .bind(now.as_millisecond())
            .bind(number.digits() as i64)
            .execute(&mut *transaction)
            .await?;
            changed.push(number);
        }
        let errors = as_asked(errors);
        self.commit_numbers(transaction, changed, errors).await
    }
}

/// A holder as the columns for connector, group and user have it.
pub(super) fn columns(holder: Option<&Holder>) -> [Option<String>; 3] {
    match holder {
        Some(Holder::VoiceConnector(id)) => [Some(id.to_string()), None, None],
        Some(Holder::VoiceConnectorGroup(id)) => [None, Some(id.to_string()), None],
        Some(Holder::User(user)) => [None, None, Some(user.clone())],
        None => [None, None, None],
    }
}

/// Locks the number that a user has with those that it is to have, in the order of all writers.
async fn lock_users_number(
    transaction: &mut Transaction<'static, Any>,
    account: &str,
    user: &str,
    numbers: &[E164],
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT number FROM phone_number WHERE account = $1 AND phone_user = $2")
        .bind(account)
        .bind(user)
        .fetch_optional(&mut **transaction)
        .await?;
    let mut locked = numbers.to_vec();
    locked.extend(row.as_ref().map(number_in).transpose()?);
    for (_, number) in ascending(&locked) {
        sqlx::query("UPDATE phone_number SET updated = updated WHERE number = $1 AND account = $2")
            .bind(number.digits() as i64)
            .bind(account)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Takes the number of a user away, where it is not this one.
async fn release_user(
    transaction: &mut Transaction<'static, Any>,
    account: &str,
    user: &str,
    kept: Option<E164>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE phone_number SET phone_user = NULL, associated = NULL, updated = $1 \
         WHERE account = $2 AND phone_user = $3 AND number <> $4",
    )
    .bind(now.as_millisecond())
    .bind(account)
    .bind(user)
    .bind(kept.map_or(0, |number| number.digits() as i64))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The numbers with their places, in the order in which all writers lock them: none waits for one that waits for it.
fn ascending(numbers: &[E164]) -> Vec<(usize, E164)> {
    let mut ascending: Vec<_> = numbers.iter().copied().enumerate().collect();
    ascending.sort_by_key(|(_, number)| number.digits());
    ascending
}

/// Answers in the order of the request.
fn as_asked<T>(mut answers: Vec<(usize, T)>) -> Vec<T> {
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn order(row: &AnyRow) -> Result<OrderRecord, StoreError> {
    let numbers: String = row.try_get("numbers")?;
    Ok(OrderRecord {
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        product_type: row.try_get("product_type")?,
        numbers: serde_json::from_str(&numbers)
            .map_err(|_| StoreError::Corrupt("phone_number_order.numbers"))?,
        created: timestamp(row.try_get("created")?)?,
    })
}

pub(super) fn record(row: &AnyRow) -> Result<PhoneNumberRecord, StoreError> {
    let time = |column: &str| {
        let millis: Option<i64> = row.try_get(column)?;
        millis.map(timestamp).transpose()
    };
    let group: Option<String> = row.try_get("voice_connector_group")?;
    let group = group.map(|id| id.parse()).transpose();
    Ok(PhoneNumberRecord {
        number: number_in(row)?,
        account: row.try_get("account")?,
        product_type: row.try_get("product_type")?,
        voice_connector: connector_in(row)?,
        voice_connector_group: group
            .map_err(|_| StoreError::Corrupt("phone_number.voice_connector_group"))?,
        user: row.try_get("phone_user")?,
        associated: time("associated")?,
        name: row.try_get("name")?,
        calling_name: row.try_get("calling_name")?,
        deleted: time("deleted")?,
        order: row.try_get("number_order")?,
        created: timestamp(row.try_get("created")?)?,
        updated: timestamp(row.try_get("updated")?)?,
    })
}

pub(super) fn number_in(row: &AnyRow) -> Result<E164, StoreError> {
    let digits: i64 = row.try_get("number")?;
    E164::from_digits(digits.unsigned_abs()).ok_or(StoreError::Corrupt("phone_number.number"))
}

pub(super) fn connector_in(row: &AnyRow) -> Result<Option<VoiceConnectorId>, StoreError> {
    let id: Option<String> = row.try_get("voice_connector")?;
    id.map(|id| id.parse())
        .transpose()
        .map_err(|_| StoreError::Corrupt("phone_number.voice_connector"))
}
