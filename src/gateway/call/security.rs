//! Whether a leg's media is encrypted, and its keys (SDES, RFC 4568).
//!
//! Each leg has its own: what is SRTP on one may be RTP on the other, or SRTP by another suite. A key of ours is
//! never used again once what it protected was given up, for packets would be numbered from the start again.

use std::net::SocketAddr;

use bytes::Bytes;

use super::Leg;
use super::anchor::description_in;
use crate::config::{CarrierPolicy, SrtpMode, SrtpPolicy, Suite};
use crate::gateway::refusal::{Cause, Warning};
use crate::gateway::{Party, Refusal};
use crate::media::Protection;
use crate::media::srtp::MasterKey;
use crate::sdp::{
    Codecs, Crypto, CryptoFault, CryptoLine, LocalDescription, NoStream, Ours, RemoteStream,
    Security, SessionDescription,
};
use crate::shard::core::Core;
use crate::shard::random::KeyMaterial;
use crate::sip::message::Fields;

/// Which of the two descriptions of an exchange it is (RFC 3264).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SdpRole {
    Offer,
    Answer,
}

/// What a leg does of SRTP, and the keys it has.
#[derive(Debug)]
pub(super) struct Keying {
    policy: SrtpPolicy,
    /// Ours, as the INVITE offers them; forks may take different ones, or none.
    offered: Vec<CryptoLine>,
    /// The last offer of ours waits for its answer.
    is_waiting: bool,
    dialog: DialogKeys,
}

/// The keys of one dialog: each fork of an INVITE makes its own (RFC 3261 §13.2.2.4).
#[derive(Debug, Default)]
pub(super) struct DialogKeys {
    agreed: Option<Agreed>,
    /// Ours, as they were made for an offer in this dialog alone, after the INVITE's.
    offered_later: Vec<CryptoLine>,
    /// There was an offer after the one with the keys that were made: no answer takes any of them now, nor are
    /// they offered again.
    is_offer_spent: bool,
}

#[derive(Debug)]
struct Agreed {
    /// As the peer's offer has to be answered, or ours was.
    ours: CryptoLine,
    theirs: CryptoLine,
    /// It goes by RTP/SAVP, not by RTP/AVP with keys.
    is_secure_profile: bool,
}

impl Keying {
    pub(super) fn new(policy: SrtpPolicy) -> Self {
        Self {
            policy,
            offered: Vec::new(),
            is_waiting: false,
            dialog: DialogKeys::default(),
        }
    }

    /// Whether nothing may pass before there are keys.
    pub(super) fn is_required(&self) -> bool {
        self.mode() == SrtpMode::Required
    }

    pub(super) fn mode(&self) -> SrtpMode {
        self.policy.mode
    }

    /// Chooses the stream of a peer's description.
    ///
    /// # Errors
    /// 488, with a warning that says why none of its streams will do.
    pub(super) fn choose(
        &self,
        description: &mut SessionDescription,
        role: SdpRole,
    ) -> Result<(), Refusal> {
        let takes = |line: &CryptoLine| match role {
            SdpRole::Offer => self.policy.suites.contains(&line.key.suite()),
            SdpRole::Answer => self.line_answered_by(line).is_some(),
        };
        let chosen = description.choose(self.security(role), takes);
        chosen.map_err(|reason| match (reason, role) {
            // Of the peer's own, not of somebody who calls.
            (NoStream::EncryptionWanted, SdpRole::Answer) => Refusal {
                warning: Some(Warning::EncryptionRequired),
                ..Refusal::new(488, "Answer Without SDES Keys")
            },
            (reason, _) => refusal(reason),
        })
    }

    fn security(&self, role: SdpRole) -> Security {
        match (self.policy.mode, role) {
            (SrtpMode::Required, _) => Security::Required,
            (SrtpMode::Off, _) => Security::Plain,
            (SrtpMode::Accept | SrtpMode::Optional, SdpRole::Offer) => Security::Any,
            (SrtpMode::Optional, SdpRole::Answer) => Security::Any,
            // What was offered in the clear is answered so.
            (SrtpMode::Accept, SdpRole::Answer) => match self.dialog.agreed {
                Some(_) => Security::Any,
                None => Security::Plain,
            },
        }
    }

