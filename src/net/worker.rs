//! The loop of one shard's thread.
//!
//! A turn: wait for sockets, mail or the next deadline; read the clock once; serve every socket that
//! is ready, each its bounded share; then the timers. A socket that used up its share comes again in
//! the next turn, which then does not wait.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token};

use super::dispatch::Dispatch;
use super::gauges::SharedGauges;
use super::mailbox::{Mail, Mailbox, Origin};
use super::media::{MediaSockets, OutOfSockets, pairs_in_turn};
use super::sys::Clock;
use super::tcp::{Alias, Connections, Rank};
use super::tls::Material;
use super::udp::{self, Received};
use super::{Core, Listener};
use crate::config::{Config, Transport};
use crate::instant::Instant;
use crate::media::MediaPort;
use crate::shard::io::{Flow, Input, Output, TransactionId};
use crate::shard::snapshot::Snapshot;

/// Token of the shard's waker.
pub(super) const MAIL: Token = Token(0);
const FIRST_LISTENER: usize = 1;
const FIRST_CONNECTION: usize = 1_024;
pub(super) const FIRST_MEDIA: usize = 1 << 30;

/// Events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 1_024;
/// Datagrams of one listener, connections of one listener, and mail, in one turn.
const DATAGRAMS_PER_TURN: usize = 64;
const ACCEPTS_PER_TURN: usize = 64;
const MAIL_PER_TURN: usize = 256;
/// One datagram of any size fits.
const BUFFER_BYTES: usize = 65_536;
/// Pause of a listener that cannot accept (the process is out of sockets).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pause of media port binding when the process is out of sockets.
const BIND_PAUSE: Duration = Duration::from_secs(10);
/// Pause after a timeout in which the core panicked, so that a timer that stays due does not take
/// the whole thread.
const PANIC_PAUSE: Duration = Duration::from_millis(10);

enum Listening {
    Udp(UdpSocket),
    Tcp {
        listener: TcpListener,
        /// It could not accept, and the kernel will not tell when it can.
        retry_at: Option<Instant>,
    },
}

/// What the workers share with whoever started them.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) material: Arc<ArcSwap<Material>>,
    pub(super) is_stopping: AtomicBool,
}

/// One shard's sockets and its core.
pub(super) struct Worker<C> {
    poll: Poll,
    shared: Arc<Shared>,
    gauges: Arc<SharedGauges>,
    dispatch: Dispatch<C>,
    listeners: Vec<Listening>,
    connections: Connections,
    media: MediaSockets,
    media_ports: Vec<MediaPort>,
    media_retry_at: Option<Instant>,
    timeout_pause_until: Option<Instant>,
    snapshot: Option<Arc<Snapshot>>,
    buffer: Box<[u8]>,
    /// Tokens served in this turn.
    ready: Vec<usize>,
    /// Tokens that used up their share.
    backlog: Vec<usize>,
    /// Local transactions whose message was not sent; told in the next turn, so that a core that
    /// answers an error with another send cannot hold up the loop.
    unsent: Vec<Origin>,
    /// When nothing was left over from the turn before.
    through_at: Instant,
    lag: Duration,
    now: Instant,
}

