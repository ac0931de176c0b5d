//! Whether the encryption key can be used, and who else can read it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::ExposeSecret;

use super::findings::Finding;
use crate::{
    config::Config,
    encryption::{EncryptionKey, KeyLocation},
    storage::sqlite_file::SqliteFile,
};

/// An invalid setting and an invalid database URL are reported elsewhere.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let Ok(key) = EncryptionKey::from_config(config) else { return vec![] };
    match (key.current_id(), key.location()) {
        (Ok(Some(id)), KeyLocation::File(file)) => {
            let mut findings = vec![usable(format!("the encryption key is in {} (id {id})", file.display()))];
            findings.extend(exposed(&file));
            findings.extend(database(config).and_then(|database| owner(&file, &database)));
            findings
        }
        (Ok(Some(id)), _) => vec![usable(format!("the encryption key is set (id {id})"))],
        (Ok(None), location) => vec![not_created(&location)],
        (Err(_), KeyLocation::None) => vec![not_set()],
        (Err(error), _) => {
            let advice = "do what the message says; until then, secrets that are encrypted with the key cannot be used";
            vec![Finding::error("encryption_key_unusable", error.to_string(), advice)]
        }
    }
}

fn database(config: &Config) -> Option<PathBuf> {
    let file = SqliteFile::from_url(config.database_url.expose_secret()).ok()??;
    Some(file.path().to_owned())
}

fn usable(message: String) -> Finding {
    Finding::ok("encryption_key_usable", message)
}

fn not_created(location: &KeyLocation) -> Finding {
    let file = match location {
        KeyLocation::File(file) => format!(" in {}", file.display()),
        KeyLocation::Setting | KeyLocation::None => String::new(),
    };
    Finding::note(
        "encryption_key_absent",
        format!("there is no encryption key yet; it is created{file} when it is needed"),
    )
}

fn not_set() -> Finding {
    let message = "encryption_key is not set, so what stores encrypted secrets, such as webhooks, cannot be used";
    let advice = "set LATCHKEY_ENCRYPTION_KEY to the output of `openssl rand -base64 32`, the same for every process";
    Finding { advice: Some(advice.to_owned()), ..Finding::note("encryption_key_absent", message) }
}

fn exposed(file: &Path) -> Option<Finding> {
    let mode = fs::metadata(file).ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let file = file.display();
        Finding::warning(
            "encryption_key_exposed",
            format!("users other than its owner can access the encryption key in {file} (mode {mode:o})"),
            format!("run `chmod 600 '{file}'`"),
        )
    })
}

/// This command often runs as root, who can read every file. The server can read only its own.
fn owner(file: &Path, database: &Path) -> Option<Finding> {
    let owner = |file: &Path| io::Result::Ok(fs::metadata(file)?.uid());
    (owner(file).ok()? != owner(database).ok()?).then(|| {
        let (file, database) = (file.display(), database.display());
        Finding::warning(
            "encryption_key_owner",
            format!("the encryption key in {file} and the database belong to different users"),
            format!("run `chown --reference='{database}' '{file}'`, so that `latchkey serve` can read the key"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::{cli::doctor::findings::Level, entropy::OsEntropy};

    const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDE=";

    fn codes(config: &Config) -> Vec<(Level, &'static str)> {
        look(config).into_iter().map(|finding| (finding.level, finding.code)).collect()
    }

    fn with_url(url: &str) -> Config {
        Config { database_url: url.to_owned().into(), ..Config::defaults() }
    }

    #[test]
    fn missing_setting_is_noted_on_postgres_and_a_set_one_is_usable() {
        let config = with_url("postgres://db/x");
        assert_eq!(codes(&config), [(Level::Note, "encryption_key_absent")]);
        let config = Config { encryption_key: KEY.to_owned().into(), ..config };
        assert_eq!(codes(&config), [(Level::Ok, "encryption_key_usable")]);
        assert!(!look(&config)[0].message.contains(KEY));
    }

    #[test]
    fn file_of_the_key_is_reported_with_its_permissions_and_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        fs::write(&database, "").unwrap();
        let config = with_url(&format!("sqlite:{}", database.display()));
        assert_eq!(codes(&config), [(Level::Note, "encryption_key_absent")]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the doctor creates nothing");

        let _ = EncryptionKey::from_config(&config).unwrap().seal("test", "x", b"", &mut OsEntropy).unwrap();
        assert_eq!(codes(&config), [(Level::Ok, "encryption_key_usable")]);
        let file = folder.path().join("x.db.encryption-key");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(codes(&config)[1..], [(Level::Warning, "encryption_key_exposed")]);
        // Only root may give files away.
        if chown(&file, Some(10_001), None).is_ok() {
            assert_eq!(codes(&config)[2..], [(Level::Warning, "encryption_key_owner")]);
        }
        fs::write(&file, "hush").unwrap();
        assert_eq!(codes(&config), [(Level::Error, "encryption_key_unusable")]);
        let message = &look(&config)[0].message;
        assert!(message.contains(file.to_str().unwrap()) && !message.contains("hush"), "{message}");
    }
}
