//! Files that change under a running node, and the certificate that is made where none is configured.

use std::time::SystemTime;

use tokio::signal::unix::{SignalKind, signal};

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::config::Transport;

/// Long enough for a loaded machine; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node's data directory, and a config that has it.
struct Place {
    directory: TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default_for_start();
        config.node.data_dir = directory.path().join("data");
        Self { directory, config }
    }

    /// With a certificate of the operator's.
    fn configured() -> (Self, CertificateFiles) {
        let mut place = Self::new();
        let file = |name: &str| place.directory.path().join(name);
        let files = CertificateFiles {
            certificate: file("node.pem"),
            key: file("node.key"),
        };
        make(&["sip.example".to_owned()], &files).unwrap();
        place.config.sip.tls.certificates = vec![files.clone()];
        (place, files)
    }

    fn development(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self
                .config
                .node
                .data_dir
                .join("development-certificate.pem"),
            key: self.config.node.data_dir.join("development-key.pem"),
        }
    }
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

/// Lets other tasks go on until this is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(1));
        while !is_so() {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// Gives a file other content and, so that the clock's resolution does not matter, a time of its own.
fn replace(file: &Path, text: &str, time: SystemTime) {
    std::fs::write(file, text).unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

fn time_of(file: &Path) -> SystemTime {
    std::fs::metadata(file).unwrap().modified().unwrap()
}

fn is_same(material: &Arc<ArcSwap<Material>>, one: &Arc<Material>) -> bool {
    Arc::ptr_eq(&material.load(), one)
}

#[tokio::test]
async fn changed_files_are_read_again_and_a_broken_one_leaves_the_old_in_use() {
    let log = Log::default();
    let _listening = log.listen();
    let (place, files) = Place::configured();
    let certificates = Certificates::open(&place.config).unwrap();
    let material = certificates.material();
    let first = material.load_full();
    let key = std::fs::read_to_string(&files.key).unwrap();
    let watch = tokio::spawn(certificates.watch_every(Duration::from_millis(1)));
    tokio::task::yield_now().await;

    let began = time_of(&files.key);
    replace(&files.key, "no key", began + Duration::from_secs(1));
    until(|| log.text().contains("the old ones stay in use")).await;
    assert!(is_same(&material, &first));
    let said = log.text();
    assert!(said.contains(&files.key.display().to_string()), "{said}");
    assert!(said.contains("no private key in it"), "{said}");
    assert!(said.contains("ERROR"), "{said}");

    replace(&files.key, &key, began + Duration::from_secs(2));
    until(|| !is_same(&material, &first)).await;
    let second = material.load_full();

    // One that is gone is as bad as one that is broken.
    std::fs::remove_file(&files.certificate).unwrap();
    until(|| log.text().contains("node.pem: cannot be read")).await;
    assert!(is_same(&material, &second));
    assert!(!watch.is_finished());
    watch.abort();
}

#[tokio::test]
async fn a_hangup_reads_the_files_again_whatever_their_times() {
    let (place, files) = Place::configured();
    let certificates = Certificates::open(&place.config).unwrap();
    let material = certificates.material();
    let first = material.load_full();
    // Without this one the signal would end the process, should the watch not be there yet.
    let mut heard = signal(SignalKind::hangup()).unwrap();
    let watch = tokio::spawn(certificates.watch_every(Duration::from_secs(3_600)));
    tokio::task::yield_now().await;

    let began = time_of(&files.key);
    make(&["sip.example".to_owned()], &files).unwrap();
    let key = std::fs::read_to_string(&files.key).unwrap();
    replace(&files.key, &key, began);
    let hang_up = format!("kill -HUP {}", std::process::id());
    let status = Command::new("sh").args(["-c", &hang_up]).status().unwrap();
    assert!(status.success());
    heard.recv().await.unwrap();
    until(|| !is_same(&material, &first)).await;
    watch.abort();
}

#[test]
fn a_development_certificate_is_made_once_and_its_key_is_its_owners() {
    let place = Place::new();
    Certificates::open(&place.config).unwrap();
    let files = place.development();
    let mode = |file: &Path| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files.key), 0o600);
    let read = || (std::fs::read(&files.key), std::fs::read(&files.certificate));
    let (key, certificate) = read();
    let (key, certificate) = (key.unwrap(), certificate.unwrap());

    // Peers that were told to trust it still do after a restart.
    Certificates::open(&place.config).unwrap();
    let (same_key, same_certificate) = read();
    assert_eq!(same_key.unwrap(), key);
    assert_eq!(same_certificate.unwrap(), certificate);

    // Half of it is none, and what lay there for all to read does not stay so.
    std::fs::remove_file(&files.certificate).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    Certificates::open(&place.config).unwrap();
    assert_ne!(std::fs::read(&files.key).unwrap(), key);
    assert_eq!(mode(&files.key), 0o600);
}

