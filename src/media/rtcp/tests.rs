//! Compound packets that tell the truth, and those that do not.

use proptest::prelude::*;

use super::*;

const INFO: SenderInfo = SenderInfo {
    ntp: 0xe4a1_2345_8000_1234,
    rtp_timestamp: 160_000,
    packets: 1_000,
    bytes: 160_000,
};

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0xb,
    fraction_lost: 12,
    lost: -3,
    highest_sequence: 0x1_0005,
    jitter: 9,
    last_sender_report: 0x2345_8000,
    delay_since_last_sender_report: 65_536,
};

const REPORT: OwnReport<'static> = OwnReport {
    ssrc: 0xa,
    sender: Some(INFO),
    blocks: &[BLOCK],
    cname: "x@198.51.100.7",
    is_leaving: true,
};

fn written(report: &OwnReport<'_>) -> Vec<u8> {
    let mut buffer = [0xee; 2_000];
    let bytes = report.write(&mut buffer).unwrap();
    buffer[..bytes].to_vec()
}

/// A packet of a type with its count, and as many words as there are.
fn packet(packet_type: u8, first: u8, words: &[u32]) -> Vec<u8> {
    let length = u16::try_from(words.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x80 | first, packet_type, length[0], length[1]];
    packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    packet
}

fn read(bytes: &[u8]) -> Result<Vec<Packet<'_>>, RtcpError> {
    Compound::read(bytes).map(|compound| compound.packets().collect())
}

#[test]
fn what_is_written_is_read() {
    let bytes = written(&REPORT);
    let packets = read(&bytes).unwrap();
    let [Packet::SenderReport(report), other, Packet::Bye(bye)] = packets.as_slice() else {
        panic!("{packets:?}");
    };
    assert_eq!((report.ssrc, report.info), (0xa, INFO));
    assert_eq!(report.blocks.clone().collect::<Vec<_>>(), [BLOCK]);
    assert_eq!(*other, Packet::Other { packet_type: 202 });
    assert_eq!(bye.clone().collect::<Vec<_>>(), [0xa]);
    assert_eq!(INFO.ntp_middle(), 0x2345_8000);
}

#[test]
fn a_report_is_laid_out_as_the_rfc_shows_it() {
    let report = OwnReport {
        sender: None,
        cname: "ab",
        is_leaving: false,
        ..REPORT
    };
    #[rustfmt::skip]
    let expected = [
        0x81, 201, 0, 7, 0, 0, 0, 0xa,
        0, 0, 0, 0xb, 12, 0xff, 0xff, 0xfd, 0, 1, 0, 5, 0, 0, 0, 9, 0x23, 0x45, 0x80, 0, 0, 1, 0, 0,
        0x81, 202, 0, 3, 0, 0, 0, 0xa, 1, 2, b'a', b'b', 0, 0, 0, 0,
    ];
    assert_eq!(written(&report), expected);
}

#[test]
fn an_item_list_ends_with_a_zero_whatever_its_length() {
    for length in 0..=255 {
        let cname = "c".repeat(length);
        let report = OwnReport {
            cname: &cname,
            ..REPORT
        };
        let bytes = written(&report);
        assert_eq!(read(&bytes).unwrap().len(), 3, "{length}");
        let items = &bytes[52 + 8..bytes.len() - 8];
        assert_eq!(items[2..2 + length], *cname.as_bytes());
        assert!((1..=4).contains(&items[2 + length..].len()), "{length}");
    }
}

#[test]
fn what_has_no_room_is_not_written() {
    let whole = written(&REPORT).len();
    let mut buffer = vec![0; whole];
    assert_eq!(REPORT.write(&mut buffer), Ok(whole));
    for bytes in 0..whole {
        assert_eq!(REPORT.write(&mut buffer[..bytes]), Err(NoRoom), "{bytes}");
    }
    let mut buffer = [0; 2_000];
    let report = OwnReport {
        cname: &"c".repeat(256),
        ..REPORT
    };
    assert_eq!(report.write(&mut buffer), Err(NoRoom));
    let report = OwnReport {
        blocks: &[BLOCK; 32],
        ..REPORT
    };
    assert_eq!(report.write(&mut buffer), Err(NoRoom));
    let report = OwnReport {
        blocks: &[BLOCK; 31],
        ..REPORT
    };
    assert!(report.write(&mut buffer).is_ok());
}

#[test]
fn lost_packets_have_a_sign_and_24_bits() {
    for (lost, read_back) in [
        (0, 0),
        (-1, -1),
        (0x7f_ffff, 0x7f_ffff),
        (-0x80_0000, -0x80_0000),
        (i32::MAX, 0x7f_ffff),
        (i32::MIN, -0x80_0000),
    ] {
        let report = OwnReport {
            blocks: &[ReportBlock { lost, ..BLOCK }],
            ..REPORT
        };
        let bytes = written(&report);
        let Packet::SenderReport(report) = &read(&bytes).unwrap()[0] else {
            panic!("no sender report");
        };
        assert_eq!(report.blocks.clone().next().unwrap().lost, read_back);
    }
}

