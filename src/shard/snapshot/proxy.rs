//! Proxy sessions as calls see them: who reaches whom through which number.

use std::sync::Arc;

use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;
use crate::numbering::E164;

/// A session that has not ended when it was published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxySession {
    /// `ProxySessionId`
    pub id: Arc<str>,
    /// Whose numbers it uses.
    pub connector: VoiceConnectorId,
    /// The two participants.
    pub participants: [ProxyParticipant; 2],
    /// Has the capability `Voice`.
    pub voice: bool,
    /// Has the capability `SMS`.
    pub sms: bool,
    /// It is `InProgress`, and kept as that: nobody has to be told that it is used.
    pub in_progress: bool,
    /// From then on it is over; `None` where it does not expire.
    pub ends: Option<Instant>,
}

/// A participant of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyParticipant {
    /// Its own number.
    pub number: E164,
    /// `ProxyPhoneNumber`: what it dials to reach the other one, and is called from.
    pub proxy: E164,
}

impl ProxySession {
    /// Whether it has not expired yet.
    pub fn is_open(&self, now: Instant) -> bool {
        self.ends.is_none_or(|end| now < end)
    }

    /// The participant that is not this one.
    pub fn other(&self, participant: E164) -> &ProxyParticipant {
        let [first, second] = &self.participants;
        if first.number == participant {
            second
        } else {
            first
        }
    }
}

/// All sessions that are kept. Of those that have not ended, a participant and the number that it dials tell which one is
/// meant.
#[derive(Clone, Default, Debug)]
pub struct ProxySessions {
    kept: imbl::HashMap<Arc<str>, Arc<ProxySession>>,
    /// Not ended: what a participant dials, and in which session.
    by_leg: imbl::HashMap<(E164, E164), Arc<ProxySession>>,
    /// Not ended, in the order in which they expire.
    by_end: imbl::OrdSet<(Instant, Arc<str>)>,
    /// Numbers that stand, or have stood, for participants: for those of which connectors, and how many times.
    proxies: imbl::HashMap<E164, Vec<(VoiceConnectorId, u32)>>,
    /// Not ended: participants' own numbers, with how many sessions they are in.
    participants: imbl::HashMap<E164, u32>,
}

impl ProxySessions {
    /// Puts a session in that has not ended, or its new version in the place of the old one. Whichever had one of its
    /// pairs of participant and number has expired, and may not have been ended yet.
    pub fn put(&mut self, session: ProxySession) {
        self.forget(&session.id);
        for participant in &session.participants {
            let before = self.by_leg.get(&leg(participant));
            if let Some(before) = before.map(|before| Arc::clone(&before.id)) {
                self.end(&before);
            }
        }
        let session = self.keep(session);
        for participant in &session.participants {
            self.by_leg.insert(leg(participant), Arc::clone(&session));
            count(&mut self.participants, participant.number);
        }
        if let Some(end) = session.ends {
            self.by_end.insert((end, Arc::clone(&session.id)));
        }
    }

    /// Puts a session in that has ended: its numbers stay what they are.
    pub fn put_ended(&mut self, session: ProxySession) {
        self.forget(&session.id);
        self.keep(session);
    }

    /// A session has ended; its numbers stay what they are.
    pub fn end(&mut self, id: &str) {
        let Some(session) = self.kept.get(id).cloned() else {
            return;
        };
        let mut was_open = false;
        for participant in &session.participants {
            let leg = leg(participant);
            // Another session may have the pair by now.
            let is_it = |found: &Arc<ProxySession>| found.id == session.id;
            if self.by_leg.get(&leg).is_some_and(is_it) {
                self.by_leg.remove(&leg);
                was_open = true;
            }
        }
        if was_open {
            for participant in &session.participants {
                uncount(&mut self.participants, participant.number);
            }
        }
        if let Some(end) = session.ends {
            self.by_end.remove(&(end, Arc::clone(&session.id)));
        }
    }

    /// A session is not kept any more.
    pub fn forget(&mut self, id: &str) {
        self.end(id);
        if let Some(session) = self.kept.remove(id) {
            for participant in &session.participants {
                self.uncount_proxy(participant.proxy, session.connector);
            }
        }
    }

