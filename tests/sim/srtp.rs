//! SRTP by SDES, on each leg of a call its own: which keys there are, and what is heard by them.

use std::sync::Arc;

use trunkline::config::{CarrierPolicy, SrtpMode, SrtpPolicy, Suite};
use trunkline::gateway::Cause;
use trunkline::shard::snapshot::Snapshot;
use trunkline::sip::message::{HeaderName, Method};
use trunkline::telemetry::Event;

use crate::agent::call::{By, State};
use crate::agent::plan::{Act, Plan, Rewrite, Session, When};
use crate::agent::security::Srtp;
use crate::cast::{
    CARRIER, CARRIER_SPARE, CARRIER_TCP_V6, OUTSIDE_TCP_V6, OWN_TCP, PBX, PBX_SPARE, PBX_TCP,
    play_with, ways,
};
use crate::gateway::Gateway;
use crate::packets::Kind;
use crate::transfers::refer_to;
use crate::world::{CallRef, World};

/// What the gateway wants of a side, and what the agents there do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) mode: SrtpMode,
    pub(crate) suites: &'static [Suite],
    pub(crate) srtp: Option<Srtp>,
}

/// RTP, as most have it.
pub(crate) const PLAIN: Party = Party {
    mode: SrtpMode::Accept,
    suites: &Suite::ALL,
    srtp: None,
};

/// Nothing but SRTP.
pub(crate) const ENCRYPTED: Party = Party {
    mode: SrtpMode::Required,
    suites: &Suite::ALL,
    srtp: Some(Srtp::REQUIRED),
};

impl Party {
    pub(crate) fn policy(self) -> SrtpPolicy {
        SrtpPolicy {
            mode: self.mode,
            suites: self.suites.into(),
        }
    }
}

/// Nothing but this suite, or RTP.
fn only(suite: Option<Suite>) -> Party {
    match suite {
        Some(suite) => Party {
            srtp: Some(Srtp::only(suite)),
            ..ENCRYPTED
        },
        None => PLAIN,
    }
}

/// Sets what is wanted of customers and carriers.
fn settings(customer: Party, carrier: Party) -> (impl Fn(&mut Gateway), impl Fn(&mut Snapshot)) {
    let gateway = move |gateway: &mut Gateway| {
        gateway.srtp = customer.policy();
        gateway.transfers = true;
    };
    let snapshot = move |snapshot: &mut Snapshot| set_srtp(snapshot, &carrier.policy());
    (gateway, snapshot)
}

/// Sets what is wanted of all carriers.
pub(crate) fn set_srtp(snapshot: &mut Snapshot, srtp: &SrtpPolicy) {
    let mut carriers = snapshot.carriers().to_vec();
    for carrier in &mut carriers {
        carrier.policy = Arc::new(CarrierPolicy {
            srtp: srtp.clone(),
            ..CarrierPolicy::clone(&carrier.policy)
        });
    }
    snapshot.set_carriers(carriers);
}

/// Plays for calls both ways, from customer to carrier and back: caller, called side, Request-URI.
pub(crate) fn play_parties(
    customer: Party,
    carrier: Party,
    scenario: impl Fn(&mut World, usize, usize, &str),
) {
    for (caller, called, to) in ways() {
        let (gateway, snapshot) = settings(customer, carrier);
        play_with(gateway, snapshot, |world| {
            for agent in [PBX, PBX_SPARE, PBX_TCP] {
                world.agents[agent].srtp = customer.srtp;
            }
            for agent in [CARRIER, CARRIER_SPARE, CARRIER_TCP_V6] {
                world.agents[agent].srtp = carrier.srtp;
            }
            scenario(world, caller, called, &to);
        });
    }
}

/// Plays for an encrypted caller or called side with a plain one, and for two that have a suite each; in each
/// call for both sides as the one that does something.
fn each_side(scenario: impl Fn(&mut World, CallRef, CallRef)) {
    let other_suite = only(Some(Suite::AeadAes256Gcm));
    for (customer, carrier) in [(ENCRYPTED, PLAIN), (ENCRYPTED, other_suite)] {
        for by_caller in [true, false] {
            play_parties(customer, carrier, |world, caller, called, to| {
                world.agents[called].plan.takes_update = true;
                let plan = Plan {
                    takes_update: true,
                    ..Plan::idle()
                };
                let a = world.call(caller, to, plan);
                world.run(3_000);
                assert_eq!(world.at_call(a).status(), Some(200));
                let b = world.last_call(called);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                world.assert_talk(one, other);
                scenario(world, one, other);
                world.assert_talk(one, other);
                world.act(one, Act::Bye);
                world.run(1_000);
            });
        }
    }
}

