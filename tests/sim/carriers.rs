//! What a carrier asks for before it takes a call: credentials, another place, patience.

use std::sync::Arc;

use trunkline::config::{
    Carrier, CarrierCredentials, CarrierPolicy, Dscp, Secret, SipListener, Transport,
};
use trunkline::shard::snapshot::Snapshot;
use trunkline::sip::digest::Algorithm;
use trunkline::sip::message::{HeaderName, Message, Method, Request};

use crate::agent::call::{By, Call};
use crate::agent::plan::{Act, Demand, Plan, Session, When};
use crate::cast::{
    CARRIER, CARRIER_SPARE, OUTSIDE, OWN, OWN_TCP, PBX, PBX_TCP, PLAIN, inbound, play_with, through,
};
use crate::gateway::Gateway;
use crate::world::World;

const USERNAME: &str = "trunk-17";
const PASSWORD: &str = "open sesame";

/// Plays with this policy for the carrier.
fn with_policy(policy: CarrierPolicy, scenario: impl Fn(&mut World)) {
    with_policy_and(policy, |_| {}, scenario);
}

/// The same with these settings of the gateway.
fn with_policy_and(
    policy: CarrierPolicy,
    settings: impl Fn(&mut Gateway),
    scenario: impl Fn(&mut World),
) {
    let change = |snapshot: &mut Snapshot| {
        let with_policy = |carrier: &Carrier| Carrier {
            policy: Arc::new(policy.clone()),
            ..carrier.clone()
        };
        let carriers: Vec<Carrier> = snapshot.carriers().iter().map(with_policy).collect();
        snapshot.set_carriers(carriers);
    };
    let settings = |gateway: &mut Gateway| {
        gateway.transfers = true;
        settings(gateway);
    };
    play_with(settings, change, scenario);
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
            always: false,
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

/// A carrier that asks for each request of its own, and whose nonces are good for one.
fn distrustful(plan: Plan, password: &'static str) -> Plan {
    let demanding = demand(407, &[Algorithm::Sha256], password, 1);
    let demands = demanding.demands.map(|demand| Demand {
        always: true,
        ..demand
    });
    Plan { demands, ..plan }
}

/// The CSeq numbers of an agent's requests of a method.
fn numbers(call: &Call, method: Method) -> Vec<u32> {
    let requests = requests(call, method).into_iter();
    requests.map(|one| one.cseq().unwrap().number).collect()
}

#[test]
fn every_request_that_a_carrier_challenges_is_sent_again() {
    with_policy(with_credentials(), |world| {
        let plan = Plan {
            takes_update: true,
            ..Plan::idle()
                .then(When::Invited, 5, Act::Reliable(183))
                .then(When::Invited, 1_000, Act::Answer(200))
        };
        world.agents[CARRIER].plan = distrustful(plan, PASSWORD);
        let calling = Plan {
            extra: vec![("Supported", "100rel".to_owned())],
            ..Plan::idle()
        };
        let a = world.call(PBX, &through(PLAIN, OUTSIDE), calling);
        world.run(3_000);
        let b = world.last_call(CARRIER);
        assert_eq!(world.at_call(a).status(), Some(200));
        world.act(a, Act::Update(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(a).update_answers, [200]);
        world.act(a, Act::Reinvite(Session::Moved));
        world.run(1_000);
        assert_eq!(world.at_call(a).reinvite_answers, [200]);
        world.with_agent(a.agent, |agent, hands| {
            agent.send_info(a.call, "Signal=1\r\n", hands)
        });
        world.run(1_000);
        world.act(a, Act::Bye);
        world.run(1_000);
        let call = world.at_call(b);
        assert_eq!(call.hung_up, Some(By::Them));
        let mut last = 0;
        for method in [
            Method::Invite,
            Method::Prack,
            Method::Update,
            Method::Info,
            Method::Bye,
        ] {
            let expected = if method == Method::Invite { 4 } else { 2 };
            let sent = requests(call, method);
            assert_eq!(sent.len(), expected, "{method:?}");
            let field = HeaderName::ProxyAuthorization;
            assert!(sent.last().unwrap().header(field).is_some(), "{method:?}");
            last = last.max(*numbers(call, method).last().unwrap());
        }
        // Each has a number of its own, and none is left out.
        assert_eq!(last, 12);
    });
}

#[test]
fn a_bye_is_not_sent_for_ever_to_whom_no_credentials_are_good_enough() {
    with_policy(with_credentials(), |world| {
        let plan = distrustful(Plan::answers(), PASSWORD);
        world.agents[CARRIER].plan = plan;
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        let demands = &mut world.agents[b.agent].calls[b.call].plan.demands;
        demands.as_mut().unwrap().password = "another";
        world.act(a, Act::Bye);
        world.run(2_000);
        let byes = numbers(world.at_call(b), Method::Bye);
        assert_eq!(byes.len(), 2, "{byes:?}");
        assert_eq!(world.occupancy().calls, 0);
        world.act(b, Act::Leave);
    });
}

#[test]
fn a_fork_that_challenges_its_bye_is_hung_up_all_the_same() {
    with_policy(with_credentials(), |world| {
        world.agents[CARRIER].plan = distrustful(Plan::answers(), PASSWORD);
        let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        world.act(b, Act::ForkedOk);
        world.run(1_000);
        let call = world.at_call(b);
        let byes = requests(call, Method::Bye);
        assert_eq!(byes.len(), 2);
        assert_eq!(byes[0].to().unwrap().tag(), byes[1].to().unwrap().tag());
        assert!(byes[1].header(HeaderName::ProxyAuthorization).is_some());
        assert_eq!(call.hung_up, None);
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
    });
}

#[test]
fn a_transfer_gets_through_to_and_from_carriers_that_ask_who_calls() {
    let asking = |plan: Plan| Plan {
        demands: demand(401, &[Algorithm::Md5], PASSWORD, 100)
            .demands
            .map(|demand| Demand {
                always: true,
                ..demand
            }),
        ..plan
    };
    // A carrier transfers its call, and is told what comes of it.
    with_policy(with_credentials(), |world| {
        let a = world.call(CARRIER, &inbound(OWN), asking(Plan::idle()));
        world.run(3_000);
        let to = [("Refer-To", format!("<tel:{OWN_TCP}>"))];
        world.with_agent(a.agent, |agent, hands| agent.send_refer(a.call, &to, hands));
        world.run(3_000);
        let call = world.at_call(a);
        let notices = requests(call, Method::Notify);
        assert_eq!(notices.len(), 3);
        assert_eq!(notices[0].body(), notices[1].body());
        assert!(notices[1].header(HeaderName::Authorization).is_some());
        assert_eq!(&notices[2].body()[..], b"SIP/2.0 200 OK\r\n");
        assert_eq!(call.hung_up, Some(By::Them));
        let target = world.last_call(PBX_TCP);
        world.act(target, Act::Bye);
    });
    // A carrier's call is transferred to a carrier: both ask, and the call goes on.
    with_policy(with_credentials(), |world| {
        let a = world.call(CARRIER, &inbound(OWN), asking(Plan::idle()));
        world.run(3_000);
        let b = world.last_call(PBX);
        world.agents[CARRIER].plan = asking(Plan::answers());
        let to = [("Refer-To", format!("<tel:{OUTSIDE}>"))];
        world.with_agent(b.agent, |agent, hands| agent.send_refer(b.call, &to, hands));
        world.run(3_000);
        let target = world.last_call(CARRIER);
        assert_eq!(numbers(world.at_call(target), Method::Invite), [1, 2]);
        assert_eq!(world.at_call(a).reinvites, 2);
        assert!(world.send_rtp(a).is_some() && world.send_rtp(target).is_some());
        world.act(a, Act::Bye);
        world.run(1_000);
        assert_eq!(world.at_call(target).hung_up, Some(By::Them));
    });
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

#[test]
fn every_info_with_a_nonce_that_is_used_up_gets_a_new_one() {
    with_policy(with_credentials(), |world| {
        let mut plan = demand(407, &[Algorithm::Md5], PASSWORD, 1);
        if let Some(demand) = &mut plan.demands {
            demand.always = true;
        }
        world.agents[CARRIER].plan = plan;
        let (a, _) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
        for number in 0..5 {
            let body = format!("Signal={number}");
            world.with_agent(a.agent, |agent, hands| {
                agent.send_info(a.call, &body, hands)
            });
            world.run(2_000);
        }
        let heard = world.at_call(a).heard.iter();
        let answers: Vec<u16> = heard
            .filter_map(|message| match message {
                Message::Response(response) if response.cseq().unwrap().method == Method::Info => {
                    Some(response.status)
                }
                _ => None,
            })
            .collect();
        assert_eq!(answers, [200; 5]);
        world.act(a, Act::Bye);
    });
}

/// An inside interface, which the config has first, and a second one outside.
fn with_interfaces(gateway: &mut Gateway) {
    let udp = |address: &str| SipListener {
        transport: Transport::Udp,
        bind: address.parse().unwrap(),
        advertise: address.parse().unwrap(),
        dscp: Dscp::CS3,
    };
    gateway.listeners.insert(0, udp("10.20.0.1:5060"));
    gateway.listeners.push(udp(TRUNK));
}

const TRUNK: &str = "198.51.100.9:5060";

#[test]
fn each_side_is_called_from_its_own_interface() {
    for (listener, place) in [(None, "198.51.100.1:5060"), (Some(TRUNK), TRUNK)] {
        let policy = CarrierPolicy {
            listener: listener.map(|listener| listener.parse().unwrap()),
            ..CarrierPolicy::default()
        };
        with_policy_and(policy, with_interfaces, |world| {
            let (a, b) = world.establish(PBX, CARRIER, &through(PLAIN, OUTSIDE));
            let call = world.at_call(b);
            for invite in requests(call, Method::Invite) {
                let via = invite.header(HeaderName::Via).unwrap();
                assert!(via.contains(place), "{via}");
                let contact = invite.header(HeaderName::Contact).unwrap();
                assert!(contact.contains(place), "{contact}");
            }
            world.act(a, Act::Bye);
            world.run(1_000);
            assert_eq!(world.at_call(b).hung_up, Some(By::Them));
            // A customer is called from the outside, whatever is first.
            let (a, b) = world.establish(CARRIER, PBX, &inbound(OWN));
            let invites = requests(world.at_call(b), Method::Invite);
            let contact = invites[0].header(HeaderName::Contact).unwrap();
            assert!(contact.contains("198.51.100.1:5060"), "{contact}");
            world.act(a, Act::Bye);
            world.run(1_000);
            assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        });
    }
}
