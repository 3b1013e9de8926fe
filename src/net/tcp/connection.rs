//! One connection: its socket, its TLS where it has that, what came in of the next message, and what
//! waits to be written.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};
use mio::net::TcpStream;
use socket2::TcpKeepalive;

use super::admission::Rank;
use super::alias::Alias;
use super::expected::Expected;
use crate::config::{CarrierId, Host, Limits, Transport};
use crate::instant::Instant;
use crate::net::gauges::NetGauges;
use crate::net::mailbox::Origin;
use crate::net::tls::{Failure, Session, remedy};
use crate::shard::guard::Network;
use crate::shard::io::{ConnectionId, Flow};
use crate::sip::framing::{Frame, Framer};
use crate::sip::message::Message;
use crate::sip::reuse::{may_offer_alias, offered_alias};

/// Bytes that wait in a connection's queue, each message with its overhead; more costs the peer its
/// connection.
const QUEUE_BYTES_MAX: usize = 256 * 1_024;
/// What a queued message costs beside its bytes.
const QUEUE_MESSAGE_BYTES: usize = size_of::<Outgoing>();
/// When the kernel begins to ask whether an idle peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
/// How long it waits before it asks again, and how often it asks.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long a peer's kernel may leave bytes unacknowledged (RFC 5482).
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(10);

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What is still to be written.
    pub(super) bytes: Bytes,
    pub(super) origin: Option<Origin>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Opened by us; nothing can be written yet.
    Connecting,
    /// TLS is being agreed on.
    Handshaking,
    /// Accepted; no message that is listened to has arrived yet.
    Accepted,
    /// Opened by us and up, or such a message has arrived.
    Established,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    pub(super) generation: u32,
    pub(super) listener: u8,
    pub(super) remote: SocketAddr,
    /// Whom we opened it to; `None` for a peer that came to us.
    pub(super) expected: Option<Expected>,
    pub(super) rank: Rank,
    /// Whose share of the table it takes; `None` for one of ours.
    pub(super) source: Option<Network>,
    /// When the oldest request was written that nothing has been read after.
    pub(super) asked: Option<Instant>,
    /// It has an entry among those that owe an answer.
    pub(super) is_watched: bool,
    /// It owed an answer for too long: nothing new goes on it.
    pub(super) is_retired: bool,
    /// The peer has asked for an alias, whatever came of it.
    pub(super) is_introduced: bool,
    /// What it stands for beside itself.
    pub(super) alias: Option<Alias>,
    pub(super) security: Security,
    /// The carrier that the peer has proven to be.
    pub(super) carrier: Option<CarrierId>,
    /// It stands in the queue for handshake work.
    pub(super) is_queued: bool,
    pub(super) framer: Framer,
    pub(super) queue: VecDeque<Outgoing>,
    /// Bytes and overhead of `queue`.
    pub(super) queued_bytes: usize,
    /// When it is closed if nothing more happens.
    pub(super) deadline: Instant,
}

/// What lies between the socket and the messages.
pub(super) enum Security {
    /// Nothing: TCP.
    Plain,
    /// TLS that the peer has not begun yet: nothing is kept for it.
    Awaited,
    /// TLS.
    Session(Box<Session>),
}

impl Security {
    pub(super) fn is_tls(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Awaited | Self::Session(_) => true,
        }
    }
}

/// Why a connection ends.
pub(super) enum End {
    /// The peer closed, or the network did.
    Lost,
    /// We close it: it carried nothing for too long, or the node stops.
    Idle,
    /// The handshake took too long.
    Hesitant,
    /// TLS failed.
    Insecure(rustls::Error),
    /// TLS panicked.
    Panicked,
    /// The peer's bytes cannot be framed.
    Unframed,
    /// The peer does not read.
    Slow,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Tls(error) => Self::Insecure(error),
            Failure::Panicked => Self::Panicked,
        }
    }
}

