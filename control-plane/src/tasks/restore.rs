//! Applies to a restored database the changes that only the change feed has, before anything is published.
//!
//! A database that was restored from a backup lacks all changes since the backup. Once the feed no longer has them,
//! keys that were revoked since would be valid again. But the database is then behind the feed: the position that it
//! recorded last is below the feed's head. So all entries beyond that position are read and compared, key by key, and
//! what is newer in the feed is applied:
//!
//! | the feed has | what happens |
//! | --- | --- |
//! | a tombstone of a key that is not revoked in the database | the key is revoked, for the reason in the tombstone |
//! | a newer version of a key | the key gets that state: expiry, permissions, name, … |
//! | a cache tag with a newer generation | the organization, user, membership or permission is deleted, or the membership or role gets that state, with the effects on keys |
//! | a key that is not in the database | nothing. The edge refuses its record when it is too old; `latchkey edge sync --prune` removes it earlier |
//!
//! The feed has the changes of a week. If the database is older than that, all its keys are compared with Workers KV
//! first, which has a tombstone of every key that was ever revoked.
//!
//! Usually nothing is newer in the feed. Then this reads the few entries since the last recorded position. It is
//! idempotent, and several processes may do it at the same time, because versions never go back.

use std::collections::HashMap;

use anyhow::bail;
use shared::{
    Timestamp,
    digest::KvKey,
    feed::{
        Epoch, Mark, Position, Sequence, State,
        wire::{LOOKUP_MAX, WireEntry},
    },
    id::{ApiKeyId, ManagementKeyId},
    record::{Grant, Revoked, Version},
    seal::EdgeSecrets,
};

use self::scopes::{ChangedScopes, ScopeRestorer};
use crate::{
    clock::Clock,
    edge::{
        feed::FeedClient,
        kv::{self, Kv},
    },
    events::Actor,
    service::{Change, Database, Transaction, api_keys, commit_without_waiting, management_keys},
    storage::{
        self, Db, Priority, edge_sync, feed,
        outbox::Kind,
        restore::{self, Known},
    },
};

mod scopes;

/// How often it begins anew, because the feed began another epoch meanwhile, before it gives up.
const ATTEMPTS: usize = 5;

/// The database and the feed.
#[derive(Debug)]
pub struct Restorer<'a> {
    /// The database.
    pub db: &'a Db,
    /// The database, for use cases.
    pub database: &'a Database,
    /// The clock.
    pub clock: &'a Clock,
    /// The feed.
    pub feed: &'a FeedClient,
    /// What its records are sealed with.
    pub secrets: &'a EdgeSecrets,
}

/// What the feed had and the database had not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Keys that were revoked.
    pub revoked: u64,
    /// Keys that got back a newer state.
    pub taken_over: u64,
    /// Organizations, permissions, users, memberships and roles that were deleted or changed.
    pub scopes: u64,
    /// Keys that are not revoked and not in the database.
    pub unknown: u64,
    /// Keys whose newer state cannot be read, because it was sealed with a secret that is not configured any more.
    pub unreadable: u64,
}

impl Restored {
    /// How much was taken over.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.revoked + self.taken_over + self.scopes
    }
}

