//! The INVITE server transaction: RFC 3261 §17.2.1 figure 7, as corrected by RFC 6026 §7.1 and §8.5.
//!
//! Retransmitting a 2xx until its ACK comes is the transaction user's (RFC 3261 §13.3.1.4); it passes
//! through the machine as another [`Event::Success`].

use super::Action::{
    Deliver, Repeat, ReportTimeout, ReportTransportError, Resend, Send, Start, Stop,
};
use super::{Timer, Transition, to};

/// States of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No final response yet.
    Proceeding,
    /// A failure response was sent, its ACK is awaited.
    Completed,
    /// A 2xx was sent; retransmitted INVITEs are absorbed (RFC 6026).
    Accepted,
    /// The ACK of a failure response came.
    Confirmed,
    /// Gone.
    Terminated,
}

/// Events the machine knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The INVITE came again.
    Retransmission,
    /// An ACK that matches this transaction came.
    Ack,
    /// The transaction user answers 1xx.
    Provisional,
    /// The transaction user answers 2xx.
    Success,
    /// The transaction user answers 300 to 699.
    Failure,
    /// A timer fired.
    Fired(Timer),
    /// The transport could not send.
    TransportError,
}

/// The table.
pub fn step(state: State, event: Event) -> Transition<State> {
    use Event::{Ack, Failure, Fired, Provisional, Retransmission, Success, TransportError};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    use Timer::{A, B, D, E, F, G, H, I, J, K, L, M};
    match (state, event) {
        // §17.2.1
        (Proceeding, Retransmission) => to(Proceeding, &[Resend]),
        (Proceeding, Provisional) => to(Proceeding, &[Send]),
        (Proceeding, Failure) => to(Completed, &[Send, Start(G), Start(H)]),
        (Proceeding, TransportError) => to(Terminated, &[ReportTransportError]),
        (Completed, Retransmission) => to(Completed, &[Resend]),
        (Completed, Fired(G)) => to(Completed, &[Resend, Repeat(G)]),
        (Completed, Fired(H)) => to(Terminated, &[ReportTimeout]),
        (Completed, Ack) => to(Confirmed, &[Stop(G), Stop(H), Start(I)]),
        (Completed, TransportError) => to(Terminated, &[ReportTransportError]),
        (Confirmed, Fired(I)) => to(Terminated, &[]),
        // RFC 6026 §7.1
        (Proceeding, Success) => to(Accepted, &[Send, Start(L)]),
        (Accepted, Success) => to(Accepted, &[Send]),
        (Accepted, Ack) => to(Accepted, &[Deliver]),
        (Accepted, Fired(L)) => to(Terminated, &[]),
        (Accepted, TransportError) => to(Accepted, &[ReportTransportError]),
        // What means nothing in a state.
        (Accepted | Confirmed | Terminated, Retransmission) => to(state, &[]),
        (Proceeding | Confirmed | Terminated, Ack) => to(state, &[]),
        (Completed | Accepted | Confirmed | Terminated, Provisional | Failure) => to(state, &[]),
        (Completed | Confirmed | Terminated, Success) => to(state, &[]),
        (Confirmed | Terminated, TransportError) => to(state, &[]),
        (Proceeding | Accepted | Confirmed | Terminated, Fired(G | H)) => to(state, &[]),
        (Proceeding | Completed | Accepted | Terminated, Fired(I)) => to(state, &[]),
        (Proceeding | Completed | Confirmed | Terminated, Fired(L)) => to(state, &[]),
        (
            Proceeding | Completed | Accepted | Confirmed | Terminated,
            Fired(A | B | D | E | F | J | K | M),
        ) => to(state, &[]),
    }
}
