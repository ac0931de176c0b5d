//! Opens a SQLite database: a file with one connection that writes, because SQLite has one writer at a time, and several that read.

use std::{future::Future, path::Path, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Result, dialect,
    opened_file::OpenedFile,
    pools::{ACQUIRE_TIMEOUT, Pools},
};

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
