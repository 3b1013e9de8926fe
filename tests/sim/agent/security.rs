//! SRTP as an agent does it: what it says of its keys (SDES, RFC 4568), and what it does with its packets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trunkline::media::srtp::{Inbound, MasterKey, OVERHEAD_BYTES_MAX, Outbound, Suite};

use crate::network::Rng;

/// What an agent does of SRTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Srtp {
    /// What it offers and takes, the preferred one first.
    pub(crate) suites: &'static [Suite],
    /// It offers RTP/SAVP, and takes nothing without keys; it offers RTP/AVP with keys otherwise (RFC 8643).
    pub(crate) is_required: bool,
}

/// Which description of an exchange one is (RFC 3264).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Offer,
    Answer,
}

/// A key in a description.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) tag: u32,
    pub(crate) key: MasterKey,
}

/// The keys of a call.
#[derive(Default)]
pub(crate) struct Security {
    /// Another number, other keys of ours.
    pub(crate) generation: u32,
    /// What their last description says.
    pub(crate) theirs: Vec<Line>,
    /// Its profile.
    pub(crate) is_secure_profile: bool,
    sending: Option<(MasterKey, Outbound)>,
    receiving: Option<(MasterKey, Inbound)>,
    /// The contexts before the last change of keys.
    former: Option<(Outbound, Inbound)>,
}

impl Srtp {
    pub(crate) const REQUIRED: Srtp = Srtp {
        suites: &Suite::ALL,
        is_required: true,
    };
    pub(crate) const BEST_EFFORT: Srtp = Srtp {
        suites: &Suite::ALL,
        is_required: false,
    };

    /// Nothing but this suite.
    pub(crate) fn only(suite: Suite) -> Self {
        let mut alone = Suite::ALL.chunks(1);
        Self {
            suites: alone.find(|suites| suites.contains(&suite)).unwrap(),
            is_required: true,
        }
    }
}

