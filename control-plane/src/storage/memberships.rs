//! Memberships: which user belongs to which organization, and as what.

use serde::{Deserialize, Deserializer};
use shared::{
    Timestamp,
    id::{EnvironmentId, MembershipId, OrganizationId, RoleId, UserId},
    record::Version,
};
use sqlx::FromRow;

use super::{Conn, Page, PageRequest, Result, dialect::sql};

/// That a user belongs to an organization.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Deserialize)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user.
    pub user_id: UserId,
    /// What the user is there.
    pub role_id: RoleId,
    /// Whether its keys are refused for the time being.
    #[serde(deserialize_with = "bool_of_number")]
    pub inactive: bool,
    /// Goes up whenever its role or its state changes.
    pub generation: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What people call the organization.
    pub organization_name: String,
    /// What programs call the role.
    pub role_slug: String,
}

/// SQLite has no booleans.
fn bool_of_number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    u8::deserialize(deserializer).map(|number| number != 0)
}

/// What a new membership is made of.
#[derive(Debug)]
pub struct NewMembership<'a> {
    /// Its id.
    pub id: &'a MembershipId,
    /// Its tenant.
    pub environment_id: &'a EnvironmentId,
    /// The organization.
    pub organization_id: &'a OrganizationId,
    /// The user.
    pub user_id: &'a UserId,
    /// What the user is there.
    pub role_id: &'a RoleId,
    /// Its first one.
    pub generation: Version,
    /// When it is created.
    pub now: Timestamp,
}

