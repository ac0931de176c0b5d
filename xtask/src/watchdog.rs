//! A small process that ends our child processes if we are killed.
//!
//! It holds the reading end of a pipe, on which we report each process group that we start and end. When the pipe
//! closes, for whatever reason, it ends the groups that are left. Usually there are none.

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::progress::{Deadline, tick};

static WATCHDOG: Mutex<Option<Child>> = Mutex::new(None);

/// Tells the watchdog, which is started on first use, to end `group` with this signal should we die.
pub fn guard(group: Pid, stop_with: Signal) -> Result<()> {
    let mut watchdog = lock();
    if watchdog.is_none() {
        *watchdog = Some(start()?);
    }
    tell(&mut watchdog, &format!("guard {group} {}", stop_with as i32));
    Ok(())
}

/// Tells the watchdog that `group` has ended.
pub fn release(group: Pid) {
    tell(&mut lock(), &format!("release {group}"));
}

/// Lets the watchdog go, and waits until it has gone.
pub fn dismiss() {
    if let Some(mut watchdog) = lock().take() {
        drop(watchdog.stdin.take());
        let _ = watchdog.wait();
    }
}

fn lock() -> MutexGuard<'static, Option<Child>> {
    WATCHDOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> Result<Child> {
    // Its own group, so that the Ctrl-C of a terminal does not reach it; no output, so that nobody waits for it.
    Command::new(std::env::current_exe()?)
        .arg("watchdog")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the watchdog")
}

fn tell(watchdog: &mut Option<Child>, line: &str) {
    let pipe: Option<&mut ChildStdin> = watchdog.as_mut().and_then(|watchdog| watchdog.stdin.as_mut());
    if let Some(pipe) = pipe {
        // Somebody may have killed it; then we go on without it.
        let _ = writeln!(pipe, "{line}");
    }
}

/// What the watchdog itself does.
pub fn main() -> Result<()> {
    let mut groups = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["guard", group, stop_with] => {
                groups.insert(group.parse()?, Signal::try_from(stop_with.parse::<i32>()?)?);
            }
            ["release", group] => {
                groups.remove(&group.parse()?);
            }
            _ => {}
        }
    }
    end_all(&groups);
    Ok(())
}

fn end_all(groups: &BTreeMap<i32, Signal>) {
    for (&group, &stop_with) in groups {
        let _ = signal::killpg(Pid::from_raw(group), stop_with);
    }
    let deadline = Deadline::after(Duration::from_secs(3));
    let is_alive = |&group: &i32| signal::killpg(Pid::from_raw(group), None).is_ok();
    while groups.keys().any(is_alive) && !deadline.is_over() {
        tick();
    }
    for &group in groups.keys() {
        let _ = signal::killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}
