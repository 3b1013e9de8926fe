//! The store: everything the API has acknowledged, in SQLite.
//!
//! SQL stands in this module alone. Each write is one transaction, durable (WAL, `synchronous=FULL`)
//! before the call returns. Nothing here knows of snapshots: [`crate::control::publish`] orders writes
//! and publishing.

pub mod records;

mod connectors;
mod documents;
mod numbers;
mod open;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use connectors::{CREDENTIALS_MAX, WholeConnector};
pub use documents::{Document, Key};
pub use open::OpenError;
pub use records::*;

/// The database of a node.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::SqlitePool,
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
