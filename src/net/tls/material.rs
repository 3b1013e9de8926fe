//! Certificates, keys and roots, read from their files into what sessions begin with.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};

use super::verification::{ByName, Unverified};
use crate::config::{
    CertificateFiles, FileFault, SipTls, TlsFile, TlsFileRole, TlsPolicy, TlsRoots,
};

/// What TLS is spoken with.
#[derive(Default)]
pub struct Material {
    server: Option<Arc<ServerConfig>>,
    clients: HashMap<TlsPolicy, Client>,
}

/// What a policy comes to.
struct Client {
    config: Arc<ClientConfig>,
    /// `None` where there are no roots, so that nobody can prove anything.
    verifier: Option<Arc<dyn ServerCertVerifier>>,
}

/// Why there is no [`Material`]; the one before stays in use.
#[derive(Debug)]
pub enum MaterialError {
    /// A file is of no use.
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// The library takes the files, but not what they come to together.
    Refused {
        /// The file that was used last.
        file: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, fault } => write!(f, "{}: {fault}", file.display()),
            Self::Refused { file, error } => write!(
                f,
                "{}: TLS cannot be spoken with it: {error}; expected a certificate, and the key \
                 that belongs to it; correct either",
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
            let client = client(policy, &provider, &mut system)?;
            clients.insert(policy.clone(), client);
        }
        Ok(Self {
            server: server(tls, &provider)?.map(Arc::new),
            clients,
        })
    }

    /// What peers that connect are served with; `None` without a certificate.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// For a test, which brings its own.
    #[cfg(test)]
    pub(in crate::net) fn serving(server: ServerConfig) -> Self {
        Self {
            server: Some(Arc::new(server)),
            clients: HashMap::new(),
        }
    }

    /// What connections are opened with under this policy.
    pub(in crate::net) fn client(&self, policy: &TlsPolicy) -> Option<Arc<ClientConfig>> {
        self.clients
            .get(policy)
            .map(|client| Arc::clone(&client.config))
    }

    /// Whether whoever shows this chain, and has its key, is taken for `name` under the policy: as on a
    /// connection that is opened to it. An empty chain proves something only where nothing need be proven.
    pub(in crate::net) fn is_proven(
        &self,
        policy: &TlsPolicy,
        name: &ServerName<'_>,
        chain: &[CertificateDer<'_>],
    ) -> bool {
        if policy.roots.is_none() {
            return true;
        }
        let verifier = self
            .clients
            .get(policy)
            .and_then(|client| client.verifier.as_ref());
        match (verifier, chain) {
            (Some(verifier), [own, above @ ..]) => {
                let verify = || {
                    verifier
                        .verify_server_cert(own, above, name, &[], UnixTime::now())
                        .is_ok()
                };
                // The chain is the peer's: what makes the library panic proves nothing.
                catch_unwind(AssertUnwindSafe(verify)).unwrap_or(false)
            }
            (Some(_), []) | (None, _) => false,
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// What is wrong with a file that the config names, as far as it can be told without a peer.
pub fn file_fault(file: &TlsFile) -> Option<FileFault> {
    let provider = rustls::crypto::ring::default_provider();
    let found = match &file.role {
        TlsFileRole::Certificate => {
            certificates(&file.path).and_then(|chain| match chain.first() {
                Some(own) => ParsedCertificate::try_from(own)
                    .map(|_| ())
                    .map_err(|_| fault(&file.path, FileFault::DamagedCertificate)),
                None => Err(fault(&file.path, FileFault::NoCertificate)),
            })
        }
        TlsFileRole::Key { certificate } => match certificates(certificate) {
            Ok(chain) => pair(chain, certificate, &file.path, &provider).map(|_| ()),
            // The certificate's own fault is told where it is named.
            Err(_) => signing_key(&file.path, &provider).map(|_| ()),
        },
        TlsFileRole::Roots => add_roots(&mut RootCertStore::empty(), &file.path),
    };
    match found {
        Ok(()) => None,
        Err(MaterialError::File { file: at, fault }) if at == file.path => Some(fault),
        // About the certificate, which is looked at by itself.
        Err(MaterialError::File { .. } | MaterialError::Refused { .. }) => None,
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
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let verifier = match tls.require_client_certificate {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let verifier = verifier
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
) -> Result<Client, MaterialError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| refused(Path::new("TLS"), error))?;
    let (builder, verifier) = match &policy.roots {
        None => {
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Unverified(Arc::clone(provider)));
            let builder = builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&verifier));
            (builder, Some(verifier))
        }
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
            let store = Arc::new(store);
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::clone(&store),
                Arc::clone(provider),
            );
            // An error says that there are no roots.
            let verifier = verifier.build().ok();
            let verifier = verifier.map(|verifier| verifier as Arc<dyn ServerCertVerifier>);
            (builder.with_root_certificates(store), verifier)
        }
    };
    let config = match &policy.client {
        None => builder.with_no_client_auth(),
        Some(files) => {
            // Once more as what it is: the builder takes the parts.
            certified_key(files, provider)?;
            let (chain, key) = (certificates(&files.certificate)?, private_key(&files.key)?);
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| refused(&files.certificate, error))?
        }
    };
    Ok(Client {
        config: Arc::new(config),
        verifier,
    })
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
            .map_err(|_| fault(file, FileFault::DamagedCertificate))?;
    }
    Ok(())
}

fn certified_key(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, MaterialError> {
    let chain = certificates(&files.certificate)?;
    pair(chain, &files.certificate, &files.key, provider)
}

/// A chain with the key of its first certificate.
fn pair(
    chain: Vec<CertificateDer<'static>>,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, MaterialError> {
    let pair = CertifiedKey::new(chain, signing_key(key, provider)?);
    match pair.keys_match() {
        // A key that cannot tell its public half is taken at its word, as the library does.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => Err(fault(
            key,
            FileFault::KeyOfAnother {
                certificate: certificate.to_owned(),
            },
        )),
        Err(_) => Err(fault(certificate, FileFault::DamagedCertificate)),
    }
}

fn signing_key(
    file: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, MaterialError> {
    provider
        .key_provider
        .load_private_key(private_key(file)?)
        .map_err(|_| fault(file, FileFault::UnusableKey))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let text = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(fault(file, FileFault::NoCertificate)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|_| fault(file, FileFault::NoKey))
}

fn read(file: &Path) -> Result<Vec<u8>, MaterialError> {
    std::fs::read(file).map_err(|error| fault(file, FileFault::Unreadable(error.kind())))
}

fn fault(file: &Path, fault: FileFault) -> MaterialError {
    MaterialError::File {
        file: file.to_owned(),
        fault,
    }
}

fn refused(file: &Path, error: rustls::Error) -> MaterialError {
    MaterialError::Refused {
        file: file.to_owned(),
        error,
    }
}
