//! Memberships: which user belongs to which organization, with which role.

use std::collections::HashMap;

use serde::Deserialize;
use shared::{
    Timestamp,
    entropy::Entropy,
    feed::{Effect, Scope},
    id::{EnvironmentId, MembershipId, OrganizationId, UserId},
    record::Version,
};
use utoipa::ToSchema;

use super::{Change, Entity, Error, Refusal, Result, Transaction, roles::DEFAULT_ROLE, targets::batch};
use crate::{
    events::{EventType, changes},
    objects::memberships::Member,
    storage::{
        Conn, Page, PageRequest,
        memberships::{self as rows, Filter, Membership, NewMembership, Of},
        organizations,
        roles::{self, Role},
        user_api_keys,
        users::{self, User},
    },
};

/// A membership to create.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateMembership {
    /// The id of the user.
    pub user_id: String,
    /// The id of the organization.
    pub organization_id: String,
    /// The slug of the user's role: a role of the organization or of the environment. Default: `member`, or the current
    /// role if an inactive membership becomes active again.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    role_slug: Option<String>,
    /// `role_slug` as a list of one, for compatibility with WorkOS. Send one of the two fields.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 1)]
    role_slugs: Option<Vec<String>>,
}

/// Changes to a membership.
#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateMembership {
    /// The slug of the user's role: a role of the organization or of the environment. If omitted, the role does not
    /// change.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 48)]
    role_slug: Option<String>,
    /// `role_slug` as a list of one, for compatibility with WorkOS. Send one of the two fields.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 1)]
    role_slugs: Option<Vec<String>>,
}

/// The slug of the role that a request names, if it names one.
#[derive(Debug)]
pub struct RequestedRole(Option<String>);

impl CreateMembership {
    /// The role that is named, in either of the two ways.
    ///
    /// # Errors
    /// If not exactly one is named in one way.
    pub fn check(self) -> Result<RequestedRole> {
        RequestedRole::parse(self.role_slug, self.role_slugs)
    }
}

impl UpdateMembership {
    /// The role that is named, in either of the two ways.
    ///
    /// # Errors
    /// If not exactly one is named in one way.
    pub fn check(self) -> Result<RequestedRole> {
        RequestedRole::parse(self.role_slug, self.role_slugs)
    }
}

impl RequestedRole {
    fn parse(slug: Option<String>, slugs: Option<Vec<String>>) -> Result<Self> {
        match (slug, slugs) {
            (Some(_), Some(_)) => {
                Err(Error::invalid("role_slugs", "invalid", "cannot be sent together with `role_slug`"))
            }
            (slug, None) => Ok(Self(slug)),
            (None, Some(slugs)) => match <[String; 1]>::try_from(slugs) {
                Ok([slug]) => Ok(Self(Some(slug))),
                Err(slugs) if slugs.is_empty() => Err(Error::invalid("role_slugs", "required", "must name a role")),
                Err(_) => Err(Refusal::SeveralRoles.into()),
            },
        }
    }
}

/// The membership with this id, and its user.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn get(mut conn: Conn<'_>, environment: &EnvironmentId, id: &MembershipId) -> Result<Member> {
    let membership = rows::get(conn.reborrow(), environment, id).await?.ok_or_else(not_found)?;
    // A user who was deleted between the two queries took the membership along.
    let user = users::get(conn, environment, &membership.user_id).await?.ok_or_else(not_found)?;
    Ok((membership, user))
}

const fn not_found() -> Error {
    Error::NotFound(Entity::OrganizationMembership)
}

/// A page of memberships with their users.
///
/// # Errors
/// If the filter names an organization that does not exist, or the database fails.
pub async fn list(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    filter: &Filter,
    page: &PageRequest,
) -> Result<Page<Member>> {
    if let Of::Organization(id) | Of::Both(id, _) = &filter.of {
        super::organizations::get(conn.reborrow(), environment, id).await?;
    }
    let page = rows::list(conn.reborrow(), environment, filter, page).await?;
    let ids: Vec<&str> = page.items.iter().map(|row| row.user_id.as_str()).collect();
    let users = users::of_ids(conn, environment, &ids).await?;
    let users: HashMap<UserId, User> = users.into_iter().map(|user| (user.id.clone(), user)).collect();
    // A user who was deleted between the two queries took the membership along.
    let with_user = |row: Membership| users.get(&row.user_id).cloned().map(|user| (row, user));
    let items = page.items.into_iter().filter_map(with_user).collect();
    Ok(Page { items, has_before: page.has_before, has_after: page.has_after })
}

