//! The log: one line an event, on standard error.

mod media_record;

use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;
use tracing::level_filters::LevelFilter;
use tracing::{Level, debug, info, warn};

use super::{CallFacts, CallKind, Drops, Event, MessageFacts, PingFailure, SpendingAlert};
use crate::config::{LogFormat, LogLevel, NextHop, Suite};
use crate::instant::Instant;
use crate::numbering::{Country, E164, Masked};

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

/// Lines of one kind in a second that a packet brings about, whose source may be forged.
const FORGEABLE_LINES_PER_SECOND: u64 = 20;

/// The log of what the shards tell. Whoever floods the node does not fill the disk: of calls refused and
/// sources banned a few lines a second are written, then how many more there were. At the level `debug` each
/// is. Strangers do not use up the lines of those who are known.
#[derive(Debug, Default)]
pub struct Log {
    /// Whole seconds since the clock's origin.
    second: u64,
    strangers_refused: Quota,
    known_refused: Quota,
    /// Bans and their ends.
    bans: Quota,
}

/// What one second has seen of a kind.
#[derive(Debug, Default)]
struct Quota {
    lines: u64,
}

impl Quota {
    /// Whether one more line is written as it stands.
    fn admits(&mut self) -> bool {
        self.lines += 1;
        self.lines <= FORGEABLE_LINES_PER_SECOND
    }

    /// How many were not, and begins anew.
    fn take_withheld(&mut self) -> u64 {
        let lines = std::mem::take(&mut self.lines);
        lines.saturating_sub(FORGEABLE_LINES_PER_SECOND)
    }
}

impl Log {
    /// Writes the event's line. A telephone number goes into it as [`crate::numbering::Masked`] only.
    pub fn write(&mut self, event: &Event, now: Instant) {
        self.look(now);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "what else there is comes from calls of known peers"
        )]
        let quota = match event {
            Event::CallRefused { is_known: true, .. } => &mut self.known_refused,
            Event::CallRefused {
                is_known: false, ..
            } => &mut self.strangers_refused,
            Event::SourceBanned { .. }
            | Event::SourceReleased { .. }
            | Event::PasswordGuessed { .. } => &mut self.bans,
            _ => return line(event, true),
        };
        let is_admitted = quota.admits();
        line(event, is_admitted);
    }

    /// Sums up what was withheld once the second is over; to be called a few times a second.
    pub fn look(&mut self, now: Instant) {
        let second = now.as_millis() / 1_000;
        if second != self.second {
            self.second = second;
            self.sum_up();
        }
    }

    /// Sums up what is left, at the end.
    pub fn sum_up(&mut self) {
        let calls = self.strangers_refused.take_withheld();
        if calls > 0 {
            info!(calls, "more calls of strangers refused within a second");
        }
        let calls = self.known_refused.take_withheld();
        if calls > 0 {
            info!(
                calls,
                "more calls of customers and carriers refused within a second"
            );
        }
        let sources = self.bans.take_withheld();
        if sources > 0 {
            info!(sources, "more sources banned or released within a second");
        }
    }
}

