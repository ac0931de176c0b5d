//! The commands of `latchkey`. Results go to standard output, logs and progress to standard error.

/// Prints a line of results, or returns with the error. `println!` panics when nobody reads any more, as after `| head`.
macro_rules! print_line {
    ($($text:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)))?
    };
}

mod doctor;
mod edge;
mod environments;
mod management_keys;
mod migrate;
mod openapi;
mod serve;

use std::{ffi::OsString, io::IsTerminal, path::Path, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use secrecy::ExposeSecret;
use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    config::{Config, LogFormat},
    storage::{Db, OpenOptions},
};

/// API keys for the customers of your product.
///
/// `latchkey serve` runs the management API. Without any settings it keeps its data in `latchkey.db` beside it.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, arg_required_else_help = true)]
pub struct Cli {
    /// Read settings from this file (TOML). Each can also be set in the environment, as LATCHKEY_LISTEN for `listen`.
    /// Without it, the file that LATCHKEY_CONFIG names is read, if it names one.
    // As text, because clap refuses an empty path, which counts as none here.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<OsString>,

    /// The database: `sqlite:FILE` or `postgres://…`.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the management API and the publisher, until SIGTERM or Ctrl-C.
    Serve,
    /// Bring the database to the state that this version needs. `serve` does so by itself.
    Migrate,
    /// Say what is wrong with this installation, and what to do about it.
    Doctor,
    /// Create and list environments: staging, production, or one for each product.
    #[command(subcommand)]
    Environments(environments::Command),
    /// Create, list and revoke the keys of your own back end.
    #[command(subcommand)]
    ManagementKeys(management_keys::Command),
    /// Compare and rebuild what the edge stores.
    #[command(subcommand)]
    Edge(edge::Command),
    /// Print the OpenAPI document of the management API.
    Openapi,
}

impl Cli {
    /// Does what was asked.
    pub async fn run(self) -> anyhow::Result<()> {
        if let Command::Openapi = self.command {
            return openapi::run();
        }
        let config = Config::load(self.config.as_deref().map(Path::new), self.database_url.as_deref())?;
        start_logging(&config)?;
        if let Command::Doctor = self.command {
            return doctor::run(&config).await;
        }
        // Whoever types a command does not want to wait.
        let waits = matches!(self.command, Command::Serve | Command::Migrate);
        let wait = if waits { config.database_wait_seconds } else { 0 };
        let db = open(&config, Duration::from_secs(wait)).await?;
        match self.command {
            Command::Serve => serve::run(&config, db).await,
            Command::Migrate => migrate::run(&db).await,
            Command::Environments(command) => environments::run(command, &db).await,
            Command::ManagementKeys(command) => management_keys::run(command, &config, &db).await,
            Command::Edge(command) => edge::run(command, &config, &db).await,
            Command::Doctor | Command::Openapi => Ok(()),
        }
    }
}

/// The URL holds a password, so an error that quotes it must not pass: it says the kind of database alone.
async fn open(config: &Config, wait: Duration) -> anyhow::Result<Db> {
    let url = config.database_url.expose_secret();
    Db::open_with(url, &OpenOptions { wait, ..OpenOptions::from_config(config) }).await.map_err(|error| {
        let kind = url.split(':').next().unwrap_or_default();
        error.context(format!("cannot open the {kind} database; check database_url"))
    })
}

fn start_logging(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter).context("log_filter")?;
    let on_terminal = std::io::stderr().is_terminal();
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(on_terminal);
    match config.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
