//! Voice connectors that require encryption on a node where no listener has TLS: nobody can call through them,
//! and the API, which knows nothing of listeners, lets them be.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::config::Sip;
use crate::connector_id::VoiceConnectorId;
use crate::shard::snapshot::Snapshot;

/// So many are named in a line.
const NAMED_MAX: usize = 10;

/// Tells of each, once, for as long as it is so.
pub(super) struct EncryptionWatch {
    has_tls: bool,
    told: Mutex<HashSet<VoiceConnectorId>>,
}

impl EncryptionWatch {
    pub(super) fn new(sip: &Sip) -> Self {
        Self {
            has_tls: sip.has_tls(),
            told: Mutex::default(),
        }
    }

    /// Looks at what is published.
    pub(super) fn look(&self, snapshot: &Snapshot) {
        let news = self.news(snapshot);
        if news.is_empty() {
            return;
        }
        let named: Vec<String> = news
            .iter()
            .take(NAMED_MAX)
            .map(|it| it.to_string())
            .collect();
        tracing::warn!(
            connectors = news.len(),
            named = named.join(" "),
            "voice connectors require encryption, and their calls are refused: no listener has TLS; \
             add a [[sip.listener]] with transport = \"tls\""
        );
    }

    /// Those that were not told of.
    fn news(&self, snapshot: &Snapshot) -> Vec<VoiceConnectorId> {
        if self.has_tls {
            return Vec::new();
        }
        let connectors = snapshot.connectors.values();
        let encrypted = connectors.filter(|it| it.require_encryption);
        let now: HashSet<VoiceConnectorId> = encrypted.map(|it| it.id).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = now.difference(&told).copied().collect();
        *told = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::snapshot::VoiceConnector;

    fn watch(has_tls: bool) -> EncryptionWatch {
        EncryptionWatch {
            has_tls,
            told: Mutex::default(),
        }
    }

    fn id(number: u8) -> VoiceConnectorId {
        VoiceConnectorId::from_random([number; 22])
    }

    #[test]
    fn a_connector_that_nobody_can_call_is_told_of_once() {
        let (plain, tls) = (watch(false), watch(true));
        let mut snapshot = Snapshot::default();
        let mut told = |number: u8, require_encryption: bool| {
            snapshot.put_connector(VoiceConnector {
                require_encryption,
                ..VoiceConnector::new(id(number), "connector.example")
            });
            assert_eq!(tls.news(&snapshot), []);
            plain.news(&snapshot)
        };
        assert_eq!(told(1, false), []);
        assert_eq!(told(2, true), [id(2)]);
        assert_eq!(told(2, true), []);
        assert_eq!(told(3, true), [id(3)]);
        assert_eq!(told(3, false), []);
        assert_eq!(told(3, true), [id(3)]);
    }
}
