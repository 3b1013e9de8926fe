//! What one leg of ours says of its media.

use std::fmt::{self, Display};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::codecs::{is_about, payload_type_of};
use super::crypto::CryptoLine;
use super::payload::{PayloadMap, payload_map};
use super::session::{Media, SessionDescription};
use super::stream::{Stream, Transport};
use super::{Codecs, Direction};

/// The session description of one leg over the time of its dialog: it keeps the session id, and counts
/// the version up when, and only when, the description is another one than the last (RFC 3264 §8).
pub struct LocalDescription {
    session_id: u64,
    version: u64,
    /// All after the version in the last description.
    sent: Zeroizing<Vec<u8>>,
    is_offer: bool,
    /// The same of the last one that was agreed on.
    agreed: Zeroizing<Vec<u8>>,
    is_agreed_offer: bool,
}

/// What a leg of ours puts into a description.
#[derive(Clone, Copy)]
pub struct Ours<'a> {
    /// The RTP (or UDPTL) address to advertise; RTCP is on the next port.
    pub address: SocketAddr,
    /// What of the other side's codecs goes on.
    pub codecs: &'a Codecs,
    /// The keys for what the leg sends.
    pub crypto: Crypto<'a>,
    /// Whether RTP and RTCP may share the port (RFC 5761): an offer says so, an answer does where the offer
    /// has said it.
    pub rtcp_mux: bool,
}

/// The keys in a description of ours. An answer has the first whose tag and suite are those of a line of the
/// offer's stream, and keeps the offer's profile.
#[derive(Clone, Copy, Debug)]
pub enum Crypto<'a> {
    /// RTP/AVP without keys.
    None,
    /// RTP/AVP with keys: best effort (RFC 8643).
    Optional(&'a [CryptoLine]),
    /// RTP/SAVP.
    Required(&'a [CryptoLine]),
}

impl<'a> Ours<'a> {
    /// Plain RTP, with RTCP on a port of its own.
    pub fn plain(address: SocketAddr, codecs: &'a Codecs) -> Self {
        Self {
            address,
            codecs,
            crypto: Crypto::None,
            rtcp_mux: false,
        }
    }

    fn rtcp_port(&self) -> u16 {
        self.address.port().saturating_add(1)
    }
}

impl<'a> Crypto<'a> {
    fn lines(self) -> &'a [CryptoLine] {
        match self {
            Crypto::None => &[],
            Crypto::Optional(lines) | Crypto::Required(lines) => lines,
        }
    }

    fn is_required(self) -> bool {
        match self {
            Crypto::None | Crypto::Optional(_) => false,
            Crypto::Required(_) => true,
        }
    }
}

impl LocalDescription {
    /// Nothing said yet. The id should differ from every other session's of this node; its top bit is
    /// not used (RFC 3264 §5: a signed 64-bit number).
    pub fn new(session_id: u64) -> Self {
        Self {
            session_id: session_id & (u64::MAX >> 1),
            version: 0,
            sent: Zeroizing::default(),
            is_offer: false,
            agreed: Zeroizing::default(),
            is_agreed_offer: false,
        }
    }

    /// The offer to this leg's peer that carries on the offer of the other leg's peer. Where nothing of
    /// that is left, all media are declined.
    pub fn offer(&mut self, from_peer: &SessionDescription, ours: &Ours<'_>) -> Bytes {
        let direction = from_peer.anchor().map(Stream::direction);
        let direction = direction.unwrap_or(Direction::SendRecv);
        self.offer_with(from_peer, ours, direction)
    }

    /// The same of what the other leg's peer said a while ago: media is to flow both ways, whatever held it up
    /// then.
    pub fn offer_both_ways(&mut self, from_peer: &SessionDescription, ours: &Ours<'_>) -> Bytes {
        self.offer_with(from_peer, ours, Direction::SendRecv)
    }

    fn offer_with(
        &mut self,
        from_peer: &SessionDescription,
        ours: &Ours<'_>,
        direction: Direction,
    ) -> Bytes {
        let mut description = Description::new(ours.address, from_peer);
        for (index, media) in from_peer.media().iter().enumerate() {
            let anchor = from_peer.anchor().filter(|anchor| anchor.index == index);
            let line =
                anchor.and_then(|offer| offer_line((from_peer, media, offer), ours, direction));
            description.line_or_declined(line, from_peer, media);
        }
        self.is_offer = true;
        self.say(description.text)
    }

