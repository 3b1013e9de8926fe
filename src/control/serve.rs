//! The running node: store, shards, API and the tasks between them.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_queue::ArrayQueue;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::certificates::{Certificates, CertificatesError};
use super::declared::DeclaredFiles;
use super::encryption::EncryptionWatch;
use super::health::HealthBook;
use super::limiter::{NodeLimiter, spending};
use super::proxy_sessions::{self, Used};
use super::publish::{Control, RouteNames};
use super::{deletion, live_calls, random_bytes, resolver};
use crate::api::declared::DeclaredErrors;
use crate::api::{self, AddressTable, ApiState, Throttle};
use crate::config::{Config, OwnPlaces, Transport, calls_of_ports};
use crate::gateway::Cause;
use crate::gateway::limiter::CallLimiter;
use crate::instant::Instant;
use crate::net::tls::Material;
use crate::net::{self, Running, SharedGauges, StartError};
use crate::shard::{Settings, Shard};
use crate::sip::locate::Destination;
use crate::store::OpenError;
use crate::telemetry::{Event, Log};

/// Events that may wait for the log.
const EVENTS_MAX: usize = 65_536;
/// Host names that may wait to be located for calls.
const LOCATIONS_MAX: usize = 256;
/// Proxy sessions that may wait to be kept as used.
const SESSIONS_MAX: usize = 1_024;
/// How often it is looked whether every shard lives.
const SHARDS_LOOK: Duration = Duration::from_secs(1);
/// How often the log looks for events.
const EVENTS_LOOK: Duration = Duration::from_millis(50);

