//! The crypto suites and the keys that SDES carries for them.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

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

    /// The length of master key and master salt together.
    pub fn master_bytes(self) -> usize {
        self.key_bytes() + self.salt_bytes()
    }

    pub(super) fn key_bytes(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 | Suite::AeadAes128Gcm => 16,
            Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 | Suite::AeadAes256Gcm => 32,
        }
    }

    fn salt_bytes(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80
            | Suite::AesCm128HmacSha1_32
            | Suite::AesCm256HmacSha1_80
            | Suite::AesCm256HmacSha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }
}

/// Master key and master salt of a suite, as SDES carries them: the key first.
///
/// Wiped when dropped, compared in constant time, and not in `Debug` output.
#[derive(Clone)]
pub struct MasterKey {
    suite: Suite,
    bytes: Zeroizing<Box<[u8]>>,
}

impl MasterKey {
    /// `None` where the length is not exactly [`Suite::master_bytes`].
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == suite.master_bytes()).then(|| Self {
            suite,
            bytes: Zeroizing::new(bytes.into()),
        })
    }

    /// The suite it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt. A secret: for the peer's eyes only.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Key and salt apart.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.suite.key_bytes())
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for MasterKey {}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MasterKey")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}
