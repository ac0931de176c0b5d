//! Locks between processes, so that two runs do not build the same thing at once.
//!
//! We lock the very file that describes the thing (`package-lock.json` for `node_modules/`, a crate's `Cargo.toml` for its
//! build), so there are no lock files to leave behind. The operating system releases a lock with the process that held it.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    children::go_on,
    progress::{self, Deadline, tick},
};

/// Longer than the longest thing that is done under a lock, on a slow machine.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Waits for the lock; it is held until the returned file is dropped.
pub fn wait(path: &Path, what: &str) -> Result<File> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let deadline = Deadline::after(LIMIT);
    let mut told = false;
    while !try_lock(&file, path)? {
        if !told {
            progress::say(format!("    waiting for another run that {what}"));
            told = true;
        }
        if deadline.is_over() {
            bail!("timed out waiting for another run that {what} and has locked {}", path.display());
        }
        go_on()?;
        tick();
    }
    Ok(file)
}

/// Takes the lock if nobody holds it.
pub fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
