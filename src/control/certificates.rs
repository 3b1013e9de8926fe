//! The node's certificates: made where none is configured, read again where they change.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::watch::{FILES_LOOK, Watch};
use crate::config::{CertificateFiles, Config, Host, SipTls, TlsPolicy};
use crate::net::tls::{Material, MaterialError, material_files};

/// What is read, and what it made.
pub struct Certificates {
    tls: SipTls,
    policies: Vec<TlsPolicy>,
    material: Arc<ArcSwap<Material>>,
}

/// Why a node has no certificates to start with.
#[derive(Debug)]
pub enum CertificatesError {
    /// A file of the config.
    Material(MaterialError),
    /// The development certificate cannot be made or written.
    Development(PathBuf, String),
}

impl std::fmt::Display for CertificatesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Material(error) => error.fmt(f),
            Self::Development(directory, error) => write!(
                f,
                "{}: the development certificate cannot be made: {error}; make the directory \
                 writable, or configure a [[sip.tls.certificate]]",
                directory.display()
            ),
        }
    }
}

impl Certificates {
    /// Reads what the config names; makes a development certificate where a TLS listener has none.
    pub fn open(config: &Config) -> Result<Self, CertificatesError> {
        let mut tls = config.sip.tls.clone();
        if !config.sip.has_tls() {
            return Ok(Self {
                tls,
                policies: Vec::new(),
                material: Arc::default(),
            });
        }
        if tls.certificates.is_empty() {
            let directory = &config.node.data_dir;
            let files = development_certificate(config, directory)
                .map_err(|error| CertificatesError::Development(directory.clone(), error))?;
            tls.certificates.push(files);
        }
        let policies = config.tls_policies();
        let material = Material::load(&tls, &policies).map_err(CertificatesError::Material)?;
        Ok(Self {
            tls,
            policies,
            material: Arc::new(ArcSwap::from_pointee(material)),
        })
    }

    /// Reads the API's certificate and key.
    pub fn of_api(files: CertificateFiles) -> Result<Self, CertificatesError> {
        let tls = SipTls {
            certificates: vec![files],
            ..SipTls::default()
        };
        let material = Material::load(&tls, &[]).map_err(CertificatesError::Material)?;
        Ok(Self {
            tls,
            policies: Vec::new(),
            material: Arc::new(ArcSwap::from_pointee(material)),
        })
    }

    /// Where new connections find what they begin with.
    pub fn material(&self) -> Arc<ArcSwap<Material>> {
        Arc::clone(&self.material)
    }

    /// Reads the files again on SIGHUP and when one has changed, for as long as it is not aborted.
    pub async fn watch(self) {
        self.watch_every(FILES_LOOK).await;
    }

    async fn watch_every(self, period: Duration) {
        let files = material_files(&self.tls, &self.policies);
        let mut watch = match Watch::new(files, period) {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(%error, "certificates are not read again");
                return;
            }
        };
        loop {
            watch.changed().await;
            self.reload();
        }
    }

    /// Reads every file again; one that is broken leaves all as it was.
    pub fn reload(&self) {
        match Material::load(&self.tls, &self.policies) {
            Ok(material) => {
                self.material.store(Arc::new(material));
                tracing::info!(
                    "certificates were read again; new connections use them. What else the config file says is read \
                     at the start only"
                );
            }
            Err(error) => {
                tracing::error!(%error, "certificates were not read again: the old ones stay in use");
            }
        }
    }
}

/// The development certificate of a data directory: made once, then used again for as long as it holds every
/// name that the config gives the node.
fn development_certificate(config: &Config, directory: &Path) -> Result<CertificateFiles, String> {
    let files = CertificateFiles {
        certificate: directory.join("development-certificate.pem"),
        key: directory.join("development-key.pem"),
    };
    let names = names(config);
    if files.certificate.exists() && files.key.exists() {
        let missing = names_missing(&files.certificate, &names);
        if !missing.is_empty() {
            make(&names, &files)?;
            tracing::warn!(
                names = missing.join(", "),
                "the development certificate did not hold all names of the config and was made anew: \
                 peers that trusted it must be given the new one"
            );
        }
    } else {
        make(&names, &files)?;
    }
    tracing::warn!(
        certificate = %files.certificate.display(),
        "TLS is served with a development certificate, which no peer trusts by itself"
    );
    Ok(files)
}

/// The names that the certificate of this file does not hold: all of them where it is none.
fn names_missing(certificate: &Path, names: &[String]) -> Vec<String> {
    let held = CertificateDer::from_pem_file(certificate).ok();
    let held = held
        .as_ref()
        .and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
    let is_held = |name: &String| {
        // A wildcard stands for names of one more label.
        let name = name.replacen('*', "connector", 1);
        let name = ServerName::try_from(name);
        match (&held, name) {
            (Some(held), Ok(name)) => verify_server_name(held, &name).is_ok(),
            (None, _) | (_, Err(_)) => false,
        }
    };
    names
        .iter()
        .filter(|name| !is_held(name))
        .cloned()
        .collect()
}

/// What the node may be called by: its domain and connectors' names, its aliases, its addresses.
fn names(config: &Config) -> Vec<String> {
    let domain = &config.sip.domain;
    let aliases = config.sip.aliases.iter();
    let aliases = aliases.map(|alias| match Host::from(alias.as_str()) {
        Host::Name(name) => name,
        Host::Address(address) => address.to_string(),
    });
    let listeners = config.sip.listeners.iter();
    let addresses = listeners
        .flat_map(|listener| [listener.bind.ip(), listener.advertise.ip()])
        .filter(|address| !address.is_unspecified())
        .map(|address: IpAddr| address.to_string());
    let mut names = vec![
        domain.clone(),
        format!("*.{domain}"),
        "localhost".to_owned(),
    ];
    let mut seen = HashSet::new();
    names.extend(aliases.chain(addresses));
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn make(names: &[String], files: &CertificateFiles) -> Result<(), String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Trunkline development certificate");
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let write = || {
        if let Some(directory) = files.key.parent() {
            std::fs::create_dir_all(directory)?;
        }
        write_secret(&files.key, &key.serialize_pem())?;
        std::fs::write(&files.certificate, certificate.pem())
    };
    write().map_err(|error: io::Error| error.to_string())
}

/// Writes a file that only its owner may read.
fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mut options = std::fs::OpenOptions::new();
    let mut open = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    // An old file keeps the mode that it had.
    open.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    open.write_all(text.as_bytes())
}
