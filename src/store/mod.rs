//! The store: everything the API has acknowledged, in SQLite.
//!
//! SQL stands in this module alone. Each write is one transaction, durable (WAL, `synchronous=FULL`)
//! before the call returns. Nothing here knows of snapshots: [`crate::control::publish`] orders writes
//! and publishing.

pub mod records;

mod connectors;
mod numbers;
mod open;

pub use records::*;

/// The database of a node.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::SqlitePool,
}
