//! Digest authentication (RFC 7616 with the algorithms of RFC 8760; RFC 2617 for peers without qop).
//!
//! Both sides are here: reading and verifying credentials against a stored HA1, the server's [`Nonces`],
//! and the client's [`answer`] to a [`Challenge`]. All of it is pure.
//!
//! Left out on purpose: `auth-int` and the session algorithms, which SIP devices do not use, and a check
//! of the digest URI against the Request-URI, which border elements on the way rewrite.

mod nonces;

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

use md5::Md5;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::header::unquote;
use super::parse_token::{self as lexical, CREDENTIAL, Elements, quoted, separator, sws, token};

pub use nonces::{NonceVerdict, Nonces, Peer};

/// A digest algorithm that we offer and accept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// RFC 2617; the default where none is named.
    Md5,
    /// RFC 8760 §2.1
    Sha256,
}

impl Algorithm {
    /// The value of the `algorithm` parameter.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn from_token(token: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.token().eq_ignore_ascii_case(token))
    }

    /// The hash of the parts with colons between, in lower-case hex.
    fn hash(self, parts: &[&str]) -> String {
        match self {
            Self::Md5 => hash::<Md5>(parts),
            Self::Sha256 => hash::<Sha256>(parts),
        }
    }
}

fn hash<D: md5::Digest>(parts: &[&str]) -> String {
    let mut hasher = D::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hasher.update(b":");
        }
        hasher.update(part.as_bytes());
    }
    to_hex(&hasher.finalize())
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 0xf)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

/// H(A1) of RFC 7616 §3.4.2 in lower-case hex: what is stored in a password's place, and as secret.
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[username, realm, password])
}

/// Why a value of Authorization, Proxy-Authorization or their challenges cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialsError {
    /// Another scheme than Digest: as if there were no credentials (RFC 4475 §3.3.7).
    OtherScheme,
    /// An algorithm or a qop that we did not offer.
    Unsupported,
    /// The grammar is broken, or a parameter is missing, repeated or out of range. 400.
    Malformed,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherScheme => "not the Digest scheme",
            Self::Unsupported => "a digest algorithm or qop that was not offered",
            Self::Malformed => "malformed digest parameters",
        })
    }
}

impl std::error::Error for CredentialsError {}

/// The value of Authorization or Proxy-Authorization with the Digest scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who it claims to be.
    pub username: Cow<'a, str>,
    /// Where; the challenger compares it with its own.
    pub realm: Cow<'a, str>,
    /// The challenger's nonce.
    pub nonce: Cow<'a, str>,
    /// The digest URI.
    pub uri: Cow<'a, str>,
    /// The claimed hash, in hex.
    pub response: Cow<'a, str>,
    /// MD5 where none is named.
    pub algorithm: Algorithm,
    /// With qop=auth; `None` for a peer of RFC 2069.
    pub qop: Option<QopAuth<'a>>,
    /// What the challenge asked to give back.
    pub opaque: Option<Cow<'a, str>>,
}

/// What qop=auth adds to credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct QopAuth<'a> {
    /// The client's nonce.
    pub cnonce: Cow<'a, str>,
    /// How often the client has used the server's nonce; hexadecimal on the wire.
    pub nc: u32,
    /// As written, because it is hashed so.
    nc_written: Cow<'a, str>,
}

impl<'a> Credentials<'a> {
    /// Reads the value of a header field.
    pub fn parse(value: &'a str) -> Result<Self, CredentialsError> {
        let params = AuthParams::parse(value)?;
        Ok(Self {
            username: params.required("username")?,
            realm: params.required("realm")?,
            nonce: params.required("nonce")?,
            uri: params.required("uri")?,
            response: params.required("response")?,
            algorithm: params.algorithm()?,
            qop: Self::parse_qop(&params)?,
            opaque: params.get("opaque"),
        })
    }

    fn parse_qop(params: &AuthParams<'a>) -> Result<Option<QopAuth<'a>>, CredentialsError> {
        let Some(qop) = params.get("qop") else {
            return Ok(None);
        };
        if !qop.eq_ignore_ascii_case("auth") {
            return Err(CredentialsError::Unsupported);
        }
        let nc_written = params.required("nc")?;
        if nc_written.len() > 8 || !nc_written.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CredentialsError::Malformed);
        }
        let nc = u32::from_str_radix(&nc_written, 16).map_err(|_| CredentialsError::Malformed)?;
        let cnonce = params.required("cnonce")?;
        Ok(Some(QopAuth {
            cnonce,
            nc,
            nc_written,
        }))
    }

    /// The nonce count; `None` without qop.
    pub fn nc(&self) -> Option<u32> {
        self.qop.as_ref().map(|qop| qop.nc)
    }
}

impl fmt::Debug for Credentials<'_> {
    /// Without the response: who has it can try passwords at leisure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Whether the credentials were made with the password behind `ha1`, for a request of that method.
/// Says nothing about the nonce: [`Nonces::use_up`] does. The comparison takes constant time.
pub fn verify(credentials: &Credentials<'_>, ha1: &str, method: &str) -> bool {
    let expected = response(
        credentials.algorithm,
        ha1,
        &credentials.nonce,
        credentials
            .qop
            .as_ref()
            .map(|qop| (&*qop.nc_written, &*qop.cnonce)),
        method,
        &credentials.uri,
    );
    let claimed = credentials.response.to_ascii_lowercase();
    expected.as_bytes().ct_eq(claimed.as_bytes()).into()
}

/// `response` of RFC 7616 §3.4.1; `counted` are nc and cnonce.
fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    counted: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> String {
    let ha2 = algorithm.hash(&[method, uri]);
    match counted {
        Some((nc, cnonce)) => algorithm.hash(&[ha1, nonce, nc, cnonce, "auth", &ha2]),
        None => algorithm.hash(&[ha1, nonce, &ha2]),
    }
}

