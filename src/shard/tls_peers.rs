//! Whom TLS connections are opened to, as a snapshot's table: a flow names a place in it.

use std::sync::Arc;

use crate::config::{TlsPeer, TlsPeerId};

/// Peers that no route has any more and that are kept for calls which began when one had: the last ones.
const RETIRED_MAX: usize = 1_024;

/// Whom TLS connections are opened to: whoever routes name, and some that they named before. The number of a
/// place that was given up is not used again until 2³² peers later.
#[derive(Clone, Default, Debug)]
pub struct TlsPeers {
    peers: imbl::HashMap<TlsPeerId, Held>,
    ids: imbl::HashMap<Arc<TlsPeer>, TlsPeerId>,
    /// Peers without a use, the first to go in front.
    retired: imbl::Vector<TlsPeerId>,
    next: u32,
}

#[derive(Clone, Debug)]
struct Held {
    peer: Arc<TlsPeer>,
    /// Routes that name it.
    uses: usize,
}

impl TlsPeers {
    /// The peer's place, a new one where it has none, for one more route.
    pub fn intern(&mut self, peer: TlsPeer) -> TlsPeerId {
        if let Some(id) = self.ids.get(&peer).copied() {
            if let Some(held) = self.peers.get_mut(&id) {
                if held.uses == 0 {
                    self.retired.retain(|retired| *retired != id);
                }
                held.uses += 1;
            }
            return id;
        }
        let id = TlsPeerId(self.next);
        self.next = self.next.wrapping_add(1);
        let peer = Arc::new(peer);
        let held = Held {
            peer: Arc::clone(&peer),
            uses: 1,
        };
        self.peers.insert(id, held);
        self.ids.insert(peer, id);
        id
    }

    /// A route that named it is no more.
    pub fn release(&mut self, id: TlsPeerId) {
        let Some(held) = self.peers.get_mut(&id).filter(|held| held.uses > 0) else {
            return;
        };
        held.uses -= 1;
        if held.uses > 0 {
            return;
        }
        self.retired.push_back(id);
        if self.retired.len() > RETIRED_MAX
            && let Some(oldest) = self.retired.pop_front()
            && let Some(held) = self.peers.remove(&oldest)
        {
            self.ids.remove(&held.peer);
        }
    }

    /// The peer at this place; `None` where it was given up.
    pub fn get(&self, id: TlsPeerId) -> Option<&TlsPeer> {
        self.peers.get(&id).map(|held| &*held.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, SipTls, Target, Transport};
    use crate::connector_id::VoiceConnectorId;
    use crate::shard::snapshot::{Origination, OriginationRoute, Snapshot, VoiceConnector};

    fn peer(name: &str) -> TlsPeer {
        TlsPeer {
            server_name: Host::from(name),
            policy: SipTls::default().customers(),
        }
    }

    #[test]
    fn a_peer_has_one_place_as_long_as_a_route_names_it() {
        let mut peers = TlsPeers::default();
        let (one, other) = (peers.intern(peer("one")), peers.intern(peer("other")));
        assert_ne!(one, other);
        assert_eq!(peers.intern(peer("one")), one);
        peers.release(one);
        for number in 0..3 * RETIRED_MAX {
            let id = peers.intern(peer(&format!("passing{number}")));
            peers.release(id);
        }
        assert_eq!(peers.get(one), Some(&peer("one")));
        assert_eq!(peers.get(other), Some(&peer("other")));
        assert_eq!(peers.peers.len(), RETIRED_MAX + 2);
        assert_eq!(peers.ids.len(), RETIRED_MAX + 2);
    }

    #[test]
    fn a_peer_that_no_route_names_stays_for_a_while_and_may_come_back() {
        let mut peers = TlsPeers::default();
        let id = peers.intern(peer("one"));
        peers.release(id);
        // Once too often: it is not there any more.
        peers.release(id);
        assert_eq!(peers.get(id), Some(&peer("one")));
        assert_eq!(peers.intern(peer("one")), id);
        assert!(peers.retired.is_empty());
        peers.release(id);
        for number in 0..RETIRED_MAX {
            let passing = peers.intern(peer(&format!("passing{number}")));
            peers.release(passing);
        }
        assert_eq!(peers.get(id), None);
        assert_ne!(peers.intern(peer("one")), id);
    }
    #[test]
    fn a_connector_that_changes_its_routes_for_ever_does_not_fill_the_table() {
        let mut snapshot = Snapshot::default();
        let mut first = None;
        let mut put = |snapshot: &mut Snapshot, name: &str| {
            let mut target = Target {
                host: Host::from(name),
                port: Some(5_061),
                transport: Some(Transport::Tls),
                tls: None,
            };
            snapshot.secure(&mut target, &SipTls::default().customers());
            first = first.or(target.tls);
            let id = target.tls.unwrap();
            snapshot.put_connector(VoiceConnector {
                require_encryption: true,
                origination: Some(Origination {
                    disabled: false,
                    routes: vec![OriginationRoute {
                        target,
                        priority: 1,
                        weight: 1,
                    }],
                }),
                ..VoiceConnector::new(VoiceConnectorId::from_random([0; 22]), "a.example")
            });
            (first, id)
        };
        for number in 0..2 * RETIRED_MAX {
            put(&mut snapshot, &format!("host{number}.example"));
        }
        let (first, last) = put(&mut snapshot, "last.example");
        assert_eq!(snapshot.tls_peers.get(first.unwrap()), None);
        // As the same host is put again, with what a call holds.
        assert_eq!(put(&mut snapshot, "last.example").1, last);
        assert_eq!(snapshot.tls_peers.peers.len(), RETIRED_MAX + 1);
        snapshot.remove_connector(VoiceConnectorId::from_random([0; 22]));
        assert_eq!(snapshot.tls_peers.peers.len(), RETIRED_MAX);
    }
}
