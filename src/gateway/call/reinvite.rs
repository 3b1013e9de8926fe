//! A re-INVITE on its way to the other leg, and what comes of it.

use bytes::Bytes;

use super::exchange::Unanswerable;
use super::offer_answer::Event;
use super::{Call, CallTimer, Outcome, Reinvite, ReinviteProgress, Side, State};
use crate::gateway::Refusal;
use crate::sdp::SessionDescription;
use crate::shard::core::{Core, finished, message_buffer};
use crate::shard::transactions::User;
use crate::sip::message::{Method, Response};
use crate::telemetry::EndCause;

/// What a request of ours within a dialog is sent for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// For the other leg's re-INVITE.
    Exchange,
    /// For the offer of the other leg's UPDATE.
    Update,
    /// To refresh the session (RFC 4028).
    Refresh,
    /// To join the leg with the target of a transfer.
    Transfer,
}

impl Call {
    /// Sends the exchange's re-INVITE to the other leg.
    pub(super) fn pass_reinvite(&mut self, core: &mut Core, to: Side) {
        let offer = self
            .exchange
            .as_ref()
            .and_then(|exchange| exchange.offer.clone());
        self.send_reinvite(core, to, offer.as_ref(), Purpose::Exchange);
    }

    /// Sends a re-INVITE; without an offer it asks for one.
    pub(super) fn send_reinvite(
        &mut self,
        core: &mut Core,
        to: Side,
        offer: Option<&SessionDescription>,
        purpose: Purpose,
    ) {
        let ours = self.endpoint(to).map(|endpoint| endpoint.advertise);
        let codecs = match purpose {
            Purpose::Transfer => self.codecs_of_target(to),
            Purpose::Exchange | Purpose::Update | Purpose::Refresh => self.codecs(to),
        };
        let body = offer.zip(ours).and_then(|(offer, ours)| {
            let leg = self.leg_mut(to)?;
            Some(leg.offer(core, offer, (ours, &codecs)))
        });
        if !self.send_reinvite_with(core, to, body, purpose) {
            let refusal = Refusal::unavailable("Too Many Transactions", 5);
            self.refuse_passed(core, purpose, &refusal);
        }
    }

