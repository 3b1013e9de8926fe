//! Session keys from a master key (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11).

use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128Enc, Aes256Enc};
use zeroize::{Zeroize as _, Zeroizing};

use super::suite::MasterKey;

const ENCRYPTION: u8 = 0;
const AUTHENTICATION: u8 = 1;
const SALT: u8 = 2;
/// The labels of SRTCP follow those of SRTP (RFC 3711 §4.3.2).
const RTCP: u8 = 3;

/// What the session keys are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

/// The session keys of one protocol, each as long as the longest there is: a suite takes what it needs
/// from the front.
pub(super) struct SessionKeys {
    pub(super) encryption: Zeroizing<[u8; 32]>,
    pub(super) authentication: Zeroizing<[u8; 20]>,
    pub(super) salt: Zeroizing<[u8; 14]>,
}

impl SessionKeys {
    /// The key derivation rate is 0: the packet index does not enter.
    pub(super) fn derive(master: &MasterKey, protocol: Protocol) -> Self {
        let first = match protocol {
            Protocol::Rtp => 0,
            Protocol::Rtcp => RTCP,
        };
        let generator = Generator::new(master);
        let mut keys = Self {
            encryption: Zeroizing::new([0; 32]),
            authentication: Zeroizing::new([0; 20]),
            salt: Zeroizing::new([0; 14]),
        };
        generator.fill(first + ENCRYPTION, keys.encryption.as_mut());
        generator.fill(first + AUTHENTICATION, keys.authentication.as_mut());
        generator.fill(first + SALT, keys.salt.as_mut());
        keys
    }
}

/// The pseudorandom function: AES in counter mode under the master key (RFC 3711 §4.3.3).
struct Generator {
    cipher: Cipher,
    /// The master salt, zeros after it where it has 96 bits only (RFC 7714 §11).
    salt: Zeroizing<[u8; 14]>,
}

enum Cipher {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl Generator {
    fn new(master: &MasterKey) -> Self {
        let (key, master_salt) = master.parts();
        let mut salt = Zeroizing::new([0; 14]);
        for (to, from) in salt.iter_mut().zip(master_salt) {
            *to = *from;
        }
        Self {
            cipher: Cipher::new(key),
            salt,
        }
    }

    fn fill(&self, label: u8, key: &mut [u8]) {
        let mut input = Zeroizing::new([0u8; 16]);
        for (to, from) in input.iter_mut().zip(self.salt.iter()) {
            *to = *from;
        }
        input[7] ^= label;
        for (block, chunk) in (0u8..).zip(key.chunks_mut(16)) {
            input[15] = block;
            let mut stream = self.cipher.encrypt(*input);
            for (to, from) in chunk.iter_mut().zip(stream.iter()) {
                *to = *from;
            }
            stream.zeroize();
        }
    }
}

impl Cipher {
    /// The key is as long as its suite says: 16 or 32 bytes.
    fn new(key: &[u8]) -> Self {
        match Aes128Enc::new_from_slice(key) {
            Ok(cipher) => Cipher::Aes128(cipher),
            Err(_) => {
                let mut whole = Zeroizing::new([0; 32]);
                for (to, from) in whole.iter_mut().zip(key) {
                    *to = *from;
                }
                Cipher::Aes256(Aes256Enc::new((&*whole).into()))
            }
        }
    }

    fn encrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        match self {
            Cipher::Aes128(cipher) => cipher.encrypt_block(&mut block),
            Cipher::Aes256(cipher) => cipher.encrypt_block(&mut block),
        }
        block.into()
    }
}
