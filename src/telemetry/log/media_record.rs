//! The line of a call's media, in the shape and by the names of the media metric logs of Amazon Chime Voice
//! Connectors: in the log format `json` it is such a record.
//!
//! `cust` is the customer's side, `rem` the carrier's, `vc` is us. Jitter and round-trip times are in microseconds, a
//! MOS is 1.0 to 4.4, losses are those since the call's beginning. What nobody knows is left out: all of a side that
//! has sent no reports, and always `endpoint_id` and `aws_region`, which a gateway does not have.

use std::time::Duration;

use jiff::Timestamp;
use tracing::info;

use super::{CallFacts, masked};
use crate::numbering::E164;
use crate::telemetry::{CallQuality, Direction};

/// Writes it. `at` is when the figures were taken.
pub(super) fn write(facts: &CallFacts, quality: &CallQuality, at: Timestamp) {
    let (customer, remote) = match facts.direction {
        Direction::Termination => (&quality.a, &quality.b),
        Direction::Origination => (&quality.b, &quality.a),
    };
    let (from_country, to_country) = (country(&facts.caller), country(&facts.called));
    let (cust2vc, vc2cust) = (&customer.from_peer, &customer.to_peer);
    let (rem2vc, vc2rem) = (&remote.from_peer, &remote.to_peer);
    info!(
        voice_connector_id = %facts.connector,
        event_timestamp = at.as_millisecond(),
        call_id = facts.call_id,
        from_sip_user = masked(&facts.caller),
        from_country,
        to_sip_user = masked(&facts.called),
        to_country,
        cust2vc_rtp_packets = cust2vc.rtp_packets,
        cust2vc_rtp_bytes = cust2vc.rtp_bytes,
        cust2vc_rtcp_packets = cust2vc.rtcp_packets,
        cust2vc_rtcp_bytes = cust2vc.rtcp_bytes,
        cust2vc_packets_lost = cust2vc.packets_lost,
        cust2vc_jitter = cust2vc.jitter.map(micros),
        vc2cust_rtp_packets = vc2cust.rtp_packets,
        vc2cust_rtp_bytes = vc2cust.rtp_bytes,
        vc2cust_rtcp_packets = vc2cust.rtcp_packets,
        vc2cust_rtcp_bytes = vc2cust.rtcp_bytes,
        vc2cust_packets_lost = vc2cust.packets_lost,
        vc2cust_jitter = vc2cust.jitter.map(micros),
        rem2vc_rtp_packets = rem2vc.rtp_packets,
        rem2vc_rtp_bytes = rem2vc.rtp_bytes,
        rem2vc_rtcp_packets = rem2vc.rtcp_packets,
        rem2vc_rtcp_bytes = rem2vc.rtcp_bytes,
        rem2vc_packets_lost = rem2vc.packets_lost,
        rem2vc_jitter = rem2vc.jitter.map(micros),
        vc2rem_rtp_packets = vc2rem.rtp_packets,
        vc2rem_rtp_bytes = vc2rem.rtp_bytes,
        vc2rem_rtcp_packets = vc2rem.rtcp_packets,
        vc2rem_rtcp_bytes = vc2rem.rtcp_bytes,
        vc2rem_packets_lost = vc2rem.packets_lost,
        vc2rem_jitter = vc2rem.jitter.map(micros),
        rtt_btwn_vc_and_cust = customer.round_trip.map(micros),
        mos_btwn_vc_and_cust = customer.mos.map(score),
        rtt_btwn_vc_and_rem = remote.round_trip.map(micros),
        mos_btwn_vc_and_rem = remote.mos.map(score),
        "call media"
    );
}

/// ISO 3166 code of a number's country.
fn country(user: &str) -> Option<String> {
    let number = user.parse::<E164>().ok()?;
    number.country().map(|country| country.to_string())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn score(hundredths: u16) -> f64 {
    f64::from(hundredths) / 100.0
}
