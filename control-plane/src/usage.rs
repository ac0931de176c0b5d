//! How often keys are validated: what this server counts itself, and the task that writes it.
//!
//! A validation is counted in memory, and what was counted is written a few seconds later, all of it in one transaction. So no
//! request waits for it, and none writes for it. A process that is killed loses what it counted since it last wrote, which
//! is at most [`WRITE_EACH`] and the time of one attempt, if the database answers.
//!
//! The edge counts as well, and tells of it in the same form; `api/usage/take.rs` takes it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::{
    Timestamp,
    digest::{Digest, Place},
    entropy::Entropy,
    id::EnvironmentId,
    reason::Reason,
    usage::{Batch, Outcome, TELL_AFTER_KEYS, Tally, hour_of},
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::sleep,
};

use crate::{
    app::App,
    entropy::OsEntropy,
    storage::{
        self,
        usage::{self, Counted, Hours},
    },
};

/// How often what was counted is written.
pub const WRITE_EACH: Duration = Duration::from_secs(5);
/// How many batches are added up at once. Those of one environment wait for each other anyway, and while they do, they must
/// not hold every connection to the database.
const APPLIED_AT_ONCE: u32 = 4;
/// A failure is logged when it is the first one, and then each so many.
const LOG_EACH: u32 = 12;

/// For how long usage is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    hours: i64,
}

impl Retention {
    /// So many days.
    #[must_use]
    pub fn of_days(days: u32) -> Self {
        Self { hours: i64::from(days) * 24 }
    }

    /// The hours that can be told of: those that are kept, and the next one, because the clock of who tells may be ahead.
    #[must_use]
    pub const fn hours(self, now: Timestamp) -> Hours {
        let hour = hour_of(now);
        Hours { first: hour - self.hours, last: hour + 1 }
    }
}

/// As `defaults.toml` has it.
impl Default for Retention {
    fn default() -> Self {
        Self::of_days(400)
    }
}

/// What this server counted and has not written yet.
#[derive(Debug)]
pub struct Usage {
    /// For how long usage is kept.
    pub retention: Retention,
    tally: Mutex<Tally>,
    many: Notify,
    applying: Semaphore,
}

impl Usage {
    /// Nothing was counted yet.
    #[must_use]
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            tally: Mutex::default(),
            many: Notify::new(),
            applying: Semaphore::new(APPLIED_AT_ONCE as usize),
        }
    }

    /// Counts a validation of a key.
    pub fn count_key(&self, environment: &EnvironmentId, digest: Digest, outcome: Outcome, now: Timestamp) {
        let place = Place::of_api_key(environment, &digest);
        let keys = self.with(|tally| {
            tally.count_key(place, outcome, now, || (environment.clone(), digest));
            tally.keys()
        });
        if keys >= TELL_AFTER_KEYS {
            self.many.notify_one();
        }
    }

    /// Counts a validation of what is no key of this environment.
    pub fn count_unknown(&self, environment: &EnvironmentId, reason: Reason, now: Timestamp) {
        self.with(|tally| tally.count_unknown(environment, reason, now));
    }

    /// What was counted, as the batch of this number. `None` if there was nothing.
    fn close(&self, sender: &str, number: u64) -> Option<Batch> {
        self.with(|tally| (!tally.is_empty()).then(|| tally.close(sender, number)))
    }

    /// Counting cannot fail half-way, so what a panic elsewhere left behind is whole.
    fn with<T>(&self, counts: impl FnOnce(&mut Tally) -> T) -> T {
        counts(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds up a batch in a transaction of its own. `None` if it was told before.
///
/// # Errors
/// If the database fails. Then nobody knows whether it was added up, and it must be told again.
pub async fn apply(app: &App, batch: &Batch) -> storage::Result<Option<Counted>> {
    // SQLite has one writer, so who changes something there should find one batch before it at the most.
    let share = if app.db.is_sqlite() { APPLIED_AT_ONCE } else { 1 };
    let _one_of_few = app.usage.applying.acquire_many(share).await;
    let now = app.clock.now();
    let mut transaction = app.db.write().await?;
    let counted = usage::apply(transaction.conn(), batch, app.usage.retention.hours(now), now).await?;
    transaction.commit().await?;
    if let Some(counted) = &counted {
        app.metrics.usage.lost.inc_by(counted.lost);
    }
    Ok(counted)
}

/// Writes what is counted until the sender of `stopped` is dropped. What was counted by then is still written.
pub async fn run(app: App, mut stopped: watch::Receiver<()>) {
    let usage = Arc::clone(&app.usage);
    let mut writer = Writer::new(app);
    loop {
        let is_stopping = tokio::select! {
            _ = stopped.changed() => true,
            // After a failure the database gets its rest, however many keys there are.
            () = usage.many.notified(), if writer.failures == 0 => false,
            () = sleep(WRITE_EACH) => false,
        };
        writer.turn().await;
        if is_stopping {
            return;
        }
    }
}

/// Writes what was counted, batch after batch.
struct Writer {
    app: App,
    sender: String,
    number: u64,
    /// What could not be written yet. It keeps its number, because nobody knows what became of it.
    pending: Option<Batch>,
    failures: u32,
}

impl Writer {
    fn new(app: App) -> Self {
        let mut random = [0; 16];
        OsEntropy.fill(&mut random);
        Self { app, sender: URL_SAFE_NO_PAD.encode(random), number: 0, pending: None, failures: 0 }
    }

    /// Writes all there is.
    async fn turn(&mut self) {
        match self.write().await {
            Ok(()) => self.failures = 0,
            Err(error) => {
                if self.failures.is_multiple_of(LOG_EACH) {
                    tracing::warn!(%error, "failed to write usage; will retry");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    async fn write(&mut self) -> storage::Result<()> {
        while let Some(batch) = self.next() {
            if let Err(error) = apply(&self.app, &batch).await {
                self.pending = Some(batch);
                return Err(error);
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Batch> {
        self.pending.take().or_else(|| {
            let batch = self.app.usage.close(&self.sender, self.number + 1)?;
            self.number += 1;
            Some(batch)
        })
    }
}

/// What the task does every few seconds, for tests.
#[cfg(test)]
pub(crate) async fn write_once(app: App) {
    let mut writer = Writer::new(app);
    writer.turn().await;
    assert_eq!(writer.failures, 0);
}

#[cfg(test)]
mod tests;
