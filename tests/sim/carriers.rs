//! What a carrier asks for before it takes a call: credentials, another place, patience.

use std::sync::Arc;

use trunkline::config::{Carrier, CarrierCredentials, CarrierPolicy, Secret};
use trunkline::shard::snapshot::Snapshot;
use trunkline::sip::digest::Algorithm;
use trunkline::sip::message::{HeaderName, Message, Method, Request};

use crate::agent::call::Call;
use crate::agent::plan::{Act, Demand, Plan, Session};
use crate::cast::{CARRIER, CARRIER_SPARE, OUTSIDE, PBX, PLAIN, play_with, through};
use crate::world::World;

const USERNAME: &str = "trunk-17";
const PASSWORD: &str = "open sesame";

/// Plays with this policy for the carrier.
fn with_policy(policy: CarrierPolicy, scenario: impl Fn(&mut World)) {
    let change = |snapshot: &mut Snapshot| {
        let with_policy = |carrier: &Carrier| Carrier {
            policy: Arc::new(policy.clone()),
            ..carrier.clone()
        };
        snapshot.carriers = snapshot.carriers.iter().map(with_policy).collect();
    };
    play_with(|_| {}, change, scenario);
}

fn with_credentials() -> CarrierPolicy {
    CarrierPolicy {
        credentials: Some(CarrierCredentials {
            username: USERNAME.to_owned(),
            password: Secret(PASSWORD.to_owned()),
        }),
        ..CarrierPolicy::default()
    }
}

fn demand(
    status: u16,
    algorithms: &'static [Algorithm],
    password: &'static str,
    uses: u32,
) -> Plan {
    Plan {
        demands: Some(Demand {
            status,
            algorithms,
            username: USERNAME,
            password,
            uses,
        }),
        ..Plan::answers()
    }
}

fn requests(call: &Call, method: Method) -> Vec<&Request> {
    let requests = call.heard.iter().filter_map(|message| match message {
        Message::Request(request) if request.method == method => Some(request),
        Message::Request(_) | Message::Response(_) => None,
    });
    requests.collect()
}

#[test]
fn a_carrier_that_asks_who_calls_is_told() {
    for status in [401, 407] {
        for algorithms in [
            &[Algorithm::Md5][..],
            &[Algorithm::Sha256],
            &[Algorithm::Md5, Algorithm::Sha256],
        ] {
            with_policy(with_credentials(), |world| {
                world.agents[CARRIER].plan = demand(status, algorithms, PASSWORD, 100);
                let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
                assert_eq!(world.at_call(a).statuses(), [100, 180, 200]);
                let call = world.at_call(b);
                let invites = requests(call, Method::Invite);
                let numbers: Vec<u32> = invites
                    .iter()
                    .map(|one| one.cseq().unwrap().number)
                    .collect();
                assert_eq!(numbers, [1, 2]);
                assert_eq!(invites[0].call_id(), invites[1].call_id());
                let tag = |request: &Request| request.from().unwrap().tag().unwrap().to_owned();
                assert_eq!(tag(invites[0]), tag(invites[1]));
                // RFC 3261 §22.1: the ACK has the INVITE's credentials.
                let field = match status {
                    401 => HeaderName::Authorization,
                    _ => HeaderName::ProxyAuthorization,
                };
                let acks = requests(call, Method::Ack);
                assert_eq!(acks.last().unwrap().header(field), invites[1].header(field));
                assert!(invites[1].header(field).is_some());
                // So has what follows in the dialog, each with a count of its own.
                world.act(a, Act::Reinvite(Session::Moved));
                world.run(1_000);
                assert_eq!(world.at_call(a).reinvite_answers, [200]);
                assert_eq!(world.at_call(b).reinvites, 1);
                world.act(a, Act::Bye);
                world.run(1_000);
                assert!(
                    requests(world.at_call(b), Method::Bye)[0]
                        .header(field)
                        .is_some()
                );
            });
        }
    }
}

#[test]
fn a_nonce_that_has_become_stale_is_replaced() {
    with_policy(with_credentials(), |world| {
        world.agents[CARRIER].plan = demand(407, &[Algorithm::Sha256], PASSWORD, 1);
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        for answered in 1..4 {
            world.act(a, Act::Reinvite(Session::Moved));
            world.run(1_000);
            assert_eq!(world.at_call(a).reinvite_answers, vec![200; answered]);
        }
        // Each was challenged once.
        assert_eq!(world.at_call(b).reinvites, 6);
        world.act(a, Act::Bye);
    });
}

