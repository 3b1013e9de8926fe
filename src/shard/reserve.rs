//! Room for calls for help: where a shard is behind, or its table of calls full, they are taken still, up to a bound.

use super::Shard;
use super::io::Flow;
use crate::gateway::emergency::is_for_help;
use crate::sip::message::Request;
use crate::sip::uri::Uri;

/// Calls of one shard at once that began when it took no others. Beyond, a flood of calls for help would take the room
/// from all that there are.
pub const RESERVED_CALLS_MAX: usize = 64;

impl Shard {
    /// Whether an INVITE may begin a call where others may not.
    pub(super) fn has_reserve_for(&self, flow: &Flow, request: &Request) -> bool {
        self.reserved < RESERVED_CALLS_MAX
            && Uri::parse(request.uri())
                .is_ok_and(|uri| is_for_help(&uri, flow, &self.core.snapshot))
    }

    /// The slot's call is over.
    pub(super) fn release(&mut self, slot: usize) {
        let held = self.calls.remove(slot);
        self.reserved -= usize::from(held.is_reserved);
    }
}
