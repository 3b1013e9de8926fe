//! What TLS is spoken with: certificates, and whom to trust.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::unreadable;

use super::{Carrier, Config, Host};

/// `[sip.tls]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SipTls {
    /// What peers that connect are shown: the first one, or a later one that fits the name they ask for
    /// (SNI, RFC 6066 §3). Empty for the development certificate.
    pub certificates: Vec<CertificateFiles>,
    /// Peers that connect are asked for a certificate, and one that is shown must be signed by these.
    pub client_ca: Option<PathBuf>,
    /// Whether a peer that connects and shows none is turned away; only with `client_ca`.
    pub require_client_certificate: bool,
    /// Roots that customers' hosts are verified with beside the system's.
    pub ca: Option<PathBuf>,
    /// Whether customers' hosts must prove who they are when they are connected to.
    pub verify_customers: bool,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Handshakes that one shard works at in one turn of its loop.
    pub handshakes_per_turn: usize,
}

impl Default for SipTls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            client_ca: None,
            require_client_certificate: false,
            ca: None,
            verify_customers: true,
            handshake_timeout: Duration::from_secs(10),
            handshakes_per_turn: 4,
        }
    }
}

/// A certificate with its chain, and its key; both PEM files.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CertificateFiles {
    /// The certificate first, then those that sign it.
    pub certificate: PathBuf,
    /// The key, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A PEM file that the config names, whatever it is used for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFile {
    /// Its name as written.
    pub path: PathBuf,
    /// What must be in it.
    pub role: TlsFileRole,
}

/// What a PEM file must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsFileRole {
    /// A certificate, and those that sign it.
    Certificate,
    /// The key of a certificate.
    Key {
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// Certificates of those whose signatures count.
    Roots,
}

/// Why a PEM file is of no use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileFault {
    /// It cannot be read.
    Unreadable(io::ErrorKind),
    /// It holds no certificate that can be read as PEM.
    NoCertificate,
    /// What it holds as a certificate is none.
    DamagedCertificate,
    /// It holds no private key that can be read as PEM.
    NoKey,
    /// Its key is of a kind that is not used, or damaged.
    UnusableKey,
    /// Its key is another certificate's.
    KeyOfAnother {
        /// The file of the certificate that it should belong to.
        certificate: PathBuf,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(
                f,
                "cannot be read: {}; expected a PEM file; correct its name (a relative one begins \
                 where Trunkline is started) or its permissions",
                unreadable(*error)
            ),
            Self::NoCertificate => f.write_str(
                "no certificate in it; expected `-----BEGIN CERTIFICATE-----`; put one in",
            ),
            Self::DamagedCertificate => f.write_str(
                "a certificate in it is damaged; expected X.509 certificates as their issuer gave \
                 them; copy them again",
            ),
            Self::NoKey => f.write_str(
                "no private key in it; expected `-----BEGIN PRIVATE KEY-----`; put one in, not \
                 encrypted",
            ),
            Self::UnusableKey => f.write_str(
                "its private key is damaged or of a kind that is not served; expected RSA of 2048 \
                 bits or more, ECDSA on P-256 or P-384, or Ed25519; make another one",
            ),
            Self::KeyOfAnother { certificate } => write!(
                f,
                "its private key is not the one of the certificate in {}; expected a pair; correct \
                 either",
                certificate.display()
            ),
        }
    }
}

/// `[carrier.tls]`
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CarrierTls {
    /// The only roots that this carrier is verified with; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// What this carrier is shown when it asks for a certificate.
    pub client: Option<CertificateFiles>,
    /// Who opens a connection and shows a certificate that holds one of these is this carrier, wherever it is.
    pub names: Vec<Host>,
}

/// How connections that the node opens are secured.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TlsPolicy {
    /// Whose signatures count; `None` where nobody has to prove anything.
    pub roots: Option<TlsRoots>,
    /// What peers are shown that ask for a certificate.
    pub client: Option<CertificateFiles>,
}

/// Whose signatures count.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TlsRoots {
    /// The system's.
    System,
    /// The system's and this file's.
    SystemAnd(PathBuf),
    /// This file's alone.
    Only(PathBuf),
}

/// Whom a TLS connection is opened to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TlsPeer {
    /// The name or address that its certificate must hold (RFC 5922 §7.1), and that it is asked for.
    pub server_name: Host,
    /// How it is verified.
    pub policy: TlsPolicy,
}

/// A [`TlsPeer`]'s place in the snapshot's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TlsPeerId(pub u32);

impl SipTls {
    /// How connections to customers' hosts are secured.
    pub fn customers(&self) -> TlsPolicy {
        let roots = match &self.ca {
            None => TlsRoots::System,
            Some(ca) => TlsRoots::SystemAnd(ca.clone()),
        };
        TlsPolicy {
            roots: self.verify_customers.then_some(roots),
            client: None,
        }
    }
}

impl CarrierTls {
    /// How connections to the carrier are secured; `verify` is the route's.
    pub fn policy(&self, verify: bool) -> TlsPolicy {
        let roots = match &self.ca {
            None => TlsRoots::System,
            Some(ca) => TlsRoots::Only(ca.clone()),
        };
        TlsPolicy {
            roots: verify.then_some(roots),
            client: self.client.clone(),
        }
    }
}

impl Config {
    /// Every policy that connections may be opened with, each once.
    pub fn tls_policies(&self) -> Vec<TlsPolicy> {
        let of_carrier = |carrier: &Carrier| {
            let verify: Vec<bool> = carrier.routes.iter().map(|route| route.verify).collect();
            let tls = carrier.tls.clone();
            verify.into_iter().map(move |verify| tls.policy(verify))
        };
        let carriers = self.carriers.iter().flat_map(of_carrier);
        let mut policies = Vec::new();
        for policy in carriers.chain([self.sip.tls.customers()]) {
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        policies
    }
}
