//! The keys of a leg, and what becomes of its packets by them.

use super::counters::DropReason;
use super::relay::index;
use super::rtcp::renumber;
use super::srtp::{Inbound, MasterKey, Outbound, SrtpError, Suite};
use super::{Media, MediaSocket, Protection};

/// Keys of ours that are kept: one of each suite, should forks choose differently, and the one before them.
const OUTBOUND_MAX: usize = 7;

/// The keys of one leg that speaks SRTP.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Ours, the present one last. Those before it are kept should the peer come back to one: no packets of a key
    /// are numbered from the start again.
    outbound: Vec<(MasterKey, Outbound)>,
    inbound: Option<(Theirs, Inbound)>,
    /// The peer's key before the present one: packets of it may be under way until one of the new key comes.
    former: Option<(Theirs, Inbound)>,
}

#[derive(PartialEq, Eq, Debug)]
struct Theirs {
    key: MasterKey,
    mki: Box<[u8]>,
}

impl Media {
    /// Puts the sequence numbers in RTCP of a leg whose packets leave shifted back to those of the other side.
    pub(super) fn renumber(&mut self, arrived: MediaSocket, rtcp: &mut [u8]) {
        let stream = self.streams.get(index(arrived));
        if stream.is_some_and(|stream| stream.kind.is_secure)
            && let Some(keys) = self.keys(arrived)
        {
            keys.renumber(rtcp);
        }
    }
}

impl Keys {
    /// Takes what both ends have agreed on. A key that stays goes on where it was: its packets are numbered on.
    pub(super) fn agree(&mut self, protection: &Protection<'_>) {
        let Protection::Agreed {
            ours,
            theirs,
            their_mki,
            is_new_place,
        } = protection
        else {
            return;
        };
        let known = self.outbound.iter().position(|(key, _)| key == *ours);
        let present = match known {
            Some(place) => self.outbound.remove(place),
            None => {
                // RFC 3711 §3.3.1: the numbers go on over a new key.
                let outbound = match self.outbound.last() {
                    Some((_, before)) if !*is_new_place => before.rekeyed(ours),
                    Some(_) | None => Outbound::new(ours),
                };
                ((*ours).clone(), outbound)
            }
        };
        if self.outbound.len() >= OUTBOUND_MAX {
            self.outbound.remove(0);
        }
        self.outbound.push(present);
        let theirs = Theirs {
            key: (*theirs).clone(),
            mki: (*their_mki).into(),
        };
        if self.inbound.as_ref().is_some_and(|(key, _)| *key == theirs) {
            return;
        }
        let inbound = match (self.former.take(), &self.inbound) {
            // Back to the key before: what it has opened stays known.
            (Some((key, inbound)), _) if key == theirs => inbound,
            (_, Some((_, inbound))) => inbound.rekeyed(&theirs.key, &theirs.mki),
            (_, None) => Inbound::new(&theirs.key, &theirs.mki),
        };
        self.former = self.inbound.replace((theirs, inbound));
    }

    /// Makes RTP or RTCP of a packet that came; the bytes that are left, and whether it was the former key's.
    pub(super) fn unprotect(
        &mut self,
        packet: &mut [u8],
        is_rtcp: bool,
    ) -> Result<(usize, bool), DropReason> {
        let Some((_, inbound)) = &mut self.inbound else {
            return Err(DropReason::NotAuthentic);
        };
        let open = |inbound: &mut Inbound, packet: &mut [u8]| match is_rtcp {
            true => inbound.unprotect_rtcp(packet),
            false => inbound.unprotect_rtp(packet),
        };
        let result = open(inbound, packet);
        match (&result, &mut self.former) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) if is_rtcp => {}
            (Ok(_), former) => *former = None,
            (Err(SrtpError::BadTag | SrtpError::WrongMki), Some((_, former))) => {
                let length = open(former, packet).map_err(reason)?;
                return Ok((length, true));
            }
            (Err(_), _) => {}
        }
        let length = result.map_err(reason)?;
        Ok((length, false))
    }

    /// Makes SRTP or SRTCP of a packet that goes out; the bytes that it has then.
    pub(super) fn protect(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        is_rtcp: bool,
    ) -> Result<usize, DropReason> {
        let Some((_, outbound)) = self.outbound.last_mut() else {
            return Err(DropReason::NoDestination);
        };
        let result = match is_rtcp {
            true => outbound.protect_rtcp(buffer, length),
            false => outbound.protect_rtp(buffer, length),
        };
        result.map_err(reason)
    }

    fn renumber(&self, rtcp: &mut [u8]) {
        if let Some((_, outbound)) = self.outbound.last() {
            renumber(rtcp, |ssrc| outbound.shift_of(ssrc));
        }
    }

    /// Of what we send; `None` before keys are agreed on.
    pub(super) fn suite(&self) -> Option<Suite> {
        self.outbound.last().map(|(key, _)| key.suite())
    }
}

fn reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::Malformed | SrtpError::NoRoom => DropReason::Malformed,
        SrtpError::BadTag | SrtpError::WrongMki => DropReason::NotAuthentic,
        SrtpError::Replayed => DropReason::Replayed,
        SrtpError::KeyExhausted => DropReason::NoDestination,
    }
}
