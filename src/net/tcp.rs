//! SIP over TCP (RFC 3261 §18, RFC 5626 §3.5.1): the connections that one shard holds.
//!
//! Accepted connections stay on the shard that accepted them; the shard that sends opens. Nothing
//! here waits for a peer: what a peer does not read stays in its connection's bounded queue, and a
//! full queue costs the peer its connection.
//!
//! [`Connections`] knows no core. What came in and what could not be sent is left in `arrived` and
//! `unsent`, which the worker empties after each call.

mod connection;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use self::connection::{Connection, End, Outgoing, State, configure};
use super::gauges::NetGauges;
use super::mailbox::Origin;
use crate::config::Limits;
use crate::instant::Instant;
use crate::shard::io::{ConnectionId, Flow};
use crate::sip::framing::Framer;

/// How long a peer may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an accepted connection may stay without one whole message: 64 × T1.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(32);
/// How long a connection may carry no whole message in either direction.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Reads of one connection in one turn of the loop.
const READS_PER_TURN: usize = 4;
/// Bytes of one read.
const READ_BYTES_MAX: usize = 16 * 1_024;
/// Connections the kernel accepts for us before we do.
const BACKLOG: i32 = 1_024;

/// Pings of one read that are answered; a peer that sends more in one go is not keeping alive.
const PONGS_MAX: usize = 16;
static PONGS: [u8; 2 * PONGS_MAX] =
    *b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

