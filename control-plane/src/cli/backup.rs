use std::path::{Path, absolute};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use secrecy::ExposeSecret;

use crate::{cli::database, config::Config, storage::sqlite_file::SqliteFile};

pub(super) async fn run(config: &Config, to: &Path) -> anyhow::Result<()> {
    let url = config.database_url.expose_secret();
    let Some(file) = SqliteFile::from_url(url)? else {
        bail!(
            "`latchkey backup` supports only SQLite; this database is {}. For Postgres, use `pg_dump --format=custom`, \
             point-in-time recovery or the backups of your provider",
            database::describe(config)
        );
    };
    if !file.exists()? {
        bail!("the database {} does not exist", file.path().display());
    }
    file.check().await?;
    let size = file.back_up(to).await?;
    let (from, to) = (file.path().display(), absolute(to).context("cannot resolve the path of the backup")?);
    print_line!("Backed up {from} to {} ({}).", to.display(), HumanBytes(size));
    print_line!("To restore it, stop `latchkey serve` and run:");
    let [database, wal, shm] = ["", "-wal", "-shm"].map(|suffix| quoted(&format!("{from}{suffix}")));
    print_line!("  rm -f {database} {wal} {shm}");
    print_line!("  cp {} {database} && chmod 600 {database}", quoted(&to.display().to_string()));
    print_line!("  chown --reference=\"$(dirname {database})\" {database}");
    Ok(())
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn quoted_text_is_one_word_of_a_shell() {
        let text = "it's a \"$HOME\" `x` \\ folder\nof mine";
        let echo = format!("printf %s {}", super::quoted(text));
        let output = std::process::Command::new("sh").args(["-c", &echo]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}
