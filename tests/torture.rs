//! The torture messages of RFC 4475, as far as a parser answers for them: what is to be refused is refused
//! with the right status, and everything else is read with its values.
//!
//! The messages are read from the folder that `TRUNKLINE_CORPUS` names (files `rfc4475/*.dat`).

mod corpus;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use trunkline::config::Limits;
use trunkline::sip::digest::{Credentials, CredentialsError};
use trunkline::sip::{
    HeaderName, Message, Method, ParseError, Rejected, Request, Response, Scheme, Uri, unescape,
};

/// What becomes of a message.
enum Outcome {
    /// A request; what stands in its header fields is a matter of the layers above.
    Request(Method),
    /// A response with this status.
    Response(u16),
    /// Refused, and answered with the error's status.
    Answered(ParseError),
    /// Refused; nothing may or can be sent.
    Dropped(ParseError),
}

use Outcome::{Answered, Dropped};

const OUTCOMES: &[(&str, Outcome)] = &[
    // §3.1.1: valid
    ("wsinv", Outcome::Request(Method::Invite)),
    ("intmeth", Outcome::Request(Method::Unknown)),
    ("esc01", Outcome::Request(Method::Invite)),
    ("escnull", Outcome::Request(Method::Register)),
    ("esc02", Outcome::Request(Method::Unknown)),
    ("lwsdisp", Outcome::Request(Method::Options)),
    ("longreq", Outcome::Request(Method::Invite)),
    ("dblreq", Outcome::Request(Method::Register)),
    ("semiuri", Outcome::Request(Method::Options)),
    ("transports", Outcome::Request(Method::Options)),
    ("mpart01", Outcome::Request(Method::Message)),
    ("unreason", Outcome::Response(200)),
    ("noreason", Outcome::Response(100)),
    // §3.1.2: invalid
    ("badinv01", Answered(ParseError::Malformed(HeaderName::Via))),
    ("clerr", Answered(ParseError::BodyUnfinished)),
    (
        "ncl",
        Answered(ParseError::Malformed(HeaderName::ContentLength)),
    ),
    (
        "scalar02",
        Answered(ParseError::Malformed(HeaderName::CSeq)),
    ),
    ("scalarlg", Dropped(ParseError::Malformed(HeaderName::CSeq))),
    ("quotbal", Answered(ParseError::Malformed(HeaderName::To))),
    ("ltgtruri", Answered(ParseError::RequestUri)),
    ("lwsruri", Answered(ParseError::StartLine)),
    ("lwsstart", Answered(ParseError::StartLine)),
    ("trws", Answered(ParseError::StartLine)),
    // The header part of the Request-URI is ignored, as the RFC allows.
    ("escruri", Outcome::Request(Method::Invite)),
    ("baddate", Outcome::Request(Method::Invite)),
    // 400 when the contact is asked for, see below.
    ("regbadct", Outcome::Request(Method::Register)),
    ("badaspec", Answered(ParseError::Malformed(HeaderName::To))),
    // The file has no blank line; its display names alone would be taken.
    ("baddn", Answered(ParseError::HeadUnfinished)),
    ("badvers", Answered(ParseError::Version)),
    ("mismatch01", Answered(ParseError::CSeqMethod)),
    ("mismatch02", Answered(ParseError::CSeqMethod)),
    ("bigcode", Dropped(ParseError::StatusCode)),
    // §3.2: transaction layer
    ("badbranch", Outcome::Request(Method::Options)),
    // §3.3: application layer
    ("insuf", Dropped(ParseError::Missing(HeaderName::From))),
    ("unkscm", Outcome::Request(Method::Options)),
    ("novelsc", Outcome::Request(Method::Options)),
    ("unksm2", Outcome::Request(Method::Register)),
    ("bext01", Outcome::Request(Method::Options)),
    ("invut", Outcome::Request(Method::Invite)),
    ("regaut01", Outcome::Request(Method::Register)),
    ("multi01", Answered(ParseError::Repeated(HeaderName::CSeq))),
    (
        "mcl01",
        Answered(ParseError::Repeated(HeaderName::ContentLength)),
    ),
    ("bcast", Outcome::Response(200)),
    ("zeromf", Outcome::Request(Method::Options)),
    ("cparam01", Outcome::Request(Method::Register)),
    ("cparam02", Outcome::Request(Method::Register)),
    ("regescrt", Outcome::Request(Method::Register)),
    ("sdp01", Outcome::Request(Method::Invite)),
    // §3.4: backward compatibility
    ("inv2543", Outcome::Request(Method::Invite)),
    // In no section: a request line without a version, and no Via.
    ("test", Dropped(ParseError::StartLine)),
];

