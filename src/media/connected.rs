//! Which sockets only ever hear one peer, so that the kernel may know it.
//!
//! A connected UDP socket costs the kernel less: the route to its peer is looked up once, and what comes from
//! elsewhere is refused before it is copied. So a socket is connected once nothing is left to be found out: plain
//! RTP, and the peer speaks from exactly where its SDP says. Whatever may change that (an offer that is answered,
//! another peer, the call's end) disconnects it before the next packet is read. Whether a socket can be connected at
//! all is for `net` to know.

use std::net::SocketAddr;

use super::relay::{Media, sockets};
use super::stream::Latch;
use super::{EndpointId, MediaSocket};

/// From whom a media socket hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect {
    /// The socket.
    pub socket: MediaSocket,
    /// From this peer only; `None`: from everybody again.
    pub peer: Option<SocketAddr>,
}

impl Media {
    /// Has the endpoint's RTP socket connected, if it is clear by now that nobody else will be heard there. RTCP
    /// comes too seldom to be worth it.
    pub fn settle(&mut self, id: EndpointId) {
        if self.pair(id).is_none() {
            return;
        }
        let [socket, _] = sockets(id);
        let Some((stream, source)) = self.socket(socket) else {
            return;
        };
        let is_plain = !stream.kind.is_secure && !stream.kind.is_udptl;
        let is_final = stream.latch == Latch::Latched && source.expects(stream.remote);
        if is_plain && is_final && !source.is_connected {
            source.is_connected = true;
            let peer = Some(stream.remote);
            self.connects.push_back(Connect { socket, peer });
        }
    }

    /// Has a socket disconnected that was connected.
    pub(super) fn unsettle(&mut self, socket: MediaSocket) {
        let Some((_, source)) = self.socket(socket) else {
            return;
        };
        if std::mem::take(&mut source.is_connected) {
            self.connects.push_back(Connect { socket, peer: None });
        }
    }

    /// The next socket to connect or disconnect: before another packet is read.
    pub fn poll_connect(&mut self) -> Option<Connect> {
        self.connects.pop_front()
    }
}
