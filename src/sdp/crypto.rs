//! Keys for SRTP in a description: `a=crypto`, SDES (RFC 4568).

use std::fmt::{self, Display};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::display::Base64Display;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::media::srtp::{MasterKey, Suite};

/// The most `a=crypto` lines of a stream that are read.
pub const CRYPTO_LINES_MAX: usize = 32;

/// Characters of the longest key and salt in base64: 46 bytes.
const KEY_CHARACTERS_MAX: usize = 64;
/// RFC 3711 §9.2: packets that one master key may protect.
const LIFETIME_MAX: u64 = 1 << 48;
/// RFC 4568 §6.1: bytes of a master key identifier.
const MKI_BYTES_MAX: usize = 128;

/// RFC 4568 §6.1 has the padding; it is left out by some.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One `a=crypto` line (RFC 4568 §9.1): the key of whoever says it, for what it sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CryptoLine {
    /// Names the line within its stream: 0 to 999,999,999. An answer has the tag of the line it takes.
    pub tag: u32,
    /// Key and salt of a suite; not in `Debug` output.
    pub key: MasterKey,
    /// The master key identifier that its packets carry, most significant byte first; empty where they
    /// carry none.
    pub mki: Vec<u8>,
}

/// Why an `a=crypto` line is of no use here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CryptoFault {
    /// Not of the form that RFC 4568 §9 gives it, or a tag once more.
    Malformed,
    /// A suite that is not served.
    UnknownSuite,
    /// Several keys, a key that is not inline, or session parameters that ask for what is not done:
    /// streams in the clear or without authentication, key derivation rates, FEC, what nobody knows.
    UnsupportedParameter,
}

/// As a line of ours is written: without lifetime, MKI and session parameters.
impl Display for CryptoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Base64Display::new(self.key.bytes(), &BASE64);
        let suite = self.key.suite().name();
        write!(f, "a=crypto:{} {suite} inline:{key}", self.tag)
    }
}

/// The `a=crypto` lines of a stream.
#[derive(Clone, Default)]
pub(super) struct CryptoLines {
    /// Those that can be used, in their order.
    pub(super) usable: Vec<CryptoLine>,
    /// What is wrong with the first of the others.
    pub(super) fault: Option<CryptoFault>,
    /// Of all lines.
    tags: Vec<u32>,
    read: usize,
}

impl CryptoLines {
    /// Reads the value of one more line.
    pub(super) fn read(&mut self, value: &[u8]) {
        if self.read == CRYPTO_LINES_MAX {
            return;
        }
        self.read += 1;
        if let Err(fault) = self.take(value) {
            self.fault.get_or_insert(fault);
        }
    }

    fn take(&mut self, value: &[u8]) -> Result<(), CryptoFault> {
        let value = std::str::from_utf8(value).map_err(|_| CryptoFault::Malformed)?;
        let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
        let tag = words.next().and_then(tag).ok_or(CryptoFault::Malformed)?;
        if self.tags.contains(&tag) {
            return Err(CryptoFault::Malformed);
        }
        self.tags.push(tag);
        let suite = words.next().ok_or(CryptoFault::Malformed)?;
        let keys = words.next().ok_or(CryptoFault::Malformed)?;
        let suite = Suite::from_name(suite).ok_or(CryptoFault::UnknownSuite)?;
        let (key, mki) = inline_key(suite, keys)?;
        match words.all(is_without_effect) {
            true => self.usable.push(CryptoLine { tag, key, mki }),
            false => return Err(CryptoFault::UnsupportedParameter),
        }
        Ok(())
    }
}

/// 1 to 9 digits.
fn tag(text: &str) -> Option<u32> {
    (text.len() <= 9).then(|| number(text))?
}

