//! Management keys: the keys of the product's own back end.

use shared::{
    Timestamp,
    digest::Digest,
    entropy::Entropy,
    id::{EnvironmentId, ManagementKeyId},
    key::{self, KeyText},
    record::{ManagementKeyGrant, Record, Revoked, Version},
    scope::{self, Scope},
};

use super::{Change, Transaction};
use crate::{
    events::{EventType, NewEvent, changes},
    storage::{
        self,
        management_keys::{self as rows, NewManagementKey},
    },
};

/// The reason of a revocation on the command line.
pub const REVOKED_BY_OPERATOR: &str = "revoked_by_operator";

/// A management key that was just created: the only moment at which its text is known.
pub struct CreatedManagementKey {
    /// Its id.
    pub id: ManagementKeyId,
    /// Its text.
    pub text: KeyText,
}

/// Creates a management key.
///
/// # Errors
/// If the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    name: &str,
    scopes: &[String],
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> storage::Result<(CreatedManagementKey, Change)> {
    let id = ManagementKeyId::generate(now, entropy);
    let text = KeyText::generate_management(entropy);
    let key = NewManagementKey {
        id: &id,
        environment_id: environment,
        name,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        scopes,
        now,
    };
    rows::insert(transaction.conn(), &key).await?;
    let event = event_of(transaction, EventType::ManagementKeyCreated, &id).await?;
    let change = Change::management_key_created(&id, Version::first(now), event);
    Ok((CreatedManagementKey { id, text }, change))
}

/// Revokes a management key. `None` if there is none, or it is revoked already and that was acknowledged.
///
/// # Errors
/// If the database fails.
pub async fn revoke(
    transaction: &mut Transaction,
    id: &ManagementKeyId,
    revoked: &Revoked,
    now: Timestamp,
) -> storage::Result<Option<Change>> {
    if let Some(change) = revoke_if_active(transaction, id, revoked, now).await? {
        return Ok(Some(change));
    }
    let unacknowledged = rows::unacknowledged_revocation(transaction.conn(), id).await?;
    let unacknowledged = unacknowledged.filter(|_| transaction.has_edge());
    Ok(unacknowledged.map(|version| Change::unacknowledged_management_key(id, version)))
}

/// The same for a caller who does not wait for an earlier revocation. `None` if there is no such key, or it is revoked already.
///
/// # Errors
/// If the database fails.
pub async fn revoke_if_active(
    transaction: &mut Transaction,
    id: &ManagementKeyId,
    revoked: &Revoked,
    now: Timestamp,
) -> storage::Result<Option<Change>> {
    let Some(version) = rows::revoke(transaction.conn(), id, revoked, now).await? else { return Ok(None) };
    let event = event_of(transaction, EventType::ManagementKeyRevoked, id).await?;
    Ok(Some(Change::management_key_updated(id, version, event)))
}

/// Restores a management key to the state of a record of the change feed, and queues it for Workers KV, which may have an older
/// one. `None` if the key has this version by now, or a newer one.
///
/// # Errors
/// If the database fails.
pub async fn restore(
    transaction: &mut Transaction,
    id: &str,
    record: &Record,
    key: &ManagementKeyGrant,
    now: Timestamp,
) -> storage::Result<Option<Change>> {
    if !storage::restore::take_over_management_key(transaction.conn(), id, record, key, now).await? {
        return Ok(None);
    }
    let event = event_of(transaction, EventType::ManagementKeyUpdated, &key.id).await?;
    Ok(Some(Change::management_key_restored(id, record.version, event)))
}

async fn event_of(transaction: &mut Transaction, event: EventType, id: &ManagementKeyId) -> storage::Result<NewEvent> {
    let key = rows::get(transaction.conn(), id).await?.ok_or(sqlx::Error::RowNotFound)?;
    changes::management_key(event, &key.environment_id, &key)
}

/// Parses a scope: `*`, or one by its name.
///
/// # Errors
/// If there is no such scope. The message lists all of them.
pub fn parse_scope(text: &str) -> Result<String, String> {
    if text == scope::ALL {
        return Ok(text.to_owned());
    }
    text.parse::<Scope>().map(|scope| scope.to_string()).map_err(|error| {
        let known: Vec<&str> = Scope::EVERY.iter().map(|scope| scope.as_str()).collect();
        format!("{error}; use `*` for all, or: {}", known.join(", "))
    })
}
