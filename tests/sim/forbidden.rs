//! Whatever the settings and whatever is called: no call is ever sent to a country, a class, a prefix or a host that
//! its connector's settings forbid. `TRUNKLINE_SIM_SEED` plays another run.

use std::sync::Arc;

use trunkline::config::TerminationPolicy;
use trunkline::numbering::{Class, Country, E164, Prefix};
use trunkline::shard::snapshot::{
    GroupMember, NumberHolder, Origination, ProxyParticipant, ProxySession, Snapshot,
};
use trunkline::sip::message::Method;
use uuid::Uuid;

use crate::agent::plan::{Act, Plan};
use crate::cast::{
    CARRIER, CARRIER_SPARE, PBX, PBX_SPARE, PBX_TCP, PLAIN, SLOW, TCP, agents, connector_id,
    inbound, snapshot, through,
};
use crate::gateway::Gateway;
use crate::network::Rng;
use crate::world::{World, seed};

const COUNTRIES: [&str; 6] = ["US", "CA", "JM", "DE", "GB", "KZ"];
const NUMBERS: [&str; 14] = [
    "+12065550142",
    "+14165550142",
    "+18765550142",
    "+4930901820",
    "+442071838750",
    "+77273123456",
    "+74951234567",
    "+19005550142",
    "+18005550142",
    "+881612345678",
    "+882161234567",
    "+979123456789",
    "+2105550100",
    "+447012345678",
];
const PREFIXES: [&str; 6] = ["1", "1206", "49", "4420", "7", "88"];
/// Settings and calls of one run.
const RUNS: u64 = 150;
const OWN_NUMBER: &str = "+12065550100";
const GROUP_NUMBER: &str = "+12065550170";
const STANDS_FOR: &str = "+12065550180";
const ANNA: &str = "+33142685300";

/// What was drawn for the connector.
struct Settings {
    regions: Vec<Country>,
    policy: TerminationPolicy,
    /// Hosts of the connector and of the other member of its group that may be called.
    hosts: Vec<usize>,
    participant: E164,
}

fn some<T: Copy>(rng: &mut Rng, all: &[T]) -> Vec<T> {
    all.iter().copied().filter(|_| rng.chance(400)).collect()
}

fn draw(rng: &mut Rng, snapshot: &mut Snapshot) -> Settings {
    let prefixes = |rng: &mut Rng| {
        let drawn = some(rng, &PREFIXES).into_iter();
        drawn.map(|text| text.parse::<Prefix>().unwrap()).collect()
    };
    let policy = TerminationPolicy {
        premium_rate: rng.chance(500),
        satellite: rng.chance(500),
        allow_prefixes: if rng.chance(400) {
            prefixes(rng)
        } else {
            Default::default()
        },
        deny_prefixes: prefixes(rng),
        ..TerminationPolicy::default()
    };
    let regions: Vec<Country> = some(rng, &COUNTRIES)
        .into_iter()
        .map(|code| code.parse().unwrap())
        .collect();
    let mut plain = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
    plain.policy = Arc::new(policy.clone());
    if let Some(termination) = &mut plain.termination {
        termination.calling_regions.clone_from(&regions);
    }
    let mut hosts = Vec::new();
    if let Some(Origination { disabled, routes }) = &mut plain.origination {
        *disabled = rng.chance(200);
        routes.retain(|_| rng.chance(700));
        let all = agents();
        for host in [PBX, PBX_SPARE] {
            let is_there = |route: &trunkline::shard::snapshot::OriginationRoute| {
                route.target.host.to_string() == all[host].address.ip().to_string()
            };
            if !*disabled && routes.iter().any(is_there) {
                hosts.push(host);
            }
        }
    }
    snapshot.put_connector(plain);
    let members = some(rng, &[PLAIN, TCP, SLOW]);
    let member = |(priority, connector): (u8, &u8)| GroupMember {
        connector: connector_id(*connector),
        priority,
    };
    let group = Uuid::from_u128(7);
    snapshot
        .groups
        .insert(group, (1..).zip(&members).map(member).collect());
    let number = |text: &str| -> E164 { text.parse().unwrap() };
    snapshot
        .numbers
        .insert(number(GROUP_NUMBER), NumberHolder::Group(group));
    let holder = NumberHolder::Connector(connector_id(PLAIN));
    snapshot.numbers.insert(number(STANDS_FOR), holder);
    let participant = number(NUMBERS[rng.below(NUMBERS.len() as u64) as usize]);
    let proxied = |number: E164| ProxyParticipant {
        number,
        proxy: STANDS_FOR.parse().unwrap(),
    };
    snapshot.proxy_sessions.put(ProxySession {
        id: "session".into(),
        connector: connector_id(PLAIN),
        participants: [proxied(number(ANNA)), proxied(participant)],
        voice: true,
        sms: false,
        in_progress: false,
        ends: None,
    });
    if members.contains(&TCP) {
        hosts.push(PBX_TCP);
    }
    Settings {
        regions,
        policy,
        hosts,
        participant,
    }
}

