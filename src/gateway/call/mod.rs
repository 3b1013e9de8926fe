//! A call: two dialogs back to back.
//!
//! Leg A is the side the call came from, leg B the side it is sent to; of leg B there is one
//! `Attempt` for each place tried, the last is the current one. An `Exchange` is one INVITE on its
//! way from one leg to the other and back: the first one, and later each re-INVITE. Nothing of one leg's
//! topology reaches the other: identifiers, Via, Contact, Record-Route, addresses and SDP origin are
//! ours on each.
//!
//! - `setup`: from the INVITE to its final response, failover
//! - `invitation`: the INVITE that begins a leg of ours
//! - `exchange`: answers, ACK, retransmission of 2xx
//! - `established`: requests within the dialogs
//! - `reinvite`: a re-INVITE on its way to the other leg; `update`: UPDATE; `glare`: both at once
//! - `info`: INFO, relayed
//! - `transfer`: REFER; `target`: the third leg, in the place of the one that asked for it
//! - `reliable`: provisional responses with 100rel, early dialogs of forks
//! - `session_timer`: RFC 4028 on each leg
//! - `limits`: what it holds of limits, and for how long
//! - `offer_answer`: whose turn it is to describe the session on a leg
//! - `next_hop`: where a request within a dialog goes
//! - `teardown`: BYE, CANCEL, the end
//! - `carrier_auth`, `redirect`: what a carrier's 401, 407 and 3xx ask for
//! - `unattended`: BYE, PRACK and NOTIFY of ours
//! - `anchor`: what the call does with its media; `codecs`: what its sides may speak with; `security`: the keys
//!   of SRTP

pub(super) mod anchor;
pub(super) mod carrier_auth;
mod codecs;
mod established;
mod exchange;
mod glare;
mod info;
pub(super) mod invitation;
mod limits;
pub(super) mod next_hop;
mod offer_answer;
mod redirect;
mod reinvite;
mod reliable;
mod security;
mod session_timer;
pub(super) mod setup;
mod target;
mod teardown;
mod transfer;
mod tried;
mod unattended;
mod update;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::headers::{self, Passage, Privacy, Towards};
use super::limiter::{CallLease, Holding};
use super::routing::Candidate;
use super::{Party, Refusal};
use crate::config::{CarrierPolicy, SrtpPolicy, TlsPeerId, Transport};
use crate::instant::Instant;
use crate::media::Endpoint;
use crate::sdp::{LocalDescription, SessionDescription};
use crate::shard::core::{Core, response_flow};
use crate::shard::identifiers::{CallId, Minted};
use crate::shard::io::{Flow, TransactionId};
use crate::shard::wheel::TimerId;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Fields, HeaderName, Method, Request, Response};
use crate::sip::response::behind_nat;
use crate::sip::writer::{Writer, reason_phrase};
use crate::telemetry::{CallFacts, CallKind};

/// The number of leg A in tags; attempts count from 1.
const LEG_A: u8 = 0;

/// One call.
pub struct Call {
    id: CallId,
    facts: CallFacts,
    privacy: Privacy,
    state: State,
    a: Leg,
    attempts: Vec<Attempt>,
    candidates: std::vec::IntoIter<Candidate>,
    /// Where the INVITE was sent.
    tried: Vec<tried::Tried>,
    /// Redirections that were followed.
    redirections: usize,
    /// A redirection whose contacts are being located.
    redirection: Option<redirect::Redirection>,
    /// What leg A is answered when no place takes the call.
    best_failure: Option<Refusal>,
    /// What leg A was told of why its call failed.
    failure: Option<Box<str>>,
    exchange: Option<Exchange>,
    reinvite: Option<Reinvite>,
    /// An UPDATE with an offer, until it is answered.
    update: Option<update::Update>,
    sent_update: Option<update::SentUpdate>,
    refresh: Option<session_timer::Refresh>,
    glare: Option<glare::Glare>,
    transfer: Option<Box<transfer::Transfer>>,
    /// The highest number that a leg was given.
    legs: u8,
    infos: Vec<info::Info>,
    /// Requests of ours that a carrier may challenge.
    waiting: Vec<unattended::Waiting>,
    /// What the exchange's answers carry of the other leg's.
    carried: Vec<(Box<str>, Box<str>)>,
    /// Why it ends, for those who are told (RFC 3326).
    reasons: Vec<Box<str>>,
    /// How often the request at hand met another one.
    glares: u8,
    provisionals: reliable::Provisionals,
    media: anchor::Anchor,
    answered: Option<Instant>,
    /// What it holds of its connector's limits.
    holding: Holding,
    /// Timer C of the current attempt.
    ring_timer: Option<TimerId>,
    /// Runs while the current attempt has said nothing at all.
    route_timer: Option<TimerId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Leg A waits for its final response.
    Setup,
    /// Leg A was answered 2xx.
    Established,
    /// Over; what is left are INVITEs that still have to be answered or acknowledged.
    Ended,
}

