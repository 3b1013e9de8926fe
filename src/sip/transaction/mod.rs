//! The four transaction machines of RFC 3261 §17, with the corrections of RFC 6026.
//!
//! Each machine is a pure table: [`Transition`] says what state an event leads to and what is to be done.
//! Whoever holds the transactions (`shard::transactions`) keeps the messages, runs the timers and does
//! what the table says. An event that means nothing in a state stays in that state and does nothing;
//! every such row is written out, there is no catch-all.

pub mod client;
pub mod invite_client;
pub mod invite_server;
pub mod key;
pub mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::config::SipTimers;

/// The timers of RFC 3261 §17 (its table 4) and RFC 6026.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Timer {
    /// INVITE request retransmission, unreliable transports only.
    A,
    /// INVITE transaction timeout.
    B,
    /// Wait for retransmitted INVITE failure responses.
    D,
    /// Non-INVITE request retransmission, unreliable transports only.
    E,
    /// Non-INVITE transaction timeout.
    F,
    /// INVITE failure response retransmission, unreliable transports only.
    G,
    /// Wait for the ACK of a failure response.
    H,
    /// Wait for retransmitted ACKs.
    I,
    /// Wait for retransmitted non-INVITE requests.
    J,
    /// Wait for retransmitted responses to a non-INVITE.
    K,
    /// Wait for retransmitted INVITEs after a 2xx (RFC 6026 §7.1).
    L,
    /// Wait for further 2xx responses (RFC 6026 §7.2).
    M,
}

impl Timer {
    /// The first interval of a retransmission timer, the duration of any other; `None` where the timer
    /// is not used on a reliable transport, zero where it fires at once there.
    pub fn duration(self, timers: &SipTimers, reliable: bool) -> Option<Duration> {
        let when_unreliable = |duration| if reliable { Duration::ZERO } else { duration };
        match self {
            Self::A | Self::E | Self::G => (!reliable).then_some(timers.t1),
            Self::B | Self::F | Self::H | Self::L | Self::M => Some(timers.t1 * 64),
            Self::D => Some(when_unreliable(Duration::from_secs(32).max(timers.t1 * 64))),
            Self::J => Some(when_unreliable(timers.t1 * 64)),
            Self::I | Self::K => Some(when_unreliable(timers.t4)),
        }
    }

    /// The interval after `interval` of a retransmission timer: doubled, A without bound (RFC 3261
    /// §17.1.1.2), E and G up to T2 (§17.1.2.2, §17.2.1).
    pub fn next_interval(self, interval: Duration, timers: &SipTimers) -> Duration {
        match self {
            Self::A => interval * 2,
            Self::E | Self::G => (interval * 2).min(timers.t2),
            Self::B
            | Self::D
            | Self::F
            | Self::H
            | Self::I
            | Self::J
            | Self::K
            | Self::L
            | Self::M => interval,
        }
    }
}

/// What a machine asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send the message at hand and keep it for retransmission.
    Send,
    /// Send the kept message again.
    Resend,
    /// Send the ACK of a failure response (RFC 3261 §17.1.1.3), again where it was sent before.
    SendAck,
    /// Hand the message at hand to the transaction user.
    Deliver,
    /// Tell the transaction user that no answer came (RFC 3261 §8.1.3.1: as a 408).
    ReportTimeout,
    /// Tell the transaction user that the message could not be sent (§8.1.3.1: as a 503).
    ReportTransportError,
    /// Start a timer.
    Start(Timer),
    /// Start a retransmission timer again with its next interval.
    Repeat(Timer),
    /// Stop a timer.
    Stop(Timer),
}

/// Where an event leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transition<S> {
    /// The next state.
    pub next: S,
    /// What to do, in order.
    pub actions: &'static [Action],
}

const fn to<S>(next: S, actions: &'static [Action]) -> Transition<S> {
    Transition { next, actions }
}
