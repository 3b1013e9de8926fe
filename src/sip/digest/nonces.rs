//! Nonces that expire and cannot be replayed.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::to_hex;
use crate::instant::Instant;

/// What a nonce in somebody's credentials is worth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NonceVerdict {
    /// Ours, in its lifetime, not used with this count or a higher one.
    Fresh,
    /// Ours, but too old: challenge again with `stale`.
    Stale,
    /// Not made by us, not with this secret, or not for whom it comes from.
    Unknown,
    /// Used before with this count or a higher one: somebody repeats what he heard, or an older request
    /// was overtaken. Challenge again with `stale`.
    Replayed,
}

/// Makes nonces and knows which of them are used up.
///
/// A nonce carries its time, a random number and a MAC of both and of whom it was given to, so one that was only
/// handed out is kept nowhere: a flood of requests without credentials costs no memory. What is kept are the
/// nonces of requests that were authenticated. From anybody else a nonce is unknown: whoever comes with one can
/// receive where it was sent to.
///
/// Invariant: no (nonce, count) is ever accepted twice. Two instances with one secret would break it, as
/// would a secret kept over a restart: each instance gets its own random one.
pub struct Nonces {
    mac: Hmac<Sha256>,
    lifetime: Duration,
    used_max: usize,
    /// The highest count used of each nonce, oldest nonce first.
    used: BTreeMap<Id, u32>,
    /// Nonces up to this one count as expired: what is known of them was given up to stay in the bound.
    forgotten: Option<Id>,
}

/// Whom a nonce is given to, in bytes that tell peers apart.
pub type Peer = [u8; 16];

/// A nonce without its MAC, in the order of making.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    minted: Instant,
    random: u64,
}

const MAC_BYTES: usize = 16;
const NONCE_BYTES: usize = 16 + MAC_BYTES;

impl Nonces {
    /// `secret` is random; `lifetime` counts from the challenge (five minutes are usual); at most
    /// `used_max` used nonces are kept, and those over it expire early, the oldest first.
    pub fn new(secret: [u8; 32], lifetime: Duration, used_max: usize) -> Self {
        // HMAC fills a short key up with zeros to its block anyway (RFC 2104 §2).
        let mut key = [0; 64];
        for (byte, secret) in key.iter_mut().zip(secret) {
            *byte = secret;
        }
        Self {
            mac: Hmac::new(&key.into()),
            lifetime,
            used_max,
            used: BTreeMap::new(),
            forgotten: None,
        }
    }

    /// A new nonce for a peer: 64 hex digits.
    pub fn mint(&self, now: Instant, random: u64, peer: Peer) -> String {
        let id = Id {
            minted: now,
            random,
        };
        let mut bytes = [0; NONCE_BYTES];
        let parts = id.bytes().into_iter().chain(self.mac_of(id, peer));
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        to_hex(&bytes)
    }

    /// What the nonce is worth, with the count of the credentials (`None` without qop). Changes nothing:
    /// anybody may ask, authenticated or not.
    pub fn check(&self, nonce: &str, nc: Option<u32>, now: Instant, peer: Peer) -> NonceVerdict {
        match self.id_of(nonce, peer) {
            None => NonceVerdict::Unknown,
            Some(id) => self.judge(id, nc, now),
        }
    }

    /// [`Nonces::check`], and where the verdict is [`NonceVerdict::Fresh`] the count is used up from then
    /// on; without qop, the nonce. Only for credentials that were verified, because others must not be
    /// able to use up somebody's nonce.
    pub fn use_up(
        &mut self,
        nonce: &str,
        nc: Option<u32>,
        now: Instant,
        peer: Peer,
    ) -> NonceVerdict {
        let Some(id) = self.id_of(nonce, peer) else {
            return NonceVerdict::Unknown;
        };
        let verdict = self.judge(id, nc, now);
        if verdict == NonceVerdict::Fresh {
            self.used.insert(id, nc.unwrap_or(u32::MAX));
            self.forget(now);
        }
        verdict
    }

    /// How many used nonces are kept.
    pub fn used_count(&self) -> usize {
        self.used.len()
    }

    fn judge(&self, id: Id, nc: Option<u32>, now: Instant) -> NonceVerdict {
        if id.minted > now {
            return NonceVerdict::Unknown;
        }
        if self.is_expired(id, now) || self.forgotten.is_some_and(|forgotten| id <= forgotten) {
            return NonceVerdict::Stale;
        }
        let is_higher = match (self.used.get(&id), nc) {
            (None, None) => true,
            (Some(_), None) => false,
            (None, Some(nc)) => nc > 0,
            (Some(highest), Some(nc)) => nc > *highest,
        };
        if is_higher {
            NonceVerdict::Fresh
        } else {
            NonceVerdict::Replayed
        }
    }

    fn is_expired(&self, id: Id, now: Instant) -> bool {
        now.since(id.minted) > self.lifetime
    }

    /// Drops what is expired, and the oldest over the bound. Whatever is dropped stays refused.
    fn forget(&mut self, now: Instant) {
        while let Some((oldest, _)) = self.used.first_key_value() {
            let oldest = *oldest;
            let over = self.used.len() > self.used_max;
            if !over && !self.is_expired(oldest, now) {
                return;
            }
            if over {
                self.forgotten = Some(oldest);
            }
            self.used.remove(&oldest);
        }
    }

    fn id_of(&self, nonce: &str, peer: Peer) -> Option<Id> {
        let bytes = from_hex(nonce)?;
        let (id, mac) = bytes.split_first_chunk::<16>()?;
        let (minted, random) = id.split_first_chunk::<8>()?;
        let random = random.first_chunk::<8>()?;
        let id = Id {
            minted: Instant::from_micros(u64::from_be_bytes(*minted)),
            random: u64::from_be_bytes(*random),
        };
        let is_ours: bool = self.mac_of(id, peer).as_slice().ct_eq(mac).into();
        is_ours.then_some(id)
    }

