//! Files that are read again: on SIGHUP, and when one of them has changed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often it is looked whether a file has changed.
pub const FILES_LOOK: Duration = Duration::from_secs(5);

/// Some files, as they were when they were looked at last.
pub struct Watch {
    files: Vec<PathBuf>,
    known: Vec<Option<SystemTime>>,
    hangup: Signal,
    look: tokio::time::Interval,
}

impl Watch {
    /// From now on; what has changed is looked for again and again after `period`.
    ///
    /// # Errors
    ///
    /// The system's, where it lets nobody wait for a signal.
    pub fn new(files: Vec<PathBuf>, period: Duration) -> std::io::Result<Self> {
        Ok(Self {
            known: times(&files),
            files,
            hangup: signal(SignalKind::hangup())?,
            look: tokio::time::interval(period),
        })
    }

    /// Returns when the files are to be read again.
    pub async fn changed(&mut self) {
        loop {
            let is_asked = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = self.look.tick() => false,
            };
            let now = times(&self.files);
            if is_asked || now != self.known {
                self.known = now;
                return;
            }
        }
    }
}

fn times(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let time = |file: &PathBuf| {
        std::fs::metadata(file)
            .and_then(|file| file.modified())
            .ok()
    };
    files.iter().map(time).collect()
}
