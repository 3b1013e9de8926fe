//! What contradicts itself across keys, each of which is right alone.

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;

use super::problem::{ConfigError, Problem};
use super::settle::{Placed, PlacedApi, PlacedCarrier, PlacedMedia};
use super::{Host, NumberPool, SipListener, SipTls, Target, Transport, calls_of_ports};

pub(super) fn listeners(listeners: &[Placed<SipListener>], errors: &mut Vec<ConfigError>) {
    // TLS runs over TCP: one port cannot be both.
    duplicates(
        listeners,
        "listener",
        |listener| (listener.value.transport.is_reliable(), listener.value.bind),
        errors,
    );
}

pub(super) fn api(
    api: &PlacedApi,
    listeners: &[Placed<SipListener>],
    errors: &mut Vec<ConfigError>,
) {
    duplicates(
        &api.access_keys,
        "access key id",
        |key| key.value.id.clone(),
        errors,
    );
    let bind = api.bind.value;
    let taken = listeners.iter().find(|listener| {
        listener.value.transport.is_reliable()
            && bind.port() != 0
            && listener.value.bind.port() == bind.port()
            && same_address(listener.value.bind.ip(), bind.ip())
    });
    if let Some(listener) = taken {
        errors.push(api.bind.refused(Problem::AddressTaken {
            by: listener.key.clone(),
            line: listener.line,
        }));
    }
}

pub(super) fn carriers(
    carriers: &[PlacedCarrier],
    listeners: &[Placed<SipListener>],
    errors: &mut Vec<ConfigError>,
) {
    for carrier in carriers {
        let is_bound = |place| {
            listeners
                .iter()
                .any(|listener| listener.value.bind == place)
        };
        if carrier.listener.value.is_some_and(|place| !is_bound(place)) {
            errors.push(carrier.listener.refused(Problem::NotBound));
        }
    }
    for (index, carrier) in carriers.iter().enumerate() {
        let before = carriers.iter().take(index);
        if let Some(first) = before
            .clone()
            .find(|other| other.name.value == carrier.name.value)
        {
            errors.push(carrier.name.refused(Problem::Duplicate {
                what: "carrier name",
                first: first.name.line,
            }));
        }
        for source in &carrier.sources {
            let others = before.clone().flat_map(|other| &other.sources);
            for other in others.filter(|other| overlap(other.value, source.value)) {
                errors.push(source.refused(Problem::SourceOverlap {
                    other: other.value.to_string(),
                    line: other.line,
                }));
            }
        }
    }
}

/// A name tells one carrier from the others, and counts only where certificates of peers are asked for.
pub(super) fn certificate_names(
    carriers: &[PlacedCarrier],
    tls: Option<&SipTls>,
    errors: &mut Vec<ConfigError>,
) {
    let names = carriers
        .iter()
        .flat_map(|carrier| &carrier.certificate_names);
    let names: Vec<Placed<Host>> = names.cloned().collect();
    duplicates(
        &names,
        "certificate name",
        |name| name.value.clone(),
        errors,
    );
    if let (Some(name), Some(None)) = (names.first(), tls.map(|tls| &tls.client_ca)) {
        errors.push(name.refused(Problem::NoNamesWithoutClientCa));
    }
}

/// Requests leave from a listener of the route's transport and, where it is an address, its family.
pub(super) fn routes(
    carriers: &[PlacedCarrier],
    listeners: &[Placed<SipListener>],
    errors: &mut Vec<ConfigError>,
) {
    for route in carriers.iter().flat_map(|carrier| &carrier.routes) {
        let target = &route.value.target;
        // A host name by itself: the DNS is asked for the transports that there are listeners for.
        let Some(transport) = target.transport else {
            continue;
        };
        let address = match target.host {
            Host::Name(_) => None,
            Host::Address(address) => Some(address),
        };
        let leads_to = |listener: &Placed<SipListener>| {
            let place = address.map(|address| SocketAddr::new(address, port_of(target, transport)));
            place == Some(listener.value.bind) || place == Some(listener.value.advertise)
        };
        if let Some(own) = listeners.iter().find(|listener| leads_to(listener)) {
            errors.push(route.refused(Problem::RouteToUs { line: own.line }));
        }
        let mut spoken = listeners.iter().map(|listener| &listener.value);
        let fits = |listener: &SipListener| {
            listener.transport == transport
                && address.is_none_or(|address| address.is_ipv4() == listener.bind.is_ipv4())
        };
        if !spoken.any(fits) {
            errors.push(route.refused(Problem::NoListenerFor { transport, address }));
        }
    }
}

fn port_of(target: &Target, transport: Transport) -> u16 {
    target.port.unwrap_or(transport.default_port())
}

pub(super) fn pools(pools: &[Placed<NumberPool>], errors: &mut Vec<ConfigError>) {
    for (index, pool) in pools.iter().enumerate() {
        let numbers = &pool.value.numbers;
        let shared = pools.iter().take(index).find(|other| {
            let other = &other.value.numbers;
            other.start() <= numbers.end() && numbers.start() <= other.end()
        });
        if let Some(other) = shared {
            errors.push(pool.refused(Problem::PoolOverlap { line: other.line }));
        }
    }
}

/// The media ports: enough of them, RTP on an even one, and none that a listener has.
pub(super) fn media_ports(
    media: &PlacedMedia,
    shards: u8,
    listeners: &[Placed<SipListener>],
    api: Option<&Placed<SocketAddr>>,
    errors: &mut Vec<ConfigError>,
) {
    let ports = &media.ports.value;
    if ports.start() % 2 == 1 {
        errors.push(media.ports.refused(Problem::OddFirstPort {
            port: *ports.start(),
        }));
    }
    if calls_of_ports(ports, shards) == 0 {
        let pairs = ports.len() / 2;
        errors.push(media.ports.refused(Problem::TooFewPorts { pairs, shards }));
    }
    let sip = listeners
        .iter()
        .map(|listener| (listener.value.bind, &listener.key, listener.line));
    let all = sip.chain(api.map(|api| (api.value, &api.key, api.line)));
    for (bind, key, line) in all {
        let shared = |address: &super::MediaAddress| same_address(address.bind, bind.ip());
        if ports.contains(&bind.port()) && media.addresses.iter().any(shared) {
            errors.push(media.ports.refused(Problem::PortsOverlap {
                port: bind.port(),
                listener: key.clone(),
                line,
            }));
        }
    }
}

/// Notes every item whose identity an earlier one has.
fn duplicates<T, I: PartialEq>(
    items: &[Placed<T>],
    what: &'static str,
    identity: impl Fn(&Placed<T>) -> I,
    errors: &mut Vec<ConfigError>,
) {
    for (index, item) in items.iter().enumerate() {
        let mut before = items.iter().take(index);
        if let Some(first) = before.find(|other| identity(other) == identity(item)) {
            errors.push(item.refused(Problem::Duplicate {
                what,
                first: first.line,
            }));
        }
    }
}

/// Whether sockets on both would see the same packets: one address, or a wildcard of its family.
fn same_address(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// Networks overlap only by one holding the other.
fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}
