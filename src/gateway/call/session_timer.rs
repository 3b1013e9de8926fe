//! Session timers (RFC 4028), on each leg by itself: who refreshes the session, how often, and what
//! happens when nobody does.
//!
//! We refresh with an UPDATE without an offer where the peer takes that, otherwise with a re-INVITE that
//! says our description again. What the peer refreshes stays on its leg as well.

use std::time::Duration;

use super::offer_answer::Event;
use super::reinvite::Purpose;
use super::security::SdpRole;
use super::{Call, CallTimer, Leg, Outcome, Side, State};
use crate::config::SipTimers;
use crate::gateway::Refusal;
use crate::instant::Instant;
use crate::shard::core::Core;
use crate::shard::io::TransactionId;
use crate::shard::wheel::TimerId;
use crate::sip::header::{OPTION_TIMER, Refresher};
use crate::sip::message::{Fields, HeaderName, Request, Response};
use crate::sip::writer::{Writer, reason_phrase};
use crate::telemetry::EndCause;

/// A refresh that could not be sent, or was refused for the moment, is tried again after this.
const RETRY: Duration = Duration::from_secs(10);
/// RFC 4028 §10: BYE comes this long before the session expires, or a third of the interval.
const MARGIN_MAX: Duration = Duration::from_secs(32);

/// Who refreshes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Us,
    Peer,
}

/// What the two sides of a leg have agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Agreement {
    /// Seconds.
    interval: u32,
    refresher: Role,
}

/// A leg's session timer.
pub(super) struct SessionTimer {
    agreement: Agreement,
    refreshed: Instant,
    timer: Option<TimerId>,
}

/// An UPDATE of ours that refreshes a session.
pub(super) struct Refresh {
    pub(super) transaction: TransactionId,
    side: Side,
}

impl SessionTimer {
    fn interval(&self) -> Duration {
        Duration::from_secs(self.agreement.interval.into())
    }

    fn expires(&self) -> Instant {
        let interval = self.interval();
        self.refreshed + (interval - MARGIN_MAX.min(interval / 3))
    }
}

/// What is wrong with a request's Session-Expires: 422 where it is too short and its sender can take that
/// (RFC 4028 §9).
pub(super) fn check(request: &Request, timers: &SipTimers) -> Result<(), Refusal> {
    let malformed = |_| Refusal::new(400, "Malformed Session-Expires Or Min-SE");
    let wanted = request.session_expires().map_err(malformed)?;
    request.min_se().map_err(malformed)?;
    match wanted {
        Some(wanted) if wanted.interval < timers.min_se && takes_timers(request) => Err(Refusal {
            min_se: Some(timers.min_se),
            ..Refusal::new(422, reason_phrase(422))
        }),
        Some(_) | None => Ok(()),
    }
}

fn takes_timers(message: &Fields) -> bool {
    let lists = |name| message.lists(name, OPTION_TIMER);
    lists(HeaderName::Supported) || lists(HeaderName::Require)
}

/// RFC 4028 §9 and its table 2. Where the peer does not ask we do, as far as the peer knows what that is,
/// and refresh ourselves.
fn agree_as_server(request: &Request, timers: &SipTimers) -> Option<Agreement> {
    let takes_timers = takes_timers(request);
    let floor = request
        .min_se()
        .ok()
        .flatten()
        .unwrap_or(0)
        .max(timers.min_se);
    match request.session_expires().ok().flatten() {
        Some(wanted) => Some(Agreement {
            interval: wanted.interval.max(timers.min_se),
            refresher: match (wanted.refresher, takes_timers) {
                (Some(Refresher::Uac) | None, true) => Role::Peer,
                (Some(Refresher::Uas), _) | (_, false) => Role::Us,
            },
        }),
        None if takes_timers && timers.session_expires > 0 => Some(Agreement {
            interval: timers.session_expires.max(floor),
            refresher: Role::Us,
        }),
        None => None,
    }
}

/// RFC 4028 §7.2: without Session-Expires in the 2xx there is no session timer.
fn agree_as_client(response: &Response) -> Option<Agreement> {
    let agreed = response.session_expires().ok().flatten()?;
    Some(Agreement {
        // Less than this is no interval (§4).
        interval: agreed.interval.max(SipTimers::MIN_SE_MIN),
        refresher: match agreed.refresher {
            Some(Refresher::Uas) => Role::Peer,
            Some(Refresher::Uac) | None => Role::Us,
        },
    })
}

