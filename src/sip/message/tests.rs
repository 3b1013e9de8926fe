use super::*;
use crate::config::Limits;

const FIELDS: &str = "Via: SIP/2.0/UDP a.example.com;branch=z9hG4bKx, SIP/2.0/TCP b\r\n\
    f: \"A\" <sip:a@a.example.com>;tag=1\r\nTO  : sip:b@b.example.com\r\n\
    Call-ID: 7@a.example.com\r\nCSeq: 1 OPTIONS\r\n";

fn parse(text: &str) -> Result<Message, Rejected> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn options(more: &str) -> Result<Request, Rejected> {
    match parse(&format!("OPTIONS sip:b@b SIP/2.0\r\n{FIELDS}{more}"))? {
        Message::Request(request) => Ok(request),
        Message::Response(_) => panic!("a request was written"),
    }
}

fn refusal(text: &str) -> (ParseError, bool) {
    let rejected = parse(text).unwrap_err();
    (rejected.error, rejected.request.is_some())
}

#[test]
fn a_request_in_its_parts() {
    let request = options("Max-Forwards: 70\r\nl: 3\r\n\r\nabcdef").unwrap();
    assert_eq!(request.method, Method::Options);
    assert_eq!(request.method_token(), "OPTIONS");
    assert_eq!(request.uri(), "sip:b@b");
    assert_eq!(request.via().unwrap().branch(), Some("z9hG4bKx"));
    assert_eq!(request.values(HeaderName::Via).count(), 2);
    assert_eq!(request.from().unwrap().tag(), Some("1"));
    assert_eq!(request.to().unwrap().uri, "sip:b@b.example.com");
    assert_eq!(request.call_id(), "7@a.example.com");
    assert_eq!(request.cseq().unwrap().number, 1);
    assert_eq!(request.max_forwards(), Ok(Some(70)));
    assert_eq!(request.contact(), Ok(None));
    assert_eq!(&request.body()[..], b"abc");
    let names: Vec<_> = request.all().map(|(written, ..)| written).collect();
    assert_eq!(
        names,
        ["Via", "f", "TO", "Call-ID", "CSeq", "Max-Forwards", "l"]
    );
}

#[test]
fn a_response_in_its_parts() {
    for (line, reason) in [
        ("SIP/2.0 183 Session  Progress", "Session  Progress"),
        ("SIP/2.0 183 ", ""),
        ("sip/2.0 183", ""),
    ] {
        let Message::Response(response) = parse(&format!("{line}\r\n{FIELDS}\r\n")).unwrap() else {
            panic!("a response was written")
        };
        assert_eq!((response.status, response.reason()), (183, reason));
    }
}

#[test]
fn line_feeds_alone_end_lines_too() {
    let text = format!("\r\n\nOPTIONS sip:b@b SIP/2.0\r\n{FIELDS}\r\nbody").replace('\r', "");
    let message = parse(&text).unwrap();
    assert_eq!(&message.fields().body()[..], b"body");
    assert_eq!(message.fields().call_id(), "7@a.example.com");
}

#[test]
fn folded_lines_become_one() {
    let request = options("Subject: one\r\n two\r\n\t\r\n three  \r\nX: y\r\n\r\n z").unwrap();
    assert_eq!(
        request.header(HeaderName::Subject),
        Some("one   two  \t   three")
    );
    assert_eq!(request.named("x").collect::<Vec<_>>(), ["y"]);
    assert_eq!(&request.body()[..], b" z");
}

#[test]
fn a_carriage_return_inside_a_line_is_refused() {
    let rejected = options("Subject: a\rVia: b\r\n\r\n").unwrap_err();
    assert_eq!(rejected.error, ParseError::BareCarriageReturn);
    assert!(rejected.request.is_some());
}

#[test]
fn the_fault_is_told_and_an_answer_is_possible() {
    let limits_fields = "X: y\r\n".repeat(200);
    for (more, error) in [
        ("\r", ParseError::HeadUnfinished),
        ("", ParseError::HeadUnfinished),
        ("no colon\r\n\r\n", ParseError::FieldSyntax),
        (": no name\r\n\r\n", ParseError::FieldSyntax),
        (&format!("{limits_fields}\r\n"), ParseError::TooManyFields),
        (
            "Content-Length: -1\r\n\r\n",
            ParseError::Malformed(HeaderName::ContentLength),
        ),
        (
            "Content-Length:\r\n\r\n",
            ParseError::Malformed(HeaderName::ContentLength),
        ),
        (
            "Content-Length: 99999999999999999999\r\n\r\n",
            ParseError::Malformed(HeaderName::ContentLength),
        ),
        ("Content-Length: 5\r\n\r\nabcd", ParseError::BodyUnfinished),
        (
            "l: 0\r\nContent-Length: 0\r\n\r\n",
            ParseError::Repeated(HeaderName::ContentLength),
        ),
        ("i: 8\r\n\r\n", ParseError::Repeated(HeaderName::CallId)),
        ("t: sip:c@d\r\n\r\n", ParseError::Repeated(HeaderName::To)),
        (
            "Max-Forwards: 256\r\n\r\n",
            ParseError::Malformed(HeaderName::MaxForwards),
        ),
    ] {
        let rejected = options(more).unwrap_err();
        assert_eq!(rejected.error, error, "{more:?}");
        let request = rejected.request.unwrap();
        assert_eq!(request.call_id(), "7@a.example.com", "{more:?}");
    }
}

