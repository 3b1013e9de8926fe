//! A store that is opened to be looked at.

use super::*;

pub(super) async fn what_is_only_looked_at_stays_as_it_is(fixture: Fixture) {
    let id = fixture.connector(1).await.id;
    let look = Store::look(&fixture.place.url("look")).await.unwrap();
    let found = look.voice_connector(ACCOUNT, id).await.unwrap();
    let name = found.name.clone();
    let within = look
        .update_voice_connector(ACCOUNT, id, "renamed", false, now())
        .await;
    // Who writes sees it, and nobody else, then or later.
    assert_eq!(within.unwrap().record.name, "renamed");
    for store in [&look, &fixture.store] {
        let after = store.voice_connector(ACCOUNT, id).await.unwrap();
        assert_eq!(after.name, name);
    }
    // It holds nobody up.
    let written = fixture
        .store
        .update_voice_connector(ACCOUNT, id, "written", false, now());
    written.await.unwrap();
    let seen = look.voice_connector(ACCOUNT, id).await.unwrap();
    assert_eq!(seen.name, "written");
    look.close().await;
}

pub(super) async fn a_schema_of_the_past_is_not_looked_at(fixture: Fixture) {
    let before = "UPDATE schema_version SET version = 5";
    fixture.execute(before).await;
    if let Place::Sqlite(_) = fixture.place {
        fixture.execute("PRAGMA user_version = 5").await;
    }
    let refused = Store::look(&fixture.place.url("look")).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::OlderSchema { found: 5, .. }),
        "{refused:?}"
    );
    fixture.execute("DROP TABLE schema_version").await;
    if let Place::Sqlite(_) = fixture.place {
        fixture.execute("PRAGMA user_version = 0").await;
    }
    let refused = Store::look(&fixture.place.url("look")).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::OlderSchema { found: 0, .. }),
        "{refused:?}"
    );
}

impl Fixture {
    async fn execute(&self, statement: &'static str) {
        let statement = sqlx::raw_sql(statement);
        self.store.pool.execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_not_made_by_a_look() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/trunkline.db");
    let url = format!("sqlite://{}", file.display());
    let refused = Store::look(&url).await.unwrap_err();
    assert!(
        matches!(&refused, OpenError::Missing(path) if *path == file),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
