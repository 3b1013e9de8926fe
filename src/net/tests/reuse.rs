//! Connections that peers opened, used for what is sent to them (RFC 5923), at one shard and at two.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use super::media::media_config;
use super::*;
use crate::config::{Carrier, CarrierTls, Host, Target};
use crate::control::limiter::NodeLimiter;
use crate::shard::snapshot::{
    NumberHolder, Origination, OriginationRoute, Termination, VoiceConnector,
};
use crate::shard::{Settings, Shard};

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
        termination: Some(Termination {
            disabled: false,
            cidr_allowed_list: vec![IpNetwork::from(IpAddr::V4(Ipv4Addr::LOCALHOST))],
            calling_regions: vec!["US".parse().unwrap()],
            cps_limit: 1_000,
            default_phone_number: None,
        }),
        ..VoiceConnector::new(VoiceConnectorId::from_random([0; 22]), "a.example")
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
            carrier: None,
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

/// Routing data with a carrier and a customer on loopback, whose calls go to this address over TCP.
fn with_route_to(address: SocketAddr) -> Snapshot {
    let mut snapshot = with_customer();
    let id = VoiceConnectorId::from_random([0; 22]);
    let mut connector = (*snapshot.connectors[&id]).clone();
    connector.origination = Some(Origination {
        disabled: false,
        routes: vec![OriginationRoute {
            target: Target {
                host: Host::Address(address.ip()),
                port: Some(address.port()),
                transport: Some(Transport::Tcp),
                tls: None,
            },
            priority: 1,
            weight: 1,
        }],
    });
    snapshot.put_connector(connector);
    let holder = NumberHolder::Connector(id);
    snapshot
        .numbers
        .insert("+12065550100".parse().unwrap(), holder);
    snapshot.own_hosts.insert("127.0.0.1".into());
    snapshot.set_carriers([Carrier {
        name: "example".to_owned(),
        sources: vec![IpNetwork::from(address.ip())],
        routes: Vec::new(),
        tls: CarrierTls::default(),
        policy: Arc::default(),
    }]);
    snapshot
}

/// The next whole message of a stream.
fn message(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    let length = text.split("Content-Length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
    text
}

#[test]
fn calls_reach_a_customer_over_the_connection_that_it_keeps() {
    for shards in [1, 2] {
        let (config, _taken) = media_config(shards);
        // It takes connections and reads nothing from them.
        let peer = Peer::new();
        let snapshot = Arc::new(ArcSwap::from_pointee(with_route_to(peer.address)));
        let make_core = |shard| {
            let settings = Settings::new(&config, shard, [3; 16], ([4; 16], [5; 32]));
            Shard::new(
                settings,
                snapshot.load_full(),
                Arc::new(NodeLimiter::default()),
                Instant::ORIGIN,
            )
        };
        let events = Arc::new(ArrayQueue::new(64));
        let snapshots = Arc::clone(&snapshot);
        let running = start(
            &config,
            Arc::default(),
            snapshots,
            make_core,
            events,
            Clock::start(),
        )
        .unwrap();
        let mut customer = TcpStream::connect(running.local_addrs[TCP]).unwrap();
        customer.set_read_timeout(Some(PATIENCE)).unwrap();
        let options = |number: u8| {
            format!(
                "OPTIONS sip:a.example SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK{number};alias\r\n\
                 From: <sip:a@b>;tag=1\r\nTo: <sip:a.example>\r\nCall-ID: {number}\r\n\
                 CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                peer.address
            )
        };
        // Enough for every shard to have one, and so to have heard of the alias.
        for number in 0..8 {
            customer.write_all(options(number).as_bytes()).unwrap();
            assert!(message(&mut customer).starts_with("SIP/2.0 200 "));
        }
        let carrier = udp_client(running.local_addrs[UDP]);
        let from = carrier.local_addr().unwrap();
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 6000 RTP/AVP 0\r\n";
        let invite = |number: u8| {
            format!(
                "INVITE sip:+12065550100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKc{number}\r\n\
                 From: <sip:+12025550123@{from}>;tag=1\r\nTo: <sip:+12065550100@127.0.0.1>\r\n\
                 Call-ID: call{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:{from}>\r\nMax-Forwards: 70\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                sdp.len()
            )
        };
        let shard = make_core(0);
        let owners = |requests: [String; 8]| {
            let owner = |request: &String| shard.owner(request.as_bytes());
            requests.iter().map(owner).collect::<BTreeSet<u8>>()
        };
        let all: BTreeSet<u8> = (0..shards).collect();
        let numbers = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(owners(numbers.map(options)), all);
        assert_eq!(owners(numbers.map(invite)), all);
        for number in numbers {
            carrier.send(invite(number).as_bytes()).unwrap();
            let heard = message(&mut customer);
            assert!(
                heard.starts_with("INVITE sip:+12065550100@127.0.0.1"),
                "{heard}"
            );
        }
        running.shutdown();
    }
}
