//! Create, Get, List, Update and DeleteVoiceConnector.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::Client;
use crate::node::Node;
use crate::{assert_refused, bad, create_connector, node, order, text};

#[test]
fn a_connector_is_created_read_renamed_and_deleted() {
    let (_directory, node, client) = node();
    let body = json!({
        "Name": "Main office",
        "AwsRegion": "us-west-2",
        "RequireEncryption": true,
        "NetworkType": "DUAL_STACK",
        "Tags": [{"Key": "team", "Value": "voice"}],
    });
    let created = client.call("POST", "/voice-connectors", Some(body)).ok(201);
    let connector = &created["VoiceConnector"];
    let id = text(&connector["VoiceConnectorId"]);
    let host = text(&connector["OutboundHostName"]);
    assert_eq!(connector["Name"], "Main office");
    assert_eq!(connector["AwsRegion"], "us-west-2");
    assert_eq!(connector["RequireEncryption"], true);
    assert_eq!(connector["NetworkType"], "DUAL_STACK");
    assert_eq!(host, format!("{id}.voiceconnector.localhost"));
    assert_eq!(
        connector["VoiceConnectorArn"],
        format!("arn:aws:chime:us-west-2:111122223333:vc/{id}")
    );
    let snapshot = node.state.control.snapshot();
    assert!(snapshot.connector_by_host(host).unwrap().require_encryption);

    let path = format!("/voice-connectors/{id}");
    assert_eq!(client.call("GET", &path, None).ok(200), created);

    let body = json!({"Name": "Branch", "RequireEncryption": false});
    let updated = client.call("PUT", &path, Some(body)).ok(200);
    assert_eq!(updated["VoiceConnector"]["Name"], "Branch");
    assert_eq!(updated["VoiceConnector"]["RequireEncryption"], false);
    assert_eq!(updated["VoiceConnector"]["AwsRegion"], "us-west-2");
    assert_eq!(client.call("GET", &path, None).ok(200), updated);
    let snapshot = node.state.control.snapshot();
    assert!(!snapshot.connector_by_host(host).unwrap().require_encryption);

    assert_eq!(client.call("DELETE", &path, None).ok(204), Value::Null);
    let snapshot = node.state.control.snapshot();
    assert!(snapshot.connector_by_host(host).is_none());
    for method in ["GET", "DELETE"] {
        let message = client.call(method, &path, None).refused(404, "NotFound");
        assert!(message.contains(id), "{message}");
    }
    let list = client.call("GET", "/voice-connectors", None).ok(200);
    assert_eq!(list["VoiceConnectors"], json!([]));
}

#[test]
fn what_a_connector_cannot_be_is_refused_by_member() {
    let (_directory, _node, client) = node();
    let id = create_connector(&client, "valid");
    let path = format!("/voice-connectors/{id}");
    let create = |body, member| bad("POST", "/voice-connectors", body, member);
    let update = |body, member| bad("PUT", &path, body, member);
    let list = |query: &str, member| bad("GET", format!("/voice-connectors?{query}"), None, member);
    assert_refused(
        &client,
        [
            create(json!({"RequireEncryption": false}), "Name"),
            create(json!({"Name": "", "RequireEncryption": false}), "Name"),
            create(json!({"Name": 1, "RequireEncryption": false}), "Name"),
            create(
                json!({"Name": "a".repeat(257), "RequireEncryption": false}),
                "Name",
            ),
            create(json!({"Name": "a"}), "RequireEncryption"),
            create(
                json!({"Name": "a", "RequireEncryption": "yes"}),
                "RequireEncryption",
            ),
            create(
                json!({"Name": "a", "RequireEncryption": true, "AwsRegion": "mars"}),
                "AwsRegion",
            ),
            create(
                json!({"Name": "a", "RequireEncryption": true, "NetworkType": "IPV5"}),
                "NetworkType",
            ),
            create(
                json!({"Name": "a", "RequireEncryption": true, "IntegrationType": "X"}),
                "IntegrationType",
            ),
            create(
                json!({"Name": "a", "RequireEncryption": true, "Tags": [{"Key": "k"}]}),
                "Tags[0].Value",
            ),
            create(json!([]), "The body"),
            update(json!({"RequireEncryption": false}), "Name"),
            update(json!({"Name": "a"}), "RequireEncryption"),
            list("max-results=0", "MaxResults"),
            list("max-results=101", "MaxResults"),
            list("max-results=few", "MaxResults"),
            list("next-token=nonsense", "NextToken"),
        ],
    );
    let request = client.signed("POST", "/voice-connectors", b"{\"Name\": ");
    let message = client.send(request).refused(400, "BadRequest");
    assert!(message.contains("JSON"), "{message}");
    let list = client.call("GET", "/voice-connectors", None).ok(200);
    assert_eq!(list["VoiceConnectors"].as_array().unwrap().len(), 1);
    assert_eq!(list["VoiceConnectors"][0]["Name"], "valid");
}

