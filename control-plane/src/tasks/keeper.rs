//! The task that reconciles the database with the change feed while the server runs.
//!
//! At startup, before anything is published, it applies to the database what is newer in the feed ([`super::restore`]).
//! The other tasks of the edge wait for this. Later it does the same whenever the database is behind: its position went
//! back, or the feed has a newer version of a key. It also reseeds a closed feed, and opens it ([`super::reseed`]).

use std::time::Duration;

use shared::{
    feed::{Position, State, Status},
    seal::EdgeSecrets,
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    TaskContext, publisher,
    reseed::reseed,
    restore::{Restored, Restorer},
};
use crate::{
    config::EdgeConfig,
    edge::{
        acknowledge::Seen,
        feeder::{Ahead, Feeder},
        kv::Kv,
    },
    metrics::FeedState,
    service::Database,
    storage::{self, Priority, feed},
};

/// How often it looks at what the pump saw.
const TURN_EACH: Duration = Duration::from_secs(1);
/// The pause after a first failure. It doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: whoever starts the server before the Worker need not wait for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A failure is logged when it is the first one, and then each so many.
const LOG_EACH: u32 = 15;
const STARTUP_FAILED: &str =
    "failed to compare the database with the change feed; will retry, and nothing is published until then";

/// Keeps database and feed in agreement.
#[derive(Debug)]
pub struct Keeper {
    context: TaskContext,
    database: Database,
    feeder: Feeder,
    kv: Kv,
    secrets: EdgeSecrets,
    failures: u32,
    /// How the feed was when it was last looked at.
    last: Option<FeedState>,
}

impl Keeper {
    /// What keeps this server's database and the feed of this edge in agreement.
    ///
    /// # Errors
    /// If the edge's settings are wrong.
    pub fn new(context: TaskContext, edge: EdgeConfig, feeder: Feeder) -> anyhow::Result<Self> {
        let kv = Kv::new(&edge, context.clock.clone())?;
        let database = context.database();
        Ok(Self { context, database, feeder, kv, secrets: edge.secrets, failures: 0, last: None })
    }

    /// Takes over what the feed knows better, however long it takes to reach it. `false` if the sender of `stopped` is dropped before.
    pub async fn begin(&mut self, stopped: &mut watch::Receiver<()>) -> bool {
        tokio::select! {
            _ = stopped.changed() => false,
            () = self.catch_up_at_last() => true,
        }
    }

    async fn catch_up_at_last(&mut self) {
        loop {
            match self.restorer().catch_up(&self.kv).await {
                Ok(restored) => return self.report(restored),
                Err(error) => {
                    self.context.metrics.feed.show(FeedState::Unreachable);
                    self.measure().await;
                    self.pause(STARTUP_FAILED, &error).await;
                }
            }
        }
    }

    /// Shows how much waits, which otherwise the tasks do that have not begun yet.
    async fn measure(&self) {
        let measured = async {
            self.context.metrics.feed.lag.set(self.lag().await?);
            publisher::measure(&self.context).await.map(drop)
        };
        if let Err(error) = measured.await {
            tracing::warn!(%error, "failed to read the outbox; will retry");
        }
    }

    /// Keeps them in agreement until the sender of `stopped` is dropped.
    pub async fn run(mut self, ahead: mpsc::Receiver<Vec<Ahead>>, mut stopped: watch::Receiver<()>) {
        let Some(seen) = self.context.edge.as_ref().map(|link| link.watch()) else { return };
        tokio::select! {
            _ = stopped.changed() => {}
            () = self.keep(seen, ahead) => {}
        }
    }

    async fn keep(&mut self, mut seen: watch::Receiver<Seen>, mut ahead: mpsc::Receiver<Vec<Ahead>>) {
        // A closed feed is opened at once: the pump would need a while to notice, if there is nothing to tell.
        seen.mark_changed();
        loop {
            let done = tokio::select! {
                Ok(()) = seen.changed() => {
                    let now = seen.borrow_and_update().clone();
                    self.look(now).await
                }
                Some(keys) = ahead.recv() => self.check(keys).await,
                else => return,
            };
            match done {
                Ok(()) => {
                    self.failures = 0;
                    sleep(TURN_EACH).await;
                }
                Err(error) => {
                    self.pause("failed to reconcile the database with the change feed; will retry", &error).await;
                }
            }
        }
    }

