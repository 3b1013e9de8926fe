//! What is answered is kept, in a store that is opened again.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor, Row};

use self::inventory::*;
use self::looking::*;
use self::place::Place;
use self::spending::*;
use super::*;
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::shard::snapshot::NumberHolder;

const ACCOUNT: &str = "111122223333";

/// Each of these runs on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Fixture::at(super::Place::sqlite()).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(place) = super::Place::postgres().await {
                    super::$name(super::Fixture::at(place).await).await;
                }
            })*
        }
    };
}

mod inventory;
mod looking;
pub(crate) mod place;
mod spending;
mod writers;

on_both! {
    a_connector_and_its_configurations_survive_a_restart
    an_account_sees_its_own_alone
    pages_are_stable_when_rows_are_added
    a_number_is_acquired_once_and_associated_as_asked
    no_more_than_ten_credentials
    health_is_the_last_options
    the_ids_of_an_account_s_connectors_are_its_own
    documents_are_kept_by_kind_account_and_id
    a_schema_of_the_future_is_refused
    nodes_that_start_at_once_make_one_schema
    what_is_only_looked_at_stays_as_it_is
    a_schema_of_the_past_is_not_looked_at
    a_group_survives_a_restart_and_holds_its_connectors
    a_connector_is_deleted_or_put_in_a_group_by_two_writers
    a_number_passes_through_the_deletion_queue
    a_number_of_a_group_is_not_its_connectors
    a_number_in_service_has_its_own_name_or_its_accounts
    a_users_number_is_its_alone
    proxy_sessions_are_found_by_whom_they_join
    what_goes_with_a_connector_goes_with_it_or_holds_it
    spent_calls_survive_a_restart_until_the_hour_is_over
    nodes_add_up_what_is_spent
    what_could_not_be_written_is_written_later
}

struct Fixture {
    place: Place,
    store: Store,
}

impl Fixture {
    async fn at(place: Place) -> Self {
        let store = Store::open(&place.url("one")).await.unwrap();
        Self { place, store }
    }

    async fn reopened(self) -> Self {
        self.store.close().await;
        Self::at(self.place).await
    }

    /// The store as another node opens it.
    async fn other_node(&self) -> Store {
        Store::open(&self.place.url("other")).await.unwrap()
    }

    async fn connector(&self, letter: u8) -> VoiceConnectorRecord {
        let id = VoiceConnectorId::from_random([letter; VoiceConnectorId::LENGTH]);
        let new = NewVoiceConnector {
            account: ACCOUNT.to_owned(),
            name: format!("connector {letter}"),
            aws_region: "us-east-1".to_owned(),
            require_encryption: false,
            network_type: "IPV4_ONLY".to_owned(),
            integration_type: None,
        };
        let host = format!("{id}.voiceconnector.localhost");
        self.store
            .insert_voice_connector(id, new, host, None, now())
            .await
            .unwrap()
            .record
    }

    async fn numbers(&self, numbers: &[E164]) -> OrderRecord {
        let order = format!("order of {} numbers", numbers.len());
        self.store
            .order_numbers(order, ACCOUNT, "VoiceConnector", None, numbers, now())
            .await
            .unwrap()
    }
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_123).unwrap()
}

fn in_service(number: E164, connector: VoiceConnectorId) -> NumberInService {
    NumberInService {
        number,
        holder: NumberHolder::Connector(connector),
        calling_name: None,
    }
}

fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

fn termination() -> TerminationRecord {
    TerminationRecord {
        cps_limit: 7,
        default_phone_number: Some("+12065550100".to_owned()),
        calling_regions: vec!["US".to_owned()],
        cidr_allowed_list: vec![
            "192.0.2.0/28".parse().unwrap(),
            "2001:db8::/64".parse().unwrap(),
        ],
        disabled: true,
    }
}

