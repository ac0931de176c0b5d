//! Child processes that never outlive the test that started them.
//!
//! Each leads its own process group, so that whatever it starts (wrangler starts workerd and esbuild) is ended with it.
//! Dropping a [`Process`] kills its group, also when a test panics. For the case in which nothing is dropped, because
//! the test program itself was killed, each has a watchdog: a shell that waits for the end of a pipe that we hold.

use std::{
    fmt,
    io::Read,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

pub use nix::sys::signal::Signal;
use nix::{sys::signal, unistd::Pid};

use crate::wait::{Deadline, PAUSE, eventually};

/// How much of its output is shown when a test fails.
const SHOWN: usize = 6_000;
const PATIENCE_WITH_ORPHANS: Duration = Duration::from_secs(2);
/// `-s` because to some shells `kill -KILL -- -1` is a mistake.
const WATCHDOG: &str = r#"read -r _; kill -s KILL -- "-$0""#;

/// A running process and all that it started.
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    watchdog: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts a command. Tests call it `name`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let spawned =
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let group = Pid::from_raw(child.id().try_into().expect("process ids have 31 bits"));
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, &group.to_string()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let stdout = Output::of(child.stdout.take());
        let stderr = Output::of(child.stderr.take());
        Self { name: name.to_owned(), child, group, watchdog, stdout, stderr }
    }

    /// Its process id, which is also that of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until there is something to see, as long as it runs.
    ///
    /// # Panics
    /// If it ends, or takes too long.
    #[track_caller]
    pub fn until<T>(&mut self, patience: Duration, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        eventually(patience, what, || {
            // In this order: what it did before it ended counts.
            let status = self.child.try_wait().expect("a child can be watched");
            match (look(self), status) {
                (Some(seen), _) => Ok(seen),
                (None, None) => Err("nothing"),
                (None, Some(status)) => panic!("{what}: {} ended before it ({status})", self.name),
            }
        })
    }

    /// Sends a signal to its whole group, as a terminal does.
    pub fn signal(&self, signal: Signal) {
        // An error means that there is none left to receive it.
        let _ = signal::killpg(self.group, signal);
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let status = eventually(patience, &format!("the end of {}", self.name), || {
            self.child.try_wait().expect("a child can be watched").ok_or("it runs")
        });
        self.stdout.finish();
        self.stderr.finish();
        status
    }

    /// Kills it and all that it started, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Its name and how its output ends.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stream, output) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let text = output.text();
            let start = text.floor_char_boundary(text.len().saturating_sub(SHOWN));
            writeln!(f, "--- {} of {} ---\n{}", stream, self.name, &text[start..])?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first, so that it never meets a group that got the same number later.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        self.kill();
        if thread::panicking() {
            eprintln!("{self:?}");
        }
    }
}

/// What a process writes, read as it comes, so that the process never waits for a reader.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = pipe.map(|mut pipe| {
            let bytes = Arc::clone(&bytes);
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                    bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..length]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits for the rest of what the ended process wrote. Whatever it left running may hold the pipe open for ever.
    fn finish(&self) {
        let deadline = Deadline::after(PATIENCE_WITH_ORPHANS);
        while !self.reader.as_ref().is_none_or(JoinHandle::is_finished) && !deadline.is_over() {
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Two processes in one group, of which the second says when it is there.
    fn two_sleepers() -> Process {
        let mut process =
            Process::start("two sleepers", Command::new("sh").args(["-c", "sleep 600 & echo; sleep 600"]));
        process.until(SOON, "it starts", |process| process.stdout().contains('\n').then_some(()));
        process
    }

    fn until_gone(group: Pid) {
        eventually(SOON, "nothing of the group is left", || match signal::killpg(group, None) {
            Err(_) => Ok(()),
            Ok(()) => Err("something is"),
        });
    }

    #[test]
    fn what_is_dropped_is_gone_with_all_that_it_started() {
        let process = two_sleepers();
        let group = process.group;
        drop(process);
        until_gone(group);
    }

    #[test]
    fn what_nobody_drops_ends_with_the_program_that_started_it() {
        let mut process = two_sleepers();
        // As the system does when we are killed.
        drop(process.watchdog.stdin.take());
        assert!(!process.wait(SOON).success());
        until_gone(process.group);
    }
}
