//! Which header fields of one leg's INVITE the other leg's carries: the rest is ours or stays behind.

use crate::sip::message::{Fields, HeaderName};
use crate::sip::writer::Writer;

/// Fields carried across at most.
const CARRIED_MAX: usize = 32;
/// Bytes of one carried value at most.
const CARRIED_VALUE_BYTES_MAX: usize = 1_024;

/// Copies what is carried from the message of one leg to that of the other: Privacy (RFC 3323),
/// User-to-User (RFC 7433), Subject, and extension fields `X-…` except those that are ours.
pub fn carry(from: &Fields, writer: &mut Writer<'_>) {
    let carried = from.all().filter(|(name, known, value)| {
        is_carried(name, *known) && value.len() <= CARRIED_VALUE_BYTES_MAX
    });
    for (name, _, value) in carried.take(CARRIED_MAX) {
        writer.raw_field(name, value);
    }
}

/// Every other known field is the leg's own business.
fn is_carried(name: &str, known: HeaderName) -> bool {
    if known != HeaderName::Other {
        return matches!(
            known,
            HeaderName::Privacy | HeaderName::UserToUser | HeaderName::Subject
        );
    }
    let prefixed = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    prefixed("X-") && !prefixed("X-VoiceConnector-") && !prefixed("X-Amzn-")
}
