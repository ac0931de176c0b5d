//! How the change feed is spoken to.
//!
//! The control plane speaks JSON, through the Worker's ingress routes. Isolates poll in a compact binary form, because a
//! new one reads all entries before it answers anything.
//!
//! During a deployment older and newer Workers speak to one feed. JSON fields may be added; a page of another version, or
//! with a mark that is not known, cannot be read, and whoever cannot read it has no lease.

use serde::{Deserialize, Serialize};

use super::{Effect, Epoch, Held, Mark, Page, PageEntry, Position, Refusal, Sequence, State, Status};
use crate::{Timestamp, digest::Place, error::ApiError, record::Version};

/// `POST`: [`Append`], answered with [`Appended`].
pub const APPEND: &str = "/_edge/feed/append";
/// `GET`: answered with [`Report`].
pub const STATUS: &str = "/_edge/feed/status";
/// `POST`: [`Open`], answered with [`Report`].
pub const OPEN: &str = "/_edge/feed/open";
/// `POST` without a body: answered with [`Report`].
pub const RETIRE: &str = "/_edge/feed/retire";
/// `POST`: [`Lookup`], answered with [`Found`].
pub const ENTRIES: &str = "/_edge/feed/entries";
/// `POST`: [`Since`], answered with [`Changes`].
pub const CHANGES: &str = "/_edge/feed/changes";
/// The longest body of a request: [`super::APPEND_MAX`] changes with records of the usual size.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;
/// The most names of a [`Lookup`], and the most changes of one [`Changes`].
pub const LOOKUP_MAX: usize = 1_000;

/// A change, on its way to the feed or back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireChange {
    /// The KV key, or the name of the scope.
    pub name: String,
    /// The version of the key, or the generation of the scope.
    pub version: Version,
    /// What happened.
    pub mark: Mark,
    /// When it happened.
    pub changed_at: Timestamp,
    /// The sealed record; a scope has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// Changes to be appended: [`super::APPEND_MAX`] at most, and none to ask how the feed is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// How far the feed had come when it last answered.
    pub known: Option<Position>,
    /// The changes.
    pub changes: Vec<WireChange>,
}

/// What became of an [`Append`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The feed.
    pub status: Status,
    /// What it now holds of each.
    pub held: Vec<Held>,
}

/// How the feed is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The feed.
    pub status: Status,
    /// How many entries it has, of which a long one counts as several.
    pub entries: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// Opens a feed that was re-seeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// In this life.
    pub epoch: Epoch,
}

/// Asks for entries by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The names, [`LOOKUP_MAX`] at most.
    pub names: Vec<String>,
}

/// What a [`Lookup`] found, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The feed.
    pub status: Status,
    /// Its entries.
    pub entries: Vec<Option<WireEntry>>,
}

/// Asks for the entries after a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The number.
    pub after: Sequence,
}

/// The entries after a number, as many as fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The feed.
    pub status: Status,
    /// The entries, in order. None means that there are no more.
    pub entries: Vec<WireEntry>,
}

/// An entry of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireEntry {
    /// Its number.
    pub sequence: Sequence,
    /// The KV key, or the name of the scope.
    pub name: String,
    /// The version of the key, or the generation of the scope.
    pub version: Version,
    /// What it says.
    pub mark: Mark,
    /// The sealed record; a scope has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// What the feed answers an isolate that asks for one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneRecord {
    /// Where the feed stood then.
    pub position: Position,
    /// The sealed record, if the feed has one.
    pub sealed: Option<String>,
}

/// The version of the binary form of a page.
const PAGE_VERSION: u8 = 1;
const CREATED: u8 = 0;
const CHANGED: u8 = 1;
const REVOKED: u8 = 2;
const SCOPE: u8 = 3;
/// The bytes of an entry that is not a scope's.
pub const ENTRY_BYTES: usize = 1 + 8 + 16 + 8;
/// The bytes before the entries.
const HEAD_BYTES: usize = 1 + 4 + 3 * 8 + 1 + 8 + 4;

impl Page {
    /// Its binary form: fixed fields, little-endian, the number of entries, and each scope's effect as JSON after its
    /// length. Because of the number, a page whose end was lost cannot be taken for a whole one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES);
        bytes.push(PAGE_VERSION);
        bytes.extend(self.epoch.0.to_le_bytes());
        for number in [self.after, self.up_to, self.trimmed] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.push(u8::from(self.complete));
        bytes.extend(self.age_millis.to_le_bytes());
        bytes.extend(u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        for entry in &self.entries {
            let (mark, effect) = match &entry.mark {
                Mark::Created => (CREATED, None),
                Mark::Changed => (CHANGED, None),
                Mark::Revoked => (REVOKED, None),
                Mark::Scope(effect) => (SCOPE, Some(serde_json::to_vec(effect).unwrap_or_default())),
            };
            bytes.push(mark);
            bytes.extend(entry.sequence.to_le_bytes());
            bytes.extend(entry.place.0);
            bytes.extend(entry.version.0.to_le_bytes());
            if let Some(effect) = effect {
                bytes.extend(u32::try_from(effect.len()).unwrap_or(u32::MAX).to_le_bytes());
                bytes.extend(effect);
            }
        }
        bytes
    }

    /// Reads the binary form. `None` if it is anything else, or of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.array::<1>()? != [PAGE_VERSION] {
            return None;
        }
        let mut page = Self {
            epoch: Epoch(u32::from_le_bytes(reader.array()?)),
            after: reader.number()?,
            up_to: reader.number()?,
            trimmed: reader.number()?,
            complete: reader.flag()?,
            age_millis: i64::from_le_bytes(reader.array()?),
            entries: Vec::new(),
        };
        let count = reader.length()?;
        page.entries.reserve_exact(count.min(reader.0.len() / ENTRY_BYTES));
        for _ in 0..count {
            page.entries.push(reader.entry()?);
        }
        reader.0.is_empty().then_some(page)
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    fn entry(&mut self) -> Option<PageEntry> {
        let [mark] = self.array()?;
        let (sequence, place) = (self.number()?, Place(self.array()?));
        let version = Version(i64::from_le_bytes(self.array()?));
        let mark = match mark {
            CREATED => Mark::Created,
            CHANGED => Mark::Changed,
            REVOKED => Mark::Revoked,
            SCOPE => Mark::Scope(self.effect()?),
            _ => return None,
        };
        Some(PageEntry { sequence, place, version, mark })
    }

    fn effect(&mut self) -> Option<Effect> {
        let length = self.length()?;
        let (json, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        serde_json::from_slice(json).ok()
    }
}

impl Refusal {
    /// The answer that says so.
    #[must_use]
    pub fn to_error(self) -> ApiError {
        let (status, code) = match self {
            Self::Closed => (503, "feed_closed"),
            Self::Retired => (410, "feed_retired"),
            Self::AnotherEpoch => (409, "feed_has_another_epoch"),
            Self::Full => (507, "feed_full"),
        };
        ApiError::new(status, code, format!("{self}."))
    }
}

impl State {
    /// Its name, as the wire has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Retired => "retired",
        }
    }
}
