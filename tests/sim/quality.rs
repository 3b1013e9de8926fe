//! What the gateway knows of a call's media is what the network has done to it, and what it reports where a peer does
//! not.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline::connector_id::VoiceConnectorId;
use trunkline::instant::Instant;
use trunkline::media::rtcp::{Compound, OwnReport, Packet, ReportBlock, SenderInfo};
use trunkline::telemetry::{CallQuality, CallsWanted, Drops, Event, StreamQuality};

use crate::agent::plan::{Act, Session};
use crate::cast::{PLAIN, connector_id, play, ways};
use crate::network::Rng;
use crate::world::{CallRef, World, seed};

/// Between two packets of one stream.
const PACKET_MILLIS: u64 = 20;

/// One peer's stream, and what becomes of it on its way to the gateway.
struct Stream {
    from: SocketAddr,
    to: SocketAddr,
    ssrc: u32,
    next: u32,
    /// Packets that were lost, that came twice, that were overtaken; those that the gateway passed on.
    lost: u64,
    duplicates: u64,
    reordered: u64,
    passed: u64,
}

/// In a thousand.
#[derive(Clone, Copy)]
struct Weather {
    loss: u64,
    duplication: u64,
    /// Overtaken by the two packets after them.
    reordering: u64,
    /// A packet is late by less than this, in milliseconds.
    jitter: u64,
}

const FINE: Weather = Weather {
    loss: 0,
    duplication: 0,
    reordering: 0,
    jitter: 1,
};

impl Stream {
    fn new(world: &World, at: CallRef, ssrc: u32) -> Self {
        let call = world.at_call(at);
        Self {
            from: SocketAddr::new(world.agents[at.agent].source.ip(), call.media_port),
            to: call.remote_media.unwrap(),
            ssrc,
            next: 0,
            lost: 0,
            duplicates: 0,
            reordered: 0,
            passed: 0,
        }
    }

    /// So many packets more, each with the milliseconds after which it comes. First and last do come, in time.
    fn packets(&mut self, count: u64, weather: Weather, rng: &mut Rng) -> Vec<(u64, Vec<u8>)> {
        let mut arrivals = Vec::new();
        for number in 0..count {
            let sequence = self.next;
            self.next += 1;
            let is_end = number < 4 || number + 4 >= count;
            if !is_end && rng.chance(weather.loss) {
                self.lost += 1;
                continue;
            }
            let mut after = number * PACKET_MILLIS + rng.below(weather.jitter);
            if !is_end && rng.chance(weather.reordering) {
                after += 3 * PACKET_MILLIS;
            }
            if !is_end && rng.chance(weather.duplication) {
                self.duplicates += 1;
                arrivals.push((after, sequence));
            }
            arrivals.push((after, sequence));
        }
        arrivals.sort_by_key(|(after, _)| *after);
        let mut highest = 0;
        let mut seen = std::collections::HashSet::new();
        for (_, sequence) in &arrivals {
            if *sequence < highest && seen.insert(*sequence) {
                self.reordered += 1;
            }
            seen.insert(*sequence);
            highest = highest.max(*sequence);
        }
        let ssrc = self.ssrc;
        let packets = arrivals.into_iter();
        packets
            .map(|(after, sequence)| (after, rtp(sequence, ssrc)))
            .collect()
    }
}

fn rtp(sequence: u32, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend((sequence as u16).to_be_bytes());
    packet.extend((sequence * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 160]);
    packet
}

/// Where a packet went.
fn send(
    world: &mut World,
    from: SocketAddr,
    to: SocketAddr,
    packet: &[u8],
) -> Option<(SocketAddr, Vec<u8>)> {
    let arrived = world.send_bytes(from, to, packet)?;
    Some((arrived.at, arrived.bytes))
}

/// RTCP of a stream's sender; what became of it.
fn report(world: &mut World, stream: &Stream, report: &OwnReport<'_>) -> Option<SocketAddr> {
    let mut buffer = [0; 256];
    let length = report.write(&mut buffer).unwrap();
    let next = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
    let (from, to) = (next(stream.from), next(stream.to));
    send(world, from, to, &buffer[..length]).map(|(to, _)| to)
}

/// Everybody speaks for so many packets of time.
fn talk(
    world: &mut World,
    streams: &mut [&mut Stream],
    count: u64,
    weather: Weather,
    rng: &mut Rng,
) {
    let mut all = Vec::new();
    for (number, stream) in streams.iter_mut().enumerate() {
        let packets = stream.packets(count, weather, rng);
        all.extend(
            packets
                .into_iter()
                .map(|(after, packet)| (after, number, packet)),
        );
    }
    all.sort_by_key(|(after, ..)| *after);
    let mut passed = 0;
    for (after, number, packet) in all {
        world.run(after.saturating_sub(passed));
        passed = passed.max(after);
        let stream = &mut streams[number];
        if send(world, stream.from, stream.to, &packet).is_some() {
            stream.passed += 1;
        }
    }
    world.run((count * PACKET_MILLIS).saturating_sub(passed));
}

