//! Workers on loopback sockets, with a core that does what the messages tell it to.
//!
//! The request's method is the order, `X-Owner` the owning shard. Nothing here waits for time to
//! pass: a test waits for a packet or for what a core saw, with a limit that only a failure reaches.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::{Api, Limits, Media, MediaAddress, Node, Sip, SipTimers, Store};
use crate::connector_id::VoiceConnectorId;
use crate::shard::io::{Flow, TransactionId};

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
}

/// Flows and routes that a test sets and cores use.
#[derive(Default)]
struct Board {
    /// Where the message of `RELAY` goes.
    flow: Option<Flow>,
    /// Where media goes: from the socket of the pair that it did not arrive on.
    media_to: Option<SocketAddr>,
}

struct Scripted {
    shard: u8,
    seen: Sender<Seen>,
    board: Arc<Mutex<Board>>,
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
        packet: &[u8],
        _now: Instant,
    ) -> Option<Forward> {
        assert_ne!(packet, b"PANIC");
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Forward {
            socket: MediaSocket(socket.0 ^ 1),
            to: board.media_to?,
        })
    }

    fn owner(&self, message: &[u8]) -> u8 {
        let text = String::from_utf8_lossy(message);
        let owner = text.split("X-Owner: ").nth(1).unwrap();
        owner.split("\r\n").next().unwrap().parse().unwrap()
    }

    fn media_ports_wanted(&self) -> bool {
        self.ports_wanted > 0
    }

    fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.seen.send(Seen::Snapshot(self.shard, snapshot)).ok();
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
    board: Arc<Mutex<Board>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    events: mpsc::Receiver<Event>,
}

const UDP: usize = 0;
const TCP: usize = 1;

impl Bench {
    fn start(shards: u8) -> Self {
        Self::try_start(&config(shards), 0).unwrap()
    }

