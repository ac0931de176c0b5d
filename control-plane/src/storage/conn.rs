use sqlx::{PgConnection, SqliteConnection};

use super::connection::Guard;

/// A connection for queries, borrowed from a [`Reader`](super::Reader) or a [`Writer`](super::Writer).
#[derive(Debug)]
pub enum Conn<'c> {
    /// Of a file.
    Sqlite {
        /// The connection itself.
        connection: &'c mut SqliteConnection,
        /// What watches over it.
        guard: &'c Guard,
    },
    /// Of a server.
    Postgres {
        /// The connection itself.
        connection: &'c mut PgConnection,
        /// What watches over it.
        guard: &'c Guard,
    },
}

impl Conn<'_> {
    /// The same connection, lent out for one more question.
    pub fn reborrow(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite { connection, guard } => Conn::Sqlite { connection, guard },
            Self::Postgres { connection, guard } => Conn::Postgres { connection, guard },
        }
    }
}
