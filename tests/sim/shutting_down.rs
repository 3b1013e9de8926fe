//! What a node says before it goes.

use trunkline::sip::message::Method;
use trunkline::telemetry::{EndCause, Event};

use crate::agent::call::By;
use crate::agent::plan::{Act, Plan, When};
use crate::cast::{both_ways, play};

fn rings() -> Plan {
    Plan::idle().then(When::Invited, 100, Act::Answer(180))
}

#[test]
fn a_node_that_stops_hangs_up_and_cancels() {
    both_ways(&Plan::answers(), |world, caller, called, to| {
        let (talking_a, talking_b) = world.establish(caller, called, to);
        world.agents[called].plan = rings();
        let ringing_a = world.call(caller, to, Plan::idle());
        world.run(1_000);
        let ringing_b = world.last_call(called);
        assert_ne!(ringing_b, talking_b);
        world.shut_down();
        world.run(1_000);
        for at in [talking_a, talking_b] {
            assert_eq!(world.at_call(at).hung_up, Some(By::Them));
            assert_eq!(world.at_call(at).count(Method::Bye), 1);
        }
        assert_eq!(world.at_call(ringing_a).status(), Some(500));
        assert_eq!(world.at_call(ringing_b).count(Method::Cancel), 1);
        assert_eq!(world.at_call(ringing_b).status(), Some(487));
        let ends = world.events.iter().filter(|event| {
            let cause = EndCause::Shutdown;
            matches!(event, Event::CallEnded { cause: c, .. } if *c == cause)
        });
        assert_eq!(ends.count(), 2);
        world.run(40_000);
        assert_eq!(world.occupancy().calls, 0);
    });
}

#[test]
fn a_node_without_calls_stops_in_silence() {
    play(|world| {
        world.shut_down();
        world.run(1_000);
        assert_eq!(world.datagrams, 0);
        assert!(world.events.is_empty());
    });
}
