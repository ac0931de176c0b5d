//! What a use case changed: what happened, and what the edge has to know of it.

use shared::{
    feed::{Effect, Scope},
    id::{ApiKeyId, EnvironmentId, ManagementKeyId},
    record::Version,
};

use crate::{
    edge::acknowledge::Committed,
    events::NewEvent,
    storage::{Priority, outbox::Kind},
};

/// What a use case changed. Only the services make one, and [`super::commit`] needs one. None can be made without its event,
/// but for [`Change::nothing`] and changes that were made before.
#[must_use = "a change takes effect only if it is committed"]
#[derive(Debug)]
pub struct Change {
    events: Vec<NewEvent>,
    parts: Vec<Part>,
    has_deliveries: bool,
}

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
    /// Nothing was changed, because all is as it is wanted.
    pub(super) const fn nothing() -> Self {
        Self { events: vec![], parts: vec![], has_deliveries: false }
    }

    /// A change that concerns the database alone.
    pub(super) fn local(event: NewEvent) -> Self {
        Self { events: vec![event], parts: vec![], has_deliveries: false }
    }

    pub(super) fn api_key_created(id: &ApiKeyId, version: Version, event: NewEvent) -> Self {
        Self::of(event, Part::Created(KeyVersion { kind: Kind::ApiKey, id: id.to_string(), version }))
    }

    pub(super) fn api_key_updated(id: &ApiKeyId, version: Version, event: NewEvent) -> Self {
        Self::of(event, Part::Updated(KeyVersion { kind: Kind::ApiKey, id: id.to_string(), version }))
    }

    pub(super) fn management_key_created(id: &ManagementKeyId, version: Version, event: NewEvent) -> Self {
        Self::of(event, Part::Created(KeyVersion { kind: Kind::ManagementKey, id: id.to_string(), version }))
    }

    pub(super) fn management_key_updated(id: &ManagementKeyId, version: Version, event: NewEvent) -> Self {
        Self::of(event, Part::Updated(KeyVersion { kind: Kind::ManagementKey, id: id.to_string(), version }))
    }

    pub(super) fn api_key_restored(id: &str, version: Version, event: NewEvent) -> Self {
        Self::of(event, Part::Restored(KeyVersion { kind: Kind::ApiKey, id: id.to_owned(), version }))
    }

    pub(super) fn management_key_restored(id: &str, version: Version, event: NewEvent) -> Self {
        Self::of(event, Part::Restored(KeyVersion { kind: Kind::ManagementKey, id: id.to_owned(), version }))
    }

    pub(super) fn scope(
        scope: &Scope<'_>,
        environment: &EnvironmentId,
        generation: Version,
        effect: Effect,
        event: NewEvent,
    ) -> Self {
        let (name, environment) = (scope.name(), environment.clone());
        Self::of(event, Part::Scope(ScopeUpdate { name, environment, generation, effect }))
    }

    /// An earlier change of an API key whose caller has received no acknowledgement. Nothing is written; only the wait is
    /// resumed.
    pub(super) fn unacknowledged_api_key(id: &ApiKeyId, version: Version) -> Self {
        Self::unacknowledged(Committed::key(Kind::ApiKey, id.to_string(), version, Priority::Revocation))
    }

    /// The same of a management key.
    pub(super) fn unacknowledged_management_key(id: &ManagementKeyId, version: Version) -> Self {
        Self::unacknowledged(Committed::key(Kind::ManagementKey, id.to_string(), version, Priority::Revocation))
    }

    /// The same of a scope.
    pub(super) fn unacknowledged_scope(scope: &Scope<'_>, generation: Version) -> Self {
        Self::unacknowledged(Committed::scope(scope.name(), generation, Priority::Revocation))
    }

    /// Deliveries were queued, which are not reported by an event: they would be delivered, too.
    pub(super) const fn deliveries() -> Self {
        Self { events: vec![], parts: vec![], has_deliveries: true }
    }

    /// Both changes, for one transaction.
    pub fn and(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        self.parts.extend(other.parts);
        self.has_deliveries |= other.has_deliveries;
        self
    }

    fn of(event: NewEvent, part: Part) -> Self {
        Self { events: vec![event], parts: vec![part], has_deliveries: false }
    }

    fn unacknowledged(earlier: Committed) -> Self {
        Self { events: vec![], parts: vec![Part::Unacknowledged(earlier)], has_deliveries: false }
    }

    pub(super) const fn has_deliveries(&self) -> bool {
        self.has_deliveries
    }

    pub(super) fn into_parts(self) -> (Vec<NewEvent>, Vec<Part>) {
        (self.events, self.parts)
    }
}
