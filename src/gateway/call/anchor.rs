//! What a call does with its media: two endpoints of the shard, joined; addresses from both sides'
//! descriptions; an eye on whether anything flows.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use super::security::{Keying, SdpRole};
use super::{Call, CallTimer, Side, State};
use crate::connector_id::VoiceConnectorId;
use crate::gateway::Refusal;
use crate::gateway::refusal::{Cause, Warning};
use crate::instant::Instant;
use crate::media::{
    Endpoint, EndpointId, PayloadFormat, Peer, REPORT_INTERVAL, Reporter, srtp::OVERHEAD_BYTES_MAX,
};
use crate::sdp::{SdpError, SessionDescription, payload_map};
use crate::shard::core::Core;
use crate::shard::io::Output;
use crate::shard::wheel::TimerId;
use crate::sip::message::{Fields, HeaderName, Request};
use crate::sip::multipart::{self, Part};
use crate::sip::writer::reason_phrase;
use crate::telemetry::{CallQuality, EndCause, Event, LegQuality, LiveCall};

/// A call on hold may be silent for this long: a day's work, not for ever, for both peers may be gone.
const HELD_TIMEOUT: Duration = Duration::from_secs(8 * 3_600);
/// Looks at whether media flows are taken this often within the media timeout.
const LOOKS_PER_TIMEOUT: u32 = 4;
/// What is known of a call's media is told this often.
const QUALITY_INTERVAL: Duration = Duration::from_secs(60);
/// Room for a report of ours: SR, one block and CNAME, before encryption.
const REPORT_BYTES: usize = 128;

/// The media type of a location (RFC 4119, RFC 5491).
const LOCATION: &str = "application/pidf+xml";

/// The call's endpoints.
#[derive(Default)]
pub(super) struct Anchor {
    a: Option<Endpoint>,
    b: Option<Endpoint>,
    /// Of the target of a transfer; joined with nobody.
    target: Option<Endpoint>,
    /// Of endpoints that were replaced.
    before: (LegQuality, LegQuality),
    packets_seen: u64,
    last_flow: Instant,
    /// When its quality was told last.
    told: Instant,
    /// Who reports to each side where the other one does not.
    identities: [Identity; 2],
    timer: Option<TimerId>,
}

/// Who reports in RTCP: chosen at random (RFC 7022 §4.2), so that no address is in it.
#[derive(Default)]
struct Identity {
    ssrc: u32,
    cname: String,
}

impl Anchor {
    pub(super) fn endpoint(&self, side: Side) -> Option<&Endpoint> {
        match side {
            Side::A => self.a.as_ref(),
            Side::B => self.b.as_ref(),
        }
    }

