//! One connection's TLS, without its socket.

use std::borrow::Cow;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{ClientConfig, Error, ServerConfig};

use crate::config::Host;

/// Room for an encoded message that is tried first; a handshake message may want more.
const ROOM_BYTES: usize = 1_024;
/// What a record of TLS 1.2 or 1.3 has beside its content at most, with a margin.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// Content of a record at most (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16_384;

/// The session of one connection.
pub(in crate::net) struct Session {
    role: Role,
    /// Whom it leads to, where we have opened it.
    expected: Option<ServerName<'static>>,
    /// Ciphertext of a record that is not whole.
    incoming: Vec<u8>,
    /// Ciphertext that the socket has not taken, behind the first `sent` bytes.
    outgoing: Vec<u8>,
    sent: usize,
    has_ended: bool,
    /// It panicked: nothing is asked of it any more.
    is_broken: bool,
}

/// Why a session is over.
#[derive(Debug)]
pub(in crate::net) enum Failure {
    /// The peer's doing, or ours: what the library says.
    Tls(Error),
    /// The library panicked. Only this session is lost.
    Panicked,
}

enum Role {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What is to be done once the session may send.
enum Wish<'a> {
    Nothing,
    Send(&'a [u8]),
    Close,
}

/// What a step of the session came to.
enum Step {
    Again,
    /// More bytes are needed, or there is nothing to do.
    Rest,
    /// The peer will send nothing more.
    Ended,
}

impl Session {
    /// The session of a connection that a peer opened.
    pub(in crate::net) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let server = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Role::Server(server), None))
    }

    /// The session of a connection that is opened to this host.
    pub(in crate::net) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let client = UnbufferedClientConnection::new(config, name.clone())?;
        Ok(Self::new(Role::Client(client), Some(name)))
    }

    fn new(role: Role, expected: Option<ServerName<'static>>) -> Self {
        Self {
            role,
            expected,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            has_ended: false,
            is_broken: false,
        }
    }

    /// The name or address that the peer has to prove; `None` for one that came to us.
    pub(in crate::net) fn expected(&self) -> Option<Cow<'_, str>> {
        self.expected.as_ref().map(ServerName::to_str)
    }

    /// Whether messages cannot pass yet.
    pub(in crate::net) fn is_handshaking(&self) -> bool {
        match &self.role {
            Role::Server(server) => server.is_handshaking(),
            Role::Client(client) => client.is_handshaking(),
        }
    }

    /// Whether the peer has said that it will send nothing more (RFC 8446 §6.1).
    pub(in crate::net) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The certificates that a peer has shown which opened the connection, its own first. It has the key, and
    /// those it was asked for have signed it.
    pub(in crate::net) fn peer_certificates(&self) -> Option<Arc<[CertificateDer<'static>]>> {
        match &self.role {
            Role::Server(server) => server.peer_certificates().map(Arc::from),
            Role::Client(_) => None,
        }
    }

    /// Ciphertext that is to be written.
    pub(in crate::net) fn outgoing(&self) -> &[u8] {
        self.outgoing.get(self.sent..).unwrap_or_default()
    }

    /// The socket took so many bytes of [`Self::outgoing`].
    pub(in crate::net) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= self.outgoing.len() {
            // Given back: an idle connection holds no memory.
            self.outgoing = Vec::new();
            self.sent = 0;
        }
    }

    /// Begins, or goes on, with nothing received.
    pub(in crate::net) fn start(&mut self) -> Result<(), Failure> {
        self.drive(&Wish::Nothing, &mut |_| {})
    }

    /// Takes what was read from the stream; plaintext goes to `deliver`. After an error what is left
    /// to be written is the alert that tells the peer.
    pub(in crate::net) fn receive(
        &mut self,
        bytes: &[u8],
        mut deliver: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        self.incoming.extend_from_slice(bytes);
        let result = self.drive(&Wish::Nothing, &mut deliver);
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        result
    }

    /// Encrypts a message; the handshake must be over.
    pub(in crate::net) fn send(&mut self, plaintext: &[u8]) -> Result<(), Failure> {
        self.drive(&Wish::Send(plaintext), &mut |_| {})
    }

    /// Says good-bye (close_notify), where the session is up.
    pub(in crate::net) fn close(&mut self) {
        if !self.is_broken && !self.is_handshaking() {
            // A session that cannot even end is closed without a word.
            self.drive(&Wish::Close, &mut |_| {}).ok();
        }
    }

    /// A peer that finds a way to make the library panic loses its connection, and nobody else does.
    fn drive(&mut self, wish: &Wish<'_>, deliver: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        if self.is_broken {
            return Err(Failure::Panicked);
        }
        match catch_unwind(AssertUnwindSafe(|| self.advance_by(wish, deliver))) {
            Ok(result) => result.map_err(Failure::Tls),
            Err(_) => {
                self.is_broken = true;
                Err(Failure::Panicked)
            }
        }
    }

    fn advance_by(&mut self, wish: &Wish<'_>, deliver: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        loop {
            match self.step(wish, deliver) {
                Ok(Step::Again) => {}
                Ok(Step::Rest) => return Ok(()),
                Ok(Step::Ended) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Err(error) => {
                    // The alert. No step more: what made it fail must not be looked at again.
                    while self.has_records_to_send() && self.step(wish, deliver).is_ok() {}
                    return Err(error);
                }
            }
        }
    }

    fn has_records_to_send(&self) -> bool {
        match &self.role {
            Role::Server(server) => server.wants_write(),
            Role::Client(client) => client.wants_write(),
        }
    }

    fn step(&mut self, wish: &Wish<'_>, deliver: &mut dyn FnMut(&[u8])) -> Result<Step, Error> {
        let incoming = self.incoming.as_mut_slice();
        let (discard, step) = match &mut self.role {
            Role::Server(server) => {
                let status = server.process_tls_records(incoming);
                take(status, wish, &mut self.outgoing, deliver)
            }
            Role::Client(client) => {
                let status = client.process_tls_records(incoming);
                take(status, wish, &mut self.outgoing, deliver)
            }
        };
        self.incoming.drain(..discard.min(self.incoming.len()));
        step
    }
}

