//! The database: connections for reading, and transactions for writing.

use std::{future::Future, io, sync::Arc};

use sqlx::{Postgres, Sqlite};

use super::{
    Conn, Failure, OpenOptions, Priority, Result,
    connection::{Lease, Transactional},
    dialect,
    fair_turns::FairTurns,
    health::{Health, LastProbe},
    opened_file::OpenedFile,
    pools::{ACQUIRE_TIMEOUT, Pools},
    postgres, sqlite,
    write_queue::{Turn, WriteQueue},
};

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pools: Pools,
    /// Of those that are not urgent.
    reads: FairTurns,
    writes: WriteQueue,
    pub health: Arc<Health>,
    pub last_probe: LastProbe,
}

/// A connection for questions that change nothing.
#[derive(Debug)]
pub struct Reader {
    checkout: Checkout,
}

/// A transaction. Dropped without [`Writer::commit`], it never was.
#[derive(Debug)]
pub struct Writer {
    checkout: Checkout,
    priority: Priority,
}

#[derive(Debug)]
enum Checkout {
    Sqlite(Lease<Sqlite>),
    Postgres(Lease<Postgres>),
}

impl Db {
    /// Opens the database that the URL names. A SQLite file is made if there is none.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        Self::open_with(url, &OpenOptions::default()).await
    }

    /// The same, with options.
    pub async fn open_with(url: &str, options: &OpenOptions) -> anyhow::Result<Self> {
        let health = Arc::<Health>::default();
        let (pools, reads, writes) = match url.split_once(':') {
            Some(("sqlite", _)) => {
                (sqlite::open(url).await?, sqlite::READERS as usize, WriteQueue::exclusive(ACQUIRE_TIMEOUT))
            }
            Some(("postgres" | "postgresql", _)) => {
                // Half of the connections are left to whoever reads, authentication among them.
                let normal = (options.connections / 2).max(1) as usize;
                let revocations = (options.connections / 8).max(1) as usize;
                let writes = WriteQueue::shared(normal, revocations, ACQUIRE_TIMEOUT);
                let reads = postgres::normal_connections(options) as usize;
                (postgres::open(url, options, &health).await?, reads, writes)
            }
            _ => anyhow::bail!("the database URL must begin with `sqlite:` or `postgres://`"),
        };
        let reads = FairTurns::new(reads);
        Ok(Self(Arc::new(Shared { pools, reads, writes, health, last_probe: LastProbe::default() })))
    }

    /// Whether it is a file of this machine's.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self.0.pools, Pools::Sqlite { .. })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Reader> {
        self.read_as(Priority::Normal).await
    }

    /// The same, as urgent as that: not from the connections that everybody waits for.
    pub async fn read_as(&self, priority: Priority) -> Result<Reader> {
        let is_normal = priority == Priority::Normal;
        let turn = match priority {
            Priority::Normal => Some(Turn::to_read(self.in_turn(self.0.reads.turn(ACQUIRE_TIMEOUT)).await?)),
            Priority::Revocation | Priority::Publisher => None,
        };
        let checkout = match &self.0.pools {
            Pools::Sqlite { readers, urgent_readers, .. } => {
                Checkout::Sqlite(self.lease(if is_normal { readers } else { urgent_readers }, turn).await?)
            }
            Pools::Postgres { pool, urgent, has_pooler, .. } => {
                let mut lease = self.lease(if is_normal { pool } else { urgent }, turn).await?;
                if *has_pooler {
                    lease.begin(postgres::begin(true, true)).await?;
                }
                Checkout::Postgres(lease)
            }
        };
        Ok(Reader { checkout })
    }

    /// A transaction for writing.
    pub async fn write(&self) -> Result<Writer> {
        self.write_as(Priority::Normal).await
    }

    /// The same, as urgent as that.
    pub async fn write_as(&self, priority: Priority) -> Result<Writer> {
        let turn = self.in_turn(self.0.writes.turn(priority)).await?;
        let checkout = match &self.0.pools {
            Pools::Sqlite { writer, file, .. } => {
                file.check().inspect_err(|_| self.0.health.fail(Failure::Unavailable))?;
                let mut lease = self.lease(writer, Some(turn)).await?;
                lease.begin(dialect::SQLITE_BEGIN.to_owned()).await.inspect_err(|error| {
                    // Another process has locked the file, so nothing can be written.
                    if dialect::is_sqlite_busy(error) {
                        self.0.health.fail(Failure::Overloaded);
                    }
                })?;
                Checkout::Sqlite(lease)
            }
            Pools::Postgres { pool, urgent, has_pooler, .. } => {
                let pool = if priority == Priority::Normal { pool } else { urgent };
                let mut lease = self.lease(pool, Some(turn)).await?;
                lease.begin(postgres::begin(false, *has_pooler)).await?;
                Checkout::Postgres(lease)
            }
        };
        Ok(Writer { checkout, priority })
    }

    /// Which file it is, if it is one.
    pub(super) fn opened_file(&self) -> Option<&OpenedFile> {
        match &self.0.pools {
            Pools::Sqlite { file, .. } => Some(file),
            Pools::Postgres { .. } => None,
        }
    }

    /// Moves what is in the `-wal` of a SQLite database into its main file. Returns whether that was everything, which readers
    /// of an older state prevent.
    pub(super) async fn checkpoint(&self) -> Result<bool> {
        let Pools::Sqlite { writer, .. } = &self.0.pools else { return Ok(true) };
        let turn = self.in_turn(self.0.writes.turn(Priority::Publisher)).await?;
        let mut lease = self.lease(writer, Some(turn)).await?;
        let (connection, guard) = lease.parts();
        let checkpoint = sqlx::query_as(dialect::SQLITE_CHECKPOINT).fetch_one(connection);
        let (is_busy, in_wal, moved): (bool, i64, i64) = guard.watch(checkpoint).await?;
        Ok(!is_busy && in_wal == moved)
    }

    async fn lease<D: Transactional>(&self, pool: &sqlx::Pool<D>, turn: Option<Turn>) -> Result<Lease<D>> {
        let connection = match pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(error) => Err(self.explain(error).await),
        };
        if connection.is_err() {
            self.0.health.observe(&connection);
        }
        Ok(Lease::new(connection?, Arc::clone(&self.0.health), !self.has_pooler(), turn))
    }

    async fn in_turn<T>(&self, turn: impl Future<Output = Result<T>>) -> Result<T> {
        match turn.await {
            Ok(turn) => Ok(turn),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// A time-out has two causes: other requests were ahead, which is an overload, or the database accepts no connection.
    async fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        if !matches!(error, sqlx::Error::PoolTimedOut) || self.0.health.is_answering() {
            return error;
        }
        let refusal = match &self.0.pools {
            Pools::Postgres { refusal, .. } => refusal.ask().await,
            Pools::Sqlite { .. } => None,
        };
        match refusal {
            None | Some(Failure::Overloaded) => error,
            Some(_) => sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, "the database cannot be reached")),
        }
    }

    #[cfg(test)]
    pub(super) fn sqlite_writer(&self) -> Option<&sqlx::SqlitePool> {
        match &self.0.pools {
            Pools::Sqlite { writer, .. } => Some(writer),
            Pools::Postgres { .. } => None,
        }
    }

    #[cfg(test)]
    pub(super) fn postgres_pool(&self) -> Option<&sqlx::PgPool> {
        match &self.0.pools {
            Pools::Postgres { pool, .. } => Some(pool),
            Pools::Sqlite { .. } => None,
        }
    }

    pub(super) fn has_pooler(&self) -> bool {
        matches!(self.0.pools, Pools::Postgres { has_pooler: true, .. })
    }

    /// Closes every connection, once what runs on it has ended.
    pub async fn close(&self) {
        match &self.0.pools {
            Pools::Sqlite { readers, urgent_readers, writer, .. } => {
                readers.close().await;
                urgent_readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, urgent, .. } => {
                pool.close().await;
                urgent.close().await;
            }
        }
    }
}

impl Reader {
    /// The connection.
    pub fn conn(&mut self) -> Conn<'_> {
        self.checkout.conn()
    }
}

impl Writer {
    /// The connection, inside the transaction.
    pub fn conn(&mut self) -> Conn<'_> {
        self.checkout.conn()
    }

    /// How urgent it is, and so is what follows from it.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// Makes it so.
    pub async fn commit(self) -> Result<()> {
        match self.checkout {
            Checkout::Sqlite(lease) => lease.commit().await,
            Checkout::Postgres(lease) => lease.commit().await,
        }
    }

    /// Runs statements without parameters, for as long as they take: those of migrations.
    pub(super) async fn run(&mut self, sql: &str) -> Result<()> {
        match &mut self.checkout {
            Checkout::Sqlite(lease) => Sqlite::run(lease.parts().0, sql.to_owned()).await,
            Checkout::Postgres(lease) => Postgres::run(lease.parts().0, sql.to_owned()).await,
        }
    }
}

impl Checkout {
    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(lease) => {
                let (connection, guard) = lease.parts();
                Conn::Sqlite { connection, guard }
            }
            Self::Postgres(lease) => {
                let (connection, guard) = lease.parts();
                Conn::Postgres { connection, guard }
            }
        }
    }
}
