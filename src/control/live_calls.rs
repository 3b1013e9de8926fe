//! The calls that are up, for who asks the node.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::Answer;
use crate::config::Suite;
use crate::net::Handle;
use crate::numbering::{E164, Masked};
use crate::store::Store;
use crate::telemetry::{CallsWanted, LegQuality, LiveCall, StreamQuality};

/// How long the shards have to answer; what came by then is told.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Asks the shards for the answered calls of an account's connectors, so many at most altogether: a list with the media
/// of both legs.
pub(super) fn ask(shards: Handle, store: Store, account: &str, max: usize) -> Answer {
    let account = account.to_owned();
    Box::pin(async move {
        let connectors = store.voice_connector_ids(&account).await?;
        let (answer, mut answers) = mpsc::unbounded_channel();
        shards.ask_live_calls(CallsWanted { connectors, max }, move |calls| {
            // Who asked may have gone.
            let _gone = answer.send(calls);
        });
        let mut calls = Vec::new();
        let collect = async {
            while let Some(more) = answers.recv().await {
                calls.extend(more);
            }
        };
        let _late = tokio::time::timeout(ANSWER_TIME_MAX, collect).await;
        calls.truncate(max);
        Ok(calls.iter().map(call).collect())
    })
}

fn call(call: &LiveCall) -> Value {
    let LiveCall {
        facts,
        talking,
        quality,
    } = call;
    json!({
        "call_id": facts.call_id,
        "direction": format!("{:?}", facts.direction),
        "kind": format!("{:?}", facts.kind),
        "voice_connector_id": facts.connector.to_string(),
        "caller": masked(&facts.caller),
        "called": masked(&facts.called),
        "talking_ms": millis(*talking),
        "a": leg(&quality.a),
        "b": leg(&quality.b),
    })
}

fn leg(leg: &LegQuality) -> Value {
    json!({
        "srtp": leg.srtp.map(Suite::name),
        "from_peer": stream(&leg.from_peer),
        "to_peer": stream(&leg.to_peer),
        "duplicates": leg.duplicates,
        "reordered": leg.reordered,
        "dropped": leg.dropped.by_reason().into_iter().collect::<BTreeMap<_, _>>(),
        "round_trip_us": leg.round_trip.map(micros),
        "mos": leg.mos.map(|mos| f64::from(mos) / 100.0),
    })
}

fn stream(stream: &StreamQuality) -> Value {
    json!({
        "rtp_packets": stream.rtp_packets,
        "rtp_bytes": stream.rtp_bytes,
        "rtcp_packets": stream.rtcp_packets,
        "rtcp_bytes": stream.rtcp_bytes,
        "packets_lost": stream.packets_lost,
        "jitter_us": stream.jitter.map(micros),
    })
}

fn masked(user: &str) -> Option<String> {
    let number = user.parse::<E164>().ok()?;
    Some(Masked(number).to_string())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{CallFacts, CallKind, CallQuality, Direction};

    #[test]
    fn a_call_is_told_with_its_numbers_masked_and_what_nobody_knows_is_null() {
        let told = call(&LiveCall {
            facts: CallFacts {
                call_id: "x@y".to_owned(),
                direction: Direction::Termination,
                kind: CallKind::Ordinary,
                connector: "abcdefghij0123456789ab".parse().unwrap(),
                caller: "+12065550100".to_owned(),
                called: "+4930901820".to_owned(),
            },
            talking: Duration::from_secs(3),
            quality: CallQuality {
                a: LegQuality {
                    from_peer: StreamQuality {
                        rtp_packets: 150,
                        packets_lost: Some(1),
                        jitter: Some(Duration::from_millis(2)),
                        ..StreamQuality::default()
                    },
                    mos: Some(438),
                    ..LegQuality::default()
                },
                b: LegQuality::default(),
            },
        });
        assert_eq!(told["talking_ms"], 3_000);
        assert_eq!(told["a"]["from_peer"]["rtp_packets"], 150);
        assert_eq!(told["a"]["from_peer"]["jitter_us"], 2_000);
        assert_eq!(told["a"]["mos"], 4.38);
        assert_eq!(told["b"]["mos"], Value::Null);
        let text = told.to_string();
        assert!(
            !text.contains("5550100") && !text.contains("901820"),
            "{text}"
        );
    }
}
