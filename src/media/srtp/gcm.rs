//! AES in Galois/counter mode (RFC 7714).

use aes::cipher::consts::{U12, U16};
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use aes_gcm::AesGcm;
use aes_gcm::aead::AeadInOut as _;
use zeroize::Zeroizing;

use super::SrtpError;
use super::cipher::Packet;
use super::counter_mode::front;
use super::derivation::{Protocol, SessionKeys};
use super::layout::RTCP_HEADER_BYTES;

/// RFC 7714 §12: SRTP has only the long tag.
pub(super) const TAG_BYTES: usize = 16;

const NONCE_BYTES: usize = 12;

pub(super) struct Gcm<C> {
    protocol: Protocol,
    aead: AesGcm<C, U12>,
    salt: Zeroizing<[u8; NONCE_BYTES]>,
}

impl<C> Gcm<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit,
{
    pub(super) fn new(protocol: Protocol, keys: &SessionKeys) -> Self {
        let mut salt = Zeroizing::new([0; NONCE_BYTES]);
        for (to, from) in salt.iter_mut().zip(keys.salt.iter()) {
            *to = *from;
        }
        Self {
            protocol,
            aead: AesGcm::from(C::new(&front::<C>(&keys.encryption))),
            salt,
        }
    }

    /// Encrypts header and payload in place and returns the tag, zeros behind it.
    #[inline]
    pub(super) fn seal(&self, packet: &Packet, body: &mut [u8]) -> Result<[u8; 20], SrtpError> {
        let nonce = self.nonce(packet).into();
        let (header, payload) = body
            .split_at_mut_checked(packet.clear)
            .ok_or(SrtpError::Malformed)?;
        let associated = self.associated(packet, header);
        let sealed = self
            .aead
            .encrypt_inout_detached(&nonce, associated.bytes(), payload.into())
            // Only of a payload of gigabytes.
            .map_err(|_| SrtpError::Malformed)?;
        let mut tag = [0; 20];
        for (to, from) in tag.iter_mut().zip(sealed) {
            *to = from;
        }
        Ok(tag)
    }

    /// Decrypts header and payload in place where the tag is right.
    #[inline]
    pub(super) fn open(
        &self,
        packet: &Packet,
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let nonce = self.nonce(packet).into();
        let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| SrtpError::Malformed)?;
        let (header, payload) = body
            .split_at_mut_checked(packet.clear)
            .ok_or(SrtpError::Malformed)?;
        let associated = self.associated(packet, header);
        self.aead
            .decrypt_inout_detached(&nonce, associated.bytes(), payload.into(), tag.into())
            .map_err(|_| SrtpError::BadTag)
    }

    /// RFC 7714 §8.1, §9.1: salt ⊕ SSRC · 2^48 ⊕ index. The index of SRTP is roll-over counter and
    /// sequence number.
    #[inline]
    fn nonce(&self, packet: &Packet) -> [u8; NONCE_BYTES] {
        let place = u128::from(packet.ssrc) << 48 | u128::from(packet.index);
        let mut nonce = *self.salt;
        for (to, from) in nonce
            .iter_mut()
            .zip(place.to_be_bytes().into_iter().skip(4))
        {
            *to ^= from;
        }
        nonce
    }

    #[inline]
    fn associated<'a>(&self, packet: &Packet, header: &'a [u8]) -> Associated<'a> {
        match (self.protocol, header.first_chunk::<RTCP_HEADER_BYTES>()) {
            // RFC 7714 §9.2
            (Protocol::Rtcp, Some(header)) => {
                let mut bytes = [0; RTCP_HEADER_BYTES + 4];
                let word = packet.word(Protocol::Rtcp);
                for (to, from) in bytes.iter_mut().zip(header.iter().chain(&word)) {
                    *to = *from;
                }
                Associated::Rtcp(bytes)
            }
            // RFC 7714 §8.2
            (Protocol::Rtp | Protocol::Rtcp, _) => Associated::Rtp(header),
        }
    }
}

/// What is authenticated and not encrypted.
enum Associated<'a> {
    Rtp(&'a [u8]),
    Rtcp([u8; RTCP_HEADER_BYTES + 4]),
}

impl Associated<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Associated::Rtp(header) => header,
            Associated::Rtcp(bytes) => bytes,
        }
    }
}
