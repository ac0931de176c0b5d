use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    id::{ApiKeyId, EnvironmentId},
};
use utoipa::ToSchema;

use super::{expiry, get, grants::require_permissions, ip_ranges, new, settings};
use crate::{
    service::{
        Change, Error, Result, Transaction,
        fields::{Checks, merge_metadata, or_null},
    },
    storage::{
        Failure, Priority,
        api_keys::{ApiKey, ApiKeySettings},
    },
};

/// Changes to an API key. Omitted fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateApiKey {
    /// The display name. At most 255 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// The slugs of all permissions of the key, at most 100. Those that the key does not have yet must be offered for
    /// keys of its kind and, for a user's key, allowed by the user's role.
    #[serde(default)]
    #[schema(max_items = 100)]
    permissions: Option<Vec<String>>,
    /// False disables the key: it is refused until it is enabled again.
    #[serde(default)]
    enabled: Option<bool>,
    /// When the key becomes valid: before `expires_at`. With null it is valid immediately.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    not_before: Option<Option<Rfc3339>>,
    /// All IP addresses and CIDR ranges that the key can be used from. At most 50. If empty or null, there is no limit.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    ip_allow_list: Option<Option<Vec<String>>>,
    /// Key-value pairs to add or replace. A null value removes its entry; null instead of the object removes all
    /// entries. The limits are those of a new key.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// When the key expires. With a time in the past it expires now; with null it does not expire. As with
    /// `POST /api_keys/{id}/expire`, the organization's expiry policy applies, and an expired key stays expired.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    expires_at: Option<Option<Rfc3339>>,
}

/// Changes that are acceptable as far as can be told without the key.
#[derive(Debug)]
pub struct ApiKeyChanges {
    name: Option<String>,
    permissions: Option<Vec<String>>,
    enabled: Option<bool>,
    not_before: Option<Option<Timestamp>>,
    ip_allow_list: Option<Vec<IpNet>>,
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    expires_at: Option<Option<Timestamp>>,
}

impl UpdateApiKey {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<ApiKeyChanges> {
        let mut checks = Checks::default();
        if let Some(name) = &self.name {
            new::check_name(&mut checks, name);
        }
        let time = |at: Option<Rfc3339>| at.map(|Rfc3339(at)| at);
        let permissions = self.permissions.map(|slugs| new::check_permissions(&mut checks, slugs));
        let ip_allow_list = self.ip_allow_list.map(Option::unwrap_or_default);
        let ip_allow_list = ip_allow_list.map(|texts| ip_ranges::parse_all(&mut checks, &texts));
        checks.finish()?;
        Ok(ApiKeyChanges {
            name: self.name,
            permissions,
            enabled: self.enabled,
            not_before: self.not_before.map(time),
            ip_allow_list,
            metadata: self.metadata,
            expires_at: self.expires_at.map(time),
        })
    }
}

impl ApiKeyChanges {
    /// How urgent the transaction is: disabling a key is as urgent as revoking it.
    #[must_use]
    pub fn priority(&self) -> Priority {
        if self.enabled == Some(false) { Priority::Revocation } else { Priority::Normal }
    }

    /// Applies all but the expiry, which depends on more than these.
    fn apply(self, settings: &mut ApiKeySettings) -> Result<()> {
        if let Some(not_before) = self.not_before.filter(|not_before| *not_before != settings.not_before) {
            settings.not_before = not_before;
            new::check_not_before(settings)?;
        }
        if let Some(metadata) = self.metadata {
            merge_metadata(&mut settings.metadata, metadata);
            let mut checks = Checks::default();
            new::check_metadata(&mut checks, &settings.metadata);
            checks.finish()?;
        }
        settings.name = self.name.unwrap_or_else(|| std::mem::take(&mut settings.name));
        settings.permissions = self.permissions.unwrap_or_else(|| std::mem::take(&mut settings.permissions));
        settings.ip_allow_list = self.ip_allow_list.unwrap_or_else(|| std::mem::take(&mut settings.ip_allow_list));
        settings.disabled = self.enabled.map_or(settings.disabled, |enabled| !enabled);
        Ok(())
    }
}

/// Updates a key.
///
/// # Errors
/// If there is no such key, it may not be changed so, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    changes: ApiKeyChanges,
    now: Timestamp,
) -> Result<(ApiKey, Change)> {
    let key = lock(transaction, environment, id, changes.permissions.as_deref()).await?;
    let now = settings::time_of_change(&key, now);
    let mut wanted = key.settings();
    if let Some(expires_at) = changes.expires_at.filter(|expires_at| *expires_at != key.expires_at) {
        let policy = settings::policy(transaction, &key).await?;
        let is_acknowledged = settings::is_acknowledged(transaction, &key);
        wanted.expires_at = expiry::changed(&policy, &key, is_acknowledged, expires_at, now)?;
    }
    changes.apply(&mut wanted)?;
    settings::write(transaction, key, &wanted, now).await
}

/// Locks the key, and before it the permissions that it is to have, in the order in which whoever deletes one locks them.
async fn lock(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    permissions: Option<&[String]>,
) -> Result<ApiKey> {
    let Some(wanted) = permissions else { return settings::lock(transaction, environment, id).await };
    let seen = get(transaction.conn(), environment, id).await?;
    require_permissions(transaction, environment, &seen.owner(), wanted, &seen.permissions.0).await?;
    let key = settings::lock(transaction, environment, id).await?;
    let is_lost = |slug: &String| seen.permissions.0.contains(slug) && !key.permissions.0.contains(slug);
    // Another call has removed in between what the key was to keep.
    if wanted.iter().any(is_lost) { Err(Error::Unavailable(Failure::Overloaded)) } else { Ok(key) }
}