    fn try_start(config: &Config, ports_wanted: usize) -> Result<Self, StartError> {
        let (sender, seen) = channel();
        let board = Arc::new(Mutex::new(Board::default()));
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let (event_sender, events) = mpsc::channel(1);
        let make_core = |shard| Scripted {
            shard,
            seen: sender.clone(),
            board: Arc::clone(&board),
            outputs: VecDeque::new(),
            timeout: None,
            ports_wanted,
            messages: 0,
        };
        let running = start(config, Arc::clone(&snapshot), make_core, event_sender)?;
        Ok(Self {
            running,
            seen,
            board,
            snapshot,
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
        },
        media: Media {
            addresses: Vec::new(),
            ports: 1_024..=65_535,
            timeout: Duration::from_secs(60),
        },
        carriers: Vec::new(),
        number_pools: Vec::new(),
        api: Api {
            bind: SocketAddr::new(localhost, 0),
            access_keys: Vec::new(),
        },
        store: Store { url: String::new() },
        limits: Limits::default(),
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

#[test]
fn udp_and_tcp_answer_on_ipv4_and_ipv6() {
    let mut config = config(1);
    if UdpSocket::bind("[::1]:0").is_ok() {
        for listener in &mut config.sip.listeners.clone() {
            listener.bind = "[::1]:0".parse().unwrap();
            config.sip.listeners.push(listener.clone());
        }
    }
    let bench = Bench::try_start(&config, 0).unwrap();
    for (index, listener) in config.sip.listeners.iter().enumerate() {
        let address = bench.address(index);
        let message = order("ECHO", 0);
        if listener.transport == Transport::Udp {
            echo_udp(&udp_client(address), &message);
        } else {
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            echo_tcp(&mut client, &message);
        }
        let (shard, flow, bytes) = bench.see_message();
        assert_eq!((shard, usize::from(flow.listener)), (0, index));
        assert_eq!(flow.transport, listener.transport);
        assert_eq!(bytes, message);
    }
}

#[test]
fn a_keep_alive_datagram_does_not_reach_the_core() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    client.send(b"\r\n\r\n").unwrap();
    client.send(b"\0\0").unwrap();
    echo_udp(&client, &order("ECHO", 0));
    let (_, _, bytes) = bench.see_message();
    assert_eq!(bytes, order("ECHO", 0));
}

#[test]
fn a_ping_on_a_stream_is_answered_and_rubbish_closes_it() {
    let bench = Bench::start(1);
    let mut client = bench.tcp_client();
    client.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(receive_tcp(&mut client, 2), b"\r\n");
    client.write_all(b"ECHO sip:a SIP/2.0\r\n\r\n").unwrap();
    assert!(matches!(client.read(&mut [0; 16]), Ok(0) | Err(_)));
    echo_tcp(&mut bench.tcp_client(), &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().framing_errors, 1);
}

#[test]
fn pipelined_and_split_messages_are_answered_in_order() {
    let bench = Bench::start(1);
    let mut client = bench.tcp_client();
    let stream = order("ECHO", 0).repeat(300);
    let (first, second) = stream.split_at(5_000);
    client.write_all(first).unwrap();
    client.write_all(second).unwrap();
    assert_eq!(receive_tcp(&mut client, stream.len()), stream);
}

#[test]
fn datagrams_are_handed_to_their_owner_both_ways() {
    let bench = Bench::start(2);
    let handed_over = |shard: usize| bench.running.gauges[shard].net().handed_over;
    for _ in 0..200 {
        let client = bench.udp_client();
        for owner in [0, 1] {
            echo_udp(&client, &order("ECHO", owner));
            assert_eq!(bench.see_message().0, owner);
        }
        if handed_over(0) > 0 && handed_over(1) > 0 {
            return;
        }
    }
    panic!("200 sources, and all messages came to one shard");
}

#[test]
fn an_owner_writes_on_connections_that_the_other_shard_holds() {
    let bench = Bench::start(2);
    for holder in [0, 1] {
        let (mut client, flow) = bench.tcp_client_on(holder);
        for owner in [0, 1] {
            echo_tcp(&mut client, &order("ECHO", owner));
            let (shard, again, _) = bench.see_message();
            assert_eq!((shard, again), (owner, flow));
        }
    }
}

#[test]
fn a_write_to_a_lost_connection_on_another_shard_reports_back() {
    let bench = Bench::start(2);
    let (client, flow) = bench.tcp_client_on(0);
    let mut witness = bench.tcp_client_on(0).0;
    drop(client);
    // Shard 0 notices the end no later than in the turn of this message, which came after it.
    echo_tcp(&mut witness, &order("ECHO", 0));
    bench.set_flow(flow);
    bench.udp_client().send(&order("RELAY", 1)).unwrap();
    assert_eq!(bench.see_transport_error(), (1, TRANSACTION));
}

#[test]
fn connections_are_opened_once_and_then_reused() {
    let bench = Bench::start(1);
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.set_flow(Flow {
        transport: Transport::Tcp,
        listener: 1,
        remote: peer.local_addr().unwrap(),
        connection: None,
    });
    let client = bench.udp_client();
    let message = order("RELAY", 0);
    client.send(&message).unwrap();
    let (mut stream, _) = peer.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(receive_tcp(&mut stream, message.len()), message);
    client.send(&message).unwrap();
    assert_eq!(receive_tcp(&mut stream, message.len()), message);
    // What the peer sends on it is heard, and the answer stays on it.
    echo_tcp(&mut stream, &order("ECHO", 0));
}

#[test]
fn a_refused_connection_and_an_unserved_transport_are_transport_errors() {
    let bench = Bench::start(1);
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (transport, listener) in [
        (Transport::Tcp, 1),
        (Transport::Tls, 1),
        (Transport::Tcp, 0),
        (Transport::Udp, 1),
        (Transport::Udp, 9),
    ] {
        bench.set_flow(Flow {
            transport,
            listener,
            remote: closed,
            connection: None,
        });
        bench.udp_client().send(&order("RELAY", 0)).unwrap();
        assert_eq!(bench.see_transport_error(), (0, TRANSACTION), "{transport}");
    }
}

#[test]
fn a_slow_reader_loses_its_connection_and_nobody_else_notices() {
    let bench = Bench::start(1);
    let mut slow = bench.tcp_client();
    let mut other = bench.tcp_client();
    echo_tcp(&mut other, &order("ECHO", 0));
    slow.write_all(&order("FLOOD", 0)).unwrap();
    assert_eq!(bench.see_transport_error(), (0, TRANSACTION));
    echo_tcp(&mut other, &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().slow_readers, 1);
    let mut rest = Vec::new();
    let end = slow.read_to_end(&mut rest);
    assert!(end.is_err() || rest.len() < 60_000_000);
}

#[test]
fn one_connection_too_many_is_closed() {
    let mut config = config(1);
    config.limits.connections_max = 1;
    let bench = Bench::try_start(&config, 0).unwrap();
    let mut first = bench.tcp_client();
    echo_tcp(&mut first, &order("ECHO", 0));
    let mut second = bench.tcp_client();
    assert!(matches!(second.read(&mut [0; 16]), Ok(0) | Err(_)));
    echo_tcp(&mut first, &order("ECHO", 0));
}

#[test]
fn a_panic_in_the_core_ends_one_message() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    client.send(&order("PANIC", 0)).unwrap();
    echo_udp(&client, &order("ECHO", 0));
    echo_udp(&client, &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().panics, 1);
    assert!(bench.running.is_whole());
}

#[test]
fn timers_fire_without_traffic() {
    let bench = Bench::start(1);
    bench.udp_client().send(&order("TIMER", 0)).unwrap();
    let shard = bench.see(|seen| match seen {
        Seen::Timeout(shard) => Some(shard),
        _ => None,
    });
    assert_eq!(shard, 0);
}

#[test]
fn a_published_snapshot_reaches_every_shard_at_once() {
    let bench = Bench::start(2);
    let mut published = Snapshot::default();
    published.own_hosts.insert(Arc::from("new.example"));
    bench.snapshot.store(Arc::new(published));
    bench.running.wake();
    let mut shards = [false; 2];
    while shards != [true; 2] {
        let shard = bench.see(|seen| match seen {
            Seen::Snapshot(shard, snapshot) if !snapshot.own_hosts.is_empty() => Some(shard),
            _ => None,
        });
        shards[usize::from(shard)] = true;
    }
}

#[test]
fn events_reach_the_control_plane_and_a_full_channel_holds_nobody_up() {
    let mut bench = Bench::start(1);
    let client = bench.udp_client();
    for _ in 0..3 {
        echo_udp(&client, &order("EVENT", 0));
    }
    assert!(bench.events.try_recv().is_ok());
    assert!(bench.events.try_recv().is_err(), "the channel holds one");
    echo_udp(&client, &order("ECHO", 0));
    assert_eq!(bench.sum(|net| net.event_drops), 2);
}

#[test]
fn shutdown_ends_the_threads_and_frees_the_ports() {
    let bench = Bench::start(2);
    let (udp, tcp) = (bench.address(UDP), bench.address(TCP));
    let mut client = bench.tcp_client_on(1).0;
    bench.running.shutdown();
    assert!(matches!(client.read(&mut [0; 16]), Ok(0) | Err(_)));
    assert!(UdpSocket::bind(udp).is_ok());
    assert!(TcpStream::connect(tcp).is_err());
}

#[test]
fn an_address_in_use_is_named_with_its_remedy() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = config(1);
    config.sip.listeners[0].bind = holder.local_addr().unwrap();
    let error = Bench::try_start(&config, 0).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, StartError::Listener { listener: 0, .. }));
    assert!(
        text.contains(&holder.local_addr().unwrap().to_string()),
        "{text}"
    );
    assert!(text.contains("another program"), "{text}");

    config.sip.listeners[0].transport = Transport::Tls;
    let error = Bench::try_start(&config, 0).err().unwrap();
    assert!(matches!(
        error,
        StartError::TransportNotServed { listener: 0, .. }
    ));
}

