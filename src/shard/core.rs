//! What every call of a shard works with: transactions, timers, media, outputs, randomness.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ShardTimer;
use super::health::Health;
use super::identifiers::{CallId, MessageId, Ticket};
use super::io::{Flow, Output, TransactionId};
use super::listeners;
use super::random::{KeyMaterial, Random};
use super::resting::Resting;
use super::snapshot::{Snapshot, VoiceConnector};
use super::transactions::{Surroundings, Transactions, User};
use super::wheel::{TimerId, Wheel};
use crate::config::{
    self, Carrier, CarrierPolicy, Config, Host, Limits, SipListener, SipTimers, SrtpPolicy, Target,
    Transport,
};
use crate::gateway::authentication::BackOffs;
use crate::gateway::call::CallTimer;
use crate::gateway::limiter::CallLimiter;
use crate::gateway::pager::MessageTimer;
use crate::gateway::routing::places_of;
use crate::gateway::trace::Trace;
use crate::gateway::{Admission, Refusal, origination, termination};
use crate::instant::Instant;
use crate::media::{Media, Rules, Trust};
use crate::sip::dialog::Dialog;
use crate::sip::digest::Nonces;
use crate::sip::header::{OPTION_100REL, OPTION_TIMER};
use crate::sip::message::{Fields, HeaderName, Method, Request};
use crate::sip::response::{response_address, write_response};
use crate::sip::uri::Uri;
use crate::sip::writer::Writer;
use crate::telemetry::Event;

/// The methods that are always served, as an Allow value (RFC 3261 §20.5).
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO";

/// The bodies that are understood, as an Accept value (RFC 3261 §20.1).
pub(super) const ACCEPT: &str = "application/sdp, application/pidf+xml, multipart/mixed";

/// Those of a MESSAGE.
const ACCEPT_IN_MESSAGE: &str = "text/plain";

/// The extensions that are served, as option tags (RFC 3261 §19.2).
pub(crate) const OPTION_TAGS: [&str; 2] = [OPTION_100REL, OPTION_TIMER];

/// RFC 4488 §6: without the subscription that a REFER makes, where that is not wanted.
const OPTION_NOREFERSUB: &str = "norefersub";

/// How long a challenge may be answered.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// Used nonces that are remembered; beyond that the oldest expire early.
const USED_NONCES_MAX: usize = 100_000;

/// Room for a request or response of ours without growing the buffer.
const MESSAGE_BYTES: usize = 1_536;

/// The settings a shard works by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of this shard.
    pub shard: u8,
    /// Number of shards.
    pub shards: u8,
    /// `[[sip.listener]]`, in the config's order: a [`Flow`] names one by its index.
    pub listeners: Vec<SipListener>,
    /// Timer values.
    pub timers: SipTimers,
    /// Bounds.
    pub limits: Limits,
    /// Bytes of the path's MTU that requests over UDP have to stay below; 0 for no bound.
    pub udp_mtu: usize,
    /// A REFER is a transfer.
    pub transfers: bool,
    /// REGISTER of a customer's host is accepted.
    pub registers: bool,
    /// How next hops are pinged.
    pub health: config::Health,
    /// A call without media is ended after this long.
    pub media_timeout: Duration,
    /// How media is treated.
    pub media: Rules,
    /// How media is encrypted with customers whose connector does not require it.
    pub srtp: SrtpPolicy,
    /// Offers of ours say that RTP and RTCP may share a port.
    pub offer_rtcp_mux: bool,
    /// Secret of this process: owner hash, tags of stateless answers. The same for all its shards.
    pub secret: [u8; 16],
    /// Secret of this shard: what it mints.
    pub shard_secret: [u8; 16],
    /// What keys of SRTP are made from, of this shard alone.
    pub key_seed: [u8; 32],
}

