//! The settings: `defaults.toml`, then a file, then the environment.

use std::{env, fmt::Display, net::SocketAddr, ops::RangeInclusive, path::Path};

use anyhow::Context;
use config::{Config as Sources, Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::seal::EdgeSecrets;

/// Documents every setting, and gives each its default.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// What `latchkey` was told. `defaults.toml` says what each setting means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "documented once, in defaults.toml")]
pub struct Config {
    pub listen: SocketAddr,
    pub database_url: SecretString,
    pub database_pooler: Pooler,
    pub database_connections: u32,
    pub database_wait_seconds: u64,
    pub edge_kv_url: String,
    pub edge_kv_namespace: String,
    pub edge_kv_token: SecretString,
    pub edge_secret: SecretString,
    pub edge_url: String,
    pub edge_batch_pairs: usize,
    pub usage_retention_days: u32,
    pub requests_per_second_of_key: u32,
    pub requests_per_second_of_address: u32,
    pub requests_in_progress_of_key: usize,
    pub requests_in_progress_of_address: usize,
    pub keep_alive_seconds: u64,
    pub drain_seconds: u64,
    pub shutdown_seconds: u64,
    pub client_address_header: String,
    pub client_address_hops: usize,
    pub metrics_token: SecretString,
    pub log_format: LogFormat,
    pub log_filter: String,
}

/// What pools connections between this server and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pooler {
    /// Nothing, or a pooler that gives each client a connection of its own (session mode).
    None,
    /// A pooler that may give each transaction another connection, such as PgBouncer in transaction mode.
    Transaction,
}

impl TryFrom<String> for Pooler {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "none" => Ok(Self::None),
            "transaction" => Ok(Self::Transaction),
            _ => Err("must be `none` or `transaction`"),
        }
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `text` or `json`"),
        }
    }
}

/// The most pairs that one bulk write of Workers KV takes.
/// <https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/methods/bulk_update/>
const KV_BULK_LIMIT: usize = 10_000;
/// A hundred years, to keep the arithmetic of hours in bounds.
const USAGE_RETENTION_MAX_DAYS: u32 = 36_500;
/// What the clock of limits can tell apart.
const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

impl Config {
    /// Reads the settings. `database_url`, if given, wins over every other source.
    pub fn load(file: Option<&Path>, database_url: Option<&str>) -> anyhow::Result<Self> {
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::read(file, database_url, variables)
    }

