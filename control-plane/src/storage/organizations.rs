//! Organizations: the customers of the product.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{
    Rfc3339, Timestamp,
    id::{EnvironmentId, OrganizationDomainId, OrganizationId},
    record::Version,
};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql, memberships, roles};
use crate::text::search_key;

/// A customer of the product.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// What people call it.
    pub name: String,
    /// What the product calls it.
    pub external_id: Option<String>,
    /// The product's own notes.
    pub metadata: JsonText<BTreeMap<String, String>>,
    /// Its domains.
    pub domains: JsonText<Vec<Domain>>,
    /// Kept for clients that ask for it; it changes nothing here.
    pub allow_profiles_outside_organization: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, environment_id, name, external_id, metadata, domains, allow_profiles_outside_organization, created_at,
         updated_at"
    };
}

/// A domain of an organization, as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OrganizationDomain)]
pub struct Domain {
    /// Always `organization_domain`.
    pub object: String,
    /// Its id.
    pub id: OrganizationDomainId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The domain itself.
    pub domain: String,
    /// What the product said of it; Latchkey verifies no domains.
    pub state: DomainState,
    /// When it was added.
    pub created_at: Rfc3339,
    /// When it was last changed.
    pub updated_at: Rfc3339,
}

/// Whether the product says that it has verified a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Not yet.
    Pending,
    /// It has.
    Verified,
}

/// Adds an organization. `false` if its external id is another's already.
pub async fn insert(conn: Conn<'_>, organization: &Organization) -> Result<bool> {
    const SQL: &str = "INSERT INTO organizations
            (id, environment_id, name, external_id, metadata, domains, allow_profiles_outside_organization,
             created_at, updated_at, search_name, search_name_of)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $3)
        ON CONFLICT DO NOTHING";
    on_db!(conn, c => sqlx::query(SQL)
        .bind(&organization.id)
        .bind(&organization.environment_id)
        .bind(&organization.name)
        .bind(&organization.external_id)
        .bind(&organization.metadata)
        .bind(&organization.domains)
        .bind(organization.allow_profiles_outside_organization)
        .bind(organization.created_at)
        .bind(organization.updated_at)
        .bind(search_key(&organization.name))
        .execute(c).await.map(|done| done.rows_affected() > 0))
}

/// The organization with this id.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &OrganizationId) -> Result<Option<Organization>> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM organizations WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL"
    );
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// The organization with this id, locked until the transaction ends, because it is going to be changed.
pub async fn lock(conn: Conn<'_>, environment: &EnvironmentId, id: &OrganizationId) -> Result<Option<Organization>> {
    let sql = sql!(conn, "SELECT " (text columns) " FROM organizations
        WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL" (for no key update));
    on_db!(conn, c => sqlx::query_as(sql).bind(environment).bind(id).fetch_optional(c).await)
}

/// Whether there is this organization; it will be there until the transaction ends.
pub async fn hold(conn: Conn<'_>, environment: &EnvironmentId, id: &OrganizationId) -> Result<bool> {
    let sql = sql!(conn, "SELECT id FROM organizations
        WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL" (for share));
    let found: Option<OrganizationId> =
        on_db!(conn, c => sqlx::query_scalar(sql).bind(environment).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// The organization that the product calls so.
pub async fn by_external_id(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    external_id: &str,
) -> Result<Option<Organization>> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM organizations WHERE environment_id = $1 AND external_id = $2 AND deleted_at IS NULL"
    );
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(external_id).fetch_optional(c).await)
}

/// Which organizations a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the name, in any case.
    pub search: Option<String>,
    /// One of these domains.
    pub domains: Option<Vec<String>>,
}

// A name that is not folded yet is compared as well as the database can.
macro_rules! list {
    ($conn:expr, $($rest:tt)+) => {
        sql!($conn,
            "SELECT " (text columns) " FROM organizations o WHERE o.environment_id = $1 AND o.deleted_at IS NULL
             AND ($2 IS NULL OR CASE WHEN o.search_name_of = o.name THEN o.search_name ELSE lower(o.name) END
                 LIKE $2 ESCAPE '!') "
            $($rest)+)
    };
}

/// Those that have one of some domains, which are few.
macro_rules! list_of_domains {
    ($conn:expr, $order:literal) => {
        list!($conn,
            "AND o.id IN (SELECT d.organization_id FROM organization_domains d
                 WHERE d.environment_id = $1 AND d.domain IN (" (texts of "$5") ")) "
            $order)
    };
}

