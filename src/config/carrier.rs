//! How a carrier is spoken with.

/// Codecs that a carrier is offered and answered with, by their encoding names (RFC 8866 §6.6), the preferred one
/// first; at least one of them carries speech.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodecList(Box<[Box<str>]>);

impl CodecList {
    /// Names of one list at most.
    pub const MAX: usize = 32;

    /// The list of these names; `None` where nobody could be heard with it.
    pub fn new(names: impl IntoIterator<Item = Box<str>>) -> Option<Self> {
        let names: Box<[Box<str>]> = names.into_iter().collect();
        let has_speech = names.iter().any(|name| carries_speech(name.as_bytes()));
        has_speech.then_some(Self(names))
    }

    /// The place of an encoding name in the list; names are compared without case (RFC 4855 §3).
    pub fn place_of(&self, name: &[u8]) -> Option<usize> {
        let is_it = |listed: &Box<str>| listed.as_bytes().eq_ignore_ascii_case(name);
        self.0.iter().position(is_it)
    }
}

/// Whether a codec is one to speak with, neither for key presses (RFC 4733) nor for comfort noise (RFC 3389).
pub fn carries_speech(name: &[u8]) -> bool {
    !name.eq_ignore_ascii_case(b"telephone-event") && !name.eq_ignore_ascii_case(b"CN")
}
