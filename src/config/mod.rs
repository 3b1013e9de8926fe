//! The node's settings as they are used; `written` reads them from the file.
//!
//! What belongs to the machine stands here: listeners, media ports, carriers, limits, the API listener
//! and its access keys, the store. Voice connectors and numbers come from the store.

mod capacity;
mod carrier;
mod conflict;
mod defaults;
mod dscp;
mod next_hop;
mod own_places;
mod problem;
mod settle;
mod srtp;
mod store_url;
mod summary;
mod termination;
mod tls;
mod value;
mod written;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::numbering::Prefix;
use crate::numbering::dialling::DiallingRules;

pub use capacity::calls_of_ports;
pub use carrier::{CARRIED_FIELDS, CodecList, HeaderRules, carries_speech};
pub use dscp::Dscp;
pub use next_hop::NextHop;
pub use own_places::OwnPlaces;
pub use problem::{ConfigError, ConfigErrors, Problem, unreadable};
pub use srtp::{SrtpMode, SrtpPolicy, Suite};
pub use store_url::StoreUrl;
pub use termination::{SpendingLimits, TerminationPolicies, TerminationPolicy};
pub use tls::{
    CarrierTls, CertificateFiles, FileFault, SipTls, TlsFile, TlsFileRole, TlsPeer, TlsPeerId,
    TlsPolicy, TlsRoots,
};

/// Reads a config file, checks it as a whole, and returns what the node should use.
///
/// # Errors
///
/// Everything that is wrong with the file, in the order of its lines. Syntax errors, unknown keys and
/// wrong types come alone: what the file means is only known without them.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    load_with_files(path, |_not_looked_at| None)
}

/// As [`load`], and asks `fault` about each PEM file that the config names: what is wrong with them is told
/// with everything else.
pub fn load_with_files(
    path: &Path,
    fault: impl Fn(&TlsFile) -> Option<FileFault>,
) -> Result<Config, ConfigErrors> {
    let refused = |errors| ConfigErrors::new(path, errors);
    let text = std::fs::read_to_string(path)
        .map_err(|error| refused(vec![ConfigError::unreadable(error.kind())]))?;
    written::parse(&text)
        .and_then(|file| settle::settle(&text, file, &fault))
        .map_err(refused)
}

/// Everything a node needs to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[sip]`
    pub sip: Sip,
    /// `[media]`
    pub media: Media,
    /// `[[carrier]]`, in the file's order.
    pub carriers: Vec<Carrier>,
    /// `[termination]`
    pub termination: TerminationPolicies,
    /// `[[number_pool]]`: the inventory that may be searched and ordered.
    pub number_pools: Vec<NumberPool>,
    /// `[api]`
    pub api: Api,
    /// `[declared]`
    pub declared: Declared,
    /// `[dns]`
    pub dns: Dns,
    /// `[health]`
    pub health: Health,
    /// `[store]`
    pub store: Store,
    /// `[quotas]`
    pub quotas: Quotas,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}

/// `[node]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Where the node keeps what it writes.
    pub data_dir: PathBuf,
    /// Data plane threads; at least 1, at most 64.
    pub shards: u8,
}

/// `[dns]`: how host names of routes and peers are located.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dns {
    /// Name servers, each asked over UDP and TCP; empty for the system's.
    pub servers: Vec<SocketAddr>,
    /// How long an answer serves after its time to live while no name server answers.
    pub stale: Duration,
}

/// `[health]`: how it is found out whether those who calls are sent to are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    /// How often a next hop is pinged (OPTIONS, RFC 3261 §11); zero for never.
    pub interval: Duration,
    /// The same for one that did not answer the last time, or is down.
    pub down_interval: Duration,
    /// How long an answer may take; at most the shorter interval.
    pub timeout: Duration,
    /// Pings in a row without an answer that take it out; at least 1.
    pub down_after: u8,
    /// Pings in a row with an answer that bring it back; at least 1.
    pub up_after: u8,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            down_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(4),
            down_after: 3,
            up_after: 2,
        }
    }
}

