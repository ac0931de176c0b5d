//! What the edge is told.

pub mod publisher;

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the publisher when something was committed. Losing a wake loses nothing: the publisher also looks by itself.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There is something to publish.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Waits until there is something to publish.
    pub async fn notified(&self) {
        self.0.notified().await;
    }
}