#[test]
fn a_compound_packet_may_begin_with_anything() {
    for packet_type in 192..=223 {
        let words = [0; 7];
        assert!(
            read(&packet(packet_type, 0, &words)).is_ok(),
            "{packet_type}"
        );
    }
    for packet_type in [0, 72, 191, 224, 255] {
        let error = Err(RtcpError::PacketType(packet_type));
        assert_eq!(read(&packet(packet_type, 0, &[0; 7])), error);
    }
}

#[test]
fn a_length_that_is_not_true_is_an_error() {
    assert_eq!(read(&[]), Err(RtcpError::Truncated));
    let whole = written(&REPORT);
    let ends = [52, whole.len() - 8, whole.len()];
    for end in 1..=whole.len() {
        assert_eq!(read(&whole[..end]).is_ok(), ends.contains(&end), "{end}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(read(&longer), Err(RtcpError::Truncated));
    longer.extend([0; 3]);
    assert_eq!(read(&longer), Err(RtcpError::Version(0)));
    let mut lying = whole;
    lying[2] = 0x40;
    assert_eq!(read(&lying), Err(RtcpError::Length(200)));
}

#[test]
fn every_packet_has_version_two() {
    let mut bytes = written(&REPORT);
    bytes[52] ^= 0x40;
    assert_eq!(read(&bytes), Err(RtcpError::Version(3)));
}

#[test]
fn what_is_counted_has_to_be_there() {
    for (packet_type, fixed, each) in [(200, 6, 6), (201, 1, 6), (203, 0, 1)] {
        for count in 0..=31u8 {
            let words = vec![0; fixed + usize::from(count) * each];
            assert!(read(&packet(packet_type, count, &words)).is_ok());
            let Some((_, fewer)) = words.split_first() else {
                continue;
            };
            let error = Err(RtcpError::Content(packet_type));
            assert_eq!(read(&packet(packet_type, count, fewer)), error, "{count}");
        }
    }
    // A profile's extension.
    assert!(read(&packet(200, 0, &[0; 9])).is_ok());
    assert_eq!(read(&packet(207, 0, &[])), Err(RtcpError::Content(207)));
}

#[test]
fn items_and_reasons_end_within_their_packet() {
    let cname = |length: u8| u32::from_be_bytes([1, length, b'a', b'b']);
    let of = |count, words: &[u32]| read(&packet(202, count, words)).is_ok();
    assert!(of(1, &[7, cname(2), 0]));
    assert!(of(1, &[7, cname(2)]), "the zero is missing at the end");
    assert!(of(2, &[7, cname(2), 0, 8, 0]), "no items");
    assert!(of(0, &[]));
    assert!(!of(1, &[7, cname(3)]));
    assert!(!of(1, &[7, cname(255), 0]));
    assert!(!of(2, &[7, cname(2), 0]), "the second is missing");
    assert!(
        !of(1, &[7, u32::from_be_bytes([1, 1, b'a', 1])]),
        "no length"
    );

    let bye = |reason: u8| packet(203, 1, &[7, u32::from_be_bytes([reason, b'a', b'b', b'c'])]);
    assert!(read(&bye(3)).is_ok());
    assert_eq!(read(&bye(4)), Err(RtcpError::Content(203)));
}

#[test]
fn padding_is_at_the_end_and_within_its_packet() {
    let padded = |words: &[u32]| packet(201, 0x20, words);
    assert_eq!(read(&padded(&[7, 4])).unwrap().len(), 1);
    assert!(read(&padded(&[7, 0, 8])).is_ok());
    for padding in [0, 3, 5, 6, 12, 255] {
        let error = Err(RtcpError::Padding);
        assert_eq!(read(&padded(&[7, padding])), error, "{padding}");
    }
    // The SSRC would be padding.
    assert_eq!(read(&padded(&[7, 8])), Err(RtcpError::Content(201)));
    assert_eq!(read(&padded(&[])), Err(RtcpError::Padding));

    let last = [packet(201, 0, &[7]), padded(&[7, 4])].concat();
    assert!(read(&last).is_ok());
    let first = [padded(&[7, 4]), packet(201, 0, &[7])].concat();
    assert_eq!(read(&first), Err(RtcpError::Padding));

    // Padding is nothing that is counted.
    let mut words = [0; 7];
    words[6] = 4;
    let error = Err(RtcpError::Content(201));
    assert_eq!(read(&packet(201, 0x21, &words)), error);
}

prop_compose! {
    fn block()(
        ssrc: u32, fraction_lost: u8, lost in -0x80_0000..=0x7f_ffffi32, highest_sequence: u32,
        jitter: u32, last_sender_report: u32, delay_since_last_sender_report: u32,
    ) -> ReportBlock {
        ReportBlock {
            ssrc, fraction_lost, lost, highest_sequence, jitter, last_sender_report,
            delay_since_last_sender_report,
        }
    }
}

/// Bytes that look like RTCP more often than chance has it.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let header = (any::<u8>(), 198u8..208, 0u8..10);
    let packet = (header, prop::collection::vec(any::<u8>(), 0..44)).prop_map(
        |((first, packet_type, words), content)| {
            let mut packet = vec![0x80 | first & 0x3f, packet_type, 0, words];
            packet.extend(content);
            packet.resize(4 + 4 * usize::from(words), 4);
            packet
        },
    );
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(packet, 0..5).prop_map(|packets| packets.concat()),
    ]
}

