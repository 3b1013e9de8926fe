//! Formats of RTP: payload types and the encodings they stand for.

use bytestring::ByteString;

/// Characters of an encoding name that is kept.
const NAME_BYTES_MAX: usize = 64;
/// Hz, where nobody says.
const CLOCK_RATE: u32 = 8_000;

/// A format of a stream (RFC 3264 §5.1): a payload type and what it stands for by `a=rtpmap`, else by
/// RFC 3551 §6.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// Of its RTP timestamps, in Hz; never 0. 8,000 where nobody says (G722 has 8,000, RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// At least 1.
    pub channels: u8,
    /// The encoding's name as it is written, to be compared without case (RFC 4855 §3); empty where
    /// nobody says.
    pub name: ByteString,
}

impl Format {
    /// The same encoding, by whatever number.
    pub(super) fn is_encoded_as(&self, other: &Format) -> bool {
        !self.name.is_empty()
            && self.name.eq_ignore_ascii_case(&other.name)
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
    }

    /// RFC 3551 §6, table 4.
    fn of_table(payload_type: u8) -> Self {
        let (name, clock_rate, channels) = match payload_type {
            0 => ("PCMU", 8_000, 1),
            3 => ("GSM", 8_000, 1),
            4 => ("G723", 8_000, 1),
            5 => ("DVI4", 8_000, 1),
            6 => ("DVI4", 16_000, 1),
            7 => ("LPC", 8_000, 1),
            8 => ("PCMA", 8_000, 1),
            9 => ("G722", 8_000, 1),
            10 => ("L16", 44_100, 2),
            11 => ("L16", 44_100, 1),
            12 => ("QCELP", 8_000, 1),
            13 => ("CN", 8_000, 1),
            14 => ("MPA", 90_000, 1),
            15 => ("G728", 8_000, 1),
            16 => ("DVI4", 11_025, 1),
            17 => ("DVI4", 22_050, 1),
            18 => ("G729", 8_000, 1),
            1 | 2 | 19.. => ("", CLOCK_RATE, 1),
        };
        Self {
            payload_type,
            clock_rate,
            channels,
            name: ByteString::from_static(name),
        }
    }
}

/// The formats of an `m=` line, each once: at least one, all of them RTP payload types. What they stand
/// for is what RFC 3551 says.
pub(super) fn formats(text: &[u8]) -> Option<Vec<Format>> {
    let mut seen = 0u128;
    let mut formats = Vec::new();
    for word in text.split(|&byte| byte == b' ') {
        if word.is_empty() {
            continue;
        }
        let number: u8 = std::str::from_utf8(word).ok()?.parse().ok()?;
        let bit = 1u128.checked_shl(number.into())?;
        if seen & bit == 0 {
            seen |= bit;
            formats.push(Format::of_table(number));
        }
    }
    (!formats.is_empty()).then_some(formats)
}

/// Has formats stand for what the values of `a=rtpmap` say; the first that is about a format counts.
pub(super) fn name_formats<'a>(
    formats: &mut [Format],
    rtpmaps: impl IntoIterator<Item = &'a [u8]>,
) {
    let mut named = 0u128;
    for format in rtpmaps.into_iter().filter_map(rtpmap) {
        let bit = 1u128.checked_shl(format.payload_type.into()).unwrap_or(0);
        let mut all = formats.iter_mut();
        if named & bit == 0
            && let Some(place) = all.find(|known| known.payload_type == format.payload_type)
        {
            *place = format;
        }
        named |= bit;
    }
}

/// `<payload type> <encoding name>[/<clock rate>[/<channels>]]` (RFC 8866 §6.6).
fn rtpmap(value: &[u8]) -> Option<Format> {
    let payload_type = leading_number(value)?;
    let encoding = value.splitn(2, |byte| *byte == b' ').nth(1)?;
    let mut parts = encoding.trim_ascii().split(|byte| *byte == b'/');
    let name = parts.next().filter(|name| name.len() <= NAME_BYTES_MAX);
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let mut number = || -> Option<u32> {
        let digits = std::str::from_utf8(parts.next()?).ok()?;
        digits.parse().ok().filter(|number| *number != 0)
    };
    let clock_rate = number().unwrap_or(CLOCK_RATE);
    let channels = number().and_then(|channels| channels.try_into().ok());
    Some(Format {
        payload_type,
        clock_rate,
        channels: channels.unwrap_or(1),
        name: ByteString::from(name.unwrap_or_default()),
    })
}

/// The number that a text begins with.
pub(super) fn leading_number(text: &[u8]) -> Option<u8> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, rtpmaps: &[&str]) -> Vec<(u8, String, u32, u8)> {
        let mut formats = formats(line.as_bytes()).unwrap();
        name_formats(&mut formats, rtpmaps.iter().map(|value| value.as_bytes()));
        let facts = |it: &Format| {
            (
                it.payload_type,
                it.name.to_string(),
                it.clock_rate,
                it.channels,
            )
        };
        formats.iter().map(facts).collect()
    }

    #[test]
    fn names_and_rates_are_the_mapped_ones_else_those_of_rfc_3551() {
        let rtpmaps = [
            "96 opus/48000/2",
            "96 late/1",
            "101  telephone-event/8000",
            "8 G726-32/8000",
        ];
        assert_eq!(
            read("0 8 9 18 96  101 97 11 0", &rtpmaps),
            [
                (0, "PCMU".to_owned(), 8_000, 1),
                (8, "G726-32".to_owned(), 8_000, 1),
                (9, "G722".to_owned(), 8_000, 1),
                (18, "G729".to_owned(), 8_000, 1),
                (96, "opus".to_owned(), 48_000, 2),
                (101, "telephone-event".to_owned(), 8_000, 1),
                (97, String::new(), 8_000, 1),
                (11, "L16".to_owned(), 44_100, 1),
            ]
        );
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_8000() {
        for encoding in ["x", "x/", "x/0", "x/-1", "x/99999999999", "x/a/2/2"] {
            let format = &read("96", &[&format!("96 {encoding}")])[0];
            assert_eq!((format.1.as_str(), format.2), ("x", 8_000), "{encoding}");
        }
        let long = format!("96 {}/16000/300", "n".repeat(1_000));
        assert_eq!(read("96", &[&long]), [(96, String::new(), 16_000, 1)]);
        assert_eq!(
            read("96", &["", "96", "x 1", "200 a/1", "999 a/1"])[0].1,
            ""
        );
    }

    #[test]
    fn formats_are_payload_types() {
        for line in ["", " ", "128", "0 x", "0 -1", "256", "0,8"] {
            assert!(formats(line.as_bytes()).is_none(), "{line}");
        }
    }
}