fn suite(world: &World, at: CallRef) -> Option<Suite> {
    world.at_call(at).security.suite()
}

/// Whether a call speaks SRTP.
fn is_encrypted(world: &World, at: CallRef) -> bool {
    world.at_call(at).security.is_agreed()
}

/// The key that the gateway sends with to a call, where it speaks SRTP.
fn gateways_key(world: &World, at: CallRef) -> Option<Vec<u8>> {
    let security = &world.at_call(at).security;
    let mut lines = security.theirs.iter();
    let line = lines.find(|line| Some(line.key.suite()) == security.suite());
    line.map(|line| line.key.bytes().to_vec())
}

/// What was dropped of each side, by reason.
fn dropped(world: &World) -> [String; 2] {
    let mut ends = world.events.iter().rev().filter_map(|event| match event {
        Event::CallEnded { quality, .. } => {
            Some([quality.a.dropped, quality.b.dropped].map(|drops| drops.to_string()))
        }
        _ => None,
    });
    ends.next().unwrap()
}

#[test]
fn every_suite_meets_every_other_and_plain_rtp() {
    let all = || std::iter::once(None).chain(Suite::ALL.map(Some));
    for (customer, carrier) in all().flat_map(|one| all().map(move |other| (one, other))) {
        play_parties(
            only(customer),
            only(carrier),
            |world, caller, called, to| {
                let (a, b) = world.establish(caller, called, to);
                let (of_customer, of_carrier) = if caller == PBX { (a, b) } else { (b, a) };
                assert_eq!(suite(world, of_customer), customer);
                assert_eq!(suite(world, of_carrier), carrier);
                let told = [a, b].map(|at| suite(world, at));
                assert_eq!(world.protection(), told);
                world.assert_talk(a, b);
                world.act(a, Act::Bye);
            },
        );
    }
}

#[test]
fn keys_beside_plain_rtp_are_taken_where_they_are_accepted() {
    for mode in [SrtpMode::Accept, SrtpMode::Optional, SrtpMode::Required] {
        let customer = Party {
            mode,
            srtp: Some(Srtp::BEST_EFFORT),
            ..ENCRYPTED
        };
        play_parties(customer, customer, |world, caller, called, to| {
            let (a, b) = world.establish(caller, called, to);
            assert!(is_encrypted(world, a));
            let is_secure = |at| world.at_call(at).security.is_secure_profile;
            assert!(!is_secure(a), "the offer's profile");
            // "accept" offers plain RTP.
            assert_eq!(is_encrypted(world, b), mode != SrtpMode::Accept);
            assert_eq!(is_secure(b), mode == SrtpMode::Required);
            world.assert_talk(a, b);
            world.act(b, Act::Bye);
        });
    }
}

#[test]
fn who_is_offered_keys_beside_plain_rtp_may_leave_them() {
    let optional = Party {
        mode: SrtpMode::Optional,
        ..PLAIN
    };
    play_parties(optional, optional, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        assert_eq!(world.at_call(b).security.theirs.len(), Suite::ALL.len());
        assert!(!is_encrypted(world, a) && !is_encrypted(world, b));
        world.assert_talk(a, b);
        world.act(b, Act::Bye);
    });
}

#[test]
fn where_srtp_is_off_keys_beside_plain_rtp_are_not_looked_at() {
    let off = Party {
        mode: SrtpMode::Off,
        srtp: Some(Srtp::BEST_EFFORT),
        ..PLAIN
    };
    play_parties(off, off, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        assert!(!is_encrypted(world, a) && !is_encrypted(world, b));
        world.assert_talk(a, b);
        world.act(a, Act::Bye);
    });
}

