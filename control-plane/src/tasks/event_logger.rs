//! Moves committed events into the log while the server runs.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use super::TaskContext;
use crate::{
    entropy::OsEntropy,
    events::append::{Appended, IfBusy, append},
    storage::{self, Priority},
};

/// How often the queue is looked at if nobody reports anything: another process may have committed something.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two transactions. What is committed meanwhile shares the next one, so that events cost few transactions.
const PAUSE: Duration = Duration::from_millis(20);
/// The pause after the database failed.
const ERROR_PAUSE: Duration = Duration::from_secs(5);

/// Moves events until the sender of `stopped` is dropped.
pub async fn run(context: TaskContext, mut stopped: watch::Receiver<()>) {
    loop {
        let pause = match turn(&context).await {
            Ok(Appended { is_partial: true, .. }) => PAUSE,
            Ok(_) => tokio::select! {
                _ = stopped.changed() => return,
                () = context.wakes.events.notified() => PAUSE,
                () = sleep(POLL_INTERVAL) => Duration::ZERO,
            },
            Err(error) => {
                tracing::warn!(%error, "failed to add events to the log; will retry");
                ERROR_PAUSE
            }
        };
        tokio::select! {
            _ = stopped.changed() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Moves one batch of events.
pub(crate) async fn turn(context: &TaskContext) -> storage::Result<Appended> {
    let appended = append(&context.db, Priority::Normal, IfBusy::Skip, &context.clock, &mut OsEntropy).await?;
    if appended.deliveries > 0 {
        context.wakes.webhooks.notify();
    }
    Ok(appended)
}
