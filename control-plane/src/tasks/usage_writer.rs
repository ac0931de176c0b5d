//! The task that writes how often this process validated keys.
//!
//! A process that is killed loses what it counted since it last wrote, which is at most [`WRITE_INTERVAL`] and the time of one
//! attempt, if the database answers.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use shared::{entropy::Entropy, usage::Batch};
use tokio::{sync::watch, time::sleep};

use super::TaskContext;
use crate::{
    entropy::OsEntropy,
    service::{self, Database, usage},
};

/// How often what was counted is written.
pub const WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// A failure is logged when it is the first one, and then each so many.
const LOG_EACH: u32 = 12;

/// Writes what is counted until the sender of `stopped` is dropped. What was counted by then is still written.
pub async fn run(context: TaskContext, mut stopped: watch::Receiver<()>) {
    let usage = Arc::clone(&context.usage);
    let mut writer = Writer::new(context);
    loop {
        let is_stopping = tokio::select! {
            _ = stopped.changed() => true,
            // After a failure the database gets its rest, however many keys there are.
            () = usage.is_large(), if writer.failures == 0 => false,
            () = sleep(WRITE_INTERVAL) => false,
        };
        writer.turn().await;
        if is_stopping {
            return;
        }
    }
}

/// Writes what was counted, batch after batch.
struct Writer {
    context: TaskContext,
    database: Database,
    sender: String,
    number: u64,
    /// What could not be written yet. It keeps its number, because nobody knows what became of it.
    pending: Option<Batch>,
    failures: u32,
}

impl Writer {
    fn new(context: TaskContext) -> Self {
        let mut random = [0; 16];
        OsEntropy.fill(&mut random);
        let database = context.database();
        Self { context, database, sender: URL_SAFE_NO_PAD.encode(random), number: 0, pending: None, failures: 0 }
    }

    /// Writes all there is.
    async fn turn(&mut self) {
        match self.write().await {
            Ok(()) => self.failures = 0,
            Err(error) => {
                if self.failures.is_multiple_of(LOG_EACH) {
                    tracing::warn!(%error, "failed to write usage counts; will retry");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    async fn write(&mut self) -> service::Result<()> {
        while let Some(batch) = self.next() {
            let now = self.context.clock.now();
            match usage::apply(&self.database, &self.context.usage, &batch, now).await {
                Ok(counted) => {
                    let lost = counted.map_or(0, |counted| counted.lost);
                    self.context.metrics.usage.lost.inc_by(lost);
                }
                Err(error) => {
                    self.pending = Some(batch);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Batch> {
        self.pending.take().or_else(|| {
            let batch = self.context.usage.close(&self.sender, self.number + 1)?;
            self.number += 1;
            Some(batch)
        })
    }
}

/// What the task does every few seconds, for tests.
#[cfg(test)]
pub(crate) async fn write_once(context: TaskContext) {
    let mut writer = Writer::new(context);
    writer.turn().await;
    assert_eq!(writer.failures, 0);
}

#[cfg(test)]
mod tests;