async fn a_connector_and_its_configurations_survive_a_restart(fixture: Fixture) {
    let connector = fixture.connector(1).await;
    let (store, wanted) = (&fixture.store, termination());
    let put = store.set_termination(ACCOUNT, connector.id, Some(&wanted), now());
    assert!(matches!(put.await, Err(StoreError::DefaultPhoneNumber)));
    let numbers = [number("+12065550100")];
    fixture.numbers(&numbers).await;
    let put = store.set_termination(ACCOUNT, connector.id, Some(&wanted), now());
    assert!(matches!(put.await, Err(StoreError::DefaultPhoneNumber)));
    // A group's is its connectors'.
    let items = vec![GroupItem {
        voice_connector: connector.id,
        priority: 1,
    }];
    let home = group("home", items);
    store.insert_group(&home, 10).await.unwrap();
    store
        .associate_numbers(ACCOUNT, home.id, &numbers, false, now())
        .await
        .unwrap();
    fixture
        .store
        .set_termination(ACCOUNT, connector.id, Some(&termination()), now())
        .await
        .unwrap();
    let fixture = fixture.reopened().await;
    assert_eq!(
        fixture
            .store
            .voice_connector(ACCOUNT, connector.id)
            .await
            .unwrap(),
        connector
    );
    assert_eq!(
        fixture
            .store
            .termination(ACCOUNT, connector.id)
            .await
            .unwrap(),
        termination()
    );
    let unset = fixture.store.origination(ACCOUNT, connector.id).await;
    assert!(matches!(
        unset,
        Err(StoreError::NotConfigured("origination"))
    ));
}

async fn an_account_sees_its_own_alone(fixture: Fixture) {
    let connector = fixture.connector(1).await;
    let other = "444455556666";
    assert!(matches!(
        fixture.store.voice_connector(other, connector.id).await,
        Err(StoreError::UnknownVoiceConnector(_))
    ));
    let put = fixture
        .store
        .set_termination(other, connector.id, Some(&termination()), now())
        .await;
    assert!(matches!(put, Err(StoreError::UnknownVoiceConnector(_))));
    assert!(matches!(
        fixture
            .store
            .delete_voice_connector(other, connector.id, &[], "none")
            .await,
        Err(StoreError::UnknownVoiceConnector(_))
    ));
    fixture.numbers(&[number("+12065550100")]).await;
    assert!(matches!(
        fixture
            .store
            .phone_number(other, number("+12065550100"))
            .await,
        Err(StoreError::UnknownNumber(_))
    ));
}

async fn pages_are_stable_when_rows_are_added(fixture: Fixture) {
    for letter in [1, 3, 5] {
        fixture.connector(letter).await;
    }
    let first = fixture
        .store
        .voice_connectors(ACCOUNT, None, 2)
        .await
        .unwrap();
    assert_eq!(first.rows.len(), 2);
    fixture.connector(6).await;
    let second = fixture
        .store
        .voice_connectors(ACCOUNT, first.next.as_deref(), 2)
        .await
        .unwrap();
    let names: Vec<String> = first
        .rows
        .into_iter()
        .chain(second.rows)
        .map(|row| row.name)
        .collect();
    assert_eq!(
        names,
        ["connector 1", "connector 3", "connector 5", "connector 6"]
    );
    assert_eq!(second.next, None);
    assert!(matches!(
        fixture
            .store
            .voice_connectors(ACCOUNT, Some("nonsense"), 2)
            .await,
        Err(StoreError::InvalidToken)
    ));
}

