//! A request of ours that met one of the peer's: 491, and after a while once more (RFC 3261 §14.1).

use std::time::Duration;

use super::reinvite::Purpose;
use super::{Call, CallTimer, LEG_A, Side};
use crate::gateway::Refusal;
use crate::shard::core::Core;
use crate::shard::wheel::TimerId;
use crate::sip::writer::reason_phrase;

/// After so many 491 the other leg hears of it: its peer waits all the while.
const GLARES_MAX: u8 = 2;
/// Waits are drawn in steps of this many milliseconds.
const STEP_MILLIS: u32 = 10;

/// A request that waits to go out again; never a refresh, which has a timer of its own.
pub(super) struct Glare {
    /// The leg that it goes out on.
    pub(super) side: Side,
    pub(super) purpose: Purpose,
    timer: Option<TimerId>,
}

impl Call {
    /// Lets a request that was answered 491 go out again later; false where that was done often enough.
    pub(super) fn retry_after_glare(
        &mut self,
        core: &mut Core,
        side: Side,
        purpose: Purpose,
    ) -> bool {
        if self.glares == GLARES_MAX {
            return false;
        }
        self.glares += 1;
        // Who made the Call-ID waits longer, so that the two do not meet again.
        let is_theirs = self.leg(side).is_some_and(|leg| leg.number == LEG_A);
        let millis = match is_theirs {
            true => STEP_MILLIS * core.random.below(201),
            false => 2_100 + STEP_MILLIS * core.random.below(191),
        };
        let wait = Duration::from_millis(u64::from(millis));
        let timer = Some(core.start_call_timer(wait, self.id, CallTimer::Glare));
        self.glare = Some(Glare {
            side,
            purpose,
            timer,
        });
        true
    }

    pub(super) fn on_glare_timer(&mut self, core: &mut Core) {
        let Some(glare) = self.glare.take() else {
            return;
        };
        match glare.purpose {
            Purpose::Exchange => self.pass_reinvite(core, glare.side),
            Purpose::Update => self.pass_update(core),
            Purpose::Transfer => self.join(core),
            Purpose::Refresh => {}
        }
    }

    /// The peer of `side` comes with an offer of its own while ours waits: the peer's goes first, and
    /// whoever made ours is told that it met another one.
    pub(super) fn give_way_to(&mut self, core: &mut Core, side: Side) {
        let waiting = self.glare.as_ref().filter(|glare| glare.side == side);
        match waiting.map(|glare| glare.purpose) {
            Some(Purpose::Transfer) => self.join_later(core),
            Some(Purpose::Exchange | Purpose::Update | Purpose::Refresh) => {
                self.end_glare(core, &Refusal::new(491, reason_phrase(491)));
            }
            None => {}
        }
    }

    /// What a transfer wants of the remaining party does not go out again.
    pub(super) fn end_join_glare(&mut self, core: &mut Core) {
        let waiting = |glare: &mut Glare| glare.purpose == Purpose::Transfer;
        if let Some(mut glare) = self.glare.take_if(waiting) {
            core.cancel_timer(&mut glare.timer);
        }
    }

    /// A request of a peer that waits to go out again does not; whether there was one.
    pub(super) fn end_glare(&mut self, core: &mut Core, refusal: &Refusal) -> bool {
        let passed = |glare: &mut Glare| glare.purpose != Purpose::Transfer;
        let Some(mut glare) = self.glare.take_if(passed) else {
            return false;
        };
        core.cancel_timer(&mut glare.timer);
        match glare.purpose {
            Purpose::Exchange => self.answer_failure(core, refusal),
            Purpose::Update => self.refuse_update(core, refusal),
            Purpose::Refresh | Purpose::Transfer => {}
        }
        true
    }
}
