//! What every request handler is handed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    api::limits::Limits,
    clock::Clock,
    edge::{Wake, acknowledge::EdgeLink, lookup::Lookup},
    metrics::Metrics,
    storage::{Db, FairTurns},
    usage::{Retention, Usage},
};

/// The server's state: cheap to clone. Nothing in it is what another process lacks, but for what was counted a moment ago.
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
    /// How often a caller may ask.
    pub limits: Arc<Limits>,
    /// A turn for each search that may run at once.
    pub searches: FairTurns,
    /// How often keys were validated.
    pub usage: Arc<Usage>,
    /// What is counted for those who run the server.
    pub metrics: Arc<Metrics>,
    /// Which database this is, for `latchkey doctor`.
    pub database_id: Option<Arc<str>>,
    /// Whether the process is about to stop, and load balancers should send requests to others.
    is_draining: Arc<AtomicBool>,
}

/// Searches read all organizations of an environment. This many at once leave connections for everybody else, who needs one to be
/// authenticated: a SQLite database has four that read.
const SEARCHES_MAX: usize = 2;

impl App {
    /// The state of a server without an edge and without limits that has just been started.
    #[must_use]
    pub fn new(db: Db, clock: Clock) -> Self {
        let usage = Arc::new(Usage::new(Retention::default()));
        let metrics = Arc::new(Metrics::default());
        let limits = Arc::new(Limits::none());
        let searches = FairTurns::new(SEARCHES_MAX);
        Self {
            db,
            clock,
            publisher: Wake::default(),
            edge: None,
            lookup: None,
            limits,
            searches,
            usage,
            metrics,
            database_id: None,
            is_draining: Arc::default(),
        }
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

    /// The same server with an edge.
    #[must_use]
    pub fn with_edge(self, edge: Arc<EdgeLink>) -> Self {
        Self { edge: Some(edge), ..self }
    }

    /// The same server, which says which database it has.
    #[must_use]
    pub fn with_database_id(self, id: Option<String>) -> Self {
        Self { database_id: id.map(Into::into), ..self }
    }

    /// The same server, which keeps usage for so long.
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Self {
        Self { usage: Arc::new(Usage::new(retention)), ..self }
    }

    /// The same server, whose callers have these limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self }
    }

    /// The same server, which can ask the edge.
    #[must_use]
    pub fn with_lookup(self, lookup: Arc<Lookup>) -> Self {
        Self { lookup: Some(lookup), ..self }
    }
}