async fn a_number_is_acquired_once_and_associated_as_asked(fixture: Fixture) {
    let (one, two) = (fixture.connector(1).await.id, fixture.connector(2).await.id);
    let numbers = [number("+12065550100"), number("+12065550101")];
    assert!(
        fixture
            .numbers(&numbers[..1])
            .await
            .numbers
            .iter()
            .all(|ordered| ordered.acquired)
    );
    let acquired: Vec<bool> = fixture
        .numbers(&numbers)
        .await
        .numbers
        .iter()
        .map(|ordered| ordered.acquired)
        .collect();
    assert_eq!(acquired, [false, true]);

    let store = &fixture.store;
    assert_eq!(
        store
            .associate_numbers(ACCOUNT, one, &numbers, false, now())
            .await
            .unwrap()
            .outcome,
        []
    );
    let refused = store
        .associate_numbers(ACCOUNT, two, &numbers, false, now())
        .await
        .unwrap()
        .outcome;
    assert!(
        refused
            .iter()
            .all(|error| error.problem == NumberProblem::AssociatedElsewhere)
            && refused.len() == 2
    );
    assert_eq!(
        store
            .associate_numbers(ACCOUNT, two, &numbers[..1], true, now())
            .await
            .unwrap(),
        NumberWrite {
            outcome: vec![],
            changed: vec![numbers[0]],
            in_service: vec![in_service(numbers[0], two)],
        }
    );
    assert_eq!(
        store
            .phone_number(ACCOUNT, numbers[0])
            .await
            .unwrap()
            .voice_connector,
        Some(two)
    );
    let unknown = store
        .associate_numbers(ACCOUNT, two, &[number("+12065550199")], true, now())
        .await
        .unwrap();
    assert_eq!((unknown.changed, unknown.in_service), (vec![], vec![]));
    assert_eq!(unknown.outcome[0].problem, NumberProblem::NotInInventory);

    assert!(matches!(
        store
            .delete_voice_connector(ACCOUNT, one, &[], "none")
            .await,
        Err(StoreError::NumbersAssociated(1))
    ));
    let refused = store
        .disassociate_numbers(ACCOUNT, one, &numbers, now())
        .await
        .unwrap();
    assert_eq!(refused.in_service, []);
    assert_eq!(
        refused.outcome,
        [NumberError {
            number: numbers[0],
            problem: NumberProblem::NotAssociated
        }]
    );
    store
        .delete_voice_connector(ACCOUNT, one, &[], "none")
        .await
        .unwrap();
    let expected = [in_service(numbers[0], two)];
    assert_eq!(store.numbers_in_service().await.unwrap(), expected);
    let among = store.numbers_in_service_among(&numbers).await.unwrap();
    assert_eq!(among, expected);
    let of_account = store.numbers_in_service_of(ACCOUNT).await.unwrap();
    assert_eq!(of_account, expected);
    assert_eq!(store.numbers_in_service_of("1").await.unwrap(), []);
    let filter = NumberFilter {
        status: Some(NumberStatus::Unassigned),
        ..NumberFilter::default()
    };
    let free = store
        .phone_numbers(ACCOUNT, &filter, None, 10)
        .await
        .unwrap();
    assert_eq!(
        free.rows.iter().map(|row| row.number).collect::<Vec<_>>(),
        [numbers[1]]
    );
    assert_eq!(
        store.numbers_taken(numbers[0], numbers[1]).await.unwrap(),
        numbers
    );
}

async fn no_more_than_ten_credentials(fixture: Fixture) {
    let id = fixture.connector(1).await.id;
    let credential = |name: usize| crate::shard::snapshot::Credential {
        username: format!("user{name:02}"),
        ha1_md5: "0".repeat(32),
        ha1_sha256: "0".repeat(64),
    };
    let eleven: Vec<_> = (0..11).map(credential).collect();
    let store = &fixture.store;
    assert!(matches!(
        store.put_credentials(ACCOUNT, id, &eleven, 10).await,
        Err(StoreError::TooManyCredentials { most: 10 })
    ));
    assert_eq!(
        store.credential_usernames(ACCOUNT, id).await.unwrap(),
        Vec::<String>::new()
    );
    store
        .put_credentials(ACCOUNT, id, &eleven[..10], 10)
        .await
        .unwrap();
    store
        .put_credentials(ACCOUNT, id, &eleven[..1], 10)
        .await
        .unwrap();
    assert_eq!(
        store.credential_usernames(ACCOUNT, id).await.unwrap().len(),
        10
    );
    store
        .delete_credentials(ACCOUNT, id, &["user00".to_owned(), "nobody".to_owned()])
        .await
        .unwrap();
    assert_eq!(
        store.whole_connector(id).await.unwrap().credentials.len(),
        9
    );
}

async fn the_ids_of_an_account_s_connectors_are_its_own(fixture: Fixture) {
    let (one, two) = (fixture.connector(1).await.id, fixture.connector(2).await.id);
    let ids = fixture.store.voice_connector_ids(ACCOUNT).await.unwrap();
    assert_eq!(ids, [one, two].into());
    let ids = fixture.store.voice_connector_ids("999999999999").await;
    assert_eq!(ids.unwrap(), [].into());
}

async fn health_is_the_last_options(fixture: Fixture) {
    let id = fixture.connector(1).await.id;
    assert_eq!(
        fixture.store.termination_health(ACCOUNT, id).await.unwrap(),
        None
    );
    for source in ["192.0.2.1", "2001:db8::1"] {
        fixture
            .store
            .record_options(id, source.parse().unwrap(), now())
            .await
            .unwrap();
    }
    let expected = HealthRecord {
        source: "2001:db8::1".parse().unwrap(),
        at: now(),
    };
    assert_eq!(
        fixture.store.termination_health(ACCOUNT, id).await.unwrap(),
        Some(expected)
    );
}