impl Restorer<'_> {
    /// Takes over what the feed has beyond the position that the database noted, and notes how far it has come.
    ///
    /// # Errors
    /// If the database, the feed or the store fails. What was taken over by then stays, and this can be repeated.
    pub async fn catch_up(&self, kv: &Kv) -> anyhow::Result<Restored> {
        let noted = feed::position(self.db.read_as(Priority::Publisher).await?.conn()).await?;
        let status = self.feed.status().await?.status;
        // Of another epoch nothing is known. One that has not come as far as was noted has lost something, which the
        // next append shows.
        let after = noted.filter(|noted| noted.epoch == status.epoch).map_or(0, |noted| noted.sequence);
        if status.state == State::Retired || after >= status.head {
            return Ok(Restored::default());
        }
        let mut restored = Restored::default();
        if after < status.trimmed {
            self.take_over_from_store(kv, &mut restored).await?;
        }
        self.take_over_after(Position { epoch: status.epoch, sequence: after }, restored).await
    }

    /// Takes over what the store has. It may be stale, so the feed comes after it; but it forgets nothing.
    async fn take_over_from_store(&self, kv: &Kv, restored: &mut Restored) -> anyhow::Result<()> {
        tracing::warn!(
            "the database is older than the oldest change in the change feed; comparing every key with Workers KV first"
        );
        for kind in Kind::EVERY {
            let mut cursor = String::new();
            loop {
                let (limit, now) = (i64::try_from(kv::GET_LIMIT)?, self.clock.now());
                let page =
                    edge_sync::after(self.db.read_as(Priority::Publisher).await?.conn(), kind, &cursor, limit, now)
                        .await?;
                let Some(last) = page.last() else { break };
                cursor.clone_from(&last.id);
                let kv_keys: Vec<&KvKey> = page.iter().filter_map(|entry| entry.kv_key.as_ref()).collect();
                let names: Vec<&str> = kv_keys.iter().map(|kv_key| kv_key.as_str()).collect();
                let mut values = kv.get(&names).await?;
                let entry = |kv_key: &&KvKey| self.entry_of_record(kv_key, values.remove(kv_key.as_str())?);
                let entries = kv_keys.iter().filter_map(entry).collect();
                self.take_over_page(entries, &mut ChangedScopes::default(), restored).await?;
            }
        }
        Ok(())
    }

    /// What the feed would have of a record of the store. `None` if it is not one of ours.
    fn entry_of_record(&self, kv_key: &KvKey, sealed: String) -> Option<WireEntry> {
        let record = self.secrets.open(kv_key, &sealed).ok()?;
        let mark = if record.revoked.is_some() { Mark::Revoked } else { Mark::Changed };
        Some(WireEntry {
            sequence: 0,
            name: kv_key.as_str().to_owned(),
            version: record.version,
            mark,
            sealed: Some(sealed),
        })
    }

    /// Takes over whatever the feed has.
    ///
    /// # Errors
    /// As above.
    pub async fn take_over_all(&self) -> anyhow::Result<Restored> {
        let epoch = self.feed.status().await?.status.epoch;
        self.take_over_after(Position { epoch, sequence: 0 }, Restored::default()).await
    }

    /// Whether the feed really has something of these keys that the database has not. What an append reported can have been
    /// changed by another process between reading and appending.
    ///
    /// # Errors
    /// If the database or the feed fails.
    pub async fn is_behind(&self, names: &[String]) -> anyhow::Result<bool> {
        for names in names.chunks(LOOKUP_MAX) {
            let entries: Vec<WireEntry> =
                self.feed.entries(names.to_vec()).await?.entries.into_iter().flatten().collect();
            let known = self.known(&entries).await?;
            if entries.iter().any(|entry| known.get(&entry.name).is_some_and(|known| is_newer(entry, known))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Of the next changes that the feed has beyond a position, how many are newer than the database. One page of them is read.
    ///
    /// # Errors
    /// If the database or the feed fails.
    pub async fn count_newer(&self, noted: Option<Position>) -> anyhow::Result<usize> {
        let status = self.feed.status().await?.status;
        let after = noted.filter(|noted| noted.epoch == status.epoch).map_or(0, |noted| noted.sequence);
        let entries = self.feed.changes(after).await?.entries;
        let known = self.known(&entries).await?;
        let newer = |entry: &&WireEntry| known.get(&entry.name).is_some_and(|known| is_newer(entry, known));
        Ok(entries.iter().filter(newer).count())
    }

    async fn take_over_after(&self, mut position: Position, mut restored: Restored) -> anyhow::Result<Restored> {
        for _ in 0..ATTEMPTS {
            let mut scopes = ChangedScopes::default();
            match self.walk(position, &mut scopes, &mut restored).await? {
                Ok(head) => {
                    let restorer = ScopeRestorer { database: self.database, clock: self.clock };
                    restored.scopes += restorer.restore(scopes).await?;
                    self.note(Position { sequence: head, ..position }).await?;
                    return Ok(restored);
                }
                Err(epoch) => position = Position { epoch, sequence: 0 },
            }
        }
        bail!("the change feed keeps beginning new epochs");
    }

    /// Takes over key by key, and returns up to where; or the epoch that the feed has begun meanwhile. Scopes are only collected: they
    /// come after all keys, because a record that is taken over may be from before its scope was revoked.
    async fn walk(
        &self,
        from: Position,
        scopes: &mut ChangedScopes,
        restored: &mut Restored,
    ) -> anyhow::Result<Result<Sequence, Epoch>> {
        let mut after = from.sequence;
        loop {
            let changes = self.feed.changes(after).await?;
            if changes.status.epoch != from.epoch {
                return Ok(Err(changes.status.epoch));
            }
            let Some(last) = changes.entries.last().map(|entry| entry.sequence) else {
                return Ok(Ok(changes.status.head));
            };
            // Whatever answers there, this comes to an end.
            if last <= after {
                bail!("the change feed returned entries that were not requested");
            }
            after = last;
            self.take_over_page(changes.entries, scopes, restored).await?;
        }
    }

    async fn take_over_page(
        &self,
        entries: Vec<WireEntry>,
        scopes: &mut ChangedScopes,
        restored: &mut Restored,
    ) -> anyhow::Result<()> {
        let known = self.known(&entries).await?;
        let mut newer = vec![];
        for entry in entries {
            if let Mark::Scope(effect) = &entry.mark {
                scopes.add(&entry, effect);
            } else if let Some(known) = known.get(&entry.name) {
                if is_newer(&entry, known) {
                    newer.push((known, entry));
                }
            } else if entry.mark != Mark::Revoked {
                restored.unknown += 1;
            }
        }
        if newer.is_empty() {
            return Ok(());
        }
        // In order of id, as every change of many keys locks them.
        newer.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
        let mut transaction = self.database.begin(Actor::Server, Priority::Publisher).await?;
        let mut changes = vec![];
        for (known, entry) in newer {
            changes.extend(self.take_over(&mut transaction, known, &entry, restored).await?);
        }
        if let Some(change) = changes.into_iter().reduce(Change::and) {
            commit_without_waiting(transaction, change, self.clock.now()).await?;
        }
        Ok(())
    }

    /// What the database knows of the keys of these entries, by name.
    async fn known(&self, entries: &[WireEntry]) -> storage::Result<HashMap<String, Known>> {
        let names = || entries.iter().map(|entry| entry.name.as_str());
        let api_keys: Vec<_> = names().filter_map(KvKey::parse_api_key).collect();
        let management_keys: Vec<_> = names().filter_map(KvKey::parse_management_key).collect();
        let mut reader = self.db.read_as(Priority::Publisher).await?;
        let mut known = restore::api_keys(reader.conn(), &api_keys).await?;
        known.extend(restore::management_keys(reader.conn(), &management_keys).await?);
        Ok(known.into_iter().map(|known| (known.kv_key.as_str().to_owned(), known)).collect())
    }

    async fn take_over(
        &self,
        transaction: &mut Transaction,
        known: &Known,
        entry: &WireEntry,
        restored: &mut Restored,
    ) -> anyhow::Result<Option<Change>> {
        let now = self.clock.now();
        let sealed = entry.sealed.as_deref();
        let record = sealed.and_then(|sealed| self.secrets.open(&known.kv_key, sealed).ok());
        if entry.mark == Mark::Revoked {
            let revoked = record.and_then(|record| record.revoked);
            let revoked = revoked.unwrap_or_else(|| Revoked::new("revoked_before_restore", now));
            let change = self.revoke(transaction, known, entry.version, &revoked).await?;
            restored.revoked += u64::from(change.is_some());
            return Ok(change);
        }
        let Some(record) = record else {
            tracing::error!(key = known.id, "cannot open the newer record of a key in the change feed");
            restored.unreadable += 1;
            return Ok(None);
        };
        let change = match &record.grant {
            Grant::ApiKey(key) if known.kind == Kind::ApiKey => {
                api_keys::restore(transaction, &known.id, &record, key, now).await?
            }
            Grant::ManagementKey(key) if known.kind == Kind::ManagementKey => {
                management_keys::restore(transaction, &known.id, &record, key, now).await?
            }
            // The MAC is valid for this KV key alone, so this cannot be.
            _ => None,
        };
        restored.taken_over += u64::from(change.is_some());
        Ok(change)
    }

    /// Revokes a key that was revoked after the backup, with a version beyond what the feed has. `None` if it is revoked by now.
    async fn revoke(
        &self,
        transaction: &mut Transaction,
        known: &Known,
        in_feed: Version,
        revoked: &Revoked,
    ) -> anyhow::Result<Option<Change>> {
        let Version(millis) = in_feed.next(self.clock.now());
        let now = Timestamp::from_millis(millis);
        match known.kind {
            Kind::ApiKey => {
                let id: ApiKeyId = known.id.parse()?;
                Ok(api_keys::revoke_if_active(transaction, &known.environment, &id, revoked, now).await?)
            }
            Kind::ManagementKey => {
                let id: ManagementKeyId = known.id.parse()?;
                Ok(management_keys::revoke_if_active(transaction, &id, revoked, now).await?)
            }
        }
    }

    async fn note(&self, position: Position) -> storage::Result<()> {
        let mut transaction = self.db.write_as(Priority::Publisher).await?;
        feed::note_position(transaction.conn(), position, None).await?;
        transaction.commit().await
    }
}

fn is_newer(entry: &WireEntry, known: &Known) -> bool {
    !known.revoked && (entry.mark == Mark::Revoked || entry.version > known.version)
}

#[cfg(test)]
mod tests;
