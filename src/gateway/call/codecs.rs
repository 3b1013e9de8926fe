//! Which codecs the sides of a call may speak with, where carriers take only some.

use std::sync::Arc;

use super::invitation::{Invitation, Session};
use super::security::SdpRole;
use super::{Call, Side};
use crate::config::CodecList;
use crate::gateway::Refusal;
use crate::gateway::refusal::Warning;
use crate::gateway::routing::Candidate;
use crate::sdp::{Codecs, SessionDescription};
use crate::sip::message::Fields;

impl Call {
    /// The only codecs that a side takes.
    pub(super) fn codecs_of(&self, side: Side) -> Option<Arc<CodecList>> {
        self.leg(side)?.policy.as_ref()?.codecs.clone()
    }

    /// What `to` may be told of what the other side says.
    pub(super) fn codecs(&self, to: Side) -> Codecs {
        Codecs {
            to: self.codecs_of(to),
            from: self.codecs_of(to.other()),
        }
    }

    /// What `to` may be told of what the target of a transfer says.
    pub(super) fn codecs_of_target(&self, to: Side) -> Codecs {
        let policy = self.target_leg().and_then(|leg| leg.policy.as_ref());
        Codecs {
            to: self.codecs_of(to),
            from: policy.and_then(|policy| policy.codecs.clone()),
        }
    }

    /// The offer in a request of this side: one that leaves nothing to speak with is refused.
    pub(super) fn offer_in(
        &self,
        from: Side,
        request: &Fields,
    ) -> Result<Option<SessionDescription>, Refusal> {
        let offer = self.description_in(from, request, SdpRole::Offer)?;
        has_speech(offer.as_ref(), &self.codecs(from.other()))?;
        Ok(offer)
    }

    /// The answer, or the late offer, in a message of this side, where it leaves something to speak with.
    pub(super) fn answer_in(
        &self,
        from: Side,
        message: &Fields,
        role: SdpRole,
    ) -> Option<SessionDescription> {
        let answer = self.description_in(from, message, role);
        let answer = answer.unwrap_or_default();
        answer.filter(|answer| answer.has_speech(&self.codecs(from.other())))
    }

    /// Whether a place may be offered anything to speak with.
    pub(super) fn has_codec_for(
        &self,
        invitation: Option<Invitation<'_>>,
        candidate: &Candidate,
    ) -> Result<(), Refusal> {
        let Some(invitation) = invitation else {
            return Ok(());
        };
        let offer = match invitation.session {
            Session::Asked => None,
            Session::Offered(offer) | Session::Renewed(offer) => Some(offer),
        };
        has_speech(offer, &invitation.codecs_for(candidate.policy.as_deref()))
    }
}

/// Refuses an offer of which nothing to speak with would be left.
pub(super) fn has_speech(
    offer: Option<&SessionDescription>,
    codecs: &Codecs,
) -> Result<(), Refusal> {
    match offer.is_none_or(|offer| offer.has_speech(codecs)) {
        true => Ok(()),
        false => Err(Refusal {
            warning: Some(Warning::IncompatibleMediaFormat),
            ..Refusal::new(488, "No Common Codec")
        }),
    }
}
