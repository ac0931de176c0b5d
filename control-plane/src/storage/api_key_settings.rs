//! Changing what can be changed about customers' keys.

use shared::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId},
    record::Version,
};

use super::{
    Conn, JsonText, Result,
    api_keys::{self, ApiKey, ApiKeySettings},
    dialect::sql,
};

/// The key with this id, unless it is revoked, locked until the transaction ends, because it is going to be changed.
pub async fn lock(mut conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId) -> Result<Option<ApiKey>> {
    let sql = sql!(conn, "SELECT id FROM api_keys
        WHERE environment_id = $1 AND id = $2 AND revoked_at IS NULL" (for update));
    let found: Option<ApiKeyId> =
        on_db!(conn.reborrow(), c => sqlx::query_scalar(sql).bind(environment).bind(id).fetch_optional(c).await)?;
    match found {
        Some(id) => api_keys::get(conn, environment, &id).await,
        None => Ok(None),
    }
}

/// Sets what can be changed about a key, and returns its new version.
pub async fn set(conn: Conn<'_>, id: &ApiKeyId, settings: &ApiKeySettings, now: Timestamp) -> Result<Version> {
    const SQL: &str = "UPDATE api_keys
        SET name = $2, permissions = $3, resources = $4, ip_allow_list = $5, metadata = $6, expires_at = $7,
            not_before = $8, disabled = $9, updated_at = $10,
            expiry_event_at = CASE WHEN expires_at IS DISTINCT FROM $7 THEN NULL ELSE expiry_event_at END,
            version = CASE WHEN version >= $10 THEN version + 1 ELSE $10 END
        WHERE id = $1
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL)
        .bind(id)
        .bind(&settings.name)
        .bind(JsonText(&settings.permissions))
        .bind(JsonText(&settings.resources))
        .bind(JsonText(&settings.ip_allow_list))
        .bind(JsonText(&settings.metadata))
        .bind(settings.expires_at)
        .bind(settings.not_before)
        .bind(settings.disabled)
        .bind(now)
        .fetch_one(c).await)
}

/// Records that another key replaces this one, which expires at that time, and returns its new version.
pub async fn set_rotated(
    conn: Conn<'_>,
    id: &ApiKeyId,
    rotated_to: &ApiKeyId,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Version> {
    const SQL: &str = "UPDATE api_keys
        SET rotated_to = $2, expires_at = $3, updated_at = $4, expiry_event_at = NULL,
            version = CASE WHEN version >= $4 THEN version + 1 ELSE $4 END
        WHERE id = $1
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).bind(rotated_to).bind(expires_at).bind(now).fetch_one(c).await)
}