impl Security {
    /// The key of a call for what it sends by a suite.
    fn key(&self, call_id: &str, suite: Suite) -> MasterKey {
        let seed = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let words = format!("{call_id} {} {suite:?}", self.generation);
        let mut rng = Rng::new(words.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, seed));
        MasterKey::made_of(suite, |bytes| bytes.fill_with(|| rng.next() as u8))
    }

    /// The keys of another phone that was sent the same INVITE, with these lines.
    pub(crate) fn of_fork(&self, theirs: Vec<Line>) -> Self {
        Self {
            generation: self.generation + 1,
            theirs,
            is_secure_profile: self.is_secure_profile,
            ..Self::default()
        }
    }

    /// The profile and the `a=crypto` lines of a description.
    pub(crate) fn described(
        &self,
        srtp: Option<Srtp>,
        call_id: &str,
        role: Role,
    ) -> (&'static str, String) {
        let Some(srtp) = srtp else {
            return ("RTP/AVP", String::new());
        };
        let suites: Vec<(u32, Suite)> = match role {
            Role::Offer => (1..).zip(srtp.suites.iter().copied()).collect(),
            Role::Answer => {
                let taken = self.taken(srtp).into_iter();
                taken.map(|line| (line.tag, line.key.suite())).collect()
            }
        };
        let line = |(tag, suite)| Line {
            tag,
            key: self.key(call_id, suite),
        };
        let lines: String = suites.into_iter().map(|it| line(it).text()).collect();
        let is_secure = match role {
            Role::Offer => srtp.is_required,
            Role::Answer => self.is_secure_profile,
        };
        let profile = if is_secure { "RTP/SAVP" } else { "RTP/AVP" };
        (profile, lines)
    }

    /// Whether the last offer has nothing for one who takes SRTP alone.
    pub(crate) fn is_missing(&self, srtp: Option<Srtp>) -> bool {
        srtp.is_some_and(|srtp| srtp.is_required && self.taken(srtp).is_none())
    }

    /// The line of theirs that is taken.
    fn taken(&self, srtp: Srtp) -> Option<&Line> {
        let mut theirs = self.theirs.iter();
        theirs.find(|line| srtp.suites.contains(&line.key.suite()))
    }

    /// Offer and answer are known: packets have these keys from now on, and go on where the keys stay.
    pub(crate) fn agree(&mut self, srtp: Option<Srtp>, call_id: &str) {
        let taken = srtp.and_then(|srtp| self.taken(srtp));
        let Some(theirs) = taken.map(|line| line.key.clone()) else {
            self.sending = None;
            self.receiving = None;
            return;
        };
        let ours = self.key(call_id, theirs.suite());
        let sends = self.sending.as_ref().is_some_and(|(key, _)| *key == ours);
        let receives = (self.receiving.as_ref()).is_some_and(|(key, _)| *key == theirs);
        let mut former = (None, None);
        if !sends {
            let outbound = Outbound::new(&ours);
            former.0 = self.sending.replace((ours, outbound));
        }
        if !receives {
            let inbound = Inbound::new(&theirs, &[]);
            former.1 = self.receiving.replace((theirs, inbound));
        }
        if let (Some((_, outbound)), Some((_, inbound))) = former {
            self.former = Some((outbound, inbound));
        }
    }

    pub(crate) fn is_agreed(&self) -> bool {
        self.sending.is_some()
    }

    /// What is used: the suite.
    pub(crate) fn suite(&self) -> Option<Suite> {
        self.sending.as_ref().map(|(key, _)| key.suite())
    }

    /// A packet as it is sent; by the keys before the last ones where `is_late`.
    pub(crate) fn protect(&mut self, packet: &[u8], is_rtcp: bool, is_late: bool) -> Vec<u8> {
        let outbound = match is_late {
            true => self.former.as_mut().map(|(outbound, _)| outbound),
            false => self.sending.as_mut().map(|(_, outbound)| outbound),
        };
        let mut buffer = packet.to_vec();
        let Some(outbound) = outbound else {
            return buffer;
        };
        buffer.resize(packet.len() + OVERHEAD_BYTES_MAX, 0);
        let length = match is_rtcp {
            true => outbound.protect_rtcp(&mut buffer, packet.len()),
            false => outbound.protect_rtp(&mut buffer, packet.len()),
        };
        buffer.truncate(length.unwrap());
        buffer
    }

    /// What a packet says that came; nothing where it is not of the keys.
    pub(crate) fn unprotect(&mut self, packet: &[u8], is_rtcp: bool) -> Option<Vec<u8>> {
        let mut buffer = packet.to_vec();
        let Some((_, inbound)) = &mut self.receiving else {
            return Some(buffer);
        };
        let length = match is_rtcp {
            true => inbound.unprotect_rtcp(&mut buffer),
            false => inbound.unprotect_rtp(&mut buffer),
        };
        buffer.truncate(length.ok()?);
        Some(buffer)
    }
}

impl Line {
    fn text(&self) -> String {
        let Line { tag, key } = self;
        let name = name(key.suite());
        format!(
            "a=crypto:{tag} {name} inline:{}\r\n",
            STANDARD.encode(key.bytes())
        )
    }
}

/// The names of RFC 4568 §6.2, RFC 6188 §5 and RFC 7714 §14.2.
const NAMES: [(&str, Suite); 6] = [
    ("AES_CM_128_HMAC_SHA1_80", Suite::AesCm128HmacSha1_80),
    ("AES_CM_128_HMAC_SHA1_32", Suite::AesCm128HmacSha1_32),
    ("AES_256_CM_HMAC_SHA1_80", Suite::AesCm256HmacSha1_80),
    ("AES_256_CM_HMAC_SHA1_32", Suite::AesCm256HmacSha1_32),
    ("AEAD_AES_128_GCM", Suite::AeadAes128Gcm),
    ("AEAD_AES_256_GCM", Suite::AeadAes256Gcm),
];

fn name(suite: Suite) -> &'static str {
    let mut names = NAMES.iter();
    names.find(|(_, known)| *known == suite).unwrap().0
}

/// The keys in a description, read by hand; those that cannot be read are left out.
pub(crate) fn read_lines(text: &str) -> Vec<Line> {
    let values = text
        .lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"));
    let read = |value: &str| {
        let mut words = value.split(' ');
        let tag = words.next()?.parse().ok()?;
        let name = words.next()?;
        let (_, suite) = NAMES.iter().find(|(known, _)| *known == name)?;
        let key = words.next()?.strip_prefix("inline:")?;
        let key = STANDARD.decode(key.split('|').next()?).ok()?;
        let key = MasterKey::new(*suite, &key)?;
        Some(Line { tag, key })
    };
    values.filter_map(read).collect()
}
