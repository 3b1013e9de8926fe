//! Dialogs (RFC 3261 §12): what both ends of one leg agreed on, and requests within it.

use super::header::NameAddr;
use super::message::{Fields, HeaderName, Request, Response};
use super::uri::Uri;
use super::writer::Writer;

/// One dialog, seen from our end.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Box<str>,
    /// Our From (or To) value, with our tag.
    pub local: Box<str>,
    /// The peer's To (or From) value, with its tag once that is known.
    pub remote: Box<str>,
    /// The peer's tag; `None` before a response with a tag came.
    pub remote_tag: Option<Box<str>>,
    /// CSeq number of our last request.
    pub local_cseq: u32,
    /// CSeq number of the peer's last request.
    pub remote_cseq: Option<u32>,
    /// The peer's Contact URI, or where the first request went.
    pub remote_target: Box<str>,
    /// Route values, in the order in which a request of ours carries them.
    pub route_set: Vec<Box<str>>,
}

/// A request or response lacks what a dialog needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoContact;

impl Dialog {
    /// The dialog that a request from a peer begins (§12.1.1); `local_tag` is ours.
    pub fn from_request(request: &Request, local_tag: &str) -> Result<Self, NoContact> {
        let contact = request.contact().ok().flatten().ok_or(NoContact)?;
        let to = request.header(HeaderName::To).unwrap_or_default();
        Ok(Self {
            call_id: request.call_id().into(),
            local: format!("{to};tag={local_tag}").into(),
            remote: request.header(HeaderName::From).unwrap_or_default().into(),
            remote_tag: tag_of(request.from().ok()),
            local_cseq: 0,
            remote_cseq: request.cseq().ok().map(|cseq| cseq.number),
            remote_target: contact.uri.into(),
            route_set: request
                .values(HeaderName::RecordRoute)
                .map(Into::into)
                .collect(),
        })
    }

    /// Another tag of ours for the dialog that answers this request: of another fork. The peer counts its
    /// requests there from this one on (§12.1.1).
    pub fn set_local_tag(&mut self, request: &Fields, tag: &str) {
        let to = request.header(HeaderName::To).unwrap_or_default();
        self.local = format!("{to};tag={tag}").into();
        self.remote_cseq = request.cseq().ok().map(|cseq| cseq.number);
    }

    /// The dialog that a request of ours will begin: `local` with our tag, `remote` without one.
    pub fn to_begin(call_id: String, local: String, remote: String, remote_target: String) -> Self {
        Self {
            call_id: call_id.into(),
            local: local.into(),
            remote: remote.into(),
            remote_tag: None,
            local_cseq: 1,
            remote_cseq: None,
            remote_target: remote_target.into(),
            route_set: Vec::new(),
        }
    }

    /// Takes tag, target and route set from a response that makes or confirms the dialog (§12.1.2; a
    /// 2xx replaces what an early dialog learnt, §13.2.2.4).
    pub fn confirm(&mut self, response: &Response) {
        let tag = tag_of(response.to().ok());
        if tag != self.remote_tag {
            // Another fork counts its requests by itself.
            self.remote_cseq = None;
        }
        self.remote_tag = tag;
        self.remote = response.header(HeaderName::To).unwrap_or_default().into();
        self.refresh_target(response);
        self.route_set = response
            .values(HeaderName::RecordRoute)
            .map(Into::into)
            .collect();
        self.route_set.reverse();
    }

    /// Takes the peer's new Contact from a target refresh (§12.2.1.2, §12.2.2).
    pub fn refresh_target(&mut self, message: &Fields) {
        if let Ok(Some(contact)) = message.contact() {
            self.remote_target = contact.uri.into();
        }
    }

    /// Whether the peer's request is in order (§12.2.2), and if so remembers its number.
    pub fn accept_cseq(&mut self, number: u32) -> bool {
        let in_order = self.remote_cseq.is_none_or(|last| number > last);
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// Begins a request within the dialog (§12.2.1.1): request line, Via, Max-Forwards, Route, From, To,
    /// Call-ID, CSeq. The caller counts `local_cseq` up for a new request and adds the rest.
    pub fn write_request<'a>(
        &self,
        out: &'a mut Vec<u8>,
        method: &str,
        cseq: u32,
        via: &[&str],
    ) -> Writer<'a> {
        let strict = self
            .first_route()
            .is_some_and(|route| route.params.get("lr").is_none());
        let first = self
            .route_set
            .first()
            .and_then(|route| NameAddr::parse(route).ok());
        let request_uri = match &first {
            Some(route) if strict => route.uri,
            Some(_) | None => &self.remote_target,
        };
        let mut writer = Writer::request(out, method, request_uri);
        writer
            .field(HeaderName::Via, via)
            .number(HeaderName::MaxForwards, 70);
        for route in self.route_set.iter().skip(usize::from(strict)) {
            writer.field(HeaderName::Route, &[route]);
        }
        if strict {
            writer.field(HeaderName::Route, &["<", &self.remote_target, ">"]);
        }
        writer
            .field(HeaderName::From, &[&self.local])
            .field(HeaderName::To, &[&self.remote]);
        writer.field(HeaderName::CallId, &[&self.call_id]);
        writer.field(HeaderName::CSeq, &[&cseq.to_string(), " ", method]);
        writer
    }

    /// The URI whose host a request within the dialog is sent to: the first route, else the target.
    pub fn next_hop(&self) -> Option<Uri<'_>> {
        self.first_route()
            .or_else(|| Uri::parse(&self.remote_target).ok())
    }

    fn first_route(&self) -> Option<Uri<'_>> {
        let route = NameAddr::parse(self.route_set.first()?).ok()?;
        Uri::parse(route.uri).ok()
    }
}

fn tag_of(name_addr: Option<NameAddr<'_>>) -> Option<Box<str>> {
    name_addr.and_then(|name_addr| name_addr.tag().map(Into::into))
}
