//! Whether the database takes writes, as far as this process knows: what its statements met, and a probe where they say nothing.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Failure, Result};
use crate::clock::Stopwatch;

/// For how long it says something that a write was committed. With the time of a probe it is a second at the most until
/// it is known that there is no database any more.
const RECENT: Duration = Duration::from_millis(200);
/// Whoever waited in vain for a connection waited behind others, if statements succeeded within this time. Otherwise there was nobody to wait for.
const ANSWERED_RECENTLY: Duration = Duration::from_secs(2);

/// The last probe. It is locked while one runs, so that there is one at a time.
#[derive(Debug, Default)]
pub struct LastProbe(pub(super) tokio::sync::Mutex<Option<(Stopwatch, std::result::Result<(), Failure>)>>);

/// What is known.
#[derive(Debug)]
pub struct Health {
    since: Stopwatch,
    /// Milliseconds since `since`, as all of these. Zero: never.
    last_success: AtomicU64,
    last_commit: AtomicU64,
    /// Connections that were made before this moment are not used any more.
    discard_before: AtomicU64,
    /// Why the last write failed, if it failed.
    failure: Mutex<Option<Failure>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            since: Stopwatch::start(),
            last_success: AtomicU64::new(0),
            last_commit: AtomicU64::new(0),
            discard_before: AtomicU64::new(0),
            failure: Mutex::new(None),
        }
    }
}

impl Health {
    /// A statement succeeded or failed.
    pub(super) fn observe<T>(&self, outcome: &Result<T>) {
        match outcome.as_ref().map_err(Failure::of) {
            Ok(_) => self.last_success.store(self.now(), Ordering::Relaxed),
            Err(Some(Failure::Unavailable)) => {
                self.fail(Failure::Unavailable);
                self.discard_connections();
            }
            // A server that became read-only has most likely been replaced by another one.
            Err(Some(Failure::ReadOnly)) => {
                self.fail(Failure::ReadOnly);
                self.discard_connections();
            }
            Err(Some(Failure::Full)) => self.fail(Failure::Full),
            // One lock that is held says nothing of other writes.
            Err(Some(Failure::Overloaded) | None) => {}
        }
    }

    /// A transaction was committed: the database takes writes.
    pub(super) fn committed(&self) {
        self.last_commit.store(self.now(), Ordering::Relaxed);
        *self.failure() = None;
    }

    /// Writes fail.
    pub(super) fn fail(&self, failure: Failure) {
        *self.failure() = Some(failure);
    }

    /// Why writes fail, as far as they were tried.
    #[must_use]
    pub fn known_failure(&self) -> Option<Failure> {
        *self.failure()
    }

    /// Whether a write was committed a moment ago, and none has failed since.
    pub(super) fn is_writing(&self) -> bool {
        self.known_failure().is_none() && self.is_within(&self.last_commit, RECENT)
    }

    /// Whether statements have succeeded lately.
    pub(super) fn is_answering(&self) -> bool {
        self.is_within(&self.last_success, ANSWERED_RECENTLY)
    }

    /// No connection that there is now is used again.
    pub(super) fn discard_connections(&self) {
        self.discard_before.store(self.now(), Ordering::Relaxed);
    }

    /// Whether a connection of this age may be used.
    pub(super) fn may_use(&self, age: Duration) -> bool {
        self.now().saturating_sub(millis(age)) >= self.discard_before.load(Ordering::Relaxed)
    }

    fn is_within(&self, moment: &AtomicU64, time: Duration) -> bool {
        let moment = moment.load(Ordering::Relaxed);
        moment > 0 && self.now() - moment.min(self.now()) <= millis(time)
    }

    /// Never zero.
    fn now(&self) -> u64 {
        millis(self.since.elapsed()) + 1
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