    /// The line of a peer's stream that is taken, where there is one: the first of our preference in an offer, the
    /// one that answers a line of ours in an answer.
    fn taken<'a>(&self, stream: &'a RemoteStream, role: SdpRole) -> Option<&'a CryptoLine> {
        let of_suite = |suite: Suite| {
            let mut lines = stream.crypto.iter();
            lines.find(move |line| line.key.suite() == suite)
        };
        match role {
            SdpRole::Offer => self.policy.suites.iter().find_map(|suite| of_suite(*suite)),
            SdpRole::Answer => stream
                .crypto
                .iter()
                .find(|line| self.line_answered_by(line).is_some()),
        }
    }

    fn line_answered_by(&self, line: &CryptoLine) -> Option<&CryptoLine> {
        // What was agreed on may be said again without being offered anew.
        let agreed = self.dialog.agreed.iter().map(|agreed| &agreed.ours);
        let offered = (!self.dialog.is_offer_spent).then(|| self.made());
        let mut known = agreed.chain(offered.into_iter().flatten());
        known.find(|ours| ours.tag == line.tag && ours.key.suite() == line.key.suite())
    }

    /// What an offer of ours says: keys are made for it where there are none yet.
    pub(super) fn offer(&mut self, material: &mut KeyMaterial) -> Crypto<'_> {
        let (mode, is_secure_profile) = match &self.dialog.agreed {
            Some(agreed) => (SrtpMode::Required, agreed.is_secure_profile),
            None => (self.policy.mode, self.is_required()),
        };
        match mode {
            SrtpMode::Off | SrtpMode::Accept => return Crypto::None,
            SrtpMode::Optional | SrtpMode::Required => {}
        }
        self.is_waiting = true;
        let lines = match &self.dialog.agreed {
            // What both ends use already.
            Some(agreed) => {
                self.dialog.is_offer_spent = true;
                std::slice::from_ref(&agreed.ours)
            }
            None => {
                let suites = (1..).zip(self.policy.suites.iter());
                let lines = suites.map(|(tag, suite)| new_line(tag, *suite, material));
                if self.dialog.is_offer_spent {
                    self.dialog.offered_later = lines.collect();
                    self.dialog.is_offer_spent = false;
                } else if self.offered.is_empty() {
                    self.offered = lines.collect();
                }
                self.made()
            }
        };
        match is_secure_profile {
            true => Crypto::Required(lines),
            false => Crypto::Optional(lines),
        }
    }

    /// The lines that were made for an offer last.
    fn made(&self) -> &[CryptoLine] {
        match self.dialog.offered_later.as_slice() {
            [] => &self.offered,
            later => later,
        }
    }

    /// What an answer of ours to the peer's last offer says.
    pub(super) fn answer(&self) -> Crypto<'_> {
        match &self.dialog.agreed {
            Some(agreed) => Crypto::Required(std::slice::from_ref(&agreed.ours)),
            None => Crypto::None,
        }
    }

    /// The stream of a peer's description holds from now on.
    pub(super) fn agree(
        &mut self,
        stream: &RemoteStream,
        role: SdpRole,
        material: &mut KeyMaterial,
    ) {
        self.is_waiting = false;
        if role == SdpRole::Offer {
            self.dialog.is_offer_spent = true;
        }
        if !stream.transport.is_rtp() {
            // Fax goes without keys; audio may come back to those that there are.
            return;
        }
        let Some(theirs) = self.taken(stream, role).cloned() else {
            self.dialog.agreed = None;
            return;
        };
        let ours = match role {
            SdpRole::Answer => self.line_answered_by(&theirs).cloned(),
            SdpRole::Offer => None,
        };
        let before = self.dialog.agreed.take();
        let same = before.filter(|before| before.theirs.key == theirs.key);
        let ours = ours.unwrap_or_else(|| match same {
            // Who offers a key again goes on with it, and so do we.
            Some(same) => CryptoLine {
                tag: theirs.tag,
                ..same.ours
            },
            None => new_line(theirs.tag, theirs.key.suite(), material),
        });
        self.dialog.agreed = Some(Agreed {
            ours,
            theirs,
            is_secure_profile: stream.transport.is_secure(),
        });
    }

    /// Another fork of our INVITE is the leg's peer: takes up the keys of its dialog, new ones where it has said
    /// nothing yet, and returns those of the one before.
    pub(super) fn switch(&mut self, dialog: DialogKeys) -> DialogKeys {
        self.is_waiting = dialog.agreed.is_none();
        std::mem::replace(&mut self.dialog, dialog)
    }

    /// What protects the leg's packets; `is_new_place` tells that the peer's description has another address than
    /// the one before.
    pub(super) fn protection(&self, is_new_place: bool) -> Protection<'_> {
        match &self.dialog.agreed {
            Some(Agreed { ours, theirs, .. }) => Protection::Agreed {
                ours: &ours.key,
                theirs: &theirs.key,
                their_mki: &theirs.mki,
                is_new_place,
            },
            None if self.is_required() => Protection::Awaited,
            // What comes before the answer may be one or the other.
            None if self.is_waiting && !self.made().is_empty() => Protection::Awaited,
            None => Protection::None,
        }
    }
}

