//! Calls from a customer's hosts to the PSTN: the checks, in their order.

use std::sync::Arc;

use super::limiter::CallLimiter;
use super::routing::carrier_candidates;
use super::{Admission, Refusal};
use crate::config::Transport;
use crate::instant::Instant;
use crate::numbering::E164;
use crate::shard::io::Flow;
use crate::shard::random::Random;
use crate::shard::snapshot::{Credential, Snapshot, Termination, VoiceConnector};
use crate::sip::digest::{self, Algorithm, Credentials, CredentialsError, NonceVerdict, Nonces};
use crate::sip::message::{HeaderName, Request};
use crate::sip::uri::{Uri, unescape};
use crate::telemetry::Direction;

/// What the checks need besides the request.
pub struct Context<'a> {
    /// Routing data.
    pub snapshot: &'a Snapshot,
    /// Nonces of this shard.
    pub nonces: &'a mut Nonces,
    /// Randomness of this shard.
    pub random: &'a mut Random,
    /// Counts calls.
    pub limiter: &'a dyn CallLimiter,
    /// Now.
    pub now: Instant,
}

/// Decides over an INVITE for this connector. Each refusal has its own reason phrase.
pub fn admit(
    connector: &Arc<VoiceConnector>,
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    let termination = open_to(connector, flow)?;
    let authenticated_as = authenticate(connector, request, Asked::AsProxy, context)?;
    admit_known(connector, termination, request, uri, context)
        .map(|admission| Admission {
            authenticated_as,
            ..admission
        })
        .map_err(Refusal::remembered)
}

/// Decides over a REGISTER: whoever may call may also say so.
pub fn admit_registration(
    connector: &VoiceConnector,
    request: &Request,
    flow: &Flow,
    context: &mut Context<'_>,
) -> Result<(), Refusal> {
    open_to(connector, flow)?;
    authenticate(connector, request, Asked::AsServer, context).map(|_| ())
}

/// The connector's termination, where it is open to somebody at this address.
fn open_to<'a>(connector: &'a VoiceConnector, flow: &Flow) -> Result<&'a Termination, Refusal> {
    let termination = connector.termination.as_ref();
    let termination =
        termination.ok_or_else(|| Refusal::new(404, "Voice Connector Has No Termination"))?;
    if termination.disabled {
        return Err(Refusal::new(403, "Termination Disabled"));
    }
    if connector.require_encryption && flow.transport != Transport::Tls {
        return Err(Refusal::new(403, "Encryption Required"));
    }
    if !connector.allows_source(flow.remote.ip().to_canonical()) {
        return Err(Refusal::new(403, "Source Address Not Allowed"));
    }
    Ok(termination)
}

/// The checks on a caller that is who it should be.
fn admit_known(
    connector: &Arc<VoiceConnector>,
    termination: &Termination,
    request: &Request,
    uri: &Uri<'_>,
    context: &mut Context<'_>,
) -> Result<Admission, Refusal> {
    if !context
        .limiter
        .admit(connector.id, termination.cps_limit, context.now)
    {
        return Err(Refusal::unavailable("Calls Per Second Limit Reached", 1));
    }
    let destination = dialled_number(uri)
        .ok_or_else(|| Refusal::new(484, "Destination Is Not An E.164 Number"))?;
    let caller = caller_id(connector, termination, request, context.snapshot)?;
    let candidates = carrier_candidates(
        context.snapshot.carriers(),
        destination,
        context.snapshot,
        context.random,
    );
    if candidates.is_empty() {
        return Err(Refusal::unavailable("No Carrier For This Destination", 60));
    }
    Ok(Admission {
        direction: Direction::Termination,
        connector: connector.clone(),
        caller: caller.to_string(),
        called: destination.to_string(),
        candidates,
        policy: None,
        authenticated_as: None,
    })
}

/// The number dialled: with its `+`, for without one nobody knows whether `2025550123` is in Washington
/// or in Cairo, and `911` anywhere at all.
fn dialled_number(uri: &Uri<'_>) -> Option<E164> {
    let has_plus = unescape(uri.user?)?.starts_with('+');
    number_in(uri).filter(|_| has_plus)
}

/// The E.164 number that a URI's user part is; visual separators (RFC 3966 §5.1.1) do not count.
pub fn number_in(uri: &Uri<'_>) -> Option<E164> {
    let user = unescape(uri.user?)?;
    // Parameters of a telephone-subscriber (RFC 3261 §19.1.6) follow the first semicolon.
    let number = user.split(';').next().unwrap_or_default();
    let digits: String = number
        .chars()
        .filter(|letter| !matches!(letter, '-' | '.' | '(' | ')'))
        .collect();
    digits.parse().ok()
}

