//! SIP over TLS, with peers of the same library's blocking side.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::reuse::{request, with_customer};
use super::*;
use crate::config::{
    Carrier, CarrierId, CarrierTls, CertificateFiles, Host, TlsPeer, TlsPeerId, TlsPolicy, TlsRoots,
};

const TLS: usize = 2;

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Certificates in a folder of their own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A certificate for these names that signs itself.
    fn issue(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.issue_as(file, names, |_| {})
    }

    fn issue_as(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        let files = CertificateFiles {
            certificate: self.0.path().join(format!("{file}.pem")),
            key: self.0.path().join(format!("{file}.key")),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A node with a TLS listener that shows these certificates, and opens connections under the policies.
fn node(certificates: Vec<CertificateFiles>, policies: &[TlsPolicy]) -> Bench {
    node_with(1, certificates, None, policies)
}

/// Whether a client gets an answer.
fn is_served(mut client: Client) -> bool {
    let message = order("ECHO", 0);
    let mut received = vec![0; message.len()];
    let answered = client
        .write_all(&message)
        .and_then(|()| client.read_exact(&mut received));
    answered.is_ok()
}

/// The same with several shards; peers are asked for a certificate that `client_ca` has signed.
fn node_with(
    shards: u8,
    certificates: Vec<CertificateFiles>,
    client_ca: Option<PathBuf>,
    policies: &[TlsPolicy],
) -> Bench {
    let mut config = config(shards);
    config.sip.listeners.push(SipListener {
        transport: Transport::Tls,
        ..config.sip.listeners[TCP].clone()
    });
    config.sip.tls.certificates = certificates;
    config.sip.tls.client_ca = client_ca;
    let material = Material::load(&config.sip.tls, policies).unwrap();
    Bench::start_with(&config, 0, material).unwrap()
}

/// A client that trusts one certificate.
fn connect(
    bench: &Bench,
    trusted: &CertificateFiles,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> Client {
    connect_as(bench, trusted, name, version, None)
}

/// A client that shows a certificate where it has one.
fn connect_as(
    bench: &Bench,
    trusted: &CertificateFiles,
    name: &str,
    version: &'static SupportedProtocolVersion,
    own: Option<&CertificateFiles>,
) -> Client {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(&trusted.certificate).unwrap();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_file(&own.certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(&own.key).unwrap();
            config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let socket = TcpStream::connect(bench.address(TLS)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        socket,
    )
}

fn echo(client: &mut Client, message: &[u8]) {
    client.write_all(message).unwrap();
    let mut received = vec![0; message.len()];
    client.read_exact(&mut received).unwrap();
    assert_eq!(received, message);
}

/// A peer that serves TLS on a connection that it accepts, until it has one message.
fn serve(listener: &TcpListener, files: &CertificateFiles) -> io::Result<Vec<u8>> {
    let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (socket, _) = listener.accept()?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let session = ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let mut received = vec![0; order("RELAY", 0).len()];
    stream.read_exact(&mut received)?;
    Ok(received)
}

/// Routing data with a customer on loopback, and whom to expect where.
fn expecting(name: &str, policy: &TlsPolicy) -> (Snapshot, TlsPeerId) {
    let mut snapshot = with_customer();
    let id = snapshot.tls_peers.intern(TlsPeer {
        server_name: Host::from(name),
        policy: policy.clone(),
    });
    (snapshot, id)
}

#[test]
fn messages_pass_over_tls_1_2_and_1_3_in_pieces_of_any_size() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    let bench = node(vec![files.clone()], &[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = connect(&bench, &files, "sip.example", version);
        echo(&mut client, &order("ECHO", 0));
        let (_, flow, _) = bench.see_message();
        assert_eq!(flow.transport, Transport::Tls);
        echo(&mut client, &order("ECHO", 0).repeat(300));
        client.write_all(b"\r\n\r\n").unwrap();
        let mut pong = [0; 2];
        client.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\r\n", "RFC 5626 §3.5.1");
    }
    assert_eq!(bench.sum(|net| net.tls_handshakes), 2);
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let folder = Folder::new();
    let first = folder.issue("first", &["one.example"]);
    let second = folder.issue("second", &["two.example"]);
    let bench = node(vec![first.clone(), second.clone()], &[]);
    for (files, name) in [(first, "one.example"), (second, "two.example")] {
        let mut client = connect(&bench, &files, name, &rustls::version::TLS13);
        echo(&mut client, &order("ECHO", 0));
    }
}

#[test]
fn a_stopping_node_says_good_bye() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    let bench = node(vec![files.clone()], &[]);
    let mut client = connect(&bench, &files, "sip.example", &rustls::version::TLS13);
    echo(&mut client, &order("ECHO", 0));
    bench.running.shutdown();
    // Without close_notify this were an error, UnexpectedEof.
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn a_client_that_ends_its_session_is_let_go() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    let bench = node(vec![files.clone()], &[]);
    let mut client = connect(&bench, &files, "sip.example", &rustls::version::TLS12);
    echo(&mut client, &order("ECHO", 0));
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn rubbish_in_the_place_of_a_handshake_costs_its_sender_the_connection() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    let bench = node(vec![files.clone()], &[]);
    let mut stranger = TcpStream::connect(bench.address(TLS)).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    stranger.write_all(&order("ECHO", 0)).unwrap();
    stranger.read_to_end(&mut Vec::new()).ok();
    let mut client = connect(&bench, &files, "sip.example", &rustls::version::TLS13);
    echo(&mut client, &order("ECHO", 0));
    assert_eq!(bench.sum(|net| net.tls_handshakes_failed), 1);
}

#[test]
fn a_peer_must_prove_its_name_unless_the_route_does_not_ask() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let carrier = folder.issue("carrier", &["carrier.example"]);
    let verified = TlsPolicy {
        roots: Some(TlsRoots::Only(carrier.certificate.clone())),
        client: None,
    };
    let unverified = TlsPolicy {
        roots: None,
        client: None,
    };
    let bench = node(vec![own], &[verified.clone(), unverified.clone()]);
    for (name, policy, is_reached) in [
        ("carrier.example", &verified, true),
        ("other.example", &verified, false),
        ("other.example", &unverified, true),
    ] {
        let mut snapshot = Snapshot::default();
        let id = snapshot.tls_peers.intern(TlsPeer {
            server_name: Host::from(name),
            policy: policy.clone(),
        });
        bench.snapshot.store(Arc::new(snapshot));
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        bench.set_flow(Flow {
            transport: Transport::Tls,
            listener: 2,
            remote: peer.local_addr().unwrap(),
            connection: None,
            tls: Some(id),
            carrier: None,
        });
        bench.udp_client().send(&order("RELAY", 0)).unwrap();
        let received = serve(&peer, &carrier);
        assert_eq!(received.is_ok(), is_reached, "{name}: {received:?}");
        if !is_reached {
            assert_eq!(bench.see_transport_error(), (0, TRANSACTION));
        }
    }
}

#[test]
fn a_certificate_that_a_client_shows_must_be_trusted_and_none_need_be_shown() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let (known, stranger) = (
        folder.issue("known", &["pbx.example"]),
        folder.issue("stranger", &["pbx.example"]),
    );
    let tls = SipTls {
        certificates: vec![own.clone()],
        client_ca: Some(known.certificate.clone()),
        ..SipTls::default()
    };
    let bench = node(vec![own.clone()], &[]);
    let material = Material::load(&tls, &[]).unwrap();
    bench.material.store(Arc::new(material));
    let mut anonymous = connect(&bench, &own, "sip.example", &rustls::version::TLS13);
    echo(&mut anonymous, &order("ECHO", 0));
    for (shown, is_taken) in [(&known, true), (&stranger, false)] {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&own.certificate).unwrap())
            .unwrap();
        let certificate = CertificateDer::from_pem_file(&shown.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        let name = ServerName::try_from("sip.example").unwrap();
        let socket = TcpStream::connect(bench.address(TLS)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut client = StreamOwned::new(session, socket);
        let message = order("ECHO", 0);
        let mut received = vec![0; message.len()];
        let answered = client
            .write_all(&message)
            .and_then(|()| client.read_exact(&mut received));
        assert_eq!(answered.is_ok(), is_taken, "{answered:?}");
    }
}

#[test]
fn a_carrier_is_known_by_the_certificate_that_it_shows() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let carrier = folder.issue("carrier", &["other.example", "sbc.carrier.example"]);
    let customer = folder.issue("customer", &["pbx.example"]);
    let pems = [&carrier, &customer].map(|files| std::fs::read_to_string(&files.certificate));
    let client_ca = folder.0.path().join("peers.pem");
    std::fs::write(&client_ca, pems.map(Result::unwrap).concat()).unwrap();
    let mut config = config(2);
    config.sip.listeners.push(SipListener {
        transport: Transport::Tls,
        ..config.sip.listeners[TCP].clone()
    });
    config.sip.tls.certificates = vec![own.clone()];
    config.sip.tls.client_ca = Some(client_ca);
    for name in ["sbc.example", "sbc.carrier.example"] {
        config.carriers.push(Carrier {
            name: name.to_owned(),
            sources: Vec::new(),
            routes: Vec::new(),
            tls: CarrierTls {
                names: vec![Host::from(name)],
                ..CarrierTls::default()
            },
            policy: Arc::default(),
        });
    }
    let material = Material::load(&config.sip.tls, &[]).unwrap();
    let bench = Bench::start_with(&config, 0, material).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (shown, expected) in [
            (Some(&carrier), Some(CarrierId(1))),
            (Some(&customer), None),
            (None, None),
        ] {
            // Whichever shard owns the message, it hears who has sent it.
            for owner in [0, 1] {
                let mut client = connect_as(&bench, &own, "sip.example", version, shown);
                echo(&mut client, &order("ECHO", owner));
                let (_, flow, _) = bench.see_message();
                assert_eq!(flow.carrier, expected);
            }
        }
    }
}

