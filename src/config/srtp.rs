//! Whether media is encrypted, and how.

use std::sync::Arc;

/// A crypto suite of SDES: RFC 4568 §6.2, RFC 6188 §5 and RFC 7714 §14.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Suite {
    /// AES-128 in counter mode, tags of 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, tags of 32 bits on SRTP and of 80 bits on SRTCP.
    AesCm128HmacSha1_32,
    /// AES-256 in counter mode, tags of 80 bits.
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, tags of 32 bits on SRTP and of 80 bits on SRTCP.
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode, tags of 128 bits.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode, tags of 128 bits.
    AeadAes256Gcm,
}

/// What the hosted original's documents call the suites of RFC 6188.
const OTHER_NAMES: [(&str, Suite); 2] = [
    ("AES_CM_256_HMAC_SHA1_80", Suite::AesCm256HmacSha1_80),
    ("AES_CM_256_HMAC_SHA1_32", Suite::AesCm256HmacSha1_32),
];

impl Suite {
    /// All there are.
    pub const ALL: [Suite; 6] = [
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ];

    /// The name that is registered for `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Suite::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name, in any case; `AES_CM_256_HMAC_SHA1_80` and `_32` are read as well.
    pub fn from_name(name: &str) -> Option<Suite> {
        let registered = Suite::ALL.map(|suite| (suite.name(), suite));
        let mut known = registered.into_iter().chain(OTHER_NAMES);
        known
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, suite)| suite)
    }
}

/// What somebody is offered, and what is taken from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpMode {
    /// RTP only.
    Off,
    /// RTP is offered; SRTP is taken where it is offered.
    Accept,
    /// RTP is offered with keys beside it, and either is taken: best effort (RFC 8643).
    Optional,
    /// SRTP or no call.
    Required,
}

/// How media is encrypted with somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SrtpPolicy {
    /// Whether.
    pub mode: SrtpMode,
    /// The suites that are offered and taken, the preferred one first; at least one.
    pub suites: Arc<[Suite]>,
}

impl SrtpPolicy {
    /// The same, but nothing goes unencrypted.
    pub fn required(&self) -> Self {
        Self {
            mode: SrtpMode::Required,
            suites: Arc::clone(&self.suites),
        }
    }
}

impl Default for SrtpPolicy {
    fn default() -> Self {
        Self {
            mode: SrtpMode::Accept,
            suites: Suite::ALL.into(),
        }
    }
}
