//! What the database says of a key or a scope, as a change for the feed.

use shared::{
    Timestamp,
    feed::{Mark, wire::WireChange},
    seal::EdgeSecrets,
};

use crate::storage::{
    edge_sync::Entry,
    feed::ScopeChange,
    outbox::{Kind, Unfed},
};

/// Something that the feed has an entry of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The key with this id.
    Key(Kind, String),
    /// The scope of this name.
    Scope(String),
}

impl From<Unfed> for Subject {
    fn from(Unfed { kind, key_id }: Unfed) -> Self {
        Self::Key(kind, key_id)
    }
}

impl Subject {
    /// The name of the scope, if it is one.
    #[must_use]
    pub fn as_scope(&self) -> Option<&str> {
        match self {
            Self::Scope(name) => Some(name),
            Self::Key(..) => None,
        }
    }

    /// The id of the key, if it is one of this kind.
    #[must_use]
    pub fn as_key(&self, kind: Kind) -> Option<&str> {
        match self {
            Self::Key(of, id) if *of == kind => Some(id),
            _ => None,
        }
    }
}

/// The present state of a key. `None` if its digest is damaged, so that nobody knows where it stands.
///
/// A key that never changed is a creation, which the feed need not keep for long; it is counted from now, so that one that
/// is appended again stays for as long as it is not in the store.
#[must_use]
pub fn change_of_key(entry: &Entry, secrets: &EdgeSecrets, now: Timestamp) -> Option<WireChange> {
    let kv_key = entry.kv_key.as_ref()?;
    let (mark, changed_at) = match (&entry.record.revoked, entry.changed_at) {
        (Some(revoked), changed_at) => (Mark::Revoked, changed_at.unwrap_or(revoked.at)),
        (None, Some(changed_at)) => (Mark::Changed, changed_at),
        (None, None) => (Mark::Created, now),
    };
    Some(WireChange {
        name: kv_key.as_str().to_owned(),
        version: entry.record.version,
        mark,
        changed_at,
        sealed: Some(secrets.seal(kv_key, &entry.record)),
    })
}

/// The last change of a scope.
#[must_use]
pub fn change_of_scope(change: &ScopeChange) -> WireChange {
    WireChange {
        name: change.name.clone(),
        version: change.generation,
        mark: Mark::Scope(change.effect.0.clone()),
        changed_at: change.changed_at,
        sealed: None,
    }
}