#[test]
fn a_slow_reader_over_tls_loses_its_connection_and_nobody_else_notices() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    let bench = node(vec![files.clone()], &[]);
    let mut slow = connect(&bench, &files, "sip.example", &rustls::version::TLS13);
    let mut other = connect(&bench, &files, "sip.example", &rustls::version::TLS13);
    echo(&mut other, &order("ECHO", 0));
    slow.write_all(&order("FLOOD", 0)).unwrap();
    assert_eq!(bench.see_transport_error(), (0, TRANSACTION));
    echo(&mut other, &order("ECHO", 0));
    assert_eq!(bench.sum(|net| net.slow_readers), 1);
}

#[test]
fn new_connections_use_new_certificates_and_old_ones_stay() {
    let folder = Folder::new();
    let (old, new) = (
        folder.issue("old", &["sip.example"]),
        folder.issue("new", &["sip.example"]),
    );
    let bench = node(vec![old.clone()], &[]);
    let mut first = connect(&bench, &old, "sip.example", &rustls::version::TLS13);
    echo(&mut first, &order("ECHO", 0));
    let tls = SipTls {
        certificates: vec![new.clone()],
        ..SipTls::default()
    };
    let material = Material::load(&tls, &[]).unwrap();
    bench.material.store(Arc::new(material));
    let mut second = connect(&bench, &new, "sip.example", &rustls::version::TLS13);
    echo(&mut second, &order("ECHO", 0));
    echo(&mut first, &order("ECHO", 0));
}