/// The caller ID: From's number where the connector owns it, else its default, else a refusal in the
/// words of the hosted service.
fn caller_id(
    connector: &VoiceConnector,
    termination: &Termination,
    request: &Request,
    snapshot: &Snapshot,
) -> Result<E164, Refusal> {
    let from = request
        .from()
        .ok()
        .and_then(|from| Uri::parse(from.uri).ok());
    let claimed = from.as_ref().and_then(number_in);
    let owned = claimed.filter(|number| snapshot.numbers.get(number) == Some(&connector.id));
    owned
        .or(termination.default_phone_number)
        .ok_or_else(|| match claimed {
            Some(number) => Refusal::new(403, format!("Caller Id {number} is not valid")),
            None => Refusal::new(403, "Caller Id is not valid"),
        })
}

/// Whom a peer takes us for that asks who it is (RFC 3261 §22.2, §22.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    AsProxy,
    /// A registrar answers 401 (§22.2).
    AsServer,
}

/// Digest authentication (RFC 3261 §22.3, RFC 7616, RFC 8760) where the connector has credentials:
/// the user name, or `None` where nobody has to say who they are.
fn authenticate(
    connector: &VoiceConnector,
    request: &Request,
    asked: Asked,
    context: &mut Context<'_>,
) -> Result<Option<String>, Refusal> {
    if connector.credentials.is_empty() {
        return Ok(None);
    }
    let realm = &*connector.outbound_host_name;
    let answers = request.headers(match asked {
        Asked::AsProxy => HeaderName::ProxyAuthorization,
        Asked::AsServer => HeaderName::Authorization,
    });
    let mut answer = None;
    for value in answers {
        match Credentials::parse(value) {
            Ok(credentials) if credentials.realm == realm => answer = Some(credentials),
            // Another realm or scheme: not for us (RFC 4475 §3.3.7).
            Ok(_) | Err(CredentialsError::OtherScheme | CredentialsError::Unsupported) => {}
            Err(CredentialsError::Malformed) => {
                return Err(Refusal::new(400, "Malformed Credentials"));
            }
        }
    }
    let Some(answer) = answer else {
        return Err(challenge(realm, false, asked, context));
    };
    let wrong = || Refusal::new(403, "Wrong Credentials");
    let credential = connector
        .credentials
        .iter()
        .find(|credential| *credential.username == *answer.username);
    let ha1 = ha1_for(credential.ok_or_else(wrong)?, answer.algorithm);
    if !digest::verify(&answer, ha1, request.method_token()) {
        return Err(wrong());
    }
    if !is_for_this_request(&answer.uri, request) {
        return Err(Refusal::new(403, "Credentials Are For Another Request"));
    }
    match context
        .nonces
        .use_up(&answer.nonce, answer.nc(), context.now)
    {
        NonceVerdict::Fresh => {}
        // The right password with a nonce that does not hold any more, or another shard's: once again.
        NonceVerdict::Stale | NonceVerdict::Unknown | NonceVerdict::Replayed => {
            return Err(challenge(realm, true, asked, context));
        }
    }
    Ok(Some(answer.username.to_string()))
}

/// Whether the digest URI names whom the request is for (RFC 7616 §3.4.6). Agents write its host and
/// parameters in their own ways, and some leave the user out.
fn is_for_this_request(digest_uri: &str, request: &Request) -> bool {
    let user = |text| Uri::parse(text).ok().and_then(|uri| uri.user);
    user(digest_uri).is_none_or(|named| user(request.uri()) == Some(named))
}

fn ha1_for(credential: &Credential, algorithm: Algorithm) -> &str {
    match algorithm {
        Algorithm::Md5 => &credential.ha1_md5,
        Algorithm::Sha256 => &credential.ha1_sha256,
    }
}

/// RFC 8760 §2.4 offers both. MD5 stands first: many agents in the field read the first challenge only,
/// and know nothing else.
fn challenge(realm: &str, stale: bool, asked: Asked, context: &mut Context<'_>) -> Refusal {
    let nonce = context.nonces.mint(context.now, context.random.next_u64());
    let challenges = [Algorithm::Md5, Algorithm::Sha256]
        .map(|algorithm| digest::challenge(realm, &nonce, algorithm, stale));
    Refusal {
        challenges: challenges.into(),
        ..match asked {
            Asked::AsProxy => Refusal::new(407, "Proxy Authentication Required"),
            Asked::AsServer => Refusal::new(401, "Unauthorized"),
        }
    }
}