/// Does what a status asks for; returns how many bytes of the incoming ones are done with.
fn take<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    wish: &Wish<'_>,
    outgoing: &mut Vec<u8>,
    deliver: &mut dyn FnMut(&[u8]),
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let state = match state {
        Ok(state) => state,
        Err(error) => return (discard, Err(error)),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Ok(record)) => {
                    discard += record.discard;
                    deliver(record.payload);
                }
                Some(Err(error)) => break Err(error),
            }
        },
        ConnectionState::EncodeTlsData(mut data) => append(outgoing, ROOM_BYTES, |room| {
            data.encode(room).map_err(|error| match error {
                EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => {
                    Ok(required_size)
                }
                EncodeError::AlreadyEncoded => Err(Error::General(error.to_string())),
            })
        })
        .map(|()| Step::Again),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(traffic) => {
            fulfil(traffic, wish, outgoing).map(|()| Step::Rest)
        }
        ConnectionState::BlockedHandshake => Ok(Step::Rest),
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::Ended),
        // Early data is not offered; a state of a later version of the library is none of ours.
        ConnectionState::ReadEarlyData(_) | _ => Err(Error::General(
            "the TLS library wants something that was never asked for".to_owned(),
        )),
    };
    (discard, step)
}

fn fulfil<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    wish: &Wish<'_>,
    outgoing: &mut Vec<u8>,
) -> Result<(), Error> {
    let room_wanted = |error| match error {
        EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => {
            Ok(required_size)
        }
        EncryptError::EncryptExhausted => Err(Error::EncryptError),
    };
    match wish {
        Wish::Nothing => Ok(()),
        Wish::Send(plaintext) => {
            let records = plaintext.len() / RECORD_BYTES + 1;
            let room = plaintext.len() + records * RECORD_OVERHEAD_BYTES;
            append(outgoing, room, |room| {
                traffic.encrypt(plaintext, room).map_err(room_wanted)
            })
        }
        Wish::Close => append(outgoing, RECORD_OVERHEAD_BYTES, |room| {
            traffic.queue_close_notify(room).map_err(room_wanted)
        }),
    }
}

/// Lets `write` fill room at the end of the buffer, more of it where it says that it needs more.
fn append(
    buffer: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Result<usize, Error>>,
) -> Result<(), Error> {
    let end = buffer.len();
    let mut room = room;
    loop {
        buffer.resize(end + room, 0);
        match write(buffer.get_mut(end..).unwrap_or_default()) {
            Ok(written) => {
                buffer.truncate(end + written);
                return Ok(());
            }
            Err(Ok(required)) if required > room => room = required,
            Err(Ok(_)) => {
                buffer.truncate(end);
                return Err(Error::EncryptError);
            }
            Err(Err(error)) => {
                buffer.truncate(end);
                return Err(error);
            }
        }
    }
}

/// A host as a certificate names it; `None` for a name that no certificate can hold.
pub(in crate::net) fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Address(address) => Some(address_name(*address)),
        Host::Name(name) => DnsName::try_from(name.clone())
            .ok()
            .map(ServerName::DnsName),
    }
}

fn address_name(address: IpAddr) -> ServerName<'static> {
    ServerName::IpAddress(address.to_canonical().into())
}