/// `is_admitted` is false for a line that only whoever looks for a fault wants to see.
fn line(event: &Event, is_admitted: bool) {
    match event {
        Event::OptionsReceived { connector, source } => {
            debug!(%connector, %source, "OPTIONS received");
        }
        Event::CallRefused {
            source,
            is_known: _,
            call_id,
            status,
            reason,
            warning,
        } => {
            // The phrase is ours, and may end with the caller's number.
            let reason = before(reason, |c| c == '+');
            let warning = warning.as_deref();
            match is_admitted {
                true => info!(%source, call_id, status, reason, warning, "call refused"),
                false => debug!(%source, call_id, status, reason, warning, "call refused"),
            }
        }
        Event::SourceBanned { source, length } => {
            let seconds = length.as_secs();
            match is_admitted {
                true => info!(%source, seconds, "source banned"),
                false => debug!(%source, seconds, "source banned"),
            }
        }
        Event::SourceReleased { source } => match is_admitted {
            true => info!(%source, "source released"),
            false => debug!(%source, "source released"),
        },
        Event::PasswordGuessed {
            connector,
            source,
            length,
        } => {
            let seconds = length.as_secs();
            match is_admitted {
                true => warn!(%connector, %source, seconds, "wrong passwords: source refused"),
                false => debug!(%connector, %source, seconds, "wrong passwords: source refused"),
            }
        }
        Event::Spending(alert) => spending(alert),
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
        Event::Pinged {
            hop,
            outcome,
            waited,
        } => {
            let NextHop {
                transport, address, ..
            } = hop;
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            match outcome {
                Ok(status) => debug!(%address, %transport, status, waited_ms, "ping answered"),
                Err(failure) => {
                    debug!(%address, %transport, %failure, waited_ms, "ping unanswered")
                }
            }
        }
        Event::HealthChanged {
            hop,
            uri,
            is_down,
            outcome,
        } => health(hop, uri, *is_down, *outcome),
        Event::ProxySessionUsed { connector, session } => {
            debug!(%connector, %session, "proxy session used");
        }
        Event::MessageRelayed {
            facts,
            status,
            waited,
        } => message(facts, *status, *waited),
        Event::CallStarted(facts) => {
            // Whoever calls for help may have to be found.
            if facts.kind == CallKind::Emergency {
                let (connector, call_id) = (facts.connector, &facts.call_id);
                warn!(call_id, %connector, called = dialled(&facts.called), "emergency call");
            }
            call(facts, "call started");
        }
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
            reason,
            talked,
            quality,
        } => {
            let CallFacts {
                call_id,
                direction,
                kind,
                connector,
                ..
            } = &**facts;
            // The phrase may be a peer's, with a number in whatever form.
            let reason = reason.as_deref();
            let reason = reason.map(|reason| before(reason, |c| c == '+' || c.is_numeric()));
            let talked_ms =
                talked.map(|talked| u64::try_from(talked.as_millis()).unwrap_or(u64::MAX));
            info!(
                call_id, ?direction, ?kind, %connector, ?cause, reason, talked_ms,
                srtp_a = quality.a.srtp.map(Suite::name),
                srtp_b = quality.b.srtp.map(Suite::name),
                rtp_packets_from_a = quality.a.from_peer.rtp_packets,
                rtp_packets_from_b = quality.b.from_peer.rtp_packets,
                dropped_from_a = quality.a.dropped.total(),
                dropped_from_b = quality.b.dropped.total(),
                drops_from_a = drops(quality.a.dropped),
                drops_from_b = drops(quality.b.dropped),
                "call ended"
            );
            if talked.is_some() {
                media_record::write(facts, quality, Timestamp::now());
            }
        }
        Event::CallQuality { facts, quality } => {
            media_record::write(facts, quality, Timestamp::now());
        }
    }
}

/// What a phrase says before the first of such characters.
fn before(phrase: &str, is_stop: impl Fn(char) -> bool) -> &str {
    phrase.split(is_stop).next().unwrap_or_default().trim_end()
}

/// The reasons why packets of a leg were dropped; `None` where none was.
fn drops(drops: Drops) -> Option<String> {
    (drops.total() > 0).then(|| drops.to_string())
}

fn health(hop: &NextHop, uri: &str, is_down: bool, outcome: Result<u16, PingFailure>) {
    let NextHop {
        transport, address, ..
    } = hop;
    let last = match outcome {
        Ok(status) => format!("answered {status}"),
        Err(failure) => failure.to_string(),
    };
    match is_down {
        true => warn!(uri, %address, %transport, last, "next hop down"),
        false => info!(uri, %address, %transport, last, "next hop up"),
    }
}

fn call(facts: &CallFacts, what: &str) {
    let CallFacts {
        call_id,
        direction,
        kind,
        connector,
        caller,
        called,
    } = facts;
    let (caller, called) = (masked(caller), masked(called));
    debug!(call_id, ?direction, ?kind, %connector, caller, called, "{what}");
}

fn message(facts: &MessageFacts, status: u16, waited: Duration) {
    let MessageFacts {
        call_id,
        connector,
        session,
        caller,
        called,
    } = facts;
    let (caller, called) = (Masked(*caller), Masked(*called));
    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    info!(call_id, %connector, %session, %caller, %called, status, waited_ms, "message relayed");
}

/// A number that was dialled for help: a short one is nobody's.
fn dialled(user: &str) -> String {
    match user.len() {
        0..=3 => user.to_owned(),
        _ => masked(user),
    }
}

