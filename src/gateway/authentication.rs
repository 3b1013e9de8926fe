//! Who calls: digest authentication of a customer's requests.

use super::termination::Context;
use super::{Cause, Refusal};
use crate::shard::snapshot::{Credential, VoiceConnector};
use crate::sip::digest::{self, Algorithm, Credentials, CredentialsError, NonceVerdict};
use crate::sip::message::{HeaderName, Request};
use crate::sip::uri::Uri;

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
                return Err(Cause::CredentialsMalformed.into());
            }
        }
    }
    let Some(answer) = answer else {
        return Err(challenge(realm, false, asked, context));
    };
    let wrong = || Refusal::from(Cause::CredentialsWrong);
    let credential = connector
        .credentials
        .iter()
        .find(|credential| *credential.username == *answer.username);
    let ha1 = ha1_for(credential.ok_or_else(wrong)?, answer.algorithm);
    if !digest::verify(&answer, ha1, request.method_token()) {
        return Err(wrong());
    }
    if !is_for_this_request(&answer.uri, request) {
        return Err(Cause::CredentialsElsewhere.into());
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
            Asked::AsProxy => Cause::CredentialsWanted.into(),
            Asked::AsServer => Refusal::new(401, "Unauthorized"),
        }
    }
}
