//! Permissions.

use serde::Serialize;
use shared::{Rfc3339, id::PermissionId};
use utoipa::ToSchema;

use crate::storage::permissions as rows;

/// A permission of your product, which keys and roles can have.
#[derive(Debug, Serialize, ToSchema)]
pub struct Permission {
    /// Always `permission`.
    object: &'static str,
    /// The id of the permission.
    id: PermissionId,
    /// The identifier that your code, keys and roles use.
    slug: String,
    /// The display name.
    name: String,
    /// What the permission allows. Null if it has no description.
    #[schema(required)]
    description: Option<String>,
    /// Always false: Latchkey defines no permissions of its own.
    system: bool,
    /// The type of resource that the permission applies to.
    resource_type_slug: String,
    /// When the permission was created.
    created_at: Rfc3339,
    /// When the permission was last changed.
    updated_at: Rfc3339,
}

impl From<rows::Permission> for Permission {
    fn from(row: rows::Permission) -> Self {
        Self {
            object: "permission",
            id: row.id,
            slug: row.slug,
            name: row.name,
            description: row.description,
            system: false,
            resource_type_slug: row.resource_type_slug,
            created_at: Rfc3339(row.created_at),
            updated_at: Rfc3339(row.updated_at),
        }
    }
}
