//! Roles: what users may do in their organizations. An environment has roles for all of its organizations, and each
//! organization can have roles of its own.

use std::collections::BTreeSet;

use serde::Deserialize;
use shared::{
    Timestamp,
    entropy::Entropy,
    feed::{Effect, Scope},
    id::{EnvironmentId, OrganizationId, RoleId},
    permission::SLUG_MAX_LENGTH,
    record::Version,
};
use utoipa::ToSchema;

use super::{
    Change, Entity, Error, Refusal, Result, Transaction,
    fields::{Checks, ROLE_PERMISSIONS_MAX, ROLES_MAX, or_null, without_repeats},
    permissions::require_known,
};
use crate::{
    events::changes::{self as events, RoleChange},
    storage::{
        Conn, JsonText, Priority, organizations, permissions,
        roles::{self as rows, Of, Role},
        user_api_keys,
    },
};

/// The role of a member if no other is named. Every environment has it from the beginning.
pub const DEFAULT_ROLE: &str = "member";

/// A role to create for all organizations of the environment.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateRole {
    /// The identifier that your code uses: 1 to 48 lowercase letters, digits, and `-_:.*`. It cannot be changed.
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    slug: String,
    /// The display name. At most 48 characters.
    #[schema(min_length = 1, max_length = 48)]
    name: String,
    /// What the role is for. At most 150 characters.
    #[serde(default)]
    #[schema(max_length = 150)]
    description: Option<String>,
    /// The type of resource that the role applies to, as 1 to 48 lowercase letters, digits, and `-_:.*`. Default:
    /// `organization`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    resource_type_slug: Option<String>,
}

/// A role to create for one organization.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateOrganizationRole {
    /// The identifier that your code uses: 1 to 48 lowercase letters, digits, and `-_:.*`. It cannot be changed. Default: made from the
    /// name, such as `org-billing-admin` for `Billing admin`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    slug: Option<String>,
    /// The display name. At most 48 characters.
    #[schema(min_length = 1, max_length = 48)]
    name: String,
    /// What the role is for. At most 150 characters.
    #[serde(default)]
    #[schema(max_length = 150)]
    description: Option<String>,
    /// The type of resource that the role applies to, as 1 to 48 lowercase letters, digits, and `-_:.*`. Default:
    /// `organization`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48, pattern = "^[a-z0-9_:.*-]+$")]
    resource_type_slug: Option<String>,
}

/// Changes to a role. Omitted fields keep their values. The slug cannot be changed.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateRole {
    /// The display name. At most 48 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    name: Option<String>,
    /// What the role is for. At most 150 characters. Null removes it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 150)]
    description: Option<Option<String>>,
}

/// All permissions of a role. They replace those that it has.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SetRolePermissions {
    /// The slugs of permissions of the environment. At most 200.
    #[schema(max_items = 200)]
    permissions: Vec<String>,
}

/// A permission to add to a role.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AddRolePermission {
    /// The slug of a permission of the environment.
    #[schema(min_length = 1, max_length = 48)]
    slug: String,
}

/// A role that can be created.
#[derive(Debug)]
pub struct NewRole {
    slug: String,
    name: String,
    description: Option<String>,
    resource_type_slug: String,
}

impl NewRole {
    fn check(
        slug: String,
        name: String,
        description: Option<String>,
        resource_type_slug: Option<String>,
    ) -> Result<Self> {
        let resource_type_slug = resource_type_slug.unwrap_or_else(|| "organization".to_owned());
        let mut checks = Checks::default();
        checks.slug("slug", &slug);
        checks.described(Some(&name), description.as_deref());
        checks.slug("resource_type_slug", &resource_type_slug);
        checks.finish()?;
        Ok(Self { slug, name, description, resource_type_slug })
    }
}

impl CreateRole {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<NewRole> {
        NewRole::check(self.slug, self.name, self.description, self.resource_type_slug)
    }
}

impl CreateOrganizationRole {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<NewRole> {
        let slug = self.slug.unwrap_or_else(|| slug_of(&self.name));
        NewRole::check(slug, self.name, self.description, self.resource_type_slug)
    }
}

/// `org-billing-admin` for `Billing Admin`.
fn slug_of(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let slug: String = ["org"].into_iter().chain(words).collect::<Vec<_>>().join("-");
    slug.chars().take(SLUG_MAX_LENGTH).collect()
}

impl UpdateRole {
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

/// How the permissions of a role change.
#[derive(Debug)]
pub enum PermissionsUpdate {
    /// The role has these and no others.
    Set(Vec<String>),
    /// The role has this one as well.
    Add(String),
    /// The role does not have this one any more.
    Remove(String),
}

impl SetRolePermissions {
    /// Removes repeated slugs, and checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<PermissionsUpdate> {
        let slugs = without_repeats(self.permissions);
        let mut checks = Checks::default();
        checks.slugs("permissions", &slugs, ROLE_PERMISSIONS_MAX);
        checks.finish()?;
        Ok(PermissionsUpdate::Set(slugs))
    }
}

