//! A peer's session description, as far as a gateway needs it.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::SdpError;
use super::choice::{self, NoStream, Security};
use super::crypto::CryptoLine;
use super::reader::Reader;
use super::stream::{RemoteStream, Stream};

/// The longest description that is read, in bytes.
pub const SDP_BYTES_MAX: usize = 64 * 1024;
/// The most lines that are read.
pub const SDP_LINES_MAX: u32 = 2_000;
/// The most media (`m=` lines) that are read.
pub const MEDIA_MAX: usize = 64;

/// A session description that a peer sent.
#[derive(Clone)]
pub struct SessionDescription {
    text: Bytes,
    /// Session-level `b=` lines.
    bandwidth: Vec<Span>,
    media: Vec<Media>,
    /// The media that could be relayed.
    streams: Vec<Stream>,
    /// The place of the anchored one among them.
    chosen: Option<usize>,
    /// What it was chosen by.
    security: Security,
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

impl SessionDescription {
    /// Reads a description. What a gateway does not use (origin, times, names, the attributes of other
    /// media) is not judged, and may be missing. Until somebody chooses ([`Self::choose`]), the first
    /// audio that can be used is the stream, else the first fax.
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
            streams,
            ..
        } = reader;
        Ok(Self {
            bandwidth,
            media,
            chosen: choice::first(&streams),
            streams,
            security: Security::Any,
            text,
        })
    }

    /// Chooses the stream that is anchored, audio before fax. `takes` tells which keys will do.
    ///
    /// # Errors
    /// Why there is none, and then there is no [`Self::stream`]: such an offer is answered 488.
    pub fn choose(
        &mut self,
        security: Security,
        takes: impl Fn(&CryptoLine) -> bool,
    ) -> Result<(), NoStream> {
        let chosen = choice::choose(&self.streams, security, takes);
        self.chosen = chosen.ok();
        self.security = security;
        chosen.map(|_| ())
    }

    /// The stream that is anchored.
    pub fn stream(&self) -> Option<RemoteStream> {
        let with_keys = self.security != Security::Plain;
        self.anchor().map(|stream| stream.remote(with_keys))
    }

    /// The description as the peer wrote it. Keys of SRTP may be in it.
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

    pub(super) fn anchor(&self) -> Option<&Stream> {
        self.streams.get(self.chosen?)
    }

    pub(super) fn bandwidth(&self) -> &[Span] {
        &self.bandwidth
    }

    pub(super) fn text(&self, span: &Span) -> &[u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

/// Without the text: it may hold SRTP keys (`a=crypto`).
impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("bytes", &self.text.len())
            .field("media", &self.media.len())
            .field("stream", &self.stream())
            .finish()
    }
}
