//! Credentials for a carrier that asks who calls (RFC 3261 §22, RFC 7616, RFC 8760).

use super::{Call, Leg, Side};
use crate::config::{CarrierCredentials, CarrierPolicy};
use crate::shard::core::Core;
use crate::sip::digest::{self, Account, Algorithm, Challenge};
use crate::sip::message::{HeaderName, Method, Response};
use crate::sip::writer::Writer;

/// Challenges that one request is sent again for: the first, and one that says that its nonce is stale.
const CHALLENGES_MAX: u8 = 2;

/// A challenge that a leg's requests answer from now on.
pub(in crate::gateway) struct Authorization {
    challenge: Challenge<'static>,
    /// The header field that answers: that of a proxy, or of a server.
    field: HeaderName,
    ha1: String,
    /// How often the nonce was used.
    count: u32,
    /// Challenges since the last request that was not challenged.
    challenges: u8,
    /// The value in the last INVITE: its ACK has the same (RFC 3261 §22.1).
    in_invite: Option<String>,
}

impl Authorization {
    /// Takes a challenge after the one `before`; `None` where there are no credentials for it, or where it says that
    /// they are wrong.
    pub(in crate::gateway) fn after(
        before: Option<&Self>,
        policy: Option<&CarrierPolicy>,
        response: &Response,
    ) -> Option<Self> {
        let credentials = policy?.credentials.as_ref()?;
        let (asks, answers) = match response.status {
            401 => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
            _ => (
                HeaderName::ProxyAuthenticate,
                HeaderName::ProxyAuthorization,
            ),
        };
        let challenge = best_challenge(response, asks)?;
        let before = before.map_or(0, |before| before.challenges);
        if before == CHALLENGES_MAX || (before > 0 && !challenge.stale) {
            return None;
        }
        let ha1 = digest::ha1(
            challenge.algorithm,
            &credentials.username,
            &challenge.realm,
            &credentials.password.0,
        );
        Some(Self {
            challenge,
            field: answers,
            ha1,
            count: 0,
            challenges: before + 1,
            in_invite: None,
        })
    }

    /// Adds credentials to a request with this Request-URI; returns their value.
    pub(in crate::gateway) fn write(
        &mut self,
        credentials: &CarrierCredentials,
        writer: &mut Writer<'_>,
        (method, uri): (Method, &str),
        cnonce: u64,
    ) -> String {
        self.count += 1;
        let account = Account {
            username: &credentials.username,
            ha1: &self.ha1,
        };
        let value = digest::answer(
            &self.challenge,
            account,
            method.as_str(),
            uri,
            &format!("{cnonce:016x}"),
            self.count,
        );
        writer.field(self.field, &[&value]);
        value
    }
}

impl Leg {
    /// Takes a challenge; false where there are no credentials for it, or where it says that they are wrong.
    pub(super) fn take_challenge(&mut self, response: &Response) -> bool {
        let before = self.authorization.as_ref();
        let taken = Authorization::after(before, self.policy.as_deref(), response);
        let is_taken = taken.is_some();
        self.authorization = taken.or_else(|| self.authorization.take());
        is_taken
    }

    /// The peer took a request of ours: what it says next is a new challenge.
    pub(super) fn end_challenges(&mut self) {
        if let Some(authorization) = &mut self.authorization {
            authorization.challenges = 0;
        }
    }

    /// Adds credentials to a request of ours, where the peer has asked for some.
    pub(super) fn write_credentials(
        &mut self,
        core: &mut Core,
        writer: &mut Writer<'_>,
        method: Method,
    ) {
        let policy = self.policy.as_ref();
        let credentials = policy.and_then(|policy| policy.credentials.as_ref());
        let (Some(credentials), Some(authorization)) = (credentials, &mut self.authorization)
        else {
            return;
        };
        if method == Method::Ack {
            if let Some(value) = &authorization.in_invite {
                writer.field(authorization.field, &[value]);
            }
            return;
        }
        let request = (method, &*self.dialog.remote_target);
        let value = authorization.write(credentials, writer, request, core.random.next_u64());
        if method == Method::Invite {
            authorization.in_invite = Some(value);
        }
    }
}

/// The challenge with the best algorithm that we know (RFC 8760 §2.4 leaves the choice to the client).
fn best_challenge(response: &Response, name: HeaderName) -> Option<Challenge<'static>> {
    let rank = |challenge: &Challenge<'_>| match challenge.algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Md5 => 0,
    };
    let known = response
        .headers(name)
        .filter_map(|value| Challenge::parse(value).ok());
    // Of equals the first.
    let best = known.reduce(|best, next| match rank(&next) > rank(&best) {
        true => next,
        false => best,
    });
    best.map(Challenge::into_owned)
}

impl Call {
    /// A request of ours within the dialog was challenged: whether it may be sent again with credentials.
    pub(super) fn may_authenticate(&mut self, side: Side, response: &Response) -> bool {
        let leg = self.leg_mut(side);
        matches!(response.status, 401 | 407) && leg.is_some_and(|leg| leg.take_challenge(response))
    }
}
