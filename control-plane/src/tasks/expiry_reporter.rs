//! Reports keys that expire soon or have expired, as events.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use super::TaskContext;
use crate::service::api_keys::report_expiries;

/// How often due events are looked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two transactions.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause after the database failed.
const ERROR_PAUSE: Duration = Duration::from_secs(5);

/// Reports until the sender of `stopped` is dropped.
pub async fn run(context: TaskContext, mut stopped: watch::Receiver<()>) {
    let database = context.database();
    loop {
        let pause = match report_expiries(&database, &context.expiry_reminders, context.clock.now()).await {
            Ok(true) => PAUSE,
            Ok(false) => INTERVAL,
            Err(error) => {
                tracing::warn!(%error, "failed to report expired keys; will retry");
                ERROR_PAUSE
            }
        };
        tokio::select! {
            _ = stopped.changed() => return,
            () = sleep(pause) => {}
        }
    }
}
