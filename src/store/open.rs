//! Opening the database and bringing its schema up to date.

use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Any, ConnectOptions, Connection, Executor, Row, Transaction};

use super::{Database, Purpose, Store};

/// The schema's changes in their order; `schema_version` says how many of them a database has.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
];

const CONNECTIONS_MAX: u32 = 8;
/// How long a request waits for a connection, while the server is away or all are in use.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// What each connection to SQLite begins with.
const SQLITE_SESSION: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";

/// What each connection to SQLite begins with where the database is looked at: what it is stays as it is.
const SQLITE_LOOK: &str = "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON";

/// What each connection to PostgreSQL begins with. A node that vanished within a transaction does not hold its locks
/// for ever.
const POSTGRES_SESSION: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'; \
     SET client_min_messages = warning";

/// The advisory lock under which one node at a time looks at the schema: the letters of "trunklin".
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"trunklin");

/// What a path may have as it is in a URL.
const PATH_KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Neither a `sqlite://` nor a `postgres://` URL.
    Url,
    /// The database file or its folder cannot be made.
    Folder(PathBuf, io::Error),
    /// There is no such file, and nobody asked for one to be made.
    Missing(PathBuf),
    /// The database was written by an earlier version of this program, and is only to be looked at.
    OlderSchema {
        /// Its schema.
        found: i64,
        /// The one this program knows.
        known: usize,
    },
    /// The database was written by a later version of this program.
    NewerSchema {
        /// Its schema.
        found: i64,
        /// The last one this program knows.
        known: usize,
    },
    /// SQLite cannot open the file, or it is not a database; PostgreSQL cannot be reached, or does not let us in.
    Database(sqlx::Error),
    /// What is in the database cannot be read.
    Content(super::StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "the store's url is neither sqlite://PATH nor postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            ),
            Self::Folder(path, error) => write!(
                f,
                "the store's file {} cannot be made: {error}",
                path.display()
            ),
            Self::Missing(path) => write!(
                f,
                "the store's file {} is not there: check --config, and its [store] url or [node] data_dir; \
                 `trunkline serve` makes a store that is missing",
                path.display()
            ),
            Self::OlderSchema { found, known } => write!(
                f,
                "the store has schema {found}, this version needs {known}: `trunkline serve` of this version brings it up \
                 to date, or ask the version that wrote it"
            ),
            Self::NewerSchema { found, known } => write!(
                f,
                "the store has schema {found}, this version knows {known}: run the version that wrote it, or a later one"
            ),
            Self::Database(error) => write!(
                f,
                "the store cannot be opened: {error}; check its url, and that the file may be written or the server runs"
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

/// The URL by which the driver finds the file of ours wherever it is: absolute, for a URL's parser takes the folders
/// of a relative path for a host, and encoded.
fn sqlite_url(url: &str, purpose: Purpose) -> Result<String, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
    let file = options.get_filename();
    match purpose {
        Purpose::Serving => private_file(file)?,
        Purpose::Looking => {}
    }
    let found =
        file.canonicalize()
            .map_err(|error| match error.kind() == io::ErrorKind::NotFound {
                true => OpenError::Missing(file.to_owned()),
                false => OpenError::Folder(file.to_owned(), error),
            })?;
    let path = percent_encode(found.as_os_str().as_encoded_bytes(), PATH_KEPT);
    let parameters = url.find('?').and_then(|at| url.get(at..)).unwrap_or("");
    Ok(format!("sqlite://{path}{parameters}"))
}

/// Sees whether the server lets us in: a pool would try until its time is over and not say why.
async fn first_connection(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let connected = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options));
    match connected.await {
        Ok(connection) => connection?.close().await,
        Err(_too_long) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

impl Store {
    /// Opens the database at a `sqlite://` URL, making file and folder where they are missing, or at a `postgres://`
    /// URL, where it has to exist; makes the tables that are missing in it.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let store = Self::connect(url, Purpose::Serving).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Opens a database that is there, to be looked at: nothing is made, and its schema is this program's or it is
    /// refused. Writes see each other within their transaction, and are undone where others' are made durable.
    pub async fn look(url: &str) -> Result<Self, OpenError> {
        let store = Self::connect(url, Purpose::Looking).await?;
        store.expect_schema().await?;
        Ok(store)
    }

    async fn connect(url: &str, purpose: Purpose) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let (database, url, session) = match url.split_once("://") {
            Some(("sqlite", _)) => {
                let session = match purpose {
                    Purpose::Serving => SQLITE_SESSION,
                    Purpose::Looking => SQLITE_LOOK,
                };
                (Database::Sqlite, sqlite_url(url, purpose)?, session)
            }
            Some(("postgres" | "postgresql", _)) => {
                let options = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
                first_connection(&options).await?;
                let database = Database::Postgres(Box::new(options));
                (database, url.to_owned(), POSTGRES_SESSION)
            }
            Some(_) | None => return Err(OpenError::Url),
        };
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A file does not go away; a server may have.
            .test_before_acquire(match database {
                Database::Sqlite => false,
                Database::Postgres(_) => true,
            })
            .after_connect(move |connection, _| {
                Box::pin(
                    async move { connection.execute(sqlx::raw_sql(session)).await.map(|_| ()) },
                )
            })
            // A statement may hold phone numbers.
            .connect_with(AnyConnectOptions::from_str(&url)?.disable_statement_logging())
            .await?;
        Ok(Self {
            pool,
            database,
            purpose,
        })
    }

    async fn expect_schema(&self) -> Result<(), OpenError> {
        let found = self.schema_found().await?;
        let known = MIGRATIONS.len();
        match usize::try_from(found).map(|found| found.cmp(&known)) {
            Ok(Ordering::Equal) => Ok(()),
            Ok(Ordering::Less) => Err(OpenError::OlderSchema { found, known }),
            Ok(Ordering::Greater) | Err(_) => Err(OpenError::NewerSchema { found, known }),
        }
    }

    /// How many migrations the database has; 0 where it has no table of ours.
    async fn schema_found(&self) -> Result<i64, OpenError> {
        let found = match self.database {
            Database::Sqlite => "PRAGMA user_version",
            Database::Postgres(_) => {
                let exists = "SELECT CAST(COUNT(to_regclass('schema_version')) AS BIGINT)";
                let row = sqlx::query(exists).fetch_one(&self.pool).await?;
                if row.try_get::<i64, _>(0)? == 0 {
                    return Ok(0);
                }
                "SELECT version FROM schema_version"
            }
        };
        Ok(sqlx::query(found).fetch_one(&self.pool).await?.try_get(0)?)
    }

    async fn migrate(&self) -> Result<(), OpenError> {
        let mut transaction = self.begin().await?;
        let found = self.schema_version(&mut transaction).await?;
        let newer = || OpenError::NewerSchema {
            found,
            known: MIGRATIONS.len(),
        };
        let done = usize::try_from(found).map_err(|_| newer())?;
        for migration in MIGRATIONS.get(done..).ok_or_else(newer)? {
            transaction.execute(sqlx::raw_sql(*migration)).await?;
        }
        let known = MIGRATIONS.len() as i64;
        sqlx::query("UPDATE schema_version SET version = $1")
            .bind(known)
            .execute(&mut *transaction)
            .await?;
        match self.database {
            Database::Sqlite => {
                // Versions that do not know the table refuse the file by this. A number of ours: pragmas take no
                // parameters.
                let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}"));
                transaction.execute(sqlx::raw_sql(version)).await?;
            }
            Database::Postgres(_) => {}
        }
        transaction.commit().await?;
        Ok(())
    }

    /// How many migrations the database has; no other node looks or changes it while the transaction lasts.
    async fn schema_version(
        &self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<i64, OpenError> {
        let before_the_table: i64 = match self.database {
            Database::Sqlite => sqlx::query("PRAGMA user_version")
                .fetch_one(&mut **transaction)
                .await?
                .try_get(0)?,
            Database::Postgres(_) => {
                sqlx::query("SELECT pg_advisory_xact_lock($1)")
                    .bind(MIGRATION_LOCK)
                    .execute(&mut **transaction)
                    .await?;
                0
            }
        };
        let table = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
        transaction.execute(sqlx::raw_sql(table)).await?;
        sqlx::query(
            "INSERT INTO schema_version (version) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM schema_version)",
        )
        .bind(before_the_table)
        .execute(&mut **transaction)
        .await?;
        let row = sqlx::query("SELECT version FROM schema_version")
            .fetch_one(&mut **transaction)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Closes the database; what was answered is on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
