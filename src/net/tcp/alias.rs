//! Connections that peers have opened and that requests of ours to them may use (RFC 5923).
//!
//! A connection stays on the shard that accepted it, and any shard may have something to send to its peer:
//! so every shard has a table of the aliases of all, and gives what is to be sent to the one that holds the
//! connection. A shard that has not heard of an alias opens a connection of its own; one that has not heard
//! of its end asks a holder that opens one. Nothing is lost with either.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::expected::Expected;
use crate::config::Transport;
use crate::shard::io::ConnectionId;

/// Connections that stand for one address: several peers may share it behind a translator.
const PER_ADDRESS_MAX: usize = 8;
/// Peers that a connection was found to be, so that its certificate is not verified for each request.
const PROVEN_MAX: usize = 8;

/// Where requests go that may use a connection.
#[derive(Clone, Debug)]
pub(in crate::net) struct Alias {
    pub(in crate::net) transport: Transport,
    /// The peer's address, with the port that it says it listens on.
    pub(in crate::net) address: SocketAddr,
    pub(in crate::net) connection: ConnectionId,
    /// The certificates that the peer has shown, the keys of which it has; `None` for none.
    pub(in crate::net) identity: Option<Arc<[CertificateDer<'static>]>>,
}

/// The aliases of all shards, as far as this shard has heard of them.
pub(super) struct Aliases {
    by_address: HashMap<(Transport, SocketAddr), Vec<Entry>>,
    len: usize,
    max: usize,
}

struct Entry {
    alias: Alias,
    proven: Vec<Expected>,
}

impl Aliases {
    /// Room for so many.
    pub(super) fn new(max: usize) -> Self {
        Self {
            by_address: HashMap::new(),
            len: 0,
            max,
        }
    }

    /// Takes an alias; the newest is used first. One too many is none.
    pub(super) fn put(&mut self, alias: Alias) {
        self.remove(&alias);
        if self.len >= self.max {
            return;
        }
        let key = (alias.transport, alias.address);
        let entries = self.by_address.entry(key).or_default();
        let before = entries.len();
        let proven = Vec::new();
        entries.insert(0, Entry { alias, proven });
        entries.truncate(PER_ADDRESS_MAX);
        self.len += entries.len() - before;
    }

    /// Forgets the alias of this connection.
    pub(super) fn remove(&mut self, alias: &Alias) {
        let key = (alias.transport, alias.address);
        let Some(entries) = self.by_address.get_mut(&key) else {
            return;
        };
        let before = entries.len();
        entries.retain(|entry| entry.alias.connection != alias.connection);
        self.len -= before - entries.len();
        if entries.is_empty() {
            self.by_address.remove(&key);
        }
    }

    /// A connection for this address that `is_wanted`, and that `proves` to lead to whom is expected.
    pub(super) fn find(
        &mut self,
        (transport, address): (Transport, SocketAddr),
        expected: &Expected,
        is_wanted: impl Fn(&ConnectionId) -> bool,
        proves: impl Fn(&Alias) -> bool,
    ) -> Option<ConnectionId> {
        let entries = self.by_address.get_mut(&(transport, address))?;
        for Entry { alias, proven } in entries {
            if !is_wanted(&alias.connection) {
                continue;
            }
            if proven.contains(expected) {
                return Some(alias.connection);
            }
            if proves(alias) {
                if proven.len() >= PROVEN_MAX {
                    proven.clear();
                }
                proven.push(expected.clone());
                return Some(alias.connection);
            }
        }
        None
    }

    /// Whether nothing can be found.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn alias(address: &str, slot: u32) -> Alias {
        Alias {
            transport: Transport::Tls,
            address: address.parse().unwrap(),
            connection: ConnectionId {
                shard: 0,
                slot,
                generation: 0,
            },
            identity: None,
        }
    }

    fn find(aliases: &mut Aliases, address: &str, proves: impl Fn(&Alias) -> bool) -> Option<u32> {
        let key = (Transport::Tls, address.parse().unwrap());
        let found = aliases.find(key, &Expected::Anybody, |_| true, proves);
        found.map(|connection| connection.slot)
    }

    const ADDRESS: &str = "192.0.2.1:5061";

    #[test]
    fn the_newest_connection_that_proves_its_peer_is_found_and_not_asked_again() {
        let mut aliases = Aliases::new(10);
        for slot in 0..4 {
            aliases.put(alias(ADDRESS, slot));
        }
        assert_eq!(find(&mut aliases, ADDRESS, |_| true), Some(3));
        aliases.remove(&alias(ADDRESS, 3));
        let asked = Cell::new(0);
        for _ in 0..3 {
            let found = find(&mut aliases, ADDRESS, |alias| {
                asked.set(asked.get() + 1);
                alias.connection.slot == 2
            });
            assert_eq!(found, Some(2));
        }
        assert_eq!(asked.get(), 1);
        assert_eq!(find(&mut aliases, "192.0.2.1:5062", |_| true), None);
        let key = (Transport::Tcp, ADDRESS.parse().unwrap());
        let tcp = aliases.find(key, &Expected::Anybody, |_| true, |_| true);
        assert_eq!(tcp, None);
    }

    #[test]
    fn neither_one_address_nor_all_hold_more_than_their_share() {
        let mut aliases = Aliases::new(12);
        for slot in 0..100 {
            aliases.put(alias(ADDRESS, slot));
        }
        assert_eq!(aliases.len, PER_ADDRESS_MAX);
        for slot in 0..100 {
            aliases.put(alias(&format!("192.0.2.2:{}", 1_024 + slot), slot));
        }
        assert_eq!(aliases.len, 12);
        for slot in 92..100 {
            aliases.remove(&alias(ADDRESS, slot));
        }
        assert_eq!(aliases.len, 4);
        assert_eq!(find(&mut aliases, ADDRESS, |_| true), None);
        assert_eq!(aliases.by_address.len(), 4);
    }
}
