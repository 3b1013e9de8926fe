//! What becomes of a number that an account has: its properties, and its way through the deletion queue.

use jiff::{SignedDuration, Timestamp};

use sqlx::{Any, Row, Transaction};

use super::numbers::record;
use super::records::{NumberProblem, PhoneNumberRecord, StoreError};
use super::{NumberWrite, Store};
use crate::numbering::E164;

/// How long a deleted number can be had back.
pub const DELETION_QUEUE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A change of one of a number's properties; an empty text takes it away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberChange<'a> {
    /// `ProductType`; not while the number is associated.
    ProductType(&'a str),
    /// `CallingName`
    CallingName(&'a str),
    /// `Name`
    Name(&'a str),
}

/// What one number becomes.
#[derive(Clone, Copy)]
enum Step<'a> {
    Change(NumberChange<'a>),
    Delete,
    Restore,
}

/// What became of each number, in the order of the request.
type Outcomes = Vec<Result<(), NumberProblem>>;

impl Store {
    /// Changes numbers one after the other; what can be done is done.
    pub async fn change_numbers(
        &self,
        account: &str,
        changes: &[(E164, NumberChange<'_>)],
        now: Timestamp,
    ) -> Result<NumberWrite<Outcomes>, StoreError> {
        let steps = changes
            .iter()
            .map(|(number, change)| (*number, Step::Change(*change)));
        self.step(account, steps, now).await
    }

    /// Puts numbers that are not associated into the deletion queue; one that is there already stays as it is.
    pub async fn delete_numbers(
        &self,
        account: &str,
        numbers: &[E164],
        now: Timestamp,
    ) -> Result<Outcomes, StoreError> {
        let steps = numbers.iter().map(|number| (*number, Step::Delete));
        // One that is deleted is associated with nothing: calls do not know it.
        self.step(account, steps, now)
            .await
            .map(|write| write.outcome)
    }

    /// Why a number of an account, which the transaction has locked, may not be deleted.
    async fn use_of(
        transaction: &mut Transaction<'static, Any>,
        account: &str,
        number: E164,
    ) -> Result<Option<NumberProblem>, StoreError> {
        let default = format!(r#"%"default_phone_number":"{number}"%"#);
        let row = sqlx::query(
            "SELECT id FROM voice_connector WHERE account = $1 AND termination LIKE $2 LIMIT 1",
        )
        .bind(account)
        .bind(default)
        .fetch_optional(&mut **transaction)
        .await?;
        if let Some(row) = row {
            let id: String = row.try_get("id")?;
            let id = id
                .parse()
                .map_err(|_| StoreError::Corrupt("voice_connector.id"))?;
            return Ok(Some(NumberProblem::DefaultOf(id)));
        }
        let trigger = ("ToPhoneNumber", number.to_string());
        let trigger = (trigger.0, trigger.1.as_str());
        let rule = Self::rule_triggered_by(transaction, account, trigger).await?;
        Ok(rule.map(NumberProblem::TriggerOf))
    }

    /// Takes a number out of the deletion queue.
    pub async fn restore_number(
        &self,
        account: &str,
        number: E164,
        now: Timestamp,
    ) -> Result<Outcomes, StoreError> {
        let steps = [(number, Step::Restore)];
        self.step(account, steps, now)
            .await
            .map(|write| write.outcome)
    }

    /// Takes the numbers whose time in the deletion queue is over out of their accounts, and says how many: anybody may
    /// order them from then on.
    pub async fn purge_numbers(&self, now: Timestamp) -> Result<u64, StoreError> {
        // A row may be answered before a statement on its own is committed.
        let mut transaction = self.begin().await?;
        let done = sqlx::query("DELETE FROM phone_number WHERE deleted <= $1")
            .bind(last_purged(now))
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, []).await?;
        Ok(done.rows_affected())
    }

    async fn step<'a>(
        &self,
        account: &str,
        steps: impl IntoIterator<Item = (E164, Step<'a>)>,
        now: Timestamp,
    ) -> Result<NumberWrite<Outcomes>, StoreError> {
        let mut steps: Vec<_> = steps.into_iter().enumerate().collect();
        // All writers take numbers in this order: none waits for one that waits for it.
        steps.sort_by_key(|(_, (number, _))| *number);
        let mut transaction = self.begin().await?;
        let mut outcomes = Vec::with_capacity(steps.len());
        let mut changed = Vec::new();
        for (place, (number, step)) in steps {
            // The write that changes nothing keeps other writers from the number until the commit.
            let row = sqlx::query(
                "UPDATE phone_number SET updated = updated WHERE number = $1 AND account = $2 RETURNING *",
            )
            .bind(number.digits() as i64)
            .bind(account)
            .fetch_optional(&mut *transaction)
            .await?;
            let before = row.as_ref().map(record).transpose()?;
            let mut after = match before {
                Some(before) => after(before, step, now),
                None => Err(NumberProblem::NotInInventory),
            };
            if let (Step::Delete, Ok(_)) = (step, &after)
                && let Some(problem) = Self::use_of(&mut transaction, account, number).await?
            {
                after = Err(problem);
            }
            if let Ok(after) = &after {
                sqlx::query(
                    "UPDATE phone_number SET product_type = $1, calling_name = $2, name = $3, deleted = $4, \
                     updated = $5 WHERE number = $6",
                )
                .bind(&after.product_type)
                .bind(&after.calling_name)
                .bind(&after.name)
                .bind(after.deleted.map(Timestamp::as_millisecond))
                .bind(after.updated.as_millisecond())
                .bind(number.digits() as i64)
                .execute(&mut *transaction)
                .await?;
                changed.push(number);
            }
            outcomes.push((place, after.map(drop)));
        }
        outcomes.sort_by_key(|(place, _)| *place);
        let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        self.commit_numbers(transaction, changed, outcomes).await
    }
}

/// Whose time in the deletion queue is over: who came at this time or before.
fn last_purged(now: Timestamp) -> i64 {
    now.as_millisecond() - DELETION_QUEUE.as_secs() * 1_000
}

fn after(
    mut number: PhoneNumberRecord,
    step: Step<'_>,
    now: Timestamp,
) -> Result<PhoneNumberRecord, NumberProblem> {
    let kept = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let is_over = |deleted: Timestamp| deleted.as_millisecond() <= last_purged(now);
    match (step, number.deleted) {
        (_, Some(deleted)) if is_over(deleted) => return Err(NumberProblem::NotInInventory),
        (Step::Delete, Some(_)) => return Ok(number),
        (Step::Change(_), Some(_)) => return Err(NumberProblem::InDeletionQueue),
        (Step::Restore, None) => return Err(NumberProblem::NotInDeletionQueue),
        (Step::Restore, Some(_)) => number.deleted = None,
        (Step::Delete, None) => match number.holder() {
            Some(holder) => return Err(NumberProblem::Associated(holder)),
            None => number.deleted = Some(now),
        },
        (Step::Change(NumberChange::ProductType(product_type)), None) => {
            match number.holder() {
                Some(holder) if number.product_type != product_type => {
                    return Err(NumberProblem::Associated(holder));
                }
                Some(_) | None => {}
            }
            number.product_type = product_type.to_owned();
        }
        (Step::Change(NumberChange::CallingName(name)), None) => number.calling_name = kept(name),
        (Step::Change(NumberChange::Name(name)), None) => number.name = kept(name),
    }
    number.updated = now;
    Ok(number)
}
