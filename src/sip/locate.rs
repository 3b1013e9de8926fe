//! Locating SIP servers (RFC 3263 §4): which records say where a host name is, and what follows from them.
//!
//! Nothing is asked here: [`locate`] decides over the records that are known, and says which are missing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Transport;

/// Records of one answer that are looked at; the rest stays unread.
const RECORDS_MAX: usize = 32;
/// Places of one host name at most.
const PLACES_MAX: usize = 32;
/// In the order of preference where nobody states one.
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// A host name, with what a URI or a route says besides.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Destination {
    /// Lower case.
    pub name: Arc<str>,
    /// Where it is given, no SRV record counts (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// Where it is given, no NAPTR record counts (RFC 3263 §4.1).
    pub transport: Option<Transport>,
}

/// One of the places at which a host name is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The lowest is tried first: the order of NAPTR, then the priority of SRV.
    pub rank: u16,
    /// Share within a rank (RFC 2782).
    pub weight: u16,
    /// How it is spoken with.
    pub transport: Transport,
    /// Its port.
    pub port: u16,
    /// Its host's addresses; never none.
    pub addresses: Arc<[IpAddr]>,
}

/// A question for the DNS; names without a dot at the end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Question {
    /// NAPTR records (RFC 3403).
    Naptr(String),
    /// SRV records (RFC 2782).
    Srv(String),
    /// A and AAAA records, CNAME followed.
    Addresses(String),
}

/// A NAPTR record with the flag `s`: another one says nothing here (RFC 3263 §4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// The lowest first.
    pub order: u16,
    /// Within an order the lowest first.
    pub preference: u16,
    /// `SIP+D2U` and the like.
    pub service: String,
    /// The name to ask for SRV records at.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// The lowest first.
    pub priority: u16,
    /// Share within a priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; empty where the service is decidedly not there.
    pub target: String,
}

/// The answer to a question; empty where there is no such record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::Addresses`].
    Addresses(Vec<IpAddr>),
}

/// The places of a destination over transports that we speak, or the questions whose answers are needed
/// first. `answers` tells what is known.
pub fn locate<'a>(
    destination: &Destination,
    spoken: &[Transport],
    answers: impl Fn(&Question) -> Option<&'a Answer>,
) -> Result<Vec<Place>, Vec<Question>> {
    let mut records = Records {
        answers,
        missing: Vec::new(),
    };
    let places = places(destination, spoken, &mut records);
    match records.missing.is_empty() {
        true => Ok(places),
        false => Err(records.missing),
    }
}

/// What is known, and what was asked for without being known.
struct Records<F> {
    answers: F,
    missing: Vec<Question>,
}

impl<'a, F: Fn(&Question) -> Option<&'a Answer>> Records<F> {
    fn ask(&mut self, question: Question) -> Option<&'a Answer> {
        let answer = (self.answers)(&question);
        if answer.is_none() && !self.missing.contains(&question) {
            self.missing.push(question);
        }
        answer
    }

    fn naptr(&mut self, name: &str) -> &'a [Naptr] {
        match self.ask(Question::Naptr(name.to_owned())) {
            Some(Answer::Naptr(records)) => first(records),
            Some(Answer::Srv(_) | Answer::Addresses(_)) | None => &[],
        }
    }

    fn srv(&mut self, name: &str) -> &'a [Srv] {
        match self.ask(Question::Srv(name.to_owned())) {
            Some(Answer::Srv(records)) => first(records),
            Some(Answer::Naptr(_) | Answer::Addresses(_)) | None => &[],
        }
    }

    fn addresses(&mut self, name: &str) -> &'a [IpAddr] {
        match self.ask(Question::Addresses(name.to_owned())) {
            Some(Answer::Addresses(records)) => first(records),
            Some(Answer::Naptr(_) | Answer::Srv(_)) | None => &[],
        }
    }
}

fn first<T>(records: &[T]) -> &[T] {
    records.get(..RECORDS_MAX).unwrap_or(records)
}

