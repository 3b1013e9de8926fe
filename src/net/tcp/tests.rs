//! The table of connections in virtual time.

use std::io::Write;

use super::*;
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
        Self::of(Transport::Tcp)
    }

    /// Whose one listener is of this transport.
    fn of(transport: Transport) -> Self {
        let localhost = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let mut config = Config::default_for_start();
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
            self.connections
                .service(self.poll.registry(), 0, &mut buffer, now, &mut self.counts);
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
    let end = spoke + Limits::default().connection_idle;
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
