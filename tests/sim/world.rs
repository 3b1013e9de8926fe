//! Clock, event queue, network, the shards of one gateway, and the agents around it.
//!
//! Messages go in as `net` does it: received by any shard's thread, handed to their owner's. Of every
//! message that the gateway sends it is checked that nothing of another agent is in it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline::config::{SipListener, Transport};
use trunkline::control::limiter::NodeLimiter;
use trunkline::instant::Instant;
use trunkline::media::{Connect, Forward, MediaPort, MediaSocket};
use trunkline::shard::io::{ConnectionId, Flow, Input, Output};
use trunkline::shard::snapshot::Snapshot;
use trunkline::shard::{Occupancy, Settings, Shard};
use trunkline::sip::message::{Fields, Message};
use trunkline::telemetry::Event;

use crate::agent::call::{Call, State};
use crate::agent::messaging::Letter;
use crate::agent::plan::{Act, Plan};
use crate::agent::{Agent, Effect, Hands, Wake};
use crate::gateway::Gateway;
use crate::network::{Network, Rng};
use crate::secrets::Secrets;

/// One call, as the agent's number and the call's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CallRef {
    pub(crate) agent: usize,
    pub(crate) call: usize,
}

/// Which messages get lost besides those of the weather: number, towards the gateway, bytes.
pub(crate) type Loss = Box<dyn FnMut(usize, bool, &[u8]) -> bool>;

pub(crate) struct World {
    seed: u64,
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) network: Network,
    pub(crate) agents: Vec<Agent>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) events: Vec<Event>,
    pub(crate) limiter: Arc<NodeLimiter>,
    pub(crate) lose: Option<Loss>,
    /// Whether agents may hear of each other: where their messages were mixed on purpose.
    pub(crate) unchecked: bool,
    /// Messages that were sent over UDP so far, either way.
    pub(crate) datagrams: usize,
    /// Everything that was sent to somebody who is nobody.
    pub(crate) undeliverable: usize,
    /// The same, where to and what.
    pub(crate) sent_to_strangers: Vec<(SocketAddr, Bytes)>,
    /// Media packets that the gateway made itself.
    pub(crate) own_media: Vec<(Instant, Forward, Bytes)>,
    listeners: Vec<SipListener>,
    by_source: HashMap<SocketAddr, usize>,
    queue: BTreeMap<(Instant, u64), Happening>,
    order: u64,
    pub(crate) media: HashMap<SocketAddr, (usize, MediaSocket)>,
    /// Media sockets that hear one peer only.
    pub(crate) connected: HashMap<(usize, MediaSocket), SocketAddr>,
    pub(crate) secrets: Secrets,
    streams: HashMap<(usize, bool), Instant>,
    trace: VecDeque<Traced>,
}

enum Happening {
    ToGateway {
        flow: Flow,
        bytes: Bytes,
    },
    ToAgent {
        agent: usize,
        bytes: Bytes,
    },
    Wake {
        agent: usize,
        call: usize,
        wake: Wake,
    },
}

/// A message as it was sent.
struct Traced {
    at: Instant,
    agent: usize,
    to_gateway: bool,
    copies: usize,
    bytes: Bytes,
}

/// Lines of the ladder that a failure prints.
const TRACE_LINES: usize = 80;

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    match std::env::var("TRUNKLINE_SIM_SEED") {
        Ok(text) => text
            .parse()
            .expect("TRUNKLINE_SIM_SEED is a decimal number"),
        Err(_) => 20_260_220,
    }
}

