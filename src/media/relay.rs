//! The table of a shard's media sockets, and the path of a packet through it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::connected::Connect;
use super::counters::{DropReason, MediaCounters, StreamCounters};
use super::packet::{is_rtcp, is_rtp, is_rtp_whole, is_udptl, looks_like_rtcp};
use super::ports::{FreePorts, PORT_REST};
use super::protection::Keys;
use super::reception::{Plausibility, Reception, RtpHeader};
use super::reports::Reports;
use super::rtcp::Compound;
use super::stream::{Incoming, Latch, Recognition, Source, Stream};
use super::{
    Datagram, Endpoint, EndpointId, Forward, MediaPort, MediaSocket, Peer, Protection, Trust,
};
use crate::instant::Instant;

/// RTCP packets a second of one stream that are passed on at most; reports come every few seconds.
const RTCP_PACKETS_MAX: u16 = 50;

/// How media is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A released port rests for so long at least before it is allocated again.
    pub rest: Duration,
    /// Packets a second of one stream that are passed on at most.
    pub packets_max: u16,
    /// Where a peer may be.
    pub trust: Trust,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rest: PORT_REST,
            packets_max: 500,
            trust: Trust::Signalling,
        }
    }
}

/// All media sockets of one shard.
///
/// An [`EndpointId`] that has been released does nothing and counts nothing, wherever it is passed.
#[derive(Debug)]
pub struct Media {
    rules: Rules,
    /// By [`MediaSocket`].
    pub(super) streams: Vec<Stream>,
    /// By [`MediaSocket`].
    pub(super) incoming: Vec<Incoming>,
    /// By [`MediaSocket`].
    sources: Vec<Source>,
    /// What comes of RTP, by half the RTP socket's number.
    pub(super) receptions: Vec<Reception>,
    /// What RTCP says, by half the RTP socket's number.
    pub(super) reports: Vec<Reports>,
    /// By half the RTP socket's number; `None` where no port was added for the number.
    pairs: Vec<Option<Pair>>,
    ports_total: usize,
    free: FreePorts,
    totals: MediaCounters,
    pub(super) connects: VecDeque<Connect>,
}

#[derive(Debug)]
pub(super) struct Pair {
    advertise: SocketAddr,
    /// Counts the releases: tells the pair's occupants apart.
    generation: u32,
    allocated: bool,
    /// Where the leg speaks SRTP.
    pub(super) keys: Option<Box<Keys>>,
    /// By payload type of what is received: what the other leg calls it.
    translation: Option<Box<[u8; 128]>>,
}

/// What a packet is, whichever socket it came on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Rtp,
    Rtcp,
    Udptl,
}

impl Default for Media {
    fn default() -> Self {
        Self::new(Rules::default())
    }
}

