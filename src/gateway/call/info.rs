//! INFO (RFC 6086): goes across as it is, and so does its answer. What it is about is the peers' business, but where
//! they are hidden from each other: there it is digits.

use bytes::Bytes;

use super::{Call, Outcome, Side, State};
use crate::gateway::{Refusal, headers};
use crate::shard::core::{Core, finished, message_buffer, response_flow};
use crate::shard::io::{Flow, TransactionId};
use crate::shard::transactions::User;
use crate::sip::message::{Fields, HeaderName, Method, Request};
use crate::sip::response::write_response;
use crate::sip::writer::{Writer, reason_phrase};
use crate::telemetry::{CallKind, EndCause};

/// INFO requests of a call that may be under way at once.
const INFOS_MAX: usize = 4;
/// Bytes of a body that is passed on: DTMF and the like are far smaller.
const BODY_BYTES_MAX: usize = 4_096;

/// What an INFO may carry between participants who are hidden from each other: the digits that were pressed.
const DIGITS: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

/// An INFO on its way through the call.
pub(super) struct Info {
    from: Side,
    request: Request,
    /// How it came.
    flow: Flow,
    server: TransactionId,
    /// Its transaction on the other leg.
    pub(super) client: TransactionId,
}

impl Call {
    /// An INFO came within the dialog of `side`.
    pub(super) fn on_info(&mut self, core: &mut Core, side: Side, request: Request, flow: Flow) {
        let refusal = match self.state {
            State::Ended => Some(Refusal::new(481, reason_phrase(481))),
            State::Setup if !self.is_in_early_dialog() => {
                Some(Refusal::new(480, "The Other Side Has No Dialog Yet"))
            }
            State::Setup | State::Established if request.body().len() > BODY_BYTES_MAX => {
                Some(Refusal::new(413, reason_phrase(413)))
            }
            State::Setup | State::Established
                if self.facts.kind == CallKind::Proxy
                    && !request.body().is_empty()
                    && digits_in(&request).is_none() =>
            {
                Some(Refusal::new(415, "Only Digits Are Relayed"))
            }
            State::Established if self.has_left(side.other()) => Some(super::transfer::busy()),
            State::Setup | State::Established if self.infos.len() == INFOS_MAX => Some(Refusal {
                retry_after: Some(1),
                ..Refusal::new(500, "Too Many INFO At Once")
            }),
            State::Setup | State::Established => None,
        };
        if let Some(refusal) = refusal {
            core.reply(&request, &flow, &refusal);
            return;
        }
        let Some(leg) = self.leg(side) else { return };
        let user = User::Leg(self.id, leg.number);
        let back = response_flow(&request, &flow);
        let Some(server) = core.transactions.start_server(&request, back, user) else {
            let refusal = Refusal::unavailable("Too Many Transactions", 5);
            core.reply_stateless(&request, &flow, &refusal);
            return;
        };
        match self.send_info(core, side.other(), &request) {
            Some(client) => self.infos.push(Info {
                from: side,
                request,
                flow,
                server,
                client,
            }),
            None => {
                let refusal = Refusal::unavailable("Too Many Transactions", 5);
                let response = core.write_refusal(&request, &flow, &refusal);
                core.respond(server, refusal.status, &response);
            }
        }
    }

    fn is_in_early_dialog(&self) -> bool {
        let attempt = self.attempts.last();
        attempt.is_some_and(|attempt| attempt.leg.dialog.remote_tag.is_some())
    }

    fn send_info(&mut self, core: &mut Core, to: Side, request: &Request) -> Option<TransactionId> {
        let ticket = core.ticket()?;
        let call = self.id;
        let leg = self.leg_mut(to)?;
        leg.dialog.local_cseq += 1;
        let (cseq, number, flow) = (leg.dialog.local_cseq, leg.number, leg.request_flow(core));
        let mut out = message_buffer();
        let place = (cseq, &flow, ticket.branch.as_str());
        let mut writer = leg.write_in_dialog(core, &mut out, Method::Info, place);
        let passage = self.passage(core, to, flow.listener);
        headers::carry(request, &passage, &mut writer);
        self.write_payload(writer, request);
        let user = User::Leg(call, number);
        core.send_request(&ticket, Method::Info, flow, finished(out), user);
        Some(ticket.id)
    }

