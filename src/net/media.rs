//! The media sockets of one shard.
//!
//! A shard has its own slice of the port range and binds it in chunks, as its core asks for more. A
//! packet is read, handed to the core, and sent on from the socket that the core names, all in one
//! buffer: nothing is allocated and nothing is logged per packet.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::{Range, RangeInclusive};
use std::os::fd::AsFd;

use mio::{Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::Core;
use super::dispatch::Dispatch;
use super::gauges::NetGauges;
use super::marking::mark;
use super::sys;
use crate::config::{Dscp, Media, MediaAddress};
use crate::instant::Instant;
use crate::media::{Connect, Datagram, Forward, MediaPort, MediaSocket};

/// Pairs bound at most in one turn of the loop.
pub(super) const PAIRS_PER_TURN: usize = 32;
/// Of so many wanted pairs one is bound in a turn that has other work.
const WANTED_PER_PAIR: usize = 16;
/// Receive buffer of a media socket: some seconds of audio, should the thread be held up. The kernel
/// cuts it to `net.core.rmem_max`.
const RECEIVE_BUFFER_BYTES: usize = 256 * 1_024;

/// A media socket pair cannot be bound for want of sockets or memory: the next one neither.
#[derive(Debug)]
pub(super) struct OutOfSockets;

/// A bound socket.
struct Bound {
    socket: UdpSocket,
    /// Whom it is connected to.
    peer: Option<SocketAddr>,
}

/// The media sockets of one shard, by [`MediaSocket`] number.
pub(super) struct MediaSockets {
    sockets: Vec<Bound>,
    addresses: Vec<MediaAddress>,
    dscp: Dscp,
    /// RTP ports that no pair was tried on yet, step 2.
    untried: Range<u32>,
    /// Token of socket 0; the other sockets follow.
    first_token: usize,
}

impl MediaSockets {
    /// Nothing bound yet.
    pub(super) fn new(media: &Media, shard: u8, shards: u8, first_token: usize) -> Self {
        Self {
            sockets: Vec::new(),
            addresses: media.addresses.clone(),
            dscp: media.dscp,
            untried: slice(&media.ports, shard, shards),
            first_token,
        }
    }

    /// Whether the whole slice was tried.
    pub(super) fn is_exhausted(&self) -> bool {
        self.untried.is_empty()
    }

    /// Binds so many more pairs and appends them to `ports`. A port that something else holds is skipped
    /// and counted; when the process is out of sockets the port is kept for later.
    pub(super) fn bind_more(
        &mut self,
        registry: &Registry,
        pairs: usize,
        ports: &mut Vec<MediaPort>,
        counts: &mut NetGauges,
    ) -> Result<(), OutOfSockets> {
        let enough = ports.len() + pairs;
        while ports.len() < enough && !self.untried.is_empty() {
            let Ok(port) = u16::try_from(self.untried.start) else {
                break;
            };
            for index in 0..self.addresses.len() {
                let Some(address) = self.addresses.get(index).copied() else {
                    break;
                };
                match self.bind_pair(registry, address, port) {
                    Ok(pair) => {
                        counts.media_sockets += 2;
                        ports.push(pair);
                    }
                    Err(error) if is_out_of_sockets(&error) => {
                        tracing::warn!(%error, "no more media ports for now");
                        return Err(OutOfSockets);
                    }
                    Err(error) => {
                        counts.media_ports_skipped += 1;
                        tracing::warn!(address = %address.bind, port, %error, "media port skipped");
                    }
                }
            }
            self.untried.start += 2;
        }
        Ok(())
    }

    fn bind_pair(
        &mut self,
        registry: &Registry,
        address: MediaAddress,
        port: u16,
    ) -> io::Result<MediaPort> {
        let rtp = bind(address.bind, port, self.dscp)?;
        let rtcp = bind(address.bind, port + 1, self.dscp)?;
        let number = self.sockets.len();
        let socket = u32::try_from(number).map_err(io::Error::other)?;
        let token = self.first_token + number;
        sys::watch(registry, rtp.as_fd(), Token(token))?;
        sys::watch(registry, rtcp.as_fd(), Token(token + 1))?;
        for socket in [rtp, rtcp] {
            self.sockets.push(Bound { socket, peer: None });
        }
        Ok(MediaPort {
            socket: MediaSocket(socket),
            advertise: SocketAddr::new(address.advertise, port),
        })
    }

    /// Relays a packet that a socket has received. Where it has another, the poll reports it again.
    pub(super) fn relay<C: Core>(
        &self,
        number: usize,
        buffer: &mut [u8],
        dispatch: &mut Dispatch<C>,
        now: Instant,
    ) {
        let (Some(socket), Ok(id)) = (self.sockets.get(number), u32::try_from(number)) else {
            return;
        };
        // Nothing there, or an error that an earlier packet left; the socket itself is in order.
        let Ok((length, from)) = socket.socket.recv_from(buffer) else {
            return;
        };
        dispatch.counts.media_packets_received += 1;
        let mut packet = Datagram { buffer, length };
        if let Some(forward) = dispatch.relay(MediaSocket(id), from, &mut packet, now) {
            self.send(forward, packet.bytes(), &mut dispatch.counts);
        }
    }

    /// Has the kernel hand over what comes from one peer only, or from everybody again. What cannot be connected
    /// works as it is.
    pub(super) fn connect(&mut self, connect: Connect) {
        let number = usize::try_from(connect.socket.0);
        let Some(bound) = number.ok().and_then(|number| self.sockets.get_mut(number)) else {
            return;
        };
        if let Err(error) = bound.connect(connect.peer) {
            let socket = connect.socket.0;
            tracing::warn!(socket, peer = ?connect.peer, %error, "a media socket does not connect or disconnect");
        }
    }

    /// Sends a packet from the socket that is named.
    pub(super) fn send(&self, forward: Forward, packet: &[u8], counts: &mut NetGauges) {
        let socket = usize::try_from(forward.socket.0)
            .ok()
            .and_then(|number| self.sockets.get(number));
        match socket.map(|socket| socket.send(packet, forward.to)) {
            Some(Ok(_)) => counts.media_packets_sent += 1,
            Some(Err(_)) | None => counts.media_send_drops += 1,
        }
    }
}

impl Bound {
    fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<usize> {
        if self.peer != Some(to) {
            return self.socket.send_to(packet, to);
        }
        match self.socket.send(packet) {
            // What an ICMP message about an earlier packet left on the socket; this one was not tried.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(packet)
            }
            sent_or_failed => sent_or_failed,
        }
    }

    fn connect(&mut self, peer: Option<SocketAddr>) -> io::Result<()> {
        let Some(peer) = peer else {
            if self.peer.is_some() {
                sys::disconnect(self.socket.as_fd())?;
                self.peer = None;
            }
            return Ok(());
        };
        // A connected socket has one address of this machine; one that is bound to all keeps them. And Linux does
        // not quite disconnect one of IPv6: it goes on to hear its former peer's address alone.
        let here = self.socket.local_addr()?.ip();
        if here.is_ipv4() && !here.is_unspecified() {
            self.socket.connect(peer)?;
            self.peer = Some(peer);
        }
        Ok(())
    }
}

