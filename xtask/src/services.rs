//! Services: child processes that run until xtask ends, each with a log file.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::{
    children::{Child, go_on},
    progress::{self, Deadline},
};

/// Often enough that nobody notices, seldom enough to leave the processor to those that we wait for.
const PAUSE: Duration = Duration::from_millis(100);

/// How a service is run.
pub struct Plan {
    /// What messages call it.
    pub name: &'static str,
    /// The signal upon which it ends in good order.
    pub stop_with: Signal,
    /// Where its output goes; the file begins anew.
    pub log: PathBuf,
    /// Show the output on our stderr as well.
    pub verbose: bool,
    /// Words in the log that mean that it is of no use any more, although it still runs.
    pub dead_when: Option<&'static str>,
}

/// A running service.
pub struct Service {
    plan: Plan,
    child: Child,
    output: Lines,
}

impl Service {
    /// Starts it.
    pub fn start(plan: Plan, command: &mut Command) -> Result<Service> {
        let cannot = || format!("cannot write {}", plan.log.display());
        let log = File::create(&plan.log).with_context(cannot)?;
        let output = Lines::of(File::open(&plan.log).with_context(cannot)?);
        command.stdout(log.try_clone()?).stderr(log);
        let child = Child::start(plan.name, command, plan.stop_with)?;
        Ok(Service { plan, child, output })
    }

    /// Shows what is new in the log, if it is to be shown; an error if the service has come to its end.
    fn check(&mut self) -> Result<()> {
        let mut is_dead = false;
        for line in self.output.new_lines()? {
            is_dead |= self.plan.dead_when.is_some_and(|words| line.contains(words));
            if self.plan.verbose {
                progress::say(format!("[{}] {line}", self.plan.name));
            }
        }
        let how = match self.child.ended()? {
            Some(status) => status.to_string(),
            None if is_dead => "according to its log".to_owned(),
            None => return Ok(()),
        };
        let (name, log) = (self.plan.name, &self.plan.log);
        let (path, end) = (log.display(), tail(log));
        bail!("{name} stopped unexpectedly ({how}). The end of its log, {path}:\n{end}");
    }
}

/// An error that shows the end of its log if one of the services has come to its end.
pub fn check(services: &mut [Service]) -> Result<()> {
    services.iter_mut().try_for_each(Service::check)
}

/// Waits until `ready` says so. An error if one of `services` dies, if we are asked to stop, or if it takes too long.
pub fn wait_until(
    what: &str,
    limit: Duration,
    services: &mut [Service],
    mut ready: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Deadline::after(limit);
    while !ready() {
        check(services)?;
        if deadline.is_over() {
            let logs: Vec<_> = services.iter().map(|service| service.plan.log.display()).collect();
            bail!("{what} took longer than {} s; see the logs {logs:?}", limit.as_secs());
        }
        go_on()?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Runs until we are asked to stop. An error if one of the services dies.
pub fn watch(services: &mut [Service]) -> Result<()> {
    while go_on().is_ok() {
        check(services)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The lines that are added to a file.
struct Lines {
    file: File,
    unfinished: Vec<u8>,
}

impl Lines {
    fn of(file: File) -> Lines {
        let unfinished = Vec::new();
        Lines { file, unfinished }
    }

    /// The lines that were finished since the last call.
    fn new_lines(&mut self) -> Result<Vec<String>> {
        self.file.read_to_end(&mut self.unfinished).context("cannot read a log")?;
        let Some(end) = self.unfinished.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.unfinished.split_off(end + 1);
        let finished = std::mem::replace(&mut self.unfinished, rest);
        Ok(String::from_utf8_lossy(&finished).lines().map(str::to_owned).collect())
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    shown.iter().map(|line| format!("  {line}\n")).collect()
}
