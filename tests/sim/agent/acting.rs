//! What an agent does of its own accord.

use bytes::Bytes;
use trunkline::sip::digest::{self, Account, Algorithm, Challenge};
use trunkline::sip::message::{HeaderName, Method, Response};

use super::call::{By, Call, Incoming, Invite, Sending, State, What};
use super::plan::{Acks, Act, Plan, Session, When};
use super::security::{Role, Security, read_lines};
use super::{Agent, Effect, Hands, T1, Wake, wire};

impl Agent {
    /// Calls; returns the call's number.
    pub(crate) fn call(&mut self, to: &str, plan: Plan, hands: &mut Hands<'_>) -> usize {
        let tag = self.mint("t", hands.rng);
        let id = self.mint("c", hands.rng);
        let host = self.address;
        let call = Call {
            local: format!("\"Somebody\" <sip:{}@{host}>;tag={tag}", plan.from),
            remote: format!("<{to}>"),
            target: to.to_owned(),
            ..self.blank(id, plan)
        };
        let index = self.add_call(call);
        self.send_invite(index, &[], hands);
        self.plan_steps(index, When::Invited, hands);
        index
    }

    /// A call of which nothing is known.
    pub(super) fn blank(&self, id: String, plan: Plan) -> Call {
        Call {
            state: State::Setup,
            id,
            plan,
            local: String::new(),
            remote: String::new(),
            remote_tag: None,
            target: String::new(),
            routes: Vec::new(),
            cseq: 0,
            invite: None,
            incoming: None,
            heard: Vec::new(),
            outcome: None,
            hung_up: None,
            bye_answer: None,
            sending: Vec::new(),
            media_port: 10_000 + 2 * (self.calls.len() % 20_000) as u16,
            direction: "sendrecv",
            is_fax: false,
            security: Security::default(),
            first_security: None,
            is_muxed: false,
            sequence: 0,
            version: 1,
            remote_media: None,
            remote_direction: String::new(),
            remote_session: None,
            requests: Vec::new(),
            packets: 0,
            answered_at: None,
            acknowledged: false,
            cancel_wanted: false,
            reinvite_answers: Vec::new(),
            nonces: 0,
            nonce_uses: 0,
            rseq: 700,
            heard_rseq: None,
            update_answers: Vec::new(),
            reinvites: 0,
            next_sending: 0,
            patience_ended: false,
        }
    }

    pub(super) fn act(&mut self, index: usize, act: &Act, hands: &mut Hands<'_>) {
        match act {
            Act::Answer(_)
            | Act::EarlyMedia
            | Act::BareOk
            | Act::ForkedOk
            | Act::ForkedMedia
            | Act::ForkedRinging
            | Act::Reliable(_) => {
                self.answer(index, act, hands);
            }
            Act::Cancel => self.cancel(index, hands),
            Act::Bye => self.hang_up(index, hands),
            Act::Leave => {
                let call = &mut self.calls[index];
                call.patience_ended = call.state != State::Over;
                if call.state == State::Setup {
                    call.state = State::Over;
                }
                self.hang_up(index, hands);
            }
            Act::Reinvite(session) => self.reinvite(index, *session, hands),
            Act::Update(session) => self.update(index, *session, hands),
            Act::Refer(number) => {
                if self.calls[index].state == State::Talking {
                    let fields = [("Refer-To", format!("<tel:{number}>"))];
                    self.send_refer(index, &fields, hands);
                }
            }
        }
    }

    fn send_invite(&mut self, index: usize, extra: &[(&str, String)], hands: &mut Hands<'_>) {
        let branch = self.branch_for(index, hands);
        let call = &mut self.calls[index];
        call.cseq += 1;
        let first = call.state == State::Setup;
        let tried_account = !extra.is_empty();
        let call = &self.calls[index];
        let body = (!call.plan.late_offer || !first).then(|| wire::sdp(self, call, Role::Offer));
        let mut fields = call.plan.extra.clone();
        fields.extend(
            extra
                .iter()
                .map(|(_, value)| ("Proxy-Authorization", value.clone())),
        );
        let bytes = wire::request(self, call, "INVITE", call.cseq, &branch, &fields, body);
        self.start_invite(index, bytes, first, tried_account, hands);
    }

