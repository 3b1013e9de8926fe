//! Two legs that differ: in keys, in profiles, in ports for RTCP, in numbers for encodings.

use proptest::prelude::*;

use super::{OURS, address, parse};
use crate::media::srtp::{MasterKey, Suite};
use crate::sdp::{
    CRYPTO_LINES_MAX, Codecs, Crypto, CryptoFault, CryptoLine, LocalDescription, NoStream, Ours,
    Security, SessionDescription, Transport, payload_map,
};

/// All bytes of a key are its tag.
fn key(tag: u8, suite: Suite) -> CryptoLine {
    CryptoLine {
        tag: tag.into(),
        key: MasterKey::new(suite, &vec![tag; suite.master_bytes()]).unwrap(),
        mki: Vec::new(),
    }
}

/// The `a=crypto` line of [`key`] for AES_CM_128_HMAC_SHA1_80.
fn crypto(tag: u8) -> String {
    format!("{}\r\n", key(tag, Suite::AesCm128HmacSha1_80))
}

fn head(ip: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n")
}

fn audio(profile: &str, lines: &str) -> String {
    let head = head("10.0.0.1");
    format!("{head}m=audio 4000 {profile} 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{lines}")
}

fn media_of(text: &[u8]) -> String {
    let text = std::str::from_utf8(text).unwrap();
    text.get(text.find("m=").unwrap()..).unwrap().to_owned()
}

fn offer(text: &str, crypto: Crypto<'_>, rtcp_mux: bool) -> String {
    let codecs = Codecs::default();
    let ours = Ours {
        crypto,
        rtcp_mux,
        ..Ours::plain(address(OURS), &codecs)
    };
    media_of(&LocalDescription::new(7).offer(&parse(text), &ours))
}

fn answer(offered: &str, answered: &str, crypto: Crypto<'_>, rtcp_mux: bool) -> String {
    let codecs = Codecs::default();
    let ours = Ours {
        crypto,
        rtcp_mux,
        ..Ours::plain(address(OURS), &codecs)
    };
    media_of(&LocalDescription::new(7).answer(&parse(offered), &parse(answered), &ours))
}

const EVENTS: &str = "a=rtpmap:101 telephone-event/8000\r\n";
const END: &str = "a=sendrecv\r\na=rtcp:20003\r\n";

#[test]
fn a_plain_offer_goes_on_with_keys_and_the_answer_comes_back_without() {
    let video = "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    let plain = audio("RTP/AVP", video);
    let keys = [
        key(1, Suite::AeadAes128Gcm),
        key(2, Suite::AesCm128HmacSha1_80),
    ];
    assert_eq!(
        offer(&plain, Crypto::Required(&keys), false),
        format!(
            "m=audio 20002 RTP/SAVP 0 101\r\n{EVENTS}{END}\
             a=crypto:1 AEAD_AES_128_GCM inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==\r\n\
             a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC\r\n\
             m=video 0 RTP/AVP 96\r\n"
        )
    );
    let secure = format!("{}m=video 0 RTP/AVP 96\r\n", audio("RTP/SAVP", &crypto(2)));
    assert_eq!(
        answer(&plain, &secure, Crypto::None, false),
        format!("m=audio 20002 RTP/AVP 0 101\r\n{EVENTS}{END}m=video 0 RTP/AVP 96\r\n")
    );
}

#[test]
fn an_offer_with_keys_goes_on_without_and_is_answered_with_one() {
    let secure = audio(
        "RTP/SAVPF",
        &(crypto(3) + &crypto(4) + "a=rtcp-fb:* nack\r\n"),
    );
    assert_eq!(
        offer(&secure, Crypto::None, false),
        format!("m=audio 20002 RTP/AVPF 0 101\r\n{EVENTS}a=rtcp-fb:* nack\r\n{END}")
    );
    let plain = audio("RTP/AVP", "");
    let keys = [4, 3].map(|tag| key(tag, Suite::AesCm128HmacSha1_80));
    assert_eq!(
        answer(&secure, &plain, Crypto::Required(&keys), false),
        format!(
            "m=audio 20002 RTP/SAVPF 0 101\r\n{EVENTS}{END}{}",
            crypto(4)
        )
    );
}

