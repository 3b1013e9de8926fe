//! The INVITE that begins a leg of ours: for the INVITE of leg A, or for a REFER.

use std::sync::Arc;

use bytes::Bytes;

use super::anchor::locations_in;
use super::offer_answer::Event;
use super::{Call, Leg, Side};
use crate::config::{CarrierPolicy, CodecList, Target, Transport};
use crate::gateway::headers::{self, Passage, Privacy, Towards, user_for};
use crate::gateway::routing::Candidate;
use crate::gateway::{Party, Refusal};
use crate::media::Endpoint;
use crate::numbering::E164;
use crate::sdp::{Codecs, Ours, SessionDescription};
use crate::shard::core::{Core, alias_parameter, finished, message_buffer};
use crate::shard::identifiers::Minted;
use crate::shard::io::Flow;
use crate::sip::dialog::Dialog;
use crate::sip::header::{OPTION_100REL, OPTION_TIMER};
use crate::sip::message::{HeaderName, Method, Request};
use crate::sip::multipart;
use crate::sip::writer::Writer;
use crate::telemetry::CallKind;

/// Bytes of a display name that is passed on; a longer one stays behind.
const DISPLAY_NAME_BYTES_MAX: usize = 128;

/// Seconds for which no stream is tried to a place that took none.
const WITHOUT_STREAM_S: u64 = 300;

/// Whom an INVITE of ours is for, and what it says.
pub(super) struct Invitation<'a> {
    /// The peer's request that asks for it; some of its fields go along.
    pub(super) request: &'a Request,
    pub(super) caller: &'a str,
    pub(super) called: &'a str,
    pub(super) kind: CallKind,
    /// Where the request came from a carrier: how that is dealt with.
    pub(super) source: Option<&'a CarrierPolicy>,
    /// The codecs of whoever has said what the session is.
    pub(super) codecs: Option<Arc<CodecList>>,
    pub(super) privacy: Privacy,
    pub(super) is_sips: bool,
    pub(super) session: Session<'a>,
    pub(super) endpoint: Option<&'a Endpoint>,
}

/// What an INVITE of ours says of the session.
#[derive(Clone, Copy)]
pub(super) enum Session<'a> {
    /// Nothing: its 2xx brings an offer.
    Asked,
    /// The other side's offer.
    Offered(&'a SessionDescription),
    /// What the other side once said, as an offer of media both ways.
    Renewed(&'a SessionDescription),
}

impl Invitation<'_> {
    /// The codecs that may go to somebody who is dealt with so.
    pub(super) fn codecs_for(&self, target: Option<&CarrierPolicy>) -> Codecs {
        Codecs {
            to: target.and_then(|policy| policy.codecs.clone()),
            from: self.codecs.clone(),
        }
    }

    /// Whether From may not say who calls: a customer's Privacy: id would be in vain if it did.
    fn hides_caller(&self, party: Party) -> bool {
        self.privacy.user || (self.privacy.id && party == Party::Carrier)
    }

    /// The caller's display name with a space behind it, or nothing: towards the PSTN the calling name of its
    /// number, where it has one, else as the caller wrote it.
    fn display_name(&self, core: &Core, party: Party) -> String {
        if self.kind == CallKind::Proxy {
            return String::new();
        }
        let number: Option<E164> = self.caller.parse().ok().filter(|_| party == Party::Carrier);
        let name = number.and_then(|number| core.snapshot.calling_names.get(&number));
        if let Some(name) = name {
            // Letters, digits and spaces (`CallingName`).
            return format!("\"{name}\" ");
        }
        let display = self.request.from().ok().and_then(|from| from.display);
        let display = display
            .map(str::trim)
            .filter(|display| (1..=DISPLAY_NAME_BYTES_MAX).contains(&display.len()));
        display
            .map(|display| format!("{display} "))
            .unwrap_or_default()
    }

    fn passage<'a>(&'a self, core: &'a Core, leg: &'a Leg, listener: u8) -> Passage<'a> {
        Passage {
            towards: leg.party.towards(),
            source: self.source,
            target: leg.policy.as_deref(),
            host: core.advertised_host(listener),
            caller: self.caller.parse().ok(),
            privacy: self.privacy,
            is_masked: self.kind == CallKind::Proxy,
        }
    }
}

