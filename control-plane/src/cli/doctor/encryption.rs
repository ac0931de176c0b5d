//! Whether the encryption key can be used, and who else can read it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::ExposeSecret;
use shared::{Timestamp, id::WebhookEndpointId};

use super::findings::Finding;
use crate::{
    config::Config,
    encryption::{EncryptionKey, KeyId, KeyLocation},
    service::webhooks::{SecretsInspection, inspect_secrets},
    storage::{self, Conn, sqlite_file::SqliteFile},
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

/// Whether the secrets in the database can be decrypted.
pub(super) async fn in_database(config: &Config, conn: Conn<'_>, now: Timestamp) -> storage::Result<Vec<Finding>> {
    let Ok(key) = EncryptionKey::from_config(config) else { return Ok(vec![]) };
    let inspection = inspect_secrets(conn, &key, now).await?;
    let mut findings: Vec<Finding> =
        inspection.with_unknown.iter().map(|(key, count)| of_unknown_key(key, *count)).collect();
    findings.extend(inspection.damaged.iter().map(damaged));
    // Keys that cannot be used are reported above.
    if let (Ok(Some(current)), Ok(Some(previous))) = (key.current_id(), key.previous_id()) {
        findings.push(two_keys(&inspection, current, previous));
    }
    Ok(findings)
}

fn of_unknown_key(key: &KeyId, count: u64) -> Finding {
    Finding::error(
        "encryption_key_mismatch",
        format!("webhook secrets are encrypted with the key {key}, which is not configured ({count} of them)"),
        "restore that key from its backup; if it is lost, replace each secret: POST \
         /webhook_endpoints/{id}/rotate_secret with {\"overlap_seconds\": 0}",
    )
}

fn damaged(endpoint: &WebhookEndpointId) -> Finding {
    Finding::error(
        "webhook_secret_damaged",
        format!("a stored secret of the webhook endpoint {endpoint} is damaged and cannot be decrypted"),
        format!("replace it: POST /webhook_endpoints/{endpoint}/rotate_secret with {{\"overlap_seconds\": 0}}"),
    )
}

/// Neither key is called the old one: only the operator knows which it is.
fn two_keys(inspection: &SecretsInspection, current: KeyId, previous: KeyId) -> Finding {
    let SecretsInspection { with_current, with_previous, .. } = inspection;
    let message = format!(
        "two encryption keys are set: {current} (first) encrypts, and {previous} (second) only decrypts; webhook secrets \
         encrypted with each: {with_current} and {with_previous}"
    );
    let advice = "if you are replacing the encryption key, go on with the next step of docs/OPERATIONS.md";
    Finding { advice: Some(advice.to_owned()), ..Finding::note("encryption_keys_two", message) }
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
    let message =
        "encryption_key is not set, so features that store encrypted secrets, such as webhooks, cannot be used";
    let advice = "set LATCHKEY_ENCRYPTION_KEY for every process: to the key of this installation, or, if there is none yet, to \
                  the output of `openssl rand -base64 32`";
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

    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::*;
    use crate::{
        cli::doctor::findings::Level,
        entropy::OsEntropy,
        service::webhooks::reencrypt_secrets,
        storage::{
            Db,
            testing::{conformance, execute},
        },
        testing::{receiver::Receiver, server::*},
    };

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

    conformance! {
        async fn secrets_survive_the_replacement_of_the_encryption_key(db: Db) {
            let [old, new] = [[1; 32], [2; 32]].map(|key| STANDARD.encode(key));
            let with = |setting: &str| Config { encryption_key: setting.into(), ..Config::defaults() };
            let key = |setting: &str| EncryptionKey::from_config(&with(setting)).unwrap();
            let both = format!("{new},{old}");
            let found = async |server: &Server, setting: &str| -> Vec<(&'static str, String)> {
                let mut reader = server.context.db.read().await.unwrap();
                let findings = in_database(&with(setting), reader.conn(), server.context.clock.now()).await.unwrap();
                findings.into_iter().map(|finding| (finding.code, finding.message)).collect()
            };
            let mut server = Server::new(db).await;
            server.set_encryption(key(&old));
            let receiver = Receiver::start().await;
            let body = json!({"endpoint_url": receiver.url(), "events": ["organization.created"]});
            let path = format!("/webhook_endpoints/{}", id_of(&server.post("/webhook_endpoints", body).await.expect(201)));
            server.post(&format!("{path}/rotate_secret"), json!({})).await.expect(201);
            let [(code, message)] = &found(&server, &new).await[..] else { panic!() };
            assert!(*code == "encryption_key_mismatch" && message.contains("(2 of them)"), "{message}");
            let [(code, message)] = &found(&server, &both).await[..] else { panic!() };
            assert!(*code == "encryption_keys_two" && message.ends_with("0 and 2"), "{message}");

            let reencrypt = async || reencrypt_secrets(&server.context.db, &key(&both), &mut OsEntropy).await.unwrap();
            assert_eq!((reencrypt().await, reencrypt().await), (2, 0));
            assert!(found(&server, &both).await[0].1.ends_with("2 and 0"));
            assert_eq!(found(&server, &new).await, []);

            server.set_encryption(key(&new));
            server.organization().await;
            while server.append_events().await {}
            server.send_webhooks().await;
            assert_eq!(receiver.received()[0].header("webhook-signature").split(' ').count(), 2);

            server.advance(25 * 60 * 60 * 1000);
            server.sweep().await;
            assert!(found(&server, &both).await[0].1.ends_with("1 and 0"), "the replaced secret has expired and is deleted");
            execute(&server.context.db, "UPDATE webhook_endpoints SET id = 'we_01KF0JZ4G0000000000000000A'").await;
            assert_eq!(found(&server, &new).await[0].0, "webhook_secret_damaged");
        }
    }
}