    /// The other leg answered an INFO, or did not.
    pub(super) fn on_info_outcome(&mut self, core: &mut Core, place: usize, outcome: Outcome<'_>) {
        if let Outcome::Response(response) = outcome
            && response.status < 200
        {
            return;
        }
        if place >= self.infos.len() {
            return;
        }
        let mut info = self.infos.swap_remove(place);
        let to = info.from.other();
        if let Outcome::Response(response) = outcome
            && self.may_authenticate(to, response)
            && let Some(client) = self.send_info(core, to, &info.request)
        {
            info.client = client;
            self.infos.push(info);
            return;
        }
        if let (Outcome::Response(_), Some(leg)) = (&outcome, self.leg_mut(to)) {
            leg.end_challenges();
        }
        let response = match outcome {
            Outcome::Response(response) if !matches!(response.status, 401 | 407) => {
                let reason = self.passed_reason(response.status, response.reason());
                self.write_info_answer(core, &info, (response.status, &reason), response)
            }
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportError => {
                let status = match outcome {
                    Outcome::Timeout => 408,
                    Outcome::Response(_) | Outcome::TransportError => 500,
                };
                let refusal = Refusal::new(status, reason_phrase(status));
                core.write_refusal(&info.request, &info.flow, &refusal)
            }
        };
        let status = match outcome {
            Outcome::Response(response) if !matches!(response.status, 401 | 407) => response.status,
            Outcome::Timeout => 408,
            Outcome::Response(_) | Outcome::TransportError => 500,
        };
        core.respond(info.server, status, &response);
        // RFC 5057 §5.1: the dialog is gone. A timeout may only mean that nobody there knows INFO.
        if status == 481 {
            self.end_established(core, EndCause::LegLost, Some(to));
        }
    }

    fn write_info_answer(
        &self,
        core: &Core,
        info: &Info,
        (status, reason): (u16, &str),
        answer: &Fields,
    ) -> Bytes {
        let mut out = message_buffer();
        let source = info.flow.remote;
        let mut writer = write_response(&mut out, &info.request, source, status, reason, None);
        let passage = self.passage(core, info.from, info.flow.listener);
        headers::carry(answer, &passage, &mut writer);
        self.write_payload(writer, answer);
        finished(out)
    }

    /// The call is over, or a side of it is another one: whoever waits for an answer gets one.
    pub(super) fn end_infos(&mut self, core: &mut Core, refusal: &Refusal) {
        for info in std::mem::take(&mut self.infos) {
            let response = core.write_refusal(&info.request, &info.flow, refusal);
            core.respond(info.server, refusal.status, &response);
        }
    }

    /// The body as it came, with what says what it is; between participants who are hidden from each other digits
    /// alone.
    fn write_payload(&self, mut writer: Writer<'_>, message: &Fields) {
        let content_type = match self.facts.kind {
            CallKind::Proxy => digits_in(message),
            CallKind::Ordinary | CallKind::Emergency => {
                for name in ["Info-Package", "Recv-Info"] {
                    for value in message.named(name) {
                        writer.raw_field(name, value);
                    }
                }
                writer.copy(message, HeaderName::ContentDisposition);
                message.header(HeaderName::ContentType)
            }
        };
        match (content_type, message.body()) {
            (Some(content_type), body) if !body.is_empty() && body.len() <= BODY_BYTES_MAX => {
                writer.body(content_type, body);
            }
            (Some(_) | None, _) => writer.end(),
        }
    }
}

/// The type of a body of digits, without parameters.
fn digits_in(message: &Fields) -> Option<&'static str> {
    let written = message.header(HeaderName::ContentType)?;
    let written = written.split(';').next().unwrap_or_default().trim();
    DIGITS
        .into_iter()
        .find(|digits| digits.eq_ignore_ascii_case(written))
}