#[test]
fn an_answer_without_a_key_that_was_asked_for_declines() {
    let secure = audio("RTP/SAVP", &crypto(1));
    let plain = audio("RTP/AVP", "");
    let other = [
        key(2, Suite::AesCm128HmacSha1_80),
        key(1, Suite::AesCm128HmacSha1_32),
    ];
    for crypto in [
        Crypto::None,
        Crypto::Required(&[]),
        Crypto::Required(&other),
    ] {
        let answer = answer(&secure, &plain, crypto, false);
        assert_eq!(answer, "m=audio 0 RTP/SAVP 0 101\r\n");
    }
    let declined = offer(&plain, Crypto::Required(&[]), false);
    assert_eq!(declined, "m=audio 0 RTP/AVP 0 101\r\n");
}

#[test]
fn best_effort_has_keys_beside_plain_rtp() {
    let plain = audio("RTP/AVP", "");
    let keys = [key(1, Suite::AesCm128HmacSha1_80)];
    let with_key = format!("m=audio 20002 RTP/AVP 0 101\r\n{EVENTS}{END}{}", crypto(1));
    assert_eq!(offer(&plain, Crypto::Optional(&keys), false), with_key);
    let offered = audio("rtp/avp", &crypto(1));
    let taken = answer(&offered, &plain, Crypto::Optional(&keys), false);
    assert_eq!(taken, with_key.replace("RTP/AVP", "rtp/avp"));
    let left = answer(&offered, &plain, Crypto::None, false);
    assert_eq!(
        left,
        format!("m=audio 20002 rtp/avp 0 101\r\n{EVENTS}{END}")
    );
    // Nobody has asked for a key.
    let unasked = answer(&plain, &plain, Crypto::Optional(&keys), false);
    assert_eq!(
        unasked,
        format!("m=audio 20002 RTP/AVP 0 101\r\n{EVENTS}{END}")
    );
}

#[test]
fn rtcp_shares_the_port_where_both_say_so() {
    let plain = audio("RTP/AVP", "");
    let muxed = audio("RTP/AVP", "a=rtcp-mux\r\na=rtcp:5001\r\n");
    let start = format!("m=audio 20002 RTP/AVP 0 101\r\n{EVENTS}a=sendrecv\r\n");
    let with = |lines: &str| format!("{start}{lines}");
    let apart = with("a=rtcp:20003\r\n");
    assert_eq!(
        offer(&plain, Crypto::None, true),
        with("a=rtcp:20003\r\na=rtcp-mux\r\n")
    );
    assert_eq!(offer(&muxed, Crypto::None, false), apart);
    assert_eq!(
        answer(&muxed, &plain, Crypto::None, true),
        with("a=rtcp:20002\r\na=rtcp-mux\r\n")
    );
    assert_eq!(answer(&muxed, &plain, Crypto::None, false), apart);
    assert_eq!(answer(&plain, &muxed, Crypto::None, true), apart);

    let stream = parse(&muxed).stream().unwrap();
    assert!(stream.rtcp_mux);
    assert_eq!(stream.rtcp(true), Some(address("10.0.0.1:4000")));
    assert_eq!(stream.rtcp(false), Some(address("10.0.0.1:5001")));
}

/// As phones and gateways write it, with a direction that says nothing.
const FAX: &str = "m=image 4002 UDPTL T38\r\na=sendrecv\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:262\r\na=T38FaxMaxDatagram:176\r\n\
a=T38FaxUdpEC:t38UDPRedundancy\r\na=t38faxtranscodingmmr\r\na=T38VendorInfo:0 0 0\r\na=ptime:20\r\n\
a=candidate:1 1 UDP 1 10.0.0.1 4002 typ host\r\n";
const FAX_AFTER: &str = "m=image 20002 UDPTL T38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:262\r\na=T38FaxMaxDatagram:176\r\n\
a=T38FaxUdpEC:t38UDPRedundancy\r\na=t38faxtranscodingmmr\r\na=T38VendorInfo:0 0 0\r\n";

