//! Two nodes write the same rows at once, on both databases: what comes of it is what one order of the two makes.

use super::*;
use crate::shard::snapshot::Credential;

/// How often two writers meet.
const MEETINGS: u8 = 12;

on_both! {
    of_two_orders_one_acquires_a_number
    a_number_is_associated_with_one_connector
    numbers_locked_in_any_order_are_no_deadlock
    credentials_stay_within_the_limit
    a_connector_is_not_deleted_under_its_numbers
    of_two_deletions_one_finds_nothing
}

/// The number behind the last digits.
fn numbered(last: u64) -> E164 {
    E164::from_digits(12_065_550_000 + last).unwrap()
}

/// The connector that the number is associated with.
async fn holder_of(store: &Store, number: E164) -> Option<VoiceConnectorId> {
    let held = store.numbers_in_service_among(&[number]).await.unwrap();
    held.first().and_then(connector_of)
}

fn connector_of(number: &NumberInService) -> Option<VoiceConnectorId> {
    match number.holder {
        NumberHolder::Connector(id) => Some(id),
        NumberHolder::Group(_) => None,
    }
}

async fn of_two_orders_one_acquires_a_number(fixture: Fixture) {
    let other = fixture.other_node().await;
    for meeting in 0..MEETINGS {
        let ascending: Vec<E164> = (0..20)
            .map(|last| numbered(u64::from(meeting) * 20 + last))
            .collect();
        let descending: Vec<E164> = ascending.iter().rev().copied().collect();
        let order = |store: &Store, whose: &str, numbers: Vec<E164>| {
            let (store, id) = (store.clone(), format!("{whose} {meeting}"));
            tokio::spawn(async move {
                store
                    .order_numbers(id, ACCOUNT, "VoiceConnector", None, &numbers, now())
                    .await
            })
        };
        let one = order(&fixture.store, "one", ascending);
        let two = order(&other, "two", descending);
        let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
        for (first, second) in one.numbers.iter().zip(two.numbers.iter().rev()) {
            assert_eq!(
                first.number, second.number,
                "answers are in the order of the request"
            );
            assert!(first.acquired != second.acquired, "{first:?} {second:?}");
        }
        assert_eq!(fixture.store.order(ACCOUNT, &one.id).await.unwrap(), one);
    }
}

async fn a_number_is_associated_with_one_connector(fixture: Fixture) {
    let other = fixture.other_node().await;
    let (one, two) = (fixture.connector(1).await.id, fixture.connector(2).await.id);
    for meeting in 0..MEETINGS {
        let numbers = [numbered(u64::from(meeting))];
        fixture
            .store
            .order_numbers(
                format!("{meeting}"),
                ACCOUNT,
                "VoiceConnector",
                None,
                &numbers,
                now(),
            )
            .await
            .unwrap();
        let associate = |store: &Store, connector| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .associate_numbers(ACCOUNT, connector, &numbers, false, now())
                    .await
            })
        };
        let (to_one, to_two) = (associate(&fixture.store, one), associate(&other, two));
        let (to_one, to_two) = (
            to_one.await.unwrap().unwrap().outcome,
            to_two.await.unwrap().unwrap().outcome,
        );
        assert_eq!(to_one.len() + to_two.len(), 1, "{to_one:?} {to_two:?}");
        let holder = if to_one.is_empty() { one } else { two };
        let held = holder_of(&fixture.store, numbers[0]).await;
        assert_eq!(held, Some(holder));
        for error in to_one.iter().chain(&to_two) {
            assert_eq!(error.problem, NumberProblem::AssociatedElsewhere);
        }
    }
}