fn spending(alert: &SpendingAlert) {
    let SpendingAlert {
        connector,
        country,
        calls,
        limit,
        is_reached,
    } = alert;
    let country = country.as_ref().map_or("all", Country::as_str);
    match is_reached {
        true => {
            warn!(%connector, country, calls, limit, "calls of this hour reach their limit: more are refused")
        }
        false => {
            warn!(%connector, country, calls, limit, "calls of this hour come near to their limit")
        }
    }
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
    use crate::config::Transport;
    use crate::telemetry::{CallQuality, Direction, EndCause, LegQuality, StreamQuality};

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

    /// What is written at a level.
    fn written(level: Level, write: impl FnOnce(&mut Log)) -> String {
        let page = Page::default();
        let writer = page.clone();
        let lines = tracing_subscriber::fmt()
            .compact()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(lines, || write(&mut Log::default()));
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn refused(is_known: bool) -> Event {
        Event::CallRefused {
            source: "192.0.2.7:5060".parse().unwrap(),
            is_known,
            call_id: "1234@192.0.2.7".to_owned(),
            status: 403,
            reason: "Forbidden".to_owned(),
            warning: None,
        }
    }

    fn banned() -> Event {
        Event::SourceBanned {
            source: "192.0.2.7".parse().unwrap(),
            length: std::time::Duration::from_secs(60),
        }
    }

    #[test]
    fn a_call_that_failed_says_why_without_a_number_that_a_peer_has_put_there() {
        for (phrase, told) in [
            (
                "Called Side: No Common Codec",
                "Called Side: No Common Codec",
            ),
            ("User +12025550123 Is Busy", "User"),
            ("User 1 (202) 555-0123 Is Busy", "User"),
        ] {
            let text = written(Level::INFO, |log| {
                let ended = Event::CallEnded {
                    facts: Box::new(CallFacts {
                        call_id: "x@y".to_owned(),
                        direction: Direction::Termination,
                        kind: CallKind::Ordinary,
                        connector: "abcdefghij0123456789ab".parse().unwrap(),
                        caller: "+12065550100".to_owned(),
                        called: "+12025550123".to_owned(),
                    }),
                    cause: EndCause::Failed(486),
                    reason: Some(phrase.into()),
                    talked: None,
                    quality: Box::default(),
                };
                log.write(&ended, at(0));
            });
            assert!(text.contains(&format!("reason=\"{told}\"")), "{text}");
            assert!(
                !text.contains("0123 ") && !text.contains("call media"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_call_that_was_refused_is_told_with_its_call_id_and_its_warning() {
        let mut event = refused(true);
        if let Event::CallRefused { warning, .. } = &mut event {
            *warning = Some("SRTP is required".into());
        }
        let text = written(Level::INFO, |log| {
            log.write(&refused(true), at(0));
            log.write(&event, at(0));
        });
        assert_eq!(text.matches(r#"call_id="1234@192.0.2.7""#).count(), 2);
        assert_eq!(text.matches("warning=").count(), 1, "{text}");
        assert!(text.contains(r#"warning="SRTP is required""#), "{text}");
    }

    #[test]
    fn a_flood_is_a_few_lines_a_second_and_how_many_more_there_were() {
        let text = written(Level::INFO, |log| {
            for _ in 0..5_000 {
                log.write(&refused(false), at(1_500));
            }
            log.write(&banned(), at(1_600));
            for _ in 0..FORGEABLE_LINES_PER_SECOND + 2 {
                log.write(&refused(true), at(1_700));
            }
            log.look(at(1_999));
            log.look(at(2_000));
            log.look(at(2_050));
            // The next second has lines of its own; few enough are all written.
            for _ in 0..FORGEABLE_LINES_PER_SECOND {
                log.write(&refused(false), at(2_900));
            }
            log.look(at(3_000));
            for _ in 0..FORGEABLE_LINES_PER_SECOND + 3 {
                log.write(&banned(), at(3_000));
            }
            log.sum_up();
            log.sum_up();
        });
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(count("call refused"), 60, "{text}");
        assert_eq!(
            count("more calls of strangers refused within a second calls=4980"),
            1,
            "{text}"
        );
        assert_eq!(
            count("more calls of customers and carriers refused within a second calls=2"),
            1,
            "{text}"
        );
        assert_eq!(count("source banned"), 21, "{text}");
        assert_eq!(
            count("more sources banned or released within a second sources=3"),
            1,
            "{text}"
        );
        assert_eq!(text.lines().count(), 84, "{text}");
    }

    #[test]
    fn whoever_looks_for_a_fault_sees_every_line() {
        let text = written(Level::DEBUG, |log| {
            for _ in 0..100 {
                log.write(&refused(false), at(0));
            }
        });
        assert_eq!(text.lines().count(), 100, "{text}");
    }

    #[test]
    fn a_next_hop_that_goes_down_is_a_warning_and_a_ping_is_for_whoever_looks_for_a_fault() {
        let hop = NextHop {
            transport: Transport::Tls,
            address: "192.0.2.7:5061".parse().unwrap(),
            tls: None,
            listener: None,
        };
        let changed = |is_down, outcome| Event::HealthChanged {
            hop,
            uri: "sip:pbx.example".into(),
            is_down,
            outcome,
        };
        let pinged = |outcome| Event::Pinged {
            hop,
            outcome,
            waited: std::time::Duration::from_millis(7),
        };
        let events = [
            pinged(Err(PingFailure::Status(503))),
            changed(true, Err(PingFailure::Timeout)),
            pinged(Ok(404)),
            changed(false, Ok(404)),
        ];
        let write = |log: &mut Log| events.iter().for_each(|event| log.write(event, at(0)));
        let text = written(Level::INFO, write);
        let lines: Vec<&str> = text.lines().collect();
        let [down, up] = lines[..] else {
            panic!("{text}")
        };
        assert!(
            down.contains("WARN") && down.contains("next hop down"),
            "{down}"
        );
        assert!(
            down.contains("address=192.0.2.7:5061 transport=tls last=\"no answer\""),
            "{down}"
        );
        assert!(
            up.contains("INFO") && up.contains("next hop up uri=\"sip:pbx.example\""),
            "{up}"
        );
        let text = written(Level::DEBUG, write);
        assert!(text.contains("failure=answered 503 waited_ms=7"), "{text}");
        assert!(text.contains("status=404 waited_ms=7"), "{text}");
    }

    #[test]
    fn how_a_call_is_heard_is_told_by_the_names_of_the_media_metric_logs() {
        let leg = |rtp_packets, lost, mos| LegQuality {
            from_peer: StreamQuality {
                rtp_packets,
                packets_lost: Some(lost),
                jitter: Some(Duration::from_micros(1_250)),
                ..StreamQuality::default()
            },
            mos,
            ..LegQuality::default()
        };
        let event = |direction| Event::CallQuality {
            facts: Box::new(CallFacts {
                call_id: "x@y".to_owned(),
                direction,
                kind: CallKind::Ordinary,
                connector: "abcdefghij0123456789ab".parse().unwrap(),
                caller: "+12065550100".to_owned(),
                called: "+4930901820".to_owned(),
            }),
            quality: Box::new(CallQuality {
                a: leg(1_000, 7, Some(438)),
                b: leg(900, 3, None),
            }),
        };
        for (direction, customer, remote) in [
            (Direction::Termination, "cust", "rem"),
            (Direction::Origination, "rem", "cust"),
        ] {
            let write = |log: &mut Log| log.write(&event(direction), at(0));
            let text = written(Level::INFO, write);
            for (field, value) in [
                ("voice_connector_id", "abcdefghij0123456789ab".to_owned()),
                ("call_id", "\"x@y\"".to_owned()),
                ("from_country", "\"US\"".to_owned()),
                ("to_country", "\"DE\"".to_owned()),
                (&format!("{customer}2vc_rtp_packets"), "1000".to_owned()),
                (&format!("{customer}2vc_packets_lost"), "7".to_owned()),
                (&format!("{customer}2vc_jitter"), "1250".to_owned()),
                (&format!("{remote}2vc_rtp_packets"), "900".to_owned()),
                (&format!("mos_btwn_vc_and_{customer}"), "4.38".to_owned()),
            ] {
                assert!(
                    text.contains(&format!(" {field}={value}")),
                    "{field}: {text}"
                );
            }
            assert!(text.contains(" event_timestamp="), "{text}");
            let unknown = format!("mos_btwn_vc_and_{remote}");
            assert!(!text.contains(&unknown), "{text}");
            assert!(!text.contains("vc2cust_jitter"), "{text}");
            assert!(
                !text.contains("5550100") && !text.contains("901820"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_event_is_one_line_with_its_facts() {
        let text = written(Level::DEBUG, |log| {
            let event = Event::OptionsReceived {
                connector: "abcdefghij0123456789ab".parse().unwrap(),
                source: "192.0.2.7:5060".parse().unwrap(),
            };
            log.write(&event, at(0));
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("connector=abcdefghij0123456789ab"), "{text}");
        assert!(text.contains("source=192.0.2.7:5060"), "{text}");
    }
}
