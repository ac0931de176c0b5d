//! Users: whoever holds keys of their own in an organization. The product knows them; what is kept here is what its keys
//! and its people need.

use std::collections::BTreeMap;

use shared::{
    Timestamp,
    id::{EnvironmentId, OrganizationId, UserId},
};
use sqlx::FromRow;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// What the product calls it.
    pub external_id: Option<String>,
    /// The address; empty if the product did not say.
    pub email: String,
    /// Whether the product says that it has verified the address.
    pub email_verified: bool,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The whole name.
    pub name: Option<String>,
    /// The language, as `en-US`.
    pub locale: Option<String>,
    /// The product's own notes.
    pub metadata: JsonText<BTreeMap<String, String>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Those of the table as `u`: memberships, which a list joins, have some of the same names.
macro_rules! columns {
    () => {
        "u.id, u.environment_id, u.external_id, u.email, u.email_verified, u.first_name, u.last_name, u.name, u.locale,
         u.metadata, u.created_at, u.updated_at"
    };
}

impl User {
    /// What no other user of the environment has: the address in lower case, if there is one.
    fn email_key(&self) -> Option<String> {
        (!self.email.is_empty()).then(|| email_key(&self.email))
    }
}

fn email_key(email: &str) -> String {
    email.to_lowercase()
}

/// Adds a user. `false` if its external id or its address is another's.
pub async fn insert(conn: Conn<'_>, user: &User) -> Result<bool> {
    const SQL: &str = "INSERT INTO users
            (id, environment_id, external_id, email, email_key, email_verified, first_name, last_name, name, locale,
             metadata, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT DO NOTHING";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&user.id)
        .bind(&user.environment_id)
        .bind(&user.external_id)
        .bind(&user.email)
        .bind(user.email_key())
        .bind(user.email_verified)
        .bind(&user.first_name)
        .bind(&user.last_name)
        .bind(&user.name)
        .bind(&user.locale)
        .bind(&user.metadata)
        .bind(user.created_at)
        .bind(user.updated_at)
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// The user with this id.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &UserId) -> Result<Option<User>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM users u WHERE u.environment_id = $1 AND u.id = $2");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// The user with this id, locked until the transaction ends, because it is going to be changed.
pub async fn lock(conn: Conn<'_>, environment: &EnvironmentId, id: &UserId) -> Result<Option<User>> {
    let sql = sql!(conn, "SELECT " (text columns) " FROM users u
        WHERE u.environment_id = $1 AND u.id = $2" (for update));
    on_db!(conn, c => sqlx::query_as(sql).bind(environment).bind(id).fetch_optional(c).await)
}

/// Whether there is this user; it will be there until the transaction ends.
pub async fn hold(conn: Conn<'_>, environment: &EnvironmentId, id: &UserId) -> Result<bool> {
    let sql = sql!(conn, "SELECT id FROM users WHERE environment_id = $1 AND id = $2" (for share));
    let found: Option<UserId> =
        on_db!(conn, c => sqlx::query_scalar(sql).bind(environment).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// The user that the product calls so.
pub async fn by_external_id(conn: Conn<'_>, environment: &EnvironmentId, external_id: &str) -> Result<Option<User>> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM users u WHERE u.environment_id = $1 AND u.external_id = $2");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(external_id).fetch_optional(c).await)
}

/// The users with these ids.
pub async fn of_ids(conn: Conn<'_>, environment: &EnvironmentId, ids: &[&str]) -> Result<Vec<User>> {
    let sql = sql!(conn, "SELECT " (text columns) " FROM users u
        WHERE u.environment_id = $1 AND u.id IN (" (texts of "$2") ")");
    on_db!(conn, c => sqlx::query_as(sql).bind(environment).bind(JsonText(ids)).fetch_all(c).await)
}

/// Which users a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those with this address, in any case.
    pub email: Option<String>,
    /// Those that belong to this organization.
    pub organization: Option<OrganizationId>,
}

macro_rules! list {
    ($from:literal, $order:literal) => {
        concat!("SELECT ", columns!(), " FROM ", $from, " AND u.environment_id = $1 AND ", $order, " LIMIT $3")
    };
}

/// A page of the users of an environment.
pub async fn list(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<User>> {
    let walk = request.walk();
    let sql = match (&filter.email, &filter.organization, walk.towards_older) {
        (None, None, true) => list!("users u WHERE TRUE", "u.id < $2 ORDER BY u.id DESC"),
        (None, None, false) => list!("users u WHERE TRUE", "u.id > $2 ORDER BY u.id"),
        (Some(_), None, true) => list!("users u WHERE u.email_key = $4", "u.id < $2 ORDER BY u.id DESC"),
        (Some(_), None, false) => list!("users u WHERE u.email_key = $4", "u.id > $2 ORDER BY u.id"),
        (None, Some(_), true) => list!(
            "memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $4",
            "m.user_id < $2 ORDER BY m.user_id DESC"
        ),
        (None, Some(_), false) => list!(
            "memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $4",
            "m.user_id > $2 ORDER BY m.user_id"
        ),
        (Some(_), Some(_), true) => list!(
            "users u JOIN memberships m ON m.user_id = u.id WHERE u.email_key = $4 AND m.organization_id = $5",
            "u.id < $2 ORDER BY u.id DESC"
        ),
        (Some(_), Some(_), false) => list!(
            "users u JOIN memberships m ON m.user_id = u.id WHERE u.email_key = $4 AND m.organization_id = $5",
            "u.id > $2 ORDER BY u.id"
        ),
    };
    let rows = on_db!(conn, c => {
        let query = sqlx::query_as(sql).bind(environment).bind(walk.beyond).bind(walk.limit);
        let query = match &filter.email {
            Some(email) => query.bind(email_key(email)),
            None => query,
        };
        match &filter.organization {
            Some(organization) => query.bind(organization),
            None => query,
        }
        .fetch_all(c).await
    })?;
    Ok(request.page(rows))
}

/// Writes a changed user. `false` if its external id or its address is another's; the transaction is then lost.
pub async fn update(conn: Conn<'_>, user: &User) -> Result<bool> {
    const SQL: &str = "UPDATE users
        SET external_id = $2, email = $3, email_key = $4, email_verified = $5, first_name = $6, last_name = $7, name = $8,
            locale = $9, metadata = $10, updated_at = $11
        WHERE id = $1";
    let updated = on_db!(conn, c => sqlx::query(SQL)
        .bind(&user.id)
        .bind(&user.external_id)
        .bind(&user.email)
        .bind(user.email_key())
        .bind(user.email_verified)
        .bind(&user.first_name)
        .bind(&user.last_name)
        .bind(&user.name)
        .bind(&user.locale)
        .bind(&user.metadata)
        .bind(user.updated_at)
        .execute(c).await.map(drop));
    match updated {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        other => other.map(|()| true),
    }
}

/// Deletes a user who belongs to no organization any more.
pub async fn delete(conn: Conn<'_>, id: &UserId) -> Result<()> {
    const SQL: &str = "DELETE FROM users WHERE id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))
}
