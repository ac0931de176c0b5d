//! A connection that was taken from its pool: what it is asked is bounded in time, and it goes back only in a known state.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Database, Postgres, SqlSafeStr, Sqlite, pool::PoolConnection, raw_sql};
use tokio::{runtime::Handle, time::timeout};

use super::{Failure, Result, health::Health, write_queue::Turn};

/// How long a statement may take. The server ends it earlier ([`super::postgres`]), unless it is the network that is silent.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(17);
/// How long it may take to roll back, and to find out whether a connection can be used again.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A database whose connections we begin, commit and roll back transactions on ourselves. sqlx counts how deep it is in
/// transactions, and is wrong for ever once a `COMMIT` fails, as it does on a full disk.
pub trait Transactional: Database {
    /// Runs statements that have no parameters.
    fn run(connection: &mut Self::Connection, sql: String) -> impl Future<Output = Result<()>> + Send;
}

impl Transactional for Sqlite {
    async fn run(connection: &mut Self::Connection, sql: String) -> Result<()> {
        raw_sql(AssertSqlSafe(sql).into_sql_str()).execute(connection).await.map(drop)
    }
}

impl Transactional for Postgres {
    async fn run(connection: &mut Self::Connection, sql: String) -> Result<()> {
        raw_sql(AssertSqlSafe(sql).into_sql_str()).execute(connection).await.map(drop)
    }
}

/// What watches over the statements of one connection.
#[derive(Debug)]
pub struct Guard {
    health: Arc<Health>,
    /// Whether statements can have names on the server.
    pub named_statements: bool,
    /// Whether any statement failed.
    has_failed: AtomicBool,
    /// Whether nobody knows what the connection will answer next.
    is_unknown: AtomicBool,
}

impl Guard {
    /// Runs a statement within its time limit, and remembers what became of it.
    pub async fn watch<T>(&self, statement: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = timeout(STATEMENT_TIMEOUT, statement).await.unwrap_or_else(|_| Err(timed_out()));
        self.health.observe(&outcome);
        if let Err(error) = &outcome {
            self.has_failed.store(true, Ordering::Relaxed);
            let is_unknown = matches!(Failure::of(error), Some(Failure::Unavailable | Failure::ReadOnly));
            self.is_unknown.fetch_or(is_unknown, Ordering::Relaxed);
        }
        outcome
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not respond in time"))
}

/// A connection, until it is dropped. Then a task rolls back what was not committed and returns the connection to its pool,
/// or closes it.
#[derive(Debug)]
pub struct Lease<D: Transactional> {
    /// There until the lease is dropped.
    connection: Option<PoolConnection<D>>,
    pub guard: Guard,
    is_in_transaction: bool,
    turn: Option<Turn>,
}

impl<D: Transactional> Lease<D> {
    pub fn new(connection: PoolConnection<D>, health: Arc<Health>, named_statements: bool, turn: Option<Turn>) -> Self {
        let [has_failed, is_unknown] = [false; 2].map(AtomicBool::new);
        let guard = Guard { health, named_statements, has_failed, is_unknown };
        Self { connection: Some(connection), guard, is_in_transaction: false, turn }
    }

    /// The connection, and what watches over it.
    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    pub fn parts(&mut self) -> (&mut D::Connection, &Guard) {
        (self.connection.as_mut().expect("a lease has its connection until it is dropped"), &self.guard)
    }

    /// Begins a transaction.
    pub async fn begin(&mut self, sql: String) -> Result<()> {
        // Beforehand, because nobody knows how far it came if this future is dropped.
        self.is_in_transaction = true;
        let (connection, guard) = self.parts();
        guard.watch(D::run(connection, sql)).await
    }

    /// Commits. If that fails, nobody knows whether the transaction took effect.
    pub async fn commit(mut self) -> Result<()> {
        // A statement that failed has ended the transaction on Postgres, where COMMIT then rolls back and reports success.
        if self.guard.has_failed.load(Ordering::Relaxed) {
            return Err(sqlx::Error::Protocol("cannot commit a transaction in which a statement failed".into()));
        }
        let (connection, guard) = self.parts();
        guard.watch(D::run(connection, "COMMIT".to_owned())).await.inspect_err(|_| {
            guard.is_unknown.store(true, Ordering::Relaxed);
        })?;
        guard.health.committed();
        self.is_in_transaction = false;
        Ok(())
    }
}

impl<D: Transactional> Drop for Lease<D> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let released = Released {
            connection,
            is_unknown: self.guard.is_unknown.load(Ordering::Relaxed),
            is_in_transaction: self.is_in_transaction,
            _turn: self.turn.take(),
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(released.go());
        }
    }
}

/// A connection on its way back. The turn ends when it has arrived.
struct Released<D: Transactional> {
    connection: PoolConnection<D>,
    is_unknown: bool,
    is_in_transaction: bool,
    _turn: Option<Turn>,
}

impl<D: Transactional> Released<D> {
    async fn go(mut self) {
        if self.is_unknown || (self.is_in_transaction && !self.roll_back().await) {
            self.connection.close_on_drop();
            return;
        }
        // The pool has no time limit of its own here: on a silent network it would wait for ever for an answer to its ping, and
        // the place of this connection would be lost. Dropped, it gives the place back and closes the connection.
        let _ = timeout(RELEASE_TIMEOUT, self.connection.return_to_pool()).await;
    }

    async fn roll_back(&mut self) -> bool {
        matches!(timeout(RELEASE_TIMEOUT, D::run(&mut self.connection, "ROLLBACK".to_owned())).await, Ok(Ok(())))
    }
}
