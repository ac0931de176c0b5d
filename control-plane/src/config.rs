//! The settings and their valid values. `config/sources.rs` reads them.

mod sources;

use std::{env, ffi::OsString, fmt::Display, net::SocketAddr, ops::RangeInclusive, path::Path};

use anyhow::{Context, anyhow, bail, ensure};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use shared::seal::EdgeSecrets;

use crate::encryption::keyring::Keyring;

/// The settings of `latchkey`. `defaults.toml` says what each one means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "documented once, in defaults.toml")]
pub struct Config {
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    pub database_url: SecretString,
    pub database_pooler: Pooler,
    pub database_connections: u32,
    pub database_wait_seconds: u64,
    pub encryption_key: SecretString,
    pub edge_kv_url: String,
    pub edge_kv_namespace: String,
    pub edge_kv_token: SecretString,
    pub edge_secret: SecretString,
    pub edge_url: String,
    pub edge_batch_pairs: usize,
    pub usage_retention_days: u32,
    pub event_retention_days: u32,
    pub api_key_expiry_reminder_days: String,
    pub webhook_private_networks: String,
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
    pub bootstrap_key_file: String,
    pub log_format: LogFormat,
    pub log_filter: String,
    #[serde(skip)]
    pub trimmed_secrets: Vec<String>,
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
/// A webhook is tried for three days, and needs its event as long.
const EVENT_RETENTION_MIN_DAYS: u32 = 4;
/// What the clock of limits can tell apart.
const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

/// The setting, which toml names at the end, and what is wrong with it.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    match text.trim().rsplit_once("\nin `") {
        Some((message, setting)) => format!("{} {message}", setting.trim_end_matches('`')),
        None => text.trim().replace('\n', " "),
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let error = "must be an IP address and a port, such as 127.0.0.1:8787 or [::1]:8787";
    text.parse().map_err(|_| serde::de::Error::custom(error))
}

impl Config {
    /// Reads the settings. `config_file`, if given, is read instead of the one that `LATCHKEY_CONFIG` names;
    /// `database_url`, if given, wins over every other source.
    pub fn load(config_file: Option<&Path>, database_url: Option<&str>) -> anyhow::Result<Self> {
        Self::read(config_file, database_url, env::vars_os())
    }

