use crate::{cli::database, config::Config};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    database::migrate(config).await?;
    print_line!("The database is up to date.");
    Ok(())
}
