//! The crypto suites and the keys that SDES carries for them.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use crate::config::Suite;

impl Suite {
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

    /// A new one: `fill` fills it with what nobody can foresee.
    pub fn made_of(suite: Suite, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new(vec![0; suite.master_bytes()].into_boxed_slice());
        fill(&mut bytes);
        Self { suite, bytes }
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
