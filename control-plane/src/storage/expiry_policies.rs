//! How long the keys of an organization live.

use shared::id::{EnvironmentId, OrganizationId};
use sqlx::FromRow;

use super::{Conn, Result};

/// How long the keys of an organization live, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct ExpiryPolicy {
    /// At the most. `None`: for ever.
    pub max_lifetime_seconds: Option<i64>,
    /// If nobody says otherwise. `None`: as long as they can.
    pub default_lifetime_seconds: Option<i64>,
}

/// The policy of an organization.
pub async fn get(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
) -> Result<Option<ExpiryPolicy>> {
    const SQL: &str = "SELECT max_lifetime_seconds, default_lifetime_seconds FROM organizations
        WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL";
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(organization).fetch_optional(c).await)
}

/// Sets the policy of an organization. `false` if there is none.
pub async fn set(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    policy: &ExpiryPolicy,
) -> Result<bool> {
    const SQL: &str = "UPDATE organizations SET max_lifetime_seconds = $3, default_lifetime_seconds = $4
        WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(environment)
        .bind(organization)
        .bind(policy.max_lifetime_seconds)
        .bind(policy.default_lifetime_seconds)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}
