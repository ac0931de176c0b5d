//! Encryption at rest of the secrets that the server must be able to read again, such as the signing secrets of webhooks.
//!
//! | where the key is | |
//! | --- | --- |
//! | the setting `encryption_key` | for Postgres, whose processes share it; for SQLite, if the operator wants it elsewhere |
//! | `<database file>.encryption-key` | for SQLite without the setting; created when a key is first needed |
//!
//! What follows from it:
//!
//! - A copy of the database alone reveals none of these secrets.
//! - A sealed value opens only for the purpose and the context, such as the id of its row, that it was sealed for.
//! - A value that was sealed with a lost key gives [`KeyError::UnknownKey`], and a changed one [`KeyError::Corrupted`].
//!
//! `keyring.rs` has the format, `key_file.rs` the file.

mod key_file;
pub(crate) mod keyring;

use std::{
    fmt,
    path::{PathBuf, absolute},
    sync::{Arc, OnceLock},
};

use secrecy::{ExposeSecret, SecretSlice};
use shared::entropy::Entropy;

use self::keyring::Keyring;
pub use self::keyring::{KeyError, KeyId};
use crate::{config::Config, files};

/// The key of this installation, or two of them while one is being replaced. Cheap to clone.
#[derive(Clone)]
pub struct EncryptionKey(Arc<Source>);

enum Source {
    Setting(Keyring),
    /// Read from the file of this database when it is first needed.
    File {
        database: PathBuf,
        keyring: OnceLock<Keyring>,
    },
    None,
}

/// Which key a value was sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedWith {
    /// The one that seals now.
    Current,
    /// The key that only decrypts.
    Previous,
    /// One that is not configured.
    Unknown(KeyId),
    /// None: the value is damaged, or belongs elsewhere.
    Nothing,
}

/// Where the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// In the setting `encryption_key`.
    Setting,
    /// In this file, which need not exist yet.
    File(PathBuf),
    /// Nowhere: the setting is missing, and only with a SQLite file is a key created.
    None,
}

/// Shows nothing of the key.
impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey")
    }
}

impl EncryptionKey {
    /// The key that the settings name. Neither reads nor creates a file.
    ///
    /// # Errors
    /// If `encryption_key` or `database_url` is invalid.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        let source = if let Some(keyring) = config.encryption_keyring()? {
            Source::Setting(keyring)
        } else if let Some(options) = files::sqlite_options(config.database_url.expose_secret())? {
            Source::File { database: absolute(options.get_filename())?, keyring: OnceLock::new() }
        } else {
            Source::None
        };
        Ok(Self(Arc::new(source)))
    }

    /// No key: what seals or opens is refused.
    #[must_use]
    pub fn not_configured() -> Self {
        Self(Arc::new(Source::None))
    }

    /// A key that every test has.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let key = keyring::generate(&mut shared::entropy::Repeating(42));
        Self(Arc::new(Source::Setting(Keyring::parse(key.expose_secret()).unwrap())))
    }

    /// Encrypts a value for one purpose and one context, such as the id of its row. Creates the key if this is its first use.
    ///
    /// # Errors
    /// If there is no key, and none can be created.
    pub fn seal(
        &self,
        purpose: &str,
        context: &str,
        plain: &[u8],
        entropy: &mut impl Entropy,
    ) -> Result<Vec<u8>, KeyError> {
        self.existing_or_new(entropy)?.seal(purpose, context, plain, entropy)
    }

    /// Decrypts a value that was sealed for the same purpose and the same context. Never creates a key.
    ///
    /// # Errors
    /// If the key is not there, is not the right one, or the value is not what was sealed.
    pub fn open(&self, purpose: &str, context: &str, sealed: &[u8]) -> Result<SecretSlice<u8>, KeyError> {
        match self.existing()? {
            Some(keyring) => keyring.open(purpose, context, sealed),
            None => Err(KeyError::UnknownKey { key_id: keyring::key_id(sealed)? }),
        }
    }

    /// Which key a value was sealed with, for the same purpose and the same context.
    #[must_use]
    pub fn sealed_with(&self, purpose: &str, context: &str, sealed: &[u8]) -> SealedWith {
        let Ok(key_id) = keyring::key_id(sealed) else { return SealedWith::Nothing };
        let existing = self.existing().ok().flatten();
        let Some(keyring) = existing.filter(|keyring| keyring.has(key_id)) else { return SealedWith::Unknown(key_id) };
        match keyring.open(purpose, context, sealed) {
            Ok(_) if key_id == keyring.current_id() => SealedWith::Current,
            Ok(_) => SealedWith::Previous,
            Err(_) => SealedWith::Nothing,
        }
    }

    /// The id of the key that seals. `None` if it will be created when it is first needed.
    ///
    /// # Errors
    /// If there is no key, or its file cannot be used.
    pub fn current_id(&self) -> Result<Option<KeyId>, KeyError> {
        Ok(self.existing()?.map(Keyring::current_id))
    }

    /// The id of the key that seals no more, and that what it sealed is still opened with. `None` if there is none.
    ///
    /// # Errors
    /// If there is no key, or its file cannot be used.
    pub fn previous_id(&self) -> Result<Option<KeyId>, KeyError> {
        Ok(self.existing()?.and_then(Keyring::previous_id))
    }

    /// Where the key is, or will be.
    #[must_use]
    pub fn location(&self) -> KeyLocation {
        match &*self.0 {
            Source::Setting(_) => KeyLocation::Setting,
            Source::File { database, .. } => KeyLocation::File(key_file::path(database)),
            Source::None => KeyLocation::None,
        }
    }

    fn existing(&self) -> Result<Option<&Keyring>, KeyError> {
        match &*self.0 {
            Source::Setting(keyring) => Ok(Some(keyring)),
            Source::File { database, keyring } => match keyring.get() {
                Some(keyring) => Ok(Some(keyring)),
                None => Ok(key_file::read(&key_file::path(database))?.map(|read| keyring.get_or_init(|| read))),
            },
            Source::None => Err(KeyError::NotConfigured),
        }
    }

    /// The file is small and read once, so this is not worth another thread.
    fn existing_or_new(&self, entropy: &mut impl Entropy) -> Result<&Keyring, KeyError> {
        match &*self.0 {
            Source::Setting(keyring) => Ok(keyring),
            Source::File { database, keyring } => match keyring.get() {
                Some(keyring) => Ok(keyring),
                None => {
                    let read = key_file::read_or_create(database, entropy)?;
                    Ok(keyring.get_or_init(|| read))
                }
            },
            Source::None => Err(KeyError::NotConfigured),
        }
    }
}

#[cfg(test)]
mod tests;
