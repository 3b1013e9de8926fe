//! A peer's session description, as far as a gateway needs it.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use bytes::Bytes;
use nom::Offset;

use super::fields::{self, Connection, RtcpField};
use super::{Direction, SdpError};

/// The longest description that is read, in bytes.
pub const SDP_BYTES_MAX: usize = 64 * 1024;
/// The most lines that are read.
pub const SDP_LINES_MAX: u32 = 2_000;
/// The most media (`m=` lines) that are read.
pub const MEDIA_MAX: usize = 64;

/// Attributes that describe codecs and their use, nothing else: they are taken over to the other leg.
const CODEC_ATTRIBUTES: [&[u8]; 11] = [
    b"rtpmap",
    b"fmtp",
    b"ptime",
    b"maxptime",
    b"minptime",
    b"maxprate",
    b"silenceSupp",
    b"ecan",
    b"gpmd",
    b"rtcp-fb",
    b"rtcp-rsize",
];

/// A session description that a peer sent.
#[derive(Clone)]
pub struct SessionDescription {
    text: Bytes,
    /// Session-level `b=` lines.
    bandwidth: Vec<Span>,
    media: Vec<Media>,
    audio: Option<Anchor>,
}

/// The audio that is anchored, as the peer describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audio {
    /// Where it wants RTP; `None` where it does not say so in a way we can use: `c=` is a host name,
    /// multicast, missing, or 0.0.0.0 (the hold of RFC 2543).
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP: `a=rtcp` (RFC 3605), else the port after RTP's.
    pub rtcp: Option<SocketAddr>,
    /// The stream's own direction, else the session's; 0.0.0.0 counts as not receiving.
    pub direction: Direction,
    /// RTP payload types in order of preference.
    pub payload_types: Vec<u8>,
}

/// A part of the text.
pub(super) type Span = Range<usize>;

/// An `m=` line.
#[derive(Clone)]
pub(super) struct Media {
    pub(super) kind: Span,
    pub(super) protocol: Span,
    pub(super) formats: Span,
}

/// The anchored audio.
#[derive(Clone)]
pub(super) struct Anchor {
    /// Its place among the media.
    pub(super) index: usize,
    port: u16,
    pub(super) payload_types: Vec<u8>,
    connection: Option<Connection>,
    rtcp: Option<RtcpField>,
    direction: Option<Direction>,
    /// `b=` lines.
    pub(super) bandwidth: Vec<Span>,
    /// `a=` lines that are taken over.
    pub(super) attributes: Vec<Span>,
}

impl SessionDescription {
    /// Reads a description. What a gateway does not use (origin, times, names, the attributes of other
    /// media) is not judged, and may be missing.
    ///
    /// # Errors
    /// The first fault, with its line.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > SDP_BYTES_MAX {
            return Err(SdpError::TooLong { bytes: body.len() });
        }
        let text = Bytes::copy_from_slice(body);
        let mut reader = Reader::new(&text);
        reader.read()?;
        let Reader {
            bandwidth,
            media,
            audio,
            ..
        } = reader;
        Ok(Self {
            bandwidth,
            media,
            audio,
            text,
        })
    }

    /// The first `m=audio` in use (port not 0) over RTP/AVP or RTP/AVPF; `None` if there is none: such an
    /// offer is answered 488.
    pub fn audio(&self) -> Option<Audio> {
        let anchor = self.audio.as_ref()?;
        let usable = |connection: Option<Connection>, port: Option<u16>| match connection {
            Some(Connection::Unicast(ip)) => Some(SocketAddr::new(ip, port.filter(|&p| p != 0)?)),
            Some(Connection::Nowhere | Connection::Unusable) | None => None,
        };
        let rtcp = match anchor.rtcp {
            Some(rtcp) => usable(rtcp.connection.or(anchor.connection), Some(rtcp.port)),
            None => usable(anchor.connection, anchor.port.checked_add(1)),
        };
        Some(Audio {
            rtp: usable(anchor.connection, Some(anchor.port)),
            rtcp,
            direction: anchor.direction(),
            payload_types: anchor.payload_types.clone(),
        })
    }

    /// The description as the peer wrote it.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }

    /// How many `m=` lines it has, declined ones included.
    pub fn media_count(&self) -> usize {
        self.media.len()
    }

    pub(super) fn media(&self) -> &[Media] {
        &self.media
    }

    pub(super) fn anchor(&self) -> Option<&Anchor> {
        self.audio.as_ref()
    }

    pub(super) fn bandwidth(&self) -> &[Span] {
        &self.bandwidth
    }

    pub(super) fn text(&self, span: &Span) -> &[u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

impl Anchor {
    pub(super) fn direction(&self) -> Direction {
        let direction = self.direction.unwrap_or(Direction::SendRecv);
        if self.connection == Some(Connection::Nowhere) {
            direction.not_receiving()
        } else {
            direction
        }
    }
}

/// Without the text: it may hold SRTP keys (`a=crypto`).
impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("bytes", &self.text.len())
            .field("media", &self.media.len())
            .field("audio", &self.audio())
            .finish()
    }
}

/// Reads line by line.
struct Reader<'a> {
    body: &'a [u8],
    section: Section,
    connection: Option<Connection>,
    direction: Option<Direction>,
    bandwidth: Vec<Span>,
    media: Vec<Media>,
    audio: Option<Anchor>,
}

