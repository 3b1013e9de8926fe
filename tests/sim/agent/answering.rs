//! What an agent does when something comes.

use bytes::Bytes;
use trunkline::sip::digest::{self, Credentials};
use trunkline::sip::message::{HeaderName, Message, Method, Request, Response};

use super::acting::tag_of;
use super::call::{By, Call, Incoming, State, What};
use super::plan::{Plan, ToReinvite, When};
use super::security::Role;
use super::{Agent, Hands, wire};

impl Agent {
    pub(super) fn on_response(&mut self, index: usize, response: &Response, hands: &mut Hands<'_>) {
        let cseq = response.cseq().unwrap();
        let number = cseq.number;
        match cseq.method {
            Method::Invite => {
                let invite = self.calls[index].invite.as_ref();
                if invite.is_some_and(|invite| invite.cseq == number) {
                    self.on_invite_response(index, response, hands);
                }
            }
            method => {
                if response.status >= 200 {
                    self.stop(index, &What::Request(method, number));
                }
                match method {
                    Method::Bye => self.calls[index].bye_answer = Some(response.status),
                    Method::Update => self.on_update_answer(index, response),
                    _ => {}
                }
            }
        }
    }

    fn on_invite_response(&mut self, index: usize, response: &Response, hands: &mut Hands<'_>) {
        self.stop(index, &What::Invite);
        let Some(invite) = &mut self.calls[index].invite else {
            return;
        };
        let was_done = invite.done;
        invite.done |= response.status >= 200;
        let first = invite.first;
        match response.status {
            ..200 => {
                invite.provisional = true;
                if response.status > 100 && !was_done && first {
                    self.learn(index, response);
                    self.acknowledge_provisional(index, response, hands);
                }
                self.cancel_where_due(index, hands);
            }
            200..300 => {
                if !was_done {
                    self.learn(index, response);
                    self.on_success(index, response, first, hands);
                }
                self.acknowledge(index, response, hands);
                // A CANCEL that came too late, or a plan that has ended: hang up.
                let cancelled = self.calls[index]
                    .invite
                    .as_ref()
                    .is_some_and(|invite| invite.cancelled && invite.first);
                if !was_done && (cancelled || self.calls[index].cancel_wanted) && first {
                    self.act(index, &super::Act::Bye, hands);
                }
            }
            300.. => {
                let ack = wire::ack_of_failure(&invite.bytes, response);
                self.send(index, ack, hands);
                if !was_done {
                    self.on_failure(index, response, first, hands);
                }
            }
        }
    }

    fn on_success(
        &mut self,
        index: usize,
        response: &Response,
        first: bool,
        hands: &mut Hands<'_>,
    ) {
        let call = &mut self.calls[index];
        if !first {
            call.reinvite_answers.push(response.status);
            return;
        }
        call.outcome = Some((response.status, response.reason().to_owned()));
        call.state = State::Talking;
        call.answered_at = Some(hands.now);
        self.plan_steps(index, When::Answered, hands);
    }

    fn on_failure(
        &mut self,
        index: usize,
        response: &Response,
        first: bool,
        hands: &mut Hands<'_>,
    ) {
        if !first {
            self.calls[index].reinvite_answers.push(response.status);
            return;
        }
        if response.status == 407 && self.try_account(index, response, hands) {
            return;
        }
        let call = &mut self.calls[index];
        call.outcome = Some((response.status, response.reason().to_owned()));
        call.state = State::Over;
    }

    /// Tag, target, route set and media address of a response to our INVITE.
    fn learn(&mut self, index: usize, response: &Response) {
        let call = &mut self.calls[index];
        let to = response.to().unwrap();
        if let Some(tag) = to.tag() {
            // Each dialog counts its requests by itself, from the INVITE on (RFC 3261 §12.1.2).
            if call.state == State::Setup
                && call
                    .remote_tag
                    .as_deref()
                    .is_some_and(|before| before != tag)
                && let Some(invite) = &call.invite
            {
                call.cseq = invite.cseq;
            }
            call.remote_tag = Some(tag.to_owned());
            call.remote = response.header(HeaderName::To).unwrap().to_owned();
        }
        if let Some(contact) = wire::contact_of(response.header(HeaderName::Contact)) {
            call.target = contact;
        }
        if call.state == State::Setup {
            let own = format!("{}-proxy", self.mark);
            let recorded = response.values(HeaderName::RecordRoute);
            let mut routes: Vec<String> = recorded.map(str::to_owned).collect();
            routes.reverse();
            let call = &mut self.calls[index];
            assert!(
                routes.iter().all(|route| route.contains(&own)),
                "foreign Record-Route: {routes:?}"
            );
            call.routes = routes;
        }
        let invite = self.calls[index].invite.as_ref();
        let role = match invite.is_some_and(|invite| invite.late_offer) {
            true => Role::Offer,
            false => Role::Answer,
        };
        self.learn_media(index, response.body(), role);
    }

