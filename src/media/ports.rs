//! The free ports of a shard: first released, first allocated, so that a port is quiet for as long as
//! possible before another call gets it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::instant::Instant;

/// How long a released port rests at least: packets that a peer still had under way when its call
/// ended must not reach the next call.
pub const PORT_REST: Duration = Duration::from_millis(500);

/// A queue for each address family.
#[derive(Debug)]
pub(super) struct FreePorts {
    rest: Duration,
    v4: VecDeque<FreePort>,
    v6: VecDeque<FreePort>,
    /// Whether a port of the family was ever added.
    serves_v4: bool,
    serves_v6: bool,
}

#[derive(Clone, Copy, Debug)]
struct FreePort {
    pair: u32,
    /// `None` for a port that no call has had.
    released: Option<Instant>,
}

impl FreePorts {
    pub(super) fn new(rest: Duration) -> Self {
        Self {
            rest,
            v4: VecDeque::new(),
            v6: VecDeque::new(),
            serves_v4: false,
            serves_v6: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are ports of the family, free or not.
    pub(super) fn serves(&self, ipv6: bool) -> bool {
        if ipv6 { self.serves_v6 } else { self.serves_v4 }
    }

    /// How many ports of the family that has fewest could be taken now, that is have rested. A family
    /// without any port does not count.
    pub(super) fn ready(&self, now: Instant) -> usize {
        let rested = |port: &FreePort| {
            port.released
                .is_none_or(|released| now.since(released) >= self.rest)
        };
        [(self.serves_v4, &self.v4), (self.serves_v6, &self.v6)]
            .into_iter()
            .filter(|(served, _)| *served)
            .map(|(_, queue)| queue.partition_point(rested))
            .min()
            .unwrap_or(0)
    }

    /// Puts a port in that no call has had: before all that were released.
    pub(super) fn add(&mut self, pair: u32, ipv6: bool) {
        if ipv6 {
            self.serves_v6 = true;
        } else {
            self.serves_v4 = true;
        }
        let queue = self.of_family(ipv6);
        let place = queue.partition_point(|port| port.released.is_none());
        queue.insert(
            place,
            FreePort {
                pair,
                released: None,
            },
        );
    }

    pub(super) fn release(&mut self, pair: u32, ipv6: bool, now: Instant) {
        self.of_family(ipv6).push_back(FreePort {
            pair,
            released: Some(now),
        });
    }

    /// The port that was released longest ago; none where that still rests.
    pub(super) fn take(&mut self, ipv6: bool, now: Instant) -> Option<u32> {
        let rest = self.rest;
        let queue = self.of_family(ipv6);
        let rested = match queue.front()?.released {
            Some(released) => now.since(released) >= rest,
            None => true,
        };
        rested
            .then(|| queue.pop_front())
            .flatten()
            .map(|port| port.pair)
    }

    fn of_family(&mut self, ipv6: bool) -> &mut VecDeque<FreePort> {
        if ipv6 { &mut self.v6 } else { &mut self.v4 }
    }
}
