//! Call control: which call is it, may it pass, where does it go, and the call itself.
//!
//! An INVITE outside a dialog goes through [`classify`](mod@classify), then [`termination`] or
//! [`origination`], which give an [`Admission`] or a [`Refusal`]; an admission becomes a
//! [`call::Call`]: two dialogs back to back. A MESSAGE is no call: `pager`. Nothing here touches a socket or a clock.

pub mod authentication;
pub mod call;
mod caller_id;
pub mod classify;
mod destination;
pub(crate) mod emergency;
pub mod explain;
pub mod headers;
pub mod limiter;
pub mod origination;
pub(crate) mod pager;
pub mod refusal;
pub mod routing;
pub mod termination;
pub mod trace;

use std::sync::Arc;

use crate::config::{CarrierPolicy, Transport};
use crate::connector_id::VoiceConnectorId;
use crate::shard::snapshot::{ProxySession, VoiceConnector};
use crate::sip::uri::Scheme;
use crate::telemetry::{CallKind, Direction};
use headers::Towards;
use limiter::Booking;
pub use refusal::{Cause, Refusal};
use routing::Candidate;

/// Whom a leg is with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// The PSTN.
    Carrier,
    /// A host of this connector's customer.
    Customer(VoiceConnectorId),
}

impl Party {
    /// The same for header fields.
    pub fn towards(self) -> Towards {
        match self {
            Self::Carrier => Towards::Carrier,
            Self::Customer(_) => Towards::Customer,
        }
    }
}

/// A call that may pass, and where it may go.
#[derive(Debug)]
pub struct Admission {
    /// Termination or origination.
    pub direction: Direction,
    /// What is special about it.
    pub kind: CallKind,
    /// Whose call it is; of a group's call the connector that is tried first.
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
    /// The proxy session that it belongs to.
    pub proxy_session: Option<Arc<ProxySession>>,
    /// What it has taken of limits.
    pub booking: Booking,
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
            true => Err(Refusal::from(Cause::NoRouteOverTls).remembered()),
            false => Ok(self),
        }
    }
}
