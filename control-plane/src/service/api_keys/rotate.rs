use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    entropy::Entropy,
    id::{ApiKeyId, EnvironmentId},
};
use utoipa::ToSchema;

use super::{
    expiry, get,
    new::{self, CreatedApiKey, Creator},
    settings,
};
use crate::{
    events::{EventType, changes},
    service::{Change, Entity, Error, Refusal, Result, Transaction, fields::Checks},
    storage::{
        Failure, api_key_settings,
        api_keys::{self as rows, ApiKey, ApiKeySettings},
        expiry_policies::ExpiryPolicy,
        permissions,
    },
};

/// How long the old key stays valid beside the new one by default: a day.
const OVERLAP_DEFAULT_SECONDS: i64 = 24 * 60 * 60;
/// The longest overlap: 30 days.
const OVERLAP_MAX_SECONDS: i64 = 30 * 24 * 60 * 60;

/// How to rotate an API key.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RotateApiKey {
    /// How long the old key stays valid, in seconds: 0 to 2,592,000 (30 days). With 0 it expires immediately. Default:
    /// 86,400 (a day). If the old key expires earlier, it keeps that expiry.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000, default = 86400)]
    overlap_seconds: Option<i64>,
    /// When the new key expires: in the future, and no later than the organization's expiry policy allows. If omitted
    /// or null, the policy's default lifetime applies. Without a default
    /// lifetime, the new key has the lifetime of the old key, but no more than the policy's maximum.
    #[serde(default)]
    expires_at: Option<Rfc3339>,
    /// The display name of the new key. At most 255 characters. If omitted or null, it is the old key's name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
}

/// A rotation that can be made.
#[derive(Debug)]
pub struct Rotation {
    overlap_seconds: i64,
    expires_at: Option<Timestamp>,
    name: Option<String>,
}

impl RotateApiKey {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<Rotation> {
        let overlap_seconds = self.overlap_seconds.unwrap_or(OVERLAP_DEFAULT_SECONDS);
        let mut checks = Checks::default();
        let in_range = (0..=OVERLAP_MAX_SECONDS).contains(&overlap_seconds);
        let message = format!("must be from 0 to {OVERLAP_MAX_SECONDS}");
        checks.require(in_range, "overlap_seconds", "invalid", message);
        if let Some(name) = &self.name {
            new::check_name(&mut checks, name);
        }
        checks.finish()?;
        Ok(Rotation { overlap_seconds, expires_at: self.expires_at.map(|Rfc3339(at)| at), name: self.name })
    }
}

/// Rotates a key: creates a new one with the same settings, and lets the old one expire after an overlap.
///
/// # Errors
/// If there is no such key, it has expired or was rotated, its owner may not have such a key any more, or the database fails.
pub async fn rotate(
    transaction: &mut Transaction,
    creator: Creator<'_>,
    id: &ApiKeyId,
    rotation: Rotation,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(CreatedApiKey, Change)> {
    let (old, policy) = lock(transaction, creator.environment, id).await?;
    let now = settings::time_of_change(&old, now);
    if old.rotated_to.is_some() {
        return Err(Refusal::ApiKeyRotated.into());
    }
    if old.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::ApiKeyExpired.into());
    }
    let lifetime = old.expires_at.map(|at| at.as_millis() - old.created_at.as_millis());
    let settings = ApiKeySettings {
        name: rotation.name.unwrap_or_else(|| old.name.clone()),
        expires_at: expiry::of_new_key(&policy, rotation.expires_at, lifetime, now)?,
        ..old.settings()
    };
    let owner = old.owner();
    let (created, creation) = new::insert(transaction, creator, &owner, &settings, Some(&old), now, entropy).await?;
    let end = now.plus_millis(rotation.overlap_seconds * 1000);
    let end = old.expires_at.map_or(end, |sooner| sooner.min(end));
    let version = api_key_settings::set_rotated(transaction.conn(), id, &created.row.id, end, now).await?;
    let rotated =
        rows::get(transaction.conn(), creator.environment, id).await?.ok_or(Error::NotFound(Entity::ApiKey))?;
    let update = Change::api_key_updated(id, version, changes::api_key_updated(&old, &rotated)?);
    let rotation = Change::local(changes::api_key(EventType::ApiKeyRotated, &created.row)?);
    Ok((created, creation.and(update).and(rotation)))
}

/// What a repeated call of [`rotate`] has to wait for. Once the rotation was acknowledged, a call counts as a repetition only if
/// it says so, by an idempotency key.
///
/// # Errors
/// If the call is no repetition, or the database fails.
pub async fn resume_rotate(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    has_idempotency_key: bool,
) -> Result<Change> {
    match rows::get(transaction.conn(), environment, id).await? {
        Some(old) if !settings::is_acknowledged(transaction, &old) => {
            Ok(Change::unacknowledged_api_key(id, old.version))
        }
        _ if has_idempotency_key => Ok(Change::nothing()),
        Some(_) => Err(Refusal::ApiKeyRotated.into()),
        None => Err(Error::NotFound(Entity::ApiKey)),
    }
}

/// Locks the key, and before it its owner and its permissions, in the order in which whoever deletes one of those locks them.
async fn lock(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
) -> Result<(ApiKey, ExpiryPolicy)> {
    let seen = get(transaction.conn(), environment, id).await?;
    let policy = new::lock_owner(transaction, environment, &seen.owner()).await?;
    let locked = permissions::hold(transaction.conn(), environment, &seen.permissions.0).await?;
    let key = settings::lock(transaction, environment, id).await?;
    // Another call has added one in between.
    if key.permissions.0.iter().any(|slug| !locked.contains(slug)) {
        return Err(Error::Unavailable(Failure::Overloaded));
    }
    Ok((key, policy))
}