/// RFC 3263 §4.1 and §4.2. While answers are missing, what comes out is of no use.
fn places<'a, F: Fn(&Question) -> Option<&'a Answer>>(
    destination: &Destination,
    spoken: &[Transport],
    records: &mut Records<F>,
) -> Vec<Place> {
    let Destination {
        name,
        port,
        transport,
    } = destination;
    if let Some(port) = *port {
        let transport = transport.unwrap_or_else(|| preferred(spoken));
        return by_addresses(name, transport, port, records);
    }
    let services = match *transport {
        Some(transport) => vec![(transport, srv_name(name, transport))],
        None => services(name, spoken, records),
    };
    if !records.missing.is_empty() {
        return Vec::new();
    }
    let best = services.first().map(|(transport, _)| *transport);
    let mut places = Vec::new();
    let mut has_srv = false;
    let mut next_rank = 0;
    let mut targets = 0;
    for (transport, service) in services {
        let mut found = records.srv(&service).to_vec();
        has_srv |= !found.is_empty();
        found.sort_by_key(|srv| srv.priority);
        for group in found.chunk_by(|one, other| one.priority == other.priority) {
            for srv in group.iter().filter(|srv| !srv.target.is_empty()) {
                // Nobody makes us ask for more hosts than there may be places.
                targets += 1;
                if targets > PLACES_MAX {
                    break;
                }
                let addresses = records.addresses(&srv.target);
                places.extend(place(transport, srv.port, addresses).map(|place| Place {
                    rank: next_rank,
                    weight: srv.weight,
                    ..place
                }));
            }
            next_rank += 1;
        }
    }
    places.truncate(PLACES_MAX);
    match has_srv || !records.missing.is_empty() {
        true => places,
        // RFC 3263 §4.2: without SRV records, the name's own addresses.
        false => {
            let transport = best.unwrap_or_else(|| preferred(spoken));
            by_addresses(name, transport, transport.default_port(), records)
        }
    }
}

/// The names to ask for SRV records at, the preferred first: NAPTR's, or one for every transport
/// (RFC 3263 §4.1).
fn services<'a, F: Fn(&Question) -> Option<&'a Answer>>(
    name: &str,
    spoken: &[Transport],
    records: &mut Records<F>,
) -> Vec<(Transport, String)> {
    let mut naptr: Vec<(&Naptr, Transport)> = records
        .naptr(name)
        .iter()
        .filter_map(|record| Some((record, transport_of(&record.service)?)))
        .filter(|(_, transport)| spoken.contains(transport))
        .collect();
    naptr.sort_by_key(|(record, _)| (record.order, record.preference));
    let prefers_tls = naptr
        .first()
        .is_some_and(|(_, transport)| *transport == Transport::Tls);
    if prefers_tls {
        // Whoever keeps TLS from coming up shall not get the call in the clear.
        naptr.retain(|(_, transport)| *transport == Transport::Tls);
    }
    match naptr.is_empty() {
        false => naptr
            .into_iter()
            .map(|(record, transport)| (transport, record.replacement.to_ascii_lowercase()))
            .collect(),
        true => TRANSPORTS
            .into_iter()
            .filter(|transport| spoken.contains(transport))
            .map(|transport| (transport, srv_name(name, transport)))
            .collect(),
    }
}

/// UDP (RFC 3263 §4.1), where we speak it.
pub fn preferred(spoken: &[Transport]) -> Transport {
    let mut preferred = TRANSPORTS.into_iter();
    preferred
        .find(|transport| spoken.contains(transport))
        .unwrap_or(Transport::Udp)
}

/// RFC 3263 §4.1 and §10.1.
fn transport_of(service: &str) -> Option<Transport> {
    let services = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
    ];
    services
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(service))
        .map(|(_, transport)| transport)
}

fn srv_name(name: &str, transport: Transport) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{service}.{name}")
}

fn by_addresses<'a, F: Fn(&Question) -> Option<&'a Answer>>(
    name: &str,
    transport: Transport,
    port: u16,
    records: &mut Records<F>,
) -> Vec<Place> {
    place(transport, port, records.addresses(name))
        .into_iter()
        .collect()
}

fn place(transport: Transport, port: u16, addresses: &[IpAddr]) -> Option<Place> {
    (!addresses.is_empty()).then(|| Place {
        rank: 0,
        weight: 0,
        transport,
        port,
        addresses: addresses.into(),
    })
}

#[cfg(test)]
mod tests;
