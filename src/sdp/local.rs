//! What one leg of ours says of its media.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::codecs::is_about;
use super::session::{Anchor, Media, SessionDescription};
use super::{Codecs, Direction};

/// The session description of one leg over the time of its dialog: it keeps the session id, and counts
/// the version up when, and only when, the description is another one than the last (RFC 3264 §8).
#[derive(Debug)]
pub struct LocalDescription {
    session_id: u64,
    version: u64,
    /// All after the version in the last description.
    sent: Vec<u8>,
    /// The same of the last one that was agreed on.
    agreed: Vec<u8>,
}

impl LocalDescription {
    /// Nothing said yet. The id should differ from every other session's of this node; its top bit is
    /// not used (RFC 3264 §5: a signed 64-bit number).
    pub fn new(session_id: u64) -> Self {
        Self {
            session_id: session_id & (u64::MAX >> 1),
            version: 0,
            sent: Vec::new(),
            agreed: Vec::new(),
        }
    }

    /// The offer to this leg's peer that carries on the offer of the other leg's peer. `ours` is the RTP
    /// address to advertise; RTCP is on the next port.
    pub fn offer(
        &mut self,
        from_peer: &SessionDescription,
        ours: SocketAddr,
        codecs: &Codecs,
    ) -> Bytes {
        let direction = from_peer.anchor().map(Anchor::direction);
        let direction = direction.unwrap_or(Direction::SendRecv);
        self.offer_with(from_peer, ours, direction, codecs)
    }

    /// The same of what the other leg's peer said a while ago: media is to flow both ways, whatever held it up
    /// then.
    pub fn offer_both_ways(
        &mut self,
        from_peer: &SessionDescription,
        ours: SocketAddr,
        codecs: &Codecs,
    ) -> Bytes {
        self.offer_with(from_peer, ours, Direction::SendRecv, codecs)
    }

    fn offer_with(
        &mut self,
        from_peer: &SessionDescription,
        ours: SocketAddr,
        direction: Direction,
        codecs: &Codecs,
    ) -> Bytes {
        let mut description = Description::new(ours, from_peer);
        let anchor = from_peer.anchor();
        for (index, media) in from_peer.media().iter().enumerate() {
            match anchor.filter(|anchor| anchor.index == index) {
                Some(anchor) => {
                    let kept = (!codecs.is_all()).then(|| codecs.offered(from_peer, anchor));
                    let formats = Formats::of(from_peer, media, kept);
                    description.audio(from_peer, (media, anchor), &formats, direction, ours);
                }
                None => description.declined(from_peer, media),
            }
        }
        self.say(description.text)
    }

    /// The answer to this leg's peer, who sent `offered`, that carries on the answer of the other leg's
    /// peer. It has the media lines of the offer, whatever the other side made of them; all but the
    /// audio that both use are declined (RFC 3264 §6).
    pub fn answer(
        &mut self,
        offered: &SessionDescription,
        from_peer: &SessionDescription,
        ours: SocketAddr,
        codecs: &Codecs,
    ) -> Bytes {
        let mut description = Description::new(ours, from_peer);
        let answered = from_peer
            .anchor()
            .and_then(|anchor| Some((anchor, from_peer.media().get(anchor.index)?)));
        for (index, media) in offered.media().iter().enumerate() {
            let anchor = offered.anchor().filter(|anchor| anchor.index == index);
            match anchor.zip(answered) {
                Some((anchor, (answer, answer_media))) => {
                    let direction = answer.direction().in_answer_to(anchor.direction());
                    let kept = (!codecs.is_all()).then(|| codecs.kept(from_peer, answer));
                    let formats = Formats::of(from_peer, answer_media, kept);
                    let anchored = (answer_media, answer);
                    description.audio(from_peer, anchored, &formats, direction, ours);
                }
                None => description.declined(offered, media),
            }
        }
        self.say(description.text)
    }

    fn say(&mut self, description: Vec<u8>) -> Bytes {
        if self.sent != description {
            self.version += 1;
            self.sent = description;
        }
        self.text()
    }

    /// The last description is what both ends agreed on.
    pub fn agree(&mut self) {
        self.agreed.clone_from(&self.sent);
    }

