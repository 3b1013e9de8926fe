//! The API over real HTTP, with a store on disk: every operation, what it refuses, and who may call it.

#![allow(
    clippy::unwrap_used,
    reason = "a test whose server does not answer has failed"
)]

mod authentication;
mod client;
mod http;
mod inventory;
mod node;
mod origination;
mod termination;
mod tls;
mod voice_connectors;

use std::sync::Arc;

use serde_json::{Value, json};
use trunkline::connector_id::VoiceConnectorId;
use trunkline::shard::snapshot::VoiceConnector;

use client::Client;
use node::Node;

/// A node with an empty store, and a client of its first account. The directory lives as long as the test.
fn node() -> (tempfile::TempDir, Node, Client) {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path());
    let client = Client::first_account(node.address);
    (directory, node, client)
}

/// Creates a connector and gives its id.
fn create_connector(client: &Client, name: &str) -> String {
    let body = json!({"Name": name, "RequireEncryption": false});
    let answer = client.call("POST", "/voice-connectors", Some(body)).ok(201);
    text(&answer["VoiceConnector"]["VoiceConnectorId"]).to_owned()
}

/// The connector as calls see it now.
fn published(node: &Node, id: &str) -> Arc<VoiceConnector> {
    let id: VoiceConnectorId = id.parse().unwrap();
    Arc::clone(&node.state.control.snapshot().connectors[&id])
}

/// Orders numbers of the pool and checks that all were acquired.
fn order(client: &Client, numbers: &[&str]) -> Value {
    let body = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": numbers});
    let answer = client
        .call("POST", "/phone-number-orders", Some(body))
        .ok(201);
    assert_eq!(answer["PhoneNumberOrder"]["Status"], "Successful");
    answer["PhoneNumberOrder"].clone()
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is not a string"))
}

/// A request that is refused as BadRequest with a message that begins with the member.
struct Bad {
    method: &'static str,
    target: String,
    body: Option<Value>,
    member: &'static str,
}

fn bad(
    method: &'static str,
    target: impl Into<String>,
    body: impl Into<Option<Value>>,
    member: &'static str,
) -> Bad {
    Bad {
        method,
        target: target.into(),
        body: body.into(),
        member,
    }
}

fn assert_refused(client: &Client, requests: impl IntoIterator<Item = Bad>) {
    for request in requests {
        let told = format!("{} {} {:?}", request.method, request.target, request.body);
        let message = client
            .call(request.method, &request.target, request.body)
            .refused(400, "BadRequest");
        let named = message
            .strip_prefix(request.member)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()));
        assert!(
            named,
            "{told}: {message} does not begin with {}",
            request.member
        );
    }
}