    /// Does what the state of the feed asks for.
    async fn look(&mut self, seen: Seen) -> anyhow::Result<()> {
        self.context.metrics.feed.lag.set(self.lag().await?);
        let status = match seen {
            Seen::Answered(status) => Some(status),
            // A feed that refuses changes may still say how it is.
            Seen::Nothing | Seen::Failed(_) => self.feeder.client().status().await.ok().map(|report| report.status),
        };
        let state = status.map_or(FeedState::Unreachable, |status| FeedState::Is(status.state));
        self.context.metrics.feed.show(state);
        let is_news = self.last.replace(state) != Some(state);
        let Some(status) = status else { return Ok(()) };
        if self.is_behind(status).await? {
            let restored = self.restorer().catch_up(&self.kv).await?;
            self.report(restored);
        }
        match status.state {
            State::Closed => return self.reseed().await,
            State::Retired if is_news => {
                tracing::error!(
                    "the change feed is retired, so the edge accepts no key; deploy the Worker with another FEED_NAME"
                );
            }
            State::Retired | State::Open => {}
        }
        Ok(())
    }

    /// Whether the database has not noted that the feed had come so far. Usually somebody else is just about to note it; but
    /// a database that was restored meanwhile has noted less than it once had.
    async fn is_behind(&self, status: Status) -> storage::Result<bool> {
        let noted = feed::position(self.context.db.read_as(Priority::Publisher).await?.conn()).await?;
        Ok(match noted {
            Some(Position { epoch, sequence }) if epoch == status.epoch => sequence < status.head,
            _ => true,
        })
    }

    /// For how many seconds the oldest change has been waiting to be fed.
    async fn lag(&self) -> storage::Result<i64> {
        let oldest = feed::oldest_unfed(self.context.db.read_as(Priority::Publisher).await?.conn()).await?;
        let now = self.context.clock.now().as_millis();
        Ok(oldest.map_or(0, |oldest| (now - oldest.as_millis()).max(0) / 1000))
    }

    async fn reseed(&mut self) -> anyhow::Result<()> {
        tracing::warn!(
            "the change feed is closed, so the edge accepts no key; reseeding it with the changes of the last week"
        );
        let entries = reseed(&self.context.db, &mut self.feeder, self.context.clock.now()).await?;
        tracing::info!(entries, "reseeded the change feed; it is open again");
        Ok(())
    }

    /// The pump met keys of which the feed holds something newer. If that is still so, who knows what else it has.
    async fn check(&mut self, keys: Vec<Ahead>) -> anyhow::Result<()> {
        let names: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        if self.restorer().is_behind(&names).await? {
            let restored = self.restorer().take_over_all().await?;
            self.report(restored);
        }
        Ok(())
    }

    fn restorer(&self) -> Restorer<'_> {
        let Self { context, database, feeder, secrets, .. } = self;
        Restorer { db: &context.db, database, clock: &context.clock, feed: feeder.client(), secrets }
    }

    fn report(&mut self, restored: Restored) {
        self.failures = 0;
        self.context.metrics.feed.drift.inc_by(restored.changes());
        if restored.changes() + restored.unreadable == 0 {
            return;
        }
        let Restored { revoked, taken_over, scopes, unknown, unreadable } = restored;
        tracing::warn!(
            revoked,
            changed = taken_over,
            cache_tags = scopes,
            unreadable,
            unknown,
            "the database was behind the change feed, probably because it was restored from a backup; applied the \
             newer changes of the feed. Unknown keys were created after the backup: `latchkey edge sync --prune` \
             removes them"
        );
        self.context.wakes.publisher.notify();
    }

    async fn pause(&mut self, message: &'static str, error: &anyhow::Error) {
        if self.failures.is_multiple_of(LOG_EACH) {
            tracing::warn!(error = format!("{error:#}"), "{message}");
        }
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(10))).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
