//! RTP and RTCP between agents: each protects and opens its packets by its own description.

use std::net::SocketAddr;

use memchr::memmem;
use trunkline::media::Datagram;
use trunkline::media::srtp::{OVERHEAD_BYTES_MAX, Suite};
use trunkline::telemetry::CallsWanted;

use crate::cast::connector_id;
use crate::world::{CallRef, World};

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// RTP of this payload type.
    Rtp(u8),
    Rtcp,
    /// Fax.
    Udptl,
}

/// What has left the gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Arrived {
    /// Where it went.
    pub(crate) at: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What a voice says, so that it is known again.
const VOICE: &[u8] = b"nobody but the other side hears this";

impl Kind {
    /// PCMU.
    pub(crate) const AUDIO: Kind = Kind::Rtp(0);

    fn is_rtcp(self) -> bool {
        self == Kind::Rtcp
    }
}

impl World {
    /// An RTP packet from a call's agent; who received it, if anybody.
    pub(crate) fn send_rtp(&mut self, from: CallRef) -> Option<SocketAddr> {
        self.at_call(from).remote_media?;
        let packet = self.packet(from, Kind::AUDIO);
        let sealed = self.seal(from, &packet, Kind::AUDIO);
        Some(self.send_from(from, &sealed, Kind::AUDIO)?.at)
    }

    /// An RTP or RTCP packet in the clear between any addresses; where it went. `next` is 1 for RTCP.
    pub(crate) fn send_packet(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        next: u16,
    ) -> Option<SocketAddr> {
        let packet: &[u8] = match next {
            0 => &[0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4, 0xd5, 0xd5],
            _ => &[0x80, 201, 0, 1, 1, 2, 3, 4],
        };
        let to = SocketAddr::new(to.ip(), to.port() + next);
        Some(self.send_bytes(from, to, packet)?.at)
    }