    /// A connector is gone, and its sessions with it.
    pub fn forget_connector(&mut self, connector: VoiceConnectorId) {
        let of_it = self.kept.values();
        let of_it = of_it.filter(|session| session.connector == connector);
        let of_it: Vec<_> = of_it.map(|session| Arc::clone(&session.id)).collect();
        for id in of_it {
            self.forget(&id);
        }
    }

    /// The open session in which this caller dials this number.
    pub fn find(&self, caller: E164, dialled: E164, now: Instant) -> Option<&Arc<ProxySession>> {
        let session = self.by_leg.get(&(caller, dialled))?;
        session.is_open(now).then_some(session)
    }

    /// A session that is kept, ended or not.
    pub fn get(&self, id: &str) -> Option<&Arc<ProxySession>> {
        self.kept.get(id)
    }

    /// The connectors with a session that is kept in which the number stands, or stood, for a participant. It may be
    /// somebody else's by now.
    pub fn connectors_of(&self, number: E164) -> impl Iterator<Item = VoiceConnectorId> {
        let counts = self.proxies.get(&number).into_iter().flatten();
        counts.map(|(connector, _)| *connector)
    }

    /// Whether the number is a participant's own in a session that has not ended.
    pub fn has_participant(&self, number: E164) -> bool {
        self.participants.contains_key(&number)
    }

    /// Those that have expired and were not ended, to be ended.
    pub fn expired(&self, now: Instant) -> Vec<Arc<str>> {
        let expired = self.by_end.iter().take_while(|(end, _)| *end <= now);
        expired.map(|(_, id)| Arc::clone(id)).collect()
    }

    fn keep(&mut self, session: ProxySession) -> Arc<ProxySession> {
        let session = Arc::new(session);
        for participant in &session.participants {
            self.count_proxy(participant.proxy, session.connector);
        }
        self.kept
            .insert(Arc::clone(&session.id), Arc::clone(&session));
        session
    }

    fn count_proxy(&mut self, number: E164, connector: VoiceConnectorId) {
        let counts = self.proxies.entry(number).or_default();
        match counts.iter_mut().find(|(of, _)| *of == connector) {
            Some((_, count)) => *count += 1,
            None => counts.push((connector, 1)),
        }
    }

    fn uncount_proxy(&mut self, number: E164, connector: VoiceConnectorId) {
        let Some(counts) = self.proxies.get_mut(&number) else {
            return;
        };
        for (_, count) in counts.iter_mut().filter(|(of, _)| *of == connector) {
            *count = count.saturating_sub(1);
        }
        counts.retain(|(_, count)| *count > 0);
        if counts.is_empty() {
            self.proxies.remove(&number);
        }
    }
}

fn leg(participant: &ProxyParticipant) -> (E164, E164) {
    (participant.number, participant.proxy)
}

fn count(counts: &mut imbl::HashMap<E164, u32>, number: E164) {
    let count = counts.get(&number).copied().unwrap_or(0);
    counts.insert(number, count + 1);
}