    /// What was agreed on, to be said again: after an offer that was rejected that is another description than
    /// the last. `None` where nothing was agreed on.
    pub fn agreed_again(&mut self) -> Option<Bytes> {
        let agreed = self.agreed.clone();
        (!agreed.is_empty()).then(|| self.say(agreed))
    }

    fn text(&self) -> Bytes {
        let mut text = Vec::with_capacity(self.sent.len() + 64);
        put(
            &mut text,
            format_args!("v=0\r\no=trunkline {} {}", self.session_id, self.version),
        );
        text.extend_from_slice(&self.sent);
        Bytes::from(text)
    }
}

/// The formats of an `m=` line.
enum Formats<'a> {
    /// As the peer wrote them.
    All(&'a [u8]),
    /// These of its payload types.
    Kept(Vec<u8>),
}

impl<'a> Formats<'a> {
    fn of(from_peer: &'a SessionDescription, media: &Media, kept: Option<Vec<u8>>) -> Self {
        match kept {
            Some(kept) => Self::Kept(kept),
            None => Self::All(from_peer.text(&media.formats)),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::All(_) => false,
            Self::Kept(kept) => kept.is_empty(),
        }
    }

    /// Whether an attribute line is about one of them.
    fn have(&self, line: &[u8]) -> bool {
        match self {
            Self::All(_) => true,
            Self::Kept(kept) => is_about(line, kept),
        }
    }
}

/// All of a description from the network type of its `o=` line on.
struct Description {
    text: Vec<u8>,
}

impl Description {
    fn new(ours: SocketAddr, from_peer: &SessionDescription) -> Self {
        let family = match ours.ip() {
            IpAddr::V4(_) => "IP4",
            IpAddr::V6(_) => "IP6",
        };
        let address = format_args!("IN {family} {}", ours.ip()).to_string();
        let mut description = Self {
            text: Vec::with_capacity(512),
        };
        put(
            &mut description.text,
            format_args!(" {address}\r\ns=-\r\nc={address}\r\n"),
        );
        for line in from_peer.bandwidth() {
            description.line(from_peer.text(line));
        }
        description.line(b"t=0 0");
        description
    }

    fn audio(
        &mut self,
        from_peer: &SessionDescription,
        (media, anchor): (&Media, &Anchor),
        formats: &Formats<'_>,
        direction: Direction,
        ours: SocketAddr,
    ) {
        if formats.is_empty() {
            return self.declined(from_peer, media);
        }
        self.media(from_peer, media, formats, ours.port());
        for line in &anchor.bandwidth {
            self.line(from_peer.text(line));
        }
        let attributes = anchor.attributes.iter().map(|line| from_peer.text(line));
        for line in attributes.filter(|line| formats.have(line)) {
            self.line(line);
        }
        self.line_of(format_args!("a={}", direction.as_str()));
        self.line_of(format_args!("a=rtcp:{}", ours.port().saturating_add(1)));
    }

    fn declined(&mut self, from_peer: &SessionDescription, media: &Media) {
        let formats = Formats::All(from_peer.text(&media.formats));
        self.media(from_peer, media, &formats, 0);
    }

    fn media(
        &mut self,
        from_peer: &SessionDescription,
        media: &Media,
        formats: &Formats<'_>,
        port: u16,
    ) {
        self.text.extend_from_slice(b"m=");
        self.text.extend_from_slice(from_peer.text(&media.kind));
        put(&mut self.text, format_args!(" {port} "));
        self.text.extend_from_slice(from_peer.text(&media.protocol));
        match formats {
            // A declined medium may come without formats, but must not leave so (RFC 8866 §9: 1*fmt).
            Formats::All(b"") => put(&mut self.text, " 0"),
            Formats::All(formats) => {
                self.text.push(b' ');
                self.text.extend_from_slice(formats);
            }
            Formats::Kept(kept) => {
                for payload_type in kept {
                    put(&mut self.text, format_args!(" {payload_type}"));
                }
            }
        }
        self.line(b"");
    }

    fn line_of(&mut self, line: impl Display) {
        put(&mut self.text, line);
        self.line(b"");
    }

    fn line(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.extend_from_slice(b"\r\n");
    }
}

fn put(text: &mut Vec<u8>, what: impl Display) {
    // Writing to a Vec cannot fail.
    let _: std::io::Result<()> = write!(text, "{what}");
}
