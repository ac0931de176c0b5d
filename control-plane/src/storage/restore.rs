//! Gives back to a database that was restored from a backup what the change feed still knows.

use shared::{
    Timestamp,
    digest::{Digest, KvKey},
    id::{EnvironmentId, MembershipId, OrganizationId, RoleId, UserId},
    record::{ApiKeyGrant, ManagementKeyGrant, Record, Version},
};
use sqlx::FromRow;

use super::{
    Conn, JsonText, Result,
    dialect::sql,
    edge_sync::{Place, hex},
    outbox::Kind,
};

/// What the database knows of a key of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where the edge finds it.
    pub kv_key: KvKey,
    /// What kind of key it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: Version,
    /// Its tenant.
    pub environment: EnvironmentId,
    /// Whether it is revoked.
    pub revoked: bool,
}

/// What the database knows of the customers' keys at these places.
pub async fn api_keys(conn: Conn<'_>, places: &[(EnvironmentId, Digest)]) -> Result<Vec<Known>> {
    #[derive(FromRow)]
    struct Row {
        id: String,
        environment_id: EnvironmentId,
        digest: Vec<u8>,
        version: Version,
        revoked: bool,
    }
    let sql = sql!(conn,
        "SELECT k.id, k.environment_id, k.digest, k.version, k.revoked_at IS NOT NULL AS revoked
         FROM " (elements of "$1") " place
         JOIN api_keys k ON k.environment_id = place.value ->> 'environment' AND k.digest = "
         (bytes of hex "place.value ->> 'digest'"));
    let wanted =
        places.iter().map(|(environment, digest)| Place { environment: environment.as_str(), digest: hex(digest) });
    let rows: Vec<Row> =
        on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(wanted.collect::<Vec<_>>())).fetch_all(c).await)?;
    let known = |row: Row| {
        let kv_key = KvKey::api_key(&row.environment_id, &Digest::from_bytes(&row.digest)?);
        let Row { id, environment_id, version, revoked, .. } = row;
        Some(Known { kv_key, kind: Kind::ApiKey, id, version, environment: environment_id, revoked })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// What the database knows of the management keys with these digests.
pub async fn management_keys(conn: Conn<'_>, digests: &[Digest]) -> Result<Vec<Known>> {
    #[derive(FromRow)]
    struct Row {
        id: String,
        environment_id: EnvironmentId,
        digest: Vec<u8>,
        version: Version,
        revoked: bool,
    }
    let sql = sql!(conn,
        "SELECT m.id, m.environment_id, m.digest, m.version, m.revoked_at IS NOT NULL AS revoked
         FROM " (elements of "$1") " place
         JOIN management_keys m ON m.digest = " (bytes of hex "place.value ->> 'digest'"));
    let wanted = digests.iter().map(|digest| Place { environment: "", digest: hex(digest) });
    let rows: Vec<Row> =
        on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(wanted.collect::<Vec<_>>())).fetch_all(c).await)?;
    let known = |row: Row| {
        let kv_key = KvKey::management_key(&Digest::from_bytes(&row.digest)?);
        let Row { id, environment_id, version, revoked, .. } = row;
        Some(Known { kv_key, kind: Kind::ManagementKey, id, version, environment: environment_id, revoked })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Gives a customer's key the state that it had in this record. `false` if it has this version by now, or a newer one.
pub async fn take_over_api_key(
    conn: Conn<'_>,
    id: &str,
    record: &Record,
    key: &ApiKeyGrant,
    now: Timestamp,
) -> Result<bool> {
    const SQL: &str = "UPDATE api_keys
        SET name = $3, permissions = $4, resources = $5, ip_allow_list = $6, metadata = $7, expires_at = $8,
            not_before = $9, disabled = $10, updated_at = $11, version = $2, changed_at = $12, acknowledged = TRUE,
            expiry_event_at = CASE WHEN expires_at IS DISTINCT FROM $8 THEN NULL ELSE expiry_event_at END
        WHERE id = $1 AND version < $2 AND revoked_at IS NULL";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(id)
        .bind(record.version)
        .bind(&record.name)
        .bind(JsonText(&key.permissions))
        .bind(JsonText(&key.resources))
        .bind(JsonText(&key.ip_allow_list))
        .bind(JsonText(&key.metadata))
        .bind(record.expires_at)
        .bind(record.not_before)
        .bind(record.disabled)
        .bind(record.updated_at)
        .bind(now)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// Gives a management key the state that it had in this record. `false` if it has this version by now, or a newer one.
pub async fn take_over_management_key(
    conn: Conn<'_>,
    id: &str,
    record: &Record,
    key: &ManagementKeyGrant,
    now: Timestamp,
) -> Result<bool> {
    const SQL: &str = "UPDATE management_keys
        SET name = $3, scopes = $4, updated_at = $5, version = $2, changed_at = $6, acknowledged = TRUE
        WHERE id = $1 AND version < $2 AND revoked_at IS NULL";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(id)
        .bind(record.version)
        .bind(&record.name)
        .bind(JsonText(&key.scopes))
        .bind(record.updated_at)
        .bind(now)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// The tenant of an organization that is not deleted and has a generation below this one.
pub async fn organization_below(
    conn: Conn<'_>,
    id: &OrganizationId,
    generation: Version,
) -> Result<Option<EnvironmentId>> {
    let sql = sql!(conn, "SELECT environment_id FROM organizations
        WHERE id = $1 AND generation < $2 AND deleted_at IS NULL" (for no key update));
    on_db!(conn, c => sqlx::query_scalar(sql).bind(id).bind(generation).fetch_optional(c).await)
}

/// An environment's generation.
pub async fn generation(conn: Conn<'_>, id: &EnvironmentId) -> Result<Option<Version>> {
    const SQL: &str = "SELECT generation FROM environments WHERE id = $1";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)
}

/// Raises an environment's generation to this one, unless it is beyond it already.
pub async fn raise_generation(conn: Conn<'_>, id: &EnvironmentId, generation: Version) -> Result<()> {
    const SQL: &str = "UPDATE environments SET generation = $2 WHERE id = $1 AND generation < $2";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(generation).execute(c).await.map(drop))
}

/// The tenant of a user, who is locked until the transaction ends.
pub async fn environment_of_user(conn: Conn<'_>, id: &UserId) -> Result<Option<EnvironmentId>> {
    let sql = sql!(conn, "SELECT environment_id FROM users WHERE id = $1" (for update));
    on_db!(conn, c => sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)
}

/// The tenant of a role that has a generation below this one. It is locked until the transaction ends.
pub async fn role_below(conn: Conn<'_>, id: &RoleId, generation: Version) -> Result<Option<EnvironmentId>> {
    let sql = sql!(conn, "SELECT environment_id FROM roles WHERE id = $1 AND generation < $2" (for update));
    on_db!(conn, c => sqlx::query_scalar(sql).bind(id).bind(generation).fetch_optional(c).await)
}

/// The tenant of a membership that has a generation below this one. It is locked until the transaction ends.
pub async fn environment_of_membership_below(
    conn: Conn<'_>,
    id: &MembershipId,
    generation: Version,
) -> Result<Option<EnvironmentId>> {
    let sql = sql!(conn, "SELECT environment_id FROM memberships WHERE id = $1 AND generation < $2" (for update));
    on_db!(conn, c => sqlx::query_scalar(sql).bind(id).bind(generation).fetch_optional(c).await)
}
