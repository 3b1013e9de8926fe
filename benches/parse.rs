//! Reading an INVITE of 1.5 kB as a PBX sends it, and writing a response to it; rsip beside it.
//!
//! What "routing" reads is what the gateway reads of every INVITE: Request-URI, Via, From, To, CSeq,
//! Call-ID, Contact, Max-Forwards.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use rsip::headers::{ToTypedHeader as _, UntypedHeader as _};
use rsip::message::HeadersExt as _;
use trunkline::config::Limits;
use trunkline::sip::{HeaderName, Message, Writer, reason_phrase};

const HEAD: &str = "\
INVITE sip:+12065550100@abcdefghijklmnopqrstuv.voiceconnector.example.com:5060;transport=udp SIP/2.0\r\n\
Via: SIP/2.0/UDP 198.51.100.17:5060;rport;branch=z9hG4bKPj7c9a3d2e-51f0-4a0e-9d0a-6a2f4b8f2c11\r\n\
Max-Forwards: 70\r\n\
From: \"Alice Example\" <sip:+12065550111@pbx.example.net>;tag=5f6a0f5c-7d1f-4a4e-8f13-2d0f0a0d6d35\r\n\
To: <sip:+12065550100@abcdefghijklmnopqrstuv.voiceconnector.example.com>\r\n\
Contact: <sip:asterisk@198.51.100.17:5060>\r\n\
Call-ID: 0f4b1b6e-25d0-4b1b-8f8b-7c4cf0e3b0d4\r\n\
CSeq: 17284 INVITE\r\n\
Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO\r\n\
Supported: 100rel, timer, replaces, norefersub, histinfo\r\n\
Session-Expires: 1800\r\n\
Min-SE: 90\r\n\
P-Asserted-Identity: \"Alice Example\" <sip:+12065550111@pbx.example.net>\r\n\
Privacy: none\r\n\
P-Charging-Vector: icid-value=0f4b1b6e25d04b1b8f8b7c4cf0e3b0d4;icid-generated-at=198.51.100.17\r\n\
History-Info: <sip:+12065550100@pbx.example.net>;index=1, <sip:+12065550199@pbx.example.net>;index=1.1\r\n\
X-Correlation: 7a1d3c0e-4f4a-4f6a-a7cb-0a9dc1e3f2b8;node=edge-17;queue=sales-emea\r\n\
User-Agent: Asterisk PBX 20.9.2\r\n\
Content-Type: application/sdp\r\n";

const BODY: &str = "\
v=0\r\n\
o=- 1382954731 1382954731 IN IP4 198.51.100.17\r\n\
s=Asterisk\r\n\
c=IN IP4 198.51.100.17\r\n\
t=0 0\r\n\
m=audio 18734 RTP/AVP 0 8 9 101\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:9 G722/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\n\
a=ptime:20\r\n\
a=maxptime:150\r\n\
a=sendrecv\r\n\
a=rtcp:18735 IN IP4 198.51.100.17\r\n";

fn invite() -> Bytes {
    let length = BODY.len();
    Bytes::from(format!("{HEAD}Content-Length: {length}\r\n\r\n{BODY}"))
}

fn parse(bytes: Bytes, limits: &Limits) -> Message {
    match Message::parse(bytes, limits) {
        Ok(message) => message,
        Err(rejected) => panic!("{}", rejected.error),
    }
}

fn read_for_routing(message: &Message) {
    let Message::Request(request) = message else {
        panic!("an INVITE was written")
    };
    black_box(request.uri());
    let _ = black_box(request.via().map(|via| via.branch()));
    let _ = black_box(request.from().map(|from| from.tag()));
    let _ = black_box(request.to().map(|to| to.tag()));
    let _ = black_box(request.cseq());
    black_box(request.call_id());
    let _ = black_box(request.contact());
    let _ = black_box(request.max_forwards());
}

