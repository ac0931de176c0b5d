//! Brings the tables to the state that this version needs.
//!
//! All migrations that are due run in one transaction, so a database is at one version or at another and never between. Who comes
//! second waits for a lock that ends with the transaction: locks of a session cannot be had behind a pooler, and neither can
//! statements with names, which is why sqlx's own runner is not used. Its table `_sqlx_migrations` is.
//!
//! A migration that has landed is never edited, and a new one only adds, so that an older server goes on working while
//! a newer one is being deployed. One that older servers could not bear says so in `schema_requirements`.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use sqlx::migrate::{Migration, Migrator};

use super::{Conn, Db, Priority, Result, Writer};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The number of the lock that migrations take on Postgres: "latchkey" as bytes.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7809644666478323065)";

/// As sqlx has it, on SQLite and on Postgres.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";
const TABLE_OF_POSTGRES: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// How the tables are, compared with what this version needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// There are none: it is a new database.
    Absent,
    /// Migrations are due.
    Outdated,
    /// This version can work with it.
    Current,
    /// A newer version has changed it in a way that this one cannot bear.
    TooNew {
        /// The version that it needs at least.
        needs_version: String,
    },
}

/// A migration that was applied.
#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    checksum: Vec<u8>,
}

impl Db {
    /// Brings the tables to the state that this version of the server needs. If they are, it takes no right to change them.
    ///
    /// # Errors
    /// If a newer version of the server has made them unfit for this one, or the database fails. Then nothing was changed.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        match self.schema().await? {
            Schema::Current => Ok(()),
            Schema::TooNew { needs_version } => bail!(
                "a newer version of Latchkey has migrated this database, and this version cannot use it; install \
                 version {needs_version} or newer"
            ),
            Schema::Absent | Schema::Outdated => self.apply_due().await,
        }
    }

    /// How the tables are.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn schema(&self) -> Result<Schema> {
        let mut reader = self.read().await?;
        if !table_exists(reader.conn(), "_sqlx_migrations").await? {
            return Ok(Schema::Absent);
        }
        let applied = applied(reader.conn()).await?;
        let known = |version: &i64| self.migrations().iter().any(|migration| migration.version == *version);
        let newest = self.migrations().iter().map(|migration| migration.version).max().unwrap_or_default();
        if applied.keys().any(|version| !known(version))
            && table_exists(reader.conn(), "schema_requirements").await?
            && let Some(needs_version) = needed_version(reader.conn(), newest).await?
        {
            return Ok(Schema::TooNew { needs_version });
        }
        let is_current = self.migrations().iter().all(|migration| applied.contains_key(&migration.version));
        Ok(if is_current { Schema::Current } else { Schema::Outdated })
    }

    /// Whether the tables are in the state that this version needs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_migrated(&self) -> Result<bool> {
        Ok(self.schema().await? == Schema::Current)
    }

    pub(super) fn migrations(&self) -> &'static [Migration] {
        if self.is_sqlite() { &SQLITE.migrations } else { &POSTGRES.migrations }
    }

    async fn apply_due(&self) -> anyhow::Result<()> {
        let mut transaction = self.write_as(Priority::Normal).await?;
        lock(&mut transaction).await.context("another process is migrating the database")?;
        let table = transaction.conn().either(TABLE, TABLE_OF_POSTGRES);
        transaction.run(table).await.context("cannot create tables; use a role that may create them")?;
        let applied = applied(transaction.conn()).await?;
        for migration in self.migrations() {
            match applied.get(&migration.version) {
                Some(checksum) => ensure!(
                    checksum.as_slice() == &*migration.checksum,
                    "migration {} of this database differs from the one in this version of Latchkey",
                    migration.version
                ),
                None => apply(&mut transaction, migration)
                    .await
                    .with_context(|| format!("migration {} ({}) failed", migration.version, migration.description))?,
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Makes whoever comes second wait, and lets migrations take longer than requests. On SQLite the transaction has the lock.
async fn lock(transaction: &mut Writer) -> Result<()> {
    if matches!(transaction.conn(), Conn::Postgres { .. }) {
        transaction.run("SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = '1h'").await?;
        transaction.run(LOCK).await?;
    }
    Ok(())
}

async fn apply(transaction: &mut Writer, migration: &Migration) -> Result<()> {
    const SQL: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES ($1, $2, TRUE, $3, 0)";
    tracing::info!(version = migration.version, description = &*migration.description, "applying migration");
    transaction.run(migration.sql.as_str()).await?;
    on_db!(transaction.conn(), c => sqlx::query(SQL)
        .bind(migration.version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .execute(c).await.map(drop))
}

async fn applied(conn: Conn<'_>) -> Result<HashMap<i64, Vec<u8>>> {
    const SQL: &str = "SELECT version, checksum FROM _sqlx_migrations WHERE success";
    let rows: Vec<Applied> = on_db!(conn, c => sqlx::query_as(SQL).fetch_all(c).await)?;
    Ok(rows.into_iter().map(|Applied { version, checksum }| (version, checksum)).collect())
}

async fn table_exists(conn: Conn<'_>, name: &str) -> Result<bool> {
    let sql = conn.either(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
        "SELECT COUNT(to_regclass($1))",
    );
    let count: i64 = on_db!(conn, c => sqlx::query_scalar(sql).bind(name).fetch_one(c).await)?;
    Ok(count > 0)
}

/// The version of the server that migrations newer than this one need.
async fn needed_version(conn: Conn<'_>, newest: i64) -> Result<Option<String>> {
    const SQL: &str =
        "SELECT needs_version FROM schema_requirements WHERE migration > $1 ORDER BY migration DESC LIMIT 1";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(newest).fetch_optional(c).await)
}

/// Migrations that have landed stay as they are: a database that has them would not be the one that a new installation makes.
#[cfg(test)]
mod tests {
    use sqlx::migrate::Migrator;

    /// Adding a migration adds a line to each list. Nothing else here ever changes.
    const LANDED: [(&str, &[&str]); 2] = [
        ("sqlite", &["1 0676ffc9203e2f7d", "2 d9227bb1717d65d1", "3 07e9b9023f86f9ee", "4 5f3741bc3cd67bc9"]),
        ("postgres", &["1 85efe973482fc178", "2 2ec43fec5a02808d", "3 07e9b9023f86f9ee", "4 3be3b8b5755b2459"]),
    ];

    fn checksums(migrator: &Migrator) -> Vec<String> {
        let line = |migration: &sqlx::migrate::Migration| {
            let checksum: String = migration.checksum.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{} {checksum}", migration.version)
        };
        migrator.iter().map(line).collect()
    }

    #[test]
    fn landed_migrations_are_never_edited() {
        for ((name, landed), migrator) in LANDED.iter().zip([&super::SQLITE, &super::POSTGRES]) {
            assert_eq!(&checksums(migrator), landed, "{name}");
        }
    }
}
