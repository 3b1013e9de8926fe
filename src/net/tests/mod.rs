//! Workers on loopback sockets, with a core that does what the messages tell it to.
//!
//! The request's method is the order, `X-Owner` the owning shard. Nothing here waits for time to
//! pass: a test waits for a packet or for what a core saw, with a limit that only a failure reaches.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test that waits for one thing passes over all others"
)]

mod lifecycle;
mod media;
mod reuse;
mod sip;
mod tls;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::{Api, Dscp, Limits, Media, MediaAddress, Node, Sip, SipTimers, SipTls};
use crate::connector_id::VoiceConnectorId;
use crate::shard::guard::Ban;
use crate::shard::io::{ConnectionId, Flow, TransactionId};
use crate::telemetry::{CallFacts, CallKind, CallQuality, Direction};

/// Long enough for a loaded machine; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);
const TRANSACTION: TransactionId = TransactionId {
    slot: 7,
    generation: 1,
};

/// What a core tells the test.
#[derive(Debug)]
enum Seen {
    Message(u8, Flow, Bytes),
    TransportError(u8, TransactionId),
    Port(u8, MediaPort),
    Snapshot(u8, Arc<Snapshot>),
    Timeout(u8),
    Ban(u8, IpAddr),
    Lag(u8, std::time::Duration),
}

/// Flows and routes that a test sets and cores use.
#[derive(Default)]
struct Board {
    /// Where the message of `RELAY` goes.
    flow: Option<Flow>,
    /// Where media goes: from the socket of the pair that it did not arrive on.
    media_to: Option<SocketAddr>,
    /// Whose messages and connections are not wanted.
    banned: Option<IpAddr>,
}

struct Scripted {
    shard: u8,
    seen: Sender<Seen>,
    board: Arc<Mutex<Board>>,
    /// Held by a test for as long as `HOLD` takes.
    gate: Arc<Mutex<()>>,
    outputs: VecDeque<Output>,
    timeout: Option<Instant>,
    ports_wanted: usize,
    messages: u64,
}

impl Scripted {
    fn obey(&mut self, flow: Flow, bytes: Bytes, now: Instant) {
        self.messages += 1;
        let order = bytes
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default()
            .to_vec();
        let seen = Seen::Message(self.shard, flow, bytes.clone());
        self.seen.send(seen).ok();
        match order.as_slice() {
            b"ECHO" => self.send(flow, bytes),
            b"HOLD" => drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner)),
            b"BAN" => self.outputs.push_back(Output::Ban(Ban {
                source: flow.remote.ip(),
                until: now + std::time::Duration::from_secs(1),
                length: std::time::Duration::from_secs(1),
            })),
            b"PANIC" => panic!("the message asks for it"),
            b"TIMER" => self.timeout = Some(now + Duration::from_millis(2)),
            b"FLOOD" => {
                let large = Bytes::from(vec![b'x'; 60_000]);
                for _ in 0..1_000 {
                    self.send(flow, large.clone());
                }
            }
            b"RELAY" => {
                let to = self
                    .board
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .flow;
                self.send(to.unwrap(), bytes);
            }
            b"MEDIA" => {
                let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
                let forward = Forward {
                    socket: MediaSocket(1),
                    to: board.media_to.unwrap(),
                };
                self.outputs.push_back(Output::Media { forward, bytes });
            }
            b"EVENT" => {
                let source = flow.remote;
                let connector = VoiceConnectorId::from_random([0; 22]);
                let event = Event::OptionsReceived { connector, source };
                self.outputs.push_back(Output::Event(event));
                self.send(flow, bytes);
            }
            other => panic!("not an order: {other:?}"),
        }
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.outputs.push_back(Output::Send {
            flow,
            bytes,
            transaction: Some(TRANSACTION),
        });
    }
}

