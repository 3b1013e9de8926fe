//! Who may call, and whose resources a caller sees.

use serde_json::json;

use crate::client::Client;
use crate::node::{FIRST_KEY, READING_KEY, REQUESTS_PER_SECOND, SECOND_KEY};
use crate::{create_connector, node, order};

const LIST: &str = "/voice-connectors";

#[test]
fn an_unsigned_request_is_refused() {
    let (_directory, _node, client) = node();
    let request = client.signed("GET", LIST, b"").with("Authorization", None);
    client
        .send(request)
        .refused(403, "MissingAuthenticationToken");
}

#[test]
fn an_incomplete_signature_is_refused_with_the_part_that_is_missing() {
    let (_directory, _node, client) = node();
    let complete = client.signed("GET", LIST, b"");
    let authorization = complete.header("Authorization").to_owned();
    for (from, to, named) in [
        ("AWS4-HMAC-SHA256", "Bearer", "AWS4-HMAC-SHA256"),
        ("Credential=", "Cred=", "Credential"),
        ("Signature=", "Sig=", "Signature"),
        ("SignedHeaders=host;", "SignedHeaders=", "host"),
        (";x-amz-date", "", "x-amz-date"),
    ] {
        let changed = authorization.replace(from, to);
        let request = client
            .signed("GET", LIST, b"")
            .with("Authorization", Some(&changed));
        let message = client.send(request).refused(400, "IncompleteSignature");
        assert!(message.contains(named), "{message}");
    }
    let undated = client.signed("GET", LIST, b"").with("X-Amz-Date", None);
    let message = client.send(undated).refused(400, "IncompleteSignature");
    assert!(message.contains("X-Amz-Date"), "{message}");
}

#[test]
fn an_unknown_access_key_is_refused() {
    let (_directory, _node, mut client) = node();
    client.key.id = "AKIANOBODY";
    client
        .call("GET", LIST, None)
        .refused(403, "InvalidClientTokenId");
}

#[test]
fn a_wrong_signature_is_refused_and_the_right_one_not_told() {
    let (_directory, _node, mut client) = node();
    let right = client.signed("GET", LIST, b"");
    let (_, right) = right
        .header("Authorization")
        .split_once("Signature=")
        .unwrap();
    let right = right.to_owned();
    client.key.secret = SECOND_KEY.secret;
    let message = client
        .call("GET", LIST, None)
        .refused(403, "SignatureDoesNotMatch");
    assert!(!message.contains(&right), "{message}");
    assert!(!message.contains(FIRST_KEY.secret), "{message}");
}

#[test]
fn a_body_or_query_changed_on_the_way_is_refused() {
    let (_directory, _node, client) = node();
    let body = json!({"Name": "mine", "RequireEncryption": false}).to_string();
    let mut request = client.signed("POST", LIST, body.as_bytes());
    request.body = body.replace("mine", "evil").into_bytes();
    client.send(request).refused(403, "SignatureDoesNotMatch");
    let mut request = client.signed("GET", LIST, b"");
    request.target = format!("{LIST}?max-results=1");
    client.send(request).refused(403, "SignatureDoesNotMatch");
    let request = client
        .signed("GET", LIST, b"")
        .with("X-Amz-Content-Sha256", Some("UNSIGNED-PAYLOAD"));
    client.send(request).refused(403, "SignatureDoesNotMatch");
    let all = client.call("GET", LIST, None).ok(200);
    assert_eq!(all["VoiceConnectors"], json!([]));
}

#[test]
fn a_signature_for_another_service_is_refused_with_the_right_one() {
    let (_directory, _node, mut client) = node();
    client.service = "chime-sdk-voice";
    let message = client
        .call("GET", LIST, None)
        .refused(403, "SignatureDoesNotMatch");
    assert!(message.contains("'chime'"), "{message}");
}

