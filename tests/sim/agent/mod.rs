//! A PBX or a carrier: user agents with logic of their own, so that the gateway is not measured by
//! itself.
//!
//! What an agent mints (Call-IDs, tags, branches, Contact, session names) holds its mark, by which the
//! world sees what crosses the gateway that must not.

pub(crate) mod acting;
mod answering;
pub(crate) mod call;
pub(crate) mod messaging;
pub(crate) mod plan;
pub(crate) mod security;
pub(crate) mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use trunkline::config::{CarrierId, Limits, Transport};
use trunkline::instant::Instant;
use trunkline::shard::io::Flow;
use trunkline::sip::message::{Message, Method, Request};

use self::call::{Call, Sending, State, What};
use self::plan::{Act, Plan};
use self::security::Srtp;
use crate::network::Rng;

pub(crate) const T1: Duration = Duration::from_millis(500);
pub(crate) const T2: Duration = Duration::from_secs(4);

/// Agents read whatever is sent.
const LIMITS: Limits = Limits {
    sip_headers_max: 10_000,
    sip_message_bytes_max: 1_000_000,
    calls_max: 0,
    transactions_max: 0,
    connections_max: 0,
    source_connections_max: 0,
    known_source_connections_max: 0,
    connection_idle: Duration::ZERO,
    mailbox_max: 0,
    source_messages_per_second: 0,
    known_source_messages_per_second: 0,
    ban: Duration::ZERO,
    ban_max: Duration::ZERO,
    lag_refuse: Duration::ZERO,
};

/// An agent at one address.
pub(crate) struct Agent {
    pub(crate) mark: String,
    /// What it says of itself.
    pub(crate) address: SocketAddr,
    /// What its Contact says instead of its address and port.
    pub(crate) contact: Option<String>,
    /// Where its packets come from: another address behind a translator.
    pub(crate) source: SocketAddr,
    pub(crate) transport: Transport,
    /// The carrier that it has proven to be on its connection.
    pub(crate) carrier: Option<CarrierId>,
    /// What it does of SRTP, if anything.
    pub(crate) srtp: Option<Srtp>,
    /// It wants RTP and RTCP on one port (RFC 5761).
    pub(crate) rtcp_mux: bool,
    /// The gateway's address to send first requests to.
    pub(crate) gateway: SocketAddr,
    /// For calls that come.
    pub(crate) plan: Plan,
    /// Makes a plan for each call that comes.
    pub(crate) random_plan: Option<fn(&mut Rng) -> Plan>,
    pub(crate) calls: Vec<Call>,
    by_id: HashMap<String, usize>,
    minted: u64,
    /// Responses and requests that belong to no call.
    pub(crate) strays: Vec<Message>,
    /// What could not be read: answers to requests that could not be read either.
    pub(crate) garbled: Vec<Bytes>,
    /// What was sent cannot be delivered, and the sender hears of it.
    pub(crate) unreachable: bool,
    /// What it answers to OPTIONS outside a dialog; nothing where there is none.
    pub(crate) ping_status: Option<u16>,
    /// OPTIONS outside a dialog: when they came, and their bytes.
    pub(crate) pings: Vec<(Instant, Request, Bytes)>,
    /// How it was reached last.
    pub(crate) reached: Option<Flow>,
}

/// What an agent works with for the time of an event.
pub(crate) struct Hands<'a> {
    pub(crate) now: Instant,
    pub(crate) rng: &'a mut Rng,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// What an agent wants done.
