//! A whole B2BUA call through the core without sockets: INVITE to BYE, media anchored, both legs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use trunkline::config::{Carrier, CarrierRoute, CarrierTls, Config, Host, Target, Transport};
use trunkline::connector_id::VoiceConnectorId;
use trunkline::control::limiter::NodeLimiter;
use trunkline::instant::Instant;
use trunkline::media::{MediaPort, MediaSocket};
use trunkline::numbering::Prefix;
use trunkline::shard::io::{Flow, Input, Output};
use trunkline::shard::snapshot::{
    NumberHolder, Origination, OriginationRoute, Snapshot, VoiceConnector,
};
use trunkline::shard::{Settings, Shard};
use trunkline::sip::header::HeaderName;
use trunkline::sip::message::{Fields, Message};
use trunkline::sip::writer::Writer;

const CARRIER: &str = "192.0.2.10:5060";
const PBX: &str = "192.0.2.20:5060";
const SDP: &[u8] = b"v=0\r\no=user1 53655765 2353687637 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

/// A gateway, a carrier that calls, a PBX that answers.
struct World {
    shard: Shard,
    now: Instant,
    calls: u64,
}

impl World {
    fn new() -> Self {
        let config = Config::default_for_start();
        let settings = Settings::new(&config, 0, [1; 16], ([2; 16], [3; 32]));
        let shard = Shard::new(
            settings,
            Arc::new(snapshot()),
            Arc::new(NodeLimiter::default()),
            Instant::ORIGIN,
        );
        let mut world = Self {
            shard,
            now: Instant::ORIGIN,
            calls: 0,
        };
        for pair in 0..2_000u32 {
            let port = 20_000 + 2 * pair as u16;
            let advertise = format!("127.0.0.1:{port}").parse().expect("an address");
            world.input(Input::MediaPort(MediaPort {
                socket: MediaSocket(2 * pair),
                advertise,
            }));
        }
        world
    }

    fn input(&mut self, input: Input) -> Vec<Message> {
        self.shard.handle(input, self.now);
        let mut sent = Vec::new();
        while let Some(output) = self.shard.poll_output() {
            if let Output::Send { bytes, .. } = output {
                sent.push(
                    Message::parse(bytes, &Default::default()).expect("what the core sends parses"),
                );
            }
        }
        sent
    }

    fn message(&mut self, from: &str, bytes: Vec<u8>) -> Vec<Message> {
        let flow = Flow {
            transport: Transport::Udp,
            listener: 0,
            remote: from.parse().expect("an address"),
            connection: None,
            tls: None,
            carrier: None,
        };
        self.input(Input::Message {
            flow,
            bytes: Bytes::from(bytes),
        })
    }

    /// One call; returns how many messages the gateway sent.
    fn call(&mut self) -> usize {
        self.calls += 1;
        // Ports rest and transactions end: a call every 10 ms.
        self.now += Duration::from_millis(10);
        self.shard.handle_timeout(self.now);
        while self.shard.poll_output().is_some() {}
        let mut sent = 0;

        let invite = self.request("INVITE", 1, "sip:+12065550100@127.0.0.1:5060", None, SDP);
        let answers = self.message(CARRIER, invite);
        sent += answers.len();
        let to_pbx = answers
            .iter()
            .find_map(as_request)
            .expect("an INVITE for the PBX")
            .clone();
        let ringing = response(&to_pbx, 180, &[]);
        sent += self.message(PBX, ringing).len();
        let ok = response(&to_pbx, 200, SDP);
        let answered = self.message(PBX, ok);
        sent += answered.len();
        let to_carrier = answered
            .iter()
            .find_map(as_response)
            .expect("a 200 for the carrier")
            .clone();
        let target = to_carrier
            .contact()
            .expect("a Contact")
            .expect("a Contact")
            .uri
            .to_owned();
        let to = to_carrier.header(HeaderName::To).expect("a To").to_owned();
        let ack = self.request("ACK", 1, &target, Some(&to), &[]);
        sent += self.message(CARRIER, ack).len();
        let bye = self.request("BYE", 2, &target, Some(&to), &[]);
        let ended = self.message(CARRIER, bye);
        sent += ended.len();
        let bye_to_pbx = ended
            .iter()
            .find_map(as_request)
            .expect("a BYE for the PBX")
            .clone();
        sent += self.message(PBX, response(&bye_to_pbx, 200, &[])).len();
        sent
    }

