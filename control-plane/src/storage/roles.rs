//! Roles: what users are in their organizations, and what they may therefore do.

use serde::{Deserialize, Serialize};
use shared::{
    Timestamp,
    id::{EnvironmentId, OrganizationId, RoleId},
    record::{self, Version},
};
use sqlx::FromRow;

use super::{Conn, JsonText, Result, dialect::sql};

/// What a user can be.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// The organization that it is for; `None` if it is for all of the environment.
    pub organization_id: Option<OrganizationId>,
    /// What programs call it.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// The kind of resource that it is about.
    pub resource_type_slug: String,
    /// The slugs of what it allows.
    pub permissions: JsonText<Vec<String>>,
    /// Goes up whenever its permissions change.
    pub generation: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, environment_id, organization_id, slug, name, description, resource_type_slug, permissions, generation,
         created_at, updated_at"
    };
}

impl Role {
    /// It, as records have it.
    #[must_use]
    pub fn in_record(&self) -> record::Role {
        record::Role { id: self.id.clone(), generation: self.generation.0, permissions: self.permissions.0.clone() }
    }
}

/// Adds a role. `false` if there is one of this slug.
pub async fn insert(conn: Conn<'_>, role: &Role) -> Result<bool> {
    const SQL: &str = "INSERT INTO roles
            (id, environment_id, organization_id, slug, name, description, resource_type_slug, permissions, generation,
             created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT DO NOTHING";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&role.id)
        .bind(&role.environment_id)
        .bind(&role.organization_id)
        .bind(&role.slug)
        .bind(&role.name)
        .bind(&role.description)
        .bind(&role.resource_type_slug)
        .bind(&role.permissions)
        .bind(role.generation)
        .bind(role.created_at)
        .bind(role.updated_at)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// Which roles are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// Those of the environment.
    Environment,
    /// Those of this organization's own.
    Organization(&'a OrganizationId),
}

impl<'a> Of<'a> {
    /// The organization, if they are of one.
    #[must_use]
    pub const fn organization(self) -> Option<&'a OrganizationId> {
        match self {
            Self::Environment => None,
            Self::Organization(id) => Some(id),
        }
    }
}

macro_rules! of_slug {
    (environment) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM roles WHERE environment_id = $1 AND slug = $2 AND organization_id IS NULL"
        )
    };
    (organization) => {
        concat!("SELECT ", columns!(), " FROM roles WHERE environment_id = $1 AND slug = $2 AND organization_id = $3")
    };
}
macro_rules! of_environment {
    () => {
        of_slug!(environment)
    };
}
macro_rules! of_organization {
    () => {
        of_slug!(organization)
    };
}

async fn ask(
    conn: Conn<'_>,
    sql: &'static str,
    environment: &EnvironmentId,
    of: Of<'_>,
    slug: &str,
) -> Result<Option<Role>> {
    on_db!(conn, c => {
        let query = sqlx::query_as(sql).bind(environment).bind(slug);
        match of.organization() {
            Some(organization) => query.bind(organization),
            None => query,
        }
        .fetch_optional(c).await
    })
}

/// The role of this slug.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, of: Of<'_>, slug: &str) -> Result<Option<Role>> {
    let sql = match of {
        Of::Environment => of_environment!(),
        Of::Organization(_) => of_organization!(),
    };
    ask(conn, sql, environment, of, slug).await
}

/// The role of this slug, locked until the transaction ends, because it is going to be changed.
pub async fn lock(conn: Conn<'_>, environment: &EnvironmentId, of: Of<'_>, slug: &str) -> Result<Option<Role>> {
    let sql = match of {
        Of::Environment => sql!(conn, (text of_environment) (for update)),
        Of::Organization(_) => sql!(conn, (text of_organization) (for update)),
    };
    ask(conn, sql, environment, of, slug).await
}

/// The role of this slug that a user of the organization can have: its own, or else the environment's. It stays as it is
/// until the transaction ends.
pub async fn hold_for_member(
    mut transaction: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    slug: &str,
) -> Result<Option<Role>> {
    let own = sql!(transaction, (text of_organization) (for share));
    let of = Of::Organization(organization);
    if let Some(role) = ask(transaction.reborrow(), own, environment, of, slug).await? {
        return Ok(Some(role));
    }
    let shared = sql!(transaction, (text of_environment) (for share));
    ask(transaction, shared, environment, Of::Environment, slug).await
}