/// `[sip]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sip {
    /// A connector's outbound host name is `{id}.{domain}`; lower case.
    pub domain: String,
    /// Other host names and addresses by which peers may call this node; lower case.
    pub aliases: Vec<String>,
    /// At least one.
    pub listeners: Vec<SipListener>,
    /// RFC 3261 timer values and the gateway's own.
    pub timers: SipTimers,
    /// The MTU of the paths to peers, in bytes, near which an INVITE goes over TCP; 0 for never.
    pub udp_mtu: usize,
    /// A REFER is a transfer (RFC 3515); otherwise it is refused.
    pub transfers: bool,
    /// REGISTER of a customer's host is accepted, to no effect; otherwise it is refused.
    pub registers: bool,
    /// `[sip.tls]`
    pub tls: SipTls,
}

/// A transport that SIP runs over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Transport {
    /// RFC 3261 §18, datagrams.
    Udp,
    /// RFC 3261 §18, streams.
    Tcp,
    /// RFC 3261 §26.2.1, TLS over TCP.
    Tls,
}

impl Transport {
    /// The transport token of a Via header (RFC 3261 §20.42).
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The value of a URI's `transport` parameter (RFC 3261 §19.1.1).
    pub const fn uri_token(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port where a peer names none (RFC 3261 §19.1.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// Whether the transport itself repairs loss (RFC 3261 §17: no retransmissions of ours then).
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_token())
    }
}

/// `[[sip.listener]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SipListener {
    /// udp, tcp or tls.
    pub transport: Transport,
    /// The address to bind.
    pub bind: SocketAddr,
    /// The address that peers are told (Via, Contact).
    pub advertise: SocketAddr,
    /// What its packets are marked with, and those of its connections.
    pub dscp: Dscp,
}

/// `[sip.timers]`, RFC 3261 §17 table 4 and the gateway's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SipTimers {
    /// Round-trip estimate; 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions; 4 s.
    pub t2: Duration,
    /// How long a message stays in the network; 5 s.
    pub t4: Duration,
    /// Timer C: how long an INVITE may ring after the last provisional response; over 3 minutes.
    pub timer_c: Duration,
    /// How long a route may stay silent (no response at all to the INVITE) before the next is tried.
    pub route_timeout: Duration,
    /// Session-Expires that we ask for, in seconds (RFC 4028); 0 for none.
    pub session_expires: u32,
    /// The least Session-Expires that is taken, in seconds.
    pub min_se: u32,
}

impl Sip {
    /// Whether anybody can call over TLS.
    pub fn has_tls(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|listener| listener.transport == Transport::Tls)
    }
}

impl SipTimers {
    /// What Min-SE may be at least (RFC 4028 §5).
    pub const MIN_SE_MIN: u32 = 90;
}

impl Default for SipTimers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(185),
            route_timeout: Duration::from_secs(5),
            session_expires: 1_800,
            min_se: Self::MIN_SE_MIN,
        }
    }
}

/// `[media]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// One or two addresses, at most one of a family.
    pub addresses: Vec<MediaAddress>,
    /// UDP ports for RTP (even) and RTCP (odd), shared out among the shards.
    pub ports: RangeInclusive<u16>,
    /// A call that is not on hold and carries no media for this long is ended.
    pub timeout: Duration,
    /// What its packets are marked with.
    pub dscp: Dscp,
    /// How media is encrypted with customers whose connector does not require it.
    pub srtp: SrtpPolicy,
    /// Offers of ours say that RTP and RTCP may share a port (RFC 5761).
    pub offer_rtcp_mux: bool,
    /// A peer's media is believed wherever it comes from, where neither SDP's address nor that of its signalling has
    /// spoken.
    pub latch_anywhere: bool,
    /// Packets a second of one stream that are passed on at most.
    pub packets_per_second: u16,
}

/// An address media is relayed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaAddress {
    /// The address to bind.
    pub bind: IpAddr,
    /// The address that SDP shows.
    pub advertise: IpAddr,
}

/// `[[carrier]]`: an upstream SIP trunk to the PSTN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carrier {
    /// Unique in the file.
    pub name: String,
    /// Calls from these addresses are this carrier's.
    pub sources: Vec<IpNetwork>,
    /// Where calls to this carrier are sent.
    pub routes: Vec<CarrierRoute>,
    /// `[carrier.tls]`
    pub tls: CarrierTls,
    /// What holds for calls to it.
    pub policy: Arc<CarrierPolicy>,
}

