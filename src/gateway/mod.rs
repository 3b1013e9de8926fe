//! Call control: which call is it, may it pass, where does it go, and the call itself.
//!
//! An INVITE outside a dialog goes through [`classify`](mod@classify), then [`termination`] or
//! [`origination`], which give an [`Admission`] or a [`Refusal`]; an admission becomes a
//! [`call::Call`]: two dialogs back to back. Nothing here touches a socket or a clock.

mod authentication;
pub mod call;
pub mod classify;
pub mod headers;
pub mod limiter;
pub mod origination;
pub mod routing;
pub mod termination;

use std::sync::Arc;

use crate::config::{CarrierPolicy, Transport};
use crate::shard::snapshot::VoiceConnector;
use crate::sip::uri::Scheme;
use crate::telemetry::Direction;
use routing::Candidate;

/// Why a request is not served, as the response that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// SIP status code.
    pub status: u16,
    /// Reason phrase; each cause has its own.
    pub reason: String,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
    /// Reason values (RFC 3326).
    pub reasons: Vec<Box<str>>,
    /// Min-SE, in seconds (RFC 4028 §5).
    pub min_se: Option<u32>,
    /// Proxy-Authenticate values; WWW-Authenticate in a 401.
    pub challenges: Vec<String>,
    /// The decision depends on the moment, and the peer is known: a retransmission must get this answer
    /// again instead of a decision of its own. Other refusals keep nothing, so that strangers cannot
    /// fill a table.
    pub is_remembered: bool,
}

impl Refusal {
    /// A refusal without further headers.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            retry_after: None,
            reasons: Vec::new(),
            min_se: None,
            challenges: Vec::new(),
            is_remembered: false,
        }
    }

    /// The same, to be given to every retransmission.
    pub fn remembered(self) -> Self {
        Self {
            is_remembered: true,
            ..self
        }
    }

    /// 503 for now, with the seconds after which another try is welcome.
    pub fn unavailable(reason: &str, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(503, reason)
        }
    }
}

/// A call that may pass, and where it may go.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Termination or origination.
    pub direction: Direction,
    /// Whose call it is.
    pub connector: Arc<VoiceConnector>,
    /// User part of leg B's From: a number in `+` form, or what the caller is otherwise called.
    pub caller: String,
    /// User part of leg B's Request-URI and To.
    pub called: String,
    /// Where to send it, in the order to be tried; at least one.
    pub candidates: Vec<Candidate>,
    /// Where a carrier sent it: how that is dealt with.
    pub policy: Option<Arc<CarrierPolicy>>,
    /// The digest user name, where one was asked for.
    pub authenticated_as: Option<String>,
}

impl Admission {
    /// The same for a URI of this scheme. `sips:` asks for TLS all the way (RFC 3261 §26.2.2): other places
    /// are none for it.
    pub fn for_scheme(mut self, scheme: Scheme) -> Result<Self, Refusal> {
        let candidates = &mut self.candidates;
        match scheme {
            Scheme::Sips => candidates.retain(|candidate| candidate.transport == Transport::Tls),
            Scheme::Sip | Scheme::Tel | Scheme::Other => {}
        }
        match candidates.is_empty() {
            // RFC 5630 §4.1.3
            true => Err(Refusal::new(480, "SIPS Not Allowed: No Route Over TLS").remembered()),
            false => Ok(self),
        }
    }
}
