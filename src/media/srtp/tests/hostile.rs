//! Packets that are not what they should be.

use super::*;

#[test]
fn what_was_protected_is_unprotected_to_the_same() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        for sequence in 0..300 {
            let packet = rtp(SSRC, sequence);
            let sealed = protect(&mut outbound, &packet).unwrap();
            assert!(sealed.len() <= packet.len() + OVERHEAD_BYTES_MAX);
            assert_eq!(sealed[..12], packet[..12], "the header stays clear");
            assert_ne!(sealed[12..172], packet[12..], "the payload does not");
            assert_eq!(unprotect(&mut inbound, &sealed), Ok(packet));

            let report = rtcp(SSRC);
            let sealed = protect_rtcp(&mut outbound, &report).unwrap();
            assert!(sealed.len() <= report.len() + OVERHEAD_BYTES_MAX);
            assert_eq!(sealed[..8], report[..8]);
            assert_ne!(sealed[8..report.len()], report[8..]);
            assert_eq!(unprotect_rtcp(&mut inbound, &sealed), Ok(report));
        }
    }
}

#[test]
fn csrc_list_and_extension_stay_clear_and_a_payload_may_be_empty() {
    let mut packet = rtp(SSRC, 5);
    packet.truncate(12);
    packet[0] = 0x92;
    packet.extend([1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    let header = packet.len();
    for payload in [&b""[..], b"a payload"] {
        let packet = [&packet, payload].concat();
        for suite in Suite::ALL {
            let (mut outbound, mut inbound) = pair(suite);
            let sealed = protect(&mut outbound, &packet).unwrap();
            assert_eq!(sealed[..header], packet[..header]);
            assert_eq!(unprotect(&mut inbound, &sealed).as_ref(), Ok(&packet));
        }
    }
}

#[test]
fn a_change_of_any_byte_is_noticed_and_changes_nothing() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        let first = protect(&mut outbound, &rtp(SSRC, 1)).unwrap();
        unprotect(&mut inbound, &first).unwrap();
        let sealed = protect(&mut outbound, &rtp(SSRC, 2)).unwrap();
        let sealed_rtcp = protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap();
        for at in 0..sealed.len() {
            for bit in [1, 0x80] {
                let mut changed = sealed.clone();
                changed[at] ^= bit;
                unprotect(&mut inbound, &changed).unwrap_err();
            }
        }
        for at in 0..sealed_rtcp.len() {
            let mut changed = sealed_rtcp.clone();
            changed[at] ^= 1;
            unprotect_rtcp(&mut inbound, &changed).unwrap_err();
        }
        assert_eq!(unprotect(&mut inbound, &sealed), Ok(rtp(SSRC, 2)));
        assert_eq!(unprotect_rtcp(&mut inbound, &sealed_rtcp), Ok(rtcp(SSRC)));
    }
}

#[test]
fn a_packet_of_another_key_has_a_bad_tag_and_makes_no_source() {
    for suite in Suite::ALL {
        let mut outbound = Outbound::new(&other_key(suite));
        let mut inbound = Inbound::new(&key(suite), &[]);
        for ssrc in 0..100 {
            let sealed = protect(&mut outbound, &rtp(ssrc, 7)).unwrap();
            assert_eq!(unprotect(&mut inbound, &sealed), Err(SrtpError::BadTag));
            let sealed = protect_rtcp(&mut outbound, &rtcp(ssrc)).unwrap();
            assert_eq!(
                unprotect_rtcp(&mut inbound, &sealed),
                Err(SrtpError::BadTag)
            );
        }
        assert_eq!(
            (inbound.rtp_sources.len(), inbound.rtcp_sources.len()),
            (0, 0)
        );
    }
}

#[test]
fn any_start_of_a_packet_is_refused_and_never_panics() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        let sealed = protect(&mut outbound, &rtp(SSRC, 2)).unwrap();
        let sealed_rtcp = protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap();
        for length in 0..sealed.len() {
            unprotect(&mut inbound, &sealed[..length]).unwrap_err();
            unprotect_rtcp(&mut inbound, &sealed[..length]).unwrap_err();
        }
        for length in 0..sealed_rtcp.len() {
            unprotect_rtcp(&mut inbound, &sealed_rtcp[..length]).unwrap_err();
        }
        for length in 0..12 {
            let start = &rtp(SSRC, 1)[..length];
            assert_eq!(protect(&mut outbound, start), Err(SrtpError::Malformed));
        }
        for length in 0..8 {
            let start = &rtcp(SSRC)[..length];
            assert_eq!(
                protect_rtcp(&mut outbound, start),
                Err(SrtpError::Malformed)
            );
        }
    }
}