/// A carrier's place in the config: its file's order, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CarrierId(pub u32);

/// How a carrier is dealt with in a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarrierPolicy {
    /// The carrier's name.
    pub carrier: Arc<str>,
    /// New calls to it a second; 0 for no limit.
    pub cps: u32,
    /// Calls to it at once; 0 for no limit.
    pub concurrent_calls: u32,
    /// `[carrier.credentials]`: who we are where it asks (401, 407).
    pub credentials: Option<CarrierCredentials>,
    /// It is told identities that Privacy keeps from others, and believed in those that it asserts (RFC 3325).
    pub trusted: bool,
    /// Its redirections (3xx) are followed.
    pub redirect: bool,
    /// The `bind` of the listener that calls to it are sent from; of another transport, the one at the same IP
    /// address. `None` for the one nearest to it.
    pub listener: Option<SocketAddr>,
    /// It takes emergency calls.
    pub emergency: bool,
    /// `[carrier.numbers]`: how it writes numbers, and is written to.
    pub numbers: DiallingRules,
    /// The only codecs that it is offered and answered with; `None` for all.
    pub codecs: Option<Arc<CodecList>>,
    /// `[carrier.headers]`
    pub headers: HeaderRules,
    /// How media is encrypted with it.
    pub srtp: SrtpPolicy,
}

impl Default for CarrierPolicy {
    fn default() -> Self {
        Self {
            carrier: "".into(),
            cps: 0,
            concurrent_calls: 0,
            credentials: None,
            trusted: true,
            redirect: false,
            listener: None,
            emergency: false,
            numbers: DiallingRules::carrier(),
            codecs: None,
            headers: HeaderRules::default(),
            srtp: SrtpPolicy::default(),
        }
    }
}

/// `[carrier.credentials]`
#[derive(Clone, PartialEq, Eq)]
pub struct CarrierCredentials {
    /// The digest user name.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

impl fmt::Debug for CarrierCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarrierCredentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// `[[carrier.route]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarrierRoute {
    /// Where to send.
    pub target: Target,
    /// E.164 digits without `+` that a destination must begin with; empty for every destination.
    pub prefix: Prefix,
    /// 1 is tried first.
    pub priority: u8,
    /// What a call there costs, in any unit that is the same for all carriers: within a priority the cheapest comes
    /// first.
    pub cost: u32,
    /// Share among routes of one prefix, priority and cost.
    pub weight: u8,
    /// Whether the host must prove who it is; of meaning over TLS only.
    pub verify: bool,
}

/// Where a request is sent: a host, and what is said of how to reach it (RFC 3263 §4).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// Host name (lower case) or address.
    pub host: Host,
    /// Port; `None` where a host name's SRV records say it.
    pub port: Option<u16>,
    /// udp, tcp or tls; `None` where a host name's NAPTR or SRV records say it.
    pub transport: Option<Transport>,
    /// Where TLS may be spoken, whom to expect there; the control plane fills it in when it makes a snapshot.
    pub tls: Option<TlsPeerId>,
}

/// A host name or an address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A DNS name, lower case.
    Name(String),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
}

impl From<&str> for Host {
    /// An address where the text is one (IPv6 with or without brackets), otherwise a name.
    fn from(text: &str) -> Self {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(text.to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Host {
    /// As in a URI: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// `[[number_pool]]`: numbers that `SearchAvailablePhoneNumbers` finds and orders take from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberPool {
    /// First and last number, inclusive.
    pub numbers: RangeInclusive<u64>,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Search key of the API; may be empty.
    pub state: String,
    /// Search key of the API; may be empty.
    pub city: String,
    /// Local or toll-free.
    pub toll_free: bool,
}

/// `[api]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Api {
    /// Where HTTP is served.
    pub bind: SocketAddr,
    /// What clients are shown; `None` for HTTP without TLS.
    pub tls: Option<CertificateFiles>,
    /// Requests a second of one access key; 0 for no bound.
    pub requests_per_second: u32,
    /// Users that a number may be associated with, as `ACCOUNT/USER`.
    pub users: Vec<String>,
    /// A table of addresses that emergency calls may come from; `None` where nobody has one.
    pub e911_addresses: Option<PathBuf>,
    /// Who may call.
    pub access_keys: Vec<AccessKey>,
}

impl Api {
    /// `https` where there is a certificate.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// `[[api.access_key]]`
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// AWS access key id.
    pub id: String,
    /// AWS secret access key.
    pub secret: Secret,
    /// The AWS account id that its calls act for; 12 digits.
    pub account: String,
    /// It may read, and change nothing.
    pub is_read_only: bool,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .field("is_read_only", &self.is_read_only)
            .finish_non_exhaustive()
    }
}

/// A text that never reaches a log or an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `[declared]`: resources that stand in files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Declared {
    /// The files.
    pub files: Vec<PathBuf>,
}

