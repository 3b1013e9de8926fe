//! What an operator can do about a session that failed.

use rustls::{AlertDescription, CertificateError, Error, OtherError};

/// What is most probably to be done where a connection that we have opened fails with this.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enums are open, and most of their errors are the peer's to mend"
)]
pub(in crate::net) fn remedy(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(certificate) => of_certificate(certificate),
        Error::NoCertificatesPresented => "the peer shows no certificate: it has to have one",
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => {
            "the peer does not accept our certificate: see client_certificate of the carrier's tls section, \
             and have the peer trust who signed it"
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the peer knows nobody of this name: write the host as the peer's certificate has it"
        }
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        )
        | Error::PeerIncompatible(_) => {
            "no version or cipher in common, or the peer wants a certificate of ours: it has to speak \
             TLS 1.2 or 1.3; see client_certificate"
        }
        Error::InvalidMessage(_) => {
            "what the peer speaks is not TLS: correct the port or the transport of the route"
        }
        _ => "ask whoever runs the peer",
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum is open; what is not listed has no special remedy"
)]
fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => {
            "nobody we trust has signed the peer's certificate: put who has into the file of `ca`"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the peer's certificate has other names (subjectAltName): write the host as one of them, or have \
             the certificate made with this one"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the peer's certificate has expired: it needs a new one; if not, correct this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the peer's certificate is not valid yet: correct this machine's clock, or wait"
        }
        CertificateError::Other(other) if is_authority(other) => {
            "the peer shows the certificate of an authority (CA:TRUE) as its own: it needs one that this \
             authority has signed, or a self-signed one with CA:FALSE"
        }
        _ => "the peer's certificate cannot be used: it needs another one",
    }
}

/// The library keeps this one as somebody else's error, of which only the name is to be had.
fn is_authority(other: &OtherError) -> bool {
    format!("{other:?}").contains("CaUsedAsEndEntity")
}
