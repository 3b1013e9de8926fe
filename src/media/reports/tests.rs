//! Two peers that speak to each other, and what is known and said of that.

use std::net::SocketAddr;
use std::time::Duration;

use super::{PayloadFormat, Reporter};
use crate::instant::Instant;
use crate::media::rtcp::{Compound, OwnReport, Packet, ReportBlock, SenderInfo};
use crate::media::srtp::{Inbound, MasterKey, Outbound, Suite};
use crate::media::{
    Datagram, Endpoint, Forward, Media, MediaPort, MediaSocket, Peer, Protection, Rules,
};

const A: &str = "10.0.0.1:4000";
const A_RTCP: &str = "10.0.0.1:4001";
const B: &str = "10.0.0.2:5000";
const B_RTCP: &str = "10.0.0.2:5001";
const A_SSRC: u32 = 0xa;
const B_SSRC: u32 = 0xb;
const REPORTER: Reporter<'static> = Reporter {
    ssrc: 7,
    cname: "0123456789abcdef01234567",
};

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn peer(rtp: &str, rtcp: &str) -> Peer {
    Peer {
        rtp: Some(at(rtp)),
        rtcp: Some(at(rtcp)),
        signalling: at(rtp).ip(),
        rtcp_mux: false,
        is_udptl: false,
    }
}

/// A call: sockets 0 and 1 are A's, 2 and 3 B's.
struct Pair {
    media: Media,
    a: Endpoint,
    b: Endpoint,
    now: Instant,
    /// Of the last packet that each sent.
    sequence: [u16; 2],
    timestamp: [u32; 2],
}

impl Pair {
    fn new() -> Self {
        let now = Instant::from_micros(3_000_000);
        let mut media = Media::new(Rules::default());
        for number in 0..2u16 {
            media.add_port(MediaPort {
                socket: MediaSocket(2 * u32::from(number)),
                advertise: SocketAddr::from(([198, 51, 100, 7], 20_000 + 2 * number)),
            });
        }
        let a = media.allocate(false, now).unwrap();
        let b = media.allocate(false, now).unwrap();
        media.join(a.id, b.id);
        let mut pair = Self {
            media,
            a,
            b,
            now,
            sequence: [0; 2],
            timestamp: [0; 2],
        };
        pair.describe(peer(A, A_RTCP), peer(B, B_RTCP));
        pair
    }

    fn describe(&mut self, a: Peer, b: Peer) {
        for (endpoint, peer) in [(self.a, a), (self.b, b)] {
            self.media.expect(endpoint.id, &peer, self.now);
            let formats = [(0, "PCMU"), (101, "telephone-event")];
            let formats = formats.map(|(number, name)| PayloadFormat::new(number, 8_000, name));
            self.media.formats(endpoint.id, formats);
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn pass(&mut self, socket: u32, from: &str, packet: &[u8]) -> Option<Forward> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + 20, 0);
        let mut packet = Datagram {
            length: packet.len(),
            buffer: &mut buffer,
        };
        self.media
            .relay(MediaSocket(socket), at(from), &mut packet, self.now)
    }

    fn rtp(&mut self, who: usize, ssrc: u32) -> Option<Forward> {
        self.sequence[who] = self.sequence[who].wrapping_add(1);
        self.timestamp[who] = self.timestamp[who].wrapping_add(160);
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence[who].to_be_bytes());
        packet.extend(self.timestamp[who].to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xd5; 160]);
        match who {
            0 => self.pass(0, A, &packet),
            _ => self.pass(2, B, &packet),
        }
    }

    /// B's leg is SRTP from now on; our key and its own.
    fn encrypt_b(&mut self, suite: Suite) -> (MasterKey, MasterKey) {
        let [ours, theirs] = [1, 2].map(|byte| MasterKey::made_of(suite, |bytes| bytes.fill(byte)));
        let agreed = Protection::Agreed {
            ours: &ours,
            theirs: &theirs,
            their_mki: &[],
            is_new_place: false,
        };
        self.media.protect(self.b.id, &agreed);
        (ours, theirs)
    }

    /// Both speak, 20 ms a packet.
    fn talk(&mut self, packets: usize) {
        for _ in 0..packets {
            self.wait(20);
            assert!(self.rtp(0, A_SSRC).is_some());
            assert!(self.rtp(1, B_SSRC).is_some());
        }
    }

    fn rtcp(
        &mut self,
        who: usize,
        ssrc: u32,
        sender: Option<SenderInfo>,
        blocks: &[ReportBlock],
    ) -> Option<Forward> {
        let mut buffer = [0; 256];
        let report = OwnReport {
            ssrc,
            sender,
            blocks,
            cname: "x",
            is_leaving: false,
        };
        let length = report.write(&mut buffer).unwrap();
        match who {
            0 => self.pass(1, A_RTCP, &buffer[..length]),
            _ => self.pass(3, B_RTCP, &buffer[..length]),
        }
    }

    /// What the endpoint's peer is told, after a look.
    fn told(&mut self, to: Endpoint) -> Option<(Forward, Vec<u8>)> {
        let mut buffer = [0; 256];
        let (forward, length) = self
            .media
            .own_report(to.id, &REPORTER, self.now, &mut buffer)?;
        Some((forward, buffer[..length].to_vec()))
    }

    /// Reports to B, looked for every five seconds of talk.
    fn looks_at_b(&mut self, looks: usize) -> Vec<bool> {
        let look = |pair: &mut Self| {
            pair.talk(250);
            pair.told(pair.b).is_some()
        };
        (0..looks).map(|_| look(self)).collect()
    }
}