/// The value of WWW-Authenticate or Proxy-Authenticate. `stale` tells the client that only its nonce was
/// too old, so that it need not ask its user again.
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    let (realm, nonce, token) = (escape(realm), escape(nonce), algorithm.token());
    let stale = if stale { ", stale=true" } else { "" };
    format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={token}, qop=\"auth\"{stale}")
}

/// The value of WWW-Authenticate or Proxy-Authenticate with the Digest scheme, as a client reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge<'a> {
    /// Where the credentials count.
    pub realm: Cow<'a, str>,
    /// The server's nonce.
    pub nonce: Cow<'a, str>,
    /// MD5 where none is named.
    pub algorithm: Algorithm,
    /// Whether qop=auth is offered; without, the server is one of RFC 2069.
    pub qop_auth: bool,
    /// Whether only the nonce was too old.
    pub stale: bool,
    /// To be given back.
    pub opaque: Option<Cow<'a, str>>,
}

impl Challenge<'_> {
    /// The same, for longer than its message.
    pub fn into_owned(self) -> Challenge<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Challenge {
            realm: own(self.realm),
            nonce: own(self.nonce),
            algorithm: self.algorithm,
            qop_auth: self.qop_auth,
            stale: self.stale,
            opaque: self.opaque.map(own),
        }
    }
}

impl<'a> Challenge<'a> {
    /// Reads the value of a header field.
    pub fn parse(value: &'a str) -> Result<Self, CredentialsError> {
        let params = AuthParams::parse(value)?;
        let qop = params.get("qop");
        let qop_auth = qop.as_deref().is_some_and(|offered| {
            Elements::new(offered).any(|one| one.eq_ignore_ascii_case("auth"))
        });
        if qop.is_some() && !qop_auth {
            return Err(CredentialsError::Unsupported);
        }
        Ok(Self {
            realm: params.required("realm")?,
            nonce: params.required("nonce")?,
            algorithm: params.algorithm()?,
            qop_auth,
            stale: params
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            opaque: params.get("opaque"),
        })
    }
}

/// What a client's credentials are made of.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// The user name.
    pub username: &'a str,
    /// [`ha1`] with the challenge's algorithm and realm.
    pub ha1: &'a str,
}

/// The value of Authorization or Proxy-Authorization that answers a challenge. `cnonce` is random, `nc`
/// counts from 1 for each nonce; a server without qop sees neither.
pub fn answer(
    challenge: &Challenge<'_>,
    account: Account<'_>,
    method: &str,
    uri: &str,
    cnonce: &str,
    nc: u32,
) -> String {
    let nc = format!("{nc:08x}");
    let counted = challenge.qop_auth.then_some((nc.as_str(), cnonce));
    let algorithm = challenge.algorithm;
    let response = response(
        algorithm,
        account.ha1,
        &challenge.nonce,
        counted,
        method,
        uri,
    );
    let mut value = format!(
        "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\", algorithm={}",
        escape(account.username),
        escape(&challenge.realm),
        escape(&challenge.nonce),
        escape(uri),
        algorithm.token(),
    );
    // Writing to a String does not fail.
    if counted.is_some() {
        let _ = write!(value, ", qop=auth, nc={nc}, cnonce=\"{}\"", escape(cnonce));
    }
    if let Some(opaque) = &challenge.opaque {
        let _ = write!(value, ", opaque=\"{}\"", escape(opaque));
    }
    value
}

/// What stands between the quotes of a `quoted-string`.
fn escape(text: &str) -> Cow<'_, str> {
    if text.contains(['"', '\\']) {
        Cow::Owned(text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        Cow::Borrowed(text)
    }
}

/// More parameters than any scheme has; bounds the search for repeated ones.
const PARAMS_MAX: usize = 32;

/// `Digest name=value, name="value"`; no name stands twice.
struct AuthParams<'a> {
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> AuthParams<'a> {
    fn parse(value: &'a str) -> Result<Self, CredentialsError> {
        let (rest, scheme) =
            token(lexical::trim(value)).map_err(|_| CredentialsError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(CredentialsError::OtherScheme);
        }
        let mut params: Vec<(&str, &str)> = Vec::with_capacity(12);
        for element in Elements::new(rest) {
            let (name, value) = auth_param(element).ok_or(CredentialsError::Malformed)?;
            let is_repeated = params
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name));
            if is_repeated || params.len() == PARAMS_MAX {
                return Err(CredentialsError::Malformed);
            }
            params.push((name, value));
        }
        Ok(Self { params })
    }

    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self
            .params
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(unquote(value))
    }

    fn required(&self, name: &str) -> Result<Cow<'a, str>, CredentialsError> {
        self.get(name).ok_or(CredentialsError::Malformed)
    }

    fn algorithm(&self) -> Result<Algorithm, CredentialsError> {
        match self.get("algorithm") {
            None => Ok(Algorithm::Md5),
            Some(token) => Algorithm::from_token(&token).ok_or(CredentialsError::Unsupported),
        }
    }
}

fn auth_param(element: &str) -> Option<(&str, &str)> {
    let (rest, name) = token(element).ok()?;
    let (rest, _) = separator(b'=')(rest).ok()?;
    let (rest, value) = if rest.starts_with('"') {
        quoted(rest).ok()?
    } else {
        lexical::run(CREDENTIAL)(rest).ok()?
    };
    let (rest, ()) = sws(rest).ok()?;
    rest.is_empty().then_some((name, value))
}

#[cfg(test)]
mod tests;