impl World {
    pub(crate) fn new(
        gateway: &Gateway,
        seed: u64,
        snapshot: &Arc<Snapshot>,
        agents: Vec<Agent>,
    ) -> Self {
        let now = Instant::from_micros(1_000_000);
        let limiter = Arc::new(NodeLimiter::default());
        let shard = |number| {
            let settings = Settings {
                shard: number,
                shards: gateway.shards,
                listeners: gateway.listeners.clone(),
                timers: gateway.timers,
                limits: gateway.limits,
                udp_mtu: gateway.udp_mtu,
                transfers: gateway.transfers,
                registers: gateway.registers,
                health: gateway.health,
                media_timeout: gateway.media_timeout,
                media: gateway.media,
                srtp: gateway.srtp.clone(),
                offer_rtcp_mux: gateway.offer_rtcp_mux,
                secret: [7; 16],
                shard_secret: [number + 1; 16],
                key_seed: [number + 1; 32],
            };
            Shard::new(settings, snapshot.clone(), Arc::clone(&limiter) as _, now)
        };
        let by_source = agents.iter().enumerate();
        let by_source = by_source
            .map(|(index, agent)| (agent.source, index))
            .collect();
        let mut world = Self {
            seed,
            rng: Rng::new(seed),
            now,
            network: Network::CALM,
            agents,
            shards: (0..gateway.shards).map(shard).collect(),
            events: Vec::new(),
            limiter: Arc::clone(&limiter),
            lose: None,
            unchecked: false,
            datagrams: 0,
            undeliverable: 0,
            sent_to_strangers: Vec::new(),
            own_media: Vec::new(),
            listeners: gateway.listeners.clone(),
            by_source,
            queue: BTreeMap::new(),
            order: 0,
            media: HashMap::new(),
            connected: HashMap::new(),
            secrets: Secrets::default(),
            streams: HashMap::new(),
            trace: VecDeque::new(),
        };
        world.add_media_ports(gateway);
        world
    }

    fn add_media_ports(&mut self, gateway: &Gateway) {
        let mut next_port = 20_000u16;
        for shard in 0..self.shards.len() {
            for pair in 0..gateway.media_ports {
                for (family, ip) in gateway.media_addresses.iter().enumerate() {
                    let socket = MediaSocket(2 * (2 * pair + family as u32));
                    let advertise = SocketAddr::new(ip.parse().unwrap(), next_port);
                    let port = MediaPort { socket, advertise };
                    self.shards[shard].handle(Input::MediaPort(port), self.now);
                    self.media.insert(advertise, (shard, socket));
                    let rtcp = SocketAddr::new(advertise.ip(), next_port + 1);
                    self.media.insert(rtcp, (shard, MediaSocket(socket.0 + 1)));
                }
                next_port += 2;
            }
        }
    }

    /// An agent calls.
    pub(crate) fn call(&mut self, agent: usize, to: &str, plan: Plan) -> CallRef {
        let call = self.with_agent(agent, |agent, hands| agent.call(to, plan, hands));
        CallRef { agent, call }
    }

    /// An agent sends a MESSAGE.
    pub(crate) fn write(&mut self, agent: usize, to: &str, letter: &Letter) -> CallRef {
        let call = self.with_agent(agent, |agent, hands| agent.write(to, letter, hands));
        CallRef { agent, call }
    }

    /// A call that is answered within three seconds; what both sides have of it.
    pub(crate) fn establish(
        &mut self,
        caller: usize,
        called: usize,
        to: &str,
    ) -> (CallRef, CallRef) {
        let (a, b) = self.establish_unacknowledged(caller, called, to);
        self.run(1_900);
        assert_eq!(self.at_call(a).state, State::Talking, "caller");
        assert_eq!(self.at_call(b).state, State::Talking, "called");
        (a, b)
    }

    /// The same until right after the answer of a called side that needs a second for it.
    pub(crate) fn establish_unacknowledged(
        &mut self,
        caller: usize,
        called: usize,
        to: &str,
    ) -> (CallRef, CallRef) {
        let a = self.call(caller, to, Plan::idle());
        self.run(1_100);
        (a, self.last_call(called))
    }

    /// Responses that came to an agent and belonged to none of its calls.
    pub(crate) fn strays(&self, agent: usize) -> Vec<(u16, &Fields)> {
        let strays = self.agents[agent].strays.iter();
        let responses = strays.filter_map(|message| match message {
            Message::Response(response) => Some((response.status, &response.fields)),
            Message::Request(_) => None,
        });
        responses.collect()
    }

