//! What is known of the media between us and a peer by reports: those of the peers, which pass through, and those
//! that are made for a peer that makes none.
//!
//! A peer that hears the other one but none of its RTCP gets reports as if from there: a sender report of the
//! stream that is relayed to it, with a report block about its own stream as it came here. Their NTP timestamps count
//! from the origin of [`Instant`], as RFC 3550 §6.4.1 lets who has no wall clock.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::counters::PacketCounters;
use super::mos::{Conditions, Impairment, Mos};
use super::reception::{Reception, ReceptionFigures};
use super::relay::{Content, Media, index, pair_index, rtcp_of, sockets};
use super::round_trip::RoundTrip;
use super::rtcp::{Compound, OwnReport, Packet, ReportBlock, SenderInfo};
use super::srtp::Suite;
use super::{Datagram, EndpointId, Forward, MediaSocket, StreamCounters};
use crate::instant::Instant;
use crate::telemetry::{LegQuality, StreamQuality};

/// The time between two reports of ours to one peer (RFC 3550 §6.2).
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// A peer that has sent no RTCP is spoken for after so long.
const SILENCE: Duration = Duration::from_secs(10);
/// One that has sent some may have an interval of its own.
const SILENCE_AFTER_REPORTS: Duration = Duration::from_secs(30);
/// Timers are late, never early: the next report is not to wait a whole period for that.
const PUNCTUALITY: Duration = Duration::from_millis(500);

/// Payload types of one endpoint that are kept.
const FORMATS_MAX: usize = 32;
/// RTP's fixed header, in bytes.
const RTP_HEADER_BYTES: u64 = 12;
/// Speech in a packet, where nobody says (RFC 3551 §4.2).
const PACKET_TIME: Duration = Duration::from_millis(20);

/// Encodings that are no speech: events (RFC 4733), comfort noise (RFC 3389).
const NO_SPEECH: [&str; 3] = ["telephone-event", "tone", "CN"];

/// What a payload type stands for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PayloadFormat {
    payload_type: u8,
    /// Hz.
    clock_rate: u32,
    /// `None`: it is no speech.
    impairment: Option<Impairment>,
}

impl PayloadFormat {
    /// By its clock rate in Hz and its encoding name, upper or lower case.
    pub fn new(payload_type: u8, clock_rate: u32, name: &str) -> Self {
        let mut others = NO_SPEECH.iter();
        let is_speech = !others.any(|other| other.eq_ignore_ascii_case(name));
        Self {
            payload_type,
            clock_rate,
            impairment: is_speech.then(|| Impairment::of(name.as_bytes())),
        }
    }
}

/// Who reports where the peer that is spoken for has no stream of its own, and by which name.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// Synchronization source.
    pub ssrc: u32,
    /// Canonical name (RFC 7022), the same for the whole session; at most 255 bytes.
    pub cname: &'a str,
}

/// What is known of one endpoint's peer by reports, away from the hot path.
#[derive(Default, Debug)]
pub(super) struct Reports {
    formats: Vec<PayloadFormat>,
    /// Of the speech that came last.
    codec: Option<Impairment>,
    round_trip: RoundTrip,
    heard: Option<Heard>,
    /// When the peer's last RTCP came, or since when it is waited for.
    spoke: Option<Instant>,
    has_reported: bool,
    /// The peer's last sender report: the middle half of its NTP timestamp, and when it came.
    sender_report: Option<(u32, Instant)>,
    /// Of the peer's stream: what had come before it had the SSRC that it has.
    before_ssrc: (Option<u32>, PacketCounters),
    told: Told,
}

/// What the peer has reported of the stream that is relayed to it.
#[derive(Clone, Copy, Debug)]
struct Heard {
    ssrc: u32,
    /// Lost between us and the peer, as long as the SSRC was this one.
    lost: u64,
    /// And before that.
    lost_before: u64,
    jitter: Duration,
}