/// A page of the organizations of an environment.
pub async fn list(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<Organization>> {
    let walk = request.walk();
    let sql = match (&filter.domains, walk.towards_older) {
        (None, true) => list!(conn, "AND o.id < $3 ORDER BY o.id DESC LIMIT $4"),
        (None, false) => list!(conn, "AND o.id > $3 ORDER BY o.id LIMIT $4"),
        (Some(_), true) => list_of_domains!(conn, "AND o.id < $3 ORDER BY o.id DESC LIMIT $4"),
        (Some(_), false) => list_of_domains!(conn, "AND o.id > $3 ORDER BY o.id LIMIT $4"),
    };
    let rows = on_db!(conn, c => {
        let query = sqlx::query_as(sql)
            .bind(environment)
            .bind(filter.search.as_deref().map(containing))
            .bind(walk.beyond)
            .bind(walk.limit);
        match &filter.domains {
            Some(domains) => query.bind(JsonText(domains)),
            None => query,
        }
        .fetch_all(c).await
    })?;
    Ok(request.page(rows))
}

/// The LIKE pattern for "contains this text".
fn containing(text: &str) -> String {
    let escaped = search_key(text).replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

/// Folds the names of so many organizations that an older server created or renamed, so that search finds them, and returns
/// how many they were.
pub async fn fold_names(mut transaction: Conn<'_>, limit: i64) -> Result<usize> {
    let sql = sql!(transaction, "SELECT id, name FROM organizations
        WHERE search_name_of IS DISTINCT FROM name AND deleted_at IS NULL
        ORDER BY id LIMIT $1" (for update skip locked));
    let rows: Vec<(OrganizationId, String)> =
        on_db!(transaction.reborrow(), c => sqlx::query_as(sql).bind(limit).fetch_all(c).await)?;
    const FOLD: &str = "UPDATE organizations SET search_name = $2, search_name_of = $3 WHERE id = $1";
    for (id, name) in &rows {
        let folded = search_key(name);
        on_db!(transaction.reborrow(), c => sqlx::query(FOLD)
            .bind(id)
            .bind(&folded)
            .bind(name)
            .execute(c).await.map(drop))?;
    }
    Ok(rows.len())
}

/// Writes a changed organization. `false` if its external id is another's already; the transaction is then lost.
pub async fn update(conn: Conn<'_>, organization: &Organization) -> Result<bool> {
    const SQL: &str = "UPDATE organizations
        SET name = $3, external_id = $4, metadata = $5, domains = $6, allow_profiles_outside_organization = $7,
            updated_at = $8, search_name = $9, search_name_of = $3
        WHERE environment_id = $1 AND id = $2";
    let updated = on_db!(conn, c => sqlx::query(SQL)
        .bind(&organization.environment_id)
        .bind(&organization.id)
        .bind(&organization.name)
        .bind(&organization.external_id)
        .bind(&organization.metadata)
        .bind(&organization.domains)
        .bind(organization.allow_profiles_outside_organization)
        .bind(organization.updated_at)
        .bind(search_key(&organization.name))
        .execute(c).await.map(drop));
    match updated {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        other => other.map(|()| true),
    }
}

/// Makes the domains of an organization findable, and only those.
pub async fn index_domains(mut transaction: Conn<'_>, organization: &Organization) -> Result<()> {
    unindex_domains(transaction.reborrow(), &organization.id).await?;
    const SQL: &str = "INSERT INTO organization_domains (environment_id, domain, organization_id)
        VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    for domain in &organization.domains.0 {
        on_db!(transaction.reborrow(), c => sqlx::query(SQL)
            .bind(&organization.environment_id)
            .bind(&domain.domain)
            .bind(&organization.id)
            .execute(c).await.map(drop))?;
    }
    Ok(())
}

async fn unindex_domains(conn: Conn<'_>, id: &OrganizationId) -> Result<()> {
    const SQL: &str = "DELETE FROM organization_domains WHERE organization_id = $1";
    on_db!(conn, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))
}

/// Deletes an organization with its memberships and roles, all but its row, and returns the generation that it is deleted
/// with. `None` if there is none. A generation follows the clock, so that it never goes back, not even after a backup was
/// restored.
pub async fn delete(
    mut transaction: Conn<'_>,
    environment: &EnvironmentId,
    id: &OrganizationId,
    now: Timestamp,
) -> Result<Option<Version>> {
    const SQL: &str = "UPDATE organizations
        SET deleted_at = $3, updated_at = $3, generation = CASE WHEN generation >= $3 THEN generation + 1 ELSE $3 END
        WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL
        RETURNING generation";
    let generation: Option<Version> = on_db!(transaction.reborrow(), c => sqlx::query_scalar(SQL)
        .bind(environment)
        .bind(id)
        .bind(now)
        .fetch_optional(c).await)?;
    unindex_domains(transaction.reborrow(), id).await?;
    if generation.is_some() {
        memberships::delete_all_of_organization(transaction.reborrow(), id).await?;
        roles::delete_all_of_organization(transaction, id).await?;
    }
    Ok(generation)
}