proptest! {
    /// What is let through is packets from beginning to end, each with all that it counts.
    #[test]
    fn whatever_comes_is_read_whole_or_not_at_all(bytes in bytes()) {
        let Ok(compound) = Compound::read(&bytes) else {
            return Ok(());
        };
        let mut at = 0;
        for packet in compound.packets() {
            let count = usize::from(bytes[at] & 0x1f);
            let packet_type = bytes[at + 1];
            match packet {
                Packet::SenderReport(report) => prop_assert_eq!(report.blocks.count(), count),
                Packet::ReceiverReport(report) => prop_assert_eq!(report.blocks.count(), count),
                Packet::Bye(bye) => prop_assert_eq!(bye.count(), count),
                Packet::Other { packet_type: read } => prop_assert_eq!(read, packet_type),
            }
            at += 4 + 4 * usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        }
        prop_assert_eq!(at, bytes.len());
    }

    #[test]
    fn any_report_that_is_written_is_read(
        ssrc: u32,
        sender in prop::option::of((any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>())),
        blocks in prop::collection::vec(block(), 0..=31),
        cname in "[a-z@.]{0,255}",
        is_leaving: bool,
    ) {
        let sender = sender.map(|(ntp, rtp_timestamp, packets, bytes)| SenderInfo {
            ntp, rtp_timestamp, packets, bytes,
        });
        let report = OwnReport { ssrc, sender, blocks: &blocks, cname: &cname, is_leaving };
        let bytes = written(&report);
        let packets = read(&bytes).unwrap();
        let (read_ssrc, read_sender, read_blocks) = match &packets[0] {
            Packet::SenderReport(report) => (report.ssrc, Some(report.info), report.blocks.clone()),
            Packet::ReceiverReport(report) => (report.ssrc, None, report.blocks.clone()),
            Packet::Bye(_) | Packet::Other { .. } => panic!("{packets:?}"),
        };
        prop_assert_eq!((read_ssrc, read_sender), (ssrc, sender));
        prop_assert_eq!(read_blocks.collect::<Vec<_>>(), blocks);
        prop_assert_eq!(packets.len(), 2 + usize::from(is_leaving));
    }
}

#[test]
fn numbers_are_put_back_in_reports_and_nacks_of_the_streams_that_were_shifted() {
    let block = |ssrc, highest_sequence| ReportBlock {
        ssrc,
        fraction_lost: 1,
        lost: 2,
        highest_sequence,
        jitter: 3,
        last_sender_report: 4,
        delay_since_last_sender_report: 5,
    };
    let compound = |blocks: &[ReportBlock], lost: [u16; 2]| {
        let mut bytes = vec![0; 256];
        let mut length = 0;
        for sender in [
            None,
            Some(SenderInfo {
                ntp: 1,
                rtp_timestamp: 2,
                packets: 3,
                bytes: 4,
            }),
        ] {
            let report = OwnReport {
                ssrc: 9,
                sender,
                blocks,
                cname: "x",
                is_leaving: false,
            };
            length += report.write(&mut bytes[length..]).unwrap();
        }
        bytes.truncate(length);
        for (ssrc, number) in [(7_u32, lost[0]), (8, lost[1])] {
            bytes.extend([0x81, 205, 0, 3, 0, 0, 0, 9]);
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend(number.to_be_bytes());
            bytes.extend([0x80, 1]);
        }
        // An application's packet with what might be a block.
        bytes.extend([0x81, 204, 0, 2, 0, 0, 0, 7, b'n', b'a', b'm', b'e']);
        bytes
    };
    // The second wraps at its receiver later than it did at its sender.
    let mut said = compound(
        &[block(7, 0x1000), block(8, 0x1000), block(7, 0x0001_8000)],
        [0xffff, 5],
    );
    let own = compound(
        &[block(7, 0x9000), block(8, 0x1000), block(7, 0x0002_0000)],
        [0x7fff, 5],
    );
    assert!(Compound::read(&said).is_ok());
    renumber(&mut said, |ssrc| if ssrc == 7 { 0x8000 } else { 0 });
    assert_eq!(said, own);
    // Whatever the bytes are, nothing panics.
    for length in 0..said.len() {
        renumber(&mut said[..length], |_| 1);
    }
}