impl Connection {
    /// Where its messages come from, and where answers to them go.
    pub(super) fn flow(&self, shard: u8, slot: usize) -> Flow {
        let connection = u32::try_from(slot).ok().map(|slot| ConnectionId {
            shard,
            slot,
            generation: self.generation,
        });
        Flow {
            transport: self.transport(),
            listener: self.listener,
            remote: self.remote,
            connection,
            tls: match &self.expected {
                Some(Expected::Peer(peer)) => Some(*peer),
                Some(Expected::Anybody | Expected::Host(_)) | None => None,
            },
            carrier: self.carrier,
        }
    }

    /// Looks at a message of a peer that came to us; returns what the peer wants its connection to stand for,
    /// once. A peer that shows no certificate is believed that it listens at the address that it comes from,
    /// and nothing else: behind a translator that might be another's.
    pub(super) fn introduce(
        &mut self,
        flow: Flow,
        message: &Bytes,
        limits: &Limits,
    ) -> Option<Alias> {
        if self.is_introduced || self.expected.is_some() || !may_offer_alias(message) {
            return None;
        }
        let Ok(Message::Request(request)) = Message::parse(message.clone(), limits) else {
            return None;
        };
        let (host, port) = offered_alias(&request, flow.transport)?;
        self.is_introduced = true;
        let identity = match &self.security {
            Security::Plain | Security::Awaited => None,
            Security::Session(session) => session.peer_certificates(),
        };
        let ip = self.remote.ip();
        let is_itself = host == Host::Address(ip) || host == Host::Address(ip.to_canonical());
        (identity.is_some() || is_itself).then_some(Alias {
            transport: flow.transport,
            address: SocketAddr::new(ip, port),
            connection: flow.connection?,
            identity,
        })
    }

    fn transport(&self) -> Transport {
        match self.security.is_tls() {
            false => Transport::Tcp,
            true => Transport::Tls,
        }
    }

    /// Whether messages can be written.
    pub(super) fn is_up(&self) -> bool {
        match self.state {
            State::Connecting | State::Handshaking => false,
            State::Accepted | State::Established => true,
        }
    }

    /// Whether what passes shows that it is needed.
    pub(super) fn is_in_use(&self) -> bool {
        self.state == State::Established && !self.is_retired
    }