#[test]
fn a_call_becomes_fax() {
    let head = head("10.0.0.1");
    let alone = format!("{head}{FAX}");
    let beside = format!("{head}m=audio 0 RTP/AVP 0\r\n{FAX}");
    let keys = [key(1, Suite::AesCm128HmacSha1_80)];
    assert_eq!(offer(&alone, Crypto::None, true), FAX_AFTER);
    let after = format!("m=audio 0 RTP/AVP 0\r\n{FAX_AFTER}");
    assert_eq!(offer(&beside, Crypto::Required(&keys), false), after);

    let answered = format!("{head}m=image 9 udptl t38\r\na=T38FaxVersion:0\r\na=recvonly\r\n");
    assert_eq!(
        answer(&alone, &answered, Crypto::None, true),
        "m=image 20002 UDPTL T38\r\na=T38FaxVersion:0\r\na=recvonly\r\n"
    );
    assert_eq!(
        answer(&beside, &answered, Crypto::None, false),
        "m=audio 0 RTP/AVP 0\r\nm=image 20002 UDPTL T38\r\na=T38FaxVersion:0\r\na=recvonly\r\n"
    );
    let stream = parse(&beside).stream().unwrap();
    assert_eq!(stream.transport, Transport::Udptl);
    assert_eq!(stream.rtp, Some(address("10.0.0.1:4002")));
    assert_eq!((stream.rtcp(false), stream.rtcp(true)), (None, None));
    assert!(stream.formats.is_empty() && stream.crypto.is_empty());
    assert!(parse(&alone).has_speech(&Codecs::default()));
}

#[test]
fn audio_comes_before_fax_and_neither_answers_the_other() {
    let both = format!("{}{FAX}", audio("RTP/AVP", ""));
    let after = format!("m=audio 20002 RTP/AVP 0 101\r\n{EVENTS}{END}m=image 0 UDPTL T38\r\n");
    assert_eq!(offer(&both, Crypto::None, false), after);
    let fax = format!("{}{FAX}", head("10.0.0.1"));
    let declined = answer(&audio("RTP/AVP", ""), &fax, Crypto::None, false);
    assert_eq!(declined, "m=audio 0 RTP/AVP 0 101\r\n");
    let declined = answer(&fax, &audio("RTP/AVP", ""), Crypto::None, false);
    assert_eq!(declined, "m=image 0 UDPTL T38\r\n");
}

#[test]
fn a_leg_hears_its_own_numbers() {
    let offered = audio("RTP/AVP", "a=fmtp:101 0-16\r\na=rtcp-fb:101 nack\r\n");
    let answered = format!(
        "{}m=audio 9 RTP/AVP 97  0 96 98\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n\
         a=rtpmap:97 G729/8000\r\na=rtpmap:101 stale/8000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:* ccm\r\n",
        head("10.0.0.9")
    );
    assert_eq!(
        answer(&offered, &answered, Crypto::None, false),
        format!(
            "m=audio 20002 RTP/AVP 97 0 101 98\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
             a=rtpmap:97 G729/8000\r\na=rtcp-fb:101 nack\r\na=rtcp-fb:* ccm\r\n{END}"
        )
    );
    let map = payload_map(&parse(&offered), &parse(&answered));
    assert_eq!(map.to_answerer().collect::<Vec<_>>(), [(101, 96)]);
    assert_eq!(map.to_offerer().collect::<Vec<_>>(), [(96, 101)]);
}

/// What is chosen: the profile, how many keys.
fn chosen(text: &str, security: Security) -> Result<(String, usize), NoStream> {
    let mut sdp = parse(text);
    let chosen = sdp.choose(security, |_| true);
    assert_eq!(chosen.is_ok(), sdp.stream().is_some(), "{text}");
    chosen?;
    let stream = sdp.stream().unwrap();
    Ok((stream.transport.as_str().to_owned(), stream.crypto.len()))
}