/// Makes a user a member of an organization, with [`DEFAULT_ROLE`] if no role is named. An inactive membership becomes active.
///
/// # Errors
/// If there is no such user, organization or role, the user is an active member already, or the database fails.
pub async fn create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    (organization, user): (&OrganizationId, &UserId),
    RequestedRole(role_slug): RequestedRole,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> Result<(Member, Change)> {
    if !organizations::hold(transaction.conn(), environment, organization).await? {
        return Err(Error::NotFound(Entity::Organization));
    }
    if !users::hold(transaction.conn(), environment, user).await? {
        return Err(Error::NotFound(Entity::User));
    }
    if let Some(before) = rows::lock_of(transaction.conn(), environment, organization, user).await? {
        return reactivate_as(transaction, &before, role_slug.as_deref(), now).await;
    }
    let role = role(transaction, environment, organization, role_slug.as_deref().unwrap_or(DEFAULT_ROLE)).await?;
    let id = MembershipId::generate(now, entropy);
    let membership = NewMembership {
        id: &id,
        environment_id: environment,
        organization_id: organization,
        user_id: user,
        role_id: &role.id,
        generation: Version::first(now),
        now,
    };
    if !rows::insert(transaction.conn(), &membership).await? {
        return Err(Refusal::MembershipExists.into());
    }
    let member = get(transaction.conn(), environment, &id).await?;
    let event = changes::membership(EventType::OrganizationMembershipCreated, &member.0)?;
    Ok((member, Change::local(event)))
}

/// Makes an inactive member active. If it is active, and whoever made it so has received no acknowledgement, this call repeats
/// that one and resumes its wait.
async fn reactivate_as(
    transaction: &mut Transaction,
    before: &Membership,
    role_slug: Option<&str>,
    now: Timestamp,
) -> Result<(Member, Change)> {
    if !before.inactive {
        let is_repeated = role_slug.is_none_or(|slug| slug == before.role_slug);
        let earlier = transaction.unacknowledged(&Scope::Membership(&before.id), &before.environment_id).await?;
        return match earlier {
            Some(earlier) if is_repeated => {
                Ok((get(transaction.conn(), &before.environment_id, &before.id).await?, earlier))
            }
            _ => Err(Refusal::MembershipExists.into()),
        };
    }
    let slug = role_slug.unwrap_or(&before.role_slug);
    let role = role(transaction, &before.environment_id, &before.organization_id, slug).await?;
    change(transaction, before, &role, false, now).await
}

/// The earlier change of the membership of this user, if its caller has received no acknowledgement: a repeated call of
/// [`create`] resumes the wait.
///
/// # Errors
/// If the database fails.
pub async fn resume_create(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Change> {
    let Some(membership) = rows::lock_of(transaction.conn(), environment, organization, user).await? else {
        return Ok(Change::nothing());
    };
    let earlier = transaction.unacknowledged(&Scope::Membership(&membership.id), environment).await?;
    Ok(earlier.unwrap_or_else(Change::nothing))
}

/// Gives a member another role, if one is requested.
///
/// # Errors
/// If there is no such membership or role, or the database fails.
pub async fn update(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &MembershipId,
    RequestedRole(role_slug): RequestedRole,
    now: Timestamp,
) -> Result<(Member, Change)> {
    let before = rows::lock(transaction.conn(), environment, id).await?.ok_or_else(not_found)?;
    let slug = role_slug.as_deref().unwrap_or(&before.role_slug);
    let role = role(transaction, environment, &before.organization_id, slug).await?;
    change(transaction, &before, &role, before.inactive, now).await
}

/// Deactivates a membership, so that its keys are refused, or reactivates it with the role that it has.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn set_inactive(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &MembershipId,
    inactive: bool,
    now: Timestamp,
) -> Result<(Member, Change)> {
    let before = rows::lock(transaction.conn(), environment, id).await?.ok_or_else(not_found)?;
    let role = roles::hold(transaction.conn(), &before.role_id).await?.ok_or_else(not_found)?;
    change(transaction, &before, &role, inactive, now).await
}