/// A side of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The side the call came from.
    A,
    /// The side it was sent to.
    B,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One end of the call.
struct Leg {
    number: u8,
    /// The random part of our tag.
    secret: u64,
    party: Party,
    dialog: Dialog,
    /// How the peer was reached last; its address serves where the dialog's next hop cannot be used.
    flow: Flow,
    /// Whom to expect over TLS where it has to be connected to, and its last request came over a connection of
    /// its own.
    callback: Option<TlsPeerId>,
    /// The peer sits behind a translator: its Contact is of no use.
    behind_nat: bool,
    /// The dialog is one of `sips:` URIs.
    is_sips: bool,
    local: LocalDescription,
    keying: security::Keying,
    /// Both ends have agreed that RTCP goes with RTP.
    is_muxed: bool,
    /// Where the peer wants its media, as far as it has said that in a usable way; `None` before its first description.
    place: Option<Option<SocketAddr>>,
    /// The peer's last description did not ask for media both ways.
    on_hold: bool,
    /// The peer's last description, as text.
    remote: Bytes,
    negotiation: offer_answer::State,
    /// The peer's Allow has UPDATE.
    takes_update: bool,
    session: Option<session_timer::SessionTimer>,
    /// Where the peer is a carrier: how it is dealt with.
    policy: Option<Arc<CarrierPolicy>>,
    authorization: Option<carrier_auth::Authorization>,
    /// The least Session-Expires that the peer takes, as far as it said so; seconds.
    min_se: u32,
    /// The ACK of the last 2xx on this leg, with its CSeq number, for when the 2xx comes again.
    last_ack: Option<(u32, Flow, Bytes)>,
    /// A BYE is due as soon as our 2xx is acknowledged (RFC 3261 §15).
    bye_after_ack: bool,
    /// The peer has asked for a transfer before.
    has_referred: bool,
    /// Where we have called a carrier: its call among those at once.
    lease: Option<CallLease>,
}

