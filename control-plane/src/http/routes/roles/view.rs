use serde::Serialize;
use shared::{Rfc3339, id::RoleId};
use utoipa::ToSchema;

use crate::storage::roles as rows;

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub struct Role {
    /// Always `role`.
    object: &'static str,
    id: RoleId,
    /// The name that programs use.
    slug: String,
    /// The name that people read.
    name: String,
    /// What the role is for.
    #[schema(required)]
    description: Option<String>,
    r#type: RoleType,
    /// The kind of resource that it applies to.
    resource_type_slug: String,
    /// The slugs of its permissions.
    permissions: Vec<String>,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

/// Which organizations can use a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum RoleType {
    /// Every organization of the environment.
    EnvironmentRole,
    /// One organization.
    OrganizationRole,
}

impl From<rows::Role> for Role {
    fn from(row: rows::Role) -> Self {
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

/// All roles: there are at most 200 of an environment, and 200 of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleList {
    /// Always `list`.
    object: &'static str,
    /// The roles.
    data: Vec<Role>,
}

impl RoleList {
    /// A list of these rows.
    pub fn new(rows: Vec<rows::Role>) -> Self {
        Self { object: "list", data: rows.into_iter().map(Role::from).collect() }
    }
}
