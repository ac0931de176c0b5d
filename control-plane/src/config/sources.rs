//! Reads settings from `defaults.toml`, then a file, then the environment, then the command line.
//!
//! Every value is checked where its source is known, so that an error names the variable or the file. No error holds a
//! value, because any value may be a secret that was put in the wrong place.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use toml::{Table, Value};

/// Documents every setting, and gives each its default.
pub(super) const DEFAULTS: &str = include_str!("../../defaults.toml");

/// The settings that are secrets. Each can also be read from a file, which the setting `<name>_file` names.
pub(super) const SECRETS: [&str; 5] =
    ["database_url", "encryption_key", "edge_kv_token", "edge_secret", "metrics_token"];

/// What the variables that are settings begin with.
const PREFIX: &str = "LATCHKEY_";
/// The longest file that a secret is read from, in bytes.
const SECRET_FILE_LIMIT: u64 = 64 * 1024;
/// The longest configuration file, in bytes.
const CONFIG_FILE_LIMIT: u64 = 1024 * 1024;

/// The settings of all sources, the secrets of files among them.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) values: Table,
    /// The secrets that had white space at their ends, by the names of their sources.
    pub(super) trimmed_secrets: Vec<String>,
}

/// Reads all sources. An empty value of the environment or of the command line counts as not set.
pub(super) fn read(
    config_file: Option<&Path>,
    database_url: Option<&str>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Settings> {
    let defaults: Table = toml::from_str(DEFAULTS).context("defaults.toml")?;
    let mut merger = Merger { defaults: &defaults, values: HashMap::new(), trimmed_secrets: vec![] };

    let variables: Vec<_> = variables.filter_map(|(name, value)| Variable::new(&name, value)).collect();
    let in_environment = variables.iter().find(|variable| variable.setting == "config");
    let in_environment = in_environment.map(|variable| PathBuf::from(&variable.value));
    let config_file = config_file.filter(|file| !is_blank(file.as_os_str())).map(Path::to_owned).or(in_environment);
    if let Some(file) = &config_file {
        merger.add_file(file)?;
    }
    for variable in variables {
        merger.add_variable(variable)?;
    }
    if let Some(url) = database_url.filter(|url| !url.trim().is_empty()) {
        merger.remove("database_url_file");
        merger.add("database_url", "--database-url".to_owned(), Value::String(url.to_owned()))?;
    }
    merger.read_secret_files()?;
    Ok(merger.finish())
}

/// A variable of the environment that has a value and our prefix.
struct Variable {
    name: String,
    setting: String,
    value: OsString,
}

impl Variable {
    fn new(name: &OsStr, value: OsString) -> Option<Self> {
        let name = name.to_string_lossy().into_owned();
        let setting = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX))?;
        let setting = name[setting.len()..].to_ascii_lowercase();
        (!is_blank(&value)).then_some(Self { name, setting, value })
    }

    /// Whether it is read elsewhere: as the name of the configuration file, by commands that call a server, or by the
    /// tools that build and test.
    fn is_read_elsewhere(&self) -> bool {
        let of_commands = ["server", "management_key", "management_key_file", "webhook_secret"];
        let of_others = ["config", "cache_dir", "bin"];
        of_commands.iter().chain(&of_others).any(|name| *name == self.setting) || self.setting.starts_with("test_")
    }
}

/// Without white space at its ends, to which the mark belongs with which some editors begin a file.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|value| value.trim().is_empty())
}

/// Whether Kubernetes sets such a variable for a Service whose name begins with `latchkey`, as in
/// `LATCHKEY_SERVICE_HOST` or `LATCHKEY_EDGE_PORT_8787_TCP_ADDR`.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_kubernetes_service(setting: &str, value: &str) -> bool {
    let words: Vec<&str> = setting.split('_').collect();
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_protocol = |word: &str| ["tcp", "udp", "sctp"].contains(&word);
    match words[..] {
        // The Service may have words more in its name, and each port a name.
        [.., "service", "host"] => value.parse::<std::net::IpAddr>().is_ok(),
        [.., "port"] if is_url => true,
        [.., "port", port, protocol] if is_number(port) && is_protocol(protocol) => is_url,
        [.., "port", port, protocol, "proto" | "port" | "addr"] => is_number(port) && is_protocol(protocol),
        _ => words.windows(2).any(|pair| pair == ["service", "port"]) && is_number(value),
    }
}

/// Adds one source after the other: what comes later wins.
struct Merger<'a> {
    defaults: &'a Table,
    /// What was set, and where, as people name it.
    values: HashMap<&'a str, (Value, String)>,
    trimmed_secrets: Vec<String>,
}

