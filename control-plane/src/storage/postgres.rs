//! Opens a Postgres database: two pools, so that revocations and the publisher find a connection whatever else is asked.
//!
//! | limit | how long |
//! | --- | --- |
//! | to get a connection | [`ACQUIRE_TIMEOUT`] |
//! | a statement | 15 s on the server; 17 s here, should the network be silent |
//! | waiting for a lock | 5 s |
//! | a transaction that does nothing | 10 s, so that a client that is gone holds no rows |
//!
//! Without a pooler they are settings of each connection. A pooler refuses such settings and hands connections from client
//! to client, so behind one they are set in each transaction, and every statement is in one.

use std::{str::FromStr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use reqwest::Url;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::time::{sleep, timeout};

use super::{
    Failure, OpenOptions, dialect,
    health::Health,
    pools::{ACQUIRE_TIMEOUT, Pools},
    refusal::Refusal,
};
use crate::{clock::Stopwatch, config::Pooler};

/// The settings of a connection, or of a transaction.
const LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "15s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "10s")];
/// The settings of a connection alone: when the server gives up a client that has vanished.
const SESSION: [(&str, &str); 5] = [
    ("default_transaction_isolation", "read committed"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
];
/// How long a connection that is to be used again may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is tried to reach a server that is not up yet.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

pub async fn open(url: &str, options: &OpenOptions, health: &Arc<Health>) -> anyhow::Result<Pools> {
    let connect = connect_options(url, options.pooler)?;
    first_connection(&connect, options).await?;
    Ok(Pools::Postgres {
        pool: pool(normal_connections(options), &connect, health),
        urgent: pool(urgent_connections(options), &connect, health),
        has_pooler: options.pooler == Pooler::Transaction,
        refusal: Refusal::new(connect),
    })
}

/// How many connections there are for everything that is not urgent.
pub fn normal_connections(options: &OpenOptions) -> u32 {
    options.connections.saturating_sub(urgent_connections(options)).max(1)
}

fn urgent_connections(options: &OpenOptions) -> u32 {
    (options.connections / 4).max(1)
}

/// The beginning of a transaction, with its limits if the connection does not have them.
pub fn begin(is_read_only: bool, has_pooler: bool) -> String {
    let begin = if is_read_only { dialect::POSTGRES_BEGIN_READ_ONLY } else { dialect::POSTGRES_BEGIN };
    let limits = LIMITS.iter().filter(|_| has_pooler).map(|(name, value)| format!("; SET LOCAL {name} = '{value}'"));
    begin.to_owned() + &limits.collect::<String>()
}

fn connect_options(url: &str, pooler: Pooler) -> anyhow::Result<PgConnectOptions> {
    refuse_unknown_parameters(url)?;
    // sqlx quotes what it cannot parse, and that may be the password.
    let Ok(options) = PgConnectOptions::from_str(url) else { bail!("the URL is invalid") };
    let mut options = options.application_name("latchkey").disable_statement_logging();
    // sqlx looks up the name `[::1]` otherwise.
    if let Some(address) = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = address.to_owned();
        options = options.host(&address);
    }
    if let Some(file) = root_certificate(url) {
        std::fs::metadata(&file)
            .with_context(|| format!("cannot read {file}, which the URL names as `sslrootcert`"))?;
        // As libpq does: who names an authority wants it to be checked.
        if matches!(options.get_ssl_mode(), PgSslMode::Require) {
            options = options.ssl_mode(PgSslMode::VerifyCa);
        }
    }
    Ok(match pooler {
        Pooler::None => options.options(LIMITS).options(SESSION),
        Pooler::Transaction => options.extra_float_digits(None),
    })
}

fn root_certificate(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let is_root = |name: &str| ["sslrootcert", "ssl-root-cert", "ssl-ca"].contains(&name);
    url.query_pairs().find(|(name, _)| is_root(name)).map(|(_, file)| file.into_owned())
}

/// sqlx ignores parameters that it does not know, and logs them with their values.
fn refuse_unknown_parameters(url: &str) -> anyhow::Result<()> {
    const KNOWN: [&str; 18] = [
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
        "statement-cache-capacity",
    ];
    let Some((_, query)) = url.split_once('?') else { return Ok(()) };
    ensure!(
        !query.contains('@'),
        "the URL has an `@` after a `?`: write a `?` in the password as `%3F`, and an `@` in a parameter as `%40`"
    );
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        // Without a value, it may be anything.
        let name = parameter.split_once('=').map_or("", |(name, _)| name);
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte));
        let is_known = KNOWN.contains(&name) || name.starts_with("options[");
        ensure!(is_known || (is_plain && !name.is_empty()), "the URL has a parameter that Latchkey does not know");
        ensure!(is_known, "the URL has the parameter `{name}`, which Latchkey does not know; remove it");
    }
    Ok(())
}

