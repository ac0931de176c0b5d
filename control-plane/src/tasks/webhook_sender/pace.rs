//! How many attempts an endpoint gets at the same time.

use std::collections::HashMap;

use shared::{Timestamp, id::EnvironmentId};

/// The most attempts of one endpoint at the same time.
const WINDOW_MAX: usize = 16;
/// After so many failures in a row, there is a pause after each.
const FAILURES_MAX: u32 = 3;
/// The first pause, and the longest.
const PAUSE_MILLIS: i64 = 5_000;
const PAUSE_MAX_MILLIS: i64 = 5 * 60 * 1000;
/// How long an endpoint without attempts is remembered.
const REMEMBERED_MILLIS: i64 = 60 * 60 * 1000;
/// The most attempts at the same time of all endpoints that have proven themselves, and of all others.
const SLOTS: usize = 128;

/// How an endpoint does.
#[derive(Debug, Clone)]
pub struct Pace {
    environment: EnvironmentId,
    window: usize,
    in_progress: usize,
    /// In a row.
    failures: u32,
    paused_until: Timestamp,
    /// When a failure was counted last: attempts that had begun before that say nothing new.
    failed_at: Timestamp,
    used_at: Timestamp,
}

impl Pace {
    /// Of an endpoint of this environment, to which nothing was sent yet.
    pub fn new(environment: &EnvironmentId) -> Self {
        let (environment, never) = (environment.clone(), Timestamp::from_millis(0));
        Self {
            environment,
            window: 1,
            in_progress: 0,
            failures: 0,
            paused_until: never,
            failed_at: never,
            used_at: never,
        }
    }

    /// How many attempts may begin now.
    pub fn free(&self, now: Timestamp) -> usize {
        if now < self.paused_until { 0 } else { self.window.saturating_sub(self.in_progress) }
    }

    /// How many attempts are in progress.
    pub const fn in_progress(&self) -> usize {
        self.in_progress
    }

    /// An attempt begins.
    pub const fn begin(&mut self, now: Timestamp) {
        self.in_progress += 1;
        self.used_at = now;
    }

    /// Whether it is worth remembering.
    pub fn is_recent(&self, now: Timestamp) -> bool {
        self.in_progress > 0 || now < self.used_at.plus_millis(REMEMBERED_MILLIS)
    }

    /// An attempt has ended.
    pub const fn end(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    /// Takes the result of an attempt into account.
    pub fn observe(&mut self, is_success: bool, started_at: Timestamp, now: Timestamp) {
        if is_success {
            self.failures = 0;
            self.window = (self.window * 2).min(WINDOW_MAX);
            return;
        }
        if started_at < self.failed_at {
            return;
        }
        self.failed_at = now;
        self.failures = self.failures.saturating_add(1);
        self.window = (self.window / 2).max(1);
        if self.failures >= FAILURES_MAX {
            self.window = 1;
            let doubled = PAUSE_MILLIS.saturating_mul(1 << (self.failures - FAILURES_MAX).min(10));
            self.paused_until = now.plus_millis(doubled.min(PAUSE_MAX_MILLIS));
        }
    }

    const fn is_proven(&self) -> bool {
        self.window > 1
    }
}

/// How many attempts are in progress, of endpoints that have proven themselves and of others.
#[derive(Debug, Default)]
pub struct Slots {
    proven: HashMap<EnvironmentId, usize>,
    others: HashMap<EnvironmentId, usize>,
}

impl Slots {
    /// How many are free for an endpoint. An environment gets half of what other environments leave, so that its endpoints never
    /// take all, whether they are slow or dead.
    pub fn free(&self, pace: &Pace) -> usize {
        let taken = if pace.is_proven() { &self.proven } else { &self.others };
        let own = taken.get(&pace.environment).copied().unwrap_or_default();
        let elsewhere = taken.values().sum::<usize>() - own;
        SLOTS.saturating_sub(elsewhere).div_ceil(2).saturating_sub(own)
    }

    /// How many an endpoint may take, if so many want some.
    pub fn share(&self, pace: &Pace, endpoints: usize) -> usize {
        let free = self.free(pace);
        free.min((free / endpoints.max(1)).max(1))
    }

    /// An endpoint takes some.
    pub fn take(&mut self, pace: &Pace, count: usize) {
        let taken = if pace.is_proven() { &mut self.proven } else { &mut self.others };
        *taken.entry(pace.environment.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use shared::entropy::Repeating;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn pace(environment: u8) -> Pace {
        Pace::new(&EnvironmentId::generate(NOW, &mut Repeating(environment)))
    }

    fn observe(pace: &mut Pace, results: &[bool]) {
        for is_success in results {
            pace.observe(*is_success, NOW, NOW);
        }
    }

    #[test]
    fn window_grows_with_successes_and_shrinks_with_failures() {
        let mut pace = pace(1);
        assert_eq!(pace.free(NOW), 1);
        observe(&mut pace, &[true; 3]);
        assert_eq!(pace.free(NOW), 8);
        (0..5).for_each(|_| pace.begin(NOW));
        assert_eq!(pace.free(NOW), 3);
        observe(&mut pace, &[false]);
        assert_eq!(pace.free(NOW), 0);
    }

    #[test]
    fn endpoint_pauses_after_failures_in_a_row_and_never_after_single_ones() {
        let mut pace = pace(1);
        observe(&mut pace, &[false, false, true, false, false]);
        assert_eq!(pace.free(NOW), 1);
        observe(&mut pace, &[false; 2]);
        assert_eq!(pace.free(NOW), 0);
        assert_eq!(pace.free(NOW.plus_millis(PAUSE_MAX_MILLIS)), 1);
    }

    #[test]
    fn attempts_that_fail_together_count_as_one_failure() {
        let mut pace = pace(1);
        observe(&mut pace, &[true; 5]);
        let later = NOW.plus_millis(1000);
        (0..16).for_each(|_| pace.observe(false, NOW, later));
        assert_eq!(pace.free(later), 8);
    }

    #[test]
    fn dead_endpoints_leave_the_slots_of_proven_ones() {
        let (dead, mut healthy) = (pace(1), pace(1));
        observe(&mut healthy, &[true]);
        let mut slots = Slots::default();
        slots.take(&dead, slots.free(&dead));
        assert_eq!((slots.free(&dead), slots.free(&healthy)), (0, SLOTS / 2));
    }

    #[test]
    fn slow_and_dead_endpoints_leave_slots_to_other_environments() {
        for is_proven in [true, false] {
            let mut slots = Slots::default();
            for environment in 1..=7 {
                let mut pace = pace(environment);
                observe(&mut pace, &[is_proven]);
                assert_eq!(slots.free(&pace), SLOTS >> environment);
                slots.take(&pace, slots.free(&pace));
                assert_eq!(slots.free(&pace), 0);
            }
        }
    }
}
