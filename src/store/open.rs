//! Opening the database and bringing its schema up to date.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::Store;

/// The schema's changes in their order; `PRAGMA user_version` says how many of them a database has.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
];

const CONNECTIONS_MAX: u32 = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Not a `sqlite://` URL.
    Url,
    /// The database file or its folder cannot be made.
    Folder(PathBuf, io::Error),
    /// The database was written by a later version of this program.
    NewerSchema {
        /// Its schema.
        found: i64,
        /// The last one this program knows.
        known: usize,
    },
    /// SQLite cannot open the file, or it is not a database.
    Database(sqlx::Error),
    /// What is in the database cannot be read.
    Content(super::StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("the store's url is not of the form sqlite://path"),
            Self::Folder(path, error) => write!(
                f,
                "the store's file {} cannot be made: {error}",
                path.display()
            ),
            Self::NewerSchema { found, known } => write!(
                f,
                "the store has schema {found}, this version knows {known}: run the version that wrote it, or a later one"
            ),
            Self::Database(error) => write!(
                f,
                "the store cannot be opened: {error}; check the path and its permissions"
            ),
            Self::Content(error) => write!(f, "the store cannot be read: {error:?}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<super::StoreError> for OpenError {
    fn from(error: super::StoreError) -> Self {
        Self::Content(error)
    }
}

/// Makes folder and file where they are missing, for this user alone: what is in the database lets its
/// reader call as a customer. SQLite gives the files beside it the same permissions.
fn private_file(file: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Folder(file.to_owned(), error);
    if let Some(folder) = file.parent().filter(|folder| *folder != Path::new("")) {
        let mut folders = std::fs::DirBuilder::new();
        folders
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let mut open = std::fs::OpenOptions::new();
    open.create(true).append(true).mode(0o600);
    open.open(file).map(|_| ()).map_err(failed)
}

impl Store {
    /// Opens the database at a `sqlite://` URL, making file, folder and tables where they are missing.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
        private_file(options.get_filename())?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .connect_with(options)
            .await?;
        let store = Self { pool };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), OpenError> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query("PRAGMA user_version")
            .fetch_one(&mut *transaction)
            .await?;
        let found: i64 = row.try_get(0)?;
        let newer = || OpenError::NewerSchema {
            found,
            known: MIGRATIONS.len(),
        };
        let done = usize::try_from(found).map_err(|_| newer())?;
        for migration in MIGRATIONS.get(done..).ok_or_else(newer)? {
            sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        }
        let version = format!("PRAGMA user_version = {}", MIGRATIONS.len());
        // A number of ours: pragmas take no parameters.
        sqlx::raw_sql(sqlx::AssertSqlSafe(version))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Closes the database; what was answered is on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
