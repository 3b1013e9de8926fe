//! Writes and what calls see of them: commit, then publish, then answer.
//!
//! All writes go through one lock, so that snapshots follow each other in the order of the commits. A
//! snapshot is a changed copy of the last one that shares all that did not change. Writes of other nodes on the same
//! database are heard of and read ([`Control::follow`]).

mod follow;
mod groups;
mod numbers;
mod sessions;
#[cfg(test)]
mod tests;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::config::{
    Carrier, Config, Host, NextHop, OwnPlaces, Secret, Target, TerminationPolicies, TlsPolicy,
    Transport,
};
use crate::connector_id::VoiceConnectorId;
use crate::net::sys::Clock;
use crate::shard::snapshot::{
    Credential, EmergencyNumber, Origination, OriginationRoute, ProxyPolicy, Snapshot, Termination,
    VoiceConnector,
};
use crate::sip::locate::Destination;
use crate::store::{
    ChangeFeed, Declaration, DeclareError, DnisRecord, Document, EmergencyRecord, Key,
    NewVoiceConnector, OpenError, OriginationRecord, ProxyRecord, Put, Resource, RouteProtocol,
    RouteRecord, Store, StoreError, TerminationRecord, VoiceConnectorRecord, WholeConnector,
};

use self::groups::{put_group, set_groups};
use self::numbers::{put_numbers, set_numbers};
use self::sessions::sessions_for_calls;
pub use self::time::ShardTime;
use super::random_bytes;
use super::resolver::{Changes, Routes};

