//! Before and after, as the two sides of the gateway see it.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{Codecs, Direction, LocalDescription, Ours, SdpError, SessionDescription};

mod legs;

const OURS: &str = "198.51.100.7:20002";

/// A softphone with everything a gateway must not pass on.
const RICH_OFFER: &str = "v=0\r\no=alice 2890844526 3 IN IP4 10.1.2.3\r\ns=Call from 10.1.2.3\r\n\
i=about\r\nu=http://10.1.2.3/\r\ne=alice@10.1.2.3\r\nc=IN IP4 10.1.2.3\r\nb=CT:1000\r\nb=X:10.1.2.3\r\n\
t=3034423619 3042462419\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\n\
m=audio 49170 RTP/AVP 9 0 101\r\nb=AS:80\r\na=rtcp:49180 IN IP4 10.1.2.4\r\n\
a=candidate:1 1 UDP 2130706431 10.1.2.3 49170 typ host\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\n\
a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
a=ptime:20\r\na=maxptime:40\r\na=silenceSupp:off - - - -\r\na=mid:0\r\na=ssrc:1 cname:x@10.1.2.3\r\n\
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=setup:actpass\r\na=fingerprint:sha-256 AA\r\n\
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\na=sendrecv\r\n\
m=video 49172 RTP/AVP 96 97\r\nb=AS:500\r\na=rtpmap:96 H264/90000\r\na=sendonly\r\n\
m=image 49174 udptl t38\r\n";

