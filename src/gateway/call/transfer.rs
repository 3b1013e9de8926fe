//! REFER (RFC 3515): the gateway transfers the call (RFC 5589 §6), where the operator wants that.
//!
//! Whoever sends the REFER, the transferor, is replaced by a third party, the target. That is called as the
//! transferor could have called it: the same checks, the same limits, and only the number of Refer-To counts.
//! `target` has what follows: the target's leg, and how it is joined with the party that remains. Until they
//! are joined the call stays what it was, so a failure costs nothing; a transferor that hangs up meanwhile
//! does not end the call but leaves it.

use super::limits::confirm;
use super::offer_answer::Event as OfferEvent;
use super::target::Target;
use super::unattended::Unattended;
use super::{Call, Side, State};
use crate::gateway::headers::Privacy;
use crate::gateway::limiter::Holding;
use crate::gateway::{Admission, Party, Refusal};
use crate::shard::core::Core;
use crate::shard::io::Flow;
use crate::sip::header::NameAddr;
use crate::sip::message::{HeaderName, Method, Request};
use crate::sip::uri::{Scheme, Uri};
use crate::sip::writer::reason_phrase;
use crate::telemetry::{CallFacts, CallKind, EndCause, Event};

/// Legs that a call may have had before its last transfer: their numbers are a byte.
const LEGS_MAX: u8 = 200;
/// Seconds that a subscription to a transfer's outcome is said to last; it ends with the outcome. Longer
/// than any target may ring with the default timers.
const SUBSCRIPTION_SECONDS: u32 = 300;

/// A transfer under way.
pub(super) struct Transfer {
    /// The side of the transferor.
    pub(super) from: Side,
    /// The transferor has hung up.
    has_left: bool,
    subscription: Option<Subscription>,
    pub(super) target: Target,
    /// What the call to the target holds of its connector's limits.
    pub(super) holding: Holding,
}

/// The transferor's implicit subscription (RFC 3515 §2.4.4).
#[derive(Clone, Copy)]
struct Subscription {
    /// CSeq number of the REFER, where it is not the first of its leg (§2.4.6).
    id: Option<u32>,
}

/// What the transferor is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Notice {
    Begun,
    Ended,
}

impl Call {
    /// A REFER came within the dialog of `side`.
    pub(super) fn on_refer(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        let transfer = match self.admit_transfer(core, side, &request, &flow) {
            Ok(transfer) => transfer,
            Err(refusal) => return core.reply(&request, &flow, &refusal),
        };
        self.hear(side, &request, flow);
        let extra: &[(&str, &str)] = match transfer.subscription {
            Some(_) => &[],
            None => &[("Refer-Sub", "false")],
        };
        let (came, line) = ((&request, &flow), (202, reason_phrase(202)));
        let accepted = self.write_answer_to(core, side, came, line, &Default::default(), extra);
        core.reply_with(&request, &flow, 202, accepted);
        if let Some(leg) = self.leg_mut(side) {
            leg.has_referred = true;
        }
        self.notify(core, &transfer, Notice::Begun, (100, reason_phrase(100)));
        self.transfer = Some(Box::new(transfer));
        self.try_next_target(core);
    }

    fn admit_transfer(
        &mut self,
        core: &mut Core,
        side: Side,
        request: &Request,
        flow: &Flow,
    ) -> Result<Transfer, Refusal> {
        if !core.settings.transfers {
            return Err(Refusal::new(405, reason_phrase(405)));
        }
        match self.state {
            // Nor before leg A knows of the answer.
            State::Established if !self.is_transferring() && !self.is_success_held() => {}
            State::Setup | State::Established => return Err(Refusal::new(491, reason_phrase(491))),
            State::Ended => return Err(Refusal::new(481, reason_phrase(481))),
        }
        // Whoever takes the place of one participant would learn of the other.
        if self.facts.kind == CallKind::Proxy {
            return Err(Refusal::new(403, "No Transfer In A Proxy Session"));
        }
        if self.legs > LEGS_MAX {
            return Err(Refusal::new(403, "Too Many Transfers"));
        }
        let uri = refer_to(request)?;
        let gone = || Refusal::new(481, reason_phrase(481));
        let remaining = self.leg(side.other()).ok_or_else(gone)?;
        let session = remaining.remote_session();
        let session = session.ok_or_else(|| Refusal::new(488, reason_phrase(488)))?;
        let is_sips = remaining.is_sips || uri.scheme == Scheme::Sips;
        let from = self.leg(side).ok_or_else(gone)?;
        let subscription = wants_notices(request).then(|| Subscription {
            id: request
                .cseq()
                .ok()
                .map(|cseq| cseq.number)
                .filter(|_| from.has_referred),
        });
        let scheme = if is_sips { Scheme::Sips } else { uri.scheme };
        let admission = admit(core, from.party, request, &uri, flow)
            .and_then(|admission| admission.for_scheme(scheme))
            .map_err(for_transferor)?;
        // A call that is masked on one leg and not on the other would be masked for nobody.
        if admission.kind == CallKind::Proxy {
            return Err(Refusal::new(403, "No Transfer To A Proxy Session"));
        }
        // What the caller wants kept from others stays so when it is the caller who transfers.
        let own = match side {
            Side::A => self.privacy,
            Side::B => Privacy::default(),
        };
        let asked = Privacy::of(request);
        let privacy = Privacy {
            id: asked.id || own.id,
            user: asked.user || own.user,
        };
        let facts = CallFacts {
            call_id: self.facts.call_id.clone(),
            direction: admission.direction,
            kind: admission.kind,
            connector: admission.connector.id,
            caller: admission.caller,
            called: admission.called,
        };
        let holding = confirm(core, admission.booking);
        Ok(Transfer {
            holding,
            from: side,
            has_left: false,
            subscription,
            target: Target::new(
                core,
                (request.clone(), facts),
                admission.candidates,
                privacy,
                is_sips,
                session,
            ),
        })
    }

