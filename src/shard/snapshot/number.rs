//! Whose a number is, and what may be done with it.

use uuid::Uuid;

use crate::connector_id::VoiceConnectorId;

/// What a number is associated with, as far as calls go there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberHolder {
    /// A voice connector.
    Connector(VoiceConnectorId),
    /// A voice connector group.
    Group(Uuid),
}

/// A member of a voice connector group (`VoiceConnectorItem`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupMember {
    /// The connector.
    pub connector: VoiceConnectorId,
    /// 1 to 99; 1 is tried first.
    pub priority: u8,
}
