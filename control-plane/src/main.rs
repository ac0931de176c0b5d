//! `latchkey`: the control plane.

use std::{io, process::ExitCode};

use clap::Parser;
use control_plane::cli::Cli;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has read enough, as `head` does.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let result = runtime.block_on(cli.run());
    // Otherwise the process would wait, without a limit, for blocking calls such as DNS lookups.
    runtime.shutdown_background();
    result
}
