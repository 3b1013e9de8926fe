//! How many calls a connector or a carrier may have: a second, at once, and an hour.
//!
//! The counting stands behind [`CallLimiter`]: one process does it today, an engine that nodes share later. What a
//! call takes of a limit is a value that gives it back when it is dropped, so that a call that a later check refuses
//! has never counted: [`RatePermit`] and [`SpendingPermit`] until they are confirmed, [`CallLease`] for as long as
//! the call lasts. [`Booking`] is all of them for one call that is being admitted.

use std::fmt;
use std::sync::Arc;

use super::{Cause, Refusal};
use crate::config::{CarrierPolicy, SpendingLimits};
use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;
use crate::numbering::Country;
use crate::telemetry::SpendingAlert;

/// Whose calls are counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Counted {
    /// A connector's termination calls.
    Connector(VoiceConnectorId),
    /// Calls to a carrier, by its name in the config.
    Carrier(Arc<str>),
}

/// Whether limits hold for a call.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Urgency {
    /// They do.
    #[default]
    Routine,
    /// It is admitted whatever the limits say, and counts for the calls that come after it.
    Emergency,
}

/// A call for the spending guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spending {
    /// Whose call it is.
    pub connector: VoiceConnectorId,
    /// Where it goes; [`Country::NONE`] for a number that no country has.
    pub country: Country,
    /// What the connector may spend; a limit of 0 is none.
    pub limits: SpendingLimits,
}

/// Why the spending guard refuses a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overspent {
    /// The limit of calls to its country; else that of all calls.
    pub is_country: bool,
    /// To be told where nobody was told yet that the limit is reached.
    pub alert: Option<SpendingAlert>,
}

/// Counts calls.
///
/// Nothing here waits for anybody else: an engine that nodes share is asked beforehand for shares of a limit, and
/// a node admits out of its own. All shards of a node ask one limiter; `now` is a shard's clock, and may be a
/// little behind another's.
pub trait CallLimiter: Send + Sync {
    /// One more new call, where there are fewer than `per_second` (0 is no limit, and not counted) in the second
    /// that ends now: the moment that it is counted at.
    fn take_rate(
        &self,
        who: &Counted,
        per_second: u32,
        urgency: Urgency,
        now: Instant,
    ) -> Option<Instant>;

    /// A call that was counted at that moment was none.
    fn return_rate(&self, who: &Counted, at: Instant);

    /// One more call at once, where there are fewer than `most` (0 is no limit, and counted).
    fn take_call(&self, who: &Counted, most: u32, urgency: Urgency) -> bool;

    /// One call is over.
    fn return_call(&self, who: &Counted);

    /// One more call in this hour, where its limits allow it: the hour that it is counted in.
    fn spend(&self, call: &Spending) -> Result<i64, Overspent>;

    /// A call that was counted in that hour was none.
    fn return_spent(&self, call: &Spending, hour: i64);

    /// A call that was counted in that hour has become one: what is to be told of the limits that it comes near
    /// to, or reaches.
    fn confirm_spent(&self, call: &Spending, hour: i64) -> Vec<SpendingAlert>;
}

/// A new call within its rate. Dropped before it is confirmed, it never counted.
pub struct RatePermit {
    limiter: Arc<dyn CallLimiter>,
    who: Counted,
    at: Option<Instant>,
}

impl RatePermit {
    /// Takes one where the limit has room; 0 calls a second are no limit.
    pub fn take(
        limiter: &Arc<dyn CallLimiter>,
        who: Counted,
        per_second: u32,
        urgency: Urgency,
        now: Instant,
    ) -> Option<Self> {
        let at = limiter.take_rate(&who, per_second, urgency, now)?;
        Some(Self {
            limiter: Arc::clone(limiter),
            who,
            // Where there is no limit nothing was counted.
            at: (per_second > 0).then_some(at),
        })
    }

    /// The call is one.
    pub fn confirm(mut self) {
        self.at = None;
    }
}

impl Drop for RatePermit {
    fn drop(&mut self) {
        if let Some(at) = self.at.take() {
            self.limiter.return_rate(&self.who, at);
        }
    }
}

/// A call among those that there may be at once, until it is dropped.
pub struct CallLease {
    limiter: Arc<dyn CallLimiter>,
    who: Counted,
}

impl CallLease {
    /// Takes one where the limit has room; 0 calls at once are no limit.
    pub fn take(
        limiter: &Arc<dyn CallLimiter>,
        who: Counted,
        most: u32,
        urgency: Urgency,
    ) -> Option<Self> {
        let is_taken = limiter.take_call(&who, most, urgency);
        is_taken.then(|| Self {
            limiter: Arc::clone(limiter),
            who,
        })
    }
}

impl Drop for CallLease {
    fn drop(&mut self) {
        self.limiter.return_call(&self.who);
    }
}

/// A call among those of this hour. Dropped before it is confirmed, it never counted.
pub struct SpendingPermit {
    limiter: Arc<dyn CallLimiter>,
    call: Spending,
    hour: Option<i64>,
}

impl SpendingPermit {
    /// Takes one where the limits have room.
    pub fn take(limiter: &Arc<dyn CallLimiter>, call: Spending) -> Result<Self, Overspent> {
        let hour = limiter.spend(&call)?;
        Ok(Self {
            limiter: Arc::clone(limiter),
            call,
            hour: Some(hour),
        })
    }

