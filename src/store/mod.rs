//! The store: everything the API has acknowledged, in SQLite.
//!
//! SQL stands in this module alone. Each write is one transaction, durable (WAL, `synchronous=FULL`)
//! before the call returns. Nothing here knows of snapshots: [`crate::control::publish`] orders writes
//! and publishing.

pub mod records;

mod connectors;
mod documents;
mod groups;
mod lifecycle;
mod numbers;
mod open;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

pub use connectors::{CREDENTIALS_MAX, WholeConnector};
pub use documents::{Document, Key};
pub use groups::{GROUPS_MAX, GroupItem, GroupRecord, ITEMS_MAX};
pub use lifecycle::{DELETION_QUEUE, NumberChange};
pub use open::OpenError;
pub use records::*;

/// The database of a node.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::SqlitePool,
}

impl Store {
    /// Begins a write, the only one at once from here on: a transaction that read first and wrote later could not go on
    /// where another one wrote in between.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }
}

/// Where a list in the order of creation goes on: behind this time and id.
fn after_created(token: Option<&str>) -> Result<(i64, &str), StoreError> {
    let Some(token) = token else {
        return Ok((-1, ""));
    };
    let (created, id) = token.split_once('.').ok_or(StoreError::InvalidToken)?;
    let created = created.parse().map_err(|_| StoreError::InvalidToken)?;
    Ok((created, id))
}

impl<T> Page<T> {
    /// A page of at most `most` rows, out of what was read with room for one more.
    fn of(mut rows: Vec<T>, most: u32, token: impl Fn(&T) -> String) -> Self {
        let most = most as usize;
        let has_more = rows.len() > most;
        rows.truncate(most);
        let next = rows.last().filter(|_| has_more).map(token);
        Self { rows, next }
    }
}

/// The time that a column's milliseconds are.
fn timestamp(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(|_| StoreError::Corrupt("a time"))
}
