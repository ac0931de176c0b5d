//! Where the file of a SQLite database is, and what is done with the files beside it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::ensure;
use sqlx::sqlite::SqliteConnectOptions;

/// How to open the SQLite database that a URL names. `None` for Postgres and for a database in memory.
///
/// # Errors
/// If the URL is wrong.
pub fn sqlite_options(url: &str) -> anyhow::Result<Option<SqliteConnectOptions>> {
    if !url.starts_with("sqlite:") || url.contains(":memory:") || url.contains("mode=memory") {
        return Ok(None);
    }
    let options = SqliteConnectOptions::from_str(url)?;
    ensure!(!options.get_filename().as_os_str().is_empty(), "the database URL names no file; use `sqlite:FILE`");
    Ok(Some(options))
}

/// The path with something appended to its file name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// Removes a file, which need not exist.
pub fn remove_if_exists(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the name of a file survive a loss of power.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    // The parent of a name alone is empty.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_relative_path_is_found() {
        for path in ["latchkey.db", "./latchkey.db", "src/latchkey.db"] {
            sync_folder(Path::new(path)).unwrap();
        }
        assert!(sync_folder(Path::new("no such directory/latchkey.db")).is_err());
    }
}