/// A call that is refused before it reaches anybody, and counted for its cause.
fn assert_refused(party: Party, rewrite: Option<Rewrite>, (cause, warning): (Cause, &str)) {
    play_parties(party, party, |world, caller, called, to| {
        let plan = Plan {
            rewrite,
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(3_000);
        assert_eq!(world.at_call(a).status(), Some(488));
        let said = world.at_call(a).response_header(488, HeaderName::Warning);
        assert_eq!(said.as_deref(), Some(warning));
        assert_eq!(world.refused_for(cause), 1);
        assert!(world.agents[called].calls.is_empty());
    });
}

#[test]
fn srtp_alone_is_refused_where_it_is_off() {
    let off = Party {
        mode: SrtpMode::Off,
        ..ENCRYPTED
    };
    let warning = "302 198.51.100.1:5060 \"Incompatible transport protocol\"";
    assert_refused(off, None, (Cause::EncryptedMediaNotTaken, warning));
}

#[test]
fn an_offer_of_unknown_suites_alone_is_refused() {
    let reason = (
        Cause::NoUsableCrypto,
        "399 198.51.100.1:5060 \"No crypto suite in common\"",
    );
    assert_refused(ENCRYPTED, Some(|sdp| sdp.replace("AES", "ARIA")), reason);
    let strict = Party {
        suites: &[Suite::AeadAes256Gcm],
        srtp: Some(Srtp::only(Suite::AesCm128HmacSha1_80)),
        ..ENCRYPTED
    };
    assert_refused(strict, None, reason);
    // Where SRTP need not be, its profile still asks for it.
    let lenient = Party {
        mode: SrtpMode::Accept,
        ..strict
    };
    assert_refused(lenient, None, reason);
}

#[test]
fn an_offer_of_keys_that_cannot_be_read_is_refused() {
    let warning = "399 198.51.100.1:5060 \"No crypto attribute can be read\"";
    assert_refused(
        ENCRYPTED,
        Some(|sdp| sdp.replace("inline:", "inline:!")),
        (Cause::NoUsableCrypto, warning),
    );
    let warning = "399 198.51.100.1:5060 \"Crypto session parameter not supported\"";
    let unauthenticated = |sdp: String| -> String {
        let lines = sdp.split_inclusive("\r\n");
        let with = |line: &str| match line.starts_with("a=crypto:") {
            true => line.replace("\r\n", " UNAUTHENTICATED_SRTP\r\n"),
            false => line.to_owned(),
        };
        lines.map(with).collect()
    };
    assert_refused(
        ENCRYPTED,
        Some(unauthenticated),
        (Cause::NoUsableCrypto, warning),
    );
}

#[test]
fn an_offer_without_keys_is_refused_where_srtp_is_required() {
    let plain = Party {
        srtp: None,
        ..ENCRYPTED
    };
    assert_refused(
        plain,
        None,
        (
            Cause::SdesRequired,
            "399 198.51.100.1:5060 \"SRTP is required: offer SDES keys\"",
        ),
    );
}

/// What is left of a description without its keys.
fn without_keys(description: String) -> String {
    let lines = description.split_inclusive("\r\n");
    lines
        .filter(|line| !line.starts_with("a=crypto:"))
        .collect()
}

/// With the key of another tag.
fn with_another_tag(description: String) -> String {
    description.replace("a=crypto:", "a=crypto:7")
}

fn twice(description: String) -> String {
    let lines = description.split_inclusive("\r\n");
    let again = |line: &str| match line.starts_with("m=audio") {
        true => line.replace("RTP/SAVP", "RTP/AVP"),
        false => line.to_owned(),
    };
    without_keys(lines.map(again).collect())
}

#[test]
fn an_answer_without_a_key_of_the_offer_ends_the_call() {
    for rewrite in [without_keys, with_another_tag, twice] {
        play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
            world.agents[called].plan.rewrite = Some(rewrite);
            let a = world.call(caller, to, Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(502));
            let b = world.last_call(called);
            assert!(world.at_call(b).acknowledged);
            assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        });
    }
}

#[test]
fn an_answer_in_an_ack_without_a_key_ends_the_call() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        let plan = Plan {
            late_offer: true,
            rewrite: Some(without_keys),
            ..Plan::idle()
        };
        let a = world.call(caller, to, plan);
        world.run(3_000);
        let b = world.last_call(called);
        assert_eq!(world.at_call(a).hung_up, Some(By::Them));
        assert_eq!(world.at_call(b).hung_up, Some(By::Them));
    });
}

