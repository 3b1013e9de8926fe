//! How the network is asked to treat a socket's packets.

/// A differentiated services code point (RFC 2474 §3): six bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dscp(u8);

impl Dscp {
    /// Expedited forwarding, for audio (RFC 3246, RFC 4594 §4.1).
    pub const EF: Self = Self(46);
    /// For signalling, as telephone networks mark it.
    pub const CS3: Self = Self(24);
    /// The greatest code point.
    pub const MAX: u8 = 63;

    /// The octet that it stands in (IPv4's TOS, IPv6's traffic class), the congestion bits at 0.
    pub const fn traffic_class(self) -> u8 {
        self.0 << 2
    }
}

impl TryFrom<i64> for Dscp {
    type Error = ();

    fn try_from(value: i64) -> Result<Self, ()> {
        match u8::try_from(value) {
            Ok(value) if value <= Self::MAX => Ok(Self(value)),
            Ok(_) | Err(_) => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_point_stands_above_the_congestion_bits() {
        assert_eq!(Dscp::EF.traffic_class(), 0xb8);
        assert_eq!(Dscp::try_from(24), Ok(Dscp::CS3));
        assert_eq!(Dscp::try_from(63).map(Dscp::traffic_class), Ok(0xfc));
        for value in [-1, 64, 256 + 46] {
            assert_eq!(Dscp::try_from(value), Err(()));
        }
    }
}
