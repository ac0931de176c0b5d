use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::config::{Config, LogFormat};

/// A lone word that is no level would be taken for the name of a part of the program, and all others would log nothing.
fn log_filter(text: &str) -> Option<EnvFilter> {
    let has_level = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
    text.split(',').any(has_level).then(|| EnvFilter::try_new(text).ok()).flatten()
}

/// Starts to log to standard error.
pub(super) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = log_filter(&config.log_filter).context(
        "log_filter must be `error`, `warn`, `info`, `debug`, `trace` or `off`, or a filter such as `info,sqlx=debug`",
    )?;
    let on_terminal = std::io::stderr().is_terminal();
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(on_terminal);
    match config.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
