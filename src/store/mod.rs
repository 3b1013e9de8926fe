//! The store: everything the API has acknowledged, in SQLite or PostgreSQL.
//!
//! SQL stands in this module alone, one schema and one set of statements for both databases: `$1` is a parameter
//! in both, a truth value is 0 or 1 in a BIGINT. Each write is one transaction, durable before the call returns.
//! Two writers of the same rows (nodes on one PostgreSQL) wait for each other: a write locks the group that it is
//! about first (`groups.rs`), then connectors (`connectors.rs`), then numbers in ascending order (`numbers.rs`).
//! Nothing here knows of snapshots:
//! [`crate::control::publish`] orders writes and publishing, and hears of other nodes' writes through [`ChangeFeed`].

pub mod records;

mod changes;
mod connectors;
mod declare;
mod documents;
mod groups;
mod health;
mod in_service;
mod lifecycle;
mod numbers;
mod open;
mod proxy_sessions;
mod spending;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Any, AnyPool, Row, Transaction};

pub use changes::{Change, ChangeFeed, News};
pub use connectors::WholeConnector;
pub use declare::{
    Declaration, DeclareError, DeclaredConnector, DeclaredCredential, DeclaredDocument,
    DeclaredGroup, DeclaredNumber, Done, Proof, Put,
};
pub use documents::{Document, Key};
pub use groups::{GroupItem, GroupRecord};
pub use in_service::{NumberInService, NumberWrite};
pub use lifecycle::{DELETION_QUEUE, NumberChange};
pub use open::OpenError;
pub use proxy_sessions::{SessionRecord, SessionStatus};
pub use records::*;
pub use spending::SpendingRow;

/// The database of a node.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    database: Database,
    purpose: Purpose,
}

/// What a database was opened for.
#[derive(Clone, Copy)]
enum Purpose {
    /// To be written.
    Serving,
    /// To be looked at: nothing becomes of a write.
    Looking,
}

/// Which database it is, for the few things that they do differently.
#[derive(Clone)]
enum Database {
    Sqlite,
    Postgres(Box<PgConnectOptions>),
}

impl fmt::Debug for Store {
    /// Without the options, which hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.database {
            Database::Sqlite => "Store(SQLite)",
            Database::Postgres(_) => "Store(PostgreSQL)",
        })
    }
}

impl Store {
    /// Begins a write. SQLite's is the only one at once from here on: a transaction that read first and wrote later
    /// could not go on where another one wrote in between.
    async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let begin = match self.database {
            Database::Sqlite => "BEGIN IMMEDIATE",
            Database::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        self.pool.begin_with(begin).await
    }

    /// Refuses where an account has `most` of something already, as `count` counts it.
    async fn has_room(
        transaction: &mut Transaction<'static, Any>,
        count: &'static str,
        account: &str,
        (what, most): (&'static str, usize),
    ) -> Result<(), StoreError> {
        let row = sqlx::query(count)
            .bind(account)
            .fetch_one(&mut **transaction)
            .await?;
        let count: i64 = row.try_get(0)?;
        match count < i64::try_from(most).unwrap_or(i64::MAX) {
            true => Ok(()),
            false => Err(StoreError::TooMany { what, most }),
        }
    }

    /// Makes a write durable, and tells the other nodes of it in the same moment; undoes it where the database is only
    /// looked at.
    async fn commit(
        &self,
        mut transaction: Transaction<'static, Any>,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), sqlx::Error> {
        match self.purpose {
            Purpose::Serving => {}
            Purpose::Looking => return transaction.rollback().await,
        }
        match self.database {
            // One process holds the file.
            Database::Sqlite => {}
            Database::Postgres(_) => {
                for change in changes {
                    changes::notify(&mut transaction, &change).await?;
                }
            }
        }
        transaction.commit().await
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
