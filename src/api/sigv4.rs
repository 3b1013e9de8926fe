//! AWS Signature Version 4: who sent a request, and that nobody changed it on the way.
//!
//! Both forms are read: the `Authorization` header and the presigned query. Only the canonical request
//! of "all services but S3" is made: the path as received is normalised and encoded once more. There are
//! no session tokens here; a header that carries one is just a header.
//!
//! Source: AWS Identity and Access Management User Guide, "AWS Signature Version 4 for API requests".

use std::borrow::Cow;
use std::fmt;

use axum::http::{HeaderMap, Method, header};
use hmac::{Hmac, KeyInit, Mac};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::AccessKey;

/// The service that clients of the API sign for, whatever their client is called.
pub const SERVICE: &str = "chime";

/// How far the clocks of client and server may be apart.
const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_mins(15);

/// The longest life of a presigned request, in seconds: seven days.
const EXPIRES_MAX: i64 = 604_800;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request as it came, before anything in it was decoded.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, percent-encoded as on the wire.
    pub path: &'a str,
    /// The query without its `?`, percent-encoded as on the wire; empty where there is none.
    pub query: &'a str,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// Why a request is not taken for its sender's. The texts name what to mend, and never a secret or the
/// signature that would have been right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignatureFault {
    /// Nothing in the request is a signature.
    Unsigned,
    /// More than one `Authorization` header, or a header and a presigned query.
    SignedTwice,
    /// The signature is of another algorithm, or of another scheme such as `Basic`.
    Algorithm,
    /// A part of the signature is missing, stands there twice or cannot be read.
    Part(&'static str),
    /// A header that has to be signed is not.
    NotSigned(&'static str),
    /// A header is in the list of signed headers, but not in the request.
    SignedHeaderMissing(String),
    /// The access key is not in the configuration.
    UnknownAccessKey,
    /// The credential's scope does not end in the service and `aws4_request`.
    Scope {
        /// The service that would be right.
        service: &'static str,
    },
    /// The credential's scope is of another day than the request.
    ScopeDate,
    /// The request was signed too long ago, or a presigned request has expired.
    Expired {
        /// The server's time.
        now: Timestamp,
    },
    /// The request's time lies too far in the future.
    NotYet {
        /// The server's time.
        now: Timestamp,
    },
    /// `x-amz-content-sha256` is not the hash of the body.
    Body,
    /// The signature is not the one that the secret of this access key gives.
    Signature,
}

/// Finds the access key whose secret signed the request.
///
/// `service` is the one that the scope has to name ([`SERVICE`] but in tests), `now` the server's time.
pub fn verify<'k>(
    keys: &'k [AccessKey],
    service: &'static str,
    request: &SignedRequest<'_>,
    now: Timestamp,
) -> Result<&'k AccessKey, SignatureFault> {
    let claim = Claim::of(request)?;
    let key = keys
        .iter()
        .find(|key| key.id == claim.credential.key_id)
        .ok_or(SignatureFault::UnknownAccessKey)?;
    claim.check_scope(service)?;
    claim.check_time(now)?;
    claim.check_signed_headers(request.headers)?;
    let body_hash = hex(&Sha256::digest(request.body));
    check_declared_hash(request.headers, &body_hash)?;

    let canonical = canonical_request(request, &claim, &body_hash)?;
    let expected = hex(&claim.signature_of(&canonical, &key.secret.0));
    match bool::from(expected.as_bytes().ct_eq(claim.signature.as_bytes())) {
        true => Ok(key),
        false => Err(SignatureFault::Signature),
    }
}

/// What a request says of its signature, in either form.
struct Claim {
    credential: Credential,
    /// Lower case, in the order given.
    signed_headers: Vec<String>,
    signature: String,
    /// As written: `yyyymmddThhmmssZ`.
    date: String,
    time: Timestamp,
    form: Form,
}

/// `Credential`: `id/date/region/service/aws4_request`.
struct Credential {
    key_id: String,
    date: String,
    region: String,
    service: String,
    terminator: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Header,
    Presigned { expires: SignedDuration },
}

impl Claim {
    fn of(request: &SignedRequest<'_>) -> Result<Self, SignatureFault> {
        let mut fields = request.headers.get_all(header::AUTHORIZATION).iter();
        let field = fields.next();
        let presigned = query_part(request.query, "X-Amz-Algorithm")?;
        match (field, presigned) {
            (None, None) => Err(SignatureFault::Unsigned),
            (Some(_), Some(_)) => Err(SignatureFault::SignedTwice),
            (Some(_), None) if fields.next().is_some() => Err(SignatureFault::SignedTwice),
            (Some(field), None) => {
                let field = field
                    .to_str()
                    .map_err(|_| SignatureFault::Part("Authorization"))?;
                Self::of_header(field, request.headers)
            }
            (None, Some(algorithm)) => Self::of_query(&algorithm, request.query),
        }
    }

