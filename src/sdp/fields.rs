//! The values of single lines: `m=`, `c=`, `a=rtcp`.

use std::net::IpAddr;

use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, space0, space1};
use nom::combinator::opt;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// `m=<media> <port>[/<number of ports>] <proto> <fmt> ...` (RFC 8866 §5.14).
pub(super) struct MediaField<'a> {
    pub(super) kind: &'a [u8],
    /// Digits, of any length.
    pub(super) port: &'a [u8],
    pub(super) protocol: &'a [u8],
    /// As they stand, without the space around them; may be empty.
    pub(super) formats: &'a [u8],
}

pub(super) fn media(value: &[u8]) -> Option<MediaField<'_>> {
    let (rest, (kind, _, port, _, _, protocol, _)) = (
        word,
        space1,
        digit1,
        opt(preceded(char('/'), digit1)),
        space1,
        word,
        space0,
    )
        .parse(value)
        .ok()?;
    let formats = rest.trim_ascii_end();
    formats
        .iter()
        .all(|&byte| byte.is_ascii_graphic() || byte == b' ')
        .then_some(MediaField {
            kind,
            port,
            protocol,
            formats,
        })
}

/// Where a `c=` line or an `a=rtcp` attribute wants media.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Connection {
    Unicast(IpAddr),
    /// 0.0.0.0 or `::`: nowhere, the hold of RFC 2543.
    Nowhere,
    /// Multicast, broadcast, a host name, or not an internet address.
    Unusable,
}

/// `c=<nettype> <addrtype> <address>[/<ttl>][/<number>]` (RFC 8866 §5.7).
pub(super) fn connection(value: &[u8]) -> Option<Connection> {
    let (_, (network, _, family, _, address)) =
        (word, space1, word, space1, word).parse(value).ok()?;
    let ip = std::str::from_utf8(address)
        .ok()
        .and_then(|address| address.split('/').next())
        .and_then(|address| address.parse::<IpAddr>().ok());
    let known = network == b"IN" && (family == b"IP4" || family == b"IP6");
    Some(match ip {
        Some(ip) if known => of_address(ip),
        Some(_) | None => Connection::Unusable,
    })
}

fn of_address(ip: IpAddr) -> Connection {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() {
        Connection::Nowhere
    } else if ip.is_multicast() || broadcast {
        Connection::Unusable
    } else {
        Connection::Unicast(ip)
    }
}

/// `a=rtcp:<port> [<nettype> <addrtype> <address>]` (RFC 3605).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RtcpField {
    pub(super) port: u16,
    pub(super) connection: Option<Connection>,
}

/// `None` where the port cannot be read; the value is the attribute's, after the colon.
pub(super) fn rtcp(value: &[u8]) -> Option<RtcpField> {
    let (rest, digits) = preceded(space0::<_, nom::error::Error<&[u8]>>, digit1)
        .parse(value)
        .ok()?;
    let port = port(digits)?;
    let rest = rest.trim_ascii();
    let connection = if rest.is_empty() {
        None
    } else {
        Some(connection(rest).unwrap_or(Connection::Unusable))
    };
    Some(RtcpField { port, connection })
}

pub(super) fn port(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// An attribute's name and, after the colon, its value.
pub(super) fn attribute(value: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', value).and_then(|colon| value.split_at_checked(colon)) {
        Some((name, rest)) => (name, rest.strip_prefix(b":").unwrap_or(rest)),
        None => (value.trim_ascii_end(), &[]),
    }
}

/// `v=0`, whole.
pub(super) fn is_version(line: &[u8]) -> bool {
    let version: IResult<&[u8], &[u8]> = tag(&b"v=0"[..]).parse(line);
    version.is_ok_and(|(rest, _)| rest.trim_ascii().is_empty())
}

/// `b=<bwtype>:<bandwidth>` (RFC 8866 §5.8), nothing behind it that could say more.
pub(super) fn is_bandwidth(value: &[u8]) -> bool {
    let (kind, bandwidth) = attribute(value);
    !kind.is_empty()
        && kind
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !bandwidth.is_empty()
        && bandwidth.trim_ascii_end().iter().all(u8::is_ascii_digit)
}

fn word(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(|byte: u8| byte.is_ascii_graphic()).parse(input)
}
