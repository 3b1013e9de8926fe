//! Which MESSAGEs are relayed, and to whom.

use std::sync::Arc;

use super::request::{request_bytes_max, too_large};
use crate::config::{Carrier, Transport};
use crate::gateway::limiter::Booking;
use crate::gateway::origination::{book_text, caller_of, dialled};
use crate::gateway::routing::{Candidate, carrier_candidates};
use crate::gateway::{Cause, Refusal};
use crate::numbering::E164;
use crate::shard::core::Core;
use crate::shard::snapshot::ProxySession;
use crate::sip::message::{HeaderName, Request};
use crate::sip::multipart::{is_of, params_of};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::writer::reason_phrase;

/// Characters of a charset's name (RFC 2978 §2.3).
const CHARSET_BYTES_MAX: usize = 40;

/// A MESSAGE that may pass, and where it may go.
pub(crate) struct PagerAdmission {
    /// The session that it belongs to.
    pub(crate) session: Arc<ProxySession>,
    /// The number that stands for the sender.
    pub(crate) caller: E164,
    /// The receiver's own number.
    pub(crate) called: E164,
    /// Where to send it, in the order to be tried; at least one.
    pub(crate) candidates: Vec<Candidate>,
    /// What the body is; `None` without one.
    pub(crate) content_type: Option<String>,
    /// It is for a `sips:` URI.
    pub(crate) is_sips: bool,
    /// What it takes of the connector's limits.
    pub(crate) booking: Booking,
}

/// Decides over a MESSAGE that a carrier sent. Only numbers that stand for somebody take any; nobody but the other
/// participant gets one, where the connector's calls may go there, and without a session there is nobody to take it instead.
pub(crate) fn admit(
    carrier: &Carrier,
    request: &Request,
    uri: &Uri<'_>,
    core: &mut Core,
) -> Result<PagerAdmission, Refusal> {
    let snapshot = Arc::clone(&core.snapshot);
    let number = dialled(carrier, uri);
    let number = number.filter(|number| snapshot.masking_connector(*number).is_some());
    let number = number.ok_or_else(|| Refusal::new(405, reason_phrase(405)))?;
    let caller = caller_of(carrier, request)?.ok_or(Cause::NoProxySession)?;
    let session = snapshot.open_session(caller, number, core.now);
    let session = session.ok_or(Cause::NoProxySession)?;
    if !session.sms {
        return Err(Cause::ProxyWithoutSms.into());
    }
    // The whole request is larger still.
    if request.body().len() > request_bytes_max(core.settings.udp_mtu) {
        return Err(too_large());
    }
    let content_type = content_type_of(request)?;
    let other = session.other(caller);
    let connector = snapshot.connectors.get(&session.connector);
    let connector = connector.ok_or(Cause::NoProxySession)?;
    let booking = book_text(connector, other.number, &mut core.origination_context())?;
    let mut candidates = carrier_candidates(other.number, &snapshot, &mut core.random);
    if candidates.is_empty() {
        return Err(Refusal::from(Cause::NoCarrier).for_seconds(60));
    }
    let is_sips = uri.scheme == Scheme::Sips;
    if is_sips {
        // RFC 3261 §26.2.2
        candidates.retain(|candidate| candidate.transport == Transport::Tls);
    }
    if candidates.is_empty() {
        return Err(Cause::NoRouteOverTls.into());
    }
    Ok(PagerAdmission {
        session: Arc::clone(session),
        caller: other.proxy,
        called: other.number,
        candidates,
        content_type,
        is_sips,
        booking,
    })
}

/// The Content-Type to go on with: plain text with its charset. Whatever else can be in a body, or stand behind its
/// type, can say who wrote it: message/cpim (RFC 3862) and the bodies of the mobile networks carry addresses.
fn content_type_of(request: &Request) -> Result<Option<String>, Refusal> {
    if request.body().is_empty() {
        return Ok(None);
    }
    let refusal = || Refusal::new(415, "Only Plain Text Is Relayed");
    let mut encodings = request.values(HeaderName::ContentEncoding);
    if encodings.any(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(refusal());
    }
    let written = request.header(HeaderName::ContentType).unwrap_or_default();
    if !is_of(written, "text/plain") {
        return Err(refusal());
    }
    let charset = params_of(written).and_then(|params| params.value("charset"));
    match charset.map(|charset| charset.trim_matches('"')) {
        None => Ok(Some("text/plain".to_owned())),
        Some(charset) if is_charset(charset) => Ok(Some(format!("text/plain;charset={charset}"))),
        Some(_) => Err(refusal()),
    }
}

fn is_charset(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    (1..=CHARSET_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}
