//! What is known of health, for operators: what became of pings of next hops, and which customers' hosts ping.
//!
//! Nothing of it is stored: a restart begins anew. SIGUSR1 writes all of it to the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use tracing::info;

use crate::config::NextHop;
use crate::connector_id::VoiceConnectorId;
use crate::shard::snapshot::Snapshot;
use crate::telemetry::PingFailure;

/// Hosts of one connector whose last ping is remembered; of more, those that pinged last.
const HOSTS_MAX: usize = 64;
/// Entries from which on those are looked for that nobody needs any more.
const ENTRIES_MIN: usize = 1_024;

/// The last of everything.
#[derive(Debug, Default)]
pub(super) struct HealthBook {
    hops: HashMap<NextHop, Pings>,
    hosts: HashMap<VoiceConnectorId, Vec<(IpAddr, Timestamp)>>,
    /// How many entries are let grow before they are looked through.
    room: usize,
}

/// What is known of one next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pings {
    /// When it was pinged first.
    first: Timestamp,
    is_down: bool,
    /// When it went down or came up again; `None` where it has been up from the first ping on.
    changed: Option<Timestamp>,
    answer: Option<Answer>,
    failure: Option<(Timestamp, PingFailure)>,
}

/// The last answer to a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Answer {
    at: Timestamp,
    status: u16,
    waited: Duration,
}

impl HealthBook {
    /// A ping of ours was answered, or was not.
    pub(super) fn pinged(
        &mut self,
        hop: NextHop,
        outcome: Result<u16, PingFailure>,
        waited: Duration,
        at: Timestamp,
    ) {
        let pings = self.pings(hop, at);
        match outcome {
            Ok(status) => pings.answer = Some(Answer { at, status, waited }),
            Err(failure) => pings.failure = Some((at, failure)),
        }
    }

    /// A next hop went down, or came up again.
    pub(super) fn changed(&mut self, hop: NextHop, is_down: bool, at: Timestamp) {
        let pings = self.pings(hop, at);
        if pings.is_down != is_down {
            (pings.is_down, pings.changed) = (is_down, Some(at));
        }
    }

    /// A customer's host sent OPTIONS to its connector.
    pub(super) fn options_received(
        &mut self,
        connector: VoiceConnectorId,
        source: IpAddr,
        at: Timestamp,
    ) {
        let hosts = self.hosts.entry(connector).or_default();
        hosts.retain(|(host, _)| *host != source);
        if hosts.len() >= HOSTS_MAX {
            hosts.remove(0);
        }
        hosts.push((source, at));
    }

    /// The host of a connector that pinged last, and when.
    pub(super) fn last_options(&self, connector: VoiceConnectorId) -> Option<(IpAddr, Timestamp)> {
        self.hosts.get(&connector)?.last().copied()
    }

    /// Forgets, from time to time, what the snapshot has no more.
    pub(super) fn tidy(&mut self, snapshot: &Snapshot) {
        if self.hops.len() + self.hosts.len() > self.room.max(ENTRIES_MIN) {
            self.forget_gone(snapshot);
            self.room = 2 * (self.hops.len() + self.hosts.len());
        }
    }

    /// Writes everything to the log.
    pub(super) fn tell(&mut self, snapshot: &Snapshot) {
        self.forget_gone(snapshot);
        for (hop, pings) in &self.hops {
            let uri = snapshot.next_hops.uri(hop).map_or("", |uri| &**uri);
            tell_of_hop(hop, uri, pings);
        }
        for (connector, hosts) in &self.hosts {
            for (source, at) in hosts {
                info!(%connector, %source, %at, "last OPTIONS of a host");
            }
        }
        let down = self.hops.values().filter(|pings| pings.is_down).count();
        info!(
            next_hops = self.hops.len(),
            down,
            connectors = self.hosts.len(),
            "health told"
        );
    }

    fn forget_gone(&mut self, snapshot: &Snapshot) {
        self.hops
            .retain(|hop, _| snapshot.next_hops.uri(hop).is_some());
        self.hosts
            .retain(|connector, _| snapshot.connectors.contains_key(connector));
    }

    fn pings(&mut self, hop: NextHop, at: Timestamp) -> &mut Pings {
        self.hops.entry(hop).or_insert(Pings {
            first: at,
            is_down: false,
            changed: None,
            answer: None,
            failure: None,
        })
    }
}

