//! What a shard holds against strangers: who looks for a way in is not listened to for a while.

use super::Shard;
use super::io::{Flow, Output};
use crate::gateway::Refusal;
use crate::sip::message::{HeaderName, Request};
use crate::telemetry::Event;

/// What scanners call themselves in User-Agent.
const SCANNERS: [&str; 9] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "sundayddr",
    "pplsip",
    "VaxSIPUserAgent",
    "iWar",
];
/// Points of a message that cannot be read.
pub(super) const MALFORMED_POINTS: u32 = 5;

impl Shard {
    /// Somebody did what strangers do who look for a way in.
    pub(super) fn suspect(&mut self, flow: &Flow, points: u32) {
        if flow.carrier.is_some() {
            return;
        }
        let (source, now) = (flow.remote.ip(), self.core.now);
        let ban = self.guard.suspect(source, points, now, &self.core.snapshot);
        if let Some(ban) = ban {
            self.core.outputs.push_back(Output::Ban(ban));
            self.core.event(Event::SourceBanned {
                source,
                length: ban.length,
            });
        }
    }
}

/// How suspicious a refused request of a stranger is, in points of which a hundred make a ban. A challenge is
/// no refusal, and a wrong password from a network that is not allowed never gets so far.
pub(super) fn points_of(request: &Request, refusal: &Refusal) -> u32 {
    let agent = request.header(HeaderName::UserAgent).unwrap_or_default();
    let is_scanner = SCANNERS.iter().any(|scanner| {
        let start = agent.get(..scanner.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scanner))
    });
    let points = match refusal.status {
        401 | 407 | 482 | 503 => 0,
        403..=405 | 501 => 10,
        0..=400 | 402 | 406 | 408..=481 | 483..=500 | 502 | 504.. => 5,
    };
    points + if is_scanner { 90 } else { 0 }
}
