//! Whose turn it is to describe the session on one leg (RFC 3264 §4, RFC 6337 §2.2).
//!
//! A leg has at most one offer that was not answered. Which message carries a description does not
//! matter here; an answer in a provisional response that is not reliable is a foretaste and no event.

use crate::gateway::Refusal;
use crate::sip::writer::reason_phrase;

/// Seconds after which an offer that came too early may come again (RFC 3261 §14.2: 0 to 10).
const RETRY_AFTER: u32 = 1;

/// Where a leg stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// Nothing is offered.
    #[default]
    Idle,
    /// Our offer waits for the peer's answer.
    OfferSent,
    /// The peer's offer waits for ours.
    OfferReceived,
}

/// What happens on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    SendOffer,
    ReceiveOffer,
    SendAnswer,
    ReceiveAnswer,
    /// The offer that is out was rejected, or its request failed: the session stays as it was.
    Reject,
}

/// Why an event may not happen now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// An offer of ours is out.
    Ours,
    /// An offer of the peer is out.
    Theirs,
    /// An answer to nothing.
    Nothing,
}

impl Fault {
    /// What the peer's request is answered (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Ours => Refusal::new(491, reason_phrase(491)),
            Self::Theirs => Refusal {
                retry_after: Some(RETRY_AFTER),
                ..Refusal::new(500, "Another Offer Is In Progress")
            },
            Self::Nothing => Refusal::new(400, "Answer Without An Offer"),
        }
    }
}

impl State {
    /// The table.
    pub(super) fn step(self, event: Event) -> Result<Self, Fault> {
        use Event::{ReceiveAnswer, ReceiveOffer, Reject, SendAnswer, SendOffer};
        use State::{Idle, OfferReceived, OfferSent};
        match (self, event) {
            // RFC 3264 §5
            (Idle, SendOffer) => Ok(OfferSent),
            (Idle, ReceiveOffer) => Ok(OfferReceived),
            // §6, §7
            (OfferSent, ReceiveAnswer) => Ok(Idle),
            (OfferReceived, SendAnswer) => Ok(Idle),
            // RFC 6337 §2.3: a rejected offer is as if it had not been.
            (Idle | OfferSent | OfferReceived, Reject) => Ok(Idle),
            // RFC 3264 §4: no offer before the last one is answered.
            (OfferSent, SendOffer | ReceiveOffer | SendAnswer) => Err(Fault::Ours),
            (OfferReceived, SendOffer | ReceiveOffer | ReceiveAnswer) => Err(Fault::Theirs),
            (Idle, SendAnswer | ReceiveAnswer) => Err(Fault::Nothing),
        }
    }

    /// Takes the event where it may happen. One that may not changes nothing: a second answer, say, is
    /// the first one again (RFC 3261 §13.2.1). Whether it was taken.
    pub(super) fn note(&mut self, event: Event) -> bool {
        let next = self.step(event);
        if let Ok(next) = next {
            *self = next;
        }
        next.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State, event, next state or fault: every pair there is.
    const TABLE: &str = "
        Idle           SendOffer      OfferSent
        Idle           ReceiveOffer   OfferReceived
        Idle           SendAnswer     Nothing
        Idle           ReceiveAnswer  Nothing
        Idle           Reject         Idle
        OfferSent      SendOffer      Ours
        OfferSent      ReceiveOffer   Ours
        OfferSent      SendAnswer     Ours
        OfferSent      ReceiveAnswer  Idle
        OfferSent      Reject         Idle
        OfferReceived  SendOffer      Theirs
        OfferReceived  ReceiveOffer   Theirs
        OfferReceived  SendAnswer     Idle
        OfferReceived  ReceiveAnswer  Theirs
        OfferReceived  Reject         Idle
    ";

    #[test]
    fn offer_and_answer_are_their_table() {
        let mut rows = String::new();
        for state in [State::Idle, State::OfferSent, State::OfferReceived] {
            for event in [
                Event::SendOffer,
                Event::ReceiveOffer,
                Event::SendAnswer,
                Event::ReceiveAnswer,
                Event::Reject,
            ] {
                let outcome = match state.step(event) {
                    Ok(next) => format!("{next:?}"),
                    Err(fault) => format!("{fault:?}"),
                };
                rows += &format!("{state:?} {event:?} {outcome}\n");
            }
        }
        let expected: Vec<String> = TABLE
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(rows.trim_end(), expected.join("\n"));
    }

    #[test]
    fn an_offer_that_meets_one_of_ours_is_told_to_try_again() {
        assert_eq!(Fault::Ours.refusal().status, 491);
        let theirs = Fault::Theirs.refusal();
        assert_eq!((theirs.status, theirs.retry_after), (500, Some(1)));
    }
}
