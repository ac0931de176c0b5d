//! Roles: what users are in their organizations. The environment has some for all of them, and each organization can have
//! some of its own.

pub mod of_environment;
pub mod of_organization;

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::{
    Rfc3339,
    error::FieldError,
    feed::{Effect, Scope},
    id::{EnvironmentId, OrganizationId, RoleId},
    record::Version,
};
use utoipa::ToSchema;

use super::{
    Error,
    body::or_null,
    fields::{Checks, ROLE_PERMISSIONS_MAX, ROLES_MAX, without_repeats},
    idempotency::{Answer, Claim, Idempotency},
    permissions::require_known,
};
use crate::{
    app::App,
    entropy::OsEntropy,
    storage::{
        JsonText, Priority, Writer, organizations, permissions,
        roles::{self as storage, Of},
        user_api_keys,
    },
};

/// A role, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Role {
    /// Always `role`.
    object: &'static str,
    id: RoleId,
    /// What programs call it.
    slug: String,
    name: String,
    #[schema(required)]
    description: Option<String>,
    r#type: RoleType,
    resource_type_slug: String,
    /// The slugs of what it allows.
    permissions: Vec<String>,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

/// Where a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum RoleType {
    /// For every organization of the environment.
    EnvironmentRole,
    /// For one organization.
    OrganizationRole,
}

impl From<storage::Role> for Role {
    fn from(row: storage::Role) -> Self {
        Self {
            object: "role",
            id: row.id,
            slug: row.slug,
            name: row.name,
            description: row.description,
            r#type: match row.organization_id {
                None => RoleType::EnvironmentRole,
                Some(_) => RoleType::OrganizationRole,
            },
            resource_type_slug: row.resource_type_slug,
            permissions: row.permissions.0,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}

/// Roles, all of them: there are 200 at most of a kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleList {
    /// Always `list`.
    object: &'static str,
    data: Vec<Role>,
}

impl RoleList {
    fn new(rows: Vec<storage::Role>) -> Self {
        Self { object: "list", data: rows.into_iter().map(Role::from).collect() }
    }
}

/// What to change of a role. What is left out stays as it is; the slug always does.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateRole {
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    name: Option<String>,
    /// What it is, for people; null for nothing.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 150)]
    description: Option<Option<String>>,
}

/// All that a role is to allow.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SetRolePermissions {
    /// The slugs of permissions of this environment, 200 at most.
    #[schema(max_items = 200)]
    permissions: Vec<String>,
}

/// What a role is to allow as well.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AddRolePermission {
    /// The slug of a permission of this environment.
    #[schema(min_length = 1, max_length = 48)]
    slug: String,
}

/// What a new role is made of.
struct NewRole {
    slug: String,
    name: String,
    description: Option<String>,
    resource_type_slug: Option<String>,
}

fn not_found() -> Error {
    Error::not_found("Role")
}

/// There is the organization, if the roles are of one; it will be there until the transaction ends.
async fn hold(transaction: &mut Writer, environment: &EnvironmentId, of: Of<'_>) -> Result<(), Error> {
    match of.organization() {
        Some(id) if !organizations::hold(transaction.conn(), environment, id).await? => {
            Err(Error::not_found("Organization"))
        }
        _ => Ok(()),
    }
}

/// Adds a role that allows nothing yet.
async fn create(
    app: &App,
    environment: EnvironmentId,
    of: Of<'_>,
    new: NewRole,
    idempotency: Idempotency,
) -> Result<Answer, Error> {
    let resource_type_slug = new.resource_type_slug.unwrap_or_else(|| "organization".to_owned());
    let mut checks = Checks::default();
    checks.slug("slug", &new.slug);
    checks.described(Some(&new.name), new.description.as_deref());
    checks.slug("resource_type_slug", &resource_type_slug);
    checks.finish()?;

    let mut transaction = app.db.write().await?;
    let now = app.clock.now();
    let claimed = match idempotency.claim(transaction.conn(), now).await? {
        Claim::New(claimed) => claimed,
        Claim::Replay(answer) => return Ok(answer),
    };
    hold(&mut transaction, &environment, of).await?;
    if count(&mut transaction, &environment, of).await? >= ROLES_MAX {
        return Err(Error::conflict("role_limit_reached", "There cannot be more than 200 roles."));
    }
    let (code, message) = match of {
        Of::Environment => ("role_slug_conflict", "There is a role of this slug already."),
        Of::Organization(_) => {
            ("organization_role_slug_conflict", "The organization or its environment has a role of this slug already.")
        }
    };
    let of_all = storage::get(transaction.conn(), &environment, Of::Environment, &new.slug).await?;
    let role = storage::Role {
        id: RoleId::generate(now, &mut OsEntropy),
        environment_id: environment,
        organization_id: of.organization().cloned(),
        slug: new.slug,
        name: new.name,
        description: new.description,
        resource_type_slug,
        permissions: JsonText(vec![]),
        generation: Version::first(now),
        created_at: now,
        updated_at: now,
    };
    if of_all.is_some() || !storage::insert(transaction.conn(), &role).await? {
        return Err(Error::conflict(code, message));
    }
    let answer = claimed.keep(transaction.conn(), StatusCode::CREATED, &Role::from(role)).await?;
    transaction.commit().await?;
    Ok(answer)
}

