//! Responses to a received request, and where they go (RFC 3261 §8.2.6 and §18.2, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use super::header::Via;
use super::message::{Fields, HeaderName};
use super::writer::Writer;
use crate::config::{Host, Transport};

/// Begins a response to the request with these fields: status line, Via (the top one with `received`
/// and `rport` filled in), From, To with `to_tag` where it had none, Call-ID, CSeq.
pub fn write_response<'a>(
    out: &'a mut Vec<u8>,
    request: &Fields,
    source: SocketAddr,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
) -> Writer<'a> {
    let mut writer = Writer::response(out, status, reason);
    for (index, via) in request.values(HeaderName::Via).enumerate() {
        match (index, Via::parse(via)) {
            (0, Ok(top)) => write_top_via(&mut writer, via, &top, source),
            (_, Ok(_) | Err(_)) => {
                writer.field(HeaderName::Via, &[via]);
            }
        }
    }
    writer.field(
        HeaderName::From,
        &[request.header(HeaderName::From).unwrap_or_default()],
    );
    let to = request.header(HeaderName::To).unwrap_or_default();
    let has_tag = request.to().is_ok_and(|to| to.tag().is_some());
    match to_tag {
        Some(tag) if !has_tag => writer.field(HeaderName::To, &[to, ";tag=", tag]),
        Some(_) | None => writer.field(HeaderName::To, &[to]),
    };
    writer.field(HeaderName::CallId, &[request.call_id()]);
    writer.field(
        HeaderName::CSeq,
        &[request.header(HeaderName::CSeq).unwrap_or_default()],
    );
    writer
}

/// RFC 3261 §18.2.1: `received` where sent-by is not the source address; RFC 3581 §4: `rport` filled in,
/// and `received` always with it.
fn write_top_via(writer: &mut Writer<'_>, raw: &str, via: &Via<'_>, source: SocketAddr) {
    let address = source.ip().to_canonical().to_string();
    let port = source.port().to_string();
    let same_host = Host::from(via.host) == Host::Address(source.ip().to_canonical());
    if !via.wants_rport() {
        match same_host {
            true => writer.field(HeaderName::Via, &[raw]),
            false => writer.field(
                HeaderName::Via,
                &[
                    without_params(raw, &["received"]).as_str(),
                    ";received=",
                    &address,
                ],
            ),
        };
        return;
    }
    let bare = without_params(raw, &["received", "rport"]);
    writer.field(
        HeaderName::Via,
        &[&bare, ";received=", &address, ";rport=", &port],
    );
}

/// The value without these parameters; what stays is untouched.
fn without_params(raw: &str, names: &[&str]) -> String {
    let mut parts = raw.split(';');
    let mut kept = parts.next().unwrap_or_default().trim_end().to_owned();
    for part in parts {
        let name = part.split('=').next().unwrap_or_default().trim();
        if !names
            .iter()
            .any(|unwanted| name.eq_ignore_ascii_case(unwanted))
        {
            kept.push(';');
            kept.push_str(part.trim());
        }
    }
    kept
}

/// Where a response goes on an unreliable transport: the source address, and the source port where
/// `rport` was asked for (RFC 3581 §4), otherwise the port of sent-by (RFC 3261 §18.2.2). On a stream
/// it goes back on the connection, and only where that is closed to the port of sent-by.
pub fn response_address(via: &Via<'_>, transport: Transport, source: SocketAddr) -> SocketAddr {
    if via.wants_rport() && !transport.is_reliable() {
        return source;
    }
    SocketAddr::new(source.ip(), via.port.unwrap_or(transport.default_port()))
}

/// Whether the peer sits behind a translator: what it says of itself is not where it sends from.
pub fn behind_nat(via: &Via<'_>, source: SocketAddr) -> bool {
    let host = Host::from(via.host);
    match host {
        Host::Address(IpAddr::V4(_) | IpAddr::V6(_)) => {
            host != Host::Address(source.ip().to_canonical())
        }
        Host::Name(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via<'_> {
        Via::parse(text).unwrap()
    }

    #[test]
    fn a_response_goes_to_the_source_port_only_where_rport_asks_for_it() {
        let source = "192.0.2.7:40000".parse().unwrap();
        let plain = via("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1");
        let symmetric = via("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;rport");
        let address = |via, transport| response_address(via, transport, source).to_string();
        assert_eq!(address(&plain, Transport::Udp), "192.0.2.7:5070");
        assert_eq!(address(&symmetric, Transport::Udp), "192.0.2.7:40000");
        assert_eq!(address(&symmetric, Transport::Tcp), "192.0.2.7:5070");
        let portless = via("SIP/2.0/TLS pbx.example;branch=z9hG4bK1");
        assert_eq!(address(&portless, Transport::Tls), "192.0.2.7:5061");
    }

    #[test]
    fn a_peer_that_names_another_address_is_behind_a_translator() {
        let source = "192.0.2.7:5060".parse().unwrap();
        assert!(behind_nat(
            &via("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1"),
            source
        ));
        assert!(!behind_nat(
            &via("SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1"),
            source
        ));
        assert!(!behind_nat(
            &via("SIP/2.0/UDP pbx.example;branch=z9hG4bK1"),
            source
        ));
    }
}
