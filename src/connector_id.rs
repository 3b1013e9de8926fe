//! The id of a voice connector.

use std::fmt;
use std::str::FromStr;

/// The id of a voice connector: 22 characters of `[0-9a-z]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoiceConnectorId([u8; Self::LENGTH]);

/// The text is not 22 characters of `[0-9a-z]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidVoiceConnectorId;

impl VoiceConnectorId {
    /// Characters of an id.
    pub const LENGTH: usize = 22;

    /// An id from random bytes, every character from one byte.
    pub fn from_random(random: [u8; Self::LENGTH]) -> Self {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        Self(random.map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for VoiceConnectorId {
    type Err = InvalidVoiceConnectorId;

    fn from_str(text: &str) -> Result<Self, InvalidVoiceConnectorId> {
        let bytes: [u8; Self::LENGTH] = text
            .as_bytes()
            .try_into()
            .map_err(|_| InvalidVoiceConnectorId)?;
        match bytes
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        {
            true => Ok(Self(bytes)),
            false => Err(InvalidVoiceConnectorId),
        }
    }
}

impl fmt::Display for VoiceConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for VoiceConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connector_ids_are_22_lower_case_characters() {
        assert_eq!(
            "abcdefghij0123456789ab"
                .parse::<VoiceConnectorId>()
                .unwrap()
                .as_str(),
            "abcdefghij0123456789ab"
        );
        assert!(
            "ABCDEFGHIJ0123456789ab"
                .parse::<VoiceConnectorId>()
                .is_err()
        );
        assert!("short".parse::<VoiceConnectorId>().is_err());
        let random = VoiceConnectorId::from_random(*b"\x00\xffabcdefghijklmnopqrst");
        assert_eq!(random.as_str().parse::<VoiceConnectorId>(), Ok(random));
    }
}
