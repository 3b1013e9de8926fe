//! The spending guard's calls, over restarts and between nodes.

use std::sync::Arc;

use jiff::Timestamp;

use super::Fixture;
use crate::config::SpendingLimits;
use crate::connector_id::VoiceConnectorId;
use crate::control::limiter::NodeLimiter;
use crate::gateway::limiter::{CallLimiter, Spending, SpendingPermit};
use crate::store::Store;
use crate::telemetry::SpendingAlert;

fn call(to: &str) -> Spending {
    Spending {
        connector: VoiceConnectorId::from_random([1; VoiceConnectorId::LENGTH]),
        country: to.parse().unwrap(),
        limits: SpendingLimits {
            calls_per_hour: 10,
            calls_per_hour_to_country: 5,
            alert_percent: 80,
        },
    }
}

/// So many minutes after a full hour.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 / 3_600 * 3_600 + minutes * 60).unwrap()
}

async fn node(store: &Store, now: Timestamp) -> Arc<NodeLimiter> {
    let limiter = Arc::new(NodeLimiter::default());
    limiter.read_spending(store, now).await.unwrap();
    limiter
}

/// Makes a call; what is told, or whether it is its country that has had enough.
fn make(limiter: &Arc<NodeLimiter>, to: &str) -> Result<Vec<SpendingAlert>, bool> {
    let counts: Arc<dyn CallLimiter> = limiter.clone();
    let permit = SpendingPermit::take(&counts, call(to));
    permit
        .map(SpendingPermit::confirm)
        .map_err(|over| over.is_country)
}

pub(super) async fn spent_calls_survive_a_restart_until_the_hour_is_over(fixture: Fixture) {
    let limiter = node(&fixture.store, at(1)).await;
    for _ in 0..4 {
        make(&limiter, "DE").unwrap();
    }
    limiter.write_spending(&fixture.store, at(1)).await.unwrap();
    // Since the last write: gone with a kill.
    make(&limiter, "FR").unwrap();

    let fixture = fixture.reopened().await;
    let limiter = node(&fixture.store, at(59)).await;
    let told = make(&limiter, "DE").unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|alert| (alert.calls, alert.is_reached))
        .collect();
    assert_eq!(told, [(5, true)], "that it came near was told before");
    assert_eq!(make(&limiter, "DE"), Err(true));
    for _ in 0..5 {
        make(&limiter, "FR").unwrap();
    }
    assert_eq!(make(&limiter, "IT"), Err(false));
    limiter
        .write_spending(&fixture.store, at(59))
        .await
        .unwrap();

    // The last calls of an hour are written, and do not count in the next.
    limiter
        .write_spending(&fixture.store, at(60))
        .await
        .unwrap();
    assert_eq!(make(&limiter, "DE"), Ok(Vec::new()));
    limiter
        .write_spending(&fixture.store, at(60))
        .await
        .unwrap();
    let hour = at(60).as_second() / 3_600;
    assert_eq!(fixture.store.spending(hour - 1).await.unwrap(), []);
    let rows = fixture.store.spending(hour).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.calls == 1), "{rows:?}");
    let fixture = fixture.reopened().await;
    let limiter = node(&fixture.store, at(61)).await;
    for _ in 0..4 {
        make(&limiter, "DE").unwrap();
    }
    assert_eq!(make(&limiter, "DE"), Err(true));
}

pub(super) async fn nodes_add_up_what_is_spent(fixture: Fixture) {
    let other = fixture.other_node().await;
    let (here, there) = (node(&fixture.store, at(1)).await, node(&other, at(1)).await);
    for _ in 0..3 {
        make(&here, "DE").unwrap();
        make(&there, "DE").unwrap();
    }
    let both = tokio::join!(
        here.write_spending(&fixture.store, at(1)),
        there.write_spending(&other, at(1)),
    );
    both.0.unwrap();
    both.1.unwrap();
    // Whoever wrote last knows of all; the other with its next write.
    assert!(make(&here, "DE").is_err() || make(&there, "DE").is_err());
    let counts: Arc<dyn CallLimiter> = here.clone();
    drop(SpendingPermit::take(&counts, call("FR")));
    drop(make(&here, "DE"));
    here.write_spending(&fixture.store, at(1)).await.unwrap();
    assert_eq!(make(&here, "DE"), Err(true));
    let rows = fixture.store.spending(at(1).as_second() / 3_600).await;
    let of_france = rows
        .unwrap()
        .into_iter()
        .find(|row| row.country == Some(call("FR").country));
    assert_eq!(
        of_france.map_or(0, |row| row.calls),
        0,
        "it came to nothing"
    );
}

pub(super) async fn what_could_not_be_written_is_written_later(fixture: Fixture) {
    let limiter = node(&fixture.store, at(1)).await;
    make(&limiter, "DE").unwrap();
    let gone = fixture.other_node().await;
    gone.close().await;
    assert!(limiter.write_spending(&gone, at(1)).await.is_err());
    make(&limiter, "DE").unwrap();
    limiter.write_spending(&fixture.store, at(1)).await.unwrap();
    let rows = fixture
        .store
        .spending(at(1).as_second() / 3_600)
        .await
        .unwrap();
    assert!(
        rows.len() == 2 && rows.iter().all(|row| row.calls == 2),
        "{rows:?}"
    );
}