    fn request(
        &self,
        method: &str,
        cseq: u32,
        uri: &str,
        to: Option<&str>,
        body: &[u8],
    ) -> Vec<u8> {
        let call = self.calls;
        let mut out = Vec::with_capacity(1_024);
        let mut writer = Writer::request(&mut out, method, uri);
        let branch = format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK{call}-{method}");
        writer
            .field(HeaderName::Via, &[&branch])
            .number(HeaderName::MaxForwards, 70);
        writer.field(
            HeaderName::From,
            &["<sip:+14015550101@192.0.2.10>;tag=", &call.to_string()],
        );
        writer.field(
            HeaderName::To,
            &[to.unwrap_or("<sip:+12065550100@127.0.0.1>")],
        );
        writer.field(HeaderName::CallId, &[&call.to_string(), "@192.0.2.10"]);
        writer.field(HeaderName::CSeq, &[&cseq.to_string(), " ", method]);
        writer.field(HeaderName::Contact, &["<sip:", CARRIER, ">"]);
        match body.is_empty() {
            true => writer.end(),
            false => writer.body("application/sdp", body),
        }
        out
    }
}

fn as_request(message: &Message) -> Option<&Fields> {
    match message {
        Message::Request(request) if request.method_token() != "ACK" => Some(request),
        Message::Request(_) | Message::Response(_) => None,
    }
}

fn as_response(message: &Message) -> Option<&Fields> {
    match message {
        Message::Response(response) => Some(response),
        Message::Request(_) => None,
    }
}

fn response(request: &Fields, status: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    let source = PBX.parse().expect("an address");
    let mut writer = trunkline::sip::response::write_response(
        &mut out,
        request,
        source,
        status,
        "OK",
        Some("pbx"),
    );
    writer.field(HeaderName::Contact, &["<sip:", PBX, ">"]);
    match body.is_empty() {
        true => writer.end(),
        false => writer.body("application/sdp", body),
    }
    out
}

fn snapshot() -> Snapshot {
    let id = VoiceConnectorId::from_random([5; VoiceConnectorId::LENGTH]);
    let target = |text: &str| {
        let address: std::net::SocketAddr = text.parse().expect("an address");
        Target {
            host: Host::Address(address.ip()),
            port: Some(address.port()),
            transport: Some(Transport::Udp),
            tls: None,
        }
    };
    let route = OriginationRoute {
        target: target(PBX),
        priority: 1,
        weight: 1,
    };
    let mut snapshot = Snapshot::default();
    snapshot.put_connector(VoiceConnector {
        origination: Some(Origination {
            disabled: false,
            routes: vec![route],
        }),
        ..VoiceConnector::new(id, &format!("{id}.voiceconnector.localhost"))
    });
    snapshot.numbers.insert(
        "+12065550100".parse().expect("a number"),
        NumberHolder::Connector(id),
    );
    snapshot.set_carriers([Carrier {
        name: "bench".to_owned(),
        sources: vec!["192.0.2.10/32".parse().expect("a network")],
        routes: vec![CarrierRoute {
            target: target(CARRIER),
            prefix: Prefix::ANY,
            priority: 1,
            weight: 1,
            verify: true,
            cost: 0,
        }],
        tls: CarrierTls::default(),
        policy: Default::default(),
    }]);
    snapshot
}

fn call_flow(criterion: &mut Criterion) {
    let mut world = World::new();
    assert_eq!(
        world.call(),
        7,
        "100, INVITE, 180, ACK, 200, 200, BYE and nothing else"
    );
    criterion.bench_function("call_flow/origination", |bencher| {
        bencher.iter(|| world.call())
    });
}

criterion_group!(benches, call_flow);
criterion_main!(benches);
