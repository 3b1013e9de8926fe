//! The same encoding by different numbers on both legs.

use super::format::Format;
use super::session::SessionDescription;

/// The most numbers that are translated between two legs.
pub const PAYLOAD_PAIRS_MAX: usize = 16;

/// Encodings whose payloads or parameters hold payload types themselves: redundancy (RFC 2198) and
/// retransmission (RFC 4588).
const REFERRING: [&str; 2] = ["red", "rtx"];

/// Payload types that differ between an offer and its answer for the same encoding (RFC 3264 §6.1). The
/// offerer hears of its own number only; whoever relays translates.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PayloadMap {
    /// The offerer's number and the answerer's; on neither side a number twice.
    pairs: Vec<(u8, u8)>,
}

impl PayloadMap {
    /// Whether all numbers stay as they are.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// For packets of the offerer: its number, and the answerer's.
    pub fn to_answerer(&self) -> impl Iterator<Item = (u8, u8)> + '_ {
        self.pairs.iter().copied()
    }

    /// For packets of the answerer: its number, and the offerer's. The answerer should send by the offer's
    /// numbers (RFC 3264 §5.1), so a number that the offer has for another encoding in use stays.
    pub fn to_offerer(&self) -> impl Iterator<Item = (u8, u8)> + '_ {
        let pairs = self.pairs.iter();
        let own = pairs.filter(|(_, answered)| !self.pairs.iter().any(|(own, _)| own == answered));
        own.map(|&(offered, answered)| (answered, offered))
    }

    /// The offerer's number for the answerer's.
    pub(super) fn offered(&self, answered: u8) -> u8 {
        let mut pairs = self.pairs.iter();
        let pair = pairs.find(|(_, known)| *known == answered);
        pair.map_or(answered, |(offered, _)| *offered)
    }
}

/// The numbers that an answer has changed: where it names an encoding (name, clock rate and channels) by a
/// number of its own, and the offer has that encoding once. Nothing is translated where payloads refer to
/// payload types, nor where two encodings would get one number.
pub fn payload_map(offer: &SessionDescription, answer: &SessionDescription) -> PayloadMap {
    let (Some(offer), Some(answer)) = (offer.anchor(), answer.anchor()) else {
        return PayloadMap::default();
    };
    let (offered, answered) = (&offer.formats, &answer.formats);
    let refers = |format: &Format| {
        let mut names = REFERRING.iter();
        names.any(|name| name.eq_ignore_ascii_case(&format.name))
    };
    if answered.iter().any(refers) {
        return PayloadMap::default();
    }
    let mut pairs: Vec<(u8, u8)> = Vec::new();
    for format in answered {
        let Some(number) = number_in(offered, format) else {
            continue;
        };
        let is_free = pairs.iter().all(|(taken, _)| *taken != number);
        if number != format.payload_type && is_free && pairs.len() < PAYLOAD_PAIRS_MAX {
            pairs.push((number, format.payload_type));
        }
    }
    // Whatever is not translated keeps its number, which nothing else may get then.
    loop {
        let count = pairs.len();
        let is_translated = |number: u8| pairs.iter().any(|(_, answered)| *answered == number);
        let numbers = answered.iter().map(|format| format.payload_type);
        let staying: Vec<u8> = numbers.filter(|number| !is_translated(*number)).collect();
        pairs.retain(|(offered, _)| !staying.contains(offered));
        if pairs.len() == count {
            return PayloadMap { pairs };
        }
    }
}

