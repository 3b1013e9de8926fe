//! Requests whose outcome changes nothing: BYE, PRACK, NOTIFY. Only where the peer is a carrier that may ask
//! who we are (RFC 3261 §22) is it waited for, so that they can be sent again with an answer to that.

use super::{Call, Leg, Outcome};
use crate::shard::core::{Core, finished, message_buffer};
use crate::shard::identifiers::CallId;
use crate::shard::io::TransactionId;
use crate::shard::transactions::User;
use crate::sip::dialog::Dialog;
use crate::sip::message::{HeaderName, Method};

/// Requests of a call whose outcome is waited for; further ones are not sent again.
const WAITING_MAX: usize = 16;

/// What such a request says.
pub(super) struct Unattended {
    pub(super) method: Method,
    pub(super) fields: Vec<(HeaderName, Box<str>)>,
    /// Content type and content.
    pub(super) body: Option<(&'static str, String)>,
}

/// One that was sent to somebody who may challenge it.
pub(super) struct Waiting {
    transaction: TransactionId,
    leg: u8,
    /// Of a fork, which has no leg of its own.
    dialog: Option<Dialog>,
    request: Unattended,
}

impl Unattended {
    pub(super) fn bye(reasons: &[Box<str>]) -> Self {
        let reasons = reasons.iter().cloned();
        Self {
            method: Method::Bye,
            fields: reasons.map(|reason| (HeaderName::Reason, reason)).collect(),
            body: None,
        }
    }
}

impl Leg {
    /// Sends a request within the leg's dialog; what there is to wait for. A full table of transactions costs
    /// the peer the request: it finds out by its own means.
    pub(super) fn send_unattended(
        &mut self,
        core: &mut Core,
        call: CallId,
        request: Unattended,
    ) -> Option<Waiting> {
        let ticket = core.ticket()?;
        self.dialog.local_cseq += 1;
        let (cseq, flow) = (self.dialog.local_cseq, self.request_flow(core));
        let mut out = message_buffer();
        let place = (cseq, &flow, ticket.branch.as_str());
        let is_sips = self.is_sips;
        let mut writer = self.write_in_dialog(core, &mut out, request.method, place);
        if request.method == Method::Notify {
            // A target refresh (RFC 6665 §4.1.2.2, §4.2.2).
            core.write_capabilities(&mut writer, &flow, is_sips);
        }
        for (name, value) in &request.fields {
            writer.field(*name, &[value]);
        }
        match &request.body {
            Some((content_type, body)) => writer.body(content_type, body.as_bytes()),
            None => writer.end(),
        }
        let policy = self.policy.as_ref();
        let is_known_there = policy.is_some_and(|policy| policy.credentials.is_some());
        let user = match is_known_there {
            true => User::Leg(call, self.number),
            false => User::Nobody,
        };
        core.send_request(&ticket, request.method, flow, finished(out), user);
        is_known_there.then_some(Waiting {
            transaction: ticket.id,
            leg: self.number,
            dialog: None,
            request,
        })
    }

    /// The same within the dialog of a fork, which is the leg's for the moment.
    pub(super) fn send_unattended_to_fork(
        &mut self,
        core: &mut Core,
        call: CallId,
        request: Unattended,
    ) -> Option<Waiting> {
        let waiting = self.send_unattended(core, call, request)?;
        Some(Waiting {
            dialog: Some(self.dialog.clone()),
            ..waiting
        })
    }
}

impl Call {
    /// Takes a request to be waited for, where there is something to be.
    pub(super) fn await_challenge(&mut self, waiting: Option<Waiting>) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.extend(waiting);
        }
    }

    /// The place of the request among those that are waited for.
    pub(super) fn waiting_for(&self, transaction: TransactionId) -> Option<usize> {
        let mut waiting = self.waiting.iter();
        waiting.position(|waiting| waiting.transaction == transaction)
    }

    /// What came of a request that is waited for: a challenge is answered, as often as that may help.
    pub(super) fn on_unattended_outcome(
        &mut self,
        core: &mut Core,
        place: usize,
        outcome: &Outcome<'_>,
    ) {
        if let Outcome::Response(response) = outcome
            && response.status < 200
        {
            return;
        }
        if place >= self.waiting.len() {
            return;
        }
        let sent = self.waiting.swap_remove(place);
        let Outcome::Response(response) = outcome else {
            return;
        };
        let call = self.id;
        let all = std::iter::once(&mut self.a);
        let mut all = all.chain(self.attempts.iter_mut().map(|attempt| &mut attempt.leg));
        let Some(leg) = all.find(|leg| leg.number == sent.leg) else {
            return;
        };
        if !matches!(response.status, 401 | 407) {
            leg.end_challenges();
            return;
        }
        if !leg.take_challenge(response) {
            return;
        }
        let again = match sent.dialog {
            None => leg.send_unattended(core, call, sent.request),
            Some(fork) => {
                let own = std::mem::replace(&mut leg.dialog, fork);
                let again = leg.send_unattended_to_fork(core, call, sent.request);
                leg.dialog = own;
                again
            }
        };
        self.await_challenge(again);
    }
}
