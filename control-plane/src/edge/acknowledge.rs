//! Waiting until the edge has a committed change.
//!
//! [`EdgeLink::acknowledge`] returns once the change feed holds this version of a key, or a stricter one: from then on no
//! isolate relies on an older record for longer than its lease. The task that appends to the feed answers most waiters
//! itself; the others find out from the database, since another process may have appended their change.
//!
//! A change that was committed stands, whether or not the wait succeeds, and its row remembers that no caller has received an
//! acknowledgement. So the same call, repeated, resumes the wait, and gets the success that the first call did not get.

use std::{sync::Arc, time::Duration};

use shared::{feed::Status, record::Version};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{interval, timeout},
};

use super::{changes::Subject, feed::FeedClient, feeder::Ahead};
use crate::{
    metrics::Metrics,
    storage::{
        self, Db, Priority, edge_sync, feed,
        outbox::{self, Kind},
    },
};

/// How long a call waits for the edge to have a change.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the creation of a key waits, which then succeeds anyway: until the edge has the key, it is refused, which is safe.
const CREATION_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a waiter asks the database.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How many waiters the appending task knows. The others find out from the database.
const WAITERS_MAX: usize = 10_000;

/// A change that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// What was changed.
    pub subject: Subject,
    /// The version of the key or the generation of the scope that it has since.
    pub version: Version,
    /// How urgent the reads and writes of the wait are.
    pub priority: Priority,
}

impl Committed {
    /// A committed change of a key.
    #[must_use]
    pub const fn key(kind: Kind, id: String, version: Version, priority: Priority) -> Self {
        Self { subject: Subject::Key(kind, id), version, priority }
    }

    /// A committed change of the scope with this name.
    #[must_use]
    pub const fn scope(name: String, generation: Version, priority: Priority) -> Self {
        Self { subject: Subject::Scope(name), version: generation, priority }
    }
}

/// Why a change cannot be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Unacknowledged {
    /// The feed does not hold it yet.
    #[error("the change is not effective at the edge yet")]
    Pending,
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}

/// A caller who waits until the feed holds a change.
#[derive(Debug)]
pub struct Waiter {
    /// What is waited for.
    pub change: Committed,
    /// Sent once the feed holds it.
    pub done: oneshot::Sender<()>,
}

/// The callers who wait.
#[derive(Debug)]
pub struct Waiters {
    /// Those that are still queued.
    pub queue: mpsc::Receiver<Waiter>,
    /// Those that are already taken from the queue.
    pub taken: Vec<Waiter>,
}

/// What the feed was like when it was last spoken to.
#[derive(Debug, Clone, Default)]
pub enum Seen {
    /// It was not spoken to yet.
    #[default]
    Nothing,
    /// It answered.
    Answered(Status),
    /// It did not, or refused.
    Failed(String),
}

/// What connects use cases with the tasks that append to the feed.
#[derive(Debug)]
pub struct EdgeLink {
    /// The change feed.
    pub feed: FeedClient,
    waiters: mpsc::Sender<Waiter>,
    ahead: mpsc::Sender<Vec<Ahead>>,
    seen: watch::Sender<Seen>,
    timeout: Duration,
    db: Db,
    metrics: Arc<Metrics>,
}

/// The other ends of an [`EdgeLink`].
#[derive(Debug)]
pub struct LinkEnds {
    /// Those who wait, for the pump.
    pub waiters: Waiters,
    /// Keys of which the feed holds more than the database, as the pump meets them. It meets them again each second, so
    /// what nobody has room for is not lost.
    pub ahead: mpsc::Receiver<Vec<Ahead>>,
}

impl EdgeLink {
    /// A link to this feed.
    #[must_use]
    pub fn new(feed: FeedClient, db: Db, metrics: Arc<Metrics>) -> (Arc<Self>, LinkEnds) {
        Self::with_timeout(feed, db, metrics, TIMEOUT)
    }

    pub(crate) fn with_timeout(
        feed: FeedClient,
        db: Db,
        metrics: Arc<Metrics>,
        timeout: Duration,
    ) -> (Arc<Self>, LinkEnds) {
        let (waiters, queue) = mpsc::channel(WAITERS_MAX);
        let (ahead, ahead_end) = mpsc::channel(1);
        let link = Self { feed, db, metrics, waiters, ahead, seen: watch::Sender::default(), timeout };
        (Arc::new(link), LinkEnds { waiters: Waiters { queue, taken: vec![] }, ahead: ahead_end })
    }

    /// What the feed was like when it was last spoken to, now and whenever it is spoken to again.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Reports the state of the feed.
    pub fn see(&self, seen: Seen) {
        self.seen.send_replace(seen);
    }

    /// Reports keys of which the feed holds more than the database.
    pub fn report_ahead(&self, ahead: Vec<Ahead>) {
        // Nobody may be listening, or the listener be busy with the last ones.
        let _ = self.ahead.try_send(ahead);
    }

    /// Returns once the edge has the change, and records that a caller has received an acknowledgement.
    ///
    /// # Errors
    /// If it takes too long, or the database fails. The change stands all the same.
    pub async fn acknowledge(&self, change: &Committed) -> Result<(), Unacknowledged> {
        if !self.wait(change, TIMEOUT).await? {
            return Err(Unacknowledged::Pending);
        }
        self.record_acknowledged(change).await?;
        Ok(())
    }

    /// Waits briefly for the edge to have a key that was created. It does not matter much if it has not.
    pub async fn await_creation(&self, change: &Committed) {
        let _ = self.wait(change, CREATION_TIMEOUT).await;
    }

    /// Waits until the feed holds a change. `false` if that takes too long.
    async fn wait(&self, change: &Committed, longest: Duration) -> storage::Result<bool> {
        let _waiting = self.metrics.feed.count_waiting();
        let (done, answered) = oneshot::channel();
        // If the queue is full, the database answers.
        let _ = self.waiters.try_send(Waiter { change: change.clone(), done });
        let in_feed = async {
            tokio::select! {
                Ok(()) = answered => Ok(()),
                checked = self.check_until_fed(change) => checked,
            }
        };
        timeout(longest.min(self.timeout), in_feed).await.map_or(Ok(false), |fed| fed.map(|()| true))
    }

    async fn check_until_fed(&self, change: &Committed) -> storage::Result<()> {
        let mut ticks = interval(CHECK_INTERVAL);
        // The first tick is immediate.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let mut reader = self.db.read_as(change.priority).await?;
            let is_fed = match &change.subject {
                Subject::Key(_, id) => outbox::is_fed(reader.conn(), id, change.version).await?,
                Subject::Scope(name) => feed::is_scope_fed(reader.conn(), name, change.version).await?,
            };
            if is_fed {
                return Ok(());
            }
        }
    }

    async fn record_acknowledged(&self, change: &Committed) -> storage::Result<()> {
        let mut transaction = self.db.write_as(change.priority).await?;
        match &change.subject {
            Subject::Key(kind, id) => {
                edge_sync::note_acknowledged(transaction.conn(), *kind, id, change.version).await?;
            }
            Subject::Scope(name) => feed::note_scope_acknowledged(transaction.conn(), name, change.version).await?,
        }
        transaction.commit().await
    }
}
