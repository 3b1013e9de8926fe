//! Voice connectors that require encryption on a node where no listener has TLS: nobody can call through them,
//! and the API, which knows nothing of listeners, lets them be.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::{SipListener, Transport};
use crate::shard::snapshot::Snapshot;

/// Tells of them when they become more.
pub(super) struct EncryptionWatch {
    has_tls: bool,
    told: AtomicUsize,
}

impl EncryptionWatch {
    pub(super) fn new(listeners: &[SipListener]) -> Self {
        let mut listeners = listeners.iter();
        Self {
            has_tls: listeners.any(|listener| listener.transport == Transport::Tls),
            told: AtomicUsize::new(0),
        }
    }

    /// Looks at what is published.
    pub(super) fn look(&self, snapshot: &Snapshot) {
        if let Some(connectors) = self.more(snapshot) {
            tracing::warn!(
                connectors,
                "voice connectors require encryption, and their calls are refused: no listener has TLS; \
                 add a [[sip.listener]] with transport = \"tls\""
            );
        }
    }

    /// How many there are, where these are more than there were.
    fn more(&self, snapshot: &Snapshot) -> Option<usize> {
        if self.has_tls {
            return None;
        }
        let connectors = snapshot.connectors.values();
        let count = connectors.filter(|it| it.require_encryption).count();
        let before = self.told.swap(count, Ordering::Relaxed);
        (count > before).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector_id::VoiceConnectorId;
    use crate::shard::snapshot::VoiceConnector;

    fn watch(has_tls: bool) -> EncryptionWatch {
        EncryptionWatch {
            has_tls,
            told: AtomicUsize::new(0),
        }
    }

    #[test]
    fn connectors_that_nobody_can_call_are_told_of_when_they_become_more() {
        let (plain, tls) = (watch(false), watch(true));
        let mut snapshot = Snapshot::default();
        let mut told = |number: u8, require_encryption: bool| {
            let id = VoiceConnectorId::from_random([number; 22]);
            snapshot.put_connector(VoiceConnector {
                require_encryption,
                ..VoiceConnector::new(id, "connector.example")
            });
            assert_eq!(tls.more(&snapshot), None);
            plain.more(&snapshot)
        };
        assert_eq!(told(1, false), None);
        assert_eq!(told(2, true), Some(1));
        assert_eq!(told(2, true), None);
        assert_eq!(told(3, true), Some(2));
        assert_eq!(told(3, false), None);
        assert_eq!(told(4, true), Some(2));
    }
}
