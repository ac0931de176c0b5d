//! The keys of a process, and what a sealed value looks like. No I/O.
//!
//! | bytes of a sealed value | |
//! | --- | --- |
//! | 1 | the version of this format, 1 |
//! | 8 | the id of the key, derived from it |
//! | 24 | the nonce |
//! | the others | the ciphertext and its tag, of XChaCha20-Poly1305 |
//!
//! Each purpose has a key of its own, derived by HKDF. The associated data is the first 9 bytes, the purpose and the context.

use std::{fmt, io, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretSlice, SecretString};
use sha2::Sha256;
use shared::entropy::Entropy;

const VERSION: u8 = 1;
const KEY_LENGTH: usize = 32;
const KEY_ID_LENGTH: usize = 8;
const HEADER_LENGTH: usize = 1 + KEY_ID_LENGTH;
const NONCE_LENGTH: usize = 24;
/// Neither label is the beginning of the other, so no purpose gives the bytes of a key id.
const KEY_ID_LABEL: &[u8] = b"latchkey v1 encryption key id";
const PURPOSE_LABEL: &[u8] = b"latchkey v1 encryption of ";

/// Why a value cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no key, and this process may not create one, because other processes would not have it.
    #[error(
        "there is no encryption key; set LATCHKEY_ENCRYPTION_KEY to the output of `openssl rand -base64 32`, the same \
         for every process, and restart"
    )]
    NotConfigured,
    /// The file of the key exists and cannot be read.
    #[error(
        "cannot read the encryption key in {}: {cause}; make the file readable for the user that runs `latchkey serve`",
        file.display()
    )]
    FileUnreadable {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The file of the key holds something else.
    #[error(
        "{} does not hold a valid encryption key: {BadEncryptionKey}. Restore this file from its backup. If there is no \
         backup, delete it, and replace every secret that was encrypted with it",
        file.display()
    )]
    FileMalformed {
        /// The file.
        file: PathBuf,
    },
    /// The file of the key does not exist, and cannot be created.
    #[error(
        "cannot create the encryption key in {}: {cause}; make its directory writable, or set LATCHKEY_ENCRYPTION_KEY",
        file.display()
    )]
    FileNotCreated {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The value was sealed with a key that this process does not have.
    #[error(
        "the value was encrypted with the key {key_id}, which is not configured; restore that key, or replace the value"
    )]
    UnknownKey {
        /// The id of that key.
        key_id: KeyId,
    },
    /// The value is not what was sealed, or was not sealed for this purpose and context.
    #[error("the encrypted value is damaged, or belongs to another row")]
    Corrupted,
    /// A cryptographic operation failed that fails for no input that Latchkey has.
    #[error("a cryptographic operation failed")]
    Internal,
}

/// Why a text is not an encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be one key, 32 bytes in standard base64 as `openssl rand -base64 32` prints them, or two joined by a comma"
)]
pub struct BadEncryptionKey;

/// Names a key and does not reveal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; KEY_ID_LENGTH]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One key that seals and opens, and at most one more that opens.
pub struct Keyring {
    current: Key,
    previous: Option<Key>,
}

struct Key {
    id: KeyId,
    hkdf: Hkdf<Sha256>,
}

impl Keyring {
    /// Reads one key, or two joined by a comma: the current one, then the previous one.
    pub fn parse(text: &str) -> Result<Self, BadEncryptionKey> {
        let (current, previous) = match text.split_once(',') {
            Some((current, previous)) => (current, Some(previous)),
            None => (text, None),
        };
        let current = Key::parse(current)?;
        let previous = previous.map(Key::parse).transpose()?.filter(|previous| previous.id != current.id);
        Ok(Self { current, previous })
    }

    pub const fn current_id(&self) -> KeyId {
        self.current.id
    }

    pub fn previous_id(&self) -> Option<KeyId> {
        self.previous.as_ref().map(|key| key.id)
    }

    pub fn has(&self, id: KeyId) -> bool {
        id == self.current.id || Some(id) == self.previous_id()
    }

    pub fn seal(
        &self,
        purpose: &str,
        context: &str,
        plain: &[u8],
        entropy: &mut impl Entropy,
    ) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LENGTH];
        entropy.fill(&mut nonce);
        let header = header(self.current.id);
        let aad = associated_data(&header, purpose, context);
        let payload = Payload { msg: plain, aad: &aad };
        let cipher = self.current.cipher(purpose)?;
        let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Internal)?;
        Ok([&header[..], &nonce, &ciphertext].concat())
    }

    pub fn open(&self, purpose: &str, context: &str, sealed: &[u8]) -> Result<SecretSlice<u8>, KeyError> {
        let key_id = key_id(sealed)?;
        let mut keys = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        let key = keys.find(|key| key.id == key_id).ok_or(KeyError::UnknownKey { key_id })?;
        let (header, rest) = sealed.split_first_chunk::<HEADER_LENGTH>().ok_or(KeyError::Corrupted)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or(KeyError::Corrupted)?;
        let aad = associated_data(header, purpose, context);
        let payload = Payload { msg: ciphertext, aad: &aad };
        let plain = key.cipher(purpose)?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| KeyError::Corrupted)?;
        Ok(plain.into())
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, BadEncryptionKey> {
        let bytes = SecretSlice::from(STANDARD.decode(text.trim()).map_err(|_| BadEncryptionKey)?);
        if bytes.expose_secret().len() != KEY_LENGTH {
            return Err(BadEncryptionKey);
        }
        let hkdf = Hkdf::<Sha256>::new(None, bytes.expose_secret());
        let mut id = [0; KEY_ID_LENGTH];
        hkdf.expand(KEY_ID_LABEL, &mut id).map_err(|_| BadEncryptionKey)?;
        Ok(Self { id: KeyId(id), hkdf })
    }

    fn cipher(&self, purpose: &str) -> Result<XChaCha20Poly1305, KeyError> {
        let mut key = SecretBox::new(Box::new([0; KEY_LENGTH]));
        let derived = self.hkdf.expand_multi_info(&[PURPOSE_LABEL, purpose.as_bytes()], key.expose_secret_mut());
        derived.map_err(|_| KeyError::Internal)?;
        Ok(XChaCha20Poly1305::new(key.expose_secret().into()))
    }
}

/// A new key, as a setting or a file holds it.
pub fn generate(entropy: &mut impl Entropy) -> SecretString {
    let mut key = SecretBox::new(Box::new([0; KEY_LENGTH]));
    entropy.fill(key.expose_secret_mut());
    STANDARD.encode(key.expose_secret()).into()
}

/// The key that a value was sealed with.
pub fn key_id(sealed: &[u8]) -> Result<KeyId, KeyError> {
    match sealed.split_first_chunk::<HEADER_LENGTH>() {
        Some(([VERSION, id @ ..], _)) => Ok(KeyId(*id)),
        _ => Err(KeyError::Corrupted),
    }
}

fn header(KeyId(id): KeyId) -> [u8; HEADER_LENGTH] {
    let mut header = [VERSION; HEADER_LENGTH];
    header[1..].copy_from_slice(&id);
    header
}

/// Each purpose has a key of its own, so for one key the purpose is always the same, and no two contexts give the same bytes.
fn associated_data(header: &[u8; HEADER_LENGTH], purpose: &str, context: &str) -> Vec<u8> {
    [header, purpose.as_bytes(), &[0], context.as_bytes()].concat()
}