#[test]
fn a_development_certificate_holds_every_name_of_the_node() {
    let place = Place::new();
    Certificates::open(&place.config).unwrap();
    let certificate = CertificateDer::from_pem_file(place.development().certificate).unwrap();
    let certificate = ParsedCertificate::try_from(&certificate).unwrap();
    let domain = &place.config.sip.domain;
    let connector = format!("abcdefghijklmnopqrstuv.{domain}");
    for name in [domain.as_str(), &connector, "localhost", "127.0.0.1"] {
        let name = ServerName::try_from(name).unwrap();
        verify_server_name(&certificate, &name).unwrap();
    }
    let other = ServerName::try_from("sip.example").unwrap();
    assert!(verify_server_name(&certificate, &other).is_err());
}

#[test]
fn a_development_certificate_is_made_anew_when_it_does_not_hold_a_name() {
    let log = Log::default();
    let _listening = log.listen();
    let mut place = Place::new();
    Certificates::open(&place.config).unwrap();
    let files = place.development();
    let mut last = std::fs::read(&files.certificate).unwrap();
    let mut is_made_anew = |config: &Config| {
        Certificates::open(config).unwrap();
        let now = std::fs::read(&files.certificate).unwrap();
        let is_new = now != last;
        last = now;
        is_new
    };
    assert!(!is_made_anew(&place.config));
    place.config.sip.aliases = vec!["sbc.example".to_owned(), "[2001:db8::1]".to_owned()];
    assert!(is_made_anew(&place.config));
    let said = log.text();
    assert!(said.contains("WARN"), "{said}");
    assert!(said.contains("sbc.example, 2001:db8::1"), "{said}");
    assert!(!is_made_anew(&place.config));

    place.config.sip.listeners[0].advertise = "192.0.2.7:5060".parse().unwrap();
    assert!(is_made_anew(&place.config));
    place.config.sip.domain = "voice.example".to_owned();
    assert!(is_made_anew(&place.config));
    assert!(log.text().contains("*.voice.example"), "{}", log.text());

    // It may hold more than is needed.
    place.config.sip.aliases.clear();
    assert!(!is_made_anew(&place.config));
    std::fs::write(&files.certificate, "no certificate").unwrap();
    assert!(is_made_anew(&place.config));
    assert!(!is_made_anew(&place.config));
}

#[test]
fn no_development_certificate_is_made_where_none_is_needed() {
    let (configured, _) = Place::configured();
    Certificates::open(&configured.config).unwrap();
    let mut without_tls = Place::new();
    let listeners = &mut without_tls.config.sip.listeners;
    listeners.retain(|listener| listener.transport != Transport::Tls);
    Certificates::open(&without_tls.config).unwrap();
    for place in [configured, without_tls] {
        assert!(!place.development().key.exists());
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named_with_the_remedy() {
    let place = Place::new();
    std::fs::write(&place.config.node.data_dir, "a file").unwrap();
    let Err(error) = Certificates::open(&place.config) else {
        panic!("there is no directory");
    };
    assert!(matches!(error, CertificatesError::Development(..)));
    let said = error.to_string();
    let directory = place.config.node.data_dir.display().to_string();
    assert!(said.starts_with(&directory), "{said}");
    assert!(said.contains("[[sip.tls.certificate]]"), "{said}");
}
