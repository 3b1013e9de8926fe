//! `trunkline route`: what would happen to a call, and why, from the config and the store of a node.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Mutex, Notify, mpsc};

use super::publish::{Control, RouteNames};
use super::random_bytes;
use super::resolver::{self, Changes, Dns, Routes};
use super::serve::spoken;
use crate::api::declared::{self, DeclaredErrors};
use crate::config::{Carrier, Config, OwnPlaces, Transport};
use crate::connector_id::VoiceConnectorId;
use crate::gateway::explain::{Explanation, explain};
use crate::gateway::headers::user_for;
use crate::gateway::routing::Candidate;
use crate::gateway::{Admission, Party};
use crate::instant::Instant;
use crate::shard::io::Flow;
use crate::shard::random::Random;
use crate::shard::snapshot::Snapshot;
use crate::sip::locate::Destination;
use crate::sip::message::{Message, Request};
use crate::sip::uri::Uri;
use crate::store::{OpenError, Resource, Store};

/// How long host names are waited for.
const LOCATE_MAX: Duration = Duration::from_secs(5);
/// Declared resources that the store does not have yet, of which the answer says so one by one.
const UNREAD_SHOWN: usize = 10;

/// A call that nobody makes.
#[derive(clap::Args, Debug)]
pub struct Question {
    /// The number that is called, as it would be dialled: +12065550100, 911.
    number: String,
    /// Through this voice connector: a call of its customer to the PSTN.
    #[arg(long, value_name = "VOICE_CONNECTOR_ID", value_parser = connector, conflicts_with = "carrier")]
    connector: Option<VoiceConnectorId>,
    /// From this carrier, by its name in the config: a call from the PSTN.
    #[arg(long, value_name = "NAME")]
    carrier: Option<String>,
    /// The number that calls; default: anonymous.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// The address that it comes from; default: the first that the connector or the carrier allows.
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// How it comes: udp, tcp or tls.
    #[arg(long, default_value = "udp", value_parser = transport)]
    transport: Transport,
    /// A header field of its INVITE, as in "P-Asserted-Identity: <sip:+12065550100@pbx.example>".
    #[arg(long = "header", value_name = "FIELD", value_parser = header_field)]
    headers: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum RouteError {
    /// The system does not let us.
    System(std::io::Error),
    /// The store cannot be read.
    Store(OpenError),
    /// What files declare is wrong.
    Declared(DeclaredErrors),
    /// There are no name servers to be asked.
    Dns(String),
    /// No connector has this id.
    UnknownConnector(VoiceConnectorId),
    /// No carrier of the config has this name.
    UnknownCarrier(String),
    /// Nothing says where the call comes from.
    NoSource,
    /// What would be sent is no INVITE that can be read.
    Malformed,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "{error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::Declared(errors) => write!(f, "{errors}"),
            Self::Dns(error) => write!(f, "{error}"),
            Self::UnknownConnector(id) => write!(
                f,
                "--connector {id}: the store has no such voice connector; `trunkline export` lists an account's"
            ),
            Self::UnknownCarrier(name) => {
                write!(
                    f,
                    "--carrier {name}: the config has no [[carrier]] of that name"
                )
            }
            Self::NoSource => write!(
                f,
                "nothing says where the call comes from: give --connector ID, --carrier NAME or --source ADDRESS"
            ),
            Self::Malformed => write!(
                f,
                "the number, --from or a --header makes no INVITE that can be read; a number is written as +12065550100 or 911"
            ),
        }
    }
}

impl std::error::Error for RouteError {}

/// Answers the question in some lines of text.
///
/// # Errors
///
/// Where the question is about nothing that is there, or nothing can be looked at.
pub fn route(config: Config, question: &Question) -> Result<String, RouteError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(RouteError::System)?
        .block_on(answer(config, question))
}

async fn answer(config: Config, question: &Question) -> Result<String, RouteError> {
    let store = Store::look(config.store.url.reveal());
    let control = Control::of(
        store.await.map_err(RouteError::Store)?,
        &config.sip.domain,
        config.carriers.clone(),
        config.sip.tls.customers(),
        config.termination.clone(),
    );
    let control = control.await.map_err(RouteError::Store)?;
    control.set_own_hosts(&config).await;
    let unread = suppose_declared(&control, &config).await;
    let unread = unread.map_err(RouteError::Declared)?;
    let call = question.call(&control.snapshot(), &config)?;
    let request = call.request(&config).ok_or(RouteError::Malformed)?;
    let uri = Uri::parse(request.uri()).map_err(|_| RouteError::Malformed)?;
    locate_names(&control, &config).await?;
    let snapshot = control.snapshot();
    let explanation = explain(
        &request,
        &uri,
        &call.flow(),
        &snapshot,
        &mut Random::new(random_bytes()),
        Instant::ORIGIN,
    );
    control.store().close().await;
    Ok(told(&call, &explanation, snapshot.carriers(), &unread))
}