/// What we have reported to the peer.
#[derive(Clone, Copy, Default, Debug)]
struct Told {
    at: Option<Instant>,
    /// Those of the peer's stream then.
    figures: ReceptionFigures,
    /// RTP packets of the peer that is spoken for, and of the peer itself, when it was looked last.
    seen: (u64, u64),
}

impl Reports {
    /// Of somebody new; `received` is what came from whoever was there before.
    pub(super) fn meet(received: PacketCounters) -> Self {
        Self {
            before_ssrc: (None, received),
            ..Self::default()
        }
    }

    /// The clock rate of a payload type, in Hz; 0 where it is not known.
    #[cold]
    pub(super) fn look_up(&mut self, payload_type: u8) -> u32 {
        let mut formats = self.formats.iter();
        let Some(format) = formats.find(|format| format.payload_type == payload_type) else {
            return 0;
        };
        self.codec = format.impairment.or(self.codec);
        format.clock_rate
    }

    pub(super) fn sender_report_passed(&mut self, stamp: u32, now: Instant) {
        self.round_trip.sender_report_passed(stamp, now);
    }

    /// The peer says how it hears the stream that `relayed` is.
    fn hear(&mut self, block: &ReportBlock, relayed: Option<&Reception>, now: Instant) {
        let (last, delay) = (
            block.last_sender_report,
            block.delay_since_last_sender_report,
        );
        self.round_trip.reported(last, delay, now);
        let Some(relayed) = relayed.filter(|it| it.ssrc() == Some(block.ssrc)) else {
            return;
        };
        let lost = u64::from(u32::try_from(block.lost).unwrap_or(0));
        let lost_before = match self.heard {
            Some(heard) if heard.ssrc == block.ssrc => heard.lost_before,
            Some(heard) => heard.lost_before + heard.lost,
            None => 0,
        };
        let jitter = (u64::from(block.jitter) * 1_000_000)
            .checked_div(u64::from(relayed.clock_rate().unwrap_or(0)));
        self.heard = Some(Heard {
            ssrc: block.ssrc,
            // What did not reach us was lost before.
            lost: lost.saturating_sub(u64::from(relayed.lost())),
            lost_before,
            jitter: Duration::from_micros(jitter.unwrap_or(0)),
        });
    }

    /// The last sender report as a report block says it (RFC 3550 §6.4.1): LSR and DLSR.
    fn last_sender_report(&self, now: Instant) -> (u32, u32) {
        let Some((stamp, at)) = self.sender_report else {
            return (0, 0);
        };
        let delay = now.since(at).as_micros() * 65_536 / 1_000_000;
        (stamp, u32::try_from(delay).unwrap_or(u32::MAX))
    }

    /// Whether the peer is to be spoken for.
    fn is_silent(&mut self, now: Instant) -> bool {
        let patience = match self.has_reported {
            true => SILENCE_AFTER_REPORTS,
            false => SILENCE,
        };
        now.since(*self.spoke.get_or_insert(now)) >= patience
    }

    /// Of the worse of both directions.
    fn mos(&self, reception: &Reception, sent: PacketCounters) -> Option<Mos> {
        reception.ssrc()?;
        let figures = reception.figures();
        let heard_loss = self.heard.map_or(0.0, |heard| {
            (heard.lost + heard.lost_before) as f32 / sent.packets.max(1) as f32
        });
        let heard_jitter = self.heard.map_or(Duration::ZERO, |heard| heard.jitter);
        let first = self.formats.iter().find_map(|format| format.impairment);
        Some(Mos::of(&Conditions {
            loss: figures.loss().max(heard_loss),
            round_trip: self.round_trip.last().unwrap_or_default(),
            jitter: figures.jitter.max(heard_jitter),
            packet_time: PACKET_TIME,
            impairment: self.codec.or(first).unwrap_or(Impairment::UNKNOWN),
        }))
    }
}