fn uncount(counts: &mut imbl::HashMap<E164, u32>, number: E164) {
    match counts.get(&number).copied() {
        Some(count @ 2..) => {
            counts.insert(number, count - 1);
        }
        Some(0 | 1) | None => {
            counts.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn number(last: u64) -> E164 {
        E164::from_digits(12_065_550_000 + last).unwrap()
    }

    fn session(id: &str, numbers: [u64; 4], ends: Option<Instant>) -> ProxySession {
        let [one, one_proxy, other, other_proxy] = numbers.map(number);
        let participant = |number, proxy| ProxyParticipant { number, proxy };
        ProxySession {
            id: id.into(),
            connector: VoiceConnectorId::from_random([1; VoiceConnectorId::LENGTH]),
            participants: [participant(one, one_proxy), participant(other, other_proxy)],
            voice: true,
            sms: false,
            in_progress: false,
            ends,
        }
    }

    #[test]
    fn the_caller_and_the_number_tell_whom_it_reaches_until_the_end() {
        let mut all = ProxySessions::default();
        let end = Instant::ORIGIN + Duration::from_secs(60);
        let one = session("one", [1, 90, 2, 90], Some(end));
        all.put(one);
        let other = session("other", [3, 90, 1, 91], None);
        all.put(other.clone());

        let now = Instant::ORIGIN;
        fn reached(all: &ProxySessions, [caller, dialled]: [u64; 2], now: Instant) -> Option<E164> {
            let session = all.find(number(caller), number(dialled), now)?;
            Some(session.other(number(caller)).number)
        }
        assert_eq!(reached(&all, [1, 90], now), Some(number(2)));
        assert_eq!(reached(&all, [2, 90], now), Some(number(1)));
        assert_eq!(reached(&all, [3, 90], now), Some(number(1)));
        assert_eq!(reached(&all, [1, 91], now), Some(number(3)));
        assert_eq!(reached(&all, [3, 91], now), None);
        let before = Instant::from_micros(end.as_micros() - 1);
        assert_eq!(reached(&all, [1, 90], before), Some(number(2)));
        assert_eq!(reached(&all, [1, 90], end), None);
        assert_eq!(reached(&all, [3, 90], end), Some(number(1)));
        assert!(all.connectors_of(number(90)).next().is_some());
        assert!(all.has_participant(number(2)));

        assert_eq!(all.expired(before), []);
        assert_eq!(all.expired(end), ["one".into()]);
        all.end("one");
        all.end("one");
        assert_eq!(all.expired(end), []);
        assert_eq!(reached(&all, [1, 90], now), None);
        assert_eq!(reached(&all, [3, 90], now), Some(number(1)));
        assert!(!all.has_participant(number(2)));
        assert!(all.has_participant(number(1)), "it is in the other one");
        all.forget_connector(other.connector);
        assert_eq!(reached(&all, [3, 90], now), None);
        assert!(all.connectors_of(number(90)).next().is_none() && all.get("one").is_none());
    }

    #[test]
    fn a_session_is_what_it_was_put_last() {
        let mut all = ProxySessions::default();
        let now = Instant::ORIGIN;
        let ends = |seconds| Some(now + Duration::from_secs(seconds));
        let first = session("one", [1, 90, 2, 91], ends(60));
        all.put(first.clone());
        all.put(ProxySession {
            sms: true,
            ends: ends(90),
            ..first.clone()
        });
        let found = all.find(number(2), number(91), now + Duration::from_secs(60));
        assert!(found.is_some_and(|found| found.sms));
        assert_eq!(all.expired(now + Duration::from_secs(89)), []);
        all.put_ended(first);
        assert_eq!(all.find(number(2), number(91), now), None);
        assert_eq!(all.expired(now + Duration::from_secs(90)), []);
        assert!(all.connectors_of(number(91)).next().is_some());
        all.forget("one");
        assert!(all.connectors_of(number(91)).next().is_none() && !all.has_participant(number(1)));
    }

    #[test]
    fn a_session_that_ended_takes_nothing_of_its_successor() {
        let mut all = ProxySessions::default();
        let old = session("old", [1, 90, 2, 90], None);
        all.put(old);
        let new = session("new", [1, 90, 4, 91], None);
        all.put(new);
        all.end("old");
        let now = Instant::ORIGIN;
        assert_eq!(&*all.find(number(1), number(90), now).unwrap().id, "new");
        assert_eq!(all.find(number(2), number(90), now), None);
        all.forget("old");
        assert!(
            all.connectors_of(number(90)).next().is_some(),
            "the new one has it"
        );
        assert!(all.has_participant(number(1)));
        all.forget("new");
        assert!(all.connectors_of(number(90)).next().is_none());
    }

    #[test]
    fn an_expired_session_that_is_replaced_before_it_is_ended_counts_no_longer() {
        let mut all = ProxySessions::default();
        let end = Instant::ORIGIN + Duration::from_secs(60);
        all.put(session("old", [1, 90, 2, 91], Some(end)));
        all.put(session("new", [1, 90, 2, 91], None));
        all.end("old");
        all.forget("old");
        assert!(all.has_participant(number(1)) && all.has_participant(number(2)));
        all.put(session("half", [1, 90, 3, 91], None));
        assert_eq!(all.find(number(2), number(91), Instant::ORIGIN), None);
        for id in ["new", "half"] {
            all.end(id);
        }
        assert!((1..4).all(|last| !all.has_participant(number(last))));
        assert_eq!(all.expired(end), []);
    }
}