const RICH_OFFER_AFTER: &str = "v=0\r\no=trunkline 7 1 IN IP4 198.51.100.7\r\ns=-\r\n\
c=IN IP4 198.51.100.7\r\nb=CT:1000\r\nt=0 0\r\nm=audio 20002 RTP/AVP 9 0 101\r\nb=AS:80\r\n\
a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
a=ptime:20\r\na=maxptime:40\r\na=silenceSupp:off - - - -\r\na=sendrecv\r\na=rtcp:20003\r\n\
m=video 0 RTP/AVP 96 97\r\nm=image 0 udptl t38\r\n";

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn offer(text: &str, ours: &str) -> String {
    let codecs = Codecs::default();
    let ours = Ours::plain(address(ours), &codecs);
    let bytes = LocalDescription::new(7).offer(&parse(text), &ours);
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn answer(offered: &str, answered: &str) -> String {
    let codecs = Codecs::default();
    let ours = Ours::plain(address(OURS), &codecs);
    let bytes = LocalDescription::new(7).answer(&parse(offered), &parse(answered), &ours);
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One audio with this connection address and these further lines.
fn audio(ip: &str, lines: &str) -> String {
    let family = if ip.contains(':') { "IP6" } else { "IP4" };
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0\r\n{lines}"
    )
}

#[test]
fn an_offer_loses_all_but_its_codecs() {
    assert_eq!(offer(RICH_OFFER, OURS), RICH_OFFER_AFTER);
}

#[test]
fn an_offer_on_ipv6_says_so() {
    let after = offer(&audio("10.0.0.1", ""), "[2001:db8::7]:30000");
    assert_eq!(
        after,
        "v=0\r\no=trunkline 7 1 IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\n\
         m=audio 30000 RTP/AVP 0\r\na=sendrecv\r\na=rtcp:30001\r\n"
    );
}

#[test]
fn the_first_plain_audio_in_use_is_anchored_wherever_it_stands() {
    let text = "v=0\nc=IN IP4 10.0.0.1\nm=audio 0 RTP/AVP 8\nm=audio 5000 RTP/SAVP 0\n\
                m=audio 6000/2 RTP/AVPF 0  8 \na=rtcp-fb:* nack\nm=audio 7000 RTP/AVP 3\nm=video 0 RTP/AVP\n\n";
    let sdp = parse(text);
    assert_eq!(sdp.media_count(), 5);
    let anchored = sdp.stream().unwrap();
    assert_eq!(anchored.rtp, Some(address("10.0.0.1:6000")));
    let payload_types = anchored.formats.iter().map(|format| format.payload_type);
    assert_eq!(payload_types.collect::<Vec<_>>(), [0, 8]);
    assert!(offer(text, OURS).ends_with(
        "m=audio 0 RTP/AVP 8\r\nm=audio 0 RTP/SAVP 0\r\nm=audio 20002 RTP/AVPF 0  8\r\n\
         a=rtcp-fb:* nack\r\na=sendrecv\r\na=rtcp:20003\r\nm=audio 0 RTP/AVP 3\r\nm=video 0 RTP/AVP 0\r\n"
    ));
}

#[test]
fn an_answer_has_the_media_of_its_offer() {
    let one = audio("10.9.9.9", "a=rtpmap:0 PCMU/8000\r\n");
    let audio_lines =
        "m=audio 20002 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\na=rtcp:20003\r\n";
    let padded = answer(RICH_OFFER, &one);
    assert!(padded.ends_with(&format!(
        "{audio_lines}m=video 0 RTP/AVP 96 97\r\nm=image 0 udptl t38\r\n"
    )));
    let cut = answer(
        &audio("10.1.1.1", ""),
        &format!("{one}m=video 9 RTP/AVP 96\r\n"),
    );
    assert!(cut.ends_with(audio_lines));
}

#[test]
fn an_answer_that_declines_the_audio_is_passed_on_as_such() {
    let declined = "v=0\r\no=- 1 1 IN IP4 10.9.9.9\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n";
    assert!(parse(declined).stream().is_none());
    assert!(answer(&audio("10.1.1.1", ""), declined).ends_with("t=0 0\r\nm=audio 0 RTP/AVP 0\r\n"));
}

#[test]
fn direction_and_old_hold() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let table = [
        ("10.0.0.1", "", SendRecv),
        ("10.0.0.1", "a=sendonly\r\n", SendOnly),
        ("10.0.0.1", "a=recvonly \r\n", RecvOnly),
        ("10.0.0.1", "a=inactive\r\n", Inactive),
        ("0.0.0.0", "", SendOnly),
        ("0.0.0.0", "a=sendonly\r\n", SendOnly),
        ("0.0.0.0", "a=recvonly\r\n", Inactive),
        ("0.0.0.0", "a=inactive\r\n", Inactive),
        ("::", "", SendOnly),
    ];
    for (ip, lines, direction) in table {
        let text = audio(ip, lines);
        assert_eq!(
            parse(&text).stream().unwrap().direction,
            direction,
            "{text}"
        );
        let after = offer(&text, OURS);
        assert!(
            after.contains(&format!("a={}\r\n", direction.as_str())),
            "{after}"
        );
        assert_eq!(direction.is_hold(), direction != SendRecv);
    }
    let session = "v=0\r\nc=IN IP4 10.0.0.1\r\na=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n";
    assert_eq!(parse(session).stream().unwrap().direction, SendOnly);
    let own = format!("{session}a=inactive\r\n");
    assert_eq!(parse(&own).stream().unwrap().direction, Inactive);
}

#[test]
fn an_answer_never_sends_what_the_offer_does_not_receive() {
    let table = [
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendrecv", "recvonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
    ];
    for (offered, answered, expected) in table {
        let after = answer(
            &audio("10.0.0.1", &format!("a={offered}\r\n")),
            &audio("10.0.0.2", &format!("a={answered}\r\n")),
        );
        assert!(
            after.contains(&format!("a={expected}\r\n")),
            "{offered} {answered}: {after}"
        );
    }
}

