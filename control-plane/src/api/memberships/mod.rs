//! Memberships: which user belongs to which organization, and as what.

pub mod create;
pub mod deactivate;
pub mod delete;
pub mod get;
pub mod list;
pub mod reactivate;
pub mod update;

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339, Timestamp,
    error::{ApiError, ErrorBody, FieldError},
    feed::{Effect, Scope},
    id::{EnvironmentId, MembershipId, OrganizationId, UserId},
    record::Version,
};
use utoipa::ToSchema;

use super::{Error, users::User};
use crate::{
    app::App,
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
    let row = row.ok_or_else(not_found)?;
    // A user who was deleted between the two questions took the membership along.
    let user = users::get(conn, environment, &row.user_id).await?.ok_or_else(not_found)?;
    Ok(Membership::new(row, user))
}

fn not_found() -> Error {
    Error::not_found("Organization membership")
}

/// The role that a request names, by `role_slug` or, as clients of several roles do, by `role_slugs`.
fn named_role(slug: Option<String>, slugs: Option<Vec<String>>) -> Result<Option<String>, Error> {
    match (slug, slugs) {
        (Some(_), Some(_)) => {
            Err(FieldError::new("role_slugs", "invalid", "cannot be given together with `role_slug`").into())
        }
        (slug, None) => Ok(slug),
        (None, Some(slugs)) => match <[String; 1]>::try_from(slugs) {
            Ok([slug]) => Ok(Some(slug)),
            Err(slugs) if slugs.is_empty() => Err(FieldError::new("role_slugs", "required", "must name a role").into()),
            Err(_) => {
                let message = "A user has one role in an organization.";
                Err(bad_role("role_slugs", "multiple_roles_not_enabled", message.to_owned()))
            }
        },
    }
}

fn bad_role(field: &str, code: &str, message: String) -> Error {
    let errors = vec![FieldError::new(field, code, message.clone())];
    ApiError { status: 422, body: ErrorBody { message, code: code.to_owned(), errors } }.into()
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
    role.ok_or_else(|| bad_role("role_slug", "invalid_role", "The organization has no role with this slug.".to_owned()))
}

/// What a membership is to be from now on.
struct Wanted<'a> {
    role: &'a Role,
    inactive: bool,
}

/// Makes a membership that is locked what it is to be. `None` if it is that already.
async fn apply(
    transaction: &mut db::Writer,
    before: &storage::Membership,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Option<(Version, Effect)>, Error> {
    if before.role_id == wanted.role.id && before.inactive == wanted.inactive {
        return Ok(None);
    }
    let pair = (&before.organization_id, &before.user_id);
    let generation = storage::set(transaction.conn(), &before.id, &wanted.role.id, wanted.inactive, now).await?;
    user_api_keys::touch_all_of_membership(transaction.conn(), &before.environment_id, pair, now).await?;
    let effect = if wanted.inactive { Effect::Disable } else { Effect::Role(wanted.role.in_record()) };
    Ok(Some((generation, effect)))
}

/// Commits what was applied to a membership, and waits until the edge has it. If nothing was, the wait for an earlier change
/// is taken up.
async fn finish(
    app: &App,
    transaction: db::Writer,
    membership: &storage::Membership,
    applied: Option<(Version, Effect)>,
) -> Result<(), Error> {
    let (environment, scope) = (&membership.environment_id, Scope::Membership(&membership.id));
    let committed = match applied {
        Some((generation, effect)) => {
            Some(app.commit_scope(transaction, &scope, environment, generation, effect).await?)
        }
        None => app.pending_scope(transaction, &scope, environment).await?,
    };
    if let Some(committed) = committed {
        app.acknowledge(&committed).await?;
    }
    Ok(())
}

/// Both of these.
async fn change(
    app: &App,
    mut transaction: db::Writer,
    before: &storage::Membership,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let applied = apply(&mut transaction, before, wanted, now).await?;
    finish(app, transaction, before, applied).await
}

/// Makes a membership inactive, or active with the role that it has.
async fn set_inactive(
    app: &App,
    environment: &EnvironmentId,
    id: &MembershipId,
    inactive: bool,
) -> Result<Membership, Error> {
    let priority = if inactive { db::Priority::Revocation } else { db::Priority::Normal };
    let mut transaction = app.db.write_as(priority).await?;
    let before = storage::lock(transaction.conn(), environment, id).await?.ok_or_else(not_found)?;
    let role = db::roles::hold(transaction.conn(), &before.role_id).await?.ok_or_else(not_found)?;
    change(app, transaction, &before, Wanted { role: &role, inactive }, app.clock.now()).await?;
    read(app.db.read().await?.conn(), environment, id).await
}