async fn numbers_locked_in_any_order_are_no_deadlock(fixture: Fixture) {
    let other = fixture.other_node().await;
    let (one, two) = (fixture.connector(1).await.id, fixture.connector(2).await.id);
    let ascending: Vec<E164> = (0..40).map(numbered).collect();
    let descending: Vec<E164> = ascending.iter().rev().copied().collect();
    fixture.numbers(&ascending).await;
    for _ in 0..MEETINGS {
        let associate = |store: &Store, connector, numbers: &[E164]| {
            let (store, numbers) = (store.clone(), numbers.to_vec());
            tokio::spawn(async move {
                store
                    .associate_numbers(ACCOUNT, connector, &numbers, true, now())
                    .await
            })
        };
        let to_one = associate(&fixture.store, one, &ascending);
        let to_two = associate(&other, two, &descending);
        assert_eq!(to_one.await.unwrap().unwrap().outcome, []);
        assert_eq!(to_two.await.unwrap().unwrap().outcome, []);
        let holders: std::collections::HashSet<_> = fixture
            .store
            .numbers_in_service()
            .await
            .unwrap()
            .iter()
            .map(connector_of)
            .collect();
        assert_eq!(
            holders.len(),
            1,
            "one of the two came last, with all its numbers"
        );
    }
}

async fn credentials_stay_within_the_limit(fixture: Fixture) {
    let other = fixture.other_node().await;
    for letter in 0..MEETINGS {
        let id = fixture.connector(letter).await.id;
        let put = |store: &Store, whose: &'static str| {
            let store = store.clone();
            tokio::spawn(async move {
                let credential = |number: usize| Credential {
                    username: format!("{whose}{number}"),
                    ha1_md5: "0".repeat(32),
                    ha1_sha256: "0".repeat(64),
                };
                let six: Vec<Credential> = (0..6).map(credential).collect();
                store.put_credentials(ACCOUNT, id, &six, 10).await
            })
        };
        let (one, two) = (put(&fixture.store, "one"), put(&other, "two"));
        let done = [one.await.unwrap(), two.await.unwrap()];
        let refused = done
            .iter()
            .filter(|put| matches!(put, Err(StoreError::TooManyCredentials { most: 10 })));
        assert_eq!(refused.count(), 1, "{done:?}");
        assert_eq!(done.iter().filter(|put| put.is_ok()).count(), 1, "{done:?}");
        let names = fixture.store.credential_usernames(ACCOUNT, id).await;
        assert_eq!(names.unwrap().len(), 6);
    }
}

async fn a_connector_is_not_deleted_under_its_numbers(fixture: Fixture) {
    let other = fixture.other_node().await;
    for letter in 0..MEETINGS {
        let id = fixture.connector(letter).await.id;
        let numbers = [numbered(u64::from(letter))];
        fixture
            .store
            .order_numbers(
                format!("{letter}"),
                ACCOUNT,
                "VoiceConnector",
                None,
                &numbers,
                now(),
            )
            .await
            .unwrap();
        let associate = tokio::spawn({
            let store = fixture.store.clone();
            async move {
                store
                    .associate_numbers(ACCOUNT, id, &numbers, false, now())
                    .await
            }
        });
        let delete = tokio::spawn({
            let store = other.clone();
            async move { store.delete_voice_connector(ACCOUNT, id, &[], "none").await }
        });
        let done = (associate.await.unwrap(), delete.await.unwrap());
        let held = holder_of(&fixture.store, numbers[0]).await;
        let whole = match &done {
            (Ok(errors), Err(StoreError::NumbersAssociated(1))) => {
                errors.outcome.is_empty() && held == Some(id)
            }
            (Err(StoreError::UnknownVoiceConnector(_)), Ok(())) => held.is_none(),
            (Ok(_) | Err(_), Ok(()) | Err(_)) => false,
        };
        assert!(whole, "{done:?}, held by {held:?}");
    }
}

async fn of_two_deletions_one_finds_nothing(fixture: Fixture) {
    let other = fixture.other_node().await;
    for letter in 0..MEETINGS {
        let id = fixture.connector(letter).await.id;
        let delete = |store: &Store| {
            let store = store.clone();
            tokio::spawn(
                async move { store.delete_voice_connector(ACCOUNT, id, &[], "none").await },
            )
        };
        let (one, two) = (delete(&fixture.store), delete(&other));
        let done = [one.await.unwrap(), two.await.unwrap()];
        assert_eq!(
            done.iter().filter(|delete| delete.is_ok()).count(),
            1,
            "{done:?}"
        );
    }
}
