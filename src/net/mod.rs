//! Layer 3: the only code that touches sockets and the clock.
//!
//! One thread a shard runs a `worker`: it waits for its sockets, gives what arrives to a sans-IO
//! [`Core`], and sends what the core wants sent. Threads share nothing but mailboxes, the published
//! [`Snapshot`] and their figures.
//!
//! - `worker` the loop of a thread, `dispatch` the core in it
//! - `udp`, `tcp` SIP; `tls` between a connection of `tcp` and its messages
//! - `media` media sockets; `marking` of packets; `mailbox` what passes between shards
//! - `sys` clock and limits of the system; `shortage` whether these are wide enough
//!
//! Deliberately absent: SIP itself (a message is only framed here), routing, and waiting. No peer and
//! no other thread can hold a worker up: every queue is bounded, and full means a counted drop.

mod dispatch;
mod driven;
mod gauges;
mod mailbox;
mod marking;
mod media;
pub mod shortage;
pub mod sys;
mod tcp;
pub mod tls;
mod udp;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_queue::ArrayQueue;
use mio::Poll;

use self::dispatch::Dispatch;
pub use self::gauges::{Gauges, NetGauges, SharedGauges};
use self::mailbox::{Mail, Mailbox, Question};
use self::media::{MediaSockets, PAIRS_PER_TURN};
use self::shortage::System;
use self::sys::Clock;
use self::tls::Material;
use self::worker::{Shared, Worker};
use crate::config::{Config, SipListener, Transport};
use crate::gateway::refusal::RefusalCounts;
use crate::instant::Instant;
use crate::media::{Datagram, Forward, MediaPort, MediaSocket};
use crate::shard::io::{Flow, Input, Output};
use crate::shard::snapshot::Snapshot;
use crate::telemetry::{CallsWanted, Event, LiveCall};

/// What a worker drives: one shard as a sans-IO machine.
///
/// After any of the calls that take `&mut self` the worker empties [`poll_output`](Self::poll_output).
pub trait Core {
    /// Takes one input.
    fn handle(&mut self, input: Input, now: Instant);

    /// Does what is due by `now`.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` while no timer runs.
    fn next_timeout(&mut self) -> Option<Instant>;

    /// The next output; `None` when there is none for now.
    fn poll_output(&mut self) -> Option<Output>;

    /// Takes a packet that arrived on a media socket; the answer says where it goes, as it is then.
    fn relay(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Option<Forward>;

    /// Whether a message that came so is to be handled; asked before anything else.
    fn admits(&mut self, flow: &Flow, now: Instant) -> bool;

    /// Whether a connection from this address is to be accepted.
    fn accepts(&self, source: IpAddr, now: Instant) -> bool;

    /// How long the thread has not been through with what there was to do.
    fn set_lag(&mut self, lag: Duration);

    /// The shard that owns a SIP message; asked only where there is more than one.
    fn owner(&self, message: &[u8]) -> u8;

    /// How many more media ports should be bound: there are few free ones left.
    fn media_ports_wanted(&self) -> usize;

    /// The thread is about to end: says good-bye to whoever waits.
    fn shutdown(&mut self, now: Instant);

    /// Replaces the routing data.
    fn set_snapshot(&mut self, snapshot: Arc<Snapshot>, now: Instant);

    /// Its answered calls that are wanted, as they are now.
    fn live_calls(&self, wanted: &CallsWanted, now: Instant) -> Vec<LiveCall>;

    /// The core's figures now.
    fn gauges(&self) -> Gauges;

    /// What policy has refused so far.
    fn refused(&self) -> RefusalCounts;
}

/// Why the data plane did not start. Nothing is left running or bound.
#[derive(Debug)]
pub enum StartError {
    /// More listeners than a [`crate::shard::io::Flow`] can tell apart.
    TooManyListeners {
        /// How many there are.
        listeners: usize,
    },
    /// A TLS listener has no certificate.
    NoCertificate {
        /// Index into the config's listeners.
        listener: usize,
        /// Its address.
        bind: SocketAddr,
    },
    /// A listener cannot be bound.
    Listener {
        /// Index into the config's listeners.
        listener: usize,
        /// Its transport.
        transport: Transport,
        /// Its address.
        bind: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Not one media port of a shard can be bound on this address.
    Media {
        /// The media address.
        address: IpAddr,
        /// The configured range.
        ports: RangeInclusive<u16>,
        /// The shard.
        shard: u8,
        /// What the system says to the address itself; `None` where it is in order.
        source: Option<io::Error>,
    },
    /// The system refused something that has nothing to do with an address.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyListeners { listeners } => {
                write!(f, "{listeners} SIP listeners; at most 255 are served")
            }
            Self::NoCertificate { bind, .. } => write!(
                f,
                "sip.listener tls {bind}: no certificate; add a [[sip.tls.certificate]]"
            ),
            // Its address tells which: of a listener with two, the file counts one.
            Self::Listener {
                transport,
                bind,
                source,
                ..
            } => write!(
                f,
                "sip.listener {transport} {bind}: {source}; {}",
                remedy(source)
            ),
            Self::Media {
                address,
                ports,
                shard,
                source,
            } => {
                let (first, last) = (ports.start(), ports.end());
                write!(f, "media {address} ports {first}-{last}: ")?;
                match source {
                    Some(source) => write!(f, "{source}; {}", remedy(source)),
                    None => write!(
                        f,
                        "no pair of an even and an odd port is free for shard {shard}; \
                         choose another range, or a larger one"
                    ),
                }
            }
            Self::System(source) => write!(f, "the data plane cannot start: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listener { source, .. } | Self::System(source) => Some(source),
            Self::Media { source, .. } => source.as_ref().map(|source| source as _),
            Self::TooManyListeners { .. } | Self::NoCertificate { .. } => None,
        }
    }
}