impl Merger<'_> {
    fn add_file(&mut self, file: &Path) -> anyhow::Result<()> {
        let shown = file.display();
        let text = read_text(file, CONFIG_FILE_LIMIT)
            .with_context(|| format!("cannot read the configuration file {shown}"))?;
        // The error's own text would quote the line, which may hold a secret.
        let table: Table = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            anyhow::anyhow!("the configuration file {shown} is not valid TOML (line {line})")
        })?;
        for (setting, value) in table {
            self.add(&setting, format!("`{setting}` in {shown}"), value)?;
        }
        Ok(())
    }

    fn add_variable(&mut self, variable: Variable) -> anyhow::Result<()> {
        if variable.is_read_elsewhere() {
            return Ok(());
        }
        let Variable { name, setting, value } = variable;
        let Some(value) = value.to_str() else { bail!("{name} is not valid UTF-8") };
        if !self.defaults.contains_key(&setting) && is_kubernetes_service(&setting, value) {
            return Ok(());
        }
        self.add(&setting, name, Value::String(value.to_owned()))
    }

    fn add(&mut self, setting: &str, source: String, value: Value) -> anyhow::Result<()> {
        let Some((setting, default)) = self.defaults.get_key_value(setting) else {
            bail!("{source} is not a setting of Latchkey; the README and defaults.toml list all settings");
        };
        let value = match (default, value) {
            (Value::Integer(_), Value::Integer(number)) => Value::Integer(number),
            (Value::Integer(_), Value::String(text)) => {
                let number = trimmed(&text).parse().ok();
                Value::Integer(number.with_context(|| format!("{source} must be a whole number"))?)
            }
            (Value::Integer(_), _) => bail!("{source} must be a whole number"),
            (_, Value::String(text)) => {
                if trimmed(&text) != text && SECRETS.contains(&setting.as_str()) {
                    self.trimmed_secrets.push(source.clone());
                }
                Value::String(trimmed(&text).to_owned())
            }
            _ => bail!("{source} must be a string in quotes"),
        };
        self.values.insert(setting, (value, source));
        Ok(())
    }

    fn remove(&mut self, setting: &str) {
        self.values.remove(setting);
    }

    fn read_secret_files(&mut self) -> anyhow::Result<()> {
        for secret in SECRETS {
            let Some((setting, _)) = self.defaults.get_key_value(secret) else { continue };
            let Some((Value::String(file), source)) = self.values.remove(format!("{secret}_file").as_str()) else {
                continue;
            };
            if file.is_empty() {
                continue;
            }
            if let Some((_, other)) = self.values.get(secret).filter(|(value, _)| value.as_str() != Some("")) {
                bail!("{other} and {source} are both set; set only one of them");
            }
            let text = read_text(Path::new(&file), SECRET_FILE_LIMIT)
                .with_context(|| format!("cannot read {file}, the file that {source} names"))?;
            ensure!(!trimmed(&text).is_empty(), "{file}, the file that {source} names, is empty");
            self.values.insert(setting, (Value::String(trimmed(&text).to_owned()), source));
        }
        Ok(())
    }

    fn finish(self) -> Settings {
        let mut values = self.defaults.clone();
        values.extend(self.values.into_iter().map(|(setting, (value, _))| (setting.to_owned(), value)));
        for secret in SECRETS {
            values.remove(&format!("{secret}_file"));
        }
        Settings { values, trimmed_secrets: self.trimmed_secrets }
    }
}

fn read_text(file: &Path, limit: u64) -> anyhow::Result<String> {
    let mut bytes = vec![];
    File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    ensure!(u64::try_from(bytes.len()).is_ok_and(|length| length <= limit), "it is longer than {limit} bytes");
    String::from_utf8(bytes).ok().context("it is not valid UTF-8")
}

#[cfg(test)]
mod tests {
    use super::is_kubernetes_service;

    #[test]
    fn variable_of_a_kubernetes_service_is_recognized_by_its_name_and_value() {
        for (setting, value) in [
            ("port", "tcp://10.96.0.1:8787"),
            ("service_host", "10.96.0.1"),
            ("service_host", "fd00::1"),
            ("service_port", "8787"),
            ("service_port_http", "8787"),
            ("service_port_http_metrics", "9000"),
            ("port_8787_tcp", "tcp://10.96.0.1:8787"),
            ("port_8787_tcp_proto", "tcp"),
            ("port_8787_tcp_port", "8787"),
            ("port_8787_tcp_addr", "10.96.0.1"),
            ("port_53_udp", "udp://10.96.0.1:53"),
            ("edge_port", "tcp://10.96.0.1:80"),
            ("edge_service_host", "10.96.0.1"),
            ("edge_service_port_https", "443"),
            ("control_plane_port_8787_tcp_addr", "10.96.0.1"),
        ] {
            assert!(is_kubernetes_service(setting, value), "{setting}={value}");
        }
        for (setting, value) in [
            ("port", "8787"),
            ("listem", "127.0.0.1:8787"),
            ("service_host", "db.example.com"),
            ("service_port", "http"),
            ("service_name", "latchkey"),
            ("port_8787", "tcp://10.96.0.1:8787"),
            ("port_http_tcp", "tcp://10.96.0.1:8787"),
            ("database_port", "5432"),
            ("export", "tcp://10.96.0.1:8787"),
        ] {
            assert!(!is_kubernetes_service(setting, value), "{setting}={value}");
        }
    }
}
