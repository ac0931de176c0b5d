use shared::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId},
    record::Revoked,
};

use crate::{
    events::{EventType, changes},
    service::{Change, Entity, Error, Result, Transaction, fields::Checks},
    storage::{self, api_keys as rows},
};

/// The reason of a revocation if none is given.
pub const DEFAULT_REASON: &str = "deleted";
/// The longest reason.
pub const REASON_MAX_LENGTH: usize = 200;

/// Checks the reason that a caller gives.
///
/// # Errors
/// If it is blank or too long.
pub fn check_reason(reason: &str) -> Result<()> {
    let mut checks = Checks::default();
    checks.text("reason", reason, REASON_MAX_LENGTH);
    checks.finish()
}

/// Revokes a key.
///
/// # Errors
/// If there is none, it is revoked already and that was acknowledged, or the database fails.
pub async fn revoke(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    revoked: &Revoked,
    now: Timestamp,
) -> Result<Change> {
    if let Some(change) = revoke_if_active(transaction, environment, id, revoked, now).await? {
        return Ok(change);
    }
    let unacknowledged = rows::unacknowledged_revocation(transaction.conn(), environment, id).await?;
    match unacknowledged.filter(|_| transaction.has_edge()) {
        Some(version) => Ok(Change::unacknowledged_api_key(id, version)),
        None => Err(Error::NotFound(Entity::ApiKey)),
    }
}

/// The same for a caller who does not wait for an earlier revocation. `None` if there is no such key, or it is revoked already.
///
/// # Errors
/// If the database fails.
pub async fn revoke_if_active(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    revoked: &Revoked,
    now: Timestamp,
) -> storage::Result<Option<Change>> {
    let Some(version) = rows::revoke(transaction.conn(), environment, id, revoked, now).await? else { return Ok(None) };
    let keys = rows::of_ids(transaction.conn(), &[id.as_str()]).await?;
    let key = keys.first().ok_or(sqlx::Error::RowNotFound)?;
    let event = changes::api_key(EventType::ApiKeyRevoked, key)?;
    Ok(Some(Change::api_key_updated(id, version, event)))
}
