//! Who sends (RFC 3264 §5.1, §6.1, §8.4).

/// A stream's direction, as seen by the one who describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// It sends and receives; the meaning of no attribute at all.
    SendRecv,
    /// It only sends.
    SendOnly,
    /// It only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Anything but sendrecv.
    pub fn is_hold(self) -> bool {
        self != Direction::SendRecv
    }

    /// It is ready to send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// It is ready to receive.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub(super) fn from_attribute(name: &[u8]) -> Option<Self> {
        [
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
            Direction::Inactive,
        ]
        .into_iter()
        .find(|direction| direction.as_str().as_bytes() == name)
    }

    /// Without receiving: what `c=0.0.0.0` takes away (RFC 3264 §8.4).
    pub(super) fn not_receiving(self) -> Self {
        Self::of(self.sends(), false)
    }

    /// What of this may stand in an answer to `offered` (RFC 3264 §6.1): nobody sends what the other
    /// does not receive.
    pub(super) fn in_answer_to(self, offered: Direction) -> Self {
        Self::of(
            self.sends() && offered.receives(),
            self.receives() && offered.sends(),
        )
    }

    fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }
}
