//! What commands that run until they are stopped have in common: colours, local time, messages, and how they end.

use std::{
    env,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    time::Duration,
};

use jiff::tz::TimeZone;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shared::Timestamp;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use crate::text::reorders_text;

/// How often a command that waits checks whether anybody still reads its output.
const READER_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Prints a message to standard error. Unlike `eprintln!`, it does not panic if standard error is closed.
pub(super) fn print_message(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Runs until the work fails, or until SIGINT or SIGTERM, which end it without an error.
///
/// The work is a task of its own: a reader of the output that has stopped reading, such as a pager, can block it in a
/// write, and Ctrl-C must end the process all the same.
pub(super) async fn run_until_interrupted(
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        result = tokio::spawn(work) => result?,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Waits. Returns early, with the error of a write, if nobody reads standard output any more.
///
/// Without the check, `latchkey events tail | head -1` would not end before the second event.
pub(super) async fn wait(duration: Duration) -> io::Result<()> {
    let mut left = duration;
    loop {
        if is_closed(&io::stdout()) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if left.is_zero() {
            return Ok(());
        }
        let step = left.min(READER_CHECK_INTERVAL);
        sleep(step).await;
        left -= step;
    }
}

fn is_closed(output: &impl AsFd) -> bool {
    // Errors are reported whether they are asked for or not.
    let mut descriptors = [PollFd::new(output.as_fd(), PollFlags::empty())];
    let is_polled = poll(&mut descriptors, PollTimeout::ZERO).is_ok();
    let events = descriptors[0].revents().unwrap_or(PollFlags::empty());
    is_polled && events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP)
}

/// How text on standard output is coloured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    has_colours: bool,
}

/// The colours that commands use, by their code in ECMA-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Palette {
    /// Colours on a terminal only, and not if NO_COLOR is set (<https://no-color.org>).
    pub(super) fn of_stdout() -> Self {
        let refuses = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { has_colours: io::stdout().is_terminal() && !refuses && !is_dumb }
    }

    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        self.with_code(colour as u8, text)
    }

    /// For what is less important than the rest of the line.
    pub(super) fn dim(self, text: &str) -> String {
        self.with_code(2, text)
    }

    fn with_code(self, code: u8, text: &str) -> String {
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Shows times in the time zone of this machine.
#[derive(Debug, Clone)]
pub(super) struct LocalTime(TimeZone);

impl LocalTime {
    /// The zone that TZ or the operating system names, or UTC.
    pub(super) fn of_system() -> Self {
        Self(TimeZone::system())
    }

    /// `11-02 14:03:22`. Events are kept for weeks, so the year would tell nothing.
    pub(super) fn date_and_time(&self, at: Timestamp) -> String {
        self.format(at, "%m-%d %H:%M:%S")
    }

    /// `14:03:22`.
    pub(super) fn time(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S")
    }

    fn format(&self, at: Timestamp, format: &str) -> String {
        let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
        at.to_zoned_datetime(self.0.clone()).strftime(format).to_string()
    }
}

/// The text without characters that change what a terminal shows elsewhere. Names and responses come from others.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || reorders_text(c) { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) const UTC: LocalTime = LocalTime(TimeZone::UTC);
    pub(in crate::cli) const PLAIN: Palette = Palette { has_colours: false };
    pub(in crate::cli) const COLOURED: Palette = Palette { has_colours: true };

    #[test]
    fn local_time_follows_the_time_zone_and_its_daylight_saving() {
        let zone = |text: &str| LocalTime(TimeZone::posix(text).unwrap());
        let (winter, summer) = ("2026-01-15T12:30:05.999Z", "2026-07-15T23:30:05Z");
        let [winter, summer] = [winter, summer].map(|text| Timestamp::parse(text).unwrap());
        let berlin = zone("CET-1CEST,M3.5.0,M10.5.0/3");
        assert_eq!(berlin.date_and_time(winter), "01-15 13:30:05");
        assert_eq!(berlin.date_and_time(summer), "07-16 01:30:05");
        assert_eq!(zone("UTC0").time(summer), "23:30:05");
    }

    #[test]
    fn only_a_palette_with_colours_writes_escape_sequences() {
        assert_eq!(PLAIN.paint(Colour::Red, "x"), "x");
        assert_eq!(COLOURED.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!((PLAIN.dim("x"), COLOURED.dim("x")), ("x".to_owned(), "\x1b[2mx\x1b[0m".to_owned()));
    }

    #[test]
    fn characters_that_control_a_terminal_are_replaced() {
        assert_eq!(printable("a\x1b[2J\u{9b}\n\u{202E}é"), "a\u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD}é");
    }

    #[test]
    fn pipe_is_closed_once_its_reader_is_gone() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_closed(&writer));
        drop(reader);
        assert!(is_closed(&writer));
    }
}