    fn read(
        file: Option<&Path>,
        database_url: Option<&str>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        // A misspelt setting must not be passed over, so every other variable of this prefix is an error.
        let settings = variables.filter(|(name, _)| !is_no_setting(name)).collect();
        let environment = Environment::with_prefix("LATCHKEY").source(Some(settings));
        let mut sources = Sources::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            sources = sources.add_source(File::from(file).format(FileFormat::Toml));
        }
        let sources = sources.add_source(environment).set_override_option("database_url", database_url)?;
        let config: Self = sources
            .build()
            .and_then(Sources::try_deserialize)
            .context("a setting is wrong; defaults.toml in the documentation names them all")?;
        config.check_ranges()?;
        config.check_combinations()?;
        Ok(config)
    }

    fn check_ranges(&self) -> anyhow::Result<()> {
        check_range("database_connections", self.database_connections, 2..=1_000)?;
        check_range("database_wait_seconds", self.database_wait_seconds, 0..=3_600)?;
        check_range("edge_batch_pairs", self.edge_batch_pairs, 1..=KV_BULK_LIMIT)?;
        check_range("usage_retention_days", self.usage_retention_days, 1..=USAGE_RETENTION_MAX_DAYS)?;
        for (setting, value) in [
            ("requests_per_second_of_key", self.requests_per_second_of_key),
            ("requests_per_second_of_address", self.requests_per_second_of_address),
        ] {
            check_range(setting, value, 0..=REQUESTS_PER_SECOND_MAX)?;
        }
        for (setting, value) in [
            ("requests_in_progress_of_key", self.requests_in_progress_of_key),
            ("requests_in_progress_of_address", self.requests_in_progress_of_address),
        ] {
            check_range(setting, value, 0..=100_000)?;
        }
        check_range("keep_alive_seconds", self.keep_alive_seconds, 1..=3_600)?;
        check_range("drain_seconds", self.drain_seconds, 0..=600)?;
        check_range("shutdown_seconds", self.shutdown_seconds, 1..=3_600)?;
        check_range("client_address_hops", self.client_address_hops, 1..=20)
    }

    fn check_combinations(&self) -> anyhow::Result<()> {
        let (drain, shutdown) = (self.drain_seconds, self.shutdown_seconds);
        anyhow::ensure!(
            drain < shutdown,
            "drain_seconds ({drain}) must be less than shutdown_seconds ({shutdown}), which includes it"
        );
        let is_postgres = self.database_url.expose_secret().starts_with("postgres");
        anyhow::ensure!(
            is_postgres || self.database_pooler == Pooler::None,
            "database_pooler is for Postgres; remove it, or set database_url to a `postgres://` URL"
        );
        Ok(())
    }

    /// The defaults alone, for tests.
    #[cfg(test)]
    pub(crate) fn defaults() -> Self {
        Self::read(None, None, std::iter::empty()).unwrap()
    }

    /// The edge's settings, if there is an edge.
    pub fn edge(&self) -> anyhow::Result<Option<EdgeConfig>> {
        if self.edge_kv_url.is_empty() {
            return Ok(None);
        }
        anyhow::ensure!(!self.edge_kv_namespace.is_empty(), "edge_kv_url is set, so edge_kv_namespace must be set too");
        anyhow::ensure!(
            !self.edge_url.is_empty(),
            "edge_kv_url is set, so edge_url must be set too: changes go to the Worker before they go to KV"
        );
        let secrets = EdgeSecrets::parse(self.edge_secret.expose_secret()).context("edge_secret")?;
        Ok(Some(EdgeConfig {
            url: self.edge_url.trim_end_matches('/').to_owned(),
            kv_url: self.edge_kv_url.trim_end_matches('/').to_owned(),
            kv_namespace: self.edge_kv_namespace.clone(),
            kv_token: self.edge_kv_token.clone(),
            secrets,
            batch_pairs: self.edge_batch_pairs,
        }))
    }
}

fn check_range<T: PartialOrd + Display>(setting: &str, value: T, range: RangeInclusive<T>) -> anyhow::Result<()> {
    anyhow::ensure!(
        range.contains(&value),
        "{setting} is {value}; it must be between {} and {}",
        range.start(),
        range.end()
    );
    Ok(())
}

/// Variables that share our prefix and are read elsewhere: by the command line, and by the tools that build and test.
fn is_no_setting(variable: &str) -> bool {
    ["LATCHKEY_CONFIG", "LATCHKEY_CACHE_DIR", "LATCHKEY_BIN"].contains(&variable)
        || variable.starts_with("LATCHKEY_TEST_")
}

/// The settings of a configured edge.
#[derive(Debug)]
pub struct EdgeConfig {
    /// Where the Worker answers, without a slash at its end.
    pub url: String,
    /// Base URL of the REST API, without a slash at its end.
    pub kv_url: String,
    /// The namespace's id.
    pub kv_namespace: String,
    /// The API token; empty for none.
    pub kv_token: SecretString,
    /// What records are sealed with.
    pub secrets: EdgeSecrets,
    /// How many records one bulk write takes along.
    pub batch_pairs: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_defaults_file_is_a_whole_configuration() {
        let config = Config::read(None, None, environment(&[])).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8787");
        assert!(config.edge().unwrap().is_none());
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchkey.toml");
        std::fs::write(&file, "listen = '127.0.0.1:1'\nlog_filter = 'warn'").unwrap();
        let config = Config::read(Some(&file), None, environment(&[("LATCHKEY_LISTEN", "127.0.0.1:2")])).unwrap();
        assert_eq!((config.listen.port(), config.log_filter.as_str()), (2, "warn"));
        assert_eq!(config.log_format, LogFormat::Text);
    }

