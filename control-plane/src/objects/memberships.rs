//! Memberships.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339,
    id::{MembershipId, OrganizationId, UserId},
};
use utoipa::ToSchema;

use super::users::User;
use crate::storage::{memberships as rows, users};

/// A membership and its user.
pub type Member = (rows::Membership, users::User);

/// A membership: a user in an organization, with a role.
#[derive(Debug, Serialize, ToSchema)]
pub struct Membership {
    /// Always `organization_membership`.
    object: &'static str,
    /// The id of the membership.
    id: MembershipId,
    /// The id of the user.
    user_id: UserId,
    /// The id of the organization.
    organization_id: OrganizationId,
    /// The display name of the organization.
    organization_name: String,
    /// Whether the membership is active.
    status: Status,
    /// Always false: Latchkey does not sync directories.
    directory_managed: bool,
    /// Always empty: Latchkey does not sync directories.
    custom_attributes: BTreeMap<String, String>,
    /// The role of the user in the organization.
    role: SlimRole,
    /// The role as a list of one.
    roles: [SlimRole; 1],
    /// The user. Events do not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = User)]
    user: Option<User>,
    /// When the membership was created.
    created_at: Rfc3339,
    /// When the membership was last changed.
    updated_at: Rfc3339,
}

/// The status of a membership.
///
/// - `active`: the user's keys in the organization are accepted
/// - `inactive`: they are refused with `disabled`, until the membership is active again
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user's keys are accepted.
    Active,
    /// The user's keys are refused.
    Inactive,
}

/// A role, by its slug.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SlimRole {
    /// The slug of the role.
    slug: String,
}

impl From<Member> for Membership {
    fn from((row, user): Member) -> Self {
        Self { user: Some(user.into()), ..Self::without_user(row) }
    }
}

impl Membership {
    /// The membership, as events show it.
    #[must_use]
    pub fn without_user(row: rows::Membership) -> Self {
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
            user: None,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}
