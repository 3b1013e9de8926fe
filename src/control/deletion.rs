//! The end of the deletion queue: numbers that were deleted long enough ago go back to their pools.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::publish::Control;

/// How often it is looked for them.
const LOOK: Duration = Duration::from_secs(60);

/// Looks at once, and then every minute.
pub(super) async fn run(control: Arc<Control>, now: fn() -> Timestamp) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        match control.store().purge_numbers(now()).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "numbers left the deletion queue for their pools");
            }
            Err(error) => tracing::error!(?error, "the deletion queue could not be emptied"),
        }
    }
}
