//! What a shard knows of the configuration: an immutable value that the control plane swaps in.
//!
//! The maps are persistent (a changed copy shares all that did not change), so publishing one
//! connector costs the same with ten connectors and ten thousand.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

mod connector;
mod number;
mod proxy;

use uuid::Uuid;

pub use self::connector::{
    Credential, EmergencyNumber, Origination, OriginationRoute, ProxyPolicy, Termination,
    VoiceConnector,
};
pub use self::number::{GroupMember, NumberHolder};
pub use self::proxy::{ProxyParticipant, ProxySession, ProxySessions};
use super::health::NextHops;
use super::io::Flow;
use super::sources::Sources;
pub use super::tls_peers::TlsPeers;
use crate::config::{
    Carrier, CarrierId, CarrierRoute, Host, Target, TlsPeer, TlsPolicy, Transport,
};
use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;
use crate::numbering::{E164, Prefix, PrefixMap};
use crate::sip::locate::Place;

/// The routing data of a node at one moment.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// Every voice connector by id.
    pub connectors: imbl::HashMap<VoiceConnectorId, Arc<VoiceConnector>>,
    /// Outbound host name (lower case) to connector.
    pub hosts: imbl::HashMap<Arc<str>, VoiceConnectorId>,
    /// Numbers associated with a connector or a group.
    pub numbers: imbl::HashMap<E164, NumberHolder>,
    /// `CallingName` of the numbers that have one, their own or their account's.
    pub calling_names: imbl::HashMap<E164, Arc<str>>,
    /// The members of voice connector groups, in the order in which they are tried.
    pub groups: imbl::HashMap<Uuid, Arc<[GroupMember]>>,
    /// Number masking.
    pub proxy_sessions: ProxySessions,
    /// The carriers of the config file, in its order.
    carriers: Arc<[Carrier]>,
    /// Carrier and route by their places, for each prefix.
    carrier_routes: Arc<PrefixMap<Vec<(usize, usize)>>>,
    /// Where the host names of routes, carriers and peers are (lower case). A name that is missing has not
    /// been located yet.
    located: imbl::HashMap<Arc<str>, Arc<[Located]>>,
    /// Who sends from where.
    sources: Sources,
    /// Names and addresses of this node itself (listeners, aliases), lower case, without port.
    pub own_hosts: imbl::HashSet<Arc<str>>,
    /// Whom TLS connections are opened to.
    pub tls_peers: TlsPeers,
    /// Where calls may be sent to, and who is down.
    pub next_hops: NextHops,
}

impl Snapshot {
    /// The connector whose outbound host name this is; `host` in lower case.
    pub fn connector_by_host(&self, host: &str) -> Option<&Arc<VoiceConnector>> {
        self.connectors.get(self.hosts.get(host)?)
    }

    /// Whether a connector may show a number: it is the connector's, or that of a group that it is in.
    pub fn is_number_of(&self, number: E164, connector: VoiceConnectorId) -> bool {
        match self.numbers.get(&number) {
            Some(NumberHolder::Connector(id)) => *id == connector,
            Some(NumberHolder::Group(group)) => {
                let mut members = self
                    .groups
                    .get(group)
                    .into_iter()
                    .flat_map(|all| all.iter());
                members.any(|member| member.connector == connector)
            }
            None => false,
        }
    }

    /// The connector for whose participants a number stands, or stood in a session that is kept. A number that has
    /// gone to somebody else stands for nobody of its last owner's.
    pub fn masking_connector(&self, number: E164) -> Option<&Arc<VoiceConnector>> {
        let mut connectors = self.proxy_sessions.connectors_of(number);
        let connector = connectors.find(|connector| self.is_number_of(number, *connector))?;
        self.connectors.get(&connector)
    }

    /// The open session in which this caller dials this number, where that number and the one that the other
    /// participant is shown still are the connector's.
    pub fn open_session(
        &self,
        caller: E164,
        dialled: E164,
        now: Instant,
    ) -> Option<&Arc<ProxySession>> {
        let session = self.proxy_sessions.find(caller, dialled, now)?;
        let numbers = [dialled, session.other(caller).proxy];
        let is_held = |number| self.is_number_of(number, session.connector);
        numbers.into_iter().all(is_held).then_some(session)
    }

