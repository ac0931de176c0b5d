//! Telling a caller that a change has reached the edge, and not before it has.
//!
//! A handler commits its change through [`App::commit_change`] and the like, and then waits in [`App::acknowledge`] until
//! the change feed holds this version of the key, or a stricter one: from then on no isolate trusts an older record for
//! longer than its lease. The pump answers most waiters itself; the others find out from the database, since another
//! process may have told the feed.
//!
//! A change that was committed stands, whether or not the wait succeeds, and the row of its key remembers that nobody was
//! told. So whoever repeats the call takes up the wait, and gets the success that the first call did not get.

use std::{sync::Arc, time::Duration};

use shared::{
    feed::{Effect, Scope, Status},
    id::EnvironmentId,
    record::Version,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{interval, timeout},
};

use super::{changes::Subject, feed::FeedClient, feeder::Ahead};
use crate::{
    app::App,
    storage::{
        self, Priority, Writer, edge_sync,
        feed::{self, ScopeChange},
        outbox::{self, Kind, Route},
    },
};

/// How long a call waits for a change to reach the edge.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the creation of a key waits, which then succeeds anyway: whoever asks for a key that is not there yet is
/// refused, and nothing is wrong with that.
const PATIENCE_FOR_CREATION: Duration = Duration::from_secs(1);
/// How often a waiter asks the database.
const LOOK_EACH: Duration = Duration::from_millis(250);
/// How many waiters the pump takes note of. The others find out from the database.
const WAITERS_MAX: usize = 10_000;

/// A change that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// What was changed.
    pub subject: Subject,
    /// The version of the key or the generation of the scope that it has since.
    pub version: Version,
    /// How urgent what follows is.
    pub priority: Priority,
}

/// Why nobody can be told that a change has reached the edge.
#[derive(Debug, thiserror::Error)]
pub enum Unacknowledged {
    /// The feed does not hold it yet.
    #[error("the change has not reached the edge yet")]
    Pending,
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}

/// Someone who waits until the feed holds a change.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) change: Committed,
    pub(super) done: oneshot::Sender<()>,
}

/// Those who wait for their change.
#[derive(Debug)]
pub struct Waiters {
    pub(super) queue: mpsc::Receiver<Waiter>,
    /// Those whom the pump has before it.
    pub(super) taken: Vec<Waiter>,
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

/// What connects request handlers with the tasks that tell the edge.
#[derive(Debug)]
pub struct EdgeLink {
    /// The change feed.
    pub feed: FeedClient,
    waiters: mpsc::Sender<Waiter>,
    ahead: mpsc::Sender<Vec<Ahead>>,
    seen: watch::Sender<Seen>,
    patience: Duration,
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
    pub fn new(feed: FeedClient) -> (Arc<Self>, LinkEnds) {
        Self::with_patience(feed, PATIENCE)
    }

    pub(crate) fn with_patience(feed: FeedClient, patience: Duration) -> (Arc<Self>, LinkEnds) {
        let (waiters, queue) = mpsc::channel(WAITERS_MAX);
        let (ahead, ahead_end) = mpsc::channel(1);
        let link = Self { feed, waiters, ahead, seen: watch::Sender::default(), patience };
        (Arc::new(link), LinkEnds { waiters: Waiters { queue, taken: vec![] }, ahead: ahead_end })
    }

    /// What the feed was like when it was last spoken to, now and whenever it is spoken to again.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    pub(super) fn see(&self, seen: Seen) {
        self.seen.send_replace(seen);
    }

    pub(super) fn report_ahead(&self, ahead: Vec<Ahead>) {
        // Nobody may be listening, or the listener be busy with the last ones.
        let _ = self.ahead.try_send(ahead);
    }

    /// Waits until the feed holds a change. `false` if that takes too long.
    async fn wait(&self, app: &App, change: &Committed, patience: Duration) -> storage::Result<bool> {
        let _waiting = app.metrics.feed.count_waiting();
        let (done, told) = oneshot::channel();
        // Without room there, the database tells.
        let _ = self.waiters.try_send(Waiter { change: change.clone(), done });
        let held = async {
            tokio::select! {
                Ok(()) = told => Ok(()),
                looked = look_until_fed(app, change) => looked,
            }
        };
        timeout(patience.min(self.patience), held).await.map_or(Ok(false), |held| held.map(|()| true))
    }
}

