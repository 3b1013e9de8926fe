//! Voice connector groups: one member's hosts after the other's.

use trunkline::shard::snapshot::{GroupMember, NumberHolder, Snapshot};
use trunkline::sip::message::Method;
use trunkline::telemetry::Event;
use uuid::Uuid;

use crate::agent::plan::{Act, Plan};
use crate::cast::{
    BARE, CARRIER, PBX, PBX_SPARE, PBX_TCP, PLAIN, TCP, connector_id, inbound, play_with,
};

const NUMBER: &str = "+12065550170";

fn grouped(members: &'static [u8]) -> impl Fn(&mut Snapshot) {
    move |snapshot| {
        let group = Uuid::from_u128(7);
        let member = |(priority, connector): (u8, &u8)| GroupMember {
            connector: connector_id(*connector),
            priority,
        };
        let members = (1..).zip(members).map(member).collect();
        snapshot.groups.insert(group, members);
        let number = NUMBER.parse().unwrap();
        snapshot.numbers.insert(number, NumberHolder::Group(group));
    }
}

#[test]
fn a_groups_number_rings_at_its_first_member_that_takes_calls() {
    for members in [&[PLAIN, TCP], &[BARE, PLAIN]] {
        play_with(
            |_| {},
            grouped(members),
            |world| {
                world.agents[PBX].plan = Plan::answers();
                let a = world.call(CARRIER, &inbound(NUMBER), Plan::idle());
                world.run(2_000);
                assert_eq!(world.at_call(a).status(), Some(200));
                assert_eq!(world.agents[PBX].calls.len(), 1);
                assert!(world.agents[PBX_TCP].calls.is_empty());
                world.act(a, Act::Bye);
            },
        );
    }
}

#[test]
fn when_all_of_a_members_hosts_failed_the_next_member_is_called_as_itself() {
    play_with(
        |_| {},
        grouped(&[PLAIN, TCP]),
        |world| {
            world.agents[PBX].plan = Plan::says(503);
            world.agents[PBX_SPARE].plan = Plan::says(480);
            world.agents[PBX_TCP].plan = Plan::answers();
            let a = world.call(CARRIER, &inbound(NUMBER), Plan::idle());
            world.run(3_000);
            assert_eq!(world.at_call(a).status(), Some(200));
            let b = world.last_call(PBX_TCP);
            let invite = world.at_call(b).request(Method::Invite);
            let id = invite.named("X-VoiceConnector-ID").next();
            assert_eq!(id, Some(connector_id(TCP).as_str()));
            world.act(a, Act::Bye);
            world.run(1_000);
            let ended = world.events.iter().find_map(|event| match event {
                Event::CallEnded { facts, .. } => Some(facts.connector),
                _ => None,
            });
            assert_eq!(ended, Some(connector_id(TCP)));
        },
    );
}

#[test]
fn a_busy_member_is_an_answer() {
    play_with(
        |_| {},
        grouped(&[PLAIN, TCP]),
        |world| {
            world.agents[PBX].plan = Plan::says(486);
            let a = world.call(CARRIER, &inbound(NUMBER), Plan::idle());
            world.run(2_000);
            assert_eq!(world.at_call(a).status(), Some(486));
            assert!(world.agents[PBX_TCP].calls.is_empty());
        },
    );
}

#[test]
fn a_group_without_anybody_who_takes_calls_is_not_found() {
    for members in [&[] as &[u8], &[BARE]] {
        play_with(
            |_| {},
            grouped(members),
            |world| {
                let a = world.call(CARRIER, &inbound(NUMBER), Plan::idle());
                world.run(2_000);
                assert_eq!(world.at_call(a).status(), Some(404));
            },
        );
    }
}

#[test]
fn a_member_may_show_the_groups_number() {
    let to = crate::cast::through(PLAIN, crate::cast::OUTSIDE);
    let plan = || Plan {
        from: NUMBER,
        ..Plan::idle()
    };
    for (members, status) in [(&[TCP, PLAIN] as &[u8], 200), (&[TCP], 403)] {
        play_with(
            |_| {},
            grouped(members),
            |world| {
                let a = world.call(PBX, &to, plan());
                world.run(2_000);
                assert_eq!(world.at_call(a).status(), Some(status));
                if status == 200 {
                    world.act(a, Act::Bye);
                }
            },
        );
    }
}