#[test]
fn every_message_has_its_outcome() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    for (name, outcome) in OUTCOMES {
        let parsed = parse(&corpus, name);
        match (outcome, &parsed) {
            (Outcome::Request(method), Ok(Message::Request(request))) => {
                assert_eq!(request.method, *method, "{name}");
            }
            (Outcome::Response(status), Ok(Message::Response(response))) => {
                assert_eq!(response.status, *status, "{name}");
            }
            (Outcome::Answered(error), Err(rejected)) => {
                assert_eq!(rejected.error, *error, "{name}");
                assert!(rejected.request.is_some(), "{name}");
                let status = if *name == "badvers" { 505 } else { 400 };
                assert_eq!(rejected.error.status(), status, "{name}");
            }
            (Outcome::Dropped(error), Err(rejected)) => {
                assert_eq!(rejected.error, *error, "{name}");
                assert!(rejected.request.is_none(), "{name}");
            }
            (
                Outcome::Request(_)
                | Outcome::Response(_)
                | Outcome::Answered(_)
                | Outcome::Dropped(_),
                Ok(_) | Err(_),
            ) => panic!("{name}: {parsed:?}"),
        }
    }
}

#[test]
fn every_file_has_an_outcome() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let files: BTreeSet<String> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let named: BTreeSet<String> = OUTCOMES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(files, named);
}

