//! What the server does before and after an operation.

use std::io::{Read, Write};
use std::net::TcpStream;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use trunkline::api::server::BODY_BYTES_MAX;

use crate::client::Client;
use crate::{create_connector, node};

#[test]
fn the_status_is_told_without_a_signature() {
    let (_directory, _node, client) = node();
    let request = client
        .signed("GET", "/status", b"")
        .with("Authorization", None);
    let answer = client.send(request);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let status: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(status, json!({"Calls": 0}));
}

#[test]
fn so_many_calls_of_the_key_s_account_are_told_of_as_are_asked_for_and_to_nobody_without_one() {
    let (_directory, node, client) = node();
    for (target, limit) in [
        ("/calls", 100),
        ("/calls?limit=7", 7),
        ("/calls?limit=1000", 1_000),
    ] {
        let unsigned = client
            .signed("GET", target, b"")
            .with("Authorization", None);
        assert_eq!(client.send(unsigned).status, 403);
        for client in [&client, &Client::second_account(node.address)] {
            let answer = client.send(client.signed("GET", target, b""));
            assert_eq!(answer.status, 200);
            let told: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(told, json!([client.key.account, limit]), "{target}");
        }
    }
    for limit in ["0", "1001", "x", "-1", ""] {
        let target = format!("/calls?limit={limit}");
        client.call("GET", &target, None).refused(400, "BadRequest");
    }
}

#[test]
fn the_description_is_told_without_a_signature() {
    let (_directory, _node, client) = node();
    let request = client
        .signed("GET", "/openapi.json", b"")
        .with("Authorization", None);
    let answer = client.send(request);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let description: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
}

#[test]
fn what_is_no_operation_is_not_found_but_only_for_callers_we_know() {
    let (_directory, _node, client) = node();
    for (method, target) in [
        ("GET", "/"),
        ("PATCH", "/voice-connectors"),
        ("POST", "/status"),
        ("POST", "/openapi.json"),
        ("POST", "/phone-numbers/%2B12065550100/%E2%98%8E"),
    ] {
        client
            .call(method, target, None)
            .refused(404, "UnknownOperation");
        let unsigned = client
            .signed(method, target, b"")
            .with("Authorization", None);
        client
            .send(unsigned)
            .refused(403, "MissingAuthenticationToken");
    }
}

#[test]
fn a_path_that_is_not_utf8_is_refused() {
    let (_directory, _node, client) = node();
    client
        .call("GET", "/phone-numbers/%FF", None)
        .refused(400, "BadRequest");
    client
        .call("GET", "/phone-numbers?filter-value=%FF", None)
        .refused(400, "BadRequest");
}

#[test]
fn an_escaped_slash_stays_in_its_segment() {
    let (_directory, _node, client) = node();
    let message = client
        .call("GET", "/voice-connectors/a%2Forigination", None)
        .refused(404, "NotFound");
    assert!(message.contains("a/origination"), "{message}");
}

#[test]
fn a_body_over_the_limit_is_refused_with_the_limit() {
    let (_directory, _node, client) = node();
    let request = client.signed("POST", "/voice-connectors", &vec![b' '; BODY_BYTES_MAX + 1]);
    let message = client.send(request).refused(413, "RequestEntityTooLarge");
    assert!(message.contains("1048576"), "{message}");

    let mut body = json!({"Name": "padded", "RequireEncryption": false}).to_string();
    body.push_str(&" ".repeat(BODY_BYTES_MAX - body.len()));
    let request = client.signed("POST", "/voice-connectors", body.as_bytes());
    client.send(request).ok(201);
}

#[test]
fn a_connection_takes_one_request_after_another() {
    let (_directory, node, client) = node();
    let mut stream = TcpStream::connect(node.address).unwrap();
    for _ in 0..3 {
        list_on(&mut stream, &client);
    }
}

/// Lists the connectors, of which there are none, and leaves the connection open.
fn list_on(stream: &mut TcpStream, client: &Client) {
    let request = client.signed("GET", "/voice-connectors", b"");
    let mut head = "GET /voice-connectors HTTP/1.1\r\n".to_owned();
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "closed after {answer:?}");
        answer.extend_from_slice(&chunk[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn bytes_that_are_no_http_end_only_their_connection() {
    let (_directory, node, client) = node();
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream
        .write_all(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"));
    create_connector(&client, "still here");
}

#[test]
fn request_ids_differ() {
    let (_directory, _node, client) = node();
    let id = || {
        let answer = client.call("GET", "/voice-connectors", None);
        answer.header("x-amzn-requestid").unwrap().to_owned()
    };
    assert_ne!(id(), id());
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let (_directory, node, client) = node();
    let mut idle = TcpStream::connect(node.address).unwrap();
    list_on(&mut idle, &client);
    let begun = Timestamp::now();
    node.stop();
    let lasted = begun.duration_until(Timestamp::now());
    // Less than the five seconds that a request in the middle of its answer is given.
    assert!(lasted < SignedDuration::from_secs(4), "{lasted}");
    assert_eq!(idle.read_to_end(&mut Vec::new()).unwrap(), 0);
}

#[test]
fn one_address_cannot_take_all_connections() {
    const EACH: usize = 128;
    let (_directory, node, _client) = node();
    let connect = || TcpStream::connect(node.address).unwrap();
    let ask = |stream: &mut TcpStream| {
        let sent = stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
        let (mut heard, mut buffer) = (Vec::new(), [0; 1_024]);
        // The answer's body ends with the status' last brace.
        while !heard.ends_with(b"}") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(bytes) => heard.extend_from_slice(&buffer[..bytes]),
            }
        }
        sent.is_ok() && heard.starts_with(b"HTTP/1.1 200")
    };
    let mut open: Vec<TcpStream> = (0..EACH).map(|_| connect()).collect();
    assert!(open.iter_mut().all(ask));
    assert!(!ask(&mut connect()), "one more is closed");
    assert!(open.iter_mut().all(ask), "the others are not");
}