/// What the operator can do about an address that cannot be bound.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind is open; most kinds have no special remedy"
)]
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program holds this address: stop it, or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address: correct `bind`"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or choose another port"
        }
        _ => "correct `bind`",
    }
}

/// A bound listener of one shard.
enum Listener {
    Udp(mio::net::UdpSocket),
    Tcp(mio::net::TcpListener),
}

impl Listener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(listener) => listener.local_addr(),
        }
    }
}

/// Binds everything, then starts one thread a shard.
///
/// `material` is what TLS is spoken with; connections that begin use what is in it then. `make_core` is
/// called with each shard's number, on the calling thread; what it has of time is of `clock`. Events that do not fit into
/// `events` are dropped and counted. Nobody is woken for an event: whoever drains them looks from time
/// to time, so that a call costs the shard no wake-up of another thread.
pub fn start<C: Core + Send + 'static>(
    config: &Config,
    material: Arc<ArcSwap<Material>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    mut make_core: impl FnMut(u8) -> C,
    events: Arc<ArrayQueue<Event>>,
    clock: Clock,
) -> Result<Running, StartError> {
    for shortage in shortage::shortages(config, &System::look()) {
        tracing::warn!("{shortage}");
    }
    let shards = config.node.shards.max(1);
    let mut secured = config.sip.listeners.iter().enumerate();
    if let Some((listener, settings)) =
        secured.find(|(_, listener)| listener.transport == Transport::Tls)
        && material.load().server().is_none()
    {
        return Err(StartError::NoCertificate {
            listener,
            bind: settings.bind,
        });
    }
    let (listeners, local_addrs) = bind_listeners(&config.sip.listeners, shards)?;

    let polls: Vec<Poll> = (0..shards)
        .map(|_| Poll::new())
        .collect::<Result<_, _>>()
        .map_err(StartError::System)?;
    let mailboxes: Arc<[Mailbox]> = polls
        .iter()
        .map(|poll| Mailbox::new(poll.registry(), worker::MAIL, config.limits.mailbox_max))
        .collect::<Result<_, _>>()
        .map_err(StartError::System)?;
    let shared = Arc::new(Shared {
        clock,
        snapshot,
        material,
        is_stopping: AtomicBool::new(false),
    });

    let mut workers = Vec::new();
    let mut gauges = Vec::new();
    for ((shard, poll), listeners) in (0..shards).zip(polls).zip(listeners) {
        let mailboxes = Arc::clone(&mailboxes);
        let mut dispatch = Dispatch::new(shard, make_core(shard), mailboxes, Arc::clone(&events));
        let media = bind_media(config, shard, &poll, &mut dispatch.counts)?;
        let figures = Arc::new(SharedGauges::default());
        gauges.push(Arc::clone(&figures));
        let shared = Arc::clone(&shared);
        let worker = Worker::new(poll, shared, figures, dispatch, config, listeners, media);
        workers.push(worker.map_err(StartError::System)?);
    }

    let mut running = Running {
        gauges,
        local_addrs,
        clock: shared.clock,
        shared,
        mailboxes,
        threads: Vec::new(),
    };
    for (shard, worker) in workers.into_iter().enumerate() {
        // Should a thread not start, dropping `running` stops the ones that did.
        let thread = std::thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || worker.run())
            .map_err(StartError::System)?;
        running.threads.push(thread);
    }
    Ok(running)
}