impl Core for Scripted {
    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Message { flow, bytes } => self.obey(flow, bytes, now),
            Input::TransportError { transaction } => {
                let seen = Seen::TransportError(self.shard, transaction);
                self.seen.send(seen).ok();
            }
            Input::Ban(ban) => {
                self.seen.send(Seen::Ban(self.shard, ban.source)).ok();
            }
            Input::BackOff(back_off) => panic!("nobody guesses: {back_off:?}"),
            Input::MediaPort(port) => {
                self.ports_wanted = self.ports_wanted.saturating_sub(1);
                self.seen.send(Seen::Port(self.shard, port)).ok();
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        assert!(self.timeout.take().is_some_and(|due| due <= now));
        self.seen.send(Seen::Timeout(self.shard)).ok();
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        self.timeout
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn relay(
        &mut self,
        socket: MediaSocket,
        _from: SocketAddr,
        packet: &mut Datagram<'_>,
        _now: Instant,
    ) -> Option<Forward> {
        assert_ne!(packet.bytes(), b"PANIC");
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Forward {
            socket: MediaSocket(socket.0 ^ 1),
            to: board.media_to?,
        })
    }

    fn admits(&mut self, flow: &Flow, _now: Instant) -> bool {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.banned != Some(flow.remote.ip())
    }

    fn accepts(&self, source: IpAddr, _now: Instant) -> bool {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.banned != Some(source)
    }

    fn set_lag(&mut self, lag: std::time::Duration) {
        self.seen.send(Seen::Lag(self.shard, lag)).ok();
    }

    fn owner(&self, message: &[u8]) -> u8 {
        let text = String::from_utf8_lossy(message);
        let owner = text.split("X-Owner: ").nth(1).unwrap();
        owner.split("\r\n").next().unwrap().parse().unwrap()
    }

    fn media_ports_wanted(&self) -> usize {
        self.ports_wanted
    }

    fn shutdown(&mut self, _now: Instant) {}

    fn live_calls(&self, wanted: &CallsWanted, _now: Instant) -> Vec<LiveCall> {
        let facts = CallFacts {
            call_id: format!("of shard {}", self.shard),
            direction: Direction::Termination,
            kind: CallKind::Ordinary,
            connector: wanted.connectors.iter().copied().next().unwrap(),
            caller: String::new(),
            called: String::new(),
        };
        let call = LiveCall {
            facts,
            talking: Duration::ZERO,
            quality: CallQuality::default(),
        };
        vec![call; wanted.max.min(3)]
    }

    fn set_snapshot(&mut self, snapshot: Arc<Snapshot>, _now: Instant) {
        self.seen.send(Seen::Snapshot(self.shard, snapshot)).ok();
    }

    fn refused(&self) -> RefusalCounts {
        RefusalCounts::default()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            messages: self.messages,
            ..Gauges::default()
        }
    }
}

/// A running data plane and what its cores see.
struct Bench {
    running: Running,
    seen: Receiver<Seen>,
    gate: Arc<Mutex<()>>,
    board: Arc<Mutex<Board>>,
    material: Arc<ArcSwap<Material>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    events: Arc<ArrayQueue<Event>>,
}

const UDP: usize = 0;
const TCP: usize = 1;

impl Bench {
    fn start(shards: u8) -> Self {
        Self::try_start(&config(shards), 0).unwrap()
    }

    fn try_start(config: &Config, ports_wanted: usize) -> Result<Self, StartError> {
        Self::start_with(config, ports_wanted, Material::default())
    }

    fn start_with(
        config: &Config,
        ports_wanted: usize,
        material: Material,
    ) -> Result<Self, StartError> {
        let material = Arc::new(ArcSwap::from_pointee(material));
        let (sender, seen) = channel();
        let board = Arc::new(Mutex::new(Board::default()));
        let gate = Arc::new(Mutex::new(()));
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let events = Arc::new(ArrayQueue::new(1));
        let make_core = |shard| Scripted {
            shard,
            seen: sender.clone(),
            board: Arc::clone(&board),
            gate: Arc::clone(&gate),
            outputs: VecDeque::new(),
            timeout: None,
            ports_wanted,
            messages: 0,
        };
        let running = start(
            config,
            Arc::clone(&material),
            Arc::clone(&snapshot),
            make_core,
            Arc::clone(&events),
            Clock::start(),
        )?;
        Ok(Self {
            running,
            seen,
            board,
            gate,
            snapshot,
            material,
            events,
        })
    }

