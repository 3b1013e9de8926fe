//! Who may send how much, and who is not listened to for a while.
//!
//! Asked before a message is parsed. A source is an IPv4 address or an IPv6 /64: what one subscriber has.
//! The table is bounded: who is new takes the place of one that has been quiet, and a flood from ever new
//! addresses is the business of [`super::Shard::set_lag`].
//!
//! A datagram's source can be forged. So nobody is banned who is known: a carrier's sources, the networks
//! that a connector allows, and the places that routes lead to. They have a limit of their own, and a wrong password is answered every time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::snapshot::Snapshot;
use crate::config::Limits;
use crate::instant::Instant;

/// Sources that are remembered.
const SOURCES_MAX: usize = 16_384;
/// Places looked at for one that can be given away.
const PROBES: usize = 8;
/// Points at which a source is banned; one point is forgiven a second.
const POINTS_MAX: u32 = 100;
/// How often a ban is doubled at most.
const DOUBLINGS_MAX: u8 = 8;
/// A source that was quiet for so long after its ban begins anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is handled.
    Pass,
    /// Its source sends more than it may.
    TooMany,
    /// Its source is banned.
    Banned,
    /// There is no time for strangers.
    Busy,
}

/// A source that is not listened to from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ban {
    /// Any address of the source.
    pub source: IpAddr,
    /// Until when.
    pub until: Instant,
    /// For how long.
    pub length: Duration,
}

/// What the guard counts; only ever up, but for `banned`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GuardCounters {
    /// Messages dropped because their source sent too many.
    pub too_many: u64,
    /// Messages dropped because their source was banned.
    pub from_banned: u64,
    /// Messages of strangers dropped because the shard lagged.
    pub busy: u64,
    /// Sources banned now, as far as they were heard of since their ban ended.
    pub banned: u64,
}

/// The sources of one shard.
pub(super) struct Guard {
    limits: Limits,
    places: Vec<Source>,
    by_network: HashMap<Network, usize>,
    /// Where the next place to be given away is looked for.
    hand: usize,
    /// Counts snapshots: what was found in an older one is looked up again.
    epoch: u32,
    pub(super) counters: GuardCounters,
}

/// What one subscriber has: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Network(u128);

impl Network {
    /// As bytes.
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => {
                let host_bits = u128::from(u64::MAX);
                Self(Ipv6Addr::to_bits(address) & !host_bits)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Source {
    network: Network,
    /// Messages a second that it may send.
    per_second: u32,
    /// Messages that may come at once, in thousandths: up to a second's.
    tokens: u64,
    heard: Instant,
    points: u32,
    banned_until: Option<Instant>,
    bans: u8,
    /// Whether the snapshot of this epoch knows this address: neighbours in a /64 need not be alike.
    known: Option<(u32, IpAddr, bool)>,
    /// Up to when points were forgiven.
    forgiven: Instant,
}

impl Guard {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: Vec::new(),
            by_network: HashMap::new(),
            hand: 0,
            epoch: 0,
            counters: GuardCounters::default(),
        }
    }

