use std::path::{Path, absolute};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use secrecy::ExposeSecret;

use crate::{
    cli::database,
    config::Config,
    encryption::{EncryptionKey, KeyLocation},
    storage::sqlite_file::SqliteFile,
};

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
    print_line!("{}", key_notice(&EncryptionKey::from_config(config)?.location())?);
    Ok(())
}

/// With both the database and the key, anybody can read the secrets in it, so the backup does not contain the key.
fn key_notice(location: &KeyLocation) -> anyhow::Result<String> {
    let location = match location {
        KeyLocation::Setting => "is the setting encryption_key".to_owned(),
        KeyLocation::File(file) if file.try_exists()? => format!("is in {}", file.display()),
        KeyLocation::File(_) | KeyLocation::None => {
            return Ok("There is no encryption key yet, so only the database has to be backed up.".to_owned());
        }
    };
    Ok(format!(
        "This backup does not contain the encryption key, which {location}. Back up the key separately, and keep it apart \
         from the backups of the database."
    ))
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_names_the_setting_or_the_file_of_the_key_that_exists() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db.encryption-key");
        let notice = |location| key_notice(&location).unwrap();
        assert!(notice(KeyLocation::Setting).contains("does not contain the encryption key, which is the setting"));
        assert!(notice(KeyLocation::File(file.clone())).starts_with("There is no encryption key yet"));
        std::fs::write(&file, "").unwrap();
        assert!(notice(KeyLocation::File(file.clone())).contains(&format!("which is in {}.", file.display())));
    }

    #[test]
    fn quoted_text_is_one_word_of_a_shell() {
        let text = "it's a \"$HOME\" `x` \\ folder\nof mine";
        let echo = format!("printf %s {}", quoted(text));
        let output = std::process::Command::new("sh").args(["-c", &echo]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}