fn pool(size: u32, connect: &PgConnectOptions, health: &Arc<Health>) -> PgPool {
    let health = Arc::clone(health);
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // In its place, one with a time limit: a connection can be dead without anybody having said so.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let health = Arc::clone(&health);
            Box::pin(async move {
                if !health.may_use(meta.age) {
                    return Ok(false);
                }
                let answer = timeout(PING_TIMEOUT, connection.ping()).await;
                answer.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)).map(|()| true).inspect_err(|_| {
                    // What happened to this one has most likely happened to the others.
                    health.discard_connections();
                })
            })
        })
        .connect_lazy_with(connect.clone())
}

/// Connects once, to learn what is wrong before anybody needs the answer, and waits for a server that is not up yet.
async fn first_connection(connect: &PgConnectOptions, options: &OpenOptions) -> anyhow::Result<()> {
    let waiting = Stopwatch::start();
    loop {
        let error = match timeout(ACQUIRE_TIMEOUT, check(connect, options.pooler)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow::Error::new(sqlx::Error::PoolTimedOut).context("the server did not respond in time"),
        };
        let may_pass = error.downcast_ref::<sqlx::Error>().is_some_and(is_not_up_yet);
        let error = explain(error, options.pooler);
        if !may_pass || waiting.elapsed() >= options.wait {
            return Err(error);
        }
        let waited = waiting.elapsed().as_secs();
        tracing::warn!(error = format!("{error:#}"), waited, "Postgres does not accept connections yet; waiting");
        sleep(RETRY_INTERVAL).await;
    }
}

/// Whether it helps to wait. A wrong password does not become right.
fn is_not_up_yet(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // Its code is that of a broken connection, 08P01.
        Some(_) if is_refused_by_pooler(error) => false,
        Some(code) => code.starts_with("57P") || code.starts_with("53") || code.starts_with("08"),
        None => Failure::of(error).is_some() && !matches!(error, sqlx::Error::Tls(_)),
    }
}

async fn check(connect: &PgConnectOptions, pooler: Pooler) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(connect).await?;
    let encoding: String = sqlx::raw_sql("SELECT current_setting('server_encoding')")
        .fetch_one(&mut connection)
        .await
        .and_then(|row| sqlx::Row::try_get(&row, 0))?;
    ensure!(
        encoding == "UTF8",
        "the database has the encoding {encoding}, but Latchkey requires UTF8; create it with \
         `CREATE DATABASE latchkey ENCODING 'UTF8' TEMPLATE template0`"
    );
    // A pooler can be told to accept these settings and drop them.
    let (limit, expected) = ("SELECT current_setting('statement_timeout')", LIMITS[0].1);
    let limit: String =
        sqlx::raw_sql(limit).fetch_one(&mut connection).await.and_then(|row| sqlx::Row::try_get(&row, 0))?;
    ensure!(
        pooler == Pooler::Transaction || limit == expected,
        "a pooler in front of Postgres drops statement limits; set `database_pooler` to \"transaction\""
    );
    Ok(connection.close().await?)
}

/// Poolers refuse what they cannot keep from one transaction to the next.
fn is_refused_by_pooler(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("startup parameter"))
}

/// The error without what sqlx adds to that of the database: the same again, and a line in the source of Postgres.
fn explain(error: anyhow::Error, pooler: Pooler) -> anyhow::Error {
    let Some(error) = error.downcast_ref::<sqlx::Error>().filter(|error| error.as_database_error().is_some()) else {
        return error;
    };
    let message = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    if pooler == Pooler::None && is_refused_by_pooler(error) {
        return anyhow!("there is a pooler in front of Postgres; set `database_pooler` to \"transaction\" ({message})");
    }
    anyhow!(message)
}