    fn learn_media(&mut self, index: usize, body: &[u8], role: Role) {
        if let Some(description) = wire::read_sdp(body) {
            let (srtp, has_mux) = (self.srtp, self.rtcp_mux);
            let call = &mut self.calls[index];
            check_session(call, body);
            call.remote_media = Some(description.address);
            call.remote_direction = description.direction;
            call.is_muxed = has_mux && description.rtcp_mux;
            if role == Role::Offer {
                call.is_fax = description.is_fax;
            }
            if !description.is_fax {
                call.security.theirs = description.crypto;
                call.security.is_secure_profile = description.is_secure_profile;
                call.security.agree(srtp, &call.id);
            }
        }
    }

    pub(super) fn on_request(
        &mut self,
        known: Option<usize>,
        request: Request,
        hands: &mut Hands<'_>,
    ) {
        let index = match known {
            Some(index) => index,
            None if self.plan.deaf => {
                let id = request.call_id().to_owned();
                self.add_call(self.blank(id, self.plan.clone()))
            }
            None if request.method == Method::Invite && request.to().unwrap().tag().is_none() => {
                self.on_first_invite(&request, hands)
            }
            None if request.method == Method::Message => self.on_first_message(&request),
            None => {
                self.refuse_unknown(request, hands);
                return;
            }
        };
        check_cseq(&mut self.calls[index], &request);
        let message = Message::Request(request.clone());
        self.calls[index].heard.push(message);
        if self.calls[index].plan.deaf {
            return;
        }
        let demands = self.calls[index].plan.demands.as_ref();
        let has_own = matches!(
            request.method,
            Method::Invite | Method::Ack | Method::Cancel
        );
        if demands.is_some_and(|demand| demand.always)
            && !has_own
            && let Some((_, challenge)) = self.challenge(index, &request)
        {
            self.send(index, challenge, hands);
            return;
        }
        match request.method {
            Method::Invite => self.on_invite(index, request, hands),
            Method::Ack => self.on_ack(index, &request),
            Method::Cancel => self.on_cancel(index, &request, hands),
            Method::Message => self.on_message(index, request, hands),
            Method::Bye => self.on_bye(index, &request, hands),
            Method::Info => match self.calls[index].plan.info {
                Some(0) => {}
                status => self.reply(index, &request, status.unwrap_or(200), hands),
            },
            Method::Update => self.on_update(index, &request, hands),
            Method::Prack => {
                if let Some(rack) = request.rack().unwrap() {
                    self.stop(index, &What::Reliable(rack.rseq));
                }
                self.reply(index, &request, 200, hands);
            }
            _ => self.reply(index, &request, 200, hands),
        }
    }

    fn on_update_answer(&mut self, index: usize, response: &Response) {
        if response.status < 200 {
            return;
        }
        self.calls[index].update_answers.push(response.status);
        if response.status < 300 {
            self.learn_media(index, response.body(), Role::Answer);
        }
    }

    fn on_update(&mut self, index: usize, request: &Request, hands: &mut Hands<'_>) {
        let call = &self.calls[index];
        let status = match call.plan.to_reinvite {
            _ if call.state == State::Over => 481,
            _ if call.is_offering() && !request.body().is_empty() => 491,
            ToReinvite::Refuse(status) => status,
            ToReinvite::Accept | ToReinvite::Ring => 200,
            ToReinvite::Ignore => return,
        };
        let mut body = None;
        if status == 200 && !request.body().is_empty() {
            self.learn_media(index, request.body(), Role::Offer);
            self.calls[index].agree();
            body = Some(wire::sdp(self, &self.calls[index], Role::Answer));
        }
        let tag = tag_of(&self.calls[index].local);
        let reason = self.calls[index].plan.phrase_of(status);
        let bytes = wire::response(self, request, status, reason, &tag, false, body);
        self.send(index, bytes, hands);
    }

    fn refuse_unknown(&mut self, request: Request, hands: &mut Hands<'_>) {
        if request.method != Method::Ack {
            self.answer_outside(&request, 481, hands);
        }
        self.strays.push(Message::Request(request));
    }

    pub(super) fn on_ping(&mut self, request: Request, bytes: Bytes, hands: &mut Hands<'_>) {
        if let Some(status) = self.ping_status {
            self.answer_outside(&request, status, hands);
        }
        self.pings.push((hands.now, request, bytes));
    }

    fn answer_outside(&mut self, request: &Request, status: u16, hands: &mut Hands<'_>) {
        let reason = trunkline::sip::reason_phrase(status);
        let tag = self.mint("t", hands.rng);
        let bytes = wire::response(self, request, status, reason, &tag, false, None);
        let to = self.gateway;
        hands.effects.push(super::Effect::Send { to, bytes });
    }

