//! Child processes that never outlive us.
//!
//! Each child leads its own process group, so that whatever it starts (wrangler starts workerd and esbuild) is ended with
//! it. A [`Child`] ends its group when it is dropped, so every way out of a command, `?` included, cleans up. The
//! [`watchdog`] covers the one case in which nothing is dropped: that xtask itself is killed.

use std::{
    fs::File,
    io::{Read, Seek},
    os::unix::process::CommandExt,
    process::{self, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::{
    progress::{Deadline, tick},
    watchdog,
};

/// What a shell reports for a command that Ctrl-C ended.
pub const INTERRUPTED_EXIT_CODE: u8 = 130;
/// How long a child may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what it started may take after it.
const PATIENCE_WITH_ORPHANS: Duration = Duration::from_secs(2);

static STOP_REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// The error of a command that was asked to stop before it was done.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on Ctrl-C, SIGTERM and SIGHUP are requests to stop, which [`go_on`] reports.
pub fn listen_for_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        STOP_REQUESTS.fetch_add(1, Ordering::SeqCst);
    })
    .context("cannot listen for Ctrl-C")
}

/// An error once we were asked to stop; each loop that waits calls it.
pub fn go_on() -> Result<()> {
    if STOP_REQUESTS.load(Ordering::SeqCst) > 0 {
        bail!(Interrupted);
    }
    Ok(())
}

/// A running process and all that it started.
pub struct Child {
    name: String,
    process: process::Child,
    group: Pid,
    stop_with: Signal,
}

impl Child {
    /// Starts `command` as the leader of a new process group. `stop_with` is the signal that it ends upon in good order.
    pub fn start(name: &str, command: &mut Command, stop_with: Signal) -> Result<Child> {
        let process = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        let group = Pid::from_raw(process.id().try_into().context("the process id has more than 31 bits")?);
        let child = Child { name: name.to_owned(), process, group, stop_with };
        watchdog::guard(group, stop_with)?;
        Ok(child)
    }

    /// Its output, if it was started with a pipe for it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| format!("cannot watch {}", self.name))
    }

    /// Waits for it to end, or for us to be asked to stop.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            go_on()?;
            tick();
        }
    }

    /// Asks the whole group to end, and kills what does not.
    fn stop(&mut self) {
        // An error of a signal means that no process of the group is left, which is what we want.
        let _ = signal::killpg(self.group, self.stop_with);
        wait_patiently(PATIENCE, || matches!(self.process.try_wait(), Ok(None)));
        // What the child left behind is seldom alive: mostly the system has yet to notice that nobody waits for it.
        let group = self.group;
        wait_patiently(PATIENCE_WITH_ORPHANS, || signal::killpg(group, None).is_ok());
        let _ = signal::killpg(self.group, Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

/// Waits while `busy`, up to `limit`, or until Ctrl-C is pressed once more.
fn wait_patiently(limit: Duration, mut busy: impl FnMut() -> bool) {
    let deadline = Deadline::after(limit);
    let requests = STOP_REQUESTS.load(Ordering::SeqCst);
    while busy() && !deadline.is_over() && STOP_REQUESTS.load(Ordering::SeqCst) == requests {
        tick();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
        watchdog::release(self.group);
    }
}

/// Runs a command to its end. Its output is shown on our stderr, because our stdout is for results.
pub fn run(name: &str, command: &mut Command) -> Result<()> {
    let status = Child::start(name, command.stdout(std::io::stderr()), Signal::SIGTERM)?.wait()?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end whose results are ours: its stdout is our stdout.
pub fn run_shown(name: &str, command: &mut Command) -> Result<()> {
    let status = Child::start(name, command, Signal::SIGTERM)?.wait()?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Runs a command that answers soon, and returns what it wrote on stdout. Its stderr is shown only when it fails.
pub fn capture(name: &str, command: &mut Command) -> Result<String> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = Child::start(name, command, Signal::SIGTERM)?;
    let deadline = Deadline::after(Duration::from_secs(60));
    let status = loop {
        if let Some(status) = child.ended()? {
            break status;
        }
        if deadline.is_over() {
            bail!("{name} did not finish within a minute");
        }
        go_on()?;
        tick();
    };
    if !status.success() {
        bail!("{name} failed ({status}): {}", read_all(&mut stderr)?.trim());
    }
    read_all(&mut stdout)
}

/// Runs a command to its end, shows its stderr, and returns its stdout.
pub fn run_for_output(name: &str, command: &mut Command) -> Result<String> {
    let mut stdout = tempfile::tempfile()?;
    let status = Child::start(name, command.stdout(stdout.try_clone()?), Signal::SIGTERM)?.wait()?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    read_all(&mut stdout)
}

fn read_all(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
