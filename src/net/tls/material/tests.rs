//! Who is trusted with which roots.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;

/// Whether a peer that shows this certificate is trusted where the same file is the only root.
fn is_trusted_by_itself(file: &Path, name: &str) -> bool {
    let policy = TlsPolicy {
        roots: Some(TlsRoots::Only(file.to_owned())),
        client: None,
    };
    let material = Material::load(&SipTls::default(), std::slice::from_ref(&policy)).unwrap();
    let chain = certificates(file).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    material.is_proven(&policy, &name, &chain)
}

fn issue(directory: &TempDir, name: &str, is_ca: IsCa) -> PathBuf {
    let mut params = CertificateParams::new(vec!["sip.example".to_owned()]).unwrap();
    params.is_ca = is_ca;
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let file = directory.path().join(name);
    std::fs::write(&file, certificate.pem()).unwrap();
    file
}

/// RFC 5280 §4.2.1.9: whose certificate says that it signs others' is an authority, not a host. `openssl
/// req -x509` says so unless it is told otherwise, as `ca` in config/trunkline.toml has it.
#[test]
fn a_self_signed_certificate_is_its_own_root_unless_it_is_an_authoritys() {
    let directory = tempfile::tempdir().unwrap();
    let host = issue(&directory, "host.pem", IsCa::ExplicitNoCa);
    let unsaid = issue(&directory, "unsaid.pem", IsCa::NoCa);
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = issue(&directory, "authority.pem", authority);
    assert!(is_trusted_by_itself(&host, "sip.example"));
    assert!(is_trusted_by_itself(&unsaid, "sip.example"));
    assert!(!is_trusted_by_itself(&host, "other.example"));
    assert!(!is_trusted_by_itself(&authority, "sip.example"));
}