impl Call {
    /// The INVITE of this leg, `None` for that of a leg B that is to be.
    pub(super) fn invitation(&self, leg: Option<u8>) -> Option<Invitation<'_>> {
        if let Some(leg) = leg
            && self.is_target(leg)
        {
            return self.invitation_of_target();
        }
        let exchange = self.exchange.as_ref()?;
        Some(Invitation {
            request: &exchange.request,
            caller: &self.facts.caller,
            called: &self.facts.called,
            kind: self.facts.kind,
            source: self.a.policy.as_deref(),
            codecs: self.codecs_of(Side::A),
            privacy: self.privacy,
            is_sips: self.a.is_sips,
            session: match &exchange.offer {
                Some(offer) => Session::Offered(offer),
                None => Session::Asked,
            },
            endpoint: self.endpoint(Side::B),
        })
    }

    /// The number of a leg that is to be.
    pub(super) fn next_leg(&mut self) -> u8 {
        self.legs = self.legs.saturating_add(1);
        self.legs
    }

    pub(super) fn new_leg(
        &self,
        core: &mut Core,
        number: u8,
        candidate: &Candidate,
        flow: Flow,
        invitation: &Invitation<'_>,
    ) -> Leg {
        let secret = core.random.next_u64();
        let tag = Minted {
            shard: core.settings.shard,
            slot: self.id.slot,
            leg: number,
            secret,
        }
        .tag();
        let policy = candidate.policy.as_deref();
        let caller = user_for(invitation.caller, policy);
        let called = user_for(invitation.called, policy);
        let host = core.advertised_host(flow.listener);
        let party = candidate.party;
        let local = match invitation.hides_caller(party) {
            // RFC 3323 §4.1.1.3
            true => format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={tag}"),
            false => format!(
                "{}<sip:{caller}@{host}>;tag={tag}",
                invitation.display_name(core, party)
            ),
        };
        let target = &candidate.target;
        let request_uri = request_uri(&called, target, invitation.is_sips);
        let remote = format!("<sip:{called}@{}>", target.host);
        let call_id = format!(
            "{:016x}{:016x}",
            core.random.next_u64(),
            core.random.next_u64()
        );
        let dialog = Dialog::to_begin(call_id, local, remote, request_uri);
        let session_id = core.random.next_u64();
        let mut leg = Leg::new((number, secret), party, dialog, flow, session_id);
        leg.policy = candidate.policy.clone();
        leg.is_sips = invitation.is_sips;
        leg.callback = flow.tls;
        leg
    }

    pub(super) fn write_invite(
        &self,
        core: &mut Core,
        leg: &mut Leg,
        flow: &Flow,
        branch: &str,
        invitation: &Invitation<'_>,
    ) -> Bytes {
        let mut out = message_buffer();
        let sent_by = core.advertised(flow.listener);
        let mut writer =
            Writer::request(&mut out, Method::Invite.as_str(), &leg.dialog.remote_target);
        writer.field(
            HeaderName::Via,
            &[
                "SIP/2.0/",
                flow.transport.via_token(),
                " ",
                sent_by,
                ";branch=",
                branch,
                ";rport",
                alias_parameter(flow),
            ],
        );
        let hops = invitation.request.max_forwards().ok().flatten();
        let hops = hops.unwrap_or(70).saturating_sub(1);
        writer.number(HeaderName::MaxForwards, u64::from(hops));
        writer
            .field(HeaderName::From, &[&leg.dialog.local])
            .field(HeaderName::To, &[&leg.dialog.remote]);
        writer
            .field(HeaderName::CallId, &[&leg.dialog.call_id])
            .field(
                HeaderName::CSeq,
                &[&leg.dialog.local_cseq.to_string(), " INVITE"],
            );
        core.write_capabilities(&mut writer, flow, leg.is_sips);
        // An offer in a reliable response would want an answer that only leg A's ACK brings, and what the
        // target of a transfer says before it answers is not heard.
        match invitation.session {
            Session::Offered(_) => {
                writer.field(HeaderName::Supported, &[OPTION_100REL, ", ", OPTION_TIMER])
            }
            Session::Asked | Session::Renewed(_) => {
                writer.field(HeaderName::Supported, &[OPTION_TIMER])
            }
        };
        leg.write_session_request(&mut writer, &core.settings.timers);
        match leg.party {
            Party::Customer(connector) => {
                writer.raw_field("X-VoiceConnector-ID", connector.as_str())
            }
            Party::Carrier => &mut writer,
        };
        let passage = invitation.passage(core, leg, flow.listener);
        headers::carry(invitation.request, &passage, &mut writer);
        let added = leg.policy.iter().flat_map(|policy| &policy.headers.add);
        for (name, value) in added {
            writer.raw_field(name, value);
        }
        let tells_where = passage.towards == Towards::Carrier && !passage.is_masked;
        leg.write_credentials(core, &mut writer, Method::Invite);
        let codecs = invitation.codecs_for(leg.policy.as_deref());
        let endpoint = invitation.endpoint;
        let ours = endpoint.map(|endpoint| Ours::plain(endpoint.advertise, &codecs));
        let body = match (invitation.session, ours) {
            (Session::Offered(offer), Some(ours)) => Some(leg.local.offer(offer, &ours)),
            (Session::Renewed(session), Some(ours)) => {
                Some(leg.local.offer_both_ways(session, &ours))
            }
            (Session::Asked, _) | (Session::Offered(_) | Session::Renewed(_), None) => None,
        };
        if body.is_some() {
            leg.note(Event::SendOffer);
        }
        let locations = match tells_where {
            true => locations_in(invitation.request),
            false => Vec::new(),
        };
        match (body, locations.as_slice()) {
            (None, []) => writer.end(),
            (Some(body), []) => writer.body("application/sdp", &body),
            (body, locations) => write_parts(core, writer, body, locations),
        }
        finished(out)
    }
}