/// A config whose media range holds some free ports, and one that is taken by the returned socket.
fn media_config(shards: u8) -> (Config, UdpSocket) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut config = config(shards);
    config.media.addresses = vec![MediaAddress {
        bind: address,
        advertise: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5)),
    }];
    let taken = loop {
        let taken = UdpSocket::bind((address, 0)).unwrap();
        if taken.local_addr().unwrap().port() < 65_000 {
            break taken;
        }
    };
    let port = taken.local_addr().unwrap().port();
    config.media.ports = port..=port + 399;
    (config, taken)
}

#[test]
fn packets_are_relayed_between_the_sockets_of_a_pair() {
    let (config, _taken) = media_config(1);
    let bench = Bench::try_start(&config, 0).unwrap();
    let port = bench.see(|seen| match seen {
        Seen::Port(_, port) => Some(port),
        _ => None,
    });
    assert_eq!(port.advertise.ip(), config.media.addresses[0].advertise);
    assert_eq!(port.advertise.port() % 2, 0);
    assert_eq!(port.socket.0 % 2, 0);

    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    bench.board.lock().unwrap().media_to = Some(receiver.local_addr().unwrap());
    let rtp = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.advertise.port());
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"PANIC", rtp).unwrap();
    for number in 0..200u8 {
        sender.send_to(&[number; 172], rtp).unwrap();
    }
    let mut buffer = [0; 2_048];
    for number in 0..200u8 {
        let (bytes, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..bytes], &[number; 172]);
        assert_eq!(from, SocketAddr::new(rtp.ip(), rtp.port() + 1));
    }
}

#[test]
fn each_shard_binds_its_own_ports_as_they_are_wanted_and_skips_taken_ones() {
    const WANTED: usize = 40;
    let (config, taken) = media_config(2);
    let taken_pair = taken.local_addr().unwrap().port() & !1;
    let bench = Bench::try_start(&config, WANTED).unwrap();
    let mut ports = [Vec::new(), Vec::new()];
    while ports.iter().any(|ports| ports.len() < WANTED) {
        // Any turn is an occasion to bind more.
        bench.running.wake();
        let (shard, port) = bench.see(|seen| match seen {
            Seen::Port(shard, port) => Some((usize::from(shard), port)),
            _ => None,
        });
        assert_eq!(
            port.socket.0 as usize,
            2 * ports[shard].len(),
            "dense numbers"
        );
        ports[shard].push(port.advertise.port());
    }
    assert!(
        ports
            .concat()
            .iter()
            .all(|port| config.media.ports.contains(port))
    );
    assert!(!ports.concat().contains(&taken_pair));
    assert!(ports[0].iter().max() < ports[1].iter().min());
}

#[test]
fn a_media_range_without_a_free_pair_stops_the_start() {
    let (mut config, taken) = media_config(1);
    let pair = taken.local_addr().unwrap().port() & !1;
    config.media.ports = pair..=pair + 1;
    let error = Bench::try_start(&config, 0).err().unwrap();
    assert!(
        matches!(error, StartError::Media { source: None, .. }),
        "{error}"
    );
}
