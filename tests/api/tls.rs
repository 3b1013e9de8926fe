//! The API over TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use trunkline::config::CertificateFiles;
use trunkline::control::certificates::Certificates;

use crate::client::Client;
use crate::node::Node;

/// A certificate for 127.0.0.1 in files, and what a client needs that trusts it.
fn certificate(directory: &Path) -> (CertificateFiles, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = CertificateFiles {
        certificate: directory.join("api.pem"),
        key: directory.join("api.key"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (files, Arc::new(config))
}

#[test]
fn operations_are_served_over_tls_and_not_without() {
    let directory = tempfile::tempdir().unwrap();
    let (files, config) = certificate(directory.path());
    let tls = Certificates::of_api(files).unwrap().material();
    let node = Node::start_over(Some(tls), directory.path());
    let client = Client::first_account(node.address);

    let connect = |config: &Arc<ClientConfig>| {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        StreamOwned::new(session, TcpStream::connect(node.address).unwrap())
    };
    let request = || client.signed("GET", "/voice-connectors", b"");
    let answer = client.send_over(&mut connect(&config), request()).ok(200);
    assert_eq!(answer["VoiceConnectors"], serde_json::json!([]));

    // Whoever speaks HTTP without TLS gets an alert, or nothing.
    let mut plain = TcpStream::connect(node.address).unwrap();
    plain.write_all(b"GET /status HTTP/1.1\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    // The server may close before it has read everything.
    if plain.read_to_end(&mut heard).is_ok() {
        assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    }

    // A client that trusts another certificate is not served.
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, others) = certificate(elsewhere.path());
    assert!(connect(&others).write_all(b"GET").is_err());
    node.stop();
}