#[test]
fn start_lines_that_are_refused() {
    for (line, error, answerable) in [
        ("OPTIONS  sip:b@b SIP/2.0", ParseError::StartLine, true),
        ("OPTIONS sip:b@b  SIP/2.0", ParseError::StartLine, true),
        ("OPTIONS sip:b@b SIP/2.0 ", ParseError::StartLine, true),
        ("OPTIONS sip:b@b;x y SIP/2.0", ParseError::StartLine, true),
        ("OPTIONS sip:b@b", ParseError::StartLine, true),
        ("OPTIONS sip:b@b HTTP/1.1", ParseError::StartLine, true),
        ("OPTIONS <sip:b@b> SIP/2.0", ParseError::RequestUri, true),
        ("OPTIONS b@b SIP/2.0", ParseError::RequestUri, true),
        ("OPTIONS sip:b@b SIP/3.0", ParseError::Version, true),
        ("ACK sip:b@b SIP/3.0", ParseError::Version, false),
        ("INVITE sip:b@b SIP/2.0", ParseError::CSeqMethod, true),
        ("options sip:b@b SIP/2.0", ParseError::CSeqMethod, true),
        ("ACK sip:b@b SIP/2.0", ParseError::CSeqMethod, false),
        ("OPT(IONS sip:b@b SIP/2.0", ParseError::StartLine, false),
        ("garbage", ParseError::StartLine, false),
        ("SIP/2.0", ParseError::StartLine, false),
        ("SIP/2.0 99 x", ParseError::StatusCode, false),
        ("SIP/2.0 700 x", ParseError::StatusCode, false),
        ("SIP/2.0 0200 x", ParseError::StatusCode, false),
        ("SIP/7.0 200 OK", ParseError::Version, false),
    ] {
        assert_eq!(
            refusal(&format!("{line}\r\n{FIELDS}\r\n")),
            (error, answerable),
            "{line}"
        );
    }
}

#[test]
fn without_the_five_fields_no_answer_is_possible() {
    for name in ["Via", "f", "TO", "Call-ID", "CSeq"] {
        let fields: String = FIELDS
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(name))
            .collect();
        let (error, answerable) = refusal(&format!("OPTIONS sip:b@b SIP/2.0\r\n{fields}\r\n"));
        assert!(matches!(error, ParseError::Missing(_)), "{name}");
        assert!(!answerable, "{name}");
    }
    assert_eq!(refusal("\r\n\r\n"), (ParseError::Empty, false));
    assert_eq!(refusal(""), (ParseError::Empty, false));
}

#[test]
fn a_head_that_is_not_utf8_can_be_answered() {
    let mut bytes = "OPTIONS sip:b@b SIP/2.0\r\nSubject: "
        .to_owned()
        .into_bytes();
    bytes.extend_from_slice(b"caf\xe9\r\n");
    bytes.extend_from_slice(FIELDS.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let rejected = Message::parse(Bytes::from(bytes), &Limits::default()).unwrap_err();
    assert_eq!(rejected.error, ParseError::NotUtf8);
    assert_eq!(rejected.request.unwrap().call_id(), "7@a.example.com");
}

#[test]
fn a_body_need_not_be_text() {
    let mut bytes = format!("OPTIONS sip:b@b SIP/2.0\r\n{FIELDS}\r\n").into_bytes();
    bytes.extend_from_slice(&[0xff, 0, b'\r', 1]);
    let message = Message::parse(Bytes::from(bytes), &Limits::default()).unwrap();
    assert_eq!(&message.fields().body()[..], &[0xff, 0, b'\r', 1]);
}

#[test]
fn a_message_over_the_limit_is_answered_513() {
    let limits = Limits {
        sip_message_bytes_max: 400,
        ..Limits::default()
    };
    let text = format!("OPTIONS sip:b@b SIP/2.0\r\n{FIELDS}\r\n{}", "x".repeat(400));
    let rejected = Message::parse(Bytes::from(text), &limits).unwrap_err();
    assert_eq!(rejected.error.status(), 513);
    assert!(rejected.request.is_some());
}

#[test]
fn debug_output_holds_no_content() {
    let request = options("Authorization: Digest response=\"secret\"\r\n\r\nkey").unwrap();
    let debug = format!("{request:?}");
    assert!(
        !debug.contains("secret") && !debug.contains("key"),
        "{debug}"
    );
}
