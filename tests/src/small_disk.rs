//! A file system that is soon full.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::parts;

/// A file system in memory, gone when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many megabytes, if we may.
    ///
    /// # Panics
    /// If there is no room for a folder.
    #[must_use]
    pub fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("latchkey-disk-").tempdir().expect("a temporary folder");
        let options = format!("size={megabytes}m");
        if run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], folder.path()) {
            return Some(Self { folder });
        }
        parts::skip("a small file system cannot be mounted here; it takes Linux, and root or sudo without a password")
    }

    /// Gives it another size.
    ///
    /// # Panics
    /// If that cannot be done.
    #[track_caller]
    pub fn resize(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        assert!(run("mount", &["-o", &options], self.folder.path()), "the file system cannot be resized");
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a server that has files open there may be dropped later.
        let _ = run("umount", &["-l"], self.folder.path());
    }
}

/// Runs a command that root may run.
fn run(program: &str, arguments: &[&str], folder: &Path) -> bool {
    // Whoever runs the tests owns the folder.
    let is_root = fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0);
    let mut command = if is_root { Command::new(program) } else { Command::new("sudo") };
    if !is_root {
        command.args(["-n", program]);
    }
    command.args(arguments).arg(folder);
    command.output().is_ok_and(|output| output.status.success())
}