/// How many pairs a turn binds of those that are wanted. A turn without other work binds many: no call waits
/// for it. In one that has work it is the more the fewer are left, so that calls do not use them up
/// faster than new ones come.
pub(super) fn pairs_in_turn(wanted: usize, has_work: bool) -> usize {
    match has_work {
        true => wanted.div_ceil(WANTED_PER_PAIR).min(PAIRS_PER_TURN),
        false => wanted.min(PAIRS_PER_TURN),
    }
}

/// A shard's RTP ports, step 2: an even start, an odd port after each, no port in two slices.
fn slice(ports: &RangeInclusive<u16>, shard: u8, shards: u8) -> Range<u32> {
    let first = u32::from(*ports.start()).next_multiple_of(2);
    let end = u32::from(*ports.end()) + 1;
    let pairs = end.saturating_sub(first) / 2;
    let shards = u32::from(shards.max(1));
    let pair = |shard: u32| first + 2 * (pairs * shard / shards);
    pair(u32::from(shard))..pair(u32::from(shard) + 1)
}

fn bind(address: IpAddr, port: u16, dscp: Dscp) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    mark(&socket, address.is_ipv6(), dscp);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn is_out_of_sockets(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::marking::tests::traffic_class;

    #[test]
    fn media_sockets_are_marked() {
        for place in ["127.0.0.1", "::1"] {
            match bind(place.parse().unwrap(), 0, Dscp::EF) {
                Ok(socket) => assert_eq!(traffic_class(&socket), 0xb8),
                Err(_) => println!("no {place} on this machine"),
            }
        }
    }

    /// Bound to a port that it asks for: one that the kernel chose goes when the socket is disconnected.
    fn bound(address: &str) -> Bound {
        let address: IpAddr = address.parse().unwrap();
        loop {
            let chosen = UdpSocket::bind((address, 0)).unwrap();
            let at = chosen.local_addr().unwrap();
            drop(chosen);
            if let Ok(socket) = UdpSocket::bind(at) {
                return Bound { socket, peer: None };
            }
        }
    }

    #[test]
    fn a_connected_socket_hears_its_peer_alone_until_it_is_disconnected() {
        let mut ours = bound("127.0.0.1");
        let [peer, neighbour, stranger] = ["127.0.0.2:0", "127.0.0.2:0", "127.0.0.3:0"]
            .map(|place| UdpSocket::bind(place).unwrap());
        let [here, there] = [&ours.socket, &peer].map(|socket| socket.local_addr().unwrap());
        ours.connect(Some(there)).unwrap();
        // Loopback delivers before `send_to` returns; nobody hears the first two.
        for other in [&neighbour, &stranger] {
            other.send_to(b"other", here).unwrap();
        }
        peer.send_to(b"peer", here).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(ours.socket.recv_from(&mut buffer).unwrap(), (4, there));
        ours.send(b"to peer", there).unwrap();
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (7, here));
        ours.connect(None).unwrap();
        assert_eq!(ours.socket.local_addr().unwrap(), here);
        for other in [&neighbour, &stranger] {
            other.send_to(b"other", here).unwrap();
            let from = other.local_addr().unwrap();
            assert_eq!(ours.socket.recv_from(&mut buffer).unwrap(), (5, from));
            ours.send(b"to other", from).unwrap();
            assert_eq!(other.recv_from(&mut buffer).unwrap(), (8, here));
        }
    }

    #[test]
    fn a_packet_is_sent_after_one_that_nobody_was_there_for() {
        // Nobody else binds a port of this address.
        let gone = UdpSocket::bind("127.0.0.77:0").unwrap();
        let there = gone.local_addr().unwrap();
        drop(gone);
        let mut ours = bound("127.0.0.1");
        ours.connect(Some(there)).unwrap();
        ours.send(b"nobody", there).unwrap();
        let back = UdpSocket::bind(there).unwrap();
        ours.send(b"somebody", there).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(back.recv(&mut buffer).unwrap(), 8);
    }

    #[test]
    fn a_socket_of_all_addresses_or_of_ipv6_is_not_connected() {
        for (address, peer) in [("0.0.0.0", "127.0.0.1:9"), ("::1", "[::1]:9")] {
            let Ok(socket) = UdpSocket::bind((address, 0)) else {
                println!("no {address} on this machine");
                continue;
            };
            let mut ours = Bound { socket, peer: None };
            ours.connect(Some(peer.parse().unwrap())).unwrap();
            assert_eq!(ours.peer, None);
            assert!(ours.socket.peer_addr().is_err());
        }
    }

    #[test]
    fn a_busy_turn_binds_the_more_pairs_the_fewer_are_left() {
        for (wanted, idle, busy) in [
            (0, 0, 0),
            (1, 1, 1),
            (16, 16, 1),
            (17, 17, 2),
            (256, 32, 16),
            (512, 32, 32),
            (10_000, 32, 32),
        ] {
            assert_eq!(pairs_in_turn(wanted, false), idle);
            assert_eq!(pairs_in_turn(wanted, true), busy);
        }
    }

    #[test]
    fn slices_are_even_disjoint_and_cover_the_range() {
        for (ports, expected_pairs) in [
            (20_000..=29_999, 5_000),
            (20_001..=29_999, 4_999),
            (20_000..=29_998, 4_999),
            (1..=2, 0),
            (2..=2, 0),
            (65_534..=65_535, 1),
            (1_024..=65_535, 32_256),
        ] {
            for shards in [1, 2, 3, 64] {
                let mut rtp_ports = Vec::new();
                for shard in 0..shards {
                    rtp_ports.extend(slice(&ports, shard, shards).step_by(2));
                }
                assert_eq!(rtp_ports.len(), expected_pairs, "{ports:?} {shards}");
                assert!(rtp_ports.is_sorted_by(|a, b| a < b));
                for port in rtp_ports {
                    assert_eq!(port % 2, 0);
                    assert!(port >= u32::from(*ports.start()));
                    assert!(port < u32::from(*ports.end()));
                }
            }
        }
    }
}