#[test]
fn a_stream_is_chosen_by_what_the_leg_encrypts() {
    use CryptoFault::{Malformed, UnknownSuite, UnsupportedParameter};
    use NoStream::{EncryptionNotTaken, EncryptionWanted, NoAudio};
    let stream = |profile: &str, keys| Ok((profile.to_owned(), keys));
    let unknown = "a=crypto:1 NO_SUCH_SUITE inline:AAAA\r\n";
    let clear = crypto(1).replace("\r\n", " UNENCRYPTED_SRTP\r\n");
    let plain = audio("RTP/AVP", "");
    let both = format!("{plain}m=audio 9 RTP/SAVP 0\r\n{}", crypto(1));
    let fax = format!("{}m=image 9 udptl t38\r\n", head("10.0.0.1"));
    let (avp, savp) = (stream("RTP/AVP", 0), stream("RTP/SAVP", 1));
    let wanted = Err(EncryptionWanted);
    let fault = |fault| Err(NoStream::Crypto(fault));
    let table = [
        (plain, avp.clone(), avp.clone(), wanted.clone()),
        (both, avp.clone(), savp.clone(), savp.clone()),
        (
            audio("RTP/SAVP", &crypto(1)),
            Err(EncryptionNotTaken),
            savp.clone(),
            savp,
        ),
        (
            audio("RTP/SAVP", &(unknown.to_owned() + &crypto(2))),
            Err(EncryptionNotTaken),
            stream("RTP/SAVP", 1),
            stream("RTP/SAVP", 1),
        ),
        (
            audio("RTP/AVPF", &(crypto(1) + &crypto(2))),
            stream("RTP/AVPF", 0),
            stream("RTP/AVPF", 2),
            stream("RTP/AVPF", 2),
        ),
        (
            audio("RTP/AVP", unknown),
            avp.clone(),
            avp,
            fault(UnknownSuite),
        ),
        (
            audio("RTP/SAVP", unknown),
            Err(EncryptionNotTaken),
            fault(UnknownSuite),
            fault(UnknownSuite),
        ),
        (
            audio("RTP/SAVP", "a=crypto:1\r\n"),
            Err(EncryptionNotTaken),
            fault(Malformed),
            fault(Malformed),
        ),
        (
            audio("RTP/SAVP", &clear),
            Err(EncryptionNotTaken),
            fault(UnsupportedParameter),
            fault(UnsupportedParameter),
        ),
        (
            audio("RTP/SAVP", ""),
            Err(EncryptionNotTaken),
            wanted.clone(),
            wanted.clone(),
        ),
        (fax, stream("udptl", 0), stream("udptl", 0), wanted),
        (head("10.0.0.1"), Err(NoAudio), Err(NoAudio), Err(NoAudio)),
        (
            audio("UDP/TLS/RTP/SAVPF", &crypto(1)),
            Err(NoAudio),
            Err(NoAudio),
            Err(NoAudio),
        ),
    ];
    for (text, plain, any, required) in table {
        assert_eq!(chosen(&text, Security::Plain), plain, "{text}");
        assert_eq!(chosen(&text, Security::Any), any, "{text}");
        assert_eq!(chosen(&text, Security::Required), required, "{text}");
    }
}

#[test]
fn the_stream_with_a_key_that_will_do_is_chosen() {
    let long = format!("{}\r\n", key(1, Suite::AesCm256HmacSha1_80));
    let second = format!("m=audio 11 RTP/SAVP 0\r\n{}", crypto(2));
    let only = |suite: Suite| move |line: &CryptoLine| line.key.suite() == suite;
    let unknown = NoStream::Crypto(CryptoFault::UnknownSuite);
    for security in [Security::Any, Security::Required] {
        let mut sdp = parse(&(audio("RTP/SAVP", &long) + &second));
        for (suite, port) in [
            (Suite::AesCm256HmacSha1_80, 4000),
            (Suite::AesCm128HmacSha1_80, 11),
        ] {
            assert_eq!(sdp.choose(security, only(suite)), Ok(()));
            let rtp = sdp.stream().unwrap().rtp.unwrap();
            assert_eq!(rtp.port(), port, "{suite:?}");
        }
        let none = sdp.choose(security, only(Suite::AeadAes256Gcm));
        assert_eq!(none, Err(unknown));
    }
    // Keys that will not do stand beside plain RTP like none.
    let mut sdp = parse(&audio("RTP/AVP", &long));
    let other = only(Suite::AeadAes256Gcm);
    assert_eq!(sdp.choose(Security::Any, other), Ok(()));
    assert_eq!(sdp.choose(Security::Required, other), Err(unknown));
}