/// Takes what files declare into the snapshot, as the node will at its next start or reload, and says what of it the store
/// does not have yet. Nothing is written: the store is only looked at.
async fn suppose_declared(
    control: &Control,
    config: &Config,
) -> Result<Vec<Resource>, DeclaredErrors> {
    if config.declared.files.is_empty() {
        return Ok(Vec::new());
    }
    let read = declared::read(&config.declared.files, &OwnPlaces::of(&config.sip))?;
    let (_, done) = declared::put(control, read, Timestamp::now()).await?;
    Ok(done.into_keys().collect())
}

fn connector(text: &str) -> Result<VoiceConnectorId, String> {
    let expected =
        |_| "22 characters of 0-9 and a-z, as CreateVoiceConnector answers them".to_owned();
    text.parse().map_err(expected)
}

fn transport(text: &str) -> Result<Transport, String> {
    let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let is_meant = |transport: &Transport| transport.uri_token() == text;
    let expected = || "one of udp, tcp, tls".to_owned();
    all.into_iter().find(is_meant).ok_or_else(expected)
}

/// One field, in one line: a second line would be another field, an empty one the end of the header.
fn header_field(text: &str) -> Result<String, String> {
    let is_name = |name: &str| {
        let is_of_name = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        !name.is_empty() && name.bytes().all(is_of_name)
    };
    let field = text.trim();
    let name = field.split_once(':').map(|(name, _)| name.trim_end());
    match name.is_some_and(is_name) && !field.contains(char::is_control) {
        true => Ok(field.to_owned()),
        false => Err("a field is written as \"Name: value\", in one line".to_owned()),
    }
}

/// The call that a question is about.
struct Call<'a> {
    question: &'a Question,
    /// Host of the Request-URI.
    host: String,
    source: IpAddr,
}

impl Question {
    fn call(&self, snapshot: &Snapshot, config: &Config) -> Result<Call<'_>, RouteError> {
        let (host, first) = match (self.connector, &self.carrier) {
            (Some(id), _) => {
                let connector = snapshot.connectors.get(&id);
                let connector = connector.ok_or(RouteError::UnknownConnector(id))?;
                let networks = connector
                    .termination
                    .iter()
                    .flat_map(|all| &all.cidr_allowed_list);
                let host = connector.outbound_host_name.to_string();
                // Without a network the connector refuses everybody: let it say so.
                let first = networks.map(|network| network.ip()).next();
                (host, Some(first.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))))
            }
            (None, Some(name)) => {
                let carrier = snapshot.carriers().iter().find(|one| one.name == *name);
                let carrier = carrier.ok_or_else(|| RouteError::UnknownCarrier(name.clone()))?;
                let first = carrier.sources.first().map(|network| network.ip());
                (config.sip.domain.clone(), first)
            }
            (None, None) => (config.sip.domain.clone(), None),
        };
        Ok(Call {
            question: self,
            host,
            source: self.source.or(first).ok_or(RouteError::NoSource)?,
        })
    }
}

impl Call<'_> {
    fn flow(&self) -> Flow {
        Flow {
            transport: self.question.transport,
            listener: 0,
            remote: SocketAddr::new(self.source, self.question.transport.default_port()),
            connection: None,
            tls: None,
            carrier: None,
        }
    }

    /// The INVITE; `None` where it cannot be read.
    fn request(&self, config: &Config) -> Option<Request> {
        let (number, host) = (self.question.number.as_str(), &self.host);
        let from = self.question.from.as_deref().unwrap_or("anonymous");
        if [number, from]
            .into_iter()
            .any(|text| text.contains(char::is_whitespace))
        {
            return None;
        }
        let via = self.question.transport.via_token();
        let mut text = format!(
            "INVITE sip:{number}@{host} SIP/2.0\r\n\
             Via: SIP/2.0/{via} {host};branch=z9hG4bKroute\r\n\
             From: <sip:{from}@{host}>;tag=1\r\n\
             To: <sip:{number}@{host}>\r\n\
             Call-ID: route\r\n\
             CSeq: 1 INVITE\r\n\
             Contact: <sip:{host}>\r\n\
             Max-Forwards: 70\r\n"
        );
        for field in &self.question.headers {
            text.push_str(field);
            text.push_str("\r\n");
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        match Message::parse(Bytes::from(text), &config.limits) {
            Ok(Message::Request(request)) => Some(request),
            Ok(Message::Response(_)) | Err(_) => None,
        }
    }
}

