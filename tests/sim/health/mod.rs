//! Pings of those who calls are sent to (OPTIONS, RFC 3261 §11), and calls that pass over who does not answer.

mod next_hops;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use trunkline::config::{Health, Host, SipTls, Target, Transport};
use trunkline::instant::Instant;
use trunkline::shard::snapshot::{
    GroupMember, Located, NumberHolder, Origination, OriginationRoute, Snapshot,
};
use trunkline::sip::locate::Place;
use trunkline::sip::message::Method;
use trunkline::telemetry::{Event, PingFailure};

use crate::agent::call::State;
use crate::agent::plan::{Act, Plan};
use crate::cast::{
    CARRIER, CARRIER_SPARE, CARRIER_TCP_V6, OUTSIDE, OWN, PBX, PBX_NAT, PBX_SPARE, PBX_TCP,
    PBX_TLS, PBX_V6, PLAIN, V6, connector_id, inbound, play_with, snapshot, through,
};
use crate::world::World;

const HEALTH: Health = Health {
    interval: Duration::from_secs(30),
    down_interval: Duration::from_secs(10),
    timeout: Duration::from_secs(4),
    down_after: 3,
    up_after: 2,
};

/// Whom routes lead to.
const PINGED: [usize; 8] = [
    PBX,
    PBX_SPARE,
    CARRIER,
    CARRIER_SPARE,
    PBX_TCP,
    PBX_V6,
    CARRIER_TCP_V6,
    PBX_TLS,
];

/// Does with what the shards tell what the control plane does.
struct Control {
    snapshot: Snapshot,
    /// Events that it has seen.
    seen: usize,
}

impl Control {
    /// Lets that many milliseconds pass.
    fn run(&mut self, world: &mut World, millis: u64) {
        for _ in 0..millis / 50 {
            world.run(50);
            self.attend(world);
        }
    }

    fn attend(&mut self, world: &mut World) {
        let mut is_changed = false;
        for event in &world.events[self.seen..] {
            if let Event::HealthChanged { hop, is_down, .. } = event {
                self.snapshot.next_hops.set_down(*hop, *is_down);
                is_changed = true;
            }
        }
        self.seen = world.events.len();
        if is_changed {
            world.publish(self.snapshot.clone());
        }
    }

    /// Lets time pass until an agent is down, or up again; how long that took, at most ten minutes.
    fn run_until(&mut self, world: &mut World, agent: usize, is_down: bool) -> Duration {
        let start = world.now;
        while is_down_now(world, agent) != is_down {
            self.run(world, 50);
            assert!(world.now.since(start) < Duration::from_secs(600));
        }
        world.now.since(start)
    }

    fn change(&mut self, world: &mut World, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot);
        world.publish(self.snapshot.clone());
    }
}

/// What the shards have told last of an agent's address.
fn is_down_now(world: &World, agent: usize) -> bool {
    changes(world, agent).last().copied().unwrap_or(false)
}

/// What the shards have told of an agent's address: whether it was down, each time.
fn changes(world: &World, agent: usize) -> Vec<bool> {
    let address = world.agents[agent].address;
    let changes = world.events.iter().filter_map(|event| match event {
        Event::HealthChanged { hop, is_down, .. } if hop.address == address => Some(*is_down),
        _ => None,
    });
    changes.collect()
}

/// When an agent was pinged, each ping once however often it was sent again.
fn pings(world: &World, agent: usize) -> Vec<Instant> {
    let mut first = BTreeMap::new();
    for (at, request, _) in &world.agents[agent].pings {
        first.entry(request.call_id().to_owned()).or_insert(*at);
    }
    let mut times: Vec<Instant> = first.into_values().collect();
    times.sort_unstable();
    times
}

/// Plays with pings, and ends them.
fn play(scenario: impl Fn(&mut World, &mut Control)) {
    play_changed(HEALTH, |_| {}, scenario);
}

fn play_changed(
    health: Health,
    change: impl Fn(&mut Snapshot),
    scenario: impl Fn(&mut World, &mut Control),
) {
    play_with(
        |gateway| gateway.health = health,
        &change,
        |world| {
            let mut snapshot = snapshot();
            change(&mut snapshot);
            let mut control = Control { snapshot, seen: 0 };
            scenario(world, &mut control);
            world.publish(Snapshot::default());
        },
    );
}

