//! Every state of every machine with every event, against tables read from the RFCs.
//!
//! A table has the rows that do something: state, event, next state, actions. What it does not name must
//! leave the state as it is and ask for nothing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use super::{Timer, Transition, client, invite_client, invite_server, server};
use crate::config::SipTimers;

const TIMERS: [Timer; 12] = [
    Timer::A,
    Timer::B,
    Timer::D,
    Timer::E,
    Timer::F,
    Timer::G,
    Timer::H,
    Timer::I,
    Timer::J,
    Timer::K,
    Timer::L,
    Timer::M,
];

/// RFC 3261 figure 5 with RFC 6026 figures 1 and §7.2.
const INVITE_CLIENT: &str = "
    Calling     Start           Calling     Send Start(A) Start(B)
    Calling     Fired(A)        Calling     Resend Repeat(A)
    Calling     Fired(B)        Terminated  ReportTimeout
    Calling     TransportError  Terminated  ReportTransportError
    Calling     Provisional     Proceeding  Stop(A) Stop(B) Deliver
    Calling     Success         Accepted    Stop(A) Stop(B) Start(M) Deliver
    Calling     Failure         Completed   Stop(A) Stop(B) SendAck Start(D) Deliver
    Proceeding  Provisional     Proceeding  Deliver
    Proceeding  Success         Accepted    Stop(A) Stop(B) Start(M) Deliver
    Proceeding  Failure         Completed   Stop(A) Stop(B) SendAck Start(D) Deliver
    Proceeding  TransportError  Terminated  ReportTransportError
    Completed   Failure         Completed   SendAck
    Completed   Fired(D)        Terminated
    Completed   TransportError  Terminated  ReportTransportError
    Accepted    Success         Accepted    Deliver
    Accepted    Fired(M)        Terminated
";

/// RFC 3261 figure 6.
const CLIENT: &str = "
    Trying      Start           Trying      Send Start(E) Start(F)
    Trying      Fired(E)        Trying      Resend Repeat(E)
    Trying      Fired(F)        Terminated  ReportTimeout
    Trying      TransportError  Terminated  ReportTransportError
    Trying      Provisional     Proceeding  Deliver
    Trying      Final           Completed   Stop(E) Stop(F) Start(K) Deliver
    Proceeding  Fired(E)        Proceeding  Resend Repeat(E)
    Proceeding  Fired(F)        Terminated  ReportTimeout
    Proceeding  TransportError  Terminated  ReportTransportError
    Proceeding  Provisional     Proceeding  Deliver
    Proceeding  Final           Completed   Stop(E) Stop(F) Start(K) Deliver
    Completed   Fired(K)        Terminated
";

/// RFC 3261 figure 7 with RFC 6026 §7.1.
const INVITE_SERVER: &str = "
    Proceeding  Retransmission  Proceeding  Resend
    Proceeding  Provisional     Proceeding  Send
    Proceeding  Success         Accepted    Send Start(L)
    Proceeding  Failure         Completed   Send Start(G) Start(H)
    Proceeding  TransportError  Terminated  ReportTransportError
    Completed   Retransmission  Completed   Resend
    Completed   Fired(G)        Completed   Resend Repeat(G)
    Completed   Fired(H)        Terminated  ReportTimeout
    Completed   Ack             Confirmed   Stop(G) Stop(H) Start(I)
    Completed   TransportError  Terminated  ReportTransportError
    Confirmed   Fired(I)        Terminated
    Accepted    Success         Accepted    Send
    Accepted    Ack             Accepted    Deliver
    Accepted    Fired(L)        Terminated
    Accepted    TransportError  Accepted    ReportTransportError
";

/// RFC 3261 figure 8.
const SERVER: &str = "
    Trying      Provisional     Proceeding  Send
    Trying      Final           Completed   Send Start(J)
    Proceeding  Retransmission  Proceeding  Resend
    Proceeding  Provisional     Proceeding  Send
    Proceeding  Final           Completed   Send Start(J)
    Proceeding  TransportError  Terminated  ReportTransportError
    Completed   Retransmission  Completed   Resend
    Completed   Fired(J)        Terminated
    Completed   TransportError  Terminated  ReportTransportError
";

#[test]
fn the_invite_client_is_its_table() {
    use invite_client::{Event, State, step};
    let states = [
        State::Calling,
        State::Proceeding,
        State::Completed,
        State::Accepted,
        State::Terminated,
    ];
    let events = [
        Event::Start,
        Event::Provisional,
        Event::Success,
        Event::Failure,
        Event::TransportError,
    ];
    compare(INVITE_CLIENT, &states, &events, Event::Fired, step);
}

