//! Which stream of a description is anchored, by what a leg may and must encrypt.

use super::crypto::{CryptoFault, CryptoLine};
use super::stream::{Stream, Transport};

/// What a leg does of SRTP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Security {
    /// Nothing: keys beside plain RTP are not looked at.
    Plain,
    /// What the peer has: SRTP where a key can be used, be it best effort (RFC 8643), before plain RTP.
    Any,
    /// Nothing else: RTP/SAVP, or RTP/AVP with keys (RFC 8643). Fax in UDPTL is in the clear, and is not
    /// taken either.
    Required,
}

/// Why none of a description's streams is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoStream {
    /// There is nothing that could be relayed.
    NoAudio,
    /// SRTP is required here, or by the profile that is offered, and there are no keys.
    EncryptionWanted,
    /// Nothing but SRTP is offered, and there is none here.
    EncryptionNotTaken,
    /// Keys are offered, and none of them can be used: what is wrong with the first.
    Crypto(CryptoFault),
}

/// The place of the stream that is anchored: audio before fax. `takes` tells which keys will do.
pub(super) fn choose(
    streams: &[Stream],
    security: Security,
    takes: impl Fn(&CryptoLine) -> bool,
) -> Result<usize, NoStream> {
    let audio = |is_taken: &dyn Fn(&Stream) -> bool| {
        let mut streams = streams.iter();
        streams.position(|stream| stream.transport.is_rtp() && is_taken(stream))
    };
    let fax = || {
        let mut streams = streams.iter();
        streams.position(|stream| stream.transport == Transport::Udptl)
    };
    let has_key = |stream: &Stream| stream.crypto.usable.iter().any(&takes);
    let chosen = match security {
        Security::Plain => audio(&is_plain).or_else(fax),
        Security::Any => audio(&has_key).or_else(|| audio(&is_plain)).or_else(fax),
        Security::Required => audio(&has_key),
    };
    chosen.ok_or_else(|| reason(streams, security))
}

/// The place of the stream that is meant as long as nobody has chosen: the first audio, else the first fax.
pub(super) fn first(streams: &[Stream]) -> Option<usize> {
    let audio =
        |stream: &Stream| stream.transport.is_rtp() && (is_plain(stream) || has_keys(stream));
    let fax = |stream: &Stream| stream.transport == Transport::Udptl;
    let first = streams.iter().position(audio);
    first.or_else(|| streams.iter().position(fax))
}

fn is_plain(stream: &Stream) -> bool {
    !stream.transport.is_secure()
}

fn has_keys(stream: &Stream) -> bool {
    !stream.crypto.usable.is_empty()
}

fn reason(streams: &[Stream], security: Security) -> NoStream {
    let mut audio = streams.iter().filter(|stream| stream.transport.is_rtp());
    // Keys that could be read are of suites that are not taken.
    let unknown = |stream: &Stream| has_keys(stream).then_some(CryptoFault::UnknownSuite);
    let mut faults = (audio.clone()).filter_map(|it| it.crypto.fault.or_else(|| unknown(it)));
    match (security, faults.next()) {
        (Security::Plain, _) if streams.is_empty() => NoStream::NoAudio,
        (Security::Plain, _) => NoStream::EncryptionNotTaken,
        (Security::Any | Security::Required, Some(fault)) => NoStream::Crypto(fault),
        (Security::Any, _) if audio.next().is_some() => NoStream::EncryptionWanted,
        (Security::Any, _) => NoStream::NoAudio,
        (Security::Required, _) if streams.is_empty() => NoStream::NoAudio,
        (Security::Required, _) => NoStream::EncryptionWanted,
    }
}