/// As the end of the call tells it.
fn at_end(world: &World) -> CallQuality {
    let ends = world.events.iter().rev();
    let mut ends = ends.filter_map(|event| match event {
        Event::CallEnded { quality, .. } => Some((**quality).clone()),
        _ => None,
    });
    ends.next().unwrap()
}

/// As it was told once a minute.
fn each_minute(world: &World) -> Vec<CallQuality> {
    let events = world.events.iter();
    let told = events.filter_map(|event| match event {
        Event::CallQuality { quality, .. } => Some((**quality).clone()),
        _ => None,
    });
    told.collect()
}

/// Where reports of the gateway's own went, and who reports in them.
fn own_reports(world: &World) -> Vec<(Instant, SocketAddr, u32)> {
    let reports = world.own_media.iter().map(|(at, forward, bytes)| {
        let packet = Compound::read(bytes).unwrap().packets().next();
        match packet {
            Some(Packet::SenderReport(report)) => (*at, forward.to, report.ssrc),
            Some(Packet::ReceiverReport(report)) => (*at, forward.to, report.ssrc),
            other => panic!("{other:?}"),
        }
    });
    reports.collect()
}

fn says<'a>(ssrc: u32, sender: Option<SenderInfo>, blocks: &'a [ReportBlock]) -> OwnReport<'a> {
    OwnReport {
        ssrc,
        sender,
        blocks,
        cname: "peer",
        is_leaving: false,
    }
}

fn block(ssrc: u32, lost: i32, last_sender_report: u32, delay: u32) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost: 0,
        lost,
        highest_sequence: 0,
        jitter: 40,
        last_sender_report,
        delay_since_last_sender_report: delay,
    }
}

#[test]
fn the_figures_are_what_the_network_has_done() {
    let weather = Weather {
        loss: 30,
        duplication: 20,
        reordering: 10,
        jitter: 16,
    };
    println!("TRUNKLINE_SIM_SEED={}", seed());
    for (caller, called, to) in ways() {
        play(|world| {
            let mut rng = Rng::new(seed());
            let (a, b) = world.establish(caller, called, &to);
            let mut of_a = Stream::new(world, a, 0xaaaa);
            let mut of_b = Stream::new(world, b, 0xbbbb);
            talk(world, &mut [&mut of_a, &mut of_b], 4_000, weather, &mut rng);
            let minutes = each_minute(world);
            assert_eq!(minutes.len(), 1);
            let first = minutes[0].a.from_peer;
            assert!((2_700..=3_000).contains(&first.rtp_packets), "{first:?}");
            world.act(a, Act::Bye);
            world.run(1_000);
            let quality = at_end(world);
            for (stream, leg) in [(&of_a, &quality.a), (&of_b, &quality.b)] {
                assert_eq!(leg.from_peer.packets_lost, Some(stream.lost));
                assert_eq!(leg.duplicates, stream.duplicates);
                assert_eq!(leg.reordered, stream.reordered);
                assert_eq!(leg.dropped, Drops::default());
                assert_eq!(leg.from_peer.rtp_packets, stream.passed);
                assert_eq!(leg.from_peer.rtp_bytes, stream.passed * 172);
                // The mean difference of two that are uniform below 16 ms, and of a few that are 60 ms late.
                let jitter = leg.from_peer.jitter.unwrap();
                let bounds = Duration::from_millis(3)..Duration::from_millis(14);
                assert!(bounds.contains(&jitter), "{jitter:?}");
                assert!((200..420).contains(&leg.mos.unwrap()), "{:?}", leg.mos);
                assert!(stream.lost > 60 && stream.duplicates > 30 && stream.reordered > 10);
            }
            assert_eq!(quality.a.to_peer.rtp_packets, of_b.passed);
        });
    }
}

#[test]
fn a_fine_call_is_told_to_be_one() {
    for (caller, called, to) in ways() {
        play(|world| {
            let mut rng = Rng::new(seed());
            let (a, b) = world.establish(caller, called, &to);
            let mut of_a = Stream::new(world, a, 0xaaaa);
            let mut of_b = Stream::new(world, b, 0xbbbb);
            talk(world, &mut [&mut of_a, &mut of_b], 500, FINE, &mut rng);
            let now = world.now;
            let live = |world: &World, connectors: &[VoiceConnectorId]| {
                let wanted = CallsWanted {
                    connectors: connectors.iter().copied().collect(),
                    max: 10,
                };
                let shards = world.shards.iter();
                let calls = shards.flat_map(|shard| shard.live_calls(&wanted, now));
                calls.collect::<Vec<_>>()
            };
            let (theirs, others) = (connector_id(PLAIN), connector_id(99));
            assert_eq!(live(world, &[others]), []);
            let calls = live(world, &[others, theirs]);
            assert_eq!(calls.len(), 1);
            assert_eq!(calls[0].quality.a.from_peer.rtp_packets, 500);
            world.act(b, Act::Bye);
            world.run(1_000);
            let quality = at_end(world);
            for leg in [quality.a, quality.b] {
                assert_eq!(leg.mos, Some(438));
                let StreamQuality {
                    packets_lost,
                    jitter,
                    ..
                } = leg.from_peer;
                assert_eq!((packets_lost, jitter), (Some(0), Some(Duration::ZERO)));
                assert_eq!(leg.to_peer.packets_lost, None, "nobody has reported");
                assert_eq!(leg.round_trip, None);
            }
            assert_eq!(live(world, &[theirs]), []);
        });
    }
}