#[test]
fn the_client_is_its_table() {
    use client::{Event, State, step};
    let states = [
        State::Trying,
        State::Proceeding,
        State::Completed,
        State::Terminated,
    ];
    let events = [
        Event::Start,
        Event::Provisional,
        Event::Final,
        Event::TransportError,
    ];
    compare(CLIENT, &states, &events, Event::Fired, step);
}

#[test]
fn the_invite_server_is_its_table() {
    use invite_server::{Event, State, step};
    let states = [
        State::Proceeding,
        State::Completed,
        State::Accepted,
        State::Confirmed,
        State::Terminated,
    ];
    let events = [
        Event::Retransmission,
        Event::Ack,
        Event::Provisional,
        Event::Success,
        Event::Failure,
        Event::TransportError,
    ];
    compare(INVITE_SERVER, &states, &events, Event::Fired, step);
}

#[test]
fn the_server_is_its_table() {
    use server::{Event, State, step};
    let states = [
        State::Trying,
        State::Proceeding,
        State::Completed,
        State::Terminated,
    ];
    let events = [
        Event::Retransmission,
        Event::Provisional,
        Event::Final,
        Event::TransportError,
    ];
    compare(SERVER, &states, &events, Event::Fired, step);
}

fn compare<S: Copy + Debug, E: Copy + Debug>(
    table: &str,
    states: &[S],
    events: &[E],
    fired: impl Fn(Timer) -> E,
    step: impl Fn(S, E) -> Transition<S>,
) {
    let mut rows = read(table);
    for state in states {
        for event in events.iter().copied().chain(TIMERS.map(&fired)) {
            let row = (format!("{state:?}"), format!("{event:?}"));
            let expected = rows
                .remove(&row)
                .unwrap_or_else(|| (row.0.clone(), String::new()));
            let Transition { next, actions } = step(*state, event);
            let actions: Vec<String> = actions.iter().map(|one| format!("{one:?}")).collect();
            assert_eq!(
                (format!("{next:?}"), actions.join(" ")),
                expected,
                "{row:?}"
            );
        }
    }
    assert!(rows.is_empty(), "rows of no state or event: {rows:?}");
}

fn read(table: &str) -> HashMap<(String, String), (String, String)> {
    let mut rows = HashMap::new();
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().expect("state, event, next state");
        let (state, event, next) = (word(), word(), word());
        let actions: Vec<String> = words.collect();
        let before = rows.insert((state, event), (next, actions.join(" ")));
        assert!(before.is_none(), "two rows: {line}");
    }
    rows
}

#[test]
fn timers_have_the_values_of_the_rfc() {
    let timers = SipTimers::default();
    let millis = |millis| Some(Duration::from_millis(millis));
    // Timer, over UDP, over TCP (RFC 3261 table 4; RFC 6026 §7.1, §7.2).
    for (timer, unreliable, reliable) in [
        (Timer::A, millis(500), None),
        (Timer::B, millis(32_000), millis(32_000)),
        (Timer::D, millis(32_000), millis(0)),
        (Timer::E, millis(500), None),
        (Timer::F, millis(32_000), millis(32_000)),
        (Timer::G, millis(500), None),
        (Timer::H, millis(32_000), millis(32_000)),
        (Timer::I, millis(5_000), millis(0)),
        (Timer::J, millis(32_000), millis(0)),
        (Timer::K, millis(5_000), millis(0)),
        (Timer::L, millis(32_000), millis(32_000)),
        (Timer::M, millis(32_000), millis(32_000)),
    ] {
        assert_eq!(timer.duration(&timers, false), unreliable, "{timer:?}");
        assert_eq!(timer.duration(&timers, true), reliable, "{timer:?}");
    }
}

#[test]
fn timer_d_is_half_a_minute_at_least() {
    let timers = SipTimers {
        t1: Duration::from_millis(100),
        ..SipTimers::default()
    };
    let wait = Timer::D.duration(&timers, false);
    assert!(wait >= Some(Duration::from_secs(32)), "{wait:?}");
}

#[test]
fn retransmissions_double_up_to_t2_and_those_of_an_invite_without_bound() {
    let timers = SipTimers::default();
    let intervals = |timer: Timer| {
        let first = Duration::from_millis(500);
        let next = |last: &Duration| Some(timer.next_interval(*last, &timers));
        let all = std::iter::successors(Some(first), next).take(6);
        all.map(|interval| interval.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(
        intervals(Timer::A),
        [500, 1_000, 2_000, 4_000, 8_000, 16_000]
    );
    for timer in [Timer::E, Timer::G] {
        assert_eq!(intervals(timer), [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    }
}