    fn branch_for(&mut self, index: usize, hands: &mut Hands<'_>) -> String {
        match self.calls[index].plan.old_branch {
            true => self.mint("old", hands.rng),
            false => self.branch(hands.rng),
        }
    }

    fn start_invite(
        &mut self,
        index: usize,
        bytes: Bytes,
        first: bool,
        tried_account: bool,
        hands: &mut Hands<'_>,
    ) {
        let call = &mut self.calls[index];
        let is_late = !bytes.windows(4).any(|part| part == b"v=0\r");
        call.invite = Some(Invite {
            bytes: bytes.clone(),
            cseq: call.cseq,
            first,
            provisional: false,
            done: false,
            acks: Vec::new(),
            late_offer: is_late,
            tried_account,
            cancelled: false,
        });
        self.send_until_answered(index, What::Invite, bytes, hands);
    }

    /// Answers a challenge; whether it could.
    pub(super) fn try_account(
        &mut self,
        index: usize,
        response: &Response,
        hands: &mut Hands<'_>,
    ) -> bool {
        let call = &self.calls[index];
        let Some((username, password, algorithm)) = call.plan.account else {
            return false;
        };
        if call
            .invite
            .as_ref()
            .is_some_and(|invite| invite.tried_account)
        {
            return false;
        }
        let challenges = response.headers(HeaderName::ProxyAuthenticate);
        let challenges = challenges.map(|value| Challenge::parse(value).unwrap());
        let wanted = |challenge: &Challenge<'_>| challenge.algorithm.token() == algorithm;
        let challenge = challenges
            .into_iter()
            .find(wanted)
            .expect("no such challenge");
        let uri = call.plan.digest_uri.as_ref().unwrap_or(&call.target);
        let value = answer_to(&challenge, username, password, uri, 1);
        self.send_invite(index, &[("Proxy-Authorization", value)], hands);
        true
    }

    /// CANCEL waits for the first provisional response (RFC 3261 §9.1).
    fn cancel(&mut self, index: usize, hands: &mut Hands<'_>) {
        let call = &mut self.calls[index];
        let Some(invite) = call.invite.as_mut().filter(|invite| !invite.done) else {
            return;
        };
        if !invite.provisional {
            call.cancel_wanted = true;
            return;
        }
        call.cancel_wanted = false;
        if std::mem::replace(&mut invite.cancelled, true) {
            return;
        }
        let (mut bytes, cseq) = (wire::cancel(&invite.bytes), invite.cseq);
        for (name, value) in &call.plan.with_requests {
            bytes = wire::with_fields(&bytes, &format!("{name}: {value}\r\n"));
        }
        self.send_until_answered(index, What::Request(Method::Cancel, cseq), bytes, hands);
    }

    pub(super) fn cancel_where_due(&mut self, index: usize, hands: &mut Hands<'_>) {
        if self.calls[index].cancel_wanted {
            self.cancel(index, hands);
        }
    }

    fn hang_up(&mut self, index: usize, hands: &mut Hands<'_>) {
        let call = &self.calls[index];
        if call.state != State::Talking || call.remote_tag.is_none() {
            return;
        }
        if call
            .sending
            .iter()
            .any(|sending| sending.what == What::Success)
        {
            // RFC 3261 §15: who was called waits for the ACK.
            let wake = Wake::Act(Act::Bye);
            hands.effects.push(Effect::Wake {
                after: T1,
                call: index,
                wake,
            });
            return;
        }
        self.end(index, By::Us);
        let bytes = self.write_in_dialog(index, "BYE", hands);
        let cseq = self.calls[index].cseq;
        self.send_until_answered(index, What::Request(Method::Bye, cseq), bytes, hands);
    }

    /// BYE before the call is answered, which a caller may send (RFC 3261 §15).
    pub(crate) fn hang_up_early(&mut self, index: usize, hands: &mut Hands<'_>) {
        let bytes = self.write_in_dialog(index, "BYE", hands);
        let cseq = self.calls[index].cseq;
        self.send_until_answered(index, What::Request(Method::Bye, cseq), bytes, hands);
    }

    /// Any other request within the dialog.
    pub(crate) fn send_in_dialog(&mut self, index: usize, method: &str, hands: &mut Hands<'_>) {
        let bytes = self.write_in_dialog(index, method, hands);
        self.send(index, bytes, hands);
    }

