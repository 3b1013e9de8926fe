//! The identifiers that a shard mints for peers: Via branches and dialog tags.
//!
//! They carry the shard and the slot that they belong to, so that what comes back needs neither a hash
//! nor a table to find its owner, and 64 random bits that a stranger cannot guess.

use std::fmt::Write;

use super::io::TransactionId;

/// The magic cookie of RFC 3261 §8.1.1.7.
const COOKIE: &str = "z9hG4bK";
/// Tells our identifiers from others'.
const MARK: &str = "tk";
const DIGITS: usize = 2 + 8 + 2 + 16;

/// What a branch or a tag of ours says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Minted {
    /// The shard that owns it.
    pub shard: u8,
    /// Slot in that shard's table: of transactions for a branch, of calls for a tag.
    pub slot: u32,
    /// For a tag, which leg of the call.
    pub leg: u8,
    /// Random; kept by the owner and compared.
    pub secret: u64,
}

impl Minted {
    /// What a tag begins with.
    pub const MARK: &[u8] = MARK.as_bytes();
    /// Bytes of a tag.
    pub const TAG_BYTES: usize = MARK.len() + DIGITS;

    /// As a tag.
    pub fn tag(self) -> String {
        let mut text = String::with_capacity(Self::TAG_BYTES);
        self.write(&mut text);
        text
    }

    /// As a Via branch.
    pub fn branch(self) -> String {
        let mut text = String::with_capacity(COOKIE.len() + Self::TAG_BYTES);
        text.push_str(COOKIE);
        self.write(&mut text);
        text
    }

    fn write(self, text: &mut String) {
        let Self {
            shard,
            slot,
            leg,
            secret,
        } = self;
        // Writing to a String cannot fail.
        let _ = write!(text, "{MARK}{shard:02x}{slot:08x}{leg:02x}{secret:016x}");
    }

    /// Reads a tag; `None` where it is not one of ours.
    pub fn from_tag(text: &str) -> Option<Self> {
        let digits = text
            .strip_prefix(MARK)
            .filter(|digits| digits.len() == DIGITS)?;
        let is_ours = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !digits.bytes().all(is_ours) {
            return None;
        }
        Some(Self {
            shard: u8::from_str_radix(digits.get(..2)?, 16).ok()?,
            slot: u32::from_str_radix(digits.get(2..10)?, 16).ok()?,
            leg: u8::from_str_radix(digits.get(10..12)?, 16).ok()?,
            secret: u64::from_str_radix(digits.get(12..)?, 16).ok()?,
        })
    }

    /// Reads a branch; `None` where it is not one of ours.
    pub fn from_branch(text: &str) -> Option<Self> {
        Self::from_tag(text.strip_prefix(COOKIE)?)
    }
}

/// A call of this shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CallId {
    /// Slot in the shard's call table.
    pub slot: u32,
    /// Tells a slot's occupants apart.
    pub generation: u32,
}

/// A MESSAGE that this shard relays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MessageId {
    /// Slot in the shard's table of messages.
    pub(crate) slot: u32,
    /// Tells a slot's occupants apart.
    pub(crate) generation: u32,
}

/// A transaction that is about to be made: its place, and the branch that names it.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) id: TransactionId,
    pub(crate) secret: u64,
    pub(crate) branch: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_identifiers_read_back() {
        let minted = Minted {
            shard: 3,
            slot: 70_000,
            leg: 2,
            secret: 0x0123_4567_89ab_cdef,
        };
        assert_eq!(Minted::from_tag(&minted.tag()), Some(minted));
        assert_eq!(Minted::from_branch(&minted.branch()), Some(minted));
        assert!(minted.branch().starts_with("z9hG4bK"));
    }

    #[test]
    fn what_others_minted_is_not_ours() {
        let ours = Minted {
            shard: 0,
            slot: 0,
            leg: 0,
            secret: 0,
        }
        .tag();
        for text in [
            "",
            "tk",
            "as3df",
            &ours[..20],
            &ours.to_uppercase(),
            &ours.replace('0', "+"),
            "tké0000000000000000000000000",
        ] {
            assert_eq!(Minted::from_tag(text), None, "{text}");
        }
        assert_eq!(Minted::from_branch(&ours), None);
    }
}
