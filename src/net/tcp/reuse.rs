//! Which connection a message goes on, where that is not the one its flow names (RFC 3261 §18, RFC 5923).

use bytes::Bytes;

use super::Connections;
use super::alias::Alias;
use super::expected::Expected;
use crate::config::Transport;
use crate::shard::io::{ConnectionId, Flow};
use crate::shard::snapshot::TlsPeers;

impl Connections {
    /// The connection of another shard that a message is to go on: there is none here, and its peer has
    /// opened one there that stands for its address (RFC 5923).
    pub(in crate::net) fn elsewhere(
        &mut self,
        peers: &TlsPeers,
        flow: &Flow,
        message: &Bytes,
    ) -> Option<ConnectionId> {
        if self.aliases.is_empty() || self.slot_of(flow.connection).is_some() {
            return None;
        }
        let expected = Expected::of(flow, message, &self.limits);
        if self.opened_to(flow, &expected).is_some() {
            return None;
        }
        let newest = self.aliased(peers, flow, &expected, |_, _| true)?;
        (newest.shard != self.shard).then_some(newest)
    }

    /// Lets a connection, here or on another shard, stand for its peer's address; false where it is gone.
    pub(in crate::net) fn take_alias(&mut self, alias: Alias) -> bool {
        if alias.connection.shard == self.shard {
            let slot = self.slot_of(Some(alias.connection));
            let Some(connection) = slot.and_then(|slot| self.slots.get_mut(slot)) else {
                return false;
            };
            connection.alias = Some(alias.clone());
        }
        self.aliases.put(alias);
        true
    }

    /// What another shard's connection no longer stands for.
    pub(in crate::net) fn drop_alias(&mut self, alias: &Alias) {
        self.aliases.remove(alias);
    }

    /// The connection that was opened to a peer.
    pub(super) fn opened_to(&self, flow: &Flow, expected: &Expected) -> Option<usize> {
        let key = (flow.listener, flow.remote, expected.clone());
        self.by_remote.get(&key).copied()
    }

    /// The newest connection of this shard that its peer has opened and that may be used to reach it.
    pub(super) fn aliased_here(
        &mut self,
        peers: &TlsPeers,
        flow: &Flow,
        expected: &Expected,
    ) -> Option<usize> {
        let found = self.aliased(peers, flow, expected, |shard, here| shard == here);
        self.slot_of(found)
    }

    /// A connection that its peer has opened and that may be used in the place of one to it. Over TLS it is
    /// one whose certificate we would have accepted there, so that nobody is given calls of another
    /// (RFC 5923 §8, §9.3); `is_wanted` compares its shard with this one.
    fn aliased(
        &mut self,
        peers: &TlsPeers,
        flow: &Flow,
        expected: &Expected,
        is_wanted: impl Fn(u8, u8) -> bool,
    ) -> Option<ConnectionId> {
        let here = self.shard;
        let proof = expected.proof(peers, &self.customers);
        let material = &self.material;
        self.aliases.find(
            (flow.transport, flow.remote),
            expected,
            |connection| is_wanted(connection.shard, here),
            |alias| match (flow.transport, &proof) {
                (Transport::Tcp, _) => true,
                (Transport::Tls, Some((policy, name))) => {
                    let chain = alias.identity.as_deref().unwrap_or_default();
                    material.load().is_proven(policy, name, chain)
                }
                (Transport::Tls, None) | (Transport::Udp, _) => false,
            },
        )
    }
}
