use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use shared::entropy::Repeating;

use super::*;
use crate::entropy::OsEntropy;

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn with_setting(setting: &str) -> EncryptionKey {
    let config = Config { encryption_key: setting.to_owned().into(), ..Config::defaults() };
    EncryptionKey::from_config(&config).unwrap()
}

fn with_url(url: &str) -> EncryptionKey {
    let config = Config { database_url: url.to_owned().into(), ..Config::defaults() };
    EncryptionKey::from_config(&config).unwrap()
}

fn beside(database: &Path) -> EncryptionKey {
    with_url(&format!("sqlite:{}", database.display()))
}

/// An empty database, and where its key will be.
fn new_database(folder: &Path) -> (PathBuf, PathBuf) {
    let database = folder.join("x.db");
    fs::write(&database, "").unwrap();
    (database, folder.join("x.db.encryption-key"))
}

fn seal(key: &EncryptionKey) -> Result<Vec<u8>, KeyError> {
    key.seal("webhook secret", "webhook_1", b"whsec_1", &mut OsEntropy)
}

fn open(key: &EncryptionKey, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
    key.open("webhook secret", "webhook_1", sealed).map(|plain| plain.expose_secret().to_vec())
}

fn unknown_key(key: &EncryptionKey, sealed: &[u8]) -> KeyId {
    match open(key, sealed).unwrap_err() {
        KeyError::UnknownKey { key_id } => key_id,
        error => panic!("{error}"),
    }
}

#[test]
fn sealed_value_opens_and_shows_nothing_of_itself() {
    let key = EncryptionKey::for_tests();
    for plain in [&b""[..], b"whsec_1", &[0xff; 10_000]] {
        let sealed = key.seal("webhook secret", "webhook_1", plain, &mut OsEntropy).unwrap();
        assert!(plain.is_empty() || !sealed.windows(plain.len()).any(|window| window == plain));
        assert_eq!(open(&key, &sealed).unwrap(), plain);
    }
    assert_ne!(seal(&key).unwrap(), seal(&key).unwrap());
}

/// Databases hold such values, so their format and the labels of the derived keys must stay as they are.
#[test]
fn format_of_version_1_is_unchanged() {
    let key = with_setting(&key(7));
    let sealed = key.seal("webhook secret", "webhook_1", b"whsec_1", &mut Repeating(9)).unwrap();
    assert_eq!(key.current_id().unwrap().unwrap().to_string(), "f5cd7947ea9fbbfc");
    assert_eq!(
        STANDARD.encode(&sealed),
        "AfXNeUfqn7v8CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJfK9lRFFDe/DJga3U6jzt88JA3WSKkxQ="
    );
}

#[test]
fn value_of_another_row_or_purpose_is_corrupted() {
    let key = EncryptionKey::for_tests();
    let sealed = seal(&key).unwrap();
    for (purpose, context) in
        [("webhook secret", "webhook_2"), ("signing key", "webhook_1"), ("webhook", " secretwebhook_1"), ("", "")]
    {
        let error = key.open(purpose, context, &sealed).unwrap_err();
        assert!(matches!(error, KeyError::Corrupted), "{purpose} {context}: {error}");
    }
}

#[test]
fn changed_or_truncated_value_is_refused() {
    let key = EncryptionKey::for_tests();
    let sealed = seal(&key).unwrap();
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        let error = open(&key, &changed).unwrap_err();
        let is_key_id = (1..9).contains(&index);
        assert!(matches!(error, KeyError::UnknownKey { .. }) == is_key_id, "byte {index}: {error}");
        assert!(matches!(error, KeyError::Corrupted) != is_key_id, "byte {index}: {error}");
        let error = open(&key, &sealed[..index]).unwrap_err();
        assert!(matches!(error, KeyError::Corrupted), "{index} bytes: {error}");
    }
}

#[test]
fn value_of_another_key_names_that_key() {
    let (one, other) = (with_setting(&key(1)), with_setting(&key(2)));
    let sealed = seal(&one).unwrap();
    assert_eq!(unknown_key(&other, &sealed), one.current_id().unwrap().unwrap());
    assert_ne!(one.current_id().unwrap(), other.current_id().unwrap());
}

#[test]
fn of_two_keys_both_open_and_the_first_one_seals() {
    let (old, new) = (with_setting(&key(1)), with_setting(&key(2)));
    let both = with_setting(&format!("{},{}", key(2), key(1)));
    let of_old = seal(&old).unwrap();
    assert_eq!(open(&both, &of_old).unwrap(), b"whsec_1");
    let of_both = seal(&both).unwrap();
    assert_eq!(open(&new, &of_both).unwrap(), b"whsec_1");
    unknown_key(&old, &of_both);
}

