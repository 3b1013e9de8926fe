use super::*;

/// RFC 7616 §3.9.1
fn rfc7616(algorithm: &str, response: &str) -> String {
    format!(
        "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
         algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
         cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
    )
}

#[test]
fn the_vectors_of_rfc_7616() {
    for (algorithm, token, response) in [
        (Algorithm::Md5, "MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let value = rfc7616(token, response);
        let credentials = Credentials::parse(&value).unwrap();
        assert_eq!(credentials.algorithm, algorithm);
        let ha1 = ha1(
            algorithm,
            "Mufasa",
            "http-auth@example.org",
            "Circle of Life",
        );
        assert!(verify(&credentials, &ha1, "GET"));
        assert!(!verify(&credentials, &ha1, "POST"));
        let wrong = super::ha1(
            algorithm,
            "Mufasa",
            "http-auth@example.org",
            "circle of life",
        );
        assert!(!verify(&credentials, &wrong, "GET"));
    }
}

#[test]
fn the_vector_of_rfc_2617_and_the_same_without_qop() {
    let begin = "digest username=\"Mufasa\",realm=\"testrealm@host.com\",\
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",uri=\"/dir/index.html\",";
    let ha1 = ha1(
        Algorithm::Md5,
        "Mufasa",
        "testrealm@host.com",
        "Circle Of Life",
    );
    assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
    for end in [
        "qop=\"auth\", nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"",
        "qop=AUTH,nc=00000001,cnonce=\"0a4f113b\",algorithm=\"md5\",response=\"6629FAE49393a05397450978507c4ef1\"",
        "response=\"670fd8c2df070c60b045671b8b24ff02\"",
    ] {
        let value = format!("{begin}{end}");
        let credentials = Credentials::parse(&value).unwrap();
        // RFC 2617 hashes qop as written, which is lower case wherever it counts.
        assert!(verify(&credentials, &ha1, "GET"), "{end}");
    }
}

#[test]
fn the_nonce_count_is_hexadecimal() {
    let count = |nc: &str| {
        let value = format!(
            "Digest username=a, realm=b, nonce=c, uri=sip:d;e=f, response=0, qop=auth, cnonce=g, nc={nc}"
        );
        Credentials::parse(&value).map(|credentials| credentials.nc())
    };
    assert_eq!(count("0000000a"), Ok(Some(10)));
    assert_eq!(count("00000010"), Ok(Some(16)));
    assert_eq!(count("FFFFFFFF"), Ok(Some(u32::MAX)));
    for nc in ["100000000", "+1", "g", "\"\""] {
        assert_eq!(count(nc), Err(CredentialsError::Malformed), "{nc}");
    }
}

#[test]
fn unquoted_and_escaped_values() {
    let value = r#"Digest username="a\"b\\", realm=x , nonce = "n,1" ,, uri=sip:d;e=f,response=0"#;
    let credentials = Credentials::parse(value).unwrap();
    assert_eq!(credentials.username, "a\"b\\");
    assert_eq!(credentials.nonce, "n,1");
    assert_eq!(credentials.uri, "sip:d;e=f");
    assert_eq!(credentials.nc(), None);
}

#[test]
fn what_cannot_be_used() {
    let begin = "Digest username=a, realm=b, nonce=c, uri=d";
    for (value, error) in [
        (
            "NoOneKnowsThisScheme opaque-data=here".to_owned(),
            CredentialsError::OtherScheme,
        ),
        (
            "Basic QWxhZGRpbg==".to_owned(),
            CredentialsError::OtherScheme,
        ),
        (String::new(), CredentialsError::Malformed),
        ("Digest".to_owned(), CredentialsError::Malformed),
        (begin.to_owned(), CredentialsError::Malformed),
        (format!("{begin}, response"), CredentialsError::Malformed),
        (
            format!("{begin}, response=1, response=2"),
            CredentialsError::Malformed,
        ),
        (
            format!("{begin}, response=\"1"),
            CredentialsError::Malformed,
        ),
        (
            format!("{begin}, response=1 2"),
            CredentialsError::Malformed,
        ),
        (
            format!("{begin}, response=1, qop=auth"),
            CredentialsError::Malformed,
        ),
        (
            format!("{begin}, response=1, qop=auth-int"),
            CredentialsError::Unsupported,
        ),
        (
            format!("{begin}, response=1, algorithm=MD5-sess"),
            CredentialsError::Unsupported,
        ),
    ] {
        assert_eq!(Credentials::parse(&value).err(), Some(error), "{value}");
    }
}

#[test]
fn what_the_client_answers_the_server_verifies() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        for password in ["secret", ""] {
            let value = challenge("vc \"1\".example", "n0nce", algorithm, true);
            let challenge = Challenge::parse(&value).unwrap();
            assert!(challenge.stale && challenge.qop_auth);
            assert_eq!(challenge.realm, "vc \"1\".example");
            let ha1 = ha1(algorithm, "us\"er", &challenge.realm, password);
            let account = Account {
                username: "us\"er",
                ha1: &ha1,
            };
            let value = answer(&challenge, account, "INVITE", "sip:a@b", "cn", 10);
            let credentials = Credentials::parse(&value).unwrap();
            assert_eq!(credentials.nc(), Some(10));
            assert_eq!(credentials.username, "us\"er");
            assert!(verify(&credentials, &ha1, "INVITE"));
            assert!(!verify(&credentials, &ha1, "BYE"));
        }
    }
}

#[test]
fn a_challenge_without_qop_is_answered_without() {
    let challenge = Challenge::parse("Digest realm=\"r\", nonce=\"n\", opaque=\"o\"").unwrap();
    let ha1 = ha1(Algorithm::Md5, "u", "r", "p");
    let value = answer(
        &challenge,
        Account {
            username: "u",
            ha1: &ha1,
        },
        "BYE",
        "sip:a",
        "c",
        1,
    );
    let credentials = Credentials::parse(&value).unwrap();
    assert_eq!(credentials.nc(), None);
    assert_eq!(credentials.opaque.as_deref(), Some("o"));
    assert!(verify(&credentials, &ha1, "BYE"));
    assert_eq!(
        Challenge::parse("Digest realm=r, nonce=n, qop=\"auth-int\""),
        Err(CredentialsError::Unsupported)
    );
}

#[test]
fn debug_output_holds_no_response() {
    let value = rfc7616("MD5", "8ca523f5e9506fed4657c9700eebdbec");
    let debug = format!("{:?}", Credentials::parse(&value).unwrap());
    assert!(
        !debug.contains("8ca523f5") && !debug.contains("Mufasa"),
        "{debug}"
    );
}
