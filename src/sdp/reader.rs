//! A description, read line by line.

use nom::Offset;

use super::crypto::CryptoLines;
use super::fields::{self, Connection, MediaField};
use super::format::{formats, name_formats};
use super::session::{MEDIA_MAX, Media, SDP_LINES_MAX, Span};
use super::stream::{Stream, Transport};
use super::{Direction, SdpError};

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

/// The same of fax (ITU-T T.38, annex D); their case is not always kept to.
const FAX_ATTRIBUTES: [&[u8]; 13] = [
    b"T38FaxVersion",
    b"T38MaxBitRate",
    b"T38FaxFillBitRemoval",
    b"T38FaxTranscodingMMR",
    b"T38FaxTranscodingJBIG",
    b"T38FaxRateManagement",
    b"T38FaxMaxBuffer",
    b"T38FaxMaxDatagram",
    b"T38FaxMaxIFP",
    b"T38FaxUdpEC",
    b"T38FaxUdpECDepth",
    b"T38FaxUdpFECMaxSpan",
    b"T38VendorInfo",
];

/// What has been read.
pub(super) struct Reader<'a> {
    body: &'a [u8],
    section: Section,
    connection: Option<Connection>,
    direction: Option<Direction>,
    /// Session-level `b=` lines.
    pub(super) bandwidth: Vec<Span>,
    pub(super) media: Vec<Media>,
    pub(super) streams: Vec<Stream>,
}

/// What the lines are about.
#[derive(Clone, Copy)]
enum Section {
    Session,
    /// The last of the streams.
    Stream,
    OtherMedia,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            section: Section::Session,
            connection: None,
            direction: None,
            bandwidth: Vec::new(),
            media: Vec::new(),
            streams: Vec::new(),
        }
    }

    pub(super) fn read(&mut self) -> Result<(), SdpError> {
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
        self.finish();
        Ok(())
    }

    /// What counts for a stream unless it has its own; what its formats stand for.
    fn finish(&mut self) {
        for stream in &mut self.streams {
            stream.connection = stream.connection.or(self.connection);
            stream.direction = stream.direction.or(self.direction);
            let lines = stream.attributes.iter().cloned();
            let lines = lines.filter_map(|span| self.body.get(span));
            let rtpmaps = lines.filter_map(|line| line.strip_prefix(b"a=rtpmap:"));
            name_formats(&mut stream.formats, rtpmaps);
        }
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
        let transport = Transport::of(field.kind, field.protocol, field.formats);
        self.section = match transport.filter(|_| port != 0) {
            Some(transport) => {
                let stream = self.stream(line, transport, port, &field)?;
                self.streams.push(stream);
                Section::Stream
            }
            None => Section::OtherMedia,
        };
        self.media.push(media);
        Ok(())
    }

    fn stream(
        &self,
        line: u32,
        transport: Transport,
        port: u16,
        field: &MediaField<'_>,
    ) -> Result<Stream, SdpError> {
        let formats = match transport {
            Transport::Rtp { .. } => {
                formats(field.formats).ok_or(SdpError::PayloadType { line })?
            }
            Transport::Udptl => Vec::new(),
        };
        Ok(Stream {
            index: self.media.len(),
            port,
            transport,
            formats,
            connection: None,
            rtcp: None,
            rtcp_mux: false,
            direction: None,
            bandwidth: Vec::new(),
            attributes: Vec::new(),
            crypto: CryptoLines::default(),
        })
    }

    fn connection_line(&mut self, line: u32, value: &[u8]) -> Result<(), SdpError> {
        let connection = fields::connection(value).ok_or(SdpError::Connection { line })?;
        match (self.section, self.streams.last_mut()) {
            (Section::Session, _) => self.connection = Some(connection),
            (Section::Stream, Some(stream)) => stream.connection = Some(connection),
            (Section::Stream, None) | (Section::OtherMedia, _) => {}
        }
        Ok(())
    }

    fn bandwidth_line(&mut self, text: &[u8]) {
        let span = self.span(text);
        match (self.section, self.streams.last_mut()) {
            (Section::Session, _) => self.bandwidth.push(span),
            (Section::Stream, Some(stream)) => stream.bandwidth.push(span),
            (Section::Stream, None) | (Section::OtherMedia, _) => {}
        }
    }

    fn attribute_line(&mut self, line: u32, text: &[u8], value: &[u8]) -> Result<(), SdpError> {
        let span = self.span(text);
        let (name, value) = fields::attribute(value);
        let direction = Direction::from_attribute(name);
        match (self.section, self.streams.last_mut()) {
            (Section::Session, _) => self.direction = direction.or(self.direction),
            (Section::Stream, Some(stream)) => {
                stream.direction = direction.or(stream.direction);
                match stream.transport {
                    Transport::Rtp { .. } => rtp_attribute(stream, span, line, (name, value))?,
                    Transport::Udptl => fax_attribute(stream, span, name),
                }
            }
            (Section::Stream, None) | (Section::OtherMedia, _) => {}
        }
        Ok(())
    }

    fn span(&self, part: &[u8]) -> Span {
        let start = self.body.offset(part);
        start..start + part.len()
    }
}

fn rtp_attribute(
    stream: &mut Stream,
    span: Span,
    line: u32,
    (name, value): (&[u8], &[u8]),
) -> Result<(), SdpError> {
    match name {
        b"rtcp" => stream.rtcp = Some(fields::rtcp(value).ok_or(SdpError::Port { line })?),
        b"rtcp-mux" => stream.rtcp_mux = true,
        b"crypto" => stream.crypto.read(value),
        name if CODEC_ATTRIBUTES.contains(&name) => stream.attributes.push(span),
        _ => {}
    }
    Ok(())
}

fn fax_attribute(stream: &mut Stream, span: Span, name: &[u8]) {
    let mut known = FAX_ATTRIBUTES.iter();
    if known.any(|known| known.eq_ignore_ascii_case(name)) {
        stream.attributes.push(span);
    }
}
