//! Calls for help: 911, the test number 933, and the numbers of a connector's emergency calling configuration.

use super::classify::{Classified, classify};
use super::termination::dialled_number;
use crate::numbering::{Class, E164};
use crate::shard::io::Flow;
use crate::shard::snapshot::{Snapshot, VoiceConnector};
use crate::sip::telephone::{Number, Telephone};
use crate::sip::uri::Uri;

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
    /// What a URI asks for, where that is help or a test of it, however the connector's hosts write numbers.
    pub(super) fn of(uri: &Uri<'_>, connector: &VoiceConnector) -> Option<Self> {
        let telephone = Telephone::of(uri).ok();
        let short = match telephone.map(|telephone| telephone.number) {
            Some(Number::Local { digits, .. }) => digits,
            // No E.164 number has three digits: a `+` in front is an agent's habit.
            Some(Number::Global(number)) => number.digits().to_string(),
            None => return None,
        };
        let mut configured = connector
            .emergency
            .iter()
            .filter(|one| may_help(one.number));
        let first = configured.clone().next();
        match short.as_str() {
            HELP => Some(match first {
                Some(configured) => Self::Configured(configured.number),
                None => Self::Dialled(HELP),
            }),
            TEST => {
                let test = first.and_then(|configured| configured.test);
                Some(match test.filter(|test| may_help(*test)) {
                    Some(test) => Self::Configured(test),
                    None => Self::Dialled(TEST),
                })
            }
            _ => {
                let dialled = dialled_number(uri, &connector.policy.dialling).ok()?;
                let is_one =
                    configured.any(|one| one.number == dialled || one.test == Some(dialled));
                (is_one && may_help(dialled)).then_some(Self::Configured(dialled))
            }
        }
    }
}

/// Whether a number can be one that helps. What costs most is nobody's desk for calls for help: with such a number a
/// configuration would be a way around the policy.
fn may_help(number: E164) -> bool {
    match number.class() {
        Class::Ordinary | Class::TollFree | Class::SharedCost => true,
        Class::PremiumRate
        | Class::Personal
        | Class::Satellite
        | Class::Network
        | Class::Unassigned => false,
    }
}
