//! The code point on what a socket sends (RFC 2474).

use std::sync::Once;

use socket2::Socket;

use crate::config::Dscp;

/// Marks what the socket will send. A system that does not let it be marked is warned of once: calls go
/// on without.
pub(super) fn mark(socket: &Socket, is_ipv6: bool, dscp: Dscp) {
    static WARNED: Once = Once::new();
    let class = u32::from(dscp.traffic_class());
    let marked = match is_ipv6 {
        true => socket.set_tclass_v6(class),
        false => socket.set_tos_v4(class),
    };
    if let Err(error) = marked {
        WARNED.call_once(|| tracing::warn!(%error, "packets go out without their dscp"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::fd::AsFd;

    use socket2::{Domain, SockRef, Type};

    use super::*;

    /// What the socket's packets are marked with.
    pub(in crate::net) fn traffic_class(socket: &impl AsFd) -> u32 {
        let socket = SockRef::from(socket);
        let address = socket.local_addr().unwrap();
        match address.is_ipv6() {
            true => socket.tclass_v6().unwrap(),
            false => socket.tos_v4().unwrap(),
        }
    }

    #[test]
    fn a_socket_that_cannot_be_marked_serves_unmarked() {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
        mark(&socket, false, Dscp::EF);
        mark(&socket, true, Dscp::EF);
    }
}