    /// An INFO with a body, again until it is answered.
    pub(crate) fn send_info(&mut self, index: usize, body: &str, hands: &mut Hands<'_>) {
        self.send_info_of(index, ("application/sdp", body), hands);
    }

    pub(crate) fn send_info_of(
        &mut self,
        index: usize,
        (content_type, body): (&str, &str),
        hands: &mut Hands<'_>,
    ) {
        let branch = self.branch_for(index, hands);
        self.calls[index].cseq += 1;
        let call = &self.calls[index];
        let cseq = call.cseq;
        let mut fields = vec![("Info-Package", "dtmf".to_owned())];
        fields.extend(call.plan.with_requests.iter().cloned());
        let body = Some(body.to_owned());
        let bytes = wire::request(self, call, "INFO", cseq, &branch, &fields, body);
        let text = std::str::from_utf8(&bytes).unwrap();
        let bytes = text.replacen("application/sdp", content_type, 1).into();
        self.send_until_answered(index, What::Request(Method::Info, cseq), bytes, hands);
    }

    /// A REFER with these header fields, again until it is answered.
    pub(crate) fn send_refer(
        &mut self,
        index: usize,
        fields: &[(&str, String)],
        hands: &mut Hands<'_>,
    ) {
        let branch = self.branch_for(index, hands);
        self.calls[index].cseq += 1;
        let call = &self.calls[index];
        let cseq = call.cseq;
        let bytes = wire::request(self, call, "REFER", cseq, &branch, fields, None);
        self.send_until_answered(index, What::Request(Method::Refer, cseq), bytes, hands);
    }

    fn write_in_dialog(&mut self, index: usize, method: &str, hands: &mut Hands<'_>) -> Bytes {
        let branch = self.branch_for(index, hands);
        self.calls[index].cseq += 1;
        let call = &self.calls[index];
        let fields = &call.plan.with_requests;
        wire::request(self, call, method, call.cseq, &branch, fields, None)
    }

    /// The call is over: what was sent again and again is not any more, but for BYE and CANCEL.
    pub(super) fn end(&mut self, index: usize, by: By) {
        let call = &mut self.calls[index];
        call.state = State::Over;
        call.hung_up = Some(by);
        call.sending
            .retain(|sending| matches!(sending.what, What::Request(..) | What::Failure));
    }

    fn reinvite(&mut self, index: usize, session: Session, hands: &mut Hands<'_>) {
        let call = &mut self.calls[index];
        let ours = call.invite.as_ref().is_some_and(|invite| !invite.done);
        let theirs = call
            .incoming
            .as_ref()
            .is_some_and(|incoming| !incoming.done);
        let busy = ours
            || theirs
            || call
                .sending
                .iter()
                .any(|sending| sending.what == What::Success);
        if call.state != State::Talking || busy {
            return;
        }
        call.change(session);
        call.cseq += 1;
        let branch = self.branch(hands.rng);
        let call = &self.calls[index];
        let body = (session != Session::Late).then(|| wire::sdp(self, call, Role::Offer));
        let bytes = wire::request(
            self,
            call,
            "INVITE",
            call.cseq,
            &branch,
            &call.plan.extra,
            body,
        );
        self.start_invite(index, bytes, false, false, hands);
    }

    fn update(&mut self, index: usize, session: Session, hands: &mut Hands<'_>) {
        let call = &mut self.calls[index];
        if call.state == State::Over || call.remote_tag.is_none() {
            return;
        }
        call.change(session);
        call.cseq += 1;
        let branch = self.branch(hands.rng);
        let call = &self.calls[index];
        let body = (session != Session::Late).then(|| wire::sdp(self, call, Role::Offer));
        let cseq = call.cseq;
        let bytes = wire::request(self, call, "UPDATE", cseq, &branch, &[], body);
        self.send_until_answered(index, What::Request(Method::Update, cseq), bytes, hands);
    }

