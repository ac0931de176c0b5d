use std::collections::BTreeMap;

use serde::Deserialize;
use shared::{Rfc3339, Timestamp, entropy::Entropy, record::Owner};
use utoipa::ToSchema;

use super::{
    expiry,
    grants::require_permissions,
    new::{self, CreatedApiKey, Creator, Fields},
};
use crate::{
    service::{Change, Result, Transaction},
    storage::api_keys::ApiKeySettings,
};

/// An API key to create for an organization.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateApiKey {
    /// The display name. At most 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// The slugs of the key's permissions: at most 100, which must be offered for keys of organizations. Default: none.
    #[serde(default)]
    #[schema(max_items = 100)]
    permissions: Option<Vec<String>>,
    /// When the key expires: in the future, and no later than the organization's expiry policy allows. If omitted or
    /// null, the policy's default lifetime applies, or its maximum. Without a policy, the key does not expire.
    #[serde(default)]
    expires_at: Option<Rfc3339>,
    /// When the key becomes valid: before `expires_at`. If omitted or null, the key is valid immediately.
    #[serde(default)]
    not_before: Option<Rfc3339>,
    /// The IP addresses and CIDR ranges that the key can be used from, such as `192.0.2.7` or `2001:db8::/32`. At most
    /// 50. If omitted, null or empty, there is no limit.
    #[serde(default)]
    #[schema(max_items = 50)]
    ip_allow_list: Option<Vec<String>>,
    /// Your own key-value pairs: at most 50, with keys of at most 40 and values of at most 600 characters, and at most
    /// 2048 bytes as JSON.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

/// An API key to create for a user.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateUserApiKey {
    /// The display name. At most 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// The id of the organization that the key works in. The user must be an active member of it.
    pub organization_id: String,
    /// The slugs of the key's permissions: at most 100, which must be offered for keys of users and allowed by the
    /// user's role. The key's effective permissions are always those that both the key and the role have. Default:
    /// none.
    #[serde(default)]
    #[schema(max_items = 100)]
    permissions: Option<Vec<String>>,
    /// When the key expires: in the future, and no later than the organization's expiry policy allows. If omitted or
    /// null, the policy's default lifetime applies, or its maximum. Without a policy, the key does not expire.
    #[serde(default)]
    expires_at: Option<Rfc3339>,
    /// When the key becomes valid: before `expires_at`. If omitted or null, the key is valid immediately.
    #[serde(default)]
    not_before: Option<Rfc3339>,
    /// The IP addresses and CIDR ranges that the key can be used from, such as `192.0.2.7` or `2001:db8::/32`. At most
    /// 50. If omitted, null or empty, there is no limit.
    #[serde(default)]
    #[schema(max_items = 50)]
    ip_allow_list: Option<Vec<String>>,
    /// Your own key-value pairs: at most 50, with keys of at most 40 and values of at most 600 characters, and at most
    /// 2048 bytes as JSON.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

impl CreateApiKey {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<ApiKeySettings> {
        let Self { name, permissions, expires_at, not_before, ip_allow_list, metadata } = self;
        Fields { name, permissions, expires_at, not_before, ip_allow_list, metadata }.check()
    }
}

impl CreateUserApiKey {
    /// Checks all that can be checked without the database, but for the id of the organization.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<ApiKeySettings> {
        let Self { name, permissions, expires_at, not_before, ip_allow_list, metadata, .. } = self;
        Fields { name, permissions, expires_at, not_before, ip_allow_list, metadata }.check()
    }
}

/// Creates a key.
///
/// # Errors
/// If there is no such owner, the owner may not have such a key, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    creator: Creator<'_>,
    owner: &Owner,
    mut settings: ApiKeySettings,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(CreatedApiKey, Change)> {
    let policy = new::lock_owner(transaction, creator.environment, owner).await?;
    require_permissions(transaction, creator.environment, owner, &settings.permissions, &[]).await?;
    settings.expires_at = expiry::of_new_key(&policy, settings.expires_at, None, now)?;
    new::insert(transaction, creator, owner, &settings, None, now, entropy).await
}