    fn read(
        config_file: Option<&Path>,
        database_url: Option<&str>,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Self> {
        let settings = sources::read(config_file, database_url, variables)?;
        let config: Result<Self, _> = settings.values.try_into();
        let mut config = config.map_err(|error| anyhow!("{}", one_line(&error)))?;
        config.trimmed_secrets = settings.trimmed_secrets;
        config.check_ranges()?;
        config.check_text()?;
        config.encryption_keyring()?;
        config.check_combinations()?;
        Ok(config)
    }

    fn check_ranges(&self) -> anyhow::Result<()> {
        check_range("database_connections", self.database_connections, 2..=1_000)?;
        check_range("database_wait_seconds", self.database_wait_seconds, 0..=3_600)?;
        check_range("edge_batch_pairs", self.edge_batch_pairs, 1..=KV_BULK_LIMIT)?;
        check_range("usage_retention_days", self.usage_retention_days, 1..=USAGE_RETENTION_MAX_DAYS)?;
        check_range(
            "event_retention_days",
            self.event_retention_days,
            EVENT_RETENTION_MIN_DAYS..=USAGE_RETENTION_MAX_DAYS,
        )?;
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

    /// What cannot be sent is refused here rather than left out later. No error holds a value.
    fn check_text(&self) -> anyhow::Result<()> {
        for (setting, token) in [("edge_kv_token", &self.edge_kv_token), ("metrics_token", &self.metrics_token)] {
            ensure!(
                token.expose_secret().chars().all(|c| matches!(c, ' '..='~')),
                "{setting} contains a line break or another character that an HTTP header cannot hold; set it to the \
                 token only"
            );
        }
        ensure!(
            !self.database_url.expose_secret().contains(char::is_control),
            "database_url contains a line break or another control character; set it to the URL only"
        );
        for (setting, url) in [("edge_kv_url", &self.edge_kv_url), ("edge_url", &self.edge_url)] {
            ensure!(
                !url.contains(|c: char| c.is_whitespace() || c.is_control()),
                "{setting} contains white space or a control character; set it to the URL only"
            );
        }
        Ok(())
    }

    /// The keys of `encryption_key`, if it is set.
    ///
    /// # Errors
    /// If it is not a key.
    pub(crate) fn encryption_keyring(&self) -> anyhow::Result<Option<Keyring>> {
        let key = self.encryption_key.expose_secret();
        let keyring = (!key.is_empty()).then(|| Keyring::parse(key).context("encryption_key is invalid"));
        keyring.transpose()
    }

    fn check_combinations(&self) -> anyhow::Result<()> {
        self.webhook_private_networks()?;
        let (drain, shutdown) = (self.drain_seconds, self.shutdown_seconds);
        ensure!(
            drain < shutdown,
            "drain_seconds ({drain}) must be less than shutdown_seconds ({shutdown}), which includes it"
        );
        let is_postgres = self.database_url.expose_secret().starts_with("postgres");
        ensure!(
            is_postgres || self.database_pooler == Pooler::None,
            "database_pooler applies only to Postgres; remove it, or set database_url to a `postgres://` URL"
        );
        Ok(())
    }

    /// The networks that webhooks may be sent to although they are not public.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn webhook_private_networks(&self) -> anyhow::Result<Vec<IpNet>> {
        let texts = self.webhook_private_networks.split(',').map(str::trim).filter(|text| !text.is_empty());
        let parse = |text: &str| {
            text.parse().map_err(|_| anyhow!("webhook_private_networks: `{text}` is not a network, such as 10.0.0.0/8"))
        };
        texts.map(parse).collect()
    }

    /// The defaults alone, for tests.
    #[cfg(test)]
    pub(crate) fn defaults() -> Self {
        Self::read(None, None, std::iter::empty()).unwrap()
    }

    /// The settings of the edge, if there is an edge.
    pub fn edge(&self) -> anyhow::Result<Option<EdgeConfig>> {
        let token = ("edge_kv_token", self.edge_kv_token.expose_secret());
        let required = [
            ("edge_kv_url", self.edge_kv_url.as_str()),
            ("edge_kv_namespace", &self.edge_kv_namespace),
            ("edge_secret", self.edge_secret.expose_secret()),
            ("edge_url", &self.edge_url),
        ];
        let Some((set, _)) = required.into_iter().chain([token]).find(|(_, value)| !value.is_empty()) else {
            return Ok(None);
        };
        let mut missing: Vec<&str> =
            required.iter().filter(|(_, value)| value.is_empty()).map(|(setting, _)| *setting).collect();
        // The KV that `wrangler dev` runs on this machine wants no token.
        if token.1.is_empty() && self.edge_kv_url.starts_with("https://api.cloudflare.com/") {
            missing.push(token.0);
        }
        if !missing.is_empty() {
            bail!("{set} is set, so the other settings of the edge must be set too; missing: {}", missing.join(", "));
        }
        let secrets = EdgeSecrets::parse(self.edge_secret.expose_secret()).context("edge_secret is invalid")?;
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
    ensure!(range.contains(&value), "{setting} is {value}; it must be between {} and {}", range.start(), range.end());
    Ok(())
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

    fn environment(variables: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>().into_iter()
    }

    fn from_environment(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::read(None, None, environment(variables))
    }

    /// The whole of an error, as `latchkey` prints it.
    #[track_caller]
    fn refusal<T: std::fmt::Debug>(result: anyhow::Result<T>) -> String {
        format!("{:#}", result.unwrap_err())
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
    fn unknown_setting_is_named() {
        for name in ["LATCHKEY_LISTEM", "LATCHKEY_PORT", "LATCHKEY_EDGE_KV_TOKN_FILE", "LATCHKEY_SERVICE_NAME"] {
            let error = refusal(from_environment(&[(name, "hush")]));
            assert!(error.contains(name) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn variables_of_kubernetes_services_are_ignored_and_settings_never() {
        let config = from_environment(&[
            ("LATCHKEY_PORT", "tcp://10.96.0.1:8787"),
            ("LATCHKEY_SERVICE_HOST", "10.96.0.1"),
            ("LATCHKEY_SERVICE_PORT", "8787"),
            ("LATCHKEY_SERVICE_PORT_HTTP", "8787"),
            ("LATCHKEY_PORT_8787_TCP", "tcp://10.96.0.1:8787"),
            ("LATCHKEY_PORT_8787_TCP_ADDR", "10.96.0.1"),
            ("LATCHKEY_EDGE_PORT", "tcp://10.96.0.2:80"),
            ("LATCHKEY_LISTEN", "127.0.0.1:9"),
        ]);
        assert_eq!(config.unwrap().listen.port(), 9);
    }

    #[test]
    fn blank_value_counts_as_not_set() {
        for blank in ["", " ", "\n"] {
            for setting in toml::from_str::<toml::Table>(sources::DEFAULTS).unwrap().keys() {
                let name = format!("LATCHKEY_{}", setting.to_uppercase());
                let config = from_environment(&[(&name, blank)]).unwrap();
                assert_eq!(config.database_url.expose_secret(), "sqlite:latchkey.db", "{name}");
            }
            let config = Config::read(Some(Path::new(blank)), Some(blank), environment(&[("LATCHKEY_CONFIG", blank)]));
            assert_eq!(config.unwrap().database_url.expose_secret(), "sqlite:latchkey.db");
        }
    }

    #[test]
    fn config_file_is_found_through_the_environment_and_the_command_line_wins() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        std::fs::write(&one, "listen = '127.0.0.1:1'").unwrap();
        std::fs::write(&other, "listen = '127.0.0.1:2'").unwrap();
        let variables = [("LATCHKEY_CONFIG", one.to_str().unwrap())];
        assert_eq!(from_environment(&variables).unwrap().listen.port(), 1);
        let config = Config::read(Some(&other), None, environment(&variables)).unwrap();
        assert_eq!(config.listen.port(), 2);
    }

    #[test]
    fn white_space_at_the_ends_of_a_value_is_ignored_and_remembered_of_secrets() {
        let config = from_environment(&[
            ("LATCHKEY_EDGE_KV_TOKEN", "token\r\n"),
            ("LATCHKEY_EDGE_URL", " https://keys.example.com\n"),
            ("LATCHKEY_DRAIN_SECONDS", "7\n"),
        ]);
        let config = config.unwrap();
        assert_eq!(config.edge_kv_token.expose_secret(), "token");
        assert_eq!((config.edge_url.as_str(), config.drain_seconds), ("https://keys.example.com", 7));
        assert_eq!(config.trimmed_secrets, ["LATCHKEY_EDGE_KV_TOKEN"]);
    }

    #[test]
    fn value_that_cannot_be_sent_is_refused_by_name() {
        for (setting, value) in [
            ("EDGE_KV_TOKEN", "hush\nhush"),
            ("EDGE_KV_TOKEN", "hush\u{7f}"),
            ("EDGE_KV_TOKEN", "hüsh"),
            ("METRICS_TOKEN", "hush\thush"),
            ("DATABASE_URL", "postgres://me:hush\n@db/x"),
            ("EDGE_URL", "https://hush\n.example.com"),
            ("EDGE_KV_URL", "https://hush .example.com"),
        ] {
            let error = refusal(from_environment(&[(&format!("LATCHKEY_{setting}"), value)]));
            assert!(error.contains(&setting.to_lowercase()) && !error.contains("hush"), "{setting}: {error}");
        }
    }

    #[test]
    fn invalid_encryption_key_is_refused_by_name_and_not_shown() {
        let key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDE=";
        let read = |value: &str| from_environment(&[("LATCHKEY_ENCRYPTION_KEY", value)]);
        for valid in [key.to_owned(), format!("{key},{key}"), format!(" {key} ,\t{key}\n")] {
            read(&valid).unwrap();
        }
        for invalid in [
            "hush".to_owned(),
            "aHVzaA==".to_owned(),
            key.trim_end_matches('=').to_owned(),
            key.replace("c2V", "-_V"),
            format!("{key},"),
            format!(",{key}"),
            format!("{key},hush"),
            format!("{key},{key},{key}"),
            format!("{key}{key}"),
        ] {
            let error = refusal(read(&invalid));
            assert!(
                error.contains("encryption_key") && error.contains("openssl rand -base64 32"),
                "{invalid}: {error}"
            );
            assert!(["hush", "aHV", "jcmV0"].iter().all(|part| !error.contains(part)), "{invalid}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn variable_that_is_not_utf8_is_named() {
        use std::os::unix::ffi::OsStringExt;
        let bad = || OsString::from_vec(b"hush\xff".to_vec());
        let error = refusal(Config::read(None, None, [("LATCHKEY_EDGE_SECRET".into(), bad())].into_iter()));
        assert!(error.contains("LATCHKEY_EDGE_SECRET is not valid UTF-8") && !error.contains("hush"), "{error}");
        assert!(Config::read(None, None, [("OTHER".into(), bad()), (bad(), bad())].into_iter()).is_ok());
    }

    #[test]
    fn secret_is_read_from_the_file_that_its_setting_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        // Valid for all of them.
        let key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDE=";
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let config_file = folder.path().join("latchkey.toml");
        let path = file.to_str().unwrap();
        for secret in sources::SECRETS {
            let variable = format!("LATCHKEY_{}_FILE", secret.to_uppercase());
            std::fs::write(&config_file, format!("{secret}_file = '{path}'")).unwrap();
            for config in
                [from_environment(&[(&variable, path)]), Config::read(Some(&config_file), None, environment(&[]))]
            {
                let config = config.unwrap();
                let values = [
                    &config.database_url,
                    &config.encryption_key,
                    &config.edge_kv_token,
                    &config.edge_secret,
                    &config.metrics_token,
                ];
                let read = values.iter().filter(|value| value.expose_secret() == key).count();
                assert_eq!(read, 1, "{secret}");
            }
            let value = format!("LATCHKEY_{}", secret.to_uppercase());
            let error = refusal(from_environment(&[(&variable, path), (&value, "hush")]));
            assert!(error.contains(&variable) && error.contains(&format!("{value} and")), "{error}");
        }
    }

    #[test]
    fn database_url_of_the_command_line_wins_over_a_secret_file() {
        let variables = [("LATCHKEY_DATABASE_URL_FILE", "/nowhere")];
        let config = Config::read(None, Some("sqlite:other.db"), environment(&variables)).unwrap();
        assert_eq!(config.database_url.expose_secret(), "sqlite:other.db");
    }

    #[test]
    fn secret_file_that_is_no_use_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let file = folder.path().join(name);
            std::fs::write(&file, content).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let files = [
            folder.path().join("absent").to_str().unwrap().to_owned(),
            folder.path().to_str().unwrap().to_owned(),
            write("empty", b""),
            write("blank", b" \n"),
            write("binary", b"hush\xff"),
            write("long", &[b'x'; 65_537]),
        ];
        for file in files {
            let error = refusal(from_environment(&[("LATCHKEY_EDGE_SECRET_FILE", &file)]));
            assert!(error.contains(&file) && error.contains("LATCHKEY_EDGE_SECRET_FILE"), "{error}");
        }
    }

    #[test]
    fn configuration_file_error_names_the_place_and_quotes_no_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchkey.toml");
        for (content, named) in [
            ("listen = '127.0.0.1:1'\nedge_secret = 'hush", "line 2"),
            ("edge_secret = hush", "line 1"),
            ("edge_secret = 1\nedge_secret = 'hush'", "line 2"),
            ("database_url = ['hush']", "`database_url`"),
            ("database_url = { hush = 'hush' }", "`database_url`"),
            ("edge_secret = 12345", "`edge_secret`"),
            ("drain_seconds = 'hush'", "`drain_seconds`"),
            ("listen = 'hush'", "listen"),
            ("log_format = 'hush'", "log_format"),
            ("listem = 'hush'", "`listem`"),
            ("[edge]\nsecret = 'hush'", "`edge`"),
        ] {
            std::fs::write(&file, content).unwrap();
            let error = refusal(Config::read(Some(&file), None, environment(&[])));
            assert!(error.contains(named) && !error.contains("hush") && !error.contains('\n'), "{content}: {error}");
        }
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
        assert!(error.to_string().contains("database_pooler applies only to Postgres"), "{error}");
        assert!(read("session", "postgres://latchkey@db/latchkey").is_err());
    }

    #[test]
    fn part_of_an_edge_is_refused_with_what_is_missing() {
        let secret = "an edge secret of the tests and nobody else";
        let all = [
            ("edge_kv_url", "http://127.0.0.1:1"),
            ("edge_kv_namespace", "keys"),
            ("edge_secret", secret),
            ("edge_url", "http://127.0.0.1:2"),
            ("edge_kv_token", "token"),
        ];
        let edge = |settings: &[(&str, &str)]| {
            let variables: Vec<(String, &str)> =
                settings.iter().map(|(name, value)| (format!("LATCHKEY_{}", name.to_uppercase()), *value)).collect();
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            from_environment(&variables).unwrap().edge()
        };
        assert!(edge(&all).unwrap().is_some());
        assert!(edge(&all[..4]).unwrap().is_some(), "the KV of this machine wants no token");
        for only in &all {
            let error = refusal(edge(&[*only]));
            for (other, _) in all[..4].iter().filter(|(other, _)| *other != only.0) {
                assert!(error.contains(other), "{}: {error}", only.0);
            }
        }
        let cloudflare = [("edge_kv_url", "https://api.cloudflare.com/client/v4/accounts/x"), all[1], all[2], all[3]];
        assert!(refusal(edge(&cloudflare)).contains("missing: edge_kv_token"));
        let error = refusal(edge(&[all[0], all[1], all[3], ("edge_secret", "short")]));
        assert!(error.contains("at least 32 characters"), "{error}");
    }
}
