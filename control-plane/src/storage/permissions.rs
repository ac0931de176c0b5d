//! Permissions: what the product offers, and keys carry.

use shared::{
    Timestamp,
    id::{EnvironmentId, PermissionId},
    record::Version,
};
use sqlx::FromRow;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql};

/// Something that a key can be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Permission {
    /// Its id.
    pub id: PermissionId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// What programs call it.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What it allows, for people.
    pub description: Option<String>,
    /// The kind of resource that it is about.
    pub resource_type_slug: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, environment_id, slug, name, description, resource_type_slug, created_at, updated_at"
    };
}

/// Adds a permission. `false` if there is one of this slug.
pub async fn insert(conn: Conn<'_>, permission: &Permission) -> Result<bool> {
    const SQL: &str = "INSERT INTO permissions
            (id, environment_id, slug, name, description, resource_type_slug, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING
        RETURNING id";
    let id: Option<PermissionId> = on_db!(conn, c => sqlx::query_scalar(SQL)
        .bind(&permission.id)
        .bind(&permission.environment_id)
        .bind(&permission.slug)
        .bind(&permission.name)
        .bind(&permission.description)
        .bind(&permission.resource_type_slug)
        .bind(permission.created_at)
        .bind(permission.updated_at)
        .fetch_optional(c).await)?;
    Ok(id.is_some())
}

/// The permission of this slug.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, slug: &str) -> Result<Option<Permission>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM permissions WHERE environment_id = $1 AND slug = $2");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(slug).fetch_optional(c).await)
}

/// Which of these slugs there are; they will be there until the transaction ends.
pub async fn hold(conn: Conn<'_>, environment: &EnvironmentId, slugs: &[String]) -> Result<Vec<String>> {
    let sql = sql!(conn, "SELECT slug FROM permissions
        WHERE environment_id = $1 AND slug IN (" (texts of "$2") ")" (for share));
    on_db!(conn, c => sqlx::query_scalar(sql).bind(environment).bind(JsonText(slugs)).fetch_all(c).await)
}

/// A page of the permissions of an environment.
pub async fn list(conn: Conn<'_>, environment: &EnvironmentId, request: &PageRequest) -> Result<Page<Permission>> {
    const OLDER: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM permissions WHERE environment_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
    );
    const NEWER: &str =
        concat!("SELECT ", columns!(), " FROM permissions WHERE environment_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    let walk = request.walk();
    let sql = if walk.towards_older { OLDER } else { NEWER };
    let rows = on_db!(conn, c => sqlx::query_as(sql)
        .bind(environment)
        .bind(walk.beyond)
        .bind(walk.limit)
        .fetch_all(c).await)?;
    Ok(request.page(rows))
}

/// Changes what people read of a permission: what is given, and nothing else. `None` if there is none of this slug.
pub async fn update(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    slug: &str,
    name: Option<&str>,
    description: Option<Option<&str>>,
    now: Timestamp,
) -> Result<Option<Permission>> {
    const SQL: &str = concat!(
        "UPDATE permissions
         SET name = COALESCE($3, name), description = CASE WHEN $4 THEN $5 ELSE description END, updated_at = $6
         WHERE environment_id = $1 AND slug = $2
         RETURNING ",
        columns!()
    );
    on_db!(conn, c => sqlx::query_as(SQL)
        .bind(environment)
        .bind(slug)
        .bind(name)
        .bind(description.is_some())
        .bind(description.flatten())
        .bind(now)
        .fetch_optional(c).await)
}

/// Deletes a permission, and returns it with the generation that its environment has from then on. `None` if there is none of
/// this slug. A generation follows the clock, so that it never goes back, not even after a backup was restored.
pub async fn delete(
    mut transaction: Conn<'_>,
    environment: &EnvironmentId,
    slug: &str,
    now: Timestamp,
) -> Result<Option<(Permission, Version)>> {
    const DELETE: &str =
        concat!("DELETE FROM permissions WHERE environment_id = $1 AND slug = $2 RETURNING ", columns!());
    const SQL: &str = "UPDATE environments
        SET generation = CASE WHEN generation >= $2 THEN generation + 1 ELSE $2 END
        WHERE id = $1
        RETURNING generation";
    let deleted: Option<Permission> = on_db!(transaction.reborrow(), c =>
        sqlx::query_as(DELETE).bind(environment).bind(slug).fetch_optional(c).await)?;
    let Some(deleted) = deleted else { return Ok(None) };
    let generation: Option<Version> = on_db!(transaction, c =>
        sqlx::query_scalar(SQL).bind(environment).bind(now).fetch_optional(c).await)?;
    Ok(generation.map(|generation| (deleted, generation)))
}