/// `[store]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// `sqlite://` or `postgres://`.
    pub url: StoreUrl,
}

/// `[quotas]`: how many resources the API makes. Those that files declare count, and are never refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quotas {
    /// Voice connectors of one account.
    pub voice_connectors: usize,
    /// Voice connector groups of one account.
    pub voice_connector_groups: usize,
    /// Voice connectors of one group.
    pub group_voice_connectors: usize,
    /// Origination routes of one voice connector.
    pub origination_routes: usize,
    /// Credentials of one voice connector.
    pub termination_credentials: usize,
    /// SIP media applications of one account.
    pub sip_media_applications: usize,
    /// SIP rules of one account.
    pub sip_rules: usize,
    /// Open proxy sessions of one voice connector.
    pub proxy_sessions: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            voice_connectors: 100_000,
            voice_connector_groups: 1_000,
            group_voice_connectors: 3,
            origination_routes: 20,
            termination_credentials: 10,
            sip_media_applications: 1_000,
            sip_rules: 1_000,
            proxy_sessions: 10_000,
        }
    }
}

/// `[limits]`: every bound of the data plane in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls one shard carries at once.
    pub calls_max: usize,
    /// Transactions one shard holds at once.
    pub transactions_max: usize,
    /// Bytes of one SIP message, headers and body.
    pub sip_message_bytes_max: usize,
    /// Header fields of one SIP message.
    pub sip_headers_max: usize,
    /// SIP connections one shard holds at once.
    pub connections_max: usize,
    /// Of these, connections that one address (IPv6: one /64) has opened.
    pub source_connections_max: usize,
    /// The same for carriers and customers' hosts.
    pub known_source_connections_max: usize,
    /// How long a SIP connection may carry no whole message in either direction.
    pub connection_idle: Duration,
    /// Messages waiting in a shard's mailbox.
    pub mailbox_max: usize,
    /// SIP messages that a shard takes from one address in a second.
    pub source_messages_per_second: u32,
    /// The same for carriers and customers' hosts.
    pub known_source_messages_per_second: u32,
    /// How long a scanner is not listened to the first time; zero for never.
    pub ban: Duration,
    /// How long at most.
    pub ban_max: Duration,
    /// A shard that is behind by this much refuses new calls.
    pub lag_refuse: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 20_000,
            transactions_max: 200_000,
            sip_message_bytes_max: 65_535,
            sip_headers_max: 128,
            connections_max: 10_000,
            source_connections_max: 32,
            known_source_connections_max: 4_000,
            connection_idle: Duration::from_secs(30 * 60),
            mailbox_max: 8_192,
            source_messages_per_second: 200,
            known_source_messages_per_second: 50_000,
            ban: Duration::from_secs(60),
            ban_max: Duration::from_secs(3_600),
            lag_refuse: Duration::from_millis(200),
        }
    }
}

/// `[log]`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// `log.level`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogLevel {
    /// Only what needs an operator.
    Error,
    /// And what an operator should know of.
    Warn,
    /// And what happened: starts, changes, calls.
    #[default]
    Info,
    /// And why.
    Debug,
    /// Everything.
    Trace,
}

/// `log.format`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// One line of text an event, for people.
    #[default]
    Compact,
    /// One JSON object an event, for machines.
    Json,
}
