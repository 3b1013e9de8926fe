//! Databases for tests.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

/// Where a test's rows are: a file, or a schema, of its own.
pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres { server: String, schema: String },
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// `None`, told, where there is no server to test with.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(server) = std::env::var("TRUNKLINE_POSTGRES") else {
            let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(
                !in_ci,
                "TRUNKLINE_POSTGRES is not set, and CI leaves nothing out"
            );
            eprintln!("left out: TRUNKLINE_POSTGRES is not set, see tests/postgres");
            return None;
        };
        let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE SCHEMA {schema}")).await;
        Some(Self::Postgres { server, schema })
    }

    /// The URL for a node of this name.
    pub(crate) fn url(&self, node: &str) -> String {
        match self {
            Self::Sqlite(folder) => {
                let folder = folder.path().display();
                format!("sqlite://{folder}/deep/er/../store 1.db")
            }
            Self::Postgres { server, schema } => {
                format!("{server}?options[search_path]={schema}&application_name={node}{schema}")
            }
        }
    }

    /// Ends all connections of a node to the server.
    pub(crate) async fn disconnect(&self, node: &str) {
        if let Self::Postgres { server, schema } = self {
            let end =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name";
            // The server cuts a name to 63 bytes.
            execute(server, format!("{end} = left('{node}{schema}', 63)")).await;
        }
    }
}

async fn execute(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}