async fn look_until_fed(app: &App, change: &Committed) -> storage::Result<()> {
    let mut ticks = interval(LOOK_EACH);
    // The first one is at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let mut reader = app.db.read_as(change.priority).await?;
        let is_fed = match &change.subject {
            Subject::Key(_, id) => outbox::is_fed(reader.conn(), id, change.version).await?,
            Subject::Scope(name) => feed::is_scope_fed(reader.conn(), name, change.version).await?,
        };
        if is_fed {
            return Ok(());
        }
    }
}

impl App {
    /// Commits the change of an existing key.
    ///
    /// # Errors
    /// If the database fails. Nothing is changed then.
    pub async fn commit_change(
        &self,
        mut transaction: Writer,
        kind: Kind,
        id: &str,
        version: Version,
    ) -> storage::Result<Committed> {
        let now = self.clock.now();
        edge_sync::note_change(transaction.conn(), kind, id, self.edge.is_none(), now).await?;
        self.commit_creation(transaction, kind, id, version).await
    }

    /// Commits the creation of a key.
    ///
    /// # Errors
    /// If the database fails. There is no such key then.
    pub async fn commit_creation(
        &self,
        mut transaction: Writer,
        kind: Kind,
        id: &str,
        version: Version,
    ) -> storage::Result<Committed> {
        let priority = transaction.priority();
        outbox::add(transaction.conn(), kind, id, version, Route::FeedFirst, self.clock.now()).await?;
        transaction.commit().await?;
        self.publisher.notify();
        Ok(Committed { subject: Subject::Key(kind, id.to_owned()), version, priority })
    }

    /// Commits what changes everything of a scope, and with it the keys that it changed and queued. The feed gets one entry
    /// for all of them; their records follow to the store at its pace.
    ///
    /// # Errors
    /// If the database fails. Nothing is changed then.
    pub async fn commit_scope(
        &self,
        mut transaction: Writer,
        scope: &Scope<'_>,
        environment: &EnvironmentId,
        generation: Version,
        effect: Effect,
    ) -> storage::Result<Committed> {
        let now = self.clock.now();
        let mut change = ScopeChange::new(scope, environment, generation, effect, now);
        change.acknowledged = self.edge.is_none();
        let priority = transaction.priority();
        feed::add_scope(transaction.conn(), &change).await?;
        transaction.commit().await?;
        self.publisher.notify();
        Ok(Committed { subject: Subject::Scope(change.name), version: generation, priority })
    }

    /// The last change of a scope, if nobody was told yet that the edge has it: whoever repeats the call that made it takes up
    /// the wait. Without an edge there is nothing to wait for. The transaction ends here: it would hold rows, and on SQLite the
    /// file, while the caller waits.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pending_scope(
        &self,
        mut transaction: Writer,
        scope: &Scope<'_>,
        environment: &EnvironmentId,
    ) -> storage::Result<Option<Committed>> {
        let priority = transaction.priority();
        let pending = feed::unacknowledged_scope(transaction.conn(), environment, scope).await?;
        let pending = pending.filter(|_| self.edge.is_some());
        Ok(pending.map(|version| Committed { subject: Subject::Scope(scope.name()), version, priority }))
    }

    /// Returns when the edge has the change, and notes that somebody was told. Without an edge that is at once.
    ///
    /// # Errors
    /// If it takes too long, or the database fails. The change stands all the same.
    pub async fn acknowledge(&self, change: &Committed) -> Result<(), Unacknowledged> {
        let Some(edge) = &self.edge else { return Ok(()) };
        if !edge.wait(self, change, PATIENCE).await? {
            return Err(Unacknowledged::Pending);
        }
        note_acknowledged(self, change).await?;
        Ok(())
    }

    /// Waits a moment for the edge to have a key that was created. It does not matter much if it has not.
    pub async fn await_creation(&self, change: &Committed) {
        if let Some(edge) = &self.edge {
            let _ = edge.wait(self, change, PATIENCE_FOR_CREATION).await;
        }
    }
}

async fn note_acknowledged(app: &App, change: &Committed) -> storage::Result<()> {
    let mut transaction = app.db.write_as(change.priority).await?;
    match &change.subject {
        Subject::Key(kind, id) => {
            edge_sync::note_acknowledged(transaction.conn(), *kind, id, change.version).await?;
        }
        Subject::Scope(name) => feed::note_scope_acknowledged(transaction.conn(), name, change.version).await?,
    }
    transaction.commit().await
}