#[test]
fn which_key_a_value_was_sealed_with_is_known() {
    let (old, new) = (with_setting(&key(1)), with_setting(&key(2)));
    let both = with_setting(&format!("{},{}", key(2), key(1)));
    let twice = with_setting(&format!("{},{}", key(1), key(1)));
    let sealed_with = |key: &EncryptionKey, sealed: &[u8]| key.sealed_with("webhook secret", "webhook_1", sealed);
    let (of_old, of_new) = (seal(&old).unwrap(), seal(&new).unwrap());
    let mut damaged = of_old.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (key, sealed, expected) in [
        (&both, &of_new, SealedWith::Current),
        (&both, &of_old, SealedWith::Previous),
        (&twice, &of_old, SealedWith::Current),
        (&new, &of_old, SealedWith::Unknown(old.current_id().unwrap().unwrap())),
        (&EncryptionKey::not_configured(), &of_old, SealedWith::Unknown(old.current_id().unwrap().unwrap())),
        (&both, &damaged, SealedWith::Nothing),
        (&both, &vec![], SealedWith::Nothing),
    ] {
        assert_eq!(sealed_with(key, sealed), expected);
    }
    assert_eq!(both.sealed_with("webhook secret", "webhook_2", &of_new), SealedWith::Nothing);
}

#[test]
fn postgres_without_the_setting_has_no_key() {
    for url in ["postgres://db/x", "sqlite::memory:"] {
        let key = with_url(url);
        let refused = [seal(&key), open(&key, &seal(&EncryptionKey::for_tests()).unwrap())];
        for refused in refused {
            let error = refused.unwrap_err();
            assert!(matches!(error, KeyError::NotConfigured), "{error}");
            assert!(error.to_string().contains("LATCHKEY_ENCRYPTION_KEY"), "{error}");
        }
        assert_eq!(key.location(), KeyLocation::None);
    }
}

#[test]
fn setting_is_used_instead_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = new_database(folder.path());
    let database_url = format!("sqlite:{}", database.display()).into();
    let config = Config { database_url, encryption_key: key(1).into(), ..Config::defaults() };
    let key = EncryptionKey::from_config(&config).unwrap();
    let _ = seal(&key).unwrap();
    assert!(!file.exists());
    assert_eq!(key.location(), KeyLocation::Setting);
}

#[test]
fn key_file_is_created_by_the_first_seal_and_read_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = new_database(folder.path());
    // Only root may give files away; then the key must follow the database.
    let _ = chown(&database, Some(10_001), Some(10_001));
    let key = beside(&database);
    let of_tests = seal(&EncryptionKey::for_tests()).unwrap();
    unknown_key(&key, &of_tests);
    assert_eq!(key.current_id().unwrap(), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only `seal` creates the key");

    let sealed = seal(&key).unwrap();
    assert_eq!(key.location(), KeyLocation::File(file.clone()));
    let [database_owner, owner] = [&database, &file].map(|file| fs::metadata(file).unwrap());
    assert_eq!(owner.permissions().mode() & 0o777, 0o600);
    assert_eq!((owner.uid(), owner.gid()), (database_owner.uid(), database_owner.gid()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");

    symlink(&database, folder.path().join("link.db")).unwrap();
    for again in [beside(&database), beside(&folder.path().join("link.db"))] {
        assert_eq!(open(&again, &sealed).unwrap(), b"whsec_1");
        assert_eq!(again.current_id().unwrap(), key.current_id().unwrap());
    }
    // The file holds what the setting would.
    assert_eq!(open(&with_setting(fs::read_to_string(&file).unwrap().trim()), &sealed).unwrap(), b"whsec_1");
}

#[test]
fn racing_first_uses_get_one_key() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let (database, file) = new_database(folder.path());
        let shared = beside(&database);
        let keys: Vec<_> = (0..8).map(|index| if index < 4 { shared.clone() } else { beside(&database) }).collect();
        let barrier = Barrier::new(keys.len());
        let sealed: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = keys
                .iter()
                .map(|key| {
                    scope.spawn(|| {
                        barrier.wait();
                        seal(key).unwrap()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let reader = beside(&database);
        for sealed in &sealed {
            assert_eq!(open(&reader, sealed).unwrap(), b"whsec_1");
        }
        let ids: HashSet<_> = keys.iter().map(|key| key.current_id().unwrap().unwrap().to_string()).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

#[test]
fn malformed_key_file_is_named_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = new_database(folder.path());
    for content in [&b""[..], b"hush", b"\xff", &[b'A'; 2_000], &key(1).as_bytes()[..40]] {
        fs::write(&file, content).unwrap();
        let error = seal(&beside(&database)).unwrap_err();
        assert!(matches!(error, KeyError::FileMalformed { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(file.to_str().unwrap()) && error.contains("Restore this file"), "{error}");
        assert!(!error.contains("hush"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn key_file_that_cannot_be_read_or_created_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = new_database(folder.path());
    fs::create_dir(&file).unwrap();
    let error = beside(&database).current_id().unwrap_err();
    assert!(matches!(error, KeyError::FileUnreadable { .. }), "{error}");
    let error = seal(&beside(&database)).unwrap_err();
    assert!(matches!(error, KeyError::FileUnreadable { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");

    fs::remove_dir(&file).unwrap();
    fs::remove_file(&database).unwrap();
    let error = seal(&beside(&database)).unwrap_err();
    assert!(matches!(error, KeyError::FileNotCreated { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