    /// The answer to this leg's peer, who sent `offered`, that carries on the answer of the other leg's
    /// peer. It has the media lines of the offer with their profiles, whatever the other side made of them;
    /// all but the stream that both use are declined (RFC 3264 §6), and that too where it is to be SRTP and
    /// `ours` has no key with tag and suite of one in the offer. Encodings have the offer's numbers ([`payload_map`]).
    pub fn answer(
        &mut self,
        offered: &SessionDescription,
        from_peer: &SessionDescription,
        ours: &Ours<'_>,
    ) -> Bytes {
        let mut description = Description::new(ours.address, from_peer);
        for (index, media) in offered.media().iter().enumerate() {
            let anchor = offered.anchor().filter(|anchor| anchor.index == index);
            let line =
                anchor.and_then(|offer| answer_line((offered, media, offer), from_peer, ours));
            description.line_or_declined(line, offered, media);
        }
        self.is_offer = false;
        self.say(description.text)
    }

    fn say(&mut self, description: Vec<u8>) -> Bytes {
        let description = Zeroizing::new(description);
        if self.sent != description {
            self.version += 1;
            self.sent = description;
        }
        self.text()
    }

    /// The last description is what both ends agreed on.
    pub fn agree(&mut self) {
        self.agreed.clone_from(&self.sent);
        self.is_agreed_offer = self.is_offer;
    }

    /// What was agreed on, to be said again: after an offer that was rejected that is another description than
    /// the last. `None` where nothing was agreed on.
    pub fn agreed_again(&mut self) -> Option<Bytes> {
        self.is_offer = self.is_agreed_offer;
        let agreed = self.agreed.to_vec();
        (!agreed.is_empty()).then(|| self.say(agreed))
    }

    /// The same as an answer: `None` also where it was an offer, which may say more than an answer can.
    pub fn agreed_answer_again(&mut self) -> Option<Bytes> {
        match self.is_agreed_offer {
            true => None,
            false => self.agreed_again(),
        }
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

/// Without what was said: keys are in it.
impl fmt::Debug for LocalDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalDescription")
            .field("session_id", &self.session_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The line of the anchored stream in an offer; `None` where it should be SRTP and there is no key.
fn offer_line<'a>(
    (from_peer, media, stream): (&'a SessionDescription, &'a Media, &'a Stream),
    ours: &Ours<'a>,
    direction: Direction,
) -> Option<Line<'a>> {
    let secure = ours.crypto.is_required();
    let crypto = ours.crypto.lines();
    let protocol = match stream.transport {
        Transport::Rtp { .. } if secure && crypto.is_empty() => return None,
        Transport::Rtp { feedback, .. } => Transport::Rtp { secure, feedback }.as_str().as_bytes(),
        Transport::Udptl => from_peer.text(&media.protocol),
    };
    let is_rtp = stream.transport.is_rtp();
    let kept = (!ours.codecs.is_all()).then(|| ours.codecs.offered(stream));
    Some(Line {
        from_peer,
        stream,
        kind: from_peer.text(&media.kind),
        port: ours.address.port(),
        protocol,
        formats: Formats::of(from_peer.text(&media.formats), is_rtp, kept),
        map: PayloadMap::default(),
        direction,
        rtcp_port: ours.rtcp_port(),
        rtcp_mux: ours.rtcp_mux,
        crypto,
    })
}

/// The line of the anchored stream in an answer; `None` where the answers do not meet.
fn answer_line<'a>(
    (offered, media, offer): (&'a SessionDescription, &'a Media, &'a Stream),
    from_peer: &'a SessionDescription,
    ours: &Ours<'a>,
) -> Option<Line<'a>> {
    let stream = from_peer.anchor()?;
    let is_rtp = offer.transport.is_rtp();
    if stream.transport.is_rtp() != is_rtp {
        return None;
    }
    let is_offered = |line: &&CryptoLine| {
        let mut offered = offer.crypto.usable.iter();
        offered.any(|offered| (offered.tag, offered.key.suite()) == (line.tag, line.key.suite()))
    };
    let crypto = ours.crypto.lines();
    let taken = crypto.iter().find(is_offered);
    if offer.transport.is_secure() && taken.is_none() {
        return None;
    }
    let map = payload_map(offered, from_peer);
    let kept = !ours.codecs.is_all() || !map.is_empty();
    let kept = kept.then(|| ours.codecs.kept(stream));
    let formats = match is_rtp {
        true => from_peer.text(&from_peer.media().get(stream.index)?.formats),
        false => offered.text(&media.formats),
    };
    let rtcp_mux = ours.rtcp_mux && offer.rtcp_mux;
    Some(Line {
        from_peer,
        stream,
        kind: offered.text(&media.kind),
        port: ours.address.port(),
        protocol: offered.text(&media.protocol),
        formats: Formats::of(formats, is_rtp, kept),
        map,
        direction: stream.direction().in_answer_to(offer.direction()),
        rtcp_port: match rtcp_mux {
            true => ours.address.port(),
            false => ours.rtcp_port(),
        },
        rtcp_mux,
        crypto: taken.map(std::slice::from_ref).unwrap_or_default(),
    })
}

/// The anchored stream in a description of ours.
struct Line<'a> {
    from_peer: &'a SessionDescription,
    /// What `from_peer` says of it.
    stream: &'a Stream,
    kind: &'a [u8],
    port: u16,
    protocol: &'a [u8],
    formats: Formats<'a>,
    map: PayloadMap,
    direction: Direction,
    rtcp_port: u16,
    rtcp_mux: bool,
    crypto: &'a [CryptoLine],
}