    fn on_first_invite(&mut self, request: &Request, hands: &mut Hands<'_>) -> usize {
        let plan: Plan = match self.random_plan {
            Some(make) => make(hands.rng),
            None => self.plan.clone(),
        };
        let tag = self.mint("t", hands.rng);
        let to = request.header(HeaderName::To).unwrap();
        let from = request.header(HeaderName::From).unwrap();
        let routes = request.values(HeaderName::RecordRoute).map(str::to_owned);
        let mut routes: Vec<String> = routes.collect();
        if plan.record_route {
            routes.insert(0, self.record_route(&Plan::idle()));
        }
        let call = Call {
            local: format!("{to};tag={tag}"),
            remote: from.to_owned(),
            remote_tag: Some(tag_of(from)),
            target: wire::contact_of(request.header(HeaderName::Contact)).unwrap(),
            routes,
            ..self.blank(request.call_id().to_owned(), plan)
        };
        let index = self.add_call(call);
        self.plan_steps(index, When::Invited, hands);
        index
    }

    fn on_invite(&mut self, index: usize, request: Request, hands: &mut Hands<'_>) {
        let branch = request.via().unwrap().branch().unwrap().to_owned();
        let call = &mut self.calls[index];
        if let Some(incoming) = &call.incoming
            && incoming.branch == branch
        {
            if let Some(last) = incoming.last.clone() {
                self.send(index, last, hands);
            }
            return;
        }
        let is_first = request.to().unwrap().tag().is_none();
        if !is_first {
            self.on_reinvite(index, request, branch, hands);
            return;
        }
        call.incoming = Some(Incoming {
            branch,
            last: None,
            done: false,
            request: request.clone(),
        });
        if matches!(call.status(), Some(401 | 407 | 422)) {
            // The same call with what was missing.
            call.state = State::Setup;
            self.plan_steps(index, When::Invited, hands);
        }
        if let Some(challenge) = self.challenge(index, &request) {
            self.respond(index, challenge.0, challenge.1, hands);
            let call = &mut self.calls[index];
            call.state = State::Over;
            call.outcome = Some((challenge.0, "Who Are You".to_owned()));
            return;
        }
        self.learn_media(index, request.body(), Role::Offer);
    }

    fn on_reinvite(
        &mut self,
        index: usize,
        request: Request,
        branch: String,
        hands: &mut Hands<'_>,
    ) {
        self.calls[index].reinvites += 1;
        if let Some((status, bytes)) = self.challenge(index, &request) {
            self.send_until_answered(index, What::Failure, bytes, hands);
            assert!(status >= 400);
            return;
        }
        let call = &mut self.calls[index];
        let status = match call.plan.to_reinvite {
            _ if call.state == State::Over => 481,
            // RFC 3261 §14.2
            _ if call.is_offering() => 491,
            ToReinvite::Accept => 200,
            ToReinvite::Refuse(status) => status,
            ToReinvite::Ring => 180,
            ToReinvite::Ignore => return,
        };
        let offered = !request.body().is_empty();
        if status == 491 || status == 481 {
            // Answered without a place of its own: what is kept is the INVITE before.
            let tag = tag_of(&call.local);
            let reason = call.plan.phrase_of(status);
            let bytes = wire::response(self, &request, status, reason, &tag, false, None);
            self.send_until_answered(index, What::Failure, bytes, hands);
            return;
        }
        call.incoming = Some(Incoming {
            branch,
            last: None,
            done: false,
            request: request.clone(),
        });
        if let Some(contact) = wire::contact_of(request.header(HeaderName::Contact)) {
            call.target = contact;
        }
        if status == 200 {
            self.learn_media(index, request.body(), Role::Offer);
            let call = &mut self.calls[index];
            match offered {
                true => call.agree(),
                false => call.version += 1,
            }
        }
        let call = &self.calls[index];
        let body = (status == 200).then(|| wire::sdp(self, call, call.role()));
        let reason = call.plan.phrase_of(status);
        let tag = tag_of(&call.local);
        let bytes = wire::response(self, &request, status, reason, &tag, false, body);
        self.respond(index, status, bytes, hands);
    }

