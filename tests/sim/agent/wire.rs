//! What an agent writes.

use std::net::SocketAddr;

use bytes::Bytes;
use trunkline::sip::header::NameAddr;
use trunkline::sip::message::{HeaderName, Method, Request, Response};
use trunkline::sip::writer::Writer;

use super::Agent;
use super::call::Call;
use super::plan::Plan;
use super::security::{self, Line, Role};

/// A request of this call; the ACK of a failure and CANCEL have the INVITE's branch.
pub(crate) fn request(
    agent: &Agent,
    call: &Call,
    method: &str,
    cseq: u32,
    branch: &str,
    extra: &[(&str, String)],
    body: Option<String>,
) -> Bytes {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, method, &call.target);
    let via = agent.via(branch);
    writer
        .field(HeaderName::Via, &[&via])
        .number(HeaderName::MaxForwards, 70);
    for route in &call.routes {
        writer.field(HeaderName::Route, &[route]);
    }
    writer
        .field(HeaderName::From, &[&call.local])
        .field(HeaderName::To, &[&call.remote])
        .field(HeaderName::CallId, &[&call.id])
        .field(HeaderName::CSeq, &[&cseq.to_string(), " ", method]);
    if matches!(method, "INVITE" | "UPDATE" | "REFER") {
        writer.field(HeaderName::Contact, &[&agent.contact()]);
        write_allow(&mut writer, &call.plan);
        if method == "INVITE" && call.plan.record_route && call.remote_tag.is_none() {
            writer.field(HeaderName::RecordRoute, &[&agent.record_route(&call.plan)]);
        }
    }
    for (name, value) in extra {
        writer.raw_field(name, value);
    }
    match (body, call.plan.location) {
        (Some(body), Some(location)) if call.remote_tag.is_none() => {
            let body = format!(
                "--b1\r\nContent-Type: application/sdp\r\n\r\n{body}\r\n--b1\r\n{location}\r\n--b1--\r\n"
            );
            writer.body("multipart/mixed;boundary=\"b1\"", body.as_bytes());
        }
        (Some(body), _) => writer.body("application/sdp", body.as_bytes()),
        (None, _) => writer.end(),
    }
    out.into()
}

/// A response to a request that came.
pub(crate) fn response(
    agent: &Agent,
    request: &Request,
    status: u16,
    reason: &str,
    tag: &str,
    record_route: bool,
    body: Option<String>,
) -> Bytes {
    let mut out = Vec::new();
    let mut writer = Writer::response(&mut out, status, reason);
    writer.copy(request, HeaderName::Via);
    writer.copy(request, HeaderName::RecordRoute);
    if record_route {
        writer.field(HeaderName::RecordRoute, &[&agent.record_route(&agent.plan)]);
    }
    writer.copy(request, HeaderName::From);
    let to = request.header(HeaderName::To).unwrap();
    match request.to().unwrap().tag().is_some() || status == 100 {
        true => writer.field(HeaderName::To, &[to]),
        false => writer.field(HeaderName::To, &[to, ";tag=", tag]),
    };
    writer
        .copy(request, HeaderName::CallId)
        .copy(request, HeaderName::CSeq);
    if status < 300 {
        writer.field(HeaderName::Contact, &[&agent.contact()]);
        write_allow(&mut writer, &agent.plan);
    }
    let is_of_session = matches!(request.method, Method::Invite | Method::Update);
    if let (Some((expires, _)), 200, true) = (agent.plan.session, status, is_of_session) {
        writer
            .field(HeaderName::SessionExpires, &[expires])
            .field(HeaderName::Require, &["timer"]);
    }
    if let (Some((_, least)), 422) = (agent.plan.session, status) {
        writer.number(HeaderName::MinSe, least.into());
    }
    match body {
        Some(body) => writer.body("application/sdp", body.as_bytes()),
        None => writer.end(),
    }
    out.into()
}

/// The message with these header fields before its own Content-Length or Content-Type.
pub(crate) fn with_fields(message: &Bytes, fields: &str) -> Bytes {
    let text = std::str::from_utf8(message).unwrap();
    let at = text.find("\r\nContent-").unwrap() + 2;
    format!("{}{fields}{}", &text[..at], &text[at..]).into()
}

fn write_allow(writer: &mut Writer<'_>, plan: &Plan) {
    if plan.takes_update {
        writer.field(HeaderName::Allow, &["INVITE, ACK, BYE, CANCEL, UPDATE"]);
    }
}

