//! Rebuilds Workers KV from the database.
//!
//! Every key is put into the outbox again, in order of id, and the outbox is flushed as the publisher does. The
//! progress is recorded in the same transaction, so an interrupted rebuild resumes where it stopped, and what it had
//! queued by then is published in any case.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use shared::{Timestamp, feed::APPEND_MAX};
use tokio::time::sleep;

use super::{
    feeder::{Feeder, NotFed},
    flush::{Flushed, Flusher, SETTLE},
    kv::{self, Kv},
    verify,
};
use crate::{
    clock::Clock,
    storage::{
        Db, edge_sync,
        outbox::{self, Kind, Route},
    },
};

/// How many keys are queued at once.
const PAGE: usize = 10_000;
/// An interrupted rebuild that is older than this begins anew: nobody remembers it.
const RESUMABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// After so many flushes in a row that failed it gives up.
const PATIENCE: u32 = 8;

/// Where a rebuild begins.
#[derive(Debug, Default)]
pub struct Start {
    cursors: [String; Kind::EVERY.len()],
    /// How many keys are to be written.
    pub keys: u64,
    /// When the rebuild that this one goes on with was interrupted.
    pub resumes: Option<Timestamp>,
}

/// What a rebuild did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Keys that it queued.
    pub queued: u64,
    /// Records that it wrote. `serve` may have written others.
    pub written: u64,
    /// Records that still wait in the outbox.
    pub waiting: u64,
}

/// Finds out where to begin.
///
/// # Errors
/// If the database fails.
pub async fn start(db: &Db, clock: &Clock, namespace: &str, restart: bool) -> anyhow::Result<Start> {
    if restart {
        forget(db, namespace).await?;
    }
    let mut start = Start::default();
    let mut reader = db.read().await?;
    for (kind, cursor) in Kind::EVERY.into_iter().zip(&mut start.cursors) {
        let progress = edge_sync::progress(reader.conn(), namespace, kind).await?;
        let oldest = clock.now().plus_millis(-i64::try_from(RESUMABLE_FOR.as_millis())?);
        if let Some(progress) = progress.filter(|progress| progress.updated_at >= oldest) {
            *cursor = progress.cursor;
            start.resumes = start.resumes.max(Some(progress.updated_at));
        }
        start.keys += u64::try_from(edge_sync::count_after(reader.conn(), kind, cursor).await?)?;
    }
    Ok(start)
}

/// Rebuilds the store, and reports after each step how many keys it is through with.
///
/// # Errors
/// If the database or KV fails. It can be resumed then.
pub async fn run(
    db: &Db,
    clock: &Clock,
    feeder: &mut Feeder,
    flusher: &mut Flusher,
    namespace: &str,
    start: Start,
    mut report: impl FnMut(u64),
) -> anyhow::Result<Rebuilt> {
    let mut rebuilt = Rebuilt::default();
    // What the feed must be told of first would not go to the store otherwise, if no server runs beside this.
    warn_unless_fed(feed_all(feeder).await);
    for (kind, mut cursor) in Kind::EVERY.into_iter().zip(start.cursors) {
        while let Some(queued) = queue_page(db, clock, namespace, kind, &mut cursor).await? {
            let before = rebuilt.queued;
            rebuilt.queued += queued;
            // Besides this page, what others queued is written too.
            rebuilt.written += drain(flusher, |written| report(before + written.min(queued))).await?;
            report(rebuilt.queued);
        }
    }
    rebuilt.waiting = outlast(db, clock, feeder, flusher, &mut rebuilt.written).await?;
    forget(db, namespace).await?;
    Ok(rebuilt)
}

/// Waits for what other processes have in hand, or had when they were killed, and returns how much waits nevertheless.
async fn outlast(
    db: &Db,
    clock: &Clock,
    feeder: &mut Feeder,
    flusher: &mut Flusher,
    written: &mut u64,
) -> anyhow::Result<u64> {
    let deadline = clock.now().plus_millis(i64::try_from(2 * SETTLE.as_millis())?);
    loop {
        let now = clock.now();
        let backlog = outbox::backlog(db.read().await?.conn(), now).await?;
        if backlog.depth == 0 || now >= deadline {
            return Ok(u64::try_from(backlog.depth)?);
        }
        if let Err(error) = feed_all(feeder).await {
            // Only the feed holds these up, and it does not look as if it would not.
            if !outbox::any_past_feed(db.read().await?.conn()).await? {
                warn_unless_fed(Err(error));
                return Ok(u64::try_from(backlog.depth)?);
            }
        }
        sleep(flusher.pause()).await;
        *written += drain(flusher, |_| ()).await?;
    }
}

