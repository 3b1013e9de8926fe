//! Proxy sessions as calls see them: who reaches whom through which number.

use std::sync::Arc;

use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;
use crate::numbering::E164;

/// A session that has not ended when it was published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxySession {
    /// `ProxySessionId`
    pub id: Box<str>,
    /// Whose numbers it uses.
    pub connector: VoiceConnectorId,
    /// The two participants.
    pub participants: [ProxyParticipant; 2],
    /// Has the capability `Voice`.
    pub voice: bool,
    /// Has the capability `SMS`.
    pub sms: bool,
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

/// All sessions: a participant and the number that it dials tell which one is meant.
#[derive(Clone, Default, Debug)]
pub struct ProxySessions {
    by_leg: imbl::HashMap<(E164, E164), Arc<ProxySession>>,
    /// Numbers that stand, or have stood, for participants, with the sessions that they do so in.
    numbers: imbl::HashMap<E164, u32>,
}

impl ProxySessions {
    /// Puts a session in, or its new version in the place of the old one; its numbers must have been added.
    pub fn put(&mut self, session: ProxySession) {
        let session = Arc::new(session);
        for participant in &session.participants {
            let leg = (participant.number, participant.proxy);
            self.by_leg.insert(leg, Arc::clone(&session));
        }
    }

    /// Takes out a session that has ended; its numbers stay what they are.
    pub fn end(&mut self, id: &str, participants: &[ProxyParticipant; 2]) {
        for participant in participants {
            let leg = (participant.number, participant.proxy);
            // Another session may have the pair by now.
            let is_it = |session: &Arc<ProxySession>| *session.id == *id;
            if self.by_leg.get(&leg).is_some_and(is_it) {
                self.by_leg.remove(&leg);
            }
        }
    }

    /// A session is kept, open or not: its numbers are the proxy's.
    pub fn add_numbers(&mut self, participants: &[ProxyParticipant; 2]) {
        for participant in participants {
            let sessions = self.numbers.get(&participant.proxy).copied().unwrap_or(0);
            self.numbers.insert(participant.proxy, sessions + 1);
        }
    }

    /// A session is not kept any more.
    pub fn remove_numbers(&mut self, participants: &[ProxyParticipant; 2]) {
        for participant in participants {
            match self.numbers.get(&participant.proxy).copied() {
                Some(sessions @ 2..) => {
                    self.numbers.insert(participant.proxy, sessions - 1);
                }
                Some(0 | 1) | None => {
                    self.numbers.remove(&participant.proxy);
                }
            }
        }
    }

    /// The open session in which this caller dials this number.
    pub fn find(&self, caller: E164, dialled: E164, now: Instant) -> Option<&Arc<ProxySession>> {
        let session = self.by_leg.get(&(caller, dialled))?;
        session.is_open(now).then_some(session)
    }

    /// Whether the number stands, or stood, for a participant of a session that is kept.
    pub fn has_number(&self, number: E164) -> bool {
        self.numbers.contains_key(&number)
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
            ends,
        }
    }

    #[test]
    fn the_caller_and_the_number_tell_whom_it_reaches_until_the_end() {
        let mut all = ProxySessions::default();
        let end = Instant::ORIGIN + Duration::from_secs(60);
        let one = session("one", [1, 90, 2, 90], Some(end));
        all.add_numbers(&one.participants);
        all.put(one);
        let other = session("other", [3, 90, 1, 91], None);
        all.add_numbers(&other.participants);
        all.put(other.clone());

        let now = Instant::ORIGIN;
        let reached = |caller, dialled, now| {
            let session = all.find(number(caller), number(dialled), now)?;
            Some(session.other(number(caller)).number)
        };
        assert_eq!(reached(1, 90, now), Some(number(2)));
        assert_eq!(reached(2, 90, now), Some(number(1)));
        assert_eq!(reached(3, 90, now), Some(number(1)));
        assert_eq!(reached(1, 91, now), Some(number(3)));
        assert_eq!(reached(3, 91, now), None);
        let before = Instant::from_micros(end.as_micros() - 1);
        assert_eq!(reached(1, 90, before), Some(number(2)));
        assert_eq!(reached(1, 90, end), None);
        assert_eq!(reached(3, 90, end), Some(number(1)));
        assert!(all.has_number(number(90)));
    }

    #[test]
    fn a_session_that_ended_takes_nothing_of_its_successor() {
        let mut all = ProxySessions::default();
        let old = session("old", [1, 90, 2, 90], None);
        all.add_numbers(&old.participants);
        all.put(old.clone());
        let new = session("new", [1, 90, 4, 91], None);
        all.add_numbers(&new.participants);
        all.put(new.clone());
        all.end("old", &old.participants);
        let now = Instant::ORIGIN;
        assert_eq!(&*all.find(number(1), number(90), now).unwrap().id, "new");
        assert_eq!(all.find(number(2), number(90), now), None);
        all.remove_numbers(&old.participants);
        assert!(all.has_number(number(90)), "the new one has it");
        all.remove_numbers(&new.participants);
        assert!(!all.has_number(number(90)));
    }
}
