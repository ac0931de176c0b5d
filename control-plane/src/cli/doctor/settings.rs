//! Findings that follow from the settings alone.

use secrecy::ExposeSecret;

use super::findings::Finding;
use crate::{config::Config, service::api_keys::ExpiryReminders};

/// Secrets with white space, and metrics for everybody.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<_> = config.trimmed_secrets.iter().map(|source| trimmed(source)).collect();
    findings.extend(
        [
            ("edge_kv_token", &config.edge_kv_token),
            ("edge_secret", &config.edge_secret),
            ("metrics_token", &config.metrics_token),
        ]
        .into_iter()
        .filter(|(_, secret)| secret.expose_secret().contains(|c: char| c.is_whitespace() || c.is_control()))
        .map(|(setting, _)| white_space(setting)),
    );
    findings.extend(reminders(config));
    findings.push(metrics(config));
    findings
}

/// `latchkey serve` does not start with it.
fn reminders(config: &Config) -> Option<Finding> {
    let error = config.api_key_expiry_reminder_days.parse::<ExpiryReminders>().err()?;
    Some(Finding::error("settings_invalid", format!("api_key_expiry_reminder_days {error}"), "correct it"))
}

fn trimmed(source: &str) -> Finding {
    Finding::warning(
        "secret_has_white_space",
        format!("{source} begins or ends with white space, which Latchkey ignores"),
        "remove it, because other programs that use the same value may not ignore it",
    )
}

fn white_space(setting: &str) -> Finding {
    Finding::warning(
        "secret_has_white_space",
        format!("{setting} contains white space or a control character"),
        "check that it was copied completely and without line breaks; the other side must have exactly the same value",
    )
}

fn metrics(config: &Config) -> Finding {
    let listen = config.listen;
    if !config.metrics_token.expose_secret().is_empty() {
        return Finding::ok("metrics_need_token", "GET /metrics requires the metrics token");
    }
    if listen.ip().is_loopback() {
        return Finding::ok("metrics_on_loopback", format!("GET /metrics is served on {listen} only"));
    }
    Finding::warning(
        "metrics_without_token",
        format!(
            "GET /metrics requires no token: {listen} serves it to every program on this machine, and to everyone if a \
             proxy on this machine forwards requests without a header such as X-Forwarded-For"
        ),
        "set LATCHKEY_METRICS_TOKEN, and configure it in Prometheus as a bearer token",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(config: &Config) -> Vec<String> {
        look(config).into_iter().filter(|finding| finding.advice.is_some()).map(|finding| finding.message).collect()
    }

    #[test]
    fn defaults_have_no_warning() {
        assert_eq!(warnings(&Config::defaults()), [""; 0]);
    }

    #[test]
    fn secret_with_white_space_is_named_and_not_shown() {
        let mut config = Config::defaults();
        config.trimmed_secrets = vec!["LATCHKEY_EDGE_KV_TOKEN".to_owned()];
        config.edge_secret = "hush\nhush".to_owned().into();
        let warnings = warnings(&config);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("LATCHKEY_EDGE_KV_TOKEN") && warnings[1].contains("edge_secret"), "{warnings:?}");
        assert!(!warnings.concat().contains("hush"));
    }

    #[test]
    fn reminders_that_the_server_does_not_start_with_are_reported() {
        let config = Config { api_key_expiry_reminder_days: "0".to_owned(), ..Config::defaults() };
        assert!(warnings(&config)[0].starts_with("api_key_expiry_reminder_days must be"));
    }

    #[test]
    fn metrics_without_token_are_warned_about_unless_loopback() {
        let mut config = Config::defaults();
        config.listen = "0.0.0.0:8787".parse().unwrap();
        assert!(warnings(&config)[0].contains("GET /metrics"));
        config.metrics_token = "token".to_owned().into();
        assert_eq!(warnings(&config), [""; 0]);
    }
}
