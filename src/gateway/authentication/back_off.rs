//! Sources that do not know a connector's passwords are refused for a while, longer each time.
//!
//! Only an answer to a nonce that was given to its source counts, so nobody is locked out by datagrams in his name.
//! Each shard counts for itself, and tells all others when it begins to refuse: a guesser who spreads over Call-IDs
//! has a few tries at each shard before that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;
use crate::shard::guard::Network;

/// Wrong answers in a row with which it begins: more than a person's slips.
const WRONG_MAX: u32 = 4;
/// How long a source is refused the first time, and with each further wrong answer twice as long.
const FIRST: Duration = Duration::from_secs(8);
/// How often that is doubled: up to eight and a half minutes, a hundred and sixty guesses a day.
const DOUBLINGS_MAX: u32 = 6;
/// One wrong answer is forgiven after so long without another.
const FORGIVEN_EACH: Duration = Duration::from_secs(600);
/// Sources that are remembered. Who can fill this up holds that many addresses in the networks of customers.
const SOURCES_MAX: usize = 4_096;
/// Sources looked at for one to be forgotten where there are too many.
const PROBES: usize = 8;

/// A source that a connector refuses from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackOff {
    /// Which connector's password it does not know.
    pub connector: VoiceConnectorId,
    /// Any address of the source.
    pub source: IpAddr,
    /// Until when.
    pub until: Instant,
    /// For how long.
    pub length: Duration,
    /// Wrong answers so far.
    pub wrong: u32,
}

/// The sources of one shard that have answered wrongly.
#[derive(Default)]
pub struct BackOffs {
    sources: HashMap<(VoiceConnectorId, Network), Wrong>,
}

struct Wrong {
    /// In a row, less what was forgiven.
    answers: u32,
    /// When the last came, or one was forgiven.
    at: Instant,
    refused_until: Instant,
}

impl Wrong {
    fn pass_time(&mut self, now: Instant) {
        let passed = now.since(self.at.max(self.refused_until));
        let forgiven = passed.as_secs() / FORGIVEN_EACH.as_secs();
        if forgiven > 0 {
            let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
            self.answers = self.answers.saturating_sub(forgiven);
            self.at = now;
        }
    }
}

impl BackOffs {
    /// How long a source is still refused; `None` where it is not.
    pub(super) fn left(
        &self,
        connector: VoiceConnectorId,
        source: IpAddr,
        now: Instant,
    ) -> Option<Duration> {
        let wrong = self.sources.get(&(connector, Network::of(source)))?;
        let left = wrong.refused_until.since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A wrong answer; the refusal that begins with it.
    pub(super) fn wrong(
        &mut self,
        connector: VoiceConnectorId,
        source: IpAddr,
        now: Instant,
    ) -> Option<BackOff> {
        let wrong = self.source(connector, source, now);
        wrong.answers = wrong.answers.saturating_add(1);
        wrong.at = now;
        let doublings = wrong.answers.checked_sub(WRONG_MAX)?;
        let length = FIRST * (1 << doublings.min(DOUBLINGS_MAX));
        wrong.refused_until = now + length;
        Some(BackOff {
            connector,
            source,
            until: wrong.refused_until,
            length,
            wrong: wrong.answers,
        })
    }

    /// The right answer.
    pub(super) fn right(&mut self, connector: VoiceConnectorId, source: IpAddr) {
        self.sources.remove(&(connector, Network::of(source)));
    }

    /// Another shard has begun to refuse a source.
    pub(crate) fn learn(&mut self, told: &BackOff, now: Instant) {
        let wrong = self.source(told.connector, told.source, now);
        wrong.answers = wrong.answers.max(told.wrong);
        wrong.at = now;
        wrong.refused_until = wrong.refused_until.max(told.until);
    }

    fn source(&mut self, connector: VoiceConnectorId, source: IpAddr, now: Instant) -> &mut Wrong {
        let key = (connector, Network::of(source));
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&key) {
            let some = self.sources.iter().take(PROBES);
            let quiet = some.min_by_key(|(_, wrong)| (wrong.refused_until, wrong.at));
            if let Some(quiet) = quiet.map(|(key, _)| *key) {
                self.sources.remove(&quiet);
            }
        }
        let wrong = self.sources.entry(key).or_insert(Wrong {
            answers: 0,
            at: now,
            refused_until: Instant::ORIGIN,
        });
        wrong.pass_time(now);
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "192.0.2.7";

    fn connector(letter: u8) -> VoiceConnectorId {
        VoiceConnectorId::from_random([letter; VoiceConnectorId::LENGTH])
    }

    fn wrong(all: &mut BackOffs, now: Instant) -> Option<u64> {
        let begun = all.wrong(connector(1), SOURCE.parse().unwrap(), now);
        begun.map(|begun| begun.length.as_secs())
    }

    fn is_refused(all: &BackOffs, source: &str, now: Instant) -> bool {
        let left = all.left(connector(1), source.parse().unwrap(), now);
        left.is_some()
    }

    #[test]
    fn it_begins_after_some_wrong_answers_and_doubles() {
        let mut all = BackOffs::default();
        let mut now = Instant::from_micros(1);
        for _ in 1..WRONG_MAX {
            assert_eq!(wrong(&mut all, now), None);
        }
        for expected in [8, 16, 32, 64, 128, 256, 512, 512] {
            assert!(!is_refused(&all, SOURCE, now));
            assert_eq!(wrong(&mut all, now), Some(expected));
            let end = now + Duration::from_secs(expected);
            assert!(is_refused(
                &all,
                SOURCE,
                Instant::from_micros(end.as_micros() - 1)
            ));
            now = end;
        }
        assert!(!is_refused(
            &all,
            "192.0.2.8",
            Instant::from_micros(now.as_micros() - 1)
        ));
        let other = all.left(
            connector(2),
            SOURCE.parse().unwrap(),
            Instant::from_micros(now.as_micros() - 1),
        );
        assert_eq!(other, None);
    }

    #[test]
    fn the_right_answer_and_time_forgive() {
        let mut all = BackOffs::default();
        let mut now = Instant::from_micros(1);
        for _ in 0..100 {
            assert_eq!(wrong(&mut all, now), None);
            assert_eq!(wrong(&mut all, now), None);
            all.right(connector(1), SOURCE.parse().unwrap());
        }
        for _ in 0..100 {
            assert_eq!(wrong(&mut all, now), None);
            now += FORGIVEN_EACH;
        }
    }

    #[test]
    fn what_another_shard_tells_is_believed() {
        let (mut one, mut other) = (BackOffs::default(), BackOffs::default());
        let now = Instant::from_micros(1);
        let source: IpAddr = "2001:db8::7".parse().unwrap();
        let mut begun = None;
        for _ in 0..WRONG_MAX {
            begun = one.wrong(connector(1), source, now);
        }
        other.learn(&begun.unwrap(), now);
        // Another address of the same subscriber.
        assert!(is_refused(&other, "2001:db8::8", now));
        let next = other.wrong(connector(1), source, now + FIRST);
        assert_eq!(next.unwrap().length, FIRST * 2);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut all = BackOffs::default();
        for number in 0..3 * SOURCES_MAX as u32 {
            let source = IpAddr::V4((0x0b00_0000 + number).into());
            all.wrong(
                connector(1),
                source,
                Instant::from_micros(u64::from(number)),
            );
            assert!(all.sources.len() <= SOURCES_MAX);
        }
    }
}