#[test]
fn where_a_side_does_not_report_the_gateway_does() {
    for (caller, called, to) in ways() {
        play(|world| {
            let mut rng = Rng::new(seed());
            let (a, b) = world.establish(caller, called, &to);
            let mut of_a = Stream::new(world, a, 0xaaaa);
            let mut of_b = Stream::new(world, b, 0xbbbb);
            let next = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
            let (to_a, to_b) = (next(of_a.from), next(of_b.from));
            talk(world, &mut [&mut of_a, &mut of_b], 2_000, FINE, &mut rng);
            let reports = own_reports(world);
            let of = |to: SocketAddr| reports.iter().filter(move |report| report.1 == to);
            for (to, ssrc) in [(to_a, 0xbbbb), (to_b, 0xaaaa)] {
                assert!((5..=6).contains(&of(to).count()), "{reports:?}");
                assert!(of(to).all(|report| report.2 == ssrc));
                let times: Vec<_> = of(to).map(|report| report.0).collect();
                let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]));
                assert!(gaps.min() >= Some(Duration::from_secs(5)));
            }
            // A begins to report: B is not told by us any more, A still is.
            let before = world.own_media.len();
            for _ in 0..10 {
                assert_eq!(report(world, &of_a, &says(0xaaaa, None, &[])), Some(to_b));
                talk(world, &mut [&mut of_a, &mut of_b], 250, FINE, &mut rng);
            }
            let reports = own_reports(world).split_off(before);
            assert!((9..=11).contains(&reports.len()), "{reports:?}");
            assert!(reports.iter().all(|report| report.1 == to_a));
            world.act(b, Act::Bye);
        });
    }
}

#[test]
fn the_time_to_a_peer_and_what_it_hears_are_known_from_its_reports() {
    for (caller, called, to) in ways() {
        play(|world| {
            let mut rng = Rng::new(seed());
            let (a, b) = world.establish(caller, called, &to);
            let mut of_a = Stream::new(world, a, 0xaaaa);
            let mut of_b = Stream::new(world, b, 0xbbbb);
            talk(world, &mut [&mut of_a, &mut of_b], 500, FINE, &mut rng);
            let info = SenderInfo {
                ntp: 0x0000_0007_8000_0000,
                rtp_timestamp: 0,
                packets: 500,
                bytes: 80_000,
            };
            report(world, &of_a, &says(0xaaaa, Some(info), &[])).unwrap();
            // 80 ms to B and back, and B waits for two seconds.
            world.run(2_080);
            let heard = [block(0xaaaa, 25, 0x0007_8000, 2 * 65_536)];
            report(world, &of_b, &says(0xbbbb, None, &heard)).unwrap();
            world.act(a, Act::Bye);
            world.run(1_000);
            let quality = at_end(world);
            assert_eq!(quality.b.round_trip, Some(Duration::from_millis(80)));
            assert_eq!(quality.a.round_trip, None);
            assert_eq!(quality.b.to_peer.packets_lost, Some(25));
            assert_eq!(quality.b.to_peer.jitter, Some(Duration::from_millis(5)));
            assert_eq!(quality.b.to_peer.rtcp_packets, 1);
            assert!(
                quality.b.mos < Some(420),
                "5 % are lost: {:?}",
                quality.b.mos
            );
        });
    }
}

#[test]
fn a_peer_that_begins_anew_is_heard_after_one_packet_and_at_once_after_an_offer() {
    for (caller, called, to) in ways() {
        play(|world| {
            let mut rng = Rng::new(seed());
            let (a, b) = world.establish(caller, called, &to);
            let mut of_a = Stream::new(world, a, 0xaaaa);
            talk(world, &mut [&mut of_a], 100, FINE, &mut rng);
            assert_eq!(of_a.passed, 100);
            of_a.ssrc = 0xa5a5;
            of_a.next = 40_000;
            talk(world, &mut [&mut of_a], 100, FINE, &mut rng);
            assert_eq!(of_a.passed, 199);
            world.act(b, Act::Reinvite(Session::Direction("sendrecv")));
            world.run(1_000);
            of_a.ssrc = 0x5a5a;
            of_a.next = 7;
            talk(world, &mut [&mut of_a], 100, FINE, &mut rng);
            assert_eq!(of_a.passed, 299);
            world.act(a, Act::Bye);
            world.run(1_000);
            let quality = at_end(world).a;
            assert_eq!(
                (quality.dropped.to_string(), quality.from_peer.packets_lost),
                ("implausible=1".to_owned(), Some(0))
            );
        });
    }
}
