//! The gateway's side of a scenario: what may be set before it starts, and where it listens.

use std::time::Duration;

use trunkline::config::{Dscp, Health, Limits, SipListener, SipTimers, Transport};

pub(crate) const GATEWAY_V4: &str = "198.51.100.1:5060";
pub(crate) const GATEWAY_TLS: &str = "198.51.100.1:5061";
pub(crate) const GATEWAY_V6: &str = "[2001:db8:1::1]:5060";

/// The listeners of a world that brings none of its own: UDP and TCP on both families, and TLS.
fn listeners() -> Vec<SipListener> {
    let places = [
        (Transport::Udp, GATEWAY_V4),
        (Transport::Tcp, GATEWAY_V4),
        (Transport::Udp, GATEWAY_V6),
        (Transport::Tcp, GATEWAY_V6),
        (Transport::Tls, GATEWAY_TLS),
    ];
    let listener = |(transport, address): (Transport, &str)| SipListener {
        transport,
        bind: address.parse().unwrap(),
        advertise: address.parse().unwrap(),
        dscp: Dscp::CS3,
    };
    places.into_iter().map(listener).collect()
}

/// What the scenarios may set before the gateway starts.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) shards: u8,
    pub(crate) listeners: Vec<SipListener>,
    pub(crate) timers: SipTimers,
    pub(crate) limits: Limits,
    pub(crate) media_timeout: Duration,
    pub(crate) udp_mtu: usize,
    pub(crate) transfers: bool,
    pub(crate) registers: bool,
    pub(crate) health: Health,
    /// Media port pairs of each shard in each family.
    pub(crate) media_ports: u32,
    /// Media addresses, one a family.
    pub(crate) media_addresses: Vec<&'static str>,
}

impl Gateway {
    pub(crate) fn new(shards: u8) -> Self {
        Self {
            shards,
            listeners: listeners(),
            timers: SipTimers::default(),
            limits: Limits::default(),
            media_timeout: Duration::from_secs(3_600),
            udp_mtu: 0,
            transfers: false,
            registers: false,
            // Whoever wants to be left alone says `interval_s = 0`.
            health: Health {
                interval: Duration::ZERO,
                ..Health::default()
            },
            media_ports: 40,
            media_addresses: vec!["198.51.100.2", "2001:db8:1::2"],
        }
    }
}