/// Tells the feed all that it must be told.
async fn feed_all(feeder: &mut Feeder) -> Result<(), NotFed> {
    loop {
        let unfed = feeder.unfed(APPEND_MAX).await?;
        if unfed.is_empty() {
            return Ok(());
        }
        let fed = feeder.feed(&unfed).await?;
        if fed.held.len() == fed.ahead.len() {
            // The database is older than the feed. `latchkey serve` brings it up.
            return Ok(());
        }
    }
}

fn warn_unless_fed(fed: Result<(), NotFed>) {
    if let Err(error) = fed {
        tracing::warn!(%error, "failed to append changes to the change feed; their records wait for it");
    }
}

async fn queue_page(
    db: &Db,
    clock: &Clock,
    namespace: &str,
    kind: Kind,
    cursor: &mut String,
) -> anyhow::Result<Option<u64>> {
    let now = clock.now();
    let mut transaction = db.write().await?;
    let keys = edge_sync::versions_after(transaction.conn(), kind, cursor, i64::try_from(PAGE)?).await?;
    let Some(last) = keys.last() else { return Ok(None) };
    outbox::add_all(transaction.conn(), kind, &keys, Route::StoreOnly, now).await?;
    edge_sync::set_progress(transaction.conn(), namespace, kind, &last.id, now).await?;
    transaction.commit().await?;
    cursor.clone_from(&last.id);
    Ok(Some(u64::try_from(keys.len())?))
}

/// Flushes until nothing is due, and returns how many records it wrote.
async fn drain(flusher: &mut Flusher, mut report: impl FnMut(u64)) -> anyhow::Result<u64> {
    let (mut written, mut failures) = (0, 0);
    loop {
        let failure = match flusher.flush().await? {
            Flushed::Nothing => return Ok(written),
            Flushed::Written { written: more, .. } => {
                written += u64::try_from(more)?;
                report(written);
                None
            }
            Flushed::Failed(error) => Some(anyhow!(error)),
            Flushed::TooLate => Some(anyhow!("reading the records from the database took too long")),
        };
        failures = if failure.is_some() { failures + 1 } else { 0 };
        match failure {
            Some(error) if failures == PATIENCE => {
                return Err(error.context("gave up; run this command again to resume"));
            }
            Some(error) => {
                tracing::warn!(%error, retry_in = ?flusher.pause(), "failed to write records to Workers KV; will \
                                                                     retry");
            }
            None => {}
        }
        sleep(flusher.pause()).await;
    }
}

async fn forget(db: &Db, namespace: &str) -> anyhow::Result<()> {
    let mut transaction = db.write().await?;
    edge_sync::forget_progress(transaction.conn(), namespace).await?;
    transaction.commit().await?;
    Ok(())
}

/// Removes from the store what the database does not know, and returns how many there were.
///
/// # Errors
/// If the database or KV fails, or the database knows no key at all and so is hardly the right one.
pub async fn prune(db: &Db, kv: &Kv) -> anyhow::Result<u64> {
    let mut is_empty = true;
    for kind in Kind::EVERY {
        is_empty &= edge_sync::versions_after(db.read().await?.conn(), kind, "", 1).await?.is_empty();
    }
    ensure!(!is_empty, "the database has no keys, so every record would be removed; check database_url");
    let mut removed = 0;
    let mut listing = verify::Unknown::new(db, kv);
    while let Some(unknown) = listing.next_page().await? {
        for names in unknown.chunks(kv::DELETE_LIMIT) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let unsuccessful = kv.delete(&names).await?;
            ensure!(
                unsuccessful.is_empty(),
                "KV failed to delete {} records; run this command again",
                unsuccessful.len()
            );
            removed += u64::try_from(names.len())?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
