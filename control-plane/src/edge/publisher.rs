//! x
use tokio::sync::watch;

use crate::{app::App, config::EdgeConfig};

/// x
pub async fn run(_edge: Option<EdgeConfig>, _app: App, mut stopped: watch::Receiver<()>) {
    let _ = stopped.changed().await;
}