impl AddRolePermission {
    /// Checks all that can be checked without the database.
    ///
    /// # Errors
    /// If a field is not acceptable.
    pub fn check(self) -> Result<PermissionsUpdate> {
        let mut checks = Checks::default();
        checks.slug("slug", &self.slug);
        checks.finish()?;
        Ok(PermissionsUpdate::Add(self.slug))
    }
}

impl PermissionsUpdate {
    /// How urgent the transaction is: whatever can take a permission away is as urgent as revoking a key.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        match self {
            Self::Add(_) => Priority::Normal,
            Self::Set(_) | Self::Remove(_) => Priority::Revocation,
        }
    }

    /// The slugs that must be permissions of the environment.
    fn named(&self) -> &[String] {
        match self {
            Self::Set(slugs) => slugs,
            Self::Add(slug) => std::slice::from_ref(slug),
            Self::Remove(_) => &[],
        }
    }

    fn applied_to(self, before: &[String]) -> Vec<String> {
        match self {
            Self::Set(slugs) => slugs,
            Self::Add(slug) => without_repeats(before.iter().cloned().chain([slug]).collect()),
            Self::Remove(slug) => before.iter().filter(|held| **held != slug).cloned().collect(),
        }
    }
}

/// Creates a role without permissions.
///
/// # Errors
/// If there is no such organization, the slug is taken, there are too many roles, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    of: Of<'_>,
    new: NewRole,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(Role, Change)> {
    lock_organization(transaction, environment, of).await?;
    if count(transaction, environment, of).await? >= ROLES_MAX {
        return Err(Refusal::RoleLimitReached.into());
    }
    let taken = match of {
        Of::Environment => Refusal::RoleSlugTaken,
        Of::Organization(_) => Refusal::OrganizationRoleSlugTaken,
    };
    let of_environment = rows::get(transaction.conn(), environment, Of::Environment, &new.slug).await?;
    let role = Role {
        id: RoleId::generate(now, entropy),
        environment_id: environment.clone(),
        organization_id: of.organization().cloned(),
        slug: new.slug,
        name: new.name,
        description: new.description,
        resource_type_slug: new.resource_type_slug,
        permissions: JsonText(vec![]),
        generation: Version::first(now),
        created_at: now,
        updated_at: now,
    };
    if of_environment.is_some() || !rows::insert(transaction.conn(), &role).await? {
        return Err(taken.into());
    }
    let event = events::role(RoleChange::Created, &role)?;
    Ok((role, Change::local(event)))
}

/// Locks the organization whose roles these are, if they are of one.
async fn lock_organization(transaction: &mut Transaction, environment: &EnvironmentId, of: Of<'_>) -> Result<()> {
    match of.organization() {
        Some(id) if !organizations::hold(transaction.conn(), environment, id).await? => {
            Err(Error::NotFound(Entity::Organization))
        }
        _ => Ok(()),
    }
}

async fn count(transaction: &mut Transaction, environment: &EnvironmentId, of: Of<'_>) -> Result<usize> {
    let roles = match of {
        Of::Environment => rows::list_of_environment(transaction.conn(), environment).await?,
        Of::Organization(organization) => rows::list_of_organization(transaction.conn(), organization).await?,
    };
    Ok(roles.len())
}

/// The environment's role with this slug.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get_of_environment(conn: Conn<'_>, environment: &EnvironmentId, slug: &str) -> Result<Role> {
    rows::get(conn, environment, Of::Environment, slug).await?.ok_or(Error::NotFound(Entity::Role))
}

/// The roles of an environment, oldest first.
///
/// # Errors
/// If the database fails.
pub async fn list_of_environment(conn: Conn<'_>, environment: &EnvironmentId) -> Result<Vec<Role>> {
    Ok(rows::list_of_environment(conn, environment).await?)
}

/// The role with this slug that members of the organization can have: its own, or the environment's.
///
/// # Errors
/// If there is no such role or organization, or the database fails.
pub async fn get_of_organization(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    slug: &str,
) -> Result<Role> {
    super::organizations::get(conn.reborrow(), environment, organization).await?;
    match rows::get(conn.reborrow(), environment, Of::Organization(organization), slug).await? {
        Some(role) => Ok(role),
        None => get_of_environment(conn, environment, slug).await,
    }
}