#[test]
fn an_old_or_early_signature_is_refused_with_the_servers_time() {
    let (_directory, _node, mut client) = node();
    for date in ["20260301T114459Z", "20260301T121501Z"] {
        client.date = date;
        let answer = client.call("GET", LIST, None);
        let message = answer.refused(403, "RequestExpired");
        assert!(message.contains("2026-03-01T12:00:00Z"), "{message}");
    }
    for date in ["20260301T114500Z", "20260301T121500Z"] {
        client.date = date;
        client.call("GET", LIST, None).ok(200);
    }
}

#[test]
fn accounts_do_not_see_each_other() {
    let (_directory, node, first) = node();
    let second = Client::second_account(node.address);
    let id = create_connector(&first, "of the first");
    order(&first, &["+12065550100"]);

    let list = second.call("GET", LIST, None).ok(200);
    assert_eq!(list["VoiceConnectors"], json!([]));
    let numbers = second.call("GET", "/phone-numbers", None).ok(200);
    assert_eq!(numbers["PhoneNumbers"], json!([]));

    let path = format!("{LIST}/{id}");
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    let termination = json!({"Termination": {
        "CallingRegions": ["US"], "CidrAllowedList": ["203.0.113.5/32"]}});
    let origination = json!({"Origination": {"Routes": []}});
    let credentials = json!({"Credentials": [{"Username": "u", "Password": "p"}]});
    let renamed = json!({"Name": "of the second", "RequireEncryption": true});
    for (method, suffix, body) in [
        ("GET", "", None),
        ("PUT", "", Some(renamed)),
        ("DELETE", "", None),
        ("GET", "/origination", None),
        ("PUT", "/origination", Some(origination)),
        ("DELETE", "/origination", None),
        ("GET", "/termination", None),
        ("PUT", "/termination", Some(termination)),
        ("DELETE", "/termination", None),
        ("GET", "/termination/health", None),
        ("GET", "/termination/credentials", None),
        (
            "POST",
            "/termination/credentials?operation=put",
            Some(credentials),
        ),
        (
            "POST",
            "/termination/credentials?operation=delete",
            Some(json!({"Usernames": ["u"]})),
        ),
        (
            "POST",
            "?operation=associate-phone-numbers",
            Some(numbers.clone()),
        ),
        (
            "POST",
            "?operation=disassociate-phone-numbers",
            Some(numbers),
        ),
    ] {
        let message = second
            .call(method, &format!("{path}{suffix}"), body)
            .refused(404, "NotFound");
        assert!(message.contains(&id), "{method} {suffix}: {message}");
    }
    second
        .call("GET", "/phone-numbers/%2B12065550100", None)
        .refused(404, "NotFound");

    let connector = first.call("GET", &path, None).ok(200);
    assert_eq!(connector["VoiceConnector"]["Name"], "of the first");
}

#[test]
fn a_key_for_reading_reads_and_changes_nothing() {
    let (_directory, _node, client) = node();
    let id = create_connector(&client, "kept");
    let reader = Client {
        key: READING_KEY,
        ..client
    };
    let path = format!("{LIST}/{id}");
    reader.call("GET", &path, None).ok(200);
    let renamed = json!({"Name": "changed", "RequireEncryption": true});
    for (method, body) in [("PUT", Some(renamed)), ("DELETE", None)] {
        let message = reader.call(method, &path, body).refused(403, "Forbidden");
        assert!(message.contains("read-only"), "{message}");
    }
    let kept = reader.call("GET", &path, None).ok(200);
    assert_eq!(kept["VoiceConnector"]["Name"], "kept");
}

#[test]
fn a_key_that_asks_too_often_is_told_so_and_others_are_not() {
    let (_directory, node, client) = node();
    let list = |client: &Client| client.call("GET", "/voice-connector-regions", None);
    for _ in 0..REQUESTS_PER_SECOND {
        list(&client).ok(200);
    }
    let answer = list(&client);
    assert_eq!(answer.status, 429);
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.contains("Throttled"), "{body}");
    list(&Client::second_account(node.address)).ok(200);
}
