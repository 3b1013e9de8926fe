//! The timer wheel of one shard: insert, cancel and next deadline in constant time.
//!
//! Six levels of 64 slots; a slot of level 0 is one millisecond, a slot of level `n` is 64^n of them. A
//! timer sits in the level of the highest bit in which its tick differs from the wheel's, and moves down
//! a level when the wheel reaches its slot. Timers never fire early: deadlines are rounded up to the
//! next millisecond.

use std::time::Duration;

use slab::Slab;

use crate::instant::Instant;

const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const NIL: u32 = u32::MAX;
/// The list of timers whose tick has come, kept as one more level with one slot in use.
const DUE: u8 = LEVELS as u8;

/// A timer that was inserted; a copy kept after the timer fired or was cancelled does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

/// Timers with a payload each.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The last tick that was handled.
    tick: u64,
    occupied: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS + 1],
    entries: Slab<Entry<T>>,
    generation: u32,
}

#[derive(Debug)]
struct Entry<T> {
    payload: T,
    tick: u64,
    previous: u32,
    next: u32,
    level: u8,
    slot: u8,
    generation: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel that starts at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            tick: now.as_millis(),
            occupied: [0; LEVELS],
            heads: [[NIL; SLOTS]; LEVELS + 1],
            entries: Slab::new(),
            generation: 0,
        }
    }

    /// How many timers are running.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no timer is running.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Starts a timer that fires at `deadline`, or at the next millisecond where that has passed.
    pub fn insert(&mut self, deadline: Instant, payload: T) -> TimerId {
        let tick = deadline.as_micros().div_ceil(1_000).max(self.tick + 1);
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = Entry {
            payload,
            tick,
            previous: NIL,
            next: NIL,
            level: 0,
            slot: 0,
            generation,
        };
        let slot = self.entries.insert(entry) as u32;
        self.link(slot);
        TimerId { slot, generation }
    }

    /// Stops a timer; `None` where it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        if self.entries.get(id.slot as usize)?.generation != id.generation {
            return None;
        }
        self.unlink(id.slot);
        Some(self.entries.remove(id.slot as usize).payload)
    }

    /// When [`Self::expire`] has something to do next. It may be earlier than the next timer (a move to
    /// a finer level), never later.
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = match self.heads[usize::from(DUE)][0] {
            NIL => self.next_slot()?.2,
            _ => self.tick,
        };
        Some(Instant::ORIGIN + Duration::from_millis(tick))
    }

    /// Takes one timer whose deadline has come; call until `None`.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        loop {
            let due = self.heads[usize::from(DUE)][0];
            if due != NIL {
                self.unlink(due);
                return Some(self.entries.remove(due as usize).payload);
            }
            match self.next_slot() {
                Some((level, slot, tick)) if tick <= now.as_millis() => {
                    self.tick = self.tick.max(tick);
                    self.cascade(level, slot);
                }
                Some(_) | None => {
                    self.tick = self.tick.max(now.as_millis());
                    return None;
                }
            }
        }
    }

    /// The slot that is reached first: level, slot, tick at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        (0..LEVELS)
            .find(|level| self.occupied[*level] != 0)
            .map(|level| {
                let shift = SLOT_BITS * level as u32;
                let here = (self.tick >> shift) as usize % SLOTS;
                let ahead = self.occupied[level]
                    .rotate_right(here as u32)
                    .trailing_zeros() as usize;
                let slot = (here + ahead) % SLOTS;
                let turn = 1u64 << (shift + SLOT_BITS);
                let begin = self.tick - self.tick % turn + ((slot as u64) << shift);
                // Only the top level wraps: all others hold nothing that lies behind the wheel's tick.
                (
                    level,
                    slot,
                    if begin < self.tick && slot < here {
                        begin + turn
                    } else {
                        begin
                    },
                )
            })
    }

    /// Moves a slot's timers to the levels they belong to now that the wheel has reached it.
    fn cascade(&mut self, level: usize, slot: usize) {
        let mut entry = std::mem::replace(&mut self.heads[level][slot], NIL);
        self.occupied[level] &= !(1 << slot);
        while entry != NIL {
            let next = self.entries[entry as usize].next;
            self.link(entry);
            entry = next;
        }
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let (level, slot) = if tick <= self.tick {
            (usize::from(DUE), 0)
        } else {
            let highest_difference = 63 - ((self.tick ^ tick) | 1).leading_zeros();
            let level = ((highest_difference / SLOT_BITS) as usize).min(LEVELS - 1);
            (level, (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS)
        };
        if level < LEVELS {
            self.occupied[level] |= 1 << slot;
        }
        let head = std::mem::replace(&mut self.heads[level][slot], index);
        if head != NIL {
            self.entries[head as usize].previous = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.level, entry.slot) = (level as u8, slot as u8);
        (entry.previous, entry.next) = (NIL, head);
    }

    fn unlink(&mut self, index: u32) {
        let Entry {
            previous,
            next,
            level,
            slot,
            ..
        } = self.entries[index as usize];
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
        if previous != NIL {
            self.entries[previous as usize].next = next;
            return;
        }
        self.heads[usize::from(level)][usize::from(slot)] = next;
        if next == NIL && level < DUE {
            self.occupied[usize::from(level)] &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn timers_fire_at_their_time_and_not_before() {
        let mut wheel = Wheel::new(at(1_000_003));
        for delay in [
            1, 63, 64, 65, 500, 4_095, 4_096, 32_000, 185_000, 86_400_000,
        ] {
            let start = wheel.tick;
            wheel.insert(at(start + delay), delay);
            assert_eq!(
                wheel.expire(at(start + delay - 1)),
                None,
                "{delay} ms fired early"
            );
            assert_eq!(wheel.expire(at(start + delay)), Some(delay));
            assert!(wheel.is_empty() && wheel.next_deadline().is_none());
        }
    }

    #[test]
    fn deadlines_are_rounded_up() {
        let mut wheel = Wheel::new(Instant::ORIGIN);
        wheel.insert(Instant::from_micros(1_001), ());
        assert_eq!(wheel.expire(Instant::from_micros(1_999)), None);
        assert_eq!(wheel.expire(Instant::from_micros(2_000)), Some(()));
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_its_id_is_dead() {
        let mut wheel = Wheel::new(Instant::ORIGIN);
        let first = wheel.insert(at(10), 'a');
        assert_eq!(wheel.cancel(first), Some('a'));
        let second = wheel.insert(at(10), 'b');
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(wheel.expire(at(10)), Some('b'));
        assert_eq!(wheel.cancel(second), None);
    }

    proptest! {
        /// Against a sorted map: the same timers fire, in the order of their ticks, and the deadline
        /// that the wheel names is never later than the first of them.
        #[test]
        fn behaves_like_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u64..300_000), 1..200)) {
            let mut wheel = Wheel::new(Instant::ORIGIN);
            let mut model: BTreeMap<(u64, usize), TimerId> = BTreeMap::new();
            let mut now = 0u64;
            for (step, (kind, amount)) in steps.into_iter().enumerate() {
                match kind {
                    0 | 1 => {
                        let tick = (now + amount).max(now + 1);
                        model.insert((tick, step), wheel.insert(at(tick), step));
                    }
                    2 => if let Some((key, id)) = model.iter().nth(amount as usize % model.len().max(1)).map(|(k, v)| (*k, *v)) {
                        prop_assert_eq!(wheel.cancel(id), Some(key.1));
                        model.remove(&key);
                    },
                    _ => {
                        now += amount;
                        let mut fired = Vec::new();
                        while let Some(step) = wheel.expire(at(now)) { fired.push(step); }
                        let later = model.split_off(&(now + 1, 0));
                        let mut expected: Vec<usize> = model.keys().map(|(_, step)| *step).collect();
                        fired.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(fired, expected);
                        model = later;
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                match (wheel.next_deadline(), model.keys().next()) {
                    (Some(deadline), Some((tick, _))) => prop_assert!(deadline <= at(*tick)),
                    (deadline, first) => prop_assert_eq!(deadline.is_some(), first.is_some()),
                }
            }
        }
    }
}