    /// Bytes between any addresses, and what became of them.
    pub(crate) fn send_bytes(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Option<Arrived> {
        let (shard, socket) = *self
            .media
            .get(&to)
            .expect("media is sent to no port of ours");
        let connected = self.connected.get(&(shard, socket));
        if connected.is_some_and(|peer| *peer != from) {
            // The kernel does not hand it over.
            return None;
        }
        let mut buffer = bytes.to_vec();
        let length = buffer.len();
        buffer.resize(length + OVERHEAD_BYTES_MAX, 0);
        let mut packet = Datagram {
            buffer: &mut buffer,
            length,
        };
        let now = self.now;
        let forward = self.shards[shard].relay(socket, from, &mut packet, now)?;
        let length = packet.length;
        buffer.truncate(length);
        for agent in &mut self.agents {
            if agent.source.ip() == forward.to.ip() {
                let is_secret = agent.srtp.is_some_and(|srtp| srtp.is_required);
                assert!(
                    !is_secret || memmem::find(&buffer, VOICE).is_none(),
                    "in the clear to {}",
                    agent.mark
                );
                let calls = agent.calls.iter_mut();
                let calls = calls.filter(|call| call.media_port == forward.to.port());
                for call in calls {
                    call.packets += 1;
                }
            }
        }
        Some(Arrived {
            at: forward.to,
            bytes: buffer,
        })
    }

    /// What the gateway says that protects either leg of the one call that is up.
    pub(crate) fn protection(&self) -> [Option<Suite>; 2] {
        let wanted = CallsWanted {
            connectors: (0..=u8::MAX).map(connector_id).collect(),
            max: 2,
        };
        let shards = self.shards.iter();
        let calls = shards.flat_map(|shard| shard.live_calls(&wanted, self.now));
        let [call] = calls.collect::<Vec<_>>().try_into().expect("one call");
        [call.quality.a.srtp, call.quality.b.srtp]
    }

    /// The next packet of a call, in the clear.
    pub(crate) fn packet(&mut self, from: CallRef, kind: Kind) -> Vec<u8> {
        let call = &mut self.agents[from.agent].calls[from.call];
        call.sequence = call.sequence.wrapping_add(1);
        let number = call.sequence.to_be_bytes();
        let source = [from.agent as u8 + 1, 2, 3, from.call as u8];
        let head: Vec<u8> = match kind {
            Kind::Rtp(payload_type) => {
                let time = u32::from(call.sequence) * 160;
                let first = [0x80, payload_type, number[0], number[1]];
                [first, time.to_be_bytes(), source].concat()
            }
            // An APP packet: a report of some length.
            Kind::Rtcp => {
                let words = 2 + VOICE.len().div_ceil(4) as u8;
                [[0x80, 204, 0, words], source, *b"test"].concat()
            }
            Kind::Udptl => vec![number[0], number[1], 1],
        };
        [&head[..], VOICE].concat()
    }

    /// A packet as its agent sends it.
    pub(crate) fn seal(&mut self, from: CallRef, packet: &[u8], kind: Kind) -> Vec<u8> {
        let call = &mut self.agents[from.agent].calls[from.call];
        match kind {
            Kind::Udptl => packet.to_vec(),
            Kind::Rtp(_) | Kind::Rtcp => call.security.protect(packet, kind.is_rtcp(), false),
        }
    }

    /// The same by the keys that were agreed on before the last ones.
    pub(crate) fn seal_late(&mut self, from: CallRef, packet: &[u8]) -> Vec<u8> {
        let call = &mut self.agents[from.agent].calls[from.call];
        call.security.protect(packet, false, true)
    }

    /// Bytes from where a call's agent has its media to where the gateway wants them.
    pub(crate) fn send_from(&mut self, from: CallRef, bytes: &[u8], kind: Kind) -> Option<Arrived> {
        let source = self.agents[from.agent].source.ip();
        let call = self.at_call(from);
        let to = call.remote_media.expect("the gateway has said where");
        let next = u16::from(kind.is_rtcp() && !call.is_muxed);
        let source = SocketAddr::new(source, call.media_port + next);
        let to = SocketAddr::new(to.ip(), to.port() + next);
        self.send_bytes(source, to, bytes)
    }

    /// What a call's agent makes of what came: nothing where it is not for it, or not of its keys.
    pub(crate) fn open(&mut self, at: CallRef, arrived: &Arrived, kind: Kind) -> Option<Vec<u8>> {
        let ip = self.agents[at.agent].source.ip();
        let call = &mut self.agents[at.agent].calls[at.call];
        let next = u16::from(kind.is_rtcp() && !call.is_muxed);
        if arrived.at != SocketAddr::new(ip, call.media_port + next) {
            return None;
        }
        match kind {
            Kind::Udptl => Some(arrived.bytes.clone()),
            Kind::Rtp(_) | Kind::Rtcp => call.security.unprotect(&arrived.bytes, kind.is_rtcp()),
        }
    }

    /// What one says and the other hears: the packet as it was, but for its sequence number.
    pub(crate) fn is_heard(&mut self, from: CallRef, to: CallRef, kind: Kind) -> bool {
        let packet = self.packet(from, kind);
        let sealed = self.seal(from, &packet, kind);
        self.is_heard_as(from, to, &sealed, kind)
            .is_some_and(|heard| is_same(&heard, &packet, kind))
    }

    /// What the other makes of bytes from one.
    pub(crate) fn is_heard_as(
        &mut self,
        from: CallRef,
        to: CallRef,
        sealed: &[u8],
        kind: Kind,
    ) -> Option<Vec<u8>> {
        let arrived = self.send_from(from, sealed, kind)?;
        self.open(to, &arrived, kind)
    }

    /// RTP and RTCP both ways.
    pub(crate) fn assert_talk(&mut self, one: CallRef, other: CallRef) {
        for kind in [Kind::AUDIO, Kind::Rtcp, Kind::AUDIO] {
            assert!(self.is_heard(one, other, kind), "{kind:?} there");
            assert!(self.is_heard(other, one, kind), "{kind:?} back");
        }
    }
}

fn is_same(heard: &[u8], said: &[u8], kind: Kind) -> bool {
    match kind {
        // SRTP numbers anew where it has to.
        Kind::Rtp(_) => heard[..2] == said[..2] && heard[4..] == said[4..],
        Kind::Rtcp | Kind::Udptl => heard == said,
    }
}