    /// The call is one; what is to be told of that.
    pub fn confirm(mut self) -> Vec<SpendingAlert> {
        let hour = self.hour.take();
        hour.map(|hour| self.limiter.confirm_spent(&self.call, hour))
            .unwrap_or_default()
    }
}

impl Drop for SpendingPermit {
    fn drop(&mut self) {
        if let Some(hour) = self.hour.take() {
            self.limiter.return_spent(&self.call, hour);
        }
    }
}

/// Seconds after which a call that was one too many at once may be tried again.
const CONCURRENCY_RETRY_AFTER: u32 = 5;

/// What a call that is being admitted has taken of its connector's limits, each by its own check. Dropped, it
/// leaves no trace.
#[derive(Default)]
pub struct Booking {
    /// Whether limits hold.
    pub urgency: Urgency,
    rate: Option<RatePermit>,
    lease: Option<CallLease>,
    spending: Option<SpendingPermit>,
}

impl Booking {
    /// `CpsLimit` of the connector.
    pub fn take_rate(
        &mut self,
        limiter: &Arc<dyn CallLimiter>,
        connector: VoiceConnectorId,
        per_second: u32,
        now: Instant,
    ) -> Result<(), Refusal> {
        let who = Counted::Connector(connector);
        let permit = RatePermit::take(limiter, who, per_second, self.urgency, now);
        let full = || Refusal::from(Cause::CpsLimit).for_seconds(1);
        self.rate = Some(permit.ok_or_else(full)?);
        Ok(())
    }

    /// `concurrent_calls` of the connector.
    pub fn take_call(
        &mut self,
        limiter: &Arc<dyn CallLimiter>,
        connector: VoiceConnectorId,
        most: u32,
    ) -> Result<(), Refusal> {
        let who = Counted::Connector(connector);
        let lease = CallLease::take(limiter, who, most, self.urgency);
        let refusal = Refusal::from(Cause::ConcurrentCallLimit);
        let full = || refusal.for_seconds(CONCURRENCY_RETRY_AFTER);
        self.lease = Some(lease.ok_or_else(full)?);
        Ok(())
    }

    /// `calls_per_hour` and `calls_per_hour_to_country` of the connector. The refusal is no 503: that would have
    /// the customer take the whole trunk for down; `tell` is given what nobody was told yet.
    pub fn spend(
        &mut self,
        limiter: &Arc<dyn CallLimiter>,
        call: Spending,
        tell: impl FnOnce(SpendingAlert),
    ) -> Result<(), Refusal> {
        match SpendingPermit::take(limiter, call) {
            Ok(permit) => {
                self.spending = Some(permit);
                Ok(())
            }
            Err(Overspent { is_country, alert }) => {
                alert.map(tell);
                Err(Refusal::from(match is_country {
                    true => Cause::CallsPerHourToCountry,
                    false => Cause::CallsPerHour,
                }))
            }
        }
    }

    /// The call is one: what it holds until it ends, and what is to be told.
    pub fn confirm(self) -> (Holding, Vec<SpendingAlert>) {
        if let Some(rate) = self.rate {
            rate.confirm();
        }
        let alerts = self.spending.map(SpendingPermit::confirm);
        let holding = Holding {
            urgency: self.urgency,
            lease: self.lease,
        };
        (holding, alerts.unwrap_or_default())
    }
}

impl fmt::Debug for Booking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Booking")
            .field("urgency", &self.urgency)
            .finish_non_exhaustive()
    }
}

/// What a call holds of its connector's limits.
#[derive(Default)]
pub struct Holding {
    /// Whether limits hold for the call.
    pub urgency: Urgency,
    /// The call among those at once of its connector, where it counts there.
    pub lease: Option<CallLease>,
}

/// What one attempt at a carrier has taken of the carrier's limits. Dropped, it leaves no trace.
pub struct CarrierBooking {
    rate: RatePermit,
    lease: CallLease,
}

impl CarrierBooking {
    /// Takes a call of the carrier's `cps` and `concurrent_calls`. A carrier without room is passed by, as one that
    /// refuses is.
    pub fn take(
        limiter: &Arc<dyn CallLimiter>,
        policy: &CarrierPolicy,
        urgency: Urgency,
        now: Instant,
    ) -> Result<Self, Refusal> {
        let who = || Counted::Carrier(Arc::clone(&policy.carrier));
        let lease = CallLease::take(limiter, who(), policy.concurrent_calls, urgency);
        let full = || {
            let reason = "Carrier Concurrent Call Limit Reached";
            Refusal::unavailable(reason, CONCURRENCY_RETRY_AFTER)
        };
        let lease = lease.ok_or_else(full)?;
        let rate = RatePermit::take(limiter, who(), policy.cps, urgency, now);
        let rate =
            rate.ok_or_else(|| Refusal::unavailable("Carrier Calls Per Second Limit Reached", 1))?;
        Ok(Self { rate, lease })
    }

    /// The INVITE is sent: what is held until the leg is over.
    pub fn confirm(self) -> CallLease {
        self.rate.confirm();
        self.lease
    }
}
