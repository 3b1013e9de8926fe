//! The examples that AWS publishes with the specification (service `service`), and requests signed by
//! botocore (service `chime`).

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::*;
use crate::config::Secret;

/// A request with its signature.
struct Signed {
    method: Method,
    target: &'static str,
    headers: Vec<(&'static str, String)>,
    body: &'static str,
}

impl Signed {
    fn verify(&self, service: &'static str, now: &str) -> Result<String, SignatureFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let request = SignedRequest {
            method: &self.method,
            path,
            query,
            headers: &headers,
            body: self.body.as_bytes(),
        };
        verify(&keys(), service, &request, now.parse().unwrap()).map(|key| key.account.clone())
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self
    }

    /// With a part of the `Authorization` header in other words.
    fn reworded(mut self, from: &str, to: &str) -> Self {
        for (name, value) in &mut self.headers {
            if *name == "authorization" {
                assert!(value.contains(from), "{value} has no {from}");
                *value = value.replace(from, to);
            }
        }
        self
    }
}

fn keys() -> Vec<AccessKey> {
    let key = |id: &str, secret: &str, account: &str| AccessKey {
        id: id.to_owned(),
        secret: Secret(secret.to_owned()),
        account: account.to_owned(),
        is_read_only: false,
    };
    vec![
        key(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "111111111111",
        ),
        key(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "111122223333",
        ),
    ]
}

const AWS_NOW: &str = "2015-08-30T12:36:00Z";

