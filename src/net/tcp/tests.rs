//! The table of connections in virtual time.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use super::patience::{CONNECT_TIMEOUT, TRANSACTION_TIMEOUT};
use super::*;
use crate::config::{Host, SipTimers, TlsPeer};
use crate::shard::io::TransactionId;

const START: Instant = Instant::from_micros(1_000_000);
const ORIGIN: Origin = Origin {
    shard: 0,
    transaction: TransactionId {
        slot: 3,
        generation: 0,
    },
};

const MESSAGE: &[u8] = b"BYE sip:a SIP/2.0\r\nl: 0\r\n\r\n";

/// A table, and a peer that listens but is never waited for.
struct Bench {
    poll: mio::Poll,
    peer: std::net::TcpListener,
    connections: Connections,
    counts: NetGauges,
}

impl Bench {
    fn new() -> Self {
        Self::of(Transport::Tcp)
    }

    /// Whose one listener is of this transport.
    fn of(transport: Transport) -> Self {
        Self::with(transport, Limits::default())
    }

    fn with(transport: Transport, limits: Limits) -> Self {
        let localhost = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let mut config = Config {
            limits,
            ..Config::default_for_start()
        };
        config
            .sip
            .listeners
            .retain(|listener| listener.transport == transport);
        Self {
            poll: mio::Poll::new().unwrap(),
            peer: std::net::TcpListener::bind((localhost, 0)).unwrap(),
            connections: Connections::new(0, &config, 1, Arc::default()),
            counts: NetGauges::default(),
        }
    }

    fn send(&mut self, now: Instant) {
        let flow = Flow {
            transport: Transport::Tcp,
            listener: 0,
            remote: self.peer.local_addr().unwrap(),
            connection: None,
            tls: None,
            carrier: None,
        };
        self.connections.send(
            self.poll.registry(),
            &TlsPeers::default(),
            flow,
            (Bytes::from_static(b"BYE"), Some(ORIGIN)),
            now,
            &mut self.counts,
        );
    }

    /// An accepted connection, whose client end is returned.
    fn accept(&mut self) -> std::net::TcpStream {
        self.accept_from(Rank::Stranger)
    }

