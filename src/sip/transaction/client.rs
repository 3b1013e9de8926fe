//! The non-INVITE client transaction: RFC 3261 §17.1.2 figure 6.

use super::Action::{
    Deliver, Repeat, ReportTimeout, ReportTransportError, Resend, Send, Start, Stop,
};
use super::{Timer, Transition, to};

/// States of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The request was sent, nothing came back.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// The final response came.
    Completed,
    /// Gone.
    Terminated,
}

/// Events the machine knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The transaction user sends the request.
    Start,
    /// A 1xx response.
    Provisional,
    /// A 200 to 699 response.
    Final,
    /// A timer fired.
    Fired(Timer),
    /// The transport could not send.
    TransportError,
}

/// The table.
pub fn step(state: State, event: Event) -> Transition<State> {
    use Event::{Final, Fired, Provisional, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    use Timer::{A, B, D, E, F, G, H, I, J, K, L, M};
    match (state, event) {
        // §17.1.2.2
        (Trying, Event::Start) => to(Trying, &[Send, Start(E), Start(F)]),
        (Trying | Proceeding, Fired(E)) => to(state, &[Resend, Repeat(E)]),
        (Trying | Proceeding, Fired(F)) => to(Terminated, &[ReportTimeout]),
        (Trying | Proceeding, TransportError) => to(Terminated, &[ReportTransportError]),
        (Trying | Proceeding, Provisional) => to(Proceeding, &[Deliver]),
        (Trying | Proceeding, Final) => to(Completed, &[Stop(E), Stop(F), Start(K), Deliver]),
        (Completed, Fired(K)) => to(Terminated, &[]),
        // What means nothing in a state.
        (Proceeding | Completed | Terminated, Event::Start) => to(state, &[]),
        (Completed | Terminated, Provisional | Final | TransportError) => to(state, &[]),
        (Completed | Terminated, Fired(E | F)) => to(state, &[]),
        (Trying | Proceeding | Terminated, Fired(K)) => to(state, &[]),
        (
            Trying | Proceeding | Completed | Terminated,
            Fired(A | B | D | G | H | I | J | L | M),
        ) => to(state, &[]),
    }
}
