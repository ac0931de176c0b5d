//! What request handlers and commands are given.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use shared::Timestamp;

use crate::{
    clock::Clock,
    edge::lookup::Lookup,
    encryption::EncryptionKey,
    events::Actor,
    limits::Limits,
    metrics::Metrics,
    service::{Database, Transaction, usage::Usage},
    storage::{self, FairTurns, Priority},
    webhooks::address::AddressPolicy,
};

/// The state of the server. Cheap to clone. Except for recent counts, it holds nothing that another process lacks.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The database.
    pub database: Database,
    /// The clock. Handlers get the time from [`AppState::begin`] or, if they only read, from the extractor `Now`.
    pub clock: Clock,
    /// Encrypts the secrets that the server must be able to read again.
    pub encryption: EncryptionKey,
    /// Finds out which version of a key the edge has, if there is an edge.
    pub lookup: Option<Arc<Lookup>>,
    /// Which addresses webhooks may be sent to.
    pub webhook_addresses: Arc<AddressPolicy>,
    /// How many requests a caller may make.
    pub limits: Arc<Limits>,
    /// A turn for each search that may run at the same time.
    pub searches: FairTurns,
    /// How often this process validated keys.
    pub usage: Arc<Usage>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Which database this is, for `latchkey doctor`.
    pub database_id: Option<Arc<str>>,
    /// Whether the process is about to stop, and load balancers should send requests to others.
    is_draining: Arc<AtomicBool>,
}

/// Searches read all organizations of an environment. This many at once leave connections for everybody else: a SQLite database
/// has four that read, and every request needs one to be authenticated.
const SEARCHES_MAX: usize = 2;

impl AppState {
    /// The state of a server without limits and without an encryption key that has just started.
    #[must_use]
    pub fn new(database: Database, clock: Clock, usage: Arc<Usage>, metrics: Arc<Metrics>) -> Self {
        Self {
            database,
            clock,
            encryption: EncryptionKey::not_configured(),
            lookup: None,
            webhook_addresses: Arc::default(),
            limits: Arc::new(Limits::none()),
            searches: FairTurns::new(SEARCHES_MAX),
            usage,
            metrics,
            database_id: None,
            is_draining: Arc::default(),
        }
    }

    /// Begins a transaction in which this actor makes changes, and reads the time once it has its turn. Others that were more urgent
    /// may have changed the same things since the request arrived, so what happened then is decided as of now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin(&self, actor: Actor, priority: Priority) -> storage::Result<(Transaction, Timestamp)> {
        let transaction = self.database.begin(actor, priority).await?;
        Ok((transaction, self.clock.now()))
    }

    /// From now on `/ready` answers 503, and connections are closed after their next response.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Whether the process is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// The same server, which says which database it has.
    #[must_use]
    pub fn with_database_id(self, id: Option<String>) -> Self {
        Self { database_id: id.map(Into::into), ..self }
    }

    /// The same server, which encrypts secrets with this key.
    #[must_use]
    pub fn with_encryption(self, encryption: EncryptionKey) -> Self {
        Self { encryption, ..self }
    }

    /// The same server, whose webhooks may be sent to these addresses.
    #[must_use]
    pub fn with_webhook_addresses(self, policy: AddressPolicy) -> Self {
        Self { webhook_addresses: Arc::new(policy), ..self }
    }

    /// The same server, whose callers have these limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self }
    }

    /// The same server, which can ask the edge about keys.
    #[must_use]
    pub fn with_lookup(self, lookup: Option<Arc<Lookup>>) -> Self {
        Self { lookup, ..self }
    }
}