#[test]
fn wsinv_white_space_everywhere() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "wsinv");
    assert_eq!(
        request.uri(),
        "sip:vivekg@chair-dnrc.example.com;unknownparam"
    );
    let uri = Uri::parse(request.uri()).unwrap();
    assert_eq!(uri.params.get("unknownparam"), Some(None));
    let to = request.to().unwrap();
    assert_eq!(to.uri, "sip:vivekg@chair-dnrc.example.com");
    assert_eq!(to.tag(), Some("1918181833n"));
    let from = request.from().unwrap();
    assert_eq!(from.display_name().unwrap(), "J Rosenberg \\\"");
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(request.max_forwards(), Ok(Some(68)));
    let cseq = request.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
    assert_eq!(request.header(HeaderName::Subject), Some(""));
    assert_eq!(
        request
            .named("NewFangledHeader")
            .next()
            .unwrap()
            .split_whitespace()
            .count(),
        5
    );
    assert_eq!(
        request.named("UnknownHeaderWithUnusualValue").next(),
        Some(";;,,;;,;")
    );
    let vias: Vec<_> = request
        .values(HeaderName::Via)
        .map(|value| trunkline::sip::Via::parse(value).unwrap())
        .collect();
    let hops: Vec<_> = vias
        .iter()
        .map(|via| (via.transport, via.host, via.branch()))
        .collect();
    assert_eq!(
        hops,
        [
            ("UDP", "192.0.2.2", Some("390skdjuw")),
            ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
        ]
    );
    let contact = request.contact().unwrap().unwrap();
    assert_eq!(contact.display_name().unwrap(), "Quoted string \"\"");
    assert_eq!(contact.uri, "sip:jdrosen@example.com");
    assert_eq!(contact.params.value("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    assert_eq!(contact.params.value("q"), Some("0.33"));
    assert_eq!(request.body().len(), 150);
}

#[test]
fn intmeth_unusual_characters() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "intmeth");
    assert_eq!(
        request.method_token(),
        "!interesting-Method0123456789_*+`.%indeed'~"
    );
    let uri = Uri::parse(request.uri()).unwrap();
    assert_eq!(
        uri.user,
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    assert_eq!(
        uri.password,
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
    assert_eq!(uri.host, "example.com");
    assert_eq!(request.via().unwrap().branch(), Some("z9hG4bK-.!%66*_+`'~"));
    let to = request.to().unwrap();
    assert_eq!(to.display_name().unwrap(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    let from = request.from().unwrap();
    assert_eq!(from.display, Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(
        from.params.value("fromParam''~+*_!.-%"),
        Some("\"работающий\"")
    );
    assert_eq!(
        request.call_id(),
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    assert_eq!(request.max_forwards(), Ok(Some(255)));
    assert_eq!(
        request.named("extensionHeader-!.%*+_`'~").next(),
        Some("\u{feff}大停電")
    );
}

#[test]
fn escapes_stay_where_they_mean_nothing_and_can_be_read_where_they_do() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let esc01 = request(&corpus, "esc01");
    let uri = Uri::parse(esc01.uri()).unwrap();
    assert_eq!(
        unescape(uri.user.unwrap()).unwrap(),
        "sips:user@example.com"
    );
    assert_eq!(uri.host, "example.net");
    let to = esc01.to().unwrap().uri_parsed().unwrap();
    assert_eq!(unescape(to.user.unwrap()).unwrap(), "user");
    let contact = esc01.contact().unwrap().unwrap().uri_parsed().unwrap();
    assert_eq!(unescape(contact.user.unwrap()).unwrap(), "caller");
    assert_eq!(contact.params.get("%6C%72"), Some(None));
    assert_eq!(contact.params.value("n%61me"), Some("v%61lue%25%34%31"));

    let esc02 = request(&corpus, "esc02");
    assert_eq!(esc02.method_token(), "RE%47IST%45R");
    assert_eq!(esc02.to().unwrap().display_name().unwrap(), "%Z%45");
    assert_eq!(esc02.via().unwrap().branch(), Some("z9hG4bK209%fzsnel234"));
    assert_eq!(esc02.values(HeaderName::Contact).count(), 2);

    let escnull = request(&corpus, "escnull");
    let to = escnull.to().unwrap().uri_parsed().unwrap();
    assert_eq!(unescape(to.user.unwrap()).unwrap(), "null-\0-null");
    assert_eq!(escnull.values(HeaderName::Contact).count(), 2);
}

#[test]
fn lwsdisp_no_space_after_the_display_name() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "lwsdisp");
    let from = request.from().unwrap();
    assert_eq!(
        (from.display, from.uri),
        (Some("caller"), "sip:caller@example.com")
    );
}

#[test]
fn longreq_long_values() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "longreq");
    assert_eq!(request.values(HeaderName::Via).count(), 34);
    assert_eq!(request.via().unwrap().host, "sip33.example.com");
    assert_eq!(request.to().unwrap().uri_parsed().unwrap().port, Some(6000));
    assert!(request.from().unwrap().tag().unwrap().ends_with("982424"));
    assert_eq!(request.body().len(), 150);
}

#[test]
fn dblreq_what_follows_the_message_is_ignored() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "dblreq");
    assert!(request.body().is_empty());
    assert_eq!(request.call_id(), "dblreq.0ha0isndaksdj99sdfafnl3lk233412");
}

#[test]
fn semiuri_a_semicolon_in_the_user() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "semiuri");
    let uri = Uri::parse(request.uri()).unwrap();
    assert_eq!(
        unescape(uri.user.unwrap()).unwrap(),
        "user;par=u@example.net"
    );
    assert_eq!(uri.host, "example.com");
    assert_eq!(request.values(HeaderName::Accept).count(), 6);
}

