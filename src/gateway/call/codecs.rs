//! Which codecs the sides of a call may speak with, where carriers take only some.

use std::sync::Arc;

use super::invitation::{Invitation, Session};
use super::security::{SdpRole, may_be_offered, srtp_policy};
use super::{Call, Side};
use crate::config::CodecList;
use crate::gateway::Refusal;
use crate::gateway::refusal::{Cause, Warning};
use crate::gateway::routing::Candidate;
use crate::sdp::{Codecs, SessionDescription};
use crate::shard::core::Core;
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
        self.session_in(from, request, SdpRole::Offer)
    }

    /// The answer, or the late offer, in a message of this side, where the other side can use it.
    pub(super) fn session_in(
        &self,
        from: Side,
        message: &Fields,
        role: SdpRole,
    ) -> Result<Option<SessionDescription>, Refusal> {
        let session = self.description_in(from, message, role)?;
        has_speech(session.as_ref(), &self.codecs(from.other()))?;
        if let (SdpRole::Offer, Some(to)) = (role, self.leg(from.other())) {
            may_be_offered(session.as_ref(), to.keying.mode())?;
        }
        Ok(session)
    }

    /// Whether a place may be offered anything to speak with, or send its fax by.
    pub(super) fn has_codec_for(
        &self,
        core: &Core,
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
        let policy = candidate.policy.as_deref();
        may_be_offered(offer, srtp_policy(core, candidate.party, policy).mode)?;
        has_speech(offer, &invitation.codecs_for(policy))
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
            ..Cause::NoCommonCodec.into()
        }),
    }
}