    /// The carrier that a message belongs to which came so: the one that its peer has proven to be, else the one
    /// whose source it came from.
    pub fn carrier_of(&self, flow: &Flow) -> Option<&Carrier> {
        let proven = flow.carrier.and_then(|id| self.carrier(id));
        let source = flow.remote.ip().to_canonical();
        proven.or_else(|| self.carrier(self.sources.carrier(source)?))
    }

    /// The carrier at this place of the config.
    pub fn carrier(&self, id: CarrierId) -> Option<&Carrier> {
        self.carriers.get(usize::try_from(id.0).ok()?)
    }

    /// Whether termination's list of the customer's hosts holds this address, of a connector that is in here.
    pub fn allows_source(&self, connector: VoiceConnectorId, source: IpAddr) -> bool {
        self.sources.allows(connector, source)
    }

    /// Whether somebody with whom there is an arrangement sends from here: a carrier, a customer's host, or a
    /// place that a route leads to.
    pub fn knows_source(&self, source: IpAddr) -> bool {
        self.sources.knows(source)
    }

    /// The connector that allows this source, where it is one and no more.
    pub fn only_connector_by_source(&self, source: IpAddr) -> Option<&Arc<VoiceConnector>> {
        self.connectors.get(&self.sources.only_connector(source)?)
    }

    /// The routes that lead to a number, those with the longest prefix first.
    pub fn carrier_routes(&self, number: E164) -> impl Iterator<Item = (&Carrier, &CarrierRoute)> {
        let matches = self.carrier_routes.matches(number);
        let places = matches.flat_map(|(_, places)| places);
        places.filter_map(|(carrier, route)| {
            let carrier = self.carriers.get(*carrier)?;
            Some((carrier, carrier.routes.get(*route)?))
        })
    }

    /// The carriers, in the config file's order.
    pub fn carriers(&self) -> &Arc<[Carrier]> {
        &self.carriers
    }

    /// Replaces the carriers; their routes must have been secured. Connections name them by their places.
    pub fn set_carriers(&mut self, carriers: impl Into<Arc<[Carrier]>>) {
        let before = std::mem::replace(&mut self.carriers, carriers.into());
        self.carrier_routes = Arc::new(routes_by_prefix(&self.carriers));
        for (id, carrier) in with_ids(&self.carriers) {
            self.sources.add_carrier(id, &carrier.sources);
        }
        for address in addresses_of_carriers(&self.carriers) {
            self.sources.add_place(address);
        }
        for (target, listener) in targets_of_carriers(&Arc::clone(&self.carriers)) {
            self.add_hops(target, listener);
        }
        for (target, listener) in targets_of_carriers(&before) {
            self.remove_hops(target, listener);
        }
        for address in addresses_of_carriers(&before) {
            self.sources.remove_place(address);
        }
        for (id, carrier) in with_ids(&before) {
            self.sources.remove_carrier(id, &carrier.sources);
        }
    }

    /// Takes what is known of a host name from now on; `None` where it is forgotten.
    pub fn set_located(&mut self, name: Arc<str>, located: Option<Arc<[Located]>>) {
        for address in located.iter().flat_map(|located| route_addresses(located)) {
            self.sources.add_place(address);
        }
        let before = match &located {
            Some(located) => self.located.insert(Arc::clone(&name), Arc::clone(located)),
            None => self.located.remove(&name),
        };
        self.next_hops
            .relocate(&name, before.as_deref(), located.as_deref());
        for address in before.iter().flat_map(|located| route_addresses(located)) {
            self.sources.remove_place(address);
        }
    }

    /// Says whom to expect at a target, where that may be reached over TLS: the host as it was configured,
    /// whatever the DNS makes of it (RFC 3263 §4.1).
    pub fn secure(&mut self, target: &mut Target, policy: &TlsPolicy) {
        target.tls = match target.transport {
            Some(Transport::Udp | Transport::Tcp) => None,
            Some(Transport::Tls) | None => Some(self.tls_peers.intern(TlsPeer {
                server_name: target.host.clone(),
                policy: policy.clone(),
            })),
        };
    }

