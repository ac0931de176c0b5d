//! How much an isolate keeps, and for how long it relies on it.

use crate::feed;

/// How long a lease lasts, unless it is configured otherwise: L.
pub const LEASE_MILLIS: i64 = 2_000;
/// By how much a lease ends early: clocks may step so far without being noticed.
pub const CLOCK_MARGIN_MILLIS: i64 = 100;

/// The bounds of an isolate, in milliseconds and in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// L.
    pub lease: i64,
    /// By how much the lease ends early.
    pub margin: i64,
    /// How long a poll may be under way before another one may begin.
    pub poll: i64,
    /// R: from which age on a record is not decided on.
    pub record_age: i64,
    /// The most decoded records, …
    pub records: usize,
    /// … and the most bytes that they take together, roughly.
    pub record_bytes: usize,
    /// The most keys that are known not to exist.
    pub absences: usize,
    /// For how long that is believed: KV may have said so only because it did not know better yet.
    pub absence_age: i64,
    /// The most floors and scopes.
    pub floors: usize,
    /// How long an isolate that has too many of them refuses to work before it tries again.
    pub overflow_pause: i64,
    /// How often one caller may ask the feed for keys that nobody knows: one question in so many milliseconds, …
    pub question_interval: i64,
    /// … and so many at once.
    pub question_burst: i64,
}

impl Limits {
    /// Those of the Worker, for this L.
    #[must_use]
    pub const fn with_lease(lease: i64) -> Self {
        Self {
            lease,
            margin: CLOCK_MARGIN_MILLIS,
            poll: 1_000,
            record_age: feed::RECORD_AGE_MILLIS,
            records: 10_000,
            record_bytes: 32_000_000,
            absences: 10_000,
            absence_age: 60_000,
            floors: 500_000,
            overflow_pause: 60_000,
            question_interval: 20,
            question_burst: 100,
        }
    }
}