    /// Gives a side an endpoint for a peer whose signalling comes from `peer`, of the same address family (another
    /// one where it has one of the other family), joined with the other side's.
    pub(super) fn allocate(
        &mut self,
        core: &mut Core,
        side: Side,
        peer: IpAddr,
    ) -> Result<(), Refusal> {
        if let Some(endpoint) = self.endpoint(side)
            && endpoint.advertise.is_ipv6() == peer.is_ipv6()
        {
            core.media.meet(endpoint.id, peer, core.now);
            return Ok(());
        }
        let now = core.now;
        let endpoint = take_endpoint(core, peer)?;
        let place = match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        };
        if let Some(before) = place.replace(endpoint) {
            core.media.release(before.id, now);
        }
        if let (Some(a), Some(b)) = (&self.a, &self.b) {
            core.media.join(a.id, b.id);
        }
        Ok(())
    }

    pub(super) fn target(&self) -> Option<&Endpoint> {
        self.target.as_ref()
    }

    /// Gives the target of a transfer an endpoint in the same way.
    pub(super) fn allocate_target(&mut self, core: &mut Core, peer: IpAddr) -> Result<(), Refusal> {
        let is_of_family = |target: &&Endpoint| target.advertise.is_ipv6() == peer.is_ipv6();
        if let Some(target) = self.target.as_ref().filter(is_of_family) {
            core.media.meet(target.id, peer, core.now);
            return Ok(());
        }
        let endpoint = take_endpoint(core, peer)?;
        self.release_target(core);
        self.target = Some(endpoint);
        Ok(())
    }

    pub(super) fn release_target(&mut self, core: &mut Core) {
        if let Some(target) = self.target.take() {
            core.media.release(target.id, core.now);
        }
    }

    /// The target's endpoint becomes that of this side.
    pub(super) fn replace(&mut self, core: &mut Core, side: Side) {
        let Some(target) = self.target.take() else {
            return;
        };
        let (place, before) = match side {
            Side::A => (&mut self.a, &mut self.before.0),
            Side::B => (&mut self.b, &mut self.before.1),
        };
        if let Some(left) = place.replace(target) {
            *before = release(core, left).after(before);
        }
        if let (Some(a), Some(b)) = (&self.a, &self.b) {
            core.media.join(a.id, b.id);
        }
        self.last_flow = core.now;
    }

    /// Gives the endpoints back; what became of the media.
    pub(super) fn release(&mut self, core: &mut Core) -> CallQuality {
        core.cancel_timer(&mut self.timer);
        self.release_target(core);
        let quality = self.quality(core);
        for endpoint in [self.a.take(), self.b.take()].into_iter().flatten() {
            core.media.release(endpoint.id, core.now);
        }
        quality
    }

    /// What is known of the media of both legs.
    pub(super) fn quality(&self, core: &Core) -> CallQuality {
        let known = |endpoint: &Option<Endpoint>, before: &LegQuality| match endpoint {
            Some(endpoint) => core.media.quality(endpoint.id).after(before),
            None => *before,
        };
        CallQuality {
            a: known(&self.a, &self.before.0),
            b: known(&self.b, &self.before.1),
        }
    }

    /// Reports to a side whose other one makes none.
    fn report_to(&self, core: &mut Core, to: EndpointId, identity: &Identity) {
        let mut buffer = [0; REPORT_BYTES + OVERHEAD_BYTES_MAX];
        let reporter = Reporter {
            ssrc: identity.ssrc,
            cname: &identity.cname,
        };
        let report = core.media.own_report(to, &reporter, core.now, &mut buffer);
        if let Some((forward, length)) = report
            && let Some(bytes) = buffer.get(..length)
        {
            core.outputs.push_back(Output::Media {
                forward,
                bytes: Bytes::copy_from_slice(bytes),
            });
        }
    }
}

impl Identity {
    fn new(core: &mut Core) -> Self {
        let (name, more) = (core.random.next_u64(), core.random.next_u64());
        Self {
            ssrc: (more >> 32) as u32,
            cname: format!("{name:016x}{:08x}", more & u64::from(u32::MAX)),
        }
    }
}

/// Gives an endpoint back; what was known of it.
fn release(core: &mut Core, endpoint: Endpoint) -> LegQuality {
    let quality = core.media.quality(endpoint.id);
    core.media.release(endpoint.id, core.now);
    quality
}

fn take_endpoint(core: &mut Core, peer: IpAddr) -> Result<Endpoint, Refusal> {
    // A node with media addresses of one family only serves both with it.
    let ipv6 = core.media.serves(peer.is_ipv6()) == peer.is_ipv6();
    let allocated = core.media.allocate(ipv6, core.now);
    let endpoint = allocated.ok_or_else(|| Refusal::unavailable("No Media Port Free", 5))?;
    core.media.meet(endpoint.id, peer, core.now);
    Ok(endpoint)
}

/// The description in a message's body: `None` without a body, a refusal where it is something else or
/// has no audio stream that can be relayed.
pub(super) fn description_in(
    message: &Fields,
    keying: &Keying,
    role: SdpRole,
) -> Result<Option<SessionDescription>, Refusal> {
    let Some(text) = session_in(message)? else {
        return Ok(None);
    };
    let mut description = SessionDescription::parse(text).map_err(unreadable)?;
    keying.choose(&mut description, role)?;
    Ok(Some(description))
}

/// What is longer than we read, or names no port, is nothing that we could relay; the rest is a fault.
fn unreadable(error: SdpError) -> Refusal {
    let cause = match error {
        SdpError::TooLong { .. }
        | SdpError::TooManyLines
        | SdpError::TooManyMedia { .. }
        | SdpError::Port { .. } => Cause::DescriptionUnusable,
        SdpError::Version { .. }
        | SdpError::NotAField { .. }
        | SdpError::UnknownType { .. }
        | SdpError::ForbiddenByte { .. }
        | SdpError::Connection { .. }
        | SdpError::Media { .. }
        | SdpError::PayloadType { .. } => Cause::DescriptionMalformed,
    };
    Refusal {
        warning: Some(Warning::Description(error)),
        ..cause.into()
    }
}

