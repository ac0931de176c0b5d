//! Permissions: what the product offers, and keys carry.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;

use serde::Serialize;
use shared::{
    Rfc3339,
    id::{EnvironmentId, PermissionId},
};
use utoipa::ToSchema;

use super::{Error, fields::Checks};
use crate::storage::{Writer, permissions as storage};

/// Each of these slugs must be that of a permission of the environment, and stays so until the transaction ends.
pub async fn require_known(
    transaction: &mut Writer,
    environment: &EnvironmentId,
    slugs: &[String],
    field: impl Fn(usize) -> String,
) -> Result<(), Error> {
    let known = storage::hold(transaction.conn(), environment, slugs).await?;
    let mut checks = Checks::default();
    for (at, slug) in slugs.iter().enumerate() {
        checks.require(known.contains(slug), &field(at), "not_found", "there is no such permission");
    }
    checks.finish()
}

/// A permission, as answers show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Permission {
    /// Always `permission`.
    object: &'static str,
    id: PermissionId,
    /// What programs call it, and keys carry.
    slug: String,
    name: String,
    #[schema(required)]
    description: Option<String>,
    /// Always `false`: every permission is the product's own.
    system: bool,
    resource_type_slug: String,
    created_at: Rfc3339,
    updated_at: Rfc3339,
}

impl From<storage::Permission> for Permission {
    fn from(row: storage::Permission) -> Self {
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
