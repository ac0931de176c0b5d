//! How many attempts an endpoint gets at the same time.

use shared::Timestamp;

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
const SLOTS: usize = 64;

/// How an endpoint does.
#[derive(Debug, Clone)]
pub struct Pace {
    window: usize,
    in_progress: usize,
    /// In a row.
    failures: u32,
    paused_until: Timestamp,
    /// When a failure was counted last: attempts that had begun before that say nothing new.
    failed_at: Timestamp,
    used_at: Timestamp,
}

impl Default for Pace {
    fn default() -> Self {
        let never = Timestamp::from_millis(0);
        Self { window: 1, in_progress: 0, failures: 0, paused_until: never, failed_at: never, used_at: never }
    }
}

impl Pace {
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

    /// An attempt was written.
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

/// How many attempts may begin, of endpoints that have proven themselves and of others.
#[derive(Debug)]
pub struct Slots {
    proven: usize,
    others: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self { proven: SLOTS, others: SLOTS }
    }
}

impl Slots {
    /// How many are free for an endpoint.
    pub const fn free(&self, pace: &Pace) -> usize {
        if pace.is_proven() { self.proven } else { self.others }
    }

    /// How many an endpoint may take, if so many want some.
    pub fn share(&self, pace: &Pace, endpoints: usize) -> usize {
        let free = self.free(pace);
        free.min((free / endpoints.max(1)).max(1))
    }

    /// An endpoint takes some.
    pub const fn take(&mut self, pace: &Pace, count: usize) {
        let slots = if pace.is_proven() { &mut self.proven } else { &mut self.others };
        *slots = slots.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn observe(pace: &mut Pace, results: &[bool]) {
        for is_success in results {
            pace.observe(*is_success, NOW, NOW);
        }
    }

    #[test]
    fn window_grows_with_successes_and_shrinks_with_failures() {
        let mut pace = Pace::default();
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
        let mut pace = Pace::default();
        observe(&mut pace, &[false, false, true, false, false]);
        assert_eq!(pace.free(NOW), 1);
        observe(&mut pace, &[false; 2]);
        assert_eq!(pace.free(NOW), 0);
        assert_eq!(pace.free(NOW.plus_millis(PAUSE_MAX_MILLIS)), 1);
    }

    #[test]
    fn attempts_that_fail_together_count_as_one_failure() {
        let mut pace = Pace::default();
        observe(&mut pace, &[true; 5]);
        let later = NOW.plus_millis(1000);
        (0..16).for_each(|_| pace.observe(false, NOW, later));
        assert_eq!(pace.free(later), 8);
    }

    #[test]
    fn dead_endpoints_leave_the_slots_of_proven_ones() {
        let (dead, mut healthy) = (Pace::default(), Pace::default());
        observe(&mut healthy, &[true]);
        let mut slots = Slots::default();
        slots.take(&dead, SLOTS);
        assert_eq!((slots.free(&dead), slots.free(&healthy)), (0, SLOTS));
    }
}