fn new_line(tag: u32, suite: Suite, material: &mut KeyMaterial) -> CryptoLine {
    CryptoLine {
        tag,
        key: MasterKey::made_of(suite, |bytes| material.fill(bytes)),
        mki: Vec::new(),
    }
}

/// RFC 3261 §21.4.26: a description that will not do.
fn refusal(reason: NoStream) -> Refusal {
    let (cause, warning) = match reason {
        NoStream::NoAudio => (Cause::NoAudio, Warning::MediaTypeNotAvailable),
        NoStream::EncryptionWanted => (Cause::SdesRequired, Warning::EncryptionRequired),
        NoStream::EncryptionNotTaken => (
            Cause::EncryptedMediaNotTaken,
            Warning::IncompatibleTransportProtocol,
        ),
        NoStream::Crypto(fault) => (
            Cause::NoUsableCrypto,
            match fault {
                CryptoFault::Malformed => Warning::CryptoMalformed,
                CryptoFault::UnknownSuite => Warning::CryptoSuiteUnknown,
                CryptoFault::UnsupportedParameter => Warning::CryptoParameterUnsupported,
            },
        ),
    };
    Refusal {
        warning: Some(warning),
        ..cause.into()
    }
}

/// How media is encrypted with a peer.
pub(super) fn srtp_policy(core: &Core, party: Party, policy: Option<&CarrierPolicy>) -> SrtpPolicy {
    let customers = &core.settings.srtp;
    match party {
        Party::Carrier => policy.map(|policy| policy.srtp.clone()).unwrap_or_default(),
        Party::Customer(connector) => {
            let connector = core.snapshot.connectors.get(&connector);
            match connector.is_some_and(|connector| connector.require_encryption) {
                true => customers.required(),
                false => customers.clone(),
            }
        }
    }
}

/// Refuses an offer of fax to somebody whose media has to be encrypted.
pub(super) fn may_be_offered(
    offer: Option<&SessionDescription>,
    mode: SrtpMode,
) -> Result<(), Refusal> {
    let stream = offer.and_then(SessionDescription::stream);
    let is_fax = stream.is_some_and(|stream| !stream.transport.is_rtp());
    match is_fax && mode == SrtpMode::Required {
        true => Err(refusal(NoStream::EncryptionWanted)),
        false => Ok(()),
    }
}

impl Leg {
    /// What the peer has said last, with its stream chosen anew.
    pub(super) fn remote_session(&self) -> Option<SessionDescription> {
        let mut session = SessionDescription::parse(&self.remote).ok()?;
        self.keying.choose(&mut session, SdpRole::Offer).ok()?;
        Some(session)
    }

    /// The description in a message of the peer: `None` without one.
    ///
    /// # Errors
    /// What is answered where it cannot be read or used.
    pub(super) fn description_in(
        &self,
        message: &Fields,
        role: SdpRole,
    ) -> Result<Option<SessionDescription>, Refusal> {
        description_in(message, &self.keying, role)
    }

    /// The offer to the peer that carries on what the other leg's peer offers; `ours` is where we want its
    /// media, and what of the codecs goes on.
    pub(super) fn offer(
        &mut self,
        core: &mut Core,
        from_peer: &SessionDescription,
        ours: (SocketAddr, &Codecs),
    ) -> Bytes {
        self.say_offer(core, ours, |local, ours| local.offer(from_peer, ours))
    }

    /// The same of what it said a while ago: media is to flow both ways, whatever held it up then.
    pub(super) fn offer_both_ways(
        &mut self,
        core: &mut Core,
        from_peer: &SessionDescription,
        ours: (SocketAddr, &Codecs),
    ) -> Bytes {
        self.say_offer(core, ours, |local, ours| {
            local.offer_both_ways(from_peer, ours)
        })
    }

    fn say_offer(
        &mut self,
        core: &mut Core,
        (address, codecs): (SocketAddr, &Codecs),
        say: impl FnOnce(&mut LocalDescription, &Ours<'_>) -> Bytes,
    ) -> Bytes {
        let ours = Ours {
            address,
            codecs,
            crypto: self.keying.offer(&mut core.keys),
            rtcp_mux: core.settings.offer_rtcp_mux || self.is_muxed,
        };
        say(&mut self.local, &ours)
    }

    /// The answer to the peer's offer that carries on the answer of the other leg's peer.
    pub(super) fn answer(
        &mut self,
        offer: &SessionDescription,
        answer: &SessionDescription,
        (address, codecs): (SocketAddr, &Codecs),
    ) -> Bytes {
        let ours = Ours {
            address,
            codecs,
            crypto: self.keying.answer(),
            rtcp_mux: true,
        };
        self.local.answer(offer, answer, &ours)
    }
}