fn tell_of_hop(hop: &NextHop, uri: &str, pings: &Pings) {
    let NextHop {
        transport, address, ..
    } = hop;
    let state = if pings.is_down { "down" } else { "up" };
    let since = pings.changed.unwrap_or(pings.first);
    let Pings {
        answer, failure, ..
    } = pings;
    let millis = |waited: Duration| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    info!(
        uri, %address, %transport, state, %since,
        last_answer = answer.map(|answer| answer.at.to_string()),
        last_status = answer.map(|answer| answer.status),
        last_waited_ms = answer.map(|answer| millis(answer.waited)),
        last_failure = failure.map(|(at, _)| at.to_string()),
        last_failure_was = failure.map(|(_, failure)| failure.to_string()),
        "next hop"
    );
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::{Host, Target, Transport};
    use crate::shard::snapshot::{Origination, OriginationRoute, VoiceConnector};

    const CONNECTOR: [u8; VoiceConnectorId::LENGTH] = [1; VoiceConnectorId::LENGTH];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn hop(port: u16) -> NextHop {
        NextHop {
            transport: Transport::Udp,
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            tls: None,
            listener: None,
        }
    }

    /// A connector with a route to a port of 192.0.2.1.
    fn snapshot(port: u16) -> Snapshot {
        let target = Target {
            host: Host::from("192.0.2.1"),
            port: Some(port),
            transport: Some(Transport::Udp),
            tls: None,
        };
        let mut snapshot = Snapshot::default();
        let mut connector =
            VoiceConnector::new(VoiceConnectorId::from_random(CONNECTOR), "a.example");
        connector.origination = Some(Origination {
            disabled: false,
            routes: vec![OriginationRoute {
                target,
                priority: 1,
                weight: 1,
            }],
        });
        snapshot.put_connector(connector);
        snapshot
    }

    #[test]
    fn a_next_hop_has_its_state_its_last_answer_and_its_last_failure() {
        let mut book = HealthBook::default();
        let waited = Duration::from_millis(7);
        book.pinged(hop(1), Ok(404), waited, at(1));
        book.pinged(hop(1), Err(PingFailure::Timeout), waited, at(2));
        book.changed(hop(1), true, at(2));
        book.pinged(hop(1), Err(PingFailure::NotSent), waited, at(3));
        // Told again, it is no change.
        book.changed(hop(1), true, at(3));
        let expected = Pings {
            first: at(1),
            is_down: true,
            changed: Some(at(2)),
            answer: Some(Answer {
                at: at(1),
                status: 404,
                waited,
            }),
            failure: Some((at(3), PingFailure::NotSent)),
        };
        assert_eq!(book.hops.get(&hop(1)), Some(&expected));
    }

    #[test]
    fn each_host_has_its_last_ping_and_the_newest_is_the_connectors() {
        let mut book = HealthBook::default();
        let id = VoiceConnectorId::from_random(CONNECTOR);
        let host = |number: u16| IpAddr::from([10, 0, (number >> 8) as u8, number as u8]);
        for (number, second) in [(1, 1), (2, 2), (1, 3)] {
            book.options_received(id, host(number), at(second));
        }
        assert_eq!(book.hosts[&id], [(host(2), at(2)), (host(1), at(3))]);
        assert_eq!(book.last_options(id), Some((host(1), at(3))));
        for number in 100..1_000 {
            book.options_received(id, host(number), at(i64::from(number)));
        }
        assert_eq!(book.hosts[&id].len(), HOSTS_MAX);
        assert_eq!(book.last_options(id), Some((host(999), at(999))));
    }

    #[test]
    fn what_no_route_leads_to_is_forgotten() {
        let mut book = HealthBook::default();
        let id = VoiceConnectorId::from_random(CONNECTOR);
        for port in 1..=1_000 {
            book.pinged(hop(port), Ok(200), Duration::ZERO, at(1));
        }
        book.options_received(id, IpAddr::from([10, 0, 0, 1]), at(1));
        book.tidy(&snapshot(7));
        assert_eq!(book.hops.len(), 1_000, "few are not looked through");
        for port in 1_001..=2_000 {
            book.pinged(hop(port), Ok(200), Duration::ZERO, at(1));
        }
        book.tidy(&snapshot(7));
        assert_eq!(book.hops.keys().collect::<Vec<_>>(), [&hop(7)]);
        assert_eq!(book.hosts.len(), 1);
        book.tell(&Snapshot::default());
        assert!(book.hops.is_empty() && book.hosts.is_empty());
    }
}