/// The role with this id, which stays as it is until the transaction ends.
pub async fn hold(conn: Conn<'_>, id: &RoleId) -> Result<Option<Role>> {
    let sql = sql!(conn, "SELECT " (text columns) " FROM roles WHERE id = $1" (for share));
    on_db!(conn, c => sqlx::query_as(sql).bind(id).fetch_optional(c).await)
}

/// The roles of an environment, oldest first. Their number is bounded.
pub async fn list_of_environment(conn: Conn<'_>, environment: &EnvironmentId) -> Result<Vec<Role>> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM roles WHERE environment_id = $1 AND organization_id IS NULL ORDER BY id");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).fetch_all(c).await)
}

/// The roles of an organization's own, oldest first. Their number is bounded.
pub async fn list_of_organization(conn: Conn<'_>, organization: &OrganizationId) -> Result<Vec<Role>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM roles WHERE organization_id = $1 ORDER BY id");
    on_db!(conn, c => sqlx::query_as(SQL).bind(organization).fetch_all(c).await)
}

/// Changes what people read of a role.
pub async fn describe(
    conn: Conn<'_>,
    id: &RoleId,
    name: Option<&str>,
    description: Option<Option<&str>>,
    now: Timestamp,
) -> Result<Role> {
    const SQL: &str = concat!(
        "UPDATE roles
         SET name = COALESCE($2, name), description = CASE WHEN $3 THEN $4 ELSE description END, updated_at = $5
         WHERE id = $1
         RETURNING ",
        columns!()
    );
    on_db!(conn, c => sqlx::query_as(SQL)
        .bind(id)
        .bind(name)
        .bind(description.is_some())
        .bind(description.flatten())
        .bind(now)
        .fetch_one(c).await)
}

/// Sets what a role allows.
pub async fn set_permissions(conn: Conn<'_>, id: &RoleId, permissions: &[String], now: Timestamp) -> Result<Role> {
    const SQL: &str = concat!(
        "UPDATE roles
         SET permissions = $2, updated_at = $3, generation = CASE WHEN generation >= $3 THEN generation + 1 ELSE $3 END
         WHERE id = $1
         RETURNING ",
        columns!()
    );
    on_db!(conn, c => sqlx::query_as(SQL).bind(id).bind(JsonText(permissions)).bind(now).fetch_one(c).await)
}

/// Takes a permission from every role that has it, and returns those. The feed has an entry of the permission. Slugs hold no
/// quotes, so a quoted slug in the JSON is that slug whole.
pub async fn remove_permission(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    slug: &str,
    now: Timestamp,
) -> Result<Vec<Role>> {
    const SQL: &str = concat!(
        "UPDATE roles
        SET permissions = replace(replace(replace(permissions, $2 || ',', ''), ',' || $2, ''), $2, ''), updated_at = $3
        WHERE environment_id = $1 AND replace(permissions, $2, '') <> permissions
        RETURNING ",
        columns!()
    );
    on_db!(conn, c => sqlx::query_as(SQL)
        .bind(environment)
        .bind(format!("\"{slug}\""))
        .bind(now)
        .fetch_all(c).await)
}

/// Whether any user has this role.
pub async fn is_assigned(conn: Conn<'_>, id: &RoleId) -> Result<bool> {
    const SQL: &str = "SELECT id FROM memberships WHERE role_id = $1 LIMIT 1";
    let found: Option<String> = on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// Deletes every role of an organization's own, once no user has any of them.
pub async fn delete_all_of_organization(conn: Conn<'_>, organization: &OrganizationId) -> Result<()> {
    const SQL: &str = "DELETE FROM roles WHERE organization_id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(organization).execute(c).await.map(drop))
}

/// Deletes a role that no user has.
pub async fn delete(conn: Conn<'_>, id: &RoleId) -> Result<()> {
    const SQL: &str = "DELETE FROM roles WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))
}
