//! The table of a shard's media sockets, and the path of a packet through it.

use std::net::SocketAddr;
use std::time::Duration;

use super::counters::{DropReason, MediaCounters, StreamCounters};
use super::packet::{is_rtcp, is_rtp};
use super::ports::{FreePorts, PORT_REST};
use super::stream::{Latch, Source, Stream};
use super::{Endpoint, EndpointId, Forward, MediaPort, MediaSocket};
use crate::instant::Instant;

/// All media sockets of one shard.
///
/// An [`EndpointId`] that has been released does nothing and counts nothing, wherever it is passed.
#[derive(Debug)]
pub struct Media {
    /// By [`MediaSocket`].
    streams: Vec<Stream>,
    /// By [`MediaSocket`].
    sources: Vec<Source>,
    /// By half the RTP socket's number; `None` where no port was added for the number.
    pairs: Vec<Option<Pair>>,
    ports_total: usize,
    free: FreePorts,
    totals: MediaCounters,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    advertise: SocketAddr,
    /// Counts the releases: tells the pair's occupants apart.
    generation: u32,
    allocated: bool,
}

impl Default for Media {
    fn default() -> Self {
        Self::new(PORT_REST)
    }
}

impl Media {
    /// No ports yet; a released port will rest for `rest` at least before it is allocated again.
    pub fn new(rest: Duration) -> Self {
        Self {
            streams: Vec::new(),
            sources: Vec::new(),
            pairs: Vec::new(),
            ports_total: 0,
            free: FreePorts::new(rest),
            totals: MediaCounters::default(),
        }
    }

    /// A bound pair becomes available. A pair that is already known stays as it is.
    pub fn add_port(&mut self, port: MediaPort) {
        let index = pair_index(port.socket);
        if index >= self.pairs.len() {
            self.pairs.resize(index + 1, None);
            self.streams.resize_with(2 * index + 2, || Stream::FREE);
            self.sources.resize(2 * index + 2, Source::default());
        }
        let Some(slot @ None) = self.pairs.get_mut(index) else {
            return;
        };
        *slot = Some(Pair {
            advertise: port.advertise,
            generation: 0,
            allocated: false,
        });
        self.ports_total += 1;
        self.free.add(port.socket.0 / 2, port.advertise.is_ipv6());
    }

    /// Pairs that belong to no call, resting ones included.
    pub fn ports_free(&self) -> usize {
        self.free.len()
    }

    /// Whether there are pairs of the address family, free or not.
    pub fn serves(&self, ipv6: bool) -> bool {
        self.free.serves(ipv6)
    }

    /// Pairs that could be allocated at `now`, free and rested since their last call, of the address
    /// family that has fewest.
    pub fn ports_ready(&self, now: Instant) -> usize {
        self.free.ready(now)
    }

    /// Pairs that were added.
    pub fn ports_total(&self) -> usize {
        self.ports_total
    }

    /// Pairs that are allocated.
    pub fn ports_in_use(&self) -> usize {
        self.ports_total - self.free.len()
    }

    /// Allocates the pair of the address family that was released longest ago; `None` where there is
    /// none, or where even that one still rests.
    pub fn allocate(&mut self, ipv6: bool, now: Instant) -> Option<Endpoint> {
        let number = self.free.take(ipv6, now)?;
        let pair = self.pairs.get_mut(number as usize)?.as_mut()?;
        pair.allocated = true;
        let id = EndpointId {
            pair: number,
            generation: pair.generation,
        };
        let advertise = pair.advertise;
        for socket in sockets(id) {
            self.put(socket, Stream::ALLOCATED);
        }
        Some(Endpoint { id, advertise })
    }

    /// Joins two endpoints: packets received on one leave from the other. Whatever they were joined to
    /// before is not joined to anything afterwards.
    pub fn connect(&mut self, a: EndpointId, b: EndpointId) {
        if self.pair(a).is_none() || self.pair(b).is_none() {
            return;
        }
        for (a, b) in sockets(a).into_iter().zip(sockets(b)) {
            self.disconnect(a);
            self.disconnect(b);
            self.join(a, b);
            self.join(b, a);
        }
    }

    /// The SDP of the endpoint's peer says where it wants its media; `None` where it does not say so in
    /// a usable way. Packets go there until the peer's first packet shows where it really is. When the
    /// address is another one than before, what was latched is forgotten.
    pub fn expect(&mut self, id: EndpointId, rtp: Option<SocketAddr>, rtcp: Option<SocketAddr>) {
        if self.pair(id).is_none() {
            return;
        }
        let [rtp_socket, rtcp_socket] = sockets(id);
        for (socket, to) in [(rtp_socket, rtp), (rtcp_socket, rtcp)] {
            if let Some((stream, source)) = self.socket(socket) {
                stream.expect(source, to, is_rtcp_socket(socket));
            }
        }
    }

    /// Gives the pair back, and says what it had received.
    pub fn release(&mut self, id: EndpointId, now: Instant) -> StreamCounters {
        let counters = self.counters(id);
        let Some(pair) = self.pair_mut(id) else {
            return counters;
        };
        pair.allocated = false;
        pair.generation = pair.generation.wrapping_add(1);
        let ipv6 = pair.advertise.is_ipv6();
        for socket in sockets(id) {
            self.disconnect(socket);
            self.put(socket, Stream::FREE);
        }
        self.free.release(id.pair, ipv6, now);
        counters
    }