#[test]
fn lying_headers_and_other_versions_are_malformed() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        for first in [0x00, 0x40, 0xc0] {
            let mut packet = rtp(SSRC, 1);
            packet[0] = first;
            assert_eq!(protect(&mut outbound, &packet), Err(SrtpError::Malformed));
            assert_eq!(unprotect(&mut inbound, &packet), Err(SrtpError::Malformed));
            let mut packet = rtcp(SSRC);
            packet[0] = first;
            packet.resize(60, 0xff);
            assert_eq!(
                protect_rtcp(&mut outbound, &packet),
                Err(SrtpError::Malformed)
            );
            assert_eq!(
                unprotect_rtcp(&mut inbound, &packet),
                Err(SrtpError::Malformed)
            );
        }
        let mut packet = rtp(SSRC, 1);
        packet[0] = 0x90;
        packet[12..16].copy_from_slice(&[0, 0, 0xff, 0xff]);
        assert_eq!(protect(&mut outbound, &packet), Err(SrtpError::Malformed));
        assert_eq!(unprotect(&mut inbound, &packet), Err(SrtpError::Malformed));
        // The extension would end in the tag.
        packet[12..16].copy_from_slice(&[0, 0, 0, 39]);
        assert_eq!(unprotect(&mut inbound, &packet), Err(SrtpError::Malformed));
    }
}

#[test]
fn a_replayed_packet_is_refused() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        let sealed: Vec<_> = (0..400)
            .map(|sequence| protect(&mut outbound, &rtp(SSRC, sequence)).unwrap())
            .collect();
        for packet in &sealed[..300] {
            unprotect(&mut inbound, packet).unwrap();
        }
        for packet in &sealed[..300] {
            assert_eq!(unprotect(&mut inbound, packet), Err(SrtpError::Replayed));
        }
        unprotect(&mut inbound, &sealed[399]).unwrap();
        // What was skipped may still come, as far as the window goes back.
        assert_eq!(
            unprotect(&mut inbound, &sealed[399 - 128]),
            Err(SrtpError::Replayed)
        );
        for packet in &sealed[300..399] {
            unprotect(&mut inbound, packet).unwrap();
            assert_eq!(unprotect(&mut inbound, packet), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn a_replayed_report_is_refused() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        let sealed: Vec<_> = (0..200)
            .map(|_| protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap())
            .collect();
        unprotect_rtcp(&mut inbound, &sealed[199]).unwrap();
        assert_eq!(
            unprotect_rtcp(&mut inbound, &sealed[199 - 128]),
            Err(SrtpError::Replayed)
        );
        for packet in &sealed[199 - 127..199] {
            unprotect_rtcp(&mut inbound, packet).unwrap();
            assert_eq!(
                unprotect_rtcp(&mut inbound, packet),
                Err(SrtpError::Replayed)
            );
        }
    }
}

#[test]
fn srtcp_that_is_not_encrypted_is_refused() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        let mut sealed = protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap();
        let flag = sealed.len() - if is_gcm(suite) { 4 } else { 14 };
        assert_eq!(sealed[flag], 0x80);
        sealed[flag] = 0;
        assert_eq!(
            unprotect_rtcp(&mut inbound, &sealed),
            Err(SrtpError::Malformed)
        );
    }
}

#[test]
fn a_master_key_identifier_is_expected_where_its_place_is() {
    let mki = [0xaa, 0xbb, 0xcc];
    for suite in Suite::ALL {
        let mut outbound = Outbound::new(&key(suite));
        let mut inbound = Inbound::new(&key(suite), &mki);
        let has_short_tag = suite.name().ends_with("_32");
        let tag = match (is_gcm(suite), has_short_tag) {
            (true, _) => 0,
            (false, true) => 4,
            (false, false) => 10,
        };
        let mut sealed = protect(&mut outbound, &rtp(SSRC, 1)).unwrap();
        assert_eq!(unprotect(&mut inbound, &sealed), Err(SrtpError::WrongMki));
        let at = sealed.len() - tag;
        sealed.splice(at..at, mki);
        let mut wrong = sealed.clone();
        wrong[at + 1] ^= 1;
        assert_eq!(unprotect(&mut inbound, &wrong), Err(SrtpError::WrongMki));
        assert_eq!(unprotect(&mut inbound, &sealed), Ok(rtp(SSRC, 1)));

        let mut sealed = protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap();
        let at = sealed.len() - if is_gcm(suite) { 0 } else { 10 };
        sealed.splice(at..at, mki);
        assert_eq!(unprotect_rtcp(&mut inbound, &sealed), Ok(rtcp(SSRC)));
    }
}

#[test]
fn a_buffer_without_room_is_refused_and_left_alone() {
    for suite in Suite::ALL {
        let mut outbound = Outbound::new(&key(suite));
        let packet = rtp(SSRC, 0xf000);
        let report = rtcp(SSRC);
        let needed = protect(&mut Outbound::new(&key(suite)), &packet)
            .unwrap()
            .len();
        for room in packet.len()..needed {
            let mut buffer = packet.clone();
            buffer.resize(room, 0);
            let before = buffer.clone();
            assert_eq!(
                outbound.protect_rtp(&mut buffer, packet.len()),
                Err(SrtpError::NoRoom)
            );
            assert_eq!(buffer, before);
        }
        let mut buffer = report.clone();
        assert_eq!(
            outbound.protect_rtcp(&mut buffer, report.len()),
            Err(SrtpError::NoRoom)
        );
        assert_eq!(
            outbound.protect_rtcp(&mut buffer, report.len() + 1),
            Err(SrtpError::Malformed)
        );
        assert_eq!(buffer, report);
        assert_eq!(outbound.sources.len(), 0);
        assert_eq!(outbound.rtcp_index, 0);
    }
}

fn is_gcm(suite: Suite) -> bool {
    matches!(suite, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm)
}
