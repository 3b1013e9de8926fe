//! What is fuzzed: bytes in, and nothing but a panic can go wrong. The test run replays a corpus and random bytes
//! through these; the targets of `fuzz_targets` drive them with libFuzzer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline::config::{
    Carrier, CarrierCredentials, CarrierPolicy, CarrierRoute, Config, Host, Limits, Secret, Target,
    Transport,
};
use trunkline::connector_id::VoiceConnectorId;
use trunkline::control::limiter::NodeLimiter;
use trunkline::instant::Instant;
use trunkline::media::{MediaPort, MediaSocket};
use trunkline::numbering::Prefix;
use trunkline::sdp::{Codecs, Crypto, LocalDescription, Ours, SessionDescription, payload_map};
use trunkline::shard::io::{Flow, Input, Output, TransactionId};
use trunkline::shard::snapshot::{
    NumberHolder, Origination, OriginationRoute, Snapshot, Termination, VoiceConnector,
};
use trunkline::shard::{Occupancy, Settings, Shard};
use trunkline::sip::framing::Framer;
use trunkline::sip::message::{Fields, HeaderName, Message};
use trunkline::sip::writer::Writer;

const PBX: &str = "203.0.113.1:5060";
const CARRIER: &str = "192.0.2.1:5060";
const OWN: &str = "+12065550100";

/// A message that parses can be written again and means the same.
pub(crate) fn message(data: &[u8]) {
    let limits = Limits::default();
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data), &limits) else {
        return;
    };
    let fields = message.fields();
    look_at(fields);
    let mut out = Vec::new();
    let mut writer = match &message {
        Message::Request(request) => {
            Writer::request(&mut out, request.method_token(), request.uri())
        }
        Message::Response(response) => {
            Writer::response(&mut out, response.status, response.reason())
        }
    };
    for (name, known, value) in fields.all() {
        if !matches!(known, HeaderName::ContentLength | HeaderName::ContentType) {
            writer.raw_field(name, value);
        }
    }
    writer.body("application/octet-stream", fields.body());
    let wide = Limits {
        sip_message_bytes_max: 1 << 20,
        sip_headers_max: 1 << 12,
        ..limits
    };
    let again = Message::parse(Bytes::from(out), &wide).expect("what was read and written is read");
    assert_eq!(again.fields().call_id(), fields.call_id());
    assert_eq!(again.fields().body(), fields.body());
}

fn look_at(fields: &Fields) {
    let _ = (fields.via(), fields.from(), fields.to(), fields.contact());
    let _ = (fields.session_expires(), fields.min_se(), fields.rseq());
    let _ = (fields.rack(), fields.retry_after(), fields.max_forwards());
}

/// A description that parses can be offered and answered.
pub(crate) fn description(data: &[u8]) {
    let Ok(description) = SessionDescription::parse(data) else {
        return;
    };
    let Some(stream) = description.stream() else {
        return;
    };
    let codecs = Codecs::default();
    let address = "198.51.100.1:20000".parse().expect("an address");
    let ours = Ours {
        address,
        codecs: &codecs,
        crypto: Crypto::Optional(&stream.crypto),
        rtcp_mux: true,
    };
    let offer = LocalDescription::new(1).offer(&description, &ours);
    let answer = LocalDescription::new(2).answer(&description, &description, &ours);
    assert!(payload_map(&description, &description).is_empty());
    for text in [offer, answer] {
        let again = SessionDescription::parse(&text).expect("what we say is read");
        assert_eq!(again.media_count(), description.media_count());
    }
}

/// A stream gives the same messages however it is cut.
pub(crate) fn framing(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let frames = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut framer = Framer::new(&Limits::default());
        let mut seen = Vec::new();
        for piece in pieces {
            framer.push(piece);
            loop {
                match framer.next() {
                    Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                    Ok(None) => break,
                    Err(_) => return seen,
                }
            }
        }
        seen
    };
    let whole = frames(&mut std::iter::once(stream));
    let cut = frames(&mut stream.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, cut);
}

/// Messages, responses, timers, lost messages and rubbish in any order: no panic, and in the end nothing is left.
pub(crate) fn sequence(data: &[u8]) {
    let mut world = World::new(data);
    while world.choices.is_left() {
        world.act();
    }
    world.finish();
}

/// Choices out of bytes.
struct Choices<'a> {
    data: &'a [u8],
}

impl Choices<'_> {
    fn is_left(&self) -> bool {
        !self.data.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.data.split_first() {
            Some((first, rest)) => {
                self.data = rest;
                *first
            }
            None => 0,
        }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    fn index(&mut self, length: usize) -> usize {
        usize::from(self.byte()) % length.max(1)
    }
}