impl Media {
    /// What the payload types stand for that the endpoint's peer sends; of two with one number the first.
    pub fn formats(&mut self, id: EndpointId, formats: impl IntoIterator<Item = PayloadFormat>) {
        if self.pair(id).is_none() {
            return;
        }
        let pair = pair_index(sockets(id)[0]);
        if let (Some(reports), Some(reception)) =
            (self.reports.get_mut(pair), self.receptions.get_mut(pair))
        {
            reports.formats = formats.into_iter().take(FORMATS_MAX).collect();
            reports.codec = None;
            reception.renumber();
        }
    }

    /// What protects the packets of an endpoint.
    fn suite(&self, id: EndpointId) -> Option<Suite> {
        let [rtp, _] = sockets(id);
        let kind = self.streams.get(index(rtp))?.kind;
        let is_secure = kind.is_secure && !kind.is_udptl;
        self.pair(id)?.keys.as_ref().filter(|_| is_secure)?.suite()
    }

    /// What is known of the media between us and the endpoint's peer.
    pub fn quality(&self, id: EndpointId) -> LegQuality {
        let counters = self.counters(id);
        let pair = pair_index(sockets(id)[0]);
        let known = self.pair(id).and_then(|_| self.reports.get(pair));
        let (Some(reports), Some(reception)) = (known, self.receptions.get(pair)) else {
            return LegQuality::default();
        };
        let StreamCounters {
            rtp,
            rtcp,
            rtp_sent,
            rtcp_sent,
            dropped,
        } = counters;
        let (is_heard, figures) = (reception.ssrc().is_some(), reception.figures());
        let heard = reports.heard;
        LegQuality {
            srtp: self.suite(id),
            from_peer: StreamQuality {
                packets_lost: is_heard.then(|| figures.lost().into()),
                jitter: reception.clock_rate().map(|_| figures.jitter),
                ..stream(rtp, rtcp)
            },
            to_peer: StreamQuality {
                packets_lost: heard.map(|heard| heard.lost + heard.lost_before),
                jitter: heard.map(|heard| heard.jitter),
                ..stream(rtp_sent, rtcp_sent)
            },
            duplicates: figures.duplicates.into(),
            reordered: figures.reordered.into(),
            dropped,
            round_trip: reports.round_trip.last(),
            mos: reports.mos(reception, rtp_sent).map(Mos::hundredths),
        }
    }

    /// The report that the endpoint's peer gets from us, written to `buffer`: where it goes, and its bytes. To be
    /// asked for every few seconds; `None` where the peer of the other leg reports by itself, where nobody has
    /// sent RTP since it was asked last, within [`REPORT_INTERVAL`], and where it cannot be sent.
    pub fn own_report(
        &mut self,
        to: EndpointId,
        reporter: &Reporter<'_>,
        now: Instant,
        buffer: &mut [u8],
    ) -> Option<(Forward, usize)> {
        self.pair(to)?;
        let socket = sockets(to)[0];
        let other = self.streams.get(socket.0 as usize)?.partner?;
        let (to, from) = (pair_index(socket), pair_index(other));
        let seen = (self.follow(from)?, self.follow(to)?);
        let before = std::mem::replace(&mut self.reports.get_mut(to)?.told.seen, seen);
        let (is_sending, is_receiving) = (seen.0 != before.0, seen.1 != before.1);
        if !(is_sending || is_receiving) || !self.reports.get_mut(from)?.is_silent(now) {
            return None;
        }
        let told = self.reports.get(to)?.told;
        let is_early = |at| now.since(at) + PUNCTUALITY < REPORT_INTERVAL;
        if told.at.is_some_and(is_early) {
            return None;
        }
        let sender = self.sender_info(from, now).filter(|_| is_sending);
        let block = self.block_about(to, now).filter(|_| is_receiving);
        let ssrc = self.receptions.get(from)?.ssrc().unwrap_or(reporter.ssrc);
        let report = OwnReport {
            ssrc,
            sender,
            blocks: block.as_slice(),
            cname: reporter.cname,
            is_leaving: false,
        };
        let length = report.write(buffer).ok()?;
        let mut packet = Datagram { buffer, length };
        let forward = self.send(rtcp_of(other), Content::Rtcp, &mut packet).ok()?;
        let length = packet.length;
        let figures = self.receptions.get(to)?.figures();
        let reports = self.reports.get_mut(to)?;
        reports.told = Told {
            at: Some(now),
            figures,
            ..reports.told
        };
        if let Some(sender) = sender {
            reports.sender_report_passed(sender.ntp_middle(), now);
        }
        Some((forward, length))
    }

