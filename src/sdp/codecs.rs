//! Which of a description's formats go on to the other side.

use std::sync::Arc;

use super::SessionDescription;
use super::session::Anchor;
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

    /// The payload types that go on, in their order.
    pub(super) fn kept(&self, from_peer: &SessionDescription, anchor: &Anchor) -> Vec<u8> {
        let named = |payload_type: &&u8| {
            let name = encoding_name(from_peer, anchor, **payload_type);
            name.is_some_and(|name| self.has(name))
        };
        anchor.payload_types.iter().filter(named).copied().collect()
    }

    /// The same as an offer has them: in the order of the list of the side that is told, where it has one.
    pub(super) fn offered(&self, from_peer: &SessionDescription, anchor: &Anchor) -> Vec<u8> {
        let mut kept = self.kept(from_peer, anchor);
        if let Some(list) = &self.to {
            kept.sort_by_key(|payload_type| {
                let name = encoding_name(from_peer, anchor, *payload_type);
                name.and_then(|name| list.place_of(name))
            });
        }
        kept
    }
}

impl SessionDescription {
    /// Whether something to speak with is left of its audio.
    pub fn has_speech(&self, codecs: &Codecs) -> bool {
        if codecs.is_all() {
            return true;
        }
        let Some(anchor) = self.anchor() else {
            return false;
        };
        let kept = codecs.kept(self, anchor);
        let mut names = kept
            .iter()
            .filter_map(|kept| encoding_name(self, anchor, *kept));
        names.any(carries_speech)
    }
}

/// Whether an attribute line is about one of these payload types, or about none.
pub(super) fn is_about(line: &[u8], payload_types: &[u8]) -> bool {
    let mut values = OF_ONE_FORMAT
        .iter()
        .filter_map(|start| line.strip_prefix(*start));
    match values.next() {
        Some(value) => leading_number(value).is_none_or(|one| payload_types.contains(&one)),
        None => true,
    }
}

/// The encoding name of a payload type: what `a=rtpmap` says, else what RFC 3551 §6 does.
fn encoding_name<'a>(
    description: &'a SessionDescription,
    anchor: &Anchor,
    payload_type: u8,
) -> Option<&'a [u8]> {
    let lines = anchor.attributes.iter().map(|line| description.text(line));
    let mut mapped = lines.filter_map(|line| {
        let value = line.strip_prefix(b"a=rtpmap:")?;
        if leading_number(value) != Some(payload_type) {
            return None;
        }
        let encoding = value.splitn(2, |byte| *byte == b' ').nth(1)?;
        encoding
            .trim_ascii_start()
            .split(|byte| *byte == b'/')
            .next()
    });
    mapped.next().or_else(|| static_name(payload_type))
}

/// RFC 3551 §6, table 4.
fn static_name(payload_type: u8) -> Option<&'static [u8]> {
    Some(match payload_type {
        0 => b"PCMU",
        3 => b"GSM",
        4 => b"G723",
        5 | 6 | 16 | 17 => b"DVI4",
        7 => b"LPC",
        8 => b"PCMA",
        9 => b"G722",
        10 | 11 => b"L16",
        12 => b"QCELP",
        13 => b"CN",
        14 => b"MPA",
        15 => b"G728",
        18 => b"G729",
        1 | 2 | 19.. => return None,
    })
}

fn leading_number(text: &[u8]) -> Option<u8> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::LocalDescription;

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
        let ours = "198.51.100.1:20000".parse().unwrap();
        let text = LocalDescription::new(1).offer(&parse(OFFER), ours, codecs);
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
        let ours = "198.51.100.1:20000".parse().unwrap();
        let codecs = towards("PCMU PCMA telephone-event");
        let text = LocalDescription::new(1).answer(&sdp, &sdp, ours, &codecs);
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("m=audio 20000 RTP/AVP 8 101 0\r\n"), "{text}");
        assert!(!text.contains("96") && !text.contains("annexb"), "{text}");
    }
}
