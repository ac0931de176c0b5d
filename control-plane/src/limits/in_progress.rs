//! How many requests of one caller are in progress at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The caller has as many requests in progress as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyInProgress;

/// Counts the requests in progress of each caller. It remembers only callers that have one, so it is never larger than
/// the number of requests that the server is working on.
#[derive(Debug)]
pub(crate) struct InProgress<Who: Eq + Hash> {
    max: usize,
    counts: Mutex<HashMap<Who, usize>>,
}

/// The place of one request among those of its caller. Dropping it makes room for the next one, so it is freed however
/// the request ends: with a response, an error, a timeout, a panic, or a client that went away.
#[derive(Debug)]
pub(crate) struct InProgressGuard<Who: Copy + Eq + Hash> {
    who: Who,
    counted: Arc<InProgress<Who>>,
}

impl<Who: Copy + Eq + Hash> InProgress<Who> {
    /// `None` if there is no bound.
    pub(crate) fn new(max: usize) -> Option<Arc<Self>> {
        (max > 0).then(|| Arc::new(Self { max, counts: Mutex::default() }))
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, who: Who) -> Result<InProgressGuard<Who>, TooManyInProgress> {
        let mut counts = self.lock();
        let count = counts.entry(who).or_insert(0);
        if *count >= self.max {
            return Err(TooManyInProgress);
        }
        *count += 1;
        Ok(InProgressGuard { who, counted: Arc::clone(self) })
    }

    /// Nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, HashMap<Who, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn callers(&self) -> usize {
        self.lock().len()
    }

    #[cfg(test)]
    pub(crate) fn requests(&self) -> usize {
        self.lock().values().sum()
    }
}

impl<Who: Copy + Eq + Hash> Drop for InProgressGuard<Who> {
    fn drop(&mut self) {
        let mut counts = self.counted.lock();
        if let Some(count) = counts.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_the_bound_are_refused_until_one_ends() {
        let in_progress = InProgress::new(2).unwrap();
        let first = in_progress.begin(1).unwrap();
        let _second = in_progress.begin(1).unwrap();
        assert_eq!(in_progress.begin(1).unwrap_err(), TooManyInProgress);
        let other = in_progress.begin(2).unwrap();
        drop(first);
        let _third = in_progress.begin(1).unwrap();
        assert_eq!(in_progress.begin(1).unwrap_err(), TooManyInProgress);
        assert_eq!(in_progress.callers(), 2);
        drop(other);
        assert_eq!(in_progress.callers(), 1, "who has none is forgotten");
        assert!(InProgress::<u8>::new(0).is_none());
    }
}
