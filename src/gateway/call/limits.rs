//! What a call holds of its connector's limits and its carriers', and for how long.
//!
//! A call counts for its connector until it is over, whatever becomes of its legs; while it is being transferred it
//! and the call to the target are two. A leg counts for its carrier from when its INVITE is sent until it has failed,
//! was hung up, or its cancelled INVITE has its final response.

use super::{Attempt, Call, Progress, Side, State};
use crate::gateway::Refusal;
use crate::gateway::limiter::{Booking, CarrierBooking, Holding, Urgency};
use crate::gateway::routing::Candidate;
use crate::shard::core::Core;
use crate::telemetry::Event;

/// The call is one: what its admission took counts from now on.
pub(super) fn confirm(core: &mut Core, booking: Booking) -> Holding {
    let (holding, alerts) = booking.confirm();
    for alert in alerts {
        core.event(Event::Spending(alert));
    }
    holding
}

/// A call of the carrier's limits, where the place is a carrier's.
pub(super) fn book_carrier(
    core: &Core,
    candidate: &Candidate,
    urgency: Urgency,
) -> Result<Option<CarrierBooking>, Refusal> {
    let book = |policy: &_| CarrierBooking::take(&core.limiter, policy, urgency, core.now);
    candidate.policy.as_deref().map(book).transpose()
}

impl Call {
    /// Lets go of what does not count any more; to be called whenever something has happened.
    pub(crate) fn release_leases(&mut self) {
        let is_over = self.state == State::Ended;
        if is_over {
            self.holding.lease = None;
        }
        if is_over || self.has_left(Side::A) {
            self.a.lease = None;
        }
        let b_has_left = self.has_left(Side::B);
        let target = self.target_leg().map(|leg| leg.number);
        let current = self.leg(Side::B).map(|leg| leg.number);
        for attempt in &mut self.attempts {
            let number = Some(attempt.leg.number);
            let is_in_call = number == target || (number == current && !b_has_left);
            if !attempt.is_up(is_in_call && !is_over) {
                attempt.leg.lease = None;
            }
        }
    }
}

impl Attempt {
    /// Whether the place still has a call, or may have one; `is_in_call` tells whether the leg is one of the
    /// call's.
    fn is_up(&self, is_in_call: bool) -> bool {
        match self.progress {
            Progress::Calling | Progress::Proceeding => true,
            Progress::Answered => is_in_call,
            Progress::Failed => false,
            // Answered after all, it was hung up.
            Progress::Abandoned | Progress::Cancelled => {
                self.invite.is_some() && self.forks.is_empty()
            }
        }
    }
}
