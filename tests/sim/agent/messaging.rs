//! MESSAGE, both ways (RFC 3428).

use bytes::Bytes;
use trunkline::sip::message::{HeaderName, Message, Method, Request};
use trunkline::sip::writer::Writer;

use super::acting::tag_of;
use super::call::{Call, Incoming, State, What};
use super::plan::Plan;
use super::{Agent, Effect, Hands, wire};

/// What an agent sends in a MESSAGE.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// The number in From.
    pub(crate) from: &'static str,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// Header fields besides.
    pub(crate) extra: Vec<(&'static str, String)>,
}

impl Letter {
    pub(crate) fn of(from: &'static str, text: &str) -> Self {
        Self {
            from,
            content_type: Some("text/plain;charset=UTF-8"),
            body: text.as_bytes().to_vec(),
            extra: Vec::new(),
        }
    }
}

impl Agent {
    /// Sends a MESSAGE until it is answered; returns its number among the calls.
    pub(crate) fn write(&mut self, to: &str, letter: &Letter, hands: &mut Hands<'_>) -> usize {
        let tag = self.mint("t", hands.rng);
        let id = self.mint("c", hands.rng);
        let branch = self.branch(hands.rng);
        let call = Call {
            local: format!(
                "\"Somebody\" <sip:{}@{}>;tag={tag}",
                letter.from, self.address
            ),
            remote: format!("<{to}>"),
            target: to.to_owned(),
            state: State::Over,
            cseq: 1,
            ..self.blank(id, Plan::idle())
        };
        let bytes = letter_bytes(self, &call, letter, &branch);
        let index = self.add_call(call);
        self.send_until_answered(index, What::Request(Method::Message, 1), bytes, hands);
        index
    }

    /// Of what comes without a dialog each Call-ID is one.
    pub(super) fn on_first_message(&mut self, request: &Request) -> usize {
        let to = request.header(HeaderName::To).unwrap();
        let call = Call {
            local: format!("{to};tag=t{}-{}", self.mark, self.calls.len()),
            state: State::Over,
            ..self.blank(request.call_id().to_owned(), self.plan.clone())
        };
        self.add_call(call)
    }

    pub(super) fn on_message(&mut self, index: usize, request: Request, hands: &mut Hands<'_>) {
        let branch = request.via().unwrap().branch().unwrap().to_owned();
        let known = self.calls[index].incoming.as_ref();
        if let Some(known) = known.filter(|known| known.branch == branch) {
            if let Some(last) = known.last.clone() {
                self.send(index, last, hands);
            }
            return;
        }
        let challenge = self.challenge(index, &request);
        self.calls[index].incoming = Some(Incoming {
            request,
            branch,
            last: None,
            done: false,
        });
        match (challenge, self.calls[index].plan.message) {
            (Some((_, bytes)), _) => self.send_kept(index, bytes, hands),
            (None, Some(status)) => self.answer_message(index, status, hands),
            (None, None) => {}
        }
    }

    /// Answers the last MESSAGE of this number.
    pub(crate) fn answer_message(&mut self, index: usize, status: u16, hands: &mut Hands<'_>) {
        let call = &self.calls[index];
        let incoming = call.incoming.as_ref().expect("a MESSAGE came");
        let (tag, plan) = (tag_of(&call.local), &call.plan);
        // A reason phrase can say who it is about.
        let reason = format!("{} Says So", self.mark);
        let bytes = wire::response(self, &incoming.request, status, &reason, &tag, false, None);
        let fields = match status {
            200..300 => &plan.with_answers,
            _ => &plan.with_failures,
        };
        let fields: String = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let bytes = wire::with_fields(&bytes, &fields);
        self.send_kept(index, bytes, hands);
    }

    fn send_kept(&mut self, index: usize, bytes: Bytes, hands: &mut Hands<'_>) {
        if let Some(incoming) = &mut self.calls[index].incoming {
            incoming.last = Some(bytes.clone());
        }
        let to = self.gateway;
        hands.effects.push(Effect::Send { to, bytes });
    }

    /// The MESSAGEs that came, each once, as they came last.
    pub(crate) fn letters(&self) -> Vec<&Request> {
        let incoming = self.calls.iter().filter_map(|call| call.incoming.as_ref());
        let requests = incoming.map(|incoming| &incoming.request);
        requests
            .filter(|request| request.method == Method::Message)
            .collect()
    }
}

impl Call {
    /// The statuses of all responses that came, retransmissions too.
    pub(crate) fn answers(&self) -> Vec<u16> {
        let statuses = self.heard.iter().filter_map(|message| match message {
            Message::Response(response) => Some(response.status),
            Message::Request(_) => None,
        });
        statuses.collect()
    }
}

fn letter_bytes(agent: &Agent, call: &Call, letter: &Letter, branch: &str) -> Bytes {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, "MESSAGE", &call.target);
    writer
        .field(HeaderName::Via, &[&agent.via(branch)])
        .number(HeaderName::MaxForwards, 70)
        .field(HeaderName::From, &[&call.local])
        .field(HeaderName::To, &[&call.remote])
        .field(HeaderName::CallId, &[&call.id])
        .field(HeaderName::CSeq, &["1 MESSAGE"]);
    for (name, value) in &letter.extra {
        writer.raw_field(name, value);
    }
    match letter.content_type {
        Some(content_type) => writer.body(content_type, &letter.body),
        None => {
            writer.number(HeaderName::ContentLength, letter.body.len() as u64);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&letter.body);
        }
    }
    out.into()
}
