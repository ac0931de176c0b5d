//! Permissions: what the product offers, and keys carry.

use serde::Deserialize;
use shared::{
    Timestamp,
    entropy::Entropy,
    feed::{Effect, Scope},
    id::{EnvironmentId, PermissionId, RoleId},
};
use utoipa::ToSchema;

use super::{
    Change, Entity, Error, Refusal, Result, Transaction,
    fields::{Checks, or_null},
    targets::{batch, target_roles},
};
use crate::{
    events::{EventType, changes},
    storage::{
        Conn, Page, PageRequest, api_keys, environments,
        permissions::{self as rows, Permission},
        roles,
    },
};

/// A permission to create.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreatePermission {
    /// The identifier that your code, keys and roles use: 1 to 48 lowercase letters, digits, and `-_:.*`. On a key, `posts:*`
    /// grants every permission that begins with `posts:`, and `*` grants all. It cannot be changed.
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    slug: String,
    /// The display name. At most 48 characters.
    #[schema(min_length = 1, max_length = 48)]
    name: String,
    /// What the permission allows. At most 150 characters.
    #[serde(default)]
    #[schema(max_length = 150)]
    description: Option<String>,
    /// The type of resource that the permission applies to, as 1 to 48 lowercase letters, digits, and `-_:.*`. Default:
    /// `organization`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    resource_type_slug: Option<String>,
}

/// Changes to a permission. Omitted fields keep their values. The slug cannot be changed.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdatePermission {
    /// The display name. At most 48 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    name: Option<String>,
    /// What the permission allows. At most 150 characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 150)]
    description: Option<Option<String>>,
}

/// A permission that can be created.
#[derive(Debug)]
pub struct NewPermission {
    slug: String,
    name: String,
    description: Option<String>,
    resource_type_slug: String,
}

impl CreatePermission {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<NewPermission> {
        let Self { slug, name, description, resource_type_slug } = self;
        let resource_type_slug = resource_type_slug.unwrap_or_else(|| "organization".to_owned());
        let mut checks = Checks::default();
        checks.slug("slug", &slug);
        checks.described(Some(&name), description.as_deref());
        checks.slug("resource_type_slug", &resource_type_slug);
        checks.finish()?;
        Ok(NewPermission { slug, name, description, resource_type_slug })
    }
}

impl UpdatePermission {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<Self> {
        let mut checks = Checks::default();
        checks.described(self.name.as_deref(), self.description.as_ref().and_then(Option::as_deref));
        checks.finish()?;
        Ok(self)
    }
}

/// Creates a permission.
///
/// # Errors
/// If there is one with this slug, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    new: NewPermission,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(Permission, Change)> {
    let permission = Permission {
        id: PermissionId::generate(now, entropy),
        environment_id: environment.clone(),
        slug: new.slug,
        name: new.name,
        description: new.description,
        resource_type_slug: new.resource_type_slug,
        created_at: now,
        updated_at: now,
    };
    if !rows::insert(transaction.conn(), &permission).await? {
        return Err(Refusal::PermissionSlugTaken.into());
    }
    let event = changes::permission(EventType::PermissionCreated, &permission)?;
    Ok((permission, Change::local(event)))
}

/// The permission with this slug.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, slug: &str) -> Result<Permission> {
    rows::get(conn, environment, slug).await?.ok_or(Error::NotFound(Entity::Permission))
}

/// A page of the permissions of an environment.
///
/// # Errors
/// If the database fails.
pub async fn list(conn: Conn<'_>, environment: &EnvironmentId, page: &PageRequest) -> Result<Page<Permission>> {
    Ok(rows::list(conn, environment, page).await?)
}

/// Updates what people read of a permission.
///
/// # Errors
/// If there is none with this slug, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    slug: &str,
    changes: &UpdatePermission,
    now: Timestamp,
) -> Result<(Permission, Change)> {
    let (name, description) = (changes.name.as_deref(), changes.description.as_ref().map(Option::as_deref));
    let before = get(transaction.conn(), environment, slug).await?;
    let is_same = name.is_none_or(|name| name == before.name)
        && description.is_none_or(|description| description == before.description.as_deref());
    if is_same {
        return Ok((before, Change::nothing()));
    }
    let permission = rows::update(transaction.conn(), environment, slug, name, description, now).await?;
    let permission = permission.ok_or(Error::NotFound(Entity::Permission))?;
    let event = changes::permission(EventType::PermissionUpdated, &permission)?;
    Ok((permission, Change::local(event)))
}

/// Deletes a permission, and removes it from every role and every key that has it.
///
/// # Errors
/// If there is none with this slug, or the database fails.
pub async fn delete(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    slug: &str,
    now: Timestamp,
) -> Result<Change> {
    if let Some(change) = delete_if_exists(transaction, environment, slug, now).await? {
        return Ok(change);
    }
    let earlier = transaction.unacknowledged(&Scope::Permission(environment, slug), environment).await?;
    earlier.ok_or(Error::NotFound(Entity::Permission))
}

/// The same for a caller who does not wait for an earlier deletion. `None` if there is none with this slug.
///
/// # Errors
/// If the database fails.
pub async fn delete_if_exists(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    slug: &str,
    now: Timestamp,
) -> Result<Option<Change>> {
    let deleted = rows::delete(transaction.conn(), environment, slug, now).await?;
    let Some((deleted, generation)) = deleted else { return Ok(None) };
    let scope = Scope::Permission(environment, slug);
    let batch = batch(&scope, now);
    remove_from_all(transaction, environment, slug, &batch, now).await?;
    let event = changes::permission(EventType::PermissionDeleted, &deleted)?.with_targets(batch);
    Ok(Some(Change::scope(&scope, environment, generation, Effect::Revoke, event)))
}

/// Removes a permission that does not exist from the offered lists, and from every role and key that has it. The keys are queued
/// for Workers KV.
///
/// # Errors
/// If the database fails.
pub async fn remove_everywhere(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    slug: &str,
    now: Timestamp,
) -> Result<Change> {
    let batch = batch(&Scope::Permission(environment, slug), now);
    remove_from_all(transaction, environment, slug, &batch, now).await?;
    let offered = environments::offered(transaction.conn(), environment).await?;
    Ok(Change::local(changes::offered_permissions(environment, &offered)?.with_targets(batch)))
}

/// The same, and notes the roles and the keys as targets.
async fn remove_from_all(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    slug: &str,
    batch: &str,
    now: Timestamp,
) -> Result<()> {
    environments::remove_permission(transaction.conn(), environment, slug).await?;
    let roles = roles::remove_permission(transaction.conn(), environment, slug, now).await?;
    let ids: Vec<RoleId> = roles.iter().map(|role| role.id.clone()).collect();
    let (of_organizations, of_environment) = roles.into_iter().partition(|role| role.organization_id.is_some());
    target_roles(transaction, batch, EventType::RoleUpdated, of_environment).await?;
    target_roles(transaction, batch, EventType::OrganizationRoleUpdated, of_organizations).await?;
    api_keys::remove_permission(transaction.conn(), environment, slug, &ids, batch, now).await?;
    Ok(())
}

/// Requires each of these slugs to be a permission of the environment, and locks those until the transaction ends.
pub(super) async fn require_known(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    slugs: &[String],
    field: impl Fn(usize) -> String,
) -> Result<()> {
    let known = rows::hold(transaction.conn(), environment, slugs).await?;
    let mut checks = Checks::default();
    for (at, slug) in slugs.iter().enumerate() {
        checks.require(known.contains(slug), &field(at), "not_found", "there is no such permission");
    }
    checks.finish()
}