#[test]
fn a_broken_file_is_named() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    std::fs::write(&files.key, "not a key").unwrap();
    let tls = SipTls {
        certificates: vec![files.clone()],
        ..SipTls::default()
    };
    let error = Material::load(&tls, &[]).unwrap_err().to_string();
    assert!(
        error.starts_with(&files.key.display().to_string()),
        "{error}"
    );
}

#[test]
fn a_connection_over_tls_stands_for_whom_its_certificate_names() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let pbx = folder.issue("pbx", &["pbx.example"]);
    let verified = TlsPolicy {
        roots: Some(TlsRoots::Only(pbx.certificate.clone())),
        client: None,
    };
    let others = TlsPolicy {
        roots: Some(TlsRoots::Only(own.certificate.clone())),
        client: None,
    };
    let unverified = TlsPolicy {
        roots: None,
        client: None,
    };
    let policies = [verified.clone(), others.clone(), unverified.clone()];
    for (shards, name, policy, shown, sent_by, is_reused) in [
        (1, "pbx.example", &verified, Some(&pbx), "127.0.0.1", true),
        (2, "pbx.example", &verified, Some(&pbx), "127.0.0.1", true),
        // Behind a translator, which does not matter to a certificate.
        (2, "pbx.example", &verified, Some(&pbx), "10.0.0.1", true),
        // Another name, other roots, no certificate.
        (
            2,
            "other.example",
            &verified,
            Some(&pbx),
            "127.0.0.1",
            false,
        ),
        (1, "pbx.example", &others, Some(&pbx), "127.0.0.1", false),
        (1, "pbx.example", &verified, None, "127.0.0.1", false),
        // Nobody has to prove anything.
        (2, "pbx.example", &unverified, None, "127.0.0.1", true),
        (1, "pbx.example", &unverified, None, "10.0.0.1", false),
    ] {
        let client_ca = Some(pbx.certificate.clone());
        let bench = node_with(shards, vec![own.clone()], client_ca, &policies);
        let (snapshot, id) = expecting(name, policy);
        bench.snapshot.store(Arc::new(snapshot));
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = peer.local_addr().unwrap().port();
        let version = &rustls::version::TLS13;
        let mut client = connect_as(&bench, &own, "sip.example", version, shown);
        let sent_by = format!("{sent_by}:{port};alias");
        for owner in 0..shards {
            let message = request("ECHO", owner, Transport::Tls, &sent_by);
            echo(&mut client, &message);
        }
        bench.set_flow(Flow {
            transport: Transport::Tls,
            listener: 2,
            remote: peer.local_addr().unwrap(),
            connection: None,
            tls: Some(id),
            carrier: None,
        });
        for owner in 0..shards {
            bench.udp_client().send(&order("RELAY", owner)).unwrap();
            if is_reused {
                let mut received = vec![0; order("RELAY", owner).len()];
                client.read_exact(&mut received).unwrap();
                assert_eq!(received, order("RELAY", owner));
            } else {
                // Whether it comes up is another matter.
                serve(&peer, &pbx).ok();
            }
        }
    }
}

