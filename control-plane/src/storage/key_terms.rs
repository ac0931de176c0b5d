//! What is said of customers' keys, and can be changed.

use std::collections::BTreeMap;

use ipnet::IpNet;
use shared::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId},
    record::{Owner, Version},
};

use super::{
    Conn, JsonText, Result,
    api_keys::{self, ApiKey},
    dialect::sql,
};

/// What is said of a key, and can be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What people call it.
    pub name: String,
    /// The slugs of what it may do.
    pub permissions: Vec<String>,
    /// The resources that it is limited to.
    pub resources: Vec<String>,
    /// The addresses that it may be used from.
    pub ip_allow_list: Vec<IpNet>,
    /// The product's own notes.
    pub metadata: BTreeMap<String, String>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Until when it is refused.
    pub not_before: Option<Timestamp>,
    /// Whether it is refused for the time being.
    pub disabled: bool,
}

impl ApiKey {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let organization_id = self.organization_id.clone();
        match &self.user_id {
            Some(id) => Owner::User { id: id.clone(), organization_id },
            None => Owner::Organization { id: organization_id },
        }
    }

    /// What is said of it.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            name: self.name.clone(),
            permissions: self.permissions.0.clone(),
            resources: self.resources.0.clone(),
            ip_allow_list: self.ip_allow_list.0.clone(),
            metadata: self.metadata.0.clone(),
            expires_at: self.expires_at,
            not_before: self.not_before,
            disabled: self.disabled,
        }
    }
}

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

/// Changes what is said of a key, and returns its new version.
pub async fn change(conn: Conn<'_>, id: &ApiKeyId, terms: &Terms, now: Timestamp) -> Result<Version> {
    const SQL: &str = "UPDATE api_keys
        SET name = $2, permissions = $3, resources = $4, ip_allow_list = $5, metadata = $6, expires_at = $7,
            not_before = $8, disabled = $9, updated_at = $10,
            version = CASE WHEN version >= $10 THEN version + 1 ELSE $10 END
        WHERE id = $1
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL)
        .bind(id)
        .bind(&terms.name)
        .bind(JsonText(&terms.permissions))
        .bind(JsonText(&terms.resources))
        .bind(JsonText(&terms.ip_allow_list))
        .bind(JsonText(&terms.metadata))
        .bind(terms.expires_at)
        .bind(terms.not_before)
        .bind(terms.disabled)
        .bind(now)
        .fetch_one(c).await)
}

/// Notes that another key takes the place of this one, which is refused from then on, and returns its new version.
pub async fn note_rotation(
    conn: Conn<'_>,
    id: &ApiKeyId,
    rotated_to: &ApiKeyId,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Version> {
    const SQL: &str = "UPDATE api_keys
        SET rotated_to = $2, expires_at = $3, updated_at = $4,
            version = CASE WHEN version >= $4 THEN version + 1 ELSE $4 END
        WHERE id = $1
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).bind(rotated_to).bind(expires_at).bind(now).fetch_one(c).await)
}
