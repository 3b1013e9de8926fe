//! Whether ports and system have room for the calls that the config allows, and what to set where they
//! have not.

use std::fmt;
use std::ops::RangeInclusive;

use super::sys;
use crate::config::{Config, Limits, Transport, calls_of_ports};

/// RTP and RTCP of both legs.
const SOCKETS_PER_CALL: u64 = 4;
/// Open files that are neither media sockets nor SIP connections: listeners, the API's connections, the
/// store, the log; and media sockets that are bound before they are needed.
const OTHER_FILES: u64 = 2_560;
/// What a call takes of the receive buffer of its shard's UDP listener, in bytes as they are asked for.
/// Of calls of three minutes so many begin and end in a second that this holds a second of their messages:
/// ten of 2,304 bytes each, as the kernel counts them; it grants twice what it is asked for.
const LISTENER_BYTES_PER_CALL: u64 = 10 * 2_304 / 180 / 2;
/// The same for a second of a stream's audio in its own socket.
const STREAM_BYTES: u64 = 50 * 1_280 / 2;

/// What the system lets this process have; `None` where it does not tell.
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// Files at once (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Bytes of a socket's receive buffer at most (`net.core.rmem_max`).
    pub receive_buffer_max: Option<u64>,
}

impl System {
    /// Asks the system; raises the limit on open files as far as that goes.
    pub fn look() -> Self {
        let receive_buffer_max = std::fs::read_to_string("/proc/sys/net/core/rmem_max");
        Self {
            open_files: sys::raise_open_files_limit()
                .inspect_err(|error| tracing::warn!(%error, "the limit on open files is not known"))
                .ok(),
            receive_buffer_max: receive_buffer_max
                .ok()
                .and_then(|text| text.trim().parse().ok()),
        }
    }
}

/// What there is too little of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// The range of media ports.
    MediaPorts {
        /// The range.
        ports: RangeInclusive<u16>,
        /// Calls that the config allows.
        wanted: u64,
        /// Calls that the range serves.
        served: u64,
        /// Threads that share the range.
        shards: u8,
    },
    /// Files that may be open at once.
    OpenFiles {
        /// The limit.
        limit: u64,
        /// Calls that the config allows, or that its ports serve.
        wanted: u64,
        /// Connections that the config allows.
        connections: u64,
        /// The limit that would do.
        needed: u64,
    },
    /// Sockets' receive buffers.
    ReceiveBuffer {
        /// The limit, in bytes.
        limit: u64,
        /// Calls that the config allows, or that its ports serve.
        wanted: u64,
        /// Calls whose messages or audio are not lost when a thread is held up for a second.
        served: u64,
        /// The limit that would do, in bytes.
        needed: u64,
    },
}

/// What there is too little of for the calls that the config allows: those of `limits.calls_max` where that
/// is not the default, otherwise as many as the media ports serve.
pub fn shortages(config: &Config, system: &System) -> Vec<Shortage> {
    let shards = config.node.shards.max(1);
    let served = calls_of_ports(&config.media.ports, shards);
    let allowed = config.limits.calls_max as u64 * u64::from(shards);
    let is_default = config.limits.calls_max == Limits::default().calls_max;
    let wanted = if is_default {
        served.min(allowed)
    } else {
        allowed
    };
    let ports = (served < wanted).then(|| Shortage::MediaPorts {
        ports: config.media.ports.clone(),
        wanted,
        served,
        shards,
    });
    // No more sockets are bound than there are ports for.
    let carried = wanted.min(served);
    let files = system
        .open_files
        .and_then(|limit| open_files(config, carried, limit));
    let buffer = system
        .receive_buffer_max
        .and_then(|limit| receive_buffer(config, carried, limit));
    ports.into_iter().chain(files).chain(buffer).collect()
}

fn open_files(config: &Config, wanted: u64, limit: u64) -> Option<Shortage> {
    // Every port is bound on each address.
    let sockets = SOCKETS_PER_CALL * config.media.addresses.len() as u64;
    let is_udp = |transport| transport == Transport::Udp;
    let only_udp = config.sip.listeners.iter().all(|sip| is_udp(sip.transport));
    let connections = match only_udp {
        true => 0,
        false => config.limits.connections_max as u64 * u64::from(config.node.shards),
    };
    let needed = wanted * sockets + connections + OTHER_FILES;
    (limit < needed).then_some(Shortage::OpenFiles {
        limit,
        wanted,
        connections,
        needed,
    })
}