    /// The ACK of a 2xx, the same for every time it comes (RFC 3261 §13.2.2.4).
    pub(super) fn acknowledge(&mut self, index: usize, response: &Response, hands: &mut Hands<'_>) {
        let tag = response.to().unwrap().tag().unwrap().to_owned();
        let call = &self.calls[index];
        if call.plan.acks == Acks::None {
            return;
        }
        let Some(invite) = &call.invite else { return };
        let known = invite.acks.iter().find(|(known, _)| *known == tag);
        let bytes = match known {
            Some((_, bytes)) => bytes.clone(),
            None => {
                let (cseq, late) = (invite.cseq, invite.late_offer);
                let branch = match self.calls[index].plan.acks {
                    Acks::SameBranch => branch_of(&invite.bytes),
                    Acks::All | Acks::None | Acks::WithoutBody => self.branch(hands.rng),
                };
                let call = &self.calls[index];
                let with_body = late && call.plan.acks != Acks::WithoutBody;
                let body = with_body.then(|| wire::sdp(self, call, Role::Answer));
                let bytes = wire::request(self, call, "ACK", cseq, &branch, &[], body);
                let call = &mut self.calls[index];
                if let Some(invite) = &mut call.invite {
                    invite.acks.push((tag, bytes.clone()));
                }
                bytes
            }
        };
        self.send(index, bytes, hands);
    }

    /// Answers the INVITE that came first.
    fn answer(&mut self, index: usize, act: &Act, hands: &mut Hands<'_>) {
        let call = &self.calls[index];
        let Some(incoming) = &call.incoming else {
            return;
        };
        let forked = matches!(act, Act::ForkedOk | Act::ForkedMedia | Act::ForkedRinging);
        if (call.state != State::Setup || incoming.done) && !forked {
            return;
        }
        let (status, with_body) = match act {
            Act::Answer(status) => (*status, (200..300).contains(status)),
            Act::EarlyMedia | Act::ForkedMedia => (183, true),
            Act::Reliable(status) => (*status, *status == 183),
            Act::BareOk => (200, false),
            Act::ForkedOk => (200, true),
            Act::ForkedRinging => (180, false),
            Act::Cancel
            | Act::Bye
            | Act::Leave
            | Act::Reinvite(_)
            | Act::Update(_)
            | Act::Refer(_) => return,
        };
        let tag = match forked {
            true => self.mint("t", hands.rng),
            false => tag_of(&self.calls[index].local),
        };
        if forked {
            // Another phone, with keys of its own; it knows the INVITE's, and nothing of what came after.
            let (srtp, call) = (self.srtp, &mut self.calls[index]);
            let invite = call.incoming.as_ref().map(|it| it.request.body().clone());
            let text = invite.unwrap_or_default();
            let theirs = read_lines(std::str::from_utf8(&text).unwrap());
            let first = std::mem::take(&mut call.security);
            call.security = first.of_fork(theirs);
            call.security.agree(srtp, &call.id);
            call.first_security.get_or_insert(first);
        } else if let Some(first) = self.calls[index].first_security.take() {
            self.calls[index].security = first;
        }
        let call = &self.calls[index];
        let Some(Incoming { request, .. }) = &call.incoming else {
            return;
        };
        let asked = request.session_expires().unwrap();
        let is_short = |(_, least): (&str, u32)| asked.is_some_and(|asked| asked.interval < least);
        let (status, with_body) = match call.plan.session.is_some_and(is_short) {
            true => (422, false),
            false => (status, with_body),
        };
        let role = call.role();
        let has_no_keys = role == Role::Answer && call.security.is_missing(self.srtp);
        let (status, with_body) = match with_body && has_no_keys {
            true => (488, false),
            false => (status, with_body),
        };
        let body = with_body.then(|| wire::sdp(self, call, role));
        let reason = call.plan.phrase_of(status);
        let records = call.plan.record_route;
        let bytes = wire::response(self, request, status, reason, &tag, records, body);
        let mut bytes = bytes;
        let fields = match status {
            ..300 => &call.plan.with_answers,
            300.. => &call.plan.with_failures,
        };
        for (name, value) in fields {
            bytes = wire::with_fields(&bytes, &format!("{name}: {value}\r\n"));
        }
        if forked {
            self.send(index, bytes, hands);
            return;
        }
        if let Act::Reliable(_) = act {
            self.respond_reliably(index, bytes, hands);
            return;
        }
        self.respond(index, status, bytes, hands);
        if status >= 200 {
            let reliable = |sending: &Sending| matches!(sending.what, What::Reliable(_));
            self.calls[index]
                .sending
                .retain(|sending| !reliable(sending));
        }
        if (200..300).contains(&status) {
            let call = &mut self.calls[index];
            call.state = State::Talking;
            call.outcome = Some((status, reason.to_owned()));
            call.answered_at = Some(hands.now);
            self.plan_steps(index, When::Answered, hands);
        } else if status >= 300 {
            let call = &mut self.calls[index];
            call.state = State::Over;
            call.outcome = Some((status, reason.to_owned()));
        }
    }