impl Settings {
    /// The settings of one shard of a node.
    pub fn new(
        config: &Config,
        shard: u8,
        secret: [u8; 16],
        (shard_secret, key_seed): ([u8; 16], [u8; 32]),
    ) -> Self {
        let trust = match config.media.latch_anywhere {
            true => Trust::Anywhere,
            false => Trust::Signalling,
        };
        Self {
            shard,
            shards: config.node.shards,
            listeners: config.sip.listeners.clone(),
            timers: config.sip.timers,
            limits: config.limits,
            udp_mtu: config.sip.udp_mtu,
            transfers: config.sip.transfers,
            registers: config.sip.registers,
            health: config.health,
            media_timeout: config.media.timeout,
            media: Rules {
                packets_max: config.media.packets_per_second,
                trust,
                ..Rules::default()
            },
            srtp: config.media.srtp.clone(),
            offer_rtcp_mux: config.media.offer_rtcp_mux,
            secret,
            shard_secret,
            key_seed,
        }
    }
}

pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) now: Instant,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) transactions: Transactions,
    pub(crate) wheel: Wheel<ShardTimer>,
    pub(crate) media: Media,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) random: Random,
    pub(crate) keys: KeyMaterial,
    pub(crate) nonces: Nonces,
    pub(crate) back_offs: BackOffs,
    pub(crate) limiter: Arc<dyn CallLimiter>,
    pub(crate) resting: Resting,
    /// Places over UDP that no stream has led to.
    pub(crate) without_stream: Resting,
    pub(crate) health: Health,
    /// Calls that wait for host names to be located.
    pub(crate) locating: Vec<CallId>,
    /// Host parts of Contact and Via for each listener.
    advertised: Vec<String>,
}

impl Core {
    pub(crate) fn new(
        settings: Settings,
        snapshot: Arc<Snapshot>,
        limiter: Arc<dyn CallLimiter>,
        now: Instant,
    ) -> Self {
        let mut random = Random::new(settings.shard_secret);
        let nonces = Nonces::new(random.next_bytes(), NONCE_LIFETIME, USED_NONCES_MAX);
        let transactions = Transactions::new(
            settings.shard,
            &settings.limits,
            settings.timers,
            settings.shard_secret,
        );
        let advertised = settings
            .listeners
            .iter()
            .map(|listener| listener.advertise.to_string())
            .collect();
        Self {
            now,
            snapshot,
            transactions,
            wheel: Wheel::new(now),
            media: Media::new(settings.media),
            outputs: VecDeque::new(),
            random,
            keys: KeyMaterial::new(settings.key_seed),
            nonces,
            back_offs: BackOffs::default(),
            limiter,
            resting: Resting::default(),
            without_stream: Resting::default(),
            health: Health::new(),
            locating: Vec::new(),
            advertised,
            settings,
        }
    }

    /// The transactions with what they run in.
    pub(crate) fn with_transactions<R>(
        &mut self,
        run: impl FnOnce(&mut Transactions, &mut Surroundings<'_>) -> R,
    ) -> R {
        let mut around = Surroundings {
            now: self.now,
            wheel: &mut self.wheel,
            outputs: &mut self.outputs,
        };
        run(&mut self.transactions, &mut around)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Where a target is, in the order to be tried now; `None` where its name has not been located yet: that is
    /// asked for then, and a later snapshot tells.
    pub(crate) fn places(&mut self, target: &Target) -> Option<Vec<(Transport, SocketAddr)>> {
        let places = places_of(target, &self.snapshot, &mut self.random);
        if let (None, Host::Name(name)) = (&places, &target.host) {
            self.event(Event::LocationWanted {
                name: name.as_str().into(),
                port: target.port,
                transport: target.transport,
            });
        }
        places
    }

    pub(crate) fn start_call_timer(
        &mut self,
        after: Duration,
        call: CallId,
        timer: CallTimer,
    ) -> TimerId {
        self.wheel
            .insert(self.now + after, ShardTimer::Call(call, timer))
    }

    pub(crate) fn start_message_timer(
        &mut self,
        after: Duration,
        message: MessageId,
        timer: MessageTimer,
    ) -> TimerId {
        self.wheel
            .insert(self.now + after, ShardTimer::Message(message, timer))
    }

    pub(crate) fn cancel_timer(&mut self, timer: &mut Option<TimerId>) {
        if let Some(timer) = timer.take() {
            self.wheel.cancel(timer);
        }
    }

    pub(super) fn termination_context(&mut self) -> termination::Context<'_> {
        termination::Context {
            snapshot: &self.snapshot,
            nonces: &mut self.nonces,
            random: &mut self.random,
            back_offs: &mut self.back_offs,
            outputs: &mut self.outputs,
            limiter: &self.limiter,
            trace: Trace::default(),
            now: self.now,
        }
    }

    /// Decides over a call that a customer's host asks for, to this URI.
    pub(crate) fn admit_from_customer(
        &mut self,
        connector: &Arc<VoiceConnector>,
        request: &Request,
        uri: &Uri<'_>,
        flow: &Flow,
    ) -> Result<Admission, Refusal> {
        let mut context = self.termination_context();
        termination::admit(connector, request, uri, flow, &mut context)?.for_scheme(uri.scheme)
    }

    /// The same for one that a carrier asks for.
    pub(crate) fn admit_from_carrier(
        &mut self,
        carrier: &Carrier,
        request: &Request,
        uri: &Uri<'_>,
    ) -> Result<Admission, Refusal> {
        let mut context = self.origination_context();
        origination::admit(carrier, request, uri, &mut context)?.for_scheme(uri.scheme)
    }

    pub(crate) fn origination_context(&mut self) -> origination::Context<'_> {
        origination::Context {
            snapshot: &self.snapshot,
            random: &mut self.random,
            limiter: &self.limiter,
            outputs: &mut self.outputs,
            trace: Trace::default(),
            now: self.now,
        }
    }

