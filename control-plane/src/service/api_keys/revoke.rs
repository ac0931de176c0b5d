use shared::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId},
    record::Revoked,
};

use crate::{
    service::{Change, Entity, Error, Result, Transaction, fields::Checks},
    storage::api_keys as rows,
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
    if let Some(version) = rows::revoke(transaction.conn(), environment, id, revoked, now).await? {
        return Ok(Change::api_key_updated(id, version));
    }
    let unacknowledged = rows::unacknowledged_revocation(transaction.conn(), environment, id).await?;
    match unacknowledged.filter(|_| transaction.has_edge()) {
        Some(version) => Ok(Change::unacknowledged_api_key(id, version)),
        None => Err(Error::NotFound(Entity::ApiKey)),
    }
}
