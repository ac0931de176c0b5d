//! Environments.

use shared::{Timestamp, digest::Digest, id::EnvironmentId, key::Prefix};
use sqlx::FromRow;

use super::{Conn, JsonText, Result, dialect::sql};

/// A tenant of this server.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// What people call it.
    pub name: String,
    /// What its new keys begin with.
    pub key_prefix: Prefix,
    /// Every prefix that its keys ever had.
    pub prefixes: JsonText<Vec<Prefix>>,
    /// Whether it has imported keys, whose shape is not ours.
    pub accepts_foreign: bool,
    /// How often something was narrowed for all of its keys.
    pub generation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, name, key_prefix, prefixes, accepts_foreign, generation, created_at, updated_at"
    };
}

/// Adds an environment.
pub async fn insert(conn: Conn<'_>, environment: &Environment) -> Result<()> {
    const SQL: &str = "INSERT INTO environments
            (id, name, key_prefix, prefixes, accepts_foreign, generation, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&environment.id)
        .bind(&environment.name)
        .bind(&environment.key_prefix)
        .bind(&environment.prefixes)
        .bind(environment.accepts_foreign)
        .bind(environment.generation)
        .bind(environment.created_at)
        .bind(environment.updated_at)
        .execute(c).await.map(drop))
}

/// The environment with this id.
pub async fn get(conn: Conn<'_>, id: &EnvironmentId) -> Result<Option<Environment>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM environments WHERE id = $1");
    on_db!(conn, c => sqlx::query_as(SQL).bind(id).fetch_optional(c).await)
}

/// The permissions that customers may put on keys. `None`: all of the environment's.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct OfferedPermissions {
    /// On their organizations' keys.
    pub organization_key_permissions: Option<JsonText<Vec<String>>>,
    /// On their users' keys.
    pub user_key_permissions: Option<JsonText<Vec<String>>>,
}

/// The permissions that customers may put on keys; they stay so until the transaction ends.
pub async fn hold_offered(conn: Conn<'_>, id: &EnvironmentId) -> Result<OfferedPermissions> {
    let sql = sql!(conn, "SELECT organization_key_permissions, user_key_permissions FROM environments
        WHERE id = $1" (for share));
    on_db!(conn, c => sqlx::query_as(sql).bind(id).fetch_one(c).await)
}

/// The same, for showing them.
pub async fn offered(conn: Conn<'_>, id: &EnvironmentId) -> Result<OfferedPermissions> {
    const SQL: &str = "SELECT organization_key_permissions, user_key_permissions FROM environments WHERE id = $1";
    on_db!(conn, c => sqlx::query_as(SQL).bind(id).fetch_one(c).await)
}

/// Sets the permissions that customers may put on keys.
pub async fn set_offered(
    conn: Conn<'_>,
    id: &EnvironmentId,
    offered: &OfferedPermissions,
    now: Timestamp,
) -> Result<()> {
    const SQL: &str = "UPDATE environments
        SET organization_key_permissions = $2, user_key_permissions = $3, updated_at = $4
        WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(id)
        .bind(&offered.organization_key_permissions)
        .bind(&offered.user_key_permissions)
        .bind(now)
        .execute(c).await.map(drop))
}

/// Takes a permission from both lists. Slugs hold no quotes, so a quoted slug in the JSON is that slug whole.
pub async fn remove_permission(conn: Conn<'_>, id: &EnvironmentId, slug: &str) -> Result<()> {
    const SQL: &str = "UPDATE environments
        SET organization_key_permissions =
                replace(replace(replace(organization_key_permissions, $2 || ',', ''), ',' || $2, ''), $2, ''),
            user_key_permissions = replace(replace(replace(user_key_permissions, $2 || ',', ''), ',' || $2, ''), $2, '')
        WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).bind(format!("\"{slug}\"")).execute(c).await.map(drop))
}

/// All environments, oldest first. There are few: only an operator makes them.
pub async fn list(conn: Conn<'_>) -> Result<Vec<Environment>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM environments ORDER BY id");
    on_db!(conn, c => sqlx::query_as(SQL).fetch_all(c).await)
}

/// Names this database to those who compare two, and says nothing else: the digest of its first environment.
pub async fn database_id(conn: Conn<'_>) -> Result<Option<String>> {
    const SQL: &str = "SELECT min(id) FROM environments";
    let first: Option<String> = on_db!(conn, c => sqlx::query_scalar(SQL).fetch_one(c).await)?;
    Ok(first.map(|id| Digest::of(&id).to_string()))
}

/// Lets nobody else add an environment until the transaction ends. SQLite's writer is alone anyway.
pub async fn lock_all(conn: Conn<'_>) -> Result<()> {
    let sql = conn.either("SELECT 1", "LOCK TABLE environments IN SHARE ROW EXCLUSIVE MODE");
    on_db!(conn, c => sqlx::query(sql).execute(c).await.map(drop))
}
