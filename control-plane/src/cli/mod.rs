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
mod first_run;
mod logging;
mod management_keys;
mod migrate;
mod openapi;
mod secret_file;
mod serve;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

use crate::config::Config;

/// API keys for the customers of your product.
///
/// `latchkey serve` runs the management API. Without any settings it keeps its data in `latchkey.db`, in the folder that it
/// is started in, and creates that file on its first run. All other commands use the same settings: give them the same
/// `--config`, `--database-url` and environment as `serve`. `latchkey doctor` says what is wrong, and what to do about it.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, arg_required_else_help = true)]
pub struct Cli {
    /// Read settings from this TOML file. Default: the file named by LATCHKEY_CONFIG, if that is set.
    ///
    /// Each setting can also be set in the environment, as LATCHKEY_LISTEN for `listen`, which wins over the file.
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
    ///
    /// The first run creates the SQLite database if there is none, an environment, and a management key for it. The key is
    /// printed once, or written to the file that LATCHKEY_BOOTSTRAP_KEY_FILE names. A SQLite database is served by one
    /// process at a time; a Postgres database can be shared by several.
    Serve,
    /// Apply the database migrations that this version needs. `serve` does so when it starts.
    ///
    /// Creates the SQLite database if there is none.
    Migrate,
    /// Copy the SQLite database to a file, while `serve` runs.
    ///
    /// The copy is the database as it is at one moment, and has been checked. Do not use `cp` on a running database: it
    /// leaves out what is in the -wal file. For Postgres, use `pg_dump` or point-in-time recovery.
    Backup {
        /// The file to create. It must not exist.
        file: PathBuf,
    },
    /// Check this installation, and say what to do about each problem.
    ///
    /// Looks at the settings, the database, Workers KV, the Worker and the change feed, and changes nothing. Exits with 1
    /// if there is an error; notes and warnings do not count.
    Doctor {
        /// Print one JSON document: an array of findings, each with `level` (`ok`, `note`, `warning`, `error`), `code`,
        /// `message` and `advice` (null if there is nothing to do).
        #[arg(long)]
        json: bool,
    },
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
            Command::Environments(command) => {
                environments::run(command, &database::open_migrated(&config).await?).await
            }
            Command::ManagementKeys(command) => {
                management_keys::run(command, &config, &database::open_migrated(&config).await?).await
            }
            Command::Edge(command) => edge::run(command, &config, &database::open_migrated(&config).await?).await,
            Command::Doctor { .. } | Command::Openapi => Ok(()),
        }
    }
}