/// The text of the description in a message's body: `None` without one, a refusal where it is something else.
pub(in crate::gateway) fn session_in(message: &Fields) -> Result<Option<&[u8]>, Refusal> {
    if message.body().is_empty() {
        return Ok(None);
    }
    let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
    if multipart::is_multipart(content_type) {
        session_part(content_type, message.body())
    } else if multipart::is_of(content_type, "application/sdp") {
        Ok(Some(message.body()))
    } else if multipart::is_of(content_type, LOCATION) {
        Ok(None)
    } else {
        Err(Refusal::new(415, "Unsupported Media Type"))
    }
}

/// The session description among several parts.
fn session_part<'a>(content_type: &str, body: &'a Bytes) -> Result<Option<&'a [u8]>, Refusal> {
    let parts = multipart::parts(content_type, body);
    let parts = parts.map_err(|_| Refusal::new(400, "Malformed Multipart Body"))?;
    let is_understood = |part: &Part<'_>| part.is("application/sdp") || part.is(LOCATION);
    if parts
        .iter()
        .any(|part| part.is_required() && !is_understood(part))
    {
        return Err(Refusal::new(415, "Unsupported Media Type"));
    }
    let session = parts.iter().find(|part| part.is("application/sdp"));
    Ok(session.map(|part| part.content))
}

/// The parts of a request that tell where its sender is (RFC 6442 §3.2), as they were written.
pub(super) fn locations_in(request: &Request) -> Vec<Bytes> {
    let body = request.body();
    let content_type = request.header(HeaderName::ContentType).unwrap_or_default();
    if multipart::is_multipart(content_type) {
        let parts = multipart::parts(content_type, body).unwrap_or_default();
        let parts = parts.iter().filter(|part| part.is(LOCATION));
        return parts.map(|part| body.slice_ref(part.whole)).collect();
    }
    if body.is_empty() || !multipart::is_of(content_type, LOCATION) {
        return Vec::new();
    }
    let mut part = format!("Content-Type: {content_type}\r\n");
    if let Some(id) = request.named("Content-ID").next() {
        part.push_str(&format!("Content-ID: {id}\r\n"));
    }
    part.push_str("\r\n");
    let mut part = part.into_bytes();
    part.extend_from_slice(body);
    vec![part.into()]
}

impl Call {
    /// The description in a message of a side's peer.
    pub(super) fn description_in(
        &self,
        side: Side,
        message: &Fields,
        role: SdpRole,
    ) -> Result<Option<SessionDescription>, Refusal> {
        let gone = || Refusal::new(481, reason_phrase(481));
        self.leg(side)
            .ok_or_else(gone)?
            .description_in(message, role)
    }

    /// A side's description holds from now on.
    pub(super) fn apply_description(
        &mut self,
        core: &mut Core,
        side: Side,
        description: &SessionDescription,
        role: SdpRole,
    ) {
        let endpoint = self.endpoint(side).copied();
        let (Some(stream), Some(leg)) = (description.stream(), self.leg_mut(side)) else {
            return;
        };
        leg.keying.agree(&stream, role, &mut core.keys);
        // RFC 5761 §5.1.1: our answers say so whenever an offer does.
        leg.is_muxed = stream.rtcp_mux
            && match role {
                SdpRole::Offer => true,
                SdpRole::Answer => core.settings.offer_rtcp_mux || leg.is_muxed,
            };
        // RFC 4568 §7.1.4: at another place packets are numbered from the start.
        let place = leg.place.replace(stream.rtp);
        let is_new_place = place.is_some_and(|before| before != stream.rtp);
        if let Some(endpoint) = endpoint {
            let peer = Peer {
                rtp: stream.rtp,
                rtcp: stream.rtcp(leg.is_muxed),
                signalling: leg.flow.remote.ip(),
                rtcp_mux: leg.is_muxed,
                is_udptl: !stream.transport.is_rtp(),
            };
            core.media.expect(endpoint.id, &peer, core.now);
            let protection = leg.keying.protection(is_new_place);
            core.media.protect(endpoint.id, &protection);
        }
        leg.remote = description.as_bytes().clone();
        let was_on_hold = std::mem::replace(&mut leg.on_hold, stream.direction.is_hold());
        if was_on_hold && !leg.on_hold {
            // Media has the whole timeout to begin again.
            self.media.last_flow = core.now;
        }
        if self.state == State::Setup
            && side == Side::B
            && let Some(attempt) = self.attempts.last_mut()
        {
            attempt.remember(description);
        }
    }