/// `inline:<key||salt>["|"<lifetime>]["|"<MKI>:<length>]`, once (RFC 4568 §6.1).
fn inline_key(suite: Suite, keys: &str) -> Result<(MasterKey, Vec<u8>), CryptoFault> {
    let (method, key) = keys.split_once(':').ok_or(CryptoFault::Malformed)?;
    if key.contains(';') || !method.eq_ignore_ascii_case("inline") {
        return Err(CryptoFault::UnsupportedParameter);
    }
    let mut parts = key.split('|');
    let key = parts.next().and_then(|text| master_key(suite, text));
    let key = key.ok_or(CryptoFault::Malformed)?;
    let (lifetime, identifier) = match (parts.next(), parts.next(), parts.next()) {
        (None, _, _) => (None, None),
        (Some(one), None, _) if one.contains(':') => (None, Some(one)),
        (Some(one), None, _) => (Some(one), None),
        (Some(lifetime), Some(identifier), None) => (Some(lifetime), Some(identifier)),
        (Some(_), Some(_), Some(_)) => return Err(CryptoFault::Malformed),
    };
    if !lifetime.is_none_or(is_lifetime) {
        return Err(CryptoFault::Malformed);
    }
    let mki = match identifier {
        Some(identifier) => mki(identifier).ok_or(CryptoFault::Malformed)?,
        None => Vec::new(),
    };
    Ok((key, mki))
}

fn master_key(suite: Suite, text: &str) -> Option<MasterKey> {
    let mut bytes = Zeroizing::new([0; KEY_CHARACTERS_MAX]);
    if text.len() > KEY_CHARACTERS_MAX {
        return None;
    }
    let length = BASE64.decode_slice(text, bytes.as_mut_slice()).ok()?;
    MasterKey::new(suite, bytes.get(..length)?)
}

/// A number of packets, also as a power of 2.
fn is_lifetime(text: &str) -> bool {
    let packets = match text.strip_prefix("2^") {
        Some(power) => number(power).and_then(|power| 1u64.checked_shl(power)),
        None => number(text),
    };
    packets.is_some_and(|packets| (1..=LIFETIME_MAX).contains(&packets))
}