fn sender(ntp: u64) -> SenderInfo {
    SenderInfo {
        ntp,
        rtp_timestamp: 0,
        packets: 0,
        bytes: 0,
    }
}

fn block(ssrc: u32, lost: i32, last_sender_report: u32, delay: Duration) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost: 0,
        lost,
        highest_sequence: 0,
        jitter: 80,
        last_sender_report,
        delay_since_last_sender_report: u32::try_from(delay.as_micros() * 65_536 / 1_000_000)
            .unwrap(),
    }
}

#[test]
fn a_peer_that_makes_no_reports_is_spoken_for() {
    let mut pair = Pair::new();
    assert_eq!(pair.looks_at_b(5), [false, false, true, true, true]);
    let stamp = 0x1234_5678_9abc_def0;
    // B says when it has spoken, and then has something to hear of that.
    pair.rtcp(1, B_SSRC, Some(sender(stamp)), &[]);
    pair.talk(250);
    let (forward, bytes) = pair.told(pair.b).unwrap();
    let expected = Forward {
        socket: MediaSocket(3),
        to: at(B_RTCP),
    };
    assert_eq!(forward, expected);
    let mut packets = Compound::read(&bytes).unwrap().packets();
    let Some(Packet::SenderReport(mut report)) = packets.next() else {
        panic!("{bytes:?}");
    };
    assert_eq!(packets.next(), Some(Packet::Other { packet_type: 202 }));
    assert_eq!(report.ssrc, A_SSRC, "as if from A");
    assert_eq!(report.info.packets, 1_500);
    assert_eq!(report.info.bytes, 1_500 * 160);
    assert_eq!(report.info.ntp >> 32, 33, "since the origin");
    assert_eq!(report.info.rtp_timestamp, pair.timestamp[0]);
    let block = report.blocks.next().unwrap();
    assert_eq!((block.ssrc, block.lost), (B_SSRC, 0));
    assert_eq!(block.highest_sequence, 1_500);
    assert_eq!(block.last_sender_report, 0x5678_9abc);
    assert_eq!(block.delay_since_last_sender_report, 5 * 65_536);
    assert!(!bytes.windows(8).any(|part| part == b"10.0.0.1"));
}

#[test]
fn a_peer_that_reports_is_not_spoken_for_while_it_does() {
    let mut pair = Pair::new();
    for look in 0..20 {
        pair.rtcp(0, A_SSRC, Some(sender(1)), &[]);
        pair.talk(250);
        assert_eq!(pair.told(pair.b), None, "look {look}");
    }
    assert!(pair.told(pair.a).is_none(), "within an interval");
    pair.talk(250);
    let silent = pair.looks_at_b(6);
    assert_eq!(silent, [false, false, false, true, true, true]);
    pair.rtcp(0, A_SSRC, None, &[]);
    assert_eq!(pair.looks_at_b(2), [false, false]);
}

#[test]
fn whoever_only_listens_reports_under_a_name_of_its_own() {
    let mut pair = Pair::new();
    let mut told = Vec::new();
    for _ in 0..200 {
        pair.wait(100);
        pair.rtp(0, A_SSRC);
        told.extend(pair.told(pair.a));
    }
    assert_eq!(told.len(), 3, "after ten seconds, then every five");
    let (forward, bytes) = told.remove(0);
    assert_eq!(forward.to, at(A_RTCP));
    let Some(Packet::ReceiverReport(mut report)) = Compound::read(&bytes).unwrap().packets().next()
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(report.ssrc, REPORTER.ssrc);
    assert_eq!(report.blocks.next().unwrap().ssrc, A_SSRC);
}

