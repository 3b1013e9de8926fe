//! Certificates, keys and roots that the config names, and the transports of its routes.

use std::path::Path;
use std::process::{Command, Output};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A directory with a good pair, `node.pem` and `node.key`, and whatever else a test writes.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.issue("node");
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["sip.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn run(&self, arguments: &[&str], config: &str) -> Output {
        self.write("node.toml", config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(arguments).arg(self.path("node.toml"));
        command.output().unwrap()
    }

    /// What `check` says against a config, line by line, without the config's name.
    fn faults(&self, config: &str) -> Vec<String> {
        let output = self.run(&["check"], config);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        self.lines(&output)
    }

    fn lines(&self, output: &Output) -> Vec<String> {
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        let begin = format!("{}:", self.path("node.toml"));
        let lines = said.lines().map(|line| line.strip_prefix(&begin).unwrap());
        lines.map(str::to_owned).collect()
    }
}

const TLS: &str = "[[sip.listener]]\ntransport = \"tls\"\nbind = \"127.0.0.1:5061\"\n";

#[test]
fn every_file_that_is_of_no_use_is_told_with_its_place_and_a_remedy() {
    let folder = Folder::new();
    folder.issue("other");
    folder.write("empty.pem", "");
    folder.write(
        "damaged.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    folder.write(
        "damaged.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let path = |name| folder.path(name);
    let config = format!(
        "{TLS}[sip.tls]\nca = \"{empty}\"\nclient_ca = \"{damaged}\"\n\
         [[sip.tls.certificate]]\ncertificate = \"/no/such.pem\"\nkey = \"{node_key}\"\n\
         [[sip.tls.certificate]]\ncertificate = \"{node}\"\nkey = \"{other_key}\"\n\
         [[sip.tls.certificate]]\ncertificate = \"{node_key}\"\nkey = \"{node}\"\n\
         [[sip.tls.certificate]]\ncertificate = \"{damaged}\"\nkey = \"{damaged_key}\"\n\
         [[carrier]]\nname = \"x\"\n\
         [carrier.tls]\nca = \"{folder}\"\nclient_certificate = \"{node}\"\nclient_key = \"/no/such.key\"\n",
        empty = path("empty.pem"),
        damaged = path("damaged.pem"),
        damaged_key = path("damaged.key"),
        node = path("node.pem"),
        node_key = path("node.key"),
        other_key = path("other.key"),
        folder = folder.0.path().display(),
    );
    let faults = folder.faults(&config);
    let expected = [
        (
            "5: key `sip.tls.ca`: ",
            "empty.pem: no certificate in it; expected `-----BEGIN CERTIFICATE",
        ),
        (
            "6: key `sip.tls.client_ca`: ",
            "damaged.pem: a certificate in it is damaged",
        ),
        (
            "8: key `sip.tls.certificate[0].certificate`: ",
            "/no/such.pem: cannot be read: no such file; expected a PEM file; correct its name",
        ),
        (
            "12: key `sip.tls.certificate[1].key`: ",
            "other.key: its private key is not the one of the certificate in ",
        ),
        (
            "14: key `sip.tls.certificate[2].certificate`: ",
            "node.key: no certificate in it",
        ),
        (
            "15: key `sip.tls.certificate[2].key`: ",
            "node.pem: no private key in it",
        ),
        (
            "17: key `sip.tls.certificate[3].certificate`: ",
            "damaged.pem: a certificate in it is damaged",
        ),
        (
            "18: key `sip.tls.certificate[3].key`: ",
            "damaged.key: its private key is damaged or of a kind",
        ),
        ("22: key `carrier[0].tls.ca`: ", "a directory, not a file"),
        (
            "24: key `carrier[0].tls.client_key`: ",
            "/no/such.key: cannot be read: no such file",
        ),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (place, words)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(place), "{place} in {fault}");
        assert!(fault.contains(words), "{words} in {fault}");
    }

    // Whoever starts without checking is told the same.
    let served = folder.run(&["serve", "--config"], &config);
    assert_eq!(served.status.code(), Some(2));
    assert_eq!(folder.lines(&served), faults);
}

#[test]
fn files_that_are_right_pass_and_the_summary_says_what_they_are_for() {
    let folder = Folder::new();
    let (certificate, key) = (folder.path("node.pem"), folder.path("node.key"));
    let config = format!(
        "{TLS}[sip.tls]\nca = \"{certificate}\"\nclient_ca = \"{certificate}\"\n\
         [[sip.tls.certificate]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
         [[carrier]]\nname = \"x\"\nsrtp = \"optional\"\nsrtp_suites = [\"AEAD_AES_256_GCM\", \"AES_CM_128_HMAC_SHA1_80\"]\n\
         [[carrier.route]]\nhost = \"a.example\"\ntransport = \"tls\"\n\
         [[carrier.route]]\nhost = \"b.example\"\nprefix = \"44\"\nverify = false\n\
         [carrier.tls]\nca = \"{certificate}\"\nclient_certificate = \"{certificate}\"\nclient_key = \"{key}\"\n\
         [dns]\nservers = [\"192.0.2.53\"]\nstale_s = 7\n"
    );
    let output = folder.run(&["check"], &config);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for words in [
        format!("TLS      {certificate}; customers' hosts are verified with the system's roots and {certificate}\n"),
        "SRTP     customers: accept with every suite\n".to_owned(),
        format!(
            "x: 0 sources, 2 routes, SRTP optional with AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80, shown {certificate}\n"
        ),
        format!("route    a.example over tls, priority 1 weight 1, verified with {certificate}\n"),
        "route    b.example over what the DNS says, numbers +44…, priority 1 weight 1, over TLS not verified\n".to_owned(),
        "DNS      192.0.2.53:53; answers serve 7 s longer".to_owned(),
    ] {
        assert!(said.contains(&words), "{words} in {said}");
    }
}

#[test]
fn a_route_needs_a_listener_that_speaks_its_transport() {
    let route = |route: &str| {
        format!("{SMALLEST}[[carrier]]\nname = \"x\"\n[[carrier.route]]\nhost = {route}\n")
    };
    let place = "8: key `carrier[0].route[0].transport`: no listener speaks";
    assert_refused(
        &route("\"h.example\"\ntransport = \"tls\""),
        place,
        "speaks tls,",
    );
    assert_refused(
        &route("\"192.0.2.1\"\ntransport = \"tcp\""),
        place,
        "speaks tcp over IPv4, so no call can take this route; expected a [[sip.listener]]",
    );
    assert_refused(
        &route("\"2001:db8::1\"\ntransport = \"udp\""),
        place,
        "speaks udp over IPv6,",
    );
    // What is not written is meant all the same; it is told where the section begins.
    assert_refused(
        &route("\"2001:db8::1\""),
        "6: key `carrier[0].route[0].transport`",
        "speaks udp over IPv6,",
    );
    assert!(load(&route("\"192.0.2.1\"")).is_ok());
    // The DNS may lead it to what is spoken.
    assert!(load(&route("\"h.example\"")).is_ok());
    // A listener that is wrong is one fault, not two.
    let wrong = route("\"h.example\"\ntransport = \"tls\"").replace("\"udp\"", "\"tsl\"");
    assert_refused(&wrong, "2: key `sip.listener[0].transport`", "tsl");
}

#[test]
fn the_documented_file_names_no_file_that_must_be_there() {
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENTED);
    let seen = std::cell::Cell::new(0);
    let look = |_: &config::TlsFile| {
        seen.set(seen.get() + 1);
        None
    };
    assert!(config::load_with_files(&documented, look).is_ok());
    assert_eq!(seen.get(), 0);
}