struct World<'a> {
    choices: Choices<'a>,
    shard: Shard,
    now: Instant,
    /// What the shard has sent, where to.
    sent: Vec<(SocketAddr, Message)>,
    transactions: Vec<TransactionId>,
    /// What it was sent.
    received: Vec<(SocketAddr, Vec<u8>)>,
    number: u32,
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0\r\n";
const HELD: &str = "v=0\r\no=- 1 2 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                    m=audio 4000 RTP/AVP 0 8\r\na=sendonly\r\nm=video 0 RTP/AVP 96\r\n";
const NO_AUDIO: &str =
    "v=0\r\no=- 1 3 IN IP4 203.0.113.1\r\ns=-\r\nt=0 0\r\nm=image 9 udptl t38\r\n";

impl<'a> World<'a> {
    fn new(data: &'a [u8]) -> Self {
        let now = Instant::from_micros(1_000_000);
        let config = Config::default_for_start();
        let mut settings = Settings::new(&config, 0, [1; 16], ([2; 16], [3; 32]));
        settings.transfers = true;
        settings.registers = true;
        // Pings would go on for ever.
        settings.health.interval = Duration::ZERO;
        settings.health.down_interval = Duration::ZERO;
        settings.limits.calls_max = 8;
        settings.limits.transactions_max = 64;
        let mut shard = Shard::new(
            settings,
            Arc::new(snapshot()),
            Arc::new(NodeLimiter::default()),
            now,
        );
        for pair in 0..6u16 {
            let port = MediaPort {
                socket: MediaSocket(u32::from(2 * pair)),
                advertise: SocketAddr::from(([198, 51, 100, 1], 20_000 + 2 * pair)),
            };
            shard.handle(Input::MediaPort(port), now);
        }
        Self {
            choices: Choices { data },
            shard,
            now,
            sent: Vec::new(),
            transactions: Vec::new(),
            received: Vec::new(),
            number: 0,
        }
    }

    fn act(&mut self) {
        match self.choices.byte() % 16 {
            0 | 1 => self.invite(),
            2..=6 => self.respond(),
            7..=10 => self.request_in_dialog(),
            11 => self.cancel(),
            12 => self.again(),
            13 => self.lose(),
            14 => self.rubbish(),
            _ => self.pass_time(),
        }
    }