/// `<value>:<length>`: the value, decimal, in that many bytes.
fn mki(text: &str) -> Option<Vec<u8>> {
    let (value, length) = text.split_once(':')?;
    let length = Some(length).filter(|length| length.len() <= 3);
    let length: usize = length.and_then(number)?;
    if !(1..=MKI_BYTES_MAX).contains(&length) || value.is_empty() {
        return None;
    }
    let mut bytes = vec![0u8; length];
    for digit in value.trim_start_matches('0').bytes() {
        let mut carry = u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        for byte in bytes.iter_mut().rev() {
            let [high, low] = (u16::from(*byte) * 10 + carry).to_be_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

/// Session parameters that change nothing for a receiver. RFC 4568 §6.3.7: one that is not known makes
/// its line invalid, but for a dash before it.
fn is_without_effect(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    name.starts_with('-')
        || name.eq_ignore_ascii_case("WSH")
        || (name.eq_ignore_ascii_case("KDR") && number(value) == Some(0u32))
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 bytes, all of them 0xAA.
    const KEY: &str = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";

    fn read(lines: &[&str]) -> CryptoLines {
        let mut read = CryptoLines::default();
        for line in lines {
            read.read(line.as_bytes());
        }
        read
    }

    fn usable(line: &str) -> CryptoLine {
        let mut lines = read(&[line]);
        assert_eq!(lines.fault, None, "{line}");
        lines.usable.pop().unwrap()
    }

    fn fault(line: &str) -> CryptoFault {
        let lines = read(&[line]);
        assert!(lines.usable.is_empty(), "{line}");
        lines.fault.unwrap()
    }

    #[test]
    fn every_suite_is_written_and_read() {
        for (tag, suite) in (1..).zip(Suite::ALL) {
            let bytes: Vec<u8> = (1..).take(suite.master_bytes()).collect();
            let key = MasterKey::new(suite, &bytes).unwrap();
            let mki = Vec::new();
            let line = CryptoLine { tag, key, mki };
            let text = line.to_string();
            let start = format!("a=crypto:{tag} {} inline:", suite.name());
            assert!(text.starts_with(&start), "{text}");
            assert_eq!(usable(text.strip_prefix("a=crypto:").unwrap()), line);
            let unpadded = text.trim_end_matches('=');
            assert_eq!(usable(unpadded.strip_prefix("a=crypto:").unwrap()), line);
        }
    }

    #[test]
    fn lifetime_and_identifier_are_read() {
        let with = |rest: &str| format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{rest}");
        for (rest, mki) in [
            ("", &[][..]),
            ("|2^20", &[]),
            ("|2^48", &[]),
            ("|1000000", &[]),
            ("|2^20|1:4", &[0, 0, 0, 1]),
            ("|1:1", &[1]),
            ("|000256:2", &[1, 0]),
            ("|2^31|65535:2", &[255, 255]),
        ] {
            let line = usable(&with(rest));
            assert_eq!(line.mki, mki, "{rest}");
            assert_eq!(line.key.bytes(), [0xAA; 30]);
        }
        let wide = usable(&with(&format!("|{}1:128", "0".repeat(5_000))));
        assert_eq!((wide.mki.len(), wide.mki.last()), (128, Some(&1)));
        for rest in [
            "|",
            "|0",
            "|2^",
            "|2^49",
            "|2^64",
            "|2^999",
            "|281474976710657",
            "|-1",
            "|+1",
            "|1:0",
            "|1:129",
            "|256:1",
            "|:1",
            "|1:",
            "|x:1",
            "|1:0001",
            "|2^20|",
            "|2^20|1",
            "|2^20|1:1|",
            "|1:1|2^20",
            "||1:1",
            "|99999999999999999999:8",
        ] {
            assert_eq!(fault(&with(rest)), CryptoFault::Malformed, "{rest}");
        }
        let endless = with(&format!("|{}:128", "9".repeat(60_000)));
        assert_eq!(fault(&endless), CryptoFault::Malformed);
    }

    #[test]
    fn a_line_that_cannot_be_used_says_why() {
        use CryptoFault::{Malformed, UnknownSuite, UnsupportedParameter};
        let long = "A".repeat(64_000);
        for (line, why) in [
            (String::new(), Malformed),
            ("1".into(), Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80".into(), Malformed),
            (format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), Malformed),
            (
                format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
                Malformed,
            ),
            (
                format!("+1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
                Malformed,
            ),
            (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}"), Malformed),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA"),
                Malformed,
            ),
            (format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"), Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:".into(), Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:????".into(), Malformed),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}"),
                Malformed,
            ),
            (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"), UnknownSuite),
            (format!("1 {long} inline:{KEY}"), UnknownSuite),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:1;inline:{KEY}|2:1"),
                UnsupportedParameter,
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}"),
                UnsupportedParameter,
            ),
        ] {
            assert_eq!(fault(&line), why, "{:.80}", line);
        }
    }

    #[test]
    fn session_parameters_are_taken_where_they_change_nothing() {
        let with = |rest: &str| format!("9 AES_CM_128_HMAC_SHA1_32\tinline:{KEY} {rest}");
        for rest in ["", "  ", "WSH=128", "wsh=64 -X=1", "KDR=0", "-UNKNOWN"] {
            assert_eq!(usable(&with(rest)).tag, 9, "{rest}");
        }
        for rest in [
            "UNENCRYPTED_SRTP",
            "unencrypted_srtp",
            "UNENCRYPTED_SRTCP",
            "UNAUTHENTICATED_SRTP",
            "KDR=1",
            "KDR=24",
            "KDR=",
            "FEC_ORDER=FEC_SRTP",
            "FEC_KEY=inline:AAAA",
            "WSH=128 X=1",
        ] {
            let why = CryptoFault::UnsupportedParameter;
            assert_eq!(fault(&with(rest)), why, "{rest}");
        }
    }

    #[test]
    fn a_tag_counts_once_and_lines_up_to_a_limit() {
        let line = |tag: usize| format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let unknown = format!("1 NO_SUCH_SUITE inline:{KEY}");
        let twice = read(&[&unknown, &line(1), &line(2)]);
        assert_eq!(twice.usable.len(), 1);
        assert_eq!(twice.fault, Some(CryptoFault::UnknownSuite));
        let lines: Vec<String> = (0..1_900).map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&lines).usable.len(), CRYPTO_LINES_MAX);
    }

    #[test]
    fn keys_are_not_in_debug_output() {
        let line = usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
        let text = format!("{line:?}");
        assert!(
            !text.contains("170, 170") && !text.contains("qqqq"),
            "{text}"
        );
        assert!(!text.to_lowercase().contains("aaaa"), "{text}");
    }
}