    /// What the endpoint has received since it was allocated.
    pub fn counters(&self, id: EndpointId) -> StreamCounters {
        let mut counters = StreamCounters::default();
        if self.pair(id).is_none() {
            return counters;
        }
        let [rtp, rtcp] = sockets(id);
        if let Some(stream) = self.streams.get(index(rtp)) {
            counters.rtp = stream.received;
        }
        if let Some(stream) = self.streams.get(index(rtcp)) {
            counters.rtcp = stream.received;
        }
        for source in [rtp, rtcp].map(|socket| self.sources.get(index(socket))) {
            counters.dropped += source.map(|source| source.dropped).unwrap_or_default();
        }
        counters
    }

    /// What all sockets have received since the start.
    pub fn totals(&self) -> MediaCounters {
        self.totals
    }

    /// Where a packet that `socket` received goes, unchanged; `None` for a (counted) drop.
    ///
    /// The first plausible packet after allocation, or after SDP moved the peer, latches its source:
    /// the peer's packets are those from there, and packets for the peer go there. RTP and RTCP latch
    /// separately. A packet from exactly the address that SDP says takes the latch over from a source
    /// that only came first.
    #[inline]
    pub fn relay(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        packet: &[u8],
    ) -> Option<Forward> {
        match self.route(socket, from, packet) {
            Ok(forward) => {
                self.totals.relayed.count(packet.len());
                Some(forward)
            }
            Err(reason) => {
                self.count_drop(socket, reason);
                None
            }
        }
    }

    #[inline]
    fn route(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        packet: &[u8],
    ) -> Result<Forward, DropReason> {
        let stream = match self.streams.get_mut(index(socket)) {
            Some(stream) if stream.latch != Latch::Free => stream,
            Some(_) | None => return Err(DropReason::FreePort),
        };
        let plausible = if is_rtcp_socket(socket) {
            is_rtcp(packet)
        } else {
            is_rtp(packet)
        };
        if !plausible {
            return Err(DropReason::Malformed);
        }
        if !stream.is_latched_on(from) {
            let source = self.sources.get_mut(index(socket));
            if !source.is_some_and(|source| stream.admit(source, from)) {
                return Err(DropReason::ForeignSource);
            }
        }
        stream.received.count(packet.len());
        let partner = stream.partner.ok_or(DropReason::NoDestination)?;
        let to = self
            .streams
            .get(index(partner))
            .and_then(Stream::destination)
            .ok_or(DropReason::NoDestination)?;
        Ok(Forward {
            socket: partner,
            to,
        })
    }

    #[cold]
    fn count_drop(&mut self, socket: MediaSocket, reason: DropReason) {
        let mut uncounted = super::Drops::default();
        let of_socket = match self.sources.get_mut(index(socket)) {
            Some(source) => &mut source.dropped,
            None => &mut uncounted,
        };
        for drops in [of_socket, &mut self.totals.dropped] {
            match reason {
                DropReason::FreePort => {}
                DropReason::Malformed => drops.malformed += 1,
                DropReason::ForeignSource => drops.foreign_source += 1,
                DropReason::NoDestination => drops.no_destination += 1,
            }
        }
        if reason == DropReason::FreePort {
            self.totals.free_port += 1;
        }
    }

    fn pair(&self, id: EndpointId) -> Option<&Pair> {
        let pair = self.pairs.get(id.pair as usize)?.as_ref()?;
        (pair.allocated && pair.generation == id.generation).then_some(pair)
    }

    fn pair_mut(&mut self, id: EndpointId) -> Option<&mut Pair> {
        let pair = self.pairs.get_mut(id.pair as usize)?.as_mut()?;
        (pair.allocated && pair.generation == id.generation).then_some(pair)
    }

    fn socket(&mut self, socket: MediaSocket) -> Option<(&mut Stream, &mut Source)> {
        let stream = self.streams.get_mut(index(socket))?;
        let source = self.sources.get_mut(index(socket))?;
        Some((stream, source))
    }

    fn put(&mut self, socket: MediaSocket, value: Stream) {
        if let Some((stream, source)) = self.socket(socket) {
            *stream = value;
            *source = Source::default();
        }
    }

    fn join(&mut self, from: MediaSocket, to: MediaSocket) {
        if let Some(stream) = self.streams.get_mut(index(from)) {
            stream.partner = Some(to);
        }
    }

    /// Parts a socket and its partner: a partner always points back.
    fn disconnect(&mut self, socket: MediaSocket) {
        let partner = self
            .streams
            .get_mut(index(socket))
            .and_then(|stream| stream.partner.take());
        if let Some(stream) = partner.and_then(|partner| self.streams.get_mut(index(partner))) {
            stream.partner = None;
        }
    }
}

/// The endpoint's RTP and RTCP socket.
fn sockets(id: EndpointId) -> [MediaSocket; 2] {
    [MediaSocket(id.pair * 2), MediaSocket(id.pair * 2 + 1)]
}

#[inline]
fn is_rtcp_socket(socket: MediaSocket) -> bool {
    socket.0 % 2 == 1
}

#[inline]
fn index(socket: MediaSocket) -> usize {
    socket.0 as usize
}

fn pair_index(socket: MediaSocket) -> usize {
    socket.0 as usize / 2
}