    /// Routing data has changed: who is known, too.
    pub(super) fn renew(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Decides over a message from this address. `released` tells that a ban was over.
    pub(super) fn admit(
        &mut self,
        address: IpAddr,
        only_known: bool,
        now: Instant,
        snapshot: &Snapshot,
    ) -> (Verdict, bool) {
        let (limits, epoch) = (self.limits, self.epoch);
        let source = self.source(address, now);
        let mut released = false;
        if let Some(until) = source.banned_until {
            // Who has become known since is let off.
            if now < until && !source.is_known(address, epoch, snapshot) {
                self.counters.from_banned += 1;
                return (Verdict::Banned, false);
            }
            source.banned_until = None;
            released = true;
        }
        let mut is_known = || source.is_known(address, epoch, snapshot);
        let verdict = match only_known && !is_known() {
            true => Verdict::Busy,
            false => source.take(address, epoch, &limits, now, snapshot),
        };
        if released {
            self.counters.banned = self.counters.banned.saturating_sub(1);
        }
        match verdict {
            Verdict::TooMany => self.counters.too_many += 1,
            Verdict::Busy => self.counters.busy += 1,
            Verdict::Pass | Verdict::Banned => {}
        }
        (verdict, released)
    }

    /// A carrier has proven that it sends from this address: it is known, until routing data changes.
    pub(super) fn is_carriers(&mut self, address: IpAddr, now: Instant) {
        let epoch = self.epoch;
        self.source(address, now).known = Some((epoch, address, true));
    }

    /// A source did what scanners do; the ban that this makes, if any.
    pub(super) fn suspect(
        &mut self,
        address: IpAddr,
        points: u32,
        now: Instant,
        snapshot: &Snapshot,
    ) -> Option<Ban> {
        let (shortest, longest, epoch) = (self.limits.ban, self.limits.ban_max, self.epoch);
        if shortest.is_zero() {
            return None;
        }
        let source = self.source(address, now);
        source.points = source.points.saturating_add(points);
        if source.points < POINTS_MAX || source.is_known(address, epoch, snapshot) {
            return None;
        }
        let length = (shortest * (1 << source.bans.min(DOUBLINGS_MAX))).min(longest.max(shortest));
        let ban = Ban {
            source: address,
            until: now + length,
            length,
        };
        self.ban(&ban, now);
        Some(ban)
    }

    /// Does not listen to a source any more, whoever decided so.
    pub(super) fn ban(&mut self, ban: &Ban, now: Instant) {
        let source = self.source(ban.source, now);
        let was_banned = source.banned_until.replace(ban.until).is_some();
        source.points = 0;
        source.bans = source.bans.saturating_add(1);
        self.counters.banned += u64::from(!was_banned);
    }

    /// Whether an address is banned; for connections that are to be accepted.
    pub(super) fn is_banned(&self, address: IpAddr, now: Instant) -> bool {
        let place = self.by_network.get(&Network::of(address));
        let source = place.and_then(|place| self.places.get(*place));
        source.is_some_and(|source| source.banned_until.is_some_and(|until| now < until))
    }

    fn source(&mut self, address: IpAddr, now: Instant) -> &mut Source {
        let network = Network::of(address);
        let place = match self.by_network.get(&network) {
            Some(place) => *place,
            None => self.take_place(network, now),
        };
        let source = &mut self.places[place];
        source.pass_time(now);
        source
    }

    /// A place for a new source: a free one, or that of one that has been quiet.
    fn take_place(&mut self, network: Network, now: Instant) -> usize {
        let fresh = Source {
            network,
            per_second: self.limits.source_messages_per_second,
            tokens: full(self.limits.source_messages_per_second),
            heard: now,
            points: 0,
            banned_until: None,
            bans: 0,
            known: None,
            forgiven: now,
        };
        let place = if self.places.len() < SOURCES_MAX {
            self.places.push(fresh);
            self.places.len() - 1
        } else {
            let place = self.quiet_place(now);
            let before = std::mem::replace(&mut self.places[place], fresh);
            self.counters.banned -= u64::from(before.banned_until.is_some());
            self.by_network.remove(&before.network);
            place
        };
        self.by_network.insert(network, place);
        place
    }

    fn quiet_place(&mut self, now: Instant) -> usize {
        let first = self.hand;
        self.hand = (self.hand + PROBES) % self.places.len();
        let probes = (first..first + PROBES).map(|place| place % self.places.len());
        let worth = |place: &usize| {
            let source = &self.places[*place];
            let is_banned = source.banned_until.is_some_and(|until| now < until);
            (is_banned, source.points, source.heard)
        };
        probes.min_by_key(worth).unwrap_or(first)
    }
}

/// A bucket with a second's messages.
fn full(per_second: u32) -> u64 {
    u64::from(per_second) * 1_000
}

impl Source {
    fn pass_time(&mut self, now: Instant) {
        let seconds = now.since(self.forgiven).as_secs();
        self.forgiven += Duration::from_secs(seconds);
        self.points = self
            .points
            .saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
        if now.since(self.heard) >= FORGIVEN_AFTER {
            self.bans = 0;
        }
    }

