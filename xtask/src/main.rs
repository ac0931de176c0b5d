//! The commands of the README: `cargo xtask dev`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask build-edge`.
//!
//! Start at [`dev`], [`mod@test`] or [`mod@bench`]; each is a list of steps. They share [`children`] (child processes
//! that never outlive xtask), [`build_edge`] (the Worker), [`tools`] (what must be installed), [`postgres`] (a
//! temporary server).

mod bench;
mod build_edge;
mod cargo;
mod children;
mod data_dir;
mod demo;
mod dev;
mod http;
mod locks;
mod pgbouncer;
mod ports;
mod postgres;
mod progress;
mod python;
mod random;
mod services;
mod system;
mod test;
mod tools;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, run and test Latchkey. To try it: `cargo xtask dev`
///
/// Requires Linux or macOS, Rust installed with rustup, and Node 18 or newer with npm. Everything else is installed on
/// first use, into node_modules/ and a cache directory ($LATCHKEY_CACHE_DIR, by default ~/.cache/latchkey).
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    BuildEdge(build_edge::Arguments),
    /// Ends the children of an xtask that died without doing so itself. Started by xtask, not by people.
    #[command(hide = true)]
    Watchdog,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Dev(arguments) => with_signals(|| dev::main(&arguments)),
        Command::Test(arguments) => with_signals(|| test::main(&arguments)),
        Command::Bench(arguments) => with_signals(|| bench::main(&arguments)),
        Command::BuildEdge(arguments) => with_signals(|| build_edge::main(&arguments)),
        Command::Watchdog => watchdog::main(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<children::Interrupted>() => {
            progress::say("Stopped.");
            ExitCode::from(children::INTERRUPTED_EXIT_CODE)
        }
        Err(error) => {
            progress::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command so that Ctrl-C and SIGTERM end it in order, its children first.
fn with_signals(command: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    children::listen_for_signals()?;
    let outcome = command();
    watchdog::dismiss();
    outcome
}