    /// The payload types of the side that has offered and of the one that has answered are each its own.
    pub(super) fn translate(
        &self,
        core: &mut Core,
        offerer: Side,
        offer: &SessionDescription,
        answer: &SessionDescription,
    ) {
        let map = payload_map(offer, answer);
        if let Some(endpoint) = self.endpoint(offerer) {
            core.media.translate(endpoint.id, map.to_answerer());
        }
        if let Some(endpoint) = self.endpoint(offerer.other()) {
            core.media.translate(endpoint.id, map.to_offerer());
        }
        // Both send by the offer's numbers; where the answer's are not translated, by those as well.
        let streams = [offer.stream(), answer.stream()];
        let formats = streams.iter().flatten().flat_map(|stream| &stream.formats);
        let formats =
            formats.map(|it| PayloadFormat::new(it.payload_type, it.clock_rate, &it.name));
        for side in [Side::A, Side::B] {
            if let Some(endpoint) = self.endpoint(side) {
                core.media.formats(endpoint.id, formats.clone());
            }
        }
    }

    /// Begins to watch the media: whether it flows, how it is, who reports.
    pub(super) fn watch_media(&mut self, core: &mut Core) {
        self.media.last_flow = core.now;
        self.media.told = core.now;
        self.media.identities = [Identity::new(core), Identity::new(core)];
        self.start_media_timer(core);
    }

    fn start_media_timer(&mut self, core: &mut Core) {
        let after = core.settings.media_timeout / LOOKS_PER_TIMEOUT;
        let after = after.min(REPORT_INTERVAL);
        self.media.timer = Some(core.start_call_timer(after, self.id, CallTimer::Media));
    }

    pub(super) fn on_media_timer(&mut self, core: &mut Core) {
        self.media.timer = None;
        if self.state != State::Established {
            return;
        }
        let received = |side| {
            let endpoint = self
                .endpoint(side)
                .map(|endpoint| core.media.counters(endpoint.id));
            endpoint.map_or(0, |counters| counters.rtp.packets + counters.rtcp.packets)
        };
        let packets = received(Side::A) + received(Side::B);
        let held = [Side::A, Side::B]
            .into_iter()
            .any(|side| self.leg(side).is_some_and(|leg| leg.on_hold));
        if packets != self.media.packets_seen {
            self.media.packets_seen = packets;
            self.media.last_flow = core.now;
        }
        // While a transfer is under way, one side may hear nothing and have nobody to speak to.
        let timeout = match held || self.transfer.is_some() {
            true => core.settings.media_timeout.max(HELD_TIMEOUT),
            false => core.settings.media_timeout,
        };
        if core.now.since(self.media.last_flow) >= timeout {
            return self.end_established(core, EndCause::MediaTimeout, None);
        }
        for endpoint in [Side::A, Side::B]
            .into_iter()
            .filter_map(|side| self.endpoint(side))
        {
            core.media.settle(endpoint.id);
        }
        self.report(core);
        self.start_media_timer(core);
    }

    /// Whose call it is.
    pub(crate) fn connector(&self) -> &VoiceConnectorId {
        &self.facts.connector
    }

    /// The call as it is now; `None` unless it is answered and up.
    pub(crate) fn live(&self, core: &Core, now: Instant) -> Option<LiveCall> {
        let is_up = self.state == State::Established;
        Some(LiveCall {
            facts: self.facts.clone(),
            talking: now.since(self.answered.filter(|_| is_up)?),
            quality: self.media.quality(core),
        })
    }

    /// Reports to those who hear no reports, and tells how the media is.
    fn report(&mut self, core: &mut Core) {
        for (side, identity) in [Side::A, Side::B].into_iter().zip(&self.media.identities) {
            if let Some(endpoint) = self.endpoint(side) {
                self.media.report_to(core, endpoint.id, identity);
            }
        }
        if core.now.since(self.media.told) >= QUALITY_INTERVAL {
            self.media.told += QUALITY_INTERVAL;
            core.event(Event::CallQuality {
                facts: Box::new(self.facts.clone()),
                quality: Box::new(self.media.quality(core)),
            });
        }
    }
}