    /// Whether it is known is only looked up where that matters: a known source has a larger bucket.
    fn take(
        &mut self,
        address: IpAddr,
        epoch: u32,
        limits: &Limits,
        now: Instant,
        snapshot: &Snapshot,
    ) -> Verdict {
        let micros = u64::try_from(now.since(self.heard).as_micros()).unwrap_or(u64::MAX);
        let earned = micros.saturating_mul(u64::from(self.per_second)) / 1_000;
        self.tokens = self
            .tokens
            .saturating_add(earned)
            .min(full(self.per_second));
        self.heard = now;
        if self.tokens < 1_000 {
            let before = self.per_second;
            self.per_second = match self.is_known(address, epoch, snapshot) {
                true => limits.known_source_messages_per_second,
                false => limits.source_messages_per_second,
            };
            if self.per_second > before {
                self.tokens = full(self.per_second - before);
            }
        }
        match self.tokens.checked_sub(1_000) {
            Some(rest) => {
                self.tokens = rest;
                Verdict::Pass
            }
            None => Verdict::TooMany,
        }
    }

    fn is_known(&mut self, address: IpAddr, epoch: u32, snapshot: &Snapshot) -> bool {
        if let Some((of, whom, known)) = self.known
            && (of, whom) == (epoch, address)
        {
            return known;
        }
        let known = snapshot.knows_source(address.to_canonical());
        self.known = Some((epoch, address, known));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Carrier;

    const STRANGER: &str = "203.0.113.9";
    const CARRIER: &str = "192.0.2.1";

    fn start() -> Instant {
        Instant::from_micros(1_000_000)
    }

    fn limits() -> Limits {
        Limits {
            source_messages_per_second: 10,
            known_source_messages_per_second: 100,
            ban: Duration::from_secs(60),
            ban_max: Duration::from_secs(300),
            ..Limits::default()
        }
    }

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.set_carriers([Carrier {
            name: "one".to_owned(),
            sources: vec!["192.0.2.0/24".parse().unwrap()],
            routes: Vec::new(),
            tls: Default::default(),
            policy: Default::default(),
        }]);
        snapshot
    }

    fn admit(guard: &mut Guard, source: &str, now: Instant) -> Verdict {
        guard
            .admit(source.parse().unwrap(), false, now, &snapshot())
            .0
    }

    fn passed(guard: &mut Guard, source: &str, tries: u32, now: Instant) -> u32 {
        (0..tries).fold(0, |passed, _| {
            passed + u32::from(admit(guard, source, now) == Verdict::Pass)
        })
    }

    #[test]
    fn a_source_may_send_so_much_a_second_and_a_known_one_more() {
        let mut guard = Guard::new(limits());
        assert_eq!(passed(&mut guard, STRANGER, 1_000, start()), 10);
        assert_eq!(guard.counters.too_many, 990);
        assert_eq!(passed(&mut guard, CARRIER, 1_000, start()), 100);
        let later = start() + Duration::from_millis(500);
        assert_eq!(passed(&mut guard, STRANGER, 1_000, later), 5);
        assert_eq!(passed(&mut guard, CARRIER, 1_000, later), 50);
        // Another source has nothing to do with it; another address of an IPv6 subscriber has.
        assert_eq!(passed(&mut guard, "203.0.113.10", 5, later), 5);
        assert_eq!(passed(&mut guard, "2001:db8::1", 6, later), 6);
        assert_eq!(passed(&mut guard, "2001:db8::2", 6, later), 4);
        assert_eq!(passed(&mut guard, "2001:db8:0:1::2", 6, later), 6);
    }

    #[test]
    fn where_a_carrier_has_shown_its_certificate_it_is_known_until_routing_data_changes() {
        let mut guard = Guard::new(limits());
        let source: IpAddr = STRANGER.parse().unwrap();
        guard.suspect(source, 100, start(), &snapshot()).unwrap();
        assert_eq!(admit(&mut guard, STRANGER, start()), Verdict::Banned);
        guard.is_carriers(source, start());
        assert_eq!(admit(&mut guard, STRANGER, start()), Verdict::Pass);
        let later = start() + Duration::from_secs(2);
        assert_eq!(passed(&mut guard, STRANGER, 1_000, later), 100);
        guard.renew();
        // What it has saved up is still its own.
        let later = later + Duration::from_secs(2);
        assert_eq!(passed(&mut guard, STRANGER, 1_000, later), 100);
        let later = later + Duration::from_secs(2);
        assert_eq!(passed(&mut guard, STRANGER, 1_000, later), 10);
    }

