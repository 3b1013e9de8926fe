//! One typed event per fact. An event makes the log line, the counter, the record.

mod log;
mod quality;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{NextHop, Transport};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::{Country, E164};

/// So much is told of the Call-ID of a refused call.
pub const CALL_ID_CHARS: usize = 128;

/// Which way a call goes; the words are the API's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From a customer's host to the PSTN.
    Termination,
    /// From the PSTN to a customer's host.
    Origination,
}

/// What is special about a call.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CallKind {
    /// Nothing.
    #[default]
    Ordinary,
    /// Somebody calls for help, or tests whether that works.
    Emergency,
    /// To a number that stands for somebody else (`IsProxyCall` in records).
    Proxy,
}

/// Why a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// Leg A hung up.
    CallerHungUp,
    /// Leg B hung up.
    CalledHungUp,
    /// Leg A gave up before an answer.
    Cancelled,
    /// No place took the call; the status that leg A was answered.
    Failed(u16),
    /// A 2xx of ours was never acknowledged.
    NoAck,
    /// No packet came from either side for too long.
    MediaTimeout,
    /// Nobody refreshed the session (RFC 4028).
    SessionExpired,
    /// A mid-call request showed that a leg is gone, or a leg broke the protocol.
    LegLost,
    /// A fault of ours.
    Internal,
    /// The node stopped.
    Shutdown,
}

/// Why a ping counts as unanswered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PingFailure {
    /// No final response came in time.
    Timeout,
    /// It could not be sent: no listener, no connection.
    NotSent,
    /// A response that says so: 408 or 503.
    Status(u16),
}

impl fmt::Display for PingFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer"),
            Self::NotSent => f.write_str("cannot be reached"),
            Self::Status(status) => write!(f, "answered {status}"),
        }
    }
}

pub use log::{Log, init};
pub use quality::{CallQuality, Drops, LegQuality, StreamQuality};

/// A connector's calls of this hour come near to a limit, or reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpendingAlert {
    /// Whose calls they are.
    pub connector: VoiceConnectorId,
    /// The calls to this country; `None` for all calls.
    pub country: Option<Country>,
    /// Calls of this hour.
    pub calls: u32,
    /// The limit.
    pub limit: u32,
    /// The limit is reached: calls are refused until the hour is over.
    pub is_reached: bool,
}

/// Something that happened in the data plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A customer's host sent OPTIONS to a connector's host name (TerminationHealth).
    OptionsReceived {
        /// The connector.
        connector: VoiceConnectorId,
        /// Who sent it.
        source: SocketAddr,
    },
    /// An INVITE was refused before it became a call.
    CallRefused {
        /// Who sent it.
        source: SocketAddr,
        /// It is a customer or a carrier that was refused, not a stranger.
        is_known: bool,
        /// The beginning of its Call-ID: anybody may have made it, of any length.
        call_id: String,
        /// SIP status.
        status: u16,
        /// Reason phrase.
        reason: String,
        /// What it was warned of.
        warning: Option<Cow<'static, str>>,
    },
    /// A source is not listened to for a while.
    SourceBanned {
        /// Who.
        source: IpAddr,
        /// For how long.
        length: Duration,
    },
    /// A source that was banned was heard of again after that.
    SourceReleased {
        /// Who.
        source: IpAddr,
    },
    /// A source is refused by a connector for a while, for it does not know a password.
    PasswordGuessed {
        /// Which connector's.
        connector: VoiceConnectorId,
        /// Who.
        source: IpAddr,
        /// For how long.
        length: Duration,
    },
    /// A connector's calls of an hour are many; told once an hour for each limit.
    Spending(SpendingAlert),
    /// A shard is behind and refuses new calls, or has caught up.
    Overload {
        /// Which.
        shard: u8,
        /// Whether it began.
        began: bool,
    },
    /// A call needs to know where a host name is that was not located yet (RFC 3263).
    LocationWanted {
        /// Lower case.
        name: Box<str>,
        /// The port that was said with it.
        port: Option<u16>,
        /// The transport that was said with it.
        transport: Option<Transport>,
    },
    /// A participant of a proxy session has reached for the other one.
    ProxySessionUsed {
        /// Whose session it is.
        connector: VoiceConnectorId,
        /// `ProxySessionId`
        session: Arc<str>,
    },
    /// A MESSAGE from one participant of a proxy session to the other was answered, whatever became of it.
    MessageRelayed {
        /// Which.
        facts: Box<MessageFacts>,
        /// What the sender was told.
        status: u16,
        /// From its coming to its answer.
        waited: Duration,
    },
    /// A ping of a next hop was answered, or was not.
    Pinged {
        /// Who was asked.
        hop: NextHop,
        /// The status of its answer, or what came instead.
        outcome: Result<u16, PingFailure>,
        /// From sending to answer or failure.
        waited: Duration,
    },
    /// Pings have found that a next hop is down, or up again.
    HealthChanged {
        /// Which.
        hop: NextHop,
        /// Who is there, as the routes have it.
        uri: Arc<str>,
        /// What it is now.
        is_down: bool,
        /// The last of the pings that told.
        outcome: Result<u16, PingFailure>,
    },
    /// A call began.
    CallStarted(Box<CallFacts>),
    /// A call was answered.
    CallAnswered(Box<CallFacts>),
    /// One side of a call was replaced on its own request, or could not be.
    CallTransferred {
        /// The call to whom it was replaced by, under the Call-ID of the call that it became part of.
        facts: Box<CallFacts>,
        /// What the side was told: 200, or why not.
        status: u16,
    },
    /// A call is over.
    CallEnded {
        /// Which call.
        facts: Box<CallFacts>,
        /// Why.
        cause: EndCause,
        /// With [`EndCause::Failed`]: the reason phrase that leg A was answered.
        reason: Option<Box<str>>,
        /// From answer to end; `None` where it was never answered.
        talked: Option<Duration>,
        /// What became of its media.
        quality: Box<CallQuality>,
    },
    /// How the media of an answered call has been so far; told once a minute.
    CallQuality {
        /// Which call.
        facts: Box<CallFacts>,
        /// Its media.
        quality: Box<CallQuality>,
    },
}

/// Which answered calls somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallsWanted {
    /// Calls of these connectors.
    pub connectors: HashSet<VoiceConnectorId>,
    /// So many of each shard at most.
    pub max: usize,
}

/// An answered call while it is up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveCall {
    /// Which.
    pub facts: CallFacts,
    /// Since its answer.
    pub talking: Duration,
    /// Its media so far.
    pub quality: CallQuality,
}

/// What identifies a relayed MESSAGE in logs and records. What it says is in none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageFacts {
    /// Call-ID on the sender's side.
    pub call_id: String,
    /// Whose session it is.
    pub connector: VoiceConnectorId,
    /// `ProxySessionId`
    pub session: Arc<str>,
    /// The number that stands for the sender.
    pub caller: E164,
    /// The receiver's own number.
    pub called: E164,
}

/// What identifies a call in logs and records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallFacts {
    /// Call-ID of leg A.
    pub call_id: String,
    /// Termination or origination.
    pub direction: Direction,
    /// What is special about it.
    pub kind: CallKind,
    /// Whose call.
    pub connector: VoiceConnectorId,
    /// User part of the caller.
    pub caller: String,
    /// User part of the called.
    pub called: String,
}