    fn of_header(field: &str, headers: &HeaderMap) -> Result<Self, SignatureFault> {
        let (algorithm, parts) = field.trim().split_once(' ').unwrap_or((field.trim(), ""));
        if algorithm != ALGORITHM {
            return Err(SignatureFault::Algorithm);
        }
        let part = |name: &'static str| {
            only(parts.split(',').filter_map(|part| {
                let (found, value) = part.trim().split_once('=')?;
                (found == name).then_some(value)
            }))
            .ok_or(SignatureFault::Part(name))
        };
        let date = only(headers.get_all("x-amz-date").iter())
            .and_then(|value| value.to_str().ok())
            .ok_or(SignatureFault::Part("X-Amz-Date"))?;
        Ok(Self {
            credential: Credential::of(part("Credential")?)?,
            signed_headers: header_names(part("SignedHeaders")?)?,
            signature: part("Signature")?.to_owned(),
            date: date.to_owned(),
            time: time(date)?,
            form: Form::Header,
        })
    }

    fn of_query(algorithm: &str, query: &str) -> Result<Self, SignatureFault> {
        if algorithm != ALGORITHM {
            return Err(SignatureFault::Algorithm);
        }
        let part = |name| query_part(query, name)?.ok_or(SignatureFault::Part(name));
        let date = part("X-Amz-Date")?;
        let expires = part("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds| (1..=EXPIRES_MAX).contains(seconds))
            .ok_or(SignatureFault::Part("X-Amz-Expires"))?;
        Ok(Self {
            credential: Credential::of(&part("X-Amz-Credential")?)?,
            signed_headers: header_names(&part("X-Amz-SignedHeaders")?)?,
            signature: part("X-Amz-Signature")?,
            time: time(&date)?,
            date,
            form: Form::Presigned {
                expires: SignedDuration::from_secs(expires),
            },
        })
    }

    fn check_scope(&self, service: &'static str) -> Result<(), SignatureFault> {
        let scope = &self.credential;
        if scope.service != service || scope.terminator != TERMINATOR {
            return Err(SignatureFault::Scope { service });
        }
        match self.date.get(..8) == Some(&scope.date) {
            true => Ok(()),
            false => Err(SignatureFault::ScopeDate),
        }
    }

    fn check_time(&self, now: Timestamp) -> Result<(), SignatureFault> {
        let age = now.duration_since(self.time);
        let oldest = match self.form {
            Form::Header => CLOCK_SKEW_MAX,
            Form::Presigned { expires } => expires,
        };
        if age > oldest {
            return Err(SignatureFault::Expired { now });
        }
        match age < -CLOCK_SKEW_MAX {
            true => Err(SignatureFault::NotYet { now }),
            false => Ok(()),
        }
    }

    fn check_signed_headers(&self, headers: &HeaderMap) -> Result<(), SignatureFault> {
        let needed: &[&'static str] = match self.form {
            Form::Header => &["host", "x-amz-date"],
            Form::Presigned { .. } => &["host"],
        };
        for name in needed {
            if !self.signed_headers.iter().any(|signed| signed == name) {
                return Err(SignatureFault::NotSigned(name));
            }
        }
        for name in &self.signed_headers {
            if !headers.contains_key(name) {
                return Err(SignatureFault::SignedHeaderMissing(name.clone()));
            }
        }
        Ok(())
    }

    /// The signature of a canonical request under a secret.
    fn signature_of(&self, canonical: &[u8], secret: &str) -> [u8; 32] {
        let scope = &self.credential;
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}/{}/{}/{}\n{}",
            self.date,
            scope.date,
            scope.region,
            scope.service,
            scope.terminator,
            hex(&Sha256::digest(canonical)),
        );
        let key = [
            &scope.date,
            &scope.region,
            &scope.service,
            &scope.terminator,
        ]
        .into_iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            hmac_sha256(&key, part.as_bytes()).to_vec()
        });
        hmac_sha256(&key, to_sign.as_bytes())
    }
}

impl Credential {
    fn of(text: &str) -> Result<Self, SignatureFault> {
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let [key_id, date, region, service, terminator] =
            <[String; 5]>::try_from(parts).map_err(|_| SignatureFault::Part("Credential"))?;
        Ok(Self {
            key_id,
            date,
            region,
            service,
            terminator,
        })
    }
}

/// The text that is signed, but for its hash.
fn canonical_request(
    request: &SignedRequest<'_>,
    claim: &Claim,
    body_hash: &str,
) -> Result<Vec<u8>, SignatureFault> {
    let mut names = claim.signed_headers.clone();
    names.sort_unstable();
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        canonical_path(request.path),
        canonical_query(request.query, claim.form),
    )
    .into_bytes();
    for name in &names {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        for (index, value) in request.headers.get_all(name).iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            push_folded(&mut text, value.as_bytes());
        }
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(names.join(";").as_bytes());
    text.push(b'\n');
    text.extend_from_slice(body_hash.as_bytes());
    Ok(text)
}