impl Leg {
    /// Adds to a request of ours within the dialog what keeps the timer as it is (RFC 4028 §7.4).
    pub(super) fn write_session_timer(&self, writer: &mut Writer<'_>) {
        writer.field(HeaderName::Supported, &[OPTION_TIMER]);
        if let Some(session) = &self.session {
            let refresher = match session.agreement.refresher {
                Role::Us => ";refresher=uac",
                Role::Peer => ";refresher=uas",
            };
            let interval = session.agreement.interval.max(self.min_se).to_string();
            writer.field(HeaderName::SessionExpires, &[&interval, refresher]);
            if self.min_se > 0 {
                writer.number(HeaderName::MinSe, self.min_se.into());
            }
        }
    }

    /// Adds to an INVITE that begins a dialog what asks for a session timer (RFC 4028 §7.1).
    pub(super) fn write_session_request(&self, writer: &mut Writer<'_>, timers: &SipTimers) {
        if timers.session_expires == 0 {
            return;
        }
        let min_se = timers.min_se.max(self.min_se);
        let interval = timers.session_expires.max(min_se);
        writer
            .number(HeaderName::SessionExpires, interval.into())
            .number(HeaderName::MinSe, min_se.into());
    }
}

impl Call {
    /// Agrees on the timer of a leg whose peer sent a request that is answered 2xx now; the value of
    /// Session-Expires and whether the peer has to know of it.
    pub(super) fn agree_with_client(
        &mut self,
        core: &mut Core,
        side: Side,
        request: &Request,
    ) -> Option<(String, bool)> {
        let agreement = agree_as_server(request, &core.settings.timers);
        self.start_session_timer(core, side, agreement);
        let Agreement {
            interval,
            refresher,
        } = agreement?;
        Some(match refresher {
            Role::Us => (format!("{interval};refresher=uas"), false),
            Role::Peer => (format!("{interval};refresher=uac"), true),
        })
    }

    /// The same where the peer answered a request of ours.
    pub(super) fn agree_with_server(&mut self, core: &mut Core, side: Side, response: &Response) {
        self.start_session_timer(core, side, agree_as_client(response));
    }

    fn start_session_timer(&mut self, core: &mut Core, side: Side, agreement: Option<Agreement>) {
        self.stop_session_timer(core, side);
        let (now, call) = (core.now, self.id);
        let Some(leg) = self.leg_mut(side) else {
            return;
        };
        leg.session = agreement.map(|agreement| SessionTimer {
            agreement,
            refreshed: now,
            timer: None,
        });
        if let Some(session) = &mut leg.session {
            let due = match agreement.map(|agreement| agreement.refresher) {
                Some(Role::Us) => session.interval() / 2,
                Some(Role::Peer) | None => session.expires().since(now),
            };
            session.timer = Some(core.start_call_timer(due, call, CallTimer::Session(side)));
        }
    }

    pub(super) fn stop_session_timer(&mut self, core: &mut Core, side: Side) {
        if let Some(session) = self.leg_mut(side).and_then(|leg| leg.session.as_mut()) {
            core.cancel_timer(&mut session.timer);
        }
    }

    pub(super) fn on_session_timer(&mut self, core: &mut Core, side: Side) {
        let now = core.now;
        let Some(session) = self.leg_mut(side).and_then(|leg| leg.session.as_mut()) else {
            return;
        };
        session.timer = None;
        if now >= session.expires() {
            self.end_established(core, EndCause::SessionExpired, None);
            return;
        }
        // Until an answer restarts it, or it is to be tried again, the timer stands at the end.
        self.wait_for_refresh(core, side, None);
        if !self.refresh(core, side) {
            self.wait_for_refresh(core, side, Some(RETRY));
        }
    }

    /// Comes back to a leg's timer after so long, at the end of the session at the latest.
    fn wait_for_refresh(&mut self, core: &mut Core, side: Side, after: Option<Duration>) {
        self.stop_session_timer(core, side);
        let (now, call) = (core.now, self.id);
        let session = self.leg_mut(side).and_then(|leg| leg.session.as_mut());
        if let Some(session) = session {
            let end = session.expires().since(now);
            let wait = after.map_or(end, |after| after.min(end));
            session.timer = Some(core.start_call_timer(wait, call, CallTimer::Session(side)));
        }
    }

    /// Sends a refresh, if nothing else is under way.
    fn refresh(&mut self, core: &mut Core, side: Side) -> bool {
        let is_busy = self.exchange.is_some()
            || self.reinvite.is_some()
            || self.update.is_some()
            || self.refresh.is_some()
            || self.glare.is_some()
            || self.is_joined_soon();
        let Some(leg) = self.leg_mut(side) else {
            return false;
        };
        if is_busy {
            return false;
        }
        if leg.takes_update {
            return self.send_refresh(core, side);
        }
        let Some(said) = leg.local.agreed_again() else {
            return false;
        };
        self.send_reinvite_with(core, side, Some(said), Purpose::Refresh)
    }