#[test]
fn the_version_grows_with_the_content_only() {
    let active = parse(&audio("10.0.0.1", ""));
    let moved = parse(&audio("10.0.0.2", ""));
    let held = parse(&audio("10.0.0.1", "a=sendonly\r\n"));
    let mut local = LocalDescription::new(u64::MAX);
    let mut say = |sdp, ours| {
        let codecs = Codecs::default();
        let ours = Ours::plain(address(ours), &codecs);
        let text = String::from_utf8(local.offer(sdp, &ours).to_vec()).unwrap();
        let origin = text.lines().nth(1).unwrap().to_owned();
        let mut words = origin.split(' ').skip(1);
        assert_eq!(words.next().unwrap(), i64::MAX.to_string());
        words.next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(say(&active, OURS), 1);
    assert_eq!(say(&active, OURS), 1);
    assert_eq!(say(&moved, OURS), 1, "the peer moved, we did not");
    assert_eq!(say(&held, OURS), 2);
    assert_eq!(say(&active, OURS), 3);
    assert_eq!(say(&active, "198.51.100.7:20004"), 4);
}

#[test]
fn addresses_that_can_and_cannot_be_used() {
    let rtp_rtcp = |text: &str| {
        let audio = parse(text).stream().unwrap();
        (audio.rtp, audio.rtcp(false))
    };
    let some = |text: &str| Some(address(text));
    assert_eq!(
        rtp_rtcp(&audio("10.0.0.1", "")),
        (some("10.0.0.1:4000"), some("10.0.0.1:4001"))
    );
    assert_eq!(
        rtp_rtcp(&audio("2001:db8::1", "a=rtcp:5000\r\n")),
        (some("[2001:db8::1]:4000"), some("[2001:db8::1]:5000"))
    );
    assert_eq!(
        rtp_rtcp(&audio("10.0.0.1", "a=rtcp:5000 IN IP4 10.0.0.9\r\n")).1,
        some("10.0.0.9:5000")
    );
    assert_eq!(
        rtp_rtcp(&audio("10.0.0.1", "c=IN IP4 10.0.0.8\r\n")).0,
        some("10.0.0.8:4000"),
        "the medium's own c= counts"
    );
    for ip in [
        "0.0.0.0",
        "::",
        "224.2.1.1/127",
        "ff15::101",
        "255.255.255.255",
        "pbx.example",
    ] {
        assert_eq!(rtp_rtcp(&audio(ip, "")), (None, None), "{ip}");
    }
    let last = "v=0\nc=IN IP4 10.0.0.1\nm=audio 65535 RTP/AVP 0\n";
    assert_eq!(rtp_rtcp(last).1, None, "there is no port 65536");
}

#[test]
fn faults_are_named_with_their_line() {
    let table: [(&str, SdpError); 12] = [
        ("", SdpError::Version { line: 1 }),
        ("v=1\r\n", SdpError::Version { line: 1 }),
        ("v=0\r\nv=0\r\n", SdpError::Version { line: 2 }),
        ("v=0\r\n\r\ns=-\r\n", SdpError::NotAField { line: 2 }),
        ("v=0\r\ns -\r\n", SdpError::NotAField { line: 2 }),
        ("v=0\r\nx=1\r\n", SdpError::UnknownType { line: 2 }),
        ("v=0\r\ns=a\rb\r\n", SdpError::ForbiddenByte { line: 2 }),
        ("v=0\r\nc=IN IP4\r\n", SdpError::Connection { line: 2 }),
        ("v=0\r\nm=audio\r\n", SdpError::Media { line: 2 }),
        (
            "v=0\r\nm=audio 70000 RTP/AVP 0\r\n",
            SdpError::Port { line: 2 },
        ),
        (
            "v=0\r\nm=audio 4000 RTP/AVP 128\r\n",
            SdpError::PayloadType { line: 2 },
        ),
        (
            "v=0\r\nm=audio 4000 RTP/AVP 0\r\na=rtcp:70000\r\n",
            SdpError::Port { line: 3 },
        ),
    ];
    for (text, fault) in table {
        assert_eq!(
            SessionDescription::parse(text.as_bytes()).unwrap_err(),
            fault,
            "{text:?}"
        );
    }
}

#[test]
fn limits_hold() {
    let long = format!("v=0\r\ns={}\r\n", "a".repeat(70_000));
    let bytes = long.len();
    let many_lines = format!("v=0\r\n{}", "a=x\r\n".repeat(2_000));
    let many_media = format!("v=0\r\n{}", "m=video 1 RTP/AVP 0\r\n".repeat(200));
    for (text, fault) in [
        (long, SdpError::TooLong { bytes }),
        (many_lines, SdpError::TooManyLines),
        (many_media, SdpError::TooManyMedia { line: 66 }),
    ] {
        assert_eq!(
            SessionDescription::parse(text.as_bytes()).unwrap_err(),
            fault
        );
    }
}

#[test]
fn keys_are_not_in_debug_output() {
    assert!(!format!("{:?}", parse(RICH_OFFER)).contains("c2VjcmV0"));
}

/// Lines of every kind, most of them with the peer's address in them.
fn line() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "c=IN IP4 10.66.66.66",
        "c=IN IP4 0.0.0.0",
        "c=IN IP4 224.1.1.1",
        "b=AS:64",
        "b=AS:10.66.66.66",
        "i=10.66.66.66",
        "k=clear:10.66.66.66",
        "a=rtcp:4001 IN IP4 10.66.66.66",
        "a=sendonly",
        "a=inactive",
        "a=candidate:1 1 UDP 1 10.66.66.66 4000 typ host",
        "a=rtpmap:0 PCMU/8000",
        "a=fmtp:101 0-15",
        "a=ssrc:1 cname:10.66.66.66",
        "a=x-nat:10.66.66.66",
        "a=rtpmap2:10.66.66.66",
        "a=ptime:20",
        "m=audio 4000 RTP/AVP 0 8",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4000 RTP/SAVP 0",
        "m=video 4002 RTP/AVP 96",
        "m=image 4004 udptl t38",
        "o=- 1 1 IN IP4 10.66.66.66",
        "s=10.66.66.66",
        "m=video 0 RTP/AVP",
    ])
    .prop_map(str::to_owned)
}

