//! The requests that look like the INVITE they belong to: its CANCEL, and the ACK of a failure response.

use bytes::Bytes;

use super::message::{HeaderName, Message, Response};
use super::writer::Writer;
use crate::config::Limits;

/// RFC 3261 §17.1.1.3: the INVITE's Request-URI, top Via, Route, From, Call-ID and CSeq number, the
/// response's To.
pub(crate) fn ack_of_failure(invite: &Bytes, response: &Response) -> Bytes {
    derived_request(
        invite,
        "ACK",
        Some(response.header(HeaderName::To).unwrap_or_default()),
        &[],
    )
}

/// RFC 3261 §9.1: as above, with the INVITE's own To, and why (RFC 3326 §2).
pub(crate) fn cancel_of(invite: &Bytes, reasons: &[Box<str>]) -> Bytes {
    derived_request(invite, "CANCEL", None, reasons)
}

fn derived_request(invite: &Bytes, method: &str, to: Option<&str>, reasons: &[Box<str>]) -> Bytes {
    // The INVITE is one that we wrote: no limit for peers' messages holds for it, because a peer
    // has a say in how long it gets (Record-Route).
    let limits = Limits {
        sip_message_bytes_max: usize::MAX,
        sip_headers_max: usize::MAX,
        ..Limits::default()
    };
    let Ok(Message::Request(invite)) = Message::parse(invite.clone(), &limits) else {
        debug_assert!(false, "an INVITE of ours does not parse");
        return Bytes::new();
    };
    let own = |name| invite.header(name).unwrap_or_default();
    let mut out = Vec::with_capacity(512);
    let mut writer = Writer::request(&mut out, method, invite.uri());
    writer
        .field(HeaderName::Via, &[own(HeaderName::Via)])
        .number(HeaderName::MaxForwards, 70);
    for route in invite.headers(HeaderName::Route) {
        writer.field(HeaderName::Route, &[route]);
    }
    writer.field(HeaderName::From, &[own(HeaderName::From)]);
    writer.field(HeaderName::To, &[to.unwrap_or_else(|| own(HeaderName::To))]);
    writer.field(HeaderName::CallId, &[own(HeaderName::CallId)]);
    // RFC 3261 §22.1: the ACK of a failure has the INVITE's credentials.
    if method == "ACK" {
        writer
            .copy(&invite, HeaderName::Authorization)
            .copy(&invite, HeaderName::ProxyAuthorization);
    }
    let number = invite.cseq().map_or(1, |cseq| cseq.number).to_string();
    writer.field(HeaderName::CSeq, &[&number, " ", method]);
    for reason in reasons {
        writer.field(HeaderName::Reason, &[reason]);
    }
    writer.end();
    out.shrink_to_fit();
    out.into()
}
