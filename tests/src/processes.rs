//! Which processes run, as `/proc` tells.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::parts;

/// A mark in the environment of a process that everything it starts inherits, however deep and whoever its parent
/// becomes.
#[derive(Debug)]
pub struct Mark(String);

const VARIABLE: &str = "TEST_MARK";

impl Mark {
    /// A new one, if processes can be looked at here.
    #[must_use]
    pub fn new() -> Option<Self> {
        if Path::new("/proc/self/environ").exists() {
            return Some(Self(format!("{VARIABLE}={:x}", crate::unique())));
        }
        parts::skip("there is no /proc to look for left-over processes in; it takes Linux")
    }

    /// Marks what is about to be started.
    ///
    /// # Panics
    /// Never: the mark has the form of a variable.
    pub fn put_on(&self, command: &mut Command) {
        let (name, value) = self.0.split_once('=').expect("a variable");
        command.env(name, value);
    }

    /// The marked processes that run, with their command lines.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<(u32, String)> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|id| self.is_on(*id)).map(|id| (id, command_line(id))).collect()
    }

    /// A process that is just ending has no environment any more, so it does not count.
    fn is_on(&self, process: u32) -> bool {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == self.0.as_bytes())
    }
}

fn command_line(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}
