//! What a message says of the connections that it may go over (RFC 5923, RFC 3261 §18).

use memchr::memchr2_iter;

use super::header::{HeaderName, NameAddr};
use super::message::{Message, Request};
use super::uri::Uri;
use crate::config::{Host, Transport};

/// Whether [`offered_alias`] could find something: cheaper than to parse every message for it.
pub fn may_offer_alias(message: &[u8]) -> bool {
    let mut starts = memchr2_iter(b'a', b'A', message);
    starts.any(|start| {
        let word = message.get(start..start + 5);
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"alias"))
    })
}

/// What a peer wants its connection to stand for: the sent-by of a topmost Via with `alias`
/// (RFC 5923 §9.1).
pub fn offered_alias(request: &Request, transport: Transport) -> Option<(Host, u16)> {
    let via = request.via().ok()?;
    via.params.get("alias")?;
    let port = via.port.unwrap_or(transport.default_port());
    Some((Host::from(via.host), port))
}

/// The host that whoever takes this message from us has to be: the first route's or the Request-URI's, a
/// response's sent-by. `None` where that is an address: peers name addresses of their own networks.
pub fn sought_name(message: &Message) -> Option<Host> {
    let host = match message {
        Message::Request(request) => {
            let route = request.values(HeaderName::Route).next();
            let route = route.and_then(|route| NameAddr::parse(route).ok());
            // RFC 3261 §12.2.1.1: before a strict router stands in the Request-URI.
            let uri = route
                .and_then(|route| Uri::parse(route.uri).ok())
                .filter(|route| route.params.get("lr").is_some());
            match uri {
                Some(uri) => uri.host_value(),
                None => Uri::parse(request.uri()).ok()?.host_value(),
            }
        }
        Message::Response(response) => Host::from(response.via().ok()?.host),
    };
    match host {
        Host::Name(name) if !name.is_empty() => Some(Host::Name(name)),
        Host::Name(_) | Host::Address(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::Limits;

    fn message(start: &str, via: &str, more: &str) -> Message {
        let text = format!(
            "{start}\r\nVia: {via};branch=z9hG4bK1\r\nFrom: <sip:a@a.example>;tag=1\r\n\
             To: <sip:b@b.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n{more}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &Limits::default()).unwrap()
    }

    fn alias(via: &str) -> Option<(Host, u16)> {
        match message("OPTIONS sip:b@b.example SIP/2.0", via, "") {
            Message::Request(request) => offered_alias(&request, Transport::Tls),
            Message::Response(_) => None,
        }
    }

    #[test]
    fn an_alias_stands_for_the_sent_by_of_the_topmost_via() {
        let offered = alias("SIP/2.0/TLS pbx.example:5071;alias");
        assert_eq!(offered, Some((Host::from("pbx.example"), 5_071)));
        let offered = alias("SIP/2.0/TLS 192.0.2.7;x=y;Alias");
        assert_eq!(offered, Some((Host::from("192.0.2.7"), 5_061)));
        assert_eq!(alias("SIP/2.0/TLS pbx.example:5071;aliased"), None);
        let below = alias("SIP/2.0/TLS a.example, SIP/2.0/TLS b.example;alias");
        assert_eq!(below, None);
    }

    #[test]
    fn a_message_without_the_word_offers_nothing() {
        for text in ["Via: x;alias", "aalias", "ALIAS=1", "AliaS"] {
            assert!(may_offer_alias(text.as_bytes()), "{text}");
        }
        for text in ["", "alia", "al ias", "Via: x;rport"] {
            assert!(!may_offer_alias(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_message_seeks_its_first_route_its_target_or_its_sent_by() {
        let sought = |start, via, more| sought_name(&message(start, via, more));
        let via = "SIP/2.0/TLS pbx.example:5071";
        let name = |name| Some(Host::from(name));
        let to_b = "OPTIONS sips:b@B.example:5061 SIP/2.0";
        for (start, more, expected) in [
            (to_b, "", name("b.example")),
            (
                to_b,
                "Route: <sip:edge.example;lr>, <sip:core.example;lr>\r\n",
                name("edge.example"),
            ),
            (to_b, "Route: <sip:strict.example>\r\n", name("b.example")),
            (to_b, "Route: <sip:192.0.2.9;lr>\r\n", None),
            ("OPTIONS sip:b@[2001:db8::1] SIP/2.0", "", None),
            ("OPTIONS tel:+1 SIP/2.0", "", None),
            ("SIP/2.0 200 OK", "", name("pbx.example")),
        ] {
            assert_eq!(sought(start, via, more), expected, "{start} {more}");
        }
        assert_eq!(sought("SIP/2.0 200 OK", "SIP/2.0/TLS 192.0.2.7", ""), None);
    }
}
