use std::sync::Arc;

use crate::{
    clock::Clock,
    edge::acknowledge::EdgeLink,
    encryption::EncryptionKey,
    metrics::Metrics,
    service::{Database, Wakes, api_keys::ExpiryReminders, events::EventRetention, usage::Usage},
    storage::Db,
};

/// What the tasks of a process share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// The database.
    pub db: Db,
    /// The clock.
    pub clock: Clock,
    /// Wakes the tasks that take a committed change further.
    pub wakes: Wakes,
    /// Encrypts the secrets that the server must be able to read again.
    pub encryption: EncryptionKey,
    /// The link to the edge, if there is an edge.
    pub edge: Option<Arc<EdgeLink>>,
    /// How often this process validated keys.
    pub usage: Arc<Usage>,
    /// How long events are kept.
    pub event_retention: EventRetention,
    /// How many days before its expiry a key is reported.
    pub expiry_reminders: ExpiryReminders,
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
            wakes: Wakes::default(),
            edge: None,
            usage: Arc::new(usage),
            event_retention: EventRetention::default(),
            expiry_reminders: ExpiryReminders::default(),
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
        Database::new(self.db.clone(), self.edge.clone(), self.wakes.clone())
    }
}
