//! SIP over TCP and TLS (RFC 3261 §18, RFC 5626 §3.5.1): the connections that one shard holds.
//!
//! Accepted connections stay on the shard that accepted them; the shard that sends opens. Nothing
//! here waits for a peer: what a peer does not read stays in its connection's bounded queue, and a
//! full queue costs the peer its connection.
//!
//! A handshake is the dear part of a connection, and a peer costs nothing to begin one: connections that
//! are at it stand in a queue, and [`Connections::handshakes`] works at a few of them in one turn.
//!
//! [`Connections`] knows no core and no other shard. What came in, what could not be sent, and which
//! connections may stand for their peer's address or no longer do, is left in `arrived`, `unsent`,
//! `offered` and `withdrawn`, which the worker empties after each call.

mod admission;
mod alias;
mod connection;
mod expected;
mod handshakes;
mod patience;
mod reuse;
mod sockets;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use slab::Slab;

use arc_swap::ArcSwap;

use self::admission::Admission;
pub(super) use self::admission::Rank;
pub(super) use self::alias::Alias;
use self::alias::Aliases;
use self::connection::{Connection, End, Outgoing, Security, State, configure};
use self::expected::Expected;
use self::handshakes::{Queue, carriers_by_name};
use self::patience::{Watched, wants_answer};
pub(super) use self::sockets::bind;
use self::sockets::connect;
use super::gauges::NetGauges;
use super::mailbox::Origin;
use super::tls::{Material, Session};
use crate::config::{CarrierId, Config, Dscp, Limits, SipTls, TlsPolicy, Transport};
use crate::instant::Instant;
use crate::shard::io::{ConnectionId, Flow};
use crate::shard::snapshot::TlsPeers;
use crate::sip::framing::Framer;

/// Reads of one connection in one turn of the loop.
const READS_PER_TURN: usize = 4;
/// Bytes of one read.
const READ_BYTES_MAX: usize = 16 * 1_024;

/// Pings of one read that are answered; a peer that sends more in one go is not keeping alive.
const PONGS_MAX: usize = 16;
static PONGS: [u8; 2 * PONGS_MAX] =
    *b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

/// Where a connection leads, and how it came to be.
struct Place {
    listener: u8,
    remote: SocketAddr,
    /// Whom we opened it to; `None` for a peer that came to us.
    expected: Option<Expected>,
    rank: Rank,
}

