//! Resources that files declare, for operators who keep their trunks in git: read and checked as a whole, put into the
//! store in one transaction, and kept from being written through the API.
//!
//! A file is TOML with the API's names: each section is a resource as the API answers it, with its configurations,
//! credentials and tags. What is valid is declared in `shapes.txt`, in the grammar of the API's declarations. Which
//! resources are declared is known to the node alone that reads the files: nodes on one database read the same files.

mod errors;
mod export;
mod file;
mod guard;
mod put;
mod resources;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use errors::{DeclaredError, DeclaredErrors, Fault};
pub use export::export;
pub use put::put;

use self::resources::Rule;
use crate::config::OwnPlaces;
use crate::connector_id::VoiceConnectorId;
use crate::store::{Declaration, Resource};

/// What files declare, and what is right by itself: whether it fits to what the store has is not known yet.
#[derive(Default)]
pub struct Declared {
    owners: Owners,
    declaration: Declaration,
    /// SIP rules; their targets' regions may be the store's to say.
    rules: Vec<Rule>,
}

impl Declared {
    /// Its voice connectors that require encryption.
    pub fn encrypted_connectors(&self) -> impl Iterator<Item = VoiceConnectorId> + '_ {
        let connectors = self.declaration.connectors.iter();
        let encrypted = connectors.filter(|connector| connector.new.require_encryption);
        encrypted.map(|connector| connector.id)
    }
}

/// Where each declared resource is declared.
#[derive(Clone, Default, Debug)]
pub struct Owners(HashMap<Resource, Owner>);

/// A section of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The AWS account that owns the resource.
    account: String,
    /// The file.
    file: Arc<Path>,
    /// Where the section begins, counted from 1.
    line: usize,
}

impl Owners {
    /// How many resources are declared.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that `others` does not have.
    pub fn without<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = &'a Resource> {
        self.0
            .keys()
            .filter(|resource| !others.0.contains_key(resource))
    }
}

/// Reads files for the node that is at these places; a connector that is new has the host name `{id}.{sip.domain}`.
///
/// # Errors
///
/// Everything that is wrong with them, as far as it can be said without the store.
pub fn read(files: &[PathBuf], own: &OwnPlaces) -> Result<Declared, DeclaredErrors> {
    let mut declared = Declared::default();
    let mut errors = Vec::new();
    for path in files {
        errors.extend(file::read(&mut declared, path, own));
    }
    match errors.is_empty() {
        true => Ok(declared),
        false => Err(DeclaredErrors(errors)),
    }
}