/// What the lines are about.
#[derive(Clone, Copy)]
enum Section {
    Session,
    Audio,
    OtherMedia,
}

impl<'a> Reader<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            section: Section::Session,
            connection: None,
            direction: None,
            bandwidth: Vec::new(),
            media: Vec::new(),
            audio: None,
        }
    }

    fn read(&mut self) -> Result<(), SdpError> {
        // Many peers end their SDP with a line too many: blank lines are a fault only between others.
        let body = self.body.trim_ascii_end();
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
        for (line, end) in (1..).zip(ends) {
            if line > SDP_LINES_MAX {
                return Err(SdpError::TooManyLines);
            }
            let text = body.get(start..end).unwrap_or_default();
            self.line(line, text.strip_suffix(b"\r").unwrap_or(text))?;
            start = end + 1;
        }
        if let Some(audio) = &mut self.audio {
            audio.connection = audio.connection.or(self.connection);
            audio.direction = audio.direction.or(self.direction);
        }
        Ok(())
    }

    fn line(&mut self, line: u32, text: &'a [u8]) -> Result<(), SdpError> {
        if (line == 1) != text.starts_with(b"v=") || (line == 1 && !fields::is_version(text)) {
            return Err(SdpError::Version { line });
        }
        let [letter, b'=', value @ ..] = text else {
            return Err(SdpError::NotAField { line });
        };
        if memchr::memchr2(0, b'\r', value).is_some() {
            return Err(SdpError::ForbiddenByte { line });
        }
        match letter {
            b'm' => self.media_line(line, value),
            b'c' => self.connection_line(line, value),
            b'b' => {
                if fields::is_bandwidth(value) {
                    self.bandwidth_line(text);
                }
                Ok(())
            }
            b'a' => self.attribute_line(line, text, value),
            b'v' | b'o' | b's' | b'i' | b'u' | b'e' | b'p' | b't' | b'r' | b'z' | b'k' => Ok(()),
            _ => Err(SdpError::UnknownType { line }),
        }
    }

    fn media_line(&mut self, line: u32, value: &'a [u8]) -> Result<(), SdpError> {
        if self.media.len() == MEDIA_MAX {
            return Err(SdpError::TooManyMedia { line });
        }
        let field = fields::media(value).ok_or(SdpError::Media { line })?;
        let port = fields::port(field.port).ok_or(SdpError::Port { line })?;
        let media = Media {
            kind: self.span(field.kind),
            protocol: self.span(field.protocol),
            formats: self.span(field.formats),
        };
        let plain_rtp = [&b"RTP/AVP"[..], b"RTP/AVPF"].contains(&field.protocol);
        self.section = Section::OtherMedia;
        if self.audio.is_none() && field.kind == b"audio" && plain_rtp && port != 0 {
            self.section = Section::Audio;
            self.audio = Some(Anchor {
                index: self.media.len(),
                port,
                payload_types: payload_types(field.formats)
                    .ok_or(SdpError::PayloadType { line })?,
                connection: None,
                rtcp: None,
                direction: None,
                bandwidth: Vec::new(),
                attributes: Vec::new(),
            });
        }
        self.media.push(media);
        Ok(())
    }

    fn connection_line(&mut self, line: u32, value: &[u8]) -> Result<(), SdpError> {
        let connection = fields::connection(value).ok_or(SdpError::Connection { line })?;
        match (self.section, &mut self.audio) {
            (Section::Session, _) => self.connection = Some(connection),
            (Section::Audio, Some(audio)) => audio.connection = Some(connection),
            (Section::Audio, None) | (Section::OtherMedia, _) => {}
        }
        Ok(())
    }

    fn bandwidth_line(&mut self, text: &[u8]) {
        let span = self.span(text);
        match (self.section, &mut self.audio) {
            (Section::Session, _) => self.bandwidth.push(span),
            (Section::Audio, Some(audio)) => audio.bandwidth.push(span),
            (Section::Audio, None) | (Section::OtherMedia, _) => {}
        }
    }

    fn attribute_line(&mut self, line: u32, text: &[u8], value: &[u8]) -> Result<(), SdpError> {
        let span = self.span(text);
        let (name, value) = fields::attribute(value);
        let direction = Direction::from_attribute(name);
        match (self.section, &mut self.audio) {
            (Section::Session, _) => self.direction = direction.or(self.direction),
            (Section::Audio, Some(audio)) => {
                audio.direction = direction.or(audio.direction);
                if name == b"rtcp" {
                    let rtcp = fields::rtcp(value).ok_or(SdpError::Port { line })?;
                    audio.rtcp = Some(rtcp);
                } else if CODEC_ATTRIBUTES.contains(&name) {
                    audio.attributes.push(span);
                }
            }
            (Section::Audio, None) | (Section::OtherMedia, _) => {}
        }
        Ok(())
    }

    fn span(&self, part: &[u8]) -> Span {
        let start = self.body.offset(part);
        start..start + part.len()
    }
}

/// At least one, each an RTP payload type.
fn payload_types(formats: &[u8]) -> Option<Vec<u8>> {
    let types = formats
        .split(|&byte| byte == b' ')
        .filter(|format| !format.is_empty())
        .map(|format| {
            let number = std::str::from_utf8(format).ok()?.parse().ok()?;
            (number <= 127u8).then_some(number)
        })
        .collect::<Option<Vec<u8>>>()?;
    (!types.is_empty()).then_some(types)
}
