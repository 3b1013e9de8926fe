//! Calls for help: 911, the test number 933, and the numbers of a connector's emergency calling configuration.

use crate::shard::io::Flow;

use super::classify::{Classified, classify};
use crate::numbering::E164;
use crate::shard::snapshot::{Snapshot, VoiceConnector};
use crate::sip::uri::{Uri, unescape};

/// An emergency call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Emergency {
    /// To the number that the connector's configuration names (`DNIS`).
    Configured(E164),
    /// As it was dialled, to whoever takes emergency calls.
    Dialled(&'static str),
}

const HELP: &str = "911";
/// Answers with what it knows of the caller, where there is such a service.
const TEST: &str = "933";

/// Whether a request is for help, and from a host that a connector allows: looked at where there is no room for other
/// calls, before anything is kept.
pub(crate) fn is_for_help(uri: &Uri<'_>, flow: &Flow, snapshot: &Snapshot) -> bool {
    match classify(uri, flow, snapshot) {
        Ok(Classified::Termination(connector)) => {
            let source = flow.remote.ip().to_canonical();
            snapshot.allows_source(connector.id, source) && Emergency::of(uri, &connector).is_some()
        }
        Ok(Classified::Origination(_)) | Err(_) => false,
    }
}

impl Emergency {
    /// What a URI asks for, where that is help or a test of it.
    pub(super) fn of(uri: &Uri<'_>, connector: &VoiceConnector) -> Option<Self> {
        let user = unescape(uri.user?)?;
        let number = user.split(';').next().unwrap_or_default();
        let configured = connector.emergency.first();
        // No E.164 number has three digits: a `+` in front is an agent's habit.
        match number.strip_prefix('+').unwrap_or(number) {
            HELP => Some(match configured {
                Some(configured) => Self::Configured(configured.number),
                None => Self::Dialled(HELP),
            }),
            TEST => Some(match configured.and_then(|configured| configured.test) {
                Some(test) => Self::Configured(test),
                None => Self::Dialled(TEST),
            }),
            digits => {
                let dialled: E164 = digits.parse().ok()?;
                let mut numbers = connector.emergency.iter();
                let is_configured =
                    numbers.any(|one| one.number == dialled || one.test == Some(dialled));
                is_configured.then_some(Self::Configured(dialled))
            }
        }
    }
}
