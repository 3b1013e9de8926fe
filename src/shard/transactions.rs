//! The transactions of one shard: runs the tables of [`crate::sip::transaction`], keeps what they
//! retransmit, finds the transaction a message belongs to.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;

use super::ShardTimer;
use super::health::PingId;
use super::identifiers::{CallId, MessageId, Minted, Ticket};
use super::io::{Flow, Output, TransactionId};
use super::wheel::{TimerId, Wheel};
use crate::config::{Limits, SipTimers};
use crate::instant::Instant;
use crate::sip::derived::{ack_of_failure, cancel_of};
use crate::sip::message::{Method, Request, Response};
use crate::sip::transaction::key::Keys;
use crate::sip::transaction::{Action, Timer, client, invite_client, invite_server, server};

/// Who hears of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum User {
    /// Nobody: its outcome changes nothing (BYE, CANCEL, a refusal).
    Nobody,
    /// A leg of a call; the number is the leg's, as in its tag.
    Leg(CallId, u8),
    /// A ping of a next hop.
    Ping(PingId),
    /// A MESSAGE that is relayed.
    Message(MessageId),
}

/// What a transaction tells its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// The message at hand is for the user.
    Deliver,
    /// No answer came in time.
    Timeout,
    /// The message could not be sent.
    TransportError,
}

/// What the transactions need of their shard while they run.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Instant,
    pub(crate) wheel: &'a mut Wheel<ShardTimer>,
    pub(crate) outputs: &'a mut VecDeque<Output>,
}

#[derive(Debug)]
pub(crate) struct Transactions {
    slots: Slab<Transaction>,
    /// Server transactions by [`Keys::server`].
    servers: HashMap<u128, u32>,
    /// Server transactions of INVITE and MESSAGE outside a dialog by [`Keys::merging`].
    merging: HashMap<u128, u32>,
    generation: u32,
    maximum: usize,
    timers: SipTimers,
    keys: Keys,
    shard: u8,
}

#[derive(Debug)]
struct Transaction {
    machine: Machine,
    generation: u32,
    flow: Flow,
    user: User,
    /// What the machine retransmits; empty before the first `Send`.
    kept: Bytes,
    /// The ACK of a failure response.
    ack: Bytes,
    /// A server transaction's key, a client transaction's branch secret.
    key: u128,
    /// The CANCEL of this INVITE.
    cancel: Option<TransactionId>,
    /// Its key in `merging`.
    merge_key: Option<u128>,
    retransmission: Option<TimerId>,
    lifetime: Option<TimerId>,
    interval: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Machine {
    InviteClient(invite_client::State),
    Client(client::State),
    InviteServer(invite_server::State),
    Server(server::State),
}

/// What happens to a machine, whichever it is.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Start,
    Provisional,
    Success,
    Failure,
    Retransmission,
    Ack,
    Fired(Timer),
    TransportError,
}

impl Machine {
    /// Runs the machine's table; `None` where the happening is none of this machine's events.
    fn step(&mut self, happening: Happening) -> Option<(&'static [Action], bool)> {
        use Happening::{
            Ack, Failure, Fired, Provisional, Retransmission, Start, Success, TransportError,
        };
        match self {
            Self::InviteClient(state) => {
                let event = match happening {
                    Start => invite_client::Event::Start,
                    Provisional => invite_client::Event::Provisional,
                    Success => invite_client::Event::Success,
                    Failure => invite_client::Event::Failure,
                    Fired(timer) => invite_client::Event::Fired(timer),
                    TransportError => invite_client::Event::TransportError,
                    Retransmission | Ack => return None,
                };
                let transition = invite_client::step(*state, event);
                *state = transition.next;
                Some((
                    transition.actions,
                    *state == invite_client::State::Terminated,
                ))
            }
            Self::Client(state) => {
                let event = match happening {
                    Start => client::Event::Start,
                    Provisional => client::Event::Provisional,
                    Success | Failure => client::Event::Final,
                    Fired(timer) => client::Event::Fired(timer),
                    TransportError => client::Event::TransportError,
                    Retransmission | Ack => return None,
                };
                let transition = client::step(*state, event);
                *state = transition.next;
                Some((transition.actions, *state == client::State::Terminated))
            }
            Self::InviteServer(state) => {
                let event = match happening {
                    Retransmission => invite_server::Event::Retransmission,
                    Ack => invite_server::Event::Ack,
                    Provisional => invite_server::Event::Provisional,
                    Success => invite_server::Event::Success,
                    Failure => invite_server::Event::Failure,
                    Fired(timer) => invite_server::Event::Fired(timer),
                    TransportError => invite_server::Event::TransportError,
                    Start => return None,
                };
                let transition = invite_server::step(*state, event);
                *state = transition.next;
                Some((
                    transition.actions,
                    *state == invite_server::State::Terminated,
                ))
            }
            Self::Server(state) => {
                let event = match happening {
                    Retransmission => server::Event::Retransmission,
                    Provisional => server::Event::Provisional,
                    Success | Failure => server::Event::Final,
                    Fired(timer) => server::Event::Fired(timer),
                    TransportError => server::Event::TransportError,
                    Start | Ack => return None,
                };
                let transition = server::step(*state, event);
                *state = transition.next;
                Some((transition.actions, *state == server::State::Terminated))
            }
        }
    }
}

