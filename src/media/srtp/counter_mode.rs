//! AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).

use aes::cipher::{
    BlockCipherEncrypt, BlockSizeUser, InnerIvInit as _, Key, KeyInit, StreamCipherCore as _,
};
use aes::cipher::{consts::U16, typenum::Unsigned as _};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::SrtpError;
use super::cipher::Packet;
use super::derivation::{Protocol, SessionKeys};

/// What HMAC-SHA1 makes; a suite sends the front of it.
const MAC_BYTES: usize = 20;

pub(super) struct CounterMode<C> {
    protocol: Protocol,
    cipher: C,
    /// The session salt times 2^16.
    salt: Zeroizing<[u8; 16]>,
    /// The inner and outer hash with the key in them.
    mac: Hmac<Sha1>,
}

impl<C> CounterMode<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit,
{
    pub(super) fn new(protocol: Protocol, keys: &SessionKeys) -> Self {
        let mut salt = Zeroizing::new([0; 16]);
        for (to, from) in salt.iter_mut().zip(keys.salt.iter()) {
            *to = *from;
        }
        Self {
            protocol,
            cipher: C::new(&front::<C>(&keys.encryption)),
            salt,
            mac: <Hmac<Sha1> as KeyInit>::new_from_slice(keys.authentication.as_ref())
                .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length")),
        }
    }

    /// Encrypts header and payload in place and returns the tag.
    #[inline]
    pub(super) fn seal(&self, packet: &Packet, body: &mut [u8]) -> [u8; MAC_BYTES] {
        self.apply_keystream(packet, body);
        self.tag(packet, body)
    }

    /// Decrypts header and payload in place where the tag is right.
    #[inline]
    pub(super) fn open(
        &self,
        packet: &Packet,
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let expected = self.tag(packet, body);
        let expected = expected.get(..tag.len()).ok_or(SrtpError::BadTag)?;
        if !bool::from(expected.ct_eq(tag)) {
            return Err(SrtpError::BadTag);
        }
        self.apply_keystream(packet, body);
        Ok(())
    }

    /// RFC 3711 §4.1.1: the counter starts at salt · 2^16 ⊕ SSRC · 2^64 ⊕ index · 2^16.
    #[inline]
    pub(super) fn apply_keystream(&self, packet: &Packet, body: &mut [u8]) {
        let place = u128::from(packet.ssrc) << 64 | u128::from(packet.index) << 16;
        let counter = (u128::from_be_bytes(*self.salt) ^ place).to_be_bytes();
        let Some(payload) = body.get_mut(packet.clear..) else {
            return;
        };
        CtrCore::<&C, Ctr32BE>::inner_iv_init(&self.cipher, &counter.into())
            .apply_keystream_partial(payload.into());
    }

    #[inline]
    fn tag(&self, packet: &Packet, body: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(body);
        mac.update(&packet.word(self.protocol));
        mac.finalize().into_bytes().into()
    }
}

/// As many bytes of the derived key as the cipher takes.
pub(super) fn front<C: KeyInit>(derived: &[u8; 32]) -> Zeroizing<Key<C>> {
    let mut key = Zeroizing::new(Key::<C>::default());
    debug_assert!(C::KeySize::USIZE <= derived.len());
    for (to, from) in key.iter_mut().zip(derived) {
        *to = *from;
    }
    key
}
