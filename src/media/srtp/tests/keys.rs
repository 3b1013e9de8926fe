//! Suites and master keys.

use super::*;

#[test]
fn every_suite_has_its_registered_name_and_lengths() {
    let expected = [
        ("AES_CM_128_HMAC_SHA1_80", 30),
        ("AES_CM_128_HMAC_SHA1_32", 30),
        ("AES_256_CM_HMAC_SHA1_80", 46),
        ("AES_256_CM_HMAC_SHA1_32", 46),
        ("AEAD_AES_128_GCM", 28),
        ("AEAD_AES_256_GCM", 44),
    ];
    for (suite, (name, bytes)) in Suite::ALL.into_iter().zip(expected) {
        assert_eq!((suite.name(), suite.master_bytes()), (name, bytes));
        assert_eq!(Suite::from_name(name), Some(suite));
        assert_eq!(Suite::from_name(&name.to_lowercase()), Some(suite));
    }
    assert_eq!(
        Suite::from_name("AES_CM_256_HMAC_SHA1_80"),
        Some(Suite::AesCm256HmacSha1_80)
    );
    assert_eq!(
        Suite::from_name("AES_CM_256_HMAC_SHA1_32"),
        Some(Suite::AesCm256HmacSha1_32)
    );
    assert_eq!(Suite::from_name("AES_CM_128_HMAC_SHA1_8"), None);
    assert_eq!(Suite::from_name("F8_128_HMAC_SHA1_80"), None);
    assert_eq!(Suite::from_name(""), None);
}

#[test]
fn a_master_key_has_exactly_the_length_of_its_suite() {
    for suite in Suite::ALL {
        let bytes = vec![7; suite.master_bytes() + 1];
        assert!(MasterKey::new(suite, &bytes).is_none());
        assert!(MasterKey::new(suite, &bytes[2..]).is_none());
        let key = MasterKey::new(suite, &bytes[1..]).unwrap();
        assert_eq!((key.suite(), key.bytes()), (suite, &bytes[1..]));
    }
}

#[test]
fn master_keys_are_equal_where_suite_and_bytes_are() {
    let bytes = [9; 30];
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &bytes).unwrap();
    let same = MasterKey::new(Suite::AesCm128HmacSha1_80, &bytes).unwrap();
    let short_tags = MasterKey::new(Suite::AesCm128HmacSha1_32, &bytes).unwrap();
    assert_eq!(key, same);
    assert_ne!(key, short_tags);
    assert_ne!(key, other_key(Suite::AesCm128HmacSha1_80));
}

#[test]
fn debug_output_shows_no_key() {
    for suite in Suite::ALL {
        let key = MasterKey::new(suite, &vec![0xa7; suite.master_bytes()]).unwrap();
        let shown = format!(
            "{key:?} {key:#?} {:?} {:?}",
            Outbound::new(&key),
            Inbound::new(&key, &[0xa7])
        );
        for secret in ["167", "a7", "A7"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
