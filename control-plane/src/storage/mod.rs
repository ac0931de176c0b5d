//! Storage: every SQL text of the server, one text for each question, on SQLite and on Postgres.
//!
//! A question is a function that takes a [`Conn`]. "Not found" is `Ok(None)`; what it means is for the caller to say.
//! What only one of the two databases understands is in `dialect.rs`.

use std::{path::Path, str::FromStr, time::Duration};

use anyhow::Context;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Runs one text on whichever database the connection is of. The body is compiled once for each.
macro_rules! on_db {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::storage::Conn::Sqlite($c) => {
                let $c = asked_here!($c);
                $body
            }
            $crate::storage::Conn::Postgres($c) => {
                let $c = asked_here!($c);
                $body
            }
        }
    };
}

/// The connection itself. The tests write down what it is asked.
#[cfg(not(test))]
macro_rules! asked_here {
    ($connection:ident) => {
        $connection
    };
}
#[cfg(test)]
macro_rules! asked_here {
    ($connection:ident) => {
        $crate::storage::testing::recording::Recorded {
            connection: $connection,
            place: {
                const fn here() {}
                $crate::storage::testing::recording::Place::new(file!(), line!(), std::any::type_name_of_val(&here))
            },
        }
    };
}

pub mod api_keys;
#[cfg(test)]
mod conformance;
mod dialect;
pub mod edge_sync;
pub mod environments;
pub mod expiry_policies;
pub mod feed;
pub mod idempotency;
mod json_text;
pub mod key_terms;
pub mod management_keys;
pub mod memberships;
pub mod organizations;
pub mod outbox;
mod page;
pub mod permissions;
pub mod reseal;
pub mod reseed;
pub mod restore;
pub mod roles;
#[cfg(test)]
pub(crate) mod testing;
pub mod usage;
pub mod user_api_keys;
pub mod users;

pub use json_text::JsonText;
pub use page::{Page, PageRequest, Position};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// What can go wrong when the database is asked.
pub type Result<T> = std::result::Result<T, sqlx::Error>;

/// How long a request waits for a connection, or for another process that writes to the same SQLite file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that only read, of a SQLite database.
const SQLITE_READERS: u32 = 4;
/// Connections of a Postgres database, for each process.
const POSTGRES_CONNECTIONS: u32 = 16;

/// The database.
#[derive(Debug, Clone)]
pub enum Db {
    /// A file. One connection writes, because SQLite has one writer at a time: writers wait here, not in the database.
    Sqlite {
        /// The connections that read.
        readers: SqlitePool,
        /// The connection that writes.
        writer: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

/// A connection to ask questions of, borrowed from a [`Reader`] or a [`Writer`].
#[derive(Debug)]
pub enum Conn<'c> {
    /// Of a file.
    Sqlite(&'c mut SqliteConnection),
    /// Of a server.
    Postgres(&'c mut PgConnection),
}

/// A connection for questions that change nothing.
#[derive(Debug)]
pub enum Reader {
    /// Of a file.
    Sqlite(PoolConnection<Sqlite>),
    /// Of a server.
    Postgres(PoolConnection<Postgres>),
}

/// A transaction. Dropped without [`Writer::commit`], it never was.
#[derive(Debug)]
pub enum Writer {
    /// Of a file.
    Sqlite(Transaction<'static, Sqlite>),
    /// Of a server.
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens the database that the URL names. A SQLite file is made if there is none.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        match url.split_once(':') {
            Some(("sqlite", _)) => open_sqlite(url).await,
            Some(("postgres" | "postgresql", _)) => open_postgres(url).await,
            _ => anyhow::bail!("the database URL must begin with `sqlite:` or `postgres://`"),
        }
    }

    /// Brings the tables to the state that this version of the server needs.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        match self {
            // In one transaction, because nothing else keeps two processes from migrating one file at once.
            Self::Sqlite { writer, .. } => {
                let mut transaction = writer.begin_with(dialect::SQLITE_BEGIN).await?;
                SQLITE_MIGRATIONS.run(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Self::Postgres(pool) => POSTGRES_MIGRATIONS.run(pool).await?,
        }
        Ok(())
    }

    /// Whether the tables are in that state.
    pub async fn is_migrated(&self) -> Result<bool> {
        const SQL: &str = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version DESC LIMIT 1";
        let migrations = match self {
            Self::Sqlite { .. } => &SQLITE_MIGRATIONS,
            Self::Postgres(_) => &POSTGRES_MIGRATIONS,
        };
        let newest = migrations.iter().map(|migration| migration.version).max();
        match on_db!(self.read().await?.conn(), c => sqlx::query_scalar::<_, i64>(SQL).fetch_optional(c).await) {
            Ok(applied) => Ok(applied >= newest),
            // There is no such table before the first time.
            Err(sqlx::Error::Database(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Reader> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Reader::Sqlite(readers.acquire().await?),
            Self::Postgres(pool) => Reader::Postgres(pool.acquire().await?),
        })
    }

    /// A transaction for writing.
    pub async fn write(&self) -> Result<Writer> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Writer::Sqlite(writer.begin_with(dialect::SQLITE_BEGIN).await?),
            Self::Postgres(pool) => Writer::Postgres(pool.begin().await?),
        })
    }

    /// Closes every connection, once what runs on it has ended.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Conn<'_> {
    /// The same connection, lent out for one more question.
    pub fn reborrow(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(conn) => Conn::Sqlite(conn),
            Self::Postgres(conn) => Conn::Postgres(conn),
        }
    }
}

impl Reader {
    /// The connection.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(conn) => Conn::Sqlite(conn),
            Self::Postgres(conn) => Conn::Postgres(conn),
        }
    }
}

impl Writer {
    /// The connection, inside the transaction.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(transaction) => Conn::Sqlite(transaction),
            Self::Postgres(transaction) => Conn::Postgres(transaction),
        }
    }

    /// Makes it so.
    pub async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

async fn open_sqlite(url: &str) -> anyhow::Result<Db> {
    // FULL: what was acknowledged survives the loss of power, not only that of the process.
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .disable_statement_logging();
    make_folder(options.get_filename())?;
    let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE);
    let writer = first_connection(|| pool().max_connections(1).connect_with(options.clone())).await?;
    let readers = pool().max_connections(SQLITE_READERS).connect_with(options.read_only(true)).await?;
    Ok(Db::Sqlite { readers, writer })
}

/// Connects to a file that another process may be switching to WAL at this moment. That is the one lock for which SQLite
/// does not wait by itself.
async fn first_connection<F: Future<Output = Result<SqlitePool>>>(connect: impl Fn() -> F) -> Result<SqlitePool> {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut left = PATIENCE.as_millis() / PAUSE.as_millis();
    loop {
        match connect().await {
            Err(error) if dialect::is_sqlite_busy(&error) && left > 0 => left -= 1,
            outcome => return outcome,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn make_folder(file: &Path) -> std::io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

async fn open_postgres(url: &str) -> anyhow::Result<Db> {
    let options = PgConnectOptions::from_str(url)?.application_name("latchkey").disable_statement_logging();
    // A pool would try again until it is out of patience, and then not say why.
    let first = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await;
    first.context("it did not answer in time")??.close().await?;
    let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(PATIENCE);
    Ok(Db::Postgres(pool.connect_with(options).await?))
}
