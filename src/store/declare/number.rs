//! A declared phone number.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::{Any, Transaction};

use crate::numbering::E164;
use crate::store::numbers::{columns, record};
use crate::store::records::{Holder, PhoneNumberRecord, StoreError};

/// A phone number.
#[derive(PartialEq, Eq)]
pub struct DeclaredNumber {
    /// The number.
    pub number: E164,
    /// The AWS account that owns it.
    pub account: String,
    /// `ProductType`
    pub product_type: String,
    /// `Name`
    pub name: Option<String>,
    /// `CallingName`
    pub calling_name: Option<String>,
    /// The connector or group that it is associated with.
    pub holder: Option<Holder>,
}

impl DeclaredNumber {
    /// What holds it from now on: no file declares a user's number, nor takes it away without giving it to another.
    fn holder_after(&self, before: &PhoneNumberRecord) -> Option<Holder> {
        let users = before.user.clone().map(Holder::User);
        self.holder.clone().or(users)
    }

    pub(super) fn is(&self, before: &PhoneNumberRecord) -> bool {
        before.deleted.is_none()
            && before.product_type == self.product_type
            && before.name == self.name
            && before.calling_name == self.calling_name
            && before.holder() == self.holder_after(before)
    }

    pub(super) async fn update(
        &self,
        transaction: &mut Transaction<'static, Any>,
        before: &PhoneNumberRecord,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let holder = self.holder_after(before);
        let associated = match before.holder() == holder {
            true => before.associated,
            false => holder.as_ref().map(|_| now),
        };
        let [connector, group, user] = columns(holder.as_ref());
        let done = sqlx::query(
            "UPDATE phone_number SET product_type = $1, name = $2, calling_name = $3, voice_connector = $4, \
             voice_connector_group = $5, phone_user = $6, associated = $7, deleted = NULL, updated = $8 \
             WHERE number = $9 AND account = $10",
        )
        .bind(&self.product_type)
        .bind(&self.name)
        .bind(&self.calling_name)
        .bind(connector)
        .bind(group)
        .bind(user)
        .bind(associated.map(Timestamp::as_millisecond))
        .bind(now.as_millisecond())
        .bind(self.number.digits() as i64)
        .bind(&self.account)
        .execute(&mut **transaction)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn insert(
        &self,
        transaction: &mut Transaction<'static, Any>,
        order: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let [connector, group, _] = columns(self.holder.as_ref());
        sqlx::query(
            "INSERT INTO phone_number (number, account, product_type, voice_connector, voice_connector_group, \
             associated, name, calling_name, number_order, created, updated) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        )
        .bind(self.number.digits() as i64)
        .bind(&self.account)
        .bind(&self.product_type)
        .bind(connector)
        .bind(group)
        .bind(self.holder.as_ref().map(|_| now.as_millisecond()))
        .bind(&self.name)
        .bind(&self.calling_name)
        .bind(order)
        .bind(now.as_millisecond())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

/// Those of the numbers that somebody has.
pub(super) async fn numbers_among(
    transaction: &mut Transaction<'static, Any>,
    numbers: &[E164],
) -> Result<BTreeMap<E164, PhoneNumberRecord>, StoreError> {
    // Digits: they need no parameters, of which there would be another number each time.
    let list: Vec<String> = numbers
        .iter()
        .map(|number| number.digits().to_string())
        .collect();
    let statement = format!(
        "SELECT * FROM phone_number WHERE number IN ({})",
        list.join(", ")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await?;
    let rows = rows.iter().map(record);
    rows.map(|row| row.map(|row| (row.number, row))).collect()
}