/// The store, and the snapshot of it that the shards read.
pub struct Control {
    store: Store,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Held from before a commit until after its publishing.
    writing: Mutex<()>,
    /// What is written since the first snapshot was read, until [`Control::follow`] listens.
    changes: Mutex<Option<ChangeFeed>>,
    sip_domain: String,
    /// How connections to customers' hosts are secured.
    customers: TlsPolicy,
    /// What the config says of customers' calls.
    policies: TerminationPolicies,
    time: ShardTime,
    own_places: std::sync::OnceLock<OwnPlaces>,
    names_changed: Arc<Notify>,
    /// Tells the shards to look at the snapshot.
    wake: std::sync::OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Control {
    /// Opens the store and makes the first snapshot.
    pub async fn open(
        url: &str,
        sip_domain: &str,
        carriers: Vec<Carrier>,
        customers: TlsPolicy,
        policies: TerminationPolicies,
    ) -> Result<Arc<Self>, OpenError> {
        let store = Store::open(url).await?;
        Self::of(store, sip_domain, carriers, customers, policies).await
    }

    /// Makes the first snapshot of a store. Where it was opened to be looked at, what is written changes the snapshot alone.
    pub async fn of(
        store: Store,
        sip_domain: &str,
        mut carriers: Vec<Carrier>,
        customers: TlsPolicy,
        policies: TerminationPolicies,
    ) -> Result<Arc<Self>, OpenError> {
        // Before anything is read, so that nothing is missed.
        let changes = store.changes().await?;
        let mut snapshot = Snapshot::default();
        for carrier in &mut carriers {
            for route in &mut carrier.routes {
                snapshot.secure(&mut route.target, &carrier.tls.policy(route.verify));
            }
        }
        snapshot.set_carriers(carriers);
        for connector in store.whole_connectors().await? {
            let connector = for_calls(connector, &policies);
            put_connector(&mut snapshot, connector, &customers);
        }
        set_numbers(&mut snapshot, store.numbers_in_service().await?);
        set_groups(&mut snapshot, store.all_group_items().await?);
        let time = ShardTime::of(Clock::start());
        let sessions = store.proxy_sessions().await?;
        snapshot.proxy_sessions = sessions_for_calls(sessions, &time, Timestamp::now());
        Ok(Arc::new(Self {
            store,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            writing: Mutex::new(()),
            changes: Mutex::new(changes),
            sip_domain: sip_domain.to_owned(),
            customers,
            policies,
            time,
            own_places: std::sync::OnceLock::new(),
            names_changed: Arc::new(Notify::new()),
            wake: std::sync::OnceLock::new(),
        }))
    }

    /// For reads.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Holds off every write of this node, for a check and the write that rests on it. Whoever has it calls
    /// nothing of this type that writes.
    pub async fn hold_writes(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// What calls see now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Where the shards find the snapshot.
    pub fn published(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.snapshot)
    }

    /// The time of the shards, which goes by [`ShardTime::clock`].
    pub fn time(&self) -> &ShardTime {
        &self.time
    }

    /// Notified when a route or carrier may have a new host name.
    pub fn names_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.names_changed)
    }

    /// Calls `wake` after every publishing from now on; only the first call counts.
    pub fn on_publish(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A second caller would be a fault of ours, and harmless: shards look every turn.
        let _set_before = self.wake.set(Box::new(wake));
    }

    /// Names and addresses of this node itself, from its listeners and aliases.
    pub async fn set_own_hosts(&self, config: &Config) {
        let own = OwnPlaces::of(&config.sip);
        let hosts = own.hosts().map(Arc::from).collect();
        // The config stays the same for as long as the node runs.
        let _set_before = self.own_places.set(own);
        let writing = self.writing.lock().await;
        self.publish(&writing, |snapshot| snapshot.own_hosts = hosts);
    }

    /// Whether a route to this host and port would lead to this node itself.
    pub fn is_own_place(&self, host: &str, port: u16) -> bool {
        let own = self.own_places.get();
        own.is_some_and(|own| own.hold(host, port))
    }

    /// `OutboundHostName` of a connector that is created now.
    pub fn outbound_host_name(&self, id: VoiceConnectorId) -> String {
        format!("{id}.{}", self.sip_domain)
    }

    /// Puts what files declare, and says what was not so before.
    pub async fn declare(
        &self,
        writing: &MutexGuard<'_, ()>,
        declaration: &Declaration,
        now: Timestamp,
    ) -> Result<BTreeMap<Resource, Put>, DeclareError> {
        let done = self.store.declare(declaration, now).await?;
        self.publish(writing, |snapshot| {
            for connector in done.connectors {
                let connector = for_calls(connector, &self.policies);
                put_connector(snapshot, connector, &self.customers);
            }
            for (group, items) in &done.groups {
                put_group(snapshot, *group, items);
            }
            put_numbers(snapshot, &done.numbers, done.in_service);
        });
        self.names_changed.notify_one();
        Ok(done.put)
    }

    /// `CreateVoiceConnector`, where the account has fewer than so many.
    pub async fn create_voice_connector(
        &self,
        new: NewVoiceConnector,
        most: usize,
    ) -> Result<VoiceConnectorRecord, StoreError> {
        let id = VoiceConnectorId::from_random(random_bytes());
        let host = self.outbound_host_name(id);
        let writing = self.writing.lock().await;
        // An account has not more than all have, and to count its own is dear.
        let most = Some(most).filter(|most| self.snapshot.load().connectors.len() >= *most);
        let connector = self
            .store
            .insert_voice_connector(id, new, host, most, Timestamp::now())
            .await?;
        Ok(self.publish_whole(&writing, connector))
    }

    /// `UpdateVoiceConnector`
    pub async fn update_voice_connector(
        &self,
        account: &str,
        id: VoiceConnectorId,
        name: &str,
        require_encryption: bool,
    ) -> Result<VoiceConnectorRecord, StoreError> {
        let writing = self.writing.lock().await;
        let now = Timestamp::now();
        let connector = self
            .store
            .update_voice_connector(account, id, name, require_encryption, now)
            .await?;
        Ok(self.publish_whole(&writing, connector))
    }

    /// `DeleteVoiceConnector`, with its documents of these kinds, where there is none of the kind `holding`.
    pub async fn delete_voice_connector(
        &self,
        account: &str,
        id: VoiceConnectorId,
        kinds: &[&'static str],
        holding: &'static str,
    ) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        self.store
            .delete_voice_connector(account, id, kinds, holding)
            .await?;
        self.publish(&writing, |snapshot| remove_connector(snapshot, id));
        Ok(())
    }

    /// `PutVoiceConnectorTermination`
    pub async fn put_termination(
        &self,
        account: &str,
        id: VoiceConnectorId,
        termination: &TerminationRecord,
    ) -> Result<(), StoreError> {
        self.set_termination(account, id, Some(termination)).await
    }

    /// `DeleteVoiceConnectorTermination`; what was never put is no error.
    pub async fn delete_termination(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<(), StoreError> {
        self.set_termination(account, id, None).await
    }

    async fn set_termination(
        &self,
        account: &str,
        id: VoiceConnectorId,
        termination: Option<&TerminationRecord>,
    ) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        let connector = self
            .store
            .set_termination(account, id, termination, Timestamp::now())
            .await?;
        self.publish_whole(&writing, connector);
        Ok(())
    }

    /// `PutVoiceConnectorOrigination`
    pub async fn put_origination(
        &self,
        account: &str,
        id: VoiceConnectorId,
        origination: &OriginationRecord,
    ) -> Result<(), StoreError> {
        self.set_origination(account, id, Some(origination)).await
    }

    /// `DeleteVoiceConnectorOrigination`; what was never put is no error.
    pub async fn delete_origination(
        &self,
        account: &str,
        id: VoiceConnectorId,
    ) -> Result<(), StoreError> {
        self.set_origination(account, id, None).await
    }

    async fn set_origination(
        &self,
        account: &str,
        id: VoiceConnectorId,
        origination: Option<&OriginationRecord>,
    ) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        let connector = self
            .store
            .set_origination(account, id, origination, Timestamp::now())
            .await?;
        self.publish_whole(&writing, connector);
        Ok(())
    }

    /// `PutVoiceConnectorTerminationCredentials`: adds or replaces by user name, up to so many in all; only hashes are
    /// kept.
    pub async fn put_credentials(
        &self,
        account: &str,
        id: VoiceConnectorId,
        credentials: &[(String, Secret)],
        most: usize,
    ) -> Result<(), StoreError> {
        let realm = self
            .store
            .voice_connector(account, id)
            .await?
            .outbound_host_name;
        let hashed = credentials
            .iter()
            .map(|(username, password)| Credential::hashed(username, &realm, &password.0));
        let hashed: Vec<Credential> = hashed.collect();
        let writing = self.writing.lock().await;
        let connector = self
            .store
            .put_credentials(account, id, &hashed, most)
            .await?;
        self.publish_whole(&writing, connector);
        Ok(())
    }

    /// `DeleteVoiceConnectorTerminationCredentials`
    pub async fn delete_credentials(
        &self,
        account: &str,
        id: VoiceConnectorId,
        usernames: &[String],
    ) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        let connector = self
            .store
            .delete_credentials(account, id, usernames)
            .await?;
        self.publish_whole(&writing, connector);
        Ok(())
    }

    /// Puts a configuration of a connector that is a document.
    pub async fn put_configuration(
        &self,
        writing: &MutexGuard<'_, ()>,
        key: Key<'_>,
        id: VoiceConnectorId,
        body: &serde_json::Value,
        now: Timestamp,
    ) -> Result<Document, StoreError> {
        let (document, connector) = self.store.put_of_connector(key, id, body, now).await?;
        self.publish_whole(writing, connector);
        Ok(document)
    }

    /// Takes a configuration of a connector away that is a document; what was never put is no error.
    pub async fn delete_configuration(
        &self,
        key: Key<'_>,
        id: VoiceConnectorId,
    ) -> Result<(), StoreError> {
        let writing = self.writing.lock().await;
        let connector = self.store.delete_of_connector(key, id).await?;
        self.publish_whole(&writing, connector);
        Ok(())
    }

    /// Publishes what another node has written.
    async fn publish_connector(
        &self,
        writing: &MutexGuard<'_, ()>,
        id: VoiceConnectorId,
    ) -> Result<(), StoreError> {
        match self.store.whole_connector(id).await {
            Ok(connector) => {
                self.publish_whole(writing, connector);
                Ok(())
            }
            // Deleted.
            Err(StoreError::UnknownVoiceConnector(_)) => {
                self.publish(writing, |snapshot| remove_connector(snapshot, id));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Publishes a connector as it was written.
    fn publish_whole(
        &self,
        writing: &MutexGuard<'_, ()>,
        connector: WholeConnector,
    ) -> VoiceConnectorRecord {
        let record = connector.record.clone();
        let connector = for_calls(connector, &self.policies);
        let before = self.snapshot.load();
        let before = before.connectors.get(&record.id).into_iter();
        let before = before.flat_map(|connector| destinations(connector));
        let is_same = before.eq(destinations(&connector));
        self.publish(writing, |snapshot| {
            put_connector(snapshot, connector, &self.customers);
        });
        // To look at all routes of all connectors is dear.
        if !is_same {
            self.names_changed.notify_one();
        }
        record
    }

    /// What pings have found out: next hops that are down, or up again.
    pub async fn set_health(&self, changes: &[(NextHop, bool)]) {
        let writing = self.writing.lock().await;
        self.publish(&writing, |snapshot| {
            for (hop, is_down) in changes {
                snapshot.next_hops.set_down(*hop, *is_down);
            }
        });
    }

    /// Changes the snapshot; the guard shows that nobody else does.
    fn publish(&self, _writing: &MutexGuard<'_, ()>, change: impl FnOnce(&mut Snapshot)) {
        let mut next = Snapshot::clone(&self.snapshot.load());
        change(&mut next);
        self.snapshot.store(Arc::new(next));
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

/// The resolver's view: which names routes have, and where their addresses go.
pub struct RouteNames(pub Arc<Control>);

impl Routes for RouteNames {
    fn destinations(&self) -> Vec<Destination> {
        let snapshot = self.0.snapshot();
        let connectors = snapshot.connectors.values();
        let routes = connectors.flat_map(|connector| destinations(connector));
        let carriers = snapshot
            .carriers()
            .iter()
            .flat_map(|carrier| &carrier.routes)
            .filter_map(|route| destination(&route.target));
        routes.chain(carriers).collect()
    }

    async fn publish(&self, changes: Changes) {
        let writing = self.0.writing.lock().await;
        self.0.publish(&writing, |snapshot| {
            for (name, located) in changes {
                snapshot.set_located(name, located);
            }
        });
    }
}

/// The host names of a connector's routes.
fn destinations(connector: &VoiceConnector) -> impl Iterator<Item = Destination> {
    let origination = connector.origination.iter();
    let routes = origination.flat_map(|origination| &origination.routes);
    routes.filter_map(|route| destination(&route.target))
}

/// What the name servers are asked for a route; nothing where it has an address.
fn destination(target: &Target) -> Option<Destination> {
    match &target.host {
        Host::Name(name) => Some(Destination {
            name: name.as_str().into(),
            port: target.port,
            transport: target.transport,
        }),
        Host::Address(_) => None,
    }
}

/// Puts a connector in, its routes with whom to expect at them.
fn put_connector(snapshot: &mut Snapshot, mut connector: VoiceConnector, customers: &TlsPolicy) {
    let origination = connector.origination.iter_mut();
    for route in origination.flat_map(|origination| &mut origination.routes) {
        snapshot.secure(&mut route.target, customers);
    }
    snapshot.put_connector(connector);
}

/// Takes a connector out, and its proxy sessions, which go with it.
fn remove_connector(snapshot: &mut Snapshot, id: VoiceConnectorId) {
    snapshot.remove_connector(id);
    snapshot.proxy_sessions.forget_connector(id);
}

/// A connector as calls see it.
fn for_calls(whole: WholeConnector, policies: &TerminationPolicies) -> VoiceConnector {
    let WholeConnector {
        record,
        termination,
        origination,
        credentials,
        proxy,
        emergency,
    } = whole;
    let encrypted = record.require_encryption;
    VoiceConnector {
        require_encryption: encrypted,
        termination: termination.map(|termination| Termination {
            disabled: termination.disabled,
            cidr_allowed_list: termination.cidr_allowed_list,
            // What names no country has no numbers.
            calling_regions: termination
                .calling_regions
                .iter()
                .filter_map(|code| code.parse().ok())
                .collect(),
            cps_limit: termination.cps_limit,
            // What the API let in is a number.
            default_phone_number: termination
                .default_phone_number
                .and_then(|number| number.parse().ok()),
        }),
        origination: origination.map(|origination| Origination {
            disabled: origination.disabled,
            routes: origination
                .routes
                .iter()
                .map(|route| route_for_calls(route, encrypted))
                .collect(),
        }),
        credentials,
        policy: Arc::clone(policies.policy_of(record.id)),
        proxy: proxy.map(proxy_for_calls),
        emergency: emergency.map(emergency_for_calls).unwrap_or_default(),
        ..VoiceConnector::new(record.id, &record.outbound_host_name)
    }
}

// What the API let in as a number is one, here and below.
fn proxy_for_calls(proxy: ProxyRecord) -> ProxyPolicy {
    let fallback = proxy.fall_back_phone_number;
    ProxyPolicy {
        disabled: proxy.disabled.unwrap_or_default(),
        fallback: fallback.and_then(|number| number.parse().ok()),
    }
}

fn emergency_for_calls(emergency: EmergencyRecord) -> Vec<EmergencyNumber> {
    let numbers = emergency.dnis.into_iter().flatten();
    let number = |dnis: DnisRecord| {
        let test = dnis.test_phone_number;
        Some(EmergencyNumber {
            number: dnis.emergency_phone_number.parse().ok()?,
            test: test.and_then(|number| number.parse().ok()),
        })
    };
    numbers.filter_map(number).collect()
}

fn route_for_calls(route: &RouteRecord, encrypted: bool) -> OriginationRoute {
    let transport = match route.protocol {
        _ if encrypted => Transport::Tls,
        RouteProtocol::Tcp => Transport::Tcp,
        RouteProtocol::Udp => Transport::Udp,
    };
    OriginationRoute {
        target: Target {
            host: Host::from(route.host.as_str()),
            port: Some(route.port),
            transport: Some(transport),
            tls: None,
        },
        priority: route.priority,
        weight: route.weight,
    }
}