#[test]
fn credentials_that_are_wrong_or_missing_end_the_call() {
    for (policy, password, invites) in [
        (with_credentials(), "another", 2),
        (CarrierPolicy::default(), PASSWORD, 1),
    ] {
        with_policy(policy, |world| {
            world.agents[CARRIER].plan = demand(407, &[Algorithm::Md5], password, 100);
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(502));
            let b = world.last_call(CARRIER);
            assert_eq!(requests(world.at_call(b), Method::Invite).len(), invites);
        });
    }
}

fn moved(contacts: &str) -> Plan {
    Plan {
        with_failures: vec![("Contact", contacts.to_owned())],
        ..Plan::says(302)
    }
}

fn follows() -> CarrierPolicy {
    CarrierPolicy {
        redirect: true,
        ..CarrierPolicy::default()
    }
}

#[test]
fn a_redirection_is_followed_where_the_operator_says_so() {
    with_policy(follows(), |world| {
        world.agents[CARRIER].plan = moved(
            "<sip:9@192.0.2.254>;q=0.1, <sip:+1@192.0.2.102:5080>;q=0.9, <tel:+1>, <sip:x@nowhere.example>",
        );
        let (a, b) = {
            world.agents[CARRIER_SPARE].plan = Plan::answers();
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
            // Nobody tells where nowhere.example is: it is waited for, within bounds.
            world.run(8_000);
            (a, world.last_call(CARRIER_SPARE))
        };
        assert_eq!(world.at_call(a).status(), Some(200));
        // Whom to call stays what was admitted.
        let invite = world.at_call(b).request(Method::Invite);
        assert!(
            invite
                .uri()
                .starts_with(&format!("sip:{OUTSIDE}@192.0.2.102"))
        );
        world.act(a, Act::Bye);
    });
    with_policy(CarrierPolicy::default(), |world| {
        world.agents[CARRIER].plan = moved("<sip:+1@192.0.2.102:5080>");
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(480));
        assert!(world.agents[CARRIER_SPARE].calls.is_empty());
    });
}

#[test]
fn redirections_in_a_circle_come_to_an_end() {
    with_policy(follows(), |world| {
        world.agents[CARRIER].plan = moved("<sip:+1@192.0.2.102:5080>");
        world.agents[CARRIER_SPARE].plan = moved("<sip:+1@192.0.2.101:5080>");
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(480));
        assert_eq!(world.agents[CARRIER].calls.len(), 1);
        assert_eq!(world.agents[CARRIER_SPARE].calls.len(), 1);
    });
}

#[test]
fn a_place_that_asks_for_patience_is_left_alone() {
    with_policy(CarrierPolicy::default(), |world| {
        world.agents[CARRIER].plan = Plan {
            with_failures: vec![("Retry-After", "30 (maintenance);duration=60".to_owned())],
            ..Plan::says(503)
        };
        let call = |world: &mut World| {
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            world.act(a, Act::Bye);
            world.run(1_000);
            world.agents[CARRIER].calls.len()
        };
        // With two shards the calls may fall to either, and each learns for itself.
        let shards = world.shards.len();
        let asked: Vec<usize> = (0..6).map(|_| call(world)).collect();
        assert!(asked.last() <= Some(&shards), "{asked:?}");
        assert!(asked[0] == 1, "{asked:?}");
        world.run(40_000);
        let after = call(world);
        assert!(after > *asked.last().unwrap() || shards == 2, "{after}");
    });
}

#[test]
fn a_caller_hears_when_to_try_again() {
    for (said, heard) in [(486, 486), (480, 480), (600, 600), (404, 404)] {
        with_policy(CarrierPolicy::default(), |world| {
            for place in [CARRIER, CARRIER_SPARE] {
                world.agents[place].plan = Plan {
                    with_failures: vec![("Retry-After", "120".to_owned())],
                    ..Plan::says(said)
                };
            }
            let a = world.call(PBX, &through(PLAIN, OUTSIDE), Plan::idle());
            world.run(3_000);
            let after = world
                .at_call(a)
                .response_header(heard, HeaderName::RetryAfter);
            assert_eq!(after.as_deref(), (said != 404).then_some("120"));
        });
    }
}
