//! What can be wrong with declared resources, and how it is told.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::Owner;
use crate::api::errors::{ApiError, BadRequest};
use crate::config::unreadable;
use crate::numbering::{E164, Masked};
use crate::store::{DeclareError, Resource, StoreError};

/// Everything that is wrong. Shown as one line each: `FILE:LINE: what is wrong`.
#[derive(Debug)]
pub struct DeclaredErrors(pub Vec<DeclaredError>);

/// One thing that is wrong.
#[derive(Debug)]
pub struct DeclaredError {
    /// The file; `None` where no file is to blame.
    pub file: Option<Arc<Path>>,
    /// Counted from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file or a section of it.
#[derive(Debug)]
pub enum Fault {
    /// The file cannot be read.
    Unreadable(std::io::ErrorKind),
    /// It is no TOML, in the parser's words.
    Syntax(String),
    /// The API would refuse it.
    Refused(ApiError),
    /// A key that a section does not have.
    UnknownKey {
        /// As in `VoiceConnector[0].Termination.Cps`.
        key: String,
        /// Those that it has.
        known: Vec<&'static str>,
    },
    /// A resource that is declared before.
    Twice(Resource, Owner),
    /// A credential with neither a password nor both hashes, or with all of them.
    Proof {
        /// As in `VoiceConnector[0].Credentials[0]`.
        key: String,
    },
    /// Two credentials of one user name.
    UserTwice {
        /// As in `VoiceConnector[0].Credentials[1].Username`.
        key: String,
    },
    /// A number for a connector and a group.
    TwoHolders(E164),
    /// A trigger that another SIP rule has.
    TriggerTaken {
        /// The other rule's id.
        rule: String,
    },
    /// What the resource names is not there, or belongs to somebody else.
    Store(DeclareError),
}

impl DeclaredErrors {
    /// A fault of this program; the cause is in the log.
    pub fn of_ours() -> Self {
        Self(vec![DeclaredError {
            file: None,
            line: None,
            fault: Fault::Refused(ApiError::ServiceFailure),
        }])
    }
}

impl fmt::Display for DeclaredErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for DeclaredErrors {}

impl fmt::Display for DeclaredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {}", unreadable(*error)),
            Self::Syntax(message) => write!(f, "is not TOML: {message}"),
            Self::Refused(error) => error.fmt(f),
            Self::UnknownKey { key, known } => {
                write!(f, "{key}: no such key; there are {}", known.join(", "))
            }
            Self::Twice(resource, owner) => write!(
                f,
                "{} is declared at {}:{} already",
                resource.masked(),
                owner.file.display(),
                owner.line
            ),
            Self::Proof { key } => {
                write!(
                    f,
                    "{key}: expected either Password, or Ha1Md5 and Ha1Sha256"
                )
            }
            Self::UserTwice { key } => write!(f, "{key}: expected each user name once"),
            Self::TwoHolders(number) => write!(
                f,
                "{}: expected VoiceConnectorId or VoiceConnectorGroupId, not both",
                Masked(*number)
            ),
            Self::TriggerTaken { rule } => write!(
                f,
                "TriggerType and TriggerValue: SipRule {rule} has this trigger already"
            ),
            Self::Store(error) => store_fault(f, error),
        }
    }
}

fn store_fault(f: &mut fmt::Formatter<'_>, error: &DeclareError) -> fmt::Result {
    match error {
        DeclareError::NotYours(resource) => write!(f, "{} is another account's", resource.masked()),
        DeclareError::NoConnector(resource, id) => write!(
            f,
            "{}: the account has no VoiceConnector {id}; declare it, or create it through the API",
            resource.masked()
        ),
        DeclareError::NoGroup(resource, id) => write!(
            f,
            "{}: the account has no VoiceConnectorGroup {id}; declare it, or create it through the API",
            resource.masked()
        ),
        DeclareError::DefaultPhoneNumber(_, number) => write!(
            f,
            "Termination.DefaultPhoneNumber: {} is no number of the VoiceConnector, nor of a group that it is in; \
             associate it",
            Masked(*number)
        ),
        DeclareError::Store(StoreError::NulInText) => {
            f.write_str("a text has a NUL character (U+0000); write it without")
        }
        DeclareError::Store(error) => {
            write!(f, "the store could not put what is declared: {error:?}")
        }
    }
}

impl Fault {
    /// The path of the key that is wrong, where one is.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Refused(ApiError::BadRequest(
                BadRequest::Missing { member } | BadRequest::Invalid { member, .. },
            )) => Some(member),
            Self::UnknownKey { key, .. } | Self::Proof { key } | Self::UserTwice { key } => {
                Some(key)
            }
            Self::Unreadable(_)
            | Self::Syntax(_)
            | Self::Refused(_)
            | Self::Twice(..)
            | Self::TwoHolders(_)
            | Self::TriggerTaken { .. }
            | Self::Store(_) => None,
        }
    }

    /// The resource that is to blame, where one is.
    pub(super) fn resource(&self) -> Option<Resource> {
        match self {
            Self::Store(
                DeclareError::NotYours(resource)
                | DeclareError::NoConnector(resource, _)
                | DeclareError::NoGroup(resource, _),
            ) => Some(resource.clone()),
            Self::Store(DeclareError::DefaultPhoneNumber(id, _)) => {
                Some(Resource::VoiceConnector(*id))
            }
            Self::Unreadable(_)
            | Self::Syntax(_)
            | Self::Refused(_)
            | Self::UnknownKey { .. }
            | Self::Twice(..)
            | Self::Proof { .. }
            | Self::UserTwice { .. }
            | Self::TwoHolders(_)
            | Self::TriggerTaken { .. }
            | Self::Store(DeclareError::Store(_)) => None,
        }
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<BadRequest> for Fault {
    fn from(error: BadRequest) -> Self {
        Self::Refused(error.into())
    }
}