    fn invite(&mut self) {
        self.number += 1;
        let number = self.number;
        let (from, source, uri) = match self.choices.byte() % 2 {
            0 => (OWN, PBX, format!("sip:+4930901820@{}", host())),
            _ => ("+4930901820", CARRIER, format!("sip:{OWN}@127.0.0.1")),
        };
        let (extra, body) = (self.extras(), self.body());
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKi{number}\r\nMax-Forwards: 9\r\n\
             From: <sip:{from}@{source}>;tag=f{number}\r\nTo: <{uri}>\r\nCall-ID: c{number}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:x@{source}>\r\n{extra}{body}"
        );
        self.receive(source, text.into_bytes());
    }

    fn extras(&mut self) -> String {
        const EXTRAS: [&str; 14] = [
            "",
            "Supported: 100rel, timer\r\n",
            "Require: 100rel\r\n",
            "Allow: INVITE, ACK, BYE, UPDATE\r\n",
            "Session-Expires: 90;refresher=uac\r\n",
            "Session-Expires: 1800;refresher=uas\r\nSupported: timer\r\n",
            "Session-Expires: 20\r\nk: timer\r\n",
            "Privacy: id;user\r\nP-Asserted-Identity: <tel:+12065550199>\r\n",
            "Record-Route: <sip:192.0.2.1;lr>, <sip:203.0.113.9>\r\n",
            "Min-SE: 3600\r\n",
            "Retry-After: 7 (x);duration=1\r\n",
            "Reason: Q.850;cause=16\r\n",
            "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", algorithm=SHA-256, stale=true\r\n",
        ];
        let (first, second) = (self.choices.pick(&EXTRAS), self.choices.pick(&EXTRAS));
        // A field that may stand once is not doubled: that is the rubbish's part.
        match first == second {
            true => first.to_owned(),
            false => format!("{first}{second}"),
        }
    }

    fn body(&mut self) -> String {
        let body = self
            .choices
            .pick(&[SDP, SDP, HELD, NO_AUDIO, "", "rubbish"]);
        match body {
            "" => "Content-Length: 0\r\n\r\n".to_owned(),
            body => format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        }
    }

    /// Answers a request of the shard.
    fn respond(&mut self) {
        let requests: Vec<usize> = (0..self.sent.len())
            .rev()
            .filter(|at| matches!(self.sent[*at].1, Message::Request(_)))
            .take(16)
            .collect();
        if requests.is_empty() {
            return;
        }
        let at = requests[self.choices.index(requests.len())];
        let status = self.choices.pick(&[
            100, 180, 183, 200, 200, 200, 202, 302, 401, 404, 407, 408, 422, 481, 486, 488, 491,
            500, 503, 603,
        ]);
        let tag = self.choices.byte() % 3;
        let rseq = 1 + u32::from(self.choices.byte() % 4);
        let (extra, body) = (self.extras(), self.body());
        let (to, message) = &self.sent[at];
        let to = *to;
        let fields = message.fields();
        let copy = |name: HeaderName| {
            let all = fields.headers(name);
            let lines: String = all.map(|value| format!("{name}: {value}\r\n")).collect();
            lines
        };
        let to_line = match fields.to().is_ok_and(|to| to.tag().is_some()) {
            true => copy(HeaderName::To),
            false => format!(
                "To: {};tag=peer{tag}\r\n",
                fields.header(HeaderName::To).unwrap_or_default()
            ),
        };
        let reliable = match extra.contains("100rel") && (101..200).contains(&status) {
            true => format!("RSeq: {rseq}\r\n"),
            false => String::new(),
        };
        let text = format!(
            "SIP/2.0 {status} X\r\n{}{}{to_line}{}{}Contact: <sip:y@{to}>\r\n{reliable}{extra}{body}",
            copy(HeaderName::Via),
            copy(HeaderName::From),
            copy(HeaderName::CallId),
            copy(HeaderName::CSeq),
        );
        self.receive_from(to, text.into_bytes());
    }

    /// A request in a dialog that the shard has shown a tag of.
    fn request_in_dialog(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let window = self.sent.len().min(24);
        let at = self.sent.len() - 1 - self.choices.index(window);
        let method = self.choices.pick(&[
            "ACK", "ACK", "BYE", "INVITE", "UPDATE", "PRACK", "INFO", "OPTIONS", "REFER", "MESSAGE",
        ]);
        self.number += 1;
        let number = self.number;
        let peer_tag = self.choices.byte() % 3;
        let (extra, body) = (self.extras(), self.body());
        let (to, message) = &self.sent[at];
        let to = *to;
        let fields = message.fields();
        let value = |name: HeaderName| fields.header(name).unwrap_or_default().to_owned();
        let (mut from, ours) = match message {
            Message::Response(_) => (value(HeaderName::From), value(HeaderName::To)),
            Message::Request(_) => (value(HeaderName::To), value(HeaderName::From)),
        };
        if !from.contains(";tag=") {
            from = format!("{from};tag=peer{peer_tag}");
        }
        // The ACK of a 2xx has its INVITE's number.
        let cseq = match method {
            "ACK" => fields.cseq().map_or(1, |cseq| cseq.number),
            _ => 10 + number,
        };
        let rack = match (method, fields.rseq()) {
            ("PRACK", Ok(Some(rseq))) => format!("RAck: {rseq} 1 INVITE\r\n"),
            ("REFER", _) => {
                // A number that whoever asks may call.
                let number = match to.to_string() == CARRIER {
                    true => OWN,
                    false => "+4930901820",
                };
                format!("Refer-To: <tel:{number}>\r\n")
            }
            _ => String::new(),
        };
        let text = format!(
            "{method} sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {to};branch=z9hG4bKd{number}\r\nMax-Forwards: 9\r\n\
             From: {from}\r\nTo: {ours}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:z@{to}>\r\n\
             {rack}{extra}{body}",
            value(HeaderName::CallId),
        );
        self.receive_from(to, text.into_bytes());
    }

    fn cancel(&mut self) {
        let invites: Vec<usize> = (0..self.received.len())
            .filter(|at| self.received[*at].1.starts_with(b"INVITE"))
            .collect();
        if invites.is_empty() {
            return;
        }
        let at = invites[self.choices.index(invites.len())];
        let (source, bytes) = self.received[at].clone();
        let text = String::from_utf8_lossy(&bytes);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head
            .split("\r\n")
            .filter(|line| !line.starts_with("Content-"));
        let lines =
            lines.map(
                |line| match line.starts_with("INVITE") || line.starts_with("CSeq") {
                    true => line.replacen("INVITE", "CANCEL", 1),
                    false => line.to_owned(),
                },
            );
        let cancel = lines.collect::<Vec<_>>().join("\r\n") + "\r\nContent-Length: 0\r\n\r\n";
        self.receive_from(source, cancel.into_bytes());
    }

    fn again(&mut self) {
        if self.received.is_empty() {
            return;
        }
        let at = self.choices.index(self.received.len());
        let (source, bytes) = self.received[at].clone();
        self.receive_from(source, bytes);
    }

    fn lose(&mut self) {
        if self.transactions.is_empty() {
            return;
        }
        let at = self.choices.index(self.transactions.len());
        let transaction = self.transactions[at];
        self.shard
            .handle(Input::TransportError { transaction }, self.now);
        self.collect();
    }

    fn rubbish(&mut self) {
        if self.received.is_empty() {
            return;
        }
        let at = self.choices.index(self.received.len());
        let (source, mut bytes) = self.received[at].clone();
        for _ in 0..=self.choices.byte() % 4 {
            let place = (usize::from(self.choices.byte()) << 8 | usize::from(self.choices.byte()))
                % bytes.len().max(1);
            let value = self.choices.byte();
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        self.receive_from(source, bytes);
    }

    fn pass_time(&mut self) {
        let millis = 1u64 << (self.choices.byte() % 22);
        let until = self.now + Duration::from_millis(millis);
        self.run_until(until);
        self.now = until;
    }

    fn receive(&mut self, source: &str, bytes: Vec<u8>) {
        self.receive_from(source.parse().expect("an address"), bytes);
    }

    fn receive_from(&mut self, remote: SocketAddr, bytes: Vec<u8>) {
        if self.received.len() < 64 {
            self.received.push((remote, bytes.clone()));
        }
        let flow = Flow {
            transport: Transport::Udp,
            listener: 0,
            remote,
            connection: None,
            tls: None,
            carrier: None,
        };
        if self.shard.admits(&flow, self.now) {
            let bytes = Bytes::from(bytes);
            self.shard.handle(Input::Message { flow, bytes }, self.now);
        }
        self.collect();
    }

    /// Takes what the shard has to say; it must be good SIP.
    fn collect(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Send {
                    flow,
                    bytes,
                    transaction,
                } => {
                    let wide = Limits {
                        sip_message_bytes_max: 1 << 20,
                        sip_headers_max: 1 << 12,
                        ..Limits::default()
                    };
                    // A response shows what the request had, be it good or not.
                    if let Ok(message) = Message::parse(bytes, &wide)
                        && self.sent.len() < 512
                    {
                        self.sent.push((flow.remote, message));
                    }
                    self.transactions.extend(transaction);
                }
                Output::Media { .. }
                | Output::Connect(_)
                | Output::Event(_)
                | Output::Ban(_)
                | Output::BackOff(_) => {}
            }
        }
        assert_eq!(self.shard.counters().panics, 0, "a call panicked");
    }

    fn run_until(&mut self, end: Instant) {
        let mut steps = 0;
        while let Some(next) = self.shard.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.shard.handle_timeout(self.now);
            self.collect();
            steps += 1;
            assert!(steps < 100_000, "timers without end");
        }
    }

    /// Every call ends by itself: its peers have gone silent.
    fn finish(&mut self) {
        let day = self.now + Duration::from_secs(24 * 3_600);
        self.run_until(day);
        let left = Occupancy {
            media_ports_free: 0,
            ..self.shard.occupancy()
        };
        assert_eq!(left, Occupancy::default(), "something is left");
    }
}

