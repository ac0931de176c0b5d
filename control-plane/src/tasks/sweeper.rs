//! Deletes rows that are older than their retention: usage counts, their senders, stored responses of creations, events and
//! webhook deliveries, and replaced webhook secrets. It also folds the names of organizations that an older server wrote, so that
//! search finds them.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use super::TaskContext;
use crate::storage::{self, events, idempotency, organizations, usage, webhook_deliveries, webhook_endpoints};

/// How often it is looked for.
const TURN_EACH: Duration = Duration::from_secs(60);
/// How many rows are forgotten at once, so that nobody waits long for the transaction.
const STEP: i64 = 1_000;
/// How many steps there are in a turn.
const STEPS: u32 = 60;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(100);
/// How often names are looked for that an older server wrote meanwhile.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);
/// How many of them are folded in one transaction.
const FOLD_STEP: i64 = 500;
/// A sender that told of nothing for so long tells nothing any more, and repeats nothing: a week.
const SENDER_GONE_MILLIS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Forgets until the sender of `stopped` is dropped.
pub async fn run(context: TaskContext, mut stopped: watch::Receiver<()>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = sweep(context.clone()) => {}
        () = fold_names(context) => {}
    }
}

async fn fold_names(context: TaskContext) {
    loop {
        match fold_names_once(&context, FOLD_STEP).await {
            Ok(0) => sleep(FOLD_INTERVAL).await,
            Ok(_) => sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(%error, "failed to prepare organization names for search; will retry");
                sleep(FOLD_INTERVAL).await;
            }
        }
    }
}

async fn fold_names_once(context: &TaskContext, limit: i64) -> storage::Result<usize> {
    let mut transaction = context.db.write().await?;
    let folded = organizations::fold_names(transaction.conn(), limit).await?;
    transaction.commit().await?;
    Ok(folded)
}

async fn sweep(context: TaskContext) {
    loop {
        if let Err(error) = turn(&context).await {
            tracing::warn!(%error, "failed to delete expired rows; will retry");
        }
        sleep(TURN_EACH).await;
    }
}

async fn turn(context: &TaskContext) -> storage::Result<()> {
    for _ in 0..STEPS {
        if step(context, STEP).await? == 0 {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Forgets so many rows of each table at the most, and returns how many it forgot.
pub(crate) async fn step(context: &TaskContext, limit: i64) -> storage::Result<u64> {
    let now = context.clock.now();
    let first = context.usage.retention.hours(now).first;
    let mut transaction = context.db.write().await?;
    let rows = usage::forget_before(transaction.conn(), first, limit).await?;
    let gone = now.plus_millis(-SENDER_GONE_MILLIS);
    let senders = usage::forget_senders(transaction.conn(), gone, limit).await?;
    let kept_until = now.plus_millis(-idempotency::KEPT_MILLIS);
    let answers = idempotency::forget(transaction.conn(), kept_until, limit).await?;
    transaction.commit().await?;
    let mut transaction = context.db.write().await?;
    let events = events::forget(transaction.conn(), &context.event_retention.first_id(now), limit).await?;
    let first = context.event_retention.first_delivery_id(now);
    let deliveries = webhook_deliveries::forget(transaction.conn(), &first, limit).await?;
    let endpoints = webhook_endpoints::forget(transaction.conn(), limit).await?;
    webhook_endpoints::forget_previous_secrets(transaction.conn(), now).await?;
    transaction.commit().await?;
    Ok(rows + senders + answers + events + deliveries + endpoints)
}
