//! One connection: its socket, what came in of the next message, and what waits to be written.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};
use mio::net::TcpStream;
use socket2::TcpKeepalive;

use super::IDLE_TIMEOUT;
use crate::config::Transport;
use crate::instant::Instant;
use crate::net::gauges::NetGauges;
use crate::net::mailbox::Origin;
use crate::shard::io::{ConnectionId, Flow};
use crate::sip::framing::{Frame, Framer};

/// Bytes that wait in a connection's queue, each message with its overhead; more costs the peer its
/// connection.
const QUEUE_BYTES_MAX: usize = 256 * 1_024;
/// What a queued message costs beside its bytes.
const QUEUE_MESSAGE_BYTES: usize = size_of::<Outgoing>();
/// When the kernel begins to ask whether an idle peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

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
    /// Accepted; no whole message has arrived yet.
    Accepted,
    /// Messages have passed.
    Established,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    pub(super) generation: u32,
    pub(super) listener: u8,
    pub(super) remote: SocketAddr,
    pub(super) framer: Framer,
    pub(super) queue: VecDeque<Outgoing>,
    /// Bytes and overhead of `queue`.
    pub(super) queued_bytes: usize,
    /// When it is closed if nothing more happens.
    pub(super) deadline: Instant,
}

/// Why a connection ends.
pub(super) enum End {
    /// The peer closed, or the network did.
    Lost,
    /// The peer's bytes cannot be framed.
    Unframed,
    /// The peer does not read.
    Slow,
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
            transport: Transport::Tcp,
            listener: self.listener,
            remote: self.remote,
            connection,
        }
    }

    /// Moves the whole messages to `arrived`; returns the number of pings among them.
    pub(super) fn unframe(
        &mut self,
        flow: Flow,
        now: Instant,
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
            self.state = State::Established;
            self.deadline = now + IDLE_TIMEOUT;
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
        while let Some(message) = self.queue.front_mut() {
            if message.bytes.is_empty() {
                self.queue.pop_front();
                self.queued_bytes = self.queued_bytes.saturating_sub(QUEUE_MESSAGE_BYTES);
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
        Ok(())
    }
}

/// Small messages leave at once, and a peer that vanished is noticed. A connection without these is
/// still of use.
pub(super) fn configure(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME);
    if let Err(error) = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
    {
        tracing::debug!(%error, "socket option of a connection");
    }
}