#[test]
fn a_peer_that_had_come_to_us_is_called_back_by_the_name_that_it_goes_by() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let pbx = folder.issue("pbx", &["pbx.example"]);
    let customers = TlsPolicy {
        roots: Some(TlsRoots::SystemAnd(pbx.certificate.clone())),
        client: None,
    };
    let mut config = config(1);
    config.sip.listeners.push(SipListener {
        transport: Transport::Tls,
        ..config.sip.listeners[TCP].clone()
    });
    config.sip.tls.certificates = vec![own];
    config.sip.tls.ca = Some(pbx.certificate.clone());
    let material = Material::load(&config.sip.tls, &[customers]).unwrap();
    let bench = Bench::start_with(&config, 0, material).unwrap();
    for (uri, route, is_reached) in [
        ("sip:1@pbx.example", "", true),
        ("sip:1@10.0.0.1", "Route: <sip:pbx.example;lr>\r\n", true),
        ("sip:1@other.example", "", false),
        (
            "sip:1@pbx.example",
            "Route: <sip:other.example;lr>\r\n",
            false,
        ),
        ("sip:1@10.0.0.1", "", false),
    ] {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        bench.set_flow(Flow {
            transport: Transport::Tls,
            listener: 2,
            remote: peer.local_addr().unwrap(),
            connection: None,
            tls: None,
            carrier: None,
        });
        let message = format!(
            "RELAY {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\n{route}\
             From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: 1\r\n\
             CSeq: 1 RELAY\r\nX-Owner: 0\r\nContent-Length: 0\r\n\r\n"
        );
        bench.udp_client().send(message.as_bytes()).unwrap();
        let received = serve(&peer, &pbx);
        assert_eq!(received.is_ok(), is_reached, "{uri} {route}: {received:?}");
    }
}

/// Shows its certificate to whoever asks, but for a name at which it panics.
#[derive(Debug)]
struct Panics(Arc<CertifiedKey>);