    #[test]
    fn a_secret_of_digits_stays_as_it_is() {
        let digits = "01234567890123456789012345678901";
        let config = Config::read(None, None, environment(&[("LATCHKEY_EDGE_SECRET", digits)])).unwrap();
        assert_eq!(config.edge_secret.expose_secret(), digits);
    }

    #[test]
    fn a_setting_that_does_not_exist_is_named() {
        let error = Config::read(None, None, environment(&[("LATCHKEY_LISTEM", "x")])).unwrap_err();
        assert!(format!("{error:#}").contains("listem"), "{error:#}");
    }

    #[test]
    fn number_is_accepted_within_its_range_only() {
        for (setting, low, high) in [
            ("DATABASE_CONNECTIONS", 2, 1_000),
            ("DATABASE_WAIT_SECONDS", 0, 3_600),
            ("EDGE_BATCH_PAIRS", 1, 10_000),
            ("USAGE_RETENTION_DAYS", 1, 36_500),
            ("REQUESTS_PER_SECOND_OF_KEY", 0, 1_000_000),
            ("REQUESTS_PER_SECOND_OF_ADDRESS", 0, 1_000_000),
            ("REQUESTS_IN_PROGRESS_OF_KEY", 0, 100_000),
            ("REQUESTS_IN_PROGRESS_OF_ADDRESS", 0, 100_000),
            ("KEEP_ALIVE_SECONDS", 1, 3_600),
            ("DRAIN_SECONDS", 0, 24),
            ("SHUTDOWN_SECONDS", 6, 3_600),
            ("CLIENT_ADDRESS_HOPS", 1, 20),
        ] {
            let is_accepted = |value: &str| {
                let name = format!("LATCHKEY_{setting}");
                Config::read(None, None, environment(&[(&name, value)])).is_ok()
            };
            let values = [low - 1, low, high, high + 1].map(|value: i64| is_accepted(&value.to_string()));
            assert_eq!(values, [false, true, true, false], "{setting}");
            assert!(!is_accepted("x"), "{setting}");
        }
    }

    #[test]
    fn drain_that_outlasts_the_shutdown_is_refused() {
        let variables = [("LATCHKEY_DRAIN_SECONDS", "30"), ("LATCHKEY_SHUTDOWN_SECONDS", "30")];
        let error = Config::read(None, None, environment(&variables)).unwrap_err();
        assert!(error.to_string().contains("must be less than shutdown_seconds"), "{error}");
    }

    #[test]
    fn pooler_is_accepted_with_postgres_only() {
        let read = |pooler, url| {
            let variables = [("LATCHKEY_DATABASE_POOLER", pooler), ("LATCHKEY_DATABASE_URL", url)];
            Config::read(None, None, environment(&variables))
        };
        let config = read("transaction", "postgres://latchkey@db/latchkey").unwrap();
        assert_eq!(config.database_pooler, Pooler::Transaction);
        assert!(read("none", "sqlite:latchkey.db").is_ok());
        let error = read("transaction", "sqlite:latchkey.db").unwrap_err();
        assert!(error.to_string().contains("database_pooler is for Postgres"), "{error}");
        assert!(read("session", "postgres://latchkey@db/latchkey").is_err());
    }

    #[test]
    fn a_half_configured_edge_is_refused() {
        let half = [
            ("LATCHKEY_EDGE_KV_URL", "http://127.0.0.1:1"),
            ("LATCHKEY_EDGE_KV_NAMESPACE", "keys"),
            ("LATCHKEY_EDGE_URL", "http://127.0.0.1:2"),
        ];
        let error = Config::read(None, None, environment(&half)).unwrap().edge().unwrap_err();
        assert!(format!("{error:#}").contains("at least 32 characters"), "{error:#}");
    }
}