/// Why a node does not start.
#[derive(Debug)]
pub enum ServeError {
    /// The store.
    Store(OpenError),
    /// TLS.
    Certificates(CertificatesError),
    /// SIP or media.
    DataPlane(StartError),
    /// The API's listener.
    Api(std::net::SocketAddr, io::Error),
    /// The name servers.
    Dns(String),
    /// What files declare.
    Declared(DeclaredErrors),
    /// The table of addresses.
    Addresses(String),
    /// The system.
    System(io::Error),
    /// A shard's thread ended while the node served; the log says why.
    ShardLost,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificates(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::DataPlane(error) => error.fmt(f),
            Self::Api(address, error) => {
                write!(
                    f,
                    "api.bind {address}: {error}; choose another address, or end the program that holds it"
                )
            }
            Self::Dns(error) => write!(f, "dns.servers: {error}"),
            Self::Declared(errors) => errors.fmt(f),
            Self::Addresses(error) => write!(f, "api.e911_addresses: {error}"),
            Self::System(error) => write!(f, "{error}"),
            Self::ShardLost => f.write_str("a shard has ended: its calls are lost, the node stops"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until SIGINT or SIGTERM.
pub fn serve(config: Config) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(ServeError::System)?.block_on(run(config))
}

async fn run(config: Config) -> Result<(), ServeError> {
    let signals = StopSignals::new().map_err(ServeError::System)?;
    let health_wanted = health_signal().map_err(ServeError::System)?;
    let certificates = Certificates::open(&config).map_err(ServeError::Certificates)?;
    let material = certificates.material();
    let carriers = config.carriers.clone();
    let customers = config.sip.tls.customers();
    let control = Control::open(
        config.store.url.reveal(),
        &config.sip.domain,
        carriers,
        customers,
        config.termination.clone(),
    )
    .await
    .map_err(ServeError::Store)?;
    let limiter = Arc::new(NodeLimiter::default());
    let counted = limiter.read_spending(control.store(), Timestamp::now());
    counted
        .await
        .map_err(|error| ServeError::Store(error.into()))?;
    control.set_own_hosts(&config).await;
    let declared = Arc::default();
    let declared_files = DeclaredFiles {
        files: config.declared.files.clone(),
        own: OwnPlaces::of(&config.sip),
        control: Arc::clone(&control),
        owners: Arc::clone(&declared),
    };
    declared_files.put().await.map_err(ServeError::Declared)?;

    let events = Arc::new(ArrayQueue::new(EVENTS_MAX));
    let shards_limiter = Arc::clone(&limiter);
    let running = start_shards(
        &config,
        material,
        &control,
        shards_limiter,
        Arc::clone(&events),
    )?;
    let certificates = tokio::spawn(certificates.watch());
    let api_files = config.api.tls.clone();
    let api_certificates = api_files.map(Certificates::of_api).transpose();
    let api_certificates = api_certificates.map_err(ServeError::Certificates)?;
    let api_tls = api_certificates.as_ref().map(Certificates::material);
    let api_certificates = api_certificates.map(|certificates| tokio::spawn(certificates.watch()));
    let (wake, published) = (running.handle(), control.published());
    let encryption = EncryptionWatch::new(&config.sip);
    encryption.look(&published.load());
    control.on_publish(move || {
        wake.wake();
        encryption.look(&published.load());
    });
    let (wanted, locations_wanted) = mpsc::channel(LOCATIONS_MAX);
    let (used, sessions_used) = mpsc::channel(SESSIONS_MAX);
    let facts = Facts {
        events,
        control: Arc::clone(&control),
        wanted,
        health: HealthBook::default(),
        used,
    };
    let sessions = tokio::spawn(proxy_sessions::run(Arc::clone(&control), sessions_used));
    let (recording_ends, is_ended) = oneshot::channel();
    let recording = tokio::spawn(record(facts, health_wanted, is_ended));
    let declaring = tokio::spawn(declared_files.watch());
    let following = tokio::spawn({
        let control = Arc::clone(&control);
        async move { control.follow().await }
    });
    let purging = tokio::spawn(deletion::run(Arc::clone(&control), Timestamp::now));
    let (spending_ends, is_ended) = oneshot::channel();
    let (counts, store) = (Arc::clone(&limiter), control.store().clone());
    let spending = tokio::spawn(spending::run(counts, store, Timestamp::now, is_ended));
    let dns = resolver::Dns::new(&config.dns).map_err(ServeError::Dns)?;
    let names = tokio::spawn(resolver::run(
        RouteNames(Arc::clone(&control)),
        dns,
        (spoken(&config), config.dns.stale),
        control.names_changed(),
        locations_wanted,
    ));

    let e911_addresses = match &config.api.e911_addresses {
        Some(path) => AddressTable::read(path).map_err(ServeError::Addresses)?,
        None => AddressTable::default(),
    };
    let bind = config.api.bind;
    let listener = TcpListener::bind(bind)
        .await
        .map_err(|error| ServeError::Api(bind, error))?;
    let api_address = listener
        .local_addr()
        .map_err(|error| ServeError::Api(bind, error))?;
    announce(&config, &running, api_address);
    let (figures, asked) = (running.handle(), running.handle());
    let calls_of = control.store().clone();
    let state = Arc::new(ApiState {
        control: Arc::clone(&control),
        number_pools: config.number_pools.clone(),
        e911_addresses,
        users: config.api.users.iter().cloned().collect(),
        throttle: Throttle::new(config.api.requests_per_second),
        quotas: config.quotas,
        declared,
        access_keys: config.api.access_keys.clone(),
        now: Timestamp::now,
        status: Box::new(move || status(&figures.gauges)),
        calls: Box::new(move |account, max| {
            live_calls::ask(asked.clone(), calls_of.clone(), account, max)
        }),
    });
    let served = tokio::select! {
        served = api::server::serve(listener, api_tls, state, signals.received()) => {
            served.map_err(ServeError::System)
        }
        () = shard_lost(&running) => Err(ServeError::ShardLost),
    };

    tracing::info!("stopping");
    names.abort();
    purging.abort();
    following.abort();
    declaring.abort();
    certificates.abort();
    if let Some(api_certificates) = api_certificates {
        api_certificates.abort();
    }
    running.shutdown();
    // No call is admitted any more.
    drop(spending_ends);
    if spending.await.is_err() {
        tracing::error!("the last calls of this hour could not be written");
    }
    // What the shards told last is still recorded.
    drop(recording_ends);
    // It ends when nobody tells it of more.
    if recording.await.is_err() || sessions.await.is_err() {
        tracing::error!("the last events could not be recorded");
    }
    control.store().close().await;
    served
}

fn start_shards(
    config: &Config,
    material: Arc<ArcSwap<Material>>,
    control: &Control,
    limiter: Arc<dyn CallLimiter>,
    events: Arc<ArrayQueue<Event>>,
) -> Result<Running, ServeError> {
    let secret = random_bytes();
    let clock = control.time().clock();
    let make = |shard| {
        let settings = Settings::new(config, shard, secret, (random_bytes(), random_bytes()));
        Shard::new(
            settings,
            control.snapshot(),
            Arc::clone(&limiter),
            clock.now(),
        )
    };
    net::start(config, material, control.published(), make, events, clock)
        .map_err(ServeError::DataPlane)
}

/// What the shards tell, and where it goes.
struct Facts {
    events: Arc<ArrayQueue<Event>>,
    control: Arc<Control>,
    /// Host names that calls came upon.
    wanted: mpsc::Sender<Destination>,
    health: HealthBook,
    /// Proxy sessions that calls and messages went through.
    used: mpsc::Sender<Used>,
}

/// Writes the log, keeps what the API tells of, and tells of health when it is asked, until the other end of `is_ended` is
/// dropped.
async fn record(mut facts: Facts, mut health_wanted: Signal, mut is_ended: oneshot::Receiver<()>) {
    let mut log = Log::default();
    let mut look = tokio::time::interval(EVENTS_LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut now = look.tick().await;
    let origin = now;
    loop {
        facts.drain(&mut log, since(origin, now)).await;
        now = tokio::select! {
            now = look.tick() => now,
            Some(()) = health_wanted.recv() => {
                facts.health.tell(&facts.control.snapshot());
                continue;
            }
            _ = &mut is_ended => break,
        };
    }
    facts.drain(&mut log, since(origin, now)).await;
    log.sum_up();
}

/// The log's time, which begins with it.
fn since(origin: tokio::time::Instant, now: tokio::time::Instant) -> Instant {
    Instant::ORIGIN + now.saturating_duration_since(origin)
}

impl Facts {
    /// Takes all events there are; of several OPTIONS of a connector the last one is kept.
    async fn drain(&mut self, log: &mut Log, now: Instant) {
        log.look(now);
        let at = Timestamp::now();
        let mut pinging = BTreeSet::new();
        let mut health = Vec::new();
        let mut used = HashSet::new();
        while let Some(event) = self.events.pop() {
            log.write(&event, now);
            #[expect(clippy::wildcard_enum_match_arm, reason = "the others are for the log")]
            match event {
                Event::OptionsReceived { connector, source } => {
                    let source = source.ip().to_canonical();
                    self.health.options_received(connector, source, at);
                    pinging.insert(connector);
                }
                Event::Pinged {
                    hop,
                    outcome,
                    waited,
                } => self.health.pinged(hop, outcome, waited, at),
                Event::HealthChanged { hop, is_down, .. } => {
                    self.health.changed(hop, is_down, at);
                    health.push((hop, is_down));
                }
                Event::LocationWanted {
                    name,
                    port,
                    transport,
                } => {
                    // With so many waiting, the call does without.
                    let _full = self.wanted.try_send(Destination {
                        name: name.into(),
                        port,
                        transport,
                    });
                }
                Event::ProxySessionUsed { connector, session } => {
                    used.insert(Used { connector, session });
                }
                _ => {}
            }
        }
        for used in used {
            // With so many waiting, the session's next call tells of it.
            let _full = self.used.try_send(used);
        }
        self.health.tidy(&self.control.snapshot());
        if !health.is_empty() {
            self.control.set_health(&health).await;
        }
        for connector in pinging {
            let Some((source, at)) = self.health.last_options(connector) else {
                continue;
            };
            let store = self.control.store();
            let recorded = store.record_options(connector, source, at);
            if let Err(error) = recorded.await {
                tracing::error!(?error, "termination health could not be recorded");
            }
        }
    }
}

/// The transports that there are listeners for.
pub(super) fn spoken(config: &Config) -> Vec<Transport> {
    let listeners = config.sip.listeners.iter();
    listeners.map(|listener| listener.transport).collect()
}

/// Returns when a shard's thread has ended: whoever supervises the process starts it again.
async fn shard_lost(running: &Running) {
    let mut look = tokio::time::interval(SHARDS_LOOK);
    while running.is_whole() {
        look.tick().await;
    }
}

/// What listens where, and what to do next.
fn announce(config: &Config, running: &Running, api: std::net::SocketAddr) {
    for (listener, address) in config.sip.listeners.iter().zip(&running.local_addrs) {
        tracing::info!(transport = %listener.transport, %address, advertised = %listener.advertise, "SIP");
    }
    for address in &config.media.addresses {
        let (first, last) = (config.media.ports.start(), config.media.ports.end());
        let calls = calls_of_ports(&config.media.ports, config.node.shards);
        tracing::info!(address = %address.bind, first, last, calls, "media");
    }
    tracing::info!(
        store = %config.store.url,
        shards = config.node.shards,
        "store"
    );
    tracing::info!(
        "API on {}://{api}; create a voice connector there: README.md has a first call",
        config.api.scheme()
    );
}

/// Figures of every shard, for operators and tests.
fn status(gauges: &[Arc<SharedGauges>]) -> serde_json::Value {
    let shards = gauges.iter().map(|gauges| {
        let (core, net) = (gauges.core(), gauges.net());
        let refused = gauges.refused();
        // Most causes never come up.
        let refused: serde_json::Map<_, _> = Cause::ALL
            .into_iter()
            .filter(|cause| refused.of(*cause) > 0)
            .map(|cause| (cause.name().to_owned(), refused.of(cause).into()))
            .collect();
        let dropped = json!({
            "free_port": core.media_free_port,
            "malformed": core.media_malformed,
            "foreign_source": core.media_foreign_source,
            "too_many": core.media_too_many,
            "not_authentic": core.media_not_authentic,
            "replayed": core.media_replayed,
            "implausible": core.media_implausible,
            "no_destination": core.media_no_destination,
        });
        json!({
            "refused": refused,
            "media_packets_relayed": core.media_packets_relayed,
            "media_bytes_relayed": core.media_bytes_relayed,
            "media_packets_dropped": dropped,
            "calls": core.calls,
            "dialogs": core.dialogs,
            "transactions": core.transactions,
            "timers": core.timers,
            "media_ports": core.media_ports_in_use,
            "media_ports_free": core.media_ports_free,
            "calls_begun": core.calls_begun,
            "calls_refused": core.calls_refused,
            "calls_refused_lag": core.calls_refused_lag,
            "messages_over_rate": core.messages_over_rate,
            "messages_from_banned": core.messages_from_banned,
            "messages_while_busy": core.messages_while_busy,
            "sources_banned": core.sources_banned,
            "next_hops": core.next_hops,
            "next_hops_down": core.next_hops_down,
            "pings_sent": core.pings_sent,
            "pings_unanswered": core.pings_unanswered,
            "pager_messages": core.pager_messages,
            "pager_messages_begun": core.pager_messages_begun,
            "pager_messages_refused_full": core.pager_messages_refused_full,
            "messages": core.messages,
            "messages_malformed": core.messages_malformed,
            "messages_stray": core.messages_stray,
            "panics": core.call_panics + net.panics,
            "connections": net.connections,
            "connections_tcp": net.connections_tcp,
            "connections_tls": net.connections_tls,
            "tls_handshakes": net.tls_handshakes,
            "tls_handshakes_failed": net.tls_handshakes_failed,
            "handed_over": net.handed_over,
            "mailbox_drops": net.mailbox_drops,
            "event_drops": net.event_drops,
            "send_errors": net.send_errors,
            "media_packets_received": net.media_packets_received,
            "media_packets_sent": net.media_packets_sent,
            "media_send_drops": net.media_send_drops,
        })
    });
    json!({ "shards": shards.collect::<Vec<_>>() })
}

/// SIGUSR1: what is known of health goes to the log.
fn health_signal() -> io::Result<Signal> {
    signal(SignalKind::user_defined1())
}

/// SIGINT and SIGTERM.
struct StopSignals {
    /// Taken from the start on: files are read again then, and nothing ends.
    _hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            _hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::refusal::RefusalCounts;
    use crate::net::{Gauges, NetGauges};

    #[test]
    fn the_status_tells_of_connections_handshakes_and_pings() {
        let gauges = [3, 5].map(|connections_tls| {
            let shared = SharedGauges::default();
            let net = NetGauges {
                connections: connections_tls + 1,
                connections_tcp: 1,
                connections_tls,
                tls_handshakes: 9,
                tls_handshakes_failed: 2,
                ..NetGauges::default()
            };
            let core = Gauges {
                next_hops: 4,
                next_hops_down: 1,
                pings_sent: 70,
                pings_unanswered: 6,
                ..Gauges::default()
            };
            shared.publish(&core, &RefusalCounts::default(), &net);
            Arc::new(shared)
        });
        let status = status(&gauges);
        for (shard, tls) in [3, 5].into_iter().enumerate() {
            let shard = &status["shards"][shard];
            assert_eq!(shard["connections"], tls + 1);
            assert_eq!(shard["connections_tcp"], 1);
            assert_eq!(shard["connections_tls"], tls);
            assert_eq!(shard["tls_handshakes"], 9);
            assert_eq!(shard["tls_handshakes_failed"], 2);
            assert_eq!(shard["next_hops"], 4);
            assert_eq!(shard["next_hops_down"], 1);
            assert_eq!(shard["pings_sent"], 70);
            assert_eq!(shard["pings_unanswered"], 6);
        }
    }
}
