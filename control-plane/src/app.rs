//! What every request handler is handed.

use std::sync::Arc;

use crate::{
    clock::Clock,
    edge::{Wake, acknowledge::EdgeLink, lookup::Lookup},
    metrics::Metrics,
    storage::Db,
};

/// The server's state: cheap to clone, and with nothing in it that another process could not have.
#[derive(Debug, Clone)]
pub struct App {
    /// The database.
    pub db: Db,
    /// The clock.
    pub clock: Clock,
    /// Tells the publisher that there is something to publish.
    pub publisher: Wake,
    /// What tells callers that a change has reached the edge, if there is an edge.
    pub edge: Option<Arc<EdgeLink>>,
    /// What tells which version of a key the edge has, if there is an edge.
    pub lookup: Option<Arc<Lookup>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl App {
    /// The state of a server without an edge that has just been started.
    #[must_use]
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock, publisher: Wake::default(), edge: None, lookup: None, metrics: Arc::new(Metrics::default()) }
    }

    /// The same server with an edge.
    #[must_use]
    pub fn with_edge(self, edge: Arc<EdgeLink>) -> Self {
        Self { edge: Some(edge), ..self }
    }

    /// The same server, which can ask the edge.
    #[must_use]
    pub fn with_lookup(self, lookup: Arc<Lookup>) -> Self {
        Self { lookup: Some(lookup), ..self }
    }
}
