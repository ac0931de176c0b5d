//! Waiting: look again and again, and give up at a deadline. Nothing here sleeps and hopes.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

/// How long the edge may take to learn of a change. It takes about a second; a busy machine takes longer.
pub const CONVERGENCE: Duration = Duration::from_secs(30);

/// Between two looks.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Looks until there is something to see, and returns that. What is in its way (the error) is told when time is up.
///
/// # Panics
/// If it is not there in time.
#[track_caller]
pub fn eventually<T, E: Display>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Deadline::after(patience);
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(obstacle) if deadline.is_over() => {
                panic!("{what}: not within {} s; still: {obstacle}", patience.as_secs())
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// A moment after which waiting is given up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment that comes after so long.
    #[must_use]
    pub fn after(patience: Duration) -> Self {
        Self(moment() + patience)
    }

    /// Whether that moment has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        moment() >= self.0
    }
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[must_use]
    pub fn start() -> Self {
        Self(moment())
    }

    /// How long it has been.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// This moment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "real processes take real time; it is read here alone")]
pub fn moment() -> Instant {
    Instant::now()
}