    /// The listener to send to a place from: the carrier's own, where it has one, else the one nearest to the
    /// place.
    pub(crate) fn listener_for(
        &self,
        transport: Transport,
        remote: SocketAddr,
        policy: Option<&CarrierPolicy>,
    ) -> Option<u8> {
        self.listener_towards(transport, remote, policy.and_then(|policy| policy.listener))
    }

    /// The same where the carrier's own listener is known by its `bind`.
    pub(crate) fn listener_towards(
        &self,
        transport: Transport,
        remote: SocketAddr,
        own: Option<SocketAddr>,
    ) -> Option<u8> {
        let all = &self.settings.listeners;
        match own {
            Some(place) => listeners::at(all, transport, remote, place),
            None => listeners::nearest(all, transport, remote),
        }
    }

    /// The listener to go on from where a peer is reached by another transport from now on: on the same
    /// interface, if there is one.
    pub(crate) fn listener_beside(
        &self,
        listener: u8,
        transport: Transport,
        remote: SocketAddr,
    ) -> Option<u8> {
        let all = &self.settings.listeners;
        let place = all.get(usize::from(listener)).map(|listener| listener.bind);
        place
            .and_then(|place| listeners::at(all, transport, remote, place))
            .or_else(|| listeners::nearest(all, transport, remote))
    }

    /// `address:port` that peers are told for a listener.
    pub(crate) fn advertised(&self, listener: u8) -> &str {
        self.advertised
            .get(usize::from(listener))
            .map_or("", String::as_str)
    }

    /// The IP address that peers are told for a listener, as a URI's host part.
    pub(crate) fn advertised_host(&self, listener: u8) -> &str {
        self.advertised(listener)
            .rsplit_once(':')
            .map_or("", |(host, _)| host)
    }

    /// Adds our Contact for a flow; a `sips:` one in a dialog of that scheme (RFC 5630 §5.1.1).
    fn write_contact(&self, writer: &mut Writer<'_>, flow: &Flow, is_sips: bool) {
        let (scheme, parameter) = match (flow.transport, is_sips) {
            (Transport::Tls, true) => ("<sips:", ">"),
            (Transport::Tls, false) => ("<sip:", ";transport=tls>"),
            (Transport::Tcp, _) => ("<sip:", ";transport=tcp>"),
            (Transport::Udp, _) => ("<sip:", ">"),
        };
        writer.field(
            HeaderName::Contact,
            &[scheme, self.advertised(flow.listener), parameter],
        );
    }

    /// Adds what a peer has to know of us for requests within the dialog: Contact and Allow.
    pub(crate) fn write_capabilities(&self, writer: &mut Writer<'_>, flow: &Flow, is_sips: bool) {
        self.write_contact(writer, flow, is_sips);
        self.write_allow(writer);
    }

    /// Adds the methods that are served.
    fn write_allow(&self, writer: &mut Writer<'_>) {
        let refer = match self.settings.transfers {
            true => ", REFER",
            false => "",
        };
        let register = match self.settings.registers {
            true => ", REGISTER",
            false => "",
        };
        writer.field(HeaderName::Allow, &[ALLOW, refer, register]);
    }