    /// Reads once from the socket into the framer; returns the number of bytes that it got: TLS takes its own.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, End> {
        let bytes = match self.stream.read(buffer) {
            Ok(0) => return Err(End::Lost),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Some(0)),
            Err(_) => return Err(End::Lost),
        };
        let received = buffer.get(..bytes).unwrap_or_default();
        let framer = &mut self.framer;
        let mut framed = 0;
        match &mut self.security {
            Security::Plain => {
                framer.push(received);
                framed = bytes;
            }
            // Bytes of a handshake that was not begun: they are read when its turn has come.
            Security::Awaited => {}
            Security::Session(session) => session
                .receive(received, |plaintext| {
                    framer.push(plaintext);
                    framed += plaintext.len();
                })
                .map_err(End::from)?,
        }
        Ok(Some(framed))
    }

    /// Whether the peer has said, within TLS, that nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        match &self.security {
            Security::Plain | Security::Awaited => false,
            Security::Session(session) => session.has_ended(),
        }
    }

    /// Moves the whole messages to `arrived`; returns the number of pings among them.
    pub(super) fn unframe(
        &mut self,
        flow: Flow,
        deadline: Instant,
        arrived: &mut Vec<(Flow, Bytes)>,
        counts: &mut NetGauges,
    ) -> Result<usize, End> {
        let mut pings = 0;
        loop {
            match self.framer.next() {
                Ok(None) => return Ok(pings),
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(Some(Frame::Message(bytes))) => {
                    counts.stream_messages_received += 1;
                    arrived.push((flow, bytes));
                }
                Err(error) => {
                    tracing::debug!(remote = %self.remote, %error, "stream cannot be framed");
                    return Err(End::Unframed);
                }
            }
            // A stranger's ping, or a message that nobody listens to, earns no time.
            if self.is_in_use() {
                self.deadline = self.deadline.max(deadline);
            }
        }
    }

    /// Whether more waits than the peer may leave unread.
    pub(super) fn is_overrun(&self) -> bool {
        self.queued_bytes > QUEUE_BYTES_MAX
    }

    /// Puts a message at the end of the queue.
    pub(super) fn push(&mut self, message: Outgoing) {
        self.queued_bytes += message.bytes.len() + QUEUE_MESSAGE_BYTES;
        self.queue.push_back(message);
    }

    /// Writes until the queue is empty or the kernel takes no more.
    pub(super) fn flush(&mut self) -> Result<(), End> {
        loop {
            if !self.write_ciphertext()? || !self.is_up() {
                return Ok(());
            }
            let Some(message) = self.queue.front_mut() else {
                return Ok(());
            };
            if message.bytes.is_empty() {
                self.queue.pop_front();
                self.queued_bytes = self.queued_bytes.saturating_sub(QUEUE_MESSAGE_BYTES);
                continue;
            }
            if let Security::Session(session) = &mut self.security {
                // The message stays in front, empty, until the socket has taken its ciphertext.
                session.send(&message.bytes).map_err(End::from)?;
                self.queued_bytes = self.queued_bytes.saturating_sub(message.bytes.len());
                message.bytes.clear();
                continue;
            }
            match self.stream.write(&message.bytes) {
                Ok(0) => return Err(End::Lost),
                Ok(bytes) => {
                    message.bytes.advance(bytes);
                    self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Lost),
            }
        }
    }

    /// Writes what TLS has ready; returns whether the kernel took all of it.
    fn write_ciphertext(&mut self) -> Result<bool, End> {
        let Security::Session(session) = &mut self.security else {
            return Ok(true);
        };
        while !session.outgoing().is_empty() {
            match self.stream.write(session.outgoing()) {
                Ok(0) => return Err(End::Lost),
                Ok(bytes) => session.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Lost),
            }
        }
        Ok(true)
    }

    /// A peer that fails to come in is its own affair, a known one's also the operator's; one that we want to
    /// reach is ours.
    pub(super) fn tell_insecure(&self, error: &rustls::Error) {
        let remote = self.remote;
        match self.rank {
            Rank::Ours => tracing::warn!(
                expected = &*self.expected_name(), %remote, %error, remedy = remedy(error), "TLS failed"
            ),
            Rank::Known => tracing::info!(%remote, %error, "TLS of a peer that came to us failed"),
            Rank::Stranger => tracing::debug!(%remote, %error, "TLS of a stranger failed"),
        }
    }

    pub(super) fn tell_hesitant(&self) {
        let remote = self.remote;
        match self.rank {
            Rank::Ours => tracing::warn!(
                expected = &*self.expected_name(), %remote, "TLS handshake took too long"
            ),
            Rank::Known | Rank::Stranger => tracing::debug!(%remote, "TLS handshake took too long"),
        }
    }

    fn expected_name(&self) -> Cow<'_, str> {
        let name = match &self.security {
            Security::Session(session) => session.expected(),
            Security::Plain | Security::Awaited => None,
        };
        name.unwrap_or_default()
    }

    /// Says good-bye as far as the kernel takes it at once: close_notify, or the alert of a failure.
    pub(super) fn take_leave(&mut self, end: &End) {
        if let Security::Session(session) = &mut self.security {
            match end {
                End::Idle | End::Unframed => session.close(),
                End::Lost | End::Slow | End::Hesitant | End::Insecure(_) | End::Panicked => {}
            }
        }
        match end {
            End::Idle | End::Unframed | End::Hesitant | End::Insecure(_) => {
                // The connection goes anyway.
                self.write_ciphertext().ok();
            }
            End::Lost | End::Slow | End::Panicked => {}
        }
    }
}

/// Small messages leave at once, and a peer that vanished is noticed: what it does not acknowledge, be it a
/// message or the kernel's question whether it is there, ends the connection. One without these is still of
/// use.
pub(super) fn configure(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    if let Err(error) = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT)))
    {
        tracing::debug!(%error, "socket option of a connection");
    }
}