    fn address(&self, listener: usize) -> SocketAddr {
        self.running.local_addrs[listener]
    }

    /// The next thing seen that `choose` wants.
    fn see<T>(&self, mut choose: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            if let Some(found) = choose(self.seen.recv_timeout(PATIENCE).unwrap()) {
                return found;
            }
        }
    }

    fn see_message(&self) -> (u8, Flow, Bytes) {
        self.see(|seen| match seen {
            Seen::Message(shard, flow, bytes) => Some((shard, flow, bytes)),
            _ => None,
        })
    }

    fn see_transport_error(&self) -> (u8, TransactionId) {
        self.see(|seen| match seen {
            Seen::TransportError(shard, transaction) => Some((shard, transaction)),
            _ => None,
        })
    }

    fn set_flow(&self, flow: Flow) {
        self.board.lock().unwrap().flow = Some(flow);
    }

    fn udp_client(&self) -> UdpSocket {
        udp_client(self.address(UDP))
    }

    fn tcp_client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address(TCP)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// A connection that this shard holds, and its flow.
    fn tcp_client_on(&self, shard: u8) -> (TcpStream, Flow) {
        for _ in 0..64 {
            let mut client = self.tcp_client();
            echo_tcp(&mut client, &order("ECHO", 0));
            let (_, flow, _) = self.see_message();
            if flow.connection.unwrap().shard == shard {
                return (client, flow);
            }
        }
        panic!("64 connections and none on shard {shard}");
    }

    fn sum(&self, figure: impl Fn(&NetGauges) -> u64) -> u64 {
        self.running
            .gauges
            .iter()
            .map(|gauges| figure(&gauges.net()))
            .sum()
    }
}

fn config(shards: u8) -> Config {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let listener = |transport| SipListener {
        transport,
        bind: SocketAddr::new(localhost, 0),
        advertise: SocketAddr::new(localhost, 0),
        dscp: Dscp::CS3,
    };
    Config {
        node: Node {
            data_dir: PathBuf::new(),
            shards,
        },
        sip: Sip {
            domain: String::from("voiceconnector.localhost"),
            aliases: Vec::new(),
            listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
            timers: SipTimers::default(),
            udp_mtu: 0,
            transfers: false,
            registers: false,
            tls: SipTls::default(),
        },
        media: Media {
            addresses: Vec::new(),
            ports: 1_024..=65_535,
            ..Config::default_for_start().media
        },
        carriers: Vec::new(),
        number_pools: Vec::new(),
        api: Api {
            tls: None,
            bind: SocketAddr::new(localhost, 0),
            e911_addresses: None,
            users: Vec::new(),
            requests_per_second: 0,
            access_keys: Vec::new(),
        },
        store: Config::default_for_start().store,
        limits: Limits::default(),
        ..Config::default_for_start()
    }
}

fn order(order: &str, owner: u8) -> Vec<u8> {
    format!("{order} sip:a SIP/2.0\r\nX-Owner: {owner}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn udp_client(to: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind((to.ip(), 0)).unwrap();
    client.connect(to).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    let bytes = client.recv(&mut buffer).unwrap();
    buffer[..bytes].to_vec()
}

fn echo_udp(client: &UdpSocket, message: &[u8]) {
    client.send(message).unwrap();
    assert_eq!(receive(client), message);
}

fn receive_tcp(client: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut received = vec![0; bytes];
    client.read_exact(&mut received).unwrap();
    received
}

fn echo_tcp(client: &mut TcpStream, message: &[u8]) {
    client.write_all(message).unwrap();
    assert_eq!(receive_tcp(client, message.len()), message);
}