/// Dot segments and empty segments resolved, each segment encoded again.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    if segments.is_empty() {
        return "/".to_owned();
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in segments {
        canonical.push('/');
        canonical.extend(percent_encode(segment.as_bytes(), RESERVED));
    }
    if path.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// Names and values in one encoding, sorted; without the signature of a presigned request.
fn canonical_query(query: &str, form: Form) -> String {
    let mut pairs: Vec<(String, String)> = query_pairs(query)
        .filter(|(name, _)| form == Form::Header || *name != "X-Amz-Signature")
        .map(|(name, value)| (encoded_anew(name), encoded_anew(value)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// The pairs of a query, still encoded.
fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn encoded_anew(text: &str) -> String {
    let decoded: Cow<'_, [u8]> = percent_decode_str(text).into();
    percent_encode(&decoded, RESERVED).to_string()
}

/// The value of a query parameter that may stand there once.
fn query_part(query: &str, name: &'static str) -> Result<Option<String>, SignatureFault> {
    let mut values =
        query_pairs(query).filter_map(|(found, value)| (found == name).then_some(value));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => percent_decode_str(value)
            .decode_utf8()
            .map(|value| Some(value.into_owned()))
            .map_err(|_| SignatureFault::Part(name)),
        (Some(_), Some(_)) => Err(SignatureFault::Part(name)),
    }
}

fn header_names(list: &str) -> Result<Vec<String>, SignatureFault> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
    };
    match list.split(';').all(is_name) {
        true => Ok(list.split(';').map(str::to_owned).collect()),
        false => Err(SignatureFault::Part("SignedHeaders")),
    }
}

/// `yyyymmddThhmmssZ`
fn time(text: &str) -> Result<Timestamp, SignatureFault> {
    let shaped = text.len() == 16
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    shaped
        .then(|| jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok())
        .flatten()
        .and_then(|civil| Offset::UTC.to_timestamp(civil).ok())
        .ok_or(SignatureFault::Part("X-Amz-Date"))
}

/// A client that declares the hash of its body has to declare the right one, signed or not.
fn check_declared_hash(headers: &HeaderMap, body_hash: &str) -> Result<(), SignatureFault> {
    let mut declared = headers.get_all("x-amz-content-sha256").iter();
    match declared.all(|value| value.as_bytes().eq_ignore_ascii_case(body_hash.as_bytes())) {
        true => Ok(()),
        false => Err(SignatureFault::Body),
    }
}

/// The value without outer spaces, runs of inner ones as one.
fn push_folded(text: &mut Vec<u8>, value: &[u8]) {
    let words = value
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
}

/// The one item there is.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    match items.next() {
        None => first,
        Some(_) => None,
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    // RFC 2104 takes keys of any length; the block is made here because `new_from_slice` has an error.
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| DIGITS[usize::from(nibble)])
        .collect()
}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str(
                "The request is not signed. Sign it with AWS Signature Version 4 and an access key of \
                 this server's configuration ([[api.access_key]]).",
            ),
            Self::SignedTwice => f.write_str(
                "The request is signed more than once: one Authorization header or one presigned query.",
            ),
            Self::Algorithm => write!(f, "The signature's algorithm has to be {ALGORITHM}."),
            Self::Part(part) => write!(
                f,
                "{part} of the signature is missing, malformed or given twice."
            ),
            Self::NotSigned(name) => write!(
                f,
                "The header {name} has to be signed, and SignedHeaders does not name it."
            ),
            Self::SignedHeaderMissing(name) => write!(
                f,
                "SignedHeaders names a header that the request does not have: {name}."
            ),
            Self::UnknownAccessKey => f.write_str(
                "The access key id is not among the [[api.access_key]] of this server's configuration.",
            ),
            Self::Scope { service } => write!(
                f,
                "The credential has to be scoped to the service '{service}' and end in {TERMINATOR}."
            ),
            Self::ScopeDate => {
                f.write_str("The date in the credential's scope is not the date of X-Amz-Date.")
            }
            Self::Expired { now } => write!(
                f,
                "The signature has expired: it is {now} here, and signatures are taken for 15 minutes \
                 (presigned ones for their X-Amz-Expires). Check the client's clock."
            ),
            Self::NotYet { now } => write!(
                f,
                "The signature is of the future: it is {now} here, and clocks may differ by 15 minutes. \
                 Check the client's clock."
            ),
            Self::Body => f.write_str("x-amz-content-sha256 is not the SHA-256 of the body."),
            Self::Signature => f.write_str(
                "The signature is not the one calculated from the request and the secret of this access \
                 key. Check the secret, and that nothing between client and server changes the request.",
            ),
        }
    }
}

impl std::error::Error for SignatureFault {}

#[cfg(test)]
mod tests;
