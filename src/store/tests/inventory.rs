//! Groups, and the lives of numbers.

use jiff::SignedDuration;
use uuid::Uuid;

use super::*;

pub(super) fn group(name: &str, items: Vec<GroupItem>) -> GroupRecord {
    GroupRecord {
        id: Uuid::new_v4(),
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
        call_distribution_type: Some("LoadBalancedDistribution".to_owned()),
        items,
        created: now(),
        updated: now(),
    }
}

fn item(voice_connector: VoiceConnectorId, priority: u8) -> GroupItem {
    GroupItem {
        voice_connector,
        priority,
    }
}

pub(super) async fn a_group_survives_a_restart_and_holds_its_connectors(fixture: Fixture) {
    let (one, two) = (fixture.connector(1).await.id, fixture.connector(2).await.id);
    // Not in the order of their ids: the order is kept.
    let first = group("first", vec![item(two, 9), item(one, 1)]);
    let second = group("second", Vec::new());
    for group in [&first, &second] {
        fixture.store.insert_group(group, 10).await.unwrap();
    }
    let fixture = fixture.reopened().await;
    let store = &fixture.store;
    assert_eq!(store.group(ACCOUNT, first.id).await.unwrap(), first);
    let items = store.group_items(first.id).await.unwrap();
    assert_eq!(items.as_ref(), Some(&first.items));
    assert_eq!(store.group_items(Uuid::nil()).await.unwrap(), None);
    let all = store.all_group_items().await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[&first.id], first.items);
    assert_eq!(all[&second.id], []);
    assert!(matches!(
        store.group("999999999999", first.id).await,
        Err(StoreError::UnknownGroup(id)) if id == first.id
    ));
    let page = store.groups(ACCOUNT, None, 1).await.unwrap();
    let rest = store
        .groups(ACCOUNT, page.next.as_deref(), 1)
        .await
        .unwrap();
    let mut names: Vec<_> = [page.rows, rest.rows].concat();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(
        (names, rest.next),
        (vec![first.clone(), second.clone()], None)
    );

    assert!(matches!(
        store.delete_voice_connector(ACCOUNT, one, &[], "none").await,
        Err(StoreError::ConnectorInGroup { name, .. }) if name == "first"
    ));
    assert!(matches!(
        store.delete_group(ACCOUNT, first.id).await,
        Err(StoreError::GroupHasConnectors(2))
    ));
    let later = now() + SignedDuration::from_secs(1);
    let emptied = store
        .update_group(ACCOUNT, first.id, "renamed", None, &[], later)
        .await
        .unwrap();
    let expected = GroupRecord {
        name: "renamed".to_owned(),
        items: Vec::new(),
        updated: later,
        ..first
    };
    assert_eq!(emptied, expected);
    store.delete_group(ACCOUNT, expected.id).await.unwrap();
    store
        .delete_voice_connector(ACCOUNT, one, &[], "none")
        .await
        .unwrap();

    let nobodys = group("third", vec![item(one, 1)]);
    assert!(matches!(
        store.insert_group(&nobodys, 10).await,
        Err(StoreError::UnknownVoiceConnector(id)) if id == one
    ));
    assert!(store.group(ACCOUNT, nobodys.id).await.is_err());
}

pub(super) async fn a_connector_is_deleted_or_put_in_a_group_by_two_writers(fixture: Fixture) {
    let other = fixture.other_node().await;
    let home = group("home", Vec::new());
    fixture.store.insert_group(&home, 10).await.unwrap();
    for letter in 1..20 {
        let id = fixture.connector(letter).await.id;
        let items = [item(id, 1)];
        let (deleted, put) = tokio::join!(
            fixture
                .store
                .delete_voice_connector(ACCOUNT, id, &[], "none"),
            other.update_group(ACCOUNT, home.id, "home", None, &items, now()),
        );
        match (deleted, put) {
            (Ok(()), Err(StoreError::UnknownVoiceConnector(gone))) => assert_eq!(gone, id),
            (Err(StoreError::ConnectorInGroup { .. }), Ok(_)) => {
                fixture
                    .store
                    .update_group(ACCOUNT, home.id, "home", None, &[], now())
                    .await
                    .unwrap();
            }
            (deleted, put) => panic!("{deleted:?} {put:?}"),
        }
    }
}

