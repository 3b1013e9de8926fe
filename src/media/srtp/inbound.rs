//! What arrives by one key.

use std::fmt;

use super::cipher::{Cipher, Packet};
use super::derivation::Protocol;
use super::layout::{ENCRYPTED, RTCP_HEADER_BYTES, RtpHeader, rtcp_ssrc};
use super::replay::ReplayWindow;
use super::sources::Sources;
use super::suite::MasterKey;
use super::{PACKET_BYTES_MAX, SrtpError};

/// Sources that a key keeps apart; for one more the one that was silent for longest is given up.
const SSRCS_MAX: usize = 32;

/// Unprotects packets with one key.
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    /// Stands in every packet; empty where there is none.
    mki: Box<[u8]>,
    pub(super) rtp_sources: Sources<ReplayWindow>,
    pub(super) rtcp_sources: Sources<ReplayWindow>,
    /// The highest indices under the former key, of sources that have not been heard under this one.
    former: Vec<(u32, u64)>,
}

impl Inbound {
    /// The packets carry `mki`, a master key identifier, in their trailer; empty: they carry none.
    pub fn new(key: &MasterKey, mki: &[u8]) -> Self {
        Self {
            rtp: Cipher::new(key, Protocol::Rtp),
            rtcp: Cipher::new(key, Protocol::Rtcp),
            mki: mki.into(),
            rtp_sources: Sources::new(),
            rtcp_sources: Sources::new(),
            former: Vec::new(),
        }
    }

    /// Goes on with another key. A source may continue its roll-over counter (RFC 3711 §3.3.1) or start
    /// at 0 again, as peers do that know no former key; its first packet shows which.
    pub fn rekeyed(&self, key: &MasterKey, mki: &[u8]) -> Self {
        let heard = self.rtp_sources.iter();
        let mut former: Vec<(u32, u64)> = heard
            .map(|(ssrc, window)| (*ssrc, window.highest()))
            .collect();
        former.extend(&self.former);
        former.truncate(SSRCS_MAX);
        Self {
            former,
            ..Self::new(key, mki)
        }
    }

    /// Unprotects an SRTP packet in place and returns the length of the RTP packet at its start.
    ///
    /// # Errors
    ///
    /// Packet and state are as they were.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        check_length(packet)?;
        let at = self.rtp.trailer(packet.len(), self.mki.len())?;
        let body = packet.get(..at.body).ok_or(SrtpError::Malformed)?;
        let header = RtpHeader::read(body)?;
        self.check_mki(packet, at.mki)?;
        let open = |packet: &mut [u8], index| {
            let about = Packet {
                ssrc: header.ssrc,
                index,
                clear: header.bytes,
            };
            self.rtp.open(&about, packet, &at)
        };
        match self.rtp_sources.get(header.ssrc) {
            Some(window) => {
                let index = index_after(window.highest(), header.sequence)?;
                if !window.is_new(index) {
                    return Err(SrtpError::Replayed);
                }
                open(packet, index)?;
                if let Some(window) = self.rtp_sources.get_mut(header.ssrc) {
                    window.record(index);
                }
            }
            None => {
                let mut candidates = self.first_indices(header.ssrc, header.sequence);
                let index = candidates
                    .find(|index| open(packet, *index).is_ok())
                    .ok_or(SrtpError::BadTag)?;
                drop(candidates);
                let window = ReplayWindow::starting_at(index);
                self.former.retain(|(ssrc, _)| *ssrc != header.ssrc);
                self.rtp_sources.insert(header.ssrc, window, SSRCS_MAX);
            }
        }
        Ok(at.body)
    }

    /// Unprotects an SRTCP packet in place and returns the length of the RTCP packet at its start. SDES
    /// without `UNENCRYPTED_SRTCP` (RFC 4568 §6.3.2) has no SRTCP that is only authenticated: it is
    /// [`SrtpError::Malformed`].
    ///
    /// # Errors
    ///
    /// Packet and state are as they were.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        check_length(packet)?;
        let at = self.rtcp.trailer(packet.len(), self.mki.len())?;
        let body = packet.get(..at.body).ok_or(SrtpError::Malformed)?;
        let ssrc = rtcp_ssrc(body)?;
        let word = packet.get(at.index..).and_then(<[u8]>::first_chunk);
        let word = u32::from_be_bytes(*word.ok_or(SrtpError::Malformed)?);
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::Malformed);
        }
        self.check_mki(packet, at.mki)?;
        let index = u64::from(word & !ENCRYPTED);
        if let Some(window) = self.rtcp_sources.get(ssrc)
            && !window.is_new(index)
        {
            return Err(SrtpError::Replayed);
        }
        let about = Packet {
            ssrc,
            index,
            clear: RTCP_HEADER_BYTES,
        };
        self.rtcp.open(&about, packet, &at)?;
        match self.rtcp_sources.get_mut(ssrc) {
            Some(window) => window.record(index),
            None => {
                let window = ReplayWindow::starting_at(index);
                self.rtcp_sources.insert(ssrc, window, SSRCS_MAX);
            }
        }
        Ok(at.body)
    }

    /// What the index of a source's first packet may be, the likeliest first: after the former key's;
    /// without a roll-over; or after the first roll-over, which was missed where the first packets were
    /// lost.
    fn first_indices(&self, ssrc: u32, sequence: u16) -> impl Iterator<Item = u64> + use<> {
        let former = self.former.iter().find(|(known, _)| *known == ssrc);
        let continued = former.and_then(|(_, highest)| index_after(*highest, sequence).ok());
        let sequence = u64::from(sequence);
        let rolled_over = (sequence < 1 << 15).then_some(sequence + (1 << 16));
        let fresh = [Some(sequence), rolled_over].into_iter().flatten();
        continued
            .into_iter()
            .chain(fresh.filter(move |index| Some(*index) != continued))
    }

    /// The MKI is not authenticated (RFC 3711 §3.1): another one is another key.
    #[inline]
    fn check_mki(&self, packet: &[u8], at: usize) -> Result<(), SrtpError> {
        if self.mki.is_empty() {
            return Ok(());
        }
        match packet.get(at..).and_then(|rest| rest.get(..self.mki.len())) {
            Some(mki) if *mki == *self.mki => Ok(()),
            Some(_) => Err(SrtpError::WrongMki),
            None => Err(SrtpError::Malformed),
        }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inbound").finish_non_exhaustive()
    }
}

/// The index of a sequence number, by the highest index so far (RFC 3711 §3.3.1, appendix A).
#[inline]
fn index_after(highest: u64, sequence: u16) -> Result<u64, SrtpError> {
    let last = highest as u16;
    let roll_over = highest >> 16;
    let roll_over = if last < 1 << 15 {
        match sequence.checked_sub(last) {
            Some(ahead) if ahead > 1 << 15 => {
                roll_over.checked_sub(1).ok_or(SrtpError::Replayed)?
            }
            Some(_) | None => roll_over,
        }
    } else if last - (1 << 15) > sequence {
        roll_over + 1
    } else {
        roll_over
    };
    if roll_over > u64::from(u32::MAX) {
        return Err(SrtpError::KeyExhausted);
    }
    Ok(roll_over << 16 | u64::from(sequence))
}

fn check_length(packet: &[u8]) -> Result<(), SrtpError> {
    match packet.len() {
        0..=PACKET_BYTES_MAX => Ok(()),
        _ => Err(SrtpError::Malformed),
    }
}