#[test]
fn nothing_is_said_where_nobody_speaks_or_nobody_is_to_be_found() {
    let mut pair = Pair::new();
    pair.looks_at_b(5);
    pair.wait(60_000);
    assert_eq!(pair.told(pair.b), None, "silence");
    assert_eq!(pair.told(pair.a), None, "what came since the look before");
    let fax = |peer| Peer {
        is_udptl: true,
        rtcp: None,
        ..peer
    };
    pair.describe(fax(peer(A, A_RTCP)), fax(peer(B, B_RTCP)));
    pair.pass(0, A, &[0, 1, 2, 3, 4, 5]);
    assert_eq!(pair.told(pair.b), None, "fax");
    let mut pair = Pair::new();
    let nowhere = Peer {
        rtcp: None,
        ..peer(B, B_RTCP)
    };
    pair.describe(peer(A, A_RTCP), nowhere);
    assert_eq!(pair.looks_at_b(5), [false; 5]);
}

#[test]
fn reports_of_ours_are_encrypted_and_share_the_port_where_that_was_agreed() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let mut pair = Pair::new();
        let muxed = Peer {
            rtcp: Some(at(B)),
            rtcp_mux: true,
            ..peer(B, B_RTCP)
        };
        pair.describe(peer(A, A_RTCP), muxed);
        let (ours, _) = pair.encrypt_b(suite);
        let mut inbound = Inbound::new(&ours, &[]);
        let mut reports = 0;
        for _ in 0..6 {
            for _ in 0..250 {
                pair.wait(20);
                pair.rtp(0, A_SSRC);
            }
            let Some((forward, mut bytes)) = pair.told(pair.b) else {
                continue;
            };
            assert_eq!((forward.socket, forward.to), (MediaSocket(2), at(B)));
            let length = inbound.unprotect_rtcp(&mut bytes).unwrap();
            let packet = Compound::read(&bytes[..length]).unwrap().packets().next();
            assert!(
                matches!(packet, Some(Packet::SenderReport(_))),
                "{packet:?}"
            );
            reports += 1;
        }
        assert_eq!(reports, 4);
    }
}

#[test]
fn what_a_peer_says_of_shifted_numbers_is_told_by_those_of_their_sender() {
    let mut pair = Pair::new();
    let (_, theirs) = pair.encrypt_b(Suite::AesCm128HmacSha1_80);
    // SRTP begins below 2^15 (RFC 4568 §6.4).
    pair.sequence[0] = 0x8fff;
    pair.wait(20);
    assert!(pair.rtp(0, A_SSRC).is_some());
    assert_eq!(highest_told(&mut pair, 0x1000, Some(&theirs)), 0x9000);
    // In the clear they leave as they came.
    pair.media.protect(pair.b.id, &Protection::None);
    pair.wait(20);
    assert!(pair.rtp(0, A_SSRC).is_some());
    assert_eq!(highest_told(&mut pair, 0x9001, None), 0x9001);
}

/// What A is told of the highest sequence number that B says it has heard.
fn highest_told(pair: &mut Pair, highest_sequence: u32, key: Option<&MasterKey>) -> u32 {
    let heard = ReportBlock {
        highest_sequence,
        ..block(A_SSRC, 0, 0, Duration::ZERO)
    };
    let report = OwnReport {
        ssrc: B_SSRC,
        sender: None,
        blocks: &[heard],
        cname: "x",
        is_leaving: false,
    };
    let mut buffer = [0; 256];
    let mut length = report.write(&mut buffer).unwrap();
    if let Some(key) = key {
        length = Outbound::new(key)
            .protect_rtcp(&mut buffer, length)
            .unwrap();
    }
    let mut packet = Datagram {
        buffer: &mut buffer,
        length,
    };
    let passed = pair
        .media
        .relay(MediaSocket(3), at(B_RTCP), &mut packet, pair.now);
    assert_eq!(passed.map(|forward| forward.to), Some(at(A_RTCP)));
    let first = Compound::read(packet.bytes()).unwrap().packets().next();
    let Some(Packet::ReceiverReport(mut told)) = first else {
        panic!("{first:?}");
    };
    let told = told.blocks.next().unwrap();
    assert_eq!(
        ReportBlock {
            highest_sequence,
            ..told
        },
        heard
    );
    told.highest_sequence
}

