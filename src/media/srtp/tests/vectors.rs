//! RFC 3711 appendix B, RFC 6188 §7.

use aes::{Aes128Enc, Aes256Enc};
use zeroize::Zeroizing;

use super::super::cipher::Packet;
use super::super::counter_mode::CounterMode;
use super::super::derivation::{Protocol, SessionKeys};
use super::{MasterKey, Suite, hex};

/// The packet of both RFCs: SSRC and index are 0.
fn packet() -> Packet {
    Packet {
        ssrc: 0,
        index: 0,
        clear: 0,
    }
}

pub(super) fn session_keys(encryption: &str, salt: &str) -> SessionKeys {
    let mut keys = SessionKeys {
        encryption: Zeroizing::new([0; 32]),
        authentication: Zeroizing::new([0; 20]),
        salt: Zeroizing::new([0; 14]),
    };
    let (encryption, salt) = (hex(encryption), hex(salt));
    keys.encryption[..encryption.len()].copy_from_slice(&encryption);
    keys.salt[..salt.len()].copy_from_slice(&salt);
    keys
}

#[test]
fn the_keystream_of_aes_128_is_that_of_rfc_3711_b_2() {
    let keys = session_keys(
        "2B7E151628AED2A6ABF7158809CF4F3C",
        "F0F1F2F3F4F5F6F7F8F9FAFBFCFD",
    );
    let cipher = CounterMode::<Aes128Enc>::new(Protocol::Rtp, &keys);
    let mut stream = vec![0; 0xff02 * 16];
    cipher.apply_keystream(&packet(), &mut stream);
    let blocks = [
        (0x0000, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (0x0001, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (0x0002, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ];
    for (number, block) in blocks {
        assert_eq!(stream[number * 16..][..16], hex(block), "block {number:#x}");
    }
}

#[test]
fn the_keystream_of_aes_256_is_that_of_rfc_6188_7_1() {
    let keys = session_keys(
        "57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfd",
    );
    let cipher = CounterMode::<Aes256Enc>::new(Protocol::Rtp, &keys);
    let mut stream = vec![0; 0xff02 * 16];
    cipher.apply_keystream(&packet(), &mut stream);
    let blocks = [
        (0x0000, "92bdd28a93c3f52511c677d08b5515a4"),
        (0x0001, "9da71b2378a854f67050756ded165bac"),
        (0x0002, "63c4868b7096d88421b563b8c94c9a31"),
        (0xfeff, "cea518c90fd91ced9cbb18c078a54711"),
        (0xff00, "3dbc4814f4da5f00a08772b63c6a046d"),
        (0xff01, "6eb246913062a16891433e97dd01a57f"),
    ];
    for (number, block) in blocks {
        assert_eq!(stream[number * 16..][..16], hex(block), "block {number:#x}");
    }
}

#[test]
fn session_keys_of_128_bits_are_derived_as_in_rfc_3711_b_3() {
    let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &master).unwrap();
    let keys = SessionKeys::derive(&master, Protocol::Rtp);
    assert_eq!(
        keys.encryption[..16],
        hex("C61E7A93744F39EE10734AFE3FF7A087")
    );
    assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        keys.authentication[..],
        hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
    );
}

#[test]
fn session_keys_of_256_bits_are_derived_as_in_rfc_6188_7_2() {
    let master = hex(
        "f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6
         3b04803de51ee7c96423ab5b78d2",
    );
    let master = MasterKey::new(Suite::AesCm256HmacSha1_80, &master).unwrap();
    let keys = SessionKeys::derive(&master, Protocol::Rtp);
    let encryption = "5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4";
    assert_eq!(keys.encryption[..], hex(encryption));
    assert_eq!(keys.salt[..], hex("fa31791685ca444a9e07c6c64e93"));
    assert_eq!(
        keys.authentication[..],
        hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
    );
}
