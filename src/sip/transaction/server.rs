//! The non-INVITE server transaction: RFC 3261 §17.2.2 figure 8.

use super::Action::{ReportTransportError, Resend, Send, Start};
use super::{Timer, Transition, to};

/// States of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The request came, nothing was answered.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// The final response was sent.
    Completed,
    /// Gone.
    Terminated,
}

/// Events the machine knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The request came again.
    Retransmission,
    /// The transaction user answers 1xx.
    Provisional,
    /// The transaction user answers 200 to 699.
    Final,
    /// A timer fired.
    Fired(Timer),
    /// The transport could not send.
    TransportError,
}

/// The table.
pub fn step(state: State, event: Event) -> Transition<State> {
    use Event::{Final, Fired, Provisional, Retransmission, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    use Timer::{A, B, D, E, F, G, H, I, J, K, L, M};
    match (state, event) {
        // §17.2.2
        (Trying, Retransmission) => to(Trying, &[]),
        (Trying | Proceeding, Provisional) => to(Proceeding, &[Send]),
        (Trying | Proceeding, Final) => to(Completed, &[Send, Start(Timer::J)]),
        (Proceeding | Completed, Retransmission) => to(state, &[Resend]),
        (Proceeding | Completed, TransportError) => to(Terminated, &[ReportTransportError]),
        (Completed, Fired(J)) => to(Terminated, &[]),
        // What means nothing in a state.
        (Completed | Terminated, Provisional | Final) => to(state, &[]),
        (Terminated, Retransmission) => to(state, &[]),
        (Trying | Terminated, TransportError) => to(state, &[]),
        (Trying | Proceeding | Terminated, Fired(J)) => to(state, &[]),
        (
            Trying | Proceeding | Completed | Terminated,
            Fired(A | B | D | E | F | G | H | I | K | L | M),
        ) => to(state, &[]),
    }
}
