//! The spending guard's book: the calls of this hour of each connector, in all and to each country.
//!
//! An hour is one of the clock (UTC): 09:00 to 10:00. What is counted is written to the store a second later and at
//! the stop, as what was added since, so that nodes on one database add up: each hears of the others' calls with its
//! own next write. After a kill the calls of the last second are forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::NodeLimiter;
use crate::connector_id::VoiceConnectorId;
use crate::gateway::limiter::{Overspent, Spending};
use crate::numbering::Country;
use crate::store::{SpendingRow, Store, StoreError};
use crate::telemetry::SpendingAlert;

/// How often what was counted is written.
const WRITE: Duration = Duration::from_secs(1);

/// What of a limit was told already.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
enum Told {
    #[default]
    Nothing,
    Near,
    Reached,
}

/// A connector's calls: all of them, or those to a country.
type Account = (VoiceConnectorId, Option<Country>);

#[derive(Clone, Copy, Default)]
struct Counter {
    /// Calls of this hour, those of other nodes included as of the last write.
    calls: i64,
    /// Of these, what the store has not been told; below zero where calls were given back.
    unwritten: i64,
    told: Told,
    /// The store has to be told.
    is_changed: bool,
}

/// The calls of one hour. Counted is what a limit is set for.
#[derive(Default)]
pub(super) struct SpendingBook {
    /// Hours since 1970.
    hour: i64,
    counters: BTreeMap<Account, Counter>,
}

/// The counters that a call is counted by, with their limits.
fn accounts(call: &Spending) -> impl Iterator<Item = (Account, u32)> + use<> {
    let limits = call.limits;
    let to_country = (
        (call.connector, Some(call.country)),
        limits.calls_per_hour_to_country,
    );
    let all = ((call.connector, None), limits.calls_per_hour);
    [all, to_country]
        .into_iter()
        .filter(|(_, limit)| *limit > 0)
}

impl SpendingBook {
    pub(super) fn spend(&mut self, call: &Spending) -> Result<i64, Overspent> {
        for (account, limit) in accounts(call) {
            let counter = self.counters.entry(account).or_default();
            if counter.calls >= i64::from(limit) {
                return Err(Overspent {
                    is_country: account.1.is_some(),
                    alert: counter.alert(account, limit, Told::Reached),
                });
            }
        }
        self.add(call, 1);
        Ok(self.hour)
    }

    pub(super) fn give_back(&mut self, call: &Spending, hour: i64) {
        if hour == self.hour {
            self.add(call, -1);
        }
    }

    pub(super) fn confirm(&mut self, call: &Spending, hour: i64) -> Vec<SpendingAlert> {
        if hour != self.hour {
            return Vec::new();
        }
        let percent = i64::from(call.limits.alert_percent);
        let alerts = accounts(call).filter_map(|(account, limit)| {
            let counter = self.counters.get_mut(&account)?;
            let level = match i64::from(limit) {
                limit if counter.calls >= limit => Told::Reached,
                limit if counter.calls * 100 >= limit * percent => Told::Near,
                _ => Told::Nothing,
            };
            counter.alert(account, limit, level)
        });
        alerts.collect()
    }

    fn add(&mut self, call: &Spending, calls: i64) {
        for (account, _) in accounts(call) {
            let counter = self.counters.entry(account).or_default();
            counter.calls += calls;
            counter.unwritten += calls;
            counter.is_changed = true;
        }
    }

    /// What was counted in another hour than this one is of no matter any more.
    fn begin_hour(&mut self, hour: i64) {
        if hour != self.hour {
            self.hour = hour;
            self.counters.clear();
        }
    }

    /// What the store has not been told, in an order that all nodes write in.
    fn take_changes(&mut self) -> Vec<SpendingRow> {
        let hour = self.hour;
        let changed = self.counters.iter_mut();
        let changed = changed.filter(|(_, counter)| counter.is_changed);
        let rows = changed.map(|((connector, country), counter)| {
            counter.is_changed = false;
            SpendingRow {
                connector: *connector,
                country: *country,
                hour,
                calls: std::mem::take(&mut counter.unwritten),
                told: counter.told as i64,
            }
        });
        rows.collect()
    }

    /// The store could not be told.
    fn restore(&mut self, rows: &[SpendingRow]) {
        for row in rows.iter().filter(|row| row.hour == self.hour) {
            let counter = self.counters.entry((row.connector, row.country));
            let counter = counter.or_default();
            counter.unwritten += row.calls;
            counter.is_changed = true;
        }
    }

    /// What the store has of these counters: the calls of all nodes.
    fn learn(&mut self, rows: &[SpendingRow]) {
        for row in rows.iter().filter(|row| row.hour == self.hour) {
            let counter = self.counters.entry((row.connector, row.country));
            let counter = counter.or_default();
            counter.calls = row.calls + counter.unwritten;
            counter.told = counter.told.max(Told::read(row.told));
        }
    }
}

impl Counter {
    /// What is to be told where this much was not told in this hour.
    fn alert(
        &mut self,
        (connector, country): Account,
        limit: u32,
        level: Told,
    ) -> Option<SpendingAlert> {
        if level <= self.told {
            return None;
        }
        self.told = level;
        self.is_changed = true;
        Some(SpendingAlert {
            connector,
            country,
            calls: u32::try_from(self.calls).unwrap_or(u32::MAX),
            limit,
            is_reached: level == Told::Reached,
        })
    }
}

impl Told {
    fn read(column: i64) -> Self {
        match column {
            ..=0 => Self::Nothing,
            1 => Self::Near,
            2.. => Self::Reached,
        }
    }
}

/// The hour that a time is in.
fn hour_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(3_600)
}

impl NodeLimiter {
    /// Takes up what was counted in this hour before the node was stopped, and on other nodes.
    pub async fn read_spending(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let hour = hour_of(now);
        let rows = store.spending(hour).await?;
        let mut book = self.book();
        book.begin_hour(hour);
        book.learn(&rows);
        Ok(())
    }

    /// Begins a new hour where it has come, and writes what was counted since the last time.
    pub async fn write_spending(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let rows = self.book().take_changes();
        let written = match rows.is_empty() {
            true => Ok(Vec::new()),
            false => store.add_spending(&rows).await,
        };
        let result = match written {
            Ok(totals) => {
                self.book().learn(&totals);
                Ok(())
            }
            Err(error) => {
                self.book().restore(&rows);
                Err(error)
            }
        };
        let hour = hour_of(now);
        let is_new = {
            let mut book = self.book();
            let before = book.hour;
            book.begin_hour(hour);
            before != hour
        };
        if is_new {
            store.forget_spending(hour).await?;
        }
        result
    }
}

/// Writes every second, and once more when the other end of `is_ended` is dropped.
pub(in crate::control) async fn run(
    limiter: Arc<NodeLimiter>,
    store: Store,
    now: fn() -> Timestamp,
    mut is_ended: oneshot::Receiver<()>,
) {
    let mut look = tokio::time::interval(WRITE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_last = false;
    while !is_last {
        is_last = tokio::select! {
            _ = look.tick() => false,
            _ = &mut is_ended => true,
        };
        if let Err(error) = limiter.write_spending(&store, now()).await {
            tracing::error!(?error, "the calls of this hour could not be written");
        }
    }
}
