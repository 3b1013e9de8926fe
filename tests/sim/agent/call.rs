//! One call as an agent sees it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use trunkline::instant::Instant;
use trunkline::sip::message::{HeaderName, Message, Method, Request};

use super::plan::{Plan, Session};
use super::security::{Role, Security};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The first INVITE has no final response.
    Setup,
    /// It was answered 2xx.
    Talking,
    /// Failed, or hung up.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Us,
    Them,
}

/// A call of an agent.
pub(crate) struct Call {
    pub(crate) state: State,
    pub(crate) id: String,
    pub(crate) plan: Plan,
    /// From or To, with our tag.
    pub(crate) local: String,
    /// The other's, with its tag when there is one.
    pub(crate) remote: String,
    pub(crate) remote_tag: Option<String>,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
    /// Our last INVITE.
    pub(crate) invite: Option<Invite>,
    /// Their last INVITE.
    pub(crate) incoming: Option<Incoming>,
    /// Everything that came, in order; retransmissions too.
    pub(crate) heard: Vec<Message>,
    /// The first final response to the first INVITE: what came, or what was sent.
    pub(crate) outcome: Option<(u16, String)>,
    pub(crate) hung_up: Option<By>,
    /// The final response to our BYE.
    pub(crate) bye_answer: Option<u16>,
    pub(crate) sending: Vec<Sending>,
    /// Our media port and direction, and the number of our description.
    pub(crate) media_port: u16,
    pub(crate) direction: &'static str,
    pub(crate) version: u32,
    /// Its stream is fax by T.38.
    pub(crate) is_fax: bool,
    pub(crate) security: Security,
    /// Of the phone that was called first, while another one speaks.
    pub(crate) first_security: Option<Security>,
    /// RTCP comes and goes on the port of RTP.
    pub(crate) is_muxed: bool,
    /// Packets that were sent: the next one's sequence number.
    pub(crate) sequence: u16,
    /// Where they want media.
    pub(crate) remote_media: Option<SocketAddr>,
    pub(crate) remote_direction: String,
    /// Their last description: session id, version, text.
    pub(crate) remote_session: Option<(u64, u64, String)>,
    /// To tag, CSeq number and branch of the requests that came.
    pub(crate) requests: Vec<(String, u32, String)>,
    /// RTP packets that came.
    pub(crate) packets: u64,
    pub(crate) answered_at: Option<Instant>,
    pub(crate) acknowledged: bool,
    pub(crate) cancel_wanted: bool,
    /// Final responses to re-INVITEs of ours.
    pub(crate) reinvite_answers: Vec<u16>,
    /// The challenges that were sent, each a nonce; and how often the last one was used.
    pub(crate) nonces: u32,
    pub(crate) nonce_uses: u32,
    /// RSeq of our last reliable response; the last one that came, with its tag.
    pub(crate) rseq: u32,
    pub(crate) heard_rseq: Option<(String, u32)>,
    /// Final responses to UPDATEs of ours.
    pub(crate) update_answers: Vec<u16>,
    /// Re-INVITEs that came.
    pub(crate) reinvites: u32,
    pub(crate) next_sending: u32,
    /// It had to leave of its own accord in the end.
    pub(crate) patience_ended: bool,
}

/// An INVITE that we sent.
pub(crate) struct Invite {
    pub(crate) bytes: Bytes,
    pub(crate) cseq: u32,
    pub(crate) first: bool,
    pub(crate) provisional: bool,
    pub(crate) done: bool,
    /// The ACKs of its 2xx, by their tag.
    pub(crate) acks: Vec<(String, Bytes)>,
    pub(crate) late_offer: bool,
    pub(crate) tried_account: bool,
    pub(crate) cancelled: bool,
}

/// An INVITE that came.
pub(crate) struct Incoming {
    pub(crate) request: Request,
    pub(crate) branch: String,
    pub(crate) last: Option<Bytes>,
    pub(crate) done: bool,
}

/// Something that is sent again until it is answered.
pub(crate) struct Sending {
    pub(crate) id: u32,
    pub(crate) what: What,
    pub(crate) bytes: Bytes,
    pub(crate) interval: Duration,
    pub(crate) until: Instant,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Invite,
    Request(Method, u32),
    Success,
    Failure,
    /// A reliable response, by its RSeq.
    Reliable(u32),
}

impl Call {
    /// An offer of ours is out.
    pub(crate) fn is_offering(&self) -> bool {
        let updating = |sending: &Sending| matches!(sending.what, What::Request(Method::Update, _));
        // A reliable response has answered the first one's.
        let is_open =
            |invite: &Invite| !invite.done && (!invite.first || self.heard_rseq.is_none());
        self.invite.as_ref().is_some_and(is_open) || self.sending.iter().any(updating)
    }

    /// What our next description in answer to their INVITE is.
    pub(crate) fn role(&self) -> Role {
        let incoming = self.incoming.as_ref();
        match incoming.is_some_and(|incoming| incoming.request.body().is_empty()) {
            true => Role::Offer,
            false => Role::Answer,
        }
    }

    /// Our next description says so.
    pub(crate) fn change(&mut self, session: Session) {
        match session {
            Session::Direction(direction) => self.direction = direction,
            Session::Moved => self.media_port = self.media_port.wrapping_add(20_000),
            Session::Late => {}
            Session::Rekeyed => self.security.generation += 1,
            Session::Fax => self.is_fax = true,
            Session::Audio => self.is_fax = false,
            Session::Same => return,
        }
        self.version += 1;
    }

    /// Our description in answer to their last.
    pub(crate) fn agree(&mut self) {
        self.direction = match self.remote_direction.as_str() {
            "sendonly" => "recvonly",
            "recvonly" => "sendonly",
            "inactive" => "inactive",
            _ => "sendrecv",
        };
        self.version += 1;
    }

    /// The status codes of the responses to the first INVITE, in order, retransmissions once.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let mut statuses = Vec::new();
        for message in &self.heard {
            if let Message::Response(response) = message
                && response
                    .cseq()
                    .is_ok_and(|cseq| cseq.method == Method::Invite)
                && !statuses.contains(&response.status)
            {
                statuses.push(response.status);
            }
        }
        statuses
    }

    /// How often a request of this method came.
    pub(crate) fn count(&self, method: Method) -> usize {
        let requests = self.heard.iter();
        requests
            .filter(
                |message| matches!(message, Message::Request(request) if request.method == method),
            )
            .count()
    }

    /// The first request of this method.
    pub(crate) fn request(&self, method: Method) -> &Request {
        let mut requests = self.heard.iter().filter_map(|message| match message {
            Message::Request(request) if request.method == method => Some(request),
            Message::Request(_) | Message::Response(_) => None,
        });
        requests.next().expect("no such request came")
    }

    /// The value of a header field in the first response with this status.
    pub(crate) fn response_header(&self, status: u16, name: HeaderName) -> Option<String> {
        let mut responses = self.heard.iter().filter_map(|message| match message {
            Message::Response(response) if response.status == status => Some(response),
            Message::Request(_) | Message::Response(_) => None,
        });
        responses.next()?.header(name).map(str::to_owned)
    }

    /// The value of a header field in the last response.
    pub(crate) fn last_response_header(&self, name: HeaderName) -> Option<String> {
        let mut heard = self.heard.iter().rev();
        let last = heard.find(|message| matches!(message, Message::Response(_)))?;
        last.fields().header(name).map(str::to_owned)
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.outcome.as_ref().map(|(status, _)| *status)
    }
}