/// For each shard its sockets, in the order of the config's listeners; and the listeners' addresses.
fn bind_listeners(
    configured: &[SipListener],
    shards: u8,
) -> Result<(Vec<Vec<Listener>>, Vec<SocketAddr>), StartError> {
    if configured.len() > usize::from(u8::MAX) {
        return Err(StartError::TooManyListeners {
            listeners: configured.len(),
        });
    }
    let mut by_shard: Vec<Vec<Listener>> = (0..shards).map(|_| Vec::new()).collect();
    let mut local_addrs = Vec::with_capacity(configured.len());
    for (index, listener) in configured.iter().enumerate() {
        // Where the port is 0, the first shard's socket finds one for all.
        let mut address = listener.bind;
        for (shard, sockets) in by_shard.iter_mut().enumerate() {
            let socket = bind_listener(index, listener, address, shard > 0)?;
            address = socket
                .local_addr()
                .map_err(|source| listener_error(index, listener, source))?;
            sockets.push(socket);
        }
        local_addrs.push(address);
    }
    Ok((by_shard, local_addrs))
}

fn bind_listener(
    index: usize,
    listener: &SipListener,
    address: SocketAddr,
    shared: bool,
) -> Result<Listener, StartError> {
    let bound = match listener.transport {
        Transport::Udp => udp::bind(address, shared, listener.dscp).map(Listener::Udp),
        Transport::Tcp | Transport::Tls => {
            tcp::bind(address, shared, listener.dscp).map(Listener::Tcp)
        }
    };
    bound.map_err(|source| listener_error(index, listener, source))
}

fn listener_error(index: usize, listener: &SipListener, source: io::Error) -> StartError {
    StartError::Listener {
        listener: index,
        transport: listener.transport,
        bind: listener.bind,
        source,
    }
}

/// A shard's first media ports, which prove that the addresses and the range are of use.
fn bind_media(
    config: &Config,
    shard: u8,
    poll: &Poll,
    counts: &mut NetGauges,
) -> Result<(MediaSockets, Vec<MediaPort>), StartError> {
    let error = |address: IpAddr, source| StartError::Media {
        address,
        ports: config.media.ports.clone(),
        shard,
        source,
    };
    for address in &config.media.addresses {
        std::net::UdpSocket::bind((address.bind, 0))
            .map_err(|source| error(address.bind, Some(source)))?;
    }
    let shards = config.node.shards.max(1);
    let mut media = MediaSockets::new(&config.media, shard, shards, worker::FIRST_MEDIA);
    let mut ports = Vec::new();
    while ports.is_empty() && !media.is_exhausted() {
        if media
            .bind_more(poll.registry(), PAIRS_PER_TURN, &mut ports, counts)
            .is_err()
        {
            break;
        }
    }
    for address in &config.media.addresses {
        let is_served = |port: &MediaPort| port.advertise.ip() == address.advertise;
        if !ports.iter().any(is_served) {
            return Err(error(address.bind, None));
        }
    }
    Ok((media, ports))
}

/// The running data plane. Dropping it stops it.
pub struct Running {
    /// Each shard's figures.
    pub gauges: Vec<Arc<SharedGauges>>,
    /// Each listener's address, in the config's order; a port 0 in the config is the real one here.
    pub local_addrs: Vec<SocketAddr>,
    /// The clock that the shards' time comes from.
    pub clock: Clock,
    shared: Arc<Shared>,
    mailboxes: Arc<[Mailbox]>,
    threads: Vec<JoinHandle<()>>,
}

/// What the control plane keeps of the data plane while it runs.
#[derive(Clone)]
pub struct Handle {
    /// Each shard's figures.
    pub gauges: Vec<Arc<SharedGauges>>,
    mailboxes: Arc<[Mailbox]>,
}

impl Handle {
    /// Makes every shard look at the published snapshot now; to be called after a publish.
    pub fn wake(&self) {
        wake_all(&self.mailboxes);
    }

    /// Asks every shard for the answered calls that are wanted. `answer` is called once by each shard's thread,
    /// and is to hand on what it gets; a shard that has no time to read does not answer.
    pub fn ask_live_calls<A>(&self, wanted: CallsWanted, answer: A)
    where
        A: Fn(Vec<LiveCall>) + Clone + Send + 'static,
    {
        let wanted = Arc::new(wanted);
        for mailbox in self.mailboxes.iter() {
            let question = Question {
                wanted: Arc::clone(&wanted),
                answer: Box::new(answer.clone()),
            };
            // A full mailbox drops the question, and with it the answer.
            let _full = mailbox.put(Mail::LiveCalls(question));
        }
    }
}

fn wake_all(mailboxes: &[Mailbox]) {
    for mailbox in mailboxes {
        mailbox.wake();
    }
}

impl Running {
    /// For wakes and figures, from anywhere.
    pub fn handle(&self) -> Handle {
        Handle {
            gauges: self.gauges.clone(),
            mailboxes: Arc::clone(&self.mailboxes),
        }
    }

    /// Whether every shard's thread is alive. One that ended has logged why.
    pub fn is_whole(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends the threads after the turn they are in, and waits for them.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        wake_all(&self.mailboxes);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a shard's thread had ended in a panic");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("local_addrs", &self.local_addrs)
            .finish_non_exhaustive()
    }
}
