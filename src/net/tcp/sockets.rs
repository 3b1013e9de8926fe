//! Sockets of listeners, and of connections that are opened.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Dscp;
use crate::net::marking::mark;

/// Connections the kernel accepts for us before we do.
const BACKLOG: i32 = 1_024;

/// Binds one shard's socket of a listener; `shared` is whether the port is in a group already (see
/// [`crate::net::udp::bind`]). The connections that it accepts have its code point.
pub(in crate::net) fn bind(
    address: SocketAddr,
    shared: bool,
    dscp: Dscp,
) -> io::Result<TcpListener> {
    if !shared {
        let probe = open(address)?;
        probe.set_reuse_address(true)?;
        probe.bind(&address.into())?;
    }
    let socket = open(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    mark(&socket, address.is_ipv6(), dscp);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Begins a connection from `source`'s address to `remote`.
pub(super) fn connect(source: IpAddr, remote: SocketAddr, dscp: Dscp) -> io::Result<TcpStream> {
    let socket = open(remote)?;
    mark(&socket, remote.is_ipv6(), dscp);
    if !source.is_unspecified() {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::marking::tests::traffic_class;

    #[test]
    fn connections_are_marked_on_both_sides() {
        for place in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = bind(place.parse().unwrap(), false, Dscp::CS3) else {
                println!("no {place} on this machine");
                continue;
            };
            let address = listener.local_addr().unwrap();
            let stream = connect(address.ip(), address, Dscp::EF).unwrap();
            assert_eq!(traffic_class(&stream), 0xb8);
            let accepted = loop {
                match listener.accept() {
                    Ok((accepted, _)) => break accepted,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            };
            assert_eq!(traffic_class(&accepted), 0x60);
        }
    }
}
