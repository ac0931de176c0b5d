//! What a use case changed, as far as the edge has to know.

use shared::{
    feed::{Effect, Scope},
    id::{ApiKeyId, EnvironmentId, ManagementKeyId},
    record::Version,
};

use crate::{
    edge::acknowledge::Committed,
    storage::{Priority, outbox::Kind},
};

/// What a use case changed. Only the services make one, and [`super::commit`] needs one.
#[must_use = "a change takes effect only if it is committed"]
#[derive(Debug)]
pub struct Change(Vec<Part>);

/// One thing that the edge has to know.
#[derive(Debug)]
pub(super) enum Part {
    /// A key is new.
    Created(KeyVersion),
    /// A key has a new state, which replaces what the edge has.
    Updated(KeyVersion),
    /// A key has a state that the feed has already. Workers KV may have an older one.
    Restored(KeyVersion),
    /// What many keys depend on has changed. Their records follow to Workers KV at their own pace.
    Scope(ScopeUpdate),
    /// An earlier change was committed, and no caller has received an acknowledgement for it yet.
    Unacknowledged(Committed),
}

/// A version of a key.
#[derive(Debug)]
pub(super) struct KeyVersion {
    pub kind: Kind,
    pub id: String,
    pub version: Version,
}

/// A new generation of a scope, and what becomes of records that were sealed with an older one.
#[derive(Debug)]
pub(super) struct ScopeUpdate {
    pub name: String,
    pub environment: EnvironmentId,
    pub generation: Version,
    pub effect: Effect,
}

impl Change {
    /// A change that concerns the database alone.
    pub(super) const fn local() -> Self {
        Self(vec![])
    }

    pub(super) fn api_key_created(id: &ApiKeyId, version: Version) -> Self {
        Self(vec![Part::Created(KeyVersion { kind: Kind::ApiKey, id: id.to_string(), version })])
    }

    pub(super) fn api_key_updated(id: &ApiKeyId, version: Version) -> Self {
        Self(vec![Part::Updated(KeyVersion { kind: Kind::ApiKey, id: id.to_string(), version })])
    }

    pub(super) fn management_key_created(id: &ManagementKeyId, version: Version) -> Self {
        Self(vec![Part::Created(KeyVersion { kind: Kind::ManagementKey, id: id.to_string(), version })])
    }

    pub(super) fn management_key_updated(id: &ManagementKeyId, version: Version) -> Self {
        Self(vec![Part::Updated(KeyVersion { kind: Kind::ManagementKey, id: id.to_string(), version })])
    }

    pub(super) fn api_key_restored(id: &str, version: Version) -> Self {
        Self(vec![Part::Restored(KeyVersion { kind: Kind::ApiKey, id: id.to_owned(), version })])
    }

    pub(super) fn management_key_restored(id: &str, version: Version) -> Self {
        Self(vec![Part::Restored(KeyVersion { kind: Kind::ManagementKey, id: id.to_owned(), version })])
    }

    pub(super) fn scope(scope: &Scope<'_>, environment: &EnvironmentId, generation: Version, effect: Effect) -> Self {
        let (name, environment) = (scope.name(), environment.clone());
        Self(vec![Part::Scope(ScopeUpdate { name, environment, generation, effect })])
    }

    /// An earlier change of an API key whose caller has received no acknowledgement. Nothing is written; only the wait is
    /// resumed.
    pub(super) fn unacknowledged_api_key(id: &ApiKeyId, version: Version) -> Self {
        Self::unacknowledged(Kind::ApiKey, id.to_string(), version)
    }

    /// The same of a management key.
    pub(super) fn unacknowledged_management_key(id: &ManagementKeyId, version: Version) -> Self {
        Self::unacknowledged(Kind::ManagementKey, id.to_string(), version)
    }

    fn unacknowledged(kind: Kind, id: String, version: Version) -> Self {
        Self(vec![Part::Unacknowledged(Committed::key(kind, id, version, Priority::Revocation))])
    }

    /// An earlier change of a scope whose caller has received no acknowledgement.
    pub(super) fn unacknowledged_scope(scope: &Scope<'_>, generation: Version) -> Self {
        Self(vec![Part::Unacknowledged(Committed::scope(scope.name(), generation, Priority::Revocation))])
    }

    /// Both changes, for one transaction.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn into_parts(self) -> Vec<Part> {
        self.0
    }
}