/// The formats of an `m=` line.
enum Formats<'a> {
    /// As the peer wrote them.
    All(&'a [u8]),
    /// These of its payload types.
    Kept(Vec<u8>),
}

impl<'a> Formats<'a> {
    fn of(text: &'a [u8], is_rtp: bool, kept: Option<Vec<u8>>) -> Self {
        match kept.filter(|_| is_rtp) {
            Some(kept) => Self::Kept(kept),
            None => Self::All(text),
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
            text: Vec::with_capacity(1_024),
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

    /// The medium as it is anchored, or declined where it is not, or nothing of its formats is left.
    fn line_or_declined(
        &mut self,
        line: Option<Line<'_>>,
        described: &SessionDescription,
        media: &Media,
    ) {
        match line.filter(|line| !line.formats.is_empty()) {
            Some(line) => self.anchored(&line),
            None => {
                let formats = Formats::All(described.text(&media.formats));
                let kind = described.text(&media.kind);
                let protocol = described.text(&media.protocol);
                self.media((kind, 0, protocol), &formats, &PayloadMap::default());
            }
        }
    }

    fn anchored(&mut self, line: &Line<'_>) {
        let head = (line.kind, line.port, line.protocol);
        self.media(head, &line.formats, &line.map);
        for bandwidth in &line.stream.bandwidth {
            self.line(line.from_peer.text(bandwidth));
        }
        for span in &line.stream.attributes {
            let attribute = line.from_peer.text(span);
            if line.formats.have(attribute) {
                self.attribute(attribute, &line.map);
            }
        }
        let is_rtp = line.stream.transport.is_rtp();
        if is_rtp || line.direction != Direction::SendRecv {
            self.line_of(format_args!("a={}", line.direction.as_str()));
        }
        if !is_rtp {
            return;
        }
        self.line_of(format_args!("a=rtcp:{}", line.rtcp_port));
        if line.rtcp_mux {
            self.line(b"a=rtcp-mux");
        }
        for crypto in line.crypto {
            self.line_of(crypto);
        }
    }

    /// An attribute with the number that this leg has for the format it is about.
    fn attribute(&mut self, line: &[u8], map: &PayloadMap) {
        match payload_type_of(line).filter(|_| !map.is_empty()) {
            Some((start, payload_type, rest)) => {
                self.text.extend_from_slice(start);
                put(&mut self.text, map.offered(payload_type));
                self.line(rest);
            }
            None => self.line(line),
        }
    }

    fn media(
        &mut self,
        (kind, port, protocol): (&[u8], u16, &[u8]),
        formats: &Formats<'_>,
        map: &PayloadMap,
    ) {
        self.text.extend_from_slice(b"m=");
        self.text.extend_from_slice(kind);
        put(&mut self.text, format_args!(" {port} "));
        self.text.extend_from_slice(protocol);
        match formats {
            // A declined medium may come without formats, but must not leave so (RFC 8866 §9: 1*fmt).
            Formats::All(b"") => put(&mut self.text, " 0"),
            Formats::All(formats) => {
                self.text.push(b' ');
                self.text.extend_from_slice(formats);
            }
            Formats::Kept(kept) => {
                for payload_type in kept {
                    put(
                        &mut self.text,
                        format_args!(" {}", map.offered(*payload_type)),
                    );
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
