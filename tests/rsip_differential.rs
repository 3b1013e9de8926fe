//! rsip as a second opinion: what it accepts, we accept and read the same, its known faults aside.

mod corpus;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use rsip::headers::{ToTypedHeader as _, UntypedHeader as _};
use rsip::message::{HasHeaders as _, HeadersExt as _};
use trunkline::config::Limits;
use trunkline::sip::{HeaderName, Message, Rejected};

/// The messages of RFC 4475 that rsip accepts although they are malformed, with what we refuse them for,
/// and one that it reads beyond Content-Length into the next message. `torture.rs` holds what is right.
const KNOWN_FAULTS: [(&str, &str); 13] = [
    ("badaspec", "Malformed To"),
    ("baddn", "Missing Blank Line"),
    ("badinv01", "Malformed Via"),
    ("clerr", "Content-Length Exceeds Message"),
    ("dblreq", "body"),
    ("insuf", "Missing From"),
    ("ltgtruri", "Malformed Request-URI"),
    ("mcl01", "Repeated Content-Length"),
    ("mismatch01", "CSeq Method Mismatch"),
    ("multi01", "Repeated CSeq"),
    ("ncl", "Malformed Content-Length"),
    ("quotbal", "Malformed To"),
    ("scalarlg", "Malformed CSeq"),
];

fn ours(bytes: &[u8]) -> Result<Message, Rejected> {
    Message::parse(Bytes::copy_from_slice(bytes), &Limits::default())
}

fn theirs(bytes: &[u8]) -> Option<rsip::SipMessage> {
    rsip::SipMessage::try_from(bytes).ok()
}

/// Where the two readings differ.
fn difference(ours: &Message, theirs: &rsip::SipMessage) -> Option<String> {
    let start = match (ours, theirs) {
        (Message::Request(ours), rsip::SipMessage::Request(theirs)) => {
            let method = theirs.method.to_string();
            pair("method", ours.method_token(), &method)
                .or_else(|| uri_pair("Request-URI", ours.uri(), &theirs.uri.to_string()))
        }
        (Message::Response(ours), rsip::SipMessage::Response(theirs)) => {
            let status = u16::from(theirs.status_code.clone());
            pair("status", &ours.status.to_string(), &status.to_string())
        }
        (Message::Request(_), rsip::SipMessage::Response(_))
        | (Message::Response(_), rsip::SipMessage::Request(_)) => {
            Some("request or response".to_owned())
        }
    };
    start
        .or_else(|| fields_difference(ours, theirs))
        .or_else(|| typed_difference(ours, theirs))
        .or_else(|| (ours.fields().body() != theirs.body()).then(|| "body".to_owned()))
}

fn fields_difference(ours: &Message, theirs: &rsip::SipMessage) -> Option<String> {
    let theirs: Vec<String> = theirs.headers().iter().map(ToString::to_string).collect();
    let ours: Vec<_> = ours.fields().all().collect();
    if ours.len() != theirs.len() {
        return Some(format!("{} and {} header fields", ours.len(), theirs.len()));
    }
    ours.iter()
        .zip(&theirs)
        .find_map(|((written, name, value), theirs)| {
            let (their_name, their_value) = theirs.split_once(':')?;
            let our_name = if *name == HeaderName::Other {
                written
            } else {
                name.as_str()
            };
            let same_name = our_name.eq_ignore_ascii_case(their_name.trim())
                || written.eq_ignore_ascii_case(their_name.trim());
            if !same_name {
                return Some(format!("name {our_name:?} and {their_name:?}"));
            }
            pair(our_name, value, their_value.trim_matches([' ', '\t']))
        })
}

fn typed_difference(ours: &Message, theirs: &rsip::SipMessage) -> Option<String> {
    let fields = ours.fields();
    if let Ok(via) = theirs.via_header().and_then(|via| via.clone().into_typed()) {
        let ours = fields.via().ok()?;
        let branch = via.branch().map(|branch| branch.value().to_owned());
        let difference = pair(
            "branch",
            ours.branch().unwrap_or(""),
            branch.as_deref().unwrap_or(""),
        )
        .or_else(|| pair("transport", ours.transport, &via.transport.to_string()))
        .or_else(|| {
            pair(
                "sent-by",
                ours.sent_by(),
                &via.uri.host_with_port.to_string(),
            )
        });
        if difference.is_some() {
            return difference;
        }
    }
    if let Ok(from) = theirs
        .from_header()
        .and_then(|from| from.clone().into_typed())
    {
        let ours = fields.from().ok()?;
        let tag = from.tag().map(|tag| tag.value().to_owned());
        let difference = pair(
            "From tag",
            ours.tag().unwrap_or(""),
            tag.as_deref().unwrap_or(""),
        )
        .or_else(|| uri_pair("From URI", ours.uri, &from.uri.to_string()));
        if difference.is_some() {
            return difference;
        }
    }
    if let Ok(cseq) = theirs
        .cseq_header()
        .and_then(|cseq| cseq.clone().into_typed())
    {
        let ours = fields.cseq().ok()?;
        if ours.number != cseq.seq || ours.token != cseq.method.to_string() {
            return Some(format!("CSeq {ours:?} and {cseq:?}"));
        }
    }
    let call_id = theirs.call_id_header().ok()?;
    pair("Call-ID", fields.call_id(), call_id.value())
}

