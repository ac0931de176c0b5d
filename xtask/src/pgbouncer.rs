//! PgBouncer, which tests run in front of a Postgres server.

use std::{env, path::PathBuf};

/// How to get PgBouncer where it is missing.
pub const ADVICE: &str =
    "pgbouncer is not in PATH or /usr/sbin; `apt-get install pgbouncer` or `brew install pgbouncer`";

/// The program, if it is installed. Debian puts it where only root's PATH looks.
pub fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.find_map(|folder| Some(folder.join("pgbouncer")).filter(|program| program.is_file()))
}
