//! Calls that are set up, both ways.

use trunkline::sip::message::{HeaderName, Method};
use trunkline::telemetry::Event;

use crate::agent::call::{By, State};
use crate::agent::plan::{Act, Plan, When};
use crate::cast::{CARRIER, OUTSIDE, OWN, PBX, connector_id, inbound, play, through, PLAIN};
use crate::world::{CallRef, World};

/// Caller, called, Request-URI of a call each way.
fn ways() -> [(usize, usize, String); 2] {
    [
        (PBX, CARRIER, through(PLAIN, OUTSIDE)),
        (CARRIER, PBX, inbound(OWN)),
    ]
}

fn establish(world: &mut World, caller: usize, called: usize, to: &str) -> (CallRef, CallRef) {
    let a = world.call(caller, to, Plan::idle());
    world.run(3_000);
    let b = world.last_call(called);
    assert_eq!(world.at_call(a).state, State::Talking, "caller");
    assert_eq!(world.at_call(b).state, State::Talking, "called");
    (a, b)
}

#[test]
fn a_call_rings_and_is_answered_and_hung_up() {
    for (caller, called, to) in ways() {
        play(|world| {
            let (a, b) = establish(world, caller, called, &to);
            assert_eq!(world.at_call(a).statuses(), [100, 180, 200]);
            assert!(world.at_call(b).acknowledged);
            world.act(a, Act::Bye);
            world.run(1_000);
            assert_eq!(world.at_call(a).bye_answer, Some(200));
            assert_eq!(world.at_call(b).hung_up, Some(By::Them));
        });
    }
}
