//! Sockets of listeners, and of connections that are opened.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel accepts for us before we do.
const BACKLOG: i32 = 1_024;

/// Binds one shard's socket of a listener; `shared` is whether the port is in a group already (see
/// [`crate::net::udp::bind`]).
pub(in crate::net) fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    if !shared {
        let probe = open(address)?;
        probe.set_reuse_address(true)?;
        probe.bind(&address.into())?;
    }
    let socket = open(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
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
pub(super) fn connect(source: IpAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = open(remote)?;
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