/// Adds a membership. `false` if the user belongs to the organization already.
pub async fn insert(conn: Conn<'_>, membership: &NewMembership<'_>) -> Result<bool> {
    const SQL: &str = "INSERT INTO memberships
            (id, environment_id, organization_id, user_id, role_id, generation, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
        ON CONFLICT DO NOTHING";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(membership.id)
        .bind(membership.environment_id)
        .bind(membership.organization_id)
        .bind(membership.user_id)
        .bind(membership.role_id)
        .bind(membership.generation)
        .bind(membership.now)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

macro_rules! select {
    ($($rest:literal)?) => {
        concat!(
            "SELECT m.id, m.environment_id, m.organization_id, m.user_id, m.role_id, m.inactive, m.generation,
                m.created_at, m.updated_at, o.name AS organization_name, r.slug AS role_slug
             FROM memberships m
             JOIN organizations o ON o.id = m.organization_id
             JOIN roles r ON r.id = m.role_id ",
            $($rest)?
        )
    };
}

/// The membership with this id.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &MembershipId) -> Result<Option<Membership>> {
    const SQL: &str = select!("WHERE m.environment_id = $1 AND m.id = $2");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// The membership with this id, locked until the transaction ends, because it is going to be changed.
pub async fn lock(
    mut transaction: Conn<'_>,
    environment: &EnvironmentId,
    id: &MembershipId,
) -> Result<Option<Membership>> {
    let sql = sql!(transaction, "SELECT id FROM memberships WHERE environment_id = $1 AND id = $2" (for update));
    let found: Option<MembershipId> = on_db!(transaction.reborrow(), c =>
        sqlx::query_scalar(sql).bind(environment).bind(id).fetch_optional(c).await)?;
    match found {
        Some(id) => get(transaction, environment, &id).await,
        None => Ok(None),
    }
}

/// The membership of these two, locked until the transaction ends, because it is going to be changed.
pub async fn lock_of(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Option<Membership>> {
    let lock = sql!(conn, "SELECT id FROM memberships WHERE organization_id = $1 AND user_id = $2" (for update));
    of_pair(conn, lock, environment, organization, user).await
}

/// The membership of these two, which stays as it is until the transaction ends.
pub async fn hold_of(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Option<Membership>> {
    let hold = sql!(conn, "SELECT id FROM memberships WHERE organization_id = $1 AND user_id = $2" (for share));
    of_pair(conn, hold, environment, organization, user).await
}

async fn of_pair(
    mut transaction: Conn<'_>,
    sql: &'static str,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Option<Membership>> {
    let held: Option<MembershipId> = on_db!(transaction.reborrow(), c =>
        sqlx::query_scalar(sql).bind(organization).bind(user).fetch_optional(c).await)?;
    match held {
        Some(id) => get(transaction, environment, &id).await,
        None => Ok(None),
    }
}

/// Which memberships a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Of whom.
    pub of: Of,
    /// Those that are active.
    pub active: bool,
    /// Those that are not.
    pub inactive: bool,
}

/// Whose memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Those of an organization.
    Organization(OrganizationId),
    /// Those of a user.
    User(UserId),
    /// That of the two.
    Both(OrganizationId, UserId),
}

macro_rules! list {
    ($whose:literal, $order:literal) => {
        concat!(
            select!(),
            "WHERE m.environment_id = $1 AND (CASE WHEN m.inactive THEN $2 ELSE $3 END) AND ",
            $whose,
            " AND m.id ",
            $order,
            " LIMIT $5"
        )
    };
}

/// A page of memberships.
pub async fn list(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<Membership>> {
    let walk = request.walk();
    let sql = match (&filter.of, walk.towards_older) {
        (Of::Organization(_), true) => list!("m.organization_id = $6", "< $4 ORDER BY m.id DESC"),
        (Of::Organization(_), false) => list!("m.organization_id = $6", "> $4 ORDER BY m.id"),
        (Of::User(_), true) => list!("m.user_id = $6", "< $4 ORDER BY m.id DESC"),
        (Of::User(_), false) => list!("m.user_id = $6", "> $4 ORDER BY m.id"),
        (Of::Both(..), true) => list!("m.organization_id = $6 AND m.user_id = $7", "< $4 ORDER BY m.id DESC"),
        (Of::Both(..), false) => list!("m.organization_id = $6 AND m.user_id = $7", "> $4 ORDER BY m.id"),
    };
    let rows = on_db!(conn, c => {
        let query = sqlx::query_as(sql)
            .bind(environment)
            .bind(filter.inactive)
            .bind(filter.active)
            .bind(walk.beyond)
            .bind(walk.limit);
        match &filter.of {
            Of::Organization(organization) => query.bind(organization),
            Of::User(user) => query.bind(user),
            Of::Both(organization, user) => query.bind(organization).bind(user),
        }
        .fetch_all(c).await
    })?;
    Ok(request.page(rows))
}

/// Sets the role of a user and whether the membership is inactive, and returns the generation that it has since.
pub async fn set(conn: Conn<'_>, id: &MembershipId, role: &RoleId, inactive: bool, now: Timestamp) -> Result<Version> {
    const SQL: &str = "UPDATE memberships
        SET role_id = $2, inactive = $3, updated_at = $4,
            generation = CASE WHEN generation >= $4 THEN generation + 1 ELSE $4 END
        WHERE id = $1
        RETURNING generation";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(id).bind(role).bind(inactive).bind(now).fetch_one(c).await)
}

/// Deletes a membership.
pub async fn delete(conn: Conn<'_>, id: &MembershipId) -> Result<()> {
    const SQL: &str = "DELETE FROM memberships WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))
}

/// What a membership that is deleted together with others leaves for its event.
macro_rules! target_deleted {
    ($conn:expr, $condition:literal) => {
        sql!($conn,
            "INSERT INTO event_targets (batch, event, id, details)
             SELECT $1, 'organization_membership.deleted', m.id, "
            (json object "'id', m.id, 'environment_id', m.environment_id, 'organization_id', m.organization_id,
                'user_id', m.user_id, 'role_id', m.role_id, 'role_slug', r.slug, 'organization_name', o.name,
                'inactive', CASE WHEN m.inactive THEN 1 ELSE 0 END, 'generation', m.generation,
                'created_at', m.created_at, 'updated_at', m.updated_at")
            " FROM memberships m JOIN organizations o ON o.id = m.organization_id JOIN roles r ON r.id = m.role_id
             WHERE " $condition " ORDER BY m.id" (for update of memberships))
    };
}

/// Notes every membership of a user as a target of a batch.
pub async fn target_all_of_user(conn: Conn<'_>, batch: &str, user: &UserId) -> Result<()> {
    let sql = target_deleted!(conn, "m.user_id = $2");
    on_db!(conn, c => sqlx::query(sql).bind(batch).bind(user).execute(c).await.map(drop))
}

/// Notes every membership of an organization as a target of a batch.
pub async fn target_all_of_organization(conn: Conn<'_>, batch: &str, organization: &OrganizationId) -> Result<()> {
    let sql = target_deleted!(conn, "m.organization_id = $2");
    on_db!(conn, c => sqlx::query(sql).bind(batch).bind(organization).execute(c).await.map(drop))
}

/// Deletes every membership of a user.
pub async fn delete_all_of_user(conn: Conn<'_>, user: &UserId) -> Result<()> {
    const SQL: &str = "DELETE FROM memberships WHERE user_id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(user).execute(c).await.map(drop))
}

/// Deletes every membership of an organization.
pub async fn delete_all_of_organization(conn: Conn<'_>, organization: &OrganizationId) -> Result<()> {
    const SQL: &str = "DELETE FROM memberships WHERE organization_id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(organization).execute(c).await.map(drop))
}