/// A request of AWS's examples; `extra` headers are signed too.
fn aws(
    method: Method,
    target: &'static str,
    signed: &str,
    extra: &[(&'static str, &str)],
    signature: &str,
) -> Signed {
    let mut headers = vec![
        ("host", "example.amazonaws.com".to_owned()),
        ("x-amz-date", "20150830T123600Z".to_owned()),
        (
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={signed}, Signature={signature}"
            ),
        ),
    ];
    headers.extend(
        extra
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    Signed {
        method,
        target,
        headers,
        body: "",
    }
}

#[test]
fn the_examples_of_aws_verify() {
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let plain = "host;x-amz-date";
    let get = |target, signature| aws(Method::GET, target, plain, &[], signature);
    let examples = [
        ("get-vanilla", get("/", vanilla)),
        ("get-slash-normalized", get("//", vanilla)),
        ("get-relative-normalized", get("/example/..", vanilla)),
        (
            "get-vanilla-query-order-key-case",
            get(
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ),
        (
            "get-vanilla-query-unreserved",
            get(
                "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=\
                 -._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
        ),
        (
            "get-utf8",
            get(
                "/ሴ",
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
        ),
        (
            "get-header-value-trim",
            aws(
                Method::GET,
                "/",
                "host;my-header1;my-header2;x-amz-date",
                &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
        ),
        (
            "post-header-key-sort",
            aws(
                Method::POST,
                "/",
                "host;my-header1;x-amz-date",
                &[("my-header1", "value1")],
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
        ),
        (
            "get-vanilla-with-session-token",
            aws(
                Method::GET,
                "/",
                "host;x-amz-date;x-amz-security-token",
                &[(
                    "x-amz-security-token",
                    "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
                )],
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
        ),
    ];
    for (name, example) in examples {
        assert_eq!(
            example.verify("service", AWS_NOW),
            Ok("111111111111".to_owned()),
            "{name}"
        );
    }
}

#[test]
fn the_example_of_aws_with_a_body_verifies() {
    let hash = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
    let mut example = aws(
        Method::POST,
        "/",
        "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        &[
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-amz-content-sha256", hash),
        ],
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    );
    example.body = "Param1=value1";
    assert!(example.verify("service", AWS_NOW).is_ok());
    example.body = "Param1=value2";
    assert_eq!(
        example.verify("service", AWS_NOW),
        Err(SignatureFault::Body)
    );
}

const NOW: &str = "2026-03-01T12:00:00Z";

fn botocore(
    method: Method,
    target: &'static str,
    signed: &str,
    body: &'static str,
    signature: &str,
) -> Signed {
    Signed {
        method,
        target,
        headers: vec![
            ("host", "127.0.0.1:8080".to_owned()),
            ("x-amz-date", "20260301T120000Z".to_owned()),
            (
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 \
                     Credential=AKIAIOSFODNN7EXAMPLE/20260301/us-east-1/chime/aws4_request, \
                     SignedHeaders={signed}, Signature={signature}"
                ),
            ),
        ],
        body,
    }
}

fn associate() -> Signed {
    botocore(
        Method::POST,
        "/voice-connectors/abcdefghij0123456789ab?operation=associate-phone-numbers",
        "content-type;host;x-amz-date",
        r#"{"E164PhoneNumbers":["+12065550100"]}"#,
        "c7ba3f4b66dcd65b93cb4490b6bfaf536e1d99187b08fdc747e6719e7594b7f5",
    )
    .with("content-type", "application/json")
}

/// The path has an escape, which the signature encodes again.
fn get_number() -> Signed {
    botocore(
        Method::GET,
        "/phone-numbers/%2B12065550100",
        "host;x-amz-date",
        "",
        "f2cad38159da95edda173c4b7e73589c384b496fd759e59a6f6469b142bee180",
    )
}

const PRESIGNED: &str = "/voice-connectors?max-results=5&X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260301%2Fus-east-1%2Fchime%2Faws4_request\
    &X-Amz-Date=20260301T120000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=111b7f4eafe41e7a5c9ea21dbdc1fe7adbd5dcfd19b49fa86a27e37e44898a2e";

fn presigned(target: &'static str) -> Signed {
    Signed {
        method: Method::GET,
        target,
        headers: vec![("host", "127.0.0.1:8080".to_owned())],
        body: "",
    }
}

#[test]
fn what_botocore_signs_verifies() {
    let account = Ok("111122223333".to_owned());
    let list = botocore(
        Method::GET,
        "/phone-numbers?next-token=a%2Bb%2F%3D&max-results=2&filter-name=x%20y",
        "host;x-amz-date",
        "",
        "c9f2c1fdab29a6d44089a94186d2b11d234f3b5d86be843c056b31bf130beedb",
    );
    assert_eq!(associate().verify(SERVICE, NOW), account);
    assert_eq!(get_number().verify(SERVICE, NOW), account);
    assert_eq!(list.verify(SERVICE, NOW), account);
    assert_eq!(presigned(PRESIGNED).verify(SERVICE, NOW), account);
}

#[test]
fn a_changed_request_does_not_verify() {
    let changed = |change: fn(&mut Signed)| {
        let mut request = associate();
        change(&mut request);
        request.verify(SERVICE, NOW)
    };
    let mismatch = Err(SignatureFault::Signature);
    assert_eq!(changed(|request| request.method = Method::PUT), mismatch);
    assert_eq!(changed(|request| request.body = "{}"), mismatch);
    assert_eq!(
        changed(|request| request.target =
            "/voice-connectors/abcdefghij0123456789ab?operation=disassociate-phone-numbers"),
        mismatch
    );
    assert_eq!(
        associate()
            .with("host", "127.0.0.1:8081")
            .verify(SERVICE, NOW),
        mismatch
    );
    assert_eq!(
        associate()
            .reworded("us-east-1", "us-west-2")
            .verify(SERVICE, NOW),
        mismatch
    );
    assert_eq!(
        associate()
            .reworded("7594b7f5", "7594b7f6")
            .verify(SERVICE, NOW),
        mismatch
    );
    assert_eq!(
        associate().reworded("7594b7f5", "").verify(SERVICE, NOW),
        mismatch
    );
    assert_eq!(
        associate()
            .reworded("AKIAIOSFODNN7EXAMPLE", "AKIDEXAMPLE")
            .verify(SERVICE, NOW),
        mismatch
    );
}

#[test]
fn each_fault_is_told() {
    let unsigned = get_number().without("authorization");
    assert_eq!(unsigned.verify(SERVICE, NOW), Err(SignatureFault::Unsigned));
    let basic = get_number().with("authorization", "Basic QWxhZGRpbg==");
    assert_eq!(basic.verify(SERVICE, NOW), Err(SignatureFault::Algorithm));
    let faults: [(&str, &str, SignatureFault); 9] = [
        (
            "HMAC-SHA256 ",
            "ECDSA-P256-SHA256 ",
            SignatureFault::Algorithm,
        ),
        ("Signature=", "Sign=", SignatureFault::Part("Signature")),
        ("Credential=", "Cred=", SignatureFault::Part("Credential")),
        ("/chime/", "/", SignatureFault::Part("Credential")),
        ("host;x-amz-date", "", SignatureFault::Part("SignedHeaders")),
        ("host;", "", SignatureFault::NotSigned("host")),
        (";x-amz-date", "", SignatureFault::NotSigned("x-amz-date")),
        (
            "host;",
            "host;te;",
            SignatureFault::SignedHeaderMissing("te".to_owned()),
        ),
        ("/20260301/", "/20260228/", SignatureFault::ScopeDate),
    ];
    for (from, to, fault) in faults {
        let request = get_number().reworded(from, to);
        assert_eq!(request.verify(SERVICE, NOW), Err(fault), "{from} -> {to}");
    }
    let scope = Err(SignatureFault::Scope { service: SERVICE });
    for (from, to) in [("/chime/", "/s3/"), ("/aws4_request", "/aws5_request")] {
        assert_eq!(get_number().reworded(from, to).verify(SERVICE, NOW), scope);
    }
    let unknown = get_number().reworded("AKIAIOSFODNN7EXAMPLE", "AKIAUNKNOWN");
    assert_eq!(
        unknown.verify(SERVICE, NOW),
        Err(SignatureFault::UnknownAccessKey)
    );
    let date = Err(SignatureFault::Part("X-Amz-Date"));
    assert_eq!(
        get_number().without("x-amz-date").verify(SERVICE, NOW),
        date
    );
    for text in ["2026-03-01T12:00", "20261301T120000Z", "2026030éT12000Z"] {
        let request = get_number().with("x-amz-date", text);
        assert_eq!(request.verify(SERVICE, NOW), date, "{text}");
    }
    let mut twice = get_number();
    twice.headers.push(("authorization", "x".to_owned()));
    assert_eq!(twice.verify(SERVICE, NOW), Err(SignatureFault::SignedTwice));
    let mut both = get_number();
    both.target = PRESIGNED;
    assert_eq!(both.verify(SERVICE, NOW), Err(SignatureFault::SignedTwice));
}

#[test]
fn a_declared_hash_has_to_be_of_the_body() {
    let wrong = get_number().with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_eq!(wrong.verify(SERVICE, NOW), Err(SignatureFault::Body));
    let right = get_number().with("x-amz-content-sha256", &hex(&Sha256::digest(b"")));
    assert!(right.verify(SERVICE, NOW).is_ok());
}

#[test]
fn signatures_are_taken_for_fifteen_minutes_around_their_time() {
    let at = |now: &str| get_number().verify(SERVICE, now);
    let instant = |now: &str| now.parse::<Timestamp>().unwrap();
    assert!(at("2026-03-01T12:15:00Z").is_ok());
    assert!(at("2026-03-01T11:45:00Z").is_ok());
    let late = "2026-03-01T12:15:01Z";
    let now = instant(late);
    assert_eq!(at(late), Err(SignatureFault::Expired { now }));
    let early = "2026-03-01T11:44:59Z";
    let now = instant(early);
    assert_eq!(at(early), Err(SignatureFault::NotYet { now }));
}

#[test]
fn presigned_requests_live_as_long_as_they_say() {
    let at = |now: &str| presigned(PRESIGNED).verify(SERVICE, now);
    assert!(at("2026-03-01T12:05:00Z").is_ok());
    assert!(matches!(
        at("2026-03-01T12:05:01Z"),
        Err(SignatureFault::Expired { .. })
    ));
    let longer: &'static str = PRESIGNED.replace("=300", "=604800").leak();
    assert_eq!(
        presigned(longer).verify(SERVICE, NOW),
        Err(SignatureFault::Signature)
    );
    let too_long: &'static str = PRESIGNED.replace("=300", "=604801").leak();
    assert_eq!(
        presigned(too_long).verify(SERVICE, NOW),
        Err(SignatureFault::Part("X-Amz-Expires"))
    );
}

#[test]
fn the_texts_of_faults_have_no_secret() {
    let fault = associate()
        .reworded("7594b7f5", "00000000")
        .verify(SERVICE, NOW)
        .unwrap_err();
    let text = format!("{fault} {fault:?}");
    assert!(
        !text.contains("7594b7f5") && !text.contains("wJalr"),
        "{text}"
    );
}

#[test]
fn keys_longer_than_a_block_are_hashed_first() {
    // RFC 4231 §4.7, test case 6.
    assert_eq!(
        hex(&hmac_sha256(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First"
        )),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}
