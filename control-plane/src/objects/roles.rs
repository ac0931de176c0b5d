//! Roles.

use serde::Serialize;
use shared::{
    Rfc3339,
    id::{OrganizationId, RoleId},
};
use utoipa::ToSchema;

use crate::storage::roles as rows;

/// A role: the permissions that a user can have in an organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct Role {
    /// Always `role`.
    object: &'static str,
    /// The id of the role.
    id: RoleId,
    /// The identifier that your code uses.
    slug: String,
    /// The display name.
    name: String,
    /// What the role is for. Null if it has no description.
    #[schema(required)]
    description: Option<String>,
    /// Whether the role belongs to the environment or to one organization.
    r#type: RoleType,
    /// The type of resource that the role applies to.
    resource_type_slug: String,
    /// The slugs of the role's permissions.
    permissions: Vec<String>,
    /// When the role was created.
    created_at: Rfc3339,
    /// When the role was last changed.
    updated_at: Rfc3339,
}

/// The organizations that can use a role.
///
/// - `EnvironmentRole`: all organizations of the environment
/// - `OrganizationRole`: one organization
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

/// A role of an organization, as events show it.
#[derive(Debug, Serialize)]
pub struct OrganizationRole {
    object: &'static str,
    organization_id: OrganizationId,
    id: RoleId,
    slug: String,
    name: String,
    description: Option<String>,
    resource_type_slug: String,
    permissions: Vec<String>,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

impl OrganizationRole {
    /// A role of this organization.
    #[must_use]
    pub fn new(row: rows::Role, organization_id: OrganizationId) -> Self {
        Self {
            object: "organization_role",
            organization_id,
            id: row.id,
            slug: row.slug,
            name: row.name,
            description: row.description,
            resource_type_slug: row.resource_type_slug,
            permissions: row.permissions.0,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}

/// A list of roles. It has a single page: an environment has at most 200 roles, and so has an organization.
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
