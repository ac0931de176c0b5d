//! The settings: `defaults.toml`, then a file, then the environment.

use std::{env, net::SocketAddr, path::Path};

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
    pub edge_kv_url: String,
    pub edge_kv_namespace: String,
    pub edge_kv_token: SecretString,
    pub edge_secret: SecretString,
    pub edge_url: String,
    pub edge_batch_pairs: usize,
    pub usage_retention_days: u32,
    pub requests_per_second_of_key: u32,
    pub requests_per_second_of_address: u32,
    pub client_address_header: String,
    pub metrics_token: SecretString,
    pub log_format: LogFormat,
    pub log_filter: String,
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
        anyhow::ensure!(
            (1..=KV_BULK_LIMIT).contains(&config.edge_batch_pairs),
            "edge_batch_pairs must be between 1 and {KV_BULK_LIMIT}"
        );
        anyhow::ensure!(
            (1..=USAGE_RETENTION_MAX_DAYS).contains(&config.usage_retention_days),
            "usage_retention_days must be between 1 and {USAGE_RETENTION_MAX_DAYS}"
        );
        let rates = [config.requests_per_second_of_key, config.requests_per_second_of_address];
        anyhow::ensure!(
            rates.into_iter().all(|rate| rate <= REQUESTS_PER_SECOND_MAX),
            "requests_per_second_of_key and requests_per_second_of_address must be at most {REQUESTS_PER_SECOND_MAX}"
        );
        Ok(config)
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
    fn usage_is_kept_for_a_day_at_least() {
        for (days, is_right) in [("0", false), ("1", true), ("36500", true), ("36501", false), ("-1", false)] {
            let config = Config::read(None, None, environment(&[("LATCHKEY_USAGE_RETENTION_DAYS", days)]));
            assert_eq!(config.is_ok(), is_right, "{days}");
        }
    }

    #[test]
    fn limits_can_be_switched_off_and_have_bounds() {
        for (rate, is_right) in [("0", true), ("1000000", true), ("1000001", false), ("-1", false), ("x", false)] {
            for setting in ["LATCHKEY_REQUESTS_PER_SECOND_OF_KEY", "LATCHKEY_REQUESTS_PER_SECOND_OF_ADDRESS"] {
                let config = Config::read(None, None, environment(&[(setting, rate)]));
                assert_eq!(config.is_ok(), is_right, "{setting} {rate}");
            }
        }
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
