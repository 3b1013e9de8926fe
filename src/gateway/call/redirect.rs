//! A carrier that sends us elsewhere (RFC 3261 §8.1.3.4): its contacts are tried before what is left.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Call;
use crate::config::{Host, Target, Transport};
use crate::gateway::routing::Candidate;
use crate::shard::core::Core;
use crate::sip::header::NameAddr;
use crate::sip::message::{HeaderName, Response};
use crate::sip::uri::{Scheme, Uri};

/// Contacts of one response that are tried, and redirections of one call that are followed.
const CONTACTS_MAX: usize = 5;

impl Call {
    /// Puts the contacts of a 3xx before the other places; false where there is none to be tried, or where the
    /// place is not one whose redirections are followed.
    pub(super) fn follow_redirection(&mut self, core: &Core, response: &Response) -> bool {
        let Some(attempt) = self.attempts.last() else {
            return false;
        };
        let policy = attempt.leg.policy.clone();
        let follows = policy.as_ref().is_some_and(|policy| policy.redirect);
        if !follows || self.redirections == CONTACTS_MAX {
            return false;
        }
        self.redirections += 1;
        let mut contacts: Vec<(u32, Candidate)> = response
            .values(HeaderName::Contact)
            .filter_map(|value| NameAddr::parse(value).ok())
            .flat_map(|contact| {
                let rank = 1_000 - quality(&contact);
                let places = places_of(core, &contact, attempt.leg.flow.transport);
                places
                    .into_iter()
                    .map(move |(target, address)| (rank, target, address))
            })
            .map(|(rank, target, address)| {
                let candidate = Candidate {
                    target,
                    address,
                    policy: policy.clone(),
                    udp_at_any_size: false,
                };
                (rank, candidate)
            })
            // RFC 3261 §8.1.3.4: nobody is asked twice.
            .filter(|(_, candidate)| !self.tried.contains(&candidate.address))
            .take(CONTACTS_MAX)
            .collect();
        contacts.sort_by_key(|(rank, _)| *rank);
        if contacts.is_empty() {
            return false;
        }
        let first = contacts.into_iter().map(|(_, candidate)| candidate);
        let rest = std::mem::take(&mut self.candidates);
        self.candidates = first.chain(rest).collect::<Vec<_>>().into_iter();
        true
    }
}

/// The `q` of a contact in thousandths; without one it is the best (RFC 3261 §20.10).
fn quality(contact: &NameAddr<'_>) -> u32 {
    let q = contact
        .params
        .value("q")
        .and_then(|q| q.parse::<f32>().ok());
    // Between 0 and 1000 after the clamp.
    q.map_or(1_000, |q| (q.clamp(0.0, 1.0) * 1_000.0) as u32)
}

/// Where a contact is. The number stays the one that was dialled and admitted: a redirection may say where,
/// not whom to call. A host name has to be one that is known.
fn places_of(
    core: &Core,
    contact: &NameAddr<'_>,
    transport: Transport,
) -> Vec<(Target, SocketAddr)> {
    let Ok(uri) = Uri::parse(contact.uri) else {
        return Vec::new();
    };
    let named = uri.params.value("transport").map(str::to_ascii_lowercase);
    let transport = match (uri.scheme, named.as_deref()) {
        (Scheme::Sip, None) => transport,
        (Scheme::Sip, Some("udp")) => Transport::Udp,
        (Scheme::Sip, Some("tcp")) => Transport::Tcp,
        // Over TLS nobody would know whom to expect.
        (Scheme::Sip, Some(_)) | (Scheme::Sips | Scheme::Tel | Scheme::Other, _) => {
            return Vec::new();
        }
    };
    if transport == Transport::Tls {
        return Vec::new();
    }
    let host = uri.host_value();
    let port = uri.port.unwrap_or_else(|| transport.default_port());
    let addresses = match &host {
        Host::Address(address) => Arc::from([*address]),
        Host::Name(name) => match core.snapshot.addresses.get(name.as_str()) {
            Some(known) => known.clone(),
            None => return Vec::new(),
        },
    };
    let target = Target {
        host,
        port,
        transport,
        tls: None,
    };
    let place = |address: &std::net::IpAddr| (target.clone(), SocketAddr::new(*address, port));
    addresses.iter().map(place).collect()
}
