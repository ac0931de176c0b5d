use std::path::{Path, absolute};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use secrecy::ExposeSecret;

use crate::{cli::database, config::Config, storage::sqlite_file::SqliteFile};

pub(super) async fn run(config: &Config, to: &Path) -> anyhow::Result<()> {
    let url = config.database_url.expose_secret();
    let Some(file) = SqliteFile::from_url(url)? else {
        bail!(
            "`latchkey backup` copies a SQLite database, and this one is {}. For Postgres use `pg_dump --format=custom`, or \
             point-in-time recovery, or what your provider offers",
            database::describe(config)
        );
    };
    if !file.exists()? {
        bail!("there is no database {}", file.path().display());
    }
    file.check().await?;
    let size = file.back_up(to).await?;
    let (from, to) = (file.path().display(), absolute(to).context("the backup has no path")?);
    print_line!("Backed up {from} to {} ({}).", to.display(), HumanBytes(size));
    print_line!("To restore it, stop `latchkey serve`, and then:");
    print_line!("  rm -f '{from}' '{from}-wal' '{from}-shm'");
    print_line!("  cp '{}' '{from}' && chmod 600 '{from}'", to.display());
    print_line!("  chown --reference=\"$(dirname '{from}')\" '{from}'");
    Ok(())
}