impl Leg {
    /// Begins a request of ours within the dialog, as [`Core::write_in_dialog`] does, with credentials where
    /// the peer wants some.
    fn write_in_dialog<'a>(
        &mut self,
        core: &mut Core,
        out: &'a mut Vec<u8>,
        method: Method,
        (cseq, flow, branch): (u32, &Flow, &str),
    ) -> Writer<'a> {
        let mut writer = core.write_in_dialog(out, &self.dialog, method, cseq, flow, branch);
        self.write_credentials(core, &mut writer, method);
        writer
    }

    /// A leg by the number and the secret of its tag.
    fn new(
        (number, secret): (u8, u64),
        party: Party,
        dialog: Dialog,
        flow: Flow,
        (session_id, srtp): (u64, SrtpPolicy),
    ) -> Self {
        Self {
            number,
            secret,
            party,
            dialog,
            flow,
            callback: None,
            behind_nat: false,
            is_sips: false,
            local: LocalDescription::new(session_id),
            keying: security::Keying::new(srtp),
            is_muxed: false,
            place: None,
            on_hold: false,
            remote: Bytes::new(),
            negotiation: offer_answer::State::default(),
            takes_update: false,
            session: None,
            min_se: 0,
            policy: None,
            authorization: None,
            last_ack: None,
            bye_after_ack: false,
            has_referred: false,
            lease: None,
        }
    }

    /// Something happened with an offer on this leg; an answer settles what both ends agree on.
    fn note(&mut self, event: offer_answer::Event) {
        use offer_answer::Event::{ReceiveAnswer, SendAnswer};
        let is_taken = self.negotiation.note(event);
        if is_taken && matches!(event, SendAnswer | ReceiveAnswer) {
            self.local.agree();
        }
    }

    /// Takes what a request of the peer says of how it is reached and what it can do.
    fn hear_request(&mut self, request: &Request, flow: Flow) {
        self.dialog.refresh_target(request);
        // A stream's port at the peer is of no use once the stream is closed (RFC 3261 §18.2.2).
        self.flow = match flow.transport {
            Transport::Udp => flow,
            Transport::Tcp | Transport::Tls => response_flow(request, &flow),
        };
        self.behind_nat = request.via().is_ok_and(|via| behind_nat(&via, flow.remote));
        self.hear_capabilities(request);
    }

    /// Takes the same from a response within the dialog.
    fn hear_answer(&mut self, response: &Response) {
        self.dialog.refresh_target(response);
        self.hear_capabilities(response);
        self.end_challenges();
    }

    /// Without an Allow, what was heard before holds (RFC 3261 §20.5).
    fn hear_capabilities(&mut self, message: &Fields) {
        if message.header(HeaderName::Allow).is_some() {
            self.takes_update = message.lists(HeaderName::Allow, Method::Update.as_str());
        }
    }

    fn tag(&self, call: CallId, shard: u8) -> String {
        Minted {
            shard,
            slot: call.slot,
            leg: self.number,
            secret: self.secret,
        }
        .tag()
    }
}

/// Leg B as it was tried at one place.
struct Attempt {
    leg: Leg,
    progress: Progress,
    /// The INVITE's client transaction, while it may still bring a response.
    invite: Option<TransactionId>,
    /// What its forks have said before one answered.
    early: Vec<reliable::Early>,
    /// Ends the wait for the final response of a cancelled INVITE (RFC 3261 §9.1).
    cancel_timer: Option<TimerId>,
    /// Other forks that answered: hung up already, their 2xx may come again.
    forks: Vec<Fork>,
}

impl Attempt {
    fn new(leg: Leg, invite: Option<TransactionId>) -> Self {
        Self {
            leg,
            progress: Progress::Calling,
            invite,
            early: Vec::new(),
            cancel_timer: None,
            forks: Vec::new(),
        }
    }
}

/// A fork that was not taken: its tag, and the ACK of its 2xx.
struct Fork {
    tag: Box<str>,
    flow: Flow,
    ack: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    /// Nothing was heard.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx came.
    Answered,
    /// A final failure came, or the INVITE could not be sent.
    Failed,
    /// Not wanted any more; CANCEL goes out when the first provisional response comes (§9.1).
    Abandoned,
    /// Not wanted any more, CANCEL was sent.
    Cancelled,
}

/// One INVITE on its way through the call.
struct Exchange {
    from: Side,
    request: Request,
    /// How the request came.
    flow: Flow,
    server: TransactionId,
    /// The offer that came in the INVITE; `None` where the 2xx brings it.
    offer: Option<SessionDescription>,
    /// Our 2xx, from when it is sent until it is acknowledged.
    answered: Option<Answered>,
}