    fn mac_of(&self, id: Id, peer: Peer) -> [u8; MAC_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(&id.bytes());
        mac.update(&peer);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut short = [0; MAC_BYTES];
        for (byte, full) in short.iter_mut().zip(full) {
            *byte = full;
        }
        short
    }
}

impl Id {
    fn bytes(self) -> [u8; 16] {
        let minted = u128::from(self.minted.as_micros());
        (minted << 64 | u128::from(self.random)).to_be_bytes()
    }
}

fn from_hex(text: &str) -> Option<[u8; NONCE_BYTES]> {
    let mut bytes = [0; NONCE_BYTES];
    let mut digits = text.bytes().map(|digit| char::from(digit).to_digit(16));
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);
    const HERE: Peer = [1; 16];

    fn nonces(used_max: usize) -> Nonces {
        Nonces::new([7; 32], LIFETIME, used_max)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn each_count_is_accepted_once_and_only_upwards() {
        let mut nonces = nonces(10);
        let nonce = nonces.mint(at(1), 42, HERE);
        assert!(nonce.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(
            nonces.check(&nonce, Some(0), at(2), HERE),
            NonceVerdict::Replayed
        );
        assert_eq!(
            nonces.check(&nonce, Some(1), at(2), HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(
            nonces.check(&nonce, Some(1), at(2), HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(
            nonces.use_up(&nonce, Some(1), at(2), HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(
            nonces.use_up(&nonce, Some(1), at(2), HERE),
            NonceVerdict::Replayed
        );
        assert_eq!(
            nonces.use_up(&nonce, Some(16), at(2), HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(
            nonces.check(&nonce, Some(15), at(2), HERE),
            NonceVerdict::Replayed
        );
        assert_eq!(
            nonces.check(&nonce, None, at(2), HERE),
            NonceVerdict::Replayed
        );
        assert_eq!(
            nonces.check(&nonce.to_uppercase(), Some(16), at(2), HERE),
            NonceVerdict::Replayed
        );
    }

    #[test]
    fn without_qop_a_nonce_is_used_once() {
        let mut nonces = nonces(10);
        let nonce = nonces.mint(at(1), 42, HERE);
        assert_eq!(
            nonces.use_up(&nonce, None, at(1), HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(
            nonces.use_up(&nonce, None, at(1), HERE),
            NonceVerdict::Replayed
        );
        assert_eq!(
            nonces.use_up(&nonce, Some(u32::MAX), at(1), HERE),
            NonceVerdict::Replayed
        );
    }

    #[test]
    fn nonces_expire() {
        let mut nonces = nonces(10);
        let nonce = nonces.mint(at(1), 42, HERE);
        assert_eq!(
            nonces.use_up(&nonce, Some(1), at(301), HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(nonces.used_count(), 1);
        let end = at(301) + Duration::from_micros(1);
        assert_eq!(
            nonces.check(&nonce, Some(2), end, HERE),
            NonceVerdict::Stale
        );
        let next = nonces.mint(end, 1, HERE);
        assert_eq!(
            nonces.use_up(&next, Some(1), end, HERE),
            NonceVerdict::Fresh
        );
        assert_eq!(nonces.used_count(), 1);
    }

    #[test]
    fn what_we_did_not_make_is_unknown() {
        let ours = nonces(10);
        let nonce = ours.mint(at(5), 42, HERE);
        let mut tampered = nonce.clone();
        tampered.replace_range(
            15..16,
            if nonce.as_bytes()[15] == b'0' {
                "1"
            } else {
                "0"
            },
        );
        let other = Nonces::new([8; 32], LIFETIME, 10).mint(at(5), 42, HERE);
        let long = format!("{nonce}00");
        for foreign in ["", "abc", "é", &nonce[2..], &tampered, &other, &long] {
            assert_eq!(
                ours.check(foreign, Some(1), at(6), HERE),
                NonceVerdict::Unknown,
                "{foreign}"
            );
        }
        assert_eq!(
            ours.check(&nonce, Some(1), at(4), HERE),
            NonceVerdict::Unknown
        );
    }

    #[test]
    fn a_nonce_is_good_for_whom_it_was_given_to() {
        let mut nonces = nonces(10);
        let nonce = nonces.mint(at(1), 42, HERE);
        let verdict = nonces.use_up(&nonce, Some(1), at(1), [2; 16]);
        assert_eq!(verdict, NonceVerdict::Unknown);
        assert_eq!(
            nonces.use_up(&nonce, Some(1), at(1), HERE),
            NonceVerdict::Fresh
        );
    }

    #[test]
    fn over_the_bound_the_oldest_expire_and_are_never_accepted_again() {
        let mut nonces = nonces(3);
        let minted: Vec<_> = (0..8)
            .map(|second| nonces.mint(at(second), 1, HERE))
            .collect();
        for nonce in minted.iter().rev() {
            nonces.use_up(nonce, Some(1), at(9), HERE);
            assert!(nonces.used_count() <= 3);
        }
        for nonce in &minted {
            assert_ne!(
                nonces.check(nonce, Some(1), at(9), HERE),
                NonceVerdict::Fresh
            );
        }
        assert_eq!(
            nonces.check(&minted[7], Some(2), at(9), HERE),
            NonceVerdict::Fresh
        );
        let fresh = nonces.mint(at(9), 1, HERE);
        assert_eq!(
            nonces.use_up(&fresh, Some(1), at(9), HERE),
            NonceVerdict::Fresh
        );
    }
}
