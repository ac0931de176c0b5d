//! What the edge is told.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`feed`] | the change feed: client of the Worker's ingress routes |
//! | [`changes`] | what the feed is told of a key or a scope |
//! | [`feeder`] | brings changes into the feed |
//! | [`pump`] | does so while the server runs |
//! | [`acknowledge`] | tells callers when it is done |
//! | [`keeper`] | keeps feed and database in agreement while the server runs |
//! | [`restore`] | gives back to a restored database what the feed knows |
//! | [`reseed`] | tells a feed everything that it must know |
//! | [`kv`] | the edge's store: client of the REST API of Workers KV |
//! | [`flush`] | writes what changed to it once the feed has it, and the rules of that |
//! | [`publishing`] | all that runs beside the server |
//! | [`publisher`] | flushes while the server runs |
//! | [`reseal`] | writes every record again before it is too old |
//! | [`lookup`] | which version of one key the edge has |
//! | [`sync`] | rebuilds the store |
//! | [`verify`] | compares it with the database |

pub mod acknowledge;
pub mod changes;
pub mod feed;
pub mod feeder;
pub mod flush;
pub mod keeper;
pub mod kv;
pub mod lookup;
pub mod publisher;
pub mod publishing;
pub mod pump;
pub mod reseal;
pub mod reseed;
pub mod restore;
pub mod sync;
#[cfg(test)]
pub(crate) mod testing;
pub mod verify;

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
