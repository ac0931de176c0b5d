//! The connections to a database, of either kind.

use std::time::Duration;

use sqlx::{PgPool, SqlitePool};

use super::{opened_file::OpenedFile, refusal::Refusal};
use crate::config::{Config, Pooler};

/// How long a request waits for a connection, or for its turn to write.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pools.
#[derive(Debug)]
pub(super) enum Pools {
    Sqlite { readers: SqlitePool, urgent_readers: SqlitePool, writer: SqlitePool, file: OpenedFile },
    Postgres { pool: PgPool, urgent: PgPool, has_pooler: bool, refusal: Refusal },
}

/// How to open a database. `defaults.toml` says what each setting means.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// What pools connections between this server and Postgres.
    pub pooler: Pooler,
    /// How many connections to Postgres there are, for each process.
    pub connections: u32,
    /// How long to wait for a Postgres that is not up yet.
    pub wait: Duration,
}

impl OpenOptions {
    /// As the settings have it.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        Self {
            pooler: config.database_pooler,
            connections: config.database_connections,
            wait: Duration::from_secs(config.database_wait_seconds),
        }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { pooler: Pooler::None, connections: 16, wait: Duration::ZERO }
    }
}