    #[test]
    fn a_scanner_is_banned_for_longer_each_time_and_released() {
        let mut guard = Guard::new(limits());
        let source: IpAddr = STRANGER.parse().unwrap();
        let mut now = start();
        for seconds in [60, 120, 240, 300, 300] {
            assert_eq!(guard.suspect(source, 99, now, &snapshot()), None);
            let ban = guard.suspect(source, 1, now, &snapshot()).expect("a ban");
            assert_eq!(ban.length, Duration::from_secs(seconds));
            assert!(guard.is_banned(source, now));
            assert_eq!(guard.counters.banned, 1);
            now += Duration::from_secs(seconds) - Duration::from_micros(1);
            assert_eq!(admit(&mut guard, STRANGER, now), Verdict::Banned);
            now += Duration::from_micros(1);
            assert!(!guard.is_banned(source, now));
            let (verdict, released) = guard.admit(source, false, now, &snapshot());
            assert_eq!((verdict, released), (Verdict::Pass, true));
            assert_eq!(guard.counters.banned, 0);
        }
        // A day without a ban, and it begins anew.
        now += FORGIVEN_AFTER;
        guard.suspect(source, 0, now, &snapshot());
        let ban = guard.suspect(source, 100, now, &snapshot());
        assert_eq!(ban.unwrap().length, Duration::from_secs(60));
    }

    #[test]
    fn mistakes_are_forgiven_with_time() {
        let mut guard = Guard::new(limits());
        let source: IpAddr = STRANGER.parse().unwrap();
        let mut now = start();
        for _ in 0..1_000 {
            assert_eq!(guard.suspect(source, 10, now, &snapshot()), None);
            now += Duration::from_secs(10);
            admit(&mut guard, STRANGER, now);
        }
    }

    #[test]
    fn nobody_who_is_known_is_banned() {
        let mut guard = Guard::new(limits());
        let source: IpAddr = CARRIER.parse().unwrap();
        for _ in 0..100 {
            assert_eq!(guard.suspect(source, 100, start(), &snapshot()), None);
        }
        assert_eq!(admit(&mut guard, CARRIER, start()), Verdict::Pass);
        // Until it is not known any more.
        guard.renew();
        let nobody = Snapshot::default();
        assert!(guard.suspect(source, 100, start(), &nobody).is_some());
    }

    #[test]
    fn whoever_becomes_known_is_let_off() {
        let mut guard = Guard::new(limits());
        let source: IpAddr = CARRIER.parse().unwrap();
        let nobody = Snapshot::default();
        assert!(guard.suspect(source, 100, start(), &nobody).is_some());
        let verdict =
            |guard: &mut Guard, snapshot: &Snapshot| guard.admit(source, false, start(), snapshot);
        assert_eq!(verdict(&mut guard, &nobody), (Verdict::Banned, false));
        guard.renew();
        assert_eq!(verdict(&mut guard, &snapshot()), (Verdict::Pass, true));
        assert_eq!(guard.counters.banned, 0);
    }

    #[test]
    fn strangers_wait_while_there_is_no_time() {
        let mut guard = Guard::new(limits());
        let verdict = |guard: &mut Guard, source: &str| {
            guard
                .admit(source.parse().unwrap(), true, start(), &snapshot())
                .0
        };
        assert_eq!(verdict(&mut guard, STRANGER), Verdict::Busy);
        assert_eq!(verdict(&mut guard, CARRIER), Verdict::Pass);
        assert_eq!(guard.counters.busy, 1);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_who_are_banned() {
        let mut guard = Guard::new(limits());
        let scanner: IpAddr = STRANGER.parse().unwrap();
        assert!(guard.suspect(scanner, 100, start(), &snapshot()).is_some());
        let address = |number: u32| IpAddr::V4((0x0b00_0000 + number).into());
        let mut now = start();
        for number in 0..3 * SOURCES_MAX as u32 {
            now += Duration::from_micros(100);
            guard.admit(address(number), false, now, &snapshot());
        }
        assert_eq!(guard.places.len(), SOURCES_MAX);
        assert_eq!(guard.by_network.len(), SOURCES_MAX);
        assert!(guard.is_banned(scanner, now));
    }
}
