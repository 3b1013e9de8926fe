//! Roll-over counters, sources, and what a relay's sequence numbers become.

use super::*;

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// What comes out of the other end, or why nothing does.
fn relayed(outbound: &mut Outbound, inbound: &mut Inbound, number: u16) -> Result<u16, SrtpError> {
    let sealed = protect(outbound, &rtp(SSRC, number))?;
    let opened = unprotect(inbound, &sealed)?;
    assert_eq!(opened[12..], rtp(SSRC, number)[12..]);
    Ok(sequence(&opened))
}

#[test]
fn numbers_go_on_over_many_wraps() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        for n in 0..2_235u32 {
            let number = n.wrapping_mul(997) as u16;
            assert_eq!(
                relayed(&mut outbound, &mut inbound, number),
                Ok(number),
                "{n}"
            );
        }
        assert_eq!(inbound.rtp_sources.get(SSRC).unwrap().highest() >> 16, 33);
    }
}

#[test]
fn reordering_and_loss_around_the_wrap_do_no_harm() {
    let (mut outbound, mut inbound) = pair(SUITE);
    for start in [100u16, 30_000, 60_000] {
        relayed(&mut outbound, &mut inbound, start).unwrap();
    }
    let numbers: Vec<u16> = (0..200).map(|n| 65_436u16.wrapping_add(n)).collect();
    let sealed: Vec<Vec<u8>> = numbers
        .iter()
        .map(|number| protect(&mut outbound, &rtp(SSRC, *number)).unwrap())
        .collect();
    // Every third is lost; each block of fifty comes backwards.
    for block in sealed.chunks(50) {
        for packet in block
            .iter()
            .rev()
            .filter(|packet| !sequence(packet).is_multiple_of(3))
        {
            assert!(
                unprotect(&mut inbound, packet).is_ok(),
                "{}",
                sequence(packet)
            );
        }
    }
    // A long silence, over the next wrap.
    for number in [30_000, 62_000, 64_000, 20_000] {
        let sealed = protect(&mut outbound, &rtp(SSRC, number)).unwrap();
        if number != 64_000 {
            assert!(unprotect(&mut inbound, &sealed).is_ok(), "{number}");
        }
    }
}

#[test]
fn a_receiver_that_missed_the_first_roll_over_finds_it() {
    let mut theirs = Outbound::new(&key(SUITE));
    let mut inbound = Inbound::new(&key(SUITE), &[]);
    for number in [20_000, 40_000, 65_535] {
        protect(&mut theirs, &rtp(SSRC, number)).unwrap();
    }
    for number in 3..10 {
        assert_eq!(relayed(&mut theirs, &mut inbound, number), Ok(number));
    }
}

#[test]
fn a_first_number_of_the_upper_half_is_shifted_down() {
    let (mut outbound, mut inbound) = pair(SUITE);
    assert_eq!(relayed(&mut outbound, &mut inbound, 0xfffe), Ok(0x7ffe));
    assert_eq!(relayed(&mut outbound, &mut inbound, 0xffff), Ok(0x7fff));
    assert_eq!(relayed(&mut outbound, &mut inbound, 1), Ok(0x8001));
    assert_eq!(relayed(&mut outbound, &mut inbound, 0), Ok(0x8000), "late");
    // A receiver that only hears this has the right index.
    let mut late = Inbound::new(&key(SUITE), &[]);
    assert_eq!(relayed(&mut outbound, &mut late, 2), Ok(0x8002));
}

#[test]
fn no_index_is_used_twice() {
    let (mut outbound, mut inbound) = pair(SUITE);
    for number in [10, 12, 11] {
        assert_eq!(relayed(&mut outbound, &mut inbound, number), Ok(number));
    }
    for number in [10, 11, 12] {
        assert_eq!(
            protect(&mut outbound, &rtp(SSRC, number)),
            Err(SrtpError::Replayed)
        );
    }
    // Before the first of all, where there is no index.
    assert_eq!(
        protect(&mut outbound, &rtp(SSRC, 65_530)),
        Err(SrtpError::Replayed)
    );
}

#[test]
fn a_peer_that_starts_its_numbers_anew_goes_on_from_the_last() {
    let (mut outbound, mut inbound) = pair(SUITE);
    for number in 20_000..20_500 {
        assert_eq!(relayed(&mut outbound, &mut inbound, number), Ok(number));
    }
    assert_eq!(relayed(&mut outbound, &mut inbound, 300), Ok(20_500));
    assert_eq!(
        relayed(&mut outbound, &mut inbound, 300),
        Err(SrtpError::Replayed)
    );
    assert_eq!(relayed(&mut outbound, &mut inbound, 302), Ok(20_502));
    assert_eq!(relayed(&mut outbound, &mut inbound, 301), Ok(20_501));
    // A hundred behind is late no more (RFC 3550 appendix A.1).
    assert_eq!(relayed(&mut outbound, &mut inbound, 202), Ok(20_503));
    // And anew, from a number that would be the index of one that was sent.
    assert_eq!(relayed(&mut outbound, &mut inbound, 20_300), Ok(40_601));
    assert_eq!(relayed(&mut outbound, &mut inbound, 20_100), Ok(40_602));
}

