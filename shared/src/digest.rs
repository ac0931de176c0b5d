//! What is stored instead of a key, and where the edge finds it.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::id::EnvironmentId;

/// SHA-256 of a key's text. A key has 190 bits of randomness, so a slow hash would add cost and no safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// How many characters 32 bytes are in base64url without padding.
const TEXT_LENGTH: usize = 43;

impl Digest {
    /// The digest of a key.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The digest with these bytes, if there are 32 of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The digest that was written as this text, if it was one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// Its text, without memory of its own.
    fn text(&self) -> [u8; TEXT_LENGTH] {
        let mut text = [0; TEXT_LENGTH];
        // The room is exactly what 32 bytes take.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        text
    }

    /// Its bytes, as the database stores them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Base64url without padding: 43 characters.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The name under which the edge's KV store holds a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvKey(String);

impl KvKey {
    /// What the name of every customer's key begins with.
    pub const API_KEYS: &'static str = "k1:";
    /// What the name of every management key begins with.
    pub const MANAGEMENT_KEYS: &'static str = "m1:";

    /// Where a customer's key stands. It names the environment, so no environment can reach another's.
    #[must_use]
    pub fn api_key(environment: &EnvironmentId, digest: &Digest) -> Self {
        Self(format!("{}{environment}:{digest}", Self::API_KEYS))
    }

    /// Where a management key stands.
    #[must_use]
    pub fn management_key(digest: &Digest) -> Self {
        Self(format!("{}{digest}", Self::MANAGEMENT_KEYS))
    }

    /// Whose place this name is, if it is that of a customer's key.
    #[must_use]
    pub fn parse_api_key(name: &str) -> Option<(EnvironmentId, Digest)> {
        let (environment, digest) = name.strip_prefix(Self::API_KEYS)?.split_once(':')?;
        Some((environment.parse().ok()?, Digest::parse(digest)?))
    }

    /// Whose place this name is, if it is that of a management key.
    #[must_use]
    pub fn parse_management_key(name: &str) -> Option<Digest> {
        Digest::parse(name.strip_prefix(Self::MANAGEMENT_KEYS)?)
    }

    /// What the change feed calls it.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::of(&self.0)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the change feed and the isolates call a KV key, or the scope of many keys: 16 bytes of SHA-256 of its name.
///
/// Short, because isolates hold very many. Two names with one place can at worst make each other's keys be refused or
/// looked up once more; which record is whose is always told by the whole name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub [u8; 16]);

impl Place {
    /// The place of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::of_parts(&[name.as_bytes()])
    }

    /// The place of [`KvKey::api_key`], for each validation, which need not make that name.
    #[must_use]
    pub fn of_api_key(environment: &EnvironmentId, digest: &Digest) -> Self {
        Self::of_parts(&[KvKey::API_KEYS.as_bytes(), environment.as_str().as_bytes(), b":", &digest.text()])
    }

    /// The place of [`KvKey::management_key`].
    #[must_use]
    pub fn of_management_key(digest: &Digest) -> Self {
        Self::of_parts(&[KvKey::MANAGEMENT_KEYS.as_bytes(), &digest.text()])
    }

    fn of_parts(name: &[&[u8]]) -> Self {
        let hash = name.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
        let mut place = [0; 16];
        place.copy_from_slice(&hash[..16]);
        Self(place)
    }

    /// The place that was written as this text, if it was one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// Base64url without padding: 22 characters.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes places, which are hashes already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PlaceHash;

impl std::hash::BuildHasher for PlaceHash {
    type Hasher = FirstBytes;

    fn build_hasher(&self) -> FirstBytes {
        FirstBytes(0)
    }
}

/// Takes the first eight bytes for the hash.
#[derive(Debug)]
pub struct FirstBytes(u64);

impl std::hash::Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