/// The ACK of a failure response (RFC 3261 §17.1.1.3).
pub(crate) fn ack_of_failure(invite: &Bytes, response: &Response) -> Bytes {
    derived(invite, "ACK", response.header(HeaderName::To))
}

/// CANCEL (RFC 3261 §9.1).
pub(crate) fn cancel(invite: &Bytes) -> Bytes {
    derived(invite, "CANCEL", None)
}

/// Made of the INVITE's own lines.
fn derived(invite: &Bytes, method: &str, to: Option<&str>) -> Bytes {
    let text = std::str::from_utf8(invite).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    let kept = head
        .split("\r\n")
        .filter_map(|line| match line.split([':', ' ']).next().unwrap() {
            "INVITE" | "CSeq" => Some(line.replacen("INVITE", method, 1)),
            "To" => Some(to.map_or_else(|| line.to_owned(), |to| format!("To: {to}"))),
            "Via" | "From" | "Call-ID" | "Route" | "Max-Forwards" => Some(line.to_owned()),
            _ => None,
        });
    let lines: Vec<String> = kept.collect();
    (lines.join("\r\n") + "\r\nContent-Length: 0\r\n\r\n").into()
}

/// A session description of this agent.
pub(crate) fn sdp(agent: &Agent, call: &Call, role: Role) -> String {
    let ip = agent.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let (mark, version) = (&agent.mark, call.version);
    let media = match call.is_fax {
        true => fax(call),
        false => audio(agent, call, role),
    };
    let text = format!(
        "v=0\r\no={mark} 1 {version} IN {family} {ip}\r\ns={mark}\r\nc=IN {family} {ip}\r\nt=0 0\r\n{media}"
    );
    match call.plan.rewrite {
        Some(rewrite) => rewrite(text),
        None => text,
    }
}

fn audio(agent: &Agent, call: &Call, role: Role) -> String {
    let (port, direction) = (call.media_port, call.direction);
    let formats: String = (call.plan.formats.iter())
        .map(|format| format!(" {format}"))
        .collect();
    let named: String = (call.plan.formats.iter())
        .map(|format| format_lines(*format))
        .collect();
    let (profile, crypto) = call.security.described(agent.srtp, &call.id, role);
    let has_mux = match role {
        Role::Offer => agent.rtcp_mux,
        Role::Answer => call.is_muxed,
    };
    let mux = if has_mux { "a=rtcp-mux\r\n" } else { "" };
    format!(
        "m=audio {port} {profile}{formats}\r\n{named}a=ptime:20\r\na={direction}\r\n{mux}{crypto}"
    )
}

fn fax(call: &Call) -> String {
    let port = call.media_port;
    format!(
        "m=image {port} udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\n"
    )
}

/// What is said of a payload type; 8 and 18 need no name (RFC 3551 §6).
fn format_lines(format: u8) -> &'static str {
    match format {
        0 => "a=rtpmap:0 PCMU/8000\r\n",
        97 => "a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\n",
        96 => "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n",
        101 => "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        _ => "",
    }
}

/// What a description says of the stream in use.
pub(crate) struct Description {
    pub(crate) address: SocketAddr,
    pub(crate) direction: String,
    pub(crate) is_fax: bool,
    pub(crate) is_secure_profile: bool,
    pub(crate) rtcp_mux: bool,
    pub(crate) crypto: Vec<Line>,
}

/// Reads a description by hand.
pub(crate) fn read_sdp(body: &[u8]) -> Option<Description> {
    let text = std::str::from_utf8(body).unwrap();
    let value = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let ip = value("c=IN IP4 ").or_else(|| value("c=IN IP6 "))?;
    let fax = value("m=image ").filter(|line| !line.starts_with("0 "));
    let mut line = fax.or_else(|| value("m=audio "))?.split(' ');
    let (port, profile) = (line.next()?, line.next()?);
    let direction = ["sendonly", "recvonly", "inactive"].into_iter();
    let direction = direction
        .into_iter()
        .find(|direction| text.contains(&format!("a={direction}\r\n")));
    Some(Description {
        address: SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap()),
        direction: direction.unwrap_or("sendrecv").to_owned(),
        is_fax: fax.is_some(),
        is_secure_profile: profile == "RTP/SAVP",
        rtcp_mux: text.contains("a=rtcp-mux\r\n"),
        crypto: security::read_lines(text),
    })
}

/// The URI of the first Contact.
pub(crate) fn contact_of(value: Option<&str>) -> Option<String> {
    Some(NameAddr::parse(value?).unwrap().uri.to_owned())
}
