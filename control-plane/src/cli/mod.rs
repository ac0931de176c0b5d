//! The commands of `latchkey`. Results go to standard output, logs and progress to standard error.

/// Prints a line of results, or returns with the error. `println!` panics when nobody reads any more, as after `| head`.
macro_rules! print_line {
    ($($text:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)))?
    };
}

mod backup;
mod database;
mod doctor;
mod edge;
mod environments;
mod events;
mod first_run;
mod follow;
mod logging;
mod management_keys;
mod migrate;
mod openapi;
mod reencrypt;
mod remote;
mod secret_file;
mod serve;
mod terminal;
mod webhooks;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

use crate::config::Config;

/// The heading of the options that all commands have, so that each command lists its own first.
const SETTINGS: &str = "Settings of the server";

/// API keys for the customers of your product.
///
/// `latchkey serve` runs the management API. By default it stores its data in `latchkey.db` in the current directory,
/// and creates that file on the first run. Commands that open the database read the same settings: give them the same
/// `--config`, `--database-url` and environment variables as `serve`. If something does not work, run
/// `latchkey doctor`.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, arg_required_else_help = true)]
pub struct Cli {
    /// Read settings from this TOML file. Default: the file that LATCHKEY_CONFIG names, if it is set.
    ///
    /// Environment variables override the file: LATCHKEY_LISTEN sets `listen`.
    // As text, because clap refuses an empty path, which counts as none here.
    #[arg(long, global = true, value_name = "FILE", help_heading = SETTINGS)]
    config: Option<OsString>,

    /// Use this database: `sqlite:FILE` or `postgres://…`. Overrides the setting `database_url`.
    #[arg(long, global = true, value_name = "URL", help_heading = SETTINGS)]
    database_url: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the management API and its background tasks, until SIGTERM or Ctrl-C.
    ///
    /// The first run creates an environment and a management key, and the SQLite database if it does not exist. It
    /// prints the key once, or writes it to the file that LATCHKEY_BOOTSTRAP_KEY_FILE names. Only one process at a time
    /// can serve a SQLite database; several can share a Postgres database.
    Serve,
    /// Apply the database migrations that this version needs. `serve` does the same at startup.
    ///
    /// Creates the SQLite database if it does not exist.
    Migrate,
    /// Back up the SQLite database to a file. `serve` can keep running.
    ///
    /// The backup is the database at one point in time, verified. Do not copy a live database with `cp`: the copy lacks
    /// the changes that are in the -wal file. For Postgres, use `pg_dump` or point-in-time recovery.
    Backup {
        /// The file to create. It must not exist.
        file: PathBuf,
    },
    /// Check this installation and say how to fix each problem.
    ///
    /// Checks the settings, the database, Workers KV, the Worker and the change feed, and changes nothing. Exits with
    /// code 1 if there is an error; notes and warnings do not count.
    Doctor {
        /// Print the findings as a JSON array. Each has `level` (`ok`, `note`, `warning` or `error`), `code`, `message`
        /// and `advice` (null if there is nothing to do).
        #[arg(long)]
        json: bool,
    },
    /// Re-encrypt stored secrets with a new encryption key, as the last step but one of replacing it.
    ///
    /// Run it once every process has `encryption_key` set to the new key and, after a comma, the old one.
    /// docs/OPERATIONS.md has all steps.
    Reencrypt,
    /// Create and list environments, such as staging and production.
    #[command(subcommand)]
    Environments(environments::Command),
    /// Create, list and revoke management keys, with which your back end calls the API.
    #[command(subcommand)]
    ManagementKeys(management_keys::Command),
    /// Verify, rebuild and inspect the edge: Workers KV and the change feed.
    #[command(subcommand)]
    Edge(edge::Command),
    /// Follow the events of a server: what was created, changed and deleted, and by whom.
    #[command(subcommand)]
    Events(events::Command),
    /// Receive webhooks on this machine while you develop.
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Print the OpenAPI document of the management API.
    Openapi,
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        // These commands read no settings. Two of them call a server, which is mostly on another machine.
        match self.command {
            Command::Openapi => return openapi::run(),
            Command::Events(command) => return events::run(command).await,
            Command::Webhooks(command) => return webhooks::run(command).await,
            _ => {}
        }
        let config = Config::load(self.config.as_deref().map(Path::new), self.database_url.as_deref());
        if let Command::Doctor { json } = self.command {
            return doctor::run(config, json).await;
        }
        let config = config?;
        logging::start(&config)?;
        match self.command {
            Command::Serve => serve::run(&config).await,
            Command::Migrate => migrate::run(&config).await,
            Command::Backup { file } => backup::run(&config, &file).await,
            Command::Reencrypt => reencrypt::run(&config, &database::open_migrated(&config).await?).await,
            Command::Environments(command) => {
                environments::run(command, &database::open_migrated(&config).await?).await
            }
            Command::ManagementKeys(command) => {
                management_keys::run(command, &config, &database::open_migrated(&config).await?).await
            }
            Command::Edge(command) => edge::run(command, &config, &database::open_migrated(&config).await?).await,
            Command::Doctor { .. } | Command::Events(_) | Command::Webhooks(_) | Command::Openapi => Ok(()),
        }
    }
}