#[test]
fn transports_known_and_unknown() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "transports");
    let transports: Vec<_> = request
        .values(HeaderName::Via)
        .map(|value| trunkline::sip::Via::parse(value).unwrap().transport)
        .collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn mpart01_a_body_of_bytes() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let request = request(&corpus, "mpart01");
    assert_eq!(request.body().len(), 553);
    assert!(request.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
    assert!(request.via().unwrap().wants_rport());
}

#[test]
fn reason_phrases() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    assert!(
        response(&corpus, "unreason")
            .reason()
            .starts_with("= 2**3 * 5**2 но ")
    );
    assert_eq!(response(&corpus, "noreason").reason(), "");
}

#[test]
fn what_the_layers_above_read() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let regbadct = request(&corpus, "regbadct");
    assert_eq!(
        regbadct.contact(),
        Err(ParseError::Malformed(HeaderName::Contact))
    );
    let escruri = request(&corpus, "escruri");
    assert!(Uri::parse(escruri.uri()).unwrap().headers.is_some());
    assert_eq!(escruri.header(HeaderName::Route), None);
    for name in ["unkscm", "novelsc"] {
        let request = request(&corpus, name);
        assert_eq!(
            Uri::parse(request.uri()).unwrap().scheme,
            Scheme::Other,
            "{name}"
        );
    }
    let badbranch = request(&corpus, "badbranch");
    assert_eq!(badbranch.via().unwrap().branch(), Some("z9hG4bK"));
    let regaut01 = request(&corpus, "regaut01");
    let value = regaut01.header(HeaderName::Authorization).unwrap();
    assert_eq!(
        Credentials::parse(value).err(),
        Some(CredentialsError::OtherScheme)
    );
    let bext01 = request(&corpus, "bext01");
    assert_eq!(
        bext01.values(HeaderName::Require).collect::<Vec<_>>(),
        ["nothingSupportsThis", "nothingSupportsThisEither"]
    );
    assert_eq!(request(&corpus, "zeromf").max_forwards(), Ok(Some(0)));
    let inv2543 = request(&corpus, "inv2543");
    assert_eq!(inv2543.via().unwrap().branch(), None);
    assert_eq!(inv2543.max_forwards(), Ok(None));
    let cparam01 = request(&corpus, "cparam01")
        .contact()
        .unwrap()
        .unwrap()
        .params
        .get("unknownparam")
        .is_some();
    assert!(cparam01);
    let cparam02 = request(&corpus, "cparam02");
    let contact = cparam02.contact().unwrap().unwrap();
    assert!(contact.params.get("unknownparam").is_none());
    assert!(
        contact
            .uri_parsed()
            .unwrap()
            .params
            .get("unknownparam")
            .is_some()
    );
    let regescrt = request(&corpus, "regescrt");
    let contact = regescrt.contact().unwrap().unwrap();
    assert!(contact.uri_parsed().unwrap().headers.is_some());
    let unksm2 = request(&corpus, "unksm2");
    assert_eq!(
        unksm2.to().unwrap().uri_parsed().unwrap().scheme,
        Scheme::Other
    );
    assert_eq!(unksm2.contact().unwrap().unwrap().uri, "name:John_Smith");
}

fn parse(corpus: &Path, name: &str) -> Result<Message, Rejected> {
    let file = corpus.join(name).with_extension("dat");
    let bytes = std::fs::read(file).expect("every message named has a file");
    Message::parse(Bytes::from(bytes), &Limits::default())
}

fn request(corpus: &Path, name: &str) -> Request {
    match parse(corpus, name) {
        Ok(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

fn response(corpus: &Path, name: &str) -> Response {
    match parse(corpus, name) {
        Ok(Message::Response(response)) => response,
        other => panic!("{name}: {other:?}"),
    }
}