    /// Nobody waits for what comes of a refresh on this leg any more.
    pub(super) fn forget_refresh(&mut self, side: Side) {
        self.refresh.take_if(|refresh| refresh.side == side);
    }

    fn send_refresh(&mut self, core: &mut Core, side: Side) -> bool {
        let transaction = self.send_update_with(core, side, None);
        self.refresh = transaction.map(|transaction| Refresh { transaction, side });
        self.refresh.is_some()
    }

    /// What came of an UPDATE that refreshes.
    pub(super) fn on_refresh_outcome(&mut self, core: &mut Core, outcome: Outcome<'_>) {
        if let Outcome::Response(response) = outcome
            && response.status < 200
        {
            return;
        }
        let Some(refresh) = self.refresh.take() else {
            return;
        };
        if self.state != State::Established {
            return;
        }
        if let Outcome::Response(response) = outcome
            && response.status < 300
        {
            if let Some(leg) = self.leg_mut(refresh.side) {
                leg.hear_answer(response);
            }
            self.agree_again(core, refresh.side, response);
            return;
        }
        if let Outcome::Response(response) = outcome
            && self.may_authenticate(refresh.side, response)
        {
            self.send_passed_again(core, refresh.side, Purpose::Refresh);
            return;
        }
        if let (405 | 501, Some(leg)) = (outcome.failure().0, self.leg_mut(refresh.side)) {
            leg.takes_update = false;
        }
        self.on_refresh_failed(core, refresh.side, &outcome);
    }

    /// A re-INVITE that refreshes was answered 2xx and is to be acknowledged.
    pub(super) fn on_refreshed(&mut self, core: &mut Core, side: Side, response: &Response) {
        let number = response.cseq().map_or(0, |cseq| cseq.number);
        self.acknowledge(core, side, number, None);
        self.note(side, Event::ReceiveAnswer);
        if let Ok(Some(answer)) = self.description_in(side, response, SdpRole::Answer) {
            self.apply_description(core, side, &answer, SdpRole::Answer);
        }
        self.agree_again(core, side, response);
    }

    /// A refresh of ours was answered. A peer that does not speak of its timer any more is refreshed as
    /// before: that it may end by itself (RFC 4028 §7.2) is no reason to lose sight of it.
    fn agree_again(&mut self, core: &mut Core, side: Side, response: &Response) {
        let before = self.leg(side).and_then(|leg| leg.session.as_ref());
        let before = before.map(|session| session.agreement);
        self.start_session_timer(core, side, agree_as_client(response).or(before));
    }

    /// RFC 4028 §7.4, §10: a peer that is gone ends the call; anything else is tried again until the session
    /// expires.
    pub(super) fn on_refresh_failed(&mut self, core: &mut Core, side: Side, outcome: &Outcome<'_>) {
        self.note(side, Event::Reject);
        if let Outcome::Response(response) = outcome
            && response.status == 422
            && let Some(leg) = self.leg_mut(side)
        {
            leg.hear_min_se(response);
        }
        match outcome.failure().0 {
            481 => self.end_established(core, EndCause::LegLost, Some(side)),
            408 => self.end_established(core, EndCause::LegLost, None),
            0..408 | 409..481 | 482.. => self.wait_for_refresh(core, side, Some(RETRY)),
        }
    }
}

impl Leg {
    /// Takes the least interval that a 422 asks for; whether it is more than was known.
    pub(super) fn hear_min_se(&mut self, response: &Response) -> bool {
        let asked = response.min_se().ok().flatten().unwrap_or(0);
        let is_more = asked > self.min_se;
        self.min_se = self.min_se.max(asked);
        is_more
    }
}

/// The fields that a 2xx has of an agreement.
pub(super) fn fields(agreed: &Option<(String, bool)>) -> Vec<(HeaderName, &str)> {
    let mut fields = Vec::with_capacity(2);
    if let Some((value, is_required)) = agreed {
        fields.push((HeaderName::SessionExpires, value.as_str()));
        if *is_required {
            fields.push((HeaderName::Require, OPTION_TIMER));
        }
    }
    fields
}

/// [`fields`] by their names.
pub(super) fn named_fields(agreed: &Option<(String, bool)>) -> Vec<(&'static str, &str)> {
    let fields = fields(agreed).into_iter();
    fields.map(|(name, value)| (name.as_str(), value)).collect()
}
