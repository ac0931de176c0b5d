//! The task that keeps Workers KV up to date while the server runs.

use std::time::Duration;

use shared::feed::KEPT_MILLIS;
use tokio::{sync::watch, time::sleep};

use super::TaskContext;
use crate::{
    edge::flush::{Flushed, Flusher},
    storage::{
        self, Priority, feed,
        outbox::{self, Backlog},
    },
};

/// How often the outbox is looked at when nobody says that there is something in it: another process may have put it
/// there, or an earlier attempt has to be repeated.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// How many rows are removed in one transaction, if there is nobody to tell.
const DISCARDED_AT_ONCE: i64 = 10_000;
/// The pause after the database failed.
const PAUSE_WITHOUT_DATABASE: Duration = Duration::from_secs(5);

/// Publishes until the sender of `stopped` is dropped. A flush that is under way then is finished first, which its
/// time-outs bound.
///
/// Without a flusher there is no edge, so there is nobody to tell, and rows must not pile up, so they are removed, but for
/// those that the feed of an earlier edge was not told of. An edge that is configured later is filled by
/// `latchkey edge sync`.
pub async fn run(flusher: Option<Flusher>, context: TaskContext, mut stopped: watch::Receiver<()>) {
    let mut publisher = Publisher { context, flusher, started: false };
    loop {
        let pause = publisher.turn().await;
        tokio::select! {
            _ = stopped.changed() => return,
            () = sleep(pause) => {}
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = publisher.context.wakes.publisher.notified() => {}
            () = sleep(LOOK_EACH) => {}
        }
    }
}

/// Shows how much waits, and says it.
pub(super) async fn measure(context: &TaskContext) -> storage::Result<Backlog> {
    let now = context.clock.now();
    let backlog = outbox::backlog(context.db.read_as(Priority::Publisher).await?.conn(), now).await?;
    let age = backlog.oldest.map_or(0, |oldest| (now.as_millis() - oldest.as_millis()).max(0) / 1000);
    context.metrics.outbox_depth.set(backlog.depth);
    context.metrics.outbox_age.set(age);
    Ok(backlog)
}

struct Publisher {
    context: TaskContext,
    flusher: Option<Flusher>,
    started: bool,
}

impl Publisher {
    /// Does what there is to do now, and returns how long to do nothing then.
    async fn turn(&mut self) -> Duration {
        self.try_turn().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read or write the outbox; will retry");
            PAUSE_WITHOUT_DATABASE
        })
    }

    async fn try_turn(&mut self) -> storage::Result<Duration> {
        if !self.started {
            self.take_up_again().await?;
            self.started = true;
        }
        let backlog = self.look().await?;
        match &mut self.flusher {
            Some(flusher) if backlog.due => {
                let flushed = flusher.flush().await?;
                let pause = flusher.pause();
                self.report(&flushed, pause);
                self.look().await?;
                Ok(pause)
            }
            None => self.discard().await.map(|()| Duration::ZERO),
            _ => Ok(Duration::ZERO),
        }
    }

    /// Lets whatever an earlier process left behind be sent now.
    async fn take_up_again(&self) -> storage::Result<()> {
        let mut transaction = self.context.db.write_as(Priority::Publisher).await?;
        outbox::make_all_due(transaction.conn(), self.context.clock.now()).await?;
        transaction.commit().await
    }

    async fn look(&self) -> storage::Result<Backlog> {
        measure(&self.context).await
    }

    async fn discard(&self) -> storage::Result<()> {
        while outbox::any_to_clear(self.context.db.read_as(Priority::Publisher).await?.conn()).await? {
            let mut transaction = self.context.db.write_as(Priority::Publisher).await?;
            let cleared = outbox::clear(transaction.conn(), DISCARDED_AT_ONCE).await?;
            // No record is decided on that is older than this, so no change from before matters to an edge of later.
            let long_ago = self.context.clock.now().plus_millis(-KEPT_MILLIS);
            feed::remove_scopes(transaction.conn(), long_ago, true).await?;
            transaction.commit().await?;
            // Others may have locked what is left.
            if cleared < DISCARDED_AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    fn report(&self, flushed: &Flushed, pause: Duration) {
        let metrics = &self.context.metrics;
        match flushed {
            Flushed::Nothing => {}
            Flushed::Written { written, unsuccessful } => {
                metrics.published.inc_by(u64::try_from(*written).unwrap_or(u64::MAX));
                tracing::debug!(written, "wrote records to Workers KV");
                if *unsuccessful > 0 {
                    metrics.publish_failures.inc();
                    tracing::warn!(unsuccessful, "Workers KV failed to write some records; will retry");
                }
            }
            Flushed::Failed(error) => {
                metrics.publish_failures.inc();
                tracing::warn!(%error, retry_in = ?pause, "failed to write records to Workers KV; will retry");
            }
            Flushed::TooLate => {
                metrics.publish_failures.inc();
                tracing::warn!("reading changed records took too long to write them safely; will retry");
            }
        }
    }
}

#[cfg(test)]
mod tests;
