use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339,
    id::{MembershipId, OrganizationId, UserId},
};
use utoipa::ToSchema;

use crate::{http::routes::users::view::User, service::memberships::Member};

/// A membership.
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
    /// Always empty: Latchkey reads no directories.
    custom_attributes: BTreeMap<String, String>,
    role: SlimRole,
    /// The same role, as a list of one.
    roles: [SlimRole; 1],
    user: User,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

/// Whether the keys of a membership are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// They are.
    Active,
    /// They are refused until the membership is active again.
    Inactive,
}

/// The slug of a role.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SlimRole {
    slug: String,
}

impl From<Member> for Membership {
    fn from((row, user): Member) -> Self {
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