/// A re-INVITE of ours that has no final response. It may outlive the exchange it was sent for.
struct Reinvite {
    transaction: TransactionId,
    /// The leg it was sent on.
    side: Side,
    progress: ReinviteProgress,
    /// Timer C; once it was cancelled, the wait for its final response (RFC 3261 §9.1).
    timer: Option<TimerId>,
    purpose: reinvite::Purpose,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ReinviteProgress {
    /// Nothing was heard: its transaction bounds the wait.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// To be cancelled when the first provisional response comes.
    Abandoned,
    /// CANCEL was sent.
    Cancelled,
}

struct Answered {
    success: Bytes,
    interval: Duration,
    deadline: Instant,
    timer: Option<TimerId>,
    /// The offer that the other side's 2xx brought: the ACK brings the answer to it.
    late_offer: Option<SessionDescription>,
    /// CSeq number of the other side's INVITE.
    other_cseq: u32,
}

/// The timers of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallTimer {
    /// Send the unacknowledged 2xx again, or give up (RFC 3261 §13.3.1.4).
    Success,
    /// The current place has said nothing: try the next.
    Route,
    /// Timer C (RFC 3261 §16.6): it has rung for long enough.
    Ring,
    /// The final response of this leg's cancelled INVITE is overdue.
    Cancel(u8),
    /// The final response of a re-INVITE of ours is overdue.
    Reinvite,
    /// A leg's session is to be refreshed, or has expired (RFC 4028).
    Session(Side),
    /// Send the provisional response that waits for its PRACK again, or give up (RFC 3262 §3).
    Provisional,
    /// The contacts of a redirection have been waited for long enough.
    Locate,
    /// A request that met another one goes out again (RFC 3261 §14.1).
    Glare,
    /// See whether the target of a transfer can be joined with the party that remains.
    Join,
    /// See whether media still flows.
    Media,
}

/// What came of a client transaction of a call.
pub(crate) enum Outcome<'a> {
    Response(&'a Response),
    Timeout,
    TransportError,
}

impl Outcome<'_> {
    /// Status and reason phrase of what is no success (RFC 3261 §8.1.3.1).
    fn failure(&self) -> (u16, String) {
        match self {
            Self::Response(response) => (response.status, response.reason().to_owned()),
            Self::Timeout => (408, reason_phrase(408).to_owned()),
            Self::TransportError => (503, "Transport Error".to_owned()),
        }
    }
}

impl Call {
    /// Whether nothing of the call is left to be done.
    pub(crate) fn is_finished(&self) -> bool {
        let waits = self
            .attempts
            .iter()
            .any(|attempt| attempt.invite.is_some() && attempt.progress != Progress::Answered);
        let is_settled =
            self.exchange.is_none() && self.reinvite.is_none() && self.waiting.is_empty();
        self.state == State::Ended && is_settled && !waits
    }

    /// Dialogs that are alive, for the gauge.
    pub(crate) fn dialogs(&self) -> usize {
        match self.state {
            State::Setup | State::Established => {
                let target = usize::from(self.transfer.is_some());
                1 + usize::from(!self.attempts.is_empty()) + target
            }
            State::Ended => 0,
        }
    }

    /// The number of the leg whose dialog a request belongs to: one of the current legs, with the tag of ours
    /// that the request names, its Call-ID, and the peer's tag once that is known (RFC 3261 §12.2.2).
    pub(crate) fn leg_of(&self, tag: &Minted, request: &Request) -> Option<u8> {
        let current = [self.leg(Side::A), self.leg(Side::B), self.target_leg()];
        let leg = current
            .into_iter()
            .flatten()
            .find(|leg| leg.number == tag.leg && leg.secret == tag.secret)?;
        let peer = request.from().ok().and_then(|from| from.tag());
        let same_tag = leg.dialog.remote_tag.is_none() || leg.dialog.remote_tag.as_deref() == peer;
        (same_tag && *leg.dialog.call_id == *request.call_id()).then_some(leg.number)
    }

    /// The side that a leg is; none for the target of a transfer.
    fn side_of(&self, leg: u8) -> Option<Side> {
        let is_meant = |side: &Side| self.leg(*side).is_some_and(|its| its.number == leg);
        [Side::A, Side::B].into_iter().find(is_meant)
    }