    /// Sends a re-INVITE with this body; false where the table of transactions is full.
    pub(super) fn send_reinvite_with(
        &mut self,
        core: &mut Core,
        to: Side,
        body: Option<Bytes>,
        purpose: Purpose,
    ) -> bool {
        let Some(ticket) = core.ticket() else {
            return false;
        };
        let call = self.id;
        let Some(leg) = self.leg_mut(to) else {
            return false;
        };
        leg.dialog.local_cseq += 1;
        if body.is_some() {
            leg.note(Event::SendOffer);
        }
        let flow = leg.request_flow(core);
        let user = User::Leg(call, leg.number);
        let mut out = message_buffer();
        let cseq = leg.dialog.local_cseq;
        let place = (cseq, &flow, ticket.branch.as_str());
        let mut writer = leg.write_in_dialog(core, &mut out, Method::Invite, place);
        core.write_capabilities(&mut writer, &flow, leg.is_sips);
        leg.write_session_timer(&mut writer);
        match &body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.end(),
        }
        let timer = core.start_call_timer(core.settings.timers.timer_c, call, CallTimer::Reinvite);
        self.reinvite = Some(Reinvite {
            transaction: ticket.id,
            side: to,
            progress: ReinviteProgress::Calling,
            timer: Some(timer),
            purpose,
        });
        core.send_request(&ticket, Method::Invite, flow, finished(out), user);
        true
    }

    /// The other leg answered a re-INVITE, or did not.
    pub(super) fn on_reinvite_outcome(&mut self, core: &mut Core, outcome: Outcome<'_>) {
        if let Outcome::Response(response) = outcome
            && response.status < 200
        {
            self.on_reinvite_provisional(core);
            return;
        }
        let Some(mut reinvite) = self.reinvite.take() else {
            return;
        };
        core.cancel_timer(&mut reinvite.timer);
        let is_awaited = match reinvite.purpose {
            Purpose::Exchange => self.exchange.as_ref().is_some_and(|exchange| {
                exchange.from != reinvite.side && exchange.answered.is_none()
            }),
            Purpose::Update => self.update.is_some(),
            Purpose::Refresh => self.state == State::Established && !self.has_left(reinvite.side),
            Purpose::Transfer => self.transfer.is_some(),
        };
        match outcome {
            Outcome::Response(response) if response.status < 300 && is_awaited => {
                self.on_reinvite_success(core, &reinvite, response)
            }
            // The call has ended meanwhile; a 2xx is acknowledged all the same (RFC 3261 §13.2.2.4).
            Outcome::Response(response) if response.status < 300 => {
                let number = response.cseq().map_or(0, |cseq| cseq.number);
                self.acknowledge(core, reinvite.side, number, None);
            }
            Outcome::Response(response)
                if is_awaited && self.may_authenticate(reinvite.side, response) =>
            {
                self.send_passed_again(core, reinvite.side, reinvite.purpose);
            }
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportError => {
                let (status, reason) = outcome.failure();
                if reinvite.purpose == Purpose::Refresh && is_awaited {
                    self.on_refresh_failed(core, reinvite.side, &outcome);
                } else if is_awaited {
                    self.on_passed_failed(core, reinvite.side, reinvite.purpose, status, &reason);
                }
            }
        }
    }

    fn on_reinvite_provisional(&mut self, core: &mut Core) {
        let Some(reinvite) = &mut self.reinvite else {
            return;
        };
        match reinvite.progress {
            ReinviteProgress::Calling => reinvite.progress = ReinviteProgress::Proceeding,
            ReinviteProgress::Abandoned => self.cancel_reinvite(core),
            ReinviteProgress::Proceeding | ReinviteProgress::Cancelled => {}
        }
    }

    /// The re-INVITE is not wanted any more: CANCEL, as soon as that is allowed (RFC 3261 §9.1).
    pub(super) fn abandon_reinvite(&mut self, core: &mut Core) {
        let Some(reinvite) = &mut self.reinvite else {
            return;
        };
        match reinvite.progress {
            ReinviteProgress::Calling => reinvite.progress = ReinviteProgress::Abandoned,
            ReinviteProgress::Proceeding => self.cancel_reinvite(core),
            ReinviteProgress::Abandoned | ReinviteProgress::Cancelled => {}
        }
    }

    /// Nobody is left on this side who could answer a re-INVITE.
    pub(super) fn forget_reinvite(&mut self, core: &mut Core, side: Side) {
        let of_side = |reinvite: &mut Reinvite| reinvite.side == side;
        if let Some(mut reinvite) = self.reinvite.take_if(of_side) {
            core.cancel_timer(&mut reinvite.timer);
            core.transactions
                .forget(reinvite.transaction, &mut core.wheel);
        }
    }

    fn cancel_reinvite(&mut self, core: &mut Core) {
        let Some(reinvite) = &mut self.reinvite else {
            return;
        };
        reinvite.progress = ReinviteProgress::Cancelled;
        let invite = reinvite.transaction;
        let reasons = &self.reasons;
        core.with_transactions(|transactions, around| {
            transactions.cancel(invite, reasons, around);
        });
        let wait = core.settings.timers.t1 * 64;
        let timer = core.start_call_timer(wait, self.id, CallTimer::Reinvite);
        if let Some(reinvite) = &mut self.reinvite {
            core.cancel_timer(&mut reinvite.timer);
            reinvite.timer = Some(timer);
        }
    }

    pub(super) fn on_reinvite_timer(&mut self, core: &mut Core) {
        let Some(reinvite) = &mut self.reinvite else {
            return;
        };
        reinvite.timer = None;
        match reinvite.progress {
            ReinviteProgress::Cancelled => {
                core.transactions
                    .forget(reinvite.transaction, &mut core.wheel);
                self.on_reinvite_outcome(core, Outcome::Timeout);
            }
            ReinviteProgress::Proceeding => self.cancel_reinvite(core),
            // Its transaction times out by itself.
            ReinviteProgress::Calling | ReinviteProgress::Abandoned => {}
        }
    }

    fn on_reinvite_success(&mut self, core: &mut Core, reinvite: &Reinvite, response: &Response) {
        if let Some(leg) = self.leg_mut(reinvite.side) {
            leg.hear_answer(response);
        }
        if reinvite.purpose != Purpose::Refresh {
            self.agree_with_server(core, reinvite.side, response);
        }
        match reinvite.purpose {
            Purpose::Refresh => self.on_refreshed(core, reinvite.side, response),
            Purpose::Transfer => self.on_joined(core, reinvite.side, response),
            Purpose::Exchange => {
                self.hear_fields(core, response);
                if let Err(Unanswerable(refusal)) = self.pass_success(core, response) {
                    self.answer_failure(core, &refusal);
                }
            }
            Purpose::Update => {
                let number = response.cseq().map_or(0, |cseq| cseq.number);
                self.acknowledge(core, reinvite.side, number, None);
                self.answer_update(core, response);
            }
        }
    }

    /// Sends a request of ours once more, now that its leg has credentials.
    pub(super) fn send_passed_again(&mut self, core: &mut Core, side: Side, purpose: Purpose) {
        self.note(side, Event::Reject);
        match purpose {
            Purpose::Exchange => self.pass_reinvite(core, side),
            Purpose::Update => self.pass_update(core),
            Purpose::Refresh => self.on_session_timer(core, side),
            Purpose::Transfer => self.join(core),
        }
    }

    /// What was passed on comes to nothing: whoever sent it hears so.
    fn refuse_passed(&mut self, core: &mut Core, purpose: Purpose, refusal: &Refusal) {
        match purpose {
            Purpose::Exchange => self.answer_failure(core, refusal),
            Purpose::Update => self.refuse_update(core, refusal),
            Purpose::Transfer => self.fail_transfer(core, refusal),
            Purpose::Refresh => {}
        }
    }

    /// The session stays as it was (RFC 3261 §14.1); 408 and 481 say that the leg is gone (§12.2.1.2).
    pub(super) fn on_passed_failed(
        &mut self,
        core: &mut Core,
        side: Side,
        purpose: Purpose,
        status: u16,
        reason: &str,
    ) {
        self.note(side, Event::Reject);
        if status == 491 && self.retry_after_glare(core, side, purpose) {
            return;
        }
        let status_for_peer = if matches!(status, 300..=399 | 401 | 407 | 503) {
            500
        } else {
            status
        };
        let reason = self.passed_reason(status, reason);
        self.refuse_passed(core, purpose, &Refusal::new(status_for_peer, reason));
        match status {
            481 => self.end_established(core, EndCause::LegLost, Some(side)),
            // It may be there all the same, behind a network that lost too much.
            408 => self.end_established(core, EndCause::LegLost, None),
            0..408 | 409..481 | 482.. => {}
        }
    }
}
