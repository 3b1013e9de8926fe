//! The keys of SRTP that were said, and a look at where they must not be.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::memmem;
use trunkline::telemetry::Event;

/// Keys that were said to an agent or by it, in their order.
#[derive(Default)]
pub(crate) struct Secrets {
    said: Vec<(usize, String)>,
    known: HashSet<String>,
}

/// So many of the last ones are looked for.
const LOOKED_FOR: usize = 40;

impl Secrets {
    /// Keeps those in a message from or to an agent.
    pub(crate) fn learn(&mut self, agent: usize, message: &Bytes) {
        for at in memmem::find_iter(message, "inline:") {
            let rest = &message[at + "inline:".len()..];
            let end = rest.iter().position(|byte| b"|\r ".contains(byte));
            let key = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]);
            if key.len() >= 16 && self.known.insert(key.to_string()) {
                self.said.push((agent, key.into_owned()));
            }
        }
    }

    /// Nobody is told a key of another's.
    pub(crate) fn check(&self, agent: usize, message: &Bytes) {
        for (whose, key) in self.said.iter().rev().take(LOOKED_FOR) {
            assert!(
                *whose == agent || memmem::find(message, key.as_bytes()).is_none(),
                "a key of agent {whose} reached agent {agent}:\n{}",
                String::from_utf8_lossy(message)
            );
        }
    }

    /// No event, which is what logs and metrics are made of, has one.
    pub(crate) fn check_events(&self, events: &[Event]) {
        if self.said.is_empty() {
            return;
        }
        let text: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        let text = text.join("\n");
        for (_, key) in self.said.iter().rev().take(LOOKED_FOR) {
            assert!(!text.contains(key.as_str()), "a key in an event");
            let bytes = STANDARD.decode(key).unwrap_or_default();
            let hex: String = bytes
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let list: Vec<String> = bytes.iter().take(8).map(u8::to_string).collect();
            let list = list.join(", ");
            for form in [hex, list].iter().filter(|form| !form.is_empty()) {
                assert!(!text.contains(form.as_str()), "a key in an event");
            }
        }
    }

    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.said.len()
    }
}
