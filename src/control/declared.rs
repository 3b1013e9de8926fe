//! What files declare: put at the start, and again when they are read again.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::RwLock;

use super::publish::Control;
use super::watch::{FILES_LOOK, Watch};
use crate::api::declared::{self, DeclaredErrors, Owners};
use crate::config::{Config, OwnPlaces};
use crate::store::{OpenError, Put, Store};

/// Resources of one reading that the log names one by one.
const NAMED_MAX: usize = 50;

/// Why nothing is exported.
#[derive(Debug)]
pub enum ExportError {
    /// The store.
    Store(OpenError),
    /// The account has nothing, and no access key is of it.
    UnknownAccount(String),
    /// The system.
    System(std::io::Error),
}

impl std::fmt::Display for ExportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::UnknownAccount(account) => write!(
                f,
                "{account}: the store has nothing of this account, and no access key of the config is of it"
            ),
            Self::System(error) => error.fmt(f),
        }
    }
}

/// What an account has, as a file that declares it.
///
/// # Errors
///
/// The store's, and where there is no such account.
pub fn export(config: &Config, account: &str) -> Result<String, ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(ExportError::System)?.block_on(async {
        let store = Store::look(config.store.url.reveal())
            .await
            .map_err(ExportError::Store)?;
        let exported = declared::export(&store, account).await;
        store.close().await;
        let exported = exported.map_err(|error| ExportError::Store(error.into()))?;
        let is_known = config
            .api
            .access_keys
            .iter()
            .any(|key| key.account == account);
        // The account alone is one line.
        match exported.lines().count() > 1 || is_known {
            true => Ok(exported),
            false => Err(ExportError::UnknownAccount(account.to_owned())),
        }
    })
}

/// The files of a node, and what they declare.
pub struct DeclaredFiles {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The places of the node.
    pub own: OwnPlaces,
    /// Where they are put.
    pub control: Arc<Control>,
    /// What they declared when they were read last.
    pub owners: Arc<RwLock<Owners>>,
}

impl DeclaredFiles {
    /// Reads the files and puts what they declare: all of it, or nothing where something is wrong.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the files, or what does not fit to the store.
    pub async fn put(&self) -> Result<(), DeclaredErrors> {
        if self.files.is_empty() {
            return Ok(());
        }
        let (files, own) = (self.files.clone(), self.own.clone());
        let read = tokio::task::spawn_blocking(move || declared::read(&files, &own));
        let read = match read.await {
            Ok(read) => read?,
            // The panic hook has written the place. Nothing is taken for declared that was not read.
            Err(_panicked) => return Err(DeclaredErrors::of_ours()),
        };
        // Writes of the API wait, and see what is declared then.
        let mut before = self.owners.write().await;
        let (owners, done) = declared::put(&self.control, read, Timestamp::now()).await?;
        let released: Vec<_> = before.without(&owners).collect();
        for resource in released.iter().take(NAMED_MAX) {
            let resource = resource.masked();
            tracing::info!(%resource, "is not declared any more: it stays, and the API may change it");
        }
        for (resource, put) in done.iter().take(NAMED_MAX) {
            let resource = resource.masked();
            match put {
                Put::Created => tracing::info!(%resource, "created as declared"),
                Put::Updated => tracing::info!(%resource, "updated as declared"),
            }
        }
        tracing::info!(
            declared = owners.len(),
            written = done.len(),
            released = released.len(),
            "declared resources were read"
        );
        *before = owners;
        Ok(())
    }

    /// Puts them again on SIGHUP and when a file has changed, for as long as it is not aborted.
    pub async fn watch(self) {
        if self.files.is_empty() {
            return;
        }
        let mut watch = match Watch::new(self.files.clone(), FILES_LOOK) {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(%error, "declared resources are not read again");
                return;
            }
        };
        loop {
            watch.changed().await;
            if let Err(errors) = self.put().await {
                tracing::error!(
                    "declared resources were not read again, all stays as it was:\n{errors}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SipTls;

    const NUMBER: &str =
        "Account = \"111122223333\"\n[[PhoneNumber]]\nE164PhoneNumber = \"+12065550100\"\n";

    #[tokio::test]
    async fn a_broken_file_leaves_all_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trunks.toml");
        let url = format!("sqlite://{}/trunkline.db", folder.path().display());
        let customers = SipTls::default().customers();
        let control = Control::open(
            &url,
            "vc.example",
            Vec::new(),
            customers,
            Default::default(),
        )
        .await;
        let declared = DeclaredFiles {
            files: vec![file.clone()],
            own: OwnPlaces::of(&Config::default_for_start().sip),
            control: control.unwrap(),
            owners: Arc::default(),
        };
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let number = "+12065550100".parse().unwrap();
        let name = async || {
            let store = declared.control.store();
            store
                .phone_number("111122223333", number)
                .await
                .unwrap()
                .name
        };

        write(NUMBER);
        declared.put().await.unwrap();
        assert_eq!(
            (declared.owners.read().await.len(), name().await),
            (1, None)
        );

        write(&format!("{NUMBER}Name = \"Desk\"\n"));
        declared.put().await.unwrap();
        assert_eq!(name().await.as_deref(), Some("Desk"));

        write(&format!("{NUMBER}Name = \"Door\"\n[[PhoneNumber]]\n"));
        let errors = declared.put().await.unwrap_err();
        let expected = ":5: PhoneNumber[1].E164PhoneNumber is required";
        assert!(errors.to_string().ends_with(expected), "{errors}");
        assert_eq!(name().await.as_deref(), Some("Desk"));
        assert_eq!(declared.owners.read().await.len(), 1);

        write("Account = \"111122223333\"\n");
        declared.put().await.unwrap();
        assert!(declared.owners.read().await.is_empty());
        assert_eq!(name().await.as_deref(), Some("Desk"));
    }
}