    /// Whether a transfer is under way, or what one has left behind.
    fn is_transferring(&self) -> bool {
        self.transfer.is_some() || self.is_joining()
    }

    /// Whether this side has hung up, and is to be replaced.
    pub(super) fn has_left(&self, side: Side) -> bool {
        let transfer = self.transfer.as_ref();
        transfer.is_some_and(|transfer| transfer.has_left && transfer.from == side)
    }

    /// Whether no offer may come from this side now, since what it is for is about to be replaced.
    pub(super) fn holds_offers(&self, side: Side) -> bool {
        let is_changing = self.transfer.as_ref().is_some_and(|transfer| {
            transfer.has_left || (transfer.target.is_answered() && transfer.from == side)
        });
        is_changing || self.is_joining()
    }

    /// A BYE of the transferor, who often does not wait for the outcome (RFC 5589 §6.1): the other side waits
    /// for the target. False where this side asks for no transfer.
    pub(super) fn leave(&mut self, core: &mut Core, side: Side) -> bool {
        let transfer = self.transfer.as_mut();
        let Some(transfer) = transfer.filter(|transfer| transfer.from == side) else {
            return false;
        };
        if std::mem::replace(&mut transfer.has_left, true) {
            return true;
        }
        self.stop_session_timer(core, side);
        self.forget_refresh(side);
        self.drop_exchange(core, Some(side));
        let pending = Refusal::new(491, reason_phrase(491));
        self.end_glare(core, &pending);
        self.refuse_update(core, &pending);
        self.end_infos(core, &busy());
        // What it has not answered by now would only hold the target up.
        self.forget_reinvite(core, side);
        self.forget_update(side);
        true
    }

    /// The target takes the transferor's place.
    pub(super) fn complete_transfer(&mut self, core: &mut Core) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        let (from, has_left) = (transfer.from, transfer.has_left);
        self.notify(core, &transfer, Notice::Ended, (200, "OK"));
        // Two calls become one.
        self.holding.lease = self.holding.lease.take().or(transfer.holding.lease);
        if !has_left {
            self.send_bye(core, from);
        }
        self.stop_session_timer(core, from);
        self.forget_refresh(from);
        self.end_infos(core, &busy());
        core.event(Event::CallTransferred {
            facts: Box::new(transfer.target.facts.clone()),
            status: 200,
        });
        self.replace_leg(core, from, transfer.target);
    }

    /// The target cannot be had: the call stays what it was, or ends where nobody is left to go on with.
    pub(super) fn fail_transfer(&mut self, core: &mut Core, refusal: &Refusal) {
        let Some(transfer) = self.drop_transfer(core, refusal) else {
            return;
        };
        self.note(transfer.from.other(), OfferEvent::Reject);
        if transfer.has_left {
            let cause = match transfer.from {
                Side::A => EndCause::CallerHungUp,
                Side::B => EndCause::CalledHungUp,
            };
            self.end_established(core, cause, Some(transfer.from));
        }
    }

    /// The call is over, and so is its transfer; the side that need not be told of it any more.
    pub(super) fn end_transfer(&mut self, core: &mut Core) -> Option<Side> {
        let over = Refusal::new(487, reason_phrase(487));
        let transfer = self.drop_transfer(core, &over)?;
        transfer.has_left.then_some(transfer.from)
    }

    fn drop_transfer(&mut self, core: &mut Core, refusal: &Refusal) -> Option<Box<Transfer>> {
        let mut transfer = self.transfer.take()?;
        self.drop_target(core, &mut transfer.target);
        let outcome = (refusal.status, refusal.reason.as_str());
        self.notify(core, &transfer, Notice::Ended, outcome);
        core.event(Event::CallTransferred {
            facts: Box::new(transfer.target.facts.clone()),
            status: refusal.status,
        });
        Some(transfer)
    }

    /// RFC 3515 §2.4.4, §2.4.5. The subscription outlives the transferor's part in the call (RFC 5057 §3.2).
    fn notify(
        &mut self,
        core: &mut Core,
        transfer: &Transfer,
        notice: Notice,
        (status, reason): (u16, &str),
    ) {
        let Some(subscription) = transfer.subscription else {
            return;
        };
        let call = self.id;
        let Some(leg) = self.leg_mut(transfer.from) else {
            return;
        };
        let event = match subscription.id {
            Some(id) => format!("refer;id={id}"),
            None => "refer".to_owned(),
        };
        let state = match notice {
            Notice::Begun => format!("active;expires={SUBSCRIPTION_SECONDS}"),
            Notice::Ended => "terminated;reason=noresource".to_owned(),
        };
        let fragment = format!("SIP/2.0 {status} {reason}\r\n");
        let request = Unattended {
            method: Method::Notify,
            fields: vec![
                (HeaderName::Event, event.into()),
                (HeaderName::SubscriptionState, state.into()),
            ],
            body: Some(("message/sipfrag;version=2.0", fragment)),
        };
        let waiting = leg.send_unattended(core, call, request);
        self.await_challenge(waiting);
    }
}

