//! What is used where the file, or the whole file, does not say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{
    AccessKey, Api, Carrier, CarrierPolicy, CarrierRoute, CarrierTls, Config, Declared, Dns, Dscp,
    Health, Host, Limits, Log, Media, MediaAddress, Node, NumberPool, Quotas, Secret, Sip,
    SipListener, SipTimers, SipTls, Store, StoreUrl, Target, TerminationPolicies, Transport,
};
use crate::numbering::Prefix;

/// Ethernet's, and what RFC 3261 §18.1.1 assumes where nothing is known.
pub(super) const UDP_MTU: usize = 1_500;
/// A shard is a thread; its number is a byte of the identifiers that carry it.
pub(super) const SHARDS_MAX: u8 = 64;
pub(super) const MEDIA_ADDRESS: IpAddr = LOOPBACK;
pub(super) const MEDIA_PORTS: RangeInclusive<u16> = 20_000..=29_999;
pub(super) const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const MEDIA_DSCP: Dscp = Dscp::EF;
pub(super) const SIP_DSCP: Dscp = Dscp::CS3;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The access key of AWS's own examples, which everyone knows: for development only.
const DEVELOPMENT_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const DEVELOPMENT_KEY_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const DEVELOPMENT_KEY_ACCOUNT: &str = "111122223333";

pub(super) fn data_dir() -> PathBuf {
    PathBuf::from("data")
}

/// One a core.
pub(super) fn shards() -> u8 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u8::try_from(cores).map_or(SHARDS_MAX, |cores| cores.min(SHARDS_MAX))
}

pub(super) fn domain() -> String {
    "voiceconnector.localhost".to_owned()
}

pub(super) fn api_bind() -> SocketAddr {
    SocketAddr::new(LOOPBACK, 8080)
}

pub(super) fn store_url(data_dir: &Path) -> StoreUrl {
    StoreUrl::sqlite(&data_dir.join("trunkline.db"))
}

impl Config {
    /// The node that runs where no file is given: everything on loopback, with an example carrier,
    /// example numbers, and a [development key](AccessKey::is_development_key). `config/trunkline.toml`
    /// says the same as a file.
    pub fn default_for_start() -> Self {
        Self {
            node: Node {
                data_dir: data_dir(),
                shards: shards(),
            },
            sip: Sip {
                domain: domain(),
                aliases: Vec::new(),
                listeners: [Transport::Udp, Transport::Tcp, Transport::Tls]
                    .map(loopback_listener)
                    .to_vec(),
                timers: SipTimers::default(),
                udp_mtu: UDP_MTU,
                transfers: false,
                registers: false,
                tls: SipTls::default(),
            },
            media: Media {
                addresses: vec![MediaAddress {
                    bind: MEDIA_ADDRESS,
                    advertise: MEDIA_ADDRESS,
                }],
                ports: MEDIA_PORTS,
                timeout: MEDIA_TIMEOUT,
                dscp: MEDIA_DSCP,
            },
            carriers: vec![example_carrier()],
            termination: TerminationPolicies::default(),
            number_pools: vec![example_numbers()],
            api: Api {
                bind: api_bind(),
                tls: None,
                e911_addresses: None,
                users: Vec::new(),
                requests_per_second: API_REQUESTS_PER_SECOND,
                access_keys: vec![AccessKey {
                    id: DEVELOPMENT_KEY_ID.to_owned(),
                    secret: Secret(DEVELOPMENT_KEY_SECRET.to_owned()),
                    account: DEVELOPMENT_KEY_ACCOUNT.to_owned(),
                    is_read_only: false,
                }],
            },
            declared: Declared::default(),
            dns: dns(),
            health: Health::default(),
            store: Store {
                url: store_url(&data_dir()),
            },
            quotas: Quotas::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

impl AccessKey {
    /// Whether this is the example key that everyone knows, so that a start can warn of it.
    pub fn is_development_key(&self) -> bool {
        self.id == DEVELOPMENT_KEY_ID
    }
}

pub(super) fn dns() -> Dns {
    Dns {
        servers: Vec::new(),
        stale: Duration::from_secs(86_400),
    }
}

/// Far more than the service allowed, and too few to keep a node busy.
pub(super) const API_REQUESTS_PER_SECOND: u32 = 1_000;

fn loopback_listener(transport: Transport) -> SipListener {
    let address = SocketAddr::new(LOOPBACK, transport.default_port());
    SipListener {
        transport,
        bind: address,
        advertise: address,
        dscp: SIP_DSCP,
    }
}

fn example_carrier() -> Carrier {
    Carrier {
        name: "example".to_owned(),
        sources: vec![LOOPBACK.into()],
        routes: vec![CarrierRoute {
            target: Target {
                host: Host::Address(LOOPBACK),
                port: Some(5080),
                transport: Some(Transport::Udp),
                tls: None,
            },
            prefix: Prefix::ANY,
            priority: 1,
            weight: 1,
            verify: true,
            cost: 0,
        }],
        tls: CarrierTls::default(),
        policy: Arc::new(CarrierPolicy {
            carrier: "example".into(),
            ..CarrierPolicy::default()
        }),
    }
}

fn example_numbers() -> NumberPool {
    NumberPool {
        numbers: 12_065_550_100..=12_065_550_199,
        country: "US".to_owned(),
        state: String::new(),
        city: String::new(),
        toll_free: false,
    }
}
