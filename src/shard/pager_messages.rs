//! The MESSAGEs that a shard relays.

use std::panic::{AssertUnwindSafe, catch_unwind};

use slab::Slab;

use super::core::Core;
use super::identifiers::MessageId;
use super::io::Flow;
use super::{OVERLOAD_RETRY_AFTER, Shard, check_request, request_uri};
use crate::gateway::Refusal;
use crate::gateway::classify::{Classified, classify};
use crate::gateway::pager::{self, PagerAdmission, PagerMessage};
use crate::numbering::E164;
use crate::sip::message::Request;
use crate::sip::writer::reason_phrase;

/// MESSAGEs on their way at once: thousands a second where carriers answer at once, forty a second where none answers.
const MESSAGES_MAX: usize = 1_000;
/// Of these, those to one receiver: RFC 3428 §8 would have one, and a long text may come as several.
const TO_ONE_RECEIVER_MAX: usize = 8;
/// Seconds after which one that was refused because of these may come again.
const FULL_RETRY_AFTER: u32 = 5;

/// The MESSAGEs on their way.
#[derive(Default)]
pub(super) struct PagerMessages {
    slots: Slab<Held>,
    generation: u32,
}

struct Held {
    generation: u32,
    /// Taken out while it is at work.
    message: Option<Box<PagerMessage>>,
}

impl PagerMessages {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn to(&self, receiver: E164) -> usize {
        let held = self
            .slots
            .iter()
            .filter_map(|(_, held)| held.message.as_ref());
        held.filter(|message| message.facts().called == receiver)
            .count()
    }

    fn next_id(&mut self) -> MessageId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let slot = self.slots.insert(Held {
            generation,
            message: None,
        });
        MessageId {
            slot: slot as u32,
            generation,
        }
    }

    fn remove(&mut self, id: MessageId) {
        self.slots.try_remove(id.slot as usize);
    }

    fn put_back(&mut self, id: MessageId, message: Box<PagerMessage>) {
        if message.is_finished() {
            self.remove(id);
        } else if let Some(held) = self.slots.get_mut(id.slot as usize) {
            held.message = Some(message);
        }
    }
}

impl Shard {
    /// Relays a MESSAGE outside a dialog between the participants of a proxy session; for anybody else the method is
    /// not served.
    pub(super) fn begin_pager_message(
        &mut self,
        flow: Flow,
        request: &Request,
    ) -> Result<(), Refusal> {
        let not_served = || Refusal::new(405, reason_phrase(405));
        let uri = request_uri(request, &flow)?;
        let snapshot = self.core.snapshot.clone();
        let carrier = match classify(&uri, &flow, &snapshot) {
            Ok(Classified::Origination(carrier)) => carrier,
            Ok(Classified::Termination(_)) | Err(_) => return Err(not_served()),
        };
        if self.core.transactions.is_merged(request) {
            return Err(Refusal::new(482, reason_phrase(482)));
        }
        check_request(request)?;
        if self.is_overloaded {
            let reason = "Too Busy For New Messages";
            return Err(Refusal::unavailable(reason, OVERLOAD_RETRY_AFTER));
        }
        let admission = pager::admit(carrier, request, &uri, &mut self.core);
        let admission = admission.map_err(Refusal::remembered)?;
        self.check_room(&admission).map_err(Refusal::remembered)?;
        let id = self.pager.next_id();
        match PagerMessage::begin(&mut self.core, id, request, flow, admission) {
            Ok(message) => {
                self.counters.pager_messages += 1;
                self.pager.put_back(id, Box::new(message));
                self.with_pager_message(id, |message, core| message.start(core));
                Ok(())
            }
            Err(refusal) => {
                self.pager.remove(id);
                Err(refusal)
            }
        }
    }

    fn check_room(&mut self, admission: &PagerAdmission) -> Result<(), Refusal> {
        let full = if self.pager.len() >= MESSAGES_MAX {
            Refusal::unavailable("Too Many Messages", FULL_RETRY_AFTER)
        } else if self.pager.to(admission.called) >= TO_ONE_RECEIVER_MAX {
            // No 503: the carrier would take the whole gateway for down.
            let refusal = Refusal::new(480, "Too Many Messages To This Number");
            refusal.for_seconds(FULL_RETRY_AFTER)
        } else {
            return Ok(());
        };
        self.counters.pager_messages_refused_full += 1;
        Err(full)
    }

    /// Lets a MESSAGE work, if it is still there, and lets go of it when it is answered. A panic in there ends this
    /// one and no other.
    pub(super) fn with_pager_message(
        &mut self,
        id: MessageId,
        work: impl FnOnce(&mut PagerMessage, &mut Core),
    ) {
        let held = self.pager.slots.get_mut(id.slot as usize);
        let held = held.filter(|held| held.generation == id.generation);
        let Some(mut message) = held.and_then(|held| held.message.take()) else {
            return;
        };
        let core = &mut self.core;
        if catch_unwind(AssertUnwindSafe(|| work(&mut message, core))).is_err() {
            self.counters.panics += 1;
            let aborted = catch_unwind(AssertUnwindSafe(|| message.abort(core)));
            if aborted.is_err() {
                self.counters.panics += 1;
                self.pager.remove(id);
                return;
            }
        }
        self.pager.put_back(id, message);
    }

    /// Answers all senders: the last thing before the shard goes.
    pub(super) fn abort_pager_messages(&mut self) {
        let all = self.pager.slots.iter();
        let all = all.map(|(slot, held)| MessageId {
            slot: slot as u32,
            generation: held.generation,
        });
        for id in all.collect::<Vec<_>>() {
            self.with_pager_message(id, |message, core| message.abort(core));
        }
    }
}
