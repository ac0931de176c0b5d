//! The file of the key beside a SQLite database. It is created when a key is first needed, and never changed.
//!
//! The server and a command may need a first key at the same time, and must get the same one. So each writes a key of its own
//! under a temporary name, and links it to the final name, which fails if the file exists: the first one wins, and all of them
//! read the file afterwards. Under its final name the file is always complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretSlice};
use shared::entropy::Entropy;

use super::keyring::{self, KeyError, Keyring};
use crate::files::{sync_folder, with_suffix};

/// The longest file that is read, in bytes. Two keys are 89.
const LENGTH_LIMIT: u64 = 1024;

/// The file of a database. One name, however the path of the database is spelled.
pub fn path(database: &Path) -> PathBuf {
    with_suffix(&fs::canonicalize(database).unwrap_or_else(|_| database.to_owned()), ".encryption-key")
}

/// Reads the file. `None` if it does not exist.
pub fn read(file: &Path) -> Result<Option<Keyring>, KeyError> {
    let unreadable = |cause| KeyError::FileUnreadable { file: file.to_owned(), cause };
    let bytes = match read_bytes(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(unreadable)?,
    };
    let text = str::from_utf8(bytes.expose_secret()).unwrap_or_default();
    let keyring = Keyring::parse(text).map_err(|_| KeyError::FileMalformed { file: file.to_owned() })?;
    // Another process may have created the file just now. Nothing may be sealed with a key that a loss of power could remove.
    sync_folder(file).map_err(unreadable)?;
    Ok(Some(keyring))
}

/// Reads the file, and creates it first if it does not exist.
pub fn read_or_create(database: &Path, entropy: &mut impl Entropy) -> Result<Keyring, KeyError> {
    let file = path(database);
    if let Some(keyring) = read(&file)? {
        return Ok(keyring);
    }
    create(&file, database, entropy).map_err(|cause| KeyError::FileNotCreated { file: file.clone(), cause })?;
    read(&file)?.ok_or(KeyError::FileUnreadable { file, cause: io::ErrorKind::NotFound.into() })
}

/// Creates the file with a new key, unless another process did meanwhile.
fn create(file: &Path, database: &Path, entropy: &mut impl Entropy) -> io::Result<()> {
    // Fails if the database is gone: a new one in its place would get another key.
    let database = fs::metadata(database)?;
    let mut unique = [0; 8];
    entropy.fill(&mut unique);
    let temporary = Temporary(with_suffix(file, &format!(".{:016x}", u64::from_be_bytes(unique))));
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary.0)?;
    writeln!(open, "{}", keyring::generate(entropy).expose_secret())?;
    // A command that root runs must not create a file that the server cannot read. Others may not change the owner.
    let created = open.metadata()?;
    if (created.uid(), created.gid()) != (database.uid(), database.gid()) {
        let _ = fchown(&open, Some(database.uid()), Some(database.gid()));
    }
    open.sync_all()?;
    match fs::hard_link(&temporary.0, file) {
        Ok(()) => tracing::info!(path = %file.display(), "created the encryption key; back it up separately"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn read_bytes(file: &Path) -> io::Result<SecretSlice<u8>> {
    let mut bytes = vec![];
    File::open(file)?.take(LENGTH_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A file that is removed when this is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