/// The offer's number for an answered encoding: the answer's own, where the offer has the encoding by that.
fn number_in(offered: &[Format], answered: &Format) -> Option<u8> {
    let same = offered
        .iter()
        .filter(|format| format.is_encoded_as(answered))
        .map(|format| format.payload_type);
    let numbers: Vec<u8> = same.collect();
    match numbers.as_slice() {
        numbers if numbers.contains(&answered.payload_type) => Some(answered.payload_type),
        [number] => Some(*number),
        [] | [_, _, ..] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(line: &str, rtpmaps: &[&str]) -> SessionDescription {
        let mut text = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP {line}\r\n");
        for rtpmap in rtpmaps {
            text.push_str(&format!("a=rtpmap:{rtpmap}\r\n"));
        }
        SessionDescription::parse(text.as_bytes()).unwrap()
    }

    fn map(offer: (&str, &[&str]), answer: (&str, &[&str])) -> PayloadMap {
        let offer = description(offer.0, offer.1);
        payload_map(&offer, &description(answer.0, answer.1))
    }

    fn pairs(offer: (&str, &[&str]), answer: (&str, &[&str])) -> Vec<(u8, u8)> {
        map(offer, answer).to_answerer().collect()
    }

    const EVENTS: &str = "101 telephone-event/8000";

    #[test]
    fn the_same_encoding_by_another_number_is_a_pair() {
        let offer = ("0 8 101", &[EVENTS][..]);
        assert_eq!(pairs(offer, ("0 101", &[EVENTS])), []);
        assert_eq!(
            pairs(offer, ("8 96", &["96 Telephone-Event/8000/1"])),
            [(101, 96)]
        );
        assert_eq!(pairs(offer, ("8 96", &["96 telephone-event/48000"])), []);
        assert_eq!(pairs(offer, ("97", &["97 pcmu/8000"])), [(0, 97)]);
        assert_eq!(pairs(("96", &["96 PCMU/8000"]), ("0", &[])), [(96, 0)]);
        assert_eq!(
            pairs(("96", &["96 L16/8000/2"]), ("97", &["97 L16/8000"])),
            []
        );
        assert_eq!(pairs(offer, ("98 99", &["98 G726-32/8000"])), []);
    }

    #[test]
    fn both_directions_have_their_numbers() {
        let offer = ("0 101", &[EVENTS][..]);
        let map = map(offer, ("0 96", &["96 telephone-event/8000"]));
        assert!(!map.is_empty());
        assert_eq!(map.to_answerer().collect::<Vec<_>>(), [(101, 96)]);
        assert_eq!(map.to_offerer().collect::<Vec<_>>(), [(96, 101)]);
    }

    #[test]
    fn exchanged_numbers_are_translated_towards_the_answerer_only() {
        let map = map(
            ("96 97", &["96 opus/48000/2", "97 speex/16000"]),
            ("96 97", &["97 opus/48000/2", "96 speex/16000"]),
        );
        assert_eq!(map.to_answerer().collect::<Vec<_>>(), [(97, 96), (96, 97)]);
        assert_eq!(map.to_offerer().count(), 0);
    }

    #[test]
    fn two_encodings_never_get_one_number() {
        let offer = ("0 101", &[EVENTS][..]);
        let taken = ["96 telephone-event/8000", "101 G726-32/8000"];
        assert_eq!(pairs(offer, ("0 96 101", &taken)), []);
        let twice = ["96 telephone-event/8000", "97 telephone-event/8000"];
        assert_eq!(pairs(offer, ("0 96 97", &twice)), [(101, 96)]);
        let chain = ["96 PCMU/8000", "97 telephone-event/8000", "101 x/8000"];
        assert_eq!(pairs(offer, ("96 97 101", &chain)), [(0, 96)]);
        // Once 97 keeps its number, 98 cannot have it any more.
        assert_eq!(
            pairs(
                ("96 97", &["96 a/8000", "97 b/8000"]),
                ("97 98 96", &["97 a/8000", "98 b/8000", "96 c/8000"])
            ),
            []
        );
    }

    #[test]
    fn an_encoding_that_is_offered_twice_or_refers_to_others_stays() {
        let offer = ("96 97", &["96 AMR/8000", "97 AMR/8000"][..]);
        assert_eq!(pairs(offer, ("97", &["97 AMR/8000"])), []);
        assert_eq!(pairs(offer, ("98", &["98 AMR/8000"])), []);
        let offer = ("98 101", &["98 red/8000", EVENTS][..]);
        let answer = ["98 RED/8000", "100 telephone-event/8000"];
        assert_eq!(pairs(offer, ("98 100", &answer)), []);
    }

    #[test]
    fn pairs_have_a_limit() {
        let line = |from: u8| {
            (from..from + 30)
                .map(|it| it.to_string())
                .collect::<Vec<_>>()
        };
        let maps = |from: u8| -> Vec<String> {
            let numbers = (from..from + 30).zip(0..);
            numbers
                .map(|(number, name)| format!("{number} c{name}/8000"))
                .collect()
        };
        let (offered, answered) = (maps(35), maps(90));
        let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
        let answered: Vec<&str> = answered.iter().map(String::as_str).collect();
        let pairs = pairs(
            (&line(35).join(" "), &offered),
            (&line(90).join(" "), &answered),
        );
        assert_eq!(pairs.len(), PAYLOAD_PAIRS_MAX);
    }
}
