//! What an agent does in a call, and when.

use std::time::Duration;

use trunkline::sip::digest::Algorithm;

/// When the time of a step begins to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// The INVITE was sent, or came.
    Invited,
    /// The 2xx came, or was sent.
    Answered,
}

/// What an agent can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Answers the first INVITE: 1xx without a body, 2xx with one, others without.
    Answer(u16),
    /// 183 with an answer.
    EarlyMedia,
    /// 200 without a body.
    BareOk,
    /// A second 200 of another fork: another tag.
    ForkedOk,
    /// 180 or 183 with an answer, made sure of (RFC 3262).
    Reliable(u16),
    /// 183 with an answer, of another fork.
    ForkedMedia,
    /// 180 without a body, of another fork.
    ForkedRinging,
    Cancel,
    Bye,
    /// Ends the call by one who has waited for the other side's end in vain.
    Leave,
    Reinvite(Session),
    /// UPDATE; without an offer where the session is [`Session::Late`].
    Update(Session),
    /// REFER to a number.
    Refer(&'static str),
}

/// What a re-INVITE says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Session {
    /// An offer with this direction.
    Direction(&'static str),
    /// An offer with another media port.
    Moved,
    /// No offer.
    Late,
    /// The last description to the letter.
    Same,
    /// An offer with other keys.
    Rekeyed,
    /// Fax by T.38 in the place of audio, and audio again.
    Fax,
    Audio,
}

/// What a re-INVITE is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ToReinvite {
    Accept,
    Refuse(u16),
    /// Rings until it is cancelled.
    Ring,
    /// Nothing at all.
    Ignore,
}

/// What acknowledges a 2xx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acks {
    All,
    None,
    /// Without the answer that is due in it.
    WithoutBody,
    /// With the INVITE's branch, as some do.
    SameBranch,
}

/// Makes another description of one.
pub(crate) type Rewrite = fn(String) -> String;

/// What an agent does in one call.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<(When, Duration, Act)>,
    /// As caller: the INVITE has no offer.
    pub(crate) late_offer: bool,
    pub(crate) acks: Acks,
    pub(crate) to_reinvite: ToReinvite,
    /// As caller: user name, password, algorithm (`MD5`, `SHA-256`).
    pub(crate) account: Option<(&'static str, &'static str, &'static str)>,
    /// With `account`, the URI that the credentials are made for, where it is not the Request-URI.
    pub(crate) digest_uri: Option<String>,
    /// As caller: header fields besides.
    pub(crate) extra: Vec<(&'static str, String)>,
    /// As caller: where it is, beside the offer.
    pub(crate) location: Option<&'static str>,
    /// The payload types of its audio, of those that [`wire`](super::wire) has names for.
    pub(crate) formats: &'static [u8],
    /// What becomes of each of its descriptions.
    pub(crate) rewrite: Option<Rewrite>,
    /// As caller: the number in From.
    pub(crate) from: &'static str,
    /// Adds Record-Route with itself.
    pub(crate) record_route: bool,
    /// With `record_route`, how many proxies of its own it names.
    pub(crate) proxies: usize,
    /// Branches without the magic cookie of RFC 3261.
    pub(crate) old_branch: bool,
    /// Asks who calls.
    pub(crate) demands: Option<Demand>,
    /// Header fields of its INVITE's 1xx and 2xx, and of its BYE, CANCEL and INFO.
    pub(crate) with_answers: Vec<(&'static str, String)>,
    pub(crate) with_requests: Vec<(&'static str, String)>,
    /// What it answers to INFO, where that is not 200; 0 is nothing.
    pub(crate) info: Option<u16>,
    /// What it answers to MESSAGE; nothing where there is none.
    pub(crate) message: Option<u16>,
    /// What its responses say behind the status, where that is not the usual phrase.
    pub(crate) phrase: Option<&'static str>,
    /// Header fields of its failure responses.
    pub(crate) with_failures: Vec<(&'static str, String)>,
    /// As caller: reliable responses are not acknowledged.
    pub(crate) no_prack: bool,
    /// What its 2xx says in Session-Expires, and what the INVITE must ask for before (422 otherwise).
    pub(crate) session: Option<(&'static str, u32)>,
    /// Says in Allow that it takes UPDATE.
    pub(crate) takes_update: bool,
    /// Sends nothing back, whatever comes.
    pub(crate) deaf: bool,
}

/// What an agent wants to know of a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Demand {
    /// 401 or 407.
    pub(crate) status: u16,
    pub(crate) algorithms: &'static [Algorithm],
    pub(crate) username: &'static str,
    pub(crate) password: &'static str,
    /// A nonce is good for so many requests; then it is stale.
    pub(crate) uses: u32,
    /// Asks for every request, not for INVITEs alone.
    pub(crate) always: bool,
}

impl Plan {
    /// Nothing but what has to be.
    pub(crate) fn idle() -> Self {
        Self {
            steps: Vec::new(),
            late_offer: false,
            acks: Acks::All,
            to_reinvite: ToReinvite::Accept,
            account: None,
            digest_uri: None,
            extra: Vec::new(),
            location: None,
            formats: &[0, 101],
            rewrite: None,
            from: "+12065550100",
            record_route: false,
            proxies: 1,
            old_branch: false,
            demands: None,
            with_answers: Vec::new(),
            with_requests: Vec::new(),
            info: None,
            message: Some(200),
            phrase: None,
            with_failures: Vec::new(),
            no_prack: false,
            session: None,
            takes_update: false,
            deaf: false,
        }
    }

    /// Rings, and answers after a second.
    pub(crate) fn answers() -> Self {
        Self::idle()
            .then(When::Invited, 100, Act::Answer(180))
            .then(When::Invited, 1_000, Act::Answer(200))
    }

    /// Answers so at once.
    pub(crate) fn says(status: u16) -> Self {
        Self::idle().then(When::Invited, 0, Act::Answer(status))
    }

    /// Answers so to MESSAGE.
    pub(crate) fn takes_messages(status: Option<u16>) -> Self {
        Self {
            message: status,
            ..Self::answers()
        }
    }

    pub(crate) fn deaf() -> Self {
        Self {
            deaf: true,
            ..Self::idle()
        }
    }

    /// What stands behind this status.
    pub(crate) fn phrase_of(&self, status: u16) -> &'static str {
        self.phrase
            .unwrap_or_else(|| trunkline::sip::reason_phrase(status))
    }

    /// One more step, after that many milliseconds.
    pub(crate) fn then(mut self, when: When, millis: u64, act: Act) -> Self {
        self.steps.push((when, Duration::from_millis(millis), act));
        self
    }
}