fn description() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..20)
        .prop_map(|lines| format!("v=0\r\n{}\r\n", lines.join("\r\n")))
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _outcome = SessionDescription::parse(&bytes);
    }

    #[test]
    fn any_damage_is_read_without_panic_and_what_is_written_can_be_read(
        text in description(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(sdp) = SessionDescription::parse(&bytes) {
            let codecs = Codecs::default();
            let ours = Ours::plain(address(OURS), &codecs);
            let ours = LocalDescription::new(1).offer(&sdp, &ours);
            let again = SessionDescription::parse(&ours).unwrap();
            prop_assert_eq!(again.media_count(), sdp.media_count());
            prop_assert_eq!(again.stream().is_some(), sdp.stream().is_some());
        }
    }

    #[test]
    fn what_is_written_shows_our_address_only(offered in description(), answered in description()) {
        let (offered, answered) = (parse(&offered), parse(&answered));
        let codecs = Codecs::default();
        let ours = Ours::plain(address(OURS), &codecs);
        let offer = LocalDescription::new(1).offer(&offered, &ours);
        let answer = LocalDescription::new(1).answer(&offered, &answered, &ours);
        for bytes in [&offer, &answer] {
            let text = std::str::from_utf8(bytes).unwrap();
            prop_assert!(!text.contains("10.66.66.66"), "{}", text);
            let again = parse(text);
            prop_assert_eq!(again.media_count(), offered.media_count());
            if let Some(stream) = again.stream() {
                prop_assert_eq!(stream.rtp, Some(address(OURS)));
                let rtcp = stream.transport.is_rtp().then(|| address("198.51.100.7:20003"));
                prop_assert_eq!(stream.rtcp(false), rtcp);
            }
        }
    }
}