#[test]
fn loss_is_that_of_the_way_to_the_peer_and_time_is_that_of_its_answer() {
    let mut pair = Pair::new();
    pair.talk(100);
    // Five are lost on the way from A to us.
    pair.sequence[0] += 5;
    pair.timestamp[0] += 5 * 160;
    pair.wait(100);
    pair.talk(100);
    pair.rtcp(0, A_SSRC, Some(sender(0x0001_0002_0003_0004)), &[]);
    pair.wait(1_060);
    let of_b = block(A_SSRC, 9, 0x0002_0003, Duration::from_secs(1));
    pair.rtcp(
        1,
        B_SSRC,
        None,
        &[block(0xdead, 50, 0, Duration::ZERO), of_b],
    );
    let (a, b) = (pair.media.quality(pair.a.id), pair.media.quality(pair.b.id));
    assert_eq!(a.from_peer.packets_lost, Some(5));
    assert_eq!(a.to_peer.packets_lost, None, "A has said nothing of it");
    assert_eq!(b.from_peer.packets_lost, Some(0));
    assert_eq!(b.to_peer.packets_lost, Some(4));
    assert_eq!(b.to_peer.jitter, Some(Duration::from_millis(10)));
    assert_eq!(b.to_peer.rtp_packets, 200);
    assert_eq!(a.round_trip, None);
    let round_trip = b.round_trip.unwrap();
    assert!(round_trip.abs_diff(Duration::from_millis(60)) < Duration::from_micros(50));
    assert!(a.mos < Some(438) && b.mos < Some(438), "{a:?} {b:?}");
}

#[test]
fn a_clean_call_is_as_good_as_its_codec_whatever_keys_are_pressed() {
    let mut pair = Pair::new();
    assert_eq!(pair.media.quality(pair.a.id).mos, None);
    pair.talk(100);
    let event = [
        0x80,
        0x80 | 101,
        0,
        101,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        10,
        1,
        2,
        3,
        4,
    ];
    pair.wait(20);
    pair.pass(0, A, &event);
    let quality = pair.media.quality(pair.a.id);
    assert_eq!(quality.mos, Some(438));
    assert_eq!(quality.from_peer.packets_lost, Some(0));
}

#[test]
fn a_new_source_is_believed_by_its_second_packet_or_at_once_where_it_was_announced() {
    let mut pair = Pair::new();
    pair.talk(50);
    pair.wait(20);
    assert_eq!(pair.rtp(0, 0xaa), None);
    assert!(pair.rtp(0, 0xaa).is_some());
    assert_eq!(pair.media.counters(pair.a.id).dropped.implausible, 1);
    pair.describe(peer(A, A_RTCP), peer(B, B_RTCP));
    assert!(pair.rtp(0, 0xaaa).is_some());
    pair.sequence[0] += 20_000;
    assert_eq!(pair.rtp(0, 0xaaa), None);
    assert!(pair.rtp(0, 0xaaa).is_some());
    assert_eq!(pair.media.counters(pair.a.id).dropped.implausible, 2);
    assert_eq!(pair.media.totals().dropped.implausible, 2);
    let quality = pair.media.quality(pair.a.id);
    assert_eq!(quality.from_peer.packets_lost, Some(0));
}

#[test]
fn what_is_under_way_when_a_peer_moves_does_not_hold_up_its_new_stream() {
    const ELSEWHERE: &str = "10.0.0.9:4400";
    let mut pair = Pair::new();
    pair.talk(50);
    pair.describe(peer(ELSEWHERE, "10.0.0.9:4401"), peer(B, B_RTCP));
    let packet = |sequence: u16| {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 99, 1, 2, 3]);
        packet
    };
    for _ in 0..20 {
        assert!(pair.rtp(0, A_SSRC).is_some(), "from where it was");
    }
    for sequence in 0..20 {
        assert!(pair.pass(0, ELSEWHERE, &packet(sequence)).is_some());
    }
    assert_eq!(pair.media.counters(pair.a.id).dropped.total(), 0);
}

#[test]
fn rtcp_that_lies_about_its_contents_is_dropped_and_says_nothing() {
    let mut pair = Pair::new();
    // It counts one report block and has none.
    assert_eq!(pair.pass(1, A_RTCP, &[0x81, 201, 0, 1, 0, 0, 0, 9]), None);
    assert_eq!(
        pair.pass(1, A_RTCP, &[0x80, 201, 0, 1, 0, 0, 0, 9, 0x80]),
        None
    );
    let dropped = pair.media.counters(pair.a.id).dropped;
    assert_eq!((dropped.malformed, dropped.total()), (2, 2));
    assert_eq!(pair.looks_at_b(3), [false, false, true], "A has not spoken");
}