fn respond(out: &mut Vec<u8>, message: &Message) {
    let fields = message.fields();
    let mut writer = Writer::response(out, 200, reason_phrase(200));
    writer
        .copy(fields, HeaderName::Via)
        .copy(fields, HeaderName::From)
        .field(
            HeaderName::To,
            &[
                fields.header(HeaderName::To).unwrap_or_default(),
                ";tag=",
                "8c1f",
            ],
        )
        .copy(fields, HeaderName::CallId)
        .copy(fields, HeaderName::CSeq)
        .field(HeaderName::Contact, &["<sip:", "203.0.113.5:5060", ">"])
        .field(
            HeaderName::Allow,
            &["INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK"],
        )
        .field(HeaderName::Supported, &["timer, 100rel"])
        .field(HeaderName::Server, &["Trunkline"]);
    writer.body("application/sdp", BODY.as_bytes());
}

fn rsip_parse(bytes: &Bytes) -> rsip::Request {
    match rsip::Request::try_from(bytes.clone()) {
        Ok(request) => request,
        Err(error) => panic!("{error}"),
    }
}

fn rsip_read_for_routing(request: &rsip::Request) {
    black_box(&request.uri);
    let _ = black_box(request.via_header().map(|via| via.typed()));
    let _ = black_box(request.from_header().map(|from| from.typed()));
    let _ = black_box(request.to_header().map(|to| to.typed()));
    let _ = black_box(request.cseq_header().map(|cseq| cseq.typed()));
    let _ = black_box(request.call_id_header());
    let _ = black_box(request.contact_header().map(|contact| contact.typed()));
    let _ = black_box(request.max_forwards_header());
}

fn rsip_respond(request: &rsip::Request) -> String {
    let copied = request.headers.iter().filter(|header| {
        matches!(
            header,
            rsip::Header::Via(_)
                | rsip::Header::From(_)
                | rsip::Header::To(_)
                | rsip::Header::CallId(_)
                | rsip::Header::CSeq(_)
        )
    });
    let mut headers: Vec<rsip::Header> = copied.cloned().collect();
    headers.push(rsip::headers::Contact::new("<sip:203.0.113.5:5060>").into());
    headers
        .push(rsip::headers::Allow::new("INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK").into());
    headers.push(rsip::headers::Supported::new("timer, 100rel").into());
    headers.push(rsip::headers::Server::new("Trunkline").into());
    headers.push(rsip::headers::ContentType::new("application/sdp").into());
    headers.push(rsip::headers::ContentLength::new(BODY.len().to_string()).into());
    let response = rsip::Response {
        status_code: rsip::StatusCode::OK,
        version: rsip::Version::V2,
        headers: headers.into(),
        body: BODY.as_bytes().to_vec(),
    };
    response.to_string()
}

fn benches(criterion: &mut Criterion) {
    let limits = Limits::default();
    let bytes = invite();
    let mut group = criterion.benchmark_group("parse");
    // A clone of `Bytes` counts references; the receive path does the same for each datagram.
    group.bench_function("trunkline", |bench| {
        bench.iter(|| parse(black_box(&bytes).clone(), &limits));
    });
    group.bench_function("trunkline, routing", |bench| {
        bench.iter(|| {
            let message = parse(black_box(&bytes).clone(), &limits);
            read_for_routing(&message);
            message
        });
    });
    group.bench_function("rsip", |bench| bench.iter(|| rsip_parse(black_box(&bytes))));
    group.bench_function("rsip, routing", |bench| {
        bench.iter(|| {
            let request = rsip_parse(black_box(&bytes));
            rsip_read_for_routing(&request);
            request
        });
    });
    group.finish();

    let message = parse(bytes.clone(), &limits);
    let request = rsip_parse(&bytes);
    let mut out = Vec::with_capacity(2_048);
    let mut group = criterion.benchmark_group("serialize");
    group.bench_function("trunkline", |bench| {
        bench.iter(|| {
            out.clear();
            respond(&mut out, black_box(&message));
            out.len()
        });
    });
    group.bench_function("rsip", |bench| {
        bench.iter(|| rsip_respond(black_box(&request)))
    });
    group.finish();
}

criterion_group!(parse_benches, benches);
criterion_main!(parse_benches);