#[test]
fn an_id_that_nobody_has_is_not_found() {
    let (_directory, _node, client) = node();
    let body = json!({"Name": "a", "RequireEncryption": false});
    for id in ["abcdefghij0123456789ab", "short", "%3Cscript%3E"] {
        let path = format!("/voice-connectors/{id}");
        client.call("GET", &path, None).refused(404, "NotFound");
        client.call("DELETE", &path, None).refused(404, "NotFound");
        client
            .call("PUT", &path, Some(body.clone()))
            .refused(404, "NotFound");
    }
}

#[test]
fn a_connector_with_numbers_is_not_deleted() {
    let (_directory, _node, client) = node();
    let id = create_connector(&client, "in use");
    let path = format!("/voice-connectors/{id}");
    order(&client, &["+12065550100"]);
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    let associate = format!("{path}?operation=associate-phone-numbers");
    client
        .call("POST", &associate, Some(numbers.clone()))
        .ok(200);
    client.call("DELETE", &path, None).refused(409, "Conflict");

    let disassociate = format!("{path}?operation=disassociate-phone-numbers");
    client.call("POST", &disassociate, Some(numbers)).ok(200);
    client.call("DELETE", &path, None).ok(204);
}

#[test]
fn pages_hold_every_connector_once() {
    let (_directory, _node, client) = node();
    let created: BTreeSet<String> = (0..5)
        .map(|number| create_connector(&client, &format!("number {number}")))
        .collect();
    let mut listed = Vec::new();
    let mut sizes = Vec::new();
    let mut target = "/voice-connectors?max-results=2".to_owned();
    loop {
        let page = client.call("GET", &target, None).ok(200);
        let connectors = page["VoiceConnectors"].as_array().unwrap();
        sizes.push(connectors.len());
        let ids = connectors.iter().map(|one| text(&one["VoiceConnectorId"]));
        listed.extend(ids.map(str::to_owned));
        match page["NextToken"].as_str() {
            Some(token) => {
                target = format!("/voice-connectors?max-results=2&next-token={token}");
            }
            None => break,
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(listed.len(), created.len());
    assert_eq!(BTreeSet::from_iter(listed), created);
}

#[test]
fn a_store_opened_again_serves_the_same() {
    let (directory, node, client) = node();
    let id = create_connector(&client, "kept");
    let path = format!("/voice-connectors/{id}");
    let put = |suffix: &str, body| {
        client
            .call("PUT", &format!("{path}{suffix}"), Some(body))
            .ok(200);
    };
    put(
        "/origination",
        json!({"Origination": {"Routes": [{"Host": "192.0.2.1", "Protocol": "UDP"}]}}),
    );
    put(
        "/termination",
        json!({"Termination": {"CallingRegions": ["US"], "CidrAllowedList": ["192.0.2.0/28"]}}),
    );
    let credentials = json!({"Credentials": [{"Username": "pbx", "Password": "secret"}]});
    let target = format!("{path}/termination/credentials?operation=put");
    client.call("POST", &target, Some(credentials)).ok(204);
    let number = "+12065550100";
    let placed = order(&client, &[number]);
    let target = format!("{path}?operation=associate-phone-numbers");
    client
        .call("POST", &target, Some(json!({"E164PhoneNumbers": [number]})))
        .ok(200);
    let order_path = format!(
        "/phone-number-orders/{}",
        text(&placed["PhoneNumberOrderId"])
    );
    let everything = |client: &Client| -> Vec<Value> {
        [
            "/voice-connectors",
            &path,
            &format!("{path}/origination"),
            &format!("{path}/termination"),
            &format!("{path}/termination/credentials"),
            "/phone-numbers",
            "/phone-numbers/%2B12065550100",
            &order_path,
        ]
        .map(|target| client.call("GET", target, None).ok(200))
        .to_vec()
    };
    let before = everything(&client);
    let snapshot = node.state.control.snapshot();
    node.stop();

    let node = Node::start(directory.path());
    assert_eq!(everything(&Client::first_account(node.address)), before);
    let again = node.state.control.snapshot();
    assert_eq!(again.connectors, snapshot.connectors);
    assert_eq!(again.numbers, snapshot.numbers);
    assert_eq!(again.hosts, snapshot.hosts);
}
