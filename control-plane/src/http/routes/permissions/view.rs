use serde::Serialize;
use shared::{Rfc3339, id::PermissionId};
use utoipa::ToSchema;

use crate::storage::permissions as rows;

/// A permission.
#[derive(Debug, Serialize, ToSchema)]
pub struct Permission {
    /// Always `permission`.
    object: &'static str,
    id: PermissionId,
    /// The name that keys carry.
    slug: String,
    /// The name that people read.
    name: String,
    /// What the permission allows, for people.
    #[schema(required)]
    description: Option<String>,
    /// Always `false`: every permission is defined by you.
    system: bool,
    /// The kind of resource that it applies to.
    resource_type_slug: String,
    created_at: Rfc3339,
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