impl<C: Core> Worker<C> {
    /// Takes the bound sockets over; `media_ports` are those of `media` that the core does not know.
    pub(super) fn new(
        poll: Poll,
        shared: Arc<Shared>,
        gauges: Arc<SharedGauges>,
        dispatch: Dispatch<C>,
        config: &Config,
        listeners: Vec<Listener>,
        (media, media_ports): (MediaSockets, Vec<MediaPort>),
    ) -> io::Result<Self> {
        let connections = Connections::new(
            dispatch.shard,
            config,
            FIRST_CONNECTION,
            Arc::clone(&shared.material),
        );
        let listeners = register(&poll, listeners)?;
        let now = shared.clock.now();
        Ok(Self {
            poll,
            shared,
            gauges,
            dispatch,
            listeners,
            connections,
            media,
            media_ports,
            media_retry_at: None,
            timeout_pause_until: None,
            snapshot: None,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            ready: Vec::new(),
            backlog: Vec::new(),
            unsent: Vec::new(),
            through_at: now,
            lag: Duration::ZERO,
            now,
        })
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        self.refresh_snapshot();
        self.offer_media_ports();
        self.publish();
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            let wait = self.wait();
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(shard = self.dispatch.shard, %error, "cannot wait for sockets");
                    return;
                }
            }
            self.now = self.shared.clock.now();
            self.measure_lag();
            self.collect(&events);
            self.refresh_snapshot();
            self.serve_ready();
            self.serve_timers();
            self.offer_media_ports();
            self.publish();
        }
        self.now = self.shared.clock.now();
        self.dispatch.shutdown(self.now);
        self.drain();
        self.connections
            .close_all(self.poll.registry(), &mut self.dispatch.counts);
        self.publish();
    }

    /// A thread that was through with everything before this turn is not behind; one that was not is behind
    /// by the time since it was.
    fn measure_lag(&mut self) {
        let lag = match self.backlog.is_empty() {
            true => {
                self.through_at = self.now;
                Duration::ZERO
            }
            false => self.now.since(self.through_at),
        };
        if lag != self.lag {
            self.lag = lag;
            self.dispatch.set_lag(lag);
        }
    }

    /// How long nothing is to be done.
    fn wait(&mut self) -> Option<Duration> {
        let has_work = !self.backlog.is_empty() || self.connections.has_handshakes();
        if has_work || !self.unsent.is_empty() || self.media_ports_wanted() > 0 {
            return Some(Duration::ZERO);
        }
        let core = self.dispatch.next_timeout();
        let core = core.map(|due| self.timeout_pause_until.map_or(due, |pause| due.max(pause)));
        let accept = self.listeners.iter().filter_map(|listener| match listener {
            Listening::Udp(_) => None,
            Listening::Tcp { retry_at, .. } => *retry_at,
        });
        [core, self.connections.next_deadline(), self.media_retry_at]
            .into_iter()
            .flatten()
            .chain(accept)
            .min()
            .map(|due| due.since(self.now))
    }

    fn refresh_snapshot(&mut self) {
        let published = self.shared.snapshot.load();
        let is_known = self
            .snapshot
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &published));
        if !is_known {
            let snapshot = Arc::clone(&published);
            self.snapshot = Some(Arc::clone(&snapshot));
            self.dispatch.set_snapshot(snapshot, self.now);
            self.drain();
        }
    }

    /// The tokens of this turn: what the kernel reports and what the last turn left, each once.
    fn collect(&mut self, events: &Events) {
        self.ready.clear();
        self.ready.append(&mut self.backlog);
        let has_backlog = !self.ready.is_empty();
        self.ready
            .extend(events.iter().map(|event| event.token().0));
        if has_backlog {
            self.ready.sort_unstable();
            self.ready.dedup();
        }
        if self.ready.contains(&MAIL.0)
            && let Some(mailbox) = self.dispatch.mailbox()
        {
            // Before the snapshot is looked at, so that no publish falls between.
            mailbox.attend();
        }
    }

    fn serve_ready(&mut self) {
        for origin in std::mem::take(&mut self.unsent) {
            self.dispatch.transport_error(origin, self.now);
            self.drain();
        }
        for at in 0..self.ready.len() {
            let Some(token) = self.ready.get(at).copied() else {
                break;
            };
            if self.serve(token) {
                self.backlog.push(token);
            }
        }
        if self.connections.has_handshakes() {
            let more = self.connections.handshakes(
                self.poll.registry(),
                &mut self.buffer,
                self.now,
                &mut self.dispatch.counts,
            );
            self.backlog
                .extend(more.into_iter().map(|slot| FIRST_CONNECTION + slot));
            self.drain();
        }
    }

    /// Serves one source its share; returns whether it may have more.
    fn serve(&mut self, token: usize) -> bool {
        if token >= FIRST_MEDIA {
            let number = token - FIRST_MEDIA;
            self.media
                .relay(number, &mut self.buffer, &mut self.dispatch, self.now);
            // It leaves nothing to be done.
            return false;
        }
        let more = if token >= FIRST_CONNECTION {
            self.serve_connection(token - FIRST_CONNECTION)
        } else if token >= FIRST_LISTENER {
            self.serve_listener(token - FIRST_LISTENER)
        } else {
            self.serve_mail()
        };
        self.drain();
        more
    }

    fn serve_connection(&mut self, slot: usize) -> bool {
        self.connections.service(
            self.poll.registry(),
            slot,
            &mut self.buffer,
            self.now,
            &mut self.dispatch.counts,
        )
    }

    fn serve_listener(&mut self, index: usize) -> bool {
        let Ok(listener) = u8::try_from(index) else {
            return false;
        };
        match self.listeners.get(index) {
            Some(Listening::Udp(_)) => self.receive_datagrams(listener),
            Some(Listening::Tcp { .. }) => self.accept(listener),
            None => false,
        }
    }

    fn receive_datagrams(&mut self, listener: u8) -> bool {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(Listening::Udp(socket)) = self.listeners.get(usize::from(listener)) else {
                return false;
            };
            match udp::receive(socket, &mut self.buffer) {
                Received::Nothing => return false,
                Received::Failed => {}
                Received::KeepAlive => self.dispatch.counts.keep_alives += 1,
                Received::Message(remote, bytes) => {
                    // What was published before this was sent is known before it is handled.
                    self.refresh_snapshot();
                    self.dispatch.counts.datagrams_received += 1;
                    let flow = Flow {
                        transport: Transport::Udp,
                        listener,
                        remote,
                        connection: None,
                        tls: None,
                        carrier: None,
                    };
                    self.dispatch.deliver(flow, bytes, self.now);
                }
            }
        }
        true
    }

    fn accept(&mut self, index: u8) -> bool {
        let Some(Listening::Tcp { listener, retry_at }) =
            self.listeners.get_mut(usize::from(index))
        else {
            return false;
        };
        *retry_at = None;
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((_, remote)) if !self.dispatch.accepts(remote.ip(), self.now) => {
                    self.dispatch.counts.connections_refused += 1;
                }
                Ok(accepted) => {
                    let rank = Rank::of(self.snapshot.as_deref(), accepted.1.ip());
                    self.connections.accepted(
                        self.poll.registry(),
                        index,
                        accepted,
                        rank,
                        self.now,
                        &mut self.dispatch.counts,
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if is_momentary(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for now");
                    *retry_at = Some(self.now + ACCEPT_PAUSE);
                    return false;
                }
            }
        }
        true
    }

    fn serve_mail(&mut self) -> bool {
        for _ in 0..MAIL_PER_TURN {
            let Some(mail) = self.dispatch.mailbox().and_then(Mailbox::take) else {
                return false;
            };
            self.open_mail(mail);
        }
        self.dispatch
            .mailbox()
            .is_some_and(|mailbox| !mailbox.is_empty())
    }

    fn open_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Message { flow, bytes } => {
                self.dispatch
                    .handle(Input::Message { flow, bytes }, self.now);
            }
            Mail::Write {
                flow,
                bytes,
                origin,
                is_last,
            } => match is_last {
                true => self.write_stream(flow, bytes, origin),
                false => self.send_stream(flow, bytes, origin),
            },
            Mail::Alias(alias) => {
                self.connections.take_alias(alias);
            }
            Mail::AliasGone(alias) => self.connections.drop_alias(&alias),
            Mail::Ban(ban) => self.dispatch.handle(Input::Ban(ban), self.now),
            Mail::LiveCalls(question) => {
                let calls = self.dispatch.live_calls(&question.wanted, self.now);
                (question.answer)(calls);
            }
            Mail::BackOff(back_off) => {
                self.dispatch.handle(Input::BackOff(back_off), self.now);
            }
            Mail::TransportError { transaction } => {
                let input = Input::TransportError { transaction };
                self.dispatch.handle(input, self.now);
            }
        }
    }

    fn serve_timers(&mut self) {
        let now = self.now;
        let is_paused = self.timeout_pause_until.is_some_and(|until| now < until);
        if !is_paused {
            self.timeout_pause_until = None;
            if self.dispatch.next_timeout().is_some_and(|due| due <= now)
                && !self.dispatch.handle_timeout(now)
            {
                self.timeout_pause_until = Some(now + PANIC_PAUSE);
            }
            self.drain();
        }
        if self
            .connections
            .next_deadline()
            .is_some_and(|due| due <= now)
        {
            self.connections
                .expire(self.poll.registry(), now, &mut self.dispatch.counts);
            self.drain();
        }
        for index in 0..self.listeners.len() {
            let is_due = match self.listeners.get(index) {
                Some(Listening::Tcp { retry_at, .. }) => retry_at.is_some_and(|at| at <= now),
                Some(Listening::Udp(_)) | None => false,
            };
            if is_due && self.serve_listener(index) {
                self.backlog.push(FIRST_LISTENER + index);
            }
        }
    }

    /// How many more media ports are to be bound, as far as that is possible now.
    fn media_ports_wanted(&self) -> usize {
        match self.media.is_exhausted() || self.media_retry_at.is_some() {
            true => 0,
            false => self.dispatch.media_ports_wanted(),
        }
    }

    /// Gives the core the ports bound at the start, and more as long as it wants them.
    fn offer_media_ports(&mut self) {
        if self.media_retry_at.is_some_and(|at| at <= self.now) {
            self.media_retry_at = None;
        }
        let wanted = self.media_ports_wanted();
        if wanted == 0 && self.media_ports.is_empty() {
            return;
        }
        if self.media_ports.is_empty() {
            let result = self.media.bind_more(
                self.poll.registry(),
                pairs_in_turn(wanted, !self.ready.is_empty()),
                &mut self.media_ports,
                &mut self.dispatch.counts,
            );
            if let Err(OutOfSockets) = result {
                self.media_retry_at = Some(self.now + BIND_PAUSE);
            }
        }
        for port in std::mem::take(&mut self.media_ports) {
            self.dispatch.handle(Input::MediaPort(port), self.now);
        }
        self.drain();
    }

    /// Empties what the connections and the core have left to do.
    fn drain(&mut self) {
        // Before the messages: whoever owns one is to know how its sender is reached.
        for alias in std::mem::take(&mut self.connections.offered) {
            self.consider_alias(alias);
        }
        for alias in std::mem::take(&mut self.connections.withdrawn) {
            self.dispatch.spread(|| Mail::AliasGone(alias.clone()));
        }
        for (flow, bytes) in std::mem::take(&mut self.connections.arrived) {
            if self.dispatch.deliver(flow, bytes, self.now) {
                let rank = || match flow.carrier {
                    Some(_) => Rank::Known,
                    None => Rank::of(self.snapshot.as_deref(), flow.remote.ip()),
                };
                self.connections.listen(flow.connection, rank, self.now);
            }
        }
        while let Some(output) = self.dispatch.poll_output() {
            match output {
                Output::Event(event) => self.dispatch.publish_event(event),
                Output::Media { forward, bytes } => {
                    self.media.send(forward, &bytes, &mut self.dispatch.counts);
                }
                Output::Connect(connect) => self.media.connect(connect),
                Output::Ban(ban) => self.dispatch.spread(|| Mail::Ban(ban)),
                Output::BackOff(back_off) => self.dispatch.spread(|| Mail::BackOff(back_off)),
                Output::Send {
                    flow,
                    bytes,
                    transaction,
                } => self.send(flow, bytes, transaction),
            }
        }
        self.unsent.append(&mut self.connections.unsent);
    }

    fn send(&mut self, flow: Flow, bytes: bytes::Bytes, transaction: Option<TransactionId>) {
        let origin = transaction.map(|transaction| Origin {
            shard: self.dispatch.shard,
            transaction,
        });
        match flow.transport {
            Transport::Udp => self.send_datagram(flow.listener, flow.remote, &bytes, origin),
            Transport::Tcp | Transport::Tls => self.send_stream(flow, bytes, origin),
        }
    }

    fn send_datagram(
        &mut self,
        listener: u8,
        remote: SocketAddr,
        bytes: &[u8],
        origin: Option<Origin>,
    ) {
        let Some(Listening::Udp(socket)) = self.listeners.get(usize::from(listener)) else {
            return self.not_sent(origin);
        };
        match socket.send_to(bytes, remote) {
            Ok(_) => {}
            // As if the network had lost it: the transaction sends it again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.dispatch.counts.datagram_drops += 1;
            }
            Err(_) => self.not_sent(origin),
        }
    }

    /// Lets a connection stand for its peer's address, on every shard. Without a certificate the peer has to
    /// be somebody with whom there is an arrangement, for nothing else says who it is.
    fn consider_alias(&mut self, alias: Alias) {
        let source = alias.address.ip();
        let is_known = || Rank::of(self.snapshot.as_deref(), source) == Rank::Known;
        if (alias.identity.is_some() || is_known()) && self.connections.take_alias(alias.clone()) {
            self.dispatch.spread(|| Mail::Alias(alias.clone()));
        }
    }

    /// Sends on a connection of this shard, or lets the shard that holds it do so.
    fn send_stream(&mut self, flow: Flow, bytes: bytes::Bytes, origin: Option<Origin>) {
        let here = self.dispatch.shard;
        let named = flow
            .connection
            .filter(|connection| connection.shard != here);
        let (holder, is_last) = match (named, &self.snapshot) {
            (Some(named), _) => (Some(named), false),
            (None, Some(snapshot)) => {
                let peers = &snapshot.tls_peers;
                (self.connections.elsewhere(peers, &flow, &bytes), true)
            }
            (None, None) => (None, true),
        };
        let Some(connection) = holder else {
            return self.write_stream(flow, bytes, origin);
        };
        let mail = Mail::Write {
            flow: Flow {
                connection: Some(connection),
                ..flow
            },
            bytes,
            origin,
            is_last,
        };
        if self.dispatch.post(connection.shard, mail).is_err() {
            self.not_sent(origin);
        }
    }

    fn write_stream(&mut self, flow: Flow, bytes: bytes::Bytes, origin: Option<Origin>) {
        let Some(snapshot) = &self.snapshot else {
            return self.not_sent(origin);
        };
        self.connections.send(
            self.poll.registry(),
            &snapshot.tls_peers,
            flow,
            (bytes, origin),
            self.now,
            &mut self.dispatch.counts,
        );
    }

    fn not_sent(&mut self, origin: Option<Origin>) {
        self.dispatch.counts.send_errors += 1;
        self.unsent.extend(origin);
    }

    fn publish(&self) {
        self.dispatch.publish(&self.gauges);
    }
}

/// Whether an error of `accept` is only about the connection that was to be accepted.
fn is_momentary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

fn register(poll: &Poll, listeners: Vec<Listener>) -> io::Result<Vec<Listening>> {
    let mut listening = Vec::with_capacity(listeners.len());
    for (index, listener) in listeners.into_iter().enumerate() {
        let token = Token(FIRST_LISTENER + index);
        listening.push(match listener {
            Listener::Udp(mut socket) => {
                poll.registry()
                    .register(&mut socket, token, Interest::READABLE)?;
                Listening::Udp(socket)
            }
            Listener::Tcp(mut listener) => {
                poll.registry()
                    .register(&mut listener, token, Interest::READABLE)?;
                Listening::Tcp {
                    listener,
                    retry_at: None,
                }
            }
        });
    }
    Ok(listening)
}