    /// Adds our Via for a flow, with this branch.
    pub(crate) fn write_via(&self, writer: &mut Writer<'_>, flow: &Flow, branch: &str) {
        let sent_by = self.advertised(flow.listener);
        let (transport, alias) = (flow.transport.via_token(), alias_parameter(flow));
        writer.field(
            HeaderName::Via,
            &[
                "SIP/2.0/", transport, " ", sent_by, ";branch=", branch, ";rport", alias,
            ],
        );
    }

    /// Place and branch for a request; `None` where the table of transactions is full.
    pub(crate) fn ticket(&mut self) -> Option<Ticket> {
        let secret = self.random.next_u64();
        self.transactions.ticket(secret)
    }

    /// Begins a request within a dialog, its Via for this flow and branch.
    pub(crate) fn write_in_dialog<'a>(
        &self,
        out: &'a mut Vec<u8>,
        dialog: &Dialog,
        method: Method,
        cseq: u32,
        flow: &Flow,
        branch: &str,
    ) -> Writer<'a> {
        let sent_by = self.advertised(flow.listener);
        let via = [
            "SIP/2.0/",
            flow.transport.via_token(),
            " ",
            sent_by,
            ";branch=",
            branch,
            ";rport",
            alias_parameter(flow),
        ];
        dialog.write_request(out, method.as_str(), cseq, &via)
    }

    /// Sends a request under its ticket.
    pub(crate) fn send_request(
        &mut self,
        ticket: &Ticket,
        method: Method,
        flow: Flow,
        request: Bytes,
        user: User,
    ) {
        self.with_transactions(|transactions, around| {
            transactions.start_client(ticket, method, flow, &request, user, around);
        });
    }

    /// Sends a message that no transaction looks after: the ACK of a 2xx.
    pub(crate) fn send_plain(&mut self, flow: Flow, bytes: Bytes) {
        self.outputs.push_back(Output::Send {
            flow,
            bytes,
            transaction: None,
        });
    }

    /// Answers through a server transaction.
    pub(crate) fn respond(&mut self, server: TransactionId, status: u16, response: &Bytes) {
        self.with_transactions(|transactions, around| {
            transactions.respond(server, status, response, around)
        });
    }

    /// Answers a request through a server transaction of its own.
    pub(crate) fn reply(&mut self, request: &Request, flow: &Flow, refusal: &Refusal) {
        let response = self.write_refusal(request, flow, refusal);
        self.reply_with(request, flow, refusal.status, response);
    }

    /// Sends a response through a server transaction of its own.
    pub(crate) fn reply_with(
        &mut self,
        request: &Request,
        flow: &Flow,
        status: u16,
        response: Bytes,
    ) {
        let back = response_flow(request, flow);
        match self.transactions.start_server(request, back, User::Nobody) {
            Some(server) => self.respond(server, status, &response),
            None => self.send_plain(back, response),
        }
    }

    /// Answers without keeping anything; a retransmitted request gets the same answer again.
    pub(crate) fn reply_stateless(&mut self, request: &Fields, flow: &Flow, refusal: &Refusal) {
        let response = self.write_refusal(request, flow, refusal);
        let back = response_flow(request, flow);
        self.send_plain(back, response);
    }

    pub(crate) fn write_refusal(&self, request: &Fields, flow: &Flow, refusal: &Refusal) -> Bytes {
        let mut out = Vec::with_capacity(MESSAGE_BYTES);
        let tag = self.stateless_tag(request);
        let mut writer = write_response(
            &mut out,
            request,
            flow.remote,
            refusal.status,
            &refusal.reason,
            Some(&tag),
        );
        let asks = match refusal.status {
            401 => HeaderName::WwwAuthenticate,
            _ => HeaderName::ProxyAuthenticate,
        };
        for challenge in &refusal.challenges {
            writer.field(asks, &[challenge]);
        }
        if let Some(seconds) = refusal.retry_after {
            writer.number(HeaderName::RetryAfter, u64::from(seconds));
        }
        for reason in &refusal.reasons {
            writer.field(HeaderName::Reason, &[reason]);
        }
        if let Some(seconds) = refusal.min_se {
            writer.number(HeaderName::MinSe, u64::from(seconds));
        }
        self.write_warning(&mut writer, flow, refusal);
        match refusal.status {
            200 if is_of(request, Method::Options) => {
                self.write_allow(&mut writer);
                writer
                    .field(HeaderName::Accept, &[ACCEPT])
                    .field(HeaderName::Supported, &[&OPTION_TAGS.join(", ")]);
            }
            405 => {
                self.write_allow(&mut writer);
            }
            // RFC 3261 §21.4.13
            415 if is_of(request, Method::Message) => {
                writer
                    .field(HeaderName::Accept, &[ACCEPT_IN_MESSAGE])
                    .field(HeaderName::AcceptEncoding, &["identity"]);
            }
            415 => {
                writer.field(HeaderName::Accept, &[ACCEPT]);
            }
            420 => {
                for option in unsupported_options(request) {
                    writer.field(HeaderName::Unsupported, &[option]);
                }
            }
            0..=199 | 201..=404 | 406..=414 | 416..=419 | 421.. => {}
            200 => {}
        }
        writer.end();
        finished(out)
    }

    /// RFC 3261 §20.43: what went wrong, and who says so.
    pub(crate) fn write_warning(&self, writer: &mut Writer<'_>, flow: &Flow, refusal: &Refusal) {
        if let Some(warning) = refusal.warning {
            let (code, text) = warning.code_and_text();
            let agent = self.advertised(flow.listener);
            writer.field(HeaderName::Warning, &[code, " ", agent, " \"", &text, "\""]);
        }
    }

    /// A To tag that is the same for every retransmission of a request (RFC 3261 §8.2.7).
    pub(super) fn stateless_tag(&self, request: &Fields) -> String {
        use std::hash::Hasher;
        let mut hasher = siphasher::sip::SipHasher13::new_with_key(&self.settings.secret);
        hasher.write(request.call_id().as_bytes());
        hasher.write(
            request
                .header(HeaderName::Via)
                .unwrap_or_default()
                .as_bytes(),
        );
        format!("{:016x}", hasher.finish())
    }
}

