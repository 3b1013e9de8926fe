//! The cipher of one key and protocol: seals and opens packets whose index is known.

use aes::{Aes128Enc, Aes256Enc};

use super::SrtpError;
use super::counter_mode::CounterMode;
use super::derivation::{Protocol, SessionKeys};
use super::gcm::{Gcm, TAG_BYTES as GCM_TAG_BYTES};
use super::layout::{ENCRYPTED, RTCP_INDEX_BYTES, Trailer};
use super::suite::{MasterKey, Suite};

/// Which packet it is, and how much of it stays clear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) ssrc: u32,
    /// 48 bits of SRTP (RFC 3711 §3.3.1), 31 bits of SRTCP.
    pub(super) index: u64,
    /// The bytes of the header, which is authenticated and not encrypted.
    pub(super) clear: usize,
}

impl Packet {
    /// What is authenticated besides the packet: the roll-over counter, or the E flag and the index.
    #[inline]
    pub(super) fn word(&self, protocol: Protocol) -> [u8; 4] {
        let word = match protocol {
            Protocol::Rtp => (self.index >> 16) as u32,
            Protocol::Rtcp => ENCRYPTED | self.index as u32,
        };
        word.to_be_bytes()
    }
}

/// A cipher with its session keys.
pub(super) struct Cipher {
    protocol: Protocol,
    tag_bytes: usize,
    transform: Transform,
}

enum Transform {
    Cm128(CounterMode<Aes128Enc>),
    Cm256(CounterMode<Aes256Enc>),
    Gcm128(Gcm<Aes128Enc>),
    Gcm256(Gcm<Aes256Enc>),
}

impl Cipher {
    pub(super) fn new(master: &MasterKey, protocol: Protocol) -> Self {
        Self::of_session(
            master.suite(),
            protocol,
            &SessionKeys::derive(master, protocol),
        )
    }

    pub(super) fn of_session(suite: Suite, protocol: Protocol, keys: &SessionKeys) -> Self {
        let transform = match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Transform::Cm128(CounterMode::new(protocol, keys))
            }
            Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => {
                Transform::Cm256(CounterMode::new(protocol, keys))
            }
            Suite::AeadAes128Gcm => Transform::Gcm128(Gcm::new(protocol, keys)),
            Suite::AeadAes256Gcm => Transform::Gcm256(Gcm::new(protocol, keys)),
        };
        Self {
            protocol,
            tag_bytes: tag_bytes(suite, protocol),
            transform,
        }
    }

    /// How much longer a packet becomes, without an MKI.
    #[inline]
    pub(super) fn added_bytes(&self) -> usize {
        self.tag_bytes + self.index_bytes()
    }

    /// Where the parts of a protected packet of `length` bytes are.
    #[inline]
    pub(super) fn trailer(&self, length: usize, mki_bytes: usize) -> Result<Trailer, SrtpError> {
        let index_bytes = self.index_bytes();
        let body = length.checked_sub(self.added_bytes() + mki_bytes);
        let body = body.ok_or(SrtpError::Malformed)?;
        Ok(match self.transform {
            // RFC 3711 §3.1, §3.4
            Transform::Cm128(_) | Transform::Cm256(_) => Trailer {
                body,
                index: body,
                mki: body + index_bytes,
                tag: body + index_bytes + mki_bytes,
            },
            // RFC 7714 §8.2, §9.2: the tag is the end of what was encrypted.
            Transform::Gcm128(_) | Transform::Gcm256(_) => Trailer {
                body,
                tag: body,
                index: body + self.tag_bytes,
                mki: body + self.tag_bytes + index_bytes,
            },
        })
    }

    /// Seals the first `length` bytes of the buffer in place, writes the trailer (no MKI) behind them and
    /// returns the new length. Only an error is sure to leave the buffer as it was.
    #[inline]
    pub(super) fn seal(
        &self,
        packet: &Packet,
        buffer: &mut [u8],
        length: usize,
    ) -> Result<usize, SrtpError> {
        let sealed = length + self.added_bytes();
        let at = self.trailer(sealed, 0)?;
        let (body, trailer) = buffer
            .get_mut(..sealed)
            .and_then(|buffer| buffer.split_at_mut_checked(length))
            .ok_or(SrtpError::NoRoom)?;
        let tag = match &self.transform {
            Transform::Cm128(cipher) => cipher.seal(packet, body),
            Transform::Cm256(cipher) => cipher.seal(packet, body),
            Transform::Gcm128(cipher) => cipher.seal(packet, body)?,
            Transform::Gcm256(cipher) => cipher.seal(packet, body)?,
        };
        if self.protocol == Protocol::Rtcp {
            put(trailer, at.index - length, &packet.word(self.protocol));
        }
        put(
            trailer,
            at.tag - length,
            tag.get(..self.tag_bytes).unwrap_or(&tag),
        );
        Ok(sealed)
    }

    #[inline]
    fn index_bytes(&self) -> usize {
        match self.protocol {
            Protocol::Rtp => 0,
            Protocol::Rtcp => RTCP_INDEX_BYTES,
        }
    }

    /// Opens a packet in place. One that is not authentic is left as it was.
    #[inline]
    pub(super) fn open(
        &self,
        packet: &Packet,
        bytes: &mut [u8],
        at: &Trailer,
    ) -> Result<(), SrtpError> {
        let (body, trailer) = bytes
            .split_at_mut_checked(at.body)
            .ok_or(SrtpError::Malformed)?;
        let tag = trailer
            .get(at.tag - at.body..)
            .and_then(|trailer| trailer.get(..self.tag_bytes))
            .ok_or(SrtpError::Malformed)?;
        match &self.transform {
            Transform::Cm128(cipher) => cipher.open(packet, body, tag),
            Transform::Cm256(cipher) => cipher.open(packet, body, tag),
            Transform::Gcm128(cipher) => cipher.open(packet, body, tag),
            Transform::Gcm256(cipher) => cipher.open(packet, body, tag),
        }
    }
}

/// RFC 4568 §6.2: SRTCP has the long tag also where SRTP has the short one.
fn tag_bytes(suite: Suite, protocol: Protocol) -> usize {
    match (suite, protocol) {
        (Suite::AesCm128HmacSha1_32 | Suite::AesCm256HmacSha1_32, Protocol::Rtp) => 4,
        (
            Suite::AesCm128HmacSha1_80
            | Suite::AesCm128HmacSha1_32
            | Suite::AesCm256HmacSha1_80
            | Suite::AesCm256HmacSha1_32,
            Protocol::Rtp | Protocol::Rtcp,
        ) => 10,
        (Suite::AeadAes128Gcm | Suite::AeadAes256Gcm, Protocol::Rtp | Protocol::Rtcp) => {
            GCM_TAG_BYTES
        }
    }
}

#[inline]
fn put(trailer: &mut [u8], at: usize, bytes: &[u8]) {
    let place = trailer
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    if let Some(place) = place {
        place.copy_from_slice(bytes);
    }
}
