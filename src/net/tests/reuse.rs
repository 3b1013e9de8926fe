//! Connections that peers opened, used for what is sent to them (RFC 5923), at one shard and at two.

use ipnetwork::IpNetwork;

use super::*;
use crate::shard::snapshot::{Termination, VoiceConnector};

/// A whole request that is an order, its topmost Via with these.
pub(super) fn request(order: &str, owner: u8, transport: Transport, sent_by: &str) -> Vec<u8> {
    let transport = transport.via_token();
    format!(
        "{order} sip:a SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};branch=z9hG4bK1\r\n\
         From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: 1\r\nCSeq: 1 {order}\r\n\
         X-Owner: {owner}\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// Routing data with a customer on loopback.
pub(super) fn with_customer() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.put_connector(VoiceConnector {
        id: VoiceConnectorId::from_random([0; 22]),
        outbound_host_name: "a.example".into(),
        require_encryption: false,
        termination: Some(Termination {
            disabled: false,
            cidr_allowed_list: vec![IpNetwork::from(IpAddr::V4(Ipv4Addr::LOCALHOST))],
            calling_regions: Vec::new(),
            cps_limit: 1,
            default_phone_number: None,
        }),
        origination: None,
        credentials: Vec::new(),
    });
    snapshot
}

/// A peer that listens, and what is sent to it.
struct Peer {
    listener: TcpListener,
    address: SocketAddr,
}

impl Peer {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn flow(&self, connection: Option<ConnectionId>) -> Flow {
        Flow {
            transport: Transport::Tcp,
            listener: 1,
            remote: self.address,
            connection,
            tls: None,
        }
    }

    /// A connection of the peer's that this shard holds, with an alias, and its flow; every shard has heard of
    /// it.
    fn connect(&self, bench: &Bench, shard: u8, shards: u8, sent_by: &str) -> (TcpStream, Flow) {
        for _ in 0..64 {
            let mut client = bench.tcp_client();
            let mut flow = None;
            for owner in 0..shards {
                echo_tcp(
                    &mut client,
                    &request("ECHO", owner, Transport::Tcp, sent_by),
                );
                flow = Some(bench.see_message().1);
            }
            let flow = flow.unwrap();
            if flow.connection.unwrap().shard == shard {
                return (client, flow);
            }
        }
        panic!("64 connections and none on shard {shard}");
    }

    fn alias(&self) -> String {
        format!("{};alias", self.address)
    }
}

/// Has this shard send to a flow.
fn relay(bench: &Bench, owner: u8, flow: Flow) -> Vec<u8> {
    bench.set_flow(flow);
    let message = order("RELAY", owner);
    bench.udp_client().send(&message).unwrap();
    bench.see_message();
    message
}

/// The message comes over a new connection to the peer.
fn opens(peer: &Peer, message: &[u8]) {
    let (mut stream, _) = peer.listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(receive_tcp(&mut stream, message.len()), message);
}

fn bench(shards: u8, snapshot: Snapshot) -> Bench {
    let bench = Bench::start(shards);
    bench.snapshot.store(Arc::new(snapshot));
    bench.running.handle().wake();
    for _ in 0..shards {
        bench.see(|seen| match seen {
            Seen::Snapshot(_, snapshot) => (!snapshot.connectors.is_empty()).then_some(()),
            _ => None,
        });
    }
    bench
}

#[test]
fn a_connection_that_a_known_peer_opened_with_alias_carries_requests_to_it() {
    for shards in [1, 2] {
        let bench = bench(shards, with_customer());
        for holder in 0..shards {
            let peer = Peer::new();
            let (mut client, _) = peer.connect(&bench, holder, shards, &peer.alias());
            for owner in 0..shards {
                let message = relay(&bench, owner, peer.flow(None));
                assert_eq!(receive_tcp(&mut client, message.len()), message);
            }
            // When it is closed, and every shard knows, the peer is connected to.
            drop(client);
            let other = Peer::new();
            other.connect(&bench, holder, shards, &other.address.to_string());
            for owner in 0..shards {
                let message = relay(&bench, owner, peer.flow(None));
                opens(&peer, &message);
            }
        }
    }
}

#[test]
fn neither_strangers_nor_peers_behind_translators_are_believed_without_a_certificate() {
    let stranger = Bench::start(1);
    let known = bench(1, with_customer());
    for (bench, host, parameter) in [
        (&stranger, "127.0.0.1", ";alias"),
        (&known, "10.0.0.1", ";alias"),
        (&known, "pbx.example", ";alias"),
        (&known, "127.0.0.1", ""),
    ] {
        let peer = Peer::new();
        let sent_by = format!("{host}:{}{parameter}", peer.address.port());
        let _client = peer.connect(bench, 0, 1, &sent_by);
        let message = relay(bench, 0, peer.flow(None));
        opens(&peer, &message);
    }
}

#[test]
fn what_was_meant_for_a_closed_connection_goes_on_the_one_that_took_its_place() {
    for (shards, was, is) in [(1, 0, 0), (2, 0, 0), (2, 0, 1), (2, 1, 0)] {
        let bench = bench(shards, with_customer());
        let peer = Peer::new();
        let (first, old) = peer.connect(&bench, was, shards, &peer.alias());
        drop(first);
        let (mut second, _) = peer.connect(&bench, is, shards, &peer.alias());
        // The shard that held the first has noticed its end before it takes this.
        let witness = Peer::new();
        witness.connect(&bench, was, shards, &witness.alias());
        for owner in 0..shards {
            let message = relay(&bench, owner, peer.flow(old.connection));
            assert_eq!(receive_tcp(&mut second, message.len()), message);
        }
    }
}
