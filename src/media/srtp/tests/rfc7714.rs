//! The vectors of RFC 7714 §16 and §17, read from the folder that `TRUNKLINE_CORPUS` names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::cipher::{Cipher, Packet};
use super::super::derivation::Protocol;
use super::super::layout::{RTCP_HEADER_BYTES, RtpHeader};
use super::vectors::session_keys;
use super::{Suite, hex};

/// The packets of a section that encrypts or decrypts: plain and protected.
struct Vector {
    title: String,
    suite: Suite,
    plain: Vec<u8>,
    protected: Vec<u8>,
}

/// The salt of all of them.
const SALT: &str = "517569642070726f2071756f";
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// The SRTCP index of all of them.
const RTCP_INDEX: u64 = 0x5d4;

#[test]
fn srtp_packets_are_those_of_rfc_7714_16() {
    let vectors = vectors("rtp-vectors.txt", "16.");
    for Vector {
        title,
        suite,
        plain,
        protected,
    } in &vectors
    {
        let header = RtpHeader::read(plain).unwrap();
        let packet = Packet {
            ssrc: header.ssrc,
            index: u64::from(header.sequence),
            clear: header.bytes,
        };
        check(title, *suite, Protocol::Rtp, &packet, plain, protected);
    }
    assert!(
        vectors.is_empty() || vectors.len() == 4,
        "{}",
        vectors.len()
    );
}

#[test]
fn srtcp_packets_are_those_of_rfc_7714_17() {
    let vectors = vectors("rtcp-vectors.txt", "17.");
    for Vector {
        title,
        suite,
        plain,
        protected,
    } in &vectors
    {
        let packet = Packet {
            ssrc: u32::from_be_bytes(*plain[4..].first_chunk().unwrap()),
            index: RTCP_INDEX,
            clear: RTCP_HEADER_BYTES,
        };
        check(title, *suite, Protocol::Rtcp, &packet, plain, protected);
    }
    assert!(
        vectors.is_empty() || vectors.len() == 2,
        "{}",
        vectors.len()
    );
}

fn check(
    title: &str,
    suite: Suite,
    protocol: Protocol,
    packet: &Packet,
    plain: &[u8],
    protected: &[u8],
) {
    let key = &KEY[..suite.key_bytes() * 2];
    let cipher = Cipher::of_session(suite, protocol, &session_keys(key, SALT));
    let mut buffer = plain.to_vec();
    buffer.resize(protected.len(), 0);
    let length = cipher.seal(packet, &mut buffer, plain.len()).unwrap();
    assert_eq!(buffer[..length], *protected, "{title}");
    let at = cipher.trailer(length, 0).unwrap();
    cipher.open(packet, &mut buffer, &at).unwrap();
    assert_eq!(buffer[..at.body], *plain, "{title}");
}

/// The sections of a file that protect or unprotect a whole packet; those that only tag are for what SDES
/// does not negotiate here.
fn vectors(file: &str, section: &str) -> Vec<Vector> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let mut sections: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut title = String::new();
    for line in text.lines() {
        if line.starts_with(section) {
            title = line.to_owned();
        }
        sections.entry(title.clone()).or_default().push(line);
    }
    sections
        .iter()
        .filter_map(|(title, lines)| vector(title, lines))
        .collect()
}

fn vector(title: &str, lines: &[&str]) -> Option<Vector> {
    let suite = match title.contains("AEAD_AES_256_GCM") {
        true => Suite::AeadAes256Gcm,
        false => Suite::AeadAes128Gcm,
    };
    let (plain, protected) = match packet(lines, "Encrypting the following packet:") {
        Some(plain) => (plain, packet(lines, "Encrypted and tagged packet:")?),
        None => {
            let protected = packet(lines, "Decrypting the following packet:")?;
            // RFC 7714 §16 leaves the header out of what it shows as the result.
            let shown = packet(lines, "Verified and decrypted packet:")
                .or_else(|| packet(lines, "Verified and tagged packet:"))?;
            let header = protected.len() - 16 - shown.len();
            let header = if title.starts_with("16.") { header } else { 0 };
            ([&protected[..header], &shown].concat(), protected)
        }
    };
    Some(Vector {
        title: title.to_owned(),
        suite,
        plain,
        protected,
    })
}

/// The hexadecimal lines below a caption.
fn packet(lines: &[&str], caption: &str) -> Option<Vec<u8>> {
    let at = lines.iter().position(|line| line.trim() == caption)?;
    let below = lines[at + 1..].iter().skip_while(|line| line.is_empty());
    let packet: String = below.take_while(|line| !line.is_empty()).copied().collect();
    Some(hex(&packet))
}

/// `None`, with a line that says so, where `TRUNKLINE_CORPUS` names no folder with the vectors; under
/// `CI=true` that is a failure.
fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("TRUNKLINE_CORPUS").map(PathBuf::from);
    let folder = root.map(|root| root.join("rfc7714"));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        let told = "TRUNKLINE_CORPUS names no folder that holds rfc7714/*.txt";
        let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!ci, "{told}");
        eprintln!("skipped: {told}");
    }
    folder
}
