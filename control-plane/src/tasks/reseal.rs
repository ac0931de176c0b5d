//! Reseals every record before it is too old to decide on.
//!
//! The edge does not decide on a record that was sealed more than R ago ([`RECORD_AGE_MILLIS`]), because the change
//! feed no longer has all changes since then. So each key that is not revoked is resealed at half that age: nine writes
//! of a key in a month. A tombstone is valid at any age, so revoked keys are not resealed.
//!
//! Keys that were sealed together age together, a million of them after a rebuild. One page of them is queued in each
//! [`TURN_EACH`], so that the writes are spread evenly, and more so the next time. Records that the edge cannot use, or
//! soon could not, are queued faster: those that are late because no server ran, and those that KV never got.

use std::time::Duration;

use shared::{
    Timestamp,
    feed::{KEPT_MILLIS, RECORD_AGE_MILLIS},
};
use tokio::{sync::watch, time::sleep};

use super::TaskContext;
use crate::storage::{
    self, Conn, Priority, feed,
    outbox::{self, Kind},
    reseal,
};

/// The age at which a record is sealed anew.
pub const RESEALED_AFTER_MILLIS: i64 = RECORD_AGE_MILLIS / 2;
/// The age of a record from which on something is wrong.
pub const LATE_AFTER_MILLIS: i64 = RESEALED_AFTER_MILLIS + 24 * 60 * 60 * 1000;
/// How often a page of old records is looked for. A million keys take eight hours then, at 33 in a second.
pub const TURN_EACH: Duration = Duration::from_secs(30);
/// The same, while there is something to hurry.
const HURRIED_TURN_EACH: Duration = Duration::from_secs(1);
/// How many keys of a kind are queued at once.
const PAGE: i64 = 1_000;
/// While so many rows wait in the outbox, what people change comes first.
const BACKLOG_MAX: i64 = 10_000;

/// Queues what grows old until the sender of `stopped` is dropped.
pub async fn run(context: TaskContext, mut stopped: watch::Receiver<()>) {
    loop {
        let pause = turn(&context).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to queue keys to be resealed; will retry");
            TURN_EACH
        });
        tokio::select! {
            _ = stopped.changed() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Queues one page of each kind, and returns how long to do nothing then.
async fn turn(context: &TaskContext) -> storage::Result<Duration> {
    let now = context.clock.now();
    let mut transaction = context.db.write_as(Priority::Publisher).await?;
    feed::remove_scopes(transaction.conn(), now.plus_millis(-KEPT_MILLIS), false).await?;
    let oldest = reseal::oldest_seal(transaction.conn()).await?;
    let backlog = outbox::backlog(transaction.conn(), now).await?;
    let mut queued = Queued::default();
    if backlog.depth < BACKLOG_MAX {
        for kind in Kind::EVERY {
            queued.add(queue(transaction.conn(), kind, now).await?);
        }
    }
    transaction.commit().await?;
    let age = oldest.map_or(0, |oldest| (now.as_millis() - oldest.as_millis()).max(0) / 1000);
    context.metrics.oldest_seal_age.set(age);
    if queued.in_time + queued.late > 0 {
        tracing::debug!(in_time = queued.in_time, late = queued.late, "queued records to be resealed");
        context.wakes.publisher.notify();
    }
    Ok(if queued.late > 0 { HURRIED_TURN_EACH } else { TURN_EACH })
}

/// How many keys were queued.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Queued {
    in_time: u64,
    late: u64,
}

impl Queued {
    const fn add(&mut self, more: Self) {
        self.in_time += more.in_time;
        self.late += more.late;
    }
}

async fn queue(mut conn: Conn<'_>, kind: Kind, now: Timestamp) -> storage::Result<Queued> {
    let late = reseal::queue_never_sealed(conn.reborrow(), kind, PAGE, now).await?
        + queue_older(conn.reborrow(), kind, LATE_AFTER_MILLIS, now).await?;
    let in_time = queue_older(conn, kind, RESEALED_AFTER_MILLIS, now).await?;
    Ok(Queued { in_time, late })
}

async fn queue_older(conn: Conn<'_>, kind: Kind, age_millis: i64, now: Timestamp) -> storage::Result<u64> {
    reseal::queue_sealed_before(conn, kind, now.plus_millis(-age_millis), PAGE, now).await
}

#[cfg(test)]
mod tests;