#[test]
fn a_choice_can_be_made_again() {
    let mut sdp = parse(&audio("RTP/SAVP", &crypto(1)));
    assert_eq!(
        sdp.stream().unwrap().crypto,
        [key(1, Suite::AesCm128HmacSha1_80)]
    );
    assert!(sdp.choose(Security::Plain, |_| true).is_err());
    assert!(sdp.stream().is_none());
    assert_eq!(sdp.choose(Security::Required, |_| true), Ok(()));
    assert!(sdp.stream().is_some());
}

#[test]
fn floods_of_keys_and_media_are_bounded() {
    let line = |tag: usize| crypto(1).replacen(":1 ", &format!(":{tag} "), 1);
    let many: String = (1..600).map(line).collect();
    let stream = parse(&audio("RTP/SAVP", &many)).stream().unwrap();
    assert_eq!(stream.crypto.len(), CRYPTO_LINES_MAX);
    let long = crypto(1).replace("\r\n", &"A".repeat(60_000)) + "\r\n";
    let mut sdp = parse(&audio("RTP/SAVP", &long));
    let fault = NoStream::Crypto(CryptoFault::Malformed);
    assert_eq!(sdp.choose(Security::Any, |_| true), Err(fault));
    let streams = "m=audio 9 RTP/AVP 0\r\n".repeat(63);
    let text = format!(
        "{}{streams}m=audio 9 RTP/SAVP 0\r\n{}",
        head("10.0.0.1"),
        crypto(1)
    );
    assert_eq!(
        chosen(&text, Security::Required),
        Ok(("RTP/SAVP".to_owned(), 1))
    );
}

#[test]
fn an_address_that_cannot_be_sent_to_is_none_with_keys_too() {
    for ip in ["0.0.0.0", "239.1.2.3", "255.255.255.255", "pbx.example"] {
        let text = audio("RTP/SAVP", &crypto(1)).replace("10.0.0.1", ip);
        let stream = parse(&text).stream().unwrap();
        assert_eq!(
            (stream.rtp, stream.rtcp(false), stream.rtcp(true)),
            (None, None, None)
        );
    }
}

#[test]
fn keys_are_not_in_debug_output() {
    let keys = [key(171, Suite::AeadAes256Gcm)];
    let codecs = Codecs::default();
    let ours = Ours {
        crypto: Crypto::Required(&keys),
        ..Ours::plain(address(OURS), &codecs)
    };
    let mut local = LocalDescription::new(7);
    let written = local.offer(&parse(&audio("RTP/AVP", "")), &ours);
    local.agree();
    let sdp = SessionDescription::parse(&written).unwrap();
    assert_eq!(sdp.stream().unwrap().crypto, keys);
    let debug = format!(
        "{local:?} {sdp:?} {:?} {:?} {keys:?}",
        sdp.stream(),
        ours.crypto
    );
    for trace in ["q6ur", "171, 171", "0xab", "abab", "inline"] {
        assert!(!debug.to_lowercase().contains(trace), "{debug}");
    }
}