    /// What a client transaction of leg `leg` came to.
    pub(crate) fn on_outcome(
        &mut self,
        core: &mut Core,
        transaction: TransactionId,
        leg: u8,
        outcome: Outcome<'_>,
    ) {
        let is_reinvite = self
            .reinvite
            .as_ref()
            .is_some_and(|reinvite| reinvite.transaction == transaction);
        if is_reinvite {
            self.on_reinvite_outcome(core, outcome);
            return;
        }
        if self
            .sent_update
            .is_some_and(|sent| sent.transaction == transaction)
        {
            self.on_update_outcome(core, outcome);
            return;
        }
        if self
            .refresh
            .as_ref()
            .is_some_and(|refresh| refresh.transaction == transaction)
        {
            self.on_refresh_outcome(core, outcome);
            return;
        }
        let of_info = |info: &info::Info| info.client == transaction;
        if let Some(place) = self.infos.iter().position(of_info) {
            self.on_info_outcome(core, place, outcome);
            return;
        }
        if let Some(place) = self.waiting_for(transaction) {
            self.on_unattended_outcome(core, place, &outcome);
            return;
        }
        if let Outcome::Response(response) = outcome
            && self.acknowledge_again(core, leg, response)
        {
            return;
        }
        if self
            .attempts
            .iter()
            .any(|attempt| attempt.leg.number == leg && attempt.invite == Some(transaction))
        {
            self.on_attempt_outcome(core, leg, outcome);
        }
    }

    /// A message of this transaction could not be sent.
    pub(crate) fn on_transport_error(
        &mut self,
        core: &mut Core,
        transaction: TransactionId,
        leg: u8,
    ) {
        match self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.server == transaction)
        {
            true => self.on_response_lost(core),
            false => self.on_outcome(core, transaction, leg, Outcome::TransportError),
        }
    }

    /// A timer of this call fired.
    pub(crate) fn on_timer(&mut self, core: &mut Core, timer: CallTimer) {
        match timer {
            CallTimer::Success => self.on_success_timer(core),
            CallTimer::Route => self.on_route_timer(core),
            CallTimer::Ring => self.on_ring_timer(core),
            CallTimer::Cancel(leg) => self.on_cancel_timer(core, leg),
            CallTimer::Reinvite => self.on_reinvite_timer(core),
            CallTimer::Session(side) => self.on_session_timer(core, side),
            CallTimer::Provisional => self.on_provisional_timer(core),
            CallTimer::Locate => self.on_locate_timer(core),
            CallTimer::Glare => self.on_glare_timer(core),
            CallTimer::Join => self.join(core),
            CallTimer::Media => self.on_media_timer(core),
        }
    }

    fn leg(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::A => Some(&self.a),
            Side::B => self.attempts.last().map(|attempt| &attempt.leg),
        }
    }

    fn leg_mut(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::A => Some(&mut self.a),
            Side::B => self.attempts.last_mut().map(|attempt| &mut attempt.leg),
        }
    }

    /// What decides over the header fields of a message that goes out on a leg.
    fn passage<'a>(&'a self, core: &'a Core, to: Side, listener: u8) -> Passage<'a> {
        let towards = self.leg(to).map(|leg| leg.party.towards());
        let towards = towards.unwrap_or(Towards::Customer);
        let policy = |side| self.leg(side).and_then(|leg| leg.policy.as_deref());
        Passage {
            towards,
            source: policy(to.other()),
            target: policy(to),
            host: core.advertised_host(listener),
            caller: None,
            privacy: self.privacy,
            is_masked: self.facts.kind == CallKind::Proxy,
        }
    }

    /// The exchange's next answer is one of the other leg.
    fn hear_fields(&mut self, core: &Core, response: &Response) {
        let to = self
            .exchange
            .as_ref()
            .map(|exchange| (exchange.from, exchange.flow.listener));
        if let Some((to, listener)) = to {
            self.carried = headers::carried(response, &self.passage(core, to, listener));
        }
    }

    /// A request of the peer of `side` was taken.
    fn hear(&mut self, side: Side, request: &Request, flow: Flow) {
        if let Some(leg) = self.leg_mut(side) {
            leg.hear_request(request, flow);
        }
    }

    fn note(&mut self, side: Side, event: offer_answer::Event) {
        if let Some(leg) = self.leg_mut(side) {
            leg.note(event);
        }
    }

    fn attempt_mut(&mut self, leg: u8) -> Option<&mut Attempt> {
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.leg.number == leg)
    }

    fn is_current(&self, leg: u8) -> bool {
        self.attempts
            .last()
            .is_some_and(|attempt| attempt.leg.number == leg)
    }

    fn endpoint(&self, side: Side) -> Option<&Endpoint> {
        self.media.endpoint(side)
    }
}