/// The names of routes, until each was asked for.
struct Awaited {
    names: RouteNames,
    missing: Arc<Mutex<Vec<Destination>>>,
    is_done: Arc<Notify>,
}

impl Routes for Awaited {
    fn destinations(&self) -> Vec<Destination> {
        self.names.destinations()
    }

    async fn publish(&self, changes: Changes) {
        let mut missing = self.missing.lock().await;
        missing.retain(|destination| {
            let is_it = |(name, _): &(Arc<str>, _)| *name == destination.name;
            !changes.iter().any(is_it)
        });
        self.names.publish(changes).await;
        if missing.is_empty() {
            self.is_done.notify_one();
        }
    }
}

/// Asks the name servers for all names of routes, as far as they answer in time.
async fn locate_names(control: &Arc<Control>, config: &Config) -> Result<(), RouteError> {
    let names = RouteNames(Arc::clone(control));
    let missing = names.destinations();
    if missing.is_empty() {
        return Ok(());
    }
    let is_done = Arc::new(Notify::new());
    let awaited = Awaited {
        names,
        missing: Arc::new(Mutex::new(missing)),
        is_done: Arc::clone(&is_done),
    };
    let dns = Dns::new(&config.dns).map_err(RouteError::Dns)?;
    let (_wanted, none) = mpsc::channel(1);
    let limits = (spoken(config), config.dns.stale);
    let located = async {
        tokio::select! {
            () = resolver::run(awaited, dns, limits, Arc::new(Notify::new()), none) => {}
            () = is_done.notified() => {}
        }
    };
    // A name that nobody tells of in time is nowhere, as it is for calls.
    let _late = tokio::time::timeout(LOCATE_MAX, located).await;
    Ok(())
}

/// The answer as people read it.
fn told(
    call: &Call<'_>,
    explanation: &Explanation,
    carriers: &[Carrier],
    unread: &[Resource],
) -> String {
    let mut text = String::new();
    let Explanation { steps, outcome } = explanation;
    let question = call.question;
    let from = question.from.as_deref().unwrap_or("anonymous");
    let (number, source, transport) = (&question.number, call.source, question.transport);
    let mut line = |line: fmt::Arguments<'_>| {
        // A String takes everything.
        let _never = writeln!(text, "{line}");
    };
    line(format_args!(
        "{from} calls {number}: INVITE sip:{number}@{} from {source} over {transport}",
        call.host
    ));
    for resource in unread.iter().take(UNREAD_SHOWN) {
        line(format_args!(
            "  as its file declares it, which the node has not read yet: {resource}"
        ));
    }
    if let Some(more) = unread
        .len()
        .checked_sub(UNREAD_SHOWN)
        .filter(|more| *more > 0)
    {
        line(format_args!("  and {more} more"));
    }
    for step in steps {
        line(format_args!("  {:<20}{}", step.check, step.found));
    }
    match outcome {
        Err(refusal) => line(format_args!(
            "It is refused: {} {}",
            refusal.status, refusal.reason
        )),
        Ok(admission) => {
            let Admission { caller, called, .. } = admission;
            line(format_args!(
                "It is sent as a call from {caller} to {called}, one place after the other:"
            ));
            for (index, candidate) in admission.candidates.iter().enumerate() {
                line(format_args!(
                    "  {:<4}{}",
                    index + 1,
                    place(candidate, called, carriers)
                ));
            }
            line(format_args!(
                "Routes of one priority are drawn by weight for each call. A running node also looks at calls per second, \
                 calls at once, calls of this hour and the health of hosts."
            ));
        }
    }
    text
}

fn place(candidate: &Candidate, called: &str, carriers: &[Carrier]) -> String {
    let policy = candidate.policy.as_ref();
    let is_its = |carrier: &&Carrier| policy.is_some_and(|own| Arc::ptr_eq(own, &carrier.policy));
    let whose = match candidate.party {
        Party::Customer(id) => format!("voice connector {id}"),
        Party::Carrier => match carriers.iter().find(is_its) {
            Some(carrier) => format!("carrier {}", carrier.name),
            None => "a carrier".to_owned(),
        },
    };
    let (transport, address) = (candidate.transport, candidate.address);
    let host = candidate.target.host.to_string();
    let place = match host == address.ip().to_string() {
        true => format!("{transport} {address}, {whose}"),
        false => format!("{transport} {host} at {address}, {whose}"),
    };
    let written = user_for(called, policy.map(|policy| &**policy));
    match written == called {
        true => place,
        false => format!("{place}, as {written}"),
    }
}