/// Whether the settings let a number be called, worked out in another way than the gateway does.
fn may_call(settings: &Settings, number: E164) -> bool {
    let (class, country) = (number.class(), number.country());
    let is_class_allowed = match class {
        Class::PremiumRate | Class::Personal => settings.policy.premium_rate,
        Class::Satellite | Class::Network => settings.policy.satellite,
        Class::Ordinary | Class::TollFree | Class::SharedCost | Class::Unassigned => true,
    };
    let has = |code: &str| {
        settings
            .regions
            .iter()
            .any(|region| region.as_str() == code)
    };
    let is_region_allowed = match country {
        Some(country) if class == Class::TollFree && country.as_str() == "US" => {
            has("US") || has("CA")
        }
        Some(country) => has(country.as_str()),
        None => !matches!(
            class,
            Class::Unassigned | Class::TollFree | Class::SharedCost | Class::Ordinary
        ),
    };
    let longest = |set: &trunkline::numbering::PrefixSet| {
        let digits = number.to_string();
        let fitting = set
            .iter()
            .filter(|(prefix, ())| digits.starts_with(&prefix.to_string()));
        fitting.map(|(prefix, ())| prefix.len()).max()
    };
    let (allowed, denied) = (
        longest(&settings.policy.allow_prefixes),
        longest(&settings.policy.deny_prefixes),
    );
    let is_prefix_allowed =
        denied < allowed || (denied.is_none() && settings.policy.allow_prefixes.is_empty());
    is_class_allowed && is_region_allowed && is_prefix_allowed
}

fn check(rng: &mut Rng) -> [u32; 2] {
    let mut routing = snapshot();
    let settings = draw(rng, &mut routing);
    let mut world = World::new(&Gateway::new(2), seed(), &Arc::new(routing), agents());
    let mut calls = Vec::new();
    for _ in 0..12 {
        let dialled = NUMBERS[rng.below(NUMBERS.len() as u64) as usize];
        calls.push(match rng.below(4) {
            0 | 1 => world.call(PBX, &through(PLAIN, dialled), Plan::idle()),
            2 => {
                let number = [OWN_NUMBER, GROUP_NUMBER][rng.below(2) as usize];
                let plan = Plan {
                    from: "+15550100100",
                    ..Plan::idle()
                };
                world.call(CARRIER_SPARE, &inbound(number), plan)
            }
            _ => {
                let plan = Plan {
                    from: ANNA,
                    ..Plan::idle()
                };
                world.call(CARRIER_SPARE, &inbound(STANDS_FOR), plan)
            }
        });
    }
    world.run(2_500);
    let mut sent = [0, 0];
    for carrier in [CARRIER, CARRIER_SPARE] {
        for call in &world.agents[carrier].calls {
            let is_callee = !calls
                .iter()
                .any(|known| std::ptr::eq(world.at_call(*known), call));
            if is_callee {
                let uri = call.request(Method::Invite).uri();
                let number = uri.trim_start_matches("sip:").split('@').next().unwrap();
                let number: E164 = number.parse().unwrap();
                assert!(
                    may_call(&settings, number),
                    "{number} was called (participant {})",
                    settings.participant
                );
                sent[0] += 1;
            }
        }
    }
    for host in [PBX, PBX_SPARE, PBX_TCP] {
        let callee = |call: &&crate::agent::call::Call| {
            !calls
                .iter()
                .any(|known| std::ptr::eq(world.at_call(*known), *call))
        };
        let called = world.agents[host].calls.iter().filter(callee).count();
        assert!(
            called == 0 || settings.hosts.contains(&host),
            "a host was called that no route leads to"
        );
        sent[1] += called as u32;
    }
    for call in calls {
        let status = world.at_call(call).status();
        if status == Some(200) {
            world.act(call, Act::Bye);
        }
    }
    world.run(1_000);
    world.finish();
    sent
}

#[test]
fn no_call_goes_where_its_connectors_settings_forbid() {
    let mut rng = Rng::new(seed());
    let mut sent = [0, 0];
    for _ in 0..RUNS {
        let [out, home] = check(&mut rng);
        sent = [sent[0] + out, sent[1] + home];
    }
    // Settings that let nothing through would prove nothing.
    assert!(sent.iter().all(|calls| *calls > 100), "{sent:?}");
}
