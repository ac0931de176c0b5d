//! Changing the settings of a key: what update and expire have in common.

use shared::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId},
};

use crate::{
    events::changes,
    service::{Change, Entity, Error, Result, Transaction},
    storage::{
        api_key_settings as rows,
        api_keys::{self, ApiKey, ApiKeySettings},
        expiry_policies::{self, ExpiryPolicy},
    },
};

/// Locks a key that is not revoked.
pub(super) async fn lock(transaction: &mut Transaction, environment: &EnvironmentId, id: &ApiKeyId) -> Result<ApiKey> {
    rows::lock(transaction.conn(), environment, id).await?.ok_or(Error::NotFound(Entity::ApiKey))
}

/// The time at which a locked key is changed: not before its last change, which may have been made while this transaction waited
/// for the lock. So a key that was expired meanwhile counts as expired.
pub(super) fn time_of_change(key: &ApiKey, now: Timestamp) -> Timestamp {
    now.max(key.updated_at)
}

/// The expiry policy of a key's organization.
pub(super) async fn policy(transaction: &mut Transaction, key: &ApiKey) -> Result<ExpiryPolicy> {
    let policy = expiry_policies::get(transaction.conn(), &key.environment_id, &key.organization_id).await?;
    Ok(policy.unwrap_or_default())
}

/// Whether some caller has received an acknowledgement for the last change of a key, or none is needed.
pub(super) const fn is_acknowledged(transaction: &Transaction, key: &ApiKey) -> bool {
    key.acknowledged || !transaction.has_edge()
}

/// Writes the settings of a locked key if they are new. A call that repeats an unacknowledged one writes nothing, and still
/// waits for the edge.
pub(super) async fn write(
    transaction: &mut Transaction,
    before: ApiKey,
    settings: &ApiKeySettings,
    now: Timestamp,
) -> Result<(ApiKey, Change)> {
    if *settings == before.settings() {
        let change = match is_acknowledged(transaction, &before) {
            true => Change::nothing(),
            false => Change::unacknowledged_api_key(&before.id, before.version),
        };
        return Ok((before, change));
    }
    let version = rows::set(transaction.conn(), &before.id, settings, now).await?;
    let after = api_keys::get(transaction.conn(), &before.environment_id, &before.id).await?;
    let after = after.ok_or(Error::NotFound(Entity::ApiKey))?;
    let event = changes::api_key_updated(&before, &after)?;
    Ok((after, Change::api_key_updated(&before.id, version, event)))
}
