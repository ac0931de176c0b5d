//! A database connection of a test's own: for what no route does, such as holding a lock.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use tokio::runtime::Runtime;

/// A connection that keeps its transaction and its locks until it is dropped.
#[derive(Debug)]
pub struct Session {
    connection: Kind,
    runtime: Runtime,
}

#[derive(Debug)]
enum Kind {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

impl Session {
    /// Connects to the database that this URL names.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub fn connect(url: &str) -> Result<Self, sqlx::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(async {
            Ok::<_, sqlx::Error>(if url.starts_with("sqlite:") {
                Kind::Sqlite(SqliteConnection::connect(url).await?)
            } else {
                Kind::Postgres(Box::new(PgConnection::connect(url).await?))
            })
        })?;
        Ok(Self { connection, runtime })
    }

    /// Runs one or more statements.
    ///
    /// # Errors
    /// If the database refuses one.
    pub fn try_execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        self.runtime.block_on(async {
            match &mut self.connection {
                Kind::Sqlite(connection) => connection.execute(sql).await.map(drop),
                Kind::Postgres(connection) => connection.execute(sql).await.map(drop),
            }
        })
    }

    /// Runs one or more statements.
    ///
    /// # Panics
    /// If the database refuses one.
    #[track_caller]
    pub fn execute(&mut self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql:.500}: {error}"));
    }

    /// The number that a query returns.
    ///
    /// # Panics
    /// If the database refuses it, or it returns something else.
    #[track_caller]
    pub fn number(&mut self, sql: &str) -> i64 {
        let statement = AssertSqlSafe(sql);
        let number = self.runtime.block_on(async {
            match &mut self.connection {
                Kind::Sqlite(connection) => connection.fetch_one(statement).await?.try_get(0),
                Kind::Postgres(connection) => connection.fetch_one(statement).await?.try_get(0),
            }
        });
        number.unwrap_or_else(|error| panic!("{sql:.500}: {error}"))
    }

    /// The texts in the first column that a query returns.
    ///
    /// # Panics
    /// If the database refuses it, or it returns something else.
    #[track_caller]
    pub fn texts(&mut self, sql: &str) -> Vec<String> {
        let statement = AssertSqlSafe(sql);
        let texts: Result<Vec<String>, sqlx::Error> = self.runtime.block_on(async {
            match &mut self.connection {
                Kind::Sqlite(connection) => {
                    connection.fetch_all(statement).await?.iter().map(|row| row.try_get(0)).collect()
                }
                Kind::Postgres(connection) => {
                    connection.fetch_all(statement).await?.iter().map(|row| row.try_get(0)).collect()
                }
            }
        });
        texts.unwrap_or_else(|error| panic!("{sql:.500}: {error}"))
    }
}