fn id() -> VoiceConnectorId {
    VoiceConnectorId::from_random([3; VoiceConnectorId::LENGTH])
}

fn host() -> String {
    format!("{}.voiceconnector.localhost", id())
}

fn target(address: &str) -> Target {
    let address: SocketAddr = address.parse().expect("an address");
    Target {
        host: Host::Address(address.ip()),
        port: Some(address.port()),
        transport: Some(Transport::Udp),
        tls: None,
    }
}

fn snapshot() -> Snapshot {
    let route = CarrierRoute {
        target: target(CARRIER),
        prefix: Prefix::ANY,
        priority: 1,
        weight: 1,
        verify: true,
        cost: 0,
    };
    let policy = CarrierPolicy {
        credentials: Some(CarrierCredentials {
            username: "u".to_owned(),
            password: Secret("p".to_owned()),
        }),
        redirect: true,
        ..CarrierPolicy::default()
    };
    let mut snapshot = Snapshot::default();
    snapshot.set_carriers([Carrier {
        name: "c".to_owned(),
        sources: vec!["192.0.2.0/24".parse().expect("a network")],
        routes: vec![route.clone(), route],
        tls: Default::default(),
        policy: Arc::new(policy),
    }]);
    snapshot.put_connector(VoiceConnector {
        termination: Some(Termination {
            disabled: false,
            cidr_allowed_list: vec!["203.0.113.0/24".parse().expect("a network")],
            calling_regions: vec!["US".parse().expect("a country")],
            cps_limit: 1_000,
            default_phone_number: None,
        }),
        origination: Some(Origination {
            disabled: false,
            routes: vec![OriginationRoute {
                target: target(PBX),
                priority: 1,
                weight: 1,
            }],
        }),
        ..VoiceConnector::new(id(), &host())
    });
    snapshot.numbers.insert(
        OWN.parse().expect("a number"),
        NumberHolder::Connector(id()),
    );
    snapshot
}
