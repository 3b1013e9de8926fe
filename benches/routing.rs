//! What it costs to find where a call goes, among a million numbers and 10,000 connectors, numbers in no order: most
//! look-ups miss the caches, as those of a busy node do.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkline::config::{
    Carrier, CarrierPolicy, CarrierRoute, CarrierTls, Host, Target, Transport,
};
use trunkline::connector_id::VoiceConnectorId;
use trunkline::gateway::routing::{carrier_candidates, origination_candidates};
use trunkline::numbering::{E164, Prefix};
use trunkline::shard::random::Random;
use trunkline::shard::snapshot::{
    NumberHolder, Origination, OriginationRoute, Snapshot, VoiceConnector,
};

const NUMBERS: u64 = 1_000_000;
const CONNECTORS: u32 = 10_000;
/// Prefixes of a rate deck, each with a route of each carrier.
const PREFIXES: u64 = 20_000;
const CARRIERS: u16 = 5;

fn number(index: u64) -> E164 {
    E164::from_digits(12_060_000_000 + index * 7).expect("eleven digits")
}

fn connector_id(index: u32) -> VoiceConnectorId {
    let mut bytes = [0; VoiceConnectorId::LENGTH];
    bytes[..4].copy_from_slice(&index.to_be_bytes());
    // Four bytes of which each is one of 36 characters: spread over more, no two are alike.
    bytes[4] = (index % 36) as u8;
    bytes[5] = (index / 36 % 36) as u8;
    bytes[6] = (index / 1_296 % 36) as u8;
    VoiceConnectorId::from_random(bytes)
}

fn target(address: u32) -> Target {
    Target {
        host: Host::Address(IpAddr::V4(address.into())),
        port: Some(5060),
        transport: Some(Transport::Udp),
        tls: None,
    }
}

fn full() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for index in 0..CONNECTORS {
        let id = connector_id(index);
        let route = |offset| OriginationRoute {
            target: target(0x0a00_0000 + index * 2 + offset),
            priority: 1,
            weight: 1,
        };
        snapshot.put_connector(VoiceConnector {
            origination: Some(Origination {
                disabled: false,
                routes: vec![route(0), route(1)],
            }),
            ..VoiceConnector::new(id, &format!("{id}.voiceconnector.localhost"))
        });
    }
    assert_eq!(snapshot.connectors.len(), CONNECTORS as usize);
    for index in 0..NUMBERS {
        let holder = NumberHolder::Connector(connector_id((index % u64::from(CONNECTORS)) as u32));
        snapshot.numbers.insert(number(index), holder);
    }
    let carriers = (0..CARRIERS).map(|carrier| Carrier {
        name: format!("carrier {carrier}"),
        sources: Vec::new(),
        routes: (0..PREFIXES).map(|prefix| route(carrier, prefix)).collect(),
        tls: CarrierTls::default(),
        policy: CarrierPolicy::default().into(),
    });
    snapshot.set_carriers(carriers.collect::<Vec<_>>());
    snapshot
}

fn route(carrier: u16, prefix: u64) -> CarrierRoute {
    CarrierRoute {
        target: target(0xc000_0200 + u32::from(carrier)),
        prefix: prefix_of(prefix),
        priority: 1,
        cost: u32::from(carrier),
        weight: 1,
        verify: true,
    }
}

/// The first six digits of numbers of the bench, and of others.
fn prefix_of(index: u64) -> Prefix {
    let digits = 120_000 + index;
    digits.to_string().parse().expect("a prefix")
}

fn routing(criterion: &mut Criterion) {
    let snapshot = full();
    let mut random = Random::new([7; 16]);
    let mut group = criterion.benchmark_group("route look-up");
    group.bench_function("number to places", |bencher| {
        let mut draw = Random::new([1; 16]);
        bencher.iter(|| {
            let dialled = number(u64::from(draw.below(NUMBERS as u32)));
            let Some(NumberHolder::Connector(id)) = snapshot.numbers.get(&dialled) else {
                panic!("a number of a connector");
            };
            let connector = &snapshot.connectors[id];
            let origination = connector.origination.as_ref().expect("routes");
            let candidates = origination_candidates(*id, origination, &snapshot, &mut random);
            assert_eq!(black_box(candidates).len(), 2);
        });
    });
    group.bench_function(
        "destination to places, 20,000 prefixes of 5 carriers",
        |bencher| {
            let mut draw = Random::new([1; 16]);
            bencher.iter(|| {
                let dialled = number(u64::from(draw.below(NUMBERS as u32)));
                let candidates = carrier_candidates(dialled, &snapshot, &mut random);
                assert_eq!(black_box(candidates).len(), usize::from(CARRIERS));
            });
        },
    );
    group.bench_function("host name to connector", |bencher| {
        let mut draw = Random::new([1; 16]);
        let hosts: Vec<String> = snapshot.hosts.keys().map(|host| host.to_string()).collect();
        bencher.iter(|| {
            let host = &hosts[draw.below(CONNECTORS) as usize];
            assert!(black_box(snapshot.connector_by_host(host)).is_some());
        });
    });
    group.finish();
}

criterion_group!(benches, routing);
criterion_main!(benches);
