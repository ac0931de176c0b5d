//! Management keys: the keys of the product's own back end.

use shared::{
    Timestamp,
    digest::{Digest, KvKey},
    id::{EnvironmentId, ManagementKeyId},
    key::Prefix,
    record::{Generations, Grant, ManagementKeyGrant, Record, Revoked, Version},
};
use sqlx::FromRow;

use super::{Conn, JsonText, Result};

/// A management key, with what its record needs of its environment.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ManagementKey {
    /// Its id.
    pub id: ManagementKeyId,
    /// The environment that it manages.
    pub environment_id: EnvironmentId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its text.
    pub digest: Vec<u8>,
    /// What people may see of its text.
    pub obfuscated_value: String,
    /// What it may do.
    pub scopes: JsonText<Vec<String>>,
    /// Orders its states.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was last changed in a way that the change feed has an entry of its own for. `None`: never.
    pub changed_at: Option<Timestamp>,
    /// Whether somebody was told that this change has reached the edge.
    pub acknowledged: bool,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// Every prefix that its environment's keys ever had.
    pub prefixes: JsonText<Vec<Prefix>>,
    /// Whether its environment has imported keys.
    pub accepts_foreign: bool,
    /// Its environment's generation.
    pub environment_generation: i64,
}

macro_rules! select {
    ($($rest:literal)?) => {
        concat!(
            "SELECT m.id, m.environment_id, m.name, m.digest, m.obfuscated_value, m.scopes, m.version, m.created_at,
                m.updated_at, m.changed_at, m.acknowledged, m.revoked_at, m.revoked_reason,
                e.prefixes, e.accepts_foreign, e.generation AS environment_generation
             FROM management_keys m JOIN environments e ON e.id = m.environment_id ",
            $($rest)?
        )
    };
}
pub(super) use select as select_management_keys;

impl ManagementKey {
    /// Where the edge finds it. `None` if the row's digest has been tampered with.
    #[must_use]
    pub fn kv_key(&self) -> Option<KvKey> {
        Digest::from_bytes(&self.digest).map(|digest| KvKey::management_key(&digest))
    }

    /// Its record, as of now.
    #[must_use]
    pub fn into_record(self, now: Timestamp) -> Record {
        Record {
            environment: self.environment_id,
            name: self.name,
            obfuscated_value: self.obfuscated_value,
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: None,
            not_before: None,
            disabled: false,
            revoked: revoked(self.revoked_at, self.revoked_reason),
            version: self.version,
            sealed_at: now,
            generations: Generations { environment: self.environment_generation, organization: 0 },
            grant: Grant::ManagementKey(ManagementKeyGrant {
                id: self.id,
                scopes: self.scopes.0,
                prefixes: self.prefixes.0,
                accepts_foreign: self.accepts_foreign,
            }),
        }
    }
}

/// The two columns of a revocation.
pub(super) fn revoked(at: Option<Timestamp>, reason: Option<String>) -> Option<Revoked> {
    at.map(|at| Revoked { at, reason: reason.unwrap_or_default() })
}

/// What a new management key is made of.
#[derive(Debug)]
pub struct NewManagementKey<'a> {
    /// Its id.
    pub id: &'a ManagementKeyId,
    /// The environment that it manages.
    pub environment_id: &'a EnvironmentId,
    /// What people call it.
    pub name: &'a str,
    /// SHA-256 of its text.
    pub digest: &'a Digest,
    /// What people may see of its text.
    pub obfuscated_value: &'a str,
    /// What it may do.
    pub scopes: &'a [String],
    /// When it is created.
    pub now: Timestamp,
}

/// The management key with this id, revoked or not.
pub async fn get(conn: Conn<'_>, id: &ManagementKeyId) -> Result<Option<ManagementKey>> {
    const SQL: &str = select!("WHERE m.id = $1");
    on_db!(conn, c => sqlx::query_as(SQL).bind(id).fetch_optional(c).await)
}

/// Adds a management key.
pub async fn insert(conn: Conn<'_>, key: &NewManagementKey<'_>) -> Result<()> {
    const SQL: &str = "INSERT INTO management_keys
            (id, environment_id, name, digest, obfuscated_value, scopes, version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(key.id)
        .bind(key.environment_id)
        .bind(key.name)
        .bind(key.digest.as_bytes().as_slice())
        .bind(key.obfuscated_value)
        .bind(JsonText(key.scopes))
        .bind(Version::first(key.now))
        .bind(key.now)
        .execute(c).await.map(drop))
}

/// The management key with this digest, revoked or not.
pub async fn by_digest(conn: Conn<'_>, digest: &Digest) -> Result<Option<ManagementKey>> {
    const SQL: &str = select!("WHERE m.digest = $1");
    on_db!(conn, c => sqlx::query_as(SQL).bind(digest.as_bytes().as_slice()).fetch_optional(c).await)
}

/// The management keys of an environment, oldest first, revoked ones included. There are few: only an operator makes them.
pub async fn list(conn: Conn<'_>, environment: &EnvironmentId) -> Result<Vec<ManagementKey>> {
    const SQL: &str = select!("WHERE m.environment_id = $1 ORDER BY m.id");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).fetch_all(c).await)
}

/// Revokes a management key, and returns its new version. `None` if there is none, or it is revoked already.
pub async fn revoke(
    conn: Conn<'_>,
    id: &ManagementKeyId,
    revoked: &Revoked,
    now: Timestamp,
) -> Result<Option<Version>> {
    const SQL: &str = "UPDATE management_keys
        SET revoked_at = $2, revoked_reason = $3, updated_at = $4,
            version = CASE WHEN version >= $4 THEN version + 1 ELSE $4 END
        WHERE id = $1 AND revoked_at IS NULL
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL)
        .bind(id)
        .bind(revoked.at)
        .bind(&revoked.reason)
        .bind(now)
        .fetch_optional(c).await)
}

/// The version of a management key that was revoked, if nobody was told yet that this has reached the edge.
pub async fn unacknowledged_revocation(conn: Conn<'_>, id: &ManagementKeyId) -> Result<Option<Version>> {
    const SQL: &str =
        "SELECT version FROM management_keys WHERE id = $1 AND revoked_at IS NOT NULL AND NOT acknowledged";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)
}

/// The next management keys by id, for rebuilding and comparing the edge's store.
pub async fn after(conn: Conn<'_>, cursor: &str, limit: i64) -> Result<Vec<ManagementKey>> {
    const SQL: &str = select!("WHERE m.id > $1 ORDER BY m.id LIMIT $2");
    on_db!(conn, c => sqlx::query_as(SQL).bind(cursor).bind(limit).fetch_all(c).await)
}
