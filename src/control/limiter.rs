//! The limits of one process, shared by its shards: exact sliding seconds and calls at once; [`spending`] has the
//! calls of an hour.

pub mod spending;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::spending::SpendingBook;
use crate::gateway::limiter::{CallLimiter, Counted, Overspent, Spending, Urgency};
use crate::instant::Instant;
use crate::telemetry::SpendingAlert;

const WINDOW: Duration = Duration::from_secs(1);
/// Locks that the counts are spread over: shards seldom wait for each other, and who is idle is looked for among a
/// few.
const STRIPES: usize = 64;
/// How often a stripe is freed of those who are idle.
const SWEEP: Duration = Duration::from_secs(10);

/// Counts the calls of a node. A lock is held for a few instructions per call set-up, none per packet.
pub struct NodeLimiter {
    stripes: [Mutex<Stripe>; STRIPES],
    hasher: RandomState,
    spending: Mutex<SpendingBook>,
}

impl Default for NodeLimiter {
    fn default() -> Self {
        Self {
            stripes: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            spending: Mutex::default(),
        }
    }
}

#[derive(Default)]
struct Stripe {
    usage: HashMap<Counted, Usage>,
    /// The latest clock that was seen. No shard's older one counts: what was let go of by a newer one would be
    /// missing in its second.
    clock: Instant,
    /// When those who are idle are looked for next.
    sweep_at: Instant,
}

/// What one connector or carrier has of its limits.
#[derive(Default)]
struct Usage {
    /// When the calls of the last second were admitted, in order.
    admitted: VecDeque<Instant>,
    /// Calls at once.
    calls: u32,
}

impl Usage {
    fn forget_before(&mut self, now: Instant) {
        let is_over = |at: &Instant| now.since(*at) >= WINDOW;
        while self.admitted.front().is_some_and(is_over) {
            self.admitted.pop_front();
        }
    }

    fn is_idle(&self) -> bool {
        self.calls == 0 && self.admitted.is_empty()
    }
}

impl NodeLimiter {
    fn stripe(&self, who: &Counted) -> MutexGuard<'_, Stripe> {
        // The remainder is below the length.
        let place = self.hasher.hash_one(who) as usize % STRIPES;
        locked(&self.stripes[place])
    }

    /// The book of this hour's calls.
    fn book(&self) -> MutexGuard<'_, SpendingBook> {
        locked(&self.spending)
    }

    /// Connectors and carriers of which something is remembered.
    pub fn remembered(&self) -> usize {
        let stripes = self.stripes.iter();
        stripes.map(|stripe| locked(stripe).usage.len()).sum()
    }

    /// Calls at once of all connectors and carriers; a call counts for each of its own.
    pub fn calls(&self) -> u32 {
        let stripes = self.stripes.iter();
        let of_stripe = |stripe: &Mutex<Stripe>| {
            locked(stripe)
                .usage
                .values()
                .map(|usage| usage.calls)
                .sum::<u32>()
        };
        stripes.map(of_stripe).sum()
    }

    /// Calls at once of a connector, or to a carrier.
    pub fn calls_of(&self, who: &Counted) -> u32 {
        let stripe = self.stripe(who);
        stripe.usage.get(who).map_or(0, |usage| usage.calls)
    }
}

/// What a panic left behind is still a count.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stripe {
    /// The time that is counted by.
    fn pass_time(&mut self, now: Instant) -> Instant {
        self.clock = self.clock.max(now);
        if self.clock >= self.sweep_at {
            self.sweep_at = self.clock + SWEEP;
            self.usage.retain(|_, usage| {
                usage.forget_before(self.clock);
                !usage.is_idle()
            });
        }
        self.clock
    }
}

impl CallLimiter for NodeLimiter {
    fn take_rate(
        &self,
        who: &Counted,
        per_second: u32,
        urgency: Urgency,
        now: Instant,
    ) -> Option<Instant> {
        if per_second == 0 {
            return Some(now);
        }
        let mut stripe = self.stripe(who);
        let at = stripe.pass_time(now);
        let usage = stripe.usage.entry(who.clone()).or_default();
        usage.forget_before(at);
        let is_admitted = match urgency {
            Urgency::Routine => usage.admitted.len() < per_second as usize,
            Urgency::Emergency => true,
        };
        is_admitted.then(|| {
            usage.admitted.push_back(at);
            at
        })
    }

    fn return_rate(&self, who: &Counted, at: Instant) {
        let mut stripe = self.stripe(who);
        if let Some(usage) = stripe.usage.get_mut(who)
            // Most often it is the last.
            && let Some(place) = usage.admitted.iter().rposition(|one| *one == at)
        {
            usage.admitted.remove(place);
        }
    }

    fn take_call(&self, who: &Counted, most: u32, urgency: Urgency) -> bool {
        let mut stripe = self.stripe(who);
        let usage = stripe.usage.entry(who.clone()).or_default();
        let is_admitted = match urgency {
            Urgency::Routine => most == 0 || usage.calls < most,
            Urgency::Emergency => true,
        };
        usage.calls += u32::from(is_admitted);
        is_admitted
    }

    fn return_call(&self, who: &Counted) {
        let mut stripe = self.stripe(who);
        let Some(usage) = stripe.usage.get_mut(who) else {
            return;
        };
        usage.calls = usage.calls.saturating_sub(1);
        if usage.is_idle() {
            stripe.usage.remove(who);
        }
    }

    fn spend(&self, call: &Spending) -> Result<i64, Overspent> {
        self.book().spend(call)
    }

    fn return_spent(&self, call: &Spending, hour: i64) {
        self.book().give_back(call, hour);
    }

    fn confirm_spent(&self, call: &Spending, hour: i64) -> Vec<SpendingAlert> {
        self.book().confirm(call, hour)
    }
}

#[cfg(test)]
mod tests;
