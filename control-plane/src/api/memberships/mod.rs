//! Memberships: which user belongs to which organization, and as what.

pub mod create;
pub mod deactivate;
pub mod delete;
pub mod get;
pub mod list;
pub mod reactivate;
pub mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{
    Rfc3339, Timestamp,
    error::{ApiError, FieldError},
    feed::{Effect, Scope},
    id::{EnvironmentId, MembershipId, OrganizationId, UserId},
};
use utoipa::ToSchema;

use super::{Error, users::User};
use crate::{
    app::App,
    edge::acknowledge::Committed,
    keys::DEFAULT_ROLE,
    storage::{
        self as db, Conn,
        memberships::{self as storage},
        roles::Role,
        user_api_keys, users,
    },
};

/// A membership, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Membership {
    /// Always `organization_membership`.
    object: &'static str,
    id: MembershipId,
    user_id: UserId,
    organization_id: OrganizationId,
    organization_name: String,
    status: Status,
    /// Always `false`: Latchkey reads no directories.
    directory_managed: bool,
    /// Always empty, likewise.
    custom_attributes: BTreeMap<String, String>,
    role: SlimRole,
    /// The same role: a user has one.
    roles: [SlimRole; 1],
    user: User,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

/// Whether the keys of a membership work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// They do.
    Active,
    /// They are refused for the time being.
    Inactive,
}

/// A role, by its name alone.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SlimRole {
    slug: String,
}

impl Membership {
    fn new(row: storage::Membership, user: users::User) -> Self {
        let role = SlimRole { slug: row.role_slug };
        Self {
            object: "organization_membership",
            id: row.id,
            user_id: row.user_id,
            organization_id: row.organization_id,
            organization_name: row.organization_name,
            status: if row.inactive { Status::Inactive } else { Status::Active },
            directory_managed: false,
            custom_attributes: BTreeMap::new(),
            roles: [role.clone()],
            role,
            user: user.into(),
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}

/// The membership with this id, as it is now.
async fn read(mut conn: Conn<'_>, environment: &EnvironmentId, id: &MembershipId) -> Result<Membership, Error> {
    let row = storage::get(conn.reborrow(), environment, id).await?;
    let row = row.ok_or_else(|| not_found(id))?;
    let user = users::get(conn, environment, &row.user_id).await?;
    let user = user.ok_or_else(|| Error::Internal(anyhow::anyhow!("a membership's user is not there")))?;
    Ok(Membership::new(row, user))
}

fn not_found(id: &MembershipId) -> Error {
    Error::not_found("Organization membership", id.as_str())
}

/// The role that a request names. `role_slugs` is what clients of several roles send; a user has one here.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NamedRole {
    /// What the user is in the organization: the slug of a role of the organization or of the environment.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    role_slug: Option<String>,
    /// The same as a list of one.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 1)]
    role_slugs: Option<Vec<String>>,
}

impl NamedRole {
    fn slug(self) -> Result<Option<String>, Error> {
        match (self.role_slug, self.role_slugs) {
            (Some(_), Some(_)) => {
                Err(FieldError::new("role_slugs", "invalid", "cannot be given together with `role_slug`").into())
            }
            (slug, None) => Ok(slug),
            (None, Some(slugs)) => match <[String; 1]>::try_from(slugs) {
                Ok([slug]) => Ok(Some(slug)),
                Err(slugs) if slugs.is_empty() => {
                    Err(FieldError::new("role_slugs", "required", "must name a role").into())
                }
                Err(_) => Err(unprocessable("multiple_roles_not_enabled", "A user has one role in an organization.")),
            },
        }
    }
}

fn unprocessable(code: &str, message: impl Into<String>) -> Error {
    ApiError::new(422, code, message).into()
}

/// The role of this slug that a user of the organization can have; the usual one if none is named.
async fn role(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    slug: Option<&str>,
) -> Result<Role, Error> {
    let slug = slug.unwrap_or(DEFAULT_ROLE);
    let role = match shared::permission::is_slug(slug) {
        true => db::roles::hold_for_member(conn, environment, organization, slug).await?,
        false => None,
    };
    let shown: String = slug.chars().take(48).collect();
    role.ok_or_else(|| unprocessable("invalid_role", format!("There is no role '{shown}' in this organization.")))
}

/// What a membership is to be from now on.
struct Wanted<'a> {
    role: &'a Role,
    inactive: bool,
}

/// Changes a membership that is locked, commits, and waits until the edge has it. If it is so already, and somebody was
/// told, nothing happens.
async fn change(
    app: &App,
    mut transaction: db::Writer,
    before: &storage::Membership,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let (environment, organization, user) = (&before.environment_id, &before.organization_id, &before.user_id);
    let scope = Scope::Membership(&before.id);
    let committed = if before.role_id == wanted.role.id && before.inactive == wanted.inactive {
        let pending = app.pending_scope(transaction.conn(), &scope, environment).await?;
        drop(transaction);
        pending
    } else {
        let generation = storage::set(transaction.conn(), &before.id, &wanted.role.id, wanted.inactive, now).await?;
        user_api_keys::touch_all_of_membership(transaction.conn(), environment, (organization, user), now).await?;
        let effect = if wanted.inactive { Effect::Disable } else { Effect::Role(wanted.role.in_record()) };
        Some(app.commit_scope(transaction, &scope, environment, generation, effect).await?)
    };
    acknowledge(app, committed).await
}

async fn acknowledge(app: &App, committed: Option<Committed>) -> Result<(), Error> {
    if let Some(committed) = committed {
        app.acknowledge(&committed).await?;
    }
    Ok(())
}
