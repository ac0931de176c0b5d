//! How often keys are validated: what this process counts itself, and adding up what it and the edge counted.
//!
//! A validation is counted in memory, and a task writes what was counted every few seconds, all of it in one transaction. So
//! no request waits for it. The edge counts as well, and sends batches of the same form.

use std::sync::{Mutex, PoisonError};

use shared::{
    Timestamp,
    digest::{Digest, Place},
    id::EnvironmentId,
    reason::Reason,
    usage::{Batch, Outcome, TELL_AFTER_KEYS, Tally, hour_of},
};
use tokio::sync::{Notify, Semaphore};

use super::{Change, Database, Result, commit};
use crate::events::Actor;
use crate::storage::{
    Conn, Priority,
    usage::{self as rows, Counted, Hours, Span, Total},
};

/// How many batches are added up at once. Those of one environment wait for each other anyway, and while they do, they must
/// not hold every connection to the database.
const APPLIED_AT_ONCE: u32 = 4;

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

    /// Waits until so much was counted that it should be written soon.
    pub async fn is_large(&self) {
        self.many.notified().await;
    }

    /// What was counted, as the batch of this number. `None` if there was nothing.
    pub fn close(&self, sender: &str, number: u64) -> Option<Batch> {
        self.with(|tally| (!tally.is_empty()).then(|| tally.close(sender, number)))
    }

    /// Counting cannot fail half-way, so what a panic elsewhere left behind is whole.
    fn with<T>(&self, counts: impl FnOnce(&mut Tally) -> T) -> T {
        counts(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds up a batch in a transaction of its own. `None` if it was added up before.
///
/// # Errors
/// If the database fails. Then nobody knows whether it was added up, and it must be sent again.
pub async fn apply(database: &Database, usage: &Usage, batch: &Batch, now: Timestamp) -> Result<Option<Counted>> {
    // SQLite has one writer, so a change there should find at most one batch before it.
    let share = if database.is_sqlite() { APPLIED_AT_ONCE } else { 1 };
    let _one_of_few = usage.applying.acquire_many(share).await;
    let mut transaction = database.begin(Actor::Server, Priority::Normal).await?;
    let counted = rows::apply(transaction.conn(), batch, usage.retention.hours(now), now).await?;
    commit(transaction, Change::nothing(), now).await?;
    Ok(counted)
}

/// How often keys of an environment were validated, by interval and outcome.
///
/// # Errors
/// If the database fails.
pub async fn of_environment(conn: Conn<'_>, environment: &EnvironmentId, span: Span) -> Result<Vec<Total>> {
    Ok(rows::of_environment(conn, environment, span).await?)
}
