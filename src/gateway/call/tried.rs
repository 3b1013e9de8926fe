//! The places where an INVITE was sent: none gets it twice, however many routes lead there.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Transport;
use crate::gateway::Party;
use crate::gateway::routing::Candidate;

/// A place, and whose it was when it was tried.
#[derive(PartialEq, Eq)]
pub(super) struct Tried {
    transport: Transport,
    pub(super) address: SocketAddr,
    party: Party,
    /// The name of its carrier.
    carrier: Option<Arc<str>>,
}

impl From<&Candidate> for Tried {
    fn from(candidate: &Candidate) -> Self {
        let policy = candidate.policy.as_ref();
        Self {
            transport: candidate.transport,
            address: candidate.address,
            party: candidate.party,
            carrier: policy.map(|policy| policy.carrier.clone()),
        }
    }
}

/// Whether a place is one of these already; one that is to be tried over UDP after a stream is not.
pub(super) fn is_among(tried: &[Tried], candidate: &Candidate) -> bool {
    !candidate.udp_at_any_size && tried.contains(&Tried::from(candidate))
}
