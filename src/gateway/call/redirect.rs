//! A carrier that sends us elsewhere (RFC 3261 §8.1.3.4): its contacts are tried before what is left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::next_hop::may_be_sent_to;
use super::{Call, CallTimer, State};
use crate::config::{CarrierPolicy, Host, Target, Transport};
use crate::gateway::routing::Candidate;
use crate::gateway::{Party, Refusal};
use crate::shard::core::Core;
use crate::shard::wheel::TimerId;
use crate::sip::header::NameAddr;
use crate::sip::message::{HeaderName, Response};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::writer::reason_phrase;

/// Contacts of one response that are tried, and redirections of one call that are followed.
const CONTACTS_MAX: usize = 5;
/// The DNS may take so long to say where the contacts are.
const LOCATE_MAX: Duration = Duration::from_secs(5);

/// The contacts of a 3xx, until they are located.
pub(super) struct Redirection {
    /// The best first.
    contacts: Vec<Target>,
    policy: Option<Arc<CarrierPolicy>>,
    /// Where the one who sends us elsewhere is.
    reached: SocketAddr,
    timer: Option<TimerId>,
}

impl Call {
    /// Takes the contacts of a 3xx, to be tried before the other places; false where there is none, or where
    /// the place is not one whose redirections are followed.
    pub(super) fn hear_redirection(&mut self, response: &Response) -> bool {
        let Some(attempt) = self.attempts.last() else {
            return false;
        };
        let policy = attempt.leg.policy.clone();
        let follows = policy.as_ref().is_some_and(|policy| policy.redirect);
        let transport = attempt.leg.flow.transport;
        // What goes over TLS goes nowhere else, and over TLS nobody would know whom to expect.
        let is_secured = transport == Transport::Tls || self.a.is_sips;
        if !follows || is_secured || self.redirections == CONTACTS_MAX {
            return false;
        }
        let reached = attempt.leg.flow.remote;
        let mut contacts: Vec<(u32, Target)> = response
            .values(HeaderName::Contact)
            .filter_map(|value| NameAddr::parse(value).ok())
            .filter_map(|contact| {
                Some((1_000 - quality(&contact), target_of(&contact, transport)?))
            })
            .take(CONTACTS_MAX)
            .collect();
        if contacts.is_empty() {
            return false;
        }
        contacts.sort_by_key(|(rank, _)| *rank);
        self.redirections += 1;
        self.redirection = Some(Redirection {
            contacts: contacts.into_iter().map(|(_, target)| target).collect(),
            policy,
            reached,
            timer: None,
        });
        true
    }

    /// Goes on where the carrier has sent us, as soon as it is known where that is.
    pub(crate) fn follow_redirection(&mut self, core: &mut Core) {
        let Some(redirection) = &mut self.redirection else {
            return;
        };
        let places: Vec<_> = redirection
            .contacts
            .iter()
            .map(|target| core.places(target))
            .collect();
        if places.contains(&None) {
            let timer = redirection
                .timer
                .take()
                .unwrap_or_else(|| core.start_call_timer(LOCATE_MAX, self.id, CallTimer::Locate));
            redirection.timer = Some(timer);
            core.locating.push(self.id);
            return;
        }
        self.try_contacts(core);
    }

    pub(super) fn on_locate_timer(&mut self, core: &mut Core) {
        if let Some(redirection) = &mut self.redirection {
            redirection.timer = None;
            self.try_contacts(core);
        }
    }

    /// Tries the contacts whose places are known.
    fn try_contacts(&mut self, core: &mut Core) {
        let redirection = self.end_redirection(core);
        let Some(redirection) = redirection.filter(|_| self.state == State::Setup) else {
            return;
        };
        let is_known = |address| self.tried.iter().any(|tried| tried.address == address);
        let mut first = Vec::new();
        for target in &redirection.contacts {
            let places = core.places(target).unwrap_or_default();
            let places = places
                .into_iter()
                // RFC 3261 §8.1.3.4: nobody is asked twice.
                .filter(|(transport, address)| {
                    *transport != Transport::Tls
                        && !is_known(*address)
                        && may_be_sent_to(core, *address, redirection.reached)
                })
                .take(CONTACTS_MAX - first.len());
            first.extend(places.map(|(transport, address)| Candidate {
                target: target.clone(),
                transport,
                address,
                party: Party::Carrier,
                policy: redirection.policy.clone(),
                udp_at_any_size: false,
            }));
        }
        if first.is_empty() {
            self.note_failure(Refusal::new(480, reason_phrase(480)));
        }
        let rest = std::mem::take(&mut self.candidates);
        let is_known = |address| self.tried.iter().any(|tried| tried.address == address);
        let rest =
            rest.filter(|candidate| candidate.udp_at_any_size || !is_known(candidate.address));
        self.candidates = first
            .into_iter()
            .chain(rest)
            .collect::<Vec<_>>()
            .into_iter();
        self.try_next_place(core);
    }

    pub(super) fn end_redirection(&mut self, core: &mut Core) -> Option<Redirection> {
        let mut redirection = self.redirection.take()?;
        core.cancel_timer(&mut redirection.timer);
        Some(redirection)
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
/// not whom to call. An address that names no transport is spoken with as the redirecting place was; what a
/// name says of that is the DNS's.
fn target_of(contact: &NameAddr<'_>, transport: Transport) -> Option<Target> {
    let uri = Uri::parse(contact.uri).ok()?;
    let host = uri.host_value();
    let named = uri.params.value("transport").map(str::to_ascii_lowercase);
    let transport = match (uri.scheme, named.as_deref()) {
        (Scheme::Sip, None) => match (&host, uri.port) {
            (Host::Name(_), None) => None,
            (Host::Address(_) | Host::Name(_), _) => Some(transport),
        },
        (Scheme::Sip, Some("udp")) => Some(Transport::Udp),
        (Scheme::Sip, Some("tcp")) => Some(Transport::Tcp),
        (Scheme::Sip, Some(_)) | (Scheme::Sips | Scheme::Tel | Scheme::Other, _) => return None,
    };
    Some(Target {
        host,
        port: uri.port,
        transport,
        tls: None,
    })
}
