use serde::Deserialize;
use shared::{
    Rfc3339, Timestamp,
    id::{ApiKeyId, EnvironmentId},
};
use utoipa::ToSchema;

use super::{expiry, settings};
use crate::{
    service::{Change, Result, Transaction, fields::or_null},
    storage::api_keys::{ApiKey, ApiKeySettings},
};

/// The new expiry of an API key.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExpireApiKey {
    /// When the key expires. If omitted or in the past, it expires now. With null it does not expire. A time later than
    /// the organization's expiry policy allows is accepted only if it is not later than the current expiry.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<Rfc3339>)]
    expires_at: Option<Option<Rfc3339>>,
}

/// Sets when a key expires.
///
/// # Errors
/// If there is no such key, it has expired, the policy does not allow it, or the database fails.
pub async fn expire(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    ExpireApiKey { expires_at }: ExpireApiKey,
    now: Timestamp,
) -> Result<(ApiKey, Change)> {
    let key = settings::lock(transaction, environment, id).await?;
    let now = settings::time_of_change(&key, now);
    let wanted = expires_at.unwrap_or(Some(Rfc3339(now))).map(|Rfc3339(at)| at);
    let policy = settings::policy(transaction, &key).await?;
    let is_acknowledged = settings::is_acknowledged(transaction, &key);
    let expires_at = expiry::changed(&policy, &key, is_acknowledged, wanted, now)?;
    let wanted = ApiKeySettings { expires_at, ..key.settings() };
    settings::write(transaction, key, &wanted, now).await
}
