//! The task that keeps the change feed up to date while the server runs.
//!
//! Callers that wait for their change notify it. Each second it also queries the database for changes that were
//! committed and not appended: by a process that was killed in between, or without a caller that waits. While one
//! append is in progress, it collects changes for the next one. If there is nothing to append for a while, it requests
//! the feed's state.

use std::{collections::HashSet, sync::Arc, time::Duration};

use shared::feed::APPEND_MAX;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use super::TaskContext;
use crate::{
    config::EdgeConfig,
    edge::{
        acknowledge::{EdgeLink, Seen, Waiters},
        changes::Subject,
        feeder::{Ahead, Fed, Feeder, NotFed},
    },
};

/// How often the database is looked at.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// After so many looks in a row without anything to append the feed is asked how it is.
const LOOKS_BETWEEN_HEARTBEATS: u32 = 3;
/// The fewest changes that one append may have, however many of them failed.
const FEWEST: usize = 10;
/// The pause after a first failure. It doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: shorter than what a caller waits, so that every wait has several attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A failure is logged when it is the first one, and then each so many.
const LOG_EACH: u32 = 30;

/// What feeds the feed.
#[derive(Debug)]
pub struct Pump {
    context: TaskContext,
    feeder: Feeder,
    waiters: Waiters,
    failures: u32,
    /// How many changes one append may have. A line that is too slow for many carries fewer.
    limit: usize,
    /// Looks since the feed was last spoken to.
    quiet_looks: u32,
}

/// Gives a server its edge: the server that tells its callers when the edge has what they changed, the pump that has to run
/// for that, and the keys of which that meets something newer in the feed than in the database.
///
/// # Errors
/// If the edge's settings are wrong.
pub fn connect(
    context: TaskContext,
    edge: EdgeConfig,
) -> anyhow::Result<(TaskContext, Pump, mpsc::Receiver<Vec<Ahead>>)> {
    let feeder = Feeder::new(edge, context.db.clone(), context.clock.clone())?;
    let (link, ends) = EdgeLink::new(feeder.client().clone(), context.db.clone(), Arc::clone(&context.metrics));
    let context = context.with_edge(link);
    Ok((context.clone(), Pump::new(context, feeder, ends.waiters), ends.ahead))
}

impl Pump {
    /// A pump for those who wait.
    #[must_use]
    pub const fn new(context: TaskContext, feeder: Feeder, waiters: Waiters) -> Self {
        Self { context, feeder, waiters, failures: 0, limit: APPEND_MAX, quiet_looks: 0 }
    }

    /// Pumps until the sender of `stopped` is dropped. What is under way then is left as it is: the next process that
    /// looks takes it up.
    pub async fn run(mut self, mut stopped: watch::Receiver<()>) {
        tokio::select! {
            _ = stopped.changed() => {}
            () = self.pump() => {}
        }
    }

    async fn pump(&mut self) {
        let mut looks = interval(LOOK_EACH);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = tokio::select! {
                () = self.waiters.come() => false,
                _ = looks.tick() => true,
            };
            let pause = self.turn(look).await;
            sleep(pause).await;
        }
    }

    /// Appends what there is, and returns how long to do nothing then.
    async fn turn(&mut self, look: bool) -> Duration {
        loop {
            match self.append(look).await {
                // There may be more of what the look found.
                Ok(true) => self.succeed(),
                Ok(false) => {
                    self.succeed();
                    return Duration::ZERO;
                }
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Appends once. `true` if there may be more to append.
    async fn append(&mut self, look: bool) -> Result<bool, NotFed> {
        let mut subjects = self.waiters.subjects();
        let mut is_all = subjects.len() <= self.limit;
        subjects.truncate(self.limit);
        let room = self.limit - subjects.len();
        if look {
            let found = self.feeder.unfed(room).await?;
            is_all &= found.len() < room;
            let known: HashSet<Subject> = subjects.iter().cloned().collect();
            subjects.extend(found.into_iter().filter(|subject| !known.contains(subject)));
            self.quiet_looks += 1;
        }
        if subjects.is_empty() && self.quiet_looks < LOOKS_BETWEEN_HEARTBEATS {
            return Ok(false);
        }
        let mut fed = self.feeder.feed(&subjects).await?;
        fed.is_all &= is_all;
        self.quiet_looks = 0;
        let has_news = fed.held.len() > fed.ahead.len();
        if !fed.held.is_empty() {
            tracing::debug!(changes = fed.held.len(), "appended changes to the change feed");
            self.context.metrics.feed.appended.inc_by(fed.held.len() as u64);
            // The store may now be told as well.
            self.context.wakes.publisher.notify();
        }
        let is_all = fed.is_all;
        self.see(fed);
        // Without any news the same ones would be found again, and again.
        Ok(look && !is_all && has_news)
    }

    fn see(&mut self, fed: Fed) {
        self.waiters.answer(&fed);
        let Some(link) = &self.context.edge else { return };
        link.see(Seen::Answered(fed.status));
        if !fed.ahead.is_empty() {
            link.report_ahead(fed.ahead);
        }
    }

    fn succeed(&mut self) {
        if self.failures >= LOG_EACH {
            tracing::info!("appending to the change feed works again");
        }
        self.failures = 0;
        self.limit = (self.limit * 2).min(APPEND_MAX);
    }

    fn fail(&mut self, error: &NotFed) -> Duration {
        self.context.metrics.feed.append_failures.inc();
        if self.failures.is_multiple_of(LOG_EACH) {
            tracing::warn!(%error, "failed to append to the change feed; will retry");
        }
        if let Some(link) = &self.context.edge {
            link.see(Seen::Failed(error.to_string()));
        }
        self.quiet_looks = LOOKS_BETWEEN_HEARTBEATS;
        self.limit = (self.limit / 2).max(FEWEST);
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(10)));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST_PAUSE)
    }
}

impl Waiters {
    /// Waits for the next ones.
    async fn come(&mut self) {
        if !self.taken.is_empty() {
            return;
        }
        if self.queue.recv_many(&mut self.taken, APPEND_MAX).await == 0 {
            // Nobody can come any more; the pump goes on for those who come to other processes.
            std::future::pending::<()>().await;
        }
    }

    /// What those who still wait are waiting for.
    fn subjects(&mut self) -> Vec<Subject> {
        let room = APPEND_MAX.saturating_sub(self.taken.len());
        for _ in 0..room {
            let Ok(waiter) = self.queue.try_recv() else { break };
            self.taken.push(waiter);
        }
        self.taken.retain(|waiter| !waiter.done.is_closed());
        let mut seen = HashSet::new();
        let subjects = self.taken.iter().map(|waiter| &waiter.change.subject);
        subjects.filter(|subject| seen.insert(*subject)).cloned().collect()
    }

    /// Tells those whose change the feed holds. If not all was appended, the others stay; otherwise the database will tell
    /// them.
    fn answer(&mut self, fed: &Fed) {
        let mut left = vec![];
        for waiter in self.taken.drain(..) {
            match fed.held.get(&waiter.change.subject) {
                Some(held) if held.covers(waiter.change.version) => {
                    let _ = waiter.done.send(());
                }
                None if !fed.is_all => left.push(waiter),
                _ => {}
            }
        }
        self.taken = left;
    }
}

#[cfg(test)]
mod tests;
