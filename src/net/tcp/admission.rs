//! Who may hold how many connections.
//!
//! One source (an IPv4 address, an IPv6 /64) has a limit, and strangers as a whole leave room in the table for
//! those who are known, and these for connections of ours: without those no call leaves.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use mio::Registry;

use super::Connections;
use super::connection::{End, State};
use crate::config::Limits;
use crate::instant::Instant;
use crate::net::gauges::NetGauges;
use crate::shard::guard::Network;
use crate::shard::snapshot::Snapshot;

/// How long nothing is written of sources that reach their limit after one has done so.
const QUIET_TIME: Duration = Duration::from_secs(60);

/// Whose a connection is, and who comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::net) enum Rank {
    /// We have opened it, or want to.
    Ours,
    /// A carrier's or a customer's.
    Known,
    /// Anybody's.
    Stranger,
}

impl Rank {
    /// Who somebody is that comes from this address.
    pub(in crate::net) fn of(snapshot: Option<&Snapshot>, source: IpAddr) -> Self {
        let source = source.to_canonical();
        match snapshot.is_some_and(|snapshot| snapshot.knows_source(source)) {
            true => Self::Known,
            false => Self::Stranger,
        }
    }
}

/// Why a connection is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// The table has no room left for this rank.
    Full,
    /// The source has as many as it may.
    Crowded(Network),
}

/// How many connections each source holds, and what was said about that.
pub(super) struct Admission {
    limits: Limits,
    by_source: HashMap<Network, usize>,
    /// Ranks that found the table full, since there was clearly room for them.
    told: BTreeSet<Rank>,
    crowd_told: Option<Instant>,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            by_source: HashMap::new(),
            told: BTreeSet::new(),
            crowd_told: None,
        }
    }

    /// Whether one more is taken beside the `held`; ours have no source.
    pub(super) fn check(
        &self,
        rank: Rank,
        source: Option<IpAddr>,
        held: usize,
    ) -> Result<(), Refused> {
        let most = match rank {
            Rank::Ours | Rank::Known => self.limits.known_source_connections_max,
            Rank::Stranger => self.limits.source_connections_max,
        };
        if let Some(source) = source.map(Network::of)
            && self.by_source.get(&source).is_some_and(|has| *has >= most)
        {
            return Err(Refused::Crowded(source));
        }
        match held < self.share(rank) {
            true => Ok(()),
            false => Err(Refused::Full),
        }
    }

    /// Whether a refusal is worth a line in the log: the first of many is.
    pub(super) fn is_news(&mut self, rank: Rank, refused: Refused, now: Instant) -> bool {
        match refused {
            Refused::Full => self.told.insert(rank),
            Refused::Crowded(_) => {
                let is_news = self.crowd_told.is_none_or(|at| now.since(at) >= QUIET_TIME);
                if is_news {
                    self.crowd_told = Some(now);
                }
                is_news
            }
        }
    }

    /// Counts a connection of this source, to be released as what is returned.
    pub(super) fn take(&mut self, source: IpAddr) -> Network {
        let source = Network::of(source);
        *self.by_source.entry(source).or_default() += 1;
        source
    }

    pub(super) fn release(&mut self, source: Network) {
        match self.by_source.get_mut(&source) {
            Some(has) if *has > 1 => *has -= 1,
            Some(_) | None => {
                self.by_source.remove(&source);
            }
        }
    }

    /// The table holds so many now: a rank that has clearly room again is told of the next time that it has
    /// none.
    pub(super) fn shrunk_to(&mut self, held: usize) {
        if !self.told.is_empty() {
            let limits = self.limits;
            self.told
                .retain(|rank| held * 8 >= share(&limits, *rank) * 7);
        }
    }

    fn share(&self, rank: Rank) -> usize {
        share(&self.limits, rank)
    }
}

/// How many connections there may be for one more of this rank.
fn share(limits: &Limits, rank: Rank) -> usize {
    let most = limits.connections_max;
    match rank {
        Rank::Ours => most,
        Rank::Known => most - most / 8,
        Rank::Stranger => most - most / 4,
    }
}

impl Connections {
    /// Whether one more connection is taken. For who is known, one that was idle for too long makes room.
    pub(super) fn has_room(
        &mut self,
        registry: &Registry,
        rank: Rank,
        source: Option<IpAddr>,
        now: Instant,
        counts: &mut NetGauges,
    ) -> bool {
        let Err(refused) = self.admission.check(rank, source, self.slots.len()) else {
            return true;
        };
        if rank != Rank::Stranger
            && let Some(idle) = self.idlest(refused, now)
        {
            self.close(registry, idle, End::Idle, counts);
            return true;
        }
        if self.admission.is_news(rank, refused, now) {
            match (refused, rank) {
                (Refused::Crowded(_), _) => tracing::warn!(
                    source = source.map(tracing::field::display),
                    "a source has as many SIP connections as it may, more are refused: see \
                     limits.source_connections_max and known_source_connections_max"
                ),
                (Refused::Full, Rank::Stranger) => tracing::warn!(
                    connections = self.slots.len(),
                    "no SIP connections are taken from unknown sources, the rest of the table is kept for \
                     carriers and customers: see limits.connections_max"
                ),
                (Refused::Full, Rank::Known | Rank::Ours) => tracing::warn!(
                    connections = self.slots.len(),
                    ?rank,
                    "the table of SIP connections is full, carriers and customers are affected: raise \
                     limits.connections_max"
                ),
            }
        }
        false
    }

    /// The connection that has been idle for longest, beyond its time, where closing it helps.
    fn idlest(&self, refused: Refused, now: Instant) -> Option<usize> {
        let all = self.slots.iter().filter(|(_, connection)| {
            let helps = match refused {
                Refused::Full => true,
                Refused::Crowded(source) => connection.source == Some(source),
            };
            helps && connection.state == State::Established && connection.deadline <= now
        });
        let idlest = all.min_by_key(|(_, connection)| connection.deadline);
        idlest.map(|(slot, _)| slot)
    }
}
