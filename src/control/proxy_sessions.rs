//! The life of proxy sessions: that they are used is kept, and those that are over leave what calls look through.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::publish::Control;
use crate::connector_id::VoiceConnectorId;

/// How often it is looked whether sessions have ended, and whether the wall clock was set.
const LOOK: Duration = Duration::from_secs(1);

/// A session that a call or message went through.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Used {
    /// Whose it is.
    pub(super) connector: VoiceConnectorId,
    /// Its id.
    pub(super) session: Arc<str>,
}

/// Until nobody tells of used sessions any more.
pub(super) async fn run(control: Arc<Control>, mut used: mpsc::Receiver<Used>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_set = false;
    loop {
        tokio::select! {
            _ = look.tick() => {
                if control.time().look() {
                    tracing::warn!("the wall clock was set: the ends of proxy sessions are worked out anew");
                    was_set = true;
                }
                if was_set {
                    match control.publish_sessions().await {
                        Ok(()) => was_set = false,
                        // Next time it is tried again.
                        Err(error) => tracing::error!(?error, "proxy sessions could not be read again"),
                    }
                }
                control.end_sessions().await;
            }
            told = used.recv() => {
                let Some(Used { connector, session }) = told else { return };
                // The next call through it tells of it again.
                if let Err(error) = control.use_session(connector, &session, Timestamp::now()).await {
                    tracing::error!(?error, %session, "that a proxy session is in progress could not be kept");
                }
            }
        }
    }
}