impl Media {
    /// No ports yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            streams: Vec::new(),
            incoming: Vec::new(),
            sources: Vec::new(),
            receptions: Vec::new(),
            reports: Vec::new(),
            pairs: Vec::new(),
            ports_total: 0,
            free: FreePorts::new(rules.rest),
            totals: MediaCounters::default(),
            connects: VecDeque::new(),
        }
    }

    /// A bound pair becomes available. A pair that is already known stays as it is.
    pub fn add_port(&mut self, port: MediaPort) {
        let index = pair_index(port.socket);
        if index >= self.pairs.len() {
            self.pairs.resize_with(index + 1, || None);
            self.streams.resize_with(2 * index + 2, || Stream::FREE);
            self.incoming.resize(2 * index + 2, Incoming::default());
            self.sources.resize(2 * index + 2, Source::default());
            self.receptions.resize_with(index + 1, Reception::default);
            self.reports.resize_with(index + 1, Reports::default);
        }
        let Some(slot @ None) = self.pairs.get_mut(index) else {
            return;
        };
        *slot = Some(Pair {
            advertise: port.advertise,
            generation: 0,
            allocated: false,
            keys: None,
            translation: None,
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
    pub fn join(&mut self, a: EndpointId, b: EndpointId) {
        if self.pair(a).is_none() || self.pair(b).is_none() {
            return;
        }
        for (a, b) in sockets(a).into_iter().zip(sockets(b)) {
            self.part(a);
            self.part(b);
            self.set_partner(a, b);
            self.set_partner(b, a);
        }
        for id in [a, b] {
            self.forget_own(id);
        }
    }

    /// Somebody new is at the endpoint: nothing is known of it but where its signalling comes from.
    pub fn meet(&mut self, id: EndpointId, signalling: IpAddr, now: Instant) {
        let Some(pair) = self.pair_mut(id) else {
            return;
        };
        pair.keys = None;
        pair.translation = None;
        for socket in sockets(id) {
            self.unsettle(socket);
            if let Some((stream, source)) = self.socket(socket) {
                stream.meet(source, signalling, now);
            }
        }
        self.begin_reception(id);
    }

    /// Of whoever is at the endpoint now nothing has come yet.
    fn begin_reception(&mut self, id: EndpointId) {
        let [rtp, _] = sockets(id);
        let received = self.incoming.get(index(rtp)).map(|one| one.received);
        if let Some(reception) = self.receptions.get_mut(pair_index(rtp)) {
            *reception = Reception::default();
        }
        if let Some(reports) = self.reports.get_mut(pair_index(rtp)) {
            *reports = Reports::meet(received.unwrap_or_default());
        }
    }

    /// What an offer or an answer of the endpoint's peer says. Packets go to where it wants them until the
    /// peer's first packet shows where it really is. When the address is another one than before, what was
    /// latched is forgotten. An address that is the endpoint's own or its partner's is none.
    pub fn expect(&mut self, id: EndpointId, peer: &Peer, now: Instant) {
        if self.pair(id).is_none() {
            return;
        }
        let [rtp, rtcp] = sockets(id);
        if let Some(reception) = self.receptions.get_mut(pair_index(rtp)) {
            reception.expect_change();
        }
        for (socket, to) in [(rtp, peer.rtp), (rtcp, peer.rtcp)] {
            let to = to.filter(|to| !self.is_own(id, *to));
            self.unsettle(socket);
            if let Some((stream, source)) = self.socket(socket) {
                let about = (is_rtcp_socket(socket), now);
                stream.expect(source, to, peer.signalling, about);
                stream.kind.is_udptl = peer.is_udptl;
                stream.kind.is_muxed = peer.rtcp_mux && !peer.is_udptl;
            }
        }
    }

    /// Whether an address is the endpoint's own or its partner's: what is sent there would come back for ever.
    fn is_own(&self, id: EndpointId, to: SocketAddr) -> bool {
        let [rtp, _] = sockets(id);
        let partner = self.streams.get(index(rtp)).and_then(|it| it.partner);
        let pairs = [Some(rtp), partner].into_iter().flatten();
        pairs.map(pair_index).any(|pair| {
            let pair = self.pairs.get(pair).and_then(Option::as_ref);
            pair.is_some_and(|Pair { advertise, .. }| {
                let is_port = advertise.port() == to.port() & !1;
                is_port && advertise.ip() == to.ip().to_canonical()
            })
        })
    }

    /// Forgets what SDP has said of where the peer is, where that is at the partner's port.
    fn forget_own(&mut self, id: EndpointId) {
        for socket in sockets(id) {
            let stream = self.streams.get(index(socket));
            let expected = stream.filter(|stream| stream.latch == Latch::Expected);
            if !expected.is_some_and(|stream| self.is_own(id, stream.remote)) {
                continue;
            }
            self.unsettle(socket);
            if let Some((stream, source)) = self.socket(socket) {
                stream.forget(source);
            }
        }
    }

    /// What protects the endpoint's packets from now on, both ways.
    pub fn protect(&mut self, id: EndpointId, protection: &Protection<'_>) {
        let is_secure = *protection != Protection::None;
        let Some(pair) = self.pair_mut(id) else {
            return;
        };
        match protection {
            // The keys stay: what has been numbered under one of them must not be numbered anew.
            Protection::None => {}
            Protection::Awaited | Protection::Agreed { .. } => {
                pair.keys.get_or_insert_default().agree(protection);
            }
        }
        for socket in sockets(id) {
            self.unsettle(socket);
            if let Some((stream, _)) = self.socket(socket) {
                stream.kind.is_secure = is_secure;
            }
        }
    }

    /// Payload types of what the endpoint receives that the other leg knows by another number: from, to.
    pub fn translate(&mut self, id: EndpointId, numbers: impl IntoIterator<Item = (u8, u8)>) {
        let mut table: Option<Box<[u8; 128]>> = None;
        for (from, to) in numbers {
            let table = table.get_or_insert_with(|| Box::new(std::array::from_fn(|at| at as u8)));
            if let Some(entry) = table.get_mut(usize::from(from)) {
                *entry = to & 0x7f;
            }
        }
        let is_translated = table.is_some();
        let Some(pair) = self.pair_mut(id) else {
            return;
        };
        pair.translation = table;
        if let Some((stream, _)) = self.socket(sockets(id)[0]) {
            stream.kind.is_translated = is_translated;
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
        pair.keys = None;
        pair.translation = None;
        let ipv6 = pair.advertise.is_ipv6();
        for socket in sockets(id) {
            self.part(socket);
            self.put(socket, Stream::FREE);
        }
        self.begin_reception(id);
        self.free.release(id.pair, ipv6, now);
        counters
    }

    /// What the endpoint has received and sent since it was allocated.
    pub fn counters(&self, id: EndpointId) -> StreamCounters {
        if self.pair(id).is_none() {
            return StreamCounters::default();
        }
        let [rtp, rtcp] = sockets(id);
        let received = |socket| self.incoming.get(index(socket)).map(|one| one.received);
        let sent = |socket| self.streams.get(index(socket)).map(|stream| stream.sent);
        let mut counters = StreamCounters {
            rtp: received(rtp).unwrap_or_default(),
            rtcp: received(rtcp).unwrap_or_default(),
            rtp_sent: sent(rtp).unwrap_or_default(),
            rtcp_sent: sent(rtcp).unwrap_or_default(),
            ..StreamCounters::default()
        };
        for source in [rtp, rtcp].map(|socket| self.sources.get(index(socket))) {
            counters.dropped =
                counters.dropped + source.map(|source| source.dropped).unwrap_or_default();
        }
        counters
    }

    /// What all sockets have received since the start.
    pub fn totals(&self) -> MediaCounters {
        self.totals
    }

    /// Where a packet that `socket` received goes, made ready for there; `None` for a (counted) drop.
    ///
    /// SDP's word counts first, and its address is believed at once. A peer behind a translator shows where it
    /// is by its first packet, from the address that its signalling came from or from another port of SDP's
    /// ([`Trust`]); nobody else is believed then, until a new offer or answer. RTP and RTCP latch separately. A
    /// leg with keys is where a packet of its key comes from, and no other packet counts.
    #[inline]
    pub fn relay(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Option<Forward> {
        match self.route(socket, from, packet, now) {
            Ok(forward) => {
                self.totals.relayed.count(packet.length);
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
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Result<Forward, DropReason> {
        let stream = match self.streams.get(index(socket)) {
            Some(stream) if stream.latch != Latch::Free => stream,
            Some(_) | None => return Err(DropReason::FreePort),
        };
        let kind = stream.kind;
        let is_latched = stream.is_latched_on(from);
        let content = content(socket, stream, packet.bytes()).ok_or(DropReason::Malformed)?;
        let recognition = match is_latched {
            true => Recognition::Peer,
            false => self.recognise(socket, from, now)?,
        };
        let is_of_former = kind.is_secure
            && content != Content::Udptl
            && self.unprotect(socket, packet, content)?;
        if content == Content::Rtcp {
            let compound = Compound::read(packet.bytes());
            compound.map_err(|_| DropReason::Malformed)?;
        }
        if !is_latched && recognition != Recognition::Straggler && !is_of_former {
            self.latch_on(socket, from);
        }
        match content {
            Content::Rtcp => return self.pass_rtcp(rtcp_of(socket), packet, now),
            Content::Rtp => self.receive(socket, packet, now)?,
            Content::Udptl => {}
        }
        self.count(socket, packet, self.rules.packets_max, now)?;
        if kind.is_translated && content == Content::Rtp {
            self.translate_packet(socket, packet);
        }
        self.send(socket, content, packet)
    }

    /// RTP in the clear: whether it belongs to its stream.
    #[inline]
    fn receive(
        &mut self,
        socket: MediaSocket,
        packet: &Datagram<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let header = RtpHeader::read(packet.bytes()).ok_or(DropReason::Malformed)?;
        let pair = pair_index(socket);
        let reception = self.receptions.get_mut(pair);
        let reception = reception.ok_or(DropReason::FreePort)?;
        let clock_rate = match reception.clock_of(header.payload_type) {
            Some(clock_rate) => clock_rate,
            None => {
                let reports = self.reports.get_mut(pair);
                reports.map_or(0, |reports| reports.look_up(header.payload_type))
            }
        };
        match reception.receive(header, now, clock_rate) {
            Plausibility::Plausible | Plausibility::Duplicate => Ok(()),
            Plausibility::Implausible => Err(DropReason::Implausible),
        }
    }

    /// A whole RTCP packet in the clear; `arrived` is the pair's RTCP socket, wherever it came.
    fn pass_rtcp(
        &mut self,
        arrived: MediaSocket,
        packet: &mut Datagram<'_>,
        now: Instant,
    ) -> Result<Forward, DropReason> {
        self.count(arrived, packet, RTCP_PACKETS_MAX, now)?;
        let compound = Compound::read(packet.bytes()).map_err(|_| DropReason::Malformed)?;
        let stamp = self.hear_reports(arrived, compound, now);
        self.renumber(arrived, packet.bytes_mut());
        let forward = self.send(arrived, Content::Rtcp, packet)?;
        let to = self.reports.get_mut(pair_index(forward.socket));
        if let (Some(to), Some(stamp)) = (to, stamp) {
            to.sender_report_passed(stamp, now);
        }
        Ok(forward)
    }

    /// Counts a packet that the peer has sent, unless there are too many.
    #[inline]
    fn count(
        &mut self,
        arrived: MediaSocket,
        packet: &Datagram<'_>,
        packets_max: u16,
        now: Instant,
    ) -> Result<(), DropReason> {
        let incoming = (self.incoming.get_mut(index(arrived))).ok_or(DropReason::FreePort)?;
        if !incoming.admits(now, packets_max) {
            return Err(DropReason::TooMany);
        }
        incoming.received.count(packet.length);
        Ok(())
    }

    /// Makes a packet ready for the other leg.
    #[inline]
    pub(super) fn send(
        &mut self,
        arrived: MediaSocket,
        content: Content,
        packet: &mut Datagram<'_>,
    ) -> Result<Forward, DropReason> {
        let partner = self.streams.get(index(arrived)).and_then(|it| it.partner);
        let partner = partner.ok_or(DropReason::NoDestination)?;
        let stream = (self.streams.get(index(partner))).ok_or(DropReason::NoDestination)?;
        // What one end means by a packet of another kind the other cannot know.
        if (content == Content::Udptl) != stream.kind.is_udptl {
            return Err(DropReason::NoDestination);
        }
        let leaves = match content == Content::Rtcp && stream.kind.is_muxed {
            true => rtp_of(partner),
            false => partner,
        };
        let to = match leaves == partner {
            true => stream.destination(),
            false => self
                .streams
                .get(index(leaves))
                .and_then(Stream::destination),
        };
        let to = to.ok_or(DropReason::NoDestination)?;
        // Without what protects it, as what is received is counted.
        let length = packet.length;
        if stream.kind.is_secure && content != Content::Udptl {
            let keys = self.keys(partner).ok_or(DropReason::NoDestination)?;
            let is_rtcp = content == Content::Rtcp;
            packet.length = keys.protect(packet.buffer, packet.length, is_rtcp)?;
        }
        if let Some(stream) = self.streams.get_mut(index(partner)) {
            stream.sent.count(length);
        }
        Ok(Forward { socket: leaves, to })
    }

    #[cold]
    fn recognise(
        &mut self,
        socket: MediaSocket,
        from: SocketAddr,
        now: Instant,
    ) -> Result<Recognition, DropReason> {
        let trust = self.rules.trust;
        let (stream, source) = self.socket(socket).ok_or(DropReason::FreePort)?;
        match stream.recognise(source, from, trust, now) {
            Recognition::Stranger => Err(DropReason::ForeignSource),
            known @ (Recognition::Peer | Recognition::IfAuthentic | Recognition::Straggler) => {
                Ok(known)
            }
        }
    }

    #[cold]
    fn latch_on(&mut self, socket: MediaSocket, from: SocketAddr) {
        if let Some((stream, source)) = self.socket(socket) {
            stream.latch_on(source, from);
        }
    }

    /// Whether it was the key before the present one that opened it.
    fn unprotect(
        &mut self,
        socket: MediaSocket,
        packet: &mut Datagram<'_>,
        content: Content,
    ) -> Result<bool, DropReason> {
        let keys = self.keys(socket).ok_or(DropReason::NotAuthentic)?;
        let is_rtcp = content == Content::Rtcp;
        let (length, is_of_former) = keys.unprotect(packet.bytes_mut(), is_rtcp)?;
        packet.length = length;
        let is_whole = match content {
            Content::Rtp => is_rtp_whole(packet.bytes()),
            // It is read as a whole anyway.
            Content::Rtcp | Content::Udptl => true,
        };
        is_whole
            .then_some(is_of_former)
            .ok_or(DropReason::Malformed)
    }

    fn translate_packet(&self, socket: MediaSocket, packet: &mut Datagram<'_>) {
        let pair = self.pairs.get(pair_index(socket)).and_then(Option::as_ref);
        let Some(table) = pair.and_then(|pair| pair.translation.as_ref()) else {
            return;
        };
        if let Some(byte) = packet.bytes_mut().get_mut(1)
            && let Some(number) = table.get(usize::from(*byte & 0x7f))
        {
            *byte = (*byte & 0x80) | number;
        }
    }

    #[cold]
    fn count_drop(&mut self, socket: MediaSocket, reason: DropReason) {
        if let Some(source) = self.sources.get_mut(index(socket)) {
            reason.count(&mut source.dropped);
        }
        reason.count(&mut self.totals.dropped);
        if reason == DropReason::FreePort {
            self.totals.free_port += 1;
        }
    }

    pub(super) fn keys(&mut self, socket: MediaSocket) -> Option<&mut Keys> {
        let pair = self.pairs.get_mut(pair_index(socket))?.as_mut()?;
        pair.keys.as_deref_mut()
    }

    pub(super) fn pair(&self, id: EndpointId) -> Option<&Pair> {
        let pair = self.pairs.get(id.pair as usize)?.as_ref()?;
        (pair.allocated && pair.generation == id.generation).then_some(pair)
    }

    fn pair_mut(&mut self, id: EndpointId) -> Option<&mut Pair> {
        let pair = self.pairs.get_mut(id.pair as usize)?.as_mut()?;
        (pair.allocated && pair.generation == id.generation).then_some(pair)
    }

    pub(super) fn socket(&mut self, socket: MediaSocket) -> Option<(&mut Stream, &mut Source)> {
        let stream = self.streams.get_mut(index(socket))?;
        let source = self.sources.get_mut(index(socket))?;
        Some((stream, source))
    }

    fn put(&mut self, socket: MediaSocket, value: Stream) {
        self.unsettle(socket);
        if let Some((stream, source)) = self.socket(socket) {
            *stream = value;
            *source = Source::default();
        }
        if let Some(incoming) = self.incoming.get_mut(index(socket)) {
            *incoming = Incoming::default();
        }
    }

    fn set_partner(&mut self, from: MediaSocket, to: MediaSocket) {
        if let Some(stream) = self.streams.get_mut(index(from)) {
            stream.partner = Some(to);
        }
    }

    /// Parts a socket and its partner: a partner always points back.
    fn part(&mut self, socket: MediaSocket) {
        let partner = self
            .streams
            .get_mut(index(socket))
            .and_then(|stream| stream.partner.take());
        if let Some(stream) = partner.and_then(|partner| self.streams.get_mut(index(partner))) {
            stream.partner = None;
        }
    }
}

/// What a plausible packet is. The clear parts of SRTP and SRTCP are those of RTP and RTCP; that the rest of an
/// RTCP packet is what it says is seen once it is in the clear.
#[inline]
fn content(socket: MediaSocket, stream: &Stream, packet: &[u8]) -> Option<Content> {
    let kind = stream.kind;
    if kind.is_udptl {
        return (!is_rtcp_socket(socket) && is_udptl(packet)).then_some(Content::Udptl);
    }
    // RFC 5761 §4
    if is_rtcp_socket(socket) || (kind.is_muxed && looks_like_rtcp(packet)) {
        return is_rtcp(packet).then_some(Content::Rtcp);
    }
    let is_plausible = match kind.is_secure {
        true => is_rtp(packet),
        false => is_rtp_whole(packet),
    };
    is_plausible.then_some(Content::Rtp)
}

/// The endpoint's RTP and RTCP socket.
pub(super) fn sockets(id: EndpointId) -> [MediaSocket; 2] {
    [MediaSocket(id.pair * 2), MediaSocket(id.pair * 2 + 1)]
}

#[inline]
fn rtp_of(socket: MediaSocket) -> MediaSocket {
    MediaSocket(socket.0 & !1)
}

#[inline]
pub(super) fn rtcp_of(socket: MediaSocket) -> MediaSocket {
    MediaSocket(socket.0 | 1)
}

#[inline]
fn is_rtcp_socket(socket: MediaSocket) -> bool {
    socket.0 % 2 == 1
}

#[inline]
pub(super) fn index(socket: MediaSocket) -> usize {
    socket.0 as usize
}

pub(super) fn pair_index(socket: MediaSocket) -> usize {
    socket.0 as usize / 2
}