    /// The places of a host name, with what is said besides; `None` where that has not been located yet, empty
    /// where it is nowhere.
    pub fn places(
        &self,
        name: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Option<&[Place]> {
        let located = self.located.get(name)?.iter();
        let mut located =
            located.filter(|located| located.port == port && located.transport == transport);
        located.next().map(|located| &*located.places)
    }

    /// Puts a connector in, or its new version in the place of the old one; its routes must have been secured.
    pub fn put_connector(&mut self, connector: VoiceConnector) {
        self.hosts
            .insert(connector.outbound_host_name.clone(), connector.id);
        let connector = Arc::new(connector);
        let replaced = self.connectors.insert(connector.id, Arc::clone(&connector));
        self.sources
            .add_connector(connector.id, connector.allowed_networks());
        for address in connector.route_addresses() {
            self.sources.add_place(address);
        }
        for target in connector.targets_in_use() {
            self.add_hops(target, None);
        }
        if let Some(replaced) = replaced {
            self.forget(&replaced);
        }
    }

    /// Takes a connector out; its numbers must have been taken out before.
    pub fn remove_connector(&mut self, id: VoiceConnectorId) {
        if let Some(connector) = self.connectors.remove(&id) {
            self.hosts.remove(&connector.outbound_host_name);
            self.forget(&connector);
        }
    }

    /// What this version of a connector brought with it is not needed any more.
    fn forget(&mut self, connector: &VoiceConnector) {
        self.sources
            .remove_connector(connector.id, connector.allowed_networks());
        for address in connector.route_addresses() {
            self.sources.remove_place(address);
        }
        for target in connector.targets_in_use() {
            self.remove_hops(target, None);
        }
        for peer in connector.routes().filter_map(|route| route.target.tls) {
            self.tls_peers.release(peer);
        }
    }
}

impl Snapshot {
    fn add_hops(&mut self, target: &Target, listener: Option<SocketAddr>) {
        let located = located_host(&self.located, target);
        self.next_hops.add(target, listener, located);
    }

    fn remove_hops(&mut self, target: &Target, listener: Option<SocketAddr>) {
        let located = located_host(&self.located, target);
        self.next_hops.remove(target, listener, located);
    }
}

/// What is known of a target's host name.
fn located_host<'a>(
    located: &'a imbl::HashMap<Arc<str>, Arc<[Located]>>,
    target: &Target,
) -> Option<&'a [Located]> {
    match &target.host {
        Host::Name(name) => located.get(name.as_str()).map(|located| &**located),
        Host::Address(_) => None,
    }
}

/// What the DNS says of a host name, of all [`crate::sip::locate::Destination`]s with that name one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// The port that the name was asked for with.
    pub port: Option<u16>,
    /// The transport that the name was asked for with.
    pub transport: Option<Transport>,
    /// Its places, in no order.
    pub places: Arc<[Place]>,
    /// Whether a route names it: whoever is there is known then.
    pub is_route: bool,
}

fn route_addresses(located: &[Located]) -> impl Iterator<Item = IpAddr> {
    let routes = located.iter().filter(|located| located.is_route);
    let places = routes.flat_map(|located| located.places.iter());
    places.flat_map(|place| place.addresses.iter().copied())
}

fn routes_by_prefix(carriers: &[Carrier]) -> PrefixMap<Vec<(usize, usize)>> {
    let mut places: BTreeMap<Prefix, Vec<(usize, usize)>> = BTreeMap::new();
    for (carrier, routes) in carriers.iter().map(|carrier| &carrier.routes).enumerate() {
        for (index, route) in routes.iter().enumerate() {
            places
                .entry(route.prefix)
                .or_default()
                .push((carrier, index));
        }
    }
    places.into_iter().collect()
}

fn with_ids(carriers: &[Carrier]) -> impl Iterator<Item = (CarrierId, &Carrier)> {
    (0..).map(CarrierId).zip(carriers)
}

fn addresses_of_carriers(carriers: &[Carrier]) -> impl Iterator<Item = IpAddr> {
    let routes = carriers.iter().flat_map(|carrier| &carrier.routes);
    routes.filter_map(|route| address_of(&route.target))
}

/// The targets of carriers, each with the listener that its carrier names.
fn targets_of_carriers(
    carriers: &[Carrier],
) -> impl Iterator<Item = (&Target, Option<SocketAddr>)> {
    carriers.iter().flat_map(|carrier| {
        let routes = carrier.routes.iter();
        routes.map(|route| (&route.target, carrier.policy.listener))
    })
}

fn address_of(target: &Target) -> Option<IpAddr> {
    match target.host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    }
}
