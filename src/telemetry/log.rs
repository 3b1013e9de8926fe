//! The log: one line an event, on standard error.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::{Level, debug, info, warn};

use super::{CallFacts, Event};
use crate::config::{LogFormat, LogLevel};
use crate::numbering::{E164, Masked};

/// Starts the log of the process. A later call changes nothing: the first one's settings stay.
pub fn init(level: LogLevel, format: LogFormat) {
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from_level(severity(level)))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // The only error is that a log was started before; the doc says what happens then.
    let _started_before = match format {
        LogFormat::Compact => lines.compact().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Writes the event's line. A telephone number goes into it as [`crate::numbering::Masked`] only.
pub fn log(event: &Event) {
    match event {
        Event::OptionsReceived { connector, source } => {
            debug!(%connector, %source, "OPTIONS received");
        }
        Event::CallRefused {
            source,
            status,
            reason,
        } => {
            // The phrase may hold the caller's number; what it is about stands in front of that.
            let reason = reason.split('+').next().unwrap_or_default().trim_end();
            info!(%source, status, reason, "call refused");
        }
        Event::SourceBanned { source, length } => {
            info!(%source, seconds = length.as_secs(), "source banned");
        }
        Event::SourceReleased { source } => info!(%source, "source released"),
        Event::Overload { shard, began: true } => {
            warn!(shard, "the shard is behind: new calls are refused");
        }
        Event::Overload {
            shard,
            began: false,
        } => info!(shard, "the shard has caught up"),
        Event::LocationWanted {
            name,
            port,
            transport,
        } => debug!(%name, port, ?transport, "host name to be located"),
        Event::CallStarted(facts) => call(facts, "call started"),
        Event::CallAnswered(facts) => call(facts, "call answered"),
        Event::CallTransferred { facts, status } => {
            let CallFacts {
                call_id,
                direction,
                connector,
                ..
            } = &**facts;
            let called = masked(&facts.called);
            info!(call_id, ?direction, %connector, called, status, "call transferred");
        }
        Event::CallEnded {
            facts,
            cause,
            talked,
            from_a,
            from_b,
        } => {
            let CallFacts {
                call_id,
                direction,
                connector,
                ..
            } = &**facts;
            let talked_ms =
                talked.map(|talked| u64::try_from(talked.as_millis()).unwrap_or(u64::MAX));
            info!(
                call_id, ?direction, %connector, ?cause, talked_ms,
                rtp_packets_from_a = from_a.rtp_packets,
                rtp_packets_from_b = from_b.rtp_packets,
                rtcp_packets_from_a = from_a.rtcp_packets,
                rtcp_packets_from_b = from_b.rtcp_packets,
                dropped_from_a = from_a.dropped,
                dropped_from_b = from_b.dropped,
                "call ended"
            );
        }
    }
}

fn call(facts: &CallFacts, what: &str) {
    let CallFacts {
        call_id,
        direction,
        connector,
        caller,
        called,
    } = facts;
    let (caller, called) = (masked(caller), masked(called));
    debug!(call_id, ?direction, %connector, caller, called, "{what}");
}

/// A user part as logs show it: a number masked, anything else not at all.
fn masked(user: &str) -> String {
    match user.parse::<E164>() {
        Ok(number) => Masked(number).to_string(),
        Err(_) => "(no number)".to_owned(),
    }
}

fn severity(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Keeps what is written to it.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            page.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_with_its_facts() {
        let page = Page::default();
        let writer = page.clone();
        let lines = tracing_subscriber::fmt()
            .compact()
            .with_ansi(false)
            .with_max_level(Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(lines, || {
            log(&Event::OptionsReceived {
                connector: "abcdefghij0123456789ab".parse().unwrap(),
                source: "192.0.2.7:5060".parse().unwrap(),
            });
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("connector=abcdefghij0123456789ab"), "{text}");
        assert!(text.contains("source=192.0.2.7:5060"), "{text}");
    }
}
