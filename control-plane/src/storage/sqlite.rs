//! Opens a SQLite database: a file with one connection that writes, because SQLite has one writer at a time, and several that read.

use std::{
    future::Future,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use sqlx::{
    ConnectOptions, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{ACQUIRE_TIMEOUT, Pools, Result, dialect};

/// How many connections read.
pub const READERS: u32 = 4;
/// How many more read for the publisher.
const URGENT_READERS: u32 = 1;
/// How long SQLite waits for another process that has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub async fn open(url: &str) -> anyhow::Result<Pools> {
    // FULL: what was acknowledged survives the loss of power, not only that of the process.
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    create_folder(options.get_filename())?;
    let pool = |size| SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).max_connections(size);
    let path = options.get_filename().to_owned();
    let writer = first_connection(|| pool(1).connect_with(options.clone())).await?;
    let options = options.read_only(true);
    let readers = pool(READERS).connect_with(options.clone()).await?;
    let urgent_readers = pool(URGENT_READERS).connect_with(options).await?;
    Ok(Pools::Sqlite { readers, urgent_readers, writer, file: OpenedFile::at(path) })
}

/// Which file was opened. SQLite goes on with it when it is deleted or replaced, and what is written then is lost.
#[derive(Debug)]
pub struct OpenedFile {
    path: PathBuf,
    /// Device and inode. `None` of a database in memory.
    identity: Option<(u64, u64)>,
}

impl OpenedFile {
    fn at(path: PathBuf) -> Self {
        let identity = identity(&path);
        Self { path, identity }
    }

    /// Fails if the file is not where it was.
    pub fn check(&self) -> Result<()> {
        let found = identity(&self.path);
        let message = match found {
            _ if self.identity.is_none() || found == self.identity => return Ok(()),
            None => "the file of the database was deleted; put it back, or stop `latchkey serve` and restore a backup",
            Some(_) => {
                "the file of the database was replaced; put it back before any other command opens it. To use the one that is \
                 there, keep a copy, stop `latchkey serve`, and delete the files -wal and -shm beside it"
            }
        };
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, message)))
    }

    /// Whether there is a file at all, and not a database in memory.
    pub fn is_on_disk(&self) -> bool {
        self.identity.is_some()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the main file was changed last.
    pub fn changed_at(&self) -> io::Result<SystemTime> {
        std::fs::metadata(&self.path)?.modified()
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Connects to a file that another process may be switching to WAL at this moment. That is the one lock for which SQLite
/// does not wait by itself.
async fn first_connection<F: Future<Output = Result<SqlitePool>>>(connect: impl Fn() -> F) -> Result<SqlitePool> {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut left = BUSY_TIMEOUT.as_millis() / PAUSE.as_millis();
    loop {
        match connect().await {
            Err(error) if dialect::is_sqlite_busy(&error) && left > 0 => left -= 1,
            outcome => return outcome,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn create_folder(file: &Path) -> std::io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::storage::{Failure, testing};

    #[tokio::test]
    async fn file_that_was_deleted_or_replaced_takes_no_writes_until_it_is_back() {
        let (db, folder) = testing::sqlite().await;
        let [file, elsewhere] = ["test.db", "elsewhere.db"].map(|name| folder.path().join(name));
        std::fs::rename(&file, &elsewhere).unwrap();
        for _ in 0..2 {
            let error = db.write().await.unwrap_err();
            assert_eq!(Failure::of(&error), Some(Failure::Unavailable));
            assert_eq!(db.check_writes().await, Err(Failure::Unavailable));
            std::fs::write(&file, "another file").unwrap();
        }
        std::fs::rename(&elsewhere, &file).unwrap();
        db.write().await.unwrap().commit().await.unwrap();
    }
}
