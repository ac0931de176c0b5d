//! Which database a command opens. `serve` and `migrate` create a SQLite database where there is none; no other command
//! does.

use std::time::Duration;

use anyhow::bail;
use reqwest::Url;
use secrecy::ExposeSecret;

use crate::{
    config::Config,
    storage::{
        Db, Failure, OpenOptions, Schema,
        sqlite_file::{ServeLock, SqliteFile},
    },
};

/// Opens the database that exists and has the tables that this version needs: only `serve` and `migrate` change them, so that
/// a command that only reads never does. It does not wait for a Postgres that is not up yet.
pub(super) async fn open_migrated(config: &Config) -> anyhow::Result<Db> {
    let db = open_existing(config).await?;
    match db.schema().await? {
        Schema::Absent | Schema::Outdated => {
            bail!("the database is not up to date; back it up, then run `latchkey migrate` or start `latchkey serve`")
        }
        // Says which version it needs.
        Schema::TooNew { .. } => db.migrate().await?,
        Schema::Current => {}
    }
    Ok(db)
}

/// Opens the database that exists, whatever is in it.
pub(super) async fn open_existing(config: &Config) -> anyhow::Result<Db> {
    open(config, Duration::ZERO).await
}

/// Opens the database that exists, and waits for a Postgres that is not up yet.
async fn open(config: &Config, wait: Duration) -> anyhow::Result<Db> {
    if let Some(file) = SqliteFile::from_url(config.database_url.expose_secret())? {
        if !file.exists()? {
            bail!(
                "the database {} does not exist; `latchkey serve` and `latchkey migrate` create it. If it is \
                 elsewhere, set LATCHKEY_DATABASE_URL to the same value as for `latchkey serve`",
                file.path().display()
            );
        }
        file.check().await?;
    }
    open_url(config, wait).await
}

/// The URL holds a password, so an error says the kind of database alone.
async fn open_url(config: &Config, wait: Duration) -> anyhow::Result<Db> {
    let url = config.database_url.expose_secret();
    Db::open_with(url, &OpenOptions { wait, ..OpenOptions::from_config(config) }).await.map_err(|error| {
        if error.downcast_ref().and_then(Failure::of) == Some(Failure::Full) {
            return error.context("no space is left on the disk of the database; free some space and try again");
        }
        let kind = match url.split_once(':') {
            Some(("sqlite", _)) => "SQLite ",
            Some(("postgres" | "postgresql", _)) => "Postgres ",
            _ => "",
        };
        error.context(format!("cannot open the {kind}database; check database_url"))
    })
}

/// Opens the database, creates it first if there is none, and brings its tables to the state that this version needs.
pub(super) async fn migrate(config: &Config) -> anyhow::Result<()> {
    let file = SqliteFile::from_url(config.database_url.expose_secret())?;
    if let Some(file) = &file
        && !file.exists()?
    {
        create(file, &file.lock()?).await?;
    }
    let db = open(config, wait(config)).await?;
    // Of a SQLite file that is being served, nobody else changes the tables.
    let _lock = match file {
        Some(file) if !db.is_migrated().await? => Some(file.lock()?),
        _ => None,
    };
    db.migrate().await
}

/// The same for the one process that serves the database. Returns the lock on a SQLite file.
pub(super) async fn open_to_serve(config: &Config) -> anyhow::Result<(Db, Option<ServeLock>)> {
    let file = SqliteFile::from_url(config.database_url.expose_secret())?;
    let lock = file.as_ref().map(SqliteFile::lock).transpose()?;
    if let (Some(file), Some(lock)) = (&file, &lock)
        && !file.exists()?
    {
        create(file, lock).await?;
    }
    let db = open(config, wait(config)).await?;
    tracing::info!(database = describe(config), "opened the database");
    Ok((db, lock))
}

fn wait(config: &Config) -> Duration {
    Duration::from_secs(config.database_wait_seconds)
}

async fn create(file: &SqliteFile, lock: &ServeLock) -> anyhow::Result<()> {
    file.create(lock).await?;
    tracing::info!(path = %file.path().display(), "created the database");
    print_line!("Created the database {}", file.path().display());
    Ok(())
}

/// Which database the settings name, without its user and its password.
pub(super) fn describe(config: &Config) -> String {
    let url = config.database_url.expose_secret();
    if let Ok(Some(file)) = SqliteFile::from_url(url) {
        return format!("SQLite, {}", file.path().display());
    }
    match Url::parse(url) {
        Ok(url) if url.scheme().starts_with("postgres") => {
            let parameter =
                |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            let host = parameter("host").or(url.host_str().map(str::to_owned)).unwrap_or("localhost".to_owned());
            let port = parameter("port").or(url.port().map(|port| port.to_string())).unwrap_or("5432".to_owned());
            let name = parameter("dbname").unwrap_or_else(|| url.path().trim_start_matches('/').to_owned());
            format!("Postgres, host {host}, port {port}, database {name}")
        }
        Ok(url) if url.scheme() == "sqlite" => "SQLite, in memory".to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_names_the_database_and_no_password() {
        let describe = |url: &str| describe(&Config { database_url: url.to_owned().into(), ..Config::defaults() });
        let folder = std::env::current_dir().unwrap();
        assert_eq!(describe("sqlite:x.db"), format!("SQLite, {}/x.db", folder.display()));
        for (url, described) in [
            ("postgres://me:hush@db.example/keys", "Postgres, host db.example, port 5432, database keys"),
            ("postgresql://me:hush@[::1]:6432/keys?sslpassword=hush", "Postgres, host [::1], port 6432, database keys"),
            ("postgres:///keys?host=/run/pg&password=hush", "Postgres, host /run/pg, port 5432, database keys"),
            ("sqlite::memory:", "SQLite, in memory"),
            ("hush", "unknown"),
        ] {
            assert_eq!(describe(url), described);
        }
    }
}