/// Binds one shard's socket of a listener; `shared` is whether the port is in a group already (see
/// [`super::udp::bind`]).
pub(super) fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    if !shared {
        let probe = open(address)?;
        probe.set_reuse_address(true)?;
        probe.bind(&address.into())?;
    }
    let socket = open(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Begins a connection from `source`'s address to `remote`.
fn connect(source: IpAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = open(remote)?;
    if !source.is_unspecified() {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The connections of one shard.
pub(super) struct Connections {
    shard: u8,
    limits: Limits,
    /// Token of slot 0; the other slots follow.
    first_token: usize,
    /// For each listener of the config, the address connections are opened from.
    sources: Vec<Option<IpAddr>>,
    slots: Slab<Connection>,
    next_generation: u32,
    by_remote: HashMap<(u8, SocketAddr), usize>,
    /// One entry a connection, not later than its deadline; entries of closed ones remain until due.
    deadlines: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    /// Messages that came in.
    pub(super) arrived: Vec<(Flow, Bytes)>,
    /// Whom to tell that a message could not be sent.
    pub(super) unsent: Vec<Origin>,
}

impl Connections {
    /// `sources` holds, by listener, the address that a TCP listener is bound to.
    pub(super) fn new(
        shard: u8,
        limits: Limits,
        first_token: usize,
        sources: Vec<Option<IpAddr>>,
    ) -> Self {
        Self {
            shard,
            limits,
            first_token,
            sources,
            slots: Slab::new(),
            next_generation: 0,
            by_remote: HashMap::new(),
            deadlines: BinaryHeap::new(),
            arrived: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Takes an accepted connection in; one too many is closed at once.
    pub(super) fn accepted(
        &mut self,
        registry: &Registry,
        listener: u8,
        (stream, remote): (TcpStream, SocketAddr),
        now: Instant,
        counts: &mut NetGauges,
    ) {
        if self
            .insert(registry, listener, remote, stream, State::Accepted, now)
            .is_none()
        {
            counts.connections_refused += 1;
        }
        counts.connections = self.slots.len() as u64;
    }

    /// Sends on the flow's connection, or one to the same peer, or a new one.
    pub(super) fn send(
        &mut self,
        registry: &Registry,
        flow: Flow,
        bytes: Bytes,
        origin: Option<Origin>,
        now: Instant,
        counts: &mut NetGauges,
    ) {
        let slot = self
            .slot_of(flow.connection)
            .or_else(|| self.by_remote.get(&(flow.listener, flow.remote)).copied())
            .or_else(|| self.open_to(registry, flow, now));
        match slot {
            Some(slot) => self.enqueue(registry, slot, Outgoing { bytes, origin }, now, counts),
            None => {
                counts.send_errors += 1;
                self.unsent.extend(origin);
            }
        }
        counts.connections = self.slots.len() as u64;
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
            Ok(true) => self
                .flush(slot)
                .and_then(|()| self.read(registry, slot, buffer, now, counts)),
            Err(end) => Err(end),
        };
        let more = match result {
            Ok(more) => more,
            Err(end) => {
                self.close(registry, slot, end, counts);
                false
            }
        };
        counts.connections = self.slots.len() as u64;
        more
    }

    /// When [`expire`](Self::expire) is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines
            .peek()
            .map(|Reverse((deadline, _, _))| *deadline)
    }

    /// Closes the connections whose time is over.
    pub(super) fn expire(&mut self, registry: &Registry, now: Instant, counts: &mut NetGauges) {
        while let Some(Reverse((due, slot, generation))) = self.deadlines.peek().copied() {
            if due > now {
                break;
            }
            self.deadlines.pop();
            let Some(connection) = self.slots.get(slot) else {
                continue;
            };
            if connection.generation != generation {
                continue;
            }
            if connection.deadline > now {
                let entry = Reverse((connection.deadline, slot, generation));
                self.deadlines.push(entry);
            } else {
                self.close(registry, slot, End::Lost, counts);
            }
        }
        counts.connections = self.slots.len() as u64;
    }

    fn slot_of(&self, id: Option<ConnectionId>) -> Option<usize> {
        let id = id.filter(|id| id.shard == self.shard)?;
        let slot = usize::try_from(id.slot).ok()?;
        let connection = self.slots.get(slot)?;
        (connection.generation == id.generation).then_some(slot)
    }

    fn open_to(&mut self, registry: &Registry, flow: Flow, now: Instant) -> Option<usize> {
        let source = (*self.sources.get(usize::from(flow.listener))?)?;
        if self.slots.len() >= self.limits.connections_max {
            return None;
        }
        match connect(source, flow.remote) {
            Ok(stream) => self.insert(
                registry,
                flow.listener,
                flow.remote,
                stream,
                State::Connecting,
                now,
            ),
            Err(error) => {
                tracing::debug!(remote = %flow.remote, %error, "cannot connect");
                None
            }
        }
    }

    fn insert(
        &mut self,
        registry: &Registry,
        listener: u8,
        remote: SocketAddr,
        mut stream: TcpStream,
        state: State,
        now: Instant,
    ) -> Option<usize> {
        if self.slots.len() >= self.limits.connections_max {
            return None;
        }
        let slot = self.slots.vacant_key();
        let token = Token(self.first_token + slot);
        registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .ok()?;
        configure(&stream);
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let deadline = now
            + match state {
                State::Connecting => CONNECT_TIMEOUT,
                State::Accepted => FIRST_MESSAGE_TIMEOUT,
                State::Established => IDLE_TIMEOUT,
            };
        self.slots.insert(Connection {
            stream,
            state,
            generation,
            listener,
            remote,
            framer: Framer::new(&self.limits),
            queue: VecDeque::new(),
            queued_bytes: 0,
            deadline,
        });
        self.by_remote.insert((listener, remote), slot);
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
        let Some(connection) = self.slots.get_mut(slot) else {
            return;
        };
        let is_idle = connection.queue.is_empty() && connection.state != State::Connecting;
        connection.push(message);
        let result = if connection.is_overrun() {
            Err(match connection.state {
                State::Connecting => End::Lost,
                State::Accepted | State::Established => End::Slow,
            })
        } else if is_idle {
            connection.deadline = connection.deadline.max(now + IDLE_TIMEOUT);
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
        let Some(connection) = self.slots.get_mut(slot) else {
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
        connection.state = State::Established;
        connection.deadline = now + IDLE_TIMEOUT;
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
            let bytes = match connection.stream.read(buffer) {
                Ok(0) => return Err(End::Lost),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(End::Lost),
            };
            connection
                .framer
                .push(buffer.get(..bytes).unwrap_or_default());
            let flow = connection.flow(self.shard, slot);
            let pings = connection.unframe(flow, now, &mut self.arrived, counts)?;
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
        match end {
            End::Lost => {}
            End::Unframed => counts.framing_errors += 1,
            End::Slow => {
                counts.slow_readers += 1;
                tracing::info!(remote = %connection.remote, "peer does not read, connection closed");
            }
        }
        // Closing the socket removes it from the poll in any case.
        registry.deregister(&mut connection.stream).ok();
        let key = (connection.listener, connection.remote);
        if self.by_remote.get(&key) == Some(&slot) {
            self.by_remote.remove(&key);
        }
        for message in &connection.queue {
            counts.send_errors += 1;
            self.unsent.extend(message.origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::Transport;
    use crate::shard::io::TransactionId;

    const START: Instant = Instant::from_micros(1_000_000);
    const ORIGIN: Origin = Origin {
        shard: 0,
        transaction: TransactionId {
            slot: 3,
            generation: 0,
        },
    };

    /// A table, and a peer that listens but is never waited for.
    struct Bench {
        poll: mio::Poll,
        peer: std::net::TcpListener,
        connections: Connections,
        counts: NetGauges,
    }

    impl Bench {
        fn new() -> Self {
            let localhost = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
            Self {
                poll: mio::Poll::new().unwrap(),
                peer: std::net::TcpListener::bind((localhost, 0)).unwrap(),
                connections: Connections::new(0, Limits::default(), 1, vec![Some(localhost)]),
                counts: NetGauges::default(),
            }
        }

        fn send(&mut self, now: Instant) {
            let flow = Flow {
                transport: Transport::Tcp,
                listener: 0,
                remote: self.peer.local_addr().unwrap(),
                connection: None,
            };
            self.connections.send(
                self.poll.registry(),
                flow,
                Bytes::from_static(b"BYE"),
                Some(ORIGIN),
                now,
                &mut self.counts,
            );
        }

        /// An accepted connection, whose client end is returned.
        fn accept(&mut self) -> std::net::TcpStream {
            let client = std::net::TcpStream::connect(self.peer.local_addr().unwrap()).unwrap();
            let (accepted, remote) = self.peer.accept().unwrap();
            accepted.set_nonblocking(true).unwrap();
            self.connections.accepted(
                self.poll.registry(),
                0,
                (TcpStream::from_std(accepted), remote),
                START,
                &mut self.counts,
            );
            client
        }

        fn expire(&mut self, now: Instant) -> usize {
            self.connections
                .expire(self.poll.registry(), now, &mut self.counts);
            self.connections.slots.len()
        }

        /// Serves slot 0 until a message arrived.
        fn read_message(&mut self, now: Instant) {
            let mut events = mio::Events::with_capacity(8);
            while self.connections.arrived.is_empty() {
                self.poll
                    .poll(&mut events, Some(Duration::from_secs(20)))
                    .unwrap();
                assert!(!events.is_empty(), "nothing came");
                let mut buffer = [0; 1_024];
                self.connections.service(
                    self.poll.registry(),
                    0,
                    &mut buffer,
                    now,
                    &mut self.counts,
                );
            }
        }
    }

    #[test]
    fn a_connect_that_takes_too_long_is_given_up_and_its_messages_reported() {
        let mut bench = Bench::new();
        bench.send(START);
        bench.send(START);
        assert_eq!(bench.connections.slots.len(), 1);
        assert_eq!(
            bench.connections.next_deadline(),
            Some(START + CONNECT_TIMEOUT)
        );
        assert_eq!(bench.expire(START + Duration::from_millis(3_999)), 1);
        assert_eq!(bench.expire(START + CONNECT_TIMEOUT), 0);
        assert_eq!(bench.connections.unsent, [ORIGIN, ORIGIN]);
        assert_eq!(bench.counts.send_errors, 2);
        assert!(bench.connections.by_remote.is_empty());
        assert_eq!(bench.connections.next_deadline(), None);
    }

    #[test]
    fn an_accepted_connection_that_says_nothing_whole_is_closed() {
        let mut bench = Bench::new();
        let mut client = bench.accept();
        client.write_all(b"BYE sip:a SIP/2.0").unwrap();
        assert_eq!(bench.expire(START + FIRST_MESSAGE_TIMEOUT), 0);
    }

    #[test]
    fn a_connection_is_closed_when_it_was_idle_long_enough() {
        let mut bench = Bench::new();
        let mut client = bench.accept();
        client
            .write_all(b"BYE sip:a SIP/2.0\r\nl: 0\r\n\r\n")
            .unwrap();
        let spoke = START + Duration::from_secs(10);
        bench.read_message(spoke);
        let end = spoke + IDLE_TIMEOUT;
        assert_eq!(bench.expire(START + FIRST_MESSAGE_TIMEOUT), 1);
        assert_eq!(bench.connections.next_deadline(), Some(end));
        assert_eq!(bench.expire(end), 0);
    }

    #[test]
    fn a_slot_that_was_taken_again_is_another_connection() {
        let mut bench = Bench::new();
        let _first = bench.accept();
        let id = |bench: &Bench| {
            let connection = bench.connections.slots.get(0).unwrap();
            connection.flow(0, 0).connection
        };
        let old = id(&bench);
        bench.expire(START + FIRST_MESSAGE_TIMEOUT);
        let _second = bench.accept();
        assert_eq!(bench.connections.slot_of(old), None);
        assert_eq!(bench.connections.slot_of(id(&bench)), Some(0));
    }
}
