//! Certificates, keys and roots, read from their files into what sessions begin with.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::verification::{ByName, Unverified};
use crate::config::{CertificateFiles, SipTls, TlsPolicy, TlsRoots};

/// What TLS is spoken with.
#[derive(Default)]
pub struct Material {
    server: Option<Arc<ServerConfig>>,
    clients: HashMap<TlsPolicy, Arc<ClientConfig>>,
}

/// Why there is no [`Material`]; the one before stays in use.
#[derive(Debug)]
pub enum MaterialError {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::ErrorKind,
    },
    /// A file holds no certificate that can be read as PEM.
    NoCertificate {
        /// Which.
        file: PathBuf,
    },
    /// A file holds no private key that can be read as PEM.
    NoKey {
        /// Which.
        file: PathBuf,
    },
    /// A certificate or key that cannot be used.
    Refused {
        /// The file that holds it.
        file: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, error } => write!(
                f,
                "{}: cannot be read: {error}; expected a PEM file; correct its name or its permissions",
                file.display()
            ),
            Self::NoCertificate { file } => write!(
                f,
                "{}: no certificate in it; expected `-----BEGIN CERTIFICATE-----`; put one in",
                file.display()
            ),
            Self::NoKey { file } => write!(
                f,
                "{}: no private key in it; expected `-----BEGIN PRIVATE KEY-----`; put one in, \
                 not encrypted",
                file.display()
            ),
            Self::Refused { file, error } => write!(
                f,
                "{}: {error}; expected a certificate, and the key that belongs to it; correct either",
                file.display()
            ),
        }
    }
}

impl std::error::Error for MaterialError {}

impl Material {
    /// Reads every file that these settings name.
    pub fn load(tls: &SipTls, policies: &[TlsPolicy]) -> Result<Self, MaterialError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut clients = HashMap::new();
        let mut system = None;
        for policy in policies {
            let config = client(policy, &provider, &mut system)?;
            clients.insert(policy.clone(), Arc::new(config));
        }
        Ok(Self {
            server: server(tls, &provider)?.map(Arc::new),
            clients,
        })
    }

    /// What peers that connect are served with; `None` without a certificate.
    pub(in crate::net) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// What connections are opened with under this policy.
    pub(in crate::net) fn client(&self, policy: &TlsPolicy) -> Option<Arc<ClientConfig>> {
        self.clients.get(policy).cloned()
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// Every file that [`Material::load`] reads for these settings.
pub fn material_files(tls: &SipTls, policies: &[TlsPolicy]) -> Vec<PathBuf> {
    let pair = |files: &CertificateFiles| [files.certificate.clone(), files.key.clone()];
    let served = tls.certificates.iter().flat_map(pair);
    let shown = policies.iter().filter_map(|policy| policy.client.as_ref());
    let roots = policies.iter().filter_map(|policy| match &policy.roots {
        Some(TlsRoots::SystemAnd(file) | TlsRoots::Only(file)) => Some(file.clone()),
        Some(TlsRoots::System) | None => None,
    });
    let all = served
        .chain(shown.flat_map(pair))
        .chain(roots)
        .chain(tls.client_ca.clone());
    let mut files: Vec<PathBuf> = all.collect();
    files.sort_unstable();
    files.dedup();
    files
}

fn server(
    tls: &SipTls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<ServerConfig>, MaterialError> {
    let Some(first) = tls.certificates.first() else {
        return Ok(None);
    };
    let certificates = tls.certificates.iter();
    let certificates = certificates
        .map(|files| certified_key(files, provider).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let versions = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| refused(&first.certificate, error))?;
    let verified = match &tls.client_ca {
        None => versions.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            add_roots(&mut roots, file)?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| refused(file, rustls::Error::General(error.to_string())))?;
            versions.with_client_cert_verifier(verifier)
        }
    };
    Ok(Some(
        verified.with_cert_resolver(Arc::new(ByName { certificates })),
    ))
}

/// `system` holds the system's roots once they were read.
fn client(
    policy: &TlsPolicy,
    provider: &Arc<CryptoProvider>,
    system: &mut Option<RootCertStore>,
) -> Result<ClientConfig, MaterialError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| refused(Path::new("TLS"), error))?;
    let builder = match &policy.roots {
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(Arc::clone(provider)))),
        Some(roots) => {
            let mut store = match roots {
                TlsRoots::System | TlsRoots::SystemAnd(_) => {
                    system.get_or_insert_with(system_roots).clone()
                }
                TlsRoots::Only(_) => RootCertStore::empty(),
            };
            match roots {
                TlsRoots::SystemAnd(file) | TlsRoots::Only(file) => add_roots(&mut store, file)?,
                TlsRoots::System => {}
            }
            builder.with_root_certificates(store)
        }
    };
    match &policy.client {
        None => Ok(builder.with_no_client_auth()),
        Some(files) => {
            // Once more as what it is: the builder takes the parts.
            certified_key(files, provider)?;
            let (chain, key) = (certificates(&files.certificate)?, private_key(&files.key)?);
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| refused(&files.certificate, error))
        }
    }
}

/// The system's roots, which an operator keeps up to date for all programs. None at all is no error: then
/// nobody can prove anything, and connections that are verified fail.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a root certificate of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(
            "the system has no root certificates (package ca-certificates): peers are verified with \
             the files of the config alone"
        );
    }
    roots
}

fn add_roots(store: &mut RootCertStore, file: &Path) -> Result<(), MaterialError> {
    for certificate in certificates(file)? {
        store
            .add(certificate)
            .map_err(|error| refused(file, error))?;
    }
    Ok(())
}

fn certified_key(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, MaterialError> {
    let (chain, key) = (certificates(&files.certificate)?, private_key(&files.key)?);
    CertifiedKey::from_der(chain, key, provider).map_err(|error| refused(&files.key, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let text = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(MaterialError::NoCertificate {
            file: file.to_owned(),
        }),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|_| MaterialError::NoKey {
        file: file.to_owned(),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, MaterialError> {
    std::fs::read(file).map_err(|error| MaterialError::Unreadable {
        file: file.to_owned(),
        error: error.kind(),
    })
}

fn refused(file: &Path, error: rustls::Error) -> MaterialError {
    MaterialError::Refused {
        file: file.to_owned(),
        error,
    }
}