    /// The challenge that a request gets in the place of an answer, where its credentials are not good.
    pub(super) fn challenge(
        &mut self,
        index: usize,
        request: &Request,
    ) -> Option<(u16, bytes::Bytes)> {
        let demand = self.calls[index].plan.demands.clone()?;
        let (asks, answers) = match demand.status {
            401 => ("WWW-Authenticate", HeaderName::Authorization),
            _ => ("Proxy-Authenticate", HeaderName::ProxyAuthorization),
        };
        let call = &mut self.calls[index];
        let mut stale = false;
        if let Some(value) = request.header(answers) {
            let credentials = Credentials::parse(value).unwrap();
            let ha1 = digest::ha1(
                credentials.algorithm,
                demand.username,
                "carrier.example",
                demand.password,
            );
            assert_eq!(
                credentials.algorithm,
                *demand
                    .algorithms
                    .iter()
                    .max_by_key(|one| one.token().len())
                    .unwrap()
            );
            let is_right = credentials.username == demand.username
                && digest::verify(&credentials, &ha1, request.method_token());
            let is_current = credentials.nonce == format!("nonce-{}", call.nonces);
            if is_right && is_current && call.nonce_uses < demand.uses {
                call.nonce_uses += 1;
                assert_eq!(credentials.nc(), Some(call.nonce_uses));
                return None;
            }
            stale = is_right;
        }
        call.nonces += 1;
        call.nonce_uses = 0;
        let nonce = format!("nonce-{}", call.nonces);
        let tag = tag_of(&call.local);
        let reason = "Who Are You";
        let mut bytes = wire::response(self, request, demand.status, reason, &tag, false, None);
        for algorithm in demand.algorithms {
            let value = digest::challenge("carrier.example", &nonce, *algorithm, stale);
            bytes = wire::with_fields(&bytes, &format!("{asks}: {value}\r\n"));
        }
        Some((demand.status, bytes))
    }

    fn on_ack(&mut self, index: usize, request: &Request) {
        self.stop(index, &What::Failure);
        let call = &mut self.calls[index];
        let number = request.cseq().unwrap().number;
        let awaited = call.incoming.as_ref().is_some_and(|incoming| {
            incoming.done && incoming.request.cseq().unwrap().number == number
        });
        if awaited {
            call.acknowledged = true;
            self.stop(index, &What::Success);
            self.learn_media(index, request.body(), Role::Answer);
        }
    }

    fn on_cancel(&mut self, index: usize, request: &Request, hands: &mut Hands<'_>) {
        let tag = tag_of(&self.calls[index].local);
        let call = &self.calls[index];
        let waiting = call.incoming.as_ref().filter(|incoming| !incoming.done);
        let terminated = waiting.map(|incoming| {
            let request = &incoming.request;
            wire::response(self, request, 487, "Request Terminated", &tag, false, None)
        });
        self.reply(index, request, 200, hands);
        if let Some(bytes) = terminated {
            let call = &mut self.calls[index];
            if call.state == State::Setup {
                call.state = State::Over;
                call.outcome = Some((487, "Request Terminated".to_owned()));
            }
            self.respond(index, 487, bytes, hands);
        }
    }

    fn on_bye(&mut self, index: usize, request: &Request, hands: &mut Hands<'_>) {
        let call = &self.calls[index];
        // Another tag is another fork of ours, which is not played out.
        let ours = request.to().unwrap().tag() == Some(tag_of(&call.local).as_str());
        if call.hung_up.is_none() && ours {
            self.end(index, By::Them);
        }
        self.reply(index, request, 200, hands);
    }

    fn reply(&mut self, index: usize, request: &Request, status: u16, hands: &mut Hands<'_>) {
        let tag = tag_of(&self.calls[index].local);
        let reason = self.calls[index].plan.phrase_of(status);
        let bytes = wire::response(self, request, status, reason, &tag, false, None);
        self.send(index, bytes, hands);
    }
}

/// RFC 3264 §8: one session a leg, and another version where, and only where, the text is another.
/// A description that was overtaken by a newer one is not looked at.
fn check_session(call: &mut Call, body: &[u8]) {
    let text = std::str::from_utf8(body).unwrap();
    let origin = text.lines().find(|line| line.starts_with("o=")).unwrap();
    let mut words = origin.split(' ').skip(1);
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (id, version) = (number(), number());
    if let Some((last_id, last_version, last_text)) = &call.remote_session {
        assert_eq!(id, *last_id, "another session in the same dialog");
        if version <= *last_version {
            let same = *last_text == text;
            assert!(
                same || version < *last_version,
                "version {version} twice:\n{last_text}\n{text}"
            );
            return;
        }
    }
    call.remote_session = Some((id, version, text.to_owned()));
}

/// RFC 3261 §12.2.1.1: every request within a dialog has a number of its own.
fn check_cseq(call: &mut Call, request: &Request) {
    if matches!(request.method, Method::Ack | Method::Cancel) {
        return;
    }
    let number = request.cseq().unwrap().number;
    let tag = request.to().unwrap().tag().unwrap_or_default();
    let branch = request.via().unwrap().branch().unwrap();
    let of_number = call
        .requests
        .iter()
        .find(|(known, cseq, _)| known == tag && *cseq == number);
    match of_number {
        Some((_, _, known)) => assert_eq!(known, branch, "CSeq {number} twice"),
        None => {
            let entry = (tag.to_owned(), number, branch.to_owned());
            call.requests.push(entry);
        }
    }
}
