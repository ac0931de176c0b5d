//! What the feed holds: the newest state of a key or of a scope.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Epoch, Sequence};
use crate::{
    Timestamp,
    digest::Place,
    id::{EnvironmentId, MembershipId, OrganizationId, RoleId, UserId},
    record::{Role, Version},
};

/// A mark counts as one entry more for each time that its JSON is so many bytes long: in an isolate these take about the
/// memory of a floor.
pub const BYTES_OF_AN_ENTRY: usize = 32;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// There is a new key. Only the state that it was created with may be marked so: of what was ever changed, isolates
    /// have to be told that there was something older.
    Created,
    /// The key has this version now; older records of it are void.
    Changed,
    /// The key is revoked for ever.
    Revoked,
    /// Every record of this scope with a lower generation is subject to this.
    Scope(Effect),
}

impl Mark {
    /// As how many entries one with this mark counts.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let length = match self {
            Self::Scope(_) => serde_json::to_vec(self).map_or(0, |json| json.len()),
            Self::Created | Self::Changed | Self::Revoked => 0,
        };
        1 + (length / BYTES_OF_AN_ENTRY) as u64
    }
}

/// What becomes of the records of a scope that were sealed before its generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// They are refused for ever; of a permission: it is taken from them.
    Revoke,
    /// They are refused.
    Disable,
    /// Of a role: it allows these permissions, and no others.
    AllowOnly(BTreeSet<String>),
    /// Of a membership: it is active, and this is the user's role.
    Role(Role),
}

/// What many keys depend on at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope<'a> {
    /// An organization.
    Organization(&'a OrganizationId),
    /// A permission that an environment offers.
    Permission(&'a EnvironmentId, &'a str),
    /// A user.
    User(&'a UserId),
    /// That a user belongs to an organization.
    Membership(&'a MembershipId),
    /// A role.
    Role(&'a RoleId),
}

impl Scope<'_> {
    /// Its name in the feed. No KV key has such a one.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Organization(id) => format!("organization:{id}"),
            Self::Permission(environment, slug) => format!("permission:{environment}:{slug}"),
            Self::User(id) => format!("user:{id}"),
            Self::Membership(id) => format!("membership:{id}"),
            Self::Role(id) => format!("role:{id}"),
        }
    }

    /// Its place in the feed.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::of(&self.name())
    }
}

/// The newest state of a key or of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry<B> {
    /// Its number in the feed.
    pub sequence: Sequence,
    /// The key or the scope.
    pub place: Place,
    /// Which version of the key, or which generation of the scope.
    pub version: Version,
    /// What the entry says.
    pub mark: Mark,
    /// Until when it stays at least.
    pub kept_until: Timestamp,
    /// What the rules need not know: the name and the sealed record.
    pub body: B,
}

/// A change to be appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change<B> {
    /// The key or the scope.
    pub place: Place,
    /// The version that the key got, or the generation that the scope got.
    pub version: Version,
    /// What happened.
    pub mark: Mark,
    /// When, by the clock that seals records.
    pub changed_at: Timestamp,
    /// What the rules need not know.
    pub body: B,
}

/// What the feed holds of a key or a scope after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// Its version or generation.
    pub version: Version,
    /// Whether the key is revoked.
    pub revoked: bool,
}

impl Held {
    /// Whether this version of a key, or a stricter one, is held: what an acknowledgement waits for.
    #[must_use]
    pub fn covers(self, version: Version) -> bool {
        self.revoked || self.version >= version
    }
}

/// An entry as a page has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageEntry {
    /// Its number in the feed.
    pub sequence: Sequence,
    /// The key or the scope.
    pub place: Place,
    /// Which version or generation.
    pub version: Version,
    /// What the entry says.
    pub mark: Mark,
}

/// What a poll is answered with: the next changes, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// The life of the feed.
    pub epoch: Epoch,
    /// The number that the page begins after: what was asked for, or 0 if that cannot be continued from.
    pub after: Sequence,
    /// The number up to which the page is whole.
    pub up_to: Sequence,
    /// Every change up to this number may have been removed from the feed.
    pub trimmed: Sequence,
    /// Whether this is all there was.
    pub complete: bool,
    /// How old the answer was when it was given, in milliseconds. 0 from the feed itself.
    pub age_millis: i64,
    /// The changes.
    pub entries: Vec<PageEntry>,
}

/// The first of these entries that together weigh at least so much, or all of them.
///
/// # Errors
/// That of an entry that cannot be read.
pub fn up_to_weight<E>(
    entries: impl IntoIterator<Item = Result<PageEntry, E>>,
    weight: u64,
) -> Result<Vec<PageEntry>, E> {
    let mut left = weight;
    let mut page = vec![];
    for entry in entries {
        let entry = entry?;
        left = left.saturating_sub(entry.mark.weight());
        page.push(entry);
        if left == 0 {
            break;
        }
    }
    Ok(page)
}
