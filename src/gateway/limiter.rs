//! Admission of new calls by rate, behind an interface: today one process counts, later several.

use crate::connector_id::VoiceConnectorId;
use crate::instant::Instant;

/// Counts a connector's new calls.
pub trait CallLimiter: Send + Sync {
    /// Whether one more call of this connector is within `per_second` calls in any second; if so it is
    /// counted. A refused call does not count.
    fn admit(&self, connector: VoiceConnectorId, per_second: u32, now: Instant) -> bool;
}