pub(super) async fn a_number_passes_through_the_deletion_queue(fixture: Fixture) {
    let numbers = [number("+12065550100"), number("+12065550101")];
    fixture.numbers(&numbers).await;
    let store = &fixture.store;
    let changes = [
        (numbers[1], NumberChange::CallingName("Trunk")),
        (number("+12065550199"), NumberChange::Name("nobody's")),
        (numbers[0], NumberChange::Name("desk")),
    ];
    let outcomes = store.change_numbers(ACCOUNT, &changes, now()).await;
    let unknown = || Err(NumberProblem::NotInInventory);
    assert_eq!(outcomes.unwrap().outcome, [Ok(()), unknown(), Ok(())]);
    let outcomes = store.delete_numbers(ACCOUNT, &numbers, now()).await;
    assert_eq!(outcomes.unwrap(), [Ok(()), Ok(())]);
    let outcomes = store.delete_numbers("999999999999", &numbers, now()).await;
    assert_eq!(outcomes.unwrap(), [unknown(), unknown()]);

    let fixture = fixture.reopened().await;
    let store = &fixture.store;
    let of_status = async |status| {
        let filter = NumberFilter {
            status: Some(status),
            ..NumberFilter::default()
        };
        let page = store.phone_numbers(ACCOUNT, &filter, None, 10).await;
        let rows = page.unwrap().rows.into_iter();
        rows.map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(of_status(NumberStatus::InDeletionQueue).await, numbers);
    assert_eq!(of_status(NumberStatus::Unassigned).await, []);
    let before = now() + DELETION_QUEUE - SignedDuration::from_millis(1);
    assert_eq!(store.purge_numbers(before).await.unwrap(), 0);
    let outcomes = store.restore_number(ACCOUNT, numbers[1], before).await;
    assert_eq!(outcomes.unwrap(), [Ok(())]);
    let over = now() + DELETION_QUEUE;
    let outcomes = store.restore_number(ACCOUNT, numbers[0], over).await;
    assert_eq!(outcomes.unwrap(), [unknown()]);
    assert_eq!(store.purge_numbers(over).await.unwrap(), 1);
    assert_eq!(of_status(NumberStatus::InDeletionQueue).await, []);
    assert_eq!(of_status(NumberStatus::Unassigned).await, [numbers[1]]);
    let kept = store.phone_number(ACCOUNT, numbers[1]).await.unwrap();
    assert_eq!(kept.calling_name.as_deref(), Some("Trunk"));
    let taken = store.numbers_taken(numbers[0], numbers[1]).await.unwrap();
    assert_eq!(taken, [numbers[1]]);
}

pub(super) async fn a_number_of_a_group_is_not_its_connectors(fixture: Fixture) {
    let connector = fixture.connector(1).await.id;
    let numbers = [number("+12065550100")];
    fixture.numbers(&numbers).await;
    let home = group("home", vec![item(connector, 1)]);
    let store = &fixture.store;
    store.insert_group(&home, 10).await.unwrap();
    let errors = store
        .associate_numbers(ACCOUNT, connector, &numbers, false, now())
        .await;
    assert_eq!(errors.unwrap().outcome, []);
    let errors = store
        .associate_numbers(ACCOUNT, home.id, &numbers, true, now())
        .await;
    assert_eq!(errors.unwrap().outcome, []);
    let in_service = [NumberInService {
        number: numbers[0],
        holder: NumberHolder::Group(home.id),
        calling_name: None,
    }];
    assert_eq!(store.numbers_in_service().await.unwrap(), in_service);
    let holder = || Holder::from(home.id);
    let kept = store.phone_number(ACCOUNT, numbers[0]).await.unwrap();
    assert_eq!(kept.holder(), Some(holder()));
    let filter = NumberFilter {
        holder: Some(holder()),
        ..NumberFilter::default()
    };
    let page = store.phone_numbers(ACCOUNT, &filter, None, 10).await;
    assert_eq!(page.unwrap().rows, [kept]);
    assert!(matches!(
        store.delete_group(ACCOUNT, home.id).await,
        Err(StoreError::GroupHasNumbers(1))
    ));
    let outcomes = store.delete_numbers(ACCOUNT, &numbers, now()).await;
    assert_eq!(
        outcomes.unwrap(),
        [Err(NumberProblem::Associated(holder()))]
    );
    let changes = [(numbers[0], NumberChange::ProductType("BusinessCalling"))];
    let outcomes = store.change_numbers(ACCOUNT, &changes, now()).await;
    assert_eq!(
        outcomes.unwrap().outcome,
        [Err(NumberProblem::Associated(holder()))]
    );
}

pub(super) async fn a_number_in_service_has_its_own_name_or_its_accounts(fixture: Fixture) {
    let connector = fixture.connector(1).await.id;
    let numbers = ["+12065550100", "+12065550101", "+12065550102"].map(number);
    fixture.numbers(&numbers).await;
    let store = &fixture.store;
    let names = |numbers: Vec<NumberInService>| {
        let names = numbers.into_iter();
        let mut names: Vec<_> = names.map(|one| (one.number, one.calling_name)).collect();
        names.sort_unstable();
        names
    };
    let named = |name: &str| Some(std::sync::Arc::from(name));
    let settings = |name: &str| serde_json::json!({"CallingName": name});
    let put = async |before: Option<&Document>, name: &str| {
        let body = settings(name);
        let put = store.put_number_settings(ACCOUNT, before, &body, now());
        put.await.unwrap().map(names)
    };
    assert_eq!(put(None, "Acme").await, Some(vec![]));
    let own = [(numbers[1], NumberChange::CallingName("Trunk"))];
    let write = store.change_numbers(ACCOUNT, &own, now()).await.unwrap();
    assert_eq!(
        (write.changed, write.in_service),
        (vec![numbers[1]], vec![])
    );
    let to_it = store.associate_numbers(ACCOUNT, connector, &numbers[..2], false, now());
    let acme = vec![(numbers[0], named("Acme")), (numbers[1], named("Trunk"))];
    assert_eq!(names(to_it.await.unwrap().in_service), acme);
    let own = [(numbers[1], NumberChange::CallingName(""))];
    let write = store.change_numbers(ACCOUNT, &own, now()).await.unwrap();
    assert_eq!(names(write.in_service), [(numbers[1], named("Acme"))]);

    let key = Key {
        kind: Store::NUMBER_SETTINGS,
        account: ACCOUNT,
        id: "account",
    };
    let before = store.document(key).await.unwrap();
    let none = vec![(numbers[0], None), (numbers[1], None)];
    assert_eq!(put(before.as_ref(), "").await, Some(none.clone()));
    // Somebody else came first.
    assert_eq!(put(before.as_ref(), "Late").await, None);
    let fixture = fixture.reopened().await;
    let all = fixture.store.numbers_in_service().await.unwrap();
    assert_eq!(names(all), none);
}

pub(super) async fn a_users_number_is_its_alone(fixture: Fixture) {
    let connector = fixture.connector(1).await;
    let numbers = ["+12065550100", "+12065550101", "+12065550102"].map(number);
    fixture.numbers(&numbers).await;
    let store = &fixture.store;
    let now = now();
    let associate = async |user: &str, number| {
        let done = store.associate_user(ACCOUNT, user, number, now).await;
        done.unwrap()
    };
    let user_of = async |number| {
        let record = store.phone_number(ACCOUNT, number).await.unwrap();
        assert_eq!(record.associated.is_some(), record.holder().is_some());
        record.user
    };
    assert_eq!(associate("team/ada", numbers[0]).await, None);
    assert_eq!(associate("team/ada", numbers[0]).await, None);
    let elsewhere = Some(NumberProblem::AssociatedElsewhere);
    assert_eq!(associate("team/bob", numbers[0]).await, elsewhere);
    // Another number takes the place of the first.
    assert_eq!(associate("team/ada", numbers[1]).await, None);
    assert_eq!(user_of(numbers[0]).await, None);
    assert_eq!(user_of(numbers[1]).await.as_deref(), Some("team/ada"));

    // It is held against those who want it for something else.
    let user = || Holder::User("team/ada".to_owned());
    let deleted = store.delete_numbers(ACCOUNT, &numbers[1..2], now).await;
    assert_eq!(deleted.unwrap(), [Err(NumberProblem::Associated(user()))]);
    let force = async |force| {
        let numbers = &numbers[1..2];
        let done = store.associate_numbers(ACCOUNT, connector.id, numbers, force, now);
        done.await.unwrap().outcome.len()
    };
    assert_eq!(force(false).await, 1);
    for (filter, found) in [
        (
            NumberFilter {
                user_id: Some("ada".into()),
                ..NumberFilter::default()
            },
            1,
        ),
        (
            NumberFilter {
                user_id: Some("da".into()),
                ..NumberFilter::default()
            },
            0,
        ),
        (
            NumberFilter {
                user_account: Some("team".into()),
                ..NumberFilter::default()
            },
            1,
        ),
        (
            NumberFilter {
                user_account: Some("tea".into()),
                ..NumberFilter::default()
            },
            0,
        ),
        (
            NumberFilter {
                holder: Some(user()),
                ..NumberFilter::default()
            },
            1,
        ),
        (
            NumberFilter {
                status: Some(NumberStatus::Assigned),
                ..NumberFilter::default()
            },
            1,
        ),
        (
            NumberFilter {
                status: Some(NumberStatus::Unassigned),
                ..NumberFilter::default()
            },
            2,
        ),
    ] {
        let page = store
            .phone_numbers(ACCOUNT, &filter, None, 10)
            .await
            .unwrap();
        assert_eq!(page.rows.len(), found, "{filter:?}");
    }
    assert_eq!(force(true).await, 0);
    assert_eq!(user_of(numbers[1]).await, None);
    assert_eq!(associate("team/ada", numbers[1]).await, elsewhere);

    associate("team/ada", numbers[2]).await;
    let done = store.disassociate_user(ACCOUNT, "team/ada", now).await;
    done.unwrap();
    assert_eq!(user_of(numbers[2]).await, None);
    let done = store.disassociate_user(ACCOUNT, "team/ada", now).await;
    done.unwrap();
}

pub(super) async fn proxy_sessions_are_found_by_whom_they_join(fixture: Fixture) {
    let id = fixture.connector(1).await.id;
    let store = &fixture.store;
    let pair = [number("+14255550123"), number("+13605550145")];
    let put = async |name: &str, others: [&str; 2], more: serde_json::Value| {
        let participant =
            |own: &str| serde_json::json!({"PhoneNumber": own, "ProxyPhoneNumber": "+12065550100"});
        let mut body = serde_json::json!({"Participants": others.map(participant)});
        let members = body.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let key = Key {
            kind: Store::PROXY_SESSION,
            account: ACCOUNT,
            id: name,
        };
        let put = store.put_proxy_session(key, id, &body, now());
        SessionRecord::of(&put.await.unwrap()).unwrap()
    };
    let minute = serde_json::json!({"ExpiryMinutes": 1, "Capabilities": ["SMS"]});
    let first = put("a", ["+14255550123", "+13605550145"], minute).await;
    let used = serde_json::json!({"Used": true, "Capabilities": ["Voice"]});
    let second = put("b", ["+13605550145", "+14255550123"], used).await;
    // The pair's numbers are the proxies here.
    let other = put("c", ["+12065550177", "+14255550123"], serde_json::json!({})).await;
    let end = now() + SignedDuration::from_mins(1);
    assert_eq!(
        (first.ends, first.voice, first.sms),
        (Some(end), false, true)
    );
    assert_eq!(
        first.status(end - SignedDuration::from_millis(1)),
        SessionStatus::Open
    );
    assert_eq!(first.status(end), SessionStatus::Closed);
    assert_eq!((second.ends, second.voice, second.sms), (None, true, false));
    assert_eq!(second.status(end), SessionStatus::InProgress);

    let fixture = fixture.reopened().await;
    let store = &fixture.store;
    let all = store.proxy_sessions().await.unwrap();
    assert_eq!(all, [first.clone(), second.clone(), other]);
    let between = store.proxy_sessions_between(ACCOUNT, id.as_str(), pair);
    assert_eq!(between.await.unwrap(), [first.clone(), second]);
    let of_another = store.proxy_sessions_between("999999999999", id.as_str(), pair);
    assert_eq!(of_another.await.unwrap(), []);
    let found = store.proxy_session(ACCOUNT, "a").await.unwrap();
    assert_eq!(found, Some(first));
    assert_eq!(store.proxy_session(ACCOUNT, "d").await.unwrap(), None);
    let nobody = VoiceConnectorId::from_random([9; VoiceConnectorId::LENGTH]);
    let key = Key {
        kind: Store::PROXY_SESSION,
        account: ACCOUNT,
        id: "e",
    };
    let body = serde_json::json!({});
    let late = store.put_proxy_session(key, nobody, &body, now());
    assert!(matches!(
        late.await,
        Err(StoreError::UnknownVoiceConnector(_))
    ));
}

pub(super) async fn what_goes_with_a_connector_goes_with_it_or_holds_it(fixture: Fixture) {
    let id = fixture.connector(1).await.id;
    let store = &fixture.store;
    let key = |kind| Key {
        kind,
        account: ACCOUNT,
        id: id.as_str(),
    };
    let body = serde_json::json!({"a": 1});
    for kind in ["holding", "other"] {
        let put = store.put_of_connector(key(kind), id, &body, now());
        put.await.unwrap();
    }
    let delete = || store.delete_voice_connector(ACCOUNT, id, &["holding", "other"], "holding");
    assert!(matches!(
        delete().await,
        Err(StoreError::Configured("holding"))
    ));
    assert!(store.document(key("other")).await.unwrap().is_some());
    store.delete_document(key("holding")).await.unwrap();
    delete().await.unwrap();
    assert_eq!(store.document(key("other")).await.unwrap(), None);
    let late = store.put_of_connector(key("holding"), id, &body, now());
    assert!(matches!(
        late.await,
        Err(StoreError::UnknownVoiceConnector(_))
    ));
}