/// A carrier's call to the customer's number; what came to the PBX and its spare, and how long after.
fn call_in(world: &mut World) -> [Option<Duration>; 2] {
    let start = world.now;
    let agents = [PBX, PBX_SPARE];
    let before = agents.map(|agent| world.agents[agent].calls.len());
    let a = world.call(CARRIER, &inbound(OWN), Plan::idle());
    world.run(3_000);
    assert_eq!(world.at_call(a).state, State::Talking);
    world.act(a, Act::Bye);
    world.run(1_000);
    let came = |index: usize| {
        let call = world.agents[agents[index]].calls.get(before[index])?;
        // It answers a second after the INVITE.
        Some(call.answered_at?.since(start + Duration::from_secs(1)))
    };
    [came(0), came(1)]
}

#[test]
fn every_next_hop_is_pinged_once_an_interval_whoever_leads_there() {
    play(|world, control| {
        control.run(world, 300_000);
        for agent in PINGED {
            let pings = pings(world, agent);
            // The last of them may be on its way.
            assert!((9..=10).contains(&pings.len()), "{pings:?}");
            for pair in pings.windows(2) {
                let apart = pair[1].since(pair[0]);
                assert!(
                    apart.abs_diff(HEALTH.interval) < Duration::from_millis(5),
                    "{apart:?}"
                );
            }
        }
        // No route leads to it.
        assert!(world.agents[PBX_NAT].pings.is_empty());
        assert!(changes(world, PBX).is_empty());
        let counted = counted(world);
        assert_eq!(
            counted,
            [PINGED.len() as u64, 0, 10 * PINGED.len() as u64, 0]
        );
    });
}

/// Next hops, those of them that are down, pings, and unanswered ones, of all shards.
fn counted(world: &World) -> [u64; 4] {
    let mut sum = [0; 4];
    for shard in &world.shards {
        let counters = shard.health_counters();
        let figures = [
            counters.hops as u64,
            counters.down as u64,
            counters.sent,
            counters.unanswered,
        ];
        for (sum, figure) in sum.iter_mut().zip(figures) {
            *sum += figure;
        }
    }
    sum
}

#[test]
fn a_ping_is_an_options_outside_a_dialog() {
    for (agent, uri, via, contact, from) in [
        (
            PBX,
            "sip:203.0.113.101:5060",
            "SIP/2.0/UDP 198.51.100.1:5060;branch=BRANCH;rport",
            "<sip:198.51.100.1:5060>",
            "198.51.100.1:5060",
        ),
        (
            CARRIER_TCP_V6,
            "sip:[2001:db8:3::105]:5060;transport=tcp",
            "SIP/2.0/TCP [2001:db8:1::1]:5060;branch=BRANCH;rport;alias",
            "<sip:[2001:db8:1::1]:5060;transport=tcp>",
            "[2001:db8:1::1]:5060",
        ),
        (
            PBX_TLS,
            "sip:203.0.113.108:5061;transport=tls",
            "SIP/2.0/TLS 198.51.100.1:5061;branch=BRANCH;rport;alias",
            "<sip:198.51.100.1:5061;transport=tls>",
            "198.51.100.1:5061",
        ),
    ] {
        play(|world, control| {
            control.run(world, 31_000);
            let (_, ping, bytes) = &world.agents[agent].pings[0];
            let branch = ping.via().unwrap().branch().unwrap().to_owned();
            let tag = ping.from().unwrap().tag().unwrap().to_owned();
            let expected = format!(
                "OPTIONS {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:{from}>;tag={tag}\r\n\
                 To: <{uri}>\r\nCall-ID: {}\r\nCSeq: 1 OPTIONS\r\nContact: {contact}\r\n\
                 Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO\r\nAccept: application/sdp, application/pidf+xml, multipart/mixed\r\n\
                 Supported: 100rel, timer\r\nContent-Length: 0\r\n\r\n",
                ping.call_id()
            );
            assert_eq!(
                String::from_utf8_lossy(bytes),
                expected.replace("BRANCH", &branch)
            );
            assert!(branch.starts_with("z9hG4bK"));
            let mut ids = world.agents[agent].pings.iter();
            assert!(ids.all(|(_, ping, _)| ping.call_id().len() == 32));
        });
    }
}

