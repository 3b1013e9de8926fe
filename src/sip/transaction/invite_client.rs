//! The INVITE client transaction: RFC 3261 §17.1.1 figure 5, as corrected by RFC 6026 §7.2 and §8.4.

use super::Action::{
    Deliver, Repeat, ReportTimeout, ReportTransportError, Resend, Send, SendAck, Start, Stop,
};
use super::{Timer, Transition, to};

/// States of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The INVITE was sent, nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A failure response came and was acknowledged.
    Completed,
    /// A 2xx came; more of them may (RFC 6026).
    Accepted,
    /// Gone.
    Terminated,
}

/// Events the machine knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The transaction user sends the INVITE.
    Start,
    /// A 1xx response.
    Provisional,
    /// A 2xx response.
    Success,
    /// A 300 to 699 response.
    Failure,
    /// A timer fired.
    Fired(Timer),
    /// The transport could not send.
    TransportError,
}

/// The table.
pub fn step(state: State, event: Event) -> Transition<State> {
    use Event::{Failure, Fired, Provisional, Success, TransportError};
    use State::{Accepted, Calling, Completed, Proceeding, Terminated};
    use Timer::{A, B, D, E, F, G, H, I, J, K, L, M};
    match (state, event) {
        // §17.1.1.2
        (Calling, Event::Start) => to(Calling, &[Send, Start(A), Start(B)]),
        (Calling, Fired(A)) => to(Calling, &[Resend, Repeat(A)]),
        (Calling, Fired(B)) => to(Terminated, &[ReportTimeout]),
        (Calling, Provisional) => to(Proceeding, &[Stop(A), Stop(B), Deliver]),
        (Calling | Proceeding, TransportError) => to(Terminated, &[ReportTransportError]),
        (Proceeding, Provisional) => to(Proceeding, &[Deliver]),
        // The timer starts before the delivery: the user may end the transaction's owner there.
        (Calling | Proceeding, Failure) => {
            to(Completed, &[Stop(A), Stop(B), SendAck, Start(D), Deliver])
        }
        (Completed, Failure) => to(Completed, &[SendAck]),
        (Completed, Fired(D)) => to(Terminated, &[]),
        (Completed, TransportError) => to(Terminated, &[ReportTransportError]),
        // RFC 6026 §7.2
        (Calling | Proceeding, Success) => to(Accepted, &[Stop(A), Stop(B), Start(M), Deliver]),
        (Accepted, Success) => to(Accepted, &[Deliver]),
        (Accepted, Fired(M)) => to(Terminated, &[]),
        // What means nothing in a state.
        (Proceeding | Completed | Accepted | Terminated, Event::Start) => to(state, &[]),
        (Completed | Accepted | Terminated, Provisional) => to(state, &[]),
        (Completed | Terminated, Success) => to(state, &[]),
        (Accepted | Terminated, Failure) => to(state, &[]),
        (Accepted | Terminated, TransportError) => to(state, &[]),
        (Proceeding | Completed | Accepted | Terminated, Fired(A | B)) => to(state, &[]),
        (Calling | Proceeding | Accepted | Terminated, Fired(D)) => to(state, &[]),
        (Calling | Proceeding | Completed | Terminated, Fired(M)) => to(state, &[]),
        (
            Calling | Proceeding | Completed | Accepted | Terminated,
            Fired(E | F | G | H | I | J | K | L),
        ) => to(state, &[]),
    }
}