    /// An agent does something in a call, now.
    pub(crate) fn act(&mut self, at: CallRef, act: Act) {
        self.with_agent(at.agent, |agent, hands| {
            agent.wake(at.call, Wake::Act(act), hands);
        });
    }

    pub(crate) fn with_agent<R>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Agent, &mut Hands<'_>) -> R,
    ) -> R {
        let mut effects = Vec::new();
        let mut hands = Hands {
            now: self.now,
            rng: &mut self.rng,
            effects: &mut effects,
        };
        let result = work(&mut self.agents[index], &mut hands);
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => self.send_to_gateway(index, to, bytes),
                Effect::Wake { after, call, wake } => {
                    self.at(
                        self.now + after,
                        Happening::Wake {
                            agent: index,
                            call,
                            wake,
                        },
                    );
                }
            }
        }
        result
    }

    pub(crate) fn at_call(&self, at: CallRef) -> &Call {
        &self.agents[at.agent].calls[at.call]
    }

    /// The last call that came to an agent.
    pub(crate) fn last_call(&self, agent: usize) -> CallRef {
        let call = self.agents[agent].calls.len();
        assert!(call > 0, "no call came to {}", self.agents[agent].mark);
        CallRef {
            agent,
            call: call - 1,
        }
    }

    /// Gives every shard this snapshot.
    pub(crate) fn publish(&mut self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        for shard in 0..self.shards.len() {
            self.shards[shard].set_snapshot(snapshot.clone(), self.now);
            self.drain(shard);
        }
    }

    /// Lets that many milliseconds pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(next) = self.next_happening().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Lets pass what has to until nothing more would happen; fails after a day.
    pub(crate) fn run_until_quiet(&mut self) {
        let end = self.now + Duration::from_secs(86_400);
        while let Some(next) = self.next_happening() {
            assert!(next <= end, "the world does not come to rest");
            self.now = self.now.max(next);
            self.step();
        }
    }

    fn next_happening(&self) -> Option<Instant> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let timers = self.shards.iter().filter_map(Shard::next_timeout);
        timers.chain(queued).min()
    }

    fn step(&mut self) {
        for shard in 0..self.shards.len() {
            if self.shards[shard]
                .next_timeout()
                .is_some_and(|at| at <= self.now)
            {
                self.shards[shard].handle_timeout(self.now);
                self.drain(shard);
            }
        }
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let happening = entry.remove();
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { agent, call, wake } => {
                self.with_agent(agent, |agent, hands| agent.wake(call, wake, hands));
            }
            Happening::ToAgent { agent, bytes } => {
                self.with_agent(agent, |agent, hands| agent.receive(bytes, hands));
            }
            Happening::ToGateway { flow, bytes } => {
                // Any thread may receive it; its shard says whose it is.
                let any = self.rng.below(self.shards.len() as u64) as usize;
                let admitted = self.shards[any].admits(&flow, self.now);
                self.drain(any);
                if !admitted {
                    return;
                }
                let owner = usize::from(self.shards[any].owner(&bytes));
                self.shards[owner].handle(Input::Message { flow, bytes }, self.now);
                self.drain(owner);
            }
        }
    }

    fn drain(&mut self, shard: usize) {
        while let Some(output) = self.shards[shard].poll_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Media { forward, bytes } => self.own_media.push((self.now, forward, bytes)),
                Output::Connect(Connect { socket, peer }) => {
                    let place = (shard, socket);
                    let before = match peer {
                        Some(peer) => self.connected.insert(place, peer),
                        None => self.connected.remove(&place),
                    };
                    assert_eq!(before.is_some(), peer.is_none(), "{place:?}: {before:?}");
                }
                Output::Ban(ban) => {
                    for other in (0..self.shards.len()).filter(|other| *other != shard) {
                        self.shards[other].handle(Input::Ban(ban), self.now);
                    }
                }
                Output::BackOff(back_off) => {
                    for other in (0..self.shards.len()).filter(|other| *other != shard) {
                        self.shards[other].handle(Input::BackOff(back_off), self.now);
                    }
                }
                Output::Send {
                    flow,
                    bytes,
                    transaction,
                } => {
                    let is_secured = flow.connection.is_some() || flow.tls.is_some();
                    assert!(
                        is_secured || flow.transport != Transport::Tls,
                        "nobody knows whom to expect at {flow:?}"
                    );
                    let agent = self.agent_at(&flow);
                    // A stream to somebody who does not listen for one does not come up.
                    let unreachable = match agent {
                        Some(agent) => {
                            let agent = &self.agents[agent];
                            let refuses = flow.connection.is_none()
                                && flow.transport == Transport::Tcp
                                && agent.transport == Transport::Udp;
                            agent.unreachable || refuses
                        }
                        None => false,
                    };
                    match (agent, transaction) {
                        (Some(_), Some(transaction)) if unreachable => {
                            let input = Input::TransportError { transaction };
                            self.shards[shard].handle(input, self.now);
                        }
                        (Some(agent), _) => self.send_to_agent(agent, &flow, bytes),
                        (None, _) => {
                            self.undeliverable += 1;
                            self.sent_to_strangers.push((flow.remote, bytes));
                        }
                    }
                }
            }
        }
    }

    fn agent_at(&self, flow: &Flow) -> Option<usize> {
        match flow.connection {
            Some(connection) => Some(connection.slot as usize),
            None => self.by_source.get(&flow.remote).copied(),
        }
    }

    fn send_to_agent(&mut self, agent: usize, flow: &Flow, bytes: Bytes) {
        assert_eq!(
            flow.transport, self.agents[agent].transport,
            "{} was sent to over another transport",
            self.agents[agent].mark
        );
        self.check_nothing_leaks(agent, &bytes);
        self.secrets.learn(agent, &bytes);
        self.secrets.check(agent, &bytes);
        self.agents[agent].reached = Some(*flow);
        for at in self.arrivals(agent, false, &bytes) {
            let bytes = bytes.clone();
            self.at(at, Happening::ToAgent { agent, bytes });
        }
    }

    fn send_to_gateway(&mut self, agent: usize, to: SocketAddr, bytes: Bytes) {
        self.secrets.learn(agent, &bytes);
        let (source, transport) = (self.agents[agent].source, self.agents[agent].transport);
        let listener = self
            .listeners
            .iter()
            .position(|listener| listener.bind == to && listener.transport == transport);
        let listener = listener.unwrap_or_else(|| panic!("nobody listens at {to}")) as u8;
        let connection = transport.is_reliable().then_some(ConnectionId {
            shard: 0,
            slot: agent as u32,
            generation: 1,
        });
        let remote = match connection {
            // The port that the connection was opened from.
            Some(_) => SocketAddr::new(source.ip(), 40_000 + agent as u16),
            None => source,
        };
        let flow = Flow {
            transport,
            listener,
            remote,
            connection,
            tls: None,
            carrier: self.agents[agent].carrier,
        };
        for at in self.arrivals(agent, true, &bytes) {
            let bytes = bytes.clone();
            self.at(at, Happening::ToGateway { flow, bytes });
        }
    }

    /// Puts bytes on the wire as if this address had sent them over UDP.
    pub(crate) fn inject(&mut self, from: SocketAddr, bytes: impl Into<Bytes>) {
        let flow = Flow {
            transport: Transport::Udp,
            listener: 0,
            remote: from,
            connection: None,
            tls: None,
            carrier: None,
        };
        let bytes = bytes.into();
        self.at(self.now, Happening::ToGateway { flow, bytes });
    }

    /// Every shard says good-bye, now.
    pub(crate) fn shut_down(&mut self) {
        for shard in 0..self.shards.len() {
            self.shards[shard].shutdown(self.now);
            self.drain(shard);
        }
    }

    /// Calls begun in all shards.
    pub(crate) fn calls_begun(&self) -> u64 {
        let shards = self.shards.iter();
        shards.map(|shard| shard.counters().calls).sum()
    }

    /// How often all shards have refused for this cause.
    pub(crate) fn refused_for(&self, cause: trunkline::gateway::Cause) -> u64 {
        let shards = self.shards.iter();
        let counts = shards.map(|shard| shard.counters().refused_for.of(cause));
        counts.sum()
    }

    fn arrivals(&mut self, agent: usize, to_gateway: bool, bytes: &Bytes) -> Vec<Instant> {
        let arrivals = if self.agents[agent].transport.is_reliable() {
            let last = self.streams.entry((agent, to_gateway)).or_insert(self.now);
            *last = (self.now + self.network.latency).max(*last + Duration::from_micros(1));
            vec![*last]
        } else {
            let number = self.datagrams;
            self.datagrams += 1;
            let lost = self
                .lose
                .as_mut()
                .is_some_and(|lose| lose(number, to_gateway, bytes));
            match lost {
                true => Vec::new(),
                false => {
                    let delays = self.network.arrivals(&mut self.rng).into_iter();
                    delays.map(|delay| self.now + delay).collect()
                }
            }
        };
        self.note(agent, to_gateway, arrivals.len(), bytes);
        arrivals
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    /// How full the tables of all shards are together.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let mut sum = Occupancy::default();
        for shard in &self.shards {
            let one = shard.occupancy();
            sum.calls += one.calls;
            sum.dialogs += one.dialogs;
            sum.pager_messages += one.pager_messages;
            sum.transactions += one.transactions;
            sum.timers += one.timers;
            sum.media_ports += one.media_ports;
        }
        sum
    }

    fn check_nothing_leaks(&self, to: usize, bytes: &Bytes) {
        if self.unchecked {
            return;
        }
        let own = &self.agents[to];
        for other in self.agents.iter().filter(|other| other.mark != own.mark) {
            let ip = other.address.ip().to_string();
            let marks = [other.mark.as_str(), ip.as_str()];
            for mark in marks {
                assert!(
                    memchr::memmem::find(bytes, mark.as_bytes()).is_none(),
                    "{mark} reached {}:\n{}",
                    own.mark,
                    String::from_utf8_lossy(bytes)
                );
            }
        }
    }

    fn note(&mut self, agent: usize, to_gateway: bool, copies: usize, bytes: &Bytes) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(Traced {
            at: self.now,
            agent,
            to_gateway,
            copies,
            bytes: bytes.clone(),
        });
    }

    fn line(&self, traced: &Traced) -> String {
        let text = String::from_utf8_lossy(&traced.bytes);
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.unwrap_or_default().to_owned()
        };
        let fate = match traced.copies {
            0 => " LOST",
            1 => "",
            _ => " TWICE",
        };
        format!(
            "{:>10.3} {} {} gateway{fate}: {} | {} | {}",
            traced.at.as_micros() as f64 / 1e6,
            self.agents[traced.agent].mark,
            if traced.to_gateway { "->" } else { "<-" },
            text.lines().next().unwrap_or_default(),
            field("CSeq"),
            field("Call-ID"),
        )
    }

    /// The end of a scenario: nothing may be left, and nothing may have panicked.
    pub(crate) fn finish(&mut self) {
        self.run_until_quiet();
        assert_eq!(self.limiter.calls(), 0, "calls that still count");
        self.secrets.check_events(&self.events);
        for (number, shard) in self.shards.iter().enumerate() {
            assert_eq!(shard.counters().panics, 0, "panics in shard {number}");
            let left = Occupancy {
                media_ports_free: 0,
                ..shard.occupancy()
            };
            assert_eq!(left, Occupancy::default(), "left in shard {number}");
        }
        assert!(self.connected.is_empty(), "{:?}", self.connected);
        for agent in &self.agents {
            assert!(
                self.unchecked || agent.garbled.is_empty(),
                "{:?}",
                agent.garbled
            );
            for (number, call) in agent.calls.iter().enumerate() {
                assert!(
                    call.state == State::Over || call.plan.deaf,
                    "call {number} {} of {} is {:?}",
                    call.id,
                    agent.mark,
                    call.state
                );
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "TRUNKLINE_SIM_SEED={} shards={}",
                self.seed,
                self.shards.len()
            );
            for traced in &self.trace {
                eprintln!("{}", self.line(traced));
            }
        }
    }
}