/// The connections of one shard.
pub(super) struct Connections {
    shard: u8,
    limits: Limits,
    /// Token of slot 0; the other slots follow.
    first_token: usize,
    /// For each listener of the config, its transport, the address connections are opened from, and what they are
    /// marked with.
    sources: Vec<(Transport, IpAddr, Dscp)>,
    tls: SipTls,
    /// The names that carriers prove to be theirs.
    carriers: Vec<(ServerName<'static>, CarrierId)>,
    /// How hosts that no route names are verified.
    customers: TlsPolicy,
    material: Arc<ArcSwap<Material>>,
    /// Connections with handshake work to do, and their generation.
    handshaking: Queue,
    slots: Slab<Connection>,
    admission: Admission,
    /// How many of them are over TLS.
    secured: usize,
    next_generation: u32,
    /// The connections that we opened.
    by_remote: HashMap<(u8, SocketAddr, Expected), usize>,
    aliases: Aliases,
    /// One entry a connection, not later than its deadline; entries of closed ones remain until due. One that
    /// is kept beyond has none.
    deadlines: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    /// One entry a connection that owes an answer, not later than when that is taken for silence.
    watched: Watched,
    /// Messages that came in.
    pub(super) arrived: Vec<(Flow, Bytes)>,
    /// Whom to tell that a message could not be sent.
    pub(super) unsent: Vec<Origin>,
    /// Connections of here whose peer wants them to stand for its address (RFC 5923); see
    /// [`Self::take_alias`].
    pub(super) offered: Vec<Alias>,
    /// Aliases that were taken and whose connection is closed.
    pub(super) withdrawn: Vec<Alias>,
}

impl Connections {
    /// No connection yet; `material` is what TLS is spoken with.
    pub(super) fn new(
        shard: u8,
        config: &Config,
        first_token: usize,
        material: Arc<ArcSwap<Material>>,
    ) -> Self {
        let listeners = config.sip.listeners.iter();
        Self {
            shard,
            limits: config.limits,
            first_token,
            sources: listeners
                .map(|listener| (listener.transport, listener.bind.ip(), listener.dscp))
                .collect(),
            tls: config.sip.tls.clone(),
            carriers: carriers_by_name(&config.carriers),
            customers: config.sip.tls.customers(),
            material,
            handshaking: Queue::default(),
            slots: Slab::new(),
            admission: Admission::new(&config.limits),
            secured: 0,
            next_generation: 0,
            by_remote: HashMap::new(),
            aliases: Aliases::new(config.limits.connections_max * usize::from(config.node.shards)),
            deadlines: BinaryHeap::new(),
            watched: Watched::new(config.sip.timers.route_timeout),
            arrived: Vec::new(),
            unsent: Vec::new(),
            offered: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    /// Takes an accepted connection in; one too many is closed at once.
    pub(super) fn accepted(
        &mut self,
        registry: &Registry,
        listener: u8,
        (stream, remote): (TcpStream, SocketAddr),
        rank: Rank,
        now: Instant,
        counts: &mut NetGauges,
    ) {
        let security = match self.sources.get(usize::from(listener)) {
            Some((Transport::Tls, ..)) => Security::Awaited,
            Some((Transport::Udp | Transport::Tcp, ..)) | None => Security::Plain,
        };
        let place = Place {
            listener,
            remote,
            expected: None,
            rank,
        };
        if !self.has_room(registry, rank, Some(remote.ip()), now, counts)
            || self
                .insert(registry, place, stream, security, now)
                .is_none()
        {
            counts.connections_refused += 1;
        }
        self.count(counts);
    }

    /// Sends on the flow's connection, or one to the same peer, or a new one.
    pub(super) fn send(
        &mut self,
        registry: &Registry,
        peers: &TlsPeers,
        flow: Flow,
        (bytes, origin): (Bytes, Option<Origin>),
        now: Instant,
        counts: &mut NetGauges,
    ) {
        let slot = self.slot_of(flow.connection).or_else(|| {
            let expected = Expected::of(&flow, &bytes, &self.limits);
            self.opened_to(&flow, &expected)
                .or_else(|| self.aliased_here(peers, &flow, &expected))
                .or_else(|| self.open_to(registry, peers, flow, expected, now, counts))
        });
        match slot {
            Some(slot) => self.enqueue(registry, slot, Outgoing { bytes, origin }, now, counts),
            None => {
                counts.send_errors += 1;
                self.unsent.extend(origin);
            }
        }
        self.count(counts);
    }

    /// Does what a connection is ready for; returns whether it may have more to read.
    pub(super) fn service(
        &mut self,
        registry: &Registry,
        slot: usize,
        buffer: &mut [u8],
        now: Instant,
        counts: &mut NetGauges,
    ) -> bool {
        let result = match self.finish_connect(slot, now) {
            Ok(false) => return false,
            Ok(true) if self.queue_handshake(slot) => return false,
            Ok(true) => self.exchange(registry, slot, buffer, now, counts),
            Err(end) => Err(end),
        };
        let more = self.settle(registry, slot, result, counts);
        self.count(counts);
        more
    }

    /// Closes every connection, for the node stops.
    pub(super) fn close_all(&mut self, registry: &Registry, counts: &mut NetGauges) {
        let all: Vec<usize> = self.slots.iter().map(|(slot, _)| slot).collect();
        for slot in all {
            self.close(registry, slot, End::Idle, counts);
        }
    }

    fn exchange(
        &mut self,
        registry: &Registry,
        slot: usize,
        buffer: &mut [u8],
        now: Instant,
        counts: &mut NetGauges,
    ) -> Result<bool, End> {
        self.flush(slot)?;
        self.read(registry, slot, buffer, now, counts)
    }

    fn settle(
        &mut self,
        registry: &Registry,
        slot: usize,
        result: Result<bool, End>,
        counts: &mut NetGauges,
    ) -> bool {
        match result {
            Ok(more) => more,
            Err(end) => {
                self.close(registry, slot, end, counts);
                false
            }
        }
    }

    fn count(&self, counts: &mut NetGauges) {
        counts.connections = self.slots.len() as u64;
        counts.connections_tls = self.secured as u64;
        counts.connections_tcp = counts.connections - counts.connections_tls;
    }

    fn slot_of(&self, id: Option<ConnectionId>) -> Option<usize> {
        let id = id.filter(|id| id.shard == self.shard)?;
        let slot = usize::try_from(id.slot).ok()?;
        let connection = self.slots.get(slot)?;
        (connection.generation == id.generation).then_some(slot)
    }

    fn open_to(
        &mut self,
        registry: &Registry,
        peers: &TlsPeers,
        flow: Flow,
        expected: Expected,
        now: Instant,
        counts: &mut NetGauges,
    ) -> Option<usize> {
        let (transport, source, dscp) = *self.sources.get(usize::from(flow.listener))?;
        if transport != flow.transport || !self.has_room(registry, Rank::Ours, None, now, counts) {
            return None;
        }
        let security = match transport {
            Transport::Udp => return None,
            Transport::Tcp => Security::Plain,
            Transport::Tls => self.session_to(peers, flow, &expected)?,
        };
        let place = Place {
            listener: flow.listener,
            remote: flow.remote,
            expected: Some(expected),
            rank: Rank::Ours,
        };
        match connect(source, flow.remote, dscp) {
            Ok(stream) => self.insert(registry, place, stream, security, now),
            Err(error) => {
                tracing::debug!(remote = %flow.remote, %error, "cannot connect");
                None
            }
        }
    }

    fn session_to(&self, peers: &TlsPeers, flow: Flow, expected: &Expected) -> Option<Security> {
        let (policy, name) = expected.proof(peers, &self.customers)?;
        let config = self.material.load().client(policy)?;
        match Session::client(config, name) {
            Ok(session) => Some(Security::Session(Box::new(session))),
            Err(error) => {
                tracing::warn!(remote = %flow.remote, %error, "TLS cannot be begun");
                None
            }
        }
    }

    fn insert(
        &mut self,
        registry: &Registry,
        place: Place,
        mut stream: TcpStream,
        security: Security,
        now: Instant,
    ) -> Option<usize> {
        let slot = self.slots.vacant_key();
        let token = Token(self.first_token + slot);
        registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .ok()?;
        configure(&stream);
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let state = match (place.expected.is_some(), &security) {
            (true, _) => State::Connecting,
            (false, Security::Plain) => State::Accepted,
            (false, Security::Awaited | Security::Session(_)) => State::Handshaking,
        };
        let Place {
            listener,
            remote,
            expected,
            rank,
        } = place;
        let source = match rank {
            Rank::Ours => None,
            Rank::Known | Rank::Stranger => Some(self.admission.take(remote.ip())),
        };
        if let Some(expected) = &expected {
            let key = (listener, remote, expected.clone());
            self.by_remote.insert(key, slot);
        }
        let deadline = now + self.patience(state);
        self.secured += usize::from(security.is_tls());
        self.slots.insert(Connection {
            stream,
            state,
            generation,
            listener,
            remote,
            expected,
            rank,
            source,
            asked: None,
            is_watched: false,
            is_retired: false,
            is_introduced: false,
            alias: None,
            security,
            carrier: None,
            is_queued: false,
            framer: Framer::new(&self.limits),
            queue: VecDeque::new(),
            queued_bytes: 0,
            deadline,
        });
        self.deadlines.push(Reverse((deadline, slot, generation)));
        Some(slot)
    }

    fn enqueue(
        &mut self,
        registry: &Registry,
        slot: usize,
        message: Outgoing,
        now: Instant,
        counts: &mut NetGauges,
    ) {
        let idle_end = now + self.limits.connection_idle;
        if wants_answer(&message) {
            self.watch(slot, now);
        }
        let Some(connection) = self.slots.get_mut(slot) else {
            return;
        };
        let is_idle = connection.queue.is_empty() && connection.is_up();
        connection.push(message);
        let result = if connection.is_overrun() {
            Err(match connection.state {
                State::Connecting | State::Handshaking => End::Lost,
                State::Accepted | State::Established => End::Slow,
            })
        } else if is_idle {
            if connection.is_in_use() {
                connection.deadline = connection.deadline.max(idle_end);
            }
            connection.flush()
        } else {
            Ok(())
        };
        if let Err(end) = result {
            self.close(registry, slot, end, counts);
        }
    }

    /// Whether the connection is up; an error if it failed.
    fn finish_connect(&mut self, slot: usize, now: Instant) -> Result<bool, End> {
        let Some(connection) = self.slots.get(slot) else {
            return Ok(false);
        };
        if connection.state != State::Connecting {
            return Ok(true);
        }
        if let Ok(Some(_)) | Err(_) = connection.stream.take_error() {
            return Err(End::Lost);
        }
        if connection.stream.peer_addr().is_err() {
            return Ok(false);
        }
        let next = match connection.security {
            Security::Plain => State::Established,
            Security::Awaited | Security::Session(_) => State::Handshaking,
        };
        self.enter(slot, next, now);
        Ok(true)
    }

    fn flush(&mut self, slot: usize) -> Result<(), End> {
        self.slots.get_mut(slot).map_or(Ok(()), Connection::flush)
    }

    fn read(
        &mut self,
        registry: &Registry,
        slot: usize,
        buffer: &mut [u8],
        now: Instant,
        counts: &mut NetGauges,
    ) -> Result<bool, End> {
        let buffer_bytes = buffer.len().min(READ_BYTES_MAX);
        let buffer = buffer.get_mut(..buffer_bytes).unwrap_or_default();
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.slots.get_mut(slot) else {
                return Ok(false);
            };
            let Some(bytes) = connection.read(buffer)? else {
                return Ok(false);
            };
            self.finish_handshake(slot, now, counts)?;
            if bytes > 0 {
                self.hear(slot, now);
            }
            let deadline = now + self.limits.connection_idle;
            let Some(connection) = self.slots.get_mut(slot) else {
                return Ok(false);
            };
            let flow = connection.flow(self.shard, slot);
            let before = self.arrived.len();
            let pings = connection.unframe(flow, deadline, &mut self.arrived, counts)?;
            for (_, message) in self.arrived.get(before..).unwrap_or_default() {
                let offer = connection.introduce(flow, message, &self.limits);
                self.offered.extend(offer);
            }
            if connection.has_ended() {
                return Err(End::Idle);
            }
            if pings > 0 {
                let bytes = Bytes::from_static(&PONGS).slice(..2 * pings.min(PONGS_MAX));
                let pong = Outgoing {
                    bytes,
                    origin: None,
                };
                self.enqueue(registry, slot, pong, now, counts);
            }
        }
        Ok(self.slots.contains(slot))
    }

    fn close(&mut self, registry: &Registry, slot: usize, end: End, counts: &mut NetGauges) {
        let Some(mut connection) = self.slots.try_remove(slot) else {
            return;
        };
        self.secured -= usize::from(connection.security.is_tls());
        if let Some(source) = connection.source {
            self.admission.release(source);
        }
        self.admission.shrunk_to(self.slots.len());
        connection.take_leave(&end);
        if connection.state == State::Handshaking {
            counts.tls_handshakes_failed += 1;
        }
        match &end {
            End::Lost | End::Idle => {}
            End::Hesitant => connection.tell_hesitant(),
            End::Insecure(error) => connection.tell_insecure(error),
            End::Panicked => {
                counts.panics += 1;
                // The panic hook has written the place.
                tracing::error!(remote = %connection.remote, "panic in TLS, the connection is closed");
            }
            End::Unframed => counts.framing_errors += 1,
            End::Slow => {
                counts.slow_readers += 1;
                tracing::info!(remote = %connection.remote, "peer does not read, connection closed");
            }
        }
        // Closing the socket removes it from the poll in any case.
        registry.deregister(&mut connection.stream).ok();
        if let Some(expected) = connection.expected.take() {
            let key = (connection.listener, connection.remote, expected);
            if self.by_remote.get(&key) == Some(&slot) {
                self.by_remote.remove(&key);
            }
        }
        if let Some(alias) = connection.alias.take() {
            self.aliases.remove(&alias);
            self.withdrawn.push(alias);
        }
        for message in &connection.queue {
            counts.send_errors += 1;
            self.unsent.extend(message.origin);
        }
    }
}
