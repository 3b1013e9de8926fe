//! What holds for whatever bytes come.

use proptest::prelude::*;

use super::*;
use crate::config::Limits;
use crate::sip::digest::{Challenge, Credentials};
use crate::sip::uri::{Uri, unescape};
use crate::sip::writer::Writer;

const VALID: &str = "INVITE sip:+12065550100@vc.example.com:5060;transport=udp?x=y SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8::1]:5060;rport;branch=z9hG4bKx, SIP / 2.0/TCP b.example\r\n \
    ;received=192.0.2.1\r\nMax-Forwards: 70\r\n\
    f: \"A \\\" é\" <sip:a:b@a.example.com;x=y>;tag=1\r\nTo: sip:b%41@b.example.com;p=\"q;,\"\r\n\
    Contact: <sip:a@192.0.2.1>;q=0.5, \"C, D\" <tel:+1-206>\r\nCall-ID: 7@a.example.com\r\n\
    Authorization: Digest username=\"a\", realm=b, nonce=\"c\", uri=\"sip:d\", qop=auth, nc=0000000a, \
    cnonce=\"e\", response=\"f\"\r\n\
    CSeq: 1 INVITE\r\nSubject: folded\r\n\tline\r\nl: 4\r\n\r\nbody";

fn read_everything(bytes: Vec<u8>) {
    let parsed = Message::parse(Bytes::from(bytes), &Limits::default());
    let fields = match &parsed {
        Ok(message) => message.fields(),
        Err(Rejected {
            request: Some(request),
            ..
        }) => request,
        Err(Rejected { request: None, .. }) => return,
    };
    if let Ok(Message::Request(request)) = &parsed {
        assert!(!request.method_token().is_empty() && !request.uri().contains(' '));
        read_uri(request.uri());
    }
    if parsed.is_ok() {
        assert!(fields.via().is_ok() && fields.from().is_ok() && fields.to().is_ok());
        assert!(fields.cseq().is_ok() && !fields.call_id().is_empty());
    }
    for (written, name, value) in fields.all() {
        assert_eq!(HeaderName::from_bytes(written.as_bytes()), name);
        assert!(!value.contains(['\n']) && value.trim_matches([' ', '\t']) == value);
        assert!(parsed.is_err() || !value.contains('\r'));
        for element in fields.values(name) {
            let _ = Via::parse(element).map(|via| (via.branch(), via.sent_by().len()));
            if let Ok(address) = NameAddr::parse(element) {
                let _ = (address.tag(), address.display_name());
                read_uri(address.uri);
            }
        }
        let _ = (CSeq::parse(value).is_ok(), Challenge::parse(value).is_ok());
        let _ = Credentials::parse(value).map(|credentials| credentials.nc());
    }
}

fn read_uri(text: &str) {
    if let Ok(uri) = Uri::parse(text) {
        let _ = (
            uri.host_value(),
            uri.transport(),
            unescape(uri.user.unwrap_or_default()),
        );
        assert!(uri.params.iter().count() <= text.len());
    }
}

#[test]
fn the_message_that_is_mutated_is_valid() {
    let message = Message::parse(Bytes::from(VALID), &Limits::default()).unwrap();
    let fields = message.fields();
    assert_eq!(fields.contact().unwrap().unwrap().uri, "sip:a@192.0.2.1");
    let value = fields.header(HeaderName::Authorization).unwrap();
    assert_eq!(Credentials::parse(value).unwrap().nc(), Some(10));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_everything(bytes);
    }

    #[test]
    fn any_header_fields_are_read_or_refused(lines in "([ -~\r\n\t]{0,12}[:;,<>\"\\\\@%=/?\\[\\] ]){0,20}") {
        read_everything(VALID.replace("folded\r\n\tline", &lines).into_bytes());
        read_everything(lines.into_bytes());
    }

    #[test]
    fn mutated_messages_are_read_or_refused(
        changes in prop::collection::vec((0..VALID.len(), 0..4u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (place, kind, byte) in changes {
            let place = place % bytes.len().max(1);
            match kind {
                0 if place < bytes.len() => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 if place < bytes.len() => drop(bytes.remove(place)),
                _ => bytes.truncate(place + 1),
            }
        }
        read_everything(bytes);
    }

    #[test]
    fn what_is_written_is_read_back(
        fields in prop::collection::vec(("X-[A-Za-z0-9]{1,10}", "\\PC{0,40}"), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..200),
        reason in "\\PC{0,30}",
        status in 100..=699u16,
    ) {
        let mut out = Vec::new();
        let mut writer = Writer::response(&mut out, status, &reason);
        writer
            .field(HeaderName::Via, &["SIP/2.0/", "UDP", " a"])
            .field(HeaderName::From, &["<sip:a@b>;tag=", "1"])
            .field(HeaderName::To, &["sip:c@d"])
            .field(HeaderName::CallId, &["7"])
            .field(HeaderName::CSeq, &["1 ", "BYE"]);
        for (name, value) in &fields {
            writer.raw_field(name, value);
        }
        writer.body("text/plain", &body);
        let Ok(Message::Response(response)) = Message::parse(Bytes::from(out), &Limits::default()) else {
            panic!("not read back")
        };
        prop_assert_eq!(response.status, status);
        prop_assert_eq!(response.reason(), reason);
        prop_assert_eq!(&response.body()[..], body);
        let read: Vec<_> = response
            .all()
            .filter(|(_, name, _)| *name == HeaderName::Other)
            .map(|(written, _, value)| (written.to_owned(), value.to_owned()))
            .collect();
        let written: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.clone(), value.trim_matches([' ', '\t']).to_owned()))
            .collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn a_written_value_never_ends_its_line(pieces in prop::collection::vec("[a\r\n: ]{0,8}", 1..6)) {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, pieces[0], pieces[0]);
        writer.field(HeaderName::Subject, &pieces).raw_field(pieces[0], pieces[0]);
        writer.end();
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(text.matches("\r\n").count(), 5);
        prop_assert_eq!(text.matches(['\r', '\n']).count(), 10);
    }
}