fn receive_buffer(config: &Config, wanted: u64, limit: u64) -> Option<Shortage> {
    let shards = u64::from(config.node.shards.max(1));
    let has_udp = |sip: &crate::config::SipListener| sip.transport == Transport::Udp;
    let of_calls = match config.sip.listeners.iter().any(has_udp) {
        true => wanted.div_ceil(shards) * LISTENER_BYTES_PER_CALL,
        false => 0,
    };
    let needed = of_calls.max(STREAM_BYTES);
    (limit < needed).then(|| Shortage::ReceiveBuffer {
        limit,
        wanted,
        served: match limit < STREAM_BYTES {
            true => 0,
            false => limit / LISTENER_BYTES_PER_CALL * shards,
        },
        needed,
    })
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaPorts {
                ports,
                wanted,
                served,
                shards,
            } => write!(
                f,
                "media.ports {}-{} serve {served} calls, and limits.calls_max allows {wanted}: a call takes four \
                 ports; set `ports` in [media] to a range of {} ports, or `calls_max` in [limits] to {}",
                ports.start(),
                ports.end(),
                SOCKETS_PER_CALL * wanted,
                served / u64::from(*shards),
            ),
            Self::OpenFiles {
                limit,
                wanted,
                connections,
                needed,
            } => write!(
                f,
                "{limit} files may be open, and {wanted} calls and {connections} SIP connections at once, which the config \
                 allows, need {needed}: when there are so many, some are refused; set LimitNOFILE={needed} in the \
                 systemd unit, or `ulimit -n {needed}`, or `connections_max` in [limits] lower"
            ),
            Self::ReceiveBuffer {
                limit,
                wanted,
                served,
                needed,
            } => write!(
                f,
                "receive buffers of {limit} bytes are enough for {served} calls, and the config allows {wanted}: \
                 packets may be lost under load; set `sysctl net.core.rmem_max={needed}`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMPLE: System = System {
        open_files: Some(1_048_576),
        receive_buffer_max: Some(4_194_304),
    };

    fn config(shards: u8, ports: RangeInclusive<u16>) -> Config {
        let mut config = Config::default_for_start();
        config.node.shards = shards;
        config.media.ports = ports;
        config
    }

    #[test]
    fn a_call_takes_two_pairs_of_its_shards_share() {
        for (ports, shards, calls) in [
            (20_000..=29_999, 1, 2_500),
            (20_000..=29_999, 2, 2_500),
            (20_001..=29_999, 2, 2_498),
            (20_000..=20_003, 1, 1),
            (20_000..=20_003, 2, 0),
            (1_024..=65_535, 2, 16_128),
        ] {
            assert_eq!(calls_of_ports(&ports, shards), calls, "{ports:?} {shards}");
        }
    }

    #[test]
    fn nothing_is_short_where_nobody_has_said_how_many_calls() {
        let config = config(2, 20_000..=29_999);
        assert_eq!(shortages(&config, &AMPLE), []);
        let silent = System {
            open_files: None,
            receive_buffer_max: None,
        };
        assert_eq!(shortages(&config, &silent), []);
    }

    #[test]
    fn ports_that_serve_fewer_calls_than_are_allowed_are_told_with_what_to_set() {
        let mut config = config(2, 20_000..=29_999);
        config.limits.calls_max = 1_250;
        assert_eq!(shortages(&config, &AMPLE), []);
        config.limits.calls_max = 2_000;
        let [shortage] = shortages(&config, &AMPLE).try_into().unwrap();
        let text = shortage.to_string();
        for part in [
            "20000-29999 serve 2500 calls",
            "allows 4000",
            "range of 16000 ports",
            "`calls_max` in [limits] to 1250",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn open_files_are_four_a_call_and_one_a_connection() {
        let mut config = config(2, 20_000..=29_999);
        config.limits.connections_max = 1_000;
        let needed = 4 * 2_500 + 2_000 + OTHER_FILES;
        let system = |open_files| System {
            open_files: Some(open_files),
            ..AMPLE
        };
        assert_eq!(shortages(&config, &system(needed)), []);
        let [shortage] = shortages(&config, &system(needed - 400))
            .try_into()
            .unwrap();
        let text = shortage.to_string();
        let both =
            "2500 calls and 2000 SIP connections at once, which the config allows, need 14560";
        assert!(text.contains(both), "{text}");
        assert!(text.contains("LimitNOFILE=14560"), "{text}");
        assert!(text.contains("ulimit -n 14560"), "{text}");

        config.sip.listeners.truncate(1);
        assert_eq!(shortages(&config, &system(needed - 2_000)), []);
        let both = [config.media.addresses[0]; 2];
        config.media.addresses = both.to_vec();
        assert_eq!(shortages(&config, &system(needed)).len(), 1);
    }

    #[test]
    fn receive_buffers_hold_a_second_of_a_shards_messages_and_of_a_stream() {
        let mut config = config(2, 1_024..=65_535);
        let system = |bytes| System {
            receive_buffer_max: Some(bytes),
            ..AMPLE
        };
        let needed = 8_064 * LISTENER_BYTES_PER_CALL;
        assert_eq!(shortages(&config, &system(needed)), []);
        let [shortage] = shortages(&config, &system(212_992)).try_into().unwrap();
        let text = shortage.to_string();
        assert!(text.contains("enough for 6656 calls"), "{text}");
        assert!(text.contains("allows 16128"), "{text}");
        assert!(text.contains("net.core.rmem_max=516096"), "{text}");

        config.sip.listeners.remove(0);
        assert_eq!(shortages(&config, &system(STREAM_BYTES)), []);
        let [shortage] = shortages(&config, &system(STREAM_BYTES - 1))
            .try_into()
            .unwrap();
        assert!(matches!(
            shortage,
            Shortage::ReceiveBuffer { served: 0, .. }
        ));
    }

    #[test]
    fn the_system_tells_what_it_allows() {
        let system = System::look();
        assert!(system.open_files.is_some_and(|files| files > 0));
    }
}