async fn count(transaction: &mut Writer, environment: &EnvironmentId, of: Of<'_>) -> Result<usize, Error> {
    let roles = match of {
        Of::Environment => storage::list_of_environment(transaction.conn(), environment).await?,
        Of::Organization(organization) => storage::list_of_organization(transaction.conn(), organization).await?,
    };
    Ok(roles.len())
}

/// Changes what people read of a role.
async fn describe(
    app: &App,
    environment: &EnvironmentId,
    of: Of<'_>,
    slug: &str,
    body: UpdateRole,
) -> Result<Role, Error> {
    let description = body.description.as_ref().map(Option::as_deref);
    let mut checks = Checks::default();
    checks.described(body.name.as_deref(), description.flatten());
    checks.finish()?;

    let mut transaction = app.db.write().await?;
    hold(&mut transaction, environment, of).await?;
    let role = storage::lock(transaction.conn(), environment, of, slug).await?.ok_or_else(not_found)?;
    let now = app.clock.now();
    let role = storage::describe(transaction.conn(), &role.id, body.name.as_deref(), description, now).await?;
    transaction.commit().await?;
    Ok(role.into())
}

/// How the permissions of a role are to change.
enum Change {
    /// These, and no others.
    Set(Vec<String>),
    /// This one as well.
    Add(String),
    /// This one no more.
    Remove(String),
}

impl Change {
    /// Those that must be permissions of the environment.
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

impl SetRolePermissions {
    fn change(self) -> Result<Change, Error> {
        let slugs = without_repeats(self.permissions);
        let mut checks = Checks::default();
        checks.slugs("permissions", &slugs, ROLE_PERMISSIONS_MAX);
        checks.finish()?;
        Ok(Change::Set(slugs))
    }
}

impl AddRolePermission {
    fn change(self) -> Result<Change, Error> {
        let mut checks = Checks::default();
        checks.slug("slug", &self.slug);
        checks.finish()?;
        Ok(Change::Add(self.slug))
    }
}

/// Changes what a role allows, and with it what the keys of its users are worth. It answers once the edge has been told.
async fn change_permissions(
    app: &App,
    environment: &EnvironmentId,
    of: Of<'_>,
    slug: &str,
    change: Change,
) -> Result<Role, Error> {
    let priority = if matches!(change, Change::Add(_)) { Priority::Normal } else { Priority::Revocation };
    let mut transaction = app.db.write_as(priority).await?;
    hold(&mut transaction, environment, of).await?;
    if storage::get(transaction.conn(), environment, of, slug).await?.is_none() {
        return Err(not_found());
    }
    // Permissions before roles, as whoever deletes a permission locks them.
    require_named(&mut transaction, environment, &change).await?;
    let role = storage::lock(transaction.conn(), environment, of, slug).await?.ok_or_else(not_found)?;
    let wanted = change.applied_to(&role.permissions.0);
    if wanted.len() > ROLE_PERMISSIONS_MAX {
        let message = format!("the role has {ROLE_PERMISSIONS_MAX} permissions already");
        return Err(FieldError::new("slug", "too_long", message).into());
    }
    let scope = Scope::Role(&role.id);
    if role.permissions.0 == wanted {
        if let Some(pending) = app.pending_scope(transaction, &scope, environment).await? {
            app.acknowledge(&pending).await?;
        }
        return Ok(role.into());
    }
    let now = app.clock.now();
    let after = storage::set_permissions(transaction.conn(), &role.id, &wanted, now).await?;
    user_api_keys::touch_all_of_roles(transaction.conn(), environment, std::slice::from_ref(&role.id), now).await?;
    let effect = Effect::AllowOnly(wanted.into_iter().collect::<BTreeSet<_>>());
    let committed = app.commit_scope(transaction, &scope, environment, after.generation, effect).await?;
    app.acknowledge(&committed).await?;
    Ok(after.into())
}

async fn require_named(transaction: &mut Writer, environment: &EnvironmentId, change: &Change) -> Result<(), Error> {
    let named = change.named();
    if let Change::Remove(slug) = change
        && permissions::get(transaction.conn(), environment, slug).await?.is_none()
    {
        return Err(Error::not_found("Permission"));
    }
    let is_set = matches!(change, Change::Set(_));
    let field = |at| if is_set { format!("permissions.{at}") } else { "slug".to_owned() };
    require_known(transaction, environment, named, field).await
}

/// The role of this slug that a user of the organization can have.
async fn for_member(
    app: &App,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    slug: &str,
) -> Result<Role, Error> {
    let mut db = app.db.read().await?;
    if organizations::get(db.conn(), environment, organization).await?.is_none() {
        return Err(Error::not_found("Organization"));
    }
    let own = storage::get(db.conn(), environment, Of::Organization(organization), slug).await?;
    let role = match own {
        Some(role) => Some(role),
        None => storage::get(db.conn(), environment, Of::Environment, slug).await?,
    };
    role.map(Role::from).ok_or_else(not_found)
}