async fn a_schema_of_the_future_is_refused(fixture: Fixture) {
    sqlx::query("UPDATE schema_version SET version = 99")
        .execute(&fixture.store.pool)
        .await
        .unwrap();
    fixture.store.close().await;
    let refused = Store::open(&fixture.place.url("other")).await;
    assert!(
        matches!(
            refused,
            Err(OpenError::NewerSchema {
                found: 99,
                known: 6
            })
        ),
        "{refused:?}"
    );
}

async fn nodes_that_start_at_once_make_one_schema(fixture: Fixture) {
    let emptied = "DROP TABLE document; DROP TABLE spending; DROP TABLE phone_number; DROP TABLE phone_number_order; DROP TABLE termination_health; \
         DROP TABLE voice_connector_group_item; DROP TABLE voice_connector_group; DROP TABLE termination_credential; \
         DROP TABLE voice_connector; DROP TABLE schema_version; ";
    fixture
        .store
        .pool
        .execute(sqlx::raw_sql(emptied))
        .await
        .unwrap();
    if let Place::Sqlite(_) = fixture.place {
        let unversioned = sqlx::raw_sql("PRAGMA user_version = 0");
        fixture.store.pool.execute(unversioned).await.unwrap();
    }
    let opened = (0..4).map(|_| {
        let url = fixture.place.url("other");
        tokio::spawn(async move { Store::open(&url).await })
    });
    for store in opened.collect::<Vec<_>>() {
        store.await.unwrap().unwrap();
    }
    fixture.connector(1).await;
}

async fn documents_are_kept_by_kind_account_and_id(fixture: Fixture) {
    let key = |kind, id| Key {
        kind,
        account: ACCOUNT,
        id,
    };
    let body = |number: u32| serde_json::json!({"Number": number});
    for (number, id) in ["b", "a", "c"].into_iter().enumerate() {
        let at = now() + std::time::Duration::from_millis(number as u64);
        let key = key("rule", id);
        fixture
            .store
            .put_document(key, "", &body(1), at)
            .await
            .unwrap();
    }
    let other = key("group", "a");
    fixture
        .store
        .put_document(other, "p", &body(2), now())
        .await
        .unwrap();
    let fixture = fixture.reopened().await;
    let store = &fixture.store;

    let of_account = ("rule", ACCOUNT, "");
    let first = store.documents(of_account, None, 2).await.unwrap();
    let ids = |page: &Page<Document>| -> Vec<String> {
        page.rows.iter().map(|one| one.id.clone()).collect()
    };
    assert_eq!(ids(&first), ["b", "a"]);
    let rest = store
        .documents(of_account, first.next.as_deref(), 2)
        .await
        .unwrap();
    assert_eq!((ids(&rest), rest.next), (vec!["c".to_owned()], None));
    let bad = store.documents(of_account, Some("x"), 2).await;
    assert!(matches!(bad, Err(StoreError::InvalidToken)));

    let before = store.document(key("rule", "a")).await.unwrap().unwrap();
    assert!(
        store
            .replace_document(key("rule", "a"), &before, &body(3), now())
            .await
            .unwrap()
    );
    let late = body(4);
    let late = store.replace_document(key("rule", "a"), &before, &late, now());
    assert!(!late.await.unwrap(), "somebody else came first");
    let after = store.document(key("rule", "a")).await.unwrap().unwrap();
    assert_eq!((after.body, after.created), (body(3), before.created));
    assert_eq!(
        store
            .document(key("group", "a"))
            .await
            .unwrap()
            .unwrap()
            .body,
        body(2)
    );

    assert!(store.delete_document(key("rule", "a")).await.unwrap());
    assert!(!store.delete_document(key("rule", "a")).await.unwrap());
    store
        .delete_documents_of(&["rule", "group"], ACCOUNT, "p")
        .await
        .unwrap();
    assert_eq!(store.document(key("group", "a")).await.unwrap(), None);
    assert!(store.document(key("rule", "b")).await.unwrap().is_some());
}