/// The same checks as for an INVITE of this party.
fn admit(
    core: &mut Core,
    party: Party,
    request: &Request,
    uri: &Uri<'_>,
    flow: &Flow,
) -> Result<Admission, Refusal> {
    let snapshot = core.snapshot.clone();
    match party {
        Party::Customer(id) => {
            let connector = snapshot.connectors.get(&id);
            let connector = connector.ok_or_else(|| Refusal::new(403, "No Voice Connector"))?;
            core.admit_from_customer(connector, request, uri, flow)
        }
        Party::Carrier => {
            let carrier = snapshot.carrier_of(flow);
            let carrier = carrier.ok_or_else(|| Refusal::new(403, "Not From A Carrier"))?;
            core.admit_from_carrier(carrier, request, uri)
        }
    }
}

/// Whom a REFER is about: one URI of a number, without anything that would make more of it than a call.
fn refer_to(request: &Request) -> Result<Uri<'_>, Refusal> {
    let mut values = request.headers(HeaderName::ReferTo);
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        // RFC 3515 §2.4.2
        (None, _) => return Err(Refusal::new(400, "Missing Refer-To")),
        (Some(_), Some(_)) => return Err(Refusal::new(400, "Repeated Refer-To")),
    };
    let malformed = |_| Refusal::new(400, "Malformed Refer-To");
    let target = NameAddr::parse(value).map_err(malformed)?;
    let uri = Uri::parse(target.uri).map_err(malformed)?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
        Scheme::Other => return Err(Refusal::new(403, "Refer-To Is No SIP Or tel URI")),
    }
    let method = uri.params.value("method");
    if method.is_some_and(|method| method != Method::Invite.as_str()) {
        return Err(Refusal::new(403, "Refer-To Asks For No Call"));
    }
    let headers = uri.headers.unwrap_or_default().split('&');
    let mut names = headers.map(|header| header.split('=').next().unwrap_or_default());
    if names.any(|name| name.eq_ignore_ascii_case(HeaderName::Replaces.as_str())) {
        return Err(Refusal::new(501, "Attended Transfer Is Not Served"));
    }
    Ok(uri)
}

/// RFC 4488 §4
fn wants_notices(request: &Request) -> bool {
    let is_false = |value: &str| {
        let value = value.split(';').next().unwrap_or_default();
        value.trim().eq_ignore_ascii_case("false")
    };
    !request.named("Refer-Sub").any(is_false)
}

/// A refusal as a response within the dialog: most statuses would say that the dialog is gone
/// (RFC 5057 §5.1).
fn for_transferor(refusal: Refusal) -> Refusal {
    match refusal.status {
        400 | 403 | 407 | 503 => refusal,
        0..=399 | 401 | 402 | 404..=406 | 408..=502 | 504.. => Refusal {
            status: 403,
            ..refusal
        },
    }
}

/// For a request to somebody who is being replaced.
pub(super) fn busy() -> Refusal {
    Refusal {
        retry_after: Some(1),
        ..Refusal::new(500, "The Other Side Is Being Replaced")
    }
}
