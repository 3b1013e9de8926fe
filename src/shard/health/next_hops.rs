//! The next hops that calls may be sent to, and which of them are down; a part of the snapshot.
//!
//! Kept up to date by what changes, so that putting a connector costs the same with ten connectors and ten
//! thousand; and what two versions differ in is found without looking at what they share.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Host, NextHop, Target, TlsPeerId, Transport};
use crate::shard::snapshot::Located;

/// Next hops, each with the URIs of those who are there. Persistent, as all of a snapshot.
#[derive(Clone, Default, Debug)]
pub struct NextHops {
    /// How many routes lead to a next hop under a URI.
    routes: imbl::OrdMap<(NextHop, Arc<str>), u32>,
    /// How many routes have a target with a host name.
    named: imbl::OrdMap<Named, u32>,
    /// Those of `routes` that are down.
    down: imbl::HashSet<NextHop>,
}

/// A route's target with a host name, and the listener that the route's carrier names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Named {
    name: String,
    port: Option<u16>,
    transport: Option<Transport>,
    tls: Option<TlsPeerId>,
    listener: Option<SocketAddr>,
}

impl NextHops {
    /// Whether pings say that nobody is there.
    pub fn is_down(&self, hop: &NextHop) -> bool {
        !self.down.is_empty() && self.down.contains(hop)
    }

    /// How many are down.
    pub fn down(&self) -> usize {
        self.down.len()
    }

    /// Keeps that a next hop is down, or up again; one that no route leads to any more is not kept.
    pub fn set_down(&mut self, hop: NextHop, is_down: bool) {
        if !is_down {
            self.down.remove(&hop);
        } else if self.uri(&hop).is_some() {
            self.down.insert(hop);
        }
    }

    /// The URI of whoever is there, the first where there are several; `None` where no route leads there.
    pub fn uri(&self, hop: &NextHop) -> Option<&Arc<str>> {
        let (found, uri) = self.routes.range((*hop, Arc::from(""))..).next()?.0;
        (found == hop).then_some(uri)
    }

    /// The next hops that came, went, or are known by another URI.
    pub(crate) fn changed_since(&self, before: &Self) -> BTreeSet<NextHop> {
        use imbl::ordmap::DiffItem;
        let changes = before.routes.diff(&self.routes);
        let hops = changes.filter_map(|change| match change {
            DiffItem::Add((hop, _), _) | DiffItem::Remove((hop, _), _) => Some(*hop),
            // One more or less that lead there.
            DiffItem::Update { .. } => None,
        });
        hops.collect()
    }

    /// One more route leads to `target`, a host name being at `located`.
    pub(crate) fn add(
        &mut self,
        target: &Target,
        listener: Option<SocketAddr>,
        located: Option<&[Located]>,
    ) {
        match Named::of(target, listener) {
            Err(hop) => self.add_hop(hop, uri_of(target)),
            Ok(named) => {
                let count = self.named.entry(named.clone()).or_insert(0);
                *count += 1;
                if *count == 1 {
                    self.add_named(&named, located);
                }
            }
        }
    }

    /// One route less leads to `target`.
    pub(crate) fn remove(
        &mut self,
        target: &Target,
        listener: Option<SocketAddr>,
        located: Option<&[Located]>,
    ) {
        match Named::of(target, listener) {
            Err(hop) => self.remove_hop(hop, uri_of(target)),
            Ok(named) => {
                if count_down(&mut self.named, &named) {
                    self.remove_named(&named, located);
                }
            }
        }
    }

    /// A host name is somewhere else now.
    pub(crate) fn relocate(
        &mut self,
        name: &str,
        before: Option<&[Located]>,
        now: Option<&[Located]>,
    ) {
        let first = Named {
            name: name.to_owned(),
            port: None,
            transport: None,
            tls: None,
            listener: None,
        };
        let named = self.named.range(first..).map(|(named, _)| named);
        let named: Vec<Named> = named
            .take_while(|named| named.name == name)
            .cloned()
            .collect();
        for named in named {
            // First what comes: what stays stays down.
            self.add_named(&named, now);
            self.remove_named(&named, before);
        }
    }

    fn add_named(&mut self, named: &Named, located: Option<&[Located]>) {
        for hop in named.hops(located) {
            self.add_hop(hop, named.uri());
        }
    }

    fn remove_named(&mut self, named: &Named, located: Option<&[Located]>) {
        for hop in named.hops(located) {
            self.remove_hop(hop, named.uri());
        }
    }

    fn add_hop(&mut self, hop: NextHop, uri: Arc<str>) {
        *self.routes.entry((hop, uri)).or_insert(0) += 1;
    }

    fn remove_hop(&mut self, hop: NextHop, uri: Arc<str>) {
        if count_down(&mut self.routes, &(hop, uri)) && self.uri(&hop).is_none() {
            self.down.remove(&hop);
        }
    }
}

impl Named {
    /// The next hop instead where the target has an address.
    fn of(target: &Target, listener: Option<SocketAddr>) -> Result<Self, NextHop> {
        let Target {
            host,
            port,
            transport,
            tls,
        } = target;
        match host {
            Host::Name(name) => Ok(Self {
                name: name.clone(),
                port: *port,
                transport: *transport,
                tls: *tls,
                listener,
            }),
            Host::Address(address) => {
                let transport = transport.unwrap_or(Transport::Udp);
                let port = port.unwrap_or(transport.default_port());
                let address = SocketAddr::new(*address, port);
                Err(next_hop(transport, address, *tls, listener))
            }
        }
    }

    fn hops(&self, located: Option<&[Located]>) -> Vec<NextHop> {
        let located = located.unwrap_or_default().iter();
        let mut located = located
            .filter(|located| located.port == self.port && located.transport == self.transport);
        let places = located.next().map_or(&[][..], |located| &*located.places);
        let hops = places.iter().flat_map(|place| {
            place.addresses.iter().map(|address| {
                let address = SocketAddr::new(*address, place.port);
                next_hop(place.transport, address, self.tls, self.listener)
            })
        });
        hops.collect()
    }

    fn uri(&self) -> Arc<str> {
        uri_of(&Target {
            host: Host::Name(self.name.clone()),
            port: self.port,
            transport: self.transport,
            tls: None,
        })
    }
}

/// The next hop that a call to a target takes, at one of its addresses.
pub(crate) fn next_hop(
    transport: Transport,
    address: SocketAddr,
    tls: Option<TlsPeerId>,
    listener: Option<SocketAddr>,
) -> NextHop {
    NextHop {
        transport,
        address,
        tls: tls.filter(|_| transport == Transport::Tls),
        listener,
    }
}

/// The URI of a host: what its configuration leaves to the DNS, the URI does too.
fn uri_of(target: &Target) -> Arc<str> {
    let Target { host, .. } = target;
    let port = target.port.map(|port| format!(":{port}"));
    let parameter = match target.transport {
        Some(Transport::Tcp) => ";transport=tcp",
        Some(Transport::Tls) => ";transport=tls",
        Some(Transport::Udp) | None => "",
    };
    format!("sip:{host}{}{parameter}", port.unwrap_or_default()).into()
}

/// One less; whether it was the last.
fn count_down<K: Ord + Clone>(counts: &mut imbl::OrdMap<K, u32>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => {
            *count -= 1;
            false
        }
        Some(_) => counts.remove(key).is_some(),
        None => false,
    }
}