fn pair(what: &str, ours: &str, theirs: &str) -> Option<String> {
    (ours != theirs).then(|| format!("{what}: {ours:?} and {theirs:?}"))
}

/// A known fault of rsip: it writes the value of `transport` in upper case.
fn uri_pair(what: &str, ours: &str, theirs: &str) -> Option<String> {
    pair(
        what,
        &ours.to_ascii_lowercase(),
        &theirs.to_ascii_lowercase(),
    )
}

#[test]
fn torture_messages() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let mut faults = BTreeMap::new();
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let Some(theirs) = theirs(&bytes) else {
            continue;
        };
        match ours(&bytes) {
            Err(rejected) => drop(faults.insert(name, rejected.error.reason().to_owned())),
            Ok(ours) => {
                if let Some(difference) = difference(&ours, &theirs) {
                    faults.insert(name, difference);
                }
            }
        }
    }
    let known = KNOWN_FAULTS.map(|(name, fault)| (name.to_owned(), fault.to_owned()));
    assert_eq!(faults, BTreeMap::from(known));
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}\\.example\\.(com|net)",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    let user = "(\\+1[0-9]{10}|[a-z][a-z0-9._-]{0,10})";
    let port = proptest::option::of(1024..65535u16);
    let params = "(;transport=(udp|tcp))?(;user=phone)?(;lr)?";
    (user, host(), port, params).prop_map(|(user, host, port, params)| {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("sip:{user}@{host}{port}{params}")
    })
}

fn address() -> impl Strategy<Value = String> {
    let display = "(\"[A-Za-z ,;]{1,12}\" )?";
    (display, uri(), "[A-Za-z0-9-]{1,20}")
        .prop_map(|(display, uri, tag)| format!("{display}<{uri}>;tag={tag}"))
}

fn start_line() -> impl Strategy<Value = (String, String)> {
    let methods = "(INVITE|ACK|BYE|CANCEL|OPTIONS|REGISTER|PRACK|UPDATE|INFO|REFER|SUBSCRIBE|NOTIFY|MESSAGE|PUBLISH)";
    let statuses =
        prop::sample::select(vec!["100 Trying", "180 Ringing", "200 OK", "486 Busy Here"]);
    prop_oneof![
        (methods, uri()).prop_map(|(method, uri)| (format!("{method} {uri} SIP/2.0"), method)),
        statuses.prop_map(|status| (format!("SIP/2.0 {status}"), "INVITE".to_owned())),
    ]
}

fn message() -> impl Strategy<Value = String> {
    let via = (
        host(),
        proptest::option::of(1..65535u16),
        "z9hG4bK[A-Za-z0-9.]{1,16}",
        "(;rport)?",
    );
    let via = via.prop_map(|(host, port, branch, rport)| {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("SIP/2.0/UDP {host}{port};branch={branch}{rport}")
    });
    let more = prop::collection::vec(
        "(Subject|User-Agent|X-[A-Z][a-z]{1,6}|Supported|Allow): [!-~]([ -~]{0,20}[!-~])?",
        0..6,
    );
    (start_line(), via, address(), address(), 0..1u32 << 31, more, "[a-z=\r\n]{0,60}").prop_map(
        |((start, method), via, from, to, number, more, body)| {
            let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
            let length = body.len();
            format!(
                "{start}\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
                 Call-ID: {number}@example\r\nCSeq: {number} {method}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_messages(text in message()) {
        let ours = match ours(text.as_bytes()) {
            Ok(ours) => ours,
            Err(rejected) => panic!("a valid message is refused: {}", rejected.error),
        };
        let theirs = rsip::SipMessage::try_from(text.as_bytes());
        prop_assert!(theirs.is_ok(), "rsip refuses: {:?}", theirs);
        if let Ok(theirs) = theirs {
            prop_assert_eq!(difference(&ours, &theirs), None);
        }
    }
}