fn is_of(request: &Fields, method: Method) -> bool {
    request.cseq().is_ok_and(|cseq| cseq.method == method)
}

/// The option tags that a request demands and that are not served (RFC 3261 §8.2.2.3): a gateway is no
/// proxy, so nothing that is demanded of one is. Without an offer the first reliable response would have to
/// bring one (RFC 3262 §5), and leg B is not asked for that.
pub(crate) fn unsupported_options(request: &Fields) -> impl Iterator<Item = &str> {
    let method = request.cseq().map(|cseq| cseq.method).ok();
    let has_no_offer = method == Some(Method::Invite) && request.body().is_empty();
    let is_served = move |option: &&str| {
        let is = |served: &str| served.eq_ignore_ascii_case(option);
        let is_known = OPTION_TAGS.into_iter().any(is)
            || (method == Some(Method::Refer) && is(OPTION_NOREFERSUB));
        is_known && !(has_no_offer && is(OPTION_100REL))
    };
    request
        .values(HeaderName::Require)
        .filter(move |option| !is_served(option))
        .chain(request.values(HeaderName::ProxyRequire))
}

/// The Via parameter by which a peer may send us requests over a connection that we open (RFC 5923 §9.1).
/// One that the peer has opened is not ours to give away.
pub(crate) fn alias_parameter(flow: &Flow) -> &'static str {
    match (flow.transport, flow.connection) {
        (Transport::Tcp | Transport::Tls, None) => ";alias",
        (Transport::Tcp | Transport::Tls, Some(_)) | (Transport::Udp, _) => "",
    }
}

/// Where responses to a request go.
pub(crate) fn response_flow(request: &Fields, flow: &Flow) -> Flow {
    match request.via() {
        Ok(via) => Flow {
            remote: response_address(&via, flow.transport, flow.remote),
            ..*flow
        },
        Err(_) => *flow,
    }
}

/// A buffer for one message.
pub(crate) fn message_buffer() -> Vec<u8> {
    Vec::with_capacity(MESSAGE_BYTES)
}

/// The message, in a buffer of its own size: transactions keep it for half a minute.
pub(crate) fn finished(mut message: Vec<u8>) -> Bytes {
    message.shrink_to_fit();
    message.into()
}