#[test]
fn a_jump_ahead_is_passed_on_as_it_is() {
    let (mut outbound, mut inbound) = pair(SUITE);
    for number in [10, 20_000, 40_000, 60_000, 14_464] {
        assert_eq!(relayed(&mut outbound, &mut inbound, number), Ok(number));
    }
}

#[test]
fn sources_are_numbered_apart() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        for number in 0..100 {
            for ssrc in 0..5 {
                let packet = rtp(ssrc, number);
                let sealed = protect(&mut outbound, &packet).unwrap();
                assert_eq!(unprotect(&mut inbound, &sealed), Ok(packet));
            }
        }
        assert_eq!((outbound.sources.len(), inbound.rtp_sources.len()), (5, 5));
    }
}

#[test]
fn inbound_gives_up_the_source_that_was_silent_for_longest() {
    let (mut outbound, mut inbound) = pair(SUITE);
    for ssrc in 0..100 {
        for source in [0, ssrc] {
            let sealed = protect(&mut outbound, &rtp(source, ssrc as u16 + 1)).unwrap_or_default();
            let sealed_rtcp = protect_rtcp(&mut outbound, &rtcp(source)).unwrap();
            if !sealed.is_empty() {
                unprotect(&mut inbound, &sealed).unwrap();
            }
            unprotect_rtcp(&mut inbound, &sealed_rtcp).unwrap();
        }
    }
    assert_eq!(
        (inbound.rtp_sources.len(), inbound.rtcp_sources.len()),
        (32, 32)
    );
    assert!(inbound.rtp_sources.get(0).is_some());
    assert!(inbound.rtp_sources.get(99).is_some());
    assert!(inbound.rtp_sources.get(50).is_none());
}

#[test]
fn outbound_forgets_no_source_and_refuses_one_too_many() {
    let mut outbound = Outbound::new(&key(SUITE));
    for ssrc in 0..512 {
        protect(&mut outbound, &rtp(ssrc, 9)).unwrap();
    }
    assert_eq!(
        protect(&mut outbound, &rtp(512, 9)),
        Err(SrtpError::KeyExhausted)
    );
    for ssrc in 0..512 {
        assert_eq!(
            protect(&mut outbound, &rtp(ssrc, 9)),
            Err(SrtpError::Replayed)
        );
        protect(&mut outbound, &rtp(ssrc, 10)).unwrap();
    }
}

#[test]
fn another_key_continues_the_numbers() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = pair(suite);
        for number in [40_000, 60_000, 20_000, 50_000, 10_000, 40_001] {
            relayed(&mut outbound, &mut inbound, number).unwrap();
        }
        protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap();
        let mut outbound = outbound.rekeyed(&other_key(suite));
        let mut inbound = inbound
            .rekeyed(&other_key(suite), &[])
            .rekeyed(&other_key(suite), &[]);
        assert_eq!(
            relayed(&mut outbound, &mut inbound, 40_002),
            Ok(40_002 - 32_768)
        );
        assert_eq!(outbound.sources.get(SSRC).unwrap().sent.highest() >> 16, 2);
        let mut report = rtcp(SSRC);
        report.resize(60, 0);
        outbound.protect_rtcp(&mut report, 24).unwrap();
        assert_eq!(outbound.rtcp_index, 2);
    }
}

#[test]
fn a_peer_that_starts_its_roll_over_counter_anew_with_another_key_is_heard() {
    let (mut outbound, mut inbound) = pair(SUITE);
    for number in [10, 30_000, 60_000, 20_000] {
        relayed(&mut outbound, &mut inbound, number).unwrap();
    }
    let mut outbound = Outbound::new(&other_key(SUITE));
    let mut inbound = inbound.rekeyed(&other_key(SUITE), &[]);
    assert_eq!(relayed(&mut outbound, &mut inbound, 20_001), Ok(20_001));
    assert_eq!(inbound.rtp_sources.get(SSRC).unwrap().highest(), 20_001);
}

#[test]
fn a_key_ends_with_its_last_index() {
    let (mut outbound, mut inbound) = pair(SUITE);
    relayed(&mut outbound, &mut inbound, 65_535 - 32_768).unwrap();
    let near_end = super::super::replay::ReplayWindow::starting_at((1 << 48) - 2);
    outbound.sources.get_mut(SSRC).unwrap().sent = near_end;
    *inbound.rtp_sources.get_mut(SSRC).unwrap() = near_end;
    assert_eq!(relayed(&mut outbound, &mut inbound, 65_535), Ok(65_535));
    assert_eq!(
        protect(&mut outbound, &rtp(SSRC, 0)),
        Err(SrtpError::KeyExhausted)
    );
    assert_eq!(
        unprotect(&mut inbound, &rtp(SSRC, 0)),
        Err(SrtpError::KeyExhausted)
    );

    outbound.rtcp_left = 1;
    outbound.rtcp_index = (1 << 31) - 1;
    protect_rtcp(&mut outbound, &rtcp(SSRC)).unwrap();
    assert_eq!(outbound.rtcp_index, 0);
    assert_eq!(
        protect_rtcp(&mut outbound, &rtcp(SSRC)),
        Err(SrtpError::KeyExhausted)
    );
}