/// Changes a membership whose row is locked, unless it is in that state already. Then an unacknowledged earlier change is
/// waited for.
async fn change(
    transaction: &mut Transaction,
    before: &Membership,
    role: &Role,
    inactive: bool,
    now: Timestamp,
) -> Result<(Member, Change)> {
    let environment = &before.environment_id;
    let change = if before.role_id == role.id && before.inactive == inactive {
        let scope = Scope::Membership(&before.id);
        transaction.unacknowledged(&scope, environment).await?.unwrap_or_else(Change::nothing)
    } else {
        set(transaction, before, role, inactive, now).await?
    };
    Ok((get(transaction.conn(), environment, &before.id).await?, change))
}

/// Restores what the change feed knows of a membership: active with this role, or inactive. It always gets a new generation.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn restore(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &MembershipId,
    active_with: Option<Role>,
    now: Timestamp,
) -> Result<Change> {
    let before = rows::lock(transaction.conn(), environment, id).await?.ok_or_else(not_found)?;
    if let Some(role) = active_with {
        return set(transaction, &before, &role, false, now).await;
    }
    let role = roles::hold(transaction.conn(), &before.role_id).await?.ok_or_else(not_found)?;
    set(transaction, &before, &role, true, now).await
}

/// Sets the role and the status of a membership whose row is locked.
async fn set(
    transaction: &mut Transaction,
    before: &Membership,
    role: &Role,
    inactive: bool,
    now: Timestamp,
) -> Result<Change> {
    let Membership { id, environment_id, organization_id, user_id, .. } = before;
    let generation = rows::set(transaction.conn(), id, &role.id, inactive, now).await?;
    let pair = (organization_id, user_id);
    user_api_keys::touch_all_of_membership(transaction.conn(), environment_id, pair, now).await?;
    let effect = if inactive { Effect::Disable } else { Effect::Role(role.in_record()) };
    let after = rows::get(transaction.conn(), environment_id, id).await?.ok_or_else(not_found)?;
    let event = changes::membership(EventType::OrganizationMembershipUpdated, &after)?;
    Ok(Change::scope(&Scope::Membership(id), environment_id, generation, effect, event))
}

/// Deletes a membership, and revokes all keys that the user has in the organization.
///
/// # Errors
/// If there is none, or the database fails.
pub async fn delete(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    id: &MembershipId,
    now: Timestamp,
) -> Result<Change> {
    let scope = Scope::Membership(id);
    let Some(before) = rows::lock(transaction.conn(), environment, id).await? else {
        let earlier = transaction.unacknowledged(&scope, environment).await?;
        return earlier.ok_or_else(not_found);
    };
    let (pair, reason) = ((&before.organization_id, &before.user_id), "membership_deleted");
    let batch = batch(&scope, now);
    user_api_keys::revoke_all_of_membership(transaction.conn(), environment, pair, reason, &batch, now).await?;
    rows::delete(transaction.conn(), id).await?;
    let event = changes::membership(EventType::OrganizationMembershipDeleted, &before)?.with_targets(batch);
    Ok(Change::scope(&scope, environment, before.generation.next(now), Effect::Revoke, event))
}

/// The role with this slug that a member of the organization can have, locked until the transaction ends.
async fn role(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    slug: &str,
) -> Result<Role> {
    let role = match shared::permission::is_slug(slug) {
        true => roles::hold_for_member(transaction.conn(), environment, organization, slug).await?,
        false => None,
    };
    role.ok_or(Error::Refused(Refusal::UnknownRole))
}