impl ResolvesServerCert for Panics {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        assert_ne!(hello.server_name(), Some("panic.example"));
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn a_panic_within_tls_costs_one_connection_and_nobody_else_notices() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example", "panic.example"]);
    let bench = node(vec![files.clone()], &[]);
    let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let key = CertifiedKey::from_der(vec![certificate], key, &provider()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Panics(Arc::new(key))));
    bench.material.store(Arc::new(Material::serving(server)));
    let version = &rustls::version::TLS13;
    let mut before = connect(&bench, &files, "sip.example", version);
    echo(&mut before, &order("ECHO", 0));
    let mut odd = connect(&bench, &files, "panic.example", version);
    let answered = odd.write_all(&order("ECHO", 0)).and_then(|()| odd.flush());
    assert!(answered.is_err());
    let mut after = connect(&bench, &files, "sip.example", version);
    for client in [&mut after, &mut before] {
        echo(client, &order("ECHO", 0));
    }
    assert_eq!(bench.sum(|net| net.panics), 1);
    assert_eq!(bench.sum(|net| net.tls_handshakes_failed), 1);
    assert_eq!(bench.sum(|net| net.tls_handshakes), 2);
}

#[test]
fn connections_are_counted_by_transport() {
    let folder = Folder::new();
    let files = folder.issue("node", &["sip.example"]);
    let bench = node(vec![files.clone()], &[]);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&bench, &files, "sip.example", &rustls::version::TLS13);
        echo(&mut client, &order("ECHO", 0));
        clients.push(client);
    }
    let mut plain = bench.tcp_client();
    echo_tcp(&mut plain, &order("ECHO", 0));
    // What this turn has published is seen once another message has passed.
    echo_udp(&bench.udp_client(), &order("ECHO", 0));
    let counted = |bench: &Bench| {
        let of = |figure: fn(&NetGauges) -> u64| bench.sum(figure);
        [
            of(|net| net.connections),
            of(|net| net.connections_tcp),
            of(|net| net.connections_tls),
        ]
    };
    assert_eq!(counted(&bench), [3, 1, 2]);
    let mut last = clients.pop().unwrap();
    last.conn.send_close_notify();
    last.flush().unwrap();
    assert_eq!(last.read(&mut [0; 16]).unwrap(), 0);
    echo_udp(&bench.udp_client(), &order("ECHO", 0));
    assert_eq!(counted(&bench), [2, 1, 1]);
}

#[test]
fn a_certificate_may_be_required_of_peers() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let known = folder.issue("known", &["pbx.example"]);
    let stranger = folder.issue("stranger", &["pbx.example"]);
    let bench = node(vec![own.clone()], &[]);
    let tls = SipTls {
        certificates: vec![own.clone()],
        client_ca: Some(known.certificate.clone()),
        require_client_certificate: true,
        ..SipTls::default()
    };
    let material = Material::load(&tls, &[]).unwrap();
    bench.material.store(Arc::new(material));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (shown, is_taken) in [
            (None, false),
            (Some(&known), true),
            (Some(&stranger), false),
        ] {
            let client = connect_as(&bench, &own, "sip.example", version, shown);
            assert_eq!(is_served(client), is_taken, "{shown:?}");
        }
    }
}

#[test]
fn a_failure_says_what_is_to_be_done() {
    let folder = Folder::new();
    let own = folder.issue("own", &["sip.example"]);
    let other = folder.issue("other", &["carrier.example"]);
    let authority = folder.issue_as("authority", &["carrier.example"], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let expired = folder.issue_as("expired", &["carrier.example"], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let future = folder.issue_as("future", &["carrier.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2400, 1, 1);
        params.not_after = rcgen::date_time_ymd(2401, 1, 1);
    });
    for (shown, trusted, name, advice) in [
        (&other, &own, "carrier.example", "ca"),
        (&other, &other, "another.example", "names"),
        (&expired, &expired, "carrier.example", "expired"),
        (&future, &future, "carrier.example", "clock"),
        (&authority, &authority, "carrier.example", "CA:TRUE"),
    ] {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&trusted.certificate).unwrap();
        roots.add(certificate).unwrap();
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            provider(),
        );
        use rustls::client::danger::ServerCertVerifier;
        let error = verifier
            .build()
            .unwrap()
            .verify_server_cert(
                &CertificateDer::from_pem_file(&shown.certificate).unwrap(),
                &[],
                &ServerName::try_from(name).unwrap(),
                &[],
                rustls::pki_types::UnixTime::now(),
            )
            .unwrap_err();
        let remedy = crate::net::tls::remedy(&error);
        assert!(remedy.contains(advice), "{error:?}: {remedy}");
    }
}
