//! Prints progress, measures time and waits. Only this module of xtask reads the clock.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

const TICK: Duration = Duration::from_millis(25);

/// Writes a line to stderr, in one piece: others write there too, and wrangler takes each piece for a line.
pub fn say(line: impl std::fmt::Display) {
    // When nobody can read it any more, the work goes on all the same.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Names a step on stderr, does it, and says how long it took. What fails inside says so by its own error.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(format!("==> {what}"));
    let watch = Stopwatch::start();
    let outcome = work()?;
    say(format!("    done in {}", watch.elapsed()));
    Ok(outcome)
}

/// Measures how long something takes.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Stopwatch {
        Stopwatch(now())
    }

    /// The time since the start, as people write it: `0.4 s`.
    pub fn elapsed(&self) -> String {
        format!("{:.1} s", self.0.elapsed().as_secs_f64())
    }
}

/// A moment after which waiting is given up.
pub struct Deadline(Instant);

impl Deadline {
    /// The moment that comes after `limit`.
    pub fn after(limit: Duration) -> Deadline {
        Deadline(now() + limit)
    }

    /// Whether that moment has come.
    pub fn is_over(&self) -> bool {
        now() >= self.0
    }
}

/// Sleeps for one round of a loop that polls.
pub fn tick() {
    thread::sleep(TICK);
}

#[expect(clippy::disallowed_methods, reason = "xtask waits for real processes, in real time, and here alone")]
fn now() -> Instant {
    Instant::now()
}
