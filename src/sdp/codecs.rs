//! Which of a description's formats go on to the other side.

use std::sync::Arc;

use super::SessionDescription;
use super::format::{Format, leading_number};
use super::stream::{Stream, Transport};
use crate::config::{CodecList, carries_speech};

/// Attributes that begin with the payload type that they are about.
const OF_ONE_FORMAT: [&[u8]; 4] = [b"a=rtpmap:", b"a=fmtp:", b"a=rtcp-fb:", b"a=gpmd:"];

/// The lists of both sides: what crosses is in each of them, as far as there is one.
#[derive(Clone, Default, Debug)]
pub struct Codecs {
    /// Of the side that is told.
    pub to: Option<Arc<CodecList>>,
    /// Of the side that has said it.
    pub from: Option<Arc<CodecList>>,
}

impl Codecs {
    /// Whether any format will do.
    pub(super) fn is_all(&self) -> bool {
        self.to.is_none() && self.from.is_none()
    }

    fn has(&self, name: &[u8]) -> bool {
        let has = |list: &Option<Arc<CodecList>>| {
            list.as_ref()
                .is_none_or(|list| list.place_of(name).is_some())
        };
        has(&self.to) && has(&self.from)
    }

    fn has_format(&self, format: &Format) -> bool {
        !format.name.is_empty() && self.has(format.name.as_bytes())
    }

    /// The payload types that go on, in their order.
    pub(super) fn kept(&self, stream: &Stream) -> Vec<u8> {
        let kept = self.formats_kept(stream);
        kept.map(|format| format.payload_type).collect()
    }

    /// The same as an offer has them: in the order of the list of the side that is told, where it has one.
    pub(super) fn offered(&self, stream: &Stream) -> Vec<u8> {
        let mut kept: Vec<&Format> = self.formats_kept(stream).collect();
        if let Some(list) = &self.to {
            kept.sort_by_key(|format| list.place_of(format.name.as_bytes()));
        }
        kept.iter().map(|format| format.payload_type).collect()
    }

    fn formats_kept<'a>(&'a self, stream: &'a Stream) -> impl Iterator<Item = &'a Format> {
        let formats = stream.formats.iter();
        formats.filter(|format| self.is_all() || self.has_format(format))
    }
}

impl SessionDescription {
    /// Whether something to speak with is left of its audio; fax has no codecs.
    pub fn has_speech(&self, codecs: &Codecs) -> bool {
        if codecs.is_all() {
            return true;
        }
        self.anchor().is_some_and(|stream| match stream.transport {
            Transport::Rtp { .. } => {
                let mut kept = codecs.formats_kept(stream);
                kept.any(|format| carries_speech(format.name.as_bytes()))
            }
            Transport::Udptl => true,
        })
    }
}

/// Whether an attribute line is about one of these payload types, or about none.
pub(super) fn is_about(line: &[u8], payload_types: &[u8]) -> bool {
    payload_type_of(line).is_none_or(|(_, one, _)| payload_types.contains(&one))
}

/// The payload type that an attribute line is about, with what is before and behind it.
pub(super) fn payload_type_of(line: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let mut starts = OF_ONE_FORMAT.iter();
    let start = starts.find(|start| line.starts_with(start))?;
    let value = line.strip_prefix(*start)?;
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let rest = value.get(digits.count()..)?;
    Some((start, leading_number(value)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{LocalDescription, Ours};

    /// With names for 96, 97, 101 and 13; those of 0, 8 and 18 are known.
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 96 18 8 101 0 13 97\r\na=rtpmap:96 opus/48000/2\r\n\
        a=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
        a=fmtp:18 annexb=no\r\na=rtcp-fb:* nack\r\na=rtcp-fb:96 ccm\r\na=ptime:20\r\n";

    fn list(names: &str) -> Option<Arc<CodecList>> {
        let names = names.split(' ').map(Into::into);
        CodecList::new(names).map(Arc::new)
    }

    fn towards(names: &str) -> Codecs {
        Codecs {
            to: list(names),
            from: None,
        }
    }

    fn from(names: &str) -> Codecs {
        Codecs {
            to: None,
            from: list(names),
        }
    }

    fn parse(text: &str) -> SessionDescription {
        SessionDescription::parse(text.as_bytes()).unwrap()
    }

    /// The lines of the medium in an offer to somebody.
    fn offered(codecs: &Codecs) -> Vec<String> {
        let ours = Ours::plain("198.51.100.1:20000".parse().unwrap(), codecs);
        let text = LocalDescription::new(1).offer(&parse(OFFER), &ours);
        let text = String::from_utf8(text.to_vec()).unwrap();
        let lines = text.lines().skip_while(|line| !line.starts_with("m="));
        lines
            .filter(|line| !line.starts_with("a=rtcp:") && *line != "a=sendrecv")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn an_offer_has_what_the_list_has_in_its_order() {
        assert_eq!(
            offered(&towards("PCMU pcma telephone-event")),
            [
                "m=audio 20000 RTP/AVP 0 8 101",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-16",
                "a=rtcp-fb:* nack",
                "a=ptime:20",
            ]
        );
        assert_eq!(
            offered(&towards("G729 CN")),
            [
                "m=audio 20000 RTP/AVP 18 13",
                "a=fmtp:18 annexb=no",
                "a=rtcp-fb:* nack",
                "a=ptime:20",
            ]
        );
        // What one side does not take is not brought to the other; the order is the speaker's there.
        let line = &offered(&from("PCMU PCMA opus"))[0];
        assert_eq!(line, "m=audio 20000 RTP/AVP 96 8 0");
        let both = Codecs {
            to: list("PCMU G729 PCMA"),
            from: list("PCMA G729"),
        };
        assert_eq!(offered(&both)[0], "m=audio 20000 RTP/AVP 18 8");
        assert_eq!(
            offered(&Codecs::default())[0],
            "m=audio 20000 RTP/AVP 96 18 8 101 0 13 97"
        );
    }

    #[test]
    fn a_name_that_is_mapped_counts_more_than_the_number() {
        let text = OFFER.replace("a=ptime:20", "a=rtpmap:8  G726-32/8000");
        let sdp = parse(&text);
        assert!(!sdp.has_speech(&towards("PCMA")));
        assert!(sdp.has_speech(&towards("g726-32")));
    }

    #[test]
    fn keys_and_noise_are_nothing_to_speak_with() {
        let sdp = parse(OFFER);
        assert!(sdp.has_speech(&towards("PCMU")));
        assert!(!sdp.has_speech(&towards("GSM telephone-event CN")));
        assert!(!sdp.has_speech(&from("GSM telephone-event CN")));
        assert!(sdp.has_speech(&Codecs::default()));
        // Payload type 97 has no name.
        assert_eq!(
            offered(&towards("GSM"))[0],
            "m=audio 0 RTP/AVP 96 18 8 101 0 13 97"
        );
        assert!(list("telephone-event cn").is_none());
    }

    #[test]
    fn an_answer_keeps_to_the_list_in_its_own_order() {
        let sdp = parse(OFFER);
        let codecs = towards("PCMU PCMA telephone-event");
        let ours = Ours::plain("198.51.100.1:20000".parse().unwrap(), &codecs);
        let text = LocalDescription::new(1).answer(&sdp, &sdp, &ours);
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("m=audio 20000 RTP/AVP 8 101 0\r\n"), "{text}");
        assert!(!text.contains("96") && !text.contains("annexb"), "{text}");
    }
}