    /// RTP packets of a pair so far; a new SSRC is counted from now on.
    fn follow(&mut self, pair: usize) -> Option<u64> {
        let ssrc = self.receptions.get(pair)?.ssrc();
        let received = self.incoming.get(pair * 2)?.received;
        let reports = self.reports.get_mut(pair)?;
        match reports.before_ssrc {
            (known, _) if known == ssrc => {}
            (None, before) => reports.before_ssrc = (ssrc, before),
            (Some(_), _) => reports.before_ssrc = (ssrc, received),
        }
        Some(received.packets)
    }

    /// What the pair's peer would say of its stream.
    fn sender_info(&self, pair: usize, now: Instant) -> Option<SenderInfo> {
        let (_, before) = self.reports.get(pair)?.before_ssrc;
        let received = self.incoming.get(pair * 2)?.received;
        let packets = received.packets.saturating_sub(before.packets);
        let bytes = received.bytes.saturating_sub(before.bytes);
        let payload = bytes.saturating_sub(packets * RTP_HEADER_BYTES);
        Some(SenderInfo {
            ntp: ntp(now),
            rtp_timestamp: self.receptions.get(pair)?.timestamp_at(now)?,
            packets: wrapped(packets),
            bytes: wrapped(payload),
        })
    }

    /// What is said to the pair's peer of its stream.
    fn block_about(&self, pair: usize, now: Instant) -> Option<ReportBlock> {
        let reports = self.reports.get(pair)?;
        let (last_sender_report, delay_since_last_sender_report) = reports.last_sender_report(now);
        let reception = self.receptions.get(pair)?;
        Some(ReportBlock {
            last_sender_report,
            delay_since_last_sender_report,
            ..reception.report_block(&reports.told.figures)?
        })
    }

    /// Takes in what the peer at a socket reports: the middle half of the NTP timestamp of its sender report, if
    /// there is one.
    pub(super) fn hear_reports(
        &mut self,
        arrived: MediaSocket,
        compound: Compound<'_>,
        now: Instant,
    ) -> Option<u32> {
        let partner = self.streams.get(arrived.0 as usize)?.partner;
        let relayed = partner.and_then(|partner| self.receptions.get(pair_index(partner)));
        let reports = self.reports.get_mut(pair_index(arrived))?;
        reports.spoke = Some(now);
        reports.has_reported = true;
        let mut stamp = None;
        for packet in compound.packets() {
            let blocks = match packet {
                Packet::SenderReport(report) => {
                    let middle = report.info.ntp_middle();
                    reports.sender_report = Some((middle, now));
                    stamp = Some(middle);
                    report.blocks
                }
                Packet::ReceiverReport(report) => report.blocks,
                Packet::Bye(_) | Packet::Other { .. } => continue,
            };
            for block in blocks {
                reports.hear(&block, relayed, now);
            }
        }
        stamp
    }
}

fn stream(rtp: PacketCounters, rtcp: PacketCounters) -> StreamQuality {
    StreamQuality {
        rtp_packets: rtp.packets,
        rtp_bytes: rtp.bytes,
        rtcp_packets: rtcp.packets,
        rtcp_bytes: rtcp.bytes,
        packets_lost: None,
        jitter: None,
    }
}

/// Seconds as 32.32 bits fixed point.
fn ntp(now: Instant) -> u64 {
    let (seconds, micros) = (now.as_micros() / 1_000_000, now.as_micros() % 1_000_000);
    (seconds << 32) | ((micros << 32) / 1_000_000)
}

/// As RTCP counts.
fn wrapped(count: u64) -> u32 {
    (count & u64::from(u32::MAX)) as u32
}