/// The first versions had SQLite alone, a `user_version` and BOOLEAN.
#[tokio::test]
async fn a_database_of_the_first_schema_opens_with_all_it_had() {
    let place = Place::sqlite();
    let Place::Sqlite(folder) = &place else {
        unreachable!()
    };
    let file = folder.path().join("deep/store 1.db");
    std::fs::create_dir_all(folder.path().join("deep/er")).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let schema = include_str!("migrations/1.sql");
    old.execute(sqlx::raw_sql(schema)).await.unwrap();
    let rows = "PRAGMA user_version = 1; INSERT INTO voice_connector VALUES \
         ('abcdefghij0123456789ab', '111122223333', 'old', 'us-east-1', 'old.example.com', 1, 'IPV4_ONLY', NULL, NULL, NULL, 5, 6), \
         ('bbcdefghij0123456789ab', '111122223333', 'plain', 'us-east-1', 'plain.example.com', 0, 'IPV4_ONLY', NULL, NULL, NULL, 7, 8)";
    old.execute(sqlx::raw_sql(rows)).await.unwrap();
    old.close().await.unwrap();

    let fixture = Fixture::at(place).await;
    let page = fixture
        .store
        .voice_connectors(ACCOUNT, None, 10)
        .await
        .unwrap();
    let found: Vec<_> = page
        .rows
        .iter()
        .map(|row| (row.name.as_str(), row.require_encryption))
        .collect();
    assert_eq!(found, [("old", true), ("plain", false)]);
}

/// Users' numbers were documents once.
#[tokio::test]
async fn a_database_of_the_fourth_schema_keeps_its_users_numbers() {
    let place = Place::sqlite();
    let Place::Sqlite(folder) = &place else {
        unreachable!()
    };
    std::fs::create_dir_all(folder.path().join("deep/er")).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("deep/store 1.db"))
        .create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let schema = [
        include_str!("migrations/1.sql"),
        include_str!("migrations/2.sql"),
        include_str!("migrations/3.sql"),
        include_str!("migrations/4.sql"),
        "CREATE TABLE schema_version (version BIGINT NOT NULL)",
        "INSERT INTO schema_version VALUES (4)",
        "INSERT INTO phone_number_order VALUES ('o', '111122223333', 'VoiceConnector', '[]', 1)",
    ];
    for statements in schema {
        old.execute(sqlx::raw_sql(statements)).await.unwrap();
    }
    for last in [0, 1] {
        let rows = format!(
            "INSERT INTO phone_number (number, account, product_type, number_order, created, updated) \
             VALUES (1206555010{last}, '111122223333', 'VoiceConnector', 'o', 1, 2)"
        );
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(rows));
        old.execute(rows).await.unwrap();
    }
    let document = r#"INSERT INTO document VALUES ('user-phone-number', '111122223333', 'team/ada', '',
        '{"E164PhoneNumber":"+12065550100"}', 1, 1)"#;
    old.execute(sqlx::raw_sql(document)).await.unwrap();
    old.close().await.unwrap();

    let fixture = Fixture::at(place).await;
    let user = async |text| {
        let record = fixture.store.phone_number(ACCOUNT, number(text)).await;
        record.unwrap().user
    };
    assert_eq!(user("+12065550100").await.as_deref(), Some("team/ada"));
    assert_eq!(user("+12065550101").await, None);
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_safe_from_a_loss_of_power() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::at(Place::sqlite()).await;
    let Place::Sqlite(folder) = &fixture.place else {
        unreachable!()
    };
    let file = std::fs::metadata(folder.path().join("deep/store 1.db")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    for (pragma, expected) in [
        ("foreign_keys", 1),
        ("synchronous", 2),
        ("busy_timeout", 10_000),
    ] {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}")))
            .fetch_one(&fixture.store.pool)
            .await
            .unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), expected, "{pragma}");
    }
    let row = sqlx::query("PRAGMA journal_mode")
        .fetch_one(&fixture.store.pool)
        .await
        .unwrap();
    assert_eq!(row.try_get::<String, _>(0).unwrap(), "wal");
}

#[tokio::test]
async fn an_url_that_cannot_be_opened_is_refused_without_its_password() {
    for url in [
        "mysql://me:hush@127.0.0.1/x",
        "postgres://me:hush@127.0.0.1:port/x",
        "postgres://me:hush@127.0.0.1:1/x",
    ] {
        let refused = Store::open(url).await.unwrap_err();
        let shown = format!("{refused} {refused:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn a_text_that_postgresql_does_not_keep_is_no_fault_of_the_database() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let fixture = Fixture::at(place).await;
    let id = fixture.connector(1).await.id;
    let store = &fixture.store;
    let put = store.update_voice_connector(ACCOUNT, id, "a\0b", false, now());
    assert!(matches!(put.await, Err(StoreError::NulInText)));
    let page = store.voice_connectors(ACCOUNT, Some("1-\0"), 1);
    assert!(matches!(page.await, Err(StoreError::NulInText)));
    assert!(matches!(
        store.order(ACCOUNT, "\0").await,
        Err(StoreError::NulInText)
    ));
}
