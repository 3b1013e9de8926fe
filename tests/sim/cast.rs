//! The connectors, carriers and agents that the scenarios are played by.

use std::sync::Arc;

use trunkline::config::{Carrier, CarrierRoute, CarrierTls, Host, SipTls, Target, Transport};
use trunkline::connector_id::VoiceConnectorId;
use trunkline::shard::snapshot::{
    Credential, NumberHolder, Origination, OriginationRoute, Snapshot, Termination, VoiceConnector,
};
use trunkline::sip::digest::{Algorithm, ha1};

use crate::agent::Agent;
use crate::agent::plan::Plan;
use crate::agent::security::Srtp;
use crate::gateway::{GATEWAY_TLS, GATEWAY_V4, GATEWAY_V6, Gateway};
use crate::world::{World, seed};

/// The agents, by their place in [`World::agents`].
pub(crate) const PBX: usize = 0;
pub(crate) const PBX_SPARE: usize = 1;
pub(crate) const CARRIER: usize = 2;
pub(crate) const CARRIER_SPARE: usize = 3;
pub(crate) const PBX_TCP: usize = 4;
pub(crate) const PBX_V6: usize = 5;
pub(crate) const CARRIER_TCP_V6: usize = 6;
pub(crate) const PBX_NAT: usize = 7;
pub(crate) const PBX_TLS: usize = 8;

/// The number of the customer, and numbers that lead to the other customers.
pub(crate) const OWN: &str = "+12065550100";
pub(crate) const OWN_TCP: &str = "+12065550101";
pub(crate) const OWN_V6: &str = "+12065550102";
pub(crate) const OWN_SECRET: &str = "+12065550103";
pub(crate) const OWN_TLS: &str = "+12065550106";
/// Outside: with the carrier and its spare, and with the carrier on TCP and IPv6.
pub(crate) const OUTSIDE: &str = "+4930901820";
pub(crate) const OUTSIDE_TCP_V6: &str = "+33142685300";

/// The customer's connector without credentials, the one with, the ones on TCP and IPv6, the one that
/// is disabled, the one for few calls a second.
pub(crate) const PLAIN: u8 = 1;
pub(crate) const SECRET: u8 = 2;
pub(crate) const TCP: u8 = 3;
pub(crate) const V6: u8 = 4;
pub(crate) const DISABLED: u8 = 5;
pub(crate) const SLOW: u8 = 6;
pub(crate) const BARE: u8 = 7;
/// The one that requires encryption.
pub(crate) const ENCRYPTED: u8 = 8;

pub(crate) const USERNAME: &str = "alice";
pub(crate) const PASSWORD: &str = "wonderland";

pub(crate) fn connector_id(number: u8) -> VoiceConnectorId {
    VoiceConnectorId::from_random([number; VoiceConnectorId::LENGTH])
}

pub(crate) fn host(connector: u8) -> String {
    format!("{}.voiceconnector.example", connector_id(connector))
}

/// The Request-URI of a call to a number through a connector.
pub(crate) fn through(connector: u8, number: &str) -> String {
    format!("sip:{number}@{}", host(connector))
}

/// The Request-URI of a carrier's call.
pub(crate) fn inbound(number: &str) -> String {
    format!("sip:{number}@{GATEWAY_V4}")
}

/// Caller, called and Request-URI of a call each way.
pub(crate) fn ways() -> [(usize, usize, String); 2] {
    [
        (PBX, CARRIER, through(PLAIN, OUTSIDE)),
        (CARRIER, PBX, inbound(OWN)),
    ]
}

pub(crate) fn agents() -> Vec<Agent> {
    use Transport::{Tcp, Tls, Udp};
    let agent = |mark: &str, address: &str, transport, gateway: &str| {
        let (address, gateway) = (address.parse().unwrap(), gateway.parse().unwrap());
        Agent::new(mark, address, transport, gateway, Plan::answers())
    };
    let mut nat = agent("qnatpbxq", "10.9.9.109:1024", Udp, GATEWAY_V4);
    nat.address = "192.168.77.155:5060".parse().unwrap();
    let mut tls = agent("qtlspbxq", "203.0.113.108:5061", Tls, GATEWAY_TLS);
    tls.srtp = Some(Srtp::REQUIRED);
    vec![
        agent("qpbxq", "203.0.113.101:5060", Udp, GATEWAY_V4),
        agent("qsparepbxq", "203.0.113.102:5062", Udp, GATEWAY_V4),
        agent("qcarrierq", "192.0.2.101:5080", Udp, GATEWAY_V4),
        agent("qsparecarrierq", "192.0.2.102:5080", Udp, GATEWAY_V4),
        agent("qtcppbxq", "203.0.113.103:5060", Tcp, GATEWAY_V4),
        agent("qsixpbxq", "[2001:db8:2::104]:5060", Udp, GATEWAY_V6),
        agent("qsixtcpcarrierq", "[2001:db8:3::105]:5060", Tcp, GATEWAY_V6),
        nat,
        tls,
    ]
}

fn target(agent: usize) -> Target {
    let agents = agents();
    let Agent {
        address, transport, ..
    } = agents[agent];
    Target {
        host: Host::Address(address.ip()),
        port: Some(address.port()),
        transport: Some(transport),
        tls: None,
    }
}