    fn accept_from(&mut self, rank: Rank) -> std::net::TcpStream {
        let client = std::net::TcpStream::connect(self.peer.local_addr().unwrap()).unwrap();
        let (accepted, remote) = self.peer.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        self.connections.accepted(
            self.poll.registry(),
            0,
            (TcpStream::from_std(accepted), remote),
            rank,
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

    /// Serves slot 0 until a message arrived; returns its connection.
    fn read_message(&mut self, now: Instant) -> Option<ConnectionId> {
        self.serve_until(now, |bench| !bench.connections.arrived.is_empty());
        self.connections.arrived.pop().unwrap().0.connection
    }

    /// Serves slot 0 until then.
    fn serve_until(&mut self, now: Instant, is_done: impl Fn(&Self) -> bool) {
        let mut events = mio::Events::with_capacity(8);
        while !is_done(self) {
            self.poll
                .poll(&mut events, Some(Duration::from_secs(20)))
                .unwrap();
            assert!(!events.is_empty(), "nothing came");
            let mut buffer = [0; 1_024];
            self.connections
                .service(self.poll.registry(), 0, &mut buffer, now, &mut self.counts);
        }
    }

    /// A connection of this rank on which a message was listened to at `START`.
    fn accept_and_listen(&mut self, rank: Rank) -> std::net::TcpStream {
        let mut client = self.accept_from(rank);
        client.write_all(MESSAGE).unwrap();
        let connection = self.read_message(START);
        self.connections.listen(connection, || rank, START);
        client
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
    assert_eq!(bench.expire(START + TRANSACTION_TIMEOUT), 0);
}

#[test]
fn a_connection_is_closed_when_it_was_idle_long_enough() {
    let mut bench = Bench::new();
    let mut client = bench.accept();
    client.write_all(MESSAGE).unwrap();
    let spoke = START + Duration::from_secs(10);
    let connection = bench.read_message(spoke);
    bench
        .connections
        .listen(connection, || Rank::Stranger, spoke);
    let end = spoke + Limits::default().connection_idle;
    assert_eq!(bench.expire(START + TRANSACTION_TIMEOUT), 1);
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
    bench.expire(START + TRANSACTION_TIMEOUT);
    let _second = bench.accept();
    assert_eq!(bench.connections.slot_of(old), None);
    assert_eq!(bench.connections.slot_of(id(&bench)), Some(0));
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up() {
    let mut bench = Bench::of(Transport::Tls);
    let _silent = bench.accept();
    let timeout = SipTls::default().handshake_timeout;
    assert_eq!(bench.connections.next_deadline(), Some(START + timeout));
    assert_eq!(
        bench.expire(START + (timeout - Duration::from_millis(1))),
        1
    );
    assert_eq!(bench.expire(START + timeout), 0);
    assert_eq!(bench.counts.tls_handshakes_failed, 1);
}

#[test]
fn one_turn_works_at_its_share_of_handshakes_and_the_rest_waits_in_order() {
    let mut bench = Bench::of(Transport::Tls);
    let clients: Vec<_> = (0..10).map(|_| bench.accept()).collect();
    for mut client in &clients {
        client.write_all(b"no hello at all").unwrap();
    }
    for slot in 0..10 {
        let mut buffer = [0; 1_024];
        bench.connections.service(
            bench.poll.registry(),
            slot,
            &mut buffer,
            START,
            &mut bench.counts,
        );
    }
    // There is no certificate, so that a connection's turn is its end.
    let mut left = Vec::new();
    while bench.connections.has_handshakes() {
        bench.connections.handshakes(
            bench.poll.registry(),
            &mut [0; 1_024],
            START,
            &mut bench.counts,
        );
        left.push(bench.connections.slots.len());
    }
    assert_eq!(left, [6, 2, 0]);
}

#[test]
fn neither_a_ping_nor_a_message_that_nobody_listens_to_earns_time() {
    let mut bench = Bench::new();
    let mut client = bench.accept();
    client.write_all(b"\r\n\r\n").unwrap();
    client.write_all(MESSAGE).unwrap();
    bench.read_message(START + Duration::from_secs(31));
    assert_eq!(bench.expire(START + TRANSACTION_TIMEOUT), 0);
}

#[test]
fn one_source_and_all_strangers_leave_room_for_others() {
    let mut bench = Bench::with(
        Transport::Tcp,
        Limits {
            connections_max: 16,
            source_connections_max: 4,
            known_source_connections_max: 13,
            ..Limits::default()
        },
    );
    let mut clients: Vec<_> = (0..6).map(|_| bench.accept()).collect();
    assert_eq!(bench.connections.slots.len(), 4, "of one source");
    clients.extend((0..12).map(|_| bench.accept_from(Rank::Known)));
    assert_eq!(bench.connections.slots.len(), 13, "of a known one");
    // Whatever strangers hold, ours are opened.
    bench.send(START);
    assert_eq!(bench.connections.slots.len(), 14);
    assert_eq!(bench.counts.connections_refused, 5);
    // A place that is given back is there again.
    bench.expire(START + TRANSACTION_TIMEOUT);
    let _again = bench.accept();
    assert_eq!(bench.connections.slots.len(), 1);
}

#[test]
fn the_table_keeps_shares_and_the_first_refusal_of_many_is_news() {
    let limits = Limits {
        connections_max: 16,
        ..Limits::default()
    };
    let mut admission = Admission::new(&limits);
    let source: IpAddr = "203.0.113.9".parse().unwrap();
    let most = |rank, source| {
        let admission = Admission::new(&limits);
        (0..).find(|held| admission.check(rank, source, *held).is_err())
    };
    assert_eq!(most(Rank::Stranger, Some(source)), Some(12));
    assert_eq!(most(Rank::Known, Some(source)), Some(14));
    assert_eq!(most(Rank::Ours, None), Some(16));
    let refused = admission
        .check(Rank::Stranger, Some(source), 12)
        .unwrap_err();
    assert!(admission.is_news(Rank::Stranger, refused, START));
    admission.shrunk_to(11);
    assert!(!admission.is_news(Rank::Stranger, refused, START));
    assert!(admission.is_news(Rank::Ours, refused, START));
    admission.shrunk_to(10);
    assert!(admission.is_news(Rank::Stranger, refused, START));
    // All addresses of an IPv6 /64 are one source.
    for host in 0..32 {
        admission.take(format!("2001:db8::{host:x}").parse().unwrap());
    }
    let neighbour = Some("2001:db8::ffff".parse().unwrap());
    let refused = admission.check(Rank::Stranger, neighbour, 0).unwrap_err();
    assert!(admission.is_news(Rank::Stranger, refused, START));
    assert!(!admission.is_news(Rank::Stranger, refused, START));
    let stranger = Some("2001:db8:0:1::1".parse().unwrap());
    assert_eq!(admission.check(Rank::Stranger, stranger, 0), Ok(()));
    assert_eq!(admission.check(Rank::Known, neighbour, 0), Ok(()));
}

#[test]
fn a_customers_connection_stays_however_long_a_call_is_silent() {
    let mut bench = Bench::with(
        Transport::Tcp,
        Limits {
            known_source_connections_max: 1,
            ..Limits::default()
        },
    );
    let _first = bench.accept_and_listen(Rank::Known);
    let day = START + Duration::from_secs(86_400);
    assert_eq!(bench.expire(day), 1);
    assert_eq!(bench.connections.next_deadline(), None);
    // Until the room is needed.
    let _second = bench.accept_from(Rank::Known);
    assert_eq!(bench.counts.connections_refused, 1, "not idle at START");
    let registry = bench.poll.registry();
    let source = Some(bench.peer.local_addr().unwrap().ip());
    assert!(
        bench
            .connections
            .has_room(registry, Rank::Known, source, day, &mut bench.counts)
    );
    assert_eq!(bench.connections.slots.len(), 0);
}

#[test]
fn a_peer_that_answers_nothing_gets_the_next_request_on_a_new_connection() {
    let mut bench = Bench::new();
    bench.send(START);
    let (mut mute, _) = bench.peer.accept().unwrap();
    let up = START + Duration::from_secs(1);
    bench.serve_until(up, |bench| {
        bench.connections.slots[0].state == State::Established
    });
    let nearly = up + Duration::from_millis(4_999);
    let silent = up + SipTimers::default().route_timeout;
    assert_eq!(
        bench.connections.next_deadline(),
        Some(START + CONNECT_TIMEOUT)
    );
    bench.expire(nearly);
    bench.send(nearly);
    assert_eq!(bench.connections.slots.len(), 1);
    bench.expire(silent);
    // The answer may still come, and then it serves again.
    mute.write_all(b"SIP/2.0 100 Trying\r\nl: 0\r\n\r\n")
        .unwrap();
    bench.read_message(silent);
    bench.send(silent);
    assert_eq!(bench.connections.slots.len(), 1);
    let silent = silent + SipTimers::default().route_timeout;
    bench.expire(silent);
    bench.send(silent);
    assert_eq!(bench.connections.slots.len(), 2);
    // Nothing was reported: what is under way may be answered. Then it is closed.
    assert_eq!(bench.connections.unsent, []);
    assert!(bench.connections.slots.contains(0));
    bench.expire(silent + TRANSACTION_TIMEOUT);
    assert!(!bench.connections.slots.contains(0));
}

#[test]
fn an_acknowledged_failure_and_an_answer_want_nothing() {
    let wants = |text: &'static [u8]| {
        wants_answer(&Outgoing {
            bytes: Bytes::from_static(text),
            origin: Some(ORIGIN),
        })
    };
    assert!(wants(b"INVITE sip:a SIP/2.0\r\n"));
    assert!(!wants(b"ACK sip:a SIP/2.0\r\n"));
    assert!(!wants(b"SIP/2.0 200 OK\r\n"));
}

#[test]
fn handshakes_of_ours_are_first_and_those_of_strangers_last() {
    let mut queue = Queue::default();
    let ranks = [
        Rank::Stranger,
        Rank::Known,
        Rank::Ours,
        Rank::Stranger,
        Rank::Ours,
    ];
    for (slot, rank) in ranks.into_iter().enumerate() {
        queue.push(rank, (slot, 0));
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(order, [2, 4, 1, 0, 3].map(|slot| (slot, 0)));
}

#[test]
fn a_peer_that_acknowledges_nothing_is_dropped_by_the_kernel() {
    let mut bench = Bench::new();
    let _client = bench.accept();
    let socket = socket2::SockRef::from(&bench.connections.slots[0].stream);
    let timeout = socket.tcp_user_timeout().unwrap();
    assert_eq!(timeout, Some(Duration::from_secs(10)));
    assert_eq!(
        socket.tcp_keepalive_time().unwrap(),
        Duration::from_secs(30)
    );
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged, by a test that does this.
fn logged(run: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(lines, run);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_failure_of_tls_is_logged_with_whom_we_expected_and_a_remedy() {
    let text = logged(|| {
        let mut bench = Bench::of(Transport::Tls);
        let policy = TlsPolicy {
            roots: None,
            client: None,
        };
        let material = Material::load(&SipTls::default(), std::slice::from_ref(&policy)).unwrap();
        bench.connections.material.store(Arc::new(material));
        let mut peers = TlsPeers::default();
        let id = peers.intern(TlsPeer {
            server_name: Host::from("carrier.example"),
            policy,
        });
        let flow = Flow {
            transport: Transport::Tls,
            listener: 0,
            remote: bench.peer.local_addr().unwrap(),
            connection: None,
            tls: Some(id),
            carrier: None,
        };
        bench.connections.send(
            bench.poll.registry(),
            &peers,
            flow,
            (Bytes::from_static(MESSAGE), None),
            START,
            &mut bench.counts,
        );
        let (mut peer, _) = bench.peer.accept().unwrap();
        peer.write_all(b"SIP/2.0 400 This is no TLS\r\n\r\n")
            .unwrap();
        let mut events = mio::Events::with_capacity(8);
        while !bench.connections.slots.is_empty() {
            let patience = match bench.connections.has_handshakes() {
                true => Duration::ZERO,
                false => Duration::from_secs(20),
            };
            bench.poll.poll(&mut events, Some(patience)).unwrap();
            let (registry, buffer) = (bench.poll.registry(), &mut [0; 1_024]);
            let counts = &mut bench.counts;
            bench
                .connections
                .service(registry, 0, buffer, START, counts);
            bench
                .connections
                .handshakes(registry, buffer, START, counts);
        }
    });
    assert!(text.contains("expected=\"carrier.example\""), "{text}");
    assert!(text.contains("correct the port"), "{text}");
}

#[test]
fn a_full_table_is_logged_once() {
    let text = logged(|| {
        let mut bench = Bench::with(
            Transport::Tcp,
            Limits {
                connections_max: 4,
                ..Limits::default()
            },
        );
        let _clients: Vec<_> = (0..9).map(|_| bench.accept()).collect();
        assert_eq!(bench.connections.slots.len(), 3);
    });
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
}
