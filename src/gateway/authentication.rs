//! Who calls: digest authentication of a customer's requests.

mod back_off;

use std::net::IpAddr;

use super::limiter::Urgency;
use super::termination::Context;
use super::{Cause, Refusal};
use crate::shard::guard::Network;
use crate::shard::io::Output;
use crate::shard::snapshot::{Credential, VoiceConnector};
use crate::sip::digest::{self, Algorithm, Credentials, CredentialsError, NonceVerdict};
use crate::sip::message::{HeaderName, Request};
use crate::sip::uri::Uri;
use crate::telemetry::Event;

pub use back_off::{BackOff, BackOffs};

/// Whom a peer takes us for that asks who it is (RFC 3261 §22.2, §22.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    AsProxy,
    /// A registrar answers 401 (§22.2).
    AsServer,
}

/// Digest authentication (RFC 3261 §22.3, RFC 7616, RFC 8760) where the connector has credentials:
/// the user name, or `None` where nobody has to say who they are.
pub(super) fn authenticate(
    connector: &VoiceConnector,
    request: &Request,
    (asked, source): (Asked, IpAddr),
    urgency: Urgency,
    context: &mut Context<'_>,
) -> Result<Option<String>, Refusal> {
    if connector.credentials.is_empty() {
        return Ok(None);
    }
    // Even with the right answer: whoever guesses is not to learn when it was right. Help is not kept from everybody at
    // an address for what one of them has tried.
    let left = match urgency {
        Urgency::Routine => context.back_offs.left(connector.id, source, context.now),
        Urgency::Emergency => None,
    };
    if let Some(left) = left {
        let seconds = u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX);
        return Err(Refusal::from(Cause::CredentialsGuessed).for_seconds(seconds));
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
                return Err(Cause::CredentialsMalformed.into());
            }
        }
    }
    let Some(answer) = answer else {
        return Err(challenge(realm, false, (asked, source), context));
    };
    let (peer, nc) = (Network::of(source).bytes(), answer.nc());
    // What was not given to this source says nothing about it: neither is its answer looked at, nor does it count.
    match context.nonces.check(&answer.nonce, nc, context.now, peer) {
        NonceVerdict::Unknown => return Err(challenge(realm, true, (asked, source), context)),
        NonceVerdict::Fresh | NonceVerdict::Stale | NonceVerdict::Replayed => {}
    }
    let credential = connector
        .credentials
        .iter()
        .find(|credential| *credential.username == *answer.username);
    let is_right = credential.is_some_and(|credential| {
        let ha1 = ha1_for(credential, answer.algorithm);
        digest::verify(&answer, ha1, request.method_token())
    });
    if !is_right {
        return Err(wrong_answer(connector, source, context));
    }
    context.back_offs.right(connector.id, source);
    if !is_for_this_request(&answer.uri, request) {
        return Err(Cause::CredentialsElsewhere.into());
    }
    match context.nonces.use_up(&answer.nonce, nc, context.now, peer) {
        NonceVerdict::Fresh => {}
        // The right password with a nonce that does not hold any more: once again.
        NonceVerdict::Stale | NonceVerdict::Unknown | NonceVerdict::Replayed => {
            return Err(challenge(realm, true, (asked, source), context));
        }
    }
    Ok(Some(answer.username.to_string()))
}

/// An unknown user is as a wrong password. The refusal is remembered, for a request that comes again is not another
/// try.
fn wrong_answer(connector: &VoiceConnector, source: IpAddr, context: &mut Context<'_>) -> Refusal {
    let begun = context.back_offs.wrong(connector.id, source, context.now);
    if let Some(back_off) = begun {
        context.outputs.push_back(Output::BackOff(back_off));
        let event = Event::PasswordGuessed {
            connector: connector.id,
            source,
            length: back_off.length,
        };
        context.outputs.push_back(Output::Event(event));
    }
    Refusal::from(Cause::CredentialsWrong).remembered()
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
fn challenge(
    realm: &str,
    stale: bool,
    (asked, source): (Asked, IpAddr),
    context: &mut Context<'_>,
) -> Refusal {
    let peer = Network::of(source).bytes();
    let random = context.random.next_u64();
    let nonce = context.nonces.mint(context.now, random, peer);
    let challenges = [Algorithm::Md5, Algorithm::Sha256]
        .map(|algorithm| digest::challenge(realm, &nonce, algorithm, stale));
    Refusal {
        challenges: challenges.into(),
        ..match asked {
            Asked::AsProxy => Cause::CredentialsWanted.into(),
            Asked::AsServer => Refusal::new(401, "Unauthorized"),
        }
    }
}