fn carrier(name: &str, routes: &[(usize, &str, u8)]) -> Carrier {
    let agents = agents();
    let sources = routes
        .iter()
        .map(|(agent, ..)| agents[*agent].address.ip().into());
    let route = |(agent, prefix, priority): &(usize, &str, u8)| CarrierRoute {
        target: target(*agent),
        prefix: prefix.parse().unwrap(),
        priority: *priority,
        weight: 1,
        verify: true,
        cost: 0,
    };
    Carrier {
        name: name.to_owned(),
        sources: sources.collect(),
        routes: routes.iter().map(route).collect(),
        tls: CarrierTls::default(),
        policy: Default::default(),
    }
}

fn connector(number: u8, termination: Option<Termination>, routes: &[usize]) -> VoiceConnector {
    let route = |(priority, agent): (u8, &usize)| OriginationRoute {
        target: target(*agent),
        priority,
        weight: 1,
    };
    let routes: Vec<_> = (1..).zip(routes).map(route).collect();
    VoiceConnector {
        termination,
        origination: (!routes.is_empty()).then_some(Origination {
            disabled: false,
            routes,
        }),
        ..VoiceConnector::new(connector_id(number), &host(number))
    }
}

fn termination(sources: &[&str]) -> Termination {
    Termination {
        disabled: false,
        cidr_allowed_list: sources
            .iter()
            .map(|source| source.parse().unwrap())
            .collect(),
        calling_regions: ["US", "DE", "FR", "GB"]
            .map(|code| code.parse().unwrap())
            .to_vec(),
        cps_limit: 1_000,
        default_phone_number: None,
    }
}

pub(crate) fn carriers() -> [Carrier; 2] {
    [
        carrier("example", &[(CARRIER, "", 1), (CARRIER_SPARE, "", 2)]),
        carrier("six", &[(CARRIER_TCP_V6, "33", 1)]),
    ]
}

pub(crate) fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.set_carriers(carriers());
    for own in ["198.51.100.1", "2001:db8:1::1", "gateway.example"] {
        snapshot.own_hosts.insert(own.into());
    }
    let v4 = || {
        Some(termination(&[
            "203.0.113.101/32",
            "203.0.113.102/32",
            "10.9.9.109/32",
        ]))
    };
    snapshot.put_connector(connector(PLAIN, v4(), &[PBX, PBX_SPARE]));
    let mut secret = connector(SECRET, v4(), &[PBX]);
    let realm = host(SECRET);
    secret.credentials = vec![Credential {
        username: USERNAME.to_owned(),
        ha1_md5: ha1(Algorithm::Md5, USERNAME, &realm, PASSWORD),
        ha1_sha256: ha1(Algorithm::Sha256, USERNAME, &realm, PASSWORD),
    }];
    snapshot.put_connector(secret);
    let tcp = Some(termination(&["203.0.113.103/32"]));
    snapshot.put_connector(connector(TCP, tcp, &[PBX_TCP]));
    let tls = Some(termination(&["203.0.113.108/32"]));
    let mut encrypted = connector(ENCRYPTED, tls, &[PBX_TLS]);
    encrypted.require_encryption = true;
    for route in encrypted
        .origination
        .iter_mut()
        .flat_map(|origination| &mut origination.routes)
    {
        snapshot.secure(&mut route.target, &SipTls::default().customers());
    }
    snapshot.put_connector(encrypted);
    let v6 = Some(termination(&["2001:db8:2::/64"]));
    snapshot.put_connector(connector(V6, v6, &[PBX_V6]));
    let disabled = v4().map(|termination| Termination {
        disabled: true,
        ..termination
    });
    snapshot.put_connector(connector(DISABLED, disabled, &[]));
    let slow = v4().map(|termination| Termination {
        cps_limit: 2,
        ..termination
    });
    snapshot.put_connector(connector(SLOW, slow, &[]));
    snapshot.put_connector(connector(BARE, None, &[]));
    let numbers = [
        (OWN, PLAIN),
        (OWN_TCP, TCP),
        (OWN_V6, V6),
        (OWN_SECRET, SECRET),
        (OWN_TLS, ENCRYPTED),
        ("+12065550104", SLOW),
        ("+12065550105", BARE),
    ];
    for (number, owner) in numbers {
        let number = number.parse().unwrap();
        let holder = NumberHolder::Connector(connector_id(owner));
        snapshot.numbers.insert(number, holder);
    }
    snapshot
}

/// Plays a scenario with one shard and with two, and looks that nothing is left.
pub(crate) fn play(scenario: impl Fn(&mut World)) {
    play_with(|_| {}, |_| {}, scenario);
}

/// Plays for calls both ways; the called side has this plan. The scenario gets caller, called side and
/// Request-URI.
pub(crate) fn both_ways(called_side: &Plan, scenario: impl Fn(&mut World, usize, usize, &str)) {
    for (caller, called, to) in ways() {
        play(|world| {
            world.agents[called].plan = called_side.clone();
            scenario(world, caller, called, &to);
        });
    }
}

/// [`play`] with another gateway or another snapshot.
pub(crate) fn play_with(
    gateway: impl Fn(&mut Gateway),
    change: impl Fn(&mut Snapshot),
    scenario: impl Fn(&mut World),
) {
    for shards in [1, 2] {
        let mut settings = Gateway::new(shards);
        gateway(&mut settings);
        let mut routing = snapshot();
        change(&mut routing);
        let mut world = World::new(&settings, seed(), &Arc::new(routing), agents());
        scenario(&mut world);
        world.finish();
    }
}
