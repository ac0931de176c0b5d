use std::sync::Arc;

use crate::{
    clock::Clock,
    edge::{Wake, acknowledge::EdgeLink},
    encryption::EncryptionKey,
    metrics::Metrics,
    service::{Database, usage::Usage},
    storage::Db,
};

/// What the tasks of a process share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// The database.
    pub db: Db,
    /// The clock.
    pub clock: Clock,
    /// Encrypts the secrets that the server must be able to read again.
    pub encryption: EncryptionKey,
    /// Wakes the publisher when something was committed.
    pub publisher: Wake,
    /// The link to the edge, if there is an edge.
    pub edge: Option<Arc<EdgeLink>>,
    /// How often this process validated keys.
    pub usage: Arc<Usage>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

impl TaskContext {
    /// A process without an edge and without an encryption key.
    #[must_use]
    pub fn new(db: Db, clock: Clock, usage: Usage) -> Self {
        Self {
            db,
            clock,
            encryption: EncryptionKey::not_configured(),
            publisher: Wake::default(),
            edge: None,
            usage: Arc::new(usage),
            metrics: Arc::new(Metrics::default()),
        }
    }

    /// The same process with an edge.
    #[must_use]
    pub fn with_edge(self, edge: Arc<EdgeLink>) -> Self {
        Self { edge: Some(edge), ..self }
    }

    /// The same process, which encrypts secrets with this key.
    #[must_use]
    pub fn with_encryption(self, encryption: EncryptionKey) -> Self {
        Self { encryption, ..self }
    }

    /// The database, as use cases see it.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::new(self.db.clone(), self.edge.clone(), self.publisher.clone())
    }
}
