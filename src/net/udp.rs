//! SIP over UDP (RFC 3261 §18): one socket a listener and shard, in one `SO_REUSEPORT` group.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

use super::marking::mark;
use crate::config::Dscp;

/// Bytes asked for as the socket's receive buffer: at 1,000 calls a second, some seconds of them.
/// The kernel cuts it to `net.core.rmem_max`.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1_024 * 1_024;

/// Binds one shard's socket of a listener; `shared` is whether the port is in a group already.
///
/// The first one is bound without `SO_REUSEPORT` first, because with it a second process of the same
/// user would silently get a part of the messages.
pub(super) fn bind(address: SocketAddr, shared: bool, dscp: Dscp) -> io::Result<UdpSocket> {
    if !shared {
        let probe = open(address)?;
        probe.bind(&address.into())?;
    }
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    mark(&socket, address.is_ipv6(), dscp);
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// What a read of the socket gave.
pub(super) enum Received {
    /// A message and its sender.
    Message(SocketAddr, Bytes),
    /// A datagram that only keeps a NAT binding alive.
    KeepAlive,
    /// Nothing for now.
    Nothing,
    /// An error of an earlier datagram; there may be more to read.
    Failed,
}

/// Reads one datagram through `buffer`.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Received {
    match socket.recv_from(buffer) {
        Ok((bytes, from)) => match buffer.get(..bytes) {
            Some(datagram) if !is_keep_alive(datagram) => {
                Received::Message(from, Bytes::copy_from_slice(datagram))
            }
            Some(_) | None => Received::KeepAlive,
        },
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Err(_) => Received::Failed,
    }
}

/// CRLFs, as PBXs send them, or NULs, or nothing at all.
fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram
        .iter()
        .all(|byte| matches!(byte, b'\r' | b'\n' | b'\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::marking::tests::traffic_class;

    #[test]
    fn datagrams_are_marked() {
        for place in ["127.0.0.1:0", "[::1]:0"] {
            match bind(place.parse().unwrap(), false, Dscp::CS3) {
                Ok(socket) => assert_eq!(traffic_class(&socket), 0x60),
                Err(_) => println!("no {place} on this machine"),
            }
        }
    }

    #[test]
    fn only_line_ends_and_nuls_keep_alive() {
        for datagram in [b"".as_slice(), b"\r\n\r\n", b"\0\0\0\0", b"\n"] {
            assert!(is_keep_alive(datagram));
        }
        assert!(!is_keep_alive(b"\r\nOPTIONS"));
        assert!(!is_keep_alive(b" "));
    }

    #[test]
    fn a_port_that_another_group_holds_is_refused() {
        let first = bind("127.0.0.1:0".parse().unwrap(), false, Dscp::CS3).unwrap();
        let address = first.local_addr().unwrap();
        assert!(bind(address, true, Dscp::CS3).is_ok());
        let error = bind(address, false, Dscp::CS3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