#[test]
fn a_host_that_falls_silent_is_passed_over_until_it_answers_again() {
    play(|world, control| {
        control.run(world, 30_000);
        assert_eq!(call_in(world).map(|came| came.is_some()), [true, false]);
        control.attend(world);

        world.agents[PBX].ping_status = None;
        let before = pings(world, PBX).len();
        let took = control.run_until(world, PBX, true);
        assert_eq!(pings(world, PBX).len() - before, 3);
        // Once it has not answered, it is asked sooner.
        assert!(
            took <= Duration::from_secs(30 + 10 + 10 + 4 + 1),
            "{took:?}"
        );
        assert_eq!(counted(world)[1], 1);
        for _ in 0..3 {
            let came = call_in(world);
            assert!(came[0].is_none(), "it is down");
            let waited = came[1].expect("the spare takes the call");
            assert!(waited < Duration::from_millis(50), "at once: {waited:?}");
        }

        // Now and then an answer does not bring it back.
        for _ in 0..4 {
            for status in [Some(200), None] {
                world.agents[PBX].ping_status = status;
                let before = pings(world, PBX).len();
                while pings(world, PBX).len() == before {
                    control.run(world, 50);
                }
                control.run(world, 5_000);
            }
        }
        assert_eq!(changes(world, PBX), [true]);
        assert!(call_in(world)[0].is_none());

        world.agents[PBX].ping_status = Some(200);
        let before = pings(world, PBX).len();
        control.run_until(world, PBX, false);
        assert_eq!(pings(world, PBX).len() - before, 2);
        assert_eq!(call_in(world).map(|came| came.is_some()), [true, false]);
        assert_eq!(changes(world, PBX), [true, false]);
        assert_eq!(counted(world)[1], 0);
        // Nobody else was concerned.
        assert!(
            PINGED[1..]
                .iter()
                .all(|agent| changes(world, *agent).is_empty())
        );
    });
}

#[test]
fn a_ping_that_gets_lost_now_and_then_takes_nobody_out() {
    play(|world, control| {
        world.lose = Some(Box::new(|number, _, _| number % 5 == 0));
        control.run(world, 600_000);
        assert!(PINGED.iter().all(|agent| changes(world, *agent).is_empty()));
    });
}

