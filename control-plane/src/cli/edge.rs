use clap::Subcommand;

use crate::{config::Config, storage::Db};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compare.
    Verify,
}

pub(super) async fn run(_command: Command, _config: &Config, _db: &Db) -> anyhow::Result<()> {
    Ok(())
}
