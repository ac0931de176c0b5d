use std::collections::HashSet;

use shared::id::{EnvironmentId, OrganizationId, UserId};

use crate::{
    service::{Database, Result, organizations, users},
    storage::{
        self, Conn, Page, PageRequest,
        api_keys::{self as rows, ApiKey, Which},
        outbox, user_api_keys,
    },
};

/// A page of keys.
#[derive(Debug)]
pub struct ApiKeyPage {
    /// The keys.
    pub page: Page<ApiKey>,
    /// The ids of the revoked keys on it whose revocation is not effective at the edge yet.
    pub propagating: HashSet<String>,
}

/// A page of the keys that an organization owns itself.
///
/// # Errors
/// If there is no such organization, or the database fails.
pub async fn list_of_organization(
    database: &Database,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    which: Which,
    page: &PageRequest,
) -> Result<ApiKeyPage> {
    let mut reader = database.read().await?;
    organizations::get(reader.conn(), environment, organization).await?;
    let page = rows::list_of_organization(reader.conn(), environment, organization, which, page).await?;
    Ok(with_propagating(database, reader.conn(), page).await?)
}

/// A page of the keys of a user, in all organizations or in one.
///
/// # Errors
/// If there is no such user or organization, or the database fails.
pub async fn list_of_user(
    database: &Database,
    environment: &EnvironmentId,
    user: &UserId,
    organization: Option<&OrganizationId>,
    which: Which,
    page: &PageRequest,
) -> Result<ApiKeyPage> {
    let mut reader = database.read().await?;
    users::get(reader.conn(), environment, user).await?;
    if let Some(id) = organization {
        organizations::get(reader.conn(), environment, id).await?;
    }
    let page = user_api_keys::list(reader.conn(), environment, user, organization, which, page).await?;
    Ok(with_propagating(database, reader.conn(), page).await?)
}

async fn with_propagating(database: &Database, conn: Conn<'_>, page: Page<ApiKey>) -> storage::Result<ApiKeyPage> {
    let revoked = page.items.iter().filter(|key| key.revoked_at.is_some());
    let ids: Vec<&str> = revoked.map(|key| key.id.as_str()).collect();
    let propagating = match ids.is_empty() || !database.has_edge() {
        true => HashSet::new(),
        false => outbox::unfed_of(conn, &ids).await?.into_iter().collect(),
    };
    Ok(ApiKeyPage { page, propagating })
}
