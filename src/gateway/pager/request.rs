//! The MESSAGE that the receiver gets.

use bytes::Bytes;

use super::{Attempt, PagerMessage};
use crate::gateway::Refusal;
use crate::gateway::call::invitation::request_uri;
use crate::gateway::headers::{self, Passage, Privacy, Towards, user_for};
use crate::numbering::E164;
use crate::shard::core::{Core, finished, message_buffer};
use crate::sip::message::{HeaderName, Method};
use crate::sip::writer::Writer;

/// Bytes of a whole request of ours at most: nobody knows that it will not come to a link without congestion control
/// (RFC 3428 §8).
const REQUEST_BYTES_MAX: usize = 1_300;

/// Bytes that a request over UDP has to stay below the path's MTU (RFC 3261 §18.1.1).
const BELOW_MTU: usize = 200;

impl PagerMessage {
    /// Writes it for a place: the body as it came, From with the number that stands for the sender, and nothing else
    /// that tells who that is. There is no Contact (RFC 3428 §4). 413 where it is too large.
    pub(super) fn write_request(
        &self,
        core: &mut Core,
        attempt: &mut Attempt,
        branch: &str,
    ) -> Result<Bytes, Refusal> {
        let body = self.request.body();
        let policy = attempt.candidate.policy.clone();
        let written = |number: E164| user_for(&number.to_string(), policy.as_deref());
        let (caller, called) = (written(self.facts.caller), written(self.facts.called));
        let target = &attempt.candidate.target;
        let uri = request_uri(&called, target, self.is_sips);
        let (to, host) = (
            target.host.to_string(),
            core.advertised_host(attempt.flow.listener),
        );
        let scheme = if self.is_sips { "<sips:" } else { "<sip:" };
        let mut out = message_buffer();
        let mut writer = Writer::request(&mut out, Method::Message.as_str(), &uri);
        core.write_via(&mut writer, &attempt.flow, branch);
        let hops = self.request.max_forwards().ok().flatten();
        let hops = hops.unwrap_or(70).saturating_sub(1);
        let cseq = attempt.cseq.to_string();
        writer
            .number(HeaderName::MaxForwards, u64::from(hops))
            .field(
                HeaderName::From,
                &[scheme, &caller, "@", host, ">;tag=", &attempt.from_tag],
            )
            .field(HeaderName::To, &[scheme, &called, "@", &to, ">"])
            .field(HeaderName::CallId, &[&attempt.call_id])
            .field(HeaderName::CSeq, &[&cseq, " ", Method::Message.as_str()]);
        let passage = Passage {
            towards: Towards::Carrier,
            source: None,
            target: policy.as_deref(),
            host,
            caller: Some(self.facts.caller),
            privacy: Privacy::default(),
            is_masked: true,
        };
        headers::carry(&self.request, &passage, &mut writer);
        let credentials = policy
            .as_ref()
            .and_then(|policy| policy.credentials.as_ref());
        if let (Some(credentials), Some(authorization)) = (credentials, &mut attempt.authorization)
        {
            let cnonce = core.random.next_u64();
            authorization.write(credentials, &mut writer, (Method::Message, &uri), cnonce);
        }
        match &self.content_type {
            Some(content_type) => writer.body(content_type, body),
            None => writer.end(),
        }
        match out.len() > request_bytes_max(core.settings.udp_mtu) {
            true => Err(too_large()),
            false => Ok(finished(out)),
        }
    }
}

/// The least that holds for all places, so that it does not depend on the place what can be sent.
pub(super) fn request_bytes_max(udp_mtu: usize) -> usize {
    match udp_mtu {
        0 => REQUEST_BYTES_MAX,
        mtu => REQUEST_BYTES_MAX.min(mtu.saturating_sub(BELOW_MTU)),
    }
}

pub(super) fn too_large() -> Refusal {
    Refusal::new(413, "Message Too Large")
}