/// The message an event brings along.
#[derive(Clone, Copy)]
enum AtHand<'a> {
    Nothing,
    Outgoing(&'a Bytes),
    Response(&'a Response),
}

impl Transactions {
    pub(crate) fn new(shard: u8, limits: &Limits, timers: SipTimers, hash_key: [u8; 16]) -> Self {
        Self {
            slots: Slab::new(),
            servers: HashMap::new(),
            merging: HashMap::new(),
            generation: 0,
            maximum: limits.transactions_max,
            timers,
            keys: Keys::new(hash_key),
            shard,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The place and branch of the next client transaction, which must be started before another is
    /// made; `None` where the table is full.
    pub(crate) fn ticket(&mut self, secret: u64) -> Option<Ticket> {
        if self.slots.len() >= self.maximum {
            return None;
        }
        let slot = self.slots.vacant_key() as u32;
        let id = TransactionId {
            slot,
            generation: self.generation.wrapping_add(1),
        };
        let branch = Minted {
            shard: self.shard,
            slot,
            leg: 0,
            secret,
        }
        .branch();
        Some(Ticket { id, secret, branch })
    }

    /// Sends a request whose top Via has the ticket's branch.
    pub(crate) fn start_client(
        &mut self,
        ticket: &Ticket,
        method: Method,
        flow: Flow,
        request: &Bytes,
        user: User,
        around: &mut Surroundings<'_>,
    ) {
        let machine = match method == Method::Invite {
            true => Machine::InviteClient(invite_client::State::Calling),
            false => Machine::Client(client::State::Trying),
        };
        let id = self.insert(machine, flow, user, u128::from(ticket.secret));
        debug_assert_eq!(
            id, ticket.id,
            "a transaction was made between ticket and start"
        );
        self.drive(id, Happening::Start, AtHand::Outgoing(request), around);
    }

    /// Makes the server transaction of a request that matched none; `None` where the table is full.
    pub(crate) fn start_server(
        &mut self,
        request: &Request,
        response_flow: Flow,
        user: User,
    ) -> Option<TransactionId> {
        if self.slots.len() >= self.maximum {
            return None;
        }
        let machine = match request.method == Method::Invite {
            true => Machine::InviteServer(invite_server::State::Proceeding),
            false => Machine::Server(server::State::Trying),
        };
        let key = self.keys.server(request, request.method);
        let id = self.insert(machine, response_flow, user, key);
        self.servers.insert(key, id.slot);
        if may_merge(request) {
            let merge_key = self.keys.merging(request);
            self.merging.insert(merge_key, id.slot);
            if let Some(transaction) = self.slots.get_mut(id.slot as usize) {
                transaction.merge_key = Some(merge_key);
            }
        }
        Some(id)
    }

    /// Whether an INVITE or a MESSAGE that matched no transaction came here before on another way and is still
    /// being answered, or, of a MESSAGE, was answered a moment ago (RFC 3261 §8.2.2.2).
    pub(crate) fn is_merged(&self, request: &Request) -> bool {
        may_merge(request)
            && self
                .merging
                .get(&self.keys.merging(request))
                .and_then(|slot| self.slots.get(*slot as usize))
                .is_some_and(Transaction::is_ongoing)
    }

    fn insert(&mut self, machine: Machine, flow: Flow, user: User, key: u128) -> TransactionId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let slot = self.slots.insert(Transaction {
            machine,
            generation,
            flow,
            user,
            kept: Bytes::new(),
            ack: Bytes::new(),
            key,
            cancel: None,
            merge_key: None,
            retransmission: None,
            lifetime: None,
            interval: Duration::ZERO,
        });
        TransactionId {
            slot: slot as u32,
            generation,
        }
    }

    /// The server transaction that a request belongs to (§17.2.3): for an ACK the INVITE's, for a CANCEL
    /// its own; for the transaction a CANCEL is about ask with [`Method::Invite`].
    pub(crate) fn find_server(&self, request: &Request, method: Method) -> Option<TransactionId> {
        let slot = *self.servers.get(&self.keys.server(request, method))?;
        let generation = self.slots.get(slot as usize)?.generation;
        Some(TransactionId { slot, generation })
    }

    /// The client transaction that a response belongs to (§17.1.3).
    pub(crate) fn find_client(&self, response: &Response) -> Option<TransactionId> {
        let via = response.via().ok()?;
        let minted = Minted::from_branch(via.branch()?)?;
        let transaction = self.slots.get(minted.slot as usize)?;
        let method = response.cseq().ok()?.method;
        if let (Method::Cancel, Some(cancel)) = (method, transaction.cancel) {
            let key = self.get(cancel).map(|transaction| transaction.key);
            return (key == Some(u128::from(minted.secret))).then_some(cancel);
        }
        let is_invite = method == Method::Invite;
        let matches = match transaction.machine {
            Machine::InviteClient(_) => is_invite,
            Machine::Client(_) => !is_invite,
            Machine::InviteServer(_) | Machine::Server(_) => false,
        };
        (matches && transaction.key == u128::from(minted.secret)).then_some(TransactionId {
            slot: minted.slot,
            generation: transaction.generation,
        })
    }

    pub(crate) fn user(&self, id: TransactionId) -> User {
        self.get(id)
            .map_or(User::Nobody, |transaction| transaction.user)
    }

    /// Cancels an INVITE that was sent (§9.1): a transaction of its own with the INVITE's branch. A full
    /// table costs the CANCEL; its user's timer ends the INVITE then.
    pub(crate) fn cancel(
        &mut self,
        invite: TransactionId,
        reasons: &[Box<str>],
        around: &mut Surroundings<'_>,
    ) {
        let has_sent = |transaction: &&Transaction| !transaction.kept.is_empty();
        let Some(transaction) = self.get(invite).filter(has_sent) else {
            return;
        };
        let (request, flow, key) = (
            cancel_of(&transaction.kept, reasons),
            transaction.flow,
            transaction.key,
        );
        if self.slots.len() >= self.maximum {
            return;
        }
        let id = self.insert(
            Machine::Client(client::State::Trying),
            flow,
            User::Nobody,
            key,
        );
        if let Some(transaction) = self.slots.get_mut(invite.slot as usize) {
            transaction.cancel = Some(id);
        }
        self.drive(id, Happening::Start, AtHand::Outgoing(&request), around);
    }

    /// Whether a server transaction of an INVITE has no final response yet.
    pub(crate) fn awaits_final_response(&self, id: TransactionId) -> bool {
        self.get(id).is_some_and(Transaction::awaits_final_response)
    }

    /// A response came for a client transaction.
    pub(crate) fn receive_response(
        &mut self,
        id: TransactionId,
        response: &Response,
        around: &mut Surroundings<'_>,
    ) -> Option<Report> {
        self.drive(
            id,
            of_status(response.status),
            AtHand::Response(response),
            around,
        )
    }

    /// A request came that belongs to a server transaction.
    pub(crate) fn receive_again(
        &mut self,
        id: TransactionId,
        method: Method,
        around: &mut Surroundings<'_>,
    ) -> Option<Report> {
        let happening = if method == Method::Ack {
            Happening::Ack
        } else {
            Happening::Retransmission
        };
        self.drive(id, happening, AtHand::Nothing, around)
    }

    /// The user answers.
    pub(crate) fn respond(
        &mut self,
        id: TransactionId,
        status: u16,
        response: &Bytes,
        around: &mut Surroundings<'_>,
    ) {
        self.drive(id, of_status(status), AtHand::Outgoing(response), around);
    }

    pub(crate) fn fire(
        &mut self,
        id: TransactionId,
        timer: Timer,
        around: &mut Surroundings<'_>,
    ) -> Option<Report> {
        self.drive(id, Happening::Fired(timer), AtHand::Nothing, around)
    }

    pub(crate) fn transport_error(
        &mut self,
        id: TransactionId,
        around: &mut Surroundings<'_>,
    ) -> Option<Report> {
        self.drive(id, Happening::TransportError, AtHand::Nothing, around)
    }

    /// Does not send a request again; what it is answered is heard until its time is over.
    pub(crate) fn quiet(&mut self, id: TransactionId, wheel: &mut Wheel<ShardTimer>) {
        let transaction = self.slots.get_mut(id.slot as usize);
        let Some(transaction) = transaction.filter(|it| it.generation == id.generation) else {
            return;
        };
        transaction.kept = Bytes::new();
        if let Some(timer) = transaction.retransmission.take() {
            wheel.cancel(timer);
        }
    }

    /// Ends a transaction without a word to anybody.
    pub(crate) fn forget(&mut self, id: TransactionId, wheel: &mut Wheel<ShardTimer>) {
        if self.get(id).is_none() {
            return;
        }
        let transaction = self.slots.remove(id.slot as usize);
        for timer in [transaction.retransmission, transaction.lifetime]
            .into_iter()
            .flatten()
        {
            wheel.cancel(timer);
        }
        match transaction.machine {
            Machine::InviteServer(_) | Machine::Server(_) => {
                self.servers.remove(&transaction.key);
                if let Some(key) = transaction.merge_key
                    && self.merging.get(&key) == Some(&id.slot)
                {
                    self.merging.remove(&key);
                }
            }
            Machine::InviteClient(_) | Machine::Client(_) => {}
        }
    }

    fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.slots
            .get(id.slot as usize)
            .filter(|transaction| transaction.generation == id.generation)
    }

    fn drive(
        &mut self,
        id: TransactionId,
        happening: Happening,
        at_hand: AtHand<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<Report> {
        let timers = self.timers;
        let transaction = self
            .slots
            .get_mut(id.slot as usize)
            .filter(|transaction| transaction.generation == id.generation)?;
        let mut report = None;
        let mut next = Some(happening);
        let mut terminated = false;
        while let Some(happening) = next.take() {
            let Some((actions, ended)) = transaction.machine.step(happening) else {
                return report;
            };
            terminated = ended;
            for action in actions {
                match action {
                    Action::Deliver => report = Some(Report::Deliver),
                    Action::ReportTimeout => report = Some(Report::Timeout),
                    Action::ReportTransportError => report = Some(Report::TransportError),
                    // A timer of no length fires at once, when all else is done.
                    Action::Start(timer) => {
                        if no_longer_retransmits(*timer) {
                            transaction.kept = Bytes::new();
                        }
                        next = transaction
                            .start_timer(id, *timer, &timers, around)
                            .or(next);
                    }
                    Action::Send
                    | Action::Resend
                    | Action::SendAck
                    | Action::Repeat(_)
                    | Action::Stop(_) => {
                        transaction.act(id, *action, at_hand, &timers, around);
                    }
                }
            }
        }
        if terminated {
            self.forget(id, around.wheel);
        }
        report
    }
}

/// The event that a status code is.
fn of_status(status: u16) -> Happening {
    match status {
        ..200 => Happening::Provisional,
        200..300 => Happening::Success,
        300.. => Happening::Failure,
    }
}

/// Whether it does harm that a request is served once for each way that it came by: an INVITE or a MESSAGE outside a
/// dialog.
fn may_merge(request: &Request) -> bool {
    matches!(request.method, Method::Invite | Method::Message)
        && request.to().is_ok_and(|to| to.tag().is_none())
}

impl Transaction {
    fn is_ongoing(&self) -> bool {
        match self.machine {
            Machine::Server(_) => true,
            Machine::InviteServer(_) | Machine::InviteClient(_) | Machine::Client(_) => {
                self.awaits_final_response()
            }
        }
    }

    fn awaits_final_response(&self) -> bool {
        matches!(
            self.machine,
            Machine::InviteServer(invite_server::State::Proceeding)
        )
    }

    /// Starts a timer; returns what to do instead where it fires at once.
    fn start_timer(
        &mut self,
        id: TransactionId,
        timer: Timer,
        timers: &SipTimers,
        around: &mut Surroundings<'_>,
    ) -> Option<Happening> {
        let duration = timer.duration(timers, self.flow.transport.is_reliable())?;
        if duration.is_zero() {
            return Some(Happening::Fired(timer));
        }
        self.interval = if is_retransmission(timer) {
            duration
        } else {
            self.interval
        };
        self.arm(id, timer, duration, around);
        None
    }

    fn act(
        &mut self,
        id: TransactionId,
        action: Action,
        at_hand: AtHand<'_>,
        timers: &SipTimers,
        around: &mut Surroundings<'_>,
    ) {
        match action {
            Action::Send => {
                if let AtHand::Outgoing(bytes) = at_hand {
                    self.kept = bytes.clone();
                    self.send(id, self.kept.clone(), around);
                }
            }
            // Nothing is kept where the user has not answered yet.
            Action::Resend if self.kept.is_empty() => {}
            Action::Resend => self.send(id, self.kept.clone(), around),
            Action::SendAck => {
                if let (true, AtHand::Response(response)) = (self.ack.is_empty(), at_hand) {
                    self.ack = ack_of_failure(&self.kept, response);
                }
                self.send(id, self.ack.clone(), around);
            }
            Action::Repeat(timer) => {
                self.interval = timer.next_interval(self.interval, timers);
                self.arm(id, timer, self.interval, around);
            }
            Action::Stop(timer) => {
                if let Some(running) = self.place_of(timer).take() {
                    around.wheel.cancel(running);
                }
            }
            Action::Start(_)
            | Action::Deliver
            | Action::ReportTimeout
            | Action::ReportTransportError => {}
        }
    }

    fn arm(
        &mut self,
        id: TransactionId,
        timer: Timer,
        after: Duration,
        around: &mut Surroundings<'_>,
    ) {
        let started = around
            .wheel
            .insert(around.now + after, ShardTimer::Transaction(id, timer));
        if let Some(before) = self.place_of(timer).replace(started) {
            around.wheel.cancel(before);
        }
    }

    fn place_of(&mut self, timer: Timer) -> &mut Option<TimerId> {
        if is_retransmission(timer) {
            &mut self.retransmission
        } else {
            &mut self.lifetime
        }
    }

    fn send(&self, id: TransactionId, bytes: Bytes, around: &mut Surroundings<'_>) {
        around.outputs.push_back(Output::Send {
            flow: self.flow,
            bytes,
            transaction: Some(id),
        });
    }
}

/// The timers of the states that only absorb what comes late: the kept message has done its work, and
/// such states last for half a minute.
fn no_longer_retransmits(timer: Timer) -> bool {
    match timer {
        Timer::D | Timer::I | Timer::K | Timer::L | Timer::M => true,
        Timer::A | Timer::B | Timer::E | Timer::F | Timer::G | Timer::H | Timer::J => false,
    }
}

fn is_retransmission(timer: Timer) -> bool {
    match timer {
        Timer::A | Timer::E | Timer::G => true,
        Timer::B
        | Timer::D
        | Timer::F
        | Timer::H
        | Timer::I
        | Timer::J
        | Timer::K
        | Timer::L
        | Timer::M => false,
    }
}
