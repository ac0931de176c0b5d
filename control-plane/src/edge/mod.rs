//! The edge: the change feed, Workers KV, and the wait for them.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`feed`] | the client of the change feed, by the Worker's ingress routes |
//! | [`changes`] | what is appended to the feed for a key or a scope |
//! | [`feeder`] | appends changes to the feed |
//! | [`acknowledge`] | waits until the edge has a change |
//! | [`kv`] | the client of the REST API of Workers KV |
//! | [`flush`] | writes changed records to Workers KV once the feed has them, and the rules of that |
//! | [`lookup`] | finds out which version of a key the edge has |
//! | [`sync`] | rebuilds what Workers KV holds |
//! | [`verify`] | compares it with the database |

pub mod acknowledge;
pub mod changes;
pub mod feed;
pub mod feeder;
pub mod flush;
pub mod kv;
pub mod lookup;
pub mod sync;
pub mod verify;

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the publisher when something was committed. A lost wake loses nothing: the publisher also checks by itself.
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