/// Lines of streams with and without keys, whole and damaged.
fn line() -> impl Strategy<Value = String> {
    let lines = [
        "m=audio 4000 RTP/AVP 0 8 101".to_owned(),
        "m=audio 4000 RTP/SAVP 0 96".to_owned(),
        "m=audio 4000 RTP/SAVPF 96 0 97".to_owned(),
        "m=image 4004 udptl t38".to_owned(),
        "m=audio 0 RTP/SAVP 0".to_owned(),
        "a=rtcp-mux".to_owned(),
        "a=sendonly".to_owned(),
        "c=IN IP4 0.0.0.0".to_owned(),
        "a=rtpmap:96 telephone-event/8000".to_owned(),
        "a=rtpmap:101 telephone-event/8000".to_owned(),
        "a=rtpmap:97 PCMU/8000".to_owned(),
        "a=fmtp:96 0-15".to_owned(),
        "a=T38FaxVersion:0".to_owned(),
        crypto(1).trim_end().to_owned(),
        crypto(2).trim_end().to_owned(),
        key(3, Suite::AeadAes256Gcm).to_string(),
        crypto(4).trim_end().to_owned() + "|2^31|7:4 WSH=64",
        crypto(5).trim_end().to_owned() + " UNENCRYPTED_SRTCP",
    ];
    prop::sample::select(lines.to_vec())
}

fn description() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..16)
        .prop_map(|lines| format!("v=0\r\nc=IN IP4 10.0.0.1\r\n{}\r\n", lines.join("\r\n")))
}

proptest! {
    #[test]
    fn any_crypto_value_is_read_without_panic(value in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut text = b"v=0\r\nm=audio 9 RTP/SAVP 0\r\na=crypto:".to_vec();
        text.extend(value);
        let _outcome = SessionDescription::parse(&text);
    }

    #[test]
    fn what_is_written_of_damaged_descriptions_has_the_same_stream(
        offered in description(), answered in description(),
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
        secure in 0..3usize, rtcp_mux in any::<bool>(),
    ) {
        let mut offered = offered.into_bytes();
        let at = at.index(offered.len());
        offered[at] = byte;
        let Ok(mut offered) = SessionDescription::parse(&offered) else {
            return Ok(());
        };
        let security = [Security::Plain, Security::Any, Security::Required][secure];
        let no_stream = offered.choose(security, |_| true).is_err();
        let keys: Vec<CryptoLine> = (1..=4).map(|tag| key(tag, Suite::AesCm128HmacSha1_80)).collect();
        let crypto = [Crypto::None, Crypto::Optional(&keys), Crypto::Required(&keys)][secure];
        let codecs = Codecs::default();
        let ours = Ours { crypto, rtcp_mux, ..Ours::plain(address(OURS), &codecs) };
        let offer = SessionDescription::parse(&LocalDescription::new(1).offer(&offered, &ours)).unwrap();
        prop_assert_eq!(offer.media_count(), offered.media_count());
        prop_assert_eq!(offer.stream().is_none(), no_stream);
        if let (Some(from_peer), Some(ours)) = (offered.stream(), offer.stream()) {
            prop_assert_eq!(&from_peer.formats, &ours.formats);
            prop_assert_eq!(from_peer.direction, ours.direction);
            prop_assert_eq!(ours.rtp, Some(address(OURS)));
            if ours.transport.is_rtp() {
                prop_assert_eq!(&ours.crypto[..], crypto_lines(crypto));
                prop_assert_eq!(ours.rtcp_mux, rtcp_mux);
            }
        }

        let answered = parse(&answered);
        let answer = LocalDescription::new(1).answer(&offered, &answered, &ours);
        let answer = SessionDescription::parse(&answer).unwrap();
        prop_assert_eq!(answer.media_count(), offered.media_count());
        if let (Some(asked), Some(ours)) = (offered.stream(), answer.stream()) {
            prop_assert_eq!(asked.transport, ours.transport);
            prop_assert!(ours.crypto.len() <= 1);
            prop_assert!(ours.crypto.iter().all(|line| keys.contains(line)));
            let mut numbers: Vec<u8> = ours.formats.iter().map(|it| it.payload_type).collect();
            prop_assert_eq!(numbers.len(), answered.stream().unwrap().formats.len());
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), ours.formats.len());
        }
    }
}

fn crypto_lines(crypto: Crypto<'_>) -> &[CryptoLine] {
    match crypto {
        Crypto::None => &[],
        Crypto::Optional(lines) | Crypto::Required(lines) => lines,
    }
}