#[test]
fn an_answer_without_a_key_to_a_reinvite_changes_nothing() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        for (one, other) in [(a, b), (b, a)] {
            world.agents[other.agent].calls[other.call].plan.rewrite = Some(without_keys);
            world.act(one, Act::Reinvite(Session::Direction("sendrecv")));
            world.run(1_000);
            assert_eq!(world.at_call(one).reinvite_answers, [488]);
            assert_eq!(world.at_call(other).hung_up, None);
            world.agents[other.agent].calls[other.call].plan.rewrite = None;
            world.assert_talk(one, other);
        }
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_late_offer_brings_keys_to_both_legs() {
    for (customer, carrier) in [
        (ENCRYPTED, PLAIN),
        (PLAIN, ENCRYPTED),
        (ENCRYPTED, only(Some(Suite::AeadAes128Gcm))),
    ] {
        play_parties(customer, carrier, |world, caller, called, to| {
            let plan = Plan {
                late_offer: true,
                ..Plan::idle()
            };
            let a = world.call(caller, to, plan);
            world.run(3_000);
            let b = world.last_call(called);
            assert_eq!(world.at_call(a).status(), Some(200));
            assert!(world.at_call(b).acknowledged);
            world.assert_talk(a, b);
            world.act(b, Act::Reinvite(Session::Late));
            world.run(1_000);
            assert_eq!(world.at_call(b).reinvite_answers, [200]);
            world.assert_talk(a, b);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn early_media_is_encrypted_too() {
    for (customer, carrier) in [(ENCRYPTED, PLAIN), (ENCRYPTED, ENCRYPTED)] {
        for early in [Act::EarlyMedia, Act::Reliable(183)] {
            play_parties(customer, carrier, |world, caller, called, to| {
                world.agents[called].plan = Plan::idle()
                    .then(When::Invited, 100, early.clone())
                    .then(When::Invited, 2_000, Act::Answer(200));
                let mut plan = Plan::idle();
                plan.extra.push(("Supported", "100rel".to_owned()));
                let a = world.call(caller, to, plan);
                world.run(1_000);
                let b = world.last_call(called);
                assert_eq!(world.at_call(a).statuses(), [100, 183]);
                world.assert_talk(a, b);
                world.run(2_000);
                assert_eq!(world.at_call(a).state, State::Talking);
                world.assert_talk(a, b);
                world.act(a, Act::Bye);
            });
        }
    }
}

#[test]
fn nothing_is_heard_before_there_are_keys() {
    play_parties(ENCRYPTED, PLAIN, |world, caller, called, to| {
        world.agents[called].plan = Plan::idle()
            .then(When::Invited, 100, Act::Answer(180))
            .then(When::Invited, 1_000, Act::Answer(200));
        let a = world.call(caller, to, Plan::idle());
        world.run(500);
        let b = world.last_call(called);
        let of_carrier = if caller == PBX { b } else { a };
        // What the world looks at: towards the customer nothing goes in the clear.
        if world.at_call(of_carrier).remote_media.is_some() {
            let packet = world.packet(of_carrier, Kind::AUDIO);
            world.send_from(of_carrier, &packet, Kind::AUDIO);
        }
        world.run(1_000);
        world.assert_talk(a, b);
        world.act(a, Act::Bye);
    });
}

#[test]
fn a_peer_may_change_its_keys() {
    for act in [
        Act::Reinvite(Session::Rekeyed),
        Act::Update(Session::Rekeyed),
    ] {
        each_side(|world, one, other| {
            let before = gateways_key(world, one);
            let of_other = gateways_key(world, other);
            let late = world.packet(one, Kind::AUDIO);
            world.act(one, act.clone());
            world.run(1_000);
            let call = world.at_call(one);
            assert_eq!(
                [&call.reinvite_answers[..], &call.update_answers].concat(),
                [200]
            );
            assert_eq!(gateways_key(world, other), of_other);
            if is_encrypted(world, one) {
                assert_ne!(gateways_key(world, one), before);
                // What was under way is still heard, until the first packet of the new keys.
                let sealed = world.seal_late(one, &late);
                assert!(
                    world
                        .is_heard_as(one, other, &sealed, Kind::AUDIO)
                        .is_some()
                );
                assert!(world.is_heard(one, other, Kind::AUDIO));
                let late = world.packet(one, Kind::AUDIO);
                let sealed = world.seal_late(one, &late);
                assert_eq!(world.send_from(one, &sealed, Kind::AUDIO), None);
            }
        });
    }
}

#[test]
fn a_key_that_is_said_again_goes_on() {
    let sessions = [
        vec![Session::Same],
        vec![Session::Moved],
        vec![
            Session::Direction("sendonly"),
            Session::Direction("sendrecv"),
        ],
        vec![Session::Late],
    ];
    for sessions in sessions {
        each_side(|world, one, other| {
            let keys = [one, other].map(|at| gateways_key(world, at));
            let packet = world.packet(one, Kind::AUDIO);
            let sealed = world.seal(one, &packet, Kind::AUDIO);
            assert!(
                world
                    .is_heard_as(one, other, &sealed, Kind::AUDIO)
                    .is_some()
            );
            for session in &sessions {
                world.act(one, Act::Reinvite(*session));
                world.run(1_000);
                assert_eq!(world.at_call(one).reinvite_answers.last(), Some(&200));
            }
            assert_eq!([one, other].map(|at| gateways_key(world, at)), keys);
            if is_encrypted(world, one) {
                assert_eq!(world.send_from(one, &sealed, Kind::AUDIO), None, "a replay");
            }
        });
    }
}

#[test]
fn the_roll_over_counter_outlives_a_key_that_is_said_again() {
    each_side(|world, one, other| {
        for _ in 0..2 {
            // Numbers that jump are confirmed by a second packet (RFC 3550 appendix A.1).
            for at in [0x4000, 0x8000, 0xc000, u16::MAX - 2] {
                world.agents[one.agent].calls[one.call].sequence = at;
                world.is_heard(one, other, Kind::AUDIO);
                assert!(world.is_heard(one, other, Kind::AUDIO));
            }
            for _ in 0..5 {
                assert!(world.is_heard(one, other, Kind::AUDIO));
            }
            world.act(one, Act::Reinvite(Session::Same));
            world.run(1_000);
            assert!(world.is_heard(one, other, Kind::AUDIO));
        }
    });
}

#[test]
fn a_refresh_of_the_gateway_keeps_the_keys() {
    for takes_update in [true, false] {
        play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
            world.agents[called].plan = Plan {
                takes_update,
                session: Some(("90;refresher=uac", 90)),
                ..Plan::answers()
            };
            let mut plan = Plan::idle();
            plan.takes_update = takes_update;
            plan.extra.push(("Supported", "timer".to_owned()));
            let a = world.call(caller, to, plan);
            world.run(3_000);
            let b = world.last_call(called);
            let keys = [a, b].map(|at| gateways_key(world, at));
            for _ in 0..10 {
                world.assert_talk(a, b);
                world.run(30_000);
            }
            let refreshes =
                world.at_call(b).count(Method::Update) + world.at_call(b).reinvites as usize;
            assert!(refreshes > 2, "{refreshes}");
            assert_eq!([a, b].map(|at| gateways_key(world, at)), keys);
            world.act(a, Act::Bye);
        });
    }
}

#[test]
fn a_target_of_a_transfer_has_keys_of_its_own() {
    for (customer, carrier) in [
        (ENCRYPTED, PLAIN),
        (PLAIN, ENCRYPTED),
        (ENCRYPTED, ENCRYPTED),
    ] {
        for by_caller in [true, false] {
            play_parties(customer, carrier, |world, caller, called, to| {
                let (a, b) = world.establish(caller, called, to);
                let (one, other) = if by_caller { (a, b) } else { (b, a) };
                let (place, number) = match one.agent {
                    PBX => (CARRIER_TCP_V6, OUTSIDE_TCP_V6),
                    _ => (PBX_TCP, OWN_TCP),
                };
                world.assert_talk(one, other);
                refer_to(
                    world,
                    one,
                    &format!("<sip:{number}@198.51.100.1;user=phone>"),
                );
                world.run(4_000);
                let target = world.last_call(place);
                assert_eq!(world.at_call(target).state, State::Talking);
                assert_eq!(world.at_call(one).hung_up, Some(By::Them));
                world.assert_talk(other, target);
                world.act(other, Act::Bye);
            });
        }
    }
}

#[test]
fn plain_packets_to_an_encrypted_leg_are_dropped_and_counted() {
    play_parties(ENCRYPTED, ENCRYPTED, |world, caller, called, to| {
        let (a, b) = world.establish(caller, called, to);
        for (at, times) in [(a, 3), (b, 2)] {
            for kind in [Kind::AUDIO, Kind::Rtcp] {
                for _ in 0..times {
                    let packet = world.packet(at, kind);
                    assert_eq!(world.send_from(at, &packet, kind), None);
                }
            }
        }
        world.assert_talk(a, b);
        world.act(a, Act::Bye);
        world.run(1_000);
        let of = |count| format!("malformed={count} not_authentic={count}");
        assert_eq!(dropped(world), [of(3), of(2)]);
        // The world looks for them in every message and event.
        assert!(world.secrets.len() > 2 * Suite::ALL.len());
    });
}