/// A description, where there is one, and where the caller is.
fn write_parts(core: &mut Core, writer: Writer<'_>, body: Option<Bytes>, locations: &[Bytes]) {
    // Drawn anew for each message: nobody can have written it into a part.
    let boundary = format!(
        "{:016x}{:016x}",
        core.random.next_u64(),
        core.random.next_u64()
    );
    let session = body.map(|body| {
        let mut part = b"Content-Type: application/sdp\r\n\r\n".to_vec();
        part.extend_from_slice(&body);
        part
    });
    let parts = locations.iter().map(|location| &location[..]);
    let body = multipart::mixed(&boundary, session.as_deref().into_iter().chain(parts));
    writer.body(&format!("multipart/mixed;boundary={boundary}"), &body);
}

/// How a request reaches a place. One that is sent to over UDP in spite of its size is known for a while to take
/// no stream.
pub(in crate::gateway) fn flow_to(core: &mut Core, candidate: &Candidate) -> Result<Flow, Refusal> {
    if candidate.udp_at_any_size {
        let now = core.now;
        core.without_stream
            .rest(candidate.address, WITHOUT_STREAM_S, now);
    }
    let transport = candidate.transport;
    let listener = core
        .listener_for(transport, candidate.address, candidate.policy.as_deref())
        .ok_or_else(|| {
            Refusal::new(
                503,
                "No Listener For The Route's Transport And Address Family",
            )
        })?;
    Ok(Flow {
        transport,
        listener,
        remote: candidate.address,
        connection: None,
        tls: candidate.target.tls.filter(|_| transport == Transport::Tls),
        carrier: None,
    })
}

/// The URI of a number at a place: what the place's configuration leaves to the DNS, the URI does too.
pub(in crate::gateway) fn request_uri(called: &str, target: &Target, is_sips: bool) -> String {
    let Target {
        host,
        port,
        transport,
        ..
    } = target;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let parameter = match transport {
        Some(Transport::Tcp | Transport::Tls) if is_sips => "",
        Some(Transport::Tcp) => ";transport=tcp",
        Some(Transport::Tls) => ";transport=tls",
        Some(Transport::Udp) | None => "",
    };
    let scheme = if is_sips { "sips" } else { "sip" };
    format!("{scheme}:{called}@{host}{port}{parameter}")
}

/// The same place over TCP, for a request that is too large for UDP (RFC 3261 §18.1.1: within 200 bytes of the
/// path's MTU), where we can speak TCP with it.
pub(super) fn over_a_stream(core: &Core, candidate: &Candidate, bytes: usize) -> Option<Candidate> {
    let mtu = core.settings.udp_mtu;
    let is_too_large = mtu > 0 && bytes + 200 > mtu;
    let is_udp = candidate.transport == Transport::Udp && !candidate.udp_at_any_size;
    if !is_too_large || !is_udp {
        return None;
    }
    if core.without_stream.rests(candidate.address, core.now) {
        return None;
    }
    core.listener_for(
        Transport::Tcp,
        candidate.address,
        candidate.policy.as_deref(),
    )?;
    let mut stream = candidate.clone();
    stream.transport = Transport::Tcp;
    stream.target.transport = Some(Transport::Tcp);
    Some(stream)
}