/// The roles that members of the organization can have: the environment's, then its own, each oldest first.
///
/// # Errors
/// If there is no such organization, or the database fails.
pub async fn list_of_organization(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
) -> Result<Vec<Role>> {
    super::organizations::get(conn.reborrow(), environment, organization).await?;
    let mut all = rows::list_of_environment(conn.reborrow(), environment).await?;
    all.extend(rows::list_of_organization(conn, organization).await?);
    Ok(all)
}

/// Updates what people read of a role.
///
/// # Errors
/// If there is no such role or organization, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    of: Of<'_>,
    slug: &str,
    changes: &UpdateRole,
    now: Timestamp,
) -> Result<(Role, Change)> {
    lock_organization(transaction, environment, of).await?;
    let role = rows::lock(transaction.conn(), environment, of, slug).await?.ok_or(Error::NotFound(Entity::Role))?;
    let (name, description) = (changes.name.as_deref(), changes.description.as_ref().map(Option::as_deref));
    let is_same = name.is_none_or(|name| name == role.name)
        && description.is_none_or(|description| description == role.description.as_deref());
    if is_same {
        return Ok((role, Change::nothing()));
    }
    let role = rows::describe(transaction.conn(), &role.id, name, description, now).await?;
    let event = events::role(RoleChange::Updated, &role)?;
    Ok((role, Change::local(event)))
}

/// Updates the permissions of a role, and with them the effective permissions of its users' keys.
///
/// # Errors
/// If there is no such role, organization or permission, the role would have too many, or the database fails.
pub async fn update_permissions(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    of: Of<'_>,
    slug: &str,
    update: PermissionsUpdate,
    now: Timestamp,
) -> Result<(Role, Change)> {
    lock_organization(transaction, environment, of).await?;
    if rows::get(transaction.conn(), environment, of, slug).await?.is_none() {
        return Err(Error::NotFound(Entity::Role));
    }
    // Permissions are locked before roles, as whoever deletes a permission does.
    require_named(transaction, environment, &update).await?;
    let role = rows::lock(transaction.conn(), environment, of, slug).await?.ok_or(Error::NotFound(Entity::Role))?;
    let wanted = update.applied_to(&role.permissions.0);
    if wanted.len() > ROLE_PERMISSIONS_MAX {
        let message = format!("the role has {ROLE_PERMISSIONS_MAX} permissions already");
        return Err(Error::invalid("slug", "too_long", message));
    }
    if role.permissions.0 == wanted {
        let earlier = transaction.unacknowledged(&Scope::Role(&role.id), environment).await?;
        return Ok((role, earlier.unwrap_or_else(Change::nothing)));
    }
    set_permissions(transaction, environment, &role.id, &wanted, now).await
}

/// Sets the permissions of a role, whose row is locked.
///
/// # Errors
/// If the database fails.
pub async fn set_permissions(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &RoleId,
    slugs: &[String],
    now: Timestamp,
) -> Result<(Role, Change)> {
    let role = rows::set_permissions(transaction.conn(), id, slugs, now).await?;
    user_api_keys::touch_all_of_roles(transaction.conn(), environment, std::slice::from_ref(id), now).await?;
    let effect = Effect::AllowOnly(slugs.iter().cloned().collect::<BTreeSet<_>>());
    let event = events::role(RoleChange::Updated, &role)?;
    let change = Change::scope(&Scope::Role(id), environment, role.generation, effect, event);
    Ok((role, change))
}

async fn require_named(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    update: &PermissionsUpdate,
) -> Result<()> {
    if let PermissionsUpdate::Remove(slug) = update
        && permissions::get(transaction.conn(), environment, slug).await?.is_none()
    {
        return Err(Error::NotFound(Entity::Permission));
    }
    let is_set = matches!(update, PermissionsUpdate::Set(_));
    let field = |at| if is_set { format!("permissions.{at}") } else { "slug".to_owned() };
    require_known(transaction, environment, update.named(), field).await
}

/// Deletes a role of an organization.
///
/// # Errors
/// If there is no such role or organization, members have the role, or the database fails.
pub async fn delete_of_organization(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    slug: &str,
) -> Result<Change> {
    let of = Of::Organization(organization);
    lock_organization(transaction, environment, of).await?;
    let role = rows::lock(transaction.conn(), environment, of, slug).await?.ok_or(Error::NotFound(Entity::Role))?;
    if rows::is_assigned(transaction.conn(), &role.id).await? {
        return Err(Refusal::RoleHasAssignments.into());
    }
    rows::delete(transaction.conn(), &role.id).await?;
    Ok(Change::local(events::role(RoleChange::Deleted, &role)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_makes_a_slug() {
        for (name, slug) in [("Billing Admin", "org-billing-admin"), ("  A--b! ", "org-a-b"), ("ÖÄ", "org")] {
            assert_eq!(slug_of(name), slug);
        }
        assert_eq!(slug_of(&"x".repeat(48)).len(), 48);
    }
}