#[test]
fn a_carrier_that_is_down_is_passed_over() {
    play(|world, control| {
        world.agents[CARRIER].ping_status = None;
        control.run_until(world, CARRIER, true);
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(100);
        assert_eq!(world.agents[CARRIER_SPARE].calls.len(), 1);
        world.run(2_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        assert!(world.agents[CARRIER].calls.is_empty());
        world.act(a, Act::Bye);
        world.run(1_000);
    });
}

#[test]
fn a_group_passes_over_a_member_of_whom_nobody_is_there() {
    let group = uuid::Uuid::from_u128(7);
    let change = |snapshot: &mut Snapshot| {
        let member = |number: u8| GroupMember {
            connector: connector_id(number),
            priority: number,
        };
        let members = [member(PLAIN), member(V6)].into();
        snapshot.groups.insert(group, members);
        let number = OWN.parse().unwrap();
        snapshot.numbers.insert(number, NumberHolder::Group(group));
    };
    play_changed(HEALTH, change, |world, control| {
        for agent in [PBX, PBX_SPARE] {
            world.agents[agent].ping_status = None;
        }
        for agent in [PBX, PBX_SPARE] {
            control.run_until(world, agent, true);
        }
        let a = world.call(CARRIER, &inbound(OWN), Plan::idle());
        world.run(100);
        assert_eq!(world.agents[PBX_V6].calls.len(), 1);
        world.run(2_000);
        assert_eq!(world.at_call(a).state, State::Talking);
        world.act(a, Act::Bye);
        world.run(1_000);
        for agent in [PBX, PBX_SPARE] {
            assert!(world.agents[agent].calls.is_empty());
        }
    });
}

#[test]
fn where_all_are_down_all_are_tried_in_their_order() {
    play(|world, control| {
        for agent in [PBX, PBX_SPARE] {
            world.agents[agent].ping_status = Some(503);
        }
        for agent in [PBX, PBX_SPARE] {
            control.run_until(world, agent, true);
        }
        assert_eq!(call_in(world).map(|came| came.is_some()), [true, false]);
        world.agents[PBX].plan = Plan::says(503);
        call_in(world);
        assert_eq!(world.agents[PBX_SPARE].calls.len(), 1);
    });
}

#[test]
fn any_answer_but_408_and_503_shows_that_somebody_is_there() {
    for (status, is_down) in [
        (100, true),
        (200, false),
        (302, false),
        (401, false),
        (404, false),
        (405, false),
        (407, false),
        (408, true),
        (480, false),
        (486, false),
        (500, false),
        (501, false),
        (503, true),
        (504, false),
        (603, false),
    ] {
        play(|world, control| {
            world.agents[PBX].ping_status = Some(status);
            control.run(world, 120_000);
            assert_eq!(is_down_now(world, PBX), is_down, "{status}");
            let told = world.events.iter().any(|event| {
                let expected = match status {
                    100 => Err(PingFailure::Timeout),
                    408 | 503 => Err(PingFailure::Status(status)),
                    _ => Ok(status),
                };
                matches!(event, Event::Pinged { hop, outcome, .. }
                    if hop.address == world.agents[PBX].address && *outcome == expected)
            });
            assert!(told, "{status}");
        });
    }
}

#[test]
fn a_host_that_cannot_be_connected_to_is_down() {
    for agent in [PBX_TCP, PBX_TLS, CARRIER_TCP_V6] {
        play(|world, control| {
            control.run(world, 30_000);
            world.agents[agent].unreachable = true;
            let took = control.run_until(world, agent, true);
            assert!(took <= Duration::from_secs(30 + 10 + 10 + 1), "{took:?}");
            let address = world.agents[agent].address;
            assert!(world.events.iter().any(|event| matches!(event,
                Event::Pinged { hop, outcome: Err(PingFailure::NotSent), .. } if hop.address == address)));
            world.agents[agent].unreachable = false;
            control.run_until(world, agent, false);
            // On a connection that says nothing no ping is answered either.
            world.agents[agent].ping_status = None;
            control.run_until(world, agent, true);
        });
    }
}

#[test]
fn pings_are_spread_over_the_interval_and_each_is_one_shards() {
    const MANY: usize = 600;
    let health = Health {
        down_interval: HEALTH.interval,
        ..HEALTH
    };
    let gateway = |gateway: &mut crate::gateway::Gateway| {
        gateway.health = health;
        gateway.shards *= 3;
    };
    let many = |snapshot: &mut Snapshot| {
        let mut plain = (*snapshot.connectors[&connector_id(PLAIN)]).clone();
        let route = |number: usize| OriginationRoute {
            target: Target {
                host: Host::from(&*format!("203.0.{}.{}", number / 200, number % 200)),
                port: Some(5060),
                transport: Some(Transport::Udp),
                tls: None,
            },
            priority: 1,
            weight: 1,
        };
        plain.origination = Some(Origination {
            disabled: false,
            routes: (0..MANY).map(route).collect(),
        });
        snapshot.put_connector(plain);
    };
    play_with(gateway, many, |world| {
        let mut before = 0;
        for second in 0..60 {
            world.run(1_000);
            let sent = counted(world)[2];
            let within = sent - before;
            before = sent;
            // 607 in 30 seconds.
            assert!((12..=30).contains(&within), "{within} in second {second}");
        }
        let mut by_address: BTreeMap<SocketAddr, BTreeSet<String>> = BTreeMap::new();
        for (to, bytes) in &world.sent_to_strangers {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let call_id = text.lines().find(|line| line.starts_with("Call-ID"));
            by_address
                .entry(*to)
                .or_default()
                .insert(call_id.unwrap().to_owned());
        }
        assert_eq!(by_address.len(), MANY);
        assert!(by_address.values().all(|pings| pings.len() == 2));
        let busy = world.shards.iter();
        assert!(
            busy.map(|shard| shard.health_counters().hops)
                .all(|hops| hops > 50)
        );
        world.publish(Snapshot::default());
    });
}

#[test]
fn a_shard_that_is_behind_takes_nobodys_silence_amiss() {
    play(|world, control| {
        control.run(world, 30_000);
        world.agents[PBX].ping_status = None;
        for shard in &mut world.shards {
            shard.set_lag(Duration::from_secs(1));
        }
        let before = counted(world);
        control.run(world, 120_000);
        assert_eq!(counted(world), before, "no ping is sent, none is missed");
        for shard in &mut world.shards {
            shard.set_lag(Duration::ZERO);
        }
        control.run_until(world, PBX, true);
    });
}

#[test]
fn what_was_told_in_vain_is_told_again() {
    play(|world, control| {
        world.agents[PBX].ping_status = None;
        // The control plane hears nothing.
        world.run(120_000);
        let told = changes(world, PBX);
        assert!(
            told.len() > 2 && told.iter().all(|is_down| *is_down),
            "{told:?}"
        );
        control.attend(world);
        let told = told.len();
        control.run(world, 60_000);
        assert_eq!(changes(world, PBX).len(), told);
    });
}

#[test]
fn nothing_is_left_of_pings_without_answers() {
    play(|world, control| {
        for agent in PINGED {
            world.agents[agent].ping_status = None;
        }
        control.run(world, 600_000);
        assert!(PINGED.iter().all(|agent| is_down_now(world, *agent)));
        // One timer for each, and a transaction with two for those that wait.
        let held = world.occupancy();
        assert!(held.transactions <= PINGED.len() && held.timers <= 3 * PINGED.len());
        let mut sent = world.agents[PBX].pings.iter();
        assert!(sent.all(|(_, ping, _)| ping.method == Method::Options));
    });
}