pub(crate) enum Effect {
    Send {
        to: SocketAddr,
        bytes: Bytes,
    },
    Wake {
        after: Duration,
        call: usize,
        wake: Wake,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Wake {
    Again(u32),
    Act(Act),
}

impl Agent {
    pub(crate) fn new(
        mark: &str,
        address: SocketAddr,
        transport: Transport,
        gateway: SocketAddr,
        plan: Plan,
    ) -> Self {
        Self {
            mark: mark.to_owned(),
            address,
            contact: None,
            source: address,
            transport,
            carrier: None,
            srtp: None,
            rtcp_mux: false,
            gateway,
            plan,
            random_plan: None,
            calls: Vec::new(),
            by_id: HashMap::new(),
            minted: 0,
            strays: Vec::new(),
            garbled: Vec::new(),
            unreachable: false,
            ping_status: Some(200),
            pings: Vec::new(),
            reached: None,
        }
    }

    /// What came from the gateway.
    pub(crate) fn receive(&mut self, bytes: Bytes, hands: &mut Hands<'_>) {
        let Ok(message) = Message::parse(bytes.clone(), &LIMITS) else {
            self.garbled.push(bytes);
            return;
        };
        let id = message.fields().call_id().to_owned();
        let known = self.by_id.get(&id).copied();
        match (message, known) {
            (Message::Response(response), Some(call)) => {
                let message = Message::Response(response.clone());
                self.calls[call].heard.push(message);
                self.on_response(call, &response, hands);
            }
            (Message::Request(request), None) if request.method == Method::Options => {
                self.on_ping(request, bytes, hands);
            }
            (Message::Request(request), known) => self.on_request(known, request, hands),
            (message @ Message::Response(_), None) => self.strays.push(message),
        }
    }

    /// A timer of this agent.
    pub(crate) fn wake(&mut self, call: usize, wake: Wake, hands: &mut Hands<'_>) {
        match wake {
            Wake::Act(act) => self.act(call, &act, hands),
            Wake::Again(id) => self.again(call, id, hands),
        }
    }

    /// Sends what was not answered once more, or gives it up.
    fn again(&mut self, index: usize, id: u32, hands: &mut Hands<'_>) {
        let call = &mut self.calls[index];
        let Some(place) = call.sending.iter().position(|sending| sending.id == id) else {
            return;
        };
        let sending = &mut call.sending[place];
        if hands.now >= sending.until {
            let what = call.sending.remove(place).what;
            self.give_up(index, &what, hands);
            return;
        }
        let again = self.transport == Transport::Udp || sending.what == What::Success;
        sending.interval = match sending.what {
            What::Invite | What::Reliable(_) => sending.interval * 2,
            What::Request(..) | What::Success | What::Failure => (sending.interval * 2).min(T2),
        };
        let after = sending.interval.min(sending.until.since(hands.now));
        let bytes = sending.bytes.clone();
        let wake = Wake::Again(id);
        hands.effects.push(Effect::Wake {
            after,
            call: index,
            wake,
        });
        if again {
            self.send(index, bytes, hands);
        }
    }

    fn give_up(&mut self, index: usize, what: &What, hands: &mut Hands<'_>) {
        let call = &mut self.calls[index];
        match what {
            What::Invite => {
                if let Some(invite) = &mut call.invite {
                    invite.done = true;
                }
                if call.state == State::Setup {
                    call.outcome = Some((408, "Nothing Came".to_owned()));
                    call.state = State::Over;
                }
            }
            // RFC 3261 §13.3.1.4
            What::Success => self.act(index, &Act::Bye, hands),
            What::Request(..) | What::Failure | What::Reliable(_) => {}
        }
    }

    /// Sends, and again until [`Agent::stop`].
    fn send_until_answered(
        &mut self,
        index: usize,
        what: What,
        bytes: Bytes,
        hands: &mut Hands<'_>,
    ) {
        let call = &mut self.calls[index];
        let id = call.next_sending;
        call.next_sending += 1;
        call.sending.push(Sending {
            id,
            what,
            bytes: bytes.clone(),
            interval: T1,
            until: hands.now + T1 * 64,
        });
        let wake = Wake::Again(id);
        hands.effects.push(Effect::Wake {
            after: T1,
            call: index,
            wake,
        });
        self.send(index, bytes, hands);
    }

    fn stop(&mut self, index: usize, what: &What) {
        self.calls[index]
            .sending
            .retain(|sending| sending.what != *what);
    }

    /// A request goes to its first Route, or to its target; a response goes back to the gateway.
    fn send(&mut self, index: usize, bytes: Bytes, hands: &mut Hands<'_>) {
        let call = &self.calls[index];
        let is_response = bytes.starts_with(b"SIP/2.0 ");
        let first_hop = call.routes.first().map_or(&call.target, |route| route);
        let to = match is_response {
            true => self.gateway,
            false => address_in(first_hop).unwrap_or(self.gateway),
        };
        // Its own proxy passes on to where the gateway is.
        let to = if to == self.address { self.gateway } else { to };
        hands.effects.push(Effect::Send { to, bytes });
    }

    fn plan_steps(&mut self, index: usize, when: plan::When, hands: &mut Hands<'_>) {
        for (_, after, act) in self.calls[index]
            .plan
            .steps
            .iter()
            .filter(|(then, ..)| *then == when)
        {
            let wake = Wake::Act(act.clone());
            hands.effects.push(Effect::Wake {
                after: *after,
                call: index,
                wake,
            });
        }
    }

    fn add_call(&mut self, call: Call) -> usize {
        let index = self.calls.len();
        self.by_id.insert(call.id.clone(), index);
        self.calls.push(call);
        index
    }

    fn mint(&mut self, kind: &str, rng: &mut Rng) -> String {
        self.minted += 1;
        format!(
            "{kind}{}-{}-{:08x}",
            self.mark,
            self.minted,
            rng.next() as u32
        )
    }

    fn branch(&mut self, rng: &mut Rng) -> String {
        self.mint("z9hG4bK", rng)
    }

    fn via(&self, branch: &str) -> String {
        let transport = self.transport.via_token();
        format!("SIP/2.0/{transport} {};branch={branch};rport", self.address)
    }

    fn contact(&self) -> String {
        let parameter = match self.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        let address = self.address.to_string();
        let address = self.contact.as_ref().unwrap_or(&address);
        format!("<sip:{}@{address}{parameter}>", self.mark)
    }

    fn record_route(&self, plan: &Plan) -> String {
        let one = format!("<sip:{}-proxy@{};lr>", self.mark, self.address);
        vec![one; plan.proxies].join(", ")
    }
}

/// The address that a URI of the gateway says.
fn address_in(uri: &str) -> Option<SocketAddr> {
    let host = uri.trim_matches(['<', '>']).rsplit('@').next()?;
    let host = host.strip_prefix("sips:").unwrap_or(host);
    let host = host.strip_prefix("sip:").unwrap_or(host);
    host.split(';').next()?.trim_end_matches('>').parse().ok()
}