    fn respond_reliably(&mut self, index: usize, bytes: Bytes, hands: &mut Hands<'_>) {
        let call = &mut self.calls[index];
        call.rseq += 1;
        let rseq = call.rseq;
        let bytes = wire::with_fields(&bytes, &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"));
        if let Some(incoming) = &mut call.incoming {
            incoming.last = Some(bytes.clone());
        }
        self.send_until_answered(index, What::Reliable(rseq), bytes, hands);
    }

    /// RFC 3262 §4, once for each that is not a repetition.
    pub(super) fn acknowledge_provisional(
        &mut self,
        index: usize,
        response: &Response,
        hands: &mut Hands<'_>,
    ) {
        let Some(rseq) = response.rseq().unwrap() else {
            return;
        };
        let tag = response.to().unwrap().tag().unwrap().to_owned();
        let call = &mut self.calls[index];
        let heard = call.heard_rseq.as_ref();
        let heard = heard
            .filter(|(known, _)| *known == tag)
            .map(|(_, rseq)| *rseq);
        if call.plan.no_prack || heard.is_some_and(|last| rseq <= last) {
            return;
        }
        assert!(
            heard.is_none_or(|last| rseq == last + 1),
            "RSeq {rseq} after {heard:?}"
        );
        call.heard_rseq = Some((tag, rseq));
        call.cseq += 1;
        let invite = response.cseq().unwrap().number;
        let branch = self.branch(hands.rng);
        let call = &self.calls[index];
        let extra = [("RAck", format!("{rseq} {invite} INVITE"))];
        let cseq = call.cseq;
        let bytes = wire::request(self, call, "PRACK", cseq, &branch, &extra, None);
        self.send_until_answered(index, What::Request(Method::Prack, cseq), bytes, hands);
    }

    /// Sends a response to the INVITE at hand; a final one again until its ACK.
    pub(super) fn respond(
        &mut self,
        index: usize,
        status: u16,
        bytes: Bytes,
        hands: &mut Hands<'_>,
    ) {
        if let Some(incoming) = &mut self.calls[index].incoming {
            incoming.last = Some(bytes.clone());
            incoming.done |= status >= 200;
        }
        match status {
            ..200 => self.send(index, bytes, hands),
            200..300 => self.send_until_answered(index, What::Success, bytes, hands),
            300.. => self.send_until_answered(index, What::Failure, bytes, hands),
        }
    }
}

/// The credentials for a challenge of an INVITE.
pub(crate) fn answer_to(
    challenge: &Challenge<'_>,
    username: &str,
    password: &str,
    uri: &str,
    nc: u32,
) -> String {
    answer_for("INVITE", challenge, (username, password), uri, nc)
}

/// The credentials for a challenge of any request.
pub(crate) fn answer_for(
    method: &str,
    challenge: &Challenge<'_>,
    (username, password): (&str, &str),
    uri: &str,
    nc: u32,
) -> String {
    let algorithm: Algorithm = challenge.algorithm;
    let ha1 = digest::ha1(algorithm, username, &challenge.realm, password);
    let account = Account {
        username,
        ha1: &ha1,
    };
    digest::answer(challenge, account, method, uri, "0a4f113b", nc)
}

pub(super) fn tag_of(value: &str) -> String {
    value.rsplit(";tag=").next().unwrap().to_owned()
}

/// The branch of the Via that an agent has written.
fn branch_of(message: &Bytes) -> String {
    let text = std::str::from_utf8(message).unwrap();
    let after = text.split(";branch=").nth(1).unwrap();
    after.split([';', '\r']).next().unwrap().to_owned()
}
